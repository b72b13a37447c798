"""Training: one loop for every likelihood model, on a CPU, a GPU or several GPUs.

    history = fit(model, dataset, epochs=100, batch_size=64, lr=1e-2, patience=10)

The loss is `model.loss(x)` where a model has one, else the mean negative log-likelihood
`-model.log_prob(x).mean()`, in nats an image. However `fit` ends, the model is left in eval mode, on the
device it came from, with the weights of the epoch that was best on the validation images.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

__all__ = ["History", "fit"]


@dataclass
class History:
    """What `fit` saw: one entry an epoch, in nats an image. Epochs are numbered from 1.

    `train` is the mean loss over the epoch's batches, taken while the weights moved; `valid` is the mean
    loss over the validation images after the epoch, in eval mode.

    >>> print(History(train=[20.0, 18.5, 18.1], valid=[19.5, 18.75, 18.8], seconds=1.5))
    3 epochs in 1.5 s; best epoch 2: train 18.50, valid 18.75 nats
    """

    train: list[float] = field(default_factory=list)
    valid: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def best_epoch(self) -> int:
        """Number of the epoch with the lowest validation loss, the first of equals; 0 when there is none."""
        return self.valid.index(min(self.valid)) + 1 if self.valid else 0

    def __str__(self) -> str:
        if not self.valid:
            return "no epochs"
        epochs, best = len(self.valid), self.best_epoch
        return (
            f"{epochs} epoch{'s' * (epochs > 1)} in {self.seconds:.1f} s; best epoch {best}: "
            f"train {self.train[best - 1]:.2f}, valid {self.valid[best - 1]:.2f} nats"
        )


def fit(
    model: nn.Module,
    dataset,
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
    seed: int = 0,
    lr_decay: float = 1.0,
    average: float | None = None,
    patience: int | None = None,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = True,
    labels: bool = False,
    progress: bool = True,
    fabric: Fabric | None = None,
) -> History:
    """Minimise the mean loss over `dataset.train.x`; keep the weights that do best on `dataset.valid.x`.

    Args:
        model: gives `log_prob(x) -> (batch,)` in nats, or `loss(x) -> scalar` where the two differ.
        dataset: has `name`, `train.x` and `valid.x`, tensors whose first axis counts the images.
        epochs: passes over the training images, at most.
        batch_size: images a step, over all devices; the last batch of an epoch may be smaller.
        lr: learning rate, given to `optimizer(model.parameters(), lr=lr)`.
        seed: decides the order of the images and whatever noise the model draws while it trains. Every
            epoch is seeded by (seed, epoch) alone, so a resumed run repeats the uninterrupted one: bit for
            bit on a CPU. torch's global generators (CPU, CUDA) are put back afterwards. The *initial* weights
            are the caller's: seed before building the model.
        lr_decay: what the learning rate is multiplied by after every step.
        average: keep an exponential moving average of the weights, average * mean + (1 - average) * weights after
            every step (such as 0.9995): it is what is validated and left in the model. None takes the weights as they
            are.
        patience: stop after so many epochs without a better validation loss; None never stops early.
        checkpoint: a safetensors file (tensors and JSON; loading it runs no code), replaced as a whole
            after every epoch: a killed run loses one epoch at most.
        resume: go on from `checkpoint` where it exists; False starts afresh and overwrites it.
        labels: train a class-conditional model: its `log_prob(x, labels=y)`, with y the labels in `dataset`.
        progress: show a progress bar, where there is a notebook or a terminal to show it.
        fabric: a launched `lightning_fabric.Fabric`, for several GPUs or another precision. By default one
            device: a GPU where there is one, with the matrix products of float32 models in bfloat16
            (weights, validation and all that is computed later stay in float32).

    Returns:
        The `History` of all epochs, those before a resumption included.

    Raises:
        ValueError: an empty split, a setting out of range, a checkpoint of another model or other settings.
        FloatingPointError: the loss became infinite or NaN. The checkpoint of the last good epoch remains.

    >>> from types import SimpleNamespace as Namespace
    >>> from torch.distributions import Bernoulli
    >>> class Coins(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.logits = nn.Parameter(torch.zeros(2))
    ...     def log_prob(self, x):
    ...         return Bernoulli(logits=self.logits).log_prob(x).sum(1)
    >>> x = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    >>> coins = Namespace(name="coins", train=Namespace(x=x), valid=Namespace(x=x))
    >>> model = Coins()
    >>> history = fit(model, coins, epochs=200, batch_size=4, lr=0.1)
    >>> [round(p, 2) for p in model.logits.sigmoid().tolist()]     # the frequencies of the ones
    [0.25, 0.75]
    """
    _check_settings(
        dataset,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        lr_decay=lr_decay,
        average=average,
        seed=seed,
        patience=patience,
        labels=labels,
    )
    fabric = fabric or _one_device(model)
    home = next(chain(model.parameters(), model.buffers())).device
    bare_optimizer = optimizer(model.parameters(), lr=lr)
    rates = [group["lr"] for group in bare_optimizer.param_groups]
    settings = {"dataset": dataset.name, "batch_size": batch_size, "seed": seed, "labels": labels}
    settings |= {"lr_decay": lr_decay, "average": average}
    settings |= {"optimizer": type(bare_optimizer).__name__, **bare_optimizer.defaults}
    run = _Run(model, bare_optimizer, settings)
    path = Path(checkpoint) if checkpoint else None
    try:
        objective = _Objective(model)
        wrapped, wrapped_optimizer = fabric.setup(objective, bare_optimizer)
        if average is not None:
            run.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(average))
        if path and resume and path.exists():
            run.load(path)
        names = ("x", "y") if labels else ("x",)
        train, valid = (
            [fabric.to_device(getattr(split, name)) for name in names] for split in (dataset.train, dataset.valid)
        )
        images, batches = len(dataset.train.x), math.ceil(len(dataset.train.x) / batch_size)
        silent = not (progress and fabric.is_global_zero and _someone_watches())
        rng_devices = [fabric.device] if fabric.device.type == "cuda" else []
        with (
            tqdm(total=epochs * batches, initial=run.epoch * batches, leave=False, disable=silent) as bar,
            torch.random.fork_rng(devices=rng_devices),
        ):
            while run.epoch < epochs and not run.out_of_patience(patience):
                start, epoch = time.perf_counter(), run.epoch + 1
                shuffle = torch.Generator().manual_seed(_mix(seed, epoch))
                torch.manual_seed(_mix(seed, epoch, 1 + fabric.global_rank))
                objective.train()
                losses = []
                for step, batch in enumerate(torch.randperm(images, generator=shuffle).split(batch_size)):
                    for group, rate in zip(bare_optimizer.param_groups, rates, strict=True):
                        group["lr"] = rate * lr_decay ** (run.epoch * batches + step)
                    share = _share(batch, fabric.global_rank, fabric.world_size).to(fabric.device)
                    loss = wrapped(*(tensor[share] for tensor in train))
                    _check_finite(loss, epoch, f"batch {step + 1}", path)
                    wrapped_optimizer.zero_grad()
                    fabric.backward(loss)
                    wrapped_optimizer.step()
                    if run.average is not None:
                        run.average.update_parameters(model)
                    losses.append(loss.detach())
                    bar.update()
                losses = fabric.all_reduce(torch.stack(losses), reduce_op="mean")
                torch.manual_seed(_mix(seed, 0))  # the same noise every time, so that epochs compare fairly
                valid_loss = fabric.broadcast(_mean_loss(_Objective(run.validated), valid, batch_size))
                _check_finite(torch.tensor(valid_loss), epoch, "validation", path)
                run.record(_mean(losses, images, batch_size), valid_loss, time.perf_counter() - start)
                bar.set_postfix(epoch=epoch, valid=f"{valid_loss:.2f}", best=f"{min(run.history.valid):.2f}")
                if path and fabric.is_global_zero:
                    run.save(path)
                fabric.barrier()
    finally:
        run.restore_best()
        model.to(home).eval()
    return run.history


class _Objective(nn.Module):
    """The loss as a forward pass: the one call to which Fabric adds precision and the exchange of gradients."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is not None:
            return -self.model.log_prob(x, labels=labels).mean()
        return self.model.loss(x) if hasattr(self.model, "loss") else -self.model.log_prob(x).mean()


@torch.no_grad()
def _mean_loss(objective: _Objective, tensors: list[Tensor], batch_size: int) -> float:
    objective.eval()
    batches = zip(*(tensor.split(batch_size) for tensor in tensors), strict=True)
    losses = torch.stack([objective(*batch) for batch in batches])
    return _mean(losses, len(tensors[0]), batch_size)


def _mean(losses: Tensor, n: int, batch_size: int) -> float:
    """Mean over n images, each counted once, from the means over their batches."""
    lengths = [min(batch_size, n - start) for start in range(0, n, batch_size)]
    return float(losses.cpu().double() @ torch.tensor(lengths).double()) / n


class _Run:
    """All that a run must remember from one epoch to the next."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, settings: dict):
        self.model, self.optimizer = model, optimizer
        self.settings = json.loads(json.dumps(settings, default=str))  # in the form that a file gives back
        self.history = History()
        self.best: dict[str, Tensor] = {}
        self.average: AveragedModel | None = None

    @property
    def validated(self) -> nn.Module:
        """The model with the weights that are validated and kept."""
        return self.model if self.average is None else self.average.module

    @property
    def epoch(self) -> int:
        return len(self.history.valid)

    def out_of_patience(self, patience: int | None) -> bool:
        return patience is not None and self.epoch - self.history.best_epoch >= patience

    def record(self, train: float, valid: float, seconds: float) -> None:
        self.history.train.append(train)
        self.history.valid.append(valid)
        self.history.seconds += seconds
        if self.history.best_epoch == self.epoch:
            self.best = {name: tensor.detach().clone() for name, tensor in self.validated.state_dict().items()}

    def restore_best(self) -> None:
        if self.best:
            self.model.load_state_dict(self.best)

    def save(self, path: Path) -> None:
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        if self.average is not None:
            tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": t for key, t in state.items() if t is not None}
        # A clone each: safetensors takes no two names for one storage.
        tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        metadata = {"settings": json.dumps(self.settings), "history": json.dumps(asdict(self.history))}
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
        try:
            save_file(tensors, unfinished, metadata=metadata)
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)

    def load(self, path: Path) -> None:
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            settings, history = json.loads(metadata["settings"]), History(**json.loads(metadata["history"]))
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is not a checkpoint of fit ({error}): delete it, or start afresh with resume=False"
            ) from error

        def group(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

        _check_same_model(self.model.state_dict(), group("model."), path)
        changes = [
            f"{name} was {settings.get(name)} and is now {value}"
            for name, value in self.settings.items()
            if settings.get(name) != value
        ]
        if changes:
            raise ValueError(
                f"{path} is a checkpoint of other settings: {', '.join(changes)}. Use the old ones, another "
                "checkpoint file, or start afresh with resume=False"
            )
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in group("optimizer.").items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = tensor
        self.model.load_state_dict(group("model."))
        if self.average is not None:
            self.average.load_state_dict(group("average."))
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.best, self.history = group("best."), history


def _check_same_model(ours: dict[str, Tensor], theirs: dict[str, Tensor], path: Path) -> None:
    def describe(tensors: dict[str, Tensor], name: str) -> str:
        return f"{tuple(tensors[name].shape)} {tensors[name].dtype}" if name in tensors else "missing"

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


def _check_settings(dataset, *, epochs, batch_size, lr, lr_decay, average, seed, patience, labels) -> None:
    for split in ("train", "valid"):
        if len(getattr(dataset, split).x) == 0:
            raise ValueError(
                f"the {split} split of {dataset.name} is empty: fit learns from the training images and "
                "chooses the best epoch by the validation images"
            )
        if labels and getattr(dataset, split).y is None:
            raise ValueError(f"the {split} split of {dataset.name} has no labels; train with labels=False")
    rules = {
        "epochs": (epochs, epochs >= 1, "at least 1"),
        "batch_size": (batch_size, batch_size >= 1, "at least 1"),
        "lr": (lr, lr > 0, "positive"),
        "lr_decay": (lr_decay, 0 < lr_decay <= 1, "above 0 and at most 1"),
        "average": (average, average is None or 0 < average < 1, "between 0 and 1, or None"),
        "seed": (seed, seed >= 0, "0 or more"),
        "patience": (patience, patience is None or patience >= 1, "at least 1, or None"),
    }
    for name, (value, good, expected) in rules.items():
        if not good:
            raise ValueError(f"{name} must be {expected}, got {value}")


def _check_finite(loss: Tensor, epoch: int, where: str, path: Path | None) -> None:
    if not loss.isfinite():
        saved = f" The checkpoint of epoch {epoch - 1} remains in {path}." if path and epoch > 1 else ""
        raise FloatingPointError(
            f"the loss became {loss.item()} in epoch {epoch}, {where}. Try a smaller learning rate; "
            f"look for log(0), a division by zero or an overflowing exp in the model's log_prob.{saved}"
        )


def _one_device(model: nn.Module) -> Fabric:
    fabric = Fabric(devices=1)
    float32 = all(parameter.dtype == torch.float32 for parameter in model.parameters())
    if float32 and fabric.device.type == "cuda" and torch.cuda.is_bf16_supported():
        # Given as a plugin, because precision="bf16-mixed" announces itself on stderr.
        fabric = Fabric(devices=1, plugins=MixedPrecision("bf16-mixed", device="cuda"))
    return fabric


def _share(batch: Tensor, rank: int, world_size: int) -> Tensor:
    """This process's part of a batch, padded by its first images where it does not divide equally."""
    padding = -len(batch) % world_size
    if padding:
        batch = torch.cat([batch, batch.repeat(world_size)[:padding]])
    return batch[rank::world_size]


def _mix(*numbers: int) -> int:
    """One well-mixed seed from several small numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def _someone_watches() -> bool:
    """True in a notebook and on a terminal. Elsewhere (a test, a batch job) a bar is only noise."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return sys.stderr.isatty() or hasattr(shell, "kernel")
