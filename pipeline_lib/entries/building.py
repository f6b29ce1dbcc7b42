"""Builds objects from resolved configuration entries."""

import importlib
import sys
from pathlib import Path
from typing import Any

from pipeline_lib.provenance.module_files import source_file


def build(entry: Any) -> Any:
    """The object of a resolved entry; nested entries, lists and mappings are built first."""
    if isinstance(entry, list):
        return [build(item) for item in entry]
    if not isinstance(entry, dict):
        return entry
    fields = {key: build(value) for key, value in entry.items() if key != "method"}
    return load(entry["method"])(**fields) if "method" in entry else fields


def load(target: str) -> Any:
    """The class or function `module:name`."""
    name, _, attribute = target.partition(":")
    # For a user's own file in the working folder: Python's path has the script's folder, where Snakemake copied it.
    if source_file(name).is_relative_to(Path.cwd()) and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    return getattr(importlib.import_module(name), attribute)
