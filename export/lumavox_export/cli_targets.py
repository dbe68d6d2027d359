"""The subcommands of ``lumavox-export`` about NPU targets.

lumavox-export targets                               what there is, what it needs, usable here or why not
lumavox-export environment NAME                      make an isolated environment for a vendor's tool
lumavox-export lint MODEL --target NAME              which layer breaks which rule, and what would help
lumavox-export compile MODEL --target NAME|all …     compile; --write-bundle DIR puts it into a copy
lumavox-export compile --all --table docs/targets.md every shipped model for every target, as a table
                                                     (--cached: of what is compiled already, in seconds;
                                                     --target NAME: compile for these, the rest as cached)

lumavox-export mixed MODEL --target NAME --budget 0.25       16 bits where they are worth it (`cli_mixed`)
lumavox-export advise MODEL… --target NAME --budget 16.6ms   what fits, best quality first

MODEL is an id (sr/base-x2) or the path of a bundle; it is never changed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import cli_mixed

if TYPE_CHECKING:
    from lumavox.bundle import Bundle

    from .npu.compiler import Compiler, Outcome
    from .npu.environments import Environments
    from .npu.network import Network
    from .npu.presets import Preset

ALL = "all"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands."""
    targets = commands.add_parser("targets", help="the targets, and which can be used here")
    _add_environments(targets)
    targets.set_defaults(run=_run_targets)
    environment = commands.add_parser("environment", help="make an isolated environment of a vendor's tool")
    environment.add_argument("name", help="as `lumavox-export targets` says")
    _add_environments(environment)
    environment.set_defaults(run=_run_environment)
    lint = commands.add_parser("lint", help="which layer of a model breaks which rule of a target")
    lint.add_argument("model", help="id or bundle")
    lint.add_argument("--target", action="append", required=True, metavar="NAME", help="or all")
    lint.add_argument("--precision", default="int8")
    lint.set_defaults(run=_run_lint)
    compile_ = commands.add_parser("compile", help="compile a model for targets")
    compile_.add_argument("models", nargs="*", metavar="MODEL", help="id or bundle")
    compile_.add_argument("--all", action="store_true", help="every shipped model, every target and preset")
    compile_.add_argument("--target", action="append", default=[], metavar="NAME", help="or all")
    compile_.add_argument("--preset", action="append", default=[], help="default: all that fit the model")
    compile_.add_argument("--content", help="clean, streamed or any (default: every one of the model)")
    compile_.add_argument("--precision", help="int8, w8a16, float16 or float32 (default: the target's first)")
    compile_.add_argument("--out", type=Path, metavar="DIR", help="copy the compiled files there")
    compile_.add_argument("--write-bundle", type=Path, metavar="DIR", help="a copy of the bundle with them")
    compile_.add_argument("--key", type=Path, help="signing key of that copy; without one it is unsigned")
    compile_.add_argument("--table", type=Path, metavar="FILE", help="write a table of them on all targets")
    compile_.add_argument("--cached", action="store_true", help="what was compiled before, call no tool")
    compile_.set_defaults(run=_run_compile)

    advise = commands.add_parser("advise", help="which model and size fits a time budget on a target")
    advise.add_argument(
        "models", nargs="+", metavar="MODEL", help="id or bundle; sr or de: every shipped one"
    )
    advise.add_argument("--target", required=True)
    advise.add_argument("--budget", required=True, help="of one picture or hop: 16.6ms, or 60fps")
    advise.add_argument("--preset", action="append", default=[], help="default: all that fit the models")
    advise.add_argument("--predict", action="store_true", help="by the cost model, nothing is compiled")
    advise.set_defaults(run=_run_advise)
    for command in (compile_, advise, cli_mixed.add(commands)):
        command.add_argument(
            "--cache", type=Path, metavar="DIR", help="compiled before (default: ~/.cache/lumavox)"
        )
        command.add_argument("--timeout", type=float, default=600.0, metavar="S", help="of each tool call")
        _add_environments(command)


def _add_environments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--environments", type=Path, metavar="DIR", help="isolated environments (default: ~/.cache/lumavox)"
    )


def _environments(args: argparse.Namespace) -> Environments:
    from .npu.environments import Environments

    return Environments(args.environments) if args.environments else Environments.default()


def _run_targets(args: argparse.Namespace) -> int:
    from . import targets

    environments = _environments(args)
    rows = []
    for family in targets.families().values():
        for target in family.TARGETS:
            here = family.availability(target, environments)
            status = "usable" if here.usable else "SKIP"
            reason = here.reason + (f"; make it so with: {here.install}" if here.install else "")
            rows.append((target.name, target.description, "/".join(target.precisions), status, reason))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join([*(text.ljust(width) for text, width in zip(row, widths)), row[4]]))
    return 0


def _run_environment(args: argparse.Namespace) -> int:
    environments = _environments(args)
    print(f"environment {args.name} is in {environments.create(args.name)}")
    return 0


def _run_lint(args: argparse.Namespace) -> int:
    from . import targets
    from .npu.lint import lint
    from .npu.network import networks

    broken = 0
    for network in networks(_open(args.model), args.precision):
        fixed = network.fixed(network.presets()[0]) if network.presets() else network
        for name in _names(args.target):
            target, _ = targets.get(name)
            findings = lint(fixed, target)
            broken += len(findings)
            print(f"{network.model} {network.content} for {name}: {len(findings) or 'no'} findings")
            for finding in findings:
                print(f"  {finding}")
    return 1 if broken else 0


def make_compiler(args: argparse.Namespace) -> Compiler:
    """The compiler that ``--cache``, ``--environments`` and ``--timeout`` ask for."""
    from .npu.cache import Cache
    from .npu.compiler import Compiler
    from .npu.environments import default_folder

    cache = Cache(args.cache or default_folder() / "compiled")
    return Compiler(cache, _environments(args), args.timeout, getattr(args, "cached", False))


def _run_advise(args: argparse.Namespace) -> int:
    from lumavox.catalog import find_bundle, shipped_bundles

    from .evaluation import table_of
    from .npu.advise import advise

    paths = []
    for model in args.models:
        shipped = [path for path in shipped_bundles() if path.parent.parent.name == model]
        paths += shipped or [find_bundle(model)]
    models = [(_open(path), path) for path in paths]
    advice = advise(
        models,
        make_compiler(args),
        _names([args.target])[0],
        _budget_ms(args.budget),
        presets=args.preset,
        predict=args.predict,
    )
    rows = []
    for candidate in (*advice.fitting, *advice.others):
        total = candidate.total_ms
        rows.append(
            [
                "fits" if candidate in advice.fitting else "no",
                candidate.model,
                candidate.content,
                candidate.preset,
                "not known"
                if total is None
                else f"{total:.3g}" + (" predicted" if candidate.predicted else ""),
                candidate.unit if candidate.quality is None else f"{candidate.quality:.2f} {candidate.unit}",
                candidate.note,
            ]
        )
    print(f"{advice.target}, at most {advice.budget_ms:g} ms:")
    print(table_of(["", "model", "content", "preset", "ms", "quality", "note"], rows))
    for remark in advice.remarks:
        print(remark)
    return 0


def _budget_ms(text: str) -> float:
    from lumavox.errors import OptionError

    for unit, convert in (("ms", lambda v: v), ("fps", lambda v: 1e3 / v)):
        if text.endswith(unit):
            try:
                value = float(text[: -len(unit)])
            except ValueError:
                break
            if 0 < value < float("inf"):
                return float(convert(value))
    raise OptionError(f"--budget {text}: give milliseconds (16.6ms) or pictures per second (60fps)")


def _run_compile(args: argparse.Namespace) -> int:
    from lumavox.catalog import find_bundle, shipped_bundles
    from lumavox.errors import OptionError

    compiler = make_compiler(args)
    if args.all == bool(args.models):
        raise OptionError("give models to compile, or --all for every shipped one")
    bundles = [_open(model) for model in (args.models or shipped_bundles())]
    if args.table is not None:
        paths = [find_bundle(model) for model in (args.models or shipped_bundles())]
        return _write_table(list(zip(bundles, paths)), compiler, _names(args.target), args.table)
    if not args.target and not args.all:
        raise OptionError("give --target NAME (`lumavox-export targets` lists them) or --target all")
    if args.write_bundle is not None and len(bundles) != 1:
        raise OptionError("--write-bundle takes one model")
    failed = 0
    for bundle in bundles:
        outcomes, wrong = _compile(bundle, compiler, args)
        failed += wrong
        for outcome in outcomes if args.out is not None else ():
            copy(outcome, args.out)
        if args.write_bundle is not None and not wrong:
            _write_bundle(bundle, outcomes, args)
    return 2 if failed else 0


def _compile(bundle: Bundle, compiler: Compiler, args: argparse.Namespace) -> tuple[list[Outcome], int]:
    """What was compiled, and how much was not (SKIP of targets that were not named does not count)."""
    from .errors import TargetError, TargetUnavailableError

    outcomes: list[Outcome] = []
    failed = 0
    everything = ALL in args.target or args.all
    for name in _names(args.target or [ALL]):
        for network, preset in _jobs(bundle, name, args):
            title = f"{bundle.id} {network.content} {network.precision} {preset.name} {name}"
            try:
                outcome = compiler.compile(network, preset, name)
            except TargetUnavailableError as reason:
                print(f"{title}: {reason}")
                failed += not everything
                continue
            except TargetError as reason:
                print(f"{title}: {reason}", file=sys.stderr)
                failed += 1
                continue
            outcomes.append(outcome)
            print(f"{title}: {summary(outcome)}", flush=True)
    return outcomes, failed


def _jobs(bundle: Bundle, name: str, args: argparse.Namespace) -> list[tuple[Network, Preset]]:
    from . import targets
    from .npu import presets
    from .npu.network import networks

    target, _ = targets.get(name)
    jobs = []
    for network in networks(bundle, args.precision or target.precisions[0]):
        if args.content in (None, network.content):
            known = network.presets()
            chosen = [presets.parse(p, known) for p in args.preset] or known
            jobs += [(network, preset) for preset in chosen]
    return jobs


def summary(outcome: Outcome) -> str:
    """One line about a compiled network."""
    record, compiled = outcome.record, outcome.record.compiled
    of = f"of {compiled.operators} operators"
    parts = [f"all {of} on a CPU" if compiled.rung == "measured" else f"{compiled.on_npu} {of} on the NPU"]
    for reason in dict.fromkeys(fallback.reason for fallback in compiled.fallbacks):
        left = [fallback.operator for fallback in compiled.fallbacks if fallback.reason == reason]
        named = ", ".join(left[:4]) + (f" and {len(left) - 4} more" if len(left) > 4 else "")
        parts.append(f"on the CPU: {named} ({reason})")
    if record.total_ms is None:
        parts.append(f"time not known: {compiled.unknown['npu_ms']}")
    else:
        parts.append(f"{record.total_ms:.3g} ms ({compiled.rung})")
    if record.tail_ms:
        parts.append(f"{record.tail_ms:.3g} ms of it DepthToSpace by the runtime, measured here")
    if record.tiles > 1:
        parts.append(f"{record.tiles} tiles of {record.width}x{record.height}")
    if compiled.sram_kib is not None:
        parts.append(f"SRAM {compiled.sram_kib:.0f} KiB")
    parts += [f"rewritten: {name}" for name in record.rewrites]
    parts += compiled.notes
    parts.append(
        f"{compiled.tool} {compiled.tool_version}, {'from the cache' if outcome.hit else 'compiled'}"
    )
    return "; ".join(parts)


def copy(outcome: Outcome, out: Path) -> None:
    """What was compiled into a folder below ``out``, as a whole."""
    record = outcome.record
    place = out / record.model / record.target / f"{record.content}-{record.precision}-{record.preset}"
    partial = place.with_name(f".{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(outcome.folder, partial)
    shutil.rmtree(place, ignore_errors=True)
    partial.rename(place)


def _write_bundle(bundle: Bundle, outcomes: list[Outcome], args: argparse.Namespace) -> None:
    from lumavox.signing import SigningKey

    from .npu.bundling import add_to_bundle

    key = None if args.key is None else SigningKey.load(args.key)
    folder = add_to_bundle(bundle, outcomes, args.write_bundle, key=key)
    print(f"{bundle.id} with {len(outcomes)} compiled networks is in {folder}")


def _write_table(models: list[tuple[Bundle, Path]], compiler: Compiler, names: list[str], path: Path) -> int:
    from lumavox._files import replace_file

    from .npu.table import targets_table

    text = targets_table(models, compiler, names)
    replace_file(path, text)
    print(f"{len(models)} models on every target: {path}")
    return 0


def _open(model: str | Path) -> Bundle:
    from lumavox.bundle import Bundle

    return Bundle.open(model, allow_unsigned=True)


def _names(asked: list[str]) -> list[str]:
    from . import targets

    if ALL in asked:
        return [target.name for target in targets.available()]
    return [targets.get(name)[0].name for name in asked]
