"""Every benchmark that needs no videos, one after the other.

    python benchmarks/all.py                    # tiny networks on the CPU: minutes
    python benchmarks/all.py --full --device cuda

Options go to each of them.
"""

import platform
import subprocess
import sys
from datetime import date
from pathlib import Path

import torch

NAMES = ("attack", "training", "loop", "evaluation")


def main() -> None:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    print(f"{date.today()}, {device}, Python {platform.python_version()}, torch {torch.__version__}")
    for name in NAMES:
        subprocess.run([sys.executable, str(Path(__file__).with_name(f"{name}.py")), *sys.argv[1:]], check=True)


if __name__ == "__main__":
    main()
