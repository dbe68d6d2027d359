"""Compiling: rules, rewrites, cache, tiles, time limits; with a target whose tool is a script here."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from graphs import picture_graph, plan_for
from lumavox._sr_plan import plan_fixed
from lumavox_export import targets
from lumavox_export.errors import CacheError, RefusedError, TargetUnavailableError, ToolError
from lumavox_export.npu import compiler as compiler_module
from lumavox_export.npu.cache import Cache
from lumavox_export.npu.compiler import Compiler
from lumavox_export.npu.environments import Environments
from lumavox_export.npu.lint import lint
from lumavox_export.npu.network import Network
from lumavox_export.npu.presets import Preset
from lumavox_export.npu.tool import run_tool
from lumavox_export.reference import run_int
from lumavox_export.targets.base import Availability, Compiled, Job, Limits, Rules, Target

PRESET = Preset("small", 24, 40)
REACH = 3  # of picture_graph: three 3x3 convolutions
UNKNOWN = {"cycles": "not counted", "dram_kib": "not known"}
FAMILIES = targets.families()


@pytest.fixture
def network() -> Network:
    graph = picture_graph()
    front_end = {"scale": 2, "plane": "luma", "bit_depth": 8, "receptive_field": 2 * REACH + 1}
    golden = {"luma": np.random.default_rng(0).integers(-128, 128, (1, 16, 16, 1)).astype(np.int8)}
    return Network(
        "sr/t", "1.0.0", "any", "sr", 2.0, "v", "0" * 64, graph, plan_for(graph), golden, front_end, graph
    )


class FakeFamily:
    """Its tool takes ``bytes_per_pixel`` of SRAM and calls ``script``."""

    def __init__(self, script: str = "print('ok')", **rules: Any) -> None:
        operators = {kind: Limits() for kind in ("Conv2D", "Concat", "Reshape")}
        self.script, self.calls = script, 0
        self.usable = True
        known = {"operators": operators, "rewrites": ("depth_to_space_in_runtime",)} | rules
        self.TARGETS = (
            Target(
                name="fake",
                description="of a test",
                format="tflite",
                precisions=("int8",),
                rules=Rules(**known),
            ),
        )

    def availability(self, target: Target, environments: Environments) -> Availability:
        if not self.usable:
            return Availability(False, "not here", "fake", install="make fake")
        return Availability(True, "here", "fake", "1")

    def compile(self, target: Target, job: Job) -> Compiled:
        self.calls += 1
        run_tool([sys.executable, "-c", self.script], timeout_s=job.timeout_s, folder=job.folder)
        (job.folder / "out.bin").write_bytes(job.network.tflite())
        pixels = job.preset.height * job.preset.width
        ops = len(job.network.graph.ops)
        return Compiled(
            ("out.bin",), "fake", "1", "compiled", ops, ops, npu_ms=0.01 * pixels, sram_kib=pixels / 64,
            unknown=UNKNOWN,
        )  # fmt: skip

    def simulate(
        self, target: Target, job: Job, compiled: Compiled, feeds: Sequence[Any]
    ) -> Sequence[dict[str, Any]]:
        assert job.network.plan is not None
        return [run_int(job.network.graph, job.network.plan, feed) for feed in feeds]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    def use_family(family: FakeFamily) -> FakeFamily:
        monkeypatch.setattr(
            compiler_module,
            "targets",
            SimpleNamespace(get=lambda name: (family.TARGETS[0], family)),
        )
        return family

    return use_family


def made(tmp_path: Path, **options: Any) -> Compiler:
    return Compiler(Cache(tmp_path / "cache"), Environments(tmp_path / "environments"), **options)


def test_a_second_run_is_a_hit_and_calls_no_tool(tmp_path, network, use) -> None:
    family = use(FakeFamily())
    first = made(tmp_path).compile(network, PRESET, "fake")
    again = made(tmp_path).compile(network, PRESET, "fake")
    assert (first.hit, again.hit, family.calls) == (False, True, 1)
    assert again.record == first.record
    assert (again.folder / "out.bin").read_bytes() == network_bytes(again.network)


def network_bytes(network: Network) -> bytes:
    return network.tflite()


def test_what_is_left_to_the_runtime_is_measured_and_added(tmp_path, network, use) -> None:
    use(FakeFamily())
    record = made(tmp_path).compile(network, PRESET, "fake").record
    assert record.rewrites == ("depth_to_space_in_runtime",)
    assert record.tail_ms > 0
    assert record.total_ms == pytest.approx(record.compiled.npu_ms + record.tail_ms)


def test_an_operator_that_no_rewrite_helps_is_named(tmp_path, network, use) -> None:
    use(FakeFamily(rewrites=()))
    with pytest.raises(RefusedError, match="DepthToSpace enlarged: operator is not supported"):
        made(tmp_path).compile(network, PRESET, "fake")


def test_the_linter_names_layer_rule_and_rewrite(network) -> None:
    rules = {"operators": {"Conv2D": Limits(kernel=(1, 1))}, "rewrites": ("depth_to_space_as_rows",)}
    said = [str(finding) for finding in lint(network, FakeFamily(**rules).TARGETS[0])]
    assert said[0].startswith("input luma: shape (1, -1, -1, 1) is open; fix it with a preset")
    assert said[1] == "Conv2D h0: kernel 3x3 (dilated), at most 1x1"
    assert said[-1] == "DepthToSpace enlarged: operator is not supported; rewrite: depth_to_space_as_rows"


def test_a_size_that_the_network_does_not_take_is_refused_with_the_next_one(tmp_path, network, use) -> None:
    family = use(FakeFamily())
    strided = dataclasses.replace(network, front_end={**network.front_end, "multiple": 2})
    with pytest.raises(RefusedError, match="multiples of 2, 41x25 is not; compile it for 42x26"):
        made(tmp_path).compile(strided, Preset("41x25", 25, 41), "fake")
    assert family.calls == 0


def test_a_tool_that_hangs_is_ended_and_nothing_is_kept(tmp_path, network, use) -> None:
    use(FakeFamily("import time; print('thinking', flush=True); time.sleep(60)"))
    with pytest.raises(ToolError, match=r"not finished after 1 s, ended.*\n  thinking"):
        made(tmp_path, timeout_s=1).compile(network, PRESET, "fake")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import sys; sys.exit('no such operator')", r"failed \(exit code 1\).*\n  no such operator"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"crashed \(SIGSEGV\); it said nothing"),
    ],
)
def test_a_tool_that_fails_or_crashes_is_one_error_with_its_last_words(
    tmp_path, network, use, script, said
) -> None:
    use(FakeFamily(script))
    with pytest.raises(ToolError, match=said):
        made(tmp_path).compile(network, PRESET, "fake")


def test_an_absent_tool_is_a_skip_with_the_install_command(tmp_path, network, use) -> None:
    use(FakeFamily()).usable = False
    with pytest.raises(TargetUnavailableError, match="SKIP: not here; make it usable with: make fake"):
        made(tmp_path).compile(network, PRESET, "fake")


def test_a_cache_that_cannot_be_written_is_one_error(tmp_path, network, use) -> None:
    use(FakeFamily())
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(CacheError, match=r"cannot be written .*choose another folder with --cache"):
        made(tmp_path).compile(network, PRESET, "fake")


def test_short_sram_means_tiles_and_tiles_have_no_seam(tmp_path, network, use) -> None:
    use(FakeFamily(sram_kib=9, tiles=True))
    outcome = made(tmp_path).compile(network, PRESET, "fake")
    record = outcome.record
    assert record.tiles > 1 and record.compiled.sram_kib <= 9 and record.preset == PRESET.name
    whole = network.fixed(PRESET)
    assert whole.plan is not None
    x = np.random.default_rng(1).integers(-128, 128, (1, PRESET.height, PRESET.width, 1)).astype(np.int8)
    wanted = run_int(whole.graph, whole.plan, {"luma": x})["enlarged"]
    got = np.zeros_like(wanted)
    plan = plan_fixed(PRESET.height, PRESET.width, record.height, record.width, REACH)
    assert len(plan.rows) * len(plan.columns) == record.tiles
    tile = network.fixed(Preset("tile", record.height, record.width))
    for r in plan.rows:
        for c in plan.columns:
            piece = np.ascontiguousarray(x[:, r.start : r.stop, c.start : c.stop])
            y = run_int(tile.graph, whole.plan, {"luma": piece})["enlarged"]
            rows = slice(2 * (r.keep_start - r.start), 2 * (r.keep_stop - r.start))
            columns = slice(2 * (c.keep_start - c.start), 2 * (c.keep_stop - c.start))
            got[:, 2 * r.keep_start : 2 * r.keep_stop, 2 * c.keep_start : 2 * c.keep_stop] = y[
                :, rows, columns
            ]
    np.testing.assert_array_equal(got, wanted)


def test_what_fits_in_no_tile_is_refused(tmp_path, network, use) -> None:
    use(FakeFamily(sram_kib=1, tiles=True))
    with pytest.raises(RefusedError, match=r"does not fit fake: its tiles still need .* of 1 KiB SRAM"):
        made(tmp_path).compile(network, PRESET, "fake")


def test_agreement_with_the_reference_is_measured_and_cached(tmp_path, network, use) -> None:
    family = use(FakeFamily())
    found = made(tmp_path).agreement(network, "fake")
    assert (found.worst_lsb, found.share) == (0, 0.0)
    assert found.quality_db == found.reference_db and found.quality_db > 20
    family.script = "raise SystemExit('must not be called')"
    assert made(tmp_path).agreement(network, "fake") == found
