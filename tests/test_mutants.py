"""What `make mutants` is configured with exists: a name that has changed would silently leave its tests or code out."""

import tomllib

from readme import ROOT

MUTMUT = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]


def test_every_pattern_names_files():
    for pattern in (*MUTMUT["only_mutate"], *MUTMUT["do_not_mutate"], *MUTMUT["also_copy"]):
        assert list(ROOT.glob(pattern)), pattern


def test_tests_that_are_left_out_exist():
    for option in MUTMUT["pytest_add_cli_args_test_selection"][1:]:
        file, _, test = option.partition("=")[2].partition("::")
        assert f"def {test}" in (ROOT / file).read_text(), option
