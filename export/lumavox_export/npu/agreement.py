"""How far what a target computes is from the integer reference and from float: `measure`.

Measured at one small picture size (the arithmetic does not depend on it) made of the bundle's own golden
picture, or over a stretch of frames of sound. Every call of the target gets the states of the reference.
dB are PSNR over the picture's range, or SI-SDR of all mask values of the stretch, both against the float
network of the same bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lumavox._parse import parse
from lumavox.dsp import BandFrontEnd

from ..graph import Graph
from ..metrics import psnr, si_sdr
from ..reference import run_float, run_int, stream
from .network import Network
from .presets import HOP, Preset

PICTURE = Preset("numerics", 96, 160)
FRAMES = 48  # of sound, after as many that fill the states

Arrays = Mapping[str, NDArray[Any]]
Simulate = Callable[[Sequence[Arrays]], Sequence[Arrays]]


@dataclass(frozen=True)
class Agreement:
    """``worst_lsb`` and the ``share`` of values that differ are against the integer reference, of outputs
    that are no states (None for float); dB against the float network, None where the bundle has none."""

    engine: str
    calls: int
    worst_lsb: int | None
    share: float | None
    quality_db: float | None
    reference_db: float | None  # of the integer reference itself


def preset_of(network: Network) -> Preset:
    """The size to measure at."""
    return PICTURE if network.task == "sr" else HOP


def measure(network: Network, rewritten: Network, simulate: Simulate, engine: str) -> Agreement:
    """``network`` is what the bundle holds and ``rewritten`` what the target was given, both of one size.

    ``simulate`` gives outputs of ``rewritten.graph``, its tail is applied here.
    """
    plan = network.plan
    feeds, wanted = _calls(network)
    got = [_with_tail(rewritten, outputs) for outputs in simulate(feeds)]
    states = {state.output for state in network.graph.states}
    names = [port.name for port in network.graph.outputs if port.name not in states]
    floats = None if network.float_graph is None else _floats(network.float_graph, network, feeds)

    def flat(calls: Sequence[Arrays]) -> NDArray[Any]:
        return np.concatenate([np.asarray(call[name]).ravel() for call in calls for name in names])

    def real(calls: Sequence[Arrays]) -> NDArray[Any]:
        if plan is None:
            return flat(calls)
        return flat([{n: plan.tensors[n].dequantize(np.asarray(call[n])) for n in names} for call in calls])

    def decibel(calls: Sequence[Arrays]) -> float | None:
        return None if floats is None else _decibel(network.task, real(calls), flat(floats))

    difference = np.abs(flat(got).astype(np.int64) - flat(wanted)) if plan is not None else None
    return Agreement(
        engine,
        len(feeds),
        None if difference is None else int(difference.max()),
        None if difference is None else float(np.mean(difference > 0)),
        decibel(got),
        None if plan is None else decibel(wanted),
    )


def example(network: Network) -> dict[str, NDArray[Any]]:
    """Inputs of one call, states included, as the golden vector of a compiled file needs them."""
    if network.task == "sr":
        port = network.graph.inputs[0]
        return {port.name: _mirrored(np.asarray(network.golden[port.name]), port.shape)}
    names = [port.name for port in network.graph.inputs]
    if all(name in network.golden for name in names):
        return {name: np.asarray(network.golden[name]) for name in names}
    return dict(_calls(network)[0][-1])


def samples(network: Network) -> Sequence[Arrays]:
    """Inputs of calls as the network meets them, states included, for tools that calibrate themselves."""
    return _calls(network)[0]


def _decibel(task: str, value: NDArray[Any], truth: NDArray[Any]) -> float:
    if task == "sr":
        return float(psnr(255 * value[None], 255 * np.clip(truth, 0, 1)[None]))
    return float(si_sdr(value, truth))


def _with_tail(network: Network, outputs: Arrays) -> Arrays:
    tensors = dict(outputs)
    for op in network.tail:
        head = Graph(network.graph.outputs, (op,), ())
        feeds = {port.name: np.asarray(tensors[port.name]) for port in head.inputs}
        tensors |= run_float(head, feeds) if network.plan is None else run_int(head, network.plan, feeds)
    return tensors


def _calls(network: Network) -> tuple[list[Arrays], list[Arrays]]:
    """Feeds, states included, and what the reference makes of them."""
    graph, plan = network.graph, network.plan
    if network.task == "sr":
        feeds: list[Arrays] = [example(network)]
        run = run_float(graph, feeds[0]) if plan is None else run_int(graph, plan, feeds[0])
        return feeds, [run]
    calls = list(stream(graph, _sound(network), plan))[-FRAMES:]
    return [dict(feed) for feed, _ in calls], [tensors for _, tensors in calls]


def _floats(graph: Graph, network: Network, feeds: Sequence[Arrays]) -> Sequence[Arrays]:
    if network.task != "sr":
        plain = [
            {k: network.plan.tensors[k].dequantize(v) if network.plan else v for k, v in frame.items()}
            for frame in _sound(network)
        ]
        return [tensors for _, tensors in stream(graph, plain)][-FRAMES:]
    plan = network.plan
    return [
        run_float(
            graph, {k: v if plan is None else plan.tensors[k].dequantize(np.asarray(v)) for k, v in f.items()}
        )
        for f in feeds
    ]


def _mirrored(picture: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """A picture of any size out of a small one: it and its mirror images, side by side."""
    for axis in (1, 2):
        both = np.concatenate([picture, np.flip(picture, axis)], axis)
        picture = np.take(both, np.arange(shape[axis]) % both.shape[axis], axis)
    return np.ascontiguousarray(picture)


def _sound(network: Network) -> list[dict[str, NDArray[Any]]]:
    """Features of voiced sound that comes and goes over noise, always the same, quantized by the plan."""
    front_end = parse(BandFrontEnd, network.front_end, network.model)
    rng = np.random.default_rng(1)
    length = (2 * FRAMES + 2) * front_end.hop
    t = np.arange(length) / front_end.rate_hz
    pitch = 120 * (1 + 0.1 * np.sin(2 * np.pi * 2.5 * t))
    phase = 2 * np.pi * np.cumsum(pitch) / front_end.rate_hz
    voice = sum(np.sin(k * phase) / k for k in range(1, 24)) * (np.sin(2 * np.pi * 3 * t) > -0.3)
    mix = (0.2 * voice + 0.05 * rng.normal(size=length)).astype(np.float32)
    features = front_end.features_of(front_end.stft().analyze_all(mix))[: 2 * FRAMES]
    name = next(p.name for p in network.graph.inputs if p.name not in {s.input for s in network.graph.states})
    shape = network.graph.shapes[name]
    frames = [np.asarray(frame, np.float32).reshape(shape) for frame in features]
    if network.plan is None:
        return [{name: frame} for frame in frames]
    return [{name: network.plan.tensors[name].quantize(frame)} for frame in frames]
