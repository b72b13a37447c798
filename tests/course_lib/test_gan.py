"""GANs: who learns from which loss, scales, shapes, labels, penalties, and what an implicit model refuses."""

import math

import pytest
import torch
from torch import nn

from course_lib import saving
from course_lib.models import DCGAN, GAN, ImplicitModel
from course_lib.nn import ADVERSARIAL_LOSSES, gradient_penalty, r1_penalty


def build(kind: str, **settings) -> ImplicitModel:
    torch.manual_seed(0)
    if kind == "GAN":
        return GAN((2,), None, 3, [6, 5], **settings)
    return DCGAN((1, 8, 8), 16, 3, [4, 6], **settings)


def batch(model: ImplicitModel, n: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    if model.levels is None:
        return torch.randn(n, *model.event_shape, generator=generator).to(next(model.parameters()))
    return torch.randint(model.levels, (n, *model.event_shape), generator=generator)


def grads(module: nn.Module) -> list[torch.Tensor | None]:
    return [parameter.grad for parameter in module.parameters()]


KINDS = pytest.mark.parametrize("kind", ["GAN", "DCGAN"])
OPTIONS = [
    {},
    {"loss": "minimax"},
    {"loss": "hinge", "spectral_norm": True},
    {"loss": "wasserstein", "penalty": "gradient"},
    {"penalty": "r1", "strength": 0.1},
    {"loss": "wasserstein", "penalty": "clip"},
    {"classes": 3},
    {"classes": 3, "loss": "wasserstein", "penalty": "gradient", "spectral_norm": True},
]


@KINDS
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_player_learns_from_its_own_loss(kind, options, dtype):
    model = build(kind, **options).to(dtype)
    x = batch(model)
    given = {"labels": torch.arange(6) % 3} if "classes" in options else {}
    model.discriminator_loss(x, **given).backward()
    assert all(grad is None for grad in grads(model.generator))
    assert all(grad is not None and grad.isfinite().all() for grad in grads(model.discriminator))
    assert any(grad.any() for grad in grads(model.discriminator))
    model.zero_grad()
    model.generator_loss(x, **given).backward()
    assert all(grad is not None and grad.isfinite().all() and grad.dtype == dtype for grad in grads(model.generator))
    assert any(grad.any() for grad in grads(model.generator))


@KINDS
@pytest.mark.parametrize("name", ADVERSARIAL_LOSSES)
def test_the_losses_are_those_of_the_registry_on_the_models_own_logits(kind, name):
    model = build(kind, loss=name).eval().double()
    x = batch(model)
    torch.manual_seed(5)
    found = model.discriminator_loss(x), model.generator_loss(x)
    torch.manual_seed(5)
    fakes = [model.generate(torch.randn(6, 3, dtype=torch.float64)) for _ in range(2)]
    loss = ADVERSARIAL_LOSSES[name]
    expected = loss.discriminator(model.logits(x), model.logits(fakes[0])), loss.generator(model.logits(fakes[1]))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("penalty", ["gradient", "r1"])
def test_a_penalty_is_added_to_the_discriminators_loss(penalty):
    plain, model = build("GAN").double(), build("GAN", penalty=penalty, strength=3.0).double()
    x = batch(model)
    torch.manual_seed(5)
    without = plain.discriminator_loss(x)
    torch.manual_seed(5)
    added = model.discriminator_loss(x) - without
    torch.manual_seed(5)
    fake = model.generate(torch.randn(6, 3, dtype=torch.float64))
    expected = gradient_penalty(model.logits, x, fake, weight=3.0)
    if penalty == "r1":
        expected = r1_penalty(model.logits, x, weight=3.0)
    torch.testing.assert_close(added, expected)


def test_only_the_clipped_model_constrains_its_discriminator():
    for penalty in (None, "gradient", "r1", "clip"):
        model = build("GAN", penalty=penalty)
        before = [parameter.detach().clone() for parameter in model.parameters()]
        model.constrain()
        largest = max(parameter.abs().max().item() for parameter in model.discriminator.parameters())
        if penalty == "clip":
            assert largest == pytest.approx(0.01)
            before = before[: len(list(model.generator.parameters()))]
        for parameter, was in zip(model.parameters(), before, strict=False):
            assert torch.equal(parameter, was)


def test_spectral_normalization_bounds_every_matrix_of_the_discriminator():
    model = build("GAN", spectral_norm=True)
    for _ in range(50):
        model.logits(batch(model))
    matrices = [layer.weight for layer in model.discriminator.modules() if isinstance(layer, nn.Linear)]
    assert len(matrices) == 3
    for matrix in matrices:
        assert torch.linalg.matrix_norm(matrix, 2).item() == pytest.approx(1, abs=1e-3)


# What is generated


@pytest.mark.parametrize("size", [8, 16, 28, 32])
def test_a_dcgan_has_images_of_its_size(size):
    model = DCGAN((3, size, size), 256, 5, [4, 6]).eval()
    x = model.sample(2, generator=torch.Generator().manual_seed(0))
    assert x.shape == (2, 3, size, size) and x.dtype == torch.int64 and 0 <= x.min() <= x.max() <= 255
    assert model.logits(x).shape == (2,)


def test_samples_are_the_levels_nearest_to_what_is_generated():
    model = build("DCGAN").eval()
    x = model.sample(4, generator=torch.Generator().manual_seed(3))
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(3))
    exact = model.generate(z)
    assert exact.requires_grad and (x - exact).abs().max() <= 0.5 and exact.is_floating_point()
    with torch.no_grad():
        model.generator.rest[-2].bias.fill_(100.0)
        assert (model.generate(z) == 15).all() and (model.sample(4) == 15).all()  # tanh(100) = 1 is the last level
        model.generator.rest[-2].bias.fill_(-100.0)
        assert (model.generate(z) == 0).all()


@KINDS
def test_the_generator_alone_decides_a_sample_and_sampling_changes_nothing(kind):
    model = build(kind).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    runs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        runs.append(model.sample(5, generator=torch.Generator().manual_seed(7)))
    assert torch.equal(*runs) and not runs[0].requires_grad
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@KINDS
def test_what_is_generated_is_a_smooth_function_of_z(kind):
    model = build(kind).double().eval()
    z = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model.generate, z)


def test_real_samples_of_few_bits_are_not_rounded():
    assert build("GAN").bfloat16().sample(3).dtype == torch.float32
    assert build("GAN").double().sample(3).dtype == torch.float64


def test_generated_images_and_levels_are_read_on_one_scale():
    model = build("DCGAN").eval()
    x = batch(model)
    torch.testing.assert_close(model.logits(x), model.logits(x.float()))
    assert model._scaled(torch.tensor([0, 15])).tolist() == pytest.approx([-1, 1])


@KINDS
def test_labels_change_samples_and_logits_once_they_are_learned(kind):
    model = build(kind, classes=(3, 2)).eval()
    labels = torch.tensor([[0, 1], [2, 1]])
    z, x = torch.randn(1, 3).expand(2, 3), batch(model, 1).expand(2, *model.event_shape)

    def both():
        return model.generate(z, labels=labels), model.logits(x, labels=labels)

    for first, second in both():
        torch.testing.assert_close(first, second)
    with torch.no_grad():
        model.generator.condition.of_class.normal_()
        model.discriminator.condition.of_class.normal_()
    for first, second in both():
        assert not torch.allclose(first, second)
    assert model.sample(2, labels=labels).shape == (2, *model.event_shape)
    with pytest.raises(ValueError, match="labels"):
        model.sample(2)


def test_the_initial_weights_of_a_dcgan_have_the_papers_spread():
    torch.manual_seed(0)
    model = DCGAN((1, 32, 32), 256, 100, [64, 128])
    layers = [each for each in model.modules() if isinstance(each, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    assert len(layers) == 6
    for layer in layers:
        count = layer.weight.numel()
        assert layer.weight.std().item() == pytest.approx(0.02, abs=0.02 * 5 / math.sqrt(2 * count))
        assert not layer.bias.any()


def test_batch_normalization_is_where_the_paper_has_it():
    def normalized(model):
        return [
            [type(layer).__name__ for layer in network.modules()].count("BatchNorm2d")
            for network in (model.generator, model.discriminator)
        ]

    shape, channels = (1, 32, 32), [4, 6, 8]
    assert normalized(DCGAN(shape, 16, 5, channels)) == [3, 2]
    for alone in ({"penalty": "gradient"}, {"penalty": "r1"}, {"spectral_norm": True}):
        assert normalized(DCGAN(shape, 16, 5, channels, **alone)) == [3, 0]


@KINDS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_saved_model_generates_the_same(kind, tmp_path, dtype):
    model = build(kind, classes=3, spectral_norm=True).to(dtype).eval()
    saving.save(model, tmp_path / "gan.safetensors")
    loaded = saving.load(tmp_path / "gan.safetensors")
    assert {p.dtype for p in loaded.parameters()} == {dtype} and not loaded.training
    z, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 2])
    assert torch.equal(loaded.generate(z, labels=labels), model.generate(z, labels=labels))
    x = batch(model, 4)
    torch.testing.assert_close(loaded.logits(x, labels=labels), model.logits(x, labels=labels))


# Errors


def test_an_implicit_model_has_no_density_and_says_so():
    model = build("GAN")
    with pytest.raises(
        TypeError, match="GAN is an implicit model: it has no density to evaluate.*no test cost in nats"
    ):
        model.log_prob(batch(model))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: GAN((2,), noise=0), "noise is 0"),
        (lambda: GAN((2,), loss="cross entropy"), "loss is 'cross entropy'; expected one of 'minimax', 'non-sat"),
        (lambda: GAN((2,), penalty="gp"), "penalty is 'gp'; expected None or one of 'gradient', 'r1', 'clip'"),
        (lambda: GAN((2,), penalty="r1", strength=0.0), "strength is 0.0 of the penalty 'r1'"),
        (lambda: GAN((2,), strength=1.0), "strength is 1.0 of the penalty None"),
        (lambda: GAN((2,), hidden=[3, 0]), "hidden must be at least 1; got 3, 0"),
        (lambda: DCGAN((1, 10, 8), 2), "2 halvings need .* divisible by 4"),
        (lambda: DCGAN((64,), 2), "2 halvings need .colours, height, width"),
        (lambda: DCGAN((1, 8, 8), 2, channels=[]), "channels must be one or more positive numbers"),
        (lambda: build("GAN").generate(torch.zeros(4, 2)), r"z must have shape \(n, 3\); got \(4, 2\)"),
        (lambda: build("GAN").generate(torch.zeros(4, 3).long()), "z must be real-valued; got torch.int64"),
        (lambda: build("GAN").logits(torch.zeros(4, 3)), r"x must have shape \(batch, 2\); got \(4, 3\)"),
        (lambda: build("DCGAN").logits(torch.full((2, 1, 8, 8), 16)), r"x must lie in 0..15"),
        (lambda: build("DCGAN").discriminator_loss(torch.zeros(2, 1, 8, 8)), "x must hold integers 0..15"),
        (lambda: build("GAN").discriminator_loss(torch.zeros(2, 2), labels=torch.zeros(2).long()), "takes no labels"),
        (lambda: build("GAN", classes=2).generator_loss(torch.zeros(2, 2), labels=torch.tensor([0, 2])), "got 0 to 2"),
    ],
)
def test_wrong_arguments_are_refused_in_words(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
