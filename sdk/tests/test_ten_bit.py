"""Ten bits through the shipped model of eight: no bands in gradients, and more PSNR than eight bits give."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox._sr_ten_bit import THRESHOLD, TenBitLuma
from lumavox.video import Upscaler

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "bench_ten_bit.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The script that prints the figures: what it measures is what is asserted here."""
    spec = importlib.util.spec_from_file_location("bench_ten_bit", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look for their module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=["clean", "streamed"])
def shipped(request: pytest.FixtureRequest):
    with Upscaler.open(content=request.param) as upscaler:
        yield upscaler


@pytest.mark.parametrize("slope", [1 / 16, 1 / 4, 1.0])
def test_a_gradient_through_the_shipped_model_has_no_bands(bench, shipped, slope):
    """At most 1 level from the ideal row, no step back, runs at most 2 samples longer; the 8-bit path, with a
    quarter of the levels and runs of four times the length, is what it would look like without this."""
    found = bench.gradients(shipped, slope)
    ideal, ten, eight = found["ideal"], found["10-bit path"], found["8-bit path"]
    assert ten.max_error <= 1
    assert ten.steps_back == 0
    assert ten.longest_run <= ideal.longest_run + 2
    assert abs(ten.levels - ideal.levels) <= 1
    assert eight.levels <= ideal.levels / 3
    assert eight.max_error >= 3


def test_ten_bits_score_above_eight_and_above_a_ten_bit_bicubic(bench, shipped):
    """PSNR at 10 bits, dB. Measured on a smooth picture: 51.7 to 56.6, by 8 bits 49.6 and 49.8, bicubic 44.4;
    on texture: 42.1, by 8 bits 41.7 and 42.0, bicubic 36.4."""
    ten, eight, bicubic = bench.psnr_db(shipped, bench.smooth())
    assert ten > eight + 1.5
    assert ten > bicubic + 5
    ten, eight, bicubic = bench.psnr_db(shipped, bench.texture())
    assert ten > eight + 0.1
    assert ten > bicubic + 3


@given(st.integers(0, 1023), st.integers(-255, 255))
@settings(max_examples=100, deadline=None)
def test_what_the_network_adds_is_dropped_while_small_kept_when_large_and_clipped(level, steps):
    """Flat pictures, on which the anchor is the level itself: the residual is ``4 * steps``, exactly."""
    source, out = np.full((5, 7), level, np.uint16), np.empty((10, 14), np.uint16)

    def network(small: np.ndarray, large: np.ndarray) -> None:
        large[...] = np.clip(int(small[0, 0]) + steps, 0, 255)

    TenBitLuma((5, 7), (10, 14), 2).enlarge(source, out, network)
    eight = min((level + 2) >> 2, 255)
    residual = 4 * (int(np.clip(eight + steps, 0, 255)) - eight)
    if abs(residual) <= THRESHOLD:
        residual = 0
    elif abs(residual) < 2 * THRESHOLD:
        residual = int(np.sign(residual)) * 2 * (abs(residual) - THRESHOLD)
    assert (out == min(max(level + residual, 0), 1023)).all()
