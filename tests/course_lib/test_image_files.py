import math
import struct
import zlib

import pytest
import torch

from course_lib.image_files import jpeg, pixels, png, sheet


def noise(*shape):
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_images_lie_side_by_side():
    x = torch.arange(5 * 3 * 2 * 4).view(5, 3, 2, 4) % 16
    page = sheet(x, 16, columns=3)
    assert page.shape == (3, 4, 12) and page.dtype == torch.uint8
    for i in range(5):
        r, c = divmod(i, 3)
        assert torch.equal(page[:, 2 * r : 2 * r + 2, 4 * c : 4 * c + 4], (17 * x[i]).to(torch.uint8))
    assert not page[:, 2:, 8:].any()
    assert sheet(torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3), 2).tolist() == [[[0, 128, 255]]]
    for wrong in (x[0], x[:0], x[:, :2]):
        with pytest.raises(ValueError, match="one image or more"):
            sheet(wrong, 16)


@pytest.mark.parametrize(
    "image", [noise(1, 20, 31), noise(3, 17, 12), noise(1, 9, 31) // 128 * 255, noise(1, 8, 9) // 17 * 17]
)
def test_a_png_holds_the_image_and_a_zlib_stream(image):
    file = png(image)
    assert torch.equal(pixels(file), image)
    start = file.data.index(b"IDAT")
    (length,) = struct.unpack(">I", file.data[start - 4 : start])
    rows = zlib.decompress(file.data[start + 4 : start + 4 + length])
    values = len(image.unique())
    bits = 8 * len(image) if values > 16 else 1 if values <= 2 else 4
    assert len(rows) == image.shape[1] * (1 + math.ceil(image.shape[2] * bits / 8))  # each row begins with its filter
    assert file.picture == length and file.header == len(file.data) - length


@pytest.mark.parametrize("colours", [1, 3])
def test_a_jpegs_picture_grows_with_quality_and_its_header_does_not(colours):
    image = noise(colours, 64, 64)
    files = [jpeg(image, quality) for quality in (10, 50, 90)]
    assert all(file.header < 700 for file in files)
    assert files[0].picture < files[1].picture < files[2].picture
    errors = [(pixels(file).double() - image.double()).square().mean() for file in files]
    assert errors[0] > errors[1] > errors[2] > 0
    for file in files:  # the scan's header is 8 bytes and two for each colour; 2 of the header end the image
        assert file.data[file.header - 2 - 8 - 2 * colours :][:2] == b"\xff\xda" and file.data[-2:] == b"\xff\xd9"
