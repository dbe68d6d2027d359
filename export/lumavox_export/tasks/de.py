"""Dialog enhancement: film-like mixes, compressed spectral loss, SI-SDR improvement of the dialog stem.

Training runs at 16 kHz, where most licensed speech is at home; the front-end's bins are the same at 48 kHz.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lumavox.dsp import BandFrontEnd

from ..data.de_mixes import Mix, validation_mixes
from ..data.mixer import Mixer, MixSettings
from ..data.sound_bank import SoundBank
from ..errors import RecipeError
from ..graph import Graph
from ..knob import calibrate_knob
from ..losses import DialogLoss
from ..machine import Network
from ..metrics import lost_share, si_sdr
from ..qat import FakeQuantGraph
from ..ranks import Batch
from ..recipe import Content, Recipe
from ..reference import stream
from ..work import Work

# In order of preference: on CPUs the float network of this size is as quick as the integer one.
VARIANTS = (
    ("tflite", "float32"),
    ("onnx", "float32"),
    ("tflite", "w8a16"),
    ("tflite", "int8"),
    ("onnx", "int8"),
)

Feeds = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Data:
    """Section ``[contents.data]``: dataset names by role."""

    speech: tuple[str, ...]
    music: tuple[str, ...]
    effects: tuple[str, ...]
    singing: tuple[str, ...]
    validation_speech: tuple[str, ...] = ()
    validation_music: tuple[str, ...] = ()
    validation_effects: tuple[str, ...] = ()
    rate_hz: int = 16000
    batch: int = 8
    mix: MixSettings = field(default_factory=MixSettings)
    loss: DialogLoss = field(default_factory=DialogLoss)


class Material:
    """Batches and validation mixes."""

    def __init__(self, recipe: Recipe, content: Content, work: Work) -> None:
        self.data: Data = content.data  # type: ignore[assignment]
        self.workers = 0 if self.data.mix.parts else 1  # making parts anew takes longer than a step
        self.front_end = _front_end(recipe).at_rate(self.data.rate_hz)
        self._expansion = torch.from_numpy(self.front_end.expansion)
        self._batches = _Batches(recipe.seed, self.data, self.front_end, work)
        self.batch = self._batches.batch
        self._work = work
        self._validation: dict[float, list[Mix]] = {}

    def mixer(self) -> Mixer:
        """The mixer over the recipe's sound banks."""
        return self._batches.mixer()

    def loss(
        self,
        network: Network,
        batch: tuple[Tensor, ...],
        teacher: Network | None = None,
        share: float = 0.0,
    ) -> Tensor:
        """Distance to the dialog, and with a teacher, ``share`` of it to the teacher's stem.

        Where there is no dialog the teacher is not asked: its stem should be silence as well.
        The SNR term is a mean over the rows with dialog: ranks weigh those a little otherwise.
        """
        features, mix, dialog = batch
        self._expansion = self._expansion.to(features.device)
        gains = torch.sigmoid(network(features)) @ self._expansion.T
        loss = self.data.loss(gains, mix, dialog)
        if teacher is not None:
            with torch.no_grad():
                spoken = dialog.abs().amax((1, 2), keepdim=True) > 0
                stem = mix * (torch.sigmoid(teacher(features)) @ self._expansion.T) * spoken
            loss = (1 - share) * loss + share * self.data.loss(gains, mix, stem)
        return loss

    def validate(self, network: Network) -> dict[str, float]:
        """Of the validation mixes: SI-SDR improvement of the stem and share of lost seconds.

        At 0 dB by kind of background and all, at +10 dB all.
        """
        figures: dict[str, float] = {}
        for snr_db in (0.0, 10.0):
            gains: dict[str, list[float]] = {}
            lost: list[float] = []
            for mix in self._mixes(snr_db):
                stft = self.front_end.stft()
                spectra = stft.analyze_all(mix.mix)
                features = torch.from_numpy(self.front_end.features_of(spectra))[None]
                bins = self.front_end.expand(torch.sigmoid(network(features))[0].numpy())
                stem = stft.synthesize_all(spectra * bins)
                kept = stft.synthesize_all(stft.analyze_all(mix.dialog) * bins)
                length = len(stem)
                gain = si_sdr(stem, mix.dialog[:length]) - si_sdr(mix.mix[:length], mix.dialog[:length])
                gains.setdefault(mix.kind, []).append(gain)
                lost.append(lost_share(kept, mix.dialog[:length], self.data.rate_hz))
            if gains:
                at = f"_at_{snr_db:+.0f}_db" if snr_db else ""
                figures[f"si_sdri{at}_db"] = float(np.mean(sum(gains.values(), [])))
                figures[f"lost_share{at}"] = float(np.mean(lost))
                if not snr_db:
                    figures |= {f"si_sdri_{kind}_db": float(np.mean(v)) for kind, v in gains.items()}
        return figures

    def _mixes(self, snr_db: float) -> list[Mix]:
        d, w = self.data, self._work
        names = (d.validation_speech, d.validation_music, d.validation_effects)
        if snr_db not in self._validation and all(names):
            sets = [[w.dataset(n) for n in chosen] for chosen in names]
            self._validation[snr_db] = list(validation_mixes(*sets, rate_hz=d.rate_hz, snr_db=snr_db))
        return self._validation.get(snr_db, [])


class _Batches:
    """Step to batch; opened anew in each process that makes batches."""

    def __init__(self, seed: int, data: Data, front_end: BandFrontEnd, work: Work) -> None:
        self.seed, self.data, self.front_end, self.work = seed, data, front_end, work
        self._mixer: Mixer | None = None
        self.mixer()  # decode here, once, not in the worker
        self._mixer = None

    def mixer(self) -> Mixer:
        """The mixer over the recipe's sound banks."""
        if self._mixer is None:
            d = self.data
            speech, music, effects, singing = (
                SoundBank([self.work.dataset(n) for n in names], d.rate_hz, self.work.cache)
                for names in (d.speech, d.music, d.effects, d.singing)
            )
            self._mixer = Mixer(d.mix, speech, music, effects, singing, self.work.cache)
        return self._mixer

    def batch(self, step: int) -> Batch:
        """Features ``(batch, frames, bands)`` and unit-level spectra of mix and dialog."""
        mixes, dialogs = self.mixer().items(self.seed, step, self.data.batch)
        stft = self.front_end.stft()
        mix = np.stack([stft.analyze_all(x) for x in mixes])
        dialog = np.stack([stft.analyze_all(x) for x in dialogs])
        features = np.stack([self.front_end.features_of(x) for x in mix])
        level = np.sqrt(np.mean(np.abs(mix) ** 2, (1, 2), keepdims=True)) + 1e-9
        spectra = ((x / level).astype(np.complex64) for x in (mix, dialog))
        return torch.from_numpy(features), *(torch.from_numpy(x) for x in spectra)


class _MaskOfGraph(nn.Module):
    """A drawn network as its family's module is called: features to mask logits."""

    def __init__(self, graph: FakeQuantGraph) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, features: Tensor) -> Tensor:
        """``(batch, frames, bands)`` to the same; the mask is between 1/512 and 1 - 1/512."""
        mask = self.graph(features.transpose(0, 1)[:, :, None, None])  # frames, batch, group, 1, positions
        mask = mask.squeeze(3).transpose(2, 3).flatten(2).transpose(0, 1)
        mask = mask + (mask.clamp(1 / 512, 1 - 1 / 512) - mask).detach()  # a mask of 0 still learns
        return torch.log(mask / (1 - mask))


def network_of(graph: FakeQuantGraph) -> nn.Module:
    """What `Material.loss` takes, for quantization-aware training."""
    return _MaskOfGraph(graph)


def calibration(recipe: Recipe, material: Material, graph: Graph) -> Iterator[Feeds]:
    """Real rollouts: frames of training mixes, states as they arise."""
    frames_each = 200
    for step in range(max(1, recipe.quantize.calibration_samples // 8)):
        for item in material.batch((1 << 20) + step)[0].numpy():
            frames = ({"features": frame.reshape(1, 1, -1, 1)} for frame in item[:frames_each])
            for number, (feeds, _) in enumerate(stream(graph, frames)):
                if number % 5 == 4:
                    yield feeds


def golden(recipe: Recipe, graph: Graph) -> list[dict[str, np.ndarray]]:
    """Frames of a stream, the last from its middle: every input, states included, real values."""
    rng = np.random.default_rng(recipe.seed)
    bands = graph.inputs[0].shape[2]
    frames = (
        {"features": np.abs(rng.normal(0.8, 0.4, (1, 1, bands, 1))).astype(np.float32)} for _ in range(80)
    )
    return [dict(feeds) for number, (feeds, _) in enumerate(stream(graph, frames)) if number % 20 == 19]


def ranges(recipe: Recipe, graph: Graph) -> dict[str, tuple[float, float]]:
    """Nothing is fixed beforehand but the sigmoid's output, which calibration knows."""
    return {}


def knob(recipe: Recipe, material: Material, module: nn.Module) -> list[tuple[float, float]]:
    """(requested, applied) dB of the levels, measured on training mixes around 0 dB."""
    mixer = material.mixer()
    rng = np.random.default_rng(recipe.seed)

    @torch.no_grad()
    def masks(features: np.ndarray) -> np.ndarray:
        return torch.sigmoid(module(torch.from_numpy(features)[None]))[0].numpy()

    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    while len(pairs) < 24:
        dialog, background = mixer.parts(rng)
        level = float(np.sqrt(np.mean(dialog**2)) / (np.sqrt(np.mean(background**2)) + 1e-9))
        if level > 0:
            pairs.append((dialog, background * np.float32(level)))
    return calibrate_knob(material.front_end, masks, pairs)


def write_mixes(recipe: Recipe, work: Work, folder: Path, count: int) -> list[Path]:
    """Training mixes (left) and their dialog (right) as WAV files, to listen to."""
    import soundfile

    content = recipe.contents[0]
    data: Any = content.data
    few = replace(data, mix=replace(data.mix, parts=0))  # made for these mixes alone
    material = Material(recipe, replace(content, data=few), work)
    mixes, dialogs = material.mixer().items(recipe.seed, 0, count)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, (mix, dialog) in enumerate(zip(mixes, dialogs, strict=True)):
        paths.append(folder / f"mix{number:03}.wav")
        soundfile.write(paths[-1], np.stack([mix, dialog], 1), material.data.rate_hz)
    return paths


def front_end(recipe: Recipe) -> dict[str, Any]:
    """The bundle's ``front_end``: the fields of the shared front-end."""
    return asdict(_front_end(recipe))


def delay(recipe: Recipe) -> dict[str, int]:
    """Analysis and synthesis."""
    return {"samples": _front_end(recipe).delay_samples}


def _front_end(recipe: Recipe) -> BandFrontEnd:
    if recipe.front_end is None:
        raise RecipeError(f"{recipe.id}: a recipe of task 'de' needs the section [front_end]")
    return recipe.front_end
