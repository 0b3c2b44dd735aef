"""What the two chapters on the whole ResNet both ask: counts, work, and a stem for small images."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from backbone.anatomy import record_features
from backbone.exercises.core import OPEN, Right, Wrong
from backbone.exercises.probes import attempt, kind

SIDE = 32  # of the small images
STAGES = ("layer1", "layer2", "layer3", "layer4")


def still_open(answer: object) -> Right | None:
    """Return "no answer yet" while a part of an answer of several parts is still `...`."""
    parts: Iterable[object] = ()
    if isinstance(answer, Mapping):
        parts = answer.values()
    elif isinstance(answer, list | tuple):
        parts = answer
    return Right(**OPEN, answered=False) if any(part is ... for part in parts) else None


def without_memory(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network without memory for its weights: shapes and counts need none."""
    with torch.device("meta"):
        return build().eval()


def layers_of(net: nn.Module, *kinds: type[nn.Module]) -> list[str]:
    """Names of the modules of these kinds."""
    return [name for name, module in net.named_modules() if isinstance(module, kinds)]


def work(net: nn.Module, size: tuple[int, int, int, int]) -> dict[str, int]:
    """Multiply-adds of each convolution and linear layer: its weights × the places it is used at.

    Args:
        net: any network; a copy without memory is run.
        size: (N, C, H, W) of the input.
    """
    ghost = copy.deepcopy(net).to("meta")
    names = layers_of(ghost, nn.Conv2d, nn.Linear)
    made = record_features(ghost, torch.zeros(size, device="meta"), names)
    return {
        name: ghost.get_submodule(name).weight.numel() * made[name][0, 0].numel() for name in names
    }


def for_small_images(answer: object, channels: int) -> tuple[nn.Module, torch.Tensor]:
    """Look for a ResNet whose stem keeps the 32×32 pixels, so that `layer4` puts out 4×4.

    Returns:
        A copy of the network in evaluation mode, and what it gave for two images.

    Raises:
        Wrong: it is none; the hint says which of the halvings is still there.
    """
    if not isinstance(answer, nn.Module):
        raise Wrong(
            f"Hand in the changed network itself, got {kind(answer)}.",
            f"请交改好的网络本身，得到的是 {kind(answer)}。",
            "not-a-network",
        )
    net: Any = copy.deepcopy(answer).eval()
    lost = [name for name in ("conv1", "bn1", "maxpool", *STAGES) if not hasattr(net, name)]
    if lost:
        raise Wrong(
            f"The network has no {lost[0]} any more. Put something in its place that does nothing.",
            f"网络里没有 {lost[0]} 了。请换上一个什么也不做的模块，而不是删掉它。",
            "module-gone",
        )
    _fits(net, channels)
    x = torch.rand(2, channels, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    names = ["conv1", "maxpool", "layer4"]
    made = attempt("the network", lambda: record_features(net, x, names))
    scores = attempt("the network", lambda: net(x).detach())
    _sides(*(made[name].shape[-1] for name in names))
    return net, scores


def _fits(net: Any, channels: int) -> None:  # noqa: ANN401 (a ResNet with other modules)
    """The new `conv1` must read the image and write what `bn1` expects."""
    reads, writes = getattr(net.conv1, "in_channels", None), getattr(net.conv1, "out_channels", 0)
    if reads not in (None, channels):
        raise Wrong(
            f"conv1 reads {reads} channels; the images here have {channels}.",
            f"conv1 读入 {reads} 个通道；这里的图像有 {channels} 个。",
            "channels",
        )
    wanted = getattr(net.bn1, "num_features", writes)
    if writes and writes != wanted:
        raise Wrong(
            f"conv1 puts out {writes} channels, but bn1 behind it expects {wanted}.",
            f"conv1 输出 {writes} 个通道，而后面的 bn1 要 {wanted} 个。",
            "width-of-conv1",
        )


def _sides(conv1: int, maxpool: int, layer4: int) -> None:
    """Compare the sides of the maps that three layers put out."""
    half, goal = SIDE // 2, SIDE // 8
    if layer4 == goal and maxpool == SIDE:
        return
    if conv1 == half and maxpool == half // 2:
        if layer4 == goal:
            raise Wrong(
                "4×4 it is, but the stages were changed. Leave them, and let the stem keep 32×32.",
                "确实是 4×4，但改的是各阶段。请保持它们不变，让起始部分保住 32×32。",
                "stages-changed",
            )
        raise Wrong(
            f"The stem still halves twice: {SIDE} → {half} → {half // 2}, and layer4 has "
            f"{layer4}×{layer4}. Assign new modules to its attributes.",
            f"起始部分仍然减半两次：{SIDE} → {half} → {half // 2}，layer4 的输出是 "
            f"{layer4}×{layer4}。请给相应的属性换上新模块。",
            "stem-unchanged",
        )
    if conv1 == half:
        raise Wrong(
            f"The pooling is out of the way, but conv1 still halves: {SIDE} → {half}.",
            f"池化已经不碍事了，但 conv1 仍在减半：{SIDE} → {half}。",
            "stride-left",
        )
    if conv1 != SIDE:
        raise Wrong(
            f"conv1 turns {SIDE} pixels into {conv1}. With stride 1, what padding keeps the size?",
            f"conv1 把 {SIDE} 个像素变成了 {conv1} 个。步幅为 1 时，填充多少才能保持尺寸？",
            "padding",
        )
    if maxpool != SIDE:
        raise Wrong(
            f"conv1 keeps the size now, but maxpool still turns {SIDE} into {maxpool}.",
            f"conv1 已经保持尺寸了，但 maxpool 仍把 {SIDE} 变成 {maxpool}。",
            "pooling-left",
        )
    raise Wrong(
        f"The stem keeps 32×32, but layer4 has {layer4}×{layer4}: leave the stages as they were.",
        f"起始部分保住了 32×32，但 layer4 的输出是 {layer4}×{layer4}：各阶段应保持原样。",
        "stages-changed",
    )
