"""The work of stage export: networks and plans in; model files, golden vectors and parity reports out.

Each content is written in every wanted format and precision, and the parity chain is asserted before a file
is written: a folder made here is proof that the files agree. It decides nothing about the network; stage
quantize did.

    artifact = export(ExportInput(contents, variants), out_dir)
    artifact == ExportArtifact.load(out_dir)
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lumavox._parse import dump_json, load_json, parse, plain
from lumavox.bundle import Golden, StateSpec, TensorSpec, Variant
from lumavox.errors import OptionError

from . import formats
from .errors import StageError
from .graph import ANY, Graph, Port
from .parity import ExportedFile, Feeds, Function, ParityReport, Tolerances, check
from .quant_plan import QuantPlan
from .reference import run_int

# Format and precision of the variants, in order of preference.
VARIANTS = (("tflite", "int8"), ("onnx", "int8"), ("tflite", "float32"), ("onnx", "float32"))


@dataclass(frozen=True)
class Integers:
    """A quantized network: ``graph`` has the tensors of the float one, its weights may be trained further."""

    graph: Graph
    plan: QuantPlan


@dataclass(frozen=True)
class Content:
    """One trained network of a model, for one kind of material.

    ``feeds`` are real NHWC inputs, states included; all are compared, the last one becomes the golden
    vector, so it should be typical (in a stream: not the first frame). ``reference`` is the float network
    in torch, from feeds to outputs, and ``graph`` the same drawn. ``integers`` has one entry per precision.
    """

    name: str  # "any", "clean" or "streamed"
    graph: Graph
    integers: tuple[Integers, ...]
    reference: Function
    feeds: Sequence[Feeds]
    tolerances: Tolerances = Tolerances()


@dataclass(frozen=True)
class ExportInput:
    """All networks of a model, and the (format, precision) to write of each, in order of preference."""

    contents: tuple[Content, ...]
    variants: tuple[tuple[str, str], ...] = VARIANTS


@dataclass(frozen=True)
class ExportArtifact:
    """What was made: ``variants`` as a bundle lists them, their files below ``folder``."""

    RECORD: ClassVar[str] = "export.json"

    folder: Path
    variants: tuple[Variant, ...]
    reports: tuple[ParityReport, ...]

    @classmethod
    def load(cls, folder: Path) -> ExportArtifact:
        """The artifact of an earlier run. Raises `StageError` if there is none, or it is altered."""
        try:
            data = (folder / cls.RECORD).read_bytes()
        except OSError as cause:
            raise StageError(f"{folder}: no finished export there ({cause}); run the export stage") from cause
        where = str(folder / cls.RECORD)
        record = parse(_Record, load_json(data, where), where)
        artifact = cls(folder, record.variants, record.parity)
        for name, content in artifact.files().items():
            if hashlib.sha256(content).hexdigest() != record.sha256.get(name):
                raise StageError(f"{folder / name} was altered since it was exported; export again")
        return artifact

    def files(self) -> dict[str, bytes]:
        """Model files and golden vectors by their path in a bundle."""
        names = [name for v in self.variants for name in (v.file, v.golden.file)]
        try:
            return {name: (self.folder / name).read_bytes() for name in dict.fromkeys(names)}
        except OSError as cause:
            raise StageError(f"{self.folder}: an exported file is gone ({cause}); export again") from cause


@dataclass(frozen=True)
class _Record:
    """``export.json``."""

    variants: tuple[Variant, ...]
    parity: tuple[ParityReport, ...]
    sha256: Mapping[str, str]


def export(source: ExportInput, out_dir: Path) -> ExportArtifact:
    """Writes all variants into ``out_dir``, which is replaced as a whole when everything agreed.

    Raises `ParityError` if a file computes something else than its network, `OptionError` for a variant that
    no format or plan offers.
    """
    written: dict[tuple[str, str, str], ExportedFile] = {}
    reports = []
    for content in source.contents:
        files = [_write(content, format_name, precision) for format_name, precision in source.variants]
        reports.append(
            check(content.name, content.graph, content.reference, content.feeds, files, content.tolerances)
        )
        written |= {(file.format, file.precision, content.name): file for file in files}
    contents = {content.name: content for content in source.contents}
    variants: list[Variant] = []
    outputs: dict[str, bytes] = {}
    for format_name, precision in source.variants:  # by preference first, then by content
        for name, content in contents.items():
            file = written[format_name, precision, name]
            variant, vector = _variant(content, file)
            variants.append(variant)
            outputs |= {variant.file: file.data, variant.golden.file: vector}
    record = _Record(
        tuple(variants),
        tuple(reports),
        {name: hashlib.sha256(data).hexdigest() for name, data in outputs.items()},
    )
    _replace_folder(out_dir, outputs | {ExportArtifact.RECORD: dump_json(plain(record))})
    return ExportArtifact(out_dir, record.variants, record.parity)


def _write(content: Content, format_name: str, precision: str) -> ExportedFile:
    found: dict[str, tuple[Graph, QuantPlan | None]] = {"float32": (content.graph, None)}
    found |= {integers.plan.precision: (integers.graph, integers.plan) for integers in content.integers}
    if precision not in found:
        raise OptionError.unknown("precision", precision, found, f"content {content.name!r}")
    graph, plan = found[precision]
    return ExportedFile(format_name, graph, plan, formats.get(format_name).write(graph, plan))


def _variant(content: Content, file: ExportedFile) -> tuple[Variant, bytes]:
    """A variant's entry in ``bundle.json``, and its golden vector as npz."""
    form, graph = formats.get(file.format), file.graph
    stem = f"{content.name}-{file.precision}"
    tolerances = content.tolerances
    limits: dict[str, Any] = {"max_lsb": tolerances.lsb} if file.plan else {"max_abs": tolerances.float_abs}
    variant = Variant(
        name=f"{stem}-{file.format}",
        file=f"variants/{stem}{form.SUFFIX}",
        engine=form.ENGINE,  # type: ignore[arg-type]
        precision=file.precision,  # type: ignore[arg-type]
        content=content.name,  # type: ignore[arg-type]
        dynamic=any(ANY in port.shape for port in graph.inputs),
        inputs=tuple(_tensor_spec(port, file, form) for port in graph.inputs),
        outputs=tuple(_tensor_spec(port, file, form) for port in graph.outputs),
        golden=Golden(f"golden/{stem}-{file.format}.npz", **limits),
        states=tuple(StateSpec(s.input, s.output, s.delay_frames) for s in graph.states),
        operators=form.operators(file.data),
    )
    return variant, _npz({k: formats.to_layout(v, form.LAYOUT) for k, v in _golden(content, file).items()})


def _tensor_spec(port: Port, file: ExportedFile, form: formats.Format) -> TensorSpec:
    n, h, w, c = port.shape
    shape = (n, c, h, w) if form.LAYOUT == "NCHW" else port.shape
    layout: Any = form.LAYOUT
    if file.plan is None:
        return TensorSpec(port.name, shape, "float32", layout)
    quant = file.plan.tensors[port.name]
    return TensorSpec(port.name, shape, quant.dtype, layout, quant.scale, quant.zero_point)  # type: ignore[arg-type]


def _golden(content: Content, file: ExportedFile) -> dict[str, NDArray[Any]]:
    """Inputs and outputs, NHWC: from torch in float, from the integer reference else."""
    feeds = dict(content.feeds[-1])
    if file.plan is None:
        outputs = content.reference(feeds)
    else:
        feeds = {name: file.plan.tensors[name].quantize(value) for name, value in feeds.items()}
        outputs = run_int(file.graph, file.plan, feeds)
    return feeds | {port.name: np.asarray(outputs[port.name]) for port in file.graph.outputs}


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The same bytes for the same arrays (numpy dates the members 1980-01-01)."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _replace_folder(out_dir: Path, files: Mapping[str, bytes]) -> None:
    if out_dir.exists() and any(out_dir.iterdir()) and not (out_dir / ExportArtifact.RECORD).is_file():
        raise OptionError(f"{out_dir} holds something else than an export; choose another folder")
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.", dir=out_dir.parent))
    try:
        for name, data in files.items():
            path = temporary / "new" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        if out_dir.exists():
            os.rename(out_dir, temporary / "old")
        os.rename(temporary / "new", out_dir)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
