"""Keeps what a stage of one target makes of one test clip, clean and adversarial."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job, torch_device

with job(snakemake):
    from pipeline_lib.evaluation.feature_maps import write_feature_maps
    from pipeline_lib.evaluation.source import Source

    write_feature_maps(
        Source(weights=Path(snakemake.input.weights), branch=snakemake.params.branch),
        clips=Path(snakemake.input.clips),
        adversarial=Path(snakemake.input.adversarial),
        stage=snakemake.wildcards.stage,
        clip=int(snakemake.wildcards.clip),
        output=Path(snakemake.output[0]),
        device=torch_device(snakemake.config),
    )
