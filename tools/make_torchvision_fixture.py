"""Record what torchvision's five ResNets compute, so that the tests need no torchvision.

    pip install torchvision
    python tools/make_torchvision_fixture.py

writes tests/fixtures/torchvision_resnets.json (names and shapes of every state_dict entry) and
tests/fixtures/torchvision_resnets.npz (activations of every stage and logits, for the weights and
the image of tests/filling.py). Computed in double precision, stored as float32: two releases of
torch agree to the last stored digit or nearly so.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "fixtures"
sys.path.insert(0, str(ROOT / "tests"))

from backbone.sums import note_sum  # noqa: E402
from filling import filled_state, image, sample  # noqa: E402
from stages import run_stages, train_step  # noqa: E402

DEPTHS = (18, 34, 50, 101, 152)


def main() -> None:
    """Write both fixture files."""
    try:
        import torchvision
    except ImportError:
        sys.exit("This tool records torchvision's models: pip install torchvision, then run again.")

    names: dict[str, dict[str, list[int]]] = {}
    arrays: dict[str, np.ndarray] = {}
    x = torch.from_numpy(image())
    for depth in tqdm(DEPTHS, desc="torchvision"):
        name = f"resnet{depth}"
        model = getattr(torchvision.models, name)(weights=None).double()
        names[name] = {key: list(value.shape) for key, value in model.state_dict().items()}
        state = {key: torch.from_numpy(v) for key, v in filled_state(names[name]).items()}
        model.load_state_dict(state, strict=True)

        for stage, values in run_stages(model.eval(), x).items():
            whole = stage == "logits"
            arrays[f"{name}/{stage}"] = values.astype(np.float32) if whole else sample(values)
        if depth == 18:
            for what, values in train_step(model, x).items():
                arrays[f"{name}/train/{what}"] = sample(values)

    FIXTURES.mkdir(exist_ok=True)
    np.savez_compressed(FIXTURES / "torchvision_resnets.npz", **arrays)
    made_with = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    (FIXTURES / "torchvision_resnets.json").write_text(
        _one_key_a_line({"made_with": made_with, **names}) + "\n", encoding="utf-8"
    )
    for file in sorted(FIXTURES.glob("torchvision_resnets.*")):
        note_sum(file, file.read_bytes(), text=file.suffix == ".json")
        print(f"{file.relative_to(ROOT)}: {file.stat().st_size / 1000:.0f} kB")


def _one_key_a_line(tree: dict[str, dict]) -> str:
    """JSON that is short and shows one change as one changed line."""
    parts = []
    for name, entries in tree.items():
        lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(v)}" for key, v in entries.items())
        parts.append(f"{json.dumps(name)}: {{\n{lines}\n}}")
    return "{\n" + ",\n".join(parts) + "\n}"


if __name__ == "__main__":
    main()
