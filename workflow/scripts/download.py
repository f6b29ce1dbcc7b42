"""Downloads a data set's official archive and unpacks it."""

from pathlib import Path

from pipeline_lib.jobs import job
from pipeline_lib.registry import build

with job(snakemake):
    build(snakemake.params.entry).download(Path(snakemake.output[0]))
