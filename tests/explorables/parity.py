"""The same network in PyTorch and in the page: weights to compare, and how far they are apart."""

from pathlib import Path

import torch

from backbone import explorables
from backbone.anatomy import cut, record_features

JS = Path(explorables.__file__).parent / "js"


class EnginePage:
    """Writes models, inputs and expected maps next to the page, and has the page compare them."""

    def __init__(self, page, folder):
        self.page, self.folder = page, folder
        self.count = 0

    def write(self, program):
        """Store a program; return its name for the page."""
        self.count += 1
        name = f"model{self.count}"
        (self.folder / f"{name}.json").write_text(program.to_json(), "utf-8")
        (self.folder / f"{name}.weights").write_bytes(program.weights)
        return name

    def case(self, x, expected, **options):
        """Store an input (1, C, H, W) and what PyTorch makes of it, {name: tensor}."""
        self.count += 1
        files = {"input": f"input{self.count}", "expected": f"expected{self.count}"}
        (self.folder / files["input"]).write_bytes(x.numpy().tobytes())
        maps, parts, offset = {}, [], 0
        for name, tensor in expected.items():
            maps[name] = {"offset": offset, "length": tensor.numel()}
            parts.append(tensor.float().contiguous().numpy().tobytes())
            offset += tensor.numel()
        (self.folder / files["expected"]).write_bytes(b"".join(parts))
        options = {"height": x.shape[2], "width": x.shape[3], "keep": "all"} | options
        return files | {"maps": maps, "options": options}

    def errors(self, name, cases, expected, where="engine"):
        """Run the cases; return the largest relative error of each, over all its maps.

        Relative means: largest difference within a map / largest number of that map.
        """
        answer = self.page.evaluate(
            "check", {"model": name, "cases": cases, "where": where}
        )  # fails on any JavaScript error
        assert answer["where"] == where
        worst = []
        for result, maps in zip(answer["results"], expected, strict=True):
            assert set(result) == set(maps)
            for name, tensor in maps.items():
                assert tuple(result[name]["shape"]) == tuple(tensor.shape[1:]), name
                assert result[name]["length"] == tensor.numel(), name
            errors = {
                n: float(r["difference"] or 0) / max(float(r["largest"]), 1e-30)
                if r["difference"] is not None
                else float("nan")
                for n, r in result.items()
            }
            worst.append(max((e, n) for n, e in errors.items()))
        return worst


def randomised(model, seed=0):
    """Give a model weights and batch-norm statistics that are not those of a fresh one."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(like, low, high):
        return torch.rand(like.shape, generator=generator) * (high - low) + low

    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(uniform(module.running_mean, -0.5, 0.5))
            module.running_var.copy_(uniform(module.running_var, 0.5, 2.0))
            module.weight.data.copy_(uniform(module.weight, 0.5, 1.5))
            module.bias.data.copy_(uniform(module.bias, -0.5, 0.5))
        elif isinstance(module, torch.nn.PReLU):
            module.weight.data.copy_(uniform(module.weight, 0.05, 0.5))
    return model.eval()


def torch_maps(model, x, program, cuts=()):
    """What PyTorch gives: the output and every map the program has, with some skips cut."""
    names = list(program.description["modules"])
    with torch.no_grad():
        if cuts:
            with cut(model, *cuts):
                return record_features(model, x, names) | {"output": model(x)}
        return record_features(model, x, names) | {"output": model(x)}


def relative(a, b):
    """Largest difference between two maps, beside the largest number of the second."""
    return ((a - b).abs().max() / b.abs().max()).item()
