"""Tiny signed bundles for tests: engine "virtual", one for each task. Not a test itself.

    path = sr_bundle(tmp_path)                      # x2, int8 luma, any size, nearest-neighbour golden vector
    path = de_bundle(tmp_path)                      # 96 bands in, 96 mask values out, one state
    Bundle.open(path, trusted_keys=trusted())

``model`` is the script of the virtual engine (lumavox.backends.virtual), the model file; the default
repeats pixels (sr) or passes all bands (de). The key is made anew in each test run.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from lumavox import _bundle_rules as rules
from lumavox._parse import dump_json
from lumavox.bundle import Bundle, Golden, Provenance, StateSpec, TensorSpec, Variant, read_files
from lumavox.bundle_writer import write_bundle
from lumavox.signing import SigningKey, TrustedKeys

CARD = "# A model for tests\n"
SR_FRONT_END = {"scale": 2, "plane": "luma", "bit_depth": 8, "receptive_field": 1}
DE_FRONT_END: dict[str, object] = {"rate_hz": 48000, "window": 1440, "hop": 720, "bands": 96}


@lru_cache(maxsize=1)
def signing_key() -> SigningKey:
    """The key that signs the bundles of this test run."""
    return SigningKey.generate()


def trusted() -> TrustedKeys:
    """What verifies them."""
    return TrustedKeys.of(signing_key().public_pem())


def npz(**arrays: np.ndarray) -> bytes:
    """The bytes of an npz file."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def sr_variant(
    name: str = "any-int8-virtual", *, content: str = "any", scale: float = 2, dynamic: bool = True
) -> Variant:
    """int8 luma (byte - 128) in and out, NHWC; 8x8 pixels if not dynamic."""
    quantized = {"dtype": "int8", "layout": "NHWC", "scale": 1 / 255, "zero_point": -128}
    low, high = (-1, -1) if dynamic else (8, int(8 * scale))
    return Variant(
        name=name,
        file=f"variants/{name}.json",
        engine="virtual",
        precision="int8",
        content=content,
        dynamic=dynamic,
        inputs=(TensorSpec(name="luma", shape=(1, low, low, 1), **quantized),),
        outputs=(TensorSpec(name="enlarged", shape=(1, high, high, 1), **quantized),),
        golden=Golden(file=f"golden/{name}.npz", max_lsb=1),
        operators={"RESIZE_NEAREST_NEIGHBOR": 1},
    )


def sr_bundle(
    folder: Path,
    *,
    name: str = "tiny",
    scale: float = 2,
    receptive_field: int = 1,
    contents: Sequence[str] = ("any",),
    dynamic: bool = True,
    delay_frames: int = 0,
    model: object = None,
    golden: dict[str, np.ndarray] | None = None,
    key: SigningKey | None | bool = True,
    **fields: object,
) -> Path:
    """Write ``folder/sr/<name>/bundle`` with one variant per entry of ``contents``.

    The golden vector is nearest-neighbour upscaling unless ``golden`` is given. ``key`` True signs with
    ``signing_key()``, None leaves it unsigned. A ``scale`` that is not whole takes even sizes only.
    Further ``fields`` go to ``write_bundle``.
    """
    variants = [sr_variant(f"{c}-int8-virtual", content=c, scale=scale, dynamic=dynamic) for c in contents]
    if golden is None:
        luma = np.arange(64, dtype=np.int8).reshape(1, 8, 8, 1) * 2 - 64
        golden = {"luma": luma, "enlarged": nearest(luma[0, :, :, 0], scale)[None, :, :, None]}
    program = {"op": "nearest", "scale": scale} if model is None else model
    return _write(
        folder, f"sr/{name}", variants, program, golden, key,
        front_end=sr_front_end(scale, receptive_field), delay_frames=delay_frames, **fields,
    )  # fmt: skip


def sr_front_end(scale: float, receptive_field: int = 1) -> dict[str, object]:
    """The ``front_end`` of an "sr" bundle."""
    changes: dict[str, object] = {"scale": scale, "receptive_field": receptive_field}
    return SR_FRONT_END | changes | ({} if float(scale).is_integer() else {"multiple": 2})


def nearest(plane: np.ndarray, scale: float = 2) -> np.ndarray:
    """``plane`` ``(h, w)`` with its pixels repeated: what the virtual engine's "nearest" gives.

    Sides that are odd where ``scale`` is not whole are padded before, and cut after, to ``scale`` times the
    side, a half rounded up: what the Upscaler does for such a network.
    """
    multiple = 1 if float(scale).is_integer() else 2
    height, width = plane.shape
    padded = np.pad(plane, ((0, -height % multiple), (0, -width % multiple)), mode="edge")
    rows, columns = ((np.arange(int(n * scale)) + 0.5) // scale for n in padded.shape)
    large = padded[rows.astype(int)][:, columns.astype(int)]
    return large[: int(height * scale + 0.5), : int(width * scale + 0.5)]


def de_variant(
    name: str = "any-float32-virtual", *, bands: int = 96, state_shape: tuple[int, ...] = (1, 1, 1, 8)
) -> Variant:
    """Float features (1, 1, 1, bands) in, mask of that shape out, one state of one frame."""
    plain = {"dtype": "float32", "layout": "NHWC"}
    return Variant(
        name=name,
        file=f"variants/{name}.json",
        engine="virtual",
        precision="float32",
        content="any",
        dynamic=False,
        inputs=(
            TensorSpec(name="features", shape=(1, 1, 1, bands), **plain),
            TensorSpec(name="state_in", shape=state_shape, **plain),
        ),
        outputs=(
            TensorSpec(name="mask", shape=(1, 1, 1, bands), **plain),
            TensorSpec(name="state_out", shape=state_shape, **plain),
        ),
        states=(StateSpec(input="state_in", output="state_out", delay_frames=1),),
        golden=Golden(file=f"golden/{name}.npz", max_abs=1e-5),
        operators={"IDENTITY": 1},
    )


def de_bundle(
    folder: Path,
    *,
    name: str = "tiny",
    front_end: dict[str, object] | None = None,
    delay_samples: int = 1440,
    mask: float = 1.0,
    model: object = None,
    golden: dict[str, np.ndarray] | None = None,
    key: SigningKey | None | bool = True,
    **fields: object,
) -> Path:
    """Write ``folder/de/<name>/bundle`` with one float variant whose mask is ``mask`` in every band."""
    front_end = DE_FRONT_END | (front_end or {})
    variant = de_variant(bands=int(str(front_end["bands"])))
    shapes = {tensor.name: tensor.shape for tensor in variant.inputs + variant.outputs}
    if golden is None:
        golden = {n: np.zeros(shape, np.float32) for n, shape in shapes.items()}
        golden["features"] += np.float32(0.5)
        golden["mask"] += np.float32(mask)
    program = {"op": "mask", "value": mask} if model is None else model
    return _write(
        folder, f"de/{name}", [variant], program, golden, key,
        front_end=front_end, delay_samples=delay_samples, **fields,
    )  # fmt: skip


def _write(
    folder: Path,
    id: str,
    variants: Sequence[Variant],
    program: object,
    golden: dict[str, np.ndarray],
    key: SigningKey | None | bool,
    **fields: object,
) -> Path:
    files = {variant.file: json.dumps(program).encode() for variant in variants}
    files |= {variant.golden.file: npz(**golden) for variant in variants}
    settings = {"version": "0.1.0", "provenance": Provenance(), "card": CARD} | fields
    return write_bundle(
        folder / id / "bundle", id=id, variants=variants, files=files,
        key=signing_key() if key is True else (key or None), **settings,
    )  # fmt: skip


def opened(path: Path, **options: object) -> Bundle:
    """The bundle at ``path``, verified by the test key unless ``options`` say otherwise."""
    return Bundle.open(path, **({"trusted_keys": trusted()} | options))


def edited(folder: Path, change: Callable[[dict], object]) -> Path:
    """The bundle with its ``bundle.json`` changed in place and signed again, as a hostile signer could."""
    document = json.loads((folder / rules.DOCUMENT).read_bytes())
    change(document)
    (folder / rules.DOCUMENT).write_text(json.dumps(document))
    return sign(folder)


def sign(folder: Path) -> Path:
    """The bundle with manifest and signature made anew for the files as they are."""
    files = {n: d for n, d in read_files(folder).items() if n not in (rules.MANIFEST, rules.SIGNATURE)}
    manifest = dump_json(rules.manifest_of(files))
    (folder / rules.MANIFEST).write_bytes(manifest)
    (folder / rules.SIGNATURE).write_bytes(rules.signature_file(manifest, signing_key()))
    return folder
