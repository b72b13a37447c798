"""Sizes of image files, to compare a learned code with: PNG, without loss, and JPEG, many images on one sheet.

A file of one small image is mostly header. So the images are laid out on one sheet, and what a file says about itself
(sizes, tables, checksums) is counted apart from the picture.
"""

import io
import math
import struct
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

__all__ = ["ImageFile", "jpeg", "pixels", "png", "sheet"]


class ImageFile(NamedTuple):
    """A file in memory.

    Attributes:
        data: all of its bytes.
        header: how many of them are not the coded picture.
    """

    data: bytes
    header: int

    @property
    def picture(self) -> int:
        """Number of bytes of the coded picture."""
        return len(self.data) - self.header


def sheet(x: torch.Tensor, levels: int, columns: int | None = None) -> torch.Tensor:
    """Images side by side, in as nearly a square as they fill: (C, rows H, columns W) uint8, 0..255.

    Places without an image are black.

    Args:
        x: (n, C, H, W) integers or real numbers, 0..levels-1, with 1 or 3 colours.
        levels: K; level k becomes 255 k / (K - 1), rounded.
        columns: number of images in a row.

    Raises:
        ValueError: x has another shape or no image.

    >>> sheet(torch.ones(5, 1, 8, 8, dtype=torch.long), levels=2).shape
    torch.Size([1, 16, 24])
    """
    if x.ndim != 4 or not len(x) or x.shape[1] not in (1, 3):
        raise ValueError(f"x must be one image or more, (n, 1 or 3, H, W); got {tuple(x.shape)}")
    columns = columns or math.ceil(math.sqrt(len(x)))
    rows = math.ceil(len(x) / columns)
    grey = (x.double() * 255 / (levels - 1)).round().clamp(0, 255).to(torch.uint8)
    full = torch.zeros(rows * columns, *x.shape[1:], dtype=torch.uint8)
    full[: len(x)] = grey.cpu()
    return full.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)


def png(image: torch.Tensor) -> ImageFile:
    """An image (1 or 3, H, W) uint8 as a PNG file with the strongest compression. Its picture is what IDAT chunks hold.

    A grey image of at most 16 different values gets a palette, so that a pixel takes 1, 2 or 4 bits before compression.

    >>> file = png(torch.zeros(1, 64, 64, dtype=torch.uint8))
    >>> file.header + file.picture == len(file.data)
    True
    """
    values, index = image.unique(return_inverse=True)
    if len(image) == 1 and len(values) <= 16:
        picture = Image.fromarray(index[0].to(torch.uint8).numpy())
        picture.putpalette(values.repeat_interleave(3).tolist())
    else:
        picture = _picture(image)
    data = _saved(picture, format="PNG", optimize=True)
    coded, at = 0, 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        coded += length if kind == b"IDAT" else 0
        at += 12 + length
    return ImageFile(data, len(data) - coded)


def jpeg(image: torch.Tensor, quality: int) -> ImageFile:
    """An image (1 or 3, H, W) uint8 as a JPEG file. Its picture is what follows the header of its scan.

    Args:
        quality: 1 to 95.

    >>> file = jpeg(torch.zeros(1, 64, 64, dtype=torch.uint8), quality=50)
    >>> file.picture < file.header
    True
    """
    data = _saved(_picture(image), format="JPEG", quality=quality, optimize=True)
    at = 2  # after the marker that starts an image
    while True:
        marker, length = struct.unpack(">HH", data[at : at + 4])
        at += 2 + length
        if marker == 0xFFDA:  # start of scan
            return ImageFile(data, at + 2)  # and the two bytes that end the image


def pixels(file: ImageFile) -> torch.Tensor:
    """The image in a file: (1 or 3, H, W) uint8."""
    picture = Image.open(io.BytesIO(file.data))
    array = np.array(picture.convert("L") if picture.mode == "P" else picture)
    return torch.from_numpy(array.reshape(*array.shape[:2], -1)).movedim(-1, 0).contiguous()


def _picture(image: torch.Tensor) -> Image.Image:
    return Image.fromarray(image[0].numpy() if len(image) == 1 else image.movedim(0, -1).contiguous().numpy())


def _saved(picture: Image.Image, **settings: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, **settings)
    return file.getvalue()
