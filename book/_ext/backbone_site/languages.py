"""Lead every page to its twin in the other language, from the header."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

TEMPLATES = Path(__file__).parent / "templates"
TERMS = Path(__file__).parents[2] / "terms.json"
# Language of a page → of its twin: the language's code, its own name, the way to its root.
TWINS = {"en": ("zh-CN", "中文", "zh/"), "zh": ("en", "English", "../")}

# What the theme says in English, or in traditional characters, on a Chinese page.
IN_CHINESE = {
    "Launch interactive content": "打开可运行的版本",
    "Launch on Binder": "在 Binder 中打开",
    "Launch on Colab": "在 Colab 中打开",
    "Binder logo": "Binder 标志",
    "Colab logo": "Colab 标志",
    "Toggle primary sidebar": "显示或隐藏目录",
    "Toggle secondary sidebar": "显示或隐藏本页目录",
    "Color mode": "颜色模式",
    "Toggle hidden content": "显示或隐藏",
    "System Settings": "跟随系统",
    "Skip to main content": "跳到正文",
    "Main": "全书",
    "Page": "本页",
    "列印成 PDF": "打印为 PDF",
}


def teach_words(app: Sphinx, config: Config) -> None:
    """Let the Chinese search know the book's terms, which are words of no dictionary."""
    if not str(config.language).startswith("zh"):
        return
    terms = json.loads(TERMS.read_text("utf-8"))["terms"]
    words = {
        word
        for term in terms
        for word in re.findall(r"[\u4e00-\u9fff]{2,}", term["zh"])
    }
    with tempfile.NamedTemporaryFile(
        "w", suffix=".txt", encoding="utf-8", delete=False
    ) as file:
        file.write("".join(f"{word} 100000 n\n" for word in sorted(words)))
    config.html_search_options = {"dict": file.name}
    app.connect("build-finished", lambda *_: Path(file.name).unlink(missing_ok=True))


def add_switch(app: Sphinx, config: Config) -> None:
    """Put the switch into the page header, left of the other buttons."""
    config.templates_path.append(str(TEMPLATES))
    config.html_theme_options.setdefault(
        "article_header_end", ["language-switch.html", "article-header-buttons.html"]
    )


def twin_of(language: str, page: str) -> dict[str, str]:
    """Return language, name and address of a page's twin, the address relative to the page."""
    code, label, root = TWINS[language[:2]]
    return {
        "lang": code,
        "label": label,
        "href": f"{'../' * page.count('/')}{root}{page}.html",
    }


def add_twin(
    app: Sphinx,
    page: str,
    template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    """Name the twin of one page, if both editions are built together and it has one."""
    if not app.config.backbone_both_editions or (doctree is None and page != "search"):
        return
    context["twin"] = twin_of(app.config.language or "en", page)


def translate_theme(app: Sphinx, error: Exception | None) -> None:
    """Say in Chinese what the theme's own translation leaves out: labels, not the prose."""
    if (
        error
        or app.builder.format != "html"
        or not str(app.config.language).startswith("zh")
    ):
        return
    old = "|".join(re.escape(text) for text in IN_CHINESE)
    attribute = re.compile(rf'(?<==")(?:{old})(?=")')
    words = re.compile(rf"(?<=>)(?P<gap>\s*)(?:{old})(?=\s*<)")
    for page in Path(app.outdir).glob("*.html"):
        text = attribute.sub(
            lambda match: IN_CHINESE[match[0]], page.read_text("utf-8")
        )
        start, end = text.find("<article"), text.find("</article>")
        parts = [text] if start < 0 else [text[:start], text[start:end], text[end:]]
        for i in range(
            0, len(parts), 2
        ):  # the words of the article itself stay as they are
            parts[i] = words.sub(_said_in_chinese, parts[i])
        page.write_text("".join(parts), "utf-8")


def _said_in_chinese(label: re.Match[str]) -> str:
    return label["gap"] + IN_CHINESE[label[0].strip()]


def setup(app: Sphinx) -> None:
    """Register the switch; it stays away where one edition is built alone."""
    app.add_config_value("backbone_both_editions", False, "html", bool)
    app.connect("config-inited", add_switch)
    app.connect("config-inited", teach_words)
    app.connect("html-page-context", add_twin)
    app.connect("build-finished", translate_theme)
