"""The fingerprint follows code: every change of it, and nothing else."""

from __future__ import annotations

import ast
import sysconfig
from pathlib import Path

import pytest

import backbone.experiments.provenance as provenance
from backbone.experiments import EXPERIMENTS
from backbone.experiments.provenance import PACKAGE, bare_code, fingerprint, versions

OWNERS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def meaning(source, strip=True):
    """The syntax tree as text; without docstrings, found in another way than the module does."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        first = node.body[0] if isinstance(node, OWNERS) and node.body else None
        value = getattr(first, "value", None) if isinstance(first, ast.Expr) else None
        if strip and isinstance(value, ast.Constant) and isinstance(value.value, str):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def comments_and_blank_lines(source):
    return [line for line in source.splitlines() if not line.strip() or line.strip()[0] == "#"]


STANDARD = sorted(Path(sysconfig.get_path("stdlib")).glob("[a-c]*.py"))
OURS = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("files", [OURS, STANDARD], ids=["the package", "the standard library"])
def test_bare_code_is_the_code(files):
    before = after = 0
    for file in files:
        source = file.read_text("utf-8")
        bare = bare_code(source)
        assert meaning(bare, strip=False) == meaning(source), file
        assert bare_code(bare) == bare, file
        before, after = before + len(source), after + len(bare)
    print(f"{len(files)} files, {before:,} characters, {after:,} of them code")
    assert len(files) > 15
    assert after < before


SAME = {
    "comment": ("x = 1", "# one\nx = 1  # two\n# three\n"),
    "blank lines": ("x = 1\ny = 2", "\n\nx = 1\n \n\ny = 2\n\n"),
    "trailing blanks": ("x = 1", "x = 1   \n"),
    "module docstring": ("x = 1", '"""Doc."""\nx = 1'),
    "long docstring": (
        "def f():\n    return 1",
        'def f():\n    """Doc.\n\n    # x\n    """\n\n    return 1',
    ),
    "single quotes": ("def f():\n    return 1", "def f():\n    'Doc.'\n    return 1"),
    "raw docstring": ("def f():\n    return 1", 'def f():\n    r"""\\d"""\n    return 1'),
    "two parts": ("def f():\n    return 1", 'def f():\n    "a" "b"\n    return 1'),
    "brackets": ("def f():\n    return 1", 'def f():\n    (  # why\n     "a"\n    )\n    return 1'),
    "other docstring": ('class A:\n    """One."""', 'class A:\n    """Two: é→×."""  # three'),
    "only a docstring": ("class A:\n    pass", 'class A:\n    """Doc."""'),
    "non-ASCII": ("def f():\n    return 1", 'def f():\n    """→ (N, 4·w) é"""\n    return 1'),
    "non-ASCII before": ('def f(é="→"): return 1', 'def f(é="→"): "é → doc"; return 1'),
    "code after it": ("def f():\n    x = 1", 'def f():\n    """Doc."""; x = 1  # no'),
    "semicolon": ("def f():\n    x = 1", 'def f():\n    """Doc.""";\n    x = 1'),
    "async": ("async def f():\n    return 1", 'async def f():\n    """Doc."""\n    return 1'),
    "nested": (
        "class A:\n  def f():\n    def g():\n      return 1",
        'class A:\n  "a"\n  def f():\n    "b"\n    def g():\n      "c"\n      return 1',
    ),
    "decorated": (
        "@a\ndef f():\n    @b\n    def g(): pass",
        '@a\ndef f():\n    "d"\n    @b\n    def g(): "e"',
    ),
    "form feed": ("x = 1\ny = 2", "x = 1\n\x0c\n# two\ny = 2"),
}


@pytest.mark.parametrize("case", SAME)
def test_prose_does_not_count(case):
    one, other = SAME[case]
    print(repr(bare_code(other)))
    assert bare_code(one) == bare_code(other)
    assert meaning(bare_code(other), strip=False) == meaning(one)


DIFFERENT = {
    "number": ("x = 1", "x = 2"),
    "code after a docstring": ('def f():\n    "Doc."; x = 1', 'def f():\n    "Doc."; x = 2'),
    "out of the loop": ("for a in b:\n    c()\n    d()", "for a in b:\n    c()\nd()"),
    "out of the branch": ("if a:\n  b()\nelse:\n  c()\n  d()", "if a:\n  b()\nelse:\n  c()\nd()"),
    "blanks in a string": ("x = 'a b'", "x = 'a  b'"),
    "blank line in a string": ('x = """a\nb"""', 'x = """a\n\nb"""'),
    "blank at the end of a line in a string": ('x = """a\nb"""', 'x = """a \nb"""'),
    "no comment": ("x = '# a'", "x = '# b'"),
    "no comment in an f-string": ('x = f"{a} # {b}"', 'x = f"{a} # {c}"'),
    "blank line in an f-string": ('x = f"""{a}\n\n{b}"""', 'x = f"""{a}\n{b}"""'),
    "text that is no docstring": ("def f():\n    x = 1\n    'a'", "def f():\n    x = 1\n    'b'"),
    "an f-string is no docstring": ('def f():\n    f"{a}"', 'def f():\n    f"{b}"'),
    "bytes are no docstring": ("def f():\n    b'a'", "def f():\n    b'c'"),
    "a string in a loop": ("for a in b:\n    'c'", "for a in b:\n    'd'"),
    "order": ("x = 1\ny = 2", "y = 2\nx = 1"),
    "async": ("async def f(): pass", "def f(): pass"),
    "after non-ASCII": ('x = "→→→"; y = 1  # é', 'x = "→→→"; y = 2  # é'),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_code_counts(case):
    one, other = DIFFERENT[case]
    print(repr(bare_code(one)), repr(bare_code(other)))
    assert bare_code(one) != bare_code(other)
    for source in (one, other):
        assert meaning(bare_code(source), strip=False) == meaning(source)


# --- files --------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    (tmp_path / "training").mkdir()
    (tmp_path / "one.py").write_text('"""One."""\nx = 1\n', "utf-8")
    (tmp_path / "training" / "loop.py").write_text("y = 2\n", "utf-8")
    (tmp_path / "other.py").write_text("z = 3\n", "utf-8")
    return tmp_path


def test_the_fingerprint_follows_the_named_files_only(package):
    names = ("one", "training.loop")
    before = fingerprint(names)
    assert before == fingerprint(names[::-1])
    (package / "other.py").write_text("z = 4\n", "utf-8")
    (package / "one.py").write_text('"""Eins → é."""\n\n# now\nx = 1\n', "utf-8")
    assert fingerprint(names) == before
    (package / "training" / "loop.py").write_text("y = 3\n", "utf-8")
    assert fingerprint(names) != before
    assert fingerprint(("one",)) != before


def test_code_that_moves_to_another_file_counts(package):
    before = fingerprint(("one", "other"))
    (package / "one.py").write_text("z = 3\n", "utf-8")
    (package / "other.py").write_text("x = 1\n", "utf-8")
    assert fingerprint(("one", "other")) != before


def test_line_endings_do_not_count(package):
    before = fingerprint(("one",))
    (package / "one.py").write_bytes(b'"""One."""\r\nx = 1\r\n')
    assert fingerprint(("one",)) == before


def test_a_missing_module_is_an_error(package):
    with pytest.raises(FileNotFoundError):
        fingerprint(("one", "none"))


# --- what the experiments name ------------------------------------------------------------------


# Imported but not named: their part in a number is checked elsewhere, or they have none.
ALLOWED = {
    "unet",  # where it is not named: the paper's U-Net in `variants`
    "weights",  # the weights' sha256 is in their card
    "experiments.experiment",  # what an experiment is
    "anatomy.hooks",  # where it is not named: only `evaluating`, for the loop
    "data.datasheets",  # compares the sha256 of every file
    "data.fashion",  # where it is not named: only `need_split`
    *("training.checkpoints", "training.device", "training.history"),
    *("progress", "saving"),  # a bar and a file move no number
}


def imported(module):
    """Our modules that a module imports, at its top: the ones its numbers can come from."""
    found = set()
    path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("backbone."):
            found.add(node.module.removeprefix("backbone."))
    return found


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_an_experiment_names_the_modules_it_imports(name):
    """A room such as `backbone.data` is named by its members."""
    named = set(EXPERIMENTS[name].modules)
    rooms = {m.split(".")[0] for m in named}
    missing = {other for module in named for other in imported(module) - named - rooms}
    print(f"{name}: {len(named)} modules; imported but not named: {sorted(missing)}")
    assert missing  # else this test reads nothing
    assert f"experiments.{'backbone_swap' if name == 'backbone' else name}" in named
    assert not missing - ALLOWED, "add them to EXPERIMENT.modules"


def test_versions_name_what_may_move_a_number():
    found = versions()
    print(found)
    assert set(found) == {"backbone", "python", "torch", "numpy"}
    assert all(found.values())
