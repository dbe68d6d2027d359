"""The file formats a graph is written in: one module per format, found by its name.

A format module has ``ENGINE`` (as in ``bundle.json``), ``SUFFIX`` of its files, ``LAYOUT`` ("NHWC" or
"NCHW"), ``PRECISIONS`` it offers, ``write(graph, plan=None) -> bytes`` (float32 without a plan) and
``operators(data) -> {"CONV_2D": 6, ...}``. None of them decides a scale; the plan does.

    data = get("tflite").write(graph, plan)
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any, Protocol, cast

from numpy.typing import NDArray

from lumavox.errors import OptionError

from ..graph import Graph
from ..quant_plan import QuantPlan

_TO_NCHW = (0, 3, 1, 2)
_TO_NHWC = (0, 2, 3, 1)


class Format(Protocol):
    """What a format module offers."""

    ENGINE: str
    SUFFIX: str
    LAYOUT: str
    PRECISIONS: tuple[str, ...]

    def write(self, graph: Graph, plan: QuantPlan | None = None) -> bytes:
        """The file; the same bytes for the same graph and plan. Raises `GraphError` where it cannot."""

    def operators(self, data: bytes) -> dict[str, int]:
        """How many of which operators a file of this format holds, by their name in the format."""


def names() -> list[str]:
    """The formats there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def get(name: str) -> Format:
    """The format ``name``; raises `OptionError` naming the nearest."""
    if name not in names():
        raise OptionError.unknown("format", name, names())
    return cast(Format, importlib.import_module(f"{__name__}.{name}"))


def to_layout(array: NDArray[Any], layout: str) -> NDArray[Any]:
    """An NHWC array as ``layout`` has it, contiguous."""
    return array.transpose(_TO_NCHW).copy() if layout == "NCHW" else array


def from_layout(array: NDArray[Any], layout: str) -> NDArray[Any]:
    """An array of ``layout`` as NHWC, contiguous."""
    return array.transpose(_TO_NHWC).copy() if layout == "NCHW" else array
