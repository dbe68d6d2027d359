"""What the matrix may import: the runtime and its own, never the exporter; on a device even less."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from lumavox_matrix import payload

PACKAGE = Path(payload.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
ON_DEVICE = [PACKAGE / f"{name}.py" for name in payload.DEVICE_MODULES] + sorted(PACKAGE.glob("runner/*.py"))


def imported(file: Path) -> set[str]:
    """The absolute names of all modules that a file imports, inside functions too."""
    names: set[str] = set()
    inside = file.parent.relative_to(PACKAGE.parent).parts
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module} | ({f"{module}.{a.name}" for a in node.names} if node.level else set())
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(PACKAGE).as_posix())
def test_no_file_imports_the_exporter_or_a_training_library(file):
    tops = {name.partition(".")[0] for name in imported(file)}
    assert tops & {"lumavox_export", "torch", "onnx", "tensorflow"} == set()


@pytest.mark.parametrize("file", ON_DEVICE, ids=lambda f: f.relative_to(PACKAGE).as_posix())
def test_what_is_pushed_to_a_device_imports_the_standard_library_numpy_the_runtime_and_itself(file):
    own = {".".join(f.relative_to(PACKAGE.parent).with_suffix("").parts) for f in ON_DEVICE}
    own |= {"lumavox_matrix", "lumavox_matrix.runner"}
    for name in imported(file):
        if name.startswith("lumavox_matrix"):
            assert name in own or name.rpartition(".")[0] in own, name
        else:
            top = name.partition(".")[0]
            assert top in sys.stdlib_module_names or top in {"numpy", "lumavox"}, name
