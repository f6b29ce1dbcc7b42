"""Jobs of a plan."""

from collections.abc import Mapping
from typing import NamedTuple

from pipeline_lib.configuration.pass_costs import Work


class Asked(NamedTuple):
    """What a job requests of a cluster: MB and minutes."""

    memory: int
    minutes: int


class Job(NamedTuple):
    """A job of the graph: rule, wildcards, whether it has to run, its work, and what it requests if it computes."""

    rule: str
    wildcards: Mapping[str, str]
    left: bool
    work: Work
    asked: Asked | None

    @property
    def name(self) -> str:
        return " ".join([self.rule, *self.wildcards.values()])
