"""``lumavox verify``: every check of a bundle with its result, the golden vectors on every engine included.

The checks are those that opening a bundle makes, in their order; after the first refusal the rest is not
reached, because it would read what nobody vouches for.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lumavox.cli._output import add_json_flag, print_json, table

if TYPE_CHECKING:
    from lumavox.bundle import Bundle
    from lumavox.signing import TrustedKeys

HELP = "check a bundle: signature, digests, contents, and its golden vectors on every engine"

PASSED, REFUSED, NOT_RUN = "passed", "refused", "not run"


@dataclass(frozen=True)
class Check:
    """One check: ``result`` is ``passed``, ``refused`` or ``not run``."""

    name: str
    result: str
    detail: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE", help="an id such as de/base, or a folder or zip")
    parser.add_argument(
        "--key",
        metavar="PEM",
        action="append",
        type=Path,
        help="trust this public key, in place of those shipped with lumavox (may be repeated)",
    )
    parser.add_argument("--allow-unsigned", action="store_true", help="accept a bundle without a signature")
    add_json_flag(parser)


def run(args: argparse.Namespace) -> int:
    """0 if every check that could be run passed, 1 if the bundle is refused."""
    from lumavox.catalog import find_bundle
    from lumavox.signing import TrustedKeys

    path = find_bundle(args.bundle)  # a wrong name is wrong use (exit code 2), not a refused bundle
    trusted = TrustedKeys.of(*(key.read_bytes() for key in args.key)) if args.key else None
    checks = list(_checks(path, trusted, args.allow_unsigned))
    refused = any(check.result == REFUSED for check in checks)
    if args.json:
        print_json({"bundle": path, "accepted": not refused, "checks": checks})
    else:
        print(table(("check", "result", "detail"), ((c.name, c.result, c.detail) for c in checks)))
        print(f"{path}: {'refused' if refused else 'accepted'}")
    return int(refused)


def _checks(path: Path, trusted: TrustedKeys | None, allow_unsigned: bool) -> Iterator[Check]:
    from lumavox._bundle_rules import verify_files
    from lumavox.bundle import Bundle, read_files
    from lumavox.errors import BundleError, BundleIntegrityError, BundleSignatureError

    try:
        files = read_files(path)
    except BundleError as error:
        yield Check("files", REFUSED, str(error))
        return
    yield Check("files", PASSED, f"{len(files)} files, {sum(map(len, files.values()))} bytes")

    try:
        signed_by = verify_files(files, str(path), trusted, allow_unsigned)
    except BundleSignatureError as error:
        yield Check("signature", REFUSED, str(error))
        return
    except BundleIntegrityError as error:  # digests are compared once the list of them is vouched for
        yield Check("signature", PASSED, "of the manifest")
        yield Check("digests", REFUSED, str(error))
        return
    except BundleError as error:
        yield Check("manifest", REFUSED, str(error))
        return
    yield Check("signature", PASSED, f"key {signed_by}" if signed_by else "unsigned, which was allowed")
    yield Check("digests", PASSED, "every file is as the manifest says")

    try:
        bundle = Bundle.open(path, trusted_keys=trusted, allow_unsigned=allow_unsigned)
    except BundleError as error:
        yield Check("contents", REFUSED, str(error))
        return
    yield Check("contents", PASSED, f"{bundle.id} {bundle.version}, digest {bundle.digest[:16]}")
    yield from _golden_checks(bundle)


def _golden_checks(bundle: Bundle) -> Iterator[Check]:
    """Each variant on each backend that reads its format."""
    from lumavox import backends
    from lumavox.errors import LumavoxError
    from lumavox.session import Session

    for variant in bundle.variants:
        name, golden = f"golden {variant.name}", variant.golden
        limit = f"{golden.max_lsb} LSB" if golden.max_lsb is not None else f"{golden.max_abs:g}"
        alone = replace(bundle, variants=(variant,))
        for backend in backends.available():
            if backend.engine != variant.engine:
                continue
            probe = backend.probe()
            if not probe.usable:
                yield Check(name, NOT_RUN, f"{backend.name}: {probe.reason}")
                continue
            try:
                with Session.open(alone, backend=backend.name) as session:
                    yield Check(name, PASSED, f"within {limit} on {session.engine.description}")
            except LumavoxError as error:
                yield Check(name, REFUSED, str(error))
