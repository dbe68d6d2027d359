"""What a worker is told when it starts, and the messages that follow. Plain data: no pickles.

Player to worker: ``CONFIGURE`` {"shapes": {input: shape}, "warm": bool}, ``ATTACH`` {"outputs": {name:
[dtype, shape]}, "generation": n} with the segment's descriptor, ``CALL`` sequence, fault. Worker to player:
``OPENED`` {...}, ``REFUSED`` text, ``SHAPES`` {...}, ``NO_SHAPES`` text, ``ATTACHED``, ``DONE`` sequence,
status, text.

A message is one packet: a letter, then JSON, text, or the words of `CALL_WORDS` and `DONE_WORDS`.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any

from ._bundle_schema import Variant

CONFIGURE, ATTACH, CALL = b"C", b"A", b"R"
OPENED, REFUSED, SHAPES, NO_SHAPES, ATTACHED, DONE = b"O", b"F", b"S", b"N", b"T", b"D"

CALL_WORDS = struct.Struct("<QI")  # sequence, number of the fault to show (0: none)
DONE_WORDS = struct.Struct("<QI")  # sequence, status; a text may follow
OK, FAILED, EXHAUSTED, CORRUPT = range(4)
"""Status: done; the engine raised; memory ran out, and the worker ends; the request was spoilt, likewise."""

EXIT_EXHAUSTED, EXIT_CORRUPT = 71, 72
"""Exit codes of a worker that ended itself for one of these."""

MAX_MESSAGE_BYTES = 1 << 16
MAX_TEXT = 2000


@dataclass(frozen=True)
class Order:
    """How to open the model, which comes in a file of its own, and how to live."""

    backend: str
    variant: Variant
    threads: int = 1
    cpus: tuple[int, ...] = ()
    nice: int = 0
    idle: bool = False
    memory_mib: int | None = None
    sandbox: bool = True
    readable: tuple[str, ...] = ()
    faults: bool = False  # faults on demand are shown
    never_starts: bool = False  # this one right away


@dataclass(frozen=True)
class Opened:
    """What a worker says about itself once the model is open."""

    description: str
    load_ms: float
    limits: tuple[str, ...] = ()
    placement: tuple[int, ...] = field(default=())  # operators on the accelerator, all operators


def pack(kind: bytes, value: Any) -> bytes:
    """A message with JSON in it."""
    return kind + json.dumps(value, separators=(",", ":")).encode()


def text(kind: bytes, sentence: str) -> bytes:
    """A message with words in it."""
    return kind + sentence[:MAX_TEXT].encode()
