"""Time and memory of our models against a reference, measured in the same run.

    python tools/bench.py            five minutes or so on two cores
    python tools/bench.py --quick    smaller images, shorter: does it still run?

The reference for the ResNets is torchvision where it can be imported, otherwise the network written
out in this file; for the U-Net it is the network written out in this file, stage by stage.

Times come from processes that hold both models and let them take turns, step by step, so that a
busy machine disturbs both alike; the ratio is the median over all pairs of neighbouring steps, and
the range beside it holds the middle half of them. Memory comes from processes that hold one model
each: what the peak grew by after the imports.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
TARGET = 1.02
FULL = {"ResNet18": (8, 3, 224, 224), "ResNet50": (4, 3, 224, 224), "UNetModel": (1, 1, 256, 256)}
QUICK = {"ResNet18": (2, 3, 96, 96), "ResNet50": (1, 3, 96, 96), "UNetModel": (1, 1, 96, 96)}
MODES = ("forward", "forward+backward")
BOTH = ("ours", "reference")


# --- References ---------------------------------------------------------------------------------


class ReferenceResNet(nn.Module):
    """ResNet-18 or -50 as a flat list of layers and one loop; nothing is shared with ours."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.wide = depth == 50
        lengths = (3, 4, 6, 3) if self.wide else (2, 2, 2, 2)
        self.stem = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.stem_norm = nn.BatchNorm2d(64)
        self.blocks = nn.ModuleList()
        c = 64
        for stage, length in enumerate(lengths):
            p = 64 * 2**stage
            for i in range(length):
                s = 2 if stage and not i else 1
                out = p * 4 if self.wide else p
                # input channels, output channels, kernel, stride of each convolution
                narrow = [(c, p, 1, 1), (p, p, 3, s), (p, out, 1, 1)]
                convs = narrow if self.wide else [(c, p, 3, s), (p, p, 3, 1)]
                if s != 1 or c != out:
                    convs.append((c, out, 1, s))
                layers = nn.ModuleList()
                for a, b, k, t in convs:
                    layers.append(nn.Conv2d(a, b, k, stride=t, padding=k // 2, bias=False))
                    layers.append(nn.BatchNorm2d(b))
                self.blocks.append(layers)
                c = out
        self.head = nn.Linear(c, 1000)
        # As in ours and in torchvision: how large the numbers are can decide how fast they go.
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the class scores."""
        x = F.relu(self.stem_norm(self.stem(x)), inplace=True)
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        main = 3 if self.wide else 2
        for layers in self.blocks:
            y = x
            for i in range(main):
                y = layers[2 * i + 1](layers[2 * i](y))
                if i < main - 1:
                    y = F.relu(y, inplace=True)
            if len(layers) > 2 * main:
                x = layers[2 * main + 1](layers[2 * main](x))
            y += x
            x = F.relu(y, inplace=True)
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class ReferenceUNet(nn.Module):
    """The padded U-Net of the source, every layer by name; its weights fit `UNetModel`."""

    def __init__(self, in_features: int = 1, out_features: int = 2, f: int = 32) -> None:
        super().__init__()
        plan = [
            ("encode_layer1", in_features, f),
            ("encode_layer2", f, 2 * f),
            ("encode_layer3", 2 * f, 4 * f),
            ("encode_layer4", 4 * f, 8 * f),
            ("encode_decode_layer", 8 * f, 16 * f),
            ("decode_layer4", 16 * f, 8 * f),
            ("decode_layer3", 8 * f, 4 * f),
            ("decode_layer2", 4 * f, 2 * f),
            ("decode_layer1", 2 * f, f),
        ]
        for name, a, b in plan:
            stage = nn.Sequential()
            stage.append(nn.Conv2d(in_channels=a, out_channels=b, kernel_size=3, padding=1))
            stage.append(nn.BatchNorm2d(num_features=b))
            stage.append(nn.PReLU())
            stage.append(nn.Conv2d(in_channels=b, out_channels=b, kernel_size=3, padding=1))
            stage.append(nn.BatchNorm2d(num_features=b))
            stage.append(nn.PReLU())
            self.add_module(name, stage)
        self.upconv4 = nn.ConvTranspose2d(16 * f, 8 * f, kernel_size=2, stride=2)
        self.upconv3 = nn.ConvTranspose2d(8 * f, 4 * f, kernel_size=2, stride=2)
        self.upconv2 = nn.ConvTranspose2d(4 * f, 2 * f, kernel_size=2, stride=2)
        self.upconv1 = nn.ConvTranspose2d(2 * f, f, kernel_size=2, stride=2)
        self.out_layer = nn.Sequential(nn.Conv2d(f, out_features, kernel_size=1))

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores for every pixel."""
        enc1 = self.encode_layer1(x)
        enc2 = self.encode_layer2(F.max_pool2d(enc1, 2))
        enc3 = self.encode_layer3(F.max_pool2d(enc2, 2))
        enc4 = self.encode_layer4(F.max_pool2d(enc3, 2))
        bottom = self.encode_decode_layer(F.max_pool2d(enc4, 2))
        dec4 = self.decode_layer4(torch.cat((self.upconv4(bottom), enc4), dim=1))
        dec3 = self.decode_layer3(torch.cat((self.upconv3(dec4), enc3), dim=1))
        dec2 = self.decode_layer2(torch.cat((self.upconv2(dec3), enc2), dim=1))
        dec1 = self.decode_layer1(torch.cat((self.upconv1(dec2), enc1), dim=1))
        return self.out_layer(dec1)


# --- Measurements, in processes of their own ----------------------------------------------------


def torchvision_models() -> object | None:
    """Return torchvision's models, or None where it is not installed."""
    try:
        from torchvision import models
    except (ImportError, RuntimeError):  # RuntimeError: built for another torch
        return None
    return models


def builders(name: str) -> dict[str, Callable[[], nn.Module]]:
    """How to build ours and the reference; imports everything both need."""
    sys.path.insert(0, str(ROOT / "src"))
    from backbone import resnet, unet

    if name == "UNetModel":
        return {"ours": unet.UNetModel, "reference": ReferenceUNet}
    models = torchvision_models()
    reference = getattr(models, name.lower()) if models else None
    return {
        "ours": lambda: getattr(resnet, name)(num_classes=1000),
        "reference": reference or (lambda: ReferenceResNet(int(name[6:]))),
    }


def peak_mb() -> float:
    """Most memory this process ever held, in megabytes."""
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3  # bytes there, kilobytes here


def steps(model: nn.Module, shape: list[int]) -> dict[str, Callable[[], None]]:
    """One step of each of the MODES, on a fixed input."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))

    def forward() -> None:
        model.eval()
        with torch.inference_mode():
            model(x)

    def forward_backward() -> None:
        model.train().zero_grad(set_to_none=True)
        model(x).square().mean().backward()

    return dict(zip(MODES, (forward, forward_backward), strict=True))


def measure_memory(name: str, which: str, shape: list[int]) -> dict[str, float]:
    """Peak memory in MB of building one model and of three steps of each mode."""
    build = builders(name)[which]
    before = peak_mb()
    grown = {}
    for mode, step in steps(build(), shape).items():
        for _ in range(3):
            step()
        grown[mode] = peak_mb() - before
    return grown


def measure_time(name: str, shape: list[int], seconds: float) -> dict[str, list[list[float]]]:
    """For each mode pairs of times in seconds, [ours, reference], taken in turns."""
    build = builders(name)
    models = {}
    for which in BOTH:
        torch.manual_seed(0)
        models[which] = steps(build[which](), shape)
    times: dict[str, list[list[float]]] = {}
    for mode in MODES:
        for which in BOTH:
            models[which][mode]()  # the first call also allocates and chooses kernels
        pairs = times[mode] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(pairs) < 2:
            pair = {}
            for which in BOTH if len(pairs) % 2 == 0 else reversed(BOTH):
                start = time.perf_counter()
                models[which][mode]()
                pair[which] = time.perf_counter() - start
            pairs.append([pair[which] for which in BOTH])
    return times


# --- The whole run ------------------------------------------------------------------------------


def run_worker(**job: object) -> dict:
    """Run one measurement in a fresh process."""
    command = [sys.executable, __file__, "--worker", json.dumps(job)]
    # glibc otherwise keeps freed blocks, more or fewer of them from run to run.
    environment = os.environ | ({"MALLOC_MMAP_THRESHOLD_": "65536"} if "which" in job else {})
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"Measuring {job} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def main() -> None:
    """Measure everything, print one table."""
    parser = argparse.ArgumentParser(description="Our models against a reference.")
    parser.add_argument("--quick", action="store_true", help="small images, short")
    parser.add_argument("--repeats", type=int, default=3, help="processes for each measurement")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        job = json.loads(options.worker)
        print(json.dumps((measure_memory if "which" in job else measure_time)(**job)))
        return
    if sys.platform == "win32":
        sys.exit("Peak memory is read from the resource module, which Windows does not have.")

    shapes = QUICK if options.quick else FULL
    seconds = 1.0 if options.quick else 6.0
    pairs: dict[tuple[str, str], list[list[float]]] = {}
    memory: dict[tuple[str, str], list[dict[str, float]]] = {}
    jobs = [(name, which) for name in shapes for which in (None, *BOTH)] * options.repeats
    for name, which in tqdm(jobs, desc="bench", unit="process"):
        if which is None:
            measured = run_worker(name=name, shape=shapes[name], seconds=seconds)
            for mode in MODES:
                pairs.setdefault((name, mode), []).extend(measured[mode])
        else:
            measured = run_worker(name=name, which=which, shape=shapes[name])
            memory.setdefault((name, which), []).append(measured)

    models = "torchvision" if torchvision_models() else "written out in this file"
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, ResNets against: {models}"
    )
    row = "{:<10} {:<21} {:>8} {:>10} {:>7}  {:<13} {}"
    print(row.format("model", "", "ours", "reference", "ratio", "middle half", f"≤ {TARGET}"))

    def line(name: str, what: str, number: str, two: list[list[float]]) -> None:
        ratios = [a / b for a, b in two]
        low, ratio, high = statistics.quantiles(ratios, n=4, method="inclusive")
        ours, reference = (
            number.format(statistics.median(side)) for side in zip(*two, strict=True)
        )
        verdict = "yes" if ratio <= TARGET else "no"
        spread = f"{low:.3f}–{high:.3f}"
        print(row.format(name, what, ours, reference, f"{ratio:.3f}", spread, verdict))

    for name in shapes:
        for mode in MODES:
            two = [[1000 * a, 1000 * b] for a, b in pairs[name, mode]]
            line(name, f"{mode} ms", "{:.1f}", two)
        for mode in MODES:
            sides = [[m[mode] for m in memory[name, which]] for which in BOTH]
            line(name, f"{mode} MB", "{:.0f}", [list(pair) for pair in zip(*sides, strict=True)])


if __name__ == "__main__":
    main()
