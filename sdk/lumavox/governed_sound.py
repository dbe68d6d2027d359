"""``GovernedEnhancer``: a `DialogEnhancer` that goes dry, by a ramp, before sound comes late.

    with GovernedEnhancer(DialogEnhancer.open("de/base", level="medium")) as enhancer:
        for block in blocks:
            play(enhancer.process(block))
        enhancer.set(level="high")

The ladder has two rungs: the network, and the dry sound, for which the network need not run. The effect's
strength is ramped from one to the other, so that nothing clicks, and the delay is the same on both. An
enhancer opened with ``stems`` runs its network always, and gains nothing here.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from ._governing import Watch, facts
from .audio import DialogEnhancer
from .governor import Conditions, Governor, Policy
from .ladder import CONVENTIONAL, Ladder, Rung
from .loudness import Samples
from .sensors import Sensors
from .telemetry import NO_SPEECH, TelemetryRecord

__all__ = ["GovernedEnhancer"]

SOUND_POLICY = Policy(patience_down_s=0.0, patience_up_s=0.0, visible_every_s=0.0, fade_s=0.3)
"""Sound has no cuts to wait for: a ramp is not heard at any time."""
SILENT_S = 5.0
"""After so long without dialog the record says so."""
_LADDER = Ladder((Rung("dialog", 1.0, 1.0), CONVENTIONAL))
_DRY = "dry"


class GovernedEnhancer:
    """Owns ``enhancer``. One thread at a time may use it. Attributes: ``governor``, ``enhancer``."""

    def __init__(
        self,
        enhancer: DialogEnhancer,
        *,
        policy: Policy = SOUND_POLICY,
        sensors: Sensors | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """``sensors``: what tells heat, without waiting; None reads those of Linux in a thread.

        The deadline of each hop is the enhancer's, or the length of a hop.
        """
        self.enhancer = enhancer
        hop_us = 1e6 * enhancer.front_end.hop / enhancer.front_end.rate_hz
        self.governor = Governor(_LADDER, min(hop_us, enhancer._meter.deadline_us or hop_us), policy)
        self._clock = clock
        self._device = Watch(sensors)
        self._strength = self._shown = enhancer.controls.strength
        self._samples = self._spoke_at = 0

    def process(self, block: Samples, out: Samples | None = None) -> Samples:
        """As `DialogEnhancer.process`."""
        began = self._clock()
        conditions = self._device.read(began)
        if conditions is not None:  # going dry frees no memory, so that a shortage is no reason for it
            self.governor.sense(Conditions(conditions.thermal_forecast))
        step = self.governor.next(began)
        wanted = self._strength * (step.share if step.rung == 0 else 0.0)
        if wanted != self._shown:
            self._shown = wanted
            self.enhancer.set(strength=wanted)
        meter = self.enhancer._meter
        hops, late = meter.frames_in, meter.frames_late
        result = self.enhancer.process(block, out)
        hops, late = meter.frames_in - hops, meter.frames_late - late
        if hops:
            time_us = (self._clock() - began) * 1e6 / hops
            for hop in range(hops):
                self.governor.add(time_us, hop < late or time_us > self.governor.deadline_us)
        self._samples += len(block)
        if self.enhancer.speech.active:
            self._spoke_at = self._samples
        return result

    def set(self, *, strength: float | None = None, **changes: Any) -> None:
        """As `DialogEnhancer.set`; ``strength`` is what is shown while the network is used."""
        if strength is not None:
            self.enhancer.set(strength=strength)  # says if it is not possible
            self._strength, self._shown = strength, strength
        if changes:
            self.enhancer.set(**changes)

    def flush(self) -> Samples:
        """As `DialogEnhancer.flush`."""
        return self.enhancer.flush()

    def reset(self) -> None:
        """As `DialogEnhancer.reset`."""
        self.enhancer.reset()

    @property
    def delay_samples(self) -> int:
        """The same on both rungs."""
        return self.enhancer.delay_samples

    def record(self) -> TelemetryRecord:
        """What happened so far. While no dialog is found the reason is "no speech". No sound."""
        record, governor = self.enhancer.record(), self.governor
        changes = facts(governor, _DRY if governor.rung else _LADDER[0].name)
        if governor.rung and record.state not in ("failed", "warming"):
            changes |= {"state": "bypass", "state_reason": f"stepped down to {_DRY}: {governor.reason}"}
        elif record.state == "active" and self._samples - self._spoke_at >= SILENT_S * self.enhancer.rate_hz:
            changes["state_reason"] = NO_SPEECH
        return dataclasses.replace(record, **changes)

    def close(self) -> None:
        """Free the engine. May be called twice."""
        self._device.close()
        self.enhancer.close()

    def __enter__(self) -> GovernedEnhancer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
