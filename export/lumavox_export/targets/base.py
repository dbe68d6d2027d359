"""What a file of this folder offers, as frozen dataclasses and one protocol: `Family`.

A family of targets is one module (``targets/ethos_u.py``), found by its name. It has

    TARGETS: tuple[Target, ...]            what can be asked for by name; subclass `Target` for own settings
    availability(target, environments) -> Availability
    compile(target, job) -> Compiled
    simulate(target, job, compiled, feeds) -> [outputs, ...]      optional: what the target would compute

The framework (``lumavox_export.npu``) has fixed the shapes, applied rewrites and checked the rules before
``compile`` is called; it keeps caches, measures what is left to the runtime, and compares ``simulate``
with the integer reference. A family calls its tool through ``npu.tool.run_tool`` and puts files into
``job.folder``. It raises `RefusedError` (naming operator and rewrite) and `ToolError`, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from numpy.typing import NDArray

from lumavox.errors import OptionError

from ..npu.environments import Environments
from ..npu.network import Network, Precision
from ..npu.presets import Preset

Rung: TypeAlias = Literal["measured", "simulated", "compiled"]  # how far the evidence goes
Feeds: TypeAlias = Mapping[str, NDArray[Any]]
Outputs: TypeAlias = dict[str, NDArray[Any]]

# Figures of `Compiled` that may be absent, with a reason.
FIGURES = ("npu_ms", "cycles", "sram_kib", "dram_kib")


@dataclass(frozen=True)
class Limits:
    """What an operator may be on a target; the largest allowed values, None: anything."""

    kernel: tuple[int, int] | None = None  # height, width, dilation included
    kernel_area: int | None = None  # height x width, dilation included
    stride: int | None = None
    dilation: int | None = None
    channels: int | None = None  # in or out
    broadcast: bool = True  # Add, Mul: the two inputs may differ in shape
    inputs: int | None = None  # Concat: how many


@dataclass(frozen=True)
class Rules:
    """What a target takes, as data for the linter.

    ``operators``: kinds as `npu.lint.kind_of` names them ("Conv2D", "DepthwiseConv2D", "TransposeConv2D",
    "Constant", "Add", "Mul", "Concat", "Sigmoid", "DepthToSpace", "Reshape", "Requantize"); an absent one is
    not supported.
    ``rewrites``: names in `npu.rewrites` that help, the best first.
    """

    operators: Mapping[str, Limits]
    static: bool = True  # shapes must be known
    largest_tensor_kib: int | None = None
    sram_kib: int | None = None  # a picture whose compiled file needs more is compiled as tiles
    tiles: bool = False  # tiles are tried: they may be quicker where memory is short
    rewrites: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Target:
    """Something to compile for. Subclass it for settings of a family."""

    name: str  # "ethos-u65-512"
    description: str  # "Arm Ethos-U65, 512 MACs per cycle, 1 GHz"
    format: Literal["tflite", "onnx"]  # what its tool reads
    precisions: tuple[Precision, ...]  # in order of preference
    rules: Rules
    ports: Literal["NHWC", "NCHW"] = "NHWC"  # layout of the deployed file's inputs and outputs
    environment: str | None = None  # targets/environments/<name>.txt; None: the main environment


@dataclass(frozen=True)
class Availability:
    """Whether a target's tool can be used here; tool and version go into cache keys and records."""

    usable: bool
    reason: str  # why, or why not
    tool: str  # "ethos-u-vela"
    version: str | None = None  # None if it is not there
    install: str | None = None  # the command that would make it usable

    @classmethod
    def of_environment(cls, environments: Environments, name: str, distribution: str) -> Availability:
        """Of a tool in the isolated environment ``name``: usable if that environment was made."""
        version = environments.version(name, distribution)
        if version is None:
            command = environments.install_command(name)
            return cls(False, f"environment {name!r} is not made", distribution, install=command)
        return cls(True, f"{distribution} {version} in environment {name!r}", distribution, version)

    @classmethod
    def of_package(cls, distribution: str, install: str) -> Availability:
        """Of a package in this environment, by its metadata: nothing is imported."""
        from importlib import metadata

        try:
            version = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            return cls(False, f"{distribution} is not installed", distribution, install=install)
        return cls(True, f"{distribution} {version}", distribution, version)


@dataclass(frozen=True)
class Job:
    """One thing to compile: a network with fixed shapes that obeys the target's rules."""

    network: Network
    preset: Preset
    folder: Path  # exists, is empty, and is kept in the cache: the files of `Compiled` go here
    timeout_s: float
    environments: Environments


@dataclass(frozen=True)
class Fallback:
    """Operators that the target leaves to the CPU."""

    operator: str  # as the tool names it, with its output: "DEPTH_TO_SPACE enlarged"
    reason: str


@dataclass(frozen=True)
class Compiled:
    """What came out. A figure that is None has its reason in ``unknown`` under its name."""

    files: tuple[str, ...]  # in ``job.folder``, the one to deploy first; empty if nothing is deployed
    tool: str
    tool_version: str
    rung: Rung
    operators: int  # that the tool was given, constants not counted
    on_npu: int  # of these; 0 where the target is a CPU (rung "measured")
    fallbacks: tuple[Fallback, ...] = ()
    npu_ms: float | None = None  # per call; of a measured rung: on the CPU
    cycles: int | None = None
    sram_kib: float | None = None
    dram_kib: float | None = None
    unknown: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what a reader of the table must know

    def __post_init__(self) -> None:
        for name in FIGURES:
            if getattr(self, name) is None and not self.unknown.get(name):
                raise OptionError(f"Compiled.{name} is absent and unknown[{name!r}] gives no reason")
        for name in self.unknown:
            if name not in FIGURES:
                raise OptionError.unknown("figure", name, FIGURES, "Compiled.unknown")


class Family(Protocol):
    """What a module of this folder has. ``simulate`` is optional; the framework asks by ``hasattr``."""

    @property
    def TARGETS(self) -> tuple[Target, ...]:
        """What can be asked for."""

    def availability(self, target: Target, environments: Environments) -> Availability:
        """Whether the tool is here. Raises nothing, is quick, starts no process."""

    def compile(self, target: Target, job: Job) -> Compiled:
        """Compile. Raises `RefusedError` or `ToolError`."""


class Simulator(Family, Protocol):
    """A family that can also say what its targets compute."""

    def simulate(
        self, target: Target, job: Job, compiled: Compiled, feeds: Sequence[Feeds]
    ) -> Sequence[Outputs]:
        """Outputs of ``job.network.graph`` for each of ``feeds``, NHWC, dtypes as the plan has them
        (float32 without one). Raises `ToolError`."""
