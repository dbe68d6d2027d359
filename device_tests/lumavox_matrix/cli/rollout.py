"""A staged rollout: begin, look and decide, stop; and a simulated fleet that shows what the policy is
worth."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path

from lumavox._files import replace_file
from lumavox.errors import OptionError
from lumavox_matrix._tables import Table, as_page
from lumavox_matrix.fleet_records import Records
from lumavox_matrix.rollout import Decision, Look, decide
from lumavox_matrix.rollout_policy import RolloutPolicy, read_rollout_policy
from lumavox_matrix.rollout_records import look_at
from lumavox_matrix.rollout_simulator import Fleet
from lumavox_matrix.rollout_state import Rollout
from lumavox_matrix.rollout_study import study

HELP = "a staged rollout with guards: begin, look, stop; or simulate a fleet"
EXIT_STOPPED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and with which rollout."""
    parser.add_argument(
        "action", choices=("begin", "look", "stop", "simulate"),
        help="begin: draw the arms; look: decide by the records; stop: at once, for good; simulate: a fleet",
    )  # fmt: skip
    parser.add_argument("records", nargs="*", type=Path, metavar="FILE", help="field records, for look")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="stages, guards, limits (TOML)")
    parser.add_argument("--state", type=Path, metavar="FILE", help="where this rollout stands (JSON)")
    parser.add_argument("--release", metavar="NAME", help="of begin: such as sr/base-x2@0.2.0")
    parser.add_argument("--sets", type=Path, metavar="FILE", help="of begin: all sets, one pseudonym a line")
    parser.add_argument("--reason", help="of stop")
    parser.add_argument("--apply", action="store_true", help="of look: write the decision into the state")
    parser.add_argument("--now-ms", type=int, metavar="T", help="Unix time in ms (default: now)")
    parser.add_argument("--rollouts", type=int, default=200, help="of simulate: of a harmless model")
    parser.add_argument("--bad-rollouts", type=int, default=50, help="of simulate: of each bad model")
    parser.add_argument("--fleet", type=int, default=100_000, metavar="SETS", help="of simulate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for page, Markdown and JSON")


def run(args: argparse.Namespace) -> int:
    """Exit code 1 if the rollout is stopped, or if the simulation misses its bars."""
    policy = read_rollout_policy(args.policy)
    now_ms = int(time.time() * 1000) if args.now_ms is None else args.now_ms
    if args.action == "simulate":
        return _simulate(args, policy)
    state = Path(_needed(args, "state"))
    if args.action == "begin":
        return _begin(args, policy, state, now_ms)
    rollout = Rollout.load(state)
    if args.action == "stop":
        rollout.stop(_needed(args, "reason")).save(state)
        print(f"{rollout.release} is stopped: {args.reason}")
        return EXIT_STOPPED
    return _look(args, policy, rollout, state, now_ms)


def _begin(args: argparse.Namespace, policy: RolloutPolicy, state: Path, now_ms: int) -> int:
    if state.exists():
        raise OptionError(f"{state} exists: this rollout has begun; look at it, or name another file")
    sets = Path(_needed(args, "sets"))
    try:
        lines = sets.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as cause:
        raise OptionError(f"{sets} cannot be read as text: {cause}") from cause
    names = [line.strip() for line in lines if line.strip()]
    rollout = Rollout.begin(policy, _needed(args, "release"), names, now_ms)
    rollout.save(state)
    for number, sizes in enumerate(rollout.stages, start=1):
        print(f"stage {number}: {sizes.treated:,} sets join, {sizes.control:,} are their control")
    return 0


def _look(args: argparse.Namespace, policy: RolloutPolicy, rollout: Rollout, state: Path, now_ms: int) -> int:
    if rollout.done:
        print(f"the rollout of {rollout.release} is done")
        return 0
    work = args.out or state.parent / ".rollout-records"
    look = look_at(Records.open(args.records, work), policy, rollout, now_ms)
    decision = decide(policy, look)
    print(_told(policy, look, decision))
    if args.apply and rollout.stopped is None:
        if decision.action == "stop":
            rollout.stop("; ".join(decision.reasons)).save(state)
        elif decision.action in ("advance", "complete"):
            rollout.advanced(now_ms).save(state)
    return EXIT_STOPPED if decision.action == "stop" else 0


def _told(policy: RolloutPolicy, look: Look, decision: Decision) -> str:
    header = ("guard", "verdict", "new model", "control", "for harm", "for harmless", "for rare")
    rows = tuple(
        (
            guard.name, verdict, f"{guard.treated_events:,}", f"{guard.control_events:,}",
            *(f"{math.exp(min(e, 30)):.3g}" for e in (guard.log_harm, guard.log_safe, guard.log_rare)),
        )
        for guard, verdict in zip(look.guards, decision.verdicts)
    )  # fmt: skip
    stop, go = len(look.guards) / policy.alpha, 1 / policy.beta
    title = (
        f"stage {look.stage + 1} of {len(policy.stages)}, {look.hours:.1f} h: sets with an event, and "
        f"e-values (harm stops at {stop:.0f}; harmless or rare at {go:.0f})"
    )
    lines = [Table(title, header, rows, 5).text(), "", decision.action.upper()]
    return "\n".join([*lines, *(f"  {reason}" for reason in decision.reasons)])


def _simulate(args: argparse.Namespace, policy: RolloutPolicy) -> int:
    def tell(text: str) -> None:
        if sys.stderr.isatty():
            print(text, file=sys.stderr)

    found = study(
        policy, Fleet(sets=args.fleet), replicas=args.rollouts, bad_replicas=args.bad_rollouts,
        seed=args.seed, progress=tell,
    )  # fmt: skip
    print(found.table().text())
    print(found.verdict)
    if args.out:
        title = "Lumavox rollout: what a policy is worth"
        page = as_page(title, [found.verdict], [found.table(), found.plot()])
        replace_file(args.out / "rollout.html", page)
        replace_file(args.out / "rollout.md", f"# {title}\n\n{found.verdict}\n\n{found.table().markdown()}")
        replace_file(args.out / "rollout.json", json.dumps(found.as_json(), indent=1, sort_keys=True) + "\n")
        print(f"open {args.out / 'rollout.html'}")
    return 0 if found.holds else 1


def _needed(args: argparse.Namespace, name: str) -> str:
    value = getattr(args, name)
    if value is None:
        raise OptionError(f"rollout {args.action} needs --{name}")
    return str(value)
