"""Small graphs, feeds and plans for the tests of graph, reference, formats, parity and export."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from lumavox_export.calibration import calibrate
from lumavox_export.graph import (
    Add,
    Concat,
    Constant,
    Conv2D,
    DepthToSpace,
    Graph,
    Mul,
    Op,
    Port,
    Sigmoid,
    State,
)
from lumavox_export.quant_plan import Precision, QuantPlan

Feeds = dict[str, NDArray[Any]]
KINDS = ("conv", "depthwise", "add", "mul", "concat", "sigmoid", "d2s", "constant")


def conv(rng: np.random.Generator, x: str, output: str, shape: tuple[int, ...], **options: Any) -> Conv2D:
    """A convolution whose output has about the spread of its input."""
    weight = rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)
    return Conv2D(x, output, weight, rng.normal(0, 0.1, shape[0]).astype(np.float32), **options)


def picture_graph(seed: int = 0, channels: int = 8, block: int = 2) -> Graph:
    """Like super-resolution: luma of any size in, ``block`` times the size out."""
    rng = np.random.default_rng(seed)
    ops = (
        conv(rng, "luma", "h0", (channels, 3, 3, 1), activation="relu"),
        conv(rng, "h0", "h1", (channels, 3, 3, channels), activation="relu"),
        conv(rng, "h1", "sub", (block**2, 3, 3, channels)),
        DepthToSpace("sub", "enlarged", block),
    )
    return Graph((Port("luma", (1, -1, -1, 1)),), ops, (Port("enlarged", (1, -1, -1, 1)),))


def sound_graph(seed: int = 0, bands: int = 12, channels: int = 6) -> Graph:
    """Like dialog enhancement: one frame per call, two past frames as states, a global path, a mask."""
    rng = np.random.default_rng(seed)
    c = channels
    frame = (1, 1, bands, c)
    ops: tuple[Op, ...] = (
        conv(rng, "features", "now", (c, 1, 3, 1), stride=(1, 2), activation="relu"),
        Concat(("past2", "past1", "now"), "three", 1),
        conv(rng, "three", "time", (c, 3, 1, c), padding="valid", activation="relu"),
        conv(rng, "time", "mixed", (c, 1, 3, 1), dilation=(1, 2), groups=c),
        Add("mixed", "now", "residual"),
        conv(rng, "residual", "global", (4, 1, bands, c), padding="valid", activation="relu"),
        conv(rng, "global", "offset", (c, 1, 1, 4)),
        Add("residual", "offset", "shifted"),
        Constant("tilt", rng.uniform(0.5, 1.5, (1, 1, bands, 1)).astype(np.float32)),
        Mul("shifted", "tilt", "tilted"),
        conv(rng, "tilted", "logits", (4, 1, 1, c)),
        Sigmoid("logits", "mask"),
    )
    return Graph(
        (Port("features", (1, 1, 2 * bands, 1)), Port("past2", frame), Port("past1", frame)),
        ops,
        (Port("mask", (1, 1, bands, 4)), Port("now", frame)),
        (State("past2", "now", 2), State("past1", "now", 1)),
    )


def random_feeds(graph: Graph, rng: np.random.Generator, size: tuple[int, int] = (9, 7)) -> Feeds:
    """Real inputs in 0..1; any height and width are ``size``."""
    feeds = {}
    for port in graph.inputs:
        n, h, w, c = port.shape
        shape = n, size[0] if h < 0 else h, size[1] if w < 0 else w, c
        feeds[port.name] = rng.uniform(0, 1, shape).astype(np.float32)
    return feeds


def plan_for(graph: Graph, precision: Precision = "int8", seed: int = 1) -> QuantPlan:
    """A plan from random samples; scales are a little narrow, so that saturation happens too."""
    rng = np.random.default_rng(seed)
    samples = [random_feeds(graph, rng) for _ in range(3)]
    return calibrate(graph, samples, precision=precision, percentile=99.5)


def quantized(plan: QuantPlan, feeds: Feeds) -> Feeds:
    return {name: plan.tensors[name].quantize(value) for name, value in feeds.items()}


@st.composite
def small_graphs(draw: st.DrawFn) -> Graph:
    """A chain of one to five operators of every kind on one input; every tensor may be an output."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = tuple(draw(st.tuples(st.just(1), st.integers(1, 7), st.integers(1, 9), st.integers(1, 5))))
    graph = Graph((Port("x", shape),), (), ())  # type: ignore[arg-type]
    ops: list[Op] = []
    for index in range(draw(st.integers(1, 5))):
        shapes = Graph(graph.inputs, tuple(ops), ()).shapes
        x, y = f"t{index - 1}" if index else "x", f"t{index}"
        _, h, w, c = shapes[x]
        kind = draw(st.sampled_from(KINDS))
        if kind in ("conv", "depthwise"):
            kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 4)))
            dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 3)))
            stride = draw(st.sampled_from([(1, 1), (1, 2), (2, 1)])) if dilation == (1, 1) else (1, 1)
            fits = all((k - 1) * d + 1 <= n for k, d, n in zip(kernel, dilation, (h, w)))
            if kind == "depthwise" and stride[0] != stride[1]:
                stride = (1, 1)  # XNNPACK and the optimized kernels take one stride for depthwise
            options = {
                "stride": stride,
                "dilation": dilation,
                "padding": draw(st.sampled_from(["same", "valid"])) if fits else "same",
                "activation": draw(st.sampled_from(["none", "relu"])),
            }
            if kind == "depthwise" and c > 1:
                ops.append(conv(rng, x, y, (c, *kernel, 1), groups=c, **options))
            else:
                ops.append(conv(rng, x, y, (draw(st.integers(1, 6)), *kernel, c), **options))
        elif kind in ("add", "mul"):
            ops.append((Add if kind == "add" else Mul)(x, x, y))
        elif kind == "constant":
            value = rng.normal(0, 1, (1, 1, draw(st.sampled_from([1, w])), c)).astype(np.float32)
            ops.append(Constant(f"c{index}", value))
            ops.append(draw(st.sampled_from([Add, Mul]))(x, f"c{index}", y))
        elif kind == "concat":
            ops.append(Concat((x, x), y, draw(st.integers(1, 3))))
        elif kind == "d2s" and c % 4 == 0:
            ops.append(DepthToSpace(x, y, 2))
        else:
            ops.append(Sigmoid(x, y))
    shapes = Graph(graph.inputs, tuple(ops), ()).shapes
    made = [op.output for op in ops if not isinstance(op, Constant)]
    return Graph(graph.inputs, tuple(ops), tuple(Port(name, shapes[name]) for name in made))
