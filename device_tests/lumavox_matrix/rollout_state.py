"""``Rollout``: where one release stands: a JSON file beside the update repository, and who is in which arm.

    rollout = Rollout.begin(policy, "sr/base-x2@0.2.0", set_ids, now_ms)
    arm_of("set-17", rollout.release, policy)        # Arm(stage=0, treated=False), or None: in no arm so far
    rollout.save(Path("base-x2.rollout.json"))

A set's rank is a hash of the release and the set's pseudonym: a draw that needs no table, that no server can
tune, and that is a new one for every release, so that no set is always first. Sizes of arms are counted from
the list of all sets when the rollout begins, because the evidence needs them exactly (`rollout_evidence`).
A rollout that was stopped stays stopped: a repaired model is a new release.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lumavox._files import replace_file
from lumavox._parse import dump_json, load_json, parse, plain
from lumavox.errors import OptionError

from .rollout_policy import RolloutPolicy

__all__ = ["Arm", "ArmSizes", "Rollout", "arm_of", "has_new_model", "rank"]

SCHEMA = 1


@dataclass(frozen=True)
class Arm:
    """One arm of one stage (from 0)."""

    stage: int
    treated: bool


@dataclass(frozen=True)
class ArmSizes:
    """How many sets are in both arms of a stage, and when it began (Unix time; absent: not yet)."""

    treated: int
    control: int
    began_ms: int | None = None


@dataclass(frozen=True)
class Rollout:
    """``stopped``: why; nothing goes on from there. ``done``: the last stage is over."""

    schema: int
    release: str
    stages: tuple[ArmSizes, ...]
    stopped: str | None = None
    done: bool = False

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise OptionError(f"schema {self.schema}: this version reads schema {SCHEMA} only")
        began = [sizes.began_ms for sizes in self.stages]
        known = [ms for ms in began if ms is not None]
        if not known or began[: len(known)] != sorted(known):
            raise OptionError("stages begin one after the other, the first one with the rollout")
        if any(sizes.treated < 0 or sizes.control < 0 for sizes in self.stages):
            raise OptionError("stages: numbers of sets cannot be negative")

    @property
    def stage(self) -> int:
        """The current stage, from 0."""
        return sum(sizes.began_ms is not None for sizes in self.stages) - 1

    @classmethod
    def begin(cls, policy: RolloutPolicy, release: str, set_ids: Iterable[str], now_ms: int) -> Rollout:
        """A rollout in its first stage. Raises OptionError for sets named twice and for too few sets."""
        treated, control = [0] * len(policy.stages), [0] * len(policy.stages)
        seen: set[str] = set()
        for set_id in set_ids:
            if set_id in seen:
                raise OptionError(f"the set {set_id[:80]!r} is listed twice; each set is one line")
            seen.add(set_id)
            arm = arm_of(set_id, release, policy)
            if arm is not None:
                (treated if arm.treated else control)[arm.stage] += 1
        if min(treated[0], control[0]) < 1:
            raise OptionError(
                f"{len(seen)} sets are too few: the first stage has {treated[0]} sets and {control[0]} as "
                "its control; list more sets or make the first stage larger"
            )
        sizes = [ArmSizes(t, c) for t, c in zip(treated, control)]
        return cls(SCHEMA, release, (dataclasses.replace(sizes[0], began_ms=now_ms), *sizes[1:]))

    def advanced(self, now_ms: int) -> Rollout:
        """In the next stage, or done after the last."""
        self._check_running()
        if self.stage == len(self.stages) - 1:
            return dataclasses.replace(self, done=True)
        stages = list(self.stages)
        stages[self.stage + 1] = dataclasses.replace(stages[self.stage + 1], began_ms=now_ms)
        return dataclasses.replace(self, stages=tuple(stages))

    def stop(self, reason: str) -> Rollout:
        """Stopped for good."""
        self._check_running()
        return dataclasses.replace(self, stopped=reason)

    def _check_running(self) -> None:
        if self.stopped is not None or self.done:
            state = "done" if self.done else f"stopped ({self.stopped})"
            raise OptionError(f"the rollout of {self.release} is {state}; a new release begins a new rollout")

    def save(self, path: Path) -> None:
        """Write it in one step."""
        replace_file(path, dump_json(plain(self)))

    @classmethod
    def load(cls, path: Path) -> Rollout:
        """Read it. Raises OptionError that names file and key."""
        try:
            data = path.read_bytes()
        except OSError as cause:
            raise OptionError(
                f"{path} cannot be read: {cause.strerror}; `lumavox-matrix rollout begin` makes one"
            ) from cause
        return parse(cls, load_json(data, str(path)), str(path))


def has_new_model(set_id: str, rollout: Rollout, policy: RolloutPolicy) -> bool:
    """What the update service answers a set: the new model or the old one. After a stop nobody gets it."""
    if rollout.done or rollout.stopped is not None:
        return rollout.done
    arm = arm_of(set_id, rollout.release, policy)
    last = rollout.stage == len(rollout.stages) - 1
    if arm is None:
        return last
    return (arm.treated and arm.stage <= rollout.stage) or (
        last and not arm.treated and arm.stage < rollout.stage
    )


def rank(set_id: str, release: str) -> float:
    """A number from 0 to below 1: the set's place in line, drawn anew for every release."""
    digest = hashlib.sha256(f"{release}\0{set_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def arm_of(set_id: str, release: str, policy: RolloutPolicy) -> Arm | None:
    """The arm in which a set is counted; None if it only gets the model with the last stage."""
    place = rank(set_id, release)
    for stage in range(len(policy.stages)):
        joined, control = policy.arms(stage)
        if joined[0] <= place < joined[1]:
            return Arm(stage, True)
        if control[0] <= place < control[1]:
            return Arm(stage, False)
    return None
