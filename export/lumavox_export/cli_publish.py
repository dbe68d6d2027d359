"""The subcommand ``lumavox-export publish``: the repository that devices update their models from.

lumavox-export publish init REPO --keys DIR                      new keys, empty repository, trust anchor
lumavox-export publish delegate REPO --keys DIR CHIPSET          a key that may publish for this chipset only
lumavox-export publish add REPO --keys DIR CHIPSET BUNDLE…       sign and publish bundles
lumavox-export publish amend REPO --keys DIR CHIPSET MODEL --share 0.05    offer it to that share of the fleet
lumavox-export publish withdraw REPO --keys DIR CHIPSET MODEL    offer it to nobody any more
lumavox-export publish sign REPO --keys DIR                      daily: new expiry of snapshot and timestamp
lumavox-export publish renew REPO --keys DIR ROLE                new expiry of root, targets or a chipset
lumavox-export publish rotate REPO --keys DIR ROLE               another key; root is signed by old and new
lumavox-export publish list REPO                                 what is offered, and what expires when

REPO/metadata and REPO/targets go to any web server. Walk-through: docs/update.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumavox.errors import MissingExtraError, OptionError

if TYPE_CHECKING:
    from .publish.repository import ModelRepository


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    publish = commands.add_parser("publish", help="the repository that devices update from")
    actions = publish.add_subparsers(dest="action", required=True, metavar="ACTION")
    _action(actions, "init", _init, "new keys, an empty repository, the trust anchor for devices")
    delegate = _action(actions, "delegate", _delegate, "a key that may publish for one chipset only")
    delegate.add_argument("chipset", help="or any: models for every chipset")
    adding = _action(actions, "add", _add, "sign and publish bundles")
    adding.add_argument("chipset")
    adding.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE", help="folder or zip")
    adding.add_argument("--manifest", type=Path, metavar="FILE", help="JSON: requires, evidence, fallbacks…")
    adding.add_argument("--expires-days", type=int, default=180, help="not installed any more afterwards")
    adding.add_argument("--share", type=float, default=1.0, help="of the fleet that it is offered to, 0 to 1")
    adding.add_argument("--trust", type=Path, action="append", default=[], metavar="PEM", help="bundle key")
    amend = _action(actions, "amend", _amend, "change the share, or name devices that a model fails on")
    amend.add_argument("chipset")
    amend.add_argument("model", help="id")
    amend.add_argument("--share", type=float)
    amend.add_argument("--bad-firmware", metavar="GLOB", help="builds it fails on")
    amend.add_argument("--bad-device", metavar="DIGEST", help="a combination that it fails on")
    amend.add_argument("--reason", default="")
    amend.add_argument("--issue", default="")
    withdraw = _action(actions, "withdraw", _withdraw, "offer a model to nobody any more")
    withdraw.add_argument("chipset")
    withdraw.add_argument("model", help="id")
    _action(actions, "sign", _sign, "new signatures of snapshot and timestamp: what a daily job runs")
    for name, run, words in (
        ("renew", _renew, "new signature and expiry of a role"),
        ("rotate", _rotate, "another key for a role"),
    ):
        _action(actions, name, run, words).add_argument("role", help="root, targets, …, or a chipset")
    _action(actions, "list", _list, "what is offered, and what expires when")


def _action(
    actions: Any, name: str, run: Callable[[ModelRepository, argparse.Namespace], str], words: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=words)
    parser.add_argument("repository", type=Path, metavar="REPO")
    parser.add_argument(
        "--keys",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="folder of private keys (may be repeated; new keys go into the first)",
    )
    parser.set_defaults(run=_run, act=run)
    return parser


def _run(args: argparse.Namespace) -> int:
    try:
        from .publish.keyring import Keyring
        from .publish.repository import ModelRepository
    except ImportError as cause:
        raise MissingExtraError("tuf", "update", "Publishing models") from cause
    if not args.keys and args.act is not _list:
        raise OptionError("give the folder of the private keys by --keys; it is never inside REPO")
    if any(args.repository.resolve() in (k.resolve(), *k.resolve().parents) for k in args.keys):
        raise OptionError("--keys is inside REPO, which goes to a web server; keep private keys elsewhere")
    keyring = Keyring(*args.keys)
    if args.act is _init:
        repository = ModelRepository.init(args.repository, keyring)
    else:
        repository = ModelRepository(args.repository, keyring)
        if not (args.repository / "metadata" / "root.json").is_file():
            raise OptionError(f"{args.repository} is not a repository; make one by: publish init")
    print(args.act(repository, args))
    return 0


def _init(repository: ModelRepository, args: argparse.Namespace) -> str:
    anchor = args.repository / "metadata" / "root.json"
    return f"empty repository in {args.repository}; put {anchor} into the system image of devices"


def _delegate(repository: ModelRepository, args: argparse.Namespace) -> str:
    repository.delegate(args.chipset)
    return f"{args.chipset}: has a key of its own in {args.keys[0]}"


def _add(repository: ModelRepository, args: argparse.Namespace) -> str:
    from lumavox._parse import load_json
    from lumavox.signing import TrustedKeys

    manifest = load_json(args.manifest.read_bytes(), str(args.manifest)) if args.manifest else {}
    if not isinstance(manifest, dict):
        raise OptionError(f"{args.manifest}: an object of named values is expected")
    trusted = TrustedKeys.of(*(pem.read_bytes() for pem in args.trust)) if args.trust else None
    lines = []
    for bundle in args.bundles:
        release = repository.add(
            bundle,
            args.chipset,
            expires_days=args.expires_days,
            manifest=manifest,
            trusted=trusted,
            share=args.share,
        )
        model = release.model
        lines.append(f"{args.chipset}: {model.id} {model.version} is release {release.release_counter}")
    return "\n".join(lines)


def _amend(repository: ModelRepository, args: argparse.Namespace) -> str:
    from lumavox.update.release import KnownBad

    bad = None
    if args.bad_firmware or args.bad_device:
        if not (args.reason and args.issue):
            raise OptionError(
                "--bad-firmware and --bad-device need --reason and --issue: devices report both"
            )
        bad = KnownBad(
            args.reason, args.issue, firmware_build=args.bad_firmware or "*", device=args.bad_device
        )
    release = repository.amend(args.chipset, args.model, share=args.share, bad=bad)
    share, exceptions = release.share_permille / 1000, len(release.known_bad)
    return f"{args.chipset}: {args.model} is offered to {share:.1%}, with {exceptions} exceptions"


def _withdraw(repository: ModelRepository, args: argparse.Namespace) -> str:
    repository.withdraw(args.chipset, args.model)
    return f"{args.chipset}: {args.model} is offered to nobody any more"


def _sign(repository: ModelRepository, args: argparse.Namespace) -> str:
    repository.sign()
    return _expiry(repository)


def _renew(repository: ModelRepository, args: argparse.Namespace) -> str:
    repository.renew(args.role)
    return _expiry(repository)


def _rotate(repository: ModelRepository, args: argparse.Namespace) -> str:
    repository.rotate(args.role)
    return f"{args.role}: has another key in {args.keys[0]}; root is version {repository.root().version}"


def _list(repository: ModelRepository, args: argparse.Namespace) -> str:
    lines = [_expiry(repository)]
    for path, release in repository.published().items():
        model = release.model
        lines.append(
            f"{path}  {model.version}, release {release.release_counter}, {release.share_permille / 1000:.1%}"
        )
    return "\n".join(lines)


def _expiry(repository: ModelRepository) -> str:
    roles = ("root", "targets", "snapshot", "timestamp", *repository.chipsets())
    signed = {role: repository.open(role).signed for role in roles}
    return "\n".join(
        f"{role:<10} version {s.version}, expires {s.expires:%Y-%m-%d}" for role, s in signed.items()
    )
