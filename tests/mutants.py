"""What mutmut has found so far, as the table of tests/mutants.md: run it after, or during, `make mutants`.

Decided mutants of each file, how many of them a test (or the time limit) has killed, and how many no test reaches.
"""

import json
from pathlib import Path

MUTANTS = Path(__file__).parents[1] / "mutants"
SURVIVED, UNREACHED = 0, 33  # exit codes of pytest and of mutmut


def outcomes(path: Path) -> list[int]:
    """The exit codes of a file's mutants that have been tried."""
    return [code for code in json.loads(path.read_text())["exit_code_by_key"].values() if code is not None]


def row(name: str, codes: list[int]) -> str:
    killed = len(codes) - codes.count(SURVIVED) - codes.count(UNREACHED)
    return f"| `{name}` | {killed} | {len(codes)} | {100 * killed / len(codes):.1f} | {codes.count(UNREACHED)} |"


def main() -> None:
    found = {path: outcomes(path) for path in sorted(MUTANTS.glob("pipeline_lib/**/*.meta"))}
    print("| file | killed | tried | % | no test |\n|---|---|---|---|---|")
    for path, codes in found.items():
        if codes:
            print(row(str(path.relative_to(MUTANTS / "pipeline_lib").with_suffix("")), codes))
    everything = [code for codes in found.values() for code in codes]
    if everything:
        print(row("all", everything))


if __name__ == "__main__":
    main()
