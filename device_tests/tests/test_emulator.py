"""Emulated Arm devices: what they are made of, what they declare, and what a lie in it does."""

from __future__ import annotations

import dataclasses
import functools
import shutil

import pytest

from lumavox.bundle import Bundle
from lumavox.errors import OptionError
from lumavox.session import Session
from lumavox_matrix.cell import Culprit, Rung, Status
from lumavox_matrix.emulator import PINS, Emulator, EmulatorError, build, cache_folder, cpu, cpus, write_soc
from lumavox_matrix.execute import Seeded, execute, job_for
from lumavox_matrix.lab import devices
from lumavox_matrix.links import LinkError, open_link
from lumavox_matrix.models import models
from lumavox_matrix.plan import candidates
from lumavox_matrix.policy import Policy
from lumavox_matrix.profile import profile, profiles
from lumavox_matrix.runner.engine import engine_phase
from lumavox_matrix.runner.recorder import Recorder
from lumavox_matrix.runner.session import only
from lumavox_matrix.tiers import tier
from lumavox_matrix.verdict import judge
from lumavox_matrix.versions import in_range

NUMERICS = tier("numerics")


def test_every_arm_profile_that_qemu_has_runs_on_it_with_engines_that_it_expects():
    emulated = [p for p in profiles() if any(choice.kind == "qemu" for choice in p.links)]
    assert {p.name for p in emulated} == {"arm-cortex-a53", "arm-cortex-a72", "arm-cortex-a76", "arm-armv7"}
    for chipset in emulated:
        for choice in chipset.links:
            chosen = cpu(choice.options["cpu"])
            offered = PINS.image(chosen.machine).engines[choice.options["wheels"]]
            for engine, version in offered.items():
                assert in_range(chipset.engine(engine, "cpu").versions, version)


@pytest.mark.parametrize("name", cpus())
def test_a_processor_declares_what_its_profile_says_and_as_many_cores(tmp_path, name):
    (tmp_path / "root/usr/lib").mkdir(parents=True)
    write_soc(tmp_path / "tree", cpu(name), tmp_path / "root", cores=2)
    text = (tmp_path / "tree/proc/cpuinfo").read_text()
    assert text.count("processor\t:") == 2
    assert f"CPU part\t: 0x{cpu(name).part:03x}" in text
    assert (tmp_path / "tree/usr/lib").is_dir()
    assert (tmp_path / "tree/sys/devices/system/cpu/cpu1/cache/index2/shared_cpu_list").read_text() == "0-1\n"
    known = {p.soc.model.lower(): p.soc.features for p in profiles() if p.name.startswith("arm-")}
    facts = known[name]
    declared = next(line for line in text.splitlines() if line.startswith("Features")).split()
    assert facts is None or set(facts.value) <= set(declared)
    assert ("asimddp" in declared) == (name == "cortex-a76")


def test_processors_without_a_right_emulation_are_refused():
    with pytest.raises(OptionError, match="wrong int8 results"):
        cpu("max")
    with pytest.raises(OptionError, match="did you mean 'cortex-a53'"):
        open_link("qemu", {"cpu": "cortex-a55"})
    with pytest.raises(OptionError, match=r"did you mean 'legacy'|\(known: legacy"):
        open_link("qemu", {"cpu": "cortex-a7", "wheels": "legcy"})


def test_without_an_emulator_its_cells_are_excluded_and_the_reason_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("LUMAVOX_EMULATOR", str(tmp_path))
    found = devices(profile("arm-cortex-a53"))
    assert [d.engines for d in found] == [{}, {}, {}], "two emulated, one booted"
    possible, excluded = candidates(found, models(["sr/nano-x2"]), tier=NUMERICS)
    assert not possible
    assert "lumavox-matrix emulator setup" in excluded[0].reason
    with pytest.raises(LinkError, match="emulator setup"):
        open_link("qemu", {"cpu": "cortex-a53"})


@pytest.mark.skipif(
    not shutil.which("apt-get") or not shutil.which("dpkg-deb"), reason="no apt on this machine"
)
def test_a_mirror_that_cannot_be_reached_is_told_and_nothing_is_left(tmp_path):
    away = dataclasses.replace(PINS, mirror="http://127.0.0.1:1/debian")
    with pytest.raises(EmulatorError, match="apt-get|keyring"):
        build(tmp_path / "cache", away)
    assert list((tmp_path / "cache").iterdir()) == []


def planned(engine, link=0):
    """A cell on the emulated Cortex-A53 (link 1: with tflite-runtime), or skip with the reason."""
    try:
        Emulator.at(cache_folder())
    except EmulatorError as error:
        pytest.skip(str(error))
    device = devices(profile("arm-cortex-a53"))[link]
    found, _ = candidates(
        [device], models(["sr/nano-x2"]), tier=NUMERICS, presets=["tiny25"], precisions=["int8"]
    )
    return next(cell for cell in found if cell.cell.engine == engine)


@pytest.mark.slow
def test_a_firmware_that_declares_dot_products_which_the_cores_lack_is_the_driver_s_fault():
    lie = Seeded(link={"declares": "cortex-a76"})
    result = execute(planned("ort"), NUMERICS, run_id="lie", timeout_s=500, seeded=lie)
    assert (result.status, result.outcome.signal) == (Status.FAIL, 4), "a real SIGILL"
    verdict = judge(result, profile("arm-cortex-a53"), Policy())
    assert (verdict.status, verdict.culprit) == (Status.FAIL, Culprit.DRIVER)
    assert "asimddp" in result.record.device.features, "what it declares is in the record"


@pytest.mark.slow
def test_an_honest_device_computes_and_its_times_are_never_latencies():
    result = execute(planned("litert"), NUMERICS, run_id="honest", timeout_s=500)
    assert result.status is Status.DONE, result.reason
    assert result.rung is Rung.EMULATED
    assert result.record.device.machine == "aarch64"
    verdict = judge(result, profile("arm-cortex-a53"), Policy())
    assert verdict.status is Status.PASS, verdict.reason
    assert verdict.proven_percentile is None


@pytest.mark.slow
def test_the_kernels_of_tflite_runtime_on_arm_compute_what_the_reference_kernels_compute(
    tmp_path, monkeypatch
):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    resolver = interpreter.OpResolverType.BUILTIN_REF
    slow = functools.partial(interpreter.Interpreter, experimental_op_resolver_type=resolver)
    cell = planned("litert", link=1)
    emulated = execute(cell, NUMERICS, run_id="reference", timeout_s=500)
    monkeypatch.setattr(interpreter, "Interpreter", slow)
    job = job_for(cell, NUMERICS)
    recorder = Recorder(job, tmp_path / "record.json")
    variant = only(Bundle.open(cell.model.path), cell.variant)
    with Session.open(variant, backend="litert") as session:
        engine_phase(job, session, recorder)
    assert emulated.record.output_sha256 == recorder.record.output_sha256
