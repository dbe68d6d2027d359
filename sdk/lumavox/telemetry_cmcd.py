"""``CmcdEvents``: telemetry records as CMCD version 2 event reports (CTA-5004-B).

    events = CmcdEvents(session_id="6e2fb550-c457-11e9-bb97-0800200c9a66")   # the player's own sid
    body = events.interval(record)                    # e=t, every 30 s
    body = events.changed(record)                     # e=ce, when the state changes

Each returns one record for the body of a POST of type ``application/cmcd``; several are joined by line
feeds. A projection loses much: no histogram fits, and the standard has no keys for enhancement, so all but
``e cen ec pt sid sn ts v`` are custom keys, whose values are texts of at most 64 characters. Keys are in
alphabetical order. Reasons leave the device as tokens only. Sending is the player's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .errors import OptionError
from .telemetry import TelemetryRecord, reason_token

__all__ = ["MEDIA_TYPE", "CmcdEvents"]

MEDIA_TYPE = "application/cmcd"
INTERVAL_S = 30.0
MAX_CUSTOM = 64  # characters of a custom key, and of its value
MAX_SID = 64
_PREFIX = re.compile(r"[a-z][a-z0-9_.*]*")
_LONGEST_SUFFIX = len("-enh-rung")


class CmcdEvents:
    """Reports of one session to one target; counts them (``sn``).

    ``prefix`` of custom keys should be a domain of the player's maker, reversed; the default is
    ``com.lumavox``. Raises OptionError for one that cannot be a key, and for a ``session_id`` of more than
    64 characters.
    """

    def __init__(self, session_id: str | None = None, prefix: str = "com.lumavox") -> None:
        if not _PREFIX.fullmatch(prefix) or len(prefix) + _LONGEST_SUFFIX > MAX_CUSTOM:
            raise OptionError(
                f"CMCD prefix {prefix!r}: small letters, digits and dots, at most "
                f"{MAX_CUSTOM - _LONGEST_SUFFIX} of them, a letter first, such as 'com.example'"
            )
        if session_id is not None and not 1 <= len(session_id) <= MAX_SID:
            raise OptionError(f"CMCD session_id has {len(session_id)} characters, 1..{MAX_SID} are possible")
        self._session_id, self._prefix = session_id, prefix
        self._sent = 0

    def interval(self, record: TelemetryRecord, playhead_ms: int | None = None) -> str:
        """The report of a time interval (event ``t``)."""
        return self._report("t", None, record, playhead_ms)

    def changed(self, record: TelemetryRecord, playhead_ms: int | None = None) -> str:
        """The report of a change of state (event ``ce``, named ``enh-state``)."""
        return self._report("ce", "enh-state", record, playhead_ms)

    def _report(self, event: str, name: str | None, record: TelemetryRecord, playhead_ms: int | None) -> str:
        if record.ts_ms is None:
            raise OptionError("a record without ts_ms cannot be a CMCD event; Meter.record() gives it one")
        items = {
            "e": event,
            "sid": _string((self._session_id or record.session_id)[:MAX_SID]),
            "sn": str(self._sent),
            "ts": str(record.ts_ms),
            "v": "2",
        }
        if name is not None:
            items["cen"] = _string(name)
        if record.errors:
            items["ec"] = "(" + " ".join(map(_string, record.errors)) + ")"
        if playhead_ms is not None:
            items["pt"] = str(int(playhead_ms))
        for suffix, value in _custom(record).items():
            items[f"{self._prefix}-enh-{suffix}"] = _string(value[:MAX_CUSTOM])
        self._sent += 1
        return ",".join(f"{key}={items[key]}" for key in sorted(items))


def _custom(record: TelemetryRecord) -> Mapping[str, str]:
    """What is known of a record, by the last part of the custom key."""
    latency, added, check = record.latency_us, record.added_latency_ms, record.self_check
    known: dict[str, object] = {
        "st": f"{record.task}/{record.state}",
        "why": reason_token(record.state_reason) if record.state_reason else None,
        "fi": record.frames_in,
        "fe": record.frames_enhanced,
        "fb": record.frames_bypassed,
        "fl": record.frames_late,
        "p50": None if latency is None else f"{latency.p50 / 1e3:.1f}",
        "p99": None if latency is None else f"{latency.p99 / 1e3:.1f}",
        "dl": None if record.deadline_us is None else f"{record.deadline_us / 1e3:.1f}",
        "dm": record.deadline_miss_count,
        "ep": _pair(record.ep_requested, record.ep_actual),
        "av": None if added is None else _pair(_number(added.video), _number(added.audio)),
        "sc": None if check is None else ("ok" if check.passed else "fail"),
        "rung": None if record.ladder is None else record.ladder.rung,
        "cfg": record.config_digest,
    }
    return {suffix: str(value) for suffix, value in known.items() if value is not None}


def _pair(first: str | None, second: str | None) -> str | None:
    """``first/second``; what is not known is left empty."""
    return None if first is None and second is None else f"{first or ''}/{second or ''}"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:g}"


def _string(text: str) -> str:
    """A string of RFC 8941: printable ASCII, quotes and backslashes escaped; all else becomes ``?``."""
    printable = "".join(c if " " <= c <= "~" else "?" for c in text)
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'
