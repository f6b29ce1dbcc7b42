"""Renders the embedded data set: an entry's recipe to video files and lists."""

from pathlib import Path

from pipeline_lib.jobs import job
from pipeline_lib.registry import build

with job(snakemake):
    build(snakemake.params.entry).render(Path(snakemake.output.videos).parent, workers=snakemake.threads)
