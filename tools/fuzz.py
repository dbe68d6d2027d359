"""Fuzz every parser that meets bytes from outside, guided by coverage (Atheris, libFuzzer).

    pip install "atheris>=3"                                  # Linux on x86-64 or arm64, Python 3.11 to 3.13
    python tools/fuzz.py --minutes 12                         # all targets, in turn
    python tools/fuzz.py --minutes 5 --target bundle-zip --target recipe
    python tools/fuzz.py --replay out/fuzz/recipe/crash-0123  # one input again

A finding is an exception that is no `LumavoxError`, more than 20 s for one input, more than 2 GiB, a fault of
the process, or a file written outside of the sandbox. Inputs that found something lie in
``out/fuzz/<target>``, and the exit code is 1. What was learnt (``corpus``) is used again by the next run.
Targets: ``fuzz_targets``.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "out" / "fuzz"
HANG_S, MEMORY_MIB = 20, 2048
PACKAGES = ["lumavox", "lumavox_matrix", "lumavox_export"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12.0, help="for all targets together (default: 12)")
    parser.add_argument(
        "--target", action="append", default=[], metavar="NAME", help="only these; repeatable"
    )
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input; its folder is the target")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR")
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)  # of a worker
    args = parser.parse_args()
    if args.seconds is not None:
        return _work(args.target[0], args.out / args.target[0], args.seconds)
    sys.path.insert(0, str(HERE))
    from fuzz_targets import TARGETS, Sandbox

    if args.replay:
        with Sandbox() as sandbox:
            TARGETS[args.replay.resolve().parent.name].check(args.replay.read_bytes(), sandbox)
        return 0
    chosen = args.target or list(TARGETS)
    for name in chosen:
        folder = args.out / name / "corpus"
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(TARGETS[name].seeds()):
            (folder / f"seed-{number}").write_bytes(seed)
    found = [_run(name, args.out, 60 * args.minutes / len(chosen)) for name in chosen]
    print(f"{sum(found)} of {len(chosen)} targets have findings")
    return 1 if any(found) else 0


def _run(name: str, out: Path, seconds: float) -> bool:
    """Fuzz one target in a process of its own; whether it found something."""
    command = [sys.executable, __file__, "--target", name, "--seconds", str(seconds), "--out", str(out)]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    log = done.stdout + done.stderr
    (out / name / "log.txt").write_text(log)
    covered = re.findall(r"cov: (\d+)", log)
    executed = re.findall(r"stat::number_of_executed_units:\s*(\d+)", log)
    verdict = "FOUND" if done.returncode else "nothing"
    print(
        f"{name:18} {verdict:8} {time.monotonic() - began:6.0f} s  {executed[-1] if executed else '?':>9} "
        f"inputs, {covered[-1] if covered else '?':>6} branches covered",
        flush=True,
    )
    return done.returncode != 0


def _work(name: str, folder: Path, seconds: float) -> int:
    try:
        import atheris
    except ImportError:
        raise SystemExit('fuzzing needs Atheris: pip install "atheris>=3"') from None
    sys.path.insert(0, str(HERE))
    with atheris.instrument_imports(include=PACKAGES):
        from fuzz_targets import MAX_BYTES, TARGETS, Sandbox

        target = TARGETS[name]
        with Sandbox() as warm:  # what the target imports where it runs
            for seed in target.seeds():
                target.check(seed, warm)
    with Sandbox() as sandbox:
        arguments = [
            sys.argv[0], f"-max_total_time={max(1, round(seconds))}", f"-timeout={HANG_S}",
            f"-rss_limit_mb={MEMORY_MIB}", f"-max_len={MAX_BYTES}", f"-artifact_prefix={folder}/",
            "-print_final_stats=1", "-seed=1", str(folder / "corpus"),
        ]  # fmt: skip

        def one_input(data: bytes) -> None:
            target.check(data, sandbox)

        atheris.Setup(arguments, one_input)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
