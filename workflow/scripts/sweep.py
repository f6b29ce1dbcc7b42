"""Draws accuracy against the value that a sweep of attacks is about."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.reporting.sweeps import build_sweeps, sweeps_figure, write_sweeps

    table = build_sweeps(snakemake.params.layout)
    write_sweeps(table, Path(snakemake.output.csv))
    sweeps_figure(table, Path(snakemake.output.png).with_suffix(""), title=snakemake.params.title)
