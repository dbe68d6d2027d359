"""Super-resolution figures: PSNR-Y and SSIM-Y on stills (MATLAB-style bicubic) and on encoded clips.

One run measures our variants, the conventional filters and the peers that were asked for on the same
pictures, and times them in turn. `sr_material` and `sr_synthetic` have the pictures and the protocol,
`sr_methods` and `sr_peers` what is compared, `sr_score` and `sr_speed` the figures, `sr_crops` the strips.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lumavox.benchmark import overhead
from lumavox.bundle import Bundle
from lumavox.errors import EngineError

from ..data.manifest import Dataset
from ..progress import progress
from ..recipe import Recipe
from ..work import Work
from . import Options
from .sr_crops import write_crops
from .sr_material import CODECS as CODECS
from .sr_material import Clip, Group, Size, clips, encoded, folder_stills, stills
from .sr_methods import Costs, Method, in_colour, methods
from .sr_peers import open_peer, peer_files
from .sr_score import Scores, figures, quantization, score
from .sr_speed import times
from .sr_streams import measure_streams
from .sr_synthetic import extra_stills, pans
from .sr_table import tables

SHOWN: Size = (1080, 1920)  # the picture that costs and times are told for
ROUNDS = 9  # of timing
KIND_CODEC = ("libx264", 26)  # what kinds of material are compared at


def measure(recipe: Recipe, bundle: Bundle, work: Work, options: Options) -> tuple[dict[str, Any], str]:
    """All figures of a bundle; see the package."""
    scale: float = recipe.network.scale  # type: ignore[attr-defined]
    names = sorted({n for c in recipe.contents for n in c.data.validation})  # type: ignore[attr-defined]
    network: Any = recipe.network.build().to_graph()  # type: ignore[attr-defined]
    costs = Costs(network.parameters(), network.macs(48, 48) / 48**2)
    with ExitStack() as stack:
        compared = stack.enter_context(methods(bundle, scale, costs))
        failed = _open_peers(stack, compared, options.peers, scale)
        coloured = stack.enter_context(in_colour(bundle, scale, costs))
        multiple = int(str(bundle.front_end.get("multiple", 1)))
        run = _Run(compared, coloured, scale, multiple, work.cache, failed)
        found: dict[str, Any] = {
            "scale": scale,
            "parameters": costs.parameters,
            "macs_per_input_pixel": round(costs.macs_per_pixel),
            "engines": {m.name: m.engine for m in [*compared, *coloured] if m.role == "ours"},
        }
        datasets = [work.dataset(name) for name in names]
        if options.dataset:
            found |= run.datasets(datasets, options.crops)
        found |= measure_streams(compared, scale, run.multiple, datasets, work.cache, options)
        found["pictures"] = {folder.name: run.folder(folder) for folder in options.pictures}
        found["speed"] = _speed(bundle, compared, scale)
        found["methods"] = {m.name: _described(m, scale) for m in [*compared, *coloured]}
        found["peers_not_measured"] = dict(failed)
    return found, tables(found)


def _open_peers(
    stack: ExitStack, compared: list[Method], folder: Path | None, scale: float
) -> dict[str, str]:
    """Add the peers of a folder to ``compared``; returns those that cannot be measured, with the reason."""
    failed: dict[str, str] = {}
    for path in peer_files(folder, scale) if folder else ():
        try:
            compared.append(stack.enter_context(open_peer(path, scale)))
        except EngineError as error:
            failed[path.name] = str(error)
    return failed


class _Run:
    """The methods of one run over all material."""

    def __init__(
        self,
        compared: list[Method],
        coloured: list[Method],
        scale: float,
        multiple: int,
        cache: Path,
        failed: dict[str, str],
    ) -> None:
        self.pictures = [*compared, *coloured]  # what stills are measured by; streams are luma
        self.compared, self.scale, self.multiple, self.cache = compared, scale, multiple, cache
        self.failed = failed  # grows as peers fail

    def datasets(self, datasets: Sequence[Dataset], crops: Path | None) -> dict[str, Any]:
        """Stills, encoded clips, kinds of material and what the integers cost."""
        pictures = list(progress(stills(datasets, self.scale, self.multiple), "reading pictures"))
        extra = list(extra_stills(datasets, self.scale, self.multiple))
        shots = list(clips(datasets))
        on_stills = self._score(pictures, "stills", self.pictures)
        on_clips = {
            f"{codec} crf {crf}": self._score(self._encoded(shots, codec, crf), f"{codec} crf {crf}")
            for codec, levels in CODECS.items()
            for crf in levels
        }
        at_kinds = on_clips["{} crf {}".format(*KIND_CODEC)].joined(
            self._score(self._encoded(pans(datasets, {c.kind for c in shots}), *KIND_CODEC), "kinds")
        )
        by_kind = self._by_kind(on_stills.joined(self._score(extra, "synthetic stills")), at_kinds)
        if crops is not None:
            self._crops(crops, [*pictures, *extra])
        return {
            "stills": figures(on_stills, self.pictures),
            "encoded": {name: figures(s, self.compared, clips=True) for name, s in on_clips.items()},
            "by_kind": by_kind,
            "integer_minus_float": {
                "stills": quantization(on_stills, self.compared),
                **{name: quantization(s, self.compared) for name, s in on_clips.items()},
            },
        }

    def folder(self, folder: Path) -> dict[str, Any]:
        """A folder of pictures by the same protocol; ``sha256`` is over what was measured."""
        digest = hashlib.sha256()
        groups = []
        for group in folder_stills(folder, self.scale, self.multiple):
            digest.update(group.name.encode() + group.pairs[0].low.tobytes())
            groups.append(group)
        scores = self._score(groups, folder.name, self.pictures)
        return {
            "count": len(groups),
            "sha256": digest.hexdigest(),
            "stills": figures(scores, self.pictures),
            "integer_minus_float": quantization(scores, self.compared),
        }

    def _encoded(self, shots: Sequence[Clip] | Iterator[Clip], codec: str, crf: int) -> Iterator[Group]:
        return (encoded(clip, self.scale, codec, crf, self.multiple, self.cache) for clip in shots)

    def _score(
        self, groups: Sequence[Group] | Iterator[Group], what: str, methods: Sequence[Method] = ()
    ) -> Scores:
        working = [m for m in methods or self.compared if m.name not in self.failed]
        scores = score(working, groups, self.scale, what)
        self.failed.update(scores.failed)
        return scores

    def _by_kind(self, on_stills: Scores, on_clips: Scores) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for kind in sorted({*on_stills.kinds, *on_clips.kinds}, key=lambda k: ("synthetic" in k, k)):
            out[kind] = {
                "stills": figures(on_stills.of_kind(kind), self.compared),
                "streamed": figures(on_clips.of_kind(kind), self.compared, clips=True),
                "names": on_stills.of_kind(kind).names + on_clips.of_kind(kind).names,
            }
        return out

    def _crops(self, folder: Path, groups: Sequence[Group]) -> None:
        ours = sorted((m for m in self.compared if m.role == "ours"), key=lambda m: (m.precision, m.content))
        integer = [m for m in ours if m.precision != "float32"] or ours
        lanczos = next(m for m in self.compared if m.name == "lanczos")
        write_crops(folder, groups, lanczos, integer[0], self.scale)


def _described(method: Method, scale: float) -> dict[str, Any]:
    out: dict[str, Any] = {"role": method.role, "engine": method.engine}
    if method.costs is not None:
        low = (round(SHOWN[0] / scale), round(SHOWN[1] / scale))
        out |= {"parameters": method.costs.parameters, "gmac_1080p": round(method.costs.gmac(low), 2)}
    return out


def _speed(bundle: Bundle, compared: Sequence[Method], scale: float) -> dict[str, Any]:
    """One thread: the preferred variant bare and in the whole `Upscaler`, then every method in turn."""
    height, width = (round(n / scale) for n in SHOWN)
    found = overhead(bundle, size=(width, height), rounds=2 * ROUNDS)
    preferred = bundle.variants[0]
    each = times(compared, (height, width), f"{preferred.content} {preferred.precision}", ROUNDS)
    return {
        f"engine_ms_{width}x{height}": round(found.engine_ms, 1),
        f"upscaler_ms_{width}x{height}": round(found.process_ms, 1),
        "ratio": round(found.ratio, 3),
        "in_turn": {
            name: {"ms": round(t.ms, 1), "cpu_ms": round(t.cpu_ms, 1), "ratio": round(t.ratio, 2)}
            for name, t in each.items()
        },
    }
