"""An assignment of one's own: fresh numbers for students, solutions and checks for the teacher."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import answers  # noqa: E402
import assignment  # noqa: E402
import cells  # noqa: E402
import context  # noqa: E402
import run_notebooks  # noqa: E402
import student  # noqa: E402
import wordings  # noqa: E402
from backbone.exercises import EXERCISES, Wrong, check, load_checks, question  # noqa: E402
from backbone.exercises.private import PRIVATE  # noqa: E402

VARYING = [name for name, found in EXERCISES.items() if found.question and name not in PRIVATE]
# degradation.2 trains a network; `make test` runs the book's own solution of it.
QUICK = [name for name in VARYING if name != "degradation.2"]
MIDTERM = ["residual-blocks.3", "resnet-architecture.4", "unet-architecture.4", "segmentation.2"]


@pytest.fixture(autouse=True)
def _only_the_book():
    before, place = dict(EXERCISES), Path.cwd()
    yield
    os.chdir(place)
    EXERCISES.clear()
    EXERCISES.update(before)
    PRIVATE.clear()


def made(tmp_path, names=MIDTERM, seed=4711, **options):
    out = tmp_path / f"out-{seed}"
    assignment.new("midterm", names, out, seed, **options)
    return (
        cells.read_notebook(out / "teacher" / "midterm.ipynb"),
        cells.read_notebook(out / "student" / "midterm.ipynb"),
        out,
    )


def text_of(notebook):
    return "\n".join(cell.source for cell in notebook.cells)


def run(notebook, folder):
    """Run a teacher's notebook in this process; return what each check said."""
    os.chdir(folder)
    names, said = {}, {}

    def recorded(name, answer):
        said[name] = check(name, answer)

    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, cell.id, "exec"), names)
            names.update({"check": recorded} if cell.id == "imports" else {})
    return said


# --- the wording ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VARYING)
def test_the_book_says_the_numbers_where_we_look_for_them(name):
    """With seed 0 each template stands in the book: who words a question anew learns it here."""
    assert name in wordings.WORDINGS, f"say in tools/wordings.py which words of {name} vary"
    for language, pieces in wordings.WORDINGS[name].pieces.items():
        source = assignment.sources([name], language)[0]
        words = answers.without_solution(source.text) + "\n" + source.answer
        text = " ".join(words.split())
        for old, _ in wordings.pairs(name, 0, language):
            assert " ".join(old.split()) in text, f"not in the book's {name}: {old!r}"
        templates = " ".join(p if isinstance(p, str) else p[1] for p in pieces)
        named = set(re.findall(r"\{(\w+)\}", templates))
        assert named <= set(wordings.fields(name, 0)) and named
        print(f"{name}: {len(pieces)} pieces, fields {sorted(named)}")


@pytest.mark.parametrize("name", VARYING)
def test_every_number_that_varies_is_said(name):
    """Whoever has other numbers reads other words, and finds each number in them."""
    source = assignment.sources([name], "en")[0]
    asked = answers.without_solution(source.text)
    for seed in range(1, 12):
        said = wordings.reworded_question(asked, name, seed) + wordings.reword(
            source.answer, name, seed
        )
        assert said != asked + source.answer and "Your class's" not in said
        words = {word for pair in wordings.pairs(name, seed, "en") for word in [pair[1]]}
        for key, value in question(name, seed=seed).items():
            if value == question(name)[key]:
                continue
            for number in value if isinstance(value, tuple) else (value,):
                forms = {str(number), {2: "two", 4: "four", 8: "eight", 16: "sixteen"}.get(number)}
                assert any(form and form in word for form in forms for word in words), key


def test_two_seeds_differ_in_their_numbers_alone():
    """Without the pieces, the texts of all seeds are the book's, letter by letter."""
    for name in VARYING:
        asked = answers.without_solution(assignment.sources([name], "en")[0].text)
        left = " ".join(asked.split())
        for old, _ in wordings.pairs(name, 0, "en"):
            left = left.replace(" ".join(old.split()), "#")
        for seed in (3, 8):
            ours = " ".join(wordings.reworded_question(asked, name, seed).split())
            for _, new in wordings.pairs(name, seed, "en"):
                ours = ours.replace(" ".join(new.split()), "#")
            assert ours == left


def test_an_edition_without_pieces_gets_a_line_with_the_numbers():
    asked = "### 练习 1\n\n问题。\n\n<details><summary>提示</summary>\n\n想。\n\n</details>"
    said = wordings.reworded_question(asked, "residual-blocks.3", 5, "zh")
    print(said)
    assert "你们班的数" in said and said.index("你们班") < said.index("<details>")
    assert wordings.reworded_question(asked, "residual-blocks.1", 5, "zh") == asked


# --- what an exercise needs of its chapter -------------------------------------------------------

CHAPTER = [
    "import torch\nfrom torch import nn\n\nseed_everything(0)\nnet = nn.Linear(2, 2)\nother = 1",
    "for shade in (1, 2):\n    print(shade)",
    "history = [fit(one, 3) for one in [net]]\nplt.plot(history)",
    "def total(values):\n    return sum(v * scale for v in values)\n\n\n# of all\nscale = 2",
    "net.eval()\nshow(net)",
    "names = ['a']\nnames += ['b']",
]


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ({"shade", "word"}, ["for shade in (1, 2):\n    print(shade)"]),
        ({"total"}, [CHAPTER[3]]),
        ({"scale"}, ["# of all\nscale = 2"]),
        ({"names"}, [CHAPTER[5]]),
        ({"torch", "sum"}, []),
        (
            {"net"},
            [
                "seed_everything(0)\nnet = nn.Linear(2, 2)",
                "history = [fit(one, 3) for one in [net]]",
                "net.eval()",
            ],
        ),
    ],
)
def test_only_what_is_needed_is_taken_along(names, wanted):
    assert context.preparation(CHAPTER, names) == wanted


def test_imports_become_one_list():
    lines = context.imports(["import os, re\nfrom b import x as y", "from b import a"], {"a", "y"})
    assert lines == ["from b import a, x as y"]
    with pytest.raises(ValueError, match=r"`a` is b\.a in one chapter and c\.a in another"):
        context.imports(["from b import a", "from c import a"], {"a"})


# --- the set -------------------------------------------------------------------------------------


def test_students_get_neither_solutions_nor_checks_nor_the_seed(tmp_path):
    teacher, handed_out, out = made(tmp_path, seed=471_147)
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()) == [
        "student/midterm.ipynb",
        "teacher/checks/midterm.py",
        "teacher/midterm.ipynb",
    ]
    whole = (out / "student" / "midterm.ipynb").read_text(encoding="utf-8")
    for secret in ("Solution", "load_checks", "check(", "471147", "for-teachers", "Hint", *MIDTERM):
        assert secret not in whole, secret
    lines = set()
    for cell in answers.exercise_cells(teacher).values():
        lines |= set(cell.source.splitlines()) - set(
            answers.without_solution(cell.source).splitlines()
        )
    given = "\n".join(c.source for c in handed_out.cells if c.cell_type == "code")  # gaps to fill
    lines = {line.strip() for line in lines if len(line) > 15 and line.strip() not in given}
    print(f"{len(lines)} lines of solutions looked for")
    assert len(lines) > 15 and not [line for line in lines if line in text_of(handed_out)]
    assert list(answers.answer_cells(handed_out)) == [f"midterm.{i}" for i in (1, 2, 3, 4)]
    assert [cell.metadata.get("tags") for cell in answers.answer_cells(handed_out).values()] == [
        [answers.TAG]
    ] * 4
    assert "471147" in (out / "teacher" / "checks" / "midterm.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("seed", [11, 12])
def test_solved_it_passes_its_checks(tmp_path, seed):
    """Every exercise with numbers of its own, answered by the teacher's solution."""
    teacher, _, out = made(tmp_path, QUICK, seed)
    said = run(student.solved(teacher), out / "teacher")
    print("\n".join(f"{name}: {right}" for name, right in said.items()))
    assert len(said) == len(QUICK) > 10 and all(right.answered for right in said.values())


def test_solutions_of_the_book_come_along(tmp_path):
    names = ["resnet-architecture.4", "residual-blocks.4", "residual-blocks.1"]
    teacher, _, out = made(tmp_path, names)
    said = run(student.solved(teacher), out / "teacher")
    assert list(said) == ["midterm.1", "midterm.2", "midterm.3"]
    assert all(right.answered for right in said.values())


def test_wrong_answers_fail_and_the_books_answer_gets_its_own_hint(tmp_path):
    _, _, out = made(tmp_path, ["unet-architecture.2", "resnet-architecture.4"])
    assert load_checks(out / "teacher" / "checks") == ["midterm.1", "midterm.2"]
    book = 642  # UNetModel(in_features=3, out_features=4), as the book asks
    assert check("unet-architecture.2", book).answered
    with pytest.raises(Wrong) as caught:
        check("midterm.1", book)
    print(caught.value)
    assert caught.value.slip == "numbers-of-the-book"
    with pytest.raises(Wrong) as caught:
        check("midterm.1", 5)
    assert caught.value.slip != "numbers-of-the-book"
    with pytest.raises(Wrong):
        check("midterm.2", lambda layers: 7)
    assert not check("midterm.1", ...).answered


def test_a_hidden_test_of_ones_own(tmp_path):
    """The worked example in the file, switched on as the file says."""
    _, _, out = made(tmp_path, ["unet-architecture.2"])
    numbers = question("unet-architecture.2", seed=4711)
    right = (numbers["in_features"] - 1) * 32 * 9 + (numbers["out_features"] - 2) * 33
    file = out / "teacher" / "checks" / "midterm.py"
    load_checks(file.parent)
    assert check("midterm.1", float(right)).answered
    text = file.read_text(encoding="utf-8")
    assert '    # "midterm.1": [whole],' in text
    file.write_text(text.replace('# "midterm.1"', '"midterm.1"'), encoding="utf-8")
    load_checks(file.parent)
    assert check("midterm.1", right).answered
    with pytest.raises(Wrong, match=r"not 36\.0") as caught:
        check("midterm.1", float(right))
    assert caught.value.slip == "not-whole"


def test_other_seeds_ask_other_numbers_with_the_same_explanation(tmp_path):
    one, other = (made(tmp_path, ["unet-architecture.4"], seed)[0] for seed in (1, 2))
    texts = [answers.exercise_cells(notebook)["midterm.1"].source for notebook in (one, other)]
    sides = [re.search(r"all (\d+)×\1 pixels", text)[1] for text in texts]
    explained = [text.partition("The book explains it")[2] for text in texts]
    print(sides)
    assert sides[0] != sides[1] and explained[0] == explained[1] and len(explained[0]) > 100


def test_handed_out_it_runs_from_top_to_bottom(tmp_path):
    """In a kernel and a folder of its own, before anything is answered."""
    names = ["residual-blocks.3", "segmentation.3", "backbone-swap.4", "unet-architecture.1"]
    _, handed_out, out = made(tmp_path, names)
    ran = run_notebooks.execute(handed_out, out / "student" / "midterm.ipynb")
    said = [str(cell.outputs) for cell in answers.answer_cells(ran).values()]
    assert len(said) == 4 and all("No answer yet" in text for text in said)
    anew = next(cell.source for cell in ran.cells if cell.id == "used-from-backbone-swap")
    print(anew)
    assert "no longer mean" in anew


def test_hints_and_titles_are_the_teachers_choice(tmp_path):
    _, bare, _ = made(tmp_path, seed=1)
    _, helped, _ = made(tmp_path, seed=2, hints=True, title="Homework, first week")
    assert "<details>" not in text_of(bare) and text_of(bare).startswith("# Midterm\n")
    assert text_of(helped).count("<summary>Hint</summary>") == 4
    assert text_of(helped).startswith("# Homework, first week\n")
    numbers = re.findall(r"^### Exercise (\d+): ", text_of(bare), re.M)
    assert numbers == ["1", "2", "3", "4"]


def test_exercises_of_a_chapter_stay_together():
    names = ["residual-blocks.3", "unet-architecture.4", "residual-blocks.1"]
    found = [source.name for source in assignment.sources(names, "en")]
    assert found == ["residual-blocks.3", "residual-blocks.1", "unet-architecture.4"]


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"out": ROOT / "dist" / "midterm"}, "inside this repository, which is public"),
        ({"out": ROOT}, "inside this repository"),
        ({"out": "full"}, "there and not empty"),
        ({"name": "Mid term"}, "no name for an assignment"),
        ({"name": "residual-blocks"}, "is a chapter of the book"),
        ({"names": ["residual-blocks.77"]}, "no exercise 'residual-blocks.77'"),
        ({"names": ["residual-blocks.3", "residual-blocks.3"]}, "named twice"),
        ({"names": []}, "Name the exercises"),
        ({"seed": 0}, "0 is the book itself"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(tmp_path, changes, says):
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    given = {"name": "midterm", "names": MIDTERM, "out": tmp_path / "new", "seed": 5} | changes
    given["out"] = full if given["out"] == "full" else given["out"]
    with pytest.raises(ValueError, match=says) as caught:
        assignment.new(**given)
    print(caught.value)
    assert not (tmp_path / "new").exists() and not (ROOT / "dist" / "midterm").exists()
    assert [path.name for path in full.iterdir()] == ["thesis.txt"]


def test_the_command(tmp_path, capsys):
    out = tmp_path / "set"
    command = ["new", "midterm", "--out", str(out), "--from", *MIDTERM[:2]]
    assert assignment.main(command) == 0
    said = capsys.readouterr().out
    print(said)
    assert "midterm.1  residual-blocks.3  wide = " in said
    assert "midterm.2  resnet-architecture.4  the same for everyone" in said
    seed = int(re.search(r"\(seed (\d+)\)", said)[1])
    assert f"SEED = {seed} " in (out / "teacher" / "checks" / "midterm.py").read_text()
    assert assignment.main(command) == 1
    assert "not empty" in capsys.readouterr().err
