# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 09 · GANs: a generator and its classifier
#
# **The question of this lesson.** What can be learnt about a distribution by playing against a classifier, without any
# likelihood, and why is this game hard?
#
# Every model so far could say how probable an image is, or bound it. Now suppose that a model can only *draw*: noise
# goes in, an image comes out. One question about it can still be answered by experiment: can its images be told apart
# from the data? A **generative adversarial network** (GAN; Goodfellow et al., 2014) trains a classifier to tell them
# apart, and a generator to make the classifier fail.
#
# **After the core path you can**
#
# * read a ratio of two unknown densities off a classifier;
# * derive the best discriminator, and the divergence that it measures;
# * say when it gives the generator no gradient, and what the usual loss does about that;
# * write a GAN, train it, and see which modes it leaves out.
#
# **Builds on** lesson 01 (KL divergence, cross-entropy). No exercise needs your answers from there. Numbers in the text
# are for `COURSE_BUDGET=cpu`, the default.
#
# | symbol | meaning |
# | --- | --- |
# | $x$; $p_{\text{data}}$ | a point or an image; the distribution of the data |
# | $z$; $L$ | noise, $L$ independent draws of $N(0, 1)$; its size |
# | $G(z)$; $p_G$ | the **generator**, a network; the distribution of $G(z)$ |
# | $D(x) = \sigma(l(x))$ | the **discriminator**: the probability that it gives to "$x$ is data", with $\sigma(l) = 1 / (1 + e^{-l})$ |
# | $l(x)$ | its **logit**, $\log \frac{D}{1 - D}$: what the network computes |
# | $V(D, G)$ | the value of the game, in nats |

# %% setup=true
import math

import torch

# %% tags=["demo"] folded="Imports; loads a ring of eight Gaussians and the digits."
import copy

from autograder.checks import gan as checks
from course_lib import budget, data, explore, metrics, plots
from course_lib.clinic import gan_clinic
from course_lib.experiments import gan as experiment
from course_lib.figures import gan as figures
from course_lib.models import GAN
from course_lib.notebook import guess, outcome, waits_for

torch.set_num_threads(1)  # the models are so small that more threads would wait for one another


def seeded(seed=0):
    """A generator of random numbers that is the same each time."""
    return torch.Generator().manual_seed(seed)


# %% [markdown]
# ## 1 · Two samples, one classifier
#
# Here are two samples. Do they come from the same distribution? This is the **two-sample test**, and a classifier
# answers it: train it on one half of both samples, and count its errors on the other half. If the distributions are the
# same, no classifier does better than guessing, except by luck. If it does clearly better, they differ. If not, they
# may still differ in something that this classifier does not see.
#
# The classifier says more than that. Let the samples have $n_{\text{data}}$ and $n_{\text{model}}$ points, and draw $x$
# from all of them, mixed. It comes from the data with probability $\pi = n_{\text{data}} / (n_{\text{data}} +
# n_{\text{model}})$, so by Bayes' rule
#
# $$P(\text{data} \mid x) = \frac{\pi\, p_{\text{data}}(x)}{p(x)}, \qquad P(\text{model} \mid x) = \frac{(1 - \pi)\, p_G(x)}{p(x)}, \qquad p(x) = \pi\, p_{\text{data}}(x) + (1 - \pi)\, p_G(x) .$$
#
# Both have the same denominator. It cancels in their quotient, and what is left besides the densities is $\pi / (1 -
# \pi) = n_{\text{data}} / n_{\text{model}}$. A classifier trained by cross-entropy approaches $P(\text{data} \mid x)$
# (lesson 01), so its logit approaches
#
# $$l(x) = \log \frac{P(\text{data} \mid x)}{P(\text{model} \mid x)} = \log \frac{p_{\text{data}}(x)}{p_G(x)} + \log \frac{n_{\text{data}}}{n_{\text{model}}} .$$
#
# The ratio of two densities is known, though neither of them is.
#
# ### Exercise 1 · `log_density_ratio`


# %% exercise="log_density_ratio"
def log_density_ratio(logits, n_data, n_model):
    """The log of the ratio of two densities, from the logits of a classifier that tells their samples apart.

    Args:
        logits: (n,) float64 tensor, log P(data | x) - log P(model | x) of n points x; any finite numbers, inf and -inf.
        n_data: number of points of the data on which the classifier was trained, an int of at least 1.
        n_model: number of points of the model, an int of at least 1. The two may differ by any factor.

    Returns:
        (n,), log p_data(x) - log p_model(x) in nats. The arguments are left unchanged.
    """
    ### BEGIN SOLUTION
    return logits - (math.log(n_data) - math.log(n_model))
    ### END SOLUTION


# %% check="log_density_ratio"

# %% [markdown]
# A classifier of points on a line gets 10,000 of the data and 1,000 of a model. How far above the log ratio will its
# logits lie?

# %% tags=["demo"]
guess("mean distance of the logits from the log ratio, in nats", ...)

# %% tags=["train"] folded="Trains a small classifier on two samples; draws its logits, your ratio, and the exact one."
with waits_for("log_density_ratio"):
    normal = torch.distributions.Normal
    halves = normal(torch.tensor([-1.5, 1.5]), 0.6), normal(0.0, 2.0)
    torch.manual_seed(0)
    of_data, of_model = halves[0].sample((5_000,)).flatten(), halves[1].sample((1_000,))
    x, is_data = torch.cat([of_data, of_model])[:, None], torch.cat([torch.ones(10_000), torch.zeros(1_000)])
    classifier = torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
    adam = torch.optim.Adam(classifier.parameters(), lr=0.01)
    for _ in range(budget(smoke=5, cpu=600, gpu=2000)):
        i = torch.randint(len(x), (1000,))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(classifier(x[i])[:, 0], is_data[i])
        adam.zero_grad()
        loss.backward()
        adam.step()
    points = torch.linspace(-4, 4, 81)
    exact = halves[0].log_prob(points[:, None]).logsumexp(1) - math.log(2) - halves[1].log_prob(points)
    with torch.no_grad():
        logits = classifier(points[:, None])[:, 0].double()
        outcome(
            "mean distance of the logits from the log ratio, in nats",
            float((logits - exact)[points.abs() <= 3].mean()),
        )
    plots.show(figures.ratios(points, exact, logits, torch.as_tensor(log_density_ratio(logits, 10_000, 1_000))))

# %% [markdown]
# The logits are too high by $\log 10 = 2.3$ nats, on average over $|x| \le 3$; the correction moves them to the exact
# curve where there are points. At the ends, where hardly any point of the data lies, the classifier extrapolates.
#
# ## 2 · A model that only draws, and the game
#
# An **implicit model** has a generator and nothing else: draw $z \sim N(0, I)$, and put out $G(z)$. That defines a
# distribution $p_G$, but no formula for it. To compute $p_G(x)$ one would have to find every $z$ with $G(z) = x$, and if
# $L$ is smaller than the dimension of $x$, all samples lie on a surface, and there is no density at all. So neither
# maximum likelihood nor a bound can train it. But samples are enough for a classifier. With as many of both kinds, the
# discriminator minimises its cross-entropy, that is, it *maximises*
#
# $$V(D, G) = \mathbb{E}_{x \sim p_{\text{data}}}[\log D(x)] + \mathbb{E}_{z \sim N(0, I)}[\log(1 - D(G(z)))] ,$$
#
# and the generator does what it can to make this small: $\min_G \max_D V(D, G)$. $G$ never sees the data. All that it
# learns comes through $D$, by the gradient of $V$ with respect to its samples.

# %% tags=["demo"]
plots.show(figures.game())

# %% [markdown]
# **The best answer of $D$.** Keep $G$ fixed, and let $x$ have countably many values (for densities, sums become
# integrals): $V = \sum_x \big(p_{\text{data}}(x) \log D(x) + p_G(x) \log(1 - D(x))\big)$. Every $D(x)$ may be chosen on
# its own. With $a = p_{\text{data}}(x)$ and $b = p_G(x)$, not both 0, the derivative of $a \log D + b \log(1 - D)$ is $\frac aD -
# \frac{b}{1 - D}$. It falls as $D$ grows, and is 0 at
#
# $$D^*(x) = \frac{p_{\text{data}}(x)}{p_{\text{data}}(x) + p_G(x)} ,$$
#
# Bayes' rule again, with $\pi = \frac12$. **What it measures.** Put $D^*$ into $V$, and let $\bar p = \frac12
# (p_{\text{data}} + p_G)$, so that $D^* = p_{\text{data}} / 2 \bar p$ and $1 - D^* = p_G / 2 \bar p$:
#
# $$\max_D V = \sum_x p_{\text{data}} \log \frac{p_{\text{data}}}{\bar p} + \sum_x p_G \log \frac{p_G}{\bar p} - 2 \log 2 = \operatorname{KL}(p_{\text{data}} \,\|\, \bar p) + \operatorname{KL}(p_G \,\|\, \bar p) - \log 4 .$$
#
# Half the sum of these two KL divergences is the **Jensen–Shannon divergence** $\operatorname{JSD}(p_{\text{data}},
# p_G)$. It is 0 only if both distributions are the same. Since $p \le 2 \bar p$ for either, it is at most $\log 2$. So
#
# $$\max_D V = 2 \operatorname{JSD}(p_{\text{data}}, p_G) - \log 4, \qquad \text{from } -\log 4 = -1.386 \text{ to } 0 .$$
#
# Against a *perfect* discriminator, the best generator has $p_G = p_{\text{data}}$; then $D^* = \frac12$ everywhere.
#
# ### Exercise 2 · `optimal_discriminator`


# %% exercise="optimal_discriminator"
def optimal_discriminator(log_p_data, log_p_model):
    """The discriminator that maximises V for two known distributions over K states, and the maximum.

    Args:
        log_p_data, log_p_model: (K,) float64 tensors, the log-probabilities of all states in nats; -inf occurs. They may
            lie far apart, such as -1e4 and -1.

    Returns:
        A tuple: D (K,), the probability of "data" for each state, 1/2 where both probabilities are 0; the value V of
        the game with this D, a float or a tensor without axes, in nats, where 0 log 0 = 0. The arguments are left
        unchanged.
    """
    ### BEGIN SOLUTION
    neither = (log_p_data == -math.inf) & (log_p_model == -math.inf)
    logits = torch.where(neither, 0.0, log_p_data - log_p_model)
    value = 0.0
    for log_p, log_answer in (
        (log_p_data, torch.nn.functional.logsigmoid(logits)),
        (log_p_model, torch.nn.functional.logsigmoid(-logits)),
    ):
        p = log_p.exp()
        value = value + torch.where(p > 0, p * log_answer, 0.0).sum()
    return logits.sigmoid(), value
    ### END SOLUTION


# %% check="optimal_discriminator"

# %% [markdown]
# Let the data be a Gaussian around 0, and the model the same Gaussian moved by $a$, both with standard deviation 1 or
# 0.2. As $a$ grows, $\max_D V$ rises from -1.386. What is it at $a = 4$ for the narrow ones?

# %% tags=["demo"]
guess("value of the game at a = 4, narrow Gaussians", ...)

# %% tags=["demo"] folded="Your optimal discriminator for two Gaussians on a grid, and the value of the game as one of them moves away."
with waits_for("optimal_discriminator"):
    grid, shifts = torch.linspace(-4, 8, 2401, dtype=torch.float64), torch.linspace(0, 4, 41, dtype=torch.float64)


    def bump(centre, std):
        return torch.log_softmax(-0.5 * ((grid - centre) / std) ** 2, 0)


    values = {
        std: [float(optimal_discriminator(bump(0.0, std), bump(a, std))[1]) for a in shifts] for std in (1.0, 0.2)
    }
    at_two = torch.as_tensor(optimal_discriminator(bump(0.0, 1.0), bump(2.0, 1.0))[0])
    plots.show(figures.best_discriminator(grid, bump(0.0, 1.0), bump(2.0, 1.0), at_two, shifts, values))
    outcome("value of the game at a = 4, narrow Gaussians", values[0.2][-1])

# %% [markdown]
# It is 0, as at $a = 2$ already. Once the two hardly overlap, the value no longer depends on how far apart they are, so
# its slope is 0: the *better* the discriminator, the less it tells the generator about where to go. Images make
# this worse. Samples of a generator with small $L$ lie on a surface, which meets the surface of the data almost nowhere
# (Arjovsky and Bottou, 2017).
#
# ## 3 · A discriminator that is too good
#
# The generator's gradient passes through the logit $l$ of each of its samples. For its term $\log(1 - D) = \log
# \sigma(-l)$,
#
# $$\frac{d}{dl} \log(1 - \sigma(l)) = -\sigma(l) = -D .$$
#
# At the start samples are bad, $D$ is sure of that, and the derivative is near 0: the loss **saturates**. So the authors
# of GANs let the generator minimise another loss, $-\log D(G(z))$, with
#
# $$\frac{d}{dl} \big(-\log \sigma(l)\big) = -(1 - \sigma(l)) = -(1 - D) .$$
#
# Both losses raise the logits of samples. But this **non-saturating** loss pulls hardest at those that $D$ recognises,
# the other one at those that already deceive it. The game is then no longer zero-sum, and what the generator minimises
# against a perfect $D$ is no longer the Jensen–Shannon divergence (*Going further*).
#
# ### Exercise 3 · `gan_losses`


# %% exercise="gan_losses"
def gan_losses(real_logits, fake_logits):
    """The losses of both players, from the logits of the discriminator. All are minimised.

    Args:
        real_logits: (n,) float64 tensor, logits of data; n is at least 1.
        fake_logits: (m,) float64, logits of samples; m is at least 1, and may differ from n. Logits of any finite size:
            1000 and -1000 occur.

    Returns:
        A tuple of three tensors without axes, in nats, through which gradients flow to both arguments:
        the discriminator's loss, -mean log D(x) - mean log(1 - D(G(z))), each mean over its own batch;
        the saturating loss of the generator, mean log(1 - D(G(z)));
        its non-saturating loss, -mean log D(G(z)).
    """
    ### BEGIN SOLUTION
    log_sigmoid = torch.nn.functional.logsigmoid
    caught = log_sigmoid(-fake_logits).mean()
    return -log_sigmoid(real_logits).mean() - caught, caught, -log_sigmoid(fake_logits).mean()
    ### END SOLUTION


# %% check="gan_losses"

# %% [markdown]
# ### On paper
#
# The data are $N(0, 1)$, and the model is $N(a, 1)$, by $G(z) = a + z$. (a) What is the logit of the best discriminator?
# (b) For a sample at $x = a$, find the derivatives of both generator losses with respect to $x$, that is, through
# $l(x)$. (c) Compare them for $a = 6$, and say what a step of gradient descent does to the sample.
#
# <details>
# <summary><b>Solution</b> (open it when you have written down yours)</summary>
#
# (a) By section 1 with samples of equal size, $l(x) = \log p_{\text{data}}(x) - \log p_G(x) = -\frac{x^2}{2} + \frac{(x
# - a)^2}{2} = \frac{a^2}{2} - a x$. (b) Its slope is $-a$, and $l(a) = -\frac{a^2}{2}$. Saturating: $-\sigma(l) \cdot (-a) = a\,
# \sigma(-a^2/2)$, about $a\, e^{-a^2/2}$. Non-saturating: $a\, (1 - \sigma(-a^2/2))$, about $a$. (c) $6 e^{-18} = 9 \cdot 10^{-8}$
# against 6. Both are positive, so a step lowers $x$, towards the data. The first one hardly moves; the second one takes
# a step proportional to the distance, as if it descended $\frac12 x^2$.
# </details>
#
# ### Exercise 4 · `generator_grads`


# %% exercise="generator_grads"
def generator_grads(logits):
    """The derivatives of both generator losses with respect to the logit of each sample, in closed form.

    Args:
        logits: (n,) float64 tensor, the discriminator's logits of n samples, n at least 1; of any finite size.

    Returns:
        A tuple of two (n,) tensors: the derivatives of the saturating loss, mean log(1 - D(G(z))), and of the
        non-saturating loss, -mean log D(G(z)), both means over the n samples. They are accurate relative to their own
        size, also where that is 1e-260. The argument is left unchanged.
    """
    ### BEGIN SOLUTION
    n = len(logits)
    return -torch.sigmoid(logits) / n, -torch.sigmoid(-logits) / n
    ### END SOLUTION


# %% check="generator_grads"

# %% [markdown]
# Now with networks. The data lie on a ring of eight narrow Gaussians. An untrained generator stays as it is, while a
# discriminator is trained against it. After how much training is the saturating gradient a thousand times smaller than
# the other one?

# %% tags=["demo"]
guess("ratio of the two gradients after 200 steps", ...)

# %% tags=["train"] folded="Trains a discriminator alone, with your losses; after each step, both gradients of the generator by your function."
with waits_for("gan_losses", "generator_grads"):
    ring = data.ring()
    torch.manual_seed(0)
    untrained = GAN((2,), noise=2, hidden=[64, 64])
    adam = torch.optim.Adam(untrained.discriminator.parameters(), lr=1e-3)
    sizes = {"saturating": [], "non-saturating": []}
    for _ in range(budget(smoke=5, cpu=201, gpu=201)):
        x, z = ring.train.x[torch.randint(len(ring.train.x), (256,))], torch.randn(256, 2)
        fake_logits = untrained.logits(untrained.generate(z).detach())
        for sizes_of_one, grads in zip(sizes.values(), generator_grads(fake_logits.detach().double()), strict=True):
            sizes_of_one.append(float(-torch.as_tensor(grads).sum()))
        adam.zero_grad()
        gan_losses(untrained.logits(x), fake_logits)[0].backward()
        adam.step()
    l = torch.linspace(-8, 8, 161, dtype=torch.float64)
    losses = [torch.stack([torch.as_tensor(gan_losses(l[:1], each[None])[k]) for each in l]) for k in (1, 2)]
    slopes = [len(l) * torch.as_tensor(each) for each in generator_grads(l)]
    plots.show(figures.two_losses(l, losses, slopes, sizes))
    outcome("ratio of the two gradients after 200 steps", sizes["non-saturating"][-1] / sizes["saturating"][-1])

# %% [markdown]
# The discriminator needs a moment to be almost sure of every sample, and then the saturating gradient is all but gone.
# The other one tends to 1, its largest size.
#
# ## 4 · The ring, and the modes that are left out
#
# In practice nobody waits for the best discriminator. Both networks take steps in turn (the paper's Algorithm 1): one
# step of $D$ on a batch of data and a batch of samples, then one step of $G$ on fresh noise. A GAN with two layers of
# 128 units on either side, with both losses of the generator:

# %% tags=["train"]
gans, steps = {}, budget(smoke=4, cpu=2000, gpu=8000)
for loss in ("minimax", "non-saturating"):
    torch.manual_seed(0)
    gans[loss] = GAN((2,), noise=2, hidden=[128, 128], loss=loss)
    fit_game(gans[loss], ring, steps=steps, batch_size=256, lr=1e-3)

# %% [markdown]
# A mode is **covered** if a sample lies within three standard deviations of its centre. How many of the eight will the
# non-saturating GAN cover?

# %% tags=["demo"]
guess("modes covered, of 8", ...)

# %% tags=["demo"] folded="Draws samples of both GANs, and counts the modes."
samples = {loss: gan.sample(1000, generator=seeded()) for loss, gan in gans.items()}
plots.show(figures.rings({"data": ring.train.x[:1000]} | samples, ring.centres, 3 * ring.std))
