"""Every file of ``lumavox_export.targets`` keeps the contract; a new file is tested without being listed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from graphs import picture_graph, plan_for, quantized, random_feeds, sound_graph
from lumavox.errors import OptionError
from lumavox_export import targets
from lumavox_export.cli_targets import summary
from lumavox_export.errors import RefusedError
from lumavox_export.graph import Graph
from lumavox_export.npu import rewrites
from lumavox_export.npu.cache import Cache
from lumavox_export.npu.compiler import Compiler
from lumavox_export.npu.environments import Environments
from lumavox_export.npu.lint import legal, lint
from lumavox_export.npu.network import Network
from lumavox_export.npu.presets import Preset
from lumavox_export.targets.base import Family, Target

FAMILIES = targets.families()
ALL = [(target, family) for family in FAMILIES.values() for target in family.TARGETS]


def network_of(graph: Graph, task: str) -> Network:
    plan = plan_for(graph)
    golden = quantized(plan, random_feeds(graph, np.random.default_rng(0), (16, 16)))
    front_end = {"scale": 2, "plane": "luma", "bit_depth": 8, "receptive_field": 7}
    return Network(
        f"{task}/t", "1.0.0", "any", task, 2.0, "v", "1" * 64, graph, plan, golden, front_end, graph
    )


MODELS = ("picture", "sound")
NETWORKS = {"picture": network_of(picture_graph(), "sr"), "sound": network_of(sound_graph(), "de")}
EACH = pytest.mark.parametrize(("target", "family"), ALL, ids=[target.name for target, _ in ALL])
EACH_COMPILES = pytest.mark.parametrize(  # compilers of isolated environments take up to a minute each
    ("target", "family"),
    [pytest.param(t, f, marks=[pytest.mark.slow] if t.environment else [], id=t.name) for t, f in ALL],
)


@EACH
def test_a_target_says_whether_it_is_usable_why_and_how_to_make_it_so(
    target: Target, family: Family, tmp_path: Path
) -> None:
    here = family.availability(target, Environments(tmp_path))
    assert here.reason and here.tool
    assert here.version if here.usable else here.install


@EACH
def test_a_target_is_skipped_where_its_isolated_environment_is_absent(
    target: Target, family: Family, tmp_path: Path
) -> None:
    here = family.availability(target, Environments(tmp_path))
    if target.environment is not None:
        assert target.environment in Environments.names()
        assert not here.usable and here.install == Environments.install_command(target.environment)


@EACH
def test_a_target_is_found_by_a_name_of_its_own_and_states_rules(target: Target, family: Family) -> None:
    assert targets.get(target.name) == (target, family)
    assert target.description and target.precisions and target.rules.operators
    for name in target.rules.rewrites:
        rewrites.get(name)


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Compiler:
    return Compiler(Cache(tmp_path_factory.mktemp("cache")), Environments.default(), timeout_s=300)


@EACH_COMPILES
@pytest.mark.parametrize("model", MODELS)
def test_a_usable_target_compiles_and_tells_all_figures_or_why_not(
    target: Target, family: Family, model: str, compiler: Compiler
) -> None:
    here = family.availability(target, compiler.environments)
    if not here.usable:
        pytest.skip(f"{target.name}: {here.reason}; {here.install}")
    network = NETWORKS[model]
    if target.precisions[0] == "float32":
        network = dataclasses.replace(network, plan=None)
    outcome = compiler.compile(network, Preset("tiny", 24, 40), target.name)
    record, compiled = outcome.record, outcome.record.compiled
    assert (compiled.tool, compiled.tool_version) == (here.tool, here.version)
    assert all((outcome.folder / name).exists() for name in compiled.files)
    assert 0 <= compiled.on_npu <= compiled.operators and compiled.operators > 0
    if compiled.rung != "measured":  # every operator that is not on the NPU has a reason
        assert len(compiled.fallbacks) >= compiled.operators - compiled.on_npu
    assert record.total_ms is None or record.total_ms > 0
    assert summary(outcome)


@EACH
def test_open_shapes_are_refused_by_rule(target: Target, family: Family) -> None:
    network = NETWORKS["picture"]
    findings = [str(finding) for finding in lint(network, target)]
    assert not target.rules.static or "is open; fix it with a preset" in findings[0]


@EACH
def test_an_unsupported_operator_is_refused_by_name(target: Target, family: Family) -> None:
    odd = dataclasses.replace(target, rules=dataclasses.replace(target.rules, operators={}, rewrites=()))
    with pytest.raises(RefusedError, match=r"Conv2D \w+: operator is not supported"):
        legal(NETWORKS["sound"], odd)


def test_target_names_are_distinct() -> None:
    names = [target.name for target in targets.available()]
    assert len(set(names)) == len(names)


def test_an_unknown_target_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="did you mean 'cpu-litert'"):
        targets.get("cpu-litter")
