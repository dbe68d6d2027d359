"""The other end of the link "booted": the booted system, if somebody has set it up. See test_links.py."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lumavox_matrix.emulator import Booted, EmulatorError, cache_folder


@contextlib.contextmanager
def options(folder: Path) -> Iterator[Mapping[str, object]]:
    try:
        Booted.at(cache_folder())
    except EmulatorError as error:
        pytest.skip(str(error))
    yield {"cpu": "cortex-a53"}
