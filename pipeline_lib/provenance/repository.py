"""The git commit of a clone, read from its files, and whether anything differs from it."""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GIT_SECONDS = 20


@cache
def commit(root: Path = ROOT) -> str | None:
    """The commit that is checked out in a folder; None if it is not the top folder of a clone."""
    try:
        git = _git_folder(root / ".git")
        head = (git / "HEAD").read_text().strip()
        return _resolved(git, head.removeprefix("ref: ")) if head.startswith("ref: ") else head
    except OSError:
        return None


def _git_folder(path: Path) -> Path:
    """The folder of git; in a worktree or submodule, `.git` is a file that names it."""
    return path if path.is_dir() else path.parent / path.read_text().strip().removeprefix("gitdir: ")


def _resolved(git: Path, ref: str) -> str | None:
    """The commit of a branch, which a worktree shares with its clone."""
    named = git / "commondir"
    common = git / named.read_text().strip() if named.exists() else git
    for folder in (git, common):
        if (folder / ref).exists():
            return (folder / ref).read_text().strip()
    packed = (common / "packed-refs").read_text().splitlines()
    return next((line.split()[0] for line in packed if line.endswith(f" {ref}")), None)


def is_dirty(root: Path = ROOT) -> bool | None:
    """Whether files differ from the commit or are not in it, ignored ones left out; None without a clone or git."""
    if commit(root) is None:
        return None
    try:
        command = ["git", "-C", str(root), "status", "--porcelain"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return bool(done.stdout.strip())
