"""The field's image benchmarks: MNIST, Fashion-MNIST, the fixed binarized MNIST, CIFAR-10.

They are stored as uint8, one byte per pixel: convert before arithmetic, since uint8 wraps round at 0 and 256.
All raise what `files.find` and `files.fetch` raise. `data/README.md` says where each comes from.
"""

import gzip
import tarfile

import numpy as np
import torch

from course_lib.data import files
from course_lib.data.dataset import Dataset, Split

TORONTO = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
CIFAR10 = "cifar-10-binary.tar.gz"

# sha256 by file name.
MNIST_SUMS = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
FASHION_SUMS = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
AMAT_SUMS = {
    "train": "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
    "valid": "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
    "test": "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
}
PACKED_SUM = "50de2c8299a5a297789293ab2c30f6fc3cb8c359a15e5e88d5501aa18ebb8fa5"
CIFAR10_SUM = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"


def mnist() -> Dataset:
    """Handwritten digits, 28x28, 256 grey levels: 50,000 / 10,000 / 10,000 images, uint8 (n, 1, 28, 28).

    Validation is a seeded random sixth of the original 60,000 training images; test is the original test set.
    """
    return _idx_dataset("MNIST", MNIST_SUMS, "https://ossci-datasets.s3.amazonaws.com/mnist/")


def fashion_mnist() -> Dataset:
    """Clothing in ten classes, 28x28, 256 grey levels; sizes and split as for `mnist`."""
    address = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    return _idx_dataset("FashionMNIST", FASHION_SUMS, address)


def binarized_mnist() -> Dataset:
    """The *fixed* (static) binarization of MNIST by H. Larochelle: the benchmark of NADE, MADE and their heirs.

    50,000 / 10,000 / 10,000 images, uint8 0/1, (n, 1, 28, 28), in the original splits. There are no labels, and the
    test images are sorted by digit: take a random subset, not the first ones. Figures for *dynamic* binarization,
    where images are drawn anew from the grey levels each epoch, are of another benchmark.
    """
    if packed := files.find("BinarizedMNIST/binarized_mnist_packed.npz", PACKED_SUM):
        with np.load(packed) as arrays:
            images = {part: np.unpackbits(arrays[part], axis=1) for part in AMAT_SUMS}
    else:
        images = {part: _read_amat(part, sha256) for part, sha256 in AMAT_SUMS.items()}
    parts = {part: Split(torch.from_numpy(x).view(-1, 1, 28, 28)) for part, x in images.items()}
    return Dataset("binarized MNIST (fixed)", (1, 28, 28), 2, **parts)


def cifar10() -> Dataset:
    """Photographs in ten classes, 32x32 RGB, 256 levels: 45,000 / 5,000 / 10,000 images, uint8 (n, 3, 32, 32).

    Validation is a seeded random tenth of the original 50,000 training images; test is the original test set.
    """
    archive = files.fetch("cifar10", f"CIFAR10/{CIFAR10}", [f"https://www.cs.toronto.edu/~kriz/{CIFAR10}"], CIFAR10_SUM)
    batches = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.endswith(".bin"):
                # A record is a label and the 3 x 32 x 32 pixels.
                batches[member.name.split("/")[-1]] = np.frombuffer(tar.extractfile(member).read(), np.uint8)
    training = np.concatenate([batches[f"data_batch_{i}.bin"] for i in range(1, 6)]).reshape(-1, 3073)
    test = batches["test_batch.bin"].reshape(-1, 3073)

    def split(records: np.ndarray) -> Split:
        x, y = torch.from_numpy(records[:, 1:].copy()), torch.from_numpy(records[:, 0].copy())
        return Split(x.view(-1, 3, 32, 32), y.long())

    train, valid = _hold_out(split(training), 5_000)
    return Dataset("CIFAR-10", (3, 32, 32), 256, train, valid, split(test))


def _idx_dataset(name: str, sums: dict[str, str], address: str) -> Dataset:
    def read(file: str) -> torch.Tensor:
        """The idx format: two zero bytes, type, number of axes; the sizes as big-endian int32; the bytes."""
        raw = gzip.decompress(files.fetch(name, f"{name}/raw/{file}", [address + file], sums[file]).read_bytes())
        sizes = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
        return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(sizes).copy())

    def split(part: str) -> Split:
        images, labels = read(f"{part}-images-idx3-ubyte.gz"), read(f"{part}-labels-idx1-ubyte.gz")
        return Split(images.unsqueeze(1), labels.long())

    train, valid = _hold_out(split("train"), 10_000)
    return Dataset(name, (1, 28, 28), 256, train, valid, split("t10k"))


def _hold_out(split: Split, n: int) -> tuple[Split, Split]:
    """The split without n images drawn with a fixed seed, and those n. RandomState's stream is frozen (NEP 19)."""
    shuffled = torch.from_numpy(np.random.RandomState(0).permutation(len(split)))
    rest, held = shuffled[:-n].sort().values, shuffled[-n:].sort().values
    return Split(split.x[rest], split.y[rest]), Split(split.x[held], split.y[held])


def _read_amat(part: str, sha256: str) -> np.ndarray:
    """Text: 784 digits a line, each followed by one space or the line's end."""
    file = f"binarized_mnist_{part}.amat"
    text = files.fetch("binarized_mnist", f"BinarizedMNIST/{file}", [TORONTO + file], sha256).read_bytes()
    return (np.frombuffer(text, np.uint8)[::2] - ord("0")).reshape(-1, 784)
