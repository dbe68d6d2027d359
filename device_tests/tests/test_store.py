"""The store: append-only, named by content, whole or not there, readable as a table."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cells import cell
from lumavox.errors import OptionError
from lumavox_matrix.cell import Rung, Status
from lumavox_matrix.links.base import ended
from lumavox_matrix.result import Outcome, Result, first_status
from lumavox_matrix.runner.record import Phase, Record
from lumavox_matrix.store import Store


def result(**fields: object) -> Result:
    usual: dict[str, object] = {
        "schema": 1, "cell": cell(), "rung": Rung.MEASURED, "status": Status.DONE, "reason": "complete",
        "outcome": Outcome(1.5, 0), "tier": "smoke", "device": "host", "link": "local", "run_id": "r",
        "began_ms": 1_700_000_000_000,
    }  # fmt: skip
    return Result(**(usual | fields))  # type: ignore[arg-type]


@settings(max_examples=30, deadline=None)
@given(
    reason=st.text(max_size=40),
    seconds=st.floats(0, 1e6),
    firmware=st.text("abc 019._-", min_size=1, max_size=9).map(str.strip).filter(bool),
    status=st.sampled_from(Status),
)
def test_a_result_survives_its_json(reason, seconds, firmware, status):
    made = result(reason=reason, outcome=Outcome(seconds), cell=cell(firmware=firmware), status=status)
    again = Result.from_json(made.to_json())
    assert again == made
    assert again.digest == made.digest


def test_a_result_is_kept_once_under_the_digest_of_its_bytes(tmp_path):
    store = Store.open(tmp_path / "store")
    digest = store.add(result())
    assert store.add(result()) == digest == result().digest
    other = store.add(result(began_ms=2))
    assert store.digests() == sorted([digest, other])
    assert store.get(digest) == result()
    assert {r.began_ms for r in Store.open(tmp_path / "store").results()} == {2, 1_700_000_000_000}


def test_a_damaged_file_is_reported_and_otherwise_not_there(tmp_path):
    store = Store.open(tmp_path)
    digest = store.add(result())
    path = next(tmp_path.glob("results/*/*.json"))
    path.write_bytes(path.read_bytes()[:-40])
    assert store.damaged() == [digest]
    assert list(store.results()) == []
    with pytest.raises(OptionError, match="not those of its name"):
        store.get(digest)
    assert store.add(result()) == digest  # kept again, it is whole again
    assert store.get(digest) == result()


def test_a_folder_that_is_no_store_and_a_newer_store_are_refused(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(OptionError, match="is not a store"):
        Store.open(tmp_path)
    Store.open(tmp_path / "new")
    (tmp_path / "new" / "store.json").write_text('{"schema": 2}')
    with pytest.raises(OptionError, match="reads stores of schema 1"):
        Store.open(tmp_path / "new")


def test_an_unknown_key_in_a_stored_result_is_an_error_that_names_the_nearest(tmp_path):
    document = json.loads(result().to_json())
    document["reson"] = "x"
    with pytest.raises(OptionError, match="'reson'; did you mean 'reason'"):
        Result.from_json(json.dumps(document).encode())


def test_a_result_of_the_first_version_is_still_read():
    """A fixture that is never refreshed: results must be readable a year later."""
    text = (
        '{"began_ms":1700000000000,"cell":{"compiler":"none","delegate":"cpu","driver":"unknown",'
        '"engine":"litert","engine_version":"2.3.0","firmware":"unknown","model":"sr/a","model_digest":"00",'
        '"precision":"int8","preset":"540p30","qos":"sustained","soc":"host","task":"sr"},"device":"host",'
        '"host":{},"link":"local","loaded":false,"misc":{},"outcome":{"seconds":1.5,"exit_code":0,'
        '"stderr":"","timed_out":false},"reason":"complete","record":{"cell_digest":"00","complete":true,'
        '"nonce":"n","schema":1,"observations":[{"name":"golden_matches","passed":true,"phase":"open",'
        '"value":0.0}],"phases":[{"began_s":0.0,"ended_s":0.5,"name":"probe"}]},"rung":"measured",'
        '"run_id":"r","schema":1,"status":"DONE","tier":"smoke"}'
    )
    found = Result.from_json(text.encode())
    assert found.record is not None
    assert found.record.observation("golden_matches").passed


def test_the_view_is_a_table_of_everything_and_follows_the_store(tmp_path):
    pytest.importorskip("duckdb", reason="the view needs duckdb, which is in lumavox[matrix]")
    store = Store.open(tmp_path)
    for n in range(3):
        store.add(result(began_ms=n, cell=cell(soc=f"soc-{n % 2}"), status=list(Status)[n]))
    rows = store.view().execute("SELECT soc, count(*) FROM results GROUP BY soc ORDER BY soc").fetchall()
    assert rows == [("soc-0", 2), ("soc-1", 1)]
    store.add(result(began_ms=9))
    assert store.view().execute("SELECT count(*), max(began_ms) FROM results").fetchone() == (4, 9)
    assert (tmp_path / "results.parquet").is_file()


def record(*phases: Phase, complete: bool = False) -> Record:
    return Record(schema=1, nonce="n", cell_digest="0", phases=phases, complete=complete)


BEGUN = record(Phase("probe", 0.0, 0.1), Phase("stream", 0.1))
ENDED = record(Phase("probe", 0.0, 0.1), complete=True)
RAISED = record(Phase("open", 0.0, 0.1, "EngineError: no"))


@pytest.mark.parametrize(
    ("outcome", "found", "status", "words"),
    [
        (Outcome(1, 0), ENDED, Status.DONE, "complete"),
        (Outcome(1, 1), RAISED, Status.FAIL, "EngineError: no"),
        (Outcome(1, signal=11), BEGUN, Status.FAIL, "signal 11 in phase 'stream'"),
        (Outcome(1, signal=9), None, Status.ERROR, "before it began"),
        (Outcome(60, timed_out=True), BEGUN, Status.FAIL, "hung in phase 'stream'"),
        (Outcome(60, timed_out=True), None, Status.ERROR, "did not begin"),
        (Outcome(1, 1, stderr="x\nImportError: y"), None, Status.ERROR, "ImportError: y"),
        (Outcome(1, 0), None, Status.MISS, "left no record"),
        (Outcome(1, 3), BEGUN, Status.FAIL, "exit code 3"),
        (Outcome(1, link_error="gone"), BEGUN, Status.ERROR, "was lost: gone"),
        (Outcome(1, 0, record_error="not JSON"), None, Status.ERROR, "not JSON"),
    ],
)
def test_the_first_rule_tells_the_product_from_the_lab(outcome, found, status, words):
    got, reason = first_status(outcome, found)
    assert got is status
    assert words in reason


def test_an_outcome_keeps_the_end_of_the_words():
    done = ended(1, b"", b"x" * 9000 + b"end", 2.0)
    assert Outcome.of(done).stderr.endswith("end")
    assert len(Outcome.of(done).stderr) == 4000
