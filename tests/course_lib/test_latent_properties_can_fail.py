"""The suite can fail: each model here has one known mistake, and loses exactly the properties that it should."""

import math

import pytest
import torch
from _pytest.outcomes import Failed

from course_lib import distributions
from course_lib.models import VAE, CategoricalVAE, LadderVAE, LatentVariableModel, PixelVAE, ProbabilisticPCA
from course_lib.models.categorical_vae import IndependentCategoricals
from course_lib.models.ladder_vae import TopDown
from course_lib.models.latent import DiagonalGaussian, Draws, ELBOTerms, FullGaussian
from course_lib.models.likelihoods import Bernoulli, Gaussian
from course_lib.models.posteriors import IAFPosterior, MixturePosterior
from course_lib.nn import MaskedConv2d
from tests.course_lib.latent_instances import LADDER, LatentInstance
from tests.course_lib.latent_properties import LATENT_PROPERTIES


class TinyVAE(VAE):
    """Without a mistake. A subclass may have another posterior."""

    posterior = DiagonalGaussian

    def __init__(self):
        super().__init__((3,), 2, 2, [5])

    def _encode(self, x):
        return self.posterior(*super()._encode(x))


class MeanOverLatents(TinyVAE):
    """The KL divergence is averaged over the latent variables."""

    class posterior(DiagonalGaussian):
        def kl(self, prior):
            return self.kl_by_latent(prior).mean(-1)


class KLWithoutLogVariance(TinyVAE):
    """The closed form lacks the log-variance."""

    class posterior(DiagonalGaussian):
        def kl_by_latent(self, prior):
            return super().kl_by_latent(prior) + self.log_variance / 2


class KLTheWrongWayRound(TinyVAE):
    """KL(p(z) || q(z | x))."""

    class posterior(DiagonalGaussian):
        def kl(self, prior):
            return prior.kl(self)


class DensityWithoutLogVariance(TinyVAE):
    """log q(z | x) lacks the log-variance."""

    class posterior(DiagonalGaussian):
        def log_prob(self, z):
            return super().log_prob(z) + self.log_variance.sum(-1) / 2


class VarianceForDeviation(TinyVAE):
    """The draw multiplies the noise by the variance."""

    class posterior(DiagonalGaussian):
        def draw(self, uniforms):
            return self.mean + self.log_variance.exp() * distributions.normal_quantile(uniforms)


class Deterministic(TinyVAE):
    """z is the mean of q(z | x), always."""

    class posterior(DiagonalGaussian):
        def draw(self, uniforms):
            return self.mean.expand(uniforms.shape)


class UniformNoise(TinyVAE):
    """The noise is uniform, on the interval of the same mean and variance."""

    class posterior(DiagonalGaussian):
        def draw(self, uniforms):
            return self.mean + torch.exp(self.log_variance / 2) * math.sqrt(12) * (uniforms - 0.5)


class Detached(TinyVAE):
    """The draw passes no gradient to the encoder."""

    class posterior(DiagonalGaussian):
        def draw(self, uniforms):
            return super().draw(uniforms).detach()


class RoundedNoise(TinyVAE):
    """The uniforms are rounded to float32, where some become 1, before their quantile is taken."""

    class posterior(DiagonalGaussian):
        def draw(self, uniforms):
            noise = distributions.normal_quantile(uniforms.float()).to(self.mean.dtype)
            return self.mean + torch.exp(self.log_variance / 2) * noise


class MeanOfPixels(Bernoulli):
    """log p(x | z) is averaged over the pixels."""

    def log_prob(self, outputs, x):
        return super().log_prob(outputs, x) / x[0].numel()


class DoubleSigmoid(Bernoulli):
    """Probabilities go where logits are expected."""

    def log_prob(self, outputs, x):
        return super().log_prob(outputs.sigmoid(), x)


class LowPrecision(Bernoulli):
    """The likelihood is summed in the network's precision."""

    def log_prob(self, outputs, x):
        return super().log_prob(outputs, x).to(outputs.dtype)


class MeanForSum(TinyVAE):
    """See `MeanOfPixels`."""

    def __init__(self):
        super().__init__()
        self.likelihood = MeanOfPixels()


class ProbabilitiesAsLogits(TinyVAE):
    """See `DoubleSigmoid`."""

    def __init__(self):
        super().__init__()
        self.likelihood = DoubleSigmoid()


class SumsOfHalf(TinyVAE):
    """See `LowPrecision`."""

    def __init__(self):
        super().__init__()
        self.likelihood = LowPrecision()


class NoLogK(TinyVAE):
    """The sum of the weights is not divided by k."""

    def iwae_bound(self, x, k, **noise):
        return super().iwae_bound(x, k, **noise) + math.log(max(k, 1))


class MeanOfLogs(TinyVAE):
    """The logarithms of the weights are averaged: the ELBO again, whatever k."""

    def iwae_bound(self, x, k, **noise):
        return self.log_weights(x, k, **noise).mean(0)


class PriorForgotten(TinyVAE):
    """The weights lack p(z)."""

    def log_weights(self, x, k, **noise):
        self._check(x)
        uniforms = self._uniforms(noise.get("uniforms"), noise.get("generator"), (k, len(x), self.latents))
        z = self(x, uniforms)[1].z[:, 0]
        return super().log_weights(x, k, uniforms=uniforms) - self.prior().log_prob(z)


class OneDrawForAll(TinyVAE):
    """All k draws of an image are the same."""

    def log_weights(self, x, k, **noise):
        return super().log_weights(x, k, **noise)[:1].expand(k, -1)


class OneNoiseForTheBatch(TinyVAE):
    """All images have the noise of the first one."""

    def _uniforms(self, uniforms, generator, shape):
        u = super()._uniforms(uniforms, generator, shape)
        return u if shape[-1] != self.latents else u[..., :1, :].expand(shape)


class EncoderOfTheBatch(TinyVAE):
    """q(z | x) depends on the other images."""

    def _encode(self, x):
        mean, log_variance = super()._encode(x)
        return DiagonalGaussian(mean - mean.mean(0) / 2, log_variance)


class SampledKL(TinyVAE):
    """The ELBO has the estimate of the KL divergence for its closed form."""

    def elbo_terms(self, x, **noise):
        reconstruction, _, sampled = super().elbo_terms(x, **noise)
        return ELBOTerms(reconstruction, sampled, sampled)


class BetaInTheBound(TinyVAE):
    """beta changes `elbo`."""

    def elbo(self, x, **noise):
        terms = self.elbo_terms(x, **noise)
        return terms.reconstruction - 2 * terms.kl


class WiderPrior(TinyVAE):
    """Samples begin with a z of variance 2."""

    def sample(self, n, *, generator=None, uniforms=None):
        u = self._uniforms(uniforms, generator, (n, self.latents + 3))
        z = math.sqrt(2) * self.prior().draw(u[:, : self.latents])
        return self.likelihood.invert(self._decode(z), u[:, self.latents :])


class MostProbable(TinyVAE):
    """A sample is the most probable x for its z."""

    def sample(self, n, *, generator=None, uniforms=None):
        u = self._uniforms(uniforms, generator, (n, self.latents + 3))
        return (self._decode(self.prior().draw(u[:, : self.latents])) > 0).long()


class SharedUniforms(TinyVAE):
    """The pixels share the uniforms of z."""

    def sample(self, n, *, generator=None, uniforms=None):
        u = self._uniforms(uniforms, generator, (n, self.latents + 3))
        z = self.prior().draw(u[:, : self.latents])
        return self.likelihood.invert(self._decode(z), u[:, :3])


class OwnGenerator(TinyVAE):
    """The generator is ignored."""

    def _uniforms(self, uniforms, generator, shape):
        return super()._uniforms(uniforms, None, shape)


class SamplesUnderAutocast(TinyVAE):
    """The sampler's decoder runs under autocast, and nearly certain pixels turn."""

    def sample(self, n, *, generator=None, uniforms=None):
        u = self._uniforms(uniforms, generator, (n, self.latents + 3))
        z = self.prior().draw(u[:, : self.latents])
        return self.likelihood.invert(self._decode(z), u[:, self.latents :])


class ReconstructsADraw(TinyVAE):
    """`reconstruct` decodes a draw of z."""

    def reconstruct(self, x):
        return self.mean(self.encode(x).draw(self._uniforms(None, None, (len(x), self.latents))))


class UnusedParameter(TinyVAE):
    """A parameter that nothing reads."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(3))


class TakesAnything(TinyVAE):
    """The input is not looked at."""

    def _check(self, x):
        pass


class Biased(TinyVAE):
    """The logits have a constant that is not a parameter."""

    def _decode(self, z):
        return super()._decode(z) + 1


class RoundsAway(TinyVAE):
    """The decoder adds a large number and subtracts it again: in bfloat16 there is little left."""

    def _decode(self, z):
        return super()._decode(z) + 100 - 100


class CountsSteps(TinyVAE):
    """Each evaluation changes a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def _encode(self, x):
        self.calls += 1
        return super()._encode(x)


class TinyGaussianVAE(VAE):
    """Without a mistake."""

    def __init__(self):
        super().__init__((1,), None, 1, [5], variance="learned")


class SquaredError(Gaussian):
    """The Gaussian likelihood without its log-variance and constant."""

    def log_prob(self, outputs, x):
        mean, log_variance = outputs.double().unbind(1)
        return -0.5 * ((x - mean).square() * (-log_variance).exp()).flatten(1).sum(1).to(outputs.dtype)


class PlainSquaredError(TinyGaussianVAE):
    """See `SquaredError`."""

    def __init__(self):
        super().__init__()
        self.likelihood = SquaredError("learned")


class TinyPCA(ProbabilisticPCA):
    """Without a mistake."""

    def __init__(self):
        super().__init__(2, 2)


class PosteriorWithoutNoise(TinyPCA):
    """The covariance of p(z | x) is M^-1, without s^2."""

    def _encode(self, x):
        mean, scale = super()._encode(x)
        return FullGaussian(mean, scale / self.variance.sqrt())


class IndependentLatents(TinyPCA):
    """q(z | x) has the variances of the posterior, but no covariances."""

    def _encode(self, x):
        posterior = super()._encode(x)
        return FullGaussian(posterior.mean, posterior.covariance.diagonal().sqrt().diag())


class NoDeterminant(TinyPCA):
    """log p(x) lacks the determinant of the posterior's precision."""

    def log_prob(self, x):
        return super().log_prob(x) - self._encode(x).scale.diagonal().log().sum()


class PrecisionForCovariance(TinyPCA):
    """The draws have the inverse of the Cholesky factor."""

    def _encode(self, x):
        mean, scale = super()._encode(x)
        return Inverted(mean, scale)


class Inverted(FullGaussian):
    def draw(self, uniforms):
        return self.mean + distributions.normal_quantile(uniforms) @ torch.linalg.inv(self.scale).mT.to(uniforms.dtype)


class TinyFlow(VAE):
    """Without a mistake. A subclass may have another posterior."""

    posterior = IAFPosterior

    def __init__(self):
        super().__init__((2,), 2, 2, [4], posterior="iaf", flows=1)

    def _encode(self, x):
        return self.posterior(*super()._encode(x))


class ReadsItself(TinyFlow):
    """Each dimension's scale depends on the dimension itself: the mask is not strict."""

    def __init__(self):
        super().__init__()
        for layer in self.flow.output:
            layer.mask.fill_(1)


class ScaleWithTheWrongSign(TinyFlow):
    """The density of a draw has the sum of the log-scales added."""

    class posterior(IAFPosterior):
        def weighted_draws(self, uniforms):
            z, log_q, log_share = super().weighted_draws(uniforms)
            return Draws(z, 2 * self.base.log_prob(self.base.draw(uniforms)).unsqueeze(1) - log_q, log_share)


class InverseInOneRound(TinyFlow):
    """The inverse reads z where it should read the noise found so far."""

    class posterior(IAFPosterior):
        def log_prob(self, z):
            (step,) = self.steps
            mean, log_scale = step.mean_and_log_scale(z, self.context[:, 0])
            return self.base.log_prob((z - mean) * torch.exp(-log_scale)) - log_scale.sum(-1)


class TinyMixture(VAE):
    """Without a mistake. A subclass may have another posterior."""

    posterior = MixturePosterior

    def __init__(self):
        super().__init__((3,), 2, 1, [4], posterior="mixture", components=2)

    def _encode(self, x):
        return self.posterior(*super()._encode(x))


class EqualWeights(TinyMixture):
    """Every component's draw counts the same, whatever its weight."""

    class posterior(MixturePosterior):
        def weighted_draws(self, uniforms):
            z, log_q, log_share = super().weighted_draws(uniforms)
            return Draws(z, log_q, torch.full_like(log_share, -math.log(len(log_share))))


class OwnComponentAlone(TinyMixture):
    """The density of a draw is that of its own component: the ELBO is a bound, but not the mixture's."""

    class posterior(MixturePosterior):
        def weighted_draws(self, uniforms):
            z, _, log_share = super().weighted_draws(uniforms)
            own = DiagonalGaussian(self.means.transpose(0, 1), self.log_variances.transpose(0, 1))
            return Draws(z, own.log_prob(z), log_share)


class WeightsWithoutGradient(TinyMixture):
    """The weights are taken for constants."""

    class posterior(MixturePosterior):
        def weighted_draws(self, uniforms):
            z, log_q, log_share = super().weighted_draws(uniforms)
            return Draws(z, log_q, log_share.detach())


class TinyCategorical(CategoricalVAE):
    """Without a mistake. A subclass may have another posterior."""

    posterior = IndependentCategoricals

    def __init__(self):
        super().__init__((3,), 2, 2, 3, [4])

    def _encode(self, x):
        return self.posterior(*super()._encode(x))


class FirstCategoryOfMany(TinyCategorical):
    """All variables are drawn from the first one's probabilities."""

    class posterior(IndependentCategoricals):
        def draw(self, uniforms):
            return IndependentCategoricals(self.log_p[:, :1].expand_as(self.log_p)).draw(uniforms)


class EntropyAlone(TinyCategorical):
    """The KL divergence lacks log K for each variable."""

    class posterior(IndependentCategoricals):
        def kl(self, prior):
            return (self.log_p.exp() * self.log_p).sum((-2, -1))


class SumWithoutPrior(TinyCategorical):
    """`log_prob` sums p(x | z) over all states."""

    def log_prob(self, x):
        return super().log_prob(x) + 2 * math.log(3)


class StatesOfOneVariable(TinyCategorical):
    """`log_prob` goes through states in which all variables are equal."""

    def states(self):
        return super().states()[[0, 4, 8]].repeat(3, 1)


class TinyPixelVAE(PixelVAE):
    """Without a mistake."""

    def __init__(self):
        super().__init__((1, 2, 2), 2, 1, [6], context=2, pixel_channels=3, pixel_layers=1, head=3)


class SeesItself(TinyPixelVAE):
    """The PixelCNN's first layer has mask B: a pixel reads itself."""

    def __init__(self):
        super().__init__()
        first = self.likelihood.pixels.layers[0].horizontal
        self.likelihood.pixels.layers[0].horizontal = MaskedConv2d(
            "B", first.input_colours, first.output_colours, left=first.left
        )


class OneUniformForAllPixels(TinyPixelVAE):
    """All pixels of a sample are drawn from the first one's uniform."""

    def __init__(self):
        super().__init__()
        invert = self.likelihood.invert
        self.likelihood.invert = lambda outputs, u: invert(outputs, u[..., :1, :1].expand_as(u))


class MedianForMean(TinyPixelVAE):
    """The mean of p(x | z) is the image of the uniforms 0.5."""

    def __init__(self):
        super().__init__()
        invert = self.likelihood.invert
        half = torch.full((1, 1, 2, 2), 0.5, dtype=torch.float64)
        self.likelihood.mean = lambda outputs: invert(outputs, half.expand(len(outputs), -1, -1, -1)).to(outputs.dtype)


class TinyLadder(LadderVAE):
    """Without a mistake."""

    def __init__(self):
        super().__init__((2,), 2, [1, 1], [4], width=3)


class StandardLowerLevel(TinyLadder):
    """The KL divergence of the lower level is that to N(0, I)."""

    def _kl_by_latent(self, posterior, draws):
        standard = DiagonalGaussian(torch.zeros(1, 1), torch.zeros(1, 1))
        return torch.cat([q.kl_by_latent(standard) for q in posterior.levels(draws.z[0, 0])], -1)


class SamplesFromOneLevel(TinyLadder):
    """Samples have the lower level from N(0, I)."""

    def sample(self, n, *, generator=None, uniforms=None):
        u = self._uniforms(uniforms, generator, (n, 4))
        z = distributions.normal_quantile(u[:, :2])
        return self.likelihood.invert(self._decode(z), u[:, 2:])


class PriorOfTheMean(TinyLadder):
    """The KL divergence of the lower level is that at the mean of the level above."""

    def _kl_by_latent(self, posterior, draws):
        return super()._kl_by_latent(posterior, draws._replace(z=posterior.mean[None, None]))


class SumOfVariances(TopDown):
    """Levels merge the two densities with the sum of their variances."""

    def conditional(self, i, above):
        level = super().conditional(i, above)
        if above is None:
            return level
        prior = self.downward[i - 1].given(above)
        precision = (-level.log_variance).exp() - (-prior.log_variance).exp()
        return DiagonalGaussian(level.mean, (prior.log_variance.exp() + 1 / precision).log())


class VariancesAddUp(TinyLadder):
    """The lower level of q(z | x) has the sum of the variances of the two densities."""

    def _encode(self, x):
        return SumOfVariances(*super()._encode(x))


BROKEN = {
    MeanOverLatents: {"bound", "slopes", "terms"},
    KLWithoutLogVariance: {"bound", "slopes", "terms"},
    KLTheWrongWayRound: {"bound", "slopes", "terms"},
    DensityWithoutLogVariance: {"monotone", "slopes", "terms", "unbiased"},
    VarianceForDeviation: {"bound", "draws", "monotone", "slopes", "terms", "unbiased"},
    Deterministic: {"bound", "draws", "monotone", "slopes", "terms", "unbiased"},
    UniformNoise: {"monotone", "slopes", "unbiased"},
    Detached: {"slopes"},
    RoundedNoise: {"bound", "draws", "possible", "slopes", "terms", "unbiased"},
    MeanForSum: {"mass", "means", "sampler", "zero"},
    ProbabilitiesAsLogits: {"likelihood", "means", "sampler", "zero"},
    SumsOfHalf: {"likelihood"},
    NoLogK: {"monotone", "unbiased", "zero"},
    MeanOfLogs: {"monotone", "unbiased"},
    PriorForgotten: {"monotone", "unbiased", "zero"},
    OneDrawForAll: {"monotone", "unbiased"},
    OneNoiseForTheBatch: {"bound", "monotone", "prefix", "slopes", "terms", "unbiased"},
    EncoderOfTheBatch: {"prefix"},
    SampledKL: {"terms"},
    BetaInTheBound: {"bound", "slopes", "terms"},
    WiderPrior: {"sampler"},
    MostProbable: {"autocast", "sampler"},
    SharedUniforms: {"sampler"},
    OwnGenerator: {"autocast", "prefix", "state"},
    SamplesUnderAutocast: {"autocast"},
    ReconstructsADraw: {"means", "state"},
    UnusedParameter: {"reaches"},
    TakesAnything: {"inputs"},
    Biased: {"zero"},
    CountsSteps: {"state"},
    RoundsAway: {"rounding", "sampler"},
    PlainSquaredError: {"likelihood", "mass", "sampler"},
    PosteriorWithoutNoise: {"exact", "mass"},
    IndependentLatents: {"exact", "mass"},
    NoDeterminant: {"exact", "mass"},
    PrecisionForCovariance: {"bound", "draws", "slopes", "terms"},
    ReadsItself: {"bound", "draws", "monotone", "slopes", "terms", "unbiased"},
    ScaleWithTheWrongSign: {"bound", "monotone", "slopes", "terms", "unbiased"},
    InverseInOneRound: {"bound", "draws", "slopes", "terms"},
    EqualWeights: {"draws", "slopes", "unbiased"},
    OwnComponentAlone: {"bound", "slopes", "terms"},
    WeightsWithoutGradient: {"slopes"},
    FirstCategoryOfMany: {"bound", "draws", "monotone", "terms", "unbiased"},
    EntropyAlone: {"bound", "terms", "zero"},
    SumWithoutPrior: {"exact", "mass"},
    StatesOfOneVariable: {"exact", "sampler"},
    SeesItself: {"mass"},
    OneUniformForAllPixels: {"sampler"},
    MedianForMean: {"means"},
    StandardLowerLevel: {"bound", "slopes", "terms"},
    SamplesFromOneLevel: {"sampler"},
    PriorOfTheMean: {"bound", "slopes", "terms"},
    VariancesAddUp: {"bound", "draws", "terms"},
}
RIGHT = {
    TinyVAE: lambda model: LatentInstance(model.__name__, model, scale=0.4),
    TinyGaussianVAE: lambda model: LatentInstance(model.__name__, model, zero_is_uniform=False),
    TinyFlow: lambda model: LatentInstance(model.__name__, model, scale=0.4, spread=2.5),
    TinyMixture: lambda model: LatentInstance(model.__name__, model),
    TinyCategorical: lambda model: LatentInstance(model.__name__, model, continuous=False),
    TinyPCA: lambda model: LatentInstance(model.__name__, model, exact=True, zero_is_uniform=False),
    TinyPixelVAE: lambda model: LatentInstance(model.__name__, model, scale=0.4, pixels=True),
    TinyLadder: lambda model: LatentInstance(model.__name__, model, **LADDER),
}


@pytest.mark.parametrize(("model", "loses"), BROKEN.items(), ids=[m.__name__ for m in BROKEN])
def test_a_mistake_loses_exactly_these_properties(model, loses):
    assert {name for name, check in LATENT_PROPERTIES.items() if not holds(check, model)} == loses


@pytest.mark.parametrize("model", RIGHT)
def test_the_same_model_without_a_mistake_loses_none(model):
    assert all(holds(check, model) for check in LATENT_PROPERTIES.values())


def test_every_property_catches_a_mistake():
    assert set().union(*BROKEN.values()) == set(LATENT_PROPERTIES)


def holds(check, model: type[LatentVariableModel]) -> bool:
    instance = next(build(model) for right, build in RIGHT.items() if issubclass(model, right))
    try:
        check(instance)
    except (AssertionError, Failed):
        return False
    return True
