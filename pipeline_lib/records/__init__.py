"""The rows of the CSV files between rules: column names, for writers and readers."""
