"""Checks whether one target is robust, on its test clips."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job, torch_device

with job(snakemake):
    from pipeline_lib.check.files import CheckFiles
    from pipeline_lib.check.results import CheckSettings, check_target
    from pipeline_lib.evaluation.source import Run, Source

    check_target(
        Source(weights=Path(snakemake.input.weights), branch=snakemake.params.branch),
        clips=Path(snakemake.input.clips),
        asked=CheckSettings(**snakemake.params.check),
        run=Run(folder=Path(snakemake.config["results"], ".runs", "check"), code=snakemake.params.code),
        device=torch_device(snakemake.config),
        outputs=CheckFiles(**{kind: Path(path) for kind, path in snakemake.output.items()}),
    )
