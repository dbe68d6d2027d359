"""The golden self-test in a process of its own: passed, wrong, crashed, hung; the caller lives on."""

from __future__ import annotations

import pytest

from bundles import sr_bundle, trusted
from lumavox.signing import SigningKey, TrustedKeys
from lumavox.update.self_test import self_test


@pytest.mark.parametrize(
    ("model", "timeout_s", "words"),
    [
        ({"op": "nearest", "scale": 2}, 60.0, "golden vectors came out: any-int8-virtual"),
        ({"op": "nearest", "scale": 2, "faults": {"wrap_from": 0}}, 60.0, "differs from its golden vector"),
        ({"op": "nearest", "scale": 2, "faults": {"crash_at": [0]}}, 60.0, "ended by SIGSEGV"),
        ({"op": "nearest", "scale": 2, "faults": {"open_ms": 60_000.0}}, 2.0, "no answer within 2 s"),
    ],
    ids=["good", "wrong", "crash", "hang"],
)
def test_what_a_model_does_in_the_child_is_a_sentence_in_the_parent(tmp_path, model, timeout_s, words):
    path = sr_bundle(tmp_path, model=model)
    result = self_test(path, trusted=trusted(), backend="virtual", timeout_s=timeout_s)
    assert words in result.reason
    assert result.passed == words.startswith("golden vectors came out")


def test_a_bundle_of_an_unknown_signer_does_not_pass(tmp_path):
    keys = TrustedKeys.of(SigningKey.generate().public_pem())
    result = self_test(sr_bundle(tmp_path), trusted=keys, backend="virtual", timeout_s=60.0)
    assert not result.passed
    assert "not trusted" in result.reason
