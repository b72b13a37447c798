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
# Nine lessons have given you models that report an exact likelihood, a bound, or none. All of them draw samples. This
# lesson, the last one, asks what such numbers and pictures prove. It builds the usual scores, and then breaks each of
# them.
#
# **After the core path you can**
#
# * prove that a likelihood and the look of samples can disagree, and say when they must agree;
# * compare two models in nats with an error bar that counts;
# * test whether a classifier can tell samples from data, with an exact p-value;
# * derive the Inception score and FID, compute them, and say what they cannot see.
#
# **Builds on** lessons 01 (NLL, KL divergence) and 04; examples mention 07 to 09. No exercise needs your answers from
# there. Numbers in the text are for `COURSE_BUDGET=cpu`, the default.
#
# | symbol | meaning |
# | --- | --- |
# | $x$, $D$, $K$ | an image, its number of pixels, the number of levels of a pixel |
# | $p$; $q$ | the distribution of the data; a model |
# | $n$, $N$ | number of images in a sample; number of training images |
# | $\operatorname{TV}(p, q)$ | total variation distance, $\frac12 \sum_x \lvert p(x) - q(x) \rvert$, from 0 to 1 |
# | $y$, $p(y \mid x)$, $p(y)$ | a class; what a classifier says of $x$; its mean over a sample |
# | $m$, $C$ | mean and covariance of a network's features |

# %% setup=true
import math

import torch

# %% tags=["demo"] folded="Imports; loads the digits of 16 levels, the toy distribution, and the course's feature network."
from sklearn.svm import SVC

from autograder.checks import evaluation as checks
from course_lib import budget, data, metrics, plots
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
# What can a model be asked? Lesson 01's map, with this course's lessons:

# %% tags=["demo"]
plots.show(figures.taxonomy())

# %% [markdown]
# Two models with exact likelihoods will be our patients, both of the 8 × 8 digits with 16 levels:

# %% tags=["train"]
torch.manual_seed(0)
made = MADE(64, [300], levels=16, dropout=0.5, direct=True)
fit(made, vectors, epochs=budget(smoke=1, cpu=40, gpu=100), batch_size=64, lr=3e-3)
torch.manual_seed(0)
pixelcnn = GatedPixelCNN((1, 8, 8), 16, channels=16, layers=3, kernel=3)
fit(pixelcnn, images, epochs=budget(smoke=1, cpu=24, gpu=60), batch_size=64, lr=3e-3)

# %% [markdown]
# Beside them two cheats. The **mixture** draws from MADE once in a hundred times, and uniform noise otherwise. The
# **memory** returns a training image. Below are five rows in random order: samples of all four, and new digits from the
# test set. Which row is the PixelCNN's?

# %% tags=["demo"] folded="Draws 300 images of each kind, and shows 14 of each, in random order and without names."
memory = experiment.NoisyCopies(vectors.train.x, 16, 1e-5)
mixture = experiment.Mixed(made, IndependentPixels(64, levels=16), 0.01)
models = {"MADE": made, "PixelCNN": pixelcnn, "mixture": mixture, "memory": memory}
samples = {name: model.sample(300, generator=seeded()).view(-1, 1, 8, 8) for name, model in models.items()}
order = ["MADE", "test digits", "mixture", "PixelCNN", "memory"]
rows = torch.cat([({"test digits": test} | samples)[name][:14] for name in order])
alt = "Five rows of fourteen images, named A to E. C is noise; the others are digits, some of them in A and D misshapen."
plots.show(plots.image_grid(rows, columns=14, levels=16, row_names="ABCDE"), alt=alt)

# %% tags=["demo"]
guess("row of the PixelCNN", ..., choices=["A", "B", "C", "D", "E"])

# %% tags=["demo"] folded="Says which row is which."
print(", ".join(f"{letter}: {name}" for letter, name in zip("ABCDE", order, strict=True)))
outcome("row of the PixelCNN", "ABCDE"[order.index("PixelCNN")])

# %% [markdown]
# Looking is evidence if it is **blind**: no names, random order, samples that nobody selected, real images among them,
# and a count of right answers, which section 4 turns into a p-value. And it has a limit that you have just met: nobody
# can see whether a row of good digits is new, or copied.
#
# ## 2 · A good likelihood with bad samples, and the reverse
#
# The mixture's density is $\frac{1}{100} q(x) + \frac{99}{100} u(x)$, with MADE's $q$ and the noise's $u = 16^{-64}$. A
# sum of two positive terms is at least each of them, so
#
# $$-\log \big( w\, q(x) + (1 - w)\, u(x) \big) \;\le\; -\log q(x) + \log \tfrac1w .$$
#
# At $w = \frac1{100}$ the mixture costs at most $\log 100 = 4.61$ nats per image more than $q$: for *every* image,
# however large it is. NLLs grow with $D$, and so do the differences between models; 4.61 nats do not. On binarized
# MNIST (784 pixels) PixelCNN has 81.30 nats and NADE 88.33 (van den Oord, Kalchbrenner and Kavukcuoglu, 2016, Table 4).
# A mixture of 1 % PixelCNN and 99 % noise has at most 85.91, and beats NADE. On CIFAR-10, $D = 3072$, its 4.61 nats are
# 0.002 bits/dim.
#
# **The reverse.** The memory picks a training image and redraws each pixel with a tiny probability $\varepsilon$. Its
# samples are perfect, and a test image that differs from all training images in $k$ pixels has
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
# The mixture is 12 nats better than independent pixels, and 99 of 100 of its samples are noise. The memory draws
# perfect digits and costs more than noise. Nats measure how well *every* new image is covered; the look of samples,
# where most of the mass is. Likelihood decides what can be compressed, completed or denoised, and forgives any amount of
# nonsense at $\log \frac1w$.
#
# ## 3 · Comparing nats
#
# Four questions before two numbers are compared.
#
# * **The same unit?** Divide nats by $\log 2 = 0.693$ for bits, and by $D$ for bits per dimension. MADE's 85.8 nats are
#   123.7 bits and 1.93 bits/dim.
# * **The same data?** Test images, levels, size, binarization. A *density* of pixels made continuous needs the Jacobian
#   of its scale (*Going further*).
# * **The same kind?** $-\text{ELBO}$ and importance-weighted numbers are at least the NLL, on average (lesson 07). If
#   A's *bound* is below B's *exact* value, A is better. If it is above, nothing follows.
# * **Is the difference larger than its error?** Let $a_i$ and $b_i$ be the log-likelihoods of test image $i$. The mean of
#   $n$ independent numbers has the variance of one, divided by $n$. The two means are of the *same* images, so
#
# $$\operatorname{Var}(\bar a - \bar b) = \frac1n \operatorname{Var}(a_i - b_i) = \frac1n \big( \operatorname{Var} a_i + \operatorname{Var} b_i - 2 \operatorname{Cov}(a_i, b_i) \big) .$$
#
# An image that is hard for one model is hard for the other: the covariance is large, and the difference is known better
# than either mean. Subtract image by image, then take the standard error $s / \sqrt n$, with the sample standard
# deviation $s$ of the differences. (It covers the choice of test images alone. Training again, with another seed, is
# another source of error: three seeds at least.)
#
# ### Exercise 2 · `paired_difference`


# %% exercise="paired_difference"
def paired_difference(a, b):
    """The mean difference of two models' scores on the same images, its standard error, and their ratio.

    Args:
        a, b: (n,) float64 tensors, n at least 2: scores of the same images in the same order, in nats. They may be near
            1e8, and differ by 1e-6.

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

# %% tags=["demo"] folded="Draws both models' log-likelihoods of each test digit, and the error of their difference, paired and not."
with waits_for("paired_difference"):
    a, b = log_q["PixelCNN"], log_q["MADE"]
    mean, stderr, z = (float(each) for each in paired_difference(a, b))
    plots.show(figures.paired(a, b, mean, stderr))
    outcome("standard errors, paired", z)

# %% [markdown]
# So the PixelCNN is the better model, in nats. Are its samples better, too?
#
# ## 4 · A classifier as the judge
#
# Let a referee toss a fair coin for each of $n$ places, and put a new image of the data there, or a fresh sample. A
# **classifier two-sample test** (Lopez-Paz and Oquab, 2017) is a classifier that guesses the coin from the image.
#
# **Under the null hypothesis** $q = p$ an image says nothing about its coin. Whatever the classifier is, if it was
# trained on *other* images, its number of right answers is that of heads in $n$ tosses:
#
# $$p\text{-value} = P(X \ge k) = 2^{-n} \sum_{j = k}^{n} \binom{n}{j} .$$
#
# **The best classifier** says "data" where $p(x) > q(x)$. It is right with probability $\frac12 \sum_x \max(p, q)$. As
# $\max(p, q) = \frac12 (p + q) + \frac12 \lvert p - q \rvert$, this is $\frac12 (1 + \operatorname{TV}(p, q))$. So a
# measured accuracy above $\frac12$ *proves* a distance, and one near $\frac12$ proves nothing: another classifier might
# see more.
#
# **What a likelihood promises.** Let $s = \sum_x \min(p, q) = 1 - \operatorname{TV}$, so that
# $\sum_x \max(p, q) = 2 - s$. By Cauchy and Schwarz, and by Jensen,
#
# $$s\,(2 - s) \ge \Big( \sum_x \sqrt{\min \cdot \max} \Big)^2 = \Big( \sum_x \sqrt{p\, q} \Big)^2 = \Big( \mathbb{E}_p \sqrt{q / p} \Big)^2 \ge \exp\!\big( \mathbb{E}_p \log (q / p) \big) = e^{-\operatorname{KL}(p \| q)},$$
#
# and $s (2 - s) = 1 - \operatorname{TV}^2$. Hence $\operatorname{TV}(p, q) \le \sqrt{1 - e^{-\operatorname{KL}(p \| q)}}$
# (Bretagnolle and Huber, 1979): good likelihoods *do* force good samples, if the divergence is a fraction of a nat per
# **image**. At 4.61 nats the bound is 0.995, and the mixture nearly uses it.
#
# ### Exercise 3 · `c2st`


# %% exercise="c2st"
def c2st(scores, labels):
    """The classifier two-sample test: accuracy on held-out images, and its exact p-value.

    Under the null hypothesis the labels are n tosses of a fair coin, independent of the scores.

    Args:
        scores: (n,) float64 tensor, logits of "this is data", any numbers or +-inf. A score above 0 says "data" (1), all
            others say "model" (0).
        labels: (n,) int64, 1 for data and 0 for a sample of the model; n is at least 1, and up to 10,000.

    Returns:
        A tuple of two numbers: the share of right answers, and P(X >= number of right answers) for X ~ Binomial(n, 1/2),
        without a normal approximation, accurate relative to itself down to 1e-300.
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
# For a MADE of the toy distribution everything is known. Its KL divergence is 0.4 nats. How far can a support vector
# machine get, in percent of right answers?

# %% tags=["demo"]
guess("accuracy of a classifier on the toy distribution, in percent", ...)


# %% tags=["train"] folded="Trains that MADE; your c2st with a support vector machine and with the best classifier; the digits' models."
def coin_flips(real, fake, n, seed):
    """n places with a row of real (label 1) or of fake (label 0), by a fair coin."""
    labels = torch.randint(2, (n,), generator=seeded(seed))
    return torch.where(labels.view(-1, *[1] * (real.ndim - 1)) == 1, real[:n], fake[:n]), labels


with waits_for("c2st"):
    torch.manual_seed(0)
    toy = MADE(16, [64])
    fit_steps(toy, world.sample(20_000, generator=seeded()), steps=budget(smoke=2, cpu=500, gpu=500), batch_size=200, lr=1e-2)
    with torch.no_grad():
        log_toy = torch.cat([toy.log_prob(x) for x in world.states.split(8192)]).double()
        kl = float((world.log_p.exp() * (world.log_p - log_toy)).sum())
        tv = float((world.log_p.exp() - log_toy.exp()).abs().sum()) / 2
        sets = [each.sample(4000, generator=seeded(i)).double() for i, each in enumerate((world, toy), start=1)]
        (seen, said), (held_out, labels) = (coin_flips(*(x[part] for x in sets), 2000, i) for i, part in enumerate((slice(2000), slice(2000, 4000))))
        machine = SVC(C=10).fit(seen, said)
        judges = {"support vector machine": torch.from_numpy(machine.decision_function(held_out))}
        judges["best classifier"] = world.log_prob(held_out.long()).double() - toy.log_prob(held_out.long()).double()
    for name, scores in judges.items():
        accuracy, p = (float(each) for each in c2st(scores, labels))
        print(f"toy distribution, {name}: accuracy {100 * accuracy:.1f} %, p = {p:.1e}")
    print(f"(1 + TV) / 2 = {50 * (1 + tv):.1f} %; bound by KL = {kl:.2f} nats: {50 * (1 + math.sqrt(1 - math.exp(-kl))):.1f} %")
    outcome("accuracy of a classifier on the toy distribution, in percent", 100 * float(c2st(judges["support vector machine"], labels)[0]))
    for name, model in models.items():
        new = [model.sample(300, generator=seeded(i)).view(-1, 64).double() / 15 for i in (1, 2)]
        seen, said = coin_flips(vectors.valid.x.double() / 15, new[0], 300, 3)
        held_out, labels = coin_flips(vectors.test.x.double() / 15, new[1], 300, 4)
        accuracy, p = c2st(torch.from_numpy(SVC(C=10).fit(seen, said).decision_function(held_out)), labels)
        print(f"digits, {name}: accuracy {100 * float(accuracy):.0f} %, p = {float(p):.1e}")
