"""Renders the embedded data set: files of videos or images, and their lists."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.entries.building import build

    build(snakemake.params.entry).render(Path(snakemake.output[0]), workers=snakemake.threads)
