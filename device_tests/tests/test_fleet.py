"""The fleet view: rates against direct computation, merged histograms, small groups, records from outside."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lumavox.errors import OptionError
from lumavox.telemetry import Histogram
from lumavox_matrix import fleet_sql, fleet_synthetic
from lumavox_matrix.cli import main
from lumavox_matrix.fleet import OTHER, Comparison, fleet_view, folded
from lumavox_matrix.fleet_record import FieldRecord
from lumavox_matrix.fleet_records import COLUMNS, Records
from lumavox_matrix.fleet_statistics import Sums, compare, ratio
from lumavox_matrix.fleet_synthetic import HURT, LATE, synthesize

duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed (lumavox[matrix])")
pytest.importorskip("scipy.stats", reason="scipy is not installed (lumavox[matrix])")
DOCS = Path(__file__).resolve().parents[2] / "docs" / "fleet.md"
few = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def lines(tmp_path_factory) -> list[str]:
    path = synthesize(tmp_path_factory.mktemp("lines") / "r.jsonl", 1000, threads=1)
    return path.read_text().splitlines()


@pytest.fixture(scope="module")
def parquet(tmp_path_factory) -> Path:
    return synthesize(tmp_path_factory.mktemp("fleet") / "r.parquet", 40_000, threads=1)


def opened(path: Path, work: Path) -> Records:
    return Records.open([path], work, threads=1)


# --- statistics -------------------------------------------------------------------------------------------


def sums_of(x: np.ndarray, n: np.ndarray) -> Sums:
    return Sums(len(x), x.sum(), n.sum(), (x * x).sum(), (x * n).sum(), (n * n).sum())


def test_the_variance_of_a_rate_is_that_of_resampled_sets():
    """Against a bootstrap over sets: 4,000 resamples, so the standard error has 1.1 % of noise; 6 %
    allowed."""
    rng = np.random.default_rng(1)
    n = rng.integers(1, 40, 300).astype(float)
    x = rng.binomial(n.astype(int), rng.beta(0.3, 6, 300)).astype(float)
    found = ratio(sums_of(x, n))
    picks = rng.integers(0, 300, (4000, 300))
    resampled = x[picks].sum(1) / n[picks].sum(1)
    assert found is not None
    assert found.value == pytest.approx(x.sum() / n.sum())
    assert math.sqrt(found.variance) == pytest.approx(resampled.std(), rel=0.06)


def test_sessions_of_one_set_do_not_count_as_so_many_sets():
    """Half of 40 sets crash in each of 100 sessions: the interval is that of 40 sets, 17 times wider than
    that of 4,000 independent sessions would be... and holds the truth."""
    x, n = np.repeat([100.0, 0.0], 20), np.full(40, 100.0)
    found = ratio(sums_of(x, n))
    assert found is not None
    naive = 1.96 * math.sqrt(0.25 / 4000)
    assert (found.high - found.low) / 2 > 9 * naive


def test_no_event_among_few_sets_is_not_no_risk():
    found = ratio(sums_of(np.zeros(30), np.ones(30)))
    assert found is not None
    assert found.low == 0.0
    assert (1 - found.high) ** 30 == pytest.approx(0.025)


def test_who_is_in_which_arm_is_no_effect():
    """Simpson: version B runs mostly on the chipset that is late anyway; within chipsets nothing differs."""
    rng = np.random.default_rng(2)

    def arm(sets: int, rate: float) -> Sums:
        return sums_of(rng.poisson(1000 * rate, sets).astype(float), np.full(sets, 1000.0))

    effect = compare([(arm(900, 0.01), arm(100, 0.01)), (arm(100, 0.05), arm(900, 0.05))])
    assert effect is not None
    assert effect.crude > 0.03
    assert abs(effect.difference) < 0.001
    assert effect.low < 0 < effect.high


def test_a_difference_between_equal_arms_is_rarely_significant():
    """200 comparisons of sets that differ a lot: 5 % of false alarms, plus three standard deviations."""
    rng = np.random.default_rng(5)

    def arm() -> Sums:
        n = rng.integers(5, 50, 150).astype(float)
        return sums_of(rng.binomial(n.astype(int), rng.beta(0.5, 20, 150)).astype(float), n)

    alarms = sum(e is not None and e.p < 0.05 for e in (compare([(arm(), arm())]) for _ in range(200)))
    assert alarms / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)


# --- histograms -------------------------------------------------------------------------------------------

histograms = st.lists(
    st.dictionaries(st.integers(0, 539), st.integers(1, 10**6), min_size=1, max_size=8),
    min_size=1,
    max_size=8,
)


def as_histogram(buckets: dict[int, int]) -> Histogram:
    return Histogram.of(sorted(buckets.items()), 2.0 ** ((max(buckets) + 0.9) / 18))


@few
@given(histograms, st.randoms(use_true_random=False))
def test_merging_in_any_order_and_grouping_gives_the_same_histogram(parts, rng: random.Random):
    made = [as_histogram(part) for part in parts]
    straight = Histogram()
    for each in made:
        straight = straight + each
    while len(made) > 1:  # any two, in either order
        rng.shuffle(made)
        made.append(made.pop() + made.pop())
    assert made[0] == straight


@few
@given(parts=histograms, files=st.integers(1, 3))
def test_sql_merges_histograms_as_the_runtime_does_over_any_split_into_files(parts, files, tmp_path):
    paths = [tmp_path / f"{i}.parquet" for i in range(files)]
    names = list(COLUMNS)
    for i, path in enumerate(paths):
        rows = [
            {"set_id": f"s{j}", "session_id": f"s{j}", "chipset": "c", "firmware": "f", "ts_ms": 1,
             "latency_max_us": as_histogram(part).max_us, "errors": [],
             "histogram": [{"bucket": b, "count": c} for b, c in part.items()]}
            for j, part in enumerate(parts) if j % files == i
        ]  # fmt: skip
        with duckdb.connect() as connection:
            columns = ", ".join(f"{n} {kind}" for n, kind in COLUMNS.items())
            connection.execute(f"CREATE TABLE t ({columns})")
            for row in rows:
                connection.execute(
                    f"INSERT INTO t VALUES ({', '.join('?' * len(names))})", [row.get(n) for n in names]
                )
            connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    with Records.open(paths, tmp_path, threads=1).connect() as connection:
        found = connection.execute(fleet_sql.histograms(("chipset",))).fetchall()
    merged = Histogram.of([(b, c) for _, b, c, _ in found], max(row[-1] for row in found))
    expected = Histogram()
    for part in parts:
        expected = expected + as_histogram(part)
    assert merged == expected


# --- small groups -----------------------------------------------------------------------------------------

groups = st.dictionaries(
    st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.sampled_from("12")),
    st.integers(1, 12), min_size=1, max_size=12,
)  # fmt: skip


@given(groups, st.integers(1, 8))
def test_nothing_that_is_shown_is_about_fewer_than_k_sets(sizes, k):
    members = {
        labels: (n, frozenset(f"{labels}{i}" for i in range(n)) if n < k else frozenset())
        for labels, n in sizes.items()
    }
    places = folded(members, k)
    totals: dict[tuple[str, ...], int] = {}
    for labels, place in places.items():
        totals[place] = totals.get(place, 0) + sizes[labels]
        assert place == labels or OTHER in place
    small = {place for place, n in totals.items() if n < k}
    assert small <= {(OTHER, OTHER, OTHER)}  # the view leaves that one out
    assert not small or sum(sizes.values()) < k or len(totals) == 1


def test_a_view_folds_small_groups_and_says_so(parquet, tmp_path):
    view = fleet_view(opened(parquet, tmp_path), by=("chipset", "firmware"), k=200)
    assert all(group.sets >= 200 for group in view.groups)
    assert view.groups_folded > 0
    assert any(OTHER in group.labels for group in view.groups)
    assert sum(group.sessions for group in view.groups) == view.sessions


# --- the whole view ---------------------------------------------------------------------------------------


def test_a_session_is_its_last_record(parquet, tmp_path):
    view = fleet_view(opened(parquet, tmp_path))
    assert (view.records, view.sessions, view.sets) == (40_000, 20_000, 2_000)


def test_known_effects_are_found_where_they_are_and_nowhere_else(parquet, tmp_path):
    view = fleet_view(opened(parquet, tmp_path), comparison=Comparison("model_version", "1", "2"))
    assert [(name, labels) for name, labels, _ in view.worst] == [("crash", HURT)]
    effect = view.worst[0][2]
    expected = fleet_synthetic.CRASH * (fleet_synthetic.HURT_FACTOR - 1)
    assert effect.low < expected < effect.high
    late = {g.labels[0]: g.metrics["miss"].value for g in view.groups}
    assert min(late, key=lambda chipset: -late[chipset]) == LATE
    assert view.effects["miss"].p_adjusted > 0.01


def test_rates_are_those_of_the_lines(lines, tmp_path):
    """Against the strict parser and plain arithmetic."""
    (tmp_path / "r.jsonl").write_text("\n".join(lines))
    records = opened(tmp_path / "r.jsonl", tmp_path / "w")
    final = {r.record.session_id: r for r in map(FieldRecord.from_json, lines) if r.ended is not None}
    chipset = HURT[0]
    chosen = [r.record for r in final.values() if r.chipset == chipset]
    group = next(g for g in fleet_view(records, by=("chipset",), k=2).groups if g.labels == (chipset,))
    frames = sum(r.frames_in or 0 for r in chosen)
    assert group.metrics["miss"].value == pytest.approx(
        sum(r.deadline_miss_count or 0 for r in chosen) / frames
    )
    assert group.sessions == len(chosen)
    merged = Histogram()
    for r in chosen:
        assert r.latency_us is not None
        merged = merged + Histogram.of(r.latency_us.histogram, r.latency_us.max)
    assert group.p99_us == pytest.approx(merged.percentile(99))


def test_lines_that_are_no_records_are_left_out_and_counted(lines, tmp_path):
    good = json.loads(lines[1])
    wrong = [
        '{"nope', "[]", "null", '"text"', "{}", '{"schema": 1}', "\x00\x01", "[[[[[[[[",
        json.dumps(good | {"schema": 2}),
        json.dumps(good | {"set_id": "x" * 500}),
        json.dumps(good | {"set_id": 17, "chipset": None}),
        json.dumps(good | {"ended": "maybe"}),
        json.dumps(good | {"record": good["record"] | {"frames_in": -1}}),
        json.dumps(good | {"record": good["record"] | {"frames_bypassed": 10**9}}),
        json.dumps(good | {"record": good["record"] | {"latency_us": {"max": 1.0, "histogram": [[900, 1]]}}}),
        json.dumps(good | {"record": good["record"] | {"latency_us": {"max": 1.0, "histogram": [[1]]}}}),
        json.dumps(good | {"rollout": {"release": "r", "stage": 1, "arm": "both"}}),
    ]  # fmt: skip
    path = tmp_path / "it's.jsonl"
    path.write_text("\n".join([lines[0], *wrong, lines[1]]) + "\n")
    records = opened(path, tmp_path / "w")
    with records.connect() as connection:
        kept = connection.execute("SELECT count(*) FROM records").fetchone()[0]
    assert kept == 2
    assert records.refused == len(wrong)


def test_what_is_no_file_of_records_is_an_error_that_names_it(tmp_path):
    (tmp_path / "r.parquet").write_bytes(b"PAR1 nothing PAR1")
    (tmp_path / "r.txt").touch()
    for name, message in (
        ("absent.jsonl", "no such file"), ("r.txt", "records are .parquet"),
        ("r.parquet", r"r\.parquet: not readable"),
    ):  # fmt: skip
        with pytest.raises(OptionError, match=message):
            fleet_view(opened(tmp_path / name, tmp_path / "w"))
    with pytest.raises(OptionError, match="did you mean 'chipset'"):
        fleet_sql.per_set(("chipst",))


# --- output -----------------------------------------------------------------------------------------------


def test_the_command_writes_one_page_in_three_forms(parquet, tmp_path, capsys):
    command = ["fleet", str(parquet), "--compare", "model_version", "1", "2", "--threads", "1"]
    assert main([*command, "--out", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "Where it differs" in told
    assert "synaptics-vs680 / 2026.07" in told
    page = (tmp_path / "fleet.html").read_text()
    assert page.count("<svg") == 3
    assert "http" not in page
    document = json.loads((tmp_path / "fleet.json").read_text())
    assert document["worst"][0]["metric"] == "crash"
    assert "| chipset | firmware |" in (tmp_path / "fleet.md").read_text()


def test_names_from_the_field_cannot_become_markup(lines, tmp_path, capsys):
    evil = "<script>alert(1)</script>|`x`\u001b[2J"
    changed = [json.dumps(json.loads(line) | {"chipset": evil}) for line in lines[:1000]]
    (tmp_path / "r.jsonl").write_text("\n".join(changed))
    assert main(["fleet", str(tmp_path / "r.jsonl"), "--out", str(tmp_path / "o"), "--threads", "1"]) == 0
    assert "\u001b" not in capsys.readouterr().out
    assert "<script" not in (tmp_path / "o" / "fleet.html").read_text()
    assert "<script" not in (tmp_path / "o" / "fleet.md").read_text()


def test_the_page_on_fleets_prints_the_statements_that_run():
    assert fleet_sql.script(("chipset", "firmware", "model")) in DOCS.read_text()
