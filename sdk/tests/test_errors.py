"""Messages that help: the nearest known name, where it was found, what to install.

That the tree in the docstring is the tree of the classes is checked in ``test_public_names``.
"""

from __future__ import annotations

import pytest

from lumavox.errors import LumavoxError, MissingExtraError, OptionError, unknown_message

LEVELS = ("off", "low", "medium", "high")


def test_an_unknown_name_comes_with_the_nearest_and_all_known_ones():
    message = unknown_message("level", "meduim", LEVELS, "recipe.toml")
    expected = "unknown level 'meduim' in recipe.toml; did you mean 'medium'? (known: high, low, medium, off)"
    assert message == expected


def test_a_name_like_none_of_the_known_ones_gets_no_guess():
    message = unknown_message("level", "xyzzy", LEVELS)
    assert message == "unknown level 'xyzzy' (known: high, low, medium, off)"


def test_where_nothing_is_known_the_message_says_none():
    assert unknown_message("bundle", "sr/x", []) == "unknown bundle 'sr/x' (known: none)"


@pytest.mark.parametrize("value", [None, 3, ("a",), b"x", "", "é" * 1000])
def test_any_value_can_be_unknown(value):
    error = OptionError.unknown("key", value, [1, "b"])
    assert isinstance(error, ValueError)
    assert repr(value) in str(error)


def test_a_missing_extra_names_the_purpose_the_package_and_the_install_command():
    error = MissingExtraError("av", "media", "reading video")
    assert isinstance(error, ImportError)
    assert isinstance(error, LumavoxError)
    assert (error.package, error.extra) == ("av", "media")
    assert str(error) == (
        "reading video needs the package 'av', which is not installed; "
        'install it with: pip install "lumavox[media]"'
    )
