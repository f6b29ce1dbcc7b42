"""Draws one figure from the files that its class needs."""

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.entries.building import build
    from pipeline_lib.reporting.style import write_figure

    write_figure(build(snakemake.params.entry), snakemake.params.files, dict(snakemake.output.items()))
