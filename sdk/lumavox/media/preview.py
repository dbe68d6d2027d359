"""One picture that shows what changed: `Preview`.

While a file is processed it keeps one frame pair and a few seconds of sound, a third of the way in, and
never more. ``render`` draws the same detail before (cubic upscaling) and after, each output pixel shown as
one pixel, and a spectrogram of the sound before and after.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lumavox.media.output import OutputFile

_PANE = (640, 360)  # width, height of each of the four panes
_MARGIN, _LABEL = 8, 28
_SOUND_S = 6.0
_TOP_HZ = 10_000
_FLOOR_DB = -80.0
_WINDOW = 1024


class Preview:
    """Collects with ``see`` and ``hear``, draws with ``render``. ``plan`` first says where to look."""

    def __init__(self) -> None:
        self._at_s = 0.0
        self._pair: tuple[Any, Any] | None = None
        self._pair_s = -1.0
        self._rate_hz = 0
        self._heard: tuple[list[Any], list[Any]] = ([], [])
        self._position = [0, 0]

    def plan(self, duration_s: float | None) -> None:
        """The length of the material, if known."""
        self._at_s = (duration_s or 0.0) / 3

    def see(self, time_s: float, before: Any, after: Any) -> None:
        """A source frame and the enhanced one: PyAV frames, or BGR arrays ``(h, w, 3)``."""
        if self._pair_s < self._at_s:
            self._pair, self._pair_s = (before, after), time_s

    def hear(self, rate_hz: int, before: NDArray[np.float32] | None, after: NDArray[np.float32]) -> None:
        """The next samples ``(n, channels)`` before and after; their lengths may differ."""
        self._rate_hz = rate_hz
        begin = round(max(0.0, self._at_s - _SOUND_S / 2) * rate_hz)
        end = begin + round(_SOUND_S * rate_hz)
        for side, block in enumerate((before, after)):
            if block is None or not len(block):
                continue
            at = self._position[side]
            self._position[side] += len(block)
            wanted = block[max(0, begin - at) : max(0, end - at)]
            if len(wanted):
                self._heard[side].append(wanted.mean(axis=1))

    def render(self, path: Path) -> None:
        """Write a PNG to ``path``. Raises `OutputError` when it cannot be written."""
        import cv2

        rows = []
        if self._pair is not None:
            rows.append(_crops(*(_bgr(f) for f in self._pair)))
        if all(self._heard):
            rows.append([_spectrogram(np.concatenate(h), self._rate_hz) for h in self._heard])
        labels = [["before (cubic)", "after"]] if self._pair is not None else []
        labels += [[f"sound {side}, 0-{_TOP_HZ // 1000} kHz" for side in ("before", "after")]]
        width = 2 * _PANE[0] + 3 * _MARGIN
        height = len(rows) * (_PANE[1] + _LABEL + _MARGIN)
        canvas = np.full((max(height, 1), width, 3), 24, np.uint8)
        for row, (panes, names) in enumerate(zip(rows, labels)):
            top = row * (_PANE[1] + _LABEL + _MARGIN)
            for column, (pane, name) in enumerate(zip(panes, names)):
                left = _MARGIN + column * (_PANE[0] + _MARGIN)
                origin = (left, top + _LABEL - 8)
                cv2.putText(canvas, name, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (230,) * 3, 1, cv2.LINE_AA)
                h, w = pane.shape[:2]
                canvas[top + _LABEL : top + _LABEL + h, left : left + w] = pane
        with OutputFile(path) as temporary:
            temporary.write_bytes(cv2.imencode(".png", canvas)[1].tobytes())


def _bgr(frame: Any) -> NDArray[np.uint8]:
    return frame if isinstance(frame, np.ndarray) else frame.to_ndarray(format="bgr24")


def _crops(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The same region of both, where the source has most detail."""
    import cv2

    height, width = after.shape[:2]
    crop_w, crop_h = min(_PANE[0], width), min(_PANE[1], height)
    enlarged = cv2.resize(before, (width, height), interpolation=cv2.INTER_CUBIC)
    grey = cv2.cvtColor(enlarged, cv2.COLOR_BGR2GRAY)
    edges = cv2.absdiff(grey, cv2.GaussianBlur(grey, (0, 0), 3)).astype(np.float32)
    detail = cv2.blur(edges, (crop_w, crop_h))
    left_half, top_half = crop_w // 2, crop_h // 2
    inner = detail[top_half : height - (crop_h - top_half) + 1, left_half : width - (crop_w - left_half) + 1]
    top, left = np.unravel_index(int(np.argmax(inner)), inner.shape)
    return [picture[top : top + crop_h, left : left + crop_w] for picture in (enlarged, after)]


def _spectrogram(samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.uint8]:
    """Level over time and frequency, `_FLOOR_DB` to 0 dB of a full-scale sine, as a coloured picture."""
    import cv2

    columns = np.linspace(0, max(0, len(samples) - _WINDOW), _PANE[0]).astype(int)
    padded = np.concatenate([samples, np.zeros(max(0, _WINDOW - len(samples)), np.float32)])
    window = np.hanning(_WINDOW)
    bins = min(_WINDOW // 2 + 1, round(_TOP_HZ * _WINDOW / rate_hz) + 1)
    spectrum = np.abs(np.fft.rfft(padded[columns[:, None] + np.arange(_WINDOW)] * window))[:, :bins]
    level_db = 20 * np.log10(spectrum / (window.sum() / 2) + 1e-9)
    grey = np.clip((level_db / -_FLOOR_DB + 1) * 255, 0, 255).astype(np.uint8).T[::-1]
    enlarged = cv2.resize(grey, _PANE, interpolation=cv2.INTER_LINEAR)
    return cv2.applyColorMap(enlarged, cv2.COLORMAP_INFERNO)
