# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 02 · NADE: one hidden layer for all conditionals
#
# **The question.** Can all $D$ conditionals share one hidden layer, at the price of one network?
#
# In the fully visible belief network (FVBN) of lesson 01, each conditional is a logistic regression, which cannot
# express "either this or that": on the toy distribution of 4 × 4 images it remains 1.5 nats from the truth, however
# long it is trained. The remedy is well known: put a hidden layer in between. The difficulty is the price. There are
# $D$ conditionals, so there would be $D$ networks to store, to train and to evaluate. The **neural autoregressive
# distribution estimator**, NADE (Larochelle and Murray, 2011), has them all for the price of one.
#
# **After the core path you can**
#
# * explain why sharing weights makes $D$ hidden layers as cheap as one, and write NADE's recursion, likelihood and
#   sampler;
# * measure what the hidden layer is worth, and what the sharing is worth, by taking away one of them at a time;
# * write and train a NADE of your own, and say what it cannot do.
#
# **Going further** treats the gradient by hand, real-valued data, one network for all orderings, ensembles, the
# completion of any image from any of its pixels, and a bug clinic.
#
# **Builds on** lesson 01 (chain rule, NLL, KL divergence, orderings) and networks with one hidden layer. No exercise
# needs your answer to another one.
#
# **Numbers in the text** are for `COURSE_BUDGET=cpu`, the default. At `smoke` the models are barely trained, and some
# sentences about them do not hold.
#
# | symbol | meaning |
# | --- | --- |
# | $x = (x_1, \dots, x_D)$ | an image of $D$ binary pixels, 1 for black |
# | $o = (o_1, \dots, o_D)$ | the **ordering**: $o_d$ is the dimension that comes $d$-th. In code `order[k]`, with $k = d - 1$ counted from 0 |
# | $x_{o_{<d}}$ | the values before the $d$-th one, $(x_{o_1}, \dots, x_{o_{d-1}})$ |
# | $q$ | the model's distribution |
# | $H$ | number of hidden units |
# | $W$ ($H \times D$), $c$ ($H$) | weights and biases of the hidden units; $W_{\cdot, i}$ is the column of dimension $i$ |
# | $V$ ($D \times H$), $b$ ($D$) | weights and biases of the outputs; $V_{i, \cdot}$ is the row of dimension $i$ |
# | $a_d$, $h_d = \sigma(a_d)$ | the hidden units' pre-activations and activations for the $d$-th conditional, $H$ numbers each |
# | $z_d$ | the **logit** of the $d$-th conditional: $q(x_{o_d} = 1 \mid x_{o_{<d}}) = \sigma(z_d)$ |
# | $d$, $k$; $i$; $j$ | places in the ordering; a dimension; a hidden unit. In code, $k$ and $j$ are places counted from 0 |
# | $^{(d)}$ | marks weights and units that belong to the $d$-th conditional alone |
# | $\sigma(a) = 1/(1 + e^{-a})$ | the logistic function, applied to each entry of a vector |
#
# The letters are those of the paper. MADE, in lesson 03, uses $b$ and $c$ the other way round.

# %% setup=true
import math

import numpy as np
import torch

# %% tags=["demo"]
import dataclasses
import functools
import itertools

import matplotlib.pyplot as plt

from autograder.checks import nade as checks
from course_lib import budget, data, metrics, plots, pretrained
from course_lib.clinic import nade_clinic
from course_lib.distributions import bernoulli_log_prob
from course_lib.figures import nade as figures
from course_lib.models import FVBN, NADE, RNADE, AutoregressiveModel, ConvNADE, OrderlessNADE, orderings
from course_lib.notebook import guess, outcome, waits_for
from course_lib.training import fit

torch.set_num_threads(1)  # these models are so small that more threads would only wait for one another
digits = data.digits("binary").flatten()
train, test = digits.train.x, digits.test.x
world = data.tiny_world()  # the toy distribution: 4 × 4 images, all probabilities known

# %% [markdown]
# ## 1 · A network for each conditional, and its cost
#
# The straightforward plan gives the $d$-th conditional hidden units of its own,
#
# $$h^{(d)} = \sigma\big(c^{(d)} + W^{(d)} x_{o_{<d}}\big), \qquad q(x_{o_d} = 1 \mid x_{o_{<d}}) = \sigma\big(b_{o_d} + V_{o_d, \cdot}\, h^{(d)}\big),$$
#
# with a matrix $W^{(d)}$ of $H \times (d-1)$ weights that belongs to this conditional alone. The matrices $W^{(d)}$
# hold $\sum_{d=1}^{D} H (d-1) = H D (D-1) / 2$ numbers, the $c^{(d)}$ and $V$ hold $DH$ each, and $b$ holds $D$. For
# binarized MNIST, with $D = 784$ pixels and $H = 500$ units, that is 154 million weights for a data set of 50,000
# images, and one likelihood takes as many multiply-adds.
#
# Much of this is wasted. The first conditional that reads pixel 7 learns what pixel 7 says about the strokes around
# it. So does the second one, and the third, each from scratch, with weights of its own.
#
# ## 2 · Weight sharing
#
# NADE has one matrix $W$ for all conditionals. Pixel $i$ acts on hidden unit $j$ with the same weight $W_{ji}$ in
# *every* conditional that may depend on it:
#
# $$h_d = \sigma\Big(c + \sum_{k < d} W_{\cdot, o_k}\, x_{o_k}\Big), \qquad q(x_{o_d} = 1 \mid x_{o_{<d}}) = \sigma\big(b_{o_d} + V_{o_d, \cdot}\, h_d\big).$$
#
# The outputs keep a row of $V$ and a bias each, for each predicts another pixel. That leaves $2DH + D + H$ parameters. The
# figures of this section and the next one use the natural ordering, $o_d = d$.

# %% tags=["demo"] folded="Draws both plans for four pixels, and counts their weights."
plots.show(figures.weight_sharing())
print("weights               untied            NADE")
for name, D, H in [("digits", 64, 200), ("binarized MNIST", 784, 500)]:
    print(f"{name:15} {H * D * (D - 1) // 2 + 2 * D * H + D:12,} {2 * D * H + D + H:15,}")

# %% [markdown]
# **On paper.** Leave out the logistic function of the hidden layer, so that $h_d = a_d$. Show that this network is an
# FVBN. Which of its weights go with which pair of pixels? How many hidden units does it take to represent *every*
# FVBN, and what does that tell you about the purpose of the hidden layer?
#
# <details>
# <summary><b>Solution</b></summary>
#
# The logit of the $d$-th conditional becomes
#
# $$b_{o_d} + V_{o_d, \cdot}\, c + \sum_{k < d} V_{o_d, \cdot}\, W_{\cdot, o_k}\, x_{o_k},$$
#
# linear in the pixels before: an FVBN with the weight $(VW)_{o_d, o_k}$ between the pixels $o_d$ and $o_k$, and the
# bias $b_{o_d} + V_{o_d,\cdot}\, c$. Of the $D \times D$ matrix $VW$, whose rank is at most $H$, only the entries with
# $k < d$ count: in the order of $o$, those below the diagonal. The others are free.
#
# *$D - 1$ units suffice.* Let unit $k$ copy pixel $o_k$ ($W$ has a 1 at $(k, o_k)$ and is 0 elsewhere), let $c = 0$, and let
# $V_{o_d, k}$ be the FVBN's weight between $o_d$ and $o_k$ for $k < d$, and 0 otherwise. More units add nothing.
#
# *Fewer do not.* Take the FVBN in which each pixel depends on its predecessor only, with weight 1. In the order of $o$, rows
# 2 to $D$ and columns 1 to $D - 1$ of $VW$ have ones on the diagonal and zeros below it. Such a block has rank $D - 1$,
# whatever the free entries above its diagonal are, and so $H \ge D - 1$.
#
# So without the nonlinearity a hidden layer can only *restrict* an FVBN (fewer
# units, smaller rank); all that NADE can do beyond it comes from $\sigma$.
# </details>

# %% [markdown]
# ## 3 · The recursion: each hidden layer is the previous one plus one column
#
# Sharing saves computation as well as memory. The sum in $a_{d+1}$ is the sum in $a_d$ with one more term:
#
# $$a_1 = c, \qquad a_{d+1} = a_d + W_{\cdot, o_d}\, x_{o_d}, \qquad h_d = \sigma(a_d).$$
#
# Each step adds $H$ numbers, and each output is a sum of $H$ terms: $O(H)$ per dimension, $O(DH)$ per image. Computed
# one by one, the $d$-th sum alone costs $(d-1) H$, and all of them $O(D^2 H)$. Without shared columns there is nothing
# to carry over from one conditional to the next, and no recursion.
#
# | multiply-adds for one image | one by one: $H D(D-1)/2 + DH$ | recursion: $2DH$ |
# | --- | --- | --- |
# | digits, $D = 64$, $H = 200$ | 416,000 | 25,600 |
# | binarized MNIST, $D = 784$, $H = 500$ | 153,860,000 | 784,000 |

# %% tags=["demo"] folded="Draws the recursion."
plots.show(figures.cumulative_activations())

# %% [markdown]
# The recursion costs what an autoencoder of the same size costs: the price of one network.
#
# The recursion begins with $a_1 = c$, so $h_1 = \sigma(c)$, not with $h_1 = 0$. The first pixel depends on nothing,
# but its hidden layer is not switched off: with $c = 0$ every unit has the activation one half.
#
# ## Exercise 1 · `activations`
#
# Write the recursion for one image. Two things to get right: row $k$ must not contain its own pixel, and the columns
# are added in the order of `order`.


# %% exercise="activations"
def activations(x, W, c, order):
    """Pre-activations of NADE's hidden layer for every conditional, by the recursion, in O(D H).

    Args:
        x: (D,) int64, zeros and ones.
        W: (H, D) float64.
        c: (H,) float64.
        order: (D,) int64, a permutation: order[k] is the dimension that comes k-th.

    Returns:
        (D, H) float64. Row k belongs to the conditional that comes k-th: c plus the sum over j < k of
        W[:, order[j]] * x[order[j]]. Row 0 is c.
    """
    ### BEGIN SOLUTION
    rows = [c]
    for d in order[:-1].tolist():
        rows.append(rows[-1] + W[:, d] * x[d])
    return torch.stack(rows)
    ### END SOLUTION


# %% check="activations"

# %% [markdown]
# ### Your function at work
#
# A small NADE with 24 hidden units reads one digit in raster order. The figure shows $\sigma$ of the rows that *your*
# function returns. What do the units do while the white margins are read?

# %% tags=["demo", "picture"] folded="Trains a small NADE, and draws its hidden layers with your function."
small = NADE(64, 24)
fit(small, digits, epochs=budget(smoke=3, cpu=30, gpu=60), batch_size=200, lr=4e-2)
shown = test[(digits.test.y == 3).nonzero()[0, 0]]
with waits_for("activations"), torch.no_grad():
    a = activations(shown, small.W.double(), small.c.double(), small.order)
    plots.show(figures.hidden_layers(shown, torch.as_tensor(np.asarray(a)).sigmoid()))

# %% [markdown]
# ### Read with care
#
# A well-known lecture (A. Courville, with H. Larochelle and V. Dumoulin, "Autoregressive Generative Models", Montréal
# Institute for Learning Algorithms) prints the hidden layer for the $d$-th conditional as
#
# $$h_d = \sigma\big(W_{\cdot, o_d}\, x_{o_d} + c\big).$$
#
# What would happen to a model that is programmed and trained as it is printed there?

# %% tags=["demo"]
guess(
    "a model with the printed hidden layer",
    ...,
    choices=["as good as NADE", "an honest but bad model", "reports an NLL near 0"],
)


# %% tags=["demo"] folded="Trains the printed formula on the toy distribution."
class AsPrinted(AutoregressiveModel):
    """The formula as printed: each hidden layer depends on one pixel, the one that is to be predicted."""

    def __init__(self, D, H):
        super().__init__((D,), levels=2)
        torch.manual_seed(0)
        self.W, self.V = torch.nn.Parameter(torch.randn(D, H)), torch.nn.Parameter(torch.randn(D, H))
        self.b, self.c = torch.nn.Parameter(torch.zeros(D)), torch.nn.Parameter(torch.zeros(H))

    def forward(self, x):
        return self.b + ((x[:, :, None] * self.W + self.c).sigmoid() * self.V).sum(-1)


toy = world.dataset(4000).flatten()
printed = AsPrinted(16, 16)
fit(printed, toy, epochs=budget(smoke=5, cpu=20, gpu=20), batch_size=100, lr=3e-2)
reported = metrics.nll(printed, toy.test.x).mean
print(f"reported NLL: {reported:.3f} nats per image; no distribution can average less than {world.entropy:.3f}")
outcome("a model with the printed hidden layer", "reports an NLL near 0" if reported < 1 else "an honest but bad model")

# %% [markdown]
# The formula has two slips. The sum over the pixels before is missing: the hidden layer depends on a single pixel. And
# that pixel is $x_{o_d}$, the one to be predicted, so the model learns to copy it. The number that it reports is not an
# NLL: where a conditional depends on what it predicts, there is no distribution.
#
# ## 4 · The likelihood, and teacher forcing
#
# The rest is as in lesson 01: $\log q(x) = \sum_d \log q(x_{o_d} \mid x_{o_{<d}})$, a sum of $D$ log-probabilities of
# bits, each from a **logit** $z_d = b_{o_d} + V_{o_d, \cdot}\, h_d$. With $\sigma(-z) = 1 - \sigma(z)$,
#
# $$\log q(x_{o_d} \mid x_{o_{<d}}) = \begin{cases} \log \sigma(z_d) & \text{if } x_{o_d} = 1 \\ \log \sigma(-z_d) & \text{if } x_{o_d} = 0. \end{cases}$$
#
# Notice what enters the hidden layer: the *true* pixels of the image, never the model's own predictions. This is called
# **teacher forcing**: at each step the model is asked what comes next, given what really came before, and is then told
# the answer. It is not a trick of training. It is the chain rule, whose conditional $q(x_{o_d} \mid x_{o_{<d}})$
# *means* the true prefix.
#
# ## Exercise 2 · `nade_log_prob`
#
# A batch this time. The traps of lesson 01 are all back (reading ahead, any ordering, large logits). One is new: the
# rows of $V$ and the entries of $b$ belong to *dimensions*, not to places in the ordering.


# %% exercise="nade_log_prob"
def nade_log_prob(x, W, V, b, c, order):
    """Log-likelihood of a NADE.

    Args:
        x: (B, D) int64, zeros and ones.
        W: (H, D) float64.
        V: (D, H) float64.
        b: (D,) float64.
        c: (H,) float64.
        order: (D,) int64, a permutation: order[k] is the dimension that comes k-th.

    Returns:
        (B,) float64, log q(x) in nats: the sum over k of log q(x_{order[k]} | what came before), where
        q(x_{order[k]} = 1 | before) = sigma(b[order[k]] + V[order[k]] . sigma(a_k)) and a_k is c plus the sum over
        j < k of W[:, order[j]] * x[order[j]]. Finite and exact for any number of dimensions and for logits and
        pre-activations as large as 1000, of either sign.
    """
    ### BEGIN SOLUTION
    a = c.expand(len(x), -1)
    log_q = torch.zeros(len(x), dtype=torch.float64)
    for d in order.tolist():
        logit = b[d] + a.sigmoid() @ V[d]
        log_q = log_q + torch.nn.functional.logsigmoid((2 * x[:, d] - 1) * logit)
        a = a + x[:, d, None] * W[:, d]
    return log_q
    ### END SOLUTION


# %% check="nade_log_prob"

# %% [markdown]
# `course_lib.models.NADE` is your function with its parameters attached. We train one with 200 hidden units on the
# 1,197 digits of the training set, and compare it with the FVBN. The loss is not convex any more: hidden units can
# settle in different ways, so from now on seeds matter.

# %% tags=["train"]
decay = functools.partial(torch.optim.AdamW, weight_decay=0.1)
settings = dict(epochs=budget(smoke=6, cpu=80, gpu=100), batch_size=200, lr=4e-2, optimizer=decay)


def trained(model_class, *sizes, seed=0, **changes):
    torch.manual_seed(seed)
    model = model_class(*sizes)
    return model, fit(model, digits, seed=seed, **settings | changes)


fvbn, _ = trained(FVBN, 64)
nade, history = trained(NADE, 64, 200)
best_fvbn = metrics.nll(fvbn, digits.valid.x).mean

# %% tags=["demo"] folded="Draws the training curve."
fig = plots.training_curve(history, references={"FVBN": best_fvbn}, title="NADE with 200 hidden units on the digits")
fig.axes[0].set_ylim(None, 26)
plots.show(
    fig,
    alt="Training and validation NLL of NADE against epochs, and a line: the trained FVBN's validation NLL. At the cpu "
    "budget NADE's validation NLL is below that line after about 16 epochs, and its training NLL falls on when the "
    "validation NLL hardly does.",
)
print(f"test NLL: FVBN {metrics.nll(fvbn, test)}, NADE {metrics.nll(nade, test)} nats")

# %% [markdown]
# Compare like with like: the line is the FVBN's *validation* NLL. NADE's validation curve goes below it after 16 epochs. From
# there to the end it falls by 1.6 nats, the training curve by 3.8, and the two end 2 nats apart: NADE **overfits**, and
# the digits that it has not seen still get cheaper.
#
# ## 5 · Sampling, and the end of teacher forcing
#
# To sample, the model must read its own output: draw $x_{o_1}$, add its column to $a$, draw $x_{o_2}$, add its column,
# and so on. What is fed back is *the drawn bit*: not its probability, not the likelier value, not a pixel of a real
# image. The same recursion serves, so a sample costs $O(DH)$, no more than a likelihood. (A sampler that asks for a
# full likelihood for each pixel, as generic code does, costs $D$ times as much.)
#
# ## Exercise 3 · `nade_sample`
#
# The randomness is supplied: a uniform number for each dimension, and the rule by which it decides. So your samples are
# a function of `u`, and the check can follow every decision.


# %% exercise="nade_sample"
def nade_sample(W, V, b, c, order, u):
    """Samples of a NADE, from supplied uniform numbers.

    Args:
        W: (H, D) float64.
        V: (D, H) float64.
        b: (D,) float64.
        c: (H,) float64.
        order: (D,) int64, a permutation: order[k] is the dimension that comes k-th.
        u: (n, D) float64, uniform in [0, 1).

    Returns:
        (n, D) int64, zeros and ones. The dimensions are visited in order; x[:, d] = 1 where
        u[:, d] < q(x_d = 1 | what was drawn before), and 0 where the two are equal.
    """
    ### BEGIN SOLUTION
    x = torch.zeros(u.shape, dtype=torch.int64)
    a = c.repeat(len(u), 1)
    for d in order.tolist():
        x[:, d] = (u[:, d] < (b[d] + a.sigmoid() @ V[d]).sigmoid()).long()
        a = a + x[:, d, None] * W[:, d]
    return x
    ### END SOLUTION


# %% check="nade_sample"

# %% [markdown]
# ### Your function at work
#
# Digits from the trained NADE, with the nearest training image below each. The mean cost of a model's own samples
# estimates its entropy. Will samples cost the NADE more or less than real digits do?

# %% tags=["demo"]
guess("samples, compared with test digits", ..., choices=["cost less", "cost about the same", "cost more"])


# %% tags=["demo"] folded="Draws samples with your function, and compares them with digits."
def nearest(a, b):
    """For each image of a: in how many pixels it differs from its nearest image in b, and which one that is."""
    b = b.float()
    return (a.float().sum(1, keepdim=True) + b.sum(1) - 2 * a.float() @ b.T).min(1)


fvbn_samples = fvbn.sample(300, generator=torch.Generator().manual_seed(1))
with waits_for("nade_sample"), torch.no_grad():
    uniforms = torch.rand(300, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    samples = torch.as_tensor(
        nade_sample(nade.W.double(), nade.V.double(), nade.b.double(), nade.c.double(), nade.order, uniforms)
    )
    _, neighbour = nearest(samples, train)
    fig = plots.image_grid(
        torch.cat([fvbn_samples[:12], samples[:12], train[neighbour[:12]], test[:12]]),
        columns=12,
        row_names=["FVBN", "NADE, your sampler", "nearest training digit", "test digits"],
    )
    plots.show(
        fig,
        alt="Rows of images: samples of the FVBN; samples of the NADE, about half of them readable at the cpu budget; the "
        "training digit nearest to each, which differs in some pixels; test digits.",
    )
    for name, x in [("FVBN", fvbn_samples), ("NADE", samples), ("test digits", test)]:
        print(f"{name:12} pixels off the nearest training digit: {metrics.Estimate.of(nearest(x, train).values)}")
    own, actual = metrics.nll(nade, samples), metrics.nll(nade, test)
    print(f"cost under the NADE: its own samples {own} nats, test digits {actual} nats")
    apart = abs(own.mean - actual.mean) > 2 * math.hypot(own.stderr, actual.stderr)
    outcome(
        "samples, compared with test digits",
        "cost about the same" if not apart else "cost less" if own.mean < actual.mean else "cost more",
    )

# %% [markdown]
# NADE's samples are nearer to digits than the FVBN's: 4.3 pixels from the nearest training digit, against 5.9, and 3.4 for
# test digits. If the model were perfect, the two costs would be equal. That they are close proves little: the model may put
# its probability on the wrong images at the same average cost. Look at samples, and at the likelihood.
#
# The mismatch between training on real prefixes and sampling with own ones is known as **exposure bias**. The sampler is
# *exact*: it draws each image with the probability that `log_prob` reports. Errors come from the model: a wrong early pixel
# leads to a prefix unlike any in the training set, where its conditionals may be bad.
#
# ## 6 · What is sharing worth?
#
# NADE differs from the FVBN in two ways: it has a hidden layer, and the hidden layer is shared. To know what each is
# worth, take away one of them at a time. Without the hidden layer: the FVBN. Without the sharing: the network of
# section 1, once with as many weights as the NADE (12 hidden units for each conditional), once with as many hidden
# units (200, which takes 17 times as many weights).

# %% tags=["demo"]
guess("lowest test NLL on the digits", ..., choices=["FVBN", "untied, 12 units", "NADE, 200 units"])


# %% tags=["train"] folded="Defines the untied network, trains it, and compares it with the NADE on the test digits."
class Untied(AutoregressiveModel):
    """A network of H hidden units for each conditional; nothing is shared."""

    def __init__(self, D, H):
        super().__init__((D,), levels=2)
        self.W, self.V = torch.nn.Parameter(torch.empty(D, H, D)), torch.nn.Parameter(torch.empty(D, H))
        for weights in (self.W, self.V):
            torch.nn.init.uniform_(weights, -math.sqrt(6 / (D + H)), math.sqrt(6 / (D + H)))
        self.c, self.b = torch.nn.Parameter(torch.zeros(D, H)), torch.nn.Parameter(torch.zeros(D))
        self.register_buffer("before", torch.ones(D, D).tril(-1))

    def forward(self, x):
        W = (self.before[:, None, :] * self.W).flatten(0, 1)
        a = torch.nn.functional.linear(x.to(W.dtype), W, self.c.flatten()).view(len(x), *self.c.shape)
        return self.b + (a.sigmoid() * self.V).sum(-1)


without = {"FVBN": (FVBN, 64), "untied, 12 units": (Untied, 64, 12)}
if budget(smoke=False, cpu=False, gpu=True):
    without["untied, 200 units"] = (Untied, 64, 200)
seeds = range(budget(smoke=1, cpu=1, gpu=5))
shared = [nade, *(trained(NADE, 64, 200, seed=seed)[0] for seed in seeds[1:])]
print(f"{'':18} {'weights':>8} {'test NLL':>13}   minus NADE's, image by image")
print(f"{'NADE, 200 units':18} {2 * 64 * 200 + 64 + 200:8,} {str(metrics.nll(nade, test)):>13}")
nlls = {"NADE, 200 units": metrics.nll(nade, test).mean}
for name, (model_class, *sizes) in without.items():
    lr = 2e-2 if sizes[-1] == 200 else 4e-2
    models = [fvbn] if model_class is FVBN else [trained(model_class, *sizes, seed=seed, lr=lr)[0] for seed in seeds]
    D, H = 64, sizes[-1]
    weights = D * (D + 1) // 2 if model_class is FVBN else H * D * (D - 1) // 2 + 2 * D * H + D
    differences = ", ".join(str(metrics.nll_difference(*pair, test)) for pair in zip(models, shared, strict=False))
    print(f"{name:18} {weights:8,} {str(metrics.nll(models[0], test)):>13}   {differences}")
    nlls[name] = metrics.nll(models[0], test).mean
nlls.pop("untied, 200 units", None)  # trained at the largest budget only, so it was not among the choices
outcome("lowest test NLL on the digits", min(nlls, key=nlls.get))

# %% [markdown]
# One run says little about a difference as small as the last one. Here is the same with seeds 0 to 4, and up to 100
# epochs. The learning rate of each model (of 0.005, 0.01, 0.02 and 0.04) is the one with the lowest validation NLL.
# `COURSE_BUDGET=gpu` repeats it.
#
# | model | weights | test NLL, mean of 5 seeds (standard deviation) | minus NADE's (± standard error over images) |
# | --- | --- | --- | --- |
# | FVBN | 2,080 | 18.51 (0.01) | 1.56 ± 0.11 |
# | untied, 12 units | 25,792 | 17.12 (0.08) | 0.17 ± 0.05 |
# | untied, 200 units | 428,864 | 17.22 (0.05) | 0.27 ± 0.07 |
# | NADE, 200 units | 25,864 | 16.95 (0.06) | |
#
# Most of the gain is due to the hidden layer: of the 1.56 nats between FVBN and NADE, untied networks with as many weights
# as the NADE gain 1.39. **Sharing is worth 0.17 nats** at equal numbers of weights, and 0.27 at equal numbers of hidden
# units, on 1,197 training digits. The table's errors leave out the spread between runs. Five runs of each model, with the
# standard deviations of the table, turn ± 0.05 into $\sqrt{0.05^2 + (0.08^2 + 0.06^2)/5}$ = ± 0.07, and likewise ± 0.07 into
# ± 0.08. So the hidden layer improves the FVBN by 1.4 nats; sharing adds 0.2 to 0.3, and divides the weights of a network
# with 200 units by 17 and the multiply-adds for one likelihood by 16.
#
# Where the truth is known exactly, we can look again. On the toy distribution we minimise the KL divergence itself, so
# that there are neither test images nor error bars: only what a model of this size can represent, or L-BFGS can find.

# %% tags=["train"] folded="Minimises the KL divergence to the toy distribution exactly, for NADEs and untied networks."
p_world = world.log_p.exp()


@functools.cache
def prefixes(order):
    """For each place k of the ordering (a tuple): all 2^k prefixes as (2^k, 16), with zeros from place k on."""
    levels = [torch.zeros(1, 16, dtype=torch.float64)]
    for d in order[:-1]:
        x = levels[-1]
        levels.append(torch.stack([x, x.index_fill(1, torch.tensor(d), 1.0)], 1).flatten(0, 1))
    return levels


def tree_log_prob(logit, order):
    """log q of all 65,536 images; logit(x, k) gives the logits of the k-th conditional for its 2^k prefixes x."""
    log_q = torch.zeros(1, dtype=torch.float64)
    for k, x in enumerate(prefixes(tuple(order.tolist()))):
        z = logit(x, k)
        log_q = torch.stack([log_q + bernoulli_log_prob(z, torch.tensor(bit)) for bit in (0, 1)], 1).flatten()
    return log_q.view((2,) * 16).permute(*order.argsort().tolist()).flatten()


def gap(log_q):
    """KL(toy distribution || model) in nats, exactly."""
    return p_world @ (world.log_p - log_q)


def fit_exactly(log_prob, parameters):
    """Minimise the divergence itself over the parameters; returns it."""
    steps = budget(smoke=5, cpu=80, gpu=240)
    optimizer = torch.optim.LBFGS(parameters, max_iter=steps, history_size=20, line_search_fn="strong_wolfe")

    def divergence():
        optimizer.zero_grad()
        value = gap(log_prob())
        value.backward()
        return value

    optimizer.step(divergence)
    return divergence().item()


def start(*shapes, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return [(0.5 * torch.randn(shape, generator=rng, dtype=torch.float64)).requires_grad_() for shape in shapes]


def world_nade(H, order, seed=0):
    """Train a NADE on the toy distribution exactly: (W, V, b, c), divergence."""
    W, V, b, c = parameters = start((H, 16), (16, H), (16,), (H,), seed=seed)
    divergence = fit_exactly(
        lambda: tree_log_prob(lambda x, k: b[order[k]] + (c + x @ W.T).sigmoid() @ V[order[k]], order), parameters
    )
    return [p.detach() for p in parameters], divergence


def world_untied(H, order):
    W, V, b, c = parameters = start((16, H, 16), (16, H), (16,), (16, H))
    return fit_exactly(
        lambda: tree_log_prob(lambda x, k: b[k] + (c[k] + x @ W[k].T).sigmoid() @ V[k], order), parameters
    )


raster = orderings.raster(4, 4)
W, b = parameters = start((16, 16), (16,))
fvbn_gap = fit_exactly(lambda: tree_log_prob(lambda x, k: b[k] + x @ W[k], raster), parameters)
sizes = budget(smoke=[4, 16], cpu=[1, 2, 4, 8, 16, 32], gpu=[1, 2, 4, 8, 16, 32, 64])
world_nades = {H: world_nade(H, raster) for H in sizes}
untied_gaps = {H: world_untied(H, raster) for H in budget(smoke=[1], cpu=[1, 2, 4, 7], gpu=[1, 2, 4, 7, 14])}
plots.show(figures.sizes_and_gaps({H: kl for H, (_, kl) in world_nades.items()}, untied_gaps, fvbn_gap))

# %% [markdown]
# A NADE with one or two hidden units is worse than an FVBN: the whole past must pass through them, while an FVBN's pixels
# act on one another directly. With four it is level with the FVBN, and 16 leave a fifth of its gap. A network with one
# hidden layer can approximate *any* function of bits if it has enough units; an FVBN remains at 1.5 nats. Each point is one
# run of 80 steps of L-BFGS (an optimizer that uses curvature), so it is an upper bound on the best divergence for that
# size; part of the flattening is unfinished optimization.
#
# Neither curve is below the other throughout. At about 160 parameters the untied network is better, 1.13 nats with one unit
# against 1.51; at about 300 the NADE is, 0.67 against 0.91. From five starting points each, at nearly equal numbers of
# weights (mean ± standard error, in nats): NADE with 14, 23 and 37 hidden units 0.37 ± 0.01, 0.27 ± 0.01 and 0.24 ± 0.01;
# untied with 3, 5 and 8 units 0.42 ± 0.03, 0.25 ± 0.01 and 0.20 ± 0.01. Here sharing brings no clear gain, as expected: it
# helps where images are few, and these networks learn from the exact distribution.
#
# ## 7 · Your own NADE
#
# Now assemble the whole model. Natural ordering ($o_d = d$) keeps the code short. Nothing depends on your earlier
# answers, so here are the pieces again, with $a$ for the running pre-activations of a batch, (n, H):
#
# * begin with $a = c$ for each image;
# * for $d = 1, \dots, D$: the logit is $z_d = b_d + V_{d, \cdot}\, \sigma(a)$; *then* $a \leftarrow a + W_{\cdot, d}\, x_d$;
# * $\log q(x) = \sum_d \log \sigma(z_d)$ or $\log \sigma(-z_d)$, where $x_d$ is 1 or 0;
# * a sample runs the same recursion, and decides $x_d = 1$ where $u_d < \sigma(z_d)$ before it adds the column.
#
# ## Exercise 4 · `OwnNADE`


# %% exercise="OwnNADE"
class OwnNADE(torch.nn.Module):
    """A NADE over D binary dimensions in natural ordering (dimension 0 first).

    Args of `__init__`:
        D: number of dimensions.
        H: number of hidden units.

    Attributes:
        W, V, b, c: parameters (`torch.nn.Parameter`) of shapes (H, D), (D, H), (D,) and (H,). How they are initialized
            is up to you: the check sets them. Small random numbers for W and V let the hidden units differ.

    Methods, for x (n, D) int64 zeros and ones, computed in the parameters' dtype:
        logits(x): (n, D). Column d is b[d] + V[d] . sigma(c + the sum over j < d of W[:, j] * x[:, j]).
        log_prob(x): (n,), log q(x) in nats. Its gradients reach all parameters.
        sample(u): (n, D) int64, zeros and ones, from u (n, D) uniform in [0, 1): x[:, d] = 1 where u[:, d] is less than
            q(x_d = 1 | what was drawn before).
    """

    def __init__(self, D, H):
        super().__init__()
        ### BEGIN SOLUTION
        self.W = torch.nn.Parameter(torch.randn(H, D) / math.sqrt(D))
        self.V = torch.nn.Parameter(torch.randn(D, H) / math.sqrt(H))
        self.b = torch.nn.Parameter(torch.zeros(D))
        self.c = torch.nn.Parameter(torch.zeros(H))
        ### END SOLUTION

    def logits(self, x):
        ### BEGIN SOLUTION
        a = self.c.expand(x.shape[0], -1)
        logits = []
        for d in range(len(self.b)):
            logits.append(self.b[d] + a.sigmoid() @ self.V[d])
            a = a + x[:, d, None] * self.W[:, d]
        return torch.stack(logits, 1)
        ### END SOLUTION

    def log_prob(self, x):
        ### BEGIN SOLUTION
        return torch.nn.functional.logsigmoid((2 * x - 1) * self.logits(x)).sum(1)
        ### END SOLUTION

    @torch.no_grad()
    def sample(self, u):
        ### BEGIN SOLUTION
        x = torch.zeros(u.shape, dtype=torch.int64)
        a = self.c.expand(len(u), -1)
        for d in range(len(self.b)):
            x[:, d] = (u[:, d] < (self.b[d] + a.sigmoid() @ self.V[d]).sigmoid()).long()
            a = a + x[:, d, None] * self.W[:, d]
        return x
        ### END SOLUTION


# %% check="OwnNADE"

# %% [markdown]
# ### Train it
#
# The loss is the mean of $-\log q(x)$ over a batch. Write the loop: a step draws a batch of 200 images at random,
# computes the loss and its gradients, and lets Adam move the parameters.


# %% loop="train_own"
def train_own(model, images, steps):
    """Train a model with `log_prob` by maximum likelihood, in place, with Adam at learning rate 1e-2.

    Args:
        model: such as an OwnNADE.
        images: (N, D) int64.
        steps: number of batches of 200 images, drawn at random.
    """
    ### BEGIN SOLUTION
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        batch = images[torch.randint(len(images), (200,))]
        loss = -model.log_prob(batch).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    ### END SOLUTION


# %% tags=["train"] folded="Trains your model on the toy distribution, measures its KL divergence exactly, and draws samples."
with waits_for("OwnNADE", "train_own"):
    torch.manual_seed(0)
    own_nade = OwnNADE(16, 32)
    train_own(
        own_nade,
        world.sample(100_000, generator=torch.Generator().manual_seed(0)),
        budget(smoke=50, cpu=1500, gpu=5000),
    )
    log_q = metrics.log_probs(own_nade, world.states)
    with torch.no_grad():
        drawn = own_nade.sample(torch.rand(32, 16, generator=torch.Generator().manual_seed(0)))
    print(f"your NADE: KL to the toy distribution {gap(log_q):.2f} nats, total mass {log_q.exp().sum():.4f}")
    print(f"for comparison: the best FVBN {fvbn_gap:.2f} nats, the solution of this exercise about 0.2 nats")
    fig = plots.image_grids({"your samples": drawn, "the truth": world.sample(32)}, across=2, columns=8)
    plots.show(fig, alt="Samples of your own NADE, mostly whole glyphs at the cpu budget, beside the truth's.")

# %% [markdown]
# If your model does not come below 0.8 nats, look at the loop first (is the gradient reset in each step? is the loss the
# *negative* mean?), then at the initial weights: with $W = V = 0$ all hidden units remain copies of one another.
#
# ## 8 · What NADE cannot do, and the answer
#
# * **The recursion is sequential.** It has $D$ steps, each too small to keep a GPU busy.
# * **It does not get deeper.** Only the first layer is linear in what changes. One more pixel adds a column to the first
#   pre-activations; after the nonlinearity *all* units have changed, and a second hidden layer is a new matrix product
#   for each pixel, $O(DH^2)$ in all.
# * **One ordering.** It completes an image only if the known pixels come first in its ordering. Another ordering is
#   another NADE, to be trained anew.
# * **It does not know what a neighbour is.** Shuffle the pixels of all images and the ordering alike, and it learns equally
#   well.
#
# **The answer.** Yes: all $D$ conditionals can share one hidden layer, because each reads one pixel more than the one
# before, and a shared column makes that one addition. The price is that of one autoencoder, $O(DH)$, for the likelihood
# and for a sample. What makes NADE better than an FVBN is the hidden layer's nonlinearity; the sharing is what makes it
# affordable, and on few images it helps a little as well.
#
# **Today.** One network with shared weights that answers at every position, trained by teacher forcing, is how language
# models work: a transformer shares its weights over positions and leaves out the recursion. The orderless NADE (below)
# lives on in **any-order autoregressive models** (Hoogeboom et al., 2022; Shih, Sadigh and Ermon, 2022) and in **masked
# diffusion** language models, which unmask a text in random order and are trained with the loss of exercise 7, or its
# limit for continuous time (Sahoo et al., 2024; Nie et al., 2025).
#
# In lesson 03, MADE removes the sequential loop: a single pass through an ordinary deep network, with masks that cut
# all forbidden paths, gives all $D$ conditionals at once.

# %% [markdown]
# ## Going further
#
# Each section below needs the core path only, unless it says otherwise.
#
# ### Where the idea came from
#
# NADE comes from the restricted Boltzmann machine of lesson 01,
# $q(x, h) = \frac1Z \exp(b^\top x + c^\top h + h^\top W x)$ in this lesson's letters, whose $Z$ cannot be computed.
# Suppose you insist on its conditionals $q(x_d \mid x_{<d})$. Approximate what is unknown, $h$ and $x_{\ge d}$, by a
# distribution $r$ of independent bits, with means $\tau_j$ for $h_j$ and $\mu_i$ for $x_i$, as close as possible in
# $\mathrm{KL}(r \,\|\, q(\,\cdot \mid x_{<d}))$. Up to a constant this divergence is
#
# $$\sum_j \big[\tau_j \log \tau_j + (1 - \tau_j) \log (1 - \tau_j)\big] + \sum_{i \ge d} \big[\mu_i \log \mu_i + (1 - \mu_i) \log (1 - \mu_i)\big] - \sum_{i \ge d} b_i \mu_i - \sum_j \tau_j \Big(c_j + \sum_{i < d} W_{ji} x_i + \sum_{i \ge d} W_{ji} \mu_i\Big).$$
#
# Set the derivative with respect to $\tau_j$ to zero: $\log \frac{\tau_j}{1 - \tau_j}$ equals the last bracket, so
#
# $$\tau = \sigma\Big(c + \sum_{i < d} W_{\cdot, i}\, x_i + \sum_{i \ge d} W_{\cdot, i}\, \mu_i\Big), \qquad \text{and likewise} \qquad \mu_i = \sigma\big(b_i + W_{\cdot, i}^\top \tau\big).$$
#
# These *mean-field equations* are solved by iteration. Begin with $\mu = 0$ and iterate *once*:
# $\tau = \sigma(c + \sum_{i<d} W_{\cdot,i} x_i)$, then $\mu_d = \sigma(b_d + W_{\cdot,d}^\top \tau)$. That is NADE, with
# $V = W^\top$. Larochelle and Murray's (2011) step was to stop regarding it as an approximation: it is a distribution
# in its own right, with $Z = 1$. So they gave the outputs weights $V$ of their own, and maximised *its* likelihood,
# which is exact. Gregor and LeCun (2011) came to the same sharing from compression: a network that predicts bit after
# bit and updates its hidden state as each arrives. Before them, Bengio and Bengio (2000) had put hidden units into the
# conditionals, tied between outputs; the number of weights grew as the square of $D$, and they pruned connections by
# tests of dependency.

# %% [markdown]
# ### Inside a trained NADE
#
# Where does NADE gain on the FVBN? The NLL is a sum over pixels, so we can look.

# %% tags=["demo"]
with torch.no_grad():
    costs = {
        name: -bernoulli_log_prob(model(test), test).mean(0).view(8, 8)
        for name, model in [("FVBN", fvbn), ("NADE", nade)]
    }
plots.show(figures.costs_of_pixels(costs))

# %% [markdown]
# It gains in the lower half, where much has been read and "either this digit or that" has become a question. In the
# first rows there is nothing to combine.
#
# What do the hidden units look for? Row $j$ of $W$ says which pixels switch unit $j$ on or off; column $j$ of $V$ says
# which pixels the unit then makes more or less probable. Both are images, and are called **filters**.

# %% tags=["demo"]
plots.show(figures.filters(nade.W.detach(), nade.V.detach()))
for name, weights in [("W", nade.W.detach()), ("V", nade.V.detach().T)]:
    print(
        f"mean |{name}| in rows 0 to 7: ", *(f"{row:.2f}" for row in weights.abs().mean(0).view(8, 8).mean(1).tolist())
    )

# %% [markdown]
# With 200 units for a thousand images they are not clean stroke detectors; each takes part in many decisions. But the
# direction of reading shows. The outputs of the first rows have small weights, as nothing is known yet, and the last
# row's inputs have small ones, for few conditionals are left to use them.

# %% [markdown]
# ### Does the ordering matter?
#
# In lesson 01 it did, a little. A hidden layer can bend each conditional into shape, so perhaps it does not any more?
# On the toy distribution, exactly, with 16 hidden units, from two starting points each:

# %% tags=["train"]
world_orders = {"raster": raster, "spiral": orderings.spiral(4, 4), "random": orderings.random(16, seed=0)}
for name, order in world_orders.items():
    gaps = [world_nade(16, order, seed)[1] for seed in range(budget(smoke=1, cpu=2, gpu=10))]
    print(f"{name:7} KL from different starting points:", *(f"{kl:.3f}" for kl in gaps), "nats")

# %% [markdown]
# The divergences are exact, and yet each ordering shows two: the loss is not convex, so the *starting point* decides
# where 80 steps lead, as much as the ordering does. A claim "ordering A beats ordering B" from one run each would be
# worthless.
#
# Hence the protocol for the digits: several seeds for the same ordering, several random orderings, and each model
# compared with one reference *image by image*. The bars are standard errors of these paired differences over the 300
# test images. Will the seeds of one ordering lie within each other's bars?

# %% tags=["demo"]
guess("the seeds of one ordering lie within each other's bars", ..., choices=["yes", "no"])

# %% tags=["train"] folded="Trains NADEs in several orderings, from several seeds, and draws paired differences."
number = budget(smoke=1, cpu=1, gpu=5)
by_order = {
    "raster\nseeds": [nade, *(trained(NADE, 64, 200, seed=seed)[0] for seed in range(1, 1 + number))],
    "spiral\nseeds": [trained(NADE, 64, 200, orderings.spiral(8, 8), seed=seed)[0] for seed in range(number)],
    "random\norderings": [trained(NADE, 64, 200, orderings.random(64, seed), seed=seed)[0] for seed in range(number)],
}
differences = {
    name: [metrics.nll_difference(model, nade, test) for model in models] for name, models in by_order.items()
}
fig = plots.estimates(differences, reference=0, ylabel="test NLL minus\nthat of the first (nats)")
fig.axes[0].set_title("NADE in three kinds of orderings: paired differences")
plots.show(
    fig,
    alt="Paired differences in test NLL to the first raster NADE, with error bars: seeds of raster and spiral, and random "
    "orderings.",
)
for name, models in by_order.items():
    print(f"{' '.join(name.split()):17}", *(metrics.nll(model, test) for model in models), sep="   ")
seeds_apart = any(abs(d.mean) > d.stderr for d in differences["raster\nseeds"][1:])
outcome("the seeds of one ordering lie within each other's bars", "no" if seeds_apart else "yes")

# %% [markdown]
# The paired bar answers "would other *test images* say the same?", and not "would another *run*?". The raster seeds differ
# by more than a bar, though nothing but chance separates them. To compare orderings (or architectures, or anything) you
# need runs of each, and the spread between runs is a second source of error beside the images. `python -m
# course_lib.scoreboard` prints both. With more runs at these settings we got: raster 16.87, 17.03, 16.91, 16.98 and 16.96,
# spiral 16.90, 16.86 and 16.85, random orderings 16.94 and 16.83 nats.
#
# A trap: stop all of them after 40 epochs in place of 80, and the spiral looks 0.3 nats better than raster (17.13 to 17.18
# against 17.43 to 17.48, three seeds each). It learns faster, which is not the same.
#
# With a hidden layer, even a *random* ordering, which meets neighbouring pixels at unrelated times, costs nothing that
# shows on these images. If all orderings are about equally good, why choose one? The orderless network, below, does not.

# %% [markdown]
# ### The gradient, by hand
#
# Autograd would do this for you, and it would store all $D$ hidden layers to do so: for a batch of 100 binarized MNIST
# images and $H = 500$ that is $100 \cdot 784 \cdot 500$ numbers, 157 MB in single precision. By hand it takes three
# lines of algebra, no stored layer, and one more pass of the recursion, backwards.
#
# Take one image in the natural ordering, $o_d = d$, and let $L = -\log q(x)$. With logits
# $z_d = b_d + V_{d, \cdot}\, h_d$ and $p_d = \sigma(z_d)$,
#
# $$L = -\sum_{d=1}^{D} \big[ x_d \log p_d + (1 - x_d) \log (1 - p_d) \big].$$
#
# **The outputs.** Since $\frac{d}{dz} \log \sigma(z) = 1 - \sigma(z)$ and
# $\frac{d}{dz} \log (1 - \sigma(z)) = -\sigma(z)$,
#
# $$\frac{\partial L}{\partial z_d} = -x_d (1 - p_d) + (1 - x_d)\, p_d = p_d - x_d =: \delta_d ,$$
#
# expected minus observed. As $z_d$ contains $b_d$ and $V_{d,\cdot}$ once, and nothing else contains them,
#
# $$\frac{\partial L}{\partial b_d} = \delta_d, \qquad \frac{\partial L}{\partial V_{d, \cdot}} = \delta_d\, h_d^\top .$$
#
# **One hidden layer.** Of all outputs only $z_d$ depends on $h_d$ directly, so
# $\partial L / \partial h_d = \delta_d V_{d,\cdot}^\top$. With $\sigma' = \sigma (1 - \sigma)$, and $\odot$ for the
# product entry by entry,
#
# $$g_d := \delta_d\, V_{d, \cdot}^\top \odot h_d \odot (1 - h_d)$$
#
# is the $d$-th output's own contribution to the gradient with respect to $a_d$.
#
# **All of them.** Now use the sum, not the recursion: $a_d = c + \sum_{k < d} W_{\cdot, k}\, x_k$. Each $a_d$ contains
# $c$ once, and $W_{\cdot, k}$ with the factor $x_k$ if $k < d$. By the chain rule
#
# $$\frac{\partial L}{\partial c} = \sum_{d=1}^{D} g_d, \qquad \frac{\partial L}{\partial W_{\cdot, k}} = x_k \sum_{d > k} g_d .$$
#
# The sums over $d > k$ are *suffix sums*: $s_k = \sum_{d > k} g_d$ obeys $s_D = 0$ and $s_{k-1} = s_k + g_k$, one
# addition of $H$ numbers per step. All in all $O(DH)$, like the likelihood. Going from $D$ down to 1 we need $h_d$
# again, and need not have stored it: the recursion runs backwards as well,
#
# $$a_d = a_{d+1} - W_{\cdot, d}\, x_d ,$$
#
# so begin with $a_{D+1} = c + W x$, the sum over all pixels, and subtract one column before each $h_d$. (Larochelle and
# Murray, 2011, state it as algorithm 1.) Notice the last column: no $d$ is greater than $D$, so the gradient of
# $W_{\cdot, D}$ is zero. No conditional depends on the last pixel.
#
# #### Exercise 5 · `nade_grad`
#
# Of the *negative* log-likelihood, for one image. Any way to compute it is right; the backward recursion is the one
# worth writing.


# %% exercise="nade_grad"
def nade_grad(x, W, V, b, c):
    """Gradients of -log q(x) of a NADE in natural ordering (dimension 0 first).

    Args:
        x: (D,) int64, zeros and ones.
        W: (H, D) float64.
        V: (D, H) float64.
        b: (D,) float64.
        c: (H,) float64.

    Returns:
        dict with keys "W", "V", "b", "c": the gradients of the negative log-likelihood -log q(x), in nats, each of the
        same shape as its parameter. Where nobody reads W, as for D = 1, its gradient is zeros. Finite and exact for
        logits and pre-activations as large as 1000, of either sign.
    """
    ### BEGIN SOLUTION
    D = len(x)
    a = c + W @ x.double()  # after all D pixels
    s = torch.zeros_like(c)
    grad = {"W": torch.zeros_like(W), "V": torch.zeros_like(V), "b": torch.zeros_like(b)}
    for d in reversed(range(D)):
        grad["W"][:, d] = x[d] * s
        a = a - W[:, d] * x[d]
        h = a.sigmoid()
        delta = (b[d] + V[d] @ h).sigmoid() - x[d]
        grad["b"][d] = delta
        grad["V"][d] = delta * h
        s = s + delta * V[d] * h * (1 - h)
    return grad | {"c": s}
    ### END SOLUTION


# %% check="nade_grad"

# %% [markdown]
# #### Your function at work: training as in 2011
#
# Plain stochastic gradient descent, one image at a time, with nothing but your gradient.

# %% tags=["train"] folded="Trains a NADE with your gradient, and draws its validation NLL."
with waits_for("nade_grad"):
    rng = torch.Generator().manual_seed(0)
    H = 32
    theta = {
        "W": 0.1 * torch.randn(H, 64, generator=rng, dtype=torch.float64),
        "V": 0.1 * torch.randn(64, H, generator=rng, dtype=torch.float64),
        "b": torch.zeros(64, dtype=torch.float64),
        "c": torch.zeros(H, dtype=torch.float64),
    }
    by_hand = NADE(64, H).double()

    def held_out():
        by_hand.load_state_dict({**theta, "order": by_hand.order})
        return metrics.nll(by_hand, digits.valid.x).mean

    losses = [held_out()]
    for number, n in enumerate(
        torch.randperm(len(train), generator=rng).repeat(3)[: budget(smoke=100, cpu=1500, gpu=3591)].tolist()
    ):
        gradients = nade_grad(train[n], **theta)
        for name in theta:
            theta[name] -= 0.1 * torch.as_tensor(gradients[name])
        if number % 100 == 99:
            losses.append(held_out())
    fig, ax = plt.subplots(figsize=(6, 2.8))
    ax.plot(100 * np.arange(len(losses)), losses)
    ax.axhline(best_fvbn, color="gray", lw=1, ls="-")
    ax.text(len(losses) * 100, best_fvbn - 2.3, "FVBN, trained to the end", color="0.35", ha="right")
    ax.set(xlabel="images seen, one at a time", ylabel="validation NLL (nats)", ylim=(14, None))
    ax.set_title("Stochastic gradient descent with your gradient")
    plots.show(
        fig,
        alt="Validation NLL against the number of images seen: it falls from 44 nats steeply to about 25 "
        "within a few hundred images and then slowly towards the FVBN's 18.",
    )

# %% [markdown]
# ### Real numbers: RNADE
#
# Nothing in the recursion needs bits. Let $x_{o_d}$ be a real number and replace the last step: the hidden layer now
# gives the parameters of a *density*. One Gaussian would be a poor choice (grey values accumulate at white and at
# black), so take a **mixture** of $K$ of them (here $K$ counts components; a pixel has 16 levels),
#
# $$q(x_{o_d} \mid x_{o_{<d}}) = \sum_{k=1}^{K} \pi_k\, \mathcal{N}(x_{o_d};\, \mu_k, \sigma_k^2), \qquad \mathcal{N}(y; \mu, \sigma^2) = \frac{1}{\sigma \sqrt{2 \pi}}\, e^{-\frac{(y - \mu)^2}{2 \sigma^2}},$$
#
# with weights $\pi = \mathrm{softmax}$ of $K$ linear functions of $h_d$, means $\mu$ linear in $h_d$, and
# $\log \sigma$ linear in $h_d$ (so that $\sigma > 0$). That is RNADE (Uria, Murray and Larochelle, 2013). Here
# $\sigma_k$ with an index is a standard deviation, not the logistic function.

# %% tags=["demo"] folded="Draws the output of RNADE."
plots.show(figures.mixture_head())

# %% [markdown]
# Four things need care.
#
# **1. Stay in the logarithm.** Far from all means the density is $e^{-500{,}000}$, which is 0 in floating point, and its
# logarithm $-\infty$. The terms' logarithms are harmless:
# $\ell_k = \log \pi_k - \log \sigma_k - \frac12 \log 2\pi - \frac12 \big(\frac{y - \mu_k}{\sigma_k}\big)^2$.
# Take out the largest,
#
# $$\log \sum_k e^{\ell_k} = \ell_{\max} + \log \sum_k e^{\ell_k - \ell_{\max}},$$
#
# and the remaining sum lies between 1 and $K$. (`torch.logsumexp` does it.)
#
# **2. A density has no upper bound.** If a data value occurs exactly, say $x = 0$ for a white pixel, a component can
# concentrate on it and shrink: $\log q \to +\infty$ as $\sigma_k \to 0$. Such a model has learnt that the data are
# stored as integers, and nothing else. The cure is **dequantization**: give each value back the width that rounding
# took from it. The 16 grey levels $n$ then fill $[0, 1)$ evenly: $y = (n + u)/16$ with $u$ uniform on $[0, 1)$.
#
# **3. The Jacobian.** What does the density of $y$ say about the integer image? An image $n$ owns a cube of side $1/16$
# in the space of $y$, and a density gives it the mass
# $Q(n) = \int_{\text{cube}} q(y)\, dy = 16^{-D}\, \mathbb{E}_u\, q\big(\tfrac{n + u}{16}\big)$. Jensen's inequality
# ($\log$ is concave) gives
#
# $$\log Q(n) = -D \log 16 + \log \mathbb{E}_u\, q\big(\tfrac{n + u}{16}\big) \;\ge\; -D \log 16 + \mathbb{E}_u \log q\big(\tfrac{n + u}{16}\big).$$
#
# So an RNADE's NLL plus $D \log 16$ is an upper bound on the NLL of a model of the integers, in bits per dimension:
# $+4$. If you forget the $D \log 16 = 177$ nats, the logarithm of the Jacobian of $n \mapsto y$, you report wonders.
#
# **4. Gradients and scales.** $\partial \ell_k / \partial \mu_k = (y - \mu_k)/\sigma_k^2$ explodes for narrow
# components; the paper multiplies it by $\sigma_k$. And as the sum $a_d$ grows with $d$ when inputs are positive, each
# conditional rescales it by a factor $\rho_d$ that is learnt. RNADE's hidden units are $\mathrm{relu}(a) = \max(a, 0)$,
# entry by entry, in place of the logistic function: $h_d = \mathrm{relu}(\rho_d\, a_d)$. Adam, which divides each
# gradient by its own usual size, makes the first of the two remedies less urgent today.
#
# #### Exercise 6 · `mog_log_density`
#
# The log-density of a mixture of Gaussians, one mixture for each number. It must survive numbers a thousand standard
# deviations away and standard deviations of $e^{-20}$.


# %% exercise="mog_log_density"
def mog_log_density(y, logits, mean, log_sigma):
    """Log-density of mixtures of Gaussians.

    Args:
        y: (N,) float64.
        logits: (N, K) float64, from -1000 to 1000. The weights of the components are softmax(logits), over k.
        mean: (N, K) float64.
        log_sigma: (N, K) float64, the natural logarithms of the standard deviations.

    Returns:
        (N,) float64, in nats: log of the sum over k of softmax(logits)_k N(y; mean_k, exp(log_sigma_k)^2). Finite and
        exact for y a thousand standard deviations away, for weights as small as exp(-800), and for log_sigma from -20
        to 10. If sigma is tiny, y - mean needs the digits of float64, and the mean may be as large as 1e6.
    """
    ### BEGIN SOLUTION
    z = (y[:, None] - mean) * torch.exp(-log_sigma)
    terms = logits.log_softmax(1) - log_sigma - 0.5 * math.log(2 * math.pi) - 0.5 * z**2
    return terms.logsumexp(1)
    ### END SOLUTION


# %% check="mog_log_density"

# %% [markdown]
# #### Your function at work: a likelihood that goes to infinity
#
# One pixel of the digits, modelled without any context by 16 Gaussians, one at each grey level, weighted by how often
# it occurs, all with the same $\sigma$. Once with the raw grey levels $n/16 + 1/32$ as data (each in the middle of its
# cell), once dequantized. **Before you run the cell:** sketch both curves against $\sigma$. The dashed line is $\log 16$
# minus the entropy of the observed frequencies of the grey levels. By the inequality above, and because no $Q$ has a
# lower mean cost than that entropy, no density of the *dequantized* pixel is better on average, whatever its form.

# %% tags=["demo"] folded="Draws the mean log-density of one pixel against the width of the components."
levels = data.digits("levels").flatten().train.x[:, 36]
real = data.digits("real").flatten()
frequency = (torch.bincount(levels, minlength=16).double() + 1e-3) / (len(levels) + 0.016)
sigmas = np.logspace(-5, 0, 41)
with waits_for("mog_log_density"):
    values = {"raw grey levels": (levels.double() + 0.5) / 16, "dequantized": real.train.x[:, 36].double()}
    ones = torch.ones(len(levels), 16, dtype=torch.float64)
    weights, centres = ones * frequency.log(), ones * (torch.arange(16) + 0.5) / 16
    curves = {
        name: [torch.as_tensor(mog_log_density(y, weights, centres, ones * math.log(sigma))).mean() for sigma in sigmas]
        for name, y in values.items()
    }
    plots.show(figures.dequantization(sigmas, curves, math.log(16) + float(frequency[levels].log().mean())))

# %% [markdown]
# #### RNADE on the grey digits
#
# The comparison, all in bits per dimension of the *integer* images of 16 levels: a fair 16-sided die (4 bits),
# independent pixels by counting, independent mixtures of Gaussians (an RNADE without hidden units), and an RNADE with 50
# hidden units and 5 components. The last two are bounds, for one draw of $u$ per image.

# %% tags=["train"] folded="Trains RNADEs, and compares them with counts."
grey = data.digits("levels").flatten()
counts = torch.stack([(grey.train.x == level).sum(0) for level in range(16)]).double() + 0.1
by_counting = (counts / counts.sum(0)).log().gather(0, grey.test.x).sum(1)
rnade_rows = {"independent pixels, by counting": ("exact", metrics.Estimate.of(-by_counting))}
for name, hidden, components in [
    ("independent mixtures, 10 Gaussians", 0, 10),
    ("RNADE, 50 units, 5 Gaussians", 50, 5),
]:
    torch.manual_seed(0)
    rnade = RNADE(64, hidden, components)
    fit(rnade, real, epochs=budget(smoke=3, cpu=30, gpu=100), batch_size=100, lr=1e-2, optimizer=decay)
    rnade_rows[name] = ("bound", metrics.Estimate.of(-(metrics.log_probs(rnade, real.test.x) + real.log_jacobian)))
print(f"{'model':36} {'NLL of the integers (nats)':>27} {'bits/dim':>10}")
print(f"{'uniform':36} {64 * math.log(16):27.2f} {4:10.3f}   exact")
for name, (kind, estimate) in rnade_rows.items():
    print(f"{name:36} {str(estimate):>27} {metrics.bits_per_dim(estimate.mean, 64):10.3f}   {kind}")

# %% tags=["demo"] folded="Draws samples, and one conditional density in three contexts."
with torch.no_grad():
    parameters = rnade(real.test.x)  # (n, 3, K, D): logits, means, log standard deviations
grey_samples = rnade.sample(24, generator=torch.Generator().manual_seed(0)).clamp(0, 1)
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.4), width_ratios=[1, 1.1])
plots.image_grid(
    torch.cat([grey_samples, real.test.x[:8]]), columns=8, ax=axes[0], title="RNADE samples; last row: digits"
)
chosen = [0, 3, 11]
names = [f"test digit {n}" for n in chosen]
figures.one_conditional(parameters[chosen, :, :, 36], real.test.x[chosen, 36].tolist(), names, axes[1])
axes[1].set(xlabel="grey value of pixel (4, 4)")
plots.show(
    fig,
    alt="Left: RNADE samples, grey and digit-like, above a row of real digits. Right: the conditional density of one "
    "pixel for three test digits: different shapes, high near the true values.",
)

# %% [markdown]
# Independent mixtures lose to independent *counts*, which can give each of the 16 levels its own probability: that is
# the price of a smooth density, and of a bound. Context more than pays for it: RNADE is the best model of grey digits so
# far, though its samples are still rough. Depending on what was read, its density at one pixel is high near white, near
# black, or at both.

# %% [markdown]
# ### One network for all orderings
#
# NADE can complete an image only if what is known comes first in its ordering. Another ordering is another NADE, to be
# trained anew, and there are $D!$ of them. Uria, Murray and Larochelle (2014) train them all at once, in one network
# that is given *which* pixels are observed.
#
# **The network.** It reads $x \odot m$ and $m$, side by side, $2D$ numbers ($\odot$: entry by entry), where $m_i = 1$ if
# pixel $i$ is observed and 0 if not; and gives a logit for *every* pixel: $q(x_i = 1 \mid x_S)$, where
# $S = \{i : m_i = 1\}$ is the set of the observed ones. The mask has to be an input: without it a 0 could mean "white"
# or "not known yet", and those call for different answers. In between it may be as deep as you like (*DeepNADE*). To use
# it in the ordering $o$, ask it $D$ times: observe nothing, read the answer for $o_1$; observe $\{o_1\}$, read the
# answer for $o_2$; and so on. The conditionals come from one network, so they are tied; but each ordering multiplies
# them into a distribution of its own.

# %% tags=["demo"] folded="Draws the orderless network."
plots.show(figures.orderless_input())

# %% [markdown]
# **The loss.** We want all orderings to be good, so minimise the mean NLL over orderings,
#
# $$J(x) = \mathbb{E}_o \sum_{d=1}^{D} -\log q(x_{o_d} \mid x_{o_{<d}}).$$
#
# This has $D! \cdot D$ terms. Now comes a short chain of rewritings. A sum over $D$ values of $d$ is $D$ times the mean
# over a uniformly drawn $d$; write $m = d - 1$ for the number of pixels observed then (in this derivation $m$ is a
# number; in the exercise `m` is the mask, and the number is $|m|$):
#
# $$J(x) = D\; \mathbb{E}_{m}\, \mathbb{E}_o \big[ -\log q(x_{o_{m+1}} \mid x_{o_{\le m}}) \big], \qquad m \text{ uniform on } 0, \dots, D-1 .$$
#
# The network does not see in which order the $m$ observed pixels came, only the set $S = \{o_1, \dots, o_m\}$. In a
# random ordering $S$ is a uniformly random set of $m$ pixels, and *given* $S$, the next one, $o_{m+1}$, is each of the
# other $D - m$ with equal probability. So the inner expectation is a plain mean:
#
# $$J(x) = D\; \mathbb{E}_m\, \mathbb{E}_{S : |S| = m} \Big[ \frac{1}{D - m} \sum_{i \notin S} -\log q(x_i \mid x_S) \Big] = \mathbb{E}_m\, \mathbb{E}_{S} \Big[ \frac{D}{D - m} \sum_{i \notin S} -\log q(x_i \mid x_S) \Big].$$
#
# The last bracket costs *one* pass of the network, for it answers for all $i \notin S$ at once. Draw $m$, draw $S$, take
# the bracket: an unbiased estimate of the mean NLL over all orderings. The factor $D/(D-m)$ is easily forgotten, since
# training seems to work without it. But what one then minimises is not an NLL of anything: the conditionals that have
# seen much, with few terms in the sum, count too little, down to $1/D$ of their due.
#
# #### Exercise 7 · `orderless_loss`
#
# Take care that an observed pixel contributes nothing at all: the network's "prediction" of a pixel that it has seen has
# no meaning, and its log-probability may be anything, $-\infty$ included. (And $0 \cdot \infty$ is not 0.)


# %% exercise="orderless_loss"
def orderless_loss(log_p, m):
    """The loss of an orderless NADE for one drawn mask an image: an unbiased estimate of the mean NLL over orderings.

    Args:
        log_p: (B, D) float64, log q(x_d | observed) of the true value of each dimension, in nats; -inf where that
            value has probability 0. At observed dimensions it has no meaning and may be anything, infinities and
            nan included.
        m: (B, D) int64: 1 where observed, 0 where not; at least one 0 in each row.

    Returns:
        (B,) float64: D / (D - |m|) times the sum of -log_p over the dimensions that are not observed, where |m| is the
        number of observed ones in the row; inf if one of these log_p is -inf.
    """
    ### BEGIN SOLUTION
    unknown = m == 0
    return -torch.where(unknown, log_p, 0.0).sum(1) * m.shape[1] / unknown.sum(1)
    ### END SOLUTION


# %% check="orderless_loss"

# %% [markdown]
# #### Your function at work: unbiased, by enumeration
#
# Five dimensions, one fixed $x$, and for each of the 32 sets $S$ an arbitrary table of $\log q(x_i \mid x_S)$.
# (Arbitrary on purpose: the orderings of a real network do not agree with each other either.) On one side all 120
# orderings; on the other the mean of your loss over all numbers $m$ and all sets of that size.

# %% tags=["demo"] folded="Compares both sides by enumeration."
D = 5
rng = torch.Generator().manual_seed(0)
log_table = torch.rand(2**D, D, generator=rng, dtype=torch.float64).log()  # [set as a binary number, dimension]
masks = torch.tensor(list(itertools.product([0, 1], repeat=D)))
number_of = {tuple(mask): n for n, mask in enumerate(masks.tolist())}
nlls = []
for order in itertools.permutations(range(D)):
    observed, nll = [0] * D, 0.0
    for d in order:
        nll -= float(log_table[number_of[tuple(observed)], d])
        observed[d] = 1
    nlls.append(nll)
with waits_for("orderless_loss"):
    losses = torch.as_tensor(orderless_loss(log_table[:-1], masks[:-1])).double()  # all sets but the full one
    size = masks[:-1].sum(1)
    estimate = torch.stack([losses[size == m].mean() for m in range(D)]).mean()
    unweighted = torch.stack([(losses * (D - size) / D)[size == m].mean() for m in range(D)]).mean()
    print(f"NLL of the 120 orderings: from {min(nlls):.3f} to {max(nlls):.3f}, mean {np.mean(nlls):.6f}")
    print(f"mean of your loss over m and S:                          {estimate:.6f}")
    print(f"without the factor D / (D - m):                          {unweighted:.6f}")

# %% [markdown]
# #### Training a deep orderless NADE
#
# Two hidden layers of 200 units. For the exact likelihood in *one* ordering it must be asked 64 times; for a step of
# training, once.

# %% tags=["train"]
torch.manual_seed(0)
orderless = OrderlessNADE(64, [200, 200])
history = fit(orderless, digits, epochs=budget(smoke=10, cpu=250, gpu=600), batch_size=100, lr=3e-3, optimizer=decay)
print("Estimates from one mask per image:", history)

# %% tags=["demo"]
digit_ensemble = [orderings.raster(8, 8)] + [
    orderings.random(64, seed) for seed in range(budget(smoke=3, cpu=31, gpu=127))
]
members = torch.stack([metrics.log_probs(orderless.with_order(order), test) for order in digit_ensemble])
single = -members.mean(1)
print(f"exact test NLL in raster order: {single[0]:.2f} nats")
print(f"in {len(single) - 1} random orderings: mean {single[1:].mean():.2f}, standard deviation {single[1:].std():.2f}")
print(f"of one and the same image: standard deviation over orderings {members.std(0).mean():.2f}, averaged over images")

# %% [markdown]
# One network, and all the orderings we tried are close to each other *on average over images*. But for a single image
# the orderings disagree by more than a nat, as the last line says. Disagreement is a resource.

# %% [markdown]
# ### Ensembles: average the right thing
#
# (Needs the orderless network above.) Take $E$ orderings. Each gives a distribution $q_e$. Draw one of them at random,
# then $x$ from it: that is a mixture, and its probability is the *mean of the probabilities*,
#
# $$q(x) = \frac{1}{E} \sum_{e=1}^{E} q_e(x), \qquad \log q(x) = \log \sum_{e=1}^{E} e^{\log q_e(x)} - \log E .$$
#
# It sums to 1 because each $q_e$ does. (EoNADE: an ensemble of orderless NADEs.) Jensen again: $\log$ is concave, so
#
# $$\log \frac{1}{E} \sum_e q_e(x) \;\ge\; \frac{1}{E} \sum_e \log q_e(x) \qquad \text{for every single } x,$$
#
# with equality only if all $q_e(x)$ agree. **The ensemble never costs more than its members on average, and it gains
# from nothing but their disagreement.** The right-hand side is *not* the log of a distribution: $\prod_e q_e(x)^{1/E}$
# is at most the mean, for every $x$, so its sum over all images is at most 1, and below 1 as soon as two members differ
# anywhere. To report it is to report the average member; to sample from it you would need a $Z$ again.
#
# #### Exercise 8 · `eonade`
#
# The log-likelihood of the mixture, from those of its members. The probabilities themselves may be as small as
# $e^{-10000}$, which is 0 in floating point, and the logarithm of a mean is not the mean of the logarithms.


# %% exercise="eonade"
def eonade(log_ps):
    """Log-likelihood of an ensemble of orderings.

    Args:
        log_ps: (E, B) float64, the log-likelihoods of the same B images under E orderings, in nats; as low as -1e4,
            and as far apart as that between orderings and between images.

    Returns:
        (B,) float64: the log of the mean of the E probabilities, in nats.
    """
    ### BEGIN SOLUTION
    return log_ps.logsumexp(0) - math.log(len(log_ps))
    ### END SOLUTION


# %% check="eonade"

# %% [markdown]
# #### Your function at work
#
# Ensembles of $1, 2, 4, \dots$ orderings, raster and random ones, of the one network above. Each point is the mean over
# 20 random choices of orderings. Which of the two curves is flat, and why?

# %% tags=["demo"] folded="Draws the NLL of ensembles against their size."
with waits_for("eonade"):
    rng = torch.Generator().manual_seed(0)
    numbers = [2**k for k in range(int(math.log2(len(members))) + 1)]
    right, mean_of_logs = [], []
    for number in numbers:
        choices = [torch.randperm(len(members), generator=rng)[:number] for _ in range(20)]
        right.append(-torch.stack([torch.as_tensor(eonade(members[choice])).mean() for choice in choices]).mean())
        mean_of_logs.append(-torch.stack([members[choice].mean() for choice in choices]).mean())
    plots.show(figures.ensembles(numbers, mean_of_logs, right, metrics.nll(nade, test).mean))
    together = torch.as_tensor(eonade(members))
    ensemble = metrics.Estimate.of(-together)
    paired = metrics.Estimate.of(metrics.log_probs(nade, test) - together)
    print(f"{len(members)} orderings: {ensemble} nats; minus NADE in raster order, image by image: {paired}")

# %% [markdown]
# A single ordering of the orderless network (17.4 nats) loses to a NADE that only ever had to learn one (16.9). The
# ensemble of 32 makes up for it, at 32 times the cost: 16.8 nats. Uria, Murray and Larochelle (2014) see the same on
# binarized MNIST, with up to 128 orderings.

# %% [markdown]
# ### Completing anything
#
# (Needs the orderless network above.) Lesson 01 left a debt: to draw the unknown pixels given *any* known set, choose an
# ordering that *starts* with the known ones. For the orderless network that is free: observe the known pixels at once,
# then draw the others one by one, each with a mask that has grown by one. Nothing is clamped: each drawn pixel depends
# on all the known ones, also those "later" in the image.
#
# One caveat: the network's $D!$ distributions are not one distribution. What you draw from is exactly
# $q_o(x_{\text{unknown}} \mid x_{\text{known}})$ of the ordering $o$ you chose; another ordering of the unknown pixels
# gives a slightly different answer.
#
# #### Exercise 9 · `orderless_complete`
#
# The network is a function that you may call once for each unknown dimension. Mind what you show it: zeros wherever the
# mask is 0, and only what you have drawn *so far*.


# %% exercise="orderless_complete"
def orderless_complete(conditional, x, known, u):
    """Complete an image from any set of known dimensions, by an orderless model.

    Args:
        conditional: function. conditional(x, m), x (D,) int64 with zeros where m is 0, m (D,) int64 (1 = observed),
            returns (D,) float64: P(x_d = 1 | observed) for every d; at observed d it has no meaning and may be nan.
            Call it at most once for each unknown dimension.
        x: (D,) int64, zeros and ones at known dimensions; elsewhere it has no meaning and may be any integer.
        known: (D,) bool, any set, none and all included.
        u: (D,) float64, uniform in [0, 1) at unknown dimensions; elsewhere it has no meaning and may be nan.

    Returns:
        (D,) int64: the known dimensions as given; the unknown ones drawn in increasing order of dimension, each
        given the known ones and all drawn so far: x_d = 1 where u[d] < P(x_d = 1 | observed), and 0 where the two are
        equal.
    """
    ### BEGIN SOLUTION
    m = known.long()
    x = x * m
    for d in (~known).nonzero().flatten().tolist():
        p = torch.as_tensor(conditional(x.clone(), m.clone()))
        x[d] = int(u[d] < p[d])
        m[d] = 1
    return x
    ### END SOLUTION


# %% check="orderless_complete"

# %% [markdown]
# #### Your function at work: the right question beats the perfect model
#
# Lesson 01 completed an image of the toy distribution from its top row, its left column, and its bottom row by clamping,
# with *perfect* conditionals, and was wrong by more than two nats when the known pixels came last. Here is an orderless
# network, which is not perfect, but asks the right question. First the training (fresh images in every step), then the
# exact divergences from the true $p(\text{unknown} \mid \text{known})$.

# %% tags=["train"] folded="Trains an orderless network on the toy distribution, and measures four orderings exactly."
torch.manual_seed(0)
world_orderless = OrderlessNADE(16, [128, 128])
steps = budget(smoke=100, cpu=2500, gpu=10_000)
optimizer = torch.optim.Adam(world_orderless.parameters(), lr=3e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
rng = torch.Generator().manual_seed(0)
fresh = world.sample(100_000, generator=rng)
for _ in range(steps):
    optimizer.zero_grad()
    world_orderless.loss(fresh[torch.randint(len(fresh), (256,), generator=rng)]).backward()
    optimizer.step()
    schedule.step()
world_orderless.double()


@torch.no_grad()
def orderless_log_q(order):
    """log q of all images of the toy distribution in this ordering, exactly."""
    place = order.argsort()
    return tree_log_prob(lambda x, k: world_orderless.network(x, (place < k).expand(x.shape))[:, order[k]], order)


world_log_qs = torch.stack([orderless_log_q(order) for order in [*world_orders.values(), orderings.random(16, seed=1)]])
gaps = [float(gap(log_q)) for log_q in world_log_qs]
print("KL in four orderings:", *(f"{g:.3f}" for g in gaps), f"nats; mean {np.mean(gaps):.3f}")
for name, log_q in [
    ("log of the mean probability", world_log_qs.logsumexp(0) - math.log(4)),
    ("mean of the logs", world_log_qs.mean(0)),
]:
    print(f"{name:27}: entropy + {float(gap(log_q)):.3f} nats, total mass {log_q.exp().sum():.6f}")

# %% tags=["demo"] folded="Completes one image from four sets of known pixels, and measures the divergences."
prefix_mass = [p_world.view(2**d, -1).sum(1) for d in range(17)]
number = torch.arange(2**16)
true_conditional = torch.stack(
    [(prefix_mass[d + 1][number >> (15 - d)] / prefix_mass[d][number >> (16 - d)]).log() for d in range(16)], dim=1
)
original = world.sample(8, generator=torch.Generator().manual_seed(3))[0]
evidence = {"top row": range(4), "left column": range(0, 16, 4), "bottom row": range(12, 16), "corners": (0, 3, 12, 15)}
rng = torch.Generator().manual_seed(0)


def world_network(x, m):
    """What your function is given: P(x_d = 1 | observed) of the orderless network."""
    with torch.no_grad():
        return world_orderless.network(torch.as_tensor(x)[None], torch.as_tensor(m)[None].bool())[0].sigmoid()


with waits_for("orderless_complete"):
    rows = [f"{'known':12} {'KL of clamping, perfect conditionals':>38} {'KL of the orderless network':>30}"]
    pictures = {}
    for name, dims in evidence.items():
        known = torch.zeros(16, dtype=torch.bool).index_fill(0, torch.tensor(list(dims)), True)
        uniforms = torch.rand(8, 16, dtype=torch.float64, generator=rng)
        yours = torch.stack([torch.as_tensor(orderless_complete(world_network, original, known, u)) for u in uniforms])
        consistent = (world.states[:, known] == original[known]).all(1)
        right = p_world[consistent] / p_world[consistent].sum()
        truth = world.states[consistent][torch.multinomial(right, 8, replacement=True, generator=rng)]
        pictures[f"{name} known"] = torch.cat([truth, yours])
        clamped = true_conditional[consistent][:, ~known].sum(1)
        order = torch.cat([known.nonzero().flatten(), (~known).nonzero().flatten()])
        log_q = orderless_log_q(order)[consistent]
        log_q = log_q - log_q.logsumexp(0)
        of_clamping, of_network = ((right * (right.log() - each)).sum().abs() for each in (clamped, log_q))
        rows.append(f"{name:12} {of_clamping:38.3f} {of_network:30.3f}")

    print("\n".join(rows))
    names = ["the truth", "", "yours", ""]
    fig = plots.image_grids(pictures, across=4, columns=4, row_names=names, title="Completions of one image")
    plots.show(
        fig,
        alt="Completions of one toy image from its top row, left column, bottom row, or corners: two rows drawn from "
        "the exact conditional, two by the reader's function; both show whole glyphs that agree with the known pixels.",
    )

# %% [markdown]
# Where clamping is right, with a prefix known, perfect conditionals win, and the network pays for its imperfection: a
# few tenths of a nat, there as everywhere. Where clamping asks the wrong question, the imperfect network is nearer to
# the truth. (The cell above has also shown Jensen at work: the ensemble of four orderings lies nearer to the toy
# distribution than its members do on average, and the mean of their logarithms has lost some of its mass.)
#
# And digits, from whatever is left of them:

# %% tags=["demo"] folded="Completes five digits from four sets of known pixels with your function."
rows, columns = torch.arange(64) // 8, torch.arange(64) % 8
known_sets = {
    "bottom half": rows >= 4,
    "left half": columns < 4,
    "a frame": (rows < 2) | (rows > 5) | (columns < 2) | (columns > 5),
    "every 3rd pixel": torch.arange(64) % 3 == 0,
}


def digit_network(x, m):
    with torch.no_grad():
        return orderless.network(torch.as_tensor(x)[None], torch.as_tensor(m)[None].bool())[0].sigmoid().double()


def completions(images, known):
    """Your completion of each image."""
    uniforms = torch.rand(images.shape, dtype=torch.float64, generator=rng)
    pairs = zip(images, uniforms, strict=True)
    return torch.stack([torch.as_tensor(orderless_complete(digit_network, x, known, u)) for x, u in pairs])


with waits_for("orderless_complete"):
    rng = torch.Generator().manual_seed(0)
    five = test[torch.tensor([int((digits.test.y == digit).nonzero()[1]) for digit in (2, 3, 5, 6, 8)])]
    pictures = {}
    for name, known in known_sets.items():
        given = torch.where(known, five.double(), 0.4)
        pictures[name] = torch.cat([five.double(), given, *[completions(five, known).double() for _ in range(3)]])
    names = ["digit", "known", "drawn", "drawn", "drawn"]
    fig = plots.image_grids(pictures, across=4, columns=5, row_names=names, title="Known pixels, and completions")
    plots.show(
        fig,
        alt="Five digits; the same with only the bottom half, the left half, a frame, or every third pixel "
        "known, the rest grey; and three completions each. Completions continue the strokes; the less "
        "is known, the more they vary.",
    )

# %% [markdown]
# ### ConvNADE: neighbours at last
#
# (Needs the orderless network above.) Everything so far treats an image as a list: shuffle the pixels of all images and
# the ordering alike, and it learns equally well. A convolutional network knows which pixels are neighbours, and uses the same weights
# everywhere. An ordinary one cannot serve in NADE, since it looks at all pixels. But an *orderless* network may look at
# everything that is observed! So replace the fully connected layers by convolutions, give the mask as a second input
# channel, and change nothing else, neither loss nor sampling nor ensembles: that is ConvNADE (Uria et al., 2016). The
# price is as before: $D$ passes through the network for one exact likelihood.
#
# What is the knowledge of neighbours worth? It should be worth most where there is little to learn it from. So both
# networks now get only 150 training digits in place of 1,197, with the same validation and test digits. Each has the best
# of the settings that we tried: for the plain network ten times as much weight decay as before, for the convolutional one
# a moving average of its weights, which `fit` keeps.

# %% tags=["demo"]
guess("lower test NLL with 150 training digits", ..., choices=["OrderlessNADE", "ConvNADE"])

# %% tags=["train"] folded="Trains both networks on 150 digits, and compares ensembles of 8 orderings."
images = data.digits("binary")
first_150 = {
    flat: dataclasses.replace(
        dataset, train=dataclasses.replace(dataset.train, x=dataset.train.x[:150], y=dataset.train.y[:150])
    )
    for flat, dataset in [(True, digits), (False, images)]
}
torch.manual_seed(0)
plain = OrderlessNADE(64, [200, 200])
long = dict(epochs=budget(smoke=3, cpu=500, gpu=500), batch_size=50)
more_decay = functools.partial(torch.optim.AdamW, weight_decay=1.0)
fit(plain, first_150[True], lr=2e-3, optimizer=more_decay, patience=150, **long)
torch.manual_seed(0)
conv = ConvNADE((1, 8, 8), channels=16, layers=3, kernel=5)
fit(conv, first_150[False], lr=1e-2, average=0.98, patience=80, **long)
few = budget(smoke=2, cpu=8, gpu=8)
ensembles_of = {}
print(f"{'150 training digits':36} {'weights':>8} {'one ordering':>13} {f'ensemble of {few}':>15}")
for name, model, x in [
    ("OrderlessNADE, 2 layers of 200", plain, test),
    ("ConvNADE, 3 layers of 16 channels", conv, images.test.x),
]:
    log_ps = torch.stack([metrics.log_probs(model.with_order(order), x) for order in digit_ensemble[1 : few + 1]])
    ensembles_of[name] = log_ps.logsumexp(0) - math.log(len(log_ps))
    estimate = metrics.Estimate.of(-ensembles_of[name])
    print(f"{name:36} {sum(p.numel() for p in model.parameters()):8,} {-log_ps.mean():13.2f} {str(estimate):>15}")
plain_log_p, conv_log_p = ensembles_of.values()
difference = metrics.Estimate.of(plain_log_p - conv_log_p)
print(f"ConvNADE minus OrderlessNADE, image by image: {difference} nats")
outcome("lower test NLL with 150 training digits", "ConvNADE" if difference.mean < 0 else "OrderlessNADE")

# %% tags=["demo"] folded="Draws what both networks predict while an image is revealed."
asked = test[(digits.test.y == 5).nonzero()[1, 0]]
arrival = orderings.random(64, seed=1).argsort()
rows = {"observed": [], "OrderlessNADE": [], "ConvNADE": []}
with torch.no_grad():
    for number in (0, 4, 8, 16, 24, 32, 48):
        seen = arrival < number
        rows["observed"].append(torch.where(seen, asked.double(), 0.4))
        for name, p in [
            ("OrderlessNADE", plain.network(asked[None], seen[None]).sigmoid()),
            ("ConvNADE", conv.network(asked.view(1, 1, 8, 8), seen.view(1, 1, 8, 8)).sigmoid()),
        ]:
            rows[name].append(torch.where(seen, asked.double(), p.flatten().double()))
fig = plots.image_grid(
    torch.stack([image for row in rows.values() for image in [*row, asked.double()]]),
    columns=8,
    row_names=list(rows),
    column_names=["0", "4", "8", "16", "24", "32", "48", "the digit"],
    title="P(black), by number of observed pixels",
)
plots.show(
    fig,
    alt="A five, revealed in random order from no pixel to all. With no pixel observed both networks show a grey cloud, "
    "the mean digit; with more pixels the clouds take the shape of the five.",
)

# %% [markdown]
# With 150 digits the convolutional network wins, with a fifth of the weights: by 1.0 nats here, and by 1.4 over three
# seeds, where its ensembles cost 20.0 ± 0.1 nats, those of the plain network 21.4 ± 0.3 (mean and standard deviation).
# With all 1,197 digits the order is reversed: the plain network above reaches 16.9 nats with 8 orderings, and the best of
# the five ConvNADEs that we tried 17.2 (24 channels, 2 layers of 7 × 7 convolutions, 60 epochs). On 8 × 8 pixels, a fully
# connected network with enough examples learns what a neighbour is. On 28 × 28 pixels, where fully connected layers grow
# with the square of the image's size, Uria et al. (2016) report gains from convolutions.

# %% [markdown]
# ### Handwriting at 28 × 28
#
# The digits of this lesson have 64 pixels, so that training takes seconds. Here is a NADE for 784, with 500 hidden
# units, trained once on the binarized MNIST of the published tables below; its file comes with the course. Its ordering
# was drawn at random, so the first pixels of the ordering are scattered over the image. Given these, `complete` draws
# all others exactly. How many pixels must be known until all completions show the same digit?

# %% tags=["demo"] folded="Loads the trained NADE; draws 20 samples; completes one of them from more and more known pixels."
large = pretrained.load("nade")
print(pretrained.about("nade"))
generator = torch.Generator().manual_seed(0)
drawn = large.sample(20, generator=generator)
alt = "Twenty samples of 28 x 28 pixels: about half of them can be read as digits; the others are fragments, and all edges are ragged."
plots.show(plots.image_grid(drawn, columns=10), alt=alt)
rows, counts = [], (0, 39, 78, 157, 392)
for count in counts:
    known = torch.zeros(784, dtype=torch.bool)
    known[large.order[:count]] = True
    completed = large.complete(drawn[:1].expand(6, -1), known, generator=generator)
    rows += [torch.where(known, drawn[:1].double(), 0.4), completed]
names = [f"{count} known" for count in counts]
alt = "Five rows: known pixels, and six completions. With none known six different digits; with 39 nines, sevens and zeros; with 78 zeros, fives and eights; with 157 and 392 a six each time."
plots.show(plots.image_grid(torch.cat(rows), columns=7, row_names=names), alt=alt)

# %% [markdown]
# One pixel in twenty leaves nine, seven and zero open, one in ten still zero, five and eight. With one in five all draws
# are a six, and with half of the pixels they differ at the edges only. Nothing was trained for this: it is the sampler,
# started later. But it works for the first pixels of *this* ordering alone. An orderless network could be given any.
#
# The edges are ragged, and some samples are fragments: this network does not know which pixels are neighbours. Its cost,
# 92.19 nats, is 3.9 above the published one. It was stopped after 17 epochs, when its validation cost still fell.

# %% [markdown]
# ### Bug clinic
#
# Six patients, NADEs of the toy distribution with 16 hidden units. One is healthy. Two were trained with their mistake in the
# program; the other three use NADEs that were trained properly, and make their mistake when they read or combine them. You
# see the NLL that each *reports*, its **total mass** over all images, and samples. For orientation: the entropy is
# 4.97 nats, the best FVBN reaches 6.48, independent pixels 9.68, a fair coin for each pixel 11.09.

# %% tags=["train"]
clinic = nade_clinic()

# %% tags=["demo"]
clinic.show()

# %% tags=["demo"]
clinic.choices()

# %% [markdown]
# Which patient is healthy? For each of the others: what is the symptom, and on which line of the right program does its
# code differ? (Where a mistake occurs on two lines, either counts.)

# %% tags=["demo"]
clinic.diagnose("A", symptom=..., line=...)
clinic.diagnose("B", symptom=..., line=...)
clinic.diagnose("C", symptom=..., line=...)
clinic.diagnose("D", symptom=..., line=...)
clinic.diagnose("E", symptom=..., line=...)
clinic.diagnose("F", symptom=..., line=...)

# %% [markdown]
# ### Scoreboard and published figures
#
# The rows of this lesson, all measured above on the same 300 test digits. `python -m course_lib.scoreboard` prints the
# course's table with error bars over seeds.

# %% tags=["demo"] folded="Prints the rows."
smoothed = (train.double().sum(0) + 0.5) / (len(train) + 1)
board = {
    "independent pixels": (torch.where(test == 1, smoothed, 1 - smoothed).log().sum(1), "exact"),
    "FVBN, raster": (metrics.log_probs(fvbn, test), "exact"),
    "NADE, raster": (metrics.log_probs(nade, test), "exact"),
    "OrderlessNADE, mean of orders": (members.mean(0), "exact, one ordering"),
    f"EoNADE, {len(members)} orders": (members.logsumexp(0) - math.log(len(members)), "exact"),
}
print(f"{'binary digits':32} {'NLL (nats)':>14} {'bits/dim':>10}   likelihood")
for name, (log_q, kind) in board.items():
    estimate = metrics.Estimate.of(-log_q)
    print(f"{name:32} {str(estimate):>14} {metrics.bits_per_dim(estimate.mean, 64):10.4f}   {kind}")
print(f"\n{'digits with 16 grey levels':32} {'NLL (nats)':>14} {'bits/dim':>10}   likelihood")
for name, (kind, estimate) in rnade_rows.items():
    print(f"{name[:32]:32} {str(estimate):>14} {metrics.bits_per_dim(estimate.mean, 64):10.4f}   {kind}")

# %% [markdown]
# Published test NLLs on the *fixed* binarization of MNIST, 28 × 28 pixels, in nats (van den Oord, Kalchbrenner and
# Kavukcuoglu, 2016, table 4, as reprinted in Courville's lecture; ≈ marks an estimate):
#
# | model | NLL | the table's own source |
# | --- | --- | --- |
# | NADE | 88.33 | Uria et al. 2014 |
# | MADE, 2 hidden layers, 32 masks | 86.64 | Germain et al. 2015 |
# | EoNADE, 2 hidden layers, 128 orderings | 85.10 | Uria et al. 2014 |
# | EoNADE-5, 2 hidden layers, 128 orderings | 84.68 | Raiko et al. 2014 |
# | DBN, 2 hidden layers | ≈ 84.55 | Murray and Salakhutdinov 2009 |
# | PixelCNN | 81.30 | the paper itself |
#
# The order is the one that you have seen: one ordering, then ensembles of orderings of a deeper network, then
# convolutions. A deep belief network (DBN) was the state of the art when NADE appeared; its likelihood can only be
# estimated.

# %% [markdown]
# ### History and references
#
# Bengio and Bengio (2000) gave conditionals hidden units. The RBM had good features and no likelihood; Larochelle and
# Murray (2011) turned its mean-field inference into a model with one. RNADE (2013) took it to real numbers, with mixture
# density networks (Bishop, 1994) as outputs. The orderless training of 2014 reads today like an early masked language
# model: hide a random part, predict it from the rest; the weight $D/(D-m)$ is what keeps it a likelihood. Uria et al.
# (2016) tell the whole story in one paper and add convolutions.
#
# * C. Bishop. *Mixture density networks*. Technical report, Aston University, 1994.
# * Y. Bengio and S. Bengio. Modeling high-dimensional discrete data with multi-layer neural networks. *NIPS 12*, 2000,
#   pages 400-406.
# * K. Gregor and Y. LeCun. Learning representations by maximizing compression. arXiv:1108.1169, 2011.
# * E. Hoogeboom, A. Gritsenko, J. Bastings, B. Poole, R. van den Berg and T. Salimans. Autoregressive diffusion models.
#   *ICLR*, 2022. The link from orderless training to discrete diffusion.
# * H. Larochelle and I. Murray. The neural autoregressive distribution estimator. *AISTATS*, 2011.
# * S. Nie, F. Zhu et al. Large language diffusion models. arXiv:2502.09992, 2025.
# * A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu. Pixel recurrent neural networks. *ICML*, 2016.
# * S. Sahoo, M. Arriola, Y. Schiff, A. Gokaslan, E. Marroquin, J. Chiu, A. Rush and V. Kuleshov. Simple and effective
#   masked diffusion language models. *NeurIPS 37*, 2024.
# * A. Shih, D. Sadigh and S. Ermon. Training and inference on any-order autoregressive models the right way. *NeurIPS
#   35*, 2022.
# * L. Theis, A. van den Oord and M. Bethge. A note on the evaluation of generative models. *ICLR*, 2016. Section 3.1 has
#   the bound by dequantization.
# * B. Uria, I. Murray and H. Larochelle. RNADE: the real-valued neural autoregressive density-estimator. *NIPS 26*,
#   2013.
# * B. Uria, I. Murray and H. Larochelle. A deep and tractable density estimator. *ICML*, 2014.
# * B. Uria, M.-A. Côté, K. Gregor, I. Murray and H. Larochelle. Neural autoregressive distribution estimation. *JMLR*
#   17(205), 2016.
#
# **Where the solution is.** The text source of this notebook with all nine answers is `solutions/02_nade.py` in the
# course repository. In `course_lib`, the same ideas are `models/nade.py` (with the gradient above as an autograd
# function), `models/rnade.py`, `models/orderless_nade.py` and `models/conv_nade.py`.
