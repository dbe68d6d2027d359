"""Writes what a benchmark measured into a document: `write_block`, and when and where, `circumstances`.

<!-- measured: NAME -->
...
<!-- /measured -->
"""

from __future__ import annotations

import datetime
import os
import platform
import re
from pathlib import Path

from lumavox._files import replace_file


def circumstances() -> str:
    """When and where."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"*{datetime.date.today().isoformat()}, {os.cpu_count()} processors ({platform.machine()}), Python "
        f"{platform.python_version()}; load of the machine {load} (1, 5, 15 minutes).*"
    )


def write_block(path: Path, name: str, text: str) -> None:
    """Replace the block ``name`` of a Markdown file. Exits with a message if there is none."""
    block = re.compile(rf"(<!-- measured: {re.escape(name)} -->\n).*?(<!-- /measured -->)", re.DOTALL)
    before = path.read_text(encoding="utf-8")
    if not block.search(before):
        raise SystemExit(f"{path} has no block <!-- measured: {name} --> ... <!-- /measured -->")
    made = f"{text}\n\n{circumstances()}"
    replace_file(path, block.sub(lambda m: f"{m[1]}\n{made}\n\n{m[2]}", before, count=1))
