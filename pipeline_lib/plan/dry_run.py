"""Snakemake's own graph of jobs, by a dry run in this process: exactly what it would run."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    DeploymentSettings,
    OutputSettings,
    Quietness,
    ResourceSettings,
    StorageSettings,
    WorkflowSettings,
)


@contextmanager
def silent() -> Iterator[None]:
    """Inside, nothing is printed: a dry run lists every job, in spite of `quiet`."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        yield


@contextmanager
def dry_run(
    snakefile: Path, folder: Path, config: Mapping[str, Any], files: Sequence[Path] = (), **settings: Any
) -> Iterator[Any]:
    """Inside, Snakemake's workflow with its graph of jobs; nothing is run, and the working folder is kept.

    config, files: as given by `--config` and `--configfile`. settings: of the graph, named as Snakemake's options.
    """
    before = Path.cwd()
    try:
        # Its log is bound to the streams of its start.
        with silent(), SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL})) as api:
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=64),
                config_settings=ConfigSettings(config=dict(config), configfiles=list(files)),
                storage_settings=StorageSettings(),
                workflow_settings=WorkflowSettings(),
                deployment_settings=DeploymentSettings(),
                snakefile=snakefile,
                workdir=folder,
            )
            workflow.dag(DAGSettings(**settings)).execute_workflow(executor="dryrun", updated_files=[])
            yield workflow._workflow
    finally:
        os.chdir(before)
