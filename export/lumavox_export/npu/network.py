"""One network out of a bundle, as the tools of targets take it: `Network`.

A bundle folder alone is enough. Its TFLite variants are read back as graphs; a shape preset is set on the
graph, and every format is written again from it, so that a compiled file computes the bundle's integers.

    network = networks(Bundle.open("sr/base-x2"), "int8")[0].fixed(preset)
    network.tflite(), network.onnx(), network.graph, network.plan
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

from lumavox.bundle import Bundle, Variant
from lumavox.errors import OptionError

from .. import formats
from ..formats.tflite import write_float16
from ..graph import ANY, Graph, Op, Port, State
from ..quant_plan import QuantPlan
from . import presets
from .presets import Preset
from .tflite_reader import read

Precision = Literal["int8", "w8a16", "float32", "float16"]


@dataclass(frozen=True, eq=False)
class Network:
    """What is compiled. ``graph`` is what the target executes; ``tail`` are operators after it that a
    rewrite left to the runtime (empty: none), ``outputs`` what the two give together."""

    model: str  # "sr/base-x2"
    version: str
    content: str  # "any", "clean" or "streamed"
    task: str
    scale: float  # of the picture, 1.5 or 2 ...; 1 for sound
    variant: str  # of the bundle, which it was read from
    digest: str  # sha256 of that variant's file
    graph: Graph
    plan: QuantPlan | None  # None: float32
    golden: Mapping[str, NDArray[Any]] = field(repr=False)  # the variant's vector, NHWC, as stored
    front_end: Mapping[str, object] = field(default_factory=dict, repr=False)  # the bundle's
    float_graph: Graph | None = None  # the same network in float32, where the bundle has it
    tail: tuple[Op, ...] = ()
    rewrites: tuple[str, ...] = ()  # that were applied, by name
    half: bool = False  # a float network whose weights are written as float16

    @property
    def precision(self) -> Precision:
        if self.plan is None:
            return "float16" if self.half else "float32"
        return self.plan.precision

    @property
    def static(self) -> bool:
        """Whether every size is known."""
        return all(ANY not in shape for shape in self.graph.shapes.values())

    def presets(self) -> tuple[Preset, ...]:
        """The sizes that this network is compiled for."""
        return presets.for_scale(self.scale) if self.task == "sr" else (presets.HOP,)

    def fixed(self, preset: Preset) -> Network:
        """The same network for inputs of the preset's size only."""
        floating = None if self.float_graph is None else _fixed(self.float_graph, preset)
        return dataclasses.replace(self, graph=_fixed(self.graph, preset), float_graph=floating)

    def tflite(self) -> bytes:
        """``graph`` as a ``.tflite`` file."""
        if self.half:
            return write_float16(self.graph)
        return formats.get("tflite").write(self.graph, self.plan)

    def onnx(self) -> bytes:
        """``graph`` as an ``.onnx`` file, QDQ if it has a plan, NCHW. Raises `GraphError` for w8a16."""
        return formats.get("onnx").write(self.graph, self.plan)


def networks(bundle: Bundle, precision: Precision = "int8") -> tuple[Network, ...]:
    """The networks of a bundle in one precision, one per content. Raises `OptionError` if it has none.

    float16 is made of the float32 ones.
    """
    half = precision == "float16"
    readable = [v for v in bundle.variants if v.engine == "tflite" and v.target == "cpu"]
    chosen = [v for v in readable if v.precision == ("float32" if half else precision)]
    if not chosen:
        raise OptionError.unknown("precision", precision, {v.precision for v in readable}, bundle.id)
    floats = {v.content: v for v in readable if v.precision == "float32"}
    scale = float(bundle.front_end["scale"]) if bundle.task == "sr" else 1.0  # type: ignore[arg-type]
    found = []
    for variant in chosen:
        graph, plan = read(bundle.read(variant.file), _states(variant))
        twin = floats.get(variant.content)
        found.append(
            Network(
                model=bundle.id,
                version=bundle.version,
                content=variant.content,
                task=bundle.task,
                scale=scale,
                variant=variant.name,
                digest=hashlib.sha256(bundle.read(variant.file)).hexdigest(),
                graph=graph,
                plan=plan,
                golden=_golden(bundle, variant),
                front_end=bundle.front_end,
                float_graph=None if twin is None else read(bundle.read(twin.file), _states(twin))[0],
                half=half,
            )
        )
    return tuple(found)


def _golden(bundle: Bundle, variant: Variant) -> dict[str, NDArray[Any]]:
    layouts = {tensor.name: tensor.layout for tensor in variant.inputs + variant.outputs}
    return {k: formats.from_layout(v, layouts[k]) for k, v in bundle.golden(variant).items()}


def _states(variant: Variant) -> tuple[State, ...]:
    return tuple(State(s.input, s.output, s.delay_frames) for s in variant.states)


def _fixed(graph: Graph, preset: Preset) -> Graph:
    def filled(port: Port) -> Port:
        n, h, w, c = port.shape
        return Port(port.name, (n, preset.height if h == ANY else h, preset.width if w == ANY else w, c))

    inputs = tuple(filled(port) for port in graph.inputs)
    shapes = graph.shapes_for({port.name: port.shape for port in inputs})
    outputs = tuple(Port(port.name, shapes[port.name]) for port in graph.outputs)
    return Graph(inputs, graph.ops, outputs, graph.states)
