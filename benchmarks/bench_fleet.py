"""Millions of field records: rows per second and memory of making, reading and viewing them.

    python benchmarks/bench_fleet.py                         # 1,000,000 records
    python benchmarks/bench_fleet.py --records 5000000 --memory 1GB --threads 2

CPU seconds are what the work needs; the clock's depend on what else the machine does. Each step runs in a
process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "sdk"), str(ROOT / "device_tests")]

from lumavox_matrix.fleet import Comparison, fleet_view  # noqa: E402
from lumavox_matrix.fleet_records import Records  # noqa: E402
from lumavox_matrix.fleet_synthetic import synthesize  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument(
        "--lines", type=int, default=200_000, help="records of the JSON lines (default: 200,000)"
    )
    parser.add_argument("--memory", default="1GB", help="limit of DuckDB (default: 1GB)")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        parquet, lines = work / "records.parquet", work / "lines.jsonl"
        step("synthesize Parquet", args.records, make, parquet, args.records, args.threads)
        step("synthesize JSON lines", args.lines, make, lines, args.lines, args.threads)
        step("JSON lines to Parquet", args.lines, ingest, lines, args.memory, args.threads)
        step("view and comparison", args.records, view, parquet, args.memory, args.threads)
        print(f"Parquet: {parquet.stat().st_size / args.records:.0f} bytes a record")
    return 0


def make(path: Path, records: int, threads: int) -> None:
    synthesize(path, records, threads=threads)


def ingest(path: Path, memory: str, threads: int) -> None:
    records = Records.open([path], path.parent / "ingest", memory=memory, threads=threads)
    assert records.refused == 0


def view(path: Path, memory: str, threads: int) -> None:
    records = Records.open([path], path.parent / "view", memory=memory, threads=threads)
    found = fleet_view(records, comparison=Comparison("model_version", "1", "2"))
    assert found.worst[0][0] == "crash"


def step(name: str, rows: int, work: Callable[..., None], *arguments: object) -> None:
    """Do it in a fresh process and print what it took."""
    process = multiprocessing.get_context("spawn").Process(
        target=_measured, args=(name, rows, work, arguments)
    )
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{name}: failed")


def _measured(name: str, rows: int, work: Callable[..., None], arguments: tuple[object, ...]) -> None:
    cpu, clock = time.process_time(), time.perf_counter()
    work(*arguments)
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{name:22} {rows:10,} rows  {cpu:7.1f} s of CPU ({rows / cpu:10,.0f} rows/s)  {clock:7.1f} s  "
        f"{peak:6.0f} MiB",
        flush=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
