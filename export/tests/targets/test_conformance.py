"""Every file of ``lumavox_export.targets`` keeps the contract; a new file is tested without being listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from lumavox.errors import OptionError
from lumavox_export import targets
from lumavox_export.npu import rewrites
from lumavox_export.npu.environments import Environments
from lumavox_export.targets.base import Family, Target

FAMILIES = targets.families()
ALL = [(target, family) for family in FAMILIES.values() for target in family.TARGETS]


EACH = pytest.mark.parametrize(("target", "family"), ALL, ids=[target.name for target, _ in ALL])


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


def test_target_names_are_distinct() -> None:
    names = [target.name for target in targets.available()]
    assert len(set(names)) == len(names)


def test_an_unknown_target_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="did you mean 'cpu-litert'"):
        targets.get("cpu-litter")
