"""The memory that player and worker share: one anonymous file of fixed size, with slots for calls.

A slot holds a request header, a reply header, and the tensors of one call as numpy views: nothing is copied
on the way. Call ``n`` uses slot ``n % SLOTS``, so that a late call keeps its slot while the next one has
another.

What the worker may have spoilt is never trusted: the file is sealed (it cannot shrink under the player,
which would be a SIGBUS), sizes and offsets are computed on either side from the tensors' shapes and never
read from the memory, headers carry sequence words and a checksum, and guard words lie behind every tensor.
Pixels carry no checksum (2 ms a frame): a picture that cannot be right is found by its looks, in either
mode.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .errors import EngineError

SLOTS = 2
MAX_SEGMENT_BYTES = 1 << 30
"""More than any network's tensors need; a worker that asks for more is not believed."""

_MAGIC = 0x4C564F5853484D31  # "LVOXSHM1"
_HEADER = struct.Struct("<QQQQ")  # magic, generation, sequence, status
_CHECKSUM = struct.Struct("<I")
_HEADER_BYTES = 64
_GUARD_BYTES = 64
_ALIGNMENT = 64  # what vector loads of engines like

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]
"""dtype and shape by name."""


@dataclass(frozen=True)
class _Place:
    dtype: str
    shape: tuple[int, ...]
    offset: int  # in the slot
    bytes: int


class Segment:
    """A mapping of the shared file. ``inputs`` and ``outputs``: per slot, views by tensor name."""

    def __init__(self, fd: int, inputs: Tensors, outputs: Tensors, generation: int) -> None:
        """Map ``fd``, which stays the caller's. Raises `EngineError` for one that is too small."""
        places, self._slot_bytes = _layout(inputs, outputs)
        self._generation = generation
        size = SLOTS * self._slot_bytes
        if os.fstat(fd).st_size < size:
            raise EngineError(f"the shared memory has {os.fstat(fd).st_size} bytes, {size} are needed")
        self._memory = mmap.mmap(fd, size)
        self._guard = struct.pack("<Q", _MAGIC ^ generation) * (_GUARD_BYTES // 8)
        self.inputs = [self._views(slot, places, inputs) for slot in range(SLOTS)]
        self.outputs = [self._views(slot, places, outputs) for slot in range(SLOTS)]
        self._output_guards = [
            [slot * self._slot_bytes + places[name].offset + places[name].bytes for name in outputs]
            for slot in range(SLOTS)
        ]
        self._all_guards = [
            slot * self._slot_bytes + place.offset + place.bytes
            for slot in range(SLOTS)
            for place in places.values()
        ]

    @classmethod
    def create(cls, inputs: Tensors, outputs: Tensors, generation: int) -> tuple[Segment, int]:
        """A new segment and the descriptor of its file, which the caller closes.

        Raises `EngineError` for tensors beyond ``MAX_SEGMENT_BYTES``.
        """
        size = SLOTS * _layout(inputs, outputs)[1]
        if size > MAX_SEGMENT_BYTES:
            raise EngineError(f"the tensors need {size} shared bytes, at most {MAX_SEGMENT_BYTES} are given")
        fd = os.memfd_create("lumavox", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, size)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            segment = cls(fd, inputs, outputs, generation)
        except BaseException:
            os.close(fd)
            raise
        for offset in segment._all_guards:
            segment._memory[offset : offset + _GUARD_BYTES] = segment._guard
        return segment, fd

    def request(self, sequence: int) -> None:
        """Write the header of a request (the player)."""
        self._write(sequence % SLOTS * self._slot_bytes, sequence, 0)

    def reply(self, sequence: int, status: int) -> None:
        """Write the header of a reply (the worker)."""
        self._write(sequence % SLOTS * self._slot_bytes + _HEADER_BYTES, sequence, status)

    def request_fault(self, sequence: int) -> str | None:
        """What is wrong with a request, if anything (the worker)."""
        return self._fault(sequence % SLOTS * self._slot_bytes, sequence, 0)

    def reply_fault(self, sequence: int, status: int) -> str | None:
        """What is wrong with a reply and the guard words of its slot, if anything (the player)."""
        slot = sequence % SLOTS
        for offset in self._output_guards[slot]:
            if self._memory[offset : offset + _GUARD_BYTES] != self._guard:
                return "an output was written beyond its end"
        return self._fault(slot * self._slot_bytes + _HEADER_BYTES, sequence, status)

    def replied(self, sequence: int) -> bool:
        """Whether there is a reply to that call, be it read or not."""
        offset = sequence % SLOTS * self._slot_bytes + _HEADER_BYTES
        magic, _, found, _ = _HEADER.unpack_from(self._memory, offset)
        return bool((magic, found) == (_MAGIC, sequence))

    def _write(self, offset: int, sequence: int, status: int) -> None:
        header = _HEADER.pack(_MAGIC, self._generation, sequence, status)
        checked = header + _CHECKSUM.pack(zlib.crc32(header))
        self._memory[offset : offset + len(checked)] = checked

    def _fault(self, offset: int, sequence: int, status: int) -> str | None:
        header = self._memory[offset : offset + _HEADER.size]
        (checksum,) = _CHECKSUM.unpack_from(self._memory, offset + _HEADER.size)
        if zlib.crc32(header) != checksum:
            return "the checksum of a header is wrong"
        if _HEADER.unpack(header) != (_MAGIC, self._generation, sequence, status):
            return f"the header is not that of call {sequence}"
        return None

    def spoil(self) -> None:
        """Scribble over headers and guard words: a fault on demand."""
        for offset in [0, _HEADER_BYTES, *self._all_guards]:
            for slot in range(SLOTS):
                at = (slot * self._slot_bytes + offset) % (SLOTS * self._slot_bytes)
                self._memory[at : at + 32] = bytes(range(32))

    def _views(self, slot: int, places: Mapping[str, _Place], names: Tensors) -> dict[str, np.ndarray]:
        views = {}
        for name in names:
            place = places[name]
            flat = np.frombuffer(
                self._memory, place.dtype, math.prod(place.shape), slot * self._slot_bytes + place.offset
            )
            views[name] = flat.reshape(place.shape)
        return views


def sealed_file(data: bytes) -> int:
    """The descriptor of an anonymous file that holds ``data`` and can never change."""
    fd = os.memfd_create("lumavox", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(fd, "wb", closefd=False) as file:
            file.write(data)
        fcntl.fcntl(
            fd,
            fcntl.F_ADD_SEALS,
            fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL,
        )
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_file(fd: int) -> bytes:
    """All that an anonymous file holds, wherever others that share ``fd`` have read to."""
    return os.pread(fd, os.fstat(fd).st_size, 0)


def _layout(inputs: Tensors, outputs: Tensors) -> tuple[dict[str, _Place], int]:
    """Where each tensor lies in a slot, and the size of a slot, which is whole pages."""
    places: dict[str, _Place] = {}
    offset = 2 * _HEADER_BYTES
    for name, (dtype, shape) in [*inputs.items(), *outputs.items()]:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        places[name] = _Place(dtype, shape, offset, size)
        offset = _up(offset + size + _GUARD_BYTES, _ALIGNMENT)
    return places, _up(offset, mmap.PAGESIZE)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
