"""From a configuration to its jobs, as the workflow and the commands beside it need them."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline_lib.configuration.claim_cells import given_claims
from pipeline_lib.configuration.config import read_config
from pipeline_lib.configuration.given_files import check_given_files
from pipeline_lib.configuration.given_sets import check_set_file, is_given
from pipeline_lib.configuration.jobs import Jobs
from pipeline_lib.configuration.layouts import Layouts
from pipeline_lib.configuration.parameters import attack_entry
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.configuration.stacking import effective_config
from pipeline_lib.configuration.structure import Schema, with_defaults
from pipeline_lib.configuration.studies import used_cells
from pipeline_lib.errors import PipelineError
from pipeline_lib.provenance.content_digests import DIGESTS, store_in

ROOT = Path(__file__).parents[2]
SCHEMA = "workflow/schemas/config.schema.yaml"


def jobs_of(config: Mapping[str, Any], schema: Schema, root: Path) -> Jobs:
    """The jobs of a configuration with defaults. root: the folder of the workflow.

    Raises:
        PipelineError: a configuration that the schema or the plan refuses, or a missing file that entries name.
    """
    plan = read_config(config, schema)
    check_given_files(plan)
    for name, attack in {(cell["source"], cell["attack"]): None for _, cell in used_cells(plan)}:
        if is_given(name):
            check_set_file(plan["sets"][name], attack, attack_entry(plan, attack))
    paths = Paths(config["results"])
    DIGESTS.keep_in(store_in(config["results"]))
    layouts = Layouts(plan, paths, config["note"], given_claims(config["claims"], root / "resources/paper"))
    _ = layouts.claims  # their cells have to exist
    return Jobs(plan, paths, layouts, config["evaluation"], root, config["check"])


def read_schema(root: Path = ROOT) -> Schema:
    """The schema of the configuration."""
    import yaml

    schema: Schema = yaml.load((root / SCHEMA).read_text(), yaml.CSafeLoader)
    return schema


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that give a configuration, named as Snakemake's."""
    parser.add_argument("--configfile", nargs="+", type=Path, default=[], help="as of Snakemake; default: the demo")
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="as of Snakemake")


def config_of(files: Sequence[Path], given: Mapping[str, Any]) -> dict[str, Any]:
    """The effective configuration of files and of the mapping of `--config`, with defaults."""
    for file in files:
        if not file.is_file():
            raise PipelineError(f"--configfile {file}: there is no such file")
    return with_defaults(effective_config(ROOT / "config", files, given), read_schema())


def given_jobs(given: argparse.Namespace) -> Jobs:
    """The jobs of the options' configuration."""
    return jobs_of(config_of(given.configfile, pairs(given.config)), read_schema(), ROOT)


def pairs(written: Sequence[str]) -> dict[str, Any]:
    """The mapping of `--config`. Raises PipelineError for a pair that Snakemake refuses."""
    from snakemake.cli import parse_config

    try:
        return dict(parse_config(written))
    except (ValueError, AssertionError) as error:
        raise PipelineError(f"--config {' '.join(written)}: {error or 'give KEY=VALUE'}") from None
