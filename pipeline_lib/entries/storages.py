"""How the clips of an attack's sets are stored: the values of the key `storage` in an attack's entry."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

Storage = Literal["lattice", "float32"]
LATTICE: Storage = "lattice"  # the default
STORAGES: tuple[Storage, ...] = get_args(Storage)


def storage_of(attack: Mapping[str, Any]) -> Storage:
    """The storage of a resolved attack entry, which contains it unless it is the default."""
    return attack.get("storage", LATTICE)
