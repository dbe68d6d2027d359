"""Arm Ethos-U55, U65 and U85 by Vela, Arm's own compiler, in an isolated environment.

Times are Vela's estimates from its model of the NPU and of the memories (no hardware here, rung
"simulated"). Memory, as products have it: the U55 keeps all activations in its SRAM; U65 and U85 have them in
DRAM behind an SRAM that works as a cache. Each target says how much SRAM there is.

What stays on the CPU is read from the compiled file (operators that are not ``ethos-u``), the reasons from
what Vela says. It runs nothing: ``simulate`` is LiteRT's reference kernels on the file that Vela was given,
whose integers are what Ethos-U is specified to compute; it proves the rewrites, not the hardware.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ai_edge_litert import schema_py_generated as schema

from ..engines import open_tflite
from ..errors import ToolError
from ..npu.environments import Environments
from ..npu.tool import run_tool
from .base import Availability, Compiled, Fallback, Feeds, Job, Limits, Outputs, Rules, Target

_NAME = "network"
_REASON = re.compile(r"operator: (\w+), ofm: '([^']*)'\s*\n\s*Reason: (.+(?:\n(?!\s*\n|Warning|Network).+)*)")
_INTEGERS = ("int8", "w8a16")


@dataclass(frozen=True, kw_only=True)
class EthosU(Target):
    """``system`` and ``memory`` are sections of Vela's own ``Arm/vela.ini``."""

    system: str
    memory: str
    sram_kib: int


def _rules(*, newer: bool, sram_kib: int | None) -> Rules:
    stride = None if newer else 3
    pixels = ["depth_to_space_as_transpose_conv", "depth_to_space_as_rows"]
    if newer:  # twice as slow at the transposed convolution, by Vela's estimate
        pixels.reverse()
    return Rules(
        operators={
            "Conv2D": Limits(kernel=(64, 4096), kernel_area=4096, stride=stride),
            "DepthwiseConv2D": Limits(kernel=(64, 4096), kernel_area=4096, stride=stride),
            "TransposeConv2D": Limits(kernel_area=4096, stride=2),
            "Constant": Limits(),
            "Add": Limits(),
            "Mul": Limits(),
            "Concat": Limits(),
            "Sigmoid": Limits(),
            "Reshape": Limits(),
            "Requantize": Limits(),
        },
        sram_kib=sram_kib,
        tiles=True,
        rewrites=("stride_folded_into_channels", *pixels, "depth_to_space_in_runtime"),
    )


def _target(macs: int, series: int, mhz: int, system: str, memory: str, sram_kib: int) -> EthosU:
    where = "all activations in" if memory == "Shared_Sram" else "DRAM behind"
    return EthosU(
        name=f"ethos-u{series}-{macs}",
        description=f"Arm Ethos-U{series}, {macs} MACs per cycle, {mhz} MHz, {where} {sram_kib} KiB SRAM",
        format="tflite",
        precisions=_INTEGERS,  # type: ignore[arg-type]
        rules=_rules(newer=series == 85, sram_kib=sram_kib if memory == "Shared_Sram" else None),
        environment="vela",
        system=system,
        memory=memory,
        sram_kib=sram_kib,
    )


TARGETS: tuple[EthosU, ...] = (
    _target(128, 55, 500, "Ethos_U55_High_End_Embedded", "Shared_Sram", 2048),
    _target(256, 55, 500, "Ethos_U55_High_End_Embedded", "Shared_Sram", 2048),
    _target(256, 65, 500, "Ethos_U65_Mid_End", "Dedicated_Sram", 384),
    _target(512, 65, 1000, "Ethos_U65_High_End", "Dedicated_Sram", 1024),
    _target(512, 85, 1000, "Ethos_U85_SYS_DRAM_Mid", "Dedicated_Sram", 2048),
    _target(2048, 85, 1000, "Ethos_U85_SYS_DRAM_High", "Dedicated_Sram", 2048),
)


def availability(target: Target, environments: Environments) -> Availability:
    """Whether the environment of Vela was made."""
    return Availability.of_environment(environments, "vela", "ethos-u-vela")


def compile(target: Target, job: Job) -> Compiled:
    """Vela's optimised file, with its own estimates."""
    assert isinstance(target, EthosU)
    source = job.folder / f"{_NAME}.tflite"
    source.write_bytes(job.network.tflite())
    command = [str(job.environments.python("vela")), "-I", "-m", "ethosu.vela", source.name]
    command += ["--accelerator-config", target.name, "--config", "Arm/vela.ini"]
    command += ["--system-config", target.system, "--memory-mode", target.memory]
    command += ["--arena-cache-size", str(target.sram_kib * 1024), "--show-cpu-operations"]
    said = run_tool([*command, "--output-dir", "."], timeout_s=job.timeout_s, folder=job.folder)
    compiled, summary = job.folder / f"{_NAME}_vela.tflite", list(job.folder.glob(f"{_NAME}_summary_*.csv"))
    if not compiled.is_file() or len(summary) != 1:
        raise ToolError(f"vela for {target.name}: ended without its output files; see {job.folder}")
    with summary[0].open(newline="") as lines:
        row = next(csv.DictReader(lines))
    fallbacks = _fallbacks(compiled.read_bytes(), said)
    operators = len([op for op in job.network.graph.ops if op.inputs])
    dram = float(row["dram_memory_used"]) + float(row["off_chip_flash_memory_used"])
    return Compiled(
        files=(compiled.name, summary[0].name, source.name),
        tool="ethos-u-vela",
        tool_version=job.environments.version("vela", "ethos-u-vela") or "unknown",
        rung="simulated",
        operators=operators,
        on_npu=operators - len(fallbacks),
        fallbacks=fallbacks,
        npu_ms=float(row["inference_time"]) * 1e3,
        cycles=int(float(row["cycles_total"])),
        sram_kib=float(row["sram_memory_used"]),
        dram_kib=dram,
        notes=_notes(row, target),
    )


def simulate(target: Target, job: Job, compiled: Compiled, feeds: Sequence[Feeds]) -> Sequence[Outputs]:
    """LiteRT's reference kernels on the file that Vela was given."""
    run = open_tflite((job.folder / compiled.files[2]).read_bytes(), "BUILTIN_REF")
    return [run(feed) for feed in feeds]


def _fallbacks(compiled: bytes, said: str) -> tuple[Fallback, ...]:
    """Operators of the compiled file that are not the NPU's."""
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
    # Vela may name the fused activation of an operator: "stem_act" for "stem".
    reasons = {ofm.removesuffix("_act"): " ".join(why.split()) for _, ofm, why in _REASON.findall(said)}
    model = schema.ModelT.InitFromPackedBuf(compiled, 0)
    found = []
    for op in model.subgraphs[0].operators:
        code = model.operatorCodes[op.opcodeIndex]
        if code.customCode is None:
            output = model.subgraphs[0].tensors[op.outputs[0]].name.decode()
            kind = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
            found.append(Fallback(f"{kind} {output}", reasons.get(output, "Vela gives no reason")))
    return tuple(found)


def _notes(row: dict[str, str], target: EthosU) -> tuple[str, ...]:
    """What limits it: the array, or memory."""
    total, npu = float(row["cycles_total"]), float(row["cycles_npu"])
    ideal = float(row["nn_macs"]) / int(target.name.rsplit("-", 1)[1])
    moved = (float(row["dram_total_bytes"]) + float(row["off_chip_flash_total_bytes"])) / 1e6
    return (
        f"{ideal / total:.0%} of the MAC array's peak; {'memory' if total > 1.05 * npu else 'array'} bound; "
        f"{moved:.1f} MB moved off chip",
    )
