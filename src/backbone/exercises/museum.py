"""What the exhibits of the bug museum share: a test's verdict in one line, and a silent F."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from backbone.exercises.core import OPEN, language, unanswered

Module = TypeVar("Module", bound=nn.Module)


def verdict(test: Callable[..., Any], *things: object) -> None:
    """Run a test and print what it says: ✓, or ✗ and why it failed.

    The line names the test and what was tested: ✗ test_block_can_subtract(Eager): …

    Args:
        test: a function that takes what it tests and asserts; pytest could run the same lines.
        things: what it tests, such as a class of blocks; `...` while there is none yet.

    Raises:
        TypeError: `test` is no function; most often it was called instead of handed over.
    """
    if not callable(test):
        raise TypeError(
            f"Hand over the test itself, then what it tests: verdict(test_it, Block); got {test!r}."
        )
    name = getattr(test, "__name__", type(test).__name__)
    if unanswered(things):
        print(f"… {name}: {OPEN[language()]}")
        return
    tested = [getattr(thing, "__name__", "") for thing in things]
    if tested and all(tested):
        name = f"{name}({', '.join(tested)})"
    try:
        test(*things)
    except AssertionError as failure:
        print(f"✗ {name}: {_first_line(failure) or 'an assertion without a message'}")
    except Exception as error:  # the verdict on broken code is one line, whatever breaks
        reason = _first_line(error)
        print(f"✗ {name}: {type(error).__name__}{': ' * bool(reason)}{reason}")
    else:
        print(f"✓ {name}")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def silence(block: Module) -> Module:
    """Make F(x) = 0 in a residual block: what comes out then is the shortcut's.

    The weights of its last 3×3 convolution are set to zero; a batch norm behind it, fresh as it
    is, leaves zero as it is.

    Returns:
        The same block, for `y = silence(Block(8, 8))(x)`.

    Raises:
        ValueError: it has no 3×3 convolution.
    """
    found = [m for m in block.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    if not found:
        raise ValueError(
            f"{type(block).__name__} has no 3×3 convolution to silence; hand over a block such as "
            "BasicBlock(8, 8)."
        )
    nn.init.zeros_(found[-1].weight)
    if found[-1].bias is not None:
        nn.init.zeros_(found[-1].bias)
    return block
