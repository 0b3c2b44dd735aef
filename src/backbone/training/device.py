"""Where to compute."""

from __future__ import annotations

import torch


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """Return the device to train on: the one named, or the fastest there is.

    Args:
        name: such as "cpu", "cuda", "cuda:1", "mps"; None takes a CUDA GPU, else Apple's, else
            the CPU.

    Raises:
        TypeError, ValueError: no such device on this machine; the message says what there is.
    """
    if name is None:
        return torch.device(_present()[-1])
    if not isinstance(name, (str, torch.device)):
        raise TypeError(f'device must be a name such as "cpu", or None; got {name!r}.')
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    count = torch.cuda.device_count() if device and device.type == "cuda" else 1
    if device is None or device.type not in _present() or (device.index or 0) >= count:
        raise ValueError(
            f"There is no device {str(name)!r} here. This machine has {', '.join(_present())}; "
            "device=None takes the fastest."
        )
    return device


def _present() -> list[str]:
    """Kinds of device on this machine, fastest last."""
    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.append("mps")
    if torch.cuda.is_available():
        present.append("cuda")
    return present
