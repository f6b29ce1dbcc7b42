"""Compares the features of clean and of adversarial clips after each stage of one target."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job, torch_device

with job(snakemake):
    from pipeline_lib.evaluation.features import measure_features
    from pipeline_lib.evaluation.source import Settings, Source

    measure_features(
        Source(weights=Path(snakemake.input.weights), branch=snakemake.params.branch),
        clips=Path(snakemake.input.clips),
        adversarial=Path(snakemake.input.adversarial),
        output=Path(snakemake.output[0]),
        settings=Settings(batch_size=snakemake.params.batch_size, device=torch_device(snakemake.config)),
    )
