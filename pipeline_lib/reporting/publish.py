"""Put a finished file in its place."""

from pathlib import Path

from pipeline_lib.jobs.runs import atomic_write


def publish(path: Path | str, content: str | bytes) -> None:
    """Write `content` so that readers see the old file or the whole new one; text as UTF-8, line ends as they are."""
    content = content.encode() if isinstance(content, str) else content
    with atomic_write(Path(path), len(content)) as temporary:
        temporary.write_bytes(content)
