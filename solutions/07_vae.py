# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 07 · The VAE: images with unseen causes
#
# **The question of this lesson.** A picture is explained by a few causes that nobody sees. How can a model with unseen
# causes be trained, if its likelihood is an integral that nobody can compute?
#
# An autoregressive model explains each pixel by earlier pixels. A **latent-variable model** explains all pixels at once
# by a few numbers that are not in the image: which digit, how slanted, how bold. The **variational autoencoder** (VAE;
# Kingma and Welling, 2014; Rezende, Mohamed and Wierstra, 2014) trains such a model, with neural networks in it.
#
# **After the core path you can**
#
# * say why neither averaging nor Bayes' rule gives the likelihood;
# * derive the evidence lower bound in two ways, and say how loose it is;
# * let gradients pass through a random draw;
# * write a VAE, train it, and compare its *bound* with *exact* likelihoods without fooling yourself.
#
# **Builds on** lessons 01 and 02 (NLL, KL divergence, Gaussians). No exercise needs your answers from there. Numbers in
# the text are for `COURSE_BUDGET=cpu`, the default.
#
# | symbol | meaning |
# | --- | --- |
# | $x$, $D$; $z$, $L$ | an image of $D$ pixels; its **latent variables**, $L$ real numbers |
# | $p(z)$, $p(x \mid z)$ | **prior**, here always $N(0, I)$; what the **decoder** gives |
# | $p(z \mid x)$, $q(z \mid x)$ | the model's **posterior**; an approximation, from the **encoder** |
# | $m$, $\Sigma$, $\sigma^2$ | mean and covariance of $q$; the vector of variances, if $\Sigma$ is diagonal |
# | $W$, $\mu$, $s^2$ | weights, offset and noise variance of the linear-Gaussian model |
# | $\mathcal{L}(x)$ | the evidence lower bound, ELBO, in nats |
# | $e$, $u$, $k$ | standard normal noise; uniform noise; number of draws of $z$ |

# %% setup=true
import math

import torch

# %% tags=["demo"] folded="Imports; loads the digits, binary and with grey levels made continuous."
import copy

import matplotlib.pyplot as plt
import numpy as np

from autograder.checks import vae as checks
from course_lib import budget, data, metrics, plots, pretrained
from course_lib.clinic import vae_clinic
from course_lib.experiments import latent_sizes, pixel_vae, plane, posteriors
from course_lib.figures import vae as figures
from course_lib.models import VAE, Autoencoder, CategoricalVAE, ConditionalVAE, LadderVAE, ProbabilisticPCA
from course_lib.models.latent import DiagonalGaussian
from course_lib.notebook import guess, outcome, waits_for
from course_lib.training import fit, fit_steps

torch.set_num_threads(1)  # the models are so small that more threads would wait for one another
binary, real = data.digits("binary").flatten(), data.digits("real").flatten()
test, labels = binary.test.x, binary.test.y


def seeded(seed=0):
    """A generator of random numbers that is the same each time."""
    return torch.Generator().manual_seed(seed)


print(f"{binary.name}: {len(binary.train)} to train on, {len(binary.valid)} to validate, {len(test)} to test")

# %% [markdown]
# ## 1 · Few causes, many pixels
#
# There are $2^{64}$ binary images of 8 × 8 pixels. Those that a pen makes are few, and vary in few ways: digits lie
# near a curved surface of few dimensions (lesson 01; the **manifold hypothesis**). An **autoencoder** looks for
# coordinates on it. An encoder $f$ and a decoder $g$ minimise $|x - g(f(x))|^2$; since the code $z = f(x)$ has fewer
# numbers than $x$, a smooth $f$ cannot simply copy.

# %% tags=["demo"]
plots.show(figures.autoencoder())

# %% [markdown]
# Is it a generative model? A code to decode has to come from somewhere, so draw it from a normal distribution with the
# mean and covariance of the training codes.

# %% tags=["train", "picture"] folded="Trains an autoencoder with two codes; draws its codes, and decodes normal draws."
torch.manual_seed(0)
planar = Autoencoder((64,), 2, 2, [100])
fit(planar, binary, epochs=budget(smoke=1, cpu=40, gpu=100), batch_size=64, lr=5e-3)
with torch.no_grad():
    of_train, of_test = planar.encode(binary.train.x), planar.encode(test)
    moments = torch.distributions.MultivariateNormal(of_train.mean(0), torch.cov(of_train.T))
    torch.manual_seed(1)
    drawn = moments.sample((32,))
    plots.show(figures.codes(of_test, labels, drawn, planar.decode(drawn)))

# %% [markdown]
# Many draws land in gaps, or beyond the codes. The decoder was never trained there, and gives blends of several digits:
# nothing in the loss says how codes should be distributed. Nor is $g(z)$ a distribution over images: squared error has
# no likelihood (section 7 mends this). Codes are useful features (*Going further*), but no model of $p(x)$.
#
# ## 2 · Unseen causes, and an integral
#
# So let us say where codes come from. A latent-variable model draws $z$ first, and then all pixels, independent *given*
# $z$:
#
# $$z \sim p(z) = N(0, I), \qquad x \sim p(x \mid z), \qquad p(x) = \int p(x \mid z)\, p(z)\, dz .$$
#
# The decoder, any network, gives the parameters of $p(x \mid z)$. Drawing takes one pass for all pixels, not $D$. But
# the NLL needs $p(x)$, and there are three obvious ways to it:
#
# * **Add up a grid.** With 100 points per dimension that is $100^L$ decoder passes: a million for $L = 3$.
# * **Average over the prior.** $p(x) = \mathbb{E}_{p(z)}[p(x \mid z)]$, so the mean over draws $z_1, \dots, z_k$ from
#   $p(z)$ is unbiased. But hardly any of them explains *this* image, so it is mostly too low.
# * **Try Bayes' rule.** $p(x) = p(x \mid z)\, p(z) / p(z \mid x)$, for any single $z$. But
#   $p(z \mid x) = p(x \mid z)\, p(z) / p(x)$ needs the number that we look for.
#
# How bad is the average? In the model of section 3 $p(x)$ is known. Fit to the grey digits with 20 latent variables,
# how far below the true $\log p(x)$ is the average over 10,000 draws, in nats?

# %% tags=["demo"]
guess("nats below log p(x), 20 latents, 10,000 draws", ...)

# %% tags=["demo"] folded="Averages p(x | z) over draws from the prior, for several numbers of latent variables."
draws, short = [10, 100, 1000, 10_000], {}
some, generator = real.test.x[:100].double(), seeded()
for L in (2, 5, 10, 20):
    pca = ProbabilisticPCA.of(real.train.x, L)
    z = torch.randn(draws[-1], L, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        distance = torch.cdist(some - pca.mu, z @ pca.W.T).square()
        log_p = -0.5 * (distance / pca.variance + 64 * torch.log(2 * math.pi * pca.variance))
        below = [pca.log_prob(some) - log_p[:, :k].logsumexp(1) + math.log(k) for k in draws]
    short[f"{L} latents"] = [float(each.mean()) for each in below]
plots.show(figures.draws_needed(draws, short))
outcome("nats below log p(x), 20 latents, 10,000 draws", short["20 latents"][-1])

# %% [markdown]
# With two latent variables the average works. With 20, not one of 10,000 draws comes near. The gradient of the
# likelihood meets the same obstacle:
#
# $$\nabla \log p(x) = \frac{\int \nabla p(x, z)\, dz}{p(x)} = \int \frac{p(x, z)}{p(x)} \nabla \log p(x, z)\, dz = \mathbb{E}_{p(z \mid x)}[\nabla \log p(x, z)] .$$
#
# Everything waits for the posterior, the causes that explain this image.
#
# ## 3 · The model that can be solved
#
# With a linear decoder, $p(x \mid z) = N(Wz + \mu,\, s^2 I)$, nothing has to wait. This is **probabilistic PCA**
# (Tipping and Bishop, 1999). In
#
# $$\log p(x, z) = -\frac{|x - \mu - Wz|^2}{2 s^2} - \frac{|z|^2}{2} + \text{const}$$
#
# $z$ occurs in a quadratic term, $-\frac12 z^\top (I + W^\top W / s^2)\, z$, and a linear one,
# $z^\top W^\top (x - \mu) / s^2$. So the posterior is Gaussian, and comparing with
# $-\frac12 (z - m)^\top \Sigma^{-1} (z - m)$,
#
# $$p(z \mid x) = N(m, \Sigma), \qquad \Sigma^{-1} = I + \frac{W^\top W}{s^2}, \qquad m = \Sigma\, \frac{W^\top (x - \mu)}{s^2} .$$
#
# $\Sigma$ is the same for all $x$. $\log p(x)$ follows from Bayes' rule at any $z$, or directly: $Wz + \mu$ plus noise
# is Gaussian, $p(x) = N(\mu,\, W W^\top + s^2 I)$.
#
# ### Exercise 1 · `latent_posterior`


# %% exercise="latent_posterior"
def latent_posterior(x, W, mu, variance):
    """The linear-Gaussian model, solved exactly: p(z | x) and log p(x).

    p(z) = N(0, I) and p(x | z) = N(W z + mu, variance I).

    Args:
        x: (n, D) float64 tensor.
        W: (D, L) float64; L may be smaller than D, equal or larger.
        mu: (D,) float64.
        variance: a float, from 1e-4 to 1e4.

    Returns:
        A tuple: the mean (n, L) of p(z | x); its covariance (L, L), the same for every x; log p(x), (n,), in nats.
    """
    ### BEGIN SOLUTION
    D, L = W.shape
    covariance = torch.linalg.inv(torch.eye(L, dtype=W.dtype) + W.T @ W / variance)
    mean = (x - mu) @ W @ covariance / variance
    of_x = W @ W.T + variance * torch.eye(D, dtype=W.dtype)
    return mean, covariance, torch.distributions.MultivariateNormal(mu, of_x).log_prob(x)
    ### END SOLUTION


# %% check="latent_posterior"

# %% tags=["demo"] folded="Bayes' rule for one digit at three values of z: with your posterior, and with the prior in its place."
with waits_for("latent_posterior"):
    pca = ProbabilisticPCA.of(real.train.x, 5)
    W, mu, variance = pca.W.detach(), pca.mu.detach(), pca.variance.item()
    m, S, log_p = (torch.as_tensor(each) for each in latent_posterior(some[:1], W, mu, variance))
    normal, z = torch.distributions.MultivariateNormal, torch.randn(3, 5, dtype=torch.float64, generator=seeded())
    prior = normal(torch.zeros_like(m[0]), torch.eye(5, dtype=torch.float64))
    joint = normal(mu, variance * torch.eye(64, dtype=torch.float64)).log_prob(some[:1] - z @ W.T) + prior.log_prob(z)
    print(f"log p(x)                     {log_p.item():.3f}")
    print("log p(x, z) - log p(z | x)  ", *(f"{value:.3f}" for value in joint - normal(m[0], S).log_prob(z)))
    print("log p(x, z) - log p(z)      ", *(f"{value:.3f}" for value in joint - prior.log_prob(z)))

# %% [markdown]
# With the posterior, *every* $z$ gives $\log p(x)$. With another distribution in its place, the number depends on $z$.
# What, then, if we use the wrong one on purpose?
#
# ## 4 · The evidence lower bound
#
# Let $q(z \mid x)$ be any density that is positive everywhere.
#
# **By Jensen.** Multiply and divide by $q$. The logarithm is concave, so the log of a mean is at least the mean of the
# logs:
#
# $$\log p(x) = \log \mathbb{E}_q\!\left[\frac{p(x, z)}{q(z \mid x)}\right] \;\ge\; \mathbb{E}_q\!\left[\log \frac{p(x, z)}{q(z \mid x)}\right] = \mathcal{L}(x) .$$
#
# **By Bayes.** For every $z$, add and subtract $\log q$ in Bayes' rule, then take the mean under $q$:
#
# $$\log p(x) = \log \frac{p(x, z)}{q(z \mid x)} + \log \frac{q(z \mid x)}{p(z \mid x)}, \qquad \log p(x) = \mathcal{L}(x) + \operatorname{KL}\big(q(z \mid x) \,\|\, p(z \mid x)\big) .$$
#
# The second derivation says more: what the bound lacks *is* a KL divergence, from $q$ to the true posterior. It is 0 if
# and only if $q$ is the posterior. To raise $\mathcal{L}$ by changing $q$ is to bring $q$ closer to the posterior; to
# raise it by changing the model is to raise $\log p(x)$, or to make the posterior easier to match. With
# $p(x, z) = p(x \mid z)\, p(z)$,
#
# $$\mathcal{L}(x) = \underbrace{\mathbb{E}_q[\log p(x \mid z)]}_{\text{reconstruction}} - \underbrace{\operatorname{KL}\big(q(z \mid x) \,\|\, p(z)\big)}_{\text{price of } z} ,$$
#
# and no term needs $p(z \mid x)$ or an integral over the prior.
#
# **KL of Gaussians.** For $q = N(m, \Sigma)$ and $p(z) = N(0, I)$: under $q$,
# $\mathbb{E}[(z - m)^\top \Sigma^{-1} (z - m)] = L$ and $\mathbb{E}|z|^2 = |m|^2 + \operatorname{tr} \Sigma$. So
#
# $$\mathbb{E}_q[\log q] = -\tfrac12 \big(L \log 2\pi + \log \det \Sigma + L\big), \qquad \mathbb{E}_q[\log p(z)] = -\tfrac12 \big(L \log 2\pi + |m|^2 + \operatorname{tr} \Sigma\big),$$
#
# $$\operatorname{KL} = \tfrac12 \big(\operatorname{tr} \Sigma + |m|^2 - L - \log \det \Sigma\big) .$$
#
# A **full** $\Sigma$ has $L(L+1)/2$ numbers; a **diagonal** one $L$, and KL is
# $\frac12 \sum_l (\sigma_l^2 + m_l^2 - 1 - \log \sigma_l^2)$; an **isotropic** one, $\sigma^2 I$, has a single number.
#
# ### Exercise 2 · `gaussian_kl`


# %% exercise="gaussian_kl"
def gaussian_kl(mean, covariance):
    """KL(N(mean, covariance) || N(0, I)) of each row, in nats.

    Args:
        mean: (n, L) float64 tensor.
        covariance: (n, L) positive variances of diagonal Gaussians, from 1e-100 to 1e100; or (n, L, L) symmetric
            positive definite matrices, whose determinants may be too small or too large for a float64.

    Returns:
        (n,), through which gradients flow to mean and covariance.
    """
    ### BEGIN SOLUTION
    if covariance.ndim == 2:
        trace, log_det = covariance.sum(1), covariance.log().sum(1)
    else:
        trace, log_det = covariance.diagonal(dim1=1, dim2=2).sum(1), torch.logdet(covariance)
    return 0.5 * (trace + mean.square().sum(1) - mean.shape[1] - log_det)
    ### END SOLUTION


# %% check="gaussian_kl"

# %% [markdown]
# ### On paper
#
# The posterior is $N(m, P^{-1})$ with precision matrix $P$. (a) Find the diagonal $q$ of the smallest
# $\operatorname{KL}(q \,\|\, N(m, P^{-1}))$, and that divergence. (b) What is it for $L = 2$ and correlation $\rho$,
# whatever the variances are?
# (c) For which $W$ does a diagonal $q$ lose nothing in the linear-Gaussian model?
#
# <details>
# <summary><b>Solution</b> (open it when you have written down yours)</summary>
#
# (a) As for the KL divergence above, with $q = N(m', \Sigma)$,
# $\operatorname{KL} = \frac12 (\operatorname{tr} P \Sigma + (m' - m)^\top P (m' - m) - L - \log \det \Sigma - \log
# \det P)$.
# So $m' = m$; and with $\Sigma = \operatorname{diag}(\sigma_l^2)$ the derivative with respect to $\sigma_l^2$,
# $\frac12 (P_{ll} - 1/\sigma_l^2)$, is 0 for $\sigma_l^2 = 1/P_{ll}$. What remains is
# $\frac12 (\sum_l \log P_{ll} - \log \det P)$. (b) With unit variances (scaling $z_l$ changes no KL)
# $P_{ll} = 1/(1 - \rho^2)$ and $\det P = 1/(1 - \rho^2)$, so the gap is $-\frac12 \log(1 - \rho^2)$: 0.83 nats for
# $\rho = 0.9$. (c) If $P = I + W^\top W / s^2$ is diagonal: if the columns of $W$ are orthogonal. Probabilistic PCA can
# always choose them so, since a rotation of $z$ changes neither $p(z)$ nor $p(x)$.
# </details>
#
# **The gap, seen.** Take a posterior of two latent variables whose correlation is 0.9. How many nats does the best
# *diagonal* $q$ lose?

# %% tags=["demo"]
guess("gap of the best diagonal q, in nats", ...)

# %% tags=["demo"] folded="The true posterior, the best q of three families, and the ELBO as a diagonal q gets wider."
covariance = torch.tensor([[1.0, 0.45], [0.45, 0.25]], dtype=torch.float64)
precision = torch.linalg.inv(covariance)
plots.show(figures.posteriors(precision))
outcome("gap of the best diagonal q, in nats", 0.5 * float(precision.diagonal().log().sum() - torch.logdet(precision)))

# %% [markdown]
# The best diagonal $q$ is too narrow, not too wide: $\operatorname{KL}(q \,\|\, p)$ punishes $q$ wherever the posterior
# is improbable (lesson 01).
#
# ## 5 · One encoder for all images, and gradients through a draw
#
# One could now maximise $\mathcal{L}(x)$ over $m$ and $\sigma$ for each image: $2L$ numbers per image, and a search for
# each new one. **Amortized inference** trains a network, the encoder, that maps any $x$ to $m$ and $\sigma$. That takes
# one pass; the price is a $q$ that cannot be better than the one found by search (the **amortization gap**, measured in
# *Going further*).
#
# One obstacle is left. $\mathbb{E}_q[\log p(x \mid z)]$ depends on the encoder *through the distribution of the draws*,
# and a drawn number has no gradient. So write the draw as a function of the parameters and of noise that does not
# depend on them, the **reparameterization**:
#
# $$z = m + \sigma \odot e, \quad e \sim N(0, I), \qquad \nabla\, \mathbb{E}_{q}[f(z)] = \nabla\, \mathbb{E}_{e}[f(m + \sigma \odot e)] = \mathbb{E}_{e}[\nabla f(m + \sigma \odot e)] .$$
#
# One draw per image is enough: it is unbiased. The encoder gives $\log \sigma^2$, which may be any number. Functions
# here are given their noise: uniform $u$, with $e$ its normal quantile.
#
# ### Exercise 3 · `reparameterize`


# %% exercise="reparameterize"
def reparameterize(mean, log_variance, u):
    """Draws of diagonal Gaussians as functions of their parameters and of uniform noise.

    z = mean + exp(log_variance / 2) * e, where e is the standard normal quantile of u: the number below which a
    standard normal variable lies with probability u.

    Args:
        mean, log_variance: (n, L) float64 tensors of any finite values, log_variance within -200..200.
        u: (n, L) float64, in (0, 1), at least 1e-6 from either end.

    Returns:
        z (n, L), through which gradients flow to mean and log_variance.
    """
    ### BEGIN SOLUTION
    return mean + torch.exp(log_variance / 2) * torch.special.ndtri(u)
    ### END SOLUTION


# %% check="reparameterize"

# %% [markdown]
# ## 6 · The variational autoencoder
#
# For binary pixels the decoder gives logits, and $p(x \mid z) = \prod_d p(x_d \mid z)$ with $p(x_d = 1 \mid z) =
# \operatorname{sigmoid}(\text{logit}_d)$.

# %% tags=["demo"]
plots.show(figures.architecture())

# %% [markdown]
# It looks like an autoencoder, with three differences, each of them derived: the reconstruction is a log-likelihood,
# the code is noisy, and KL keeps codes near the prior, from which samples will be drawn. The KL divergence can also be
# estimated from the draw itself, $\log q(z \mid x) - \log p(z)$, for every $q$ with a density.
#
# ### Exercise 4 · `elbo_terms`


# %% exercise="elbo_terms"
def elbo_terms(x, z, mean, log_variance, logits):
    """The terms of the ELBO of a VAE of binary images, from one draw of z for each image, in nats.

    q(z | x) = N(mean, diag(exp(log_variance))), p(z) = N(0, I), and p(x | z) has independent pixels with
    p(x_d = 1 | z) = sigmoid(logits_d). The ELBO is the first term minus the second, or the first minus the third.

    Args:
        x: (n, D) int64 tensor of 0 and 1.
        z: (n, L) float64, a draw from q(z | x).
        mean, log_variance: (n, L) float64; log_variance within -200..200.
        logits: (n, D) float64, what the decoder gives for z; of any finite size: 1000 occurs.

    Returns:
        A tuple of three (n,) tensors, through which gradients flow to all float arguments:
        log p(x | z); KL(q(z | x) || p(z)) in closed form; its estimate log q(z | x) - log p(z) from the draw.
    """
    ### BEGIN SOLUTION
    reconstruction = torch.nn.functional.logsigmoid((2 * x - 1) * logits).sum(1)
    kl = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(1)
    e = (z - mean) * torch.exp(-log_variance / 2)
    sampled = 0.5 * (z.square() - e.square() - log_variance).sum(1)
    return reconstruction, kl, sampled
    ### END SOLUTION


# %% check="elbo_terms"

# %% [markdown]
# ## 7 · Digits: a bound beside exact numbers
#
# Two VAEs of the binary digits, with 2 and with 10 latent variables, and two hidden layers of 200 units in each
# network. NADE (lesson 02) reaches 16.9 nats, independent pixels 25.2. Where will the larger VAE's negative ELBO be?

# %% tags=["demo"]
guess("test -ELBO with 10 latents, in nats", ...)

# %% tags=["train"]
vaes, histories = {}, {}
for L in (2, 10):
    torch.manual_seed(0)
    vaes[L] = VAE((64,), levels=2, latents=L, hidden=[200, 200])
    histories[L] = fit(vaes[L], binary, epochs=budget(smoke=1, cpu=60, gpu=200), batch_size=64, lr=2e-3)

# %% tags=["demo"] folded="Draws the ELBO's two terms over training, and measures the bounds on the test digits."
importance_draws = budget(smoke=50, cpu=1000, gpu=1000)
measured = {L: latent_sizes.measure(model, importance_draws) for L, model in vaes.items()}
alt = "On validation images over 60 epochs, the reconstruction's cost falls from 26 to 12 nats, while KL rises from 0 to more than 5."
plots.show(plots.elbo_terms(histories[10]), alt=alt)
outcome("test -ELBO with 10 latents, in nats", measured[10].elbo)
print(f"of which KL: {measured[10].kl:.1f} nats")

# %% [markdown]
# At the start the decoder ignores $z$, KL is near 0, and the model is one of independent pixels. Then $z$ pays: for the
# 5.4 nats of KL at the end, enough to tell at most $e^{5.4} \approx 220$ images apart, reconstruction improves by
# more than that. Which form of KL gives the less noisy ELBO?

# %% tags=["demo"]
guess("less noisy", ..., choices=["closed form", "from the draw"])

# %% tags=["demo"] folded="Your function, on 100 draws per digit: means of both ELBOs, and standard deviations over draws."
with waits_for("elbo_terms"), torch.no_grad():
    mean, log_variance = (each.double() for each in vaes[10].encode(test))
    forms = {"closed form": [], "from the draw": []}
    for _ in range(100):
        z = mean + torch.exp(log_variance / 2) * torch.randn(mean.shape, dtype=torch.float64, generator=generator)
        logits = vaes[10].decode(z.float()).double()
        given_z, *kls = elbo_terms(test.long(), z, mean, log_variance, logits)
        for values, kl in zip(forms.values(), kls, strict=True):
            values.append(torch.as_tensor(given_z - kl))
    spreads = {name: float(torch.stack(values).std(0).mean()) for name, values in forms.items()}
    for name, values in forms.items():
        print(f"{name:14} mean {float(torch.stack(values).mean()):.2f}, standard deviation {spreads[name]:.2f} nats")
    outcome("less noisy", min(spreads, key=spreads.get))

# %% [markdown]
# The estimate is: the nearer $q$ is to the posterior, the less $\log p(x, z) - \log q(z \mid x)$ depends on $z$
# (section 3).
#
# With two latent variables we can look at all of it: the means of $q(z \mid x)$ for the test digits, and what the
# decoder makes of each point of the plane.

# %% tags=["demo"] folded="Draws the latent plane: where the test digits lie, and what each point decodes to."
alt = "Nearly all codes lie within the circle that holds 95 % of N(0, I), in one to three clumps for each digit."
plots.show(plots.latent_plane(vaes[2].encode(test).mean.detach(), labels), alt=alt)
alt = "A map of decoded digits: neighbours are alike, and between two kinds of digit lie blends of both."
plots.show(plots.decoded_plane(vaes[2]), alt=alt)

# %% [markdown]
# Compare with section 1: the codes lie where $N(0, I)$ has its mass, and similar digits are neighbours.
#
# **In nats, beside earlier lessons.** Their numbers (from 01 and 02, and the table in 04) are exact; an ELBO is a
# bound. With two latent variables a grid gives the exact NLL. With ten, the **importance-weighted bound** (*Going
# further*) of 1,000 draws is tighter than the ELBO.

# %% tags=["demo"] folded="Draws the costs of VAEs, bounds and exact values, beside those of earlier lessons."
exact = -float(metrics.log_probs_by_integration(vaes[2], test, reach=6, points=161).mean())
plots.show(
    figures.nats(
        {
            "independent pixels (01)": (25.2, "exact"),
            "VAE, 2 latents: -ELBO": (measured[2].elbo, "bound"),
            "VAE, 2 latents: integrated": (exact, "exact"),
            "FVBN (01)": (18.5, "exact"),
            "VAE, 10 latents: -ELBO": (measured[10].elbo, "bound"),
            "VAE, 10 latents: importance-weighted": (measured[10].iwae, "bound"),
            "PixelCNN (04)": (17.4, "exact"),
            "MADE (03)": (17.1, "exact"),
            "gated PixelCNN (04)": (17.0, "exact"),
            "NADE (02)": (16.9, "exact"),
        }
    )
)

# %% [markdown]
# Read it with care. The VAE's NLL is *at most* 17.5 nats; from this alone one cannot say that PixelCNN's 17.4 is
# better. For the small VAE the truth is known: its ELBO lacks 1.2 nats. A better ELBO may mean a better model or a
# better $q$.

# %% tags=["demo"] folded="Decodes draws from the prior: probabilities, and images drawn from them."
z = torch.randn(10, 10, generator=seeded())
with torch.no_grad():
    means = vaes[10].mean(z)
plots.show(figures.means_and_samples(means, (torch.rand(means.shape, generator=seeded()) < means).long()))

# %% [markdown]
# **Where samples blur.** Given $z$, pixels are independent. Whatever $z$ does not say about a border is drawn pixel by
# pixel, as ragged ink; papers often show the probabilities instead, where the same doubt looks like blur.
#
# **Gaussian likelihood and squared error.** For real $x$ and $p(x \mid z) = N(g(z), s^2 I)$,
#
# $$-\log p(x \mid z) = \frac{|x - g(z)|^2}{2 s^2} + \frac D2 \log(2 \pi s^2) .$$
#
# With $s$ *fixed*, minimising this is minimising squared error, whatever $s$ is, *in an autoencoder*. In the ELBO $s^2$
# weighs it against KL, so "squared error plus KL" claims $s^2 = 1/2$, and a mean over pixels instead of a sum claims
# $D/2$. Whether any $z$ pays depends on it (*Going further*).
#
# ## 8 · Bug clinic
#
# Six patients, all meant to be VAEs of the toy distribution with two latent variables; one is healthy. You see the NLL
# that each *reports*, minus the log of the mean weight $p(x, z)/q(z \mid x)$ of 50 draws; its exact NLL, integrated
# over $z$; and samples. With right weights the report lies above the exact NLL, but for noise. The images have
# 16 pixels; the entropy is 4.97 nats.

# %% tags=["train"]
clinic = vae_clinic()
clinic.show()

# %% tags=["demo"]
clinic.choices()

# %% tags=["demo"]
clinic.diagnose("A", symptom=..., line=...)  # a line's number, or None
clinic.diagnose("B", symptom=..., line=...)
clinic.diagnose("C", symptom=..., line=...)
clinic.diagnose("D", symptom=..., line=...)
clinic.diagnose("E", symptom=..., line=...)
clinic.diagnose("F", symptom=..., line=...)

# %% [markdown]
# ## 9 · Your own VAE
#
# Assemble the pieces; nothing depends on your earlier answers. The check gives the model weights and judges it
# untrained.
#
# ### Exercise 5 · `OwnVAE`


# %% exercise="OwnVAE"
class OwnVAE(torch.nn.Module):
    """A variational autoencoder of binary images (n, D).

    Args of `__init__`:
        D: number of pixels.
        hidden: number of hidden units h of either network.
        latents: number of latent variables L.

    Parameters, all of `torch.nn.Linear` with biases:
        encoder: from D to h. mean: from h to L. log_variance: from h to L.
        decoder: from L to h. output: from h to D.

    z and u have the dtype of the parameters.

    encode(x): x (n, D) int64 of 0 and 1 -> (mean, log_variance) of q(z | x), each (n, L): the layers `mean` and
        `log_variance` of tanh(encoder(x)).
    decode(z): z (n, L) -> (n, D), the logits of p(x_d = 1 | z): output(tanh(decoder(z))).
    elbo(x, u): u (n, L) in (0, 1), uniform noise -> (n,), an estimate of the ELBO of each image in nats from one draw
        z = mean + exp(log_variance / 2) * (standard normal quantile of u), with the KL divergence in closed form.
    sample(u): u (n, L + D) in (0, 1) -> (n, D) int64: z is the standard normal quantile of the first L numbers, and
        x_d = 1 where u_{L+d} >= 1 - p(x_d = 1 | z).
    """

    def __init__(self, D, hidden, latents):
        super().__init__()
        ### BEGIN SOLUTION
        self.encoder, self.decoder = torch.nn.Linear(D, hidden), torch.nn.Linear(latents, hidden)
        self.mean, self.log_variance = torch.nn.Linear(hidden, latents), torch.nn.Linear(hidden, latents)
        self.output = torch.nn.Linear(hidden, D)
        ### END SOLUTION

    def encode(self, x):
        ### BEGIN SOLUTION
        h = torch.tanh(self.encoder(x.to(self.output.weight.dtype)))
        return self.mean(h), self.log_variance(h)
        ### END SOLUTION

    def decode(self, z):
        ### BEGIN SOLUTION
        return self.output(torch.tanh(self.decoder(z)))
        ### END SOLUTION

    def elbo(self, x, u):
        ### BEGIN SOLUTION
        mean, log_variance = self.encode(x)
        z = mean + torch.exp(log_variance / 2) * torch.special.ndtri(u)
        given_z = torch.nn.functional.logsigmoid((2 * x - 1) * self.decode(z)).sum(1)
        return given_z - 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(1)
        ### END SOLUTION

    def sample(self, u):
        ### BEGIN SOLUTION
        L = self.decoder.in_features
        with torch.no_grad():
            p = torch.sigmoid(self.decode(torch.special.ndtri(u[:, :L])))
        return (u[:, L:] >= 1 - p).long()
        ### END SOLUTION


# %% check="OwnVAE"

# %% [markdown]
# **The training loop.** For each step: draw 100 of the images at random, compute their mean ELBO with fresh uniform
# noise, and let Adam (learning rate 0.01) take a step that raises it. Keep the noise off 0 and 1, whose quantiles are
# infinite.


# %% loop="train_own"
def train_own(model, x, steps):
    """Train a model with `elbo(x, u)` on images x (n, D), in place, for so many steps."""
    ### BEGIN SOLUTION
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        i = torch.randint(len(x), (100,))
        u = torch.rand(100, model.mean.out_features).clamp(1e-6, 1 - 1e-6)
        loss = -model.elbo(x[i], u).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    ### END SOLUTION


# %% tags=["train"] folded="Trains your VAE on the toy distribution with your loop, measures its ELBO, and draws samples."
with waits_for("OwnVAE", "train_own"):
    world = data.tiny_world()
    torch.manual_seed(0)
    own = OwnVAE(16, 100, 4)
    train_own(own, world.sample(20_000, generator=seeded()), steps=budget(smoke=2, cpu=1000, gpu=5000))
    x = world.sample(2000, generator=seeded(1))
    with torch.no_grad():
        noise = torch.rand(10, len(x), 4, generator=seeded()).clamp(1e-6, 1 - 1e-6)
        cost = -float(torch.stack([torch.as_tensor(own.elbo(x, u)).mean() for u in noise]).mean())
    print(f"yours: {cost:.2f} nats (aim: below 7.2; the solution: about 6.4; the entropy: {world.entropy:.2f})")
    uniforms = torch.rand(24, 20, generator=seeded()).clamp(1e-6, 1 - 1e-6)
    alt = "24 samples: mostly glyphs of the toy distribution, some of them broken or blended."
    plots.show(plots.image_grid(torch.as_tensor(own.sample(uniforms)), columns=12), alt=alt)

# %% [markdown]
# The gap to the entropy has two parts: the model's KL divergence from the truth, and that from $q$ to the posterior.
#
# ## 10 · The answer, and what a VAE cannot do
#
# **How can it be trained?** Not by the likelihood, but by a lower bound that needs no integral: $\mathcal{L}$, whose
# gap is KL from $q$ to the true posterior. An encoder gives $q$ for all images at once, and reparameterized noise lets
# gradients through the draw.
#
# What remains:
#
# * **It is a bound.** How far below the truth? *Going further* comes close.
# * **Independent pixels given $z$.** What $z$ does not say is drawn as noise, or looks blurred.
# * **$z$ must pay.** A variable that saves less than it costs is switched off: **posterior collapse**. A decoder as
#   strong as PixelCNN needs no $z$ at all (PixelVAE, below). Lesson 08 makes codes discrete, and leaves details to an
#   autoregressive model.
#
# **Today.** Latent diffusion (Rombach et al., 2022) encodes images by an autoencoder with a small KL penalty and two
#   other losses, and models the codes by diffusion. Diffusion itself can be read as a deep VAE with a fixed encoder,
#   trained by an ELBO (Ho
# et al., 2020; Kingma et al., 2021).

# %% [markdown]
# ## Going further
# Sections may be read in any order.
#
# ### Features, and few labels
#
# With linear $f$ and $g$, the best code spans the first $L$ principal components (Baldi and Hornik, 1989). With deeper
# ones it may follow curved surfaces, and the oldest use of it is this: train on images *without* labels, throw the
# decoder away, put a linear layer and a softmax on the encoder, and train the whole on the few labels that exist. Is
# that worth more than starting from random weights? The toy distribution has eight glyphs, each at four places. 20,000
# images without labels train an autoencoder with a code of 8, and a VAE with 8 latent variables; then there are labels.
# Which start wins with 128 of them?

# %% tags=["demo"]
guess("best start with 128 labels", ..., choices=["random weights", "autoencoder", "VAE"])


# %% tags=["train"] folded="Trains autoencoder and VAE without labels, then classifiers that start from their encoders or from random weights."
def accuracy(encoder, x, y, seed):
    """Train a classifier of the glyphs from a copy of an encoder; its accuracy on the test images."""
    torch.manual_seed(seed)
    outputs = encoder(x[:1].float()).shape[1]
    classifier = torch.nn.Sequential(copy.deepcopy(encoder), torch.nn.Linear(outputs, 8))
    adam = torch.optim.Adam(classifier.parameters(), lr=2e-3)
    for _ in range(budget(smoke=1, cpu=200, gpu=500)):
        i = torch.randint(len(x), (64,))
        loss = torch.nn.functional.cross_entropy(classifier(x[i].float()), y[i])
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        return float((classifier(glyphs.test.x.float()).argmax(1) == glyphs.test.y).double().mean())


glyphs = data.tiny_world().dataset(20_000, seed=3).flatten()
torch.manual_seed(0)
starts = {"random weights": VAE((16,), 2, 8, [64, 64]), "autoencoder": Autoencoder((16,), 2, 8, [64, 64])}
starts["VAE"] = VAE((16,), 2, 8, [64, 64])
for name in ("autoencoder", "VAE"):
    fit_steps(starts[name], glyphs.train.x, steps=budget(smoke=2, cpu=1500, gpu=5000), batch_size=200, lr=5e-3)
numbers, shares = [32, 64, 128, 320], {}
for name, model in starts.items():
    shares[name] = np.zeros((len(numbers), 3))
    for row, number in enumerate(numbers):
        for seed in range(3):
            chosen = torch.randperm(len(glyphs.train), generator=seeded(seed))[:number]
            shares[name][row, seed] = accuracy(model.encoder, glyphs.train.x[chosen], glyphs.train.y[chosen], seed)
plots.show(figures.accuracies(numbers, shares))
outcome("best start with 128 labels", max(shares, key=lambda name: shares[name][2].mean()))

# %% [markdown]
# With 32 labels no start helps much: there are 32 pairs of glyph and place, and many have no label. With 128 and 320
# both encoders are ahead of random weights, the VAE's by 7 and 8 points (bars: the standard error of three draws of
# labels). This need not be so. On the 8 × 8
# digits the same experiment gains one or two points, hardly more than its error: their pixels are good features
# already. What is learnt without labels helps if the causes of the images are also those of the labels.
#
# ### Denoising
#
# A **denoising autoencoder** (Vincent et al., 2008) is given a spoiled image $\tilde x$ and has to make the clean one.
# What does it learn? The squared error's minimiser is the conditional mean: for any $g$,
# $\mathbb{E}|x - g(\tilde x)|^2 = \mathbb{E}|x - \mathbb{E}[x \mid \tilde x]|^2 + \mathbb{E}|\mathbb{E}[x \mid \tilde
# x] - g(\tilde x)|^2$,
# since given $\tilde x$ the mixed term has mean 0. So it learns the *posterior mean of the clean image*, and hence
# something about $p(x)$, and copying does not help, however wide the code. In the toy distribution Bayes' rule gives
# this mean exactly. Each pixel is flipped with probability 0.15, so the error of a spoiled image is 2.4. What is it
# after repair?

# %% tags=["demo"]
guess("squared error per image, repaired by the network", ...)

# %% tags=["train"] folded="Trains a network to undo flipped pixels of the toy distribution, and compares it with the exact posterior mean."
world, flip = data.tiny_world(), 0.15
clean = world.sample(50_000, generator=seeded())
torch.manual_seed(0)
layers = [
    torch.nn.Linear(16, 128),
    torch.nn.Tanh(),
    torch.nn.Linear(128, 128),
    torch.nn.Tanh(),
    torch.nn.Linear(128, 16),
]
denoiser = torch.nn.Sequential(*layers)
adam = torch.optim.Adam(denoiser.parameters(), lr=2e-3)
for _ in range(budget(smoke=2, cpu=1500, gpu=5000)):
    x = clean[torch.randint(len(clean), (200,))]
    spoiled = x ^ (torch.rand(x.shape) < flip).long()
    loss = (denoiser(spoiled.float()) - x).square().sum(1).mean()
    adam.zero_grad()
    loss.backward()
    adam.step()
x = world.sample(200, generator=seeded(1)).float()
spoiled = (x - (torch.rand(x.shape, generator=seeded(2)) < flip).float()).abs()
states = world.states.float()
flipped = spoiled @ (1 - states.T) + (1 - spoiled) @ states.T  # in how many pixels each state differs
log_joint = world.log_p + flipped * math.log(flip) + (16 - flipped) * math.log(1 - flip)
posterior_mean = log_joint.softmax(1) @ states.double()
with torch.no_grad():
    answers = {"spoiled": spoiled, "network": denoiser(spoiled), "posterior mean": posterior_mean}
for name, answer in answers.items():
    print(f"{name:15} squared error per image {float((answer - x).square().sum(1).mean()):.2f}")
repaired = float((answers["network"] - x).square().sum(1).mean())
outcome("squared error per image, repaired by the network", repaired)
groups = {"clean": x[:8]} | {name: answer[:8].float().clamp(0, 1) for name, answer in answers.items()}
alt = "Eight glyphs, clean; with flipped pixels; as the network repairs them; and the exact posterior means, nearly alike."
plots.show(plots.image_grid(torch.cat(list(groups.values())), columns=8, row_names=list(groups)), alt=alt)

# %% [markdown]
# The network comes within 0.12 of the posterior mean, which no network can beat. Where the clean image is uncertain,
# both are grey: a mean over what it may have been.
#
# ### Gaussian likelihood, squared error, and what $s$ hides
#
# Let $g(z)$ be the decoder's means. Summed over $n$ images, $-\log p(x \mid z)$ is
# $\frac{1}{2 s^2} \sum |x - g|^2 + \frac{nD}{2} \log (2 \pi s^2)$. Its derivative with respect to $s^2$ is 0 where
#
# $$s^2 = \frac{1}{nD} \sum |x - g|^2 ,$$
#
# the mean squared error; and there the NLL is $\frac{D}{2}(\log(2 \pi s^2) + 1)$ per image: squared error enters by its
# *logarithm*. (A network may also give $s^2$ for each pixel. Then nothing keeps it from going to 0 where pixels are
# constant, and the density to infinity; lesson 02 met this.)
#
# #### Exercise 6 · `best_variance`


# %% exercise="best_variance"
def best_variance(x, mean):
    """The variance, shared by all pixels and images, that maximises the Gaussian likelihood of x; and that likelihood.

    Args:
        x, mean: (n, D) float64 tensors that differ somewhere.

    Returns:
        A tuple: the variance, a float or a tensor without axes; the log-likelihood of each image at it, (n,), in nats.
    """
    ### BEGIN SOLUTION
    squared = (x - mean).square()
    variance = squared.mean()
    return variance, -0.5 * (squared.sum(1) / variance + x.shape[1] * torch.log(2 * math.pi * variance))
    ### END SOLUTION


# %% check="best_variance"

# %% [markdown]
# What $s^2$ decides is seen in probabilistic PCA. At its maximum of likelihood, column $l$ of $W$ has the length
# $\sqrt{\lambda_l - s^2}$, where $\lambda_l$ is the data's variance along the $l$-th principal component; with a
# *fixed* $s^2$ it is 0 wherever $\lambda_l \le s^2$. Such a $z_l$ explains less than the noise, and is not used. The
# largest $\lambda$ of the grey digits, with values in $0 \dots 1$, is 0.65. A VAE trained on "squared error / 2 + KL"
# has $s^2 = 1$. How many of its 10 latent variables will be **active**, that is, have a posterior mean that varies over
# the images, by a variance above 0.01 (Burda, Grosse and Salakhutdinov, 2016)?

# %% tags=["demo"]
guess("active latents with variance 1", ...)

# %% tags=["train"] folded="Draws the eigenvalues; trains VAEs of the grey digits with variance 1 and 0.02."
variances = [1.0, 0.02]
spectrum = torch.linalg.eigvalsh(torch.cov(real.train.x.double().T)).flip(0)
plots.show(figures.eigenvalues(spectrum, variances))
for variance in variances:
    torch.manual_seed(0)
    gaussian = VAE((64,), None, 10, [200, 200], variance=variance)
    fit(gaussian, real, epochs=budget(smoke=1, cpu=30, gpu=100), batch_size=64, lr=2e-3)
    units, error = metrics.active_units(gaussian, real.test.x), gaussian.reconstruct(real.test.x) - real.test.x
    print(f"variance {variance:g}: {units}; mean squared error {float(error.square().mean()):.3f}")
    if variance == 1:
        outcome("active latents with variance 1", int(units.active.sum()))
with waits_for("best_variance"):
    best, _ = best_variance(real.test.x.double(), gaussian.reconstruct(real.test.x).double())
    print(f"your best variance for the last model's reconstructions: {float(best):.3f}")

# %% [markdown]
# None: "VAE with MSE" gives the mean digit for all images. There is no bug to find, only the claim $s^2 = 1$. If a
# tutorial's loss works, look for the factor that it puts before KL: it is $2 s^2$ in disguise, or $2 s^2 / D$ where
# the loss is a mean over pixels.
#
# ### Grey values under a Bernoulli decoder
#
# Many programs feed grey values $x \in [0, 1]$ to the cross-entropy $-x \log p - (1 - x) \log (1 - p)$. It has no
# negative values and looks like an NLL. Which of what? Not of $x$:
#
# $$\int_0^1 p^x (1 - p)^{1 - x} dx = (1 - p) \int_0^1 e^{x \operatorname{logit}(p)} dx = \frac{2p - 1}{\operatorname{logit}(p)} , \qquad \operatorname{logit}(p) = \log \frac{p}{1 - p} .$$
#
# That is at most $\frac12$, at $p = \frac12$: no density, and for 64 pixels wrong by $64 \log 2 = 44$ nats or more.
# (Dividing by it gives the **continuous Bernoulli** of Loaiza-Ganem and Cunningham, 2019.) Nor of 16 levels: there the
# sum over $x$ is up to 8. But draw a *binary* image $\tilde x$ with $P(\tilde x_d = 1) = x_d$: the cross-entropy is the
# mean NLL of $\tilde x$. So it is a number for randomly binarized images, and its smallest value is not 0. What is it
# for the grey test digits, even with $p = x$?

# %% tags=["demo"]
guess("least cross-entropy of a grey digit, in nats", ...)

# %% tags=["demo"] folded="Draws the mass of one grey pixel, and computes the least cross-entropy of the grey digits."
p = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
mass = torch.where((p - 0.5).abs() < 1e-9, 0.5, (2 * p - 1) / torch.logit(p))
plots.show(figures.pixel_mass(p, mass))
x = data.digits("levels").test.x.flatten(1).double() / 15
outcome("least cross-entropy of a grey digit, in nats", float(-(x.xlogy(x) + (1 - x).xlogy(1 - x)).sum(1).mean()))

# %% [markdown]
# So a cross-entropy of 12.5 nats would be perfect. It must not be compared with the binary digits' 16.9, nor with
# anybody's bits per dimension.
#
# ### How many latent variables?
#
# VAEs of the binary digits with 2, 5, 10 and 20, three seeds each, made by `python -m course_lib.experiments.latent_sizes`. The
# models with 2 and 10 are those of section 7; the others are trained here for a third of the time.

# %% tags=["demo"]
guess("latent variables with the lowest bound", ..., choices=["2", "5", "10", "20"])

# %% tags=["train"] folded="Draws the table with its seeds, and samples of all four sizes."
plots.show(figures.sizes(latent_sizes.MEASURED))
lowest = min(latent_sizes.SIZES, key=lambda L: np.mean([costs.iwae for costs in latent_sizes.MEASURED[L]]))
outcome("latent variables with the lowest bound", str(lowest))
grids = {}
for L in latent_sizes.SIZES:
    model = vaes[L] if L in vaes else latent_sizes.train(L, seed=0, epochs=budget(smoke=1, cpu=20, gpu=60))
    grids[f"{L} latents"] = model.sample(16, generator=seeded())
    if L not in vaes:
        costs = latent_sizes.measure(model, importance_draws)
        print(f"{L} latents, 20 epochs: -ELBO {costs.elbo:.2f}, {costs.active} active")
alt = "Samples of VAEs with 2, 5, 10 and 20 latent variables: digits with ragged borders, many hard to read."
plots.show(plots.image_grids(grids, across=4, columns=4), alt=alt)

# %% [markdown]
# Two are too few. From 5 to 20 the importance-weighted bound rises by 0.13 nats, and KL stays between 5.2 and 6.1:
# further variables are hardly used, or share what others said before. They cost a little: each seed of 20 is worse
# than each of 5. But 5 and 10 differ by no more than their seeds. The KL term is a price per nat, so nobody has to
# choose $L$ exactly.
#
# ### Importance-weighted bounds
#
# With $w_j = p(x, z_j) / q(z_j \mid x)$ for $k$ draws from $q$, $\mathbb{E}[w_j] = \int p(x, z)\, dz = p(x)$. So the
# mean weight is an unbiased estimate of $p(x)$ for every $k$, and by Jensen
#
# $$\mathcal{L}_k(x) = \mathbb{E}\Big[\log \frac1k \sum_{j=1}^k w_j\Big] \;\le\; \log p(x), \qquad \mathcal{L}_1 = \mathcal{L} .$$
#
# **It never falls as $k$ grows** (Burda, Grosse and Salakhutdinov, 2016, Theorem 1). The mean of $k$ weights is the
# mean, over all $k$ ways to leave one out, of the means of the other $k - 1$. The log of a mean is at least the mean of
# the logs, and each of these has expectation $\mathcal{L}_{k-1}$. With bounded weights, $\mathcal{L}_k \to \log p(x)$.
# Compare section 2: the draws now come from $q$, which knows $x$. Trained with $k > 1$, the model is an **IWAE**.
#
# #### Exercise 7 · `iwae_bound`


# %% exercise="iwae_bound"
def iwae_bound(log_w):
    """The importance-weighted bound of each image: the log of its mean weight, in nats.

    Args:
        log_w: (k, n) float64 tensor, log p(x, z) - log q(z | x) for k draws of z; of any size, also far below -745,
            and -inf where a draw is impossible.

    Returns:
        (n,); -inf where all k draws are impossible. Gradients flow to log_w.
    """
    ### BEGIN SOLUTION
    return torch.logsumexp(log_w, 0) - math.log(len(log_w))
    ### END SOLUTION


# %% check="iwae_bound"

# %% tags=["demo"] folded="Your bound for 1 to 1,000 draws, of both VAEs of section 7, and the small one's exact value."
with waits_for("iwae_bound"):
    draws, series = [1, 3, 10, 30, 100, 300, 1000], {}
    for L, model in vaes.items():
        with torch.no_grad():
            log_w = model.log_weights(test, 1000, generator=seeded()).double()
        # All groups of k among the draws, not one alone: less noise.
        series[f"{L} latents"] = [
            float(torch.stack([torch.as_tensor(iwae_bound(g)) for g in log_w.split(k) if len(g) == k]).mean())
            for k in draws
        ]
    plots.show(figures.bounds(draws, series, {"2 latents": -exact}))

# %% [markdown]
# For ten latents the bound rises by 0.9 nats, and 100 draws give nearly all of it. For two it rises by 1.0 and is
# *still* 0.2 below the exact value after 1,000: for some digits $q$ has hardly any mass where part of the posterior
# lies, and then averaging fails as in section 2. How many draws are enough depends on $q$, and the bound itself does
# not tell. (*How far is the bound from log p?* has an estimate that needs no $q$.)
#
# ### Two gradients of an expectation
#
# There is a second way to $\nabla\, \mathbb{E}_q[f(z)]$, which asks nothing of $f$, not even a derivative. Since
# $\nabla q = q\, \nabla \log q$,
#
# $$\nabla \int q(z) f(z)\, dz = \int q(z)\, \nabla \log q(z)\, f(z)\, dz = \mathbb{E}_q[f(z)\, \nabla \log q(z)] ,$$
#
# the **score-function estimate** (REINFORCE; Williams, 1992). For $N(m, \sigma^2)$ and $z = m + \sigma e$ the scores
# are $\partial_m \log q = e / \sigma$ and $\partial_\sigma \log q = (e^2 - 1) / \sigma$. The reparameterized estimates
# are $f'(z)$ and $f'(z)\, e$. Both are unbiased. Their variances are not alike.
#
# #### Exercise 8 · `gradient_estimates`


# %% exercise="gradient_estimates"
def gradient_estimates(f, slope, mean, std, e):
    """Two estimates of the gradient of E[f(z)], z ~ N(mean, std^2), from each of n draws z = mean + std * e.

    The score-function estimate multiplies f(z) with the derivative of log N(z; mean, std^2). The reparameterized one
    differentiates f(mean + std * e).

    Args:
        f, slope: functions (n,) -> (n,), f and its derivative; each is called at most once.
        mean: a float.
        std: a positive float.
        e: (n,) float64 tensor, draws of N(0, 1).

    Returns:
        A tuple of two (n, 2) tensors, the score-function estimates and the reparameterized ones. Column 0 holds the
        derivative with respect to mean, column 1 with respect to std.
    """
    ### BEGIN SOLUTION
    z = mean + std * e
    value, derivative = f(z), slope(z)
    score = torch.stack([e / std, (e.square() - 1) / std], 1)
    return value[:, None] * score, torch.stack([derivative, derivative * e], 1)
    ### END SOLUTION


# %% check="gradient_estimates"

# %% [markdown]
# Let $f(z) = -\frac12 \sum_l (z_l - 1)^2$ with $z_l \sim N(0.5, 0.5^2)$, and take the derivative with respect to the
# first mean, which is 0.5 for any $L$. For $L = 256$, how many times as large is the score-function estimate's standard
# deviation?

# %% tags=["demo"]
guess("ratio of standard deviations, 256 latents", ...)

# %% tags=["demo"] folded="Standard deviations of both estimates for 1 to 256 latent variables, by your function."
with waits_for("gradient_estimates"):
    dimensions = [1, 4, 16, 64, 256]
    deviations = {"score function": [], "reparameterized": [], "score function, with baseline": []}
    for L in dimensions:
        e = torch.randn(20_000, L, dtype=torch.float64, generator=seeded())
        others = (0.5 + 0.5 * e[:, 1:] - 1).square().sum(1)  # what the other latent variables add to f
        f, slope = lambda z, others=others: -0.5 * ((z - 1).square() + others), lambda z: 1 - z
        # The baseline is E[f], which is -L / 4.
        with_baseline, _ = gradient_estimates(lambda z, f=f, L=L: f(z) + L / 4, slope, 0.5, 0.5, e[:, 0])
        estimates = [*gradient_estimates(f, slope, 0.5, 0.5, e[:, 0]), with_baseline]
        for values, each in zip(deviations.values(), estimates, strict=True):
            values.append(float(torch.as_tensor(each)[:, 0].std()))
    plots.show(figures.gradient_noise(dimensions, deviations))
    ratio = deviations["score function"][-1] / deviations["reparameterized"][-1]
    outcome("ratio of standard deviations, 256 latents", ratio)

# %% [markdown]
# The score-function estimate multiplies by the whole of $f$. That is its mean, here $-L/4$, which says nothing about
# the gradient, and the noise of the other variables, which grows like $\sqrt L$. A **baseline**, a constant
# subtracted from $f$, removes the first without bias, since $\mathbb{E}[\nabla \log q] = 0$: at $L = 256$ a factor of
# about 20 is left. The derivative knows what each variable does. To halve the noise takes four times as many draws.
# For *discrete* $z$, which have no $f'$, the first estimate is what remains, or a biased one (*Latents that are
# categories*).
#
# ### EM, and inference for each image
#
# The bound is older than neural networks. **EM** (Dempster, Laird and Rubin, 1977) maximises $\mathcal{L}$ in turn over
# $q$ and over the model (Neal and Hinton, 1998). E-step: $q$ becomes the true posterior, so $\mathcal{L} = \log p(x)$.
# M-step: with this $q$ fixed, the model's parameters maximise $\mathbb{E}_q[\log p(x, z)]$. So $\log p$ never falls:
# $\log p_{\text{new}} \ge \mathcal{L}(q, \text{new}) \ge \mathcal{L}(q, \text{old}) = \log p_{\text{old}}$.
#
# For the linear-Gaussian model and centred data, with $m_i$ and $\Sigma$ of section 3 at the old parameters,
# $\mathbb{E}[z z^\top] = \Sigma + m_i m_i^\top$, and
#
# $$-\mathbb{E}_q[\log p(x, z)] = \sum_i \frac{|x_i|^2 - 2 x_i^\top W m_i + \operatorname{tr}\big(W^\top W (\Sigma + m_i m_i^\top)\big)}{2 s^2} + \frac{nD}{2} \log s^2 + \text{const} .$$
#
# Its derivative with respect to $W$ vanishes at
# $W = \big(\sum x_i m_i^\top\big) \big(\sum (\Sigma + m_i m_i^\top)\big)^{-1}$, and with this new $W$ the one with
# respect to $s^2$ at $s^2 = \frac{1}{nD} \sum_i \big(|x_i|^2 - x_i^\top W m_i\big)$.
#
# #### Exercise 9 · `em_step`


# %% exercise="em_step"
def em_step(x, W, variance):
    """One step of EM for the linear-Gaussian model of centred data: p(z) = N(0, I), p(x | z) = N(W z, variance I).

    E-step: the posteriors p(z | x) at the given W and variance. M-step: the W and the variance that maximise the expected
    log p(x, z) under these posteriors.

    Args:
        x: (n, D) float64 tensor whose mean over n is zero; n > D.
        W: (D, L) float64.
        variance: a positive float.

    Returns:
        A tuple: the new W, (D, L), and the new variance, a float or a tensor without axes.
    """
    ### BEGIN SOLUTION
    covariance = torch.linalg.inv(torch.eye(W.shape[1], dtype=W.dtype) + W.T @ W / variance)
    m = x @ W @ covariance / variance
    second = len(x) * covariance + m.T @ m
    W = torch.linalg.solve(second, m.T @ x).T
    return W, (x.square().sum() - (x * (m @ W.T)).sum()) / x.numel()
    ### END SOLUTION


# %% check="em_step"

# %% tags=["demo"] folded="60 steps of your EM on the grey digits with 10 latents, beside the maximum in closed form."
with waits_for("em_step"):
    x = real.train.x.double() - real.train.x.double().mean(0)
    best = float(ProbabilisticPCA.of(x, 10).log_prob(x).mean().detach())
    W, variance = torch.randn(64, 10, dtype=torch.float64, generator=seeded()), 1.0
    reached = []
    for _ in range(60):
        W, variance = (torch.as_tensor(each) for each in em_step(x, W, variance))
        of_x = W @ W.T + variance * torch.eye(64, dtype=torch.float64)
        normal = torch.distributions.MultivariateNormal(torch.zeros(64, dtype=torch.float64), of_x)
        reached.append(float(normal.log_prob(x).mean()))
    plots.show(figures.em(reached, best))

# %% [markdown]
# A VAE takes both steps at once, by gradients, with one encoder for all images. What does that encoder cost? For each
# test digit, start from its $m$ and $\log \sigma^2$, and maximise the ELBO over them while the decoder stays as it is.

# %% tags=["demo"]
guess("nats per image gained by searching q", ...)

# %% tags=["train"] folded="Searches the best diagonal q for each test digit, and draws the bounds from the loosest to the tightest."
model = vaes[10]
with torch.no_grad():
    amortized = model.encode(test)
own_q = [each.clone().requires_grad_() for each in amortized]
adam, steps = torch.optim.Adam(own_q, lr=0.02), budget(smoke=2, cpu=300, gpu=1000)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)


def mean_elbo(mean, log_variance, draws, generator):
    """The mean ELBO over the test digits, for given q, from so many draws of each."""
    e = torch.randn(draws, *mean.shape, generator=generator)
    logits = model.decode((mean + torch.exp(log_variance / 2) * e).flatten(0, 1))
    given_z = model.likelihood.log_prob(logits, test.repeat(draws, 1)).view(draws, -1)
    return (given_z - DiagonalGaussian(mean, log_variance).kl(model.prior())).mean()


generator = seeded()
for _ in range(steps):
    adam.zero_grad()
    (-mean_elbo(*own_q, 10, generator)).backward()
    adam.step()
    schedule.step()
with torch.no_grad():
    rows = {"encoder's q": mean_elbo(*amortized, 200, seeded(1)), "searched q": mean_elbo(*own_q, 200, seeded(1))}
rows = {name: float(value) for name, value in rows.items()} | {"importance-weighted, k = 1,000": -measured[10].iwae}
plots.show(figures.gaps(rows))
outcome("nats per image gained by searching q", rows["searched q"] - rows["encoder's q"])

# %% [markdown]
# Of the 0.9 nats between the ELBO and the tightest bound, the search regains 0.6: that is the **amortization gap**.
# What diagonal Gaussians cannot do costs at least the other 0.3; more, if the tightest bound is loose. (Cremer, Li
# and Duvenaud, 2018, find the first to be the larger one.) *A posterior that is not Gaussian* takes up the second.
#
# ### Interpolation, and editing one latent
#
# **From one code to another.** A straight line between two draws of $N(0, I)$ leaves the region where draws are.
# $|z|^2$ has mean $L$; its middle, $(z_1 + z_2)/2$, has only $L/2$, and in many dimensions hardly any draw is so short.
# An arc keeps the length. Both ways between the codes of two test digits, by the VAE with ten latents; they differ
# little, since these two codes are not nearly orthogonal, as draws in many dimensions are:

# %% tags=["demo"]
ends = vaes[10].encode(test[[3, 17]]).mean.detach()
alt = "Two rows of nine digits from one test digit to another, along a line and along an arc; the middle is a blend."
plots.show(plots.interpolations(vaes[10], ends), alt=alt)

# %% [markdown]
# **One latent at a time.** The coloured **shapes** of `data.shapes` have five known factors: shape, colour, angle,
# place and light. Take those in the middle, which leaves four. A VAE of them with six latent variables: if each latent
# variable were one cause, changing it would edit one thing. How many of the six have more than half of their variance
# explained by *colour*?

# %% tags=["demo"]
guess("latents that are mostly colour", ...)

# %% tags=["train"] folded="Trains a VAE of coloured shapes; changes one latent at a time; which factor explains which latent?"
shapes, parts = data.shapes(), {}
for part, split in shapes.splits().items():
    middle = split.y[:, 3] == 4
    parts[part] = data.Split(split.x[middle].float() / 15, split.y[middle])
painted = data.Dataset("shapes in the middle", (3, 16, 16), None, **parts)
torch.manual_seed(0)
painter = VAE((3, 16, 16), None, 6, [256], variance=0.01)
fit(painter, painted, epochs=budget(smoke=1, cpu=120, gpu=400), batch_size=32, lr=2e-3)
alt = "Twelve coloured shapes, and what their codes decode to: colours are right, and outlines, blurred, often so."
plots.show(plots.reconstructions(painter, painted.test.x[:12]), alt=alt)
codes_of = painter.encode(painted.test.x).mean.detach()
alt = "Six rows, in each of which one latent grows: colour and outline change together, at some ends the paper, too."
plots.show(plots.traversals(painter, codes_of[0], reach=1.0), alt=alt)
explained = {}
for (factor, values), y in zip(shapes.factors.items(), painted.test.y.T, strict=True):
    groups = torch.nn.functional.one_hot(y, len(values)).float()
    centres = (groups.T @ codes_of) / groups.sum(0).clamp(min=1)[:, None]
    explained[factor] = groups.mean(0) @ (centres - codes_of.mean(0)).square() / codes_of.var(0, unbiased=False)
del explained["place"]
plots.show(figures.explained(torch.stack(list(explained.values())), list(explained)))
outcome("latents that are mostly colour", int((explained["colour"] > 0.5).sum()))

# %% [markdown]
# Colour is in four of the six, and outline in the other two, mixed with colour. Angle and light explain little of any
# single latent. They would pay: they change an image by a summed squared error of about 6 and 0.6, which at $s = 0.1$
# is 300 and 30 nats. But after so short a training the decoder has not learnt them, and an angle that is coded
# differently for each shape averages out in this table. In several rows even the paper changes: codes fill only part
# of the prior's region.
#
# **Why it need not be otherwise.** Let $R$ be a rotation and $z' = Rz$. If $z \sim N(0, I)$, so is $z'$, and the
# decoder $g(R^\top z')$ gives the same $p(x)$, with every $z'_l$ a blend of all $z_l$. The likelihood cannot prefer one
# of the two. Only the *diagonal* $q$ breaks the tie: it prefers axes along which the posteriors are uncorrelated (*On
# paper*, c), which need not be the axes that we have words for. Without labels or other assumptions, **disentangling**
# has no foundation in the likelihood (Locatello et al., 2019).
#
# ### Handwriting at 28 × 28
#
# This VAE with convolutions and 50 latent variables was trained once on the binarized MNIST of the published tables
# below; its file comes with the course. What will lie on the way from one digit to another?

# %% tags=["demo"] folded="Loads the trained VAE; draws ten samples; walks along arcs from one latent vector to another."
large = pretrained.load("vae-conv")
print(pretrained.about("vae-conv"))
with torch.no_grad():
    z = torch.randn(10, 50, generator=seeded())
    means, ends = large.mean(z), z[:8].view(4, 2, 50)
    walks = torch.cat([large.mean(plots.arc(pair, 10)) for pair in ends])
pixels = (torch.rand(means.shape, generator=seeded()) < means).double()
grids = torch.cat([means, pixels])
alt = "Above, ten digits in soft grey, most of them readable: probabilities. Below, pixels drawn from them: the same digits with ragged edges."
plots.show(plots.image_grid(grids, columns=10, row_names=["p(x = 1 | z)", "pixels"]), alt=alt)
alt = "Four walks of ten images from one digit to another: an eight grows narrow, a nine becomes an eight, a six a five, a one a three, all by small changes."
plots.show(plots.image_grid(walks, columns=10), alt=alt)

# %% [markdown]
# Nearly every image on the way from one vector to another could be a digit. Compare the first two rows of samples: the
# upper one shows probabilities, which please the eye; the *model* draws each pixel independently given $z$, as in the
# lower one. What $z$ leaves open at the edges becomes noise.
#
# The bound is 90.09 nats. Lesson 02's NADE of the same images has 92.19, exact, with more than twice as many
# weights and a longer training. A bound that is lower than an exact cost settles the comparison. The other way round it
# would not.
#
# ### Posterior collapse
#
# A latent variable pays if it improves the reconstruction by more than its KL. If not, the optimum is
# $q(z_l \mid x) = p(z_l)$: it is **inactive**, and its decoder weights are noise that the model learns to ignore. That
# is not a failure of training but the optimum of this objective, as for $\lambda_l \le s^2$ above. In training it also
# happens too early: while the decoder ignores $z$, KL has nothing to pay for, and the encoder learns the prior. Three
# remedies change the *objective*: a factor $\beta$ before KL (**beta-VAE**, Higgins et al., 2017), raised slowly from 0
# (annealing; Bowman et al., 2016), or **free bits** (Kingma et al., 2016), which do not charge a variable's first nats.
# What is reported must still be the ELBO with $\beta = 1$.

# %% tags=["train"] folded="Trains VAEs with beta 0.5, 1 and 4; ELBO with beta 1, its terms, a tighter bound, and active latents."
for beta in (0.5, 1.0, 4.0):
    torch.manual_seed(0)
    weighed = VAE((64,), 2, 10, [200, 200], beta=beta)
    fit(weighed, binary, epochs=budget(smoke=1, cpu=30, gpu=100), batch_size=64, lr=2e-3)
    costs = latent_sizes.measure(weighed, importance_draws)
    print(
        f"beta {beta:g}: -ELBO {costs.elbo:.1f} = {costs.elbo - costs.kl:.1f} + KL {costs.kl:.1f}; importance-weighted {costs.iwae:.1f}; {costs.active} active"
    )

# %% [markdown]
# With $\beta = 4$, $z$ is given up: KL is 0.1, and 25.0 nats are hardly less than the 25.2 of independent pixels. (The
# threshold for "active", a variance of 0.01 of the means, is generous.) With $\beta = 0.5$ the reconstruction is
# better than with $\beta = 1$, 10.4 against 14.1, and the ELBO is worse: 19.4 against 19.0. But the
# importance-weighted bound is *better*, 18.0 against 18.2: it is $q$ that got worse, not the model. Section 7 warned
# of that.
#
# ### Labels: the conditional VAE
#
# Give encoder and decoder the label $y$ as well (Sohn, Lee and Yan, 2015): all of section 4 holds with $\mid y$ added,
# $\log p(x \mid y) \ge \mathbb{E}_{q(z \mid x, y)}[\log p(x \mid z, y)] - \operatorname{KL}(q(z \mid x, y) \,\|\,
# p(z))$.
# Since $p(z)$ does not depend on $y$, $z$ need not say which digit it is. What is left for it? Decode one $z$ with each
# label. And with the ten bounds of $\log p(x \mid y)$ side by side, which share of the test digits has its largest at
# the true label?

# %% tags=["demo"]
guess("share of test digits classified correctly", ...)

# %% tags=["train"] folded="Trains a conditional VAE; decodes each of four z with all ten labels."
torch.manual_seed(0)
conditional = ConditionalVAE((64,), 2, 10, [200, 200], classes=10)
fit(conditional, binary, epochs=budget(smoke=1, cpu=60, gpu=200), batch_size=64, lr=2e-3, labels=True)
z = torch.randn(4, 10, generator=seeded(3)).repeat_interleave(10, 0)
with torch.no_grad():
    plots.show(figures.styles(conditional.mean(z, labels=torch.arange(10).repeat(4)), range(10)))
by_label = torch.stack(
    [metrics.log_probs(conditional, test, labels=torch.full_like(labels, digit), draws=200) for digit in range(10)], 1
)
own_label = by_label.gather(1, labels[:, None])
without = by_label.logsumexp(1) - math.log(10)
print(f"given the label: at most {-float(own_label.mean()):.1f} nats per image")
print(f"without it, by the mean of p(x | y) over the ten y: at most {-float(without.mean()):.1f}")
outcome("share of test digits classified correctly", float((by_label.argmax(1) == labels).double().mean()))

# %% [markdown]
# A row is one style: slant, width, boldness. The mean over the labels is the likelihood of a mixture of ten VAEs that
# share their weights, at most 16.7 nats: less than section 7's 17.5, and less than NADE's exact 16.9. (A bound below
# an exact value is conclusive, the other way round it is not; but 0.2 nats, of one seed and 300 images, are little.)
# It had help: the labels of 1,197 digits. Turned round by
# Bayes' rule (lesson 01), the same model classifies.
#
# ### A posterior that is not Gaussian
#
# The bound lacks $\operatorname{KL}(q \,\|\, p(z \mid x))$, and *EM, and inference for each image* split it in two:
# part of it is the encoder's fault, and part is that of the family, which holds no distribution like the posterior.
# What remedies the second? Two families: one bends a Gaussian, the other adds up several.
#
# **A flow.** Let $e \sim N(0, I)$ in $\mathbb{R}^L$ and $z = f(e)$, with $f$ differentiable and invertible. A small
# region around $e$ has the same probability as its image around $z$, whose volume is $|\det J|$ times as large, with
# the Jacobian matrix $J_{lj} = \partial z_l / \partial e_j$. So the densities are related by
# $q(z)\, |\det J| = N(e; 0, I)$, or
#
# $$\log q(z) = \log N(e; 0, I) - \log |\det J| .$$
#
# A determinant of an arbitrary $L \times L$ matrix takes some $L^3$ operations for each image. An **inverse
# autoregressive flow** (IAF; Kingma et al., 2016) is made so that none is needed. In
#
# $$z_l = \mu_l + \exp(s_l)\, e_l, \qquad \mu_l \text{ and } s_l \text{ are functions of } e_1, \dots, e_{l-1} \text{ alone,}$$
#
# $z_l$ does not depend on $e_j$ with $j > l$, and as neither $\mu_l$ nor $s_l$ reads $e_l$,
# $\partial z_l / \partial e_l = \exp(s_l)$:
#
# $$J = \begin{pmatrix} \exp(s_1) & 0 & 0 \\ \ast & \exp(s_2) & 0 \\ \ast & \ast & \exp(s_3) \end{pmatrix}, \qquad \log \det J = \sum_l s_l, \qquad \log q(z) = \log N(e; 0, I) - \sum_l s_l .$$
#
# The determinant of a triangular matrix is the product of its diagonal, whatever is below it. So $\mu$ and $s$ may be
# any networks that respect the order: a MADE (lesson 03), which gives all of them in one pass, and reads features of
# $x$ as well.
#
# * **One step holds every Gaussian.** With $\mu$ linear and $s$ constant, $z = a + C e$ with a lower triangular
#   matrix $C$ whose diagonal is positive. Every covariance is $C C^\top$ for one such $C$ (Cholesky), so this is the
#   full Gaussian of section 4. What bends it is an $s$ that depends on $e$, or a $\mu$ that is not linear.
# * **Several steps.** Jacobians multiply, so the sums of $s$ add up. The order of the dimensions is reversed between
#   steps, since $z_1$ is only shifted and scaled.
# * **Fast one way, slow the other.** When drawing, all of $e$ is there: one pass, and the density of this draw comes
#   for free. For the density of a $z$ from elsewhere, $e$ has to be found. $\mu_1$ and $s_1$ read nothing, so
#   $e_1 = (z_1 - \mu_1)\, \exp(-s_1)$; only now can $\mu_2$ and $s_2$ be computed; and so on, $L$ passes one after
#   another.
#
# The **masked autoregressive flow** (MAF; Papamakarios et al., 2017) is the mirror image: its $\mu_l$ and $s_l$ read
# $z_1, \dots, z_{l-1}$, so the density of any $z$ takes one pass, and a draw takes $L$. A model of *data* has to give
# that density, as MADE and all models of lessons 01 to 05 do. The ELBO asks only for the density of what $q$ itself
# has drawn, as does the loss by which Parallel WaveNet is distilled (lesson 06): both use IAF. KL has no closed form
# here; the ELBO takes its estimate from the draw, $\log p(x, z) - \log q(z \mid x)$.

# %% tags=["demo"]
plots.show(figures.flow_posterior())

# %% [markdown]
# #### Exercise 10 · `iaf`
#
# One step, with linear networks.


# %% exercise="iaf"
def iaf(v, A, a, B, b, inverse):
    """One step of an inverse autoregressive flow whose networks are linear, or its inverse.

    From noise e ~ N(0, I) it makes z = mean + exp(log_scale) * e, where mean = a + A e and log_scale = b + B e. Of A and
    B only the entries strictly below the diagonal count; the others may hold anything, also NaN and inf, and are
    taken as 0.

    Args:
        v: (n, L) float64 tensor: e, or z if inverse.
        A, B: (L, L) float64. Any L >= 1.
        a, b: (L,) float64. log_scale lies within -200..200.
        inverse: if False, v is e, and z is wanted; if True, v is z, and the e is wanted from which it was made.

    Returns:
        A tuple: z, or e if inverse, (n, L); the log of the density of z, (n,), in nats, which is log N(e; 0, I) minus
        the sum of log_scale. Gradients flow to v, A, a, B and b: to A and B only below the diagonal, elsewhere they
        are 0.
    """
    ### BEGIN SOLUTION
    A, B = A.tril(-1), B.tril(-1)
    e = v[:, :0] if inverse else v
    for i in range(len(a) if inverse else 0):
        shift, s = a[i] + e @ A[i, :i], b[i] + e @ B[i, :i]
        e = torch.cat([e, ((v[:, i] - shift) * torch.exp(-s))[:, None]], 1)
    s = b + e @ B.T
    log_q = -0.5 * (e.square() + math.log(2 * math.pi)).sum(1) - s.sum(1)
    return e if inverse else a + e @ A.T + s.exp() * e, log_q
    ### END SOLUTION


# %% check="iaf"

# %% [markdown]
# **A mixture.** Let $q(z \mid x) = \sum_k \pi_k q_k(z)$ with $K$ diagonal Gaussians $q_k$ and weights $\pi_k$ that
# sum to 1, all from the encoder. Drawing it can be told in two steps: first $k$ with probability $\pi_k$, then $z$
# from $q_k$. Multiply and divide by $q$ in
#
# $$\sum_k \pi_k \operatorname{KL}(q_k \,\|\, p) = \sum_k \pi_k\, \mathbb{E}_{q_k}\!\Big[\log \frac{q_k(z)}{q(z)} + \log \frac{q(z)}{p(z)}\Big] = I(k; z) + \operatorname{KL}(q \,\|\, p) .$$
#
# The first part is the **mutual information** of $k$ and $z$, a mean over $k$ of KL divergences of $q_k$ from $q$, so
# at least 0. By Bayes' rule $q_k(z) / q(z) = q(k \mid z) / \pi_k$. So it is also
# $H(\pi) - \mathbb{E}_q[H(k \mid z)]$, where $H(k \mid z) = -\sum_k q(k \mid z) \log q(k \mid z)$ is the entropy of
# $k$ for one given $z$: the entropy of the choice minus what is still open about it when $z$ is known, so at most
# $H(\pi) \le \log K$:
#
# $$\sum_k \pi_k \operatorname{KL}(q_k \,\|\, p) - H(\pi) \;\le\; \operatorname{KL}(q \,\|\, p) \;\le\; \sum_k \pi_k \operatorname{KL}(q_k \,\|\, p) .$$
#
# The upper bound is exact if all components are equal, the lower one in the limit of no overlap. (The lower one may be
# negative.) Nothing here used that $p$ is normalised. So with $p(x, z)$ in its place the same holds for the ELBO as a
# functional of $q$:
#
# $$\mathcal{L}[q] = \sum_k \pi_k \mathcal{L}[q_k] + I(k; z) \;\le\; \max_k \mathcal{L}[q_k] + \log K .$$
#
# **$K$ components gain at most $\log K$ nats** over the best single Gaussian: 0.7 nats with two, 2.3 with ten, and
# that only if all are equally good and far apart. The choice of $k$ has no derivative. So draw from *every* component
# and weight by $\pi_k$: $\mathcal{L}[q] = \sum_k \pi_k\, \mathbb{E}_{q_k}[\log p(x, z) - \log q(z)]$, at the price of
# $K$ decoder passes.
#
# #### Exercise 11 · `mixture_kl_bounds`


# %% exercise="mixture_kl_bounds"
def mixture_kl_bounds(log_pi, mean, log_variance):
    """Two bounds of KL(q || N(0, I)) for mixtures of diagonal Gaussians, in nats.

    q(z | x_i) = sum over k of pi_ik N(mean_ik, diag(exp(log_variance_ik))). With the KL divergence of each component in
    closed form, the upper bound is their mean under pi_i, and the lower one is that mean minus the entropy of pi_i.

    Args:
        log_pi: (n, K) float64 tensor, the logs of weights that sum to 1. Where it is -inf, the component does not count,
            whatever its mean and log_variance hold, also NaN.
        mean, log_variance: (n, K, L) float64.

    Returns:
        A tuple: the lower bound and the upper bound, (n,) each.
    """
    ### BEGIN SOLUTION
    pi = log_pi.exp()
    kl = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(2)
    upper = torch.where(pi > 0, pi * kl, 0.0).sum(1)
    return upper + torch.xlogy(pi, pi).sum(1), upper
    ### END SOLUTION


# %% check="mixture_kl_bounds"

# %% [markdown]
# **The posterior, seen.** With two latent variables a grid shows the true posterior (of section 7's smaller VAE), and
# gives $\log p(x)$, so gaps are exact. For two test digits we search, with the decoder as it is, for the best
# diagonal Gaussian, the best mixture of two, and the best flow of four steps by your `iaf`. One posterior is a bent
# ridge, the other has two separate modes. Where will the flow gain more than the mixture?

# %% tags=["demo"]
guess("the flow gains more than the mixture for", ..., choices=["the ridge", "the two modes", "both", "neither"])

# %% tags=["train"] folded="Searches three families for two posteriors, with your function in the flow, and draws them beside the truth."
with waits_for("iaf"):
    exact_model, rows, mixtures = copy.deepcopy(vaes[2]).double().requires_grad_(False), {}, {}
    for image, i in {"a ridge": 135, "two modes": 294}.items():
        truth, x = plane.Plane(exact_model, test[i : i + 1]), test[i : i + 1]
        amortized_q = plane.GaussianMixture(exact_model.encode(x).mean)
        amortized_q.parameters[1] = exact_model.encode(x).log_variance
        families = {
            "Gaussian": plane.GaussianMixture(truth.mode()),
            "mixture of 2": plane.GaussianMixture(truth.centres()),
            "flow": plane.Flow(iaf, 4, truth.mode()[0]),
        }
        for family in families.values():
            plane.search(truth, family, steps=budget(smoke=2, cpu=250, gpu=500))
        rows[image], mixtures[image] = {"true posterior": (truth.log_posterior, None)}, families["mixture of 2"]
        for name, family in {"encoder's q": amortized_q, **families}.items():
            density = family.log_prob(truth.z).view(truth.log_posterior.shape)
            rows[image][name] = density, truth.gap(family)
    plots.show(figures.plane_posteriors(rows, truth.reach))
    wins = [image for image in rows if rows[image]["flow"][1] < rows[image]["mixture of 2"][1]]
    named = {"a ridge": "the ridge", "two modes": "the two modes"}
    outcome(
        "the flow gains more than the mixture for",
        named[wins[0]] if len(wins) == 1 else "both" if wins else "neither",
    )

# %% [markdown]
# The number above each panel is its gap in nats. Most of the encoder's gap closes as soon as the Gaussian is searched
# for this one digit, which is the amortization gap again. The flow takes the ridge's shape, where two axis-aligned
# ellipses are only a rough patch. But a continuous map of the plane cannot tear a Gaussian in two, so the flow
# settles on one mode, as the Gaussian does: it misses the other, and pays for it by half a nat. The mixture covers
# both, and gains 0.53 nats of the possible $\log 2 = 0.69$, as the modes are not equally heavy: the heavier one holds
# 59 %, and $-\log 0.59 = 0.53$. Where a family cannot match the truth, its best member is narrower (section 4). Your
# bounds of KL, for the two mixtures:

# %% tags=["demo"] folded="Your bounds of KL(q || p(z)) for the mixtures of the figure, and the value that 200,000 draws give."
with waits_for("iaf", "mixture_kl_bounds"):
    for image, q in mixtures.items():
        mean, log_variance, logits = (each[None] for each in q.parameters)
        lower, upper = (float(each) for each in mixture_kl_bounds(logits.log_softmax(1), mean, log_variance))
        z, log_q, weights = q.draws(torch.randn(200_000, 2, dtype=torch.float64, generator=seeded()))
        kl = float((weights * (log_q - exact_model.prior().log_prob(z))).sum())
        print(f"{image:9}  lower bound {lower:.2f}, KL {kl:.2f}, upper bound {upper:.2f} nats")

# %% [markdown]
# For the two modes KL is at its lower bound: components that do not overlap. On the ridge they do.
#
# **Trained with it.** The search above left the decoder as it was, and asked for one image at a time. In training, an
# encoder has to serve all images, and a decoder learns along with it. VAEs with two latent variables, whose exact
# $\log p(x)$ is an integral, were trained with a diagonal Gaussian, a mixture of four, and a flow of two steps, three
# seeds each (`python -m course_lib.experiments.posteriors`). Beside them, *new* encoders of the three families for
# the decoder of the diagonal one: trained on images that this decoder draws, so that they cannot overfit. Which gap
# does a richer family close?

# %% tags=["demo"]
guess("smallest mean gap when trained together", ..., choices=["diagonal", "mixture", "iaf"])

# %% tags=["demo"] folded="Draws the table: gaps of the three families, trained together with the decoder or after it, and exact NLLs."
tables = {
    "trained together": posteriors.JOINT,
    "new encoder": posteriors.REFITTED,
    "new encoder, images of its own": posteriors.REFITTED_OWN,
}
gaps = {
    training: {name: [costs.gap for costs in seeds] for name, seeds in table.items()}
    for training, table in tables.items()
}
nlls = {name: [costs.nll for costs in seeds] for name, seeds in posteriors.JOINT.items()}
plots.show(figures.worth_of_posteriors(gaps, nlls))
outcome("smallest mean gap when trained together", min(nlls, key=lambda name: np.mean(gaps["trained together"][name])))

# %% [markdown]
# Trained together, the mixture's gap is smaller, 0.9 nats against 1.1; the flow's is not. But both make a better
# *model*: an exact NLL of 18.8 to 18.9 instead of 19.2. Our reading, which was not measured: the ELBO charges for the
# gap, so a decoder that is trained with a diagonal $q$ learns to have posteriors that a diagonal $q$ can match. A
# richer $q$ lifts this restriction, and the decoder uses it.
#
# For a decoder that is kept, the families differ as expected: on the images that it draws, 0.46 nats are left to the
# diagonal Gaussian, 0.35 to the mixture and 0.31 to the flow. Test digits, which are not draws of this model, cost 0.2
# to 0.4 more. The diagonal $q$ itself loses 0.8 nats with the new encoder, and 1.1 with the old one: that difference
# is mostly overfitting to the training digits, we think.
#
# ### Latents that are categories
#
# Which digit is it? Ten answers, and nothing in between. Let $z$ be one of $K$ categories with $p(z) = 1/K$, written
# as a **one-hot** vector with a single 1; or $N$ such variables, with $K^N$ combinations. The encoder gives logits
# $a_1, \dots, a_K$ and $q(z = k \mid x) = \pi_k = e^{a_k} / S$, where $S = \sum_j e^{a_j}$.
#
# **Enumeration.** While $K^N$ is small, nothing needs a bound: $\log p(x) = \log \sum_z p(z)\, p(x \mid z)$, and
# $\nabla \sum_k \pi_k f(k)$ is a sum, too. The decoder runs once for all combinations, since they do not depend on
# $x$. With ten variables of ten categories there are $10^{10}$, and one is back to draws.
#
# **REINFORCE.** The score-function estimate, $f(z)\, \nabla \log q(z \mid x)$, minus a baseline: unbiased, and noisy
# (*Two gradients of an expectation*). With $\log \pi_k = a_k - \log S$, the score's entries are
# $\partial \log \pi_k / \partial a_j = [j = k] - \pi_j$.
#
# **A draw as a function of noise.** A category can be reparameterized, too. Let $u_1, \dots, u_K$ be uniform and
# $g_k = -\log(-\log u_k)$. Since $P(g_k \le t) = P(u_k \le \exp(-e^{-t})) = \exp(-e^{-t})$, the $g_k$ have the
# **Gumbel distribution**, with density $e^{-t} \exp(-e^{-t})$. The **Gumbel-max trick**: the index of the largest
# $a_k + g_k$ is $k$ with probability $\pi_k$. For let $a_k + g_k = t$. It is the largest if all others are below $t$,
# so
#
# $$P(k \text{ wins}) = \int e^{-(t - a_k)} \exp\!\big(-e^{-(t - a_k)}\big) \prod_{j \ne k} \exp\!\big(-e^{-(t - a_j)}\big)\, dt = \int e^{a_k} e^{-t} \exp\!\big(-S e^{-t}\big)\, dt ,$$
#
# since the exponents of all $K$ factors add up to $-e^{-t} \sum_j e^{a_j}$. With $v = e^{-t}$, $dv = -e^{-t} dt$,
# this is $e^{a_k} \int_0^\infty e^{-S v} dv = e^{a_k} / S = \pi_k$.
#
# Now the noise is apart from the parameters, but the gradient is still lost: the winner does not change when $a$
# changes a little, so its derivative is 0 wherever there is one. **Gumbel-softmax** (Jang, Gu and Poole, 2017;
# Maddison, Mnih and Teh, 2017) softens the choice:
#
# $$y = \operatorname{softmax}\Big(\frac{a + g}{\tau}\Big), \qquad y_k = \frac{e^{(a_k + g_k)/\tau}}{\sum_j e^{(a_j + g_j)/\tau}} .$$
#
# For $\tau \to 0$, $y$ becomes the winner's one-hot vector, an exact draw; for $\tau \to \infty$, all $y_k$ become
# $1/K$. In between $y$ is differentiable, but the decoder is given mixtures of categories which $p(z)$ never draws.
# So $\nabla f(y)$ is an unbiased estimate of $\nabla \mathbb{E}[f(y)]$. But wanted is $\nabla \mathbb{E}[f(z)]$, with
# true categories $z$, and as an estimate of that it is *biased*. **Straight-through** (Bengio, Léonard and Courville,
# 2013) gives the decoder the one-hot vector and takes the gradient of $y$: the value is right, and the gradient is
# still biased, even for $\tau \to 0$.
#
# #### Exercise 12 · `gumbel_softmax`


# %% exercise="gumbel_softmax"
def gumbel_softmax(logits, u, tau, hard):
    """Draws of categories, relaxed so that gradients pass: y = softmax((logits + g) / tau), g = -log(-log(u)).

    Args:
        logits: (n, K) float64 tensor of any finite size: 1000 occurs.
        u: (n, K) float64, strictly inside (0, 1).
        tau: the temperature, a float from 1e-3 to 1e3.
        hard: if True, y is the one-hot vector of the largest entry of logits + g, the first one at ties, but has the
            gradient of the soft y (straight-through).

    Returns:
        y (n, K), computed in float64, through which gradients flow to logits.
    """
    ### BEGIN SOLUTION
    raced = logits - torch.log(-torch.log(u))
    soft = torch.softmax(raced / tau, 1)
    if not hard:
        return soft
    winner = torch.nn.functional.one_hot(raced.argmax(1), raced.shape[1]).to(soft.dtype)
    return winner + (soft - soft.detach())
    ### END SOLUTION


# %% check="gumbel_softmax"

# %% [markdown]
# **Bias against noise.** The categories are the ten digits, the decoder's logits are $y^\top T$ with a template $T_k$
# for each (the logits of its mean training image), and $f(y) = \log p(x \mid y)$ for a test digit $x$. At $a = 0$ the
# true gradient is a sum over ten categories. How long is the bias, relative to the true gradient, at temperature 1?

# %% tags=["demo"]
guess("relative bias at temperature 1", ...)

# %% tags=["demo"] folded="Bias and standard deviation of your relaxation's gradients for several temperatures, beside REINFORCE."
with waits_for("gumbel_softmax"):
    by_digit = torch.nn.functional.one_hot(binary.train.y, 10).double()
    ink = (by_digit.T @ binary.train.x.double() + 1) / (by_digit.sum(0)[:, None] + 2)
    x, one_hots = test[0], torch.eye(10, dtype=torch.float64)


    def log_likelihood(y):
        """log p(x | y), (n,), for one-hot or relaxed y (n, 10)."""
        return torch.nn.functional.logsigmoid((2 * x - 1) * (y @ ink.logit())).sum(1)


    values, pi = log_likelihood(one_hots), torch.full((10,), 0.1, dtype=torch.float64)
    true = pi * (values - pi @ values)
    u = torch.rand(50_000, 10, dtype=torch.float64, generator=seeded()).clamp(1e-12, 1 - 1e-12)
    temperatures, bias, deviation = [0.1, 0.2, 0.5, 1, 2, 5, 10], {}, {}
    for name, hard in {"Gumbel-softmax": False, "straight-through": True}.items():
        bias[name], deviation[name] = [], []
        for tau in temperatures:
            zeros = torch.zeros_like(u, requires_grad=True)
            relaxed = torch.as_tensor(gumbel_softmax(zeros, u, tau, hard))
            (gradient,) = torch.autograd.grad(log_likelihood(relaxed).sum(), zeros)
            bias[name].append(float((gradient.mean(0) - true).norm() / true.norm()))
            deviation[name].append(float(gradient.var(0).sum().sqrt() / true.norm()))
    drawn = (-torch.log(-torch.log(u))).argmax(1)
    score, unbiased = one_hots[drawn] - pi, {}
    for name, baseline in {"REINFORCE": 0.0, "REINFORCE, with baseline": pi @ values}.items():
        estimates = (values[drawn] - baseline)[:, None] * score
        unbiased[name] = float(estimates.var(0).sum().sqrt() / true.norm())
    plots.show(figures.relaxed_gradients(temperatures, bias, deviation, unbiased))
    outcome("relative bias at temperature 1", bias["Gumbel-softmax"][temperatures.index(1)])

# %% [markdown]
# The bias at temperature 1 is 0.40 of the gradient's length, and it falls as the temperature falls, while the noise
# of a draw grows: at 0.1 it is 6.5 lengths, two thirds of that of REINFORCE, 9.2. (What is left of the bias there is
# partly the noise of 50,000 draws, about 0.03.) The baseline brings REINFORCE to 2.8 without any bias, what the
# relaxation has near temperature 0.4. More draws remove noise, but never bias.
#
# Straight-through is noisier at every temperature. From 0.5 up it is about as biased. But its bias stays near 0.09
# however low the temperature is, since it uses the slopes of $f$ at the corners, never between them: near a tie of two
# categories, their difference in $f$ is replaced by the mean of the slopes at both ends. With 1.5 million draws the
# bias of the soft and of the straight-through gradient is 0.069 and 0.117 at temperature 0.2, 0.032 and 0.099 at 0.1,
# 0.016 and 0.092 at 0.05. What straight-through offers is a decoder that sees only categories.
#
# **A hundred codes.** `CategoricalVAE` with two variables of ten categories has 100 states, so $\log p(x)$ is exact.
# Three trainings differ in the gradient alone: enumeration, Gumbel-softmax at temperature 0.5, and REINFORCE with
# four draws per image, whose baseline for each is the mean of the other three. The VAE with two *real* latent
# variables has an exact NLL of 19.2 nats. What will a hundred codes have, by enumeration?

# %% tags=["demo"]
guess("exact test NLL with 100 codes, by enumeration, in nats", ...)

# %% tags=["train"] folded="Trains a VAE with two categorical variables by three gradients; exact NLL and bound of each."
for estimator in ("enumeration", "gumbel", "reinforce"):
    torch.manual_seed(0)
    choosing = CategoricalVAE((64,), 2, variables=2, categories=10, hidden=[100], estimator=estimator)
    fit(choosing, binary, epochs=budget(smoke=1, cpu=20, gpu=60), batch_size=64, lr=5e-3)
    with torch.no_grad():
        nll = -float(choosing.log_prob(test).mean())
        bound = -float(torch.stack([choosing.elbo(test, generator=seeded(i)).mean() for i in range(20)]).mean())
    print(f"{estimator:11}  exact NLL {nll:.2f}, -ELBO {bound:.2f}, gap {bound - nll:.2f} nats")
    if estimator == "enumeration":
        outcome("exact test NLL with 100 codes, by enumeration, in nats", nll)

# %% [markdown]
# With the exact gradient a hundred codes do better than a plane of real numbers, by half a nat, with smaller networks
# and a third of the epochs. The two estimates from draws cost 0.8 nats after the same number of epochs, about
# equally, and, as we read it, lose them in different ways. REINFORCE has the right objective and a noisy gradient, so
# it is slower. The relaxed training did not maximise the ELBO of real categories, and its encoder is further from the
# posterior, 0.9 nats against 0.5. (Two more seeds give NLLs within 0.2 of these, in the same order of gaps.) Lesson 08
# has codes at many positions, where enumeration is out of the question, and passes the gradient straight through.
#
# ### A decoder that reads pixels: PixelVAE
#
# Section 7 said what independent pixels cost: ragged borders. The remedy is at hand. **PixelVAE** (Gulrajani et al.,
# 2017) lets the decoder turn $z$ into a context for each pixel, and a gated PixelCNN (lesson 04) reads it beside the
# earlier pixels:
#
# $$p(x \mid z) = \prod_d p(x_d \mid x_1, \dots, x_{d-1}, z) .$$
#
# The ELBO is that of section 4, with this $\log p(x \mid z)$; a sample takes $D$ steps again.

# %% tags=["demo"]
plots.show(figures.pixel_decoder())

# %% [markdown]
# **Why $z$ is ignored.** Let $r(x)$ be the distribution of the data, $H(r)$ its entropy, and draw $x$ from $r$ and
# $z$ from $q(z \mid x)$. Let $q(z)$ be the mean of $q(z \mid x)$ over $x$, and $I$ the mutual information of $x$ and
# $z$. The two terms of the ELBO's cost are, on average,
#
# $$\mathbb{E}\big[\operatorname{KL}(q(z \mid x) \,\|\, p(z))\big] = \mathbb{E}\Big[\log \frac{q(z \mid x)}{q(z)} + \log \frac{q(z)}{p(z)}\Big] = I + \operatorname{KL}(q(z) \,\|\, p(z)) \;\ge\; I ,$$
#
# $$\mathbb{E}[-\log p(x \mid z)] = \mathbb{E}[-\log q(x \mid z)] + \mathbb{E}\Big[\log \frac{q(x \mid z)}{p(x \mid z)}\Big] \;\ge\; H(r) - I ,$$
#
# with $q(x \mid z) = r(x)\, q(z \mid x) / q(z)$, the distribution of $x$ once $z$ is known. The mean of its
# $-\log q(x \mid z)$ is the entropy of $x$ given $z$, which is $H(r) - I$; what is added is a mean KL divergence. So
# $I$ nats in $z$ cost at least $I$ and save at most $I$. A decoder that gets by without $z$, $p(x \mid z) = r(x)$,
# reaches the least possible sum, $H(r)$, with KL 0. With $I > 0$ the same sum needs both divergences to be 0, that
# is, $p(z)\, p(x \mid z) = r(x)\, q(z \mid x)$: $q$ has to be *exactly* the posterior. So there is nothing to win,
# and with an imperfect $q$ something to lose. This is the **information preference** of the ELBO (Chen et al., 2017):
# what the decoder can tell on its own, $z$ does not say.
#
# **The same in bits.** To send $x$, draw $z$ from $q(z \mid x)$, send it by the prior's code, $-\log p(z)$ nats, and
# $x$ by the decoder's, $-\log p(x \mid z)$. The receiver, who now has $x$, knows $q(z \mid x)$, and can read from the
# choice of $z$ a message of $-\log q(z \mid x)$ nats that the sender had hidden in it: **bits back** (Hinton and van
# Camp, 1993; Townsend, Bird and Barber, 2019, built the coder). In fact $z$ is rounded to small cells, whose size
# cancels between $p(z)$ and $q$. The net mean cost is
# $-\mathcal{L}(x) = -\log p(x) + \operatorname{KL}(q \,\|\, p(z \mid x))$. If $z$ says nothing, what is sent for it
# comes back in full; if it says something, the imperfect $q$ costs its KL.
#
# **Cures.** (1) A short **receptive field**: a decoder that sees only near pixels cannot tell which digit it is, so
# $z$ has to. (2) **Free bits** (*Posterior collapse*). (3) **Warm-up**: the factor before KL rises slowly from 0, so
# that $z$ is in use before it is charged. (1) changes the model; (2) changes the objective; (3) changes it only at the
# start. Which of them keeps $z$ alive? One looks at the **share of bits**: what part of the cost is the pixels given
# $z$, and what part is KL.
#
# #### Exercise 13 · `pixelvae_bits`


# %% exercise="pixelvae_bits"
def pixelvae_bits(reconstruction, kl, D):
    """The mean cost of images in bits per dimension, and which share of it is carried by what.

    Args:
        reconstruction: (n,) float64 tensor, log p(x | z) in nats, at most 0.
        kl: (n, levels) float64, the KL divergence of each level of latent variables in nats.
        D: number of dimensions of x.

    Returns:
        A tuple: the mean over the images of the whole cost in bits per dimension, a float or a tensor without axes; the
        shares of this mean, (levels + 1,), first that of the pixels given the latents, then each level's; they sum to 1.
    """
    ### BEGIN SOLUTION
    parts = torch.cat([-reconstruction[:, None], kl], 1).mean(0)
    return parts.sum() / (D * math.log(2)), parts / parts.sum()
    ### END SOLUTION


# %% check="pixelvae_bits"

# %% [markdown]
# **Measured.** VAEs of the binary digits with ten latent variables, three seeds each
# (`python -m course_lib.experiments.pixel_vae`). The decoders: independent pixels; a gated PixelCNN of 8 channels
# with a *short* field, two rows above and one column to each side; and one with a *long* field, which sees nearly
# everything. The trainings:
#
# * **plain**, with each decoder: the weights for the context start at 0, that is, without $z$;
# * **random start**, with the long field: these weights start at random;
# * **warm-up**, with either field: plain, with a warm-up over a third of the training;
# * **free bits**, with the long field: plain, with 0.25 nats free for each latent variable.
#
# Beside them the PixelCNNs alone. How much of the cost will $z$ carry with the long field and plain training?

# %% tags=["demo"]
guess("nats of KL, long field, plain training", ...)

# %% tags=["demo"] folded="Draws the table: nats of the pixels given z, and of z, for each decoder and cure."
rows = {}
for decoder, cures in pixel_vae.MEASURED.items():
    for cure, seeds in cures.items():
        name = decoder if decoder == "independent pixels" else f"{decoder} field, {cure}"
        rows[name] = [(costs.elbo - costs.kl, costs.kl) for costs in seeds]
    if decoder in pixel_vae.WITHOUT_Z:
        rows[f"{decoder} field, without z"] = [(cost, 0.0) for cost in pixel_vae.WITHOUT_Z[decoder]]
plots.show(figures.shares_of_bits(rows))
for decoder, cures in pixel_vae.MEASURED.items():
    for cure, seeds in cures.items():
        tighter = ", ".join(f"{costs.iwae:.2f}" for costs in seeds)
        print(f"{decoder:18} {cure:12} importance-weighted bounds of the three seeds: {tighter}")
outcome("nats of KL, long field, plain training", float(np.mean([costs.kl for costs in pixel_vae.MEASURED["long"]["plain"]])))

# %% [markdown]
# **Where the field is short, $z$ pays.** Alone, the short PixelCNN costs 20.0 nats. With $z$ the cost is 17.1 to 17.5
# without any cure: 3 nats of KL save more than 5 nats of pixels. With independent pixels, $z$ has to spell out
# details as well: 6 nats of KL, and 18.0 in all. Details are cheaper left to the neighbours.
#
# **Where it is long, $z$ is a matter of luck.** Alone 17.3 nats. In plain training $z$ says 0.7, 1.6 and 0.04 nats in
# the three seeds, and the bound ends at 17.1 to 17.4: as the two inequalities say, there is little to win. With a
# random start or free bits, $z$ says 3 nats, and the bound gets *worse*, 17.3 to 17.8: these nats do not pay. A
# warm-up is the cure that wins, with 16.8 to 17.1. It is not a safe one: with the short field one seed of three ends
# at 18.3.
#
# **Bound or model?** The importance-weighted bounds, of 100 draws for each of the 300 test images, tell more. With the
# long field, two of three seeds of warm-up reach 16.2, and free bits 16.4 to 16.5, below every exact number in
# section 7: there the model got better on these images, and it is $q$ that cannot keep up. The third seed of warm-up,
# 16.82 against NADE's 16.9, settles nothing. (The exact 17.3 of the small PixelCNN without $z$ is the fairer
# comparison.)
#
# **Two levels.** One vector $z$ has to hold everything from the kind of digit to the slant of a stroke. A hierarchy
# draws $z_2$ from $N(0, I)$, then $z_1$ from $p(z_1 \mid z_2)$, a Gaussian whose mean and variance a network
# computes, then $x$. With $q(z_1, z_2 \mid x) = q(z_2 \mid x)\, q(z_1 \mid x, z_2)$, the logarithm of the ratio
# splits into two, and
#
# $$\mathcal{L}(x) = \mathbb{E}_q[\log p(x \mid z_1, z_2)] - \operatorname{KL}\big(q(z_2 \mid x) \,\|\, p(z_2)\big) - \mathbb{E}_{q(z_2 \mid x)}\big[\operatorname{KL}\big(q(z_1 \mid x, z_2) \,\|\, p(z_1 \mid z_2)\big)\big] ,$$
#
# one price per level. Why does $q$ go from the top to the bottom, as $p$ does? By Bayes' rule
# $p(z_1 \mid x, z_2) \propto p(z_1 \mid z_2)\, p(x \mid z_1, z_2)$: the posterior of the lower level is its prior,
# corrected by what $x$ says. The **ladder VAE** (Sønderby et al., 2016) builds $q$ in this way. The encoder gives a
# Gaussian $N(a, b)$ in place of $p(x \mid z_1, z_2)$, and with the prior $N(m, v)$, for each dimension, the product
# is
#
# $$-\frac{(z - m)^2}{2 v} - \frac{(z - a)^2}{2 b} = -\frac12 \Big(\frac1v + \frac1b\Big) z^2 + \Big(\frac mv + \frac ab\Big) z + \text{const},$$
#
# again a Gaussian, whose precision is the sum $\frac1c = \frac1v + \frac1b$, and whose mean
# $c\,(\frac mv + \frac ab)$ weights each side by its precision. If $x$ says nothing, $b \to \infty$, $q$ is the
# prior, and the level costs 0.

# %% tags=["demo"]
plots.show(figures.ladder())

# %% [markdown]
# How do the levels share the work? A ladder VAE has 2 latent variables at the top and 8 below, independent pixels, and
# a decoder that reads both levels. Trained on the plain ELBO, what is the KL of its lower level, in nats?

# %% tags=["demo"]
guess("KL of the lower level, plain ELBO, in nats", ...)

# %% tags=["train"] folded="Trains two ladder VAEs; your shares of bits; samples with the noise of one level varied at a time."
with waits_for("pixelvae_bits"):
    square, lower = data.digits("binary"), {}
    for free_bits in (0.0, 0.1):
        torch.manual_seed(0)
        two_levels = LadderVAE((1, 8, 8), 2, [2, 8], [200, 200], free_bits=free_bits)
        fit(two_levels, square, epochs=budget(smoke=1, cpu=30, gpu=100), batch_size=64, lr=4e-3)
        with torch.no_grad():
            terms = [two_levels.elbo_terms(square.test.x, generator=seeded(i)) for i in range(10)]
        reconstruction, kl = (
            torch.stack([getattr(each, name) for each in terms]).mean(0).double()
            for name in ("reconstruction", "kl_by_level")
        )
        bits, parts = pixelvae_bits(reconstruction, kl, 64)
        lower[free_bits] = float(kl[:, 1].mean())
        print(
            f"free bits {free_bits:g}: -ELBO {float(bits) * 64 * math.log(2):.2f} nats, {float(bits):.3f} bits/dim; KL of the "
            f"levels {float(kl[:, 0].mean()):.2f} and {lower[free_bits]:.2f} nats; shares of pixels, top, bottom: "
            + ", ".join(f"{float(part):.0%}" for part in parts)
        )
    outcome("KL of the lower level, plain ELBO, in nats", lower[0.0])
    grids = {}
    for level, name in {2: "top", 1: "bottom", 0: "pixels"}.items():
        grids[f"noise varied: {name}"] = two_levels.sample_varying(level, 12, generator=seeded(1))
        groups = [two_levels.sample_varying(level, 16, generator=seeded(i)).flatten(1).float() for i in range(40)]
        differ = np.mean([float(torch.cdist(each, each, p=1).sum()) / (16 * 15) for each in groups])
        print(f"noise varied at the {name}: two samples differ in {differ:.1f} of 64 pixels")
    alt = "Samples in three groups. New noise at the top changes the kind of digit, at the bottom its shape, in the pixels its borders."
    plots.show(plots.image_grids(grids, across=3, columns=4), alt=alt)

# %% [markdown]
# On the plain ELBO the lower level says nothing: its KL is 0.00 nats, and what is left is a VAE with two latent
# variables (one seed). That is not the optimum of this model. The second ladder VAE was trained with free bits, 0.1
# nats for each latent variable: both levels are used, and the ELBO itself, in which nothing is free, is better by 1.9
# nats. Presumably the lower level explains nothing early in training, so KL drives $q$ to the prior, and from there
# training does not come back. So a level may be dead because it does not pay, or because it was never given the time
# to; only a second training tells.
#
# New noise at one level makes two samples differ in 9 of 64 pixels, whichever level it is: the three decide about
# equally much, but not the same things. A new top often gives another digit, a new bottom another shape, and new
# pixels fray the borders.
#
# ### How far is the bound from log p?
#
# Section 2 averaged $p(x \mid z)$ over the prior and hardly ever hit; importance weights from $q$ fail where $q$ has
# no mass. **Annealed importance sampling** (AIS; Neal, 2001) needs no $q$. It goes from prior to posterior in small
# steps,
#
# $$f_t(z) = p(z)\, p(x \mid z)^{\beta_t}, \qquad 0 = \beta_0 < \beta_1 < \dots < \beta_T = 1 ,$$
#
# from $f_0 = p(z)$ to $f_T = p(z)\, p(x \mid z)$, whose integral is $p(x)$. Start with $z_0 \sim p(z)$. At each $t$,
# first take the ratio $f_t / f_{t-1} = p(x \mid z)^{\beta_t - \beta_{t-1}}$ at $z_{t-1}$ as a factor of the weight,
# then move: draw $z_t$ from a transition $\mathcal{T}_t(z_t \mid z_{t-1})$ that leaves $f_t$ invariant, that is,
# $\int f_t(z)\, \mathcal{T}_t(z' \mid z)\, dz = f_t(z')$. The weight is
#
# $$w = \prod_{t=1}^T p(x \mid z_{t-1})^{\beta_t - \beta_{t-1}}, \qquad \mathbb{E}[w] = p(x) .$$
#
# **Why it is unbiased.** Let $w_t$ be the product of the first $t$ factors. Of many chains, some have their $z_t$
# near $z$. Count each of these not once but $w_t$ times: this gives the weighted density $h_t(z)$ of $z_t$, which
# need not integrate to 1. Exactly, $h_t$ is defined by $\int h_t(z)\, \phi(z)\, dz = \mathbb{E}[w_t\, \phi(z_t)]$ for
# every function $\phi$. We claim that $h_t = f_t$. At the start $w_0 = 1$ and $h_0 = p(z) = f_0$. If
# $h_{t-1} = f_{t-1}$, then the new factor makes it $f_{t-1} \cdot f_t / f_{t-1} = f_t$, and the move makes that
# $\int f_t(z)\, \mathcal{T}_t(z' \mid z)\, dz = f_t(z')$. So $h_T = f_T$, and with $\phi = 1$:
# $\mathbb{E}[w] = \int f_T(z)\, dz = p(x)$. (The last move changes no weight, and may be left out.) Nothing asks that
# $z_t$ has reached $f_t$: a bad transition makes the weights noisy, not wrong.
#
# By Jensen, $\mathbb{E}[\log w] \le \log p(x)$: still a bound, and with $k$ chains $\log \frac1k \sum_j w_j$ is a
# tighter one. Unlike a plain average it also tightens with $T$. $T = 1$ is section 2's average. With more steps each
# factor is a ratio of two similar densities.
#
# **A move that leaves $f$ invariant.** Propose $z'$ from $z$ with a symmetric density, $g(z' \mid z) = g(z \mid z')$,
# and accept it with probability $\min(1, f(z')/f(z))$, else stay. For $z' \ne z$ then
# $f(z)\, \mathcal{T}(z' \mid z) = g(z' \mid z) \min(f(z), f(z'))$, which does not change when $z$ and $z'$ are
# exchanged. So $\int f(z)\, \mathcal{T}(z' \mid z)\, dz = \int f(z')\, \mathcal{T}(z \mid z')\, dz = f(z')$
# (Metropolis). **Hamiltonian Monte Carlo** adds a velocity $r \sim N(0, I)$ and follows the slope of $\log f$: half a
# step of $r$, then $z \mathrel{+}= \epsilon\, r$ and $r \mathrel{+}= \epsilon\, \nabla \log f(z)$ in turn, half a
# step of $r$ at the end. Each of these shifts one of the two by a function of the other, so volumes stay as they are,
# and with $r$ turned round the same steps lead back. So it is a symmetric proposal, to be accepted by the ratio of
# $f(z)\, e^{-|r|^2/2}$ (Neal, 2011).
#
# #### Exercise 14 · `ais_log_weights`


# %% exercise="ais_log_weights"
def ais_log_weights(z, betas, log_likelihood, move):
    """Annealed importance sampling from p(z) to p(z) p(x | z), through f_t(z) = p(z) p(x | z)^beta_t.

    Args:
        z: (n, L) float64 tensor, independent draws of p(z): z_0.
        betas: list of T + 1 rising floats from 0 to 1, T >= 1.
        log_likelihood: function (n, L) -> (n,), log p(x | z) in nats, which may be -inf. Called at most T + 1 times.
        move: function ((n, L), beta) -> (n, L), a random transition that leaves p(z) p(x | z)^beta invariant; in the
            check, any function. Whatever it does, z_t is move(z_{t-1}, beta_t). Called at most T times.

    Returns:
        (n,), log w = the sum over t = 1, ..., T of (beta_t - beta_{t-1}) log p(x | z_{t-1}). The mean of w is an unbiased
        estimate of p(x). It is -inf, never NaN, if a log-likelihood is.
    """
    ### BEGIN SOLUTION
    log_w = torch.zeros(len(z), dtype=z.dtype)
    for t in range(1, len(betas)):
        log_w = log_w + (betas[t] - betas[t - 1]) * log_likelihood(z)
        if t < len(betas) - 1:
            z = move(z, betas[t])
    return log_w
    ### END SOLUTION


# %% check="ais_log_weights"

# %% [markdown]
# **Where the truth is known.** Back to section 2: the grey digits, 20 latent variables, where the average over 10,000
# draws was hopeless. With ten chains of 1,000 steps there are as many decoder passes. In this model a *perfect* move
# exists: $p(x \mid z)^\beta$ is proportional to a Gaussian density with the variance $s^2 / \beta$, so section 3
# gives $f_t$'s own distribution, from which to draw. The other move is Hamiltonian, with five leapfrog steps. How
# many nats below the truth with 1,000 perfect steps?

# %% tags=["demo"]
guess("nats below log p(x), AIS with 1,000 steps", ...)

# %% tags=["train"] folded="Your annealed importance sampling on probabilistic PCA, with perfect and with Hamiltonian moves."
with waits_for("ais_log_weights"):
    pca, generator = ProbabilisticPCA.of(real.train.x, 20), seeded()
    W, mu, variance = pca.W.detach().double(), pca.mu.detach().double(), pca.variance.item()
    centred, exact_20 = (some - mu).repeat(10, 1), pca.log_prob(some).detach()


    def log_likelihood(z):
        squares = (centred - z @ W.T).square().sum(1)
        return -0.5 * (squares / variance + 64 * math.log(2 * math.pi * variance))


    def noise_like(z):
        return torch.randn(z.shape, dtype=z.dtype, generator=generator)


    def perfect(z, beta):
        covariance = torch.linalg.inv(torch.eye(20, dtype=z.dtype) + beta * W.T @ W / variance)
        return beta * centred @ W @ covariance / variance + noise_like(z) @ torch.linalg.cholesky(covariance).T


    def hamiltonian(z, beta):
        def slope(z):
            return beta * (centred - z @ W.T) @ W / variance - z

        def energy(z, r):
            return 0.5 * (r.square() + z.square()).sum(1) - beta * log_likelihood(z)

        step = 0.9 / math.sqrt(1 + beta * float(torch.linalg.matrix_norm(W, 2)) ** 2 / variance)
        r = start = noise_like(z)
        r, proposal = r + step / 2 * slope(z), z
        for last in (False, False, False, False, True):
            proposal = proposal + step * r
            r = r + (step / 2 if last else step) * slope(proposal)
        odds = energy(z, start) - energy(proposal, r)
        accepted = torch.rand(len(z), dtype=z.dtype, generator=generator).log() < odds
        return torch.where(accepted[:, None], proposal, z)


    lengths, below = [1, 10, 100, budget(smoke=100, cpu=1000, gpu=1000)], {}
    for name, move in {"perfect moves": perfect, "Hamiltonian moves": hamiltonian}.items():
        below[name] = []
        for T in lengths:
            betas = [(t / T) ** 4 for t in range(T + 1)]  # small steps first, where the likelihood varies most
            z = torch.randn(len(centred), 20, dtype=torch.float64, generator=generator)
            log_w = torch.as_tensor(ais_log_weights(z, betas, log_likelihood, move)).view(10, -1)
            below[name].append(float((exact_20 - log_w.logsumexp(0) + math.log(10)).mean()))
    plots.show(figures.annealed(lengths, below, short["20 latents"][-1]))
    outcome("nats below log p(x), AIS with 1,000 steps", below["perfect moves"][-1])

# %% [markdown]
# The ten chains lack 151 nats with $T = 1$. With perfect moves they lack 3.4 with 10 steps, 0.17 with 100, and 0.01
# with 1,000, where section 2's average over as many decoder passes lacks 35. Hamiltonian moves come to 0.08, at the
# price of five leapfrog steps, each with a gradient, for each move. The estimate does not say what it still lacks: run
# AIS with more steps until its answer no longer moves.
#
# **The VAEs of section 7.** `metrics.ais` (after Wu et al., 2017) does the same with any decoder, by Hamiltonian
# moves whose step sizes are found in a run before the run: adapting them to the chain's own past would break the
# proof above. For the first 30 test digits, beside the bounds and, for the smaller VAE, the exact value:

# %% tags=["train"] folded="Annealed importance sampling for both VAEs of section 7, beside their bounds and the exact value."
first = test[:30]
print("bounds and estimates of the NLL in nats, first 30 test digits")
for L, model in vaes.items():
    annealing = metrics.ais(model, first, steps=budget(smoke=3, cpu=300, gpu=1000), chains=4, generator=seeded())
    with torch.no_grad():
        bound = -float(torch.stack([model.elbo(first, generator=seeded(i)).mean() for i in range(100)]).mean())
    weighted = metrics.nll(model, first, draws=1000).mean
    print(f"{L:2} latents: -ELBO {bound:.2f}, importance-weighted {weighted:.2f}, annealed {annealing.nll.mean:.2f}", end="")
    if L == 2:
        print(f", exact {-float(metrics.log_probs_by_integration(model, first, reach=6, points=161).mean()):.2f}", end="")
    print()

# %% [markdown]
# For the smaller VAE 1,000 draws lack 0.3 nats, since $q$ misses a part of some posteriors, and annealing, which uses
# no $q$, lacks 0.1. For ten latent variables $q$ is good, and its weights win by 0.1. Both are lower bounds of
# $\log p(x)$ on average, so that they agree does not prove it; but as they are so different, it suggests that the 17.5
# nats of section 7 lack little. The rule above, more steps until nothing moves, was not followed here. (The first 30
# digits happen to be cheap ones.) The price: 300 steps with ten leapfrog steps for each of four chains, 12,000
# gradients per image, against 1,000 decoder passes.
#
# ### Today: hierarchies, and diffusion of codes
#
# **Deep hierarchies.** Two levels are few. NVAE (Vahdat and Kautz, 2020) and very deep VAEs (Child, 2021) stack
# dozens, each with maps of latent variables, coarse at the top and fine at the bottom. Prior and posterior share the
# way down, as in the ladder. On CIFAR-10, NVAE states 2.91 bits/dim (its abstract), where Gated PixelCNN has 3.03
# (lesson 04), and Child's abstract claims higher likelihoods than PixelCNN's on all natural image benchmarks, with
# samples thousands of times faster. The VAEs' numbers are upper bounds, so where they are lower than exact ones, the
# comparison is conclusive. Child's argument is this section's: an autoregressive model *is* a hierarchical VAE, one
# pixel per level, whose encoder copies. A hierarchy can have fewer steps than pixels.
#
# **Two stages.** The share of bits explains another design. Most bits of an image describe texture that nobody would
# miss; PixelVAE leaves them to the pixels. Latent diffusion (Rombach et al., 2022) trains an autoencoder first, with
# a KL term so small that $z$ keeps nearly everything that is seen, and then a diffusion model of its codes. In the
# language of PixelVAE's two inequalities: the prior $N(0, I)$, far from $q(z)$, is replaced by one that is learnt
# afterwards, which lowers $\operatorname{KL}(q(z) \,\|\, p(z))$. Vahdat, Kreis and Kautz (2021) train both at once,
# by the ELBO. Lesson 08 does the same with categories for codes and an autoregressive prior: a PixelCNN of codes
# (lesson 04) in place of a PixelCNN of pixels. There the gradient passes the choice straight through.
#
# ### Reading published tables
#
# *Fixed* binarized MNIST, test set, nats: Table 4 of van den Oord, Kalchbrenner and Kavukcuoglu (2016), as reprinted in
# A. Courville's lecture "Autoregressive Generative Models" (MILA).
#
# | model | NLL | what the number is |
# | --- | --- | --- |
# | NADE | 88.33 | exact |
# | MADE, 2 hidden layers, 32 masks | 86.64 | exact |
# | DLGM (Rezende, Mohamed and Wierstra, 2014) | ≈ 86.60 | an estimate |
# | DLGM, 8 leapfrog steps (Salimans et al., 2015) | ≈ 85.51 | an estimate |
# | DARN, 1 hidden layer (Gregor et al., 2014) | ≈ 84.13 | an estimate |
# | PixelCNN | 81.30 | exact |
# | DRAW (Gregor et al., 2015) | ≤ 80.97 | a bound |
# | Diagonal BiLSTM, 7 layers | 79.20 | exact |
#
# DLGM and DRAW are VAEs, and DARN has latent variables, too; they are listed beside autoregressive models, and DRAW's
# true NLL may be lower than 80.97. ≈ is the weakest sign: an importance-weighted estimate is a bound only in
# expectation. The figures of many
# VAE papers do not belong in this table at all: they binarize anew in each epoch (**dynamic** binarization), which acts
# like more data, and test on another set.
#
# ### History, references and solutions
#
# The two-network idea is that of the **Helmholtz machine** (Dayan et al., 1995), whose recognition network was trained
# by the wake-sleep algorithm, with KL the wrong way round in one phase. The reparameterization made one objective of
# it.
#
# Normalizing flows came to the posterior with Rezende and Mohamed (2015); IAF made them wide enough for images. That
# a latent variable is ignored by a strong decoder was first a nuisance of language models (Bowman et al., 2016). The
# use of annealed importance sampling to judge decoders is that of Wu, Burda, Salakhutdinov and Grosse (2017).
#
# * P. Baldi and K. Hornik. Neural networks and principal component analysis: learning from examples without local
#   minima. *Neural Networks* 2, 1989.
# * Y. Bengio, N. Léonard and A. Courville. Estimating or propagating gradients through stochastic neurons for conditional
#   computation. *arXiv:1308.3432*, 2013.
# * S. Bowman et al. Generating sentences from a continuous space. *CoNLL*, 2016.
# * Y. Burda, R. Grosse and R. Salakhutdinov. Importance weighted autoencoders. *ICLR*, 2016.
# * X. Chen et al. Variational lossy autoencoder. *ICLR*, 2017.
# * R. Child. Very deep VAEs generalize autoregressive models and can outperform them on images. *ICLR*, 2021.
# * C. Cremer, X. Li and D. Duvenaud. Inference suboptimality in variational autoencoders. *ICML*, 2018.
# * P. Dayan, G. Hinton, R. Neal and R. Zemel. The Helmholtz machine. *Neural Computation* 7, 1995.
# * A. Dempster, N. Laird and D. Rubin. Maximum likelihood from incomplete data via the EM algorithm. *Journal of the
#   Royal Statistical Society B* 39, 1977.
# * K. Gregor et al. Deep autoregressive networks. *ICML*, 2014; DRAW: a recurrent neural network for image generation.
#   *ICML*, 2015.
# * I. Gulrajani et al. PixelVAE: a latent variable model for natural images. *ICLR*, 2017.
# * I. Higgins et al. beta-VAE: learning basic visual concepts with a constrained variational framework. *ICLR*, 2017.
# * G. Hinton and D. van Camp. Keeping the neural networks simple by minimizing the description length of the weights.
#   *COLT*, 1993.
# * J. Ho, A. Jain and P. Abbeel. Denoising diffusion probabilistic models. *NeurIPS*, 2020.
# * E. Jang, S. Gu and B. Poole. Categorical reparameterization with Gumbel-softmax. *ICLR*, 2017.
# * D. Kingma and M. Welling. Auto-encoding variational Bayes. *ICLR*, 2014.
# * D. Kingma et al. Improving variational inference with inverse autoregressive flow. *NIPS*, 2016.
# * D. Kingma, T. Salimans, B. Poole and J. Ho. Variational diffusion models. *NeurIPS*, 2021.
# * G. Loaiza-Ganem and J. Cunningham. The continuous Bernoulli: fixing a pervasive error in variational autoencoders.
#   *NeurIPS*, 2019.
# * F. Locatello et al. Challenging common assumptions in the unsupervised learning of disentangled representations.
#   *ICML*, 2019.
# * C. Maddison, A. Mnih and Y. W. Teh. The concrete distribution: a continuous relaxation of discrete random variables.
#   *ICLR*, 2017.
# * R. Neal and G. Hinton. A view of the EM algorithm that justifies incremental, sparse, and other variants. In
#   *Learning in Graphical Models*, 1998.
# * R. Neal. Annealed importance sampling. *Statistics and Computing* 11, 2001; MCMC using Hamiltonian dynamics. In
#   *Handbook of Markov Chain Monte Carlo*, 2011.
# * A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu. Pixel recurrent neural networks. *ICML*, 2016.
# * G. Papamakarios, T. Pavlakou and I. Murray. Masked autoregressive flow for density estimation. *NIPS*, 2017.
# * D. Rezende and S. Mohamed. Variational inference with normalizing flows. *ICML*, 2015.
# * D. Rezende, S. Mohamed and D. Wierstra. Stochastic backpropagation and approximate inference in deep generative
#   models. *ICML*, 2014.
# * R. Rombach et al. High-resolution image synthesis with latent diffusion models. *CVPR*, 2022.
# * T. Salimans, D. Kingma and M. Welling. Markov chain Monte Carlo and variational inference: bridging the gap. *ICML*,
#   2015.
# * K. Sohn, H. Lee and X. Yan. Learning structured output representation using deep conditional generative models.
#   *NIPS*, 2015.
# * C. Sønderby et al. Ladder variational autoencoders. *NIPS*, 2016.
# * M. Tipping and C. Bishop. Probabilistic principal component analysis. *Journal of the Royal Statistical Society B*
#   61, 1999.
# * J. Townsend, T. Bird and D. Barber. Practical lossless compression with latent variables using bits back coding.
#   *ICLR*, 2019.
# * A. Vahdat and J. Kautz. NVAE: a deep hierarchical variational autoencoder. *NeurIPS*, 2020.
# * A. Vahdat, K. Kreis and J. Kautz. Score-based generative modeling in latent space. *NeurIPS*, 2021.
# * P. Vincent, H. Larochelle, Y. Bengio and P.-A. Manzagol. Extracting and composing robust features with denoising
#   autoencoders. *ICML*, 2008.
# * R. Williams. Simple statistical gradient-following algorithms for connectionist reinforcement learning. *Machine
#   Learning* 8, 1992.
# * Y. Wu, Y. Burda, R. Salakhutdinov and R. Grosse. On the quantitative analysis of decoder-based generative models.
#   *ICLR*, 2017.
#
# **Where the solution is.** The text source of this notebook with all answers is `solutions/07_vae.py` in the course
# repository. Compare after your checks pass: yours may well be different and just as right. In `course_lib` the same
# ideas are in `models/vae.py`, `models/posteriors.py`, `models/categorical_vae.py`, `models/pixel_vae.py`,
# `models/ladder_vae.py` and `metrics.py`.
