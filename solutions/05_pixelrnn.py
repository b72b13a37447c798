# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 05 · PixelRNN: a state that is carried over the image
#
# **The question of this lesson.** Recurrence reads everything above and to the left, in its first layer and with few
# weights. Why did PixelCNN win against PixelRNN all the same, and what did it give up?
#
# A convolution (lesson 04) reaches as far as its layers allow. A **recurrent** network keeps a *state* at each pixel,
# computed from the states of neighbours, and so from all that those have read. Van den Oord, Kalchbrenner and
# Kavukcuoglu (2016) named their paper after this idea; PixelCNN was its fast companion.
#
# **After the core path you can**
#
# * say what a state depends on, and prove it by following the states;
# * count the steps that wait for one another, in training and in sampling;
# * build a Row LSTM and the two directions of a Diagonal BiLSTM without a leak;
# * weigh a recurrent model against a convolutional one, with error bars.
#
# **Builds on** lessons 01 to 04 (chain rule, NLL, masks A and B, blind spot). No exercise needs your answers from
# there. Numbers in the text are for `COURSE_BUDGET=cpu`, the default.
#
# | symbol | meaning |
# | --- | --- |
# | $H$, $W$ | number of rows and columns of an image; $N$ if both are equal (in `lstm_step`, `W` holds weights) |
# | $x_{r,c}$ | pixel in row $r$ and column $c$, counted from 0; "before" and "earlier" mean raster order |
# | $h(r, c)$, $c(r, c)$ | **state** (output) and **cell** of an LSTM at a pixel: vectors of $k$ numbers; 0 outside the image. As an index, $c$ is a column |
# | $o, f, i, g$ | output gate, forget gate, input gate and candidate of an LSTM |
# | $\sigma(a)$, $\odot$ | $1/(1 + e^{-a})$; product entry by entry |
# | bits/dim | an NLL in nats divided by the number of dimensions and by $\log 2$ |

# %% setup=true
import math

import torch

# %% tags=["demo"] folded="Imports; loads the digits with 16 levels and with two."
import functools
import time

import matplotlib.pyplot as plt

from autograder.checks import pixelrnn as checks
from course_lib import budget, data, distributions, explore, metrics, plots
from course_lib.clinic import pixelrnn_clinic
from course_lib.data import Dataset, Split
from course_lib.experiments import recurrence
from course_lib.figures import pixelrnn as figures
from course_lib.models import ConvNADE, PixelCNN, PixelRNN
from course_lib.models.pixelrnn import skew as given_skew
from course_lib.notebook import guess, outcome, waits_for
from course_lib.training import fit, fit_steps

torch.set_num_threads(1)  # the models are so small that more threads would wait for one another
binary, levels = data.digits("binary"), data.digits("levels")
print(f"{levels.name}: {len(levels.train)} to train on, {len(levels.valid)} to validate, {len(levels.test)} to test")

# %% [markdown]
# ## 1 · One rule for every pixel
#
# The idea in one line: $h(r, c) = f\big(x_{r,c},\; h(r, c-1),\; h(r-1, c)\big)$, with the same $f$, and so the same
# weights, everywhere. Try it with the simplest $f$, a sum,
#
# $$h(r, c) = x_{r,c} + h(r, c-1) + h(r-1, c),$$
#
# on a 3 × 3 image that is 1 in the upper left corner and 0 elsewhere. What is $h(2, 2)$?

# %% tags=["demo"]
guess("h(2, 2) of the 3 × 3 image", ...)

# %% tags=["demo"] folded="Computes and draws the nine states."
states = torch.zeros(3, 3, dtype=torch.long)
for r in range(3):
    for c in range(3):
        beside = (states[r, c - 1] if c else 0) + (states[r - 1, c] if r else 0)
        states[r, c] = int(r == c == 0) + beside
plots.show(figures.counted_paths(states))
outcome("h(2, 2) of the 3 × 3 image", int(states[2, 2]))

# %% [markdown]
# Each state is the number of *paths* to it (lesson 03), here binomial coefficients. So the corner reaches every state,
# through one rule with two neighbours: depth is replaced by distance. The price shows as well. On $N \times N$ pixels
# $\binom{2N-2}{N-1}$ paths lead to the last state, about $4^N / \sqrt N$ up to a constant: what is multiplied along
# them explodes or vanishes.
#
# Therefore $f$ is an **LSTM** (Hochreiter and Schmidhuber, 1997): it adds to a *cell* and lets **gates** decide what is
# kept. From four sums $a_o, a_f, a_i, a_g$ of $k$ numbers each, linear in the input and in states of the step before,
#
# $$o, f, i = \sigma(a_o), \sigma(a_f), \sigma(a_i), \quad g = \tanh(a_g), \qquad c' = f \odot c + i \odot g, \quad h' = o \odot \tanh(c').$$

# %% tags=["demo"]
plots.show(figures.lstm_step())

# %% [markdown]
# Around it everything is as in lesson 04: the first convolution has mask A, all that reads *inputs* afterwards mask B,
# and each layer adds to the one below. (The figure's $h$, as in the paper, is our $k$.)

# %% tags=["demo"]
plots.show(figures.architecture())

# %% [markdown]
# ## 2 · What a state knows
#
# A state reads a few neighbours, and *implicitly* all that they have read. Formally: let $R(r, c)$ be the set of pixels
# on which $h(r, c)$ depends, empty outside the image, and let it read the states at the **offsets** $(a, b)$ of a set
# $O$. Then
#
# $$R(r, c) = \{(r, c)\} \;\cup \bigcup_{(a, b) \in O} R(r + a, c + b),$$
#
# the **transitive closure** of "reads". All offsets lead to earlier pixels, so raster order computes each set after
# those that it needs.
#
# ### Exercise 1 · `context`


# %% exercise="context"
def context(offsets, H, W):
    """Which pixels the state at each pixel depends on, directly or through other states.

    The state h(r, c) is computed from the pixel x(r, c) and from the states h(r + a, c + b), for all (a, b) in offsets
    for which (r + a, c + b) lies in the image.

    Args:
        offsets: list of pairs of integers (a, b), each earlier in raster order: a < 0, or a == 0 and b < 0. It may be
            empty. A pair may occur twice, or lead out of the image from everywhere.
        H, W: number of rows and columns, at least 1.

    Returns:
        (H, W, H, W) bool tensor: entry [r, c, i, j] is True if h(r, c) depends on x(i, j).
    """
    ### BEGIN SOLUTION
    reads = torch.zeros(H, W, H, W, dtype=torch.bool)
    for r in range(H):
        for c in range(W):
            reads[r, c, r, c] = True
            for a, b in offsets:
                if r + a >= 0 and 0 <= c + b < W:
                    reads[r, c] |= reads[r + a, c + b]
    return reads
    ### END SOLUTION


# %% check="context"

# %% [markdown]
# Textbooks draw two arrows, from the left and from above. On 7 × 7 pixels, 30 come before pixel $(4, 2)$. How many of
# them does the state there *not* read?

# %% tags=["demo"]
guess("earlier pixels that the two arrows miss", ...)

# %% tags=["demo"] folded="Three sets of offsets on 7 × 7 pixels, by your function."
textbook, row_above = [(0, -1), (-1, 0)], [(-1, -1), (-1, 0), (-1, 1)]
with waits_for("context"):
    sets = {"left, above": textbook, "three of the row above": row_above, "left, above right": [(0, -1), (-1, 1)]}
    reads = {name: torch.as_tensor(context(offsets, 7, 7)).bool()[4, 2] for name, offsets in sets.items()}
    plots.show(figures.what_states_read(reads, (4, 2)))
    outcome("earlier pixels that the two arrows miss", 30 - int(reads["left, above"].sum()) + 1)

# %% [markdown]
# With left and above, $R(r, c)$ is the whole rectangle of rows $\le r$ and columns $\le c$: by induction, those of
# $(r, c-1)$ and $(r-1, c)$ and the pixel itself make it up. **What the drawing forgets** is everything above and *to
# the right*. An offset $(-1, 1)$ leads there, but only one column per row. No fixed set of offsets reads all of the
# past in images of every width: as in lesson 04's blind spot, a path to the right has to climb.
#
# ## 3 · Steps that wait
#
# In training the image is known. What waits is only the recurrence: $h(r, c)$ needs $h(r, c-1)$ and $h(r-1, c)$. Which
# states can be computed at once?
#
# ### Exercise 2 · `schedule`


# %% exercise="schedule"
def schedule(H, W):
    """The steps in which the states h(r, c) = f(x(r, c), h(r, c-1), h(r-1, c)) of a whole image can be computed.

    All states of one step are computed at once, so what they read comes from earlier steps.

    Args:
        H, W: number of rows and columns, at least 1.

    Returns:
        a list with as few steps as possible. Each step is a list of pairs (r, c), in any order; each pixel is in one
        step.
    """
    ### BEGIN SOLUTION
    return [[(r, t - r) for r in range(H) if 0 <= t - r < W] for t in range(H + W - 1)]
    ### END SOLUTION


# %% check="schedule"

# %% tags=["demo"] folded="Your steps beside those of sampling, on 4 × 5 pixels."
with waits_for("schedule"):
    plots.show(figures.two_schedules(schedule(4, 5), 4, 5))

# %% [markdown]
# *No fewer are possible*: the chain of states from $(0, 0)$ along the first row and down the last column has $H + W - 1$
# members, each of which reads the one before.
#
# **A slip to find.** A well-known lecture says that this model is very slow in training and testing, since an
# $N \times N$ image requires $2N - 1$ sequential steps. For which of the two is the number wrong?
#
# <details>
# <summary><b>Solution</b></summary>
#
# For testing, if that means a sample: it takes $N^2$ steps, since each pixel has to be *drawn* before the next one's
# conditional exists. In raster order $(r-1, c+1)$ comes before $(r, c)$, and both lie on one diagonal: they cannot be
# drawn together.
# </details>
#
# So "slow in training and testing" means two different things:
#
# | sequential steps, layer by layer, $N \times N$ pixels, $L$ layers | likelihood, training | a sample, with a cache |
# | --- | --- | --- |
# | PixelCNN | $L$ | $N^2 L$ |
# | Row LSTM (section 4) | $L N$ | $N^2 L$ |
# | Diagonal BiLSTM (section 5) | $L (2N - 1)$ | $N^2 L$ |
#
# PixelCNN is faster in *training*. In sampling, every autoregressive model in raster order waits $N^2$ times.
#
# ## 4 · Row LSTM, and what it cannot see
#
# The **Row LSTM** computes a whole row in one step. Its states read three states of the row above,
#
# $$a(r, c) = \sum_{t=-1}^{0} V_t\, v(r, c + t) \;+\; \sum_{t=-1}^{1} U_t\, h(r-1, c + t),$$
#
# where $v$ is the layer's input, $V_t$ and $U_t$ are matrices with $4k$ rows, and the cell before is that of the pixel
# above. The first sum is *one convolution of the whole image*, computed before the first row; only the second waits.

# %% tags=["demo"]
plots.show(figures.row_lstm_windows())

# %% [markdown]
# Its states read the triangle of section 2, middle. To the left, each further layer's first sum helps; to the right
# only the model's first convolution does, once: if it reads $m$ columns to the right, a pixel $(r - j, c + t)$ with
# $t > j + m - 1$ is never read, with any number of layers. With $m = 1$, a 3 × 3 kernel, this is the blind spot of a
# PixelCNN with 3 × 3 kernels.
#
# Lesson 04's **stripes** prove it: all pixels $(r - j, c + 2j)$ of a stripe have the colour of one fair coin, and there
# are 34 stripes on 12 × 12 pixels. A model that sees them needs 34 bits per image, one that does not needs 144. What do
# you expect of a Row LSTM with $m = 1$?

# %% tags=["demo"]
guess("bits per image of a Row LSTM on stripes", ...)

# %% tags=["train"] folded="Draws stripes, and trains a Row LSTM and a Diagonal BiLSTM (the next section) on them."
def stripes(n, seed):
    """n images (n, 1, 12, 12) of fair stripes."""
    coins = torch.randint(2, (n, 34), generator=torch.Generator().manual_seed(seed))
    r, c = torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")
    return coins[:, 2 * r + c].unsqueeze(1)


striped, on_stripes = stripes(500, seed=1), {}
for name, recurrence_ in {"Row LSTM": "row", "Diagonal BiLSTM": "diagonal"}.items():
    torch.manual_seed(0)
    model = PixelRNN((1, 12, 12), 2, 8, 1, recurrence=recurrence_, first_kernel=3, head=16)
    fit_steps(model, stripes(4000, seed=0), steps=budget(smoke=3, cpu=250, gpu=1000), batch_size=32, lr=2e-2)
    on_stripes[name] = model.eval()

# %% tags=["demo"]
cost = metrics.nll(on_stripes["Row LSTM"], striped) / math.log(2)
outcome("bits per image of a Row LSTM on stripes", cost.mean)

# %% [markdown]
# ## 5 · Diagonals, skewed
#
# To let a state read its left neighbour, steps must run along diagonals. **Skewing** makes that convenient: move row
# $r$ to the right by $r$ columns. Then each diagonal is a column, and both neighbours are in the column before: the
# left one in the same row, the upper one in the row above.

# %% tags=["demo"]
plots.show(figures.skewed())

# %% [markdown]
# A step is a convolution of that column with a kernel of two rows. Of the two neighbours, the left one hands on its
# cell. (To squares left of the image the input contributes 0, so their states stay 0; those to the right are read by no
# pixel.)
#
# ### Exercise 3 · `lstm_step`


# %% exercise="lstm_step"
def lstm_step(of_input, h, c, W):
    """One step of an LSTM that runs over diagonals: all pixels of one diagonal from those of the diagonal before.

    In the skewed image a diagonal is a column. Row r of a column holds the pixel of image row r, so row r of the column
    before holds the pixel to the left, and row r - 1 of the column before the pixel above. With

        a(r) = of_input(r) + W[:, :, 0] h(r - 1) + W[:, :, 1] h(r)        h(-1) = 0

    whose first k entries are o, the next f, then i, then g:

        c'(r) = sigmoid(f) * c(r) + sigmoid(i) * tanh(g)
        h'(r) = sigmoid(o) * tanh(c'(r))

    All tensors are float32, or all float64. Gradients reach all four arguments, and are right for all finite numbers.

    Args:
        of_input: (n, 4k, H), what the input contributes: any finite numbers.
        h, c: (n, k, H), outputs and cells of the column before.
        W: (4k, k, 2).

    Returns:
        h', c', each (n, k, H).
    """
    ### BEGIN SOLUTION
    above = torch.nn.functional.pad(h, (1, -1))
    a = of_input + torch.einsum("oi,nih->noh", W[:, :, 0], above) + torch.einsum("oi,nih->noh", W[:, :, 1], h)
    o, f, i, g = a.chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c
    ### END SOLUTION


# %% check="lstm_step"

# %% [markdown]
# Your step, run over all columns of a skewed image, with random weights: on which pixels does the framed state depend?

# %% tags=["demo"] folded="Runs your step over a skewed image, and finds by gradients what one state reads."
with waits_for("lstm_step"):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(1, 1, 7, 7, generator=rng, requires_grad=True)
    V, U = torch.randn(12, 1, generator=rng), torch.randn(12, 3, 2, generator=rng)
    h = c = torch.zeros(1, 3, 7)
    columns = []
    for column in given_skew(x).unbind(3):
        h, c = lstm_step(V @ column, h, c, U)
        columns.append(h)
    (gradient,) = torch.autograd.grad(columns[4 + 2][0, :, 4].sum(), x)
    plots.show(figures.what_states_read({"your steps, at (4, 2)": gradient[0, 0] != 0}, (4, 2)))

# %% [markdown]
# ## 6 · Two directions, and a shift
#
# The quadrant to the upper left: section 2's textbook drawing. The quadrant to the upper right is as easy: mirror the
# image, run a second LSTM, mirror its states back. A **Diagonal BiLSTM** adds both. But the second one reads *its own
# row to the right*.
#
# ### Exercise 4 · `combine`


# %% exercise="combine"
def combine(left, right):
    """The output of a Diagonal BiLSTM, from its two LSTMs.

    Args:
        left: (n, k, H, W), output of the LSTM from the left: its state at (r, c) depends on (r, c) itself, and on all
            pixels in rows 0..r and columns 0..c.
        right: (n, k, H, W), output of the LSTM from the right, already mirrored back: its state at (r, c) depends on
            (r, c) itself, and on all pixels in rows 0..r and columns c..W-1.

    Returns:
        (n, k, H, W): the sum of left and right, one of them moved by as few pixels as possible, with zeros where
        nothing comes from, so that the output at (r, c) depends on no pixel after (r, c), and on all pixels before it
        and (r, c) itself. (Here the layer's input is the image. In the model, mask A made it from pixels before (r, c).)
        Gradients reach both arguments, which are left as they are.
    """
    ### BEGIN SOLUTION
    return left + torch.nn.functional.pad(right, (0, 0, 1, -1))
    ### END SOLUTION


# %% check="combine"

# %% tags=["demo", "picture"]
plots.show(figures.two_directions())

# %% [markdown]
# Moved down by one row, the LSTM from the right brings rows $\le r - 1$ alone, and the two together read all of the
# layer's *input* up to $(r, c)$. Whether that is all pixels, we test next.
#
# On stripes the network should need 34 bits:

# %% tags=["demo"]
for name, model in on_stripes.items():
    print(f"stripes, {name}: {metrics.nll(model, striped) / math.log(2)} bits per image")

# %% [markdown]
# The stripes are seen; but about 11 bits are missing, however long it trains. **Which pixel is not read?** Take the
# last pixel of the row above, $x_{r-1,W-1}$. After mask A a unit knows only pixels strictly before its own, so no unit
# of row $r - 1$ knows it. It becomes known in row $r$, by the first convolution, which reads $m$ columns to the right.
# But in its own row information moves only from left to right: the LSTM from the right, which moves it the other way,
# arrives one row too late. So the output at $(r, c)$ never reads $x_{r-1,W-1}$ if $c < W - 1 - m$, *with any number of
# layers*. Here $m = 1$ and $W = 12$: the pixel $(r, 9)$ of each row but the first misses the only pixel that tells its
# colour, one bit in each of 11 rows, $34 + 11 = 45$. By the paper's abstract the model
# "encodes the complete set of dependencies in the image". With its 7 × 7 first convolution, $m = 3$, it misses one
# pixel wherever $c < W - 4$; a test of `course_lib` found it.

# %% tags=["demo"] folded="Draws what one output reads."
model = explore.build("Diagonal BiLSTM", layers=4, kernel=3)
plots.show(
    plots.receptive_field(model, (5, 3), order=model.order, title="Diagonal BiLSTM, 3 layers"),
    alt="What one output in row 5 reads through three Diagonal BiLSTM layers: all earlier pixels but the last of the row "
    "above.",
)

# %% [markdown]
# Explore it, and wrong architectures:

# %% tags=["demo"]
explore.dependency_explorer()

# %% [markdown]
# ## 7 · Bug clinic
#
# Six patients, all meant to be PixelRNNs of the small world (lesson 01) with one Diagonal BiLSTM; one is healthy. You
# see the NLL that each *reports*, its total mass over all 65,536 images, and samples. The entropy is 4.97 nats.
# (Training them takes a minute.)

# %% tags=["train"]
clinic = pixelrnn_clinic()
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
# ## 8 · Your own PixelRNN
#
# Build the whole model with Row LSTMs. A convolution with a window is given.


# %% setup=true
class Window(torch.nn.Conv2d):
    """A convolution: its output at (r, c) reads rows r - above .. r and columns c - left .. c + right; zeros outside."""

    def __init__(self, inputs, outputs, above=0, left=0, right=0):
        super().__init__(inputs, outputs, (above + 1, left + 1 + right))
        self.sides = left, right, above, 0

    def forward(self, x):
        return super().forward(torch.nn.functional.pad(x, self.sides))


# %% [markdown]
# ### Exercise 5 · `OwnRowLSTM`
#
# The check gives your model random weights and judges it on all small images: no leak, the stated recursion, mass one,
# a sampler that follows `log_prob`.


# %% exercise="OwnRowLSTM"
class OwnRowLSTM(torch.nn.Module):
    """A PixelRNN of binary images (n, 1, H, W) of any size, whose layers are Row LSTMs.

    Args of `__init__`:
        channels: k, number of channels of each layer, at least 1.
        layers: number of Row LSTMs, at least 1.

    Convolutions, each a `Window` (or a `torch.nn.Conv2d` of the same shape) with a bias, but for of_state; of_input and
    of_state are a `torch.nn.ModuleList` with one for each layer:
        first: from the image's one channel to k; reads rows r-1..r and columns c-1..c+1. In row r only the weight of
            column c-1 is used (mask A), whatever finite numbers the other two hold.
        of_input: from k to 4k channels; reads columns c-1..c of row r.
        of_state: a `torch.nn.Conv1d` from k to 4k channels, without bias; reads columns c-1..c+1 of a row, zeros
            outside.
        output: from k channels to 1; reads (r, c) alone.

    logits(x): x (n, 1, H, W) int64, zeros and ones -> (n, 1, H, W): the logit of p(x_rc = 1 | all before).
        v = first(x). Each layer goes through the rows, with h = c = 0 before the first: a = of_input(v) of this row +
        of_state(h), whose first k channels are o, the next f, then i, then g; c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        and h = sigmoid(o) * tanh(c). Then v = v + h, with the h of all rows. The logits are output(v).
    log_prob(x): -> (n,), log-likelihood of each image in nats.
    sample(u): u (n, 1, H, W) float64, uniform in [0, 1) -> (n, 1, H, W) int64: pixel by pixel in raster order,
        x_rc = 1 where u_rc < p(x_rc = 1 | all before).
    """

    def __init__(self, channels, layers):
        super().__init__()
        ### BEGIN SOLUTION
        k = channels
        self.first = Window(1, k, above=1, left=1, right=1)
        self.of_input = torch.nn.ModuleList(Window(k, 4 * k, left=1) for _ in range(layers))
        self.of_state = torch.nn.ModuleList(torch.nn.Conv1d(k, 4 * k, 3, padding=1, bias=False) for _ in range(layers))
        self.output = Window(k, 1)
        self.register_buffer("mask", torch.tensor([[1.0, 1, 1], [1, 0, 0]]))
        ### END SOLUTION

    def logits(self, x):
        ### BEGIN SOLUTION
        weight = self.mask * self.first.weight
        x = torch.nn.functional.pad(x.to(weight.dtype), self.first.sides)
        v = torch.nn.functional.conv2d(x, weight, self.first.bias)
        for of_input, of_state in zip(self.of_input, self.of_state, strict=True):
            h = c = torch.zeros_like(v[:, :, 0])
            rows = []
            for of_row in of_input(v).unbind(2):
                o, f, i, g = (of_row + of_state(h)).chunk(4, 1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
                rows.append(h)
            v = v + torch.stack(rows, 2)
        return self.output(v)
        ### END SOLUTION

    def log_prob(self, x):
        ### BEGIN SOLUTION
        return torch.nn.functional.logsigmoid((2 * x - 1) * self.logits(x)).flatten(1).sum(1)
        ### END SOLUTION

    @torch.no_grad()
    def sample(self, u):
        ### BEGIN SOLUTION
        x = torch.zeros(u.shape, dtype=torch.int64)
        for r in range(u.shape[2]):
            for c in range(u.shape[3]):
                x[:, 0, r, c] = u[:, 0, r, c] < self.logits(x)[:, 0, r, c].sigmoid()
        return x
        ### END SOLUTION


# %% check="OwnRowLSTM"

# %% [markdown]
# ### Train it
#
# On the binary digits. Adam with a learning rate of 0.02 that falls to zero, and 64 images per batch, are a good start.
# (Independent pixels cost 25.2 nats; lesson 02 has 18.5 for an FVBN.)

# %% loop="train_own"
def train_own(model, images, steps):
    """Train a model with `log_prob` on images (N, 1, H, W) of zeros and ones, for so many steps; returns nothing."""
    ### BEGIN SOLUTION
    adam = torch.optim.Adam(model.parameters(), lr=2e-2)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        adam.zero_grad()
        (-model.log_prob(images[torch.randint(len(images), (64,))]).mean()).backward()
        adam.step()
        cosine.step()
    ### END SOLUTION


# %% tags=["train"] folded="Trains your model with your loop, and draws samples."
with waits_for("OwnRowLSTM", "train_own"):
    torch.manual_seed(0)
    own = OwnRowLSTM(channels=16, layers=2)
    train_own(own, binary.train.x.long(), steps=budget(smoke=3, cpu=300, gpu=2000))
    print(f"your Row LSTM: {metrics.nll(own, binary.test.x)} nats. The course's solution reaches about 18.7; below 20 all is well.")
    u = torch.rand(16, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    images = torch.cat([binary.test.x[:16], torch.as_tensor(own.sample(u))])
    plots.show(
        plots.image_grid(images, columns=16, row_names=["digits", "yours"]),
        alt="Sixteen test digits in black and white, and sixteen samples of the trained model, with broken strokes.",
    )

# %% [markdown]
# ### Paper and pencil
#
# Your model, on 5 × 5 pixels. (a) On which pixels of row 3 can the logit at $(4, 2)$ depend, with one layer? (b) On
# which of row 2? (c) Does a second layer change the answer to (a)?
#
# <details>
# <summary><b>Solution</b></summary>
#
# (a) The logit reads $v(4, 2)$ and $h(4, 2)$, which reads $v(4, 1)$ and $v(4, 2)$, so $x$ in columns 0 to 3 of row 3;
# and $h(3, 1..3)$, which read $v(3, 0..3)$, so $x_{3,0}, \dots, x_{3,2}$ by mask A. Together columns 0 to 3. (b) All
# five: $v(3, 3)$ reads $x_{2,4}$. (c) No: $x_{3,4}$ is known in row 4 alone, from column 3 on, and nothing moves to the
# left there.
# </details>
#
# ## 9 · What recurrence costs, and what it buys
#
# Four networks with 35,000 to 36,500 weights (masked ones not counted) on the digits with 16 levels: once with 30
# seconds of processor time each, once with 30 epochs. Three seeds; `python -m course_lib.experiments.recurrence` made the
# table. Which is best at equal time?

# %% tags=["demo"]
names = list(recurrence.NETWORKS)
guess("best after equal time", ..., choices=names)

# %% tags=["demo"] folded="Shows the measured costs."
plots.show(figures.worth_of_recurrence(recurrence.MEASURED))
best = min(names, key=lambda name: sum(recurrence.MEASURED[name].equal_time))
outcome("best after equal time", best)
for name, result in recurrence.MEASURED.items():
    print(f"{name:16} {result.epoch:.2f} s per epoch")

# %% tags=["train"] folded="A small part again: one epoch of each."
for name in names:
    start = time.process_time()
    cost = recurrence.train(name, epochs=1)
    print(f"{name:16} {cost:.3f} bits/dim after one epoch in {time.process_time() - start:.1f} s")

# %% [markdown]
# After **equal time** (bits/dim, mean and standard deviation over seeds) PixelCNN has 1.740 ± 0.006, Row LSTM 1.759 ±
# 0.009, gated PixelCNN 1.762 ± 0.010, and the Diagonal BiLSTM 1.918 ± 0.005: its epochs take four times as long, so it
# had 8 where PixelCNN had 31. After **equal epochs** the order is another: Diagonal BiLSTM 1.711 ± 0.008, Row LSTM
# 1.735 ± 0.004, PixelCNN 1.741 ± 0.007, gated PixelCNN 1.754 ± 0.010. Which counts depends on what is scarce. Where far
# pixels are all that matters, as on stripes, no time helps an architecture that cannot see them.
#
# ## 10 · The published table, read critically
#
# Fixed binarized MNIST, test NLL in nats, from Table 4 of van den Oord et al. (2016), as reprinted in A. Courville's
# lecture "Autoregressive Generative Models"; all are exact:
#
# | model | NLL |
# | --- | --- |
# | PixelCNN | 81.30 |
# | Row LSTM | 80.54 |
# | Diagonal BiLSTM, 1 layer, $h = 32$ | 80.75 |
# | Diagonal BiLSTM, 7 layers, $h = 16$ | 79.20 |
#
# Recurrence wins. But the table gives neither numbers of weights, nor hours of training, nor an error
# over seeds. The last two rows differ in depth *and* width, which together are worth 1.55 nats: twice the 0.76 between
# PixelCNN and Row LSTM. And this PixelCNN has a blind spot. On CIFAR-10 (bits/dim, the same lecture, from van den Oord
# et al., 2016b): PixelCNN 3.14, gated PixelCNN 3.03, PixelRNN 3.00.
#
# ## 11 · The answer
#
# **Why did PixelCNN win?** In training all pixels are known, and a convolution does not wait: $L$ steps in place of
# $L N$ or $L (2N - 1)$. The same hours train longer, or a larger network; on our digits PixelCNN won at equal time, the
# Diagonal BiLSTM at equal epochs. And most of what recurrence did better turned out to be available without it: two
# stacks read all of the past, depth brings reach. Within months the gated PixelCNN came within 0.03 bits/dim of
# PixelRNN. For a sample, both wait $N^2$ times.
#
# **What did it give up?** Nearly all of the past (but for the end of the row above) in *one* layer, on images of any
# size, with weights that do not depend on the distance. A PixelCNN reaches $m$ pixels further per layer, and one with a
# single stack never sees a triangle.
#
# **What remains.** A state has $k$ numbers, however many pixels it has read: all of them are in reach, few are
# remembered. And sampling waits. There is a third way to a wide reach, without a state: convolutions whose taps lie
# further and further apart. That is WaveNet, lesson 06.

# %% [markdown]
# ## Going further
#
# Each section is independent of the others.
#
# ### Skewing, written out
#
# Skewing is a copy of rows into a wider image; the library does it in three operations, by reading the padded rows with
# one number less per row. Write it in any way.
#
# #### Exercise · `skew`


# %% exercise="skew"
def skew(x):
    """Move row r of each image to the right by r columns.

    Args:
        x: (n, channels, H, W) tensor of any dtype; floating-point numbers may be infinite or NaN.

    Returns:
        (n, channels, H, H + W - 1), of the same dtype: entry [..., r, r + c] is x[..., r, c]; all others are 0.
        Gradients reach x.
    """
    ### BEGIN SOLUTION
    H, W = x.shape[2:]
    y = x.new_zeros(*x.shape[:2], H, H + W - 1)
    for r in range(H):
        y[:, :, r, r : r + W] = x[:, :, r]
    return y
    ### END SOLUTION


# %% check="skew"

# %% [markdown]
# #### Exercise · `unskew`


# %% exercise="unskew"
def unskew(y):
    """The inverse of `skew`.

    Args:
        y: (n, channels, H, H + W - 1) tensor of any dtype. (H can be read from y, so W can be computed.)

    Returns:
        (n, channels, H, W), of the same dtype: entry [..., r, c] is y[..., r, r + c]. What y holds elsewhere does not
        count, be it infinite or NaN. Gradients reach y.
    """
    ### BEGIN SOLUTION
    H = y.shape[2]
    W = y.shape[3] - H + 1
    return torch.stack([y[:, :, r, r : r + W] for r in range(H)], 2)
    ### END SOLUTION


# %% check="unskew"

# %% tags=["demo"]
with waits_for("skew", "unskew"):
    image = torch.arange(1, 13).view(1, 1, 3, 4)
    print(skew(image)[0, 0], bool((torch.as_tensor(unskew(skew(image))) == image).all()))

# %% [markdown]
# ### Before PixelRNN: the spatial LSTM
#
# Recurrence in two dimensions is older. Graves and Schmidhuber (2009) read handwriting with *multi-dimensional* LSTMs,
# whose cell has one forget gate for each direction that it comes from:
#
# $$c(r, c) = g \odot i \;+\; f_1 \odot c(r, c-1) \;+\; f_2 \odot c(r-1, c) .$$
#
# Theis and Bethge (2015) made a density of it. In their RIDE, *recurrent image density estimator*, states of such
# **spatial LSTMs** read a small causal window of pixels and the states to the left and above; from the last state a
# mixture of Gaussian scale mixtures gives the density of the next pixel. So they model real-valued pixels, where van
# den Oord et al. take a softmax over levels, and one pixel is computed after another; and their states know the
# quadrant of section 2, with what the window adds. In the CIFAR-10 table of lesson 04, RIDE has 3.47 bits/dim, PixelRNN
# 3.00; the one is a density, the other a probability, and the likelihood, the depth and the context changed at once. We
# do not build it.
#
# ### Multi-scale PixelRNN
#
# The paper's last idea (section 3.5): draw a *small* image first, then the large one, given the small one. Global
# structure is then decided early, where everything is near. With $s$ the image of every second pixel of $x$,
#
# $$\log p(x) \ge \log p(s) + \log p(x \mid s) .$$
#
# ($p(s)\, p(x \mid s)$ is one term of the sum over all $s$ that the model may have drawn.) Both are PixelRNNs. The
# second is conditional: it adds to its first layer's channels a linear function of its **context**, nine numbers for
# each pixel, the 3 × 3 neighbourhood of its block in the small image. How does the sum compare with a PixelRNN without
# scales?

# %% tags=["train"] folded="Trains three small Row LSTMs on digits: of all pixels, of every second, of all given every second."
def every_second(x):
    return x[:, :, ::2, ::2]


def neighbourhoods(small):
    """(n, 1, 4, 4) -> (n, 9, 8, 8): for each pixel of the large image, the nine pixels around its block in the small one."""
    nine = torch.nn.functional.unfold(small / 15, 3, padding=1).view(-1, 9, 4, 4)
    return nine.repeat_interleave(2, 2).repeat_interleave(2, 3)


small_splits = {name: Split(every_second(s.x)) for name, s in levels.splits().items()}
large_splits = {name: Split(s.x, context=neighbourhoods(every_second(s.x).float())) for name, s in levels.splits().items()}
sets = {
    "x": (levels, 0),
    "s": (Dataset("every second pixel", (1, 4, 4), 16, **small_splits), 0),
    "x given s": (Dataset("digits, given every second pixel", (1, 8, 8), 16, **large_splits), 9),
}
decay, scales, costs = functools.partial(torch.optim.AdamW, weight_decay=0.3), {}, {}
for name, (dataset, channels) in sets.items():
    torch.manual_seed(0)
    settings = dict(recurrence="row", first_kernel=5, head=48, position_bias=True, context_channels=channels)
    scales[name] = PixelRNN(dataset.shape, 16, 16, 1, **settings)
    training = dict(epochs=budget(smoke=1, cpu=20, gpu=60), batch_size=64, lr=4e-3, optimizer=decay, progress=False)
    fit(scales[name], dataset, context=channels > 0, **training)
    given = dict(context=dataset.test.context) if channels else {}
    with torch.no_grad():
        costs[name] = -scales[name].log_prob(dataset.test.x, **given)
    print(f"{name:10} {metrics.Estimate.of(costs[name])} nats")
print(f"s and x given s: {metrics.Estimate.of(costs['s'] + costs['x given s'])} nats")
with torch.no_grad():
    logits = scales["x given s"](dataset.test.x, context=dataset.test.context)
each_pixel = -distributions.categorical_log_prob(logits, dataset.test.x)
print(f"of x given s, the 16 pixels of s itself cost {every_second(each_pixel).mean() * 16:.1f} nats")

# %% tags=["demo"] folded="Draws small images, and two large ones for each; enlarges every second pixel of test digits."
rng = torch.Generator().manual_seed(0)
drawn = scales["s"].sample(10, generator=rng)
test_small = every_second(levels.test.x[:10])


def enlarged(small):
    return [scales["x given s"].sample(10, context=neighbourhoods(small.float()), generator=rng) for _ in range(2)]


def blocks(small):
    return small.repeat_interleave(2, 2).repeat_interleave(2, 3)


fig, axes = plt.subplots(1, 2, figsize=(9.6, 3.1))
rows = torch.cat([blocks(drawn), *enlarged(drawn)])
plots.image_grid(rows, levels=16, columns=10, row_names=["4 × 4", "1st", "2nd"], ax=axes[0], title="Samples")
rows = torch.cat([blocks(test_small), *enlarged(test_small), levels.test.x[:10]])
plots.image_grid(rows, levels=16, columns=10, row_names=["given", "1st", "2nd", "digit"], ax=axes[1], title="Super-resolution")
plots.show(
    fig,
    alt="Left: ten sampled images of 4 by 4 pixels, and below each two sampled enlargements. Right: ten test digits of which every second "
    "pixel is given, two sampled enlargements each, and the digits, which the enlargements mostly resemble.",
)

# %% [markdown]
# The sum, 91.1 nats, is 11.3 more than the 79.8 of the model without scales. Of these, 9.5 are paid for the 16 pixels
# of $s$, which the second network has in its context and has not quite learnt to copy; about 2 are left for the detour.
# On 8 × 8 pixels nothing is far away, so there is little to win. What the scales do give is **super-resolution**: the
# same small image is enlarged in several sharp ways, each a sample of $p(x \mid s)$, where a network that minimises
# squared error would show their blurred mean.
#
# ### Parallel multiscale: $O(\log N)$ passes
#
# Caches do not remove the $N^2$ steps. Reed et al. (2017) do, by an assumption: pixels of one **group** are
# *independent, given all groups before*. All of them are drawn in one pass. Each doubling of the resolution takes three
# groups, so an image of $N \times N$ pixels takes $1 + 3 \log_2 N$ passes if one starts from a single pixel.
#
# #### Exercise · `groups`


# %% exercise="groups"
def groups(H, W):
    """The groups of pixels in which a parallel multiscale model (Reed et al. 2017) generates an image.

    The first group is pixel (0, 0) alone. Let S be the smallest power of two that is at least H and at least W. For
    each s = S/2, S/4, ..., 1 in turn, the pixels known so far are those whose row and column are multiples of 2s. Three
    groups follow: in the first, the row is a multiple of 2s and the column an odd multiple of s; in the second, the row
    is an odd multiple of s and the column a multiple of 2s; in the third, both are odd multiples of s. A group without
    pixels in the image is left out.

    Args:
        H, W: number of rows and columns, at least 1.

    Returns:
        list of groups, in this order; each is a list of pairs (r, c), in any order.
    """
    ### BEGIN SOLUTION
    side = 1
    while side < max(H, W):
        side *= 2
    found = [[(0, 0)]]
    while side > 1:
        s = side // 2
        for first, second in ((0, s), (s, 0), (s, s)):
            found.append([(r, c) for r in range(first, H, side) for c in range(second, W, side)])
        side = s
    return [group for group in found if group]
    ### END SOLUTION


# %% check="groups"

# %% [markdown]
# Passes for 32 × 32 pixels, instead of 1,024?

# %% tags=["demo"]
guess("passes for 32 × 32 pixels", ...)

# %% tags=["demo"]
with waits_for("groups"):
    plots.show(figures.numbered_groups(groups(8, 8), 8, 8))
    outcome("passes for 32 × 32 pixels", len(groups(32, 32)))

# %% [markdown]
# What does the assumption cost? Take a model that predicts each pixel from *any* set of known ones: lesson 02's
# ConvNADE. The same network, with the same weights, can draw an image pixel by pixel in the order of the groups, or
# group by group. The first is the chain rule; the second drops the dependence within groups. Both have mass one.

# %% tags=["train"]
torch.manual_seed(0)
orderless = ConvNADE((1, 8, 8), budget(smoke=8, cpu=24, gpu=32), layers=2, kernel=5)
print(fit(orderless, binary, epochs=budget(smoke=2, cpu=40, gpu=150), batch_size=64, lr=4e-3, progress=False))

# %% tags=["demo"] folded="The NLL of both ways, and the time for 16 samples of each, and of a Row LSTM's cached sampler."
def in_passes(parts, x, u=None):
    """log q(x) by parts of the image, each independent given those before; with u, x is drawn."""
    known, log_q, x = torch.zeros(1, 1, 8, 8), 0.0, x.clone()
    for part in parts:
        rows_, columns_ = torch.tensor(part).T
        logits = orderless.network(x.float(), known)[:, 0, rows_, columns_]
        if u is not None:
            x[:, 0, rows_, columns_] = (u[:, 0, rows_, columns_] < logits.sigmoid()).long()
        log_q = log_q + torch.nn.functional.logsigmoid((2 * x[:, 0, rows_, columns_] - 1) * logits).sum(1)
        known[:, 0, rows_, columns_] = 1
    return log_q, x


with waits_for("groups"), torch.no_grad():
    together = [list(map(tuple, group)) for group in groups(8, 8)]
    one_by_one = [[pixel] for group in together for pixel in group]
    u, images = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0)), {}
    for name, parts in {"pixel by pixel": one_by_one, "group by group": together}.items():
        log_q, _ = in_passes(parts, binary.test.x.long())
        start = time.perf_counter()
        images[name] = in_passes(parts, torch.zeros(16, 1, 8, 8, dtype=torch.long), u)[1]
        seconds = time.perf_counter() - start
        print(f"{name}: {len(parts):2} passes, {metrics.Estimate.of(-log_q)} nats, 16 samples in {1000 * seconds:.0f} ms")
    pixelcnn = PixelCNN((1, 8, 8), 2, 24, 3, kernel=5, first_kernel=5, head=48).eval()
    start = time.perf_counter()
    pixelcnn.sample(16)
    print(f"a PixelCNN's cached sampler: 64 steps, {1000 * (time.perf_counter() - start):.0f} ms")
    plots.show(
        plots.image_grid(torch.cat([*images.values()]), columns=16, row_names=list(images)),
        alt="Sixteen samples drawn pixel by pixel, and sixteen drawn group by group from the same uniform numbers; most look alike.",
    )

# %% [markdown]
# Independence within groups costs 0.5 nats (19.4 in place of 18.9), and saves 54 of 64 passes. On 8 × 8 pixels ten
# passes take half the time of a PixelCNN's cached sampler; on 512 × 512 it is 28 passes against 262,144 steps. By the
# abstract of Reed et al., sampling becomes faster by orders of magnitude at a competitive likelihood.
#
# ### Video: one more axis
#
# A video has $T$ frames, and the chain rule goes on over time: frame by frame, in a frame pixel by pixel, in a pixel
# colour by colour. Video Pixel Networks (Kalchbrenner et al., 2017) encode each past frame by convolutions that keep
# its resolution, carry a convolutional LSTM's state from frame to frame, and draw the next frame with a PixelCNN whose
# context that state is. It is this lesson's compromise once more: recurrence along time, which is short, and masked
# convolutions in space. A sample takes $N^2 T$ sequential steps.
#
# ### Times at 28 × 28 pixels
#
# One training step with 16 images, and 4 samples with a cache, for the networks of section 9 with two levels. What
# grows with the image?

# %% tags=["demo"] folded="Builds the four networks for 28 × 28 pixels, and times them."
side = budget(smoke=8, cpu=28, gpu=28)
x28 = torch.randint(0, 2, (16, 1, side, side), generator=torch.Generator().manual_seed(0))
for name, build in recurrence.NETWORKS.items():
    network, times = build(event_shape=(1, side, side), levels=2), []
    for _ in range(2):
        start = time.process_time()
        (-network.log_prob(x28).mean()).backward()
        times.append(time.process_time() - start)
    start = time.process_time()
    network.eval().sample(4)
    print(f"{name:16} training step {1000 * min(times):5.0f} ms; 4 samples {time.process_time() - start:.1f} s")

# %% [markdown]
# On one CPU core a step of the Row LSTM takes up to twice as long as the PixelCNN's, one of the Diagonal BiLSTM five
# times: per layer 28 and 55 steps that wait for one another. (On a GPU, where each waiting step is too small to fill
# the device, expect more; not measured here.) Samples differ by less than a factor of 3, and all wait 784 times.
#
# ### Scoreboard
#
# The course's table (`python -m course_lib.scoreboard`) has rows for both recurrences, with training of up to 60
# epochs. The lesson's own, measured above after 30 epochs (16 levels, test, mean of three seeds):

# %% tags=["demo"]
for name, result in recurrence.MEASURED.items():
    over_seeds = torch.tensor(result.equal_epochs)
    print(f"{name:16} {over_seeds.mean():.3f} ± {over_seeds.std():.3f} (standard deviation) bits/dim   exact")

# %% [markdown]
# ### Today, history and references
#
# **Today.** Nonlinear recurrence over pixels has gone, for the reason of section 3. What came back is recurrence that
# is *linear* in the state: then all states are sums that a parallel scan computes in $O(\log N)$ steps, and training
# waits no longer. Mamba (Gu and Dao, 2024) is such a model, with gates that depend on the input; Mamba2D (Baty et al.,
# 2024) carries one state in both dimensions of an image, as in section 1. The other heir is masked attention (lesson
# 04), which reads everything at once. The coarse-to-fine order of the multi-scale PixelRNN is that of visual
# autoregressive modelling (Tian et al., 2024), and drawing groups in parallel is what masked generative transformers do
# (Chang et al., 2022), with groups chosen by confidence.
#
# **History.** LSTMs are from Hochreiter and Schmidhuber (1997), multi-dimensional ones read handwriting in 2009, and
# spatial LSTMs became a density in 2015. Five months after PixelRNN its authors published the gated PixelCNN, and built
# on that from then on.
#
# * E. Baty, A. Hernández Díaz, C. Bridges, R. Davidson, S. Eckersley and S. Hadfield. Mamba2D: a natively
#   multi-dimensional state-space model for vision tasks. arXiv:2412.16146, 2024.
# * H. Chang, H. Zhang, L. Jiang, C. Liu and W. T. Freeman. MaskGIT: masked generative image transformer. *CVPR* 2022.
# * A. Graves and J. Schmidhuber. Offline handwriting recognition with multidimensional recurrent neural networks. *NIPS
#   21*, 2009.
# * A. Gu and T. Dao. Mamba: linear-time sequence modeling with selective state spaces. *COLM* 2024.
# * S. Hochreiter and J. Schmidhuber. Long short-term memory. *Neural Computation* 9(8), 1997.
# * N. Kalchbrenner, A. van den Oord, K. Simonyan, I. Danihelka, O. Vinyals, A. Graves and K. Kavukcuoglu. Video pixel
#   networks. *ICML* 2017.
# * A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu. Pixel recurrent neural networks. *ICML* 2016. Sections 3.1 to
#   3.5: Row LSTM, Diagonal BiLSTM, residual connections, masks, multi-scale; Table 1: the architecture; Table 4:
#   binarized MNIST.
# * A. van den Oord, N. Kalchbrenner, O. Vinyals, L. Espeholt, A. Graves and K. Kavukcuoglu. Conditional image
#   generation with PixelCNN decoders. *NIPS 29*, 2016 (2016b).
# * S. Reed, A. van den Oord, N. Kalchbrenner, S. Gómez Colmenarejo, Z. Wang, Y. Chen, D. Belov and N. de Freitas.
#   Parallel multiscale autoregressive density estimation. *ICML* 2017.
# * L. Theis and M. Bethge. Generative image modeling using spatial LSTMs. *NIPS 28*, 2015.
# * K. Tian, Y. Jiang, Z. Yuan, B. Peng and L. Wang. Visual autoregressive modeling: scalable image generation via
#   next-scale prediction. *NeurIPS* 2024.
#
# **Where the solution is.** The text source of this notebook with all eight answers is `solutions/05_pixelrnn.py` in
# the course repository. In `course_lib` the same ideas are in `models/pixelrnn.py`, with its cached sampler.
