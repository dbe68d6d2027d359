"""Differences and the gate, and their commands."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import re

import pytest

import synthetic
from lumavox.errors import OptionError
from lumavox_matrix.cell import Rung, Status
from lumavox_matrix.cli import main
from lumavox_matrix.difference import Side, difference
from lumavox_matrix.gate import gate
from lumavox_matrix.judged import judge_all
from lumavox_matrix.policy import Policy, Regression, Release, Waiver, read_policy
from lumavox_matrix.profile import KnownGap, profile
from lumavox_matrix.runner.record import Observation
from lumavox_matrix.stats import interleaved
from lumavox_matrix.store import Store

OLD, NEW = Side.parse("firmware=2026.8"), Side.parse("firmware=2026.9")
TODAY = datetime.date(2026, 11, 21)
BROKEN = synthetic.observations(
    engine_order=Observation("engine_order", "engine", False, 1.0, 0.0, "frames", 64)
)


def results(slower=1.0, seen=None, runs=1, cells=2, sha=None, **changes):
    """Results of cells 0 and 1 (two firmwares), ...; the options are of the new one."""
    for number, run in itertools.product(range(cells), range(runs)):
        new = number % 2
        made = synthetic.record(
            synthetic.histogram(9_000.0 * (slower if new else 1.0), seed=run + 7 * new), nonce=str(run)
        )
        if new and seen:
            made = dataclasses.replace(made, observations=seen)
        if new and sha:
            made = dataclasses.replace(made, output_sha256=sha)
        order = interleaved(runs)
        place = [n for n, letter in enumerate(order) if (letter == "B") == bool(new)][run]
        yield synthetic.result(synthetic.cell_of(number), made, began_ms=1_790_000_000_000 + place, **changes)


def judged(**options):
    return judge_all(results(**options), Policy())


def compare(cells, a=OLD, b=NEW):
    return difference(cells, cells, a, b, Regression())


def test_the_same_twice_is_no_difference():
    found = compare(judged(cells=8))
    assert (len(found.rows), found.only_a, found.broken, found.slower) == (4, (), [], [])
    assert not any(row.worth_telling for row in found.rows)


def test_a_broken_cell_another_output_and_a_missing_partner_are_told():
    found = compare(judged(seen=BROKEN, sha="f" * 64, cells=3))
    assert [row.status for row in found.rows] == ["broken"] and found.rows[0].output == "other"
    assert len(found.only_a) == 1
    assert compare(judged(seen=BROKEN), NEW, OLD).rows[0].status == "mended"


def test_a_slower_firmware_is_found_by_its_runs():
    found = compare(judged(slower=1.08, runs=60))
    assert len(found.slower) == 1 and found.rows[0].change.ratio == pytest.approx(1.08, rel=0.01)
    assert compare(judged(runs=2)).rows[0].change.what == "unknown"


def test_an_unknown_axis_names_the_nearest_and_an_empty_side_says_so():
    with pytest.raises(OptionError, match="did you mean 'firmware'"):
        Side.parse("firmwares=1")
    with pytest.raises(OptionError, match="not like 'firmware"):
        Side.parse("2026.8")
    with pytest.raises(OptionError, match="has no cells"):
        compare(judged(), b=Side.parse("firmware=9"))


def test_a_side_with_several_cells_for_one_place_names_the_axis_to_add():
    old, new = synthetic.cell_of(0), synthetic.cell_of(0, driver="2")
    cells = judge_all(
        [synthetic.result(c, synthetic.record(synthetic.histogram(9e3, 1))) for c in (old, new)], Policy()
    )
    with pytest.raises(OptionError, match="name also driver"):
        compare(cells, OLD, Side.parse("driver=2"))


# --- the gate ---------------------------------------------------------------------------------------------


def decide(cells, release=None, compared=None, waivers=()):
    policy = Policy(release=release or Release(), waivers=waivers)
    return gate(cells, policy, compared, TODAY)


def test_cells_that_pass_go_out_and_an_empty_store_does_not():
    assert decide(judged()).passed
    assert decide([]).stops == ("there are no results",)


def test_a_failure_stops_and_names_the_culprit():
    assert re.match(
        "driver: chip-00 .* the engine gave outputs of other frames", decide(judged(seen=BROKEN)).stops[0]
    )


def test_a_waiver_lets_it_pass_until_its_day():
    until = Waiver(reason="the maker knows", until="2026-11-21", soc="chip-*")
    waived = decide(judged(seen=BROKEN), waivers=(until,))
    assert waived.passed and "waived until 2026-11-21" in waived.notes[0]
    over = dataclasses.replace(until, until="2026-11-20")
    assert not decide(judged(seen=BROKEN), waivers=(over,)).passed
    with pytest.raises(OptionError, match="not a day"):
        Waiver(reason="x", until="soon")


def test_silence_stops_unless_it_is_allowed():
    lost = judged(status=Status.ERROR)
    assert "2 cells say nothing" in decide(lost).stops[0]
    assert decide(lost, Release(max_errors=2)).passed


def test_a_chipset_that_must_be_there_needs_cells_that_pass_with_enough_evidence():
    asked = Release(chipsets=("chip-00", "chip-77"), min_rung=Rung.MEASURED)
    assert decide(judged(), asked).stops == ("chip-77: no cell passes",)
    simulated = judged(rung=Rung.SIMULATED)
    assert (
        "the best evidence is simulated"
        in decide(simulated, Release(chipsets=("chip-00",), min_rung=Rung.MEASURED)).stops[0]
    )


def test_a_healed_gap_stops_because_the_profile_is_out_of_date():
    gapped = dataclasses.replace(profile("host"), gaps=(KnownGap(Status.FAIL, "old driver"),))
    cells = judge_all(results(), Policy(), lambda name: gapped)
    assert "a known gap passes" in decide(cells).stops[0]
    assert decide(cells, Release(healed="report")).passed
    assert decide(
        judge_all(results(seen=BROKEN, cells=2), Policy(), lambda name: gapped), Release(healed="report")
    ).passed


def test_unproven_and_short_runs_can_be_limited():
    cells = judged()
    short = [
        dataclasses.replace(j, verdict=dataclasses.replace(j.verdict, validity="semivalid")) for j in cells
    ]
    assert decide(short).passed and not decide(short, Release(max_semivalid=1)).passed


def test_a_slower_firmware_stops():
    cells = judged(slower=1.08, runs=60)
    assert decide(cells, compared=compare(cells)).stops[0].startswith("slower: chip-00")


def test_the_shipped_policy_is_read_and_an_unknown_key_names_the_nearest(tmp_path):
    from pathlib import Path

    shipped = read_policy(Path(__file__).parents[1] / "release.toml")
    assert shipped.release.min_rung is Rung.MEASURED and shipped.regression == Regression()
    wrong = tmp_path / "p.toml"
    wrong.write_text("[timing]\nlate_shares = 0.1\n")
    with pytest.raises(OptionError, match="did you mean 'late_share'"):
        read_policy(wrong)


# --- commands ---------------------------------------------------------------------------------------------


def store_of(tmp_path, name="store", **options):
    store = Store.open(tmp_path / name)
    for result in results(**options):
        store.add(result)
    return str(store.folder)


def test_the_gates_exit_status_is_the_answer(tmp_path, capsys):
    assert main(["gate", "--store", store_of(tmp_path)]) == 0
    assert "may go out" in capsys.readouterr().out
    assert main(["gate", "--store", store_of(tmp_path, "bad", seen=BROKEN)]) == 1
    assert "STOP: driver" in capsys.readouterr().out
    assert main(["gate", "--store", str(tmp_path / "none")]) == 2


def test_diff_tells_what_broke_between_two_firmwares_and_two_stores(tmp_path, capsys):
    store = store_of(tmp_path, seen=BROKEN)
    assert main(["diff", "--store", store, "firmware=2026.8", "firmware=2026.9"]) == 1
    assert "BROKEN: chip-00" in capsys.readouterr().out
    assert main(["diff", store_of(tmp_path, "b"), store_of(tmp_path, "c")]) == 0
    assert (
        main(["gate", "--store", store, "--against", "firmware=2026.8", "--candidate", "firmware=2026.9"])
        == 1
    )


def test_the_gate_tests_itself(capsys):
    code = main(["gate", "--self-test", "--cells", "2", "--trials", "8"])
    assert code in (0, 1) and "power" in capsys.readouterr().out
