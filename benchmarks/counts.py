"""Counts what `resources/counted.json` lacks of the shipped configurations: networks, and transforms in front of them.

    python benchmarks/counts.py                      # those of all configurations: minutes, most of them PixelDefend's
    python benchmarks/counts.py generative halftone

Data are not needed: videos have the frames and the size of their data set's entry.
"""

import argparse
from pathlib import Path

import yaml

from pipeline_lib.configuration.clip_numbers import clips_of, official_numbers
from pipeline_lib.configuration.config import read_config
from pipeline_lib.configuration.estimates import Estimates
from pipeline_lib.configuration.stacking import effective_config
from pipeline_lib.configuration.structure import with_defaults
from pipeline_lib.configuration.studies import used_models
from pipeline_lib.jobs.counts import SHIPPED, read_counts, written_counts
from pipeline_lib.plan.planned import count_missing
from pipeline_lib.plan.stand_ins import stand_ins

ROOT = Path(__file__).parents[1]


def estimates_of(name: str) -> Estimates:
    """The estimates of a shipped configuration, with empty files in place of data that are not there."""
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    files = [ROOT / f"config/{name}.yaml"]
    config = effective_config(ROOT / "config", files, {})
    missing = stand_ins(config, Path("/dev/null"))
    plan = read_config(with_defaults(effective_config(ROOT / "config", files, missing.config), schema), schema)
    entries = {dataset: config["datasets"][dataset] for dataset in missing.datasets}
    numbers = {dataset: clips_of(entry, official_numbers(entry["lists"])) for dataset, entry in entries.items()}
    return Estimates(plan=plan, batch_size=1, counts=read_counts([SHIPPED]), given=numbers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=sorted(path.stem for path in (ROOT / "config").glob("*.yaml")))
    for name in parser.parse_args().names:
        estimates, uncounted = estimates_of(name), list[str]()
        plan = estimates.plan
        used = [(dataset, model) for dataset in plan["datasets"] for model in used_models(plan, dataset)]
        found = count_missing(estimates, used, uncounted)
        SHIPPED.write_text(written_counts({**estimates.counts, **found}))
        print(f"{name}: {len(found)} counted", *uncounted, sep="\n  ", flush=True)


if __name__ == "__main__":
    main()
