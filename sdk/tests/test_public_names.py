"""The public names of ``lumavox``: a change here is a change for every user, so it is made on purpose."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lumavox
from lumavox import errors

SDK = Path(__file__).parents[1]

PUBLIC = """
    __version__ capabilities
    Upscaler DialogEnhancer GovernedUpscaler GovernedEnhancer DialogControls Frame PixelFormat ColourTags
    Bundle Session TelemetryRecord TrustedKeys
    LumavoxError OptionError InputError FrameError AudioError
    BundleError BundleNotFoundError BundleFormatError BundleVersionError BundleIntegrityError
    BundleSignatureError BundleTaskError BundleSelfCheckError
    BackendError BackendUnavailableError EngineError
    MediaError UnreadableMediaError UnsupportedMediaError OutputError MissingExtraError
    UpdateError UpdateTransportError UpdateRefusedError UpdateBlockedError
""".split()

ERRORS = {n: e for n, e in vars(errors).items() if inspect.isclass(e) and issubclass(e, Exception)}


def test_the_public_names_are_these():
    assert sorted(lumavox.__all__) == sorted(PUBLIC)


@pytest.mark.parametrize("name", lumavox.__all__)
def test_every_public_name_is_there(name):
    assert getattr(lumavox, name) is not None


def test_every_error_is_public_and_a_lumavox_error():
    assert set(ERRORS) <= set(lumavox.__all__)
    assert all(issubclass(e, lumavox.LumavoxError) for e in ERRORS.values())


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes():
    drawn = [line for line in errors.__doc__.splitlines() if "──" in line or line.strip() == "LumavoxError"]
    parents: list[str] = []
    seen = {}
    for line in drawn:
        words = line.replace("│", " ").replace("├── ", "    ").replace("└── ", "    ")
        depth = (len(words) - len(words.lstrip())) // 4 - 1
        name = words.split()[0]
        parents[depth:] = [name]
        seen[name] = parents[depth - 1] if depth else "Exception"
    assert seen == {name: e.__bases__[0].__name__ for name, e in ERRORS.items()}


def test_what_the_type_checker_sees_is_what_is_loaded():
    """The names under TYPE_CHECKING and the table of modules are written twice; they agree."""
    tree = ast.parse(inspect.getsource(lumavox))
    guarded = next(n for n in tree.body if isinstance(n, ast.If))
    seen = {alias.name: node.module for node in guarded.body for alias in node.names}
    assert seen == {name: f"lumavox.{module}" for name, module in lumavox._HOME.items()}


def test_an_unknown_name_is_an_attribute_error_that_lists_the_public_ones():
    with pytest.raises(AttributeError, match="'Upscalar'.*Upscaler"):
        lumavox.Upscalar  # noqa: B018


@pytest.mark.parametrize("first", ["lumavox", "lumavox.capabilities", "lumavox.doctor", "lumavox.cli"])
def test_capabilities_is_the_function_whatever_was_imported_first(first):
    program = f"import {first}, lumavox; assert callable(lumavox.capabilities), lumavox.capabilities"
    environment = os.environ | {"PYTHONPATH": str(SDK)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
