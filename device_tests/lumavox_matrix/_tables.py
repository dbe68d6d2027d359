"""``Table`` and ``Intervals``: the same figures for a terminal, as Markdown, as HTML and as a plot (SVG).

Used by `fleet_report` and `rollout_study`. Every text may come from outside and is escaped.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Interval", "Intervals", "Table", "as_page"]

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_STYLE = """
:root { --ink: #1b1f24; --paper: #fff; --soft: #f3f5f7; --line: #c9d1d9; --bar: #3465a4; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --paper: #16191d; --soft: #20252b; --line: #444c56; --bar: #7ba7d4; --bad: #ff8a80;
  }
}
body { margin: 0 auto; max-width: 80rem; padding: 0 1rem 3rem; color: var(--ink); background: var(--paper);
  font: 15px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .87rem; }
th, td { border: 1px solid var(--line); padding: .2rem .45rem; text-align: left; vertical-align: top; }
th { background: var(--soft); }
.n { text-align: right; font-variant-numeric: tabular-nums; }
svg { display: block; max-width: 100%; height: auto; background: var(--soft); margin: .5rem 0 1.5rem; }
svg text { fill: var(--ink); font-size: 12px; font-family: inherit; }
svg line { stroke: var(--line); } svg .bar { stroke: var(--bar); stroke-width: 3; }
svg circle { fill: var(--bar); } svg .mark { stroke: var(--bad); stroke-dasharray: 4 3; stroke-width: 1.5; }
"""


@dataclass(frozen=True)
class Table:
    """``numbers``: how many columns at the right are numbers."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: int = 0

    @property
    def _first_number(self) -> int:
        return len(self.header) - self.numbers

    def text(self) -> str:
        """For a terminal."""
        lines = [tuple(_plain(cell) for cell in row) for row in (self.header, *self.rows)]
        widths = [max(len(row[i]) for row in lines) for i in range(len(self.header))]
        shown = [
            "  ".join(
                c.rjust(w) if i >= self._first_number else c.ljust(w)
                for i, (c, w) in enumerate(zip(row, widths))
            )
            for row in lines
        ]
        return "\n".join([_plain(self.title), *(f"  {line}".rstrip() for line in shown)])

    def markdown(self) -> str:
        """As a section of a Markdown file."""
        rule = ["---:" if i >= self._first_number else "---" for i in range(len(self.header))]
        rows = [self.header, rule, *self.rows]
        lines = ["| " + " | ".join(_markdown(cell) for cell in row) + " |" for row in rows]
        return "\n".join([f"## {_plain(self.title)}", "", *lines, ""])

    def html(self) -> str:
        """As a section of a page."""
        head = "".join(f'<th scope="col">{_html(cell)}</th>' for cell in self.header)
        body = "".join(
            "<tr>"
            + "".join(
                f'<td class="n">{_html(c)}</td>' if i >= self._first_number else f"<td>{_html(c)}</td>"
                for i, c in enumerate(row)
            )
            + "</tr>\n"
            for row in self.rows
        )
        return (
            f'<h2>{_html(self.title)}</h2>\n<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
            f"<tbody>{body}</tbody></table></div>\n"
        )


@dataclass(frozen=True)
class Interval:
    """A line of a plot: a dot at ``middle``, a bar from ``low`` to ``high``."""

    label: str
    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class Intervals:
    """A plot of intervals over one axis, with a dashed line at ``mark``."""

    title: str
    axis: str
    rows: tuple[Interval, ...]
    mark: float | None = None
    log: bool = False

    def html(self) -> str:
        """As a section of a page; the table beside it says the same in words."""
        values = [v for row in self.rows for v in (row.low, row.middle, row.high) if math.isfinite(v)]
        values += [] if self.mark is None else [self.mark]
        if not values:
            return ""
        positive = [v for v in values if v > 0]
        least = min(positive, default=1.0) if self.log else min(values)
        scale = _Scale(least, max(*values, least), self.log)
        left, wide, step = 330, 560, 22
        height = step * len(self.rows) + 46
        parts = []
        for tick in scale.ticks():
            x = left + wide * scale.at(tick)
            parts.append(f'<line x1="{x:.1f}" y1="6" x2="{x:.1f}" y2="{height - 40}"/>')
            parts.append(f'<text x="{x:.1f}" y="{height - 24}" text-anchor="middle">{tick:g}</text>')
        for index, row in enumerate(self.rows):
            y = 18 + step * index
            low, middle, high = (left + wide * scale.at(v) for v in (row.low, row.middle, row.high))
            parts.append(
                f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{_html(_short(row.label))}</text>'
            )
            parts.append(f'<line class="bar" x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}"/>')
            parts.append(f'<circle cx="{middle:.1f}" cy="{y}" r="4.5"/>')
        if self.mark is not None:
            x = left + wide * scale.at(self.mark)
            parts.append(f'<line class="mark" x1="{x:.1f}" y1="6" x2="{x:.1f}" y2="{height - 40}"/>')
        parts.append(
            f'<text x="{left + wide / 2}" y="{height - 6}" text-anchor="middle">{_html(self.axis)}</text>'
        )
        return (
            f"<h2>{_html(self.title)}</h2>\n"
            f'<svg role="img" aria-label="{_html(self.title)}" viewBox="0 0 {left + wide + 30} {height}" '
            f'width="{left + wide + 30}" height="{height}">{"".join(parts)}</svg>\n'
        )


def as_page(title: str, notes: Sequence[str], parts: Sequence[Table | Intervals]) -> str:
    """One HTML file that needs nothing else."""
    told = "".join(f"<p>{_html(note)}</p>\n" for note in notes)
    body = "".join(part.html() for part in parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_html(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{_html(title)}</h1>\n{told}{body}</main>\n</body>\n</html>\n"
    )


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    log: bool

    def at(self, value: float) -> float:
        """From 0 to 1 along the axis; what is beyond its ends is shown at them."""
        low, high = self._ends()
        if self.log:
            value, low, high = (math.log10(max(v, 1e-300)) for v in (value, low, high))
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def ticks(self) -> list[float]:
        low, high = self._ends()
        if self.log:
            return [10.0**n for n in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
        step = _round_step((high - low) / 6)
        first = math.ceil(low / step - 1e-9)
        return [round(n * step, 12) for n in range(first, math.floor(high / step + 1e-9) + 1)]

    def _ends(self) -> tuple[float, float]:
        if self.log:
            return 10 ** math.floor(math.log10(self.low)), 10 ** math.ceil(math.log10(self.high * 1.001))
        margin = 0.05 * (self.high - self.low) or 0.5 * (abs(self.high) or 1.0)
        return self.low - margin, self.high + margin


def _round_step(rough: float) -> float:
    power = 10 ** math.floor(math.log10(rough))
    return next((m * power for m in (1.0, 2.0, 5.0) if m * power >= rough), 10.0 * power)


def _plain(text: str) -> str:
    return _CONTROL.sub(" ", text)


def _markdown(text: str) -> str:
    return re.sub(r"([\\|`*_\[\]])", r"\\\1", html.escape(_plain(text), quote=False))


def _html(text: str) -> str:
    return html.escape(_plain(text))


def _short(text: str) -> str:
    return text if len(text) <= 46 else text[:45] + "…"
