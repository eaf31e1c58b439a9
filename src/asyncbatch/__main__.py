"""`asyncbatch`, or `python -m asyncbatch`: fetch URLs and print one line for each."""

import sys

from asyncbatch._cli import main

if __name__ == "__main__":
    sys.exit(main())
