"""The ``lumavox`` command: one file of this folder per subcommand, found by its name.

A subcommand is a module with ``HELP`` (one line), ``add_arguments(parser)`` and ``run(args) -> int`` (the
exit code). Its module level is light; engines, media libraries and models are imported inside ``run``.
Files that begin with an underscore are shared helpers.

Exit codes: 0 done, 1 refused or failed (each subcommand says what), 2 wrong use or an error of
``lumavox.errors``, 3 a fault in Lumavox itself, 130 Ctrl-C.

This is a frame around the Python API, not a place for logic of its own.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from lumavox._version import __version__
from lumavox.errors import LumavoxError, OptionError

__all__ = ["main"]

DONE, REFUSED, WRONG_USE, FAULT, INTERRUPTED = 0, 1, 2, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; ``argv`` defaults to the process's arguments. Returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        return _dispatch(arguments)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED, debug)
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (LumavoxError, OSError) as error:
        return _fail(f"error: {error}", WRONG_USE, debug)
    except Exception as error:
        hint = "" if debug else " (a fault in Lumavox: --debug shows where, `lumavox doctor` what to report)"
        return _fail(f"error: {type(error).__name__}: {error}{hint}", FAULT, debug)


def commands() -> list[str]:
    """The names of the subcommands, which are the files of this folder."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def command(name: str) -> ModuleType:
    """The module of the subcommand ``name``."""
    return importlib.import_module(f"{__name__}.{name}")


def _dispatch(arguments: list[str]) -> int:
    names = commands()
    name = next((a for a in arguments if not a.startswith("-")), None)
    if name is not None and name not in names:
        raise OptionError.unknown("subcommand", name, names)
    parser, parsers = _parser(names)
    args, extra = parser.parse_known_args(arguments)
    if args.command is None:
        parser.print_help()
        return WRONG_USE
    if extra:
        known = [o for a in parsers[args.command]._actions for o in a.option_strings]
        if extra[0].startswith("-"):
            raise OptionError.unknown("option", extra[0], known, f"lumavox {args.command}")
        raise OptionError(f"lumavox {args.command}: one argument too many: {extra[0]!r}")
    code = command(args.command).run(args)
    sys.stdout.flush()  # so that a closed pipe is met here, not at exit
    return int(code)


class _Parser(argparse.ArgumentParser):
    """argparse, with wrong use raised as an `OptionError` in place of a usage text and an exit."""

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message} (see `{self.prog} --help`)")


def _parser(names: Sequence[str]) -> tuple[_Parser, dict[str, _Parser]]:
    common = _Parser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show a traceback when something fails")
    parser = _Parser(
        prog="lumavox",
        description="Sharper pictures and clearer dialog, on the device.",
        parents=[common],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"lumavox {__version__}")
    parser.set_defaults(command=None)
    choices = parser.add_subparsers(metavar="COMMAND", title="commands", parser_class=_Parser)
    parsers: dict[str, _Parser] = {}
    for name in names:
        module = command(name)
        parsers[name] = choices.add_parser(
            name, help=module.HELP, description=module.HELP, parents=[common], allow_abbrev=False
        )
        module.add_arguments(parsers[name])
        parsers[name].set_defaults(command=name)
    return parser, parsers


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    one_line = " ".join(message.split())
    print(f"lumavox: {one_line}", file=sys.stderr)
    return code
