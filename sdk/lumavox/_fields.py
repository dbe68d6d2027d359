"""What types of dataclasses say: their keys and what is in a union. Remembered, because asking is slow."""

from __future__ import annotations

import dataclasses
import types
import typing
from functools import lru_cache
from typing import Any, Union

Exact = tuple[tuple[type, ...], tuple[type, ...] | None]


@lru_cache(maxsize=1024)
def shape_of(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """``Mapping[str, int]`` is ``(Mapping, (str, int))``; a union is without None, which means absent."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        arguments = tuple(a for a in arguments if a is not type(None))
    return origin, arguments


@lru_cache(maxsize=256)
def fields_of(kind: Any) -> dict[str, dataclasses.Field[Any]]:
    """The fields of a dataclass by key: the name, or ``metadata={"key": ...}`` where Python forbids it."""
    return {field.metadata.get("key", field.name): field for field in dataclasses.fields(kind) if field.init}


@lru_cache(maxsize=256)
def names_of(kind: Any) -> tuple[tuple[str, str], ...]:
    """The key and the name of each field of a dataclass."""
    return tuple((key, field.name) for key, field in fields_of(kind).items())


@lru_cache(maxsize=256)
def required_of(kind: Any) -> tuple[str, ...]:
    """The keys that may not be left out."""
    missing = dataclasses.MISSING
    return tuple(k for k, f in fields_of(kind).items() if f.default is f.default_factory is missing)


def as_it_is(kind: Any) -> type | None:
    """The type of values that a field of this type takes as they are, None if it looks at them."""
    origin, arguments = shape_of(kind)
    if origin in (Union, types.UnionType) and len(arguments) == 1:
        kind = arguments[0]
    return kind if kind in (str, bool, int) else None


@lru_cache(maxsize=256)
def exact_of(kind: Any) -> Exact | None:
    """Which types of JSON values are taken as they are for ``kind``: (those of the value, those of its
    members). None if values have to be looked at one by one."""
    plain_types = (int, str, bool)
    if kind in plain_types:
        return (kind,), None
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is tuple and arguments and all(a in plain_types for a in arguments):
        return (list, tuple), arguments
    return None
