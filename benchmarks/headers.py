"""What configurations cost, in their heads: written again from the plan of each, as `make plan` makes it.

    python benchmarks/headers.py                        # of all configurations
    python benchmarks/headers.py config/multav.yaml     # of some

A head has one sentence `Cost by ...`; a configuration without any gets it as the last line of its head. Plans are those
of an empty folder: no results, videos or weights. Each takes about six seconds.
"""

import argparse
import os
import re
import tempfile
import textwrap
from itertools import takewhile
from pathlib import Path

from pipeline_lib.configuration.requests import CPU_TFLOPS_PER_THREAD

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 128
SENTENCE = re.compile(r"(?:Its cost|Cost) by `make plan.*?\sGB\.", re.DOTALL)
# They compute nothing by themselves: defaults, and overlays for any configuration.
NOTHING = {"config.yaml", "small.yaml", "embedded.yaml", "attacks_g1.yaml", "worst_case.yaml"}
# Larger ones are for a GPU.
LARGEST_ON_A_CPU = 20.0  # PFLOP
CORES = 2
GPU = "a100"


def configurations() -> list[Path]:
    """The configurations of this repository that compute something."""
    return sorted(path for path in (ROOT / "config").glob("*.yaml") if path.name not in NOTHING)


def sentence(name: str, jobs: int, petaflop: float, hours: float, gigabytes: float) -> str:
    """The cost of a configuration in words. hours: of the GPU if it is large, of two cores otherwise."""
    words = f"Cost by `make plan CONFIG=config/{name}"
    if petaflop > LARGEST_ON_A_CPU:
        time = f' PLAN="--gpu {GPU}"`: {{}} ({hours:,.0f} hours of one A100, at the utilization that the plan assumes)'
    else:
        time = f"`: {{}} ({hours:.2g} hours of two cores at {CPU_TFLOPS_PER_THREAD} TFLOP/s each)"
    size = f"{petaflop:,.0f}" if petaflop >= 10 else f"{petaflop:.2g}"
    disk = f"{gigabytes:,.0f}" if gigabytes >= 10 else f"{gigabytes:.2g}"
    return f"{words}{time.format(f'{jobs:,} jobs, {size} PFLOP')}, {disk} GB."


def cost(path: Path) -> str:
    """The cost of a configuration, by its plan in the current folder."""
    from pipeline_lib.configuration.requests import TERA
    from pipeline_lib.plan import rates
    from pipeline_lib.plan.planned import plan_of
    from pipeline_lib.plan.summary import GB, PETA, summary_of

    planned = plan_of([path], {}, Path.cwd())
    total = summary_of(planned, rates.named(GPU)).total
    if total.operations / PETA <= LARGEST_ON_A_CPU:
        core = dict.fromkeys(rates.UTILIZATION, CPU_TFLOPS_PER_THREAD * TERA)
        total = summary_of(planned, rates.Rate(core, CORES, "two cores", on_gpu=False)).total
    return sentence(path.name, total.left, total.operations / PETA, total.hours, total.disk / GB)


def head_of(text: str) -> list[str]:
    """The comment lines at the beginning of a configuration, without `# `."""
    lines = takewhile(lambda line: line.startswith("#"), text.splitlines())
    return [line.removeprefix("#").removeprefix(" ") for line in lines]


def with_cost(text: str, words: str) -> str:
    """A configuration with this sentence in its head, in place of the one that is there."""
    head = head_of(text)
    body = text.splitlines(keepends=True)[len(head) :]
    found = SENTENCE.search("\n".join(head))
    if not found:
        return _commented([*head, *wrapped(words)], body)
    first, last = ("\n".join(head)[:place].count("\n") for place in found.span())
    there = SENTENCE.sub(lambda _: words, "\n".join(head[first : last + 1])).replace("\n", " ")
    return _commented([*head[:first], *wrapped(there), *head[last + 1 :]], body)


def wrapped(words: str) -> list[str]:
    """Lines of text; what is in backticks stays in one piece."""
    whole = re.sub(r"`[^`]*`", lambda code: code[0].replace(" ", "\0"), words)
    lines = textwrap.wrap(whole, WIDTH, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\0", " ") for line in lines]


def _commented(head: list[str], body: list[str]) -> str:
    return "".join(f"# {line}".rstrip() + "\n" for line in head) + "".join(body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configurations", type=Path, nargs="*", help="default: all of this repository")
    chosen = [path.resolve() for path in parser.parse_args().configurations] or configurations()
    with tempfile.TemporaryDirectory() as empty:
        os.chdir(empty)
        for path in chosen:
            words = cost(path)
            print(words, flush=True)
            path.write_text(with_cost(path.read_text(), words))


if __name__ == "__main__":
    main()
