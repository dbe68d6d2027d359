"""``look_at``: what the records of a fleet say of a rollout, as the `Look` that `rollout.decide` judges.

    look = look_at(records, policy, rollout, now_ms)

Only records count that carry the release's arm, which a set has from its first answer of the update service
on, treated or not: both arms are counted from the same moment. A set's arm is computed again from its name;
records that say another one are left out. A record is an event of a guard as it is, so an event is known as
soon as the first record shows it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from .fleet_records import Records, duck_errors
from .fleet_sql import CRASHED
from .rollout import GuardLook, Look
from .rollout_evidence import Events, Evidence, Urn, log_rare
from .rollout_policy import Guard, RolloutPolicy
from .rollout_state import Arm, Rollout, arm_of

__all__ = ["look_at"]

MS_PER_HOUR = 3_600_000.0
Pair = tuple[float, bool]  # hours since the rollout began, and whether treated


@dataclass
class _Found:
    """What is gathered over sets. Hours are since the rollout began."""

    events: dict[tuple[str, int], list[Pair]] = field(default_factory=lambda: defaultdict(list))
    first_h: dict[int, list[Pair]] = field(default_factory=lambda: defaultdict(list))  # by stage
    over: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    over_with_event: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def look_at(records: Records, policy: RolloutPolicy, rollout: Rollout, now_ms: int) -> Look:
    """Everything that is known at ``now_ms`` (Unix time)."""
    begin_ms = rollout.stages[0].began_ms or 0
    now_h = (now_ms - begin_ms) / MS_PER_HOUR
    found = _gather(records, policy, rollout, begin_ms, now_ms)
    urns = [Urn(sizes.treated, sizes.control) for sizes in rollout.stages[: rollout.stage + 1]]
    for stage, urn in enumerate(urns):
        _silence(policy, rollout, found, stage, urn, begin_ms, now_h)
    guards = tuple(_guard_look(found, urns, name, guard) for name, guard in policy.guards.items())
    reported = [sum(treated for _, treated in found.first_h[stage]) for stage in range(len(urns))]
    crashed = next(guard.treated_events for guard in guards if guard.name == "crash")
    began_ms = rollout.stages[rollout.stage].began_ms or begin_ms
    return Look(
        rollout.stage, (now_ms - began_ms) / MS_PER_HOUR, urns[-1].treated, reported[-1], sum(reported),
        crashed, guards, rollout.stopped,
    )  # fmt: skip


def _events_sql(policy: RolloutPolicy) -> dict[str, str]:
    """Which records are an event of which guard."""
    limits = policy.limits
    return {
        "crash": CRASHED,
        "bypass": f"frames_bypassed > {limits.bypass_share!r} * frames_in",
        "miss": f"coalesce(deadline_miss_count, frames_late) > {limits.miss_share!r} * frames_in",
        "av": f"av_offset_ms > {limits.av_early_ms!r} OR av_offset_ms < -{limits.av_late_ms!r}",
        "self_check": "NOT self_check_pass",
    }


def _gather(records: Records, policy: RolloutPolicy, rollout: Rollout, begin_ms: int, now_ms: int) -> _Found:
    found, kinds = _Found(), _events_sql(policy)
    firsts = ", ".join(f"min(CASE WHEN {event} THEN ts_ms END)" for event in kinds.values())
    with duck_errors(records.files), records.connect() as connection:
        rows = connection.execute(
            f"SELECT set_id, stage, arm, min(ts_ms), {firsts} FROM records WHERE release = ? "
            "AND ts_ms BETWEEN ? AND ? GROUP BY set_id, stage, arm",
            [rollout.release, begin_ms, now_ms],
        ).fetchall()
    now_h = (now_ms - begin_ms) / MS_PER_HOUR
    for set_id, stage, arm, first_ms, *events_ms in sorted(rows):
        treated = arm == "treated"
        if arm_of(set_id, rollout.release, policy) != Arm(stage - 1, treated) or stage - 1 > rollout.stage:
            continue
        first_h = (first_ms - begin_ms) / MS_PER_HOUR
        found.first_h[stage - 1].append((first_h, treated))
        window_is_over = treated and first_h + policy.window_hours <= now_h
        for name, event_ms in zip(kinds, events_ms):
            event_h = None if event_ms is None else (event_ms - begin_ms) / MS_PER_HOUR
            if event_h is not None:
                found.events[name, stage - 1].append((event_h, treated))
            found.over[name] += window_is_over
            in_window = event_h is not None and event_h <= first_h + policy.window_hours
            found.over_with_event[name] += window_is_over and in_window
    return found


def _silence(
    policy: RolloutPolicy, rollout: Rollout, found: _Found, stage: int, urn: Urn, begin_ms: int, now_h: float
) -> None:
    """Sets without a record when the window ends are events of that moment, in an order that is drawn."""
    end_h = ((rollout.stages[stage].began_ms or begin_ms) - begin_ms) / MS_PER_HOUR + policy.window_hours
    if now_h < end_h:
        return
    in_time = [treated for hours, treated in found.first_h[stage] if hours <= end_h]
    silent = [True] * (urn.treated - sum(in_time)) + [False] * (urn.control - in_time.count(False))
    seed = int.from_bytes(hashlib.sha256(f"{rollout.release}\0{stage}".encode()).digest()[:8], "big")
    order = np.random.default_rng(seed).permutation(len(silent))
    found.events["silent", stage] = [(end_h, silent[i]) for i in order]
    found.over["silent"] += urn.treated
    found.over_with_event["silent"] += sum(silent)


def _guard_look(found: _Found, urns: list[Urn], name: str, guard: Guard) -> GuardLook:
    parts = []
    for stage in range(len(urns)):
        pairs = sorted(found.events[name, stage], key=lambda pair: pair[0])
        parts.append(
            Events(
                np.array([hours for hours, _ in pairs]), np.array([treated for _, treated in pairs], bool),
                np.full(len(pairs), stage),
            )
        )  # fmt: skip
    events = Events.joined(parts)
    evidence = Evidence.of(events, urns, guard.harm_ratio)
    treated = int(events.treated.sum())
    rare = log_rare(found.over_with_event[name], found.over[name], guard.rare)
    harm, safe = float(evidence.harm.max()), float(evidence.safe[-1])
    return GuardLook(name, treated, len(events.treated) - treated, harm, safe, rare)
