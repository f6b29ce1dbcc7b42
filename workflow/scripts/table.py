"""Builds one study's table from predictions and printed numbers."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.reporting.table_files import write_table
    from pipeline_lib.reporting.tables import build_table, read_paper

    layout = snakemake.params.layout
    table = build_table(layout, read_paper(Path(snakemake.input.paper[0]).parent))
    write_table(table, layout, **{kind: Path(path) for kind, path in snakemake.output.items()})
