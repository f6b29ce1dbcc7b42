"""Writes the report's first page and what each file is, and makes Snakemake's self-contained HTML report."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.jobs.used import rows_of
    from pipeline_lib.reporting.front import front_page
    from pipeline_lib.reporting.publish import publish
    from pipeline_lib.reporting.readme import readme
    from pipeline_lib.reporting.report import make_report

    given = snakemake.params
    opening = Path(snakemake.input.opening[0]).read_text()
    used = rows_of(Path(snakemake.config["results"]))
    publish(snakemake.output.front, front_page(given.front, given.tables, given.audit, opening, used))
    publish(snakemake.output.readme, readme())
    make_report(given.snakefile, snakemake.config, Path(snakemake.output.page), given.stylesheet, given.page_script)
