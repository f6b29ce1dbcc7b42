"""Results for others and of others: published, verified and merged, or refused by name with nothing changed."""

import hashlib
import io
import json
import pickle
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import torch

import tiny
from laboratory import STRONGER, all_files, contents, jobs_in, record, write_results
from pipeline_lib.errors import PipelineError
from pipeline_lib.exchange.__main__ import main
from pipeline_lib.exchange.merge import merge
from pipeline_lib.exchange.package import opened
from pipeline_lib.exchange.verify import verify
from pipeline_lib.jobs.locks import try_lock
from pipeline_lib.models import checkpoint, safetensors
from pipeline_lib.provenance.availability import Availability
from pipeline_lib.provenance.comparison import Comparison
from pipeline_lib.provenance.descriptions import Identities
from sets import attacked

EPSILON = "entry.perturbation.epsilon"


@pytest.fixture(scope="session")
def laboratory(made, tmp_path_factory) -> Path:
    """Results of one laboratory."""
    folder = tmp_path_factory.mktemp("laboratory")
    attacked(made, folder)
    write_results(folder / "results", made, folder)
    return folder


@pytest.fixture(scope="session")
def published(laboratory) -> Path:
    publish(laboratory / "published")
    return laboratory / "published"


def publish(output: Path, *more: str, results: Path | None = None) -> int:
    from faulty import CONFIG

    folder = results or output.parent / "results"
    options = ["--license", "CC-BY-4.0", "--configfile", str(CONFIG), "--config", f"results={folder}"]
    return main(["publish", str(output), *options, *more])


def usable(folder: Path) -> list[str]:
    """Names of the results that the configuration uses as they are."""
    jobs = jobs_in(folder)
    availability = Availability(Comparison(str(folder), Identities(jobs.maker)))
    return [path for path in all_files(jobs) if availability.reason(path) is None]


def test_what_is_published_has_everything_but_clips(published, laboratory):
    names = contents(published).keys()
    endings = {name.partition(".")[2] for name in names if "/adversarial/" in name}
    assert endings == {"h5", "audit.csv", "trace.csv", "learned.pt"}
    assert not [name for name in names if name.endswith(".h5") and "/adversarial/" not in name]
    assert "tiny/identities/render.json" in names
    weights = published / "tiny/models/at_pgd-s0.safetensors"
    tensors, metadata = safetensors.read(weights)
    own = checkpoint.load(weights.with_suffix(".pt"))
    assert tensors.keys() == own["state"].keys()
    assert all(torch.equal(tensors[name], own["state"][name]) for name in tensors)
    assert json.loads(metadata["classes"]) == tiny.CLASSES
    assert json.loads(metadata["entry"]) == own["entry"]
    readme = (published / "README.md").read_text()
    for text in ("# published\n", "CC-BY-4.0", "`tiny/models/at_pgd-s0.pt` (train): adversarial training", "10 clips"):
        assert text in readme
    rows = (published / "tiny/clips/test.csv").read_text().splitlines()
    assert rows[0] == "video,label,class,crc32"
    assert rows[1].startswith("Left/v_00.avi,0,Left,")
    for line in (published / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((published / name).read_bytes()).hexdigest() == digest


def test_a_merged_publication_is_used_by_the_same_configuration(published, laboratory, tmp_path):
    assert main(["merge", str(tmp_path / "results"), str(published)]) == 0
    assert usable(tmp_path / "results") == all_files(jobs_in(tmp_path / "results"))
    before = contents(tmp_path)
    assert merge(tmp_path / "results", [published, laboratory / "results"]).copied == 3  # two clip stores, the videos
    assert before.items() <= contents(tmp_path).items()


def test_a_tar_has_the_same_bytes_each_time_and_is_compared_with_ones_own_clips(laboratory, tmp_path):
    outputs = [tmp_path / name / "it.tar.gz" for name in ("a", "b")]
    for output in outputs:
        assert publish(output, results=laboratory / "results") == 0
    with tarfile.open(outputs[0]) as one, tarfile.open(outputs[1]) as other:
        assert [(member.name, member.mtime) for member in one] == [(member.name, 0) for member in other]
    own = tmp_path / "results/tiny/clips"
    own.mkdir(parents=True)
    assert "not compared" in verify(outputs[0], tmp_path / "results")[1]
    tiny.write_clips(own / "test.h5")
    assert "tiny, test: made of the 10 clips in" in verify(outputs[0], tmp_path / "results")[1]
    shutil.copy(tiny.write_clips(tmp_path / "other.h5", seed=1), own / "test.h5")
    with pytest.raises(
        PipelineError, match=r"it.tar.gz: tiny, test: made of other clips than .*test.h5: 10 of 10 .*v_00"
    ):
        verify(outputs[0], tmp_path / "results")
    assert main(["merge", str(tmp_path / "results"), str(outputs[0])]) == 2
    assert [path.name for path in (tmp_path / "results/tiny").iterdir()] == ["clips"]


def test_only_what_is_chosen_and_there_is_published(laboratory, tmp_path, capsys):
    results = shutil.copytree(laboratory / "results", tmp_path / "results")
    (results / "tiny/models/at_pgd-s0.pt").unlink()
    assert publish(tmp_path / "models", "--parts", "models", "--only", "tiny/models/*.pt") == 0
    assert "at_pgd-s0.pt: not published: not made yet\n" in capsys.readouterr().out
    files = {path.name for path in (tmp_path / "models/tiny/models").iterdir()}
    assert files == {"standard-s0.pt", "standard-s0.safetensors"}
    assert publish(tmp_path / "models") == 2
    assert "exists already" in capsys.readouterr().err
    assert publish(tmp_path / "none", "--only", "x") == 2
    assert "nothing to publish" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "results"]


def listed_again(folder: Path, name: str, content: bytes) -> None:
    """Puts a file into a published folder, with its checksum."""
    (folder / name).write_bytes(content)
    facts = json.loads((folder / "published.json").read_text())
    facts["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "published.json").write_text(json.dumps(facts))


def of_another_format(folder: Path) -> None:
    facts = json.loads((folder / "published.json").read_text())
    (folder / "published.json").write_text(json.dumps(facts | {"format": 9}))


WEIGHTS, SET = "tiny/models/at_pgd-s0.pt", "tiny/adversarial/at_pgd-s0/pgd.h5"
DAMAGE = {
    "of another format": (of_another_format, "published in format 9, this version reads format 1"),
    "without a list": (lambda folder: (folder / "published.json").unlink(), "there is no published.json"),
    "a broken list": (lambda folder: (folder / "published.json").write_text("{"), "published.json is damaged"),
    "a pickle": (lambda folder: listed_again(folder, WEIGHTS, pickle.dumps({"state": 1})), f"{WEIGHTS}: a pickle"),
    "a program": (lambda folder: listed_again(folder, "setup.py", b""), "setup.py is no kind of file"),
    "a path outside": (lambda folder: listed_again(folder, "../outside.csv", b""), "names '../outside.csv'"),
    "one file more": (lambda folder: (folder / "more.csv").write_text(""), "more.csv is not in published.json"),
    "one file less": (lambda folder: (folder / SET).unlink(), f"{SET} is missing"),
    "a changed file": (lambda folder: (folder / SET).write_bytes(b"other"), f"{SET} is damaged"),
    "other predictions": (
        lambda folder: listed_again(folder, "tiny/predictions/at_pgd-s0/clean.csv", b"video\n"),
        "clean.csv is not the file that its record describes",
    ),
    "a link": (lambda folder: (folder / "link.csv").symlink_to("/etc/passwd"), "link.csv is not in published.json"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_publications_are_refused_by_name_and_nothing_changes(published, tmp_path, capsys, damage):
    theirs, into = shutil.copytree(published, tmp_path / "a/theirs"), tmp_path / "results"
    change, message = DAMAGE[damage]
    change(theirs)
    for command in (["verify", str(theirs)], ["merge", str(into), str(theirs)]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert message in error
        assert str(theirs) in error
    assert not into.exists()


def test_truncated_tars_are_refused_at_any_length(published, laboratory, tmp_path, capsys):
    for ending in ("tar", "tar.gz"):
        whole = tmp_path / f"whole.{ending}"
        assert publish(whole, results=laboratory / "results") == 0
        content = whole.read_bytes()
        for length in (0, 100, len(content) // 3, 2 * len(content) // 3, len(content) - 20_000):
            (tmp_path / f"cut.{ending}").write_bytes(content[:length])
            capsys.readouterr()
            assert main(["merge", str(tmp_path / "results"), str(tmp_path / f"cut.{ending}")]) == 2
            assert f"cut.{ending}: " in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", ["../outside.csv", "/tmp/outside-of-the-tar.csv", "a/../../outside.csv"])
def test_members_outside_of_the_folder_are_not_extracted(tmp_path, capsys, name):
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    assert main(["verify", str(tmp_path / "evil.tar")]) == 2
    assert "is outside of its folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["evil.tar"]
    assert not Path("/tmp/outside-of-the-tar.csv").exists()


def test_a_tar_made_by_tar_itself_is_extracted(tmp_path):
    for name in ("published.json", "tiny/models/standard-s0.pt"):
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_text(name)
    subprocess.run(["tar", "-C", tmp_path / "folder", "-czf", tmp_path / "folder.tar.gz", "."], check=True)
    with opened(tmp_path / "folder.tar.gz") as found:
        files = {path.relative_to(found).as_posix(): path.read_text() for path in found.rglob("*") if path.is_file()}
    assert files == {name: name for name in ("published.json", "tiny/models/standard-s0.pt")}


def test_links_in_a_tar_are_refused(tmp_path, capsys):
    link = tarfile.TarInfo("link.csv")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        tar.addfile(link)
    assert main(["verify", str(tmp_path / "evil.tar")]) == 2
    assert "link.csv is no plain file" in capsys.readouterr().err


def removed(results: Path, *patterns: str) -> Path:
    """A folder of results without some files and their records."""
    for pattern in patterns:
        for path in [*results.glob(pattern)]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return results


OF_AT = ("tiny/*/at_pgd-s0*", "tiny/identities/*/at_pgd-s0*")
OF_STANDARD = ("tiny/*/standard-s0*", "tiny/identities/*/standard-s0*")


def test_results_that_complement_each_other_are_merged(laboratory, tmp_path):
    one = removed(shutil.copytree(laboratory / "results", tmp_path / "one"), *OF_AT)
    other = removed(shutil.copytree(laboratory / "results", tmp_path / "other"), *OF_STANDARD)
    assert len(usable(one)) < len(all_files(jobs_in(one)))
    found = merge(one, [other])
    assert usable(one) == all_files(jobs_in(one))
    assert found.copied > 10
    assert contents(one) == contents(laboratory / "results") | {".workflow.lock": contents(one)[".workflow.lock"]}


def refused(into: Path, *others: Path) -> str:
    before = contents(into)
    with pytest.raises(PipelineError) as error:
        merge(into, others)
    assert contents(into) == before
    return str(error.value)


def test_two_configurations_that_contradict_each_other_are_refused_with_the_key(laboratory, made, tmp_path):
    write_results(tmp_path / "stronger", made, laboratory, STRONGER)
    into = shutil.copytree(laboratory / "results", tmp_path / "results")
    message = refused(into, tmp_path / "stronger")
    model = "tiny/models/at_pgd-s0.pt"
    assert message.startswith(f"{into / model} and {tmp_path / 'stronger' / model} contradict each other: ")
    assert "defense.attack.perturbation.epsilon is 0.031" in message
    assert "in the first, 0.50" in message
    assert message.endswith("other pairs contradict each other, too). Nothing was copied")


def test_the_same_work_with_other_bytes_is_a_contradiction(laboratory, tmp_path):
    into = shutil.copytree(laboratory / "results", tmp_path / "results")
    other = shutil.copytree(laboratory / "results", tmp_path / "other")
    name = "tiny/predictions/standard-s0/clean.csv"
    (other / name).write_text((other / name).read_text().replace("0.", "1."))
    assert f"{other / name} is not the file that its record describes" in refused(into, other)
    record(jobs_in(other))
    assert f"{into / name} and {other / name} contradict each other: bytes of predictions" in refused(into, other)


def test_predictions_of_another_model_than_the_one_that_is_there_are_refused(laboratory, tmp_path):
    into = removed(
        shutil.copytree(laboratory / "results", tmp_path / "results"), "tiny/predictions", "tiny/identities/predict"
    )
    other = shutil.copytree(laboratory / "results", tmp_path / "other")
    (other / "tiny/models/standard-s0.csv").write_text("epoch\n")
    weights = checkpoint.load(other / "tiny/models/standard-s0.pt")
    checkpoint.write(other / "tiny/models/standard-s0.pt", weights | {"run": "again"})
    record(jobs_in(other))
    removed(other, "tiny/identities/[!p]*", "tiny/models", "tiny/adversarial", "tiny/clips", "tiny/rendered")
    message = refused(into, other)
    assert (
        f"{other}/tiny/predictions/standard-s0/clean.csv was made of another {into}/tiny/models/standard-s0.pt"
        in message
    )
    assert "weights: bytes" in message


def test_folders_without_results_and_a_running_workflow_are_refused(laboratory, tmp_path):
    into = removed(shutil.copytree(laboratory / "results", tmp_path / "results"), *OF_AT)
    (tmp_path / "empty").mkdir()
    assert "there is no record" in refused(into, tmp_path / "empty")
    assert "no such folder" in refused(into, tmp_path / "none")
    assert "merged into itself" in refused(into, into)
    release = try_lock(into / ".workflow.lock")
    try:
        assert "makes results in" in refused(into, laboratory / "results")
    finally:
        release()
    (into / "tiny/identities/decode/test.json").write_text("{}")
    assert "test.json: this record is damaged" in refused(into, laboratory / "results")
