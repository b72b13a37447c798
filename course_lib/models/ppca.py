"""Probabilistic principal component analysis: the latent-variable model that can be solved.

    p(z) = N(0, I),   p(x | z) = N(W z + mu, s^2 I)

so p(x) = N(mu, W W' + s^2 I), and the posterior is Gaussian as well, with the same covariance for every x:

    p(z | x) = N(M^-1 W' (x - mu), s^2 M^-1),   M = W' W + s^2 I

M. E. Tipping and C. M. Bishop, "Probabilistic Principal Component Analysis", Journal of the Royal Statistical Society B
61(3), 1999: the model in section 3.1, the maximum of its likelihood in 3.2, EM in appendix B. Also S. Roweis, "EM
Algorithms for PCA and SPCA", NIPS 10, 1998.
"""

import math

import torch
from torch import nn

from course_lib import distributions
from course_lib.models.latent import FullGaussian, LatentVariableModel
from course_lib.models.likelihoods import Gaussian


class ProbabilisticPCA(LatentVariableModel):
    """Probabilistic PCA of real x (n, D). Its q(z | x) is the posterior itself, so `log_prob` is exact.

    Args:
        D: number of dimensions.
        latents: number L of latent variables; smaller than D, equal or larger.

    Attributes:
        W (D, L), mu (D,): weights and mean of x.
        likelihood: has the parameter `log_variance`, log s^2.

    >>> x = torch.randn(500, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 2.0, 1.0, 1.0, 1.0])
    >>> model = ProbabilisticPCA.of(x, latents=2)
    >>> model.encode(x).mean.shape, round(model.log_prob(x).mean().item(), 1)
    (torch.Size([500, 2]), -8.9)
    """

    def __init__(self, D: int, latents: int):
        super().__init__((D,), None, latents)
        self.W = nn.Parameter(torch.randn(D, latents) / math.sqrt(latents))
        self.mu = nn.Parameter(torch.zeros(D))
        self.likelihood = Gaussian("shared")

    @classmethod
    def of(cls, x: torch.Tensor, latents: int) -> "ProbabilisticPCA":
        """The model of maximal likelihood, in closed form, float64.

        Let l_1 >= l_2 >= ... be the eigenvalues of the data's covariance (a sum divided by n), and u_j its
        eigenvectors. Then s^2 is the mean of l_{L+1}, ..., l_D, and column j of W is sqrt(l_j - s^2) u_j. W R, for any
        rotation R, is as good.

        Args:
            x: (n, D) real numbers.
            latents: L, smaller than D.

        Raises:
            ValueError: x is of another kind, or L of its dimensions say everything, so that s^2 would be 0.
        """
        if not isinstance(x, torch.Tensor) or x.ndim != 2 or not x.is_floating_point() or len(x) < 2:
            got = f"{x.dtype}, {tuple(x.shape)}" if isinstance(x, torch.Tensor) else type(x).__name__
            raise ValueError(f"x must be real numbers of shape (n, D), n at least 2, in a tensor; got {got}")
        if not 1 <= latents < x.shape[1]:
            raise ValueError(f"latents is {latents}; expected 1 to {x.shape[1] - 1}, fewer than x has dimensions")
        mu = x.double().mean(0)
        centred = x.double() - mu
        eigenvalues, vectors = torch.linalg.eigh(centred.T @ centred / len(x))
        eigenvalues, vectors = eigenvalues.flip(0), vectors.flip(1)
        variance = eigenvalues[latents:].mean()
        if variance <= 1e-12 * eigenvalues[0]:
            raise ValueError(
                f"x lies in a subspace of {latents} dimensions: no noise remains, and its density is infinite"
            )
        model = cls(x.shape[1], latents).double().to(x.device)
        with torch.no_grad():
            model.W.copy_(vectors[:, :latents] * (eigenvalues[:latents] - variance).sqrt())
            model.mu.copy_(mu)
            model.likelihood.log_variance.copy_(variance.log())
        return model

    @property
    def variance(self) -> torch.Tensor:
        """s^2, without axes."""
        return distributions.at_least_float32(self.likelihood.log_variance).exp()

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """log p(x) in nats, (batch,): exact.

        (x - mu)' (W W' + s^2 I)^-1 (x - mu) is the smallest |x - mu - W z|^2 / s^2 + |z|^2 over all z, which the mean
        of p(z | x) attains. So nothing cancels, however small s^2 is.

        Raises:
            ValueError: x has another shape or dtype.
        """
        self._check(x)
        _, mu, x = self._wide(x)
        z, scale = self._encode(x)
        log_det = len(mu) * self.variance.log() - 2 * scale.diagonal().log().sum()
        squared = (x - self._decode(z)).square().sum(1) / self.variance + z.square().sum(1)
        return -0.5 * (squared + log_det + len(mu) * math.log(2 * math.pi))

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """What `fit` minimises: the mean of -log p(x), which the ELBO equals for this posterior."""
        return -self.log_prob(x).mean()

    @torch.no_grad()
    def em_step(self, x: torch.Tensor) -> None:
        """Take one step of EM, in place. It never makes the likelihood of x smaller.

        mu becomes the mean of x, which is best whatever W and s^2 are. The E-step finds E[z] and E[z z'] under
        p(z | x); the M-step sets the W and s^2 that maximise the mean of log p(x, z) under these posteriors.

        Args:
            x: (n, D), all the data.

        Raises:
            ValueError: x has another shape or dtype.
        """
        self._check(x)
        self.mu.copy_(x.to(self.mu.dtype).mean(0))
        _, mu, x = self._wide(x)
        x, posterior = x - mu, self._encode(x)
        z = posterior.mean
        second_moments = z.T @ z + len(x) * posterior.covariance  # the sum of E[z z']
        W = torch.linalg.solve(second_moments, z.T @ x).T
        variance = (x.square().sum() - (z @ W.T * x).sum()) / x.numel()
        self.W.copy_(W)
        self.likelihood.log_variance.copy_(variance.log())

    def _wide(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """W, mu and x in the dtype computed in."""
        dtype = self._real()
        return self.W.to(dtype), self.mu.to(dtype), x.to(dtype)

    def _encode(self, x: torch.Tensor) -> FullGaussian:
        W, mu, x = self._wide(x)
        with torch.autocast(x.device.type, enabled=False):
            identity = torch.eye(self.latents, dtype=W.dtype, device=W.device)
            precision = identity + W.T @ W / self.variance
            # The derivative of torch.cholesky_inverse is wrong in forward mode (torch 2.15).
            covariance = torch.cholesky_solve(identity, torch.linalg.cholesky(precision))
            mean = (x - mu) @ W @ covariance / self.variance
            return FullGaussian(mean, torch.linalg.cholesky(covariance))

    def _decode(self, z: torch.Tensor) -> torch.Tensor:
        W, mu, z = self._wide(z)
        with torch.autocast(z.device.type, enabled=False):
            return z @ W.T + mu
