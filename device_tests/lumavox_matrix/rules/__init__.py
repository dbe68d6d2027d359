"""``RULES``: what makes a run FAIL or ERROR and whose fault it is, one small pure function each.

A rule looks at the `Evidence` of one run and yields `Finding`. Their order is the order of causes: what is
wrong with the lab comes before what is wrong with the engine, that before what lumavox made of it, so that
the first finding of the worst status names the culprit and the others are its consequences.

Culprits: a wrong output that the CPU reference has too is the *model's*; one that it has not, a wrong order,
crash or lateness inside the engine is the *driver's* (engine, delegate, driver, firmware, silicon); what goes
wrong around an engine that is in order is the *runtime's*; what keeps a test from telling, the *harness's*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..evidence import Evidence, Finding
from .engine import (
    as_slow_as_cpu,
    engine_in_stream,
    engine_output,
    engine_steady,
    exact,
    placement,
    quality,
)  # fmt: skip
from .outcome import clock, ended, identity, lab
from .product import added_latency, bypassed, deadline, memory, output, start_up, sustained

__all__ = ["RULES", "Rule"]

Rule = Callable[[Evidence], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    lab, clock, identity, ended,
    engine_steady, engine_output, exact, engine_in_stream, quality, placement, as_slow_as_cpu,
    deadline, sustained, start_up, added_latency, bypassed, memory, output,
)  # fmt: skip
"""In the order of causes."""
