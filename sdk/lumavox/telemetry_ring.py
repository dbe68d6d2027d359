"""``TelemetryRing``: the last records in one file of fixed size, which survives a crash of the player.

    with TelemetryRing.open("telemetry.ring") as ring:
        for number, record in ring.pending():      # also those of a session that crashed
            send(record)
            ring.acknowledge(number)
        ring.append(record)

The file is mapped into memory: what was appended is the kernel's, so that a kill of the process loses
nothing, and `append` also asks for it to be written to the disk. Each slot has a checksum over its number,
length and bytes; one that a power cut tore apart is left out. The oldest record is overwritten. One process
at a time may have it open.

Layout, little endian: header of 64 bytes (magic, format, slots, CRC-32; then two copies of the number
acknowledged last, each with its CRC-32), then slots of 1024 bytes: CRC-32, length, number (from 1), bytes.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from .errors import OptionError, OutputError
from .telemetry import TelemetryRecord
from .telemetry_pack import MAX_BYTES, pack, unpack

__all__ = ["TelemetryRing"]

DEFAULT_SLOTS = 256  # two hours of records every 30 s; a file of 256 KiB
MAX_SLOTS = 65_536
_MAGIC = b"LUMARING"
_FORMAT = 1
_HEADER = struct.Struct("<8sHxxII")  # magic, format, slots, CRC-32 of what is before it
_MARK = struct.Struct("<QI")  # number acknowledged, CRC-32 of it
_MARKS = (24, 40)  # where its two copies are
_HEADER_BYTES = 64
_SLOT = struct.Struct("<IHxxQ")  # CRC-32 of all after it, length, number
_SLOT_BYTES = 1024
assert _SLOT.size + MAX_BYTES <= _SLOT_BYTES


class TelemetryRing:
    """Made by `TelemetryRing.open`. One thread at a time may use it."""

    def __init__(self, path: Path, file: int, slots: int) -> None:
        self.path, self.slots = path, slots
        self._file = file
        self._map = mmap.mmap(file, _HEADER_BYTES + slots * _SLOT_BYTES)
        self._last = max((number for number, _ in self._valid()), default=0)
        self._last = max(self._last, self.acknowledged)

    @classmethod
    def open(cls, path: str | Path, slots: int = DEFAULT_SLOTS) -> TelemetryRing:
        """Open the ring at ``path``, or make one of ``slots`` records (1 KiB each).

        A file that is no ring, or one of another size, is replaced: it could only hold telemetry. Raises
        OptionError for an impossible number of slots, OutputError if the file cannot be used or another
        process has it open.
        """
        if not 2 <= slots <= MAX_SLOTS:
            raise OptionError(f"a ring has 2 to {MAX_SLOTS} slots, not {slots!r}")
        path = Path(path)
        try:
            if not _is_ring(path, slots):
                _create(path, slots)
            file = os.open(path, os.O_RDWR)
        except OSError as cause:
            raise OutputError(
                f"telemetry ring {str(path)!r}: {cause}; give a path that can be written"
            ) from cause
        try:
            _lock(file, path)
            return cls(path, file, slots)
        except BaseException:
            os.close(file)
            raise

    def append(self, record: TelemetryRecord) -> int:
        """Store a record; its number, which is one more than that of the record before."""
        data, number = pack(record), self._last + 1
        at = self._offset(number)
        rest = _SLOT.pack(0, len(data), number)[4:] + data
        self._map[at : at + 4] = bytes(4)  # not valid while it is being written
        self._map[at + 4 : at + 4 + len(rest)] = rest
        self._map[at : at + 4] = zlib.crc32(rest).to_bytes(4, "little")
        self._last = number
        self._sync(at, _SLOT_BYTES)
        return number

    def records(self) -> list[tuple[int, TelemetryRecord]]:
        """All that can be read, oldest first, with their numbers."""
        found = []
        for number, data in sorted(self._valid()):
            with contextlib.suppress(OptionError):  # of a version that wrote something else
                found.append((number, unpack(data, f"{self.path}, record {number}")))
        return found

    def pending(self) -> list[tuple[int, TelemetryRecord]]:
        """Those after the one that was acknowledged last."""
        done = self.acknowledged
        return [(number, record) for number, record in self.records() if number > done]

    def acknowledge(self, number: int) -> None:
        """Remember, also after a crash, that records up to ``number`` have arrived. It never goes back."""
        if not 0 <= number <= self._last:
            raise OptionError(
                f"record {number} of a ring whose last one is {self._last} cannot be acknowledged"
            )
        if number <= self.acknowledged:
            return
        mark = number.to_bytes(8, "little")
        for at in _MARKS:  # one after the other, so that one copy is whole at any time
            self._map[at : at + _MARK.size] = mark + zlib.crc32(mark).to_bytes(4, "little")
        self._sync(0, _HEADER_BYTES)

    @property
    def acknowledged(self) -> int:
        """The number acknowledged last; 0 if none was."""
        found = [0]
        for at in _MARKS:
            number, crc = _MARK.unpack_from(self._map, at)
            if crc == zlib.crc32(self._map[at : at + 8]):
                found.append(number)
        return max(found)

    def close(self) -> None:
        """May be called twice."""
        if not self._map.closed:
            self._map.close()
            os.close(self._file)

    def __enter__(self) -> TelemetryRing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _offset(self, number: int) -> int:
        return _HEADER_BYTES + (number - 1) % self.slots * _SLOT_BYTES

    def _valid(self) -> Iterator[tuple[int, bytes]]:
        """(number, bytes) of each slot whose checksum is right and that is where it belongs."""
        for slot in range(self.slots):
            at = _HEADER_BYTES + slot * _SLOT_BYTES
            crc, length, number = _SLOT.unpack_from(self._map, at)
            end = at + _SLOT.size + length
            here = number and length <= MAX_BYTES and self._offset(number) == at
            if here and crc == zlib.crc32(self._map[at + 4 : end]):
                yield number, self._map[at + _SLOT.size : end]

    def _sync(self, at: int, size: int) -> None:
        start = at // mmap.PAGESIZE * mmap.PAGESIZE
        with contextlib.suppress(OSError):  # a disk that fails must not harm the player
            self._map.flush(start, at + size - start)


def _is_ring(path: Path, slots: int) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
    if len(header) < _HEADER.size or path.stat().st_size != _HEADER_BYTES + slots * _SLOT_BYTES:
        return False
    magic, format, found, crc = _HEADER.unpack(header)
    return (magic, format, found, crc) == (_MAGIC, _FORMAT, slots, zlib.crc32(header[: _HEADER.size - 4]))


def _create(path: Path, slots: int) -> None:
    """An empty ring, complete before it gets its name; all of its space is taken now, not later."""
    start = _HEADER.pack(_MAGIC, _FORMAT, slots, 0)[:-4]
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write((start + zlib.crc32(start).to_bytes(4, "little")).ljust(_HEADER_BYTES, b"\0"))
            for _ in range(slots):
                file.write(bytes(_SLOT_BYTES))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _lock(file: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: the caller sees to it
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as cause:
        raise OutputError(
            f"telemetry ring {str(path)!r} is open in another process; give each process a file of its own"
        ) from cause
