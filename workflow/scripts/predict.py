"""Predicts one target on the clean clips, or on an adversarial set."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job, torch_device

with job(snakemake):
    from pipeline_lib.evaluation.prediction import predict

    adversarial = snakemake.input.get("adversarial")
    predict(
        weights=Path(snakemake.input.weights),
        branch=snakemake.params.branch,
        clips=Path(snakemake.input.clips),
        adversarial=Path(adversarial) if adversarial else None,
        output=Path(snakemake.output[0]),
        runs=Path(snakemake.config["results"], ".runs", "batch_sizes"),
        batch_size=snakemake.params.batch_size,
        gpu_share=snakemake.config["gpu_share"],
        device=torch_device(snakemake.config),
    )
