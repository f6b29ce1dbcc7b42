"""Draws accuracy against the number of an attack's iterations."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    import pandas as pd

    from pipeline_lib.reporting.figures import iterations_figure

    curves = [(label, pd.read_csv(path)) for label, path in snakemake.params.curves]
    clips = int(pd.read_csv(snakemake.params.curves[0][1].replace(".trace.csv", ".audit.csv"))["clips"][0])
    iterations_figure(curves, clips, Path(snakemake.output.png).with_suffix(""))
