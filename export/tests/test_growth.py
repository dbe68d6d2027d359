"""A trained network in another shape: what can be kept of its function is kept."""

import pytest
import torch

from lumavox.errors import OptionError
from lumavox_export.families.sr_plain import ExpandedSr, Network, PlainSr

OLD = Network(scale=2, channels=8, layers=4)


def _trained(network: Network) -> PlainSr:
    torch.manual_seed(5)
    module = network.build()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module


def _largest_difference(one: PlainSr, other: PlainSr) -> float:
    x = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        return float((one(x) - other(x)).abs().max())


@pytest.mark.parametrize(
    "options",
    [{"layers": 6}, {"channels": 11}, {"layers": 5, "channels": 13}, {"layers": 5, "expand": 16}],
    ids=("deeper", "wider", "both", "as products"),
)
def test_a_larger_network_begins_as_the_same_function(options: dict[str, int]) -> None:
    old = _trained(OLD)
    new = Network(**({"scale": 2, "channels": 8, "layers": 4} | options)).grown(old).expanded()
    assert _largest_difference(new, old) < 1e-4


def test_with_an_entry_of_stride_two_all_four_anchors_stay_the_last_channels() -> None:
    old = _trained(Network(scale=1.5, entry_stride=2, channels=10, layers=3))
    new = Network(scale=1.5, entry_stride=2, channels=14, layers=5).grown(old)
    assert _largest_difference(new, old) < 1e-4


def test_what_is_new_learns() -> None:
    """No kernel, and no factor of one, begins where its gradient is zero for good: two steps move all."""
    new = Network(scale=2, channels=10, layers=5, expand=16).grown(_trained(OLD)).expanded()
    assert isinstance(new, ExpandedSr)
    before = [p.detach().clone() for p in new.parameters()]
    optimizer = torch.optim.SGD(new.parameters(), 0.05)
    for step in range(2):
        x = torch.rand(4, 1, 12, 12, generator=torch.Generator().manual_seed(step))
        loss = (new(x) - 0.5).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for parameter, was in zip(new.parameters(), before, strict=True):
        assert not torch.equal(parameter, was)


def test_the_channel_that_is_felt_least_goes_first() -> None:
    old = _trained(OLD)
    with torch.no_grad():
        for index in range(3):  # channel 2 of every layer is read by nobody
            old.weights[index + 1][:, 2] = 0
    new = Network(scale=2, channels=7, layers=4).grown(old)
    assert _largest_difference(new, old) < 1e-6


@pytest.mark.parametrize("scale", [3, 4])
def test_sub_pixels_of_another_scale_lie_on_the_line_through_the_old_ones(scale: int) -> None:
    """A network that draws a slope goes on drawing it: sub-pixel places are those of the pixel's middle."""
    old = Network(scale=2, channels=2, layers=2).build()
    with torch.no_grad():
        for parameter in old.parameters():
            parameter.zero_()
        for place, sign in enumerate((-0.25, 0.25)):  # reads its neighbours left and right
            for row in (0, 1):
                old.weights[1][2 * row + place, -1, 1] = torch.tensor([-sign / 2, 0.0, sign / 2])
    slope = torch.linspace(0.2, 0.8, 10).expand(10, 10)[None, None]
    with torch.no_grad():
        drawn = Network(scale=scale, channels=2, layers=2).grown(old)(slope)[0, 0, :, 2 * scale : -2 * scale]
    step = 0.6 / 9 / scale
    wanted = 0.2 + step * (torch.arange(drawn.shape[1]) + 0.5 + 2 * scale) - 0.6 / 9 / 2
    assert (drawn[2 * scale] - wanted).abs().max() < 1e-5


def test_no_network_grows_into_fewer_layers_or_another_entry() -> None:
    old = _trained(OLD)
    for network in (Network(scale=2, channels=8, layers=3), Network(scale=2, entry_stride=2, layers=4)):
        with pytest.raises(OptionError, match="cannot grow into"):
            network.grown(old)
