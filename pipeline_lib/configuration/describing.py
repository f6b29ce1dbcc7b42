"""Descriptions of jobs, from the parts that differ between rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline_lib.configuration.parameters import plain, relative_to
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.provenance.descriptions import Description
from pipeline_lib.provenance.fingerprints import fingerprint

# Rules whose script has another name.
SCRIPTS = {"predict_clean": "predict", "predict_transfer": "predict", "audit_table": "audit"}


@dataclass(frozen=True)
class Describing:
    """Describes jobs. root: the folder of the workflow."""

    paths: Paths
    root: Path

    def __call__(
        self,
        rule: str,
        name: str,
        dataset: str | None,
        settings: Mapping[str, Any],
        entries: Sequence[Any],
        inputs: Mapping[str, str | Sequence[str]],
        outputs: Mapping[str, str],
        sources: Mapping[str, Any] | None = None,
    ) -> Description:
        """The description of a job. name: of the record, as of the log; entries: those that name methods."""
        script = self.root / f"workflow/scripts/{SCRIPTS.get(rule, rule)}.py"
        return Description(
            rule=rule,
            settings=relative_to(self.paths.results, plain(settings)),
            code=fingerprint(script, *entries),
            inputs=inputs,
            outputs=outputs,
            record=self.paths.record(name, dataset),
            sources=sources or {},
        )
