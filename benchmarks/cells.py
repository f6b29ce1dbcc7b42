"""Tables and a report of thousands of cells, from predictions that were never made.

    python benchmarks/cells.py --rows 100 --columns 100              # one table of 10,000 cells of 120 clips
    python benchmarks/cells.py --rows 20 --columns 50 --tables 10    # ten tables of 1,000 cells
    python benchmarks/cells.py --no-report                           # the functions of the tables only

Prints CPU seconds of the tables, in this process and without Snakemake's start and plan; of Snakemake in the command
that makes the report, and of each of its jobs; the size of the report; and how long Chromium takes to show its first
page, where both are installed (`make browser`).
"""

import argparse
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scale import ROOT, SCALE, configured, cpu_seconds, graph, snakemake
from snakemake.persistence import MetadataRecord

from pipeline_lib.clips.splits import Video
from pipeline_lib.clips.status import DecodedClip
from pipeline_lib.clips.store_writer import write_store
from pipeline_lib.jobs.recording import write_record
from pipeline_lib.provenance.records import record_of

# In this order each job finds the records of its inputs.
MADE = ("render", "decode", "train", "attack")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def cells(folder: Path, rows: int, columns: int, tables: int, with_report: bool) -> None:
    """Prints what tables of many cells take, and the report with them."""
    options = configured(folder, many_cells(rows, columns, tables))
    layouts = pretend(folder)
    os.chdir(folder)
    began = time.process_time()
    for layout, identity in layouts.values():
        write_one(layout, identity, folder / "out")
    count = rows * columns * tables
    spent = time.process_time() - began
    print(f"{count:,} cells in {tables} tables: {spent:.1f} s of CPU, {1000 * spent / count:.2f} ms for each cell")
    if with_report:
        report(folder, options)


def write_one(layout: Mapping[str, Any], identity: Mapping[str, Any], out: Path) -> None:
    """What the script of the rule `table` does."""
    from pipeline_lib.provenance.origins import origins_of
    from pipeline_lib.reporting.cells import measure
    from pipeline_lib.reporting.difference_files import write_differences
    from pipeline_lib.reporting.differences import build_differences
    from pipeline_lib.reporting.facts import facts_of
    from pipeline_lib.reporting.table_files import write_table
    from pipeline_lib.reporting.tables import read_paper, table_of

    out.mkdir(exist_ok=True)
    numbers = measure(layout)
    table = table_of(layout, read_paper(ROOT / "resources/paper"), numbers)
    differences = build_differences(layout, table, numbers)
    kinds = {"csv": "csv", "markdown": "md", "latex": "tex", "html": "html"}
    facts = facts_of(layout, origins_of(identity, "results"))
    files = {kind: out / f"{layout['name']}.{ending}" for kind, ending in kinds.items()}
    write_table(table, layout, facts, numbers, **files)
    files = {kind: out / f"{layout['name']}_differences.{ending}" for kind, ending in kinds.items()}
    write_differences(differences, layout, **files)


def report(folder: Path, options: list[str]) -> None:
    """Makes the report with Snakemake; prints CPU seconds of it and of each job, the report's size, and its opening."""
    page = folder / "results/report.html"
    spent = cpu_seconds(snakemake(*options, "--", "results/report.html"), ROOT)
    print(f"Snakemake's start, plan and scheduler: {spent:.1f} s of CPU; its jobs, in addition:")
    for log in sorted((folder / "results/logs").glob("**/*.used.json")):
        facts = json.loads(log.read_text())
        print(f"  {log.relative_to(folder / 'results/logs')}: {facts['cpu_seconds']} s of CPU, {facts['peak_mb']} MB")
    print(f"report: {page.stat().st_size / 1e6:.1f} MB")
    if CHROMIUM and find_spec("playwright"):
        print("opened in Chromium after " + ", ".join(f"{opened(page):.2f} s" for _ in range(3)))


def opened(page: Path) -> float:
    """Seconds until a new Chromium shows the first page of a report."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = chromium.new_page()
        began = time.monotonic()
        tab.goto(page.as_uri(), wait_until="commit")
        tab.wait_for_selector(".prose")
        spent = time.monotonic() - began
        chromium.close()
    return spent


def many_cells(rows: int, columns: int, tables: int = 1) -> dict[str, Any]:
    """Studies with the same rows, models without a defense, against PGD: each column is another bound."""
    model = {"network": "tiny", "training": "scratch", "defense": {"method": "standard"}}
    names = [f"m{number:03}" for number in range(rows)]
    attacks = {
        f"a{number:05}": {"base": "pgd", "perturbation": {"epsilon": (number + 1) / 255 / tables}}
        for number in range(columns * tables)
    }
    inherited = yaml.safe_load((ROOT / "config/demo.yaml").read_text())
    more = yaml.safe_load((ROOT / "config/demo_more.yaml").read_text())
    studies = dict.fromkeys([*inherited["studies"], *more["studies"]]) | {
        f"cells_{place}": study(f"Cells {place}", list(attacks)[place * columns : (place + 1) * columns], names)
        for place in range(tables)
    }
    figures = dict.fromkeys([*inherited.get("figures", {}), *more.get("figures", {})])
    return SCALE | {"models": dict.fromkeys(names, model), "attacks": attacks, "studies": studies, "figures": figures}


def study(title: str, attacks: list[str], models: list[str]) -> dict[str, Any]:
    columns, rows = {name: name for name in attacks}, {name.upper(): name for name in models}
    return {"title": title, "dataset": "synthetic", "columns": columns, "rows": rows}


def pretend(folder: Path) -> dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Gives every job that computes plausible outputs and their records; study -> layout and identity of its table."""
    draws = random.Random(0)
    with graph(folder) as (workflow, jobs):
        planning = workflow.globals["PLANNING"]
        made = sorted((job for job in jobs if job.rule.name in MADE), key=lambda job: MADE.index(job.rule.name))
        for path in (folder / str(path) for job in made for path in job.output):
            write(path, draws)
        note(workflow, made)
        identities = [planning.identity(str(job.output[0])) for job in made]
        found = {job.wildcards.study: job.params for job in jobs if job.rule.name == "table"}
        layouts = {name: (given.layout, given.identity) for name, given in found.items()}
    here = Path.cwd()
    os.chdir(folder)
    try:
        for identity in identities:
            write_record(Path("results", identity["record"]), record_of(identity, Path("results")))
    finally:
        os.chdir(here)
    return layouts


def note(workflow: Any, jobs: Sequence[Any]) -> None:
    """Writes Snakemake's own records of the jobs, which its report reads: of a second for each."""
    for place, job in enumerate(jobs):
        times = {"starttime": 1e9 + place, "endtime": 1e9 + place + 1}
        record = MetadataRecord(rule=job.rule.name, job_hash=place, incomplete=False, **times)
        for path in job.output:
            workflow.persistence._write_record(str(path), record)


def write(path: Path, draws: random.Random) -> None:
    """Writes what a finished job could have written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name == "rendered":
        path.mkdir()
    elif path.parent.name == "clips":
        write_clips(path)
    else:
        path.write_text(content(path, draws))


def write_clips(path: Path) -> None:
    """A store of a few black clips."""
    videos = [Video(f"c{number}/v{number:03}.avi", number) for number in range(6)]
    frames = (DecodedClip(np.zeros((2, 4, 4, 3), np.uint8), np.arange(2)) for _ in videos)
    write_store(path, videos, frames, shape=(2, 4, 4, 3), classes=[f"c{number}" for number in range(6)], spec={})


def content(path: Path, draws: Any) -> str:
    """What a finished job could have written."""
    if "predictions" in path.parts:
        rows = [f"c{k % 6}/v{k:03}.avi,{k % 6},{draws.randrange(6)},{draws.random():.6f}," for k in range(120)]
        return "\n".join(["video,label,prediction,loss,selected", *rows, ""])
    if path.name.endswith("audit.csv"):
        names = "clips,iterations,zero_gradients,zero_elements,start_loss,end_loss,predicted_increase,first_rise,"
        names += "changed_predictions,reached_goals,unchanged_clips,live_bound_ratio,bound_ratio,box_excess,model_gap,"
        names += "gap_allowed,clean_accuracy,live_accuracy,stored_accuracy,recovered_clips,last_fall,last_rise,"
        names += "below_floor,classes,one_answer,answer_entropy,balanced_accuracy"
        return (
            names + "\n120,3,0,0.0001,0.1,0.7,0.1,0.1,0.3,0.3,0,1,1,0,0,0.05,98.5,66.7,66.7,0,0.1,0.4,0,6,0.2,1,98.5\n"
        )
    if path.name.endswith("trace.csv"):
        return "step,accuracy,loss\n0,98.2,0.13\n1,90.5,0.29\n2,80.1,0.5\n3,66.7,0.69\n"
    if "models" in path.parts and path.suffix == ".csv":
        run = "compiled False; device cpu; epoch 1; precision fp32; processes 1; seed 0; torch 2"
        return f"epoch,loss,accuracy,learning_rate,parameters,run\n1,2.3,38.9,0.03,126042,{run}\n"
    return path.name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--tables", type=int, default=1)
    parser.add_argument("--no-report", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cells(Path(scratch), options.rows, options.columns, options.tables, not options.no_report)


if __name__ == "__main__":
    main()
