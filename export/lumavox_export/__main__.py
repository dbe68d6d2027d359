"""``python -m lumavox_export``: the command ``lumavox-export``, as torchrun starts it."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
