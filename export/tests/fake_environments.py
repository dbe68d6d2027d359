"""Isolated environments whose interpreter is a script of the test (or real ones), and jobs for them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from graphs import picture_graph, plan_for
from lumavox_export.graph import Graph
from lumavox_export.npu.environments import Environments
from lumavox_export.npu.network import Network, Precision
from lumavox_export.npu.presets import Preset
from lumavox_export.targets.base import Family, Job, Target

# Every script begins with this: the last argument is the folder of the exchange.
_HEAD = """#!{python}
import json, pathlib, sys
folder = pathlib.Path(sys.argv[-1])
request = json.loads((folder / "request.json").read_text())
def answer(**values):
    (folder / "answer.json").write_text(json.dumps(values))
"""


def environment(tmp_path: Path, name: str, distribution: str, script: str) -> Environments:
    """The environment ``name`` with ``distribution`` 1.0 in it; ``script`` is all it can do."""
    environments = Environments(tmp_path / "environments")
    folder = environments.path(name)
    (folder / "bin").mkdir(parents=True)
    (folder / "environment.json").write_text(json.dumps({"packages": {distribution: "1.0"}}))
    python = folder / "bin" / "python"
    python.write_text(_HEAD.format(python=sys.executable) + script)
    python.chmod(0o755)
    return environments


def real(family: Family, target: Target) -> Environments:
    """The environments of this machine; skips the test where that of ``target`` was not made."""
    environments = Environments.default()
    here = family.availability(target, environments)
    if not here.usable:
        pytest.skip(f"{here.reason}; make it with: {here.install}")
    return environments


def job(
    tmp_path: Path, environments: Environments, precision: Precision = "int8", graph: Graph | None = None
) -> Job:
    """A small network to compile in ``tmp_path / "job"``, a picture of 10 rows of 12 pixels."""
    graph = graph or picture_graph()
    plan = None if precision == "float32" else plan_for(graph, precision)
    preset = Preset("tiny", 10, 12)
    network = Network("sr/tiny", "0.0.1", "any", "sr", 2.0, "any", "", graph, plan, {}).fixed(preset)
    folder = tmp_path / "job"
    folder.mkdir()
    return Job(network, preset, folder, 600, environments)
