"""``Cpu``: a processor that qemu 7.2 has by name, and ``write_soc``: the system tree of a device with it.

qemu-user opens a file of the guest in the tree that it is given if the file is there, and the host's own if
it is not. Engines read ``/proc/cpuinfo`` and ``/sys/devices/system/cpu`` to choose their kernels (and
onnxruntime 1.31 crashes on those of an x86 host), so the tree has them: those of the processor that is
emulated, or of another one, which is a firmware that tells lies.

Only processors by name: ``max`` has extensions (SME) whose emulation computes wrong int8 results.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lumavox.errors import OptionError

__all__ = ["Cpu", "cpu", "cpus", "write_soc"]

_V8 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid".split()
_V8_2 = [*_V8, *"atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp ssbs".split()]
_V7 = "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm".split()


@dataclass(frozen=True)
class Cpu:
    """``part``: the core's number in its MIDR register, whose maker is 0x41, Arm. ``features``: as Linux
    names them, those that qemu's model has."""

    name: str
    machine: str
    part: int
    features: tuple[str, ...]
    variant: int = 0
    revision: int = 4


_CPUS = {
    each.name: each
    for each in (
        Cpu("cortex-a53", "aarch64", 0xD03, tuple(_V8)),
        Cpu("cortex-a72", "aarch64", 0xD08, tuple(_V8), revision=3),
        Cpu("cortex-a76", "aarch64", 0xD0B, tuple(_V8_2), variant=4, revision=1),
        Cpu("cortex-a7", "armv7l", 0xC07, tuple(_V7), revision=5),
    )
}


def cpus() -> list[str]:
    """Their names."""
    return sorted(_CPUS)


def cpu(name: str) -> Cpu:
    """The processor of that name. Raises OptionError: ``max`` is refused, others name the nearest."""
    if name == "max":
        raise OptionError("cpu 'max': its emulated extensions compute wrong int8 results; name a processor")
    if name not in _CPUS:
        raise OptionError.unknown("cpu", name, _CPUS)
    return _CPUS[name]


def write_soc(tree: Path, declared: Cpu, root: Path, *, cores: int = 4) -> None:
    """Make the folder ``tree``: the system ``root`` by links, with what ``declared`` says of itself."""
    tree.mkdir(parents=True)
    for entry in root.iterdir():
        (tree / entry.name).symlink_to(entry)
    texts = {"proc/cpuinfo": _cpuinfo(declared, cores)}
    texts |= {f"sys/devices/system/cpu/{name}": text for name, text in _topology(cores).items()}
    for name, text in texts.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def _cpuinfo(chosen: Cpu, cores: int) -> str:
    v7 = chosen.machine == "armv7l"
    blocks = []
    for core in range(cores):
        lines = [f"processor\t: {core}"]
        lines += [f"model name\t: ARMv7 Processor rev {chosen.revision} (v7l)"] if v7 else []
        lines += [
            "BogoMIPS\t: 48.00",
            f"Features\t: {' '.join(chosen.features)}",
            "CPU implementer\t: 0x41",
            f"CPU architecture: {7 if v7 else 8}",
            f"CPU variant\t: 0x{chosen.variant:x}",
            f"CPU part\t: 0x{chosen.part:03x}",
            f"CPU revision\t: {chosen.revision}",
        ]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _topology(cores: int) -> dict[str, str]:
    every = f"0-{cores - 1}"
    mask = f"{(1 << cores) - 1:x}"
    texts = {"possible": every, "present": every, "online": every, "kernel_max": "7"}
    for core in range(cores):
        own = {
            "topology/physical_package_id": "0",
            "topology/core_id": str(core),
            "topology/core_siblings": mask,
            "topology/core_siblings_list": every,
            "topology/thread_siblings": f"{1 << core:x}",
            "topology/thread_siblings_list": str(core),
            "cpufreq/cpuinfo_min_freq": "600000",
            "cpufreq/cpuinfo_max_freq": "1800000",
        }
        for index, (level, kind, size) in enumerate(
            [(1, "Data", "32K"), (1, "Instruction", "32K"), (2, "Unified", "512K")]
        ):
            shared = every if level == 2 else str(core)
            own |= {
                f"cache/index{index}/level": str(level),
                f"cache/index{index}/type": kind,
                f"cache/index{index}/size": size,
                f"cache/index{index}/shared_cpu_list": shared,
            }
        texts |= {f"cpu{core}/{name}": text for name, text in own.items()}
    return texts
