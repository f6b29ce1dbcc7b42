"""Titles by which one part of the results refers to another."""

CLAIMS = "Claims of the papers"  # of the table, of its section of the front page, and in the index of the report
MADE = "Determinism and precision"  # of a section of the opening page, which the front page takes over
