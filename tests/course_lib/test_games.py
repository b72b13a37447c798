"""Training two players: the steps by hand, resumption, averages, and errors that say whose loss it was."""

import re
import warnings
from functools import partial

import pytest
import torch
from torch import nn

from course_lib import data, saving, training
from course_lib.data.dataset import Dataset, Split
from course_lib.models import DCGAN, GAN
from course_lib.training import GameHistory, fit_game
from tests.course_lib.test_training import Clock

SGD = torch.optim.SGD


class Bilinear(nn.Module):
    """V = x y: the generator's x lowers it and the discriminator's y raises it. Neither reads the data."""

    def __init__(self, x: float = 1.0, y: float = 0.5):
        super().__init__()
        self.x = nn.Parameter(torch.tensor([x]))
        self.discriminator = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.discriminator.weight, y)
        self.constrained = 0

    def value(self):
        return (self.x * self.discriminator.weight[0]).sum()

    def discriminator_loss(self, x):
        return -self.value()

    def generator_loss(self, x):
        return self.value()

    def constrain(self):
        self.constrained += 1


def numbers(n: int = 20) -> Dataset:
    x = torch.randn(n, 1, generator=torch.Generator().manual_seed(0))
    return Dataset("numbers", (1,), None, Split(x), Split(x), Split(x))


def images(n: int = 26) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    splits = [
        Split(torch.randint(4, (k, 1, 8, 8), generator=generator), torch.randint(3, (k,), generator=generator))
        for k in (n, 4, 4)
    ]
    return Dataset("images", (1, 8, 8), 4, *splits)


def convolutional(seed: int = 0, **settings) -> DCGAN:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return DCGAN((1, 8, 8), 4, 3, [3, 4], classes=3, **settings)


def same(model: nn.Module, other: nn.Module) -> bool:
    pairs = zip(model.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(ours, theirs) for ours, theirs in pairs)


@pytest.mark.parametrize("d_steps", [1, 2, 3])
def test_the_players_take_their_steps_in_turn_as_by_hand(d_steps):
    model, (x, y) = Bilinear(), (1.0, 0.5)
    history = fit_game(model, numbers(), epochs=3, batch_size=5, lr=(0.2, 0.1), optimizer=SGD, d_steps=d_steps)
    losses, step = {"discriminator": [], "generator": []}, 0
    for _ in range(3):
        seen = {"discriminator": [], "generator": []}
        for _ in range(4):
            step += 1
            seen["discriminator"].append(-x * y)
            y = y + 0.1 * x
            if step % d_steps == 0:
                seen["generator"].append(x * y)
                x = x - 0.2 * y
        for name, values in seen.items():
            losses[name].append(sum(values) / len(values))
    assert model.x.item() == pytest.approx(x) and model.discriminator.weight.item() == pytest.approx(y)
    assert history.discriminator == pytest.approx(losses["discriminator"])
    assert history.generator == pytest.approx(losses["generator"])
    assert model.constrained == 12  # after each step of the discriminator
    assert (history.epochs, history.ended) == (3, "epochs") and not model.training


def test_the_gradient_of_each_player_is_scaled_down_by_itself():
    model = Bilinear(x=1.0, y=0.5)
    fit_game(model, numbers(), epochs=1, batch_size=20, lr=0.2, optimizer=SGD, clip=0.1)
    assert model.x.item() == pytest.approx(1.0 - 0.02) and model.discriminator.weight.item() == pytest.approx(
        0.5 + 0.02
    )


def test_the_losses_count_every_image_once():
    class Reader(Bilinear):
        def discriminator_loss(self, x):
            return x.mean() + 0 * self.value()

        generator_loss = discriminator_loss

    ds = numbers(13)  # the last batch is ragged
    history = fit_game(Reader(), ds, epochs=1, batch_size=5, lr=0.1)
    assert history.discriminator == history.generator == pytest.approx([ds.train.x.mean().item()])


@pytest.mark.parametrize("still", ["generator", "discriminator"])
def test_a_step_of_one_player_leaves_the_other_alone(still):
    model = convolutional()
    setattr(model, f"{still}_loss", lambda x, labels: sum(p.sum() for p in model.parameters() if p.requires_grad) * 0)
    before = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    fit_game(model, images(), epochs=1, batch_size=13, lr=0.1, optimizer=SGD, labels=True)
    for name, tensor in model.named_parameters():
        assert torch.equal(tensor, before[name]) == name.startswith(still), name
        assert tensor.requires_grad


ADAM = torch.optim.Adam


@pytest.mark.parametrize("optimizer", [ADAM, torch.optim.RMSprop, partial(ADAM, betas=(0.5, 0.9))])
@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({}, {"average": 0.8}),
        ({"loss": "wasserstein", "penalty": "gradient"}, {"d_steps": 2}),
        ({"loss": "hinge", "spectral_norm": True}, {"d_steps": 2, "average": 0.8}),
    ],
    ids=["averaged", "penalty", "spectral norm"],
)
def test_a_resumed_game_is_bit_identical_to_an_uninterrupted_one(tmp_path, optimizer, options, settings):
    """26 images in batches of 8 make four steps per epoch. Batch statistics and their running means take part."""
    settings = dict(batch_size=8, lr=(0.01, 0.02), labels=True, optimizer=optimizer, **settings)
    whole = convolutional(**options)
    expected = fit_game(whole, images(), epochs=5, **settings)
    path = tmp_path / "folder" / "game.safetensors"
    for epochs in (2, 3, 5):
        torch.manual_seed(epochs)
        model = convolutional(seed=0 if epochs == 2 else epochs, **options)
        history = fit_game(model, images(), epochs=epochs, checkpoint=path, **settings)
    assert same(model, whole)
    assert (history.discriminator, history.generator) == (expected.discriminator, expected.generator)
    loaded = saving.load(path)
    assert same(loaded, whole) and not loaded.training


def test_the_seed_decides_everything_and_the_global_generator_is_left_alone():
    runs = []
    for global_seed, seed in ((1, 0), (2, 0), (1, 3)):
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        model = convolutional()
        runs.append((fit_game(model, images(), epochs=2, batch_size=8, lr=0.01, seed=seed, labels=True), model))
        assert torch.equal(torch.get_rng_state(), state)
    (first, model), (again, model_again), (other, model_other) = runs
    assert first.generator == again.generator and same(model, model_again)
    assert first.generator != other.generator and not same(model, model_other)


def test_the_generators_weights_are_averaged_and_the_discriminators_are_not():
    kept, played = Bilinear(), Bilinear()
    fit_game(kept, numbers(), epochs=1, batch_size=5, lr=0.1, optimizer=SGD, average=0.75)
    fit_game(played, numbers(), epochs=1, batch_size=5, lr=0.1, optimizer=SGD)
    x, y, mean = 1.0, 0.5, None
    for _ in range(4):
        y += 0.1 * x
        x -= 0.1 * y
        mean = x if mean is None else 0.75 * mean + 0.25 * x
    assert kept.x.item() == pytest.approx(mean) and played.x.item() == pytest.approx(x)
    assert kept.discriminator.weight.item() == played.discriminator.weight.item() == pytest.approx(y)


def test_a_budget_of_minutes_ends_a_game(tmp_path):
    path, settings = tmp_path / "game", dict(batch_size=5, lr=0.1, clock=Clock())
    history = fit_game(Bilinear(), numbers(), minutes=1.2, checkpoint=path, **settings)
    assert (history.epochs, history.seconds, history.ended) == (3, 90.0, "minutes")
    resumed = fit_game(Bilinear(), numbers(), minutes=100, epochs=4, checkpoint=path, **settings)
    assert (resumed.epochs, resumed.ended) == (4, "epochs")
    assert resumed.generator == fit_game(Bilinear(), numbers(), epochs=4, **settings).generator


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_an_infinite_loss_is_said_to_be_whose_it_is(tmp_path, player):
    class Explodes(Bilinear):
        steps = 0

        def exploding(self, x):
            self.steps += 1
            return self.value() / (self.steps < 7)

    setattr(Explodes, f"{player}_loss", Explodes.exploding)
    path, model = tmp_path / "game", Explodes()
    message = f"the {player}'s loss became (inf|-inf|nan) in epoch 2, batch 3.*model's {player}_loss.*epoch 1 remains"
    with pytest.raises(FloatingPointError, match=message):
        fit_game(model, numbers(), epochs=5, batch_size=5, lr=1e-3, checkpoint=path)
    assert same(saving.load_best(Explodes(), path), model)  # the last good epoch's weights


def test_a_checkpoint_of_another_game_is_refused(tmp_path):
    path, settings = tmp_path / "game", dict(batch_size=5, lr=0.1)
    fit_game(Bilinear(), numbers(), epochs=1, checkpoint=path, **settings)
    with pytest.raises(ValueError, match=r"generator.lr was 0.1 and is now 0.2\. Use the old ones"):
        fit_game(Bilinear(), numbers(), epochs=2, checkpoint=path, batch_size=5, lr=(0.2, 0.1))
    with pytest.raises(ValueError, match="d_steps was 1 and is now 2"):
        fit_game(Bilinear(), numbers(), epochs=2, checkpoint=path, d_steps=2, **settings)
    with pytest.raises(ValueError, match="train.x has the same shape, but other values"):
        ds = numbers()
        ds.train.x[0] += 1
        fit_game(Bilinear(), ds, epochs=2, checkpoint=path, **settings)
    with pytest.raises(ValueError, match="is a checkpoint of another kind of training"):
        training.fit(Bilinear(), numbers(), epochs=2, checkpoint=path, **settings)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lr": 0.0}, "lr must be a positive number, got 0.0"),
        ({"lr": (0.1, -1.0)}, "lr must be a positive number, got -1.0"),
        ({"lr": (0.1, 0.1, 0.1)}, r"lr must be a number or a pair \(generator, discriminator\)"),
        ({"d_steps": 0}, "d_steps must be a whole number, at least 1, got 0"),
        ({"d_steps": 5}, "d_steps is 5, but an epoch has 4 batches"),
        ({"epochs": None}, "nothing would end the run"),
        ({"epochs": 0}, "epochs must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"clip": 0.0}, "clip must be"),
        ({"average": 1.0}, "average must be"),
        ({"seed": -1}, "seed must be"),
        ({"labels": True}, "has no labels; train with labels=False"),
        ({"model": nn.Linear(1, 1)}, "needs a model with two players; Linear has no discriminator"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    settings = {"model": Bilinear(), "epochs": 1, "batch_size": 5, "lr": 0.1} | wrong
    with pytest.raises(ValueError, match=message):
        fit_game(settings.pop("model"), numbers(), **settings)


def test_a_game_needs_no_validation_images():
    ds = Dataset("numbers", (1,), None, numbers().train, None, None)
    assert fit_game(Bilinear(), ds, epochs=1, batch_size=5, lr=0.1).epochs == 1


def test_each_epoch_of_a_game_is_reported():
    seen = []
    settings = dict(epochs=2, batch_size=5, lr=0.1, on_epoch=lambda history: seen.append(history.generator[-1]))
    assert fit_game(Bilinear(), numbers(), **settings).generator == seen


def test_a_game_ends_with_the_speed_of_training():
    history = fit_game(Bilinear(), numbers(), epochs=2, batch_size=5, lr=0.1, d_steps=2)
    assert history.images == 40
    assert re.search(r" generator -?[\d.]+; [\d,.]+ images/s on CPU in float32$", str(history))


def test_nothing_is_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_game(convolutional(), images(), epochs=1, batch_size=13, lr=0.01, labels=True, average=0.9, clip=1.0)


def test_a_game_without_epochs_prints():
    assert str(GameHistory()) == "no epochs"


def test_a_generator_finds_the_mean_and_the_spread_of_a_gaussian():
    """A linear generator of one dimension: the equilibrium is the data's distribution."""
    x = 3 + 0.5 * torch.randn(2000, 1, generator=torch.Generator().manual_seed(0))
    ds = Dataset("Gaussian", (1,), None, Split(x), Split(x), Split(x))
    torch.manual_seed(0)
    model = GAN((1,), noise=1, hidden=[], penalty="r1", strength=0.1)
    model.discriminator.features = nn.Sequential(nn.Linear(1, 16), nn.Tanh())
    model.discriminator.output = nn.Linear(16, 1)
    fit_game(model, ds, epochs=40, batch_size=100, lr=0.02, average=0.98)
    samples = model.sample(4000, generator=torch.Generator().manual_seed(1))
    assert samples.mean().item() == pytest.approx(3, abs=0.15) and samples.std().item() == pytest.approx(0.5, abs=0.15)


def test_the_steps_do_not_depend_on_the_layout_of_a_mixtures_data():
    ring = data.ring(modes=3)
    runs = []
    for x in (ring.dataset(60).train.x, ring.dataset(60).train.x.t().contiguous().t()):
        torch.manual_seed(0)
        model = GAN((2,), hidden=[4])
        fit_game(model, Dataset("ring", (2,), None, Split(x), None, None), epochs=2, batch_size=20, lr=0.01)
        runs.append(model)
    assert same(*runs)
