"""docs/dialog.md: its program runs, its numbers are those of the code, its options exist."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from lumavox import cli
from lumavox.audio import DialogEnhancer

TEXT = (Path(__file__).parents[2] / "docs" / "dialog.md").read_text()
NUMBERS = re.findall(r"^\| `(\w+)\.(\w+)` \| (-?[\d.]+) \|", TEXT, re.MULTILINE)


@pytest.mark.parametrize(("module", "name", "value"), NUMBERS, ids=lambda v: v)
def test_a_number_of_the_page_is_that_of_the_code(module: str, name: str, value: str) -> None:
    assert getattr(importlib.import_module(f"lumavox.{module}"), name) == float(value)


def test_there_are_numbers_on_the_page() -> None:
    assert len(NUMBERS) >= 10


def test_the_program_of_the_page_runs() -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    blocks = [np.zeros((480, 2), np.float32)] * 5
    played: list[np.ndarray] = []
    exec(compile(program, "dialog.md", "exec"), {"blocks": blocks, "play": played.append, "show": print})
    assert sum(map(len, played)) == 5 * 480 + 1536


def test_the_options_of_the_page_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["enhance", "--help"])
    shown = capsys.readouterr().out
    assert all(flag in shown for flag in re.findall(r"\| `(--[\w-]+)", TEXT))
    known = {
        *inspect.signature(DialogEnhancer.open).parameters,
        *inspect.signature(DialogEnhancer.set).parameters,
    }
    for row in re.findall(r"^\| `(\w+)`.*? \| (?:`--|\s)", TEXT, re.MULTILINE):
        assert row in known | {"Downmix", "open"}
