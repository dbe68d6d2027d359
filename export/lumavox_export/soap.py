"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al., arXiv:2409.11321).

For the small convolutions of this project a step costs little more than one of Adam and is worth several:
``models/LOG.md`` has the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Soap(torch.optim.Optimizer):
    """Weights of two and more axes are taken as ``(outputs, everything else)``; vectors get plain Adam.

    ``betas`` are the decays of the mean and of the square, ``memory`` that of the two covariances, whose
    eigenvectors are refreshed by one power iteration and QR every ``refresh`` steps.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 3e-3,
        *,
        betas: tuple[float, float] = (0.95, 0.95),
        memory: float = 0.95,
        refresh: int = 10,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "memory": memory, "refresh": refresh, "eps": eps}
        super().__init__(parameters, defaults | {"weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update. The first one only measures the covariances and moves nothing but vectors."""
        value = closure() if closure is not None else None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    if parameter.dim() > 1:
                        self._matrix(parameter, group)
                    else:
                        self._vector(parameter, group)
        return value

    def _vector(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state |= {"step": 0, "mean": torch.zeros_like(gradient), "square": torch.zeros_like(gradient)}
        state["step"] += 1
        beta1, beta2 = group["betas"]
        state["mean"].lerp_(gradient, 1 - beta1)
        state["square"].lerp_(gradient.square(), 1 - beta2)
        correction = (1 - beta2 ** state["step"]) ** 0.5 / (1 - beta1 ** state["step"])
        parameter.addcdiv_(
            state["mean"], state["square"].sqrt() + group["eps"], value=-group["lr"] * correction
        )

    def _matrix(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, grad = self.state[parameter], parameter.grad
        assert grad is not None
        gradient = grad.reshape(grad.shape[0], -1)
        if not state:
            left, right = gradient @ gradient.T, gradient.T @ gradient
            state |= {"step": 1, "mean": torch.zeros_like(gradient), "square": torch.zeros_like(gradient)}
            state |= {"left": left, "right": right}
            state |= {"left_basis": torch.linalg.eigh(left)[1], "right_basis": torch.linalg.eigh(right)[1]}
            return
        state["step"] += 1
        beta1, beta2 = group["betas"]
        left, right = state["left_basis"], state["right_basis"]
        state["mean"].lerp_(gradient, 1 - beta1)
        state["square"].lerp_((left.T @ gradient @ right).square(), 1 - beta2)
        correction = (1 - beta2 ** state["step"]) ** 0.5 / (1 - beta1 ** state["step"])
        update = (left.T @ state["mean"] @ right) / (state["square"].sqrt() + group["eps"])
        parameter.add_((left @ update @ right.T).view_as(parameter), alpha=-group["lr"] * correction)
        state["left"].lerp_(gradient @ gradient.T, 1 - group["memory"])
        state["right"].lerp_(gradient.T @ gradient, 1 - group["memory"])
        if state["step"] % group["refresh"] == 0:
            for axis, side in enumerate(("left", "right")):
                self._turn(state, side, axis)

    @staticmethod
    def _turn(state: dict[str, Any], side: str, axis: int) -> None:
        """Bring a basis up to date, largest eigenvalue first, the running square with it."""
        basis, covariance = state[f"{side}_basis"], state[side]
        order = torch.argsort((basis * (covariance @ basis)).sum(0), descending=True)
        state["square"] = state["square"].index_select(axis, order)
        state[f"{side}_basis"] = torch.linalg.qr(covariance @ basis[:, order])[0]
