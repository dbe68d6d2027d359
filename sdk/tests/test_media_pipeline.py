"""`lumavox.media.pipeline`: threads joined by bounded channels."""

from __future__ import annotations

import threading
import time

import pytest

from lumavox.media.pipeline import Channel, Pipeline, Stage


def _running() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("lumavox-test")]


def _line(count: int, fail_at: int | None = None, capacity: int = 3) -> tuple[Pipeline, list[int]]:
    """Numbers 0..count-1 through two channels, doubled in between; one stage may fail at a number."""
    pipeline, seen = Pipeline(), []
    first, second = pipeline.channel("first", capacity), pipeline.channel("second", capacity)

    def produce(stage: Stage) -> None:
        for number in range(count):
            stage.give(first, number)

    def double(stage: Stage) -> None:
        for number in stage.items(first):
            if number == fail_at:
                raise ValueError(f"no {number}")
            stage.give(second, 2 * number)

    def consume(stage: Stage) -> None:
        seen.extend(stage.items(second))

    pipeline.stage("test-produce", produce, gives=[first])
    pipeline.stage("test-double", double, gives=[second])
    pipeline.stage("test-consume", consume)
    return pipeline, seen


def test_items_come_out_in_order_and_complete() -> None:
    pipeline, seen = _line(500)
    pipeline.run()
    assert seen == [2 * n for n in range(500)]


def test_a_channel_never_holds_more_than_its_capacity() -> None:
    pipeline, seen = _line(500, capacity=2)
    pipeline.run()
    assert len(seen) == 500
    assert all(1 <= channel.peak <= 2 for channel in pipeline.channels)


@pytest.mark.parametrize("fail_at", [0, 7, 499])
def test_a_failing_stage_ends_all_others_and_is_raised_once(fail_at: int) -> None:
    """Also those that wait at a full or an empty channel."""
    pipeline, seen = _line(500, fail_at)
    with pytest.raises(ValueError, match=f"no {fail_at}"):
        pipeline.run()
    assert not _running()
    assert seen == [2 * n for n in range(len(seen))]
    assert len(seen) <= fail_at


def test_of_two_failures_the_first_is_raised() -> None:
    pipeline = Pipeline()
    failed = threading.Event()

    def first(stage: Stage) -> None:
        failed.set()
        raise ValueError("first")

    def second(stage: Stage) -> None:
        failed.wait(10)
        while pipeline._error is None:
            time.sleep(0.001)
        raise ValueError("second")

    pipeline.stage("test-second", second)
    pipeline.stage("test-first", first)
    with pytest.raises(ValueError, match="first"):
        pipeline.run()


def test_an_interrupt_in_the_running_thread_ends_all_stages() -> None:
    """Ctrl-C is raised where `run` waits; a producer without end must still end."""
    pipeline = Pipeline()
    channel = pipeline.channel("endless", 2)

    def produce(stage: Stage) -> None:
        while True:
            stage.give(channel, 0)

    def consume(stage: Stage) -> None:
        for _ in stage.items(channel):
            pass

    def interrupt() -> None:
        raise KeyboardInterrupt

    pipeline.stage("test-produce", produce, gives=[channel])
    pipeline.stage("test-consume", consume)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(on_tick=interrupt)
    assert not _running()


def test_waiting_does_not_count_as_work() -> None:
    """The consumer waits 50 ms for a producer that sleeps: the one is busy, the other is not."""
    pipeline = Pipeline()
    channel = pipeline.channel("slow", 1)

    def produce(stage: Stage) -> None:
        time.sleep(0.05)
        stage.give(channel, 1)

    def consume(stage: Stage) -> None:
        assert list(stage.items(channel)) == [1]

    pipeline.stage("test-produce", produce, gives=[channel])
    pipeline.stage("test-consume", consume)
    pipeline.run()
    busy_s = pipeline.busy_s()
    assert busy_s["test-produce"] >= 0.049
    assert busy_s["test-consume"] < busy_s["test-produce"]


def test_a_channel_with_two_producers_ends_when_both_have_ended() -> None:
    pipeline, seen = Pipeline(), []
    channel: Channel = pipeline.channel("shared", 2)
    for number in range(2):
        pipeline.stage(
            f"test-{number}",
            lambda stage, number=number: [stage.give(channel, number) for _ in range(20)],
            gives=[channel],
        )
    pipeline.stage("test-sink", lambda stage: seen.extend(stage.items(channel)))
    pipeline.run()
    assert sorted(seen) == [0] * 20 + [1] * 20
