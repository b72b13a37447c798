"""The data of a training run: what `fit` reads of a data set, checked, and its batches on a device."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Protocol

import torch
from torch import Tensor, nn

from course_lib.models.base import GenerativeModel, Model

__all__ = ["Batches", "Data", "Images", "TrainingData", "check_values", "fits", "training_data"]


class Images(Protocol):
    """A split of the data: images x, (n, *shape). For labels=True it also has class labels y, (n,)."""

    @property
    def x(self) -> Tensor: ...


class TrainingData(Protocol):
    """What `fit` reads of a data set."""

    @property
    def name(self) -> str: ...

    @property
    def train(self) -> Images: ...

    @property
    def valid(self) -> Images: ...


# For each of the splits "train" and "valid": the images "x" and, for a conditional model, labels "y" and "context".
Data = dict[str, dict[str, Tensor]]


def training_data(dataset: TrainingData, splits: Sequence[str], labels: bool, context: bool) -> Data:
    """The tensors that training uses, with labels in int64: torch takes uint8 and bool indices as a mask."""
    data = {split: {"x": _images(dataset, split)} for split in splits}
    shapes = {split: tuple(tensors["x"].shape[1:]) for split, tensors in data.items()}
    if shapes["train"] != shapes.get("valid", shapes["train"]):
        raise ValueError(
            f"the images of {dataset.name} have shape {shapes['train']} in train.x and {shapes['valid']} in valid.x"
        )
    if labels:
        for split, tensors in data.items():
            tensors["y"] = _labels(dataset, split, len(tensors["x"])).long()
    if context:
        for split, tensors in data.items():
            tensors["context"] = _context(dataset, split, len(tensors["x"]))
    return data


def _images(dataset: TrainingData, split: str) -> Tensor:
    """The images of a split, or a ValueError if `fit` cannot use them."""
    why = "fit needs training images to learn from and validation images to choose the best epoch"
    if getattr(dataset, split, None) is None:
        raise ValueError(f"the {split} split of {dataset.name} is None: {why}")
    x = getattr(dataset, split).x
    if not isinstance(x, Tensor) or x.dim() == 0:
        raise ValueError(
            f"{split}.x of {dataset.name} must be a tensor whose first axis counts the images, "
            f"got {'a tensor without axes' if isinstance(x, Tensor) else type(x).__name__}"
        )
    if len(x) == 0:
        raise ValueError(f"the {split} split of {dataset.name} is empty: {why}")
    return x


def _labels(dataset: TrainingData, split: str, images: int) -> Tensor:
    """The labels of a split with so many images, or a ValueError if `fit` cannot use them."""
    y, name = getattr(getattr(dataset, split), "y", None), f"{split}.y of {dataset.name}"
    if y is None:
        raise ValueError(f"the {split} split of {dataset.name} has no labels; train with labels=False")
    if not isinstance(y, Tensor) or y.ndim not in (1, 2) or len(y) != images:
        found = f"shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(
            f"{name} must be a tensor of shape ({images},), one label per image, or ({images}, kinds), got {found}"
        )
    if y.is_floating_point() or y.is_complex():
        raise ValueError(f"{name} must hold whole numbers (an integer dtype or bool), got {y.dtype}")
    return y


def _context(dataset, split: str, images: int) -> Tensor:
    """The context of a split with so many images, or a ValueError if `fit` cannot use it."""
    context, name = getattr(getattr(dataset, split), "context", None), f"{split}.context of {dataset.name}"
    if not isinstance(context, Tensor) or context.ndim < 2 or len(context) != images:
        found = f"shape {tuple(context.shape)}" if isinstance(context, Tensor) else type(context).__name__
        raise ValueError(f"{name} must be a tensor of shape ({images}, channels, ...), got {found}")
    if not context.is_floating_point():
        raise ValueError(f"{name} must hold real numbers, got {context.dtype}")
    return context


def check_values(model: nn.Module, data: Data, name: str) -> None:
    """Refuse levels and labels that are out of a model's range, before training. The model checks the rest of them."""
    for split, tensors in data.items():
        try:
            if isinstance(model, Model):
                model._check_values(tensors["x"])
            if isinstance(model, GenerativeModel) and "y" in tensors:
                model._check_label_values(tensors["y"])
        except ValueError as error:
            raise ValueError(f"{error} (in the {split} split of {name})") from None


def fits(size: int, device: torch.device) -> bool:
    """Whether so many bytes of data may lie on a device: on a GPU up to a third of the free memory."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # which torch keeps for later
    return 3 * size <= free + unused


class Batches:
    """The data of a run, batch by batch on the device of its model.

    Data that do not fit there stay with the CPU. Then each batch is on its way while the model learns from the one
    before: on a GPU through pinned memory and in a stream of its own, so that neither waits for the other.

    Attributes:
        home: where the data lie, and so the numbers of the images that make a batch.
    """

    def __init__(self, data: Data, device: torch.device):
        self.device = device
        tensors = [tensor for split in data.values() for tensor in split.values()]
        size = sum(tensor.nbytes for tensor in tensors if tensor.device != device)
        self.home = device if fits(size, device) else torch.device("cpu")
        self.data = {
            split: {name: tensor.to(self.home) for name, tensor in tensors.items()} for split, tensors in data.items()
        }
        self.stream = torch.cuda.Stream(device) if self.home != device and device.type == "cuda" else None

    def __call__(self, split: str, places: Iterable[Tensor | slice]) -> Iterator[dict[str, Tensor]]:
        """The batches of a split whose images have these places in it."""
        sent = (self._sent({name: tensor[place] for name, tensor in self.data[split].items()}) for place in places)
        for (batch, event), _ in pairwise(chain(sent, [None])):  # the next one is sent before this one is used
            if event is not None:
                current = torch.cuda.current_stream(self.device)
                current.wait_event(event)
                for tensor in batch.values():
                    tensor.record_stream(current)  # its memory is free when that stream has read it, not before
            yield batch

    def _sent(self, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], torch.cuda.Event | None]:
        """A batch on its way to the device, and what happens when it is there."""
        if self.stream is None:
            return {name: tensor.to(self.device) for name, tensor in batch.items()}, None
        with torch.cuda.stream(self.stream):
            batch = {name: tensor.pin_memory().to(self.device, non_blocking=True) for name, tensor in batch.items()}
            return batch, self.stream.record_event()

    def in_order(self, split: str, batch_size: int) -> Iterator[dict[str, Tensor]]:
        """All images of a split, in batches."""
        images = len(self.data[split]["x"])
        return self(split, (slice(start, start + batch_size) for start in range(0, images, batch_size)))
