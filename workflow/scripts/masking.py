"""Gathers what tells masked gradients from robustness for one transform defense, with a verdict."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.reporting.masking import build_masking, masking_figure, write_masking

    sheet = build_masking(snakemake.params.layout)
    write_masking(sheet, Path(snakemake.output.csv))
    masking_figure(sheet, Path(snakemake.output.png).with_suffix(""), title=snakemake.params.title)
