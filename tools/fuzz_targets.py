"""``TARGETS``: every parser of Lumavox that meets bytes from outside, each with valid seeds to mutate.

    with Sandbox() as sandbox:
        TARGETS["bundle-zip"].check(data, sandbox)       # whether it was accepted

A target may raise a `LumavoxError` or succeed; whatever else it raises is a crash. Nothing may be written
outside of the sandbox: an audit hook of the interpreter sees every opening, renaming and linking of a file.
Used by ``tools/fuzz.py`` (guided by coverage) and by ``device_tests/tests/test_fuzz.py`` (by properties).
"""

from __future__ import annotations

import functools
import io
import json
import os
import shutil
import sys
import tempfile
import wave
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
for folder in ("sdk", "device_tests", "export", "sdk/tests"):
    if str(ROOT / folder) not in sys.path:
        sys.path.append(str(ROOT / folder))

import bundles  # noqa: E402
from lumavox import _bundle_rules as rules  # noqa: E402
from lumavox._parse import load_json  # noqa: E402
from lumavox.bundle import Bundle, read_files  # noqa: E402
from lumavox.bundle_writer import pack_bundle  # noqa: E402
from lumavox.errors import LumavoxError  # noqa: E402
from lumavox.signing import SigningKey, TrustedKeys  # noqa: E402
from lumavox.telemetry import Meter, ModelInfo, TelemetryRecord  # noqa: E402
from lumavox.telemetry_pack import pack, unpack  # noqa: E402
from lumavox.telemetry_ring import TelemetryRing  # noqa: E402
from lumavox.update._state import State  # noqa: E402
from lumavox.update.device import Device  # noqa: E402
from lumavox.update.release import Release  # noqa: E402
from lumavox.update.settings import Settings  # noqa: E402
from lumavox_matrix.fleet_record import FieldRecord, RolloutArm  # noqa: E402
from lumavox_matrix.rollout_policy import read_rollout_policy  # noqa: E402
from lumavox_matrix.rollout_state import Rollout  # noqa: E402

__all__ = ["TARGETS", "Sandbox", "Target"]

MAX_BYTES = 65_536


class Sandbox:
    """A folder that is emptied between inputs, and a watch over every file that is written elsewhere."""

    def __init__(self) -> None:
        self.folder = Path(os.path.realpath(tempfile.mkdtemp(prefix="lumavox-fuzz-")))
        self.outside: list[str] = []
        self.watching = False

    def __enter__(self) -> Sandbox:
        sys.addaudithook(self._hook)  # for good: the interpreter cannot take a hook away
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.watching = False
        shutil.rmtree(self.folder, ignore_errors=True)

    def file(self, name: str, data: bytes) -> Path:
        """A file of the sandbox with this content; others of earlier inputs are gone."""
        path = self.folder / name
        path.write_bytes(data)
        return path

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.watching:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) if isinstance(flags, int) else False
            writes = writes or (isinstance(mode, str) and any(letter in mode for letter in "wax+"))
            paths = [path] if writes else []
        elif event in ("os.rename", "os.link", "os.symlink"):
            paths = list(arguments[:2])
        elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod"):
            paths = list(arguments[:1])
        else:
            return
        for path in paths:
            if isinstance(path, (str, bytes, os.PathLike)):
                real = os.path.realpath(os.fsdecode(path))
                if not (real + os.sep).startswith(str(self.folder) + os.sep) and not real.startswith("/dev/"):
                    self.outside.append(f"{event} {real}")


@dataclass(frozen=True)
class Target:
    """One parser. ``seeds`` are valid inputs."""

    name: str
    run: Callable[[bytes, Sandbox], object]
    seeds: Callable[[], tuple[bytes, ...]]

    def check(self, data: bytes, sandbox: Sandbox) -> bool:
        """Whether the input was accepted. Raises what is neither success nor a `LumavoxError`, and
        AssertionError if a file was written outside."""
        sandbox.outside.clear()
        sandbox.watching = True
        try:
            self.run(data, sandbox)
            accepted = True
        except LumavoxError:
            accepted = False
        finally:
            sandbox.watching = False
        assert not sandbox.outside, f"written outside of the sandbox: {sandbox.outside[:5]}"
        return accepted


# --- seeds ------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def _bundle() -> tuple[dict[str, bytes], bytes]:
    """The files of a small signed bundle, and its zip."""
    with tempfile.TemporaryDirectory() as folder:
        path = bundles.de_bundle(Path(folder))
        return read_files(path), pack_bundle(path, Path(folder) / "b.zip").read_bytes()


def _record() -> TelemetryRecord:
    meter = Meter(task="sr", model=ModelInfo("sr/base-x2", "0" * 64), session_id="s", deadline_us=16000.0)
    for value_us in (900.0, 5000.0, 20000.0):
        meter.frames_in += 1
        meter.add_latency_us(value_us)
    meter.add_error("SR.E_DEADLINE")
    return meter.record()


def _ring() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.ring"
        with TelemetryRing.open(path, slots=4) as ring:
            for _ in range(6):
                ring.append(_record())
            ring.acknowledge(3)
        return path.read_bytes()


def _wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(48000)
        writer.writeframes(bytes(2000))
    return file.getvalue()


def _mkv() -> bytes:
    from clips import Clip, make_clip

    with tempfile.TemporaryDirectory() as folder:
        return make_clip(Path(folder) / "c.mkv", Clip(pts=(0, 1), seconds=0.05)).read_bytes()


def _files(*paths: str) -> Callable[[], tuple[bytes, ...]]:
    return lambda: tuple(p.read_bytes() for pattern in paths for p in sorted(ROOT.glob(pattern))[:12])


def _field_record() -> bytes:
    arm = RolloutArm("a@1", 1, "treated")
    record = FieldRecord(1, "set", "vs680", "2026.07", _record(), "1.0", "clean", -3.5, arm)
    return record.to_json().encode()


def _rollout() -> bytes:
    from lumavox_matrix.rollout_policy import RolloutPolicy

    names = [f"s{i}" for i in range(400)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.json"
        Rollout.begin(RolloutPolicy(), "a@1", names, 1).save(path)
        return path.read_bytes()


RELEASE = {
    "schema": 1, "model": {"id": "sr/base-x2", "version": "0.2.0", "task": "sr", "digest": "0" * 64},
    "release_counter": 3, "expires": "2030-01-31T00:00:00Z", "share_permille": 10,
    "depends": {"abi": ">=4,<5"},
    "requires": {
        "lumavox": ">=0.1", "ram_mb": 100, "engine": [{"name": "litert", "range": ">=2.1,<3"}],
        "firmware": [{"vendor": "x", "build_range": ">=1.2"}, {"vendor": "y", "builds": ["a*"]}],
    },
    "known_bad": [{"reason": "r", "issue": "i", "soc_model": "a*"}],
}  # fmt: skip
DEVICE = {
    "soc_model": "VS680", "chipset": "vs680", "engines": {"litert": "2.3.0"},
    "firmware": {"vendor": "x", "build": "2026.07"},
}  # fmt: skip
SETTINGS = {
    "store": "s", "root": "root.json", "device": "d.json", "metadata_url": "https://a/",
    "targets_url": "https://a/t/",
}  # fmt: skip
LAB = b'[[devices]]\nname = "a"\nchipset = "host"\nlink = "local"\n'


def _json(*values: object) -> Callable[[], tuple[bytes, ...]]:
    return lambda: tuple(json.dumps(value).encode() for value in values)


# --- targets ----------------------------------------------------------------------------------------------


def _bundle_zip(data: bytes, sandbox: Sandbox) -> None:
    for allow_unsigned in (False, True):
        Bundle.open(
            sandbox.file("b.zip", data), trusted_keys=bundles.trusted(), allow_unsigned=allow_unsigned
        )


def _with_file(name: str, *, signed: bool) -> Callable[[bytes, Sandbox], None]:
    """One file of a bundle is the input; unless it is to be found out, manifest and signature fit it."""

    def run(data: bytes, sandbox: Sandbox) -> None:
        files = dict(_bundle()[0]) | {name: data}
        if signed:
            inner = {k: v for k, v in files.items() if k not in (rules.MANIFEST, rules.SIGNATURE)}
            files[rules.MANIFEST] = rules.dump_json(rules.manifest_of(inner))
            files[rules.SIGNATURE] = rules.signature_file(files[rules.MANIFEST], bundles.signing_key())
        path = sandbox.folder / "b.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in files.items():
                archive.writestr(member, content)
        bundle = Bundle.open(path, trusted_keys=bundles.trusted())
        for variant in bundle.variants:
            bundle.golden(variant)

    return run


def _ring_file(data: bytes, sandbox: Sandbox) -> None:
    with TelemetryRing.open(sandbox.file("r.ring", data), slots=4) as ring:
        for number, _ in ring.pending():
            ring.acknowledge(number)
        ring.append(_record())
        assert ring.records()


# Imported where they run, since a fuzzer's start is mostly imports.


def _recipe(path: Path) -> None:
    from lumavox_export.recipe import Recipe

    Recipe.load(path)


def _profile(path: Path) -> None:
    from lumavox_matrix._toml import read
    from lumavox_matrix.profile import ChipsetProfile

    read(ChipsetProfile, path)


def _lab(path: Path) -> None:
    from lumavox_matrix.lab import read_lab

    read_lab(path)


def _dataset(data: bytes, sandbox: Sandbox) -> None:
    from lumavox_export.data.manifest import Dataset

    header, _, table = data.partition(b"\0\n")
    sandbox.file("d.csv", table)
    Dataset.load(sandbox.file("d.toml", header), sandbox.folder)


def _dataset_seeds() -> tuple[bytes, ...]:
    found = sorted(ROOT.glob("models/datasets/*.toml"))[:4]
    tables = [p.with_suffix(".csv").read_bytes().splitlines(keepends=True)[:6] for p in found]
    return tuple(p.read_bytes() + b"\0\n" + b"".join(table) for p, table in zip(found, tables))


def _probe(suffix: str) -> Callable[[bytes, Sandbox], None]:
    def run(data: bytes, sandbox: Sandbox) -> None:
        from lumavox.media.facts import probe

        probe(sandbox.file(f"m{suffix}", data))

    return run


def _file_target(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Sandbox], object]:
    return lambda data, sandbox: read(sandbox.file(name, data))


def _golden(data: bytes, sandbox: Sandbox) -> None:
    _with_file(_golden_name(), signed=True)(data, sandbox)


def _member(name: str) -> Callable[[], tuple[bytes, ...]]:
    return lambda: (_bundle()[0][name],)


def _record_text() -> tuple[bytes, ...]:
    return (_record().to_json().encode(),)


def _golden_name() -> str:
    return next(name for name in _bundle()[0] if name.startswith("golden/"))


_ALL = (
    Target("bundle-zip", _bundle_zip, lambda: (_bundle()[1],)),
    Target("bundle-document", _with_file(rules.DOCUMENT, signed=True), _member(rules.DOCUMENT)),
    Target("bundle-manifest", _with_file(rules.MANIFEST, signed=False), _member(rules.MANIFEST)),
    Target("bundle-signature", _with_file(rules.SIGNATURE, signed=False), _member(rules.SIGNATURE)),
    Target("bundle-golden", _golden, lambda: (_bundle()[0][_golden_name()],)),
    Target("public-key", lambda data, _: TrustedKeys.of(data), lambda: (SigningKey.generate().public_pem(),)),
    Target("telemetry-record", lambda data, _: TelemetryRecord.from_json(data), _record_text),
    Target("telemetry-packed", lambda data, _: unpack(data), lambda: (pack(_record()),)),
    Target("telemetry-ring", _ring_file, lambda: (_ring(),)),
    Target("field-record", lambda data, _: FieldRecord.from_json(data), lambda: (_field_record(),)),
    Target("rollout-state", _file_target("s.json", Rollout.load), lambda: (_rollout(),)),
    Target(
        "rollout-policy", _file_target("p.toml", read_rollout_policy), _files("device_tests/rollout.toml")
    ),
    Target("chipset-profile", _file_target("p.toml", _profile), _files("device_tests/chipsets/*.toml")),
    Target("lab", _file_target("lab.toml", _lab), lambda: (LAB,)),
    Target("recipe", _file_target("recipe.toml", _recipe), _files("models/*/*/recipe.toml")),
    Target("dataset", _dataset, _dataset_seeds),
    Target("update-release", lambda data, _: Release.of(load_json(data, "r"), "r"), _json(RELEASE)),
    Target("update-state", lambda data, _: State.read(data, "s"), _json({"schema": 1, "counter_floor": 2})),
    Target("update-device", _file_target("d.json", Device.load), _json(DEVICE)),
    Target("update-settings", _file_target("s.json", Settings.load), _json(SETTINGS)),
    Target("wav", _probe(".wav"), lambda: (_wav(),)),
    Target("matroska", _probe(".mkv"), lambda: (_mkv(),)),
)

TARGETS: Mapping[str, Target] = MappingProxyType({target.name: target for target in _ALL})
