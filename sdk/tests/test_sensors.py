"""Heat and memory as a Linux device tells them; what it does not tell is not known."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lumavox.governor import Conditions
from lumavox.sensors import LinuxSensors, PolledSensors


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def write(root: Path, **files: object) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(text))


def zone(root: Path, number: int, temp_c: float, **trips_c: float) -> Path:
    folder = root / f"sys/class/thermal/thermal_zone{number}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "temp").write_text(f"{round(temp_c * 1000)}\n")
    for index, (kind, limit_c) in enumerate(trips_c.items()):
        (folder / f"trip_point_{index}_type").write_text(f"{kind}\n")
        (folder / f"trip_point_{index}_temp").write_text(f"{round(limit_c * 1000)}\n")
    return folder


def test_the_forecast_is_the_hottest_zones_headroom_against_its_first_limit(tmp_path):
    zone(tmp_path, 0, 50.0, active=40.0, passive=95.0, critical=110.0)
    zone(tmp_path, 1, 80.0, critical=95.0)
    zone(tmp_path, 2, 99.0)  # has no limit
    assert LinuxSensors(tmp_path).read().thermal_forecast == pytest.approx(0.5)


def test_a_rising_temperature_is_carried_on_for_ten_seconds(tmp_path):
    clock = Clock()
    zone(tmp_path, 0, 60.0, passive=90.0)
    sensors = LinuxSensors(tmp_path, clock)
    for second in range(6):
        clock.now = float(second)
        zone(tmp_path, 0, 60.0 + second)
        found = sensors.read().thermal_forecast
    assert found == pytest.approx(1 - (90 - 65 - 10) / 30)


def test_memory_is_short_when_little_is_left_or_tasks_wait_for_it(tmp_path):
    write(tmp_path, proc__meminfo="MemTotal: 1000 kB\nMemAvailable: 400 kB\n")
    assert LinuxSensors(tmp_path).read().memory_pressure is False
    write(tmp_path, proc__meminfo="MemTotal: 1000 kB\nMemAvailable: 40 kB\n")
    assert LinuxSensors(tmp_path).read().memory_pressure is True
    write(tmp_path, proc__meminfo="MemTotal: 1000 kB\nMemAvailable: 400 kB\n")
    write(tmp_path, proc__pressure__memory="some avg10=12.50 avg60=1.00 total=5\nfull avg10=0.00 total=0\n")
    assert LinuxSensors(tmp_path).read().memory_pressure is True


@pytest.mark.parametrize("text", ["", "rubbish", "some avg10=x\n", "MemTotal:\nMemAvailable: none\n"])
def test_a_device_that_says_nothing_sensible_is_not_known(tmp_path, text):
    assert LinuxSensors(tmp_path).read() == Conditions(None, None)
    write(
        tmp_path,
        proc__meminfo=text,
        proc__pressure__memory=text,
        sys__class__thermal__thermal_zone0__temp=text,
    )
    assert LinuxSensors(tmp_path).read() == Conditions(None, None)


def test_this_machine_can_be_read():
    found = LinuxSensors().read()
    assert found.thermal_forecast is None or found.thermal_forecast >= 0.0


class Slow:
    """A sensor behind a slow bus, that fails at times."""

    def __init__(self) -> None:
        self.asked, self.answer = threading.Event(), threading.Event()
        self.found: Conditions | None = Conditions(0.5)

    def read(self) -> Conditions:
        self.asked.set()
        self.answer.wait(10)
        if self.found is None:
            raise OSError("no such zone")
        return self.found


def test_polled_sensors_never_wait_and_outlive_failures():
    slow = Slow()
    sensors = PolledSensors(slow, interval_s=0.001)
    assert slow.asked.wait(10)
    assert sensors.read() == Conditions()
    slow.answer.set()
    for found in (Conditions(0.5), None, Conditions(0.9)):
        slow.found = found
        for _ in range(2):  # a reading that began before, and one after
            slow.asked.clear()
            assert slow.asked.wait(10)
        if found is None:
            assert sensors.read() == Conditions(0.5)
    slow.asked.clear()
    assert slow.asked.wait(10)
    assert sensors.read() == Conditions(0.9)
    sensors.close()
    sensors.close()
