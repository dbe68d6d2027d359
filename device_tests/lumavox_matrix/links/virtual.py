"""A scripted device: this machine, with the faults of a lab on demand. For virtual chipsets.

[[links]]
kind = "virtual"
options = { disconnect_after_s = 0.5 }
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..cell import Rung
from . import local
from ._warm import WarmRun
from .base import Finished, LinkError, LinkTimeout

__all__ = ["Link", "Options"]

RUNNER = "payload/runner.pyz"


@dataclass(frozen=True)
class Options:
    """Faults of the lab; none by default."""

    python: str = sys.executable
    unreachable: bool = False  # nobody answers
    disconnect_after_s: float | None = None  # of a command; the device stays away for good
    disconnect_on_pull: bool = False
    slow_push_s: float = 0.0
    push_timeout: bool = False  # the transport gives up while copying
    truncate_pull_bytes: int | None = None  # only so many bytes arrive
    lose_record: bool = False  # the file is not there any more
    stale_record: str | None = None  # this file's bytes come instead
    full_disk: bool = False  # a push fails
    warm: bool = True  # run in a fork of a warm interpreter, where the command is the runner


class Link(local.Link):
    """`local`, disturbed."""

    kind = "virtual"
    rung = Rung.SIMULATED

    def __init__(self, options: Options) -> None:
        self._faults = options
        if options.unreachable:
            raise LinkError("virtual: nobody answers")
        super().__init__(local.Options(python=options.python))
        self._gone = False
        self._warm = WarmRun()
        self._warms = options.warm and options.python == sys.executable and hasattr(os, "pidfd_open")

    def push(self, source: Path, name: str) -> None:
        self._require_here()
        if self._faults.push_timeout:
            raise LinkTimeout(f"virtual: copying {name!r} took too long")
        if self._faults.full_disk:
            raise LinkError(f"virtual: copying {name!r} failed: no space left on device")
        time.sleep(self._faults.slow_push_s)
        super().push(source, name)

    def pull(self, name: str, target: Path) -> bool:
        self._require_here()
        if self._faults.disconnect_on_pull:
            self._gone = True
        self._require_here()
        if self._faults.lose_record:
            return False
        found = super().pull(name, target)
        if found and self._faults.stale_record is not None:
            target.write_text(self._faults.stale_record)
        if found and self._faults.truncate_pull_bytes is not None:
            os.truncate(target, self._faults.truncate_pull_bytes)
        return found

    def run(
        self, command: Sequence[str], *, timeout_s: float, env: Mapping[str, str] | None = None
    ) -> Finished:
        self._require_here()
        after_s = self._faults.disconnect_after_s
        timer = threading.Timer(after_s, self._disconnect) if after_s is not None else None
        if timer is not None:
            timer.start()
        try:
            if self._warms and list(command[:2]) == [self.python, RUNNER]:
                done = self._warm.run(command[2:], self._folder, env or {}, timeout_s)
            else:
                done = super().run(command, timeout_s=timeout_s, env=env)
        finally:
            if timer is not None:
                timer.cancel()
        self._require_here()
        return done

    def kill(self) -> None:
        self._warm.kill()
        super().kill()

    def _disconnect(self) -> None:
        self._gone = True
        self.kill()

    def _require_here(self) -> None:
        if self._gone:
            raise LinkError("virtual: the device went away")
