"""How long a device waits: check, install, self-test, and the way back after a watchdog trip.

    python benchmarks/bench_update.py [--model sr/base-x2] [--runs 15]

A repository is made and served on this machine; the model is a shipped one on its engine, frames are 960x540
NV12. Prints rows: what, median ms, slowest ms.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from lumavox.catalog import find_bundle
from lumavox.picture import Frame, PixelFormat
from lumavox.update.device import Device, Firmware, installed_engines
from lumavox.update.hot_swap import HotSwap
from lumavox.update.self_test import self_test
from lumavox.update.updates import Settings, Updates
from lumavox.video import Upscaler
from lumavox_export.publish.keyring import Keyring
from lumavox_export.publish.repository import ModelRepository

WIDTH, HEIGHT = 960, 540
TITLES = {
    "check": "check: root to delegated metadata",
    "self-test": "golden self-test, in a process of its own",
    "install": "download, verification, activation",
    "frame": "one frame",
    "swap": "first frame after a swap",
    "back": "watchdog's trip: the model before is in place, the state flushed",
    "anew": "as above where the model before has to be opened, with its first frame",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="sr/base-x2")
    parser.add_argument("--runs", type=int, default=15)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = _publish(folder, args.model)
        times: dict[str, list[float]] = {title: [] for title in TITLES}
        for run in range(args.runs):
            _measure(folder / f"store-{run}", folder, server.server_port, args.model, times)
        server.shutdown()
    ms = {title: (statistics.median(t) * 1e3, max(t) * 1e3) for title, t in times.items()}
    for title, (median, slowest) in ms.items():
        print(f"| {TITLES[title]} | {median:.3g} | {slowest:.3g} |")


def _publish(folder: Path, model: str) -> http.server.ThreadingHTTPServer:
    repository = ModelRepository.init(folder / "repository", Keyring(folder / "keys"))
    repository.delegate("any")
    repository.add(find_bundle(model), "any")
    (folder / "root.json").write_bytes(repository.trust_anchor())
    handler = functools.partial(_Quiet, directory=str(folder / "repository"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def _measure(store: Path, folder: Path, port: int, model: str, times: dict[str, list[float]]) -> None:
    url = f"http://127.0.0.1:{port}"
    settings = Settings(store, f"{url}/metadata", f"{url}/targets", folder / "root.json")
    device = Device("bench", "any", firmware=Firmware("bench", "1"), engines=installed_engines())
    frame = Frame.empty(PixelFormat.NV12, WIDTH, HEIGHT)
    for plane in frame.planes:
        plane[...] = 100

    def timed(title: str, act: Callable[[], object]) -> object:
        begun = time.perf_counter()
        result = act()
        times[title].append(time.perf_counter() - begun)
        return result

    timed("self-test", lambda: self_test(find_bundle(model)))
    with Updates(settings, device, test=lambda *_, **__: self_test_passed()) as updates:
        offer = timed("check", lambda: updates.check(model))
        timed("install", lambda: updates.install(offer))  # type: ignore[arg-type]
        with updates.session(model) as session, HotSwap(Upscaler.open(model)) as swap:
            swap.process(frame)
            swap.offer(lambda: Upscaler.open(session.bundle))
            swap.wait()
            timed("swap", lambda: swap.process(frame))
            timed("frame", lambda: swap.process(frame))
            timed("back", lambda: (swap.back(), session.trip("bench")))
        (store / model / "state.json").unlink()
        updates.install(offer)  # type: ignore[arg-type]
        with updates.session(model) as session:

            def anew() -> None:
                with Upscaler.open(session.trip("bench")) as upscaler:
                    upscaler.process(frame)

            timed("anew", anew)


def self_test_passed() -> object:
    from lumavox.update.self_test import SelfTest

    return SelfTest(True, "measured apart")


if __name__ == "__main__":
    main()
