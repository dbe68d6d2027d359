"""Whose fault an exception or a crash is, by its class and by whose code it was in. Used by ``rules``."""

from __future__ import annotations

from types import MappingProxyType

from .cell import Culprit, Status

DRIVER, MODEL, RUNTIME, HARNESS = Culprit.DRIVER, Culprit.MODEL, Culprit.RUNTIME, Culprit.HARNESS

_ERRORS = MappingProxyType(
    {
        "EngineError": DRIVER,
        "BundleSelfCheckError": DRIVER,  # the exporter's engine computed something else
        "MemoryError": DRIVER,
        "BackendUnavailableError": HARNESS,  # the lab has declared an engine that is not there
        "MissingExtraError": HARNESS,
        "BundleIntegrityError": HARNESS,  # it was in order when it was pushed
        "BundleSignatureError": HARNESS,
        "BundleNotFoundError": HARNESS,
        "BundleVersionError": RUNTIME,  # too old on the device
        "BundleFormatError": MODEL,
        "BundleTaskError": MODEL,
    }
)


def of_error(text: str) -> tuple[Culprit, Status]:
    """Of a phase's error (``"EngineError: ..."``); the status is ERROR where it is the harness."""
    culprit = _ERRORS.get(text.partition(":")[0], RUNTIME)
    return culprit, Status.ERROR if culprit is HARNESS else Status.FAIL


def of_crash(phase: str, stderr: str) -> Culprit:
    """Of a process that died or hung in a phase. In the stream the stack that Python leaves on a crash tells
    whether the engine was being called; before it nothing but the engine runs. A process that dies without
    a stack (abort, kill) or hangs was in foreign code: the runtime is Python, which does neither."""
    if phase != "stream":
        return DRIVER
    _, crashed, stack = stderr.partition("Fatal Python error")
    if not crashed:
        _, crashed, stack = stderr.partition("Traceback (most recent call last)")
    if not crashed:
        return DRIVER
    own = stack.partition("most recent call first")[2] or stack
    own = own.split("\n\n")[0]  # the thread that crashed comes first
    return DRIVER if "/backends/" in own else RUNTIME
