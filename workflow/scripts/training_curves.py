"""Draws loss and accuracy of every model of a data set against the epochs."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    import pandas as pd

    from pipeline_lib.reporting.figures import training_figure

    histories = [
        (model, pd.read_csv(path)) for model, path in zip(snakemake.params.models, snakemake.input, strict=True)
    ]
    training_figure(histories, Path(snakemake.output.png).with_suffix(""))
