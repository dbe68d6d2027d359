"""What `enhance` is asked to do: `EnhanceOptions`, checked when it is built.

Not the command line: `lumavox.cli.enhance` makes one of these from its arguments.

    EnhanceOptions(scale=3, dialog="high")
    EnhanceOptions(sr="off", dialog="+4.5dB")
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from lumavox.catalog import DEFAULT_DE, DEFAULT_SR
from lumavox.content import CONTENTS
from lumavox.downmix import MAX_CENTRE_GAIN_DB
from lumavox.errors import OptionError
from lumavox.isolation import MODES
from lumavox.remix import DialogControls

if TYPE_CHECKING:
    from lumavox.signing import TrustedKeys

SCALES = ("1.5", "2", "3", "4", "auto")


@dataclasses.dataclass(frozen=True)
class EnhanceOptions:
    """Options of one `enhance` call. Raises `OptionError` when a value is not possible.

    ``scale``: 1.5, 2, 3, 4, or None: as ``target`` asks, or else double, where video does not grow beyond the
    4K class (what is that large is copied). ``target``: width and height of the box that the picture shall
    fill. ``dialog``: a level name (off, low, medium, high, max), or ``"+4.5dB"``; ``adaptive``, ``night``,
    ``audiogram`` and ``hold``: as in `DialogControls.changed`; ``true_peak_dbtp``: ceiling of the sound;
    ``stems``: a folder for dialog and background; ``downmix_centre_db``: mix surround sound to stereo, with
    this gain of the centre. ``sr``: a tier of models, an id or a bundle path; ``de``: an id or path; or
    ``"off"``: that part is then copied without loss.
    ``content``: what the picture is: ``"streamed"`` (compressed), ``"clean"``, or ``"auto"``.
    ``quality``: the video encoder's CRF (lower is better), or the JPEG/WebP quality of pictures (higher is
    better); None for a good one. ``threads``: of the picture engine; None for one per core, at most 4.
    ``isolation``: ``"process"`` runs the engines in worker processes.
    ``overwrite``: replace an existing output (only once the new one is complete).
    ``report``, ``preview``: files to write beside the output. ``trusted_keys``, ``allow_unsigned``: as in
    `Bundle.open`.
    """

    scale: float | None = None
    target: tuple[int, int] | None = None
    dialog: str = "medium"
    adaptive: bool | float = False
    night: bool = False
    audiogram: str | None = None
    hold: str = "programme"
    true_peak_dbtp: float = -1.0
    stems: Path | None = None
    downmix_centre_db: float | None = None
    sr: str = DEFAULT_SR
    de: str = DEFAULT_DE
    backend: str = "auto"
    content: str = "auto"
    quality: int | None = None
    threads: int | None = None
    isolation: str = "none"
    overwrite: bool = True
    report: Path | None = None
    preview: Path | None = None
    trusted_keys: TrustedKeys | None = None
    allow_unsigned: bool = False

    def __post_init__(self) -> None:
        if self.scale is not None and f"{self.scale:g}" not in SCALES:
            raise OptionError.unknown("scale", f"{self.scale:g}", SCALES)
        if self.target is not None and (self.scale is not None or min(self.target) < 1):
            raise OptionError(
                f"target {self.target} is not possible: two sides above 0, and no scale beside it"
            )
        if self.content not in CONTENTS:
            raise OptionError.unknown("content", self.content, CONTENTS)
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise OptionError(f"quality {self.quality} is not possible; it is between 1 and 100")
        if self.threads is not None and self.threads < 1:
            raise OptionError(f"threads {self.threads} is not possible; it is 1 or more")
        if self.isolation not in MODES:
            raise OptionError.unknown("isolation", self.isolation, MODES)
        if self.stems is not None and self.de == "off":
            raise OptionError("stems need a dialog model: do not switch de off")
        if not -20.0 <= self.true_peak_dbtp <= 0.0:
            raise OptionError(f"true_peak_dbtp {self.true_peak_dbtp} is not possible: choose -20 to 0 dBTP")
        if self.downmix_centre_db is not None and not abs(self.downmix_centre_db) <= MAX_CENTRE_GAIN_DB:
            raise OptionError(
                f"downmix_centre_db {self.downmix_centre_db} is not possible: choose "
                f"{-MAX_CENTRE_GAIN_DB:g} to {MAX_CENTRE_GAIN_DB:g} dB"
            )
        _ = self.controls

    @property
    def picture(self) -> bool:
        """Whether pictures are enhanced."""
        return self.sr != "off"

    @property
    def sound(self) -> bool:
        """Whether sound is enhanced."""
        if self.de == "off":
            return False
        return not self.controls.neutral or self.stems is not None or self.downmix_centre_db is not None

    @property
    def controls(self) -> DialogControls:
        """What is done to the dialog. Raises `OptionError`."""
        return DialogControls().changed(
            level=self.dialog,
            adaptive=self.adaptive,
            night=self.night,
            hearing=self.audiogram,
            hold=self.hold,
        )

    @property
    def dialog_gain_db(self) -> float:
        """By how much the dialog rises over the background, dB."""
        return DialogControls.of_level(self.dialog).difference_db


def parse_scale(text: str) -> float | None:
    """``"1.5"``, ``"2"``, ``"3"``, ``"4"`` as a number; ``"auto"`` as None."""
    if text not in SCALES:
        raise OptionError.unknown("scale", text, SCALES)
    return None if text == "auto" else float(text)
