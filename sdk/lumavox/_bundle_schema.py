"""The content of ``bundle.json`` as frozen dataclasses, schema 1.

``_parse.parse`` fills them and refuses unknown keys and wrong types; ``__post_init__`` refuses what types
cannot say. The same rules for other languages: ``schemas/bundle.schema.json``. Nothing is read or
verified here.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ._parse import parse
from .errors import OptionError

SCHEMA = 1

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")  # safe as part of a file name
_INTEGER_RANGE = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model file. A dimension of -1 may have any size."""

    name: str
    shape: tuple[int, ...]
    dtype: Literal["int8", "uint8", "int16", "float32"]
    layout: Literal["NHWC", "NCHW"]
    scale: float | None = None  # real = scale * (stored - zero_point); both or neither
    zero_point: int | None = None

    def __post_init__(self) -> None:
        _require(self.name != "", "a tensor needs a name")
        _require(0 < len(self.shape) <= 8, "shape needs 1 to 8 dimensions")
        sizes = all(n == -1 or 0 < n < 2**31 for n in self.shape)
        _require(sizes, f"shape {self.shape}: sizes are positive, or -1 for any")
        _require((self.scale is None) == (self.zero_point is None), "scale and zero_point come together")
        if self.scale is not None and self.zero_point is not None:
            _require(self.dtype in _INTEGER_RANGE, "a float32 tensor has no scale and zero_point")
            low, high = _INTEGER_RANGE[self.dtype]
            _require(self.scale > 0, f"scale {self.scale} must be positive")
            _require(low <= self.zero_point <= high, f"zero_point {self.zero_point} is outside {self.dtype}")


@dataclass(frozen=True)
class StateSpec:
    """A streaming state: ``input`` is fed what ``output`` was ``delay_frames`` calls ago."""

    input: str
    output: str
    delay_frames: int

    def __post_init__(self) -> None:
        _require(1 <= self.delay_frames <= 10_000, f"delay_frames {self.delay_frames} is not 1 to 10000")


@dataclass(frozen=True)
class Golden:
    """Known input and output of a variant, and how far an engine may be from it (one of the two limits)."""

    file: str
    max_lsb: int | None = None  # integer outputs, in steps
    max_abs: float | None = None  # float outputs

    def __post_init__(self) -> None:
        _require((self.max_lsb is None) != (self.max_abs is None), "needs either max_lsb or max_abs")
        _require((self.max_lsb or self.max_abs or 0) >= 0, "a tolerance cannot be negative")


@dataclass(frozen=True)
class Variant:
    """One model file for one engine, precision and kind of content."""

    name: str
    file: str
    engine: Literal["tflite", "onnx", "virtual"]
    precision: Literal["float32", "int8", "w8a16"]
    content: Literal["clean", "streamed", "any"]
    dynamic: bool  # height and width may be any size
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    golden: Golden
    target: str = "cpu"
    states: tuple[StateSpec, ...] = ()
    operators: Mapping[str, int] | None = None  # expected operators and their count; None if not known
    min_runtime: str | None = None
    compiler: str | None = None
    compiler_version: str | None = None

    def __post_init__(self) -> None:
        named = bool(_NAME.fullmatch(self.name))
        _require(named, f"{self.name!r} is not a name of letters, digits, '.', '_' and '-'")
        inputs = {tensor.name: tensor for tensor in self.inputs}
        outputs = {tensor.name: tensor for tensor in self.outputs}
        _require(bool(inputs) and bool(outputs), "a variant needs inputs and outputs")
        _require(_distinct([t.name for t in self.inputs]), "two inputs have the same name")
        _require(_distinct([t.name for t in self.outputs]), "two outputs have the same name")
        if not self.dynamic:
            fixed = all(-1 not in tensor.shape for tensor in self.inputs + self.outputs)
            _require(fixed, "a variant that is not dynamic has fixed shapes, without -1")
        for state in self.states:
            if state.input not in inputs:
                raise OptionError.unknown("input", state.input, inputs, "states")
            if state.output not in outputs:
                raise OptionError.unknown("output", state.output, outputs, "states")
            fed, kept = inputs[state.input], outputs[state.output]
            same = dataclasses.replace(fed, name=kept.name) == kept
            _require(same, f"state {fed.name!r} and {kept.name!r} differ in shape or quantization")
        _require(_distinct([state.input for state in self.states]), "a state input is fed twice")


@dataclass(frozen=True)
class Dataset:
    """Data that trained the model."""

    name: str
    licence: str
    sha256: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class Provenance:
    """What the model was made from."""

    recipe_sha256: str | None = None
    weights_sha256: str | None = None
    code_version: str | None = None
    datasets: tuple[Dataset, ...] = ()


@dataclass(frozen=True)
class Delay:
    """Algorithmic delay: ``frames`` for task "sr", ``samples`` at the front-end's rate for task "de"."""

    frames: int | None = None
    samples: int | None = None

    def __post_init__(self) -> None:
        _require((self.frames or 0) >= 0 and (self.samples or 0) >= 0, "a delay cannot be negative")


@dataclass(frozen=True)
class PictureFrontEnd:
    """``front_end`` of task "sr".

    The network takes height and width that are multiples of ``multiple``, and makes each ``multiple`` pixels
    of a row or column ``scale * multiple``, which is a whole number (1.5 needs a multiple of 2).
    """

    scale: int | float  # a whole one is written as such: 2, not 2.0
    plane: Literal["luma"]
    bit_depth: Literal[8, 10]
    receptive_field: int  # low-resolution pixels across that one output pixel depends on
    multiple: int = 1

    def __post_init__(self) -> None:
        _require(1 <= self.scale <= 8, f"scale must be 1 to 8, got {self.scale}")
        whole = isinstance(self.scale, float) and self.scale.is_integer()
        _require(not whole, f"scale {self.scale}: write {self.scale:g}, a whole number")
        _require(self.receptive_field >= 1, f"receptive_field must be at least 1, got {self.receptive_field}")
        _require(1 <= self.multiple <= 16, f"multiple must be 1 to 16, got {self.multiple}")
        cell = self.scale * self.multiple
        _require(
            cell == int(cell), f"scale {self.scale} times multiple {self.multiple} is not a whole number"
        )

    @property
    def cell(self) -> tuple[int, int]:
        """Pixels along each side of the smallest square the network takes, and of what it makes of it."""
        return self.multiple, int(self.scale * self.multiple)


@dataclass(frozen=True)
class Document:
    """``bundle.json``."""

    schema: int
    id: str
    version: str
    task: Literal["sr", "de"]
    min_runtime: str
    provenance: Provenance
    front_end: Mapping[str, object]
    delay: Delay
    variants: tuple[Variant, ...]
    calibration: tuple[tuple[float, float], ...] = ()  # (requested dB, applied dB), rising

    def __post_init__(self) -> None:
        task, _, name = self.id.partition("/")
        named = task == self.task and bool(_NAME.fullmatch(name))
        _require(named, f"id {self.id!r} is not '{self.task}/<name>'")
        _require(bool(self.variants), "a bundle needs variants")
        _require(_distinct([v.name for v in self.variants]), "two variants have the same name")
        frames, samples = self.delay.frames, self.delay.samples
        if self.task == "sr":
            front_end = parse(PictureFrontEnd, self.front_end, "front_end")
            _require(frames is not None and samples is None, "delay: task 'sr' needs frames, and only these")
            _require(not self.calibration, "calibration belongs to task 'de'")
            for variant in self.variants:
                _check_fixed_sides(variant, front_end.multiple)
        else:
            _require(samples is not None and frames is None, "delay: task 'de' needs samples, and only these")
            requested = [pair[0] for pair in self.calibration]
            _require(requested == sorted(set(requested)), "calibration: requested dB must rise")


def _check_fixed_sides(variant: Variant, multiple: int) -> None:
    for tensor in () if variant.dynamic else variant.inputs:
        sides = tensor.shape[1:3] if tensor.layout == "NHWC" else tensor.shape[2:4]
        fits = all(side % multiple == 0 for side in sides)
        _require(
            fits, f"variant {variant.name!r}: {tensor.name!r} has sides {sides}, not multiples of {multiple}"
        )


def _distinct(names: list[str]) -> bool:
    return len(set(names)) == len(names)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise OptionError(message)
