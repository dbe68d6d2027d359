"""``synthesize``: field records of a fleet that never was, with known effects, for tests and benchmarks.

    synthesize(Path("records.parquet"), 1_000_000)        # or .jsonl; a few seconds

A fleet of ``records / 20`` sets; ten sessions each, two records each (half way and at the end). Sets differ
by a factor of their own for each kind of event. Half of the sets have model version "2", drawn at random; on
``HURT[0]`` with firmware ``HURT[1]`` it crashes five times as often. ``LATE`` misses four times as many
deadlines with either. Version "2" is two milliseconds faster everywhere. Firmware moves the sound.
"""

from __future__ import annotations

import os
from pathlib import Path

from lumavox.errors import OptionError

from .fleet_records import COLUMNS, duck

__all__ = ["CRASH", "HURT", "HURT_FACTOR", "LATE", "synthesize"]

HURT = ("synaptics-vs680", "2026.07")
HURT_FACTOR = 5.0
LATE = "mediatek-mt8195"
CRASH = 0.01
CHIPSETS = ("synaptics-vs680", "mediatek-mt8195", "rockchip-rk3588", "amlogic-s928x")

# Of record i: session s = i // 2, set d = s // 10, u(n) a uniform number of session s, v(n) one of set d.
_SQL = """
WITH ids AS (
  SELECT i, i // 2 AS s, i // 20 AS d, (i % 2 = 1 OR i = {records} - 1) AS over FROM range({records}) AS t(i)
), drawn AS (
  SELECT *,
    {chipsets}[1 + (hash(d::VARCHAR || '/chipset/{seed}') % {chipset_count})::INTEGER] AS chipset,
    CASE WHEN hash(d::VARCHAR || '/firmware/{seed}') % 3 = 0 THEN '2026.04' ELSE '2026.07' END AS firmware,
    CASE WHEN hash(d::VARCHAR || '/model/{seed}') % 2 = 0 THEN '1' ELSE '2' END AS model_version,
    -ln({v_crash}) AS crash_factor, -ln({v_late}) AS late_factor, {u_long} AS u_long, {u_crash} AS u_crash,
    sqrt(-2 * ln({u_av})) * cos(6.283185307 * {u_turn}) AS normal, {v_speed} AS speed
  FROM ids
), lived AS (
  SELECT *,
    CAST((0.1 + u_long) * 36000 * CASE WHEN over THEN 1 ELSE 0.5 END AS BIGINT) AS frames,
    {crash} * crash_factor * CASE WHEN chipset = '{hurt}' AND firmware = '{hurt_firmware}'
      AND model_version = '2' THEN {hurt_factor} ELSE 1 END AS crash_chance,
    0.001 * late_factor * CASE WHEN chipset = '{late}' THEN 4 ELSE 1 END AS late_share,
    CAST(18 * log2(9000 + 4000 * speed - CASE WHEN model_version = '2' THEN 2000 ELSE 0 END) AS INTEGER) AS
    middle
  FROM drawn
)
SELECT
  'set-' || lpad(d::VARCHAR, 8, '0') AS set_id, 'session-' || lpad(s::VARCHAR, 9, '0') AS session_id,
  chipset, firmware, '1.0' AS driver,
  CASE WHEN NOT over THEN NULL WHEN u_crash < crash_chance THEN 'crash' ELSE 'clean' END AS ended,
  'sr/base-x2@' || model_version AS release, CASE WHEN model_version = '2' THEN 'treated' ELSE 'control' END
  AS arm, 'sr' AS task, 'active' AS state, 'sr/base-x2' AS model, model_version, 'clean-int8-tflite' AS
  variant, 'clean' AS content, 'litert' AS ep_requested, 'litert' AS ep_actual, '0.1.0' AS runtime_version,
  '0123456789abcdef' AS config_digest, 1 AS stage, 1700000000000 + s * 1000 + (i % 2) * 500 AS ts_ms,
  frames AS frames_in, CAST(frames * least(late_share * 1.5, 1) AS BIGINT) AS frames_bypassed,
  CAST(frames * least(late_share, 1) AS BIGINT) AS frames_late,
  CAST(frames * least(late_share, 1) AS BIGINT) AS deadline_miss_count, 90000 AS mem_peak_kb,
  5.0 + 12 * normal - CASE WHEN firmware = '2026.07' THEN 20 ELSE 0 END AS av_offset_ms,
  2.0 ** ((middle + 7) / 18.0) AS latency_max_us, true AS self_check_pass,
  CAST([] AS VARCHAR[]) AS errors,
  list_transform(range(-6, 7), lambda j: {{'bucket': (middle + j)::INTEGER,
    'count': (1 + frames * exp(-j * j / 8.0) / 5)::BIGINT}}) AS histogram
FROM lived
"""


def synthesize(path: Path, records: int, *, seed: int = 1, threads: int = 0) -> Path:
    """Write ``records`` records to a ``.parquet`` file, or a ``.jsonl`` file as a fleet would send them."""
    if records < 1:
        raise OptionError(f"records must be at least 1, got {records}")
    if path.suffix not in (".parquet", ".jsonl"):
        raise OptionError(f"{path}: records are written to .parquet or .jsonl files")
    text = _SQL.format(
        records=records, seed=seed, chipsets=list(CHIPSETS), chipset_count=len(CHIPSETS), crash=CRASH,
        hurt=HURT[0], hurt_firmware=HURT[1], hurt_factor=HURT_FACTOR, late=LATE,
        **{f"v_{name}": _uniform("d", name, seed) for name in ("crash", "late", "speed")},
        **{f"u_{name}": _uniform("s", name, seed) for name in ("long", "crash", "av", "turn")},
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f".{path.name}.{os.getpid()}{path.suffix}")
    quoted = str(made).replace("'", "''")
    try:
        with duck().connect() as connection:
            connection.execute("SET preserve_insertion_order = false")
            if threads:
                connection.execute("SET threads = ?", [threads])
            if path.suffix == ".parquet":
                chosen = ", ".join(COLUMNS)
                connection.execute(
                    f"COPY (SELECT {chosen} FROM ({text})) TO '{quoted}' (FORMAT parquet, COMPRESSION zstd)"
                )
            else:
                connection.execute(
                    f"COPY ({_as_json(text)}) TO '{quoted}' "
                    "(FORMAT csv, HEADER false, QUOTE '', DELIMITER '\\x01')"
                )
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)
    return path


def _uniform(key: str, name: str, seed: int) -> str:
    """A number above 0 and below 1 that depends on the key only, however many threads there are."""
    return f"((hash({key}::VARCHAR || '/{name}/{seed}') >> 12)::DOUBLE + 0.5) / 4503599627370496.0"


def _as_json(rows: str) -> str:
    """One JSON text per row, without the keys whose value is not known."""
    record = (
        "{'schema': 1, 'session_id': session_id, 'task': task, 'state': state, 'ts_ms': ts_ms, "
        "'model': {'id': model, 'digest': 'none', 'version': model_version, 'variant': variant}, "
        "'content': content, 'ep_requested': ep_requested, 'ep_actual': ep_actual, 'runtime_version': "
        "runtime_version, 'config_digest': config_digest, 'frames_in': frames_in, "
        "'frames_bypassed': frames_bypassed, 'frames_late': frames_late, "
        "'deadline_miss_count': deadline_miss_count, 'mem_peak_kb': mem_peak_kb, "
        "'latency_us': {'p50': 0.0, 'p90': 0.0, 'p95': 0.0, 'p99': 0.0, 'p99_9': 0.0, 'max': latency_max_us, "
        "'histogram': list_transform(histogram, lambda h: [h.bucket, h.count])}, "
        "'self_check': {'vector_id': 'g', 'metric': 'max_lsb', 'value': 0.0, 'floor': 1.0, "
        "'pass': self_check_pass}}"
    )
    return (
        "SELECT CASE WHEN ended IS NULL THEN replace(line::VARCHAR, '\"ended\":null,', '') ELSE "
        "line::VARCHAR END FROM (SELECT ended, to_json({'schema': 1, "
        "'set_id': set_id, 'chipset': chipset, 'firmware': firmware, 'driver': driver, 'ended': ended, "
        "'av_offset_ms': av_offset_ms, 'rollout': {'release': release, 'stage': stage, 'arm': arm}, "
        f"'record': {record}}}) AS line FROM ({rows}))"
    )
