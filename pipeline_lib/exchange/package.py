"""A published folder, or a tar of it: the layout of results below it, and `published.json`, which lists every file.

published.json   format, what is in it, sizes and SHA-256 of all other files but SHA256SUMS
SHA256SUMS       the same checksums for `sha256sum -c`
README.md        made from published.json and the records
DATASET/         models, adversarial sets, predictions, records; of clips the checksums only
"""

import json
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline_lib.errors import PipelineError
from pipeline_lib.exchange.jobs import is_inside

FORMAT = 1
LIST, SUMS, README = "published.json", "SHA256SUMS", "README.md"
ENDINGS = (".pt", ".safetensors", ".h5", ".csv", ".json", ".md")
TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz")


def is_tar(path: Path) -> bool:
    """Whether a path is named as a tar."""
    return path.name.endswith(TARS)


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """Inside, the folder of a published folder, or of a tar, which is extracted into a temporary folder.

    Raises:
        PipelineError: a missing, truncated or damaged tar, or one with members outside of its folder.
    """
    if path.is_dir():
        yield path
        return
    if not path.is_file():
        raise PipelineError(f"{path}: there is no such file or folder")
    with tempfile.TemporaryDirectory(prefix="published-") as folder:
        extract(path, Path(folder))
        try:
            yield Path(folder)
        except PipelineError as error:  # about a file in the tar
            raise PipelineError(str(error).replace(folder, str(path))) from error


def extract(path: Path, folder: Path) -> None:
    """Extracts a tar below a folder. Raises PipelineError as `opened`."""
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                _extract_member(path, tar, member, folder)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise PipelineError(f"{path}: truncated, damaged, or no tar ({error}): get it again") from None


def _extract_member(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Writes the content of a file only. tarfile's own filters came with Python 3.11.4, and distributions have earlier
    ones."""
    name = PurePosixPath(member.name).as_posix()  # without the "./" of `tar -C FOLDER -cf FILE .`
    if not (member.isfile() or member.isdir()):
        raise PipelineError(f"{path}: {member.name} is no plain file: a published tar has only these")
    if name != "." and not is_inside(name):
        raise PipelineError(f"{path}: not extracted, {member.name} is outside of its folder")
    if content := tar.extractfile(member):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with content, (folder / name).open("wb") as file:
            shutil.copyfileobj(content, file)


def read_list(folder: Path, name: Path) -> dict[str, Any]:
    """The content of `published.json`. name: of the folder or tar, for messages.

    Raises:
        PipelineError: it is missing, cannot be read, is of another version, or has paths outside of the folder.
    """
    try:
        content = json.loads((folder / LIST).read_bytes())
        version, files = content["format"], content["files"]
    except FileNotFoundError:
        raise PipelineError(f"{name}: there is no {LIST} in it: not published by this workflow, or truncated") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PipelineError(f"{name}: {LIST} is damaged ({error!r}): get it again") from None
    if version != FORMAT:
        raise PipelineError(f"{name}: published in format {version}, this version reads format {FORMAT}")
    for file in files:
        if not is_inside(file):
            raise PipelineError(f"{name}: {LIST} names {file!r}, which is not below the folder")
        if not file.endswith(ENDINGS):
            raise PipelineError(f"{name}: {file} is no kind of file that is published ({' '.join(ENDINGS)})")
    found: dict[str, Any] = content
    return found


def write_list(folder: Path, content: Mapping[str, Any]) -> None:
    """Writes `published.json` and `SHA256SUMS`."""
    (folder / LIST).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sums = [f"{facts['sha256']}  {name}\n" for name, facts in sorted(content["files"].items())]
    (folder / SUMS).write_text("".join(sums))


def write_tar(folder: Path, path: Path) -> None:
    """Writes a tar of a folder: the same bytes for the same files."""
    mode: Any = "w:gz" if path.name.endswith(("gz",)) else "w:xz" if path.name.endswith("xz") else "w"
    with tarfile.open(path, mode) as tar:
        for file in sorted(one for one in folder.rglob("*") if one.is_file()):
            tar.add(file, file.relative_to(folder).as_posix(), filter=_anonymous)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime = member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member
