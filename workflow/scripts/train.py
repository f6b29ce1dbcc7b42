"""Trains one model, or continues its training."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job, torch_device

with job(snakemake):
    from pipeline_lib.training.job import train_model

    train_model(
        snakemake.params.entry,
        clips=Path(snakemake.input.clips),
        initial=Path(snakemake.input.initial[0]) if snakemake.input.initial else None,
        runs=Path(snakemake.config["results"], ".runs", "train"),
        code=snakemake.params.code,
        weights=Path(snakemake.output.weights),
        history=Path(snakemake.output.history),
        device=torch_device(snakemake.config),
        test=Path(snakemake.input.test[0]) if snakemake.input.test else None,
        processes=max(1, int(snakemake.resources.get("gpu", 0))),
    )
