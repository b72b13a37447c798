"""Networks whose features stand in for the eye: the course's own for digits, and the Inception network.

    network = feature_network(dataset)          # 8x8 digits or MNIST, from a file of the course
    network = inception("weights.pth")          # the network of published scores, from a file that you have

Both can be given to `course_lib.metrics.fid`, `inception_score` and whatever else takes features. Their values do not
compare with each other: each network has its own scale, and sees what its own classes differ in.

    python -m course_lib.features

trains the course's networks again and writes their files, in about two minutes on one CPU core.
"""

import os
import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from course_lib import data
from course_lib.data import Dataset
from course_lib.models.base import Model
from course_lib.training import fit

__all__ = ["FILES", "FeatureFile", "FeatureNetwork", "Inception", "accuracy", "feature_network", "inception", "train"]


class FeatureNetwork(Model):
    """A small convolutional classifier of images, whose last hidden layer is its features.

    Three 3x3 convolutions, two of them of stride 2, and a hidden layer, all with rectified units. Half of the hidden
    layer's inputs drop out while it trains.

    Args:
        event_shape: (C, H, W) of one image.
        levels: K; an image holds integers 0..K-1, which the network takes as x / (K - 1).
        channels: of the three convolutions.
        features: d, the width of the hidden layer.
        classes: number of classes.
        name: what scores call it.

    Raises:
        ValueError: a size is below 1, or event_shape is not that of an image.

    >>> network = FeatureNetwork((1, 8, 8), 16)
    >>> x = torch.zeros(5, 1, 8, 8, dtype=torch.long)
    >>> network.features(x).shape, network.logits(x).shape
    (torch.Size([5, 32]), torch.Size([5, 10]))
    """

    def __init__(
        self,
        event_shape: tuple[int, int, int],
        levels: int,
        channels: tuple[int, int, int] = (16, 32, 64),
        features: int = 32,
        classes: int = 10,
        name: str = "a feature network",
    ):
        super().__init__(event_shape, levels)
        if len(self.event_shape) != 3 or min(*channels, features, classes) < 1:
            raise ValueError(
                "expected event_shape (C, H, W) and sizes of at least 1; "
                f"got {self.event_shape}, {channels}, {features} and {classes}"
            )
        self.name, self.num_features = name, features
        colours, *grid = self.event_shape
        a, b, c = channels
        self.convolutions = nn.Sequential(
            nn.Conv2d(colours, a, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(a, b, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(b, c, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Dropout(0.5),
        )
        height, width = (-(-size // 4) for size in grid)
        self.hidden = nn.Linear(c * height * width, features)
        self.output = nn.Linear(features, classes)

    def features(self, x: Tensor) -> Tensor:
        """(n, d), not negative, for images x (n, C, H, W), integers 0..K-1."""
        self._check(x)
        return self.activations(x.to(self.hidden.weight.dtype) / (self.levels - 1))

    def activations(self, scaled: Tensor) -> Tensor:
        """The features of images on the scale 0..1, real numbers: what gradients need."""
        return F.relu(self.hidden(self.convolutions(scaled).flatten(1)))

    def logits(self, x: Tensor) -> Tensor:
        """(n, classes): log p(y | x) in nats, up to a constant for each image."""
        return self.output(self.features(x))

    def forward(self, x: Tensor) -> Tensor:
        """The features, so that the network can be given to `torchmetrics`."""
        return self.features(x)

    def loss(self, x: Tensor, *, labels: Tensor) -> Tensor:
        """The mean of -log p(y | x), in nats."""
        return F.cross_entropy(self.logits(x), labels)


class FeatureFile(NamedTuple):
    """A network of the course.

    Attributes:
        file: its weights, in course_lib/data.
        channels, features: its sizes, see `FeatureNetwork`.
        epochs: of its training.
        accuracy: on the test images, the share that it classifies correctly.
    """

    file: str
    channels: tuple[int, int, int]
    features: int
    epochs: int
    accuracy: float


# By the name of the data set. Written by `python -m course_lib.features` on 29 November 2026, with seed 0.
FILES = {
    "digits, binary": FeatureFile("features_digits_binary.safetensors", (16, 32, 64), 32, 80, 0.9633),
    "digits, 16 levels": FeatureFile("features_digits_levels.safetensors", (16, 32, 64), 32, 80, 0.9833),
    "MNIST": FeatureFile("features_mnist.safetensors", (8, 16, 32), 64, 4, 0.9855),
}
FOLDER = Path(data.__file__).parent


def feature_network(dataset: Dataset) -> FeatureNetwork:
    """The course's network for a data set, from its file: the digits of 2 or 16 levels, or MNIST, as images.

    Raises:
        ValueError: the data set is another one, or its images are flattened. `train` makes a network for it.

    >>> feature_network(data.digits("levels")).name
    "the course's network for digits, 16 levels"
    """
    if dataset.name not in FILES or len(dataset.shape) != 3:
        raise ValueError(
            f"the course has networks for images of {', '.join(FILES)}; got {dataset.name!r} of shape {dataset.shape}. "
            "For other labelled images course_lib.features.train trains one"
        )
    network = _untrained(dataset)
    load_model(network, FOLDER / FILES[dataset.name].file)
    return network.eval().requires_grad_(False)


def _untrained(dataset: Dataset, **settings: object) -> FeatureNetwork:
    name = f"the course's network for {dataset.name}"
    if dataset.name in FILES:
        settings = dict(channels=FILES[dataset.name].channels, features=FILES[dataset.name].features) | settings
    return FeatureNetwork(dataset.shape, dataset.levels, name=name, **settings)


def train(dataset: Dataset, *, epochs: int, seed: int = 0, progress: bool = True) -> FeatureNetwork:
    """Train a network on the labels of a data set: the weights that are best on the validation images.

    The features are scaled: the mean of their squares over the training images is 1.

    Raises:
        ValueError: the data set has no labels, or its images are not integers of shape (C, H, W).
    """
    if dataset.levels is None or dataset.train.y is None:
        raise ValueError(f"expected a data set of integer images with labels; got {dataset.name}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _untrained(dataset, classes=int(dataset.train.y.max()) + 1)
    fit(
        network, dataset, epochs=epochs, batch_size=64, lr=2e-3, labels=True, seed=seed, average=0.99, progress=progress
    )
    _rescale(network, dataset.train.x)
    return network.requires_grad_(False)


@torch.no_grad()
def _rescale(network: FeatureNetwork, x: Tensor) -> None:
    """Make 1 the mean square of the features of images x, the scale of the kernel in `polynomial_mmd`.

    Rectified units pass on a positive factor, so the class probabilities stay as they are.
    """
    factor = torch.cat([network.features(batch) for batch in x.split(1000)]).square().mean().sqrt()
    for weights in (network.hidden.weight, network.hidden.bias):
        weights /= factor
    network.output.weight *= factor


@torch.no_grad()
def accuracy(network: FeatureNetwork, x: Tensor, y: Tensor) -> float:
    """The share of images x (n, C, H, W) that a network classifies as their labels y (n,)."""
    right = [network.logits(a).argmax(1) == b for a, b in zip(x.split(1000), y.split(1000), strict=True)]
    return torch.cat(right).double().mean().item()


class Inception(nn.Module):
    """The Inception network of published FIDs and Inception scores, built by `inception`.

    Attributes:
        name: what scores call it, with the name of the file.
        num_features: 2048.
    """

    num_features = 2048

    def __init__(self, network: nn.Module, name: str):
        super().__init__()
        self.network, self.name = network, name

    def features(self, x: Tensor) -> Tensor:
        """(n, 2048): the activations of the last pooling layer.

        Args:
            x: (n, 3, H, W) uint8 in 0..255, or (n, 1, H, W), which is repeated for each colour. The network scales
                all images to 299x299.

        Raises:
            ValueError: x has another shape or dtype.
        """
        if x.ndim != 4 or x.shape[1] not in (1, 3) or x.dtype != torch.uint8:
            raise ValueError(f"expected uint8 images (n, 3, H, W) or (n, 1, H, W); got {x.dtype} {tuple(x.shape)}")
        return self.network(x.expand(-1, 3, -1, -1))

    def logits(self, x: Tensor) -> Tensor:
        """(n, 1008): the class scores without biases, as in the Inception score's own code; x as in `features`."""
        return self.features(x) @ self.network.fc.weight.T


def inception(weights: str | os.PathLike) -> Inception:
    """The Inception network that published FIDs and Inception scores use, with weights from a file.

    The architecture is that of the package torch-fidelity, through `torchmetrics`; the images are scaled as in the
    first code of the FID, without antialiasing. The file is torch-fidelity's
    `weights-inception-2015-12-05-6726825d.pth`, 96 MB, from its releases. Nothing is downloaded here.

    Args:
        weights: the file. It must hold tensors alone: a file that could run code is refused.

    Raises:
        FileNotFoundError: there is no such file.
        ModuleNotFoundError: torch-fidelity is not installed.
        ValueError: the file holds anything else than the weights of this network.
    """
    path = Path(weights)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file {path}. The weights of the Inception network come with torch-fidelity's releases, as "
            "weights-inception-2015-12-05-6726825d.pth. Without them use course_lib.features.feature_network, and say "
            "so beside the score"
        )
    try:
        torch.load(path, weights_only=True)  # torch-fidelity itself would run what a pickle says
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f"{path} does not hold tensors alone, so it is not read ({_first_line(error)})") from error
    if find_spec("torch_fidelity") is None:
        raise ModuleNotFoundError(
            "the Inception network needs the package torch-fidelity: pip install torch-fidelity. Without it use "
            "course_lib.features.feature_network, and say so beside the score"
        )
    from torchmetrics.image.fid import NoTrainInceptionV3

    try:
        network = NoTrainInceptionV3("inception-v3-compat", ["2048"], os.fspath(path), antialias=False)
    except (RuntimeError, AttributeError, TypeError) as error:
        reason = _first_line(error)
        raise ValueError(f"{path} does not hold the weights of the Inception network ({reason})") from error
    return Inception(network, f"Inception, {path.name}")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def main() -> None:
    loaders = {
        "digits, binary": data.digits,
        "digits, 16 levels": lambda: data.digits("levels"),
        "MNIST": data.mnist,
    }
    for name, load in loaders.items():
        dataset = load()
        network = train(dataset, epochs=FILES[name].epochs)
        save_model(network, FOLDER / FILES[name].file)
        print(f"{name}: {accuracy(network, dataset.test.x, dataset.test.y):.4f} of the test images", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
