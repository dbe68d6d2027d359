"""``lumavox update``: models in the field: what the repository has, install, and the way back.

One settings file (``--settings``, docs/update.md) says where everything is. Exit codes: 0 done, 1 there is
nothing to install or it was refused, 2 wrong use or an error.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumavox.cli._output import add_json_flag, print_json, table

if TYPE_CHECKING:
    from lumavox.update.updates import Offer, Updates

HELP = "check for, install, commit or roll back models"

ACTIONS = {
    "check": "ask the repository what it has for this device, and whether it may run here",
    "install": "get, verify and self-test what is new, start it on trial; go back from what is recalled",
    "status": "which model starts, which is on trial, what was set aside",
    "commit": "end the trial: the new model stays",
    "rollback": "start the model before from now on",
}
DEFAULT_SETTINGS = Path("/etc/lumavox/update.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS, help="; ".join(f"{k}: {v}" for k, v in ACTIONS.items()))
    parser.add_argument("models", nargs="*", metavar="MODEL", help="ids (default: those of the settings)")
    parser.add_argument("--settings", type=Path, default=DEFAULT_SETTINGS, metavar="FILE")
    parser.add_argument("--reason", default="asked for", help="why, for rollback")
    add_json_flag(parser)


def run(args: argparse.Namespace) -> int:
    """0, or 1 if what was asked for did not happen."""
    from lumavox.errors import OptionError
    from lumavox.update.updates import Updates

    with Updates.open(args.settings) as updates:
        models = args.models or list(updates.settings.models)
        if not models:
            raise OptionError(f"name a model, or list `models` in {args.settings}")
        if args.action in ("check", "install"):
            return _offers(updates, models, args)
        for id in models:
            if args.action == "commit":
                updates.commit(id)
            elif args.action == "rollback":
                updates.rollback(id, args.reason)
        return _status(updates, models, args.json)


def _offers(updates: Updates, models: list[str], args: argparse.Namespace) -> int:
    offers = updates.check_all(models)
    wanted = [offer for offer in offers if offer.installable]
    if args.action == "install":
        for offer in wanted:
            updates.install(offer)
        for offer in (offer for offer in offers if offer.recalled):
            updates.recall(offer)
    rows = [_offer(offer, args.action == "install") for offer in offers]
    if args.json:
        print_json({"device": updates.device.digest(), "models": rows})
    else:
        print(table(("model", "version", "answer", "what"), (tuple(r.values())[:4] for r in rows)))
    return 0 if wanted or any(offer.recalled for offer in offers) else 1


def _offer(offer: Offer, installed: bool) -> dict[str, Any]:
    release = offer.found.release if offer.found else None
    what = offer.note
    if installed and (offer.installable or offer.recalled):
        what = f"on trial: {what}" if offer.installable else f"rolled back: {what}"
    return {
        "model": offer.id,
        "version": release.model.version if release else None,
        "answer": offer.answer.verdict.value if offer.answer else None,
        "what": what,
        "installable": offer.installable,
        "reasons": offer.answer.reasons if offer.answer else (),
    }


def _status(updates: Updates, models: list[str], as_json: bool) -> int:
    from lumavox.errors import UpdateError
    from lumavox.update._state import State

    rows = []
    for id in models:
        slots = updates.slots(id)
        bootable = slots.bootable()
        try:
            state = slots.state()
        except UpdateError:  # bootable.problems has it
            state = State()
        trial = state.trial
        rows.append(
            {
                "model": id,
                "starts": f"{bootable.bundle.version} ({bootable.source})",
                "trial": f"{trial.healthy} of {trial.needed} healthy sessions" if trial else "none",
                "set_aside": ", ".join(f"{s.digest[:16]}: {s.reason}" for s in state.set_aside) or "none",
                "slots": {name: one.release.model.version for name, one in state.slots.items()},
                "counter_floor": state.counter_floor,
                "problems": bootable.problems,
            }
        )
    if as_json:
        print_json({"device": updates.device.digest(), "models": rows})
    else:
        print(f"this combination of chip, board, firmware, drivers, engines: {updates.device.digest()}")
        print(table(("model", "starts", "trial", "set aside"), (tuple(r.values())[:4] for r in rows)))
        for problem in (p for r in rows for p in r["problems"]):  # type: ignore[attr-defined]
            print(f"problem  {problem}")
    return 0
