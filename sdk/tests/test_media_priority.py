"""What an encoder does to the scheduling of the program that uses it."""

from __future__ import annotations

import os
import threading

import pytest

from lumavox.media.priority import keep_priority

linux = pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="scheduling policies are Linux's")


def _become_real_time(thread: int = 0) -> None:
    try:
        os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pytest.skip("this user may not make threads real-time ones")


@linux
def test_a_thread_that_became_real_time_inside_is_put_back() -> None:
    before = os.sched_getscheduler(0)
    with keep_priority():
        _become_real_time()
    assert os.sched_getscheduler(0) == before


@linux
def test_threads_that_are_born_inside_and_live_on_are_put_back_too() -> None:
    started, done, seen = threading.Event(), threading.Event(), []

    def work() -> None:
        with_rights = [None]
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except PermissionError:
            with_rights.clear()
        seen.append(bool(with_rights))
        started.set()
        done.wait()
        seen.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=work)
    with keep_priority():
        thread.start()
        started.wait()
    done.set()
    thread.join()
    if not seen[0]:
        pytest.skip("this user may not make threads real-time ones")
    assert seen[1] == os.SCHED_OTHER


@linux
def test_the_av1_encoder_leaves_this_process_as_it_was() -> None:
    av = pytest.importorskip("av")
    import io

    before = os.sched_getscheduler(0)
    with keep_priority(), av.open(io.BytesIO(), "w", format="matroska") as container:
        stream = container.add_stream("libsvtav1", rate=25, options={"preset": "12", "svtav1-params": "lp=1"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode(None))
    assert os.sched_getscheduler(0) == before
