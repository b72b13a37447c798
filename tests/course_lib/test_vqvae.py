"""VQ-VAE and VQ-VAE-2, their priors, and both together as a model of images.

The likelihood of a tiny model is a sum over all codes. What must be true of a model of images is a property, as in
`latent_properties`, and models with one known mistake each show that it can fail.
"""

import copy
import math

import pytest
import torch
from torch.distributions import Bernoulli, Categorical

from course_lib import data
from course_lib.coding import compress, decompress
from course_lib.metrics import nll
from course_lib.models import VQVAE, VQVAE2, CodeModel, CodePrior
from course_lib.models.vqvae import flat_codes, grid_codes
from course_lib.saving import load, save
from course_lib.training import fit
from tests.course_lib.properties import (
    HALF,
    IN_FLOAT32,
    LOW,
    SINGLE,
    WIDE,
    chi_square,
    numbers,
    random_x,
    randomize,
    rounding_error,
    states,
    table,
    unchanged,
)

SMALL = dict(features=2, channels=[[3], [4]])
AUTOENCODERS = {
    "VQVAE": lambda: VQVAE((1, 2, 4), 2, 4, 3, [4]),
    "VQVAE, two convolutions, no blocks": lambda: VQVAE((1, 5, 3), 2, 4, 3, [4, 5], blocks=0),
    "VQVAE, finite scalars": lambda: VQVAE((2, 3, 4), 3, [3, 2], channels=[4]),
    "VQVAE, gradients, cosine": lambda: VQVAE((1, 4, 4), 2, 4, 3, [4], decay=None, cosine=True),
    "VQVAE2": lambda: VQVAE2((1, 2, 4), 2, 3, **SMALL),
    "VQVAE2, three scales, logistic": lambda: VQVAE2(
        (2, 7, 6), 4, 3, 2, [[3], [2, 4], [3]], likelihood="discretized logistic", decay=None, revive=0.1
    ),
}
each_autoencoder = pytest.mark.parametrize("build", AUTOENCODERS.values(), ids=AUTOENCODERS)


def randomized(model, scale=0.7, seed=0):
    """A float64 model in eval mode with random parameters and codebooks."""
    model = model.double().eval()
    randomize(model, seed, scale)
    generator = torch.Generator().manual_seed(seed)
    for name, buffer in model.named_buffers():
        if name.endswith("codebook"):
            buffer.copy_(torch.randn(buffer.shape, dtype=torch.float64, generator=generator))
    return model


def some_x(model, n):
    return random_x(model, n, torch.Generator().manual_seed(0))


# The autoencoders


@each_autoencoder
def test_codes_have_the_declared_shapes_and_decode_to_the_images_shape(build):
    model = randomized(build())
    x = some_x(model, 6)
    codes = model.encode(x)
    assert [each.shape for each in codes] == [(6, *shape) for shape in model.code_shapes]
    assert all(each.dtype == torch.int64 and 0 <= each.min() <= each.max() < model.codes for each in codes)
    outputs = model.decode(codes)
    P = model.likelihood.outputs
    assert outputs.shape == (6, *[P] * (P > 1), *model.event_shape)
    torch.testing.assert_close(model.reconstruct(x), model.likelihood.mean(outputs))
    torch.testing.assert_close(model.log_likelihood(x), model.likelihood.log_prob(outputs, x))
    torch.testing.assert_close(model(x)[1], outputs, rtol=1e-6, atol=1e-6)
    (alone,) = (each[2:3] for each in [model.log_likelihood(x)])
    torch.testing.assert_close(model.log_likelihood(x[2:3]), alone)


def test_the_likelihood_is_torchs():
    model = randomized(VQVAE2((1, 2, 4), 2, 3, **SMALL))
    x = some_x(model, 5)
    expected = Bernoulli(logits=model.decode(model.encode(x))).log_prob(x.double()).flatten(1).sum(1)
    torch.testing.assert_close(model.log_likelihood(x), expected)
    model = randomized(VQVAE((2, 3, 4), 3, [3, 2], channels=[4]))
    x = some_x(model, 5)
    expected = Categorical(logits=model.decode(model.encode(x)).movedim(1, -1)).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(model.log_likelihood(x), expected)


@each_autoencoder
def test_the_loss_has_its_terms_and_reaches_every_parameter(build):
    model = randomized(build(), scale=0.5)
    x = some_x(model, 12)
    terms = model.loss_terms(x)
    loss = model.loss(x)
    torch.testing.assert_close(loss, (terms["quantization"] - terms["reconstruction"]).mean())
    for (name, _), gradient in zip(
        model.named_parameters(),
        torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True),
        strict=True,
    ):
        assert gradient.any() and gradient.isfinite().all(), f"{name} gets no gradient"


def test_the_quantizers_losses_are_means_over_positions():
    model = randomized(VQVAE((1, 4, 4), 2, 4, 3, [4], commitment=0.7))
    x = some_x(model, 5)
    (scale,) = model.scales
    z = scale.choose(scale.encoder(x.double()))
    distance = (z - scale.quantizer.embed(model.encode(x)[0])).square().sum(1)
    torch.testing.assert_close(model.loss_terms(x)["quantization"], 0.7 * distance.mean((1, 2)))


@each_autoencoder
def test_the_image_depends_on_the_codes_of_every_scale(build):
    model = randomized(build())
    generator = torch.Generator().manual_seed(0)
    codes = [torch.randint(model.codes, (1, *shape), generator=generator) for shape in model.code_shapes]
    usual = model.decode(codes)
    for i, grid in enumerate(codes):
        for place in range(grid.numel()):
            changed = [each.clone() for each in codes]
            changed[i].view(-1)[place] = (grid.view(-1)[place] + 1) % model.codes
            assert (model.decode(changed) != usual).any(), f"code {place} of grid {i} has no effect"


@each_autoencoder
def test_only_the_loss_learns_and_only_in_training(build):
    model = randomized(build())
    x = some_x(model, 8)
    with unchanged(model):
        model.loss(x)
    with unchanged(model.train()):
        model.encode(x)
        model.reconstruct(x)
        model.log_likelihood(x)
        model.loss_terms(x)
    before = {name: buffer.clone() for name, buffer in model.named_buffers() if name.endswith("counts")}
    model.loss(x).backward()
    assert all((dict(model.named_buffers())[name] != counts).any() for name, counts in before.items())


def test_each_scale_is_chosen_given_those_above():
    model = randomized(VQVAE2((1, 4, 8), 2, 8, 2, [[3], [4]]), scale=1.0)
    x = some_x(model, 40)
    _, bottom = model.encode(x)
    model.scales[1].quantizer.codebook.neg_()
    assert (model.encode(x)[1] != bottom).any()


def test_the_data_set_of_codes():
    ds = data.digits("binary")
    model = randomized(VQVAE2((1, 8, 8), 2, 5, 2, [[3], [4]])).train()
    codes = model.code_dataset(ds, batch_size=100)
    assert (codes.shape, codes.levels, codes.name) == ((20,), 5, "codes of digits, binary") and model.training
    for name, split in codes.splits().items():
        images = getattr(ds, name)
        assert torch.equal(split.x, flat_codes(model.eval().encode(images.x))) and torch.equal(split.y, images.y)


# The prior, beyond the generic suite of autoregressive models


def test_codes_in_a_row_and_on_grids_are_the_same():
    codes = torch.arange(2 * 7).view(2, 7)
    top, bottom = grid_codes(codes, [(1, 3), (2, 2)])
    assert top.tolist() == [[[0, 1, 2]], [[7, 8, 9]]] and bottom[1].tolist() == [[10, 11], [12, 13]]
    assert torch.equal(flat_codes([top, bottom]), codes)


def small_prior(**settings):
    return CodePrior([(1, 2), (2, 2)], 3, 6, 2, head=4, **settings)


def test_the_prior_is_the_top_times_the_bottom_given_the_top():
    prior = randomized(small_prior())
    x = some_x(prior, 9)
    top, bottom = grid_codes(x, prior.shapes)
    context = prior.contexts[0](top, None)
    parts = prior.priors[0].log_prob(top[:, None]) + prior.priors[1].log_prob(bottom[:, None], context=context)
    torch.testing.assert_close(prior.log_prob(x), parts)
    assert table(prior).sum().item() == pytest.approx(1)


def test_labels_of_two_kinds_change_every_grid():
    prior = randomized(small_prior(classes=(2, 3)))
    x, y = some_x(prior, 4), torch.tensor([[0, 0], [1, 0], [0, 2], [1, 2]])
    usual = prior(x[:1].expand(4, -1), labels=y)
    for i in range(1, 4):
        assert (usual[i] != usual[0]).any(0).all(), "some code's logits do not depend on the labels"
    u = torch.rand(4, 6, dtype=torch.float64)
    assert torch.equal(prior.sample(4, labels=y, uniforms=u), prior.sample(4, labels=y, uniforms=u, cached=False))
    with pytest.raises(ValueError, match=r"labels must be integers of shape \(4, 2\)"):
        prior.log_prob(x)
    with pytest.raises(ValueError, match="takes no labels"):
        small_prior().log_prob(x, labels=y)


def test_the_bottom_is_redrawn_below_a_known_top():
    prior = randomized(small_prior())
    x, known = some_x(prior, 1).expand(4000, -1), torch.arange(6) < 2
    drawn = prior.complete(x, known, generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn[:, :2], x[:, :2])
    chi_square(numbers(prior, drawn), table(prior, torch.where(known, x[0], states(prior))))


def test_codes_are_compressed_to_their_rate():
    prior = randomized(small_prior(classes=2))
    x, y = some_x(prior, 30), torch.arange(30) % 2
    file = compress(prior, x, labels=y)
    assert torch.equal(decompress(prior, file, 30, labels=y), x)
    bits = -prior.log_prob(x, labels=y).sum().item() / math.log(2)
    assert bits <= 8 * len(file) <= bits + 43


# Both together


def tiny(scale=0.7, classes=None, kind=CodeModel, **settings):
    """A model of 2x4 binary images with codes on grids of 1x1 and 1x2."""
    autoencoder = VQVAE2((1, 2, 4), 2, 3, **SMALL)
    prior = CodePrior(autoencoder.code_shapes, 3, 6, 1, head=4, classes=classes, **settings)
    return randomized(kind(autoencoder, prior), scale)


class Labelled(torch.nn.Module):
    """A model of images given one label, as the properties read it."""

    def __init__(self, model, label):
        super().__init__()
        self.model, self.label = model, label
        self.event_shape, self.levels = model.event_shape, model.levels
        self.order = torch.arange(math.prod(model.event_shape))

    def given(self, n):
        return {} if self.label is None else {"labels": torch.full((n,), self.label)}

    def log_prob(self, x):
        """The log of the sum over all codes of p(x | s) p(s)."""
        autoencoder, prior = self.model.autoencoder, self.model.prior
        total = []
        for codes in states(prior).split(1):
            outputs = autoencoder.decode(grid_codes(codes, prior.shapes))
            log_p = autoencoder.likelihood.log_prob(outputs.expand(len(x), *outputs.shape[1:]), x)
            total.append(log_p + prior.log_prob(codes, **self.given(1)))
        return torch.stack(total).logsumexp(0)


def bound(model, label):
    """The probabilities sum to 1, and no image's bound is above its log-likelihood."""
    exact = Labelled(model, label)
    x = states(exact)
    log_p = exact.log_prob(x)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-9)
    elbo = model.elbo(x, **exact.given(len(x)))
    excess = (elbo - log_p).max().item()
    assert excess < 0, f"a bound is {excess} above the log-likelihood"


def terms(model, label):
    """The bound is the log-probability of image and codes, and the rate that of the codes in bits."""
    exact = Labelled(model, label)
    x = states(exact)[::7]
    codes = model.autoencoder.encode(x)
    log_p_codes = model.prior.log_prob(flat_codes(codes), **exact.given(len(x)))
    torch.testing.assert_close(model.code_log_prob(codes, **exact.given(len(x))), log_p_codes)
    torch.testing.assert_close(model.rate(x, **exact.given(len(x))) * math.log(2), -log_p_codes)
    outputs = model.autoencoder.decode(codes)
    log_p = Bernoulli(logits=outputs).log_prob(x.double()).flatten(1).sum(1) + log_p_codes
    torch.testing.assert_close(model.elbo(x, **exact.given(len(x))), log_p)


def sampler(model, label):
    """Samples have the frequencies of the sum over all codes."""
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        drawing = copy.deepcopy(model).to(dtype)
        exact = Labelled(copy.deepcopy(drawing).double(), label)
        x = drawing.sample(20_000, generator=torch.Generator().manual_seed(1), **exact.given(20_000))
        assert x.shape == (20_000, 1, 2, 4) and x.dtype == torch.int64
        chi_square(numbers(exact, x), table(exact))


PROPERTIES = bound, terms, sampler
each_property = pytest.mark.parametrize("prop", PROPERTIES, ids=lambda prop: prop.__name__)


@each_property
@pytest.mark.parametrize("label", [None, 1])
def test_property(prop, label):
    prop(tiny(classes=None if label is None else 2), label)


class TopOnly(CodeModel):
    """The bottom codes cost nothing."""

    def code_log_prob(self, codes, *, labels=None):
        top = self.prior.priors[0]
        return top.log_prob(codes[0].unsqueeze(1), **({} if labels is None else {"labels": labels}))


class MeanOverPixels(CodeModel):
    """A mean over the pixels in place of a sum."""

    def elbo(self, x, *, labels=None):
        codes = self.autoencoder.encode(x)
        log_p = self.autoencoder.log_likelihood(x) / math.prod(self.event_shape)
        return log_p + self.code_log_prob(codes, labels=labels)


class InNats(CodeModel):
    """The rate is in nats."""

    def rate(self, x, *, labels=None):
        return super().rate(x, labels=labels) * math.log(2)


class SameNoise(CodeModel):
    """The pixels are drawn by the uniforms that drew the codes."""

    def sample(self, n, *, uniforms=None, generator=None, **given):
        u = torch.rand(n, 11, dtype=torch.float64, generator=generator)
        u[:, 3:6] = u[:, :3]
        return super().sample(n, uniforms=u, **given)


class Likeliest(CodeModel):
    """Each pixel takes its likelier value."""

    def sample(self, n, *, generator=None, **given):
        codes = self.prior.sample(n, generator=generator, **given)
        return (self.autoencoder.mean(grid_codes(codes, self.prior.shapes)) > 0.5).long()


class FirstLabel(CodeModel):
    """Samples are of the first class, whatever the labels."""

    def sample(self, n, *, labels, generator=None):
        return super().sample(n, labels=torch.zeros_like(labels), generator=generator)


@pytest.mark.parametrize(
    "kind, lost",
    [
        (TopOnly, {"bound", "terms"}),
        (MeanOverPixels, {"bound", "terms"}),
        (InNats, {"terms"}),
        (SameNoise, {"sampler"}),
        (Likeliest, {"sampler"}),
        (FirstLabel, {"sampler"}),
    ],
)
def test_a_known_mistake_loses_exactly_its_properties(kind, lost):
    model, found = tiny(classes=2, kind=kind), set()
    for prop in PROPERTIES:
        try:
            prop(model, 1)
        except AssertionError:
            found.add(prop.__name__)
    assert found == lost


def test_the_bound_leaves_out_the_other_codes_alone():
    """Of a decoder without noise, x has the probability of all codes that give x, and the bound that of one of them."""
    model = tiny()
    codes = states(model.prior)[:4]
    images = (model.autoencoder.decode(grid_codes(codes, model.prior.shapes)) > 0).long()
    model.autoencoder.scales[0].decoder[-1].weight.data.mul_(1000)
    model.autoencoder.scales[0].decoder[-1].bias.data.mul_(1000)
    exact = Labelled(model, None)
    x = images[:1]
    model.autoencoder.encode = lambda x: grid_codes(codes[:1].expand(len(x), -1), model.prior.shapes)
    same = (model.autoencoder.decode(grid_codes(states(model.prior), model.prior.shapes)) > 0).long() == x
    siblings = states(model.prior)[same.flatten(1).all(1)]
    expected = model.prior.log_prob(siblings).logsumexp(0)
    torch.testing.assert_close(exact.log_prob(x)[0], expected)
    torch.testing.assert_close(model.elbo(x)[0], model.prior.log_prob(codes[:1])[0])


def test_samples_come_from_their_uniforms_alone():
    model = tiny(classes=2)
    y = torch.arange(60) % 2
    u = torch.rand(60, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = model.sample(60, labels=y, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.sample(60, labels=y, uniforms=u), x)
    assert torch.equal(model.sample(60, labels=y, uniforms=u, cached=False), x)
    assert torch.equal(model.sample(10, labels=y[:10], uniforms=u[:10]), x[:10])
    with torch.autocast("cpu", torch.bfloat16):
        single = copy.deepcopy(model).float()
        assert torch.equal(single.sample(60, labels=y, uniforms=u), x)
    for wrong in (u[:, 1:], u + 1, u.tolist()):
        with pytest.raises(ValueError, match="uniforms"):
            model.sample(60, labels=y, uniforms=wrong)


def test_evaluating_and_sampling_change_nothing():
    for training in (False, True):
        model = tiny().train(training)
        x = some_x(model, 5)
        with unchanged(model):
            model.elbo(x)
            model.rate(x)
            model.iwae_bound(x, 3)
            model.sample(3, generator=torch.Generator().manual_seed(0))


def test_low_precision_is_float64s_up_to_rounding():
    for precision in LOW:
        model = tiny(0.35).to(precision.weights)
        exact, x = copy.deepcopy(model).double(), some_x(model, 12)
        with precision.active():
            codes, elbo = model.autoencoder.encode(x), model.elbo(x)
            same = model.autoencoder.log_likelihood(x) + model.code_log_prob(codes)
        assert elbo.dtype in WIDE and torch.equal(elbo, same)
        expected = exact.autoencoder.likelihood.log_prob(exact.autoencoder.decode(codes), x) + exact.code_log_prob(
            codes
        )
        allowed = rounding_error(precision, exact, expected) + 4 * IN_FLOAT32 * (1 + expected.abs())
        assert ((elbo - expected).abs() <= allowed).all(), precision.name
        loss = model.autoencoder.loss(x)
        gradients = torch.autograd.grad(loss, list(model.autoencoder.parameters()))
        assert loss.dtype in WIDE and all(gradient.isfinite().all() for gradient in gradients), precision.name


def test_images_of_another_kind_are_refused():
    model = tiny()
    x = some_x(model, 3)
    mistakes = [(x.double(), "integers"), (x.tolist(), "tensor; got list"), (x + 2, "lie in"), (x[0], "shape")]
    calls = [model.elbo, model.rate, model.autoencoder.encode, model.autoencoder.reconstruct, model.autoencoder.loss]
    calls += [model.autoencoder.loss_terms, model.autoencoder.log_likelihood, lambda x: model.iwae_bound(x, 2)]
    for wrong, message in mistakes:
        for call in calls:
            with pytest.raises(ValueError, match=message):
                call(wrong)
    for precision in (SINGLE, HALF):
        rounded = tiny().to(precision.weights)
        for dtype in (torch.uint8, torch.int32, torch.bool):
            assert torch.equal(rounded.elbo(x.to(dtype)), rounded.elbo(x))
    with pytest.raises(ValueError, match="k is 0"):
        model.iwae_bound(x, 0)


def test_both_stages_come_back_from_one_file(tmp_path):
    models = [*(build() for build in AUTOENCODERS.values()), tiny(classes=(2, 3)), small_prior(attention=3)]
    for model in models:
        if hasattr(model, "codes"):
            model.train().loss(some_x(model, 20))  # moves the codebooks
        model = model.double()
        save(model, tmp_path / "model")
        loaded = load(tmp_path / "model")
        assert type(loaded) is type(model) and not loaded.training
        ours, theirs = model.eval().state_dict(), loaded.state_dict()
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    x, y = some_x(tiny(), 5), torch.tensor([[0, 1]]).expand(5, -1)
    model = models[-2]
    save(model, tmp_path / "model")
    torch.testing.assert_close(load(tmp_path / "model").elbo(x, labels=y), model.elbo(x, labels=y))


def test_two_stages_learn_the_digits_within_seconds():
    ds = data.digits("binary")
    torch.manual_seed(0)
    autoencoder = VQVAE2((1, 8, 8), 2, 8, 4, [[16], [16]], revive=0.1)
    history = fit(autoencoder, ds, epochs=6, batch_size=32, lr=5e-3)
    assert list(history.terms) == ["reconstruction", "quantization"]
    assert history.valid[-1] < history.valid[0] - 3
    codes = autoencoder.code_dataset(ds)
    prior = CodePrior(autoencoder.code_shapes, 8, 16, 2, classes=10)
    fit(prior, codes, epochs=6, batch_size=32, lr=5e-3, labels=True)
    model = CodeModel(autoencoder, prior)
    cost = nll(model, ds.test.x, labels=ds.test.y, draws=1).mean
    assert cost < 31  # fair coins: 44.4, untrained networks: 91
    assert nll(model, ds.test.x, labels=(ds.test.y + 1) % 10, draws=1).mean > cost + 2


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: VQVAE((1, 4, 4), None, 4), "levels is None"),
        (lambda: VQVAE((16,), 2, 4), "convolutions need"),
        (lambda: VQVAE((1, 4, 4), 2, 4, channels=[]), r"channels is \[\[\]\]"),
        (lambda: VQVAE2((1, 4, 4), 2, 4, channels=[]), r"channels is \[\]"),
        (lambda: VQVAE((1, 4, 4), 2, 4, blocks=-1), "blocks is -1"),
        (lambda: VQVAE((1, 4, 4), 2, 1), "at least 2 codes"),
        (lambda: VQVAE((1, 4, 4), 2, 4, revive=2), "revive is 2"),
        (lambda: VQVAE((1, 4, 4), 2, [3, 3], decay=0.9), "takes no settings; got decay"),
        (lambda: VQVAE((1, 4, 4), 3, 4, likelihood="bernoulli"), "expected 'categorical' or 'discretized logistic'"),
        (lambda: CodePrior([], 4), r"shapes is \[\]"),
        (lambda: CodePrior([(2,)], 4), r"shapes is \[\(2,\)\]"),
        (lambda: CodePrior([(2, 2)], 4, 6, attention=4), "multiple of the 4 heads"),
        (lambda: CodeModel(VQVAE((1, 4, 4), 2, 4), CodePrior([(2, 2)], 5)), r"for 5 codes on grids \[\(2, 2\)\]"),
        (lambda: CodeModel(VQVAE((1, 4, 4), 2, 4), CodePrior([(2, 1)], 4)), r"expected 4 on \[\(2, 2\)\]"),
        (
            lambda: VQVAE2((1, 4, 4), 2, 4).decode([torch.zeros(3, 2, 2).long()]),
            r"shapes \(n, 1, 1\), \(n, 2, 2\); got \(3, 2, 2\)",
        ),
        (lambda: VQVAE((1, 4, 4), 2, 4).decode([torch.full((3, 2, 2), 4)]), "codes must be integers 0..3"),
        (lambda: VQVAE2((1, 4, 4), 2, 4).decode([torch.zeros(3, 1, 1), torch.zeros(2, 2, 2)]), "codes must be"),
    ],
)
def test_wrong_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
