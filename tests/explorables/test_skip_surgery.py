"""Skip surgery in a real browser: every control, by mouse and by keyboard, against PyTorch."""

import json
from functools import cache

import pytest
import torch
import traitlets
from looks import NOTHING, complaints_in_both, english_words, pixel_sum, scrolls_sideways
from uploads import paste, picture, refused, upload

from backbone.anatomy import cut
from backbone.data import nuclei_split
from backbone.explorables import SkipSurgery
from backbone.resnet import ResNet18
from backbone.training import iou
from backbone.unet import UNetModel
from backbone.weights import load_trained

SKIPS = [f"encode_layer{i}" for i in (1, 2, 3, 4)]
OVERLAY = ".x-theatre > div:last-child canvas"
SCORE = '[data-value="score"]'


@cache
def network_and_pictures():
    return load_trained("unet-nuclei"), nuclei_split().test


def expected(tile, cuts):
    """What PyTorch scores on a held-out tile."""
    model, held_out = network_and_pictures()
    rows = slice(128 * tile, 128 * (tile + 1))
    with torch.no_grad(), cut(model, *cuts) if cuts else torch.no_grad():
        scores = model(held_out.image[None, :, rows])
    return float(iou(scores, held_out.mask[None, rows]))


def wait_for(page, said):
    """Wait until the figure says this."""
    page.wait_for_function(
        "text => document.querySelector('.x-said').textContent.startsWith(text)", arg=said
    )


def score(page):
    return float(page.inner_text(SCORE))


def switch(page, n):
    return page.get_by_role("switch", name=f"skip {n}", exact=True)


def test_every_cut_scores_what_pytorch_scores(figure_page):
    page, worst = figure_page(SkipSurgery()), 0
    for tile in range(4):
        page.get_by_role("button", name=f"Sample tile {tile + 1}", exact=True).click()
        for cuts in ([], [1], [2], [3], [4], [1, 2, 3, 4]):
            for n in (1, 2, 3, 4):
                switch(page, n).set_checked(n not in cuts)
            what = {0: "all skips", 4: "no skips"}.get(
                len(cuts), f"without skip {cuts and cuts[0]}:"
            )
            wait_for(page, what)
            there = expected(tile, [SKIPS[n - 1] for n in cuts])
            worst = max(worst, abs(score(page) - there))
            print(f"tile {tile + 1}, cut {cuts}: page {score(page):.2f}, PyTorch {there:.3f}")
    print(f"largest difference {worst:.3f}: one byte a weight, and two digits shown")
    assert worst <= 0.02


def test_the_mask_goes_and_comes_back(figure_page):
    page = figure_page(SkipSurgery(sample=2))
    whole, before = score(page), pixel_sum(page, OVERLAY)
    page.get_by_role("radio", name="no skips").click()
    wait_for(page, "no skips")
    assert score(page) < 0.1 < 0.8 < whole
    assert pixel_sum(page, OVERLAY) != before
    assert page.locator(".x-wire.x-cut").count() == 4
    page.get_by_role("radio", name="all skips").click()
    wait_for(page, "all skips")
    assert (score(page), pixel_sum(page, OVERLAY)) == (whole, before)
    print(f"IoU {whole} → below 0.1 → {score(page)}")


def test_by_keyboard_alone(figure_page):
    page = figure_page(SkipSurgery(sample=2))
    whole, seen = score(page), []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.parentElement.innerText"))
        if seen[-1] == "skip 1":
            break
    page.keyboard.press("Space")
    wait_for(page, "without skip 1:")
    print(f"skip 1 after {len(seen)} tabs; IoU {whole} → {score(page)}")
    assert score(page) < whole - 0.2
    page.keyboard.press("Space")
    wait_for(page, "all skips")
    assert score(page) == whole

    page.get_by_role("radio", name="no skips").focus()
    page.keyboard.press("Space")
    wait_for(page, "no skips")
    page.keyboard.press("ArrowLeft")
    wait_for(page, "all skips")

    page.get_by_role("button", name="Sample tile 4").focus()
    page.keyboard.press("Enter")
    page.wait_for_function(f"document.querySelector('{SCORE}').textContent !== '{whole:.2f}'")
    assert score(page) == pytest.approx(expected(3, []), abs=0.02)


def test_the_guess_is_judged_by_what_was_measured(figure_page):
    page = figure_page(SkipSurgery(sample=2))
    verdict = page.locator('[data-value="verdict"]')
    page.get_by_role("radio", name="4", exact=True).check()
    assert "4 to go" in verdict.inner_text()
    for n in (1, 2, 3, 4):
        switch(page, n).uncheck()
        wait_for(page, f"without skip {n}:")
        switch(page, n).check()
        wait_for(page, "all skips")
    measured = [float(page.inner_text(f'[data-cut="{n}"]')) for n in (1, 2, 3, 4)]
    worst = measured.index(min(measured)) + 1
    print(measured, verdict.inner_text())
    assert verdict.inner_text() == f"You said skip 4; here it is skip {worst}."
    page.get_by_role("radio", name=str(worst), exact=True).check()
    assert verdict.inner_text() == f"You said skip {worst}, and so it is."


def test_a_painted_nucleus_is_found(figure_page):
    page = figure_page(SkipSurgery(sample=2))
    page.get_by_text("Paint, or open a picture").click()
    assert "stays on this page" in page.inner_text(".x-more")
    page.get_by_role("button", name="Clear").click()
    wait_for(page, "all skips: 0.0 %")
    page.get_by_role("slider", name="Width").fill("20")
    box = page.locator(".x-pad").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 8, box["y"] + box["height"] / 2 + 4)
    page.mouse.up()
    page.wait_for_function("!document.querySelector('.x-said').textContent.includes(' 0.0 %')")
    print("mouse:", page.inner_text(".x-said"))
    share = float(page.inner_text(".x-said").split(": ")[1].split(" ")[0])
    assert 0.3 < share < 20
    assert "No truth is known" in page.inner_text(".explorable")

    # The keyboard paints, too: back to black, then a dab at the cursor.
    page.get_by_role("button", name="Clear").click()
    wait_for(page, "all skips: 0.0 %")
    page.locator(".x-pad").focus()
    for key in ("ArrowLeft", "ArrowUp", "Space"):
        page.keyboard.press(key)
    page.wait_for_function("!document.querySelector('.x-said').textContent.includes(' 0.0 %')")
    print("keyboard:", page.inner_text(".x-said"))
    page.get_by_role("combobox", name="Brush").select_option(label="dark")
    page.locator(".x-pad").focus()
    page.keyboard.press("Space")
    wait_for(page, "all skips: 0.0 %")
    page.get_by_role("button", name="As it was").click()
    wait_for(page, "all skips: IoU")
    assert score(page) == pytest.approx(expected(2, []), abs=0.02)


def test_bad_files_are_explained_and_the_figure_goes_on(figure_page):
    page = figure_page(SkipSurgery(sample=2))
    page.get_by_text("Paint, or open a picture").click()
    before = pixel_sum(page, ".x-pad")
    for name in refused(page):
        assert pixel_sum(page, ".x-pad") == before, name

    upload(page, "grey.png", picture(300, 200))
    page.wait_for_selector(".x-problem", state="hidden")
    assert pixel_sum(page, ".x-pad") != before
    page.get_by_role("button", name="Sample tile 1").click()
    wait_for(page, "all skips: IoU")


def test_pasting(figure_page):
    page = figure_page(SkipSurgery())
    before = pixel_sum(page, ".x-pad")
    paste(page, None)
    page.wait_for_selector(".x-problem:has-text('no picture in the clipboard')")
    paste(page, picture(80, 80))
    page.wait_for_selector(".x-problem", state="hidden")
    assert pixel_sum(page, ".x-pad") != before


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_on_every_screen(figure_page, width, lang):
    page = figure_page(SkipSurgery(), width=width, lang=lang, reduced=width == 360)
    page.locator("summary").click()
    assert not scrolls_sideways(page)
    assert complaints_in_both(page) == NOTHING
    if lang == "zh":
        assert english_words(page, {"Net", "IoU"}) == []


def test_without_a_worker(figure_page):
    page = figure_page(SkipSurgery(sample=2), script="delete window.Worker")
    switch(page, 1).uncheck()
    wait_for(page, "without skip 1:")
    assert score(page) == pytest.approx(expected(2, SKIPS[:1]), abs=0.02)


def test_your_own_network(figure_page):
    torch.manual_seed(0)
    model = UNetModel(1, 2, 4)
    page = figure_page(SkipSurgery(model, cut=["encode_layer2"]))
    assert page.inner_text(".x-said").startswith("without skip 2:")


def test_python_sees_and_says_the_same():
    figure = SkipSurgery(sample=1, cut=["encode_layer3"])
    held_out = nuclei_split().test.image
    assert (figure.image - held_out[:, 128:256]).abs().max() < 1 / 255
    figure.picture = bytes([255]) * 128 * 128
    assert figure.image.shape == (1, 128, 128) and figure.image.min() == 1
    with pytest.raises(traitlets.TraitError, match=r"no skip 'layer1'.*encode_layer1"):
        figure.cut = ["layer1"]
    with pytest.raises(traitlets.TraitError, match="from 0 to 3"):
        figure.sample = 4
    with pytest.raises(ValueError, match="There is no network 'unet'"):
        SkipSurgery("unet")
    with pytest.raises(ValueError, match="needs a U-Net"):
        SkipSurgery(ResNet18(in_channels=1, width=8))


def test_what_a_notebook_keeps_is_small():
    state = SkipSurgery().get_state()
    kept = {k: v for k, v in state.items() if k not in ("_esm", "_css", "program", "weights")}
    size = sum(
        len(v) if isinstance(v, bytes) else len(json.dumps(v, default=str)) for v in kept.values()
    )
    print(f"{size / 1e3:.0f} kB of state, beside {len(state['weights']) / 1e3:.0f} kB of weights")
    assert size < 100_000
