"""Booted Arm systems: what is packed for them, how they are started, and what they are when they run."""

from __future__ import annotations

import io
import os
import re
import stat
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumavox.errors import OptionError
from lumavox_matrix.cell import Rung, Status
from lumavox_matrix.emulator import (
    BOOT_PINS,
    PINS,
    Booted,
    BootTimeout,
    EmulatorError,
    Machine,
    cache_folder,
    cpu,
)
from lumavox_matrix.emulator.initramfs import INIT, READY, Cpio, modules_in_order, write_initramfs
from lumavox_matrix.emulator.installed import Manifest
from lumavox_matrix.emulator.soc import write_soc
from lumavox_matrix.execute import execute
from lumavox_matrix.lab import devices
from lumavox_matrix.links import LinkError, open_link
from lumavox_matrix.models import models
from lumavox_matrix.plan import candidates
from lumavox_matrix.profile import profile
from lumavox_matrix.tiers import tier

FIELDS = "ino mode uid gid nlink mtime size devmajor devminor rdevmajor rdevminor namesize check".split()


def entries(data: bytes) -> dict[str, tuple[int, int, bytes]]:
    """Name -> mode, time, data of an archive, read as Linux documents the format (buffer-format.rst)."""
    found, at = {}, 0
    while True:
        assert data[at : at + 6] == b"070701", f"no header at {at}"
        numbers = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        head = dict(zip(FIELDS, numbers, strict=True))
        name = data[at + 110 : at + 110 + head["namesize"]]
        assert name.endswith(b"\0")
        at = -(-(at + 110 + head["namesize"]) // 4) * 4
        content = data[at : at + head["size"]]
        at = -(-(at + head["size"]) // 4) * 4
        if name == b"TRAILER!!!\0":
            assert at == len(data)
            return found
        assert (head["uid"], head["gid"], head["nlink"]) == (0, 0, 1)
        found[os.fsdecode(name[:-1])] = (head["mode"], head["mtime"], content)


@given(st.dictionaries(st.text("abc/._-ä", min_size=1, max_size=30), st.binary(max_size=70), max_size=6))
def test_an_archive_has_what_was_put_into_it_whatever_the_sizes(files):
    packed = io.BytesIO()
    archive = Cpio(packed)
    for name, data in files.items():
        archive.add(name, stat.S_IFREG | 0o640, data, mtime=7)
    archive.close()
    assert entries(packed.getvalue()) == {name: (0o100640, 7, data) for name, data in files.items()}


def test_the_first_file_system_has_trees_over_each_other_in_an_order_that_linux_can_unpack(tmp_path):
    (tmp_path / "root/usr/bin").mkdir(parents=True)
    (tmp_path / "root/usr/bin/python3.11").write_bytes(b"\x7fELF")
    (tmp_path / "root/usr/bin/python3.11").chmod(0o755)
    (tmp_path / "root/usr/bin/python3").symlink_to("python3.11")
    (tmp_path / "root/usr/share/doc/x").mkdir(parents=True)
    (tmp_path / "wheels/numpy").mkdir(parents=True)
    (tmp_path / "wheels/numpy/a.py").write_text("1")
    os.utime(tmp_path / "wheels/numpy/a.py", (1_700_000_000, 1_700_000_000))
    (tmp_path / "net.ko").write_bytes(b"driver")
    made = tmp_path / "made.cpio"
    write_initramfs(made, [tmp_path / "root"], {"usr/local/x": tmp_path / "wheels"}, [tmp_path / "net.ko"])
    found = entries(made.read_bytes())
    assert found["usr/bin/python3.11"][::2] == (0o100755, b"\x7fELF")
    assert stat.S_ISLNK(found["usr/bin/python3"][0])
    assert found["usr/bin/python3"][2] == b"python3.11"
    assert found["usr/local/x/numpy/a.py"][1:] == (1_700_000_000, b"1")
    assert found["modules/00-net.ko"][2] == b"driver"
    assert found["init"] == (0o100755, 0, INIT.encode())
    assert "usr/share/doc" not in found
    seen: set[str] = set()
    for name in found:
        assert not os.path.dirname(name) or os.path.dirname(name) in seen, f"{name} comes before its folder"
        seen.add(name)


def test_drivers_are_loaded_after_those_that_they_need(tmp_path):
    drivers = {"virtio_net": "net_failover", "net-failover": "failover,virtio", "failover": ""}
    for name, needs in drivers.items():
        (tmp_path / f"{name}.ko").write_bytes(f"\x7fELF\0license=GPL\0depends={needs}\0name=x\0".encode())
    (tmp_path / "modules.builtin").write_text("kernel/drivers/virtio/virtio.ko\nkernel/x/virtio-mmio.ko\n")
    ordered = modules_in_order(tmp_path, ["virtio_mmio", "virtio_net", "failover"])
    assert [path.stem for path in ordered] == ["failover", "net-failover", "virtio_net"]
    with pytest.raises(EmulatorError, match="no driver 'virtio_rng'"):
        modules_in_order(tmp_path, ["virtio_rng"])


def system(folder) -> Booted:
    return Booted(folder, Manifest(1, BOOT_PINS.digest))


def command(folder, processor="cortex-a53", wheels="current") -> list[str]:
    return system(folder).command(
        processor, wheels=wheels, cores=2, memory_mib=1024, port=2222, console=folder / "c", variables=["A=b"]
    )


def test_a_machine_is_started_with_a_processor_by_name_and_reaches_nothing(tmp_path):
    (tmp_path / "qemu/lib/x86_64-linux-gnu").mkdir(parents=True)
    loader = tmp_path / "qemu/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    loader.touch()
    words = command(tmp_path)
    assert words[0] == str(loader), "its own C library's: this machine's may be another"
    options = dict(zip(words, words[1:], strict=False))
    assert options["-cpu"] == "cortex-a53"
    assert options["-machine"] == "virt"
    assert "restrict=on" in options["-netdev"]
    assert "tcp:127.0.0.1:2222-:22" in options["-netdev"]
    assert options["-append"].endswith(" A=b")
    assert "-no-reboot" in words


def test_what_cannot_be_booted_is_refused(tmp_path):
    with pytest.raises(OptionError, match="wrong int8 results"):
        command(tmp_path, "max")
    with pytest.raises(OptionError, match="unknown processor of aarch64 'cortex-a7'"):
        command(tmp_path, "cortex-a7")
    with pytest.raises(OptionError, match="unknown set of wheels 'legacy'"):
        command(tmp_path, wheels="legacy")
    with pytest.raises(OptionError, match="aarch64"):
        open_link("booted", {"cpu": "cortex-a7"})
    with pytest.raises(OptionError, match=r"set of wheels.*\(known: current\)"):
        open_link("booted", {"cpu": "cortex-a53", "wheels": "legacy"})


def test_without_a_booted_system_its_cells_are_excluded_and_the_reason_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("LUMAVOX_EMULATOR", str(tmp_path))
    (device,) = (d for d in devices(profile("arm-cortex-a76")) if d.link == "booted")
    assert device.name == "arm-cortex-a76-booted"
    assert device.rung is Rung.EMULATED
    possible, excluded = candidates([device], models(["sr/nano-x2"]), tier=tier("numerics"))
    assert not possible
    assert "lumavox-matrix emulator setup --booted" in excluded[0].reason
    with pytest.raises(LinkError, match="emulator setup --booted"):
        open_link("booted", {"cpu": "cortex-a76"})


class Scripted:
    """A system whose machine is a script of Python."""

    def __init__(self, text: str) -> None:
        self._text = text

    def command(self, processor, *, console, variables, **rest):
        return [sys.executable, "-c", self._text, str(console), *variables]


WRITES = "import sys, time; open(sys.argv[1], 'w').write({!r}); print('at the end', flush=True); {}"
KEY = "ssh-ed25519 AAAAkey root@here"


def scripted(console, then):
    """A machine whose console says something."""
    return Machine(Scripted(WRITES.format(console, then)), "a53", wheels="y")


def test_a_machine_runs_until_it_is_stopped_and_is_started_anew_when_it_has_ended(tmp_path):
    machine = scripted(f"boot\r\n{READY} {KEY}\r\n", "time.sleep(60)")
    try:
        address = machine.boot()
        assert address.key.stat().st_mode & 0o077 == 0
        expected = f"[127.0.0.1]:{address.port} ssh-ed25519 AAAAkey\n"
        assert address.known_hosts.read_text() == expected
        assert machine.boot() == address
        machine.stop()
        assert not address.key.exists()
        assert machine.boot().key.exists()
    finally:
        machine.stop()
        machine.stop()


def test_a_system_that_does_not_come_up_is_told_with_its_last_words():
    panic = scripted("1\r\nKernel panic - not syncing\r\n", "sys.exit(1)")
    with pytest.raises(EmulatorError, match="a53 ended while it booted: .*Kernel panic"):
        panic.boot()
    hangs = scripted("Starting\r\n", "time.sleep(60)")
    with pytest.raises(BootTimeout, match=r"within 1 s"):
        hangs.boot(1.0)


def booted(processor):
    """The device of a chipset, or skip with the reason."""
    try:
        Booted.at(cache_folder())
    except EmulatorError as error:
        pytest.skip(str(error))
    return next(d for d in devices(profile(f"arm-{processor}")) if d.link == "booted")


@pytest.mark.slow
@pytest.mark.parametrize("processor", ["cortex-a53", "cortex-a72", "cortex-a76"])
def test_the_kernel_s_own_cpuinfo_is_what_the_emulated_device_declares(processor, tmp_path):
    device = booted(processor)
    (tmp_path / "root").mkdir()
    write_soc(tmp_path / "tree", cpu(processor), tmp_path / "root", cores=1)
    declared = _facts((tmp_path / "tree/proc/cpuinfo").read_text())
    with open_link("booted", device.options) as link:
        told = _facts(link.run(["cat", "/proc/cpuinfo"], timeout_s=120).stdout.decode())
        who = link.identify()
    assert (who.machine, who.name) == ("aarch64", f"emulated-{processor}")
    assert who.system.startswith(f"Linux {BOOT_PINS.kernel_version}.")
    for fact in ("CPU implementer", "CPU part", "CPU variant", "CPU architecture"):
        assert told[fact] == declared[fact]
    # Debian's kernel does not report ssbs on a Cortex-A76, though the core has it.
    assert set(declared["Features"].split()) - {"ssbs"} == set(told["Features"].split()) - {"ssbs"}


def _facts(cpuinfo: str) -> dict[str, str]:
    return dict(re.findall(r"^(.+?)\s*: (.*)$", cpuinfo, re.MULTILINE))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # see test_links.py
def test_a_booted_device_runs_a_cell_with_the_engine_that_was_planned():
    device, numerics = booted("cortex-a53"), tier("numerics")
    found, _ = candidates(
        [device], models(["sr/nano-x2"]), tier=numerics, presets=["tiny25"], precisions=["int8"]
    )
    planned = next(cell for cell in found if cell.cell.engine == "ort")
    result = execute(planned, numerics, run_id="booted", timeout_s=600)
    assert result.status is Status.DONE, result.reason
    assert result.rung is Rung.EMULATED
    assert result.record.device.system.startswith("Linux 6.1")
    assert result.record.device.engine_version == PINS.image("aarch64").engines["current"]["ort"]
