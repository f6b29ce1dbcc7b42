"""Learns a universal attack on one source, on the training clips."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job, torch_device

with job(snakemake):
    from pipeline_lib.evaluation.learning import learn_attack

    learn_attack(
        snakemake.params.entry,
        weights=Path(snakemake.input.weights),
        branch=snakemake.params.branch,
        clips=Path(snakemake.input.clips),
        runs=Path(snakemake.config["results"], ".runs", "learn"),
        code=snakemake.params.code,
        seed=snakemake.params.seed,
        output=Path(snakemake.output[0]),
        device=torch_device(snakemake.config),
    )
