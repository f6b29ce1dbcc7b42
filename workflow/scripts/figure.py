"""Draws one figure from the files that its class needs."""

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.entries.building import build
    from pipeline_lib.reporting.style import write_figure

    given, outputs = snakemake.params, dict(snakemake.output.items())
    write_figure(build(given.entry), given.files, outputs, given.caption, given.style)
