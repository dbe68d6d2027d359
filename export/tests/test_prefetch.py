"""Batches made ahead come in order, are the same however they are made, and pass errors on."""

import threading

import pytest
import torch

from lumavox_export.prefetch import Prefetch
from lumavox_export.ranks import Batch


def _make(step: int) -> Batch:
    if step == 40:
        raise ValueError("no batch 40")
    return (torch.full((2,), step),)


def _first(batch: Batch) -> int:
    return int(batch[0][0])


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_from_the_first_step_asked_for(workers: int) -> None:
    with Prefetch(_make, range(7, 30), _first, workers=workers) as ahead:
        assert list(ahead) == list(range(7, 30))


def test_an_error_is_raised_where_its_batch_is_asked_for() -> None:
    with Prefetch(_make, range(37, 99), _first) as ahead:
        batches = iter(ahead)
        assert [next(batches) for _ in range(3)] == [37, 38, 39]
        with pytest.raises(ValueError, match="no batch 40"):
            next(batches)


def test_it_runs_ahead_by_its_depth_and_ends_when_closed() -> None:
    made: list[int] = []

    def make(step: int) -> Batch:
        made.append(step)
        return (torch.zeros(1),)

    before = threading.active_count()
    with Prefetch(make, range(1000), _first, depth=3) as ahead:
        next(iter(ahead))
    assert 1 <= len(made) <= 5  # one taken, three kept, one in hand
    assert threading.active_count() == before
