"""The presets: what goes into a task, and how often. One table for every chipset and report.

    preset("540p30").interval_ms          # 33.3: the deadline of a frame, if a chipset gives no other
    presets("sr")

Sizes are of the input; the output is ``scale`` times that. "tiny" presets are for scripted devices.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from lumavox.errors import OptionError

__all__ = ["PRESETS", "Preset", "preset", "presets"]

HOP_S = 0.015
"""Seconds of sound that the dialog network works on at once (720 samples at 48 kHz)."""


@dataclass(frozen=True)
class Preset:
    """Task "sr": ``width`` x ``height`` pixels, ``rate`` frames a second. Task "de": ``channels`` at
    ``rate`` Hz, in blocks of ``block`` samples."""

    name: str
    task: Literal["sr", "de"]
    rate: float
    width: int = 0
    height: int = 0
    channels: int = 0
    block: int = 0

    @property
    def interval_ms(self) -> float:
        """Time between frames ("sr") or hops ("de"): the most that a network may take in the long run."""
        return 1e3 / self.rate if self.task == "sr" else 1e3 * HOP_S

    @property
    def units_per_s(self) -> float:
        """Frames, or network hops, in a second: what a number of samples is counted in."""
        return 1e3 / self.interval_ms


def _sr(name: str, width: int, height: int, rate: float) -> Preset:
    return Preset(name, "sr", rate, width=width, height=height)


def _de(name: str, rate: int, channels: int, block: int = 1024) -> Preset:
    return Preset(name, "de", rate, channels=channels, block=block)


PRESETS = MappingProxyType(
    {
        p.name: p
        for p in (
            _sr("tiny25", 96, 64, 25),
            _sr("180p25", 320, 180, 25),
            _sr("270p25", 480, 270, 25),
            _sr("360p30", 640, 360, 30),
            _sr("540p24", 960, 540, 24),
            _sr("540p30", 960, 540, 30),
            _sr("540p60", 960, 540, 60),
            _sr("720p30", 1280, 720, 30),
            _sr("720p60", 1280, 720, 60),
            _sr("1080p30", 1920, 1080, 30),
            _sr("1080p60", 1920, 1080, 60),
            _de("mono48k", 48_000, 1),
            _de("stereo48k", 48_000, 2),
            _de("stereo44k", 44_100, 2),
            _de("surround48k", 48_000, 6),
        )
    }
)


def preset(name: str) -> Preset:
    """The preset of that name. Raises OptionError naming the nearest."""
    if name not in PRESETS:
        raise OptionError.unknown("preset", name, PRESETS)
    return PRESETS[name]


def presets(task: str) -> list[Preset]:
    """All presets of a task."""
    return [p for p in PRESETS.values() if p.task == task]
