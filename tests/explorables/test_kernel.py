"""Every figure with a live kernel: with the newest ipywidgets, and with the old ones of Colab.

The test is the page: it speaks with the kernel as a notebook does, and shows in a real browser
what the kernel sent.
"""

import base64
import inspect
import json

import pytest
from live_kernel import SURROUNDINGS, start

from backbone import explorables
from backbone.explorables.figure import Explorable

FIGURES = [
    name
    for name in explorables.__all__
    if inspect.isclass(found := getattr(explorables, name))
    and issubclass(found, Explorable)
    and hasattr(found, "view")
]
ARGUMENTS = {"Checkpoint": '"residual-blocks.1"'}  # of figures that need some
VERSIONS = {"jupyter": ("8.", "9."), "colab": ("7.7.1", "7.34.0")}  # of ipywidgets and IPython
MODULES = ("ipywidgets", "IPython", "ipykernel", "anywidget", "traitlets", "torch")
AREA = 128 * 128

# The script as anywidget loads it, with a model that holds what the kernel sent.
SHOW = """async ({ script, state }) => {
    const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    const { default: view } = await import(address);
    if (typeof view.render !== "function") throw new Error("The module has no render.");
    for (const [name, value] of Object.entries(state)) {
        if (value?.base64 === undefined) continue;
        const bytes = Uint8Array.from(atob(value.base64), (letter) => letter.charCodeAt(0));
        state[name] = new DataView(bytes.buffer);
    }
    const model = {
        get: (name) => state[name],
        set(name, value) { state[name] = value; },
        save_changes() {}, send() {}, on() {}, off() {},
    };
    await view.render({ model, el: document.body });
}"""


@pytest.fixture(scope="module", params=SURROUNDINGS)
def kernel(request, tmp_path_factory):
    with start(request.param, tmp_path_factory.mktemp(request.param)) as running:
        said, _ = running.run(
            f"import json, sys, {', '.join(MODULES)}\n"
            f"from backbone.explorables import {', '.join(FIGURES)}\n"
            f"modules = [sys.modules[name] for name in {MODULES}]\n"
            "print(json.dumps({module.__name__: module.__version__ for module in modules}))"
        )
        print(f"{request.param}: {said}")
        versions = json.loads(said)
        widgets, shell = VERSIONS[request.param]
        assert versions["ipywidgets"].startswith(widgets)
        assert versions["IPython"].startswith(shell)
        yield running


def display(kernel, code):
    """Run a cell that ends with a figure; the id and the state of the model on display."""
    _, displayed = kernel.run(code)
    assert len(displayed) == 1
    return displayed[0], kernel.models[displayed[0]]


@pytest.mark.parametrize("name", FIGURES)
def test_what_the_kernel_sends_comes_to_life(kernel, browser, name):
    _, state = display(kernel, f"{name}({ARGUMENTS.get(name, '')})")
    assert state["_model_module"] == "anywidget"
    assert state["explorable"] == getattr(explorables, name).view
    assert ".explorable" in state["_css"]
    if "network" in state:
        assert json.loads(state["program"])["operations"]
        assert isinstance(state["weights"], bytes) and len(state["weights"]) > 1000

    ours = {
        key: {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
        for key, value in state.items()
        if not key.startswith("_") and key != "layout"
    }
    size = {key: len(json.dumps(value)) for key, value in ours.items()}
    print(f"{name}: script {len(state['_esm']) / 1e3:.0f} kB, state {sum(size.values()) / 1e3:.0f}")
    page, complaints = browser.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_content(f'<html lang="en"><style>{state["_css"]}</style><body></body></html>')
    page.evaluate(SHOW, {"script": state["_esm"], "state": ours})
    figure = page.locator(f'[data-explorable="{state["explorable"]}"][data-ready="true"]')
    figure.wait_for(timeout=120_000)
    page.close()
    assert complaints == []


def test_what_the_reader_does_is_there_in_python(kernel):
    model, state = display(kernel, "lab = SkipSurgery()\nlab")
    assert (state["cut"], state["sample"], state["picture"]) == ([], 0, b"")

    kernel.update(model, cut=["encode_layer1", "encode_layer4"], sample=2, iou=0.5)
    said, _ = kernel.run("print(lab.cut, lab.sample, lab.iou)")
    assert said == "['encode_layer1', 'encode_layer4'] 2 0.5"
    tile = state["tiles"][2 * AREA : 3 * AREA]
    said, _ = kernel.run("print(tuple(lab.image.shape), (lab.image * 255).sum().item())")
    shape, total = said.rsplit(" ", 1)
    print(f"tile 3: {shape}, sum {total}, its bytes {sum(tile)}")
    assert shape == "(1, 128, 128)"
    assert float(total) == pytest.approx(sum(tile), rel=1e-5)

    picture = bytes(i % 251 for i in range(AREA))
    kernel.update(model, picture=picture)
    said, _ = kernel.run("print((lab.image * 255).round().int().flatten().tolist())")
    assert bytes(json.loads(said)) == picture


def test_what_python_says_is_there_on_the_page(kernel):
    model, state = display(kernel, 'lab = SkipSurgery(cut=["encode_layer3"])\nlab')
    assert state["cut"] == ["encode_layer3"]
    kernel.run('lab.cut = ["encode_layer2"]\nlab.picture = bytes([7]) * 128 * 128')
    assert kernel.models[model]["cut"] == ["encode_layer2"]
    assert kernel.models[model]["picture"] == bytes([7]) * AREA


def test_what_cannot_be_is_refused_and_the_figure_goes_on(kernel):
    model, _ = display(kernel, "lab = SkipSurgery()\nlab")
    with pytest.raises(RuntimeError, match="There is no skip 'encode_layer9'"):
        kernel.run('lab.cut = ["encode_layer9"]')
    kernel.update(model, cut=["encode_layer1"])
    assert kernel.run("print(lab.cut)")[0] == "['encode_layer1']"
