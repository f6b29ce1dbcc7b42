"""Renders the embedded data set: an entry's recipe to files of videos or images, and lists."""

from pathlib import Path

from pipeline_lib.jobs import job
from pipeline_lib.registry import build

with job(snakemake):
    build(snakemake.params.entry).render(Path(snakemake.output[0]), workers=snakemake.threads)
