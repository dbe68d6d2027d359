"""What the matrix promises of itself, measured; each part prints a table, or writes it into a document.

    python benchmarks/bench_matrix_scale.py cells                       # ten thousand cells
    python benchmarks/bench_matrix_scale.py page gate plan workers night faults
    python benchmarks/bench_matrix_scale.py cells --write docs/matrix.md

``--write`` replaces what is between ``<!-- measured: PART -->`` and ``<!-- /measured -->``. CPU seconds are
what the work needs; the clock's depend on what else the machine does, whose load is told.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "sdk"), str(ROOT / "device_tests"), str(ROOT / "device_tests" / "tests")]
sys.path.append(str(ROOT / "benchmarks"))

from matrix_parts import PARTS, Skipped  # noqa: E402
from measured_block import write_block  # noqa: E402


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
            write_block(args.write, name, text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
