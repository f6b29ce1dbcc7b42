"""The default configuration, and the plan of any configuration as it is written."""

import copy
from pathlib import Path

import yaml

from pipeline_lib.configuration.config import read_config
from pipeline_lib.configuration.structure import with_defaults

ROOT = Path(__file__).parents[1]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
CONFIG = yaml.safe_load((ROOT / "config/config.yaml").read_text())


def resolved(config: dict) -> dict[str, dict]:
    """As the workflow does: with the defaults of the schema, checked against it, resolved."""
    return read_config(with_defaults(config, SCHEMA), SCHEMA)


def changed(path: str, value: object) -> dict:
    """The default configuration with one value set, by its dotted path."""
    config = copy.deepcopy(CONFIG)
    *parents, last = path.split(".")
    entry = config
    for name in parents:
        entry = entry[name]
    entry[last] = value
    return config
