# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 06 · WaveNet

# %% setup=true
import math

import torch

# %% [markdown]
# ### Exercise · `mu_law_encode`


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
# ### Exercise · `causal_conv`


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
# ### Exercise · `dilations`


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

# %% [markdown]
# ### Exercise · `ring_step`


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

# %% [markdown]
# ### Exercise · `OwnWaveNet`


# %% exercise="OwnWaveNet"
class OwnWaveNet(torch.nn.Module):
    """A WaveNet over series (n, T) of K levels, of any length T.

    Args of `__init__`:
        levels: K, at least 2.
        channels: number of channels h, at least 1.
        dilations: list with the dilation of each layer, at least one.

    Parameters, all of `torch.nn.Conv1d` with biases (`layers`, `mixes` and `skips` are each a `torch.nn.ModuleList`):
        first: from 1 to h channels, kernel 1.
        layers: from h to 2h channels, kernel 2, one for each dilation.
        mixes: from h to h channels, kernel 1, for all layers but the last, after which nothing reads h.
        skips: from h to h channels, kernel 1, one for each layer.
        output: from h to K channels, kernel 1.

    logits(x): x (n, T) int64 -> (n, K, T): the logits of p(x_t = k | all before t).
        h_t = first(2 x_{t-1} / (K - 1) - 1), and h_0 = 0. Each layer: a = the causal convolution of h (zeros before the
        first step), z = tanh(first half of a's channels) * sigmoid(second half), and h = h + mix(z). The logits are
        output(relu(sum of all skip(z))).
    log_prob(x): -> (n,), log-likelihood of each series in nats, finite also where logits are thousands apart.
    sample(u): u (n, T) float64, uniform in [0, 1) -> (n, T) int64: step by step, x_t is the number of k in 0..K-2 with
        P(x_t <= k | all before) <= u_t.
    """

    ### BEGIN SOLUTION
    def __init__(self, levels, channels, dilations):
        super().__init__()
        self.levels, conv, several = levels, torch.nn.Conv1d, torch.nn.ModuleList
        self.first = conv(1, channels, 1)
        self.layers = several(conv(channels, 2 * channels, 2, dilation=d) for d in dilations)
        self.mixes = several(conv(channels, channels, 1) for _ in dilations[1:])
        self.skips = several(conv(channels, channels, 1) for _ in dilations)
        self.output = conv(channels, levels, 1)

    def logits(self, x):
        scaled = 2 * x.to(self.output.weight.dtype) / (self.levels - 1) - 1
        h, total = torch.nn.functional.pad(self.first(scaled[:, None]), (1, -1)), 0
        for i, layer in enumerate(self.layers):
            value, opening = layer(torch.nn.functional.pad(h, (layer.dilation[0], 0))).chunk(2, 1)
            z = value.tanh() * opening.sigmoid()
            total = total + self.skips[i](z)
            if i < len(self.mixes):
                h = h + self.mixes[i](z)
        return self.output(total.relu())

    def log_prob(self, x):
        return self.logits(x).log_softmax(1).gather(1, x[:, None]).sum((1, 2))

    @torch.no_grad()
    def sample(self, u):
        x = torch.zeros(u.shape, dtype=torch.int64)
        for t in range(u.shape[1]):
            p = self.logits(x)[:, :, t].double().softmax(1)
            x[:, t] = (p.cumsum(1)[:, :-1] <= u[:, t, None]).sum(1)
        return x

    ### END SOLUTION


# %% check="OwnWaveNet"

# %% [markdown]
# ### Exercise · `gated_unit`


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
    value, opening = a.chunk(2, 1)
    return value.tanh() * opening.sigmoid()
    ### END SOLUTION


# %% check="gated_unit"

# %% [markdown]
# ### Exercise · `sample`


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
# ### Exercise · `distill_loss`


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
