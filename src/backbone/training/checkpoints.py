"""Save the state of a run so that no interruption can destroy it, and read it back."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from backbone.saving import write_whole

FORMAT = 1  # of the file; a later version of the book that changes it counts on


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Write `state` to `path`, whole or not at all.

    The file is written beside its place and then moved there in one step, so that a process
    killed at any moment leaves the earlier checkpoint or the new one, never half of one.

    Args:
        path: the file; its folder is made if needed.
        state: tensors, numbers, text, and lists and dictionaries of them.

    Raises:
        OSError: it cannot be written, for want of space or of permission.
    """
    content = io.BytesIO()
    torch.save({**state, "format": FORMAT}, content)
    write_whole(path, content.getbuffer())


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote. Only data is read, no code is run (`weights_only`).

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, damaged, or of another version of the book.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {path}.")
    advice = "Delete it to start again, or give another path."
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError) as error:
        raise ValueError(
            f"{path} is not a checkpoint, or it is damaged ({type(error).__name__}). {advice}"
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else None
        raise ValueError(
            f"{path} is not a checkpoint of format {FORMAT} as `fit` writes it; found "
            f"{found!r}. {advice}"
        )
    return state
