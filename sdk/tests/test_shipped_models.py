"""The models that ship: trusted, checked on every engine here, and better than the conventional filter."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lumavox import Frame, PixelFormat, Upscaler, backends, cli
from lumavox.bundle import Bundle

SHIPPED = sorted((Path(__file__).parents[2] / "models").glob("*/*/bundle"))
ENGINES = {b.engine for b in backends.available() if b.probe().usable}


def test_there_is_a_model_for_each_task() -> None:
    assert {Bundle.open(path).task for path in SHIPPED} == {"sr", "de"}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: f"{p.parents[1].name}/{p.parent.name}")
def test_a_shipped_bundle_passes_every_check_on_the_engines_here(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Signature, digests, contents, and the golden vector of each variant that an engine can open."""
    assert cli.main(["verify", str(path)]) == 0
    said = capsys.readouterr().out
    runnable = [v.name for v in Bundle.open(path).variants if v.engine in ENGINES]
    assert runnable and all(f"golden {name}" in said for name in runnable)


@pytest.mark.parametrize("content", ["clean", "streamed"])
def test_the_shipped_upscaler_restores_more_than_cubic_resampling(content: str) -> None:
    """Discs and bars reduced by area: PSNR at least 0.5 dB above OpenCV's cubic."""
    y, x = np.mgrid[0:240, 0:320].astype(np.float32)
    high = 60 + 0.4 * x
    for cx, cy, r, level in ((80, 60, 40, 200), (200, 120, 70, 30), (260, 190, 30, 230)):
        high = np.where((x - cx) ** 2 + (y - cy) ** 2 < r * r, level, high)
    high = np.where((y > 170) & (x < 150), 128 + 90 * np.sign(np.sin((x + 0.5 * y) / 3)), high)
    high = cv2.GaussianBlur(high.astype(np.float32), (0, 0), 0.6)
    low = np.rint(cv2.resize(high, (160, 120), interpolation=cv2.INTER_AREA)).astype(np.uint8)
    frame = Frame.empty(PixelFormat.GRAY8, 160, 120)
    frame.planes[0][...] = low
    with Upscaler.open(content=content) as upscaler:
        ours = upscaler.process(frame).planes[0]
        assert upscaler.record().frames_enhanced == 1
    cubic = cv2.resize(low, (320, 240), interpolation=cv2.INTER_CUBIC)

    def psnr(estimate: np.ndarray) -> float:
        return float(10 * np.log10(255**2 / np.mean((estimate.astype(float) - high)[8:-8, 8:-8] ** 2)))

    assert psnr(ours) > psnr(cubic) + 0.5
