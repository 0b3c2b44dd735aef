"""Get a checkpoint from the network or from a file, as a plain dictionary of tensors.

Nothing in a checkpoint is ever executed: files are read with `weights_only=True`.
"""

from __future__ import annotations

import hashlib
import http.client
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor

# torchvision's ImageNet weights (IMAGENET1K_V1). The file name holds the start of its sha256; the
# whole of it stands in SHA256.
CHECKPOINTS = {
    "resnet18": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "resnet34": "https://download.pytorch.org/models/resnet34-b627a593.pth",
    "resnet50": "https://download.pytorch.org/models/resnet50-0676ba61.pth",
    "resnet101": "https://download.pytorch.org/models/resnet101-63fe2227.pth",
    "resnet152": "https://download.pytorch.org/models/resnet152-394f9c45.pth",
}

SHA256 = {
    "resnet18-f37072fd.pth": "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
    "resnet34-b627a593.pth": "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f",
    "resnet50-0676ba61.pth": "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
    "resnet101-63fe2227.pth": "63fe2227b86e8f1f2063f43a75c84d195911b6a0eace650907dd3dc62dd49a0a",
    "resnet152-394f9c45.pth": "394f9c45966e3651a89bbb78a48410a6755854ce4a5ab64927cf1c7247f85e58",
}

WRAPPERS = ("state_dict", "model_state_dict", "model")  # where training scripts put the weights
PREFIXES = ("module.", "_orig_mod.")  # added by DataParallel and by torch.compile


class DownloadError(ConnectionError):
    """A checkpoint could not be downloaded; says from where, and where to put it by hand."""


def download(name: str, progress: bool = True) -> dict[str, Tensor]:
    """Return one of `CHECKPOINTS`, from torch.hub's cache or, the first time, from its address.

    Raises:
        DownloadError: the address cannot be reached.
        ValueError: what arrived, or what lies in the cache, is not the published file.
        OSError: there is no room for the file, or no permission to keep it.
    """
    url = CHECKPOINTS[name]
    file = url.rpartition("/")[2]
    cached = Path(torch.hub.get_dir()) / "checkpoints" / file
    expected = SHA256.get(file) or re.search(r"-([0-9a-f]{8,})\.", file)[1]
    try:
        if cached.is_file():
            _check_cached(cached, url, expected)  # perhaps it was put there by hand
        else:  # it is written beside its place and gets its name only with the right hash
            cached.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(cached), expected, progress)
    except (URLError, ConnectionError, TimeoutError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DownloadError(
            f"Could not download the weights of {name} from {url} ({reason}); without a "
            f"connection, fetch that file elsewhere and save it as {cached}."
        ) from error
    except RuntimeError as error:
        if "invalid hash value" not in str(error):
            raise
        raise ValueError(
            f"The file downloaded from {url} is damaged or not the published one: {error}. "
            "Nothing was kept. Try again; if it happens again, something between you and the "
            "server changes the file."
        ) from error
    except OSError as error:
        raise OSError(
            error.errno,
            f"The weights of {name} cannot be kept in {cached.parent}: {error.strerror}. Nothing "
            "was left there. Make room, or set TORCH_HOME to a folder where you may write.",
        ) from error
    return unwrap(torch.load(cached, map_location="cpu", weights_only=True))


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Return the weights in a file: `.safetensors`, or anything `torch.save` wrote.

    Weights inside `{"state_dict": …}` are unwrapped; `module.` in front of names is dropped.

    Raises:
        FileNotFoundError: no such file.
        ImportError: a `.safetensors` file, and the package safetensors is not installed.
        ValueError: the file is damaged, or holds anything but tensors.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no checkpoint file {path}. Give the path of a .pth, .pt or .safetensors "
            f"file, or one of the names {', '.join(CHECKPOINTS)}."
        )
    if path.suffix == ".safetensors":
        return unwrap(_read_safetensors(path))
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} ({path.stat().st_size:,} bytes) cannot be read as weights: it is damaged, or "
            "not a checkpoint, or holds Python objects besides tensors, which are not opened "
            "because they could run any code. Fetch it again, or save it anew with "
            "torch.save(model.state_dict(), path)."
        ) from error
    return unwrap(checkpoint)


def unwrap(checkpoint: object) -> dict[str, Tensor]:
    """Return the names and tensors inside what a training script saved; nothing is copied.

    Raises:
        TypeError: there are no named tensors in it.
    """
    for key in WRAPPERS:
        if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
    if not isinstance(checkpoint, Mapping):
        raise TypeError(
            "A checkpoint must be a state_dict, names with tensors as from model.state_dict(); "
            f"this one is of type {type(checkpoint).__name__}."
        )
    state = dict(checkpoint)
    if not state:
        raise TypeError("The checkpoint is empty: it holds no weights.")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise TypeError(
                "A checkpoint must be a state_dict, names with tensors; this one has "
                f"{name!r} with a value of type {type(value).__name__}. If the weights are deeper "
                "inside, pass them alone: load_torchvision(model, checkpoint['…'])."
            )
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise ImportError(
            f"Reading {path.name} needs the package safetensors: pip install safetensors."
        ) from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"{path} ({path.stat().st_size:,} bytes) is damaged or not a safetensors file "
            f"({error}). Fetch it again."
        ) from error


def _check_cached(cached: Path, url: str, expected: str) -> None:
    """Compare a file in the cache with its sha256, or with as much as is known of it."""
    found = hashlib.sha256(cached.read_bytes()).hexdigest()
    if not found.startswith(expected):
        raise ValueError(
            f"{cached} is damaged or not the published file: its sha256 should start with "
            f"{expected} but is {found}. Delete it, then load again or fetch {url} anew."
        )
