"""JSON and TOML values become frozen dataclasses strictly, and messages say file and dotted key."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox._parse import dump_json, dump_line, load_json, parse, plain
from lumavox.errors import BundleFormatError, OptionError


@dataclass(frozen=True)
class Layer:
    kind: Literal["conv", "relu", 3]
    size: int = 3

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be positive, got {self.size}")


@dataclass(frozen=True)
class Recipe:
    name: str
    rate: float = 0.5
    layers: tuple[Layer, ...] = ()
    pair: tuple[int, str] | None = None
    limits: Mapping[str, float] | None = None
    steps: int | Literal["auto"] = "auto"
    data: Path | None = None
    free: object = None
    passed: bool = field(default=False, metadata={"key": "pass"})
    made: int = field(default=7, init=False)


GOOD = {
    "name": "debug",
    "rate": 1,
    "layers": [{"kind": "conv", "size": 5}, {"kind": 3, "size": 3}],
    "pair": [1, "x"],
    "limits": {"psnr": 30},
    "steps": 10,
    "data": "a/b.wav",
    "free": {"list": [1, 2.5, {"deep": True}]},
    "pass": True,
}


def test_all_kinds_of_values_are_parsed():
    recipe = parse(Recipe, GOOD, "recipe.toml")
    assert recipe.layers == (Layer("conv", 5), Layer(3))
    assert recipe.rate == 1.0
    assert type(recipe.rate) is float
    assert recipe.pair == (1, "x")
    assert recipe.limits == {"psnr": 30.0}
    assert recipe.data == Path("a/b.wav")
    assert recipe.free["list"] == (1, 2.5, {"deep": True})
    assert recipe.passed is True
    assert parse(Recipe, {"name": "x"}, "r").steps == "auto"


def test_what_is_parsed_cannot_be_changed():
    recipe = parse(Recipe, GOOD, "recipe.toml")
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.name = "y"
    for place in (recipe.limits, recipe.free, recipe.free["list"][2]):
        with pytest.raises(TypeError):
            place["new"] = 1


def test_plain_is_the_inverse_of_parse():
    recipe = parse(Recipe, GOOD, "r")
    assert plain(recipe) == GOOD
    assert parse(Recipe, json.loads(dump_json(plain(recipe))), "r") == recipe
    assert plain(Recipe("x")) == {"name": "x", "rate": 0.5, "layers": [], "steps": "auto", "pass": False}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nmae": "x"}, "r.toml: unknown key 'nmae'; did you mean 'name'?"),
        ({"passed": True}, "r.toml: unknown key 'passed'; did you mean 'pass'?"),
        ({"made": 1}, "r.toml: unknown key 'made'"),
        ({"name": 3}, "r.toml: name: expected text, got 3"),
        ({"name": None}, "r.toml: name: null is not a value; leave the key out if it is not known"),
        ({"rate": "0.5"}, "r.toml: rate: expected a finite number, got '0.5'"),
        ({"rate": True}, "r.toml: rate: expected a finite number, got True"),
        ({"rate": float("nan")}, "r.toml: rate: expected a finite number, got nan"),
        ({"rate": 2**60}, "r.toml: rate: expected a finite number"),
        ({"layers": {"kind": "conv"}}, "r.toml: layers: expected a list"),
        ({"layers": "conv"}, "r.toml: layers: expected a list, got 'conv'"),
        ({"layers": [{"kind": "conf"}]}, "layers[0].kind: unknown value 'conf'; did you mean 'conv'?"),
        ({"layers": [{"kind": 3.0}]}, "r.toml: layers[0].kind: unknown value 3.0"),
        ({"layers": [{"size": 3}]}, "r.toml: layers[0]: the key 'kind' is missing (known: kind, size)"),
        ({"layers": [{"kind": 3}, {"kind": 3, "size": True}]}, "layers[1].size: expected a whole number"),
        ({"layers": [{"kind": 3, "size": 0}]}, "r.toml: layers[0]: size must be positive, got 0"),
        ({"layers": [7]}, "r.toml: layers[0]: expected an object of named values, got 7"),
        ({"pair": [1]}, "r.toml: pair: expected 2 values, got 1"),
        ({"pair": [1, 2]}, "r.toml: pair[1]: expected text, got 2"),
        ({"limits": {"a": "b"}}, "r.toml: limits.a: expected a finite number, got 'b'"),
        ({"limits": {1: 2.0}}, "r.toml: limits: expected an object"),
        ({"steps": "many"}, "r.toml: steps: expected one of a whole number, Literal['auto'], got 'many'"),
        ({"data": 3}, "r.toml: data: expected a path, got 3"),
        ({"free": {"a": [b"bytes"]}}, "r.toml: free.a[0]: b'bytes' is not text, a number, true or false"),
        ({"name": ["x" * 500]}, "..."),
    ],
)
def test_each_error_says_file_key_and_what_is_possible(change, message):
    with pytest.raises(OptionError) as caught:
        parse(Recipe, GOOD | change, "r.toml")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


def test_the_error_class_can_be_chosen_and_a_key_can_lead():
    with pytest.raises(BundleFormatError, match=r"^b\.json: variants\[2\]\.size: expected a whole"):
        parse(Layer, {"kind": 3, "size": "x"}, "b.json", key="variants[2]", error=BundleFormatError)


def test_the_same_value_is_dumped_as_the_same_bytes():
    assert dump_json({"b": 1, "a": "é"}) == '{\n  "a": "é",\n  "b": 1\n}\n'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump_json({"x": float("inf")})


def test_brackets_inside_of_text_are_not_nesting():
    assert load_json(json.dumps(["[" * 100, '"[[[' * 50]).encode(), "x") == ["[" * 100, '"[[[' * 50]


JSON = st.recursive(
    st.booleans() | st.integers(-(10**30), 10**30) | st.floats(-1e300, 1e300) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None)
@given(value=JSON)
def test_loading_is_the_inverse_of_dumping(value):
    assert load_json(dump_json(value), "x") == value


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=60) | st.text(alphabet='[]{}",:\\u0de1.-+ntf', max_size=60).map(str.encode))
def test_random_bytes_are_loaded_or_refused_with_the_one_error(data):
    try:
        value = load_json(data, "x")
    except OptionError:
        return
    assert value == json.loads(data)


@settings(max_examples=60, deadline=None)
@given(value=JSON | st.dictionaries(st.sampled_from(sorted(GOOD)), JSON))
def test_random_values_are_parsed_or_refused_with_the_one_error(value):
    try:
        recipe = parse(Recipe, value, "x")
    except OptionError:
        return
    assert parse(Recipe, plain(recipe), "x") == recipe


class Fruit(enum.Enum):
    APPLE = "apple"
    PEAR = "pear"


@dataclass(frozen=True)
class Basket:
    first: Fruit
    others: tuple[Fruit, ...] = ()


def test_members_of_an_enum_are_read_and_written_by_their_value_and_unknown_ones_name_the_nearest():
    basket = parse(Basket, {"first": "pear", "others": ["apple"]}, "x")
    assert basket == Basket(Fruit.PEAR, (Fruit.APPLE,))
    assert plain(basket) == {"first": "pear", "others": ["apple"]}
    with pytest.raises(OptionError, match=r"first: unknown value 'aple'; did you mean 'apple'"):
        parse(Basket, {"first": "aple"}, "x")


@settings(max_examples=60, deadline=None)
@given(free=JSON, limits=st.dictionaries(st.text(), st.floats(-1e9, 1e9)), name=st.text())
def test_a_line_is_the_plain_value_with_sorted_keys_and_no_spaces(free, limits, name):
    recipe = parse(Recipe, GOOD | {"name": name, "free": free, "limits": limits}, "x")
    for value in (recipe, Basket(Fruit.PEAR, (Fruit.APPLE,)), {"data": Path("a/b"), "deep": (recipe,)}):
        text = json.dumps(plain(value), sort_keys=True, separators=(",", ":"))
        assert dump_line(value) == text.encode() + b"\n"


def test_what_is_not_a_value_of_json_is_not_dumped():
    for value in ({"x": float("nan")}, {"x": object()}):
        with pytest.raises((ValueError, TypeError)):
            dump_line(value)
