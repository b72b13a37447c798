# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 10 · Evaluation: which model is better, and for what?
#
# **The question of this lesson.** Which generative model is better, and for what: how can samples and likelihoods be
# compared honestly?
#
# The models of nine lessons report an exact likelihood, a bound, or none.  All of them draw samples. This last lesson
# builds the usual scores, and breaks each of them.
#
# **After the core path you can**
#
# * prove that likelihood and samples can disagree, and say when they must agree;
# * compare two models in nats with an error bar that counts;
# * test whether a classifier can tell samples from data, with an exact p-value;
# * derive the Inception score and FID, compute them, and say what they cannot see.
#
# **Builds on** lessons 01 and 04; examples mention 07 to 09. No exercise needs your answers from there. Numbers in the
# text are for `COURSE_BUDGET=cpu`, the default.
#
# | symbol | meaning |
# | --- | --- |
# | $x$, $D$; $n$ | an image, its number of pixels; number of images |
# | $p$; $q$ | the distribution of the data; a model |
# | $\operatorname{TV}(p, q)$ | total variation distance, $\frac12 \sum_x \lvert p(x) - q(x) \rvert$, from 0 to 1 |
# | $\operatorname{KL}(p \,\|\, q)$; $H(p)$ | divergence; entropy |
# | $y$, $p(y \mid x)$, $p(y)$ | a class; what a classifier says of $x$; its mean over a sample |
# | $m$, $C$ | mean and covariance of a network's features |

# %% setup=true
import math

import torch

# %% tags=["demo"] folded="Imports; loads the digits of 16 levels, the toy distribution, and the course's feature network."
from sklearn.svm import SVC

from autograder.checks import evaluation as checks
from course_lib import budget, compare, data, metrics, plots
from course_lib.clinic import evaluation_clinic
from course_lib.experiments import evaluation as experiment
from course_lib.features import feature_network
from course_lib.figures import evaluation as figures
from course_lib.models import MADE, GatedPixelCNN, IndependentPixels, ProbabilisticPCA
from course_lib.notebook import guess, outcome, waits_for
from course_lib.training import fit, fit_steps

torch.set_num_threads(1)  # the models are so small that more threads would wait for one another
images, world = data.digits("levels"), data.tiny_world()
vectors, network = images.flatten(), feature_network(images)
test = images.test.x


def seeded(seed=0):
    """A generator of random numbers that is the same each time."""
    return torch.Generator().manual_seed(seed)


print(f"{images.name}: {len(images.train)} to train on, {len(images.valid)} to validate, {len(test)} to test")

# %% [markdown]
# ## 1 · Five rows of digits
#
# Lesson 01's map, with the course's lessons:

# %% tags=["demo"] folded="Draws the map."
plots.show(figures.taxonomy())

# %% [markdown]
# Our patients are two models of the 8 × 8 digits with 16 levels, both with exact likelihoods.

# %% tags=["train"] folded="Trains a MADE and a small gated PixelCNN."
torch.manual_seed(0)
made = MADE(64, [300], levels=16, dropout=0.5, direct=True)
print("MADE:", fit(made, vectors, epochs=budget(smoke=1, cpu=40, gpu=100), batch_size=64, lr=3e-3))
torch.manual_seed(0)
pixelcnn = GatedPixelCNN((1, 8, 8), 16, channels=16, layers=3, kernel=3)
print("PixelCNN:", fit(pixelcnn, images, epochs=budget(smoke=1, cpu=24, gpu=60), batch_size=64, lr=3e-3))

# %% [markdown]
# Beside them two cheats. The **mixture** draws from MADE once in a hundred times, and uniform noise otherwise. The
# **memory** returns a training image. Below are five rows in random order: samples of all four, and new digits from the
# test set. Which row is the PixelCNN's?

# %% tags=["demo", "picture"] folded="Draws 300 images of each kind, and shows 14 of each."
memory = experiment.NoisyCopies(vectors.train.x, 16, 1e-5)
mixture = experiment.Mixed(made, IndependentPixels(64, levels=16), 0.01)
models = {"MADE": made, "PixelCNN": pixelcnn, "mixture": mixture, "memory": memory}
samples = {name: model.sample(300, generator=seeded()).view(-1, 1, 8, 8) for name, model in models.items()}
order = ["MADE", "test digits", "mixture", "PixelCNN", "memory"]
rows = torch.cat([({"test digits": test} | samples)[name][:14] for name in order])
alt = "Five rows of fourteen images, named A to E. C is noise; the others are digits, some in A and D misshapen."
plots.show(plots.image_grid(rows, columns=14, levels=16, row_names="ABCDE"), alt=alt)

# %% tags=["demo"]
guess("row of the PixelCNN", ..., choices=["A", "B", "C", "D", "E"])

# %% tags=["demo"] folded="Says which row is which."
print(", ".join(f"{letter}: {name}" for letter, name in zip("ABCDE", order, strict=True)))
outcome("row of the PixelCNN", "ABCDE"[order.index("PixelCNN")])

# %% [markdown]
# Looking is evidence if it is **blind**: no names, random order, unselected samples, real images among them, and a
# count of right answers, which section 4 turns into a p-value. But nobody can see whether good digits are new, or
# copied.
#
# ## 2 · A good likelihood with bad samples, and the reverse
#
# The mixture's density is $\frac{1}{100} q(x) + \frac{99}{100} q_0(x)$, with MADE's $q$ and the noise's $q_0 =
# 16^{-64}$. A sum of two positive terms is at least each, so with weight $w$
#
# $$-\log \big( w\, q(x) + (1 - w)\, q_0(x) \big) \;\le\; -\log q(x) + \log \tfrac1w .$$
#
# At $w = \frac1{100}$ the mixture costs at most $\log 100 = 4.61$ nats more than $q$, for *every* image, however large.
# Differences between models grow with $D$; 4.61 nats do not. On binarized MNIST PixelCNN has 81.30 nats and NADE 88.33
# (van den Oord, Kalchbrenner and Kavukcuoglu, 2016, Table 4). 1 % PixelCNN and 99 % noise have at most 85.91, and beat
# NADE. On CIFAR-10 4.61 nats are 0.002 bits/dim.
#
# **The reverse.** The memory picks a training image and redraws each pixel with a tiny probability $\varepsilon$. Its
# samples are perfect, and a test image that differs from all training images in at least $k$ pixels has
# $q(x) \le (\varepsilon / 16)^k$: as $\varepsilon \to 0$ the NLL grows without limit. Both examples are those of Theis,
# van den Oord and Bethge (2016, section 3.2).
#
# ### Exercise 1 · `mixture_log_likelihood`


# %% exercise="mixture_log_likelihood"
def mixture_log_likelihood(log_p, log_q, weight):
    """The log-likelihood of a mixture of two models, log(weight p(x) + (1 - weight) q(x)), in nats.

    Args:
        log_p, log_q: (n,) float64 tensors: any numbers, or -inf, never NaN. Densities may have positive logarithms. The
            two may be 100,000 nats apart, in either direction.
        weight: a float from 0 to 1, both included; 1e-300 occurs.

    Returns:
        (n,). With weight 1 it is log_p and with weight 0 log_q, also where the other one is -inf. It is -inf where all
        that counts is -inf, and never NaN. The arguments are left unchanged.
    """
    ### BEGIN SOLUTION
    parts = [(weight, log_p), (1 - weight, log_q)]
    parts = [math.log(share) + log_density for share, log_density in parts if share > 0]
    return torch.stack(parts).logsumexp(0)
    ### END SOLUTION


# %% check="mixture_log_likelihood"

# %% [markdown]
# Noise alone costs $64 \log 16 = 177$ nats. What will the mixture cost on test digits, where MADE costs 86?

# %% tags=["demo"]
guess("NLL of the mixture, in nats", ...)

# %% tags=["demo"] folded="The NLL of each model on the test digits, the mixture's by your function."
with waits_for("mixture_log_likelihood"):
    independent = IndependentPixels(64, levels=16)
    fit(independent, vectors, epochs=budget(smoke=1, cpu=40, gpu=40), batch_size=64, lr=1e-2)
    log_q = {
        "PixelCNN": metrics.log_probs(pixelcnn, test),
        "MADE": metrics.log_probs(made, vectors.test.x),
        "independent pixels": metrics.log_probs(independent, vectors.test.x),
        "memory": memory.log_prob(vectors.test.x),
    }
    noise = torch.full_like(log_q["MADE"], -64 * math.log(16))
    log_q["mixture"] = torch.as_tensor(mixture_log_likelihood(log_q["MADE"], noise, 0.01))
    plots.show(figures.nats({name: -float(values.mean()) for name, values in log_q.items()}, 64 * math.log(16)))
    outcome("NLL of the mixture, in nats", -float(log_q["mixture"].mean()))

# %% [markdown]
# The mixture is 12 nats better than independent pixels, although 99 of 100 of its samples are noise. The memory draws
# perfect digits and costs more than noise. Nats measure how well *every* new image is covered; samples show where most
# of the mass is.
#
# ## 3 · Comparing nats
#
# Four questions before two numbers are compared.
#
# * **The same unit?** Nats over $\log 2 = 0.693$ are bits; over $D$ as well, bits per dimension. MADE's 85.8 nats are
#   124 bits and 1.93 bits/dim.
# * **The same data?** Test images, levels, size, binarization. A *density* of pixels needs the Jacobian of its scale
#   (*Going further*).
# * **The same kind?** If A's *bound* ($-\text{ELBO}$, lesson 07) is below B's *exact* NLL, A is better. If it is above,
#   nothing follows.
# * **Is the difference larger than its error?** Let $a_i$ and $b_i$ be the log-likelihoods of test image $i$. The mean
#   of $n$ independent numbers has the variance of one, divided by $n$. The two means are of the *same* images, so
#
# $$\operatorname{Var}(\bar a - \bar b) = \frac1n \operatorname{Var}(a_i - b_i) = \frac1n \big( \operatorname{Var} a_i + \operatorname{Var} b_i - 2 \operatorname{Cov}(a_i, b_i) \big) .$$
#
# An image that is hard for one model is hard for the other: the covariance is large. So subtract image by image, then
# take the standard error $s / \sqrt n$, with the sample standard deviation $s$ of the differences. (This error covers
# only the choice of test images. For that of training, repeat with three seeds at least.)
#
# ### Exercise 2 · `paired_difference`


# %% exercise="paired_difference"
def paired_difference(a, b):
    """The mean difference of two models' scores on the same images, its standard error, and their ratio.

    Args:
        a, b: (n,) float64 tensors, n at least 2: scores of the same images in the same order, in nats. One or both
            may be near 1e8, and they may differ by 1e-6.

    Returns:
        A tuple of three numbers: the mean of a - b; its standard error, the sample standard deviation (n - 1) of a - b
        divided by sqrt(n); z = mean / standard error. Where the standard error is 0, z is 0 if the mean is 0, else inf
        with the sign of the mean.
    """
    ### BEGIN SOLUTION
    gap = a - b
    mean, stderr = gap.mean().item(), gap.std().item() / math.sqrt(len(gap))
    if stderr > 0:
        return mean, stderr, mean / stderr
    return mean, stderr, math.copysign(math.inf, mean) if mean else 0.0
    ### END SOLUTION


# %% check="paired_difference"

# %% [markdown]
# The PixelCNN is about 3 nats better than MADE. If the two means were of different images, this would be 3.2 standard
# errors. How many are they, paired?

# %% tags=["demo"]
guess("standard errors, paired", ...)

# %% tags=["demo"] folded="Draws both NLLs of each test digit, and the error of their difference, paired and not."
with waits_for("paired_difference"):
    a, b = log_q["PixelCNN"], log_q["MADE"]
    mean, stderr, z = (float(each) for each in paired_difference(a, b))
    plots.show(figures.paired(a, b, mean, stderr))
    outcome("standard errors, paired", z)

# %% [markdown]
# In nats the PixelCNN is better. Are its samples?
#
# ## 4 · A classifier as the judge
#
# Let a referee toss a fair coin for each of $n$ places, and put a new image of the data there, or a fresh sample. A
# **classifier two-sample test** (C2ST; Lopez-Paz and Oquab, 2017) is a classifier that guesses the coin from the image.
#
# **Under the null hypothesis** $q = p$ an image says nothing about its coin. Whatever the classifier, if it was trained
# on *other* images, the number of its right answers is distributed like heads in $n$ tosses:
#
# $$p\text{-value} = P(X \ge k) = 2^{-n} \sum_{j = k}^{n} \binom{n}{j} .$$
#
# **The best classifier** says "data" where $p(x) > q(x)$. It is right with probability $\frac12 \sum_x \max(p, q)$. As
# $\max(p, q) = \frac12 (p + q) + \frac12 \lvert p - q \rvert$, this is $\frac12 (1 + \operatorname{TV}(p, q))$. So an
# *expected* accuracy above $\frac12$ proves a distance; a measured one is evidence, with its p-value. One near
# $\frac12$ proves nothing: another classifier might see more.
#
# **What a likelihood promises.** $\operatorname{TV}(p, q) \le \sqrt{1 - e^{-\operatorname{KL}(p \| q)}}$ (Bretagnolle
# and Huber, 1979; proved in *Going further*). So good likelihoods *do* force good samples, if the divergence per
# **image** is far below a nat: 0.01 nats force $\operatorname{TV} \le 0.1$. At 4.61 nats the bound is 0.995, and with a
# perfect MADE the mixture nearly reaches it.
#
# ### Exercise 3 · `c2st`


# %% exercise="c2st"
def c2st(scores, labels):
    """The classifier two-sample test: accuracy on held-out images, and its exact p-value.

    Under the null hypothesis the labels are n tosses of a fair coin, independent of the scores.

    Args:
        scores: (n,) float64 tensor, logits of "this is data", any numbers or +-inf. A score above 0 says "data" (1),
            all others say "model" (0).
        labels: (n,) int64, 1 for data and 0 for a sample of the model; n is at least 1, and up to 10,000.

    Returns:
        A tuple of two numbers: the share of right answers, and P(X >= number of right answers) for X ~ Binomial(n,
        1/2), without a normal approximation, accurate relative to itself down to 1e-300.
    """
    ### BEGIN SOLUTION
    n = len(labels)
    hits = int(((scores > 0).long() == labels).sum())
    ways = math.comb(n, hits)
    total = 0
    for j in range(hits, n + 1):
        total += ways
        ways = ways * (n - j) // (j + 1)
    return hits / n, total / 2**n
    ### END SOLUTION


# %% check="c2st"

# %% [markdown]
# A MADE of the toy distribution has a KL divergence of 0.4 nats. How far can a support vector machine get, in percent
# of right answers?

# %% tags=["demo"]
guess("right answers on the toy distribution, in percent", ...)


# %% tags=["train"] folded="Trains that MADE; your c2st on the toy distribution, then on the digits' models."
def coin_flips(real, fake, seed):
    """Rows of real (label 1) or of fake (label 0) by a fair coin, and the labels."""
    labels = torch.randint(2, (len(fake),), generator=seeded(seed))
    return torch.where(labels[:, None] == 1, real, fake), labels


with waits_for("c2st"), torch.no_grad():
    torch.manual_seed(0)
    toy, draws = MADE(16, [64]), world.sample(20_000, generator=seeded())
    with torch.enable_grad():
        fit_steps(toy, draws, steps=budget(smoke=2, cpu=1000, gpu=1000), batch_size=200, lr=1e-2)
    log_toy = metrics.log_probs(toy, world.states)
    kl = float((world.log_p.exp() * (world.log_p - log_toy)).sum())
    tv = float((world.log_p.exp() - log_toy.exp()).abs().sum()) / 2
    real, fake = (each.sample(4000, generator=seeded(i)) for i, each in enumerate((world, toy), start=1))
    seen, told = coin_flips(real[:2000], fake[:2000], 3)
    held_out, labels = coin_flips(real[2000:], fake[2000:], 4)
    scores = torch.from_numpy(SVC(C=10).fit(seen, told).decision_function(held_out))
    accuracy, p = (float(each) for each in c2st(scores, labels))
    best, _ = c2st(world.log_prob(held_out).double() - toy.log_prob(held_out).double(), labels)
    bound = 50 * (1 + math.sqrt(1 - math.exp(-kl)))
    print(f"toy distribution: support vector machine {100 * accuracy:.1f} % right, p = {p:.0e}")
    print(f"the best classifier {100 * float(best):.1f} %, in truth {50 * (1 + tv):.1f} %; by KL at most {bound:.1f} %")
    outcome("right answers on the toy distribution, in percent", 100 * accuracy)
    for name, model in models.items():
        old, new = (model.sample(300, generator=seeded(i)).view(-1, 64) / 15 for i in (1, 2))
        seen, told = coin_flips(vectors.valid.x / 15, old, 5)
        held_out, labels = coin_flips(vectors.test.x / 15, new, 6)
        scores = torch.from_numpy(SVC(C=10).fit(seen, told).decision_function(held_out))
        accuracy, p = (float(each) for each in c2st(scores, labels))
        print(f"digits, {name}: {100 * accuracy:.0f} % right, p = {p:.1g}")

# %% [markdown]
# Three numbers, in order: what this classifier finds, 56 %, what the best one could, 64.5 %, what the KL divergence
# allows, 79 %. MADE's digits are found out with 72 % right answers, and the PixelCNN's with 84 %, though it is *three
# nats better*. The memory is nearly safe: 56 %, for about one in eight of its new samples repeats one that the judge
# has seen.
#
# ## 5 · The Inception score and FID, derived
#
# **The Inception score** (Salimans et al., 2016, section 4) asks for images that are clear (small $H(p(y \mid x))$) and
# of all kinds (large $H(p(y))$). As $p(y)$ is the mean of $p(y \mid x)$ over the sample,
#
# $$\operatorname{mean}_x \operatorname{KL}\big(p(y \mid x) \,\|\, p(y)\big) = \operatorname{mean}_x \sum_y p(y \mid x) \log \frac{p(y \mid x)}{p(y)} = H(p(y)) - \operatorname{mean}_x H(p(y \mid x)),$$
#
# the mutual information of image and class. The score is its exponential, from 1 to the number of classes. No data
# enter: one perfect image of each class, over and over, has the full score.
#
# **FID** (Heusel et al., 2017) fits a Gaussian to the features of real images, and one to those of samples, and takes
# the **Fréchet distance**: the least mean squared distance of $h_1 \sim N(m_1, C_1)$ and $h_2 \sim N(m_2, C_2)$, if we
# may choose how they depend on each other. With symmetric roots, $h_1 = m_1 + C_1^{1/2} e$ and $h_2 = m_2 + C_2^{1/2}
# e'$, $e, e'$ standard normal and $M = \mathbb{E}[e\, e'^\top]$,
#
# $$\mathbb{E} |h_1 - h_2|^2 = |m_1 - m_2|^2 + \operatorname{tr} C_1 + \operatorname{tr} C_2 - 2 \operatorname{tr}\big( C_1^{1/2} M\, C_2^{1/2} \big) .$$
#
# For unit vectors $a$, $b$, $a^\top M b = \mathbb{E}[(a^\top e)(b^\top e')] \le 1$ by Cauchy and Schwarz, so no
# singular value of $M$ exceeds 1. Every such $M$ is possible: $e' = M^\top e + (I - M^\top M)^{1/2} e''$, with $e''$
# standard normal and independent of $e$. With the singular value decomposition $C_2^{1/2} C_1^{1/2} = U S V^\top$ the
# last trace is $\operatorname{tr}(S\, V^\top M U) \le \operatorname{tr} S$, reached by $M = V U^\top$. And
# $\operatorname{tr} S$ is the trace of the root of $V S^2 V^\top = C_1^{1/2} C_2\, C_1^{1/2}$, which has the
# eigenvalues of $C_1 C_2$; with $\operatorname{tr} (C_1 C_2)^{1/2}$ for the sum of their roots,
#
# $$d^2 = |m_1 - m_2|^2 + \operatorname{tr}\big( C_1 + C_2 - 2 (C_1 C_2)^{1/2} \big), \qquad \text{in one dimension} \quad (m_1 - m_2)^2 + (\sigma_1 - \sigma_2)^2 .$$

# %% tags=["demo"] folded="Draws two Gaussians, and the coupling that moves points least."
plots.show(figures.transport())

# %% [markdown]
# FID is this $d^2$: two moments of the features.
#
# ### Exercise 4 · `frechet_distance`


# %% exercise="frechet_distance"
def frechet_distance(mean_1, cov_1, mean_2, cov_2):
    """The squared Frechet distance of two Gaussians, |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    Args:
        mean_1, mean_2: (d,) float64 tensors; d is at least 1.
        cov_1, cov_2: (d, d) float64, symmetric and positive semi-definite: they need not commute, and may be singular
            or zero. Standard deviations are from 1e-3 to 1e3, perhaps small in one Gaussian and large in the other.

    Returns:
        A real number, in the features' unit squared: never NaN, and at least 0 up to rounding. Add no small number to
        a covariance. The arguments are left unchanged.
    """
    ### BEGIN SOLUTION
    def root_of(C):
        eigenvalues, Q = torch.linalg.eigh(C)
        return Q @ torch.diag(eigenvalues.clamp_min(0).sqrt()) @ Q.T

    overlap = torch.linalg.matrix_norm(root_of(cov_1) @ root_of(cov_2), ord="nuc")
    return (mean_1 - mean_2).pow(2).sum() + torch.trace(cov_1 + cov_2) - 2 * overlap
    ### END SOLUTION


# %% check="frechet_distance"

# %% [markdown]
# Real digits against real digits should have FID 0. Take 50 training digits, the 300 test digits, and the course's
# network of 32 features: will the FID be lower or higher than that of 300 samples of MADE?

# %% tags=["demo"]
guess("FID of 50 real digits", ..., choices=["lower", "higher"])

# %% tags=["demo"] folded="Your FID of n real digits, and of 300 samples of both models."
with waits_for("frechet_distance"):


    def fitted(x):
        """Mean and covariance of the features of images."""
        h = metrics.features_of(network, x)
        return h.mean(0), torch.cov(h.T)


    of_test, sizes, of_real = fitted(test), [20, 35, 50, 100, 200, 300], {}
    for n in sizes:
        some = [torch.randperm(len(images.train), generator=seeded(i))[:n] for i in range(5)]
        of_real[n] = [float(frechet_distance(*fitted(images.train.x[i]), *of_test)) for i in some]
    of_models = {name: float(frechet_distance(*fitted(samples[name]), *of_test)) for name in ("MADE", "PixelCNN")}
    plots.show(figures.few_images(of_real, of_models))
    middle = sum(of_real[50]) / 5
    outcome("FID of 50 real digits", "higher" if middle > of_models["MADE"] else "lower")

# %% [markdown]
# Fifty *real* digits look worse than 300 samples of a model. The estimate is **biased**. Already for means of $n_1$ and
# $n_2$ independent images,
#
# $$\mathbb{E} |\bar h_1 - \bar h_2|^2 = |m_1 - m_2|^2 + \operatorname{tr} C_1 / n_1 + \operatorname{tr} C_2 / n_2 ,$$
#
# and covariances add more. The bias depends on the model, so equal $n$ do not remove it (Chong and Forsyth, 2020). An
# FID without $n$, network and reference images is not a result.
#
# ## 6 · What the scores see
#
# Every score, for every sampler, and for two more: real training digits of the classes 0 to 4, and independent pixels.
# *Nearer* is the share of pairs (sample, test image) in which the sample is nearer to the training images: one half
# would be right. The mixture, 99 % noise, has the FID 4.2. What do perfect digits of half of the classes have?

# %% tags=["demo"]
guess("FID of half of the classes", ...)

# %% tags=["demo"] folded="The scores of seven sets of 300 images."
half = images.train.x[images.train.y < 5][:300]
drawn = independent.sample(300, generator=seeded()).view(-1, 1, 8, 8)
sets = {"new digits": images.valid.x} | samples | {"classes 0 to 4": half, "independent pixels": drawn}
seen_by = {}
for name, x in sets.items():
    seen_by[name] = {
        "NLL (nats)": -float(log_q[name].mean()) if name in log_q else math.nan,
        "FID": metrics.fid(test, x, network).value,
        "Inception score": metrics.inception_score(x, network).value,
        "C2ST accuracy": metrics.c2st(test, x).accuracy,
        "nearer": metrics.data_copying(x, images.train.x, test).nearer,
    }
plots.show(figures.seen_by(seen_by))
outcome("FID of half of the classes", seen_by["classes 0 to 4"]["FID"])

# %% [markdown]
# * **The memory** has, of the samplers, the best FID, Inception score and C2ST accuracy: all that look at samples
#   alone. The likelihood exposes it, and so do the training images.
# * **FID is one number.** Noise, missing classes and missing dependencies all get about 4. (Their order changes with
#   the 300 images drawn.)
# * **Nats and samples disagree** for two honest models (also for three seeds of each). Presumably most nats are about
#   local strokes, which the PixelCNN's small windows predict well. Few depend on whether the whole is a digit.
# * **New digits' C2ST accuracy** is below one half: both sets have 30 digits of each class, so a surplus of a class in
#   the half that trains the judge is a lack in the other. Section 4's coins avoid this. (All accuracies have errors of
#   3 %.)
#
# ### On paper
#
# Let five of ten equally frequent classes be $A$, and $q(x) = 2 p(x)$ in $A$, 0 elsewhere. (a) Find
# $\operatorname{KL}(p \,\|\, q)$, $\operatorname{KL}(q \,\|\, p)$ and $\operatorname{TV}$. (b) How often is the best
# classifier right, and what does section 4's bound say? (c) What is the Inception score, by a classifier that is always
# sure and right? (d) Which of these change much for $q' = 0.99 q + 0.01 p$?
#
# <details>
# <summary><b>Solution</b> (open it when you have written down yours)</summary>
#
# (a) $\infty$, since $q = 0$ where $p > 0$. $\operatorname{KL}(q \,\|\, p) = \sum_A q \log 2 = \log 2$.
# $\operatorname{TV} = \frac12 \big( \sum_A |p - 2p| + \sum_{A^c} p \big) = \frac12$. (b) $\frac12 (1 + \frac12) =
# \frac34$: it says "data" outside $A$, and "model" inside. The bound is $\sqrt{1 - e^{-\infty}} = 1$, true and empty;
# but TV is symmetric, so $\operatorname{KL}(q \,\|\, p) = \log 2$ gives $\operatorname{TV} \le 0.71$. (c) $\exp(\log 5
# - 0) = 5$, where the data have 10. (d) Only the first: in $A$, $q' = 1.99 p$, outside $0.01 p$, so
# $\operatorname{KL}(p \,\|\, q') = -\frac12 \log 1.99 + \frac12 \log 100 = 1.96$ nats, after $\infty$. Likelihood
# counts *that* something is covered, not how often it is drawn.
# </details>
#
# ## 7 · Bug clinic
#
# Six groups evaluated the same model of the toy distribution, by one plan. Five made a mistake. You see four numbers of
# each report, and the first samples that each scored. The entropy is 7.17 bits, or 4.97 nats; an NLL has a standard
# error of 0.12 bits. With `COURSE_BUDGET=smoke` they cannot be told apart: use `cpu`.

# %% tags=["train"]
clinic = evaluation_clinic()
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
# ## 8 · Your own evaluator
#
# How much of a score is the network's? Train one.
#
# ### Exercise 5 · `OwnEvaluator`


# %% exercise="OwnEvaluator"
class OwnEvaluator(torch.nn.Module):
    """A classifier of images (n, D), and two scores that look through it.

    Args of `__init__`:
        D: number of pixels.
        hidden: number of features h, at least 2.
        classes: number of classes K.

    Parameters, of `torch.nn.Linear` with biases:
        hidden: from D to h. out: from h to K.

    Images are real numbers in the parameters' precision, n at least 1; labels y (n,) int64 from 0 to K - 1.

    features(x): x (n, D) -> (n, h), the ReLU of hidden(x).
    logits(x): x (n, D) -> (n, K), out(features(x)).
    loss(x, y): a scalar, the mean of -log p(y | x) in nats, finite for logits of +-1000; gradients reach all
        parameters.
    inception_score(x): a number from 1 to K, exp of the mean over rows of KL(p(y | x) || p(y)), with p(y) the mean of
        p(y | x) over these rows, all in one batch; computed in float64 from the logits, finite for logits of +-1000.
    frechet(x, y): here y (m, D) are other images -> a number, the squared Frechet distance of the Gaussians fitted to
        the features of both: means and unbiased covariances, in float64. n and m are at least 2, may differ, and may be
        below h.
    """

    def __init__(self, D, hidden, classes):
        super().__init__()
        ### BEGIN SOLUTION
        self.hidden = torch.nn.Linear(D, hidden)
        self.out = torch.nn.Linear(hidden, classes)
        ### END SOLUTION

    def features(self, x):
        ### BEGIN SOLUTION
        return self.hidden(x).clamp(min=0)
        ### END SOLUTION

    def logits(self, x):
        ### BEGIN SOLUTION
        return self.out(self.features(x))
        ### END SOLUTION

    def loss(self, x, y):
        ### BEGIN SOLUTION
        return -self.logits(x).log_softmax(1).gather(1, y.unsqueeze(1)).mean()
        ### END SOLUTION

    def inception_score(self, x):
        ### BEGIN SOLUTION
        with torch.no_grad():
            log_py_x = self.logits(x).double().log_softmax(1)
            log_py = torch.logsumexp(log_py_x, 0) - math.log(len(x))
            return torch.exp((log_py_x.exp() * (log_py_x - log_py)).sum(1).mean())
        ### END SOLUTION

    def frechet(self, x, y):
        ### BEGIN SOLUTION
        with torch.no_grad():
            h = [self.features(each).double() for each in (x, y)]
            centred = [(each - each.mean(0)) / math.sqrt(len(each) - 1) for each in h]
            overlap = torch.linalg.matrix_norm(centred[0] @ centred[1].T, ord="nuc")
            spread = sum(each.square().sum() for each in centred)
            return (h[0].mean(0) - h[1].mean(0)).square().sum() + spread - 2 * overlap
        ### END SOLUTION


# %% check="OwnEvaluator"

# %% [markdown]
# **The training loop.** For each step: draw 64 of the images at random, compute their loss, and let Adam (learning rate
# 0.005) take a step that lowers it. By the course's network the mixture has the FID 4.2. What will your network say of
# the mixture?

# %% tags=["demo"]
guess("FID of the mixture by your network", ...)


# %% loop="train_own"
def train_own(model, x, y, steps):
    """Train a model with `loss(x, y)` on images x (N, D) and labels y (N,), in place, for so many steps."""
    ### BEGIN SOLUTION
    descent = torch.optim.Adam(model.parameters(), 0.005)
    for _ in range(steps):
        some = torch.randint(len(x), (64,))
        descent.zero_grad()
        model.loss(x[some], y[some]).backward()
        descent.step()
    ### END SOLUTION


# %% tags=["train"] folded="Trains your network from two seeds; FIDs of the seven sets by both, and by the course's."
with waits_for("OwnEvaluator", "train_own"):
    by_network = {"the course's": {name: scores["FID"] for name, scores in seen_by.items()}}
    scaled = {name: x.flatten(1).float() / 15 for name, x in sets.items()}
    for seed in (0, 1):
        torch.manual_seed(seed)
        own = OwnEvaluator(64, 32, 10)
        train_own(own, vectors.train.x.float() / 15, images.train.y, steps=budget(smoke=5, cpu=600, gpu=600))
        with torch.no_grad():
            said = torch.as_tensor(own.logits(vectors.test.x.float() / 15)).argmax(1)
            of_sets = {name: float(own.frechet(vectors.test.x.float() / 15, x)) for name, x in scaled.items()}
        right = 100 * float((said == images.test.y).double().mean())
        by_network[f"yours, seed {seed}"] = of_sets
        print(f"seed {seed}: {right:.0f} % of the test digits right (aim: above 93 %; the solution: 96 %)")
    plots.show(figures.by_network(by_network))
    outcome("FID of the mixture by your network", by_network["yours, seed 0"]["mixture"])

# %% [markdown]
# One network puts noise at 4, the others at about 40. They agree on one order, MADE before the PixelCNN, but on no
# ratio of two FIDs. An FID is in units of its network, and no network was asked about what lies off its data.
#
# ## 9 · A fair comparison
#
# `python -m course_lib.compare` gives four families the same data, 42 seconds of processor time each, three seeds,
# and the same 300 test images, features and judges. The row "training images" is a memory. Whose samples will have the
# lowest FID?

# %% tags=["demo"]
guess("lowest FID of four models", ..., choices=["gated PixelCNN", "VAE", "VQ-VAE-2", "DCGAN"])

# %% tags=["demo"] folded="Draws the comparison, as shipped: a dot for each seed, and samples."
table = compare.shipped()
plots.show(figures.comparison(table))
plots.show(figures.compared_samples(table))
trained = sorted({run.model for run in table.runs if run.parameters})
outcome("lowest FID of four models", min(trained, key=lambda name: table.estimate(name, "fid").mean))

# %% [markdown]
# By likelihood, PixelCNN has 1.74 bits/dim, exact; VAE at most 1.76, VQ-VAE-2 at most 1.95, GAN none. By samples the
# order is nearly the reverse: FIDs of 1.22, 0.93, 0.29 and 0.29, where real digits have 0.22; the classifier is right
# for 68, 68, 58 and 60 %. The VAE's bound is above an exact value, so nothing follows for these two. VQ-VAE-2 and GAN
# differ by less than their seeds. Neither is perfect: a coin has 50 ± 3 %. Each model has the settings of its own
# lesson. And 42 seconds, at 8 × 8 pixels, say nothing of other sizes.
#
# ## 10 · The answer, and what comes next
#
# **Which model is better?** No number decides. A likelihood proves coverage of new images and exposes a memory; it
# forgives nonsense, unless the divergence is far below a nat. A sample score proves that samples can be told from data;
# it forgives copying, and sees what its network sees. **For what?** Choose the measure by the use (table in *Going
# further*): nats for compression and completion, blind judgement or a two-sample test for pictures, the task's own
# error for a task. **How honestly?** The same data, budget and number of images for all; unit, kind, network, $n$ and
# seeds beside each number; paired differences; and a cheat in the table that ought to lose.
#
# What you have not written in this course, flows and diffusion, is at the end of *Going further*.

# %% [markdown]
# ## Going further
# Sections may be read in any order.
#
# ### When a likelihood promises good samples
#
# Write $s = \sum_x \min(p, q)$, where $p$ and $q$ are $p(x)$ and $q(x)$. As $\min(p, q) = \frac12 (p + q) - \frac12
# \lvert p - q \rvert$, $s = 1 - \operatorname{TV}$, and $\sum_x \max(p, q) = 2 - s$. The product of both is $1 -
# \operatorname{TV}^2$. By Cauchy and Schwarz, and since $\min(p, q) \max(p, q) = p\, q$,
#
# $$1 - \operatorname{TV}^2 = \sum_x \min(p, q) \sum_x \max(p, q) \ge \Big( \sum_x \sqrt{p\, q} \Big)^2 = \Big( \mathbb{E}_p \sqrt{q / p} \Big)^2 ,$$
#
# and by Jensen, $\mathbb{E}_p \sqrt{q / p} \ge \exp\big( \frac12 \mathbb{E}_p \log (q / p) \big) =
# e^{-\operatorname{KL}(p \| q) / 2}$. Together, $\operatorname{TV} \le \sqrt{1 - e^{-\operatorname{KL}(p \| q)}}$.
#
# Nothing follows in the other direction: if $q = p$ but for one image of probability $10^{-9}$ that $q$ never draws, TV
# is $10^{-9}$, and the divergence infinite. And it is a promise *per image*: on CIFAR-10, 0.01 bits/dim are 21 nats. A
# table with two decimals says nothing about fractions of a nat.
#
# ### The Inception score in parts, and images made for a score
#
# The first code for the Inception score (openai/improved-gan, `inception_score/model.py`, at commit 0b7ed92) splits the
# samples into ten consecutive parts, and gives the mean and the standard deviation of ten scores. Does it matter how
# the samples are sorted?
#
# #### Exercise 6 · `inception_score`


# %% exercise="inception_score"
def inception_score(log_probs, splits):
    """The Inception score of each of several parts of a sample.

    Args:
        log_probs: (n, K) float64 tensor, log p(y | x) in nats, each row normalised; -inf occurs.
        splits: number of parts, a divisor of n. Each part is n / splits consecutive rows.

    Returns:
        (splits,), exp of the mean over a part's rows of KL(p(y | x) || p(y)), with p(y) the mean of p(y | x) over this
        part, and 0 log 0 = 0, also for a class without mass in the whole part. From 1 to K.
    """
    ### BEGIN SOLUTION
    log_share = log_probs.unflatten(0, (splits, -1))
    share = log_share.exp()
    log_marginal = share.mean(1, keepdim=True).log()
    return torch.where(share > 0, share * (log_share - log_marginal), 0.0).sum(2).mean(1).exp()
    ### END SOLUTION


# %% check="inception_score"

# %% [markdown]
# The 300 test digits have about 9.9, of at most 10. What is the mean over ten parts, if the digits are sorted by class?

# %% tags=["demo"]
guess("Inception score of sorted digits", ...)

# %% tags=["train"] folded="Your score on digits in random order and sorted; then images that were made for a score."
with waits_for("inception_score"):
    log_p = metrics.class_log_probs(network, test)
    orders = {"random order": torch.randperm(300, generator=seeded()), "sorted": images.test.y.argsort()}
    for name, rows in orders.items():
        parts = torch.as_tensor(inception_score(log_p[rows], 10))
        print(f"{name}: {float(parts.mean()):.2f}, standard deviation over ten parts {float(parts.std()):.2f}")
    whole = float(torch.as_tensor(inception_score(log_p, 1)))
    print(f"all in one part: {whole:.2f}")
    outcome("Inception score of sorted digits", float(parts.mean()))
made_up = {
    "for the Inception score": experiment.made_for_inception_score(network, steps=budget(smoke=3, cpu=100, gpu=100)),
    "for FID": experiment.made_for_fid(network, images.train.x, steps=budget(smoke=3, cpu=300, gpu=300)),
}
for name, x in made_up.items():
    row = experiment.judged(name, x, test, network)
    scores = f"Inception score {row.inception_score:.2f}, FID {row.fid:.2f}"
    print(f"made {name}: {scores}, told from digits by a classifier {100 * row.accuracy:.0f} %")
shown = torch.cat([x[:12] for x in made_up.values()])
alt = "Two rows of twelve images of 8 x 8 pixels that look like noise: made for the Inception score, and made for FID."
plots.show(plots.image_grid(shown, columns=12, levels=16, row_names=list(made_up)), alt=alt)

# %% [markdown]
# Sorted digits have 1.1: a part has hardly more than one class, and $p(y \mid x)$ is nearly $p(y)$. The mistake is
# alive. An issue at the evaluation code of a well-known diffusion model (openai/guided-diffusion, issue 165) reports
# 62.1 for 50,000 ImageNet samples in order of class, and 298.5 for the same in one part. In random order, too, small
# parts lower the score, to 8.4 here: ten classes do not fit evenly into 30 images.
#
# The images in the rows were optimised, as by Barratt and Sharma (2018): noise moves along the gradient of a score. The
# first row has the full Inception score. The second has an FID of 0.08, *less* than real training digits have: its
# features have mean and covariance of real ones, and FID looks at nothing else. A support vector machine in pixels
# tells both from digits every time. If you optimise a score, you get the score.
#
# ### A distance without bias: KID
#
# A function $k(x, y) = \phi(x)^\top \phi(y)$, a **kernel**, gives another distance of two distributions, the squared
# **maximum mean discrepancy**,
#
# $$\operatorname{MMD}^2 = \mathbb{E}\, k(x, x') + \mathbb{E}\, k(y, y') - 2\, \mathbb{E}\, k(x, y),$$
#
# with $x, x'$ independent features of data, and $y, y'$, here not classes, of samples. It is $|\mathbb{E} \phi(x) -
# \mathbb{E} \phi(y)|^2$, so at least 0, and 0 for equal distributions. **KID** (Bińkowski et al., 2018) takes $k(x, y)
# = (x^\top y / d + 1)^3$ with $d$ features. Its $\phi$ has all products of up to three features: it compares moments up
# to the third, without a Gaussian. Each expectation is estimated without bias by the mean over all pairs of *different*
# images. Pairs of an image with itself have $k(x, x)$, which is larger on average; with them, the estimate would be too
# large by $\frac1n (\mathbb{E}\, k(x, x) - \mathbb{E}\, k(x, x'))$ for each sample of $n$ images.
#
# #### Exercise 7 · `kid`


# %% exercise="kid"
def kid(x, y):
    """The unbiased estimate of the squared maximum mean discrepancy with the kernel (x . y / d + 1)^3.

    Args:
        x: (m, d) float64 tensor, features; m is at least 2.
        y: (n, d) float64; n is at least 2, and may differ from m.

    Returns:
        A number: the mean of k over all pairs of different rows of x, plus that of y, minus twice the mean over all m n
        pairs of a row of x and one of y. It may be negative.
    """
    ### BEGIN SOLUTION
    def k(a, b):
        return torch.pow(a @ b.mT / x.shape[1] + 1, 3)

    among = [k(z, z).fill_diagonal_(0).sum() / (len(z) ** 2 - len(z)) for z in (x, y)]
    return sum(among) - 2 * k(x, y).mean()
    ### END SOLUTION


# %% check="kid"

# %% tags=["demo"] folded="Your KID on halves of the digits, 20 pairs of each size; and both distances as shipped, by number of images."
plots.show(figures.bias(experiment.BIAS_OF_DIGITS))
with waits_for("kid"):
    pool, generator = experiment.digit_pool(images), seeded()
    for n in (50, 400):
        pairs = [pool[torch.randperm(len(pool), generator=generator)[: 2 * n]].split(n) for _ in range(20)]
        values = torch.tensor([float(kid(*pair)) for pair in pairs])
        print(f"n = {n}: mean of your KID {float(values.mean()):.4f}, standard deviation {float(values.std()):.4f}")
    print(f"FID, extrapolated to infinitely many images: {experiment.extrapolated(experiment.BIAS_OF_DIGITS):.3f}")

# %% [markdown]
# Both samples are real digits. FID falls like $1 / n$, from 2.0 at $n = 50$ to 0.12 at 800. KID is 0 within two of its
# errors at all $n$: its spread depends on $n$, and its mean does not. Since FID is nearly linear in $1 / n$, it can be
# extrapolated to $1 / n = 0$ (Chong and Forsyth, 2020), here to $-0.02$. (Each value is a mean over 20 pairs.)
#
# ### Quality and diversity apart
#
# One number cannot say whether samples are bad or few. Kynkäänniemi et al. (2019) estimate the *support* of a set of
# features as a union of balls, one around each point, with the distance to its $k$-th nearest other point as radius.
# **Precision** is the share of samples in the support of the data: quality. **Recall** is the share of data in
# the support of the samples: diversity.
#
# #### Exercise 8 · `precision_recall`


# %% exercise="precision_recall"
def precision_recall(real, fake, k):
    """Precision and recall of samples, by balls around k-nearest neighbours.

    Args:
        real: (m, d) float64 tensor, features of data. fake: (n, d) float64, features of samples.
        k: an integer, at least 1 and below m and n.

    Returns:
        A tuple of two numbers. Precision: the share of the fake rows that lie in the ball of at least one real row. A
        ball's radius is the Euclidean distance to the k-th nearest *other* real row, its border included; another row
        that is equal counts, at distance 0. Recall: the share of the real rows that lie in the ball of at least one
        fake row, with radii among the fake rows.
    """
    ### BEGIN SOLUTION
    def apart(a, b):
        return (a.unsqueeze(1) - b.unsqueeze(0)).square().sum(2)

    def share_in_balls(points, centres):
        squared_radii = apart(centres, centres).sort(dim=1).values[:, k]
        return (apart(points, centres) <= squared_radii).any(dim=1).double().mean()

    return share_in_balls(fake, real), share_in_balls(real, fake)
    ### END SOLUTION


# %% check="precision_recall"

# %% [markdown]
# The mixture is 99 % noise. What will its precision be?

# %% tags=["demo"]
guess("precision of the mixture", ...)

# %% tags=["demo"] folded="Your precision and recall, k = 3, of the seven sets of section 6, and of one image of each class, repeated."
with waits_for("precision_recall"):
    few = experiment.disturbances(images.train.x, images.train.y)["one image of each class, repeated"][:300]
    h, measured = metrics.features_of(network, test), {}
    for name, x in (sets | {"ten images": few}).items():
        measured[name] = tuple(float(each) for each in precision_recall(h, metrics.features_of(network, x), 3))
    plots.show(figures.quality_and_diversity(measured))
    outcome("precision of the mixture", measured["mixture"][0])

# %% [markdown]
# Half of the classes: high precision, low recall, as it should be. Ten images, repeated: high precision, recall 0;
# their Inception score would be full. MADE's and the PixelCNN's fault is quality, not diversity. But the mixture's
# noise has a precision of 0.48, as good as the PixelCNN's. The network maps noise *between* digits: it was never asked
# about noise (section 8). Features decide what is similar, here as everywhere.
#
# ### Densities, levels, and a Jacobian
#
# Some models give a density of real numbers, and grey levels are integers $x$. Add uniform noise $u$ from $[0, 1)^D$,
# **dequantize**. A density $f$ of $x + u$ implies a probability of the levels, $P(x) = \int f(x + u)\, du$, and by
# Jensen $\log P(x) \ge \mathbb{E}_u \log f(x + u)$ (Theis et al., 2016, section 3.1). So the mean of $-\log f$ is an
# upper bound of the NLL of the levels. Networks usually see $v = c\,(x + u)$, with $c = 1 / 256$, say. A cube of side 1
# becomes one of side $c$, and holds the same mass: $f(x + u) = c^D f_v(v)$, and
#
# $$-\log f(x + u) = -\log f_v(v) - D \log c .$$
#
# With $c = 1/256$ that *adds* 8 bits/dim. Forgetting these 8 bits, or counting them twice, changes a result far more
# than any new model does.
#
# #### Exercise 9 · `bits_per_dim`


# %% exercise="bits_per_dim"
def bits_per_dim(nats, shape, scale):
    """Bits per dimension of levels, an upper bound, from densities of dequantized and scaled images.

    Args:
        nats: (n,) float64 tensor, -log density in nats of scale * (x + u) for each image: x integers, u uniform in
            [0, 1).
        shape: tuple of integers, the shape of one image, such as (3, 32, 32).
        scale: a positive float, such as 1 / 256.

    Returns:
        (n,), -log2 of the density of x + u, per dimension. It may be negative for one image and one u.
    """
    ### BEGIN SOLUTION
    D = math.prod(shape)
    of_levels = nats - D * math.log(scale)
    return of_levels / math.log(2) / D
    ### END SOLUTION


# %% check="bits_per_dim"

# %% [markdown]
# Fit a Gaussian to the dequantized digits, scaled to $(0, 1)$ by $c = 1 / 16$. Its density costs *minus* 38 nats per
# image. MADE has 1.93 bits/dim. What does the Gaussian have?

# %% tags=["demo"]
guess("bits/dim of a Gaussian", ...)

# %% tags=["demo"] folded="Fits a Gaussian with 40 principal directions to dequantized digits; its nats, and your bits per dimension."
with waits_for("bits_per_dim"), torch.no_grad():
    real = data.digits("real").flatten()
    nats = -ProbabilisticPCA.of(real.train.x, 40).log_prob(real.test.x).double()
    bits = torch.as_tensor(bits_per_dim(nats, (1, 8, 8), 1 / 16))
    without = metrics.bits_per_dim(float(nats.mean()), 64)
    print(f"density: {float(nats.mean()):.1f} nats; without the Jacobian {without:.2f} bits/dim")
    print(f"MADE: {metrics.bits_per_dim(metrics.nll(made, vectors.test.x).mean, 64):.2f} bits/dim, exact")
    outcome("bits/dim of a Gaussian", float(bits.mean()))

# %% [markdown]
# 3.14 bits/dim, a bound, against MADE's exact 1.93. Without the Jacobian it would be $-0.86$ bits/dim, which is
# impossible: the mean is an upper bound of an NLL of *levels*, and no probability of levels exceeds 1. Smaller mistakes
# do not give themselves away. Data scaled to $(-1, 1)$ and treated as if to $(0, 1)$ are off by 1 bit/dim; division by
# 255 in place of 256, by 0.006.
#
# ### Generation against retrieval
#
# Without a likelihood, only a comparison with the training images exposes a memory. Section 6's *nearer* compares
# distances: of samples to their nearest training images, and of test images to theirs (Meehan, Chaudhuri and Dasgupta,
# 2020). In pixels this test is easily deceived, as Theis et al. (2016) warn. Let the memory shift each image by one
# pixel before it returns it. What will *nearer* be?

# %% tags=["demo"]
guess("nearer, memory shifted by a pixel", ...)

# %% tags=["demo"] folded="Distances to the nearest training images of test digits, and of three memories; the test in pixels and in features."
noisy = experiment.NoisyCopies(vectors.train.x, 16, 0.05)
copies = {
    "memory": samples["memory"],
    "shifted by a pixel": samples["memory"].roll(1, 3),
    "1 pixel in 20 redrawn": noisy.sample(300, generator=seeded()).view(-1, 1, 8, 8),
    "PixelCNN": samples["PixelCNN"],
}
distances = {"test digits": metrics.nearest_neighbours(test, images.train.x).distances}
features = {part: metrics.features_of(network, split.x) for part, split in images.splits().items()}
for name, x in copies.items():
    distances[name] = metrics.nearest_neighbours(x, images.train.x).distances
    in_pixels = metrics.data_copying(x, images.train.x, test).nearer
    in_features = metrics.data_copying(metrics.features_of(network, x), features["train"], features["test"]).nearer
    print(f"{name:22} nearer in pixels {in_pixels:.2f}, in features {in_features:.2f}")
shifted_copy = experiment.NoisyCopies(images.train.x.roll(1, 3).flatten(1), 16, 1e-5)
for name, model in {"memory": memory, "shifted by a pixel": shifted_copy, "1 pixel in 20 redrawn": noisy}.items():
    print(f"{name:22} {-float(model.log_prob(vectors.test.x).mean()):.0f} nats per test digit")
plots.show(figures.nearest(distances))
shifted = metrics.data_copying(copies["shifted by a pixel"], images.train.x, test).nearer
outcome("nearer, memory shifted by a pixel", shifted)

# %% [markdown]
# A shift by one pixel takes the copies farther from the training images, 33 levels in the median, than the PixelCNN's
# samples are, 29. *Nearer* falls from 1 to 0.02, as low as the PixelCNN's, and to 0.06 in features. One pixel in 20
# redrawn leaves 0.70. So the test proves copying where it finds it, and rules nothing out.
#
# A low value is not praise either: *nearer* is 0.07 for MADE, far below one half. Its samples are farther away from the
# training images than new digits are, because many are not digits at all. A likelihood needs no distance. On test
# digits the memory and its shifted copy cost far more than noise, 177 nats. The third memory costs 144, less than
# noise: only the comparison with MADE's 86 exposes it.
#
# ### Looking, blind
#
# How many answers does a blind test need? If a reader is right with probability $r$, by section 4 the number of right
# answers among $n$ is Binomial$(n, r)$, and counts as evidence if its p-value is below 0.05.

# %% tags=["demo"] folded="For each n: right answers needed, and the probability that a reader who is right 60 or 75 % of the time gets there."
from scipy.stats import binom

print(" n   needed   60 % reader   75 % reader")
for n in (10, 20, 50, 100, 200):
    needed = next(k for k in range(n + 1) if metrics.binomial_p(k, n) < 0.05)
    power = [float(binom.sf(needed - 1, n, r)) for r in (0.6, 0.75)]
    print(f"{n:3} {needed:7} {100 * power[0]:11.0f} % {100 * power[1]:11.0f} %")

# %% [markdown]
# A reader who is right 60 % of the time needs between 100 and 200 images to show it four times in five. So: decide $n$
# before; one answer per image; real or not by a coin; the same size and number of levels for both; and report $k$, $n$
# and how the readers were chosen. *Typical* samples, not the best of many; if there was a selection, say how many were
# thrown away. And remember what looking cannot see: copies, and missing classes.
#
# ### One model for each use
#
# | use | what it needs | from this course |
# | --- | --- | --- |
# | completion of any pixels | conditionals in any order | orderless NADE (02); of the lower part: PixelCNN (04) |
# | super-resolution | fine given coarse | multi-scale PixelRNN (05) |
# | denoising | $p(x)$ beside the noise's density | VAE, denoising autoencoder (07); exact models by search (01) |
# | lossless compression | exact conditionals, one after the other | any of 01 to 05 with the coder of 01; VAE with bits back (07) |
# | lossy compression | few symbols, a prior of them | VQ-VAE-2 (08) |
# | outliers | a *ratio* of two likelihoods | two exact models (01) |
# | features, few labels | an encoder | VAE (07) |
# | editing, interpolation | latents with meaning | VAE (07), BiGAN (09) |
# | many samples at once | one pass | VAE (07), GAN (09), parallel WaveNet (06) |
# | sound, as it comes | a cheap next step | WaveNet with a ring buffer (06) |
# | semi-supervised learning, classes | $p(x \mid y)$ | class-conditional models (01, 04, 07) |
#
# Each line has a measure of its own: bits, squared error, accuracy, area under a curve, seconds. None of them is FID.
# The question "which is the best generative model?" is like "which is the best vehicle?".
#
# ### The map, completed
#
# | family | likelihood | a sample costs | judge it by | lessons |
# | --- | --- | --- | --- | --- |
# | autoregressive | exact | $D$ steps, with caches | paired nats; samples besides | 01 to 06 |
# | flow | exact density | one pass, for most | bits/dim with the Jacobian | 07, as a posterior |
# | VAE | ELBO, importance-weighted bound | one pass | bounds with their kind; exact for few latents | 07 |
# | VQ-VAE | bound, loose | a short autoregressive prior, one pass | rate and distortion; samples | 08 |
# | diffusion | bound | many passes of one network | bounds; samples, with the number of steps | 07, in words |
# | energy-based | up to $\log Z$ | a Markov chain, never quite done | estimates of $Z$, with their direction | 01 |
# | Markov chain | none | many steps | samples, mixing | 01, in words |
# | GAN | none | one pass | two-sample tests, recall, copies | 09 |
#
# Directed or undirected, explicit or implicit, exact, bounded or neither, all at once or step by step: the columns
# depend on each other, and no family has the best entry in each. An autoregressive prior over a VAE's codes, a GAN's
# loss on a VQ-VAE's decoder, a flow for a posterior: what is built today is mostly a mixture of rows.
#
# ### Reading published tables
#
# What is missing in each? Answer first, then open.
#
# * *Two implementations of FID* give different values for the same images.
# * *FID of 500 samples*, beside others' of 50,000.
# * *FID against the training set* in one paper, the test set in another.
# * *A VAE's 80.97 beside PixelCNN's 81.30*, in one column.
# * *3.03 bits/dim* on CIFAR-10, and FID 3.17.
#
# <details>
# <summary><b>Answers</b></summary>
#
# * The network. The author of a popular port found that PyTorch's own Inception weights and model differ from those of
#   the first code, and that the resizing of images differs as well (mseitzer/pytorch-fid, issue 11 and pull request
#   16).
# * $n$, and with it the bias: the authors' own repository recommends at least 10,000 samples (bioinf-jku/TTUR, README).
#   An issue of another repository (genforce/idinvert, 7) has 500.
# * The reference set. There is no consensus (kwotsin/mimicry, issue 33); a memory that returns each training image once
#   has FID 0 against the training set, and nearly so against a test set.
# * The kind. DRAW's 80.97 is a bound, PixelCNN's is exact (van den Oord, Kalchbrenner and Kavukcuoglu, 2016, Table 4).
#   Here the bound is lower, so DRAW is better in nats; were it higher, nothing would follow.
# * Two measures: Gated PixelCNN's test NLL (van den Oord et al., 2016) and the FID of a diffusion model (Ho et al.,
#   2020). They do not compare, however alike they look.
# </details>
#
# ### What comes next: flows and diffusion
#
# **A flow** is an invertible network $z = f(x)$ with a known density of $z$. The Jacobian of section *Densities*, for
# any $f$:
#
# $$\log q(x) = \log q_z(f(x)) + \log \Big| \det \frac{\partial f}{\partial x} \Big| .$$
#
# The art is to have an inverse and a determinant that are cheap. Lesson 07 has one for posteriors; RealNVP (Dinh,
# Sohl-Dickstein and Bengio, 2017) and Glow (Kingma and Dhariwal, 2018) have them for images. An autoregressive model of
# real numbers is a flow, too: its Jacobian is triangular (lesson 03's masks).
#
# **Diffusion** is a VAE whose encoder is fixed: $z_1, \dots, z_T$ are $x$ with more and more Gaussian noise, until
# nothing is left. With $z_0 = x$, lesson 07's bound becomes a sum of KL divergences of Gaussians, one for each step,
#
# $$-\log q(x) \le \mathbb{E}\Big[ \operatorname{KL}\big(p(z_T \mid x) \,\|\, N(0, I)\big) + \sum_{t=2}^{T} \operatorname{KL}\big(p(z_{t-1} \mid z_t, x) \,\|\, q(z_{t-1} \mid z_t)\big) - \log q(x \mid z_1) \Big] ,$$
#
# The first term has no parameters. Each term of the sum becomes a squared error of a network that removes noise (Ho et
# al., 2020, equation 5); the last is a log-likelihood of $x$. If one network serves all steps, training needs one
# random step per image: no adversary, no order of pixels, no sampling in training. What it costs is sampling: many
# passes. Ho et al. report an FID of 3.17 on CIFAR-10, Kingma et al. (2021) likelihoods of diffusion models beyond those
# of autoregressive ones: two papers, two measures.
#
# ### History, references and solutions
#
# Parzen windows, kernel density estimates from samples, were once the usual estimate of a GAN's likelihood. Theis et
# al. (2016) show that a set of cluster centres can beat the true distribution by it. To compare distributions by a
# classifier is the idea of lesson 09 once more: there the judge trains the model, here it only judges.
#
# * S. Barratt and R. Sharma. A note on the Inception score. *arXiv:1801.01973*, 2018.
# * M. Bińkowski, D. Sutherland, M. Arbel and A. Gretton. Demystifying MMD GANs. *ICLR*, 2018.
# * J. Bretagnolle and C. Huber. Estimation des densités: risque minimax. *Zeitschrift für Wahrscheinlichkeitstheorie
#   und verwandte Gebiete* 47, 1979.
# * M. Chong and D. Forsyth. Effectively unbiased FID and Inception score and where to find them. *CVPR*, 2020.
# * L. Dinh, J. Sohl-Dickstein and S. Bengio. Density estimation using Real NVP. *ICLR*, 2017.
# * D. Dowson and B. Landau. The Fréchet distance between multivariate normal distributions. *Journal of Multivariate
#   Analysis* 12, 1982.
# * M. Heusel et al. GANs trained by a two time-scale update rule converge to a local Nash equilibrium. *NIPS*, 2017.
# * J. Ho, A. Jain and P. Abbeel. Denoising diffusion probabilistic models. *NeurIPS*, 2020.
# * D. Kingma and P. Dhariwal. Glow: generative flow with invertible 1x1 convolutions. *NeurIPS*, 2018.
# * D. Kingma, T. Salimans, B. Poole and J. Ho. Variational diffusion models. *NeurIPS*, 2021.
# * T. Kynkäänniemi et al. Improved precision and recall metric for assessing generative models. *NeurIPS*, 2019.
# * D. Lopez-Paz and M. Oquab. Revisiting classifier two-sample tests. *ICLR*, 2017.
# * C. Meehan, K. Chaudhuri and S. Dasgupta. A non-parametric test to detect data-copying in generative models.
#   *AISTATS*, 2020.
# * A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu. Pixel recurrent neural networks. *ICML*, 2016.
# * A. van den Oord et al. Conditional image generation with PixelCNN decoders. *NIPS*, 2016.
# * T. Salimans et al. Improved techniques for training GANs. *NIPS*, 2016.
# * L. Theis, A. van den Oord and M. Bethge. A note on the evaluation of generative models. *ICLR*, 2016.
#
# **Where the solution is.** The text source of this notebook with all answers is `solutions/10_evaluation.py` in the
# course repository. Compare after your checks pass: yours may well be different and just as right. In `course_lib` the
# same ideas are in `metrics/`, `features.py`, `compare.py` and `experiments/evaluation.py`.
