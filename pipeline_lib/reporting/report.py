"""The HTML report: Snakemake's own, of the rule `results`, made by a second Snakemake while the first one runs."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.jobs.runs import atomic_write


def make_report(snakefile: str, config: dict[str, Any], output: Path) -> None:
    """Writes one self-contained HTML file with everything that the rules mark for the report.

    `config` is the effective configuration, overlays and command line included.

    Raises:
        PipelineError: with Snakemake's own message.
    """
    # The report's format is chosen by the ending, so the temporary name must keep it.
    with atomic_write(output) as temporary, tempfile.TemporaryDirectory() as folder:
        page = temporary.with_suffix(".html")
        configfile = Path(folder, "config.json")
        configfile.write_text(json.dumps(config))
        command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--configfile", str(configfile)]
        command += ["--nolock", "--report", str(page), "--cores", "1", "results"]
        finished = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        LOGGER.info(finished.stdout + finished.stderr)
        if finished.returncode or not page.exists():
            raise PipelineError(f"{output}: snakemake --report failed: {finished.stderr.strip()[-2000:]}")
        page.replace(temporary)
