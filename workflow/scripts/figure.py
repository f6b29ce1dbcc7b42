"""Draws one figure from the files that its class needs."""

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.entries.building import build
    from pipeline_lib.reporting.style import write_figure

    figure, outputs = build(snakemake.params.entry), dict(snakemake.output.items())
    write_figure(figure, snakemake.params.files, outputs, snakemake.params.caption)
