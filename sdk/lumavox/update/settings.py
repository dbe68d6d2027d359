"""``Settings``: what a device needs to know to update its models, in one file (docs/update.md)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from .._parse import load_json, parse
from ..errors import OptionError
from .client import Limits
from .health import Health


@dataclass(frozen=True)
class Settings:
    """What an update needs to know; paths in a file are relative to it."""

    store: Path
    metadata_url: str
    targets_url: str
    root: Path  # the trust anchor, root.json
    device: Path = Path("device.json")
    models: tuple[str, ...] = ()
    keys: tuple[Path, ...] = ()  # public keys of bundles; none: those shipped with lumavox
    healthy_sessions: int = 5  # needed to end a trial
    self_test_s: float = 30.0
    backend: str = "auto"
    limits: Limits = Limits()
    health: Health = Health()

    @classmethod
    def load(cls, path: str | Path) -> Settings:
        """From a JSON file. Raises OptionError with file and key."""
        path = Path(path)
        try:
            data = path.read_bytes()
        except OSError as cause:
            raise OptionError(f"the update settings {path} cannot be read: {cause.strerror}") from cause
        found = parse(cls, load_json(data, str(path)), str(path))
        here = path.parent
        return replace(
            found,
            store=here / found.store,
            root=here / found.root,
            device=here / found.device,
            keys=tuple(here / key for key in found.keys),
        )
