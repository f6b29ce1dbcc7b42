"""Attacks every test clip on one source and stores the adversarial set."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job, torch_device

with job(snakemake):
    from pipeline_lib.evaluation.adversarial import SetFiles, make_adversarial_set
    from pipeline_lib.evaluation.source import Run, Settings, Source
    from pipeline_lib.jobs.sharing import shorter_runs

    results = Path(snakemake.config["results"])
    runs = results / ".runs"
    with shorter_runs(results, snakemake.params.identity["identity"]) as shorter:
        make_adversarial_set(
            snakemake.params.entry,
            source=Source(weights=Path(snakemake.input.weights), branch=snakemake.params.branch),
            clips=Path(snakemake.input.clips),
            learned=Path(snakemake.input.learned[0]) if snakemake.input.learned else None,
            run=Run(
                folder=runs / "attack",
                code=snakemake.params.code,
                scoring=Run(folder=runs / "clean", code=snakemake.params.scoring),
                shorter=shorter,
            ),
            settings=Settings(
                **snakemake.params.evaluation,
                device=torch_device(snakemake.config),
                gpu_share=snakemake.config["gpu_share"],
                batch_sizes=runs / "batch_sizes",
            ),
            outputs=SetFiles(**{kind: Path(path) for kind, path in snakemake.output.items()}),
        )
