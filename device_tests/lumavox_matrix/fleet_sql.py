"""The SQL of the fleet view: statements over the Parquet columns of `fleet_records`. Nothing runs here.

All that is added up is a sum, so the statements give the same result over any split of the records: a day at
a time, a region at a time, in one process or in a warehouse. ``docs/fleet.md`` prints them.

1. ``SESSIONS``: counts of a record are absolute since the session began, so the last record of each session
   is the session.
2. ``per_set``: sums by set and group: the set is the unit of statistics, because sessions of one set are
   alike.
3. ``per_group``: sums of squares and products over sets, from which `fleet_statistics` has ratios with
   intervals. ``histograms``: buckets of latencies by group.
"""

from __future__ import annotations

from collections.abc import Sequence

from lumavox.errors import OptionError

__all__ = ["AXES", "METRICS", "SESSIONS", "histograms", "per_group", "per_set", "script"]

AXES = (
    "chipset", "firmware", "driver", "model", "model_version", "variant", "content", "ep_requested",
    "ep_actual", "runtime_version", "config_digest", "task", "state", "release", "arm",
)  # fmt: skip
"""What records can be grouped by: what was decided, and where."""

CRASHED = "(ended = 'crash' OR len(list_filter(errors, lambda code: code LIKE '%.E_ENGINE')) > 0)"
"""The player died, or the engine did (in its worker, where playback went on)."""

METRICS: dict[str, tuple[str, str, str]] = {
    "bypass": ("frames_bypassed", "frames_in", "frames by the conventional path"),
    "miss": ("coalesce(deadline_miss_count, frames_late)", "frames_in", "frames that missed their deadline"),
    "crash": (f"CASE WHEN {CRASHED} THEN 1 ELSE 0 END", "1", "sessions with a crash of player or engine"),
    "av_out": (
        "CASE WHEN av_offset_ms > 40 OR av_offset_ms < -120 THEN 1 ELSE 0 END", "1",
        "sessions with sound off its picture (beyond +40 or -120 ms)",
    ),
    "self_check": ("CASE WHEN self_check_pass THEN 0 ELSE 1 END", "1", "sessions whose golden vector failed"),
    "av_offset_ms": ("av_offset_ms", "1", "offset of sound and picture, ms (positive: sound early)"),
}  # fmt: skip
"""Of each: what is counted, among what, and in words. A session that lacks one of the two is left out."""

_KNOWN = {
    "crash": f"(ended IS NOT NULL OR {CRASHED})",
    "av_out": "av_offset_ms IS NOT NULL",
    "self_check": "self_check_pass IS NOT NULL",
}

SESSIONS = """
CREATE VIEW sessions AS
SELECT records.*
FROM records
JOIN (SELECT session_id AS last_id, max(coalesce(ts_ms, 0)) AS last_ms FROM records GROUP BY session_id) AS
last ON records.session_id = last.last_id AND coalesce(records.ts_ms, 0) = last.last_ms
"""


def per_set(by: Sequence[str]) -> str:
    """Sums by group and set: for each metric ``<name>_x`` and ``<name>_n``."""
    check(by)
    sums = []
    for name, (counted, among, _) in METRICS.items():
        known = _KNOWN.get(name, f"{counted} IS NOT NULL AND {among} IS NOT NULL")
        sums.append(f"  sum(CASE WHEN {known} THEN {counted} ELSE 0 END)::DOUBLE AS {name}_x")
        sums.append(f"  sum(CASE WHEN {known} THEN {among} ELSE 0 END)::DOUBLE AS {name}_n")
    groups = [f"  coalesce({axis}, 'unknown') AS {axis}" for axis in by]
    places = ", ".join(str(i + 1) for i in range(len(by) + 1))
    listed = ",\n".join([*groups, "  set_id", "  count(*) AS sessions", *sums])
    return f"SELECT\n{listed}\nFROM sessions\nGROUP BY {places}"


def per_group(by: Sequence[str], sets: str = "sets") -> str:
    """Sums over sets by group, of the result of `per_set`; ``<name>_sets`` counts those that know the
    metric."""
    check(by)
    sums = []
    for name in METRICS:
        sums.append(f"  sum(CASE WHEN {name}_n > 0 THEN 1 ELSE 0 END) AS {name}_sets")
        for letters in ("x", "n", "xx", "xn", "nn"):
            product = " * ".join(f"{name}_{letter}" for letter in letters)
            sums.append(f"  sum({product}) AS {name}_{letters}")
    listed = ",\n".join(
        [
            *(f"  {axis}" for axis in by),
            "  count(DISTINCT set_id) AS sets",
            "  sum(sessions) AS sessions",
            *sums,
        ]
    )
    places = ", ".join(str(i + 1) for i in range(len(by)))
    return f"SELECT\n{listed}\nFROM {sets}\nGROUP BY {places}\nORDER BY {places}"


def histograms(by: Sequence[str]) -> str:
    """(group, bucket, count, largest latency) of all sessions; buckets add up, whatever was added before."""
    check(by)
    groups = ", ".join(by)
    named = ", ".join(f"coalesce({axis}, 'unknown') AS {axis}" for axis in by)
    return (
        f"SELECT {groups}, h.bucket AS bucket, sum(h.count) AS count, max(latency_max_us) AS max_us\n"
        f"FROM (SELECT {named}, latency_max_us, unnest(histogram) AS h FROM sessions)\n"
        f"GROUP BY {groups}, h.bucket\nORDER BY {groups}, h.bucket"
    )


def check(by: Sequence[str]) -> None:
    """Axes become SQL, so only known ones do. Raises OptionError that names the nearest."""
    for axis in by:
        if axis not in AXES:
            raise OptionError.unknown("axis", axis, AXES)
    if not by or len(set(by)) != len(by):
        raise OptionError(f"group by one or more axes, each once; got {', '.join(by) or 'none'}")


def script(by: Sequence[str]) -> str:
    """All statements in their order, for a warehouse that has the Parquet files as the table ``records``."""
    return ";\n\n".join([
        SESSIONS.strip(), f"CREATE TEMP TABLE sets AS\n{per_set(by)}", per_group(by), histograms(by) + ";",
    ])  # fmt: skip
