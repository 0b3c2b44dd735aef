"""Short descriptions of modules, in symbols and numbers that read the same in every language."""

from __future__ import annotations

from math import prod

from torch import nn


def describe(module: nn.Module) -> str:
    """Say what matters about a module: "3 → 64, 7×7, stride 2, padding 3"; "" if nothing does."""
    match module:
        case nn.Conv2d() | nn.ConvTranspose2d():
            parts = [f"{module.in_channels} → {module.out_channels}", _by(module.kernel_size)]
            parts += _unless(1, stride=module.stride, dilation=module.dilation)
            parts += _unless(0, padding=module.padding)
            return ", ".join(parts)
        case nn.MaxPool2d() | nn.AvgPool2d():
            parts = [_by(module.kernel_size), *_unless(1, stride=module.stride)]
            return ", ".join(parts + _unless(0, padding=module.padding))
        case nn.AdaptiveAvgPool2d():
            return f"→ {_by(module.output_size)}"
        case nn.BatchNorm2d():
            return str(module.num_features)
        case nn.Linear():
            return f"{module.in_features} → {module.out_features}"
        case nn.Sequential():
            return ", ".join(part for part in (_contents(module), _change(module)) if part)
    return _change(module)


def shape_text(shape: tuple[int, ...]) -> str:
    """Write a shape without its batch dimension: (1, 64, 56, 56) → "64×56×56"."""
    return "×".join(str(n) for n in shape[1:])


def _contents(stage: nn.Sequential) -> str:
    """Say what a Sequential holds: "2 × BasicBlock", "2 × (Conv2d → BatchNorm2d → PReLU)"."""
    kinds = [type(m).__name__ for m in stage]
    for length in range(1, len(kinds) + 1):  # the shortest pattern that repeats
        times, rest = divmod(len(kinds), length)
        if not rest and kinds == kinds[:length] * times:
            pattern = " → ".join(kinds[:length])
            if times == 1:
                return pattern
            return f"{times} × {pattern}" if length == 1 else f"{times} × ({pattern})"
    return ""


def _change(module: nn.Module) -> str:
    """Say how a block or a stage changes its maps, along the main path: "64 → 128, stride 2"."""
    convolutions = [
        m
        for name, m in module.named_modules()
        if isinstance(m, nn.Conv2d) and not {"downsample", "shortcut"} & set(name.split("."))
    ]
    if not convolutions:
        return ""
    stride = prod(m.stride[0] for m in convolutions)
    change = f"{convolutions[0].in_channels} → {convolutions[-1].out_channels}"
    return change if stride == 1 else f"{change}, stride {stride}"


def _by(size: object) -> str:
    pair = size if isinstance(size, tuple) else (size, size)
    return "×".join(str(n) for n in pair)


def _unless(default: int, **settings: object) -> list[str]:
    out = []
    for name, value in settings.items():
        pair = value if isinstance(value, tuple) else (value, value)
        if any(n != default for n in pair):
            out.append(f"{name} {pair[0] if pair[0] == pair[-1] else _by(pair)}")
    return out
