"""One run for a sweep of iterations: every set is the one that is made alone; and clean clips that are scored once."""

import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

import tiny
from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.losses import loss_and_gradient
from pipeline_lib.entries.ranges import method
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation import adversarial, prediction
from pipeline_lib.evaluation.source import Run
from pipeline_lib.jobs.locks import try_lock
from pipeline_lib.jobs.sharing import ShorterRun, has_failed, shorter_runs, write_shared
from planning import copy_project, execute, pretend_finished
from sets import attacked, predicted, rows_of, same_results
from test_adversarial_runs import KILLED_AGAIN_AND_AGAIN, LONG
from test_transformed import NOISE, behind
from training_runs import always_asked, trained


@method
class Ahead(Ascent):
    """An attack of one's own, which takes its gradients half a step beyond its iterates."""

    iterations: ClassVar[str] = "steps"
    begins_longer_runs: ClassVar[str] = "True"

    def __call__(self, loss, clips, generators):
        return list(self.iterates(loss, clips, generators, [self.steps]))[-1]

    def iterates(self, loss, clips, generators, steps):
        at, beyond = clips, clips
        for step in range(1, max(steps) + 1):
            _, gradient = loss_and_gradient(loss, beyond)
            new = self.advance(at, gradient, clips, generators)
            at, beyond = new, (new + (new - at) / 2).clamp(0, 1)
            if step in steps:
                yield at


DRAWN = tiny.ROA | {"perturbation": tiny.ROA["perturbation"] | {"step_size": 0.1}}
FAMILIES = {
    "pgd": tiny.PGD,
    "drawn rectangles, momentum": DRAWN | {"momentum": 0.9},
    "l1, drawn steps, float32": tiny.L1 | {"storage": "float32"},
    "bf16": tiny.PGD | {"precision": "bf16"},
    "gradients elsewhere": tiny.PGD | {"method": f"{__name__}:Ahead"},
}


@pytest.fixture(scope="module")
def made(made) -> Path:
    trained(made, tiny.model_entry(behind(NOISE)), made / "clips.h5", "stochastic")
    return made


def steps(entry: dict, count: int) -> dict:
    return entry | {"steps": count}


def no_attack(*arguments: object) -> None:
    raise AssertionError("the clips are there")


@pytest.mark.parametrize(
    ("kind", "model"),
    [*((kind, "plain") for kind in FAMILIES), ("pgd", "stochastic")],
)
def test_sets_of_a_sweep_have_the_bytes_of_those_made_alone(made, tmp_path, monkeypatch, kind, model):
    """Also the facts of the first step, for which one iteration takes a pass of its own; and networks that draw."""
    entry, counts = FAMILIES[kind], (1, 2, 5)
    alone = {count: attacked(made, tmp_path / f"{count}", steps(entry, count), model=model) for count in counts}
    together = tmp_path / "together"
    shorter = [steps(entry, count) for count in counts[:-1]]
    attacked(made, together, steps(entry, 5), model=model, shorter=shorter)
    assert same_results(together, alone[5])
    monkeypatch.setattr(adversarial, "attack_clips", no_attack)
    for count in counts[:-1]:
        assert same_results(attacked(made, together, steps(entry, count), model=model), alone[count])


def test_stopped_after_each_batch_all_sets_end_with_the_same_bytes(made, tmp_path, monkeypatch):
    """The batches of the next attempt are others: clips are never in two shards."""
    alone = {count: attacked(made, tmp_path / f"{count}", steps(tiny.PGD, count)) for count in (1, 5)}
    out, shorter = tmp_path / "out", [steps(tiny.PGD, 1)]
    for batch_size in (4, 4):
        with monkeypatch.context() as patch, pytest.raises(SystemExit):
            patch.setattr(adversarial, "stop_requests", always_asked)
            attacked(made, out, steps(tiny.PGD, 5), shorter=shorter, batch_size=batch_size)
    for lost in sorted(out.glob("runs/*/clips*.npz"))[-1:]:
        lost.unlink()
    assert same_results(attacked(made, out, steps(tiny.PGD, 5), shorter=shorter), alone[5])
    assert same_results(attacked(made, out, steps(tiny.PGD, 1)), alone[1])


@pytest.mark.slow
def test_killed_again_and_again_both_sets_end_with_the_same_bytes(made, tmp_path):
    """SIGKILL of the real process, at any time after one of the two sets has a finished clip more."""
    shorter = steps(LONG, 20)
    script = KILLED_AGAIN_AND_AGAIN.replace("batch_size=1)", f"batch_size=1, shorter=[{shorter}])")
    assert script != KILLED_AGAIN_AND_AGAIN
    arguments = [str(Path(__file__).parent), str(made), str(tmp_path / "killed")]
    subprocess.run([sys.executable, "-c", script, *arguments], check=True)
    assert len(list((tmp_path / "killed/runs").iterdir())) == 2
    killed = attacked(made, tmp_path / "killed", LONG, batch_size=1, shorter=[shorter])
    assert same_results(killed, attacked(made, tmp_path / "whole", LONG, batch_size=1))
    killed = attacked(made, tmp_path / "killed", shorter, batch_size=1)
    assert same_results(killed, attacked(made, tmp_path / "alone", shorter, batch_size=1))


def test_a_run_folder_in_use_is_left_alone(made, tmp_path, monkeypatch):
    shorter = [steps(tiny.PGD, 1)]
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(adversarial, "stop_requests", always_asked)
        attacked(made, tmp_path, steps(tiny.PGD, 1))
    (folder,) = (tmp_path / "runs").iterdir()
    before, release = sorted(path.name for path in folder.iterdir()), try_lock(folder / "lock")
    attacked(made, tmp_path, steps(tiny.PGD, 5), shorter=shorter)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert release is not None
    release()


def test_what_a_forced_shorter_job_had_kept_is_made_again(made, tmp_path, monkeypatch):
    alone = attacked(made, tmp_path / "alone", steps(tiny.PGD, 1))
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(adversarial, "stop_requests", always_asked)
        attacked(made, tmp_path, steps(tiny.PGD, 1))
    (kept,) = (tmp_path / "runs").glob("*/clips*.npz")
    os.utime(kept, (1, 1))
    mark = tmp_path / "not_forced"
    mark.touch()
    attacked(made, tmp_path, steps(tiny.PGD, 5), shorter=[steps(tiny.PGD, 1)])
    assert (kept.stat().st_mtime > 1, mark.exists()) == (True, False)
    monkeypatch.setattr(adversarial, "attack_clips", no_attack)
    assert same_results(attacked(made, tmp_path, steps(tiny.PGD, 1)), alone)


def test_a_shorter_set_lies_where_the_job_of_its_own_code_looks(made, tmp_path, monkeypatch):
    alone = attacked(made, tmp_path / "alone", steps(tiny.PGD, 1))
    attacked(made, tmp_path, steps(tiny.PGD, 5), shorter=[steps(tiny.PGD, 1)], shorter_code="its own")
    monkeypatch.setattr(adversarial, "attack_clips", no_attack)
    assert same_results(attacked(made, tmp_path, steps(tiny.PGD, 1), code="its own"), alone)


def test_clean_clips_are_scored_once_for_all_jobs(made, tmp_path, monkeypatch):
    entries = (tiny.PGD, tiny.ROA)
    alone = [attacked(made, tmp_path / f"alone{number}", entry) for number, entry in enumerate(entries)]
    calls, score_all = [], prediction.score_all
    monkeypatch.setattr(prediction, "score_all", lambda *arguments: calls.append(1) or score_all(*arguments))
    scored, score = [], prediction.score
    monkeypatch.setattr(
        "pipeline_lib.evaluation.crafting.score", lambda *given, **draws: scored.append(1) or score(*given, **draws)
    )
    scoring = Run(folder=tmp_path / "clean", code="code")
    for number, entry in enumerate(entries):
        found = attacked(made, tmp_path / f"once{number}", entry, scoring=scoring)
        assert same_results(found, alone[number])
    assert len(calls) == 1
    batches = 3
    assert len(scored) == len(entries) * batches * 3  # live, stored, and one clip for the gap between two forms


def test_scores_that_are_kept_are_those_of_clean_clips(made, tmp_path, monkeypatch):
    scoring = Run(folder=tmp_path / "clean", code="code")
    out = attacked(made, tmp_path)
    clean = predicted(made, tmp_path, None, scoring=scoring)
    assert predicted(made, tmp_path, out / "set.h5", scoring=scoring) == rows_of(out / "predictions.csv") != clean
    monkeypatch.setattr(prediction, "score_all", None)
    assert predicted(made, tmp_path, None, scoring=scoring) == clean


def test_damaged_scores_are_made_again(made, tmp_path):
    expected = attacked(made, tmp_path / "alone")
    scoring = Run(folder=tmp_path / "clean", code="code")
    attacked(made, tmp_path / "first", scoring=scoring)
    (kept,) = tmp_path.glob("clean/*/scores.npz")
    content = bytearray(kept.read_bytes())
    kept.write_bytes(content[: len(content) // 2])
    assert same_results(attacked(made, tmp_path / "second", scoring=scoring), expected)
    assert kept.read_bytes() == bytes(content)


def waiting(jobs: dict) -> dict[tuple[str, ...], tuple[str, ...]]:
    """The attack jobs that take no file from another attack job but wait for it."""
    return {name: other for name, job in jobs.items() for other in job.sources if name[0] == "attack" == other[0]}


SWEEP = {"attacks": {"mine": {"base": "pgd", "sweep": {"steps": [1, 3, 7]}}}}
FIGURE = {"method": "sweep", "title": "t", "dataset": "synthetic", "panels": {"PGD": "mine"}, "rows": {"A": "standard"}}
CONFIG = SWEEP | {"figures": {"mine": FIGURE}, "only": ["mine"], "results": "swept"}


def of(count: int) -> tuple[str, ...]:
    return ("attack", "synthetic", "standard-s0", f"mine_{count}")


def test_shorter_runs_wait_for_the_longest_that_is_made_and_a_new_one_reruns_no_other(tmp_path):
    finished = copy_project(tmp_path)
    assert waiting(execute(finished, CONFIG)) == {of(1): of(7), of(3): of(7)}
    pretend_finished(finished, CONFIG)
    longer = CONFIG | {"attacks": {"mine": {"base": "pgd", "sweep": {"steps": [1, 3, 7, 9]}}}}
    more = execute(finished, longer)
    assert {name for name in more if name[0] == "attack"} == {of(9)}
    shorter = CONFIG | {"attacks": {"mine": {"base": "pgd", "sweep": {"steps": [1, 2, 3, 7]}}}}
    less = execute(finished, shorter)
    assert {name for name in less if name[0] == "attack"} == {of(2)}
    assert waiting(less) == {}


def test_after_an_error_of_the_longest_the_others_do_not_wait_again(tmp_path):
    write_shared(tmp_path, {"longest": [("other", tiny.PGD, "code")]})
    with pytest.raises(PipelineError), shorter_runs(tmp_path, "longest") as found:
        assert found == [ShorterRun(tiny.PGD, "code", tmp_path / ".runs/forced/other")]
        raise PipelineError("the loss is not finite")
    assert has_failed(tmp_path, "longest")
    with shorter_runs(tmp_path, "longest"):
        pass
    assert not has_failed(tmp_path, "longest")
    with shorter_runs(tmp_path, "another") as found:
        assert found == []
