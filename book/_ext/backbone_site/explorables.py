"""Interactive figures on the page: one small script, and networks in files of their own.

A notebook keeps the state of its figures without their script and without the weights of the
book's own networks (see tools/run_notebooks.py). Both are added here from their one source, the
package: a page gets one script with exactly the views it shows, and a network travels only when
its figure comes near.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from backbone.explorables.bundle import page_script, style, write_modules
from backbone.explorables.networks import trained_program

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = '<script type="application/vnd.jupyter.widget-view+json">'
NO_SCRIPT = {
    "en": "This figure is interactive and needs JavaScript. What it shows is also in the text, "
    "pictures and tables around it.",
    "zh": "这是一幅交互式图，需要 JavaScript。它所展示的内容，周围的文字、图片和表格里也有。",
}


def add_figures(
    app: Sphinx,
    page: str,
    template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    """Give one page the script, style and networks of its figures."""
    state = next(
        (
            s
            for s in context.get("script_files", [])
            if getattr(s, "attributes", {}).get("type") == STATE
        ),
        None,
    )
    if state is None:
        return
    saved = json.loads(state.attributes["body"])
    states = [record["state"] for record in saved["state"].values()]
    figures = [s for s in states if "explorable" in s]
    folder = Path(app.outdir, "_static", "explorables")
    for figure in figures:
        if figure.get("network"):
            figure["network_file"] = _write_network(
                folder / "networks", figure["network"]
            )
    if page == app.config.root_doc and figures and "network_file" in figures[0]:
        # The first screen of the book is a live figure: let its network come with the page.
        address = f"_static/explorables/networks/{figures[0]['network_file']}.js"
        hint = f'<link rel="preload" as="script" href="{address}">\n'
        context["metatags"] = context.get("metatags", "") + hint
    state.attributes["body"] = json.dumps(saved, separators=(",", ":")).replace(
        "</", "<\\/"
    )

    language = str(app.config.language)[:2]
    script = _page_script({f["explorable"] for f in figures}, language)
    look = _minified(style(), "css")
    app.add_js_file(_write(folder, script, "js"), defer="defer", priority=900)
    app.add_css_file(_write(folder, look, "css"), priority=900)
    note = f'<noscript><p class="no-script">{NO_SCRIPT[language]}</p></noscript>'
    context["body"] = context["body"].replace(VIEW, note + VIEW)


def _page_script(views: set[str], language: str) -> str:
    """Return the script of a page, bundled by esbuild; without it the page is a little heavier."""
    esbuild = shutil.which("esbuild")
    if esbuild is None:
        return page_script(views, language)
    with tempfile.TemporaryDirectory() as folder:
        entry = write_modules(Path(folder), views, language)
        command = [esbuild, "--bundle", "--minify", "--format=iife", "--charset=utf8"]
        command += ["--target=es2021", str(entry)]
        done = subprocess.run(command, text=True, capture_output=True, check=True)
    return done.stdout


def _minified(text: str, kind: str) -> str:
    """Shorten a script or a style sheet with esbuild; without it the page is a little heavier."""
    esbuild = shutil.which("esbuild")
    if esbuild is None:
        return text
    command = [
        esbuild,
        "--minify",
        "--charset=utf8",
        "--target=es2021",
        f"--loader={kind}",
    ]
    done = subprocess.run(
        command, input=text, text=True, capture_output=True, check=True
    )
    return done.stdout


def _write(folder: Path, text: str, ending: str) -> str:
    """Write a file named by its content; return its address below _static."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.{ending}"
    (folder / name).write_text(text, "utf-8")
    return f"explorables/{name}"


def _write_network(folder: Path, name: str) -> str:
    """Write a trained network as a script; return its file's name without the ending."""
    program = trained_program(name)
    parts = {
        "program": program.to_json(),
        "weights": base64.b64encode(program.weights).decode("ascii"),
    }
    text = f"(globalThis.backboneNetworks ??= {{}})[{json.dumps(name)}] = {json.dumps(parts)};\n"
    stem = f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.js").write_text(text, "utf-8")
    return stem


def setup(app: Sphinx) -> None:
    """Connect to the writing of pages, after MyST-NB has added the widgets' state."""
    app.connect("html-page-context", add_figures, priority=600)
