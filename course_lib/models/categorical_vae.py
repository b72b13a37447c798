"""A VAE whose latent variables are categorical: z is N choices, each of one of K categories, as one-hot vectors.

    p(z) = K^-N,   q(z | x) = product over i of Categorical(z_i; softmax(logits_i(x)))

A draw of z is not a differentiable function of the logits. Three ways to the gradient of E_q[log p(x | z)]:

    enumeration   the sum over all K^N states of q(z | x) log p(x | z), exact
    gumbel        y = softmax((logits + g) / temperature), g = -log(-log u), in place of z: differentiable, but biased.
                  E. Jang, S. Gu and B. Poole, "Categorical Reparameterization with Gumbel-Softmax", ICLR 2017; C. J.
                  Maddison, A. Mnih and Y. W. Teh, "The Concrete Distribution", ICLR 2017
    reinforce     (log p(x | z) - baseline) times the gradient of log q(z | x): unbiased, but noisy. R. J. Williams,
                  Machine Learning 8, 1992. The baseline of a draw is the mean over the other draws for the same image:
                  W. Kool, H. van Hoof and M. Welling, "Buy 4 REINFORCE Samples, Get a Baseline for Free!", 2019
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch

from course_lib import distributions
from course_lib.models.latent import Draws, LatentVariableModel
from course_lib.models.likelihoods import likelihood_named
from course_lib.nn import Decoder, Encoder

STATES = 2**14  # that an enumeration goes through
DRAWS = 4  # of z for each image, by which REINFORCE estimates the gradient


class IndependentCategoricals(NamedTuple):
    """n distributions of N independent variables of K categories, float32 at least. z is N one-hot vectors in a row.

    Attributes:
        log_p: the logarithms of the probabilities, (n, N, K).

    >>> q = IndependentCategoricals(torch.tensor([[[0.25, 0.75]]]).log())
    >>> q.draw(torch.tensor([[[0.2]], [[0.3]]])).tolist()
    [[[1.0, 0.0]], [[0.0, 1.0]]]
    """

    log_p: torch.Tensor

    @property
    def mean(self) -> torch.Tensor:
        """The probabilities, (n, N K)."""
        return self.log_p.exp().flatten(1)

    def draw(self, uniforms: torch.Tensor) -> torch.Tensor:
        """Draws by inverting the distribution functions: constants, through which no gradient passes.

        Args:
            uniforms: (*draws, n, N) in [0, 1).

        Returns:
            (*draws, n, N K), in the parameters' dtype.
        """
        ends = self.log_p.detach().to(uniforms.dtype).exp().cumsum(-1)[..., :-1]
        chosen = (ends <= uniforms.unsqueeze(-1)).sum(-1, keepdim=True)
        categories = torch.arange(self.log_p.shape[-1], device=chosen.device)
        return (chosen == categories).to(self.log_p.dtype).flatten(-2)

    def weighted_draws(self, uniforms: torch.Tensor) -> Draws:
        """One z for each of k draws, from uniforms (k, n, N)."""
        z = self.draw(uniforms)
        return Draws.of(z, self.log_prob(z))

    def relaxed_draw(self, uniforms: torch.Tensor, temperature: float) -> torch.Tensor:
        """Gumbel-softmax draws, functions of the parameters: near one-hot vectors if the temperature is near 0.

        Args:
            uniforms: (*draws, n, N, K) in [0, 1).
            temperature: above 0.

        Returns:
            (*draws, n, N K), in the parameters' dtype.
        """
        gumbel = -torch.log(-torch.log(uniforms.clamp_min(2.0**-54)))
        return ((self.log_p + gumbel.to(self.log_p.dtype)) / temperature).softmax(-1).flatten(-2)

    def log_prob(self, z: torch.Tensor) -> torch.Tensor:
        """log of the probability in nats: (*draws, n) for one-hot z (*draws, n, N K)."""
        return (z.unflatten(-1, self.log_p.shape[1:]) * self.log_p).sum((-2, -1))

    def kl(self, prior: "IndependentCategoricals") -> torch.Tensor:
        """KL(this || prior) in nats, in closed form: (n,)."""
        return (self.log_p.exp() * (self.log_p - prior.log_p)).sum((-2, -1))


class CategoricalVAE(LatentVariableModel):
    """A VAE with N categorical latent variables, all categories equally probable in p(z).

    `log_prob` is exact where K^N, the number of states of z, is at most 16,384. The bounds, which draw z from q(z | x),
    are defined for any number. `loss` in training mode has the estimator's gradient; otherwise it is the mean of the
    negative ELBOs.

    Args:
        event_shape, levels: as in `GenerativeModel`.
        variables, categories: N and K.
        hidden, channels: widths of the networks, as in `VAE`.
        likelihood, variance: p(x | z), as in `VAE`.
        estimator: of the gradient: `enumeration`, `gumbel` or `reinforce`.
        temperature: of the Gumbel-softmax draws.

    Attributes:
        encoder, decoder: the networks, see `course_lib.nn.Encoder` and `Decoder`.

    Raises:
        ValueError: a number is out of range, the estimator is none of the three, or enumerates too many states, or the
            likelihood does not fit the levels.

    >>> model = CategoricalVAE((64,), 2, variables=3, categories=4, hidden=[50])
    >>> x = model.sample(5, generator=torch.Generator().manual_seed(0))
    >>> model.log_prob(x).shape, bool((model.iwae_bound(x, 1000) - model.log_prob(x)).abs().max() < 0.1)
    (torch.Size([5]), True)
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int | None,
        variables: int,
        categories: int,
        hidden: Sequence[int] = (200, 200),
        *,
        channels: Sequence[int] = (),
        likelihood: str | None = None,
        variance: float | str | None = None,
        estimator: Literal["enumeration", "gumbel", "reinforce"] = "enumeration",
        temperature: float = 0.5,
    ):
        super().__init__(event_shape, levels, variables)
        if categories < 2:
            raise ValueError(f"categories is {categories}; expected at least 2")
        if estimator not in ("enumeration", "gumbel", "reinforce"):
            raise ValueError(f"estimator is {estimator!r}; expected 'enumeration', 'gumbel' or 'reinforce'")
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature is {temperature}; expected a positive number")
        self.categories, self.estimator, self.temperature = categories, estimator, temperature
        if estimator == "enumeration":
            self._check_enumerable()
        self.likelihood = likelihood_named(likelihood, self.levels, variance)
        self.encoder = Encoder(self.event_shape, variables * categories, hidden, channels)
        self.decoder = Decoder(
            variables * categories, self.event_shape, self.likelihood.outputs, hidden[::-1], channels
        )

    def prior(self) -> IndependentCategoricals:
        """p(z) as a batch of one: uniform."""
        shape = 1, self.latents, self.categories
        log_p = torch.full(shape, -math.log(self.categories), dtype=self._real(), device=self._device())
        return IndependentCategoricals(log_p)

    def states(self) -> torch.Tensor:
        """All K^N values of z, (K^N, N K), the last variable fastest.

        Raises:
            ValueError: there are more than 16,384.
        """
        self._check_enumerable()
        one_hot = torch.eye(self.categories, dtype=self._real(), device=self._device())
        rows = torch.cartesian_prod(*[torch.arange(self.categories, device=one_hot.device)] * self.latents)
        return one_hot[rows.view(-1, self.latents)].flatten(1)

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """log p(x) in nats, (batch,): exact, by a sum over all states of z.

        Raises:
            ValueError: x has another shape, dtype or range, or there are more than 16,384 states.
        """
        self._check(x)
        log_likelihood = self._of_all_states(x)
        return log_likelihood.logsumexp(0) - self.latents * math.log(self.categories)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """What `fit` minimises: an estimate of the mean negative ELBO, in nats per image.

        In training mode its gradient is that of the estimator. With `gumbel` the value is the relaxed objective, which
        is not a bound.
        """
        if not self.training:
            return -self.elbo(x).mean()
        self._check(x)
        posterior = self._encode(x)
        reconstruction = getattr(self, f"_by_{self.estimator}")(x, posterior)
        return (posterior.kl(self.prior()) - reconstruction).mean()

    # E_q[log p(x | z)] with the gradient of each estimator, (n,)

    def _by_enumeration(self, x: torch.Tensor, posterior: IndependentCategoricals) -> torch.Tensor:
        q = posterior.log_prob(self.states().unsqueeze(1)).exp()
        return (q * self._of_all_states(x)).sum(0)

    def _by_gumbel(self, x: torch.Tensor, posterior: IndependentCategoricals) -> torch.Tensor:
        u = self._uniforms(None, None, (len(x), self.latents, self.categories))
        return self.likelihood.log_prob(self._decode(posterior.relaxed_draw(u, self.temperature)), x)

    def _by_reinforce(self, x: torch.Tensor, posterior: IndependentCategoricals) -> torch.Tensor:
        draws = posterior.weighted_draws(self._uniforms(None, None, (DRAWS, len(x), self.latents)))
        value = self._log_likelihood(self._decode(draws.z.flatten(0, 2)), x, draws)
        baseline = (value.sum(0) - value) / (DRAWS - 1)
        score = (value - baseline).detach() * draws.log_q
        return (value + score - score.detach()).mean((0, 1))

    # Shared steps

    def _encode(self, x: torch.Tensor) -> IndependentCategoricals:
        if self.levels is not None:
            x = x.to(self.encoder.layers[0].weight.dtype) / (self.levels - 1)
        logits = distributions.at_least_float32(self.encoder(x))
        return IndependentCategoricals(logits.unflatten(1, (self.latents, self.categories)).log_softmax(-1))

    def _decode(self, z: torch.Tensor) -> torch.Tensor:
        outputs = self.decoder(z)
        return outputs if self.likelihood.outputs > 1 else outputs.squeeze(1)

    def _of_all_states(self, x: torch.Tensor) -> torch.Tensor:
        """log p(x | z) of every state z, (K^N, n)."""
        outputs, rows = self._decode(self.states()), []
        for some in outputs.split(max(1, self.likelihood.rows // max(1, len(x)))):
            repeated = x.repeat(len(some), *[1] * (x.ndim - 1))
            log_p = self.likelihood.log_prob(some.repeat_interleave(len(x), 0), repeated)
            rows.append(log_p.view(len(some), len(x)))
        return torch.cat(rows)

    def _check_enumerable(self) -> None:
        if self.categories**self.latents > STATES:
            raise ValueError(
                f"{self.latents} variables of {self.categories} categories have {self.categories**self.latents} "
                f"states; expected at most {STATES} to enumerate. Use iwae_bound and another estimator"
            )
