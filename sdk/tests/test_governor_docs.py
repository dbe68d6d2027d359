"""docs/governor.md has the defaults of the policy.

python sdk/tests/test_governor_docs.py             # writes its table anew
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from lumavox._miss_counter import GAP_FRAMES, PERSISTENT_FROM
from lumavox.governed import FADE_RESERVE
from lumavox.governor import Policy

PAGE = Path(__file__).resolve().parents[2] / "docs" / "governor.md"
BEGIN, END = "<!-- policy -->\n", "<!-- end -->"


def table() -> str:
    head = "| `Policy` | default |\n|---|---|\n"
    return head + "".join(f"| `{field.name}` | {field.default:g} |\n" for field in dataclasses.fields(Policy))


def test_the_page_has_the_defaults_of_the_policy():
    inside = PAGE.read_text().split(BEGIN)[1].split(END)[0]
    assert inside == table(), "run: python sdk/tests/test_governor_docs.py"


def test_the_numbers_in_the_text_are_those_of_the_code():
    assert (FADE_RESERVE, PERSISTENT_FROM, GAP_FRAMES) == (0.1, 4, 5)
    assert (Policy().thermal_down, Policy().thermal_up, Policy().visible_every_s) == (0.85, 0.7, 60)


if __name__ == "__main__":
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.split(END)[1])
