"""A repository, a web server that can misbehave, and a device that updates from it. Not a test itself.

with World(tmp_path) as world:
    world.publish("1.0.0")
    world.server.rewrite["metadata/timestamp.json"] = lambda data: data + b"x"
    world.updates().check(world.id)
"""

from __future__ import annotations

import datetime
import http.server
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bundles import signing_key, sr_bundle
from lumavox.update.client import Limits
from lumavox.update.device import Device, Firmware
from lumavox.update.health import Health
from lumavox.update.self_test import SelfTest
from lumavox.update.updates import Settings, Updates
from lumavox_export.publish.keyring import Keyring
from lumavox_export.publish.repository import ModelRepository

CHIPSET = "rk3588"
MODEL = "sr/tiny"

DEVICE = Device(
    soc_model="RK3588",
    chipset=CHIPSET,
    hardware_id="stb-4k-rev2",
    firmware=Firmware("acme", "12.4.1"),
    drivers={"rknpu": "0.9.8"},
    engines={"virtual": "1"},
    ram_mb=4096,
    serial="000017",
)


class Server:
    """Serves a folder on a free port. By a part of its path, a file's bytes are changed on the way
    (``rewrite``), made up without an announced length (``stream``), or never sent (``headers_only``)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rewrite: dict[str, Callable[[bytes], bytes]] = {}
        self.stream: dict[str, Callable[[], Iterator[bytes]]] = {}
        self.headers_only: set[str] = set()
        self.cut: set[str] = set()  # rewritten, but announced in full length
        self.asked: list[str] = []
        self.closing = threading.Event()
        handler = type("Handler", (_Handler,), {"world": self})
        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._http.block_on_close = False
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    world: Server

    def do_GET(self) -> None:
        world, path = self.world, self.path.lstrip("/")
        world.asked.append(path)
        file = world.folder / path
        key = next((k for k in (*world.rewrite, *world.stream, *world.headers_only) if k in path), None)
        if not file.is_file() and key is None:
            self.send_error(404)
            return
        try:
            if key in world.headers_only:
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                world.closing.wait(10)
                return
            if key in world.stream:
                self.send_response(200)
                self.end_headers()
                for chunk in world.stream[key]():
                    self.wfile.write(chunk)
                return
            data = file.read_bytes() if file.is_file() else b""
            announced = len(data)
            if key is not None:
                data = world.rewrite[key](data)
                announced = len(data) if key not in world.cut else announced
            self.send_response(200)
            self.send_header("Content-Length", str(announced))
            self.end_headers()
            self.wfile.write(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def log_message(self, *_: object) -> None:
        pass


class World:
    """``folder`` is new, or a copy of another world's."""

    id = MODEL

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keyring = Keyring(folder / "keys")
        self.repository = ModelRepository(folder / "repository", self.keyring)
        self.root = folder / "root.json"
        self.key = folder / "release.pub.pem"
        self.factory = folder / "factory"
        if not self.root.exists():
            self._begin()
        self.server = Server(folder / "repository")
        self.tested: list[Path] = []
        self.test_result = SelfTest(True, "golden vectors came out")

    @classmethod
    def copied(cls, template: Path, folder: Path, patch: pytest.MonkeyPatch) -> World:
        """A copy of the world in ``template``, with its factory model for this process."""
        shutil.copytree(template, folder, symlinks=True)
        patch.setenv("LUMAVOX_MODELS", str(folder / "factory"))
        return cls(folder)

    def _begin(self) -> None:
        ModelRepository.init(self.folder / "repository", self.keyring)
        self.repository.delegate(CHIPSET)
        self.root.write_bytes(self.repository.trust_anchor())
        self.key.write_bytes(signing_key().public_pem())
        self.bundle("0.9.0", self.factory)

    def bundle(self, version: str, place: Path | None = None, **fields: object) -> Path:
        """A signed bundle of that version."""
        return sr_bundle(place or self.folder / "bundles" / version, version=version, **fields)

    def publish(self, version: str, chipset: str = CHIPSET, **options: object) -> None:
        """Publish that version for the chipset."""
        from bundles import trusted

        path = self.folder / "bundles" / version / MODEL / "bundle"
        if not path.exists():
            self.bundle(version)
        self.repository.add(path, chipset, trusted=trusted(), **options)

    def settings(self, **changes: object) -> Settings:
        fields: dict[str, object] = {
            "store": self.folder / "store",
            "metadata_url": f"{self.server.url}/metadata",
            "targets_url": f"{self.server.url}/targets",
            "root": self.root,
            "keys": (self.key,),
            "models": (MODEL,),
            "healthy_sessions": 2,
            "backend": "virtual",
            "limits": Limits(check_s=5, silence_s=5),
            "health": Health(min_frames=10),
        }
        return Settings(**(fields | changes))

    def updates(self, device: Device = DEVICE, **options: object) -> Updates:
        """The device. Its self-test is not run but taken from ``test_result``."""
        changes = options.pop("settings", {})
        return Updates(self.settings(**changes), device, **({"test": self._test} | options))

    def later(self, days: float) -> Callable[[], float]:
        """A device's clock that is ahead."""
        return lambda: time.time() + days * 86_400

    def copy(self, name: str) -> Path:
        """The repository as it is now, for an attacker who wants to serve it again."""
        return Path(shutil.copytree(self.folder / "repository", self.folder / name))

    def _test(self, path: Path, **_: object) -> SelfTest:
        self.tested.append(path)
        return self.test_result

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.close()


def long_ago(days: float) -> datetime.datetime:
    """A publisher's clock that is behind."""
    return datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)
