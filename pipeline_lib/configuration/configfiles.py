"""The configuration files on Snakemake's command line, checked before Snakemake reads them.

What Snakemake cannot read it shows as a traceback without the file's name, and it reads a large file for minutes. The
profiles call this check, before anything else is read.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline_lib.configuration.yaml_files import read_file
from pipeline_lib.errors import PipelineError

OPTIONS = ("--configfile", "--configfiles")


def check_configfiles(words: Sequence[str]) -> None:
    """Ends the process with status 1, and with one line, if a file cannot be used. words: of the command line.

    Missing files and mistakes in YAML are left to Snakemake, which names them.
    """
    import yaml

    for path in filter(Path.is_file, configfiles(words)):
        try:
            read_file(path)
        except PipelineError as error:
            print(f"Error: {error}", file=sys.stderr)
            raise SystemExit(1) from None
        except (OSError, yaml.YAMLError):
            continue


def configfiles(words: Sequence[str]) -> Iterator[Path]:
    """The paths behind `--configfile`, up to the next option."""
    inside = False
    for word in words:
        option, equals, value = word.partition("=")
        if word.startswith("-"):
            inside = option in OPTIONS
            if inside and equals:
                yield Path(value)
        elif inside:
            yield Path(word)
