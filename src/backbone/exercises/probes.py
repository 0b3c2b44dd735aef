"""What most checks need: look at an answer, try it out, and say clearly what went wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from backbone.exercises.core import Unanswered, Wrong


def number(answer: object) -> float:
    """Return an answer as a number; bool does not count.

    Raises:
        Wrong: it is none.
    """
    if isinstance(answer, Tensor) and answer.numel() == 1:
        answer = answer.item()
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        raise Wrong(
            f"A number is wanted here, got {kind(answer)}.",
            f"这里需要一个数，得到的是 {kind(answer)}。",
            "not-a-number",
        )
    return answer


def numbers(answer: object, keys: tuple[str, ...]) -> dict[str, float]:
    """Return an answer {name: number} that has exactly these names.

    Raises:
        Wrong: it is no such dictionary.
    """
    wanted = "{" + ", ".join(f'"{key}": …' for key in keys) + "}"
    if not isinstance(answer, dict) or set(answer) != set(keys):
        raise Wrong(
            f"Give a dictionary {wanted}, got {kind(answer)}.",
            f"请给出字典 {wanted}，得到的是 {kind(answer)}。",
            "not-these-names",
        )
    return {key: number(answer[key]) for key in keys}


def function(answer: object, call: str) -> Callable[..., Any]:
    """Return an answer that can be called.

    Args:
        answer: what was handed in.
        call: how it will be called, for the message, such as "ZeroPad(channels, stride)".

    Raises:
        Wrong: it cannot be called, or it is the result of a call.
    """
    if not callable(answer):
        raise Wrong(
            f"Hand in {call.partition('(')[0]} itself, without calling it; got {kind(answer)}.",
            f"请交 {call.partition('(')[0]} 本身，不要调用它；得到的是 {kind(answer)}。",
            "called-too-early",
        )
    return answer


def attempt(call: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401 (whatever the answer gives)
    """Run a reader's code; an error in it becomes a hint of one line.

    Args:
        call: what is run, as the reader would write it.
        work: does it.

    Raises:
        Wrong: the code raised an error.
        Unanswered: it returned the three dots of a gap.
    """
    try:
        got = work()
    except (Wrong, Unanswered):
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0][:200]
        said = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
        raise Wrong(f"{call} raised {said}", f"运行 {call} 时出错：{said}", "raises") from None
    if got is ...:
        raise Unanswered  # a function with its gap still open
    return got


def output(call: str, module: Callable[..., Any], x: Tensor) -> Tensor:
    """Run an answer on a copy of x, without gradients; the result must be a tensor.

    Raises:
        Wrong: it raised an error, gave no tensor, or changed its input.
    """
    given = x.clone()
    with torch.no_grad():
        y = attempt(call, lambda: module(given))
    if not isinstance(y, Tensor):
        raise Wrong(
            f"{call} must give a tensor, got {kind(y)}. Is a return missing?",
            f"{call} 应当返回张量，得到的是 {kind(y)}。是不是漏了 return？",
            "no-tensor",
        )
    if not torch.equal(given, x):
        raise Wrong(
            f"{call} changed x itself. An operation in place overwrites what others still need.",
            f"{call} 改写了 x 本身。原地操作会覆盖别处还要用的值。",
            "changes-its-input",
        )
    return y


def first_slip(cases: Iterable[tuple[bool, str, str, str]]) -> Wrong | None:
    """Return the hint of the first slip that was found: (found, English, Chinese, its name)."""
    return next((Wrong(en, zh, slip) for found, en, zh, slip in cases if found), None)


def same_shape(call: str, y: Tensor, wanted: tuple[int, ...], why: tuple[str, str]) -> None:
    """Compare a shape.

    Raises:
        Wrong: it is another; `why` (English, Chinese) says what to look at.
    """
    if tuple(y.shape) != wanted:
        raise Wrong(
            f"{call} has shape {tuple(y.shape)}, but {wanted} is wanted. {why[0]}",
            f"{call} 的形状是 {tuple(y.shape)}，应为 {wanted}。{why[1]}",
            "shape",
        )


def parameters(module: nn.Module) -> int:
    """Count the numbers that a module learns."""
    return sum(p.numel() for p in module.parameters())


def with_weights_of(source: nn.Module, target: nn.Module) -> nn.Module:
    """Return a copy of `target` with the weights of `source`, whose names it shares."""
    twin = copy.deepcopy(target)
    twin.load_state_dict(source.state_dict())
    return twin


def kind(answer: object) -> str:
    """What an answer is, in a few words."""
    if isinstance(answer, Tensor):
        return f"a tensor of shape {tuple(answer.shape)}"
    text = " ".join(repr(answer).split())  # a module's has many lines, a hint has one
    return f"{type(answer).__name__} {text if len(text) <= 60 else text[:57] + '…'}"
