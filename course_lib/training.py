"""Training: one loop for every model, on a CPU, a GPU or several GPUs.

    history = fit(model, dataset, epochs=100, batch_size=64, lr=1e-2, patience=10)
    history = fit_game(gan, dataset, epochs=100, batch_size=64, lr=2e-4)

The loss is `model.loss(x)` if the model has one, else the mean negative log-likelihood
`-model.log_prob(x).mean()`, in nats per image. However `fit` ends, it leaves the model in eval mode, on its
original device, with the weights of the epoch that was best on the validation images.

`fit_game` trains a generator and a discriminator in turn, each on its own loss. No loss says which epoch was best, so
it leaves the weights of the last one.
"""

import copy
import json
import logging
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_lib import checkpoints, resumption, saving
from course_lib._fabric import Fabric, MixedPrecision
from course_lib.models.base import Model, checked_values
from course_lib.training_data import Batches, Data, TrainingData, check_values, training_data

__all__ = ["GameHistory", "History", "fit", "fit_exactly", "fit_game", "fit_steps"]


@dataclass(kw_only=True)
class _Speed:
    """How fast a run trains: a part of either history. One from before this was recorded has none of it."""

    images: int = 0
    training_seconds: float = 0.0
    device: str = ""
    precision: str = ""

    def count(self, images: int, seconds: float, device: str, precision: str) -> None:
        """Add an epoch. A run that goes on elsewhere is counted from there."""
        if (self.device, self.precision) != (device, precision):
            self.images, self.training_seconds, self.device, self.precision = 0, 0.0, device, precision
        self.images += images
        self.training_seconds += seconds

    def speed(self) -> str:
        """The end of a line that sums the run up, empty if nothing is known."""
        if not self.training_seconds:
            return ""
        rate = float(f"{self.images / self.training_seconds:.2g}")
        return f"; {f'{rate:,.0f}' if rate >= 10 else f'{rate:g}'} images/s on {self.device} in {self.precision}"


@dataclass
class History(_Speed):
    """The losses of a run of `fit`: one entry per epoch, in nats per image, or the model's own unit if it has one
    (`loss_unit`). Epochs are numbered from 1.

    `train` is the mean loss over the epoch's batches, taken while the weights changed; `valid` is the mean
    loss over the validation images after the epoch, in eval mode. `terms` has the validation means of the model's
    `loss_terms` by name, if the model has any: the parts of an ELBO. `seconds` is the time of all epochs, training and
    validation, without the time for checkpoints. `ended` says which limit ended the run: `epochs`, `patience` or
    `minutes`. `training_seconds` is the wall-clock time of training alone, on `images` (each counted in every epoch),
    on `device`, in `precision`.

    >>> print(History(train=[20.0, 18.5, 18.1], valid=[19.5, 18.75, 18.8], seconds=1.5))
    3 epochs in 1.5 s; best epoch 2: train 18.50, valid 18.75 nats
    >>> speed = dict(images=5400, training_seconds=1.0, device="CPU", precision="float32")
    >>> print(History(train=[18.5], valid=[18.75], seconds=1.5, **speed))
    1 epoch in 1.5 s; best epoch 1: train 18.50, valid 18.75 nats; 5,400 images/s on CPU in float32
    """

    train: list[float] = field(default_factory=list)
    valid: list[float] = field(default_factory=list)
    seconds: float = 0.0
    terms: dict[str, list[float]] = field(default_factory=dict)
    unit: str = "nats"
    ended: str = ""

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return len(self.valid)

    @property
    def best_epoch(self) -> int:
        """Number of the epoch with the lowest validation loss, the first of equals; 0 if there is none."""
        return self.valid.index(min(self.valid)) + 1 if self.valid else 0

    def __str__(self) -> str:
        if not self.valid:
            return "no epochs"
        best = self.best_epoch
        return (
            f"{self.epochs} epoch{'s' * (self.epochs > 1)} in {self.seconds:.1f} s; best epoch {best}: "
            f"train {self.train[best - 1]:.2f}, valid {self.valid[best - 1]:.2f} {self.unit}{self.speed()}"
        )


def fit(
    model: nn.Module,
    dataset: TrainingData,
    *,
    epochs: int | None = None,
    minutes: float | None = None,
    batch_size: int,
    lr: float,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
    seed: int = 0,
    lr_decay: float = 1.0,
    clip: float | None = None,
    average: float | None = None,
    patience: int | None = None,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = True,
    labels: bool = False,
    context: bool = False,
    progress: bool = True,
    on_epoch: Callable[[History], object] | None = None,
    compile: bool = False,
    fabric: Fabric | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> History:
    """Minimise the mean loss over `dataset.train.x`; keep the weights that do best on `dataset.valid.x`.

    Args:
        model: has `log_prob(x) -> (batch,)` in nats, or `loss(x) -> scalar` if the loss is not its negative mean. If
            it has `loss_terms(x) -> {name: (batch,)}`, their validation means are recorded after each epoch.
        dataset: has `name`, `train.x` and `valid.x`, tensors whose first axis counts the images, and for labels=True
            `train.y` and `valid.y`, class labels of an integer dtype or bool. The model gets them as int64. For
            context=True it has `train.context` and `valid.context`, real numbers.
        epochs: maximal number of passes over the training images; None if `minutes` alone limits them.
        minutes: the run ends after the epoch in which its epochs have taken so long (by `clock`; training and
            validation, including the epochs before a resumption); None for no such limit. The same budget gives
            another number of epochs on another machine; the weights after each epoch depend on the seed alone.
        batch_size: images per step, over all devices; the last batch of an epoch may be smaller.
        lr: learning rate, passed to `optimizer(model.parameters(), lr=lr)`.
        seed: decides the order of the images and all noise that the model draws while it trains. Every
            epoch is seeded by (seed, epoch) alone, so a resumed run repeats the uninterrupted one: bit for
            bit on a CPU. torch's global generators (CPU, CUDA) are restored afterwards. The seed does not
            affect the *initial* weights: seed before building the model.
        lr_decay: factor of the learning rate after every step.
        clip: largest norm of the gradient of all parameters together; a longer one is scaled down to it. None for no
            limit.
        average: validate and keep an exponential moving average of the weights, average * mean + (1 - average) *
            weights after every step (such as 0.9995). None validates and keeps the weights themselves.
        patience: stop after so many epochs without a better validation loss; None never stops early.
        checkpoint: a safetensors file (tensors and JSON; loading it runs no code), replaced atomically
            after every epoch: a killed run loses at most one epoch. It records checksums of itself, of the data and
            of the buffers that define the model (its ordering, say). `course_lib.saving.load` gives the best model.
        resume: continue from `checkpoint` if it exists; False starts afresh and overwrites it.
        labels, context: train a conditional model: its `log_prob(x, labels=y, context=s)`, with y the labels and s
            the context in `dataset`.
        progress: show a progress bar if there is a notebook or a terminal to show it.
        on_epoch: called with the history after each epoch, in the first process. For TensorBoard:
            `writer = torch.utils.tensorboard.SummaryWriter()` and
            `on_epoch=lambda history: writer.add_scalar("valid", history.valid[-1], history.epochs)`.
        compile: compile the loss in training by torch.compile: the first steps take long, later ones are faster. The
            model itself stays as it is, and a checkpoint is the same. The noise of a seed is another one. On a CPU this
            needs a C++ compiler. torch forgets all that it has compiled before.
        fabric: a launched `lightning_fabric.Fabric`, for several GPUs or another precision. By default one
            device: a GPU if there is one, with the matrix products of float32 models in bfloat16 during
            training (weights, validation and later computations stay in float32). Data of more than a third of
            a GPU's free memory stay with the CPU, and each batch is brought over in time.
        clock: gives the seconds that `minutes` and the history count; wall-clock time by default. `time.process_time`
            counts this process's time on all its cores, whatever else the machine does; it does not see a GPU's work.

    Returns:
        The `History` of all epochs, including those before a resumption.

    Raises:
        ValueError: a split without images or with unsuitable values or labels, a setting out of range, a damaged
            checkpoint or one of another model, other data or other settings.
        OSError: the checkpoint cannot be read, or not be written, which is tried before the first epoch.
        FloatingPointError: the loss became infinite or NaN. The checkpoint of the last good epoch remains. (A GPU is
            some steps ahead when this is found; the message names the step.)

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
        epochs=epochs,
        minutes=minutes,
        batch_size=batch_size,
        lr=lr,
        lr_decay=lr_decay,
        clip=clip,
        average=average,
        seed=seed,
        patience=patience,
    )
    steps = _Steps(int(batch_size), int(seed), lr_decay, clip, average)  # NumPy's integers are neither split nor saved
    data = training_data(dataset, ("train", "valid"), labels, context)
    check_values(model, data, dataset.name)
    player = _Player(_Objective(model), optimizer(model.parameters(), lr=lr))
    settings = {"dataset": dataset.name, "labels": labels, **asdict(steps), **player.settings()}
    run = _Run(model, [player], settings, data, Path(checkpoint) if checkpoint else None)
    fabric = fabric or _one_device(model)
    limits = _Limits(epochs, patience, minutes, clock)
    shown = dict(progress=progress, on_epoch=on_epoch)
    return _train(run, data, fabric, steps, limits, resume=resume, compile=compile, **shown)


@dataclass
class GameHistory(_Speed):
    """The losses of a run of `fit_game`: one entry per epoch. Epochs are numbered from 1.

    `discriminator` and `generator` are the means of either loss over its steps in the epoch. Neither falls as the
    samples get better: each is lowered by one player and raised by the other. The other fields are as in `History`.

    >>> print(GameHistory(discriminator=[1.1, 1.35], generator=[0.9, 0.7], seconds=2.5))
    2 epochs in 2.5 s; last epoch: discriminator 1.35, generator 0.70
    """

    discriminator: list[float] = field(default_factory=list)
    generator: list[float] = field(default_factory=list)
    seconds: float = 0.0
    ended: str = ""

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return len(self.generator)

    def __str__(self) -> str:
        if not self.epochs:
            return "no epochs"
        return (
            f"{self.epochs} epoch{'s' * (self.epochs > 1)} in {self.seconds:.1f} s; last epoch: "
            f"discriminator {self.discriminator[-1]:.2f}, generator {self.generator[-1]:.2f}{self.speed()}"
        )


_ADAM_WITH_LESS_MOMENTUM = partial(torch.optim.Adam, betas=(0.5, 0.999))


def fit_game(
    model: nn.Module,
    dataset: TrainingData,
    *,
    epochs: int | None = None,
    minutes: float | None = None,
    batch_size: int,
    lr: float | tuple[float, float],
    optimizer: Callable[..., torch.optim.Optimizer] = _ADAM_WITH_LESS_MOMENTUM,
    d_steps: int = 1,
    seed: int = 0,
    clip: float | None = None,
    average: float | None = None,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = True,
    labels: bool = False,
    progress: bool = True,
    on_epoch: Callable[[GameHistory], object] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> GameHistory:
    """Train a generator and a discriminator in turn on `dataset.train`, and keep the weights of the last epoch.

    For each batch the discriminator takes a step, and after every `d_steps` batches the generator takes one. Each has
    its own optimizer and its own loss, and a step of one leaves the other's parameters alone. It runs on one device, in
    the precision of `fit`.

    Args:
        model: has `discriminator`, a module, `discriminator_loss(x) -> scalar`, and `generator_loss(x) -> scalar`. The
            parameters outside of `discriminator` are the generator's: an encoder's as well. If it has `constrain()`,
            that is called after each step of the discriminator.
        dataset: as in `fit`, where `valid` is not needed.
        epochs, minutes, batch_size, seed, checkpoint, resume, labels, progress, on_epoch, clock: as in `fit`.
        lr: learning rate of both players, or a pair (generator, discriminator).
        optimizer: makes the optimizer of either player from its parameters and lr. The default is Adam with betas 0.5
            and 0.999: less momentum than usual, as in Radford, Metz and Chintala, "DCGAN", ICLR 2016.
        d_steps: steps of the discriminator for each one of the generator.
        clip: as in `fit`, for the parameters of each player.
        average: keep an exponential moving average of the generator's weights, average * mean + (1 - average) * weights
            after every step of the generator (such as 0.999). The discriminator plays against the weights themselves.

    Returns:
        The `GameHistory` of all epochs, including those before a resumption.

    Raises:
        ValueError: as in `fit`; also a model without the two players, or an epoch too short for a step of the
            generator.
        OSError: as in `fit`.
        FloatingPointError: a loss became infinite or NaN; the message says whose. The model then has the weights of the
            last good epoch.

    >>> from course_lib import data, models
    >>> ring = data.ring()
    >>> model = models.GAN(ring.event_shape, hidden=[16])
    >>> history = fit_game(model, ring.dataset(n=400), epochs=2, batch_size=100, lr=1e-3)
    >>> history.epochs, len(history.discriminator), history.ended
    (2, 2, 'epochs')
    """
    rates = tuple(lr) if isinstance(lr, tuple | list) else (lr, lr)
    if len(rates) != 2:
        raise ValueError(f"lr must be a number or a pair (generator, discriminator), got {lr!r}")
    for rate in rates:
        _check_settings(
            epochs=epochs,
            minutes=minutes,
            batch_size=batch_size,
            lr=rate,
            lr_decay=1.0,
            clip=clip,
            average=average,
            seed=seed,
            patience=None,
        )
    if not _is_whole(d_steps, 1):
        raise ValueError(f"d_steps must be a whole number, at least 1, got {d_steps!r}")
    missing = [name for name in ("discriminator", "discriminator_loss", "generator_loss") if not hasattr(model, name)]
    if missing:
        raise ValueError(f"fit_game needs a model with two players; {type(model).__name__} has no {missing[0]}")
    steps = _Steps(int(batch_size), int(seed), clip=clip, average=average)
    data = training_data(dataset, ("train",), labels, context=False)
    batches = math.ceil(len(data["train"]["x"]) / steps.batch_size)
    if d_steps > batches:
        raise ValueError(
            f"d_steps is {d_steps}, but an epoch has {batches} batches: the generator would take no step in some epochs"
        )
    check_values(model, data, dataset.name)
    theirs = {id(parameter) for parameter in model.discriminator.parameters()}
    ours = [parameter for parameter in model.parameters() if id(parameter) not in theirs]
    generator_rate, discriminator_rate = rates
    players = [
        _Player(
            _Objective(model, "discriminator_loss"),
            optimizer(model.discriminator.parameters(), lr=discriminator_rate),
            name="discriminator",
            after_step=getattr(model, "constrain", lambda: None),
        ),
        _Player(
            _Objective(model, "generator_loss"),
            optimizer(ours, lr=generator_rate),
            name="generator",
            every=int(d_steps),
        ),
    ]
    settings = {"dataset": dataset.name, "labels": labels, "d_steps": d_steps, **asdict(steps)}
    del settings["lr_decay"]  # which a game does not have
    settings |= {**players[0].settings(), **players[1].settings()}
    run = _Game(model, players, settings, data, Path(checkpoint) if checkpoint else None)
    limits = _Limits(epochs, None, minutes, clock)
    return _train(
        run, data, _one_device(model), steps, limits, resume=resume, compile=False, progress=progress, on_epoch=on_epoch
    )


@dataclass(frozen=True)
class _Steps:
    """How a run takes its steps: arguments of `fit`."""

    batch_size: int
    seed: int
    lr_decay: float = 1.0
    clip: float | None = None
    average: float | None = None


def _train(
    run: "_Run",
    data: Data,
    fabric: Fabric,
    steps: _Steps,
    limits: "_Limits",
    *,
    resume: bool,
    compile: bool,
    progress: bool,
    on_epoch: Callable[[Any], object] | None,
) -> Any:
    """Go on with a run from its checkpoint, or from its start, until a limit is reached. Give its history."""
    home = next(chain(run.model.parameters(), run.model.buffers())).device
    # fit has checked the values of the data. On a CPU the models check them again in each step, at almost no cost.
    known = isinstance(run.model, Model) and fabric.device.type != "cpu"
    try:
        if compile:
            torch.compiler.reset()  # it compiles one function, such as our forward, for a few models only
            for player in run.players:
                # In place, before Fabric wraps it. A last batch of another size gets its own program, not one for all.
                player.objective.compile(dynamic=False)
        loop = _Loop(run, data, fabric, steps)
        if steps.average is not None:
            run.average = _Average(run.model, steps.average)
        if resume:
            run.load()
        if not limits.reached(run.history):
            run.check_writable()  # in every process: if only the first one failed, the others would wait for it
        with _progress_bar(loop, limits.epochs, progress) as bar, torch.random.fork_rng(devices=loop.rng_devices):
            while not limits.reached(run.history):
                start, on_the_wall = limits.clock(), time.perf_counter()
                with checked_values() if known else nullcontext():
                    losses = loop.train_epoch(after_step=bar.update)
                    training_seconds = time.perf_counter() - on_the_wall
                    shown = run.record(loop, losses)
                # One clock for all processes: each must take the same decision to stop.
                run.history.seconds += fabric.broadcast(limits.clock() - start)
                run.history.count(
                    loop.images, training_seconds, _device_name(fabric), _precision_name(run.model, fabric)
                )
                bar.set_postfix(epoch=run.epoch, **{name: f"{value:.2f}" for name, value in shown.items()})
                if fabric.is_global_zero:
                    run.save()
                    if on_epoch is not None:
                        on_epoch(run.history)
                fabric.barrier()
        run.history.ended = limits.reached(run.history)
    finally:
        run.restore_kept()
        run.model.to(home).eval()
    return run.history


@dataclass(frozen=True)
class _Limits:
    """What ends a run; None does not limit it."""

    epochs: int | None
    patience: int | None
    minutes: float | None
    clock: Callable[[], float]

    def reached(self, history: History | GameHistory) -> str:
        """The name of a limit that the run has reached, or an empty string."""
        reached = {
            "epochs": self.epochs is not None and history.epochs >= self.epochs,
            "patience": self.patience is not None and history.epochs - history.best_epoch >= self.patience,
            "minutes": self.minutes is not None and history.seconds >= 60 * self.minutes,
        }
        return next((name for name, is_reached in reached.items() if is_reached), "")


class _Objective(nn.Module):
    """A loss as a forward pass, which is the call that Fabric wraps to set the precision and to share gradients."""

    def __init__(self, model: nn.Module, loss: str = "loss"):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, x: Tensor, y: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        given = _given(y, context)
        if hasattr(self.model, self.loss):
            return getattr(self.model, self.loss)(x, **given)
        return -self.model.log_prob(x, **given).mean()


@dataclass
class _Player:
    """A loss and the optimizer that lowers it. `fit` has one player, without a name, and `fit_game` two.

    Attributes:
        every: the player takes a step after so many batches.
        after_step: called after each of its steps.
    """

    objective: _Objective
    optimizer: torch.optim.Optimizer
    name: str = ""
    every: int = 1
    after_step: Callable[[], object] = lambda: None

    @property
    def prefix(self) -> str:
        """Begins the names of its settings and of its tensors in a checkpoint."""
        return f"{self.name}." if self.name else ""

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def settings(self) -> dict[str, Any]:
        settings = {"optimizer": type(self.optimizer).__name__, **self.optimizer.defaults}
        return {self.prefix + name: value for name, value in settings.items()}


def _given(y: Tensor | None, context: Tensor | None) -> dict[str, Tensor]:
    """A conditional model's further arguments."""
    return {name: each for name, each in {"labels": y, "context": context}.items() if each is not None}


class _Loop:
    """The passes over the data of a run, with the model and the data on the devices of `fabric`."""

    def __init__(self, run: "_Run", data: Data, fabric: Fabric, steps: _Steps):
        self.run, self.fabric, self.steps = run, fabric, steps
        with _without_advice():
            self.wrapped = [fabric.setup(player.objective, player.optimizer) for player in run.players]
        for player in run.players:
            _fuse(player.optimizer)
        self.rates = [[group["lr"] for group in player.optimizer.param_groups] for player in run.players]
        self.data = Batches(data, fabric.device)
        self.images = len(data["train"]["x"])
        self.batches = math.ceil(self.images / steps.batch_size)  # per epoch
        self.rng_devices = [fabric.device] if fabric.device.type == "cuda" else []

    def train_epoch(self, after_step: Callable[[], object]) -> list[float]:
        """Take the steps for each batch of the next epoch. Give each player's mean of the losses before its steps."""
        epoch = self.run.epoch + 1
        shuffle = torch.Generator().manual_seed(_mix(self.steps.seed, epoch))
        torch.manual_seed(_mix(self.steps.seed, epoch, 1 + self.fabric.global_rank))
        self.run.model.train()
        # On the device in one copy: a copy for each batch would wait for the steps before it.
        order = torch.randperm(self.images, generator=shuffle, device="cpu").to(self.data.home)
        parts = order.split(self.steps.batch_size)
        shares = [_share(part, self.fabric.global_rank, self.fabric.world_size) for part in parts]
        losses: list[list[Tensor]] = [[] for _ in self.run.players]
        lengths: list[list[int]] = [[] for _ in self.run.players]
        watch = _Watch(self.run.check_finite, self.fabric.device)
        for step, batch in enumerate(self.data("train", shares)):
            before = self.run.epoch * self.batches + step
            for k, player in enumerate(self.run.players):
                if (before + 1) % player.every == 0:
                    self._set_rates(k, before)
                    losses[k].append(self._step(k, batch, partial(watch, f"batch {step + 1}", player.name)))
                    lengths[k].append(len(parts[step]))
            after_step()
        watch.finish()
        return [
            _mean(self.fabric.all_reduce(torch.stack(each), reduce_op="mean"), counts)
            for each, counts in zip(losses, lengths, strict=True)
        ]

    def validate(self) -> float:
        """The mean loss over the validation images, in eval mode, with the same noise in every epoch."""
        torch.manual_seed(_mix(self.steps.seed, 0))
        loss = self.fabric.broadcast(_mean_loss(_Objective(self.run.validated), self._validation_batches()))
        self.run.check_finite("validation", "", torch.tensor(loss))
        return loss

    def validation_terms(self) -> dict[str, float]:
        """The means of the model's `loss_terms`, if it has any, over the validation images: noise as in `validate`."""
        if not hasattr(self.run.validated, "loss_terms"):
            return {}
        torch.manual_seed(_mix(self.steps.seed, 0))
        return self.fabric.broadcast(_mean_terms(self.run.validated, self._validation_batches()))

    def _validation_batches(self) -> Iterator[dict[str, Tensor]]:
        return self.data.in_order("valid", self.steps.batch_size)

    def _set_rates(self, k: int, steps: int) -> None:
        """Set the learning rates of player k for the step after `steps` batches."""
        for group, rate in zip(self.run.players[k].optimizer.param_groups, self.rates[k], strict=True):
            group["lr"] = rate * self.steps.lr_decay**steps

    def _step(self, k: int, batch: dict[str, Tensor], look: Callable[[Tensor], None]) -> Tensor:
        """Let player k take one step on this process's share of a batch, and give the loss before it."""
        player, (objective, optimizer) = self.run.players[k], self.wrapped[k]
        with _without_gradients(each for other in self.run.players if other is not player for each in other.parameters):
            loss = objective(**batch)
            look(loss.detach())
            optimizer.zero_grad()
            self.fabric.backward(loss)
        if self.steps.clip is not None:
            # An infinite norm is not an error here: to find out would wait for the device.
            self.fabric.clip_gradients(objective, optimizer, max_norm=self.steps.clip, error_if_nonfinite=False)
        optimizer.step()
        player.after_step()
        if self.run.average is not None and player is self.run.players[-1]:
            self.run.average.update(self.run.model)
        return loss.detach()


class _Watch:
    """Looks at each loss of an epoch, in the order of the steps: none may be infinite or NaN.

    On a GPU to look at once would mean to wait until all steps sent to it are done. There each loss is copied in its
    turn, and looked at when it has come: a few steps later, or at the end of the epoch.

    Args:
        check: called with what names the step, and its loss.
        device: of the losses.
    """

    def __init__(self, check: Callable[..., None], device: torch.device):
        self.check, self.at_once = check, device.type != "cuda"
        self.coming: deque[tuple[torch.cuda.Event, Callable[[], None]]] = deque()

    def __call__(self, where: str, player: str, loss: Tensor) -> None:
        if self.at_once:
            return self.check(where, player, loss)
        copied = loss.to("cpu", non_blocking=True)  # into pinned memory
        event = torch.cuda.Event()
        event.record()
        self.coming.append((event, partial(self.check, where, player, copied)))
        while self.coming and self.coming[0][0].query():
            self.coming.popleft()[1]()

    def finish(self) -> None:
        """Look at the losses that are still to come."""
        for event, check in self.coming:
            event.synchronize()
            check()
        self.coming.clear()


class _Average(nn.Module):
    """An exponential moving average of a model's weights, with the buffers of the model.

    torch's `AveragedModel` computes the same, but copies its count of the steps to the device in each of them, which
    waits for the steps before. A checkpoint has the names of both.
    """

    def __init__(self, model: nn.Module, decay: float):
        super().__init__()
        self.module, self.decay = copy.deepcopy(model), decay
        self.register_buffer("n_averaged", torch.tensor(0, device="cpu"))

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        means, weights = list(self.module.parameters()), list(model.parameters())
        if self.n_averaged == 0:
            torch._foreach_copy_(means, weights)
        else:
            torch._foreach_lerp_(means, weights, 1 - self.decay)
        for mine, buffer in zip(self.module.buffers(), model.buffers(), strict=True):
            mine.copy_(buffer)
        self.n_averaged += 1


def _fuse(optimizer: torch.optim.Optimizer) -> None:
    """Let an optimizer change all weights in one kernel, if CUDA has one for it and its user asked for no other way.

    Its defaults, which a checkpoint must agree with, stay as they are. (Adagrad would have to be told when it is made.)
    """
    if type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD):
        return
    for group in optimizer.param_groups:
        free = group["fused"] is None and group["foreach"] is None and not group["differentiable"]
        if free and all(parameter.is_cuda and parameter.is_floating_point() for parameter in group["params"]):
            group["fused"] = True


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep Fabric from printing that a GPU could compute in TensorFloat32."""
    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _without_gradients(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Compute no gradients for some parameters: those of the other player."""
    frozen = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


@torch.no_grad()
def _mean_loss(objective: _Objective, batches: Iterator[dict[str, Tensor]]) -> float:
    objective.eval()
    losses, lengths = [], []
    for batch in batches:
        losses.append(objective(**batch))
        lengths.append(len(batch["x"]))
    return _mean(torch.stack(losses), lengths)


@torch.no_grad()
def _mean_terms(model: nn.Module, batches: Iterator[dict[str, Tensor]]) -> dict[str, float]:
    """The means of a model's `loss_terms` over the images. The model is in eval mode already."""
    terms: dict[str, list[Tensor]] = {}
    images = 0
    for batch in batches:
        images += len(batch["x"])
        for name, values in model.loss_terms(batch["x"], **_given(batch.get("y"), batch.get("context"))).items():
            terms.setdefault(name, []).append(values)
    # Only now, because each copy waits for what the device computes.
    return {name: sum(v.cpu().double().sum().item() for v in values) / images for name, values in terms.items()}


def _mean(losses: Tensor, lengths: Sequence[int]) -> float:
    """Mean over images, each counted once, from the means over batches of so many images."""
    return float(losses.cpu().double() @ torch.tensor(lengths).double()) / sum(lengths)


class _Run:
    """The state that a run carries from one epoch to the next, and its checkpoint."""

    def __init__(self, model: nn.Module, players: list[_Player], settings: dict, data: Data, path: Path | None):
        self.model, self.players, self.path = model, players, path
        self.settings = json.loads(json.dumps(settings, default=str))  # as they will be read from a file
        # A checkpoint must agree with these. Their price is a pass over the data, so a run without a file skips them.
        self.data = {} if path is None else resumption.data_record(data)
        self.buffers = {} if path is None else resumption.buffer_record(model)
        self.history = self.new_history()
        self.kept: dict[str, Tensor] = {}
        self.average: _Average | None = None

    @property
    def validated(self) -> nn.Module:
        """The model whose weights are validated and kept."""
        return self.model if self.average is None else self.average.module

    @property
    def epoch(self) -> int:
        return self.history.epochs

    def new_history(self) -> Any:
        return History(unit=getattr(self.model, "loss_unit", "nats"))

    def record(self, loop: _Loop, losses: list[float]) -> dict[str, float]:
        """End an epoch: record its losses, keep its weights if they are the best. Give what the progress bar shows."""
        valid, terms = loop.validate(), loop.validation_terms()
        self.history.train += losses
        self.history.valid.append(valid)
        for name, value in terms.items():
            self.history.terms.setdefault(name, []).append(value)
        if self.history.best_epoch == self.epoch:
            self.keep(self.validated.state_dict())
        return {"valid": valid, "best": min(self.history.valid)}

    def keep(self, weights: dict[str, Tensor]) -> None:
        self.kept = {name: tensor.detach().clone() for name, tensor in weights.items()}

    def restore_kept(self) -> None:
        if self.kept:
            self.model.load_state_dict(self.kept)

    def check_finite(self, where: str, player: str, loss: Tensor) -> None:
        """Raise FloatingPointError if a loss of the epoch in progress is infinite or NaN."""
        if loss.isfinite():
            return
        saved = f" The checkpoint of epoch {self.epoch} remains in {self.path}." if self.path and self.epoch else ""
        subject, origin = (f"the {player}'s loss", f"{player}_loss") if player else ("the loss", "log_prob")
        raise FloatingPointError(
            f"{subject} became {loss.item()} in epoch {self.epoch + 1}, {where}. Try a smaller learning rate; "
            f"look for log(0), a division by zero or an overflowing exp in the model's {origin}.{saved}"
        )

    def save(self) -> None:
        """Write the checkpoint, if there is a path for it."""
        if self.path is None:
            return
        record, arguments = self._description()
        records = {"settings": self.settings, "history": asdict(self.history), "data": self.data}
        records |= {"buffers": self.buffers, "model": record}
        checkpoints.write(self.path, self._tensors() | arguments, records)

    def check_writable(self) -> None:
        """Raise OSError if no checkpoint could be saved: better now than after the first epoch."""
        if self.path is not None:
            checkpoints.check_writable(self.path)

    def _description(self) -> tuple[dict | None, dict[str, Tensor]]:
        """What `saving.load` needs to build the model, which is nothing if the class is the user's own."""
        try:
            return saving.described(self.model)
        except ValueError:
            return None, {}

    def _tensors(self) -> dict[str, Tensor]:
        """All tensors of a checkpoint by their names in the file."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.kept.items()}
        if self.average is not None:
            tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        for player in self.players:
            for index, state in player.optimizer.state_dict()["state"].items():
                prefix = f"{player.prefix}optimizer.{index}"
                tensors |= {f"{prefix}.{key}": t for key, t in state.items() if t is not None}
        return tensors

    def load(self) -> None:
        """Continue from the checkpoint, if there is one.

        Raises:
            ValueError: the file is damaged or not a checkpoint, or it is of another model, other data or settings.
        """
        path = self.path
        if path is None or not path.exists():
            return
        records, tensors = resumption.read(path, type(self.history))

        def group(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

        resumption.check_same_model(self.model.state_dict(), group("model."), path)
        resumption.check_same_settings(self.settings, records["settings"], path)
        if "checksum" in records:
            resumption.check_same_data(self.data, records["data"], path)
            resumption.check_same_buffers(self.model.state_dict(), group("model."), records["buffers"], path)
            self.buffers = records["buffers"]
        self.model.load_state_dict(group("model."))
        if self.average is not None:
            self.average.load_state_dict(group("average."))
        for player in self.players:
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in group(f"{player.prefix}optimizer.").items():
                index, key = name.split(".", 1)
                state.setdefault(int(index), {})[key] = tensor
            player.optimizer.load_state_dict({**player.optimizer.state_dict(), "state": state})
        self.kept, self.history = group("best."), records["history"]


class _Game(_Run):
    """A run of `fit_game`, which keeps the weights of every epoch: no loss says which ones are best."""

    def new_history(self) -> GameHistory:
        return GameHistory()

    def record(self, loop: _Loop, losses: list[float]) -> dict[str, float]:
        """End an epoch: record its losses and keep its weights, the generator's averaged if asked for."""
        shown = {player.name: loss for player, loss in zip(self.players, losses, strict=True)}
        for name, loss in shown.items():
            getattr(self.history, name).append(loss)
        opponent = {f"discriminator.{name}": t for name, t in self.model.discriminator.state_dict().items()}
        self.keep(self.validated.state_dict() | opponent)
        return shown


def _check_settings(
    *,
    epochs: Any,
    minutes: Any,
    batch_size: Any,
    lr: Any,
    lr_decay: Any,
    clip: Any,
    average: Any,
    seed: Any,
    patience: Any,
) -> None:
    if epochs is None and minutes is None:
        raise ValueError("nothing would end the run: give epochs, minutes or both")
    rules = {
        "epochs": (epochs, epochs is None or _is_whole(epochs, 1), "a whole number, at least 1, or None"),
        "minutes": (minutes, minutes is None or _is_number(minutes) and minutes > 0, "a positive number, or None"),
        "batch_size": (batch_size, _is_whole(batch_size, 1), "a whole number, at least 1"),
        "lr": (lr, _is_number(lr) and lr > 0, "a positive number"),
        "lr_decay": (lr_decay, _is_number(lr_decay) and 0 < lr_decay <= 1, "a number above 0 and at most 1"),
        "clip": (clip, clip is None or _is_number(clip) and clip > 0, "a positive number, or None"),
        "average": (average, average is None or _is_number(average) and 0 < average < 1, "between 0 and 1, or None"),
        "seed": (seed, _is_whole(seed, 0), "a whole number, 0 or more"),
        "patience": (patience, patience is None or _is_whole(patience, 1), "a whole number, at least 1, or None"),
    }
    for name, (value, good, expected) in rules.items():
        if not good:
            raise ValueError(f"{name} must be {expected}, got {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, Real | Tensor)  # torch's optimizers take a tensor as learning rate


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, Integral) and value >= least


def _one_device(model: nn.Module) -> Fabric:
    fabric = Fabric(devices=1)
    float32 = all(parameter.dtype == torch.float32 for parameter in model.parameters())
    if float32 and fabric.device.type == "cuda" and torch.cuda.is_bf16_supported():
        # A plugin, because precision="bf16-mixed" prints a message to stderr.
        fabric = Fabric(devices=1, plugins=MixedPrecision("bf16-mixed", device="cuda"))
    return fabric


def _device_name(fabric: Fabric) -> str:
    """The device of a run, or how many of them."""
    device = fabric.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
    return name if fabric.world_size == 1 else f"{fabric.world_size} x {name}"


def _precision_name(model: nn.Module, fabric: Fabric) -> str:
    """The dtype in which a run computes."""
    mixed = {"bf16-mixed": "bfloat16 mixed precision", "16-mixed": "float16 mixed precision"}
    dtypes = (parameter.dtype for parameter in model.parameters())
    dtype = str(next(dtypes, torch.get_default_dtype())).removeprefix("torch.")
    return mixed.get(fabric.strategy.precision.precision, dtype)


def _share(batch: Tensor, rank: int, world_size: int) -> Tensor:
    """This process's part of a batch. A batch that does not divide equally is padded with its first images."""
    padding = -len(batch) % world_size
    if padding:
        batch = torch.cat([batch, batch.repeat(world_size)[:padding]])
    return batch[rank::world_size]


def _mix(*numbers: int) -> int:
    """One well-mixed seed from several small numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def _progress_bar(loop: _Loop, epochs: int | None, wanted: bool) -> tqdm:
    """A bar over the steps of all epochs, without an end if only time limits them.

    Only the first process shows it, and only in a notebook or on a terminal.
    """
    silent = not (wanted and loop.fabric.is_global_zero and _is_interactive())
    done = loop.run.epoch * loop.batches
    return tqdm(total=epochs and epochs * loop.batches, initial=done, leave=False, disable=silent)


def _is_interactive() -> bool:
    """True in a notebook and on a terminal. Elsewhere (a test, a batch job) nobody would see a bar."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return sys.stderr.isatty() or hasattr(shell, "kernel")


def fit_steps(
    model: nn.Module,
    x: Tensor,
    *,
    steps: int,
    batch_size: int,
    lr: float,
    seed: int = 0,
    before_step: Callable[[], None] = lambda: None,
) -> None:
    """Take steps of Adam on random batches, for data so plentiful that nothing can be memorised: no validation.

    Args:
        model: has `log_prob(x) -> (batch,)` in nats, or `loss(x) -> scalar` if the loss is not its negative mean.
        x: (N, *shape), the images; each batch is drawn from all of them.
        steps: number of steps.
        batch_size: images per step.
        lr: learning rate at the start; it falls to 0 along a cosine.
        seed: decides which images are drawn.
        before_step: called before each step.

    >>> from course_lib.models import IndependentPixels
    >>> x = torch.tensor([[0, 1], [1, 1], [0, 1], [0, 0]])
    >>> model = IndependentPixels(2)
    >>> fit_steps(model, x, steps=300, batch_size=100, lr=0.1)
    >>> [round(p, 1) for p in model.logits.sigmoid().flatten().tolist()]     # the frequencies of the ones
    [0.2, 0.7]
    """
    objective, rng = _Objective(model), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        before_step()
        optimizer.zero_grad()
        objective(x[torch.randint(len(x), (batch_size,), generator=rng)]).backward()
        optimizer.step()
        schedule.step()


def fit_exactly(model: nn.Module, states: Tensor, log_p: Tensor, *, steps: int) -> float:
    """Minimise KL(p || model) itself, a sum over all states of a small world, with L-BFGS in float64.

    There are no batches and no noise: what remains is what the model cannot represent, or not reach from where it
    started.

    Args:
        model: has `log_prob(states) -> (len(states),)` in nats. It is converted to float64.
        states: all of them.
        log_p: (len(states),) their log-probabilities under p, in nats.
        steps: maximal number of iterations.

    Returns:
        The divergence reached, in nats.

    >>> from course_lib.models import IndependentPixels
    >>> states = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> round(fit_exactly(IndependentPixels(2), states, torch.tensor([0.1, 0.3, 0.2, 0.4]).log(), steps=50), 4)
    0.004
    """
    model.double()
    log_p, parameters = log_p.double(), list(model.parameters())
    optimizer = torch.optim.LBFGS(parameters, max_iter=steps, line_search_fn="strong_wolfe")

    def divergence() -> Tensor:
        optimizer.zero_grad()
        value = log_p.exp() @ (log_p - model.log_prob(states))
        value.backward()
        return value

    optimizer.step(divergence)
    return divergence().item()
