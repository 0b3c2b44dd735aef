"""What the property tests share: settings, bad values, and the check of a refusal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# These networks are tiny: a second thread only waits, and on a busy machine it waits for long.
torch.set_num_threads(1)

# The same examples on every run, so that a red build means a change and not bad luck.
few = settings(
    deadline=None,
    max_examples=40,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
fewer = settings(few, max_examples=15)  # where an example is a whole network

NOT_A_COUNT = st.one_of(
    st.integers(max_value=0),
    st.sampled_from([None, "3", 3.0, 2.5, float("nan"), True, False, [3], (3, 3), {}, b"3"]),
    st.sampled_from([torch.tensor(3), np.int64(3), np.array([3, 3]), object, int]),
)

NOT_A_TENSOR = st.sampled_from(
    [None, 3, 2.5, "image", [[[[0.5]]]], (1, 3, 32, 32), {}, object, np.zeros((1, 3, 32, 32))]
)

OTHER_DTYPES = st.sampled_from(
    [
        torch.bool,
        torch.uint8,
        torch.int32,
        torch.int64,
        torch.float16,
        torch.bfloat16,
        torch.float64,
        torch.complex64,
    ]
)


def refuses(call: Callable[[], object], *given: object) -> str:
    """The call must raise TypeError or ValueError and its message must quote everything given."""
    try:
        result = call()
    except (TypeError, ValueError) as error:
        message = str(error)
    except Exception as error:
        pytest.fail(f"failed deep inside with {type(error).__name__}: {error}")
    else:
        pytest.fail(f"accepted, and returned {type(result).__name__}")
    for value in given:
        quoted = str(value) in message or repr(value) in message
        assert quoted, f"{value!r} is not quoted in: {message}"
    return message


@st.composite
def bad_images(draw, channels: int, height: int = 32, width: int = 64):
    """(what cannot be an image for `channels` channels, what the refusal must quote)."""
    good = (draw(st.integers(1, 2)), channels, height, width)
    fault = draw(
        st.sampled_from(["type", "dimensions", "channels", "no dim", "empty", "dtype", "device"])
    )
    if fault == "type":
        x = draw(NOT_A_TENSOR)
        return x, type(x).__name__
    if fault == "dtype":
        dtype = draw(OTHER_DTYPES)
        return torch.zeros(good).to(dtype), str(dtype)
    if fault == "device":
        return torch.zeros(good, device="meta"), "meta"
    if fault == "dimensions":
        shape = tuple(draw(st.lists(st.integers(0, 5), max_size=6).filter(lambda s: len(s) != 4)))
    elif fault == "no dim":
        shape = good[1:]  # the most common mistake of all: one image without a batch
    elif fault == "channels":
        other = draw(st.integers(0, 5).filter(lambda c: c != channels))
        shape = (good[0], other, *good[2:])
    else:
        at = draw(st.sampled_from([0, 2, 3]))
        shape = (*good[:at], 0, *good[at + 1 :])
    return torch.zeros(shape), shape


def ceil_div(size: int, by: int) -> int:
    return -(-size // by)
