"""The compatibility manifest and its ranges: what is read, and what is refused, by file and key."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox.errors import UpdateBlockedError, UpdateError, UpdateRefusedError
from lumavox.update._ranges import check_range, comparable, within
from lumavox.update.release import Release
from update_parts import PLAIN, release

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=6,
)
NUMBERS = st.lists(st.integers(0, 99), min_size=1, max_size=4)


def test_a_manifest_comes_back_as_it_was():
    one = release(
        3,
        requires={"driver": [{"name": "rknpu", "range": ">=0.9"}], "ram_mb": 2048},
        known_bad=[{"reason": "green frames", "issue": "https://example.org/1", "firmware_build": "12.3*"}],
    )
    assert Release.of(one.plain(), "again") == one


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"requires": {"humidity": 3}}, "requires: unknown key 'humidity'"),
        ({"release_counter": 0}, "release_counter: must be 1"),
        ({"release_counter": 2**31}, "release_counter: must be 1"),
        ({"expires": "tomorrow"}, "expires: 'tomorrow' is not a UTC time"),
        ({"share_permille": 1001}, "share_permille: must be 0 to 1000"),
        ({"depends": {"abi": "new"}}, "depends.abi: 'new' is not a range"),
        ({"requires": {"firmware": [{"vendor": "acme"}]}}, "give either build_range or builds"),
        ({"requires": {"engine": [{"name": "ort", "range": "~1"}]}}, "'~1' is not a range"),
        ({"known_bad": [{"reason": "r", "issue": "i", "soc_model": "*" * 5}]}, "4 stars"),
        ({"schema": 0}, "schema: expected 1"),
        ({"model": PLAIN["model"] | {"id": "sr/../../etc"}}, "is not a model of task"),
        ({"model": PLAIN["model"] | {"task": "de"}}, "is not a model of task 'de'"),
        ({"model": PLAIN["model"] | {"digest": "short"}}, "64 hex digits"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_named(change, words):
    with pytest.raises(UpdateRefusedError, match="rk3588/sr/tiny.zip") as caught:
        Release.of(PLAIN | change, "rk3588/sr/tiny.zip")
    assert words in str(caught.value)


def test_a_manifest_of_a_newer_schema_asks_for_an_upgrade():
    with pytest.raises(UpdateBlockedError, match="upgrade lumavox"):
        Release.of(PLAIN | {"schema": 2, "new": True}, "x")


@settings(deadline=None, max_examples=50)
@given(JSON)
def test_any_json_value_is_a_manifest_or_refused(value):
    with pytest.raises(UpdateError):
        Release.of(value, "x")


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(sorted(release().plain())), JSON)
def test_any_value_of_any_member_is_read_or_refused(key, value):
    try:
        one = Release.of(PLAIN | {key: value}, "x")
    except UpdateError:
        return
    assert Release.of(one.plain(), "x") == one


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=40))
def test_any_text_is_a_range_or_a_value_error(text):
    try:
        check_range(text)
    except ValueError:
        return
    assert within("1.0", text) in (True, False)


@settings(deadline=None, max_examples=50)
@given(NUMBERS, NUMBERS)
def test_versions_are_compared_number_by_number_with_absent_ones_as_zero(a, b):
    length = max(len(a), len(b))
    fuller = [n + [0] * (length - len(n)) for n in (a, b)]
    texts = [".".join(map(str, n)) for n in (a, b)]
    assert within(texts[0], f">={texts[1]}") == (fuller[0] >= fuller[1])
    assert within(texts[0], f"<{texts[1]}") == (fuller[0] < fuller[1])
    assert within(texts[0], f"=={texts[1]}") == (fuller[0] == fuller[1])
    assert within(texts[0], f"!={texts[1]}") == (fuller[0] != fuller[1])


@pytest.mark.parametrize("version", ["", "1.x", "v1", "1.0-rc1", "1..2", "RK-2026.08", "١.٢"])
def test_what_is_not_comparable_is_in_no_range(version):
    assert comparable(version) is None
    assert not within(version, ">=0")


def test_a_range_has_several_terms():
    assert [within(v, ">=2.1, <3, !=2.5") for v in ("2.0", "2.1", "2.5.0", "2.9.9", "3")] == [
        False, True, False, True, False,
    ]  # fmt: skip
