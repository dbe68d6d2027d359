"""One text to paste into a report: what this installation is made of and what is wrong with it.

`diagnose()` looks at the interpreter, the processor, the libraries that Python would load, the backends
and the models. It changes nothing, sends nothing, and shortens the home folder to ``~``.

    print(lumavox.doctor.diagnose().text())
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lumavox._system import cores, text_of
from lumavox._version import __version__

if TYPE_CHECKING:
    from lumavox.backends.base import Probe
    from lumavox.capabilities import ModelCapability
    from lumavox.isolation import IsolationProbe

__all__ = ["Cpu", "Diagnosis", "Library", "Problem", "diagnose"]

# Import name: the distributions that provide it. More than one of them installed is a fault, because they
# overwrite each other's files.
LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "numpy": ("numpy",),
    "cv2": (
        "opencv-python-headless",
        "opencv-python",
        "opencv-contrib-python-headless",
        "opencv-contrib-python",
    ),
    "cryptography": ("cryptography",),
    "ai_edge_litert": ("ai-edge-litert",),
    "tflite_runtime": ("tflite-runtime",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"),
    "av": ("av",),
    "soundfile": ("soundfile",),
    "torch": ("torch",),
    "onnx": ("onnx",),
}

# The instructions that int8 and float kernels choose by; names as in /proc/cpuinfo.
CPU_FEATURES = (
    *("ssse3", "sse4_1", "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512bw"),
    *("avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16"),
    *("neon", "vfpv4", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme"),
)


@dataclass(frozen=True)
class Cpu:
    """The processor: ``features`` are those of `CPU_FEATURES` that it has."""

    model: str
    cores: int
    features: tuple[str, ...]

    @classmethod
    def of_cpuinfo(cls, text: str, *, cores: int) -> Cpu:
        """From the text of ``/proc/cpuinfo`` (x86 and Arm write different keys; both are read)."""
        fields: dict[str, str] = {}
        for line in text.splitlines():
            key, colon, value = line.partition(":")
            if colon and value.strip():
                fields.setdefault(key.strip().lower(), value.strip())
        has = set((fields.get("flags") or fields.get("features") or "").split())
        model = fields.get("model name") or fields.get("hardware") or ""
        if not model and "cpu part" in fields:  # 64-bit Arm names no model, only who made which part
            model = f"implementer {fields.get('cpu implementer', '?')} part {fields['cpu part']}"
        return cls(
            model or platform.processor() or "not known", cores, tuple(f for f in CPU_FEATURES if f in has)
        )


@dataclass(frozen=True)
class Library:
    """A library as Python would load it; ``version`` and ``path`` are ``None`` where it is absent."""

    name: str
    distribution: str
    version: str | None
    path: str | None


@dataclass(frozen=True)
class Problem:
    """Something that will not work, and the cure."""

    what: str
    cure: str


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found."""

    version: str
    python: str
    platform: str
    cpu: Cpu
    libraries: tuple[Library, ...]
    backends: tuple[Probe, ...]
    models: tuple[ModelCapability, ...]
    isolation: IsolationProbe
    crashes: tuple[str, ...]  # remembered of worker processes
    problems: tuple[Problem, ...]

    def text(self) -> str:
        """The whole of it, in lines."""
        lines = [
            f"lumavox   {self.version}",
            f"python    {self.python}",
            f"platform  {self.platform}",
            f"cpu       {self.cpu.model}, {self.cpu.cores} cores",
            f"          {' '.join(self.cpu.features) or 'no known vector instructions'}",
            "libraries",
        ]
        for lib in self.libraries:
            lines.append(f"  {lib.distribution:<24} {lib.version or 'absent':<12} {lib.path or ''}".rstrip())
        lines.append("backends")
        for probe in self.backends:
            state = "usable" if probe.usable else "not usable"
            lines.append(f"  {probe.backend:<24} {state:<12} {probe.reason}")
        lines.append("models")
        for model in self.models:
            state = "usable" if model.usable else "not usable"
            lines.append(f"  {model.id:<24} {state:<12} {model.version or ''} {model.reason}")
        lines.append(f"workers   {self.isolation.text}")
        lines += [f"  {crash}" for crash in self.crashes]
        lines.append("problems" if self.problems else "problems  none found")
        for problem in self.problems:
            lines += [f"  {problem.what}", f"    cure: {problem.cure}"]
        return _without_home("\n".join(lines))


def diagnose() -> Diagnosis:
    """Look at everything. What does not work becomes a `Problem`; no model is opened by an engine."""
    from lumavox.capabilities import capabilities
    from lumavox.crash_marker import remembered, state_folder

    installed = _installed()
    libraries = tuple(_library(name, installed) for name in LIBRARIES)
    found = capabilities()
    return Diagnosis(
        version=__version__,
        python=f"{platform.python_version()} ({platform.python_implementation()}) {sys.executable}",
        platform=f"{platform.platform()} {platform.machine()}",
        cpu=_cpu(),
        libraries=libraries,
        backends=found.backends,
        models=found.models,
        isolation=found.isolation,
        crashes=tuple(remembered(state_folder())),
        problems=(
            *wrong_combinations(installed),
            *(_unusable_model(m) for m in found.models if not m.usable),
            *_no_engine(found.backends),
            *_no_models(found.models),
        ),
    )


def wrong_combinations(installed: Mapping[str, str]) -> list[Problem]:
    """The known bad sets among ``installed`` (distribution name to version)."""
    problems = []
    numpy, tflite = installed.get("numpy"), installed.get("tflite-runtime")
    if numpy and tflite and int(numpy.split(".")[0]) >= 2:
        problems.append(
            Problem(
                f"tflite-runtime {tflite} was built for numpy 1 and cannot run with numpy {numpy}",
                'pip install "numpy<2", or replace the engine: '
                "pip uninstall tflite-runtime && pip install ai-edge-litert",
            )
        )
    for name, distributions in LIBRARIES.items():
        several = [d for d in distributions if d in installed]
        if len(several) > 1:
            problems.append(
                Problem(
                    f"{' and '.join(several)} are both installed and overwrite each other's {name}",
                    f"pip uninstall {' '.join(several)} && pip install {several[0]}",
                )
            )
    if "opencv-python-headless" not in installed and "opencv-python" in installed:
        problems.append(
            Problem(
                "opencv-python needs libGL and X libraries, which devices often lack",
                "pip uninstall opencv-python && pip install opencv-python-headless",
            )
        )
    return problems


def _installed() -> dict[str, str]:
    found = {}
    for distribution in (d for names in LIBRARIES.values() for d in names):
        try:
            found[distribution] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _library(name: str, installed: Mapping[str, str]) -> Library:
    distributions = LIBRARIES[name]
    distribution = next((d for d in distributions if d in installed), distributions[0])
    spec = importlib.util.find_spec(name)
    path = None
    if spec and spec.origin:  # a package is named by its folder, a single module by its file
        path = str(Path(spec.origin).parent) if spec.submodule_search_locations else spec.origin
    return Library(name, distribution, installed.get(distribution), path)


def _cpu() -> Cpu:
    return Cpu.of_cpuinfo(text_of("/proc/cpuinfo"), cores=cores())


def _unusable_model(model: ModelCapability) -> Problem:
    return Problem(
        f"the model {model.id} is not usable: {model.reason}", "`lumavox verify` shows each check of a bundle"
    )


def _no_engine(probes: tuple[Probe, ...]) -> list[Problem]:
    if any(p.usable and p.backend != "virtual" for p in probes):
        return []
    return [Problem("no inference engine is usable, so nothing is enhanced", 'pip install "lumavox[litert]"')]


def _no_models(models: tuple[ModelCapability, ...]) -> list[Problem]:
    if models:
        return []
    cure = "install a wheel, which carries the models, or set LUMAVOX_MODELS to a folder of bundles"
    return [Problem("no models are installed", cure)]


def _without_home(text: str) -> str:
    home = os.path.expanduser("~")
    return text.replace(home, "~") if len(home) > 1 else text
