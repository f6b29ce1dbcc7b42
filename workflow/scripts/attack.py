"""Attacks every test clip on one source and caches the adversarial set."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job, torch_device

with job(snakemake):
    from pipeline_lib.evaluation.adversarial import make_adversarial_set

    make_adversarial_set(
        snakemake.params.entry,
        weights=Path(snakemake.input.weights),
        branch=snakemake.params.branch,
        clips=Path(snakemake.input.clips),
        learned=Path(snakemake.input.learned[0]) if snakemake.input.learned else None,
        runs=Path(snakemake.config["results"], ".runs", "attack"),
        code=snakemake.params.code,
        batch_size=snakemake.params.evaluation["batch_size"],
        seed=snakemake.params.evaluation["seed"],
        precision=snakemake.params.evaluation["precision"],
        gpu_share=snakemake.config["gpu_share"],
        adversarial=Path(snakemake.output.adversarial),
        predictions=Path(snakemake.output.predictions),
        audit=Path(snakemake.output.audit),
        trace=Path(snakemake.output.trace),
        device=torch_device(snakemake.config),
    )
