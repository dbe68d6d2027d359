"""Ed25519 keys and signatures (RFC 8032) of model bundles.

Who signs holds a ``SigningKey``; who verifies holds ``TrustedKeys``, public keys only. A key is known by
its ``key_id``, the first 16 hex digits of the SHA-256 of the raw public key. This module knows nothing of
bundles: it signs and verifies bytes.

    key = SigningKey.generate()
    key.save("release.pem.key")                                   # never into the repository
    Path("sdk/lumavox/keys/release.pem").write_bytes(key.public_pem())
    TrustedKeys.shipped().verify(key.key_id, key.sign(data), data)
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .errors import BundleSignatureError, OptionError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SHIPPED_KEYS = Path(__file__).parent / "keys"


class SigningKey:
    """A private key. It is never printed and leaves memory only by ``save``."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.key_id: str = _key_id(private.public_key())

    @classmethod
    def generate(cls) -> SigningKey:
        """A new random key."""
        return cls(_modules()[0].Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: str | Path, password: bytes | None = None) -> SigningKey:
        """The key in a PEM file (PKCS #8). Raises OptionError if there is none that can be read."""
        ed25519, serialization = _modules()
        from cryptography.exceptions import UnsupportedAlgorithm

        try:
            private = serialization.load_pem_private_key(Path(path).read_bytes(), password)
        except OSError as cause:
            raise OptionError(f"the private key {path} cannot be read: {cause.strerror}") from cause
        except (ValueError, TypeError, UnsupportedAlgorithm) as cause:  # TypeError: of the password
            raise OptionError(f"{path} is not a readable private key in PEM form: {cause}") from cause
        if not isinstance(private, ed25519.Ed25519PrivateKey):
            raise OptionError(f"{path} is a key of another kind; an Ed25519 private key is needed")
        return cls(private)

    def save(self, path: str | Path, password: bytes | None = None) -> Path:
        """Write the private key, readable by its owner only (mode 0600). An existing file is kept.

        Raises OptionError if the file exists: a private key that is overwritten is lost for good.
        """
        _, serialization = _modules()
        path = Path(path)
        encryption = (
            serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        )
        pem = self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as cause:
            raise OptionError(f"{path} exists and is not overwritten; choose another name") from cause
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        return path

    def public_pem(self) -> bytes:
        """The public key as PEM, for ``TrustedKeys.of`` or the ``keys`` folder."""
        _, serialization = _modules()
        return self._private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, data: bytes) -> bytes:
        """The signature of ``data``: 64 bytes."""
        return self._private.sign(data)

    def __repr__(self) -> str:
        return f"<SigningKey {self.key_id}>"


class TrustedKeys:
    """The public keys whose signatures are accepted."""

    def __init__(self, keys: Mapping[str, Ed25519PublicKey]) -> None:
        self._keys = MappingProxyType(dict(keys))

    @classmethod
    def shipped(cls) -> TrustedKeys:
        """The keys in the folder ``keys`` of this package, each ``*.pem`` one."""
        return cls.of(*(path.read_bytes() for path in sorted(SHIPPED_KEYS.glob("*.pem"))))

    @classmethod
    def of(cls, *pems: bytes) -> TrustedKeys:
        """The given public keys, each in PEM form. Raises OptionError for anything else."""
        ed25519, serialization = _modules()
        from cryptography.exceptions import UnsupportedAlgorithm

        keys = {}
        for pem in pems:
            try:
                public = serialization.load_pem_public_key(pem)
            except (ValueError, TypeError, UnsupportedAlgorithm) as cause:
                raise OptionError(f"not a public key in PEM form: {cause}") from cause
            if not isinstance(public, ed25519.Ed25519PublicKey):
                raise OptionError("a public key of another kind; an Ed25519 public key is needed")
            keys[_key_id(public)] = public
        return cls(keys)

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of the accepted keys."""
        return tuple(self._keys)

    def pems(self) -> tuple[bytes, ...]:
        """The keys as PEM, to hand them to another process; `of` reads them."""
        _, serialization = _modules()
        return tuple(
            key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            for key in self._keys.values()
        )

    def verify(self, key_id: str, signature: bytes, data: bytes) -> None:
        """Return if ``signature`` is that of ``data`` by the trusted key ``key_id``.

        Raises BundleSignatureError if the key is not trusted or the signature is wrong.
        """
        from cryptography.exceptions import InvalidSignature

        if key_id not in self._keys:
            raise BundleSignatureError(
                f"signed by the key {key_id!r}, which is not trusted "
                f"(trusted: {', '.join(self._keys) or 'none'}); pass trusted_keys if it should be"
            )
        try:
            self._keys[key_id].verify(signature, data)
        except InvalidSignature as cause:
            raise BundleSignatureError(
                f"the signature does not match the key {key_id}: the bundle was altered, get it again"
            ) from cause

    def __repr__(self) -> str:
        return f"<TrustedKeys {', '.join(self._keys) or 'none'}>"


def _key_id(public: Ed25519PublicKey) -> str:
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]


def _modules() -> tuple[Any, Any]:
    """``ed25519`` and ``serialization`` of cryptography, which ``import lumavox`` does not load."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as cause:
        raise BundleSignatureError(
            "signatures need the package 'cryptography', which cannot be imported; "
            "install it with: pip install cryptography"
        ) from cause
    return ed25519, serialization
