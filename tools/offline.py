"""Pack the whole book into one file for a room without a network.

    python tools/offline.py [--output FILE]

Takes the built site with both editions, the notebooks, the package with its data and weights, and
the licences. `start-here.html` in it opens by a double click; `README.txt` says how to run the
notebooks. The same content gives the same bytes: files are sorted and carry no dates.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tqdm.auto import tqdm

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "_build" / "html"
LARGEST = 40_000_000  # bytes; what fits into a mail or an old stick
PARTS = ("book/en", "book/zh", "src")
FILES = (
    "LICENSE",
    "LICENSE-text",
    "CITATION.cff",
    "README.md",
    "README.zh.md",
    "pyproject.toml",
    "requirements.txt",
)
NO_DATE = (1980, 1, 1, 0, 0, 0)

START = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Backbones · 骨干网络</title>
<style>
  body {{ font: 1.2rem/1.6 system-ui, sans-serif; max-width: 34rem; margin: 15vh auto; }}
  body {{ padding: 0 1rem; color-scheme: light dark; }}
  a {{ color: #2f6db3; }}
  @media (prefers-color-scheme: dark) {{
    body {{ background: #15191e; color: #e8eaed; }}
    a {{ color: #8ab8ee; }}
  }}
</style>
<main>
<h1>Backbones <span lang="zh-CN">· 骨干网络</span></h1>
<p><a href="site/index.html">Read the book in English</a></p>
<p lang="zh-CN"><a href="site/zh/index.html">阅读中文版</a></p>
<p><small>Version {version}. To run the notebooks, see README.txt.
<span lang="zh-CN">要运行 notebook，请看 README.txt。</span></small></p>
</main>
</html>
"""

README = """Backbones: ResNet and U-Net from the inside out, version {version}
骨干网络：由内而外看懂 ResNet 与 U-Net，版本 {version}

READ      Open start-here.html in a browser. Nothing is installed and no network is needed;
          every figure runs in the page.
阅读      用浏览器打开 start-here.html。不用安装，不用联网，每幅图都在页面里运行。

RUN       The notebooks are in book/en and book/zh. Their first cell finds the code in src.
          1. Where PyTorch, matplotlib, ipywidgets and anywidget are there already:
                 python -m pip install --no-deps torchinfo     (only if it is missing)
                 jupyter lab book/en
          2. In a room without a network: on a machine with one, and with the same system and
             the same Python (3.11 to 3.13), fill a folder with the packages once,
                 python -m pip download -r requirements.txt -d wheels
             and copy it beside this file. Then, on every machine of the room,
                 python -m venv room
                 room/bin/python -m pip install --no-index --find-links wheels -r requirements.txt
                 room/bin/jupyter lab book/en
             (on Windows room\\Scripts\\ stands for room/bin/)
运行      notebook 在 book/en 和 book/zh 里，第一个单元格会在 src 里找到代码。
          1. 已经装好 PyTorch、matplotlib、ipywidgets 和 anywidget：
                 python -m pip install --no-deps torchinfo     （没有时才需要）
                 jupyter lab book/zh
          2. 教室里没有网络：在一台能联网、系统和 Python 版本（3.11 到 3.13）都相同的机器上，
             先把各个包下载到一个文件夹，
                 python -m pip download -r requirements.txt -d wheels
             拷到本文件旁边。然后在教室的每台机器上：
                 python -m venv room
                 room/bin/python -m pip install --no-index --find-links wheels -r requirements.txt
                 room/bin/jupyter lab book/zh
             （Windows 上把 room/bin/ 换成 room\\Scripts\\）

Code MIT (LICENSE), text CC BY 4.0 (LICENSE-text), data as their datasheets in src say.
代码 MIT，文字 CC BY 4.0，数据按 src 中各自的说明。
"""


def version() -> str:
    """Return the version of the book."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]


def sources() -> Iterator[tuple[str, Path]]:
    """Yield (name in the pack, file) of everything that is not the site."""
    for name in FILES:
        yield name, ROOT / name
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *PARTS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode == 0 and (ROOT / ".git").exists():
        names = [name for name in done.stdout.decode("utf-8").split("\0") if name]
    else:  # an archive without git
        found = [path for part in PARTS for path in (ROOT / part).rglob("*") if path.is_file()]
        names = [path.relative_to(ROOT).as_posix() for path in found]
    for name in names:
        if "__pycache__" not in name and ".egg-info" not in name and (ROOT / name).is_file():
            yield name, ROOT / name


def pack(site: Path, output: Path) -> int:
    """Write the pack.

    Args:
        site: the folder of the built site.
        output: the file to write; it appears whole or not at all.

    Returns:
        Its size in bytes.

    Raises:
        FileNotFoundError: the site, or one of its editions, is not built.
        ValueError: the pack would be larger than `LARGEST`.
    """
    for start in (site / "index.html", site / "zh" / "index.html"):
        if not start.is_file():
            raise FileNotFoundError(f"There is no {start}. Build the site first: make book")
    top = f"backbones-{version()}"
    files = dict(sources()) | {
        f"site/{path.relative_to(site).as_posix()}": path
        for path in site.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
    words = {"start-here.html": START, "README.txt": README}
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f".{output.name}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
            for name in tqdm(sorted([*files, *words]), desc="packing", unit="file"):
                data = (
                    words[name].format(version=version()).encode("utf-8")
                    if name in words
                    else files[name].read_bytes()
                )
                entry = zipfile.ZipInfo(f"{top}/{name}", NO_DATE)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                target.writestr(entry, data)
        size = part.stat().st_size
        if size > LARGEST:
            raise ValueError(
                f"The pack has {size / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f} MB. "
                "Look for large files with: unzip -lv, sorted by size."
            )
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    return size


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, help="default: dist/backbones-VERSION.zip")
    output = parser.parse_args(arguments).output or ROOT / "dist" / f"backbones-{version()}.zip"
    try:
        size = pack(SITE, output.resolve())
    except (OSError, ValueError) as error:
        print(f"offline.py: {error}", file=sys.stderr)
        return 1
    print(f"{output}: {size / 1e6:.1f} MB. Unpack it and open start-here.html.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
