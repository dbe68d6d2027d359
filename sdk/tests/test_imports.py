"""What importing the runtime may load: numpy and the standard library. It keeps torch out of devices."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SDK = Path(__file__).parents[1]
FILES = sorted((SDK / "lumavox").rglob("*.py"))
MODULES = [
    ".".join(f.relative_to(SDK).with_suffix("").parts).removesuffix(".__init__")
    for f in FILES
    if f.name != "__main__.py"
]
ALLOWED = {"numpy", "lumavox"}
NEVER = {"torch", "onnx", "lumavox_export", "lumavox_matrix", "tensorflow", "jax"}


def loaded_by(*modules: str) -> set[str]:
    """The top-level modules, other than the standard library's, that a fresh interpreter loads."""
    program = """
import importlib, json, sys
before = set(sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(name)
found = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(found - sys.stdlib_module_names)))
"""
    command = [sys.executable, "-c", program, *modules]
    environment = os.environ | {"PYTHONPATH": str(SDK)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout))


def test_import_lumavox_loads_nothing_but_numpy():
    assert loaded_by("lumavox") <= ALLOWED


def test_the_command_line_frame_with_all_its_subcommands_loads_nothing_but_numpy():
    commands = [m for m in MODULES if m.startswith("lumavox.cli")]
    assert len(commands) > 5
    assert loaded_by(*commands) <= ALLOWED


def test_no_module_of_the_runtime_loads_an_engine_or_a_media_library_on_import():
    heavy = {"cv2", "cryptography", "ai_edge_litert", "tflite_runtime", "onnxruntime", "av", "soundfile"}
    assert loaded_by(*MODULES) & (heavy | NEVER | {"matplotlib", "scipy"}) == set()


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(SDK).as_posix())
def test_no_file_of_the_runtime_imports_training_code_anywhere(file):
    """Not even inside a function: the arrow points from the exporter to the runtime only."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    assert names & NEVER == set()
