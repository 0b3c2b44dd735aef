"""One byte a weight: what the rounding costs, and that the page reads it as Python wrote it."""

import json

import numpy as np
import pytest
import torch
from parity import torch_maps

from backbone.data import fashion, nuclei_split
from backbone.explorables import export_program
from backbone.explorables.networks import SIZES, trained_program
from backbone.explorables.program import Program
from backbone.training import iou
from backbone.weights import load_trained, trained_names


def unrounded(program):
    """The same program with every rounded weight written out as float32."""
    description = json.loads(program.to_json())
    floats = np.frombuffer(program.weights, "<f4", description["floats"])
    steps = np.frombuffer(program.weights, np.int8, offset=4 * description["floats"])
    parts, length = [], 0
    for op in description["operations"]:
        for place in op.get("weights", {}).values():
            size = int(np.prod(place["shape"]))
            if "scale" in place:
                rows = place["shape"][0]
                scale = floats[place["scale"] : place["scale"] + rows]
                part = steps[place["offset"] : place["offset"] + size].reshape(rows, -1)
                part = (part * scale[:, None]).astype("<f4").ravel()
                del place["scale"]
            else:
                part = floats[place["offset"] : place["offset"] + size]
            place["offset"], length = length, length + size
            parts.append(part.tobytes())
    description["dtype"] = "float32"
    return Program(description, b"".join(parts))


@pytest.mark.parametrize("name", trained_names())
def test_the_page_reads_what_python_wrote(engine, name):
    program = trained_program(name)
    exact = unrounded(program)
    size = len(program.weights) / len(exact.weights)
    x = torch.rand(1, *SIZES[name], generator=torch.Generator().manual_seed(0))
    run = "async ([model, input]) => (await run({ model, input })).output.data"
    there, here = (
        np.array(engine.page.evaluate(run, [engine.write(p), x.flatten().tolist()]))
        for p in (program, exact)
    )
    difference = np.abs(there - here).max() / np.abs(here).max()
    print(f"{name}: {size:.2f} of the size, relative difference {difference:.1e}")
    assert size < 0.28 and difference < 1e-6


def test_what_rounding_costs_the_clothes(engine):
    pictures = fashion("test")
    model, program = load_trained("resnet18-fashion"), trained_program("resnet18-fashion")
    x = torch.nn.functional.interpolate(pictures.images[:50], size=64, mode="bilinear")
    with torch.no_grad():
        here = model(x).softmax(1)
    name, run = engine.write(program), "async (q) => (await run(q)).output.data"
    scores = [engine.page.evaluate(run, {"model": name, "input": p.flatten().tolist()}) for p in x]
    there = torch.tensor(scores).softmax(1)
    same = (there.argmax(1) == here.argmax(1)).float().mean()
    print(f"same class for {same:.0%} of 50; largest change {(there - here).abs().max():.3f}")
    assert same >= 0.96 and (there - here).abs().max() < 0.1


def test_what_rounding_costs_the_nuclei(engine):
    held_out = nuclei_split().test
    tile, mask = held_out.image[None, :, 256:384], held_out.mask[None, 256:384]
    model, program = load_trained("unet-nuclei"), trained_program("unet-nuclei")
    case = engine.case(tile, torch_maps(model, tile, program))
    worst = engine.errors(engine.write(program), [case], [torch_maps(model, tile, program)])[0]
    with torch.no_grad():
        scores = model(tile)
    numbers = engine.page.evaluate(
        "async (q) => (await run(q)).output.data",
        {"model": engine.write(program), "input": tile.flatten().tolist()},
    )
    rounded = torch.tensor(numbers).reshape(scores.shape)
    before, after = float(iou(scores, mask)), float(iou(rounded, mask))
    print(f"IoU {before:.4f} → {after:.4f}; worst map {worst[1]}: {worst[0]:.3f} of its range")
    assert abs(before - after) < 0.01 and worst[0] < 0.1


def test_weights_that_do_not_fit_are_named(engine):
    program = export_program(torch.nn.Conv2d(1, 2, 3), torch.zeros(1, 1, 8, 8), dtype="int8")
    short = Program(program.description, program.weights[:-4])
    load = (
        "async (model) => { try { load(...await files(model)); } catch (e) { return e.message; } }"
    )
    said = engine.page.evaluate(load, engine.write(short))
    print(said)
    assert "do not belong to this program" in said
