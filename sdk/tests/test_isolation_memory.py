"""The memory between player and worker: what is written over its headers and borders is found."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumavox._isolation_memory import SLOTS, Segment, read_file, sealed_file
from lumavox.errors import EngineError
from lumavox.isolation import probe

pytestmark = pytest.mark.skipif(not probe().usable, reason=f"no workers here: {probe().reason}")

INPUTS = {"luma": ("int8", (1, 5, 7, 1)), "state": ("float32", (3,))}
OUTPUTS = {"enlarged": ("int8", (1, 10, 14, 1)), "state_out": ("float32", (3,))}


def pair() -> tuple[Segment, Segment]:
    """The player's and the worker's mapping of one segment."""
    ours, fd = Segment.create(INPUTS, OUTPUTS, 7)
    theirs = Segment(fd, INPUTS, OUTPUTS, 7)
    os.close(fd)
    return ours, theirs


def test_what_one_side_writes_the_other_sees_without_a_copy():
    ours, theirs = pair()
    for slot in range(SLOTS):
        for mine in (ours.inputs, theirs.outputs):
            for number, name in enumerate(mine[slot]):
                mine[slot][name][...] = 10 * slot + number + 1
        for mine, other in ((ours.inputs, theirs.inputs), (theirs.outputs, ours.outputs)):
            for number, name in enumerate(mine[slot]):
                assert (other[slot][name] == 10 * slot + number + 1).all()
                assert other[slot][name].shape == (INPUTS | OUTPUTS)[name][1]


def test_requests_and_replies_are_those_of_their_call_only():
    ours, theirs = pair()
    for sequence in range(1, 6):
        assert theirs.request_fault(sequence)
        ours.request(sequence)
        assert theirs.request_fault(sequence) is None
        assert not ours.replied(sequence)
        theirs.reply(sequence, 1)
        assert ours.replied(sequence)
        assert ours.reply_fault(sequence, 1) is None
        assert "not that of call" in ours.reply_fault(sequence, 0)
        assert ours.reply_fault(sequence + SLOTS, 1)


def test_a_segment_of_another_worker_is_not_taken():
    ours, fd = Segment.create(INPUTS, OUTPUTS, 7)
    Segment(fd, INPUTS, OUTPUTS, 8).reply(1, 0)
    os.close(fd)
    assert "not that of call 1" in ours.reply_fault(1, 0) or "beyond" in ours.reply_fault(1, 0)


@given(st.data())
def test_any_byte_changed_in_header_or_guard_is_found(data):
    """All other bytes are pixels, padding, or the other slot's."""
    ours, theirs = pair()
    theirs.reply(1, 0)
    slot = 1 % SLOTS * ours._slot_bytes
    header = range(slot + 64, slot + 64 + 36)
    guards = [at + i for at in ours._output_guards[1 % SLOTS] for i in range(64)]
    at = data.draw(st.sampled_from([*header, *guards]))
    ours._memory[at] ^= data.draw(st.integers(1, 255))
    assert ours.reply_fault(1, 0)


def test_spoiling_is_found():
    ours, theirs = pair()
    theirs.reply(1, 0)
    theirs.spoil()
    assert ours.reply_fault(1, 0)


def test_the_worker_cannot_shrink_the_players_memory():
    """A mapping whose file shrinks ends the process that touches it with SIGBUS."""
    _, fd = Segment.create(INPUTS, OUTPUTS, 7)
    for size in (0, 1 << 24):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
    os.close(fd)


def test_sizes_that_no_network_has_are_refused():
    with pytest.raises(EngineError, match="shared bytes"):
        Segment.create({"x": ("float32", (1 << 20, 1 << 10))}, {}, 1)
    small = sealed_file(b"small")
    with pytest.raises(EngineError, match="are needed"):
        Segment(small, INPUTS, OUTPUTS, 7)
    os.close(small)


@given(st.lists(st.tuples(st.sampled_from(["int8", "float32"]), st.lists(st.integers(1, 9), min_size=1,
                max_size=4)), min_size=1, max_size=5))  # fmt: skip
def test_tensors_never_overlap_and_are_aligned(specs):
    tensors = {f"t{i}": (dtype, tuple(shape)) for i, (dtype, shape) in enumerate(specs)}
    segment, fd = Segment.create({}, tensors, 1)
    os.close(fd)
    for slot in range(SLOTS):
        for view in segment.outputs[slot].values():
            assert view.ctypes.data % 64 == 0
            view.view(np.uint8)[...] = 255  # to the last byte, and no guard is touched
        segment.reply(slot, 0)
        assert segment.reply_fault(slot, 0) is None


def test_a_sealed_file_never_changes():
    fd = sealed_file(b"a model")
    assert read_file(fd) == read_file(fd) == b"a model"
    with pytest.raises(PermissionError):
        os.write(fd, b"x")
    os.close(fd)
