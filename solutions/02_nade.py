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
# The fully visible belief network of lesson 01 has a weakness that no amount of data cures. Each of its
# conditionals is a logistic regression, and a logistic regression cannot say "either this or that": on the
# small world it lost 1.5 nats whatever the ordering. The cure is known to everybody: put a hidden layer in
# between. The difficulty is the price. There are $D$ conditionals, so there would be $D$ networks to pay for,
# and none would profit from what another has learnt.
#
# NADE gets all $D$ of them for the price of one. It is a trick of a single line, and it turned neural
# networks into serious density models. Once you own it, you will take it further: to real-valued data, to
# networks that know *all* $D!$ orderings at once, to ensembles, and to the completion of any image from any
# set of its pixels, which lesson 01 could not do.
#
# **After this lesson you can**
#
# * explain why sharing weights makes $D$ hidden layers as cheap as one, and write NADE's recursion,
#   likelihood, and sampler;
# * derive its gradient by hand and compute it in $O(DH)$ without storing a single hidden layer;
# * measure how much an ordering matters, with error bars that deserve the name;
# * model real numbers with mixtures of Gaussians, and keep the log-density finite and the bits/dim honest;
# * train one network for all orderings with an unbiased loss, average orderings the right way, and complete
#   any set of pixels;
# * diagnose a broken NADE from its symptoms.
#
# **The machine** needs two or three minutes, on a laptop, without a network.
#
# **Numbers in the text** are for `COURSE_BUDGET=cpu`, the default. At `smoke` the models are barely trained, and
# some sentences about them do not hold.
#
# **Builds on**: lesson 01 (chain rule, NLL, KL, orderings, clamping) and one-hidden-layer networks. The
# exercises do not need your answers to lesson 01.
#
# **Notation**, beyond that of lesson 01:
#
# | symbol | meaning |
# | --- | --- |
# | $o = (o_1, \dots, o_D)$ | the ordering: $o_d$ is the dimension that comes $d$-th. In code `order[k]`, with $k = d - 1$ counted from 0 |
# | $x_{o_{<d}}$ | the values of the dimensions before the $d$-th: $(x_{o_1}, \dots, x_{o_{d-1}})$ |
# | $H$ | number of hidden units |
# | $W$ ($H \times D$), $c$ ($H$) | weights and biases of the hidden units; $W_{\cdot, i}$ is the column of dimension $i$ |
# | $V$ ($D \times H$), $b$ ($D$) | weights and biases of the outputs; $V_{i, \cdot}$ is the row of dimension $i$ |
# | $a_d$, $h_d = \sigma(a_d)$ | the hidden units' pre-activations and activations for the $d$-th conditional, $H$ numbers each |
# | $\sigma(a) = 1/(1 + e^{-a})$ | the logistic function, for vectors entry by entry; $\odot$ is the product entry by entry |
#
# The letters are those of Larochelle and Murray (2011). Be warned that MADE (lesson 03) uses $b$ and $c$ the
# other way round.

# %% setup=true
import math

import numpy as np
import torch

# %% tags=["demo"]
import functools
import itertools

import matplotlib.pyplot as plt

from autograder.checks import nade as checks
from course_lib import budget, data, metrics, plots
from course_lib.distributions import bernoulli_log_prob
from course_lib.models import FVBN, NADE, RNADE, AutoregressiveModel, ConvNADE, OrderlessNADE, orderings
from course_lib.notebook import waits_for
from course_lib.training import fit


def name_rows(ax, *names):
    """Write a name to the left of each row of an image grid."""
    for k, name in enumerate(names):
        y = 1 - (k + 0.5) / len(names)
        ax.text(-0.01, y, name, transform=ax.transAxes, ha="right", va="center", fontsize=9)


torch.set_num_threads(1)  # our models are so small that more threads would only wait for one another
digits = data.digits("binary").flatten()
train, test = digits.train.x, digits.test.x
world = data.tiny_world()
p_world = world.log_p.exp()
print(f"{digits.name}: {len(train)} to train on, {len(digits.valid)} to validate, {len(test)} to test")
print(f"the small world: 4 × 4 images, entropy {world.entropy:.3f} nats")

# %% [markdown]
# ## 1 · A network for every conditional
#
# Here is the straightforward plan: let the $d$-th conditional have hidden units of its own,
#
# $$h^{(d)} = \sigma\big(c^{(d)} + W^{(d)} x_{o_{<d}}\big), \qquad q(x_{o_d} = 1 \mid x_{o_{<d}}) = \sigma\big(b_{o_d} + V_{o_d, \cdot}\, h^{(d)}\big),$$
#
# with a matrix $W^{(d)}$ of $H \times (d-1)$ weights that belongs to this conditional alone. Count them. The
# matrices $W^{(d)}$ hold $\sum_{d=1}^{D} H (d-1) = H D (D-1) / 2$ numbers, the $c^{(d)}$ and $V$ hold $DH$
# each, and $b$ holds $D$. For binarized MNIST with $D = 784$ pixels and $H = 500$ units that is 154 million
# weights, for a data set of 50,000 images. To compute one likelihood takes as many multiplications. (Bengio
# and Bengio, 2000, were the first to put hidden units into the conditionals. Theirs were shared between
# outputs, so that the number of weights grew as the square of $D$, and they pruned connections by tests of
# dependency.)
#
# Now look at what is wasted. The first conditional that sees pixel 7 learns what pixel 7 tells about strokes.
# So does the second. So does the third, each from scratch, with weights of its own.
#
# **NADE's idea**: one matrix $W$ for all. Pixel $i$ speaks to hidden unit $j$ with the same weight $W_{ji}$
# in *every* conditional that is allowed to hear it:
#
# $$h_d = \sigma\Big(c + \sum_{k < d} W_{\cdot, o_k}\, x_{o_k}\Big), \qquad q(x_{o_d} = 1 \mid x_{o_{<d}}) = \sigma\big(b_{o_d} + V_{o_d, \cdot}\, h_d\big).$$
#
# That leaves $2DH + D + H$ parameters: $W$, $V$, $b$, $c$.

# %% tags=["demo"]
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.3))
colors = [plots.COLORS[name] for name in ("blue", "orange", "green")]
for ax, shared in zip(axes, (False, True), strict=True):
    for d in range(4):
        for k in range(d):
            ax.plot([k, d], [0, 1], color=colors[k] if shared else "0.6", ls="-", lw=2.2 if shared else 1)
        ax.plot([d, d], [1, 2], color="black", ls="-", lw=1)
        for y, text in enumerate(
            [f"$x_{d + 1}$", f"$h_{d + 1}$" if shared else f"$h^{{({d + 1})}}$", f"$q(x_{d + 1} \\mid x_{{<{d + 1}}})$"]
        ):
            ax.text(d, y, text, ha="center", va="center", bbox=dict(boxstyle="round" if y else "circle", fc="white"))
    ax.set(xlim=(-0.5, 3.6), ylim=(-0.4, 2.4))
    ax.axis("off")
axes[0].set_title("A network each: no two lines alike")
axes[1].set_title("NADE: one colour, one column of W")
plots.show(
    fig,
    alt="Four inputs, four hidden layers, four conditionals. Hidden layer d is joined to the inputs "
    "before d. On the left all lines are different weights; on the right all lines "
    "from one input have one colour: they are the same weights.",
)
print("weights               untied            NADE")
for name, D, H in [("digits", 64, 200), ("binarized MNIST", 784, 500)]:
    print(f"{name:15} {H * D * (D - 1) // 2 + 2 * D * H + D:12,} {2 * D * H + D + H:15,}")

# %% [markdown]
# ### Where the idea came from (may be skipped)
#
# From the restricted Boltzmann machine of lesson 01,
# $q(x, h) = \frac1Z \exp(b^\top x + c^\top h + h^\top W x)$ in this lesson's letters, whose $Z$ nobody can
# compute. Suppose you insist on its conditionals $q(x_d \mid x_{<d})$. Approximate what is unknown, $h$ and
# $x_{\ge d}$, by a distribution $r$ of independent bits, with means $\tau_j$ for $h_j$ and $\mu_i$ for $x_i$,
# as close as possible in $\mathrm{KL}(r \,\|\, q(\,\cdot \mid x_{<d}))$. Up to a constant this divergence is
#
# $$\sum_j \big[\tau_j \log \tau_j + (1 - \tau_j) \log (1 - \tau_j)\big] + \sum_{i \ge d} \big[\mu_i \log \mu_i + (1 - \mu_i) \log (1 - \mu_i)\big] - \sum_{i \ge d} b_i \mu_i - \sum_j \tau_j \Big(c_j + \sum_{i < d} W_{ji} x_i + \sum_{i \ge d} W_{ji} \mu_i\Big).$$
#
# Set the derivative with respect to $\tau_j$ to zero: $\log \frac{\tau_j}{1 - \tau_j}$ equals the last
# bracket, so
#
# $$\tau = \sigma\Big(c + \sum_{i < d} W_{\cdot, i}\, x_i + \sum_{i \ge d} W_{\cdot, i}\, \mu_i\Big), \qquad \text{and likewise} \qquad \mu_i = \sigma\big(b_i + W_{\cdot, i}^\top \tau\big).$$
#
# These *mean-field equations* are solved by going round. Begin with $\mu = 0$ and go round *once*:
# $\tau = \sigma(c + \sum_{i<d} W_{\cdot,i} x_i)$, then $\mu_d = \sigma(b_d + W_{\cdot,d}^\top \tau)$. That is
# NADE, with $V = W^\top$. Larochelle and Murray's (2011) step was to stop regarding it as an approximation of
# something else: it is a distribution in its own right, with $Z = 1$. So give the way back weights $V$ of its
# own, and maximise *its* likelihood, which is exact. Gregor and LeCun (2011) came to the same sharing from
# compression: a network that predicts bit after bit and updates its hidden state as each arrives.

# %% [markdown]
# ## 2 · The trick: each hidden layer is the last one plus one column
#
# Sharing saves parameters. It saves time as well, and this is the line that made NADE. Write $a_d$ for what
# is inside the $\sigma$. The sum for $a_{d+1}$ is the sum for $a_d$ with one term more:
#
# $$a_1 = c, \qquad a_{d+1} = a_d + W_{\cdot, o_d}\, x_{o_d}, \qquad h_d = \sigma(a_d).$$
#
# Each step adds $H$ numbers, and each output is a sum of $H$ terms: $O(H)$ a dimension, $O(DH)$ an image.
# Computed one by one, the $d$-th sum alone costs $(d-1) H$, all of them $O(D^2 H)$. Without shared columns
# there is nothing to carry over, and no recursion.
#
# | multiplications for one image | one by one: $H D(D-1)/2 + DH$ | recursion: $2DH$ |
# | --- | --- | --- |
# | digits, $D = 64$, $H = 200$ | 416,000 | 25,600 |
# | binarized MNIST, $D = 784$, $H = 500$ | 153,860,000 | 784,000 |
#
# (The second column is what an autoencoder of the same size costs. And as $x$ is binary, half of those are no
# multiplications at all: a white pixel adds nothing, a black one adds its column.)
#
# **A detail that costs people an evening**: the recursion begins with $a_1 = c$, so $h_1 = \sigma(c)$. It
# does not begin with $h_1 = 0$. The first pixel depends on nothing, but its hidden layer is not switched off:
# with $c = 0$ every unit stands at one half.
#
# ## Exercise 1 · `activations`
#
# Write the recursion for one image. Two things to get right: row $k$ must not contain its own pixel, and the
# columns are added in the order of `order`.


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
# ### Your function at work: watching a hidden layer make up its mind
#
# Below we train NADEs in earnest. Here is a preview: a small one with 24 units reads one digit in raster
# order, and you see $\sigma$ of the rows that *your* function returns. **Before you run the cell:** what do
# the units do while the white margins are read?

# %% tags=["demo"]
small = NADE(64, 24)
fit(small, digits, epochs=budget(smoke=3, cpu=30, gpu=60), batch_size=200, lr=4e-2)
shown = test[(digits.test.y == 3).nonzero()[0, 0]]
with waits_for("activations"), torch.no_grad():
    a = activations(shown, small.W.double(), small.c.double(), small.order)
    h = torch.as_tensor(np.asarray(a)).sigmoid()
    fig, axes = plt.subplots(1, 2, figsize=(9.5, 3), width_ratios=[1, 3.4])
    plots.image_grid(shown[None], ax=axes[0], title="the image")
    drawn = axes[1].imshow(h.T, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    axes[1].set(
        xlabel="pixels read so far (raster order; ticks: rows of the image)",
        ylabel="hidden unit",
        xticks=range(0, 64, 8),
        title="White pixels change nothing; every black one moves the layer",
    )
    fig.colorbar(drawn, ax=axes[1], label="activation")
    plots.show(
        fig,
        alt="Heat map of 24 hidden units while a digit is read pixel by pixel: constant along stretches of "
        "white pixels, a jump of some units at each black pixel.",
    )

# %% [markdown]
# ## 3 · The likelihood
#
# From here on all is as in lesson 01: $\log q(x) = \sum_d \log q(x_{o_d} \mid x_{o_{<d}})$, a sum of $D$
# log-probabilities of bits, each from a logit $z_d = b_{o_d} + V_{o_d, \cdot}\, h_d$.
#
# Notice what enters the hidden layer when we compute it: the *true* pixels of the image, never the model's
# guesses. This is called **teacher forcing**. At every step the model is asked: "given what really came
# before, what comes next?" and told the answer before the next question. It is no trick of training, it is
# the chain rule: the conditional $q(x_{o_d} \mid x_{o_{<d}})$ *means* the true prefix. And it makes the $D$
# questions independent of one another's answers.
#
# ## Exercise 2 · `nade_log_prob`
#
# A batch this time. The traps of lesson 01 are all back (reading ahead, any ordering, large logits); one is new:
# the rows of $V$ and the entries of $b$ belong to *dimensions*, not to places in the ordering.


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
# ### Training
#
# `course_lib.models.NADE` is your function with its parameters attached (and with the gradient of section 7).
# The problem is no longer convex: hidden units can settle in different ways, so from now on seeds matter. We
# train with Adam and a little weight decay, and compare with the FVBN of lesson 01 and, to see what *sharing*
# does, with the untied network of section 1: 50 hidden units for each conditional, four times as many weights
# as the NADE. **Before you run the cell:** which will be better on the test set, the untied network or NADE?


# %% tags=["train"]
class Untied(AutoregressiveModel):
    """A network of H hidden units for each conditional; nothing is shared."""

    def __init__(self, D, H):
        super().__init__((D,), levels=2)
        self.W = torch.nn.Parameter(torch.randn(D, H, D) / math.sqrt(D))
        self.V = torch.nn.Parameter(torch.randn(D, H) / math.sqrt(H))
        self.c, self.b = torch.nn.Parameter(torch.zeros(D, H)), torch.nn.Parameter(torch.zeros(D))
        self.register_buffer("before", torch.ones(D, D).tril(-1))

    def forward(self, x):
        W = (self.before[:, None, :] * self.W).flatten(0, 1)
        a = torch.nn.functional.linear(x.to(W.dtype), W, self.c.flatten()).view(len(x), *self.c.shape)
        return self.b + (a.sigmoid() * self.V).sum(-1)


decay = functools.partial(torch.optim.AdamW, weight_decay=0.1)
epochs = budget(smoke=6, cpu=60, gpu=100)


def train_nade(order=None, seed=0, hidden=200):
    torch.manual_seed(seed)
    model = NADE(64, hidden, order)
    return model, fit(model, digits, epochs=epochs, batch_size=200, lr=4e-2, optimizer=decay, seed=seed)


fvbn = FVBN(64)
fit(fvbn, digits, epochs=epochs, batch_size=64, lr=1e-2)
nade, history = train_nade()
torch.manual_seed(0)
untied = Untied(64, 50)
fit(untied, digits, epochs=epochs, batch_size=200, lr=2e-2, optimizer=decay)

fig = plots.training_curve(
    history,
    references={"FVBN": metrics.nll(fvbn, digits.valid.x).mean},
    title="NADE passes the FVBN; training and validation part",
)
plots.show(
    fig,
    alt="Training and validation NLL of NADE against epochs. Both fall below the FVBN's line near epoch "
    "17; from there on the training curve falls faster than the validation curve.",
)
weights = {"FVBN": 64 * 65 // 2, "untied": 50 * 64 * 63 // 2 + 2 * 64 * 50 + 64, "NADE": 2 * 64 * 200 + 64 + 200}
for name, model in [("FVBN", fvbn), ("untied", untied), ("NADE", nade)]:
    difference = metrics.nll_difference(model, nade, test)
    print(f"{name:7} {weights[name]:8,} weights; test {metrics.nll(model, test)} nats; minus NADE: {difference}")

# %% [markdown]
# Sharing is no sacrifice. Trained on 1,197 images, weights that learn from all conditionals at once do at
# least as well as four times as many that do not. (On an unlimited supply of data, an untied network with as
# many units *for each conditional* would have to win in the end: it contains NADE as a special case.) Where
# did NADE gain on the FVBN? The NLL is a sum over pixels, so we can look.

# %% tags=["demo"]
with torch.no_grad():
    costs = {
        name: -bernoulli_log_prob(model(test), test).mean(0).view(8, 8)
        for name, model in [("FVBN", fvbn), ("NADE", nade)]
    }
gain = costs["FVBN"] - costs["NADE"]
fig, axes = plt.subplots(1, 3, figsize=(9.5, 2.9))
for ax, (name, cost) in zip(axes, costs.items(), strict=False):
    drawn = ax.imshow(cost, cmap="Greys", vmin=0, vmax=0.7)
    ax.set_title(f"{name}: {cost.sum():.2f} nats in all")
fig.colorbar(drawn, ax=axes[1], label="nats")
drawn = axes[2].imshow(gain, cmap="RdBu", vmin=-0.2, vmax=0.2)
axes[2].set_title(f"blue: NADE saves, {gain.sum():.2f} in all")
fig.colorbar(drawn, ax=axes[2], label="nats")
for ax in axes:
    ax.set(xlabel="column", ylabel="row", xticks=[0, 7], yticks=[0, 7])
plots.show(
    fig,
    alt="Mean cost of each pixel in nats under the FVBN and under NADE, and their difference. The left "
    "and right margins cost nearly nothing; NADE saves on nearly every pixel of the lower half, "
    "little in the upper rows.",
)

# %% [markdown]
# It gained in the lower half, where much has been seen and "either this digit or that" has become a question.
# In the first rows there is nothing to combine.
#
# What do the hidden units look for? Row $j$ of $W$ says which pixels switch unit $j$ on or off; column $j$ of
# $V$ says which pixels the unit then calls for. Both are images.

# %% tags=["demo"]
with torch.no_grad():
    strongest = (nade.W.norm(dim=1) * nade.V.norm(dim=0)).argsort(descending=True)[:14]
    filters = torch.stack([nade.W[strongest], nade.V.T[strongest]]).view(2, -1, 8, 8)
fig, axes = plt.subplots(2, 14, figsize=(9.5, 1.9))
for row, name, images in zip(axes, ["W: hears", "V: calls for"], filters, strict=True):
    for ax, image in zip(row, images, strict=True):
        ax.imshow(image, cmap="RdBu", vmin=-image.abs().max(), vmax=image.abs().max())
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
fig.suptitle("Fourteen hidden units: V is pale in the first rows, W in the last", fontsize=11)
plots.show(
    fig,
    alt="Weights of fourteen hidden units as images: patches of positive and negative weights all over "
    "the image. The upper rows of V and the last row of W are pale.",
)
by_row = {"W": nade.W.detach().abs().mean(0).view(8, 8).mean(1), "V": nade.V.detach().abs().mean(1).view(8, 8).mean(1)}
for name, size in by_row.items():
    print(f"mean |{name}| in rows 0 to 7: " + " ".join(f"{float(number):.2f}" for number in size))

# %% [markdown]
# With 200 units for a thousand images they are no neat stroke detectors; each takes part in many decisions.
# But the direction of reading shows: the units call for little in the first rows, as they know nothing yet,
# and the last row is heard least, for few conditionals are left to use it.
#
# ## 4 · Sampling, and the end of teacher forcing
#
# To sample, the model must read its own writing: draw $x_{o_1}$, add its column to $a$, draw $x_{o_2}$, add
# its column, and so on. The teacher is gone. What is fed back is *the drawn bit*: not its probability, not
# the likelier value, not a pixel of some real image. The same recursion serves, so a sample costs $O(DH)$
# too, no more than a likelihood. (A sampler that asks for a full likelihood pass for every pixel, as generic
# code does, costs $D$ times as much.)
#
# ## Exercise 3 · `nade_sample`
#
# The randomness is supplied: a uniform number for each dimension, and the rule by which it decides. So your
# samples are a function of `u`, and the check can follow every decision.


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
# (`course_lib`'s samplers use $x_d = 1$ where $u \ge 1 - q$: also right, and it extends to more than two
# values. A uniform number has no preference.)
#
# ### Your function at work
#
# Digits from the trained NADE, beside those of the FVBN and, so that we do not fool ourselves, beside the
# nearest training image of each. **Before you run the cell:** the model's samples go back into its own
# likelihood. Will they cost more or less than real digits?


# %% tags=["demo"]
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
    off, neighbour = nearest(samples, train)
    fig, ax = plt.subplots(figsize=(9.5, 3.2))
    plots.image_grid(torch.cat([fvbn_samples[:14], samples[:14], train[neighbour[:14]], test[:14]]), columns=14, ax=ax)
    name_rows(ax, "FVBN", "NADE, your sampler", "nearest\ntraining digit", "test digits")
    ax.set_title("Samples of the NADE come closer to digits than those of the FVBN")
    plots.show(
        fig,
        alt="Rows of images: samples of the FVBN; samples of the NADE, about half of them readable; the "
        "training digit nearest to each, which differs in some pixels; test digits.",
    )
    for name, x in [("FVBN", fvbn_samples), ("NADE", samples), ("test digits", test)]:
        print(f"{name:12} pixels off the nearest training digit: {metrics.Estimate.of(nearest(x, train).values)}")
    print(
        f"cost under the NADE: its own samples {metrics.nll(nade, samples)} nats, test digits {metrics.nll(nade, test)}"
    )

# %% [markdown]
# The mean cost of a model's own samples is an estimate of its *entropy*; that of real digits is a
# cross-entropy. If the model were perfect the two would be equal. The digits here cost about what the samples
# do, and yet the samples are not as good as digits: the sum cannot tell that *which* images are
# probable is wrong. (Lesson 01: look at both.)
#
# People worry about the mismatch between training on real prefixes and sampling with own ones ("exposure
# bias"). Keep the logic straight: the sampler is *exact*, every sample has precisely the probability that
# `log_prob` says. What happens is that a model with imperfect conditionals wanders into prefixes on which it
# was never trained, and is worse there. The remedy is a better model, not another sampler.

# %% [markdown]
# ## 5 · How good can it get? The small world again
#
# On the small world we can minimise the KL divergence itself and read the result without error bars. There
# are 65,536 images of 16 pixels, but only $2^0 + 2^1 + \dots + 2^{15} = 65{,}535$ different *prefixes*, and a
# conditional is needed once for each prefix, not once for each image and pixel. So the exact $\log q$ of
# every image comes from a walk down the tree of prefixes: at depth $k$ there are $2^k$ of them, each splits
# in two, and the log-probabilities add up.


# %% tags=["train"]
@functools.cache
def prefixes(order):
    """For each place k of the ordering (a tuple): all 2^k prefixes as (2^k, 16), with zeros from place k on."""
    levels = [torch.zeros(1, 16, dtype=torch.float64)]
    for d in order[:-1]:
        x = levels[-1]
        levels.append(torch.stack([x, x.index_fill(1, torch.tensor(d), 1.0)], 1).flatten(0, 1))
    return levels


def tree_log_prob(logit, order):
    """log q of all 65,536 images; logit(x, k) gives the logits of the k-th conditional for all its prefixes x."""
    log_q = torch.zeros(1, dtype=torch.float64)
    for k, x in enumerate(prefixes(tuple(order.tolist()))):
        z = logit(x, k)
        log_q = torch.stack([log_q + bernoulli_log_prob(z, torch.tensor(bit)) for bit in (0, 1)], 1).flatten()
    return log_q.view((2,) * 16).permute(*order.argsort().tolist()).flatten()


def gap(log_q):
    """KL(small world || model) in nats, exactly."""
    return p_world @ (world.log_p - log_q)


def fit_exactly(log_prob, parameters):
    """Minimise the divergence itself over the parameters; returns it."""
    steps = budget(smoke=5, cpu=80, gpu=300)
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
    """Train a NADE on the small world exactly: (W, V, b, c), gap."""
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
sizes = budget(smoke=[4, 16], cpu=[1, 2, 4, 8, 16, 32], gpu=[1, 2, 4, 8, 16, 32, 64, 128])
world_nades = {H: world_nade(H, raster) for H in sizes}

# %% tags=["train"]
untied_gaps = {H: world_untied(H, raster) for H in budget(smoke=[1], cpu=[1, 2, 4, 8], gpu=[1, 2, 4, 8, 16])}
fig, ax = plt.subplots(figsize=(7, 3.4))
ax.axhline(fvbn_gap, color="gray", lw=1, ls="-")
ax.text(1300, fvbn_gap * 1.06, f"FVBN: {fvbn_gap:.2f}", color="gray", ha="right")
ax.plot([33 * H + 16 for H in sizes], [divergence for _, divergence in world_nades.values()], "o-", label="NADE")
ax.plot([152 * H + 16 for H in untied_gaps], untied_gaps.values(), "s--", label="a network each")
for H, (_, divergence) in world_nades.items():
    ax.annotate(
        f"H = {H}", (33 * H + 16, divergence), textcoords="offset points", xytext=(-6, -9), ha="right", fontsize=8
    )
ax.set(
    xscale="log",
    yscale="log",
    xlim=(25, 1500),
    xlabel="parameters",
    ylabel="KL to the truth (nats)",
    xticks=[50, 100, 200, 500, 1000],
    xticklabels=[50, 100, 200, 500, 1000],
    yticks=[0.2, 0.5, 1, 2, 4],
    yticklabels=[0.2, 0.5, 1, 2, 4],
    title="A few hidden units do what no logistic regression can",
)
ax.minorticks_off()
ax.legend()
plots.show(
    fig,
    alt="KL divergence to the small world against the number of parameters, both logarithmic. NADE "
    "falls from 3.4 nats with one hidden unit to the FVBN's 1.5 with four and to a quarter of a nat "
    "with 32. The untied networks lie on nearly the same curve.",
)
for H, (_, divergence) in world_nades.items():
    print(f"NADE, {H:3} hidden units: {divergence:.3f} nats of KL, expected NLL {world.entropy + divergence:.3f}")

# %% [markdown]
# One or two hidden units are worse than none: all of the past must pass through them, while an FVBN's pixels
# look at each other directly. Four are level with it; 16 leave a fifth of its gap. An FVBN stays at 1.5 for
# ever, but a network with one hidden layer can approximate *any* function of bits if it has enough units.
# (Whether the optimizer finds the weights is another question. Each point is the result of 80 steps of L-BFGS
# from one starting point, which is why the curve flattens.)
#
# The two curves nearly coincide, and that is honest: with 16 pixels and the exact distribution to learn from,
# a shared weight and a private one are worth the same. The advantage of sharing grows with $D$ and with the
# scarcity of data. On the digits, above, it was a factor of four.
#
# Now let *your* sampler prove itself against the exact probabilities of the NADE with 16 units.

# %% tags=["demo"]
(W, V, b, c), _ = world_nades[16]
world_log_q = tree_log_prob(lambda x, k: b[k] + (c + x @ W.T).sigmoid() @ V[k], raster)
with waits_for("nade_log_prob"):
    picked = torch.randint(2**16, (1000,), generator=torch.Generator().manual_seed(0))
    yours = torch.as_tensor(nade_log_prob(world.states[picked], W, V, b, c, raster))
    worst = (yours - world_log_q[picked]).abs().max()
    print(f"your nade_log_prob against the tree of prefixes: largest difference {worst:.0e} nats")
with waits_for("nade_sample"):
    n = 50_000
    uniforms = torch.rand(n, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    drawn = torch.as_tensor(nade_sample(W, V, b, c, raster, uniforms))
    counts = torch.bincount((drawn * 2 ** torch.arange(15, -1, -1)).sum(1), minlength=2**16)
    q = world_log_q.exp()
    top = q.argsort(descending=True)[:40]
    fig, axes = plt.subplots(1, 2, figsize=(9, 2.8), width_ratios=[1, 1.6])
    plots.image_grid(drawn[:32], columns=8, ax=axes[0], title="Your samples")
    axes[1].errorbar(
        range(40),
        n * q[top],
        2 * (n * q[top] * (1 - q[top])).sqrt(),
        fmt="none",
        color="gray",
        label="expected ± 2 standard deviations",
    )
    axes[1].plot(counts[top], "o", ms=4, label="counted in your samples")
    axes[1].plot(n * p_world[top], "_", ms=6, color=plots.COLORS["vermilion"], label="what the true world would give")
    axes[1].set(
        xlabel="the model's 40 most probable images",
        ylabel=f"times among {n:,}",
        title="The sampler does what log_prob says",
        ylim=(0, None),
    )
    axes[1].legend(fontsize=8)
    plots.show(
        fig,
        alt="Samples of the small world's NADE, mostly whole glyphs; the counts of the forty most probable "
        "images lie within the expected spread, and near what the true world would give.",
    )

# %% [markdown]
# ## 6 · Does the ordering matter?
#
# In lesson 01 it did, a little. A hidden layer can bend every conditional into shape, so perhaps it does not
# any more? On the small world, exactly, with 16 units:

# %% tags=["train"]
world_orders = {"raster": raster, "spiral": orderings.spiral(4, 4), "random": orderings.random(16, seed=0)}
world_by_order = {"raster": [world_nades[16]]}
for name, order in world_orders.items():
    tries = range(1 if name == "raster" else 0, budget(smoke=1, cpu=3, gpu=10))
    world_by_order.setdefault(name, []).extend(world_nade(16, order, seed) for seed in tries)
for name, runs in world_by_order.items():
    print(f"{name:7} KL from different starting points:", *(f"{divergence:.3f}" for _, divergence in runs), "nats")

# %% [markdown]
# The divergences are exact, and yet each ordering shows several: a NADE's loss is not convex, so the
# *starting point* decides where 80 steps lead, as much as the ordering does. Any claim "ordering A beats
# ordering B" from one run each would be worthless.
#
# Hence the protocol for the digits: several seeds for the same ordering, several random orderings, and every
# model compared with one reference *image by image*. The bars are standard errors of these paired differences
# over the 300 test images. **Before you run the cells:** will the seeds of one ordering lie within each
# other's bars?

# %% tags=["train"]
digit_orders = {"raster": orderings.raster(8, 8), "spiral": orderings.spiral(8, 8)}
many = budget(smoke=1, cpu=3, gpu=5)
trained = {
    "raster\nseeds": [nade] + [train_nade(digit_orders["raster"], seed)[0] for seed in range(1, many)],
    "spiral\nseeds": [train_nade(digit_orders["spiral"], seed)[0] for seed in range(many)],
}

# %% tags=["train"]
trained["random\norderings"] = [train_nade(orderings.random(64, seed), seed)[0] for seed in range(many)]
fig, ax = plt.subplots(figsize=(7, 3))
for place, (name, models) in enumerate(trained.items()):
    for shift, model in zip(0.12 * (np.arange(len(models)) - (len(models) - 1) / 2), models, strict=True):
        difference = metrics.nll_difference(model, nade, test)
        ax.errorbar(place + shift, difference.mean, difference.stderr, fmt="o", color="black", ms=4)
        print(f"{' '.join(name.split()):17} {metrics.nll(model, test)} nats; against the first: {difference}")
ax.axhline(0, color="gray", lw=0.8, ls="-")
ax.set_xticks(range(len(trained)), trained)
ax.set(
    xlim=(-0.5, 2.5),
    ylabel="test NLL minus\nthat of the first (nats)",
    title="Another seed changes as much as another ordering",
)
plots.show(
    fig,
    alt="Paired differences in test NLL to the first raster NADE, within 0.2 nats for all: raster seeds "
    "a little above zero, spirals a little below, random orderings between. The spread within a "
    "group is about as large as the error bars and as the differences between the groups.",
)

# %% [markdown]
# Two lessons. One about statistics: the paired bar answers "would other *test images* say the same?" and not
# "would another *run*?". The raster seeds differ by more than a bar, though nothing but chance separates
# them. To compare orderings (or architectures, or anything) you need runs of each, and the spread between
# runs is a second source of error beside the images. `python -m course_lib.scoreboard` prints both.
#
# And one about NADE: with a hidden layer, even a *random* ordering, which meets neighbouring pixels at
# unrelated times, costs next to nothing on these images. If all orderings are about equally good, why choose
# one? Section 9 will not.

# %% [markdown]
# ## 7 · The gradient, by hand
#
# Autograd would do this for you, and it would store all $D$ hidden layers to do so: for a batch of 100
# binarized MNIST images and $H = 500$ that is $100 \cdot 784 \cdot 500$ numbers, 157 MB in single precision.
# By hand it takes three lines of algebra, no stored layer, and one more pass of the recursion, backwards.
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
# **One hidden layer.** Of all outputs only $z_d$ reads $h_d$, so
# $\partial L / \partial h_d = \delta_d V_{d,\cdot}^\top$, and with $\sigma' = \sigma (1 - \sigma)$
#
# $$g_d := \delta_d\, V_{d, \cdot}^\top \odot h_d \odot (1 - h_d)$$
#
# is what the $d$-th output alone wants of its pre-activations $a_d$.
#
# **All of them.** Now use the sum, not the recursion: $a_d = c + \sum_{k < d} W_{\cdot, k}\, x_k$. Every
# $a_d$ contains $c$ once, and $W_{\cdot, k}$ with the factor $x_k$ if $k < d$. By the chain rule
#
# $$\frac{\partial L}{\partial c} = \sum_{d=1}^{D} g_d, \qquad \frac{\partial L}{\partial W_{\cdot, k}} = x_k \sum_{d > k} g_d .$$
#
# The sums over $d > k$ are *suffix sums*: $s_k = \sum_{d > k} g_d$ obeys $s_D = 0$ and $s_{k-1} = s_k + g_k$,
# one addition of $H$ numbers a step. All in all $O(DH)$, like the likelihood. Going from $D$ down to 1 we
# need $h_d$ again, and need not have stored it: the recursion runs backwards as well,
#
# $$a_d = a_{d+1} - W_{\cdot, d}\, x_d ,$$
#
# so begin with $a_{D+1} = c + W x$, the sum over all pixels, and take off one column before each $h_d$.
# (Larochelle and Murray, 2011, state it as algorithm 1.) Notice the last column: no $d$ is greater than $D$,
# so the gradient of $W_{\cdot, D}$ is zero. Nobody reads the last pixel.
#
# ## Exercise 4 · `nade_grad`
#
# Of the *negative* log-likelihood, for one image. Any way to compute it is right; the backward recursion is
# the one worth writing.


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
# ### Your function at work: training as in 2011
#
# Plain stochastic gradient descent, one image at a time, with nothing but your gradient: take the next image,
# step against it.

# %% tags=["train"]
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
        torch.randperm(len(train), generator=rng).repeat(3)[: budget(smoke=100, cpu=2400, gpu=3591)].tolist()
    ):
        gradients = nade_grad(train[n], **theta)
        for name in theta:
            theta[name] -= 0.1 * torch.as_tensor(gradients[name])
        if number % 100 == 99:
            losses.append(held_out())
    fig, ax = plt.subplots(figsize=(6, 2.8))
    ax.plot(100 * np.arange(len(losses)), losses)
    ax.axhline(metrics.nll(fvbn, digits.valid.x).mean, color="gray", lw=1, ls="-")
    ax.text(
        len(losses) * 100,
        metrics.nll(fvbn, digits.valid.x).mean - 2.3,
        "FVBN, trained to the end",
        color="gray",
        ha="right",
    )
    ax.set(
        xlabel="images seen, one at a time",
        ylabel="validation NLL (nats)",
        ylim=(14, None),
        title="Your gradient learns digits",
    )
    plots.show(
        fig,
        alt="Validation NLL against the number of images seen: it falls from 44 nats steeply to about 25 "
        "within a few hundred images and then slowly towards the FVBN's 18.",
    )

# %% [markdown]
# ## 8 · Real numbers: RNADE
#
# Nothing in the recursion needs bits. Let $x_{o_d}$ be a real number and replace the last step: the hidden
# layer now gives the parameters of a *density*. One Gaussian would be a poor choice (grey values pile up at
# white and at black), so take a mixture of $K$ of them (here $K$ counts components; a pixel has 16 levels),
#
# $$q(x_{o_d} \mid x_{o_{<d}}) = \sum_{k=1}^{K} \pi_k\, \mathcal{N}(x_{o_d};\, \mu_k, \sigma_k^2), \qquad \mathcal{N}(y; \mu, \sigma^2) = \frac{1}{\sigma \sqrt{2 \pi}}\, e^{-\frac{(y - \mu)^2}{2 \sigma^2}},$$
#
# with weights $\pi = \mathrm{softmax}$ of $K$ linear functions of $h_d$, means $\mu$ linear in $h_d$, and
# $\log \sigma$ linear in $h_d$ (so that $\sigma > 0$). That is RNADE (Uria, Murray and Larochelle, 2013).
# Here $\sigma_k$ with an index is a standard deviation, not the logistic function. Four things need care.
#
# **1. Stay in the logarithm.** Far from every mean the density is $e^{-500{,}000}$, which is 0 in floating
# point, and its logarithm $-\infty$. The terms' logarithms are harmless:
# $\ell_k = \log \pi_k - \log \sigma_k - \frac12 \log 2\pi - \frac12 \big(\frac{y - \mu_k}{\sigma_k}\big)^2$.
# Take out the largest,
#
# $$\log \sum_k e^{\ell_k} = \ell_{\max} + \log \sum_k e^{\ell_k - \ell_{\max}},$$
#
# and the remaining sum lies between 1 and $K$. (`torch.logsumexp` does it.)
#
# **2. The density has no ceiling.** If a data value occurs exactly, say $x = 0$ for a white pixel, a
# component can sit on it and shrink: $\log q \to +\infty$ as $\sigma_k \to 0$. Such a model has learnt that
# the data are stored as integers, and nothing else. The cure is *dequantization*: give each value back the
# width that rounding took from it. The 16 grey levels $n$ then fill $[0, 1)$ evenly: $y = (n + u)/16$ with $u$
# uniform on $[0, 1)$.
#
# **3. The Jacobian.** What does the density of $y$ say about the integer image? An image $n$ owns a cube of
# side $1/16$ in the space of $y$, and a density gives it the mass
# $Q(n) = \int_{\text{cube}} q(y)\, dy = 16^{-D}\, \mathbb{E}_u\, q\big(\tfrac{n + u}{16}\big)$. Jensen's
# inequality ($\log$ is concave) gives
#
# $$\log Q(n) = -D \log 16 + \log \mathbb{E}_u\, q\big(\tfrac{n + u}{16}\big) \;\ge\; -D \log 16 + \mathbb{E}_u \log q\big(\tfrac{n + u}{16}\big).$$
#
# So an RNADE's NLL plus $D \log 16$ is an upper bound on the NLL of an honest model of the integers, in bits
# per dimension: $+4$. Whoever forgets the $D \log 16 = 177$ nats, the logarithm of the Jacobian of
# $n \mapsto y$, reports wonders.
#
# **4. Gradients and scales.** $\partial \ell_k / \partial \mu_k = (y - \mu_k)/\sigma_k^2$ explodes for narrow
# components; the paper multiplies it by $\sigma_k$. And as the sum $a_d$ grows with $d$ when inputs are
# positive, each conditional rescales it by a factor $\rho_d$ that is learnt. RNADE's hidden units are
# $\mathrm{relu}(a) = \max(a, 0)$, entry by entry, in place of the logistic function:
# $h_d = \mathrm{relu}(\rho_d\, a_d)$. Adam, which divides each gradient by its own usual size, makes the
# first of the two remedies less urgent today.
#
# ## Exercise 5 · `mog_log_density`
#
# The log-density of a mixture of Gaussians, one mixture for each number. It must survive numbers a thousand
# standard deviations away and standard deviations of $e^{-20}$.


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
# ### Your function at work: a likelihood that goes to infinity
#
# One pixel of the digits, modelled without any context by 16 Gaussians, one at each grey level, weighted by
# how often it occurs, all with the same $\sigma$. Once with the raw grey levels $n/16 + 1/32$ as data (each
# in the middle of its cell), once dequantized. **Before you run the cell:** sketch both curves against
# $\sigma$. The dashed line is $\log 16$ minus the entropy of the observed frequencies of the grey levels. By the
# inequality above, and because no $Q$ has a lower mean cost than that entropy, no density of the *dequantized*
# pixel is better on average, whatever its form.

# %% tags=["demo"]
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
    fig, ax = plt.subplots(figsize=(7, 3.2))
    for name, curve in curves.items():
        ax.plot(sigmas, curve, label=name)
    observed = frequency[levels].log().mean()
    ax.axhline(math.log(16) + observed, color="black", lw=1, ls="--")
    ax.text(1.2e-5, math.log(16) + observed + 0.4, "no density of the dequantized pixel is better", fontsize=9)
    ax.set(
        xscale="log",
        ylim=(-12, 12),
        xlabel="σ of every component (the range of the data is 1)",
        ylabel="mean log-density (nats)",
        title="Without dequantization the best density is infinite and worthless",
    )
    ax.legend()
    plots.show(
        fig,
        alt="Mean log-density of one pixel against the components' standard deviation. On raw grey levels "
        "it grows without bound as sigma goes to zero; on dequantized values it has its maximum near "
        "sigma 0.02, below the dashed limit, and falls off steeply on the left.",
    )

# %% [markdown]
# ### RNADE on the grey digits
#
# The comparison, all in bits per dimension of the *integer* images of 16 levels: a fair 16-sided die (4
# bits), independent pixels by counting, independent mixtures of Gaussians (an RNADE without hidden units),
# and an RNADE with 50 hidden units and 5 components. The last two are bounds, for one draw of $u$ an image.

# %% tags=["train"]
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
    fit(rnade, real, epochs=budget(smoke=3, cpu=40, gpu=100), batch_size=100, lr=1e-2, optimizer=decay)
    rnade_rows[name] = ("bound", metrics.Estimate.of(-(metrics.log_probs(rnade, real.test.x) + real.log_jacobian)))
print(f"{'model':36} {'NLL of the integers (nats)':>27} {'bits/dim':>10}")
print(f"{'uniform':36} {64 * math.log(16):27.2f} {4:10.3f}   exact")
for name, (kind, estimate) in rnade_rows.items():
    print(f"{name:36} {str(estimate):>27} {metrics.bits_per_dim(estimate.mean, 64):10.3f}   {kind}")

# %% tags=["demo"]
with torch.no_grad():
    parameters = rnade(real.test.x)  # (n, 3, K, D): logits, means, log standard deviations
axis = torch.linspace(-0.15, 1.15, 400)
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.2), width_ratios=[1, 1.25])
grey_samples = rnade.sample(24, generator=torch.Generator().manual_seed(0)).clamp(0, 1)
plots.image_grid(
    torch.cat([grey_samples, real.test.x[:8]]), columns=8, ax=axes[0], title="RNADE samples; last row: digits"
)
for n, style in [(0, "-"), (3, "--"), (11, "-.")]:
    logits, mean, log_sigma = parameters[n, :, :, 36]
    density = (
        torch.softmax(logits, 0)[:, None]
        * torch.distributions.Normal(mean[:, None], log_sigma.exp()[:, None]).log_prob(axis).exp()
    )
    (line,) = axes[1].plot(axis, density.sum(0), style, label=f"test digit {n}")
    axes[1].plot(real.test.x[n, 36], -0.6, "^", color=line.get_color(), ms=8, clip_on=False)
axes[1].set(
    xlabel="grey value of pixel (4, 4)",
    ylabel="density",
    ylim=(-1.2, None),
    title="One conditional, three contexts (triangles: true values)",
)
axes[1].legend(fontsize=8)
plots.show(
    fig,
    alt="Left: RNADE samples, grey and digit-like, above a row of real digits. Right: the conditional "
    "density of one pixel for three test digits: different shapes, some with two modes, high near "
    "the true values.",
)

# %% [markdown]
# Independent mixtures lose to independent *counts*, which can give each of the 16 levels its own probability:
# that is the price of a smooth density, and of a bound. Context more than pays for it: RNADE is the best
# model of grey digits so far, though its samples are still rough. Its density at one pixel is no bell:
# depending on what was read it sits near white, near black, or on both.
#
# ## 9 · One network for all orderings
#
# NADE can complete an image only if what is known comes first in its ordering. Another ordering is another
# NADE, to be trained anew, and there are $D!$ of them. Uria, Murray and Larochelle (2014) train them all at
# once, in one network that is told *which* pixels are observed.
#
# **The network.** It reads $x \odot m$ and $m$, side by side, $2D$ numbers, where $m_i = 1$ if pixel $i$ is
# observed and 0 if not; and gives a logit for *every* pixel: $q(x_i = 1 \mid x_S)$, where
# $S = \{i : m_i = 1\}$ is the set of the observed ones. The mask has to be an input: without it a 0 could
# mean "white" or "not known yet", and those call for different answers. In between it may be as deep as you
# like (*DeepNADE*). To use it in the ordering $o$, ask it $D$ times: observe nothing, read the answer for
# $o_1$; observe $\{o_1\}$, read the answer for $o_2$; and so on. The conditionals come from one network, so
# they are tied; but each ordering multiplies them into a distribution of its own.
#
# **The loss.** We want all orderings to be good, so minimise the mean NLL over orderings,
#
# $$J(x) = \mathbb{E}_o \sum_{d=1}^{D} -\log q(x_{o_d} \mid x_{o_{<d}}).$$
#
# This has $D! \cdot D$ terms. Now comes a short chain of rewritings. A sum over $D$ values of $d$ is $D$
# times the mean over a uniformly drawn $d$; write $m = d - 1$ for the number of pixels observed then (in this
# derivation $m$ is a number; in the exercise `m` is the mask, and the number is $|m|$):
#
# $$J(x) = D\; \mathbb{E}_{m}\, \mathbb{E}_o \big[ -\log q(x_{o_{m+1}} \mid x_{o_{\le m}}) \big], \qquad m \text{ uniform on } 0, \dots, D-1 .$$
#
# The network does not see in which order the $m$ observed pixels came, only the set
# $S = \{o_1, \dots, o_m\}$. In a random ordering $S$ is a uniformly random set of $m$ pixels, and *given*
# $S$, the next one, $o_{m+1}$, is each of the other $D - m$ with equal probability. So the inner expectation
# is a plain mean:
#
# $$J(x) = D\; \mathbb{E}_m\, \mathbb{E}_{S : |S| = m} \Big[ \frac{1}{D - m} \sum_{i \notin S} -\log q(x_i \mid x_S) \Big] = \mathbb{E}_m\, \mathbb{E}_{S} \Big[ \frac{D}{D - m} \sum_{i \notin S} -\log q(x_i \mid x_S) \Big].$$
#
# What stands in the last bracket costs *one* pass of the network, for it answers for all $i \notin S$ at
# once. Draw $m$, draw $S$, take the bracket: an unbiased estimate of the mean NLL over all orderings. The
# factor $D/(D-m)$ is easily forgotten, since training seems to work without. But what one then minimises is
# no NLL of anything: the conditionals that have seen much, with few terms in the sum, count too little, down
# to $1/D$ of their due.
#
# ## Exercise 6 · `orderless_loss`
#
# Take care that an observed pixel contributes nothing at all: the network's "prediction" of a pixel that it
# has seen has no meaning, and its log-probability may be anything, $-\infty$ included. (And $0 \cdot \infty$
# is not 0.)


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
# ### Your function at work: unbiased, by enumeration
#
# Five dimensions, one fixed $x$, and for each of the 32 sets $S$ an arbitrary table of
# $\log q(x_i \mid x_S)$. (Arbitrary on purpose: the orderings of a real network do not agree with each other
# either.) On one side all 120 orderings; on the other the mean of your loss over all numbers $m$ and all sets
# of that size.

# %% tags=["demo"]
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
# ### Training a deep orderless NADE
#
# Two hidden layers of 200 units. For the exact likelihood in *one* ordering it must be asked 64 times; for a
# step of training, once. **Why can the recursion not be saved for deep networks?** Because only the first
# layer is linear in what changes. One more pixel adds one column to the first pre-activations (that part of
# the recursion stays), but after the nonlinearity *all* units of the first layer have moved, and the second
# layer is a new matrix product, $O(H^2)$, for every pixel. Hence the training by random masks.

# %% tags=["train"]
torch.manual_seed(0)
orderless = OrderlessNADE(64, [200, 200])
history = fit(orderless, digits, epochs=budget(smoke=10, cpu=300, gpu=600), batch_size=100, lr=3e-3, optimizer=decay)
print(history, "(estimates from one mask an image)")

# %% tags=["demo"]
digit_ensemble = [digit_orders["raster"]] + [
    orderings.random(64, seed) for seed in range(budget(smoke=3, cpu=31, gpu=127))
]
members = torch.stack([metrics.log_probs(orderless.with_order(order), test) for order in digit_ensemble])
single = -members.mean(1)
print(f"exact test NLL in raster order: {single[0]:.2f} nats")
print(f"in {len(single) - 1} random orderings: mean {single[1:].mean():.2f}, standard deviation {single[1:].std():.2f}")
print(f"of one and the same image: standard deviation over orderings {members.std(0).mean():.2f}, averaged over images")

# %% [markdown]
# One network, and all the orderings we tried are close to each other *on average over images*. But look at
# the last line: for a single image the orderings disagree by more than a nat. Disagreement is a resource.
#
# ## 10 · Ensembles: average the right thing
#
# Take $E$ orderings. Each gives a distribution $q_e$. Draw one of them at random, then $x$ from it: that is a
# mixture, and its probability is the *mean of the probabilities*,
#
# $$q(x) = \frac{1}{E} \sum_{e=1}^{E} q_e(x), \qquad \log q(x) = \log \sum_{e=1}^{E} e^{\log q_e(x)} - \log E .$$
#
# It sums to 1 because each $q_e$ does. (EoNADE: an ensemble of orderless NADEs.) Jensen again: $\log$ is
# concave, so
#
# $$\log \frac{1}{E} \sum_e q_e(x) \;\ge\; \frac{1}{E} \sum_e \log q_e(x) \qquad \text{for every single } x,$$
#
# with equality only if all $q_e(x)$ agree. **The ensemble never costs more than its members on average, and
# it gains from nothing but their disagreement.** The right-hand side is *not* the log of a distribution:
# $\prod_e q_e(x)^{1/E}$ is at most the mean, for every $x$, so its sum over all images is at most 1, and
# below 1 as soon as two members differ anywhere. To report it is to report the average member; to sample from
# it you would need a $Z$ again.
#
# ## Exercise 7 · `eonade`
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
# ### Your function at work
#
# Ensembles of $1, 2, 4, \dots$ orderings, raster and random ones, of the one network above. Each point is the
# mean over several random choices of orderings. **Before you run the cell:** which of the two curves is flat,
# and why?

# %% tags=["demo"]
with waits_for("eonade"):
    rng = torch.Generator().manual_seed(0)
    numbers = [2**k for k in range(int(math.log2(len(members))) + 1)]
    right, mean_of_logs = [], []
    for number in numbers:
        choices = [torch.randperm(len(members), generator=rng)[:number] for _ in range(20)]
        right.append(-torch.stack([torch.as_tensor(eonade(members[choice])).mean() for choice in choices]).mean())
        mean_of_logs.append(-torch.stack([members[choice].mean() for choice in choices]).mean())
    fig, ax = plt.subplots(figsize=(7, 3.2))
    ax.plot(numbers, mean_of_logs, "s--", label="mean of the NLLs of its members")
    ax.plot(numbers, right, "o-", label="NLL of the ensemble")
    ax.axhline(metrics.nll(nade, test).mean, color="gray", lw=1, ls="-")
    ax.text(numbers[-1], metrics.nll(nade, test).mean, "one NADE, raster order", color="gray", ha="right", va="bottom")
    ax.set(
        xscale="log",
        xticks=numbers,
        xticklabels=numbers,
        xlabel="orderings in the ensemble",
        ylabel="test NLL (nats)",
        title="More orderings of the same network: better, at the price of computing only",
    )
    ax.minorticks_off()
    ax.legend(fontsize=9)
    plots.show(
        fig,
        alt="Test NLL against the number of orderings, 1 to 32: the ensemble's falls steadily, steeply at "
        "first; the mean of the members' stays flat.",
    )
    together = torch.as_tensor(eonade(members))
    ensemble = metrics.Estimate.of(-together)
    paired = metrics.Estimate.of(metrics.log_probs(nade, test) - together)
    print(f"{len(members)} orderings: {ensemble} nats; minus NADE in raster order, image by image: {paired}")

# %% [markdown]
# Uria, Murray and Larochelle (2014) see the same on binarized MNIST, with up to 128 orderings. A single ordering of the orderless network loses to a NADE that only ever had
# to learn that one; the ensemble more than makes up for it, at as many times the cost as it has orderings.

# %% [markdown]
# ## 11 · Completing anything
#
# Now the debt of lesson 01. To draw the unknown pixels given *any* known set, choose an ordering that
# *starts* with the known ones. For the orderless network that costs nothing: observe the known pixels at
# once, then draw the others one by one, each with a mask that has grown by one. No clamping: every drawn
# pixel has heard all the known ones, also those "later" in the image.
#
# One caveat, to be honest about: the network's $D!$ distributions are not one distribution. What you draw
# from is exactly $q_o(x_{\text{unknown}} \mid x_{\text{known}})$ of the ordering $o$ you chose; another
# ordering of the unknown pixels gives a slightly different answer.
#
# ## Exercise 8 · `orderless_complete`
#
# The network is a function that you may call once for each unknown dimension. Mind what you show it: zeros
# wherever the mask is 0, and only what you have drawn *so far*.


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
# ### Your function at work: the right question beats the perfect model
#
# Lesson 01 completed an image of the small world from its top row, its left column, and its bottom row by
# clamping, with *perfect* conditionals, and was wrong by more than two nats when the known pixels came last.
# Here is an orderless network, which is not perfect, but asks the right question. First the training (fresh
# images of the world in every step), then the exact divergences from the true
# $p(\text{unknown} \mid \text{known})$.

# %% tags=["train"]
torch.manual_seed(0)
world_orderless = OrderlessNADE(16, [128, 128])
steps = budget(smoke=100, cpu=3000, gpu=10_000)
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
    """log q of all images of the small world in this ordering, exactly."""
    place = order.argsort()
    return tree_log_prob(lambda x, k: world_orderless.network(x, (place < k).expand(x.shape))[:, order[k]], order)


world_log_qs = torch.stack([orderless_log_q(order) for order in [*world_orders.values(), orderings.random(16, seed=1)]])
gaps = [float(gap(log_q)) for log_q in world_log_qs]
print(
    "KL to the small world in four orderings: "
    + ", ".join(f"{g:.3f}" for g in gaps)
    + f" nats; mean {np.mean(gaps):.3f}"
)
for name, log_q in [
    ("log of the mean probability", world_log_qs.logsumexp(0) - math.log(4)),
    ("mean of the logs", world_log_qs.mean(0)),
]:
    print(f"{name:27}: entropy + {float(gap(log_q)):.3f} nats, total mass {log_q.exp().sum():.6f}")

# %% tags=["demo"]
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
        pictures[name] = torch.cat([truth, yours])
        clamped = true_conditional[consistent][:, ~known].sum(1)
        order = torch.cat([known.nonzero().flatten(), (~known).nonzero().flatten()])
        log_q = orderless_log_q(order)[consistent]
        log_q = log_q - log_q.logsumexp(0)
        of_clamping, of_network = ((right * (right.log() - each)).sum().abs() for each in (clamped, log_q))
        rows.append(f"{name:12} {of_clamping:38.3f} {of_network:30.3f}")

    print("\n".join(rows))
    fig, axes = plt.subplots(1, 5, figsize=(9.5, 2.9), width_ratios=[1, 2, 2, 2, 2])
    plots.image_grid(original[None], ax=axes[0])
    axes[0].set_title("the image", fontsize=9)
    for ax, (name, picture) in zip(axes[1:], pictures.items(), strict=True):
        plots.image_grid(picture, columns=4, ax=ax)
        ax.set_title(f"{name} known", fontsize=9)
        ax.plot([0, 1], [0.5, 0.5], "-", transform=ax.transAxes, color=plots.COLORS["vermilion"], lw=2)
    fig.suptitle("Above the line: drawn from the truth. Below: your completions", fontsize=11)
    plots.show(
        fig,
        alt="Completions of one small-world image from its top row, left column, bottom row, or corners: "
        "above the line drawn from the exact conditional, below by the reader's function; both show "
        "whole glyphs that agree with the known pixels.",
    )

# %% [markdown]
# Where clamping is right, with a prefix known, perfect conditionals win, and the network pays for its
# imperfection: a few tenths of a nat, there as everywhere. Where clamping asks the wrong question, the
# imperfect network is nearer to the truth. (And on the way the cell above has shown Jensen at work: the
# ensemble of four orderings lies a tenth of a nat nearer to the small world than its members do on average.
# The mean of their logarithms is no distribution: an eighth of its mass is missing.)
#
# And digits, from whatever is left of them:

# %% tags=["demo"]
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


def guesses(images, known):
    """Your completion of each image."""
    uniforms = torch.rand(images.shape, dtype=torch.float64, generator=rng)
    pairs = zip(images, uniforms, strict=True)
    return torch.stack([torch.as_tensor(orderless_complete(digit_network, x, known, u)) for x, u in pairs])


with waits_for("orderless_complete"):
    rng = torch.Generator().manual_seed(0)
    chosen = test[torch.tensor([int((digits.test.y == digit).nonzero()[1]) for digit in (2, 3, 5, 6, 8)])]
    pictures = {}
    for name, known in known_sets.items():
        given = torch.where(known, chosen.double(), 0.4)
        pictures[name] = torch.cat([chosen.double(), given, *[guesses(chosen, known).double() for _ in range(3)]])
    fig, axes = plt.subplots(1, 4, figsize=(9.5, 3.4))
    for ax, (name, picture) in zip(axes, pictures.items(), strict=True):
        plots.image_grid(picture, columns=5, ax=ax, title=f"known: {name}")
    name_rows(axes[0], "digit", "known", "guess 1", "guess 2", "guess 3")
    plots.show(
        fig,
        alt="Five digits; the same with only the bottom half, the left half, a frame, or every third pixel "
        "known, the rest grey; and three completions each. Completions continue the strokes; the less "
        "is known, the more they vary.",
    )

# %% [markdown]
# ## 12 · ConvNADE: neighbours at last
#
# Everything so far treats an image as a list: shuffle the pixels of all images alike and nothing changes. A
# convolutional network knows what is next to what, and uses the same weights everywhere. An ordinary one
# cannot serve in NADE, since it looks at all pixels. But an *orderless* network may look at everything that
# is observed! So replace the fully connected layers by convolutions, give the mask as a second input channel,
# and change nothing else, neither loss nor sampling nor ensembles: that is ConvNADE (Uria et al., 2016). The
# price is as before: $D$ passes through the network for one exact likelihood.

# %% tags=["train"]
images = data.digits("binary")
torch.manual_seed(0)
conv = ConvNADE((1, 8, 8), channels=16, layers=3, kernel=5)
history = fit(conv, images, epochs=budget(smoke=1, cpu=70, gpu=400), batch_size=50, lr=1e-2)
print(history, "(estimates from one mask an image)")

# %% tags=["demo"]
few = budget(smoke=2, cpu=8, gpu=32)
conv_members = torch.stack(
    [metrics.log_probs(conv.with_order(order), images.test.x) for order in digit_ensemble[1 : few + 1]]
)
print(f"{'':36} {'weights':>8} {'one ordering':>13} {f'ensemble of {few}':>15}")
for name, model, log_ps in [
    ("OrderlessNADE, 2 layers of 200", orderless, members[1 : few + 1]),
    ("ConvNADE, 3 layers of 16 channels", conv, conv_members),
]:
    together = metrics.Estimate.of(-(log_ps.logsumexp(0) - math.log(few)))
    print(f"{name:36} {sum(p.numel() for p in model.parameters()):8,} {-log_ps.mean():13.2f} {str(together):>15}")

asked = test[(digits.test.y == 5).nonzero()[1, 0]]
arrival = orderings.random(64, seed=1).argsort()
rows = {"observed": [], "OrderlessNADE": [], "ConvNADE": []}
with torch.no_grad():
    for number in (0, 4, 8, 16, 24, 32, 48):
        seen = arrival < number
        rows["observed"].append(torch.where(seen, asked.double(), 0.4))
        for name, p in [
            ("OrderlessNADE", orderless.network(asked[None], seen[None]).sigmoid()),
            ("ConvNADE", conv.network(asked.view(1, 1, 8, 8), seen.view(1, 1, 8, 8)).sigmoid()),
        ]:
            rows[name].append(torch.where(seen, asked.double(), p.flatten().double()))
conv_samples = conv.with_order(orderings.random(64, seed=5)).sample(12, generator=torch.Generator().manual_seed(0))
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3), width_ratios=[8, 4])
plots.image_grid(
    torch.stack([image for row in rows.values() for image in [*row, asked.double()]]), columns=8, ax=axes[0]
)
name_rows(axes[0], *rows)
axes[0].set_title("P(black) of the unknown, as 0, 4, 8, 16, 24, 32, 48, 64 are observed")
plots.image_grid(conv_samples, columns=4, ax=axes[1], title="ConvNADE, random order")
plots.show(
    fig,
    alt="Left: a five, revealed in random order from no pixel to all. With no pixel observed both networks show a "
    "grey cloud, the mean digit; with 8 to 16 pixels the clouds take shape; with 32 both nearly show the five. "
    "Right: twelve samples of the ConvNADE, about half of them readable digits.",
)

# %% [markdown]
# Both see much the same in what they are shown, the convolutional one with a fifth of the weights. It is
# slower to train, and in the few seconds given here it is not finished (`COURSE_BUDGET=gpu` trains six times
# as long); on 28 × 28 pixels, where neighbourhoods matter more and fully connected layers grow with the
# square of the image's size, Uria et al. (2016) report gains from it.

# %% [markdown]
# ## 13 · Bug clinic
#
# Six patients, NADEs of the small world with 16 hidden units, trained as their authors intended; one is
# healthy. You see the expected NLL that each *reports*, its **total mass** over all images, and samples. For
# orientation: the entropy is 4.97 nats, a healthy NADE needs about 5.3, the best FVBN 6.48, independent
# pixels 9.68.
#
# **Diagnose before you open the answers.** Which is healthy? For the others: is it the likelihood, the
# training, or the sampler? Which line of code? (The two cells below give the patients away. Run them unread.)


# %% tags=["train"]
def patient_log_prob(logit, order=raster):
    """Like tree_log_prob, but logit(x, k) is shown x with its k-th pixel in place: whoever peeks, sees it."""
    log_q = torch.zeros(1, dtype=torch.float64)
    for k, x in enumerate(prefixes(tuple(order.tolist()))):
        black = x.index_fill(1, order[k], 1.0)
        parts = [bernoulli_log_prob(logit(seen, k), torch.tensor(bit)) for bit, seen in enumerate([x, black])]
        log_q = torch.stack([log_q + part for part in parts], 1).flatten()
    return log_q.view((2,) * 16).permute(*order.argsort().tolist()).flatten()


def draw(logit, seed, order=raster, fed=lambda p, bit: bit):
    """24 samples. `fed` says what is fed back after a pixel was drawn."""
    rng = torch.Generator().manual_seed(seed)
    seen, x = torch.zeros(24, 16, dtype=torch.float64), torch.zeros(24, 16, dtype=torch.float64)
    for k, d in enumerate(order.tolist()):
        p = logit(seen, k).sigmoid()
        x[:, d] = (torch.rand(24, generator=rng, dtype=torch.float64) < p).double()
        seen[:, d] = fed(p, x[:, d])
    return x


before = torch.ones(16, 16, dtype=torch.float64).tril(-1)  # row k: what comes before place k, in raster order
(W, V, b, c), _ = world_nades[16]


def good(x, k):
    return b[k] + (c + (x * before[k]) @ W.T).sigmoid() @ V[k]


W2, V2, b2, c2 = parameters = start((16, 16), (16, 16), (16,), (16,))
fit_exactly(lambda: patient_log_prob(lambda x, k: b2[k] + (c2 + x @ W2.T).sigmoid() @ V2[k]), parameters)
last_only = before - before.tril(-2)
W3, V3, b3, c3 = parameters = start((16, 16), (16, 16), (16,), (16,))
fit_exactly(
    lambda: tree_log_prob(lambda x, k: b3[k] + (c3 + (x * last_only[k]) @ W3.T).sigmoid() @ V3[k], raster), parameters
)
shuffle = world_orders["random"]
(W4, V4, b4, c4), _ = world_by_order["random"][0]
shuffle_place = shuffle.argsort()
committee = [(order, runs[0][0]) for order, runs in zip(world_orders.values(), world_by_order.values(), strict=True)]


# %% tags=["demo"]
def peeking(x, k):
    return b2[k] + (c2 + x @ W2.T).sigmoid() @ V2[k]


def forgetful(x, k):
    return b3[k] + (c3 + (x * last_only[k]) @ W3.T).sigmoid() @ V3[k]


def misplaced(x, k):
    return b4[k] + (c4 + (x * (shuffle_place < k)) @ W4.T).sigmoid() @ V4[k]


def of_order(order, weights):
    """The logit of a NADE in an ordering."""
    W, V, b, c = weights
    place = order.argsort()
    return lambda x, k: b[order[k]] + (c + (x * (place < k)) @ W.T).sigmoid() @ V[order[k]]


with torch.no_grad():
    by_member = torch.stack([patient_log_prob(of_order(order, weights), order) for order, weights in committee])
    patients = {
        "A": (patient_log_prob(forgetful), draw(forgetful, 1)),
        "B": (patient_log_prob(good), draw(good, 2, fed=lambda p, bit: p)),
        "C": (
            by_member.mean(0),
            torch.cat([draw(of_order(order, weights), 3, order)[:8] for order, weights in committee]),
        ),
        "D": (patient_log_prob(good), draw(good, 4)),
        "E": (patient_log_prob(peeking), draw(peeking, 5)),
        "F": (patient_log_prob(misplaced, shuffle), draw(misplaced, 6, shuffle)),
    }
fig, axes = plt.subplots(2, 3, figsize=(9.5, 4.2))
print("patient   reported NLL (nats)   total mass")
for ax, (name, (log_q, drawn)) in zip(axes.flat, patients.items(), strict=True):
    print(f"{name:7} {float(-(p_world @ log_q)):20.3f} {log_q.exp().sum():14.4f}")
    plots.image_grid(drawn, columns=8, ax=ax, title=f"Patient {name}")
plots.show(
    fig,
    alt="Samples of six patients. A: loose horizontal pieces. B: scattered pieces around the middle, "
    "hardly a glyph. C: mostly whole glyphs. D: mostly whole glyphs. E: all "
    "empty. F: curls along the rim, all alike.",
)

# %% [markdown]
# <details>
# <summary><b>Answers</b> (open them when you have written down yours)</summary>
#
# * **D is healthy.**
# * **A forgets.** It writes `a = c + W[:, d] * x[d]` where it should write `a = a + W[:, d] * x[d]`: each
#   conditional hears only the pixel just before it. The result is a proper distribution, mass 1, a Markov
#   chain along the rows. Training converges, nothing crashes, and only the NLL, far worse than an FVBN's,
#   says that something is missing. A *reach* test finds it at once: which inputs does each output depend on?
#   (`plots.dependency_map` draws it.) No test for peeking does, since a model that hears too little never
#   peeks.
# * **B feeds back probabilities.** Its likelihood is perfect. Its sampler adds `W[:, d] * p` instead of
#   `W[:, d] * x[d]`. As $p_1$ is a fixed number, so is the second pre-activation, hence $p_2$, and so on: all
#   conditionals become constants, and the samples are those of *independent pixels*. When samples look like
#   blurred noise and the NLL is good, ask what is being fed back.
# * **C averages the wrong thing.** Three healthy NADEs with three orderings; it reports the mean of their
#   log-likelihoods as the log-likelihood of "the ensemble". The mass is below 1, so this is no distribution,
#   and the reported NLL is only the average member's. The log of the mean probability would have mass 1 and a
#   lower NLL. Its sampler (choose a member, let it draw) is right, for the right ensemble.
# * **E peeks.** It updates `a` before it predicts, so each pixel helps to predict itself: an NLL of nearly 0,
#   far below the entropy, a mass of nearly 65,536 (each image confirms itself, and gets nearly probability
#   1), and empty samples: when it draws, the pixel that it wants to copy is not there yet.
# * **F mixes up places and dimensions**: it was trained properly, in a random ordering, but this code reads
#   `b[k]` and `V[k]` where it should read `b[order[k]]` and `V[order[k]]`. Mass 1 (any conditionals make a
#   distribution), NLL twice that of a fair coin for every pixel: sure of itself, and wrong. In raster order
#   the bug is invisible, and if the same mistake is made in training too, it does no harm at all: then `V[k]`
#   simply *belongs* to place $k$.
#
# Three more, without pictures. *An RNADE whose NLL falls and falls while its $\sigma$ grow*: $-\log \sigma$
# is missing from the log-density, so wide components are free; the integral is $\sigma$ instead of 1. *An
# RNADE whose NLL falls and falls while its $\sigma$ shrink*: the data are not dequantized (section 8). *A
# NADE that hardly gets below $784 \log 2 = 543$ nats on MNIST*: probabilities went into a loss that expects
# logits, the double sigmoid of lesson 01.
# </details>

# %% [markdown]
# ## 14 · Scoreboard
#
# This lesson's rows, all measured above on the same 300 test digits. `python -m course_lib.scoreboard` prints
# the course's table with error bars over seeds.

# %% tags=["demo"]
smoothed = (train.double().sum(0) + 0.5) / (len(train) + 1)
board = {
    "independent pixels": (torch.where(test == 1, smoothed, 1 - smoothed).log().sum(1), "exact"),
    "FVBN, raster": (metrics.log_probs(fvbn, test), "exact"),
    "a network each, 50 units": (metrics.log_probs(untied, test), "exact"),
    "NADE, raster": (metrics.log_probs(nade, test), "exact"),
    "NADE, mean of random orders": (
        torch.stack([metrics.log_probs(model, test) for model in trained["random\norderings"]]).mean(0),
        "exact",
    ),
    "OrderlessNADE, mean of orders": (members.mean(0), "exact, one ordering"),
    f"EoNADE, {len(members)} orders": (members.logsumexp(0) - math.log(len(members)), "exact"),
    f"ConvNADE, {few} orders": (conv_members.logsumexp(0) - math.log(few), "exact"),
}
print(f"{'binary digits':32} {'NLL (nats)':>14} {'bits/dim':>10}   likelihood")
for name, (log_q, kind) in board.items():
    estimate = metrics.Estimate.of(-log_q)
    print(f"{name:32} {str(estimate):>14} {metrics.bits_per_dim(estimate.mean, 64):10.4f}   {kind}")
print(f"\n{'digits with 16 grey levels':32} {'NLL (nats)':>14} {'bits/dim':>10}   likelihood")
for name, (kind, estimate) in rnade_rows.items():
    print(f"{name[:32]:32} {str(estimate):>14} {metrics.bits_per_dim(estimate.mean, 64):10.4f}   {kind}")

# %% [markdown]
# ## 15 · What you have, and what it cannot do
#
# You have conditionals that can take any shape, for $O(DH)$; a gradient that needs no memory; densities of
# real numbers; and a network that answers any question "these pixels are known, what about those?". What
# remains:
#
# * **The recursion is sequential.** $D$ steps, each too small to keep a GPU busy: `course_lib`'s NADE spends
#   most of its time *between* its steps.
# * **Depth breaks it.** A deep NADE costs $D$ full passes for one exact likelihood, and trains on a noisy
#   estimate of its loss.
# * **Cheap or flexible**: NADE has cheap likelihoods in one ordering, orderless NADE has all orderings
#   but an expensive likelihood.
#
# Look at the NADE picture of section 1 again. All it demands is that no path leads from a pixel to its own
# output or an earlier one. An ordinary deep network violates that, along many paths; but one could *cut*
# them, all at once, by multiplying each weight matrix with zeros in the right places. Then a single pass of
# matrix products, just what GPUs like, gives all $D$ conditionals. That is MADE, lesson 03.

# %% [markdown]
# ## 16 · History and references
#
# Bengio and Bengio (2000) gave conditionals hidden units, tied between outputs, and fought the number of
# weights with pruning. The decade's other idea, the RBM, had good features and no likelihood; Larochelle and
# Murray (2011) turned its mean-field inference into a model with one; Gregor and LeCun (2011) arrived at the
# same sharing from the side of compression. RNADE (2013) took it to real numbers, with mixture density
# networks (Bishop, 1994) as outputs. The orderless training of 2014 reads today like an early masked language
# model: hide a random part, predict it from the rest; only that the weight $D/(D-m)$ keeps it a likelihood.
# Uria et al. (2016) tell the whole story in one paper and add convolutions. Its descendants carry other
# names: autoregressive models for any order, and discrete diffusion models that unmask in random order, whose
# training loss is exercise 6.
#
# * C. Bishop. *Mixture density networks*. Technical report, Aston University, 1994.
# * Y. Bengio and S. Bengio. Modeling high-dimensional discrete data with multi-layer neural networks. *NIPS
#   12*, 2000, pages 400-406.
# * K. Gregor and Y. LeCun. Learning representations by maximizing compression. arXiv:1108.1169, 2011.
# * H. Larochelle and I. Murray. The neural autoregressive distribution estimator. *AISTATS*, 2011. Algorithm
#   1 has the gradient.
# * L. Theis, A. van den Oord and M. Bethge. A note on the evaluation of generative models. *ICLR*, 2016.
#   Section 3.1 has the bound by dequantization.
# * B. Uria, I. Murray and H. Larochelle. RNADE: the real-valued neural autoregressive density-estimator.
#   *NIPS 26*, 2013.
# * B. Uria, I. Murray and H. Larochelle. A deep and tractable density estimator. *ICML*, 2014.
# * B. Uria, M.-A. Côté, K. Gregor, I. Murray and H. Larochelle. Neural autoregressive distribution
#   estimation. *JMLR* 17(205), 2016.
# * E. Hoogeboom, A. Gritsenko, J. Bastings, B. Poole, R. van den Berg and T. Salimans. Autoregressive
#   diffusion models. *ICLR*, 2022. The link from orderless training to discrete diffusion.
#
# ## Where the solution is
#
# The text source of this notebook with all eight answers is `solutions/02_nade.py` in the course repository.
# In `course_lib`, the same ideas stand in full dress: `models/nade.py` (with the gradient of section 7 as an
# autograd function), `models/rnade.py`, `models/orderless_nade.py`, `models/conv_nade.py`.
