"""``lumavox bench``: its figures agree with each other; how large they are is not a test's business."""

from __future__ import annotations

import json

import pytest

from bundles import de_bundle, sr_bundle
from lumavox import cli


@pytest.fixture(autouse=True)
def _our_key(trusted, monkeypatch):
    monkeypatch.setattr("lumavox.signing.TrustedKeys.shipped", lambda: trusted)


def figures(capsys, *argv: str) -> dict:
    assert cli.main(["bench", "--json", "--rounds", "1", *argv]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_real_time_factor_and_delay_of_a_sound_model_are_measured(tmp_path, capsys):
    found = figures(capsys, "--model", str(de_bundle(tmp_path)))
    (sound,) = found["sound"]
    assert found["picture"] == []
    assert sound["model"] == "de/tiny"
    assert sound["backend"] == "virtual"
    assert sound["real_time_factor"] > 0
    assert sound["p99_hop_ms"] > 0
    assert sum(sound["shares"].values()) == pytest.approx(1.0, abs=0.05)
    assert sound["delay_ms"] >= 1440 / 48  # the bundle's own delay, 30 ms


def test_the_bare_engine_is_compared_with_the_upscaler(tmp_path, capsys):
    found = figures(capsys, "--size", "64x36", "--model", str(sr_bundle(tmp_path)))
    (picture,) = found["picture"]
    assert found["sound"] == []
    assert (picture["model"], picture["width"], picture["height"]) == ("sr/tiny", 64, 36)
    assert picture["rounds"] == picture["enhanced"] == 1
    assert picture["ratio"] == pytest.approx(picture["process_ms"] / picture["engine_ms"])


def test_the_import_of_lumavox_is_compared_with_that_of_numpy(tmp_path, capsys):
    found = figures(capsys, "--model", str(de_bundle(tmp_path)))["import"]
    assert found["numpy_ms"] > 0
    assert found["ratio"] == pytest.approx(found["lumavox_adds_ms"] / found["numpy_ms"])


def test_the_text_shows_the_same_parts(tmp_path, capsys):
    models = [str(sr_bundle(tmp_path)), str(de_bundle(tmp_path))]
    assert cli.main(["bench", "--rounds=1", "--size=64x36", "--model", models[0], "--model", models[1]]) == 0
    text = capsys.readouterr().out
    assert "sr/tiny on virtual, NV12 64x36 x2: engine" in text
    assert "de/tiny on virtual: real-time factor" in text
    assert "lumavox adds" in text


def test_other_pixel_formats_are_measured_one_after_the_other(tmp_path, capsys):
    asked = ["--size=64x36", "--format=p010", "--format=rgb24", "--model", str(sr_bundle(tmp_path))]
    assert [p["format"] for p in figures(capsys, *asked)["picture"]] == ["P010", "RGB24"]
    assert cli.main(["bench", "--format=p01", *asked]) == 2
    assert "did you mean 'p010'" in capsys.readouterr().err


def test_a_network_of_even_sizes_is_measured_on_odd_pictures(tmp_path, capsys):
    model = sr_bundle(tmp_path, scale=1.5, model={"op": "nearest", "scale": 1.5})
    (picture,) = figures(capsys, "--size=63x35", "--model", str(model))["picture"]
    assert (picture["scale"], picture["enhanced"]) == (1.5, 1)


@pytest.mark.parametrize("size", ["960", "960x", "0x540", "-1x5", "axb"])
def test_a_size_that_is_none_is_refused(size, capsys):
    assert cli.main(["bench", f"--size={size}"]) == 2
    assert "960x540" in capsys.readouterr().err


@pytest.mark.parametrize("rounds", ["0", "-1", "many"])
def test_a_number_of_rounds_that_is_none_is_refused(rounds, capsys):
    assert cli.main(["bench", f"--rounds={rounds}"]) == 2
    assert "whole number above 0" in capsys.readouterr().err
