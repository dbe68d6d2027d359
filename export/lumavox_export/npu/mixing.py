"""A network with 16 bits where they are worth it: `mixed`, on top of ``lumavox_export.precision``.

network, mixture, ranked = mixed(networks(bundle)[0], budget=0.25)
compiler.compile(network, preset, "ethos-u65-512")
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from lumavox.errors import OptionError

from ..precision import Candidate, Mixture, choose, sensitivity, widened
from .agreement import preset_of, samples
from .network import Network

_FRAMES = 12  # of sound: every candidate is run on all of them


def mixed(network: Network, budget: float) -> tuple[Network, Mixture, Sequence[Candidate]]:
    """The int8 ``network`` with at most the share ``budget`` of its MACs in 16 bits, what was chosen, and
    every candidate, largest gain first. Raises `OptionError` for another network or budget."""
    plan = network.plan
    if plan is None or network.precision != "int8":
        raise OptionError(f"{network.model}: mixed precision starts from int8, this is {network.precision}")
    if not 0 <= budget <= 1:
        raise OptionError(f"budget {budget:g}: the share of MACs in 16 bits is 0 to 1")
    fixed = network.fixed(preset_of(network))
    states = {state.input for state in fixed.graph.states}
    calls = [{k: v for k, v in feed.items() if k not in states} for feed in samples(fixed)[-_FRAMES:]]
    ranked = sensitivity(fixed.graph, plan, calls)
    mixture = choose(fixed.graph, plan, calls, budget)
    graph, wide_plan = widened(network.graph, plan, mixture.operators)
    return dataclasses.replace(network, graph=graph, plan=wide_plan), mixture, ranked
