"""Puts compiled files into a copy of a bundle: `add_to_bundle`. The bundle itself is never touched.

Everything goes below ``targets/<target>/<content>-<precision>-<preset>/`` with its ``record.json``. Where one
of the runtime's engines reads the deployed file (``.tflite``, ``.onnx``) a variant is listed too, behind all
others; it has the fixed size of its tile and a golden vector from the integer reference. The file names the
tool and its version; nothing of a vendor's is put in.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lumavox._parse import dump_json, plain
from lumavox.bundle import Bundle, Golden, StateSpec, TensorSpec, Variant
from lumavox.bundle_writer import write_bundle
from lumavox.signing import SigningKey

from .. import formats, targets
from ..graph import Port
from ..reference import run_float, run_int
from .agreement import example
from .cache import RECORD
from .compiler import Outcome
from .network import Network

_ENGINES = {".tflite": "tflite", ".onnx": "onnx"}
_WRITTEN_ANEW = ("bundle.json", "manifest.json", "signature.json", "card.md")


def add_to_bundle(
    bundle: Bundle, outcomes: Sequence[Outcome], out_dir: Path, *, key: SigningKey | None
) -> Path:
    """Write ``bundle`` with what was compiled from it to ``out_dir``, as a whole or not at all.

    Raises `BundleError` for what the runtime would refuse, and `OptionError` if ``out_dir`` holds something
    that is no bundle.
    """
    files = {name: bundle.read(name) for name in bundle.files if name not in _WRITTEN_ANEW}
    variants = list(bundle.variants)
    for outcome in outcomes:
        record = outcome.record
        folder = f"targets/{record.target}/{record.content}-{record.precision}-{record.preset}"
        files[f"{folder}/{RECORD}"] = dump_json(plain(record))
        for name in record.compiled.files:
            files[f"{folder}/{name}"] = (outcome.folder / name).read_bytes()
        made = _variant(bundle.variant(record.variant), outcome, folder)
        if made is not None:
            variant, golden = made
            files[variant.golden.file] = golden
            variants = [v for v in variants if v.name != variant.name] + [variant]
    return write_bundle(
        out_dir,
        id=bundle.id,
        version=bundle.version,
        front_end=bundle.front_end,
        variants=variants,
        provenance=bundle.provenance,
        card=bundle.card,
        files=files,
        key=key,
        delay_frames=bundle.delay_frames if bundle.task == "sr" else None,
        delay_samples=bundle.delay_samples if bundle.task == "de" else None,
        calibration=bundle.calibration,
        min_runtime=bundle.min_runtime,
    )


def _variant(source: Variant, outcome: Outcome, folder: str) -> tuple[Variant, bytes] | None:
    """The entry and its golden vector; None where no engine of the runtime reads the file."""
    record, network = outcome.record, outcome.network
    engine = _ENGINES.get(Path(record.compiled.files[0]).suffix) if record.compiled.files else None
    if engine is None or network.tail:
        return None
    layout = targets.get(record.target)[0].ports
    feeds = example(network)
    run = (
        run_float(network.graph, feeds)
        if network.plan is None
        else run_int(network.graph, network.plan, feeds)
    )
    ports = (*network.graph.inputs, *network.graph.outputs)
    arrays = {port.name: np.asarray(run[port.name]) for port in ports}
    name = f"{record.content}-{record.precision}-{record.target}-{record.preset}"
    variant = Variant(
        name=name,
        file=f"{folder}/{record.compiled.files[0]}",
        engine=engine,  # type: ignore[arg-type]
        precision=source.precision,
        content=source.content,
        dynamic=False,
        inputs=tuple(_spec(port, network, layout) for port in network.graph.inputs),
        outputs=tuple(_spec(port, network, layout) for port in network.graph.outputs),
        golden=Golden(f"golden/{name}.npz", source.golden.max_lsb, source.golden.max_abs),
        target=record.target,
        states=tuple(StateSpec(s.input, s.output, s.delay_frames) for s in network.graph.states),
        compiler=record.compiled.tool,
        compiler_version=record.compiled.tool_version,
    )
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, allow_pickle=False, **{k: formats.to_layout(v, layout) for k, v in arrays.items()}
    )
    return variant, buffer.getvalue()


def _spec(port: Port, network: Network, layout: Any) -> TensorSpec:
    n, h, w, c = port.shape
    shape = (n, c, h, w) if layout == "NCHW" else port.shape
    if network.plan is None:
        return TensorSpec(port.name, shape, "float32", layout)
    quant = network.plan.tensors[port.name]
    return TensorSpec(port.name, shape, quant.dtype, layout, quant.scale, quant.zero_point)  # type: ignore[arg-type]
