"""Ten thousand cells: how long storing, judging and reporting take, and how much memory.

    python benchmarks/bench_matrix_scale.py                  # 10,000 cells
    python benchmarks/bench_matrix_scale.py --cells 1000 --keep out/scale

Bars: store and verdicts 30 s, report 10 s, memory 1 GiB. CPU seconds are what the work needs; the clock's
depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import functools
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "sdk"), str(ROOT / "device_tests"), str(ROOT / "device_tests" / "tests")]

import synthetic  # noqa: E402
from lumavox_matrix.judged import judge_all  # noqa: E402
from lumavox_matrix.policy import Policy  # noqa: E402
from lumavox_matrix.report import write_report  # noqa: E402
from lumavox_matrix.store import Store  # noqa: E402

T = TypeVar("T")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="folder for the store and the report")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = args.keep or Path(work)
        results = list(synthetic.results(args.cells))
        store = Store.open(folder / "store")
        added = timed("store", functools.partial(list, map(store.add, results)))
        results.clear()
        cells = timed("read and judge", lambda: judge_all(store.results(), Policy()))
        page = timed("report", lambda: write_report(cells, folder / "report"))
        counts = Counter(judged.verdict.status.value for judged in cells)
        size = sum(path.stat().st_size for path in page.parent.rglob("*") if path.is_file())
        summary = (page.parent / "data" / "summary.js").stat().st_size
        print(f"{len(added)} results, {len(cells)} cells: {dict(counts)}")
        print(f"report {size / 2**20:.1f} MiB, of which the page loads {summary / 2**20:.1f} MiB at once")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory {peak / 1024:.0f} MiB")
    return 0


def timed(name: str, work: Callable[[], T]) -> T:
    """Do it and print how long it took."""
    cpu, clock = time.process_time(), time.perf_counter()
    made = work()
    print(f"{name:16} {time.process_time() - cpu:6.1f} s of CPU, {time.perf_counter() - clock:6.1f} s")
    return made


if __name__ == "__main__":
    raise SystemExit(main())
