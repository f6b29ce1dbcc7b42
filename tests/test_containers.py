"""Jobs in containers: the image is there, the files that make one agree, and Snakemake runs every script in it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.containers import check_image

ROOT = Path(__file__).parents[1]
DOCKERFILE, DEFINITION = ((ROOT / "container" / name).read_text() for name in ("Dockerfile", "apptainer.def"))
# In place of a program that few machines of tests have: notes how it is called, and runs the command on this machine.
STAND_IN = """#!/bin/sh
[ "$1" = --version ] && { echo "apptainer version 1.4.0"; exit 0; }
echo "$@" >> "$(dirname "$0")/calls"
while [ "$1" != -c ]; do shift; done
exec bash -c "$2"
"""


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "container is not set"),
        ("nowhere.sif", "container is 'nowhere.sif': there is no such file"),
        ("docker://a b", "no address with spaces"),
    ],
)
def test_an_image_that_is_not_there_is_refused_before_any_job(image, message):
    with pytest.raises(PipelineError, match=message):
        check_image(image, used=True)
    check_image(image, used=False)


def test_an_address_or_a_file_is_an_image(tmp_path):
    (tmp_path / "image.sif").touch()
    for image in ("docker://debian", str(tmp_path / "image.sif")):
        check_image(image, used=True)


def test_both_images_have_one_base_the_same_files_and_the_same_environment():
    base, defined = re.search(r"^FROM (.+)$", DOCKERFILE, re.M)[1], re.search(r"^From: (.+)$", DEFINITION, re.M)[1]
    assert base == defined
    copied = {Path(name) for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.M) for name in line.split()}
    assert {Path(name) for name in re.findall(r"^ +(?!sh )(\S+) /opt/project/", DEFINITION, re.M)} == copied
    assert all((ROOT / path).exists() for path in copied)
    allowed = {Path(line[1:]) for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    assert allowed == copied
    environment = {word for line in re.findall(r"^ENV (.+)$", DOCKERFILE, re.M) for word in line.split()}
    assert set(re.findall(r"^ +export (.+)$", DEFINITION, re.M)) == environment
    assert all("container/install.sh" in text for text in (DOCKERFILE, DEFINITION))


@pytest.mark.slow
def test_scripts_run_in_the_image_of_the_configuration(tmp_path):
    stand_in = tmp_path / "bin/apptainer"
    stand_in.parent.mkdir()
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    (tmp_path / "image.sif").touch()
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--directory", str(tmp_path), "--sdm", "apptainer"]
    command += ["--configfile", str(ROOT / "tests/faults.yaml"), "--config", "container=image.sif"]
    done = subprocess.run(
        [*command, "--", "results/tiny/clips/test.h5"],
        cwd=ROOT,
        env={"PATH": f"{stand_in.parent}:{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    calls = (stand_in.parent / "calls").read_text().splitlines()
    assert len(calls) == 2  # videos are rendered, then decoded
    assert all(re.search(r"exec .* image\.sif .*\.py", call) for call in calls)
    assert (tmp_path / "results/tiny/clips/test.h5").exists()
