"""The Chinese edition says what the English one says today, in Chinese, in the same places."""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from answers import checked  # noqa: E402
from build_book import strip_prefix  # noqa: E402
from cells import notebook_text, read_notebook  # noqa: E402
from setup_cell import CELL_ID, setup_source  # noqa: E402
from translate import FENCE, HEADING, LINK, Edition, chinese_prose, slug  # noqa: E402

EDITION = Edition()
PARTS = list(EDITION.parts())
PAGES = [path.name for path in EDITION.pages]
TERMS = json.loads((ROOT / "book" / "terms.json").read_text("utf-8"))["terms"]

every_page = pytest.mark.parametrize("page", PAGES)
every_notebook = pytest.mark.parametrize("page", [p for p in PAGES if p.endswith(".ipynb")])

HAN = r"[\u4e00-\u9fff]"
CODE = re.compile(r"```.*?```|``.+?``|`[^`\n]+`|\$\$.+?\$\$|\$[^$\n]+\$", re.S)


def parts_of(page: str) -> list:
    return [part for part in PARTS if part.page == Path(page).stem]


def prose(text: str) -> str:
    """Chinese prose without code, formulas, comments, and the addresses of links."""
    text = re.sub(r"<!--.*?-->|</?\w[^>]*>", " ", CODE.sub("`…`", text), flags=re.S)
    return re.sub(r"\]\([^)]*\)", "]", text)


# --- the set of pages, and the settings ----------------------------------------------------------


def test_both_editions_have_the_same_pages() -> None:
    chinese = {p.name for p in EDITION.chinese.iterdir() if p.suffix in {".ipynb", ".md"}}
    assert chinese == set(PAGES)
    print(f"{len(PAGES)} pages in both editions")


def test_both_tables_of_contents_have_the_same_structure() -> None:
    tocs = [yaml.safe_load((f / "_toc.yml").read_text("utf-8")) for f in (ROOT, EDITION.chinese)]
    english, chinese = strip_prefix(tocs[0]), tocs[1]
    assert chinese["root"] == english["root"]
    for ours, theirs in zip(chinese["parts"], english["parts"], strict=True):
        assert ours["chapters"] == theirs["chapters"]
        named_after_a_network = theirs["caption"] in {"ResNet", "U-Net"}
        assert named_after_a_network or re.search(HAN, ours["caption"])


def test_settings_differ_in_words_and_paths_only() -> None:
    files = (ROOT / "_config.yml", EDITION.chinese / "_config.yml")
    english, chinese = (flat(yaml.safe_load(f.read_text("utf-8"))) for f in files)
    assert set(english) | {"repository.path_to_book"} == set(chinese)
    differ = {key for key in english if english[key] != chinese[key]}
    for key in sorted(differ):
        ours, theirs = str(chinese[key]), str(english[key])
        same_place = (files[1].parent / ours).resolve() == (ROOT / theirs).resolve()
        assert same_place or re.search(HAN, ours) or key.endswith(("language", "patterns")), key
    print(f"{len(differ)} of {len(english)} settings differ")


def flat(value: object, name: str = "") -> dict[str, object]:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return {name: value}
    found: dict[str, object] = {}
    for key, inner in value.items():
        found |= flat(inner, f"{name}.{key}".strip("."))
    return found


# --- fresh, and in the same places ---------------------------------------------------------------


@every_page
def test_nothing_is_stale(page: str) -> None:
    stale = [part.cell for part in parts_of(page) if not part.fresh]
    assert not stale, (
        f"{page}: {len(stale)} cells do not translate today's English: {stale}. "
        f"See tools/translate.py todo {Path(page).stem}"
    )
    print(f"{len(parts_of(page))} parts are fresh")


@every_notebook
def test_code_and_outputs_are_the_english_ones(page: str) -> None:
    english, chinese = (read_notebook(f / page) for f in (EDITION.english, EDITION.chinese))
    assert [c.id for c in chinese.cells] == [c.id for c in english.cells], "translate.py sync"
    for ours, theirs in zip(chinese.cells, english.cells, strict=True):
        assert ours.cell_type == theirs.cell_type
        if ours.id == CELL_ID:
            assert ours.source == setup_source(language="zh"), "translate.py sync"
        elif ours.cell_type == "code":
            assert ours.source == theirs.source, f"{ours.id}: translate.py sync"
            outputs = [] if checked(theirs.source) else theirs.outputs
            assert ours.outputs == outputs, f"{ours.id}: translate.py sync"
            assert ours.metadata.get("tags") == theirs.metadata.get("tags")
    text = (EDITION.chinese / page).read_text("utf-8")
    assert text == notebook_text(chinese)
    assert chinese.metadata == english.metadata


@every_page
def test_structure_is_the_same(page: str) -> None:
    """Headings and their levels, lists, tables, folds, formulas, code and links, cell by cell."""
    counted = {
        "heading": lambda t: [level for level, _ in HEADING.findall(FENCE.sub("", t))],
        "item": lambda t: len(re.findall(r"^\s*(?:[-*]|\d+\.) ", FENCE.sub("", t), re.M)),
        "row of a table": lambda t: [r.count("|") for r in re.findall(r"^\|.*", t, re.M)],
        "fold": lambda t: t.count("<details>") + 100 * t.count("</details>"),
        "display formula": lambda t: len(re.findall(r"\$\$.+?\$\$", t, re.S)),
        "code": FENCE.findall,
        "link": lambda t: sorted(re.findall(r"\]\(([^)#\s]*)", prose_links(t))),
        "quote": lambda t: bool(re.search(r"^> ", t, re.M)),
    }
    for part in parts_of(page):
        for what, count in counted.items():
            ours, theirs = count(part.chinese), count(part.english)
            assert ours == theirs, f"{part.cell}: {what} {ours} instead of {theirs}"


def prose_links(text: str) -> str:
    return CODE.sub("`…`", text)


@every_page
def test_anchors_exist(page: str) -> None:
    anchors = {
        path.name: {
            slug(title)
            for part in parts_of(path.name)
            for _, title in HEADING.findall(FENCE.sub("", part.chinese or part.english))
        }
        for path in EDITION.pages
    }
    for part in parts_of(page):
        for link in LINK.finditer(part.chinese):
            target = link["file"] or page
            assert link["anchor"] in anchors[target], f"{part.cell}: {link[0]}"


# --- the language --------------------------------------------------------------------------------

# Three English words in a row are prose, unless they are a title, a name or a citation.
ENGLISH = re.compile(r"(?:\b[A-Za-z][a-z']*\b[ ,]+){4,}\b[a-z]{2,}\b")
LINKED = re.compile(r"\[[^\]]*\]|\*[^*\n]+\*|《[^》]*》|“[^”]*”")


@every_page
def test_no_english_sentence_is_left(page: str) -> None:
    if page == "references.md":
        return  # titles and authors are English; the other tests read it
    for part in parts_of(page):
        text = LINKED.sub(" ", prose(part.chinese))
        found = ENGLISH.search(text)
        assert not found, f"{part.cell}: {found[0]!r}"


@every_page
def test_one_word_for_one_thing(page: str) -> None:
    for part in parts_of(page):
        text = prose(part.chinese)
        for term in TERMS:
            for word in term["avoid"]:
                assert word not in text, f"{part.cell}: {word}; the book says {term['zh']}"


@every_page
def test_punctuation_and_spaces(page: str) -> None:
    for part in parts_of(page):
        text = prose(part.chinese)
        for what, pattern in {
            "half-width punctuation": rf"{HAN}[,;!?](?!\d)|{HAN}:(?!//)|{HAN}\.(?![\w.])",
            "no space between 汉字 and Latin": rf"{HAN}[A-Za-z0-9]|[A-Za-z0-9]{HAN}",
            "no space between 汉字 and code": rf"{HAN}`|`{HAN}",
            "space before full-width punctuation": r"[^\s|>*-] +[，。；：？！）”、]",
        }.items():
            found = re.search(rf".{{0,12}}(?:{pattern}).{{0,12}}", text)
            assert not found, f"{part.cell}: {what}: {found[0]!r}"


@every_page
def test_emphasis_is_rendered(page: str) -> None:
    """`**词。**后` is not bold in CommonMark: the closing stars follow punctuation."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    for part in parts_of(page):
        text = re.sub(r"\$\$.+?\$\$|\$[^$\n]+\$", "", part.chinese, flags=re.S)
        for token in parser.parse(text):
            for child in token.children or []:
                assert child.type != "text" or "**" not in child.content, (
                    f"{part.cell}: {child.content!r} shows its stars"
                )


def test_the_glossary_and_the_terms_agree() -> None:
    glossary = (EDITION.english / "glossary.md").read_text("utf-8")
    known = {zh for term in TERMS for zh in re.split("[、；]", re.sub("（.*?）", "", term["zh"]))}
    both = sorted(zh for zh in known if zh in glossary)
    print(f"{len(both)} of {len(known)} terms stand in the glossary")
    assert len(both) >= 30
    for term in TERMS:
        assert not [word for word in term["avoid"] if word in glossary], term["en"]


def test_a_changed_cell_is_found(tmp_path: Path) -> None:
    """Change one word of English prose in a copy, and exactly that cell is stale."""
    import shutil

    folders = [tmp_path / "en", tmp_path / "zh"]
    for folder, source in zip(folders, (EDITION.english, EDITION.chinese), strict=True):
        shutil.copytree(source, folder)
    page = folders[0] / "degradation.ipynb"
    text = page.read_text("utf-8")
    page.write_text(text.replace("You will be able to", "You will learn to"), "utf-8")
    copy = Edition(*folders)
    before = {(p.page, p.cell) for p in PARTS if not p.fresh}
    stale = {(p.page, p.cell) for p in copy.parts() if not p.fresh} - before
    assert [page for page, _ in stale] == ["degradation"]
    copy.put(
        "".join(
            f"<!-- {page} {cell} -->\n# U-Net：架构\n\n你将学会这些。\n" for page, cell in stale
        )
    )
    assert {(p.page, p.cell) for p in copy.parts() if not p.fresh} == before
    assert len(chinese_prose(folders[1] / page.name)) == len(parts_of(page.name))
