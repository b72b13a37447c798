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
# MADE (lesson 03) gives the likelihood of an image in one pass, and knows everything except that it *is* an
# image. It has a weight for every pair of a pixel and a unit, and a stroke that it has learnt in one corner it
# must learn again in the next. A convolution has the opposite character: it looks at a small window, and it
# does the same everywhere. All that keeps it from being a density is what kept the autoencoder from it: the
# window contains the pixel itself, and the future.
#
# So we mask the window. It is a matter of one line, and of several ways to write that line wrongly that nobody
# notices, because the result trains, and its likelihood sums to one. One of these ways was published, used for
# a while, found by its own authors, and is called the *blind spot*. You will find it before it is explained
# here.
#
# **After this lesson you can**
#
# * derive masks for convolutions, for any kernel and any colours, and say why mask A stands in one layer only;
# * predict, pixel by pixel, what a masked network can never see, and build one that sees everything;
# * condition a model of images on a label, and use it as a classifier and as a mixture;
# * say what a likelihood over ordered levels should know, and compute one that does not break far from its
#   mean;
# * sample with every activation computed once, and complete half an image exactly;
# * read a table of published likelihoods and say which of its numbers may be compared.
#
# **The machine** needs three minutes, on a laptop, without a network.
#
# **Numbers in the text** are for `COURSE_BUDGET=cpu`, the default. At `smoke` the models are barely trained,
# and many sentences about them do not hold.
#
# **Builds on**: lessons 01 to 03 (chain rule, NLL, paths through masks). No exercise needs your answers from
# there.
#
# **Notation**, beyond that of the earlier lessons:
#
# | symbol | meaning |
# | --- | --- |
# | $C$, $H$, $W$ | number of colours, rows, columns of an image; $D = C H W$ dimensions |
# | $x_{r,c}$ | pixel in row $r$ and column $c$, both counted from 0; with colours a vector of $C$ numbers |
# | $K$ | number of levels; each colour of each pixel is one of $0, \dots, K - 1$ |
# | $L$ | number of layers, the first being layer 1 |
# | $h^l_i(r, c)$ | value of *map* $i$ of layer $l$ at pixel $(r, c)$; $h^0 = x$. (A map, or channel, is an image of units.) |
# | $k$, $m$ | side of a square kernel, odd, and its reach $m = (k - 1)/2$ |
# | bits/dim | an NLL in nats divided by $D \log 2$; a uniform guess costs $\log_2 K$ |
#
# **Raster order** is row by row from the top, in a row from left to right, in a pixel colour by colour.
# "Before" and "earlier" mean this order, throughout.

# %% setup=true
import math

import numpy as np
import torch

# %% tags=["demo"]
import copy
import functools
import time
from dataclasses import replace

import matplotlib.pyplot as plt
from sklearn.datasets import load_sample_image
from sklearn.svm import SVC
from torch.utils.flop_counter import FlopCounterMode

from autograder.checks import pixelcnn as checks
from course_lib import budget, data, distributions, explore, metrics, plots
from course_lib.data.tiny_world import GLYPHS
from course_lib.dependencies import dependencies, influence
from course_lib.models import FVBN, MADE, GatedPixelCNN, PixelCNN, PixelCNNPlusPlus, gated_pixelcnn
from course_lib.nn import conv_mask as library_mask
from course_lib.notebook import waits_for
from course_lib.training import fit

torch.set_num_threads(1)  # our models are so small that more threads would only wait for one another
digits = data.digits("levels")
train, test = digits.train, digits.test
world = data.tiny_world()
p_world = world.log_p.exp()
print(
    f"{digits.name}: {len(train)} to train on, {len(digits.valid)} to validate, {len(test)} to test, each {digits.shape}"
)
print(f"the small world: binary 4 × 4 images, entropy {world.entropy:.3f} nats")

# %% [markdown]
# ## 1 · What MADE cannot see
#
# Take all digits, and rearrange their pixels: the same secret permutation for every image. To us they become
# noise. What are they to a network?
#
# We train MADE and a PixelCNN, each on digits and on rearranged digits. The PixelCNN has a 3 × 3 window in each
# of its layers, and far fewer weights. **Before you run the cells:** what will each lose by the rearrangement?
# (The digits have 16 levels in this lesson; a uniform guess costs 4 bits/dim.)

# %% tags=["train"]
epochs = budget(smoke=1, cpu=25, gpu=60)
channels, layers = budget(smoke=(8, 2), cpu=(24, 4), gpu=(24, 4))
decay = functools.partial(torch.optim.AdamW, weight_decay=0.01)
secret = torch.randperm(64, generator=torch.Generator().manual_seed(1))


def rearranged(split):
    return replace(split, x=split.x.flatten(1)[:, secret].view_as(split.x))


shuffled = replace(digits, **{name: rearranged(split) for name, split in digits.splits().items()})
models = {}
for name, dataset in {"digits": digits, "rearranged": shuffled}.items():
    torch.manual_seed(0)
    models["MADE", name] = MADE(64, [500], levels=16, dropout=0.5, direct=True)
    fit(
        models["MADE", name],
        dataset.flatten(),
        epochs=budget(smoke=1, cpu=40, gpu=100),
        batch_size=64,
        lr=2e-3,
        progress=False,
    )
    torch.manual_seed(0)
    models["PixelCNN", name] = PixelCNN((1, 8, 8), 16, channels, layers, first_kernel=3, head=48, position_bias=True)
    fit(models["PixelCNN", name], dataset, epochs=epochs, batch_size=64, lr=4e-3, optimizer=decay, progress=False)
made, pixelcnn = models["MADE", "digits"], models["PixelCNN", "digits"]

# %% tags=["demo"]
fig, axes = plt.subplots(1, 2, figsize=(9.5, 1.9))
plots.image_grid(test.x[:16], levels=16, columns=8, ax=axes[0], title="Digits")
plots.image_grid(shuffled.test.x[:16], levels=16, columns=8, ax=axes[1], title="The same to MADE")
plots.show(
    fig, alt="Sixteen digits in grey levels, and the same sixteen with rearranged pixels, which look like noise."
)
print(f"{'test, bits/dim':10} {'digits':>16} {'rearranged':>16} {'weights':>9}")
for kind in ("MADE", "PixelCNN"):
    cells = []
    for name, dataset in {"digits": digits, "rearranged": shuffled}.items():
        x = dataset.test.x.flatten(1) if kind == "MADE" else dataset.test.x
        cells.append(str(metrics.nll(models[kind, name], x) / (64 * math.log(2))))
    print(f"{kind:14} {cells[0]:>16} {cells[1]:>16} {sum(w.numel() for w in models[kind, 'digits'].parameters()):9,}")

# %% [markdown]
# MADE pays the same for noise as for digits, up to the luck of an ordering: its layers are matrices, and a
# matrix whose columns are permuted with its inputs computes what it computed before. The PixelCNN is far better than
# MADE on digits, with a twentieth of its weights, and loses all of that when neighbours are no longer
# neighbours. That is what it means for a model to *know* something: there are data on which it fails.
#
# (Its one concession: `position_bias` adds a learned number to each map at each pixel of the first layer. A
# convolution does not know where it is, except by the zeros around the image, and in small images that
# matters.)
#
# What it knows are two things. **Locality**: what a pixel depends on most stands next to it. **Translation**: a
# stroke is a stroke wherever it is. Both save weights. A layer of MADE for 256 × 256 photographs in colour
# needs at least $D - 1$ = 196,607 units to lose nothing (lesson 03), with $4 \times 10^{10}$ weights. A 3 × 3
# convolution from 128 maps to 128 has $9 \cdot 128^2$ = 147,456, whatever the size of the image.
#
# ## 2 · From a matrix to a window
#
# Take MADE's layer, give each pixel several units (*maps*), and tie the weights: the weight from map $i$ at one
# pixel to map $o$ at another shall depend only on the *offset* $(s, t)$ between the two, rows and columns, and
# be zero unless both are at most $m$ in size. What remains is a convolution with a $k \times k$ kernel,
# $k = 2 m + 1$ (written as everybody in this field writes it, without turning the kernel round):
#
# $$h^l_o(r, c) = b_o + \sum_i \sum_{s=-m}^{m} \sum_{t=-m}^{m} w_{o,i,s,t}\; h^{l-1}_i(r + s, c + t), \qquad \text{with } h^{l-1} = 0 \text{ outside the image.}$$
#
# MADE's masks were for pairs of units; now they are for offsets. The offset $(s, t)$ leads to an *earlier*
# pixel if
#
# $$s < 0, \quad \text{or} \quad s = 0 \text{ and } t < 0 .$$
#
# These weights may always be used, the later ones never. The centre $(0, 0)$ is the question. Mask **A**
# forbids it, mask **B** allows it. Which goes where?
#
# **Paths decide, as in lesson 03.** A path from an input pixel to an output pixel takes one offset in each of
# the $L$ layers. Under either mask no offset leads forward; so along a path, read from the output down, we move
# back or stay.
#
# * *B everywhere*: the path that stays in every layer leads from a pixel to itself. The output sees what it is
#   to predict: a copying machine.
# * *A everywhere*: every step moves back by one pixel at least. After $L$ layers we are at least $L$ pixels
#   back. Nothing leaks, but the output is deaf to its $L - 1$ immediate predecessors, the most informative
#   pixels of all.
# * *A once, B elsewhere*: some step moves back strictly, so nothing leaks. And nothing near is lost: every
#   offset of the window that leads back can be taken in the A layer, while the others stay.
#
# These are MADE's comparisons, $>$ once and $\ge$ elsewhere. There $>$ stood at the output; here A comes
# **first**. For leaks any one layer would do. But with A in the first layer every map at pixel $(r, c)$ knows
# strictly earlier pixels only, so that layers may be bridged: $h^l = h^{l-1} + \dots$ adds things with equal
# rights. With A at the end, a bridge around it would leak.
#
# **Colours.** The chain rule goes on inside the pixel:
# $p(R \mid \text{before})\, p(G \mid R, \text{before})\, p(B \mid R, G, \text{before})$. All three share the
# earlier pixels in full. At the centre, let every map *belong to a colour*: a green map may know what green is
# allowed to know. Then at the centre
#
# * mask A: a map of colour $a$ reads inputs of colours that come strictly before $a$ (green reads red);
# * mask B: also those of its own colour (green maps read red and green ones).
#
# Green maps under B read green maps, which under A, below, have read only *red* of this pixel: no leak, by the
# same argument, now with pixels and colours together in one raster order.
#
# ## Exercise 1 · `conv_mask`
#
# One function for all of these: any odd kernel, square or not, maps that belong to colours in any arrangement,
# and colours in any order. `order` is as for dimensions in lesson 01: `order[j]` is the colour that comes
# `j`-th, counted from 0.


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
# ### Your masks
#
# Left two: one colour, a 5 × 5 kernel. Right two: what stands at the *centre* for six maps (rows) that read six
# maps (columns), two of each colour side by side. **Cover the right half and draw it first.**

# %% tags=["demo"]
with waits_for("conv_mask"):
    rgb, blocks = [0, 1, 2], [0, 0, 1, 1, 2, 2]
    panels = {
        "A, one colour": torch.as_tensor(conv_mask("A", (5, 5), [0], [0], [0]))[0, 0],
        "B, one colour": torch.as_tensor(conv_mask("B", (5, 5), [0], [0], [0]))[0, 0],
        "A at the centre": torch.as_tensor(conv_mask("A", (5, 5), blocks, blocks, rgb))[:, :, 2, 2],
        "B at the centre": torch.as_tensor(conv_mask("B", (5, 5), blocks, blocks, rgb))[:, :, 2, 2],
    }
    fig, axes = plt.subplots(1, 4, figsize=(9.5, 2.6))
    for ax, (title, mask) in zip(axes, panels.items(), strict=True):
        ax.imshow(mask, cmap="Blues", vmin=0, vmax=1.4)
        ax.set_title(title)
        ticks, names = (range(6), "RRGGBB") if len(mask) == 6 else (range(5), [-2, -1, 0, 1, 2])
        ax.set(xticks=ticks, yticks=ticks, xticklabels=names, yticklabels=names)
        ax.set(xlabel="input map" if len(mask) == 6 else "column", ylabel="output map" if len(mask) == 6 else "row")
    plots.show(
        fig,
        alt="Four masks. One colour: two full rows and the left part of the middle row; B has the centre too. Six maps, two a "
        "colour: a staircase of 2 × 2 blocks below the diagonal, for B with the blocks on the diagonal.",
    )

# %% [markdown]
# (The rows below the centre are False in every mask. `course_lib.nn.conv_mask` therefore has kernels without
# them.)
#
# ## Exercise 2 · `masked_conv`
#
# A masked layer, as in lesson 03, functionally: the weight stays as it is, what the mask forbids has no effect
# and gets a gradient of exactly zero. `torch.nn.functional.conv2d` does the rest.


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
# ### Your two functions at work: a network, layer by layer
#
# Below is a network of your own, `YourPixelCNN`: one masked convolution after another, A first, random weights.
# The pictures show in blue which pixels the framed one's output reacts to, with 1, 2, 4 and 12 layers on an
# image of 11 × 11. **Before you run the cell, predict the last one**: each layer brings the window's border one
# pixel further up and to both sides. With twelve layers, is there anything before the frame that it does not
# see?


# %% tags=["demo"]
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
        reacts = influence(YourPixelCNN((1, 11, 11), depth), outputs=torch.tensor([8 * 11 + 4])).view(11, 11)
        ax.imshow(reacts > 0, cmap="Blues", vmin=0, vmax=1.4)
        ax.plot(4, 8, "s", ms=11, mfc="none", mec=plots.COLORS["vermilion"], mew=2)
        ax.set(title=f"{depth} layer{'s' * (depth > 1)}", xticks=range(0, 11, 2), yticks=range(0, 11, 2))
        ax.set(xlabel="column", ylabel="row" if depth == 1 else "")
    plots.show(
        fig,
        alt="What one output in the lower left middle reads, for 1, 2, 4 and 12 layers. The field grows upwards and to the left "
        "until it fills the image there; on the right it ends at a slanted line, also with twelve layers.",
    )

# %% [markdown]
# And with three colours, two layers, for the *green* output of the framed pixel. Red, green and blue inputs
# stand side by side. Look at the framed pixel's own place in each.

# %% tags=["demo"]
with waits_for("conv_mask", "masked_conv"):
    torch.manual_seed(0)
    fig = plots.receptive_field(YourPixelCNN((3, 7, 7), 2), (1, 4, 3), title="green reads red, green, blue inputs")
    plots.show(
        fig,
        alt="Three maps for red, green and blue inputs. In all, earlier pixels around the framed one are read; the framed pixel "
        "itself only in red.",
    )

# %% [markdown]
# Green reads red at its own pixel, and neither itself nor blue. So far all is well.
#
# ## 3 · Something is missing
#
# But look again at the last picture with one colour. Twelve layers are more than enough to reach every border.
# To the left the field is full. To the right *a triangle stays white*, and four layers more would not change
# it. It is not a mistake in your masks: the check would have found it. No weight is wrong. Yet the framed
# output is meant to be $q(x_i \mid \text{all before})$, and there are pixels before it, three columns to the
# right and one row up, that it cannot hear.
#
# What is the rule? Take a pencil. A path goes from the framed pixel back to an input, a step a layer; each step
# is one of the offsets that the mask allows. How does one get to the right?
#
# ## Exercise 3 · `blind_spot`
#
# Compute exactly which pixels are lost. You may reason out a formula, or let the machine follow all paths. (Can
# the border of the image cut a path off that would be needed? Decide before you program.)


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
# ### The rule
#
# A step either stays in its row, and then it goes left or stays; or it climbs $s \ge 1$ rows, and then it may
# go at most $m = (k-1)/2$ to the right. **To get to the right one must climb**, by a row at least for every $m$
# columns. So an earlier pixel $(r', c')$ has no path to $(r, c)$, *with any number of layers*, if
#
# $$c' - c > m\,(r - r') .$$
#
# Conversely, for $k \ge 3$ and with enough layers every other earlier pixel has one: climb one row at a time, in each step moving
# sideways as needed (up to $m$), then go left in the row. All of these steps stay between the two pixels'
# columns, so the border of the image is never in the way. For $k = 3$ the border of the blind region is a line
# at 45°: of the half-plane before a pixel, 180° wide, it takes 45°, **a quarter** of a large image. Larger
# kernels make that line flatter, at the price of more weights.
#
# Your function says it in numbers. Below them is the map of the PixelCNN that was trained on digits in section
# 1, by gradients. Two kinds of pixels are orange, earlier but never read: the top row is merely too far up for
# its five layers; the staircase would stay with five hundred.


# %% tags=["demo"]
def blind_map(*args):
    """Your map, as a tensor of booleans."""
    return torch.as_tensor(blind_spot(*args)).bool()


with waits_for("blind_spot"):
    shares = {}
    for k in (3, 5, 7):
        blind = sum(int(blind_map(k, 16, 16, 16, r, c).sum()) for r in range(16) for c in range(16))
        shares[k] = blind / (256 * 255 / 2)
    told = ", ".join(f"{k} × {k}: {share:.1%}" for k, share in shares.items())
    print(f"pairs (pixel, earlier pixel) without a path, 16 × 16 pixels, as many layers as rows: {told}")
    place = (6, 2)
    predicted = blind_map(3, layers + 1, 8, 8, *place)
    fig = plots.receptive_field(pixelcnn, place, order=pixelcnn.order, title="Trained on digits")
    plots.show(
        fig,
        alt="What the trained PixelCNN reads for a pixel in row 6, column 2: the pixels above and to the left. A staircase at "
        "the upper right, and rows too far up for its layers, are marked as earlier and never read.",
    )
    read = dependencies(pixelcnn, outputs=torch.tensor([8 * place[0] + place[1]])).view(8, 8)
    before = torch.arange(64).view(8, 8) < 8 * place[0] + place[1]
    print("your map and the gradients agree:", bool((predicted == (before & ~read)).all()))

# %% [markdown]
# ### What it costs, exactly: stripes
#
# Pixels far away matter little, one might say. So let us build a world where the blind pixels are all that
# matters. A **stripe** is what a chess knight draws when it always goes one row up and two columns right; along
# it, all pixels have the same colour. Each stripe is black or white by the throw of a fair coin. The pixel
# $(r, c)$ lies on stripe number $2r + c$, which is the same for $(r - 1, c + 2)$. On $12 \times 12$ pixels
# there are $2 \cdot 11 + 12 = 34$ stripes: **34 bits** is the entropy of an image, exactly.
#
# To a network with 3 × 3 kernels all other pixels of a stripe are blind: $(r - j, c + 2j)$ is $2j$ to the right
# and only $j$ up. All that it *can* read for a pixel lies on other stripes, whose coins are independent of its
# own. So given what is read, every pixel is a fair coin, and for any weights and any number of layers
#
# $$\mathbb{E}\big[-\log_2 q(x)\big] \;\ge\; \sum_{r, c} H\big(x_{r,c} \mid \text{what is read}\big) \;=\; 12 \cdot 12 \cdot 1 \text{ bit} \;=\; 144 \text{ bits.}$$
#
# (A cross-entropy is at least the entropy, in each conditional.) **What will a PixelCNN draw that has been
# trained on stripes?**


# %% tags=["train"]
def stripes(n, seed):
    """n images (n, 1, 12, 12) of fair stripes."""
    coins = torch.randint(2, (n, 34), generator=torch.Generator().manual_seed(seed))
    r, c = torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")
    return coins[:, 2 * r + c].unsqueeze(1)


def train_on(model, draw, steps, lr=1e-2):
    """Adam on batches that draw(generator) gives; the data never end, so nothing is learnt by heart."""
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
stripe_steps = budget(smoke=5, cpu=300, gpu=1000)
torch.manual_seed(0)
plain_stripes = train_on(PixelCNN((1, 12, 12), 2, 8, 3, first_kernel=3, head=16), a_batch_of_stripes, stripe_steps)

# %% tags=["demo"]
with waits_for("blind_spot"):
    r, c = torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")
    number = 2 * r + c
    others = [
        (number == number[p, q]) & (12 * r + c < 12 * p + q) & ~blind_map(3, 12, 12, 12, p, q)
        for p in range(12)
        for q in range(12)
    ]
    print("earlier pixels of the own stripe that are not blind, over all pixels:", int(torch.stack(others).sum()))


def show_stripes(models):
    rows = {"data": striped[:8]}
    rows |= {name: model.sample(8, generator=torch.Generator().manual_seed(0)) for name, model in models.items()}
    fig, axes = plt.subplots(len(rows), 1, figsize=(9, 1.25 * len(rows)))
    for ax, (name, images) in zip(axes, rows.items(), strict=True):
        plots.image_grid(images, columns=8, ax=ax)
        ax.text(-0.01, 0.5, name, transform=ax.transAxes, ha="right", va="center", fontsize=10)
    return fig


plots.show(
    show_stripes({"PixelCNN": plain_stripes}),
    alt="Eight images of clear slanted stripes; below, eight samples of the PixelCNN trained on such images: pure noise.",
)
print(
    f"PixelCNN, 3 × 3: {metrics.nll(plain_stripes, striped) / math.log(2)} bits an image; no such network gets below 144; entropy 34"
)

# %% [markdown]
# Noise. To this network stripes *are* noise: it has found the best that it can do, one bit a pixel, and its
# likelihood is a correct likelihood. Mass one, nothing leaks, the training converged. Had we not known the
# entropy, nothing would have told us that three quarters of the bits were wasted.
#
# (A larger *first* kernel, 7 × 7 as in the paper, is a common choice. The step with it may climb one row and go
# three columns right, so these stripes become visible; but the rule above then only gains a constant,
# $c' - c > (r - r') + 2$, and stripes that go four to the right would be noise again.)
#
# ## 4 · Two stacks
#
# The trouble is the right half of the pixel's own row. All of the rows above may be read in full; but a window
# that is cut off in its own row is cut off at every place it passes through. The remedy is to keep two kinds of
# maps.
#
# * The **vertical stack** $v(r, c)$ may know *all of the rows up to $r$*, row $r$ included. Whole rows need no
#   mask: its kernel has $k_h$ rows, of which row $r$ is the last, and all of its $k_w = 2 m + 1$ columns.
# * The **horizontal stack** $h(r, c)$ may know what the output at $(r, c)$ may know. In its own row it reads
#   itself and what is to its left. What it needs from above it asks of the vertical stack, *one row further
#   up*: $v(r - 1, c)$.
#
# One layer, before any activation function, with weights $W^v$, $W^h$ and the **link** $U$, a matrix from maps
# to maps:
#
# $$a(r, c) = \sum_{s=0}^{k_h - 1} \sum_{t=-m}^{m} W^v_{s,t}\, v(r - s, c + t), \qquad b(r, c) = \sum_{t=0}^{n_h-1} W^h_t\, h(r, c - t) \;+\; U\, a(r - 1, c),$$
#
# with $n_h$ the number of pixels that the horizontal kernel covers. Then $a$ and $b$, through activation
# functions, are the next layer's $v$ and $h$. The first layer reads the image as both $v$ and $h$. There
# $h(r,c) = x_{r,c}$ is the pixel itself, which must not be seen: the same $n_h$ weights stand one column
# further left,
#
# $$b(r, c) = \sum_{t=1}^{n_h} W^h_{t-1}\, h(r, c - t) \;+\; U\, a(r - 1, c) \qquad \text{(first layer).}$$
#
# The output is made of the last $h$.
#
# **Nothing leaks.** By induction over layers: $v(r, c)$ depends on rows $\le r$ only, since it reads rows
# $\le r$ of what has this property. $h(r, c)$, from the first layer on, depends only on rows $\le r - 1$ and on
# pixels of row $r$ left of $c$: through the link it gets $a(r-1, \cdot)$, rows $\le r - 1$; through its own sum
# it gets what holds for columns $\le c$. $\square$
#
# **Nothing is lost.** Let $k_h \ge 2$ and $k_w \ge 3$. Take an earlier pixel $(r', c')$. If $r' = r$, it lies
# to the left: the first layer reads up to $n_h$ columns away, each other up to $n_h - 1$ more, so with
# $n_h \ge 2$ and $n_h + (L - 1)(n_h - 1) \ge c - c'$ there is a path. If
# $r' < r$: the last layer's link leads to $a(r - 1, c)$ of the same layer. From there each of the $L$ layers
# can climb from 0 to $k_h - 1$ rows *and at the same time* go from $-m$ to $m$ columns, in any combination. So
# with $L \ge (r - 1 - r') / (k_h - 1)$ and $L \ge |c' - c| / m$ there is a path. The vertical stack's field is
# a full rectangle, and there is no blind spot. $\square$
#
# **Why one row up, and one way.** $U\, a(r, c)$ would know the right half of row $r$: a leak. And what if $v$
# read $h$ in return? Suppose that $a(r - 1, \cdot)$, from which $h(r, \cdot)$ is fed, also read
# $h(r, \cdot)$. Then $a(r-1, c + 1)$ would know $h(r, c + 1)$ and so $x_{r,c}$; the next layer's $a(r - 1, c)$ reads $a(r-1, c+1)$,
# and hands it to $h(r, c)$: a leak, two layers long. (From $h(r, \cdot)$ into $a(r, \cdot)$, which knows row
# $r$ anyway, nothing would leak; but nothing would be gained, and $v$ could not be computed a row at a time any
# more.)
#
# ## Exercise 4 · `stacks`
#
# These sums, with zeros outside the image. In the tensors, as in any convolution, the *last* entry of a kernel is
# for the lowest row and the rightmost column that it covers: $s = 0$ and $t = 0$ stand at the end. Padding on one side only is
# `torch.nn.functional.pad(x, (left, right, top, bottom))`; negative numbers cut off.


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
# ### Your function at work: the same pixel, with two stacks
#
# Kernels of 2 × 3 for $v$ and 2 for $h$: each layer after the first adds as much as a 3 × 3 mask; to the first,
# the link and the shift give one row and one column more. Orange: comes before,
# never read. Below the pictures the same is counted over *all* pixels of a smaller one, by the course's
# debugger, which works for any network of yours. Try it on one with a mistake, say
# `explore.dependency_debugger(YourPixelCNN((3, 5, 5), 2, first="B"))`.


# %% tags=["demo"]
class YourStacks(torch.nn.Module):
    """Your two stacks with tanh between layers and random weights; one colour, two levels."""

    levels = 2

    def __init__(self, height, width, depth, maps=4):
        super().__init__()
        self.event_shape = (1, height, width)
        self.weights = torch.nn.ParameterList()
        for n in range(depth):
            into = maps if n else 1
            self.weights.extend(
                [torch.randn(maps, into, 2, 3) / 2, torch.randn(maps, into, 2) / 2, torch.randn(maps, maps) / 2]
            )

    def forward(self, x):
        v = h = x.to(self.weights[0].dtype)
        for n in range(0, len(self.weights), 3):
            v, h = stacks(v, h, *self.weights[n : n + 3], n == 0)
            v, h = v.tanh(), h.tanh()
        return h.sum(1, keepdim=True)


with waits_for("stacks"):
    torch.manual_seed(0)
    fig, axes = plt.subplots(1, 4, figsize=(9.8, 2.9))
    raster = range(121)
    for ax, depth in zip(axes, [1, 2, 4, 10], strict=True):
        plots.receptive_field(
            YourStacks(11, 11, depth), (8, 4), order=raster, ax=ax, title=f"{depth} layer{'s' * (depth > 1)}"
        )
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    plots.show(
        fig,
        alt="What one output reads with 1, 2, 4 and 10 layers of two stacks: a rectangle above, growing in all directions, and the row "
        "to the left. With ten layers every earlier pixel is read.",
    )
    explore.dependency_debugger(YourStacks(7, 7, 7))

# %% [markdown]
# And here are architectures to play with, in a live notebook: choose one, its layers and kernel, and a pixel.
# Two of them are wrong on purpose. **What is the smallest number of layers with which a gated PixelCNN with 3 ×
# 3 kernels, on these 9 × 9 pixels, has no orange cell at the lower right corner?** (Then check it with the
# inequalities above. The library's first layer reads one column fewer than yours, which does not matter here.)

# %% tags=["demo"]
explore.dependency_explorer()

# %% [markdown]
# ### Stripes again, and the small world
#
# A gated PixelCNN (two stacks; its gates are the next section) on stripes. Then both kinds on the small world,
# where one can do better than compare: the least that *any* network must lose that has plain PixelCNN's blind
# spot can be computed. If pixel $i$ reads the set $R_i$ of earlier pixels, the best it can do is
# $p(x_i \mid x_{R_i})$, so its KL divergence from the world is at least
#
# $$\sum_i \Big[ H(x_i \mid x_{R_i}) - H(x_i \mid x_{<i}) \Big] = \sum_i H(x_i \mid x_{R_i}) - H(x),$$
#
# with $H(x_i \mid x_R) = H(x_i, x_R) - H(x_R)$ from the exact table of 65,536 probabilities.

# %% tags=["train"]
torch.manual_seed(0)
gated_stripes = train_on(GatedPixelCNN((1, 12, 12), 2, 8, 3, kernel=3, head=16), a_batch_of_stripes, stripe_steps)

many = world.sample(100_000, generator=torch.Generator().manual_seed(0)).view(-1, 1, 4, 4)
world_steps = budget(smoke=5, cpu=500, gpu=3000)


def a_batch_of_the_world(rng):
    return many[torch.randint(len(many), (100,), generator=rng)]


def train_world(model, steps=world_steps, lr=1e-2):
    return train_on(model, lambda rng: a_batch_of_the_world(rng).view(-1, *model.event_shape), steps, lr)


@torch.no_grad()
def world_log_q(model):
    """What a model says of each of the 65,536 images, in nats, float64."""
    return torch.cat([model.log_prob(x) for x in world.states.view(-1, *model.event_shape).split(8192)]).double()


def gap(log_q):
    """KL(small world || model) in nats, exactly."""
    return float(p_world @ (world.log_p - log_q))


settings = dict(channels=16, layers=3, head=32, position_bias=True)
world_models = {"FVBN (lesson 01)": train_world(FVBN(16), lr=5e-2)}
torch.manual_seed(0)
world_models["PixelCNN, 3 × 3"] = train_world(PixelCNN((1, 4, 4), 2, first_kernel=3, **settings))
torch.manual_seed(0)
world_models["gated PixelCNN, 3 × 3"] = train_world(GatedPixelCNN((1, 4, 4), 2, kernel=3, **settings))

# %% tags=["demo"]
plots.show(
    show_stripes({"PixelCNN": plain_stripes, "gated": gated_stripes}),
    alt="Stripes; noise from the plain PixelCNN; and from the gated PixelCNN clear stripes like those of the data.",
)
print(
    f"stripes, bits an image: entropy 34; gated {metrics.nll(gated_stripes, striped) / math.log(2)}, plain {metrics.nll(plain_stripes, striped) / math.log(2)}\n"
)
table = p_world.view((2,) * 16)


def entropy_of(pixels):
    """Entropy in nats of a set of pixels of the small world."""
    rest = [d for d in range(16) if d not in pixels]
    p = table.sum(rest).flatten() if rest else p_world
    return float(-(p * p.log()).sum())


for name, model in world_models.items():
    print(f"small world, {name:24} KL {gap(world_log_q(model)):.3f} nats")
with waits_for("blind_spot"):
    floor = -world.entropy
    for i in range(16):
        blind = blind_map(3, 4, 4, 4, i // 4, i % 4).flatten()
        heard = [j for j in range(i) if not blind[j]]
        floor += entropy_of([*heard, i]) - entropy_of(heard)
    print(f"small world, the least that a network with this blind spot can lose: {floor:.3f} nats")

# %% [markdown]
# Stripes are drawn, at 34 bits and a little. On the small world the plain PixelCNN ends near its floor: what it
# misses, it misses mostly because it is deaf, not because it is badly trained. The gated one goes far below
# that floor, and what remains there is training and size.
#
# ## 5 · Gates, and labels
#
# What stands between the layers? Van den Oord et al. (2016b) noticed that the recurrent networks of lesson 05,
# which beat the PixelCNN of the time, have *multiplications* inside: one number decides how much of another is
# let through. A **gate** brings that to a convolution. The layer makes $2 C'$ maps instead of $C'$; the first
# half are values, the second half say how far the value may pass:
#
# $$y = \tanh(a_{\text{value}}) \odot \sigma(a_{\text{gate}}), \qquad a = (a_{\text{value}}, a_{\text{gate}}) .$$
#
# Products of two functions of the past are what a sum followed by a $\operatorname{relu}$ needs many units for
# ("this is ink *if* that is").
#
# **Labels.** To model $p(x \mid y)$ with a class $y \in \{0, \dots, 9\}$, add to each of the $2C'$ maps a
# number that depends on $y$ alone, *before* the activation functions: $a + V_y$, the same at each pixel: it
# says what is in the image, not where. ($V_y$ is a vector of $2C'$ weights, one vector a class.) Each
# conditional becomes $q(x_i \mid x_{<i}, y)$, and their product sums to 1 over $x$ for every $y$.
#
# ## Exercise 5 · `gate`


# %% exercise="gate"
def gate(a, of_label):
    """Gated activation of 2 C maps.

    Both tensors are float32, or both float64. Gradients reach both, and are right for all finite numbers.

    Args:
        a: (n, 2C, H, W), any finite numbers. The first C maps are values, the last C decide how much of them passes. It
            is left as it is.
        of_label: (n, 2C), added to each pixel's maps before anything else; or None, for nothing.

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
# ### Your functions at work: a gated PixelCNN of your own
#
# Three layers of your `stacks` and `gate`, a 1 × 1 convolution, nothing else; trained on the small world. (A
# bias is the term of a label of which there is only one kind: that is how it enters here.)


# %% tags=["train"]
class YourGatedPixelCNN(torch.nn.Module):
    """Your stacks and gates, for the small world."""

    event_shape, levels = (1, 4, 4), 2

    def __init__(self, maps=16, depth=3):
        super().__init__()
        self.layers = torch.nn.ModuleList()
        for n in range(depth):
            into = maps if n else 1
            shapes = {
                "v": (2 * maps, into, 2, 3),
                "h": (2 * maps, into, 2),
                "link": (2 * maps, 2 * maps),
                "bias_v": (1, 2 * maps),
                "bias_h": (1, 2 * maps),
            }
            self.layers.append(
                torch.nn.ParameterDict({k: torch.randn(s) / math.sqrt(math.prod(s[1:])) for k, s in shapes.items()})
            )
        self.position = torch.nn.Parameter(torch.zeros(maps, 4, 4))
        self.output = torch.nn.Sequential(
            torch.nn.ReLU(), torch.nn.Conv2d(maps, 32, 1), torch.nn.ReLU(), torch.nn.Conv2d(32, 1, 1)
        )

    def forward(self, x):
        v = h = x.to(self.position.dtype)
        for n, layer in enumerate(self.layers):
            a, b = stacks(v, h, layer["v"], layer["h"], layer["link"], n == 0)
            v = gate(a, layer["bias_v"].expand(len(x), -1))
            h = gate(b, layer["bias_h"].expand(len(x), -1)) + (h if n else self.position)
        return self.output(h)

    def log_prob(self, x):
        return distributions.bernoulli_log_prob(self(x), x).flatten(1).sum(1)


with waits_for("stacks", "gate"):
    torch.manual_seed(0)
    yours = world_log_q(train_world(YourGatedPixelCNN()))
    print(f"your gated PixelCNN: KL {gap(yours):.3f} nats, total mass {yours.exp().sum():.6f}")

# %% [markdown]
# ### One network, three models
#
# Now digits, given their label: a gated PixelCNN with ten classes, from `course_lib`. It gives $p(x \mid y)$
# for any image and any label, exactly. With the classes' frequencies $p(y) = 1/10$ that is a *joint*
# distribution, and two other models come for nothing:
#
# $$p(x) = \sum_y p(y)\, p(x \mid y) = \frac{1}{10} \sum_y p(x \mid y), \qquad\qquad p(y \mid x) = \frac{p(x \mid y)}{\sum_{y'} p(x \mid y')} .$$
#
# The first is a density of digits without labels, to be compared with all others; the second is Bayes'
# classifier of lesson 01. **How many bits/dim can the label be worth, at most?** From the second formula,
# $\log p(x \mid y) - \log p(x) = \log p(y \mid x) + \log 10 \le \log 10$: a label saves at most $\log 10$ =
# 2.30 nats an image, and here that is $\log_2(10)/64$ = 0.052 bits/dim. Whoever reports a class-conditional
# likelihood beside unconditional ones gains up to that much by being told the answer.

# %% tags=["train"]
torch.manual_seed(0)
gated = GatedPixelCNN((1, 8, 8), 16, channels, layers, kernel=3, head=48, position_bias=True, classes=10)
print(fit(gated, digits, epochs=budget(smoke=1, cpu=30, gpu=60), batch_size=64, lr=4e-3, optimizer=decay, labels=True))

# %% tags=["demo"]
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
bits = 64 * math.log(2)
print(f"gated PixelCNN, given the label : {metrics.Estimate.of(-own_label) / bits} bits/dim")
print(
    f"gated PixelCNN, p(x)            : {metrics.Estimate.of(-log_p_x) / bits} bits/dim; the difference {metrics.Estimate.of(own_label - log_p_x)} of at most 2.30 nats"
)
print(f"plain PixelCNN                  : {metrics.nll(pixelcnn, test.x) / bits} bits/dim")
seen = pixels.cumsum(2)[:, :, 7::8]  # log p(first rows | y), after 1, 2, ..., 8 rows
right = (seen.argmax(1) == test.y[:, None]).double().mean(0)
fig, ax = plt.subplots(figsize=(5.6, 2.8))
ax.plot(range(9), [0.1, *right], "o-")
ax.set(
    xlabel="rows seen",
    ylabel="share of test digits read rightly",
    xticks=range(9),
    ylim=(0, 1.04),
    title="A classifier that needs only the beginning",
)
plots.show(
    fig,
    alt="The share of test digits classified rightly, against the number of rows seen: it rises from a tenth to nearly all.",
)
print("after 0, 1, ..., 8 rows:", [0.1, *[round(float(share), 2) for share in right]])

# %% [markdown]
# The figure costs nothing extra. Since the chain rule goes row by row, $p(\text{first } j \text{ rows} \mid y)$
# is the product of the first $8 j$ conditionals, exactly, and Bayes' rule needs no more. A discriminative
# classifier would have to be trained anew for each $j$.
#
# ## 6 · Levels are ordered
#
# So far each pixel's levels were $K$ separate things: $K$ logits, a softmax. At $K = 256$ that is 256 numbers a
# pixel and colour, and the model has to learn from data that level 127 lies between 126 and 128, for each level
# anew. What should a likelihood over ordered levels know?
#
# * *Neighbours are alike*: probability should come in lumps.
# * *There may be several lumps*: the pixel goes on like the left neighbour, or an edge begins.
# * *The ends are special*: a camera that saturates writes 255 for all that is brighter, and 0 for all that is
#   darker. The end levels collect.
#
# Salimans et al. (2017) take this literally. Behind the level stands a real number, drawn from a **logistic
# distribution** with mean $\mu$ and scale $s$, whose distribution function is
# $P(\text{number} \le z) = F((z - \mu)/s)$ with $F = \sigma$, the logistic function. It is *rounded to the
# nearest level, and from beyond the ends to the ends*:
#
# $$P(x) = \underbrace{F\!\left(\frac{x + \frac12 - \mu}{s}\right)}_{1 \text{ at } x = K - 1} - \underbrace{F\!\left(\frac{x - \frac12 - \mu}{s}\right)}_{0 \text{ at } x = 0} .$$
#
# Over all levels the sum telescopes to $1 - 0$: it is one *for any $\mu$ and $s$*, also with $\mu$ far outside
# of $0, \dots, K - 1$. A mixture of $M$ of them, with weights $w = \operatorname{softmax}(\dots)$, has $3M$
# parameters: 30 for ten components, whether there are 256 levels or 65,536.
#
# **The numbers.** Far from the mean both terms round to 1 (or both to 0), their difference is 0, its logarithm
# $-\infty$, and its gradient NaN. Write $b > a$ for the two arguments. With $F(z) = 1/(1 + e^{-z})$,
#
# $$F(b) - F(a) = \frac{e^{-a} - e^{-b}}{(1 + e^{-b})(1 + e^{-a})} .$$
#
# Now take a factor out of the numerator such that only $b - a$ is left in it, which does not depend on $x$ at
# all, and let the two brackets belong to one logistic function each. The result is a product of *three factors,
# without a difference of nearly equal numbers*, and the logarithm of each can be computed anywhere: that of $F$
# is `torch.nn.functional.logsigmoid`, and for $1 - e^{-y}$ with small $y$ there is `torch.expm1`, which is
# $e^y - 1$ without loss. What remains of the three at the ends?
#
# ## Exercise 6 · `discretized_logistic`


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
# The three factors are $F(b)\, F(-a)\, (1 - e^{a-b})$. Where the plain difference has lost all digits, this has
# lost none.
#
# ## Exercise 7 · `sample_mixture`
#
# To sample: choose a component by its weight, draw the logistic variable by inverting its distribution function
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
# ### Your functions at work: two likelihoods, learnt from few data
#
# Real levels, 256 of them: the blue channel of a photograph that comes with scikit-learn (a palace in China,
# much sky, 273,280 pixels). Its histogram shall be the truth. From $n$ pixels drawn at random we learn it
# twice. The *softmax* has a probability for each level; its best estimate is the counts, with something added
# to each, else unseen levels cost infinitely much; we add what is best in hindsight. The *mixture* has ten
# logistics, fitted by gradient with your `discretized_logistic`. Left, both after 300 pixels. Right, the KL
# divergence from the truth. **Which one is better with few data? And with very many?**

# %% tags=["train"]
photo = torch.from_numpy(load_sample_image("china.jpg").copy()).long()
blue = photo[:, :, 2].flatten()
truth = torch.bincount(blue, minlength=256).double() / len(blue)
levels256 = torch.arange(256)
fit_steps = budget(smoke=5, cpu=300, gpu=1000)


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


# %% tags=["demo"]
sizes, kls = [100, 300, 1000, 3000, 10_000, 100_000], {"softmax": [], "10 logistics": []}
with waits_for("discretized_logistic", "sample_mixture"):
    for n in sizes:
        draws = blue[torch.randint(len(blue), (n,), generator=torch.Generator().manual_seed(n))]
        counts = torch.bincount(draws, minlength=256).double()
        smoothed = [((counts + extra) / (n + 256 * extra)).log() for extra in (0.03, 0.1, 0.3, 1, 3)]
        softmax_log_q = min(smoothed, key=divergence)
        mixture = fit_mixture(draws)
        mixture_log_q = mixture_log_prob(levels256, *mixture)
        kls["softmax"].append(divergence(softmax_log_q))
        kls["10 logistics"].append(divergence(mixture_log_q))
        if n == 300:
            at300 = {
                "softmax, 256 numbers": softmax_log_q,
                "10 logistics, 30 numbers": mixture_log_q,
                "mixture": mixture,
            }
    fig, axes = plt.subplots(1, 2, figsize=(9.8, 3.2), width_ratios=[1.7, 1])
    axes[0].fill_between(levels256, truth, step="mid", color="0.85", label="truth")
    for name in ("softmax, 256 numbers", "10 logistics, 30 numbers"):
        axes[0].step(levels256, at300[name].exp(), where="mid", lw=1.1, label=name)
    axes[0].set(xlabel="level", ylabel="probability", ylim=(0, 0.075), title="Learnt from 300 pixels")
    axes[0].legend(loc="upper center")
    for (name, values), marker in zip(kls.items(), "os", strict=True):
        axes[1].plot(sizes, values, marker=marker, label=name)
        print(f"{name:12}", "  ".join(f"n = {n}: {kl:.4f}" for n, kl in zip(sizes, values, strict=True)), "nats")
    axes[1].set(
        xscale="log",
        yscale="log",
        xlabel="pixels learnt from",
        ylabel="KL from the truth (nats)",
        title="Knowing the order helps, then hinders",
    )
    axes[1].legend()
    plots.show(
        fig,
        alt="Left: the photograph's histogram, with a tall bar at 255, and two estimates from 300 pixels: the softmax jagged, the "
        "mixture smooth, both with the bar at 255. Right: KL against the number of pixels; the mixture is better with few, up to four "
        "times, the softmax with very many.",
    )
    u = torch.rand(100_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).clamp_min(1e-12)
    drawn = torch.as_tensor(sample_mixture(*(p.expand(len(u), -1) for p in at300["mixture"]), 256, u))
    print(
        f"level 255: your likelihood says {at300['10 logistics, 30 numbers'][255].exp():.4f}, your sampler draws it with frequency {(drawn == 255).double().mean():.4f}; truth {truth[255]:.4f}"
    )

# %% [markdown]
# With few data, 30 numbers that know about order beat 256 that do not; with very many the softmax wins, since
# the histogram has corners that ten lumps cannot make. A network is always in the first situation, *for each
# context that it meets*. Note how the tall bar at 255 costs the mixture nothing: a component may have its mean
# beyond the end.
#
# ### Colours: one component for the whole pixel
#
# The three colours of a pixel depend on each other strongly. With maps that belong to colours (section 2) the
# network learns how. Salimans et al. let the *likelihood* do it, and the network needs no colour groups at all:
# one mixture for the whole pixel, $M$ components, each with
#
# $$\mu'_R = \mu_R, \qquad \mu'_G = \mu_G + \alpha\, x_R, \qquad \mu'_B = \mu_B + \beta\, x_R + \gamma\, x_G ,$$
#
# the **sub-pixel chain**: within a component each colour's mean is linear in the colours before. The network
# gives $\mu, s, \alpha, \beta, \gamma$ and the weights from *earlier pixels* alone. That makes
# $1 + 3 \cdot 3 = 10$ numbers a component, 100 for ten of them, where three softmaxes have 768.
#
# **The trap**: the component is *shared*,
#
# $$p(x_R, x_G, x_B) = \sum_m w_m\, P(x_R \mid \mu'_{R,m}, \dots)\, P(x_G \mid \mu'_{G,m}, \dots)\, P(x_B \mid \mu'_{B,m}, \dots),$$
#
# one sum over products. Three sums, multiplied, are another model: it may take its red from the sky and its
# blue from the roof. We fit five components to 1,000 pixels of the photograph (each pixel by itself, no
# context) in three ways, and test on 20,000 others.


# %% tags=["train"]
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
    print(f"{name:32} {metrics.Estimate.of(cost) / (3 * math.log(2))} bits a colour (uniform: 8)")

# %% [markdown]
# Sharing the component is worth about a bit a colour, the chain half a bit more. All three are normalised; the
# first two simply say false things about colours.
#
# ### PixelCNN++: what else it changes
#
# This likelihood is the first half of PixelCNN++; the other half is its network (sections 2.3 to 2.5 of the
# paper).
#
# * **Shifts instead of masks.** There are two streams, like our two stacks. But nothing is cut out of a kernel:
#   the *image* is moved, a row down for the one stream, a column to the right for the other, and from then on
#   kernels reach only up and to the left.
# * **Halved grids.** After some blocks the maps go on at half the height and width, then at half of that, and
#   all the way back. On a halved grid a kernel reaches twice as far, and a block costs a quarter.
# * **Short-cuts.** What a block made on the way down is added where the way back passes the same grid; detail
#   need not squeeze through the small grids.
# * **Dropout**, since such networks learn their training images by heart.
#
# The delicate one is the second: a pixel of a halved grid speaks to four pixels of the full one, and must know
# nothing that the *first* of the four may not. Below, one output of three networks on 20 × 20 pixels; beside
# each stands what a pass costs. The second and the third cost about the same. **Which reaches further?**

# %% tags=["demo"]
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.6))
x = torch.zeros(1, 1, 20, 20, dtype=torch.long)
for ax, (blocks, halvings) in zip(axes, [(1, 0), (2, 0), (1, 2)], strict=True):
    network = PixelCNNPlusPlus((1, 20, 20), 2, 8, blocks, halvings=halvings, mixtures=1)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x)
    title = f"{blocks} block{'s' * (blocks > 1)}, {['not halved', '', 'halved twice'][halvings]}\n{counter.get_total_flops() / 2e6:.1f} million multiplications"
    plots.receptive_field(explore.open_paths(network), (16, 9), order=network.order, ax=ax, title=title)
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
plots.show(
    fig,
    alt="What one output of three PixelCNN++ reads. One block without halving: a small rectangle above and to the left. Two blocks "
    "without halving: a larger one, still with a blind border. One block on each of three grids: all earlier pixels.",
)

# %% [markdown]
# Far pixels at the price of near ones; and no field has a gap, as with two stacks. The short-cuts are no
# ornament: without them, the paper says, the network "fails to train" (section 3.4.2). On 8 × 8 digits there is
# nothing far away to reach, and one grid does just as well.
#
# ## 7 · Sampling: what is computed, and how often
#
# The likelihood is one pass. A sample is $D$ steps, each of which needs the conditional of one pixel; and the
# plain sampler runs the *whole network over the whole image* for each. Count in units of "one layer at one
# pixel": the plain sampler does $H W \cdot L$ of them for each of the $H W$ pixels,
#
# $$\text{plain:}\quad (HW)^2 L, \qquad\qquad \text{needed:}\quad HW\, L,$$
#
# since a map at a pixel never changes once the pixels that it reads are drawn. For 28 × 28 that is a factor of
# 784, for 32 × 32 of 1,024. Kingma et al. (2016, section 6.2) timed it: 52 seconds an image for a PixelCNN on
# CIFAR-10, 0.05 for their own model. Nothing forces one to wait so long.
#
# *When* can a map be computed? $v(r, \cdot)$ as soon as row $r$ is complete: a whole row at once. $h(r, c)$
# when all to the left is drawn: a pixel at a time. So the vertical stack goes down the image row by row, and of
# each layer we only have to keep the last $k_h - 1$ rows of its input. That is the **cache**.
#
# ## Exercise 8 · `vertical_step`
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
# ### Your cache at work: the same images, and how much sooner
#
# A whole sampler for a gated PixelCNN, around your step: for each row, all vertical layers by your function;
# then along the row the horizontal layers, a pixel at a time, each a small product of matrices. It is compared
# with the plain sampler and with `course_lib`'s own, from the same uniform numbers. **Estimate the factors
# first**, for 8 × 8 and for 16 × 16 pixels.


# %% tags=["demo"]
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
        for i, layer in enumerate(
            model.layers
        ):  # what row r - 1 of the vertical stack says to row r of the horizontal one
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
        print(
            f"{name:24} the same images: {same}; {told} (yours {times['plain'] / times['yours']:.0f} times as fast as plain)"
        )

# %% [markdown]
# The same images, bit by bit, sooner by a factor that grows with the image; `course_lib` keeps its weights
# prepared between pixels, and gains some more on the larger image. On small images the factor is less than $HW$: a pass over 64
# pixels at once costs the machine less than 64 times one pixel. What remains is a loop of $D$ steps that wait
# for one another.
#
# ## 8 · Completion, samples, and are they copies?
#
# If the first pixels of an image are given, the rest can be drawn from exactly
# $p(\text{rest} \mid \text{beginning})$: just start the sampler later. It must be the *beginning*: to hold
# other pixels fixed while drawing in order would ignore what is known below (lesson 01; orderless NADE in
# lesson 02 could do it).
#
# ## Exercise 9 · `complete`
#
# Pixel by pixel and, within a pixel, colour by colour. Mind the two layouts: *places* count colours fastest,
# the tensor's memory counts them slowest.


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
# ### Your function at work: the same beginning, ten endings
#
# Five test digits of which the upper half is known. The gated PixelCNN completes each under every label. On the
# left, how probable the half makes the three likeliest labels (section 5). **Which endings will look natural,
# and what will the network do with a label that the upper half contradicts?**


# %% tags=["demo"]
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
    rows = [
        torch.cat([test.x[chosen[i], None].double() / 15, hidden[i, None], endings[10 * i : 10 * i + 10].double() / 15])
        for i in range(5)
    ]
    fig, ax = plt.subplots(figsize=(9.5, 4.2))
    plots.image_grid(torch.cat(rows), columns=12, ax=ax)
    for column, name in enumerate(["digit", "known", *range(10)]):
        ax.text(9 * column + 4.5, -1.5, name, ha="center", va="bottom", fontsize=9)
    posterior = seen[chosen, :, 3].softmax(1)
    for i, probabilities in enumerate(posterior):
        best = probabilities.topk(3)
        text = ", ".join(f"{y}: {p:.2f}" for y, p in zip(best.indices.tolist(), best.values.tolist(), strict=True))
        ax.text(-1, 9 * i + 4.5, text, ha="right", va="center", fontsize=9)
    plots.show(
        fig,
        alt="Five rows: a test digit, its upper half, and ten completions under the labels 0 to 9. Under a fitting label the strokes "
        "go on naturally; under others the network bends them towards that digit.",
    )

# %% [markdown]
# Where the label fits, the strokes simply go on. Where it does not, the network bends them until the whole can
# pass for the digit asked for, or gives up. And it knows what fits: the numbers on the left say so, even that the
# fourth digit, a 7, might as well have become a 2. To complete *without* a label, draw one from these
# probabilities, then the rest under it: an exact sample of $p(\text{rest} \mid \text{beginning})$ under the
# mixture $p(x)$ of section 5.
#
# ### Class-conditional samples, read by somebody else
#
# Samples look good to those who made them. So let a classifier that knows nothing of our model read them: a
# support vector machine, trained on the training digits. And let us ask how far each sample is from the
# *nearest* training digit. If the model had learnt its data by heart, that distance would be far below what it
# is for true new digits, those of the test set.

# %% tags=["demo"]
reader = SVC().fit(train.x.flatten(1), train.y)
print(f"reads {reader.score(test.x.flatten(1), test.y):.1%} of the test digits rightly")
asked = torch.arange(10).repeat(30)
samples = gated.sample(300, labels=asked, generator=torch.Generator().manual_seed(0))
print(f"reads {reader.score(samples.flatten(1), asked):.1%} of 300 samples as the digit that was asked for")


def nearest(a):
    """For each image, the distance to the nearest training digit (root of the sum of squares, in levels), and which it is."""
    return torch.cdist(a.flatten(1).double(), train.x.flatten(1).double()).min(1)


to_samples, to_test = nearest(samples), nearest(test.x)
fig, axes = plt.subplots(1, 2, figsize=(9.8, 3), width_ratios=[1.5, 1])
neighbours = train.x[to_samples.indices]
rows = torch.cat([samples[:10], neighbours[:10], samples[10:20], neighbours[10:20]])
plots.image_grid(rows, levels=16, columns=10, ax=axes[0], title="Samples; below each, the nearest training digit")
bins = np.linspace(0, 40, 21)
axes[1].hist(to_samples.values, bins, histtype="step", lw=1.8, label="samples")
axes[1].hist(to_test.values, bins, histtype="step", lw=1.8, ls="--", label="test digits")
axes[1].set(xlabel="distance to the nearest training digit", ylabel="images", title="No copies")
axes[1].legend()
plots.show(
    fig,
    alt="Left: twenty samples of the labels 0 to 9, most of them readable, and the training digits nearest to them, which differ visibly. "
    "Right: histograms of distances to the nearest training digit; that of the samples lies a little to the right of that of test digits.",
)
print(
    f"mean distance to the nearest training digit: samples {to_samples.values.mean():.1f}, test digits {to_test.values.mean():.1f}; smallest: {to_samples.values.min():.1f} and {to_test.values.min():.1f}"
)

# %% [markdown]
# Nearly nine in ten samples are read as the digit that was asked for. None is a copy: samples lie *farther* from the training digits
# than new digits do, by a fifth or so, since some are malformed. (Such a test can prove copying and cannot rule
# out every kind of it; without the yardstick of the test digits it says nothing at all.)
#
# ## 9 · Reading published tables
#
# Here are two tables as such papers print them, with a column that they leave out: *what kind of number it is*.
# Test sets, unless said otherwise.
#
# **CIFAR-10**, bits/dim (32 × 32 colour photographs, $D = 3072$, $K = 256$):
#
# | model | bits/dim | kind | quoted in |
# | --- | --- | --- | --- |
# | uniform | 8.00 | exact: $\log_2 256$ | [IAF], Table 2 |
# | multivariate Gaussian | 4.70 | a density | [IAF], Table 2 |
# | NICE | 4.48 | a density | [IAF], Table 2 |
# | deep GMMs | 4.00 | a density | [IAF], Table 2 |
# | convolutional DRAW | 3.58 | upper bound | [IAF], Table 2 |
# | Real NVP | 3.49 | a density | [IAF], Table 2 |
# | PixelCNN | 3.14 | exact | [PP], Table 1 |
# | VAE with IAF | 3.11 | estimate | [IAF], Table 2 |
# | gated PixelCNN | 3.03 (train: 2.90) | exact | [DDPM], Table 1 |
# | PixelRNN (diagonal BiLSTM) | 3.00 | exact | [PP], Table 1 |
# | PixelCNN++ | 2.92 | exact | [PP], Table 1 |
# | DDPM | 3.70 (train: 3.69) | upper bound | [DDPM], Table 1 |
#
# **Binarized MNIST**, nats, the *fixed* binarization:
#
# | model | nats | kind | quoted in |
# | --- | --- | --- | --- |
# | NADE, fixed order | 88.33 | exact | [BiL], Table 2 |
# | DLGM 8 | 88.30, or 85.51 | upper bound, or estimate | [DVAE], Table 1 (there: HVI); [BiL], Table 2 |
# | EoNADE, 2 layers, 128 orderings | 85.10 | exact | its authors' plotting script |
# | VAE with normalizing flows | 85.10 | upper bound | [DVAE], Table 1 |
# | DBN, 2 layers | 84.55 | estimate | [BiL], Table 2 |
# | DARN, 1 layer | 84.13 | estimate | [BiL], Table 2 |
# | PixelCNN | 81.30 | exact | [SeRe], Table 2 |
# | DRAW | 80.97, or 87.40 | upper bound | [BiL], Table 2; [DVAE], Table 1 |
# | VAE with IAF | 79.88 | estimate | [IAF], section 6.1 |
# | PixelRNN (diagonal BiLSTM, 7 layers) | 79.20 | exact | [VLAE], Table 1 |
# | VLAE | 79.03 | estimate | [VLAE], Table 1 |
#
# [IAF] Kingma et al. 2016, [PP] Salimans et al. 2017, [DDPM] Ho et al. 2020, [BiL] "Variational Bi-LSTMs" (a
# submission to ICLR), [DVAE] Rolfe 2017, [VLAE] Chen et al. 2017, [SeRe] "Self-Reflective VAE" (a submission to
# ICLR). We print what we could read in the source named; most of it is *quoted* there from the model's own
# paper, and its kind is what the source says or what follows from the model. Famous rows that we could not
# read, such as RIDE and the deep Boltzmann machine, are left out.
#
# **Before you read on**: which pairs of rows may *not* be compared, and why? Which direction does each kind err
# in?
#
# * **Exact**, **bound**, **estimate.** An upper bound on the NLL can only be too high: the model may be better
#   than its row. An estimate (by importance samples, or of a partition function) can err to either side: on
#   average, importance sampling too puts the NLL too high; a partition function that is underestimated makes a
#   model look *better* than it is. The two DLGM figures are 2.8 nats apart and, as far as one can tell, of the
#   same model: one is its bound, the other an estimate. In a table that prints only the latter it beats NADE
#   clearly; as a bound it does so by 0.03.
# * **Densities.** A Gaussian's "4.70" is no probability of levels. With noise spread evenly over each level's
#   cell, a density gives an upper bound on the cost of the levels (Theis et al. 2016; lesson 02): below you do
#   it. Without such noise, a density on levels can be made arbitrarily large.
# * **Test or train.** The gated PixelCNN costs 2.90 on its training images, 3.03 on others. PixelCNN++ without
#   dropout gets *below 2.0 on the training set and above 6.0 on the test set* (its section 3.4.3). A number
#   without that word is worth nothing. It happens by mistake, too: in a public code of importance-weighted
#   autoencoders a download script fetched the training file three times, so that the figures for the fixed
#   binarization were measured on training images (pull request 1 of `yburda/iwae`).
# * **Two data sets, one name.** "Binarized MNIST" is fixed (one binary file) or dynamic (drawn anew from grey
#   levels). IAF has 79.88 on the one and 79.10 on the other. Yet the table of [SeRe], captioned "dynamically
#   binarized", lists 79.03, 79.20, 79.88 and 81.30. The first three are the *fixed* figures of the papers quoted;
#   so we take PixelCNN's for one, too, and as long as we have not seen it in its own paper, that is a guess. A
#   repository of many models resamples its training images every epoch, and says that its own figures may be
#   optimistic for that.
# * **Quotations.** The IAF paper (section 6.1) credits 79.2 to "the PixelCNN"; it is the recurrent network's
#   figure, PixelCNN's is two nats higher. Table 7 of Gu et al. (2022) has 3.00 as "Row PixelRNN"; it belongs to
#   the diagonal BiLSTM. DRAW is 80.97 here and 87.40 there. 85.10 stands twice above, for two models, by
#   coincidence.
# * **A likelihood at all?** A widely copied code of MADE reports a test loss of 79.3 for ten orderings, 94.5
#   for one. It averages logits *over orderings*: lesson 03, section 8, has what that is worth.
# * **Given what?** A class-conditional figure has been told the label: worth at most $\log_2(10)/3072 = 0.001$
#   bits/dim on CIFAR-10, so it cannot explain a difference that you can see in this table.
#
# ### The first rows, on our data
#
# Uniform and Gaussian can be had in a minute, and every table should begin with them: they say what the scale
# means. The uniform guess costs $\log_2 16$ = 4. The **Gaussian** is a density of $z = x + u$, with $u$ uniform
# on $[0, 1)^D$. Since the probability of a level is the integral of the density $q$ over its cell, Jensen's
# inequality gives
#
# $$\log P(x) = \log \int_{[0,1)^D} q(x + u)\, du \;\ge\; \mathbb{E}_u \log q(x + u) .$$
#
# For a Gaussian with mean $\mu$ and covariance $\Sigma$ the expectation needs no sampling: $x + u$ has mean
# $x + \frac12$ and the noise variance $\frac1{12}$ in each dimension, so that
# $\mathbb{E}_u (z - \mu)^\top \Sigma^{-1} (z - \mu) = (x + \tfrac12 - \mu)^\top \Sigma^{-1} (x + \tfrac12 - \mu) + \tfrac1{12} \operatorname{tr} \Sigma^{-1}$.

# %% tags=["demo"]
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
# A full covariance is worth a great deal and is still far from a neural network: on our digits as on CIFAR-10,
# where the table has 4.70 against 3 and a little. (That the *independent histogram* beats the Gaussian with its
# covariance on digits has one main reason: many pixels are nearly always 0, and a Gaussian cannot say "exactly 0".)
#
# ## 10 · Locally good, globally lost
#
# Whoever has seen samples of a PixelCNN trained on photographs knows them: every patch is convincing, textures,
# edges, light; and the whole shows nothing. Our digits are too small for that. So take images where *far*
# things belong together: **twins**, one of the eight glyphs of the small world above, and the same glyph again
# below, seven rows apart. An image is one of eight: entropy $\log_2 8$ = **3 bits**.
#
# A gated PixelCNN with two layers of 3 × 3 kernels sees three rows up. For a pixel of the lower glyph these
# hold blank paper and the lower glyph's own beginning, which says nothing about the upper one. So the lower
# glyph must be guessed anew, for another $\log_2 8$ bits: **no such network gets below 6 bits**, whatever its
# training. The second network has four layers of 5 × 5 and reaches nine rows.

# %% tags=["train"]
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


# %% tags=["demo"]
def read_glyphs(x, top):
    """Which glyph stands at the rows from `top` on; -1 for none."""
    same = (x[:, None, 0, top : top + 3, 1:4] == glyphs).flatten(2).all(2)
    return torch.where(same.any(1), same.long().argmax(1), -1)


fig, axes = plt.subplots(1, 3, figsize=(9.8, 2.5))
plots.image_grid(a_batch_of_twins(torch.Generator().manual_seed(1))[:16], columns=8, ax=axes[0], title="Data")
for ax, (name, model) in zip(axes[1:], reach.items(), strict=True):
    drawn = model.sample(1000, generator=torch.Generator().manual_seed(0))
    upper, lower = read_glyphs(drawn, 1), read_glyphs(drawn, 8)
    plots.image_grid(drawn[:16], columns=8, ax=ax, title=name)
    both = (upper >= 0) & (lower >= 0)
    print(
        f"{name}: {metrics.nll(model, twins).mean / math.log(2):.2f} bits; glyphs that are right {((upper >= 0).double().mean() + (lower >= 0).double().mean()) / 2:.1%}, pairs of right glyphs that are twins {(upper == lower)[both].double().mean():.1%}"
    )
plots.show(
    fig,
    alt="Left: images with the same glyph above and below. Middle: samples of the network with short reach, clean glyphs that mostly do not "
    "match. Right: samples of the network with long reach, in which nearly all match.",
)

# %% [markdown]
# Each glyph is nearly perfect. Only one pair in eight matches, as by chance: **locally good, globally lost**.
# The network that reaches far enough has learnt to match them. But note the price, for twelve rows: a deep
# stack of larger kernels, where each layer adds two rows.
#
# For photographs reach alone is not the whole story. A model of CIFAR-10 at 3 bits/dim spends $3 \cdot 3072$ =
# 9,216 bits on an image. *To know which of the ten classes it shows* saves at most $\log_2 10$ = 3.3 of them:
# 0.001 bits/dim, which no table prints. The likelihood is an honest judge of everything at once, and nearly
# everything is texture. (Salimans et al., section 3.3, cut their network's field to a small one and lost
# surprisingly little.) A model can be excellent in nats and lost in the large; a sample shows it at once, and
# the number does not.
#
# ## 11 · Bug clinic
#
# Six patients, all meant to be PixelCNNs of the small world; one is healthy. You see the NLL that each
# *reports*, its **total mass** over all 65,536 images, and samples. For orientation: entropy 4.97 nats; FVBN
# about 6.5; and section 4. Patient D sees two neighbouring pixels as two "colours" of one pixel, and patient F
# sees them as one pixel of four levels.
#
# (C and E share a network, trained as in section 4, for 500 steps; the others had 300.)
#
# **Diagnose before you open the answers.** Is it the masks, the architecture, the likelihood, or the sampler?
# Which line? (The first cell builds the patients and gives them away. Run it unread.)


# %% tags=["train"]
class AsColours(PixelCNN):
    """Pairs of neighbouring pixels as two colours of one pixel."""

    def log_prob(self, x):
        return super().log_prob(x.view(-1, 4, 2, 2).permute(0, 3, 1, 2))


class AsLevels(PixelCNN):
    """Pairs of neighbouring pixels as one of four levels, under a mixture of two logistics whose last level is 255."""

    def log_prob(self, x):
        pairs = x.view(-1, 1, 4, 2, 2) @ torch.tensor([2, 1])
        return distributions.discretized_logistic_mixture_log_prob(self.mixture(pairs), pairs, 256).flatten(1).sum(1)

    def mixture(self, pairs):
        return self(pairs).unflatten(1, (3, 2))


class ShiftedTwice(GatedPixelCNN):
    """Each layer hands its vertical maps on one row further down."""

    def forward(self, x):
        v = h = x.to(self.position.dtype)
        for i, layer in enumerate(self.layers):
            a = layer.vertical(v)
            b = layer.horizontal(h) + layer.link(gated_pixelcnn.one_row_down(a))
            v = gated_pixelcnn.one_row_down(gated_pixelcnn.gate(a))
            h = layer.mix(gated_pixelcnn.gate(b)) + (h if i else self.position)
        return self.output(torch.relu(self.head(torch.relu(h))))


def patient(kind, *args, change=lambda model: None, **more):
    torch.manual_seed(0)
    model = kind(*args, **dict(channels=16, layers=2, head=32, position_bias=True) | more)
    change(model)
    return train_world(model, steps=budget(smoke=5, cpu=300, gpu=2000))


def allow_centre(model):
    model.first.mask[:, :, -1, model.first.left] = True


def interleave(model):
    model.output.mask = library_mask("B", [0, 1], [0, 1] * 16, above=0, left=0, right=0)


copier = patient(PixelCNN, (1, 4, 4), 2, first_kernel=3, change=allow_centre)
layout = patient(AsColours, (2, 4, 2), 2, first_kernel=3, change=interleave)
edges = patient(AsLevels, (1, 4, 2), 6, first_kernel=3)
shifted = patient(ShiftedTwice, (1, 4, 4), 2, kernel=3, layers=3)
healthy = world_models["gated PixelCNN, 3 × 3"]


def stale(cache, row, weight):
    """A row of a vertical convolution whose cache stays zero, so that the kernel's last row is all that matters."""
    return torch.nn.functional.conv1d(row, weight[:, :, -1], padding=1), cache


@torch.no_grad()
def draw_levels(seed):
    x, rng = torch.zeros(24, 1, 4, 2, dtype=torch.int64), torch.Generator().manual_seed(seed)
    for k in range(8):
        parameters = edges.mixture(x)[:, :, :, 0, k // 2, k % 2]
        drawn = distributions.discretized_logistic_mixture_invert(parameters, torch.rand(24, generator=rng), 256)
        x[:, 0, k // 2, k % 2] = drawn.clamp(max=3)
    return torch.stack([x // 2, x % 2], -1).view(24, 16)


def draw(model, seed):
    return model.sample(24, generator=torch.Generator().manual_seed(seed))


u24 = torch.rand(24, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
healthy_log_q = world_log_q(healthy)
patients = {
    "A": (world_log_q(shifted), draw(shifted, 1)),
    "B": (world_log_q(copier), draw(copier, 2)),
    "C": (healthy_log_q, draw(healthy, 3)),
    "D": (world_log_q(layout), draw(layout, 4).permute(0, 2, 3, 1).reshape(24, 16)),
    "E": (healthy_log_q, sample_by_rows(healthy, u24, stale)),
    "F": (world_log_q(edges), draw_levels(6)),
}

# %% tags=["demo"]
fig, axes = plt.subplots(2, 3, figsize=(9.5, 3.4))
print("patient   reported NLL (nats)     total mass")
for ax, (name, (log_q, drawn)) in zip(axes.flat, patients.items(), strict=True):
    print(f"{name:7} {float(-(p_world @ log_q)):20.3f} {log_q.exp().sum():16.4f}")
    plots.image_grid(drawn.reshape(24, 4, 4), columns=8, ax=ax, title=f"Patient {name}")
plots.show(
    fig,
    alt="Samples of six patients. A: pieces of glyphs. B: all empty. C: mostly whole glyphs. D: blots, few glyphs. E: many glyphs with "
    "a wrong lower part. F: glyphs and damaged ones.",
)

# %% [markdown]
# <details>
# <summary><b>Answers</b> (open them when you have written down yours)</summary>
#
# * **C is healthy.**
# * **A has a blind spot, although it has two stacks.** Each layer hands its vertical maps on *one row further
#   down*, besides the shift of the link; so the second layer's rows no longer line up with the first's, and of
#   the rows just above only a part arrives. Mass 1, nothing leaks, training converges, the name says "gated".
#   The NLL is worse than C's by 0.37 nats, of which a shorter training explains 0.06, and no better than the plain
#   PixelCNN's of section 4. The tests that find it: reach, that is, a map as in section 4; or stripes. It was
#   found in a well-kept public library, whose gated PixelCNN does no better than its plain one.
# * **B has mask B in its first layer.** An NLL of 0.000, and a mass of 65,536: it is certain of *every* image.
#   Its samples are copies of what has not been drawn yet: white.
# * **D mixes up the layout of the maps.** Its masks have the maps of each colour in blocks, its last layer
#   reads them as if they took turns. So the first colour's output reads maps that belong to the second colour,
#   and these know the first. Every other pixel sees itself: the NLL is below the entropy, the mass 254. **The
#   mass counts the leaks**: the sum over a pixel's two values is 1 for an honest conditional, 2 for a perfect
#   copy; so $n$ copied pixels make $2^n$. B has $2^{16}$, D nearly $2^8$.
# * **E has C's likelihood, letter by letter; its sampler is wrong.** The cache is never moved on: each row is
#   computed from the row above and zeros. What the vertical stack has to remember from further up is lost. No
#   likelihood shows it. Draw with and without the cache from the *same uniform numbers*, and compare.
# * **F has its edges hard-wired**: its likelihood takes level 255 for the last one, and its images have four
#   levels. What the logistics put beyond level 3 belongs to nobody: the mass is 0.93. That costs each image
#   $-\log 0.93$ = 0.07 nats, which nobody would notice; the mass tells. (The rest of its high NLL has another
#   cause: a pair of binary pixels has four levels *without an order*, and two lumps fit them badly. A likelihood
#   that knows something is a bad one where it is not so.) The opposite is found too. On values scaled to $[-1, 1]$ the usual code
#   takes all that is above 0.999 for the last level. With 256 levels that is one level. With 65,536, as for
#   sound, it is 33, each of which gets the whole tail.
#
# Three more, without pictures. *Labels change hardly anything*: the label is added after the last gate, where
# it shifts logits but cannot change what pixels do to each other; or to the vertical stack alone, so that the
# first row does not know it. Change the label, and look at *every* pixel's logits. *Excellent while training,
# bad afterwards*: batch normalisation, whose means are taken over all pixels of all images, the future
# included: a leak that ends with `eval()`. *The activations grow from block to block*: `h = h + block(h)`,
# where the block already contains the bridge.
# </details>

# %% [markdown]
# ## 12 · Scoreboard
#
# This lesson's rows, all measured above on the same 300 test digits of 16 levels. The course's table
# (`python -m course_lib.scoreboard`) trains longer, with larger kernels, from three seeds: MADE 1.91 bits/dim,
# PixelCNN 1.72, gated 1.70, PixelCNN++ 1.68. On *binary* digits the same table has MADE at 17.1 nats, PixelCNN
# at 17.4, gated at 17.0: a tie. In 64 bits an image, 1,197 times, there is little for a window to find.

# %% tags=["demo"]
board |= {
    "MADE, 500 units": (metrics.log_probs(made, test.x.flatten(1)), "exact"),
    f"PixelCNN, {layers + 1} layers, 3 × 3": (metrics.log_probs(pixelcnn, test.x), "exact"),
    "gated PixelCNN, p(x)": (log_p_x, "exact"),
    "gated PixelCNN, p(x | label)": (own_label, "exact, told the label"),
}
print(f"{'model':34} {'NLL (nats)':>14} {'bits/dim':>10}   likelihood")
for name, (log_q, kind) in board.items():
    estimate = metrics.Estimate.of(-log_q)
    print(f"{name:34} {str(estimate):>14} {estimate.mean / bits:10.3f}   {kind}")

# %% [markdown]
# ## 13 · What you have, and what it cannot do
#
# You have a model of images that knows that they are images: a window with shared weights, masked so that the
# product of its conditionals is a distribution; a proof of what it sees and an instrument that shows what it
# does not; conditioning on a label, and with it a classifier and a mixture; a likelihood that knows that levels
# are ordered; and an exact sampler that computes nothing twice. What remains:
#
# * **Reach is bought with depth.** Each layer adds $m$ pixels. What belongs together across the image has to
#   travel through all layers in between, and section 10 shows what happens if it cannot.
# * **Sampling is sequential**: $D$ steps that wait for one another. The cache took away the waste, not the
#   loop.
# * **The likelihood is an honest judge of everything at once**, and nearly everything is texture.
#
# For the first there is a radical answer: a network of which already one layer sees far, because it carries a
# state through the image: a recurrent one. Row by row, or along diagonals, it is slower to train, and in the
# tables of section 9 it beats the PixelCNN of its time. That is PixelRNN, lesson 05.

# %% [markdown]
# ## Masked attention
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

# %% tags=["demo"]
from course_lib.nn import AttentionSteps, CausalSelfAttention, fixed_masks, strided_masks

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
# ### Exercise · `attention_mask`
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
# ### Your masks at work: everything in two hops
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
# ## 14 · History and references
#
# Masked convolutions for images, colours included, are from van den Oord, Kalchbrenner and Kavukcuoglu (2016a),
# as the fast companion of the recurrent networks that the paper is named after. Its authors then found the
# blind spot, and removed it in the gated PixelCNN (2016b), which also brought labels, and portraits conditioned
# on an embedding. Salimans et al. (2017) simplified once more: no masks at all but shifted images, logistics
# instead of a softmax, a network that halves the resolution and returns, with short-cuts, and dropout, without
# which it learns the training set by heart. Sound had its turn at the same time (WaveNet, lesson 06). Parts of
# the idea are older: a spatial recurrent network with a causal window (Theis and Bethge, 2015), and all of
# MADE.
#
# * X. Chen, D. P. Kingma, T. Salimans et al. Variational lossy autoencoder. *ICLR* 2017. Table 1 has binarized
#   MNIST.
# * A. Gu, K. Goel and C. Ré. Efficiently modeling long sequences with structured state spaces. *ICLR* 2022.
# * J. Ho, A. Jain and P. Abbeel. Denoising diffusion probabilistic models. *NeurIPS* 2020. Table 1 has
#   CIFAR-10, test and train.
# * D. P. Kingma, T. Salimans, R. Jozefowicz, X. Chen, I. Sutskever and M. Welling. Improved variational
#   inference with inverse autoregressive flow. *NIPS 29*, 2016. Table 2, and section 6.2 on the time that
#   samples take.
# * A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu. Pixel recurrent neural networks. *ICML* 2016 (2016a).
#   Section 3 and Table 1: the PixelCNN, its masks and its sizes.
# * A. van den Oord, N. Kalchbrenner, O. Vinyals, L. Espeholt, A. Graves and K. Kavukcuoglu. Conditional image
#   generation with PixelCNN decoders. *NIPS 29*, 2016 (2016b). Section 2 and Figure 2: two stacks, gates,
#   labels.
# * J. T. Rolfe. Discrete variational autoencoders. *ICLR* 2017. Table 1 has bounds beside estimates.
# * T. Salimans, A. Karpathy, X. Chen and D. P. Kingma. PixelCNN++: improving the PixelCNN with discretized
#   logistic mixture likelihood and other modifications. *ICLR* 2017. Section 2.1, equations 1 and 2: the
#   likelihood; 2.2: whole pixels; 2.3 to 2.5: resolution, short-cuts, dropout; 3.3: small fields; 3.4: what
#   each part is worth.
# * L. Theis and M. Bethge. Generative image modeling using spatial LSTMs. *NIPS 28*, 2015.
# * L. Theis, A. van den Oord and M. Bethge. A note on the evaluation of generative models. *ICLR* 2016. Section
#   3.1: densities and levels.
#
# ## Where the solution is
#
# The text source of this notebook with all ten answers is `solutions/04_pixelcnn.py` in the course repository
# (open it in JupyterLab with Jupytext, or as plain text). Compare after your checks pass; yours may well be
# different and just as right. In `course_lib`, the same ideas stand in full dress: `models/pixelcnn.py`,
# `models/gated_pixelcnn.py` and `models/pixelcnn_pp.py`, each with its cached sampler, on the building blocks
# of `nn/causal.py`, whose kernels have no rows below the pixel's own.
