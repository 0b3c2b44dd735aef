"""Colours as people see them: with full, or with deficient colour vision."""

import re

import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

# Machado, Oliveira & Fernandes (2009), "A physiologically-based model for simulation of color
# vision deficiency", table 1, severity 1.0; for linear RGB.
DEFICIENCIES = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
SIGHTS = ("full", *DEFICIENCIES)


def rgb(colour):
    """'#e07b00' as three numbers from 0 to 1; what is no text is taken as it is."""
    if not isinstance(colour, str):
        return np.asarray(colour, float)[..., :3]
    digits = colour.removeprefix("#")
    digits = digits if len(digits) == 6 else "".join(2 * d for d in digits)
    return np.array([int(digits[i : i + 2], 16) for i in (0, 2, 4)]) / 255


def linear(colour):
    c = rgb(colour)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def seen(colour, sight):
    """The sRGB colour that looks to full colour vision as this one looks to `sight`."""
    if sight == "full":
        return rgb(colour)
    c = np.clip(linear(colour) @ np.array(DEFICIENCIES[sight]).T, 0, 1)
    return np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055)


def lab(colour, sight="full"):
    return rgb2lab(seen(colour, sight))


def difference(a, b, sight="full"):
    """CIEDE2000 between two colours, or rows of colours."""
    return deltaE_ciede2000(lab(a, sight), lab(b, sight))


def contrast(a, b):
    """WCAG's ratio of the luminances, from 1 to 21."""
    low, high = sorted(0.05 + float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b))
    return high / low


def mixed(a, share, b):
    """As `color-mix(in srgb, a share, b)`, or a laid over b with this opacity."""
    return share * rgb(a) + (1 - share) * rgb(b)


def variables(css, *selectors):
    """The colours `--name: #…` of the rules whose selector, or the last part of it, is given."""
    found = {}
    for head, body in re.findall(
        r"([^{}]+)\{([^{}]*)\}", re.sub(r"/\*.*?\*/", "", css, flags=re.S)
    ):
        if any(part.strip() in selectors for part in head.split(",")):
            found |= re.findall(r"(--[\w-]+):\s*(#[0-9a-f]{3,6})\b", body)
    return found
