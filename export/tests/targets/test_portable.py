"""The plain form of a network: complete, JSON, and the same integers as every written file."""

from __future__ import annotations

import json

import numpy as np
import pytest

from graphs import picture_graph, plan_for, sound_graph
from lumavox_export.errors import GraphError
from lumavox_export.graph import Conv2D, Graph, Port, Reshape
from lumavox_export.npu.portable import portable
from lumavox_export.quant_plan import weights_of


def test_every_operator_tensor_and_scale_is_there_and_goes_to_json() -> None:
    graph = sound_graph()
    plan = plan_for(graph)
    drawn, arrays = portable(graph, plan)
    again = json.loads(json.dumps(drawn))
    assert [op["output"] for op in again["ops"]] == [op.output for op in graph.ops]
    assert set(again["tensors"]) == set(graph.shapes)
    for op in graph.ops:
        if isinstance(op, Conv2D):
            weight, bias = weights_of(op, plan)
            np.testing.assert_array_equal(arrays[f"{op.output}/weight"], weight)
            np.testing.assert_array_equal(arrays[f"{op.output}/bias"], bias)
            assert arrays[f"{op.output}/scale"].tolist() == list(plan.weights[op.output])
    tilt = next(op for op in graph.ops if op.output == "tilt")
    np.testing.assert_array_equal(arrays["tilt/value"], plan.tensors["tilt"].quantize(tilt.value))  # type: ignore[union-attr]


def test_a_float_network_has_real_parameters_and_no_scales() -> None:
    graph = picture_graph()
    drawn, arrays = portable(graph, None)
    assert "tensors" not in drawn and not any(name.endswith("/scale") for name in arrays)
    assert arrays["h0/weight"].dtype == np.float32
    assert drawn["ops"][-1] == {"kind": "DepthToSpace", "output": "enlarged", "inputs": ["sub"], "block": 2}


def test_operators_of_rewrites_are_refused_by_name() -> None:
    graph = Graph((Port("x", (1, 2, 3, 4)),), (Reshape("x", "y", (1, 3, 2, 4)),), (Port("y", (1, 3, 2, 4)),))
    with pytest.raises(GraphError, match="Reshape 'y'"):
        portable(graph, None)
