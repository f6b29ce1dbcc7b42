"""Downloading a data set's official archive."""

from pathlib import Path

from torchvision.datasets.utils import download_and_extract_archive

from pipeline_lib.entries.ranges import method
from pipeline_lib.errors import PipelineError


@method
class Cifar10Archive:
    """CIFAR-10's binary version from its home page, 163 MB; md5 as printed there. `url` may be that of a copy.

    url: of the archive.
    md5: its checksum.
    """

    url: str = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    md5: str = "c32a1d4ab5d03f1284b67883e8d87530"

    def download(self, root: Path) -> None:
        """Unpack the archive below `root`. PipelineError when the download fails, or the checksum differs."""
        try:
            download_and_extract_archive(self.url, str(root), md5=self.md5, remove_finished=True)
        except (OSError, RuntimeError, ValueError) as error:
            raise PipelineError(
                f"{self.url} could not be downloaded with md5 {self.md5} ({error}). Unpack it yourself, and give its "
                "folder as `root` instead of `download`."
            ) from error
