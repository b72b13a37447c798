"""What must be true of every latent-variable model. Each property is a function that raises AssertionError.

An expectation over the noise is taken over all of it: a sum over a grid of the uniforms' normal quantiles t, with
weights N(t; 0, 1) (trapezoidal rule); for categorical z a sum over one row of uniforms for each value of z. So most
statements about expectations are exact, up to TOLERANCE. Those about many draws are tested by the mean of samples and
its standard error, at a false-alarm rate of 1e-6 per test (over the choice of the seed; the seeds are fixed, so a test
passes always or never), and so is the sampler, by chi-square.

The exact log p(x) is an integral over another grid, of z, see `course_lib.metrics.log_probs_by_integration`; for
categorical z a sum over all of its values.
"""

import copy
import itertools
import math
from unittest import mock

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal, OneHotCategorical

from course_lib.metrics import log_probs_by_integration
from course_lib.models import LatentVariableModel, likelihoods, pixel_vae
from course_lib.models.categorical_vae import IndependentCategoricals
from course_lib.models.latent import Posterior
from course_lib.models.posteriors import IAFPosterior, MixturePosterior
from tests.course_lib.latent_instances import LatentInstance
from tests.course_lib.properties import (
    HALF,
    IN_FLOAT32,
    LOW,
    SINGLE,
    WIDE,
    Precision,
    chi_square,
    in_float32,
    numbers,
    random_x,
    randomize,
    rounding_error,
    states,
    table,
    unchanged,
)

DEVIATIONS = 4.9  # a normal variable is farther from its mean once in a million times
TOLERANCE = 1e-6
QUANTILES = 7.0  # where the grid ends: uniforms in float64 come no nearer to 1 with enough digits
LATENT_PROPERTIES = {}


def prop(check):
    """Enter a check into LATENT_PROPERTIES under its function's name."""
    LATENT_PROPERTIES[check.__name__] = check
    return check


@prop
def mass(instance: LatentInstance) -> None:
    """The probabilities of all states sum to 1; a density integrates to 1."""
    total = table(Marginal(random_model(instance, 2 * instance.scale))).sum().item()
    assert abs(total - 1) < TOLERANCE, f"the probabilities sum to {total}"


@prop
def sampler(instance: LatentInstance) -> None:
    """Samples have the frequencies of the exact p(x), whatever the dtype of the weights."""
    # A decoder of larger weights depends more on z.
    for model in (random_model(instance, 2 * instance.scale), *(low_precision(instance, p) for p in (SINGLE, HALF))):
        x = model.sample(20_000, generator=torch.Generator().manual_seed(1))
        assert tuple(x.shape) == (20_000, *model.event_shape)
        assert x.dtype in (WIDE if model.levels is None else (torch.int64,)), f"samples are {x.dtype}"
        chi_square(numbers(model, x), table(Marginal(copy.deepcopy(model).double())))


@prop
def draws(instance: LatentInstance) -> None:
    """The draws of z have the mean and the covariance of q(z | x)."""
    model = random_model(instance)
    for image in some_x(model, 3).split(1):
        u, weights = all_noise(model, image)
        drawn = model(image, u[:, None])[1]
        q, share = reference(model, image), drawn.log_share[:, 0].exp()
        assert_close(share.sum(), torch.tensor(1.0).double(), "the shares of a draw do not sum to 1")
        z = drawn.z[:, :, 0]
        mean = torch.einsum("g,s,gsl->l", weights, share, z)
        covariance = torch.einsum("g,s,gsl,gsm->lm", weights, share, z - mean, z - mean)
        assert_close(mean, q.mean[0], "the draws' mean differs from q's")
        assert_close(covariance, q.covariance_matrix[0], "the draws' covariance differs from q's")


@prop
def terms(instance: LatentInstance) -> None:
    """Each draw's terms are those of q, p(z) and p(x | z); both forms of the KL divergence have the same mean."""
    model = random_model(instance)
    for image in some_x(model, 3).split(1):
        u, weights = all_noise(model, image)
        images = image.expand(len(u), *image.shape[1:])
        reconstruction, kl, sampled_kl = model.elbo_terms(images, uniforms=u)[:3]
        posterior, (z, log_q, log_share), _ = model(images, u[None])
        q, prior, share = reference(model, image), standard(model), log_share.exp()
        given_z, log_q_z = log_likelihood(model, z[0], images), q.log_prob(z[0].flatten(0, 1)).view_as(z[0, ..., 0])
        assert_close(log_q[0], log_q_z, "the draws' density is not that of q")
        assert_close(reconstruction, (share * given_z).sum(0), "log p(x | z) differs")
        expected = (share * (log_q_z - prior.log_prob(z[0]))).sum(0)
        assert_close(sampled_kl, expected, "log q(z | x) - log p(z) differs")
        assert_close(weights @ kl, weights @ sampled_kl, "the two forms of the KL divergence differ")
        if posterior.kl(model.prior()) is not None:
            assert_close(kl, kl[:1].expand(len(u)), "the closed form depends on the draw")
        assert_close(model.elbo(images, uniforms=u), reconstruction - kl, "elbo is not the difference of its terms")


@prop
def bound(instance: LatentInstance) -> None:
    """The mean ELBO is at most log p(x), by exactly KL(q(z | x) || p(z | x))."""
    model = random_model(instance)
    x = some_x(model, 3)
    log_p = integral(model, x)
    for image, exact in zip(x.split(1), log_p, strict=True):
        u, weights = all_noise(model, image)
        images = image.expand(len(u), *image.shape[1:])
        elbo = weights @ model.elbo(images, uniforms=u)
        assert elbo <= exact + TOLERANCE, f"the mean ELBO is {elbo:.6f}, above log p(x) = {exact:.6f}"
        z, _, log_share = model(images, u[None])[1]
        log_joint = log_likelihood(model, z[0], images) + standard(model).log_prob(z[0])
        log_q = reference(model, image).log_prob(z[0].flatten(0, 1)).view_as(log_joint)
        gap = weights @ (log_share.exp() * (log_q - (log_joint - exact))).sum(0)
        assert_close(exact - elbo, gap, "log p(x) minus the ELBO is not KL(q || p(z | x))")


@prop
def unbiased(instance: LatentInstance) -> None:
    """The mean weight p(x, z) / q(z | x) is p(x), and so is the mean of exp(iwae_bound), whatever k."""
    model = random_model(instance)
    x = some_x(model, 3)
    p = integral(model, x).exp()
    for image, exactly in zip(x.split(1), p, strict=True):
        u, weights = all_noise(model, image)
        mean_weight = weights @ model.log_weights(image, len(u), uniforms=u[:, None]).exp()
        assert_close(mean_weight / exactly, torch.ones(1).double(), "the mean weight is not p(x)")
    u = torch.rand(1, len(x), model.latents, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    one = model.iwae_bound(x, 1, uniforms=u)
    assert_close(one, model.log_weights(x, 1, uniforms=u)[0], "with one draw the bound is not its log-weight")
    for k in (2, 5, 20):
        values = model.iwae_bound(x.repeat(2000, *[1] * (x.ndim - 1)), k, generator=torch.Generator().manual_seed(k))
        ratio = values.view(2000, len(x)).exp() / p
        assert_mean(ratio - 1, at_least=0, at_most=0, what=f"the mean of exp(bound) / p(x) - 1 with {k} draws")


@prop
def monotone(instance: LatentInstance) -> None:
    """The mean of the importance-weighted bound grows with k, up to log p(x)."""
    model = random_model(instance)
    x = some_x(model, 3)
    log_p = integral(model, x)
    repeated, last = x.repeat(2000, *[1] * (x.ndim - 1)), None
    for k in (1, 2, 4, 16):
        values = model.iwae_bound(repeated, k, generator=torch.Generator().manual_seed(k)).view(2000, len(x))
        assert_mean(values - log_p, at_most=0, what=f"the mean bound with {k} draws minus log p(x)")
        if last is not None:
            assert_mean(values - last, at_least=0, what=f"the bound with {k} draws minus the bound with fewer")
        last = values
        u = torch.rand(2 * k, len(x), model.latents, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        halves = [model.iwae_bound(x, k, uniforms=half) for half in (u[:k], u[k:])]
        assert (model.iwae_bound(x, 2 * k, uniforms=u) >= (halves[0] + halves[1]) / 2 - TOLERANCE).all()
    many = model.iwae_bound(x, 40_000, generator=torch.Generator().manual_seed(0))
    assert (many - log_p).abs().max() < 0.1, f"with 40,000 draws the bound is {(many - log_p).abs().max()} off"


@prop
def exact(instance: LatentInstance) -> None:
    """`log_prob` is log p(x). At the true posterior, log p(x, z) - log q(z | x) is log p(x) in every draw."""
    model = random_model(instance)
    x = some_x(model, 20)
    if hasattr(model, "log_prob"):
        assert_close(model.log_prob(x), integral(model, x), "log_prob is not the integral")
    if not instance.exact:
        return
    log_p = model.log_prob(x)
    log_w = model.log_weights(x, 50, generator=torch.Generator().manual_seed(0))
    assert_close(log_w, log_p.expand(50, -1), "log p(x, z) - log q(z | x) is not log p(x) in every draw")


@prop
def slopes(instance: LatentInstance) -> None:
    """The gradient through the draws has the mean of the score-function one, for every parameter."""
    if not instance.continuous:
        return
    model = random_model(instance)
    for image in some_x(model, 2).split(1):
        u, weights = all_noise(model, image)
        images = image.expand(len(u), *image.shape[1:])
        through_draws = gradients(weights @ model.elbo(images, uniforms=u), model)
        z, _, log_share = (each.detach() for each in model(images, u[None])[1])
        log_joint = log_likelihood(model, z[0], images) + model.prior().log_prob(z[0])
        log_q = model.encode(images).log_prob(z[0])
        surrogate = log_joint + (log_joint - log_q).detach() * log_q
        score = gradients(weights @ (log_share.exp() * surrogate).sum(0), model)
        for name, ours, expected in zip(dict(model.named_parameters()), through_draws, score, strict=True):
            assert_close(ours, expected, f"the gradient of {name} is not that of the score-function estimate")


@prop
def prefix(instance: LatentInstance) -> None:
    """A sample depends on its own uniforms only, and a generator draws what torch.rand draws; so do the bounds."""
    model = random_model(instance)
    few, many = (model.sample(n, generator=torch.Generator().manual_seed(0)) for n in (10, 64))
    tolerance = 1e-10 if model.levels is None else 0
    assert torch.allclose(few, many[:10], atol=tolerance, rtol=0), "10 samples are not the first of 64"
    width = model.latents + math.prod(model.event_shape)
    u = torch.rand(64, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.sample(64, uniforms=u), many), "a generator draws other uniforms than torch.rand's"
    x = some_x(model, 6)
    for call, shape in [(model.elbo, (6,)), (lambda x, **noise: model.iwae_bound(x, 7, **noise), (7, 6))]:
        u = torch.rand(*shape, model.latents, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        value = call(x, uniforms=u)
        assert torch.equal(value, call(x, generator=torch.Generator().manual_seed(0))), "not torch.rand's uniforms"
        alone = call(x[2:3], uniforms=u[..., 2:3, :])
        assert_close(alone, value[2:3], "the bound of an image depends on the other images")
        for wrong in (u[..., :0], u + 1, u.tolist()):
            with pytest.raises(ValueError, match="uniforms"):
                call(x, uniforms=wrong)
    with pytest.raises(ValueError, match="uniforms"):
        model.sample(3, uniforms=u[0])


@prop
def state(instance: LatentInstance) -> None:
    """Evaluating and sampling change neither weights, nor buffers, nor mode, nor torch's own generator."""
    for training in (False, True):
        model = random_model(instance).train(training)
        x, generator = some_x(model, 5), torch.Generator().manual_seed(0)
        with unchanged(model):
            model.elbo(x, generator=generator)
            model.iwae_bound(x, 3, generator=generator)
            model.reconstruct(x)
            model.sample(3, generator=generator)


@prop
def reaches(instance: LatentInstance) -> None:
    """Every parameter gets a gradient from the loss, and from both bounds."""
    model = random_model(instance)
    x = some_x(model, 16)
    for name, value in [("loss", model.loss(x)), ("iwae_bound", model.iwae_bound(x, 4).sum())]:
        for (parameter, _), gradient in zip(model.named_parameters(), gradients(value, model), strict=True):
            assert gradient.any() and gradient.isfinite().all(), f"{parameter} gets no gradient from {name}"


@prop
def zero(instance: LatentInstance) -> None:
    """Where all-zero parameters mean a uniform model, every image costs exactly log2 K bits per dimension."""
    if not instance.zero_is_uniform:
        return
    model = random_model(instance)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    x = some_x(model, 8)
    uniform = torch.full((8,), -math.prod(model.event_shape) * math.log(model.levels), dtype=torch.float64)
    for value in (model.elbo(x), model.iwae_bound(x, 3)):
        torch.testing.assert_close(value, uniform, rtol=1e-12, atol=1e-12)


@prop
def inputs(instance: LatentInstance) -> None:
    """Integers of every dtype mean the same; another dtype, shape or range is refused."""
    model = random_model(instance)
    x = some_x(model, 16)
    u = torch.rand(16, model.latents, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    if model.levels is None:
        mistakes = [(x.long(), "real-valued")]
    else:
        mistakes = [(x.double(), "integers"), (x.to(torch.uint16), "x.long()"), (x.tolist(), "tensor; got list")]
        mistakes += [(torch.full_like(x, value), "lie in") for value in (model.levels, -1)]
        for precision in (SINGLE, HALF):
            rounded = low_precision(instance, precision)
            expected = rounded.elbo(x, uniforms=u)
            for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, *[torch.bool] * (model.levels == 2)):
                assert torch.equal(rounded.elbo(x.to(dtype), uniforms=u), expected), f"{dtype} means something else"
    for wrong, message in [*mistakes, (x[0], "shape"), (x[..., :-1], "shape")]:
        for call in (model.elbo, model.encode, model.reconstruct, model.loss, lambda x: model.iwae_bound(x, 2)):
            with pytest.raises(ValueError, match=message):
                call(wrong)
    for z in (torch.zeros(2, model.latents + 1), torch.zeros(2, model.latents, dtype=torch.long), [[0.0]]):
        with pytest.raises(ValueError, match="z must be real numbers of shape"):
            model.decode(z)
    with pytest.raises(ValueError, match="k is 0"):
        model.iwae_bound(x, 0)


@prop
def rounding(instance: LatentInstance) -> None:
    """The bounds are float64's up to `rounding_error`, in float32 at least, and their gradients are finite."""
    for precision in LOW:
        model = low_precision(instance, precision)
        exact, x = copy.deepcopy(model).double(), in_float32(some_x(model, 8))
        u = torch.rand(3, 8, model.latents, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        u = u if instance.continuous else far_from_ends(exact, x, u)
        for call in (lambda m, x=x, u=u: m.elbo(x, uniforms=u[0]), lambda m, x=x, u=u: m.iwae_bound(x, 3, uniforms=u)):
            with precision.active():
                value = call(model)
            expected = call(exact)
            assert value.dtype in WIDE, f"in {precision.name} a bound is {value.dtype}"
            allowed = rounding_error(precision, exact, expected) + 4 * IN_FLOAT32 * (1 + expected.abs())
            for i in (~((value - expected).abs() <= allowed)).nonzero().flatten().tolist():
                wrong = f"a bound is {value[i]:.7g}, in float64 {expected[i]:.7g}: more than {allowed[i]:.1g} apart"
                raise AssertionError(f"in {precision.name} {wrong}")
            assert all(g.isfinite().all() for g in gradients(value.sum(), model)), f"in {precision.name}: a gradient"


@prop
def likelihood(instance: LatentInstance) -> None:
    """From the decoder's outputs on, whatever their dtype, log p(x | z) is computed in float32 at least."""
    for precision in LOW:
        model, x = low_precision(instance, precision), in_float32(some_x(random_model(instance), 12))
        with precision.active():
            z = torch.randn(12, model.prior().mean.shape[1], generator=torch.Generator().manual_seed(0))
            outputs = model.decode(z)
            found = model.likelihood.log_prob(outputs, x)
            if instance.pixels:  # whose network follows: its outputs are what counts
                outputs = model.likelihood.pixels(x, context=outputs.flatten(1, -3))
        likelihood = likelihoods.Categorical(model.levels) if outputs.ndim > x.ndim else likelihoods.Bernoulli()
        likelihood = likelihood if instance.pixels else model.likelihood
        expected = likelihood.log_prob(outputs.double(), x)
        assert found.dtype in WIDE, f"in {precision.name} log p(x | z) is {found.dtype}"
        error = ((found - expected).abs() / (1 + expected.abs())).max().item()
        assert error <= IN_FLOAT32, f"in {precision.name} the likelihood has a relative error of {error:.1g}"


@prop
def autocast(instance: LatentInstance) -> None:
    """Autocast changes no sample."""
    model = low_precision(instance, SINGLE)
    expected = model.sample(2000, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        found = model.sample(2000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found, expected), "autocast changes what is drawn"


@prop
def possible(instance: LatentInstance) -> None:
    """The bounds of a sample are finite in every precision, at the ends of [0, 1) too."""
    generator = torch.Generator().manual_seed(0)
    for precision in (Precision("float64", torch.float64), *LOW):
        model = low_precision(instance, precision)
        width = model.latents + math.prod(model.event_shape)
        u = torch.rand(100, width, dtype=torch.float64, generator=generator)
        u = torch.where(u < 1 / 3, 0.0, torch.where(u < 2 / 3, 1 - 2.0**-53, u))
        with precision.active():
            x = model.sample(100, uniforms=u)
            values = model.elbo(x, uniforms=u[:, : model.latents]), model.iwae_bound(x, 2, generator=generator)
        assert all(value.isfinite().all() for value in values), f"in {precision.name} a sample's bound is not finite"


@prop
def means(instance: LatentInstance) -> None:
    """The mean of p(x | z) is the mean of its probabilities, and what `reconstruct` gives for the mean of q(z | x)."""
    model = random_model(instance, 2 * instance.scale)
    x, everything = some_x(model, 3), states(model)
    z = model.encode(x).mean
    outputs = model.decode(z)
    for i in range(3):
        repeated = outputs[i : i + 1].expand(len(everything), *outputs.shape[1:])
        p = model.likelihood.log_prob(repeated, everything).exp()
        p, numbers = p / p.sum(), everything.flatten(1).to(p.dtype)
        mean = p @ numbers
        with mock.patch.object(pixel_vae, "MEAN_DRAWS", 10_000):
            difference = model.mean(z[i : i + 1]).flatten() - mean
        if instance.pixels:
            error = (p @ numbers.square() - mean.square()).sqrt() / math.sqrt(10_000)
            difference = (difference.abs() - DEVIATIONS * error).clamp_min(0)
        assert_close(difference, torch.zeros_like(mean), "the mean of p(x | z) differs from that of its probabilities")
    assert_close(model.reconstruct(x), model.mean(z), "reconstruct differs from the mean at q's mean")


# What the properties are made of


class Marginal(torch.nn.Module):
    """p(x) of a latent-variable model, as `properties.table` reads it."""

    def __init__(self, model: LatentVariableModel):
        super().__init__()
        self.model, self.event_shape, self.levels = model, model.event_shape, model.levels
        self.order = torch.arange(math.prod(model.event_shape))

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        if hasattr(self.model, "log_prob"):
            return self.model.log_prob(x)
        return integral(self.model, x)


def integral(model: LatentVariableModel, x: torch.Tensor) -> torch.Tensor:
    """log p(x) by integration over a grid of z, coarser for two latent variables, which take longer, or by a sum."""
    if isinstance(model.prior(), IndependentCategoricals):
        K = model.categories
        rows = [torch.cat([torch.eye(K)[k] for k in row]) for row in itertools.product(range(K), repeat=model.latents)]
        z = torch.stack(rows).double().unsqueeze(1).expand(-1, len(x), -1)
        return log_likelihood(model, z, x).logsumexp(0) - math.log(len(rows))
    return log_probs_by_integration(model, x, points=321 if model.latents == 1 else 121)


def random_model(instance: LatentInstance, scale: float | None = None) -> LatentVariableModel:
    """A float64 model in eval mode with random parameters, of the instance's scale by default, and a wide q(z | x)."""
    model = instance.build().double().eval()
    randomize(model, 0, instance.scale if scale is None else scale)
    encoder = getattr(getattr(model, "model", model), "encoder", None)
    if encoder is not None:
        with torch.no_grad():
            means = model.strata * model.latents
            encoder.layers[-1].bias[means : 2 * means] += instance.spread
    return model


def low_precision(instance: LatentInstance, precision: Precision) -> LatentVariableModel:
    """A model of lower precision, with parameters half as large, see `Precision.model`."""
    return random_model(instance, instance.scale / 2).to(precision.weights)


def some_x(model: LatentVariableModel, n: int) -> torch.Tensor:
    return random_x(model, n, torch.Generator().manual_seed(0))


def all_noise(model: LatentVariableModel, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A grid of uniforms, (G, L), and the weights of their normal quantiles, (G,), which sum to 1.

    For a categorical q(z | image) the uniforms are the middles of all categories' intervals, with their probabilities.
    """
    posterior, latents = model.encode(image), model.latents
    if isinstance(posterior, IndependentCategoricals):
        p = posterior.log_p[0].detach().exp()
        u = torch.cartesian_prod(*(p.cumsum(1) - p / 2)).view(-1, latents)
        return u, torch.cartesian_prod(*p).view(-1, latents).prod(1)
    line = torch.linspace(-QUANTILES, QUANTILES, 281 if latents == 1 else 141, dtype=torch.float64)
    t = torch.cartesian_prod(*[line] * latents).view(-1, latents)
    weights = torch.exp(-t.square().sum(1) / 2)
    return torch.special.ndtr(t), weights / weights.sum()


class TwoLevels:
    """q(z | x) of a ladder with one latent variable on each of two levels, or p(z) for x = None.

    Of q(z | x) it has the mean, (n, 2), and the covariance matrix, (n, 2, 2), by a sum over a grid of the top level.
    """

    def __init__(self, model: LatentVariableModel, x: torch.Tensor | None = None):
        self.model, self.said = model, None
        self.top = Normal(torch.zeros(1).double(), 1.0)
        if x is not None:
            outputs = model.encoder(x.double() / (model.levels - 1))
            mean, variance = outputs[:, :2], outputs[:, 2:].exp()
            self.top, self.said = Normal(mean[:, 0], variance[:, 0].sqrt()), (mean[:, 1], variance[:, 1])

    def bottom(self, top: torch.Tensor) -> Normal:
        """The lower level given the higher one, (*draws, n)."""
        mean, log_variance = self.model.downward[0](top.unsqueeze(-1)).unbind(-1)
        variance = log_variance.exp()
        if self.said is None:
            return Normal(mean, variance.sqrt())
        a, b = self.said
        return Normal((b * mean + variance * a) / (b + variance), (b * variance / (b + variance)).sqrt())

    def log_prob(self, z: torch.Tensor) -> torch.Tensor:
        return self.top.log_prob(z[..., 0]) + self.bottom(z[..., 0]).log_prob(z[..., 1])

    def _moments(self) -> tuple[torch.Tensor, torch.Tensor]:
        t = torch.linspace(-QUANTILES, QUANTILES, 281, dtype=torch.float64)
        weights = torch.exp(-t.square() / 2) / torch.exp(-t.square() / 2).sum()
        top = self.top.mean + self.top.stddev * t[:, None]
        bottom = self.bottom(top)
        mean = weights @ bottom.mean
        variance = weights @ (bottom.variance + (bottom.mean - mean).square())
        covariance = weights @ ((top - self.top.mean) * bottom.mean)
        matrix = torch.stack([self.top.variance, covariance, covariance, variance], -1)
        return torch.stack([self.top.mean, mean], -1), matrix.unflatten(-1, (2, 2))

    @property
    def mean(self) -> torch.Tensor:
        return self._moments()[0]

    @property
    def covariance_matrix(self) -> torch.Tensor:
        return self._moments()[1]


class ByIntegration:
    """q(z | x) of n images by its density alone, with its moments by integration over a grid of two latent variables.

    Raises:
        AssertionError: the density does not integrate to 1.
    """

    def __init__(self, posterior: Posterior):
        self.log_prob = posterior.log_prob
        line = torch.linspace(-30, 30, 201, dtype=torch.float64)
        z = torch.cartesian_prod(line, line)
        p = self.log_prob(z[:, None].expand(-1, len(posterior.mean), -1)).exp() * 0.3**2
        assert_close(p.sum(0), torch.ones_like(p[0]), "the density of q does not integrate to 1")
        self.mean = torch.einsum("gn,gl->nl", p, z)
        centred = z[:, None] - self.mean
        self.covariance_matrix = torch.einsum("gn,gnl,gnm->nlm", p, centred, centred)


class Mixture(MixtureSameFamily):
    """torch's mixture of normal distributions, with its covariance."""

    def __init__(self, log_pi: torch.Tensor, means: torch.Tensor, log_variances: torch.Tensor):
        components = MultivariateNormal(means, torch.diag_embed(log_variances.exp()))
        super().__init__(Categorical(logits=log_pi), components)

    @property
    def covariance_matrix(self) -> torch.Tensor:
        pi, components = self.mixture_distribution.probs, self.component_distribution
        centred = components.mean - self.mean.unsqueeze(1)
        second = components.covariance_matrix + centred.unsqueeze(-1) * centred.unsqueeze(-2)
        return torch.einsum("nk,nklm->nlm", pi, second)


class OneHot:
    """Independent categorical variables as one-hot vectors in a row, by torch's distributions."""

    def __init__(self, log_p: torch.Tensor):
        self.each = OneHotCategorical(logits=log_p)
        self.mean = self.each.probs.flatten(1)
        self.covariance_matrix = torch.stack(
            [torch.block_diag(*(p.diag() - p.outer(p) for p in q)) for q in log_p.exp()]
        )

    def log_prob(self, z: torch.Tensor) -> torch.Tensor:
        return self.each.log_prob(z.unflatten(-1, self.each.probs.shape[1:])).sum(-1)


def far_from_ends(model: LatentVariableModel, x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """The middles of the categories' intervals in which uniforms (k, n, N) lie: rounding q changes no choice."""
    p = model.encode(x).log_p.detach().exp()
    ends = p.cumsum(-1)
    chosen = (ends[..., :-1] <= u.unsqueeze(-1)).sum(-1, keepdim=True)
    return (ends - p / 2).expand(len(u), -1, -1, -1).gather(-1, chosen).squeeze(-1)


Reference = MultivariateNormal | Mixture | ByIntegration | OneHot | TwoLevels


def reference(model: LatentVariableModel, x: torch.Tensor) -> Reference:
    """q(z | x) as a distribution of torch's, or by its density."""
    if hasattr(model, "sizes"):
        return TwoLevels(model, x)
    posterior = model.encode(x)
    if isinstance(posterior, MixturePosterior):
        return Mixture(*posterior)
    if isinstance(posterior, IndependentCategoricals):
        return OneHot(posterior.log_p)
    if isinstance(posterior, IAFPosterior):
        return ByIntegration(posterior)
    if hasattr(posterior, "covariance"):
        return MultivariateNormal(posterior.mean, posterior.covariance)
    return MultivariateNormal(posterior.mean, torch.diag_embed(posterior.log_variance.exp()))


def log_likelihood(model: LatentVariableModel, z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """log p(x | z), (S, n), of z (S, n, L)."""
    repeated = x.repeat(len(z), *[1] * (x.ndim - 1))
    return model.likelihood.log_prob(model.decode(z.flatten(0, 1)), repeated).view(z.shape[:2])


def standard(model: LatentVariableModel) -> MultivariateNormal | OneHot | TwoLevels:
    """p(z) of every model here: N(0, I), all categories equally probable, or a ladder's."""
    if hasattr(model, "sizes"):
        return TwoLevels(model)
    if isinstance(model.prior(), IndependentCategoricals):
        return OneHot(torch.zeros(1, model.latents, model.categories).double().log_softmax(-1))
    return MultivariateNormal(torch.zeros(model.latents).double(), torch.eye(model.latents).double())


def gradients(value: torch.Tensor, model: LatentVariableModel) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(value, tuple(model.parameters()), retain_graph=True, materialize_grads=True)


def assert_close(found: torch.Tensor, expected: torch.Tensor, what: str) -> None:
    difference = ((found - expected).abs() / (1 + expected.abs())).max().item()
    assert difference < TOLERANCE, f"{what}: by {difference:.3g}"


def assert_mean(values: torch.Tensor, what: str, at_least: float | None = None, at_most: float | None = None) -> None:
    """The mean over rows, column by column, lies where it should: within DEVIATIONS standard errors."""
    mean, error = values.mean(0), DEVIATIONS * values.std(0) / math.sqrt(len(values)) + TOLERANCE
    if at_least is not None:
        assert (mean >= at_least - error).all(), f"{what} is {mean.tolist()}"
    if at_most is not None:
        assert (mean <= at_most + error).all(), f"{what} is {mean.tolist()}"
