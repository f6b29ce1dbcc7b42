"""Files of a user's own beside the Snakefile, and configurations that name their classes."""

import copy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from configured import CONFIG
from pipeline_lib.provenance.sources import read_source
from planning import CACHES

HEAD = """
from __future__ import annotations
import dataclasses as dc
import typing as t
from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import Annotated, ClassVar, Literal, Optional, Union
import torch
from torch import nn
from pipeline_lib.defenses.adversarial_training import AdversarialTraining
from pipeline_lib.defenses.objective import Attack
"""
SIMPLE = """
@dataclass(frozen=True, kw_only=True)
class Simple:
    epsilon: float = 0.1
    def __call__(self, loss, clips, generators):
        return (clips + self.epsilon).clamp(0, 1)
    def quantize(self, adversarial, clean):
        return (adversarial * 255).round() / 255
    def ratio_to_bound(self, adversarial, clean):
        return (adversarial - clean).abs().flatten(1).amax(1) / self.epsilon
"""


def forget() -> None:
    """Forgets what was found in other folders; what was read of the package's own files stays."""
    for cache in CACHES:
        if cache is not read_source:
            cache.cache_clear()


@pytest.fixture
def own(tmp_path, monkeypatch) -> Iterator[Callable[..., Path]]:
    """Writes a module `own_file` of the user's and a package `own_parts` into the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def write(text: str = "", package: dict[str, str] | None = None) -> Path:
        forget()
        if (tmp_path / "own_file.py").exists():
            read_source.cache_clear()
        files = {f"own_parts/{name}": part for name, part in (package or {}).items()}
        for name, part in (files | {"own_file": text, "adapter": "x = 1"}).items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(part)
        return tmp_path

    yield write
    for name in [name for name in sys.modules if name.startswith(("own_file", "own_parts"))]:
        del sys.modules[name]
    forget()


def changed(*changes: tuple[str, object]) -> dict:
    """The default configuration with values set by their dotted paths."""
    config = copy.deepcopy(CONFIG)
    for path, value in changes:
        *parents, last = path.split(".")
        entry = config
        for name in parents:
            entry = entry[name]
        entry[last] = value
    return config
