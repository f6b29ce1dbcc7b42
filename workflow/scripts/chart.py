"""Draws one study's table: measured values with their intervals beside the printed ones."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.reporting.figures import table_figure
    from pipeline_lib.reporting.tables import read_table

    table = read_table(snakemake.input[0])
    table_figure(table, Path(snakemake.output.png).with_suffix(""), title=snakemake.params.title)
