"""Sessions: which variant is opened, and that it is checked by its golden vector first."""

from __future__ import annotations

import json

import numpy as np
import pytest

import bundles
import tiny_models
from lumavox import backends
from lumavox.bundle import Bundle
from lumavox.errors import (
    BackendUnavailableError,
    BundleError,
    BundleSelfCheckError,
    EngineError,
    OptionError,
)
from lumavox.session import Session

NEAREST = {"op": "nearest", "scale": 2}


def opened(path) -> Bundle:
    return Bundle.open(path, trusted_keys=bundles.trusted())


def mixed_bundle(folder, models) -> Bundle:
    """A bundle with one virtual variant per entry of ``models``, in that order of preference."""
    variants = [bundles.sr_variant(f"v{i}") for i in range(len(models))]
    luma = np.arange(64, dtype=np.int8).reshape(1, 8, 8, 1)
    golden = bundles.npz(luma=luma, enlarged=luma.repeat(2, axis=1).repeat(2, axis=2))
    files = {v.file: json.dumps(m).encode() for v, m in zip(variants, models)}
    files |= {v.golden.file: golden for v in variants}
    path = bundles.write_bundle(
        folder / "mixed",
        id="sr/mixed",
        version="0.1.0",
        provenance=bundles.Provenance(),
        card=bundles.CARD,
        front_end=bundles.SR_FRONT_END,
        variants=variants,
        files=files,
        key=bundles.signing_key(),
        delay_frames=0,
    )
    return opened(path)


def test_a_session_has_run_its_golden_vector_and_says_how_near_it_came(sr_path):
    with Session.open(opened(sr_path)) as session:
        assert session.backend.name == "virtual"
        assert session.self_check.value == 0
        assert session.self_check.passed
        assert session.cold_load_ms > 0
        assert "first usable" in session.reason


def test_a_golden_vector_that_does_not_come_out_is_refused(tmp_path):
    bundle = opened(bundles.sr_bundle(tmp_path, model=NEAREST | {"offset": 2}))
    with pytest.raises(BundleSelfCheckError, match="differs from its golden vector by 2, allowed is 1"):
        Session.open(bundle)


def test_a_difference_within_the_tolerance_is_accepted(tmp_path):
    bundle = opened(bundles.sr_bundle(tmp_path, model=NEAREST | {"offset": 1}))
    with Session.open(bundle) as session:
        assert session.self_check.value == 1


def test_nan_never_passes_the_golden_vector(tmp_path):
    bundle = opened(bundles.de_bundle(tmp_path, model={"op": "mask", "nan_at": [0]}))
    with pytest.raises(BundleSelfCheckError, match="nan"):
        Session.open(bundle)


def test_auto_passes_over_variants_that_fail_and_says_so(tmp_path):
    broken, wrong = NEAREST | {"fail_open": True}, NEAREST | {"offset": 9}
    with Session.open(mixed_bundle(tmp_path, [broken, wrong, NEAREST])) as session:
        assert session.variant.name == "v2"
        assert "scripted fault" in session.reason
        assert "differs from its golden vector by 9" in session.reason


def test_a_backend_asked_for_by_name_is_not_replaced(tmp_path):
    with pytest.raises(EngineError, match="scripted fault"):
        Session.open(mixed_bundle(tmp_path, [NEAREST | {"fail_open": True}, NEAREST]), backend="virtual")


def test_the_first_failure_is_reported_when_nothing_works(tmp_path):
    models = [NEAREST | {"fail_open": True}, NEAREST | {"offset": 9}]
    with pytest.raises(EngineError, match="scripted fault"):
        Session.open(mixed_bundle(tmp_path, models))


def test_content_and_precision_narrow_the_choice(tmp_path):
    bundle = opened(bundles.sr_bundle(tmp_path, contents=("clean", "streamed"), model=NEAREST))
    with Session.open(bundle, content="streamed") as session:
        assert session.variant.content == "streamed"
    with pytest.raises(BundleError, match="precision is 'int8'"):
        Session.open(bundle, precision="float32")
    with pytest.raises(OptionError, match="did you mean 'streamed'"):
        Session.open(bundle, content="stream")


def test_a_backend_that_cannot_run_the_bundle_is_named(sr_path):
    with pytest.raises(BackendUnavailableError, match="formats: virtual"):
        Session.open(opened(sr_path), backend="litert")
    with pytest.raises(OptionError, match="did you mean 'litert'"):
        Session.open(opened(sr_path), backend="litrt")


def test_states_that_the_golden_vector_leaves_out_start_as_zeros(tmp_path):
    features = np.full((1, 1, 1, 96), 0.5, np.float32)
    golden = {"features": features, "mask": np.ones_like(features)}
    bundle = opened(bundles.de_bundle(tmp_path, golden=golden))
    with Session.open(bundle) as session:
        assert session.self_check.metric == "max_abs"


def test_a_real_engine_reproduces_a_golden_vector_exactly(tmp_path):
    """int8 TFLite, 8x8 pixels; oracle numpy's repeat, tolerance 0."""
    probe = backends.get("litert").probe()
    if not probe.usable:
        pytest.skip(probe.reason)
    path = tiny_models.bundle(tmp_path, "litert")
    with Session.open(opened(path)) as session:
        assert (session.backend.name, session.self_check.value) == ("litert", 0)
