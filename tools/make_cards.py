"""Draw the cards that other sites show beside a link to the book, one for each language.

    python tools/make_cards.py         writes book/assets/card-en.png, book/assets/card-zh.png

The drawings are of the live models, as in the book; a browser sets them beside the titles.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import yaml
from PIL import Image

from backbone.anatomy import draw_block
from backbone.anatomy.style import INK, MAIN, PAPER, SKIP
from backbone.resnet import BasicBlock
from browser import open_browser

ROOT = Path(__file__).resolve().parent.parent
SIZE = (1200, 630)  # what the sites that show cards ask for
COLOURS = 64
LINES = {"en": "A book that runs: let information skip", "zh": "能运行的书：让信息跳过去"}
CONFIGS = {"en": "_config.yml", "zh": "book/zh/_config.yml"}
STYLE = f"""
  body {{ margin: 0; width: 1200px; height: 630px; display: flex; background: {PAPER};
         color: {INK}; font-family: "DejaVu Sans", "Noto Sans CJK SC", sans-serif; }}
  main {{ flex: 1; padding: 60px 0 60px 70px; display: flex; flex-direction: column;
         justify-content: center; border-left: 22px solid {SKIP}; }}
  h1 {{ font-size: 78px; line-height: 1.15; margin: 0 0 24px; color: {MAIN}; }}
  h2 {{ font-size: 40px; line-height: 1.35; font-weight: normal; margin: 0 0 44px; }}
  p {{ font-size: 29px; margin: 0; border-top: 6px solid {SKIP}; padding-top: 24px; }}
  aside {{ width: 460px; padding: 30px; display: flex; align-items: center; }}
  svg {{ width: 100%; height: 570px; }}
"""


def page(language: str) -> str:
    """Return a card as HTML."""
    config = yaml.safe_load((ROOT / CONFIGS[language]).read_text("utf-8"))
    title, subtitle = re.split(r"[:：]\s*", config["title"], maxsplit=1)
    drawing = draw_block(BasicBlock(64, 64), (1, 64, 56, 56)).svg()
    svg = drawing[drawing.index("<svg") :]
    return (
        f'<!DOCTYPE html><html lang="{language}"><meta charset="utf-8"><style>{STYLE}</style>'
        f"<main><h1>{title}</h1><h2>{subtitle}</h2><p>{LINES[language]}</p></main>"
        f"<aside>{svg}</aside></html>"
    )


def main() -> None:
    """Write both cards."""
    with open_browser() as browser:
        tab = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        for language in CONFIGS:
            tab.set_content(page(language))
            picture = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
            path = ROOT / "book" / "assets" / f"card-{language}.png"
            picture.quantize(COLOURS).save(path, optimize=True)
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
