"""``pack`` and ``unpack``: a telemetry record in at most ``MAX_BYTES``, for rings and narrow links.

    data = pack(record)                        # 400 to 900 bytes, never more than 1000
    record = unpack(data)

Layout: one byte of format (1), the length of the histogram (two bytes, big endian), the histogram (for each
bucket that is not empty, the distance to the one before and the count, both as LEB128), then the other
fields as JSON, deflated with a dictionary of their names.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from typing import Any

from ._parse import load_json, parse
from .errors import OptionError
from .telemetry import TelemetryRecord

__all__ = ["MAX_BYTES", "pack", "unpack"]

MAX_BYTES = 1000
_FORMAT = 1
_HEADER_BYTES = 3
_MAX_JSON = 1 << 16
_LONG_TEXT = 80

# What records have in common, the most frequent last. Part of the format: a change needs a new _FORMAT.
_DICTIONARY = (
    b'"frames_late":"deadline_miss_transient":"deadline_miss_persistent":"switches_at_once":"switches_faded":'
    b'"switches_at_cut":"ladder":{"rung":"base""small""nano""conventional","late_budget":{"windows":'
    b'"windows_over":"worst_late_share":"thermal_forecast":0."state_reason":"stepped down to : late tails'
    b"thermal forecastmemory pressureframes were late"
    b"bypassed: passthrough audiobypassed: secure pathno speech"
    b'the network was not ready within  ms"warming""failed""off""bypass""degraded""content_reason":'
    b'"content":"streamed""clean""any""errors":["SR.E_DEADLINE","SR.E_ENGINE","DE.E_DEADLINE","DE.E_ENGINE"]'
    b'"nodes_on_ep":"nodes_total":"self_check":{"floor":1.0,"metric":"max_lsb""max_abs","pass":true,"value":'
    b'"vector_id":"golden/-int8-tflite.npz"-int8-onnx"},"config_digest":"ep_actual":"litert""ort","ep_requested":"auto",'
    b'"ep_version":"ai-edge-litert 2.3.0, XNNPACK, 1 thread(s)""onnxruntime 1.31.1, CPUExecutionProvider, '
    b'1 thread(s)","model":{"digest":"id":"sr/base-x2""sr/small-x2""sr/nano-x2""de/base","variant":'
    b'"clean-int8-tflite""streamed-int8-tflite""version":"0.1.0"},"runtime_version":"0.1.0",'
    b'"mem_peak_kb":"first_frame_ms":"cold_load_ms":"added_latency_ms":{"audio":"video":0.0},"deadline_us":16666.667,'
    b'"deadline_miss_count":0,"deadline_miss_run_max":0,"frames_bypassed":0,"frames_enhanced":,"frames_in":,'
    b'"latency_us":{"max":"p50":"p90":"p95":"p99":"p99_9":},"schema":1,"session_id":"state":"active","task":"sr"'
    b'"task":"de","ts_ms":17'
)


def pack(record: TelemetryRecord) -> bytes:
    """The record in at most ``MAX_BYTES``; ``unpack`` gives it back.

    One that does not fit loses first its long texts (cut to 80 characters), then ``content_reason``,
    ``ep_version`` and ``errors``, and at last its latencies: absent is "not known".
    """
    data = _packed(record)
    for changes in _sacrifices(record):
        if len(data) <= MAX_BYTES:
            break
        record = dataclasses.replace(record, **changes)
        data = _packed(record)
    if len(data) > MAX_BYTES:
        raise OptionError(
            f"a telemetry record of session {record.session_id!r} needs {len(data)} bytes, "
            f"at most {MAX_BYTES} are possible: shorten session_id, and the names of model and variant"
        )
    return data


def unpack(data: bytes, where: str = "packed record") -> TelemetryRecord:
    """The record in ``data``. Raises OptionError for bytes that `pack` did not write."""
    if len(data) < _HEADER_BYTES or data[0] != _FORMAT:
        raise OptionError(f"{where}: not a packed telemetry record of format {_FORMAT}")
    end = _HEADER_BYTES + int.from_bytes(data[1:3], "big")
    inflate = zlib.decompressobj(-15, zdict=_DICTIONARY)
    try:
        text = inflate.decompress(data[end:], _MAX_JSON)
    except zlib.error as cause:
        raise OptionError(f"{where}: the packed record is damaged: {cause}") from cause
    if not inflate.eof:
        raise OptionError(f"{where}: the packed record is truncated, or larger than {_MAX_JSON} bytes")
    fields = load_json(text, where)
    if end > _HEADER_BYTES and isinstance(fields, dict) and isinstance(fields.get("latency_us"), dict):
        fields["latency_us"]["histogram"] = _buckets(data[_HEADER_BYTES:end], where)
    return parse(TelemetryRecord, fields, where)


def _packed(record: TelemetryRecord) -> bytes:
    fields, histogram = record.to_dict(), bytearray()
    if record.latency_us is not None:
        del fields["latency_us"]["histogram"]
        before = 0
        for bucket, count in record.latency_us.histogram:
            histogram += _leb128(bucket - before) + _leb128(count)
            before = bucket
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=_DICTIONARY)
    body = deflate.compress(text) + deflate.flush()
    return bytes([_FORMAT]) + len(histogram).to_bytes(2, "big") + bytes(histogram) + body


def _sacrifices(record: TelemetryRecord) -> list[dict[str, Any]]:
    """What to change, in turn, until a record fits."""
    texts = {name: value for name, value in vars(record).items() if isinstance(value, str)}
    long = {name: value[:_LONG_TEXT] for name, value in texts.items() if len(value) > _LONG_TEXT}
    long.pop("session_id", None)
    return [long, {"content_reason": None}, {"ep_version": None}, {"errors": ()}, {"latency_us": None}]


def _leb128(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    made.append(number)
    return bytes(made)


def _buckets(data: bytes, where: str) -> list[list[int]]:
    """[bucket, count] pairs from their LEB128 numbers."""
    numbers, number, shift = [], 0, 0
    for byte in data:
        if shift > 63:
            raise OptionError(f"{where}: a number of the packed histogram is too long")
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(number)
            number = shift = 0
    if shift or len(numbers) % 2:
        raise OptionError(f"{where}: the packed histogram is truncated")
    found, bucket = [], 0
    for distance, count in zip(numbers[::2], numbers[1::2]):
        bucket += distance
        found.append([bucket, count])
    return found
