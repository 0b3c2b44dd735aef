"""Scripts put together from small modules: each runs, and only the two forms are let in."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from backbone.anatomy.style import DIVERGING, SEQUENTIAL
from backbone.explorables import bundle, microscope_words, surgery_words
from backbone.explorables.bundle import JS, module_script, page_script, style, views


@pytest.fixture
def blank(browser):
    page = browser.new_page()
    page.goto("about:blank")
    yield page
    page.close()


IMPORTED = """async (text) => {
    const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    const module = await import(url);
    return typeof module.default.render;
}"""


@pytest.mark.parametrize("view", views())
def test_every_view_is_one_module(blank, view):
    script = module_script(view)
    print(f"{view}: {len(script.encode()) / 1e3:.1f} kB as a module")
    assert blank.evaluate(IMPORTED, script) == "function"
    left = re.findall(r"^(?:import|export) .*", script, re.MULTILINE)
    assert [line.split(" ")[1] for line in left] == ["default"]


@pytest.mark.parametrize("view", views())
def test_every_view_speaks_both_languages(blank, view):
    script = module_script(view).replace("export default", "globalThis.shown = ") + (
        f"globalThis.view = views_{bundle._identifier(view)}.{bundle._camel(view)};"
    )
    blank.add_script_tag(content=script)
    name, words = blank.evaluate("[view.name, view.words]")
    keys = {language: set(texts) for language, texts in words.items()}
    print(f"{view}: {len(keys['en'])} texts in {' and '.join(keys)}")
    assert name == view
    assert keys["en"] == keys["zh"] and len(keys["en"]) >= 1
    compare(words)


@pytest.mark.parametrize("words", [microscope_words.WORDS, surgery_words.WORDS])
def test_words_that_travel_with_the_data(words):
    print(f"{len(words['en'])} texts")
    assert words["en"].keys() == words["zh"].keys()
    compare(words)


def compare(words):
    """Every text says the same in both languages, as far as its blanks tell."""
    for key, english in words["en"].items():
        chinese = words["zh"][key]
        blanks = [set(re.findall(r"\{\w+\}", text)) for text in (english, chinese)]
        assert blanks[0] == blanks[1], f"{key}: {english} / {chinese}"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_page_carries_one_language(language):
    whole, own = page_script(views()), page_script(views(), language)
    other = {"en": "zh", "zh": "en"}[language]
    print(f"{language}: {len(own.encode())} of {len(whole.encode())} bytes")
    assert re.search(rf"^\s*{language}: \{{$", own, re.MULTILINE)
    assert not re.search(rf"^\s*{other}: \{{$", own, re.MULTILINE)
    if language == "en":
        assert not re.search(r"[\u4e00-\u9fff]", own)


def test_minified_scripts_are_the_same_program(blank):
    assert shutil.which("esbuild"), "install esbuild: it makes the scripts of the pages small"
    command = ["esbuild", "--minify", "--charset=utf8", "--target=es2021"]
    script = module_script("skip-surgery")
    done = subprocess.run(command, input=script, text=True, capture_output=True, check=True)
    print(f"{len(script.encode())} → {len(done.stdout.encode())} bytes")
    assert blank.evaluate(IMPORTED, done.stdout) == "function"


def test_documentation_is_left_out_and_strings_are_not():
    text = module_script("skip-surgery")
    assert "/**" not in text and "\n//" not in text
    assert "http://www.w3.org/2000/svg" in text  # a // inside a string


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """A folder of scripts in place of the real one; write files into it."""
    shutil.copytree(JS, tmp_path / "js")
    monkeypatch.setattr(bundle, "JS", tmp_path / "js")
    module_script.cache_clear()
    yield tmp_path / "js"
    module_script.cache_clear()


@pytest.mark.parametrize(
    "line",
    [
        'import thing from "./thing.js";',
        'import * as thing from "./thing.js";',
        "export default 1;",
        "export { a };",
        "export let a = 1;",
    ],
)
def test_other_forms_are_refused(scripts, line):
    (scripts / "views" / "bad.js").write_text(f"{line}\nexport const bad = 1;\n")
    with pytest.raises(
        ValueError, match=r"views/bad.js: .* is a form of import or export"
    ) as error:
        module_script("bad")
    print(error.value)


def test_circles_are_refused(scripts):
    (scripts / "views" / "bad.js").write_text('import { a } from "../a.js";\n')
    (scripts / "a.js").write_text('import { b } from "./b.js";\nexport const a = 1;\n')
    (scripts / "b.js").write_text('import { a } from "./a.js";\nexport const b = 1;\n')
    with pytest.raises(ValueError, match=r"a.js → b.js → a.js: .*circle"):
        module_script("bad")


def test_unknown_views_are_refused():
    with pytest.raises(ValueError, match=r"There is no view 'surgery'. Choose from .*skip-surgery"):
        page_script(["surgery"])


def test_colours_are_those_of_the_python_figures(blank):
    text = (JS / "parts" / "colour.js").read_text().replace("export ", "")
    blank.add_script_tag(content=text)
    worst = {}
    for name, colours in (("sequential", SEQUENTIAL), ("diverging", DIVERGING)):
        there = np.array(
            blank.evaluate(f"Array.from({{length: 256}}, (_, i) => colourOf('{name}', i / 255))")
        )
        here = np.array([colours(i / 255)[:3] for i in range(256)]) * 255
        worst[name] = float(np.abs(there - here).max())
    print("largest difference of 255 steps:", json.dumps(worst))
    assert max(worst.values()) <= 5


def test_class_names_stay_inside_the_figures():
    rules = re.findall(r"^([^@{}\n/*][^{}]*)\{", style(), re.MULTILINE)
    outside = [r for r in rules if ".explorable" not in r and "body" not in r]
    print(f"{len(rules)} rules")
    assert outside == []
