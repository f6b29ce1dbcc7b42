"""Defaults of keys that may be left out, stated once in the schema."""

import copy

import pytest

from configured import CONFIG, SCHEMA, resolved
from pipeline_lib.configuration.structure import check_structure, with_defaults, without_nulls

COMPLETE = with_defaults(CONFIG, SCHEMA)


def defaults_in(schema: dict) -> dict:
    """Every default of a schema, at the path of its key; `*` stands for any name."""
    found = {}
    inner = {**schema.get("properties", {}), "*": schema.get("additionalProperties")}
    for key, each in inner.items():
        if isinstance(each, dict):
            found |= {(key,): each["default"]} if "default" in each else {}
            found |= {(key, *path): value for path, value in defaults_in(each).items()}
    return found


def at(config: dict, path: tuple[str, ...]) -> list:
    """The values of a key wherever its path leads."""
    first, *rest = path
    values = list(config.values()) if first == "*" else [config[first]]
    return [each for value in values for each in at(value, tuple(rest))] if rest else values


def test_every_key_with_a_default_has_a_value():
    defaults = defaults_in(SCHEMA)
    assert defaults[("gpus",)] == 1
    assert ("studies", "*", "paper") in defaults
    for path, default in defaults.items():
        assert all(type(value) is type(default) for value in at(COMPLETE, path)), path


def test_defaults_fit_the_schema():
    check_structure(without_nulls(COMPLETE), SCHEMA)


def test_what_is_written_stays():
    config = copy.deepcopy(CONFIG) | {"gpus": 2, "note": "Mine."}
    config["evaluation"] = config["evaluation"] | {"precision": "bf16"}
    before = copy.deepcopy(config)
    complete = with_defaults(config, SCHEMA)
    assert config == before
    assert (complete["gpus"], complete["gpu_share"], complete["note"]) == (2, 1, "Mine.")
    assert complete["evaluation"]["precision"] == "bf16"
    assert complete["studies"]["oudefend"]["parameters"] is True
    assert complete["studies"]["multav"]["parameters"] is False


@pytest.mark.parametrize("key", ["gpus", "gpu_share", "note"])
def test_a_null_stands_for_the_default(key):
    assert with_defaults(CONFIG | {key: None}, SCHEMA) == COMPLETE


def test_nulls_of_entries_are_kept_for_overlays_and_take_them_away():
    config = CONFIG | {"studies": {"multav": None, "halftone": CONFIG["studies"]["halftone"]}}
    assert with_defaults(config, SCHEMA)["studies"]["multav"] is None
    assert list(resolved(config)["studies"]) == ["halftone"]


@pytest.mark.parametrize("wrong", [None, 3, [], "text"])
def test_a_section_of_another_kind_is_left_to_the_check(wrong):
    assert with_defaults({"evaluation": wrong}, SCHEMA)["evaluation"] == wrong
