"""Whether a run of `fit` may go on from a checkpoint: of the same model, the same data and the same settings."""

import warnings
from pathlib import Path

from torch import Tensor, nn

from course_lib import checkpoints
from course_lib.training_data import Data

__all__ = [
    "buffer_record",
    "check_same_buffers",
    "check_same_data",
    "check_same_model",
    "check_same_settings",
    "data_record",
    "read",
]


def read(path: Path, kind: type) -> tuple[dict, dict[str, Tensor]]:
    """The records and the tensors of a checkpoint whose history is of a kind.

    Raises:
        ValueError: the file is damaged or not a checkpoint.
    """
    remedy = (
        "The file is unchanged: restore a copy of it, use another checkpoint file, or start afresh with "
        "resume=False, which overwrites it"
    )
    try:
        records, tensors = checkpoints.read(path)
        records["history"] = kind(**records["history"])
    except KeyError as error:
        raise ValueError(f"{path} is not a checkpoint of fit: it has no {error}. {remedy}") from error
    except TypeError as error:  # the history has other entries
        raise ValueError(f"{path} is a checkpoint of another kind of training ({error}). {remedy}") from error
    except ValueError as error:
        raise ValueError(f"{error}. {remedy}") from error
    if "checksum" not in records:
        # It may hold days of training, so it is accepted. The next epoch's checkpoint has the missing records.
        warnings.warn(
            f"{path} was written by an earlier version of fit, without checksums: fit cannot check that it is "
            "undamaged and that the data and the model's buffers (an ordering, say) are the same",
            stacklevel=4,
        )
    return records, tensors


def data_record(data: Data) -> dict[str, dict]:
    """Enough of the data to recognise them: shape, dtype and checksum of each tensor."""
    return {
        f"{split}.{name}": {"size": checkpoints.size(tensor), "checksum": checkpoints.checksum({"": tensor})}
        for split, tensors in data.items()
        for name, tensor in tensors.items()
    }


def buffer_record(model: nn.Module) -> dict[str, int]:
    """A checksum for each saved buffer, but for those of parametrizations: the vectors of a spectral norm, say."""
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    buffers = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if name not in parameters and ".parametrizations." not in f".{name}"
    }
    return {name: checkpoints.checksum({"": tensor}) for name, tensor in buffers.items()}


def check_same_model(ours: dict[str, Tensor], theirs: dict[str, Tensor], path: Path) -> None:
    def describe(tensors: dict[str, Tensor], name: str) -> str:
        return checkpoints.size(tensors[name]) if name in tensors else "missing"

    differences = [
        f"{name} is {describe(theirs, name)} in the checkpoint and {describe(ours, name)} in the model"
        for name in sorted(ours.keys() | theirs.keys())
        if describe(ours, name) != describe(theirs, name)
    ]
    if differences:
        raise ValueError(
            f"{path} is a checkpoint of another model: {'; '.join(differences)}. Use another checkpoint "
            "file, or start afresh with resume=False"
        )


def check_same_buffers(ours: dict[str, Tensor], theirs: dict[str, Tensor], at_start: dict, path: Path) -> None:
    """Compare the buffers that define the model (an ordering, masks).

    Training left those alone: in the checkpoint they are as `at_start` of the run. Other buffers (running means,
    say) are part of what the run has learned.
    """
    differences = []
    for name, checksum in at_start.items():
        mine, saved = ours[name].cpu(), theirs[name]
        different = (mine != saved) & ((mine == mine) | (saved == saved))  # NaN agrees with NaN
        if checkpoints.checksum({"": saved}) == checksum and different.any():
            at = different.nonzero()[0].tolist()
            differences.append(
                f"{name} differs in {int(different.sum())} of {different.numel()} numbers, at {at} "
                f"it is {saved[tuple(at)].item()} in the checkpoint and {mine[tuple(at)].item()} in the model"
            )
    if differences:
        raise ValueError(
            f"{path} is a checkpoint of another model: {'; '.join(differences)}. Build the model with the same "
            "arguments, use another checkpoint file, or start afresh with resume=False"
        )


def check_same_data(ours: dict[str, dict], theirs: dict[str, dict], path: Path) -> None:
    changes = []
    for name, now in ours.items():
        was = theirs[name]
        if was["size"] != now["size"]:
            changes.append(f"{name} was {was['size']} and is now {now['size']}")
        elif was["checksum"] != now["checksum"]:
            changes.append(f"{name} has the same shape, but other values")
    if changes:
        raise ValueError(
            f"{path} is a checkpoint of other data: {'; '.join(changes)}. Use the old data, another checkpoint "
            "file, or start afresh with resume=False"
        )


def check_same_settings(ours: dict, theirs: dict, path: Path) -> None:
    changes = [
        f"{name} was {theirs.get(name)} and is now {value}" for name, value in ours.items() if theirs.get(name) != value
    ]
    if changes:
        raise ValueError(
            f"{path} is a checkpoint of other settings: {', '.join(changes)}. Use the old ones, another "
            "checkpoint file, or start afresh with resume=False"
        )
