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
# Suppose you had a function that takes an image and returns *the probability of that image*. What would you
# be able to do with it? You could draw new images from it. You could give it the top half of a digit and ask
# for the bottom half. You could recognise digits, notice what is no digit (almost: there is a trap, and you
# will fall into it below), and store images in fewer bytes than PNG does.
#
# In this lesson you write such a function. It is small: its heart is five lines. But it is the whole idea of
# an autoregressive model, and everything that follows in the course, up to models that draw photographs and
# speak, keeps its skeleton.
#
# **After this lesson you can**
#
# * say what a generative model is, name the families, and say for each whether its likelihood is exact,
#   bounded or absent;
# * compute a log-likelihood in nats, bits, and bits per dimension, and say what a number such as 0.42
#   bits/dim means;
# * prove that maximum likelihood minimises a Kullback–Leibler divergence, and see it to fifteen digits;
# * split any distribution into conditionals and join them again, sample from it, and complete what is only
#   partly known;
# * write a fully visible belief network, a classifier made of ten of them, and the idea behind a compressor;
# * diagnose a broken likelihood from its symptoms.
#
# **The machine** needs two or three minutes, on a laptop, without a network.
#
# **Builds on**: lesson 00 (how checks and hints work), probability over discrete variables, logistic
# regression, and PyTorch tensors. Nothing else.
#
# **How to read it.** Cells under a heading *Exercise* are yours: read the contract in the docstring, write
# the function, run the check below it. If you are stuck, `checks.<name>.hint()` gives a hint, three times,
# each time a bigger one. Cells that put your function to work say so politely if you have not written it yet,
# so you may read ahead.
#
# **Notation**, kept throughout:
#
# | symbol | meaning |
# | --- | --- |
# | $x = (x_1, \dots, x_D)$ | one image, its $D$ pixels in a row; in code the dimensions count from 0 |
# | $K$ | number of values that one pixel can take; $K = 2$ (black or white) unless said otherwise |
# | $p(x)$ | the true distribution, which made the data |
# | $q(x)$ | a model; $q_\theta(x)$ when its parameters $\theta$ matter |
# | $x_{<d}$ | the pixels that come before $x_d$: $(x_1, \dots, x_{d-1})$ |
# | $\log$ | the natural logarithm, always; its unit is the *nat*. One bit is $\log 2 \approx 0.693$ nats |

# %% setup=true
import math

import numpy as np
import torch

# %% tags=["demo"]
import os

import matplotlib.pyplot as plt

from autograder.checks import likelihood as checks
from course_lib import budget, coding, data, metrics, plots
from course_lib.models import FVBN, IndependentPixels, orderings
from course_lib.notebook import waits_for
from course_lib.training import fit


def name_rows(ax, *names):
    """Write a name to the left of each row of an image grid."""
    for k, name in enumerate(names):
        y = 1 - (k + 0.5) / len(names)
        ax.text(-0.01, y, name, transform=ax.transAxes, ha="right", va="center", fontsize=9)


torch.set_num_threads(1)  # our models are so small that more threads would only wait for one another
digits = data.digits("binary").flatten()
grey = data.digits("levels").flatten()
for name, split in digits.splits().items():
    print(f"{digits.name}, {name}: {len(split)} images")

# %% [markdown]
# ## 1 · How big is the world of images?
#
# Our images are tiny: 8 × 8 pixels, each black or white. One image is 64 bits, so there are
#
# $$2^{64} = 18{,}446{,}744{,}073{,}709{,}551{,}616$$
#
# of them. With 16 grey levels there are $16^{64} = 2^{256} \approx 1.2 \times 10^{77}$; and this is still the
# size of an icon. Nearly all of these images are junk. How nearly? **Before you run the next cell, guess:**
# if you look at one uniformly random black-and-white image a second, how long until you meet one that looks
# like a digit?
#
# "Looks like a digit" needs a definition that we can count with. Here is a generous one: *it differs from one
# of our 1,197 training digits in at most $r$ pixels*, with $r$ so large that 90 % of the digits of the test
# set pass. Around one image there are $\sum_{k=0}^{r} \binom{64}{k}$ images at most $r$ pixels away (choose
# which $k$ pixels to flip), so there are at most $1197 \sum_{k \le r} \binom{64}{k}$ digits. At most, since
# the balls may overlap.


# %% tags=["demo"]
def nearest(a, b):
    """For each image of a: in how many pixels it differs from its nearest image in b, and which that is."""
    b = b.float()
    parts = [(p.sum(1, keepdim=True) + b.sum(1) - 2 * p @ b.T).min(1) for p in a.float().split(5000)]
    return torch.cat([p.values for p in parts]), torch.cat([p.indices for p in parts])


train, test = digits.train.x, digits.test.x
far, _ = nearest(test, train)
r = int(far.quantile(0.9))
ball = sum(math.comb(64, k) for k in range(r + 1))
share = len(train) * ball / 2**64
print(f"90 % of the test digits lie within r = {r} pixels of a training digit.")
print(f"At most {len(train) * ball:,} images do, a share of {share:.1e} of all.")
years = 1 / share / (365.25 * 86400)
print(f"At one image a second you would wait at least {years:.0f} years for one, on average.")

# %% tags=["demo"]
noise = torch.randint(
    0, 2, (budget(smoke=20_000, cpu=200_000, gpu=2_000_000), 64), generator=torch.Generator().manual_seed(0)
)
noise_far, _ = nearest(noise, train)
luckiest = noise[noise_far.argsort()[:10]]

fig, axes = plt.subplots(1, 2, figsize=(9.5, 2.8), width_ratios=[1.9, 1])
plots.image_grid(torch.cat([noise[:10], luckiest, test[:10]]), columns=10, ax=axes[0])
name_rows(axes[0], "random", f"best of {len(noise):,}", "digits")
axes[0].set_title("Luck does not draw digits")
bins = np.arange(-0.5, 33)
axes[1].hist(far, bins, density=True, label="test digits")
axes[1].hist(noise_far, bins, density=True, alpha=0.7, label="random images")
axes[1].set(
    xlabel="pixels off the nearest training digit",
    ylabel="share of images",
    title="Digits live close together",
)
axes[1].legend()
plots.show(
    fig,
    alt="Left: ten random images, the ten most digit-like of many random images, which still look like "
    "noise, and ten digits. "
    "Right: histograms of the distance to the nearest training digit: about 3 pixels for test digits, "
    "about 23 for random images.",
)

# %% [markdown]
# So a model of digits must do something severe: leave almost the whole space empty, and put nearly all of its
# probability on a vanishing part of it. The next experiment asks what shape that part has.
#
# ### The manifold picture
#
# Digits come from a pen that moved, so a few causes (which digit, slant, width, place) explain most of the 64
# grey values. If so, the images lie near a surface of few dimensions, curved, inside the space of many:
# people call it the *data manifold*, loosely: nobody proves that it is smooth. Two symptoms can be measured.
#
# 1. *Few directions.* Principal component analysis (PCA) finds the orthogonal directions along which the data
#    vary most. For comparison we shuffle every pixel separately over the data set: each pixel keeps its
#    histogram, but the images are destroyed.
# 2. *Curved.* Take two digits and blend them, $(1-t)\,a + t\,b$ for $t$ from 0 to 1: a straight line through
#    the space. Then walk from $a$ to $b$ by short hops from digit to similar digit. If the data filled a
#    flat, convex region, the straight line would stay among the digits. We measure each step's distance to
#    the nearest *held-out* digit, which neither path has seen.

# %% tags=["demo"]
from scipy.sparse.csgraph import dijkstra
from sklearn.neighbors import kneighbors_graph

pixels = grey.train.x.double() / 15
held_out = torch.cat([grey.valid.x, grey.test.x]).double() / 15
shuffled = torch.stack(
    [
        column[torch.randperm(len(column), generator=torch.Generator().manual_seed(d))]
        for d, column in enumerate(pixels.T)
    ],
    dim=1,
)


def explained(x):
    """Share of the variance in the first k principal components, k = 0..64."""
    variances = torch.linalg.svdvals(x - x.mean(0)).square()
    return torch.cat([torch.zeros(1), (variances.cumsum(0) / variances.sum())])


hop_costs = kneighbors_graph(pixels, 8, mode="distance").power(
    2
)  # squared: two short hops are cheaper than one long one


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


def off(x):
    """Distance to the nearest held-out digit at 11 evenly spaced points of the way."""
    return torch.cdist(x[np.linspace(0, len(x) - 1, 11).round()], held_out).min(1).values


ways = [way for way in walks(range(0, len(pixels), budget(smoke=60, cpu=10, gpu=2))) if len(way) >= 7]
example = min(ways, key=lambda way: (abs(len(way) - 11), off(way).max().item()))
fig, axes = plt.subplots(2, 2, figsize=(9.5, 4.2), width_ratios=[1.6, 1])
plots.image_grid(
    blend(example),
    columns=len(example),
    ax=axes[0, 0],
    title="A straight line between two digits leaves the digits ...",
)
plots.image_grid(
    example, columns=len(example), ax=axes[1, 0], title="... a walk from neighbour to neighbour does not"
)
for name, route in [("straight line", blend), ("neighbours", lambda way: way)]:
    axes[0, 1].plot(
        np.linspace(0, 1, 11), torch.stack([off(route(way)) for way in ways]).mean(0), "o-", ms=4, label=name
    )
axes[0, 1].set(
    xlabel="way from the first digit to the last",
    ylabel="distance to\nheld-out digits",
    title=f"Half way, the line is lost (mean of {len(ways)})",
)
axes[0, 1].legend(fontsize=8)
axes[1, 1].plot(explained(pixels), label="digits")
axes[1, 1].plot(explained(shuffled), "--", label="pixels shuffled")
axes[1, 1].set(xlabel="principal components kept", ylabel="share of variance", title="Few directions matter")
axes[1, 1].legend(fontsize=8)
plots.show(
    fig,
    alt="Blending two digits gives grey double exposures, on average far from any real digit half way; "
    "hopping between neighbours gives digits all the way. "
    "PCA curve: twenty components hold most of the variance of the digits, far fewer than for shuffled "
    "pixels.",
)
for name, x in [("digits", pixels), ("shuffled pixels", shuffled)]:
    print(f"{name}: {int((explained(x) < 0.9).sum())} of 64 components hold 90 % of the variance")

# %% [markdown]
# ## 2 · What can be learnt without labels: one map, four lenses
#
# Hide the labels. What is left to learn from the images alone? *Unsupervised learning* asks four classical
# questions, and they are closer to one another than they look:
#
# * **Which few directions matter?** (PCA: find coordinates.)
# * **Which images belong together?** (Clustering: find groups.)
# * **What are images made of?** (Feature learning: find parts; here non-negative matrix factorisation, which
#   writes each digit as a sum of 16 strokes of its own choosing.)
# * **How probable is each image?** (Density estimation: find $p(x)$.)
#
# The figure puts all four on the same data. Labels colour the first panel for your eyes only; no method saw
# them.

# %% tags=["demo"]
from scipy.stats import gaussian_kde
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF, PCA

plane = PCA(2).fit(pixels)
points = plane.transform(pixels)
clusters = KMeans(10, n_init=3, random_state=0).fit(pixels)
strokes = NMF(16, init="nndsvda", tol=1e-3, max_iter=2000, random_state=0).fit(pixels.numpy()).components_
density = gaussian_kde(points.T)
grid = np.stack(
    np.meshgrid(
        np.linspace(*points[:, 0][[points[:, 0].argmin(), points[:, 0].argmax()]], 60),
        np.linspace(*points[:, 1][[points[:, 1].argmin(), points[:, 1].argmax()]], 60),
    )
)

fig, axes = plt.subplots(2, 2, figsize=(9, 7.5))
axes[0, 0].scatter(*points.T, c=grey.train.y, cmap="tab10", s=6)
for digit in range(10):
    axes[0, 0].text(
        *points[grey.train.y == digit].mean(0),
        digit,
        weight="bold",
        size=14,
        ha="center",
        va="center",
        bbox=dict(boxstyle="circle", fc="white", alpha=0.8, lw=0),
    )
axes[0, 0].set_title("Directions: the plane of largest variance\n(numbers: the labels, which PCA never saw)")
axes[0, 1].scatter(*points.T, c=clusters.labels_, cmap="tab10", s=6, alpha=0.4)
for centre, place in zip(clusters.cluster_centers_, plane.transform(clusters.cluster_centers_), strict=True):
    inset = axes[0, 1].inset_axes(
        [place[0] - 0.22, place[1] - 0.22, 0.44, 0.44], transform=axes[0, 1].transData
    )
    inset.imshow(centre.reshape(8, 8), cmap="gray_r")
    inset.set(xticks=[], yticks=[])
axes[0, 1].set_title("Groups: ten clusters and their mean images")
plots.image_grid(torch.as_tensor(strokes / strokes.max(1, keepdims=True)), columns=4, ax=axes[1, 0])
axes[1, 0].set_title("Parts: sixteen strokes whose sums give the digits")
axes[1, 1].contourf(*grid, density(grid.reshape(2, -1)).reshape(60, 60), levels=12, cmap="cividis")
axes[1, 1].set_title("Density: how probable is each place?")
for ax in axes[[0, 0, 1], [0, 1, 1]]:
    ax.set(xlabel="first principal component", ylabel="second principal component")
plots.show(
    fig,
    alt="Four views of the digits. PCA spreads the classes over a plane; ten k-means centres look like "
    "digits; sixteen "
    "non-negative factors look like pen strokes; a density map shows where in the plane digits are frequent.",
)

# %% [markdown]
# The fourth question contains the others. A mixture model's components are clusters (k-means is the limit of
# a Gaussian mixture whose variances shrink to zero); PCA is the limit of a linear Gaussian latent model
# (Tipping and Bishop, 1999); and whatever helps to predict pixels makes good features. That is one reason to
# care about densities. Here are others, each with the place where you can see it done:
#
# | use | what the density does | where |
# | --- | --- | --- |
# | generation | draw $x \sim q$ | section 7 |
# | inpainting | draw the unknown pixels from $q(\text{unknown} \mid \text{known})$ | section 9 |
# | classification | compare $q(x \mid y)$ over the classes $y$ | section 10 |
# | outlier detection | a low $q(x)$ is suspicious; *with a serious trap* | section 10 |
# | compression | an image with probability $q(x)$ fits into about $-\log_2 q(x)$ bits | section 11 |
# | denoising | find clean images $x$ with large $q(x)\, p(\text{noisy} \mid x)$: Bayes' rule, with $q$ as prior | section 9, on the small world |
# | features, semi-supervised learning | $q(x) = \sum_y q(y)\, q(x \mid y)$: images without labels help to learn the parts of a classifier | the formula in section 10; latent variables later in the course |
# | planning | a model of $p(\text{what happens next} \mid \text{what I do})$ lets an agent try actions in its head | video models, later in the course |

# %% [markdown]
# ## 3 · The first model: every pixel for itself
#
# The simplest model of a binary image pretends that the pixels do not know of each other. Pixel $d$ is black
# with probability $p_d$, independently:
#
# $$q(x) = \prod_{d=1}^{D} p_d^{\,x_d} (1 - p_d)^{1 - x_d}, \qquad \log q(x) = \sum_{d=1}^{D} \big[\, x_d \log p_d + (1 - x_d) \log (1 - p_d) \,\big].$$
#
# (With the convention $0^0 = 1$.) We take logarithms because a product of hundreds of small numbers is zero
# in floating point, and a sum of their logarithms is not. For many images, assumed drawn independently, the
# log-probability of the whole data set is the sum over images; we report the mean per image with its sign
# turned: the **negative log-likelihood** (NLL), smaller is better.
#
# **Units.** The NLL in natural logarithms is in *nats*. Divided by $\log 2$ it is in *bits*; divided by the
# number $D$ of dimensions as well, in **bits per dimension**:
#
# $$\text{bits/dim} = \frac{-\frac{1}{N} \sum_{n=1}^{N} \log q(x^{(n)})}{D \log 2},$$
#
# where $x^{(1)}, \dots, x^{(N)}$ are the images. A model that knows nothing gives each of the $2^D$ binary
# images probability $2^{-D}$, which costs exactly 1 bit/dim; with $K$ values per pixel, $\log_2 K$. You will
# see in section 11 that bits are meant literally: as file size.
#
# **Sum over pixels, mean over images.** To average over pixels instead is a frequent mistake in published
# code of this kind: it turns an NLL of 25 nats into 0.4 and makes the "model" a distribution over nothing.
# The bug clinic shows what happens.

# %% [markdown]
# ## Exercise 1 · `log_likelihood`
#
# Write the log-likelihood of independent pixels. Mind the corner: a probability $p_d$ may be exactly 0 or 1.
# If the pixel agrees, that is no surprise and costs 0 nats; if it disagrees, the image is impossible and its
# log-probability is $-\infty$. In the formula above the innocent term $0 \cdot \log 0$ is what a computer
# calls `nan`: arrange things so that it never arises.


# %% exercise="log_likelihood"
def log_likelihood(p, x):
    """Log-likelihood of binary images under independent pixels.

    Args:
        p: (D,) float64, p[d] = P(x_d = 1), each in [0, 1], 0 and 1 included; D may be in the hundreds.
        x: (B, D) int64, zeros and ones, B >= 1.

    Returns:
        (nats, bpd): nats is (B,), log p(x) of each image, in nats (-inf where the image is impossible, and only
        there); bpd is one number, the mean bits per dimension of the batch: -mean(nats) / (D log 2), which is
        infinite if any image is impossible.
    """
    ### BEGIN SOLUTION
    probability_of_what_came = torch.where(x == 1, p, 1 - p)
    nats = probability_of_what_came.log().sum(1)
    return nats, -nats.mean() / (x.shape[1] * math.log(2))
    ### END SOLUTION


# %% check="log_likelihood"

# %% [markdown]
# ### Your function at work
#
# Which $p_d$ fits the training images best? Let $n_d$ of the $N$ training images have pixel $d$ black. The
# total log-likelihood is $\sum_d [\, n_d \log p_d + (N - n_d) \log (1 - p_d) \,]$; its derivative with
# respect to $p_d$, $\; n_d / p_d - (N - n_d)/(1 - p_d)$, is zero at
#
# $$p_d = n_d / N,$$
#
# the fraction of images with that pixel black, and the second derivative is negative, so it is the maximum.
# (This is **maximum likelihood**: of all the models in a family, take the one under which the data are most
# probable. Section 5 says why that is a good idea.) **Before you run the cell:** the fit is optimal on the
# training set. What can go wrong on the test set?

# %% tags=["demo"]
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
    for name, p in fits.items():
        nats, bpd = map(torch.as_tensor, log_likelihood(p, test))
        impossible = int((nats == -math.inf).sum())
        print(f"{name:31} {-nats.mean():7.3f} nats {bpd:7.4f} bits/dim   {impossible} impossible images")

# %% [markdown]
# One black pixel where a hundred images had none, and the maximum likelihood fit calls a perfectly good digit
# impossible: the price of a log-likelihood is infinite where a model is sure and wrong. That severity is a
# feature. It is what makes the likelihood impossible to please by playing safe or by memorising (section 5
# tries). The remedy used here is as old as Laplace: pretend to have seen a little more than you have.
#
# A fair coin costs 44.36 nats $= 64 \log 2$: 1 bit/dim, as promised. Independent pixels save almost half of
# it. So are they a good model? Look at what they dream of.

# %% tags=["demo"]
rng = torch.Generator().manual_seed(1)
dreams = (torch.rand(10, 64, generator=rng) < smoothed).long()
fig, ax = plt.subplots(figsize=(8, 2))
plots.image_grid(torch.cat([dreams, test[:10]]), columns=10, ax=ax)
ax.set_title("Above: samples. Below: digits. The model knows where ink is, not how strokes run.")
plots.show(
    fig,
    alt="Ten samples of the independent-pixel model are centred blobs of scattered dots; ten real digits "
    "are connected strokes.",
)

# %% [markdown]
# ### An aside on densities: they may exceed 1
#
# Pixels here are discrete, so $q(x)$ is a probability: at most 1, log at most 0. For continuous $x$, $q(x)$
# is a *density*: probability per unit of volume. Only its integral must be 1, so a narrow density is a high
# one. The uniform density on $[0, 0.1]$ is 10 everywhere there; a Gaussian of standard deviation 0.01 peaks
# at $1/(0.01 \sqrt{2\pi}) \approx 39.9$. Hence a continuous NLL can be negative, and it changes when you
# measure in other units: multiply $x$ by 255 and every dimension costs $\log 255$ nats more. Never compare a
# density's NLL with a discrete one without the bridge: add uniform noise of one grey level's width to the
# discrete data (*dequantization*), and the bits/dim of a density fitted to that, *measured in units of one
# grey level*, are an upper bound on the bits/dim of the discrete model it implies (Theis, van den Oord and
# Bethge, 2016, section 3.1).

# %% tags=["demo"]
axis = np.linspace(-0.06, 0.16, 2201)
curves = {
    "uniform on [0, 0.1]": np.where((axis >= 0) & (axis <= 0.1), 10.0, 0.0),
    "Gaussian, sd 0.01": np.exp(-0.5 * ((axis - 0.05) / 0.01) ** 2) / (0.01 * math.sqrt(2 * math.pi)),
}
fig, ax = plt.subplots(figsize=(6, 2.6))
for (name, height), style in zip(curves.items(), ["--", "-"], strict=True):
    ax.plot(axis, height, style, label=f"{name}: area {np.trapezoid(height, axis):.2f}")
ax.axhline(1, color="black", lw=0.8, ls=":")
ax.set(xlabel="x", ylabel="density q(x)", title="Far above 1 (dotted), and yet each encloses an area of 1")
ax.legend(loc="upper right", fontsize=8)
plots.show(
    fig,
    alt="A uniform density of height 10 and a Gaussian density of height 40, both far above one, each with "
    "area one.",
)

# %% [markdown]
# ## 4 · A map of generative models
#
# A generative model is a description of how data could have come about, complete enough that new data can be
# drawn from it. The families differ in what they make easy. The first question to ask of a model is: *can it
# tell me $q(x)$?*

# %% tags=["demo"]
boxes = {  # name: (x, y, text)
    "root": (0.5, 0.93, "generative models\nhow could x have come about?"),
    "explicit": (0.36, 0.66, "explicit\nthere is a formula for q(x)"),
    "implicit": (0.88, 0.66, "implicit\nonly a sampler: x = g(noise)"),
    "tractable": (0.14, 0.38, "tractable\nq(x) is computed exactly"),
    "intractable": (0.58, 0.38, "not tractable\na sum over too many terms"),
    "ar": (0.07, 0.08, "autoregressive\nFVBN, NADE,\nPixelCNN, WaveNet"),
    "flow": (0.27, 0.08, "flows\nNICE, RealNVP,\nGlow"),
    "latent": (0.48, 0.08, "directed latent\nHelmholtz machine,\nVAE: a bound"),
    "undirected": (0.69, 0.08, "undirected\nRBM, energy models:\nunknown constant Z"),
    "gan": (0.88, 0.08, "adversarial\nGAN: no likelihood\nat all"),
}
edges = [
    ("root", "explicit"),
    ("root", "implicit"),
    ("explicit", "tractable"),
    ("explicit", "intractable"),
    ("tractable", "ar"),
    ("tractable", "flow"),
    ("intractable", "latent"),
    ("intractable", "undirected"),
    ("implicit", "gan"),
]
fig, ax = plt.subplots(figsize=(10, 4.6))
for parent, child in edges:
    ax.annotate(
        "", xy=boxes[child][:2], xytext=boxes[parent][:2], arrowprops=dict(arrowstyle="-", color="gray")
    )
for name, (x, y, text) in boxes.items():
    here = name in ("root", "explicit", "tractable", "ar")
    ax.text(
        x,
        y,
        text,
        ha="center",
        va="center",
        fontsize=9,
        bbox=dict(boxstyle="round", fc="#fff3c4" if here else "white", ec="black" if here else "gray"),
    )
ax.set(xlim=(-0.04, 1.0), ylim=(-0.06, 1.03), title="Follow the yellow boxes: this lesson, and the next ones")
ax.axis("off")
plots.show(
    fig,
    alt="A tree. Generative models split into explicit and implicit (GAN). Explicit ones split into "
    "tractable (autoregressive, flows) and "
    "not tractable (directed latent-variable models, undirected models). This lesson follows explicit, "
    "tractable, autoregressive.",
)

# %% [markdown]
# | family | how it defines $q(x)$ | likelihood | sampling | where it hurts |
# | --- | --- | --- | --- | --- |
# | autoregressive | $\prod_d q(x_d \mid x_{<d})$ | exact, one pass | exact, one dimension after another | sampling is sequential; needs an ordering |
# | flow | $x = f(z)$, $f$ invertible: $q(x) = q(z)\,\lvert\det \partial z / \partial x\rvert$ | exact | exact, one pass for many flows | $f$ must be invertible, so $z$ is as large as $x$ |
# | directed latent | $\sum_z q(z)\, q(x \mid z)$, or an integral | a lower bound | exact: draw $z$, then $x$ | the posterior $q(z \mid x)$ |
# | undirected | $\tilde q(x) / Z$, $\; Z = \sum_x \tilde q(x)$ | known up to the constant $\log Z$ | approximate, by a Markov chain | $Z$, its gradient, and slow chains |
# | implicit | whatever $g(\text{noise})$ comes out as | none | exact, one pass | nothing to maximise, nothing to compare: needs a critic |
#
# (Here $z$ is a *latent* variable, one that is not observed, and $\tilde q(x) > 0$ a score that need not sum
# to anything in particular.)
#
# ### Why a constant can be the whole problem: a restricted Boltzmann machine, enumerated
#
# A restricted Boltzmann machine (RBM; Smolensky, 1986) has visible units $x \in \{0,1\}^D$ and hidden units
# $h \in \{0,1\}^H$, biases $a$ and $c$, weights $U$ ($D \times H$), and
#
# $$q(x, h) = \frac{1}{Z} \exp\big(a^\top x + c^\top h + x^\top U h\big), \qquad Z = \sum_x \sum_h \exp\big(a^\top x + c^\top h + x^\top U h\big).$$
#
# The sum over $h$ can be done by hand, since given $x$ every $h_j$ appears in a term of its own:
#
# $$\tilde q(x) = \sum_h e^{a^\top x + c^\top h + x^\top U h} = e^{a^\top x} \prod_{j=1}^{H} \big(1 + e^{\,c_j + (x^\top U)_j}\big), \qquad q(x) = \tilde q(x) / Z .$$
#
# So the numerator is cheap. But $Z$ sums $\tilde q$ over all $2^D$ images (or, by symmetry, a similar
# expression over all $2^H$ hidden states, which helps only while $H$ is small). We need a world small enough
# to do it. Meet one that will accompany the whole course.

# %% tags=["demo"]
world = data.tiny_world()
states = world.states.double()
rng = torch.Generator().manual_seed(0)
fig, axes = plt.subplots(1, 2, figsize=(9, 2.6), width_ratios=[2, 1])
plots.image_grid(world.sample(40, generator=rng), columns=10, ax=axes[0])
axes[0].set_title("The small world: 4 × 4 images whose distribution is known")
axes[1].plot(np.arange(1, len(states) + 1), world.log_p.exp().sort(descending=True).values.cumsum(0))
axes[1].set(
    xscale="log",
    xlabel="most probable images counted",
    ylabel="their total probability",
    title="65,536 images; few matter",
)
plots.show(
    fig,
    alt="Forty 4 by 4 samples of the small world, and the cumulated probability of its images, most "
    "probable first.",
)
print(f"total mass {world.log_p.exp().sum():.12f}")
print(f"entropy    {world.entropy:.4f} nats, of at most 16 log 2 = {16 * math.log(2):.4f}")


# %% tags=["demo"]
def rbm_log_score(x, a, c, U):
    """log of the unnormalised probability of each image, hidden units summed out."""
    return x @ a + torch.nn.functional.softplus(c + x @ U).sum(1)


hidden = 8
rng = torch.Generator().manual_seed(0)
a, c = torch.zeros(16, dtype=torch.float64), torch.zeros(hidden, dtype=torch.float64)
U = 0.1 * torch.randn(16, hidden, generator=rng, dtype=torch.float64)
for parameter in (a, c, U):
    parameter.requires_grad_()
optimizer = torch.optim.Adam([a, c, U], lr=0.1)
p_world = world.log_p.exp()
for _ in range(budget(smoke=20, cpu=250, gpu=500)):
    scores = rbm_log_score(states, a, c, U)
    log_Z = scores.logsumexp(0)  # possible because 2^16 terms can be summed
    rbm_gap = p_world @ (world.log_p - scores) + log_Z  # the KL divergence of the next section
    optimizer.zero_grad()
    rbm_gap.backward()
    optimizer.step()

rbm_gap = rbm_gap.item()

with torch.no_grad():
    hidden_states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * hidden)
    by_images = rbm_log_score(states, a, c, U).logsumexp(0)
    by_hidden = rbm_log_score(hidden_states, c, a, U.T).logsumexp(0)  # the roles exchanged
print(f"log Z from 2^16 images:        {by_images:.10f}")
print(f"log Z from 2^{hidden} hidden states: {by_hidden:.10f}")
print(f"an RBM trained with the exact Z misses the small world by {rbm_gap:.4f} nats")
for D in (16, 64, 784):
    print(f"D = {D:3}: 2^{D} terms; at a thousand million a second, {2.0**D / 1e9 / 3.156e7:.1e} years")

# %% [markdown]
# At 64 pixels you would wait for 585 years, per gradient step. So real RBMs never know their own likelihood;
# they are trained and tested by approximations (contrastive divergence, Hinton, 2002; annealed importance
# sampling, Salakhutdinov and Murray, 2008). Autoregressive models avoid the problem in the most radical way:
# they are built so that $Z = 1$, *by construction*, one small sum at a time. That is section 6. First: why is
# likelihood the thing to maximise at all?

# %% [markdown]
# ## 5 · Maximum likelihood is minimum divergence
#
# Let the data be drawn from $p$. As the number of images grows, the mean NLL of a model $q$ tends to its
# expectation
#
# $$\mathbb{E}_{x \sim p}\big[-\log q(x)\big] = \sum_x p(x) \log \frac{1}{q(x)},$$
#
# the **cross-entropy** of $p$ and $q$. Insert $1 = p(x)/p(x)$ under the logarithm:
#
# $$\underbrace{\sum_x p(x) \log \frac{1}{q(x)}}_{\text{expected NLL}} \;=\; \underbrace{\sum_x p(x) \log \frac{1}{p(x)}}_{\text{entropy } H(p)} \;+\; \underbrace{\sum_x p(x) \log \frac{p(x)}{q(x)}}_{\mathrm{KL}(p \,\|\, q)} .$$
#
# The first term on the right does not depend on the model: it is the randomness of the data themselves. The
# second is the **Kullback–Leibler divergence**. It is never negative: since $\log u \le u - 1$ for all
# $u > 0$, with equality only at $u = 1$,
#
# $$-\mathrm{KL}(p \,\|\, q) = \sum_{x:\, p(x) > 0} p(x) \log \frac{q(x)}{p(x)} \;\le\; \sum_{x:\, p(x) > 0} p(x) \Big(\frac{q(x)}{p(x)} - 1\Big) = \sum_{x:\, p(x) > 0} q(x) - 1 \;\le\; 0,$$
#
# and it is zero only if $q(x) = p(x)$ everywhere. So: **making the data more probable and bringing the model
# closer to the truth, in KL, are the same thing.** On real data $H(p)$ is unknown, so an NLL alone never says
# how good a model is, only which of two is better. On the small world we know it.
#
# **The same for classifiers.** A classifier models $q(y \mid x)$; its mean log loss
# $\mathbb{E}[-\log q(y \mid x)]$ is what deep learning libraries call the *cross-entropy loss*. The same line
# of algebra, for each $x$, gives
# $\mathbb{E}_x\big[ H(p(y \mid x)) + \mathrm{KL}(p(y \mid x) \,\|\, q(y \mid x)) \big]$. It is maximum
# likelihood too, of the labels given the images. It says nothing about how probable the images are.

# %% [markdown]
# ## Exercise 2 · `kl`
#
# Two conventions follow from limits, and both matter in practice: $0 \log 0 = 0$ (an outcome that never
# happens is no cost), and a model that excludes what does happen is infinitely far away.


# %% exercise="kl"
def kl(p, q):
    """Kullback-Leibler divergence KL(p || q) of two discrete distributions.

    Args:
        p, q: (K,) float64, K >= 1, each sums to 1; entries may be 0, or positive and as tiny as 1e-300.

    Returns:
        One number, in nats: sum_k p[k] log(p[k] / q[k]), where outcomes with p[k] = 0 add nothing;
        infinity if p has mass where q has none, however little, and only then.
    """
    ### BEGIN SOLUTION
    happens = p > 0
    return (p[happens] * (p[happens].log() - q[happens].log())).sum()
    ### END SOLUTION


# %% check="kl"

# %% [markdown]
# ### Your function at work: NLL minus entropy is the KL divergence, to the last digit
#
# Three models of the small world: know nothing; independent pixels with the exact marginal probabilities; and
# an RBM. For each we compute the expected NLL on the left and entropy + KL on the right.


# %% tags=["demo"]
def independent_log_prob(p, x):
    return torch.where(x == 1, p, 1 - p).log().sum(1)


with torch.no_grad():
    world_models = {
        "uniform": torch.full((65536,), -16 * math.log(2), dtype=torch.float64),
        "independent pixels": independent_log_prob(p_world @ states, states),
        "RBM, 8 hidden units": rbm_log_score(states, a, c, U) - by_images,
    }
with waits_for("kl"):
    for name, log_q in world_models.items():
        left, right = -(p_world @ log_q), world.entropy + float(kl(p_world, log_q.exp()))
        print(f"{name:22} expected NLL {left:.12f}   entropy + KL {right:.12f}")

# %% [markdown]
# ### The direction matters
#
# $\mathrm{KL}(p \,\|\, q)$ averages over what *happens*: a model pays dearly wherever the truth has mass and
# it has none. $\mathrm{KL}(q \,\|\, p)$ averages over what *the model says*: it pays for mass where the truth
# has none, and nothing for what it leaves out. Let a model that can only be one bump fit a truth with two.
# **Which of the two divergences will choose the middle?**

# %% tags=["demo"]
axis = torch.linspace(-6, 6, 121, dtype=torch.float64)


def bump(mean, width):
    """A discretized Gaussian on the axis, as probabilities."""
    return torch.softmax(-0.5 * ((axis - mean) / width) ** 2, 0)


truth = 0.65 * bump(-2, 0.7) + 0.35 * bump(2.5, 0.7)
candidates = [(mean, width) for mean in np.arange(-4, 4.1, 0.25) for width in np.arange(0.5, 4.1, 0.25)]
with waits_for("kl"):
    forward = min(candidates, key=lambda mw: float(kl(truth, bump(*mw))))
    backward = min(candidates, key=lambda mw: float(kl(bump(*mw), truth)))
    fig, ax = plt.subplots(figsize=(7, 2.8))
    ax.fill_between(axis, truth, color="0.85", label="truth p")
    ax.plot(axis, bump(*forward), label="q with least KL(p || q): maximum likelihood")
    ax.plot(axis, bump(*backward), "--", label="q with least KL(q || p)")
    ax.set(
        xlabel="x",
        ylabel="probability",
        ylim=(0, 0.075),
        title="Maximum likelihood covers both modes; the reverse picks one",
    )
    ax.legend(loc="upper right", fontsize=8)
    plots.show(
        fig,
        alt="Truth with two bumps. The bump that minimises KL(p||q) is wide and spans both; the one that "
        "minimises KL(q||p) sits on the larger bump.",
    )

# %% [markdown]
# Maximum likelihood would rather put mass on nonsense between the modes than miss one. Remember this when
# samples of a likelihood model look washed out (they cover), and when those of a GAN look sharp but repeat
# themselves (lessons to come).
#
# ### Generation against retrieval
#
# How would you cheat? Return training images. A "model" that memorises the training set draws perfect
# samples, for they are real digits. Let us give this cheat a fair likelihood: to draw, pick one of the $N$
# training images $t^{(n)}$ at random and flip each pixel with probability $\varepsilon$:
#
# $$q_\varepsilon(x) = \frac{1}{N} \sum_{n=1}^{N} \varepsilon^{\,\Delta(x, t^{(n)})} (1 - \varepsilon)^{D - \Delta(x, t^{(n)})}, \qquad \Delta = \text{number of pixels that differ}.$$
#
# This is a *kernel density estimate* with a Bernoulli kernel. **Before you run the cell: as
# $\varepsilon \to 0$, where does the training NLL go? And the test NLL?**


# %% tags=["demo"]
def differences(x):
    """(len(x), len(train)): in how many pixels each image differs from each training image."""
    x, t = x.double(), train.double()
    return x.sum(1, keepdim=True) + t.sum(1) - 2 * x @ t.T


def retrieval_log_prob(x, flip):
    delta = differences(x)
    return torch.logsumexp(delta * math.log(flip) + (64 - delta) * math.log1p(-flip), 1) - math.log(
        len(train)
    )


flips = np.logspace(-7, np.log10(0.3), 25)
curves = {
    name: [-retrieval_log_prob(x, flip).mean() for flip in flips]
    for name, x in [("training images", train), ("validation images", digits.valid.x), ("test images", test)]
}
best_flip = flips[int(np.argmin(curves["validation images"]))]
rng = torch.Generator().manual_seed(0)
picked = train[torch.randint(len(train), (8,), generator=rng)]
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), width_ratios=[1.3, 1])
for (name, nll), style in zip(curves.items(), [":", "--", "-"], strict=True):
    axes[0].plot(flips, nll, style, label=name)
axes[0].axhline(-independent_log_prob(smoothed, test).mean(), color="gray", lw=0.8)
axes[0].text(flips[0], 25.8, "independent pixels, test", fontsize=8, color="gray")
axes[0].set(
    xscale="log",
    xlabel="flip probability ε",
    ylabel="NLL (nats per image)",
    title="Memorising wins the training set and loses the test",
)
axes[0].legend()
flipped = [picked ^ (torch.rand(8, 64, generator=rng) < flip).long() for flip in (1e-7, best_flip, 0.2)]
plots.image_grid(torch.cat(flipped), columns=8, ax=axes[1])
name_rows(axes[1], "ε = 1e-7", f"ε = {best_flip:.2f}\n(best)", "ε = 0.2")
axes[1].set_title("Its samples")
plots.show(
    fig,
    alt="As the flip probability goes to zero the training NLL of the memorising model falls to log N, "
    "about 7 nats, while the test NLL grows without bound; "
    "its samples meanwhile become perfect digits.",
)
print(f"log N = {math.log(len(train)):.2f} nats")

# %% [markdown]
# The samples get better and better while the model gets worse and worse. At $\varepsilon \to 0$ the training
# NLL tends to $\log N$ (nothing left to know but *which* training image) and the test NLL to infinity. So,
# for the rest of the course:
#
# * **Good samples do not prove a good model**, and a good likelihood does not prove good samples (Theis et
#   al., 2016, section 3.2). Look at both, and at the nearest training image of every sample you are proud of.
# * Likelihood is measured on images that took no part in training, or it measures memory.

# %% [markdown]
# ## 6 · The chain rule: any distribution, one pixel at a time
#
# Put the dimensions into some order, for now simply $1, 2, \dots, D$. By the definition of conditional
# probability, $p(x_d \mid x_{<d}) = p(x_{\le d}) / p(x_{<d})$ where $x_{\le d} = (x_1, \dots, x_d)$ and
# $p(x_{<1}) = 1$. Multiply these for $d = 1, \dots, D$: each numerator cancels the next denominator, and what
# remains is
#
# $$p(x) = \prod_{d=1}^{D} p(x_d \mid x_{<d}).$$
#
# No assumption was made. *Every* distribution can be written so, in *every* order of its dimensions. And the
# other way round: take any functions $c_d(x_{<d})$ with values in $[0, 1]$, *declare* them to be
# $q(x_d = 1 \mid x_{<d})$, and the product is a distribution, whose sum over all $2^D$ images is exactly 1.
# Proof: sum over $x_D$ first; the only factor that contains it gives $c_D + (1 - c_D) = 1$ and disappears;
# then $x_{D-1}$, and so on down to the first. That is how autoregressive models get $Z = 1$ for nothing.
#
# **Counting.** A table of $p(x)$ has $2^D$ entries, of which $2^D - 1$ are free since they sum to 1. The
# conditionals need one number for each prefix: $2^0$ for $x_1$, $2^1$ for $x_2$, up to $2^{D-1}$ for $x_D$,
# together
#
# $$\sum_{d=1}^{D} 2^{d-1} = 2^D - 1 .$$
#
# The same number: nothing was gained, nothing lost. The chain rule does not compress; it *organises*. The
# gain comes in section 8, when we replace the tables by functions with few parameters.

# %% tags=["demo"]
graphs = {
    "independent pixels:\nno arrows": [],
    "Markov chain:\none predecessor": [(i, i + 1) for i in range(4)],
    "chain rule (and FVBN):\nall predecessors": [(i, j) for j in range(5) for i in range(j)],
}
fig, axes = plt.subplots(1, 3, figsize=(9, 2.4))
for ax, (name, arrows) in zip(axes, graphs.items(), strict=True):
    for i, j in arrows:
        ax.annotate(
            "",
            xy=(j - 0.14, 0),
            xytext=(i + 0.14, 0),
            arrowprops=dict(
                arrowstyle="->",
                connectionstyle=f"arc3,rad={-0.35 * (j - i > 1) * (-1) ** (i + j)}",
                shrinkA=4,
                shrinkB=4,
            ),
        )
    for d in range(5):
        ax.text(d, 0, f"$x_{d + 1}$", ha="center", va="center", bbox=dict(boxstyle="circle", fc="white"))
    ax.set(xlim=(-0.5, 4.5), ylim=(-1.1, 1.1), title=name)
    ax.axis("off")
plots.show(
    fig,
    alt="Three directed graphical models of five pixels: without arrows; a chain; and the complete graph "
    "with an arrow from every pixel to every later one.",
)

# %% [markdown]
# In the language of graphical models the chain rule is the *complete* directed acyclic graph: an arrow from
# every pixel to every later one. A missing arrow would be an assumption. A fully visible belief network,
# below, misses no arrow either; what it restricts is the *shape of the function* behind each of them.

# %% [markdown]
# ## Exercise 3 · `conditionals`
#
# From the joint table to its conditionals. The prefix $x_{<d}$ has probability
# $p(x_{<d}) = \sum_{x_d, \dots, x_D} p(x)$: sum out whatever comes later. If a prefix never happens, the
# conditional is 0/0, and any number in $[0, 1]$ serves; but `nan` does not.


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
# ## Exercise 4 · `joint`
#
# And back: multiply the conditionals into the table.


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
# ### Your functions at work: does the ordering matter?
#
# Take the small world's table of $2^{16}$ probabilities. Split it and join it again, in raster order, in a
# spiral, in a random order. **Does the product of the conditionals depend on the ordering?** And which
# entries of the list changed? (Keep your answer: section 8 asks again, for restricted conditionals, and the
# answer there is different.)

# %% tags=["demo"]
table = p_world.view((2,) * 16)
world_orders = {
    "raster": orderings.raster(4, 4),
    "spiral": orderings.spiral(4, 4),
    "random": orderings.random(16, seed=0),
}
with waits_for("conditionals", "joint"):
    for name, order in world_orders.items():
        parts = [torch.as_tensor(part) for part in conditionals(table.permute(*order.tolist()).contiguous())]
        back = torch.as_tensor(joint(parts)).permute(*order.argsort().tolist())
        count, error = sum(part.numel() for part in parts), (back - table).abs().max()
        print(f"{name:7} {count:,} numbers; joined again they give the table to within {error:.0e}")

# %% [markdown]
# ## 7 · Ancestral sampling
#
# The chain rule is also a recipe. Draw $x_1$ from $p(x_1)$; then, with that value in hand, $x_2$ from
# $p(x_2 \mid x_1)$; then $x_3$ from $p(x_3 \mid x_1, x_2)$; and so on, ancestors first. The probability that
# this produces a particular $x$ is the product of the probabilities of its steps, and that product *is*
# $p(x)$. So the sample is exact: no burn-in, no rejection, no approximation, and each run is independent of
# the last.
#
# To draw one bit with probability $c$ of being 1: take $u$ uniform in $[0, 1)$ and return 1 if $u < c$.
#
# ## Exercise 5 · `ancestral_sample`
#
# The conditionals come as a function that you may call, once for each dimension: it is given a batch of
# prefixes, and answers for all of them together. All randomness must come from `seed`.


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
# ### Your function at work
#
# We let it draw from the small world and compare how often each of the most probable images came with how
# often it should have. The bars are two standard deviations of a count; about one dot in twenty may stick
# out.

# %% tags=["demo"]
prefix_mass = [
    p_world.view(2**d, -1).sum(1) for d in range(17)
]  # prefix_mass[d][code]: probability of each prefix of d pixels


def world_conditional(prefix):
    """P(next pixel black | prefix) in the small world, from its exact table."""
    prefix = torch.as_tensor(prefix).long()
    d = prefix.shape[1]
    code = (prefix * 2 ** torch.arange(d - 1, -1, -1)).sum(1)  # the prefix read as a binary number
    return prefix_mass[d + 1][2 * code + 1] / prefix_mass[d][code]


with waits_for("ancestral_sample"):
    n = 50_000
    drawn = torch.as_tensor(ancestral_sample(world_conditional, n, 16, seed=0))
    counts = torch.bincount((drawn * 2 ** torch.arange(15, -1, -1)).sum(1), minlength=2**16)
    top = p_world.argsort(descending=True)[:40]
    expected, spread = n * p_world[top], 2 * (n * p_world[top] * (1 - p_world[top])).sqrt()
    fig, axes = plt.subplots(1, 2, figsize=(9, 2.8), width_ratios=[1, 1.6])
    plots.image_grid(drawn[:32], columns=8, ax=axes[0], title="Your samples")
    axes[1].errorbar(
        range(40), expected, spread, fmt="none", color="gray", label="expected ± 2 standard deviations"
    )
    axes[1].plot(counts[top], "o", ms=4, label="counted in your samples")
    axes[1].set(
        xlabel="the 40 most probable images", ylabel=f"times among {n:,}", title="Exact sampling, counted"
    )
    axes[1].legend()
    plots.show(
        fig,
        alt="Samples of the small world from the reader's sampler; observed counts of the forty most "
        "probable images lie on the expected ones.",
    )

# %% [markdown]
# ## 8 · Fully visible belief networks
#
# Tables of $2^D - 1$ numbers are hopeless at $D = 64$, and would be even if they fit: no data set could fill
# them. So restrict the conditionals. The simplest thing that lets a pixel listen to earlier ones is *logistic
# regression*:
#
# $$q(x_i = 1 \mid \text{pixels before } i) = \sigma\Big(b_i + \sum_{j \text{ before } i} W_{ij}\, x_j\Big), \qquad \sigma(a) = \frac{1}{1 + e^{-a}},$$
#
# with a bias $b_i$ for each pixel and a weight $W_{ij}$ for each pair. That is $D + D(D-1)/2$ parameters: 136
# instead of 65,535 for the small world, 2,080 instead of $2^{64} - 1$ for our digits, 307,720 instead of
# $2^{784} - 1$ for images of 28 × 28. The model is called a **fully visible belief network** (FVBN): a
# sigmoid belief network (Neal, 1992) without hidden units, also known as a logistic autoregressive network
# (Frey, 1998).
#
# **The ordering, precisely.** An ordering is a permutation: `order[k]` is the dimension that comes $k$-th.
# "$j$ before $i$" means that $j$ stands at a smaller *place* $k$ than $i$, not that $j < i$. In raster order
# (row by row, left to right) the pixels before $(r, s)$ are those to its left in row $r$ **and all pixels of
# all rows above, also the ones above and to the right**. In colour images every pixel has three dimensions,
# which come in the order red, green, blue: green may look at the red of its own pixel, blue at both.

# %% tags=["demo"]
orders = {
    "raster": orderings.raster(8, 8),
    "spiral": orderings.spiral(8, 8),
    "random": orderings.random(64, seed=0),
}
fig, axes = plt.subplots(1, 3, figsize=(9, 3.3))
for ax, (name, order) in zip(axes, orders.items(), strict=True):
    place = order.argsort()
    row, column = order // 8, order % 8
    asked = 27  # row 3, column 3
    seen = torch.where(place < place[asked], 0.25, 0.0).view(8, 8)
    ax.imshow(seen, cmap="Blues", vmin=0, vmax=1)
    if name != "random":
        ax.plot(column, row, "-", color="gray", lw=0.7)
    for d in range(64):
        ax.text(
            d % 8,
            d // 8,
            int(place[d]),
            ha="center",
            va="center",
            fontsize=7,
            weight="bold" if d == asked else "normal",
        )
    ax.add_patch(plt.Rectangle((2.5, 2.5), 1, 1, fill=False, ec=plots.COLORS["vermilion"], lw=2))
    ax.set(xlabel="column", ylabel="row", title=f"{name}: {int(place[asked])} before the frame")
plots.show(
    fig,
    alt="Three 8 by 8 grids that number the pixels in raster, spiral and random order; the pixels before "
    "pixel (3, 3) are shaded. In raster order they include those above and to the right.",
)

# %% [markdown]
# ## Exercise 6 · `fvbn_log_prob`
#
# The heart of the lesson. Three things to get right:
#
# * **No peeking.** The logit of $x_i$ must not see $x_i$ or anything after it. `W` is a full matrix; what it
#   holds in the places that do not count must not matter, whatever it is.
# * **Any ordering.** You need to know *when* each dimension comes; `order` tells you *which* dimension comes
#   when. These are inverse permutations of each other. (For raster order they are the same, which is why this
#   mistake survives testing.)
# * **Large logits.** $\log \sigma(-1000)$ is $-1000$, not $-\infty$: use $\log \sigma(a) = -\log(1 + e^{-a})$
#   in a form that does not overflow. And mind that $1 - \sigma(a) = \sigma(-a)$.


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
# ### Training
#
# The gradient could not be simpler: $\partial \log q(x) / \partial b_i = x_i - \sigma(\text{logit}_i)$,
# observed minus expected, times $x_j$ for $W_{ij}$. Each conditional is a logistic regression of its own, so
# the problem is convex: no local optima, no luck. `course_lib.models.FVBN` is your function with its
# parameters attached, and `fit` does what training loops do: Adam on the mean NLL of a batch, and the weights
# of the best validation epoch kept at the end.

# %% tags=["train"]
epochs = budget(smoke=6, cpu=60, gpu=60)
fvbn = FVBN(64, order=orders["raster"])
history = fit(fvbn, digits, epochs=epochs, batch_size=64, lr=1e-2)
print(history)
baseline = -independent_log_prob(smoothed, digits.valid.x).mean()
fig = plots.training_curve(
    history, references={"independent pixels": float(baseline)}, title="Logistic regressions learn fast"
)
plots.show(
    fig,
    alt="Training and validation NLL of the FVBN against epochs: both fall from above 25 nats to about 18; "
    "the validation curve flattens first.",
)

# %% tags=["demo"]
cost = metrics.nll(fvbn, test)
print(f"FVBN on the test digits: {cost} nats = {metrics.bits_per_dim(cost, 64)} bits/dim")
with waits_for("fvbn_log_prob"), torch.no_grad():
    yours = torch.as_tensor(
        fvbn_log_prob(test, fvbn.linear.weight.double(), fvbn.linear.bias.double(), fvbn.order)
    )
    print(f"your function, same weights: {-yours.mean():.2f} nats")

# %% [markdown]
# 6.8 nats better than independent pixels: each test digit is $e^{6.8} \approx 900$ times as probable as
# before, in the geometric mean. Now let it dream, and watch one dream come about: the numbers it computed,
# pixel after pixel, and the coins it tossed.

# %% tags=["demo"]
rng = torch.Generator().manual_seed(4)
samples = fvbn.sample(200, generator=rng)
neighbour_far, neighbour = nearest(samples, train)
with torch.no_grad():
    chance = fvbn(samples[:1]).sigmoid().view(64)  # P(pixel black | the pixels before it)
stages = []
for known in (8, 24, 40, 56, 64):
    stages.append(torch.where(torch.arange(64) < known, samples[0].double(), 0.3))
fig, axes = plt.subplots(2, 1, figsize=(9, 5), height_ratios=[3, 2.2])
plots.image_grid(torch.cat([samples[:14], train[neighbour[:14]], test[:14]]), columns=14, ax=axes[0])
name_rows(axes[0], "samples", "nearest\ntraining digit", "test digits")
axes[0].set_title("Strokes, loops, some readable digits, and no copies")
plots.image_grid(torch.stack([*stages, chance.double()]), columns=6, ax=axes[1])
for k, text in enumerate(["8 pixels drawn", "24", "40", "56", "64: done", "its 64 conditionals"]):
    axes[1].text((k + 0.5) / 6, -0.02, text, transform=axes[1].transAxes, ha="center", va="top", fontsize=9)
axes[1].set_title("One sample in the making, row by row")
plots.show(
    fig,
    alt="FVBN samples look like strokes, a few like digits; each differs from its nearest training digit "
    "in several pixels. Below, one sample growing row by row, and its conditional probabilities.",
)
print(
    f"pixels off the nearest training digit: samples {neighbour_far.mean():.1f}, test digits {far.mean():.1f}"
)

# %% [markdown]
# What did it learn? The weights $W_{i\cdot}$ of one pixel are an image themselves: which earlier pixels speak
# for black (blue) and which against (red)?

# %% tags=["demo"]
weights = fvbn.linear.masked_weight().detach()
fig, axes = plt.subplots(1, 5, figsize=(9.5, 2.2), width_ratios=[1, 1, 1, 1, 1.25])
for ax, d in zip(axes, [11, 20, 36, 43, 51], strict=True):
    drawn = ax.imshow(weights[d].view(8, 8), cmap="RdBu", vmin=-3, vmax=3)
    ax.add_patch(plt.Rectangle((d % 8 - 0.5, d // 8 - 0.5), 1, 1, fill=False, ec="black", lw=2))
    ax.set(xticks=[], yticks=[], title=f"pixel ({d // 8}, {d % 8})")
fig.colorbar(drawn, ax=axes[-1], label="weight")
fig.suptitle("Mostly, a pixel listens to its neighbours: strokes go on", fontsize=11)
plots.show(
    fig,
    alt="The incoming weights of five pixels drawn as images: large positive weights from the pixels just "
    "above and to the left, some negative ones further away, none from later pixels.",
)

# %% [markdown]
# ### Experiment: does the ordering matter now?
#
# For full tables it did not. **Before you run the cell:** now every conditional must be a logistic
# regression. Which ordering would you bet on: raster, spiral, or random? By how many nats, compared with the
# error bars?

# %% tags=["train"]
candidates = {
    "raster": [orders["raster"]],
    "spiral": [orders["spiral"]],
    "random": [orderings.random(64, seed) for seed in range(budget(smoke=2, cpu=5, gpu=10))],
}
trained_orders = {"raster": [fvbn]}
for name, versions in candidates.items():
    for order in versions:
        if name != "raster":
            model = FVBN(64, order=order)
            fit(model, digits, epochs=epochs, batch_size=64, lr=1e-2, progress=False)
            trained_orders.setdefault(name, []).append(model)

fig, axes = plt.subplots(1, 2, figsize=(9, 3))
for k, (name, models) in enumerate(trained_orders.items()):
    for shift, model in zip(0.1 * (np.arange(len(models)) - (len(models) - 1) / 2), models, strict=True):
        estimate, gap = metrics.nll(model, test), metrics.nll_difference(model, fvbn, test)
        axes[0].errorbar(k + shift, estimate.mean, estimate.stderr, fmt="o", color="black", ms=4)
        axes[1].errorbar(k + shift, gap.mean, gap.stderr, fmt="o", color="black", ms=4)
        print(f"{name:7} {estimate} nats; against raster, image by image: {gap}")
axes[0].set(ylabel="test NLL (nats)", title="Seen one by one: all alike")
axes[1].set(ylabel="difference to raster (nats)", title="Paired: the error bars shrink")
for ax in axes:
    ax.set_xticks(range(3), trained_orders)
    ax.set_xlabel("ordering (random: one dot a permutation)")
plots.show(
    fig,
    alt="Left: test NLL of FVBNs in raster, spiral and several random orders, error bars overlap. Right: "
    "the paired differences to raster with much smaller error bars.",
)

# %% [markdown]
# The error bars on the left are the standard error of a mean over 300 different digits, most of which are
# hard or easy for *every* model. Taking the difference image by image removes that shared part (right):
# always compare models on the same images, in pairs. Even so, the data are few. On the small world there is
# no sampling error at all: there we can minimise the KL divergence itself.


# %% tags=["train"]
def fit_exactly(log_prob, parameters):
    """Minimise KL(small world || model) itself, summed over all 65,536 images; returns it in nats."""
    parameters = list(parameters)
    steps = budget(smoke=8, cpu=40, gpu=80)
    optimizer = torch.optim.LBFGS(parameters, max_iter=steps, line_search_fn="strong_wolfe")

    def divergence():
        optimizer.zero_grad()
        value = p_world @ (world.log_p - log_prob(world.states))
        value.backward()
        return value

    optimizer.step(divergence)
    return divergence().item()


world_fvbns, world_gaps = {}, {}
for name, order in world_orders.items():
    world_fvbns[name] = FVBN(16, order=order).double()
    world_gaps[name] = fit_exactly(world_fvbns[name].log_prob, world_fvbns[name].parameters())
marginals = p_world @ states
world_gaps_all = {
    "uniform": 16 * math.log(2) - world.entropy,
    "independent pixels": float(p_world @ (world.log_p - independent_log_prob(marginals, world.states))),
    **{f"FVBN, {name}": gap for name, gap in world_gaps.items()},
    "RBM, 8 hidden units": rbm_gap,
    "the table itself": 0.0,
}

fig, ax = plt.subplots(figsize=(8, 3))
ax.barh(list(world_gaps_all), world.entropy, color="0.8")
bars = ax.barh(
    list(world_gaps_all), list(world_gaps_all.values()), left=world.entropy, color=plots.COLORS["orange"]
)
ax.bar_label(bars, [f"{gap:.3f}" for gap in world_gaps_all.values()], padding=4)
ax.text(world.entropy / 2, 0, "entropy: no model goes below", ha="center", va="center", fontsize=8)
ax.text(world.entropy + 0.1, 0, "KL: what the model loses", va="center", fontsize=8)
ax.invert_yaxis()
ax.set(
    xlabel="expected NLL (nats per image)",
    xlim=(0, 12.5),
    title="The small world: how far each model is from the truth, exactly",
)
plots.show(
    fig,
    alt="Stacked bars of entropy plus KL divergence for uniform, independent pixels, three FVBN orderings, "
    "an RBM and the full table, in nats.",
)

# %% [markdown]
# Here the differences between orderings are exact numbers, not estimates. They are small, but they are there:
# a restricted conditional can be *nearly* right in one order and wrong in another. And no ordering closes the
# gap: a single logistic regression cannot say "either this or that".

# %% [markdown]
# ## 9 · Completion, and the clamping trap
#
# Half the image is known; draw the rest. Split the dimensions into known ones, $\mathcal{K}$, and unknown
# ones, $\mathcal{U}$, and write $x_{\mathcal K}$ and $x_{\mathcal U}$ for the values. What we want is
#
# $$p(x_{\mathcal U} \mid x_{\mathcal K}) = \frac{p(x_{\mathcal U}, x_{\mathcal K})}{\sum_{x'_{\mathcal U}} p(x'_{\mathcal U}, x_{\mathcal K})} .$$
#
# The obvious program samples in order, as before, but whenever a pixel is known it *clamps* it to its value
# instead of tossing a coin. Which distribution does that draw from? It tosses only for the unknown pixels, so
#
# $$p_{\text{clamp}}(x_{\mathcal U}) = \prod_{d \in \mathcal{U}} p(x_d \mid x_{<d}), \qquad \text{whereas} \qquad p(x_{\mathcal U} \mid x_{\mathcal K}) = \frac{1}{p(x_{\mathcal K})} \prod_{d \in \mathcal{U}} p(x_d \mid x_{<d}) \cdot \underbrace{\prod_{d \in \mathcal{K}} p(x_d \mid x_{<d})}_{\text{forgotten by clamping}} .$$
#
# If the known pixels are a **prefix** of the ordering, the forgotten factors depend on known pixels only;
# they are the constant $p(x_{\mathcal K})$, cancel it, and clamping is exactly right. If a known pixel comes
# *after* an unknown one, its factor depends on that unknown pixel: it says how well the choice fits what
# comes later, and clamping never listens. In the worst case, where all the known pixels come last, clamping
# draws the unknown ones *as if nothing were known at all*.

# %% [markdown]
# ## Exercise 7 · `condition`
#
# With a table you can do it right for any set of known dimensions.


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
# ### Your function at work: how wrong is clamping?
#
# One image of the small world; we know its top row (a prefix of the raster order), or its left column, or its
# bottom row. **Before you run the cell, order the three by how wrong clamping will be.**

# %% tags=["demo"]
number = torch.arange(2**16)
log_conditional = torch.stack(
    [(prefix_mass[d + 1][number >> (15 - d)] / prefix_mass[d][number >> (16 - d)]).log() for d in range(16)],
    dim=1,
)
original = world.sample(8, generator=torch.Generator().manual_seed(3))[0]
evidence = {"top row": range(4), "left column": range(0, 16, 4), "bottom row": range(12, 16)}

with waits_for("condition"):
    known = {name: {d: int(original[d]) for d in dims} for name, dims in evidence.items()}
    exact = {name: torch.as_tensor(condition(table, values)).flatten() for name, values in known.items()}

    fig, axes = plt.subplots(1, 4, figsize=(9.5, 3.3), width_ratios=[1, 2, 2, 2])
    plots.image_grid(original[None], ax=axes[0])
    axes[0].set_title("the image", fontsize=10)
    rng = torch.Generator().manual_seed(0)
    for ax, (name, right) in zip(axes[1:], exact.items(), strict=True):
        given = list(known[name])
        unknown = [d for d in range(16) if d not in given]
        consistent = (world.states[:, given] == original[given]).all(1)
        clamped = log_conditional[consistent][:, unknown].sum(1).exp()
        forgotten = log_conditional[consistent][:, given].sum(1).exp()
        gap = torch.special.xlogy(right, right / clamped).sum().abs()
        repaired = clamped * forgotten / (clamped * forgotten).sum()
        error = (repaired - right).abs().max()
        print(f"{name:12} KL {gap:.6f} nats; the forgotten factors put back: largest error {error:.0e}")
        drawn = [
            world.states[consistent][torch.multinomial(p, 8, replacement=True, generator=rng)]
            for p in (right, clamped)
        ]
        plots.image_grid(torch.cat(drawn), columns=4, ax=ax)
        ax.set_title(f"{name} known\nKL(exact || clamped) = {gap:.2f}", fontsize=10)
        ax.plot([0, 1], [0.5, 0.5], "-", transform=ax.transAxes, color=plots.COLORS["vermilion"], lw=2)
    plots.show(
        fig,
        alt="Completions of one small-world image from its top row, left column or bottom row; above the "
        "line exact ones, below the line those of clamping. With the top row known both agree; with the "
        "bottom row known clamping ignores the evidence.",
    )

# %% [markdown]
# (Above the line: drawn from the exact conditional. Below: by clamping.) The last numbers show a way out when
# all you have is a sampler: draw by clamping, then *weight* each draw by the forgotten factors. That is
# importance sampling; it is exact in the limit of many draws, and hopeless if the weights are very uneven.
#
# `course_lib`'s models refuse to clamp what is no prefix. Completing the bottom half of a digit from the top
# is fine for an FVBN in raster order. The other way round needs a model whose ordering *starts* at the
# bottom, so we train one.

# %% tags=["demo"]
top_half = torch.arange(64) < 32
try:
    fvbn.complete(test[:1], ~top_half)
except ValueError as refusal:
    print("ValueError:", refusal)

upwards = FVBN(64, order=orders["raster"].flip(0))
fit(upwards, digits, epochs=epochs, batch_size=64, lr=1e-2, progress=False)
chosen = test[torch.tensor([int((digits.test.y == digit).nonzero()[1]) for digit in range(10)])]
rng = torch.Generator().manual_seed(0)
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.6))
for ax, model, known, name in [(axes[0], fvbn, top_half, "top"), (axes[1], upwards, ~top_half, "bottom")]:
    given = torch.where(known, chosen.double(), 0.5 * torch.ones(64, dtype=torch.float64))
    drawn = [model.complete(chosen, known, generator=rng) for _ in range(3)]
    plots.image_grid(
        torch.cat([chosen.double(), given, *[d.double() for d in drawn]]),
        columns=10,
        ax=ax,
        title=f"The {name} half is known: three guesses each",
    )
plots.show(
    fig,
    alt="Ten digits, the same with one half greyed out, and three completions each: left from the top "
    "half, right from the bottom half. Strokes continue plausibly; often the digit changes.",
)

# %% [markdown]
# ### Denoising, with the same rule
#
# If an image was damaged by flipping every pixel with probability 0.1, then
# $p(\text{noisy} \mid x) = 0.1^{\Delta}\, 0.9^{\,16 - \Delta}$ with $\Delta$ the number of pixels that
# differ, and Bayes' rule gives $p(x \mid \text{noisy}) \propto p(x)\, p(\text{noisy} \mid x)$. On the small
# world we can weigh all 65,536 originals. The best guess *pixel by pixel* is black wherever the posterior
# probability of black exceeds one half.

# %% tags=["demo"]
rng = torch.Generator().manual_seed(5)
clean = world.sample(200, generator=rng)
noisy = clean ^ (torch.rand(clean.shape, generator=rng) < 0.1).long()
delta = noisy.double().sum(1, keepdim=True) + states.sum(1) - 2 * noisy.double() @ states.T
weights = torch.softmax(world.log_p + delta * math.log(0.1) + (16 - delta) * math.log(0.9), dim=1)
belief = weights @ states
fig, ax = plt.subplots(figsize=(7.5, 2.9))
plots.image_grid(
    torch.cat([clean[:12].double(), noisy[:12].double(), belief[:12], (belief[:12] > 0.5).double()]),
    columns=12,
    ax=ax,
)
name_rows(ax, "original", "noisy", "P(black | noisy)", "best guess")
ax.set_title("A density is a prior, and a prior removes noise")
plots.show(
    fig,
    alt="Twelve small-world images, their noisy versions, the posterior probability of each pixel, and the "
    "denoised guesses, many of which equal the originals.",
)
for name, guess in [("noisy", noisy), ("best guess", belief > 0.5)]:
    print(f"{name}: {(guess != clean).double().sum(1).mean():.2f} wrong pixels an image")

# %% [markdown]
# ## 10 · Generative and discriminative
#
# A *discriminative* model gives $q(y \mid x)$, the label given the image. A *generative* one gives $q(x)$ or
# $q(x \mid y)$. The difference is not only what you ask, but who competes with whom.
#
# **Images compete for mass.** For each $x$ a classifier's probabilities sum to 1 over the *labels*; what it
# says of one image binds it to nothing for another. A density sums to 1 over the *images*: whatever makes one
# image more probable makes others less so, whether you wanted it or not. We take the FVBN of the small world,
# make one gradient step that raises $\log q$ of *one* image, and look at all the others.

# %% tags=["demo"]
import copy

favoured = int(p_world.argsort(descending=True)[200])
model = copy.deepcopy(world_fvbns["raster"])
with torch.no_grad():
    earlier = model.log_prob(world.states).exp()
gradients = torch.autograd.grad(
    model.log_prob(world.states[favoured : favoured + 1]).sum(), list(model.parameters())
)
with torch.no_grad():
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter += 0.1 * gradient
    later = model.log_prob(world.states).exp()
change = later - earlier
apart = (world.states != world.states[favoured]).sum(1)
fig, ax = plt.subplots(figsize=(6, 3))
ax.bar(range(17), [change[apart == k].sum() for k in range(17)], color=plots.COLORS["blue"])
ax.axhline(0, color="black", lw=0.8, ls="-")
ax.set(
    xlabel="pixels that differ from the favoured image",
    ylabel="change of total probability",
    title="One image and its kin gain; the distant ones pay",
)
plots.show(
    fig,
    alt="Bars: after a gradient step for one image, images that differ from it in few pixels gain "
    "probability, images that differ in many lose it.",
)
print(f"the favoured image: {earlier[favoured]:.2e} -> {later[favoured]:.2e}")
gained, lost = change.clamp(min=0).sum(), change.clamp(max=0).sum()
print(f"all images: gained {gained:.6f}, lost {-lost:.6f}, together {float(gained + lost):+.0e}")

# %% [markdown]
# **From a classifier and a prior to a conditional generator.** Bayes' rule turns a discriminative model
# around:
#
# $$p(x \mid y) = \frac{p(y \mid x)\, p(x)}{p(y)}, \qquad p(y) = \sum_x p(y \mid x)\, p(x).$$
#
# So a density $p(x)$ that never saw a label, and *any* classifier $p(y \mid x)$, together generate images of
# a class. On the small world we can carry it out exactly. Let the classifier be a soft opinion on which half
# holds more ink,
# $p(y{=}\text{left} \mid x) = \sigma\big(2\,(\text{ink on the left} - \text{ink on the right})\big)$. (The
# same rule, with gradients in place of enumeration, steers today's image generators by a classifier.)

# %% tags=["demo"]
images = states.view(-1, 4, 4)
left_given_x = torch.sigmoid(2 * (images[:, :, :2].sum((1, 2)) - images[:, :, 2:].sum((1, 2))))
fig, axes = plt.subplots(1, 3, figsize=(9, 2.3))
rng = torch.Generator().manual_seed(0)
for ax, (name, likelihood) in zip(
    axes,
    {
        "the prior p(x)": torch.ones(2**16),
        "p(x | left)": left_given_x,
        "p(x | right)": 1 - left_given_x,
    }.items(),
    strict=True,
):
    evidence_y = p_world @ likelihood.double()
    given_y = likelihood * p_world / evidence_y
    plots.image_grid(
        world.states[torch.multinomial(given_y, 24, replacement=True, generator=rng)],
        columns=8,
        ax=ax,
        title=name if evidence_y > 0.999 else f"{name}; p(y) = {evidence_y:.2f}",
    )
plots.show(
    fig,
    alt="Samples of the small world's prior, and of the prior conditioned by a classifier on more ink in "
    "the left half and in the right half.",
)

# %% [markdown]
# ## Exercise 8 · `posterior`
#
# And the classical direction: class-conditional densities $p(x \mid y)$ and a prior $p(y)$ make a classifier,
#
# $$p(y \mid x) = \frac{p(x \mid y)\, p(y)}{\sum_{y'} p(x \mid y')\, p(y')} .$$
#
# In images of a thousand pixels, $\log p(x \mid y) = -2000$ nats is an ordinary value, and $e^{-2000}$ is
# zero in floating point: stay in the logarithm until the largest term has been taken out.


# %% exercise="posterior"
def posterior(log_px_given_y, prior):
    """Posterior probabilities of the classes by Bayes' rule.

    Args:
        log_px_given_y: (B, K) float64, log p(x | y = k) of each image in nats: as low as -1e4; may hold -inf,
            but not for all classes that the prior allows.
        prior: (K,) float64, p(y = k), sums to 1; zeros are allowed, and so are tiny values such as 1e-30.

    Returns:
        (B, K) float64, p(y = k | x); each row sums to 1. Small entries are as accurate as large ones,
        down to 1e-30.
    """
    ### BEGIN SOLUTION
    return torch.softmax(log_px_given_y + prior.log(), dim=1)
    ### END SOLUTION


# %% check="posterior"

# %% [markdown]
# ### Ten FVBNs make a classifier
#
# One FVBN for each digit, trained on that digit's images only (about 120 each). Rivals, on exactly the same
# images: independent pixels per class (*naive Bayes*), and logistic regression, which is discriminative.

# %% tags=["train"]
from dataclasses import replace

from sklearn.linear_model import LogisticRegression


def only(dataset, keep):
    """The images of a data set whose labels pass keep(labels)."""
    splits = {
        name: replace(split, x=split.x[keep(split.y)], y=split.y[keep(split.y)])
        for name, split in dataset.splits().items()
    }
    return replace(dataset, **splits)


experts = []
for digit in range(10):
    expert = FVBN(64)
    fit(
        expert,
        only(digits, lambda y, digit=digit: y == digit),
        epochs=epochs,
        batch_size=32,
        lr=1e-2,
        progress=False,
    )
    experts.append(expert)
prior = torch.bincount(digits.train.y).double() / len(train)
expert_log_probs = torch.stack([metrics.log_probs(expert, test) for expert in experts], dim=1)

naive = [
    (train[digits.train.y == digit].double().sum(0) + 0.5) / ((digits.train.y == digit).sum() + 1)
    for digit in range(10)
]
naive_log_probs = torch.stack([independent_log_prob(p, test) for p in naive], dim=1)
discriminative = LogisticRegression(max_iter=2000).fit(train, digits.train.y)


# %% tags=["demo"]
def accuracy(scores):
    right = (scores.argmax(1) == digits.test.y).double()
    return f"{100 * right.mean():.1f} % ± {100 * right.std() / math.sqrt(len(right)):.1f}"


print("independent pixels per class ", accuracy(naive_log_probs + prior.log()))
print("logistic regression          ", accuracy(torch.as_tensor(discriminative.predict_proba(test))))
print("ten FVBNs                    ", accuracy(expert_log_probs + prior.log()))
with waits_for("posterior"):
    beliefs = torch.as_tensor(posterior(expert_log_probs, prior))
    doubtful = beliefs.max(1).values.argsort()[:6]
    fig, axes = plt.subplots(2, 6, figsize=(9, 2.9), height_ratios=[1.3, 1])
    for (above, below), k in zip(axes.T, doubtful, strict=True):
        plots.image_grid(test[k][None], ax=above, title=f"a {digits.test.y[k]}")
        below.bar(range(10), beliefs[k], color=plots.COLORS["blue"])
        below.set(xticks=range(0, 10, 3), ylim=(0, 1), xlabel="class")
    axes[1, 0].set_ylabel("p(y | x)")
    fig.suptitle("The six test digits your posterior is least sure about", fontsize=11)
    plots.show(
        fig,
        alt="The six test digits with the least certain posterior, each with a bar chart of the ten class "
        "probabilities; mostly two classes share the mass.",
    )

# %% [markdown]
# With so few labels, saying how each digit *looks* does at least as well as saying where the borders run. (Ng
# and Jordan, 2002, show why for naive Bayes against logistic regression: the generative model may have the
# worse limit, but reaches its limit with fewer examples.) Look at the error bars before you quote the
# difference.
#
# There is a bonus: $q(x) = \sum_y q(y)\, q(x \mid y)$, the mixture of the ten experts, is itself a density
# over all digits. It will appear on the scoreboard.
#
# ### Outliers: the trap
#
# A density should know what it has never seen: give everything with low $q(x)$ to a human. The idea is old
# and sounds irresistible. **Test it before you believe it.** Train an FVBN on all digits *except the ones*.
# Then ask it about ones, about noise, and about a solid vertical bar, two pixels wide.

# %% tags=["demo"]
without_ones = FVBN(64)
fit(without_ones, only(digits, lambda y: y != 1), epochs=epochs, batch_size=64, lr=1e-2, progress=False)

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

fig, ax = plt.subplots(figsize=(8, 3))
for (name, cost), style in zip(costs.items(), ["-", "--", "-.", ":"], strict=True):
    count, edges = np.histogram(cost, bins=np.geomspace(5, 400, 45))
    ax.stairs(count / len(cost), edges, ls=style, lw=1.6, label=f"{name}: {cost.mean():.0f} nats")
ax.axvline(bar_cost, color=plots.COLORS["vermilion"], ls="-", lw=1)
ax.text(bar_cost - 0.4, 0.15, f"a solid bar: {bar_cost:.1f}", color=plots.COLORS["vermilion"], ha="right")
ax.set(
    xscale="log",
    xlim=(5, 400),
    xlabel="negative log-likelihood (nats)",
    ylabel="share of images",
    title="Noise is caught; ones pass; a plain bar beats most digits",
)
ax.legend(fontsize=8)
plots.show(
    fig,
    alt="Histograms of NLL under a model that never saw a one: noise and inverted digits cost far more "
    "than digits, but unseen ones cost the same as familiar digits, and a solid bar costs less than most "
    "of them.",
)
median = costs["digits 0, 2 to 9 (test)"].median()
beating_median = (costs["ones: never seen"] < median).double().mean()
beaten_by_bar = (costs["digits 0, 2 to 9 (test)"] > bar_cost).double().mean()
print(f"{100 * beating_median:.0f} % of the ones are more probable than the median familiar digit")
print(f"{100 * beaten_by_bar:.0f} % of the familiar test digits are less probable than the solid bar")

# %% [markdown]
# The model is not broken. A *simple* image has few surprises, whatever it shows: a straight stroke continues
# straight, and each of its pixels is easy to predict from the last. A complicated digit, however typical, is
# a long list of small surprises. Nalisnick and colleagues (2019) found this with flows, VAEs, and PixelCNNs
# at full size: models trained on CIFAR-10 give house numbers (SVHN) *higher* likelihood than their own test
# images, and models trained on FashionMNIST give MNIST more than FashionMNIST.
#
# There is nothing paradoxical in it. With $p'$ the distribution of the outliers, their expected NLL is
# $H(p') + \mathrm{KL}(p' \,\|\, q)$: a large divergence can hide behind a small entropy. (Nor is the *most
# probable* image typical: the 64 fair-ish coins of a sample never all fall on the likelier side.)
#
# **What to do instead: compare.** One model's likelihood has no meaning of its own, but a *ratio* has: is $x$
# better explained by my model or by a rival? The shared part, how simple $x$ is, cancels. Rivals that have
# been used: a *background* model, trained on damaged data so that it knows simplicity but not digits (Ren et
# al., 2019); a general-purpose image compressor (Serrà et al., 2020); or, best of all if you have it, a model
# of the very thing you want to reject. We try three rivals, and a score that needs none: how far the NLL is
# from its typical value, on either side. The background model that is to know strokes but not digits learns
# from the same digits turned, mirrored and shifted at random.

# %% tags=["demo"]
from sklearn.metrics import roc_auc_score

no_ones = only(digits, lambda y: y != 1)
rng = torch.Generator().manual_seed(0)


def noised(x):
    return x ^ (torch.rand(x.shape, generator=rng) < 0.25).long()


def moved(x):
    """Each image four times: turned, mirrored and rolled at random."""

    def move(image):
        turns, mirror, down, right = (int(torch.randint(k, (), generator=rng)) for k in (4, 2, 8, 8))
        return (image.flip(0) if mirror else image).rot90(turns).roll((down, right), (0, 1))

    return torch.stack([move(image) for image in x.view(-1, 8, 8).repeat(4, 1, 1)]).flatten(1)


def background(change):
    model = FVBN(64)
    changed = {name: replace(split, x=change(split.x)) for name, split in no_ones.splits().items()}
    fit(model, replace(no_ones, **changed), epochs=epochs // 3, batch_size=64, lr=1e-2, progress=False)
    return model


rivals = {"noised digits": background(noised), "moved digits": background(moved), "the ones": experts[1]}


def own_cost(x):
    return -metrics.log_probs(without_ones, x)


scores = {
    "NLL": own_cost,
    "distance from the typical NLL": lambda x: (own_cost(x) - own_cost(familiar).mean()).abs(),
}
scores |= {
    f"NLL minus that of a model of {name}": lambda x, rival=rival: own_cost(x) + metrics.log_probs(rival, x)
    for name, rival in rivals.items()
}

bars = torch.stack(
    [
        torch.zeros(8, 8, dtype=torch.long).index_fill_(1, torch.arange(left, left + width), 1)
        for width in (1, 2, 3)
        for left in range(1, 8 - width)
    ]
).flatten(1)
test_ones = test[digits.test.y == 1]
print(f"{'area under the ROC curve (0.5 is guessing)':45} {'ones':>8} {'bars':>8} {'noise':>8}")
for name, score in scores.items():
    cells = [
        roc_auc_score([0] * len(familiar) + [1] * len(x), torch.cat([score(familiar), score(x)]))
        for x in (test_ones, bars, noise[:300])
    ]
    print(f"{name:45} " + " ".join(f"{cell:8.3f}" for cell in cells))

# %% [markdown]
# Read the table by rows. The plain NLL cannot tell ones from familiar digits. A rival that learned noised
# digits does not help here (in other settings it does: measure, do not trust). A rival that knows *strokes*
# helps a great deal, without ever having seen a one. The rival that is a model of ones settles it. The rule
# to take home: **reject by comparison, never by a threshold on one likelihood.**

# %% tags=["demo"]
if not os.environ.get("COURSE_DATA"):
    print(
        "Skipped: this cell repeats the experiment with clothes and digits (FashionMNIST, MNIST).\n"
        "Set the environment variable COURSE_DATA to a folder that holds both, and restart the notebook."
    )
else:
    clothes, written = data.fashion_mnist(), data.mnist()

    def shrunk(x):
        """28 x 28 grey -> 14 x 14 black and white, as vectors."""
        return (torch.nn.functional.avg_pool2d(x.float(), 2) >= 127.5).long().flatten(1)

    small = replace(
        clothes,
        shape=(196,),
        levels=2,
        train=replace(clothes.train, x=shrunk(clothes.train.x[:20_000])),
        valid=replace(clothes.valid, x=shrunk(clothes.valid.x[:2000])),
    )
    dresser = FVBN(196)
    fit(dresser, small, epochs=budget(smoke=2, cpu=15, gpu=40), batch_size=200, lr=5e-3, progress=False)
    for name, split in [("clothes, seen", clothes.test), ("digits, unseen", written.test)]:
        cost = -metrics.log_probs(dresser, shrunk(split.x))
        print(
            f"{name:15} {cost.mean():5.1f} nats; by class:",
            "  ".join(f"{k}: {cost[split.y == k].mean():.1f}" for k in range(10)),
        )

# %% [markdown]
# (If you have the data: this small model, on pictures reduced to 14 × 14 black and white, does tell most
# digits from clothes. But the *ones*, which it never saw, cost it less than sandals and shirts, classes 5 and
# 6, on which it was trained. The full reversal of the means was published for grey and colour images and for
# stronger models.)

# %% [markdown]
# ## 11 · A likelihood is a file size
#
# Suppose both ends of a line share a model $q$. How many bits must travel to name an image $x$? A code gives
# every image a word of $L(x)$ bits so that no word begins with another (else the receiver could not tell
# where one ends). A word of $L$ bits occupies the fraction $2^{-L}$ of all infinite bit strings, those that
# begin with it, and the fractions of different words do not overlap, so
#
# $$\sum_x 2^{-L(x)} \le 1 \qquad \text{(Kraft's inequality)}.$$
#
# That is a distribution (with, perhaps, some mass left over): **code lengths and probabilities are the same
# thing**, $L(x) = -\log_2 q(x)$. The expected length under the truth $p$ is the cross-entropy in bits, so by
# section 5 no code beats the entropy $H(p)$, and coding with $q$ costs an extra $\mathrm{KL}(p \,\|\, q)$:
# wasted bits, literally.
#
# How does one *reach* $-\log_2 q(x)$, a number that is not whole? **Arithmetic coding** (Rissanen, 1976;
# Pasco, 1976). Think of all images as intervals that tile $[0, 1)$. Start with the whole of it. Cut it among
# the values of $x_1$ in proportion to $q(x_1)$, in increasing order of the value, and keep the piece of the
# value that came. Cut that piece among the values of $x_2$ in proportion to $q(x_2 \mid x_1)$; keep; and so
# on. After $D$ cuts the piece has width
#
# $$w = \prod_{d=1}^{D} q(x_d \mid x_{<d}) = q(x).$$
#
# Now name the piece by a binary fraction inside it. With $k = \lceil -\log_2 w \rceil + 1$ bits the multiples
# of $2^{-k}$ are at most $w/2$ apart. So one of them lies in the first half of the piece, and the interval of
# all numbers that start with its $k$ bits, of width $2^{-k} \le w/2$, lies inside. Less than 2 bits above
# $-\log_2 q(x)$; not per pixel, not per image, but for a whole data set coded as one message. Notice what it
# needs: the conditionals, one after another, and nothing else. An autoregressive model *is* a compressor.

# %% [markdown]
# ## Exercise 9 · `interval`
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
# ### Your function at work: zooming in on one image
#
# An image of the small world, its interval after 0, 1, 2, ... pixels, on a logarithmic axis; and the shortest
# binary fraction inside the last one.


# %% tags=["demo"]
def world_pair(prefix):
    """p(next pixel = 0, 1 | prefix) in the small world."""
    black = float(world_conditional(torch.tensor([list(prefix)], dtype=torch.long).view(1, -1)))
    return torch.tensor([1 - black, black], dtype=torch.float64)


with waits_for("interval"):
    word = original.tolist()
    widths = [float(interval(word[:d], world_pair)[1]) for d in range(17)]
    low, width = map(float, interval(word, world_pair))
    k = math.ceil(-math.log2(width)) + 1
    multiple = math.ceil(low * 2**k)
    fig, ax = plt.subplots(figsize=(6.5, 2.6))
    ax.step(range(17), -np.log2(widths), where="post", label="bits needed so far, -log2(width)")
    ax.plot([0, 16], [0, 16], ":", color="gray", label="one bit a pixel")
    ax.set(xlabel="pixels coded", ylabel="bits", title="Only the surprising pixels cost bits")
    ax.legend(fontsize=8)
    plots.show(
        fig,
        alt="Bits needed for one small-world image after each pixel: a staircase that rises at surprising "
        "pixels and stays far below one bit a pixel.",
    )
    print(f"interval [{low:.8f}, {low + width:.8f})")
    print(f"log(width) = {math.log(width):.6f}, log p(x) = {world.log_prob(original[None]).item():.6f}")
    print(f"{k} bits name it: 0.{multiple:0{k}b} in binary = {multiple / 2**k:.8f}; the image has 16 pixels")

# %% [markdown]
# Floats run out after about fifty bits, so a real coder keeps a window of integers and emits bits as soon as
# they are settled (Witten, Neal and Cleary, 1987). `course_lib.coding` is one. Let it write the 300 test
# digits into one file, with three models, and read them back. For comparison: the raw bits; PNG, one file for
# each image and, fairer, one *contact sheet* with all images in a single black-and-white picture; and a
# general-purpose compressor on the packed bits. **Guess the order before you run the cell.**

# %% tags=["demo"]
import io
import lzma

from PIL import Image


def png_bytes(picture):
    """Bytes of a black-and-white picture (H, W) as a PNG file: one bit a pixel, best compression."""
    buffer = io.BytesIO()
    Image.fromarray(picture.numpy().astype(bool)).save(buffer, format="PNG", optimize=True)
    return len(buffer.getvalue())


independent = IndependentPixels(64)
with torch.no_grad():
    independent.logits.copy_(smoothed.logit())
packed = np.packbits(test.numpy().astype(np.uint8)).tobytes()
sheet = test.view(15, 20, 8, 8).transpose(1, 2).reshape(120, 160)
sizes = {
    f"PNG, {len(test)} files": sum(png_bytes(x.view(8, 8)) for x in test),
    "raw bits": len(packed),
    "PNG, one contact sheet": min(
        png_bytes(sheet), png_bytes(test.view(-1, 8))
    ),  # in a grid, or in one column: the smaller
    "LZMA of the raw bits": len(
        lzma.compress(packed, format=lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 9}])
    ),
}
for name, model in [("independent pixels", independent), ("FVBN", fvbn)]:
    file = coding.compress(model, test)
    assert coding.decompress(model, file, len(test)).equal(test)  # lossless, down to the last pixel
    sizes[f"{name}, coded"] = len(file)
    predicted = metrics.nll(copy.deepcopy(model).double(), test).mean * len(test) / math.log(2) / 8
    print(f"{name:20} NLL predicts {predicted:7.1f} bytes; the file has {len(file)}")

fig, ax = plt.subplots(figsize=(8, 2.8))
bars = ax.barh(
    list(sizes),
    list(sizes.values()),
    color=[plots.COLORS["orange" if "coded" in name else "sky"] for name in sizes],
)
ax.bar_label(bars, [f"{size:,}" for size in sizes.values()], padding=4)
ax.invert_yaxis()
ax.set(
    xscale="log",
    xlim=(300, 60_000),
    xlabel="bytes (logarithmic)",
    title=f"{len(test)} test digits as a file: a better density is a smaller file",
)
plots.show(
    fig,
    alt="Bar chart of file sizes of the test digits: separate PNG files are far larger than the raw bits; "
    "one PNG sheet and LZMA are smaller; files coded with densities are smallest, the FVBN's smallest of "
    "all.",
)

# %% [markdown]
# The file is as long as the NLL says, to within a few bytes. "0.42 bits per dimension" is a statement about a
# disk. Be fair when you tell this story: single PNG files lose to the raw bits because each carries some 60
# bytes of headers; PNG was made for larger pictures and knows nothing about digits; and our receiver must own
# the model, whose 2,080 weights take 8 kB. For 300 images that does not pay. For millions it does, and it is
# the honest way to see why a model may not be arbitrarily large for a given amount of data.

# %% [markdown]
# ## 12 · Bug clinic
#
# Six patients. All are meant to be FVBNs of the small world; one is healthy. For each you see what its author
# would see: the mean NLL it *reports* on images of the world, and samples; and one number that authors rarely
# compute, the **total mass** $\sum_x \exp(\texttt{log\_prob}(x))$ over all 65,536 images, which must be 1.
# For orientation: the entropy of the world is 4.97 nats, independent pixels need 9.68, and the best FVBN
# 6.48.
#
# **Diagnose before you open the answers.** Which is healthy? For each of the others: is the *likelihood*
# wrong, the *training*, or the *sampler*, and what is the likely line of code? The first cell below builds
# the patients: run it, but do not read it yet, for its code gives them away. The second shows the evidence.

# %% tags=["demo"]
healthy = world_fvbns["raster"]
W, bias = healthy.linear.masked_weight().detach(), healthy.linear.bias.detach()
x_world = world.states.double()


def bernoulli_log_prob(logits, x):
    return torch.distributions.Bernoulli(logits=logits).log_prob(x).sum(1)


def toss(p, rng):
    return torch.rand(p.shape, generator=rng, dtype=torch.float64) < p


def draw(logits_of, seed, order=range(16), toss=toss):
    """24 samples: a patient's own logits, dimension by dimension, and its own way of tossing coins."""
    rng, x = torch.Generator().manual_seed(seed), torch.zeros(24, 16, dtype=torch.float64)
    for d in order:
        x[:, d] = toss(logits_of(x)[:, d].sigmoid(), rng).double()
    return x


def trained(log_prob):
    """Weights and biases that minimise the expected NLL under a (possibly wrong) log_prob(W, b)."""
    weights = [torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in [(16, 16), (16,)]]
    fit_exactly(lambda _: log_prob(*weights), weights)
    return [w.detach() for w in weights]


inclusive = torch.ones(16, 16, dtype=torch.float64).tril()
strictly = inclusive.tril(-1)
W2, b2 = trained(lambda W, b: bernoulli_log_prob(b + x_world @ (inclusive * W).T, x_world))
W3, b3 = trained(lambda W, b: bernoulli_log_prob((b + x_world @ (strictly * W).T).sigmoid(), x_world))
W4, b4 = world_fvbns["random"].linear.masked_weight().detach(), world_fvbns["random"].linear.bias.detach()


def good(x):
    return bias + x @ W.T


with torch.no_grad():
    patients = {
        "A": (bernoulli_log_prob(good(x_world), x_world) / 16, draw(good, 1)),
        "B": (
            bernoulli_log_prob(b2 + x_world @ (inclusive * W2).T, x_world),
            draw(lambda x: b2 + x @ (inclusive * W2).T, 2),
        ),
        "C": (bernoulli_log_prob(good(x_world), x_world), draw(good, 3, toss=lambda p, rng: p > 0.5)),
        "D": (
            bernoulli_log_prob((b3 + x_world @ (strictly * W3).T).sigmoid(), x_world),
            draw(lambda x: b3 + x @ (strictly * W3).T, 4),
        ),
        "E": (bernoulli_log_prob(good(x_world), x_world), draw(good, 5)),
        "F": (
            bernoulli_log_prob(b4 + x_world @ W4.T, x_world),
            draw(lambda x: b4 + x @ W4.T, 6, order=world_orders["random"].argsort().tolist()),
        ),
    }

# %% tags=["demo"]
fig, axes = plt.subplots(2, 3, figsize=(9.5, 4.2))
print("patient   reported NLL (nats)   total mass")
for ax, (name, (log_q, drawn)) in zip(axes.flat, patients.items(), strict=True):
    print(f"{name:7} {float(-(p_world @ log_q)):20.3f} {log_q.exp().sum():14.4f}")
    plots.image_grid(drawn, columns=8, ax=ax, title=f"Patient {name}")
plots.show(
    fig,
    alt="Samples of six patients. A: strokes and pieces of glyphs. B: all blank. C: the same glyph "
    "twenty-four times. D: nearly always the same upright bar and a dot. E: strokes and pieces of glyphs. "
    "F: blocks and corners.",
)

# %% [markdown]
# <details>
# <summary><b>Answers</b> (open them when you have written down yours)</summary>
#
# * **E is healthy.** Mass 1, NLL 6.48, samples that vary, with strokes and pieces of glyphs (an FVBN can do
#   no better here).
# * **A took the mean over pixels instead of the sum.** The reported NLL, about 0.4, is *below the entropy*:
#   no model can do that, so the number is no NLL. The mass says the same: thousands instead of 1. Samples and
#   training are fine (the gradient only shrank by 16), which is why the mistake lives so long.
# * **B peeks**: its mask includes the diagonal, so that each pixel sees itself (`<=` for `<`). Training
#   "succeeds" with an NLL near 0, far below the entropy; the mass is nearly 65,536: it is certain of *every*
#   image, as each confirms itself. When it samples, the pixel it relies on has not been drawn yet; it finds
#   the white of an empty page and confirms it. *Too good to be true* plus *bad samples* is always a leak.
# * **C has a perfect likelihood and a broken sampler**: it takes the likelier value of each pixel instead of
#   tossing a coin (`p > 0.5`, or `argmax`). No likelihood can reveal it; all samples being alike does. The
#   image is the model's greedy guess, not "the best sample".
# * **D applies the sigmoid twice**: probabilities went into a function that expects logits, so
#   $q(x_d = 1) = \sigma(\sigma(a))$ lies between 0.5 and 0.73 whatever the weights. Beware: *the mass is
#   exactly 1*, since the result is a proper distribution, only a terrible one. The symptom is a floor. White
#   costs at least $\log 2 = 0.693$ nats and black at least $-\log \sigma(1) = 0.313$, so its NLL hardly
#   improves on the uniform 11.09, and training saturates: the weights run away to push $\sigma(a)$ to its
#   limits.
# * **F confuses the permutation with its inverse** in its sampler: it visits the dimensions by *place* where
#   it should by *dimension*. The likelihood is perfect, mass 1. A first, quick look at the samples tells
#   little; a test that compares frequencies with $\exp(\texttt{log\_prob})$ tells at once. In raster order,
#   its own inverse, the bug is invisible.
#
# A seventh, which needs no picture: a paper reports 9.35 where you get 6.48. The ratio is
# $1/\log 2 = 1.4427$: *bits called nats*. If `log_prob` itself returned bits, the mass would be
# $\sum_x q(x)^{1.44}$, below 1.
#
# What to remember: **summing to one** catches wrong likelihoods (A, B); **counting samples against probabilities**
# catches wrong samplers (B, C, F); **a simple baseline** catches proper but useless models (D). Your checks
# in this lesson do all three, and so do the tests of every model in `course_lib`.
# </details>

# %% [markdown]
# ## 13 · Scoreboard
#
# The rows of this lesson, all measured above in this notebook, on the same 300 test digits.
# `python -m course_lib.scoreboard` prints the course's table, with error bars over seeds; later lessons add
# their models to both.

# %% tags=["demo"]
mixture_log_probs = torch.logsumexp(expert_log_probs + prior.log(), dim=1)
rows = {
    "uniform": torch.full((len(test),), -64 * math.log(2)),
    "independent pixels": independent_log_prob(smoothed, test),
    f"retrieval, flips {best_flip:.2f}": retrieval_log_prob(test, best_flip),
    "FVBN, raster": metrics.log_probs(fvbn, test),
    "FVBN, spiral": metrics.log_probs(trained_orders["spiral"][0], test),
    "FVBN, mean of random orders": torch.stack(
        [metrics.log_probs(model, test) for model in trained_orders["random"]]
    ).mean(0),
    "mixture of ten FVBNs, one a class": mixture_log_probs,
}
print(f"{'model':36} {'NLL (nats)':>14} {'bits/dim':>10}   likelihood")
for name, log_q in rows.items():
    estimate = metrics.Estimate.of(-log_q)
    print(f"{name:36} {str(estimate):>14} {metrics.bits_per_dim(estimate.mean, 64):10.4f}   exact")

# %% [markdown]
# Look at the last row: ten simple models and a hidden choice between them beat one model that must do
# everything at once. (The experts saw the labels while training, so it is not quite a fair race, and each has
# its own 2,080 parameters.) "Either this or that" is what a single logistic regression cannot say, and a
# *hidden variable* can.
#
# ## 14 · What you have, and what it cannot do
#
# You have a generative model with an exact likelihood, exact sampling, exact completion of a prefix, a
# classifier, and a compressor, all from one product of conditionals. And you know its limits, each measured
# on the way:
#
# * **The conditionals are too simple.** On the small world the FVBN misses more than 1.5 nats in any
#   ordering, no matter how much data it gets.
# * **It does not share what it learns.** Each conditional has weights of its own and learns from scratch what
#   a stroke is. The parameters grow with $D^2$.
# * **Sampling takes $D$ steps**, one after another.
# * **One ordering, fixed**: completion of anything but a prefix is out of reach.
# * **A likelihood is not an alarm.** Simple images look more probable than typical ones.
#
# The first two are answered by a hidden layer whose weights *all* conditionals share: NADE, lesson 02. How it
# computes $D$ hidden layers for the price of about one is one of the prettiest tricks of the field.
# (Convolutions, later, go further: what is learnt about a stroke in one place then serves in every place.)

# %% [markdown]
# ## 15 · History and references
#
# *The chain rule as a model of data* is as old as Shannon's (1948) approximations to English, letter by
# letter given the letters before. *Graphical models without hidden units* were learnt from data by Chow and
# Liu (1968), as trees: each pixel of a digit listens to one other. Neal (1992) defined the **sigmoid belief
# network**, binary units that each toss a coin with a logistic probability given the earlier ones, some of
# them hidden. Take away the hidden units and you have the **fully visible** network, whose likelihood is
# exact: Frey, Hinton and Dayan (1996) set it up as a competitor to their wake-sleep algorithm; Frey (1998)
# treats it at length as the *logistic autoregressive network*, in a book that joins graphical models and
# digital communication (compression included, as you did). Bengio and Bengio (2000) put a hidden layer,
# partly shared between the outputs, into the conditionals, and so let parameters grow more slowly than tables
# while the conditionals are no longer linear. Larochelle and Murray (2011) tied its weights in the manner of
# an RBM: NADE.
#
# * Y. Bengio and S. Bengio. Modeling high-dimensional discrete data with multi-layer neural networks. *NIPS
#   12*, 2000, pages 400-406.
# * C. Chow and C. Liu. Approximating discrete probability distributions with dependence trees. *IEEE
#   Transactions on Information Theory* 14(3), 1968.
# * T. Cover and J. Thomas. *Elements of Information Theory*. Wiley, 2nd edition 2006. Chapter 2 (entropy,
#   KL), chapter 5 (codes, Kraft's inequality).
# * B. Frey, G. Hinton and P. Dayan. Does the wake-sleep algorithm produce good density estimators? *NIPS 8*,
#   1996, pages 661-667.
# * B. Frey. *Graphical Models for Machine Learning and Digital Communication*. MIT Press, 1998.
# * G. Hinton. Training products of experts by minimizing contrastive divergence. *Neural Computation* 14(8),
#   2002.
# * H. Larochelle and I. Murray. The neural autoregressive distribution estimator. *AISTATS*, 2011.
# * D. MacKay. *Information Theory, Inference, and Learning Algorithms*. Cambridge University Press, 2003.
#   Chapter 6 (stream codes) on arithmetic coding.
# * E. Nalisnick, A. Matsukawa, Y. W. Teh, D. Gorur and B. Lakshminarayanan. Do deep generative models know
#   what they don't know? *ICLR*, 2019.
# * R. Neal. Connectionist learning of belief networks. *Artificial Intelligence* 56, 1992.
# * A. Ng and M. Jordan. On discriminative vs. generative classifiers: a comparison of logistic regression and
#   naive Bayes. *NIPS 14*, 2002.
# * R. Pasco. *Source coding algorithms for fast data compression*. PhD thesis, Stanford, 1976. J. Rissanen.
#   Generalized Kraft inequality and arithmetic coding. *IBM Journal of Research and Development* 20(3), 1976.
# * J. Ren, P. Liu, E. Fertig, J. Snoek, R. Poplin, M. DePristo, J. Dillon and B. Lakshminarayanan. Likelihood
#   ratios for out-of-distribution detection. *NeurIPS*, 2019.
# * R. Salakhutdinov and I. Murray. On the quantitative analysis of deep belief networks. *ICML*, 2008.
# * J. Serrà, D. Álvarez, V. Gómez, O. Slizovskaia, J. Núñez and J. Luque. Input complexity and
#   out-of-distribution detection with likelihood-based generative models. *ICLR*, 2020.
# * C. Shannon. A mathematical theory of communication. *Bell System Technical Journal* 27, 1948. Section 3
#   has the approximations to English.
# * P. Smolensky. Information processing in dynamical systems: foundations of harmony theory. In *Parallel
#   Distributed Processing*, volume 1, MIT Press, 1986.
# * L. Theis, A. van den Oord and M. Bethge. A note on the evaluation of generative models. *ICLR*, 2016.
# * M. Tipping and C. Bishop. Probabilistic principal component analysis. *Journal of the Royal Statistical
#   Society B* 61(3), 1999.
# * I. Witten, R. Neal and J. Cleary. Arithmetic coding for data compression. *Communications of the ACM*
#   30(6), 1987.
#
# ## Where the solution is
#
# The text source of this notebook with all nine answers is `solutions/01_likelihood.py` in the course
# repository (open it in JupyterLab with Jupytext, or as plain text). Compare after your checks pass: the
# answers there are short, and yours may well be different and just as right. The checks judge what a function
# does, not how it is written. In `course_lib`, the same ideas stand in full dress: `models/fvbn.py`,
# `models/tabular.py`, `coding.py`.
