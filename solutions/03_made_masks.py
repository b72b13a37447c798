# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 03 · MADE: the autoencoder that must not peek
#
# NADE (lesson 02) shares one hidden layer among all conditionals, and pays for it with a loop: $D$ small
# steps, one after another, and no second hidden layer without doing everything $D$ times. The most ordinary
# network of all, the autoencoder, has no such loop. It reads an image, passes it through as many layers as
# you like, and gives $D$ numbers, in one go of large matrix products. It is fast, deep, and everybody has
# one. It is only *not a density*: shown an image, it can copy it.
#
# MADE makes it one by taking connections away. The whole difficulty is *which*: cut one too few, and a pixel
# sees itself and the likelihood is a fiction; cut one too many, and a pixel is deaf to what it was allowed to
# hear, and no error message will ever say so. In this lesson you find the right cut, prove that it is right,
# and measure what the popular wrong ones do.
#
# **After this lesson you can**
#
# * say from masks alone what each output can depend on, and prove it: a product of matrices counts the paths;
# * build masks for any depth and any ordering that leak nothing and lose nothing, and find the flaw in masks
#   that do;
# * write a masked layer that stays right under training, and say what the usual shortcut destroys;
# * compute a log-likelihood in one pass and sample in $D$, and explain the exact cache that makes those $D$
#   passes cost as much as one;
# * explain why MADE needs wide layers where NADE does not, and measure it without error bars;
# * build ensembles that are distributions, and recognise a famous one that is not.
#
# **The machine** needs two or three minutes, on a laptop, without a network.
#
# **Numbers in the text** are for `COURSE_BUDGET=cpu`, the default. At `smoke` the models are barely trained, and
# some sentences about them do not hold.
#
# **Builds on**: lessons 01 and 02 (chain rule, orderings, NLL, NADE). No exercise needs your answers from
# there.
#
# **Notation**, beyond that of the earlier lessons:
#
# | symbol | meaning |
# | --- | --- |
# | $L$ | number of hidden layers; layer 0 is the input, layer $L + 1$ the output |
# | $H_l$ | number of units in layer $l$; $H_0 = H_{L+1} = D$ |
# | $W^l$ ($H_l \times H_{l-1}$), $b^l$ ($H_l$) | weights and biases of hidden layer $l$ |
# | $V$ ($D \times H_L$), $c$ ($D$) | weights and biases of the output. Also written $W^{L+1}$, where all layers are meant |
# | $M^l$ | the mask of $W^l$: a matrix of zeros and ones of the same shape |
# | $A \odot B$ | product of two matrices entry by entry; without a sign between them, the product of matrices |
# | $m^l_j$ | the *degree* of unit $j$ in layer $l$, a whole number |
# | $\operatorname{relu}(a)$ | $\max(a, 0)$, entry by entry |
#
# **A trap in the letters.** These are those of the paper (Germain et al., 2015): $b$ is the bias of *hidden*
# units, $c$ that of *outputs*. NADE's papers, and lesson 02, have it the other way round.

# %% setup=true
import math

import numpy as np
import torch

# %% tags=["demo"]
import copy
import functools
import time

import matplotlib.pyplot as plt

from autograder.checks import made_masks as checks
from course_lib import budget, data, metrics, plots
from course_lib.clinic import made_clinic
from course_lib.dependencies import dependencies
from course_lib.distributions import bernoulli_log_prob
from course_lib.models import FVBN, MADE, NADE, MADEEnsemble, orderings
from course_lib.notebook import waits_for
from course_lib.training import fit

torch.set_num_threads(1)  # our models are so small that more threads would only wait for one another
digits = data.digits("binary").flatten()
train, test = digits.train.x, digits.test.x
world = data.tiny_world()
p_world = world.log_p.exp()
print(f"{digits.name}: {len(train)} to train on, {len(digits.valid)} to validate, {len(test)} to test")
print(f"the small world: 4 × 4 images, entropy {world.entropy:.3f} nats")

# %% [markdown]
# ## 1 · What an autoencoder knows
#
# An autoencoder with one hidden layer computes
#
# $$h = \operatorname{relu}(b + W x), \qquad \hat x = \sigma(c + V h),$$
#
# and is trained so that $\hat x$ is like $x$: it minimises the cross-entropy
# $-\sum_d \big[ x_d \log \hat x_d + (1 - x_d) \log (1 - \hat x_d) \big]$. This *looks* exactly like an NLL: a
# sum over pixels of the log-probability of what came. If each $\hat x_d$ were $q(x_d = 1 \mid x_{<d})$, it
# would be one. But $\hat x_d$ is computed from all of $x$, including $x_d$ itself.
#
# We train two on the small world, one with 64 hidden units and one with a *bottleneck* of only 5, and add up
# $\exp(-\text{cost})$ over all 65,536 images. **Before you run the cell:** what will the wide one cost, and
# what will its sum be? Will the bottleneck, which cannot copy 16 pixels through 5 numbers, be a distribution?


# %% tags=["train"]
class Autoencoder(torch.nn.Module):
    """One hidden layer, nothing masked. What it calls `log_prob` is the cost it is trained with, sign turned."""

    event_shape, levels = (16,), 2

    def __init__(self, hidden):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(16, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 16))

    def forward(self, x):
        return self.layers(x.to(self.layers[0].weight.dtype))

    def log_prob(self, x):
        return bernoulli_log_prob(self(x), x).sum(1)


many = world.sample(100_000, generator=torch.Generator().manual_seed(0))


world_steps = budget(smoke=20, cpu=1000, gpu=5000)


def train_world(model, steps=world_steps, lr=1e-2, before_step=lambda: None):
    """Adam on images of the small world, so many that none is learnt by heart; returns the model in float64."""
    rng = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    loss = getattr(model, "loss", lambda x: -model.log_prob(x).mean())
    for _ in range(steps):
        before_step()
        optimizer.zero_grad()
        loss(many[torch.randint(len(many), (200,), generator=rng)]).backward()
        optimizer.step()
        schedule.step()
    return model.eval().double()


@torch.no_grad()
def world_log_q(model):
    """What a model says of each of the 65,536 images, in nats."""
    return torch.cat([model.log_prob(x) for x in world.states.split(8192)])


def gap(log_q):
    """KL(small world || model) in nats, exactly."""
    return float(p_world @ (world.log_p - log_q))


copies = {}
for hidden in (64, 5):
    torch.manual_seed(0)
    copies[hidden] = train_world(Autoencoder(hidden))
    log_q = world_log_q(copies[hidden])
    print(f"{hidden:3} hidden units: mean cost {-float(p_world @ log_q):6.3f} nats, sum over all images {log_q.exp().sum():10.2f}")
print(f"the entropy, below which no model can go: {world.entropy:.3f} nats")

# %% [markdown]
# The wide autoencoder has learnt to copy: it is nearly certain of *any* image, 65,536 certainties at once.
# Lesson 01's bug clinic had this patient. The bottleneck cannot copy everything, and learns something about
# the data on the way; but its sum is not 1 either, and its cost is no code length: to use $\hat x$ for
# decoding you would need $x$ first.
#
# Nor can it be sampled: the recipe "draw $x_1$, then $x_2$ given $x_1$, ..." needs $\hat x_2$ before there is
# an $x_2$. All three failures have one cause, and a picture: row $i$ of the map below shows which inputs $j$
# output $i$ reacts to.

# %% tags=["demo"]
torch.manual_seed(0)
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.7))
plots.dependency_map(copies[64], ax=axes[0], title="Autoencoder: everything sees everything")
plots.dependency_map(MADE(16, [64]), ax=axes[1], title="What the chain rule allows: the past only")
plots.show(
    fig,
    alt="Two maps of 16 outputs against 16 inputs. The autoencoder's is filled everywhere and darkest on the "
    "diagonal; the allowed one is filled below the diagonal only.",
)

# %% [markdown]
# The left map is dark on the diagonal: that is copying. We want the right one: output $i$ may react to input
# $j$ only if $j$ comes *before* $i$. And since we ask for nothing else, it should be able to react to *all*
# of those.
#
# ## 2 · Paths, and what a product of masks says
#
# Multiply each weight matrix, entry by entry, by a mask of zeros and ones:
#
# $$h^0 = x, \qquad h^l = \operatorname{relu}\big(b^l + (M^l \odot W^l)\, h^{l-1}\big) \quad (l = 1, \dots, L), \qquad z = c + (M^{L+1} \odot V)\, h^L ,$$
#
# with the logits $z_i$ of $q(x_i = 1 \mid \cdot\,)$. A zero in $M^l_{kj}$ cuts the connection from unit $j$
# of layer $l - 1$ to unit $k$ of layer $l$. A **path** from input $j$ to output $i$ is a choice of one unit
# in each hidden layer such that all $L + 1$ connections on the way are there.
#
# **Counting.** For two masks, $(M^2 M^1)_{ij} = \sum_k M^2_{ik} M^1_{kj}$: each term is 1 if both connections
# through unit $k$ are there and 0 otherwise, so the sum counts the paths. By induction, if $P^{l-1}_{kj}$
# counts the paths from input $j$ to unit $k$ of layer $l - 1$, then $\sum_k M^l_{ik} P^{l-1}_{kj}$ counts
# those to unit $i$ of layer $l$, since each path has exactly one last-but-one unit. Hence
#
# $$P = M^{L+1} M^L \cdots M^1, \qquad P_{ij} = \text{number of paths from input } j \text{ to output } i .$$
#
# **Claim 1: if $P_{ij} = 0$, output $i$ does not depend on $x_j$**, whatever the weights, the biases, and the
# activation function. *Proof.* Let $S(u)$ be the set of inputs that have a path to unit $u$. We show that the
# value of $u$ is a function of $S(u)$'s inputs alone. For an input, $S(u) = \{u\}$, and it is. A unit $u$ of
# layer $l$ is a function of the units that it reads; each of those, by induction, is a function of its own
# set; and these sets are parts of $S(u)$, because a path to a unit that $u$ reads goes on to $u$. So if
# $j \notin S(i)$, $x_j$ enters nowhere. $\square$
#
# **Claim 2: if $P_{ij} > 0$, there are weights with which output $i$ depends on $x_j$.** *Proof.* Take a
# path, set its weights to 1, all other weights and all biases to 0: then
# $z_i = \operatorname{relu}(\dots \operatorname{relu}(x_j)) = x_j$, as $x_j$ is 0 or 1. $\square$
#
# So the zeros of *one product of matrices* say exactly what a masked network can and cannot depend on. We
# need no faith in masks: we can multiply them.
#
# Now we know what to build: masks with $P_{ij} > 0$ if and only if $j$ comes before $i$. We need not search
# among the $2^{\text{number of weights}}$ possible ones, because there is a recipe.
#
# ## 3 · Degrees
#
# Give every unit a number, its **degree**: how much of the past it may know. Precisely: *a hidden unit of degree
# $k$ may depend on the first $k$ inputs of the ordering, and on no others.*
#
# * The **input** that comes $k$-th in the ordering has degree $k$. (So the inputs' degrees are a permutation
#   of $1, \dots, D$: with `order` as in lesson 01, `order[k]` being the dimension that comes $k$-th, counted
#   from 0, the input `order[k]` has degree $k + 1$.)
# * A **hidden unit** gets a degree from $1$ to $D - 1$. Not 0: such a unit could see nothing and would be a
#   second bias. Not $D$: it could see everything, so no output could use it.
# * The **output** for a dimension has the same degree as its input.
#
# A unit may read whatever knows *no more* than itself; an output must know *strictly less* than its own
# place:
#
# $$M^l_{kj} = \begin{cases} 1 & \text{if } m^l_k \ge m^{l-1}_j \\ 0 & \text{otherwise} \end{cases} \quad (l \le L), \qquad\qquad M^{L+1}_{ij} = \begin{cases} 1 & \text{if } m^0_i > m^L_j \\ 0 & \text{otherwise.} \end{cases}$$
#
# These are equations 12 and 13 of the paper.
#
# **Nothing leaks.** Follow any path from input $j$ to output $i$, through units of degrees $m^1, \dots, m^L$:
# each hidden connection asks for at least as high a degree, the last one for a higher one,
#
# $$m^0_j \le m^1 \le m^2 \le \dots \le m^L < m^0_i .$$
#
# So $m^0_j < m^0_i$: input $j$ comes before $i$. There is no path from anything else, and by claim 1 no
# dependence. Any degrees at all are safe; no care is needed. $\square$
#
# **Is anything lost?** That *does* need care. Consider two neighbours in the ordering: $j$ with degree $k$,
# and $i$ with degree $k + 1$. A path must satisfy $k \le m^1 \le \dots \le m^L < k + 1$, so *every* unit on
# it has degree exactly $k$. If some hidden layer has no unit of degree $k$, then $i$ cannot hear its
# immediate predecessor. Therefore:
#
# > All allowed dependencies are there **if and only if every hidden layer has at least one unit of each degree
# > $1, \dots, D - 1$**.
#
# *If:* for $j$ of degree $k$ and any $i$ of higher degree, take a unit of degree $k$ in every layer:
# $k \le k \le \dots \le k < m^0_i$ is a path. *Only if:* shown above. $\square$ In particular **no layer may
# be narrower than $D - 1$**. The bottleneck, the very idea of an autoencoder, is what a MADE must not have.
#
# Here is a small one, beside an autoencoder of the same size. In each circle stands the unit's degree. (The
# autoencoder has none; they are written there for comparison.)

# %% tags=["demo"]
small = MADE(4, [6, 5], order=[2, 0, 3, 1])
small_masks = [mask.long() for mask in small.masks()]


def draw_network(ax, masks, degrees, output):
    """A network, inputs below; the paths to one output in colour. In each circle stands the unit's degree."""
    layers = [*degrees, degrees[0]]
    needed = [torch.arange(4) == output]
    for mask in reversed(masks):
        needed.insert(0, mask[needed[0]].any(0))
    for level, mask in enumerate(masks):
        for above, below in mask.nonzero().tolist():
            on_path = bool(needed[level + 1][above] and needed[level][below])
            ends = [unit - (len(layers[n]) - 1) / 2 for n, unit in [(level, below), (level + 1, above)]]
            ax.plot(ends, [level, level + 1], ls="-", color=plots.COLORS["vermilion"] if on_path else "0.8",
                    lw=1.6 if on_path else 0.8, zorder=2 if on_path else 1)
    for level, layer in enumerate(layers):
        for unit, degree in enumerate(layer.tolist()):
            x = unit - (len(layer) - 1) / 2
            seen = bool(needed[level][unit])
            ax.text(x, level, degree, ha="center", va="center", zorder=3,
                    bbox=dict(boxstyle="circle", fc="#fff3c4" if seen else "white", ec="black" if seen else "0.6"))
            if level in (0, len(masks)):
                name = f"$x_{unit + 1}$" if level == 0 else f"$q(x_{unit + 1} \\mid \\cdot)$"
                ax.text(x, level - 0.36 if level == 0 else level + 0.34, name, ha="center", va="center")
    ax.set(xlim=(-3, 3), ylim=(-0.6, len(masks) + 0.6))
    ax.axis("off")


fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.6))
draw_network(axes[0], [torch.ones_like(mask) for mask in small_masks], small.degrees(), output=0)
axes[0].set_title("An autoencoder: all paths lead to every output")
draw_network(axes[1], small_masks, small.degrees(), output=0)
axes[1].set_title("MADE: only the first in the ordering leads to the second")
plots.show(
    fig,
    alt="Two networks with 4 inputs, layers of 6 and 5 units, and 4 outputs, degrees written in the units. Left all "
    "connections are present and all lead to the first output. Right most are cut; the output of degree 2 is "
    "reached by units of degree 1 and by the input of degree 1 only.",
)

# %% [markdown]
# The ordering here is $x_3, x_1, x_4, x_2$. The output for $x_1$ has degree 2; follow the coloured lines
# down: through units of degree 1, to the input of degree 1, which is $x_3$. (What reaches the output for
# $x_3$, the first? Nothing at all. Its logit is its bias $c_3$: $q(x_3)$ does not depend on anything.)
#
# ## Exercise 1 · `degrees`
#
# Hand out the degrees. Where *all* layers are wide you know what is needed: all of $1, \dots, D-1$ in each. Where
# a layer is narrower than $D - 1$ you must leave some out, and *which* matters. Three rules keep the damage
# small; a wide layer *above a narrow one* must heed them too, the second above all:
#
# * *No input is lost altogether.* Every input but the last in the ordering should reach at least the last
#   output. An input of degree $k$ can only enter a first-layer unit of degree $\ge k$, and so on upwards: so
#   every layer needs a unit of the *highest* degree, $D - 1$.
# * *No hidden unit is dead*, without a path from an input or without one to an output. A unit of degree $k$
#   needs, in the layer below, something of degree $\le k$ to read. If the layer below has no such unit, it is
#   cut off.
# * *No degree comes twice while another could be had.* If all units had degree $D - 1$, the first two rules
#   would hold, and every output but the last would be deaf. So a layer of $n$ units has at least $\min(n, k)$
#   different degrees, where $k$ is how many different ones the layer below has ($k = D - 1$ for the first hidden
#   layer). More than $k$ would not help: a unit whose degree lies between two of the layer below knows what one
#   of the lower degree knows, and serves fewer outputs.
#
# You may spread the degrees evenly or draw them at random (from `seed`, then); both are used in practice.


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
        k + 1; then for each hidden layer (width,), degrees in 1..D-1. With the masks of section 3:
        where every width is at least D - 1, every output is reached by all that comes before it;
        with any widths, every input but the last in the ordering reaches the last output, every hidden unit has a
        path from an input and a path to an output, and each hidden layer has at least min(width, k) different
        degrees, where k is the number of different degrees in the layer below (D - 1 for the first hidden layer).
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
# ## Exercise 2 · `masks`
#
# Two comparisons, $\ge$ below and $>$ at the top. They are the two lines of the paper that are most often
# copied wrongly, so before you write them, say to yourself for each what would happen if it were the other
# one.


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
# ## Exercise 3 · `paths`
#
# And the instrument that judges masks, yours and those of others. Mind the size of the numbers: through four
# layers of 500 units there are up to $500^4 = 6.25 \times 10^{10}$ paths, more than a 32-bit integer holds,
# and more than float32 counts exactly (it stops at $2^{24}$).


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
# ### Your functions at work: the proof and the code on the same masks
#
# The network of the figure. Your masks, your count of paths; beside it, independently, the gradients of a
# network with random weights under the same masks. **Before you run the cell**, count in the figure the paths
# from $x_3$ to the output of $x_1$, and those from $x_1$ to the output of $x_3$.


# %% tags=["demo"]
def tensors(answer):
    """The arrays or lists of an answer as int64 tensors."""
    return [torch.as_tensor(item).long() for item in answer]


class MaskedNetwork(torch.nn.Module):
    """A network with the given masks, for better or worse. tanh units, none of which is ever quite off."""

    levels = 2

    def __init__(self, masks, order):
        super().__init__()
        self.event_shape, self.order, self.masks = (len(order),), order, tensors(masks)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(mask.shape[1], mask.shape[0]) for mask in self.masks)

    def forward(self, x):
        h = x.to(self.layers[0].weight.dtype)
        for n, (layer, mask) in enumerate(zip(self.layers, self.masks, strict=True)):
            h = torch.nn.functional.linear(h.tanh() if n else h, mask * layer.weight, layer.bias)
        return h

    def log_prob(self, x):
        return bernoulli_log_prob(self(x), x).sum(1)


with waits_for("masks", "paths"):
    yours = tensors(masks(small.degrees()))
    counts = torch.as_tensor(paths(yours))
    print("paths from input j (column) to output i (row):", counts, sep="\n")
    reacts = dependencies(MaskedNetwork(yours, small.order))
    print("\na gradient of output i with respect to input j:", reacts.long(), sep="\n")
    print("\nboth have the same zeros:", bool(((counts > 0) == reacts).all()))

# %% [markdown]
# In the rows' and columns' own order this looks scattered. Sorted by the ordering it becomes what it is:
# strictly lower triangular. That is how the next figure shows it, and it is the picture to remember from this
# lesson. Six ways to mask 16 dimensions (in a random ordering): one is right. **Cover the titles and tell
# from the map what each got wrong.**

# %% tags=["demo"]
D, order16 = 16, orderings.random(16, seed=0)


def strict_below(degrees):
    below = [(high[:, None] > low).long() for low, high in zip(degrees[:-1], degrees[1:], strict=True)]
    return [*below, (degrees[0][:, None] > degrees[-1]).long()]


def lax_output(degrees):
    return [*masks(degrees)[:-1], (degrees[0][:, None] >= degrees[-1]).long()]


def cyclic(D, widths):
    """1, 2, ..., D-1, 1, 2, ...: fine if wide; common in code."""
    return [order16.argsort() + 1, *[torch.arange(width) % (D - 1) + 1 for width in widths]]


def by_chance(D, widths, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return [order16.argsort() + 1, *[torch.randint(1, D, (width,), generator=rng) for width in widths]]


with waits_for("degrees", "masks"):
    wide = tensors(degrees(D, [60, 60], order16, seed=0))
    versions = {
        "right": masks(wide),
        "> in the hidden layers": strict_below(wide),
        "≥ at the output": lax_output(wide),
        "inverse of the ordering": masks([order16 + 1, *wide[1:]]),
        "8 units, of degrees 1 to 8": masks(cyclic(D, [8, 60])),
        "20 units by chance": masks(by_chance(D, [20, 20])),
    }
    torch.manual_seed(0)
    fig, axes = plt.subplots(2, 3, figsize=(9.8, 6))
    for ax, (name, version) in zip(axes.flat, versions.items(), strict=True):
        plots.dependency_map(MaskedNetwork(version, order16), order="model", ax=ax, title=name)
        ax.set(xlabel="input (place)", ylabel="output (place)")
    plots.show(
        fig,
        alt="Six dependency maps in the model's ordering. Right: everything below the diagonal, nothing else. > in hidden "
        "layers: the band just below the diagonal is missing. ≥ at the output: the diagonal is filled too. Inverse ordering: "
        "filled squares scattered on both sides. Too narrow: the columns of later inputs are empty. By chance: some "
        "columns begin late.",
    )

# %% [markdown]
# * **`>` in the hidden layers**: every hidden layer costs one step, so place $k$ is deaf to the two pixels
#   just before it (with two hidden layers), the most informative ones of all. Nothing leaks; the sum over
#   images is 1; no test for leaks complains.
# * **`≥` at the output**: a filled diagonal. Every pixel but the last in the ordering sees itself, and we are
#   back at the autoencoder.
# * **The inverse of the ordering**: it leaks above the diagonal and is deaf below it, seen from the ordering you
#   asked for. Seen from the inverse one it is a perfectly good MADE. The likelihood is fine; the *sampler*, which
#   visits the pixels in your ordering, is not.
# * **Too narrow, degrees handed out from 1 upwards**: the inputs of degree 9 to 15 have nowhere to go. They
#   are lost for everybody.
# * **By chance**: where a layer happens to lack a degree, some pairs lose contact.
#
# All of these can be found in published code. Two well-kept libraries for flows hand out degrees from 1
# upwards, so that with 784 dimensions and a layer of 500 units, 283 inputs that others should hear are never
# read. How much is lost in general? The table below counts, for 64 dimensions: the share of the allowed pairs
# $(i, j)$ that are connected; inputs (other than the last) that reach no output; and hidden units without a
# path in or out. *By chance, from the lowest* is the paper's recipe: it draws a layer's degrees uniformly
# from the lowest degree below up to $D - 1$.


# %% tags=["demo"]
def from_the_lowest(D, widths, order, seed):
    rng = torch.Generator().manual_seed(seed)
    result, lowest = [order.argsort() + 1], 1
    for width in widths:
        result.append(torch.randint(lowest, D, (width,), generator=rng))
        lowest = int(result[-1].min())
    return result


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
# lose no input and nine pairs in ten stay connected, where cyclic ones lose most; but you cannot have it all:
# some pairs *are* lost, by the theorem above.
#
# ## 4 · A masked layer that survives training
#
# A masked layer computes $x\,(M \odot W)^\top + b$. There are two ways to write it. *Functionally*: keep $W$
# as it is and multiply whenever the layer is used. Or *in place*: write the zeros into the parameter,
# `layer.weight.data *= mask`, before the ordinary layer runs. The second is common, and saves nothing that
# matters. It differs in three ways:
#
# * **Gradients.** With $\tilde W = M \odot W$ the chain rule gives
#   $\partial / \partial W = M \odot \partial / \partial \tilde W$: exactly zero for what is masked. In place,
#   autograd knows nothing of the mask: masked entries get gradients as if they were in use. The weights are
#   overwritten before the next use, but until then these gradients count: in the *norm* by which all are clipped,
#   in the step (Adam moves a masked weight like any other), in what a checkpoint saves between two calls.
# * **Several masks.** Train one network with changing masks (section 8), and each call erases what other
#   masks had learnt. For good.
# * **Reading a model must not change it.** `model(x)` in place modifies the parameters even in evaluation.
#
# ## Exercise 4 · `MaskedLinear`
#
# Write it functionally. `weight` and `bias` are the only parameters, which an optimizer will find. The mask must
# *not* be one, but it should move with the layer to a GPU and be saved with it. That is what a *buffer* is for:
# `self.register_buffer("mask", mask)`. Keep the name `mask`: a cell below exchanges the mask by it.


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

    def forward(self, x):
        return torch.nn.functional.linear(x, self.mask * self.weight, self.bias)
        ### END SOLUTION


# %% check="MaskedLinear"

# %% [markdown]
# ### Your layer at work: what in-place masking destroys
#
# A layer of 500 units on 64 inputs, and eight masks (random orderings and degrees) that take turns. Left:
# which share of the weights is still what it was, after each call. Right: the norm of the gradient, with one
# fixed mask. **Before you run the cell:** a weight survives a random mask with probability about one half.
# How many calls until 1 % is left?


# %% tags=["demo"]
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
    eight = [ensemble8.member(m).masks()[0].long() for m in range(8)]
    rng = torch.Generator().manual_seed(0)
    W, b = torch.randn(500, 64, generator=rng, dtype=torch.float64), torch.zeros(500, dtype=torch.float64)
    x, target = test[:100].double(), torch.randn(100, 500, generator=rng, dtype=torch.float64)
    fig, axes = plt.subplots(1, 2, figsize=(9.5, 2.9), width_ratios=[1.6, 1])
    norms = {}
    for kind, name, marker in [(MaskedLinear, "functional", "o-"), (InPlace, "in place", "s--")]:
        layer, alive = kind(W, b, eight[0]), [1.0]
        for call in range(12):
            layer.mask = eight[call % 8].to(layer.mask.dtype)
            layer(x)
            alive.append(float((layer.weight == W).double().mean()))
        axes[0].plot(alive, marker, label=name)
        fixed = kind(W, b, eight[0])
        ((fixed(x) - target) ** 2).mean().backward()
        norms[name] = float(fixed.weight.grad.norm())
        masked = fixed.weight.grad[eight[0] == 0]
        print(f"{name:10} weights left after 8 masks: {100 * alive[8]:5.1f} %; gradient norm {norms[name]:.3f}, of which on masked weights {masked.norm():.3f}")
    axes[0].set(xlabel="calls, a mask each", ylabel="share of weights unchanged", title="In place, each mask erases for all", ylim=(-0.04, 1.06))
    axes[0].legend()
    bars = axes[1].bar(list(norms), list(norms.values()), color=[plots.COLORS["blue"], plots.COLORS["orange"]])
    axes[1].bar_label(bars, [f"{norm:.3f}" for norm in norms.values()])
    axes[1].set(ylabel="norm of the weight's gradient", title="... and gradients are off")
    plots.show(
        fig,
        alt="Left: with functional masks all weights stay unchanged; in place the share falls from 1 to nearly 0 within "
        "eight calls. Right: the gradient's norm is larger in place, since masked weights contribute.",
    )

# %% [markdown]
# The masked entries get a gradient in place although they are not in use, and after eight masks hardly
# anything of the layer is left. With a *single*, fixed mask the shortcut computes the right function, which
# is how it survives; with changing ones you will meet it as a patient in section 10.
#
# ## 5 · The likelihood, in one pass
#
# With the right masks, $z_i = c_i + \dots$ depends on $x_{<i}$ only (the dimensions before $i$ in the
# ordering), so we may *declare* $q(x_i = 1 \mid x_{<i}) = \sigma(z_i)$, and by lesson 01, section 6, the
# product of these conditionals sums to one over all images. One forward pass gives all $D$ logits, and
#
# $$\log q(x) = \sum_{i=1}^{D} \big[ x_i \log \sigma(z_i) + (1 - x_i) \log \sigma(-z_i) \big].$$
#
# This is the autoencoder's cross-entropy, letter by letter. Only that *now* it is an NLL. Nothing about the
# training changes.
#
# ## Exercise 5 · `made_log_prob`
#
# The whole model as a function: any depth, ReLU between the layers and none at the end. The masks are given.
# A weight under a mask's zero may be as large as 1e30.


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
# ### Training
#
# `course_lib.models.MADE` is your functions with the parameters attached. The digits in raster order, one
# hidden layer of 500 units, against lesson 02's NADE with 200 and lesson 01's FVBN, all with some weight
# decay against learning by heart.

# %% tags=["train"]
epochs = budget(smoke=4, cpu=60, gpu=100)
decay = functools.partial(torch.optim.AdamW, weight_decay=0.1)
torch.manual_seed(0)
made = MADE(64, [500])
history = fit(made, digits, epochs=epochs, batch_size=100, lr=3e-3, optimizer=decay)
print(history)
fvbn = FVBN(64)
fit(fvbn, digits, epochs=epochs, batch_size=64, lr=1e-2, progress=False)
torch.manual_seed(0)
nade = NADE(64, 200)
print(fit(nade, digits, epochs=epochs, batch_size=200, lr=4e-2, optimizer=decay, progress=False), "(NADE)")
fig = plots.training_curve(
    history,
    references={name: metrics.nll(model, digits.valid.x).mean for name, model in [("FVBN", fvbn), ("NADE", nade)]},
    title="An autoencoder with masks passes the FVBN",
)
plots.show(
    fig,
    alt="Training and validation NLL of MADE against epochs; both fall below the FVBN's line and the validation curve "
    "ends near NADE's.",
)

# %% tags=["demo"]
for name, model in [("FVBN", fvbn), ("NADE, 200 units", nade), ("MADE, 500 units", made)]:
    print(f"{name:16} test {metrics.nll(model, test)} nats; minus MADE, image by image: {metrics.nll_difference(model, made, test)}")
with waits_for("made_log_prob"), torch.no_grad():
    layers = [*made.hidden, made.output]
    ws, bs = [layer.weight.double() for layer in layers], [layer.bias.double() for layer in layers]
    own = torch.as_tensor(made_log_prob(test, ws, bs, [mask.long() for mask in made.masks()]))
    print(f"your function, same weights: {-own.mean():.2f} nats")

# %% [markdown]
# A nat better than the FVBN, trained in less than half of NADE's time; but with 500 units still behind NADE
# with 200. Why MADE *needs* more units is section 7. First, what did it learn to listen to?

# %% tags=["demo"]
fig, axes = plt.subplots(1, 3, figsize=(10, 3), width_ratios=[1.2, 1, 1])
plots.dependency_map(made, ax=axes[0], title="Trained MADE: strictly the past")
for ax, pixel in zip(axes[1:], [(3, 4), (6, 4)], strict=True):
    plots.receptive_field(made, pixel, ax=ax, title=f"pixel {pixel}")
plots.show(
    fig,
    alt="Dependency map of the trained MADE, filled below the diagonal only; and the receptive fields of two "
    "pixels: all earlier pixels have some influence, none of the later ones has any.",
)

# %% [markdown]
# ## 6 · Sampling: $D$ passes, or the price of one
#
# Likelihood is one pass because all pixels are *known*. When we sample they are not: $z_2$ needs $x_1$, which
# must be drawn first. The plain sampler asks the network $D$ times: with $x = 0$ it reads off the first logit
# of the ordering, draws that pixel, writes it into $x$, and asks again. All the other logits of each pass are
# wasted, and those of the undrawn pixels are meaningless, being computed from zeros that stand for "not yet".
# The masks guarantee that the one we read does not look at those.
#
# ## Exercise 6 · `made_sample`
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
# ### Your function at work
#
# The trained MADE draws digits by your function; below each stands the training digit that is nearest to it.
# **Before you run the cell:** the network gives all 64 logits in every call. Why may your function not draw all
# pixels from those of one call, and what would such images look like?


# %% tags=["demo"]
def nearest(a, b):
    """For each image of a: in how many pixels it differs from its nearest image in b, and which one that is."""
    a, b = a.float(), b.float()
    return (a.sum(1, keepdim=True) + b.sum(1) - 2 * a @ b.T).min(1)


def name_rows(ax, *names):
    """Write a name to the left of each row of an image grid."""
    for k, name in enumerate(names):
        y = 1 - (k + 0.5) / len(names)
        ax.text(-0.01, y, name, transform=ax.transAxes, ha="right", va="center", fontsize=9)


def logits64(x):
    """What your function is given."""
    return made64(torch.as_tensor(x)).detach()


made64 = copy.deepcopy(made).double()
u = torch.rand(200, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
with waits_for("made_sample"), torch.no_grad():
    samples = torch.as_tensor(made_sample(logits64, made64.order, u))
    off, neighbour = nearest(samples, train)
    fig, ax = plt.subplots(figsize=(9.5, 2.7))
    plots.image_grid(torch.cat([samples[:14], train[neighbour[:14]], test[:14]]), columns=14, ax=ax)
    name_rows(ax, "your samples", "nearest\ntraining digit", "test digits")
    ax.set_title("Many samples are digits now, and none a copy")
    plots.show(
        fig,
        alt="Fourteen samples of MADE, most of them readable digits; below each the nearest training digit, which "
        "differs in several pixels; below that test digits.",
    )
    print(f"pixels off the nearest training digit: samples {off.mean():.1f}, test digits {nearest(test, train).values.mean():.1f}")

# %% [markdown]
# ### The exact cache
#
# $D$ passes of $2DH$ multiplications each are $2D^2H$, and nearly all of it computes again what has not
# changed. Which units *do* change when the pixel at place $k$ becomes known? A hidden unit of degree $m$
# reads the first $m$ inputs. Before place $m$ is drawn it cannot be computed; once it is, the unit has its
# final value, *forever*. So **every unit needs to be computed exactly once**: those of degree $k$ right after
# the $k$-th pixel was drawn.
#
# Renumber the inputs by the ordering, and the units by their degrees. The masks become staircases (figure),
# and "what a unit reads" becomes "the first so many units of the layer below": contiguous slices, no masks at
# all. Each step takes a slice of rows out of each matrix, and in the end each weight was used once: $2DH$
# minus what is masked, for a whole sample. The same holds for any number of layers: a unit of degree $k$
# reads units of degree at most $k$, which are ready.

# %% tags=["demo"]
picture = MADE(16, [40], order=orderings.random(16, seed=0), connectivity="random")
by_place, by_degree = picture.order, picture.degrees()[1].argsort()
W_mask, V_mask = [mask.float() for mask in picture.masks()]
fig, axes = plt.subplots(1, 4, figsize=(9.8, 3.2), width_ratios=[1, 2, 1, 2])
panels = [
    (W_mask, "$M^1$ as it is", "input", "hidden unit"),
    (V_mask, "$M^2$ as it is", "hidden unit", "output"),
    (W_mask[by_degree][:, by_place], "$M^1$, sorted", "input (place)", "hidden unit (by degree)"),
    (V_mask[by_place][:, by_degree], "$M^2$, sorted", "hidden unit (by degree)", "output (place)"),
]
for ax, (mask, title, below, above) in zip(axes, panels, strict=True):
    ax.imshow(mask, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
    ax.set(title=title, xlabel=below, ylabel=above)
plots.show(
    fig,
    alt="The two masks of a small MADE, first with rows and columns scattered, then sorted by ordering and degree: both "
    "become staircases.",
)


# %% tags=["demo"]
@torch.no_grad()
def cached_sample(model, u):
    """Samples of a MADE with one hidden layer. Every unit is computed once, when its last input is known."""
    units, by_degree = model.degrees()[1].sort()
    W, b = model.hidden[0].weight[by_degree][:, model.order], model.hidden[0].bias[by_degree]
    V, c = model.output.weight[:, by_degree], model.output.bias
    x, h, done = torch.zeros_like(u), torch.zeros(len(u), len(units), dtype=u.dtype), 0
    for k, d in enumerate(model.order.tolist()):
        logit = c[d] + h[:, :done] @ V[d, :done]  # all units of degree 1..k: what the output of degree k + 1 reads
        x[:, k] = (u[:, d] < logit.sigmoid()).double()
        ready = int((units <= k + 1).sum())
        h[:, done:ready] = torch.relu(b[done:ready] + x[:, : k + 1] @ W[done:ready, : k + 1].T)
        done = ready
    return x[:, model.order.argsort()].long()


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
# Not an approximation: the same uniform numbers give the same samples. (In float32, sums taken in another
# order may differ in the last digit, so a decision can flip if a uniform number falls within a rounding error
# of the probability.) The cache does not remove the loop, which is the nature of drawing one pixel *given*
# the others; it removes the waste. Later lessons do the same for convolutions, and for transformers, where it
# is called the *KV cache*.

# %% [markdown]
# ## 7 · Why MADE needs width
#
# NADE's $k$-th conditional has a hidden layer of $H$ units, all of which have seen $x_{<k}$ and nothing else:
# every conditional has *all* $H$ at its service. In MADE a unit has one degree, for all conditionals at once.
# The output at place $k$ reads units of degree less than $k$, so with evenly spread degrees
#
# $$\text{about } H\, \frac{k - 1}{D - 1} \text{ of the } H \text{ units serve the conditional at place } k.$$
#
# The second conditional has $H/(D-1)$; the first none (and needs none). And the units that do serve a late
# conditional are not all well informed: one of degree 3 knows three pixels. Only about $H/(D-1)$ of them have
# seen *everything* that came before. MADE saves the loop by *not* recomputing the hidden layer for each
# conditional, and this is what it pays.
#
# ## Exercise 7 · `visible_units`
#
# Measure it, from the masks alone, for any depth: how many units of each hidden layer have a path to each
# output? (Whether an input reaches them is not asked here.)


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
# ### Your function at work, and a race without error bars
#
# On the small world we can see what the missing units cost, exactly. We train MADE and NADE with the same
# numbers of hidden units; and a third model, MADE with **direct connections** from inputs to outputs (a
# further term $(M^R \odot R)\,x$ in the logits, with a weight matrix $R$, $D \times D$, and the mask
# $M^R_{ij} = 1$ where $m^0_i > m^0_j$; section 4 of the paper mentions it and calls the matrix $A$, as
# `course_lib` does): in effect an FVBN plus hidden units. **Before you run the cells:** lesson 01's FVBN
# misses the small world by 1.5 nats. Can a MADE, with a hidden layer, be *worse* than that?

# %% tags=["train"]
builders = {
    "MADE": lambda width: MADE(16, [width]),
    "MADE with direct connections": lambda width: MADE(16, [width], direct=True),
}
tried = budget(smoke=[8, 32], cpu=[8, 16, 32, 64, 128], gpu=[8, 16, 32, 64, 128, 512])
made_log_qs = {name: {} for name in builders}
for name, build in builders.items():
    for width in tried:
        torch.manual_seed(0)
        made_log_qs[name][width] = world_log_q(train_world(build(width)))

# %% tags=["train"]
nade_log_qs = {}
for width in [width for width in tried if width in (8, 32, 128)]:
    torch.manual_seed(0)
    world_nade = train_world(NADE(16, width), lr=2e-2)
    nade_log_qs[width] = world_log_q(world_nade)
fvbn_gap = gap(world_log_q(train_world(FVBN(16), lr=5e-2)))

# %% tags=["demo"]
world_log_qs = {**made_log_qs, "NADE": nade_log_qs}
fig, axes = plt.subplots(1, 2, figsize=(9.8, 3.3))
with waits_for("visible_units"):
    counts = visible_units([mask.long() for mask in MADE(64, [500, 500]).masks()])
    for row, name, style in zip(counts, ["MADE, 1st layer", "MADE, 2nd layer"], ["-", "--"], strict=True):
        axes[0].plot(range(1, 65), row, style, label=name)
    axes[0].axhline(500, color="0.4", lw=1, ls="-")
    axes[0].text(1, 480, "NADE: all, for every conditional", va="top", fontsize=9)
    axes[0].legend(loc="lower right", fontsize=8, title="the two coincide", title_fontsize=8)
axes[0].set(xlabel="place in the ordering", ylabel="units with a path to the output", title="Early conditionals are left with few")
for (name, log_qs), marker in zip(world_log_qs.items(), "os^", strict=True):
    axes[1].plot(list(log_qs), [gap(log_q) for log_q in log_qs.values()], marker=marker, label=name)
    print(f"{name:30}", "  ".join(f"{width} units: {gap(log_q):.3f}" for width, log_q in log_qs.items()))
axes[1].axhline(fvbn_gap, color="0.4", lw=1, ls="-")
axes[1].text(tried[-1], fvbn_gap, f"FVBN: {fvbn_gap:.2f}", ha="right", va="bottom", fontsize=9)
heights = [0.2, 0.5, 1, 2]
axes[1].set(xscale="log", yscale="log", xticks=tried, xticklabels=tried, yticks=heights, yticklabels=heights, xlabel="hidden units", ylabel="KL from the small world (nats)",
            title="MADE needs two or three times NADE's units")
axes[1].minorticks_off()
axes[1].legend(fontsize=8, loc="lower left")
plots.show(
    fig,
    alt="Left: the number of units with a path to an output rises linearly with its place, from none to all, alike in both "
    "layers; NADE has all for every conditional. Right: KL gap against hidden units; MADE with 8 units is worse than the FVBN, NADE "
    "with 8 far better; the curves fall and come closer at 128 units.",
)

# %% [markdown]
# Yes: with 8 units, less than $D - 1 = 15$, MADE is worse than the FVBN. It has no hidden units for some
# degrees, so it cannot even hear the previous pixel everywhere. Direct connections repair that, and matter
# less the wider the layer. NADE with 8 units is far ahead of MADE with 16, and NADE with 32 of MADE with 64.
# *Where* does MADE lose? The KL divergence is a sum over conditionals, and on the small world each term can
# be computed.

# %% tags=["demo"]
number = torch.arange(2**16)


def cost_by_place(log_q):
    """E[-log q(x_k | x_<k)] for k = 1..16 in raster order, in nats: from the masses of all prefixes."""
    q, p = log_q.exp(), p_world
    log_prefix = [q.view(2**k, -1).sum(1).log() for k in range(17)]
    weight = [p.view(2**k, -1).sum(1) for k in range(17)]
    joint = torch.stack([-(w * log).sum() for w, log in zip(weight, log_prefix, strict=True)])
    return joint[1:] - joint[:-1]


truth = cost_by_place(world.log_p)
width = 32 if 32 in nade_log_qs else tried[-1]
fig, ax = plt.subplots(figsize=(7.5, 2.9))
for shift, name in [(-0.2, "MADE"), (0.2, "NADE")]:
    excess = cost_by_place(world_log_qs[name][width]) - truth
    ax.bar(np.arange(1, 17) + shift, excess, 0.4, label=f"{name}, {width} units: {excess.sum():.3f} nats in all")
ax.set(xlabel="place in the ordering (raster order)", ylabel="excess cost (nats)", xticks=range(1, 17),
       title="In the middle much is needed, and half of the units are not there")
ax.legend(fontsize=9)
plots.show(
    fig,
    alt="Excess cost of each of the sixteen conditionals over the truth, for MADE and NADE with the same number of hidden units: "
    "MADE's is two to five times as large in the middle, and about the same at the end.",
)

# %% [markdown]
# At the first places there is little to compute, and few units do. At the last ones nearly all units can
# help. In between the past is already long, and half of the units may not be used. The remedy is brute and
# works: width. It is affordable, because large matrix products are what machines do best; the paper's best
# network has two layers of 8,000 units.
#
# ## 8 · Many masks: ensembles that are distributions, and one that is not
#
# Orderings and degrees are arbitrary choices. So train *one* set of weights under many masks: draw a mask for
# each batch, from a list of $E$ masks. If the masks differ in the hidden degrees only, the paper calls this
# *connectivity-agnostic* training; if they differ in the ordering as well, *order-agnostic*. Each mask $e$
# makes of the weights a distribution $q_e$ of its own. To use them all, mix them in equal parts:
#
# $$q(x) = \frac1E \sum_{e=1}^{E} q_e(x), \qquad \log q(x) = \log \sum_{e=1}^{E} \exp(\log q_e(x)) - \log E .$$
#
# It sums to 1, since each $q_e$ does; it is sampled by drawing $e$, then $x$ from $q_e$. By Jensen's
# inequality $\log q(x) \ge \frac1E \sum_e \log q_e(x)$ for every $x$, so what training minimises, the mean
# NLL of the members, is an upper bound on the NLL of the mixture.
#
# **The tempting alternative** is to average the *logits*, $\bar z_i = \frac1E \sum_e z_i^{(e)}$, and to put
# them into the usual formula. It is one line shorter, and it is what a widely copied implementation does: its
# reported test loss falls far below what any MADE reaches as soon as a few orderings are averaged.
# What is wrong with it?
#
# The logit $\bar z_i$ depends on every $x_j$ that comes before $x_i$ in *any* of the orderings. With ten
# random ones that is practically everything but $x_i$ itself: a given $x_j$ comes before a given $x_i$ in at
# least one of the ten with probability $1 - 2^{-10} = 1023/1024$. The product $\prod_i \sigma(\pm \bar z_i)$
# is then no chain rule; each factor is more like $q(x_i \mid \text{all other pixels})$. The product of those,
# $\prod_i p(x_i \mid x_{-i})$ with $x_{-i}$ for all pixels but the $i$-th, is an old acquaintance: Besag's
# (1975) **pseudo-likelihood**. It is useful for many things, but it is no distribution over images, and its
# "NLL" may lie *below the entropy*: a pixel is easier to guess when one knows both what came before and what
# came after it.
#
# **Within one ordering** it is different. If all masks share the ordering, $\bar z_i$ depends on $x_{<i}$
# only, the product is a chain rule, and the sum is 1. It is a proper distribution, though *another one* than
# the mixture: it averages each conditional's logit, as in a product of experts, where the mixture averages
# whole images. It need not be worse. Since $\log \sigma(z)$ and $\log \sigma(-z)$ are concave (the second
# derivative of both is $-\sigma(z)\,\sigma(-z) < 0$),
# $\log \sigma(\pm \bar z) \ge \frac1E \sum_e \log \sigma(\pm z^{(e)})$: it too costs no more than its members on
# average. (The same inequality, between orderings, is why the wrong number always *looks* better.)
#
# ## Exercise 8 · `ensemble`
#
# The right one, from the logits of $E$ networks. Which ordering each of them has does not matter any more.


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
# ### Your function at work: count the mass
#
# Two networks with 128 units on the small world, each trained under eight masks: eight orderings; or one
# ordering and eight sets of degrees. **Before you run the cells**, predict for which of the four combinations
# (orderings or one ordering; probabilities or logits averaged) the mass is 1.

# %% tags=["train"]
families = {}
for name, order in [("eight orderings", None), ("one ordering, eight sets of degrees", range(16))]:
    torch.manual_seed(0)
    families[name] = train_world(MADEEnsemble(16, [128], order=order, masks=8, seed=1), steps=2 * world_steps)


# %% tags=["demo"]
@torch.no_grad()
def member_logits(model, x, number=8):
    """(E, B, D): the logits of the first members of an ensemble of masks."""
    return torch.stack([model.member(m)(x) for m in range(number)]).double()


p_rest = []  # p(x_i | all other pixels), for every image
for i in range(16):
    pair = p_world.view((2,) * 16).sum(i, keepdim=True).expand((2,) * 16).flatten()
    p_rest.append(p_world / pair)
pseudo = -float(p_world @ torch.stack(p_rest).log().sum(0))

logit_averages = {}
with waits_for("ensemble"):
    print(f"{'small world':38} {'NLL or so (nats)':>17} {'mass':>9}")
    print(f"{'the truth: its entropy':38} {world.entropy:17.3f} {1:9.4f}")
    print(f"{'the truth: its pseudo-likelihood':38} {pseudo:17.3f} {torch.stack(p_rest).log().sum(0).exp().sum():9.4f}")
    print(f"{'one MADE, 128 units, one mask':38} {world.entropy + gap(made_log_qs['MADE'][tried[-1]]):17.3f} {made_log_qs['MADE'][tried[-1]].exp().sum():9.4f}")
    for name, model in families.items():
        z = member_logits(model, world.states)
        each = bernoulli_log_prob(z, world.states.expand_as(z)).sum(-1)
        logit_averages[name] = bernoulli_log_prob(z.mean(0), world.states).sum(-1)
        print(name)
        print(f"{'   its members, on average':38} {-float(p_world @ each.mean(0)):17.3f} {each.exp().sum(1).mean():9.4f}")
        for what, log_q in [("mean of probabilities (yours)", torch.as_tensor(ensemble(z, world.states), dtype=z.dtype)), ("mean of logits", logit_averages[name])]:
            print(f"{'   ' + what:38} {-float(p_world @ log_q):17.3f} {log_q.exp().sum():9.4f}")

# %% [markdown]
# Three of the four have mass 1. The fourth, logits averaged over orderings, reports 3.7 nats, *below the
# entropy of the world*, and hands out five times the mass that there is. It is on its way to the
# pseudo-likelihood, whose "NLL" is lower still. Within one ordering, averaging logits is as good as averaging
# probabilities, or a little better. (Weights that must serve eight masks do each of them a worse service than
# weights that serve one: compare the members with the MADE above. Here there is no shortage of data, so that
# there is nothing to gain from sharing.)
#
#  **The mass is the test**, and where it cannot be summed, ask of a formula what it depends on: a likelihood
# of MADE's form needs one ordering for all its factors.
#
# Now digits, with the 500 units from before. Training under many masks is harder (the weights must serve them
# all), so it gets more epochs. **Which list of masks will give the best members? The best mixture? And which
# network can be used under an ordering that it has never seen?**

# %% tags=["train"]
class OneMaskAtATime(MADEEnsemble):
    """It validates as it trains, under one mask drawn from the list: the mixture of 256 would take 256 passes."""

    def loss(self, x):
        m = int(torch.randint(len(self.orders), ()))
        return -self.member(m).log_prob(x).mean()


agnostic = {}
more_epochs = budget(smoke=4, cpu=150, gpu=400)
for name, settings in {
    "1 ordering, 8 sets of degrees": dict(order=range(64), masks=8),
    "8 orderings": dict(masks=8),
    "256 orderings": dict(masks=256),
}.items():
    torch.manual_seed(0)
    agnostic[name] = OneMaskAtATime(64, [500], seed=1, **settings)
    fit(agnostic[name], digits, epochs=more_epochs, batch_size=100, lr=3e-3, optimizer=decay, progress=False)

# %% tags=["demo"]
new_orders = [orderings.random(64, seed=1000 + n) for n in range(8)]
mixtures = {}
print(f"{'one mask':32} {metrics.nll(made, test)} nats ({epochs} epochs)\n")
print(f"{'trained under':32} {'members':>9} {'mixture of 8':>14} {'under 8 new orderings':>22}")
with waits_for("ensemble"):
    for name, model in agnostic.items():
        z = member_logits(model, test)
        each = bernoulli_log_prob(z, test.expand_as(z)).sum(-1)
        mixtures[name] = torch.as_tensor(ensemble(z, test), dtype=z.dtype)
        new = np.mean([metrics.nll(model.network.with_order(order), test).mean for order in new_orders])
        print(f"{name:32} {-each.mean():9.2f} {str(metrics.Estimate.of(-mixtures[name])):>14} {new:22.2f}")

# %% [markdown]
# With eight orderings the network is good at *those eight*; asked for a new one, it fails badly. With 256 it
# has to learn something that works under any ordering: new ones cost about a nat more than those in the list.
# The price: each member is worse than even an FVBN, and their mixture does not make up for it. 500 units
# cannot serve so many masters, at least not in this time. (Eight orderings, mixed, are level with the single
# mask, within the error bars. More masks are not always better: their number is tuned, in the paper too.)
# Still, only the last network can do what lesson 02's orderless NADE did, if not as well: complete an image
# from *any* known pixels, by choosing an ordering that starts with them. `model.network.with_order(order)`
# shares the weights and has that ordering's masks. (Inputs after the present one are never *seen*, so, unlike
# orderless NADE, MADE needs no mask as an input to tell "white" from "not yet". But NADE was trained on all
# orderings, MADE on a list.)

# %% tags=["demo"]
network = agnostic["256 orderings"].network
rows, columns = torch.arange(64) // 8, torch.arange(64) % 8
chosen = test[torch.tensor([int((digits.test.y == digit).nonzero()[1]) for digit in (2, 3, 5, 6, 8)])]
rng = torch.Generator().manual_seed(0)
fig, axes = plt.subplots(1, 3, figsize=(9.5, 4))
for ax, (name, known) in zip(axes, {"bottom half": rows >= 4, "right half": columns >= 4, "every 3rd pixel": torch.arange(64) % 3 == 0}.items(), strict=True):
    order = torch.cat([known.nonzero().flatten(), (~known).nonzero().flatten()])
    guesses = [network.with_order(order).complete(chosen, known, generator=rng).double() for _ in range(3)]
    plots.image_grid(torch.cat([chosen.double(), torch.where(known, chosen.double(), 0.4), *guesses]), columns=5, ax=ax, title=f"known: {name}")
name_rows(axes[0], "digit", "known", "guess 1", "guess 2", "guess 3")
plots.show(
    fig,
    alt="Five digits; the same with only the bottom half, the right half, or every third pixel known, the rest grey; "
    "three completions each, which continue the known strokes.",
)

# %% [markdown]
# ## 9 · What it costs, beside NADE
#
# For one image, with one hidden layer of $H$ units:
#
# | | NADE | MADE |
# | --- | --- | --- |
# | multiplications for $\log q(x)$ | $2DH$ | $2DH$, about half of them with zeros |
# | steps that must wait for one another | $D$ | $L + 1$ |
# | hidden units that serve the conditional at place $k$ | $H$ | about $H (k - 1)/(D - 1)$ |
# | a further hidden layer of $H$ units costs | $D H^2$ | $H^2$ |
# | a sample | $2DH$ | $2DH$ with the cache, $2D^2H$ without |
# | another ordering | another model | another mask, if trained for it |
#
# The arithmetic is the same. The difference is the shape of it: $D$ thin slices one after another, or two
# large matrix products that keep any number of processors busy. (NADE's remedy in lesson 02, gradients by
# hand, saves memory and half of the time, but not the loop.)

# %% tags=["demo"]
def training_step(model, x):
    loss = -model.log_prob(x).mean()
    loss.backward()


x784 = torch.randint(0, 2, (100, 784), generator=torch.Generator().manual_seed(0))
for name, model in [("NADE, 500 units", NADE(784, 500)), ("MADE, 500 units", MADE(784, [500])), ("MADE, 500-500 units", MADE(784, [500, 500]))]:
    print(f"{name:20} 784 pixels, 100 images, loss and gradient: {1000 * seconds(lambda model=model: training_step(model, x784)):7.1f} ms")

# %% [markdown]
# ## 10 · Bug clinic
#
# Six patients, all meant to be MADEs of the small world with at least 64 units, well above $D - 1$; one is
# healthy. You see the NLL that each *reports*, its **total mass** over all images, and samples. For
# orientation: entropy 4.97 nats, FVBN 6.48, independent pixels 9.68; section 7 has what MADEs reach.

# %% tags=["train"]
clinic = made_clinic()

# %% tags=["demo"]
clinic.show()

# %% [markdown]
# **Diagnose.** Which symptom does each patient have, and on which line does its program differ from the right one? One
# of the five sick ones passes every test for mass and for leaks, and its samples look fair: find it anyway.
# The patients are at hand for experiments: `clinic.patients["A"].model` has a `log_prob`, and
# `plots.dependency_map` draws what it depends on. (D is an ensemble of eight; `.model.member(0)` is its first member.)

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
# Three more, without pictures. *Loss fine on 8 × 8, strangely bad on 28 × 28 with the same 500 units*: the
# layer is narrower than $D - 1$, and cyclic degrees lose the inputs beyond (section 3). *A unit of degree 0*:
# harmless and useless, a constant; a test for dead units finds it. *Several levels a pixel, and nonsense*:
# the $K$ logits of each pixel stand level by level in the output vector, but are read pixel by pixel (or the
# other way round). The masks are then right for another arrangement, so some outputs leak.
#
# What to remember: a masked model needs *two* tests on masks, **no path that must not be** and **every path
# that should be**. Most code that is tested at all has only the first.

# %% [markdown]
# ## 11 · Scoreboard
#
# This lesson's rows beside the earlier ones, all measured above on the same 300 test digits.
# `python -m course_lib.scoreboard` prints the course's table with error bars over seeds.

# %% tags=["demo"]
smoothed = (train.double().sum(0) + 0.5) / (len(train) + 1)
board = {
    "independent pixels": torch.where(test == 1, smoothed, 1 - smoothed).log().sum(1),
    "FVBN": metrics.log_probs(fvbn, test),
    "NADE, 200 units": metrics.log_probs(nade, test),
    "MADE, 500 units, one mask": metrics.log_probs(made, test),
    **{f"MADE, mixture of 8; {name}": log_q for name, log_q in mixtures.items()},
}
print(f"{'model':52} {'NLL (nats)':>14} {'bits/dim':>10}   likelihood")
for name, log_q in board.items():
    estimate = metrics.Estimate.of(-log_q)
    print(f"{name:52} {str(estimate):>14} {metrics.bits_per_dim(estimate.mean, 64):10.4f}   exact")

# %% [markdown]
# ## 12 · What you have, and what it cannot do
#
# You have a deep network with an exact likelihood in one pass, for any ordering; a theorem that says which
# masks are right, and an instrument that judges any others; exact samples at the price of a pass; and
# ensembles that are what they claim to be. What remains:
#
# * **Sampling is sequential**, as for every autoregressive model. Only the waste is gone.
# * **Width is paid for.** Every unit knows a fixed part of the past, so many are needed. That is affordable
#   at 64 pixels, and at 784; in a colour photograph $D$ is 196,608, and $D - 1$ units in a layer means
#   $4 \times 10^{10}$ weights.
# * **It does not know that an image is an image.** Shuffle the pixels of all images alike, and MADE cannot
#   tell the difference. What it learns about a stroke in one corner, it must learn again in the next.
#
# Both of the last two have the same answer: let every pixel look at a *small neighbourhood*, with the *same
# weights* everywhere. That is a convolution; and by now you know what has to be done with it so that no pixel
# sees itself or its future: mask it. Which paths then exist, through many layers, around corners, is a
# question that you can answer with a product of masks, and the answer holds a famous surprise, a *blind
# spot*. That is PixelCNN, lesson 04.

# %% [markdown]
# ## 13 · History and references
#
# Masks by degrees are from Germain, Gregor, Murray and Larochelle (2015), who set out from NADE and its
# orderless variant (Uria et al., 2014), and from autoencoders, whose makers had long asked what density, if
# any, they stood for. The idea travelled far. As a layer in *flows*, MADE gives shifts and scales instead of
# probabilities: inverse autoregressive flow (Kingma et al., 2016) and masked autoregressive flow
# (Papamakarios et al., 2017). Masked *convolutions* (van den Oord et al., 2016) are lesson 04. And the causal
# mask of a transformer decoder (Vaswani et al., 2017) is the staircase of section 6, in attention; its KV
# cache is the cache of section 6. The pseudo-likelihood is Besag's (1975), for lattices of plants.
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
#
# ## Where the solution is
#
# The text source of this notebook with all eight answers is `solutions/03_made_masks.py` in the course
# repository (open it in JupyterLab with Jupytext, or as plain text). Compare after your checks pass; yours
# may well be different and just as right. In `course_lib`, the same ideas stand in full dress:
# `models/made.py` (with the cached sampler for any depth) and `nn/masked.py`.
