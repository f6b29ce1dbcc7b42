"""Which job makes a file: the inverse of `Paths`."""

from typing import NamedTuple

from pipeline_lib.configuration.entries import CLEAN
from pipeline_lib.configuration.paths import Paths

AUDIT, OPENING, CLAIMS, FRONT = "audit", "opening", "claims", "front"


class Owner(NamedTuple):
    """The rule that makes a file, and its wildcards. The rules of figures are one, `figure`."""

    rule: str
    wildcards: dict[str, str]


def owner_of(paths: Paths, path: str) -> Owner | None:
    """The job that makes a file; None for a file outside the folder of results, or an unknown one in it.

    Names of data sets, models, attacks, studies and figures contain no dots and slashes.
    """
    if not path.startswith(f"{paths.results}/"):
        return None
    match path.removeprefix(f"{paths.results}/").split("/"):
        case ["report.html" | "README.md"]:
            return Owner("report", {})
        case ["summary.json"]:
            return Owner("summary", {})
        case ["tables", "differences", name]:
            return Owner("table", {"study": _stem(name)})
        case ["tables", name]:
            return _table(_stem(name))
        case ["figures", name]:
            return Owner("figure", {"figure": _stem(name)})
        case [dataset, "rendered"]:
            return Owner("render", {"dataset": dataset})
        case [dataset, "downloaded"]:
            return Owner("download", {"dataset": dataset})
        case [dataset, folder, *rest]:
            return _of_dataset(dataset, folder, rest)
    return None


def _table(name: str) -> Owner:
    own = {AUDIT: "audit_table", OPENING: "opening", CLAIMS: "claims", FRONT: "report"}
    return Owner(own[name], {}) if name in own else Owner("table", {"study": name})


def _of_dataset(dataset: str, folder: str, rest: list[str]) -> Owner | None:
    match folder, rest:
        case "clips", [name]:
            return Owner("decode", {"dataset": dataset, "split": _stem(name)})
        case "models", [name]:
            return Owner("train", {"dataset": dataset, "model": _stem(name)})
        case "adversarial", [source, name]:
            rule = "learn" if name.endswith(".learned.pt") else "attack"
            return Owner(rule, {"dataset": dataset, "source": source, "attack": _stem(name)})
        case "predictions", [target, name] if _stem(name) == CLEAN:
            return Owner("predict_clean", {"dataset": dataset, "target": target})
        case "predictions", [target, source, name]:
            made = {"dataset": dataset, "source": source, "attack": _stem(name)}
            return Owner("attack", made) if source == target else Owner("predict_transfer", made | {"target": target})
        case "checks", [name]:
            return Owner("check", {"dataset": dataset, "target": _stem(name)})
        case "unions", [study, name]:
            return Owner("union", {"dataset": dataset, "study": study, "cascade": _stem(name)})
        case "features", [source, name]:
            return Owner("features", {"dataset": dataset, "source": source, "attack": _stem(name)})
        case "feature_maps", [source, attack, name]:
            stage, _, clip = _stem(name).partition("-")
            made = {"dataset": dataset, "source": source, "attack": attack}
            return Owner("feature_maps", made | {"stage": stage, "clip": clip})
    return None


def _stem(name: str) -> str:
    return name.partition(".")[0]
