"""Super-resolution figures: PSNR-Y and SSIM-Y on stills (MATLAB-style bicubic) and on encoded clips.

Protocol of the literature: high resolution cut to a multiple of the scale, RGB reduced by antialiased
bicubic and rounded, BT.601 studio-range luma, ``scale`` border pixels left out, peak 255.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lumavox.benchmark import overhead
from lumavox.bundle import Bundle
from lumavox.session import Session

from ..data.codec import encode_decode
from ..data.manifest import Dataset
from ..data.sr_pairs import VIDEO, read_rgb
from ..metrics import psnr, ssim
from ..progress import progress
from ..recipe import Recipe
from ..resize import resize, to_luma
from ..work import Work
from . import table_of

Luma = NDArray[np.uint8]
Pair = tuple[Luma, NDArray[np.float32]]
Method = Callable[[Luma], NDArray[np.floating]]
CODECS = {"libx264": (22, 26, 30, 34), "libx265": (22, 30), "libsvtav1": (22, 30)}  # CRF on the H.264 scale
CLIP_FRAMES = 10
CLIP_WIDTH = 1100  # wider clips are reduced by two first


def measure(recipe: Recipe, bundle: Bundle, work: Work) -> tuple[dict[str, Any], str]:
    """All figures of a bundle; see the package."""
    scale: int = recipe.network.scale  # type: ignore[attr-defined]
    sessions, methods = _methods(bundle, scale)
    names = sorted({n for c in recipe.contents for n in c.data.validation})  # type: ignore[attr-defined]
    datasets = [work.dataset(name) for name in names]
    try:
        stills = _score(methods, [[pair] for pair in _still_pairs(datasets, scale)], scale, "stills")
        clips = {name: frames for d in datasets for name, frames in _clips(d)}
        encoded = {}
        for codec, levels in CODECS.items():
            for crf in levels:
                groups = [_encoded_pairs(frames, scale, codec, crf) for frames in clips.values()]
                encoded[f"{codec} crf {crf}"] = (
                    _score(methods, groups, scale, f"{codec} {crf}") if groups else {}
                )
    finally:
        for session in sessions:
            session.close()
    network: Any = recipe.network.build().to_graph()  # type: ignore[attr-defined]
    figures = {
        "parameters": network.parameters(),
        "macs_per_input_pixel": network.macs(16, 16) // 256,
        "engines": {f"{s.variant.name}": s.engine.description for s in sessions},
        "stills": stills,
        "encoded": encoded,
        "speed": _speed(bundle),
    }
    return figures, _table(stills, encoded)


def _methods(bundle: Bundle, scale: int) -> tuple[list[Session], dict[str, Method]]:
    methods: dict[str, Method] = {kernel: _filter(kernel, scale) for kernel in ("bicubic", "lanczos")}
    sessions = []
    for content in sorted({v.content for v in bundle.variants}):
        for precision in ("float32", "int8"):
            session = Session.open(bundle, content=content, precision=precision)
            sessions.append(session)
            methods[f"{content} {precision}"] = _network(session)
    return sessions, methods


def _filter(kernel: str, scale: int) -> Method:
    """A conventional resampling filter."""
    return lambda low: resize(low, (low.shape[0] * scale, low.shape[1] * scale), kernel)


def _network(session: Session) -> Method:
    """The network on luma bytes, as the device's engine runs it."""
    fed, got = session.variant.inputs[0], session.variant.outputs[0]
    integer = fed.dtype == "int8"

    def run(low: Luma) -> NDArray[np.floating]:
        height, width = low.shape
        shape = (1, height, width, 1) if fed.layout == "NHWC" else (1, 1, height, width)
        session.engine.resize(fed.name, shape)
        view = session.engine.input(fed.name)
        view[...] = ((low ^ 0x80).view(np.int8) if integer else low.astype(np.float32) / 255).reshape(shape)
        del view  # engines refuse to run while a view is held
        session.engine.run()
        out = np.array(session.engine.output(got.name)).squeeze()
        return (out.view(np.uint8) ^ 0x80).astype(np.float32) if integer else out * 255

    return run


def _still_pairs(datasets: list[Dataset], scale: int) -> Iterator[tuple[Luma, NDArray[np.float32]]]:
    for dataset in datasets:
        for entry in dataset.entries:
            if (dataset.root / entry.file).suffix.lower() in VIDEO or "/clips/" in entry.file:
                continue
            rgb = read_rgb(dataset.path(entry))
            height, width = (n // scale * scale for n in rgb.shape[:2])
            rgb = rgb[:height, :width]
            low = np.clip(np.rint(resize(rgb, (height // scale, width // scale))), 0, 255)
            yield np.rint(to_luma(low)).astype(np.uint8), to_luma(rgb)


def _clips(dataset: Dataset) -> Iterator[tuple[str, list[NDArray[np.float32]]]]:
    """Luma of the first frames of every clip: a video file, or a folder of frames under ``clips``."""
    folders: dict[str, list[NDArray[np.float32]]] = {}
    for entry in dataset.entries:
        path = dataset.path(entry)
        if path.suffix.lower() in VIDEO:
            import av

            with av.open(str(path)) as container:
                frames = []
                for frame in container.decode(video=0):
                    frames.append(to_luma(frame.to_ndarray(format="rgb24")))
                    if len(frames) == CLIP_FRAMES:
                        break
            yield entry.file, frames
        elif "/clips/" in entry.file:
            luma = to_luma(read_rgb(path))
            folders.setdefault(entry.file.rsplit("/", 1)[0], []).append(luma)
    yield from folders.items()


def _encoded_pairs(
    frames: list[NDArray[np.float32]], scale: int, codec: str, crf: int
) -> list[tuple[Luma, NDArray[np.float32]]]:
    highs = []
    for frame in frames:
        if frame.shape[1] > CLIP_WIDTH:
            frame = np.rint(resize(frame, (frame.shape[0] // 2, frame.shape[1] // 2)))
        height, width = (n // (2 * scale) * (2 * scale) for n in frame.shape)
        highs.append(frame[:height, :width])
    lows = [
        np.clip(np.rint(resize(h, (h.shape[0] // scale, h.shape[1] // scale))), 0, 255).astype(np.uint8)
        for h in highs
    ]
    return list(zip(encode_decode(lows, codec, crf, 48), highs, strict=True))


def _score(
    methods: dict[str, Method], groups: list[list[Pair]], scale: int, what: str
) -> dict[str, dict[str, float]]:
    """PSNR-Y and SSIM-Y of each method, mean over groups (a still, a clip) of the mean over a group's frames.

    A clip counts once however long it is; ``worst_psnr_y_db`` is that of the worst frame.
    """
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
    worst = dict.fromkeys(methods, float("inf"))
    for group in progress(groups, f"measuring {what}"):
        for name, method in methods.items():
            scores = []
            for low, high in group:
                estimate = np.rint(np.clip(method(low), 0, 255))
                scores.append((psnr(estimate, high, scale), ssim(estimate, high, scale)))
            worst[name] = min([worst[name], *(p for p, _ in scores)])
            found[name].append(
                (float(np.mean([p for p, _ in scores])), float(np.mean([s for _, s in scores])))
            )
    return {
        name: {
            "psnr_y_db": round(float(np.mean([p for p, _ in values])), 3),
            "ssim_y": round(float(np.mean([s for _, s in values])), 4),
            "worst_psnr_y_db": round(worst[name], 3),
        }
        for name, values in found.items()
    }


def _speed(bundle: Bundle) -> dict[str, Any]:
    """The preferred variant at 960x540 on one thread: bare engine and whole `Upscaler`, interleaved."""
    found = overhead(bundle, size=(960, 540), rounds=20)
    return {
        "engine_ms_960x540": round(found.engine_ms, 1),
        "upscaler_ms_960x540": round(found.process_ms, 1),
        "ratio": round(found.ratio, 3),
    }


def _table(stills: dict[str, Any], encoded: dict[str, Any]) -> str:
    columns = {"stills": stills, **{name: scores for name, scores in encoded.items() if scores}}
    rows = []
    for method in stills:
        cells = [
            f"{scores[method]['psnr_y_db']:.2f} / {scores[method]['ssim_y']:.4f}"
            for scores in columns.values()
        ]
        rows.append([method, *cells])
    return table_of(["PSNR-Y dB / SSIM-Y", *columns], rows)
