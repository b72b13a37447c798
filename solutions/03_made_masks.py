# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 03 · MADE: one network, one pass, all conditionals
#
# **The question**: how can one network, in one pass, give all $D$ conditionals without looking at the answer?
#
# NADE (lesson 02) shares one hidden layer among all conditionals, and pays with a loop: $D$ small steps, one
# after another. An ordinary network has no such loop. An **autoencoder** reads an image and returns $D$
# numbers in a few large matrix products, with as many layers as you like. But it is *not a density*: shown an
# image, it can copy it.
#
# MADE, the **masked autoencoder for distribution estimation** (Germain et al., 2015), turns it into a density
# by removing connections. If one connection too many stays, a pixel sees itself and the reported likelihood
# is wrong. If one too many goes, a pixel cannot depend on something that it may depend on, and no error
# message tells you.
#
# **After the core path you can**
#
# * build masks for any depth and any ordering, and prove from masks alone what each output can depend on;
# * write a masked layer that is right under training;
# * write a whole MADE, train it, and compare it with the exact entropy;
# * say what MADE cannot do.
#
# **Builds on**: lessons 01 and 02 (chain rule, orderings, NLL, NADE). No exercise needs your answers from
# there. Numbers in the text are for `COURSE_BUDGET=cpu`, the default; a laptop needs about three minutes.
#
# | symbol | meaning |
# | --- | --- |
# | $x_1, \dots, x_D$ | the pixels of an image, 0 or 1; $x_{<i}$: those that come before $x_i$ in the ordering |
# | $q(x)$ | the probability that the model gives to an image; $q(x_i \mid x_{<i})$: a conditional |
# | $i$, $j$ | a dimension as an output, a dimension as an input |
# | $k$ | a position in the ordering, counted from 0: `order[k]` is the dimension there |
# | $L$ | number of hidden layers; layer 0 is the input, layer $L + 1$ the output |
# | $H_l$ | number of units in layer $l$; $H_0 = H_{L+1} = D$; only $H$ where there is one hidden layer |
# | $u$, $v$ | a unit, and a unit of the layer below it |
# | $h^l$ ($H_l$) | the values of the units in layer $l$; $h^0 = x$ |
# | $z$ ($D$), $\hat x$ ($D$) | the outputs: MADE's logits; an autoencoder's numbers in $(0, 1)$ |
# | $W^l$ ($H_l \times H_{l-1}$), $b^l$ ($H_l$) | weights and biases of hidden layer $l$ |
# | $V$ ($D \times H_L$), $c$ ($D$) | weights and biases of the output; $W^{L+1}$ is another name of $V$ |
# | $M^l$ | the mask of $W^l$: zeros and ones, of the same shape |
# | $m^l_u$, $m$ | the degree of unit $u$ in layer $l$, a whole number; any degree |
# | $P^l$ ($H_l \times D$), $P$ ($D \times D$) | numbers of paths from each input to each unit of layer $l$; to each output |
# | $S(u)$ | the set of inputs with a path to unit $u$ |
# | $\mathcal L$ | a loss |
# | $E$, $q_e$; $R$, $M^R$ | in *Going further*: number of masks that one network is trained under, and its distribution under the $e$-th; weights from inputs to outputs, and their mask |
# | $A \odot B$ | product entry by entry; without a sign, the product of matrices |
# | $\sigma(a)$, $\operatorname{relu}(a)$ | $1/(1 + e^{-a})$; $\max(a, 0)$ |
#
# The letters are the paper's: $b$ for *hidden* biases, $c$ for *output* biases. NADE's papers, and lesson 02,
# have it the other way round.

# %% setup=true
import math

import numpy as np
import torch

# %% tags=["demo"] folded="imports, and two data sets: digits (8 × 8, binary) and the toy distribution of 4 × 4 images"
import copy
import functools
import time

import matplotlib.pyplot as plt

from autograder.checks import made_masks as checks
from course_lib import budget, data, explore, metrics, plots
from course_lib.clinic import made_clinic, train_on_world
from course_lib.dependencies import dependencies
from course_lib.distributions import bernoulli_log_prob
from course_lib.figures import made_masks as figures
from course_lib.models import FVBN, MADE, NADE, MADEEnsemble, orderings
from course_lib.notebook import guess, outcome, waits_for
from course_lib.training import fit

torch.set_num_threads(1)  # the models are so small that more threads would wait for one another
digits = data.digits("binary").flatten()
train, test = digits.train.x, digits.test.x
world = data.tiny_world()
p_world = world.log_p.exp()


def world_log_q(model):
    """log q(x) in nats of each of the 65,536 images of the toy distribution."""
    return metrics.log_probs(model, world.states)


def gap(log_q):
    """KL(toy distribution || model) in nats, exactly."""
    return float(p_world @ (world.log_p - log_q))


print(f"{digits.name}: {len(train)} to train on, {len(digits.valid)} to validate, {len(test)} to test")
print(f"the toy distribution: 4 × 4 images, entropy {world.entropy:.3f} nats")

# %% [markdown]
# ## 1 · What an autoencoder knows
#
# An autoencoder with one hidden layer computes
#
# $$h = \operatorname{relu}(b + W x), \qquad \hat x = \sigma(c + V h),$$
#
# and is trained so that $\hat x$ is like $x$: it minimises the cross-entropy
# $-\sum_i \big[ x_i \log \hat x_i + (1 - x_i) \log (1 - \hat x_i) \big]$. This looks exactly like an NLL, a
# sum of log-probabilities of the pixels. If each $\hat x_i$ were $q(x_i = 1 \mid x_{<i})$, it would be one.
# But $\hat x_i$ is computed from all of $x$, including $x_i$.
#
# We train two autoencoders on the toy distribution, one with 64 hidden units and one with a *bottleneck* of
# 5, and add up $\exp(-\text{cost})$ over all 65,536 images. A **normalised** distribution gives 1.

# %% tags=["demo"]
guess("sum over all images, 64 hidden units", ...)
guess("sum over all images, bottleneck of 5", ...)

# %% tags=["train"] folded="defines and trains the two autoencoders, and prints their costs and sums"
class Autoencoder(torch.nn.Module):
    """One hidden layer, nothing masked. Its `log_prob` is the cost that it is trained with, with the sign changed."""

    event_shape, levels = (16,), 2

    def __init__(self, hidden):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(16, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 16))

    def forward(self, x):
        return self.layers(x.to(self.layers[0].weight.dtype))

    def log_prob(self, x):
        return bernoulli_log_prob(self(x), x).sum(1)


copies = {}
for hidden, name in [(64, "64 hidden units"), (5, "bottleneck of 5")]:
    torch.manual_seed(0)
    copies[hidden] = train_on_world(Autoencoder(hidden))
    log_q = world_log_q(copies[hidden])
    print(f"{name}: mean cost {-float(p_world @ log_q):.3f} nats (no model can be below the entropy, {world.entropy:.3f})")
    outcome(f"sum over all images, {name}", float(log_q.exp().sum()))

# %% [markdown]
# The wide autoencoder has learnt to copy: it is nearly certain of *any* image. The bottleneck cannot copy
# everything, but its sum is not 1 either, and its cost is not a code length: a decoder would need $x$ to
# compute $\hat x$. Nor can either be sampled: "draw $x_1$, then $x_2$ given $x_1$, ..." needs $\hat x_2$
# before there is an $x_2$.
#
# All three failures have one cause: every output depends on every input. The chain rule allows output $i$ to
# depend on input $j$ only if $j$ comes *before* $i$. Everything earlier is allowed: so that nothing is
# lost, output $i$ should be able to depend on *every* earlier input.
#
# ## 2 · Degrees decide who may read whom
#
# Multiply each weight matrix, entry by entry, by a **mask** of zeros and ones:
#
# $$h^0 = x, \qquad h^l = \operatorname{relu}\big(b^l + (M^l \odot W^l)\, h^{l-1}\big) \quad (l = 1, \dots, L), \qquad z = c + (M^{L+1} \odot V)\, h^L ,$$
#
# with logits $z_i$ of $q(x_i = 1 \mid x_{<i})$. A zero in $M^l_{uv}$ removes the connection from unit $v$ of
# layer $l - 1$ to unit $u$ of layer $l$. Which masks? Give every unit a **degree**, which says how much of
# the past it may know: *a hidden unit of degree $m$ may depend on the first $m$ inputs of the ordering, and
# on no others.*
#
# * The **input** that comes first in the ordering has degree 1, the last one $D$. As `order[k]` counts from
#   0, the input `order[k]` has degree $k + 1$.
# * A **hidden unit** has a degree from $1$ to $D - 1$. A unit of degree 0 could depend on nothing; one of
#   degree $D$ could be used by no output.
# * The **output** for a dimension has the same degree as its input.
#
# A hidden unit may read every unit below whose degree is at most its own. An output must read strictly less than its own
# degree (equations 12 and 13 of the paper):
#
# $$M^l_{uv} = \begin{cases} 1 & \text{if } m^l_u \ge m^{l-1}_v \\ 0 & \text{otherwise} \end{cases} \quad (l \le L), \qquad\qquad M^{L+1}_{iv} = \begin{cases} 1 & \text{if } m^0_i > m^L_v \\ 0 & \text{otherwise.} \end{cases}$$
#
# Below is a small network in the ordering $x_3, x_1, x_4, x_2$; each circle shows its unit's degree. Follow
# the highlighted lines from the output for $x_1$ down to the inputs.

# %% tags=["demo"]
small = MADE(4, [6, 5], order=[2, 0, 3, 1])
plots.show(figures.autoencoder_and_made(small, output=0))
plots.show(figures.masks_and_degrees(small))

# %% [markdown]
# The output for $x_1$ has degree 2. It reads units of degree 1, and those read the input of degree 1, which
# is $x_3$. Nothing reaches the output for $x_3$, the first: its logit is its bias $c_3$.
#
# ### Exercise 1 · `masks`
#
# Write the two comparisons, $\ge$ below and $>$ at the top. Before you do, say for each what would happen if
# it were the other one.


# %% exercise="masks"
def masks(degrees):
    """The masks of a MADE.

    Args:
        degrees: list of L + 1 >= 2 int64 tensors: the inputs' degrees (D,), a permutation of 1..D; then those of each
            hidden layer, (width_l,), any in 1..D-1: some may be missing.

    Returns:
        List of L + 1 int64 tensors of zeros and ones, each with the shape of its weight, (units above, units below).
        Hidden layer l, (width_l, width_{l-1}) with width_0 = D: 1 where the degree of the unit above is at least that
        of the unit below. Output, (D, width_L): 1 where the degree of the output, which is that of its input, is
        higher than that of the unit below.
    """
    ### BEGIN SOLUTION
    hidden = [(above[:, None] >= below).long() for below, above in zip(degrees[:-1], degrees[1:], strict=True)]
    return [*hidden, (degrees[0][:, None] > degrees[-1]).long()]
    ### END SOLUTION


# %% check="masks"

# %% [markdown]
# ## 3 · Paths: nothing leaks, and what is needed so that nothing is lost
#
# A **path** from input $j$ to a unit of layer $l$ is a choice of one unit in each layer between such that all $l$
# connections on the way are there; a path to output $i$ has $L + 1$ of them.
#
# **Counting.** For two masks, $(M^2 M^1)_{ij} = \sum_v M^2_{iv} M^1_{vj}$. Each term is 1 if both connections
# through unit $v$ are there and 0 otherwise, so the sum counts the paths. (Superscripts are layers, not powers.) $P^1 = M^1$ counts the paths to
# the first hidden layer. If $P^{l-1}_{vj}$ counts the paths
# from input $j$ to unit $v$ of layer $l - 1$, then $\sum_v M^l_{uv} P^{l-1}_{vj}$ counts those to unit $u$ of
# layer $l$, since each path has exactly one last-but-one unit. By induction, with $P = P^{L+1}$,
#
# $$P = M^{L+1} M^L \cdots M^1, \qquad P_{ij} = \text{number of paths from input } j \text{ to output } i .$$
#
# **Claim 1: if $P_{ij} = 0$, output $i$ does not depend on $x_j$**, whatever the weights, the biases and the
# activation function. *Proof.* Let $S(u)$ be the set of inputs with a path to unit $u$. We show that the
# value of $u$ is a function of the inputs in $S(u)$. For an input, $S(u) = \{u\}$; a unit that reads nothing has $S(u) = \varnothing$ and is a constant. Any other unit $u$ of layer $l$ is
# a function of the units that it reads. Each of those, by induction, is a function of its own set, which is a
# part of $S(u)$, because a path to a unit that $u$ reads continues to $u$. So if $j \notin S(i)$, $x_j$
# enters nowhere. $\square$
#
# **Claim 2: if $P_{ij} > 0$, there are weights with which output $i$ depends on $x_j$.** *Proof.* Take a
# path, set its weights to 1, all other weights and all biases to 0. Then
# $z_i = \operatorname{relu}(\dots \operatorname{relu}(x_j)) = x_j$, as $x_j$ is 0 or 1. $\square$
#
# So the zeros of *one product of matrices* say exactly what a masked network can and cannot depend on.
#
# **With masks from degrees, nothing leaks.** On any path from input $j$ to output $i$, through units of
# degrees $m^1, \dots, m^L$, each hidden connection requires at least as high a degree, the last one a higher
# one:
#
# $$m^0_j \le m^1 \le m^2 \le \dots \le m^L < m^0_i .$$
#
# So $m^0_j < m^0_i$: input $j$ comes before $i$. From all other inputs there is no path, and by claim 1 no
# dependence. This holds for *any* degrees of the hidden units. $\square$
#
# **Is anything lost?** Consider neighbours in the ordering: $j$ with degree $m$, and $i$ with degree $m + 1$.
# A path must satisfy $m \le m^1 \le \dots \le m^L < m + 1$, so *every* unit on it has degree exactly $m$. If
# some hidden layer has no unit of degree $m$, then $i$ cannot depend on its immediate predecessor. Therefore:
#
# > All allowed dependencies are there **if and only if every hidden layer has at least one unit of each degree
# > $1, \dots, D - 1$**.
#
# *If:* for $j$ of degree $m$ and any $i$ of higher degree, take a unit of degree $m$ in every layer:
# $m \le m \le \dots \le m < m^0_i$ is a path. *Only if:* by the sentence before, applied to each
# $m = 1, \dots, D - 1$ in turn. $\square$ In particular **no layer may
# be narrower than $D - 1$**. With a bottleneck it is still a distribution, but some dependencies are gone.
#
# ### Exercise 2 · `paths`
#
# Write the instrument that judges masks, yours and those of others. Mind the size of the numbers: through
# four layers of 500 units there are up to $500^4 = 6.25 \times 10^{10}$ paths, more than a 32-bit integer
# holds, and more than float32 counts exactly (up to $2^{24}$).


# %% exercise="paths"
def paths(masks):
    """Number of paths from each input to each output.

    Args:
        masks: list of at least one int64 tensor of zeros and ones, from the input upwards, each (units above, units
            below); the first has D columns and the last D rows.

    Returns:
        (D, D) int64: entry [i, j] is the number of paths from input j to output i, exact below 2^53.
    """
    ### BEGIN SOLUTION
    count = masks[0]
    for mask in masks[1:]:
        count = mask @ count
    return count
    ### END SOLUTION


# %% check="paths"

# %% [markdown]
# Put both functions to work on the small network. The gradients of the library's network are independent
# evidence. (`open_paths` is a copy of it whose weights are positive, so that no two paths cancel and no ReLU is off.) First count in the figure above, by hand.

# %% tags=["demo"]
guess("paths from x_3 to the output for x_1", ...)

# %% tags=["demo"]
with waits_for("masks", "paths"):
    counts = torch.as_tensor(paths(masks(small.degrees())))
    print("paths from input j (column) to output i (row):", counts, sep="\n")
    print("the same zeros as the gradients:", bool(((counts > 0) == dependencies(explore.open_paths(small))).all()))
    outcome("paths from x_3 to the output for x_1", int(counts[0, 2]))

# %% [markdown]
# **Explore.** Choose an output, an ordering and the size of the hidden layers. Make the layers narrower than
# $D - 1 = 4$: which pairs lose contact first?

# %% tags=["demo"]
explore.made_explorer(D=5)

# %% [markdown]
# Now six ways to mask 16 dimensions in a random ordering, **with two hidden layers**; a filled square means that
# there is a path. One is right. The others are: `>` in both hidden layers; `≥` at the output; the inverse of the
# ordering; a first layer of only 8 units, of degrees 1 to 8; and degrees drawn at random. Which map is which?

# %% tags=["demo"]
plots.show(figures.six_maps())
for letter in "BDE":
    guess(f"map {letter}", ..., choices=sorted(figures.SIX_MAPS.values()))

# %% tags=["demo"]
for letter, name in figures.SIX_MAPS.items():
    outcome(f"map {letter}", name)

# %% [markdown]
# * **`>` in the hidden layers**: every hidden layer costs one step, so after two of them each pixel has lost the
#   two pixels just before it, the most informative ones. Nothing leaks, the distribution is normalised, and
#   no test for leaks complains.
# * **`≥` at the output**: every pixel but the last sees itself. This is the autoencoder again.
# * **The inverse permutation**: with `order + 1` for the inputs' degrees in place of `order.argsort() + 1` you
#   have a valid MADE, but for another ordering. The likelihood is fine; a sampler that visits the pixels in your ordering is not.
# * **8 units, degrees from 1 upwards**: the inputs of degrees 9 to 15 are lost for every output.
# * **At random**: where a layer lacks a degree, some pairs lose contact.
#
# So masks need two tests: **no path that must not be there, and every path that should be**.
#
# ### On paper
#
# Take $D = 3$ in the ordering $x_2, x_3, x_1$ and one hidden layer with degrees $1, 1, 2$. Write down the
# degrees of the inputs, both masks and $P$. Which column of $M^1$ and which row of $M^2$ are zero for any hidden
# degrees? And this: the slides of a well-known lecture (A. Courville, with H. Larochelle and V. Dumoulin,
# "Autoregressive Generative Models", Montréal Institute for Learning Algorithms) print NADE's hidden layer for the
# $d$-th conditional as $\sigma(W_{\cdot, o_d}\, x_{o_d} + c)$, where $o_d$ is the $d$-th dimension of the
# ordering. Read it as a row of $P$: which inputs does this conditional depend on, and which should it?
#
# <details>
# <summary><b>Solution</b> (open it when you have written down yours)</summary>
#
# Inputs: $x_1$ has degree 3, $x_2$ has 1, $x_3$ has 2.
# $M^1 = \begin{pmatrix} 0 & 1 & 0 \\ 0 & 1 & 0 \\ 0 & 1 & 1 \end{pmatrix}$,
# $M^2 = \begin{pmatrix} 1 & 1 & 1 \\ 0 & 0 & 0 \\ 1 & 1 & 0 \end{pmatrix}$,
# $P = M^2 M^1 = \begin{pmatrix} 0 & 3 & 1 \\ 0 & 0 & 0 \\ 0 & 2 & 0 \end{pmatrix}$.
# Always zero: the column of $M^1$ for the last input of the ordering, and the row of $M^2$ for the first output. The slip: the conditional depends on $x_{o_d}$ alone, the one input that it must *not* see, and on
# nothing else. It should depend on $o_1, \dots, o_{d-1}$: $\sigma(\sum_{t<d} W_{\cdot, o_t} x_{o_t} + c)$.
# </details>
#
# ## 4 · A masked layer that survives training
#
# A masked layer computes $(M \odot W)\,x + b$. You can apply the mask *functionally*: keep $W$ as it is and
# multiply whenever the layer is used. Or *in place*: write the zeros into the parameter,
# `layer.weight.data *= mask`, before an ordinary layer runs. The second is common, and differs in three ways.
#
# * **Gradients.** With $\tilde W_{ij} = M_{ij} W_{ij}$ the chain rule gives, for the loss $\mathcal L$,
#   $\partial \mathcal L / \partial W_{ij} = M_{ij}\, \partial \mathcal L / \partial \tilde W_{ij}$: exactly zero for masked weights. In place,
#   autograd does not know of the mask. Masked entries get gradients as if they were in use, which count in
#   the norm used for clipping, and move the weights until they are overwritten again.
# * **Several masks.** If one network is trained under changing masks, each call erases what the others have
#   learnt.
# * **Evaluation.** `model(x)` modifies the parameters even in evaluation mode.
#
# ### Exercise 3 · `MaskedLinear`
#
# Write it functionally. `weight` and `bias` are the only parameters, which an optimizer will find. The mask
# must *not* be one, but it should move with the layer to a GPU and be saved with it: a *buffer*,
# `self.register_buffer("mask", mask)`.


# %% exercise="MaskedLinear"
class MaskedLinear(torch.nn.Module):
    """A linear layer in which output i reads input j only where mask[i, j] is 1.

    Args of `__init__`:
        weight: (out, in) float64, its initial value. A number where the mask is 0, up to 1e30 in size, has no effect,
            and `forward` leaves it there.
        bias: (out,) float64, its initial value.
        mask: (out, in), zeros and ones, float64 or int64.

    Parameters: `weight` and `bias`, no others; they may hold the given tensors or copies of them. Buffer: `mask`, zeros
    and ones of any dtype, saved in the state dict.

    forward(x): x (B, in) float64, B >= 1 -> (B, out) float64: x (mask * weight)^T + bias, with what `weight`, `bias` and
    `mask` hold at the time of the call: new values may be written into `weight` and `bias`, and another mask, of the
    dtype that the buffer has, may be assigned to `mask`. It changes no parameter. Gradients reach weight, bias and x;
    that of a masked weight is exactly 0. All this in training and in evaluation (`eval()`) alike.
    """

    def __init__(self, weight, bias, mask):
        super().__init__()
        ### BEGIN SOLUTION
        self.weight = torch.nn.Parameter(weight.clone())
        self.bias = torch.nn.Parameter(bias.clone())
        self.register_buffer("mask", mask)
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        return torch.nn.functional.linear(x, self.mask * self.weight, self.bias)
        ### END SOLUTION


# %% check="MaskedLinear"

# %% [markdown]
# ## 5 · The likelihood, in one pass
#
# With the right masks, $z_i$ depends on $x_{<i}$ only, so we may *declare*
# $q(x_i = 1 \mid x_{<i}) = \sigma(z_i)$. By lesson 01 the product of these conditionals sums to one over all
# images: the sum over the last pixel of the ordering gives 1, then that over the last but one, and so on. One forward pass gives all $D$ logits, and
#
# $$\log q(x) = \sum_{i=1}^{D} \big[ x_i \log \sigma(z_i) + (1 - x_i) \log \sigma(-z_i) \big],$$
#
# because $1 - \sigma(z) = \sigma(-z)$. This is the autoencoder's cross-entropy, with the sign changed. With
# masks it is a log-likelihood; the training stays the same.
#
# ### Exercise 4 · `made_log_prob`
#
# Write the whole computation as a function: any depth, ReLU between the layers and none at the end. The masks
# are given. A weight under a mask's zero may be as large as 1e30.


# %% exercise="made_log_prob"
def made_log_prob(x, weights, biases, masks):
    """Log-likelihood of a MADE with ReLU units, in one pass.

    Args:
        x: (B, D) int64, zeros and ones.
        weights: list of L + 1 >= 2 float64 tensors, from the input upwards, each (units above, units below); the last
            has D rows. Entries where the mask is 0 have no effect, whatever number up to 1e30 in size they hold.
        biases: list of L + 1 float64 tensors, (units above,).
        masks: list of L + 1 int64 tensors of zeros and ones, shaped like the weights.

    Returns:
        (B,) float64, log q(x) in nats of each image, whatever else is in the batch: the sum over i of
        log q(x_i | what comes before), where q(x_i = 1 | ...) is the logistic function of the i-th output. Finite and
        exact for outputs of any size up to 1000, and for any D.
    """
    ### BEGIN SOLUTION
    h = x.double()
    for n, (weight, bias, mask) in enumerate(zip(weights, biases, masks, strict=True)):
        h = torch.nn.functional.linear(h.relu() if n else h, torch.where(mask == 1, weight, 0.0), bias)
    return torch.nn.functional.logsigmoid((2 * x - 1) * h).sum(1)
    ### END SOLUTION


# %% check="made_log_prob"

# %% [markdown]
# ## 6 · Your own MADE
#
# Assemble the pieces into a model. The masks and the ordering are given, and your earlier answers are not
# needed. Sampling is new: to draw $x_i$ you need $z_i$, which needs the pixels before it. So begin with
# zeros, and visit the dimensions in their order: compute all logits, use the one of the present dimension,
# write the drawn pixel into $x$, and continue. The other logits of each pass are wasted; those of pixels not
# drawn yet are meaningless, since the zeros only fill the place. The masks guarantee that the logit that you
# use does not depend on them.
#
# ### Exercise 5 · `OwnMADE`


# %% exercise="OwnMADE"
class OwnMADE(torch.nn.Module):
    """A MADE with ReLU units, with given masks.

    Args of `__init__`:
        masks: list of L + 1 >= 2 int64 tensors of zeros and ones, from the input upwards, each (units above, units
            below), made from degrees as in section 2.
        order: (D,) int64, a permutation: order[k] is the dimension that comes k-th.

    Attribute: `layers`, a `torch.nn.ModuleList` of L + 1 modules, such as `torch.nn.Linear(units below, units above)`:
    `layers[n].weight` is shaped like masks[n], `layers[n].bias` has one entry for each unit above, both of one
    floating-point dtype, float32 or float64. These are all parameters. Each call uses what they hold; none changes them.

    logits(x): x (B, D) int64, zeros and ones -> (B, D), of the parameters' dtype: the logits of
    q(x_d = 1 | the dimensions before d), from masks[n] * layers[n].weight and layers[n].bias, with ReLU between the
    layers and none at the end.

    log_prob(x): the same x -> (B,), of the parameters' dtype: log q(x) in nats, through which gradients reach all
    parameters; those of masked weights are 0.

    sample(u): u (B, D) float64, uniform in [0, 1) -> (B, D) int64, zeros and ones. The dimensions are visited in
    order; x[:, d] = 1 where u[:, d] is less than q(x_d = 1 | what was drawn before), else 0.
    """

    def __init__(self, masks, order):
        super().__init__()
        ### BEGIN SOLUTION
        self.masks, self.order = masks, order
        self.layers = torch.nn.ModuleList(torch.nn.Linear(mask.shape[1], mask.shape[0]) for mask in masks)
        ### END SOLUTION

    def logits(self, x):
        ### BEGIN SOLUTION
        h = x.to(self.layers[0].weight.dtype)
        for n, (layer, mask) in enumerate(zip(self.layers, self.masks, strict=True)):
            h = torch.nn.functional.linear(h.relu() if n else h, mask * layer.weight, layer.bias)
        return h
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


# %% check="OwnMADE"

# %% [markdown]
# **The training loop** is yours as well. For each of `steps` steps: draw 200 images at random, compute their
# mean NLL, and let Adam take a step (learning rate 0.01).


# %% loop="train_own_made"
def train_own_made(model, images, steps):
    """Train a model with `log_prob` on images (n, D), in place. Returns the list of losses, one per step, in nats."""
    ### BEGIN SOLUTION
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=0.01), []
    for _ in range(steps):
        loss = -model.log_prob(images[torch.randint(len(images), (200,))]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
    ### END SOLUTION


# %% [markdown]
# Train it on the toy distribution, with one hidden layer of 64 units: its entropy is known, so we see the KL
# divergence without error bars. The FVBN of lesson 01 misses the distribution by 1.5 nats. A right MADE with a
# right loop stays below 0.7 at the default budget; if yours does not, look at the loop first.

# %% tags=["train"]
torch.manual_seed(0)
images = world.sample(100_000, generator=torch.Generator().manual_seed(0))
degrees64 = MADE(16, [64]).degrees()
masks64 = [degrees64[1][:, None] >= degrees64[0], degrees64[0][:, None] > degrees64[1]]
with waits_for("OwnMADE", "train_own_made"):
    own = OwnMADE([mask.long() for mask in masks64], torch.arange(16))
    losses = train_own_made(own, images, steps=budget(smoke=20, cpu=1000, gpu=5000))
    log_q = world_log_q(own)
    print(f"KL from the toy distribution: {gap(log_q):.3f} nats (aim: below 0.7; the solution: 0.26), total mass {log_q.exp().sum():.6f}")
    drawn = torch.as_tensor(own.sample(torch.rand(24, 16)))
    fig, ax = plt.subplots(figsize=(9.5, 1.1))
    plots.image_grid(torch.cat([images[:24], drawn]), columns=24, row_names=["data", "yours"], ax=ax)
    plots.show(fig, alt="A row of 24 images of the toy distribution, and a row of samples of your model, which look alike.")

# %% [markdown]
# ## 7 · An honest comparison
#
# `course_lib.models.MADE` is the same model. On the digits in raster order we train it with one hidden layer
# of 500 units, next to lesson 02's NADE with 200 and lesson 01's FVBN, each with
# settings that suit it (the folded cell has them; only MADE and NADE have weight decay).

# %% tags=["demo"]
guess("which has the lowest test NLL", ..., choices=["FVBN", "NADE, 200 units", "MADE, 500 units"])

# %% tags=["train"] folded="trains the three models, and draws MADE's training curve"
epochs = budget(smoke=4, cpu=60, gpu=100)
decay = functools.partial(torch.optim.AdamW, weight_decay=0.1)
torch.manual_seed(0)
made = MADE(64, [500])
history = fit(made, digits, epochs=epochs, batch_size=100, lr=3e-3, optimizer=decay, progress=False)
fvbn = FVBN(64)
fit(fvbn, digits, epochs=epochs, batch_size=64, lr=1e-2, progress=False)
torch.manual_seed(0)
nade = NADE(64, 200)
fit(nade, digits, epochs=epochs, batch_size=200, lr=4e-2, optimizer=decay, progress=False)
three = {"FVBN": fvbn, "NADE, 200 units": nade, "MADE, 500 units": made}
fig = plots.training_curve(
    history,
    references={name: metrics.nll(three[name], digits.valid.x).mean for name in ("FVBN", "NADE, 200 units")},
    title="MADE, 500 units, on the digits",
)
plots.show(
    fig,
    alt="Training and validation NLL of MADE against epochs; both fall below the FVBN's line, and the validation curve "
    "ends near NADE's.",
)

# %% tags=["demo"]
for name, model in three.items():
    print(f"{name:16} test {metrics.nll(model, test)} nats; minus MADE, image by image: {metrics.nll_difference(model, made, test)}")
outcome("which has the lowest test NLL", min(three, key=lambda name: metrics.nll(three[name], test).mean))

# %% [markdown]
# MADE is about a nat better than the FVBN, but with 500 units it is not better than NADE with 200. A likely
# reason is in the masks. NADE recomputes its hidden layer for each conditional, so all its 200 units know the
# whole past of every pixel. MADE computes each unit once, for all conditionals: only about $H/(D - 1)$, here 8
# of 500, know the whole past of a given pixel. On
# fixed binarized MNIST the order is reversed, with more data and a larger network: MADE with 2 hidden layers
# and 32 masks has 86.64 nats, NADE 88.33 (Table 4 of van den Oord, Kalchbrenner and Kavukcuoglu, 2016, as
# reprinted in the lecture cited in section 3).
#
# ## 8 · The answer, and what MADE cannot do
#
# **How can one network, in one pass, give all $D$ conditionals without looking at the answer?** Remove
# connections, so that the only paths to an output begin at inputs that come before it. Degrees give such
# masks for any depth and ordering; a product of masks proves that nothing leaks, and that nothing is lost if
# every layer has every degree. Then the autoencoder's cost is a negative log-likelihood.
#
# What remains:
#
# * **Sampling is sequential**: $D$ passes, one per pixel.
# * **Width is expensive.** A colour photograph of 256 × 256 pixels has $D = 196{,}608$; a layer of $D - 1$
#   units there has $4 \times 10^{10}$ weights.
# * **MADE does not know that an image is an image.** Shuffle the pixels of all images alike, and it cannot
#   tell the difference. What it learns about a stroke in one corner, it must learn again in the next.
#
# The last two have the same remedy: let every pixel depend on a *small neighbourhood*, with the *same
# weights* everywhere. That is a masked convolution: PixelCNN, lesson 04.
#
# **Today.** The decoder of a transformer trains all conditionals of a text in one pass with a **causal
# mask**: position $i$ attends only to positions before the one that it predicts (Vaswani et al., 2017, section
# 3.2.3). This is the comparison of degrees, applied to attention instead of weights. XLNet (Yang et al., 2019)
# trains one transformer under many orderings by changing that mask, as MADE does with its own. And masked
# layers are the core of autoregressive flows (Papamakarios et al., 2017).

# %% [markdown]
# ## Going further
#
# Each section below is complete in itself. Choose what interests you.
#
# ### Hand out the degrees
#
# Where all layers are wide, you know what is needed: all of $1, \dots, D - 1$ in each. Where a layer is
# narrower than $D - 1$ you must leave some out, and *which* matters. Three rules keep the damage small; a wide
# layer *above a narrow one* must follow them too.
#
# * *No input is lost altogether.* Every input but the last in the ordering should reach at least the last
#   output. An input of degree $m$ can only enter a first-layer unit of degree $\ge m$, and so on upwards: so
#   every layer needs a unit of the *highest* degree, $D - 1$.
# * *No hidden unit is dead*, without a path from an input or without one to an output. A unit of degree $m$
#   needs, in the layer below, something of degree $\le m$ to read.
# * *No degree comes twice while another could be had.* If all units had degree $D - 1$, the first two rules
#   would hold, and every output but the last would depend on nothing. So layer $l$ has at least
#   $\min(H_l, r)$ different degrees, where $r$ is how many different ones the layer below has ($r = D - 1$ for
#   the first hidden layer). More than $r$ would not help: a unit whose degree lies between two of the layer
#   below knows what one of the lower degree knows, and serves fewer outputs.
#
# You may spread the degrees evenly or draw them at random (from `seed`, then). This is the longest contract of
# the lesson; read it twice.
#
# #### Exercise 6 · `degrees`


# %% exercise="degrees"
def degrees(D, widths, order, seed):
    """Degrees of the inputs and hidden units of a MADE.

    Args:
        D: number of dimensions, at least 2.
        widths: list of L >= 1 numbers of hidden units, each at least 1, from the input upwards.
        order: (D,) int64, a permutation: order[k] is the dimension that comes k-th (k = 0..D-1).
        seed: int, 0 or more, for those who draw degrees at random: the same seed gives the same degrees, in every
            call.

    Returns:
        List of L + 1 int64 tensors: the inputs' degrees (D,), where the input that comes k-th (k = 0..D-1) has degree
        k + 1; then for each hidden layer (width,), degrees in 1..D-1. With the masks of section 2, for any widths:
        (1) every input but the last in the ordering has a path to the last output; (2) every hidden unit has a path
        from an input and a path to an output; (3) each hidden layer has at least min(width, r) different degrees,
        where r is the number of different degrees in the layer below (D - 1 for the first hidden layer).
        Where every width is at least D - 1, every output is reached by all that comes before it.
    """
    ### BEGIN SOLUTION
    result = [order.argsort() + 1]
    available = torch.arange(1, D)
    for width in widths:
        # Evenly spread over what the layer below has, its highest degree always among them.
        n = len(available)
        result.append(available[n - 1 - torch.arange(width) * n // width])
        available = result[-1].unique()
    return result
    ### END SOLUTION


# %% check="degrees"

# %% [markdown]
# How much is lost in general? The table counts, for 64 dimensions: the share of the allowed pairs $(i, j)$
# that are connected; inputs (other than the last) that reach no output; and hidden units without a path in or
# out. *By chance, from the lowest* is the paper's recipe: it draws a layer's degrees uniformly from the lowest
# degree below up to $D - 1$.

# %% tags=["demo"] folded="counts what three recipes for degrees lose, for layers of several widths"
def from_the_lowest(D, widths, order, seed):
    rng = torch.Generator().manual_seed(seed)
    result, lowest = [order.argsort() + 1], 1
    for width in widths:
        result.append(torch.randint(lowest, D, (width,), generator=rng))
        lowest = int(result[-1].min())
    return result


def tensors(answer):
    """The arrays or lists of an answer as int64 tensors."""
    return [torch.as_tensor(item).long() for item in answer]


raster = torch.arange(64)
recipes = {
    "from 1 upwards, cyclic": lambda widths, seed: [raster + 1, *[torch.arange(w) % 63 + 1 for w in widths]],
    "by chance, from the lowest": lambda widths, seed: from_the_lowest(64, widths, raster, seed),
    "yours": lambda widths, seed: tensors(degrees(64, widths, raster, seed)),
}


def flaws(masks):
    """Share of the allowed pairs that are connected, number of lost inputs, number of dead hidden units."""
    into = [torch.eye(masks[0].shape[1])]  # into[l][u, j]: is there a path from input j to unit u of layer l?
    for mask in masks:
        into.append(((mask.float() @ into[-1]) > 0).float())
    out = [torch.eye(masks[-1].shape[0])]  # out[-1 - l][i, u]: is there a path from unit u to output i?
    for mask in reversed(masks):
        out.append(((out[-1] @ mask.float()) > 0).float())
    dead = sum(
        int(((here.sum(1) == 0) | (on.sum(0) == 0)).sum()) for here, on in zip(into[1:-1], out[::-1][1:-1], strict=True)
    )
    reached = into[-1]
    return float(reached.sum() / (64 * 63 / 2)), int((reached[:, :-1].sum(0) == 0).sum()), dead


with waits_for("degrees", "masks"):
    print(f"{'widths':12} {'recipe':28} {'pairs connected':>16} {'lost inputs':>12} {'dead units':>11}   (means of 10 seeds)")
    for widths in ([16], [16, 200], [64, 64], [200, 200], [500, 500]):
        for name, recipe in recipes.items():
            share, lost, dead = np.mean([flaws(tensors(masks(recipe(widths, seed)))) for seed in range(10)], axis=0)
            print(f"{str(widths):12} {name:28} {100 * share:15.1f}% {lost:12.1f} {dead:11.1f}")

# %% [markdown]
# Read the last rows first. Wide layers forgive nearly everything, which is why nobody notices. Left to
# chance, 64 units are not enough for 63 degrees, and even 200 are not *quite*. To give each degree to one
# unit before anything is left to chance costs nothing. In narrow layers, degrees spread over the whole range
# lose no input and about 95 % of the pairs stay connected (by chance about 91 %), where cyclic ones lose most. Some pairs *are* lost, by
# the theorem of section 3.
#
# ### Sampling, and the exact cache
#
# Your model's `sample` makes $D$ passes. Written as a function of its own it works for any autoregressive
# model that gives logits.
#
# #### Exercise 7 · `made_sample`
#
# Mind the ordering: `order[k]` is the dimension to draw in the $k$-th step, and its uniform number is
# `u[:, order[k]]`.


# %% exercise="made_sample"
def made_sample(logits, order, u):
    """Samples of a MADE, from supplied uniform numbers.

    Args:
        logits: function. logits(x), x (n, D) int64 of zeros and ones, returns (n, D) float64: the logits of
            P(x_d = 1 | dimensions before d in the ordering), any finite numbers. Call it at most D times.
        order: (D,) int64, a permutation: order[k] is the dimension that comes k-th.
        u: (n, D) float64, uniform in [0, 1).

    Returns:
        (n, D) int64, zeros and ones. The dimensions are visited in order; x[:, d] = 1 where u[:, d] is less than the
        logistic function of the d-th logit, given what was drawn before, and 0 where it is equal or greater.
    """
    ### BEGIN SOLUTION
    x = torch.zeros(u.shape, dtype=torch.int64)
    for d in order.tolist():
        probability = torch.as_tensor(logits(x))[:, d].sigmoid()
        x[:, d] = (u[:, d] < probability).long()
    return x
    ### END SOLUTION


# %% check="made_sample"

# %% [markdown]
# The trained MADE draws digits by your function; below each is the training digit that is nearest to it.

# %% tags=["demo"] folded="draws 200 digits by your function, and finds their nearest training digits"
def nearest(a, b):
    """For each image of a: in how many pixels it differs from its nearest image in b, and which one that is."""
    a, b = a.float(), b.float()
    return (a.sum(1, keepdim=True) + b.sum(1) - 2 * a @ b.T).min(1)


def logits64(x):
    """What your function is given."""
    return made64(torch.as_tensor(x)).detach()


made64 = copy.deepcopy(made).double()
u = torch.rand(200, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
with waits_for("made_sample"), torch.no_grad():
    samples = torch.as_tensor(made_sample(logits64, made64.order, u))
    off, neighbour = nearest(samples, train)
    rows = ["your samples", "nearest training digit", "test digits"]
    fig, ax = plt.subplots(figsize=(9.5, 2.7))
    plots.image_grid(torch.cat([samples[:14], train[neighbour[:14]], test[:14]]), columns=14, row_names=rows, ax=ax)
    plots.show(
        fig,
        alt="Fourteen samples of MADE, most of them readable digits; below each the nearest training digit, which "
        "differs in several pixels; below that test digits.",
    )
    print(f"pixels off the nearest training digit: samples {off.mean():.1f}, test digits {nearest(test, train).values.mean():.1f}")

# %% [markdown]
# **The cache.** $D$ passes of $2DH$ multiplications each are $2D^2H$, and nearly all of it computes again what
# has not changed. A hidden unit of degree $m$ reads the first $m$ inputs. Before the $m$-th pixel is drawn it
# cannot be computed; afterwards it has its final value. So **every unit needs to be computed exactly once**:
# those of degree $m$ right after the $m$-th pixel was drawn.
#
# Renumber the inputs by the ordering, and the units by their degrees. The masks become staircases, and "what a
# unit reads" becomes "the first so many units of the layer below": contiguous slices, without masks. In the
# end each weight was used once, $2DH$ multiplications for a whole sample. The same holds for any number of
# layers, because a unit of degree $m$ reads units of degree at most $m$, which are ready.

# %% tags=["demo"]
plots.show(figures.staircases(MADE(16, [40], order=orderings.random(16, seed=0), connectivity="random")))

# %% tags=["demo"]
@torch.no_grad()
def cached_sample(model, u):
    """Samples of a MADE with one hidden layer. Every unit is computed once, when its last input is known."""
    units, by_degree = model.degrees()[1].sort()
    W, b = model.hidden[0].weight[by_degree][:, model.order], model.hidden[0].bias[by_degree]
    V, c = model.output.weight[:, by_degree], model.output.bias
    x, h, done = torch.zeros_like(u), torch.zeros(len(u), len(units), dtype=u.dtype), 0
    for k, d in enumerate(model.order.tolist()):
        logit = c[d] + h[:, :done] @ V[d, :done]  # all units of degree up to k: the output has degree k + 1
        x[:, k] = (u[:, d] < logit.sigmoid()).double()
        ready = int((units <= k + 1).sum())
        h[:, done:ready] = torch.relu(b[done:ready] + x[:, : k + 1] @ W[done:ready, : k + 1].T)
        done = ready
    return x[:, model.order.argsort()].long()

# %% tags=["demo"] folded="compares the two samplers, and measures their times"
def seconds(function, repetitions=3):
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


cached = cached_sample(made64, u)
with waits_for("made_sample"):
    print("the same samples, bit by bit:", bool(cached.equal(torch.as_tensor(made_sample(logits64, made64.order, u)))))
large = MADE(784, [500]).eval()
for name, model, n in [("64-500-64", made, 200), ("784-500-784", large, 16)]:
    draws = torch.rand(n, model.order.numel(), dtype=torch.float64)
    plain, fast = (seconds(lambda c=c, model=model, draws=draws: model.sample(len(draws), uniforms=draws, cached=c), 1 + c) for c in (False, True))
    print(f"{name:12} {n} samples: {1000 * plain:7.1f} ms plain, {1000 * fast:6.1f} ms cached ({plain / fast:.0f} times as fast)")

# %% [markdown]
# The cache is not an approximation: the same uniform numbers give the same samples. (In float32, sums taken in
# another order may differ in the last digit, so a decision can flip if a uniform number falls within a
# rounding error of the probability.) It does not remove the loop, only the waste. Transformers do the same,
# under the name of *KV cache*.
#
# ### Why MADE needs width
#
# The output of degree $m$ reads units of degree less than $m$, so with evenly spread degrees
#
# $$\text{about } H\, \frac{m - 1}{D - 1} \text{ of the } H \text{ units serve the output of degree } m.$$
#
# The second conditional has $H/(D-1)$; the first none (and needs none). And the units that do serve a late
# conditional are not all well informed: one of degree 3 knows three pixels. Only about $H/(D-1)$ of them depend
# on *everything* that came before.
#
# #### Exercise 8 · `visible_units`
#
# Measure it, from the masks alone, for any depth: how many units of each hidden layer have a path to each
# output? (Whether an input reaches them does not matter here.)


# %% exercise="visible_units"
def visible_units(masks):
    """How many units of each hidden layer can serve each output.

    Args:
        masks: list of L + 1 >= 2 int64 tensors of any zeros and ones, from the input upwards, each (units above, units
            below); the first has D columns and the last D rows.

    Returns:
        (L, D) int64: entry [l, i] is the number of units of hidden layer l (l = 0 is the first) that have a path to
        output i, be it one path or 2^64, and whether or not an input reaches them.
    """
    ### BEGIN SOLUTION
    reaches = masks[-1] > 0  # (D, units of the layer): has the unit a path to the output?
    counts = [reaches.sum(1)]
    for mask in reversed(masks[1:-1]):
        reaches = (reaches[:, :, None] & (mask > 0)).any(1)
        counts.insert(0, reaches.sum(1))
    return torch.stack(counts)
    ### END SOLUTION


# %% check="visible_units"

# %% [markdown]
# On the toy distribution we see what the missing units cost, exactly. We train MADE and NADE with the same
# numbers of hidden units; and MADE with **direct connections** from inputs to outputs, a further term
# $(M^R \odot R)\,x$ in the logits, with a weight matrix $R$, $D \times D$, and the mask $M^R_{ij} = 1$ where
# $m^0_i > m^0_j$ (section 4 of the paper, which calls the matrix $A$, as `course_lib` does): in effect an FVBN
# plus hidden units. The FVBN's gap is 1.5 nats.

# %% tags=["demo"]
guess("KL of MADE with 8 hidden units", ...)

# %% tags=["train"] folded="trains MADE, MADE with direct connections, NADE and the FVBN, with 8 to 128 units"
tried = budget(smoke=[8, 32], cpu=[8, 16, 32, 64, 128], gpu=[8, 16, 32, 64, 128, 512])
race = {"MADE": {}, "MADE with direct connections": {}, "NADE": {}}
builders = [
    ("MADE", lambda units: MADE(16, [units]), tried),
    ("MADE with direct connections", lambda units: MADE(16, [units], direct=True), tried),
    ("NADE", lambda units: NADE(16, units), [units for units in tried if units in (8, 32, 128)]),
]
for name, build, of_units in builders:
    for units in of_units:
        torch.manual_seed(0)
        model = train_on_world(build(units), lr=2e-2 if name == "NADE" else 1e-2)
        race[name][units] = world_log_q(model)
fvbn_gap = gap(world_log_q(train_on_world(FVBN(16), lr=5e-2)))

# %% tags=["demo"]
gaps = {name: {units: gap(log_q) for units, log_q in of_units.items()} for name, of_units in race.items()}
for name, by_units in gaps.items():
    print(f"{name:30}", "  ".join(f"{units} units: {kl:.3f}" for units, kl in by_units.items()))
outcome("KL of MADE with 8 hidden units", gaps["MADE"][8])
with waits_for("visible_units"):
    counts = visible_units([mask.long() for mask in MADE(64, [500, 500]).masks()])
    plots.show(figures.units_in_reach(torch.as_tensor(counts).tolist(), gaps, fvbn_gap, 500))

# %% [markdown]
# With 8 units, less than $D - 1 = 15$, some degrees are missing: 7 of the 120 pairs of an output and an
# earlier input have no path, and MADE is worse than the FVBN (2.0 to 2.3 nats, seeds 0 to 2). But lost paths
# are not the whole reason. With 16 units all 120 pairs have a path, and this network could even be any FVBN:
# let the unit of degree $m$ hand on the $m$-th pixel, since $\operatorname{relu}(x_i) = x_i$. Yet after 1,000
# steps it is at 1.65, 1.38 and 1.26 nats (seeds 0 to 2), sometimes worse than the FVBN and never far ahead:
# training does not find, with so few units, what they could do. Direct connections bring the FVBN along (1.5
# with 8 units, 1.0 to 1.1 with 16), and matter less the wider the layer. NADE with 8 units is far ahead of
# MADE with 16. *Where* does MADE lose? The KL divergence is a sum over conditionals, and on the toy
# distribution each term can be computed.

# %% tags=["demo"]
def cost_by_position(log_q):
    """E[-log q(x_i | x_<i)] for i = 1..16 in raster order, in nats: from the masses of all prefixes."""
    q, p = log_q.exp(), p_world
    log_prefix = [q.view(2**i, -1).sum(1).log() for i in range(17)]
    weight = [p.view(2**i, -1).sum(1) for i in range(17)]
    joint = torch.stack([-(w * log).sum() for w, log in zip(weight, log_prefix, strict=True)])
    return joint[1:] - joint[:-1]


truth, units = cost_by_position(world.log_p), 32
plots.show(figures.excess_costs({f"{name}, {units} units": cost_by_position(race[name][units]) - truth for name in ("MADE", "NADE")}))

# %% [markdown]
# At the first positions there is little to compute, and few units do. At the last ones nearly all units can
# help. In between the past is already long, and half of the units cannot be used. The remedy is width.
#
# ### Masks that change: what masking in place destroys
#
# A layer of 500 units on 64 inputs, and eight masks (random orderings and degrees) that take turns. A weight
# survives a random mask with probability about one half.

# %% tags=["demo"]
guess("weights left after 8 masks in place, in percent", ...)

# %% tags=["demo"] folded="gives your layer, and one that masks in place, eight masks in turn"
class InPlace(torch.nn.Linear):
    """The shortcut."""

    def __init__(self, weight, bias, mask):
        super().__init__(weight.shape[1], weight.shape[0], dtype=weight.dtype)
        self.weight.data, self.bias.data, self.mask = weight.clone(), bias.clone(), mask

    def forward(self, x):
        self.weight.data *= self.mask
        return super().forward(x)


with waits_for("MaskedLinear"):
    ensemble8 = MADEEnsemble(64, [500], masks=8, seed=0)
    eight = [ensemble8.member(e).masks()[0].long() for e in range(8)]
    rng = torch.Generator().manual_seed(0)
    W, b = torch.randn(500, 64, generator=rng, dtype=torch.float64), torch.zeros(500, dtype=torch.float64)
    x, target = test[:100].double(), torch.randn(100, 500, generator=rng, dtype=torch.float64)
    alive, norms = {}, {}
    for kind, name in [(MaskedLinear, "functional"), (InPlace, "in place")]:
        layer, alive[name] = kind(W, b, eight[0]), [1.0]
        for call in range(12):
            layer.mask = eight[call % 8].to(layer.mask.dtype)
            layer(x)
            alive[name].append(float((layer.weight == W).double().mean()))
        fixed = kind(W, b, eight[0])
        ((fixed(x) - target) ** 2).mean().backward()
        norms[name] = float(fixed.weight.grad.norm())
    outcome("weights left after 8 masks in place, in percent", 100 * alive["in place"][8])
    plots.show(figures.masks_in_place(alive, norms))

# %% [markdown]
# The masked entries get a gradient in place although they are not in use, and after eight masks hardly
# anything of the layer is left. With a *single*, fixed mask the shortcut computes the right function, which is
# how it survives.
#
# ### Many masks: ensembles that are distributions, and one that is not
#
# Orderings and degrees are arbitrary choices. So train *one* set of weights under many masks: draw a mask for
# each batch, from a list of $E$ masks. If the masks differ in the hidden degrees only, the paper calls this
# **connectivity-agnostic** training; if they differ in the ordering as well, **order-agnostic**. Each mask
# $e$ makes of the weights a distribution $q_e$. To use them all, mix them in equal parts:
#
# $$q(x) = \frac1E \sum_{e=1}^{E} q_e(x), \qquad \log q(x) = \log \sum_{e=1}^{E} \exp(\log q_e(x)) - \log E .$$
#
# It sums to 1, since each $q_e$ does; it is sampled by drawing $e$, then $x$ from $q_e$. By Jensen's
# inequality $\log q(x) \ge \frac1E \sum_e \log q_e(x)$ for every $x$, so what training minimises, the mean
# NLL of the members, is an upper bound on the NLL of the mixture.
#
# **The tempting alternative** is to average the *logits*, $\bar z_i = \frac1E \sum_e z_i^{(e)}$, and to put
# them into the usual formula. But $\bar z_i$ depends on every $x_j$ that comes before $x_i$ in *any* of the
# orderings: with ten random ones, a given $x_j$ comes before a given $x_i$ in at least one with probability
# $1 - 2^{-10}$. The product of the $\sigma(\pm \bar z_i)$ is then not a chain rule. Each factor is more like
# $q(x_i \mid x_{-i})$, with $x_{-i}$ for all pixels but the $i$-th, and the product of those is Besag's (1975)
# **pseudo-likelihood**. It is useful for many things, but it is not a distribution over images, and its "NLL"
# may lie *below the entropy*: a pixel is easier to guess from what comes before *and* after it.
#
# **Within one ordering** $\bar z_i$ depends on $x_{<i}$ only, the product is a chain rule, and the sum is 1.
# Since $\log \sigma(z)$ and $\log \sigma(-z)$ are concave (the second derivative of both is
# $-\sigma(z)\,\sigma(-z) < 0$), $\log \sigma(\pm \bar z) \ge \frac1E \sum_e \log \sigma(\pm z^{(e)})$:
# it costs no more than its members on average. (The same inequality, between orderings, is why the wrong
# number always *looks* better.)
#
# #### Exercise 9 · `ensemble`
#
# Write the mixture, from the logits of $E$ networks of any orderings.


# %% exercise="ensemble"
def ensemble(logits, x):
    """Log-likelihood of the mixture, with equal weights, of E autoregressive networks.

    Args:
        logits: (E, B, D) float64: logits[e, n, d] is the logit, under the e-th network, of P(x_d = 1 | what comes before d
            in that network's ordering), for the n-th image.
        x: (B, D) int64, zeros and ones.

    Returns:
        (B,) float64, in nats: the log of the mean over networks of the probability of each image. Finite and exact
        where some or all of these are as small as exp(-30000), for one image or several.
    """
    ### BEGIN SOLUTION
    each = torch.nn.functional.logsigmoid((2 * x - 1) * logits).sum(-1)
    return each.logsumexp(0) - math.log(len(logits))
    ### END SOLUTION


# %% check="ensemble"

# %% [markdown]
# Two networks with 128 units on the toy distribution, each trained under eight masks: eight orderings; or one
# ordering and eight sets of degrees. Beside them one MADE with one mask, of the same width and trained in as
# many steps. For which of the four combinations (orderings or one ordering; probabilities or logits averaged)
# is the mass 1?

# %% tags=["train"] folded="trains the two networks, and one with one mask"
torch.manual_seed(0)
one_mask = train_on_world(MADEEnsemble(16, [128], masks=1, seed=1), epochs=2)
families = {}
for name, order in [("eight orderings", None), ("one ordering, eight sets of degrees", range(16))]:
    torch.manual_seed(0)
    families[name] = train_on_world(MADEEnsemble(16, [128], order=order, masks=8, seed=1), epochs=2)

# %% tags=["demo"] folded="computes NLL and mass of members, mixtures and averaged logits, and the pseudo-likelihood"
@torch.no_grad()
def member_logits(model, x, number=8):
    """(E, B, D): the logits of the first members of an ensemble of masks."""
    return torch.stack([model.member(e)(x) for e in range(number)]).double()


p_rest = []  # p(x_i | all other pixels), for every image
for i in range(16):
    pair = p_world.view((2,) * 16).sum(i, keepdim=True).expand((2,) * 16).flatten()
    p_rest.append(p_world / pair)
log_pseudo = torch.stack(p_rest).log().sum(0)


def row(name, log_q):
    print(f"{name:40} {-float(p_world @ log_q):17.3f} {log_q.exp().sum():9.4f}")


with waits_for("ensemble"):
    print(f"{'':40} {'NLL or so (nats)':>17} {'mass':>9}")
    row("the truth: its entropy", world.log_p)
    row("the truth: its pseudo-likelihood", log_pseudo)
    row("one MADE, 128 units, one mask", world_log_q(one_mask))
    for name, model in families.items():
        z = member_logits(model, world.states)
        each = bernoulli_log_prob(z, world.states.expand_as(z)).sum(-1)
        print(f"{name}: its members cost {-float(p_world @ each.mean(0)):.3f} nats on average")
        row("   mean of probabilities (yours)", torch.as_tensor(ensemble(z, world.states), dtype=z.dtype))
        row("   mean of logits", bernoulli_log_prob(z.mean(0), world.states).sum(-1))

# %% [markdown]
# Three of the four have mass 1. The fourth, logits averaged over orderings, reports less than *the entropy*,
# and has several times the mass that there is. And here the mixtures are *worse* than one MADE with one mask:
# weights that serve eight masks serve each of them less well, and with unlimited data there is nothing to gain.
#
# **When does it help?** The paper's MADE with 32 masks has 86.64 nats on fixed binarized MNIST, NADE 88.33, and
# NADE's own ensemble over 128 orderings 85.10 (same table as in section 7). On our digits, training under 256
# orderings gives mixtures with 19.5 nats, *worse than the FVBN*. What differs is the size of the network,
# measured against the size of the data. The figure shows how the test NLL changes against one mask, with 500 and 2,000 units, and
# with all 1,197 training images and only 300 (mixtures of 8; means of seeds 0 to 2, which differ by less than 0.3; with 300 images, seed 0).

# %% tags=["demo"]
plots.show(figures.many_orderings())

# %% [markdown]
# With 500 units and all images, every additional ordering costs. With 2,000 units eight orderings are better
# than one mask, by 0.16 nats in the mean; and with 300 images up to 32 orderings help with either network. The
# likely reason: averaging over orderings reduces the variance that comes from few data, and costs capacity.
# 256 orderings are too many in all four cases, so their number has to be tuned. (On the toy distribution,
# without a lack of data, no width made them pay: KL 0.371 for the mixture of eight against 0.127 for one mask
# with 128 units, 0.061 against 0.033 with 2,048; seed 0, 2,000 steps.) The next cell repeats two points of the
# figure; change `units` for others.

# %% tags=["train"]
class OneMaskAtATime(MADEEnsemble):
    """It validates under one mask drawn from the list: a mixture of 256 would take 256 passes."""

    def loss(self, x):
        e = int(torch.randint(len(self.orders), ()))
        return -self.member(e).log_prob(x).mean()


def trained_under(masks, units=500):
    torch.manual_seed(0)
    model = OneMaskAtATime(64, [units], masks=masks, seed=1)
    fit(model, digits, epochs=budget(smoke=4, cpu=150, gpu=400), batch_size=100, lr=3e-3, optimizer=decay, progress=False)
    return model


agnostic = {masks: trained_under(masks) for masks in (8, 256)}

# %% tags=["demo"] folded="the members, the mixture of 8, and 8 orderings that the network was not trained under"
new_orders = [orderings.random(64, seed=1000 + n) for n in range(8)]
mixtures = {}
print(f"{'orderings in training':22} {'members':>9} {'mixture of 8':>14} {'under 8 new orderings':>22}")
with waits_for("ensemble"):
    for masks_, model in agnostic.items():
        z = member_logits(model, test)
        each = bernoulli_log_prob(z, test.expand_as(z)).sum(-1)
        mixtures[masks_] = torch.as_tensor(ensemble(z, test), dtype=z.dtype)
        new = np.mean([metrics.nll(model.network.with_order(order), test).mean for order in new_orders])
        print(f"{masks_:<22} {-each.mean():9.2f} {str(metrics.Estimate.of(-mixtures[masks_])):>14} {new:22.2f}")

# %% [markdown]
# With eight orderings the network is good at *those eight*; under a new one it fails. With 256 it has to learn
# something that works under any ordering. Only this network can do what lesson 02's orderless NADE did: complete
# an image from *any* known pixels, by an ordering that starts with them. `model.network.with_order(order)`
# shares the weights and has that ordering's masks.

# %% tags=["demo"] folded="completes five digits from three sets of known pixels"
network = agnostic[256].network
rows, columns = torch.arange(64) // 8, torch.arange(64) % 8
chosen = test[torch.tensor([int((digits.test.y == digit).nonzero()[1]) for digit in (2, 3, 5, 6, 8)])]
rng = torch.Generator().manual_seed(0)
fig, axes = plt.subplots(1, 3, figsize=(9.5, 4))
for ax, (name, known) in zip(axes, {"bottom half": rows >= 4, "right half": columns >= 4, "every 3rd pixel": torch.arange(64) % 3 == 0}.items(), strict=True):
    order = torch.cat([known.nonzero().flatten(), (~known).nonzero().flatten()])
    guesses = [network.with_order(order).complete(chosen, known, generator=rng).double() for _ in range(3)]
    given = torch.where(known, chosen.double(), 0.4)
    names = ["digit", "known", "1st", "2nd", "3rd"] if ax is axes[0] else []
    plots.image_grid(torch.cat([chosen.double(), given, *guesses]), columns=5, row_names=names, ax=ax, title=f"known: {name}")
plots.show(
    fig,
    alt="Five digits; the same with only the bottom half, the right half, or every third pixel known, the rest grey; "
    "three completions each, which continue the known strokes.",
)

# %% [markdown]
# ### Bug clinic
#
# Six patients, all meant to be MADEs of the toy distribution with at least 64 units, well above $D - 1$; one
# is healthy. You see the NLL that each *reports*, its **total mass** over all images, and samples. For
# orientation: entropy 4.97 nats, FVBN 6.48, independent pixels 9.68.

# %% tags=["train"]
clinic = made_clinic()

# %% tags=["demo"]
clinic.show()

# %% [markdown]
# **Diagnose.** Which symptom does each patient have, and on which line does its program differ from the right
# one? One of the five sick ones passes every test for mass and for leaks, and its samples look fair. The
# patients are at hand for experiments: `clinic.patients["A"].model` has a `log_prob`, and
# `plots.dependency_map` draws what it depends on. (D is an ensemble of eight; `.model.member(0)` is its first
# member.)

# %% tags=["demo"]
clinic.choices()

# %% [markdown]
# Replace the dots: `symptom="leak", line=1`, or `symptom="healthy", line=None`.

# %% tags=["demo"]
clinic.diagnose("A", symptom=..., line=...)
clinic.diagnose("B", symptom=..., line=...)
clinic.diagnose("C", symptom=..., line=...)
clinic.diagnose("D", symptom=..., line=...)
clinic.diagnose("E", symptom=..., line=...)
clinic.diagnose("F", symptom=..., line=...)

# %% [markdown]
# Two more, without pictures. *Loss fine on 8 × 8, strangely bad on 28 × 28 with the same 500 units*: the layer
# is narrower than $D - 1$, and cyclic degrees lose the inputs beyond. *Several levels per pixel, and nonsense*:
# the $K$ logits of each pixel are ordered level by level in the output vector, but are read pixel by pixel (or
# the other way round), so the masks are right for another arrangement, and some outputs leak.
#
# ### Costs beside NADE, and the scoreboard
#
# For one image, with one hidden layer of $H$ units:
#
# | | NADE | MADE |
# | --- | --- | --- |
# | multiplications for $\log q(x)$ | $2DH$ | $2DH$, about half of them with zeros |
# | steps that must wait for one another | $D$ | $L + 1$ |
# | hidden units that serve the output of degree $m$ | $H$ | about $H (m - 1)/(D - 1)$ |
# | a further hidden layer of $H$ units costs | $D H^2$ | $H^2$ |
# | a sample | $2DH$ | $2DH$ with the cache, $2D^2H$ without |
# | another ordering | another model | another mask, if trained for it |
#
# The arithmetic is the same; its shape differs: $D$ thin slices one after another, or two large matrix
# products that keep any number of processors busy.

# %% tags=["demo"]
def training_step(model, x):
    loss = -model.log_prob(x).mean()
    loss.backward()


x784 = torch.randint(0, 2, (100, 784), generator=torch.Generator().manual_seed(0))
for name, model in [("NADE, 500 units", NADE(784, 500)), ("MADE, 500 units", MADE(784, [500])), ("MADE, 500-500 units", MADE(784, [500, 500]))]:
    print(f"{name:20} 784 pixels, 100 images, loss and gradient: {1000 * seconds(lambda model=model: training_step(model, x784)):7.1f} ms")

# %% [markdown]
# This lesson's rows of the scoreboard beside the earlier ones, all measured above on the same 300 test digits.
# `python -m course_lib.scoreboard` prints the course's table with error bars over seeds.

# %% tags=["demo"]
smoothed = (train.double().sum(0) + 0.5) / (len(train) + 1)
board = {"independent pixels": torch.where(test == 1, smoothed, 1 - smoothed).log().sum(1)}
board |= {name: metrics.log_probs(model, test) for name, model in three.items()}
board |= {f"MADE, 500 units, mixture of 8 of {n} orderings": log_q for n, log_q in mixtures.items()}
print(f"{'model':52} {'NLL (nats)':>14} {'bits/dim':>10}   likelihood")
for name, log_q in board.items():
    estimate = metrics.Estimate.of(-log_q)
    print(f"{name:52} {str(estimate):>14} {metrics.bits_per_dim(estimate.mean, 64):10.4f}   exact")

# %% [markdown]
# ### History, references and solutions
#
# Masks by degrees are from Germain, Gregor, Murray and Larochelle (2015), who set out from NADE and its
# orderless variant (Uria et al., 2014), and from autoencoders. As a layer in *flows*, MADE gives shifts and
# scales instead of probabilities: inverse autoregressive flow (Kingma et al., 2016) and masked autoregressive
# flow (Papamakarios et al., 2017). Masked *convolutions* (van den Oord et al., 2016) are lesson 04.
#
# * J. Besag. Statistical analysis of non-lattice data. *The Statistician* 24(3), 1975.
# * M. Germain, K. Gregor, I. Murray and H. Larochelle. MADE: masked autoencoder for distribution estimation.
#   *ICML* 2015, PMLR 37, pages 881-889. Equations 12 and 13 are the masks; section 6.2 has binarized MNIST.
# * D. Kingma, T. Salimans, R. Jozefowicz, X. Chen, I. Sutskever and M. Welling. Improved variational
#   inference with inverse autoregressive flow. *NIPS 29*, 2016.
# * H. Larochelle and I. Murray. The neural autoregressive distribution estimator. *AISTATS*, 2011.
# * A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu. Pixel recurrent neural networks. *ICML*, 2016.
# * G. Papamakarios, T. Pavlakou and I. Murray. Masked autoregressive flow for density estimation. *NIPS 30*,
#   2017.
# * B. Uria, I. Murray and H. Larochelle. A deep and tractable density estimator. *ICML*, 2014.
# * A. Vaswani, N. Shazeer, N. Parmar, J. Uszkoreit, L. Jones, A. Gomez, Ł. Kaiser and I. Polosukhin.
#   Attention is all you need. *NIPS 30*, 2017.
# * Z. Yang, Z. Dai, Y. Yang, J. Carbonell, R. Salakhutdinov and Q. Le. XLNet: generalized autoregressive
#   pretraining for language understanding. *NeurIPS 32*, 2019.
#
# The text source of this notebook with all nine answers is `solutions/03_made_masks.py` in the course
# repository (open it in JupyterLab with Jupytext, or as plain text). Compare after your checks pass; yours may
# well be different and just as right. In `course_lib`, the same ideas are in `models/made.py` (with the cached
# sampler for any depth) and `nn/masked.py`.
