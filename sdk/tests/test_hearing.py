"""NAL-R: against the published rule, and against a maintained implementation where that is installed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumavox.errors import OptionError
from lumavox.hearing import MAX_GAIN_DB, STANDARD_DB, HearingProfile

# Byrne & Dillon 1986, by hand for N3: 0.05 * (35 + 40 + 50) = 6.25; + 0.31 H(f) + k(f).
N3_GAIN_DB = {250: 0.1, 500: 9.1, 1000: 19.65, 2000: 20.75, 4000: 22.85, 6000: 24.0}


def test_the_prescription_for_a_moderate_loss_is_that_of_the_published_rule():
    profile = HearingProfile.parse("N3")
    got = profile.gain_db(list(N3_GAIN_DB))
    np.testing.assert_allclose(got, list(N3_GAIN_DB.values()), atol=0.01)


@pytest.mark.parametrize("name", STANDARD_DB)
def test_the_prescription_is_that_of_pyclarity(name):
    """At its six frequencies, the most gain observed; its filter smooths by up to 0.4 dB."""
    nalr = pytest.importorskip("clarity.enhancer.nalr", reason="pyclarity is not installed")
    from clarity.utils.audiogram import Audiogram

    profile = HearingProfile.parse(name)
    hz = nalr.NALR_FREQS.astype(float)
    audiogram = Audiogram(profile.loss_db(hz), hz)
    taps, _ = nalr.NALR(900, 16000).build(audiogram)
    bins = np.fft.rfftfreq(1 << 16, 1 / 16000)
    response = 20 * np.log10(np.abs(np.fft.rfft(taps, 1 << 16)) + 1e-12)
    wanted = np.interp(hz, bins, response)
    np.testing.assert_allclose(profile.gain_db(hz), np.minimum(wanted, MAX_GAIN_DB), atol=0.5)


def test_normal_hearing_gets_no_gain():
    assert HearingProfile().neutral
    assert HearingProfile(((500, 0), (1000, 0), (2000, 0))).neutral
    assert not HearingProfile.parse("N1").neutral


PAIRS = st.tuples(st.floats(125, 8000), st.floats(-10, 120))


@given(st.lists(PAIRS, min_size=3, max_size=9, unique_by=lambda pair: pair[0]))
def test_any_audiogram_gives_a_bounded_gain_at_any_frequency(pairs):
    gain = HearingProfile(tuple(pairs)).gain_db(np.linspace(0, 24000, 721))
    assert gain.shape == (721,)
    assert ((gain >= 0) & (gain <= MAX_GAIN_DB)).all()


def test_more_loss_never_gets_less_gain():
    names = sorted(STANDARD_DB)
    gains = [HearingProfile.parse(name).gain_db([250, 500, 1000, 2000, 4000, 6000]) for name in names]
    assert all((b >= a).all() for a, b in zip(gains, gains[1:]))


def test_pairs_may_be_written_in_any_order_and_separated_by_commas():
    assert HearingProfile.parse("2000:50, 500:35,1000:40") == HearingProfile.parse("500:35 1000:40 2000:50")


@pytest.mark.parametrize(
    ("text", "said"),
    [("N9", "N1"), ("", "empty"), ("500:35", "3 or more"), ("500:x 1000:2 2000:3", "dB HL"),
     ("50:30 1000:30 2000:30", "125 to 8000"), ("500:300 1000:30 2000:30", "-10 to 120"),
     ("500:30 500:40 1000:30", "different")],
)  # fmt: skip
def test_an_impossible_audiogram_is_refused_and_the_possible_is_named(text, said):
    with pytest.raises(OptionError, match=said):
        HearingProfile.parse(text)
