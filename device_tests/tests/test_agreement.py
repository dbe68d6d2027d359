"""Integer outputs that must be equal: which cells are compared, and what a difference does."""

from __future__ import annotations

import dataclasses

import pytest

import synthetic
from cells import cell
from lumavox_matrix.agreement import agreements, must_agree
from lumavox_matrix.cell import Culprit, Status
from lumavox_matrix.judged import judge_all
from lumavox_matrix.policy import Policy
from lumavox_matrix.runner.record import Device

TIMES = synthetic.histogram(9_000.0, seed=1)


def device(machine="aarch64", library="onnxruntime 1.31.1"):
    return Device(machine, "Linux 6.1", "3.11.2", "0.1.0", engine_version="1.31.1", engine_library=library)


def key(machine="aarch64", library="onnxruntime 1.31.1", **parts):
    return must_agree(cell(**parts), synthetic.record(TIMES, device=device(machine, library)))


def result(soc, output, machine):
    made = cell(soc=soc, engine="ort", engine_version="1.31.1", preset="tiny25")
    record = synthetic.record(TIMES, device=device(machine), output_sha256=output)
    return dataclasses.replace(synthetic.result(made, record), device=soc)


def test_xnnpack_computes_the_same_on_every_processor():
    assert key("aarch64", "ai-edge-litert 2.3.0") == key("x86_64", "ai-edge-litert 2.3.0") is not None
    assert key(library="onnxruntime 1.22.1") != key(), "another version may round otherwise"


@pytest.mark.parametrize("library", ["tflite-runtime 2.14.0", "onnxruntime 1.31.1"])
def test_other_kernels_agree_on_arm_and_are_not_compared_with_x86(library):
    assert key("armv7l", library) == key("aarch64", library) != key("x86_64", library)


@pytest.mark.parametrize("parts", [{"precision": "float32"}, {"delegate": "npu"}, {"engine": "virtual"}])
def test_what_may_differ_is_not_compared(parts):
    assert key(**parts) is None
    assert must_agree(cell(engine="ort"), None) is None


def test_a_device_that_computes_other_bits_is_named_and_fails_by_the_driver_s_fault():
    results = [
        result("arm-cortex-a72", "a" * 64, "aarch64"),
        result("arm-cortex-a53", "a" * 64, "aarch64"),
        result("arm-cortex-a76", "b" * 64, "aarch64"),
    ]
    (group,) = agreements(results)
    assert not group.equal
    assert set(group.outputs) == {"arm-cortex-a72", "arm-cortex-a53", "arm-cortex-a76"}
    judged = {j.cell.soc: j.verdict for j in judge_all(results, Policy(), lambda name: None)}
    assert judged["arm-cortex-a76"].status is Status.FAIL
    assert (judged["arm-cortex-a76"].rule, judged["arm-cortex-a76"].culprit) == ("agreement", Culprit.DRIVER)
    assert judged["arm-cortex-a72"].status is judged["arm-cortex-a53"].status is Status.PASS
    (same,) = agreements(results[:2])
    assert same.equal
