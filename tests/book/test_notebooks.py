"""The rules of the house, checked on every notebook of the English edition."""

import re
import statistics
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
BOOK = ROOT / "book" / "en"
sys.path.insert(0, str(ROOT / "tools"))

from cells import LANGUAGE_INFO, READABLE_ID, notebook_text, read_notebook  # noqa: E402
from run_notebooks import IMAGE_TYPES, MIN_ALT, code_hash  # noqa: E402
from setup_cell import CELL_ID, TAGS, setup_source  # noqa: E402

NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))
# Pages of the book that teach no chapter of their own.
NOT_CHAPTERS = {"index", "glossary", "references", "about-the-source", "teaching"}
CHAPTERS = [path for path in NOTEBOOKS if path.stem not in NOT_CHAPTERS]

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
every_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)

FENCE = re.compile(
    r"^(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)\n(?P<code>.*?)^(?P=fence)\s*$", re.M | re.S
)
DETAILS = re.compile(
    r"^<details><summary>(?P<summary>[^<]+)</summary>\n\n(?P<body>.*?)\n\n</details>$", re.M | re.S
)
# In the museum an exhibit is the story of an exercise, and its repair the exercise itself.
EXERCISE = re.compile(r"^(?:### Exercise (?=\d+: \S)|#### Repair )(\d+)(?:: .*)?$", re.M)
EXHIBIT = re.compile(r"^### Exhibit (\d+): \S.*$", re.M)
EFFORT = re.compile(r"\b(Easy|Medium|Hard) · \d+ minutes?\b")


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def markdown_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"]


def prose(source: str) -> str:
    """Markdown without its code, fenced or inline, and without its formulas."""
    text = re.sub(r"(`+).+?\1", "`", FENCE.sub("", source), flags=re.S)
    return re.sub(r"\$\$.+?\$\$|\$[^$\n]+\$", "$", text, flags=re.S)


def exercises(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in markdown_cells(notebook) if EXERCISE.search(cell.source)]


def solutions(notebook: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """(id of the exercise's cell, Python code) of every solution that has code."""
    found = []
    for cell in exercises(notebook):
        for details in DETAILS.finditer(cell.source):
            if details["summary"].startswith("Solution"):
                blocks = [
                    f["code"] for f in FENCE.finditer(details["body"]) if f["info"] == "python"
                ]
                if blocks:
                    found.append((cell.id, "\n".join(blocks)))
    return found


# --- the set of notebooks ------------------------------------------------------------------------


def test_table_of_contents_and_folder_agree() -> None:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = [toc["root"]]
    for part in toc["parts"]:
        listed += [chapter["file"] for chapter in part["chapters"]]
    missing = [n for n in listed if not any((ROOT / f"{n}{s}").exists() for s in (".ipynb", ".md"))]
    print(f"{len(listed)} pages listed, {len(NOTEBOOKS)} notebooks found")
    assert not missing, f"_toc.yml lists pages that do not exist: {missing}"
    unlisted = [path.stem for path in NOTEBOOKS if f"book/en/{path.stem}" not in listed]
    assert not unlisted, f"notebooks that no reader will find, not in _toc.yml: {unlisted}"
    listed_chapters = {Path(n).name for n in listed} - NOT_CHAPTERS
    assert listed_chapters == {path.stem for path in CHAPTERS}


# --- how a notebook is stored --------------------------------------------------------------------


@every_notebook
def test_written_by_the_house_tools(path: Path) -> None:
    notebook = read_notebook(path)
    assert path.read_text(encoding="utf-8") == notebook_text(notebook), (
        f"{path.name} is not formatted as the tools write it: run tools/run_notebooks.py on it"
    )
    assert dict(notebook.metadata.language_info) == LANGUAGE_INFO
    assert set(notebook.metadata) <= {"kernelspec", "language_info", "backbone", "widgets"}
    size = path.stat().st_size / 1e6
    print(f"{size:.2f} MB")
    assert size <= 1.5


@every_notebook
def test_setup_cell(path: Path) -> None:
    first = code_cells(read_notebook(path))[0]
    assert first.id == CELL_ID and first.metadata.get("tags") == TAGS
    assert first.source == setup_source(), "run tools/setup_cell.py --write"
    assert first.outputs == []


@every_notebook
def test_cell_ids_are_readable_and_unique(path: Path) -> None:
    ids = [cell.id for cell in read_notebook(path).cells]
    assert len(set(ids)) == len(ids)
    bad = [i for i in ids if not READABLE_ID.fullmatch(i) or re.fullmatch(r"[0-9a-f]{8,}", i)]
    assert not bad, f"ids that tell nobody anything: {bad}"
    assert not [i for i in ids if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", i)]


# --- outputs -------------------------------------------------------------------------------------


@every_notebook
def test_outputs_are_stored_and_belong_to_this_code(path: Path) -> None:
    notebook = read_notebook(path)
    counts = [cell.execution_count for cell in code_cells(notebook) if cell.source.strip()]
    assert counts == list(range(1, len(counts) + 1)), "not executed in order: make notebooks"
    stamp = notebook.metadata.get("backbone", {})
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", stamp.get("ran", "")), "no stamp: make notebooks"
    assert stamp["code"] == code_hash(notebook), "the code changed since its run: make notebooks"
    for cell in code_cells(notebook):
        for output in cell.outputs:
            where = f"{path.name}, cell {cell.id!r}"
            assert output.output_type != "error", f"{where} stored an error"
            assert output.get("name") != "stderr", f"{where} stored a warning: {output.text[:200]}"


@every_notebook
def test_every_image_has_alt_text(path: Path) -> None:
    for cell in code_cells(read_notebook(path)):
        kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
        if kinds & set(IMAGE_TYPES):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "").strip()
            assert len(alt) >= MIN_ALT and " " in alt, f"{cell.id}: alt text {alt!r}"
            assert not re.search(r"\.(png|svg|jpe?g|gif|webp)$", alt), f"{cell.id}: {alt!r}"


@every_notebook
def test_nothing_of_this_machine(path: Path) -> None:
    texts = []
    for cell in read_notebook(path).cells:
        texts.append((cell.id, cell.source))
        for output in cell.get("outputs", []):
            data = {k: v for k, v in output.get("data", {}).items() if not k.startswith("image/p")}
            texts.append((cell.id, f"{output.get('text', '')}{data}"))
    absolute = re.compile(r"(?<![\w.:/<~-])/(?:home|Users|root|work|tmp|usr|opt|mnt|var)/")
    for cell_id, text in texts:
        found = absolute.search(text) or re.search(re.escape(str(ROOT)), text)
        assert not found, (
            f"cell {cell_id!r}: {text[max(0, found.start() - 30) : found.end() + 40]!r}"
        )
        volatile = re.search(r"\bat 0x[0-9a-f]+", text)
        assert not volatile, f"cell {cell_id!r} stores a memory address"


@every_notebook
def test_every_exception_from_nbval_says_why(path: Path) -> None:
    for cell in code_cells(read_notebook(path)):
        tags = [tag for tag in cell.metadata.get("tags", []) if tag.startswith("nbval-")]
        assert not tags or len(cell.metadata.get("nbval-why", "")) >= MIN_ALT, (
            f'cell {cell.id!r} is tagged {tags} without a reason in the metadata "nbval-why"'
        )
        assert "NBVAL_" not in cell.source, f"{cell.id}: use a tag and give a reason, no comment"


# --- prose and rhythm ----------------------------------------------------------------------------

NOT_PORTABLE = {
    "MyST directive": re.compile(r"^\s*(:{3,}|`{3,}\{|~{3,}\{)", re.M),
    "MyST role": re.compile(r"(?<!`)\{[a-z][\w:-]*\}`"),
    "MyST target": re.compile(r"^\([\w-]+\)=\s*$", re.M),
    "MyST comment or block break": re.compile(r"^(%|\+\+\+)(\s|$)", re.M),
    "attachment": re.compile(r"attachment:"),
}
NOT_PORTABLE_IN_PROSE = {
    "image (draw it in a code cell, so that it is computed)": re.compile(r"!\[|<img\b"),
    "math in \\( \\) or \\[ \\] (use $ or $$)": re.compile(r"(?<!\\)\\[(\[]"),
}


@every_notebook
def test_markdown_is_portable(path: Path) -> None:
    for cell in markdown_cells(read_notebook(path)):
        for what, pattern in NOT_PORTABLE.items():
            assert not pattern.search(cell.source), f"cell {cell.id!r} has a {what}"
        for what, pattern in NOT_PORTABLE_IN_PROSE.items():
            assert not pattern.search(prose(cell.source)), f"cell {cell.id!r} has an {what}"


@every_notebook
def test_links_are_of_the_one_portable_form(path: Path) -> None:
    """Web addresses, anchors on this page, or a page beside this one by its file name."""
    for cell in markdown_cells(read_notebook(path)):
        for target in re.findall(r"\]\(([^)\s]+)[^)]*\)", prose(cell.source)):
            if target.startswith(("https://", "#")):
                continue
            file = target.split("#")[0]
            assert re.fullmatch(r"[\w-]+\.(ipynb|md)", file), f"cell {cell.id!r} links to {target}"
            assert (path.parent / file).exists(), f"cell {cell.id!r}: there is no {file}"


@every_notebook
def test_code_cells_are_short(path: Path) -> None:
    cells = [cell for cell in code_cells(read_notebook(path)) if cell.id != CELL_ID]
    if not cells:
        return  # a page of prose has no rhythm of code
    lengths = {cell.id: len(cell.source.splitlines()) for cell in cells}
    long = [cell_id for cell_id, length in lengths.items() if length > 20]
    median = statistics.median(lengths.values())
    print(f"{len(lengths)} cells, median {median}, {len(long)} over 20 lines: {long}")
    assert median <= 6
    assert len(long) <= 0.1 * len(lengths)
    magic = [cell.id for cell in cells if re.search(r"^\s*[%!]", cell.source, re.M)]
    assert not magic, f"magics and shell commands, which are no Python: {magic}"


@every_chapter
def test_chapter_has_its_shape(path: Path) -> None:
    cells = markdown_cells(read_notebook(path))
    assert re.match(r"# \S", cells[0].source), "a chapter opens with its title"
    opening = "\n".join(c.source for c in cells[:3] if not EXERCISE.search(c.source))
    assert "You will be able to" in opening
    assert re.search(r"\bminutes\b", opening), "say how many minutes the chapter takes"
    text = "\n\n".join(FENCE.sub("", cell.source) for cell in cells)
    headings = re.findall(r"^(#{1,2}) (.+)$", text, re.M)
    assert [level for level, _ in headings].count("#") == 1
    titles = [title for _, title in headings]
    assert titles[-1] == "Key points"
    assert titles[-2] == "Exercises" or EXHIBIT.search(text)


@every_chapter
def test_exercises_are_complete(path: Path) -> None:
    notebook = read_notebook(path)
    cells = exercises(notebook)
    numbers = [int(n) for cell in cells for n in EXERCISE.findall(cell.source)]
    print(f"{len(numbers)} exercises, {len(solutions(notebook))} solutions with code")
    assert len(numbers) >= 5
    assert numbers == list(range(1, len(cells) + 1)), "one cell each, numbered from 1"
    exhibits = [cell for cell in markdown_cells(notebook) if EXHIBIT.search(cell.source)]
    if exhibits:
        assert [int(EXHIBIT.search(c.source)[1]) for c in exhibits] == numbers
    for cell in exhibits or cells:
        assert EFFORT.search(cell.source), f"{cell.id}: no '*Easy · 5 minutes.*'"
    for cell in cells:
        summaries = [found["summary"] for found in DETAILS.finditer(cell.source)]
        assert any(s.startswith("Hint") for s in summaries), f"{cell.id}: no hint in <details>"
        assert any(s.startswith("Solution") for s in summaries), f"{cell.id}: no solution"
        assert len(summaries) == cell.source.count("<details"), (
            f"{cell.id}: write <details><summary>Hint</summary>, an empty line, the text, "
            "an empty line, </details>; otherwise some readers show raw Markdown"
        )
    assert len(solutions(notebook)) >= 3
    for cell_id, code in solutions(notebook):
        assert re.search(r"^\s*assert ", code, re.M), f"{cell_id}: its solution proves nothing"


@every_chapter
def test_code_is_that_of_the_oldest_python(path: Path) -> None:
    """Cells and solutions parse in Python 3.10, although the book is built with a newer one."""
    notebook = read_notebook(path)
    codes = [cell.source for cell in code_cells(notebook)]
    codes += [code for _, code in solutions(notebook)]
    command = ["ruff", "check", "--isolated", "--target-version=py310", "--select=E9", "-"]
    done = subprocess.run(
        [sys.executable, "-m", *command], input="\n\n".join(codes), text=True, capture_output=True
    )
    assert done.returncode == 0, done.stdout
    print(f"{len(codes)} pieces of code")


def test_the_teachers_minutes_are_the_chapters_own() -> None:
    """The table of the teaching page says what each chapter says of itself."""
    page = "\n".join(c.source for c in markdown_cells(read_notebook(BOOK / "teaching.ipynb")))
    rows = re.findall(
        r"^\| \[[^]]+\]\(([\w-]+)\.ipynb\) \| ([\w ]+) \| (\d+) \| (\d+) \|$", page, re.M
    )
    said = {
        chapter: (reading, int(count), int(minutes)) for chapter, reading, count, minutes in rows
    }
    assert set(said) == {path.stem for path in CHAPTERS} | {"about-the-source"}
    for chapter, (reading, count, minutes) in said.items():
        cells = markdown_cells(read_notebook(BOOK / f"{chapter}.ipynb"))
        text = "\n".join(cell.source for cell in cells)
        each = [int(m) for m in re.findall(r"(?:Easy|Medium|Hard) · (\d+)", text)]
        about = re.search(r"About (\d+)", text)[1]
        assert (count, minutes) == (len(each), sum(each)), chapter
        assert reading == about or "exercises" in reading, chapter
    print(f"{sum(m for _, _, m in said.values())} minutes of exercises")
