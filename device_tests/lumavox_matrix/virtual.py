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
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from lumavox._parse import plain
from lumavox.backends import get
from lumavox.backends.virtual import Script
from lumavox.bundle import Bundle, Golden, Provenance, StateSpec, TensorSpec, Variant
from lumavox.bundle_writer import write_bundle
from lumavox.errors import OptionError

from .models import Model

__all__ = ["virtual_models", "write_virtual_bundle"]

TARGETS = ("npu", "cpu")
"""A scripted model has a variant for the accelerator, which the script disturbs, and one for the CPU."""

EMPTY: Mapping[str, object] = MappingProxyType({})

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
            path = _write(id, Script(op="nearest"), Script(op="nearest"), Path(folder))
            found.append(
                dataclasses.replace(Model.of(Bundle.open(path, allow_unsigned=True), path), path=None)
            )
    return tuple(found)


def write_virtual_bundle(
    model: Model,
    script: Script,
    folder: Path,
    *,
    cpu: Script | None = None,
    own: Mapping[str, object] = EMPTY,
) -> Path:
    """The bundle of a scripted model under a chipset's script. ``cpu`` is the script of its CPU variant
    (default: the same, `CPU_SLOWDOWN` times slower). ``own`` are changes of the model itself: they are in
    both variants and in the golden vectors, as a model that was trained or converted wrongly has them."""
    if model.id not in {m.id for m in virtual_models()}:
        raise OptionError.unknown("scripted model", model.id, [m.id for m in virtual_models()])
    reference = cpu or Script(op=script.op, delay_ms=script.delay_ms * CPU_SLOWDOWN)
    return _write(model.id, script_of(script, own), script_of(reference, own), folder, own)


def script_of(base: Script, changes: Mapping[str, object]) -> Script:
    """A script with some members changed; of ``faults`` only those that are named. Raises OptionError for
    one that there is not."""
    merged = plain(base) | dict(changes)
    if "faults" in changes:
        merged["faults"] = plain(base.faults) | dict(cast(Mapping[str, object], changes["faults"]))
    return Script.parse(json.dumps(plain(merged)).encode())


def _write(id: str, npu: Script, cpu: Script, folder: Path, own: Mapping[str, object] = EMPTY) -> Path:
    sr = id.startswith("sr/")
    scale = int(id[-1]) if sr else 1
    op = "nearest" if sr else "mask"
    scripts = {"npu": npu, "cpu": cpu}
    data = {
        target: json.dumps(plain(dataclasses.replace(script, op=op, scale=scale))).encode()
        for target, script in scripts.items()
    }
    variants = [(_sr_variant if sr else _de_variant)(target) for target in TARGETS]
    undisturbed = json.dumps(plain(dict(own) | {"op": op, "scale": scale})).encode()
    files = {v.file: data[v.target] for v in variants}
    files |= {v.golden.file: _golden(v, undisturbed) for v in variants}
    front_end: dict[str, object] = _DE_FRONT_END
    delays: dict[str, Any] = {"delay_samples": 1440}
    if sr:
        front_end = {"scale": scale, "plane": "luma", "bit_depth": 8, "receptive_field": 1}
        delays = {"delay_frames": 0}
    return write_bundle(
        folder / id / "bundle", id=id, version="1.0.0", front_end=front_end, variants=variants,
        provenance=Provenance(), card="# A scripted model\n", files=files, key=None, **delays,
    )  # fmt: skip


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


def _golden(variant: Variant, script: bytes) -> bytes:
    """What the model computes from a ramp (pictures) or from the middle (features), run on the engine."""
    engine = get("virtual").open(script, variant)
    arrays = {}
    for spec in variant.inputs:
        shape = tuple(8 if size < 0 else size for size in spec.shape)
        if spec.dtype == "int8":
            arrays[spec.name] = (np.arange(64, dtype=np.int8) * 2 - 64).reshape(shape)
        else:
            arrays[spec.name] = np.full(shape, 0.5 if spec.name == "features" else 0.0, np.float32)
        engine.resize(spec.name, shape)
        engine.input(spec.name)[...] = arrays[spec.name]
    engine.run()
    arrays |= {spec.name: engine.output(spec.name).copy() for spec in variant.outputs}
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()
