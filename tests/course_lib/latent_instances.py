"""Tiny instances of every latent-variable model. A new model joins the generic suite by a line in LATENT_INSTANCES."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from course_lib.models import (
    VAE,
    CategoricalVAE,
    ConditionalVAE,
    LadderVAE,
    LatentVariableModel,
    PixelLadderVAE,
    PixelVAE,
    ProbabilisticPCA,
)


@dataclass(frozen=True)
class LatentInstance:
    """A model with one or two latent variables and a few hundred states of x at most, or real x.

    Attributes:
        name: for the test's id.
        build: makes the model; the suite then draws its parameters.
        scale: the standard deviation of the random parameters.
        exact: whether the posterior is the true one.
        continuous: whether z is real, with a gradient through its draws.
        zero_is_uniform: whether all-zero parameters make the model uniform and its bound exact.
        spread: added to the log-variance of an encoder's outputs. Neither a grid nor a sample sees the tails of the
            weights p(x, z) / q(z | x) if q is narrow.
        pixels: whether p(x | z) is a `PixelLikelihood`: a network of its own, whose mean is estimated from samples.
    """

    name: str
    build: Callable[[], LatentVariableModel]
    scale: float = 0.5
    exact: bool = False
    continuous: bool = True
    zero_is_uniform: bool = True
    spread: float = 1.5
    pixels: bool = False

    def __str__(self) -> str:
        return self.name


class Labelled(LatentVariableModel):
    """A conditional model with fixed labels, the same for all images: a distribution of x alone."""

    def __init__(self, model: LatentVariableModel):
        super().__init__(model.event_shape, model.levels, model.latents)
        last = torch.tensor([[number - 1 for number in model.classes]])
        self.strata = model.strata
        self.model, self.likelihood, self.labels = model, model.likelihood, last[:, 0] if len(last[0]) == 1 else last

    def expanded(self, n):
        return self.labels.expand(n, *self.labels.shape[1:])

    def loss(self, x):
        return self.model.loss(x, labels=self.expanded(len(x)))

    def _encode(self, x):
        return self.model._encode(x, self.expanded(len(x)))

    def _decode(self, z):
        return self.model._decode(z, self.expanded(len(z)))


REAL = dict(zero_is_uniform=False)
SMALL = dict(context=2, pixel_channels=3, pixel_layers=1, head=3)
COLOURS = SMALL | dict(pixel_channels=4, head=4)
# At all-zero parameters what x says of the lower level is N(0, 1), which is not nothing.
LADDER = dict(scale=0.3, zero_is_uniform=False)
LATENT_INSTANCES = [
    LatentInstance("VAE", lambda: VAE((4,), 2, 1, [8])),
    LatentInstance("VAE, two latents", lambda: VAE((5,), 2, 2, [7, 6]), scale=0.4),
    LatentInstance("VAE, no hidden layer, beta, free bits", lambda: VAE((3,), 2, 2, [], beta=2.0, free_bits=0.1)),
    LatentInstance("VAE, convolutions", lambda: VAE((1, 3, 2), 2, 1, [6], channels=[4])),
    LatentInstance("VAE, convolutions, two colours", lambda: VAE((2, 2, 2), 2, 2, [], channels=[4, 5])),
    LatentInstance("VAE, categorical", lambda: VAE((3,), 3, 1, [8])),
    LatentInstance("VAE, logistic", lambda: VAE((3,), 4, 1, [8], likelihood="discretized logistic"), **REAL),
    LatentInstance(
        "VAE, logistic, convolutions",
        lambda: VAE((1, 2, 2), 3, 2, [5], channels=[4], likelihood="discretized logistic"),
        **REAL,
    ),
    LatentInstance("VAE, Gaussian", lambda: VAE((1,), None, 1, [6]), **REAL),
    LatentInstance("VAE, Gaussian, fixed variance", lambda: VAE((1,), None, 2, [6], variance=0.5), **REAL),
    LatentInstance("VAE, Gaussian, learned variance", lambda: VAE((1,), None, 1, [6], variance="learned"), **REAL),
    LatentInstance("VAE, flow", lambda: VAE((4,), 2, 2, [5], posterior="iaf")),
    LatentInstance("VAE, flow of one step, beta", lambda: VAE((2,), 3, 2, [], posterior="iaf", flows=1, beta=2.0)),
    LatentInstance("VAE, mixture", lambda: VAE((4,), 2, 1, [5], posterior="mixture", components=3)),
    LatentInstance(
        "VAE, mixture, two latents, beta", lambda: VAE((3,), 2, 2, [], posterior="mixture", components=2, beta=2.0)
    ),
    LatentInstance("ConditionalVAE", lambda: Labelled(ConditionalVAE((4,), 2, 1, [8], classes=(2, 3)))),
    LatentInstance(
        "ConditionalVAE, convolutions", lambda: Labelled(ConditionalVAE((1, 2, 2), 3, 1, [6], channels=[4], classes=3))
    ),
    LatentInstance(
        "ConditionalVAE, mixture", lambda: Labelled(ConditionalVAE((3,), 2, 1, [], classes=3, posterior="mixture"))
    ),
    LatentInstance("CategoricalVAE", lambda: CategoricalVAE((4,), 2, 2, 3, [5]), continuous=False),
    LatentInstance(
        "CategoricalVAE, gumbel, convolutions",
        lambda: CategoricalVAE((1, 2, 2), 3, 1, 4, [5], channels=[4], estimator="gumbel"),
        continuous=False,
    ),
    LatentInstance(
        "CategoricalVAE, reinforce, Gaussian",
        lambda: CategoricalVAE((1,), None, 2, 2, [5], estimator="reinforce"),
        continuous=False,
        **REAL,
    ),
    LatentInstance("PixelVAE", lambda: PixelVAE((1, 2, 2), 2, 1, [6], **SMALL), pixels=True),
    LatentInstance(
        "PixelVAE, two colours, convolutions, free bits, warm-up",
        lambda: PixelVAE((2, 2, 1), 3, 1, [5], channels=[4], **COLOURS, free_bits=0.01, warmup=5),
        scale=0.3,
        pixels=True,
    ),
    LatentInstance("LadderVAE", lambda: LadderVAE((4,), 2, [1, 1], [6], width=4), **LADDER),
    LatentInstance(
        "LadderVAE, categorical, beta, free bits",
        lambda: LadderVAE((3,), 3, [1, 1], [6], width=4, beta=2.0, free_bits=0.1),
        **LADDER,
    ),
    LatentInstance(
        "PixelLadderVAE", lambda: PixelLadderVAE((1, 2, 2), 2, [1, 1], [6], width=4, **SMALL), pixels=True, **LADDER
    ),
    LatentInstance("ProbabilisticPCA", lambda: ProbabilisticPCA(2, 1), exact=True, **REAL),
    LatentInstance("ProbabilisticPCA, two latents", lambda: ProbabilisticPCA(1, 2), exact=True, **REAL),
]
