"""Dialog enhancement figures on fixed film-like mixes, through the runtime's own engine and remix.

Stem: SI-SDR improvement at several dialog-to-background ratios at 48 kHz; the same at 16 kHz with PESQ and
ESTOI, beside the networks of other projects (``de_stems``, ``de_peers``). Remix: change of the
dialog-to-background loudness difference that each level achieves (ITU-R BS.1770-4); the whole
`DialogEnhancer` (``de_enhancer``). Never lose the dialog: share of seconds in which the gains leave it more
than 10 dB down. Integer variants: SI-SDR of their stem against the float one's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from lumavox.bundle import Bundle
from lumavox.dsp import BandFrontEnd
from lumavox.remix import LEVELS, calibrated
from lumavox.session import Session
from lumavox.streaming import StreamingNetwork

from ..data.de_mixes import Mix, validation_mixes
from ..knob import achieved_difference_db
from ..metrics import lost_share, si_sdr
from ..progress import progress
from ..recipe import Recipe
from ..work import Work
from . import Options, mean, table_of
from .de_enhancer import measure_enhancer
from .de_hearing import SNRS_DB as HEARD_SNRS_DB
from .de_hearing import hearing_table, measure_hearing
from .de_peers import Peer, open_peers
from .de_pictures import write_spectrograms
from .de_stems import RATE_HZ, StemScore, score, summary

SNRS_DB = (-5.0, 0.0, 5.0, 10.0)
KINDS = ("music", "effects", "both", "all")
UNPROCESSED = "unprocessed"
Sound = NDArray[np.float32]


def measure(recipe: Recipe, bundle: Bundle, work: Work, options: Options) -> tuple[dict[str, Any], str]:
    """All figures of a bundle; see the package. ``options.crops`` is where spectrograms go."""
    front_end = BandFrontEnd(**bundle.front_end)  # type: ignore[arg-type]
    peers = open_peers(options.peers) if options.peers is not None else []
    with ExitStack() as stack:
        precisions = list(dict.fromkeys(v.precision for v in bundle.variants))
        sessions = {p: stack.enter_context(Session.open(bundle, precision=p)) for p in precisions}
        mixes = _Mixes(
            {p: StreamingNetwork(s.engine, s.variant) for p, s in sessions.items()}, front_end, peers
        )
        for snr_db in SNRS_DB:
            title = f"measuring {snr_db:+.0f} dB"
            for number, mix in enumerate(progress(_mixes(recipe, work, front_end.rate_hz, snr_db), title)):
                stem = mixes.add(mix, snr_db, bundle.calibration)
                if options.crops is not None and snr_db == 0.0 and number < 3:
                    rows = {"mix": mix.mix, "dialog": mix.dialog, f"{bundle.id}: stem": stem}
                    path = options.crops / f"{bundle.id.replace('/', '-')}-{mix.kind}.png"
                    write_spectrograms(path, rows, front_end.rate_hz, f"dialog over {mix.kind}, 0 dB")
        engines = {p: s.engine.description for p, s in sessions.items()}
    network: Any = recipe.network.build().to_graph()  # type: ignore[attr-defined]
    figures = {
        "parameters": network.parameters(),
        "mmacs_per_second": round(network.macs() * front_end.rate_hz / front_end.hop / 1e6, 1),
        "engines": engines,
        **mixes.figures(),
        **measure_enhancer(bundle, _mixes(recipe, work, 48000, 0.0), _backgrounds(recipe, work)),
    }
    if options.hearing:
        at_48_khz = {snr_db: _mixes(recipe, work, 48000, snr_db) for snr_db in HEARD_SNRS_DB}
        figures["hearing"] = measure_hearing(bundle, at_48_khz)
    return figures, _table(figures)


class _Mixes:
    """What was measured of each mix, by precision of ours."""

    def __init__(
        self, networks: dict[str, StreamingNetwork], front_end: BandFrontEnd, peers: Sequence[Peer]
    ) -> None:
        self._networks, self._front_end, self._peers = networks, front_end, peers
        self._gains: dict[tuple[str, float], list[tuple[str, float]]] = defaultdict(list)
        self._scores: dict[tuple[str, float], list[StemScore]] = defaultdict(list)
        self._against_float: dict[str, list[float]] = defaultdict(list)
        self._achieved: dict[str, list[float]] = defaultdict(list)
        self._lost: list[float] = []
        self._lost_briefly: list[float] = []

    def add(self, mix: Mix, snr_db: float, calibration: Sequence[tuple[float, float]]) -> Sound:
        """Measure one mix; returns the stem of the first precision."""
        front_end = self._front_end
        spectra = front_end.stft().analyze_all(mix.mix)
        features = front_end.features_of(spectra)
        masks = {p: _masks(network, features) for p, network in self._networks.items()}
        stems = {p: front_end.stft().synthesize_all(spectra * front_end.expand(m)) for p, m in masks.items()}
        first = next(iter(stems))
        length = len(stems[first])
        dialog, heard = mix.dialog[:length], mix.mix[:length]
        before = si_sdr(heard, dialog)
        for p, stem in stems.items():
            self._gains[p, snr_db].append((mix.kind, si_sdr(stem, dialog) - before))
            if p != "float32" and "float32" in stems:
                self._against_float[p].append(si_sdr(stem, stems["float32"]))
        if snr_db == 0.0:
            for level, asked in LEVELS.items():
                if level != "off":
                    applied = calibrated(asked, calibration)
                    change = achieved_difference_db(
                        front_end, masks[first], mix.dialog, mix.background, applied
                    )
                    self._achieved[level].append(change)
        if snr_db >= 0.0:
            bins = front_end.expand(masks[first])
            kept = front_end.stft().synthesize_all(front_end.stft().analyze_all(mix.dialog) * bins)
            self._lost.append(lost_share(kept, dialog, front_end.rate_hz))
            self._lost_briefly.append(lost_share(kept, dialog, front_end.rate_hz, 0.1, 30.0))
        self._compare(mix, stems, snr_db)
        return stems[first]

    def _compare(self, mix: Mix, stems: dict[str, Sound], snr_db: float) -> None:
        """Scores at 16 kHz: of the mix itself, ours and the peers."""
        rate = self._front_end.rate_hz
        small = Mix(mix.kind, mix.voice, _resampled(mix.dialog, rate), _resampled(mix.background, rate))
        found = {UNPROCESSED: small.mix} | {f"ours {p}": _resampled(s, rate) for p, s in stems.items()}
        found |= {peer.name: peer.run(small.mix) for peer in self._peers}
        for name, stem in found.items():
            self._scores[name, snr_db].append(score(stem, small))

    def figures(self) -> dict[str, Any]:
        """Means over all mixes."""
        stems: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
        for (p, snr_db), gains in self._gains.items():
            by_kind = {k: [g for kind, g in gains if k in (kind, "all")] for k in KINDS}
            stems[p][_key(snr_db)] = {k: mean(v) for k, v in by_kind.items() if v}
        at_16_khz: dict[str, dict[str, Any]] = defaultdict(dict)
        for (name, snr_db), scores in self._scores.items():
            at_16_khz[name][_key(snr_db)] = summary(scores)
        return {
            "si_sdr_improvement_db": dict(stems),
            "stems_at_16_khz": dict(at_16_khz),
            "achieved_difference_lu": {
                level: {"mean": mean(v), "std": round(float(np.std(v)), 2)}
                for level, v in self._achieved.items()
            },
            "lost_dialog_share": mean(self._lost, 4),
            "lost_dialog_share_of_100_ms": mean(self._lost_briefly, 4),
            "si_sdr_against_float_db": {p: mean(v, 1) for p, v in self._against_float.items()},
        }


def _mixes(recipe: Recipe, work: Work, rate_hz: int, snr_db: float) -> list[Mix]:
    data: Any = recipe.contents[0].data
    names = (data.validation_speech, data.validation_music, data.validation_effects)
    sets = [[work.dataset(n) for n in group] for group in names]
    return list(validation_mixes(*sets, rate_hz=rate_hz, snr_db=snr_db))


def _backgrounds(recipe: Recipe, work: Work) -> dict[str, list[Path]]:
    """Files of validation music and effects."""
    data: Any = recipe.contents[0].data
    kinds = {"music": data.validation_music, "effects": data.validation_effects}
    return {
        kind: [d.path(entry) for d in map(work.dataset, names) for entry in d.entries]
        for kind, names in kinds.items()
    }


def _masks(network: StreamingNetwork, features: NDArray[np.float32]) -> NDArray[np.float32]:
    network.reset()
    return np.stack([np.array(network.step(frame)) for frame in features])


def _resampled(x: Sound, rate_hz: int) -> Sound:
    return np.asarray(soxr.resample(x, rate_hz, RATE_HZ), np.float32) if rate_hz != RATE_HZ else x


def _key(snr_db: float) -> str:
    return f"{snr_db:+.0f} dB"


def _table(figures: dict[str, Any]) -> str:
    rows = []
    for precision, by_snr in figures["si_sdr_improvement_db"].items():
        for snr, kinds in by_snr.items():
            rows.append([precision, snr, *(f"{kinds.get(k, float('nan')):.2f}" for k in KINDS)])
    stems = table_of(["SI-SDR improvement, dB", "mix", *KINDS], rows)
    rows = []
    for name, by_snr in figures["stems_at_16_khz"].items():
        for snr, s in by_snr.items():
            gains = (f"{s['si_sdri_db'].get(k, float('nan')):.2f}" for k in KINDS)
            rest = (
                f"{s['pesq_wb']:.2f}" if "pesq_wb" in s else "–",
                f"{s['estoi']:.3f}",
                f"{s['lost_share']:.1%}",
            )
            rows.append([name, snr, *gains, *rest])
    beside = table_of(["at 16 kHz", "mix", *KINDS, "PESQ-WB", "ESTOI", "lost"], rows)
    achieved = [
        [k, f"{LEVELS[k]:+.0f}", f"{v['mean']:.2f} ± {v['std']:.2f}"]
        for k, v in figures["achieved_difference_lu"].items()
    ]
    knob = table_of(["level", "asked, dB", "achieved, LU"], achieved)
    named = ("remix_at_medium", "without_dialog", "lost_dialog_share", "si_sdr_against_float_db")
    heard = [hearing_table(figures["hearing"])] if "hearing" in figures else []
    return "\n\n".join([stems, beside, knob, *heard, *(f"{key}: {figures[key]}" for key in named)])
