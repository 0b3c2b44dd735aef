"""Files that a reader may open or paste: one that is fine, and many that are not."""

import io

from PIL import Image


def picture(width, height, mode="RGB", colour=200, kind="PNG"):
    data = io.BytesIO()
    Image.new(mode, (width, height), colour).save(data, kind)
    return data.getvalue()


BAD = {
    "notes.txt": (b"these are words", "text/plain", "is not a picture"),
    "fake.png": (b"these are words", "image/png", "is not a picture"),
    "empty.png": (b"", "image/png", "is empty"),
    "huge.png": (picture(10_000, 10_000, "1", 1), "image/png", "more than 40 million"),
    "dot.png": (picture(1, 1), "image/png", "At least 8×8"),
    "glass.png": (
        picture(64, 64, "RGBA", (255, 255, 255, 0)),
        "image/png",
        "transparent everywhere",
    ),
    "drawing.svg": (
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>document.title='hacked'</script></svg>",
        "image/svg+xml",
        "is an SVG",
    ),
}


def upload(page, name, data, kind="image/png"):
    """Choose a file in the figure's dialogue."""
    page.set_input_files("input[type=file]", {"name": name, "mimeType": kind, "buffer": data})


def refused(page):
    """Open every bad file; after each, its message has been seen, and the caller may look."""
    for name, (data, kind, words) in BAD.items():
        upload(page, name, data, kind)
        page.wait_for_selector(f".x-problem:has-text('{name}')")
        print(page.inner_text(".x-problem"))
        assert words in page.inner_text(".x-problem")
        yield name
    assert page.title() != "hacked"  # no script in a file has run


def paste(page, data):
    """Paste these bytes as a picture, or, for None, an empty clipboard."""
    page.evaluate(
        """bytes => {
            const data = new DataTransfer();
            const kind = { type: "image/png" };
            if (bytes) data.items.add(new File([new Uint8Array(bytes)], "pasted.png", kind));
            document.querySelector(".x-pad").dispatchEvent(
                new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
        }""",
        None if data is None else list(data),
    )
