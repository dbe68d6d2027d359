"""Peak memory and pace of ``lumavox enhance`` on a 10 s and a 60 s clip.

Memory should not grow with the length, and the wall time should be near that of the slowest stage, not near
their sum. Each clip is made by repeating CLIP without encoding it anew, and is enhanced in a process of its
own.

    python benchmarks/bench_enhance_memory.py [--clip examples/clip.mp4] [--seconds 10 60] [-- more options]

What follows ``--`` goes to ``lumavox enhance``, such as ``--backend ort``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import av

REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clip", type=Path, default=REPOSITORY / "examples" / "clip.mp4")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 60.0])
    parser.add_argument("options", nargs="*", help="for lumavox enhance, after --")
    args = parser.parse_args()
    print("clip s  peak MiB  frames   fps  wall s  slowest stage s  sum of stages s")
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for seconds in args.seconds:
            source = repeated(args.clip, seconds, Path(folder) / "in.mkv")
            peak_mib, report = enhanced(source, Path(folder), args.options)
            stages_s = list(report["stages_s"].values())
            frames = report["picture"]["frames"]
            fps, wall_s = report["picture"]["fps"], report["wall_s"]
            print(
                f"{seconds:6.0f}  {peak_mib:8.0f}  {frames:6d}  {fps:4.1f}  {wall_s:6.1f}  "
                f"{max(stages_s):15.1f}  {sum(stages_s):15.1f}"
            )
            peaks.append(peak_mib)
    print(f"peak memory, longest to shortest: {peaks[-1] / peaks[0]:.2f}")


def repeated(clip: Path, seconds: float, path: Path) -> Path:
    """``clip`` again and again, packet by packet, until it is ``seconds`` long."""
    with av.open(str(path), "w", format="matroska") as output:
        streams: dict[int, Any] = {}
        begin_s = 0.0
        while begin_s < seconds:
            with av.open(str(clip)) as source:
                for stream in source.streams:
                    if stream.index not in streams:
                        streams[stream.index] = output.add_stream_from_template(stream, opaque=True)
                for packet in source.demux():
                    if not packet.size or float(packet.pts * packet.time_base) < 0:
                        continue
                    if begin_s + float(packet.pts * packet.time_base) >= seconds:
                        continue
                    shift = round(begin_s / packet.time_base)
                    packet.pts += shift
                    packet.dts += shift
                    packet.stream = streams[packet.stream.index]
                    output.mux(packet)
                assert source.duration is not None
                begin_s += source.duration / 1e6
    return path


def enhanced(source: Path, folder: Path, options: list[str]) -> tuple[float, dict[str, Any]]:
    """Peak memory in MiB of the whole process, and its report."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "lumavox", "enhance", str(source), str(folder / "out.mkv")]
    path = os.pathsep.join([str(REPOSITORY / "sdk"), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [*command, "--report", str(report), *options],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"lumavox enhance ended with {process.returncode}")
    return usage.ru_maxrss / 1024, json.loads(report.read_text())


if __name__ == "__main__":
    main()
