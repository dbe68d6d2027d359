"""Other projects' speech enhancers as stems of dialog: measured side by side, never stored or trained from.

They are 16 kHz networks fed frame by frame, as their authors stream them; the conventions are known by file
name. What a peer gives lies at the place of its input: no delay is left to take out.

    for peer in open_peers(folder): stem = peer.run(mix)      # float32 (samples,) at 16 kHz, both
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError

WINDOW = 512
Sound = NDArray[np.float32]


@dataclass(frozen=True)
class Peer:
    """A network of somebody else's."""

    name: str
    run: Callable[[Sound], Sound]


def open_peers(folder: Path) -> list[Peer]:
    """The peers of a folder, by name. Raises DatasetError if it is not there or holds none that is known."""
    if not folder.is_dir():
        raise DatasetError(f"--peers {folder}: there is no such folder")
    root = np.sqrt(_hann(WINDOW))
    peers = []
    for path in sorted(folder.glob("*.onnx")):
        if path.stem.startswith(("gtcrn", "ulunas")):
            peers.append(Peer(path.stem, _Spectral(path, root).run))
        elif path.stem.startswith("fe_") and path.stem.endswith(".spec"):
            peers.append(Peer(path.stem, _Spectral(path, _hann(WINDOW)).run))
        elif path.stem.endswith("model_1") and (second := path.with_name("dtln_model_2.onnx")).is_file():
            peers.append(Peer("dtln", _TwoStage(path, second).run))
    if not peers:
        raise DatasetError(
            f"--peers {folder}: no file there is named gtcrn*.onnx, ulunas*.onnx, fe_*.spec.onnx or "
            "dtln_model_1.onnx with dtln_model_2.onnx"
        )
    return peers


class _Network:
    """An ONNX file whose first input and output are the signal, the rest states in the same order."""

    def __init__(self, path: Path) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._ports = self._session.get_inputs()
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._states = [np.zeros(port.shape, np.float32) for port in self._ports[1:]]

    def __call__(self, x: NDArray[Any]) -> NDArray[np.float32]:
        fed = [np.asarray(x, np.float32).reshape(self._ports[0].shape), *self._states]
        out, *self._states = self._session.run(
            None, {port.name: value for port, value in zip(self._ports, fed, strict=True)}
        )
        return np.asarray(out)


class _Spectral:
    """Complex spectra in and out: window 512, hop 256, ``shape`` on both sides, overlap normalized."""

    def __init__(self, path: Path, shape: NDArray[np.float64]) -> None:
        self._network, self._shape = _Network(path), shape

    def run(self, x: Sound) -> Sound:
        """The whole signal, from a fresh state."""
        hop = WINDOW // 2
        self._network.reset()
        padded = np.pad(x, (hop, WINDOW))
        out, weight = np.zeros(len(padded)), np.full(len(padded), 1e-8)
        for start in range(0, len(padded) - WINDOW + 1, hop):
            spectrum = np.fft.rfft(padded[start : start + WINDOW] * self._shape)
            made = self._network(np.stack([spectrum.real, spectrum.imag], -1)).reshape(-1, 2)
            frame = np.fft.irfft(made[:, 0] + 1j * made[:, 1], WINDOW) * self._shape
            out[start : start + WINDOW] += frame
            weight[start : start + WINDOW] += self._shape**2
        return np.asarray((out / weight)[hop : hop + len(x)], np.float32)


class _TwoStage:
    """DTLN: a mask on magnitudes, then samples to samples; window 512, hop 128, no window function."""

    def __init__(self, first: Path, second: Path) -> None:
        self._mask, self._samples = _Network(first), _Network(second)

    def run(self, x: Sound) -> Sound:
        """The whole signal, from fresh states."""
        hop, lead = 128, WINDOW - 128
        self._mask.reset()
        self._samples.reset()
        padded = np.pad(x, (lead, WINDOW))
        out = np.zeros(len(padded))
        for start in range(0, len(padded) - WINDOW + 1, hop):
            spectrum = np.fft.rfft(padded[start : start + WINDOW])
            mask = self._mask(np.abs(spectrum)).reshape(-1)
            frame = self._samples(np.fft.irfft(spectrum * mask, WINDOW)).reshape(-1)
            out[start : start + WINDOW] += frame
        return np.asarray(out[lead : lead + len(x)], np.float32)


def _hann(window: int) -> NDArray[np.float64]:
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window))
