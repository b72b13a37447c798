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

# %% tags=["demo"] folded="Imports; loads a ring of eight Gaussians."
import copy

from autograder.checks import gan as checks
from course_lib import budget, data, explore, plots, pretrained
from course_lib.clinic import gan_clinic
from course_lib.experiments import gan as experiment
from course_lib.figures import gan as figures
from course_lib.models import GAN, BiGAN
from course_lib.notebook import guess, outcome, waits_for
from course_lib.training import fit_game

torch.set_num_threads(1)  # the models are so small that more threads would wait for one another
ring = data.ring()
points = ring.dataset()


def seeded(seed=0):
    """A generator of random numbers that is the same each time."""
    return torch.Generator().manual_seed(seed)


print(f"{points.name}: {len(points.train)} points to train on")

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
# $$P(\text{data} \mid x) = \frac{\pi\, p_{\text{data}}(x)}{\bar p(x)}, \qquad P(\text{model} \mid x) = \frac{(1 - \pi)\, p_G(x)}{\bar p(x)}, \qquad \bar p(x) = \pi\, p_{\text{data}}(x) + (1 - \pi)\, p_G(x) .$$
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
        logits: (n,) float64 tensor, log P(data | x) - log P(model | x) of n points x; any numbers, also infinite ones.
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
    at = torch.linspace(-4, 4, 81)
    exact = halves[0].log_prob(at[:, None]).logsumexp(1) - math.log(2) - halves[1].log_prob(at)
    with torch.no_grad():
        logits = classifier(at[:, None])[:, 0].double()
        outcome(
            "mean distance of the logits from the log ratio, in nats",
            float((logits - exact)[at.abs() <= 3].mean()),
        )
    plots.show(figures.ratios(at, exact, logits, torch.as_tensor(log_density_ratio(logits, 10_000, 1_000))))

# %% [markdown]
# The logits are too high by $\log 10 = 2.3$ nats, on average over $|x| \le 3$; the correction moves them to the exact
# curve where there are points. At the ends, where hardly any point of the data lies, the classifier extrapolates.
#
# ## 2 · A model that only draws, and the game
#
# An **implicit model** has a generator and nothing else: draw $z \sim N(0, I)$, and put out $G(z)$. That defines a
# distribution $p_G$, but no formula for it. To compute $p_G(x)$ one would have to find every $z$ with $G(z) = x$, and
# if $L$ is smaller than the dimension of $x$, all samples lie on a surface, and there is no density at all. So neither
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
# its own. With $a = p_{\text{data}}(x)$ and $b = p_G(x)$, not both 0, the derivative of $a \log D + b \log(1 - D)$ is
# $\frac aD - \frac{b}{1 - D}$. The derivative falls as $D$ grows, so the term is largest where the derivative is 0 (at
# an end, if $a$ or $b$ is 0):
#
# $$D^*(x) = \frac{p_{\text{data}}(x)}{p_{\text{data}}(x) + p_G(x)} ,$$
#
# Bayes' rule again, with $\pi = \frac12$. **What it measures.** Put $D^*$ into $V$. With $\pi = \frac12$, section 1's
# $\bar p$ is $\frac12 (p_{\text{data}} + p_G)$, so that $D^* = p_{\text{data}} / 2 \bar p$ and $1 - D^* = p_G / 2 \bar
# p$:
#
# $$\max_D V = \sum_x p_{\text{data}} \log \frac{p_{\text{data}}}{\bar p} + \sum_x p_G \log \frac{p_G}{\bar p} - 2 \log 2 = \operatorname{KL}(p_{\text{data}} \,\|\, \bar p) + \operatorname{KL}(p_G \,\|\, \bar p) - \log 4 .$$
#
# Half the sum of these two KL divergences is the **Jensen–Shannon divergence** $\operatorname{JSD}(p_{\text{data}},
# p_G)$. It is 0 only if both distributions are the same. Since neither $p_{\text{data}}$ nor $p_G$ exceeds $2 \bar p$,
# it is at most $\log 2$. So
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
# 0.2. As $a$ grows, $\max_D V$ rises from -1.386 towards 0. From which $a$ on is it above -0.01 for the narrow ones?

# %% tags=["demo"]
guess("distance from which the value is above -0.01, narrow Gaussians", ...)

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
    flat = next((float(a) for a, value in zip(shifts, values[0.2], strict=True) if value > -0.01), math.nan)
    outcome("distance from which the value is above -0.01, narrow Gaussians", round(flat, 1))

# %% [markdown]
# From $a = 1.2$ on, six standard deviations, it is nearly flat, and at $a = 2$ it is 0 to three decimals. Once the two
# hardly overlap, the value no longer depends on how far apart they are, so its slope is 0: the *better* the
# discriminator, the less $V$ tells the generator about where to go. Images make this worse. Samples of a generator with
# small $L$ lie on a surface, which meets the surface of the data almost nowhere (Arjovsky and Bottou, 2017).
#
# ## 3 · A discriminator that is too good
#
# The generator's gradient passes through the logit $l$ of each of its samples. For its term $\log(1 - D) = \log
# \sigma(-l)$,
#
# $$\frac{d}{dl} \log(1 - \sigma(l)) = -\sigma(l) = -D .$$
#
# At the start samples are bad, $D$ is sure of that, and the derivative is near 0: the loss **saturates**. So the
# authors of GANs let the generator minimise another loss, $-\log D(G(z))$, with
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
# The data are $N(0, 1)$, and the model is $N(a, 1)$, by $G(z) = a + z$. (a) What is the logit of the best
# discriminator? (b) For a sample at $x = a$, find the derivatives of both generator losses with respect to $x$, that
# is, through $l(x)$. (c) Compare them for $a = 6$, and say what a step of gradient descent does to the sample.
#
# <details>
# <summary><b>Solution</b> (open it when you have written down yours)</summary>
#
# (a) By section 1 with samples of equal size, $l(x) = \log p_{\text{data}}(x) - \log p_G(x) = -\frac{x^2}{2} + \frac{(x
# - a)^2}{2} = \frac{a^2}{2} - a x$. (b) Its slope is $-a$, and $l(a) = -\frac{a^2}{2}$. Saturating: $-\sigma(l) \cdot
# (-a) = a\, \sigma(-a^2/2)$, about $a\, e^{-a^2/2}$. Non-saturating: $a\, (1 - \sigma(-a^2/2))$, about $a$. (c) $6
# e^{-18} = 9 \cdot 10^{-8}$ against 6. Both are positive, so a step lowers $x$, towards the data. The first one hardly
# moves; the second one takes a step proportional to the distance, as if it descended $\frac12 x^2$.
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
# discriminator is trained against it. After 200 steps of the discriminator, take the mean derivative of both losses
# with respect to the samples' logits. How many times as large is it for the
# non-saturating loss as for the other one?

# %% tags=["demo"]
guess("ratio of the two mean derivatives after 200 steps", ...)

# %% tags=["train"] folded="Trains a discriminator alone, with your losses; after each step, both gradients of the generator by your function."
with waits_for("gan_losses", "generator_grads"):
    torch.manual_seed(0)
    untrained = GAN((2,), noise=2, hidden=[64, 64])
    adam = torch.optim.Adam(untrained.discriminator.parameters(), lr=1e-3)
    sizes = {"saturating": [], "non-saturating": []}
    for _ in range(budget(smoke=5, cpu=201, gpu=201)):
        x, z = points.train.x[torch.randint(len(points.train), (256,))], torch.randn(256, 2)
        fake_logits = untrained.logits(untrained.generate(z).detach())
        for sizes_of_one, grads in zip(sizes.values(), generator_grads(fake_logits.detach().double()), strict=True):
            sizes_of_one.append(float(-torch.as_tensor(grads).sum()))
        adam.zero_grad()
        gan_losses(untrained.logits(x), fake_logits)[0].backward()
        adam.step()
    line = torch.linspace(-8, 8, 161, dtype=torch.float64)
    losses = [torch.stack([torch.as_tensor(gan_losses(line[:1], each[None])[k]) for each in line]) for k in (1, 2)]
    slopes = [len(line) * torch.as_tensor(each) for each in generator_grads(line)]
    plots.show(figures.two_losses(line, losses, slopes, sizes))
    outcome("ratio of the two mean derivatives after 200 steps", sizes["non-saturating"][-1] / sizes["saturating"][-1])

# %% [markdown]
# After 200 steps the saturating derivative is 280 times smaller than the other one, which tends to 1, its largest size.
# (For the weights of the generator, the norms of the two gradients are 0.001 and about 5 after 1,000 steps, in three
# seeds: `course_lib.experiments.gan`.)
#
# So a discriminator that is far ahead silences the *saturating* loss only. The usual loss has other problems. What it
# descends is not the Jensen–Shannon divergence (*Going further*). And where neither data nor samples lie, nothing
# determines $D^*$, so nothing guarantees that its slope at a sample leads to the data.
#
# ## 4 · In turn, and the modes that are left out
#
# Nobody can wait for the best discriminator at every step, and with the minimax loss it would leave hardly any slope.
# So both networks take steps in turn (the paper's Algorithm 1): a step of $D$ on a batch of data and a batch of
# samples, then a step of $G$ on fresh noise. Then $D$ does not get far ahead, and on the ring the two losses do about
# equally well (*Going further*). Here is the usual one, with two hidden layers of 64 units on either side: once with
# the same learning rate for both players, and once with a discriminator that learns ten times as slowly:

# %% tags=["train"]
gans, stages = {}, {}
for name, lr in {"same rates": (1e-3, 1e-3), "slow D": (1e-3, 1e-4)}.items():
    torch.manual_seed(1)
    gans[name] = GAN((2,), noise=2, hidden=[64, 64])
    for stage in range(4):
        epochs = budget(smoke=1, cpu=20, gpu=80)
        fit_game(gans[name], points, epochs=epochs, batch_size=200, lr=lr, seed=stage, progress=False)
        stages[f"{name}, {20 * epochs * (stage + 1)} steps"] = gans[name].sample(1000, generator=seeded())

# %% [markdown]
# A mode is **covered** if a sample lies within three standard deviations of its centre. With equal rates the GAN covers
# all eight. And with the slow discriminator? (Samples beyond a frame are drawn on its border.)

# %% tags=["demo"]
guess("modes covered with a slow discriminator, of 8", ...)

# %% tags=["demo", "picture"] folded="Draws samples of both GANs at four stages; a circle is solid if its mode is covered."
plots.show(figures.rings(stages, ring.centres, 3 * ring.std))
outcome("modes covered with a slow discriminator, of 8", ring.modes_covered(stages[list(stages)[-1]]).covered)

# %% [markdown]
# Coverage alone is cheap: the first cloud has no shape, and covers all eight modes with 7 % of its samples. Read both
# numbers.
#
# The second row is **mode collapse**. For a *fixed* $D$ the best generator puts all samples at the one point where
# $l(x)$ is largest; nothing rewards variety. A generator that is ahead does so, $D$ learns to distrust the place, and
# the clump wanders on, from mode to mode, for ever. (Two other seeds ended with none and with one.) Samples spread only
# if $D$ already gives low logits where they crowd. So $D$ must not lag behind, and with the minimax loss it must not be
# far ahead. And $G$ gets its gradient at its own samples only: where it makes none, nothing asks it to.
#
# No loss tells you: neither falls as the samples get better, since each player is measured against the other.
#
# ## 5 · Bug clinic
#
# Six patients, all meant to be GANs of the ring; one is healthy. You see the mean of $D$ over data and over samples,
# and the loss of the discriminator as its author computes it, which is $\log 4 = 1.386$ when $D = \frac12$; the share
# of the samples that are at a mode; and samples, with crosses at the eight centres. If a mistake concerns several
# lines, name any of them. With `COURSE_BUDGET=smoke` they cannot be told apart: use `cpu`.

# %% tags=["train"]
clinic = gan_clinic()
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
# ## 6 · Your own GAN
#
# Assemble the pieces; nothing depends on your earlier answers. The check gives the model weights and judges it
# untrained.
#
# ### Exercise 5 · `OwnGAN`


# %% exercise="OwnGAN"
class OwnGAN(torch.nn.Module):
    """A GAN of real vectors (n, D), fully connected, with one hidden layer of ReLU units in each network.

    Args of `__init__`:
        noise: size L of the noise.
        D: size of x.
        hidden: number of hidden units of either network.

    Attributes, all `torch.nn.Linear` with biases:
        generator_hidden: from L to hidden. generator_out: from hidden to D.
        discriminator_hidden: from D to hidden. discriminator_out: from hidden to 1.

    x and z have the dtype of the parameters. The model keeps nothing between calls, and train mode is eval mode.

    sample(z): z (n, L) -> (n, D), G(z): generator_out of the ReLU of generator_hidden.
    logits(x): x (n, D) -> (n,), the discriminator's logits: discriminator_out of the ReLU of discriminator_hidden.
    discriminator_loss(x, z): x (n, D) data, z (m, L) noise, n and m at least 1 -> a scalar in nats, the mean of -log
        sigma(l) over the logits l of x, plus the mean of -log(1 - sigma(l)) over those of G(z). Gradients reach the
        discriminator only: those of the generator are None or 0.
    generator_loss(z): z (m, L) -> a scalar in nats, the non-saturating loss, the mean of -log sigma(l) over the logits
        of G(z). Its gradient passes through the discriminator to the generator.
    """

    def __init__(self, noise, D, hidden):
        super().__init__()
        ### BEGIN SOLUTION
        linear = torch.nn.Linear
        self.generator_hidden, self.generator_out = linear(noise, hidden), linear(hidden, D)
        self.discriminator_hidden, self.discriminator_out = linear(D, hidden), linear(hidden, 1)
        ### END SOLUTION

    def sample(self, z):
        ### BEGIN SOLUTION
        return self.generator_out(torch.relu(self.generator_hidden(z)))
        ### END SOLUTION

    def logits(self, x):
        ### BEGIN SOLUTION
        return self.discriminator_out(torch.relu(self.discriminator_hidden(x))).squeeze(1)
        ### END SOLUTION

    def discriminator_loss(self, x, z):
        ### BEGIN SOLUTION
        of_data, of_samples = self.logits(x), self.logits(self.sample(z).detach())
        log_sigmoid = torch.nn.functional.logsigmoid
        return -log_sigmoid(of_data).mean() - log_sigmoid(-of_samples).mean()
        ### END SOLUTION

    def generator_loss(self, z):
        ### BEGIN SOLUTION
        return -torch.nn.functional.logsigmoid(self.logits(self.sample(z))).mean()
        ### END SOLUTION


# %% check="OwnGAN"

# %% [markdown]
# **The training loop.** Two optimizers (Adam, learning rate 0.001, betas 0.5 and 0.999), each over its own player's
# parameters. For each step: draw 256 of the points and 256 of noise, and let the first one lower `discriminator_loss`;
# draw noise anew, and let the second one lower `generator_loss`. Before each of them set the gradients to 0: those of
# the generator's loss reach the discriminator's parameters as well.


# %% loop="train_own"
def train_own(model, x, steps):
    """Train an `OwnGAN` on x (n, D), in place, for so many steps. L is its `generator_hidden.in_features`."""
    ### BEGIN SOLUTION
    generator = [*model.generator_hidden.parameters(), *model.generator_out.parameters()]
    discriminator = [*model.discriminator_hidden.parameters(), *model.discriminator_out.parameters()]
    players = [torch.optim.Adam(each, lr=0.001, betas=(0.5, 0.999)) for each in (discriminator, generator)]
    noise = model.generator_hidden.in_features
    for _ in range(steps):
        for turn, adam in enumerate(players):
            z = torch.randn(256, noise)
            loss = model.generator_loss(z) if turn else model.discriminator_loss(x[torch.randint(len(x), (256,))], z)
            model.zero_grad()
            loss.backward()
            adam.step()
    ### END SOLUTION


# %% [markdown]
# How many modes will your GAN cover?

# %% tags=["demo"]
guess("modes that your own GAN covers, of 8", ...)

# %% tags=["train"] folded="Trains your GAN on the ring with your loop; draws its samples on the way, and counts the modes."
with waits_for("OwnGAN", "train_own"):
    torch.manual_seed(0)
    own, shown, part = OwnGAN(2, 2, 128), {}, budget(smoke=2, cpu=750, gpu=2000)
    for stage in range(4):
        train_own(own, points.train.x, steps=part)
        with torch.no_grad():
            shown[f"{(stage + 1) * part} steps"] = torch.as_tensor(own.sample(torch.randn(1000, 2, generator=seeded())))
    plots.show(figures.rings(shown, ring.centres, 3 * ring.std))
    covered, share = ring.modes_covered(list(shown.values())[-1])
    outcome("modes that your own GAN covers, of 8", covered)
    print(f"at a mode: {share:.0%} of the samples (aim: 6 modes or more; the solution: 8 modes, about 70 %)")
    print("fewer? Are the betas 0.5 and 0.999, are gradients set to 0 before each step, has each player its own optimizer?")

# %% [markdown]
# All eight, and more than two thirds of the samples at a mode. The others lie between two modes, and some always will:
# $G$ is continuous, so it maps the plane of $z$ to one connected piece. It can stretch the parts between the modes
# thin, but never tear them.
#
# ## 7 · The answer, and what a GAN cannot do
#
# **What can be learnt?** A classifier between data and samples estimates the log ratio of their densities, and its
# gradient tells a generator where to move each sample. With the minimax loss and the best discriminator at every step,
# this lowers the Jensen–Shannon divergence, down to $p_G = p_{\text{data}}$. No likelihood, no bound and no encoder is
# needed; a sample takes one pass, and it is judged as a whole, so it need not be blurred.
#
# **Why is the game hard?** Two networks descend two losses, each of which the other one changes. A poor discriminator
# teaches the wrong things; a perfect one can leave the minimax loss without any slope. Steps in turn may circle for
# ever, and modes that are left out cost little.
#
# What a GAN cannot do:
#
# * **No likelihood.** No test NLL, no total mass, no file size, no outliers, no comparison in nats with the models of
#   other lessons.
# * **No sign of overfitting or of missing modes.** A generator that stores the training images wins against every
#   discriminator that knows only these.
# * **No inference.** Which $z$ made $x$ (BiGAN, in *Going further*)?
# * **No objective number.** When to stop, and which of two runs is better, needs another measure: lesson 10.
#
# **Today.** Diffusion models have replaced GANs as models of images, but adversarial losses live on as *one* term among
# others: in image tokenizers (VQGAN; Esser, Rombach and Ommer, 2021; lesson 08) and the first stage of latent
# diffusion, where they make the decoder's texture sharp; in vocoders that turn spectra into sound in one pass
# (HiFi-GAN; Kong, Kim and Bae, 2020); and in distilling diffusion models to a few steps (Sauer et al., 2024).

# %% [markdown]
# ## Going further
# Sections may be read in any order, except that two need the DCGAN of *The rules of DCGAN*: *A walk between two
# samples*, and *Real or made?*.
#
# ### The game in the plane
#
# Why does training circle? The smallest GAN has its data at the point 0, a generator that is a point $x$, and a
# discriminator with logit $y \cdot x$ (Mescheder, Geiger and Nowozin, 2018). Near 0, $\log \sigma(l) \approx -\log 2 +
# \frac l2$, so $V = \log \sigma(0) + \log \sigma(-xy) \approx -\log 4 - \frac12 xy$. Up to scale and sign this is the
# **bilinear game** $V(x, y) = x y$, in which $x$ descends and $y$ ascends. Its one equilibrium is $(0, 0)$.
#
# **Both at once**, with learning rate $\eta$: $x' = x - \eta y$ and $y' = y + \eta x$. Then
#
# $$x'^2 + y'^2 = x^2 - 2 \eta x y + \eta^2 y^2 + y^2 + 2 \eta x y + \eta^2 x^2 = (1 + \eta^2)(x^2 + y^2) .$$
#
# For every $\eta$ it spirals outwards. **In turn**, $y$ uses the new $x'$: $y' = y + \eta x'$. With $x = x' + \eta y$,
#
# $$x'^2 - \eta x' y' + y'^2 = x'^2 + y' (y' - \eta x') = x'^2 + y' y = x'^2 + \eta x' y + y^2 = x' x + y^2 = x^2 - \eta x y + y^2 .$$
#
# (The second to last step is $x'(x' + \eta y)$, the last one $(x - \eta y)\, x$.) So $x^2 - \eta x y + y^2$ never
# changes, and for $\eta < 2$ the points with a given value of it are an ellipse. It neither leaves nor arrives. That is
# one reason why GANs take steps in turn.
#
# #### Exercise 6 · `gda`


# %% exercise="gda"
def gda(x, y, lr, n, alternating):
    """Gradient descent and ascent on V(x, y) = x y: x descends, y ascends.

    Args:
        x, y: floats, the starting point.
        lr: learning rate of both, a positive float.
        n: number of steps, at least 0.
        alternating: if False, both players use the point before the step; if True, y uses the new x.

    Returns:
        A float64 tensor (n + 1, 2), the points (x, y), the starting point first.
    """
    ### BEGIN SOLUTION
    path = [(x, y)]
    for _ in range(n):
        moved = x - lr * y
        y = y + lr * (moved if alternating else x)
        x = moved
        path.append((x, y))
    return torch.tensor(path, dtype=torch.float64)
    ### END SOLUTION


# %% check="gda"

# %% [markdown]
# After 100 steps with $\eta = 0.1$ from $(1, 0)$, how far from the equilibrium are simultaneous updates?

# %% tags=["demo"]
guess("radius after 100 simultaneous steps", ...)

# %% tags=["demo"] folded="Your paths: a picture, and the same as an animation."
with waits_for("gda"):
    ways = {
        name: torch.as_tensor(gda(1.0, 0.0, 0.1, 100, turns)) for name, turns in {"at once": False, "in turn": True}.items()
    }
    plots.show(figures.paths(ways))
    explore.moving_paths(ways)
    outcome("radius after 100 simultaneous steps", float(ways["at once"][-1].norm()))

# %% [markdown]
# $1.01^{50} = 1.64$. What would help? Let $y$ lose a little of itself at each step, $y' = y + \eta (x - \gamma y)$, as
# weight decay or a penalty on the discriminator's slope does. The simultaneous step is then the matrix $\begin{pmatrix}
# 1 & -\eta \\ \eta & 1 - \eta \gamma \end{pmatrix}$, whose determinant $1 - \eta \gamma + \eta^2$ is the product of its
# two eigenvalues. While they are a complex pair, both have the modulus $\sqrt{1 - \eta \gamma + \eta^2}$, and that is
# below 1 for $\eta < \gamma$: the spiral turns inwards. This is the idea of the **R1 penalty**, $\frac \gamma 2
# \mathbb{E}_{p_{\text{data}}} |\nabla l(x)|^2$, of the same paper: here $\nabla l = y$.
#
# ### Modes, counted
#
# #### Exercise 7 · `modes_covered`


# %% exercise="modes_covered"
def modes_covered(samples, centres, radius):
    """How many modes have samples, and how many samples are at a mode.

    Args:
        samples: (n, d) float64 tensor, n at least 1.
        centres: (K, d) float64, the modes' centres; K at least 1.
        radius: a positive float. A sample at exactly this distance still counts.

    Returns:
        A tuple: the number of centres that are the nearest one of at least one sample within the radius, an int or an
        integer tensor without axes; the share of the samples that lie within the radius of their nearest centre, a float
        or a tensor without axes. The arguments are left unchanged.
    """
    ### BEGIN SOLUTION
    distance, mode = torch.linalg.vector_norm(samples[:, None] - centres, dim=2).min(1)
    at_mode = distance <= radius
    return len(mode[at_mode].unique()), at_mode.double().mean()
    ### END SOLUTION


# %% check="modes_covered"

# %% [markdown]
# GANs with six losses or penalties were trained on the ring, and on a grid of 25 modes, with three seeds each (`python
# -m course_lib.experiments.gan`): every discriminator took 2,000 steps. Besides the two losses of section 3 there are
# the **hinge** loss, which asks logits only to pass $\pm 1$; the non-saturating loss with R1 ($\gamma = 0.1$); and the
# two of *The Wasserstein distance, and a penalty* below, whose generators take one step for five of the critic. For the
# first four games Adam has $\beta_1 = 0.5$, as usual for GANs, or its own default 0.9. The other two have
# optimizers of their own: RMSprop, with weights clipped at 0.1; Adam with betas 0.5 and 0.9, and a penalty of weight
# 1.
#
# On the ring with $\beta_1 = 0.5$ every run covers all eight modes. With 0.9 there are twelve runs, four games with
# three seeds. How many of them miss modes?

# %% tags=["demo"]
guess("runs of twelve that miss modes of the ring", ...)

# %% tags=["demo"] folded="Draws the table: modes covered and, beside them, the share of samples at a mode, three seeds each."
plots.show(figures.modes(experiment.COVERAGE))
default = [row for row in experiment.COVERAGE if row.mixture == "ring" and row.momentum == 0.9]
outcome("runs of twelve that miss modes of the ring", sum(covered < 8 for row in default for covered in row.covered))

# %% [markdown]
# **On the ring** with $\beta_1 = 0.5$ the games differ in the share of samples at a mode: 57 to 77 % for the first
# four, 6 to 27 % for the two with fewer steps of the generator. With $\beta_1 = 0.9$ four runs collapse, two of the
# non-saturating loss and two of hinge. Minimax and R1 keep all modes with all seeds, but their shares fall to 12 to 22
# % and 30 to 42 %.
#
# **On the grid** hinge covers 10 to 18 modes, and the gradient penalty 16 to 24; the other four cover 20 to 25. Seeds
# of one game differ by up to 8 modes, so these runs say nothing about the order of the four. And look at the shares: 5
# to 15 %. A mode's circle fills $\pi\, 0.15^2 = 7\,\%$ of its square of the grid, so a *uniform* cloud covers all 25
# modes, with 7 % of its samples at one. After 2,000 steps no GAN is far above that. Coverage without precision is
# cheap, as precision without coverage is (*DCGAN*, below).
#
# ### What the usual loss descends
#
# Against a perfect discriminator the minimax loss descends $2 \operatorname{JSD}$. And the non-saturating one? Let
# $\theta$ be the generator's weights, $p_\theta$ its distribution, and $D^*$ the best discriminator at $\theta_0$. It
# is kept fixed while $\theta$ moves. By section 2, $D^* / (1 - D^*) = p_{\text{data}} / p_{\theta_0}$, so
#
# $$-\log D^* = -\log \frac{D^*}{1 - D^*} - \log(1 - D^*) = \log \frac{p_{\theta_0}}{p_{\text{data}}} - \log(1 - D^*) .$$
#
# Take the mean under $p_\theta$, and its gradient at $\theta_0$. **First term.** In $\operatorname{KL}(p_\theta \,\|\,
# p_{\text{data}}) = \mathbb{E}_{p_\theta}[\log p_\theta - \log p_{\text{data}}]$ the gradient reaches $\theta$ in two
# places. That inside the logarithm gives $\mathbb{E}_{p_\theta}[\nabla \log p_\theta] = \nabla \sum p_\theta = \nabla 1
# = 0$. So the gradient is as if $\log p_\theta$ were kept at $\theta_0$: the first term gives $\nabla
# \operatorname{KL}(p_\theta \,\|\, p_{\text{data}})$. **Second term.** $\mathbb{E}_{p_\theta}[\log(1 - D^*)]$ is the
# part of $V$ that depends on $\theta$. Since $D^*$ maximises $V$, moving it along changes $V$ by nothing to first
# order; so this is the gradient of $\max_D V = 2 \operatorname{JSD} - \log 4$. Together (Arjovsky and Bottou, 2017,
# Theorem 2.5):
#
# $$\nabla\, \mathbb{E}_z[-\log D^*(G(z))] = \nabla \big( \operatorname{KL}(p_\theta \,\|\, p_{\text{data}}) - 2 \operatorname{JSD}(p_\theta, p_{\text{data}}) \big) .$$
#
# The first divergence punishes samples where there are no data, and hardly punishes missing modes (lesson 01), and the
# second has the *wrong sign*: it pushes the two apart. At $p_\theta = p_{\text{data}}$ both gradients are 0. "GANs
# minimise the Jensen–Shannon divergence" is true of a loss that hardly anybody uses, with a discriminator that nobody
# has.
#
# ### The Wasserstein distance, and a penalty
#
# A divergence that compares densities point by point does not see how far apart they are. The **Wasserstein distance**
# does. Think of $p$ and $q$ as heaps of sand. A plan moves sand from $x$ to $y$: a joint distribution of pairs $(x, y)$
# with the margins $p$ and $q$. $W_1$ is the smallest mean distance over all plans,
#
# $$W_1(p, q) = \min_{\text{plans}} \mathbb{E}|x - y| .$$
#
# **On a line.** Let $F$ and $Q$ be the cumulative distributions of $p$ and $q$. One plan pairs equal quantiles, $x =
# F^{-1}(u)$ and $y = Q^{-1}(u)$ for the same uniform $u$. Its mean distance $\int_0^1 |F^{-1}(u) - Q^{-1}(u)|\, du$ is
# the area between the two curves, which can also be cut into vertical slices: $\int |F(t) - Q(t)|\, dt$. No plan is
# better. For any function $f$ with $|f(x) - f(y)| \le |x - y|$ (a **1-Lipschitz** function) and any plan,
#
# $$\mathbb{E}_p[f] - \mathbb{E}_q[f] = \mathbb{E}[f(x) - f(y)] \le \mathbb{E}|x - y| ,$$
#
# and integrating by parts, $\mathbb{E}_p[f] - \mathbb{E}_q[f] = \int f'(t) (Q(t) - F(t))\, dt$. With slope $f' =
# \operatorname{sign}(Q - F)$ this *is* $\int |F - Q|\, dt$. So no plan is below it, and
#
# $$W_1(p, q) = \max_{f \text{ 1-Lipschitz}} \mathbb{E}_p[f] - \mathbb{E}_q[f] = \int |F(t) - Q(t)|\, dt .$$
#
# The first equation holds in all dimensions (Kantorovich and Rubinstein), and it makes a game: $f$ is a discriminator
# without a sigmoid, a **critic**.
#
# #### Exercise 8 · `wasserstein_1d`


# %% exercise="wasserstein_1d"
def wasserstein_1d(x, y):
    """The Wasserstein distance W1 of two samples on a line, each taken as a distribution with equal weights.

    Args:
        x: (n,) float64 tensor, in any order; n is at least 1.
        y: (m,) float64; m is at least 1, and may differ from n.

    Returns:
        W1, a float or a tensor without axes: the integral of |F - Q| over the line, where F(t) is the share of x that is
        at most t, and Q(t) that of y. The arguments are left unchanged.
    """
    ### BEGIN SOLUTION
    t = torch.cat([x, y]).sort().values
    F, Q = (
        torch.searchsorted(each.sort().values, t, right=True).to(t.dtype) / len(each) for each in (x, y)
    )
    return ((F - Q).abs()[:-1] * t.diff()).sum()
    ### END SOLUTION


# %% check="wasserstein_1d"

# %% tags=["demo"] folded="Your distance, and the value of the game with your best discriminator, as one Gaussian moves away from another."
with waits_for("wasserstein_1d", "optimal_discriminator"):
    narrow = 0.2 * torch.randn(2000, dtype=torch.float64, generator=seeded())
    other = 0.2 * torch.randn(1000, dtype=torch.float64, generator=seeded(1))
    shifts, grid = torch.linspace(0, 4, 41, dtype=torch.float64), torch.linspace(-4, 8, 2401, dtype=torch.float64)
    ways = [float(wasserstein_1d(narrow, other + a)) for a in shifts]
    moved = {float(a): torch.log_softmax(-0.5 * ((grid - a) / 0.2) ** 2, 0) for a in shifts}
    divergences = [
        (float(optimal_discriminator(moved[0.0], log_p)[1]) + math.log(4)) / 2 for log_p in moved.values()
    ]
    plots.show(figures.two_distances(shifts, ways, divergences))

# %% [markdown]
# $W_1$ grows with the distance, by 1 per unit: its slope is the same far away as near. How to keep a network
# 1-Lipschitz? **WGAN** (Arjovsky, Chintala and Bottou, 2017) clips every weight to $[-0.01, 0.01]$ after each step,
# which bounds the slope, by an unknown constant. **WGAN-GP** (Gulrajani et al., 2017) penalises slopes instead. A
# differentiable $f$ is 1-Lipschitz if $|\nabla f| \le 1$ everywhere, and the best $f$ has $|\nabla f| = 1$ on the lines
# along which the best plan moves sand: there $f(x) - f(y) = |x - y|$. Nobody knows that plan. So the paper draws points
# between *independent* pairs of data and samples, which is a heuristic, and adds
#
# $$\lambda\, \mathbb{E}\big(|\nabla f(\hat x)|_2 - 1\big)^2, \qquad \hat x = u x + (1 - u)\, G(z), \quad u \text{ uniform on } [0, 1] .$$
#
# The norm is that of *one image's* gradient, over all of its dimensions, and each image has one $u$. With a norm over
# channels alone, a critic whose slope is 1 would be punished; with a $u$ for each pixel, $\hat x$ is not on the line
# from $G(z)$ to $x$.
#
# #### Exercise 9 · `gradient_penalty`


# %% exercise="gradient_penalty"
def gradient_penalty(critic, real, fake, u, weight):
    """The gradient penalty of WGAN-GP: weight times the mean of (|gradient of the critic at x_hat| - 1)^2.

    x_hat_i = u_i real_i + (1 - u_i) fake_i for each image i, and the norm is the Euclidean one over all dimensions of
    one image.

    Args:
        critic: a function (n, ...) -> (n,) of images; each output depends on its own image only. It is left as it
            is: its weights get no `.grad`.
        real, fake: (n, ...) float64 tensors, images of any shape.
        u: (n,) float64 in [0, 1].
        weight: a positive float.

    Returns:
        A tensor without axes, through which gradients flow to the critic's weights, and none to real and fake. They are
        finite also where the critic's gradient is 0.
    """
    ### BEGIN SOLUTION
    u = u.reshape(-1, *[1] * (real.ndim - 1))
    x_hat = torch.lerp(fake.detach(), real.detach(), u).requires_grad_()
    (slope,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)
    return weight * (torch.linalg.vector_norm(slope.flatten(1), dim=1) - 1).square().mean()
    ### END SOLUTION


# %% check="gradient_penalty"

# %% [markdown]
# Two critics of the ring, and samples of an untrained generator. One critic is trained by cross-entropy, the other by
# the Wasserstein loss and your penalty.

# %% tags=["train"] folded="Trains both critics against an untrained generator, with your penalty; draws their values on the plane, with contour lines."
with waits_for("gradient_penalty"):
    torch.manual_seed(0)
    far = GAN((2,), noise=2, hidden=[64, 64])
    with torch.no_grad():
        made = far.generate(torch.randn(2000, 2, generator=seeded()))
    critics, reached = {}, {}
    for name in ("cross-entropy", "Wasserstein, penalty"):
        critics[name] = copy.deepcopy(far.discriminator)
        adam = torch.optim.Adam(critics[name].parameters(), lr=1e-3)
        for _ in range(budget(smoke=3, cpu=600, gpu=2000)):
            x, fake = (each[torch.randint(len(each), (256,))] for each in (points.train.x, made))
            of_x, of_fake = critics[name](x).flatten(), critics[name](fake).flatten()
            if name == "cross-entropy":
                loss = torch.nn.functional.softplus(-of_x).mean() + torch.nn.functional.softplus(of_fake).mean()
            else:
                penalty = gradient_penalty(lambda v, f=critics[name]: f(v).flatten(), x, fake, torch.rand(256), 10.0)
                loss = of_fake.mean() - of_x.mean() + penalty
            adam.zero_grad()
            loss.backward()
            adam.step()
    plots.show(figures.critics(critics, points.train.x[:500], made[:500]))

# %% [markdown]
# Colours are the critics' answers, dots data, crosses samples. The lines are equally many units apart in both panels,
# so they are dense where a critic is steep. Both critics pull. But nothing bounds the slope of the first one, and it
# differs from place to place: at the samples it was 1.7 on average after 100 steps, and is 3.95 after 600, with a
# standard deviation of 1.6. With the penalty it is 1.05, with 0.06: every sample is pulled with nearly the same force.
#
# ### The rules of DCGAN, each taken away
#
# With convolutions GANs were hard to train, until Radford, Metz and Chintala (2016) found rules by search: **DCGAN**.
#
# * Strided convolutions in place of pooling, transposed convolutions in the generator; no fully connected hidden layers
#   (only the first layer of the generator and the last one of the discriminator are).
# * Batch normalization in both networks, but not in the generator's output layer and the discriminator's input layer.
# * ReLU in the generator, tanh at its output, leaky ReLU with slope 0.2 in the discriminator.
# * Weights from $N(0, 0.02^2)$; Adam with $\beta_1 = 0.5$ in place of 0.9, and learning rate 0.0002 (here 0.001, since
#   the networks are small).

# %% tags=["demo"]
plots.show(figures.dcgan())

# %% [markdown]
# What is each of them worth? DCGANs of the 8 × 8 digits, complete and with one rule taken away, three seeds each.
# ($\beta_1$ and the learning rate stay as they are.) Three measures of 1,000 samples: the share that a classifier of
# digits reads with more than 90 % confidence; the **effective number of classes**, $\exp$ of the entropy of the classes
# that it reads, at most 10; and a distance to the training images, each set taken for a Gaussian with the mean $\mu$
# and the covariance $C$ of its pixels, scaled to $[0, 1]$,
#
# $$|\mu - \mu'|^2 + \operatorname{tr}\big(C + C' - 2 (C^{1/2} C' C^{1/2})^{1/2}\big) ,$$
#
# which is $W_2^2 = \min_{\text{plans}} \mathbb{E}|x - y|^2$ of the two Gaussians: $W_1$ with the mean of *squared*
# distances. With a network's features in place of pixels it is called FID (lesson 10). By this distance, which rule
# will be missed most?

# %% tags=["demo"]
guess("the rule that is missed most", ..., choices=list(experiment.KINDS)[1:])

# %% tags=["demo"] folded="Draws the table of the rules, three seeds each."
plots.show(figures.rules(experiment.RULES))
rules = {row.kind: row for row in experiment.RULES}
worst = max(list(experiment.KINDS)[1:], key=lambda kind: sum(rules[kind].distance))
outcome("the rule that is missed most", worst)

# %% tags=["train"] folded="Trains the complete DCGAN; draws samples."
digits = data.digits("levels")
dcgan = experiment.trained("all rules", seed=0, epochs=budget(smoke=1, cpu=30, gpu=100)).eval()
alt = "Three rows of sixteen samples of a DCGAN: most can be read as digits, with sharp strokes; some are broken."
plots.show(plots.image_grid(dcgan.sample(48, generator=seeded()), columns=16, levels=16), alt=alt)

# %% [markdown]
# Without batch normalization one to three classes are left of ten. And yet the classifier reads *these* samples with
# more confidence, 71 to 84 %, than those of the complete DCGAN, 60 %: a single well-drawn digit, a thousand times, is
# read easily. (Remember it in lesson 10.) With a fully connected hidden layer 6.0 classes are left on average, with
# sigmoids 7.2, of 9.4. But four rules are not worth anything here. With pooling, with plain ReLU or with torch's own
# initial weights the distance is *smaller*, 0.35 to 0.55 in place of 0.67 to 0.83, and a linear output has 0.62 to
# 0.76, though fewer digits are read. The rules were found on larger images and deeper networks; on these, with two
# layers and 570 steps, most are not needed. The 300 test images have 94 %, 10.0 classes and 0.11.
#
# ### A walk between two samples
#
# Has the DCGAN of the last section (run its cells first) memorised images? If so, a walk from one $z$ to another jumps
# from image to image. As in lesson 07, an arc keeps the length that draws of $N(0, I)$ have. And samples would lie
# nearer to training images than other digits do: measure the mean squared distance (in levels, per pixel) to the
# nearest training image, for samples and for test digits. Which one is smaller?

# %% tags=["demo"]
guess("nearer to the training images", ..., choices=["samples", "test digits"])

# %% tags=["demo"] folded="Walks along arcs between pairs of noise, with the nearest training images; distances to the nearest one."
z = torch.randn(6, 32, generator=seeded(4)).view(3, 2, 32)
with torch.no_grad():
    walks = torch.cat([dcgan.generate(plots.arc(ends, 9)) for ends in z]) / 15
known = digits.train.x.flatten(1).float()
nearest = torch.cdist(15 * walks.flatten(1), known).argmin(1)
groups = torch.cat([walks.view(3, 9, 1, 8, 8), digits.train.x[nearest].view(3, 9, 1, 8, 8) / 15], 1).flatten(0, 1)
alt = "Three walks of nine samples each, with the nearest training image below each sample: strokes move and bend gradually; the nearest images change by jumps, and none is copied."
names = ["walk", "nearest"] * 3
plots.show(plots.image_grid(groups.clamp(0, 1), columns=9, row_names=names), alt=alt)
both = {"samples": dcgan.sample(300, generator=seeded(1)), "test digits": digits.test.x}
away = {name: float((torch.cdist(x.flatten(1).float(), known).min(1).values.square() / 64).mean()) for name, x in both.items()}
print("to the nearest training image:", ", ".join(f"{name} {value:.1f}" for name, value in away.items()))
outcome("nearer to the training images", min(away, key=away.get))

# %% [markdown]
# Along the walks strokes bend and move gradually. And samples are *farther* from the training images (10.0) than test
# digits are (4.6). So this generator does not copy; its samples are off, instead, in ways that real digits are not.
#
# ### Handwriting at 28 × 28
#
# A DCGAN with 100 numbers $z$ was trained once on MNIST; its file comes with the course.

# %% tags=["demo"] folded="Loads the trained DCGAN; draws 40 samples; walks along arcs."
large = pretrained.load("dcgan-mnist")
print(pretrained.about("dcgan-mnist"))
alt = "Forty samples in four rows: sharp strokes in white and black; about three quarters can be read as digits."
plots.show(plots.image_grid(large.sample(40, generator=seeded()), columns=10, levels=256), alt=alt)
pairs = torch.randn(4, 2, 100, generator=seeded(1))
with torch.no_grad():
    walks = torch.cat([large.generate(plots.arc(pair, 10)) for pair in pairs]) / 255
alt = "Four walks of ten samples: an eight grows narrow, a five shrinks, a nine becomes a zero, a looped three a one and then a nine; the strokes move by small steps."
plots.show(plots.image_grid(walks.clamp(0, 1), columns=10), alt=alt)

# %% [markdown]
# The strokes are sharp, sharper than those of the VAE in lesson 07, and about a quarter of the samples cannot be read.
# How good is this model, as a number? The file has none, since there is no likelihood. And what these forty samples
# cannot show is what is missing: a mode that the generator never draws (*Modes, counted*).
#
# ### Inference: BiGAN
#
# A GAN has no encoder: which $z$ belongs to a given $x$? **BiGAN** (Donahue, Krähenbühl and Darrell, 2017), and at the
# same time ALI (Dumoulin et al., 2017), trains one, $E(x)$, and lets the discriminator see *pairs*: $(x, E(x))$ with
# data $x$, and $(G(z), z)$ with noise $z$.

# %% tags=["demo"]
plots.show(figures.bigan())

# %% [markdown]
# All of section 2 holds for pairs. The value of the game is $2 \operatorname{JSD} - \log 4$ of the two *joint*
# distributions, and it is least when they agree. Then, with probability 1, a pair $(G(z), z)$ is also one of the form
# $(x, E(x))$, so $z = E(G(z))$: the encoder inverts the generator, though no loss compares $x$ with $G(E(x))$. Both $G$
# and $E$ minimise: $E$'s pairs count as data, so its labels are flipped, too. $E$'s gradient comes through $D$'s input
# $E(x)$, so do not detach it in $E$'s step.
#
# Trained on the ring, which share of the test points does $G(E(x))$ bring back to the mode that they came from?

# %% tags=["demo"]
guess("share of test points that come back to their mode", ...)

# %% tags=["train"] folded="Trains a BiGAN of the ring; draws test points, their codes, and what the generator makes of these."
torch.manual_seed(1)
bigan = BiGAN((2,), noise=2, hidden=[64, 64], levels=None)
fit_game(bigan, points, epochs=budget(smoke=1, cpu=200, gpu=400), batch_size=200, lr=1e-3)
x, mode = points.test.x, points.test.y
back = bigan.reconstruct(x)
plots.show(figures.inference(x, bigan.encode(x).detach(), back, mode))
nearest = torch.cdist(back, ring.centres).argmin(1)
outcome("share of test points that come back to their mode", float((nearest == mode).double().mean()))
print(f"mean distance of x and G(E(x)): {float((back - x).norm(dim=1).mean()):.2f}")

# %% [markdown]
# All of them, to within 0.16 on average: the encoder does invert the generator. But this is one seed; another one
# brings back 73 %, and confuses neighbours. And the joint distributions are not equal, since the codes fill eight spots
# where $N(0, I)$ fills the plane (the circles have radius 1 and 2): $E$ is a function, and would have to blow each narrow mode up to a sector. (ALI's
# encoder draws $z$ from a Gaussian, as a VAE's does.)
#
# ### VAE and GAN, side by side

# %% tags=["demo"]
plots.show(figures.vae_and_gan())

# %% [markdown]
# The VAE's generator is its decoder. Both feed noise to a network and get an image. The difference is what the image is
# compared with. A VAE pairs each image with its own code, so its decoder knows which $x$ it should have made, and pays
# in nats for each deviation (hence a mean, and blur, but every image counts). A GAN pairs nothing: a sample only has to
# look like *some* image (hence sharp samples, and no complaint about images that are never made).
#
# | | VAE (07) | GAN |
# | --- | --- | --- |
# | trains | one loss, which falls | two losses, which need not |
# | likelihood | a bound | none |
# | finds $z$ for $x$ | encoder | no (BiGAN: yes) |
# | typical failure | blur, unused latents | modes left out, no convergence |
# | time for a sample | one pass | one pass |
#
# ### Real or made?
#
# A classifier with a person in it: you. Below are digits of the data and samples of the DCGAN of *The rules of DCGAN*
# (run its cells first). Type the numbers of those that you take for made.

# %% tags=["demo"] folded="A game: which of twenty digits are samples? Type their numbers, and press Enter."
made = dcgan.sample(10, generator=seeded(2))
real = digits.test.x[torch.randperm(len(digits.test), generator=seeded(3))[:10]]
explore.real_or_made(real, made, levels=16, seed=5)

# %% [markdown]
# How sure may you be of your score? If you get $k$ of $n$ right, the **Wilson interval** holds all $p$ for which $k /
# n$ is not surprising, $|k/n - p| \le 1.96 \sqrt{p (1 - p) / n}$. Squared, this is a quadratic inequality for $p$; its
# two ends are
#
# $$\frac{k + c/2}{n + c} \pm \frac{\sqrt{c}}{n + c} \sqrt{\frac{k (n - k)}{n} + \frac{c}{4}}, \qquad c = 1.96^2 .$$
#
# With 14 of 20 right it goes from 48 % to 85 %: guessing is not excluded. The interval takes the $n$ answers for
# independent. Yours are not quite, if you know that ten are made and mark just ten: then one mistake brings another.
#
# ### From 2014 to BigGAN
#
# The first GANs made digits, faces and CIFAR-10 images, with fully connected and convolutional networks, and were
# compared by a Parzen window, that is, by the density of Gaussians around samples, which says little in many dimensions
# (lesson 10). DCGAN (2016) made 64 × 64 bedrooms. **Progressive growing** (Karras et al., 2018) adds layers during
# training, and reaches faces of 1024 × 1024. Then come class-conditional ImageNet images of 128 × 128 pixels. By these
# papers' abstracts:
#
# | model | Inception score (higher is better) | FID (lower is better) |
# | --- | --- | --- |
# | best before, as SAGAN's abstract says | 36.8 | 27.62 |
# | SAGAN (Zhang et al., 2019) | 52.52 | 18.65 |
# | BigGAN (Brock, Donahue and Simonyan, 2019), an earlier abstract | 166.3 | 9.6 |
# | BigGAN, abstract of arXiv:1809.11096v2 | 166.5 | 7.4 |
#
# What changed? Spectral normalization of the weights (Miyato et al., 2018), which bounds each layer's slope; attention;
# the hinge loss; and for BigGAN above all size: larger batches and wider networks. Three things to see in the table:
#
# * **No likelihood.** The scores compare features of a classifier (lesson 10). Neither would notice a memorised
#   training set.
# * **One paper, two FIDs.** Between the versions of one abstract FID falls from 9.6 to 7.4, while the Inception score
#   hardly moves. Cite the version.
# * **A score can be bought.** BigGAN's **truncation trick** draws $z$ from a normal distribution whose tails are cut
#   off. The tighter the cut, the better each sample and the less they vary. So a score belongs to a threshold, not to a
#   model.
#
# Is the loss responsible for the progress? Lucic et al. (2018) compared many losses with the same networks and the same
# budget for tuning: most reach similar scores with enough tuning and random restarts, and no evidence was found that
# any of them consistently outperforms the non-saturating GAN of 2014.
#
# ### Sentences that lectures repeat
#
# Each of these is said often, and is not right in this form. Say what is missing before you open the answers.
#
# 1. "GANs minimise the Jensen–Shannon divergence."
# 2. "The non-saturating loss has the same gradient direction, only larger."
# 3. "$D = \frac12$ everywhere, so the generator is perfect."
# 4. "The critic's loss is the Wasserstein distance."
# 5. "When the losses no longer change, training has converged."
#
# <details>
# <summary><b>Answers</b></summary>
#
# 1. With the minimax loss and a perfect discriminator for every $G$. With the usual loss see *What the usual loss
#    descends*.
# 2. The same direction for one sample's logit, and larger where $l < 0$. For a batch, the samples have other weights:
#    $D$ in one case and $1 - D$ in the other. So the sums of their gradients have different directions.
# 3. A discriminator that cannot tell them apart, or has not learnt to, also says $\frac12$. It has to be the best one.
# 4. Without the penalty, its negative is at most the distance, if the critic is 1-Lipschitz. With clipped weights the
#    distance is scaled by an unknown constant; with a penalty the constraint holds only roughly, and the critic is
#    never at its maximum.
# 5. On a circle of the bilinear game nothing converges, and its two losses only oscillate. And a generator that has
#    lost half of the modes may have quiet losses.
# </details>
#
# ### History, references and solutions
#
# To judge a generator by a classifier is older than GANs: noise-contrastive estimation (Gutmann and Hyvärinen, 2010)
# trains a density by a classifier against known noise. GANs let the noise learn, too.
#
# * M. Arjovsky and L. Bottou. Towards principled methods for training generative adversarial networks. *ICLR*, 2017.
# * M. Arjovsky, S. Chintala and L. Bottou. Wasserstein generative adversarial networks. *ICML*, 2017.
# * A. Brock, J. Donahue and K. Simonyan. Large scale GAN training for high fidelity natural image synthesis. *ICLR*,
#   2019.
# * J. Donahue, P. Krähenbühl and T. Darrell. Adversarial feature learning. *ICLR*, 2017.
# * V. Dumoulin et al. Adversarially learned inference. *ICLR*, 2017.
# * P. Esser, R. Rombach and B. Ommer. Taming transformers for high-resolution image synthesis. *CVPR*, 2021.
# * I. Goodfellow et al. Generative adversarial nets. *NIPS*, 2014.
# * I. Gulrajani et al. Improved training of Wasserstein GANs. *NIPS*, 2017.
# * M. Gutmann and A. Hyvärinen. Noise-contrastive estimation: a new estimation principle for unnormalized statistical
#   models. *AISTATS*, 2010.
# * T. Karras, T. Aila, S. Laine and J. Lehtinen. Progressive growing of GANs for improved quality, stability, and
#   variation. *ICLR*, 2018.
# * J. Kong, J. Kim and J. Bae. HiFi-GAN: generative adversarial networks for efficient and high fidelity speech
#   synthesis. *NeurIPS*, 2020.
# * M. Lucic et al. Are GANs created equal? A large-scale study. *NeurIPS*, 2018.
# * L. Mescheder, A. Geiger and S. Nowozin. Which training methods for GANs do actually converge? *ICML*, 2018.
# * T. Miyato, T. Kataoka, M. Koyama and Y. Yoshida. Spectral normalization for generative adversarial networks. *ICLR*,
#   2018.
# * A. Radford, L. Metz and S. Chintala. Unsupervised representation learning with deep convolutional generative
#   adversarial networks. *ICLR*, 2016.
# * A. Sauer, D. Lorenz, A. Blattmann and R. Rombach. Adversarial diffusion distillation. *ECCV*, 2024.
# * H. Zhang, I. Goodfellow, D. Metaxas and A. Odena. Self-attention generative adversarial networks. *ICML*, 2019.
#
# **Where the solution is.** The text source of this notebook with all answers is `solutions/09_gan.py` in the course
# repository. Compare after your checks pass: yours may well be different and just as right. In `course_lib` the same
# ideas are in `nn/adversarial.py`, `models/gan.py` and `models/bigan.py`.
