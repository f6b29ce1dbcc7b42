"""Configuration files on the command line that Snakemake cannot read, or not in time: refused in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline_lib.configuration.configfiles import check_configfiles, configfiles
from pipeline_lib.configuration.yaml_files import LARGEST_FILE
from planning import ROOT

REFUSED = {
    "not UTF-8": (b"device: cpu\nnote: caf\xe9\n", "line 2: not UTF-8: save the file in that encoding"),
    "an anchor in itself": (b"studies: &a\n  x: *a\n", "line 1: studies.x contains itself"),
    "too large": (b"# " + b"x" * LARGEST_FILE, f"{LARGEST_FILE + 2:,} bytes are too many for a configuration"),
    "repeated": (b"threads: 1\nthreads: 2\n", "lines 1 and 2: threads occurs twice"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_that_cannot_be_used_ends_the_process_with_one_line(tmp_path, capsys, kind):
    content, message = REFUSED[kind]
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    with pytest.raises(SystemExit) as end:
        check_configfiles(["snakemake", "--configfile", str(file)])
    (line,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 1
    assert line.startswith(f"Error: {file}")
    assert message in line


def test_what_snakemake_names_itself_is_left_to_it(tmp_path):
    (tmp_path / "mine.yaml").write_text("a: [1\n")
    check_configfiles(["snakemake", "--configfile", str(tmp_path / "mine.yaml"), str(tmp_path / "none.yaml")])


def test_files_are_those_behind_the_option_up_to_the_next_one():
    words = "snakemake --cores all --configfile a.yaml b.yaml --config c=1 --configfiles=d.yaml e.yaml -n f.yaml"
    assert list(map(str, configfiles(words.split()))) == ["a.yaml", "b.yaml", "d.yaml", "e.yaml"]


@pytest.mark.parametrize("profile", ["default", "slurm"])
def test_the_profiles_call_the_check(tmp_path, profile):
    (tmp_path / "mine.yaml").write_bytes(REFUSED["not UTF-8"][0])
    command = [sys.executable, "-m", "snakemake", "-n", "--workflow-profile", str(Path("profiles") / profile)]
    done = subprocess.run(
        [*command, "--configfile", str(tmp_path / "mine.yaml")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "not UTF-8" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["default", "slurm"])
def test_an_installed_package_of_another_clone_is_not_what_plans(tmp_path, profile):
    """The profile finds the check there; the Snakefile, which needs much else, loads the package beside it."""
    if profile == "slurm":
        pytest.importorskip("snakemake_executor_plugin_slurm")
    other = tmp_path / "pipeline_lib/configuration"
    other.mkdir(parents=True)
    for folder in (other, other.parent):
        (folder / "__init__.py").touch()
    (other / "configfiles.py").write_text("def check_configfiles(words): print('checked by another clone')\n")
    profiles = ["--workflow-profile", f"profiles/{profile}"]
    # -P: as for the command `snakemake`, whose folder of modules is not the working folder.
    command = [sys.executable, "-P", "-m", "snakemake", "-n", *profiles]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    where = ["--cores", "1", "--directory", str(tmp_path / "work")]
    done = subprocess.run([*command, *where], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "checked by another clone" in done.stdout
    assert done.returncode == 0, done.stderr[-3000:]
    assert "train" in done.stdout + done.stderr
