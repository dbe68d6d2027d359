"""``Keyring``: the Ed25519 keys of the repository's roles, one PEM file each, found by key id.

Keys may lie in several folders, such as a stick for the root keys that is plugged in for a rotation only; a
role is signed by those of its keys that are there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner, Key

from lumavox.errors import OptionError


class Keyring:
    """New keys go into the first of ``folders``; ``password`` opens those that have one."""

    def __init__(self, *folders: Path, password: bytes | None = None) -> None:
        self._folders, self._password = folders, password
        self._signers: dict[str, CryptoSigner] = {}
        for path in sorted(p for folder in folders for p in folder.glob("*.key")):
            signer = self._load(path)
            self._signers[signer.public_key.keyid] = signer

    def new(self, role: str) -> Key:
        """A new key for ``role``, written as ``<role>.<n>.key``, readable by its owner only."""
        folder = self._folders[0]
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        signer = CryptoSigner.generate_ed25519()
        number = 1 + len(list(folder.glob(f"{role}.*.key")))
        path = folder / f"{role}.{number}.key"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(signer.private_bytes)
        self._signers[signer.public_key.keyid] = signer
        return signer.public_key

    def signers(self, keyids: Iterable[str], threshold: int, role: str) -> list[CryptoSigner]:
        """Those of ``keyids`` that are here. Raises OptionError if they are fewer than ``threshold``."""
        keyids = list(keyids)
        found = [self._signers[id] for id in keyids if id in self._signers]
        if len(found) < threshold:
            places = ", ".join(str(folder) for folder in self._folders)
            raise OptionError(
                f"{role} must be signed by {threshold} of the keys {', '.join(id[:16] for id in keyids)}; "
                f"{len(found)} of them are in {places}: give the folders of the others by --keys"
            )
        return found

    def _load(self, path: Path) -> CryptoSigner:
        try:
            return CryptoSigner(load_pem_private_key(path.read_bytes(), self._password))
        except (ValueError, TypeError, OSError) as cause:
            raise OptionError(f"{path} is not a private key that can be read: {cause}") from cause
