# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 05 · PixelRNN

# %% setup=true
import torch


class Window(torch.nn.Conv2d):
    """A convolution: its output at (r, c) reads rows r - above .. r and columns c - left .. c + right; zeros outside."""

    def __init__(self, inputs, outputs, above=0, left=0, right=0):
        super().__init__(inputs, outputs, (above + 1, left + 1 + right))
        self.sides = left, right, above, 0

    def forward(self, x):
        return super().forward(torch.nn.functional.pad(x, self.sides))


# %% [markdown]
# ### Exercise · `context`


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
# ### Exercise · `schedule`


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

# %% [markdown]
# ### Exercise · `lstm_step`


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
# ### Exercise · `combine`


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
        and (r, c) itself. (The layer's input has been through mask A: what it calls (r, c) ends with the pixel before.)
        Gradients reach both arguments, which are left as they are.
    """
    ### BEGIN SOLUTION
    return left + torch.nn.functional.pad(right, (0, 0, 1, -1))
    ### END SOLUTION


# %% check="combine"

# %% [markdown]
# ### Exercise · `OwnRowLSTM`


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

    logits(x): x (n, 1, H, W), zeros and ones -> (n, 1, H, W): the logit of p(x_rc = 1 | all before).
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

    def logits(self, x):
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

    def log_prob(self, x):
        return torch.nn.functional.logsigmoid((2 * x - 1) * self.logits(x)).flatten(1).sum(1)

    @torch.no_grad()
    def sample(self, u):
        x = torch.zeros(u.shape, dtype=torch.int64)
        for r in range(u.shape[2]):
            for c in range(u.shape[3]):
                x[:, 0, r, c] = u[:, 0, r, c] < self.logits(x)[:, 0, r, c].sigmoid()
        return x
        ### END SOLUTION


# %% check="OwnRowLSTM"

# %% [markdown]
# ### Exercise · `skew`


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
# ### Exercise · `unskew`


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

# %% [markdown]
# ### Exercise · `groups`


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
