"""What the subcommands share: one JSON form and one table form of a result, and one form of a size."""

from __future__ import annotations

import argparse
import dataclasses
import enum
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``, which every reporting subcommand has."""
    parser.add_argument("--json", action="store_true", help="print JSON with stable keys instead of text")


def print_json(value: Any) -> None:
    """Print ``value`` (dataclasses, mappings, sequences, paths) as JSON; what is not known is left out."""
    print(json.dumps(plain(value), indent=2, ensure_ascii=False))


def plain(value: Any) -> Any:
    """``value`` in JSON's own types; ``None`` members of dataclasses and mappings are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [plain(v) for v in value]
    return value


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Left-aligned columns under ``header``; a missing cell is shown as ``-``."""
    cells = [list(header), *([("-" if c is None else str(c)) for c in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in cells)


def size(text: str) -> tuple[int, int]:
    """The type of an argument such as ``960x540``: width and height."""
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 960x540")
    return int(width), int(height)
