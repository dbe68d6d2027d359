"""SIGKILL at any file-system call of a real update from a real server: one whole, verified model starts.

`update_killed` does it; here is what has to hold. A medium that also loses what was not flushed is simulated
in the runtime's tests (`test_update_power_cut`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf", reason="updates need tuf, which is in lumavox[update]")

from update_world import DEVICE, MODEL, World

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def kills(folder: Path, calls: list[int], random: int, go_on_every: int) -> list[dict[str, Any]]:
    """One entry per kill, checked: what starts is whole, and is what was before or after the step."""
    with World(folder / "world") as world, pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUMAVOX_MODELS", str(world.factory))
        world.publish("1.0.0")
        with world.updates() as updates:
            updates.install(updates.check(MODEL))
            updates.commit(MODEL)
        world.repository.delegate("any")
        world.publish("1.1.0", "any", manifest={"release_counter": 2})
        world.publish("1.2.0", manifest={"release_counter": 3})
        (folder / "place").mkdir()
        job = {
            "url": world.server.url,
            "root": str(world.root),
            "key": str(world.key),
            "store": str(folder / "world" / "store"),
            "place": str(folder / "place"),
            "device": {"soc_model": DEVICE.soc_model, "chipset": "any", "engines": {"virtual": "1"}},
            "calls": calls,
            "random": random,
            "seed": 1,
            "go_on_every": go_on_every,
        }
        (folder / "job.json").write_text(json.dumps(job))
        paths = [str(ROOT / part) for part in ("sdk", "export", "sdk/tests", "export/tests")]
        done = subprocess.run(
            [sys.executable, str(HERE / "update_killed.py"), str(folder / "job.json")],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for one in found:
        assert one["problems"] == [], one
        assert one["starts"] in one["may_start"], one
        if "later" in one:
            assert (one["later"], one["later_problems"]) == ("1.1.0", []), one
    return found


def test_an_update_that_is_killed_leaves_a_whole_model(tmp_path):
    """Some calls spread over the whole life; every call is in the slow test."""
    found = kills(tmp_path, calls=list(range(3, 260, 24)), random=2, go_on_every=4)
    assert len(found) >= 8
    assert {one["steps"] for one in found} >= {0, 1, 3}


@pytest.mark.slow
def test_an_update_that_is_killed_at_every_call_leaves_a_whole_model(tmp_path):
    """Every file-system call of the life, and random moments: 500 kills and more."""
    found = kills(tmp_path, calls=[], random=250, go_on_every=5)
    assert len([one for one in found if one["call"]]) >= 250
    assert len(found) >= 500
    assert {one["steps"] for one in found} >= {0, 1, 2, 3, 4}
