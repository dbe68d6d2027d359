"""Covering plans: everything that can occur together does, in few rows; checked by a count of our own."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox_matrix.covering import cover

pytest.importorskip("covertable", reason="covering plans need covertable, which is in lumavox[matrix]")


def covers(valid: list[tuple[str, ...]], chosen: list[tuple[str, ...]], strength: int) -> bool:
    """The oracle, by brute force: each choice of columns, each combination of values that occurs."""
    width = len(valid[0])
    for columns in itertools.combinations(range(width), min(strength, width)):
        wanted = {tuple(row[c] for c in columns) for row in valid}
        if wanted - {tuple(row[c] for c in columns) for row in chosen}:
            return False
    return True


def table(sizes: list[int], keep: float, seed: int) -> list[tuple[str, ...]]:
    draw = random.Random(seed)
    rows = itertools.product(*[[f"{chr(97 + c)}{v}" for v in range(size)] for c, size in enumerate(sizes)])
    return [row for row in rows if draw.random() < keep]


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=2, max_size=5),
    keep=st.sampled_from([1.0, 0.7, 0.3]),
    strength=st.integers(1, 3),
    seed=st.integers(0, 50),
)
def test_every_combination_of_values_that_can_occur_is_in_the_plan(sizes, keep, strength, seed):
    valid = table(sizes, keep, seed)
    names = [f"factor{i}" for i in range(len(sizes))]
    chosen = cover(names, valid, strength, {})
    assert set(chosen) <= set(valid)
    assert len(set(chosen)) == len(chosen)
    assert not valid or covers(valid, chosen, strength)


def test_pairs_of_a_large_table_take_a_small_part_of_it():
    valid = table([8, 4, 5, 2, 4, 2], 1.0, 0)
    chosen = cover("abcdef", valid, 2, {})
    assert covers(valid, chosen, 2)
    assert len(chosen) <= 0.03 * len(valid)  # 40 rows is the least for 8 x 5, there are 2,560
    assert cover("abcdef", valid, 2, {}) == chosen


def test_triples_take_more_rows_than_pairs_and_single_values_fewer():
    valid = table([4, 3, 3, 2, 2], 1.0, 0)
    sizes = [len(cover("abcde", valid, strength, {})) for strength in (1, 2, 3)]
    assert sizes == sorted(sizes)
    assert sizes[2] < len(valid)


def test_risky_combinations_are_preferred_where_coverage_leaves_a_choice():
    """One column has many values, so that the others repeat: the risky one is taken more often."""
    valid = table([12, 3, 3], 1.0, 0)
    risky = {row: 10.0 if row[1] == "b2" else 1.0 for row in valid}
    chosen = cover("abc", valid, 2, risky)
    assert covers(valid, chosen, 2)
    assert sum(row[1] == "b2" for row in chosen) >= sum(row[1] == "b0" for row in chosen)


@pytest.mark.parametrize(("strength", "most"), [(2, 0.05), (3, 0.20)])
def test_a_plan_finds_every_fault_of_as_many_values_in_a_fifth_of_the_factorial_or_less(strength, most):
    """300 faults, each of which shows only where two (or three) values come together."""
    sizes = [25, 4, 12, 2, 4]
    valid = table(sizes, 1.0, 0)
    chosen = cover("abcde", valid, strength, {})
    draw = random.Random(1)
    for _ in range(300):
        columns = draw.sample(range(len(sizes)), strength)
        row = draw.choice(valid)
        fault = {column: row[column] for column in columns}
        assert any(all(row[c] == value for c, value in fault.items()) for row in chosen), fault
    assert len(chosen) <= most * len(valid)
