"""The readers, on small files of the same formats; and, where COURSE_DATA is set, on the real ones."""

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib import data
from course_lib.data import files, images, sound

needs_data = pytest.mark.skipif("COURSE_DATA" not in os.environ, reason="COURSE_DATA is not set")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty COURSE_DATA."""
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    return tmp_path


def put(file: Path, content: bytes) -> str:
    """Write the file; its checksum."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("loader", "name", "sums"),
    [(data.mnist, "MNIST", "MNIST_SUMS"), (data.fashion_mnist, "FashionMNIST", "FASHION_SUMS")],
)
def test_idx_files(folder, monkeypatch, loader, name, sums):
    def idx(array):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
        return gzip.compress(header + array.tobytes(), compresslevel=1)

    # Each image holds its own number, so that the split can be checked.
    number = np.arange(10_300, dtype=np.uint16)
    pixels = np.zeros((10_300, 28, 28), np.uint8)
    pixels[:, 0, 0], pixels[:, 27, 26] = number // 256, number % 256
    arrays = {"train": (pixels, (number % 10).astype(np.uint8)), "t10k": (pixels[:7], np.arange(7, dtype=np.uint8))}
    monkeypatch.setattr(images, sums, {
        f"{part}-{kind}-ubyte.gz": put(folder / name / "raw" / f"{part}-{kind}-ubyte.gz", idx(array))
        for part, pair in arrays.items()
        for kind, array in zip(("images-idx3", "labels-idx1"), pair, strict=True)
    })  # fmt: skip
    ds = loader()
    assert (ds.name, ds.shape, ds.levels) == (name, (1, 28, 28), 256)
    assert [tuple(split.x.shape) for split in ds.splits().values()] == [(n, 1, 28, 28) for n in (300, 10_000, 7)]
    assert ds.test.y.tolist() == list(range(7)) and ds.test.x[3, 0, 27, 26] == 3
    seen = [split.x[:, 0, 0, 0].long() * 256 + split.x[:, 0, 27, 26] for split in (ds.train, ds.valid)]
    assert torch.cat(seen).sort().values.equal(torch.arange(10_300))
    assert torch.cat(seen).remainder(10).equal(torch.cat([ds.train.y, ds.valid.y]))
    assert all((numbers.diff() > 0).all() for numbers in seen)


def test_cifar_archive(folder, monkeypatch):
    numbers = np.arange(6_000)
    records = np.zeros((6_000, 3073), np.uint8)
    records[:, 0] = numbers % 10
    records[:, 1 + 1024 * 2 + 32 * 5 + 7] = numbers % 251
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=1) as tar:
        for i, name in enumerate([*(f"data_batch_{b}.bin" for b in range(1, 6)), "test_batch.bin"]):
            batch = records[1_000 * i + 300 * (i == 5) : 1_000 * (i + 1) + 300 * (i >= 4)].tobytes()
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(batch)
            tar.addfile(info, io.BytesIO(batch))
    checksum = put(folder / "CIFAR10" / "cifar-10-binary.tar.gz", archive.getvalue())
    monkeypatch.setattr(images, "CIFAR10_SUM", checksum)
    ds = data.cifar10()
    assert [tuple(split.x.shape) for split in ds.splits().values()] == [(n, 3, 32, 32) for n in (300, 5_000, 700)]
    assert ds.test.x[:, 2, 5, 7].tolist() == (numbers[5_300:] % 251).tolist()
    assert ds.test.y.tolist() == (numbers[5_300:] % 10).tolist()
    assert ds.test.x.sum() == ds.test.x[:, 2, 5, 7].sum()


def test_binarized_mnist_reads_both_forms_alike(folder, monkeypatch):
    bits = {part: np.random.default_rng(0).integers(0, 2, (n, 784), np.uint8) for part, n in
            {"train": 5, "valid": 3, "test": 2}.items()}  # fmt: skip
    sums = {}
    for part, x in bits.items():
        text = "".join(" ".join(map(str, row)) + "\n" for row in x)
        sums[part] = put(folder / "BinarizedMNIST" / f"binarized_mnist_{part}.amat", text.encode())
    monkeypatch.setattr(images, "AMAT_SUMS", sums)
    from_text = data.binarized_mnist()

    packed = io.BytesIO()
    np.savez(packed, **{part: np.packbits(x, axis=1) for part, x in bits.items()})
    checksum = put(folder / "BinarizedMNIST" / "binarized_mnist_packed.npz", packed.getvalue())
    monkeypatch.setattr(images, "PACKED_SUM", checksum)
    from_bytes = data.binarized_mnist()
    for part, x in bits.items():
        expected = torch.from_numpy(x).view(-1, 1, 28, 28)
        for ds in (from_text, from_bytes):
            assert ds.splits()[part].x.equal(expected) and ds.splits()[part].y is None
    assert from_bytes.flatten().train.x.equal(torch.from_numpy(bits["train"]))


def test_every_checksum_stands_in_the_readme():
    text = (Path(__file__).resolve().parents[3] / "data" / "README.md").read_text()
    sums = [*images.MNIST_SUMS.values(), *images.FASHION_SUMS.values(), *images.AMAT_SUMS.values()]
    for checksum in [*sums, images.PACKED_SUM, images.CIFAR10_SUM, sound.FSDD_SUM]:
        assert f"`{checksum}`" in text


@needs_data
@pytest.mark.parametrize(
    ("loader", "train_mean", "test_mean"), [(data.mnist, 0.1307, 0.1325), (data.fashion_mnist, 0.2860, 0.2868)]
)
def test_the_real_files(loader, train_mean, test_mean):
    """The means are those of the original training and test images."""
    ds = loader()
    assert [len(split) for split in ds.splits().values()] == [50_000, 10_000, 10_000]
    mean = (50 * ds.train.x.float().mean() + 10 * ds.valid.x.float().mean()) / 60 / 255
    assert mean.item() == pytest.approx(train_mean, abs=1e-4)
    assert ds.test.x.float().mean().item() / 255 == pytest.approx(test_mean, abs=1e-4)
    assert torch.bincount(ds.test.y).min() > 850


@needs_data
def test_the_real_binarized_mnist_is_larochelles(tmp_path, monkeypatch):
    """Written out as text, the test images have the checksum of the original file."""
    if not files.find("BinarizedMNIST/binarized_mnist_packed.npz", images.PACKED_SUM):
        pytest.skip("COURSE_DATA has no BinarizedMNIST/binarized_mnist_packed.npz")
    ds = data.binarized_mnist()
    assert [len(split) for split in ds.splits().values()] == [50_000, 10_000, 10_000]
    text = np.full((10_000, 1568), ord(" "), np.uint8)
    text[:, ::2] = ds.flatten().test.x.numpy() + ord("0")
    text[:, -1] = ord("\n")
    name = "binarized_mnist_test.amat"
    assert put(tmp_path / "BinarizedMNIST" / name, text.tobytes()) == images.AMAT_SUMS["test"]
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    again = images._read_amat("test", images.AMAT_SUMS["test"])
    assert torch.from_numpy(again).equal(ds.flatten().test.x)
