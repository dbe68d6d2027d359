"""Records become CMCD version 2 event reports that keep to CTA-5004-B, whatever is in the record."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox.errors import OptionError
from lumavox.telemetry import (
    NO_SPEECH,
    PASSTHROUGH_AUDIO,
    SECURE_PATH,
    LadderUse,
    Meter,
    TelemetryRecord,
    reason_token,
)
from lumavox.telemetry_cmcd import CmcdEvents
from meters import full_meter

http_sf = pytest.importorskip("http_sf", reason="the independent parser is a development dependency")
from cmcd_rules import problems  # noqa: E402

VALIDATOR = "LUMAVOX_CML_CMCD"  # a folder in which `npm install @svta/cml-cmcd` was run
anything = st.text(max_size=200)


def everything() -> TelemetryRecord:
    meter = full_meter()
    meter.ladder = LadderUse("small", 3, 1, 0)
    return meter.record()


def values(report: str) -> dict[str, object]:
    return {key: value for key, (value, _) in http_sf.parse(report.encode(), tltype="dictionary").items()}


def test_the_rules_find_what_is_wrong():
    """The checker itself: each of these breaks one rule of the specification."""
    good = 'cen="x",com.a-b="1",e=ce,sid="s",ts=1,v=2'
    assert problems(good) == []
    for bad in (
        good.replace("v=2", "v=1"), good.replace(",ts=1", ""), good.replace('cen="x",', ""), good + ",a-b=x",
        good.replace('"1"', "1"), good.replace('"1"', '"' + "x" * 65 + '"'), good.replace("e=ce", "e=xx"),
        good.replace("sid", "xid"), good + "\n", good.replace("ts=1", "ts=1.5"), "e=ps,ts=1,v=2",
        "e=t,ec=x,ts=1,v=2", "bs=?0,e=t,ts=1,v=2", 'e=t,ts=1,url="u",v=2', "e=t,,ts=1,v=2",
        "e=t," + "a" * 63 + '-b="",ts=1,v=2',
    ):  # fmt: skip
        assert problems(bad), bad


def test_a_report_says_what_the_record_says():
    events = CmcdEvents("6e2fb550-c457-11e9-bb97-0800200c9a66", prefix="com.example")
    record = everything()
    found = values(events.interval(record, playhead_ms=61_000))
    assert (str(found["e"]), found["v"], found["sn"], found["pt"]) == ("t", 2, 0, 61_000)
    assert found["ts"] == record.ts_ms
    assert found["sid"] == "6e2fb550-c457-11e9-bb97-0800200c9a66"
    assert [code for code, _ in found["ec"]] == ["SR.E_DEADLINE"]
    custom = {k.removeprefix("com.example-enh-"): v for k, v in found.items() if "-" in k}
    assert custom == {
        "st": "sr/degraded", "why": "other", "fi": "4", "fe": "3", "fb": "1", "fl": "1", "dm": "2",
        "p50": f"{record.latency_us.p50 / 1e3:.1f}", "p99": f"{record.latency_us.p99 / 1e3:.1f}",
        "dl": "20.0", "ep": "auto/litert", "av": "0/30", "sc": "ok", "rung": "small",
        "cfg": record.config_digest,
    }  # fmt: skip
    changed = values(events.changed(record))
    assert (str(changed["e"]), changed["cen"], changed["sn"]) == ("ce", "enh-state", 1)


def test_what_is_not_known_is_not_sent():
    found = values(CmcdEvents().interval(Meter(task="de").record()))
    known = {"e", "sid", "sn", "ts", "v"} | {
        f"com.lumavox-enh-{name}" for name in ("st", "fi", "fe", "fb", "fl")
    }
    assert set(found) == known


@settings(max_examples=80, deadline=None)
@given(
    reason=anything, rung=anything, session=anything.filter(bool), backend=anything, pt=st.integers(0, 2**40)
)
def test_every_report_keeps_to_the_specification(reason, rung, session, backend, pt):
    record = dataclasses.replace(
        everything(), state_reason=reason, ladder=LadderUse(rung), session_id=session, ep_actual=backend
    )
    events = CmcdEvents(prefix="tv.example.player")
    body = "\n".join([events.interval(record, pt), events.changed(record)])
    assert problems(body) == []


@pytest.mark.parametrize(
    ("reason", "token"),
    [
        (PASSTHROUGH_AUDIO, "passthrough-audio"),
        (SECURE_PATH, "secure-path"),
        (NO_SPEECH, "no-speech"),
        ("stepped down to nano: thermal forecast", "stepped-down"),
        ("could not open /home/someone/film.mkv", "other"),
    ],
)
def test_reasons_leave_the_device_as_tokens_only(reason, token):
    assert reason_token(reason) == token
    meter = Meter(task="de")
    meter.set_state("bypass", reason)
    report = CmcdEvents().changed(meter.record())
    assert values(report)["com.lumavox-enh-why"] == token
    assert "someone" not in report


@pytest.mark.parametrize("prefix", ["", "Com.example", "9a", "a b", "x" * 60, "a=b"])
def test_a_prefix_that_cannot_be_a_key_is_refused(prefix):
    with pytest.raises(OptionError, match="CMCD prefix"):
        CmcdEvents(prefix=prefix)


def test_a_session_id_that_is_too_long_is_refused():
    with pytest.raises(OptionError, match="65 characters"):
        CmcdEvents("x" * 65)


def test_a_record_without_a_time_is_refused():
    with pytest.raises(OptionError, match="ts_ms"):
        CmcdEvents().interval(dataclasses.replace(everything(), ts_ms=None))


@pytest.mark.skipif(
    shutil.which("node") is None or not os.environ.get(VALIDATOR),
    reason=f"needs node, and {VALIDATOR}=<folder where `npm install @svta/cml-cmcd` was run>",
)
def test_the_common_media_library_finds_nothing_wrong():
    """The validator of Common Media Library (SVTA), an implementation that is not ours."""
    events = CmcdEvents()
    meter = Meter(task="de")
    meter.set_state("bypass", PASSTHROUGH_AUDIO)
    reports = [
        events.interval(everything(), 61_000),
        events.changed(everything()),
        events.changed(meter.record()),
    ]
    script = Path(__file__).with_name("cml_cmcd.mjs")

    def judged(body: str) -> dict:
        command = ["node", str(script), os.environ[VALIDATOR]]
        done = subprocess.run(command, input=body.encode(), stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)

    assert judged("\n".join(reports)) == {"valid": True, "issues": []}
    assert not judged("\n".join(reports).replace("e=t", "e=xx"))["valid"]
