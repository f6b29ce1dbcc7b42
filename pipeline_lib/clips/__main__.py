"""`python -m pipeline_lib.clips check FOLDER`."""

from pipeline_lib.clips.check import main
from pipeline_lib.commands import exit_with

if __name__ == "__main__":
    exit_with(main)
