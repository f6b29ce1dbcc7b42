"""Attacks every test clip on one source and stores the adversarial set."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job, torch_device

with job(snakemake):
    from pipeline_lib.evaluation.adversarial import SetFiles, make_adversarial_set
    from pipeline_lib.evaluation.source import Run, Settings, Source

    runs = Path(snakemake.config["results"], ".runs")
    make_adversarial_set(
        snakemake.params.entry,
        source=Source(weights=Path(snakemake.input.weights), branch=snakemake.params.branch),
        clips=Path(snakemake.input.clips),
        learned=Path(snakemake.input.learned[0]) if snakemake.input.learned else None,
        run=Run(folder=runs / "attack", code=snakemake.params.code),
        settings=Settings(
            **snakemake.params.evaluation,
            device=torch_device(snakemake.config),
            gpu_share=snakemake.config["gpu_share"],
            batch_sizes=runs / "batch_sizes",
        ),
        outputs=SetFiles(**{kind: Path(path) for kind, path in snakemake.output.items()}),
    )
