"""Trains one model, or continues its training."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job, torch_device

with job(snakemake):
    from pipeline_lib.training.job import Inputs, Outputs, train_model

    train_model(
        snakemake.params.entry,
        Inputs(
            clips=Path(snakemake.input.clips),
            initial=Path(snakemake.input.initial[0]) if snakemake.input.initial else None,
            selector=Path(snakemake.input.selector[0]) if snakemake.input.selector else None,
            members=tuple(map(Path, snakemake.input.members)),
            generator=Path(snakemake.input.generator[0]) if snakemake.input.generator else None,
            test=Path(snakemake.input.test[0]) if snakemake.input.test else None,
        ),
        Outputs(
            weights=Path(snakemake.output.weights),
            history=Path(snakemake.output.history),
            runs=Path(snakemake.config["results"], ".runs", "train"),
        ),
        code=snakemake.params.code,
        device=torch_device(snakemake.config),
        processes=max(1, int(snakemake.resources.get("gpu", 0))),
    )
