"""A gated memory over a whole signal, for training: `scan`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Scan(torch.autograd.Function):
    """Step by step, so that a step's numbers stay in the processor's cache."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, candidates: Tensor) -> Tensor:
        shares, states = torch.empty_like(gates), torch.empty_like(candidates)
        past = torch.zeros_like(candidates[0])
        for a, c, z, h in zip(
            gates.unbind(0), candidates.unbind(0), shares.unbind(0), states.unbind(0), strict=True
        ):
            torch.sigmoid(a, out=z)
            torch.lerp(past, c, z, out=h)
            past = h
        ctx.save_for_backward(shares, states)
        return states

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        shares, states = ctx.saved_tensors
        to_gates, to_candidates = torch.empty_like(shares), torch.empty_like(shares)
        zero = torch.zeros_like(states[0])
        hs = states.unbind(0)
        carry = zero.clone()
        rows = zip(
            grads[0].unbind(0), shares.unbind(0), hs, (zero, *hs[:-1]), to_gates.unbind(0),
            to_candidates.unbind(0), strict=True,
        )  # fmt: skip
        for grad, z, h, past, to_gate, to_candidate in reversed(list(rows)):
            carry.add_(grad)
            torch.mul(carry, z, out=to_candidate)
            carry.sub_(to_candidate)
            torch.sub(h, past, out=to_gate)  # z * (c - past)
            to_gate.mul_(carry)
        return to_gates, to_candidates


def scan(gates: Tensor, candidates: Tensor) -> Tensor:
    """States ``h[t] = h[t-1] + sigmoid(gates[t]) * (candidates[t] - h[t-1])`` along the first axis."""
    states: Tensor = _Scan.apply(gates, candidates)  # type: ignore[no-untyped-call]
    return states
