"""What ships is legal on every target: no operator that its rules refuse, no transpose, no float island."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphs import plan_for
from lumavox.bundle import Bundle
from lumavox.catalog import shipped_bundles
from lumavox_export import formats, targets
from lumavox_export.families import de_cells
from lumavox_export.graph import Graph
from lumavox_export.npu.lint import legal
from lumavox_export.npu.network import networks

SHIPPED = pytest.mark.parametrize("path", shipped_bundles(), ids=lambda path: "-".join(path.parts[-3:-1]))
ISLANDS = {"TRANSPOSE", "QUANTIZE", "DEQUANTIZE", "CAST"}


@SHIPPED
def test_a_shipped_network_is_legal_on_every_target_after_its_rewrites(path: Path) -> None:
    bundle = Bundle.open(path, allow_unsigned=True)
    network = networks(bundle)[0]
    for target in targets.available():
        for preset in network.presets():
            rewritten = legal(network.fixed(preset), target)
            if target.name.startswith("ethos-u"):
                assert not rewritten.tail, f"{target.name} leaves operators to the runtime"


@SHIPPED
def test_shipped_tflite_files_hold_no_transpose_and_no_float_island(path: Path) -> None:
    bundle = Bundle.open(path, allow_unsigned=True)
    for variant in bundle.variants:
        if variant.engine == "tflite" and variant.target == "cpu":
            assert not ISLANDS & set(formats.get("tflite").operators(bundle.read(variant.file))), variant.name


def cells() -> Graph:
    return de_cells.Network().build().eval().to_graph()


@pytest.mark.parametrize("precision", ["int8", "w8a16"])
def test_gated_memories_are_plain_operators_in_integers(precision: str) -> None:
    graph = cells()
    held = formats.get("tflite").operators(formats.get("tflite").write(graph, plan_for(graph, precision)))
    assert set(held) <= {"CONV_2D", "ADD", "MUL", "LOGISTIC", "CONCATENATION"}
