"""Downloads a data set's official archive and unpacks it."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.entries.building import build

    build(snakemake.params.entry).download(Path(snakemake.output[0]))
