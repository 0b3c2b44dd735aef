"""Use the whole package as somebody who may write nowhere but into one folder: for `test_drill`.

python on_a_foreign_machine.py FOLDER     prints JSON: what came out, and what was refused
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

import backbone
from backbone.data import brain, digits, fashion, nuclei, photo
from backbone.experiments import load_results
from backbone.explorables import Checkpoint, SkipSurgery
from backbone.training import fit, load_checkpoint
from backbone.weights import load_torchvision, load_trained

torch.set_num_threads(1)


def refused(call) -> str:
    """Return what a call that must fail says, in one line."""
    try:
        call()
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError("it was not refused")


def main(folder: Path) -> None:
    package = Path(backbone.__file__).parent
    images, labels = digits("test")
    run = {"epochs": 1, "lr": 0.01, "device": "cpu", "progress": False}

    def small() -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))

    steps: list[int] = []

    def counted(*pair: torch.Tensor) -> torch.Tensor:
        steps.append(1)
        return torch.nn.functional.cross_entropy(*pair)

    out = {
        "package": str(package),
        "user": os.geteuid(),
        "no file in the package": refused(lambda: (package / "new.txt").write_text("x")),
        "no file here": refused(lambda: Path("new.txt").write_text("x")),
        "no checkpoint here": refused(
            lambda: fit(small(), (images, labels), **run, loss=counted, checkpoint="run.pt")
        ),
        "steps before it said so": len(steps),
        "no figure here": refused(lambda: Checkpoint("index.1").save_page("figure.html")),
        "read": [
            *(len(part) for part in (fashion("test").images, images, brain("test").images)),
            *(list(part.shape) for part in (nuclei().image, photo("chelsea"))),
            len(load_results("degradation")),
        ],
    }
    # Where one may write: a folder whose name has spaces and characters beyond ASCII.
    model, path = small(), folder / "训练 1" / "run 一.pt"
    fit(model, (images, labels), **run, checkpoint=path)
    torch.save(load_trained("resnet18-fashion").state_dict(), folder / "权重 a.pth")
    again = torch.load(folder / "权重 a.pth", weights_only=True)
    figure = SkipSurgery().save_page(folder / "图 1.html")
    out |= {
        "checkpoint": len(load_checkpoint(path)["history"]["lr"]),
        "weights": len(again),
        "page": figure.stat().st_size,
        "files": sorted(p.name for p in folder.rglob("*") if p.is_file()),
        "not weights": "",
    }
    try:
        load_torchvision(backbone.resnet.ResNet18(width=8), folder / "图 1.html")
    except ValueError as error:
        out["not weights"] = str(error)
    print(json.dumps(out, ensure_ascii=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
