"""Right and wrong answers to lesson 07, variational autoencoders.

The first line of a wrong answer, or the comment above a slip, names its mistake where its name does not. Every answer
brings its own imports, so that its source is complete in a notebook's cell.
"""

from banks import Bank

bank = Bank("vae")

# ------------------------------------------------------------------------------------------------ latent_posterior


@bank.right("latent_posterior")
def posterior_by_precision():
    import math

    import torch

    def latent_posterior(x, W, mu, variance):
        D, L = W.shape
        covariance = torch.linalg.inv(torch.eye(L, dtype=W.dtype) + W.T @ W / variance)
        mean = (x - mu) @ W @ covariance / variance
        C = W @ W.T + variance * torch.eye(D, dtype=W.dtype)
        distance = ((x - mu) * torch.linalg.solve(C, (x - mu).T).T).sum(1)
        log_p = -(D * math.log(2 * math.pi) + torch.linalg.slogdet(C).logabsdet + distance) / 2
        return mean, covariance, log_p

    return latent_posterior


@bank.right("latent_posterior")
def posterior_by_conditioning():
    import torch

    def latent_posterior(x, W, mu, variance):
        D, L = W.shape
        C = W @ W.T + variance * torch.eye(D).to(W)
        gain = torch.linalg.solve(C, W).T
        mean = (x - mu) @ gain.T
        covariance = torch.eye(L).to(W) - gain @ W
        p = torch.distributions.MultivariateNormal(mu, C)
        return mean, covariance, p.log_prob(x)

    return latent_posterior


@bank.right("latent_posterior")
def posterior_by_bayes():
    """log p(x) = log p(x, z) - log p(z | x) at any z, here at the posterior mean."""
    import math

    import torch

    def latent_posterior(x, W, mu, variance):
        D, L = W.shape
        precision = torch.eye(L, dtype=torch.float64) + W.T @ W / variance
        factor = torch.linalg.cholesky(precision)
        covariance = torch.cholesky_inverse(factor)
        mean = torch.cholesky_solve(W.T @ (x - mu).T / variance, factor).T
        error = x - mu - mean @ W.T
        log_joint = (
            -(error**2).sum(1) / (2 * variance) - (mean**2).sum(1) / 2 - D / 2 * math.log(2 * math.pi * variance)
        )
        return mean, covariance, log_joint - factor.diagonal().log().sum()

    return latent_posterior


for size, dtype in (("L", "W.dtype"), ("D", "W.dtype"), ("L", "torch.float64")):
    bank.equivalent("latent_posterior", f"eye({size}, dtype={dtype})", f"eye({size})", "zeros and ones are exact")
bank.equivalent("latent_posterior", "torch.float64", "torch.float16", "zeros and ones are exact")
for changed in ("torch.as_tensor(factor.diagonal()).clamp(min=1e-06)", "(factor.diagonal() + 1e-08)"):
    bank.equivalent("latent_posterior", "factor.diagonal()", changed, "no precision is below that of the prior, 1")


slip = bank.slips("latent_posterior", of=posterior_by_precision)
# The posterior covariance without the noise variance.
slip("posterior_of_unit_noise", "W.T @ W / variance", "W.T @ W", loses={"posterior covariance"})
# A prior of variance 1000.
slip(
    "posterior_almost_without_prior",
    "inv(torch.eye(L, dtype=W.dtype) +",
    "inv(torch.eye(L, dtype=W.dtype) / 1000 +",
    loses={"posterior covariance"},
)
slip(
    "posterior_precision",
    "torch.linalg.inv(torch.eye(L, dtype=W.dtype) + W.T @ W / variance)",
    "torch.eye(L, dtype=W.dtype) + W.T @ W / variance",
    loses={"posterior covariance"},
)
slip(
    "posterior_bishops_M",
    "W.T @ W / variance)",
    "W.T @ W / variance) / variance",
    ("covariance / variance", "covariance"),
    loses={"posterior covariance"},
)
slip(
    "posterior_in_noise_units",
    "return mean, covariance",
    "return mean, covariance * variance",
    loses={"posterior covariance"},
)
slip(
    "posterior_variances_alone",
    "return mean, covariance",
    "return mean, covariance.diagonal().diag()",
    loses={"posterior covariance"},
)
slip("posterior_mean_without_variance", "covariance / variance", "covariance", loses={"posterior mean"})
slip(
    "posterior_mean_by_projection",
    "(x - mu) @ W @ covariance / variance",
    "torch.linalg.lstsq(W, (x - mu).T).solution.T",
    loses={"posterior mean"},
)
slip("posterior_mean_without_mu", "mean = (x - mu)", "mean = x", loses={"posterior mean"})
slip("posterior_mean_plus_mu", "(x - mu) @ W @", "(x + mu) @ W @", loses={"posterior mean"})
slip(
    "posterior_mean_through_W",
    "(x - mu) @ W @ covariance / variance",
    "(x - mu) @ W / variance",
    loses={"posterior mean"},
)
slip("posterior_without_two_pi", "D * math.log(2 * math.pi)", "0", loses={"log p(x)"})
slip("posterior_two_pi_once", "D * math.log", "math.log", loses={"log p(x)"})
slip("posterior_log_p_without_noise", "W @ W.T + variance *", "W @ W.T + 1e-9 *", loses={"log p(x)"})
slip("posterior_log_p_of_std", "variance * torch.eye(D", "variance**0.5 * torch.eye(D", loses={"log p(x)"})
slip("posterior_log_p_by_det", "torch.linalg.slogdet(C).logabsdet", "torch.linalg.det(C).log()", loses={"log p(x)"})
slip(
    "posterior_log_p_without_mu",
    "((x - mu) * torch.linalg.solve(C, (x - mu).T).T)",
    "(x * torch.linalg.solve(C, x.T).T)",
    loses={"log p(x)"},
)
slip("posterior_log_p_without_half", "distance) / 2", "distance)", loses={"log p(x)"})
slip("posterior_log_p_positive", "log_p = -(D", "log_p = (D", loses={"log p(x)"})
slip("posterior_log_p_in_bits", "distance) / 2", "distance) / 2 / math.log(2)", loses={"log p(x)"})
slip(
    "posterior_log_p_without_determinant",
    "torch.linalg.slogdet(C).logabsdet + distance",
    "distance",
    loses={"log p(x)"},
)
slip(
    "posterior_log_det_halved",
    "torch.linalg.slogdet(C).logabsdet",
    "torch.linalg.slogdet(C).logabsdet / 2",
    loses={"log p(x)"},
)
slip("posterior_log_p_mean_over_pixels", "T).sum(1)", "T).mean(1)", loses={"log p(x)"})
slip("posterior_log_p_of_pixels_apart", "slogdet(C)", "slogdet(C.diagonal().diag())", loses={"log p(x)"})
# log p(x | z) at the posterior mean.
slip(
    "posterior_log_p_given_z",
    "C = W @ W.T + variance",
    "C = variance",
    (
        "distance = ((x - mu) * torch.linalg.solve(C, (x - mu).T).T)",
        "error = x - mu - mean @ W.T\n    distance = (error**2 / variance)",
    ),
    loses={"log p(x)"},
)
slip("posterior_sum_over_images", "log_p = -(D", "log_p = -len(x) * (D", loses={"log p(x)"})
slip(
    "posterior_covariance_of_each",
    "return mean, covariance,",
    "return mean, covariance.expand(len(x), L, L),",
    loses={"shapes"},
)
slip("posterior_without_covariance", "return mean, covariance,", "return mean,", loses={"shapes"})
slip(
    "posterior_log_p_of_the_batch",
    "return mean, covariance, log_p",
    "return mean, covariance, log_p.sum()",
    loses={"shapes"},
)


@bank.wrong("latent_posterior", loses={"log p(x)"})
def posterior_by_woodbury_without_its_determinant():
    """The distance is right, but the determinant is that of the noise alone."""
    import math

    import torch

    def latent_posterior(x, W, mu, variance):
        D, L = W.shape
        covariance = torch.linalg.inv(torch.eye(L, dtype=W.dtype) + W.T @ W / variance)
        r = x - mu
        mean = r @ W @ covariance / variance
        distance = (r**2).sum(1) / variance - (mean * (r @ W)).sum(1) / variance
        return mean, covariance, -(D * math.log(2 * math.pi * variance) + distance) / 2

    return latent_posterior


# ----------------------------------------------------------------------------------------------------- gaussian_kl


@bank.right("gaussian_kl")
def kl_by_slogdet():
    import torch

    def gaussian_kl(mean, covariance):
        if covariance.ndim == 2:
            trace, log_det = covariance.sum(1), covariance.log().sum(1)
        else:
            trace = covariance.diagonal(dim1=1, dim2=2).sum(1)
            log_det = torch.linalg.slogdet(covariance).logabsdet
        return (trace + mean.square().sum(1) - mean.shape[1] - log_det) / 2

    return gaussian_kl


@bank.right("gaussian_kl")
def kl_by_cholesky():
    import torch

    def gaussian_kl(mean, covariance):
        full = torch.diag_embed(covariance) if covariance.dim() < 3 else covariance
        factor = torch.linalg.cholesky(full)
        log_std = torch.log(torch.diagonal(factor, dim1=-2, dim2=-1))
        squares = (factor**2).sum((1, 2)) + (mean**2).sum(1) - mean.shape[1]
        return 0.5 * squares - log_std.sum(1)

    return gaussian_kl


@bank.right("gaussian_kl")
def kl_by_eigenvalues():
    import torch

    def gaussian_kl(mean, covariance):
        variances = torch.linalg.eigvalsh(covariance) if covariance.dim() == 3 else covariance
        return 0.5 * (variances + mean**2 - 1 - torch.log(variances)).sum(-1)

    return gaussian_kl


@bank.right("gaussian_kl")
def kl_by_distributions():
    import torch
    from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

    def gaussian_kl(mean, covariance):
        n, L = mean.shape
        if covariance.ndim == 3:
            prior = MultivariateNormal(torch.zeros_like(mean), torch.eye(L, dtype=mean.dtype).expand(n, L, L))
            return kl_divergence(MultivariateNormal(mean, scale_tril=torch.linalg.cholesky(covariance)), prior)
        posterior = Independent(Normal(mean, covariance.sqrt()), 1)
        return kl_divergence(posterior, Independent(Normal(torch.zeros(L), torch.ones(L)).expand((n, L)), 1))

    return gaussian_kl


bank.equivalent("gaussian_kl", "sum(-1)", "sum(1)", "there are two axes")
bank.equivalent("gaussian_kl", ".expand((n, L))", "", "the prior is the same for all rows")


slip = bank.slips("gaussian_kl", of=kl_by_slogdet)
slip("kl_without_half", "- log_det) / 2", "- log_det)", loses={"diagonal"})
slip("kl_in_bits", "- log_det) / 2", "- log_det) / 2 / 0.6931471805599453", loses={"diagonal"})
slip("kl_mean_over_latents", "- log_det) / 2", "- log_det) / 2 / mean.shape[1]", loses={"diagonal"})
slip("kl_negative", "return (trace", "return -(trace", loses={"diagonal"})
slip("kl_without_the_dimension", " - mean.shape[1]", "", loses={"diagonal"})
slip("kl_minus_one_for_all", "- mean.shape[1]", "- 1", loses={"diagonal"})
slip("kl_log_det_added", "- log_det", "+ log_det", loses={"diagonal"})
slip("kl_without_log_det", " - log_det)", " - 0 * log_det)", loses={"diagonal"})
slip("kl_mean_not_squared", "mean.square()", "mean", loses={"diagonal", "full"})
slip("kl_without_mean", "mean.square()", "(0 * mean)", loses={"diagonal", "gradients"})
slip("kl_half_of_mean_only", "mean.square()", "(mean.square() / 2)", loses={"diagonal"})
# The variances are taken for standard deviations.
slip(
    "kl_standard_deviations",
    "covariance.sum(1), covariance.log().sum(1)",
    "(covariance**2).sum(1), 2 * covariance.log().sum(1)",
    loses={"diagonal"},
)
slip(
    "kl_variances_for_log_variances",
    "covariance.sum(1), covariance.log()",
    "covariance.exp().sum(1), covariance",
    loses={"diagonal"},
)
slip("kl_log_of_the_sum", "covariance.log().sum(1)", "covariance.sum(1).log()", loses={"diagonal"})
slip("kl_epsilon_in_the_log", "covariance.log()", "(covariance + 1e-8).log()", loses={"diagonal"})
slip("kl_log_of_the_product", "covariance.log().sum(1)", "covariance.prod(1).log()", loses={"diagonal"})
slip(
    "kl_determinant", "torch.linalg.slogdet(covariance).logabsdet", "torch.linalg.det(covariance).log()", loses={"full"}
)
slip(
    "kl_logdet_with_epsilon",
    "torch.linalg.slogdet(covariance).logabsdet",
    "(torch.linalg.det(covariance) + 1e-300).log()",
    loses={"full"},
)
slip(
    "kl_diagonal_of_the_matrix",
    "torch.linalg.slogdet(covariance).logabsdet",
    "covariance.diagonal(dim1=1, dim2=2).log().sum(1)",
    loses={"full"},
)
slip("kl_sum_for_trace", "covariance.diagonal(dim1=1, dim2=2).sum(1)", "covariance.sum((1, 2))", loses={"full"})
slip("kl_log_det_of_the_first", "slogdet(covariance)", "slogdet(covariance[:1])", loses={"full"})
slip(
    "kl_determinant_of_the_root",
    "torch.linalg.slogdet(covariance).logabsdet",
    "torch.linalg.cholesky(covariance).diagonal(dim1=1, dim2=2).log().sum(1)",
    loses={"full"},
)
slip("kl_log_variance_detached", "covariance.log()", "covariance.detach().log()", loses={"gradients"})
slip("kl_mean_detached", "mean.square()", "mean.detach().square()", loses={"gradients"})
slip("kl_log_det_detached", "- log_det)", "- log_det.detach())", loses={"gradients"})
slip("kl_of_the_batch", "- log_det) / 2", "- log_det).sum() / 2", loses={"shape"})
slip(
    "kl_of_each_latent",
    "trace, log_det = covariance.sum(1), covariance.log().sum(1)",
    "return (covariance + mean**2 - 1 - covariance.log()) / 2",
    loses={"shape"},
)


@bank.wrong("gaussian_kl", loses={"diagonal"})
def kl_the_other_way_round():
    """KL(N(0, I) || N(mean, covariance))."""
    import torch

    def gaussian_kl(mean, covariance):
        full = torch.diag_embed(covariance) if covariance.ndim == 2 else covariance
        inverse = torch.linalg.inv(full)
        trace = inverse.diagonal(dim1=1, dim2=2).sum(1)
        distance = torch.einsum("ni,nij,nj->n", mean, inverse, mean)
        return (trace + distance - mean.shape[1] + torch.linalg.slogdet(full).logabsdet) / 2

    return gaussian_kl


@bank.wrong("gaussian_kl", loses={"full"})
def kl_diagonal_only():
    """A matrix is not expected."""

    def gaussian_kl(mean, covariance):
        return (covariance + mean**2 - 1 - covariance.log()).sum(1) / 2

    return gaussian_kl


# -------------------------------------------------------------------------------------------------- reparameterize


@bank.right("reparameterize")
def draws_by_ndtri():
    import torch

    def reparameterize(mean, log_variance, u):
        return mean + torch.exp(log_variance / 2) * torch.special.ndtri(u)

    return reparameterize


@bank.right("reparameterize")
def draws_by_the_error_function():
    import math

    import torch

    def reparameterize(mean, log_variance, u):
        e = math.sqrt(2) * torch.erfinv(2 * u - 1)
        std = log_variance.exp().sqrt()
        return mean + std * e

    return reparameterize


@bank.right("reparameterize")
def draws_by_a_distribution():
    import torch

    def reparameterize(mean, log_variance, u):
        e = torch.distributions.Normal(0.0, 1.0).icdf(u)
        return torch.addcmul(mean, e, (0.5 * log_variance).exp())

    return reparameterize


slip = bank.slips("reparameterize", of=draws_by_ndtri)
slip("draws_uniform", "torch.special.ndtri(u)", "u", loses={"draws"})
slip("draws_uniform_around_zero", "torch.special.ndtri(u)", "(2 * u - 1)", loses={"draws"})
slip("draws_logistic", "torch.special.ndtri(u)", "torch.logit(u)", loses={"draws"})
slip("draws_by_the_distribution_function", "ndtri(u)", "ndtr(u)", loses={"draws"})
slip("draws_without_root_of_two", "torch.special.ndtri(u)", "torch.erfinv(2 * u - 1)", loses={"draws"})
slip("draws_turned_around", "ndtri(u)", "ndtri(1 - u)", loses={"draws"})
slip("draws_times_variance", "log_variance / 2", "log_variance", loses={"draws"})
slip("draws_log_variance_for_std", "torch.exp(log_variance / 2)", "log_variance", loses={"draws"})
slip("draws_half_log_variance_for_std", "torch.exp(log_variance / 2)", "(log_variance / 2)", loses={"draws"})
slip("draws_half_the_variance", "torch.exp(log_variance / 2)", "torch.exp(log_variance) / 2", loses={"draws"})
slip(
    "draws_softplus_for_exp",
    "torch.exp(log_variance / 2)",
    "torch.nn.functional.softplus(log_variance)",
    loses={"draws"},
)
slip("draws_clamped_log_variance", "log_variance / 2", "log_variance.clamp(-20, 20) / 2", loses={"draws"})
slip("draws_epsilon_in_std", "torch.exp(log_variance / 2)", "(torch.exp(log_variance / 2) + 1e-6)", loses={"draws"})
slip("draws_of_single_precision", "torch.exp(log_variance / 2)", "torch.exp(log_variance.float() / 2)", loses={"draws"})
slip("draws_clamped_u", "ndtri(u)", "ndtri(u.clamp(0.001, 0.999))", loses={"draws"})
slip("draws_with_noise_of_their_own", "torch.special.ndtri(u)", "torch.randn_like(u)", loses={"draws", "gradients"})
slip(
    "draws_are_the_mean",
    " + torch.exp(log_variance / 2) * torch.special.ndtri(u)",
    " + 0 * u",
    loses={"draws", "gradients"},
)
slip("draws_around_zero", "mean + ", "0 * mean + ", loses={"draws", "gradients"})
slip("draws_mean_over_latents", "ndtri(u)", "ndtri(u).mean(1, keepdim=True)", loses={"draws"})
slip("draws_of_one_latent", "ndtri(u)", "ndtri(u[:, :1])", loses={"draws"})
slip(
    "draws_in_columns",
    "mean + torch.exp(log_variance / 2) * torch.special.ndtri(u)",
    "(mean + torch.exp(log_variance / 2) * torch.special.ndtri(u)).T",
    loses={"shape"},
)
slip(
    "draws_detached",
    "return mean",
    "mean, log_variance = mean.detach(), log_variance.detach()\n    return mean",
    loses={"gradients"},
)
slip("draws_std_detached", "torch.exp(log_variance / 2)", "torch.exp(log_variance / 2).detach()", loses={"gradients"})
slip("draws_mean_of_the_data", "mean + ", "mean.data + ", loses={"gradients"})
slip(
    "draws_without_gradients",
    "return mean + torch.exp(log_variance / 2) * torch.special.ndtri(u)",
    "with torch.no_grad():\n        return mean + torch.exp(log_variance / 2) * torch.special.ndtri(u)",
    loses={"gradients"},
)


@bank.wrong("reparameterize", loses={"gradients"})
def draws_as_new_leaves():
    """The result is made of numbers: a new tensor that asks for gradients, and whose gradients reach nothing."""
    import torch

    def reparameterize(mean, log_variance, u):
        z = mean + torch.exp(log_variance / 2) * torch.special.ndtri(u)
        return torch.tensor(z.tolist(), dtype=torch.float64, requires_grad=True)

    return reparameterize


# ------------------------------------------------------------------------------------------------------ elbo_terms


@bank.right("elbo_terms")
def terms_by_cross_entropy():
    import torch

    def elbo_terms(x, z, mean, log_variance, logits):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, x.double(), reduction="none")
        variance = log_variance.exp()
        closed = (variance + mean**2 - 1 - log_variance).sum(1) / 2
        drawn = (z**2 - (z - mean) ** 2 / variance - log_variance).sum(1) / 2
        return -loss.sum(1), closed, drawn

    return elbo_terms


@bank.right("elbo_terms")
def terms_by_distributions():
    import torch
    from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

    def elbo_terms(x, z, mean, log_variance, logits):
        q = Independent(Normal(mean, torch.exp(log_variance / 2)), 1)
        prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
        reconstruction = Bernoulli(logits=logits).log_prob(x.to(logits.dtype)).sum(dim=1)
        return reconstruction, kl_divergence(q, prior), q.log_prob(z) - prior.log_prob(z)

    return elbo_terms


@bank.right("elbo_terms")
def terms_by_signs():
    import math

    import torch
    import torch.nn.functional as F

    def log_normal(z, mean, log_variance):
        error = (z - mean) * torch.exp(-0.5 * log_variance)
        return -0.5 * (error * error + log_variance + math.log(2 * math.pi)).sum(-1)

    def elbo_terms(x, z, mean, log_variance, logits):
        signs = 2 * x - 1
        reconstruction = F.logsigmoid(signs * logits).sum(-1)
        divergence = 0.5 * (mean.pow(2) + torch.expm1(log_variance) - log_variance).sum(-1)
        zeros = torch.zeros_like(z)
        return reconstruction, divergence, log_normal(z, mean, log_variance) - log_normal(z, zeros, zeros)

    return elbo_terms


for constant in ("- math.log(2 * math.pi)", "+ 2 * math.pi", "+ math.log(2 + math.pi)", "+ math.log(2 / math.pi)"):
    bank.equivalent("elbo_terms", "+ math.log(2 * math.pi)", constant, "it is the same in q and in p")
for constant in ("3", "1"):
    bank.equivalent("elbo_terms", "2 * math.pi", f"{constant} * math.pi", "it is the same in q and in p")
bank.equivalent("elbo_terms", "sum(-1)", "sum(1)", "there are two axes")
bank.equivalent("elbo_terms", "(z, mean, log_variance)", "(mean, z, log_variance)", "the difference is squared")
bank.equivalent("elbo_terms", "(z, zeros, zeros)", "(zeros, z, zeros)", "the difference is squared")


slip = bank.slips("elbo_terms", of=terms_by_cross_entropy)
slip("terms_loss_for_likelihood", "return -loss", "return loss", loses={"reconstruction"})
slip("terms_mean_over_pixels", "loss.sum(1)", "loss.mean(1)", loses={"reconstruction"})
slip("terms_in_bits", "-loss.sum(1)", "-loss.sum(1) / 0.6931471805599453", loses={"reconstruction"})
slip("terms_double_sigmoid", "with_logits(logits, x", "with_logits(logits.sigmoid(), x", loses={"reconstruction"})
slip(
    "terms_by_probabilities",
    "binary_cross_entropy_with_logits(logits",
    "binary_cross_entropy(logits.sigmoid()",
    loses={"reconstruction"},
)
slip(
    "terms_by_naive_logs",
    'torch.nn.functional.binary_cross_entropy_with_logits(logits, x.double(), reduction="none")',
    "-torch.log(torch.where(x == 1, logits.sigmoid(), 1 - logits.sigmoid()) + 1e-12)",
    loses={"reconstruction"},
)
slip("terms_pixels_turned", "x.double()", "1 - x.double()", loses={"reconstruction"})
slip(
    "terms_squared_error",
    'torch.nn.functional.binary_cross_entropy_with_logits(logits, x.double(), reduction="none")',
    "(logits.sigmoid() - x) ** 2",
    loses={"reconstruction"},
)
slip("terms_clamped_logits", "with_logits(logits, x", "with_logits(logits.clamp(-30, 30), x", loses={"reconstruction"})
slip("terms_ones_only", "loss.sum(1)", "(loss * x).sum(1)", loses={"reconstruction"})
slip("terms_reduced_mean", ', reduction="none")', ")", ("-loss.sum(1)", "-loss"), loses={"shapes"})
slip(
    "terms_reduced_sum",
    ', reduction="none")',
    ', reduction="sum")',
    ("-loss.sum(1)", "-loss.expand(len(x))"),
    loses={"reconstruction"},
)
slip(
    "terms_closed_without_half",
    "- log_variance).sum(1) / 2\n    drawn",
    "- log_variance).sum(1)\n    drawn",
    loses={"closed form"},
)
slip("terms_closed_without_one", "mean**2 - 1 - log", "mean**2 - log", loses={"closed form"})
slip("terms_closed_of_std", "(variance + mean**2", "(variance.sqrt() + mean**2", loses={"closed form"})
slip("terms_closed_log_variance_halved", "1 - log_variance", "1 - log_variance / 2", loses={"closed form"})
slip(
    "terms_closed_mean_over_latents",
    "- log_variance).sum(1) / 2\n    drawn",
    "- log_variance).mean(1) / 2\n    drawn",
    loses={"closed form"},
)
slip(
    "terms_closed_negative",
    "(variance + mean**2 - 1 - log_variance)",
    "(1 + log_variance - mean**2 - variance)",
    loses={"closed form"},
)
slip(
    "terms_closed_log_variance_as_variance",
    "(variance + mean**2 - 1 - log_variance)",
    "(log_variance + mean**2 - 1 - log_variance.abs().log())",
    loses={"closed form"},
)
slip(
    "terms_closed_the_other_way_round",
    "(variance + mean**2 - 1 - log_variance)",
    "((1 + mean**2) / variance - 1 + log_variance)",
    loses={"closed form"},
)
slip("terms_closed_is_drawn", "closed, drawn", "drawn, drawn", loses={"closed form"})
slip("terms_closed_in_bits", "closed, drawn", "closed / 0.6931471805599453, drawn", loses={"closed form"})
slip("terms_drawn_is_closed", "closed, drawn", "closed, closed", loses={"one draw", "gradients"})
slip("terms_drawn_negative", "closed, drawn", "closed, -drawn", loses={"one draw"})
slip("terms_drawn_log_variance_missing", "/ variance - log_variance", "/ variance", loses={"one draw"})
slip("terms_drawn_log_variance_added", "/ variance - log_variance", "/ variance + log_variance", loses={"one draw"})
slip("terms_drawn_log_variance_twice", "/ variance - log_variance", "/ variance - 2 * log_variance", loses={"one draw"})
slip("terms_drawn_by_std", "/ variance - log_variance", "/ variance.sqrt() - log_variance", loses={"one draw"})
slip("terms_drawn_without_prior", "(z**2 - (z", "(-(z", loses={"one draw"})
slip(
    "terms_drawn_without_half",
    "- log_variance).sum(1) / 2\n    return",
    "- log_variance).sum(1)\n    return",
    loses={"one draw"},
)
slip("terms_drawn_prior_with_two_pi", "(z**2 - (z", "(z**2 + 1.8378770664 - (z", loses={"one draw"})
slip("terms_drawn_of_the_posterior", "(z**2 - (z", "(mean**2 - (z", loses={"one draw"})
slip(
    "terms_drawn_mean_over_latents",
    "- log_variance).sum(1) / 2\n    return",
    "- log_variance).mean(1) / 2\n    return",
    loses={"one draw"},
)
slip("terms_z_detached", "drawn = (z**2 -", "z = z.detach()\n    drawn = (z**2 -", loses={"gradients"})
slip(
    "terms_posterior_detached", "(z - mean) ** 2 / variance", "(z - mean.detach()) ** 2 / variance", loses={"gradients"}
)
slip("terms_logits_detached", "with_logits(logits, x", "with_logits(logits.detach(), x", loses={"gradients"})
slip("terms_variance_of_the_data", "log_variance.exp()", "log_variance.data.exp()", loses={"gradients"})
slip("terms_elbo_alone", "return -loss.sum(1), closed, drawn", "return -loss.sum(1) - closed", loses={"shapes"})
slip(
    "terms_of_each_latent", "- log_variance).sum(1) / 2\n    drawn", "- log_variance) / 2\n    drawn", loses={"shapes"}
)
slip("terms_of_the_batch", "loss.sum(1)", "loss.sum()", loses={"shapes"})


# ---------------------------------------------------------------------------------------------------------- OwnVAE


@bank.right("OwnVAE")
def own_by_cross_entropy():
    import torch

    class OwnVAE(torch.nn.Module):
        def __init__(self, D, hidden, latents):
            super().__init__()
            self.encoder = torch.nn.Linear(D, hidden)
            self.mean = torch.nn.Linear(hidden, latents)
            self.log_variance = torch.nn.Linear(hidden, latents)
            self.decoder = torch.nn.Linear(latents, hidden)
            self.output = torch.nn.Linear(hidden, D)

        def encode(self, x):
            h = torch.tanh(self.encoder(x.to(self.encoder.weight.dtype)))
            return self.mean(h), self.log_variance(h)

        def decode(self, z):
            return self.output(torch.tanh(self.decoder(z)))

        def elbo(self, x, u):
            mean, log_variance = self.encode(x)
            z = mean + torch.exp(log_variance / 2) * torch.special.ndtri(u)
            logits = self.decode(z)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, x.to(z.dtype), reduction="none")
            divergence = (log_variance.exp() + mean**2 - 1 - log_variance).sum(1) / 2
            return -loss.sum(1) - divergence

        @torch.no_grad()
        def sample(self, u):
            L = self.decoder.in_features
            p = self.decode(torch.special.ndtri(u[:, :L])).sigmoid()
            return (u[:, L:] >= 1 - p).long()

    return OwnVAE


@bank.right("OwnVAE")
def own_by_distributions():
    import torch
    from torch import nn
    from torch.distributions import Bernoulli, Normal, kl_divergence

    class OwnVAE(nn.Module):
        def __init__(self, D, hidden, latents):
            super().__init__()
            self.L = latents
            self.encoder, self.decoder = nn.Linear(D, hidden), nn.Linear(latents, hidden)
            self.mean, self.log_variance = nn.Linear(hidden, latents), nn.Linear(hidden, latents)
            self.output = nn.Linear(hidden, D)
            self.prior = Normal(0.0, 1.0)

        def encode(self, x):
            h = self.encoder(x.float()).tanh()
            return self.mean(h), self.log_variance(h)

        def decode(self, z):
            return self.output(self.decoder(z).tanh())

        def elbo(self, x, u):
            mean, log_variance = self.encode(x)
            q = Normal(mean, (log_variance / 2).exp())
            z = mean + q.scale * self.prior.icdf(u)
            pixels = Bernoulli(logits=self.decode(z))
            return pixels.log_prob(x.float()).sum(1) - kl_divergence(q, self.prior).sum(1)

        def sample(self, u):
            e, pixels = u.split([self.L, u.shape[1] - self.L], dim=1)
            border = torch.sigmoid(-self.decode(self.prior.icdf(e)))
            return torch.where(pixels < border, 0, 1)

    return OwnVAE


@bank.right("OwnVAE")
def own_in_double_precision():
    import math

    import torch

    class OwnVAE(torch.nn.Module):
        def __init__(self, D, hidden, latents):
            super().__init__()
            shapes = dict(encoder=(D, hidden), mean=(hidden, latents), log_variance=(hidden, latents))
            for name, size in (shapes | dict(decoder=(latents, hidden), output=(hidden, D))).items():
                self.add_module(name, torch.nn.Linear(*size, dtype=torch.float64))

        def encode(self, x):
            h = torch.tanh(self.encoder(x.double()))
            return self.mean(h), self.log_variance(h)

        def decode(self, z):
            return self.output(torch.tanh(self.decoder(z)))

        def elbo(self, x, u):
            mean, log_variance = self.encode(x)
            std = torch.exp(log_variance) ** 0.5
            z = mean + std * math.sqrt(2) * torch.erfinv(2 * u - 1)
            signs = 2.0 * x - 1
            likelihood = torch.nn.functional.logsigmoid(signs * self.decode(z)).sum(-1)
            return likelihood + 0.5 * (1 + log_variance - mean**2 - std**2).sum(-1)

        def sample(self, u):
            L = self.mean.out_features
            z = math.sqrt(2) * torch.erfinv(2 * u[:, :L] - 1)
            p = 1 / (1 + torch.exp(-self.decode(z)))
            return (1 - u[:, L:] <= p).to(torch.int64)

    return OwnVAE


for old, new, why in (
    ("sum(-1)", "sum(1)", "there are two axes"),
    (".long()", ".byte()", "any type of integers is read"),
    ("torch.int64", "torch.int8", "any type of integers is read"),
    (
        "self.decode(torch.special.ndtri(u[:, :L]))",
        "torch.as_tensor(self.decode(torch.special.ndtri(u[:, :L]))).clamp(-30, 30)",
        "no decision depends on a probability of 1e-13",
    ),
    (
        "-self.decode(self.prior.icdf(e))",
        "torch.as_tensor(-self.decode(self.prior.icdf(e))).clamp(-30, 30)",
        "no decision depends on a probability of 1e-13",
    ),
):
    bank.equivalent("OwnVAE", old, new, why)


slip = bank.slips("OwnVAE", of=own_by_cross_entropy)
slip(
    "own_encoder_without_tanh",
    "torch.tanh(self.encoder(x.to(self.encoder.weight.dtype)))",
    "self.encoder(x.to(self.encoder.weight.dtype))",
    loses={"encoder"},
)
slip(
    "own_encoder_of_signs",
    "self.encoder(x.to(self.encoder.weight.dtype))",
    "self.encoder(2 * x.to(self.encoder.weight.dtype) - 1)",
    loses={"encoder"},
)
slip(
    "own_encoder_relu",
    "torch.tanh(self.encoder(x.to(self.encoder.weight.dtype)))",
    "torch.relu(self.encoder(x.to(self.encoder.weight.dtype)))",
    loses={"encoder"},
)
slip(
    "own_answers_swapped",
    "return self.mean(h), self.log_variance(h)",
    "return self.log_variance(h), self.mean(h)",
    loses={"encoder"},
)
slip("own_gives_variances", "self.log_variance(h)", "self.log_variance(h).exp()", loses={"encoder"})
slip("own_mean_twice", "self.log_variance(h)", "self.mean(h)", loses={"encoder"})
slip("own_tanh_of_the_mean", "return self.mean(h)", "return self.mean(h).tanh()", loses={"encoder"})
slip(
    "own_decoder_without_tanh",
    "self.output(torch.tanh(self.decoder(z)))",
    "self.output(self.decoder(z))",
    loses={"decoder"},
)
slip("own_decoder_sigmoid_units", "torch.tanh(self.decoder(z))", "torch.sigmoid(self.decoder(z))", loses={"decoder"})
slip(
    "own_decoder_gives_probabilities",
    "self.output(torch.tanh(self.decoder(z)))",
    "self.output(torch.tanh(self.decoder(z))).sigmoid()",
    loses={"decoder"},
)
slip(
    "own_decoder_twice_tanh",
    "self.output(torch.tanh(self.decoder(z)))",
    "self.output(torch.tanh(self.decoder(z))).tanh()",
    loses={"decoder"},
)
slip("own_without_divergence", " - divergence", "", loses={"elbo"})
slip("own_divergence_added", " - divergence", " + divergence", loses={"elbo"})
slip("own_loss_for_elbo", "return -loss.sum(1) - divergence", "return loss.sum(1) + divergence", loses={"elbo"})
slip("own_mean_over_pixels", "loss.sum(1)", "loss.mean(1)", loses={"elbo"})
slip("own_divergence_mean_over_latents", "- log_variance).sum(1) / 2", "- log_variance).mean(1) / 2", loses={"elbo"})
slip("own_divergence_without_half", "- log_variance).sum(1) / 2", "- log_variance).sum(1)", loses={"elbo"})
slip(
    "own_divergence_in_one_draw",
    "(log_variance.exp() + mean**2 - 1 - log_variance)",
    "(z**2 - torch.special.ndtri(u) ** 2 - log_variance)",
    loses={"elbo"},
)
slip(
    "own_divergence_the_other_way_round",
    "(log_variance.exp() + mean**2 - 1 - log_variance)",
    "((1 + mean**2) / log_variance.exp() - 1 + log_variance)",
    loses={"elbo"},
)
slip("own_in_bits", "-loss.sum(1) - divergence", "(-loss.sum(1) - divergence) / 0.6931471805599453", loses={"elbo"})
slip("own_beta_of_two", " - divergence", " - 2 * divergence", loses={"elbo"})
slip("own_variance_for_std", "torch.exp(log_variance / 2)", "torch.exp(log_variance)", loses={"elbo"})
slip("own_elbo_at_the_mean", "logits = self.decode(z)", "logits = self.decode(mean)", loses={"elbo"})
slip("own_uniform_noise", "ndtri(u)\n", "ndtri(u) * 0 + u\n", loses={"elbo"})
slip("own_noise_of_its_own", "torch.special.ndtri(u)\n", "torch.randn_like(u)\n", loses={"elbo", "gradients"})
slip("own_double_sigmoid", "with_logits(logits,", "with_logits(logits.sigmoid(),", loses={"elbo"})
slip(
    "own_by_probabilities",
    "binary_cross_entropy_with_logits(logits,",
    "binary_cross_entropy(logits.sigmoid(),",
    loses={"elbo"},
)
slip("own_reduced_mean", ', reduction="none")', ")", ("loss.sum(1)", "loss"), loses={"elbo"})
slip(
    "own_elbo_of_the_batch",
    "return -loss.sum(1) - divergence",
    "return (-loss.sum(1) - divergence).mean()",
    loses={"elbo", "gradients"},
)
slip(
    "own_clamped_log_variance",
    "torch.exp(log_variance / 2)",
    "torch.exp(log_variance.clamp(-10, 10) / 2)",
    ("log_variance.exp()", "log_variance.clamp(-10, 10).exp()"),
    loses={"elbo"},
)
slip("own_z_detached", "logits = self.decode(z)", "logits = self.decode(z.detach())", loses={"gradients"})
slip("own_std_detached", "torch.exp(log_variance / 2)", "torch.exp(log_variance / 2).detach()", loses={"gradients"})
slip("own_divergence_detached", " - divergence", " - divergence.detach()", loses={"gradients"})
slip("own_reconstruction_detached", "-loss.sum(1)", "-loss.sum(1).detach()", loses={"gradients"})
slip("own_sample_without_quantile", "torch.special.ndtri(u[:, :L])", "u[:, :L]", loses={"sampler"})
slip("own_sample_tie_to_zero", "u[:, L:] >= 1 - p", "u[:, L:] > 1 - p", loses={"sampler"})
slip("own_sample_below_p", "u[:, L:] >= 1 - p", "u[:, L:] < p", loses={"sampler"})
slip("own_sample_above_p", "u[:, L:] >= 1 - p", "u[:, L:] >= p", loses={"sampler"})
slip("own_sample_most_probable", "u[:, L:] >= 1 - p", "p > 0.5", loses={"sampler"})
slip("own_sample_with_logits", ".sigmoid()\n", "\n", loses={"sampler"})
slip("own_sample_double_sigmoid", ".sigmoid()\n", ".sigmoid().sigmoid()\n", loses={"sampler"})
slip("own_sample_z_from_the_end", "u[:, :L])", "u[:, -L:])", ("u[:, L:]", "u[:, :-L]"), loses={"sampler"})
slip("own_sample_first_number_again", "u[:, L:]", "u[:, : p.shape[1]]", loses={"sampler"})
slip("own_sample_one_number_for_all", "u[:, L:]", "u[:, L : L + 1]", loses={"sampler"})
slip("own_sample_booleans", ".long()", "", loses={"sampler"})
slip("own_sample_of_reals", ".long()", ".float()", loses={"sampler"})
slip("own_sample_random", "u[:, L:] >= 1 - p", "torch.rand_like(p) < p", loses={"sampler"})
slip("own_sample_of_probabilities", "(u[:, L:] >= 1 - p).long()", "p", loses={"sampler"})
slip(
    "own_without_bias",
    "torch.nn.Linear(latents, hidden)",
    "torch.nn.Linear(latents, hidden, bias=False)",
    loses={"shapes"},
)
slip("own_layers_of_other_sizes", "torch.nn.Linear(hidden, D)", "torch.nn.Linear(D, hidden)", loses={"shapes"})
slip(
    "own_std_layer",
    "self.log_variance = torch",
    "self.std = torch",
    ("self.log_variance(h)", "self.std(h)"),
    loses={"shapes"},
)
slip(
    "own_encodes_a_pair_in_one",
    "return self.mean(h), self.log_variance(h)",
    "return torch.cat([self.mean(h), self.log_variance(h)], 1)",
    loses={"shapes"},
)


# --------------------------------------------------------------------------------------------------- best_variance


@bank.right("best_variance")
def best_by_the_mean_square():
    import math

    def best_variance(x, mean):
        squares = (x - mean) ** 2
        variance = squares.mean()
        constant = x.shape[1] / 2 * (2 * math.pi * variance).log()
        return variance, -squares.sum(1) / (2 * variance) - constant

    return best_variance


@bank.right("best_variance")
def best_by_a_distribution():
    import torch

    def best_variance(x, mean):
        variance = torch.nn.functional.mse_loss(mean, x)
        pixels = torch.distributions.Normal(mean, variance.sqrt())
        return variance, pixels.log_prob(x).sum(1)

    return best_variance


@bank.right("best_variance")
def best_as_a_float():
    import math

    import torch

    def best_variance(x, mean):
        n, D = x.shape
        error = x - mean
        variance = float(error.pow(2).sum()) / (n * D)
        distance = torch.einsum("nd,nd->n", error, error) / variance
        return variance, -0.5 * (distance + D * math.log(2 * math.pi * variance))

    return best_variance


bank.equivalent("best_variance", "(mean, x)", "(x, mean)", "the difference is squared")
bank.equivalent("best_variance", "(n * D)", "(n * D + 1e-08)", "a count is at least 1")


slip = bank.slips("best_variance", of=best_by_the_mean_square)
slip("best_sum_of_squares", "variance = squares.mean()", "variance = squares.sum(1).mean()", loses={"variance"})
slip("best_total_of_squares", "variance = squares.mean()", "variance = squares.sum()", loses={"variance"})
slip("best_standard_deviation", "squares.mean()", "squares.mean().sqrt()", loses={"variance"})
slip("best_unbiased", "squares.mean()", "squares.sum() / max(squares.numel() - 1, 1)", loses={"variance"})
slip("best_variance_around_the_average", "squares.mean()", "(x - mean).var(unbiased=False) + 1e-9", loses={"variance"})
slip("best_variance_of_x", "squares.mean()", "x.var(unbiased=False) + 1e-9", loses={"variance"})
slip("best_of_the_first_image", "squares.mean()", "(squares[0].mean() + 1e-12)", loses={"variance"})
slip("best_absolute_error", "squares.mean()", "(x - mean).abs().mean()", loses={"variance"})
slip("best_fixed_at_one", "squares.mean()", "0 * squares.mean() + 1", loses={"variance"})
slip("best_half_of_squares", "squares.mean()", "squares.mean() / 2", loses={"variance"})
slip("best_likelihood_without_two_pi", "2 * math.pi * variance", "variance", loses={"log-likelihood"})
slip("best_likelihood_constant_once", "x.shape[1] / 2 *", "1 / 2 *", loses={"log-likelihood"})
slip("best_likelihood_without_half", "/ (2 * variance)", "/ variance", loses={"log-likelihood"})
slip("best_likelihood_by_std", "/ (2 * variance)", "/ (2 * variance.sqrt())", loses={"log-likelihood"})
slip("best_likelihood_log_of_variance_twice", "x.shape[1] / 2 *", "x.shape[1] *", loses={"log-likelihood"})
slip("best_likelihood_mean_over_pixels", "-squares.sum(1)", "-squares.mean(1)", loses={"log-likelihood"})
slip("best_likelihood_constant_added", "- constant", "+ constant", loses={"log-likelihood"})
slip(
    "best_likelihood_is_a_loss",
    "-squares.sum(1) / (2 * variance) - constant",
    "squares.sum(1) / (2 * variance) + constant",
    loses={"log-likelihood"},
)
slip("best_likelihood_squares_alone", "(2 * variance) - constant", "(2 * variance)", loses={"log-likelihood"})
slip("best_likelihood_of_all_images", "-squares.sum(1)", "-squares.sum().expand(len(x))", loses={"log-likelihood"})
slip(
    "best_likelihood_in_bits",
    "-squares.sum(1) / (2 * variance) - constant",
    "(-squares.sum(1) / (2 * variance) - constant) / math.log(2)",
    loses={"log-likelihood"},
)
slip("best_likelihood_of_the_batch", "-squares.sum(1)", "-squares.sum()", loses={"shapes"})
slip(
    "best_variance_of_each_pixel",
    "squares.mean()",
    "squares.mean(0)",
    ("(2 * math.pi * variance).log()", "(2 * math.pi * variance).log().mean()"),
    ("-squares.sum(1) / (2 * variance)", "-(squares / (2 * variance)).sum(1)"),
    loses={"shapes"},
)
slip("best_variance_keeps_axes", "squares.mean()", "squares.mean((0, 1), keepdim=True)[0]", loses={"shapes"})


# ------------------------------------------------------------------------------------------------------ iwae_bound


@bank.right("iwae_bound")
def bound_by_logsumexp():
    import math

    import torch

    def iwae_bound(log_w):
        return torch.logsumexp(log_w, 0) - math.log(len(log_w))

    return iwae_bound


@bank.right("iwae_bound")
def bound_from_the_largest():
    import torch

    def iwae_bound(log_w):
        largest = log_w.detach().amax(0).clamp(min=-1e300)
        return largest + torch.log(torch.exp(log_w - largest).mean(0))

    return iwae_bound


@bank.right("iwae_bound")
def bound_weight_by_weight():
    import torch

    def iwae_bound(log_w):
        total = log_w[0]
        for row in log_w[1:]:
            total = torch.logaddexp(total, row)
        return total - torch.log(torch.tensor(log_w.shape[0], dtype=log_w.dtype))

    return iwae_bound


bank.equivalent("iwae_bound", "log_w.detach()", "log_w", "what is added has been subtracted before")
bank.equivalent("iwae_bound", "-1e+300", "-5e+299", "it only has to be finite")
bank.equivalent("iwae_bound", ", dtype=log_w.dtype", "", "the logarithm of k is near enough in single precision")


slip = bank.slips("iwae_bound", of=bound_by_logsumexp)
slip("bound_without_log_k", " - math.log(len(log_w))", "", loses={"bound"})
slip("bound_log_k_added", "- math.log", "+ math.log", loses={"bound"})
slip("bound_divided_by_k", "- math.log(len(log_w))", "/ len(log_w)", loses={"bound", "far out"})
slip("bound_log_of_images", "math.log(len(log_w))", "math.log(log_w.shape[1])", loses={"bound"})
slip(
    "bound_mean_of_logs",
    "torch.logsumexp(log_w, 0) - math.log(len(log_w))",
    "log_w.mean(0)",
    loses={"bound", "far out"},
)
slip("bound_largest_weight", "torch.logsumexp(log_w, 0) - math.log(len(log_w))", "log_w.amax(0)", loses={"bound"})
slip("bound_log_k_in_bits", "math.log(", "math.log2(", loses={"bound"})
slip(
    "bound_in_bits",
    "torch.logsumexp(log_w, 0) - math.log(len(log_w))",
    "(torch.logsumexp(log_w, 0) - math.log(len(log_w))) / math.log(2)",
    loses={"bound", "far out"},
)
slip("bound_sign_before", "logsumexp(log_w, 0)", "logsumexp(-log_w, 0)", loses={"bound", "far out"})
slip(
    "bound_as_a_loss",
    "return torch.logsumexp(log_w, 0) - math.log(len(log_w))",
    "return -(torch.logsumexp(log_w, 0) - math.log(len(log_w)))",
    loses={"bound", "far out"},
)
slip("bound_weights_summed_before", "torch.logsumexp(log_w, 0)", "log_w.exp().sum(0).log()", loses={"far out"})
slip("bound_epsilon", "torch.logsumexp(log_w, 0)", "(log_w.exp().sum(0) + 1e-30).log()", loses={"far out"})
slip("bound_clamped", "logsumexp(log_w, 0)", "logsumexp(log_w.clamp(-700, 700), 0)", loses={"far out"})
slip("bound_minus_infinity_cleaned", "logsumexp(log_w, 0)", "logsumexp(log_w.nan_to_num(), 0)", loses={"far out"})
slip(
    "bound_impossible_left_out", "math.log(len(log_w))", "log_w.isfinite().sum(0).clamp(min=1).log()", loses={"far out"}
)
slip("bound_detached", "logsumexp(log_w, 0)", "logsumexp(log_w.detach(), 0)", loses={"gradients"})
# The bound in value, and the mean of the logs in its gradients.
slip(
    "bound_gradients_of_the_mean",
    "return torch.logsumexp(log_w, 0) - math.log(len(log_w))",
    "mean = log_w.clamp(min=-1e6).mean(0)\n"
    "    return mean + (torch.logsumexp(log_w, 0) - math.log(len(log_w)) - mean).detach()",
    loses={"gradients"},
)
# Each log_w is weighted, and the weights are not detached.
slip(
    "bound_weights_not_detached",
    "return torch.logsumexp(log_w, 0) - math.log(len(log_w))",
    "bound = torch.logsumexp(log_w, 0) - math.log(len(log_w))\n"
    "    weighted = (log_w.softmax(0) * log_w.clamp(min=-1e6)).nan_to_num().sum(0)\n"
    "    return bound.detach() + weighted - weighted.detach()",
    loses={"gradients"},
)
slip(
    "bound_of_the_batch",
    "torch.logsumexp(log_w, 0) - math.log(len(log_w))",
    "(torch.logsumexp(log_w, 0) - math.log(len(log_w))).mean()",
    loses={"shape"},
)
slip("bound_over_images", "logsumexp(log_w, 0)", "logsumexp(log_w, 1)", loses={"shape"})


@bank.wrong("iwae_bound", loses={"far out"})
def bound_nan_where_all_are_impossible():
    """Minus infinity minus minus infinity."""
    import torch

    def iwae_bound(log_w):
        largest = log_w.detach().amax(0)
        return largest + torch.log(torch.exp(log_w - largest).mean(0))

    return iwae_bound


# ---------------------------------------------------------------------------------------------- gradient_estimates


@bank.right("gradient_estimates")
def estimates_stacked():
    import torch

    def gradient_estimates(f, slope, mean, std, e):
        z = mean + std * e
        height, steep = f(z), slope(z)
        score = torch.stack([height * e / std, height * (e**2 - 1) / std], 1)
        return score, torch.stack([steep, steep * e], 1)

    return gradient_estimates


@bank.right("gradient_estimates")
def estimates_by_autograd():
    import torch

    def gradient_estimates(f, slope, mean, std, e):
        n = len(e)
        m = torch.full((n,), mean, dtype=torch.float64, requires_grad=True)
        s = torch.full((n,), std, dtype=torch.float64, requires_grad=True)
        z = (m + s * e).detach()
        by_score = torch.autograd.grad(torch.distributions.Normal(m, s).log_prob(z).sum(), (m, s))
        by_draw = torch.autograd.grad((m + s * e).sum(), (m, s))
        value, derivative = f(z).unsqueeze(1), slope(z).unsqueeze(1)
        return value * torch.stack(by_score, dim=1), derivative * torch.stack(by_draw, dim=1)

    return gradient_estimates


@bank.right("gradient_estimates")
def estimates_from_z():
    import torch

    def gradient_estimates(f, slope, mean, std, e):
        z = torch.add(e * std, mean)
        away = z - mean
        directions = torch.column_stack([torch.ones_like(e), e])
        scores = torch.column_stack([away / std**2, away**2 / std**3 - 1 / std])
        return f(z)[:, None] * scores, slope(z)[:, None] * directions

    return gradient_estimates


bank.equivalent("gradient_estimates", ", dtype=torch.float64", "", "single precision is near enough")


slip = bank.slips("gradient_estimates", of=estimates_stacked)
slip("estimates_variance_in_the_score", "height * e / std,", "height * e / std**2,", loses={"score function"})
slip("estimates_score_of_z", "height * e / std,", "height * z / std,", loses={"score function"})
slip("estimates_score_without_minus_one", "(e**2 - 1)", "e**2", loses={"score function"})
slip("estimates_score_of_the_variance", "(e**2 - 1) / std]", "(e**2 - 1) / (2 * std**2)]", loses={"score function"})
slip("estimates_score_of_log_std", "(e**2 - 1) / std]", "(e**2 - 1)]", loses={"score function"})
slip(
    "estimates_score_without_f",
    "[height * e / std, height * (e**2 - 1) / std]",
    "[e / std, (e**2 - 1) / std]",
    loses={"score function"},
)
slip("estimates_score_negative", "return score", "return -score", loses={"score function"})
slip("estimates_score_not_squared", "(e**2 - 1)", "(e - 1)", loses={"score function"})
slip(
    "estimates_score_with_baseline",
    "height, steep = f(z), slope(z)",
    "height, steep = f(z), slope(z)\n    height = height - height.mean()",
    loses={"score function"},
)
slip("estimates_score_of_the_log", "height, steep = f(z)", "height, steep = f(z).abs().log()", loses={"score function"})
slip("estimates_score_by_slope", "height * e / std,", "steep * e / std,", loses={"score function"})
slip(
    "estimates_score_columns_swapped",
    "[height * e / std, height * (e**2 - 1) / std]",
    "[height * (e**2 - 1) / std, height * e / std]",
    loses={"score function"},
)
slip(
    "estimates_score_averaged",
    "return score",
    "return score.mean(0, keepdim=True).expand(len(e), 2)",
    loses={"score function"},
)
slip("estimates_path_of_e", "steep * e]", "steep * z]", loses={"reparameterized"})
slip("estimates_path_times_std", "[steep, steep * e]", "[steep * std, steep * e]", loses={"reparameterized"})
slip("estimates_path_of_log_std", "steep * e]", "steep * e * std]", loses={"reparameterized"})
slip("estimates_path_columns_swapped", "[steep, steep * e]", "[steep * e, steep]", loses={"reparameterized"})
slip("estimates_path_without_e", "steep * e]", "steep]", loses={"reparameterized"})
slip("estimates_path_divided", "[steep, steep * e]", "[steep / std, steep * e / std]", loses={"reparameterized"})
slip("estimates_path_of_f", "[steep, steep * e]", "[height, height * e]", loses={"reparameterized"})
slip("estimates_at_e", "z = mean + std * e", "z = e", loses={"score function", "reparameterized"})
slip(
    "estimates_of_variance", "z = mean + std * e", "z = mean + std**2 * e", loses={"score function", "reparameterized"}
)
slip(
    "estimates_summed",
    "return score, torch.stack([steep, steep * e], 1)",
    "return score.sum(0), torch.stack([steep, steep * e], 1).sum(0)",
    loses={"shapes"},
)
slip("estimates_in_rows", "/ std], 1)", "/ std])", loses={"shapes"})
slip(
    "estimates_asks_twice",
    "height, steep = f(z), slope(z)",
    "height, steep = f(z), slope(z) + 0 * slope(z)",
    loses=(),
    raises="TooManyCalls",
)


# --------------------------------------------------------------------------------------------------------- em_step


@bank.right("em_step")
def em_by_moments():
    import torch

    def em_step(x, W, variance):
        n, D = x.shape
        covariance = torch.linalg.inv(torch.eye(W.shape[1], dtype=W.dtype) + W.T @ W / variance)
        means = x @ W @ covariance / variance
        second = means.T @ means + n * covariance
        new = torch.linalg.solve(second, means.T @ x).T
        residual = (x**2).sum() - 2 * (x * (means @ new.T)).sum() + (second * (new.T @ new)).sum()
        return new, residual / (n * D)

    return em_step


@bank.right("em_step")
def em_by_the_data_covariance():
    """Equations 29 and 30 of Tipping and Bishop (1999)."""
    import torch

    def em_step(x, W, variance):
        D, L = W.shape
        S = x.T @ x / len(x)
        M = W.T @ W + variance * torch.eye(L).double()
        inverse = torch.linalg.inv(M)
        new = S @ W @ torch.linalg.inv(variance * torch.eye(L).double() + inverse @ W.T @ S @ W)
        return new, torch.trace(S - S @ W @ inverse @ new.T) / D

    return em_step


@bank.right("em_step")
def em_image_by_image():
    import torch

    def em_step(x, W, variance):
        L = W.size(1)
        C = torch.inverse(torch.eye(L, dtype=torch.float64) + W.T.mm(W) / variance)
        first, second = torch.zeros_like(W), torch.zeros_like(C)
        means = [C @ W.T @ row / variance for row in x]
        for row, m in zip(x, means, strict=True):
            first = first + torch.outer(row, m)
            second = second + torch.outer(m, m) + C
        new = first @ torch.inverse(second)
        errors = [
            (row - new @ m).square().sum() + torch.trace(new @ C @ new.T) for row, m in zip(x, means, strict=True)
        ]
        return new, float(sum(errors)) / x.numel()

    return em_step


for size in ("W.shape[1], dtype=W.dtype", "L, dtype=torch.float64"):
    bank.equivalent("em_step", f"eye({size})", f"eye({size.split(',')[0]})", "zeros and ones are exact")
bank.equivalent("em_step", "eye(L, dtype=torch.float64)", "eye(L, dtype=torch.float16)", "zeros and ones are exact")
bank.equivalent("em_step", "/ (n * D)", "/ (n * D + 1e-08)", "a count is at least 1")
bank.equivalent("em_step", "/ D", "/ (D + 1e-08)", "a count is at least 1")
bank.equivalent("em_step", "/ x.numel()", "/ (x.numel() + 1e-08)", "a count is at least 1")


slip = bank.slips("em_step", of=em_by_moments)
# The old W in the variance.
slip(
    "em_variance_of_the_old_W",
    "(means @ new.T)).sum() + (second * (new.T @ new))",
    "(means @ W.T)).sum() + (second * (W.T @ W))",
    loses={"variance"},
)
slip("em_variance_half_old", "(second * (new.T @ new))", "(second * (W.T @ W))", loses={"variance"})
slip("em_variance_of_means", "(second * (new.T @ new))", "(means.T @ means * (new.T @ new))", loses={"variance"})
slip("em_variance_sum_over_pixels", "residual / (n * D)", "residual / n", loses={"variance"})
slip("em_variance_sum_over_all", "residual / (n * D)", "residual", loses={"variance"})
slip("em_variance_unbiased", "residual / (n * D)", "residual / ((n - 1) * D)", loses={"variance"})
slip(
    "em_variance_of_free_dimensions",
    "residual / (n * D)",
    "residual / (n * max(D - W.shape[1], 1))",
    loses={"variance"},
)
slip("em_variance_as_std", "residual / (n * D)", "(residual / (n * D)) ** 0.5", loses={"variance"})
slip("em_variance_cross_term_once", "- 2 * (x", "- (x", loses={"variance"})
slip("em_variance_cross_term_added", "- 2 * (x", "+ 2 * (x", loses={"variance"})
slip("em_variance_unchanged", "residual / (n * D)", "0 * residual + variance", loses={"variance"})
slip("em_variance_of_x", "residual / (n * D)", "(x**2).mean()", loses={"variance"})
slip(
    "em_loadings_without_covariance",
    "torch.linalg.solve(second, means.T @ x).T",
    "torch.linalg.solve(means.T @ means + 1e-9 * covariance, means.T @ x).T",
    loses={"loadings"},
)
slip(
    "em_loadings_covariance_once",
    "torch.linalg.solve(second,",
    "torch.linalg.solve(means.T @ means + covariance,",
    loses={"loadings"},
)
slip("em_loadings_unchanged", "torch.linalg.solve(second, means.T @ x).T", "1 * W", loses={"loadings"})
slip(
    "em_loadings_regularised",
    "solve(second,",
    "solve(second + 1e-3 * len(x) * torch.eye(len(second)).double(),",
    loses={"loadings"},
)
slip("em_loadings_divided_by_n", "means.T @ x).T", "means.T @ x).T / n", loses={"loadings"})
slip(
    "em_loadings_orthogonal",
    "new = torch.linalg.solve(second, means.T @ x).T",
    "new = torch.linalg.qr(torch.linalg.solve(second, means.T @ x).T).Q if D >= W.shape[1] else W",
    loses={"loadings"},
)
slip("em_loadings_averaged_with_the_old", "means.T @ x).T", "means.T @ x).T / 2 + W / 2", loses={"loadings"})
slip(
    "em_posterior_without_variance",
    "x @ W @ covariance / variance",
    "x @ W @ covariance",
    loses={"loadings", "variance"},
)
slip("em_posterior_of_unit_noise", "W.T @ W / variance)", "W.T @ W)", loses={"loadings", "variance"})
slip("em_second_moment_is_the_covariance", "means.T @ means + n * covariance", "n * covariance", loses={"loadings"})
slip(
    "em_second_moment_without_covariance",
    "means.T @ means + n * covariance",
    "means.T @ means + 1e-9 * covariance",
    loses={"loadings", "variance"},
)
slip("em_loadings_transposed", "return new,", "return new.T,", loses={"shapes"})
slip("em_variance_of_each_pixel", "residual / (n * D)", "residual / (n * D) * torch.ones(D)", loses={"shapes"})
slip("em_loadings_alone", "return new, residual / (n * D)", "return new", loses={"shapes"})


# ------------------------------------------------------------------------------------------------------------- iaf


@bank.right("iaf")
def iaf_by_triangles():
    import math

    import torch

    def iaf(v, A, a, B, b, inverse):
        A, B = torch.tril(A, -1), torch.tril(B, -1)
        if inverse:
            columns = []
            for i in range(len(a)):
                e = torch.stack([*columns, *[torch.zeros_like(v[:, 0])] * (len(a) - i)], 1)
                scale = torch.exp(b[i] + e @ B[i])
                columns.append((v[:, i] - a[i] - e @ A[i]) / scale)
            w = e = torch.stack(columns, 1)
        else:
            e = v
            w = a + e @ A.T + torch.exp(b + e @ B.T) * e
        log_scale = b + e @ B.T
        log_normal = -(e**2 + math.log(2 * math.pi)) / 2
        return w, (log_normal - log_scale).sum(1)

    return iaf


@bank.right("iaf")
def iaf_entry_by_entry():
    import torch

    def iaf(v, A, a, B, b, inverse):
        normal = torch.distributions.Normal(0.0, 1.0)
        noise, other = [], []
        log_q = torch.zeros(len(v), dtype=v.dtype)
        for i in range(v.shape[1]):
            mean, log_scale = a[i], b[i]
            for j in range(i):
                mean = mean + A[i, j] * noise[j]
                log_scale = log_scale + B[i, j] * noise[j]
            if inverse:
                noise.append((v[:, i] - mean) * torch.exp(-log_scale))
                other.append(noise[i])
            else:
                noise.append(v[:, i])
                other.append(mean + torch.exp(log_scale) * v[:, i])
            log_q = log_q + normal.log_prob(noise[i]) - log_scale
        return torch.stack(other, dim=1), log_q

    return iaf


@bank.right("iaf")
def iaf_by_repeated_steps():
    """The way back as a fixed point: after the i-th step the first i entries are final."""
    import math

    import torch

    def iaf(v, A, a, B, b, inverse):
        n, L = v.shape
        counts = torch.arange(L)[:, None] > torch.arange(L)
        A, B = A.masked_fill(~counts, 0.0), torch.where(counts, B, 0.0)

        def network(e):
            return torch.addmm(a, e, A.T), torch.addmm(b, e, B.T)

        e = v
        if inverse:
            e = torch.zeros_like(v)
            for _ in range(L):
                mean, log_scale = network(e)
                e = (v - mean) * torch.exp(-log_scale)
        mean, log_scale = network(e)
        w = e if inverse else mean + torch.exp(log_scale) * e
        log_normal = -0.5 * e.square().sum(1) - 0.5 * L * math.log(2 * math.pi)
        return w, log_normal - log_scale.sum(1)

    return iaf


for old, new, why in (
    ("torch.zeros_like(v[:, 0])", "v[:, 0]", "what is not known yet is multiplied by 0"),
    ("v[:, 0])] *", "v[:, -1])] *", "only its shape counts"),
    ("torch.zeros(len(v), dtype=v.dtype)", "torch.zeros(len(v))", "a sum with a float64 is a float64"),
    ("torch.zeros_like(v)", "v", "L steps lead to the fixed point from anywhere"),
    ("e = torch.zeros_like(v)", "pass", "L steps lead to the fixed point from anywhere"),
):
    bank.equivalent("iaf", old, new, why)


slip = bank.slips("iaf", of=iaf_by_triangles)
slip("iaf_without_mean", "w = a + e @ A.T + torch", "w = torch", loses={"draw", "gradients"})
slip("iaf_without_a", "w = a + e @ A.T + torch", "w = e @ A.T + torch", loses={"draw", "gradients"})
slip("iaf_mean_reads_the_past_only_through_a", "w = a + e @ A.T + torch", "w = a + torch", loses={"draw", "gradients"})
slip(
    "iaf_scale_applied_to_the_mean",
    "w = a + e @ A.T + torch.exp(b + e @ B.T) * e",
    "w = (a + e @ A.T + e) * torch.exp(b + e @ B.T)",
    loses={"draw"},
)
slip("iaf_divides_by_scale", "torch.exp(b + e @ B.T) * e", "torch.exp(-b - e @ B.T) * e", loses={"draw"})
slip("iaf_log_variance", "torch.exp(b + e @ B.T) * e", "torch.exp((b + e @ B.T) / 2) * e", loses={"draw"})
slip("iaf_scale_without_exp", "torch.exp(b + e @ B.T) * e", "(b + e @ B.T) * e", loses={"draw"})
slip(
    "iaf_scale_by_softplus",
    "torch.exp(b + e @ B.T) * e",
    "torch.nn.functional.softplus(b + e @ B.T) * e",
    loses={"draw"},
)
slip("iaf_scale_by_tanh", "torch.exp(b + e @ B.T) * e", "torch.exp(torch.tanh(b + e @ B.T)) * e", loses={"draw"})
slip("iaf_transposed_mean", "w = a + e @ A.T", "w = a + e @ A", loses={"draw"})
slip("iaf_clamped_scale", "torch.exp(b + e @ B.T) * e", "torch.exp((b + e @ B.T).clamp(-10, 10)) * e", loses={"draw"})
# Above the diagonal, in its mean and log-scale alike.
slip(
    "iaf_above_the_diagonal",
    "A, B = torch.tril(A, -1), torch.tril(B, -1)",
    "A, B = torch.triu(A, 1).nan_to_num(), torch.triu(B, 1).nan_to_num()",
    loses={"draw", "density", "inverse"},
)
slip(
    "iaf_with_the_diagonal",
    "A, B = torch.tril(A, -1), torch.tril(B, -1)",
    "A, B = torch.tril(A), torch.tril(B)",
    loses={"draw", "density"},
)
slip(
    "iaf_mask_times_nan",
    "A, B = torch.tril(A, -1), torch.tril(B, -1)",
    "mask = torch.ones_like(A).tril(-1)\n    A, B = mask * A, mask * B",
    loses={"draw"},
)
slip(
    "iaf_only_the_first_subdiagonal",
    "torch.tril(A, -1), torch.tril(B, -1)",
    "torch.tril(A, -1).triu(-1), torch.tril(B, -1)",
    loses={"draw"},
)
slip("iaf_log_scales_added", "(log_normal - log_scale)", "(log_normal + log_scale)", loses={"density"})
slip("iaf_without_log_scales", "(log_normal - log_scale)", "(log_normal - 0 * log_scale)", loses={"density"})
slip("iaf_density_of_z", "log_normal = -(e**2", "log_normal = -((v if inverse else w)**2", loses={"density"})
slip("iaf_density_without_two_pi", "(e**2 + math.log(2 * math.pi)) / 2", "e**2 / 2", loses={"density"})
slip(
    "iaf_density_without_half",
    "(e**2 + math.log(2 * math.pi)) / 2",
    "(e**2 + math.log(2 * math.pi))",
    loses={"density"},
)
slip(
    "iaf_density_in_bits",
    "(log_normal - log_scale).sum(1)",
    "(log_normal - log_scale).sum(1) / math.log(2)",
    loses={"density"},
)
slip("iaf_density_mean", "(log_normal - log_scale).sum(1)", "(log_normal - log_scale).mean(1)", loses={"density"})
slip(
    "iaf_density_negative",
    "return w, (log_normal - log_scale)",
    "return w, (log_scale - log_normal)",
    loses={"density"},
)
slip("iaf_density_of_scales_twice", "(log_normal - log_scale)", "(log_normal - 2 * log_scale)", loses={"density"})
slip("iaf_density_without_b", "log_scale = b + e", "log_scale = 0 * b + e", loses={"density"})
slip(
    "iaf_density_turned_on_the_way_back",
    "(log_normal - log_scale)",
    "(log_normal + log_scale if inverse else log_normal - log_scale)",
    loses={"density"},
)
slip(
    "iaf_density_by_the_scale_again",
    "log_scale = b + e @ B.T",
    "log_scale = torch.exp(b + e @ B.T).clamp(1e-30, 1e30).log()",
    loses={"density"},
)
slip("iaf_density_reads_v_on_the_way_back", "log_scale = b + e @ B.T", "log_scale = b + v @ B.T", loses={"density"})
slip(
    "iaf_back_in_one_pass",
    "w = e = torch.stack(columns, 1)",
    "w = e = (v - a - v @ A.T) / torch.exp(b + v @ B.T)",
    loses={"inverse"},
)
slip("iaf_back_not_at_all", "if inverse:", "if False:", loses={"density", "inverse"})
slip("iaf_back_times_scale", "- e @ A[i]) / scale", "- e @ A[i]) * scale", loses={"inverse"})
slip("iaf_back_mean_added", "(v[:, i] - a[i] - e @ A[i])", "(v[:, i] + a[i] + e @ A[i])", loses={"inverse"})
slip(
    "iaf_back_scale_first",
    "(v[:, i] - a[i] - e @ A[i]) / scale",
    "v[:, i] / scale - a[i] - e @ A[i]",
    loses={"inverse"},
)
slip("iaf_back_mean_of_z", "- a[i] - e @ A[i]", "- a[i] - v @ A[i]", loses={"inverse"})
slip("iaf_back_scale_of_z", "torch.exp(b[i] + e @ B[i])", "torch.exp(b[i] + v @ B[i])", loses={"inverse"})
slip("iaf_back_without_b", "torch.exp(b[i] + e @ B[i])", "torch.exp(e @ B[i])", loses={"inverse"})
slip("iaf_back_with_epsilon", "- e @ A[i]) / scale", "- e @ A[i]) / (scale + 1e-8)", loses={"inverse"})
slip(
    "iaf_back_without_the_last",
    "range(len(a))",
    "range(len(a) - 1)",
    ("w = e = torch.stack(columns, 1)", "w = e = torch.stack([*columns, v[:, -1]], 1)"),
    loses={"inverse"},
)
slip(
    "iaf_back_from_the_last",
    "w = e = torch.stack(columns, 1)",
    "w = e = torch.stack(columns[::-1], 1)",
    loses={"inverse"},
)
slip(
    "iaf_log_q_detached",
    "return w, (log_normal - log_scale).sum(1)",
    "return w, (log_normal - log_scale).sum(1).detach()",
    loses={"gradients"},
)
slip("iaf_log_scale_detached", "(log_normal - log_scale)", "(log_normal - log_scale.detach())", loses={"gradients"})
slip(
    "iaf_scale_detached_in_the_draw",
    "torch.exp(b + e @ B.T) * e",
    "torch.exp(b + e @ B.T).detach() * e",
    loses={"gradients"},
)
slip(
    "iaf_back_earlier_detached",
    "columns.append((v[:, i] - a[i] - e @ A[i]) / scale)",
    "columns.append(((v[:, i] - a[i] - e @ A[i]) / scale).detach())",
    loses={"gradients"},
)
slip("iaf_without_log_q", "return w, (log_normal - log_scale).sum(1)", "return w", loses={"shapes"})
slip(
    "iaf_log_q_of_each_dimension",
    "return w, (log_normal - log_scale).sum(1)",
    "return w, (log_normal - log_scale)",
    loses={"shapes"},
)
slip(
    "iaf_log_q_of_the_batch",
    "return w, (log_normal - log_scale).sum(1)",
    "return w, (log_normal - log_scale).sum()",
    loses={"shapes"},
)


@bank.wrong("iaf", loses={"gradients"})
def iaf_back_in_place():
    """Each e_i is written into a tensor that an earlier product needs for its gradients."""
    import math

    import torch

    def iaf(v, A, a, B, b, inverse):
        A, B = torch.tril(A, -1), torch.tril(B, -1)
        e = v
        if inverse:
            e = torch.zeros_like(v)
            for i in range(len(a)):
                e[:, i] = (v[:, i] - a[i] - e @ A[i]) * torch.exp(-b[i] - e @ B[i])
        log_scale = b + e @ B.T
        w = e if inverse else a + e @ A.T + torch.exp(log_scale) * e
        return w, -(log_scale + (e**2 + math.log(2 * math.pi)) / 2).sum(1)

    return iaf


@bank.wrong("iaf", loses={"draw", "density"})
def iaf_from_earlier_z():
    """An autoregressive flow that is not inverse: mean and log-scale are read from z, so the way back is parallel."""
    import math

    import torch

    def iaf(v, A, a, B, b, inverse):
        A, B = torch.tril(A, -1), torch.tril(B, -1)
        z = v
        if not inverse:
            z = torch.zeros_like(v)
            for i in range(len(a)):
                z_i = a[i] + z @ A[i] + torch.exp(b[i] + z @ B[i]) * v[:, i]
                z = torch.cat([z[:, :i], z_i[:, None], z[:, i + 1 :]], 1)
        log_scale = b + z @ B.T
        e = (z - a - z @ A.T) * torch.exp(-log_scale)
        return e if inverse else z, -(log_scale + (e**2 + math.log(2 * math.pi)) / 2).sum(1)

    return iaf


# ----------------------------------------------------------------------------------------------- mixture_kl_bounds


@bank.right("mixture_kl_bounds")
def bounds_where_it_counts():
    import torch

    def mixture_kl_bounds(log_pi, mean, log_variance):
        counts = log_pi > -torch.inf
        kl = (log_variance.exp() + mean**2 - 1 - log_variance).sum(2) / 2
        kl = torch.where(counts, kl, 0.0)
        pi, log_pi = log_pi.exp(), torch.where(counts, log_pi, 0.0)
        upper = (pi * kl).sum(1)
        return upper + (pi * log_pi).sum(1), upper

    return mixture_kl_bounds


@bank.right("mixture_kl_bounds")
def bounds_by_distributions():
    import torch
    from torch.distributions import Normal, kl_divergence

    def mixture_kl_bounds(log_pi, mean, log_variance):
        pi = torch.exp(log_pi)
        never = (pi == 0)[:, :, None]
        components = Normal(mean.masked_fill(never, 0.0), torch.exp(log_variance.masked_fill(never, 0.0) / 2))
        upper = torch.einsum("nk,nkl->n", pi, kl_divergence(components, Normal(0.0, 1.0)))
        return upper - torch.special.entr(pi).sum(-1), upper

    return mixture_kl_bounds


@bank.right("mixture_kl_bounds")
def bounds_row_by_row():
    import math

    import torch

    def mixture_kl_bounds(log_pi, mean, log_variance):
        lower, upper = [], []
        for row, weights in enumerate(log_pi.tolist()):
            average, entropy = 0.0, 0.0
            for k, log_weight in enumerate(weights):
                weight = math.exp(log_weight)
                if weight:
                    variance = log_variance[row, k].exp()
                    price = 0.5 * float((variance + mean[row, k] ** 2).sum() - log_variance[row, k].sum())
                    average += weight * (price - 0.5 * mean.shape[2])
                    entropy -= weight * log_weight
            lower.append(average - entropy)
            upper.append(average)
        return torch.tensor(lower, dtype=mean.dtype), torch.tensor(upper, dtype=mean.dtype)

    return mixture_kl_bounds


for old, new in (
    ("torch.where(counts, kl, 0.0)", "torch.where(counts, kl, 1.0)"),
    ("torch.where(counts, log_pi, 0.0)", "torch.where(counts, log_pi, 1.0)"),
    ("mean.masked_fill(never, 0.0)", "mean.masked_fill(never, 1.0)"),
    ("log_variance.masked_fill(never, 0.0)", "log_variance.masked_fill(never, 1.0)"),
):
    bank.equivalent("mixture_kl_bounds", old, new, "it is multiplied by a weight of 0")
bank.equivalent("mixture_kl_bounds", "sum(-1)", "sum(1)", "there are two axes")
for name in ("lower", "upper"):
    of_double, of_single = f"tensor({name}, dtype=mean.dtype)", f"tensor({name})"
    bank.equivalent("mixture_kl_bounds", of_double, of_single, "single precision is near enough")


slip = bank.slips("mixture_kl_bounds", of=bounds_where_it_counts)
BOUNDS = {"upper bound", "lower bound"}
slip("bounds_entropy_added", "return upper + (pi * log_pi)", "return upper - (pi * log_pi)", loses={"lower bound"})
slip("bounds_the_same", "return upper + (pi * log_pi).sum(1)", "return 1 * upper", loses={"lower bound"})
slip(
    "bounds_less_log_K", "+ (pi * log_pi).sum(1)", "- torch.log(torch.tensor(1.0 * pi.shape[1]))", loses={"lower bound"}
)
slip(
    "bounds_entropy_in_bits", "(pi * log_pi).sum(1)", "(pi * log_pi).sum(1) / 0.6931471805599453", loses={"lower bound"}
)
slip("bounds_entropy_not_weighted", "(pi * log_pi).sum(1)", "log_pi.sum(1)", loses={"lower bound"})
slip("bounds_entropy_mean_over_k", "(pi * log_pi).sum(1)", "(pi * log_pi).mean(1)", loses={"lower bound"})
slip(
    "bounds_zero_log_zero",
    "pi, log_pi = log_pi.exp(), torch.where(counts, log_pi, 0.0)",
    "pi = log_pi.exp()",
    loses={"lower bound"},
)
slip("bounds_entropy_with_epsilon", "(pi * log_pi).sum(1)", "(pi * (pi + 1e-4).log()).sum(1)", loses={"lower bound"})
slip(
    "bounds_not_below_zero",
    "return upper + (pi * log_pi).sum(1)",
    "return (upper + (pi * log_pi).sum(1)).clamp(min=0)",
    loses={"lower bound"},
)
slip(
    "bounds_swapped",
    "return upper + (pi * log_pi).sum(1), upper",
    "return upper, upper + (pi * log_pi).sum(1)",
    loses=BOUNDS,
)
slip("bounds_weights_not_used", "upper = (pi * kl).sum(1)", "upper = kl.mean(1)", loses={"upper bound"})
slip("bounds_sum_of_components", "upper = (pi * kl).sum(1)", "upper = kl.sum(1)", loses={"upper bound"})
slip("bounds_largest_component", "upper = (pi * kl).sum(1)", "upper = kl.amax(1)", loses={"upper bound"})
slip("bounds_log_weights", "upper = (pi * kl).sum(1)", "upper = (log_pi * kl).sum(1)", loses={"upper bound"})
slip(
    "bounds_likeliest_component",
    "upper = (pi * kl).sum(1)",
    "upper = kl.gather(1, log_pi.nan_to_num().argmax(1, keepdim=True))[:, 0]",
    loses={"upper bound"},
)
slip("bounds_kl_without_half", ".sum(2) / 2", ".sum(2)", loses={"upper bound"})
slip("bounds_kl_mean_over_latents", ".sum(2) / 2", ".mean(2) / 2", loses={"upper bound"})
slip("bounds_kl_without_mean", " + mean**2", "", loses={"upper bound"})
slip(
    "bounds_kl_of_variances",
    "log_variance.exp() + mean**2 - 1 - log_variance",
    "log_variance + mean**2 - 1 - log_variance.log()",
    loses=BOUNDS,
)
slip("bounds_kl_without_log", "- 1 - log_variance)", "- 1)", loses={"upper bound"})
slip(
    "bounds_kl_the_other_way_round",
    "(log_variance.exp() + mean**2 - 1 - log_variance)",
    "((1 + mean**2) * (-log_variance).exp() - 1 + log_variance)",
    loses={"upper bound"},
)
slip("bounds_zero_times_nan", "kl = torch.where(counts, kl, 0.0)", "kl = 1 * kl", loses={"upper bound"})
slip("bounds_clamped_log_variance", "log_variance.exp()", "log_variance.clamp(-20, 20).exp()", loses={"upper bound"})
# The divergence of one Gaussian with the mixture's mean and variance.
slip(
    "bounds_of_the_moments",
    "upper = (pi * kl).sum(1)",
    "m, s = mean.nan_to_num(0, 0, 0), log_variance.clamp(-50, 50).exp().nan_to_num()\n"
    "    first = (pi[:, :, None] * m).sum(1)\n"
    "    variance = (pi[:, :, None] * (s + m**2)).sum(1) - first**2\n"
    "    upper = (variance + first**2 - 1 - variance.log()).sum(1) / 2",
    loses={"upper bound"},
)
slip(
    "bounds_of_the_batch",
    "return upper + (pi * log_pi).sum(1), upper",
    "return (upper + (pi * log_pi).sum(1)).mean(), upper.mean()",
    loses={"shapes"},
)
slip("bounds_upper_alone", "return upper + (pi * log_pi).sum(1), upper", "return upper", loses={"shapes"})
slip(
    "bounds_of_each_component",
    "upper = (pi * kl).sum(1)",
    "upper = pi * kl",
    ("upper + (pi * log_pi).sum(1)", "upper + pi * log_pi"),
    loses={"shapes"},
)


# -------------------------------------------------------------------------------------------------- gumbel_softmax


@bank.right("gumbel_softmax")
def gumbel_by_softmax():
    import torch

    def gumbel_softmax(logits, u, tau, hard):
        scores = logits - torch.log(-torch.log(u))
        y = torch.softmax(scores / tau, 1)
        if hard:
            one_hot = torch.zeros_like(y).scatter(1, scores.argmax(1, keepdim=True), 1.0)
            y = one_hot + y - y.detach()
        return y

    return gumbel_softmax


@bank.right("gumbel_softmax")
def gumbel_from_the_largest():
    import torch

    def gumbel_softmax(logits, u, tau, hard):
        scores = logits - u.log().neg().log()
        shifted = (scores - scores.amax(-1, keepdim=True)) / tau
        weights = shifted.exp()
        y = weights / weights.sum(-1, keepdim=True)
        if not hard:
            return y
        first = torch.nn.functional.one_hot(scores.argmax(-1), logits.shape[-1]).to(y.dtype)
        return (first - y).detach() + y

    return gumbel_softmax


@bank.right("gumbel_softmax")
def gumbel_with_its_own_backward():
    import torch

    class Choice(torch.autograd.Function):
        """The forward pass gives the one-hot vector, the backward pass leaves the gradient as it is."""

        @staticmethod
        def forward(ctx, y, scores):
            return torch.eye(y.shape[1], dtype=y.dtype)[scores.argmax(1)]

        @staticmethod
        def backward(ctx, gradient):
            return gradient, None

    def gumbel_softmax(logits, u, tau, hard):
        scores = logits.add(torch.log(u).neg().log(), alpha=-1)
        y = torch.nn.functional.log_softmax(scores / tau, dim=1).exp()
        return Choice.apply(y, scores) if hard else y

    return gumbel_softmax


for old, new, why in (
    ("amax(-1,", "amax(1,", "there are two axes"),
    ("sum(-1,", "sum(1,", "there are two axes"),
    ("argmax(-1)", "argmax(1)", "there are two axes"),
    ("logits.shape[-1]", "logits.shape[1]", "there are two axes"),
    (", dim=1)", ")", "the last of two axes is the default"),
    ("weights.sum(-1, keepdim=True)", "(weights.sum(-1, keepdim=True) + 1e-08)", "the largest weight is 1"),
    ("eye(y.shape[1], dtype=y.dtype)", "eye(y.shape[1])", "zeros and ones are exact"),
):
    bank.equivalent("gumbel_softmax", old, new, why)


slip = bank.slips("gumbel_softmax", of=gumbel_by_softmax)
slip(
    "gumbel_noise_subtracted",
    "logits - torch.log(-torch.log(u))",
    "logits + torch.log(-torch.log(u))",
    loses={"relaxation"},
)
slip("gumbel_without_noise", "logits - torch.log(-torch.log(u))", "logits", loses={"relaxation"})
slip("gumbel_uniform_noise", "logits - torch.log(-torch.log(u))", "logits + u", loses={"relaxation"})
slip("gumbel_log_of_u", "logits - torch.log(-torch.log(u))", "logits + torch.log(u)", loses={"relaxation"})
slip("gumbel_exponential_noise", "logits - torch.log(-torch.log(u))", "logits - torch.log(u)", loses={"relaxation"})
slip("gumbel_logistic_noise", "logits - torch.log(-torch.log(u))", "logits + torch.logit(u)", loses={"relaxation"})
slip(
    "gumbel_normal_noise", "logits - torch.log(-torch.log(u))", "logits + torch.special.ndtri(u)", loses={"relaxation"}
)
slip("gumbel_turned_uniforms", "torch.log(u))", "torch.log1p(-u))", loses={"relaxation"})
slip(
    "gumbel_noise_of_its_own",
    "torch.log(u))",
    "torch.log(torch.rand_like(u)))",
    loses={"relaxation", "limits", "straight-through"},
)
slip("gumbel_tau_multiplies", "scores / tau", "scores * tau", loses={"relaxation", "limits"})
slip("gumbel_without_tau", "scores / tau", "scores", loses={"relaxation", "limits"})
slip(
    "gumbel_tau_divides_logits_only",
    "torch.softmax(scores / tau, 1)",
    "torch.softmax(logits / tau - torch.log(-torch.log(u)), 1)",
    loses={"relaxation", "limits"},
)
slip(
    "gumbel_tau_after_the_softmax",
    "torch.softmax(scores / tau, 1)",
    "torch.softmax(scores, 1) / tau",
    loses={"relaxation", "limits"},
)
slip(
    "gumbel_over_rows",
    "torch.softmax(scores / tau, 1)",
    "torch.softmax(scores / tau, 0)",
    loses={"relaxation", "limits", "straight-through"},
)
slip("gumbel_one_noise_for_all", "torch.log(u))", "torch.log(u[:1]))", loses={"relaxation"})
slip(
    "gumbel_probabilities_for_logits",
    "logits - torch",
    "torch.softmax(logits, 1) - torch",
    loses={"relaxation", "limits"},
)
slip("gumbel_log_softmax_y", "torch.softmax(", "torch.log_softmax(", loses={"relaxation", "limits"})
slip("gumbel_always_hard", "if hard:", "if True:", loses={"relaxation", "limits"})
slip(
    "gumbel_not_stable",
    "y = torch.softmax(scores / tau, 1)",
    "y = torch.exp(scores / tau)\n    y = y / y.sum(1, keepdim=True)",
    loses={"limits"},
)
slip("gumbel_epsilon", "torch.log(-torch.log(u))", "torch.log(-torch.log(u + 1e-20) + 1e-20)", loses={"limits"})
slip(
    "gumbel_clamped_uniforms",
    "torch.log(-torch.log(u))",
    "torch.log(-torch.log(u.clamp(1e-6, 1 - 1e-6)))",
    loses={"limits"},
)
slip("gumbel_tau_at_least_a_tenth", "scores / tau", "scores / max(tau, 0.1)", loses={"limits"})
slip("gumbel_tau_with_epsilon", "scores / tau", "scores / (tau + 1e-4)", loses={"relaxation"})
slip("gumbel_single_precision", "torch.log(u))", "torch.log(u.float()))", loses={"limits"})
slip("gumbel_clamped_logits", "logits - torch", "logits.clamp(-50, 50) - torch", loses={"limits"})
slip("gumbel_never_hard", "if hard:", "if False:", loses={"straight-through"})
slip("gumbel_hard_without_gradient", "y = one_hot + y - y.detach()", "y = one_hot", loses={"straight-through"})
slip(
    "gumbel_hard_of_the_scores",
    "y = one_hot + y - y.detach()",
    "y = one_hot + scores - scores.detach()",
    loses={"straight-through"},
)
slip(
    "gumbel_hard_at_tau_one",
    "y = one_hot + y - y.detach()",
    "y = one_hot + scores.softmax(1) - scores.softmax(1).detach()",
    loses={"straight-through"},
)
slip("gumbel_hard_plus_soft", "y = one_hot + y - y.detach()", "y = one_hot + y", loses={"straight-through"})
slip(
    "gumbel_hard_masks_the_gradient",
    "y = one_hot + y - y.detach()",
    "y = one_hot * (1 + y - y.detach())",
    loses={"straight-through"},
)
slip(
    "gumbel_hard_of_logits",
    "scores.argmax(1, keepdim=True)",
    "logits.argmax(1, keepdim=True)",
    loses={"straight-through"},
)
slip(
    "gumbel_hard_smallest",
    "scores.argmax(1, keepdim=True)",
    "scores.argmin(1, keepdim=True)",
    loses={"straight-through"},
)
slip(
    "gumbel_hard_all_at_ties",
    "torch.zeros_like(y).scatter(1, scores.argmax(1, keepdim=True), 1.0)",
    "(scores == scores.amax(1, keepdim=True)).to(y)",
    loses={"straight-through"},
)
slip(
    "gumbel_hard_last_at_ties",
    "scores.argmax(1, keepdim=True)",
    "(scores.shape[1] - 1 - scores.flip(1).argmax(1, keepdim=True))",
    loses={"straight-through"},
)
slip(
    "gumbel_hard_more_than_half",
    "torch.zeros_like(y).scatter(1, scores.argmax(1, keepdim=True), 1.0)",
    "(y > 0.5).to(y)",
    loses={"straight-through"},
)
slip(
    "gumbel_hard_by_rounding",
    "torch.zeros_like(y).scatter(1, scores.argmax(1, keepdim=True), 1.0)",
    "y.round()",
    ("y - y.detach()", "(y - y.detach())"),
    loses={"straight-through"},
)
slip(
    "gumbel_soft_detached",
    "y = torch.softmax(scores / tau, 1)",
    "y = torch.softmax(scores.detach() / tau, 1)",
    loses={"relaxation", "straight-through"},
)
slip(
    "gumbel_index",
    "y = one_hot + y - y.detach()\n    return y",
    "y = one_hot + y - y.detach()\n    return y.argmax(1)",
    loses={"shape"},
)
slip("gumbel_first_category", "    return y\n", "    return y[:, 0]\n", loses={"shape"})


@bank.wrong("gumbel_softmax", loses={"straight-through"})
def gumbel_hard_in_place():
    """The 1 is written into y, whose gradient is lost."""
    import torch

    def gumbel_softmax(logits, u, tau, hard):
        scores = logits - torch.log(-torch.log(u))
        y = torch.softmax(scores / tau, 1)
        if hard:
            index = scores.argmax(1)
            y = torch.zeros_like(y)
            y[torch.arange(len(y)), index] = 1.0
        return y

    return gumbel_softmax


# --------------------------------------------------------------------------------------------------- pixelvae_bits


@bank.right("pixelvae_bits")
def bits_by_means():
    import math

    import torch

    def pixelvae_bits(reconstruction, kl, D):
        nats = torch.cat([-reconstruction[:, None], kl], 1).mean(0)
        return nats.sum() / (D * math.log(2)), nats / nats.sum()

    return pixelvae_bits


@bank.right("pixelvae_bits")
def bits_by_sums():
    import math

    def pixelvae_bits(reconstruction, kl, D):
        parts = [-float(reconstruction.sum()), *kl.sum(0).tolist()]
        whole = sum(parts)
        return whole / len(kl) / D / math.log(2), [part / whole for part in parts]

    return pixelvae_bits


@bank.right("pixelvae_bits")
def bits_by_the_elbo():
    import torch

    def pixelvae_bits(reconstruction, kl, D):
        elbo = reconstruction - kl.sum(1)
        bits = -elbo.mean() / torch.log(torch.tensor(2.0, dtype=torch.float64))
        levels = kl.mean(0) / -elbo.mean()
        return bits / D, torch.cat([1 - levels.sum()[None], levels])

    return pixelvae_bits


for old in ("math.log(2)", "D", "torch.log(torch.tensor(2.0, dtype=torch.float64))"):
    bank.equivalent("pixelvae_bits", old, f"({old} + 1e-08)", "neither a count nor the logarithm of 2 is near 0")
both = "D * math.log(2)"
bank.equivalent("pixelvae_bits", both, f"{both} + 1e-08", "neither a count nor the logarithm of 2 is near 0")
two = "torch.tensor(2.0, dtype=torch.float64)"
for changed in (f"torch.as_tensor({two}).clamp(min=1e-06)", f"{two} + 1e-08", "torch.tensor(2.0)"):
    bank.equivalent("pixelvae_bits", two, changed, "the logarithm of 2 is near enough")


slip = bank.slips("pixelvae_bits", of=bits_by_means)
TOTAL = "nats.sum() / (D * math.log(2))"
slip("bits_in_nats", TOTAL, "nats.sum() / D", loses={"total"})
slip("bits_times_log_two", TOTAL, "nats.sum() / D * math.log(2)", loses={"total"})
slip("bits_of_the_image", TOTAL, "nats.sum() / math.log(2)", loses={"total"})
slip("bits_of_the_pixels", TOTAL, "nats[0] / (D * math.log(2))", loses={"total"})
slip("bits_of_the_elbo", TOTAL, "-nats.sum() / (D * math.log(2))", loses={"total"})
slip("bits_of_all_images", TOTAL, "len(kl) * nats.sum() / (D * math.log(2))", loses={"total"})
slip("bits_mean_over_levels", TOTAL, "nats.mean() / (D * math.log(2))", loses={"total"})
slip("bits_kl_subtracted", TOTAL, "(nats[0] - nats[1:].sum()) / (D * math.log(2))", loses={"total"})
slip("bits_of_the_first_level", TOTAL, "nats[:2].sum() / (D * math.log(2))", loses={"total"})
slip("bits_of_the_first_image", TOTAL, "(kl[0].sum() - reconstruction[0]) / (D * math.log(2))", loses={"total"})
SHARES = "nats / nats.sum()\n"
slip("bits_shares_in_nats", SHARES, "nats\n", loses={"shares"})
slip("bits_shares_in_bits", SHARES, "nats / (D * math.log(2))\n", loses={"shares"})
slip("bits_shares_by_softmax", SHARES, "nats.softmax(0)\n", loses={"shares"})
slip("bits_shares_of_kl_to_pixels", SHARES, "nats / nats[0]\n", loses={"shares"})
slip("bits_shares_levels_first", SHARES, "nats.roll(-1) / nats.sum()\n", loses={"shares"})
slip("bits_shares_turned_round", SHARES, "nats.flip(0) / nats.sum()\n", loses={"shares"})
slip(
    "bits_shares_of_the_first_image",
    SHARES,
    "torch.cat([-reconstruction[:1], kl[0]]) / (kl[0].sum() - reconstruction[0])\n",
    loses={"shares"},
)
slip("bits_shares_with_epsilon", SHARES, "nats / (nats.sum() + 1e-6)\n", loses={"shares"})
slip(
    "bits_shares_levels_in_one",
    SHARES,
    "torch.cat([nats[:1], nats[1:].mean().expand(len(nats) - 1)]) / nats.sum()\n",
    loses={"shares"},
)
slip(
    "bits_mean_of_ratios",
    SHARES,
    "(torch.cat([-reconstruction[:, None], kl], 1) / (kl.sum(1) - reconstruction)[:, None]).mean(0)\n",
    loses={"shares"},
)
slip(
    "bits_reconstruction_not_negated",
    "[-reconstruction[:, None], kl]",
    "[reconstruction[:, None], kl]",
    loses={"total", "shares"},
)
slip(
    "bits_kl_counts_only_above_zero",
    "reconstruction[:, None], kl]",
    "reconstruction[:, None], kl.clamp(min=0)]",
    loses={"total", "shares"},
)
slip("bits_of_each_image", ".mean(0)\n", "\n", ("return nats.sum() /", "return nats.sum(1) /"), loses={"shapes"})
slip("bits_without_pixels", "nats / nats.sum()\n", "(nats / nats.sum())[1:]\n", loses={"shapes"})
slip("bits_share_of_pixels", "nats / nats.sum()\n", "nats[0] / nats.sum()\n", loses={"shapes"})
slip(
    "bits_total_alone",
    "return nats.sum() / (D * math.log(2)), nats / nats.sum()",
    "return nats.sum() / (D * math.log(2))",
    loses={"shapes"},
)


# ------------------------------------------------------------------------------------------------- ais_log_weights


@bank.right("ais_log_weights")
def ais_by_pairs():
    """The chain runs to its end, and the log-likelihood there is asked for, though no weight needs it."""

    def ais_log_weights(z, betas, log_likelihood, move):
        log_w = 0.0
        present = log_likelihood(z)
        for before, beta in zip(betas[:-1], betas[1:], strict=True):
            log_w = log_w + (beta - before) * present
            z = move(z, beta)
            present = log_likelihood(z)
        return log_w

    return ais_log_weights


@bank.right("ais_log_weights")
def ais_without_the_last_move():
    def ais_log_weights(z, betas, log_likelihood, move):
        log_w = betas[1] * log_likelihood(z)
        for t in range(2, len(betas)):
            z = move(z, betas[t - 1])
            log_w = log_w + (betas[t] - betas[t - 1]) * log_likelihood(z)
        return log_w

    return ais_log_weights


@bank.right("ais_log_weights")
def ais_all_steps_at_the_end():
    import torch

    def ais_log_weights(z, betas, log_likelihood, move):
        visited = []
        for beta in betas[1:]:
            visited.append(torch.as_tensor(log_likelihood(z)))
            z = move(z, beta)
        steps = torch.tensor(betas, dtype=torch.float64).diff()
        return (steps[:, None] * torch.stack(visited)).sum(0)

    return ais_log_weights


bank.equivalent("ais_log_weights", "(betas, dtype=torch.float64)", "(betas)", "single precision is near enough")


slip = bank.slips("ais_log_weights", of=ais_without_the_last_move)
slip("ais_weight_negative", "return log_w", "return -log_w", loses={"importance weight", "annealing"})
slip("ais_in_bits", "return log_w", "return log_w / 0.6931471805599453", loses={"importance weight", "annealing"})
slip("ais_weights_themselves", "return log_w", "return log_w.exp()", loses={"importance weight", "annealing"})
slip("ais_with_the_prior", "return log_w", "return log_w - (z**2).sum(1) / 2", loses={"importance weight", "annealing"})
slip("ais_normalised_weights", "return log_w", "return log_w.log_softmax(0)", loses={"importance weight", "annealing"})
slip("ais_only_the_prior", "range(2, len(betas))", "range(0)", loses={"annealing"})
slip(
    "ais_without_the_first_step",
    "log_w = betas[1] * log_likelihood(z)",
    "log_w = 0 * log_likelihood(z)",
    loses={"importance weight", "annealing"},
)
slip("ais_without_the_last_step", "range(2, len(betas))", "range(2, len(betas) - 1)", loses={"annealing"})
slip("ais_beta_of_the_step_after", "move(z, betas[t - 1])", "move(z, betas[t])", loses={"annealing"})
slip("ais_beta_of_the_step_before", "move(z, betas[t - 1])", "move(z, betas[t - 2])", loses={"annealing"})
slip("ais_moves_at_one", "move(z, betas[t - 1])", "move(z, 1.0)", loses={"annealing"})
slip("ais_never_moves", "z = move(z, betas[t - 1])", "move(z, betas[t - 1])", loses={"annealing"})
slip("ais_moves_once", "z = move(z, betas[t - 1])", "z = move(z, betas[t - 1]) if t == 2 else z", loses={"annealing"})
slip(
    "ais_starts_anew",
    "z = move(z, betas[t - 1])",
    "moved = move(z, betas[t - 1])",
    (
        "log_w + (betas[t] - betas[t - 1]) * log_likelihood(z)",
        "log_w + (betas[t] - betas[t - 1]) * log_likelihood(moved)",
    ),
    loses={"annealing"},
)
slip("ais_beta_for_its_step", "(betas[t] - betas[t - 1])", "betas[t]", loses={"annealing"})
slip(
    "ais_steps_of_equal_size",
    "(betas[t] - betas[t - 1])",
    "1 / (len(betas) - 1)",
    ("log_w = betas[1] *", "log_w = 1 / (len(betas) - 1) *"),
    loses={"annealing"},
)
slip(
    "ais_last_only",
    "log_w = log_w + (betas[t] - betas[t - 1]) * log_likelihood(z)",
    "log_w = log_likelihood(z)",
    loses={"annealing"},
)
slip("ais_mean_of_steps", "return log_w", "return log_w / (len(betas) - 1)", loses={"annealing"})
slip(
    "ais_clamped_likelihoods",
    "* log_likelihood(z)\n    return",
    "* log_likelihood(z).clamp(min=-1e4)\n    return",
    loses={"annealing"},
)
slip("ais_minus_infinity_cleaned", "return log_w", "return log_w.nan_to_num(neginf=-1e30)", loses={"importance weight"})
slip("ais_mean_weight", "return log_w", "return log_w.mean()", loses={"shape"})
slip("ais_column", "return log_w", "return log_w[:, None]", loses={"shape"})
slip("ais_row_by_row", "move(z, betas[t - 1])", "move(z[:1], betas[t - 1])", loses={"annealing"})
slip(
    "ais_asks_twice",
    "* log_likelihood(z)\n    return",
    "* (log_likelihood(z) + log_likelihood(z)) / 2\n    return",
    loses={"annealing"},
)
slip(
    "ais_asks_twice_from_the_start",
    "log_w = betas[1] * log_likelihood(z)",
    "log_w = betas[1] * (log_likelihood(z) + log_likelihood(z)) / 2",
    (
        "(betas[t] - betas[t - 1]) * log_likelihood(z)",
        "(betas[t] - betas[t - 1]) * (log_likelihood(z) + log_likelihood(z)) / 2",
    ),
    loses={"annealing"},
)
slip(
    "ais_moves_twice",
    "z = move(z, betas[t - 1])",
    "move(z, 1.0)\n        z = move(z, betas[t - 1])",
    loses={"annealing"},
)


@bank.wrong("ais_log_weights", loses={"importance weight"})
def ais_by_densities():
    """-inf minus -inf, and 0 times -inf, where the log-likelihood is -inf."""

    def ais_log_weights(z, betas, log_likelihood, move):
        log_w = 0.0
        for before, beta in zip(betas[:-1], betas[1:], strict=True):
            present = log_likelihood(z)
            log_w = log_w + beta * present - before * present
            z = move(z, beta)
        return log_w

    return ais_log_weights


@bank.wrong("ais_log_weights", loses={"annealing"})
def ais_moves_first():
    """The weight of a step is taken after its move."""

    def ais_log_weights(z, betas, log_likelihood, move):
        log_w = 0.0
        for before, beta in zip(betas[:-1], betas[1:], strict=True):
            z = move(z, beta)
            log_w = log_w + (beta - before) * log_likelihood(z)
        return log_w

    return ais_log_weights
