"""Engines in worker processes: whatever happens to a worker, every frame and every sample comes out.

What it costs in time is measured by benchmarks/bench_isolation.py; nothing here depends on how busy the
machine is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import bundles
import tiny_models
from lumavox import backends
from lumavox._isolation_forkserver import Forkserver
from lumavox.audio import DialogEnhancer
from lumavox.device_identity import DeviceIdentity
from lumavox.errors import EngineError, LumavoxError, OptionError
from lumavox.fault_injection import KINDS, FaultInjection
from lumavox.isolation import Isolation, probe
from lumavox.picture import Frame, PixelFormat
from lumavox.session import Session
from lumavox.video import Upscaler

pytestmark = pytest.mark.skipif(not probe().usable, reason=f"no workers here: {probe().reason}")

PATIENT_MS = 60_000.0
SIDE = 24


@pytest.fixture(autouse=True)
def _markers_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMAVOX_STATE", str(tmp_path / "state"))


@pytest.fixture(autouse=True, scope="module")
def _one_server_for_all_tests():
    """Else each test would start a Python of its own."""
    server = Forkserver.acquire()
    yield
    server.release()


def picture(number: int = 0) -> Frame:
    """A frame that no other number has."""
    frame = Frame.empty(PixelFormat.NV12, 2 * SIDE, SIDE)
    y, x = np.indices((SIDE, 2 * SIDE))
    frame.planes[0][...] = (x * 3 + y + number) % 200
    frame.planes[1][...] = 90
    frame.pts = number
    return frame


def enhanced(frame: Frame) -> np.ndarray:
    return frame.planes[0].repeat(2, axis=0).repeat(2, axis=1)


def conventional(frame: Frame) -> np.ndarray:
    size = (2 * frame.width, 2 * frame.height)
    return np.asarray(cv2.resize(frame.planes[0], size, interpolation=cv2.INTER_CUBIC))


def way(frame: Frame, out: Frame) -> str:
    """How ``frame`` came out, which must be one of two ways: nothing of another frame, and complete."""
    assert out.pts == frame.pts
    assert (out.planes[1] == 90).all()
    if (out.planes[0] == enhanced(frame)).all():
        return "e"
    assert (out.planes[0] == conventional(frame)).all()
    return "c"


def opened(folder: Path, deadline_ms: float | None = None, model: object = None, **policy) -> Upscaler:
    path = bundles.sr_bundle(folder, model={"op": "nearest", "scale": 2} | (model or {}))
    return Upscaler.open(
        path, trusted_keys=bundles.trusted(), deadline_ms=deadline_ms, isolation=Isolation(**policy)
    )


def until(condition, seconds: float = 60.0) -> None:
    """Wait for what happens in other processes and threads."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def frames_until(upscaler: Upscaler, wanted: str) -> str:
    """Process frames until one comes out as ``wanted``; how they came out."""
    ways, begun = "", time.monotonic()
    while not ways.endswith(wanted):
        frame = picture(len(ways))
        ways += way(frame, upscaler.process(frame))
        time.sleep(0.005 if len(ways) < 1000 else 0.05)  # a busy machine: leave it to the worker
        assert time.monotonic() - begun < 120
    return ways


def test_every_frame_comes_out_in_order_and_none_twice_whatever_happens_to_the_worker(tmp_path):
    """600 frames, a fault of the next kind every 20 (later where the last one is not over). Frame and pts are
    compared one by one with what the network or the filter makes of exactly this frame."""
    faults, kinds, ways = FaultInjection(), [], ""
    policy = {"faults": faults, "crash_limit": None, "start_timeout_s": 0.3, "hang_ms": 60.0}
    with opened(tmp_path, deadline_ms=8.0, **policy) as upscaler:
        while len(ways) < 600 or len(kinds) < len(KINDS):
            number = len(ways)
            ready = upscaler.worker is not None and upscaler.worker.state == "ready"
            if ready and number // 20 > len(kinds):
                kinds.append(KINDS[len(kinds) % len(KINDS)])
                faults.inject(kinds[-1])
            frame = picture(number)
            ways += way(frame, upscaler.process(frame))
            time.sleep(0.005)
            assert number < 4000
        record = upscaler.record()
    assert set(kinds) == set(KINDS)
    assert ways.count("e") > len(kinds)
    assert (record.frames_in, record.frames_enhanced) == (len(ways), ways.count("e"))
    assert record.frames_bypassed == ways.count("c") >= len(kinds) // 2
    codes = {"SR.E_WORKER_CRASH", "SR.E_WORKER_MEMORY", "SR.E_WORKER_SHARED_MEMORY", "SR.E_WORKER_HANG",
             "SR.E_WORKER_START", "SR.E_ENGINE", "SR.E_DEADLINE"}  # fmt: skip
    assert codes <= set(record.errors)


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        ("kill", "SR.E_WORKER_CRASH", "SIGKILL"),
        ("segv", "SR.E_WORKER_CRASH", "SIGSEGV"),
        ("hang", "SR.E_WORKER_HANG", "a call hung"),
        ("memory", "SR.E_WORKER_MEMORY", "memory"),
        ("corrupt", "SR.E_WORKER_SHARED_MEMORY", "spoilt"),
    ],
)
def test_the_telemetry_names_what_happened_to_the_worker(tmp_path, kind, code, words):
    """Without a deadline, where a hang is waited for, and the next frame for the new worker."""
    faults = FaultInjection()
    with opened(tmp_path, faults=faults, hang_ms=200.0) as upscaler:
        assert way(picture(1), upscaler.process(picture(1))) == "e"
        faults.inject(kind)
        assert way(picture(2), upscaler.process(picture(2))) == "c"
        assert way(picture(3), upscaler.process(picture(3))) == "e"
        assert upscaler.record().state == "active"
        assert code in upscaler.record().errors
        (restart,) = upscaler.worker.recent
        assert f"SR.{restart.code}" == code
        assert words in restart.cause
        assert restart.back_at > restart.at
        assert upscaler.worker.crashes == 1


@pytest.mark.parametrize("kind", ["nan", "black", "exception", "slow"])
def test_a_worker_that_errs_is_kept(tmp_path, kind):
    faults = FaultInjection()
    with opened(tmp_path, deadline_ms=PATIENT_MS, faults=faults) as upscaler:
        frames_until(upscaler, "e")
        pid = upscaler.worker.pid
        faults.inject(kind)
        assert way(picture(2), upscaler.process(picture(2))) == ("e" if kind == "slow" else "c")
        assert way(picture(3), upscaler.process(picture(3))) == "e"
        assert upscaler.worker.pid == pid
        assert upscaler.worker.restarts == 0


def test_a_worker_that_is_killed_between_frames_is_replaced(tmp_path):
    with opened(tmp_path) as upscaler:
        upscaler.process(picture())
        os.kill(upscaler.worker.pid, 9)
        until(lambda: upscaler.worker.restarts == 1)
        assert way(picture(1), upscaler.process(picture(1))) == "e"
        assert upscaler.record().errors == ("SR.E_WORKER_CRASH",)


def test_a_worker_that_leaks_is_replaced_before_it_harms_others(tmp_path):
    """8 MiB are kept by each call, 128 MiB are allowed."""
    script = {"faults": {"leak_kib": 8192}}
    with opened(tmp_path, model=script, memory_mib=128, crash_limit=None) as upscaler:
        first = upscaler.process(picture())
        assert way(picture(), first) == "e"
        ways = "".join(way(picture(n), upscaler.process(picture(n))) for n in range(60))
        assert ways.count("c") == upscaler.worker.restarts >= 2
        assert {restart.code for restart in upscaler.worker.recent} == {"E_WORKER_MEMORY"}


def test_the_server_of_workers_may_be_killed_too(tmp_path):
    with opened(tmp_path, crash_limit=None) as upscaler:
        upscaler.process(picture())
        os.kill(Forkserver._shared._process.pid, 9)
        until(lambda: upscaler.worker.restarts >= 1)
        assert way(picture(1), upscaler.process(picture(1))) == "e"


def test_no_worker_outlives_its_player(tmp_path):
    """Which is killed while a call hangs."""
    path = bundles.sr_bundle(tmp_path, model={"op": "nearest", "scale": 2, "hang_at": [1]}, key=None)
    program = """
import sys
from lumavox import Frame, PixelFormat, Upscaler
upscaler = Upscaler.open(sys.argv[1], isolation="process", allow_unsigned=True, deadline_ms=5.0)
frame = Frame.empty(PixelFormat.GRAY8, 16, 16)
while upscaler.record().frames_late == 0:
    upscaler.process(frame)
print(upscaler.worker.pid, flush=True)
sys.stdin.read()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as player:
        assert player.stdout is not None
        pid = int(player.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        player.kill()
    until(lambda: not Path(f"/proc/{pid}").exists())


def test_a_model_that_keeps_crashing_is_set_aside_until_the_configuration_changes(tmp_path):
    faults, device = FaultInjection(), DeviceIdentity("chip", "1.0", "driver 1")
    policy = {"faults": faults, "crash_limit": 2, "device": device}
    with opened(tmp_path, **policy) as upscaler:
        for _ in range(2):
            frames_until(upscaler, "e")
            faults.inject("segv")
            assert way(picture(), upscaler.process(picture())) == "c"
        until(lambda: upscaler.worker.state == "failed")
        assert way(picture(), upscaler.process(picture())) == "c"
        record = upscaler.record()
        assert record.state == "bypass"
        assert "set aside after 2 crashes" in record.state_reason
        assert "SIGSEGV" in record.state_reason
        assert "driver 1" in record.state_reason
    with pytest.raises(EngineError, match="set aside after 2 crashes"):
        opened(tmp_path / "again", **policy)
    newer = DeviceIdentity("chip", "1.1", "driver 1")
    with opened(tmp_path / "updated", **(policy | {"device": newer})) as upscaler:
        assert way(picture(), upscaler.process(picture())) == "e"


def test_a_model_that_was_set_aside_gives_way_to_the_next_variant(tmp_path):
    path = bundles.sr_bundle(tmp_path, contents=("clean", "streamed"))
    policy = Isolation(crash_limit=1, faults=FaultInjection())
    with Session.open(bundles.opened(path), isolation=policy) as session:
        first = session.variant.name
        policy.faults.inject("segv")
        with pytest.raises(EngineError):
            session.engine.run()
        until(lambda: session.engine.status.state == "failed")
    with Session.open(bundles.opened(path), isolation=policy) as session:
        assert session.variant.name != first
        assert "set aside after 1 crashes" in session.reason


def test_what_an_engine_refuses_is_no_crash(tmp_path):
    with pytest.raises(EngineError, match="scripted fault"):
        opened(tmp_path, model={"fail_open": True})
    assert not list((tmp_path / "state").rglob("*.json"))


def test_a_crash_while_loading_is_an_error_of_open_and_counts(tmp_path):
    with pytest.raises(EngineError, match="exit status 134"):
        opened(tmp_path, model={"faults": {"exit_at": [0]}})
    assert list((tmp_path / "state").rglob("*.json"))


def test_frames_of_another_size_pass_by_while_the_worker_prepares(tmp_path):
    """With a deadline nothing is waited for; without one, the worker is."""
    other = Frame.empty(PixelFormat.GRAY8, 20, 30)
    other.planes[0][...] = np.indices((30, 20)).sum(0) * 4
    with opened(tmp_path / "a", deadline_ms=PATIENT_MS) as upscaler:
        assert frames_until(upscaler, "e")[:-1].strip("c") == ""
        assert upscaler.process(other).width == 40
        assert "prepares" in upscaler.record().state_reason
        frames_until(upscaler, "e")
    with opened(tmp_path / "b") as upscaler:
        assert way(picture(), upscaler.process(picture())) == "e"
        assert (upscaler.process(other).planes[0] == enhanced(other)).all()


def test_late_calls_keep_their_slots_and_their_pictures_are_never_shown(tmp_path):
    """Every call takes 30 ms more than there is: frame by frame the filter, then the network again."""
    script = {"delay_ms": 40.0, "delay_every": 3}
    with opened(tmp_path, deadline_ms=15.0, model=script) as upscaler:
        ways = "".join(frames_until(upscaler, "e") for _ in range(6))
        assert ways.count("e") == 6
        assert upscaler.record().frames_late <= len(ways)


@pytest.mark.parametrize("backend", ["litert", "ort"])
def test_a_real_engine_gives_in_a_worker_what_it_gives_here(tmp_path, backend):
    """Equal to the byte, in a sandbox, over two sizes; oracle: the same engine in this process."""
    usable = backends.get(backend).probe()
    if not usable.usable:
        pytest.skip(usable.reason)
    path = tiny_models.bundle(tmp_path, backend)
    random = np.random.default_rng(3)
    with (
        Upscaler.open(path, trusted_keys=bundles.trusted()) as here,
        Upscaler.open(path, trusted_keys=bundles.trusted(), isolation="process") as there,
    ):
        for width, height in ((48, 32), (31, 17), (48, 32)):
            frame = Frame.empty(PixelFormat.GRAY8, width, height)
            frame.planes[0][...] = random.integers(0, 256, (height, width))
            assert (there.process(frame).planes[0] == here.process(frame).planes[0]).all()
        assert there.record().frames_enhanced == 3
        assert "in a worker process" in there.record().ep_version
        assert len(there.worker.limits) >= 1


def tone(samples: int) -> np.ndarray:
    t = np.arange(samples) / 48000
    return np.repeat((0.1 * np.sin(2 * np.pi * 200 * t)).astype(np.float32)[:, None], 2, axis=1)


@pytest.mark.parametrize("kind", ["kill", "hang", "nan", "corrupt"])
def test_sound_goes_on_without_a_gap_or_a_click(tmp_path, kind):
    """A 200 Hz tone whose level the remix may change up to fourfold: no step from sample to sample is larger
    than that of a tone of the largest level, with a tenth for the cross-fades; a gap or a click is ten times
    that."""
    faults = FaultInjection()
    path = bundles.de_bundle(tmp_path, mask=0.5)
    hop, hops = 720, 160
    sound = tone(hop * hops)
    with DialogEnhancer.open(
        path, trusted_keys=bundles.trusted(), deadline_ms=12.0, level="high",
        isolation=Isolation(faults=faults, crash_limit=None, hang_ms=60.0),
    ) as enhancer:  # fmt: skip
        pieces = []
        for index in range(hops):
            if index in (40, 110):
                faults.inject(kind)
            pieces.append(enhancer.process(sound[hop * index : hop * (index + 1)]))
            time.sleep(0.005)
        pieces.append(enhancer.flush())
        record = enhancer.record()
    out = np.concatenate(pieces)
    assert len(out) == len(sound) + enhancer.delay_samples
    assert record.frames_enhanced > 0
    assert record.frames_bypassed > 0
    assert record.errors
    body = out[enhancer.delay_samples : -hop]
    level = np.abs(body).max()
    assert 0.09 < level < 0.42
    steepest = 2 * np.pi * 200 / 48000 * level
    assert np.abs(np.diff(body, axis=0)).max() < 1.1 * steepest
    loud = np.abs(body).reshape(-1, 240, 2).max(1)  # more than a period: never silent
    assert loud.min() > 0.05


def test_sound_of_a_worker_equals_sound_of_this_process(tmp_path):
    """Block by block, bit for bit, with states; no deadline."""
    path = bundles.de_bundle(tmp_path, mask=0.5)
    sound = tone(720 * 30)
    with (
        DialogEnhancer.open(path, trusted_keys=bundles.trusted()) as here,
        DialogEnhancer.open(path, trusted_keys=bundles.trusted(), isolation="process") as there,
    ):
        assert (here.process(sound) == there.process(sound)).all()
        assert there.worker.state == "ready"
        assert there.record().frames_bypassed == here.record().frames_bypassed


def test_nothing_is_left_behind(tmp_path):
    """Processes, descriptors and threads are as before, after restarts too."""

    def kept() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    faults = FaultInjection()
    with opened(tmp_path / "warm"):
        pass
    before = kept()
    with opened(tmp_path / "a", faults=faults, crash_limit=None) as upscaler:
        frames_until(upscaler, "e")
        inside = kept()
        for _ in range(3):
            faults.inject("kill")
            upscaler.process(picture())
            frames_until(upscaler, "e")
        assert kept() == inside
        pid = upscaler.worker.pid
    until(lambda: not Path(f"/proc/{pid}").exists())
    assert kept() == before


def test_an_upscaler_that_cannot_be_opened_leaves_no_worker(tmp_path):
    """The first of two networks opens, the second does not."""
    names, script = ("clean", "streamed"), {"op": "nearest", "scale": 2}
    path = bundles.sr_bundle(tmp_path, contents=names, model=script)
    bundle = bundles.opened(path)
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    opens = []

    def one_only(*args, **options):
        if opens:
            raise EngineError("only one may be opened")
        opens.append(Session.open(*args, **options))
        return opens[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lumavox.video.Session", SimpleNamespace(open=one_only))
        with pytest.raises(EngineError, match="only one"):
            Upscaler.open(bundle, isolation="process")
    assert opens[0].engine.status.state == "closed"
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before


def test_wrong_words_and_values_are_refused(tmp_path):
    path = bundles.sr_bundle(tmp_path)
    with pytest.raises(OptionError, match="did you mean 'process'"):
        Upscaler.open(path, trusted_keys=bundles.trusted(), isolation="proces")
    for values in ({"nice": -1}, {"memory_mib": 0}, {"hang_ms": 0.0}, {"crash_limit": 0}):
        with pytest.raises(LumavoxError, match="isolation"):
            Isolation(**values)
    with pytest.raises(OptionError, match="did you mean 'hang'"):
        FaultInjection().inject("hangs")
