"""The bar that shows how far a long piece of work has come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress_bar(things: Iterable[Any] | None = None, *, show: bool = True, **how: Any) -> tqdm:  # noqa: ANN401
    """Return tqdm's bar, or one that is not seen.

    Where the environment says TQDM_DISABLE=1 there is no bar, whoever asks for one: nothing with
    seconds in it may get into a stored page. `tqdm(disable=False)` would overrule that.

    Args:
        things: to go through; None: call `update` yourself.
        show: whether a bar is wanted.
        how: anything else tqdm takes.
    """
    return tqdm(things, **how) if show else tqdm(things, **how, disable=True)
