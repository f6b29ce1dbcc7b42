"""Predicts one target on the clean clips, or on an adversarial set."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job, torch_device

with job(snakemake):
    from pipeline_lib.evaluation.prediction import predict
    from pipeline_lib.evaluation.source import Run, Settings, Source

    adversarial, runs = snakemake.input.get("adversarial"), Path(snakemake.config["results"], ".runs")
    predict(
        Source(weights=Path(snakemake.input.weights), branch=snakemake.params.branch),
        clips=Path(snakemake.input.clips),
        adversarial=Path(adversarial) if adversarial else None,
        scoring=Run(folder=runs / "clean", code=snakemake.params.code),
        output=Path(snakemake.output[0]),
        settings=Settings(
            batch_size=snakemake.params.batch_size,
            device=torch_device(snakemake.config),
            gpu_share=snakemake.config["gpu_share"],
            batch_sizes=runs / "batch_sizes",
        ),
    )
