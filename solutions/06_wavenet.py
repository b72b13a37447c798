# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 06 · WaveNet: sound, sample by sample
#
# **The question of this lesson.** A second of sound is 8,000 to 48,000 numbers. How can a convolutional network
# remember long enough, and generate fast enough, to model it sample by sample?
#
# PixelCNN (lesson 04) predicts each pixel from those before it. WaveNet (van den Oord, Dieleman, Zen et al., 2016) is
# PixelCNN for **time**: one dimension instead of two, but a far longer past. The digits of lesson 04 have 64 pixels; a
# spoken word has thousands of samples, and what was said a tenth of a second ago still matters.
#
# **After the core path you can**
#
# * turn a sound into 256 levels that the ear hardly tells from the original;
# * build causal convolutions, and choose dilations for a given receptive field without a gap;
# * say how much memory a sound needs, and measure what it is worth;
# * generate in a time per sample that grows with the number of layers, not with the receptive field;
# * write a whole WaveNet, train it, and hear it.
#
# **Builds on** lessons 01 to 04 (chain rule, NLL, causal masks, gates). No exercise needs your answers from there.
# Numbers in the text are for `COURSE_BUDGET=cpu`, the default.
#
# | symbol | meaning |
# | --- | --- |
# | $s_t$, $T$ | the sound at step $t$, a real number in $-1 \dots 1$; the number of steps |
# | $x_t$, $K$ | its **level** (code), one of $0, \dots, K - 1$; $K = 256$ |
# | $x_{<t}$ | all levels before step $t$; steps count from 0 |
# | $F$, $\mu$ | the companding function, and its constant, 255 |
# | $k$, $d$ | number of **taps** of a convolution (its kernel size), and the distance between them, the **dilation** |
# | $w_j$ | the weights of tap $j$, counted from 0; the last one reads the present step |
# | $L$, $d_i$ | number of layers; the dilation of layer $i$ |
# | $R$ | the **receptive field**: how many steps an output reads |
# | $h$, $a$, $z$, $C$ | a layer's input, the convolution of it, the gated unit's output; number of channels of $h$ |
# | $W_i$, $M_i$, $S_i$ | weights of layer $i$: its convolution, the way to the next layer, the way to the output |
# | $P$ | number of places of a ring buffer; $p$ and $P(\cdot)$ are probabilities |
# | $u$, $u_t$ | uniform noise in $[0, 1)$, from which samples are drawn |
# | $\sigma(a)$, $\odot$, $*$ | $1/(1 + e^{-a})$; product entry by entry; convolution |
# | $y$, $V_i$, $\tau$ | in *Going further*: a condition (before, $y$ is a convolution's output), its weights; a temperature |
# | $m_t$, $\lambda_t$; $p$, $q$ | there too: mean and scale of a logistic distribution; teacher and student |
# | bits per sample | an NLL in nats divided by $T \log 2$ |

# %% setup=true
import math

import torch

# %% tags=["demo"] folded="Imports; computes the data set of tones."
import copy
import time

import matplotlib.pyplot as plt
import numpy as np

from autograder.checks import wavenet as checks
from course_lib import budget, companding, data, metrics, plots
from course_lib.clinic import wavenet_clinic
from course_lib.data.sound import RATE, harmonic_share
from course_lib.experiments import reach, speech
from course_lib.figures import wavenet as figures
from course_lib.models import Histogram, LinearPrediction, ParallelWaveNet, WaveNet
from course_lib.models.parallel_wavenet import distillation_loss, power_loss
from course_lib.notebook import guess, outcome, play, waits_for
from course_lib.training import fit_steps

torch.set_num_threads(1)  # the models are so small that more threads would wait for one another
tones = data.tones()
T = tones.shape[0]


def bits(model, x=tones.test.x):
    """The mean cost of sounds under a model, in bits per sample."""
    return metrics.nll(model, x, batch_size=10).mean / (x.shape[1] * math.log(2))


print(f"{tones.name}: {len(tones.train)} to train on, {len(tones.test)} to test, {T} samples each, {RATE} per second")

# %% [markdown]
# ## 1 · From an image to a sound
#
# A microphone measures the pressure of the air many times per second: 8,000 times for telephones, 16,000 or 24,000 for
# speech, 44,100 or 48,000 for music. The numbers $s_0, s_1, \dots$ are the **samples**. The chain rule of lesson 01
# holds for them as for pixels,
#
# $$p(x) = \prod_{t=0}^{T-1} p(x_t \mid x_{<t}),$$
#
# and time brings its own ordering. Our data are **tones**: single notes, chords of three, and melodies of four notes,
# each a quarter of a second long. A tone is a sum of three harmonics at random phases, dying away, in a little noise.
# Look, and listen:

# %% tags=["demo"] folded="Draws and plays a note, a chord and a melody."
examples = {name: companding.mu_law_decode(tones.test.x[i]) for i, name in enumerate(tones.labels["form"])}
plots.show(figures.sounds(examples, seen="Dark horizontal lines are harmonics."))
for name, sound in examples.items():
    play(sound, RATE, alt=f"A {name} of a quarter of a second, like a soft organ.")

# %% [markdown]
# Two things differ from an image. A sound has **no fixed length**, and what happens at one time may as well happen at
# any other: the network must do the same at each step, which is what a convolution does. And the past is **long**: even
# these 0.25 seconds are 2,000 samples.
#
# ## 2 · 256 levels for a sound
#
# Files store a sample with 16 bits, as one of 65,536 levels. A softmax over so many is slow and sees most levels
# rarely, so WaveNet uses 256. How should they be spaced? With equal steps of $2/255 \approx 0.008$, a sound whose
# amplitude is 0.02 has six levels left. What the ear notices is the error *relative to the sound*. So steps should be
# small where the sound is small.
#
# **Derivation.** Compress the sound by a function $F$ first, then round $F(s)$ in equal steps of $2/255$. A step of $F$
# is a step of $2 / (255\, F'(s))$ of the sound. For an error proportional to $|s|$ we need $F'(s) \propto 1/|s|$, hence
# $F = \log |s|$; but this is infinite at 0. The **mu-law** (ITU-T G.711, for telephones) takes
# $F'(s) \propto 1 / (1 + \mu |s|)$ instead, proportional to $1/|s|$ for loud sounds, and constant for very quiet ones.
# Integrate from 0, and scale so that $F(1) = 1$:
#
# $$F(s) = \operatorname{sign}(s)\, \frac{\log(1 + \mu |s|)}{\log(1 + \mu)}, \qquad \mu = 255 .$$
#
# Half a step of $F$ is $1/255$, so the largest error near $s$ is about $(1 + \mu |s|) \log(256) / 255^2$: $0.00009$ in
# silence, $0.022$ at full volume. To **decode**, invert: $|s| = (256^{|F|} - 1) / 255$. How many of the 256 levels have
# an amplitude below 0.03?

# %% tags=["demo"]
guess("levels below 0.03, equal steps", ...)
guess("levels below 0.03, mu-law", ...)

# %% tags=["demo"] folded="Counts and draws the levels near silence, and measures the noise of rounding."
plots.show(figures.levels_and_noise())
outcome("levels below 0.03, equal steps", int(((2 * torch.arange(256) / 255 - 1).abs() < 0.03).sum()))
outcome("levels below 0.03, mu-law", int((companding.mu_law_decode(torch.arange(256)).abs() < 0.03).sum()))

# %% [markdown]
# Right: the power of a sine relative to the power of its rounding error, in **decibels** ($10 \log_{10}$ of the ratio).
# Equal steps are better for the loudest sounds, and useless for quiet ones. The mu-law is about equally good over a
# wide range of volumes. Both have an even number of levels, symmetric about 0, so *silence is not a level*: it lies
# half-way between 127 and 128, and a tie must be decided. We take the upper one.
#
# ### Exercise 1 · `mu_law_encode`
#
# Level $k$ stands for $F = 2k/255 - 1$; find the nearest. (The function's argument `x` is the sound.)


# %% exercise="mu_law_encode"
def mu_law_encode(x):
    """The code of each sample of a sound: the nearest of 256 levels after mu-law compression.

    F(x) = sign(x) log(1 + 255 |x|) / log(256). Code k, one of 0..255, stands for F = 2k / 255 - 1. A tie goes to the
    upper code, so silence, x = 0, which lies half-way between two levels, has code 128.

    Args:
        x: float32 or float64 tensor of any shape, values in -1..1.

    Returns:
        int64 tensor of the same shape.

    Raises:
        ValueError: an entry of x is not in -1..1, or is nan.
    """
    ### BEGIN SOLUTION
    if not (x.abs() <= 1).all():
        raise ValueError("expected values in -1..1")
    F = x.sign() * torch.log1p(255 * x.abs()) / math.log(256)
    return ((F + 1) / 2 * 255 + 0.5).floor().long()
    ### END SOLUTION


# %% check="mu_law_encode"

# %% [markdown]
# Listen to rounding. The tone is turned down to 2 % of its volume, rounded to 256 levels in two ways, and turned up
# again.

# %% tags=["demo"] folded="Rounds a quiet tone in equal steps, and by your levels; draws and plays the results."
quiet = 0.02 * examples["note"]
linear = 2 * ((quiet + 1) / 2 * 255).round() / 255 - 1
plays = {"equal steps": (linear, "The note, drowned in a rough buzz.")}
with waits_for("mu_law_encode"):
    yours = companding.mu_law_decode(torch.as_tensor(mu_law_encode(quiet)))
    plays["your mu-law"] = yours, "The note, clean."
    shown = {name: sound[800:1200] for name, (sound, _) in plays.items()}
    plots.show(figures.rounding_errors(quiet[800:1200], shown))
    for name, (sound, heard) in plays.items():
        play(0.9 * sound / sound.abs().max(), RATE, alt=f"A quiet note rounded by {name}, then amplified. {heard}")

# %% [markdown]
# ## 3 · Convolutions that read the past
#
# In lesson 04 masks kept a convolution from reading later pixels. In one dimension no mask is needed. Give a
# convolution with $k$ taps enough zeros *in front* of the first step and none behind the last, and its output at $t$
# reads the steps up to $t$ only:
#
# $$y_t = \sum_{j=0}^{k-1} w_j\, x_{t - (k-1-j) d} , \qquad x_t = 0 \text{ for } t < 0 .$$
#
# The last tap reads the present step. This is mask B. Mask A, which hides the present, is needed once: WaveNet moves
# its *input* by one step, so that what enters at step $t$ is $x_{t-1}$. If a network forgets this, it learns to copy.
#
# ### Exercise 2 · `causal_conv`


# %% exercise="causal_conv"
def causal_conv(x, w, dilation):
    """A dilated causal convolution: y_t = sum over j of w[:, :, j] x_{t - (k-1-j) dilation}.

    x is 0 before the first step.

    Args:
        x: (n, inputs, T) float tensor.
        w: (outputs, inputs, k) float tensor; the last tap, j = k - 1, reads the present step.
        dilation: an integer, at least 1.

    Returns:
        (n, outputs, T), through which gradients flow to x and w.
    """
    ### BEGIN SOLUTION
    past = (w.shape[2] - 1) * dilation
    return torch.nn.functional.conv1d(torch.nn.functional.pad(x, (past, 0)), w, dilation=dilation)
    ### END SOLUTION


# %% check="causal_conv"

# %% [markdown]
# Which input each output depends on, found by gradients: your convolution ($k = 2$, $d = 2$), and the usual one of
# images, with half of its zeros on either side. With the second, the loss looks splendid: the network is shown what
# comes next.

# %% tags=["demo"] folded="Finds by gradients what your convolution reads, and one that is padded on both sides."
def reads(conv):
    """(8, 8): whether output t of a convolution from one channel to one depends on input s."""
    return (torch.autograd.functional.jacobian(lambda x: conv(x[None, None])[0, 0], torch.randn(8)) != 0).long()


with waits_for("causal_conv"):
    taps = torch.ones(1, 1, 2)
    both_sides = reads(lambda x: torch.nn.functional.conv1d(x, taps, padding=1, dilation=2))
    plots.show(figures.paddings(reads(lambda x: causal_conv(x, taps, 2)), both_sides))

# %% [markdown]
# ## 4 · Dilation, and how long to remember
#
# Stack $L$ causal convolutions. Layer $i$ reads up to $(k - 1) d_i$ steps back, and along a path through all layers
# these distances add up. So the last output reads at most
#
# $$R = 1 + (k - 1)(d_1 + d_2 + \dots + d_L) \quad \text{steps},$$
#
# the present one included. *With $d_i = 1$* and $k = 2$, 256 steps, which is 32 ms, need 255 layers: depth is too slow
# a way to remember. With a *stride* of 2, each further layer doubles $R$, but outputs exist at every second step only. To
# get the others, one would run the same layers on the input moved by one step. **Dilation** does both at once: taps that
# lie $d$ steps apart, at *every* step.
#
# **Doubling.** With $k = 2$ and $d_i = 1, 2, 4, \dots, 2^{L-1}$, a path chooses for each layer whether to go back $d_i$
# steps or 0. The distance is a binary number, and each of $0, \dots, 2^L - 1$ has exactly one. So $R = 2^L$, without a
# gap, and each input has exactly one path: $L$ layers for $2^L$ steps. (A fast Fourier transform has the same binary tree
# of indices.)

# %% tags=["demo", "picture"]
plots.show(figures.dilated_stack((1, 2, 4, 8)))

# %% [markdown]
# ### Exercise 3 · `dilations`
#
# For any $R$ and any number of taps, choose dilations with as few layers as possible, such that no step is missed.
# First think: if the layers so far read the last $r$ steps without a gap, which dilations may the next layer have?


# %% exercise="dilations"
def dilations(receptive_field, kernel):
    """Dilations for a stack of causal convolutions whose output reads the last `receptive_field` steps, all of them.

    A layer of dilation d reads its input 0, d, ..., (kernel - 1) d steps back. The last output must depend on the
    present input and on each of the receptive_field - 1 before it (no gap), and on none further back.

    Args:
        receptive_field: R, at least 1; R - 1 is a multiple of kernel - 1.
        kernel: number of taps of each layer, at least 2.

    Returns:
        list of positive integers, one per layer, with as few layers as possible; [] for R = 1. Any such list is right.
    """
    ### BEGIN SOLUTION
    found, left = [], (receptive_field - 1) // (kernel - 1)
    reach = 1
    while left:
        d = min(reach, left)
        found.append(d)
        left -= d
        reach += (kernel - 1) * d
    return found
    ### END SOLUTION


# %% check="dilations"

# %% tags=["demo"]
guess("layers for a second at 48,000 samples, 2 taps", ...)

# %% tags=["demo"]
with waits_for("dilations"):
    print("R = 12:", dilations(12, 2), " 3 taps, R = 27:", dilations(27, 3))
    plots.show(figures.dilated_stack(dilations(12, 2), title="R = 12"))
    outcome("layers for a second at 48,000 samples, 2 taps", len(dilations(48_000, 2)))

# %% [markdown]
# **How much memory does a sound need?** A single sine that turns by $\omega$ radians per step needs little: $s_t = 2
# \cos(\omega)\, s_{t-1} - s_{t-2}$ for any amplitude and phase, so *two* samples foretell the next, if there is no noise.
# A note of three harmonics needs six, a chord of nine sines eighteen. Noise changes this: strengths and phases must be
# *estimated*. Least squares with $N$ noisy samples and $q$ unknowns adds about $q/N$ of the noise's variance to the error
# of prediction, which costs $\frac12 \log_2 (1 + q/N)$ bits per sample. With the six unknowns of a note these are 0.37
# bits for $N = 9$, 0.13 for $N = 31$ and 0.02 for $N = 256$: a longer past goes on paying, less and less.
#
# ### On paper
#
# The paper's stack has dilations $1, 2, 4, \dots, 512$, three times over, with two taps. (a) It is tempting to say:
# each block of ten layers sees 1,024 steps, so three see $3 \times 1024 = 3072$. What is $R$? (b) How long is that in
# milliseconds, at 16,000 samples per second? (c) By how many paths does the stack of *two* blocks $1, 2, 1, 2$ reach
# the input three steps back?
#
# <details>
# <summary><b>Solution</b> (open it when you have written down yours)</summary>
#
# (a) $R = 1 + 3 \cdot (1 + 2 + \dots + 512) = 1 + 3 \cdot 1023 = 3070$. Each block reads 1,023 steps *further back*;
# the present step is counted once, not three times. (b) $3070 / 16 = 192$ ms. (c) Four: each block contributes 0, 1, 2
# or 3, in one way each, and $3 = 0 + 3 = 1 + 2 = 2 + 1 = 3 + 0$. Repeated blocks do not only reach further: near steps
# get many paths.
# </details>
#
# ## 5 · Gates, residuals and skips
#
# The network reads one number per step, $2x/(K-1) - 1$. A 1 × 1 convolution makes $C$ channels of it, and there the shift
# by one step takes place: $h_t$ comes from $x_{t-1}$, and $h_0 = 0$. What a layer computes is lesson 04's **gated unit**,
# with a residual connection around it:
#
# $$a = W_i * h, \qquad z_i = \tanh(a_{\text{first half}}) \odot \sigma(a_{\text{second half}}), \qquad h \leftarrow h + M_i z_i .$$
#
# $W_i$ is a causal convolution from $C$ to $2C$ channels with dilation $d_i$; $M_i$ is a matrix, in other words a 1 × 1
# convolution, and the last layer needs none. (Formulas leave out the biases.) All layers together, each by its own matrix
# $S_i$, lead to the output through **skip connections**:
#
# $$\text{logits} = \text{output}\Big(\operatorname{relu}\big(\textstyle\sum_i S_i z_i\big)\Big),$$
#
# where "output" is a 1 × 1 convolution to $K$ channels; the library, like the paper, has one more matrix and relu in
# between. So what the lower layers read of the last few samples does not have to pass through all the others.

# %% tags=["demo"]
plots.show(figures.wavenet_unit())

# %% [markdown]
# ## 6 · Training, and what each part is worth
#
# In training all of $x$ is known, and all steps are computed at once: $L$ convolutions, as in lesson 04. The loss is
# the NLL. A cost in bits per sample means little without something to compare it with, so we state three references:
#
# * a **histogram** of the levels, which ignores the past;
# * **linear prediction** of order 16, the classical model of speech (Atal and Hanauer, 1971):
#   $s_t = b + \sum_{j=1}^{16} c_j s_{t-j}$ plus a logistic residual. The probability of a level is the logistic's mass
#   between its two borders, so it is comparable with ours. Its 18 numbers maximise the likelihood of 60 of the 240
#   training sounds, which is plenty for so few;
# * the **noise floor**: a model that knew each tone exactly, and only had to guess the noise, would need 2.44 bits.
#   Nobody can reach this, since pitches, phases and strengths must be found out first.
#

# %% tags=["train"] folded="Fits histogram and linear prediction."
baselines = {
    "histogram": Histogram.of(tones.train.x, 256),
    "linear prediction": LinearPrediction.of(tones.train.x[:60], 256, 16),
}
references = {name: bits(model) for name, model in baselines.items()}
for name, cost in references.items():
    print(f"{name:18} {cost:.2f} bits per sample")

# %% [markdown]
# The WaveNet has 8 layers of 16 channels with dilations $1, \dots, 128$, so $R = 256$. It is trained on pieces of 500
# samples, for about a minute. Will it beat linear prediction, which reads 16?

# %% tags=["demo"]
guess("WaveNet, bits per sample", ...)

# %% tags=["train"] folded="Trains a WaveNet on the tones."
torch.manual_seed(0)
wavenet = WaveNet(T, 256, 16, [2**i for i in range(8)], skip=32)
fit_steps(wavenet, reach.pieces(tones), steps=budget(smoke=3, cpu=1500, gpu=20_000), batch_size=2, lr=8e-3)
wavenet.eval()
outcome("WaveNet, bits per sample", bits(wavenet))

# %% [markdown]
# WaveNet beats linear prediction by about 0.4 bits per sample, a sixth of what linear prediction pays above the noise
# floor. Do not underrate the older model: it has 18 numbers against 24,000, and is told what a level means. A sum of
# sines obeys a linear rule in $s_t$, but not in the companded levels that WaveNet reads; so WaveNet has to learn first
# what $F$ did. It goes on improving when it is trained for longer.
#
# **Take one part away.** All networks below have 8 layers and (nearly) the same number of weights. The first three
# differ in dilations alone; the others lack gates (a plain $\tanh$), skips (only the last layer leads to the output) or
# residual connections. Three seeds each; made by `python -m course_lib.experiments.reach`. Which costs most?

# %% tags=["demo"]
names = list(reach.NETWORKS)
guess("the part that is worth most", ..., choices=names[1:])

# %% tags=["demo"] folded="Draws the costs of networks that lack a part, with all seeds."
plots.show(figures.worth_of_parts(reach.MEASURED, {"linear prediction": references["linear prediction"]}))
medians = {name: np.median(costs) for name, costs in reach.MEASURED.items()}
outcome("the part that is worth most", max(names[1:], key=medians.get))

# %% tags=["train"] folded="A small part again: two of the networks, with a tenth of the steps."
few = budget(smoke=2, cpu=150, gpu=1500)
for name in (names[0], names[2]):
    print(f"{name:24} {reach.measure(name, seed=0, steps=few):.2f} bits per sample, after {few} steps")

# %% [markdown]
# Medians of three seeds, in bits per sample above the whole network's 4.87. (The WaveNet above has less, as its batches
# were twice as large. No network that lacks dilation, gates, skips or residuals beats linear prediction.)
#
# * **Receptive field.** $R = 31$ instead of 256 costs 0.13, $R = 9$ costs 0.23: the size that section 4 leads to expect.
# * **Gates** cost 0.24 to do without, but from 0.09 to 0.28 depending on the seed. In lesson 04, on images, the same
#   test found no gain: what a part is worth depends on the data.
# * **Skips** cost 0.39 and **residuals** 0.36: three seeds cannot say which is worth more. One of the trainings without
#   skips got stuck at 6.7 bits.
#
# All this holds for these tones, this size, and 1,500 short steps. After 150 steps (the cell above) the long field
# shows no advantage at all: a long past is of use only once the network has learnt what to do with it.
#
# ## 7 · Generation: slow, then fast
#
# A sample is drawn step by step: compute the logits of $x_t$, draw, continue. Done plainly, each step runs the network
# over the whole receptive field to use *one* output. Each layer computes $R$ columns, of which all but the last were
# computed before.
#
# What does a step really need? A layer with two taps needs its input of *now*, and that of $d$ steps ago. So let each
# layer remember its last $d$ inputs in a **ring buffer** (Le Paine et al., 2016): step $t$ writes into place
# $t \bmod d$. Before it does, place $t \bmod d$ holds the input of step $t - d$: just the one that is needed, and the
# oldest, so that it may be overwritten.

# %% tags=["demo"]
plots.show(figures.ring_buffer(dilation=4))

# %% [markdown]
# With $k$ taps there are $P = (k - 1) d$ places, and tap $j$ finds its input in place $(t - (k - 1 - j) d) \bmod P$.
# The cost of a step is then a few small products of a matrix with a vector for each layer, *whatever the dilations*.
#
# ### Exercise 4 · `ring_step`


# %% exercise="ring_step"
def ring_step(state, x, t, w, dilation):
    """Step t of a dilated causal convolution, from a ring buffer of earlier inputs.

    With k taps, the buffer has P = (k - 1) dilation places; place s % P holds the input of step s, for the P steps before
    t (zeros for steps before the first). After the step, place t % P holds x.

    Args:
        state: (n, inputs, P) float tensor; the function may change it in place.
        x: (n, inputs), the input of step t.
        t: the number of the step, from 0.
        w: (outputs, inputs, k), k at least 2, as in `causal_conv`.
        dilation: an integer, at least 1.

    Returns:
        (state, y): the buffer after the step, and y (n, outputs), which is `causal_conv`'s y_t.
    """
    ### BEGIN SOLUTION
    k, P = w.shape[2], state.shape[2]
    y = x @ w[:, :, k - 1].T
    for j in range(k - 1):
        y = y + state[:, :, (t - (k - 1 - j) * dilation) % P] @ w[:, :, j].T
    state[:, :, t % P] = x
    return state, y
    ### END SOLUTION


# %% check="ring_step"

# %% tags=["demo"]
@torch.no_grad()
def ring_sample(model, u, step):
    """Samples of the WaveNet from uniforms u (n, T); each layer's convolution is done by `step`."""
    x, n, net = torch.zeros(u.shape, dtype=torch.long), len(u), model.network
    rings = [torch.zeros(n, 16, layer.dilation[0], dtype=u.dtype) for layer in net.layers]
    for t in range(u.shape[1]):
        before = 2 * x[:, t - 1].to(u.dtype) / 255 - 1
        h = net.first(before[:, None, None]) if t else torch.zeros(n, 16, 1, dtype=u.dtype)
        gated = []
        for i, layer in enumerate(net.layers):
            rings[i], a = step(rings[i], h.squeeze(2), t, layer.weight, layer.dilation[0])
            value, opening = (a + layer.bias).chunk(2, 1)
            gated.append((value.tanh() * opening.sigmoid()).unsqueeze(2))
            if i < len(net.mixes):
                h = h + net.mixes[i](gated[-1])
        logits = net.output(net.head(net.skip(torch.cat(gated, 1)).relu()).relu()).squeeze(2)
        x[:, t] = (logits.softmax(1).cumsum(1)[:, :-1] <= u[:, t, None]).sum(1)
    return x

# %% [markdown]
# Three ways to draw the same sound, from the same uniform numbers. How many times as fast is a ring?

# %% tags=["demo"]
guess("your ring: times as fast as plain", ...)

# %% tags=["demo"] folded="Draws 300 samples plainly, by your rings and by the library's; measures the times, and those of the paper's stack."
exact = copy.deepcopy(wavenet).double()
u = torch.rand(1, 300, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
ways = {
    "plain": lambda: exact.with_length(300).sample(1, uniforms=u, cached=False),
    "yours": lambda: ring_sample(exact, u, ring_step),
    "library": lambda: exact.with_length(300).sample(1, uniforms=u),
}
with waits_for("ring_step"):
    drawn, seconds = {}, {}
    for name, way in ways.items():
        start = time.perf_counter()
        drawn[name] = torch.as_tensor(way())
        seconds[name] = time.perf_counter() - start
        print(f"{name:8} {300 / seconds[name]:6.0f} samples per second, {300 / seconds[name] / RATE:.3f} of real time")
    print("the same samples:", all(bool((x == drawn["plain"]).all()) for x in drawn.values()))
    outcome("your ring: times as fast as plain", seconds["plain"] / seconds["yours"])
large = WaveNet(T, 256, 32, [2**i for i in range(10)] * 3).eval()
start = time.perf_counter()
with torch.no_grad():
    large(torch.zeros(1, large.receptive_field, dtype=torch.long))  # a plain step reads so many samples
plain, start = time.perf_counter() - start, time.perf_counter()
large.sample(1, length=100)
ring = (time.perf_counter() - start) / 100
print(f"the paper's stack, R = {large.receptive_field}: a plain step {1000 * plain:.0f} ms, with rings {1000 * ring:.1f} ms")

# %% [markdown]
# The ring is not an approximation: in exact arithmetic the samples are the same, one by one. With $R = 256$ rings with
# your step are about 3 times as fast as the plain way, not 256 times: a step has many small operations, and calling each
# one costs more than its arithmetic. The library has fewer of them, and is some 15 times as fast. In the paper's stack,
# with $R = 3070$, the gap is wide, 50 to 100 times, depending on the machine. (32 channels are our choice.) What remains is the chain itself: one sample after another. **Listen** to half a second of three sounds,
# drawn by the cached sampler:

# %% tags=["demo"] folded="Draws three sounds of half a second; draws and plays them."
seconds_long = budget(smoke=600, cpu=4000, gpu=8000)
levels = wavenet.sample(3, length=seconds_long, generator=torch.Generator().manual_seed(0))
samples = {f"sample {i + 1}": companding.mu_law_decode(x) for i, x in enumerate(levels)}
plots.show(figures.sounds(samples, seen="Blurred bands, mostly from 300 to 600 Hz, in place of lines."))
for name, sound in samples.items():
    play(sound, RATE, alt=f"WaveNet, {name}: a rough, wavering tone between 300 and 600 Hz.")

# %% [markdown]
# The samples have a plausible loudness, the right range of frequencies, and the smoothness of a tone. But no note is
# held: the pitch wanders within a fraction of a second. A small error in each step, passed on 4,000 times, is a large
# one; *Going further* measures it.
#
# ## 8 · Your own WaveNet
#
# Assemble the pieces; nothing depends on your earlier answers. The model is a little simpler than the library's: one
# matrix after the skips. The check gives it weights and judges it untrained, on all short series: autoregressive, the
# stated network, its log-likelihood and gradients, a sampler that follows it.
#
# ### Exercise 5 · `OwnWaveNet`


# %% exercise="OwnWaveNet"
class OwnWaveNet(torch.nn.Module):
    """A WaveNet over series (n, T) of K levels, of any length T; T = 1 occurs.

    Args of `__init__`:
        levels: K, at least 2.
        channels: number of channels C, at least 1.
        dilations: list with the dilation of each layer, at least one.

    Parameters, all of `torch.nn.Conv1d` with biases (`layers`, `mixes` and `skips` are each a `torch.nn.ModuleList`):
        first: from 1 to C channels, kernel 1.
        layers: from C to 2C channels, kernel 2, one for each dilation.
        mixes: from C to C channels, kernel 1, for all layers but the last, after which nothing reads h.
        skips: from C to C channels, kernel 1, one for each layer.
        output: from C to K channels, kernel 1.

    logits(x): x (n, T) int64 -> (n, K, T): the logits of p(x_t = k | all before t).
        h_t = first(2 x_{t-1} / (K - 1) - 1), and h_0 = 0. Each layer: a = the causal convolution of h (zeros before the
        first step), z = tanh(first half of a's channels) * sigmoid(second half), and h = h + mix(z). The logits are
        output(relu(sum of all skip(z))).
    log_prob(x): -> (n,), log-likelihood of each series in nats, finite also where logits are thousands apart.
    sample(u): u (n, T) float64, uniform in [0, 1) -> (n, T) int64: step by step, x_t is the number of k in 0..K-2 with
        P(x_t <= k | all before) <= u_t.
    """

    def __init__(self, levels, channels, dilations):
        super().__init__()
        ### BEGIN SOLUTION
        self.levels, conv, several = levels, torch.nn.Conv1d, torch.nn.ModuleList
        self.first = conv(1, channels, 1)
        self.layers = several(conv(channels, 2 * channels, 2, dilation=d) for d in dilations)
        self.mixes = several(conv(channels, channels, 1) for _ in dilations[1:])
        self.skips = several(conv(channels, channels, 1) for _ in dilations)
        self.output = conv(channels, levels, 1)
        ### END SOLUTION

    def logits(self, x):
        ### BEGIN SOLUTION
        scaled = 2 * x.to(self.output.weight.dtype) / (self.levels - 1) - 1
        h, total = torch.nn.functional.pad(self.first(scaled[:, None]), (1, -1)), 0
        for n, layer in enumerate(self.layers):
            value, opening = layer(torch.nn.functional.pad(h, (layer.dilation[0], 0))).chunk(2, 1)
            z = value.tanh() * opening.sigmoid()
            total = total + self.skips[n](z)
            if n < len(self.mixes):
                h = h + self.mixes[n](z)
        return self.output(total.relu())
        ### END SOLUTION

    def log_prob(self, x):
        ### BEGIN SOLUTION
        return self.logits(x).log_softmax(1).gather(1, x[:, None]).sum((1, 2))
        ### END SOLUTION

    @torch.no_grad()
    def sample(self, u):
        ### BEGIN SOLUTION
        x = torch.zeros(u.shape, dtype=torch.int64)
        for t in range(x.shape[-1]):
            p = self.logits(x)[:, :, t].double().softmax(1)
            x[:, t] = (p.cumsum(1)[:, :-1] <= u[:, t, None]).sum(1)
        return x
        ### END SOLUTION


# %% check="OwnWaveNet"

# %% [markdown]
# **The training loop** is yours as well; it is not graded. For each step: draw 2 of the pieces at random, compute their mean NLL, and let
# Adam take a step (learning rate 0.01).


# %% loop="train_own"
def train_own(model, pieces, steps):
    """Train a model with `log_prob` on pieces of sound (N, T) of levels, in place, for so many steps."""
    ### BEGIN SOLUTION
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        loss = -model.log_prob(pieces[torch.randint(len(pieces), (2,))]).mean() / pieces.shape[1]
        adam.zero_grad()
        loss.backward()
        adam.step()
    ### END SOLUTION


# %% [markdown]
# Train it on pieces of the tones, for some seconds. The plain sampler of your model then draws a twentieth of a second,
# and you know now why it takes so long.

# %% tags=["train"] folded="Trains your model with your loop, compares it with the references, and plays a sample."
with waits_for("OwnWaveNet", "train_own"):
    torch.manual_seed(0)
    own = OwnWaveNet(256, 16, [1, 2, 4, 8, 16, 32, 64])
    train_own(own, reach.pieces(tones), steps=budget(smoke=2, cpu=500, gpu=5000))
    print(f"yours: {bits(own):.2f} bits per sample (aim: below 6.5; the solution: about 5.6; a histogram: {references['histogram']:.2f})")
    uniforms = torch.rand(1, budget(smoke=100, cpu=400, gpu=400), dtype=torch.float64)
    own_sound = companding.mu_law_decode(torch.as_tensor(own.sample(uniforms))[0])
    fig, ax = plt.subplots(figsize=(7.2, 2.0))
    plots.show(plots.waveform(own_sound, RATE, ax=ax), alt="A sample of your model: an irregular oscillation.")
    play(own_sound, RATE, alt="A twentieth of a second drawn from your model: a short click with a pitch.")

# %% [markdown]
# ## 9 · The answer, and what WaveNet cannot do
#
# **How can it remember long enough?** Dilations that double: $L$ layers read $2^L$ steps, each by exactly one path, and
# the output is still computed at every step. **How can it generate fast enough?** Each layer keeps its last $d$ inputs
# in a ring, so a step costs a few small products per layer, and $R$ doubles with one more layer. Companding makes 256
# levels enough.
#
# What remains:
#
# * **It is still one step after another.** A second at 24,000 samples is 24,000 networks that wait for one another;
#   training does them all at once. (*Going further* has the famous way out, a network that learns to do without.)
# * **What lies before the receptive field never existed.** Our network cannot know that a melody has four notes, and a
#   field of some seconds does not hold a song. Its samples are plausible for 32 ms, and wander.
# * **It spends its bits on noise.** Half of each sample's cost is the noise floor. A likelihood does not know what a
#   listener hears.
#
# **Today.** The chain was shortened in several ways. WaveRNN (Kalchbrenner et al., 2018) has a single recurrent layer
# with a dual softmax for 16 bits; it generates 24 kHz audio four times faster than real time on a GPU, and a version
# draws 16 samples per step. Parallel WaveNet (van den Oord et al., 2018), more than 20 times faster than real time,
# spoke for Google Assistant. DiffWave (Kong et al., 2021), a diffusion model, was rated about as natural as a strong
# WaveNet vocoder (4.44 against 4.43 of 5), in a constant number of steps. And most of all, the sequence became shorter:
# a learned codec (SoundStream, Zeghidour et al., 2021) turns sound into few discrete **audio tokens** per second, and
# AudioLM (Borsos et al., 2022) models *these* one by one, as a language. That is this lesson's chain rule, over a
# better alphabet; where such an alphabet comes from is lesson 08.

# %% [markdown]
# ## Going further
#
# Each section is independent of the others.
#
# ### Conditions: who speaks, and what
#
# WaveNet's samples babble: speech without words, in anybody's voice. To say what it should say, it is given a
# **condition** $y$, and models $p(x \mid y)$. There are two kinds (section 2.5 of the paper). **Global**: one label for
# the whole sound, such as the speaker. A learned vector per label is added to $a$ at *all* steps. **Local**: a sequence
# $y_t$, such as what is being said, or the pitch. It usually comes at a slower rate, is *upsampled* to one vector per
# sample (repeated, or by a learned transposed convolution), and a learned matrix of it is added to $a$ at *each* step:
#
# $$a = W_i * h + V_i\, y \quad \text{or} \quad a_t = (W_i * h)_t + V_i\, y_t .$$
#
# **Text to speech** is the local case: from a text, another model computes linguistic features (phones, with their
# durations) and the fundamental frequency; WaveNet turns them into sound. In later systems the features are a mel
# spectrogram, and a WaveNet that reads one is a **vocoder**.
#
# #### Exercise 6 · `gated_unit`


# %% exercise="gated_unit"
def gated_unit(h, w, dilation, of_label, of_context):
    """A gated unit with global and local conditioning.

    a = the causal convolution of h with w, as in `causal_conv`, plus of_label (the same at all steps), plus of_context;
    z = tanh(first half of a's channels) * sigmoid(second half).

    Args:
        h: (n, inputs, T) float tensor.
        w: (2c, inputs, k); the last tap reads the present step.
        dilation: an integer, at least 1.
        of_label: (n, 2c), or None.
        of_context: (n, 2c, T), or None.

    Returns:
        z (n, c, T), through which gradients flow to all tensors given.
    """
    ### BEGIN SOLUTION
    past = (w.shape[2] - 1) * dilation
    a = torch.nn.functional.conv1d(torch.nn.functional.pad(h, (past, 0)), w, dilation=dilation)
    if of_label is not None:
        a = a + of_label[:, :, None]
    if of_context is not None:
        a = a + of_context
    content, opening = a.chunk(2, 1)
    return content.tanh() * opening.sigmoid()
    ### END SOLUTION


# %% check="gated_unit"

# %% [markdown]
# The context of the tones is the pitch at each sample, in octaves above C4. A WaveNet that is given it, trained on the
# melodies alone, plays what you write.

# %% tags=["train"] folded="Trains a WaveNet that is given the pitch at each step."
torch.manual_seed(0)
player = WaveNet(T, 256, 16, [2**i for i in range(8)], skip=32, context_channels=1)
adam = torch.optim.Adam(player.parameters(), lr=8e-3)
steps = budget(smoke=3, cpu=800, gpu=20_000)
falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
melodies = (tones.train.y[:, 0] == 2).nonzero().flatten()
for _ in range(steps):
    i, start = melodies[torch.randint(len(melodies), (2,))], int(torch.randint(T - 500, ()))
    window = slice(start, start + 500)
    loss = -player.log_prob(tones.train.x[i, window], context=tones.train.context[i, :, window]).mean() / 500
    adam.zero_grad()
    loss.backward()
    adam.step()
    falling.step()
_ = player.eval()

# %% tags=["demo"]
tune = ["C4", "E4", "G4", "C5", "G4", "E4", "C4"]  # yours?
octaves = torch.tensor([data.sound.SCALE[name] / 12 for name in tune])
context = octaves.repeat_interleave(budget(smoke=100, cpu=800, gpu=1000))[None, None]
played = player.sample(1, length=context.shape[2], context=context, generator=torch.Generator().manual_seed(1))
played = companding.mu_law_decode(played[0])
plots.show(figures.sounds({" ".join(tune): played}))
play(played, RATE, alt="A rough tone that climbs to C5 and falls again.")

# %% [markdown]
# ### Temperature
#
# Samples sound rough, since each step draws from a distribution that is wider than it should be. A common remedy is to
# divide the logits by a **temperature** $\tau$ before the softmax. At $\tau < 1$ probable levels become more probable;
# at $\tau = 0$ only the most probable is left; $\tau = 1$ is the model.
#
# #### Exercise 7 · `sample`


# %% exercise="sample"
def sample(logits, u, temperature):
    """Levels drawn from softmax(logits / temperature) by supplied uniforms.

    Args:
        logits: (n, K) float32 or float64 tensor, finite, of any size: differences of 1000 occur.
        u: (n,) float64, uniform in [0, 1).
        temperature: at least 0; 0 means the most probable level, the lowest of equally probable ones.

    Returns:
        (n,) int64: the number of k in 0..K-2 with P(level <= k) <= u, for a temperature above 0.
    """
    ### BEGIN SOLUTION
    if temperature == 0:
        return logits.argmax(1)
    p = (logits.double() / temperature).softmax(1)
    return (p.cumsum(1)[:, :-1] <= u[:, None]).sum(1)
    ### END SOLUTION


# %% check="sample"

# %% [markdown]
# Each conditional stays a distribution, so the product of the tempered conditionals is one as well. But it is *another*
# distribution, whose likelihood can be measured like any other. (It is not $p(x)^{1/\tau}$, normalised: that would have
# to look ahead.) For which $\tau$ do the test sounds cost least?

# %% tags=["demo"]
guess("the best temperature for the likelihood", ...)

# %% tags=["demo"] folded="Costs of the test sounds at six temperatures."
temperatures = [0.5, 0.7, 0.85, 1.0, 1.2, 1.5]
some = tones.test.x[:12]
with torch.no_grad():
    logits = wavenet(some)
    costs = [float(torch.nn.functional.cross_entropy(logits / tau, some)) / math.log(2) for tau in temperatures]
plots.show(figures.tempered(temperatures, costs))
outcome("the best temperature for the likelihood", temperatures[int(np.argmin(costs))])

# %% [markdown]
# Listen to four temperatures, each drawn by your function from the same uniform numbers:

# %% tags=["demo"] folded="Draws a quarter of a second at four temperatures by your function, and plays it."
def at_temperature(tau, length):
    """A sound (length,) of levels, by `sample`."""
    x = torch.zeros(1, length, dtype=torch.long)
    u = torch.rand(1, length, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        for t, logits in enumerate(wavenet.with_length(length).conditionals(x)):
            x[:, t] = torch.as_tensor(sample(logits, u[:, t], tau))
    return x[0]


with waits_for("sample"):
    tempered = {tau: at_temperature(tau, budget(smoke=520, cpu=T, gpu=T)) for tau in (0, 0.5, 0.8, 1)}
    heard = {
        0: "A tone that wavers a little and fades.",
        0.5: "A wavering tone.",
        0.8: "A rough, wavering tone.",
        1: "A rougher one.",
    }
    tempered = {f"temperature {tau}": companding.mu_law_decode(x) for tau, x in tempered.items()}
    plots.show(figures.sounds(tempered))
    for (name, sound), words in zip(tempered.items(), heard.values(), strict=True):
        play(sound, RATE, alt=f"A sample at {name}. {words}")

# %% [markdown]
# For a perfect model the best temperature is 1, since no distribution costs less than the true one. Here the minimum is
# near 0.85, and flat: this briefly trained network is a little too unsure. Colder samples sound cleaner, but are less
# probable: at $\tau = 0.5$ the test sounds cost 4.9 bits. At $\tau = 0$ there is one tone, always the same, which fades;
# as a model of sound it is worthless, and any other sound costs it infinitely many bits. What pleases the ear and what a likelihood measures are not the same.
#
# ### Teacher forcing and exposure bias
#
# In training, the input at every step is the *true* past (**teacher forcing**). In sampling it is what the model drew
# itself. After a bad draw it is in a situation that training never showed: **exposure bias**. How bad is it? Take test
# notes, give the model their first 1,000 samples, and let it continue. In windows of 50 ms, which share of the power
# lies at the harmonics of the note? For comparison, draw each $x_t$ from the same model, but given the *true* $x_{<t}$:
# these draws have the same errors at each step, which cannot accumulate.

# %% tags=["demo"] folded="Continues test notes, and measures the share of power at the note's harmonics."
notes = (tones.test.y[:, 0] == 0).nonzero().flatten()
x, octave = tones.test.x[notes], tones.test.context[notes, 0, 0]
pitch = 440 * 2 ** (octave - 9 / 12)
known = torch.arange(T) < T // 2
generator = torch.Generator().manual_seed(0)
continued = wavenet.complete(x, known, generator=generator)
with torch.no_grad():
    p = wavenet(x).softmax(1).transpose(1, 2).flatten(0, 1)
one_step = torch.multinomial(p, 1, generator=generator).view(x.shape)


def at_harmonics(levels, start):
    """The share of power within 30 Hz of the note's three harmonics, in one window; the mean over notes."""
    pieces = companding.mu_law_decode(levels)[:, start : start + 400]
    return float(harmonic_share(pieces, pitch).mean())


starts = range(T // 2, T - 399, 150)
series = {"the true sound": x, "drawn given the true past": one_step, "the model, on its own": continued}
shares = {name: [at_harmonics(levels, s) for s in starts] for name, levels in series.items()}
plots.show(figures.on_its_own([1000 * (s + 200 - T // 2) / RATE for s in starts], shares))

# %% [markdown]
# Drawn given the true past, nine tenths of the power lie at the harmonics: the error of a single step is small. On its
# own, the model keeps two fifths in the first 50 ms, and a fifth after 100. So what is wrong with our samples is less the
# single conditional than what happens when it is fed with its own output. Exact conditionals would have no such gap:
# feedback amplifies the model's errors, it does not create them. The likelihood, measured given the true past, hardly
# shows it.
#
# ### Speech
#
# Given digit and speaker, the same network models speech. Below are three digits drawn from a WaveNet of 11 layers and
# 32 channels ($R = 2048$, a quarter of a second) in one speaker's voice, each the first draw. `python -m
# course_lib.experiments.speech` trains it on the *Free Spoken Digit Dataset*, in about 20 minutes on one core, to 4.62 bits per
# sample on the test recordings. That is far too short to speak: the power lies where a voice has it, below 1 kHz, and
# comes in bursts, but there is no steady pitch, so no word can be understood.
#
# With the recordings at hand (`COURSE_DATA`; `data/README.md` says where from) you can compare; at
# `COURSE_BUDGET=gpu` a larger network is trained here, and `python -m course_lib.recipes wavenet-digits` does it at
# full size. Recordings: Free Spoken Digit Dataset, Zohar Jackson and contributors, CC BY-SA 4.0; sounds made from them
# are under the same licence.

# %% tags=["demo"] folded="Plays three digits, drawn from a WaveNet and saved."
said = speech.saved()
plots.show(figures.sounds({" ".join(map(str, speech.DIGITS)): said}, zoom=1000))
play(said, RATE, alt="A rough murmur in three bursts, each quieter than the one before. No word can be understood.", credit=speech.CREDIT)

# %% tags=["train"] folded="Plays a spoken digit; at the larger budget trains a WaveNet given digit and speaker, and lets it speak."
if data.has_spoken_digits():
    recordings = data.spoken_digits()
    digit, speaker = (int(label) for label in recordings.test.y[0])
    recording = companding.mu_law_decode(recordings.test.x[0].long())
    plots.show(figures.sounds({f"{digit}, spoken by {recordings.labels['speaker'][speaker]}": recording}))
    play(recording, RATE, alt=f"The beginning of a spoken {digit}.", credit=recordings.credit)
    linear = LinearPrediction.of(recordings.train.x[:60].long(), 256, 16)
    histogram = Histogram.of(recordings.train.x.long(), 256)
    for name, model in {"histogram": histogram, "linear prediction": linear}.items():
        print(f"{name:18} {bits(model, recordings.test.x[:60].long()):.2f} bits per sample")
    speech_steps = budget(smoke=0, cpu=0, gpu=30_000)
    if speech_steps:
        speaking = WaveNet(T, 256, 32, [2**i for i in range(10)] * 2, skip=128, classes=recordings.classes)
        adam = torch.optim.Adam(speaking.parameters(), lr=2e-3)
        for _ in range(speech_steps):
            i = torch.randint(len(recordings.train), (8,))
            loss = -speaking.log_prob(recordings.train.x[i].long(), labels=recordings.train.y[i]).mean() / T
            adam.zero_grad()
            loss.backward()
            adam.step()
        said = speaking.sample(1, length=4000, labels=recordings.test.y[:1], generator=torch.Generator().manual_seed(0))
        play(companding.mu_law_decode(said[0]), RATE, alt=f"The model, asked for a {digit}.", credit=recordings.credit)
else:
    print("The recordings are not at hand; everything else in this lesson works without them.")

# %% [markdown]
# ### Parallel WaveNet: distillation
#
# A likelihood network reads $x$ and gives all conditionals at once, but draws step by step. Turn it round. An **inverse
# autoregressive flow** reads *noise*: from $u_0, u_1, \dots$, uniform and independent, a causal network computes for
# each $t$ a mean $m_t$ and a scale $\lambda_t$ from $u_{<t}$, and
#
# $$x_t = m_t + \lambda_t \operatorname{logit}(u_t), \qquad \operatorname{logit}(u) = \log \frac{u}{1 - u} .$$
#
# $\operatorname{logit}(u_t)$ has the standard logistic distribution, so given $u_{<t}$, $x_t$ is logistic with mean
# $m_t$ and scale $\lambda_t$. All steps are computed *at once*. The price: for the likelihood of a *given* $x$ one has
# to find $u_0$, then $u_1$, and so on, so training by maximum likelihood is slow. **Probability density distillation**
# trains it without data: the **student** $q$ draws $x$, and a trained WaveNet, the **teacher** $p$, says how probable
# that is. Minimise
#
# $$\operatorname{KL}(q \,\|\, p) = \mathbb{E}_q[-\log p(x)] - H(q), \qquad H(q) = -\mathbb{E}_q[\log q(x)].$$
#
# **The entropy** is known in closed form. $u_{<t}$ and $x_{<t}$ determine each other, so by the chain rule $H(q)$ is
# the sum over $t$ of the mean entropy of $x_t$ given $u_{<t}$. A logistic with scale $\lambda$ has the density
# $\frac1\lambda f(\frac{x - m}{\lambda})$ with $f(v) = \sigma(v)\,\sigma(-v)$. With $v = \operatorname{logit}(u)$,
# $-\log f(v) = -\log u - \log (1 - u)$, and as $u$ is uniform, $\mathbb{E}[-\log u] = \int_0^1 -\log u \, du = 1$,
# likewise for $1 - u$. So
#
# $$H(q) = \mathbb{E}_q\Big[\sum_t (\log \lambda_t + 2)\Big] \text{ nats}.$$
#
# **The cross-entropy** $\mathbb{E}_q[-\log p(x)]$ is estimated by drawing: $x$ is a differentiable function of $u$ (the
# *reparametrization*, which lesson 07 is about), so the gradient passes through the teacher into the student. Our teacher is logistic
# as well.
#
# #### Exercise 8 · `distill_loss`


# %% exercise="distill_loss"
def distill_loss(u, mean, log_scale, teacher):
    """An estimate, from one draw, of KL(student || teacher): the loss of probability density distillation.

    The student draws x_t = mean_t + exp(log_scale_t) logit(u_t), logistic with these means and scales, all steps at
    once. Its entropy is the sum over t of log_scale_t + 2 nats. The teacher gives the mean and log scale of its logistic
    density of x_t from the x before t. The loss is the teacher's -log density of x, minus the student's entropy.

    Args:
        u: (n, T) float64, uniform in (0, 1).
        mean, log_scale: (n, T), the student's; draws may be millions of the teacher's scales away from its mean.
        teacher: function x (n, T) -> (mean, log_scale), each (n, T); called once.

    Returns:
        (n,) nats, through which gradients flow to mean and log_scale, also by way of x and the teacher.
    """
    ### BEGIN SOLUTION
    x = mean + log_scale.exp() * torch.logit(u)
    m, s = teacher(x)
    z = (x - m) / s.exp()
    return (z + s + 2 * torch.nn.functional.softplus(-z) - log_scale - 2).sum(1)
    ### END SOLUTION


# %% check="distill_loss"

# %% [markdown]
# **A tiny demonstration.** The teacher is a resonator, a damped oscillation kicked by logistic noise: its mean is
# $1.8\, x_{t-1} - 0.9\, x_{t-2}$. It reads *two* steps. The student's mean is a weighted sum of the last $n$ values of
# $\operatorname{logit}(u)$. How long must its memory be? The oscillation dies away by a factor of $\sqrt{0.9}$ per
# step, so some 60 steps.

# %% tags=["train"] folded="Distils a linear student from a resonator by your loss, and plays both."
def resonator(x):
    """The teacher: mean and log scale of its logistic density of x_t from the x before t."""
    one, two = (torch.nn.functional.pad(x, (back, -back)) for back in (1, 2))
    return 1.8 * one - 0.9 * two, torch.full_like(x, math.log(0.1))


def student(u, weights, log_scale):
    """Mean and log scale of every step from the noise before it, all at once."""
    v = torch.nn.functional.pad(u.logit(), (len(weights), -1))
    return torch.nn.functional.conv1d(v[:, None], weights.flip(0)[None, None])[:, 0], log_scale.expand_as(u)


with waits_for("distill_loss"):
    weights, log_scale = torch.zeros(96, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    adam = torch.optim.Adam([weights.requires_grad_(), log_scale.requires_grad_()], lr=0.02)
    losses, generator = [], torch.Generator().manual_seed(0)
    distil_steps = budget(smoke=3, cpu=1500, gpu=3000)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, distil_steps)
    for _ in range(distil_steps):
        u = torch.rand(16, 200, dtype=torch.float64, generator=generator).clamp(1e-9, 1 - 1e-9)
        loss = distill_loss(u, *student(u, weights, log_scale), resonator).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
        losses.append(float(loss.detach()))
    true = [1.0, 1.8]
    for _ in range(95):
        true.append(1.8 * true[-1] - 0.9 * true[-2])
    responses = {"teacher": 0.1 * torch.tensor(true[1:]), "student": weights.detach()}
    plots.show(figures.distilled(losses, responses))
    print(f"KL at the start {losses[0]:.0f} nats, in the last 100 steps {np.mean(losses[-100:]):.2f}, for 200 steps of sound")
    u = torch.rand(1, T, dtype=torch.float64, generator=generator)
    mean, scale = student(u, weights.detach(), log_scale.detach())
    drawn = {"student, in one pass": (mean + scale.exp() * u.logit())[0]}
    x = [0.0, 0.0]
    for kick in (0.1 * u.logit())[0].tolist():
        x.append(1.8 * x[-1] - 0.9 * x[-2] + kick)
    drawn["teacher, step by step"] = torch.tensor(x[2:], dtype=torch.float64)
    plots.show(figures.sounds(drawn))
    for name, sound in drawn.items():
        play(0.9 * sound / sound.abs().max(), RATE, alt=f"The {name}: a hollow, breathy tone near 410 Hz.")

# %% [markdown]
# The estimates of the loss scatter around the true KL, and so fall below 0 at times. The student has found the
# teacher's impulse response: with a memory of 96 steps instead of two, it draws in one pass what the teacher draws in
# 2,000 steps; from the same noise both draw nearly the same sound. That is the bargain of an inverse autoregressive
# flow: more memory and more work, but nothing waits.
#
# The real student is four such flows, one after another, each a WaveNet. And KL alone was not enough: a student may
# please the teacher by whispering, since quiet noise is probable everywhere. The paper adds three losses. A **power
# loss**: the average spectrum of the student's sound should match that of recordings. A **perceptual loss**: features
# of a classifier of phones should match. A **contrastive loss**: the sound should be probable under the teacher given
# the *right* condition and improbable given another. The last two need text or phones; we only explain them.
#
# **A student of a WaveNet.** The library's `ParallelWaveNet` has any number of flows. Two flows in a row are still one
# shift and one scale per step: with $x = m' + \lambda' y$ and $y = m + \lambda \operatorname{logit}(u)$, the mean is
# $m' + \lambda' m$ and the scale $\lambda' \lambda$. So entropy and KL are as above. Our teacher is a small WaveNet
# with a mixture of two logistics per sample (the head of PixelCNN++ in lesson 04), trained on the eight notes at A4
# (440 Hz), at 16 bits. Two students with two flows each are distilled from it: one by the KL alone, one with the power
# loss. Which is louder, and which is purer?

# %% tags=["train"] folded="Trains a teacher on one note, and distils two students from it: by the KL alone, and with the power loss."
sixteen = data.tones(16)
at_a4 = sixteen.train.x[(sixteen.train.y == torch.tensor([0, 5])).all(1)]
a4_pieces = at_a4.unfold(1, 500, 100).flatten(0, 1)
torch.manual_seed(0)
teacher = WaveNet(T, 2**16, 16, [2**i for i in range(8)], skip=32, mixtures=2)
fit_steps(teacher, a4_pieces, steps=budget(smoke=3, cpu=400, gpu=10_000), batch_size=2, lr=1.2e-2)
teacher.requires_grad_(False).eval()


def distil(power, steps):
    """A student distilled from the teacher, with a weight for the power loss, and the KL's last estimates."""
    torch.manual_seed(1)
    pupil = ParallelWaveNet(T, 16, [2**i for i in range(8)], flows=2, skip=32, scale=0.02)
    adam, kls = torch.optim.Adam(pupil.parameters(), lr=1e-2), []
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        recorded = a4_pieces[torch.randint(len(a4_pieces), (2,))] / 32767.5 - 1
        drawn, logistics = pupil.draw(torch.rand(recorded.shape, dtype=torch.float64))
        kl = distillation_loss(drawn, logistics, teacher).mean() / recorded.shape[1]
        kls.append(float(kl.detach()))
        adam.zero_grad()
        (kl + power * power_loss(drawn, recorded, window=256).mean()).backward()
        torch.nn.utils.clip_grad_norm_(pupil.parameters(), 1.0)
        adam.step()
        falling.step()
    return pupil.eval(), np.mean(kls[-50:])


weights = {"KL alone": 0.0, "with power loss": 1.0}
students = {name: distil(power, budget(smoke=2, cpu=250, gpu=5000)) for name, power in weights.items()}


# %% tags=["demo"] folded="Draws a quarter of a second from the teacher and from both students; measures times, loudness and harmonics."
def timed(model):
    """A sound drawn from a model, and how many samples it draws in a second."""
    model.sample(1, length=100)  # the first call is slower than the others
    start = time.perf_counter()
    sound = model.sample(1, generator=torch.Generator().manual_seed(0))[0]
    return sound, T / (time.perf_counter() - start)


def report(name, sound, more=""):
    """Print how loud a sound is, and the share of its power at the harmonics of A4: the mean over windows of 50 ms."""
    share = float(harmonic_share(sound.unfold(0, 400, 200), 440.0).mean())
    print(f"{name:24} loudness {sound.std():.3f}, share at the harmonics {share:.2f}{more}")


levels, teachers_speed = timed(teacher)
report("recordings", at_a4.flatten() / 32767.5 - 1)
report("teacher", levels / 32767.5 - 1, f", {teachers_speed:.0f} samples per second")
heard = {"teacher": (levels / 32767.5 - 1, "A thin, steady tone at 440 Hz.")}
for (name, (pupil, kl)), words in zip(
    students.items(), ("Very quiet noise.", "A soft, wavering tone at 440 Hz."), strict=True
):
    sound, speed = timed(pupil)
    faster = (
        f", {speed:.0f} samples per second: {speed / teachers_speed:.0f} times as many; KL {kl:.2f} nats per sample"
    )
    report(f"student, {name}", sound, faster)
    heard[f"student, {name}"] = sound, words
plots.show(figures.sounds({name: sound for name, (sound, _) in heard.items()}))
for name, (sound, words) in heard.items():
    play(sound.clamp(-1, 1), RATE, alt=f"The {name}. {words}")

# %% [markdown]
# All three are played at their own volume. By the KL alone the student whispers: a tenth of the recordings' loudness, a
# quarter of its power at the harmonics, and yet a KL of a tenth of a nat per sample, since the teacher itself calls
# quiet noise probable. With the power loss it plays a tone, half as loud as the recordings. It still wavers where the
# teacher is steady, and it pays over half a nat per sample of KL for its volume: what pleases the ear and what a likelihood
# measures differ here as well. Both were distilled for 250 short steps, from a single note; neither could play a tune.
#
# **The speed** is real. A student's pass does more arithmetic than the teacher's 2,000 steps, since it has two networks,
# but nothing waits: on one CPU core it draws about 100 times as many samples per second as the teacher does with ring
# buffers, and more than real time needs.
#
# ### Bug clinic
#
# Six patients, all meant to be WaveNets of the toy distribution, whose images are series of 16 steps in raster order;
# one is healthy. You see the NLL that each *reports*, its total mass over all 65,536 series, and samples. The entropy
# is 4.97 nats. What an output reads, `plots.dependency_map(clinic.patients["C"].model)` draws. (Training the four
# networks takes a minute or two.)

# %% tags=["train"]
clinic = wavenet_clinic()
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
# Two more, by ear. Somebody's `mu_law_decode` plays the note of section 1. One forgets the sign of $F$. The other uses
# $F = x/128 - 1$, so that $F$ is too low by up to a level. Which is which?

# %% tags=["demo"] folded="Plays and draws the note, decoded in two wrong ways."
F = 2 * tones.test.x[0].double() / 255 - 1
wrong = {"patient G": tones.test.x[0].double() / 128 - 1, "patient H": F.abs()}
wrong = {name: companding.expand(F, 255) for name, F in wrong.items()}
plots.show(figures.sounds(wrong, seen="Patient H has more harmonics, and a constant."))
for name, sound in wrong.items():
    play(sound, RATE, alt=f"The note of section 1, as {name} decodes it.")

# %% tags=["demo"]
guess("patient G", ..., choices=["no sign", "wrong scale"])
guess("patient H", ..., choices=["no sign", "wrong scale"])

# %% tags=["demo"] folded="Says which is which, with the mean amplitudes."
outcome("patient G", "wrong scale")
outcome("patient H", "no sign")
for name, sound in wrong.items():
    print(f"{name}: mean amplitude {float(sound.mean()):+.4f} (the right one: {float(examples['note'].mean()):+.4f})")

# %% [markdown]
# Without the sign, $|F|$ is positive everywhere: a constant and new harmonics appear. The wrong scale lowers $F$ by half a
# level near silence, and by a level at the top: positive half-waves get 4 % weaker. You hardly hear it, which is why such
# a mistake survives; the mean shows it.
#
# ### History, references and solutions
#
# Dilated convolutions come from wavelets, the *algorithme à trous* (Holschneider et al., 1989); as ring buffers for
# WaveNet, from Le Paine et al. (2016).
#
# * B. S. Atal and S. L. Hanauer. Speech analysis and synthesis by linear prediction of the speech wave. *Journal of the
#   Acoustical Society of America* 50, 1971.
# * Z. Borsos et al. AudioLM: a language modeling approach to audio generation. arXiv:2209.03143, 2022.
# * N. Kalchbrenner, E. Elsen, K. Simonyan et al. Efficient neural audio synthesis. *ICML*, 2018.
# * Z. Kong, W. Ping, J. Huang, K. Zhao and B. Catanzaro. DiffWave: a versatile diffusion model for audio synthesis.
#   *ICLR*, 2021.
# * T. Le Paine et al. Fast Wavenet generation algorithm. arXiv:1611.09482, 2016.
# * A. van den Oord, S. Dieleman, H. Zen et al. WaveNet: a generative model for raw audio. arXiv:1609.03499, 2016.
# * A. van den Oord, Y. Li, I. Babuschkin et al. Parallel WaveNet: fast high-fidelity speech synthesis. *ICML*, 2018.
# * N. Zeghidour, A. Luebs, A. Omran, J. Skoglund and M. Tagliasacchi. SoundStream: an end-to-end neural audio codec.
#   *IEEE/ACM Transactions on Audio, Speech, and Language Processing* 30, 2022.
