"""Predict an image that is too large for the memory, tile by tile, without a seam.

A network needs memory for every map of the whole image at once. The way out is the overlap-tile
strategy of the U-Net paper (§2 and Fig. 2): cut the image into tiles, let the network see each
with a margin of the image around it, and keep the tile alone.

    ├─ margin ─┼──── tile ────┼─ margin ─┤      one window: what the network sees
               ├──── kept ────┤

Why the margin? At the border of a window, padded convolutions read zeros where the image goes on,
and what they make of them is wrong as far as a pixel can see. A margin of at least that reach is
thrown away with all that is wrong in it, and the result is that of the whole image at once.

Why the multiple? Pooling divides its input into squares, and so does every pooling after it: the
last ones of `UNetModel` take in squares of 16×16 pixels of the image. Windows have to begin and
end where such squares do, or pixels are pooled in other company.

How far does a tile see? As far as its first and its last pixel, which begin and end a square:
94 pixels in `UNetModel`, 281 in `ResNetUNet` on a ResNet-18. (Other pixels look further to one
side, up to 107 and 310, but they lie as much further inside.) For another network, ask:

    size = (1, channels, 2 * multiple, 2 * multiple)  # four squares; the fields go beyond them
    first = receptive_field(model, "", size, at=(multiple, multiple))
    last = receptive_field(model, "", size, at=(multiple - 1, multiple - 1))
    reach = max(first.at[0] - first.rows[0], last.rows[1] - last.at[0])

Reference
    O. Ronneberger, P. Fischer, T. Brox: U-Net: Convolutional Networks for Biomedical Image
    Segmentation (2015), https://arxiv.org/abs/1505.04597
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from backbone.anatomy.hooks import evaluating
from backbone.checks import need_positive
from backbone.progress import progress_bar
from backbone.unet import crop_like, pad_to_multiple


def predict_tiled(
    model: nn.Module,
    image: Tensor,
    tile: int = 128,
    margin: int = 96,
    *,
    multiple: int = 16,
    mirror: bool = False,
    batch_size: int = 1,
    progress: bool = False,
) -> Tensor:
    """Return the class scores of one image of any size; only a few tiles are on the device.

    The memory the network needs grows with batch_size · (tile + 2·margin)², not with the image.

    At the border of the image there are two ways to go on:

    mirror=False, for networks whose output has the size of their input. A window that would
    leave the image is pushed back inside, so it ends where the image ends, and the network pads it
    there as it would pad the whole image. With a margin of at least the reach of the network the
    result is that of the whole image *everywhere*:
    `crop_like(model(pad_to_multiple(image[None], multiple)), image)[0]`, up to rounding.

    mirror=True, the paper's. The image is surrounded by `margin` mirrored pixels, and every tile
    sits in the middle of its window. A network without padding such as `PaperUNet` can do nothing
    else, for its output is smaller than its input: the missing border must come from somewhere.
    It pads nothing, so every margin that it can take is seamless: margin=94, and a tile of 384
    makes the paper's window of 572. (All 388 pixels of its output would be too many: windows 388
    apart are not pooled on one grid.) A padded network gives what it makes of the whole mirrored
    image; with a margin that is a multiple of `multiple`, both ways agree further than its reach
    from the border of the image.

    Args:
        model: gives scores per pixel. It stays on its device and runs in evaluation mode;
            afterwards each of its modules is in the mode it was in.
        image: (C, H, W), in the dtype of the model's weights; stays where it is. Sides that are
            not multiples of `multiple` are padded by mirroring, and the result is cropped.
        tile: side of the square that is kept of each window, in pixels; a multiple of `multiple`.
        margin: pixels seen on each side of a tile. For a seamless result at least the reach of
            the network, rounded up to a multiple of `multiple`: 96 for `UNetModel`, 288 for
            `ResNetUNet` on a ResNet-18. Less is faster, and leaves seams. With mirror, whatever
            makes windows that the network takes.
        multiple: how many times smaller than the image the network's smallest maps are: 16 for
            `UNetModel` and `PaperUNet`, 32 for `ResNetUNet`.
        mirror: which way to go on at the border of the image, see above.
        batch_size: windows that go through the network together.
        progress: show a bar.

    Shapes:
        (C, H, W) → (K, H, W), on the CPU, without gradients; K classes.

    Raises:
        TypeError, ValueError: bad arguments, or windows that do not fit the network.
    """
    _need_arguments(model, image, tile, margin, multiple, mirror, batch_size)
    device = next(model.parameters(), image).device  # a model without weights: the image's

    padded = pad_to_multiple(image[None], multiple)[0]  # (C, H', W'), multiples from here on
    height, width = padded.shape[1:]
    border = margin if mirror else 0
    source = _mirrored(_mirrored(padded, border, dim=1), border, dim=2)
    rows = _places(height, tile, margin, border)
    columns = _places(width, tile, margin, border)
    places = [(row, column) for row in rows for column in columns]

    scores = None
    with evaluating(model), _noting_sizes(model) as sizes, torch.no_grad():
        for i in progress_bar(range(0, len(places), batch_size), show=progress, unit="batch"):
            batch = places[i : i + batch_size]
            x = torch.stack([source[:, row.window, column.window] for row, column in batch])
            y = _run(model, x.to(device))  # (n, K, h, w)
            lost = _need_fit(model, x, y, sizes, margin, multiple, mirror)
            y = y.cpu()
            if scores is None:
                scores = y.new_empty(y.shape[1], height, width)
            for (row, column), output in zip(batch, y, strict=True):
                kept = output[:, row.kept(lost), column.kept(lost)]
                scores[:, row.tile, column.tile] = kept
    return crop_like(scores[None], image)[0]  # (K, H, W)


class Place(NamedTuple):
    """Where a tile and its window lie, along one axis."""

    tile: slice  # in the result
    window: slice  # in the image, mirrored border included
    skip: int  # from the beginning of the window to the beginning of the tile

    def kept(self, lost: int) -> slice:
        """Find the tile in what the network made of the window, `lost` pixels less a side."""
        start = self.skip - lost
        return slice(start, start + self.tile.stop - self.tile.start)


def _places(size: int, tile: int, margin: int, border: int) -> list[Place]:
    """Cut `size` pixels into tiles; every window is equally long and lies inside the image.

    Everything is a multiple of `multiple`, hence so is where each window begins.
    """
    end = size + 2 * border
    window = min(tile + 2 * margin, end)
    places = []
    for start in range(0, size, tile):
        at = start + border  # the tile in the image, mirrored border included
        first = min(max(at - margin, 0), end - window)  # pushed back inside
        stop = min(start + tile, size)
        places.append(Place(slice(start, stop), slice(first, first + window), at - first))
    return places


def _mirrored(image: Tensor, border: int, dim: int) -> Tensor:
    """Surround an image by its mirror image, to and fro as often as it takes: cb|abc|ba.

    Unlike `F.pad(..., mode="reflect")` it can go further than the image is wide.
    """
    size = image.shape[dim]
    period = max(2 * (size - 1), 1)  # there and back again
    at = torch.arange(-border, size + border, device=image.device) % period
    return image.index_select(dim, torch.minimum(at, period - at) if size > 1 else at)


@contextmanager
def _noting_sizes(model: nn.Module) -> Iterator[set[int]]:
    """Collect the heights of all maps the model makes while the block lasts."""
    heights: set[int] = set()

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        if isinstance(output, Tensor) and output.dim() == 4:
            heights.add(output.shape[2])

    handles = [module.register_forward_hook(note) for module in model.modules()]
    try:
        yield heights
    finally:
        for handle in handles:
            handle.remove()


def _run(model: nn.Module, x: Tensor) -> Tensor:
    try:
        return model(x)
    except ValueError as error:
        raise ValueError(
            f"{type(model).__name__} does not take the windows, {tuple(x.shape)}, whose sides are "
            f"tile + 2·margin or those of the padded image. It says: {error}"
        ) from error


def _need_fit(
    model: nn.Module,
    x: Tensor,
    y: object,
    sizes: set[int],
    margin: int,
    multiple: int,
    mirror: bool,
) -> int:
    """Return by how many pixels a side the output is smaller; refuse what cannot be put together.

    Raises:
        ValueError: the model does not suit the tiles.
    """
    who, side = type(model).__name__, f"{x.shape[2]}×{x.shape[3]}"
    if not isinstance(y, Tensor) or y.dim() != 4 or len(y) != len(x):
        got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(
            f"Tiles need a network that gives scores per pixel, (N, K, H, W); for "
            f"{tuple(x.shape)} {who} gave {got}."
        )
    less = {x.shape[2] - y.shape[2], x.shape[3] - y.shape[3]}
    lost = max(less) // 2
    if len(less) > 1 or less != {2 * lost} or lost < 0:
        raise ValueError(
            f"Tiles need an output as large as the window, or smaller by as much on every side; "
            f"{who} made {y.shape[2]}×{y.shape[3]} of {side}."
        )
    if lost > (margin if mirror else 0):
        raise ValueError(
            f"{who} loses {lost} pixels on every side of a window ({side} → {y.shape[2]}×"
            f"{y.shape[3]}): call it with mirror=True and a margin of at least {lost} that its "
            f"windows fit; got mirror={mirror}, margin={margin}."
        )
    # Unpadded convolutions shrink maps as well, so only sizes that stay tell of the pooling.
    shrinks, rest = divmod(x.shape[2], min(sizes)) if lost == 0 else (1, 0)
    if rest or multiple % shrinks:
        raise ValueError(
            f"{who} makes maps {x.shape[2] / min(sizes):g} times smaller than its input, so windows"
            f" must begin at multiples of that or its poolings see other squares; got "
            f"multiple={multiple}. Use multiple={shrinks}, and tile and margin to match. (A network"
            f" that averages over its whole input cannot be tiled.)"
        )
    return lost


def _need_arguments(
    model: object,
    image: object,
    tile: object,
    margin: object,
    multiple: object,
    mirror: object,
    batch_size: object,
) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be an nn.Module, such as UNetModel(); got {model!r}.")
    if not isinstance(image, Tensor):
        raise TypeError(f"image must be a torch.Tensor (C, H, W), got {type(image).__name__}.")
    if image.dim() != 3 or 0 in image.shape:
        hint = "Call it for each image of a batch." if image.dim() == 4 else "A grey one is x[None]"
        raise ValueError(
            f"predict_tiled takes one image (C, H, W), got {tuple(image.shape)}. {hint}"
        )
    need_positive(tile=tile, multiple=multiple, batch_size=batch_size)
    if margin != 0 or not isinstance(margin, int) or isinstance(margin, bool):
        need_positive(margin=margin)  # 0 is allowed: that is how to see the seams
    if not isinstance(mirror, bool):
        raise TypeError(f"mirror must be True or False, got {mirror!r}.")
    for name, value in (("tile", tile), ("margin", margin)):
        # With mirror the margin goes around the image as well, so it shifts nothing.
        if value % multiple and not (mirror and name == "margin"):
            down, up = value // multiple * multiple, (value // multiple + 1) * multiple
            raise ValueError(
                f"{name} must be a multiple of {multiple}, where the network's poolings begin; got "
                f"{value}. Use {f'{down} or ' if down or name == 'margin' else ''}{up}."
            )
