"""The overhead measurement: that it measures what it says. Never how long anything takes."""

from __future__ import annotations

import pytest

import bundles
from lumavox.benchmark import overhead
from lumavox.errors import BundleTaskError, OptionError
from lumavox.picture import PixelFormat


@pytest.mark.parametrize("format", [PixelFormat.NV12, PixelFormat.P010])
def test_every_timed_frame_went_through_the_network(sr_path, format):
    found = overhead(sr_path, size=(40, 30), format=format, rounds=3, trusted_keys=bundles.trusted())
    assert (found.model, found.backend, found.format) == ("sr/tiny", "virtual", format.name)
    assert (found.width, found.height, found.scale) == (40, 30, 2)
    assert found.enhanced == found.rounds == 3
    assert min(found.engine_ms, found.process_ms, found.ratio) > 0


def test_what_cannot_be_measured_is_refused(tmp_path, de_path):
    fixed = bundles.sr_bundle(tmp_path, dynamic=False)
    with pytest.raises(OptionError, match="fixed size"):
        overhead(fixed, rounds=1, trusted_keys=bundles.trusted())
    with pytest.raises(BundleTaskError):
        overhead(de_path, rounds=1, trusted_keys=bundles.trusted())
