"""``python -m lumavox``: the same as the command ``lumavox``."""

from lumavox.cli import main

raise SystemExit(main())
