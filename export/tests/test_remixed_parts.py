"""The parts of a remix: they add up to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bundles
from lumavox.audio import DialogEnhancer
from lumavox.errors import AudioError
from lumavox_export.evaluation.remixed_parts import remixed_parts


def enhancer(folder: Path, **options) -> DialogEnhancer:
    path = bundles.de_bundle(folder, mask=0.8)
    return DialogEnhancer.open(path, trusted_keys=bundles.trusted(), level="max", **options)


def test_the_parts_add_up_to_the_output(tmp_path: Path) -> None:
    """But for what the make-up gain does within a frame; -40 dB."""
    rng = np.random.default_rng(1)
    parts = [rng.normal(0, level, 2 * 48000).astype(np.float32) for level in (0.05, 0.02)]
    out, remixed = remixed_parts(enhancer(tmp_path, channels=1), parts)
    whole = np.sum(remixed, axis=0)
    assert np.abs(out - np.sum(parts, axis=0)).max() > 1e-3
    error = out[: len(whole)] - whole
    assert np.mean(error**2) < 1e-4 * np.mean(whole**2)


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="mono"):
        remixed_parts(enhancer(tmp_path, channels=2), [])
