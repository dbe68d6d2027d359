"""``reader_of``: what checks and converts JSON or TOML values of one type. Used by ``_parse`` only.

A reader is made once for each type and knows neither file nor key. What is wrong is raised as `Wrong`, and
each level adds its part of the key on the way out, so that values that are right cost nothing for it.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, Union

from ._fields import Exact, as_it_is, exact_of, fields_of, required_of, shape_of
from .errors import unknown_message

_WORDS = {str: "text", bool: "true or false", int: "a whole number", float: "a finite number", Path: "a path"}


class Wrong(Exception):
    """What is wrong with a value. ``key`` is its place; each level leads it by its own on the way out."""

    key = ""

    def inside(self, part: str) -> Wrong:
        """The same, one level further out."""
        self.key = join(part, self.key)
        return self


_Reader = Callable[[Any], Any]


@lru_cache(maxsize=1024)
def reader_of(kind: Any) -> _Reader:
    """What checks and converts values of a type: made once, so that values only pass through it."""
    if kind in _READ_SCALAR:
        return _READ_SCALAR[kind]
    origin, arguments = shape_of(kind)
    if dataclasses.is_dataclass(kind):
        return partial(_read_dataclass, kind)
    if origin is Literal:
        texts = frozenset(choice for choice in arguments if type(choice) is str)
        return partial(_read_literal, texts, arguments)
    if origin in (Union, types.UnionType):
        readers = [reader_of(argument) for argument in arguments]
        return readers[0] if len(readers) == 1 else partial(_read_union, arguments, readers)
    if origin is tuple:
        return _sequence_reader(arguments)
    if origin is not None and issubclass(origin, Mapping):
        return partial(_read_mapping, reader_of(arguments[1]))
    if kind is object:
        return _read_free
    if isinstance(kind, enum.EnumMeta):
        return partial(_read_member, {item.value: item for item in typing.cast(Any, kind)})
    raise TypeError(f"{kind} is not a type of JSON values")


def _read_text(value: Any) -> str:
    if type(value) is str:
        return value
    raise _unexpected("text", value)


def _read_bool(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise _unexpected("true or false", value)


def _read_int(value: Any) -> int:
    if type(value) is int:
        return value
    raise _unexpected("a whole number", value)


def _read_float(value: Any) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is int and abs(value) < 2**53:
        return float(value)
    raise _unexpected("a finite number", value)


def _read_path(value: Any) -> Path:
    if type(value) is str:
        return Path(value)
    raise _unexpected("a path", value)


_READ_SCALAR: dict[Any, _Reader] = {
    str: _read_text, bool: _read_bool, int: _read_int, float: _read_float, Path: _read_path,
}  # fmt: skip


def _read_dataclass(kind: Any, value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise _unexpected("an object of named values", value)
    members = _members(kind)
    if not value.keys() <= members.keys():
        unknown = next(name for name in _named(value) if name not in members)
        raise Wrong(unknown_message("key", unknown, members))
    for name in required_of(kind):
        if name not in value:
            raise Wrong(f"the key {name!r} is missing (known: {', '.join(sorted(members))})")
    found: dict[str, Any] = {}
    key = ""
    try:
        for key, item in value.items():
            name, exact, read = members[key]
            found[name] = item if type(item) is exact else read(item)
    except Wrong as wrong:
        raise wrong.inside(key)  # noqa: B904 - it is the same one
    try:
        return kind(**found)
    except ValueError as cause:
        raise Wrong(str(cause)) from cause


def _read_literal(texts: frozenset[str], choices: tuple[Any, ...], value: Any) -> Any:
    if type(value) is str and value in texts:
        return value
    if any(type(value) is type(choice) and value == choice for choice in choices):
        return value
    raise _refused(value, unknown_message("value", value, choices))


def _read_union(kinds: tuple[Any, ...], readers: Sequence[_Reader], value: Any) -> Any:
    for read in readers:
        try:
            return read(value)
        except Wrong:
            continue
    raise _unexpected(f"one of {', '.join(map(_name, kinds))}", value)


def _sequence_reader(kinds: tuple[Any, ...]) -> _Reader:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return partial(_read_list, exact_of(kinds[0]), reader_of(kinds[0]))
    return partial(_read_tuple, [reader_of(kind) for kind in kinds])


def _read_list(exact: Exact | None, read: _Reader, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise _unexpected("a list", value)
    if exact is not None and all(type(item) in exact[0] for item in value):
        # Long lists of plain values, such as histograms, in one go.
        if exact[1] is None:
            return tuple(value)
        if all(tuple(map(type, item)) == exact[1] for item in value):
            return tuple(map(tuple, value))
    return _each(itertools.repeat(read), value)


def _read_tuple(readers: Sequence[_Reader], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise _unexpected("a list", value)
    if len(readers) != len(value):
        raise Wrong(f"expected {len(readers)} values, got {len(value)}")
    return _each(readers, value)


def _each(readers: Iterable[_Reader], value: Sequence[Any]) -> tuple[Any, ...]:
    found: list[Any] = []
    try:
        for read, item in zip(readers, value):
            found.append(read(item))
    except Wrong as wrong:
        raise wrong.inside(f"[{len(found)}]")  # noqa: B904 - it is the same one
    return tuple(found)


def _read_mapping(read: _Reader, value: Any) -> Mapping[str, Any]:
    items = _named(value)
    found: dict[str, Any] = {}
    name = ""
    try:
        for name, item in items.items():
            found[name] = read(item)
    except Wrong as wrong:
        raise wrong.inside(name)  # noqa: B904 - it is the same one
    return types.MappingProxyType(found)


def _read_free(value: Any) -> Any:
    """Any JSON value, made immutable."""
    if isinstance(value, Mapping):
        return _read_mapping(_read_free, value)
    if isinstance(value, (list, tuple)):
        return _each(itertools.repeat(_read_free), value)
    read = _READ_SCALAR.get(type(value))
    if read is None:
        raise _refused(value, f"{shown(value)} is not text, a number, true or false")
    return read(value)


def _read_member(members: Mapping[Any, Any], value: Any) -> Any:
    if type(value) is str and value in members:
        return members[value]
    raise _refused(value, unknown_message("value", value, members))


def _named(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise _unexpected("an object of named values", value)
    return value


def _unexpected(what: str, value: object) -> Wrong:
    return _refused(value, f"expected {what}, got {shown(value)}")


def _refused(value: object, message: str) -> Wrong:
    return Wrong("null is not a value; leave the key out if it is not known" if value is None else message)


@lru_cache(maxsize=256)
def _members(kind: Any) -> dict[str, tuple[str, type | None, _Reader]]:
    """For each key the name of its field, the type of values that are taken as they are, if there is one,
    and what reads all others."""
    hints = typing.get_type_hints(kind)
    return {
        key: (field.name, as_it_is(hints[field.name]), reader_of(hints[field.name]))
        for key, field in fields_of(kind).items()
    }


def join(first: str, then: str) -> str:
    """Two parts of a dotted key: ``layers`` and ``[0].size`` are ``layers[0].size``."""
    return f"{first}.{then}" if first and then and not then.startswith("[") else first + then


def _name(kind: Any) -> str:
    return _WORDS.get(kind) or str(kind).replace("typing.", "")


def shown(value: object) -> str:
    """A value in a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
