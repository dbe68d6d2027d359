"""A disk whose power may fail at any step: what would be left of a folder then. Not a test itself.

``Watched`` does what `Disk` does and notes, before every step, all that may be on the medium: a file that was
not flushed may be old, empty, cut off or new; of the entries of a folder that was not flushed, the first few
changes may be there. ``Cut.leave`` writes one such outcome.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from lumavox.update._disk import Disk


@dataclass
class _Content:
    """A file's bytes: flushed, and as programs see them."""

    flushed: bytes = b""
    seen: bytes = b""


@dataclass
class _Folder:
    flushed: dict[str, _Content] = field(default_factory=dict)
    changes: list[tuple[str, _Content | None]] = field(default_factory=list)

    def seen(self, count: int | None = None) -> dict[str, _Content]:
        entries = dict(self.flushed)
        for name, content in self.changes[:count]:
            if content is None:
                entries.pop(name, None)
            else:
                entries[name] = content
        return entries


@dataclass(frozen=True)
class Cut:
    """The medium before one step. ``allowed`` is what the test set as `Watched.allowed` at that time."""

    step: str
    allowed: object
    folders: dict[Path, tuple[dict[str, tuple[bytes, bytes]], list[tuple[str, tuple[bytes, bytes] | None]]]]

    def leave(self, place: Path, luck: random.Random) -> None:
        """Write to ``place`` what survives, as ``luck`` has it."""
        for folder, (flushed, changes) in self.folders.items():
            entries = dict(flushed)
            for name, content in changes[: luck.randint(0, len(changes))]:
                if content is None:
                    entries.pop(name, None)
                else:
                    entries[name] = content
            (place / folder).mkdir(parents=True, exist_ok=True)
            for name, (old, new) in entries.items():
                torn = new[: luck.randint(0, len(new))]
                left = old if old == new else luck.choice([old, b"", torn, new])
                (place / folder / name).write_bytes(left)


class Watched(Disk):
    """The disk of the folder ``root``. ``cuts`` has one entry per step."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cuts: list[Cut] = []
        self.allowed: object = None
        self._folders: dict[Path, _Folder] = {Path("."): _Folder()}

    def make_folder(self, path: Path) -> None:
        self._note(f"make {path.name}")
        super().make_folder(path)
        self._folders.setdefault(path.relative_to(self.root), _Folder())

    def write(self, path: Path, data: bytes) -> None:
        self._note(f"write {path.name}")
        super().write(path, data)
        folder = self._of(path)
        content = folder.seen().get(path.name)
        if content is None:
            content = _Content()
            folder.changes.append((path.name, content))
        content.seen = data

    def flush(self, path: Path) -> None:
        self._note(f"flush {path.name}")
        super().flush(path)
        if path.is_dir():
            folder = self._folders[path.relative_to(self.root)]
            folder.flushed, folder.changes = folder.seen(), []
        else:
            content = self._of(path).seen()[path.name]
            content.flushed = content.seen

    def rename(self, source: Path, target: Path) -> None:
        assert source.parent == target.parent, "a rename between folders is not atomic against a power cut"
        self._note(f"rename {source.name} to {target.name}")
        super().rename(source, target)
        folder = self._of(source)
        folder.changes += [(target.name, folder.seen()[source.name]), (source.name, None)]

    def remove(self, path: Path) -> None:
        self._note(f"remove {path.name}")
        super().remove(path)
        self._of(path).changes.append((path.name, None))

    def _of(self, path: Path) -> _Folder:
        return self._folders[path.parent.relative_to(self.root)]

    def _note(self, step: str) -> None:
        def both(content: _Content | None) -> tuple[bytes, bytes] | None:
            return None if content is None else (content.flushed, content.seen)

        folders = {
            path: (
                {n: (c.flushed, c.seen) for n, c in folder.flushed.items()},
                [(name, both(content)) for name, content in folder.changes],
            )
            for path, folder in self._folders.items()
        }
        self.cuts.append(Cut(step, self.allowed, folders))
