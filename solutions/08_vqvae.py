# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 08 · VQ-VAE and VQ-VAE-2: images as codes
#
# **The question of this lesson.** What is gained when the latent is a choice from a codebook, and how is such a choice
# trained, and counted in bits?
#
# The latent variables of lesson 07 are real numbers, held near a normal prior. But much of what explains an image is a
# *choice*: this object or that one, there or not. Language is a row of words, a file a row of bits. The **VQ-VAE** (van
# den Oord, Vinyals and Kavukcuoglu, 2017) describes an image by a small grid of integers, the **codes**, and leaves
# their distribution to an autoregressive model. **VQ-VAE-2** (Razavi, van den Oord and Vinyals, 2019) has a coarse and
# a fine grid.
#
# **After the core path you can**
#
# * quantize vectors, and say what k-means has to do with it;
# * let gradients pass a choice, and derive what each network gets from each loss;
# * say where the KL term and $\log K$ went, and what codes cost, in nats and bits;
# * write a VQ-VAE, train it, and compare its bound with its exact likelihood.
#
# **Builds on** lessons 04 (gated PixelCNN) and 07 (the ELBO). No exercise needs your answers from there. Numbers in
# the text are for `COURSE_BUDGET=cpu`, the default.
#
# | symbol | meaning |
# | --- | --- |
# | $x$; $z$ | an image; the encoder's vectors, $C$ numbers at each position of a grid: $(n, C, H, W)$ for $n$ images |
# | $E$, $e_k$, $K$ | the **codebook**, a matrix $(K, C)$; its $k$-th row; their number |
# | $s$, $z_q = e_s$ | the **codes**, $0, \dots, K - 1$ at each position; their rows |
# | $N$; $T$ | number of all vectors in a batch, $n H W$; number of codes of one image ($T$ top and $B$ bottom ones of two grids) |
# | $\operatorname{sg}[\cdot]$ | **stop-gradient**: the value of its argument, and derivative 0 |
# | $\beta$, $\gamma$ | weight of the commitment loss; decay of a moving average |

# %% setup=true
import math

import torch

# %% tags=["demo"] folded="Imports; loads the coloured shapes, the toy distribution and a photograph."
import time
from dataclasses import replace

from sklearn.cluster import KMeans
from sklearn.datasets import load_sample_image

from autograder.checks import vqvae as checks
from course_lib import budget, data, plots, pretrained
from course_lib.clinic import vqvae_clinic
from course_lib.experiments import vqvae as experiment
from course_lib.figures import vqvae as figures
from course_lib.models import VAE, VQVAE, VQVAE2, CodeModel, CodePrior, GatedPixelCNN
from course_lib.models.vqvae import flat_codes, grid_codes
from course_lib.nn import perplexity as library_perplexity
from course_lib.notebook import guess, outcome, waits_for
from course_lib.training import fit, fit_steps

torch.set_num_threads(1)  # the models are so small that more threads would wait for one another
shapes, world = data.shapes(), data.tiny_world()
photo = torch.from_numpy(load_sample_image("china.jpg")[60:316:2, 220:604:2].copy()).permute(2, 0, 1).double()


def seeded(seed=0):
    """A generator of random numbers that is the same each time."""
    return torch.Generator().manual_seed(seed)


print(f"{shapes.name}: {len(shapes.train)} to train on, {len(shapes.valid)} to validate, {len(shapes.test)} to test")

# %% [markdown]
# ## 1 · A choice from a codebook
#
# A **vector quantizer** replaces a vector $z$ by the nearest row of a codebook:
#
# $$s = \operatorname*{arg\,min}_k |z - e_k|^2, \qquad z_q = e_s .$$
#
# To pass $z_q$ on, send $s$: $\log_2 K$ bits, however many numbers $z$ has. Which codebook loses least, by the summed
# squared distance $\sum_i |z_i - e_{s_i}|^2$? With the rows fixed, the nearest row is best by definition. With the
# choices fixed, the sum falls apart into one sum for each row, and its derivative $2 \sum_{i: s_i = k} (e_k - z_i)$ is
# 0 at the mean of the vectors that chose $k$. Taking both steps in turn is **k-means** (Lloyd, 1982). No step raises
# the distance, ties go to the lowest index, and there are finitely many choices: so it ends, though perhaps not at the
# best codebook.
#
# Images were once compressed so: cut a photograph into patches of 4 × 4 pixels, $C = 48$ numbers each, and let k-means
# find $K = 256$ rows: 8 bits for 16 pixels, half a bit per pixel in place of 24. The codebook, $256 \cdot 48$ numbers
# of 8 bits, takes 4 more bits per pixel of the photograph below: it pays off over many images.
#
# ### Exercise 1 · `quantize`


# %% exercise="quantize"
def quantize(z, E):
    """The nearest row of a codebook, at each position of a grid of vectors.

    Args:
        z: (n, C, H, W) float64 tensor, a vector of C numbers at each of H x W positions. n may be 0.
        E: (K, C) float64, the codebook.

    Returns:
        A tuple: the indices (n, H, W) int64 of the nearest rows by squared Euclidean distance, the lowest index where
        several are equally near; and these rows (n, C, H, W).

    z and E may lie far from zero, near 1e6, and differ by 1e-3: then compute distances from differences. The arguments
    are left unchanged.
    """
    ### BEGIN SOLUTION
    vectors = z.movedim(1, -1)
    away = (vectors.unsqueeze(-2) - E).pow(2).sum(-1)
    indices = away.argmin(-1)
    return indices, E[indices].movedim(-1, 1)
    ### END SOLUTION


# %% check="quantize"

# %% tags=["demo"] folded="Your function on a photograph: patches of 4 x 4 pixels, codebooks by k-means."
with waits_for("quantize"):
    H, W = photo.shape[1] // 4, photo.shape[2] // 4
    z = photo.view(3, H, 4, W, 4).permute(0, 2, 4, 1, 3).reshape(1, 48, H, W)
    coded = {}
    for K in (8, 256):
        lloyd = KMeans(K, n_init=1, max_iter=20, random_state=0).fit(z[0].flatten(1).T.numpy())
        z_q = torch.as_tensor(quantize(z, torch.from_numpy(lloyd.cluster_centers_))[1])
        pixels = z_q.view(3, 4, 4, H, W).permute(0, 3, 1, 4, 2).reshape(photo.shape)
        coded[f"K = {K}: {math.log2(K) / 16:.2g} bits per pixel"] = pixels
    plots.show(figures.patches(photo, coded))

# %% [markdown]
# Each patch is coded for itself, pixel by pixel. Two things are missing: an encoder that finds better vectors than
# pixels, from larger parts of the image, with a decoder that puts neighbours together; and a model of how codes
# follow one another.

# %% tags=["demo"]
plots.show(figures.architecture())

# %% [markdown]
# The decoder gives $p(x \mid s)$, as in lesson 07. But how can the encoder learn?
#
# ## 2 · A choice has no gradient
#
# As $z$ moves, $s$ stays the same until $z$ crosses a border: the derivative of $z_q$ with respect to $z$ is 0, or does
# not exist. The **straight-through** estimator (Bengio, Léonard and Courville, 2013) pretends that
# the quantizer is the identity:
#
# $$z_q = z + \operatorname{sg}[e_s - z] .$$
#
# The value is $e_s$, and the derivative with respect to $z$ is $I$: the encoder gets the gradient that the decoder
# gives *at* $e_s$. That is not the gradient of the loss, which is 0 almost everywhere. The approximation is good when
# $z$ is near $e_s$. So two more terms hold them together:
#
# $$\mathcal{J} = \underbrace{-\frac 1n \sum_x \log p(x \mid z_q)}_{\text{reconstruction}} + \underbrace{\frac 1N \sum_i \big|\operatorname{sg}[z_i] - e_{s_i}\big|^2}_{\text{codebook}} + \beta \underbrace{\frac 1N \sum_i \big|z_i - \operatorname{sg}[e_{s_i}]\big|^2}_{\text{commitment}} .$$
#
# Reconstruction trains the decoder and, straight through, the encoder; $E$ gets nothing from it. The codebook loss
# moves rows to the vectors that chose them. Without the commitment loss nothing would keep vectors near: their scale is
# free, and the encoder may run away faster than rows can follow. The paper takes $\beta = 0.25$. Nats are counted per
# image, distances per vector: each of an image's $T$ vectors has the weight $1 / T$, so what a $\beta$ does depends on
# $T$. Averaging over channels as well, as much code does, divides both terms by $C$.

# %% tags=["demo"] folded="Draws what each loss moves, for five rows and eight vectors in the plane."
z = torch.tensor([[0.3, 0.9], [1.0, 1.3], [0.9, 0.5], [2.6, 1.5], [3.1, 1.0], [2.3, 0.6], [1.6, -0.9], [1.1, -0.6]])
E = torch.tensor([[0.0, 0.3], [2.9, 0.4], [1.9, -0.2], [4.0, -0.8], [-0.7, -0.8]])
toward = torch.tensor([[0.3, 0.25], [-0.15, 0.3], [0.25, -0.2]])[torch.cdist(z, E).argmin(1)]
plots.show(figures.pulls(E, z, toward))

# %% [markdown]
# ### On paper
#
# Let $g_i$ be the gradient of the mean of $-\log p(x \mid z_q)$ with respect to the $i$-th of the $N$ vectors $z_q$.
# (a) Find the gradients of $\mathcal{J}$ with respect to the vectors $z_i$ and the rows $e_k$. (b) What does one step
# of gradient descent with learning rate $\eta$ do to $e_k$, and when is it a step of k-means? (c) Somebody leaves out
# both stop-gradients of the last two terms. What changes?
#
# <details>
# <summary><b>Solution</b> (open it when you have written down yours)</summary>
#
# Let $n_k$ be the number of vectors that chose $k$, and $\bar z_k$ their mean. (a) Through $z_q$ and through the
# commitment, $g_{z_i} = g_i + \frac{2 \beta}{N} (z_i - e_{s_i})$. From the codebook loss alone, $g_{e_k} = \frac 2N
# \sum_{i: s_i = k} (e_k - z_i) = \frac{2 n_k}{N} (e_k - \bar z_k)$. (b) $e_k - \eta\, g_{e_k} = (1 - a)\, e_k + a \bar
# z_k$ with $a = 2 \eta n_k / N$: a step towards the mean, all the way for $\eta = N / (2 n_k)$. One $\eta$ cannot be
# that for all $k$ unless all $n_k$ are equal; only then is it a step of k-means. A rarely chosen row moves little, and
# one that is not chosen stays. (c) Both terms are $|z - e_s|^2$, and both reach both sides: the factors are $1 + \beta$
# for $z$ and for $E$, in place of $\beta$ and 1. With $\beta = 0.25$ the encoder is held five times as strongly.
# </details>
#
# ### Exercise 2 · `vq_losses`


# %% exercise="vq_losses"
def vq_losses(z, E, indices):
    """The straight-through rows, the codebook loss and the commitment loss.

    Args:
        z: (n, C, H, W) float64 tensor; all sizes are at least 1.
        E: (K, C) float64.
        indices: (n, H, W) int64, the codes s. They need not be the nearest ones.

    Returns:
        A tuple: z_q (n, C, H, W), with the values of the rows e_s: a gradient with respect to z_q goes unchanged to z,
        and none goes to E; the codebook loss, the mean over all n H W positions of the squared distance (a sum over the
        channels) of z and e_s, with a gradient to E only; the commitment loss, the same number, with a gradient to z
        only (without the factor beta). The arguments are left unchanged.
    """
    ### BEGIN SOLUTION
    chosen = E[indices].movedim(-1, 1)
    z_q = z + (chosen - z).detach()
    to_rows = (chosen - z.detach()).pow(2).sum(1).mean()
    to_vectors = (chosen.detach() - z).pow(2).sum(1).mean()
    return z_q, to_rows, to_vectors
    ### END SOLUTION


# %% check="vq_losses"

# %% [markdown]
# ## 3 · A codebook that learns like k-means
#
# By (b) above, gradient steps on the codebook loss are a slow k-means. So one may as well run k-means itself, on
# batches: replace each row by a **moving average** of the vectors that chose it. With averages $c_k$ of the counts and
# $m_k$ of the sums,
#
# $$c_k \leftarrow \gamma c_k + (1 - \gamma)\, n_k, \qquad m_k \leftarrow \gamma m_k + (1 - \gamma) \sum_{i: s_i = k} z_i, \qquad e_k = \frac{m_k}{c_k} .$$
#
# $\gamma = 0$ is k-means on one batch, for the rows that were chosen; 0.99 averages over about 100 batches. Put $m_k =
# c_k e_k$ from the step before into it, and write $c_k'$ for the new count:
#
# $$e_k \leftarrow \frac{\gamma c_k e_k + (1 - \gamma)\, n_k \bar z_k}{c_k'} = e_k + \frac{(1 - \gamma)\, n_k}{c_k'}\, (\bar z_k - e_k) .$$
#
# In (b) the step grew with $n_k / N$; here a row's own count divides it, so rare rows learn as fast as common ones. A
# row without vectors stays where it is, up to rounding, until $c_k$ underflows: $m_k$ and $c_k$ shrink alike. At the
# start they must fit each other, $c_k = 1$ and $m_k = e_k$. (The clinic has a patient who forgot.)
#
# ### Exercise 3 · `ema_update`


# %% exercise="ema_update"
def ema_update(counts, sums, z, indices, decay):
    """One step of the moving averages of a codebook.

    counts_k becomes decay * counts_k + (1 - decay) * (number of vectors with code k); sums_k becomes decay * sums_k +
    (1 - decay) * (sum of these vectors); row k of the codebook is sums_k / counts_k, both new.

    Args:
        counts: (K,) float64 tensor, positive, as small as 1e-30.
        sums: (K, C) float64.
        z: (N, C) float64, the vectors; N may be 0.
        indices: (N,) int64, their codes.
        decay: a float, 0 < decay < 1.

    Returns:
        A tuple of new tensors: counts (K,), sums (K, C), the codebook (K, C). The arguments are left unchanged.
    """
    ### BEGIN SOLUTION
    fresh = 1 - decay
    n = torch.zeros_like(counts).index_add(0, indices, torch.ones_like(z[:, 0]))
    total = torch.zeros_like(sums).index_add(0, indices, z)
    counts, sums = decay * counts + fresh * n, decay * sums + fresh * total
    return counts, sums, sums / counts.unsqueeze(1)
    ### END SOLUTION


# %% check="ema_update"

# %% [markdown]
# Twelve clusters in the plane, and twelve rows, which begin as normal draws around the middle. Your moving averages
# move them for 400 batches. How many rows will be in use at the end?

# %% tags=["demo"]
guess("rows in use, of 12", ...)

# %% tags=["demo"] folded="Your moving averages on twelve clusters; draws the ways of the rows, and k-means of the same vectors."
with waits_for("ema_update"):
    generator = seeded(1)
    centres = 3 * torch.randn(12, 2, generator=generator, dtype=torch.float64)
    cloud = centres.repeat(100, 1) + 0.25 * torch.randn(1200, 2, generator=generator, dtype=torch.float64)
    E = torch.randn(12, 2, generator=generator, dtype=torch.float64)
    counts, sums, ways = torch.ones(12, dtype=torch.float64), E, [E]
    for _ in range(400):
        batch = cloud[torch.randint(len(cloud), (100,), generator=generator)]
        nearest = torch.cdist(batch, ways[-1]).argmin(1)
        counts, sums, E = (torch.as_tensor(each) for each in ema_update(counts, sums, batch, nearest, 0.95))
        ways.append(E)
    lloyd = KMeans(12, n_init=5, random_state=0).fit(cloud.numpy())
    plots.show(figures.tracks(cloud, torch.stack(ways), torch.from_numpy(lloyd.cluster_centers_)))
    nearest = torch.cdist(cloud, E)
    away = float(nearest.min(1).values.square().mean())
    print(f"mean squared distance: {away:.2f}, k-means {lloyd.inertia_ / 1200:.2f}")
    outcome("rows in use, of 12", len(nearest.argmin(1).unique()))

# %% [markdown]
# Rows that no vector chooses never move. (scikit-learn's k-means begins *at* vectors, far from each other.) In a VQ-VAE
# this is **codebook collapse**; *Going further* produces and cures it.
#
# ## 4 · Where the KL term went
#
# What is the ELBO of this model? Codes are latent variables, with a sum over all $K^T$ grids in place of lesson 07's
# integral, $p(x) = \sum_s p(x \mid s)\, p(s)$. The encoder does not draw: $q(s \mid x)$ puts all its mass on $s(x)$.
# In $\operatorname{KL}(q \,\|\, p) = \sum_s q(s \mid x) \log \frac{q(s \mid x)}{p(s)}$ one term is left, $1 \cdot
# \log \frac{1}{p(s(x))}$. So
#
# $$\log p(x) \;\ge\; \log p(x \mid s(x)) + \log p(s(x)) .$$
#
# It is also plain to see: a sum of positive terms is at least each of them. By Bayes' rule this term is $p(x)\, p(s(x)
# \mid x)$. The gap is $-\log p(s(x) \mid x) \ge 0$, lesson 07's $\operatorname{KL}(q \,\|\, p(s \mid x))$; it is large
# when other codes could also have produced $x$.
#
# **Stage 1.** Train encoder, decoder and codebook with a *uniform* prior, $p(s) = K^{-T}$. Then KL is $T \log K$,
# whatever the networks do. A constant has no gradient, so it is left out of the *loss*; leaving it out of the *report*
# gives a wrong likelihood. KL is $T \log K$ even for an encoder that ignores $x$, so ignoring $x$ saves nothing. The
# price was fixed by choosing $K$ and $T$.
#
# **Stage 2.** Freeze all that. The codes of the training images are images of $K$ levels, so any autoregressive model
# fits $p(s)$ by maximum likelihood, such as a gated PixelCNN. Each nat that it saves of $T \log K$ is gained in the
# bound.
#
# In bits: an arithmetic coder (lesson 01) writes the codes in $-\log_2 p(s)$ bits, the **rate**. It stores $x$ with
# errors; $-\log_2 p(x \mid s)$ more bits would repair them.
#
# **Two grids.** VQ-VAE-2 chooses a coarse *top* grid first, and a finer *bottom* grid given the top:
#
# $$p(x, s) = p(\text{top})\; p(\text{bottom} \mid \text{top})\; p(x \mid \text{top}, \text{bottom}) .$$

# %% tags=["demo"]
plots.show(figures.hierarchy())

# %% [markdown]
# ### Exercise 4 · `hierarchical_bound`


# %% exercise="hierarchical_bound"
def hierarchical_bound(top, bottom, top_logits, bottom_logits, log_likelihood):
    """The bound of log p(x) by two grids of codes, and the bits that the codes cost.

    Args:
        top: (n, T) int64 tensor, codes; n may be 0.
        bottom: (n, B) int64.
        top_logits: (n, T, K1) float64, unnormalised logits of each top code given the earlier ones; 1000 occurs.
        bottom_logits: (n, B, K2) float64, of each bottom code given the earlier ones and the top codes.
        log_likelihood: (n,) float64, log p(x | top, bottom) in nats.

    Returns:
        A tuple: the bound log p(x | top, bottom) + log p(bottom | top) + log p(top), (n,), in nats; and the rate of the
        codes, -log2 p(top, bottom), (n,), in bits.
    """
    ### BEGIN SOLUTION
    log_codes = torch.zeros_like(log_likelihood)
    for codes, logits in ((top, top_logits), (bottom, bottom_logits)):
        log_codes = log_codes + logits.log_softmax(2).gather(2, codes.unsqueeze(2)).sum((1, 2))
    return log_likelihood + log_codes, -log_codes / math.log(2)
    ### END SOLUTION


# %% check="hierarchical_bound"

# %% [markdown]
# ## 5 · Both stages, on coloured shapes
#
# A VQ-VAE-2 of 16 × 16 images with three colours of 16 levels: $768 \cdot 4 = 3072$ bits as they are. The top grid has
# 2 × 2 codes, the bottom grid 4 × 4, $K = 32$: at most $20 \cdot 5 = 100$ bits. `revive` and the decay of 0.9 keep the
# codebook in use (*Going further*).

# %% tags=["train"]
named = replace(shapes, **{part: data.Split(split.x, split.y[:, 0]) for part, split in shapes.splits().items()})
torch.manual_seed(0)
autoencoder = VQVAE2((3, 16, 16), 16, codes=32, features=8, channels=[[24, 32], [32]], decay=0.9, revive=0.5)
first = fit(autoencoder, named, epochs=budget(smoke=1, cpu=14, gpu=100), batch_size=32, lr=3e-3)
codes = autoencoder.code_dataset(named)  # (n, 20) integers: four top codes, then sixteen bottom codes
prior = CodePrior(autoencoder.code_shapes, codes=32, channels=32, layers=3, classes=4)  # given the kind of shape
second = fit(prior, codes, epochs=budget(smoke=1, cpu=14, gpu=60), batch_size=32, lr=3e-3, labels=True)
model = CodeModel(autoencoder, prior)

# %% [markdown]
# Under a uniform prior the codes of an image cost 100 bits. How many will they cost under the trained one?

# %% tags=["demo"]
guess("bits for the codes of a test image", ...)

# %% tags=["demo"] folded="Reconstructions of test images; what codes and pixels cost."
x, y = named.test.x, named.test.y
alt = "Twelve coloured shapes, and what their 20 codes decode to: place and angle are right, outlines softer; red and orange become one colour."
plots.show(plots.reconstructions(autoencoder, x[:12]), alt=alt)
with torch.no_grad():
    rate, given_codes = model.rate(x, labels=y).mean(), -autoencoder.log_likelihood(x).mean() / math.log(2)
print(f"bits per test image: pixels given the codes {float(given_codes):.0f}; as they are 3,072")
outcome("bits for the codes of a test image", float(rate))

# %% [markdown]
# The prior needs 45 bits, not 100: codes depend on their neighbours. (It is told the kind of shape, worth 2 bits.)
# Repairing all errors would take 419 more. The truth is far below: 5,184 equally frequent images need 12.3 bits. Errors
# are where codes are shared: red and orange shapes get one colour between both.
#
# New images: codes from the prior, for each of the four kinds of shape, then the decoder's means. Only the codes are
# drawn one after the other, 20 steps. A PixelCNN draws 768 numbers. How many times as long will it take, with as many
# layers and channels?

# %% tags=["demo"]
guess("time of a PixelCNN, relative to the codes' prior", ...)

# %% tags=["demo", "picture"] folded="Draws codes for each kind of shape and decodes them; times a gated PixelCNN of the same size on pixels."
kinds = torch.arange(4).repeat_interleave(10)
drawn = prior.sample(40, labels=kinds, generator=seeded())
with torch.no_grad():
    means = autoencoder.mean(grid_codes(drawn, prior.shapes)).clamp(0, 15) / 15
alt = "Four rows of ten samples: squares, triangles, crosses and half discs in many colours and at many places; about half are recognisable."
plots.show(plots.image_grid(means, columns=10, row_names=shapes.factors["shape"]), alt=alt)
pixelcnn = GatedPixelCNN((3, 16, 16), 16, 33, 3, kernel=3).eval()
seconds = []
for sampler in (prior, pixelcnn):
    start = time.process_time()
    sampler.sample(20, generator=seeded(), **({"labels": kinds[:20]} if sampler is prior else {}))
    seconds.append(time.process_time() - start)
outcome("time of a PixelCNN, relative to the codes' prior", seconds[1] / seconds[0])

# %% [markdown]
# About half are recognisable. You see the decoder's means; pixels drawn from $p(x \mid s)$ would be noisy, as in lesson
# 07. The PixelCNN took 38 times as many steps, and some ten times as long. In the paper, 256 × 256 pixels have 196,608
# numbers, and their 32 × 32 top and 64 × 64 bottom codes 5,120.
#
# ## 6 · Bug clinic
#
# Six patients, all meant to be VQ-VAEs of the toy distribution with two codes of eight; one is healthy. So $p(x)$ is a
# sum over 64 pairs of codes, and the prior a table of them. You see the NLL that each *reports*, its exact NLL, the
# perplexity of its codes (an effective number of codes in use, 1 to 8), and samples. The entropy is 4.97 nats. With
# `COURSE_BUDGET=smoke` they cannot be told apart: use `cpu`.

# %% tags=["train"]
clinic = vqvae_clinic()
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
# ## 7 · Your own VQ-VAE
#
# Assemble the pieces; nothing depends on your earlier answers. The check gives the model weights and judges it
# untrained.
#
# ### Exercise 5 · `OwnVQVAE`


# %% exercise="OwnVQVAE"
class OwnVQVAE(torch.nn.Module):
    """A VQ-VAE of binary images (n, D), with M codes of K each.

    Args of `__init__`:
        D: number of pixels.
        M: number of positions, each with one code.
        C: size of a row of the codebook.
        K: number of rows.
        hidden: number of hidden units h of either network.

    Parameters: a `torch.nn.Parameter`, and `torch.nn.Linear` with biases:
        codebook: (K, C), the same for all positions.
        encoder_hidden: from D to h. encoder_out: from h to M C.
        decoder_hidden: from M C to h. decoder_out: from h to D.

    The encoder's vectors are encoder_out(tanh(encoder_hidden(x))), viewed as (n, M, C).

    encode(x): x (n, D) int64 of 0 and 1 -> (n, M) int64: the nearest row at each position by squared Euclidean
        distance, the lowest code where several are equally near.
    decode(codes): (n, M) int64 -> (n, D), the logits of p(x_d = 1 | codes): decoder_out(tanh(decoder_hidden(.))) of the
        M rows in a line, (n, M C).
    loss(x, beta): n is at least 1 -> a scalar, the mean over images of -log p(x | codes) in nats, plus the codebook
        loss, plus beta times the commitment loss; both are sums over C and means over all n M vectors. Gradients: the
        reconstruction trains decoder and, straight through, encoder; the codebook loss trains the codebook only, the
        commitment loss the encoder only.
    bound(x, log_prior): log_prior (M, K), log-probabilities of the codes at each position, -inf among them -> (n,), the
        bound of log p(x) in nats by the codes of x.
    """

    def __init__(self, D, M, C, K, hidden):
        super().__init__()
        ### BEGIN SOLUTION
        self.M, linear = M, torch.nn.Linear
        self.codebook = torch.nn.Parameter(torch.randn(K, C))
        self.encoder_hidden, self.encoder_out = linear(D, hidden), linear(hidden, M * C)
        self.decoder_hidden, self.decoder_out = linear(M * C, hidden), linear(hidden, D)
        ### END SOLUTION

    def encode(self, x):
        ### BEGIN SOLUTION
        h = torch.tanh(self.encoder_hidden(x.to(self.codebook.dtype)))
        vectors = self.encoder_out(h).unflatten(1, (self.M, -1))
        return (vectors.unsqueeze(2) - self.codebook).pow(2).sum(-1).argmin(-1)
        ### END SOLUTION

    def decode(self, codes):
        ### BEGIN SOLUTION
        return self.decoder_out(torch.tanh(self.decoder_hidden(self.codebook[codes].flatten(1))))
        ### END SOLUTION

    def loss(self, x, beta):
        ### BEGIN SOLUTION
        h = torch.tanh(self.encoder_hidden(x.to(self.codebook.dtype)))
        vectors, rows = self.encoder_out(h).unflatten(1, (self.M, -1)), self.codebook[self.encode(x)]
        straight = vectors + (rows - vectors).detach()
        logits = self.decoder_out(torch.tanh(self.decoder_hidden(straight.flatten(1))))
        nll = torch.nn.functional.softplus((1 - 2 * x) * logits).sum(1).mean()
        apart = (rows - vectors.detach()).pow(2) + beta * (rows.detach() - vectors).pow(2)
        return nll + apart.sum(2).mean()
        ### END SOLUTION

    def bound(self, x, log_prior):
        ### BEGIN SOLUTION
        codes = self.encode(x)
        given_codes = torch.nn.functional.logsigmoid((2 * x - 1) * self.decode(codes)).sum(1)
        return given_codes + log_prior[torch.arange(self.M), codes].sum(1)
        ### END SOLUTION


# %% check="OwnVQVAE"

# %% [markdown]
# **The training loop.** For each step: draw 100 of the images at random, compute their loss with $\beta = 0.25$, and
# let Adam (learning rate 0.01) take a step that lowers it. Then your model codes images of the toy distribution, in
# which one of eight glyphs is at one of four places, by two codes of eight. Lesson 07's VAE had an ELBO of -6.4 nats
# there. What will the bound be, if the two codes are independent in the prior, each with its own frequencies?

# %% tags=["demo"]
guess("nats, by the bound with independent codes", ...)


# %% loop="train_own"
def train_own(model, x, steps):
    """Train a model with `loss(x, beta)` on images x (n, D), in place, for so many steps."""
    ### BEGIN SOLUTION
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        batch = x[torch.randint(len(x), (100,))]
        adam.zero_grad()
        model.loss(batch, 0.25).backward()
        adam.step()
    ### END SOLUTION


# %% tags=["train"] folded="Trains your VQ-VAE on the toy distribution with your loop; its costs under three priors, and the exact NLL."
with waits_for("OwnVQVAE", "train_own"):
    torch.manual_seed(0)
    own, images = OwnVQVAE(16, 2, 4, 8, 64), world.sample(20_000, generator=seeded())
    train_own(own, images, steps=budget(smoke=2, cpu=1500, gpu=5000))
    x = world.sample(2000, generator=seeded(1))
    pairs = torch.cartesian_prod(torch.arange(8), torch.arange(8))
    with torch.no_grad():
        learnt, s = (torch.as_tensor(own.encode(each)) for each in (images, x))
        single = torch.stack([torch.bincount(codes, minlength=8) + 0.01 for codes in learnt.T])
        joint = torch.bincount(8 * learnt[:, 0] + learnt[:, 1], minlength=64) + 0.01
        uniform, single = torch.full((2, 8), -math.log(8)), (single / single.sum(1, keepdim=True)).log()
        joint = (joint / joint.sum()).log()
        bounds = [float(torch.as_tensor(own.bound(x, log_prior)).mean()) for log_prior in (uniform, single)]
        nll = -bounds[0] - 2 * math.log(8)
        logits = torch.as_tensor(own.decode(pairs))
        given_pair = x.float() @ logits.T - torch.nn.functional.softplus(logits).sum(1)
        exact = -float((given_pair + joint).logsumexp(1).mean())
    rows = {
        "uniform prior": [("-log p(x | s)", nll), ("codes", 2 * math.log(8))],
        "independent codes": [("-log p(x | s)", nll), ("codes", -bounds[1] - nll)],
        "table of pairs": [("-log p(x | s)", nll), ("codes", -float(joint[8 * s[:, 0] + s[:, 1]].mean()))],
        "its exact NLL": [("-log p(x)", exact)],
    }
    plots.show(figures.costs(rows, ("entropy", world.entropy)))
    outcome("nats, by the bound with independent codes", -bounds[1])
    print("aim: below 6.3 nats with independent codes; the solution reaches about 6.0, and 5.5 with the table")
    print("above 6.3: is zero_grad there, is a new batch drawn at each step?")

# %% [markdown]
# Glyph and place *are* choices, and two codes say them better than the VAE's four real numbers. The codes' price falls
# from 4.16 nats to 3.90 when the prior knows their frequencies, and to 3.38 when it knows which pairs occur, about
# $e^{3.38} \approx 29$ of 64. The bound lacks 0.22 nats for other codes that $x$ might have come from; the model itself
# lacks 0.26 to the entropy.
#
# ## 8 · The answer, and what remains
#
# **How is a choice trained?** By pretending: the gradient passes straight through, and two distances, or moving
# averages, keep vectors and rows together. **How is it counted?** $q$ is a point, so KL is $-\log p(s)$: a constant
# while the prior is uniform, and afterwards whatever the best model of the codes makes of it. **What is gained?** A few
# integers in place of all pixels: an autoregressive model has few steps to take, and sees far; causes that *are*
# choices are found as such; nothing rewards an unused code; and any image becomes a short row of symbols.
#
# What it cannot do:
#
# * **The likelihood suffers.** It is a bound with all of $q$ on one grid, and $p(x \mid s)$ has independent pixels. In
#   nats an autoregressive model of pixels is hard to beat (*Going further*).
# * **The two stages do not talk.** The encoder does not know which codes will be cheap.
# * **Straight-through is a pretence**, and codebooks collapse.
# * **The codes are those of its data.** Other images cannot be written with them.
#
# **Today.** VQGAN (Esser, Rombach and Ommer, 2021) adds an adversarial and a perceptual loss, and lets a transformer
# model the codes; DALL-E (Ramesh et al., 2021) models words and image codes as one sequence. SoundStream (Zeghidour et
# al., 2022) and EnCodec (Défossez et al., 2022) code sound by several codebooks in turn, each for what the last one
# left over, and language models of sound predict these tokens. Latent diffusion (Rombach et al., 2022) has a variant
# with a quantized first stage: the prior is then a diffusion model.

# %% [markdown]
# ## Going further
# Sections may be read in any order.
#
# ### Collapse, produced and cured
#
# How many codes are in use, if rare ones count less? That is the **perplexity** of their frequencies $f_k$,
# $\exp(-\sum_k f_k \log f_k)$ with $0 \log 0 = 0$: 1 if all are the same, $K$ if all are equally frequent. Its
# logarithm bounds what one code can say.
#
# #### Exercise 6 · `perplexity`


# %% exercise="perplexity"
def perplexity(indices, K):
    """The perplexity of codes: exp of the entropy, in nats, of their relative frequencies.

    Args:
        indices: int64 tensor of codes 0..K-1, of any shape, with at least one axis and one entry.
        K: number of codes; those that do not occur do not matter.

    Returns:
        A float, or a tensor without axes, from 1 to K.
    """
    ### BEGIN SOLUTION
    f = torch.bincount(indices.flatten(), minlength=K).double() / indices.numel()
    f = f[f > 0]
    return float(torch.exp(-(f * f.log()).sum()))
    ### END SOLUTION


# %% check="perplexity"

# %% [markdown]
# VQ-VAEs of the 8 × 8 digits with 16 levels, on a 4 × 4 grid. The rows begin as normal draws, and the first vectors are
# near a few of them. With 64 rows, trained by the codebook loss, what will the perplexity be?

# %% tags=["demo"]
guess("perplexity of 64 codes, codebook loss", ...)

# %% tags=["train"] folded="Trains such a VQ-VAE; draws the perplexities of four ways to train, three seeds each, measured before."
used, nats = experiment.use_of_codes("codebook loss", 64, seed=0, steps=budget(smoke=2, cpu=400, gpu=400))
plots.show(figures.usage(experiment.USAGE))
for row in experiment.USAGE:
    print(f"{row.training:25} {row.codes:3} codes: -log p(x | codes)", *(f"{cost:.0f}" for cost in row.nats), "nats")
outcome("perplexity of 64 codes, codebook loss", used)

# %% [markdown]
# With the codebook loss the perplexity is 6 to 10, as if so many of the 64 rows were in equal use: a code is paid 6
# bits, and can say little more than 3. Four times as many rows change nothing. Moving averages reach 19 to 26. The cure
# is **revival**: put a row that has died where vectors are, by replacing it with one of the encoder's vectors from the
# batch, chosen at random (Jukebox, Dhariwal et al., 2020, does so). With moving averages it brings the perplexity of 64
# rows to 39 to 53, and the reconstruction from 69 nats to 65; with 256 rows, to about 200 and 58.
#
# Beside the codebook loss, revival makes things worse: the perplexity rises, and the nats rise above 150. There the
# encoder had run away from its rows, as section 2 warned: when the first rows are revived, after 160 steps, the vectors
# are 6.1 large and the rows 0.45 (root mean square, measured once), and the decoder has never read anything as large as
# the new rows. Perplexity alone is not the aim.
#
# #### Exercise 7 · `revive`


# %% exercise="revive"
def revive(E, counts, z, u, threshold):
    """Replace dead rows of a codebook by vectors.

    Rows with counts < threshold are replaced in the order of their index: the j-th of the replaced rows (j = 0, 1, ...)
    by z[floor(u_j N)], whatever its own index is.

    Args:
        E: (K, C) float64 tensor.
        counts: (K,) float64.
        z: (N, C) float64, vectors; N is at least 1.
        u: (K,) float64 in [0, 1), of which the first ones are used; at most 1 - 2^-53.
        threshold: a float.

    Returns:
        A new tensor (K, C); the other rows are those of E. The arguments are left unchanged.
    """
    ### BEGIN SOLUTION
    dead = torch.nonzero(counts < threshold).squeeze(1)
    revived = E.clone()
    revived[dead] = z[(u[: len(dead)] * len(z)).floor().long()]
    return revived
    ### END SOLUTION


# %% check="revive"

# %% tags=["demo"] folded="Section 3's clusters once more: your moving averages, with your revival every 20 batches."
with waits_for("ema_update", "revive"):
    generator = seeded(2)
    E = torch.randn(12, 2, generator=generator, dtype=torch.float64)
    counts, sums, ways = torch.ones(12, dtype=torch.float64), E, [E]
    for step in range(400):
        batch = cloud[torch.randint(len(cloud), (100,), generator=generator)]
        nearest = torch.cdist(batch, ways[-1]).argmin(1)
        counts, sums, E = (torch.as_tensor(each) for each in ema_update(counts, sums, batch, nearest, 0.95))
        if step % 20 == 19:
            u, dead = torch.rand(12, generator=generator, dtype=torch.float64), counts < 1
            E = torch.as_tensor(revive(E, counts, batch, u, 1.0))
            counts = torch.where(dead, 1.0, counts)
            sums = E * counts[:, None]
        ways.append(E)
    nearest = torch.cdist(cloud, E)
    away = float(nearest.min(1).values.square().mean())
    print(f"in use: {len(nearest.argmin(1).unique())} of 12 rows; mean squared distance {away:.2f}")

# %% [markdown]
# Now all twelve rows are in use. Their distance, 0.19 in place of 0.28, is not yet that of k-means: two rows may share
# a cluster while another has two clusters to serve. Being in use is not being in the right place.
#
# ### Without a codebook: finite scalar quantization
#
# A codebook that is not learnt has no rows that are left behind. **Finite scalar quantization** (Mentzer et al., 2024)
# rounds each of a few coordinates to one of $L$ levels, and calls every combination a code, $K = \prod_j L_j$. There is
# no codebook loss and no commitment; the straight-through gradient goes around the rounding alone.
#
# #### Exercise 8 · `fsq`


# %% exercise="fsq"
def fsq(z, levels):
    """Finite scalar quantization with odd numbers of levels.

    h_j = (levels_j - 1) / 2 * tanh(z_j), and the code is h_j rounded to the nearest integer.

    Args:
        z: (n, d) float64 tensor of any finite numbers: 1000 occurs.
        levels: a list of d odd integers L, 1 or more.

    Returns:
        A tuple: the codes (n, d), a float tensor with values -(L - 1)/2, ..., (L - 1)/2 and the gradient of h; and the
        index (n,) int64, 0 to the product of the levels minus 1: the number whose digits are code + (L - 1)/2, of base
        levels_j each, dimension 0 the fastest.
    """
    ### BEGIN SOLUTION
    sizes = torch.tensor(levels)
    half = (sizes - 1) // 2
    h = half * torch.tanh(z)
    rounded = h.detach().round()
    worth = torch.cat([torch.ones(1, dtype=torch.int64), sizes.cumprod(0)[:-1]])
    return h + (rounded - h).detach(), ((rounded.long() + half) * worth).sum(1)
    ### END SOLUTION


# %% check="fsq"

# %% tags=["train"] folded="Trains the digits' VQ-VAE with finite scalar quantization, 4 x 4 x 4 levels = 64 codes."
digits = data.digits("levels")
torch.manual_seed(0)
scalar = VQVAE((1, 8, 8), 16, codes=[4, 4, 4], features=3, channels=[32], likelihood="discretized logistic")
fit_steps(scalar, digits.train.x, steps=budget(smoke=2, cpu=400, gpu=400), batch_size=64, lr=3e-3)
scalar.eval()
with torch.no_grad():
    used, cost = library_perplexity(scalar.encode(digits.train.x)[0], 64), -scalar.log_likelihood(digits.test.x).mean()
print(f"finite scalar quantization: perplexity {used:.0f}, -log p(x | codes) {float(cost):.0f} nats")

# %% [markdown]
# Without any remedy the perplexity is 41, as if 41 of 64 codes were in equal use (37 and 29 with two other seeds; 64,
# 59 and 54 codes occur), and the nats are 61, 62 and 63: a little better than the best of the last section with 64
# rows, although the perplexity is lower. Rounding is never more than half a level off, so straight-through perhaps
# pretends less. For even $L$, such as 4 here, the library's values lie at half steps: $-1.5, -0.5, 0.5, 1.5$. The paper
# reports results on a par with learnt codebooks, without their machinery.
#
# ### Sampling from top to bottom
#
# A new image needs new codes: the top ones first, one after the other, then the bottom ones given all of the top.
# `course_lib` caches what does not change; here all logits are computed anew for each code.
#
# #### Exercise 9 · `sample_codes`


# %% exercise="sample_codes"
def sample_codes(n_top, n_bottom, top_net, bottom_net, u):
    """Draw two grids of codes from supplied uniforms: top, then bottom given top.

    Args:
        n_top, n_bottom: numbers T and B of codes, at least 1.
        top_net: a function of top codes (n, T) int64 that returns logits (n, T, K1) float64. Those of position j depend
            on codes before j only, so the others may be any numbers of 0..K1-1.
        bottom_net: a function of top (n, T) and bottom codes (n, B) int64 that returns logits (n, B, K2). Those of
            position j depend on all top codes and on bottom codes before j.
        u: (n, T + B) float64 in [0, 1); n is at least 1. Column j gives the j-th code, top codes first: it is the
            number of k in 0..K-2 with P(code <= k) <= u.

    Returns:
        A tuple of int64 tensors: top (n, T), bottom (n, B). top_net is called at most T times, bottom_net at most B
        times.
    """
    ### BEGIN SOLUTION
    top = torch.zeros(len(u), n_top, dtype=torch.int64)
    bottom = torch.zeros(len(u), n_bottom, dtype=torch.int64)
    for j in range(n_top + n_bottom):
        below = j >= n_top
        grid, at = (bottom, j - n_top) if below else (top, j)
        logits = bottom_net(top, bottom) if below else top_net(top)
        up_to = logits[:, at].softmax(1).cumsum(1)[:, :-1]
        grid[:, at] = (up_to <= u[:, j : j + 1]).sum(1)
    return top, bottom
    ### END SOLUTION


# %% check="sample_codes"

# %% tags=["demo"] folded="Your sampler with the prior of section 5, beside the library's from the same uniforms."
with waits_for("sample_codes"), torch.no_grad():
    u = torch.rand(10, 20, generator=seeded(), dtype=torch.float64)
    given_kind = torch.zeros(10, dtype=torch.long)
    blank = torch.zeros(10, 16, dtype=torch.long)
    own_codes = sample_codes(
        4,
        16,
        lambda top: prior(torch.cat([top, blank], 1), given_kind).mT[:, :4].double(),
        lambda top, bottom: prior(torch.cat([top, bottom], 1), given_kind).mT[:, 4:].double(),
        u,
    )
    own_codes = torch.cat([torch.as_tensor(each) for each in own_codes], 1)
    library = prior.sample(10, labels=given_kind, uniforms=u)
    print(f"codes that agree with the library's: {int((own_codes == library).sum())} of {library.numel()}")

# %% [markdown]
# ### What top and bottom carry
#
# One hopes that the top codes say what is where, and the bottom codes the details. Nothing in the loss asks for it. So
# swap: decode each image's own bottom codes with the top codes of another image, and the other way round. Which swap
# changes the image more?

# %% tags=["demo"]
guess("which swap changes more", ..., choices=["top", "bottom"])

# %% tags=["demo"] folded="Swaps top or bottom codes between test images; draws bottom codes anew given the top codes."
x = named.test.x
top, bottom = autoencoder.encode(x)
other = torch.arange(len(x)).roll(1)
with torch.no_grad():
    swaps = {"top": autoencoder.mean((top[other], bottom)), "bottom": autoencoder.mean((top, bottom[other]))}
    kept = autoencoder.mean((top, bottom))
moved = {name: float((each - kept).square().mean()) for name, each in swaps.items()}
print("mean squared change, in levels:", ", ".join(f"{name} swapped {value:.2f}" for name, value in moved.items()))
groups = {"image": x, "own codes": kept} | {f"{name} swapped": each for name, each in swaps.items()}
shown = torch.cat([each[:12].clamp(0, 15) / 15 for each in groups.values()])
alt = "Twelve shapes: the images; decoded from their own codes; with another image's top codes, where some change their colour; with another image's bottom codes, where place and outline are those of the other image."
plots.show(plots.image_grid(shown, columns=12, row_names=list(groups)), alt=alt)
outcome("which swap changes more", max(moved, key=moved.get))
known = torch.arange(20) < 4
whole, kinds = (each[:4].repeat_interleave(9, 0) for each in (flat_codes((top, bottom)), named.test.y))
again = prior.complete(whole, known, labels=kinds, generator=seeded())
with torch.no_grad():
    redrawn = autoencoder.mean(grid_codes(again, prior.shapes)).view(4, 9, 3, 16, 16)
shown = torch.cat([kept[:4, None], redrawn], 1).flatten(0, 1).clamp(0, 15) / 15
alt = "Four rows of ten: a shape from its own codes, then nine with new bottom codes. Place, outline and often the colour change within bounds that differ from row to row."
title = "Own codes, then the same top codes with nine draws of the bottom codes"
plots.show(plots.image_grid(shown, columns=10, title=title), alt=alt)

# %% [markdown]
# The bottom codes decide nearly everything: swapping them moves a pixel by 13.2 (squared levels), swapping the top by
# 0.7. Another top changes some colours and little else. This is not what the hierarchy was made for. Sixteen bottom
# codes of 5 bits have room for a whole shape, which takes 12.3, and presumably the decoder learns the short way from
# them first.
#
# The last picture says something else: *given* the top codes, bottom codes drawn anew keep the place, and often the
# colour. So the top codes do know of both. The top codes repeat information of the bottom codes. The prior uses it; the
# decoder hardly does. What a grid *carries* has two meanings, what could be read from it, and what the decoder reads;
# swaps measure the second. (In the paper's images of 256 × 256 pixels the top has 1,024 codes, and its samples and
# reconstructions show global structure there.)
#
# ### Rejection by a classifier
#
# VQ-VAE-2's authors discard samples that a classifier does not recognise as the class asked for, in the spirit of the
# truncation by which GANs trade diversity for quality. Draw 1,000 samples given the kind of shape, and keep the
# share to which a classifier gives the highest probability. Since all 5,184 images are known, both sides can be
# measured. Quality: is the nearest image of the kind asked for? Diversity: how many different nearest images have 100
# kept samples? How many will it be when a tenth is kept?

# %% tags=["demo"]
guess("nearest images of 100 samples, when a tenth is kept", ...)

# %% tags=["train"] folded="Trains a classifier of the four kinds; rejects samples, and measures quality and diversity."
torch.manual_seed(0)
conv = torch.nn.Conv2d
layers = [conv(3, 16, 3, 2, 1), torch.nn.ReLU(), conv(16, 32, 3, 2, 1), torch.nn.ReLU(), torch.nn.Flatten()]
classifier = torch.nn.Sequential(*layers, torch.nn.Linear(512, 4))
adam = torch.optim.Adam(classifier.parameters(), lr=2e-3)
for _ in range(budget(smoke=5, cpu=600, gpu=2000)):
    i = torch.randint(len(named.train), (64,))
    loss = torch.nn.functional.cross_entropy(classifier(named.train.x[i] / 15), named.train.y[i])
    adam.zero_grad()
    loss.backward()
    adam.step()
asked = torch.arange(1000) % 4
with torch.no_grad():
    read = float((classifier(named.test.x / 15).argmax(1) == named.test.y).double().mean())
    new = autoencoder.mean(grid_codes(prior.sample(1000, labels=asked, generator=seeded()), prior.shapes))
    sure = classifier(new / 15).softmax(1)[torch.arange(1000), asked]
everything = torch.cat([split.x for split in named.splits().values()]).flatten(1).float()
of_kind = torch.cat([split.y for split in named.splits().values()])
nearest = (torch.cdist(new.flatten(1), everything).square() / 768).min(1)
as_asked = float((sure > 0.5).double().mean())
print(f"read right: {100 * read:.0f} % of the test images, {100 * as_asked:.0f} % of the samples as asked")
shares, right, away, different = [1.0, 0.5, 0.2, 0.1], [], [], []
for share in shares:
    best = sure.argsort(descending=True)[: int(1000 * share)]
    right.append(float((of_kind[nearest.indices[best]] == asked[best]).double().mean()))
    away.append(float(nearest.values[best].mean()))
    hundred = best[torch.randperm(len(best), generator=seeded())[:100]]
    different.append(len(nearest.indices[hundred].unique()))
of_data = len(torch.randint(5184, (100,), generator=seeded()).unique())
print("mean squared distance to the nearest image:", ", ".join(f"{value:.2f}" for value in away))
plots.show(figures.rejection(shares, right, different, of_data))
outcome("nearest images of 100 samples, when a tenth is kept", different[-1])

# %% [markdown]
# It works: of all samples 64 % have a nearest image of the kind asked for, of the best fifth 98 %. And it costs: 100
# samples have 94 different nearest images, 100 of the best tenth 89, where images of the data have 99 (one draw of 100
# each). What the classifier does not judge does not improve: the distance to the nearest image is 1.59 squared levels
# for all samples, and 1.64 for the best tenth. Selection by a judge raises the marks that this judge gives; scores for
# images that come from a similar classifier (lesson 10) are to be read with that in mind.
#
# ### Clothing at 28 × 28
#
# A VQ-VAE-2 of Fashion-MNIST was trained once for the course; its file comes with it: 16 top codes and 49 bottom codes,
# of 64 each, and a prior that is given the kind of clothing. Swap top or bottom codes once more, now between samples.

# %% tags=["demo"]
guess("clothing: which swap changes more", ..., choices=["top", "bottom"])

# %% tags=["demo"] folded="Loads the trained model; draws each kind of clothing; swaps codes; draws bottom codes anew."
large = pretrained.load("vqvae2-fashion")
print(pretrained.about("vqvae2-fashion"))


def decoded(codes):
    """The images of codes (n, 65), between 0 and 1."""
    with torch.no_grad():
        return large.autoencoder.mean(grid_codes(codes, large.prior.shapes)).clamp(0, 255) / 255


kinds = ["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
asked, is_top = torch.arange(10).repeat(6), torch.arange(65) < 16
codes = large.prior.sample(60, labels=asked, generator=seeded())
swaps = {"top": torch.where(is_top, codes.roll(1, 0), codes), "bottom": torch.where(is_top, codes, codes.roll(1, 0))}
drawn = decoded(codes)
moved = {name: float((decoded(each) - drawn).square().mean()) for name, each in swaps.items()}
print("mean squared change:", ", ".join(f"{name} swapped {value:.3f}" for name, value in moved.items()))
again = large.prior.complete(codes[:10].repeat(3, 1), is_top, labels=asked[:30], generator=seeded(1))
alt = "Six samples of each of the ten kinds of clothing, 28 x 28 pixels in grey: most can be recognised as the kind asked for, with seams, handles and heels; sandals are often broken."
plots.show(plots.image_grid(drawn, columns=10, column_names=kinds), alt=alt)
rows = ["sample", *["same top codes"] * 3]
alt = "Ten samples, one of each kind, and below each three with the same top codes and new bottom codes: the same garment in the same shade, with other details."
plots.show(plots.image_grid(torch.cat([drawn[:10], decoded(again)]), columns=10, row_names=rows), alt=alt)
outcome("clothing: which swap changes more", max(moved, key=moved.get))

# %% [markdown]
# Here the top codes decide: swapping them changes a picture eight times as much as swapping the bottom codes, the reverse
# of the shapes. The last picture agrees. Given the top codes, the garment, its outline and its shade remain; new bottom
# codes change folds, seams and straps. The networks are of the same kind. Pictures, sizes and training differ, and
# which of them turned the order round was not measured.
#
# ### Compression: rate and distortion
#
# The codes are a lossy file. Beside them, all 792 test images on one sheet as PNG, which loses nothing, and as JPEG of
# several qualities; the headers are counted apart, or they would be most of the file.

# %% tags=["demo"] folded="Bits per image and distortion: codes, PNG, JPEG."
coded = experiment.rate_and_distortion(model, named.test.x, named.test.y)
for row in coded:
    print(f"{row.name:22} {row.bits:6.0f} bits per image, headers {row.header:.1f}; PSNR {row.psnr:.1f} dB")
plots.show(figures.rate_distortion(coded))

# %% [markdown]
# At the same PSNR as JPEG of quality 30, near 23.5 dB, the codes take 45 bits, 47 with the kind of shape, and JPEG 343,
# more than seven times as many. The comparison favours the codes, for two reasons. The networks know shapes and nothing
# else, while JPEG was made for photographs of everything. And the receiver needs decoder and prior: 236,040 weights,
# nearly a megabyte, which is more than all 5,184 images as PNG.
#
# PNG is without loss, at 764 bits. The codes with all errors repaired are, too: 2 + 45 + 419 = 466 bits. That is the
# bound of section 4, in bits, and such a code (by the coder of lesson 01) can really be written.
#
# ### Beside a VAE
#
# A VAE of the same shapes, with convolutions of the same sizes, 20 latent variables, as many epochs and the same $p(x
# \mid z)$ for each number. The negative ELBO in bits is its KL divergence, the price of $z$, and what the pixels cost
# given $z$; for the VQ-VAE-2 these are the rate and the pixels given the codes. Which sum will be smaller?

# %% tags=["demo"]
guess("fewer bits per image", ..., choices=["VAE", "VQ-VAE-2"])

# %% tags=["train"] folded="Trains the VAE; costs in bits, and reconstructions and samples of both."
torch.manual_seed(0)
vae = VAE((3, 16, 16), 16, 20, [128], channels=[24, 32], likelihood="categorical")
fit(vae, shapes, epochs=budget(smoke=1, cpu=14, gpu=100), batch_size=32, lr=3e-3)
x, in_bits = named.test.x, 1 / math.log(2)
with torch.no_grad():
    terms, (middle, log_variance) = vae.elbo_terms(x, generator=seeded()), vae.encode(x)
    z = middle + torch.exp(log_variance / 2) * torch.randn(middle.shape, generator=seeded())
    blurred, sharp = vae.mean(z), autoencoder.reconstruct(x)
    of_vae = vae.mean(torch.randn(12, 20, generator=seeded()))
    parts = {
        "VAE": (in_bits * float(terms.kl.mean()), -in_bits * float(terms.reconstruction.mean()), blurred),
        "VQ-VAE-2": (float(rate), float(given_codes), sharp),
    }
for name, (price, pixels, means) in parts.items():
    psnr = 10 * math.log10(15**2 / float((means - x).square().mean()))
    print(f"{name:9} {price:3.0f} bits for the latents + {pixels:3.0f} for the pixels; PSNR {psnr:.1f} dB")
rows = {"image": x[:12], "VAE": blurred[:12], "VQ-VAE-2": sharp[:12], "VAE samples": of_vae}
shown = torch.cat([each.clamp(0, 15) / 15 for each in rows.values()])
alt = "Twelve shapes; the VAE's reconstructions, rounder and darker; those of the VQ-VAE-2, with more of the outlines; and samples of the VAE: round patches, few of them a shape."
plots.show(plots.image_grid(shown, columns=12, row_names=list(rows)), alt=alt)
outcome("fewer bits per image", min(parts, key=lambda name: sum(parts[name][:2])))

# %% [markdown]
# The VAE pays 20 bits for $z$ and 507 for the pixels, the VQ-VAE-2 45 (and 2 for the kind of shape) and 419; its
# reconstructions are better by almost 3 dB. A noisy $z$ has to be decoded to a mean over all images that it may stand
# for, hence the blur; a code is a choice. One seed, and a short training: with more time the VAE, too, will buy more
# bits of $z$.
#
# ### In nats
#
# Lessons 01 to 07 have costs of the binary digits: NADE 16.9 nats, exact; a VAE at most 17.5. On 16 levels PixelCNN
# reaches 1.72 bits/dim (lesson 04), which is 76 nats. Where are VQ-VAEs with a class-conditional prior, without the
# labels: $p(x)$ is the mean of $p(x \mid y)$ over the ten classes, and the bound that of each?

# %% tags=["demo"] folded="Bounds of VQ-VAEs of the digits, three seeds, as shipped."
for row in experiment.BOUNDS:
    nats, bits = (" ".join(f"{value:.1f}" for value in each) for each in (row.nats, row.bits))
    read = " ".join(f"{100 * share:.0f} %" for share in row.read)
    print(f"{row.model:20} nats {nats}; bits of the codes {bits}; samples read as asked {read}")

# %% [markdown]
# On binary digits at most 19.4 to 22.6 nats: worse than everything since lesson 01 but independent pixels (25.2), and
# seeds differ by three nats. On 16 levels at most 86 to 90; a second grid gains 2.7 nats in the mean, by cheaper codes,
# and stays far from PixelCNN. Most of the cost, over 60 nats, is $-\log p(x \mid s)$: pixels independent given codes,
# each grey level to be guessed. A likelihood counts every one of these last bits, which nobody sees. So samples may be
# good where nats are not: a classifier reads 69 to 92 % of them as the digit asked for. The two need not even agree:
# VQ-VAE-2 has the better bound of the two, and its samples are read correctly less often. (VQ-VAEs without labels have
# rows on the scoreboard, `python -m course_lib.scoreboard`.)
#
# ### Reading published tables
#
# From the README of the authors' repository of VQGAN, CompVis/taming-transformers (at commit 0455d3d): ImageNet, 256 ×
# 256 pixels, "reconstruction FID" on the validation images. FID compares statistics of features of two sets of images
# (lesson 10); smaller is better.
#
# | first stage | grid | $K$ | rFID |
# | --- | --- | --- | --- |
# | VQGAN | 16 × 16 | 1,024 | 8.0 |
# | VQGAN | 16 × 16 | 16,384 | 4.9 |
# | DALL-E's discrete VAE | 32 × 32 | 8,192 | 34.3 |
#
# Before you conclude that VQGAN's codes are better:
#
# * **Count the bits.** Codes of equal length take $256 \cdot 10 = 2560$, $256 \cdot 14 = 3584$ and $1024 \cdot 13 =
#   13312$ bits. So VQGAN looks better *and* takes less? The next point says why that is possible.
# * **Ask what was trained for.** VQGAN's decoder was trained with an adversarial and a perceptual loss. It invents
#   plausible texture, which FID rewards, and a squared error would punish. A distortion is missing in the table.
# * **rFID is not a property of samples.** It has no prior in it: a first stage that copies pixels has rFID 0. A model's
#   quality needs both stages.
# * **A likelihood is missing.** Neither the bound in nats nor the rate under a trained prior is given.
#
# **A slip in a famous file.** In the same repository, `taming/modules/vqvae/quantize.py` (at commit 049bd91) has, with
# a note by its authors that this is a bug which they keep for compatibility,
#
# `loss = torch.mean((z_q.detach()-z)**2) + self.beta * torch.mean((z_q - z.detach()) ** 2)`
#
# What does $\beta$ multiply there? The second term, whose $z$ is detached: the *codebook* loss. With $\beta = 0.25$ the
# commitment has weight 1 and the rows follow slowly; section 2 has it the other way round. It trained all the same: the
# VQ-VAE paper (section 3.2) saw little change for $\beta$ from 0.1 to 2. Their mean runs over the channels, too, and
# their distances come from the expanded square, $|z|^2 - 2 z^\top e + |e|^2$, which exercise 1 forbids.
#
# ### History, references and solutions
#
# Vector quantization was a compression method long before it was a layer (Gray, 1984). Discrete latent variables were
# trained by estimates of the score-function kind (lesson 07); straight-through is simpler, and biased.
#
# * Y. Bengio, N. Léonard and A. Courville. Estimating or propagating gradients through stochastic neurons for
#   conditional computation. *arXiv:1308.3432*, 2013.
# * A. Défossez, J. Copet, G. Synnaeve and Y. Adi. High fidelity neural audio compression. *arXiv:2210.13438*, 2022.
# * P. Dhariwal et al. Jukebox: a generative model for music. *arXiv:2005.00341*, 2020.
# * P. Esser, R. Rombach and B. Ommer. Taming transformers for high-resolution image synthesis. *CVPR*, 2021.
# * R. Gray. Vector quantization. *IEEE ASSP Magazine* 1, 1984.
# * S. Lloyd. Least squares quantization in PCM. *IEEE Transactions on Information Theory* 28, 1982.
# * F. Mentzer, D. Minnen, E. Agustsson and M. Tschannen. Finite scalar quantization: VQ-VAE made simple. *ICLR*, 2024.
# * A. van den Oord, O. Vinyals and K. Kavukcuoglu. Neural discrete representation learning. *NIPS*, 2017.
# * A. Ramesh et al. Zero-shot text-to-image generation. *ICML*, 2021.
# * A. Razavi, A. van den Oord and O. Vinyals. Generating diverse high-fidelity images with VQ-VAE-2. *NeurIPS*, 2019.
# * R. Rombach et al. High-resolution image synthesis with latent diffusion models. *CVPR*, 2022.
# * N. Zeghidour et al. SoundStream: an end-to-end neural audio codec. *IEEE/ACM Transactions on Audio, Speech, and
#   Language Processing* 30, 2022.
