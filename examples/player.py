"""A player's loop on a clip: picture and sound in worker processes, faults on demand, and what is told.

    python examples/player.py examples/clip.mp4
    python examples/player.py examples/clip.mp4 --fault 30:kill --fault 60:sound:hang --seconds 4

It shows what a player must do (hand over each frame and block, read the record) and what it need not:
nothing here knows about crashes. While it plays, a key shows a fault in the picture's worker, a capital in
the sound's:

    k kill   s segv   h hang   n nan   b black   l slow   e exception   m memory   c corrupt   x never starts

Each line is a change of state: time, frame, what it was about, state and reason. There is no window and no
sound device: frames are made at the clip's pace, and counted. Needs ``pip install "lumavox[media]"``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np

from lumavox import DialogEnhancer, Frame, PixelFormat, Upscaler
from lumavox.errors import LumavoxError, OptionError
from lumavox.fault_injection import KINDS, FaultInjection
from lumavox.isolation import Isolation

KEYS = dict(zip("kshnblemcx", KINDS))


@dataclass
class Track:
    """What is played of one kind, its faults, and what was last said about it."""

    name: str
    opened: Upscaler | DialogEnhancer
    faults: FaultInjection
    said: tuple[object, ...] = ()
    log: list[str] = field(default_factory=list)

    def tell(self, at_s: float, frame: int) -> None:
        """Print the state, if it is another one than before."""
        record, worker = self.opened.record(), self.opened.worker
        now = (record.state, record.state_reason, worker and worker.pid)
        if now != self.said:
            self.said = now
            process = f"worker {worker.pid} {worker.state}" if worker else "no worker"
            line = f"{at_s:7.3f} s  frame {frame:4d}  {self.name:7}  {record.state:8}  {process}"
            self.log.append(line)
            print(f"{line}  {record.state_reason or ''}".rstrip(), flush=True)


@dataclass(frozen=True)
class Played:
    """How a clip was played."""

    frames: int
    in_order: bool
    samples_in: int
    samples_out: int
    late: int
    picture: Track
    sound: Track


def main(arguments: list[str] | None = None, **open_options: Any) -> Played:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clip")
    parser.add_argument("--seconds", type=float, default=60.0, help="play at most so long")
    parser.add_argument("--fault", action="append", default=[], metavar="FRAME[:sound]:KIND")
    parser.add_argument("--sr", default="nano", help="picture model")
    parser.add_argument("--de", default="de/base", help="dialog model")
    parser.add_argument("--pace", type=float, default=1.0, help="2 plays twice as fast")
    args = parser.parse_args(arguments)
    try:
        return play(args, planned(args.fault), **open_options)
    except LumavoxError as error:  # says what was asked, where, what is possible, what to do
        raise SystemExit(f"{error}") from error


def play(args: argparse.Namespace, plan: dict[int, list[tuple[str, str]]], **open_options: Any) -> Played:
    """Decode and play the clip. Raises what opening the models raises."""
    with av.open(args.clip) as container, keys() as pressed:
        video, audio = container.streams.video[0], container.streams.audio[0]
        interval_s = float(1 / (video.average_rate or 25)) / args.pace
        rate_hz = audio.codec_context.sample_rate
        picture_faults, sound_faults = FaultInjection(), FaultInjection()
        with (
            Upscaler.open(
                args.sr, deadline_ms=1e3 * interval_s, background=True,
                isolation=Isolation(faults=picture_faults), **open_options,
            ) as upscaler,
            DialogEnhancer.open(
                args.de, rate_hz=rate_hz, channels=2, deadline_ms=10.0, background=True,
                isolation=Isolation(faults=sound_faults), **open_options,
            ) as enhancer,
        ):  # fmt: skip
            picture = Track("picture", upscaler, picture_faults)
            sound = Track("sound", enhancer, sound_faults)
            tracks = {"picture": picture, "sound": sound}
            upscaler.wait(20.0)  # a player would show frames meanwhile, and so could this one
            enhancer.wait(20.0)
            resampler = av.AudioResampler("fltp", "stereo", rate_hz)
            out: Frame | None = None
            frames = late = samples_in = samples_out = 0
            order: list[int | None] = []
            began = due = time.perf_counter()
            for decoded in container.decode(video, audio):
                if isinstance(decoded, av.AudioFrame):
                    for block in resampler.resample(decoded):
                        sound_in = np.ascontiguousarray(block.to_ndarray().T, np.float32)
                        samples_in += len(sound_in)
                        samples_out += len(enhancer.process(sound_in))
                    sound.tell(time.perf_counter() - began, frames)
                    continue
                for name, kind in [*plan.get(frames, []), *pressed()]:
                    print(f"         fault on demand: {kind} of the {name}'s worker", flush=True)
                    tracks[name].faults.inject(kind)
                out = upscaler.process(luma(decoded), out)
                order.append(out.pts)
                due += interval_s
                pause_s = due - time.perf_counter()
                late += pause_s < 0
                time.sleep(max(0.0, pause_s))
                due = max(due, time.perf_counter() - interval_s)
                picture.tell(time.perf_counter() - began, frames)
                frames += 1
                if time.perf_counter() - began > args.seconds:
                    break
            samples_out += len(enhancer.flush())
            for track in tracks.values():
                summary(track)
            in_order = all(a is not None and b is not None and a < b for a, b in zip(order, order[1:]))
            delay = enhancer.delay_samples
    print(
        f"{frames} frames shown, {'in order' if in_order else 'OUT OF ORDER'}, {late} late; "
        f"{samples_in} samples in, {samples_out - delay} out after a delay of {delay}"
    )
    return Played(frames, in_order, samples_in, samples_out - delay, late, picture, sound)


def summary(track: Track) -> None:
    """What became of one track, and of its workers."""
    record, worker = track.opened.record(), track.opened.worker
    print(
        f"{track.name}: {record.frames_enhanced} enhanced, {record.frames_bypassed} conventional; "
        f"{worker.restarts if worker else 0} restarts; errors: {', '.join(record.errors) or 'none'}"
    )
    for restart in worker.recent if worker else ():
        back = "not yet" if restart.back_at is None else f"{(restart.back_at - restart.at) * 1e3:.0f} ms"
        print(f"  {restart.code}: {restart.cause}; the next one was ready after {back}")


def luma(decoded: Any) -> Frame:
    """The decoded frame as NV12, with its time."""
    planes = decoded.reformat(format="nv12").to_ndarray()
    height, width = decoded.height, decoded.width
    chroma = planes[height:].reshape(height // 2, width // 2, 2)
    frame = Frame.empty(PixelFormat.NV12, width, height)
    frame.planes[0][...] = planes[:height]
    frame.planes[1][...] = chroma.reshape(frame.planes[1].shape)
    frame.pts = decoded.pts
    return frame


def planned(texts: list[str]) -> dict[int, list[tuple[str, str]]]:
    """Faults by frame. Raises `OptionError`."""
    plan: dict[int, list[tuple[str, str]]] = {}
    for text in texts:
        number, *name, kind = text.split(":") if ":" in text else ("", text)
        if not number.isdigit() or name not in ([], ["sound"], ["picture"]):
            raise OptionError(f"--fault {text!r} is not FRAME:KIND or FRAME:sound:KIND, such as 30:kill")
        if kind not in KINDS:
            raise OptionError.unknown("fault", kind, KINDS)
        plan.setdefault(int(number), []).append((name[0] if name else "picture", kind))
    return plan


@contextlib.contextmanager
def keys() -> Iterator[Any]:
    """A function that returns the faults asked for by keys since its last call; none without a terminal."""
    if not sys.stdin.isatty():
        yield list
        return
    import termios
    import tty

    kept = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin.fileno())

    def pressed() -> list[tuple[str, str]]:
        found = []
        while select.select([sys.stdin], [], [], 0)[0]:
            key = os.read(sys.stdin.fileno(), 1).decode(errors="replace")
            if key.lower() in KEYS:
                found.append(("sound" if key.isupper() else "picture", KEYS[key.lower()]))
        return found

    try:
        yield pressed
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, kept)


if __name__ == "__main__":
    main()
