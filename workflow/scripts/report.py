"""Writes the report's first page, and makes Snakemake's self-contained HTML report."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.reporting.front import front_page
    from pipeline_lib.reporting.publish import publish
    from pipeline_lib.reporting.report import make_report

    given = snakemake.params
    opening = Path(snakemake.input.opening[0]).read_text()
    publish(snakemake.output.front, front_page(given.front, given.tables, given.audit, opening))
    make_report(given.snakefile, snakemake.config, Path(snakemake.output.page), given.stylesheet)
