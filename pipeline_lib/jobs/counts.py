"""Counted operations and memory of networks, in a small JSON file that the rules read without torch.

`python -m pipeline_lib.plan` counts them on the real networks, and `resources/counted.json` has those of the shipped
configurations. Requests of jobs follow from them; no result does.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline_lib.entries.facts import declared, innermost, known_value, layers, target_of
from pipeline_lib.entries.fields import fields
from pipeline_lib.provenance.fingerprints import canonical, digest

FILE = "counted.json"
# How counts are made: those that an earlier version made are not used.
COUNTED = 2
SHIPPED = Path(__file__).parents[2] / "resources" / FILE


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Of a network, per clip: floating-point operations and bytes of the passes `forward` (no gradients), `to_input`
    (forward and backward to the clips, parameters frozen) and `training` (to the parameters).

    memory: of what a pass keeps, without the weights and their gradients. parameters: their number. elements: that
    torch's operators write. calls: of these operators by a pass of a batch, whatever its size.
    """

    parameters: int
    operations: Mapping[str, float]
    memory: Mapping[str, float]
    elements: Mapping[str, float] = field(default_factory=dict)
    calls: Mapping[str, float] = field(default_factory=dict)


def sum_of(counts: Sequence[Counts]) -> Counts | None:
    """The counts of networks that run on the same clips, with all activations kept; None without networks."""
    if not counts:
        return None
    passes = counts[0].operations
    of_passes = {
        name: {key: sum(getattr(one, name).get(key, 0) for one in counts) for key in passes}
        for name in ("operations", "memory", "elements", "calls")
    }
    return Counts(parameters=sum(one.parameters for one in counts), **of_passes)


def behind(network: Counts, transform: Counts, differentiable: bool) -> Counts:
    """The counts of a network behind a transform. differentiable: the transform's activations are kept for the
    gradient; else they are gone when the network begins."""
    together = sum_of([transform, network])
    assert together is not None
    kept = {key: max(value, transform.memory[key]) for key, value in network.memory.items()}
    return together if differentiable else replace(together, memory=kept)


def transforms_of(defense: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The entries of the transforms that a defense puts in front of its network: those of its fields whose classes
    declare `differentiable`."""
    values = (known_value(layer, key) for layer in layers(defense) for key in fields(target_of(layer)))
    return [one for one in values if isinstance(one, Mapping) and declared(one, "differentiable") is not None]


def key_of_transform(transform: Mapping[str, Any], shape: Sequence[int]) -> str:
    """The key of a transform's counts, for clips of a shape."""
    return digest(canonical([COUNTED, "transform", transform, list(shape)]))


def key_of(network: Mapping[str, Any], defense: Mapping[str, Any], shape: Sequence[int]) -> str:
    """The key of a network that a defense extends, for clips of a shape: what its operations depend on."""
    return digest(canonical([COUNTED, network, _without_attacks(innermost(defense)), list(shape)]))


def _without_attacks(defense: Mapping[str, Any]) -> dict[str, Any]:
    """A defense without its attacks, which do not change the network; of branches, their names."""
    own, branches = fields(target_of(defense)), declared(defense, "branches_by")
    kept = {key: value for key, value in defense.items() if key not in own or "Attack" not in own[key].annotation}
    return kept | ({"branches": list(defense[branches])} if branches else {})


def read_counts(paths: Iterable[Path]) -> dict[str, Counts]:
    """The counts in several files, the last ones first in case of doubt; files that cannot be read are ignored."""
    found: dict[str, Counts] = {}
    for path in paths:
        with suppress(OSError, ValueError, TypeError, AttributeError):
            found |= {key: Counts(**value) for key, value in json.loads(path.read_text()).items()}
    return found


def written_counts(counts: Mapping[str, Counts]) -> str:
    """The content of a file of counts."""
    found = {
        key: {name: one for name, one in asdict(value).items() if one != {}} for key, value in sorted(counts.items())
    }
    return json.dumps(found, indent=0) + "\n"


def counts_file(results: str) -> Path:
    """The file of counts below a folder of results."""
    return Path(results) / ".runs" / FILE
