#!/bin/sh
# Into a bare Debian, as root: ffmpeg, and Python with the packages of pyproject.toml in /opt/environment. The project itself
# stays outside of the image: jobs take it from the clone that they are started in.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends ca-certificates ffmpeg python3-venv
rm -rf /var/lib/apt/lists/*
python3 -m venv /opt/environment
/opt/environment/bin/python -m pip install --no-cache-dir "$(dirname "$0")/..[slurm]"
/opt/environment/bin/python -m pip uninstall --yes video-robustness-pipeline
