"""``Records``: field records of any number as Parquet, read by DuckDB.

    records = Records.open([Path("field.jsonl")], Path("out/fleet"))   # JSON lines become Parquet there
    records.refused                                                    # lines that are no records
    with records.connect() as connection: connection.execute("SELECT count(*) FROM sessions")

The columns are flat but for the histogram, a list of (bucket, count) structs, and errors, a list of texts:
what BigQuery, Snowflake, Trino and Spark read as well (`docs/fleet.md`). What a line must hold is said by
`fleet_record`; here it is checked in SQL, at a million lines in some seconds: types, ranges, lengths,
buckets.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumavox.errors import OptionError

from ._extras import required
from .fleet_record import MAX_TEXT

__all__ = ["COLUMNS", "Records", "duck", "duck_errors"]

COLUMNS: dict[str, str] = {
    **dict.fromkeys(("set_id", "session_id", "chipset", "firmware", "driver", "ended"), "VARCHAR"),
    **dict.fromkeys(("release", "arm", "task", "state", "model", "model_version", "variant"), "VARCHAR"),
    **dict.fromkeys(("content", "ep_requested", "ep_actual", "runtime_version", "config_digest"), "VARCHAR"),
    **dict.fromkeys(("stage", "ts_ms", "frames_in", "frames_bypassed", "frames_late"), "BIGINT"),
    **dict.fromkeys(("deadline_miss_count", "mem_peak_kb"), "BIGINT"),
    "av_offset_ms": "DOUBLE",
    "latency_max_us": "DOUBLE",
    "self_check_pass": "BOOLEAN",
    "errors": "VARCHAR[]",
    "histogram": "STRUCT(bucket INTEGER, count BIGINT)[]",
}
"""The Parquet file's columns; what is not known is NULL."""

_JSON = {
    **dict.fromkeys(("set_id", "chipset", "firmware", "driver", "ended"), "VARCHAR"),
    "schema": "INTEGER",
    "av_offset_ms": "DOUBLE",
    "rollout": "STRUCT(release VARCHAR, stage INTEGER, arm VARCHAR)",
    "record": "STRUCT(session_id VARCHAR, task VARCHAR, state VARCHAR, ts_ms BIGINT, "
    "model STRUCT(id VARCHAR, version VARCHAR, variant VARCHAR), content VARCHAR, ep_requested VARCHAR, "
    "ep_actual VARCHAR, runtime_version VARCHAR, config_digest VARCHAR, frames_in BIGINT, "
    "frames_bypassed BIGINT, frames_late BIGINT, deadline_miss_count BIGINT, mem_peak_kb BIGINT, "
    'latency_us STRUCT("max" DOUBLE, histogram BIGINT[][]), self_check STRUCT("pass" BOOLEAN), '
    "errors VARCHAR[])",
}
_FROM_JSON = {
    "release": "rollout.release",
    "stage": "rollout.stage",
    "arm": "rollout.arm",
    "model": "record.model.id",
    "model_version": "record.model.version",
    "variant": "record.model.variant",
    "latency_max_us": 'record.latency_us."max"',
    "self_check_pass": 'record.self_check."pass"',
    "histogram": "list_transform(record.latency_us.histogram, lambda p: "
    "{'bucket': p[1]::INTEGER, 'count': p[2]::BIGINT})",
}
_TEXTS = [name for name, kind in COLUMNS.items() if kind == "VARCHAR"]
_COUNTS = ("frames_in", "frames_bypassed", "frames_late", "deadline_miss_count", "mem_peak_kb", "ts_ms")
MAX_COUNT = 2**48
"""So that sums over any fleet stay within 64 bits, or at least within a double's exact whole numbers."""

_VALID = " AND ".join([
    "set_id IS NOT NULL AND session_id IS NOT NULL AND chipset IS NOT NULL AND firmware IS NOT NULL",
    "task IN ('sr', 'de') AND (ended IS NULL OR ended IN ('clean', 'crash'))",
    "(arm IS NULL OR (arm IN ('treated', 'control') AND stage BETWEEN 1 AND 100))",
    *(f"coalesce(length({name}) BETWEEN 1 AND {MAX_TEXT}, true)" for name in _TEXTS),
    *(f"coalesce({name} BETWEEN 0 AND {MAX_COUNT}, true)" for name in _COUNTS),
    "coalesce(greatest(frames_bypassed, frames_late, deadline_miss_count) <= frames_in, true)",
    "coalesce(abs(av_offset_ms) <= 1e5, true)",
    "coalesce(latency_max_us BETWEEN 0 AND 1073741824, true)",
    "coalesce(len(list_filter(histogram, lambda h: coalesce(h.bucket BETWEEN 0 AND 539 "
    f"AND h.count BETWEEN 1 AND {MAX_COUNT}, false))) = len(histogram), true)",
])  # fmt: skip


@dataclass(frozen=True)
class Records:
    """Parquet files of field records. ``lines`` that were read and ``refused`` of JSON lines, if there were
    any. ``memory`` and ``threads`` limit DuckDB, which spills to ``work`` beyond that."""

    files: tuple[Path, ...]
    work: Path
    lines: int = 0
    refused: int = 0
    memory: str = "2GB"
    threads: int = 0

    @classmethod
    def open(cls, paths: Sequence[Path], work: Path, *, memory: str = "2GB", threads: int = 0) -> Records:
        """Parquet files as they are; JSON lines (``.jsonl``, ``.jsonl.gz``) through
        ``work/records.parquet``."""
        for path in paths:
            if not path.is_file():
                raise OptionError(f"{path}: there is no such file of records")
            if not path.name.endswith((".parquet", ".jsonl", ".jsonl.gz", ".ndjson")):
                raise OptionError(f"{path}: records are .parquet, .jsonl, .jsonl.gz or .ndjson files")
        if not paths:
            raise OptionError("no files of records are named; `fleet --synthesize 100000 FILE` makes one")
        work.mkdir(parents=True, exist_ok=True)
        made = cls(tuple(p for p in paths if p.suffix == ".parquet"), work, memory=memory, threads=threads)
        lines = [p for p in paths if p.suffix != ".parquet"]
        if not lines:
            return made
        target = work / "records.parquet"
        with made._duck() as connection:
            read, kept = _ingest(connection, lines, target)
        return cls((*made.files, target), work, read, read - kept, memory, threads)

    def connect(self) -> Any:
        """A DuckDB connection with the views ``records`` and ``sessions`` (`fleet_sql`)."""
        from .fleet_sql import SESSIONS

        connection = self._duck()
        names = [str(path) for path in self.files]
        with duck_errors(names):
            listed = ", ".join("'" + name.replace("'", "''") + "'" for name in names)
            chosen = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in COLUMNS.items())
            connection.execute(
                f"CREATE VIEW records AS SELECT {chosen} FROM read_parquet([{listed}], union_by_name = true)"
            )
            connection.execute(SESSIONS)
        return connection

    def _duck(self) -> Any:
        connection = duck().connect()
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET temp_directory = ?", [str(self.work / ".spill")])
        connection.execute("SET memory_limit = ?", [self.memory])
        if self.threads:
            connection.execute("SET threads = ?", [self.threads])
        return connection


def duck() -> Any:
    """The module duckdb. Raises MissingExtraError."""
    return required("duckdb", "reading records of a fleet")


def _ingest(connection: Any, paths: Sequence[Path], target: Path) -> tuple[int, int]:
    """Lines read, and rows written."""
    columns = ", ".join(f"{name}: '{kind}'" for name, kind in _JSON.items())
    own = {"set_id", "chipset", "firmware", "driver", "ended", "av_offset_ms"}
    chosen = ", ".join(
        f"{_FROM_JSON.get(name, name if name in own else f'record.{name}')} AS {name}" for name in COLUMNS
    )
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".records-") as folder, duck_errors(paths):
        made = Path(folder) / "made.parquet"
        read = connection.execute(
            "SELECT count(*) FROM read_csv(?, columns = {'line': 'VARCHAR'}, delim = '\\0', quote = '', "
            "escape = '', header = false, auto_detect = false, strict_mode = false, max_line_size = "
            "16777216)",
            [[str(path) for path in paths]],
        ).fetchone()[0]
        connection.execute(
            f"COPY (SELECT * FROM (SELECT {chosen} FROM read_json(?, format = 'newline_delimited', "
            f"columns = {{{columns}}}, ignore_errors = true) WHERE schema = 1) WHERE {_VALID}) "
            f"TO '{str(made).replace(chr(39), chr(39) * 2)}' (FORMAT parquet, COMPRESSION zstd)",
            [[str(path) for path in paths]],
        )
        kept = connection.execute("SELECT count(*) FROM read_parquet(?)", [str(made)]).fetchone()[0]
        os.replace(made, target)
    return int(read), int(kept)


class duck_errors:
    """What DuckDB raises for files, as an OptionError that names them."""

    def __init__(self, names: Sequence[object]) -> None:
        self._names = ", ".join(str(name) for name in names[:3])

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, duck().Error):
            first = str(error).partition("\n")[0]
            raise OptionError(f"{self._names}: not readable as field records: {first}") from error
