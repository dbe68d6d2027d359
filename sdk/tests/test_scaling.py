"""Which network for which size: tiers, targets, and the largest picture that is made unasked."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bundles
from lumavox import catalog
from lumavox.errors import BundleNotFoundError, OptionError
from lumavox.picture import Frame, PixelFormat
from lumavox.scaling import MAX_AUTO_PIXELS, _network_for, _wanted, plan_scale
from lumavox.video import Upscaler

TIERS = {"nano": (2, 3), "base": (1.5, 2, 3, 4), "large": (2, 3)}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder of bundles of some tiers, and one that belongs to none."""
    folder = tmp_path_factory.mktemp("models")
    for tier, scales in TIERS.items():
        for scale in scales:
            model = {"op": "nearest", "scale": scale}
            bundles.sr_bundle(folder, name=f"{tier}-x{scale:g}", scale=scale, model=model)
    bundles.sr_bundle(folder, name="base-x2")
    return folder


@pytest.fixture
def models(installed, monkeypatch):
    """The only bundles there are."""
    monkeypatch.setattr(catalog, "_roots", lambda: [installed])


def plan(model, **wanted):
    found = plan_scale(model, trusted_keys=bundles.trusted(), **wanted)
    return found.bundle.id, found.scale


@pytest.mark.usefixtures("models")
def test_the_ids_say_which_tiers_there_are():
    found = {tier: tuple(scales) for tier, scales in catalog.tiers().items()}
    assert found == TIERS
    assert catalog.tiers()["base"][1.5] == "sr/base-x1.5"


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    ("size", "target", "id", "scale"),
    [
        ((1280, 720), (1920, 1080), "sr/base-x1.5", 1.5),
        ((960, 540), (1920, 1080), "sr/base-x2", 2),
        ((1280, 720), (3840, 2160), "sr/base-x3", 3),
        ((960, 540), (3840, 2160), "sr/base-x4", 4),
        ((1280, 534), (1920, 1080), "sr/base-x1.5", 1.5),  # letterbox: the width fills the box
        ((1920, 804), (3840, 2160), "sr/base-x2", 2),
        ((1278, 718), (1920, 1080), "sr/base-x1.5", 1.5),  # misses 3 pixels: a larger network costs twice
        ((720, 576), (1920, 1080), "sr/base-x2", 1.875),  # a step down from 2
        ((640, 480), (3840, 2160), "sr/base-x3", 4.5),  # two passes of 3, since two of 2 are not enough
    ],
)
def test_a_target_picks_the_network_that_reaches_it_with_least(size, target, id, scale):
    assert plan("base", size=size, target=target) == (id, pytest.approx(scale))


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    ("tier", "scale", "id"),
    [("base", None, "sr/base-x2"), ("base", 1.5, "sr/base-x1.5"), ("base", 4, "sr/base-x4"),
     ("base", 1.2, "sr/base-x1.5"), ("base", 2.5, "sr/base-x3"), ("nano", 1.5, "sr/nano-x2"),
     ("large", 4, "sr/large-x2"), ("large", 5, "sr/large-x3"), ("base", 16, "sr/base-x4")],
)  # fmt: skip
def test_a_scale_picks_the_network_of_a_tier_that_reaches_it(tier, scale, id):
    """In one pass if there is one, else in two: x4 of a tier with 2 and 3 is twice 2."""
    assert plan(tier, scale=scale) == (id, scale or 2)


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    ("size", "scale"),
    [((640, 360), 2), ((1920, 1080), 2), ((2048, 1080), 2), ((1080, 1920), 2), ((1920, 1200), 2),
     ((2560, 1440), 1.5), ((1920, 1440), 1.5), ((3840, 2160), None), ((7680, 4320), None)],
)  # fmt: skip
def test_without_a_wish_pictures_are_doubled_up_to_the_4k_class(size, scale):
    assert plan("base", size=size)[1] == scale
    assert plan("sr/base-x2", size=size)[1] == scale


@pytest.mark.usefixtures("models")
def test_a_model_named_in_full_is_used_at_its_own_scale_or_the_one_asked_for():
    assert plan("sr/base-x3") == ("sr/base-x3", 3)
    assert plan("sr/base-x3", scale=2) == ("sr/base-x3", 2)
    assert plan("sr/base-x2", size=(1280, 720), target=(1920, 1080)) == ("sr/base-x2", 1.5)
    assert plan("sr/base-x3", size=(1920, 1080)) == ("sr/base-x3", 2)  # three times would be beyond 4K


@pytest.mark.usefixtures("models")
def test_what_is_large_enough_is_not_opened_for_frames_and_says_so():
    assert plan("base", size=(1920, 1080), target=(1920, 1080))[1] is None
    with pytest.raises(OptionError, match=r"\(3840, 2160\) need not be enlarged"):
        Upscaler.open("base", size=(3840, 2160), trusted_keys=bundles.trusted())


@pytest.mark.usefixtures("models")
def test_the_upscaler_takes_a_tier_the_frames_size_and_the_target():
    wanted = {"size": (128, 72), "target": (192, 108)}
    with Upscaler.open("base", trusted_keys=bundles.trusted(), **wanted) as upscaler:
        assert (upscaler.bundle.id, upscaler.scale) == ("sr/base-x1.5", 1.5)
        out = upscaler.process(Frame.empty(PixelFormat.NV12, 128, 72))
        assert (out.width, out.height) == (192, 108)


@pytest.mark.usefixtures("models")
def test_what_goes_not_together_or_is_unknown_is_refused():
    with pytest.raises(OptionError, match="needs the size"):
        plan("base", target=(1920, 1080))
    with pytest.raises(OptionError, match="in place of a scale"):
        plan("base", size=(960, 540), target=(1920, 1080), scale=2)
    with pytest.raises(OptionError, match="not a width and a height"):
        plan("base", size=(0, 540))
    with pytest.raises(BundleNotFoundError, match="tiers of picture models: base, large, nano"):
        plan("huge")
    with pytest.raises(OptionError, match="above 1 and up to 16"):
        Upscaler.open("base", scale=17, trusted_keys=bundles.trusted())


def test_the_default_model_is_one_that_ships():
    assert plan_scale(catalog.DEFAULT_SR).scale == 2


SIDES = st.tuples(st.integers(1, 9000), st.integers(1, 9000))
NETWORKS = st.sets(st.sampled_from([1.5, 2.0, 3.0, 4.0]), min_size=1)


@given(SIDES, SIDES, NETWORKS)
@settings(max_examples=200, deadline=None)
def test_a_plan_fills_the_target_without_going_beyond_it(size, target, networks):
    """To 1 % of the network's own scale; or as far as two passes go."""
    scale = _wanted(None, size, target, networks)
    ratio = min(target[0] / size[0], target[1] / size[1])
    if scale is None:
        assert ratio <= 1.01
        return
    assert scale <= ratio * 1.0102
    assert scale >= min(ratio / 1.0102, max(networks) ** 2)
    network = _network_for(scale, networks)
    assert network in networks
    assert scale <= network**2 or scale == pytest.approx(max(networks) ** 2)
    assert scale <= network or not any(scale <= other for other in networks)


@given(SIDES, NETWORKS)
@settings(max_examples=100, deadline=None)
def test_no_picture_beyond_the_4k_class_is_made_unasked(size, networks):
    scale = _wanted(None, size, None, networks)
    if scale is not None:
        assert size[0] * size[1] * scale**2 <= MAX_AUTO_PIXELS
