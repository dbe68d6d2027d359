"""VMAF and VMAF-NEG of luma sequences, with the ffmpeg that the package ``imageio-ffmpeg`` carries.

    scores = vmaf(estimates, truths)["vmaf_neg"]
    scores.mean, scores.harmonic_mean, scores.percentile_5, scores.per_frame

VMAF rewards sharpening as such; VMAF-NEG (no enhancement gain; Li et al., 2020) does not. A VMAF that rises
over a flat NEG is sharpening, not detail. Both look at luma only, so chroma is sent as neutral 128. The
built-in models are those of a 1080p picture seen from three times its height: figures of smaller pictures
compare methods, they are not what a viewer would say.

Estimates are scored at full size against the source. Both sequences travel in one stream, estimate above
truth: two inputs of unequal length would be paired by repeating the last frame, and lower the mean unseen.
The picture format is 4:2:0 because ``gray`` would have its range converted on the way.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lumavox._files import replace_file
from lumavox.errors import LumavoxError, MissingExtraError, OptionError

Luma = NDArray[np.uint8]
MODELS = {"vmaf": "vmaf_v0.6.1", "vmaf_neg": "vmaf_v0.6.1neg"}


class VmafError(LumavoxError):
    """A sequence cannot be scored: no libvmaf in the ffmpeg found, unequal sequences, or ffmpeg failed."""


@dataclass(frozen=True)
class VmafScores:
    """Scores 0..100 of a sequence."""

    per_frame: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Arithmetic mean."""
        return float(np.mean(self.per_frame))

    @property
    def harmonic_mean(self) -> float:
        """As libvmaf pools it: of score + 1, so that a frame of score 0 is allowed."""
        return float(1 / np.mean(1 / (np.array(self.per_frame) + 1)) - 1)

    @property
    def percentile_5(self) -> float:
        """What 95 % of the frames exceed: viewers remember the worst ones."""
        return float(np.percentile(self.per_frame, 5))


def vmaf(
    estimates: Sequence[Luma],
    truths: Sequence[Luma],
    models: Sequence[str] = ("vmaf_neg",),
    cache: Path | None = None,
) -> dict[str, VmafScores]:
    """Score ``estimates`` against ``truths``: 8-bit luma ``(height, width)``, all of one size.

    Scores are kept in the folder ``cache``, if given, by the digest of pictures, model and ffmpeg. Raises
    MissingExtraError without imageio-ffmpeg, OptionError for an unknown model, VmafError for anything else.
    """
    for name in models:
        if name not in MODELS:
            raise OptionError.unknown("VMAF model", name, MODELS)
    shapes = {(f.shape, f.dtype.name) for f in (*estimates, *truths)}
    if len(estimates) != len(truths) or len(shapes) != 1 or not all(t == "uint8" for _, t in shapes):
        raise VmafError(
            f"VMAF compares two sequences of equal length, size and type uint8; got {len(estimates)} and "
            f"{len(truths)} frames of {', '.join(map(str, sorted(shapes))) or 'nothing'}"
        )
    program, version = _ffmpeg()
    kept = None
    if cache is not None:
        digest = hashlib.sha256(f"{version} {[MODELS[m] for m in models]} {sorted(shapes)}".encode())
        for frame in (*estimates, *truths):
            digest.update(np.ascontiguousarray(frame).data)
        kept = cache / f"{digest.hexdigest()}.json"
        if kept.is_file():
            found = json.loads(kept.read_text())
            return {name: VmafScores(tuple(found[name])) for name in models}
    scores = _run(program, estimates, truths, models)
    if kept is not None:
        replace_file(kept, json.dumps({name: s.per_frame for name, s in scores.items()}))
    return scores


def _run(
    program: str, estimates: Sequence[Luma], truths: Sequence[Luma], models: Sequence[str]
) -> dict[str, VmafScores]:
    height, width = estimates[0].shape
    rows, columns = height + height % 2, width + width % 2  # of 4:2:0 pictures
    wanted = "|".join(f"version={MODELS[name]}\\:name={name}" for name in models)
    graph = (
        f"split[up][down];[up]crop={width}:{height}:0:0:exact=1[estimate];"
        f"[down]crop={width}:{height}:0:{rows}:exact=1[truth];"
        f"[estimate][truth]libvmaf=model='{wanted}':n_threads=1:log_fmt=json:log_path=scores.json"
    )
    with tempfile.TemporaryDirectory(prefix="lumavox-vmaf-") as folder, tempfile.TemporaryFile() as said:
        # fmt: off
        process = subprocess.Popen(
            [program, "-hide_banner", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p",
             "-video_size", f"{columns}x{2 * rows}", "-i", "pipe:0",
             "-filter_complex_threads", "1", "-filter_complex", graph, "-f", "null", "-"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, cwd=folder,
        )
        # fmt: on
        assert process.stdin is not None
        planes = np.full((3 * rows, columns), 128, np.uint8)  # both lumas, then both chromas of both
        try:
            with process.stdin as pipe:
                for estimate, truth in zip(estimates, truths, strict=True):
                    planes[:height, :width] = estimate
                    planes[rows : rows + height, :width] = truth
                    pipe.write(planes.data)
        except BrokenPipeError:
            pass  # it ended early; its own words follow
        log = Path(folder) / "scores.json"
        if process.wait() != 0 or not log.is_file():
            said.seek(0)
            raise VmafError(f"ffmpeg failed ({program}): {said.read().decode(errors='replace').strip()}")
        frames = json.loads(log.read_text())["frames"]
    if len(frames) != len(estimates):
        raise VmafError(f"ffmpeg scored {len(frames)} frames of {len(estimates)} given")
    return {name: VmafScores(tuple(f["metrics"][name] for f in frames)) for name in models}


@lru_cache(maxsize=1)
def _ffmpeg() -> tuple[str, str]:
    """Path and version of an ffmpeg with libvmaf."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise MissingExtraError("imageio-ffmpeg", "export", "VMAF") from error
    try:
        program = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise VmafError(f"VMAF: imageio-ffmpeg has no ffmpeg for this machine: {error}") from error
    filters = subprocess.run([program, "-hide_banner", "-filters"], capture_output=True, text=True)
    if " libvmaf " not in filters.stdout:
        raise VmafError(
            f"VMAF: {program} was built without libvmaf; unset IMAGEIO_FFMPEG_EXE, or upgrade with: "
            'pip install --upgrade "imageio-ffmpeg>=0.8.1"'
        )
    banner = subprocess.run([program, "-version"], capture_output=True, text=True).stdout
    return program, banner.splitlines()[0]
