"""Nothing that the book reads can run code: every call that opens a file is found and judged.

Source files, notebook cells, and Python blocks in prose, in both editions. Code inside strings is
not looked at, nor is a function that was passed on under another name.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest

from backbone.weights.reading import CHECKPOINTS, SHA256

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^(`{3,}|~{3,}) ?(?:python|py)?[^\n`]*\n(.*?)^\1", re.M | re.S)

# Calls that run what they read, whatever their arguments.
NEVER = {
    *(
        f"{m}.{f}"
        for m in ("pickle", "cloudpickle", "dill")
        for f in ("load", "loads", "Unpickler")
    ),
    *("marshal.load", "marshal.loads", "shelve.open", "joblib.load", "pandas.read_pickle"),
    *("torch.hub.load", "yaml.unsafe_load", "yaml.full_load", "yaml.unsafe_load_all"),
    *("eval", "exec"),
}
# Those that are needed: (file, call): why.
NEEDED = {
    (
        "src/backbone/exercises/private.py",
        "exec",
    ): "a teacher's own checks, from a folder they name",
    ("tests/test_assignment.py", "exec"): "cells that the test has just made",
    ("tests/test_export_otter.py", "exec"): "a file that the test has just made",
    ("tests/explorables/test_checkpoint.py", "eval"): "names of blocks that stand in the test",
    ("tests/test_tools.py", "exec"): "the setup cell",
    ("tests/test_publishing.py", "exec"): "the check that the book's own workflow runs",
}


def judge(node: ast.Call, called: str) -> str:
    """Say what is wrong with a call, "" if nothing is."""
    given = {k.arg: k.value for k in node.keywords}
    if called in NEVER:
        return f"{called} runs what it reads"
    if called in ("torch.load", "torch.hub.load_state_dict_from_url"):
        value = given.get("weights_only")
        if not (isinstance(value, ast.Constant) and value.value is True):
            return f"{called} without weights_only=True"
    if called in ("numpy.load", "numpy.lib.npyio.NpzFile"):
        value = given.get("allow_pickle", ast.Constant(False))
        if len(node.args) > 2 or not (isinstance(value, ast.Constant) and value.value is False):
            return f"{called} with allow_pickle"
    if called in ("yaml.load", "yaml.load_all"):
        value = given.get("Loader", node.args[1] if len(node.args) > 1 else None)
        if value is None or not ast.unparse(value).endswith("SafeLoader"):
            return f"{called} without SafeLoader"
    if None in given and called in ("torch.load", "numpy.load"):
        return f"{called} with arguments that cannot be seen"
    return ""


def calls(codes: list[str]) -> list[tuple[int, ast.Call, str]]:
    """Every call in some code that shares its names: (number of the code, call, full name)."""
    trees = [(number, tree) for number, code in enumerate(codes) if (tree := parsed(code))]
    names = {}
    for _, tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for a in node.names:
                    names[a.asname or a.name.partition(".")[0]] = (
                        a.name if a.asname else a.name.partition(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    found = []
    for number, tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                first, dot, rest = ast.unparse(node.func).partition(".")
                found.append((number, node, names.get(first, first) + dot + rest))
    return found


def parsed(code: str) -> ast.Module | None:
    lines = ["" if line.lstrip().startswith(("%", "!")) else line for line in code.split("\n")]
    try:
        return ast.parse("\n".join(lines))
    except SyntaxError:  # an output or a sketch between fences; whoever runs it finds no code
        return None


def pieces(path: Path) -> list[str]:
    """The code in a file: of a notebook its cells, of its prose the blocks between fences."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        return [text]
    if path.suffix == ".md":
        return [block for _, block in FENCE.findall(text)]
    found = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        code = cell["cell_type"] == "code"
        found += [source] if code else [block for _, block in FENCE.findall(source)]
    return found


def faults(path: Path) -> tuple[list[str], int, int]:
    """What is wrong in a file, how many pieces of code it has, how many calls open a file."""
    codes = pieces(path)
    said, opening = [], 0
    for _, node, called in calls(codes):
        opening += called in ("torch.load", "numpy.load") or "safetensors" in called
        fault = judge(node, called)
        name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
        if fault and (name, called) not in NEEDED:
            said.append(f"{name}, line {node.lineno} of its piece: {fault}: {ast.unparse(node)}")
    return said, len(codes), opening


def files() -> list[Path]:
    """Everything in the repository that holds Python, tracked or about to be."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in names.splitlines()]
    return [p for p in paths if p.suffix in (".py", ".ipynb", ".md") and p.is_file()]


def test_nothing_that_is_read_can_run_code():
    said, code, opening, seen = [], 0, 0, set()
    for path in files():
        more, pieces_, opening_ = faults(path)
        said, code, opening = said + more, code + pieces_, opening + opening_
        seen.add(path.relative_to(ROOT).parts[0] + path.suffix)
    print(f"{len(files())} files, {code} pieces of code, {opening} calls that open arrays")
    assert {"src.py", "tools.py", "tests.py", "book.ipynb", "book.md", "README.md.md"} <= seen
    assert opening >= 8
    assert not said, "\n".join(said)


def test_the_exceptions_are_still_needed():
    there = {
        (name, called)
        for name, _ in NEEDED
        for _, _, called in calls(pieces(ROOT / name))
        if (name, called) in NEEDED
    }
    strings = {  # those calls stand in a string that a test runs in a process of its own
        key for key in NEEDED.keys() - there if f"{key[1]}(" in (ROOT / key[0]).read_text("utf-8")
    }
    print(sorted(there), sorted(strings))
    assert there | strings == set(NEEDED)


BAD = (
    "import torch\ntorch.load('x.pt')",
    "import torch\ntorch.load('x.pt', weights_only=False)",
    "import torch\nsure = True\ntorch.load('x.pt', weights_only=sure)",
    "import torch\ntorch.load('x.pt', **{'weights_only': True})",
    "from torch import load\nload('x.pt')",
    "import torch as t\nt.load('x.pt')",
    "from torch import load as read\nstate = read('x.pt')['model']",
    "import torch\n%time\nnet.load_state_dict(torch.load('x.pt'))",
    "import torch\ntorch.hub.load('a/b', 'resnet18')",
    "import torch\ntorch.hub.load_state_dict_from_url('u')",
    "import numpy as np\nnp.load('x.npy', allow_pickle=True)",
    "import numpy as np\nnp.load('x.npy', None, True)",
    "import pickle\npickle.load(open('x', 'rb'))",
    "from pickle import loads\nloads(b'')",
    "import pandas as pd\npd.read_pickle('x')",
    "import yaml\nyaml.load(text)",
    "import yaml\nyaml.load(text, Loader=yaml.Loader)",
    "eval('1 + 1')",
    "exec(code)",
)
GOOD = (
    "import torch\ntorch.load('x.pt', map_location='cpu', weights_only=True)",
    "from torch import load\nload('x.pt', weights_only=True)",
    "import numpy as np\nnp.load('x.npz')",
    "import numpy as np\nnp.load('x.npz', allow_pickle=False)",
    "import yaml\nyaml.safe_load(text)\nyaml.load(text, Loader=yaml.SafeLoader)",
    "import json\njson.load(file)",
    "import pickle\nerror = pickle.UnpicklingError",
    "net.eval()\nmodel.load(x)",
)


@pytest.mark.parametrize("kind", ["py", "cell", "prose", "md"])
def test_every_bad_call_is_found(tmp_path, kind):
    """In a file, in a cell whose import stands in another, in a solution, on a page."""

    def written(code: str) -> Path:
        path = tmp_path / ("x.ipynb" if kind in ("cell", "prose") else f"x.{kind}")
        block = f"Words.\n\n```python\n{code}\n```\n\nMore."
        cells = [{"cell_type": "code", "source": [line + "\n"]} for line in code.split("\n")]
        if kind == "prose":
            cells = [{"cell_type": "markdown", "source": block}]
        text = {"py": code.replace("%time\n", ""), "md": block}.get(
            kind, json.dumps({"cells": cells})
        )
        path.write_text(text, "utf-8")
        return path

    assert all(len(faults(written(code))[0]) == 1 for code in BAD)
    assert not any(faults(written(code))[0] for code in GOOD)


def test_every_download_has_its_whole_hash():
    for url in CHECKPOINTS.values():
        file = url.rpartition("/")[2]
        print(file, SHA256[file])
        assert re.fullmatch("[0-9a-f]{64}", SHA256[file])
        assert file.endswith(f"-{SHA256[file][:8]}.pth")
    assert len(SHA256) == len(CHECKPOINTS)
