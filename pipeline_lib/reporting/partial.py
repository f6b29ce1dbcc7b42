"""`python -m pipeline_lib.reporting.partial --configfile mine.yaml`: the tables with what is there.

Into `results/partial`: each study's table, in which the rest is `not computed`, and README.md, which lists what is
missing and the job that comes first. Only results of this configuration are used, and nothing is computed.

Exit status: 0, or 2 for unsuitable input, in one sentence.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pipeline_lib.commands import exit_with
from pipeline_lib.configuration.jobs import Jobs
from pipeline_lib.configuration.layout_keys import worst_of
from pipeline_lib.configuration.paths import TABLE_ENDINGS
from pipeline_lib.configuration.reading import add_options, given_jobs
from pipeline_lib.errors import PipelineError
from pipeline_lib.provenance.availability import Availability
from pipeline_lib.provenance.comparison import Comparison
from pipeline_lib.provenance.descriptions import Identities, below
from pipeline_lib.provenance.origins import Origins
from pipeline_lib.reporting import partial_audits
from pipeline_lib.reporting.failures import Failures
from pipeline_lib.reporting.partial_audits import write_partial_audit
from pipeline_lib.reporting.partial_layouts import Missing, PartialLayout, partial_layout
from pipeline_lib.reporting.partial_tables import NAME, write_partial
from pipeline_lib.reporting.publish import publish
from pipeline_lib.reporting.tables import read_paper

BAD_INPUT = 2
HEAD = """# Partial tables

Made of the results that were there for this configuration. A cell that is not there is `not computed`. These are not
the tables of the study: those are in `../tables`, once everything is computed.

"""


def write_partial_tables(jobs: Jobs) -> str:
    """Write the partial tables of all studies; return a line for each, and one that states where they are."""
    folder, failures = Path(jobs.paths.partial()), Failures(availability_of(jobs), Path(jobs.paths.results))
    reason, layouts = failures.availability.reason, jobs.layouts
    found = {name: partial_layout(layout, reason, failures.error) for name, layout in layouts.studies.items()}
    printed = read_paper(jobs.root / "resources/paper")
    for one in found.values():
        write_partial(one, printed, origins_of_layout(one, jobs), folder)
    sets = [{**one, "audit": path} for one, path in zip(layouts.audited_sets, layouts.audits(), strict=True)]
    caption = " ".join((jobs.root / "workflow/report/audit.rst").read_text().partition("\n\n")[0].split())
    write_partial_audit(sets, reason, caption, folder)
    publish(folder / "README.md", readme(found, failures, jobs))
    names = {f"{NAME.format(name)}.{ending}" for name in found for ending in TABLE_ENDINGS.values()} | {"README.md"}
    names |= {f"{partial_audits.NAME}.{ending}" for ending in partial_audits.ENDINGS}
    for path in folder.iterdir():  # of studies that the configuration no longer has
        if path.name not in names and path.is_file():
            path.unlink()
    lines = [f"{name}: {one.cells} of {one.planned} cells" for name, one in found.items()]
    return "\n".join([*(lines or ["There is no study."]), f"Tables, and what is missing: {folder}/README.md"])


def show_partial_tables(jobs: Jobs, show: Callable[[str], None]) -> None:
    """Writes the partial tables after a failure, and shows where they are. The failure itself is what is reported."""
    try:
        show(f"What is there as tables:\n{write_partial_tables(jobs)}")
    except Exception as error:
        show(f"There are no partial tables: {error}")


def availability_of(jobs: Jobs) -> Availability:
    """Which results of a configuration can be used."""
    return Availability(Comparison(jobs.paths.results, Identities(jobs.maker)))


def origins_of_layout(found: PartialLayout, jobs: Jobs) -> Origins:
    """The records of the predictions of a layout."""
    results, rows = jobs.paths.results, found.layout["rows"]
    files = {path for row in rows for paths in row["cells"].values() for path in paths}
    files |= {path for row in rows for one in worst_of(row).values() for path in one["cells"]}
    makers = {path: maker for path in files if (maker := jobs.maker(path))}
    return Origins(results, {below(results, path): below(results, maker.record) for path, maker in makers.items()})


def readme(found: Mapping[str, PartialLayout], failures: Failures, jobs: Jobs) -> str:
    """Return the list of what is missing: by the job that comes first, and then by cell."""
    parts = [f"- {name}: {one.cells} of {one.planned} cells" for name, one in found.items()] or ["There is no study."]
    missing = [one for partial in found.values() for one in partial.missing]
    if not missing:
        return HEAD + "\n".join([*parts, "", "Nothing is missing: the same command of Snakemake makes the tables.", ""])
    parts += ["", "## What is to be made first", ""]
    parts += [f"- {line}" for line in first_jobs(missing, failures, jobs)]
    for name, one in found.items():
        if one.missing:
            parts += ["", f"## Missing in {name}", ""]
            parts += [f"- {line_of(cell)}" for cell in one.missing]
    return HEAD + "\n".join([*parts, ""])


def line_of(cell: Missing) -> str:
    return ": ".join(filter(None, (f"{cell.row} / {cell.column}", cell.path, cell.reason, cell.error)))


def first_jobs(missing: Sequence[Missing], failures: Failures, jobs: Jobs) -> Iterator[str]:
    """Yield each job that comes first, with the number of files that wait for it, its log and error, if it has run."""
    waiting: dict[str, set[str]] = {}
    first = {}
    for one in missing:
        if job := failures.first(one.path):
            waiting.setdefault(job.record, set()).add(one.path)
            first[job.record] = job
    for record, paths in sorted(waiting.items()):
        name = below(jobs.paths.results, record).replace("identities/", "").removesuffix(".json")
        log, error = Path(record.replace("/identities/", "/logs/")).with_suffix(".log"), failures.of(first[record])
        words = (f"; its last log is {log}" if log.exists() else "", f"; it failed: {error}" if error else "")
        yield f"{name}, for {len(paths)} files{''.join(words)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline_lib.reporting.partial",
        description="The tables with what is there, in results/partial.",
    )
    add_options(parser)
    try:
        print(write_partial_tables(given_jobs(parser.parse_args(arguments))))
    except PipelineError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    return 0


if __name__ == "__main__":
    exit_with(main)
