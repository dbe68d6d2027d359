"""Scripted models for virtual chipsets: bundles of engine "virtual", made when a cell runs.

A scripted model computes exact, trivial things (an enlargement by repetition, a mask of ones). What a virtual
chipset does to it is the chipset's script: how long a call takes, what goes wrong. So the model's digest is
that of the undisturbed bundle, and what is pushed is the model with the chipset's script in it: the script
is the silicon.

    virtual_models()                                        # sr/virtual-x2, sr/virtual-x3, de/virtual
    write_virtual_bundle(model, chipset.script, folder)     # -> Path
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lumavox._parse import plain
from lumavox.backends.virtual import Script
from lumavox.bundle import Bundle, Golden, Provenance, StateSpec, TensorSpec, Variant
from lumavox.bundle_writer import write_bundle
from lumavox.errors import OptionError

from .models import Model

__all__ = ["virtual_models", "write_virtual_bundle"]

TARGETS = ("npu", "cpu")
"""A scripted model has a variant for the accelerator, which the script disturbs, and one for the CPU."""

CPU_SLOWDOWN = 10.0
"""How much longer the CPU variant takes than the accelerator's script says: the usual order of magnitude."""

_BANDS = 96
_DE_FRONT_END: dict[str, object] = {"rate_hz": 48000, "window": 1440, "hop": 720, "bands": _BANDS}


@functools.cache
def virtual_models() -> tuple[Model, ...]:
    """The scripted models there are."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for id in ("sr/virtual-x2", "sr/virtual-x3", "de/virtual"):
            path = _write(id, Script(op="nearest" if id.startswith("sr") else "mask"), Path(folder))
            found.append(
                dataclasses.replace(Model.of(Bundle.open(path, allow_unsigned=True), path), path=None)
            )
    return tuple(found)


def write_virtual_bundle(model: Model, script: Script, folder: Path) -> Path:
    """The bundle of a scripted model under a chipset's script."""
    if model.id not in {m.id for m in virtual_models()}:
        raise OptionError.unknown("scripted model", model.id, [m.id for m in virtual_models()])
    return _write(model.id, script, folder)


def script_of(base: Script, changes: Mapping[str, object]) -> Script:
    """A script with some members changed. Raises OptionError for one that there is not."""
    return Script.parse(json.dumps(plain(base) | dict(changes)).encode())


def _write(id: str, script: Script, folder: Path) -> Path:
    sr = id.startswith("sr/")
    scale = int(id[-1]) if sr else 1
    script = dataclasses.replace(script, op="nearest" if sr else "mask", scale=scale if sr else script.scale)
    variants = [(_sr_variant if sr else _de_variant)(target) for target in TARGETS]
    golden = _sr_golden(scale) if sr else _de_golden()
    scripts = {"npu": script, "cpu": _undisturbed(script)}
    files = {v.file: json.dumps(plain(scripts[v.target])).encode() for v in variants}
    files |= {v.golden.file: golden for v in variants}
    front_end: dict[str, object] = _DE_FRONT_END
    delays: dict[str, Any] = {"delay_samples": 1440}
    if sr:
        front_end = {"scale": scale, "plane": "luma", "bit_depth": 8, "receptive_field": 1}
        delays = {"delay_frames": 0}
    return write_bundle(
        folder / id / "bundle", id=id, version="1.0.0", front_end=front_end, variants=variants,
        provenance=Provenance(), card="# A scripted model\n", files=files, key=None, **delays,
    )  # fmt: skip


def _undisturbed(script: Script) -> Script:
    """The CPU's script: slower, and in order."""
    return Script(
        op=script.op, scale=script.scale, value=script.value, delay_ms=script.delay_ms * CPU_SLOWDOWN
    )


def _sr_variant(target: str) -> Variant:
    quantized: dict[str, Any] = {"dtype": "int8", "layout": "NHWC", "scale": 1 / 255, "zero_point": -128}
    return Variant(
        name=f"any-int8-{target}",
        file=f"variants/any-int8-{target}.json",
        engine="virtual",
        precision="int8",
        content="any",
        dynamic=True,
        target=target,
        inputs=(TensorSpec(name="luma", shape=(1, -1, -1, 1), **quantized),),
        outputs=(TensorSpec(name="enlarged", shape=(1, -1, -1, 1), **quantized),),
        golden=Golden(file=f"golden/any-int8-{target}.npz", max_lsb=1),
        operators={"RESIZE_NEAREST_NEIGHBOR": 1},
    )


def _de_variant(target: str) -> Variant:
    plain_tensor: dict[str, Any] = {"dtype": "float32", "layout": "NHWC"}
    bands, state = (1, 1, 1, _BANDS), (1, 1, 1, 8)
    return Variant(
        name=f"any-float32-{target}",
        file=f"variants/any-float32-{target}.json",
        engine="virtual",
        precision="float32",
        content="any",
        dynamic=False,
        target=target,
        inputs=(
            TensorSpec(name="features", shape=bands, **plain_tensor),
            TensorSpec(name="state_in", shape=state, **plain_tensor),
        ),
        outputs=(
            TensorSpec(name="mask", shape=bands, **plain_tensor),
            TensorSpec(name="state_out", shape=state, **plain_tensor),
        ),
        states=(StateSpec(input="state_in", output="state_out", delay_frames=1),),
        golden=Golden(file=f"golden/any-float32-{target}.npz", max_abs=1e-5),
        operators={"IDENTITY": 1},
    )


def _sr_golden(scale: int) -> bytes:
    luma = np.arange(64, dtype=np.int8).reshape(1, 8, 8, 1) * 2 - 64
    return _npz(luma=luma, enlarged=luma.repeat(scale, axis=1).repeat(scale, axis=2))


def _de_golden() -> bytes:
    bands, state = np.zeros((1, 1, 1, _BANDS), np.float32), np.zeros((1, 1, 1, 8), np.float32)
    half = np.float32(0.5)
    return _npz(features=bands + half, state_in=state, mask=bands + np.float32(1), state_out=state)


def _npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()
