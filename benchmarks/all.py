"""Every benchmark that needs no files, one after the other.

    python benchmarks/all.py                    # tiny networks on the CPU: minutes
    python benchmarks/all.py --full --device cuda

Options go to those of networks.
"""

import platform
import subprocess
import sys
from datetime import date
from pathlib import Path

import torch

OF_NETWORKS = ("attack", "training", "loop", "evaluation")
OTHERS = ("decode", "transforms", "workflow")


def main() -> None:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    print(f"{date.today()}, {device}, Python {platform.python_version()}, torch {torch.__version__}", flush=True)
    for name in OF_NETWORKS + OTHERS:
        options = sys.argv[1:] if name in OF_NETWORKS else []
        print(f"\n{name}", flush=True)
        subprocess.run([sys.executable, str(Path(__file__).with_name(f"{name}.py")), *options], check=True)


if __name__ == "__main__":
    main()
