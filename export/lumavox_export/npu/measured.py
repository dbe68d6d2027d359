"""What was measured of a shipped model, from ``measured.json`` beside its bundle: `quality_of`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .network import Network


def quality_of(bundle: Path, network: Network) -> tuple[float | None, str]:
    """PSNR-Y or SI-SDR improvement of the network in its precision, with the unit; None: not measured."""
    try:
        measured: Any = json.loads((bundle.parent / "measured.json").read_text())
        if network.task == "sr":
            value = measured["stills"][f"{network.content} {network.precision}"]["psnr_y_db"]
            return float(value), "dB PSNR-Y"
        value = measured["si_sdr_improvement_db"][network.precision]["+0 dB"]["all"]
        return float(value), "dB SI-SDR improvement"
    except (OSError, ValueError, KeyError, TypeError):
        return None, "not measured"
