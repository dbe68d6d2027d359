"""Errors of training and export, on top of the runtime's tree (``lumavox.errors``).

LumavoxError
├── DatasetError     a dataset may not be used: a file is absent, altered, or without a licence
├── RecipeError      a recipe that cannot be read, or asks for something impossible
├── StageError       a stage lacks its input, cannot resume, or diverged
├── GraphError       a network that cannot be exported as it is drawn
├── ParityError      two forms of one network differ by more than their tolerance
└── TargetError      a network is not compiled for a target
    ├── TargetUnavailableError   the target's tool is not here; names the install command
    ├── RefusedError             an operator breaks a rule of the target; names the rewrite that would help
    ├── ToolError                the vendor's tool failed, crashed or did not end in time
    └── CacheError               the cache of compiled files cannot be written
"""

from __future__ import annotations

from lumavox.errors import LumavoxError


class DatasetError(LumavoxError):
    """A dataset may not be used: a file is absent, altered, or without a licence."""


class GraphError(LumavoxError):
    """A graph is wired wrongly, or holds something that a format or precision cannot express."""


class ParityError(LumavoxError):
    """Two forms of one network differ by more than the tolerance written in its contract."""


class RecipeError(LumavoxError):
    """A recipe cannot be read or asks for something impossible."""


class StageError(LumavoxError):
    """A stage lacks its input, cannot resume, or diverged."""


class TargetError(LumavoxError):
    """A network is not compiled for a target."""


class TargetUnavailableError(TargetError):
    """The tool that a target needs is not on this machine."""


class RefusedError(TargetError):
    """A network holds what a target cannot take; the message names operator, rule and helpful rewrite."""


class ToolError(TargetError):
    """A vendor's tool failed, crashed, or was ended after its time limit."""


class NotCompiledError(TargetError):
    """It was asked for what is in the cache, and this is not."""


class CacheError(TargetError):
    """The cache of compiled files cannot be read or written."""
