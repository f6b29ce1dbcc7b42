"""Learns a universal attack on one source from the training clips."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job, torch_device

with job(snakemake):
    from pipeline_lib.evaluation.learning import learn_attack
    from pipeline_lib.evaluation.source import Run, Source

    learn_attack(
        snakemake.params.entry,
        source=Source(weights=Path(snakemake.input.weights), branch=snakemake.params.branch),
        clips=Path(snakemake.input.clips),
        run=Run(folder=Path(snakemake.config["results"], ".runs", "learn"), code=snakemake.params.code),
        seed=snakemake.params.seed,
        output=Path(snakemake.output[0]),
        device=torch_device(snakemake.config),
    )
