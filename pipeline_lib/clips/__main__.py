"""`python -m pipeline_lib.clips check FOLDER`."""

import sys

from pipeline_lib.clips.check import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
