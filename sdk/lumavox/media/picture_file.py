"""Pictures (png, jpg, webp): `enhance_picture_file`.

Colours go through the upscaler as BGR; an alpha channel is enlarged by a cubic filter; Exif, XMP and colour
profile are kept where OpenCV can (4.12 and later), so that the orientation stays a tag.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lumavox.content import Decision
from lumavox.errors import FrameError, OptionError, UnreadableMediaError, UnsupportedMediaError
from lumavox.media.report import Done, PictureReport, bypassed
from lumavox.media.task import Task
from lumavox.picture import Frame, PixelFormat

Picture = NDArray[np.uint8]

_QUALITY = 95  # of JPEG and WebP


def enhance_picture(task: Task) -> Done:
    """Enhance a picture.

    Raises `UnreadableMediaError`, `UnsupportedMediaError`, and `OptionError` when pictures are not to be
    enhanced.
    """
    if not task.options.picture:
        raise OptionError(f"{task.source} is a picture, and enhancing pictures is off: nothing to do")
    began = time.perf_counter()
    image, metadata = _read(task)
    height, width = image.shape[:2]
    colours = np.ascontiguousarray(image[:, :, :3]) if image.ndim == 3 else image
    format = PixelFormat.GRAY8 if colours.ndim == 2 else PixelFormat.BGR24
    # A photograph is not made for a screen, so there is no largest size but the one asked for.
    size = (width, height) if task.options.target else None
    upscaler = task.engines.upscaler(size, lambda: _content(task.source))
    if upscaler is None:
        raise OptionError(f"{task.source} is {width}x{height}, which fills the target: nothing to do")
    try:
        enhanced = upscaler.process(Frame.wrap(format, width, height, (colours,))).planes[0]
    except FrameError as error:
        raise UnsupportedMediaError(f"cannot enhance {task.source}: {error}") from error
    _write(task, _with_alpha(image, enhanced, task), metadata)
    if task.preview is not None:
        task.preview.see(0.0, _three(colours), _three(enhanced))
    if sentence := bypassed(upscaler, "pictures"):
        task.warn(sentence)
    larger = enhanced.shape[1], enhanced.shape[0]
    seconds = time.perf_counter() - began
    return Done(
        PictureReport.of(
            upscaler, source_size=(width, height), size=larger, frames=1, seconds=seconds, codec=task.ending
        )
    )


def _content(source: Path) -> Decision:
    """PNG keeps what it was given; the others may have lost a little or a lot."""
    with source.open("rb") as file:
        png = file.read(4) == b"\x89PNG"
    return Decision("clean", "PNG is lossless") if png else Decision("auto", "the format tells nothing")


def _read(task: Task) -> tuple[Picture, tuple[Any, Any] | None]:
    """The picture, 8 bits, ``(h, w)`` or ``(h, w, 3 or 4)``; and its metadata, if OpenCV can say."""
    import cv2

    source = task.source
    data = np.fromfile(source, np.uint8)
    kinds: Any = None
    blobs: Sequence[Any] = ()
    try:
        if hasattr(cv2, "imdecodeWithMetadata"):
            image, kinds, blobs = cv2.imdecodeWithMetadata(data, flags=cv2.IMREAD_UNCHANGED)
        else:  # without its tag, the orientation must be applied: UNCHANGED would not
            flags = cv2.IMREAD_UNCHANGED if source.suffix.lower() == ".png" else cv2.IMREAD_COLOR
            image = cv2.imdecode(data, flags)
    except cv2.error as error:
        raise UnreadableMediaError(f"cannot read {source}: {error.err}") from error
    if image is None:
        raise UnreadableMediaError(f"cannot read {source}: the picture is damaged or cut off")
    if image.dtype != np.uint8:
        task.warn(f"the picture has {image.dtype.itemsize * 8} bits per sample; it was reduced to 8")
        image = cv2.convertScaleAbs(image, alpha=255 / np.iinfo(image.dtype).max)
    if image.ndim == 3 and image.shape[2] == 2:  # grey with alpha
        image = np.dstack([image[:, :, :1]] * 3 + [image[:, :, 1:]])
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    return image, (kinds, blobs) if kinds is not None and len(kinds) else None


def _with_alpha(image: Picture, enhanced: Picture, task: Task) -> Picture:
    import cv2

    if image.ndim != 3 or image.shape[2] != 4:
        return enhanced
    if task.ending in ("jpg", "jpeg"):
        task.warn("JPEG has no transparency; it was left out")
        return enhanced
    size = enhanced.shape[1], enhanced.shape[0]
    alpha = cv2.resize(np.ascontiguousarray(image[:, :, 3]), size, interpolation=cv2.INTER_CUBIC)
    return np.dstack([enhanced, alpha])


def _write(task: Task, picture: Picture, metadata: tuple[Any, Any] | None) -> None:
    import cv2

    ending = task.ending
    level = _QUALITY if task.options.quality is None else task.options.quality
    options = {
        "jpg": [cv2.IMWRITE_JPEG_QUALITY, level],
        "jpeg": [cv2.IMWRITE_JPEG_QUALITY, level],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, max(1, level)],
    }.get(ending, [])
    problem = "the encoder refused it"
    done, data = False, np.empty(0, np.uint8)
    try:
        if metadata is not None:
            done, data = cv2.imencodeWithMetadata(f".{ending}", picture, *metadata, options)
        else:
            done, data = cv2.imencode(f".{ending}", picture, options)
    except cv2.error as error:
        problem = error.err
    if not done:
        size = f"{picture.shape[1]}x{picture.shape[0]}"
        raise UnsupportedMediaError(
            f"cannot write a picture of {size} as .{ending}: {problem}; .png files hold larger ones"
        )
    task.temporary.write_bytes(data.tobytes())


def _three(picture: Picture) -> Picture:
    """``picture`` with three channels."""
    return np.dstack([picture] * 3) if picture.ndim == 2 else picture
