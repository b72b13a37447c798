# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 04 · PixelCNN: a small window, moved over the image
#
# **The question of this lesson.** How can a small window, moved over the image, give every pixel's conditional, and what
# does it miss?
#
# MADE (lesson 03) gives the likelihood of an image in one pass, but it treats the image as a list of numbers: it has a
# weight for every pair of a pixel and a unit, and a stroke learnt in one corner must be learnt again in the next. A
# convolution looks at a small window and does the same everywhere. Only one thing keeps it from being a density: the
# window contains the pixel itself, and later ones. So we mask the window. This takes one line, and there are several ways
# to write that line wrongly that nobody notices, because the result trains and its likelihood sums to one. One of them
# was published, and its own authors found it: the *blind spot*.
#
# **After the core path you can**
#
# * derive masks for convolutions and say why mask A belongs in the first layer only;
# * predict, pixel by pixel, what a masked network can never read, and what that costs at least, exactly;
# * build and train a PixelCNN without a blind spot.
#
# **Builds on** lessons 01 to 03 (chain rule, NLL, paths through masks). No exercise needs your answers from there. The
# machine needs about three minutes without a network. Numbers in the text are for `COURSE_BUDGET=cpu`, the default.
#
# | symbol | meaning |
# | --- | --- |
# | $C$, $H$, $W$ | number of colours, rows and columns of an image; $D = C H W$ dimensions |
# | $x_{r,c}$ | pixel in row $r$ and column $c$, both counted from 0 |
# | $K$ | number of **intensity levels**; each colour of each pixel is one of $0, \dots, K - 1$ |
# | $L$ | number of layers, the first being layer 1 |
# | $h^l_i(r, c)$ | value of **channel** (feature map) $i$ of layer $l$ at pixel $(r, c)$; $h^0 = x$ |
# | $k$, $m$ | side of a square **kernel**, odd, and its reach $m = (k - 1)/2$ |
# | bits/dim | an NLL in nats divided by $D \log 2$; a uniform guess costs $\log_2 K$ |
#
# **Raster order** is row by row from the top, in a row from left to right, in a pixel colour by colour. "Before" and
# "earlier" mean this order throughout.

# %% setup=true
import math

import numpy as np
import torch

# %% tags=["demo"] folded="Imports; loads the digits with 16 levels, and the small world of 4 × 4 images (lesson 01)."
import copy
import functools
import time
from dataclasses import replace

import matplotlib.pyplot as plt
from sklearn.datasets import load_sample_image
from sklearn.svm import SVC
from torch.utils.flop_counter import FlopCounterMode

from autograder.checks import pixelcnn as checks
from course_lib import budget, data, distributions, explore, metrics, plots, pretrained
from course_lib.clinic import pixelcnn_clinic
from course_lib.data.tiny_world import GLYPHS
from course_lib.dependencies import dependencies, influence
from course_lib.experiments import gates
from course_lib.figures import pixelcnn as figures
from course_lib.models import MADE, GatedPixelCNN, PixelCNN, PixelCNNPlusPlus, gated_pixelcnn
from course_lib.nn import AttentionSteps, CausalSelfAttention, fixed_masks, strided_masks
from course_lib.notebook import guess, outcome, waits_for
from course_lib.training import fit

torch.set_num_threads(1)  # our models are so small that more threads would only wait for one another
digits = data.digits("levels")
train, test = digits.train, digits.test
world = data.tiny_world()
p_world = world.log_p.exp()
bits = 64 * math.log(2)  # bits/dim of digits = nats / bits
print(f"{digits.name}: {len(train)} to train on, {len(digits.valid)} to validate, {len(test)} to test, {digits.shape}")
print(f"the small world: binary 4 × 4 images, entropy {world.entropy:.3f} nats")

# %% [markdown]
# ## 1 · What MADE does not know
#
# Take all digits and rearrange their pixels, by the same secret permutation for every image. To us they become noise. We
# train MADE and a PixelCNN, each on digits and on rearranged digits. The PixelCNN has a 3 × 3 window in each layer and far
# fewer weights. By how many bits/dim does the rearrangement make the PixelCNN worse? (A uniform guess costs 4.)

# %% tags=["demo"]
guess("bits/dim that the PixelCNN loses by the rearrangement", ...)

# %% tags=["train"] folded="Trains MADE and a PixelCNN, each on digits and on rearranged digits."
channels, layers = budget(smoke=(8, 2), cpu=(20, 4), gpu=(24, 4))
decay = functools.partial(torch.optim.AdamW, weight_decay=0.01)
secret = torch.randperm(64, generator=torch.Generator().manual_seed(1))


def rearranged(split):
    return replace(split, x=split.x.flatten(1)[:, secret].view_as(split.x))


shuffled = replace(digits, **{name: rearranged(split) for name, split in digits.splits().items()})
models = {}
for name, dataset in {"digits": digits, "rearranged": shuffled}.items():
    torch.manual_seed(0)
    models["MADE", name] = MADE(64, [500], levels=16, dropout=0.5, direct=True)
    made_epochs = budget(smoke=1, cpu=25, gpu=100)
    fit(models["MADE", name], dataset.flatten(), epochs=made_epochs, batch_size=64, lr=2e-3, progress=False)
    torch.manual_seed(0)
    models["PixelCNN", name] = PixelCNN((1, 8, 8), 16, channels, layers, first_kernel=3, head=48, position_bias=True)
    epochs = budget(smoke=1, cpu=20, gpu=60)
    fit(models["PixelCNN", name], dataset, epochs=epochs, batch_size=64, lr=4e-3, optimizer=decay, progress=False)
made, pixelcnn = models["MADE", "digits"], models["PixelCNN", "digits"]

# %% tags=["demo"] folded="Shows both kinds of images, and the test NLL of the four models."
fig, axes = plt.subplots(1, 2, figsize=(9.5, 1.9))
plots.image_grid(test.x[:16], levels=16, columns=8, ax=axes[0], title="Digits")
plots.image_grid(shuffled.test.x[:16], levels=16, columns=8, ax=axes[1], title="Rearranged digits")
plots.show(
    fig, alt="Sixteen digits in grey levels, and the same sixteen with rearranged pixels, which look like noise."
)
costs = {}
print(f"{'test, bits/dim':10} {'digits':>16} {'rearranged':>16} {'weights':>9}")
for kind in ("MADE", "PixelCNN"):
    for name, dataset in {"digits": digits, "rearranged": shuffled}.items():
        x = dataset.test.x.flatten(1) if kind == "MADE" else dataset.test.x
        costs[kind, name] = metrics.nll(models[kind, name], x) / bits
    cells = " ".join(f"{costs[kind, name]!s:>16}" for name in ("digits", "rearranged"))
    print(f"{kind:14} {cells} {sum(w.numel() for w in models[kind, 'digits'].parameters()):9,}")
loss = costs["PixelCNN", "rearranged"].mean - costs["PixelCNN", "digits"].mean
outcome("bits/dim that the PixelCNN loses by the rearrangement", loss)

# %% [markdown]
# MADE pays about the same for both: its layers are matrices, and a matrix whose columns are permuted with its inputs
# computes what it computed before. Only the ordering differs, and here the secret one happens to be a little better. The
# PixelCNN is far better than MADE on digits, with less than a twentieth of the weights, and worse when neighbours are no
# longer neighbours. A model that *knows* something has data on which it fails.
#
# It knows two things. **Locality**: a pixel depends most on its neighbours. **Translation**: a stroke is a stroke wherever
# it is. Both save weights. A layer of MADE for 256 × 256 photographs in colour needs at least $D - 1$ = 196,607 units to
# lose nothing (lesson 03), with $4 \times 10^{10}$ weights. A 3 × 3 convolution from 128 channels to 128 has
# $9 \cdot 128^2$ = 147,456, whatever the size of the image.
#
# ## 2 · Masked convolutions
#
# Take MADE's layer, give each pixel several units (*channels*), and tie the weights: the weight from channel $i$ at one
# pixel to channel $o$ at another depends only on the *offset* $(s, t)$ between the two, in rows and columns, and is zero
# unless both are at most $m$ in size. What remains is a **convolution** with a $k \times k$ kernel, $k = 2 m + 1$:
#
# $$h^l_o(r, c) = b_o + \sum_i \sum_{s=-m}^{m} \sum_{t=-m}^{m} w_{o,i,s,t}\; h^{l-1}_i(r + s, c + t), \qquad h^{l-1} = 0 \text{ outside the image.}$$
#
# MADE's masks were for pairs of units; now they are for offsets. The offset $(s, t)$ leads to an *earlier* pixel if
# $s < 0$, or $s = 0$ and $t < 0$. These weights may always be used, those of later pixels never. The centre $(0, 0)$ is
# the question: mask **A** forbids it, mask **B** allows it. Which goes where?
#
# **Paths decide, as in lesson 03.** A path from an input pixel to an output pixel takes one offset in each of the $L$
# layers. Under either mask no offset leads forward, so along a path, read from the output down, we move back or stay.
#
# * *B everywhere*: the path that stays in every layer leads from a pixel to itself. The output sees what it must predict.
# * *A everywhere*: every step moves back by at least one pixel. Nothing leaks, but after $L$ layers the output depends on
#   none of its $L - 1$ immediate predecessors, the most informative pixels of all.
# * *A once, B elsewhere*: some step moves back strictly, so nothing leaks. And nothing near is lost: every offset of the
#   window that leads back can be taken in the A layer, while the other layers stay.
#
# For leaks, A could be in any one layer. It comes **first**, since then every channel at $(r, c)$ depends on strictly
# earlier pixels only, and layers may be bridged by **skip connections**, $h^l = h^{l-1} + \dots$ With A at the end, a
# bridge around it would leak.
#
# **Colours.** The chain rule continues inside the pixel: $p(R \mid \text{before})\, p(G \mid R, \text{before})\,
# p(B \mid R, G, \text{before})$. All three read the earlier pixels in full. At the centre, let every channel *belong to a
# colour*. Under mask A a channel of colour $a$ reads inputs of colours that come strictly before $a$ (green reads red);
# under mask B also those of its own colour. Then the argument above holds for pixels and colours together.
#
# ### Exercise 1 · `conv_mask`
#
# One function for all of these: any odd kernel, channels that belong to colours in any arrangement, colours in any order.


# %% exercise="conv_mask"
def conv_mask(kind, kernel, out_colours, in_colours, order):
    """Which weights of a convolution may be used.

    Args:
        kind: "A" or "B".
        kernel: (kh, kw), height and width of the kernel, both odd; its centre is the pixel itself.
        out_colours: list with the colour (0..C-1) that each output channel belongs to.
        in_colours: the same for the input channels.
        order: list, a permutation of 0..C-1: order[j] is the colour that comes j-th within a pixel.

    Returns:
        (len(out_colours), len(in_colours), kh, kw) bool tensor, True where the weight may be used: in all rows above the
        centre's; in the centre's row, left of it; at the centre, from input channels whose colour comes strictly before
        that of the output channel (A and B), or is the same (B only). False elsewhere.
    """
    ### BEGIN SOLUTION
    place = torch.tensor(order).argsort()
    above, left = kernel[0] // 2, kernel[1] // 2
    out, into = place[out_colours][:, None], place[in_colours]
    mask = torch.zeros(len(out_colours), len(in_colours), *kernel, dtype=torch.bool)
    mask[:, :, :above] = True
    mask[:, :, above, :left] = True
    mask[:, :, above, left] = into < out if kind == "A" else into <= out
    return mask
    ### END SOLUTION


# %% check="conv_mask"

# %% [markdown]
# Your masks: left, one colour and a 5 × 5 kernel; right, the *centre* between six output channels (rows) and six input
# channels (columns), two of each colour.

# %% tags=["demo"] folded="Draws four of your masks."
with waits_for("conv_mask"):
    rgb, blocks = [0, 1, 2], [0, 0, 1, 1, 2, 2]
    masks = {f"{kind}, one colour": torch.as_tensor(conv_mask(kind, (5, 5), [0], [0], [0]))[0, 0] for kind in "AB"}
    for kind in "AB":
        masks[f"{kind} at the centre"] = torch.as_tensor(conv_mask(kind, (5, 5), blocks, blocks, rgb))[:, :, 2, 2]
    plots.show(figures.convolution_masks({name: mask.int() for name, mask in masks.items()}))

# %% [markdown]
# ### Exercise 2 · `masked_conv`
#
# A masked layer, as in lesson 03, as a function: the weight stays as it is; what the mask forbids has no effect and gets a
# gradient of exactly zero. `torch.nn.functional.conv2d` does the rest.


# %% exercise="masked_conv"
def masked_conv(x, weight, bias, mask):
    """A convolution in which some weights are not used. The result is as large as the input, by zeros around it.

    All tensors but the mask are float32, or all are float64.

    Args:
        x: (n, in, H, W).
        weight: (out, in, kh, kw), kh and kw odd. Its entries under a False of the mask may be any finite numbers; they
            have no effect and are left as they are.
        bias: (out,).
        mask: (out, in, kh, kw) bool, True where the weight is used.

    Returns:
        (n, out, H, W). Gradients reach x, bias and the used weights; those of the others are exactly 0.
    """
    ### BEGIN SOLUTION
    padding = weight.shape[2] // 2, weight.shape[3] // 2
    return torch.nn.functional.conv2d(x, torch.where(mask, weight, 0.0), bias, padding=padding)
    ### END SOLUTION


# %% check="masked_conv"

# %% [markdown]
# Now stack your layers, A first, with random weights and tanh between them. The figures show which pixels the framed
# output depends on, on an image of 11 × 11 pixels. Each layer moves the window's border one pixel further up and to both
# sides. With twelve layers, how many of the 92 earlier pixels does the framed output still not read?

# %% tags=["demo"]
guess("earlier pixels not read with twelve layers", ...)


# %% tags=["demo"] folded="A network of your masked convolutions; which pixels one output depends on, by gradients."
class YourPixelCNN(torch.nn.Module):
    """Masked convolutions, mask A first, with tanh between them and random weights; two levels."""

    levels = 2

    def __init__(self, shape, depth, maps=6, first="A"):
        super().__init__()
        self.event_shape = shape
        pixel = list(range(shape[0]))
        hidden = [pixel[i * len(pixel) // maps] for i in range(maps)]
        colours = [pixel, *[hidden] * (depth - 1), pixel]
        self.weights, self.biases, self.masks = torch.nn.ParameterList(), torch.nn.ParameterList(), []
        for below, above in zip(colours[:-1], colours[1:], strict=True):
            mask = conv_mask("B" if self.masks else first, (3, 3), above, below, pixel)
            self.masks.append(torch.as_tensor(mask).bool())
            self.weights.append(torch.randn(len(above), len(below), 3, 3) / math.sqrt(3 * len(below)))
            self.biases.append(torch.zeros(len(above)))

    def forward(self, x):
        h = x.to(self.biases[0].dtype)
        for n, (weight, bias, mask) in enumerate(zip(self.weights, self.biases, self.masks, strict=True)):
            h = masked_conv(h.tanh() if n else h, weight, bias, mask)
        return h


with waits_for("conv_mask", "masked_conv"):
    torch.manual_seed(0)
    fig, axes = plt.subplots(1, 4, figsize=(9.8, 2.9))
    for ax, depth in zip(axes, [1, 2, 4, 12], strict=True):
        reads = influence(YourPixelCNN((1, 11, 11), depth), outputs=torch.tensor([8 * 11 + 4])).view(11, 11) > 0
        ax.imshow(reads, cmap="Blues", vmin=0, vmax=1.4)
        ax.plot(4, 8, "s", ms=11, mfc="none", mec=plots.COLORS["vermilion"], mew=2)
        ax.set(title=f"{depth} layer{'s' * (depth > 1)}", xticks=range(0, 11, 2), yticks=range(0, 11, 2))
        ax.set(xlabel="column", ylabel="row" if depth == 1 else "")
    plots.show(
        fig,
        alt="What one output in the lower left middle reads, for 1, 2, 4 and 12 layers. The field grows upwards and to the "
        "left until it fills the image there; on the right it ends at a slanted line, also with twelve layers.",
    )
    outcome("earlier pixels not read with twelve layers", 92 - int(reads.sum()))

# %% [markdown]
# ## 3 · The blind spot
#
# To the left the field is complete. To the right *a triangle stays white*, and more layers would not change that. Your
# masks are right, and no weight is wrong. Yet the framed output is meant to be $q(x_i \mid \text{all before})$, and it
# cannot depend on a pixel three columns to the right and one row up.
#
# What is the rule? Take a pencil. A path leads from the framed pixel back to an input, one step per layer; each step is an
# offset that the mask allows. How does one get to the right?
#
# ### Exercise 3 · `blind_spot`
#
# Compute exactly which pixels are lost. You may find a formula, or let the machine follow all paths. (Can the border of
# the image cut off a path that would be needed? Decide before you program.)


# %% exercise="blind_spot"
def blind_spot(k, layers, H, W, row, column):
    """Pixels that come before one pixel, and that its output cannot depend on.

    The network: one k x k convolution with mask A, then layers - 1 of k x k with mask B; one colour, zeros outside the
    image.

    Args:
        k: side of all kernels, odd, at least 1.
        layers: number of convolutions, at least 1.
        H, W: height and width of the image.
        row, column: of the output's pixel, counted from 0.

    Returns:
        (H, W) bool: True at pixels that come before (row, column) in raster order and have no path to the output there.
    """
    ### BEGIN SOLUTION
    reached = torch.zeros(1, 1, H, W)
    reached[0, 0, row, column] = 1
    for kind in ["B"] * (layers - 1) + ["A"]:  # from the output down
        window = torch.ones(1, 1, k, k)
        window[:, :, k // 2, k // 2 + (kind == "B") :] = 0
        window[:, :, k // 2 + 1 :] = 0
        reached = (torch.nn.functional.conv_transpose2d(reached, window, padding=k // 2) > 0).float()
    before = torch.arange(H * W).view(H, W) < row * W + column
    return before & (reached[0, 0] == 0)
    ### END SOLUTION


# %% check="blind_spot"

# %% [markdown]
# **The rule.** A step either stays in its row, and then goes left or stays; or it climbs $s \ge 1$ rows, and then it may go
# at most $m$ columns to the right. To get to the right one must climb, by at least one row for every $m$ columns. So an
# earlier pixel $(r', c')$ has no path to $(r, c)$, *with any number of layers*, if
#
# $$c' - c > m\,(r - r') .$$
#
# Conversely, for $k \ge 3$ and enough layers, every other earlier pixel has one: climb one row at a time, moving sideways
# by up to $m$ in each step as needed, then go left in the row. All these steps remain between the two pixels' columns, so
# the border is never in the way. For $k = 3$ the blind region is bounded by a line at 45°: a **quarter** of the half-plane
# before a pixel.

# %% tags=["demo"]
plots.show(figures.blind_spot())

# %% [markdown]
# Below, the map of the PixelCNN that was trained on digits in section 1, by gradients. Two kinds of pixels are marked as
# earlier and never read: the top row is too far up for its five layers; the staircase would remain with five hundred.


# %% tags=["demo"] folded="The share of blind pairs by your function; the trained model's map beside your prediction."
def blind_map(*args):
    """Your map, as a tensor of booleans."""
    return torch.as_tensor(blind_spot(*args)).bool()


with waits_for("blind_spot"):
    for k in (3, 5, 7):
        blind = sum(int(blind_map(k, 16, 16, 16, r, c).sum()) for r in range(16) for c in range(16))
        print(f"{k} × {k}: {blind / (256 * 255 / 2):.1%} of pairs (pixel, earlier pixel) have no path, 16 × 16 pixels")
    place = (6, 2)
    predicted = blind_map(3, layers + 1, 8, 8, *place)
    plots.show(
        plots.receptive_field(pixelcnn, place, order=pixelcnn.order, title="PixelCNN, trained on digits"),
        alt="What the trained PixelCNN reads for a pixel in row 6, column 2: the pixels above and to the left. A staircase "
        "at the upper right, and rows too far up for its layers, are marked as earlier and never read.",
    )
    read = dependencies(pixelcnn, outputs=torch.tensor([8 * place[0] + place[1]])).view(8, 8)
    before = torch.arange(64).view(8, 8) < 8 * place[0] + place[1]
    print("your map and the gradients agree:", bool((predicted == (before & ~read)).all()))

# %% [markdown]
# ### What it costs, exactly: stripes
#
# Pixels far away matter little, one might say. So let us build data in which blind pixels are all that matters. A
# **stripe** goes one row up and two columns to the right, again and again, like a chess knight; all its pixels have the
# same colour, black or white by the throw of a fair coin. The pixel $(r, c)$ lies on stripe number $2r + c$, and so does
# $(r - 1, c + 2)$. On $12 \times 12$ pixels there are $2 \cdot 11 + 12 = 34$ stripes: the entropy of an image is exactly
# **34 bits**.
#
# To a network with 3 × 3 kernels all other earlier pixels of a stripe are blind: $(r - j, c + 2j)$ is $2j$ columns to the
# right and only $j$ rows up. All that it *can* read lies on other stripes, whose coins are independent. So, given what is
# read, every pixel is a fair coin, and for any weights and any number of layers
#
# $$\mathbb{E}\big[-\log_2 q(x)\big] \;\ge\; \sum_{r, c} H\big(x_{r,c} \mid \text{what is read}\big) \;=\; 12 \cdot 12 \cdot 1 \text{ bit} \;=\; 144 \text{ bits,}$$
#
# since in each conditional a cross-entropy is at least the entropy. What will a PixelCNN draw that was trained on stripes?


# %% tags=["train"] folded="Draws stripes; trains a PixelCNN and a gated PixelCNN, the library's model of section 4, on them."
def stripes(n, seed):
    """n images (n, 1, 12, 12) of fair stripes."""
    coins = torch.randint(2, (n, 34), generator=torch.Generator().manual_seed(seed))
    r, c = torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")
    return coins[:, 2 * r + c].unsqueeze(1)


def train_on(model, draw, steps, lr=1e-2):
    """Adam on batches that draw(generator) gives; the data never end, so nothing is memorised."""
    rng = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        (-model.log_prob(draw(rng)).mean()).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def a_batch_of_stripes(rng):
    return stripes(32, int(torch.randint(2**31, (), generator=rng)))


striped = stripes(1000, seed=1)
striped_models = {
    "PixelCNN": PixelCNN((1, 12, 12), 2, 8, 3, first_kernel=3, head=16),
    "two stacks": GatedPixelCNN((1, 12, 12), 2, 8, 3, kernel=3, head=16),
}
for model in striped_models.values():
    train_on(model, a_batch_of_stripes, budget(smoke=5, cpu=300, gpu=1000))


def show_stripes(*names):
    rows = [striped[:8]]
    rows += [striped_models[name].sample(8, generator=torch.Generator().manual_seed(0)) for name in names]
    fig, ax = plt.subplots(figsize=(8, 1.05 * len(rows)))
    plots.image_grid(torch.cat(rows), columns=8, row_names=["data", *names], ax=ax)
    return fig


def bits_per_image(name):
    return metrics.nll(striped_models[name], striped) / math.log(2)


# %% tags=["demo"]
plots.show(
    show_stripes("PixelCNN"),
    alt="Eight images of clear slanted stripes; below, eight samples of the PixelCNN trained on such images: noise.",
)
print(f"PixelCNN, 3 × 3: {bits_per_image('PixelCNN')} bits per image; the least possible is 144, the entropy 34")

# %% [markdown]
# Noise. To this network stripes *are* noise: it has found the best that it can do, one bit per pixel. Its mass is one,
# nothing leaks, the training converged. Had we not known the entropy, nothing would have told us that three quarters of
# the bits were wasted. (A larger *first* kernel, 7 × 7 as in the paper, makes these stripes visible; but the rule then only
# gains a constant, $c' - c > (r - r') + 2$, and stripes that go four columns to the right would be noise again.)
#
# ## 4 · Two stacks
#
# The trouble is the right half of the pixel's own row. The rows above may be read in full; but a window that is cut off in
# its own row is cut off wherever a path passes through it. The remedy is to keep two kinds of channels.

# %% tags=["demo"]
plots.show(figures.two_stacks())

# %% [markdown]
# * The **vertical stack** $v(r, c)$ may know *all rows up to $r$*, row $r$ included. Whole rows need no mask: its kernel has
#   $k_h$ rows, of which row $r$ is the last, and all of its $k_w = 2 m + 1$ columns.
# * The **horizontal stack** $h(r, c)$ may know what the output at $(r, c)$ may know. In its own row it reads itself and
#   what is to its left. What it needs from above it gets from the vertical stack, *one row further up*: $v(r - 1, c)$.
#
# One layer, before any activation function, with weights $W^v$, $W^h$ and the **link** $U$, a matrix from channels to
# channels:
#
# $$a(r, c) = \sum_{s=0}^{k_h - 1} \sum_{t=-m}^{m} W^v_{s,t}\, v(r - s, c + t), \qquad b(r, c) = \sum_{t=0}^{n_h-1} W^h_t\, h(r, c - t) \;+\; U\, a(r - 1, c),$$
#
# with $n_h$ the number of pixels that the horizontal kernel covers. Through activation functions, $a$ and $b$ become the
# next layer's $v$ and $h$. The first layer reads the image as both. There $h(r,c) = x_{r,c}$ is the pixel itself, which
# must not be seen; so the same $n_h$ weights are applied one column further left:
#
# $$b(r, c) = \sum_{t=1}^{n_h} W^h_{t-1}\, h(r, c - t) \;+\; U\, a(r - 1, c) \qquad \text{(first layer).}$$
#
# The output is made of the last $h$.
#
# **Nothing leaks.** By induction over layers: $v(r, c)$ depends on rows $\le r$ only, since it reads rows $\le r$ of what
# has this property. $h(r, c)$, from the first layer on, depends only on rows $\le r - 1$ and on pixels of row $r$ left of
# $c$: the link brings $a(r-1, \cdot)$, rows $\le r - 1$; its own sum brings what holds for columns $\le c$. $\square$
#
# **Nothing is lost.** Let $k_h \ge 2$, $k_w \ge 3$, $n_h \ge 2$. Take an earlier pixel $(r', c')$. If $r' = r$, the first
# layer reads up to $n_h$ columns to the left and each other layer up to $n_h - 1$ more, so there is a path if
# $n_h + (L - 1)(n_h - 1) \ge c - c'$. If $r' < r$, the last layer's link leads to $a(r - 1, c)$. From there each of the $L$
# layers can climb from 0 to $k_h - 1$ rows *and at the same time* go from $-m$ to $m$ columns. So there is a path if
# $L \ge (r - 1 - r') / (k_h - 1)$ and $L \ge |c' - c| / m$: a full rectangle, without a blind spot. $\square$
#
# **Why one row up, and one way?** $U\, a(r, c)$ would know the right half of row $r$: a leak. And if $a(r - 1, \cdot)$ also
# read $h(r, \cdot)$, then $a(r-1, c + 1)$ would know $h(r, c + 1)$ and so $x_{r,c}$; the next layer's $a(r - 1, c)$ reads
# it and passes it to $h(r, c)$: a leak, two layers long.
#
# ### Exercise 4 · `stacks`
#
# These sums, with zeros outside the image. In the tensors the *last* entry of a kernel is for the lowest row and the
# rightmost column that it covers: $s = 0$ and $t = 0$ are at the end. `torch.nn.functional.pad(x, (left, right, top,
# bottom))` pads each side; negative numbers cut off.


# %% exercise="stacks"
def stacks(v, h, weight_v, weight_h, link, first):
    """The convolutions of one layer of both stacks, before activation functions; zeros outside the image.

    All tensors are float32, or all are float64. Gradients reach all of them.

    Args:
        v: (n, in, H, W), vertical stack: row r knows rows up to r.
        h: (n, in, H, W), horizontal stack.
        weight_v: (out, in, kh, kw), kh at least 1, kw odd. weight_v[:, :, -1] is for row r, the one before for row
            r - 1, and so on; weight_v[:, :, :, kw // 2] for column c.
        weight_h: (out, in, n_h), n_h at least 1; its last entry is for the nearest column. It reads columns c-n_h+1..c
            of row r.
        link: (out, out), from the maps of v_out (second axis) to those of h_out (first axis).
        first: bool. The first layer must not see the pixel itself: there weight_h reads columns c-n_h..c-1. v_out does
            not depend on it.

    Returns:
        v_out: (n, out, H, W). At (r, c): rows r-kh+1..r and columns c-kw//2..c+kw//2 of v.
        h_out: (n, out, H, W). At (r, c): weight_h on row r of h, plus link times v_out at (r - 1, c), which is nothing
            for r = 0.
    """
    ### BEGIN SOLUTION
    conv2d, pad = torch.nn.functional.conv2d, torch.nn.functional.pad
    (kh, kw), m = weight_v.shape[2:], weight_h.shape[2]
    v_out = conv2d(pad(v, (kw // 2, kw // 2, kh - 1, 0)), weight_v)
    row_above = pad(v_out, (0, 0, 1, -1))
    own_row = conv2d(pad(h, (m, -1) if first else (m - 1, 0)), weight_h[:, :, None])
    return v_out, own_row + torch.einsum("oi,nihw->nohw", link, row_above)
    ### END SOLUTION


# %% check="stacks"

# %% [markdown]
# The same pixel as before, with two stacks of your own.


# %% tags=["demo", "picture"] folded="A network of your stacks, with random weights; what one output reads with 1, 2, 4 and 10 layers."
class YourStacks(torch.nn.Module):
    """Your two stacks with tanh between layers and random weights; one colour, two levels."""

    levels = 2

    def __init__(self, height, width, depth, maps=4):
        super().__init__()
        self.event_shape = (1, height, width)
        self.weights = torch.nn.ParameterList()
        for n in range(depth):
            into = maps if n else 1
            shapes = (maps, into, 2, 3), (maps, into, 2), (maps, maps)
            self.weights.extend(torch.randn(shape) / 2 for shape in shapes)

    def forward(self, x):
        v = h = x.to(self.weights[0].dtype)
        for n in range(0, len(self.weights), 3):
            v, h = stacks(v, h, *self.weights[n : n + 3], n == 0)
            v, h = v.tanh(), h.tanh()
        return h.sum(1, keepdim=True)


with waits_for("stacks"):
    torch.manual_seed(0)
    by_depth = {f"{depth} layer{'s' * (depth > 1)}": YourStacks(11, 11, depth) for depth in (1, 2, 4, 10)}
    plots.show(
        plots.receptive_fields(by_depth, (8, 4), order=range(121)),
        alt="What one output reads with 1, 2, 4 and 10 layers of two stacks: a rectangle above, growing in all directions, "
        "and the row to the left. With ten layers every earlier pixel is read.",
    )

# %% [markdown]
# With ten layers nothing that comes before is missing. In a live notebook you can choose an architecture, its size and a
# pixel below; three of the architectures are wrong on purpose. What is the smallest number of layers with which a gated
# PixelCNN with 3 × 3 kernels reads everything that comes before the lower right corner? (Your own networks fit into
# `explore.dependency_debugger(YourStacks(5, 5, 3))`.)

# %% tags=["demo"]
explore.dependency_explorer()

# %% [markdown]
# And stripes, learnt by a model with two stacks:

# %% tags=["demo"]
plots.show(
    show_stripes("PixelCNN", "two stacks"),
    alt="Stripes; noise from the PixelCNN; and from the model with two stacks clear stripes like those of the data.",
)
for name in striped_models:
    print(f"stripes, {name}: {bits_per_image(name)} bits per image (entropy 34)")

# %% [markdown]
# ## 5 · Your own PixelCNN
#
# Now build the whole model, for binary images. Two pieces are given, so that you need no earlier answer: a convolution with
# a window of any reach, and a shift.


# %% setup=true
class Window(torch.nn.Conv2d):
    """A convolution: its output at (r, c) reads rows r - above .. r and columns c - left .. c + right; zeros outside."""

    def __init__(self, inputs, outputs, above=0, left=0, right=0):
        super().__init__(inputs, outputs, (above + 1, left + 1 + right))
        self.sides = left, right, above, 0

    def forward(self, x):
        return super().forward(torch.nn.functional.pad(x, self.sides))


def moved(x, down=0, right=0):
    """All channels of images moved by whole pixels, with zeros where nothing comes from."""
    return torch.nn.functional.pad(x, (right, -right, down, -down))


# %% [markdown]
# ### Exercise 5 · `OwnPixelCNN`
#
# Assemble two stacks with tanh between the layers, the log-likelihood, and the sampler. The check gives your model random
# weights and judges its properties on all small images: no leak, the logits of the two stacks, mass one, a sampler that follows `log_prob`.


# %% exercise="OwnPixelCNN"
class OwnPixelCNN(torch.nn.Module):
    """A PixelCNN of binary images (n, 1, H, W) of any size, made of two stacks.

    Args of `__init__`:
        channels: number of channels of each stack, at least 1.
        layers: number of layers, at least 1.

    Layers, each a `Window` (or a `torch.nn.Conv2d` of the same shape); the first three are a `torch.nn.ModuleList`
    with one for each layer, of which the first reads the image's one channel in place of `channels`:
        vertical: to `channels` channels; reads rows r-1..r and columns c-1..c+1.
        horizontal: to `channels` channels; reads columns c-1..c of row r; in the first layer columns c-2..c-1.
        link: from `channels` to `channels`; reads (r, c) alone.
        output: from `channels` to 1; reads (r, c) alone.

    logits(x): x (n, 1, H, W), zeros and ones -> (n, 1, H, W): the logit of p(x_rc = 1 | all before), from the last h.
        Per layer a = vertical(v), b = horizontal(h) + link(a, of one row further up), then v = tanh(a), h = tanh(b).
    log_prob(x): -> (n,), log-likelihood of each image in nats.
    sample(u): u (n, 1, H, W) float64, uniform in [0, 1) -> (n, 1, H, W) int64: pixel by pixel in raster order,
        x_rc = 1 where u_rc < p(x_rc = 1 | all before).
    """

    def __init__(self, channels, layers):
        super().__init__()
        ### BEGIN SOLUTION
        inputs = [1] + [channels] * (layers - 1)
        self.vertical = torch.nn.ModuleList(Window(n, channels, above=1, left=1, right=1) for n in inputs)
        self.horizontal = torch.nn.ModuleList(Window(n, channels, left=1) for n in inputs)
        self.link = torch.nn.ModuleList(Window(channels, channels) for _ in inputs)
        self.output = Window(channels, 1)
        ### END SOLUTION

    def logits(self, x):
        ### BEGIN SOLUTION
        v = x.to(self.output.weight.dtype)
        h = moved(v, right=1)
        for vertical, horizontal, link in zip(self.vertical, self.horizontal, self.link, strict=True):
            a = vertical(v)
            b = horizontal(h) + link(moved(a, down=1))
            v, h = a.tanh(), b.tanh()
        return self.output(h)
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


# %% check="OwnPixelCNN"

# %% [markdown]
# ### Train it
#
# Write the loop: for each step, a batch of images, the mean NLL, its gradient, and a step of Adam. A learning rate of 0.01
# that falls to zero (`torch.optim.lr_scheduler.CosineAnnealingLR`) and 100 images per batch are a good start.


# %% loop="train_own"
def train_own(model, images, steps):
    """Train a model with `log_prob` on images (N, 1, 4, 4) of zeros and ones, for so many steps; returns nothing."""
    ### BEGIN SOLUTION
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        adam.zero_grad()
        (-model.log_prob(images[torch.randint(len(images), (100,))]).mean()).backward()
        adam.step()
        cosine.step()
    ### END SOLUTION


# %% [markdown]
# How good should it be? Of the small world we know every probability, so we can compute the least that *any* network with
# the blind spot of 3 × 3 masks must lose there. If pixel $i$ reads the set $R_i$ of earlier pixels, the best it can do is
# $p(x_i \mid x_{R_i})$, so its KL divergence from the world is at least
#
# $$\sum_i \Big[ H(x_i \mid x_{R_i}) - H(x_i \mid x_{<i}) \Big] = \sum_i H(x_i \mid x_{R_i}) - H(x), \qquad H(x_i \mid x_R) = H(x_i, x_R) - H(x_R).$$

# %% tags=["demo"] folded="Computes this floor from the table of 65,536 probabilities and your `blind_spot`."
table = p_world.view((2,) * 16)


def entropy_of(pixels):
    """Entropy in nats of a set of pixels of the small world."""
    rest = [d for d in range(16) if d not in pixels]
    p = table.sum(rest).flatten() if rest else p_world
    return float(-(p * p.log()).sum())


def gap(model):
    """KL(small world || model) in nats, and the model's total mass, over all 65,536 images."""
    log_q = metrics.log_probs(model, world.states.view(-1, 1, 4, 4))
    return float(p_world @ (world.log_p - log_q)), float(log_q.exp().sum())


with waits_for("blind_spot"):
    floor = -world.entropy
    for i in range(16):
        blind = blind_map(3, 4, 4, 4, i // 4, i % 4).flatten()
        seen = [j for j in range(i) if not blind[j]]
        floor += entropy_of([*seen, i]) - entropy_of(seen)
    print(f"small world: a network with the blind spot loses at least {floor:.3f} nats (KL)")

# %% tags=["train"]
many = world.sample(50_000, generator=torch.Generator().manual_seed(0)).view(-1, 1, 4, 4)
with waits_for("OwnPixelCNN", "train_own"):
    torch.manual_seed(0)
    own = OwnPixelCNN(channels=24, layers=3)
    train_own(own, many, steps=budget(smoke=5, cpu=500, gpu=3000))
    kl, mass = gap(own)
    print(f"your PixelCNN: KL {kl:.3f} nats, total mass {mass:.6f}. The course's solution reaches about 0.15;")
    print("0.299 is the least with a blind spot, so a result below it proves that yours has none.")
    u = torch.rand(16, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    drawn = torch.as_tensor(own.sample(u))
    images = torch.cat([many[:16], drawn])
    plots.show(
        plots.image_grid(images, columns=16, row_names=["world", "yours"]),
        alt="Two rows of 16 images of 4 by 4 pixels: images of the small world, and samples of the trained model, which "
        "are mostly whole glyphs.",
    )

# %% [markdown]
# ### Paper and pencil
#
# Stripes of another kind go one row up and *three* columns to the right. Masks are 5 × 5 in all layers ($m = 2$). (a) Can a
# pixel's output read other earlier pixels of its own stripe? (b) What is the least number of bits per image, on
# $12 \times 12$ pixels, that such a network can reach? (c) Which is the smallest odd kernel for which they are visible?
#
# <details>
# <summary><b>Solution</b></summary>
#
# (a) No: $(r - j, c + 3j)$ is blind if $3j > 2j$, which holds for all $j \ge 1$. (b) All that is read belongs to other
# stripes, so every pixel is a fair coin: 144 bits. (c) $3j > m j$ must fail, so $m \ge 3$: 7 × 7. Then one layer reads the
# stripe's next pixel, and the floor falls to the entropy, $3 \cdot 11 + 12 = 45$ bits.
# </details>
#
# ## 6 · The answer, and what it cannot do
#
# **How can a small window give every pixel's conditional?** A convolution whose kernel is masked reads earlier pixels only;
# mask A in the first layer and B in all others leave no path from a pixel to itself, and depth makes the window grow. One
# pass gives all conditionals, with weights that do not depend on the size of the image. **What does it miss?** A mask that
# is cut off in its own row never reaches a triangle above and to the right, whatever the depth; two stacks reach it.
#
# What that was worth, with everything else alike and equal numbers of weights: on the small world one stack ends at a KL of
# 0.37 ± 0.01 nats, near its floor, and two stacks at 0.08 ± 0.01 (ReLU, five seeds). On the digits the same step is worth
# 0.015 bits/dim or less (three seeds): there little depends on the blind pixels. (The table is in the section on gates.)
#
# What remains:
#
# * **Reach costs depth.** Each layer adds $m$ pixels. What belongs together across the image has to pass through all layers
#   in between.
# * **Sampling is sequential**: $D$ steps that wait for one another. A cache saves the waste, not the loop.
# * **The likelihood judges everything at once**, and nearly everything in an image is texture.
#
# For the first there is a radical answer: a network whose first layer already has a wide receptive field, because it
# carries a state through the image. That is PixelRNN, lesson 05. Another one is attention, below.

# %% [markdown]
# ## Going further
#
# Each section is independent of the others, except that the labelled model of the second is used again in later ones.
#
# ### Gates, and what they are worth
#
# Van den Oord et al. (2016b) noticed that the recurrent networks of lesson 05, which beat the PixelCNN of the time, contain
# *multiplications*: one number decides how much of another is let through. A **gate** brings that to a convolution. The
# layer makes $2 p$ channels instead of $p$; the first half are values, the second half say how far each value may pass:
#
# $$y = \tanh(a_{\text{value}}) \odot \sigma(a_{\text{gate}}), \qquad a = (a_{\text{value}}, a_{\text{gate}}) .$$
#
# A product of two functions of the past ("this is ink *if* that is") takes a sum followed by a ReLU many units. Their
# **gated PixelCNN** has these gates in both stacks, and skip connections along the horizontal one.

# %% tags=["demo"]
plots.show(figures.gated_layer())

# %% [markdown]
# For comparison, the block of the earlier PixelCNN, one stack with ReLU:

# %% tags=["demo"]
plots.show(figures.residual_block())

# %% [markdown]
# **Labels.** To model $p(x \mid y)$ with a class $y \in \{0, \dots, 9\}$, add to each of the $2p$ channels a number that
# depends on $y$ alone, *before* the activation functions: $a + V_y$, the same at each pixel, since it says what is in the
# image and not where. ($V_y$ is a vector of $2p$ weights, one vector per class.) Each conditional becomes
# $q(x_i \mid x_{<i}, y)$, and their product sums to 1 over $x$ for every $y$.
#
# #### Exercise · `gate`


# %% exercise="gate"
def gate(a, of_label):
    """Gated activation of 2 C maps.

    Both tensors are float32, or both float64. Gradients reach both, and are right for all finite numbers.

    Args:
        a: (n, 2C, H, W), any finite numbers. The first C maps are values, the last C decide how much of them passes. It
            is left as it is.
        of_label: (n, 2C), added to each pixel's maps before anything else; or None: nothing is added.

    Returns:
        (n, C, H, W): tanh of the first half times the logistic function of the second.
    """
    ### BEGIN SOLUTION
    if of_label is not None:
        a = a + of_label[:, :, None, None]
    value, opening = a.chunk(2, dim=1)
    return value.tanh() * opening.sigmoid()
    ### END SOLUTION


# %% check="gate"

# %% [markdown]
# The paper reports gates and two stacks together. To see what each is worth, we take only one of them away and keep the
# number of weights: 13,000 on the small world, 22,000 on the digits with 16 levels. `python -m course_lib.experiments.gates` trains
# each of these networks from 5 and 3 seeds, which takes 10 minutes of processor time; the points below are its results. What do
# you expect: by how many nats does a gate lower the KL divergence, compared with ReLU, if both networks have two stacks?

# %% tags=["demo"]
guess("nats that gates gain over ReLU, with two stacks", ...)

# %% tags=["demo"]
plots.show(figures.worth_of_gates(gates.MEASURED))
mean = {network: np.mean(values) for network, values in gates.MEASURED["world"].items()}
outcome("nats that gates gain over ReLU, with two stacks", mean[2, "ReLU"] - mean[2, "gate"])

# %% tags=["train"]
for activation in ("gate", "ReLU"):  # a small part again
    network = gates.build("world", stacks=2, activation=activation)
    kl = gates.train_on_the_world(network, steps=budget(smoke=5, cpu=200, gpu=500))
    print(f"two stacks, {activation}: {gates.weights(network):,} weights, KL {kl:.3f} nats after 200 steps")

# %% [markdown]
# On the small world the second stack is worth 0.27 nats with gates and 0.30 with ReLU, many times the spread between
# seeds. Gates gain nothing: 0.103 ± 0.015 nats (mean and standard deviation over seeds) against 0.081 ± 0.007 with ReLU
# and 0.081 ± 0.005 with tanh. On the digits all differences are small: with two stacks ReLU 1.738 ± 0.004, gates
# 1.760 ± 0.010 and tanh 1.781 ± 0.013 bits/dim; with one stack ReLU 1.753 ± 0.004 and gates 1.767 ± 0.005. *On these data
# all of the gated PixelCNN's gain is the two stacks.* The networks and data are tiny, and the learning rate was the same
# for all; the paper's networks have ten and more layers, where gates may help. But a table in which two things change at
# once says nothing about either.
#
# ### Labels: one network, three models
#
# Now digits, given their label: a gated PixelCNN with ten classes, from `course_lib`. It gives $p(x \mid y)$ for any image
# and any label, exactly. With the classes' frequencies $p(y) = 1/10$ that is a *joint* distribution, and two other models
# come for free:
#
# $$p(x) = \sum_y p(y)\, p(x \mid y) = \frac{1}{10} \sum_y p(x \mid y), \qquad\qquad p(y \mid x) = \frac{p(x \mid y)}{\sum_{y'} p(x \mid y')} .$$
#
# The first is a density of digits without labels; the second is Bayes' classifier of lesson 01. From the second formula,
# $\log p(x \mid y) - \log p(x) = \log p(y \mid x) + \log 10 \le \log 10$: a label saves at most $\log 10$ = 2.30 nats per image,
# here $\log_2(10)/64$ = 0.052 bits/dim.

# %% tags=["train"]
torch.manual_seed(0)
gated = GatedPixelCNN((1, 8, 8), 16, channels, layers, kernel=3, head=48, position_bias=True, classes=10)
print(fit(gated, digits, epochs=budget(smoke=1, cpu=25, gpu=60), batch_size=64, lr=4e-3, optimizer=decay, labels=True))

# %% tags=["demo"] folded="Scores each test digit under all ten labels; classifies it after 0 to 8 of its rows."
with torch.no_grad():
    # log p(x_i | x_before, y) of each pixel of each test image under each label: (300, 10, 64)
    pixels = torch.stack(
        [
            distributions.categorical_log_prob(gated(test.x, labels=torch.full((300,), y)), test.x).flatten(1)
            for y in range(10)
        ],
        1,
    ).double()
given_label = pixels.sum(2)
log_p_x = given_label.logsumexp(1) - math.log(10)
own_label = given_label[torch.arange(300), test.y]
saved = metrics.Estimate.of(own_label - log_p_x)
print(f"gated PixelCNN, given the label : {metrics.Estimate.of(-own_label) / bits} bits/dim")
print(f"gated PixelCNN, p(x)            : {metrics.Estimate.of(-log_p_x) / bits} bits/dim")
print(f"the label saves {saved} nats per image, of at most 2.30")
by_rows = pixels.cumsum(2)[:, :, 7::8]  # log p(first rows | y), after 1, 2, ..., 8 rows
correct = (by_rows.argmax(1) == test.y[:, None]).double().mean(0)
plots.show(figures.read_from_rows([0.1, *correct.tolist()]))

# %% [markdown]
# The figure costs nothing extra. Since the chain rule goes row by row, $p(\text{first } j \text{ rows} \mid y)$ is the
# product of the first $8 j$ conditionals, exactly, and Bayes' rule needs no more. A discriminative classifier would have to be
# trained anew for each $j$.
#
# ### Ordered levels
#
# So far each pixel's levels were $K$ separate things: $K$ logits, a softmax. At $K = 256$ that is 256 numbers per pixel and
# colour, and the model has to learn from data that level 127 lies between 126 and 128. What should a likelihood over
# ordered levels know? Neighbouring levels are alike. There may be several lumps of probability: the pixel continues like
# its left neighbour, or an edge begins. And the end levels collect: a camera that saturates writes 255 for all that is
# brighter.
#
# Salimans et al. (2017) put a real number behind the level, drawn from a **logistic distribution** with mean $\mu$ and
# scale $s$, whose distribution function is $P(\text{number} \le z) = F((z - \mu)/s)$ with $F = \sigma$, the logistic
# function. It is *rounded to the nearest level, and from beyond the ends to the ends*:
#
# $$P(x) = \underbrace{F\!\left(\frac{x + \frac12 - \mu}{s}\right)}_{1 \text{ at } x = K - 1} - \underbrace{F\!\left(\frac{x - \frac12 - \mu}{s}\right)}_{0 \text{ at } x = 0} .$$
#
# Over all levels the sum telescopes to $1 - 0$, *for any $\mu$ and $s$*. A mixture of $M$ of them, with weights
# $w = \operatorname{softmax}(\dots)$, has $3M$ parameters: 30 for ten components, whether there are 256 levels or 65,536.
#
# **Numerics.** Far from the mean both terms round to 1 (or both to 0), their difference is 0, its logarithm $-\infty$, and
# its gradient NaN. Write $b > a$ for the two arguments. With $F(z) = 1/(1 + e^{-z})$,
#
# $$F(b) - F(a) = \frac{e^{-a} - e^{-b}}{(1 + e^{-b})(1 + e^{-a})} .$$
#
# Take a factor out of the numerator such that only $b - a$ is left in it, which does not depend on $x$, and let the two
# brackets belong to one logistic function each. The result is a product of three factors without a difference of nearly
# equal numbers, and the logarithm of each can be computed anywhere: that of $F$ is `torch.nn.functional.logsigmoid`, and for
# $1 - e^{-y}$ with small $y$ there is `torch.expm1`, which is $e^y - 1$ without loss. What remains of the three at the
# ends?
#
# #### Exercise · `discretized_logistic`


# %% exercise="discretized_logistic"
def discretized_logistic(x, mean, log_scale, levels):
    """log-probability of a level under a rounded logistic variable, in nats.

    Args:
        x: int64, any shape; levels 0..levels-1.
        mean: float64, shape of x, in units of levels; it may lie outside of 0..levels-1.
        log_scale: float64, shape of x: logarithm of the scale s, which is in units of levels.
        levels: K >= 2.

    Returns:
        Real tensor, shape of x: log of F((x + 1/2 - mean)/s) - F((x - 1/2 - mean)/s), F the logistic function, where
        level 0 also gets all that lies below and level K-1 all that lies above. Exact, with exact and finite gradients
        for mean and log_scale, for s from 1e-8 to 1e8 and |x - mean| up to 1e8.
    """
    ### BEGIN SOLUTION
    logsigmoid = torch.nn.functional.logsigmoid
    inverse_scale = torch.exp(-log_scale)
    below = torch.where(x < levels - 1, logsigmoid((x + 0.5 - mean) * inverse_scale), 0.0)
    above = torch.where(x > 0, logsigmoid((mean - x + 0.5) * inverse_scale), 0.0)
    inside = torch.where((x > 0) & (x < levels - 1), torch.log(-torch.expm1(-inverse_scale)), 0.0)
    return below + above + inside
    ### END SOLUTION


# %% check="discretized_logistic"

# %% [markdown]
# The three factors are $F(b)\, F(-a)\, (1 - e^{a-b})$.
#
# #### Exercise · `sample_mixture`
#
# To sample, choose a component by its weight, draw the logistic variable by inverting its distribution function
# ($F((z - \mu)/s) = u$ gives $z = \mu + s \log\frac{u}{1 - u}$), and round as the likelihood says.


# %% exercise="sample_mixture"
def sample_mixture(logits, means, log_scales, levels, u):
    """Levels drawn from mixtures of M discretized logistics, from supplied uniform numbers.

    Args:
        logits: (n, M) float64, of any size; the weights of the components are w = softmax(logits) of each row.
        means, log_scales: (n, M) float64, in units of levels, as in `discretized_logistic`: means up to 1e8 away from
            the levels, s from 1e-8 to 1e8.
        levels: K >= 2.
        u: (n, 2) float64, uniform in (0, 1); they may be as small as 1e-30 and as large as 1 - 2**-24.

    Returns:
        (n,) int64, levels 0..K-1. u[:, 0] chooses the component: the number of m in 0..M-2 with
        w_0 + ... + w_m <= u[:, 0]. u[:, 1] gives the value: the component's mean + s log(u / (1 - u)), rounded to the
        nearest level, and to the first or last level from beyond.
    """
    ### BEGIN SOLUTION
    weights = logits.softmax(1).cumsum(1)[:, :-1]
    component = (weights <= u[:, :1]).sum(1, keepdim=True)
    mean, scale = means.gather(1, component)[:, 0], log_scales.gather(1, component)[:, 0].exp()
    value = mean + scale * torch.logit(u[:, 1])
    return value.round().clamp(0, levels - 1).long()
    ### END SOLUTION


# %% check="sample_mixture"

# %% [markdown]
# **Two likelihoods, learnt from few data.** Real levels, 256 of them: the blue channel of a photograph that comes with
# scikit-learn (273,280 pixels). Its histogram is the truth. From $n$ pixels drawn at random we learn it twice. The *softmax*
# has a probability for each level; its best estimate is the counts, with something added to each, which we choose with
# hindsight. The *mixture* has ten logistics, fitted by gradient with your `discretized_logistic`. Which one is better with
# few data, and which one with many?


# %% tags=["train"] folded="Fits mixtures of logistics to levels by gradient."
photo = torch.from_numpy(load_sample_image("china.jpg").copy()).long()
blue = photo[:, :, 2].flatten()
truth = torch.bincount(blue, minlength=256).double() / len(blue)
levels256 = torch.arange(256)
fit_steps = budget(smoke=5, cpu=250, gpu=1000)


def mixture_log_prob(x, logits, means, log_scales):
    """log-probability of levels x (n,) under one mixture, with your function."""
    each = discretized_logistic(
        x[:, None].expand(-1, len(means)), means.expand(len(x), -1), log_scales.expand(len(x), -1), 256
    )
    return torch.logsumexp(logits.log_softmax(0) + each, 1)


def fit_mixture(draws, components=10):
    """The mixture of logistics most likely to give these levels: logits, means, log_scales."""
    means = torch.quantile(draws.double(), (torch.arange(components) + 0.5).double() / components)
    parameters = [torch.zeros_like(means), means, torch.full_like(means, math.log(256 / 4 / components))]
    rates = [0.05, 1.0, 0.05]
    optimizer = torch.optim.Adam(
        [dict(params=[p.requires_grad_()], lr=lr) for p, lr in zip(parameters, rates, strict=True)]
    )
    values, counts = draws.unique(return_counts=True)
    for _ in range(fit_steps):
        optimizer.zero_grad()
        (-(counts * mixture_log_prob(values, *parameters)).sum() / len(draws)).backward()
        optimizer.step()
    return [p.detach() for p in parameters]


def divergence(log_q):
    return float((truth * (truth.log() - log_q)).sum())


# %% tags=["demo"] folded="Learns the histogram from 100 to 100,000 pixels in both ways."
kls = {"softmax": {}, "10 logistics": {}}
with waits_for("discretized_logistic", "sample_mixture"):
    for n in (100, 300, 1000, 3000, 10_000, 100_000):
        draws = blue[torch.randint(len(blue), (n,), generator=torch.Generator().manual_seed(n))]
        counts = torch.bincount(draws, minlength=256).double()
        smoothed = [((counts + extra) / (n + 256 * extra)).log() for extra in (0.03, 0.1, 0.3, 1, 3)]
        mixture = fit_mixture(draws)
        log_q = {"softmax": min(smoothed, key=divergence), "10 logistics": mixture_log_prob(levels256, *mixture)}
        for name in kls:
            kls[name][n] = divergence(log_q[name])
        if n == 300:
            from300, mixture300 = {name: each.exp() for name, each in log_q.items()}, mixture
    plots.show(figures.softmax_and_logistics(truth, from300, kls))
    for name, by_pixels in kls.items():
        print(f"{name:12}", "  ".join(f"n = {n}: {kl:.4f}" for n, kl in by_pixels.items()), "nats")
    u = torch.rand(100_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).clamp_min(1e-12)
    drawn = torch.as_tensor(sample_mixture(*(p.expand(len(u), -1) for p in mixture300), 256, u))
    print(f"level 255: your likelihood says {from300['10 logistics'][255]:.4f}, your sampler draws it with", end=" ")
    print(f"frequency {(drawn == 255).double().mean():.4f}; truth {truth[255]:.4f}")

# %% [markdown]
# With few data, 30 numbers that know about order beat 256 that do not; with very many the softmax wins, since the histogram
# has corners that ten lumps cannot make. A network is always in the first situation, *for each context that it meets*. The
# tall bar at 255 costs the mixture nothing: a component may have its mean beyond the end.
#
# ### Colours and PixelCNN++
#
# The three colours of a pixel depend on each other strongly. With channels that belong to colours (section 2) the network
# learns how. Salimans et al. let the *likelihood* do it, and the network needs no colour groups: one mixture for the whole
# pixel, $M$ components, each with
#
# $$\mu'_R = \mu_R, \qquad \mu'_G = \mu_G + \alpha\, x_R, \qquad \mu'_B = \mu_B + \beta\, x_R + \gamma\, x_G ,$$
#
# so that within a component each colour's mean is linear in the colours before. The network gives
# $\mu, s, \alpha, \beta, \gamma$ and the weights from *earlier pixels* alone: $1 + 3 \cdot 3 = 10$ numbers per component, 100
# for ten of them, where three softmaxes have 768. The component is *shared*,
#
# $$p(x_R, x_G, x_B) = \sum_m w_m\, P(x_R \mid \mu'_{R,m}, \dots)\, P(x_G \mid \mu'_{G,m}, \dots)\, P(x_B \mid \mu'_{B,m}, \dots),$$
#
# one sum over products. Three sums, multiplied, are another model: it may take its red from the sky and its blue from the
# roof. We fit five components to 1,000 pixels of the photograph, without context, in three ways, and test on 20,000 others.


# %% tags=["train"] folded="Fits a mixture to colours, with separate or shared components, without or with the chain."
def fit_colours(pixels, shared, chain, components=5):
    """A mixture for RGB pixels (n, 3) by gradient; returns a function that gives log-probabilities (n, 3)."""
    places = (torch.arange(components) + 0.5).double() / components
    means = torch.quantile(pixels.double(), places, dim=0).requires_grad_()
    others = torch.zeros(2, components, 3, dtype=torch.float64)  # logits of the weights, log of the scales
    others[1] = math.log(20)
    others, coefficients = others.requires_grad_(), torch.zeros(3, components, dtype=torch.float64, requires_grad=chain)

    def log_prob(x):
        parameters = torch.stack([others[0], means, others[1]]).expand(len(x), -1, -1, -1)
        if shared:
            parameters = distributions.sub_pixel_chain(parameters, coefficients.expand(len(x), -1, -1), x, 256)
        return distributions.discretized_logistic_mixture_log_prob(parameters, x, 256)

    optimizer = torch.optim.Adam(
        [dict(params=[means], lr=1.0), dict(params=[others], lr=0.05), dict(params=[coefficients], lr=0.02)]
    )
    for _ in range(fit_steps):
        optimizer.zero_grad()
        (-log_prob(pixels).sum(1).mean()).backward()
        optimizer.step()
    return log_prob


rng = torch.Generator().manual_seed(0)
some, others = (photo.view(-1, 3)[torch.randint(len(blue), (n,), generator=rng)] for n in (1000, 20_000))
for name, shared, chain in [
    ("each colour its own component", False, False),
    ("one component for all three", True, False),
    ("one component, and the chain", True, True),
]:
    log_prob = fit_colours(some, shared, chain)
    with torch.no_grad():
        cost = -log_prob(others).sum(1)
    print(f"{name:32} {metrics.Estimate.of(cost) / (3 * math.log(2))} bits per colour (uniform: 8)")

# %% [markdown]
# Sharing the component is worth about one bit per colour, the chain half a bit more. This likelihood is the first half of
# PixelCNN++; the other half is its network (sections 2.3 to 2.5 of the paper).
#
# * **Shifts instead of masks.** There are two streams, like our two stacks, but nothing is cut out of a kernel: the *image*
#   is moved, one row down for one stream, one column to the right for the other, and from then on kernels reach only up
#   and to the left.
# * **Halved grids.** After some blocks the channels continue at half the height and width, then at half of that, and all the
#   way back. On a halved grid a kernel reaches twice as far, and a block costs a quarter.
# * **Skip connections.** What a block made on the way down is added where the way back passes the same grid. Without them,
#   the paper says, the network "fails to train" (section 3.4.2).
# * **Dropout**, since such networks memorise their training images.

# %% tags=["demo"]
plots.show(figures.grids_and_skips())

# %% [markdown]
# A pixel of a halved grid feeds into four pixels of the full one, and must depend on nothing that the *first* of the four
# may not read. Below, one output of three networks on 20 × 20 pixels, with what a pass costs. Which of the last two,
# whose costs are about the same, reaches further?

# %% tags=["demo"] folded="What one output of three PixelCNN++ reads, and the multiplications of a pass."
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.8))
x = torch.zeros(1, 1, 20, 20, dtype=torch.long)
for ax, (blocks, halvings) in zip(axes, [(1, 0), (2, 0), (1, 2)], strict=True):
    network = PixelCNNPlusPlus((1, 20, 20), 2, 8, blocks, halvings=halvings, mixtures=1)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x)
    title = f"{blocks} block{'s' * (blocks > 1)}, {['not halved', '', 'halved twice'][halvings]}\n"
    title += f"{counter.get_total_flops() / 2e6:.1f} million multiplications"
    plots.receptive_field(explore.open_paths(network), (16, 9), order=network.order, ax=ax, title=title)
    ax.title.set_fontsize(10)
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
plots.show(
    fig,
    alt="What one output of three PixelCNN++ reads. One block without halving: a small rectangle above and to the left. "
    "Two blocks without halving: a larger one. One block on each of three grids: all earlier pixels.",
)

# %% [markdown]
# Far pixels at the price of near ones. On 8 × 8 digits there is nothing far away to reach, and one grid does just as well.
#
# ### Sampling with caches
#
# The likelihood is one pass. A sample is $D$ steps, each of which needs the conditional of one pixel; the plain sampler runs
# the *whole network over the whole image* for each. Count in units of "one layer at one pixel":
#
# $$\text{plain:}\quad (HW)^2 L, \qquad\qquad \text{needed:}\quad HW\, L,$$
#
# since a channel at a pixel never changes once the pixels that it reads are drawn. For 32 × 32 that is a factor of 1,024.
# Kingma et al. (2016, section 6.2) timed it: 52 seconds per image for a PixelCNN on CIFAR-10, 0.05 for their own model.
#
# *A slip to find.* A well-known lecture says that a recurrent model of images needs $2N - 1$ sequential steps for an
# $N \times N$ image, since all pixels of a diagonal can be computed together, and says so of *sampling*. Which of training and
# sampling does it hold for?
#
# <details>
# <summary><b>Solution</b></summary>
#
# For the likelihood, so for training: there all pixels are known, and the states along a diagonal depend only on the previous
# diagonal. A sample needs $N^2$ steps: in raster order each pixel has to be drawn before the next one's conditional exists,
# also within a diagonal. For a PixelCNN training takes one pass, and sampling $N^2$ steps as well.
# </details>
#
# *When* can a channel be computed? $v(r, \cdot)$ as soon as row $r$ is complete: a whole row at once. $h(r, c)$ when all to
# the left is drawn: one pixel at a time. So the vertical stack goes down the image row by row, and of each layer we only keep
# the last $k_h - 1$ rows of its input. That is the **cache**.
#
# #### Exercise · `vertical_step`
#
# One row of one vertical layer, from the row that is new and the rows that were kept.


# %% exercise="vertical_step"
def vertical_step(cache, row, weight):
    """The next row of a vertical convolution.

    Args:
        cache: (n, in, kh - 1, W), the input's rows r-kh+1..r-1, the nearest last; zeros stand for rows above the image.
            With kh = 1 it has no rows. It is left as it is.
        row: (n, in, W), the input's row r. It is left as it is.
        weight: (out, in, kh, kw), kh at least 1, kw odd; weight[:, :, -1] is for row r, weight[:, :, :, kw // 2] for column c.

    Returns:
        out: (n, out, W), row r of the convolution: at c it reads rows r-kh+1..r and columns c-kw//2..c+kw//2, zeros
            outside.
        new_cache: (n, in, kh - 1, W), what the next row needs.
    """
    ### BEGIN SOLUTION
    rows = torch.cat([cache, row[:, :, None]], dim=2)
    side = weight.shape[3] // 2
    out = torch.nn.functional.conv2d(torch.nn.functional.pad(rows, (side, side)), weight)
    return out[:, :, 0], rows[:, :, 1:]
    ### END SOLUTION


# %% check="vertical_step"

# %% [markdown]
# A whole sampler for a gated PixelCNN, around your step: for each row, all vertical layers by your function; then along the
# row the horizontal layers, one pixel at a time. It is compared with the plain sampler and with `course_lib`'s own, from the
# same uniform numbers.

# %% tags=["demo"]
guess("how many times as fast as the plain sampler, for 16 × 16 pixels", ...)


# %% tags=["demo"] folded="A sampler around your `vertical_step`; compares and times three samplers."
@torch.no_grad()
def sample_by_rows(model, u, step, labels=None):
    """Samples of a GatedPixelCNN of one colour: its vertical stack row by row with `step`, the horizontal pixel by pixel."""
    n, (_, height, width) = len(u), model.event_shape
    x = torch.zeros(n, 1, height, width, dtype=torch.int64)
    new, dtype = model.head.weight.new_zeros, model.head.weight.dtype
    beside = [layer.horizontal.masked_weight()[:, :, 0].flatten(1) for layer in model.layers]
    mixes = [(layer.mix.masked_weight()[:, :, 0, 0], layer.mix.bias) for layer in model.layers]
    caches = [new(n, layer.vertical.in_channels, layer.vertical.above, width) for layer in model.layers]
    for r in range(height):
        offsets, v = [], x[:, :, r - 1].to(dtype) / (model.levels - 1)
        for i, layer in enumerate(model.layers):  # what row r - 1 of v gives to row r of h
            of_v, of_h = (added.squeeze(3) for added in layer.condition(labels).chunk(2, 1))
            offset = of_h + layer.horizontal.bias[:, None]
            if r > 0:
                a, caches[i] = map(torch.as_tensor, step(caches[i], v, layer.vertical.weight.detach()))
                a = a + layer.vertical.bias[:, None] + of_v
                offset, v = offset + layer.link.weight[:, :, 0, 0] @ a, gated_pixelcnn.gate(a)
            offsets.append(offset.expand(n, -1, width))
        rows = [new(n, layer.horizontal.in_channels, layer.horizontal.left + width) for layer in model.layers]
        for c in range(width):
            h = 0.0 if model.position is None else model.position[:, r, c]
            for i, layer in enumerate(model.layers):
                left = layer.horizontal.left
                if i > 0:
                    rows[i][:, :, left + c] = h
                window = rows[i][:, :, c : c + left + 1]
                b = window.flatten(1) @ beside[i].T + offsets[i][:, :, c]
                h = h + torch.nn.functional.linear(gated_pixelcnn.gate(b), *mixes[i])
            logits = model.output(torch.relu(model.head(torch.relu(h)[:, :, None, None])))[:, :, 0, 0]
            logits = logits[:, 0] if model.levels == 2 else logits
            x[:, 0, r, c] = distributions.invert(logits, u[:, r * width + c], model.levels)
            rows[0][:, 0, model.layers[0].horizontal.left + c] = x[:, 0, r, c].to(dtype) / (model.levels - 1)
    return x


with waits_for("vertical_step"):
    gated64 = copy.deepcopy(gated).double()
    side = budget(smoke=8, cpu=16, gpu=28)
    larger = GatedPixelCNN((1, side, side), 16, channels, layers, kernel=3, head=48, position_bias=True, classes=10)
    labels = torch.arange(5)
    for name, model in [("8 × 8, trained", gated64), (f"{side} × {side}, random weights", larger.double().eval())]:
        u = torch.rand(5, model.order.numel(), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        ways = {
            "plain": functools.partial(model.sample, 5, uniforms=u, cached=False, labels=labels),
            "yours": functools.partial(sample_by_rows, model, u, vertical_step, labels),
            "course_lib": functools.partial(model.sample, 5, uniforms=u, labels=labels),
        }
        images, times = {}, {}
        for way, draw in ways.items():
            start = time.perf_counter()
            images[way] = draw()
            times[way] = time.perf_counter() - start
        same = all(bool((images["plain"] == drawn).all()) for drawn in images.values())
        told = ", ".join(f"{way} {1000 * t:.0f} ms" for way, t in times.items())
        print(f"{name:24} the same images: {same}; {told}")
    faster = times["plain"] / times["yours"]
    outcome("how many times as fast as the plain sampler, for 16 × 16 pixels", faster)

# %% [markdown]
# The same images, sooner by a factor that grows with the image. On small images it is less than $HW$: a pass over 64 pixels
# at once costs the machine less than 64 times one pixel. What remains is a loop of $D$ steps that wait for one another.
#
# ### Completion and copies
#
# If the first pixels of an image are given, the rest can be drawn exactly from $p(\text{rest} \mid \text{beginning})$: start
# the sampler later. It must be the *beginning*: to hold other pixels fixed while drawing in order would ignore what is known
# below (lesson 01; orderless NADE in lesson 02 can do it).
#
# #### Exercise · `complete`
#
# Pixel by pixel and, within a pixel, colour by colour. Mind the two layouts: *positions* count colours fastest, the tensor's
# memory counts them slowest.


# %% exercise="complete"
def complete(x, first, conditional, u):
    """Draw the last places of images anew, in order, given the places before.

    Args:
        x: (n, C, H, W) int64, levels 0..K-1. Place k = 0..C*H*W-1 is colour k % C of pixel k // C; pixels are counted
            in raster order. The values at places from `first` on are not used; they may be any integers.
        first: the first place to draw, 0..C*H*W; 0 draws all of them, C*H*W none.
        conditional: function. conditional(x, k), x as above and k a place, returns (n, K) float64: the probabilities of
            the levels at place k of each image, given its places before k; some may be 0. What x holds at places k and
            later does not matter. To be called once for each place to draw, in order, with all n images at once.
        u: (n, C*H*W) float64, uniform in [0, 1).

    Returns:
        (n, C, H, W) int64: the completed images. They are as x at places before `first`; the value at each place
        k >= first is the number of levels j in 0..K-2 with p_0 + ... + p_j <= u[:, k]. x itself stays as it is.
    """
    ### BEGIN SOLUTION
    x = x.clone()
    _, colours, _, width = x.shape
    for k in range(first, x.shape[1:].numel()):
        row, column = divmod(k // colours, width)
        cumulative = torch.as_tensor(conditional(x, k)).cumsum(1)[:, :-1]
        x[:, k % colours, row, column] = (cumulative <= u[:, k, None]).sum(1)
    return x
    ### END SOLUTION


# %% check="complete"

# %% [markdown]
# Five test digits of which the upper half is known. The labelled model completes each under every label. On the left, how
# probable the upper half makes the three likeliest labels. What will the network do with a label that the upper half
# contradicts?


# %% tags=["demo"] folded="Completes five half digits under all ten labels with your `complete`."
def under(labels):
    """The conditionals that `complete` asks for, from the gated PixelCNN under these labels."""

    @torch.no_grad()
    def conditional(x, k):
        return gated(torch.as_tensor(x), labels=labels)[:, :, 0, k // 8, k % 8].double().softmax(1)

    return conditional


chosen = torch.tensor([int((test.y == digit).nonzero()[2]) for digit in (3, 4, 5, 7, 9)])
with waits_for("complete"):
    upper = test.x[chosen].repeat_interleave(10, 0)
    u = torch.rand(50, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    endings = torch.as_tensor(complete(upper, 32, under(torch.arange(10).repeat(5)), u))
    hidden = test.x[chosen].double() / 15
    hidden[:, :, 4:] = 0.35
    known = torch.cat([test.x[chosen].double() / 15, hidden], 1)
    completions = endings.view(5, 10, 8, 8).double() / 15
    plots.show(figures.completions_by_label(known, completions, by_rows[chosen, :, 3].softmax(1)))

# %% [markdown]
# Where the label fits, the strokes simply continue. Where it does not, the network bends them until the whole can pass for
# the digit asked for, or fails. To complete *without* a label, draw one from the probabilities on the left, then the rest
# under it: an exact sample of $p(\text{rest} \mid \text{beginning})$ under the mixture $p(x)$.
#
# **Copies.** A support vector machine that knows nothing of our model reads its samples. And how far is each sample from the
# *nearest* training digit? If the model had memorised its data, that distance would be far below what it is for new digits,
# those of the test set.

# %% tags=["demo"] folded="Draws 300 samples; a classifier reads them; distances to the nearest training digits."
reader = SVC().fit(train.x.flatten(1), train.y)
asked = torch.arange(10).repeat(30)
samples = gated.sample(300, labels=asked, generator=torch.Generator().manual_seed(0))
print(f"classifies {reader.score(test.x.flatten(1), test.y):.1%} of the test digits correctly, and", end=" ")
print(f"{reader.score(samples.flatten(1), asked):.1%} of 300 samples as the digit that was asked for")


def nearest(a):
    """The distance to the nearest training digit (root of the sum of squares, in levels), and which one that is."""
    return torch.cdist(a.flatten(1).double(), train.x.flatten(1).double()).min(1)


to_samples, to_test = nearest(samples), nearest(test.x)
distances = {"samples": to_samples.values, "test digits": to_test.values}
plots.show(figures.copies(samples[:20], train.x[to_samples.indices][:20], distances))
for name, values in distances.items():
    print(f"distance to the nearest training digit, {name}: mean {values.mean():.1f}, smallest {values.min():.1f}")

# %% [markdown]
# None is a copy: samples lie *farther* from the training digits than new digits do, since some are malformed. (Such a test
# can prove copying and cannot rule out every kind of it; without the test digits as a yardstick it says nothing at all.)
#
# ### The same at 28 × 28
#
# Two models of binarized MNIST were trained once for the course: the NADE of lesson 02, with 785,284 weights, and a
# gated PixelCNN of five layers of 16 channels, with 45,393. Which one needs fewer nats for the test images?

# %% tags=["demo"]
guess("fewer nats on binarized MNIST", ..., choices=["NADE", "gated PixelCNN"])

# %% tags=["demo"] folded="Loads the trained gated PixelCNN; draws 100 samples, and completes five of them."
large = pretrained.load("gated-pixelcnn")
print(pretrained.about("gated-pixelcnn"))
generator = torch.Generator().manual_seed(0)
drawn = large.sample(100, generator=generator)
alt = "Twenty samples of 28 x 28 pixels: connected strokes with smooth edges; about half of them can be read as digits, and many have a second stroke at the bottom edge."
plots.show(plots.image_grid(drawn[:20], columns=10), alt=alt)
at_the_bottom = drawn[:, 0, 25:].flatten(1).any(1).double().mean()
print(f"ink in the last three rows: {100 * at_the_bottom:.0f} % of 100 samples")
upper_half = (torch.arange(28) < 14).view(1, 28, 1).expand(1, 28, 28)
five = drawn[:5]
rows = [five, torch.where(upper_half, five.double(), 0.4)]
rows += [large.complete(five, upper_half, generator=generator) for _ in range(3)]
names = ["sample", "known", "drawn", "drawn", "drawn"]
alt = "Five samples, their upper halves, and three completions of each: the strokes go on smoothly, to different digits or to none; some have a loose stroke at the bottom."
plots.show(plots.image_grid(torch.cat(rows), columns=5, row_names=names), alt=alt)
nats = {"NADE": pretrained.notes("nade")["test nll"], "gated PixelCNN": pretrained.notes("gated-pixelcnn")["test nll"]}
outcome("fewer nats on binarized MNIST", min(nats, key=nats.get))

# %% [markdown]
# The PixelCNN needs 88.68 nats, 3.5 fewer than the NADE, with a seventeenth of the weights. (Neither was trained to its
# end: 69 and 47 minutes on one core.) Its strokes are connected, and their edges smooth, where NADE's are ragged:
# which pixels are neighbours is what a convolution knows.
#
# But look at the bottom edge. 72 % of the samples have ink in the last three rows; of the test digits it is 23 %. This
# network reads 11 rows up. At the bottom it no longer knows that a digit has been drawn, and begins another
# (*Locally good, globally lost*, below). Each further layer would read two rows more.
#
# ### Reading published tables
#
# Two tables, complete, with a column that papers leave out: *what kind of number it is*. Both are read from A. Courville (with
# H. Larochelle and V. Dumoulin), "Autoregressive Generative Models", lecture slides, Montréal Institute for Learning
# Algorithms, which reprint them.
#
# **Fixed binarized MNIST, test set, nats**: van den Oord et al. (2016a), Table 4, as reprinted in Courville's lecture.
#
# | model | NLL | kind |
# | --- | --- | --- |
# | DBM, 2 hidden layers | ≈ 84.62 | estimate |
# | DBN, 2 hidden layers | ≈ 84.55 | estimate |
# | NADE | 88.33 | exact |
# | EoNADE, 2 hidden layers, 128 orderings | 85.10 | exact |
# | EoNADE-5, 2 hidden layers, 128 orderings | 84.68 | exact |
# | DLGM | ≈ 86.60 | estimate |
# | DLGM, 8 leapfrog steps | ≈ 85.51 | estimate |
# | DARN, 1 hidden layer | ≈ 84.13 | estimate |
# | MADE, 2 hidden layers, 32 masks | 86.64 | exact |
# | DRAW | ≤ 80.97 | upper bound |
# | PixelCNN | 81.30 | exact |
# | Row LSTM | 80.54 | exact |
# | Diagonal BiLSTM, 1 layer, $h = 32$ | 80.75 | exact |
# | Diagonal BiLSTM, 7 layers, $h = 16$ | 79.20 | exact |
#
# **CIFAR-10, bits/dim** (32 × 32 colour photographs, $D = 3072$, $K = 256$): van den Oord et al. (2016b), as reprinted in
# Courville's lecture.
#
# | model | test (train) | kind |
# | --- | --- | --- |
# | uniform distribution | 8.00 | exact: $\log_2 256$ |
# | multivariate Gaussian | 4.70 | a density |
# | NICE | 4.48 | a density |
# | Deep Diffusion | 4.20 | upper bound |
# | DRAW | 4.13 | upper bound |
# | Deep GMMs | 4.00 | a density |
# | Conv DRAW | 3.58 (3.57) | upper bound |
# | RIDE | 3.47 | a density |
# | PixelCNN | 3.14 (3.08) | exact |
# | Gated PixelCNN | 3.03 (2.90) | exact |
# | PixelRNN | 3.00 (2.93) | exact |
#
# PixelCNN++ has 2.92, as read in its authors' repository's README. (The kinds are ours: ≈ and ≤ are in the first table, the
# rest follows from the models.)
#
# **Before you read on**: which pairs of rows may *not* be compared, and in which direction does each kind err?
#
# * **Exact, bound, estimate.** An upper bound on the NLL can only be too high: DRAW may be better than its row. An estimate
#   can err to either side: importance sampling puts the NLL too high on average; a partition function that is
#   underestimated makes a model look better than it is.
# * **Densities.** A Gaussian's 4.70 is not a probability of levels. With noise spread evenly over each level's cell, a density
#   gives an upper bound on the cost of the levels (Theis et al. 2016); without it, a density on levels can be made
#   arbitrarily large.
# * **Test or train.** The gated PixelCNN costs 2.90 on its training images, 3.03 on others; PixelCNN's gap is half as large.
#   PixelCNN++ without dropout gets below 2.0 on the training set and above 6.0 on the test set (its section 3.4.3).
# * **Two changes at once.** From 3.14 to 3.03 two stacks and gates came together; the table cannot say which of them did it.
# * **Two data sets, one name.** "Binarized MNIST" is fixed (one binary file) or dynamic (drawn anew from grey levels); the
#   same model has a different figure on each.
# * **Sizes.** A diagonal BiLSTM with one layer is worse than a row LSTM; with seven it is the best of the table. Models of
#   a table differ in depth, width and hours of training, and rarely in one thing alone.
# * **Given what?** A class-conditional figure has been told the label: worth at most $\log_2(10)/3072 = 0.001$ bits/dim on
#   CIFAR-10, so it cannot explain a difference that you can see in this table.
#
# #### The first rows, on our data
#
# Every table should begin with uniform and Gaussian: they say what the scale means. The **Gaussian** is a density of
# $z = x + u$, with $u$ uniform on $[0, 1)^D$. Since the probability of a level is the integral of the density $q$ over its
# cell, Jensen's inequality gives
#
# $$\log P(x) = \log \int_{[0,1)^D} q(x + u)\, du \;\ge\; \mathbb{E}_u \log q(x + u) .$$
#
# For a Gaussian with mean $\mu$ and covariance $\Sigma$ the expectation needs no sampling: $x + u$ has mean $x + \frac12$ and
# the noise variance $\frac1{12}$ in each dimension, so that
# $\mathbb{E}_u (z - \mu)^\top \Sigma^{-1} (z - \mu) = (x + \tfrac12 - \mu)^\top \Sigma^{-1} (x + \tfrac12 - \mu) + \tfrac1{12} \operatorname{tr} \Sigma^{-1}$.

# %% tags=["demo"] folded="Bounds of two Gaussians, and two exact first rows, on the test digits."
x_train, x_test = train.x.flatten(1).double(), test.x.flatten(1).double()
mean = x_train.mean(0) + 0.5


def gaussian_bound(covariance):
    """E_u log q(x + u) for the test digits, under a Gaussian with this covariance (of x; that of u is added)."""
    covariance = covariance + torch.eye(64, dtype=torch.float64) / 12
    centred = x_test + 0.5 - mean
    square = (centred * torch.linalg.solve(covariance, centred.T).T).sum(1) + covariance.inverse().trace() / 12
    return -(square + covariance.logdet() + 64 * math.log(2 * math.pi)) / 2


counts = torch.nn.functional.one_hot(train.x.flatten(1), 16).sum(0).double() + 0.1
independent = (counts / counts.sum(1, keepdim=True)).log()
board = {
    "uniform": (torch.full((300,), -64 * math.log(16)), "exact"),
    "Gaussian, independent pixels": (gaussian_bound(x_train.var(0).diag()), "bound"),
    "Gaussian, full covariance": (gaussian_bound(x_train.T.cov()), "bound"),
    "16 levels, independent pixels": (independent[torch.arange(64), test.x.flatten(1)].sum(1), "exact"),
}
for name, (log_q, kind) in board.items():
    print(f"{name:32} {metrics.Estimate.of(-log_q).mean / bits:.3f} bits/dim   {kind}")

# %% [markdown]
# A full covariance is worth a great deal and is still far from a neural network, on our digits as on CIFAR-10. (The
# *independent histogram* beats the Gaussian with its covariance because many pixels are nearly always 0, and a Gaussian
# cannot say "exactly 0".) A Gaussian's log-density is a good place to find slips, too. A lecture's slides print, for independent
# dimensions with *variances* $\sigma_d$,
#
# $$\log q(z) = \sum_d \Big[ -\tfrac12 \log (2 \pi \sigma_d) + \tfrac{1}{2 \sigma_d} (z_d - \mu_d)^2 \Big] .$$
#
# Which sign is wrong, and how would you notice during training?
#
# <details>
# <summary><b>Solution</b></summary>
#
# The quadratic term needs a minus. As printed, the "likelihood" grows with the distance of the data from the mean: training
# drives $\mu$ away and $\sigma_d$ to 0, and the value diverges to $+\infty$. Its exponential has no finite integral.
# </details>
#
# ### Locally good, globally lost
#
# In samples of a PixelCNN trained on photographs every patch convinces, and the whole shows nothing. Our digits are too small
# for that. So take images where *far* things belong together: **twins**, one of the eight glyphs of the small world above, and
# the same glyph again below, seven rows apart. An image is one of eight: entropy $\log_2 8$ = **3 bits**.
#
# A gated PixelCNN with two layers of 3 × 3 kernels sees three rows up. For a pixel of the lower glyph these hold blank paper
# and the lower glyph's own beginning. So the lower glyph must be guessed anew, for another $\log_2 8$ bits: **no such
# network gets below 6 bits**. The second network has four layers of 5 × 5 and reaches nine rows.

# %% tags=["train"] folded="Trains two gated PixelCNNs on twins; counts correct and matching glyphs in 1,000 samples."
glyphs = torch.tensor([[[mark == "#" for mark in row] for row in rows] for rows in GLYPHS.values()]).long()
twins = torch.zeros(8, 1, 12, 5, dtype=torch.long)
twins[:, 0, 1:4, 1:4] = twins[:, 0, 8:11, 1:4] = glyphs


def a_batch_of_twins(rng):
    return twins[torch.randint(8, (64,), generator=rng)]


reach = {}
for name, settings in {
    "reaches 3 rows": dict(channels=12, layers=2, kernel=3),
    "reaches 9 rows": dict(channels=12, layers=4, kernel=5),
}.items():
    torch.manual_seed(0)
    model = GatedPixelCNN((1, 12, 5), 2, head=16, position_bias=True, **settings)
    reach[name] = train_on(model, a_batch_of_twins, budget(smoke=5, cpu=300, gpu=1000))


def read_glyphs(x, top):
    """Which glyph is at the rows from `top` on; -1 for none."""
    same = (x[:, None, 0, top : top + 3, 1:4] == glyphs).flatten(2).all(2)
    return torch.where(same.any(1), same.long().argmax(1), -1)


fig, axes = plt.subplots(1, 3, figsize=(9.8, 2.5))
plots.image_grid(a_batch_of_twins(torch.Generator().manual_seed(1))[:16], columns=8, ax=axes[0], title="Data")
for ax, (name, model) in zip(axes[1:], reach.items(), strict=True):
    drawn = model.sample(1000, generator=torch.Generator().manual_seed(0))
    upper, lower = read_glyphs(drawn, 1), read_glyphs(drawn, 8)
    plots.image_grid(drawn[:16], columns=8, ax=ax, title=name)
    both = (upper >= 0) & (lower >= 0)
    correct_share = ((upper >= 0).double().mean() + (lower >= 0).double().mean()) / 2
    twin_share = (upper == lower)[both].double().mean()
    print(
        f"{name}: {metrics.nll(model, twins).mean / math.log(2):.2f} bits; correct glyphs {correct_share:.1%},", end=" "
    )
    print(f"pairs of correct glyphs that are twins {twin_share:.1%}")
plots.show(
    fig,
    alt="Left: images with the same glyph above and below. Middle: samples of the network with short reach, clean glyphs "
    "that mostly do not match. Right: samples of the network with long reach, in which nearly all match.",
)

# %% [markdown]
# Each glyph is nearly perfect. With short reach only one pair in eight matches, as by chance: **locally good, globally lost**.
# The network that reaches far enough has learnt to match them, at the price of a deep stack of larger kernels.
#
# For photographs reach alone is not the whole story. A model of CIFAR-10 at 3 bits/dim spends $3 \cdot 3072$ = 9,216 bits on
# an image. *To know which of the ten classes it shows* saves at most $\log_2 10$ = 3.3 of them: 0.001 bits/dim. (Salimans et
# al., section 3.3, cut their network's field to a small one and lost surprisingly little.) A model can be excellent in nats
# and lost in the large; a sample shows it at once, and the number does not.
#
# ### Masked attention
#
# A kernel reads a window; its weights depend on the offset alone. **Self-attention** reads any set of positions, and its
# weights depend on their content. At each of the $D$ positions, in raster order, three linear maps of the input give a
# query $q_i$, a key $k_i$ and a value $v_i$, vectors of $d$ numbers. The output is a weighted mean,
#
# $$o_i = \sum_{j \in S_i} a_{ij} v_j, \qquad
# a_{ij} = \frac{\exp(q_i^\top k_j / \sqrt d)}{\sum_{l \in S_i} \exp(q_i^\top k_l / \sqrt d)} .$$
#
# Several **heads** do this side by side, each with maps of its own. The set $S_i$ is row $i$ of a mask on the
# $D \times D$ matrix of scores. Full causal attention has $S_i = \{j : j \le i\}$, which contains $i$ in every layer, the
# first included: the *inputs are shifted by one*. Position $i$ receives $x_{i-1}$, position 0 a constant, so that its
# output, which gives $p(x_i \mid x_0, \dots, x_{i-1})$, never reads $x_i$. The shift does what mask A does.
#
# **Cost per position**, in multiplications, with $c$ features: a masked $k \times k$ convolution takes about
# $\frac12 k^2 c^2$ and reaches $(k - 1)/2$ rows. Attention takes $4 c^2$ for its linear maps and $2 |S_i| c$ for scores and
# sums, and reaches all of $S_i$ at once: for a full mask on 28 × 28 pixels, up to 784 positions.
#
# Child et al. (2019, section 4.3) read about $2 \sqrt D$ positions instead, with two heads and a **stride** $l$ near
# $\sqrt D$, such as the width of the image. A second layer then has a path from every earlier position.

# %% tags=["demo"] folded="Draws the four masks for 16 positions."
fig, axes = plt.subplots(1, 4, figsize=(9.8, 2.7))
patterns = {"strided": strided_masks(16, 4), "fixed": fixed_masks(16, 4)}
for n, ax in enumerate(axes):
    kind, head = list(patterns)[n // 2], n % 2
    ax.matshow(patterns[kind][head], cmap="Blues", vmax=1.5)
    ax.set(title=f"{kind}, head {head}", xlabel="is read, $j$", ylabel="" if n else "reads, $i$")
    ax.tick_params(top=False, labeltop=False, labelbottom=True)
plots.show(
    fig,
    alt="Four masks of 16 positions with stride 4, all empty above the diagonal. Strided: a band of five positions up to the diagonal; every "
    "fourth diagonal. Fixed: four triangles, one per block; every fourth column, from the diagonal down.",
)

# %% [markdown]
# #### Exercise · `attention_mask`
#
# The masks of the figure, for any $D$ and stride.


# %% exercise="attention_mask"
def attention_mask(kind, D, stride):
    """Which positions each of two heads reads, in the two patterns of Child et al. (2019).

    Args:
        kind: "strided" or "fixed".
        D: number of positions, at least 1.
        stride: at least 1. It may be larger than D, and D need not be a multiple of it.

    Returns:
        List of two (D, D) bool tensors, one per head: entry [i, j] is True where position i reads position j. No
        position reads a later one.
        strided: head 0 reads the stride positions before i, as far as they exist, and i; head 1 reads i, and every
            stride-th position back from it.
        fixed, with positions in blocks of stride, the first from 0 to stride - 1: head 0 reads i and what comes before i
            in its own block; head 1 reads the last position of each block, up to i, which may be none.
    """
    ### BEGIN SOLUTION
    i, j = torch.arange(D)[:, None], torch.arange(D)
    if kind == "strided":
        heads = i - j <= stride, (i - j) % stride == 0
    else:
        heads = i // stride == j // stride, j % stride == stride - 1
    return [(j <= i) & head for head in heads]
    ### END SOLUTION


# %% check="attention_mask"

# %% [markdown]
# #### Your masks at work: everything in two hops
#
# The paths of lesson 03 again: the product of the two layers' masks counts the paths from $j$ to $i$. **Before you run the
# cell**: does it suffice to have head 0 alone in the first layer and head 1 alone in the second?

# %% tags=["demo"]
with waits_for("attention_mask"):
    everything = torch.ones(784, 784).tril() > 0
    for kind in ("strided", "fixed"):
        heads = [torch.as_tensor(mask).double() for mask in attention_mask(kind, 784, 28)]
        both = torch.maximum(*heads)
        print(f"{kind}: at most {int(sum(heads).sum(1).max())} of 784 positions read")
        for layers_of, paths in {"head 0, then head 1": heads[1] @ heads[0], "both, then both": both @ both}.items():
            print(f"    {layers_of}: a path for {(paths > 0)[everything].double().mean():.2%} of all pairs j <= i")

# %% [markdown]
# The fixed pattern needs both heads in a layer: within a block that is not complete, nobody sums up yet. (A residual
# connection would do as well.)
#
# **Sampling** has a cache too: the keys and values of all positions so far. A step projects one position and compares its
# query with them.

# %% tags=["demo"]
side = budget(smoke=8, cpu=16, gpu=28)
attention = CausalSelfAttention(32, strided_masks(side**2, side)).double()
x, steps = torch.randn(1, side**2, 32, dtype=torch.float64), AttentionSteps(attention, n=1)
outputs, times = {}, {}
with torch.no_grad():
    for way, output in {"plain": lambda i: attention(x)[:, i], "cache": lambda i: steps(x[:, i])}.items():
        start = time.perf_counter()
        outputs[way] = torch.stack([output(i) for i in range(side**2)], 1)
        times[way] = time.perf_counter() - start
print(f"{side**2} positions: largest difference {(outputs['plain'] - outputs['cache']).abs().max():.0e};", end=" ")
print(", ".join(f"{way} {1000 * t:.0f} ms" for way, t in times.items()))

# %% [markdown]
# **Today.** The Image Transformer (Parmar et al., *ICML* 2018) attends to local blocks of pixels; the Sparse Transformer
# (Child et al., *Generating long sequences with sparse transformers*, arXiv:1904.10509, 2019) reports 2.80 bits/dim on
# CIFAR-10, where PixelCNN++ has 2.92; image GPT (Chen et al., *Generative pretraining from pixels*, *ICML* 2020) uses full
# masks on images of reduced resolution and palette. Language models are this section with words for pixels, and their
# "KV cache" is the one above.
#
# ### Bug clinic
#
# Six patients, all meant to be gated PixelCNNs of the small world; one is healthy. You see the NLL that each *reports*, its
# **total mass** over all 65,536 images, and samples. The entropy is 4.97 nats. Patient D sees two neighbouring pixels as two
# "colours" of one pixel, and patient F as one pixel of four levels.

# %% tags=["train"]
clinic = pixelcnn_clinic()
clinic.show()

# %% tags=["demo"]
clinic.choices()

# %% [markdown]
# Diagnose each patient: a symptom, and the line of the right program that the patient has wrong. A wrong diagnosis is
# answered by an experiment that decides; a patient's network is `clinic.patients["A"].model.model`.

# %% tags=["demo"]
clinic.diagnose("A", symptom=..., line=...)  # a line's number, or None
clinic.diagnose("B", symptom=..., line=...)
clinic.diagnose("C", symptom=..., line=...)
clinic.diagnose("D", symptom=..., line=...)
clinic.diagnose("E", symptom=..., line=...)
clinic.diagnose("F", symptom=..., line=...)

# %% [markdown]
# Three more, without samples. *Labels change hardly anything*: the label is added after the last gate, where it shifts logits
# but cannot change what pixels do to each other; or to the vertical stack alone, so that the first row does not depend on
# it. *Excellent while training, bad afterwards*: batch normalisation, whose means are taken over all pixels of all images,
# later ones included: a leak that ends with `eval()`. *The activations grow from block to block*: `h = h + block(h)`, where
# the block already contains the skip connection.
#
# ### Scoreboard
#
# This lesson's rows, all measured above on the same 300 test digits of 16 levels. The course's table
# (`python -m course_lib.scoreboard`) trains longer, with larger kernels, from three seeds: MADE 1.91 bits/dim, PixelCNN 1.72,
# gated 1.70, PixelCNN++ 1.68. On *binary* digits the same table has MADE at 17.1 nats, PixelCNN at 17.4, gated at 17.0: a tie.
# In 64 bits per image, 1,197 times, there is little for a window to find.

# %% tags=["demo"] folded="The table."
board |= {
    "MADE, 500 units": (metrics.log_probs(made, test.x.flatten(1)), "exact"),
    f"PixelCNN, {layers + 1} layers, 3 × 3": (metrics.log_probs(pixelcnn, test.x), "exact"),
    "gated PixelCNN, p(x)": (log_p_x, "exact"),
    "gated PixelCNN, p(x | label)": (own_label, "exact, given the label"),
}
print(f"{'model':34} {'NLL (nats)':>14} {'bits/dim':>10}   likelihood")
for name, (log_q, kind) in board.items():
    estimate = metrics.Estimate.of(-log_q)
    print(f"{name:34} {estimate!s:>14} {estimate.mean / bits:10.3f}   {kind}")

# %% [markdown]
# ### Today, history and references
#
# **Today.** Pixels are rarely modelled one by one any more, but the PixelCNN's idea is in use wherever images become sequences
# of *tokens*: an autoencoder turns an image into a small grid of discrete codes, and an autoregressive model gives their
# distribution. In VQ-VAE (van den Oord et al., 2017) that prior is a PixelCNN, in VQ-VAE-2 (Razavi et al., 2019) a PixelCNN
# with attention (lesson 08); in VQGAN (Esser et al., 2021), DALL·E (Ramesh et al., 2021) and Parti (Yu et al., 2022) a
# transformer with a causal mask over the same raster order. Visual autoregressive modelling (Tian et al., 2024) replaces the
# raster by scales, from coarse to fine.
#
# **History.** Masked convolutions for images, colours included, are from van den Oord, Kalchbrenner and Kavukcuoglu (2016a),
# as the fast companion of the recurrent networks that the paper is named after. Its authors then found the blind spot and
# removed it in the gated PixelCNN (2016b), which also brought labels. Salimans et al. (2017) simplified once more: shifted
# images instead of masks, logistics instead of a softmax, halved grids with skip connections, and dropout. Sound had its turn
# at the same time (WaveNet, lesson 06). A spatial recurrent network with a causal window is older (Theis and Bethge, 2015).
#
# * R. Child, S. Gray, A. Radford and I. Sutskever. Generating long sequences with sparse transformers. arXiv:1904.10509, 2019.
# * P. Esser, R. Rombach and B. Ommer. Taming transformers for high-resolution image synthesis. *CVPR* 2021.
# * D. P. Kingma, T. Salimans, R. Jozefowicz, X. Chen, I. Sutskever and M. Welling. Improved variational inference with inverse
#   autoregressive flow. *NIPS 29*, 2016. Section 6.2 on the time that samples take.
# * A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu. Pixel recurrent neural networks. *ICML* 2016 (2016a). Section 3 and
#   Table 1: the PixelCNN, its masks and its sizes.
# * A. van den Oord, N. Kalchbrenner, O. Vinyals, L. Espeholt, A. Graves and K. Kavukcuoglu. Conditional image generation with
#   PixelCNN decoders. *NIPS 29*, 2016 (2016b). Section 2 and Figure 2: two stacks, gates, labels.
# * A. van den Oord, O. Vinyals and K. Kavukcuoglu. Neural discrete representation learning. *NIPS 30*, 2017.
# * A. Ramesh, M. Pavlov, G. Goh et al. Zero-shot text-to-image generation. *ICML* 2021.
# * A. Razavi, A. van den Oord and O. Vinyals. Generating diverse high-fidelity images with VQ-VAE-2. *NeurIPS* 2019.
# * T. Salimans, A. Karpathy, X. Chen and D. P. Kingma. PixelCNN++: improving the PixelCNN with discretized logistic mixture
#   likelihood and other modifications. *ICLR* 2017. Section 2.1, equations 1 and 2: the likelihood; 2.2: whole pixels; 2.3 to
#   2.5: resolution, skip connections, dropout; 3.3: small fields; 3.4: what each part is worth.
# * L. Theis and M. Bethge. Generative image modeling using spatial LSTMs. *NIPS 28*, 2015.
# * L. Theis, A. van den Oord and M. Bethge. A note on the evaluation of generative models. *ICLR* 2016. Section 3.1.
# * K. Tian, Y. Jiang, Z. Yuan, B. Peng and L. Wang. Visual autoregressive modeling: scalable image generation via next-scale
#   prediction. *NeurIPS* 2024.
# * J. Yu, Y. Xu, J. Y. Koh et al. Scaling autoregressive models for content-rich text-to-image generation. *TMLR* 2022.
#
# **Where the solution is.** The text source of this notebook with all eleven answers is `solutions/04_pixelcnn.py` in the course
# repository (open it in JupyterLab with Jupytext, or as plain text). In `course_lib` the same ideas are in
# `models/pixelcnn.py`, `models/gated_pixelcnn.py` and `models/pixelcnn_pp.py`, each with its cached sampler, on the building
# blocks of `nn/causal.py`, whose kernels have no rows below the pixel's own.
