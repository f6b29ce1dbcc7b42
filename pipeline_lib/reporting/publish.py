"""Publish a finished file."""

from pathlib import Path

from pipeline_lib.jobs.runs import atomic_write


def publish(path: Path | str, content: str | bytes) -> None:
    """Write `content` atomically; text as UTF-8, line ends unchanged."""
    content = content.encode() if isinstance(content, str) else content
    with atomic_write(Path(path), len(content)) as temporary:
        temporary.write_bytes(content)
