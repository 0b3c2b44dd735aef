"""Fold batch norms into the convolutions before them: one operation instead of two.

In evaluation mode a batch norm multiplies every channel by a number and adds another. A convolution
can do both itself, with other weights: scale · (w ∗ x + b) + shift = (scale · w) ∗ x + (scale · b +
shift). What the convolution alone would give is then never computed.
"""

from __future__ import annotations

from collections import Counter

from backbone.explorables.operations import Step


def fold_batch_norms(steps: list[Step], result: str) -> list[Step]:
    """Return the steps with every `scale_shift` folded that follows a convolution.

    One that follows anything else stays, and so does one whose convolution is read by others too.
    The folded step has the batch norm's name and module, because it gives the batch norm's result.
    """
    by_name = {step.name: step for step in steps}
    readers = Counter([name for step in steps for name in step.inputs] + [result])
    gone: set[str] = set()
    folded = []
    for step in steps:
        before = by_name.get(step.inputs[0]) if step.op == "scale_shift" else None
        if before is None or before.op != "conv2d" or readers[before.name] > 1:
            folded.append(step)
            continue
        gone.add(before.name)
        folded.append(_fold(before, step))
    return [step for step in folded if step.name not in gone]


def _fold(conv: Step, norm: Step) -> Step:
    scale, shift = norm.weights["scale"], norm.weights["shift"]
    weight = conv.weights["weight"].double() * scale[:, None, None, None]
    bias = conv.weights["bias"].double() * scale + shift if "bias" in conv.weights else shift
    return Step(
        "conv2d",
        norm.name,
        conv.inputs,
        norm.module,
        norm.shape,
        conv.attributes,
        {"weight": weight, "bias": bias},
        folded=[conv.module],
    )
