"""What `lumavox doctor` finds: processor, libraries, wrong combinations."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox.doctor import CPU_FEATURES, Cpu, diagnose, wrong_combinations

X86 = """\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Processor @ 2.80GHz
flags\t\t: fpu sse4_1 avx avx2 fma avx512f avx512_vnni
bogomips\t: 5586.87

processor\t: 1
model name\t: another
"""
ARM64 = """\
processor\t: 0
BogoMIPS\t: 48.00
Features\t: fp asimd evtstrm aes crc32 atomics fphp asimdhp cpuid asimdrdm asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0b
"""
ARM32 = """\
processor\t: 0
model name\t: ARMv7 Processor rev 1 (v7l)
Features\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4
Hardware\t: Amlogic Meson platform
"""


def test_an_x86_processor_is_named_with_its_vector_instructions():
    cpu = Cpu.of_cpuinfo(X86, cores=2)
    assert cpu.model == "Intel(R) Xeon(R) Processor @ 2.80GHz"
    assert cpu.features == ("sse4_1", "avx", "fma", "avx2", "avx512f", "avx512_vnni")


def test_a_64_bit_arm_processor_is_named_by_its_part_and_shows_the_dot_product():
    cpu = Cpu.of_cpuinfo(ARM64, cores=4)
    assert cpu.model == "implementer 0x41 part 0xd0b"
    assert cpu.features == ("asimd", "asimdhp", "asimddp")


def test_a_32_bit_arm_processor_shows_neon():
    cpu = Cpu.of_cpuinfo(ARM32, cores=4)
    assert cpu.model == "ARMv7 Processor rev 1 (v7l)"
    assert cpu.features == ("neon", "vfpv4")


@given(st.text())
@settings(max_examples=50, deadline=None)
def test_any_text_in_place_of_cpuinfo_is_read_without_an_error(text):
    cpu = Cpu.of_cpuinfo(text, cores=1)
    assert cpu.model
    assert set(cpu.features) <= set(CPU_FEATURES)


def test_numpy_2_with_tflite_runtime_is_a_problem_with_its_cure():
    (problem,) = wrong_combinations({"numpy": "2.4.6", "tflite-runtime": "2.14.0"})
    assert "numpy 2.4.6" in problem.what
    assert "numpy<2" in problem.cure


def test_two_flavours_of_one_library_are_a_problem():
    (problem,) = wrong_combinations({"opencv-python": "5.0", "opencv-python-headless": "5.0"})
    assert "overwrite" in problem.what
    assert problem.cure.endswith("pip install opencv-python-headless")


def test_opencv_with_a_screen_is_a_problem_on_devices():
    (problem,) = wrong_combinations({"numpy": "2.4.6", "opencv-python": "5.0"})
    assert "libGL" in problem.what


@pytest.mark.parametrize(
    "installed",
    [
        {"numpy": "1.26.4", "tflite-runtime": "2.14.0", "opencv-python-headless": "4.11.0.86"},
        {"numpy": "2.4.6", "ai-edge-litert": "2.3.0", "onnxruntime": "1.31.1"},
        {},
    ],
)
def test_the_supported_sets_are_no_problem(installed):
    assert wrong_combinations(installed) == []


def test_the_diagnosis_of_this_machine_names_what_runs_the_tests():
    import numpy

    found = diagnose()
    library = next(lib for lib in found.libraries if lib.name == "numpy")
    assert library.version == numpy.__version__
    text = found.text()
    assert numpy.__version__ in text
    assert found.cpu.model in text
    assert all(probe.reason in text for probe in found.backends)


def test_the_text_to_paste_does_not_show_the_home_folder(monkeypatch):
    found = diagnose()
    path = next(lib.path for lib in found.libraries if lib.name == "numpy")
    monkeypatch.setenv("HOME", path.rsplit("/", 1)[0])
    assert "~/numpy" in found.text()
    assert path not in found.text()
