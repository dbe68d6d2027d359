"""Every family found: torch, the drawn graph, and streaming are the same network."""

import importlib
import pkgutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lumavox._parse import plain as plain_fields
from lumavox.errors import OptionError
from lumavox_export import families
from lumavox_export.calibration import largest
from lumavox_export.families import de_cells, sr_plain
from lumavox_export.recipe import Recipe
from lumavox_export.reference import run_float, stream
from lumavox_export.scan import scan

MODELS = Path(__file__).parents[2] / "models"
FAMILIES = [module.name for module in pkgutil.iter_modules(families.__path__)]


def _random(network: object) -> torch.nn.Module:
    torch.manual_seed(4)
    module = network.build().eval()  # type: ignore[attr-defined]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_draws_a_graph_with_as_many_outputs_as_its_reference(name: str) -> None:
    """And with tolerances: what a family promises about numeric parity stands in its file."""
    family = importlib.import_module(f"lumavox_export.families.{name}")
    module = _random(family.Network())
    graph = module.to_graph()  # type: ignore[operator]
    feeds = {
        p.name: np.random.default_rng(1).random([5 if n == -1 else n for n in p.shape], np.float32)
        for p in graph.inputs
    }
    wanted, got = module.reference(feeds), run_float(graph, feeds)  # type: ignore[operator]
    for port in graph.outputs:
        assert np.abs(got[port.name] - wanted[port.name]).max() < family.TOLERANCES.float_abs


SMALL_SOUND = (
    de_cells.Network(channels=8, frequency_dilations=(1, 2), wide_after=(1,), wide_channels=8),
    de_cells.Network(channels=8, frequency_dilations=(3,), wide_after=()),
)


@pytest.mark.parametrize("network", SMALL_SOUND, ids=("wide", "narrow"))
def test_streaming_frame_by_frame_equals_the_whole_signal(network: de_cells.Network) -> None:
    module, frames = _random(network), np.random.default_rng(2).random((40, network.bands)).astype(np.float32)
    with torch.no_grad():
        whole = torch.sigmoid(module(torch.from_numpy(frames)[None]))[0].numpy()
    feeds = ({"features": frame.reshape(1, 1, -1, 1)} for frame in frames)
    steps = [tensors["mask"].reshape(-1) for _, tensors in stream(module.to_graph(), feeds)]  # type: ignore[operator]
    assert np.abs(np.stack(steps) - whole).max() < 1e-5


@pytest.mark.parametrize("network", SMALL_SOUND, ids=("wide", "narrow"))
def test_a_frame_of_the_mask_does_not_depend_on_later_frames(network: de_cells.Network) -> None:
    module = _random(network)
    frames = torch.rand(1, 30, 96)
    with torch.no_grad():
        before = module(frames)[:, :20]
        frames[:, 20:] += 1
        after = module(frames)[:, :20]
    assert torch.equal(before, after)


def test_the_memory_of_a_cell_has_the_gradient_of_its_formula() -> None:
    gates, candidates = (torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(scan, (gates, candidates))


def test_fresh_super_resolution_is_near_the_repeated_input() -> None:
    """The anchor: what the network learns is the difference to it."""
    module = sr_plain.Network(channels=8, layers=3).build().eval()
    with torch.no_grad():
        for weight in module.weights:
            weight.zero_()
        x = torch.rand(1, 1, 6, 7)
        assert torch.equal(module(x), x.repeat_interleave(2, 2).repeat_interleave(2, 3))


@pytest.mark.parametrize(("scale", "entry_stride"), [(1.5, 2), (2, 1), (2, 2), (3, 1), (3, 2), (4, 1)])
def test_the_drawn_graph_computes_what_the_module_does_at_every_scale(
    scale: float, entry_stride: int
) -> None:
    module = _random(sr_plain.Network(scale=scale, channels=8, layers=3, entry_stride=entry_stride))
    feeds = {"luma": np.random.default_rng(2).random((1, 10, 14, 1), np.float32)}
    drawn = run_float(module.to_graph(), feeds)["enlarged"]  # type: ignore[operator]
    assert drawn.shape == (1, round(10 * scale), round(14 * scale), 1)
    assert np.abs(drawn - module.reference(feeds)["enlarged"]).max() < 1e-5  # type: ignore[operator]


def test_the_anchor_of_a_cell_is_linear_inside_it_and_keeps_the_border_bright() -> None:
    module = sr_plain.Network(scale=1.5, channels=8, layers=3, entry_stride=2).build().eval()
    with torch.no_grad():
        for weight in module.weights:
            weight.zero_()
        line = torch.tensor([0.2, 0.4, 1.0, 0.6])
        enlarged = module(line.expand(4, 4)[None, None])[0, 0]
    assert torch.allclose(enlarged, torch.tensor([0.2, 0.3, 0.4, 1.0, 0.8, 0.6]).expand(6, 6))


@pytest.mark.parametrize(
    ("network", "words"),
    [({"scale": 1.5}, "entry_stride"), ({"entry_stride": 3}, "1 or 2"), ({"scale": 5}, r"1\.\.4")],
)
def test_a_network_that_cannot_be_is_refused(network: dict[str, float], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        sr_plain.Network(**network)  # type: ignore[arg-type]


def _largest_of(module: Any, x: torch.Tensor) -> dict[str, torch.Tensor]:
    return largest(module.to_graph(), [{"luma": x.permute(0, 2, 3, 1).numpy()}])


def test_equalizing_brings_hidden_channels_to_one_and_keeps_the_function() -> None:
    module = _random(sr_plain.Network(channels=8, layers=4))
    x = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        before = module(x)
        module.equalize(_largest_of(module, x))
        after = module(x)
    assert (before - after).abs().max() < 1e-4
    assert all(float(x.max()) <= 1.0 + 1e-4 for n, x in _largest_of(module, x).items() if "hidden" in n)


def test_equalizing_memories_fills_tensors_more_alike_and_keeps_the_function() -> None:
    torch.manual_seed(4)
    network = de_cells.Network(channels=8, frequency_dilations=(1, 2), wide_after=(1,), wide_channels=8)
    module, features = network.build(), torch.rand(1, 40, 96)

    def faint() -> float:
        """The share of its tensor's range that a channel of a memory fills."""
        frames = ({"features": frame.reshape(1, 1, -1, 1)} for frame in features[0].numpy())
        graph = module.to_graph()
        found = largest(graph, [feeds for feeds, _ in stream(graph, frames)])["memory2"]
        return float(found[3] / found.max())

    with torch.no_grad():
        for layer in (module.stem, *(cell.candidate for cell in module.cells), module.wide[0].spread):
            layer.weight[3] *= 0.1
            layer.bias[3] *= 0.1  # type: ignore[index]
        before, faint_before = module(features), faint()
        frames = ({"features": frame.reshape(1, 1, -1, 1)} for frame in features[0].numpy())
        graph = module.to_graph()
        module.equalize(largest(graph, [feeds for feeds, _ in stream(graph, frames)]))
        assert (module(features) - before).abs().max() < 1e-4
    assert faint() > 4 * faint_before


def test_a_channel_that_never_fires_keeps_its_weights() -> None:
    network = sr_plain.Network(channels=8, layers=3)
    module, x = _random(network), torch.rand(1, 1, 12, 16)
    with torch.no_grad():
        module.biases[0][2] = -100.0  # type: ignore[index, operator]
        before = module.weights[0][2].clone()  # type: ignore[index]
        module.equalize(_largest_of(module, x))
    assert (module.weights[0][2] == before).all()  # type: ignore[index]
    assert (module.biases[0][2] == -100.0).all()  # type: ignore[index]


def test_the_shipped_sizes_keep_their_budgets() -> None:
    sr = sr_plain.Network().build().to_graph()
    assert sr.parameters() <= 47_000
    for name, parameters, mmacs in (("nano", 50e3, 20), ("base", 100e3, 60), ("plus", 300e3, 260)):
        recipe = Recipe.load(MODELS / "de" / name / "recipe.toml")
        de = recipe.network.build().to_graph()  # type: ignore[attr-defined]
        assert de.parameters() <= parameters
        assert de.macs() * 48000 / 720 <= mmacs * 1e6


@pytest.mark.parametrize("options", [{}, {"entry_stride": 2, "scale": 1.5}])
def test_expanded_kernels_are_the_plain_network_in_another_form(options: dict[str, float]) -> None:
    """Products of float32 factors are within 1e-5 of the kernel; collapsed they are the same numbers."""
    network = sr_plain.Network(channels=8, layers=4, expand=24, **options)  # type: ignore[arg-type]
    plain, x = _random(network), torch.rand(2, 1, 12, 16)
    expanded = plain.expanded()  # type: ignore[operator]
    with torch.no_grad():
        assert torch.allclose(expanded(x), plain(x), atol=1e-5)
        for factor in (*expanded.wide, *expanded.narrow):
            factor.add_(0.02 * torch.randn_like(factor))
        collapsed = expanded.collapsed()
        assert not torch.allclose(collapsed(x), plain(x), atol=1e-3)
        assert torch.equal(collapsed(x), expanded(x))
    feeds = {"luma": torch.rand(1, 8, 8, 1).numpy()}
    drawn = run_float(expanded.to_graph(), feeds)["enlarged"]
    assert np.array_equal(drawn, run_float(collapsed.to_graph(), feeds)["enlarged"])


def test_expansion_leaves_the_kept_state_and_the_recipe_without_it_as_they_are() -> None:
    expanding, without = sr_plain.Network(expand=48), sr_plain.Network()
    kept = expanding.build().expanded().collapsed().state_dict()
    assert {k: v.shape for k, v in kept.items()} == {
        k: v.shape for k, v in without.build().state_dict().items()
    }
    assert "expand" not in plain_fields(without)  # the digest of recipes that do not expand is what it was
    module = without.build()
    assert module.expanded() is module is module.collapsed()
    with pytest.raises(OptionError, match="expand 16 is narrower than a kernel's 32 outputs"):
        sr_plain.Network(expand=16)
