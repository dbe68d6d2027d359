"""Before and after: strips of nearest | Lanczos | ours | truth, cut where they tell most.

For each kind the region where our error is furthest below Lanczos', and over all the one where ours is worst
in comparison. PNG files for cards and the README; luma only.

    write_crops(folder, groups, conventional("lanczos", 2), ours_method, scale=2)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lumavox._files import replace_file

from .sr_material import Group, border
from .sr_methods import Method

SIDE = 96  # high-resolution pixels of a region
ENLARGED = 3  # how many times a pixel is repeated to be looked at
_LABEL = 22  # rows
_GAP = 4


@dataclass(frozen=True, eq=False)
class _Region:
    """A square of one picture: mean square error of Lanczos less ours, and the four panels."""

    gain: float
    name: str
    kind: str
    panels: tuple[NDArray[np.uint8], ...]


def write_crops(
    folder: Path, groups: Iterable[Group], lanczos: Method, own: Method, scale: float
) -> list[Path]:
    """Write one strip per kind, and ``worst.png``; returns the files."""
    best: dict[str, _Region] = {}
    worst: _Region | None = None
    for group in groups:
        for top, bottom in _regions(group, lanczos, own, scale):
            kept = best.get(group.kind or "other")
            if kept is None or top.gain > kept.gain:
                best[group.kind or "other"] = top
            if worst is None or bottom.gain < worst.gain:
                worst = bottom
    folder.mkdir(parents=True, exist_ok=True)
    strips = dict(sorted(best.items()))
    if worst is not None:
        strips["worst"] = worst
    return [_write(folder, name, region, own.name) for name, region in strips.items()]


def _regions(group: Group, lanczos: Method, own: Method, scale: float) -> Iterable[tuple[_Region, _Region]]:
    """The region of the largest gain and that of the largest loss of the first picture of a group."""
    import cv2

    pair, edge = group.pairs[0], border(scale)
    if min(pair.high.shape) < SIDE + 2 * edge:
        return
    shown = [np.asarray(m.run(pair), np.float32) for m in (lanczos, own)]
    errors = [cv2.blur((estimate - pair.high) ** 2, (SIDE, SIDE)) for estimate in shown]
    gain = (errors[0] - errors[1])[edge + SIDE // 2 : -edge - SIDE // 2, edge + SIDE // 2 : -edge - SIDE // 2]
    rows, columns = ((np.arange(n) / scale).astype(int) for n in pair.high.shape)
    nearest = pair.low[rows][:, columns]
    panels = [np.clip(np.rint(p), 0, 255).astype(np.uint8) for p in (nearest, *shown, pair.high)]

    def region(flat: np.intp) -> _Region:
        y, x = (int(n) + edge for n in np.unravel_index(flat, gain.shape))
        cut = tuple(panel[y : y + SIDE, x : x + SIDE] for panel in panels)
        return _Region(float(gain.flat[flat]), group.name, group.kind, cut)

    yield region(np.argmax(gain)), region(np.argmin(gain))


def _write(folder: Path, name: str, region: _Region, own: str) -> Path:
    import cv2

    side = SIDE * ENLARGED
    truth = region.panels[-1].astype(float)
    columns = []
    for label, panel in zip(("nearest", "lanczos", own, "truth"), region.panels, strict=True):
        error = float(np.mean((panel.astype(float) - truth) ** 2))
        said = label if label == "truth" else f"{label} {10 * np.log10(255**2 / max(error, 1e-10)):.1f} dB"
        column = np.full((side + _LABEL, side + _GAP), 255, np.uint8)
        column[_LABEL:, :side] = np.repeat(np.repeat(panel, ENLARGED, 0), ENLARGED, 1)
        cv2.putText(column, said, (2, _LABEL - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.48, 0, 1, cv2.LINE_AA)
        columns.append(column)
    path = folder / f"{name.split(' (')[0].replace(' ', '-')}{'-synthetic' if 'synth' in name else ''}.png"
    done, data = cv2.imencode(".png", np.hstack(columns)[:, :-_GAP])
    assert done
    replace_file(path, data.tobytes())
    return path
