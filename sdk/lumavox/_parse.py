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
import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from .errors import LumavoxError, OptionError, unknown_message

T = TypeVar("T")

MAX_DEPTH = 32
MAX_NUMBER_CHARACTERS = 40

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)  # also an unterminated one: never backtracks
_SCALARS = frozenset({str, bool, int, float})
_WORDS = {str: "text", bool: "true or false", int: "a whole number", float: "a finite number", Path: "a path"}


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
    return typing.cast(T, _Parser(where, error).value(cls, value, key))


def plain(value: object) -> Any:
    """The inverse of ``parse``: dataclasses to dicts without absent fields, tuples to lists."""
    if type(value) in _SCALARS:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {key: getattr(value, field.name) for key, field in _fields(type(value)).items()}
        return {name: plain(item) for name, item in fields.items() if item is not None}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, enum.Enum):
        return value.value
    return value


class _Parser:
    """``parse`` for one file: what each kind of type accepts."""

    def __init__(self, where: str, error: type[LumavoxError]) -> None:
        self.where = where
        self.error = error

    def fail(self, key: str, message: str) -> LumavoxError:
        return self.error(f"{self.where}: {key}: {message}" if key else f"{self.where}: {message}")

    def value(self, kind: Any, value: object, key: str) -> Any:
        """``value`` checked against the type ``kind``; ``key`` is its dotted place."""
        if kind in _SCALARS:  # most values by far
            return self.scalar(kind, value, key)
        origin, arguments = _shape(kind)
        if value is None:
            raise self.fail(key, "null is not a value; leave the key out if it is not known")
        if dataclasses.is_dataclass(kind):
            return self.dataclass(kind, value, key)
        if origin is Literal:
            if any(type(value) is type(choice) and value == choice for choice in arguments):
                return value
            raise self.fail(key, unknown_message("value", value, arguments))
        if origin in (Union, types.UnionType):
            return self.union(arguments, value, key)
        if origin is tuple:
            return self.sequence(arguments, value, key)
        if origin is not None and issubclass(origin, Mapping):
            items = self.named(value, key)
            return types.MappingProxyType(
                {name: self.value(arguments[1], item, _join(key, name)) for name, item in items.items()}
            )
        if kind is object:
            return self.free(value, key)
        if isinstance(kind, enum.EnumMeta):
            return self.member(kind, value, key)
        return self.scalar(kind, value, key)

    def dataclass(self, kind: Any, value: object, key: str) -> Any:
        items = self.named(value, key)
        hints = _hints(kind)
        fields = _fields(kind)
        for name in items:
            if name not in fields:
                raise self.fail(key, unknown_message("key", name, fields))
        for name in _required(kind):
            if name not in items:
                raise self.fail(key, f"the key {name!r} is missing (known: {', '.join(sorted(fields))})")
        found = {
            fields[name].name: self.value(hints[fields[name].name], item, _join(key, name))
            for name, item in items.items()
        }
        try:
            return kind(**found)
        except ValueError as cause:
            raise self.fail(key, str(cause)) from cause

    def union(self, kinds: tuple[Any, ...], value: object, key: str) -> Any:
        if len(kinds) == 1:
            return self.value(kinds[0], value, key)
        for kind in kinds:
            try:
                return self.value(kind, value, key)
            except self.error:
                continue
        raise self.fail(key, f"expected one of {', '.join(map(_name, kinds))}, got {_shown(value)}")

    def sequence(self, kinds: tuple[Any, ...], value: object, key: str) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise self.fail(key, f"expected a list, got {_shown(value)}")
        if len(kinds) == 2 and kinds[1] is Ellipsis:
            exact = _exact(kinds[0])  # long lists of plain values, such as histograms, in one go
            if exact is not None and all(type(item) in exact[0] for item in value):
                if exact[1] is None:
                    return tuple(value)
                if all(tuple(map(type, item)) == exact[1] for item in value):
                    return tuple(map(tuple, value))
            kinds = (kinds[0],) * len(value)
        if len(kinds) != len(value):
            raise self.fail(key, f"expected {len(kinds)} values, got {len(value)}")
        pairs = enumerate(zip(kinds, value))
        return tuple(self.value(kind, item, f"{key}[{i}]") for i, (kind, item) in pairs)

    def named(self, value: object, key: str) -> Mapping[str, object]:
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise self.fail(key, f"expected an object of named values, got {_shown(value)}")
        return value

    def free(self, value: object, key: str) -> Any:
        """Any JSON value, made immutable."""
        if isinstance(value, Mapping):
            items = self.named(value, key)
            frozen = {name: self.value(object, item, _join(key, name)) for name, item in items.items()}
            return types.MappingProxyType(frozen)
        if isinstance(value, (list, tuple)):
            return tuple(self.value(object, item, f"{key}[{i}]") for i, item in enumerate(value))
        return self.scalar(type(value), value, key)

    def member(self, kind: enum.EnumMeta, value: object, key: str) -> Any:
        members: dict[object, Any] = {item.value: item for item in typing.cast(Any, kind)}
        if type(value) is str and value in members:
            return members[value]
        raise self.fail(key, unknown_message("value", value, members))

    def scalar(self, kind: Any, value: object, key: str) -> Any:
        if value is None:
            raise self.fail(key, "null is not a value; leave the key out if it is not known")
        if kind not in _WORDS:
            raise self.fail(key, f"{_shown(value)} is not text, a number, true or false")
        if kind is float and type(value) is int and abs(value) < 2**53:
            return float(value)
        if kind is Path and type(value) is str:
            return Path(value)
        if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
            raise self.fail(key, f"expected {_WORDS[kind]}, got {_shown(value)}")
        return value


@lru_cache(maxsize=1024)
def _shape(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """``Mapping[str, int]`` is ``(Mapping, (str, int))``; a union is without None, which means absent."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        arguments = tuple(a for a in arguments if a is not type(None))
    return origin, arguments


@lru_cache(maxsize=256)
def _fields(kind: Any) -> dict[str, dataclasses.Field[Any]]:
    """The fields of a dataclass by key: the name, or ``metadata={"key": ...}`` where Python forbids it."""
    return {field.metadata.get("key", field.name): field for field in dataclasses.fields(kind) if field.init}


@lru_cache(maxsize=256)
def _required(kind: Any) -> tuple[str, ...]:
    """The keys that may not be left out."""
    missing = dataclasses.MISSING
    return tuple(k for k, f in _fields(kind).items() if f.default is f.default_factory is missing)


@lru_cache(maxsize=256)
def _hints(kind: Any) -> dict[str, Any]:
    """The types of a dataclass's fields; evaluating their annotations is most of the work of parsing."""
    return typing.get_type_hints(kind)


@lru_cache(maxsize=256)
def _exact(kind: Any) -> tuple[tuple[type, ...], tuple[type, ...] | None] | None:
    """Which types of JSON values are taken as they are for ``kind``: (those of the value, those of its
    members). None if values have to be looked at one by one."""
    plain_types = (int, str, bool)
    if kind in plain_types:
        return (kind,), None
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is tuple and arguments and all(a in plain_types for a in arguments):
        return (list, tuple), arguments
    return None


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


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _name(kind: Any) -> str:
    return _WORDS.get(kind) or str(kind).replace("typing.", "")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
