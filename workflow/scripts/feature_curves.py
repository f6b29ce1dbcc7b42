"""Draws how far adversarial clips are from clean ones in the features of each stage."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    import pandas as pd

    from pipeline_lib.reporting.features import features_figure

    curves = [(label, pd.read_csv(path)) for label, path in snakemake.params.curves]
    features_figure(curves, Path(snakemake.output.png).with_suffix(""))
