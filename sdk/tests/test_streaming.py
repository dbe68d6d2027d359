"""`StreamingNetwork` against an engine that records what it is fed."""

from __future__ import annotations

import numpy as np
import pytest

from lumavox.bundle import Golden, StateSpec, TensorSpec, Variant
from lumavox.errors import BundleFormatError
from lumavox.streaming import StreamingNetwork, dequantize, quantize


class Recorder:
    """An engine whose mask is the features of ``echo_delay`` calls ago as its state input shows them."""

    description = "recorder"

    def __init__(self, variant: Variant, compute) -> None:
        self.inputs = {t.name: np.full(t.shape, 77).astype(t.dtype) for t in variant.inputs}
        self.outputs = {t.name: np.zeros(t.shape, t.dtype) for t in variant.outputs}
        self.compute = compute

    def input(self, name: str) -> np.ndarray:
        return self.inputs[name]

    def output(self, name: str) -> np.ndarray:
        return self.outputs[name]

    def run(self) -> None:
        self.compute(self.inputs, self.outputs)


def tensor(name: str, shape: tuple[int, ...], layout: str = "NHWC", **quantization) -> TensorSpec:
    return TensorSpec(name, shape, quantization.pop("dtype", "float32"), layout, **quantization)


def variant(inputs, outputs, states=()) -> Variant:
    return Variant(
        "test", "variants/test.json", "virtual", "float32", "any", False, tuple(inputs), tuple(outputs),
        Golden("golden/test.npz", max_abs=0.0), states=tuple(states),
    )  # fmt: skip


def test_a_state_returns_after_its_delay_and_was_zero_before():
    """Two inputs at different delays fed by one output, as dilated causal taps are."""
    form = variant(
        [tensor("x", (1, 1, 4, 1)), tensor("one", (1, 1, 4, 1)), tensor("three", (1, 1, 4, 1))],
        [tensor("mask", (1, 1, 4, 1)), tensor("now", (1, 1, 4, 1))],
        [StateSpec("one", "now", 1), StateSpec("three", "now", 3)],
    )

    def compute(i, o):
        o["now"][...] = i["x"]
        o["mask"][...] = i["x"] + 100 * i["one"] + 10000 * i["three"]

    network = StreamingNetwork(Recorder(form, compute), form)
    got = [float(network.step(np.full(4, t, np.float32))[0]) for t in range(1, 7)]
    assert got == [1, 102, 203, 10304, 20405, 30506]
    network.reset()
    assert float(network.step(np.full(4, 9, np.float32))[0]) == 9


def test_quantized_states_begin_at_their_zero_point_and_pass_unchanged():
    q = {"dtype": "int8", "scale": 0.1, "zero_point": -5}
    form = variant(
        [tensor("x", (1, 1, 2, 1), **q), tensor("s", (1, 1, 2, 1), **q)],
        [tensor("mask", (1, 1, 2, 1), **q), tensor("t", (1, 1, 2, 1), **q)],
        [StateSpec("s", "t", 1)],
    )

    def compute(i, o):
        o["mask"][...] = i["s"]
        o["t"][...] = i["x"]

    network = StreamingNetwork(Recorder(form, compute), form)
    assert network.step(np.array([0.3, 0.5], np.float32)).tolist() == [0.0, 0.0]
    np.testing.assert_allclose(network.step(np.zeros(2, np.float32)), [0.3, 0.5], atol=1e-6)


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_quantization_rounds_and_saturates(dtype):
    spec = tensor("x", (4,), dtype=dtype, scale=0.5, zero_point=3)
    limits = np.iinfo(dtype)
    stored = quantize(np.array([0.2, 0.3, 1e9, -1e9], np.float32), spec)
    assert stored.dtype == dtype
    assert stored.tolist() == [3, 4, limits.max, limits.min]
    assert dequantize(stored[:2], spec).tolist() == [0.0, 0.5]


def test_bands_are_position_times_channels_plus_channel_in_both_layouts():
    bands = np.arange(6, dtype=np.float32)
    nhwc = variant([tensor("x", (1, 1, 3, 2))], [tensor("m", (1, 1, 3, 2))])
    nchw = variant([tensor("x", (1, 2, 1, 3), "NCHW")], [tensor("m", (1, 2, 1, 3), "NCHW")])
    flat = variant([tensor("x", (1, 1, 1, 6), "NCHW")], [tensor("m", (1, 2, 1, 3), "NCHW")])

    def echo(i, o):
        o["m"][...] = i["x"]

    def split(i, o):
        o["m"][...] = i["x"].reshape(3, 2).T.reshape(1, 2, 1, 3)

    engines = {}
    for form, compute in ((nhwc, echo), (nchw, echo), (flat, split)):
        engines[form.inputs[0].shape] = engine = Recorder(form, compute)
        assert StreamingNetwork(engine, form).step(bands).tolist() == bands.tolist()
    assert engines[1, 2, 1, 3].inputs["x"][0, :, 0].tolist() == [[0, 2, 4], [1, 3, 5]]


def test_states_never_hold_denormal_numbers():
    form = variant(
        [tensor("x", (1, 1, 1, 1)), tensor("s", (1, 1, 1, 1))],
        [tensor("m", (1, 1, 1, 1)), tensor("t", (1, 1, 1, 1))],
        [StateSpec("s", "t", 1)],
    )

    def decay(i, o):
        o["t"][...] = i["s"] * 1e-20 + i["x"]
        o["m"][...] = i["s"]

    network = StreamingNetwork(Recorder(form, decay), form)
    network.step(np.ones(1, np.float32))
    tail = [float(network.step(np.zeros(1, np.float32))[0]) for _ in range(4)]
    assert tail[0] == 1.0
    assert tail[1] == pytest.approx(1e-20)
    assert tail[2:] == [0.0, 0.0]


def test_a_variant_of_another_form_is_refused_and_named():
    two = variant([tensor("x", (1, 4)), tensor("y", (1, 4))], [tensor("m", (1, 4))])
    with pytest.raises(BundleFormatError, match="2 tensors .* one feature input is needed .*x, y"):
        StreamingNetwork(Recorder(two, None), two)
