import copy
import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import warnings
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.accelerators import CPUAccelerator
from lightning_fabric.plugins.precision import MixedPrecision
from lightning_fabric.strategies import SingleDeviceStrategy
from lightning_fabric.utilities.rank_zero import rank_zero_info
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from course_lib import checkpoints, training, training_data
from course_lib.checkpoints import checksum
from course_lib.data.dataset import Dataset, Split
from course_lib.metrics import log_probs
from course_lib.models import FVBN, MADE, NADE, VAE, ConditionalVAE, GatedPixelCNN, PixelCNN
from course_lib.models.base import checked_values
from course_lib.training import History, fit, fit_exactly

D = 6


class Noisy(nn.Module):
    """Logistic regressions with a hidden layer and dropout: a model that draws noise while it trains."""

    def __init__(self, hidden: int = 8, seed: int = 0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.net = nn.Sequential(nn.Linear(D, hidden), nn.Dropout(0.5), nn.Linear(hidden, D))

    def log_prob(self, x):
        # Not a likelihood (each output sees its own input): any smooth function will do for the loop.
        return -nn.functional.binary_cross_entropy_with_logits(self.net(x.float()), x.float(), reduction="none").sum(1)


class Coins(nn.Module):
    """Independent pixels. The best answer is known: the frequency of the ones."""

    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(D))

    def log_prob(self, x):
        return torch.distributions.Bernoulli(logits=self.logits).log_prob(x.float()).sum(1)


class Classes(nn.Module):
    """Independent pixels for each class. Labels index a tensor, so uint8 and bool ones would be taken as a mask."""

    def __init__(self, classes: int = 3):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(classes, D))

    def log_prob(self, x, labels):
        return torch.distributions.Bernoulli(logits=self.logits[labels]).log_prob(x.float()).sum(1)


class Untouched(Coins):
    """Fails as soon as fit computes anything with it."""

    def log_prob(self, x, labels=None):
        raise AssertionError("fit trains before it has checked the data")


def coins(n: int = 50, n_valid: int = 20) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    p = torch.linspace(0.1, 0.9, D)
    splits = [Split((torch.rand(k, D, generator=generator) < p).long()) for k in (n, n_valid, 20)]
    return Dataset("coins", (D,), 2, *splits)


def weights(model: nn.Module) -> list[torch.Tensor]:
    return list(model.state_dict().values())


def same(model: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(ours, theirs) for ours, theirs in zip(weights(model), weights(other), strict=True))


X = coins().train.x
Y = torch.arange(50) % 3
SETTINGS = dict(batch_size=16, lr=0.05)  # 50 images: the last batch is ragged


def test_the_maximum_likelihood_answer_is_found():
    ds, model = coins(), Coins()
    fit(model, Dataset("coins", (D,), 2, ds.train, ds.train, ds.test), epochs=300, batch_size=50, lr=0.1)
    torch.testing.assert_close(model.logits.sigmoid(), ds.train.x.double().mean(0).float(), atol=1e-3, rtol=0)


def test_history_counts_every_image_once_in_nats():
    ds, model = coins(), Coins()
    history = fit(model, ds, epochs=1, batch_size=16, lr=1e-12)
    assert history.train == pytest.approx([D * torch.tensor(2.0).log().item()])
    model, generator = Noisy(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        model.net[2].bias.normal_(generator=generator)
    before = -log_probs(model, ds.valid.x).mean().item()
    history = fit(model, ds, epochs=1, batch_size=16, lr=1e-12)
    assert history.valid == pytest.approx([before])  # in eval mode, 20 images in batches of 16 and 4


def test_the_seed_decides_everything_and_the_global_generator_is_left_alone():
    runs = []
    for global_seed, seed in ((1, 0), (2, 0), (1, 3)):
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        model = Noisy()
        runs.append((fit(model, coins(), epochs=3, seed=seed, **SETTINGS), model))
        assert torch.equal(torch.get_rng_state(), state)
    (first, model), (again, model_again), (other, model_other) = runs
    assert first.train == again.train and same(model, model_again)
    assert first.train != other.train and not same(model, model_other)


def test_the_best_epoch_stays_and_patience_ends_the_run():
    class Drifting(Coins):
        """Its validation loss is 5, 4, 3, 4, 5, ... whatever it learns."""

        def loss(self, x):
            if self.training:
                self.epochs.add(len(self.valid))
                return self.logits.sum()
            self.valid.append(self.logits.detach().clone())
            return torch.tensor(3.0 + abs(len(self.valid) - 3))

    model = Drifting()
    model.valid, model.epochs = [], set()
    history = fit(model, coins(), epochs=50, batch_size=50, lr=0.1, patience=4)
    assert history.valid == [5, 4, 3, 4, 5, 6, 7] and history.best_epoch == 3
    assert torch.equal(model.logits, model.valid[2]) and not torch.equal(model.logits, model.valid[-1])
    assert not model.training


def test_the_optimizer_is_the_one_asked_for():
    ds, model = coins(), Coins()
    fit(model, ds, epochs=1, batch_size=50, lr=0.5, optimizer=torch.optim.SGD)
    gradient = 0.5 - ds.train.x.double().mean(0)
    torch.testing.assert_close(model.logits.detach().double(), -0.5 * gradient)


def test_the_learning_rate_decays_by_the_step_and_the_weights_are_averaged():
    """Against stochastic gradient descent by hand: two epochs of two steps."""

    class Steady(Coins):
        def loss(self, x):
            return (self.logits * torch.arange(1.0, D + 1)).sum()

    model, gradient = Steady(), torch.arange(1.0, D + 1)
    settings = dict(batch_size=25, lr=1.0, optimizer=torch.optim.SGD)
    history = fit(model, coins(), epochs=2, lr_decay=0.5, average=0.75, **settings)
    at_steps = [-gradient * taken for taken in (1.0, 1.5, 1.75, 1.875)]
    mean = at_steps[0]
    for position in at_steps[1:]:
        mean = 0.75 * mean + 0.25 * position
    torch.testing.assert_close(model.logits.detach(), mean)
    assert history.valid[-1] == pytest.approx(float(mean @ gradient))


class Slope(Coins):
    """Its gradient is 1, 2, ..., 6 whatever the images are: of norm sqrt(91)."""

    def loss(self, x):
        return (self.logits * torch.arange(1.0, D + 1)).sum()


@pytest.mark.parametrize(("clip", "norm"), [(None, 91**0.5), (100.0, 91**0.5), (0.5, 0.5)])
def test_a_gradient_is_scaled_down_to_the_norm_asked_for(clip, norm):
    model = Slope()
    fit(model, coins(), epochs=1, batch_size=50, lr=1.0, optimizer=torch.optim.SGD, clip=clip)
    torch.testing.assert_close(model.logits.detach(), -torch.arange(1.0, D + 1) * norm / 91**0.5)


def test_a_checkpoint_from_before_a_setting_is_one_without_it(tmp_path):
    path = tmp_path / "run.safetensors"
    fit(Coins(), coins(), epochs=1, checkpoint=path, **SETTINGS)
    records, tensors = checkpoints.read(path)
    del records["checksum"], records["settings"]["clip"]
    checkpoints.write(path, tensors, records)
    with pytest.raises(ValueError, match="clip was None and is now 0.5"):
        fit(Coins(), coins(), epochs=2, checkpoint=path, clip=0.5, **SETTINGS)
    assert fit(Coins(), coins(), epochs=2, checkpoint=path, **SETTINGS).epochs == 2


def test_parameters_with_a_rate_of_their_own_keep_it():
    def twice_as_fast(parameters, lr):
        return torch.optim.SGD([{"params": list(parameters), "lr": 2 * lr}], lr=lr)

    ds, model = coins(), Coins()
    fit(model, ds, epochs=1, batch_size=50, lr=0.25, optimizer=twice_as_fast)
    gradient = 0.5 - ds.train.x.double().mean(0)
    torch.testing.assert_close(model.logits.detach().double(), -0.5 * gradient)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, partial(torch.optim.SGD, momentum=0.9)])
@pytest.mark.parametrize("more", [{}, {"lr_decay": 0.9, "average": 0.8}])
def test_a_resumed_run_is_bit_identical_to_an_uninterrupted_one(tmp_path, optimizer, more):
    whole, settings = Noisy(), {"optimizer": optimizer, **SETTINGS, **more}
    expected = fit(whole, coins(), epochs=7, **settings)
    path = tmp_path / "folder" / "run.safetensors"
    for epochs in (2, 3, 7):
        torch.manual_seed(epochs)  # a new process has another global state
        model = Noisy(seed=0 if epochs == 2 else epochs)  # once resumed, its own weights do not matter
        history = fit(model, coins(), epochs=epochs, checkpoint=path, **settings)
    assert same(model, whole)
    assert (history.train, history.valid) == (expected.train, expected.valid)
    assert [file.name for file in path.parent.iterdir()] == ["run.safetensors"]


def test_a_finished_run_is_not_run_again(tmp_path):
    path = tmp_path / "run.safetensors"
    first = Coins()
    history = fit(first, coins(), epochs=100, patience=2, checkpoint=path, batch_size=50, lr=1.0)
    assert len(history.valid) < 100
    second = Coins()
    again = fit(second, coins(), epochs=100, patience=2, checkpoint=path, batch_size=50, lr=1.0)
    assert again == history and same(first, second)


class Clock:
    """Half a minute passes between two readings."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 30.0
        return self.now


def test_a_budget_of_minutes_ends_the_run_after_an_epoch_and_a_larger_one_resumes_it(tmp_path):
    settings = SETTINGS | dict(clock=Clock())
    path, whole = tmp_path / "run.safetensors", Noisy()
    expected = fit(whole, coins(), epochs=5, **settings)
    assert (expected.ended, expected.seconds) == ("epochs", 150.0)
    history = fit(Noisy(), coins(), minutes=0.9, checkpoint=path, **settings)
    assert (len(history.valid), history.seconds, history.ended) == (2, 60.0, "minutes")
    assert fit(Noisy(), coins(), minutes=0.9, checkpoint=path, **settings) == history  # its time is over
    model = Noisy(seed=1)
    resumed = fit(model, coins(), minutes=2.5, checkpoint=path, **settings)
    assert same(model, whole) and (resumed.train, resumed.valid) == (expected.train, expected.valid)


def test_the_first_limit_ends_the_run():
    settings = SETTINGS | dict(clock=Clock())
    assert fit(Coins(), coins(), epochs=3, minutes=100, **settings).ended == "epochs"
    assert len(fit(Coins(), coins(), epochs=3, minutes=0.01, **settings).valid) == 1
    history = fit(Coins(), coins(), patience=2, minutes=100, batch_size=50, lr=1.0, clock=Clock())
    assert history.ended == "patience" and len(history.valid) == history.best_epoch + 2
    with pytest.raises(ValueError, match="nothing would end the run: give epochs, minutes or both"):
        fit(Untouched(), coins(), **SETTINGS)


def test_each_epoch_is_reported_once_its_checkpoint_is_written(tmp_path):
    path, seen = tmp_path / "run.safetensors", []

    def report(history: History):
        with safe_open(path, framework="pt") as file:
            assert json.loads(file.metadata()["history"])["valid"] == history.valid
        seen.append((history.epochs, history.train[-1]))

    for epochs in (2, 3):
        history = fit(Coins(), coins(), epochs=epochs, checkpoint=path, on_epoch=report, **SETTINGS)
    assert seen == list(enumerate(history.train, start=1))


def test_resume_false_starts_afresh(tmp_path):
    path = tmp_path / "run.safetensors"
    fit(Coins(), coins(), epochs=3, checkpoint=path, **SETTINGS)
    assert len(fit(Coins(), coins(), epochs=2, checkpoint=path, resume=False, **SETTINGS).valid) == 2


def test_a_killed_process_can_be_resumed(tmp_path):
    path = tmp_path / "run.safetensors"
    script = f"""
import sys
sys.path.insert(0, {os.getcwd()!r})
from tests.course_lib.test_training import Noisy, coins, fit, SETTINGS
print("ready", flush=True)
fit(Noisy(), coins(), epochs=100_000, checkpoint={str(path)!r}, **SETTINGS)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    process.stdout.readline()
    while not path.exists():
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with safe_open(path, framework="pt") as file:
        done = len(json.loads(file.metadata()["history"])["valid"])
    resumed, whole = Noisy(), Noisy()
    fit(resumed, coins(), epochs=done + 2, checkpoint=path, **SETTINGS)
    fit(whole, coins(), epochs=done + 2, **SETTINGS)
    assert same(resumed, whole)


def test_a_failed_write_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    fit(Coins(), coins(), epochs=2, checkpoint=path, **SETTINGS)
    good = path.read_bytes()

    def full_disk(tensors, filename, metadata):
        filename.write_bytes(good[: len(good) // 2])
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full_disk)
    with pytest.raises(OSError, match=re.escape(f"cannot write the checkpoint {path} (no space")):
        fit(Coins(), coins(), epochs=3, checkpoint=path, **SETTINGS)
    assert path.read_bytes() == good and list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_holds_tensors_and_json_only(tmp_path):
    path = tmp_path / "run.safetensors"
    fit(Coins(), coins(), epochs=1, checkpoint=path, **SETTINGS)
    with safe_open(path, framework="pt") as file:
        assert set(file.keys()) == {
            "model.logits", "best.logits", "optimizer.0.step", "optimizer.0.exp_avg", "optimizer.0.exp_avg_sq"
        }  # fmt: skip
        assert {name: type(json.loads(text)) for name, text in file.metadata().items()} == {
            "settings": dict,
            "history": dict,
            "data": dict,
            "buffers": dict,
            "model": type(None),  # a class of our own
            "checksum": int,
        }


def test_a_checkpoint_of_another_model_names_the_tensors_that_differ(tmp_path):
    path = tmp_path / "run.safetensors"
    fit(Noisy(hidden=8), coins(), epochs=1, checkpoint=path, **SETTINGS)
    with pytest.raises(ValueError, match="another model") as error:
        fit(Noisy(hidden=9), coins(), epochs=2, checkpoint=path, **SETTINGS)
    assert "net.0.weight is (8, 6) torch.float32 in the checkpoint and (9, 6)" in str(error.value)
    assert "net.2.bias" not in str(error.value)
    with pytest.raises(ValueError, match=r"logits is missing in the checkpoint and \(6,\)"):
        fit(Coins(), coins(), epochs=2, checkpoint=path, **SETTINGS)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    fit(Coins(), coins(), epochs=1, checkpoint=path, **SETTINGS)
    with pytest.raises(ValueError, match="lr was 0.05 and is now 0.1"):
        fit(Coins(), coins(), epochs=2, checkpoint=path, batch_size=16, lr=0.1)


class Ordered(Coins):
    """Has buffers of both kinds: `order` defines the model, `steps` and `mean` are learned."""

    def __init__(self, order: list[int]):
        super().__init__()
        self.register_buffer("order", torch.tensor(order))
        self.register_buffer("steps", torch.tensor(0))
        self.register_buffer("mean", torch.full((D,), torch.nan))

    def log_prob(self, x):
        if self.training:
            self.steps += 1
            self.mean = x.float().mean(0)
        return super().log_prob(x)


def test_a_checkpoint_of_a_model_with_other_buffers_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    fit(Ordered([0, 1, 2, 3, 4, 5]), coins(), epochs=1, checkpoint=path, **SETTINGS)
    model, good = Ordered([0, 1, 3, 2, 4, 5]), path.read_bytes()
    with pytest.raises(ValueError, match="another model") as error:
        fit(model, coins(), epochs=2, checkpoint=path, **SETTINGS)
    assert "order differs in 2 of 6 numbers, at [2] it is 2 in the checkpoint and 3 in the model" in str(error.value)
    assert "Build the model with the same arguments" in str(error.value)
    assert "steps" not in str(error.value) and "mean" not in str(error.value)
    assert model.order.tolist() == [0, 1, 3, 2, 4, 5] and path.read_bytes() == good


@pytest.mark.parametrize("built", [lambda: NADE(D, 3), lambda: MADE(D, [9])], ids=["NADE", "MADE"])
def test_a_checkpoint_of_another_ordering_is_refused(tmp_path, built):
    path, backwards = tmp_path / "run.safetensors", list(range(D))[::-1]
    fit(built(), coins(), epochs=1, checkpoint=path, **SETTINGS)
    fit(built(), coins(), epochs=2, checkpoint=path, **SETTINGS)
    other = NADE(D, 3, order=backwards) if isinstance(built(), NADE) else MADE(D, [9], order=backwards)
    with pytest.raises(ValueError, match=r"order differs in 6 of 6 numbers, at \[0\] it is 0 in the checkpoint and 5"):
        fit(other, coins(), epochs=3, checkpoint=path, **SETTINGS)
    assert other.order.tolist() == backwards


def test_buffers_that_training_changes_are_resumed(tmp_path):
    """In two sessions with the same object and in a third with a new one: as one run."""
    path, order = tmp_path / "run.safetensors", list(range(D))
    whole, model = Ordered(order), Ordered(order)
    expected = fit(whole, coins(), epochs=6, **SETTINGS)
    fit(model, coins(), epochs=2, checkpoint=path, **SETTINGS)
    fit(model, coins(), epochs=4, checkpoint=path, **SETTINGS)
    model = Ordered(order)
    assert fit(model, coins(), epochs=6, checkpoint=path, **SETTINGS).valid == expected.valid
    assert same(model, whole) and model.steps == 4 * expected.best_epoch


def labelled(x: torch.Tensor, y: torch.Tensor, valid: int = 20) -> Dataset:
    return Dataset("d", (D,), 2, Split(x, y), Split(x[:valid], y[:valid]), Split(x))


def changed(tensor: torch.Tensor) -> torch.Tensor:
    """The same numbers, but for the last."""
    tensor = tensor.clone()
    tensor.view(-1)[-1] = 1 - tensor.view(-1)[-1]
    return tensor


def test_a_number_of_numpy_is_the_same_setting(tmp_path):
    path = tmp_path / "c.safetensors"
    fit(Coins(), coins(), epochs=1, checkpoint=path, **{**SETTINGS, "batch_size": np.int64(16), "seed": np.int64(3)})
    history = fit(Coins(), coins(), epochs=2, checkpoint=path, **{**SETTINGS, "batch_size": 16, "seed": 3})
    assert len(history.valid) == 2


@pytest.mark.parametrize(
    "other, message",
    [
        (
            lambda: labelled(X[:49], Y[:49]),
            r"train.x was \(50, 6\) torch.int64 and is now \(49, 6\).*; train.y",
        ),
        (
            lambda: labelled(X, Y, valid=9),
            r": valid.x was \(20, 6\) torch.int64 and is now \(9, 6\).*; valid.y",
        ),
        (lambda: labelled(X.byte(), Y), r"train.x was \(50, 6\) torch.int64 and is now \(50, 6\) torch.uint8"),
        (lambda: labelled(changed(X), Y), r": train.x has the same shape, but other values\. "),
        (lambda: labelled(X, changed(Y)), r": train.y has the same shape, but other values\. "),
        (lambda: labelled(X, Y.flip(0)), r"train.y has the same shape, but other values; valid.y has"),
    ],
)
def test_a_checkpoint_of_other_data_of_the_same_name_is_refused(tmp_path, other, message):
    path = tmp_path / "run.safetensors"
    fit(Classes(), labelled(X, Y), epochs=1, checkpoint=path, labels=True, **SETTINGS)
    with pytest.raises(ValueError, match="a checkpoint of other data.*" + message) as error:
        fit(Classes(), other(), epochs=2, checkpoint=path, labels=True, **SETTINGS)
    assert "resume=False" in str(error.value)


def test_the_same_data_in_another_layout_or_with_other_labels_of_the_same_classes_are_the_same_data(tmp_path):
    path = tmp_path / "run.safetensors"
    fit(Classes(), labelled(X, Y), epochs=1, checkpoint=path, labels=True, **SETTINGS)
    strided = X.t().contiguous().t()
    assert not strided.is_contiguous()
    fit(Classes(), labelled(strided, Y.byte()), epochs=2, checkpoint=path, labels=True, **SETTINGS)
    large = torch.randint(256, (100, 300, 300), dtype=torch.uint8)  # more than one block of the checksum
    expected = checksum({"x": large})
    assert checksum({"x": large.transpose(1, 2).contiguous().mT}) == expected != checksum({"x": changed(large)})


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "run.safetensors"
    if content is None:
        save_file({"weight": torch.zeros(2)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="not a checkpoint"):
        fit(Coins(), coins(), epochs=1, checkpoint=path, **SETTINGS)


def test_a_flipped_bit_is_refused_wherever_it_is_and_nothing_is_lost(tmp_path):
    path, damaged = tmp_path / "run.safetensors", tmp_path / "damaged.safetensors"
    history = fit(Ordered(list(range(D))), coins(), epochs=1, checkpoint=path, **SETTINGS)
    good = path.read_bytes()
    found = set()
    for position in range(0, len(good), 37):
        content = bytearray(good)
        content[position] ^= 1 << position % 8
        damaged.write_bytes(content)
        model = Ordered(list(range(D)))
        with pytest.raises(
            ValueError, match="damaged.safetensors is damaged.*The file is unchanged: restore a copy"
        ) as error:
            fit(model, coins(), epochs=1, checkpoint=damaged, **SETTINGS)
        assert "resume=False" in str(error.value) and not model.logits.any()
        assert damaged.read_bytes() == content
        found.add("its checksum is not that of its content" in str(error.value))
    assert found == {True, False}  # the first bytes are the header's
    assert fit(Ordered(list(range(D))), coins(), epochs=1, checkpoint=path, **SETTINGS) == history


def test_a_checkpoint_from_before_checksums_is_resumed_with_a_warning(tmp_path):
    path = tmp_path / "run.safetensors"
    whole, model = Noisy(), Noisy()
    fit(whole, coins(), epochs=3, **SETTINGS)
    fit(Noisy(), coins(), epochs=1, checkpoint=path, **SETTINGS)
    with safe_open(path, framework="pt") as file:
        old = {name: file.metadata()[name] for name in ("settings", "history")}
    save_file(load_file(path), path, metadata=old)
    with pytest.warns(UserWarning, match=r"run.safetensors was written by an earlier version .* cannot check"):
        fit(Noisy(), coins(), epochs=2, checkpoint=path, **SETTINGS)
    fit(model, coins(), epochs=3, checkpoint=path, **SETTINGS)  # the new checkpoint has checksums
    assert same(model, whole)


def unwritable(folder: Path, kind: str) -> Path:
    (folder / "file").write_text("")
    return {"below a file": folder / "file" / "run", "a folder": folder, "no such place": Path("/proc/no/run")}[kind]


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("kind", ["below a file", "a folder", "no such place"])
def test_a_checkpoint_that_cannot_be_written_is_refused_before_training(tmp_path, kind, resume):
    path = unwritable(tmp_path, kind)
    before = sorted(tmp_path.parent.iterdir()), sorted(tmp_path.iterdir())
    with pytest.raises(OSError, match=f"cannot (read|write) the checkpoint {re.escape(str(path))}"):
        fit(Untouched(), coins(), epochs=1, checkpoint=path, resume=resume, **SETTINGS)
    assert (sorted(tmp_path.parent.iterdir()), sorted(tmp_path.iterdir())) == before


def test_a_finished_run_is_read_where_nothing_can_be_written(tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    history = fit(Coins(), coins(), epochs=2, checkpoint=path, **SETTINGS)
    monkeypatch.setattr(Path, "touch", lambda self: pytest.fail("nothing has to be written"))
    assert fit(Coins(), coins(), epochs=2, checkpoint=path, **SETTINGS) == history


def test_a_diverging_loss_is_reported_and_the_checkpoint_remains(tmp_path):
    class Diverging(Coins):
        steps = 0

        def log_prob(self, x):
            self.steps += self.training
            return super().log_prob(x) * (float("nan") if self.steps == 6 else 1.0)

    path = tmp_path / "run.safetensors"
    model = Diverging()
    with pytest.raises(FloatingPointError, match="became nan in epoch 2, batch 2") as error:
        fit(model, coins(), epochs=5, checkpoint=path, **SETTINGS)  # 4 batches per epoch
    assert "smaller learning rate" in str(error.value) and str(path) in str(error.value)
    assert model.logits.isfinite().all()
    assert len(fit(Coins(), coins(), epochs=1, checkpoint=path, **SETTINGS).valid) == 1


def test_a_validation_loss_that_is_no_number_is_reported():
    class Blind(Coins):
        def log_prob(self, x):
            return super().log_prob(x) * (1.0 if self.training else float("nan"))

    with pytest.raises(FloatingPointError, match="became nan in epoch 1, validation"):
        fit(Blind(), coins(), epochs=5, **SETTINGS)


@pytest.mark.parametrize("n, n_valid, split", [(0, 5, "train"), (5, 0, "valid")])
def test_an_empty_split_is_refused(n, n_valid, split):
    with pytest.raises(ValueError, match=f"the {split} split of coins is empty"):
        fit(Coins(), coins(n, n_valid), epochs=1, **SETTINGS)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"epochs": 0}, {"batch_size": 0}, {"lr": 0.0}, {"lr": -1.0}, {"seed": -1}, {"patience": 0}),
        *({"minutes": 0.0}, {"minutes": "1"}),
        *({"clip": 0.0}, {"clip": -1.0}, {"clip": "1"}),
        *({"lr_decay": 0.0}, {"lr_decay": 1.1}, {"average": 0.0}, {"average": 1.0}),
        *({"epochs": 2.5}, {"batch_size": 16.0}, {"seed": 0.5}, {"patience": 1.5}),
        *({"lr": None}, {"lr": "0.1"}, {"lr_decay": None}, {"average": "0.9"}),
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} must be"):
        fit(Coins(), coins(), **{"epochs": 1, **SETTINGS, **wrong})


@pytest.mark.parametrize(
    "train, valid, message",
    [
        (Split(X), None, r"the valid split of d is None: fit needs training images .* and validation images"),
        (None, Split(X), "the train split of d is None"),
        (Split(None), Split(X), r"train.x of d must be a tensor whose first axis counts the images, got NoneType"),
        (Split(X), Split(X.numpy()), r"valid.x of d must be a tensor .*, got ndarray"),
        (Split(torch.tensor(1)), Split(X), r"train.x of d must be a tensor .*, got a tensor without axes"),
        (Split(X), Split(X[:, 1:]), r"the images of d have shape \(6,\) in train.x and \(5,\) in valid.x"),
    ],
)
def test_data_that_cannot_be_trained_on_are_refused_before_training(train, valid, message):
    with pytest.raises(ValueError, match=message):
        fit(Untouched(), Dataset("d", (D,), 2, train, valid, valid), epochs=1, **SETTINGS)


@pytest.mark.parametrize(
    "y, message",
    [
        (None, "the valid split of d has no labels"),
        (Y.float(), r"valid.y of d must hold whole numbers .*, got torch.float32"),
        (Y.tolist(), r"valid.y of d must be a tensor of shape \(50,\), .*, got list"),
        (
            Y[:49],
            r"valid.y of d must be a tensor of shape \(50,\), one label per image, or \(50, kinds\), got shape \(49,\)",
        ),
        (Y[:, None, None], r"got shape \(50, 1, 1\)"),
        (Y[0], r"got shape \(\)"),
    ],
)
def test_labels_that_cannot_be_trained_on_are_refused_before_training(y, message):
    dataset = Dataset("d", (D,), 2, Split(X, Y), Split(X, y), Split(X))
    with pytest.raises(ValueError, match=message):
        fit(Untouched(), dataset, epochs=1, labels=True, **SETTINGS)


@pytest.mark.parametrize(
    "context, message",
    [
        (None, r"valid.context of d must be a tensor of shape \(50, channels, ...\), got NoneType"),
        (X[:49].float(), r"got shape \(49, 6\)"),
        (X, r"valid.context of d must hold real numbers, got torch.int64"),
    ],
)
def test_a_context_that_cannot_be_trained_on_is_refused_before_training(context, message):
    dataset = Dataset("d", (D,), 2, Split(X, context=X.float()), Split(X, context=context), Split(X))
    with pytest.raises(ValueError, match=message):
        fit(Untouched(), dataset, epochs=1, context=True, **SETTINGS)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.int8, torch.int32, torch.uint16])
def test_labels_of_every_whole_dtype_name_the_same_classes(dtype):
    y, models = Y % 2, []
    for labels in (y, y.to(dtype)):
        split = Split(X[:48], labels[:48])
        models.append(Classes())
        # With a batch of as many images as there are classes, a mask raises no error.
        fit(models[-1], Dataset("d", (D,), 2, split, split, split), labels=True, epochs=2, batch_size=3, lr=0.1)
    assert same(*models) and models[0].logits.any(dim=1).tolist() == [True, True, False]


def test_nothing_is_printed_where_nobody_watches(capfd):
    fit(Coins(), coins(), epochs=2, **SETTINGS)
    assert capfd.readouterr() == ("", "")


def test_advice_of_fabric_is_not_printed(monkeypatch):
    """On a GPU it prints some when it places the model there."""
    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    monkeypatch.setattr(CPUAccelerator, "setup_device", lambda self, device: rank_zero_info("use TensorFloat32"))
    monkeypatch.setattr(logging.getLogger("lightning_fabric"), "handlers", [handler])
    fit(Coins(), coins(), epochs=1, **SETTINGS)
    rank_zero_info("for others it prints")
    assert said == ["for others it prints"]


def test_a_terminal_gets_a_progress_bar_unless_it_is_turned_off(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    fit(Coins(), coins(), epochs=2, progress=False, **SETTINGS)
    assert terminal.getvalue() == ""
    fit(Coins(), coins(), epochs=2, **SETTINGS)
    assert "8/8" in terminal.getvalue() and "valid=" in terminal.getvalue()


def test_mixed_precision_keeps_the_weights_and_the_validation_in_float32():
    """The GPU's default precision, here on a CPU."""
    seen = {}

    class Watched(Noisy):
        def log_prob(self, x):
            seen[self.training] = self.net(x.float()).dtype
            return super().log_prob(x)

    fabric = Fabric(accelerator="cpu", plugins=MixedPrecision("bf16-mixed", device="cpu"))
    model, plain = Watched(), Watched()
    history = fit(model, coins(), epochs=3, fabric=fabric, **SETTINGS)
    assert seen == {True: torch.bfloat16, False: torch.float32}
    assert all(tensor.dtype == torch.float32 for tensor in weights(model))
    assert history.valid == pytest.approx(fit(plain, coins(), epochs=3, **SETTINGS).valid, rel=0.02)


def test_two_processes_take_the_steps_of_one(tmp_path):
    """With 48 images in batches of 16 they share every batch equally: the same steps, up to rounding."""
    settings = dict(epochs=3, batch_size=16, lr=0.05)
    script = tmp_path / "two.py"
    script.write_text(f"""
import sys
sys.path.insert(0, {os.getcwd()!r})
import torch
from lightning_fabric import Fabric
from safetensors.torch import save_file
from tests.course_lib.test_training import Coins, coins, fit

def train(fabric):
    model = Coins()
    history = fit(model, coins(48), fabric=fabric, **{settings!r})
    losses = torch.tensor([history.train, history.valid])
    save_file({{"logits": model.logits.detach(), "losses": losses}}, f"{tmp_path}/{{fabric.global_rank}}")

Fabric(accelerator="cpu", devices=2, strategy="ddp_fork").launch(train)
""")
    subprocess.run([sys.executable, script], check=True, capture_output=True)
    model = Coins()
    history = fit(model, coins(48), **settings)
    for rank in "01":
        result = load_file(tmp_path / rank)
        torch.testing.assert_close(result["logits"], model.logits.detach())
        torch.testing.assert_close(result["losses"], torch.tensor([history.train, history.valid]))


def test_a_history_without_epochs_prints():
    assert str(History()) == "no epochs" and History().best_epoch == 0


def test_a_history_ends_with_the_speed_of_training(tmp_path):
    path, settings = tmp_path / "run.safetensors", SETTINGS | dict(clock=Clock())
    history = fit(Coins(), coins(), epochs=2, checkpoint=path, **settings)
    assert (history.images, history.device, history.precision) == (100, "CPU", "float32")
    assert 0 < history.training_seconds < 60 == history.seconds  # which another clock counts
    assert re.search(r" nats; [\d,.]+ images/s on CPU in float32$", str(history))
    history = fit(Coins(), coins(), epochs=3, checkpoint=path, **settings)
    assert history.images == 150
    fabric = Fabric(accelerator="cpu", plugins=MixedPrecision("bf16-mixed", device="cpu"))
    history = fit(Coins(), coins(), epochs=4, checkpoint=path, fabric=fabric, **settings)
    assert (history.images, history.precision) == (50, "bfloat16 mixed precision")  # from where it was another
    assert fit(Coins().double(), coins(), epochs=1, **SETTINGS).precision == "float64"


@pytest.mark.parametrize(
    ("seconds", "speed"), [(1.0, "5,400"), (0.001, "5,400,000"), (100.0, "54"), (1000.0, "5.4"), (1e5, "0.054")]
)
def test_a_speed_is_given_to_two_digits(seconds, speed):
    history = History([1.0], [2.0], images=5432, training_seconds=seconds, device="CPU", precision="float32")
    assert str(history).endswith(f"valid 2.00 nats; {speed} images/s on CPU in float32")
    assert str(History([1.0], [2.0])).endswith("valid 2.00 nats")


def test_a_checkpoint_from_before_speeds_is_resumed(tmp_path):
    path = tmp_path / "run.safetensors"
    fit(Coins(), coins(), epochs=1, checkpoint=path, **SETTINGS)
    records, tensors = checkpoints.read(path)
    for name in ("images", "training_seconds", "device", "precision"):
        del records["history"][name]
    del records["checksum"]
    checkpoints.write(path, tensors, records)
    assert str(fit(Coins(), coins(), epochs=1, checkpoint=path, **SETTINGS)).endswith("nats")
    assert fit(Coins(), coins(), epochs=3, checkpoint=path, **SETTINGS).images == 100


# The divergence itself


def test_the_divergence_left_is_what_the_model_cannot_represent():
    states = torch.cartesian_prod(*[torch.arange(2)] * 3)
    logistic = FVBN(3)
    with torch.no_grad():
        logistic.linear.weight.normal_(generator=torch.Generator().manual_seed(0))
        log_p = logistic.log_prob(states)
    assert fit_exactly(FVBN(3), states, log_p, steps=100) < 1e-6
    parity = torch.where(states.sum(1) % 2 == 0, 0.25, 0.0)  # each pixel is a fair coin given any two
    left = fit_exactly(FVBN(3), states, (parity + 1e-12).log(), steps=100)
    assert left == pytest.approx(torch.tensor(2.0).log().item(), abs=1e-6)


class WithTerms(nn.Module):
    """A model whose loss has two parts, one of them noisy."""

    def __init__(self):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(2))

    def loss_terms(self, x):
        return {"distance": (x - self.mean).square().sum(1), "noise": torch.rand(len(x))}

    def loss(self, x):
        return sum(term.mean() for term in self.loss_terms(x).values())


@pytest.mark.parametrize("average", [None, 0.5])
def test_the_terms_of_a_loss_are_recorded_and_resumed(tmp_path, average):
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    ds = Dataset("points", (2,), None, Split(x[:30]), Split(x[30:]), Split(x[30:]))
    settings = dict(batch_size=8, lr=0.1, average=average)
    model = WithTerms()
    history = fit(model, ds, epochs=4, **settings)
    assert list(history.terms) == ["distance", "noise"]
    for epoch in range(4):  # the noise is the validation's own, so that the parts add up
        assert sum(values[epoch] for values in history.terms.values()) == pytest.approx(history.valid[epoch], abs=1e-5)
    best = history.best_epoch - 1
    expected = (x[30:] - model.mean).square().sum(1).mean().item()
    assert history.terms["distance"][best] == pytest.approx(expected, rel=1e-5)
    for epochs in (2, 4):
        resumed = fit(WithTerms(), ds, epochs=epochs, checkpoint=tmp_path / "run", **settings)
    assert (resumed.terms, resumed.unit) == (history.terms, "nats")


# A device that one should not wait for


class AnyDevice(CPUAccelerator):
    def setup_device(self, device):
        pass


def unreadable() -> Fabric:
    """A device whose tensors have no values: to read one, or to copy one from it, is an error."""
    return Fabric(accelerator=AnyDevice(), strategy=SingleDeviceStrategy(device=torch.device("meta")))


def drawn(shape: tuple[int, ...], classes: int | None = None, n: int = 20) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(2, (n, *shape), generator=generator)
    y = None if classes is None else torch.randint(classes, (n,), generator=generator)
    return Dataset("d", shape, 2, *[Split(x, y)] * 3)


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: MADE(9, [8]), (9,)),
        (lambda: MADE(9, [8], classes=3), (9,)),
        (lambda: PixelCNN((1, 4, 4), 2, 4, 1), (1, 4, 4)),
        (lambda: VAE((9,), 2, latents=2, hidden=[8]), (9,)),
        (lambda: ConditionalVAE((9,), 2, latents=2, hidden=[8], classes=3), (9,)),
    ],
    ids=["MADE", "MADE with labels", "PixelCNN", "VAE", "ConditionalVAE"],
)
def test_no_step_reads_from_the_device(monkeypatch, build, shape):
    model = build().to("meta")
    monkeypatch.setattr(training, "_mean", lambda losses, lengths: 0.0)  # the only look at the losses
    monkeypatch.setattr(training, "_mean_terms", lambda model, batches: {})
    monkeypatch.setattr(training, "_Watch", lambda check, device: Unconcerned())
    settings = dict(epochs=2, lr_decay=0.9, average=0.9, fabric=unreadable(), labels=bool(model.classes))
    history = fit(model, drawn(shape, classes=3), **SETTINGS, **settings)
    assert history.valid == [0.0, 0.0]


class Transfers(TorchDispatchMode):
    """Counts the operations with tensors of two devices, but for single numbers: a device has those sent along."""

    def __init__(self):
        super().__init__()
        self.seen = Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves((args, kwargs, result)) if isinstance(each, torch.Tensor)]
        if len({tensor.device for tensor in tensors if tensor.ndim}) > 1:
            self.seen[operation.overloadpacket.__name__] += 1
        return result


def test_the_order_of_the_images_is_sent_once_an_epoch(monkeypatch):
    monkeypatch.setattr(training, "_mean", lambda losses, lengths: 0.0)
    monkeypatch.setattr(training, "_Watch", lambda check, device: Unconcerned())
    model = MADE(9, [8]).to("meta")
    with Transfers() as transfers:
        fit(model, drawn((9,)), epochs=3, batch_size=2, lr=0.1, fabric=unreadable())
    assert transfers.seen == {"_to_copy": 2 + 3}  # the images of both splits, and an order for each epoch


class Unconcerned:
    def __call__(self, where, player, loss):
        assert loss.device.type == "meta" and not loss.requires_grad

    def finish(self):
        pass


def test_models_look_at_shapes_but_not_at_values_that_are_checked():
    model, x = MADE(3, [8], classes=3), torch.tensor([[0, 1, 2]])
    with checked_values():
        model.log_prob(x, labels=torch.tensor([0]))
        with pytest.raises(ValueError, match="x must have shape"):
            model.log_prob(x[:, :2], labels=torch.tensor([0]))
        with pytest.raises(ValueError, match="labels must be 1 integers"):
            model.log_prob(x, labels=torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="x must lie in 0..1"):
        model.log_prob(x, labels=torch.tensor([0]))
    with pytest.raises(ValueError, match="labels must be 1 integers 0..2, one per image; got 3 to 3"):
        model.log_prob(x.clamp(max=1), labels=torch.tensor([3]))


@pytest.mark.parametrize("split", ["train", "valid"])
@pytest.mark.parametrize("wrong", ["x", "y"])
def test_values_out_of_range_are_refused_before_training(split, wrong):
    model, good = MADE(D, [8], classes=3), Split(X, Y)
    bad = Split(2 * X, Y) if wrong == "x" else Split(X, Y + 1)
    before = [weight.clone() for weight in weights(model)]
    ds = Dataset("d", (D,), 2, *((bad, good) if split == "train" else (good, bad)), good)
    message = {"x": "x must lie in 0..1, as this model has 2 levels; got 0 to 2", "y": "labels must be .*; got 1 to 3"}
    with pytest.raises(ValueError, match=rf"{message[wrong]} \(in the {split} split of d\)"):
        fit(model, ds, epochs=1, labels=True, **SETTINGS)
    assert all(map(torch.equal, before, weights(model)))


class Events:
    """Of a GPU that is behind: an event has come when so many later ones have been recorded."""

    def __init__(self, behind: int):
        self.behind, self.recorded = behind, []

    def __call__(self):
        return Event(self)


class Event:
    def __init__(self, events: Events):
        self.events = events

    def record(self):
        self.events.recorded.append(self)

    def query(self):
        return len(self.events.recorded) - self.events.recorded.index(self) > self.events.behind

    def synchronize(self):
        self.events.behind = 0


@pytest.mark.parametrize(("behind", "at_step"), [(0, 3), (2, 5), (100, None)])
def test_a_loss_of_a_gpu_is_looked_at_when_it_has_come(monkeypatch, behind, at_step):
    monkeypatch.setattr(torch.cuda, "Event", Events(behind))
    looked = []

    def check(where, player, loss):
        looked.append((where, player))
        if loss.isnan():
            raise FloatingPointError(where)

    watch = training._Watch(check, torch.device("cuda"))
    taken = 0
    with pytest.raises(FloatingPointError, match="batch 3"):
        for step in range(1, 8):
            taken = step
            watch(f"batch {step}", "generator", torch.tensor(1.0 if step != 3 else torch.nan))
        taken = None
        watch.finish()
    assert taken == at_step
    assert looked == [(f"batch {step}", "generator") for step in (1, 2, 3)]


def test_every_loss_of_a_gpu_is_looked_at_by_the_end_of_an_epoch(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Event", Events(3))
    looked = []
    watch = training._Watch(lambda where, player, loss: looked.append(loss.item()), torch.device("cuda"))
    for step in range(6):
        watch("", "", torch.tensor(float(step)))
    assert looked == [0.0, 1.0, 2.0]
    watch.finish()
    assert looked == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    ("optimizer", "device", "fused"),
    [
        (torch.optim.Adam, "cuda", True),
        (torch.optim.AdamW, "cuda", True),
        (partial(torch.optim.SGD, momentum=0.9), "cuda", True),
        (torch.optim.Adam, "cpu", None),
        (partial(torch.optim.Adam, fused=False), "cuda", False),
        (partial(torch.optim.Adam, foreach=True), "cuda", None),
        (torch.optim.Adagrad, "cuda", None),
        (torch.optim.RMSprop, "cuda", None),
    ],
)
def test_an_optimizer_that_has_one_kernel_for_all_weights_uses_it(optimizer, device, fused):
    with FakeTensorMode():  # there may be no GPU
        parameters = [nn.Parameter(torch.zeros(3, device=device)), nn.Parameter(torch.zeros(2, device=device))]
        made = optimizer(parameters, lr=0.1)
    defaults = dict(made.defaults)
    training._fuse(made)
    assert made.param_groups[0].get("fused") is fused
    assert made.defaults == defaults


@pytest.mark.parametrize("first", [True, False])
def test_a_checkpoint_of_one_kernel_is_one_of_many(tmp_path, monkeypatch, first):
    """As if a run went on from a CPU on a GPU, or the other way round."""

    def fuse(optimizer):
        optimizer.param_groups[0]["fused"] = True

    whole, model, path = Noisy(), Noisy(), tmp_path / "run.safetensors"
    fit(whole, coins(), epochs=4, **SETTINGS)
    for epochs, fused in ((2, first), (4, not first)):
        monkeypatch.setattr(training, "_fuse", fuse if fused else lambda optimizer: None)
        history = fit(model, coins(), epochs=epochs, checkpoint=path, **SETTINGS)
    assert history.epochs == 4
    for ours, theirs in zip(weights(model), weights(whole), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("labels", [False, True])
def test_data_that_do_not_fit_on_the_device_give_the_same_weights(monkeypatch, labels):
    models, asked = [], []
    for enough in (True, False):
        monkeypatch.setattr(training_data, "fits", lambda size, device, enough=enough: asked.append(device) or enough)
        models.append(Classes() if labels else Noisy())
        fit(models[-1], labelled(X, Y), epochs=3, labels=labels, **SETTINGS)
    assert same(*models) and asked == [torch.device("cpu")] * 2


def test_data_that_do_not_fit_on_the_device_are_sent_one_batch_ahead(monkeypatch):
    sizes = []
    monkeypatch.setattr(training_data, "fits", lambda size, device: sizes.append(size))
    data = {"train": {"x": X.byte(), "y": Y}}
    batches = training_data.Batches(data, torch.device("meta"))
    assert sizes == [50 * D + 50 * 8] and batches.home == torch.device("cpu")
    asked = []

    def places():
        for start in range(0, 50, 20):
            asked.append(start)
            yield torch.arange(start, min(start + 20, 50))

    seen = []
    for batch in batches("train", places()):
        seen.append((len(asked), tuple(batch["x"].shape), tuple(batch["y"].shape), batch["x"].device.type))
    assert seen == [(2, (20, D), (20,), "meta"), (3, (20, D), (20,), "meta"), (3, (10, D), (10,), "meta")]
    assert list(batches("train", [])) == []


@pytest.mark.parametrize(("bytes", "enough"), [(0, True), (400, True), (401, False)])
def test_data_may_take_a_third_of_the_free_memory_of_a_gpu(monkeypatch, bytes, enough):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 300)  # 200 of it unused
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 100)
    assert training_data.fits(bytes, torch.device("cuda")) is enough
    assert training_data.fits(10**15, torch.device("cpu"))


# Compiled losses


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: MADE(9, [8], classes=3), (9,)),
        (lambda: PixelCNN((1, 4, 4), 2, 4, 1), (1, 4, 4)),
        (lambda: GatedPixelCNN((1, 4, 4), 2, 4, 2, classes=3), (1, 4, 4)),
        (lambda: VAE((9,), 2, latents=2, hidden=[8]), (9,)),
    ],
    ids=["MADE", "PixelCNN", "GatedPixelCNN", "VAE"],
)
def test_a_loss_is_compiled_in_one_piece(build, shape):
    model, split = build(), drawn(shape, classes=3).train
    y = split.y if model.classes else None
    objective = training._Objective(model)
    torch.compiler.reset()
    objective.compile(fullgraph=True, dynamic=False, backend="eager")  # an error if it has to be broken into pieces
    objective(split.x, y).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def train_twice(path: Path, first: bool, second: bool) -> None:
    """Train two epochs and two more, each compiled or not: it must make no difference."""

    def built():
        torch.manual_seed(0)
        return MADE(D, [8])

    settings, ds = dict(batch_size=16, lr=0.05), coins(48)  # batches of one size, so that one program is compiled
    whole, model = built(), built()
    expected = fit(whole, ds, epochs=4, **settings)
    fit(built(), ds, epochs=2, compile=first, checkpoint=path, **settings)
    history = fit(model, ds, epochs=4, compile=second, checkpoint=path, **settings)
    assert history.train == pytest.approx(expected.train, abs=1e-4)
    assert history.valid == pytest.approx(expected.valid, abs=1e-4)
    assert model.state_dict().keys() == whole.state_dict().keys()
    for ours, theirs in zip(weights(model), weights(whole), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_a_compiled_loss_is_the_same_and_its_checkpoint_is_resumed_without(tmp_path):
    train_twice(tmp_path / "run.safetensors", True, False)


@pytest.fixture
def without_compiler(monkeypatch):
    """Losses are traced, and not compiled: that takes seconds."""
    compiled = []

    def trace(objective, **settings):
        compiled.append(objective)
        nn.Module.compile(objective, backend="eager", **settings)

    monkeypatch.setattr(training._Objective, "compile", trace)
    return compiled


def test_a_checkpoint_is_resumed_with_a_compiled_loss(tmp_path, without_compiler):
    train_twice(tmp_path / "run.safetensors", False, True)
    assert len(without_compiler) == 1


def test_models_are_compiled_one_after_another(without_compiler):
    """torch compiles a function for a few models only. With these limits it would give up at the second one."""
    with torch._dynamo.config.patch(recompile_limit=2, fail_on_recompile_limit_hit=True):
        for width in (5, 6, 7):
            fit(MADE(D, [width]), coins(), epochs=1, compile=True, **SETTINGS)  # with a ragged batch
    assert len(without_compiler) == 3


def test_nothing_is_warned_of(without_compiler, tmp_path):
    settings = dict(SETTINGS, lr_decay=0.9, clip=1.0, average=0.9, checkpoint=tmp_path / "run.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for epochs in (1, 2):
            fit(MADE(D, [8], classes=3), labelled(X, Y), epochs=epochs, labels=True, compile=True, **settings)


# On a GPU


@pytest.mark.gpu
@pytest.mark.parametrize("enough", [True, False], ids=["resident", "streamed"])
@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: MADE(9, [8], classes=3), (9,)),
        (lambda: PixelCNN((1, 4, 4), 2, 4, 1, classes=3), (1, 4, 4)),
        (lambda: VAE((9,), 2, 2, [8]), (9,)),
    ],
    ids=["MADE", "PixelCNN", "VAE"],
)
def test_no_step_on_a_gpu_waits_for_it(monkeypatch, build, shape, enough):
    def strict(function):
        def without_waiting(*arguments):
            torch.cuda.set_sync_debug_mode("error")
            try:
                return function(*arguments)
            finally:
                torch.cuda.set_sync_debug_mode("default")

        return without_waiting

    monkeypatch.setattr(training_data, "fits", lambda size, device: enough)
    monkeypatch.setattr(training._Loop, "_step", strict(training._Loop._step))
    monkeypatch.setattr(training_data.Batches, "_sent", strict(training_data.Batches._sent))
    model = build().cuda()
    settings = dict(epochs=3, lr_decay=0.9, average=0.9, clip=1.0, labels=bool(model.classes))
    history = fit(model, drawn(shape, classes=3), **SETTINGS, **settings)
    assert history.valid[-1] < history.valid[0]


@pytest.mark.gpu
@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("enough", [True, False], ids=["resident", "streamed"])
def test_a_gpu_finds_what_a_cpu_finds(monkeypatch, enough, compile):
    monkeypatch.setattr(training_data, "fits", lambda size, device: enough)
    torch.manual_seed(0)
    here = MADE(D, [8])
    there = copy.deepcopy(here).cuda()
    settings = dict(epochs=3, batch_size=16, lr=0.05, average=0.9, clip=1.0)
    expected = fit(here, coins(), fabric=Fabric(accelerator="cpu"), **settings)
    history = fit(there, coins(), fabric=Fabric(accelerator="cuda", devices=1), compile=compile, **settings)
    assert history.train == pytest.approx(expected.train, abs=1e-3)
    assert history.valid == pytest.approx(expected.valid, abs=1e-3)
    assert history.device == torch.cuda.get_device_name() and history.precision == "float32"


@pytest.mark.gpu
def test_a_diverging_loss_on_a_gpu_is_named():
    class Diverging(Coins):
        steps = 0

        def log_prob(self, x):
            self.steps += self.training
            return super().log_prob(x) * (float("nan") if self.steps == 6 else 1.0)

    model = Diverging().cuda()
    with pytest.raises(FloatingPointError, match="became nan in epoch 2, batch 2"):
        fit(model, coins(), epochs=5, **SETTINGS)
    assert model.logits.isfinite().all()
