"""Attacks the test clips on one model with a row's attacks in sequence, each on the clips that are still correct."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job, torch_device

with job(snakemake):
    from pipeline_lib.evaluation.cascade import Step, make_union
    from pipeline_lib.evaluation.source import Run, Settings

    runs = Path(snakemake.config["results"], ".runs")
    make_union(
        [Step(name=one["attack"], entry=one["entry"], branch=one["branch"]) for one in snakemake.params.attacks],
        weights=Path(snakemake.input.weights),
        clips=Path(snakemake.input.clips),
        clean=[Path(path) for path in snakemake.input.clean],
        run=Run(folder=runs / "union", code=snakemake.params.code),
        settings=Settings(
            **snakemake.params.evaluation,
            device=torch_device(snakemake.config),
            gpu_share=snakemake.config["gpu_share"],
            batch_sizes=runs / "batch_sizes",
        ),
        output=Path(snakemake.output[0]),
    )
