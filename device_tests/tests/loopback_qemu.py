"""The other end of the link "qemu": the emulator, if somebody has set it up. See test_links.py."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lumavox_matrix.emulator import Emulator, EmulatorError, cache_folder


@contextlib.contextmanager
def options(folder: Path) -> Iterator[Mapping[str, object]]:
    try:
        Emulator.at(cache_folder())
    except EmulatorError as error:
        pytest.skip(str(error))
    yield {"cpu": "cortex-a53"}
