"""The ``lumavox-matrix`` command: one file of this folder per subcommand, found by its name.

A subcommand is a module with ``HELP`` (one line), ``add_arguments(parser)`` and ``run(args) -> int`` (the
exit code). Files that begin with an underscore are shared helpers.

Exit codes: 0 done, 1 something failed (each subcommand says what), 2 wrong use or an error of
``lumavox.errors``, 130 Ctrl-C.
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

__all__ = ["command", "commands", "main"]

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
PROG = "lumavox-matrix"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; ``argv`` defaults to the process's arguments. Returns the exit code."""
    try:
        return _dispatch(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        print(f"{PROG}: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (LumavoxError, OSError) as error:
        print(f"{PROG}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return WRONG_USE


def commands() -> list[str]:
    """The names of the subcommands, which are the files of this folder."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def command(name: str) -> ModuleType:
    """The module of the subcommand ``name``."""
    return importlib.import_module(f"{__name__}.{name}")


class _Parser(argparse.ArgumentParser):
    """argparse, with wrong use raised as an `OptionError` in place of a usage text and an exit."""

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message} (see `{self.prog} --help`)")


def _dispatch(arguments: list[str]) -> int:
    names = commands()
    name = next((a for a in arguments if not a.startswith("-")), None)
    if name is not None and name not in names:
        raise OptionError.unknown("subcommand", name, names)
    parser = _Parser(prog=PROG, description="Prove models on many devices.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    parser.set_defaults(command=None)
    choices = parser.add_subparsers(metavar="COMMAND", title="commands", parser_class=_Parser)
    for each in names:
        module = command(each)
        sub = choices.add_parser(each, help=module.HELP, description=module.HELP, allow_abbrev=False)
        module.add_arguments(sub)
        sub.set_defaults(command=each)
    args = parser.parse_args(arguments)
    if args.command is None:
        parser.print_help()
        return WRONG_USE
    code = int(command(args.command).run(args))
    sys.stdout.flush()  # so that a closed pipe is met here, not at exit
    return code
