"""What a run states about itself: its configuration, versions, machine and commit."""

import json
import subprocess
from pathlib import Path

from configured import CONFIG, ROOT, SCHEMA
from pipeline_lib.configuration.stacking import effective_config
from pipeline_lib.configuration.structure import with_defaults
from pipeline_lib.jobs.run_files import write_run_files
from pipeline_lib.provenance.repository import commit, is_dirty


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(["git", *identity, "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_configuration_of_a_run_is_a_configuration_of_the_same_run(tmp_path):
    config = with_defaults(CONFIG, SCHEMA)
    write_run_files(tmp_path / "out", config)
    assert effective_config(ROOT / "config", [tmp_path / "out/config.yaml"], {}) == config


def test_versions_machine_and_commit_are_stated(tmp_path):
    write_run_files(tmp_path, {})
    found = json.loads((tmp_path / "run.json").read_text())
    assert {"python", "snakemake", "torch"} <= found["versions"].keys()
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["memory"] > 2**20
    assert found["git"].keys() == {"commit", "dirty"}


def test_the_commit_of_a_clone_and_of_its_worktree_is_read_without_git(tmp_path):
    clone, worktree = tmp_path / "clone", tmp_path / "worktree"
    clone.mkdir()
    assert commit(clone) is None
    assert is_dirty(clone) is None
    commit.cache_clear()
    git(clone, "init", "-q")
    (clone / "a").write_text("a")
    git(clone, "add", "a")
    git(clone, "commit", "-qm", "a")
    git(clone, "worktree", "add", "-q", str(worktree))
    head = git(clone, "rev-parse", "HEAD")
    assert (commit(clone), commit(worktree)) == (head, head)
    git(clone, "pack-refs", "--all")
    commit.cache_clear()
    assert (commit(clone), commit(worktree)) == (head, head)
    assert commit(clone / "below") is None
    assert is_dirty(clone) is False
    (clone / "b").write_text("b")
    assert is_dirty(clone) is True
