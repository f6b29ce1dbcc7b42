"""The image that jobs run in."""

from pathlib import Path

from pipeline_lib.errors import PipelineError


def check_image(image: str | None, used: bool) -> None:
    """Raises PipelineError for an image that jobs cannot run in. used: whether jobs run in containers."""
    if not used:
        return
    if image is None:
        raise PipelineError(
            "config: container is not set, so --sdm apptainer has no image: name one (container/apptainer.def makes it)"
        )
    if any(letter.isspace() for letter in image):
        raise PipelineError(f"config: container is {image!r}: Snakemake takes no address with spaces")
    if "://" not in image and not Path(image).exists():
        raise PipelineError(
            f"config: container is {image!r}: there is no such file (container/apptainer.def makes one)"
        )
