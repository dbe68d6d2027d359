"""Ed25519 keys: what is signed is verified, nothing else is; private keys stay private."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from lumavox import signing
from lumavox.errors import BundleSignatureError, OptionError
from lumavox.signing import SigningKey, TrustedKeys

# RFC 8032, section 7.1, test 2: secret key, public key, message, signature.
RFC_SECRET = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
RFC_MESSAGE = b"\x72"
RFC_SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.generate()


def test_the_signature_is_that_of_the_standard():
    """The vector of RFC 8032."""
    key = SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(RFC_SECRET))
    assert key.sign(RFC_MESSAGE) == RFC_SIGNATURE
    TrustedKeys.of(key.public_pem()).verify(key.key_id, RFC_SIGNATURE, RFC_MESSAGE)


def test_a_signature_verifies_the_data_it_was_made_for(key):
    TrustedKeys.of(key.public_pem()).verify(key.key_id, key.sign(b"data"), b"data")


@settings(max_examples=50, deadline=None)
@given(data=st.binary(min_size=1, max_size=40), bit=st.integers(0, 64 * 8 - 1), of_data=st.booleans())
def test_any_flipped_bit_of_signature_or_data_is_refused(key, data, bit, of_data):
    signature = bytearray(key.sign(data))
    altered = bytearray(data)
    target = altered if of_data else signature
    target[bit // 8 % len(target)] ^= 1 << bit % 8
    with pytest.raises(BundleSignatureError, match="does not match"):
        TrustedKeys.of(key.public_pem()).verify(key.key_id, bytes(signature), bytes(altered))


def test_another_key_is_not_trusted_and_the_message_names_both(key):
    other = SigningKey.generate()
    with pytest.raises(BundleSignatureError) as caught:
        TrustedKeys.of(other.public_pem()).verify(key.key_id, key.sign(b""), b"")
    assert key.key_id in str(caught.value)
    assert other.key_id in str(caught.value)


def test_a_key_cannot_pass_for_another_by_its_id(key):
    other = SigningKey.generate()
    with pytest.raises(BundleSignatureError, match="does not match"):
        TrustedKeys.of(key.public_pem()).verify(key.key_id, other.sign(b"x"), b"x")


def test_a_saved_key_is_read_by_its_owner_only_and_comes_back(key, tmp_path):
    path = key.save(tmp_path / "k.pem.key")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SigningKey.load(path).key_id == key.key_id
    assert [p.name for p in tmp_path.iterdir()] == ["k.pem.key"]


def test_a_saved_key_is_never_overwritten(key, tmp_path):
    path = key.save(tmp_path / "k.pem.key")
    with pytest.raises(OptionError, match="exists and is not overwritten"):
        SigningKey.generate().save(path)
    assert SigningKey.load(path).key_id == key.key_id


def test_a_password_is_needed_if_one_was_given(key, tmp_path):
    path = key.save(tmp_path / "k.pem.key", b"open sesame")
    assert SigningKey.load(path, b"open sesame").key_id == key.key_id
    for wrong in (None, b"guess"):
        with pytest.raises(OptionError, match="not a readable private key"):
            SigningKey.load(path, wrong)


def test_what_is_no_private_key_of_this_kind_is_refused_and_named(key, tmp_path):
    curve = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for content, message in (
        (b"hello", "not a readable private key"),
        (key.public_pem(), "not a readable private key"),
        (curve, "key of another kind"),
    ):
        (tmp_path / "k").write_bytes(content)
        with pytest.raises(OptionError, match=message):
            SigningKey.load(tmp_path / "k")
    with pytest.raises(OptionError, match="cannot be read: No such file"):
        SigningKey.load(tmp_path / "none")


def test_what_is_no_public_key_of_this_kind_is_refused():
    curve = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    for pem, message in ((b"hello", "not a public key"), (curve, "of another kind")):
        with pytest.raises(OptionError, match=message):
            TrustedKeys.of(pem)


def test_the_folder_of_keys_is_the_list_of_shipped_keys(key, tmp_path, monkeypatch):
    monkeypatch.setattr(signing, "SHIPPED_KEYS", tmp_path)
    assert TrustedKeys.shipped().key_ids == ()
    (tmp_path / "a.pem").write_bytes(key.public_pem())
    assert TrustedKeys.shipped().key_ids == (key.key_id,)


def test_every_shipped_key_is_public_and_readable():
    for path in signing.SHIPPED_KEYS.iterdir():
        assert b"PRIVATE" not in path.read_bytes()
    assert len(TrustedKeys.shipped().key_ids) == len(list(signing.SHIPPED_KEYS.glob("*.pem")))


def test_the_private_key_is_not_printed(key):
    assert repr(key) == f"<SigningKey {key.key_id}>"


def test_without_cryptography_the_error_names_the_install_command():
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from lumavox.signing import TrustedKeys\n"
        "from lumavox.errors import BundleSignatureError\n"
        "try: TrustedKeys.of(b'')\n"
        "except BundleSignatureError as error: print(error)\n"
    )
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | paths
    )
    assert "pip install cryptography" in done.stdout


def test_a_key_of_an_algorithm_that_nobody_knows_is_refused(tmp_path):
    """An Ed25519 key whose algorithm's object identifier is changed by one bit."""
    lines = SigningKey.generate().public_pem().decode().split("\n")
    data = bytearray(base64.b64decode(lines[1]))
    data[data.index(b"\x2b\x65\x70") + 2] ^= 0x40
    pem = "\n".join([lines[0], base64.b64encode(data).decode(), lines[2], ""]).encode()
    with pytest.raises(OptionError, match="not a public key"):
        TrustedKeys.of(pem)
