"""Prepare a drawing for life inside the page: unique ids, themed colours, a name.

Pure functions on SVG text; no Sphinx here.
"""

from __future__ import annotations

import ast
import colorsys
import re
from pathlib import Path
from xml.etree import ElementTree as ET

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
ET.register_namespace("", SVG)
ET.register_namespace("xlink", XLINK)

HEX = re.compile(r"#[0-9a-fA-F]{6}\b")
NAMED = {"black": "#000000", "white": "#ffffff"}
PAINT = ("fill", "stroke", "stop-color", "color")
LENGTH = re.compile(r"([\d.]+)(pt|px|)$")

# Below this share of its natural width the lettering of a drawing gets too small to read,
# so a phone scrolls the drawing instead.
LEGIBLE = 0.75


def palette(style_file: Path) -> dict[str, str]:
    """Map `#rrggbb` → CSS variable for the colour constants in a Python file.

    Reads the source instead of importing it, so that building the site needs neither torch
    nor matplotlib.
    """
    found = {}
    for node in ast.parse(style_file.read_text("utf-8")).body:
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [getattr(node, "target", None)]
        )
        value = getattr(node, "value", None)
        if not isinstance(value, ast.Constant) or not isinstance(value.value, str):
            continue
        if HEX.fullmatch(value.value) and isinstance(targets[0], ast.Name):
            name = targets[0].id.lower().replace("_", "-")
            found.setdefault(value.value.lower(), f"--fig-{name}")
    return found


def dark_twin(colour: str) -> str:
    """Return the colour with its lightness turned round and its hue kept."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, light, saturation = colorsys.rgb_to_hls(red, green, blue)
    channels = colorsys.hls_to_rgb(hue, 0.13 + (1 - light) * 0.76, saturation * 0.8)
    return "#" + "".join(f"{round(c * 255):02x}" for c in channels)


def pixels(length: str | None, fallback: float) -> float:
    """Convert an SVG length to CSS pixels."""
    match = LENGTH.match(length or "")
    if not match:
        return fallback
    return float(match[1]) * (4 / 3 if match[2] == "pt" else 1)


def themed(value: str, variables: dict[str, str], others: dict[str, str]) -> str:
    """Replace every colour in `value` by a CSS variable with that colour as fallback."""

    def swap(match: re.Match[str]) -> str:
        colour = match[0].lower()
        name = variables.get(colour)
        if name is None:
            name = "--tint-" + colour[1:]
            others[name] = dark_twin(colour)
        return f"var({name}, {colour})"

    return HEX.sub(swap, NAMED.get(value, value))


def inline_svg(text: str, label: str, prefix: str, variables: dict[str, str]) -> str:
    """Return the drawing as an inline `<svg role="img">`.

    Every id gets `prefix`, colours become CSS variables that follow light and dark mode,
    titles (which browsers show as tooltips such as "node3") go, and `label` is what a
    screen reader says.

    Raises `xml.etree.ElementTree.ParseError` when `text` is not SVG.
    """
    root = ET.fromstring(re.sub(r"<!DOCTYPE[^>]*>", "", text))
    others: dict[str, str] = {}
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{{{SVG}}}title":
                parent.remove(child)
    for element in root.iter():
        if "id" in element.attrib:
            element.set("id", prefix + element.attrib["id"])
        for key, value in list(element.attrib.items()):
            if key in ("href", f"{{{XLINK}}}href") and value.startswith("#"):
                element.set(key, "#" + prefix + value[1:])
            elif "url(#" in value:
                element.set(key, value.replace("url(#", f"url(#{prefix}"))
        rules = []
        for key in PAINT:
            if key in element.attrib:
                new = themed(element.attrib[key], variables, others)
                if new != element.attrib[key]:
                    del element.attrib[key]
                    rules.append(f"{key}:{new}")
        if "style" in element.attrib:
            rules.append(themed(element.attrib["style"], variables, others))
        if rules:
            element.set("style", ";".join(rules))

    box = [float(x) for x in root.get("viewBox", "0 0 0 0").replace(",", " ").split()]
    width = pixels(root.attrib.pop("width", None), box[2])
    height = pixels(root.attrib.pop("height", None), box[3])
    root.set("width", f"{width:.0f}")
    root.set("height", f"{height:.0f}")
    root.set("id", prefix + "drawing")
    root.set("role", "img")
    root.set("aria-label", label)
    root.set("class", "drawing")
    root.set("style", f"min-width:{width * LEGIBLE:.0f}px")
    if others:
        rules = ";".join(f"{name}:{colour}" for name, colour in sorted(others.items()))
        style = ET.Element(f"{{{SVG}}}style")
        style.text = (
            f"@media screen{{html[data-theme=dark] #{prefix}drawing{{{rules}}}}}"
        )
        root.insert(0, style)
    return ET.tostring(root, encoding="unicode")
