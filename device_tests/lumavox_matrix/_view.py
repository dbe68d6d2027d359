"""Rows of the store's flat view, and the Parquet file of them. Used by ``store`` only."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ._extras import required
from .cell import Cell

COLUMNS: dict[str, str] = {
    "digest": "VARCHAR",
    "cell": "VARCHAR",
    **dict.fromkeys(Cell.__dataclass_fields__, "VARCHAR"),
    **dict.fromkeys(("rung", "status", "reason", "tier", "device", "link", "run_id"), "VARCHAR"),
    "loaded": "BOOLEAN",
    "began_ms": "BIGINT",
    "seconds": "DOUBLE",
    "frames": "BIGINT",
    "enhanced": "BIGINT",
    "late": "BIGINT",
    "misses": "BIGINT",
    **{f"{name}_us": "DOUBLE" for name in ("p50", "p90", "p95", "p99", "p99_9", "max")},
    "mem_peak_kb": "BIGINT",
    "cold_load_ms": "DOUBLE",
    "output_sha256": "VARCHAR",
}


def row(document: dict[str, Any]) -> dict[str, object]:
    """A result's document as one row; what is not known is NULL."""
    cell = document["cell"]
    record = document.get("record", {})
    telemetry = record.get("telemetry", {})
    latency = telemetry.get("latency_us", {})
    found: dict[str, object] = {name: document.get(name) for name in COLUMNS}
    found |= cell
    found["cell"] = Cell(**cell).digest
    found["loaded"] = document.get("loaded", False)
    found["seconds"] = document["outcome"]["seconds"]
    found["frames"] = telemetry.get("frames_in")
    found["enhanced"] = telemetry.get("frames_enhanced")
    found["late"] = telemetry.get("frames_late")
    found["misses"] = telemetry.get("deadline_miss_count")
    found |= {f"{n}_us": latency.get(n) for n in ("p50", "p90", "p95", "p99", "p99_9", "max")}
    found["mem_peak_kb"] = telemetry.get("mem_peak_kb")
    found["cold_load_ms"] = telemetry.get("cold_load_ms")
    found["output_sha256"] = record.get("output_sha256")
    return {name: found.get(name) for name in COLUMNS}


def write_parquet(rows: Iterable[dict[str, object]], target: Path) -> None:
    """Replace ``target`` by the rows, through a temporary file of JSON lines that DuckDB reads."""
    duckdb = required("duckdb", "the Parquet view of a store")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".view-") as folder:
        lines, made = Path(folder) / "rows.jsonl", Path(folder) / "rows.parquet"
        with lines.open("w", encoding="utf-8") as file:
            for values in rows:
                file.write(json.dumps(values) + "\n")
        columns = ", ".join(f"{name}: '{kind}'" for name, kind in COLUMNS.items())
        with duckdb.connect() as connection:
            source = f"read_json('{lines}', format='newline_delimited', columns={{{columns}}})"
            connection.execute(
                f"COPY (SELECT * FROM {source} ORDER BY began_ms, digest) "
                f"TO '{made}' (FORMAT parquet, COMPRESSION zstd)"
            )
        os.replace(made, target)
