"""Makes the self-contained HTML report with Snakemake's own mechanism."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.reporting.report import make_report

    make_report(snakemake.params.snakefile, snakemake.config, Path(snakemake.output[0]))
