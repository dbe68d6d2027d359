"""Trained weights as safetensors files: no pickle, a content's tensors under its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from lumavox._files import replace_file

from .errors import StageError

State = Mapping[str, Tensor]


def write_weights(path: Path, contents: Mapping[str, State]) -> None:
    """Write the state of each content, by temporary name and rename."""
    flat = {
        f"{name}.{key}": value.contiguous()
        for name, state in contents.items()
        for key, value in state.items()
    }
    replace_file(path, save(flat))


def read_weights(path: Path) -> dict[str, dict[str, Tensor]]:
    """States by content. Raises StageError if the file cannot be read."""
    try:
        flat = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise StageError(f"cannot read the weights {path}: {error}") from error
    contents: dict[str, dict[str, Tensor]] = {}
    for name, value in flat.items():
        content, _, key = name.partition(".")
        contents.setdefault(content, {})[key] = value
    return contents


def read_state(path: Path, content: str) -> dict[str, Tensor]:
    """The state of one content. Raises StageError if the file cannot be read or has none."""
    states = read_weights(path)
    if content not in states:
        raise StageError(f"{path} has weights of {', '.join(states)}, not of {content!r}")
    return states[content]


def load_into(module: nn.Module, state: State, where: str) -> nn.Module:
    """Load a state; raises StageError naming the tensors that do not fit."""
    try:
        module.load_state_dict(dict(state))
    except RuntimeError as error:
        raise StageError(f"{where}: the weights do not fit the recipe's network: {error}") from error
    return module.eval()


def seeded(seed: int) -> None:
    """Make fresh weights reproducible."""
    torch.manual_seed(seed)
