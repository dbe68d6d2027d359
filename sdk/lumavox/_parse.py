"""JSON or TOML values into frozen dataclasses and back, strictly.

The one place that reads structured text: bundles, telemetry records and recipes all pass through it. It
is not a general validator: the types of the dataclass are the rules, and what types cannot say belongs
in ``__post_init__`` (any ``ValueError`` raised there is reported with file and key).

    document = load_json(data, "bundle.json")
    bundle = parse(Document, document, "bundle.json")     # errors say: bundle.json: variants[0].inputs: ...
    text = dump_json(plain(bundle))

Understood types: dataclasses, ``str``, ``bool``, ``int``, ``float`` (an int is taken, NaN and infinity are
not), ``Path``, ``Literal``, ``Enum`` of texts, ``X | None``, unions, ``tuple``, ``Mapping[str, X]``, and
``object`` for free JSON. Absent means "not known": a field with a default may be left out, and null is never
a value.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ._fields import names_of
from ._readers import Wrong, join, reader_of, shown
from .errors import LumavoxError, OptionError

T = TypeVar("T")

MAX_DEPTH = 32
MAX_NUMBER_CHARACTERS = 40

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)  # also an unterminated one: never backtracks
_SCALARS = frozenset({str, bool, int, float})


def load_json(data: bytes, where: str, error: type[LumavoxError] = OptionError) -> Any:
    """The value of a JSON text in UTF-8, of which nothing is guessed or repaired.

    Refused with ``error``: other encodings, duplicate keys, NaN and infinities, numbers of more than
    ``MAX_NUMBER_CHARACTERS`` characters, and nesting deeper than ``MAX_DEPTH``.
    """
    try:
        text = data.decode("utf-8")
        depth = 0
        for bracket in re.findall(r"[\[{\]}]", _STRINGS.sub("", text)):
            depth += 1 if bracket in "[{" else -1
            if depth > MAX_DEPTH:
                raise ValueError(f"nested deeper than {MAX_DEPTH}")
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_constant, parse_int=_int, parse_float=_float
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # refuses half surrogates
    except ValueError as cause:
        raise error(f"{where}: not valid JSON: {cause}") from cause
    return value


def dump_json(value: object) -> bytes:
    """Readable JSON with sorted keys and a final newline, the same bytes for the same value."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def parse(
    cls: type[T], value: object, where: str, *, key: str = "", error: type[LumavoxError] = OptionError
) -> T:
    """``value`` as an instance of the dataclass ``cls``.

    ``where`` names the file, ``key`` the place in it; both lead every message. Raises ``error`` for an
    unknown key (naming the nearest known one), a missing key, or a value of another type.
    """
    try:
        read = reader_of(typing.cast(Any, cls))
        return typing.cast(T, read(value))
    except Wrong as wrong:
        place = join(key, wrong.key)
        told = f"{where}: {place}: {wrong}" if place else f"{where}: {wrong}"
        raise error(told) from wrong.__cause__


def plain(value: object) -> Any:
    """The inverse of ``parse``: dataclasses to dicts without absent fields, tuples to lists."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is tuple or kind is list:
        return [plain(item) for item in typing.cast("list[object]", value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: plain(item) for name, item in _present(value).items()}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, enum.Enum):
        return value.value
    return value


def dump_line(value: object) -> bytes:
    """``plain(value)`` as one line of JSON with sorted keys, the same bytes for the same value. The encoder
    takes dataclasses apart itself, so it is several times faster than the two steps."""
    text = json.dumps(value, default=_shallow, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"


def _shallow(value: object) -> object:
    """One level of ``plain``."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _present(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (Path, enum.Enum)):
        return plain(value)
    raise TypeError(f"{shown(value)} is not a value of JSON")


def _present(value: object) -> dict[str, Any]:
    """The fields of a dataclass that are not absent, by key."""
    kind: Any = type(value)
    return {key: item for key, name in names_of(kind) if (item := getattr(value, name)) is not None}


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"duplicate key {next(n for n in names if names.count(n) > 1)!r}")
    return found


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _int(text: str) -> int:
    return int(_short(text))


def _float(text: str) -> float:
    number = float(_short(text))
    if not math.isfinite(number):
        raise ValueError(f"the number {text} is too large")
    return number


def _short(text: str) -> str:
    if len(text) > MAX_NUMBER_CHARACTERS:
        raise ValueError(f"a number of {len(text)} characters (limit {MAX_NUMBER_CHARACTERS})")
    return text
