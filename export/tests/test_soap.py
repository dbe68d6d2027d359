"""SOAP: right on what can be computed by hand, and quicker than Adam where curvature is uneven."""

import pytest
import torch
from torch import nn

from lumavox_export.memory import keep_freed_memory
from lumavox_export.soap import Soap
from lumavox_export.training import Schedule


def _uneven(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs and outputs whose scales differ a thousand times along turned axes."""
    generator = torch.Generator().manual_seed(seed)
    turn_in, turn_out = (
        torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0].float()
        for n in (12, 6)
    )
    inputs = turn_in @ torch.diag(torch.logspace(-1.5, 0.5, 12)) @ turn_in.T
    outputs = turn_out @ torch.diag(torch.logspace(-1, 0, 6)) @ turn_out.T
    return inputs, outputs, torch.randn(6, 12, generator=generator)


def _distance_after(optimizer: str, steps: int, rate: float) -> float:
    inputs, outputs, target = _uneven()
    module = nn.Module()
    module.weight = nn.Parameter(torch.zeros(6, 12))
    chosen = Schedule(optimizer=optimizer, learning_rate=rate).optimizer_for(module)  # type: ignore[arg-type]
    for step in range(steps):
        for group in chosen.param_groups:
            group["lr"] = rate * (1 - step / steps)
        loss = (outputs @ (module.weight - target) @ inputs).square().mean()
        chosen.zero_grad()
        loss.backward()
        chosen.step()
    return float((module.weight.detach() - target).norm() / target.norm())


def test_it_reaches_the_target_where_adam_is_still_on_its_way() -> None:
    """Best of three rates each; the problem is a turned, badly scaled quadratic."""
    soap = min(_distance_after("soap", 300, rate) for rate in (0.03, 0.1, 0.3))
    adam = min(_distance_after("adamw", 300, rate) for rate in (0.03, 0.1, 0.3))
    assert soap < 0.5 * adam


def test_the_first_step_of_a_vector_is_one_rate_against_the_sign_of_its_gradient() -> None:
    vector = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    vector.grad = torch.tensor([0.5, -4.0, 1e-3])
    Soap([vector], lr=0.1).step()
    assert torch.allclose(vector.detach(), torch.tensor([0.9, -1.9, 2.9]), atol=1e-4)


def test_the_first_step_of_a_matrix_only_measures() -> None:
    weight = nn.Parameter(torch.ones(4, 3, 3, 3))
    weight.grad = torch.randn(4, 3, 3, 3)
    Soap([weight]).step()
    assert torch.equal(weight.detach(), torch.ones(4, 3, 3, 3))


def test_the_bases_stay_orthogonal_and_sort_their_eigenvalues() -> None:
    torch.manual_seed(1)
    weight = nn.Parameter(torch.zeros(5, 7))
    optimizer = Soap([weight], lr=0.0)
    mixing = torch.randn(7, 7)
    for _ in range(200):
        weight.grad = torch.randn(5, 7) @ mixing
        optimizer.step()
    state = optimizer.state[weight]
    basis = state["right_basis"]
    assert torch.allclose(basis.T @ basis, torch.eye(7), atol=1e-4)
    spread = (basis * (state["right"] @ basis)).sum(0)
    assert (spread[:-1] > 0.5 * spread[1:]).all()


def test_freed_memory_is_kept_where_the_c_library_can() -> None:
    assert keep_freed_memory() in (True, False)
    assert keep_freed_memory() is keep_freed_memory()


@pytest.mark.parametrize("optimizer", ["adamw", "soap"])
def test_a_schedule_makes_the_optimizer_that_it_names(optimizer: str) -> None:
    made = Schedule(optimizer=optimizer, weight_decay=0.1).optimizer_for(nn.Linear(2, 2))  # type: ignore[arg-type]
    assert type(made).__name__.lower() == optimizer
    assert made.param_groups[0]["weight_decay"] == 0.1
