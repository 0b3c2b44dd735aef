"""Checks of the exercises in "About the source"."""

from __future__ import annotations

import copy

import torch
from torch import nn

from backbone.exercises.core import Right, Wrong, exercise
from backbone.exercises.probes import kind
from backbone.resnet import BasicBlock, Bottleneck, ResNet18
from backbone.variants import BottleneckV1


def _answers(answer: object, wanted: dict[str, type]) -> dict[str, bool | str]:
    """Return an answer {name: True, False or a word} that has exactly these names.

    Raises:
        Wrong: it is no such dictionary, or a value is of another type.
    """
    form = "{" + ", ".join(f'"{key}": …' for key in wanted) + "}"
    if not isinstance(answer, dict) or set(answer) != set(wanted):
        raise Wrong(
            f"Give a dictionary {form}, got {kind(answer)}.",
            f"请给出字典 {form}，得到的是 {kind(answer)}。",
            "not-these-names",
        )
    for key, value in answer.items():
        if not isinstance(value, wanted[key]):
            want = ("True or False", "True 或 False") if wanted[key] is bool else ("a name", "名称")
            raise Wrong(
                f'"{key}" wants {want[0]}, got {kind(value)}.',
                f'"{key}" 处应填{want[1]}，得到的是 {kind(value)}。',
                "another-type",
            )
    return answer


@exercise("about-the-source.1")
def whose_print(answer: object) -> Right:
    """{"sixth line": name, "block loads": bool, "network loads": bool}."""
    wanted = {"sixth line": str, "block loads": bool, "network loads": bool}
    said = _answers(answer, wanted)
    ours = set(dict(BasicBlock(64, 64).named_children()))
    name = said["sixth line"].strip().strip("()").split(")")[0].split(":")[0]
    if name in ours:
        raise Wrong(
            f"{name!r} is one of the five lines you were given. The sixth is what is left over.",
            f"{name!r} 已经在给出的五行里了。第六行是剩下的那一个。",
            "one-of-the-five",
        )
    if name == "downsample":
        raise Wrong(
            "The listing writes downsample only where a projection is needed, and 64 to 64 needs "
            "none. Which of the two has a line even then?",
            "清单只在需要投影时才有 downsample，而 64 到 64 不需要。即便如此也有一行的是哪份代码？",
            "downsample",
        )
    if name != "shortcut":
        raise Wrong(
            f"No block of the book has a part named {name!r}. Read the section on empty shortcuts.",
            f"书中的块都没有名为 {name!r} 的部分。请看“空的捷径”一节。",
            "no-such-part",
        )
    if not said["block loads"]:
        raise Wrong(
            "What does an empty Sequential add to a state_dict? Look at the keys of the one block.",
            "空的 Sequential 会往 state_dict 里添什么？看看单个块的键。",
            "empty-has-weights",
        )
    if said["network loads"]:
        fc = [key for key in ResNet18(width=8).state_dict() if key.startswith("fc")]
        raise Wrong(
            f"One block fits. But a whole network has projections and a classifier: {fc[0]} has "
            "another name there.",
            f"单个块可以。但整个网络还有投影和分类器：{fc[0]} 在那里叫别的名字。",
            "names-forgotten",
        )
    return Right(
        "An empty Sequential prints a line and holds no weight: a print is an inventory, "
        "the names decide what loads.",
        "空的 Sequential 会打印一行，却没有权重：打印结果只是清单，能否载入取决于名称。",
    )


@exercise("about-the-source.2")
def which_fifty(answer: object) -> Right:
    """{"counted wrongly": bool, "loads": bool, "same outputs": bool}."""
    said = _answers(answer, dict.fromkeys(("counted wrongly", "loads", "same outputs"), bool))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first: nn.Module = BottleneckV1(64, 32, stride=2).eval()
        second = copy.deepcopy(Bottleneck(64, 32, stride=2)).eval()
        x = torch.randn(1, 64, 8, 8)
    loads = set(first.state_dict()) == set(second.state_dict())
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        same = torch.allclose(first(x), second(x), atol=1e-3)
    if said["counted wrongly"]:
        raise Wrong(
            "Both counts can be right. Which part of a bottleneck costs work but no parameters "
            "when it moves?",
            "两个数都可能是对的。瓶颈块里移动什么会改变计算量，却不改变参数量？",
            "counted-wrongly",
        )
    if said["loads"] != loads:
        raise Wrong(
            "Load one into the other and see. Does a stride stand in a state_dict?",
            "把一个载入另一个试试。state_dict 里有步幅吗？",
            "stride-in-the-weights",
        )
    if said["same outputs"] != same:
        raise Wrong(
            "The weights load, but are they used at the same pixels? Give both one input.",
            "权重能载入，但用在同样的像素上吗？给两者同一个输入比一比。",
            "same-weights-same-network",
        )
    return Right(
        "Same names, same shapes, another network: what loads without complaint may be wrong.",
        "名称相同，形状相同，网络却不同：毫无怨言地载入，也可能是错的。",
    )
