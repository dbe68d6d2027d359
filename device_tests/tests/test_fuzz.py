"""Every parser that meets bytes from outside: whatever comes, it is taken or refused by an error of ours."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TOOLS = Path(__file__).resolve().parents[2] / "tools"

pytest.importorskip("lumavox_export", reason="lumavox_export is not installed")
pytest.importorskip("av", reason="av is not installed (lumavox[media])")
spec = importlib.util.spec_from_file_location("fuzz_targets", TOOLS / "fuzz_targets.py")
assert spec is not None
assert spec.loader is not None
fuzz_targets = importlib.util.module_from_spec(spec)
sys.modules["fuzz_targets"] = fuzz_targets
spec.loader.exec_module(fuzz_targets)
TARGETS = fuzz_targets.TARGETS
NESTED = b"a = " + b"[" * 5000
HOSTILE = (
    b"", b"\0", b"\xff\xfe", b"null", b"[]", b"{}", b'""', b"[" * 5000, b'{"a":' * 3000, NESTED,
    b"a = " + b"9" * 5000, b"a = 1979-13-99", b"schema = 1\nschema = 1", b'{"schema":1e999}',
    b'{"schema":1,"schema":1}', b"PK\x05\x06" + bytes(18), b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff",
)  # fmt: skip


@pytest.fixture(scope="module")
def sandbox():
    with fuzz_targets.Sandbox() as made:
        yield made


@pytest.fixture(params=sorted(TARGETS))
def target(request):
    return TARGETS[request.param]


@st.composite
def mutations(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A valid input with some bytes changed, cut, doubled, or replaced by words that parsers know."""
    data = bytearray(draw(st.sampled_from(seeds)))
    words = [
        b"null",
        b"-1",
        b"1e999",
        b"[]",
        b"{}",
        b'"',
        b"\\u0000",
        b"\xff" * 8,
        b"9" * 50,
        b"true",
        b"../",
    ]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        to = min(len(data), at + draw(st.sampled_from([0, 1, 2, 8, 64, 4096])))
        piece = draw(st.sampled_from(words) | st.binary(max_size=8) | st.just(bytes(data[at:to]) * 2))
        data[at:to] = piece
    return bytes(data)


@functools.cache
def _seeds(target: fuzz_targets.Target) -> tuple[bytes, ...]:
    """Made once: a record tells the time, and hypothesis wants the same seeds for the same choices."""
    return target.seeds()


def test_valid_inputs_are_taken(target, sandbox):
    """Or the mutations of them would test nothing but the first line."""
    assert all(target.check(seed, sandbox) for seed in target.seeds())


def test_hostile_inputs_are_taken_or_refused(target, sandbox):
    for data in HOSTILE:
        target.check(data, sandbox)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(data=st.data())
def test_mutated_inputs_are_taken_or_refused(target, sandbox, data):
    target.check(data.draw(mutations(_seeds(target))), sandbox)


def test_a_file_outside_of_the_sandbox_is_noticed(sandbox, tmp_path):
    def escape(data: bytes, box: object) -> None:
        (tmp_path / "x").write_bytes(data)

    with pytest.raises(AssertionError, match="written outside"):
        fuzz_targets.Target("escape", escape, tuple).check(b"", sandbox)
