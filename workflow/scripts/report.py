"""Makes Snakemake's self-contained HTML report."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.reporting.report import make_report

    make_report(snakemake.params.snakefile, snakemake.config, Path(snakemake.output[0]))
