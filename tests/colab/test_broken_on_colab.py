"""What breaks other books in Colab breaks this test too: small notebooks that must fail."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from pretend import HERE, INSTALLS, ROOT

SETUP = next(
    cell.source
    for cell in nbformat.read(ROOT / "book/en/index.ipynb", as_version=4).cells
    if cell.get("id") == "setup"
)


@pytest.fixture
def opened(colab, tmp_path):
    """Open a notebook of these cells: `opened("1 / 0")`, `opened(markdown="…")`."""

    def open_it(*code, markdown="Prose."):
        cells = [new_markdown_cell(markdown, id="prose")]
        cells += [new_code_cell(source, id=f"code-{i}") for i, source in enumerate(code)]
        path = tmp_path / "alone.ipynb"
        nbformat.write(new_notebook(cells=cells), path)
        (tmp_path / "data.csv").write_text("1,2\n")  # beside the notebook: not in Colab
        run = colab.opens(path)
        print(run, *run.complaints, sep="\n  ")
        return run

    return open_it


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ('open("data.csv").read()', "cell 'code-0' failed: FileNotFoundError"),
        ('open("../en/index.ipynb").read()', "cell 'code-0' failed: FileNotFoundError"),
        (
            "import backbone",
            "cell 'code-0' failed: ModuleNotFoundError: No module named 'backbone'",
        ),
        ("from myst_nb import glue", "cell 'code-0' failed: ModuleNotFoundError"),
        ("%pip install torch", "'pip install torch' was called, which changes the packages"),
        ("!pip install -q numpy==1.26", "'pip install -q numpy==1.26' was called"),
        ("!apt-get install -y graphviz", "'apt-get install -y graphviz' was called"),
        (
            "import subprocess, sys; "
            "subprocess.run([sys.executable, '-m', 'pip', 'install', '-U', 'ipywidgets'])",
            "'pip install -U ipywidgets' was called",
        ),
        (
            "from urllib.request import urlopen\n"
            "try: urlopen('http://example.org/data.csv')\n"
            "except OSError: pass",
            "'network example.org': what the notebook needs comes with the setup cell",
        ),
        (
            "import requests\n"
            "try: requests.get('http://example.org/data.csv')\n"
            "except OSError: pass",
            "'network no-network.invalid'",
        ),
        ("open('left.txt', 'w').close()", "files are left in the reader's folder: left.txt"),
    ],
)
def test_code_that_breaks_on_colab(opened, code, says):
    complaints = set(opened(code).complaints)
    assert len(complaints) == 1 and says in complaints.pop()


@pytest.mark.parametrize(
    ("markdown", "says"),
    [
        ("```{note}\nRead this.\n```", "a MyST directive"),
        (":::{tip}\nRead this.\n:::", "a MyST directive"),
        ("See {ref}`unet`.", "a MyST role"),
        ("![A U](images/unet.png)", "a relative image"),
        ('<img alt="A U" src="unet.png">', "a relative image"),
        ("![A U](attachment:unet.png)", "an attachment"),
    ],
)
def test_prose_that_breaks_on_colab(opened, markdown, says):
    complaints = opened(markdown=markdown).complaints
    assert any(says in complaint for complaint in complaints)
    assert opened(markdown="# T\n\n```python\n1\n```\n[f](unet.ipynb) $x$").complaints == []


def test_a_figure_without_the_widget_manager_is_seen(opened):
    figure = "import ipywidgets, traitlets\nclass Figure(ipywidgets.DOMWidget):\n"
    figure += "    _model_module = _view_module = traitlets.Unicode('someones').tag(sync=True)\n"
    figure += "    _view_name = traitlets.Unicode('View').tag(sync=True)\nFigure()"
    (complaint,) = opened(figure).complaints
    assert "'code-0' shows a figure without Colab's widget manager" in complaint
    assert opened("import ipywidgets\nipywidgets.IntSlider()").complaints == []
    assert opened("import anywidget\nanywidget.AnyWidget()").complaints == []


def test_the_machine_is_what_it_says(opened):
    """The setup cell fetches the code and torchinfo; the packages are the kernel's own."""
    run = opened(
        SETUP,
        "import sys, torchinfo, backbone, torch\n"
        "assert 'content/backbones/src' in backbone.__file__, backbone.__file__\n"
        "assert 'packages/torchinfo' in torchinfo.__file__, torchinfo.__file__\n"
        "assert 'google.colab' in str(get_ipython())\n"
        "assert 'google.colab' in sys.modules",
    )
    assert run.complaints == []
    assert run.calls == list(INSTALLS)
    assert str(ROOT / "src") not in (HERE / "machine/launch.py").read_text("utf-8")
