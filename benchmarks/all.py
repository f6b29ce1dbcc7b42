"""Runs every benchmark that needs no files; those that fail are listed at the end.

    python benchmarks/all.py                    # tiny networks on the CPU: minutes
    python benchmarks/all.py --full --device cuda

Options are passed to the benchmarks of networks, `--device` also to that of transforms. Decoding needs PyAV and ffmpeg.
"""

import argparse
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path

import torch

OF_NETWORKS = ("attack", "training", "variants", "loop", "evaluation", "identities")
OTHERS = ("decode", "transforms", "workflow")


def options_of(name: str) -> list[str]:
    if name in OF_NETWORKS:
        return sys.argv[1:]
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--device", default="cpu")
    return ["--device", parser.parse_known_args()[0].device] if name == "transforms" else []


def main() -> None:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    print(f"{date.today()}, {device}, Python {platform.python_version()}, torch {torch.__version__}", flush=True)
    failed = []
    for name in OF_NETWORKS + OTHERS:
        print(f"\n{name}", flush=True)
        script = str(Path(__file__).with_name(f"{name}.py"))
        if subprocess.run([sys.executable, script, *options_of(name)]).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"\nfailed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
