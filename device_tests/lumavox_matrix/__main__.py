"""``python -m lumavox_matrix``."""

from .cli import main

raise SystemExit(main())
