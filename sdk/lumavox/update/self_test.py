"""``self_test``: run a bundle's golden vectors in a process of its own before the player ever opens it.

A model that crashes, hangs or exhausts an engine does so in a child that is killed after ``timeout_s``; the
player sees a sentence. The same file is the child: ``python -m lumavox.update.self_test`` reads the request
from standard input and answers with one JSON line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..signing import TrustedKeys

MAX_ANSWER_BYTES = 64 * 1024
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class SelfTest:
    """``reason`` says what ran, or what went wrong."""

    passed: bool
    reason: str


def self_test(
    bundle: Path,
    *,
    trusted: TrustedKeys | None = None,
    backend: str = "auto",
    timeout_s: float = TIMEOUT_S,
) -> SelfTest:
    """Whether each kind of content of the bundle at ``bundle`` reproduces its golden vector here.

    Raises nothing: a child that cannot be started has not passed.
    """
    keys = None if trusted is None else [pem.decode() for pem in trusted.pems()]
    request = json.dumps({"bundle": str(bundle), "keys": keys, "backend": backend}).encode()
    paths = [str(Path(__file__).parents[2]), *(p for p in sys.path if p)]
    command = [sys.executable, "-m", "lumavox.update.self_test"]
    try:
        done = subprocess.run(
            command,
            input=request,
            capture_output=True,
            timeout=timeout_s,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return SelfTest(False, f"no answer within {timeout_s:g} s; the child was killed")
    except OSError as error:
        return SelfTest(False, f"the child could not be started: {error}")
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return SelfTest(False, f"the child was ended by {name}")
    try:
        answer = json.loads(done.stdout[-MAX_ANSWER_BYTES:].decode().splitlines()[-1])
        return SelfTest(bool(answer["passed"]), str(answer["reason"]))
    except (ValueError, KeyError, IndexError, TypeError):
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return SelfTest(False, f"the child ended with {done.returncode} and no answer; {' '.join(last)}")


def _answer(request: dict[str, object]) -> SelfTest:
    from ..bundle import Bundle
    from ..errors import LumavoxError
    from ..session import Session

    keys = request["keys"]
    trusted = TrustedKeys.of(*(str(k).encode() for k in keys)) if isinstance(keys, list) else None
    ran = []
    try:
        bundle = Bundle.open(Path(str(request["bundle"])), trusted_keys=trusted)
        for content in sorted({v.content for v in bundle.variants}):
            with Session.open(bundle, backend=str(request["backend"]), content=content) as session:
                ran.append(f"{session.variant.name} on {session.engine.description}")
    except LumavoxError as error:
        return SelfTest(False, str(error))
    return SelfTest(True, f"golden vectors came out: {', '.join(ran)}")


def _main() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash is expected here; it leaves no files behind
    result = _answer(json.loads(sys.stdin.buffer.read()))
    print(json.dumps({"passed": result.passed, "reason": result.reason}), flush=True)
    os._exit(0)  # engines that crash while the interpreter ends have answered already


if __name__ == "__main__":
    _main()
