"""What the matrix promises of itself, measured; each part prints a table, or writes it into a document.

    python benchmarks/bench_matrix_scale.py cells                       # ten thousand cells
    python benchmarks/bench_matrix_scale.py page gate plan workers night faults
    python benchmarks/bench_matrix_scale.py cells --write docs/matrix.md

``--write`` replaces what is between ``<!-- measured: PART -->`` and ``<!-- /measured -->``. CPU seconds are
what the work needs; the clock's depend on what else the machine does, whose load is told.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "sdk"), str(ROOT / "device_tests"), str(ROOT / "device_tests" / "tests")]
sys.path.append(str(ROOT / "benchmarks"))

from matrix_parts import PARTS, Skipped  # noqa: E402

from lumavox._files import replace_file  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["cells"], choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--write", type=Path, metavar="FILE", help="a Markdown file with the marks")
    args = parser.parse_args()
    for name in args.parts:
        try:
            text = PARTS[name]()
        except Skipped as reason:
            print(f"\n{name}: skipped: {reason}")
            continue
        print(f"\n{text}")
        if args.write:
            write(args.write, name, f"{text}\n\n{circumstances()}")
    return 0


def circumstances() -> str:
    """When and where."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"*{datetime.date.today().isoformat()}, {os.cpu_count()} processors ({platform.machine()}), Python "
        f"{platform.python_version()}; load of the machine {load} (1, 5, 15 minutes).*"
    )


def write(path: Path, name: str, text: str) -> None:
    """Replace one block."""
    block = re.compile(rf"(<!-- measured: {re.escape(name)} -->\n).*?(<!-- /measured -->)", re.DOTALL)
    before = path.read_text(encoding="utf-8")
    if not block.search(before):
        raise SystemExit(f"{path} has no block <!-- measured: {name} --> ... <!-- /measured -->")
    replace_file(path, block.sub(lambda m: f"{m[1]}\n{text}\n\n{m[2]}", before, count=1))


if __name__ == "__main__":
    raise SystemExit(main())
