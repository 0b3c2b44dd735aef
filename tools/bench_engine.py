"""Time of the engine in the page, in Chromium, beside onnxruntime-web on the same models.

    python tools/bench_engine.py              about half a minute
    python tools/bench_engine.py --quick      fewer runs: does it still work?
    python tools/bench_engine.py --alone      without onnxruntime-web

Times are medians over runs on one thread, after a few that only warm up, and the fastest run, which
says more where the machine is busy. The two take turns, so that they are disturbed alike.
onnxruntime-web and what writes ONNX files are not part of the book: they are fetched once, with npm
and pip, into _build/bench (about 60 MB), and where that fails the column says so.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import warnings
from pathlib import Path

import torch
from torch import nn

from backbone import explorables
from backbone.resnet import ResNet18
from backbone.unet import UNetModel
from browser import open_browser, serve

ROOT = Path(__file__).resolve().parent.parent
JS = Path(explorables.__file__).parent / "js"
CACHE = ROOT / "_build" / "bench"
RUNTIME = "onnxruntime-web@1.30.0"
RUNTIME_FILES = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"]
# What torch.onnx needs beyond what torch brings.
EXPORTER = ["onnx", "onnxscript", "onnx_ir", "ml_dtypes", "protobuf"]

# name → how to build it, channels, targets in milliseconds by image side
MODELS = {
    "ResNet18, width 8": (lambda: ResNet18(width=8), 3, {64: 15, 128: None, 224: None}),
    "UNetModel, 8": (lambda: UNetModel(init_features=8), 1, {64: 120, 128: None}),
}

PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<script type="module">
import { load } from "./engine.js";

async function runtime(model, side, channels, pixels) {
  const ort = await import("./ort.wasm.min.mjs");
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(`./${model}-${side}.onnx`);
  const given = { input: new ort.Tensor("float32", pixels, [1, channels, side, side]) };
  return async () => (await session.run(given)).output.data;
}

const median = (times) => times.sort((a, b) => a - b)[times.length >> 1];

window.measure = async ({ model, side, channels, runs, beside }) => {
  const json = await (await fetch(`${model}.json`)).text();
  const net = load(json, await (await fetch(`${model}.weights`)).arrayBuffer());
  const pixels = Float32Array.from({ length: channels * side * side }, (_, i) => Math.sin(i));
  const size = { height: side, width: side };
  const ways = { ours: () => net.run(pixels, { ...size, keep: "all" }).output.data };
  if (beside) ways.runtime = await runtime(model, side, channels, pixels);
  const times = {}, outputs = {};
  for (let i = -Math.max(5, runs >> 2); i < runs; i++)
    for (const [way, run] of Object.entries(ways)) {
      const start = performance.now();
      outputs[way] = await run();
      if (i >= 0) (times[way] ??= []).push(performance.now() - start);
    }
  const apart = outputs.runtime?.map((v, i) => Math.abs(v - outputs.ours[i])) ?? [];
  const fastest = Math.min(...times.ours);
  const medians = Object.entries(times).map(([way, all]) => [way, median(all)]);
  return { fastest, apart: Math.max(0, ...apart), ...Object.fromEntries(medians) };
};
</script>"""


def fetch_runtime() -> Path:
    """Return the folder of onnxruntime-web's files, fetched with npm if need be."""
    folder = CACHE / RUNTIME
    if not all((folder / name).exists() for name in RUNTIME_FILES):
        folder.mkdir(parents=True, exist_ok=True)
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError("npm is not installed")
        with tempfile.TemporaryDirectory() as temporary:
            command = [npm, "pack", "--silent", RUNTIME]
            subprocess.run(command, cwd=temporary, check=True, capture_output=True, timeout=300)
            [archive] = Path(temporary).glob("*.tgz")
            with tarfile.open(archive) as files:
                for name in RUNTIME_FILES:
                    content = files.extractfile(f"package/dist/{name}").read()
                    (folder / name).write_bytes(content)
    return folder


def fetch_exporter() -> None:
    """Make `import onnx, onnxscript` work in this process, from a folder of our own."""
    folder = CACHE / "python"
    sys.path.append(str(folder))  # last: whatever the environment has comes first
    if not all((folder / name).exists() for name in EXPORTER[:3]):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        command = [*pip, "--target", str(folder), *EXPORTER]
        subprocess.run(command, check=True, capture_output=True, timeout=600)


def write_onnx(model: nn.Module, channels: int, side: int, path: Path) -> None:
    """Export a model to ONNX for one image size."""
    arguments = {"input_names": ["input"], "output_names": ["output"], "verbose": False}
    x = (torch.zeros(1, channels, side, side),)
    with warnings.catch_warnings():  # about libraries it could also use
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(model, x, path, dynamo=True, external_data=False, **arguments)


def prepare(folder: Path, alone: bool) -> str:
    """Write models and scripts into a folder; return why onnxruntime-web is missing, or ""."""
    torch.manual_seed(0)
    for file in JS.glob("*.js"):
        shutil.copy(file, folder)
    (folder / "index.html").write_text(PAGE, "utf-8")
    models = {name: build().eval() for name, (build, *_) in MODELS.items()}
    for i, (name, model) in enumerate(models.items()):
        program = explorables.export_program(model, torch.zeros(1, MODELS[name][1], 64, 64))
        (folder / f"model{i}.json").write_text(program.to_json(), "utf-8")
        (folder / f"model{i}.weights").write_bytes(program.weights)
    if alone:
        return "not asked for"
    try:
        for name in RUNTIME_FILES:
            shutil.copy(fetch_runtime() / name, folder)
        fetch_exporter()
        for i, (name, model) in enumerate(models.items()):
            for side in MODELS[name][2]:
                write_onnx(model, MODELS[name][1], side, folder / f"model{i}-{side}.onnx")
    except (OSError, ImportError, RuntimeError, subprocess.SubprocessError, KeyError) as error:
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    return ""


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description="The engine in the page, in Chromium.")
    parser.add_argument("--quick", action="store_true", help="fewer runs")
    parser.add_argument("--alone", action="store_true", help="without onnxruntime-web")
    options = parser.parse_args()
    runs = 9 if options.quick else 41

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        missing = prepare(folder, options.alone)
        if missing:
            print(f"onnxruntime-web: not available ({missing})")
        else:
            size = sum((folder / name).stat().st_size for name in RUNTIME_FILES)
            print(f"onnxruntime-web: {size / 1e6:.1f} MB of scripts, one thread")
        size = sum(file.stat().st_size for file in JS.glob("engine*.js"))
        print(f"engine: {size / 1e3:.1f} kB of scripts, {os.cpu_count()} processors here")
        row = "{:<18} {:>5} {:>8} {:>8} {:>13} {:>7}  {}"
        print(row.format("model", "side", "ours ms", "fastest", "runtime ms", "apart", "target"))
        with serve(folder) as address, open_browser() as browser:
            page = browser.new_page()
            page.goto(f"{address}/index.html")
            page.wait_for_function("window.measure !== undefined")
            for i, (name, (_, channels, sides)) in enumerate(MODELS.items()):
                for side, target in sides.items():
                    ask = {"model": f"model{i}", "side": side, "channels": channels, "runs": runs}
                    got = page.evaluate("measure", ask | {"beside": not missing})
                    theirs = "not available" if missing else f"{got['runtime']:.1f}"
                    apart = "" if missing else f"{got['apart']:.0e}"
                    verdict = ""
                    if target:
                        verdict = f"≤ {target} {'yes' if got['ours'] <= target else 'no'}"
                    ours = (f"{got['ours']:.1f}", f"{got['fastest']:.1f}")
                    print(row.format(name, side, *ours, theirs, apart, verdict))


if __name__ == "__main__":
    main()
