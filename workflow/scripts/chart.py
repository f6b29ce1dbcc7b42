"""Draws one study's table: measured values with their intervals beside the printed ones."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.reporting.figures import table_figure
    from pipeline_lib.reporting.tables import fault_note, read_table, with_faults

    table = with_faults(read_table(snakemake.input.table), snakemake.params.layout)
    out = Path(snakemake.output.png).with_suffix("")
    table_figure(table, out, title=snakemake.params.title, note=fault_note(table))
