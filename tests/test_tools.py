"""The notebook tools: text and back, the setup cell in the places it is made for, stored runs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import cells  # noqa: E402
import run_notebooks  # noqa: E402
import setup_cell  # noqa: E402

TEXT = '''\
# %% [markdown] id="counting"
# # Counting × 残差
#
# A "quoted" word, $\\\\frac{1}{2}$ and `code`:
#
# ```python
# x = """three"""
# ```

# %% id="setup" tags=["hide-cell"]
import os

# %% id="count-to-18" mystnb={"image": {"alt": "It's a \\"plot\\" of 3×3: {a}, [b]"}} nbval-why="w"
total = 17 + 1


def double(n):
    return 2 * n
'''


# --- cells.py ----------------------------------------------------------------------------------


def test_text_to_notebook_and_back() -> None:
    notebook = cells.from_text(TEXT)
    assert [cell.id for cell in notebook.cells] == ["counting", "setup", "count-to-18"]
    assert [dict(cell.metadata) for cell in notebook.cells] == [
        {},
        {"tags": ["hide-cell"]},
        {"mystnb": {"image": {"alt": 'It\'s a "plot" of 3×3: {a}, [b]'}}, "nbval-why": "w"},
    ]
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert "version" not in notebook.metadata.language_info
    assert cells.to_text(notebook) == TEXT
    stored = cells.notebook_text(notebook)
    assert cells.notebook_text(nbformat.reads(stored, as_version=4)) == stored
    assert stored.endswith("}\n") and "残差" in stored and stored.startswith('{\n "cells"')


def test_outputs_stay_with_unchanged_code_only(tmp_path: Path) -> None:
    path, text = tmp_path / "x.ipynb", tmp_path / "x.py"
    notebook = cells.from_text(TEXT)
    for count, cell in enumerate(notebook.cells[1:], start=1):
        cell.outputs = [nbformat.v4.new_output("stream", text=f"{cell.id}\n")]
        cell.execution_count = count
    notebook.metadata["backbone"] = {"ran": "2026-01-01"}
    notebook.metadata["jupytext"] = {"formats": "ipynb,py"}
    cells.save_notebook(notebook, path)

    text.write_text(TEXT.replace("17 + 1", "20 - 2"), encoding="utf-8")
    assert cells.main(["to-notebook", str(text), str(path)]) == 0
    after = {cell.id: cell for cell in cells.read_notebook(path).cells}
    assert after["setup"].outputs[0].text == "setup\n" and after["setup"].execution_count == 1
    assert after["count-to-18"].outputs == [] and after["count-to-18"].execution_count is None
    metadata = cells.read_notebook(path).metadata
    assert metadata["backbone"] == {"ran": "2026-01-01"} and "jupytext" not in metadata


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("# %%\nx = 1\n", "cell 1 (x = 1) has no id"),
        ('# %% id="a"\n1\n\n# %% id="a"\n2\n', 'the id "a", which 2 cells share'),
        ('# %% id="Count To"\n1\n', 'the id "Count To"'),
    ],
)
def test_ids_are_refused_with_advice(broken: str, says: str, tmp_path: Path, capsys) -> None:
    text, path = tmp_path / "x.py", tmp_path / "x.ipynb"
    text.write_text(broken)
    assert cells.main(["to-notebook", str(text), str(path)]) == 1
    message = capsys.readouterr().err
    assert says in message and '# %% id="count-to-18"' in message
    assert not path.exists()


def test_a_cell_that_would_split_is_refused() -> None:
    notebook = cells.from_text(TEXT)
    notebook.cells[1].source = "x = 1\n# %% not a cell\ny = 2"
    with pytest.raises(ValueError, match=r"does not survive|needs its own readable id"):
        cells.to_text(notebook)


# --- setup_cell.py -----------------------------------------------------------------------------


def test_setup_cell_is_short_and_names_this_version() -> None:
    source = setup_cell.setup_source()
    assert len(source.splitlines()) <= 18
    assert max(map(len, source.splitlines())) <= 88
    project = setup_cell.tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"-b v{project['version']} " in source
    assert f'REPOSITORY = "{project["urls"]["Repository"]}"' in source
    compile(source, "setup", "exec")


def test_write_adds_and_mends_the_setup_cell(tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    notebook = cells.from_text('# %% [markdown] id="title"\n# # T\n\n# %% id="one"\n1\n')
    cells.save_notebook(notebook, path)
    for _ in range(2):  # the second time there is nothing to do
        assert setup_cell.main(["--write", str(path)]) == 0
        assert [c.id for c in cells.read_notebook(path).cells] == ["title", "setup", "one"]
    first = path.read_bytes()
    mended = cells.read_notebook(path)
    mended.cells[1].source = "old"
    cells.save_notebook(mended, path)
    setup_cell.main(["--write", str(path)])
    assert path.read_bytes() == first
    assert cells.read_notebook(path).cells[1].source == setup_cell.setup_source()


# Runs the cell in an interpreter that knows the installed libraries but not this book: the entry
# of an editable or ordinary installation is hidden, as it is absent in Colab.
BARE = """
import importlib.util, os, sys
sys.meta_path = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
book = os.environ["BOOK_SRC"]
sys.path = [p for p in sys.path if os.path.realpath(p or ".") != book]
assert importlib.util.find_spec("backbone") is None, "the test cannot hide the installed package"
before = list(sys.path)
exec(compile(os.environ["SETUP"], "setup", "exec"))
import backbone.resnet
print(os.path.realpath(backbone.resnet.__file__))
exec(compile(os.environ["SETUP"], "setup", "exec"))
assert len(sys.path) == len(before) + 1, sys.path
"""


def run_bare(folder: Path, **more: str) -> subprocess.CompletedProcess:
    environment = os.environ | {
        "BOOK_SRC": str(ROOT / "src"),
        "SETUP": setup_cell.setup_source(),
        "GIT_TERMINAL_PROMPT": "0",
        **more,
    }
    environment.pop("PYTHONPATH", None)
    return subprocess.run(
        [sys.executable, "-c", BARE], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> dict[str, str]:
    """A bare repository with this version's tag; git is told to go there instead of the web."""
    work = tmp_path_factory.mktemp("published") / "work"
    shutil.copytree(ROOT / "src", work / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", work)
    project = setup_cell.tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    who = ["-c", "user.name=Reader", "-c", "user.email=reader@example.org"]
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        [*who, "commit", "-q", "-m", "book"],
        ["tag", f"v{project['version']}"],
        ["clone", "-q", "--bare", ".", "../book.git"],
    ):
        subprocess.run(["git", *command], cwd=work, check=True, capture_output=True)
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{(work.parent / 'book.git').as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": project["urls"]["Repository"],
    }


def test_setup_clones_into_an_empty_folder(tmp_path: Path, published: dict[str, str]) -> None:
    first = run_bare(tmp_path, **published)
    assert first.returncode == 0, first.stderr
    assert first.stdout.strip() == str(tmp_path / "backbones/src/backbone/resnet.py")
    assert [path.name for path in tmp_path.iterdir()] == ["backbones"]
    # A new session in the same folder takes the clone that is there, without the web.
    unreachable = published | {"GIT_CONFIG_KEY_0": "url.file:///nowhere.insteadOf"}
    again = run_bare(tmp_path, **unreachable)
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout


def test_setup_finds_the_checkout_above(tmp_path: Path, published: dict[str, str]) -> None:
    shutil.copytree(ROOT / "src/backbone", tmp_path / "src/backbone")
    folder = tmp_path / "book/en"
    folder.mkdir(parents=True)
    result = run_bare(folder, **published)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(tmp_path / "src/backbone/resnet.py")
    assert list(folder.iterdir()) == []


def test_setup_without_network_says_so_in_one_sentence(tmp_path: Path) -> None:
    nowhere = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "url.file:///nowhere/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://",
    }
    result = run_bare(tmp_path, **nowhere)
    assert result.returncode != 0
    assert result.stderr.splitlines()[-1].startswith("RuntimeError: No code arrived")


def test_setup_names_what_a_broken_fetch_left(tmp_path: Path, published: dict[str, str]) -> None:
    rest = tmp_path / "backbones"
    (rest / ".git").mkdir(parents=True)  # as after a clone that was killed
    last = run_bare(tmp_path, **published).stderr.splitlines()[-1]
    print(last)
    assert f"delete {rest}" in last and (rest / ".git").is_dir()
    shutil.rmtree(rest)
    assert run_bare(tmp_path, **published).returncode == 0


def test_setup_does_nothing_where_the_package_is_installed(tmp_path: Path) -> None:
    code = "import os, sys; p = list(sys.path); exec(os.environ['SETUP']); assert sys.path == p"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ
        | {
            "SETUP": setup_cell.setup_source(),
            "PATH": "",  # neither git nor pip could be called
            "PYTHONPATH": str(ROOT / "src"),
        },
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "" and list(tmp_path.iterdir()) == []


# --- run_notebooks.py --------------------------------------------------------------------------

RUN = """\
# %% id="draw" mystnb={"image": {"alt": "A straight line from one to two"}}
import sys
import matplotlib.pyplot as plt
print("one")
print(object(), flush=True)
print("two")
plt.figure(figsize=(2, 2)); plt.plot([1, 2]); plt.show()

# %% id="widget"
import ipywidgets
ipywidgets.VBox([ipywidgets.IntSlider()])

# %% id="python"
print(sys.executable == PYTHON, hash("a"))
object()
"""


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "x.ipynb"
    text = RUN.replace("PYTHON", repr(sys.executable))
    cells.save_notebook(cells.from_text(text), path)
    return path


def test_second_run_changes_no_byte(notebook: Path) -> None:
    assert run_notebooks.main([str(notebook)]) == 0
    first = notebook.read_bytes()
    stored = cells.read_notebook(notebook)
    draw, widget, python = stored.cells
    assert draw.outputs[0].text == "one\n<object object at 0x…>\ntwo\n"
    assert python.outputs[0].text.startswith("True ")
    assert python.outputs[1].data["text/plain"] == "<object at 0x…>"
    assert widget.outputs[0].data["application/vnd.jupyter.widget-view+json"]["model_id"] == (
        "00000000000000000000000000000001"
    )
    assert [cell.execution_count for cell in stored.cells] == [1, 2, 3]
    assert set(stored.metadata["backbone"]) == {"ran", "torch", "seconds", "code"}
    assert all("execution" not in cell.metadata for cell in stored.cells)
    assert set(stored.metadata.language_info) == set(cells.LANGUAGE_INFO)

    assert run_notebooks.main([str(notebook)]) == 0
    assert notebook.read_bytes() == first
    assert run_notebooks.main(["--check", str(notebook)]) == 0


def test_stamp_is_new_only_when_something_changed(notebook: Path) -> None:
    run_notebooks.run(notebook)
    stored = cells.read_notebook(notebook)
    stored.metadata["backbone"]["ran"] = "2000-01-01"
    stored.cells.append(nbformat.v4.new_markdown_cell("More prose.", id="prose"))
    cells.save_notebook(stored, notebook)
    assert run_notebooks.run(notebook) == []
    assert cells.read_notebook(notebook).metadata["backbone"]["ran"] == "2000-01-01"

    stored.cells[2].source = "print(1)"  # as an editor would leave it: new code, old output
    cells.save_notebook(stored, notebook)
    before = notebook.read_bytes()
    assert run_notebooks.main(["--check", str(notebook)]) == 1
    assert notebook.read_bytes() == before
    assert "python" in run_notebooks.run(notebook)
    assert cells.read_notebook(notebook).metadata["backbone"]["ran"] != "2000-01-01"


def test_a_volatile_cell_alone_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    text = '# %% id="now" tags=["nbval-ignore-output"]\nimport time; time.perf_counter_ns()\n'
    cells.save_notebook(cells.from_text(text), path)
    run_notebooks.run(path)
    first = path.read_bytes()
    assert run_notebooks.run(path) == []
    assert path.read_bytes() == first


def test_failing_cell_is_named_and_the_file_untouched(notebook: Path, capsys) -> None:
    broken = cells.read_notebook(notebook)
    broken.cells[1].source = "1 / 0"
    cells.save_notebook(broken, notebook)
    before = notebook.read_bytes()
    assert run_notebooks.main([str(notebook)]) == 1
    message = capsys.readouterr().err
    assert "x.ipynb: cell 'widget' failed" in message and "ZeroDivisionError" in message
    assert notebook.read_bytes() == before
    assert [path.name for path in notebook.parent.iterdir()] == ["x.ipynb"]


@pytest.mark.parametrize("alt", ["", "figure"])
def test_figure_without_alt_text_is_refused(notebook: Path, alt: str, capsys) -> None:
    broken = cells.read_notebook(notebook)
    broken.cells[0].metadata["mystnb"]["image"]["alt"] = alt
    cells.save_notebook(broken, notebook)
    before = notebook.read_bytes()
    assert run_notebooks.main([str(notebook)]) == 1
    assert "cell 'draw' shows a figure" in capsys.readouterr().err
    assert notebook.read_bytes() == before


def test_png_keeps_pixels_and_forgets_metadata() -> None:
    import base64
    import io

    import numpy as np
    from PIL import Image, PngImagePlugin

    def encode(image: Image.Image, **options: object) -> str:
        buffer = io.BytesIO()
        image.save(buffer, "PNG", **options)
        return base64.b64encode(buffer.getvalue()).decode()

    def decode(text: str) -> Image.Image:
        return Image.open(io.BytesIO(base64.b64decode(text)))

    noise = np.random.default_rng(0).integers(0, 256, (40, 30, 4), dtype=np.uint8)
    few = noise // 64 * 64
    few[..., 1:3], few[..., 3] = 0, 255
    for pixels, mode in ((noise, "RGBA"), (few, "P")):
        image = Image.fromarray(pixels)
        note = PngImagePlugin.PngInfo()
        note.add_text("Software", "made today")
        raw = encode(image, pnginfo=note, compress_level=1)
        small = run_notebooks.stable_png(raw, None)
        print(mode, len(raw), "->", len(small))
        assert len(small) < len(raw)
        assert np.array_equal(np.asarray(decode(small).convert("RGBA")), pixels)
        assert decode(small).mode == mode and decode(small).info.get("Software") is None
        # The same picture, differently compressed, leaves the stored bytes alone.
        assert run_notebooks.stable_png(raw, small) == small
        changed = pixels.copy()
        changed[0, 0, 0] ^= 1
        assert run_notebooks.stable_png(encode(Image.fromarray(changed)), small) != small


def test_widget_ids_are_counted() -> None:
    def with_widget(model_id: str, child: str) -> nbformat.NotebookNode:
        view = {"model_id": model_id, "version_major": 2, "version_minor": 0}
        data = {"application/vnd.jupyter.widget-view+json": view}
        cell = nbformat.v4.new_code_cell(
            "w", id="w", outputs=[nbformat.v4.new_output("display_data", data=data)]
        )
        state = {child: {"state": {}}, model_id: {"state": {"children": [f"IPY_MODEL_{child}"]}}}
        widgets = {"application/vnd.jupyter.widget-state+json": {"state": state}}
        return nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": widgets})

    one = run_notebooks.stable_widgets(with_widget("a" * 32, "b" * 32))
    two = run_notebooks.stable_widgets(with_widget("0f" * 16, "e1" * 16))
    assert json.dumps(one) == json.dumps(two)
    assert f"IPY_MODEL_{2:032x}" in json.dumps(one)
