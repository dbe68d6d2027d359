"""Lives an update over and over and kills it with SIGKILL at a file-system call, or after a random time.

    python update_killed.py JOB.json        one JSON line per kill: what started afterwards, what may

A process of its own with one thread, because it forks: every life is a child with real downloads from a
real server (in the test's process), TUF's own writes included. No test itself; `test_update_kills` runs it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import tuf.ngclient  # noqa: F401  imported here once, not in every child
import urllib3  # noqa: F401

from lumavox.telemetry import SCHEMA, TelemetryRecord
from lumavox.update.client import Limits
from lumavox.update.device import Device
from lumavox.update.health import Health
from lumavox.update.self_test import SelfTest
from lumavox.update.updates import Settings, Updates

MODEL = "sr/tiny"
STARTS = ("1.0.0", "1.1.0", "1.1.0", "1.1.0", "1.2.0", "1.1.0")
"""Before the life, and after each of its steps."""

FILE_SYSTEM = {
    *("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.truncate"),
    *("os.listdir", "os.scandir"),
}


def updates(job: dict[str, Any], store: Path, chipset: str = "rk3588") -> Updates:
    settings = Settings(
        store=store,
        metadata_url=f"{job['url']}/metadata",
        targets_url=f"{job['url']}/targets",
        root=Path(job["root"]),
        keys=(Path(job["key"]),),
        healthy_sessions=2,
        limits=Limits(check_s=60, silence_s=60),
        health=Health(min_frames=1),
    )
    device = replace(Device(**job["device"]), chipset=chipset)
    return Updates(settings, device, test=lambda *_, **__: SelfTest(True, "not asked here"))


def live(job: dict[str, Any], store: Path, done: Callable[[], None]) -> None:
    """Install 1.1.0, two healthy sessions commit it, install 1.2.0, a watchdog trips, 1.1.0 is back."""
    record = TelemetryRecord(SCHEMA, "1", "sr", "active", frames_in=9, frames_enhanced=9, frames_bypassed=0)
    with updates(job, store, "any") as device:
        install(device)
        done()
        for _ in range(2):
            with device.session(MODEL) as session:
                session.finish(record)
            done()
    with updates(job, store) as device:
        install(device)
        done()
        with device.session(MODEL) as session:
            session.trip("the watchdog tripped")
        done()


def install(device: Updates) -> None:
    offer = device.check(MODEL)
    if offer.installable:
        device.install(offer)


def die_at(call: int, store: Path) -> None:
    """End this process at the ``call``-th file-system call below ``store``."""
    left, root = [call], str(store)

    def count(event: str, args: tuple[Any, ...]) -> None:
        if event in FILE_SYSTEM and args and str(args[0]).startswith(root):
            tick()

    def tick() -> None:
        left[0] -= 1
        if left[0] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def ticking(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any) -> Any:
            tick()
            return function(*args)

        return wrapped

    sys.addaudithook(count)
    os.fsync = ticking(os.fsync)
    fcntl.flock = ticking(fcntl.flock)


def kill(job: dict[str, Any], store: Path, call: int | None, after_s: float | None) -> tuple[bool, int]:
    """One life; (whether it was killed, steps that were done)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with contextlib.suppress(BaseException):
            if call is not None:
                die_at(call, store)
            live(job, store, lambda: os.write(writer, b"."))
            os._exit(0)
        os._exit(1)
    os.close(writer)
    if after_s is not None:
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)
    steps = 0
    while select.select([reader], [], [], 60)[0] and (data := os.read(reader, 64)):
        steps += len(data)
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError(f"a life ended by an error at call {call}, after {steps} steps")
    return os.WIFSIGNALED(status), steps


def verdict(job: dict[str, Any], store: Path, steps: int, go_on: bool) -> dict[str, Any]:
    """What starts after the kill; with ``go_on`` the life is lived again on top of what was left."""
    bootable = updates(job, store).slots(MODEL).bootable()
    found: dict[str, Any] = {
        "starts": bootable.bundle.version,
        "may_start": sorted(set(STARTS[steps : steps + 2])),
        "problems": list(bootable.problems),
    }
    if go_on:
        live(job, store, lambda: None)
        later = updates(job, store).boot(MODEL)
        found["later"], found["later_problems"] = later.bundle.version, list(later.problems)
    return found


def main(job_file: str) -> None:
    job = json.loads(Path(job_file).read_text())
    place, luck = Path(job["place"]), random.Random(job["seed"])
    calls: list[int | None] = job["calls"] or list(range(1, 10_000))
    store = place / "whole"
    shutil.copytree(job["store"], store, symlinks=True)
    begun = time.monotonic()
    kill(job, store, None, None)
    life_s = time.monotonic() - begun
    jobs = [(call, None) for call in calls] + [(None, luck.uniform(0, life_s)) for _ in range(job["random"])]
    ended = False
    for number, (call, after_s) in enumerate(jobs):
        if ended and call is not None:
            continue
        store = place / str(number)
        shutil.copytree(job["store"], store, symlinks=True)
        killed, steps = kill(job, store, call, after_s)
        ended = ended or (call is not None and not killed)
        if killed:
            found = verdict(job, store, steps, go_on=number % job["go_on_every"] == 0)
            print(json.dumps({"call": call, "after_s": after_s, "steps": steps, **found}), flush=True)
        shutil.rmtree(store)


if __name__ == "__main__":
    main(sys.argv[1])
