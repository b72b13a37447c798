# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 01 · Likelihood and the chain rule
#
# **How can a computer say how probable an image is, and draw new ones?**
#
# A function that returns the probability of any image can also draw images; *Going further* completes half of one, classifies
# and compresses with it. In this lesson you write such a function. Its heart is five lines, and its skeleton is that of every
# autoregressive model in this course.
#
# **After the core path you can**
#
# * compute a log-likelihood in nats, bits and bits per dimension, and say what a number such as 0.4 bits/dim means;
# * prove that maximum likelihood minimises a Kullback–Leibler divergence, and verify it to twelve digits;
# * split a distribution into conditionals, and sample from it;
# * write, train and judge a fully visible belief network of your own.
#
# **Builds on**: lesson 00, probability over discrete variables, logistic regression, PyTorch tensors.
#
# **Notation**, kept throughout:
#
# | symbol | meaning |
# | --- | --- |
# | $x = (x_1, \dots, x_D)$ | one image, its $D$ pixels in a row; in code the dimensions count from 0 |
# | $K$ | number of values of a pixel; $K = 2$ (1 is black, 0 is white) unless said otherwise |
# | $p(x)$ | the true distribution, from which the data come |
# | $q(x)$ | a model; $q_\theta(x)$ when its parameters $\theta$ matter |
# | $x_{<d}$ | the pixels before $x_d$: $(x_1, \dots, x_{d-1})$ |
# | $\log$ | the natural logarithm; its unit is the **nat**. One bit is $\log 2 \approx 0.693$ nats |

# %% setup=true
import math

import numpy as np
import torch

# %% tags=["demo"] folded="Imports the course's library, and loads the digits and the small world."
import matplotlib.pyplot as plt

from autograder.checks import likelihood as checks
from course_lib import budget, coding, data, explore, metrics, plots
from course_lib.clinic import likelihood_clinic
from course_lib.figures import likelihood as figures
from course_lib.models import FVBN, IndependentPixels, orderings
from course_lib.notebook import guess, outcome, waits_for
from course_lib.training import fit, fit_exactly

torch.set_num_threads(1)  # the models are so small that more threads would only wait for one another
digits = data.digits("binary").flatten()
train, test = digits.train.x, digits.test.x
world = data.tiny_world()
p_world, states = world.log_p.exp(), world.states.double()
print(f"{digits.name}: {len(train)} images for training, {len(digits.valid)} for validation, {len(test)} for testing")

# %% [markdown]
# ## 1 · How many images are there?
#
# Our images are tiny: 8 × 8 pixels, each black or white. There are $2^{64} = 18{,}446{,}744{,}073{,}709{,}551{,}616$ of them.
# Nearly all are noise. How nearly? If you look at one uniformly random image per second, how many years pass until you meet one
# that looks like a digit? Write your guess in place of the dots.

# %% tags=["demo"]
guess("years until a random image looks like a digit", ...)

# %% [markdown]
# "Looks like a digit" needs a definition that can be counted. A generous one: the image differs from one of the $N = 1197$ training
# digits in at most $r$ pixels, with $r$ so large that 90 % of the test digits pass. Around one image there are $\sum_{k=0}^{r} \binom{64}{k}$
# images at most $r$ pixels away (choose which $k$ pixels to flip). So at most $1197 \sum_{k \le r} \binom{64}{k}$ images look like
# digits; at most, since the balls may overlap.


# %% tags=["demo"] folded="Finds the nearest training digit of digits and of random images, counts, and draws."
def nearest(a, b):
    """For each image of a: in how many pixels it differs from its nearest image in b, and which that is."""
    b = b.float()
    parts = [(p.sum(1, keepdim=True) + b.sum(1) - 2 * p @ b.T).min(1) for p in a.float().split(5000)]
    return torch.cat([p.values for p in parts]), torch.cat([p.indices for p in parts])


far, _ = nearest(test, train)
r = int(far.quantile(0.9))
share = len(train) * sum(math.comb(64, k) for k in range(r + 1)) / 2**64
print(
    f"90 % of the test digits lie within r = {r} pixels of a training digit: at most a share of {share:.1e} of all images."
)
outcome("years until a random image looks like a digit", round(1 / share / (365.25 * 86400)))

count = budget(smoke=20_000, cpu=200_000, gpu=2_000_000)
noise = torch.randint(0, 2, (count, 64), generator=torch.Generator().manual_seed(0))
noise_far, _ = nearest(noise, train)
off = {"test digits": far, "random images": noise_far}
plots.show(figures.luck(noise[:10], noise[noise_far.argsort()[:10]], test[:10], off))

# %% [markdown]
# A model of digits must leave almost the whole space empty, and put nearly all probability on a vanishing part of it. Many
# families of models try; they differ in what they make easy. The first question to ask of a model is: *can it compute $q(x)$?*
# The course begins with the models for which the answer is yes (filled in the figure). The small names are examples, and none is needed
# yet: *Going further* compares all families and says what each name stands for.

# %% tags=["demo"]
plots.show(figures.taxonomy())

# %% [markdown]
# ## 2 · The first model: independent pixels
#
# The simplest model pretends that pixels do not depend on each other. Pixel $d$ is black with probability $\theta_d$, and these $D$ numbers are its parameters $\theta$:
#
# $$q(x) = \prod_{d=1}^{D} \theta_d^{\,x_d} (1 - \theta_d)^{1 - x_d}, \qquad \log q(x) = \sum_{d=1}^{D} \big[\, x_d \log \theta_d + (1 - x_d) \log (1 - \theta_d) \,\big],$$
#
# with $0^0 = 1$. We take logarithms because a product of hundreds of small numbers is zero in floating point. For images drawn
# independently, the log-probability of the data set is the sum over images; what is reported is its mean per image with the sign
# turned, the **negative log-likelihood** (NLL): smaller is better.
#
# **Units.** The NLL is in nats. Divided by $\log 2$ it is in bits; divided by $D$ as well, in **bits per dimension**:
#
# $$\text{bits/dim} = \frac{-\frac{1}{N} \sum_{n=1}^{N} \log q(x^{(n)})}{D \log 2}, \qquad x^{(1)}, \dots, x^{(N)} \text{ the images.}$$
#
# A model that knows nothing gives each of the $2^D$ images probability $2^{-D}$: exactly 1 bit/dim; with $K$ values per pixel,
# $\log_2 K$. So 0.4 bits/dim means $0.4 \cdot 64 \approx 26$ bits for an $8 \times 8$ image,
# where storing its pixels one by one takes 64. **Sum over pixels, mean over images**: do not report a mean over pixels as an NLL.
# $25.2 / 64 = 0.39$ nats is a cost per pixel, not the log-probability of an image.
#
# ### Exercise 1 · `log_likelihood`
#
# Mind the corner: $\theta_d$ may be exactly 0 or 1. If the pixel agrees, it costs 0 nats; if it disagrees, the image is impossible, with
# log-probability $-\infty$. In the formula the innocent term $0 \cdot \log 0$ is what a computer calls `nan`: let it never arise.


# %% exercise="log_likelihood"
def log_likelihood(theta, x):
    """Log-likelihood of binary images under independent pixels.

    Args:
        theta: (D,) float64, theta[d] = q(x_d = 1), each in [0, 1], 0 and 1 included; D may be in the hundreds.
        x: (B, D) int64, zeros and ones, B >= 1.

    Returns:
        (nats, bpd): nats is (B,), log q(x) of each image, in nats (-inf where the image is impossible, and only
        there); bpd is one number, the mean bits per dimension of the batch: -mean(nats) / (D log 2), which is
        infinite if any image is impossible.
    """
    ### BEGIN SOLUTION
    probability_of_what_came = torch.where(x == 1, theta, 1 - theta)
    nats = probability_of_what_came.log().sum(1)
    return nats, -nats.mean() / (x.shape[1] * math.log(2))
    ### END SOLUTION


# %% check="log_likelihood"

# %% [markdown]
# ### Maximum likelihood
#
# Which $\theta_d$ makes the training images most probable? Let $n_d$ of the $N$ images have pixel $d$ black. The log-likelihood of
# the data is $\sum_d [\, n_d \log \theta_d + (N - n_d) \log (1 - \theta_d) \,]$. Its derivative in $\theta_d$, $\; n_d / \theta_d - (N - n_d)/(1 - \theta_d)$, is zero at
# $\theta_d = n_d / N$, the fraction of images with that pixel black. The second derivative, $-n_d / \theta_d^2 - (N - n_d)/(1 - \theta_d)^2$, is negative, so it
# is the maximum. (If $n_d$ is 0 or $N$, the log-likelihood has no point of slope zero and is largest at that end: $\theta_d = 0$ or $1$.)
# This is **maximum likelihood**: of all models in a family, take the one under which the data are most probable.

# %% tags=["demo"] folded="Fits independent pixels to 100 and to all training images, and calls your function on the test digits."
few = train[:100].double()
# Smoothing: as if half an image more had every pixel black, and half an image every pixel white.
smoothed = (train.double().sum(0) + 0.5) / (len(train) + 1)
fits = {
    "a fair coin for every pixel": torch.full((64,), 0.5, dtype=torch.float64),
    "maximum likelihood, 100 images": few.mean(0),
    "smoothed, 100 images": (few.sum(0) + 0.5) / 101,
    "smoothed, all images": smoothed,
}
with waits_for("log_likelihood"):
    for name, theta in fits.items():
        nats, bpd = map(torch.as_tensor, log_likelihood(theta, test))
        impossible = int((nats == -math.inf).sum())
        print(f"{name:31} {-nats.mean():7.3f} nats {bpd:7.4f} bits/dim   {impossible} impossible images")
drawn = (torch.rand(10, 64, generator=torch.Generator().manual_seed(1)) < smoothed).long()
fig = plots.image_grid(torch.cat([drawn, test[:10]]), columns=10, row_names=["samples", "digits"])
plots.show(fig, alt="Samples of independent pixels are centred blobs of dots; ten digits are connected strokes.")

# %% [markdown]
# One black pixel where a hundred images had none, and maximum likelihood calls a good digit impossible: a log-likelihood is
# infinitely severe where a model is certain and wrong. The remedy is **smoothing**: pretend to have seen a little more than
# you have, here half an image of either kind. Independent pixels save almost half of the coin's 44.36 nats $= 64 \log 2$. But look at their samples: they know where
# ink is, not how strokes run.
#
# ## 3 · Maximum likelihood is minimum divergence
#
# Why maximise likelihood? As the number of images grows, the mean NLL tends to its expectation under $p$ (the law of large numbers), the
# **cross-entropy**.
# Insert $1 = p(x)/p(x)$ under the logarithm:
#
# $$\underbrace{\sum_x p(x) \log \frac{1}{q(x)}}_{\text{expected NLL}} \;=\; \underbrace{\sum_x p(x) \log \frac{1}{p(x)}}_{\text{entropy } H(p)} \;+\; \underbrace{\sum_x p(x) \log \frac{p(x)}{q(x)}}_{\mathrm{KL}(p \,\|\, q)} .$$
#
# The entropy does not depend on the model. The last term is the **Kullback–Leibler divergence**. It is never negative: since
# $\log u \le u - 1$ for $u > 0$, with equality only at $u = 1$,
#
# $$-\mathrm{KL}(p \,\|\, q) = \sum_{x:\, p(x) > 0} p(x) \log \frac{q(x)}{p(x)} \;\le\; \sum_{x:\, p(x) > 0} p(x) \Big(\frac{q(x)}{p(x)} - 1\Big) = \sum_{x:\, p(x) > 0} q(x) - 1 \;\le\; 0,$$
#
# and zero only if $q = p$: equality needs $q(x) = p(x)$ wherever $p(x) > 0$, and these already add up to 1. (If $q(x) = 0 < p(x)$
# for some $x$, the divergence is infinite.) So lowering the *expected* NLL by some nats lowers the divergence by as many. On finitely
# many training images this holds only approximately: a flexible model can fit them and still move away from $p$. On real data $H(p)$ is unknown, and an NLL only says which of two models is better. To see the divergence itself we
# need a toy distribution that is known: the course's **small world**, 4 × 4 images of eight noisy glyphs, with all 65,536
# probabilities at hand and an entropy of 4.968 nats.
#
# A classifier's *cross-entropy loss* is the same thing for labels: $\mathbb{E}[-\log q(y \mid x)]$ with $y$ the label. It is maximum likelihood of
# labels given images, and says nothing about how probable the images are.
#
# ### Exercise 2 · `kl`
#
# Two conventions follow from limits: $0 \log 0 = 0$ (what never happens costs nothing), and a model that excludes
# what does happen is infinitely far away.


# %% exercise="kl"
def kl(p, q):
    """Kullback-Leibler divergence KL(p || q) of two discrete distributions.

    Args:
        p, q: (M,) float64, for M >= 1 outcomes; each sums to 1; entries may be 0, or positive and as tiny as 1e-300.

    Returns:
        One number, in nats: sum_m p[m] log(p[m] / q[m]), where outcomes with p[m] = 0 add nothing;
        infinity if p has mass where q has none, however little, and only then.
    """
    ### BEGIN SOLUTION
    happens = p > 0
    return (p[happens] * (p[happens].log() - q[happens].log())).sum()
    ### END SOLUTION


# %% check="kl"


# %% tags=["demo"] folded="Compares expected NLL with entropy + KL for two models of the small world, and shows samples of the world."
def independent_log_prob(theta, x):
    return torch.where(x == 1, theta, 1 - theta).log().sum(1)


world_models = {
    "uniform": torch.full((65536,), -16 * math.log(2), dtype=torch.float64),
    "independent pixels": independent_log_prob(p_world @ states, states),
}
with waits_for("kl"):
    for name, log_q in world_models.items():
        left, right = -(p_world @ log_q), world.entropy + float(kl(p_world, log_q.exp()))
        print(f"{name:18} expected NLL {left:.12f}   entropy + your KL {right:.12f}")
glyphs = world.sample(24, generator=torch.Generator().manual_seed(0))
fig = plots.image_grid(glyphs, columns=12, title="Samples of the small world")
plots.show(fig, alt="Twenty-four 4 by 4 samples of the small world: small glyphs, some with a flipped pixel.")

# %% [markdown]
# ## 4 · The chain rule: one pixel at a time
#
# Now the idea. Put the dimensions into some order, for now $1, 2, \dots, D$. By the definition of conditional probability,
# $p(x_d \mid x_{<d}) = p(x_1, \dots, x_d) / p(x_1, \dots, x_{d-1})$, where $p$ of no pixels is 1. Multiply for $d = 1, \dots, D$: each numerator cancels
# the next denominator, and what remains is
#
# $$p(x) = \prod_{d=1}^{D} p(x_d \mid x_{<d}).$$
#
# No assumption was made: *every* distribution can be written so, in *every* order. And conversely: take any functions $c_d(x_{<d})$ with values in
# $[0, 1]$, *declare* them to be $q(x_d = 1 \mid x_{<d})$, and the product sums to exactly 1 over all $2^D$ images. Proof: sum over
# $x_D$ first; the only factor that contains it gives $c_D + (1 - c_D) = 1$ and disappears; then $x_{D-1}$, down to the first. So
# an **autoregressive model** is **normalised** by construction.
#
# **Counting.** A table of $p(x)$ has $2^D - 1$ free entries, since they sum to 1. The conditionals need one number per prefix: $2^0$
# for $x_1$, up to $2^{D-1}$ for $x_D$, together $\sum_{d=1}^{D} 2^{d-1} = 2^D - 1$. The chain rule does not compress; it organises. The gain comes in
# section 6, where functions with few parameters replace the tables.

# %% tags=["demo"]
plots.show(figures.directed_graphs())

# %% [markdown]
# As a graphical model the chain rule is the *complete* directed acyclic graph. A missing arrow would be an assumption.
#
# ### Exercise 3 · `conditionals`
#
# A prefix has the probability $\sum_{x_d, \dots, x_D} p(x)$: sum out whatever comes later. If it never happens, the conditional is 0/0, and
# any number in $[0, 1]$ serves; but `nan` does not.


# %% exercise="conditionals"
def conditionals(joint):
    """The chain rule's conditionals of a joint distribution of D binary variables.

    Args:
        joint: (2,) * D float64, D >= 1, joint[x_0, ..., x_{D-1}] = p(x); sums to 1.

    Returns:
        List of D tensors. The d-th (d = 0..D-1) has shape (2,) * d: its entry at [x_0, ..., x_{d-1}] is
        p(x_d = 1 | x_0, ..., x_{d-1}); the 0-th has no axes. Where the prefix has probability zero,
        any number in [0, 1]; a prefix of positive probability, however small, is possible.
    """
    ### BEGIN SOLUTION
    result = []
    while joint.dim() > 0:
        prefix = joint.sum(-1)
        result.insert(0, torch.where(prefix > 0, joint[..., 1] / prefix, 0.5))
        joint = prefix
    return result
    ### END SOLUTION


# %% check="conditionals"

# %% [markdown]
# Does the number of entries depend on the ordering? And does each ordering give back the same $p(x)$?

# %% tags=["demo"] folded="Splits the small world in three orderings with your function, and multiplies the conditionals again."
world_orders = {
    "raster": orderings.raster(4, 4),
    "spiral": orderings.spiral(4, 4),
    "random": orderings.random(16, seed=0),
}
with waits_for("conditionals"):
    for name, order in world_orders.items():
        table = p_world.view((2,) * 16).permute(*order.tolist()).contiguous()
        parts, back = [torch.as_tensor(part) for part in conditionals(table)], torch.ones((), dtype=torch.float64)
        for part in parts:
            back = torch.stack([back * (1 - part), back * part], -1)
        count, error = sum(part.numel() for part in parts), (back - table).abs().max()
        print(f"{name:7} {count:,} numbers; their products give the table to within {error:.0e}")

# %% [markdown]
# ## 5 · Ancestral sampling
#
# The chain rule is also a recipe. Draw $x_1$ from $p(x_1)$; with that value in hand, draw $x_2$ from $p(x_2 \mid x_1)$; and so on. The
# probability that this produces a particular $x$ is the product of the probabilities of its steps, which *is* $p(x)$. So
# **ancestral sampling** is exact: no burn-in, no rejection, and each sample is independent of the last. To draw
# a bit that is 1 with probability $c$: take $u$ uniform in $[0, 1)$, and return 1 if $u < c$.
#
# ### Exercise 4 · `ancestral_sample`
#
# The conditionals come as a function that you may call once per dimension, with a batch of prefixes.


# %% exercise="ancestral_sample"
def ancestral_sample(conditional, n, D, seed):
    """Independent exact samples of D binary variables from their conditionals.

    Args:
        conditional: function. conditional(prefix), prefix (n, d) int64 with 0 <= d < D, returns (n,) float64:
            P(x_d = 1 | x_0, ..., x_{d-1}) for each row, 0 and 1 included. Call it at most D times.
        n: number of samples, at least 1.
        D: number of dimensions, at least 1.
        seed: int, at least 0. The same seed gives the same samples, another seed other ones; no other
            randomness.

    Returns:
        (n, D) int64 tensor of zeros and ones.
    """
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(seed)
    x = torch.empty((n, 0), dtype=torch.int64)
    for _ in range(D):
        probability = torch.as_tensor(conditional(x))
        drawn = torch.rand(n, generator=generator, dtype=torch.float64) < probability
        x = torch.cat([x, drawn[:, None].long()], dim=1)
    return x
    ### END SOLUTION


# %% check="ancestral_sample"

# %% [markdown]
# Your sampler on the small world: are its images as frequent as they should be? Bars show two standard deviations of a count, so about one
# dot in twenty may lie outside.

# %% tags=["demo"] folded="Lets your sampler draw 50,000 images of the small world from its exact conditionals, and counts them."
prefix_mass = [p_world.view(2**d, -1).sum(1) for d in range(17)]  # prefix_mass[d][code]: of each prefix of d pixels


def world_conditional(prefix):
    """P(next pixel black | prefix) in the small world, from its exact table."""
    prefix = torch.as_tensor(prefix).long()
    d = prefix.shape[1]
    code = (prefix * 2 ** torch.arange(d - 1, -1, -1)).sum(1)  # the prefix read as a binary number
    return prefix_mass[d + 1][2 * code + 1] / prefix_mass[d][code]


with waits_for("ancestral_sample"):
    drawn = torch.as_tensor(ancestral_sample(world_conditional, 50_000, 16, seed=0))
    counts = torch.bincount((drawn * 2 ** torch.arange(15, -1, -1)).sum(1), minlength=2**16)
    fig = plots.frequencies(counts, {"expected": p_world}, title="Your samples, counted: the 40 most probable images")
    plots.show(fig, alt="Counts of the forty most probable images beside their expected numbers: they agree.")

# %% [markdown]
# ## 6 · Fully visible belief networks
#
# Tables of $2^D - 1$ numbers are hopeless at $D = 64$: no data set could fill them. So restrict the conditionals. The simplest function
# by which a pixel depends on earlier ones is **logistic regression**:
#
# $$q(x_i = 1 \mid \text{pixels before } i) = \sigma\Big(b_i + \sum_{j \text{ before } i} W_{ij}\, x_j\Big), \qquad \sigma(a) = \frac{1}{1 + e^{-a}},$$
#
# with a bias $b_i$ per pixel and a weight $W_{ij}$ per pair. The argument of $\sigma$ is the pixel's **logit**. That is $D + D(D-1)/2$ parameters: 136 instead of 65,535 for the small world,
# 2,080 instead of $2^{64} - 1$ for the digits. This is a **fully visible belief network** (FVBN): a sigmoid belief network (Neal, 1992) without
# hidden units, also called a logistic autoregressive network (Frey, 1998).

# %% tags=["demo"]
plots.show(figures.fvbn())

# %% [markdown]
# **The ordering** is a permutation: `order[k]` is the dimension that comes $k$-th. "$j$ before $i$" means that $j$ has a smaller *position* $k$
# than $i$, not that $j < i$. The positions are the inverse permutation, `order.argsort()`. In raster order the pixels before a pixel are those to its left **and all pixels of the rows above, also above and to the right**.
# (Colour images: red, green and blue of a pixel are three dimensions, in this order.) As a **mask**, the ordering is a matrix with a 1 where $j$ comes before $i$. One row of it, drawn as an image, is what one
# pixel may depend on:

# %% tags=["demo"]
plots.show(figures.masks({"raster": orderings.raster(3, 3), "spiral": orderings.spiral(3, 3)}, pixel=(1, 1)))

# %% [markdown]
# ### Exercise 5 · `fvbn_log_prob`
#
# Three things to get right:
#
# * **No leak.** The logit of $x_i$ must not depend on $x_i$ or on anything after it, whatever `W` holds in the places that do not count.
# * **Any ordering.** `order` says *which* dimension comes when; you need *when* each dimension comes. (In raster order both are the same,
#   which is why this mistake survives testing.)
# * **Large logits.** $\log \sigma(-1000)$ is $-1000$, not $-\infty$: use $\log \sigma(a) = -\log(1 + e^{-a})$ in a form that does not overflow. And
#   $1 - \sigma(a) = \sigma(-a)$.


# %% exercise="fvbn_log_prob"
def fvbn_log_prob(x, W, b, order):
    """Log-likelihood of a fully visible belief network with logistic conditionals.

    Args:
        x: (B, D) int64, zeros and ones.
        W: (D, D) float64. The logit of x_i is b[i] + sum of W[i, j] * x[j] over all j before i in the
            ordering, and may be huge; the other entries of W do not count, whatever they hold, infinities
            and nan included.
        b: (D,) float64.
        order: (D,) int64, a permutation: order[k] is the dimension that comes k-th.

    Returns:
        (B,) float64, log q(x) in nats: finite, also where q(x) itself is 0 in floating point.
    """
    ### BEGIN SOLUTION
    place = order.argsort()
    before = place[None, :] < place[:, None]
    logits = b + x.double() @ torch.where(before, W, 0.0).T
    return torch.nn.functional.logsigmoid((2 * x - 1) * logits).sum(1)
    ### END SOLUTION


# %% check="fvbn_log_prob"

# %% [markdown]
# **Training.** With $a_i$ the logit of $x_i$, $\log q(x_i \mid x_{<i}) = x_i a_i - \log(1 + e^{a_i})$. The derivative of the last term is $\sigma(a_i)$,
# so $\partial \log q(x) / \partial b_i = x_i - \sigma(a_i)$, observed minus expected, and $x_j$ times that for $W_{ij}$. Since $\log(1 + e^a)$ is
# convex and $a_i$ is linear in the parameters, the NLL is convex: there are no local optima. The library's `FVBN` is your function
# with its parameters attached; `fit` is Adam on the mean NLL of a batch, and keeps the weights of the best validation epoch.

# %% tags=["train"]
epochs = budget(smoke=6, cpu=60, gpu=60)
fvbn = FVBN(64, order=orderings.raster(8, 8))
history = fit(fvbn, digits, epochs=epochs, batch_size=64, lr=1e-2)
print(history)
print(
    f"test: {metrics.nll(fvbn, test)} nats; independent pixels {metrics.Estimate.of(-independent_log_prob(smoothed, test))}"
)
with waits_for("fvbn_log_prob"), torch.no_grad():
    yours = fvbn_log_prob(test, fvbn.linear.weight.double(), fvbn.linear.bias.double(), fvbn.order)
    print(f"your function, same weights: {-torch.as_tensor(yours).mean():.2f} nats")

# %% [markdown]
# Nearly 7 nats better than independent pixels: each test digit is about $e^{6.8} \approx 900$ times as probable, in the geometric mean. Its
# samples, the nearest training digits (to return training images would give perfect samples, and *Going further* gives this cheat its
# likelihood), and one sample in the making:

# %% tags=["demo", "picture"] folded="Draws samples, finds their nearest training digits, and shows one sample while it is drawn."
samples = fvbn.sample(200, generator=torch.Generator().manual_seed(4))
neighbour_far, neighbour = nearest(samples, train)
with torch.no_grad():
    chance = fvbn(samples[:1]).sigmoid().view(64)
rows = torch.cat([samples[:14], train[neighbour[:14]], test[:14]])
fig = plots.image_grid(rows, columns=14, row_names=["samples", "nearest\ntraining digit", "test digits"])
plots.show(fig, alt="FVBN samples look like strokes, a few like digits; none is a copy of its nearest training digit.")
plots.show(figures.growing_sample(samples[0], chance))
print(f"pixels off the nearest training digit: samples {neighbour_far.mean():.1f}, test digits {far.mean():.1f}")

# %% [markdown]
# ## 7 · Your own model
#
# Put the pieces together: a model with parameters, one set of logits, a likelihood, and a sampler. The mask is given again, so
# you need none of your earlier answers. `sample` receives its uniform numbers, so that the check can follow each decision.


# %% exercise="OwnFVBN"
class OwnFVBN(torch.nn.Module):
    """A fully visible belief network over D binary dimensions.

    Args of `__init__`:
        order: (D,) int64, a permutation; order[k] is the dimension that comes k-th.

    Parameters: `W` (D, D) and `b` (D,), of a floating-point dtype; they may start anywhere, and other values may be
    written into them. Entries of W that do not count hold finite numbers and have no effect.

    logits(x): x (B, D), zeros and ones of an integer dtype -> (B, D): the logit of x_i is b[i] + the sum of
        W[i, j] * x[j] over all j before i.
    log_prob(x): the same x -> (B,), log q(x) in nats, finite for logits of any size. W and b get its gradients.
    sample(u): u (B, D) float64, uniform numbers in [0, 1) -> (B, D) int64: x_i is 1 where u[:, i] is below
        q(x_i = 1 | what was drawn before i), else 0.
    """

    def __init__(self, order):
        super().__init__()
        place = order.argsort()
        self.order, self.before = order, place[None, :] < place[:, None]  # before[i, j]: j comes before i
        # Make the parameters here.
        ### BEGIN SOLUTION
        D = len(order)
        self.W = torch.nn.Parameter(torch.zeros(D, D))
        self.b = torch.nn.Parameter(torch.zeros(D))
        ### END SOLUTION

    def logits(self, x):
        ### BEGIN SOLUTION
        return self.b + x.to(self.W.dtype) @ (self.before * self.W).T
        ### END SOLUTION

    def log_prob(self, x):
        ### BEGIN SOLUTION
        return torch.nn.functional.logsigmoid((2 * x - 1) * self.logits(x)).sum(1)
        ### END SOLUTION

    @torch.no_grad()
    def sample(self, u):
        ### BEGIN SOLUTION
        x = torch.zeros(u.shape, dtype=torch.int64)
        for d in self.order:
            x[:, d] = (u[:, d] < self.logits(x)[:, d].sigmoid()).long()
        return x
        ### END SOLUTION


# %% check="OwnFVBN"

# %% [markdown]
# Now train it. Nobody grades the loop: shuffle the images, cut them into batches, and descend on the mean NLL of each, with
# `torch.optim.Adam` at a learning rate of 0.01 and 64 images per batch, say.


# %% loop="train_own"
def train_own(model, x, epochs):
    """Maximise the likelihood of images x (N, D) under a model with `log_prob`, in so many passes over them."""
    ### BEGIN SOLUTION
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(epochs):
        for batch in x[torch.randperm(len(x))].split(64):
            adam.zero_grad()
            (-model.log_prob(batch).mean()).backward()
            adam.step()
    ### END SOLUTION


# %% tags=["train"]
torch.manual_seed(0)
with waits_for("OwnFVBN", "train_own"):
    own = OwnFVBN(orderings.raster(8, 8))
    train_own(own, train, epochs=budget(smoke=6, cpu=40, gpu=40))
    print(f"your model on the test digits: {metrics.nll(own, test)} nats")
    print("The course's own answer reaches 18.5; below 20 is good. Independent pixels need 25.2.")
    print("Above 20? Take larger steps: Adam's default learning rate is a tenth of what this model needs.")
    fig = plots.image_grid(
        own.sample(torch.rand(28, 64, dtype=torch.float64)), columns=14, title="Samples of your model"
    )
    plots.show(fig, alt="Twenty-eight samples of the reader's own model; after training they look like strokes.")

# %% [markdown]
# ## 8 · How far from the truth?
#
# On digits we cannot say how good 18.5 nats are. On the small world we can: there is no sampling error, since the divergence itself
# can be minimised, a sum over all 65,536 images. Independent pixels lose 4.71 nats. How many does the best FVBN in raster order lose?
# And, unlike for full tables, does the ordering matter now?

# %% tags=["demo"]
guess("nats that the best FVBN loses in raster order", ...)

# %% tags=["train"] folded="Minimises the divergence itself for three orderings, and draws entropy and divergence."
world_fvbns = {name: FVBN(16, order=order) for name, order in world_orders.items()}
steps = budget(smoke=8, cpu=40, gpu=80)
world_gaps = {name: fit_exactly(model, world.states, world.log_p, steps=steps) for name, model in world_fvbns.items()}
gaps = {name: float(p_world @ (world.log_p - log_q)) for name, log_q in world_models.items()}
gaps |= {f"FVBN, {name}": gap for name, gap in world_gaps.items()} | {"the table itself": 0.0}
outcome("nats that the best FVBN loses in raster order", world_gaps["raster"])
plots.show(figures.gaps(gaps, world.entropy))

# %% [markdown]
# Raster, spiral and random orderings lose 1.512, 1.516 and 1.545 nats. No sampling was involved, so these small differences are
# real. But no ordering closes the gap. Where does it come from? Consider three
# pixels: $x_1$ and $x_2$ are fair coins, and $x_3 = x_1$ if $x_2 = 0$, else $1 - x_1$. Given both, $x_3$ is certain; but no weights of a logistic regression
# can say so, and its best is a fair coin, $\log 2$ nats too many. (*Paper and pencil*, in *Going further*, asks for the proof.) This is XOR. Likewise a stroke may
# belong to a glyph on the left or to one on the right: the next pixel depends on which, and no weighted sum of pixels can say so.
#
# ## 9 · The answer, and what it cannot do
#
# **How can a computer say how probable an image is, and draw new ones?** Write the probability as a product of conditionals, one
# per pixel; it is normalised whatever the conditionals are. Let each conditional be a function with few parameters, here a logistic regression. Choose the parameters that make
# the data most probable, which with enough data brings the model closest to the truth in KL. To score an image, add up the logarithms; to draw
# one, draw its pixels in order.
#
# Four limits, each of which later lessons take up:
#
# * **The conditionals are too simple**: more than 1.5 nats are lost on the small world, whatever the amount of data.
# * **Nothing is shared.** Each conditional learns from scratch what a stroke is; the parameters grow with $D^2$.
# * **Sampling takes $D$ steps**, one after another.
# * **One ordering, fixed**: only a prefix of it can be completed.
#
# The first two are answered by a hidden layer whose weights all conditionals share: NADE, [lesson 02](../02_nade/02_nade.ipynb).
#
# **Today.** The product of conditionals, each computed from all that came before, maximised in likelihood and sampled one step at a time, is what large language models are:
# only the conditional has changed, from a logistic regression to a transformer (Radford et al., 2018). Images are modelled in the same way, as sequences of pixels (Chen et al., 2020) or of codes learned by
# another network (van den Oord, Vinyals and Kavukcuoglu, 2017), and so is sound (van den Oord et al., 2016, WaveNet). Perplexity, the language modeller's number, is $e^{\text{NLL per token}}$. And the link to file sizes is studied again: a language
# model with an arithmetic coder compresses images and sound as well as text (Delétang et al., 2024).

# %% [markdown]
# ## Going further
#
# Run the next cell first; then take the sections in any order. (Only the scoreboard needs others before it, and says which.)


# %% tags=["demo"] folded="Loads the digits in 16 grey levels, and defines a helper that selects digits by their labels."
from dataclasses import replace

grey = data.digits("levels").flatten()


def only(dataset, keep):
    """The images of a data set whose labels pass keep(labels)."""
    splits = {
        name: replace(split, x=split.x[keep(split.y)], y=split.y[keep(split.y)])
        for name, split in dataset.splits().items()
    }
    return replace(dataset, **splits)


# %% [markdown]
# ### Digits lie near a surface
#
# Digits come from a pen that moved, so a few causes (which digit, slant, width, position) explain most of the 64
# grey values. Then images lie near a curved surface of few dimensions, loosely called the **data manifold**; nobody proves that it is
# smooth. Two symptoms can be measured.
#
# 1. *Few directions.* Principal component analysis (PCA) finds the orthogonal directions along which the data
#    vary most. For comparison we shuffle every pixel separately over the data set: each pixel keeps its
#    histogram, but the images are destroyed.
# 2. *Curved.* Blend two digits, $(1-t)\,a + t\,b$ for $t$ from 0 to 1: a straight line. Then walk from $a$ to $b$ by short hops from digit to
#    similar digit. If the data filled a flat, convex region, the line would stay among the digits. We measure each step's distance to the
#    nearest *held-out* digit, which neither way has seen.

# %% tags=["demo"] folded="Walks between neighbouring digits, blends their ends, and compares principal components."
from scipy.sparse.csgraph import dijkstra
from sklearn.neighbors import kneighbors_graph

pixels = grey.train.x.double() / 15
held_out = torch.cat([grey.valid.x, grey.test.x]).double() / 15
generators = [torch.Generator().manual_seed(d) for d in range(64)]
columns = [c[torch.randperm(len(c), generator=g)] for c, g in zip(pixels.T, generators, strict=True)]
shuffled = torch.stack(columns, dim=1)


def explained(x):
    """Share of the variance in the first k principal components, k = 0..64."""
    variances = torch.linalg.svdvals(x - x.mean(0)).square()
    return torch.cat([torch.zeros(1), (variances.cumsum(0) / variances.sum())])


# Costs of hops are squared: two short ones are cheaper than one long one.
hop_costs = kneighbors_graph(pixels, 8, mode="distance").power(2)


def walks(starts):
    """For each start, the cheapest way to a digit of another kind, as the images that it passes."""
    _, before = dijkstra(hop_costs, directed=False, indices=starts, return_predecessors=True)
    for start, back in zip(starts, before, strict=True):
        way = [int((grey.train.y != grey.train.y[start]).nonzero()[(37 * start) % 1000])]
        while way[-1] != start:
            way.append(int(back[way[-1]]))
        yield pixels[way[::-1]]


def blend(way):
    """The same number of steps on the straight line from the first image to the last."""
    t = torch.linspace(0, 1, len(way), dtype=torch.float64)[:, None]
    return (1 - t) * way[0] + t * way[-1]


def distances(x):
    """Distance to the nearest held-out digit at 11 evenly spaced points of the way."""
    return torch.cdist(x[np.linspace(0, len(x) - 1, 11).round()], held_out).min(1).values


ways = [way for way in walks(range(0, len(pixels), budget(smoke=60, cpu=10, gpu=2))) if len(way) >= 7]
example = min(ways, key=lambda way: (abs(len(way) - 11), distances(way).max().item()))
off = {
    name: torch.stack([distances(route(way)) for way in ways]).mean(0)
    for name, route in [("straight line", blend), ("neighbours", lambda way: way)]
}
shares = {"digits": explained(pixels), "pixels shuffled": explained(shuffled)}
plots.show(figures.line_and_walk(blend(example), example, off, shares))
for name, share in shares.items():
    print(f"{name}: {int((share < 0.9).sum())} of 64 components hold 90 % of the variance")

# %% [markdown]
# ### What can be learnt without labels
#
# **Unsupervised learning** asks four classical questions, which are closer to one another than they look: which few directions matter
# (PCA), which images belong together (clustering), what images are made of (features; here non-negative matrix factorisation, which
# writes each digit as a sum of 16 learned strokes), and how probable each image is (density estimation).

# %% tags=["demo"] folded="Shows all four views of the same digits; labels colour the first panel only, and no method saw them."
plots.show(figures.four_views(grey.train.x.double() / 15, grey.train.y))

# %% [markdown]
# The fourth question contains the others. A mixture model's components are clusters (k-means is the limit of a Gaussian
# mixture whose variances shrink to zero); PCA is the limit of a linear Gaussian latent-variable model (Tipping and Bishop, 1999);
# and whatever helps to predict pixels makes good features. What a density is good for:
#
# | use | what the density does | where |
# | --- | --- | --- |
# | generation | draw $x \sim q$ | core, section 5 |
# | inpainting, super-resolution | draw the unknown pixels from $q(\text{unknown} \mid \text{known})$ | *Completion* |
# | denoising | find clean images with large $q(x)\, p(\text{noisy} \mid x)$ | *Completion* |
# | classification | compare $q(x \mid y)$ over the classes $y$ | *Generative and discriminative* |
# | outlier detection | a low $q(x)$ is suspicious, with a trap | *Outliers* |
# | compression | $x$ fits into about $-\log_2 q(x)$ bits | *A likelihood is a file size* |
# | semi-supervised learning | in $q(x) = \sum_y q(y)\, q(x \mid y)$, images without labels help a classifier | latent variables, later |
# | planning | $p(\text{next} \mid \text{action})$ lets an agent try actions in its model | video models, later |

# %% [markdown]
# ### The map of generative models, and what the field measures on
#
# | family | how it defines $q(x)$ | likelihood | sampling | where it hurts |
# | --- | --- | --- | --- | --- |
# | autoregressive | $\prod_d q(x_d \mid x_{<d})$ | exact, one pass | exact, one dimension after another | sampling is sequential; needs an ordering |
# | flow | $x = f(z)$, $f$ invertible: $q(x) = q(z)\,\lvert\det \partial z / \partial x\rvert$ | exact | exact, one pass for many flows | $z$ is as large as $x$ |
# | latent variables | $\int q(z)\, q(x \mid z)\, dz$ | a lower bound | exact: draw $z$, then $x$ | the posterior $q(z \mid x)$ |
# | diffusion | latent variables are noisier and noisier copies of $x$ | a lower bound | many denoising steps | slow sampling |
# | energy-based | $e^{-E(x)} / Z$, $\; Z = \sum_x e^{-E(x)}$ | up to the constant $\log Z$ | approximate, by a Markov chain | $Z$, its gradient, slow chains |
# | Markov chain (GSN) | the stationary distribution of $x_{t+1} = g(x_t, \text{noise})$ | none | approximate, many steps | mixing between modes |
# | adversarial | whatever $g(\text{noise})$ comes out as | none | exact, one pass | nothing to maximise: needs a critic |
#
# Here $z$ is a **latent variable**, one that is not observed, and $E$ an **energy**, any function of $x$. Directed
# models (arrows from causes to effects) are normalised by construction; undirected ones (energies) are not. Diffusion models
# (Sohl-Dickstein et al., 2015; Ho et al., 2020) and generative stochastic networks (GSN; Bengio et al., 2014) complete Goodfellow's (2016) map.
#
# **The names in the map** (the figure in section 1):
#
# * FVBN is the model of section 6; NADE, MADE and PixelCNN (lessons 02 to 04) compute the same conditionals by networks that share weights.
# * NICE (Dinh et al., 2015) shifts half of the dimensions by a function of the other half, which is easily undone; RealNVP (Dinh et al.,
#   2017) scales them as well; Glow (Kingma and Dhariwal, 2018) mixes the channels by learned matrices in between.
# * The Helmholtz machine (Dayan et al., 1995) and the VAE, the variational autoencoder (Kingma and Welling, 2014), train a second
#   network that guesses $z$ from $x$.
# * DDPM is the denoising diffusion probabilistic model of Ho et al. (2020).
# * A Boltzmann machine (Ackley et al., 1985) has an energy of pairs of units, some of them hidden; the RBM is the special case of the next
#   section.
# * GSN: a network that denoises, applied again and again, is one step of a Markov chain.
# * GAN, the generative adversarial network (Goodfellow et al., 2014): a sampler, trained to deceive a critic that learns to tell
#   samples from data.
#
# #### Data sets and benchmarks
#
# | data set | images | training / test | what is reported for likelihood models |
# | --- | --- | --- | --- |
# | MNIST | 28 × 28 grey digits | 60,000 / 10,000 | mostly in binary form, see below |
# | binarized MNIST | the same, each pixel black or white | 50,000 + 10,000 validation / 10,000 | NLL in nats per image |
# | FashionMNIST | 28 × 28 grey clothes | 60,000 / 10,000 | bits/dim; the standard rival of MNIST for outliers |
# | SVHN | 32 × 32 colour house numbers | 73,257 / 26,032 | bits/dim; mind the split, see below |
# | CIFAR-10 | 32 × 32 colour, ten classes | 50,000 / 10,000 | bits/dim over 3,072 dimensions |
# | CelebA | colour faces | about 200,000 in all | samples and FID; bits/dim at 64 × 64 |
# | LSUN | colour scenes, such as bedrooms | about 3 million bedrooms | samples and FID |
# | ImageNet | colour, reduced to 32 × 32 or 64 × 64 | 1.28 million / 50,000 (validation) | bits/dim; FID at larger sizes |
#
# (FID compares features of samples with features of images; a later lesson treats it.) Three traps. *Binarized* means two different
# benchmarks: a fixed binarization, or pixels drawn anew in each epoch. Bits/dim refer to 256 levels per colour; resizing an
# image changes the benchmark. And SVHN's official training and test sets do not have the same distribution, which spoils
# likelihoods measured on them (Xiao, Zenn and Bamler, 2023).
#
# Published test results, as a scale for what follows in the course. Fixed binarized MNIST, nats: NADE 88.33, MADE with 32 masks 86.64, PixelCNN 81.30,
# Diagonal BiLSTM with 7 layers 79.20 (van den Oord, Kalchbrenner and Kavukcuoglu, 2016, Table 4, which collects the sources). CIFAR-10,
# bits/dim: uniform 8.00, multivariate Gaussian 4.70, PixelCNN 3.14, Gated PixelCNN 3.03, PixelRNN 3.00 (table in van den Oord et al., 2016, "Conditional Image
# Generation with PixelCNN Decoders"). Both tables as reprinted in A. Courville's lecture "Autoregressive Generative Models".

# %% [markdown]
# ### Why a constant can be the whole problem: an RBM, enumerated
#
# A **restricted Boltzmann machine** (RBM; Smolensky, 1986) has visible units $x \in \{0,1\}^D$ and hidden units
# $h \in \{0,1\}^H$, biases $a$ and $c$, weights $U$ ($D \times H$), and
#
# $$q(x, h) = \frac{1}{Z} \exp\big(a^\top x + c^\top h + x^\top U h\big), \qquad Z = \sum_x \sum_h \exp\big(a^\top x + c^\top h + x^\top U h\big).$$
#
# The sum over $h$ can be done by hand, since given $x$ every $h_j$ appears in a term of its own:
#
# $$\tilde q(x) = \sum_h e^{a^\top x + c^\top h + x^\top U h} = e^{a^\top x} \prod_{j=1}^{H} \big(1 + e^{\,c_j + (x^\top U)_j}\big), \qquad q(x) = \tilde q(x) / Z .$$
#
# So the numerator is cheap. But the **partition function** $Z$ sums $\tilde q$ over all $2^D$ images (or, by symmetry, a similar
# expression over all $2^H$ hidden states, which helps only while $H$ is small). On the small world it can be done.


# %% tags=["train"] folded="Trains an RBM of the small world with the exact Z, and computes Z in both ways."
class RBM(torch.nn.Module):
    """A restricted Boltzmann machine whose partition function is summed over all images."""

    def __init__(self, visible, hidden):
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.a, self.c = torch.nn.Parameter(torch.zeros(visible)), torch.nn.Parameter(torch.zeros(hidden))
        self.U = torch.nn.Parameter(0.1 * torch.randn(visible, hidden, generator=rng))

    def log_score(self, x):
        return x @ self.a + torch.nn.functional.softplus(self.c + x @ self.U).sum(1)

    def log_prob(self, x):
        return self.log_score(x.double()) - self.log_score(states).logsumexp(0)


rbm = RBM(16, 8)
rbm_gap = fit_exactly(rbm, world.states, world.log_p, steps=budget(smoke=5, cpu=60, gpu=200))
with torch.no_grad():
    hidden = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 8)
    by_hidden = (hidden @ rbm.c + torch.nn.functional.softplus(rbm.a + hidden @ rbm.U.T).sum(1)).logsumexp(0)
    print(
        f"log Z from 2^16 images: {rbm.log_score(states).logsumexp(0):.10f}, from 2^8 hidden states: {by_hidden:.10f}"
    )
print(f"an RBM trained with the exact Z loses {rbm_gap:.3f} nats; the FVBN in raster order {world_gaps['raster']:.3f}")
for D in (16, 64, 784):
    print(f"D = {D:3}: 2^{D} terms; at a thousand million per second, {2.0**D / 1e9 / 3.156e7:.1e} years")

# %% [markdown]
# At 64 pixels you would wait for 585 years, per gradient step. So real RBMs never know their own likelihood; they are trained and tested
# by approximations (contrastive divergence, Hinton, 2002; annealed importance sampling, Salakhutdinov and Murray, 2008). The FVBN has $Z = 1$ by construction.
#
# ### Densities may exceed 1
#
# Pixels here are discrete, so $q(x)$ is a probability, at most 1. For continuous $x$, $q(x)$ is a **density**: probability per unit of volume. Only
# its integral must be 1, so a narrow density is a high one. Hence a continuous NLL can be negative, and it
# changes with the units: multiply $x$ by 255, and every dimension costs $\log 255$ nats more.

# %% tags=["demo"]
plots.show(figures.large_densities())

# %% [markdown]
# Never compare a density's NLL with a discrete one without the bridge: add uniform noise of one grey level's width to the discrete data
# (**dequantization**), and the bits/dim of a density fitted to that, measured in units of one grey level, are an upper bound on those of the
# discrete model that it implies (Theis, van den Oord and Bethge, 2016, section 3.1).
#
# **A slip to find.** A published lecture gives the log-likelihood of $N$ numbers under a Gaussian of mean $\mu$ and variance $v$ as
# $-\frac{N}{2} \log 2 \pi v - \sum_n \big[ -\frac{1}{2 v} (x_n - \mu)^2 \big]$. What would maximum likelihood do with $\mu$?
#
# <details>
# <summary>Answer</summary>
#
# The quadratic term has the wrong sign inside the sum: as printed, a number far from $\mu$ is *more* probable, and maximum likelihood sends
# $\mu$ to infinity. A quick test of any log-likelihood: does it fall when a number moves away?
# </details>

# %% [markdown]
# ### Two directions of the divergence, and the cheat of retrieval
#
# $\mathrm{KL}(p \,\|\, q)$ averages over what happens: a model pays dearly wherever the truth has mass and it has none. $\mathrm{KL}(q \,\|\, p)$ averages
# over what the model says: it pays for mass where the truth has none, and nothing for what it leaves out. Let a model that can only be one
# bump fit a truth with two. Which divergence puts the bump across the middle?

# %% tags=["demo"]
guess("which divergence spans both bumps", ..., choices=["KL(p || q)", "KL(q || p)"])

# %% tags=["demo"] folded="Searches the best single bump by your kl in both directions."
axis = torch.linspace(-6, 6, 121, dtype=torch.float64)


def bump(mean, width):
    """A discretized Gaussian on the axis, as probabilities."""
    return torch.softmax(-0.5 * ((axis - mean) / width) ** 2, 0)


truth = 0.65 * bump(-2, 0.7) + 0.35 * bump(2.5, 0.7)
candidates = [(mean, width) for mean in np.arange(-4, 4.1, 0.25) for width in np.arange(0.5, 4.1, 0.25)]
with waits_for("kl"):
    forward = min(candidates, key=lambda mw: float(kl(truth, bump(*mw))))
    backward = min(candidates, key=lambda mw: float(kl(bump(*mw), truth)))
    outcome("which divergence spans both bumps", "KL(p || q)" if forward[1] > backward[1] else "KL(q || p)")
    plots.show(figures.two_divergences(axis, truth, bump(*forward), bump(*backward)))

# %% [markdown]
# Maximum likelihood would rather put mass on nonsense between the modes than miss one. Remember this when samples of a likelihood
# model look washed out, and when those of a GAN look sharp but repeat themselves.
#
# **Generation against retrieval.** A "model" that returns training images draws perfect samples. Give the cheat a fair likelihood: pick one of the $N$
# training images $t^{(n)}$ at random and flip each pixel with probability $\varepsilon$,
#
# $$q_\varepsilon(x) = \frac{1}{N} \sum_{n=1}^{N} \varepsilon^{\,\Delta(x, t^{(n)})} (1 - \varepsilon)^{D - \Delta(x, t^{(n)})}, \qquad \Delta = \text{number of pixels that differ},$$
#
# a *kernel density estimate*. As $\varepsilon \to 0$, to how many nats does the *training* NLL tend?

# %% tags=["demo"]
guess("training NLL of pure retrieval, in nats", ...)


# %% tags=["demo"] folded="Computes training, validation and test NLL for 25 flip probabilities, and draws samples."
def retrieval_log_prob(x, flip):
    x, t = x.double(), train.double()
    delta = x.sum(1, keepdim=True) + t.sum(1) - 2 * x @ t.T
    terms = delta * math.log(flip) + (64 - delta) * math.log1p(-flip)
    return torch.logsumexp(terms, 1) - math.log(len(train))


flips = np.logspace(-7, np.log10(0.3), 25)
kinds = {"training images": train, "validation images": digits.valid.x, "test images": test}
curves = {name: [-retrieval_log_prob(x, flip).mean() for flip in flips] for name, x in kinds.items()}
best_flip = flips[int(np.argmin(curves["validation images"]))]
rng = torch.Generator().manual_seed(0)
picked = train[torch.randint(len(train), (8,), generator=rng)]
shown = {"ε = 1e-7": 1e-7, f"ε = {best_flip:.2f}\n(best)": best_flip, "ε = 0.2": 0.2}
shown = {name: picked ^ (torch.rand(8, 64, generator=rng) < flip).long() for name, flip in shown.items()}
plots.show(figures.memorising(flips, curves, float(-independent_log_prob(smoothed, test).mean()), shown))
outcome("training NLL of pure retrieval, in nats", math.log(len(train)))

# %% [markdown]
# The samples get better while the model gets worse: the training NLL tends to about $\log N$ (nothing left to know but *which* image; a little less, as some
# training images occur several times), the test NLL to infinity. So
# good samples do not prove a good model, nor a good likelihood good samples (Theis et al., 2016, section 3.2): look at both,
# and at the nearest training image of every sample. And likelihood is measured on images that took no part in training.

# %% [markdown]
# ### The way back: from conditionals to the table
#
# #### Exercise 6 · `joint`
#
# Multiply the conditionals into the table.


# %% exercise="joint"
def joint(conditionals):
    """The joint distribution that a list of conditionals defines.

    Args:
        conditionals: list of D >= 1 float64 tensors; the d-th (d = 0..D-1) has shape (2,) * d, and its entry
            at [x_0, ..., x_{d-1}] is p(x_d = 1 | x_0, ..., x_{d-1}), 0 and 1 included.

    Returns:
        (2,) * D float64 table: entry [x_0, ..., x_{D-1}] is p(x); 0 where x is impossible, and only there.
    """
    ### BEGIN SOLUTION
    table = torch.ones((), dtype=torch.float64)
    for p in conditionals:
        table = torch.stack([table * (1 - p), table * p], dim=-1)
    return table
    ### END SOLUTION


# %% check="joint"

# %% [markdown]
# Draw any conditionals at random: the table sums to 1, as section 4 proved.

# %% tags=["demo"]
rng = torch.Generator().manual_seed(0)
anything = [torch.rand((2,) * d, generator=rng, dtype=torch.float64) for d in range(12)]
with waits_for("joint"):
    print(
        f"12 random tables of conditionals; the joint table sums to {float(torch.as_tensor(joint(anything)).sum()):.15f}"
    )

# %% [markdown]
# ### Orderings, explored
#
# Choose an ordering and a pixel, and see what its conditional may depend on. (Where no controls appear, the picture is that of the first choice.)

# %% tags=["demo"]
orders = {
    "raster": orderings.raster(8, 8),
    "spiral": orderings.spiral(8, 8),
    "random": orderings.random(64, seed=0),
}
explore.ordering_explorer(orders)

# %% [markdown]
# On the small world, the ordering mattered a little. On digits, would you bet on raster, spiral or random? By how many nats, compared with the error bars?

# %% tags=["train"] folded="Trains FVBNs in raster, spiral and several random orderings, and compares them image by image."
orderings_tried = {name: [order] for name, order in orders.items()}
orderings_tried["random"] = [orderings.random(64, seed) for seed in range(budget(smoke=2, cpu=5, gpu=10))]
trained_orders = {"raster": [fvbn], "spiral": [], "random": []}
for name, order in [(name, order) for name, tried in orderings_tried.items() for order in tried if name != "raster"]:
    model = FVBN(64, order=order)
    fit(model, digits, epochs=epochs, batch_size=64, lr=1e-2, progress=False)
    trained_orders[name].append(model)
separate = {name: [metrics.nll(model, test) for model in models] for name, models in trained_orders.items()}
paired = {
    name: [metrics.nll_difference(model, fvbn, test) for model in models]
    for name, models in trained_orders.items()
    if name != "raster"
}
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2))
plots.estimates(separate, ylabel="test NLL (nats)", title="Each model alone", ax=axes[0])
plots.estimates(paired, reference=0, ylabel="difference to raster (nats)", title="Paired, image by image", ax=axes[1])
plots.show(
    fig,
    alt="Left: test NLL of FVBNs in raster, spiral and random orderings; error bars overlap. Right: their differences "
    "to raster, image by image, with much smaller error bars.",
)
for name, estimates in paired.items():
    print(f"{name} against raster, image by image:", ", ".join(map(str, estimates)), "nats")

# %% [markdown]
# The error bars on the left are standard errors over 300 different digits, most of which are hard or easy for *every* model. The difference
# image by image removes that shared part: always compare models on the same images, in pairs.
#
# What did the model learn? The weights $W_{i\cdot}$ of one pixel are an image themselves: mostly, a pixel depends on its neighbours, for strokes go on. (Large weights far away belong to pixels that are rarely black.)

# %% tags=["demo"]
plots.show(figures.incoming_weights(fvbn.linear.masked_weight().detach(), [11, 20, 36, 43, 51]))

# %% [markdown]
# ### Completion, and the clamping trap
#
# Half the image is known; draw the rest. Split the dimensions into known (given) ones, $\mathcal{G}$, and unknown ones, $\mathcal{U}$. Wanted is
#
# $$p(x_{\mathcal U} \mid x_{\mathcal G}) = \frac{p(x_{\mathcal U}, x_{\mathcal G})}{\sum_{x'_{\mathcal U}} p(x'_{\mathcal U}, x_{\mathcal G})} .$$
#
# The obvious program samples in order, but *clamps* each known pixel to its value instead of drawing it. It draws only the unknown pixels, so
#
# $$p_{\text{clamp}}(x_{\mathcal U}) = \prod_{d \in \mathcal{U}} p(x_d \mid x_{<d}), \qquad \text{whereas} \qquad p(x_{\mathcal U} \mid x_{\mathcal G}) = \frac{1}{p(x_{\mathcal G})} \prod_{d \in \mathcal{U}} p(x_d \mid x_{<d}) \cdot \underbrace{\prod_{d \in \mathcal{G}} p(x_d \mid x_{<d})}_{\text{forgotten by clamping}} .$$
#
# If the known pixels are a **prefix** of the ordering, the forgotten factors are the constant $p(x_{\mathcal G})$, cancel it, and clamping is exact. If a
# known pixel comes *after* an unknown one, its factor says how well the choice fits what comes later, and clamping
# ignores it. Where all known pixels come last, clamping draws the unknown ones as if nothing were known.
#
# #### Exercise 7 · `condition`
#
# With a table it can be done exactly, for any set of known dimensions.


# %% exercise="condition"
def condition(joint, known):
    """Condition a joint table of binary variables on the values of some of them.

    Args:
        joint: (2,) * D float64, sums to 1.
        known: dict {dimension: 0 or 1} for any of the D dimensions, in any order, possibly none, not all.

    Returns:
        (2,) * (D - len(known)) float64, p(unknown | known) over the unknown dimensions in increasing order.

    Raises:
        ValueError: the known values have probability exactly zero; if it is positive, however small, they
            are possible.
    """
    ### BEGIN SOLUTION
    consistent = joint[tuple(known.get(d, slice(None)) for d in range(joint.dim()))]
    evidence = consistent.sum()
    if evidence == 0:
        raise ValueError(f"the known values {known} have probability zero: there is nothing to condition on")
    return consistent / evidence
    ### END SOLUTION


# %% check="condition"

# %% [markdown]
# One image of the small world, in raster order; known is its top row, its left column, or its bottom row. For which is clamping most wrong?

# %% tags=["demo"]
guess("clamping is most wrong for the", ..., choices=["top row", "left column", "bottom row"])

# %% tags=["demo"] folded="Compares exact completions (by your function) with those of clamping, for three sets of known pixels."
number = torch.arange(2**16)
steps = [prefix_mass[d + 1][number >> (15 - d)] / prefix_mass[d][number >> (16 - d)] for d in range(16)]
log_conditional = torch.stack(steps, dim=1).log()
original = world.sample(8, generator=torch.Generator().manual_seed(3))[0]
evidence = {"top row": range(4), "left column": range(0, 16, 4), "bottom row": range(12, 16)}
rng = torch.Generator().manual_seed(0)
completions, losses = {}, {}
with waits_for("condition"):
    for name, given in evidence.items():
        given, unknown = list(given), [d for d in range(16) if d not in given]
        table = p_world.view((2,) * 16)
        right = torch.as_tensor(condition(table, {d: int(original[d]) for d in given})).flatten()
        consistent = (world.states[:, given] == original[given]).all(1)
        clamped = log_conditional[consistent][:, unknown].sum(1).exp()
        forgotten = log_conditional[consistent][:, given].sum(1).exp()
        losses[name] = float(torch.special.xlogy(right, right / clamped).sum().abs())
        repaired = clamped * forgotten / (clamped * forgotten).sum()
        print(f"{name:12} forgotten factors put back: largest error {(repaired - right).abs().max():.0e}")
        draws = [torch.multinomial(p, 6, replacement=True, generator=rng) for p in (right, clamped)]
        images = torch.cat([original[None].expand(6, -1), *[world.states[consistent][draw] for draw in draws]])
        completions[f"{name} known: KL {losses[name]:.2f} nats"] = images
    outcome("clamping is most wrong for the", max(losses, key=losses.get))
    fig = plots.image_grids(completions, columns=6, row_names=["the image", "exact", "clamped"])
    plots.show(
        fig,
        alt="Completions of one small-world image from its top row, left column or bottom row, exact and by clamping. "
        "With the top row known both agree; with the bottom row known clamping ignores it.",
    )

# %% [markdown]
# The factors put back show a way out for a mere sampler: draw by clamping, then *weight* each draw by the forgotten factors. That is importance
# sampling, exact in the limit of many draws, and hopeless if the weights are very uneven. `course_lib`'s models refuse to clamp what is not
# a prefix. To complete the top half from the bottom we train a model whose ordering starts at the bottom.

# %% tags=["train"] folded="Trains an FVBN from the bottom upwards, and completes ten digits from either half."
top_half = torch.arange(64) < 32
try:
    fvbn.complete(test[:1], ~top_half)
except ValueError as refusal:
    print("ValueError:", refusal)
upwards = FVBN(64, order=orderings.raster(8, 8).flip(0))
fit(upwards, digits, epochs=epochs, batch_size=64, lr=1e-2, progress=False)
chosen = test[torch.tensor([int((digits.test.y == digit).nonzero()[1]) for digit in range(10)])]
rng, halves = torch.Generator().manual_seed(0), {}
for name, model, known in [("top", fvbn, top_half), ("bottom", upwards, ~top_half)]:
    given = torch.where(known, chosen.double(), 0.5)
    completed = [model.complete(chosen, known, generator=rng).double() for _ in range(3)]
    halves[f"the {name} half is known"] = torch.cat([chosen.double(), given, *completed])
rows = ["digits", "known", "completed", "", ""]
fig = plots.image_grids(halves, columns=10, across=2, row_names=rows)
plots.show(
    fig,
    alt="Ten digits, the same with one half greyed out, and three completions each: left from the top half, right "
    "from the bottom half. Strokes continue plausibly; often the digit changes.",
)

# %% [markdown]
# **Denoising, with the same rule.** If every pixel was flipped with probability 0.1, then $p(\text{noisy} \mid x) = 0.1^{\Delta}\, 0.9^{\,16 - \Delta}$ with $\Delta$ the number
# of pixels that differ, and $p(x \mid \text{noisy}) \propto p(x)\, p(\text{noisy} \mid x)$. On the small world all 65,536 originals can be weighed. The best guess pixel by pixel is
# black wherever the posterior probability of black exceeds one half.

# %% tags=["demo"] folded="Flips pixels of 200 small-world images, and computes the posterior of each pixel."
rng = torch.Generator().manual_seed(5)
clean = world.sample(200, generator=rng)
noisy = clean ^ (torch.rand(clean.shape, generator=rng) < 0.1).long()
delta = noisy.double().sum(1, keepdim=True) + states.sum(1) - 2 * noisy.double() @ states.T
belief = torch.softmax(world.log_p + delta * math.log(0.1) + (16 - delta) * math.log(0.9), dim=1) @ states
rows = torch.cat([clean[:12].double(), noisy[:12].double(), belief[:12], (belief[:12] > 0.5).double()])
fig = plots.image_grid(rows, columns=12, row_names=["original", "noisy", "P(black | noisy)", "best guess"])
plots.show(fig, alt="Twelve images, their noisy versions, the posterior of each pixel, and the denoised guesses.")
for name, denoised in [("noisy", noisy), ("best guess", belief > 0.5)]:
    print(f"{name}: {(denoised != clean).double().sum(1).mean():.2f} wrong pixels per image")

# %% [markdown]
# ### Generative and discriminative
#
# A **discriminative** model gives $q(y \mid x)$, the label given the image. A **generative** one gives $q(x)$, a **conditional generative** one $q(x \mid y)$. The difference is
# who competes with whom. For each $x$ a classifier's probabilities sum to 1 over the *labels*; what it says of one image does not bind it for another. A density
# sums to 1 over the *images*: whatever makes one more probable makes others less so. Take the FVBN of the small world, make one gradient
# step that raises $\log q$ of *one* image, and look at all others.

# %% tags=["demo"] folded="Makes the step, and sums the change of probability by the number of pixels that differ."
import copy

favoured = int(p_world.argsort(descending=True)[200])
model = copy.deepcopy(world_fvbns["raster"])
with torch.no_grad():
    earlier = model.log_prob(world.states).exp()
gradients = torch.autograd.grad(model.log_prob(world.states[favoured][None]).sum(), list(model.parameters()))
with torch.no_grad():
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter += 0.1 * gradient
    change = model.log_prob(world.states).exp() - earlier
apart = (world.states != world.states[favoured]).sum(1)
fig, ax = plt.subplots(figsize=(6, 3))
ax.bar(range(17), [change[apart == k].sum() for k in range(17)], color=plots.COLORS["blue"])
ax.axhline(0, color="black", lw=0.8, ls="-")
ax.set(
    xlabel="pixels that differ from the favoured image", ylabel="change of total probability", xticks=range(0, 17, 2)
)
plots.show(fig, alt="Images that differ from the favoured one in few pixels gain probability; distant ones lose it.")
gained, lost = change.clamp(min=0).sum(), change.clamp(max=0).sum()
print(f"gained {gained:.6f}, lost {-lost:.6f}, together {float(gained + lost):+.0e}")

# %% [markdown]
# **From a classifier and a prior to a conditional generator.** By Bayes' rule, $p(x \mid y) = p(y \mid x)\, p(x) / p(y)$ with
# $p(y) = \sum_x p(y \mid x)\, p(x)$: a density that never saw a label and *any* classifier together generate images of a class. On the small world it can be
# done exactly. Let the classifier be a soft opinion on which half holds more ink,
# $p(y{=}\text{left} \mid x) = \sigma\big(2\,(\text{ink on the left} - \text{ink on the right})\big)$. (The same rule, with gradients in place of enumeration, steers
# image generators by a classifier.)

# %% tags=["demo"] folded="Draws from the prior, and from the prior conditioned by the classifier."
images = states.view(-1, 4, 4)
left_given_x = torch.sigmoid(2 * (images[:, :, :2].sum((1, 2)) - images[:, :, 2:].sum((1, 2))))
opinions = {"the prior p(x)": torch.ones(2**16), "p(x | left)": left_given_x, "p(x | right)": 1 - left_given_x}
rng = torch.Generator().manual_seed(0)
fig = plots.image_grids(
    {
        name: world.states[torch.multinomial(opinion * p_world, 24, replacement=True, generator=rng)]
        for name, opinion in opinions.items()
    },
    columns=8,
)
plots.show(fig, alt="Samples of the prior, and of the prior given more ink in the left half and in the right half.")

# %% [markdown]
# #### Exercise 8 · `posterior`
#
# And the classical direction: class-conditional densities and a prior $p(y)$ make a classifier,
#
# $$p(y \mid x) = \frac{p(x \mid y)\, p(y)}{\sum_{y'} p(x \mid y')\, p(y')} .$$
#
# In images of a thousand pixels, $\log p(x \mid y) = -2000$ nats is ordinary, and $e^{-2000}$ is zero in floating point: stay in the
# logarithm until the largest term has been taken out.


# %% exercise="posterior"
def posterior(log_px_given_y, prior):
    """Posterior probabilities of the classes by Bayes' rule.

    Args:
        log_px_given_y: (B, C) float64, log p(x | y) of each image under each of C classes, in nats: as low as -1e4;
            may hold -inf, but not for all classes that the prior allows.
        prior: (C,) float64, p(y), sums to 1; zeros are allowed, and so are tiny values such as 1e-30.

    Returns:
        (B, C) float64, p(y | x); each row sums to 1. Small entries are as accurate as large ones,
        down to 1e-30.
    """
    ### BEGIN SOLUTION
    return torch.softmax(log_px_given_y + prior.log(), dim=1)
    ### END SOLUTION


# %% check="posterior"

# %% [markdown]
# Ten FVBNs, one per digit, each trained on that digit's images only (about 120), make a classifier. Rivals on the same images:
# independent pixels per class (**naive Bayes**), and discriminative ones: logistic regression on the pixels, logistic regression on pixels and products of pairs, which are the
# FVBN's own terms, and a support vector machine (SVM) with a Gaussian kernel.

# %% tags=["train"] folded="Trains ten FVBNs and their rivals, and shows the digits of which your posterior is least sure."
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC


def naive_bayes(x, y):
    """(images, 10) log p(x | y) + log p(y) of the test digits."""
    logs = []
    for digit in range(10):
        own = x[y == digit].double()
        chance = torch.tensor((len(own) + 0.5) / (len(x) + 5)).log()
        logs.append(independent_log_prob((own.sum(0) + 0.5) / (len(own) + 1), test) + chance)
    return torch.stack(logs, dim=1)


def pairs(x):
    """Pixels, and products of two pixels."""
    i, j = np.triu_indices(64, 1)
    return np.concatenate([x, x[:, i] * x[:, j]], 1)


def accuracy(guessed):
    correct = torch.as_tensor(guessed == np.asarray(digits.test.y)).double()
    return f"{100 * correct.mean():.1f} % ± {100 * correct.std() / math.sqrt(len(correct)):.1f}"


experts = [FVBN(64) for _ in range(10)]
for digit, expert in enumerate(experts):
    mine = only(digits, lambda y, digit=digit: y == digit)
    fit(expert, mine, epochs=epochs, batch_size=32, lr=1e-2, progress=False)
prior = torch.bincount(digits.train.y).double() / len(train)
expert_log_probs = torch.stack([metrics.log_probs(expert, test) for expert in experts], dim=1)
X, y, X_test = train.numpy(), digits.train.y.numpy(), test.numpy()
guessed = {
    "naive Bayes": naive_bayes(train, digits.train.y).argmax(1).numpy(),
    "logistic regression, pixels": LogisticRegression(max_iter=2000).fit(X, y).predict(X_test),
    "logistic regression, pairs": LogisticRegression(max_iter=2000).fit(pairs(X), y).predict(pairs(X_test)),
    "SVM, Gaussian kernel": SVC().fit(X, y).predict(X_test),
    "ten FVBNs": (expert_log_probs + prior.log()).argmax(1).numpy(),
}
for name, labels in guessed.items():
    print(f"{name:28} {accuracy(labels)}")
with waits_for("posterior"):
    beliefs = torch.as_tensor(posterior(expert_log_probs, prior))
    plots.show(figures.least_sure(test, digits.test.y, beliefs))

# %% [markdown]
# Read the error bars before you quote a difference: with 300 test digits, these do not tell the three best apart. (A comparison in
# pairs, digit by digit, would be sharper.) But naive Bayes against
# logistic regression on the same pixels is clear: with all 1,197 images the discriminative model wins by more than four points. Ng and Jordan (2002) compared just this pair, by its
# **learning curve**. The generative model needs less data to come close to its limit, but its limit may be worse. On these digits:

# %% tags=["train"] folded="Trains both on 30 to 1,197 images, five draws each."
sizes, accuracies = [30, 60, 120, 300, 600, 1197], {"naive Bayes": [], "logistic regression": []}
for size in sizes:
    shares = []
    for seed in range(5):
        chosen = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))[:size]
        few_x, few_y = train[chosen], digits.train.y[chosen]
        linear = LogisticRegression(max_iter=2000).fit(few_x.numpy(), few_y.numpy()).predict(X_test)
        answers = naive_bayes(few_x, few_y).argmax(1).numpy(), linear
        shares.append([np.mean(labels == np.asarray(digits.test.y)) for labels in answers])
    for name, column in zip(accuracies, np.transpose(shares), strict=True):
        accuracies[name].append(column)
accuracies = {name: np.array(shares) for name, shares in accuracies.items()}
for size, a, b in zip(sizes, *accuracies.values(), strict=True):
    print(f"n = {size:4}: naive Bayes {100 * a.mean():.1f} %, logistic regression {100 * b.mean():.1f} %")
plots.show(figures.learning_curves(sizes, accuracies))

# %% [markdown]
# They cross near $n = 100$: below, naive Bayes is ahead by about the spread of the draws; above, logistic regression, and the gap
# grows. So "generative" does not mean "better", nor worse: it means assumptions about the images, which help while data are few.
#
# ### Outliers: the trap
#
# **A statement to read critically.** Several lecture decks say that a density model "rejects outliers": assign every $x$ a density, and refuse what
# has a small $p(x)$. Is that so? Test it. Train an FVBN on all digits *except the ones*. Then ask it about ones, noise, and a
# solid vertical bar, two pixels wide. What share of the familiar test digits, in percent, will be *less* probable than the bar?

# %% tags=["demo"]
guess("percent of the familiar digits that are less probable than a solid bar", ...)

# %% tags=["train"] folded="Trains an FVBN without ones, and draws histograms of its NLL for five kinds of images."
no_ones, without_ones = only(digits, lambda y: y != 1), FVBN(64)
fit(without_ones, no_ones, epochs=epochs, batch_size=64, lr=1e-2, progress=False)
bar = torch.zeros(8, 8, dtype=torch.long)
bar[:, 3:5] = 1
ones = torch.cat([split.x[split.y == 1] for split in digits.splits().values()])
familiar = test[digits.test.y != 1]
groups = {
    "digits 0, 2 to 9 (test)": familiar,
    "ones: never seen": ones,
    "pixels inverted": 1 - familiar,
    "noise": noise[:300],
}
costs = {name: -metrics.log_probs(without_ones, x) for name, x in groups.items()}
bar_cost = -metrics.log_probs(without_ones, bar.view(1, 64)).item()
plots.show(figures.surprises(costs, {"a solid bar": bar_cost}))
median = costs["digits 0, 2 to 9 (test)"].median()
print(f"{100 * (costs['ones: never seen'] < median).double().mean():.0f} % of the ones beat the median familiar digit")
beaten = 100 * (costs["digits 0, 2 to 9 (test)"] > bar_cost).double().mean()
outcome("percent of the familiar digits that are less probable than a solid bar", round(float(beaten)))

# %% [markdown]
# The model is not broken. A *simple* image has few surprises: a straight stroke continues straight. A complicated digit, however typical, is a
# long list of small surprises. Nalisnick and colleagues (2019) found this with flows, VAEs and PixelCNNs at full size: models trained on
# CIFAR-10 give house numbers (SVHN) *higher* likelihood than their own test images, and models trained on FashionMNIST
# give MNIST more than FashionMNIST. There is nothing paradoxical in it: with $p'$ the distribution of the outliers, their expected NLL is
# $H(p') + \mathrm{KL}(p' \,\|\, q)$, so a large divergence can hide behind a small entropy.
#
# **What to do instead: compare.** A *ratio* of likelihoods has a meaning: is $x$ better explained by my model or by a
# rival? How simple $x$ is cancels. Rivals that have been used: a *background* model, trained on damaged data (Ren et
# al., 2019); an image compressor (Serrà et al., 2020); or a model of the very thing to reject. We try three rivals, and a score that needs none: how far the NLL is
# from its typical value. One background model learns from digits turned, mirrored and shifted at random, so that it knows strokes but not digits.

# %% tags=["train"] folded="Trains the rivals, and prints the area under the ROC curve of each score for three kinds of outliers."
from sklearn.metrics import roc_auc_score

rng = torch.Generator().manual_seed(0)


def noised(x):
    return x ^ (torch.rand(x.shape, generator=rng) < 0.25).long()


def moved(x):
    """Each image four times: turned, mirrored and rolled at random."""

    def move(image):
        turns, mirror, down, right = (int(torch.randint(k, (), generator=rng)) for k in (4, 2, 8, 8))
        return (image.flip(0) if mirror else image).rot90(turns).roll((down, right), (0, 1))

    return torch.stack([move(image) for image in x.view(-1, 8, 8).repeat(4, 1, 1)]).flatten(1)


def rival(dataset, change=lambda x: x, epochs=epochs):
    model = FVBN(64)
    changed = {name: replace(split, x=change(split.x)) for name, split in dataset.splits().items()}
    fit(model, replace(dataset, **changed), epochs=epochs, batch_size=64, lr=1e-2, progress=False)
    return model


rivals = {
    "noised digits": rival(no_ones, noised, epochs // 3),
    "moved digits": rival(no_ones, moved, epochs // 3),
    "the ones": rival(only(digits, lambda y: y == 1)),
}


def own_cost(x):
    return -metrics.log_probs(without_ones, x)


scores = {"NLL": own_cost, "distance from the typical NLL": lambda x: (own_cost(x) - own_cost(familiar).mean()).abs()}
for name, other in rivals.items():
    scores[f"NLL minus that of a model of {name}"] = lambda x, other=other: own_cost(x) + metrics.log_probs(other, x)
places = [range(left, left + width) for width in (1, 2, 3) for left in range(1, 8 - width)]
bars = torch.stack([torch.zeros(8, 8).long().index_fill_(1, torch.tensor(place), 1) for place in places]).flatten(1)
print(f"{'area under the ROC curve (0.5 is guessing)':45} {'ones':>8} {'bars':>8} {'noise':>8}")
for name, score in scores.items():
    cells = [
        roc_auc_score([0] * len(familiar) + [1] * len(x), torch.cat([score(familiar), score(x)]))
        for x in (test[digits.test.y == 1], bars, noise[:300])
    ]
    print(f"{name:45} " + " ".join(f"{cell:8.3f}" for cell in cells))

# %% [markdown]
# The plain NLL cannot tell ones from familiar digits. A rival that learned noised digits does not help here (in other settings it does: measure). A
# rival that knows *strokes* helps a great deal, without having seen a one. A model of the ones settles it. So the statement of the decks needs two words more: a density rejects
# outliers *in comparison with another model*, not by a threshold on one likelihood.

# %% [markdown]
# ### A likelihood is a file size
#
# Suppose both ends of a line share a model $q$. How many bits must travel to name an image? A code gives
# every image a word of $L(x)$ bits so that no word begins with another (else the receiver could not tell
# where one ends). A word of $L$ bits occupies the fraction $2^{-L}$ of all infinite bit strings, those that
# begin with it, and the fractions of different words do not overlap, so
#
# $$\sum_x 2^{-L(x)} \le 1 \qquad \text{(Kraft's inequality)}.$$
#
# That is a distribution, with perhaps some mass left over: **code lengths and probabilities are the same
# thing**, $L(x) = -\log_2 q(x)$. The expected length under the truth is the cross-entropy in bits, so by
# section 3 no code beats the entropy, and coding with $q$ wastes $\mathrm{KL}(p \,\|\, q)$.
#
# How does one reach $-\log_2 q(x)$, a number that is not whole? **Arithmetic coding** (Rissanen, 1976;
# Pasco, 1976). All images are intervals that tile $[0, 1)$. Start with the whole of it. Cut it among
# the values of $x_1$ in proportion to $q(x_1)$, in increasing order of the value, and keep the piece of the
# value that came. Cut that piece in proportion to $q(x_2 \mid x_1)$; keep; and so
# on. After $D$ cuts the piece has width
#
# $$w = \prod_{d=1}^{D} q(x_d \mid x_{<d}) = q(x).$$
#
# Name the piece by a binary fraction inside it. With $k = \lceil -\log_2 w \rceil + 1$ bits the multiples
# of $2^{-k}$ are at most $w/2$ apart. So one of them lies in the first half of the piece, and the interval of
# all numbers that start with its $k$ bits, of width $2^{-k} \le w/2$, lies inside: less than 2 bits above
# $-\log_2 q(x)$, for a whole data set coded as one message. It
# needs the conditionals, one after another, and nothing else. An autoregressive model *is* a compressor.
#
# #### Exercise 9 · `interval`
#
# Write the cutting. It works for any number $K$ of values per dimension.


# %% exercise="interval"
def interval(x, conditional):
    """The arithmetic coder's interval of a word.

    Args:
        x: list of D ints in 0..K-1. It may be empty: the interval of the empty word is [0, 1).
        conditional: function. conditional(prefix), prefix a list of d ints with 0 <= d < D, returns (K,)
            float64: p(x_d = . | prefix), zeros allowed. Call it at most D times.

    Returns:
        (low, width), two floats in double precision: the word's interval is [low, low + width), inside
        [0, 1). Each prefix's interval is cut among its next symbols, in increasing order, in proportion to
        the conditional. The width is right to its own digits, also where low + width rounds to low.
    """
    ### BEGIN SOLUTION
    low, width = 0.0, 1.0
    for d, symbol in enumerate(x):
        p = conditional(x[:d])
        low += width * float(p[:symbol].sum())
        width *= float(p[symbol])
    return low, width
    ### END SOLUTION


# %% check="interval"

# %% [markdown]
# One image of the small world, pixel after pixel, and the shortest binary fraction inside its last interval:


# %% tags=["demo"] folded="Codes one image with your function, and draws the bits needed after each pixel."
def world_pair(prefix):
    """p(next pixel = 0, 1 | prefix) in the small world."""
    black = float(world_conditional(torch.tensor([list(prefix)], dtype=torch.long).view(1, -1)))
    return torch.tensor([1 - black, black], dtype=torch.float64)


original = world.sample(8, generator=torch.Generator().manual_seed(3))[0]
with waits_for("interval"):
    word = original.tolist()
    plots.show(figures.bits_so_far([float(interval(word[:d], world_pair)[1]) for d in range(17)]))
    low, width = map(float, interval(word, world_pair))
    k = math.ceil(-math.log2(width)) + 1
    multiple = math.ceil(low * 2**k)
    print(f"interval [{low:.8f}, {low + width:.8f})")
    print(f"log(width) = {math.log(width):.6f}, log p(x) = {world.log_prob(original[None]).item():.6f}")
    print(f"{k} bits name it: 0.{multiple:0{k}b} in binary = {multiple / 2**k:.8f}; the image has 16 pixels")

# %% [markdown]
# Floats run out after about fifty bits, so a real coder keeps a window of integers and emits bits as soon as
# they are settled (Witten, Neal and Cleary, 1987). `course_lib.coding` is one. It writes the 300 test
# digits into one file, with two models, and reads them back. For comparison: the raw bits; PNG, one file per
# image and, fairer, one sheet with all images in a single picture; and a general-purpose compressor. How many bytes will the FVBN's file have? (The raw bits fill 2,400.)

# %% tags=["demo"]
guess("bytes of 300 digits coded with the FVBN", ...)

# %% tags=["demo"] folded="Writes the test digits in six ways, reads the coded ones back, and compares the sizes."
import io
import lzma

from PIL import Image


def png_bytes(picture):
    """Bytes of a black-and-white picture (H, W) as a PNG file: one bit per pixel, best compression."""
    buffer = io.BytesIO()
    Image.fromarray(picture.numpy().astype(bool)).save(buffer, format="PNG", optimize=True)
    return len(buffer.getvalue())


independent = IndependentPixels(64)
with torch.no_grad():
    independent.logits.copy_(smoothed.logit())
packed = np.packbits(test.numpy().astype(np.uint8)).tobytes()
sheet = test.view(15, 20, 8, 8).transpose(1, 2).reshape(120, 160)
filters = [{"id": lzma.FILTER_LZMA2, "preset": 9}]
sizes = {
    f"PNG, {len(test)} files": sum(png_bytes(x.view(8, 8)) for x in test),
    "raw bits": len(packed),
    "PNG, one sheet": min(png_bytes(sheet), png_bytes(test.view(-1, 8))),  # in a grid or in one column
    "LZMA of the raw bits": len(lzma.compress(packed, format=lzma.FORMAT_RAW, filters=filters)),
}
for name, model in [("independent pixels", independent), ("FVBN", fvbn)]:
    file = coding.compress(model, test)
    assert coding.decompress(model, file, len(test)).equal(test)
    sizes[f"{name}, coded"] = len(file)
    predicted = metrics.nll(model, test).mean * len(test) / math.log(2) / 8
    print(f"{name:20} NLL predicts {predicted:7.1f} bytes; the file has {len(file)}")
outcome("bytes of 300 digits coded with the FVBN", sizes["FVBN, coded"])
plots.show(figures.file_sizes(sizes))

# %% [markdown]
# The file is as long as the NLL says, to within a few bytes: "0.42 bits per dimension" is a statement about a
# disk. Be fair when you tell this story: single PNG files lose to the raw bits because each carries some 60
# bytes of headers; and our receiver must own the model, whose 2,080 weights take 8 kB. For 300 images that does not pay; for millions it does.

# %% [markdown]
# ### Bug clinic
#
# Six patients, all meant to be FVBNs of the small world; one is healthy. For each you see what its author would see, the mean NLL that it *reports* and
# samples, and one number that authors rarely compute: the **total mass** $\sum_x \exp(\texttt{log\_prob}(x))$ over all 65,536 images, which must be 1. For orientation:
# the entropy is 4.97 nats, independent pixels need 9.68, the best FVBN in raster order 6.48.

# %% tags=["demo"]
clinic = likelihood_clinic()
clinic.show()

# %% tags=["demo"]
clinic.choices()

# %% [markdown]
# Replace the dots by your diagnosis. The patients are at hand for experiments: `clinic.patients["A"].model` has `log_prob` and `sample`, and
# `plots.dependency_map` draws what each of its conditionals depends on.

# %% tags=["demo"]
clinic.diagnose("A", symptom=..., line=...)
clinic.diagnose("B", symptom=..., line=...)
clinic.diagnose("C", symptom=..., line=...)
clinic.diagnose("D", symptom=..., line=...)
clinic.diagnose("E", symptom=..., line=...)
clinic.diagnose("F", symptom=..., line=...)

# %% [markdown]
# A seventh needs no picture: a paper reports 9.35 where you get 6.48. The ratio is $1/\log 2 = 1.4427$: *bits called nats*.
#
# Summing to one catches wrong likelihoods, counting samples against probabilities catches wrong samplers, and a simple baseline catches proper but
# useless models. The checks of this lesson do all three.

# %% [markdown]
# ### Paper and pencil: what no FVBN can say
#
# Let $x_1$ and $x_2$ be independent fair coins, and $x_3 = 1$ exactly where $x_1 \ne x_2$. (a) What is the entropy of $x = (x_1, x_2, x_3)$? (b) Show that the FVBN in the order 1, 2, 3 that is
# closest in KL has $W = 0$ and $b = 0$. (c) How large is that divergence, and why does no other ordering help?
#
# <details>
# <summary>Solution</summary>
#
# (a) Four images have probability $1/4$ each: $H(p) = 2 \log 2$. (b) The expected NLL is convex in the parameters, so a point where its gradient is zero is a minimum. With $W = b = 0$
# every $\sigma$ is $1/2$, and the gradient is $\mathbb{E}[\frac{1}{2} - x_i]$ for $b_i$, which is 0 since each pixel is black with probability $1/2$, and
# $\mathbb{E}[(\frac{1}{2} - x_i)\, x_j]$ for $W_{ij}$, which is $\frac{1}{2} \cdot \frac{1}{2} - p(x_i = x_j = 1) = \frac{1}{4} - \frac{1}{4} = 0$, since any two pixels are independent. (c) The uniform model needs $3 \log 2$ nats, so the divergence is
# $3 \log 2 - 2 \log 2 = \log 2$. The distribution is symmetric in its three pixels (each is 1 where the other two differ), so every ordering is the same problem.
# </details>

# %% [markdown]
# ### Scoreboard
#
# The rows of this lesson on the same 300 test digits. `python -m course_lib.scoreboard` prints the course's table, with error bars over seeds. (Needs the sections on
# retrieval, orderings, and classification.)

# %% tags=["demo"] folded="Collects the models of this lesson and prints their test NLL."
rows = {
    "uniform": torch.full((len(test),), -64 * math.log(2)),
    "independent pixels": independent_log_prob(smoothed, test),
    f"retrieval, flips {best_flip:.2f}": retrieval_log_prob(test, best_flip),
    "FVBN, raster": metrics.log_probs(fvbn, test),
    "FVBN, spiral": metrics.log_probs(trained_orders["spiral"][0], test),
    "FVBN, mean of random orders": torch.stack([metrics.log_probs(m, test) for m in trained_orders["random"]]).mean(0),
    "mixture of ten FVBNs, one per class": torch.logsumexp(expert_log_probs + prior.log(), dim=1),
}
print(f"{'model':36} {'NLL (nats)':>14} {'bits/dim':>10}   likelihood")
for name, log_q in rows.items():
    estimate = metrics.Estimate.of(-log_q)
    print(f"{name:36} {str(estimate):>14} {metrics.bits_per_dim(estimate.mean, 64):10.4f}   exact")

# %% [markdown]
# The last row: $q(x) = \sum_y q(y)\, q(x \mid y)$, ten simple models and a hidden choice between them, beats one model that must do
# everything at once. (Not quite a fair race: the experts saw labels while training, and each has its own 2,080 parameters.) A single logistic regression cannot say
# "either this or that"; a *hidden variable* can.

# %% [markdown]
# ### History and references
#
# The chain rule as a model of data is as old as Shannon's (1948) approximations to English. Graphical models without hidden
# units were learnt from data by Chow and Liu (1968), as trees. Neal (1992) defined the **sigmoid belief
# network**, some of whose units are hidden. Without these it is the **fully visible** network, whose likelihood is
# exact: Frey, Hinton and Dayan (1996) set it up as a competitor to their wake-sleep algorithm; Frey (1998)
# treats it at length, in a book that joins graphical models and compression. Bengio and Bengio (2000) put a hidden layer,
# partly shared between the outputs, into the conditionals. Larochelle and Murray (2011) tied its weights in the manner of
# an RBM: NADE.
#
# * D. Ackley, G. Hinton and T. Sejnowski. A learning algorithm for Boltzmann machines. *Cognitive Science* 9(1), 1985.
# * Y. Bengio and S. Bengio. Modeling high-dimensional discrete data with multi-layer neural networks. *NIPS
#   12*, 2000, pages 400-406.
# * Y. Bengio, E. Laufer, G. Alain and J. Yosinski. Deep generative stochastic networks trainable by backprop. *ICML*, 2014.
# * M. Chen, A. Radford, R. Child, J. Wu, H. Jun, D. Luan and I. Sutskever. Generative pretraining from pixels. *ICML*, 2020.
# * C. Chow and C. Liu. Approximating discrete probability distributions with dependence trees. *IEEE
#   Transactions on Information Theory* 14(3), 1968.
# * T. Cover and J. Thomas. *Elements of Information Theory*. Wiley, 2nd edition 2006. Chapter 2 (entropy,
#   KL), chapter 5 (codes, Kraft's inequality).
# * P. Dayan, G. Hinton, R. Neal and R. Zemel. The Helmholtz machine. *Neural Computation* 7(5), 1995.
# * G. Delétang et al. Language modeling is compression. *ICLR*, 2024.
# * L. Dinh, D. Krueger and Y. Bengio. NICE: non-linear independent components estimation. *ICLR* workshop, 2015.
# * L. Dinh, J. Sohl-Dickstein and S. Bengio. Density estimation using Real NVP. *ICLR*, 2017.
# * B. Frey, G. Hinton and P. Dayan. Does the wake-sleep algorithm produce good density estimators? *NIPS 8*,
#   1996, pages 661-667.
# * B. Frey. *Graphical Models for Machine Learning and Digital Communication*. MIT Press, 1998.
# * I. Goodfellow et al. Generative adversarial nets. *NIPS 27*, 2014.
# * I. Goodfellow. NIPS 2016 tutorial: generative adversarial networks. 2016. Figure 9 is the map.
# * G. Hinton. Training products of experts by minimizing contrastive divergence. *Neural Computation* 14(8),
#   2002.
# * J. Ho, A. Jain and P. Abbeel. Denoising diffusion probabilistic models. *NeurIPS*, 2020.
# * D. Kingma and P. Dhariwal. Glow: generative flow with invertible 1x1 convolutions. *NeurIPS 31*, 2018.
# * D. Kingma and M. Welling. Auto-encoding variational Bayes. *ICLR*, 2014.
# * H. Larochelle and I. Murray. The neural autoregressive distribution estimator. *AISTATS*, 2011.
# * D. MacKay. *Information Theory, Inference, and Learning Algorithms*. Cambridge University Press, 2003.
#   Chapter 6 (stream codes) on arithmetic coding.
# * E. Nalisnick, A. Matsukawa, Y. W. Teh, D. Gorur and B. Lakshminarayanan. Do deep generative models know
#   what they don't know? *ICLR*, 2019.
# * R. Neal. Connectionist learning of belief networks. *Artificial Intelligence* 56, 1992.
# * A. Ng and M. Jordan. On discriminative vs. generative classifiers: a comparison of logistic regression and
#   naive Bayes. *NIPS 14*, 2002.
# * A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu. Pixel recurrent neural networks. *ICML*, 2016. Table 4.
# * A. van den Oord, N. Kalchbrenner, O. Vinyals, L. Espeholt, A. Graves and K. Kavukcuoglu. Conditional image generation
#   with PixelCNN decoders. *NIPS 29*, 2016.
# * A. van den Oord et al. WaveNet: a generative model for raw audio. 2016.
# * A. van den Oord, O. Vinyals and K. Kavukcuoglu. Neural discrete representation learning. *NIPS 30*, 2017.
# * R. Pasco. *Source coding algorithms for fast data compression*. PhD thesis, Stanford, 1976. J. Rissanen.
#   Generalized Kraft inequality and arithmetic coding. *IBM Journal of Research and Development* 20(3), 1976.
# * A. Radford, K. Narasimhan, T. Salimans and I. Sutskever. Improving language understanding by generative pre-training. 2018.
# * J. Ren, P. Liu, E. Fertig, J. Snoek, R. Poplin, M. DePristo, J. Dillon and B. Lakshminarayanan. Likelihood
#   ratios for out-of-distribution detection. *NeurIPS*, 2019.
# * R. Salakhutdinov and I. Murray. On the quantitative analysis of deep belief networks. *ICML*, 2008.
# * J. Serrà, D. Álvarez, V. Gómez, O. Slizovskaia, J. Núñez and J. Luque. Input complexity and
#   out-of-distribution detection with likelihood-based generative models. *ICLR*, 2020.
# * C. Shannon. A mathematical theory of communication. *Bell System Technical Journal* 27, 1948. Section 3
#   has the approximations to English.
# * P. Smolensky. Information processing in dynamical systems: foundations of harmony theory. In *Parallel
#   Distributed Processing*, volume 1, MIT Press, 1986.
# * J. Sohl-Dickstein, E. Weiss, N. Maheswaranathan and S. Ganguli. Deep unsupervised learning using nonequilibrium
#   thermodynamics. *ICML*, 2015.
# * L. Theis, A. van den Oord and M. Bethge. A note on the evaluation of generative models. *ICLR*, 2016.
# * M. Tipping and C. Bishop. Probabilistic principal component analysis. *Journal of the Royal Statistical
#   Society B* 61(3), 1999.
# * I. Witten, R. Neal and J. Cleary. Arithmetic coding for data compression. *Communications of the ACM*
#   30(6), 1987.
# * T. Xiao, J. Zenn and R. Bamler. The SVHN dataset is deceptive for probabilistic generative models due to a distribution
#   mismatch. arXiv:2312.02168, 2023.
#
# **Where the solution is.** The text source of this notebook with all answers is `solutions/01_likelihood.py` in the course
# repository. Compare after your checks pass: yours may well be different and just as right. In `course_lib`, the same ideas are in
# `models/fvbn.py`, `models/tabular.py` and `coding.py`.
