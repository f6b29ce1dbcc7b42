"""The table of audits with what is there: one row per adversarial set, the others `not computed`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_lib.reporting import formats
from pipeline_lib.reporting.audit_files import readable
from pipeline_lib.reporting.audits import SET_COLUMNS, build_audit
from pipeline_lib.reporting.partial_layouts import Reason
from pipeline_lib.reporting.publish import publish

NAME = "audit-partial"
ENDINGS = ("csv", "md")
NOTE = "PARTIAL: {} of {} sets are made; a verdict does not compare a set with a worst case that is not there."


def write_partial_audit(sets: Sequence[Mapping[str, Any]], reason: Reason, caption: str, folder: Path) -> None:
    """Write the audits as CSV and Markdown into a folder.

    sets: entries of `audits.build_audit`, of all sets. caption: of the whole table.
    """
    there = [one for one in sets if not any(reason(one[key]) for key in ("audit", "predictions") if key in one)]
    audit = build_audit(there)
    text = readable(audit)
    lacking = [{name: one[name] for name in SET_COLUMNS} for one in sets if one not in there]
    absent = [dict.fromkeys(audit.columns, formats.NOT_COMPUTED) | one for one in lacking]
    whole = pd.concat([audit.round(6).astype(object), pd.DataFrame(absent, columns=audit.columns)])
    publish(folder / f"{NAME}.csv", whole.to_csv(index=False, lineterminator="\n"))
    shown = pd.DataFrame(
        [dict.fromkeys(text.columns, formats.NOT_COMPUTED) | one for one in lacking], columns=["dataset", *text.columns]
    ).set_index("dataset")
    note = NOTE.format(len(there), len(sets))
    title = f"audit (partial: {len(there)} of {len(sets)} sets)"
    publish(folder / f"{NAME}.md", formats.markdown(title, f"{note} {caption}", pd.concat([text, shown])))
