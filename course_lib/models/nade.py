"""The neural autoregressive distribution estimator, NADE.

    a_1 = c,   a_{d+1} = a_d + W[:, o_d] x_{o_d}                    activations of the hidden units
    h_d = sigmoid(a_d)
    p(x_{o_d} = 1 | x_{o_1}, ..., x_{o_{d-1}}) = sigmoid(b_{o_d} + V[o_d] . h_d)

where o is the ordering. All D conditionals share W and c: each reads one more dimension than the last, which is why
all of them together cost O(D H), no more than one pass through an autoencoder of H hidden units.

H. Larochelle and I. Murray, "The Neural Autoregressive Distribution Estimator", AISTATS 2011.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from course_lib.models.base import AutoregressiveModel, on_host
from course_lib.nn import Condition


class NADE(AutoregressiveModel):
    """A NADE over D binary dimensions.

    `forward` gives the logits of p(x_d = 1 | before), (batch, D).

    Args:
        D: number of dimensions.
        hidden: number H of hidden units.
        order: (D,) permutation, order[k] is the dimension that comes k-th; 0, 1, ..., D-1 by default.
        classes, context_channels: of a conditional model, see `AutoregressiveModel`. Labels and context change the
            biases c and b.

    Attributes:
        W (H, D), c (H,): weights and biases of the hidden units.
        V (D, H), b (D,): weights and biases of the outputs.
        condition: what labels and context add to c and to b, H + D numbers; see `course_lib.nn.Condition`.

    Raises:
        ValueError: hidden is less than 1, or order is not a permutation.

    >>> model = NADE(64, hidden=200)
    >>> x = model.sample(10, generator=torch.Generator().manual_seed(0))
    >>> model.log_prob(x).shape
    torch.Size([10])
    """

    def __init__(
        self,
        D: int,
        hidden: int,
        order: Sequence[int] | None = None,
        *,
        classes: int | Sequence[int] | None = None,
        context_channels: int = 0,
    ):
        super().__init__((D,), levels=2, order=order, classes=classes, context_channels=context_channels)
        if hidden < 1:
            raise ValueError(f"hidden is {hidden}; expected at least 1 hidden unit")
        self.W = nn.Parameter(torch.empty(hidden, D))
        self.c = nn.Parameter(torch.zeros(hidden))
        self.V = nn.Parameter(torch.empty(D, hidden))
        self.b = nn.Parameter(torch.zeros(D))
        self.condition = Condition(hidden + D, self.classes, context_channels, space=0)
        nn.init.xavier_uniform_(self.W)
        nn.init.xavier_uniform_(self.V)

    def forward(
        self, x: torch.Tensor, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> torch.Tensor:
        self._check_given(x.shape[0], labels, context)
        c, b = self._biases(labels, context)
        in_order = [tensor.index_select(0, self.order) for tensor in (x.to(self.W.dtype).t(), self.W.t(), self.V)]
        a = c.expand(x.shape[0], -1)
        with torch.autocast(x.device.type, enabled=False):  # D roundings in a row would add up
            recursion = _Recursion if x.device.type == "cpu" else _BlockRecursion
            logits, _ = recursion.apply(*in_order, a)
        return b + logits.index_select(0, self.order.argsort()).t()

    def _biases(self, labels: torch.Tensor | None, context: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """c and b with what labels and context add: (n or 1, H) and (n or 1, D)."""
        added_c, added_b = self.condition(labels, context).split([len(self.c), len(self.b)], 1)
        return self.c + added_c, self.b + added_b

    def _conditionals(
        self, x: torch.Tensor, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> Iterator[torch.Tensor]:
        """The recursion itself: each value, once known, adds its column of W to the activations."""
        columns = self.W.t().contiguous()
        c, b = self._biases(labels, context)
        a = c.expand(len(x), -1).clone()
        for d in on_host(self.order):
            yield b[:, d] + a.sigmoid() @ self.V[d]
            a.addcmul_(x[:, d, None].to(a.dtype), columns[d])


def _recursion(x: torch.Tensor, W: torch.Tensor, V: torch.Tensor, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The recursion over dimensions that come in order: x (D, batch), W and V (D, H), and a_1, (batch, H).

    Returns:
        V[d] . h_d, the logits without b, (D, batch), and the last activations, (batch, H).
    """
    logits = []
    for x_d, W_d, V_d in zip(x[..., None].unbind(), W.unbind(), V.unbind(), strict=True):
        logits.append(a.sigmoid() @ V_d)
        a = torch.addcmul(a, x_d, W_d)
    return torch.stack(logits), a


class _Recursion(torch.autograd.Function):
    """`_recursion` with a backward pass that does not need the D hidden layers stored.

    Kept for the backward pass are the inputs and the last activations, O(batch (D + H)), in place of O(batch D H):
    undone step by step, the recursion gives back every layer. Second derivatives go through the last activations, so
    these are an output as well.
    """

    generate_vmap_rule = True
    forward = staticmethod(_recursion)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, W, V, _ = inputs
        ctx.save_for_backward(x, W, V, output[1])
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, grad, grad_a):
        x, W, V, a = ctx.saved_tensors
        grad_x, grad_W, grad_V = [], [], []
        steps = zip(x.unbind(), W.unbind(), V.unbind(), grad.unbind(), strict=True)
        for x_d, W_d, V_d, grad_d in reversed(list(steps)):
            if ctx.needs_input_grad[0]:
                grad_x.append(grad_a @ W_d)
            grad_W.append(x_d @ grad_a)
            a = torch.addcmul(a, x_d[:, None], W_d, value=-1)
            h = a.sigmoid()
            grad_V.append(grad_d @ h)
            grad_a = torch.addcmul(grad_a, torch.addcmul(h, h, h, value=-1).mul_(V_d), grad_d[:, None])
        return *(torch.stack(rows[::-1]) if rows else None for rows in (grad_x, grad_W, grad_V)), grad_a

    @staticmethod
    def jvp(ctx, *tangents):
        return torch.func.jvp(_recursion, ctx.saved_tensors, tangents)[1]


class _BlockRecursion(_Recursion):
    """The same in blocks of dimensions, for a GPU, which would wait for one small operation after another.

    The activations within a block are a running sum, and one product goes from the activations before a block to those
    after it, or back. Kept at once are O(batch K H) numbers, for K dimensions in a block. On a CPU `_Recursion` is two
    to three times as fast: its few numbers stay in the cache.
    """

    @staticmethod
    def forward(
        x: torch.Tensor, W: torch.Tensor, V: torch.Tensor, a: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logits = []
        for x_k, W_k, V_k in _blocks(a, x, W, V):
            h = _running_sum(a, x_k, W_k).sigmoid()
            logits.append((h @ V_k[:, :, None]).squeeze(2))
            a = a + x_k.t() @ W_k
        return torch.cat(logits), a

    @staticmethod
    def backward(ctx, grad, grad_a):
        x, W, V, a = ctx.saved_tensors
        grad_x, grad_W, grad_V = [], [], []
        for x_k, W_k, V_k, grad_k in reversed(_blocks(a, x, W, V, grad)):
            a = a - x_k.t() @ W_k
            h = _running_sum(a, x_k, W_k).sigmoid()
            grad_V.append((grad_k[:, None] @ h).squeeze(1))
            through_h = grad_k[:, :, None] * V_k[:, None] * torch.addcmul(h, h, h, value=-1)
            # The gradient of the activations after each dimension: what comes from all later ones.
            after = torch.cat([grad_a[None], through_h.flip(0)]).cumsum(0).flip(0)
            grad_a, after = after[0], after[1:]
            if ctx.needs_input_grad[0]:
                grad_x.append((after @ W_k[:, :, None]).squeeze(2))
            grad_W.append((x_k[:, None] @ after).squeeze(1))
        return *(torch.cat(rows[::-1]) if rows else None for rows in (grad_x, grad_W, grad_V)), grad_a


_BLOCK = 2**22  # numbers in the hidden layers of a block: large enough to keep a GPU busy, and little of its memory


def _blocks(a: torch.Tensor, *tensors: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
    """Tensors that begin with an axis of D dimensions, in blocks of dimensions, for activations a, (batch, H)."""
    size = max(1, _BLOCK // max(1, a.numel()))
    return list(zip(*(tensor.split(size) for tensor in tensors), strict=True))


def _running_sum(a: torch.Tensor, x: torch.Tensor, W: torch.Tensor) -> torch.Tensor:
    """The activations at each of K dimensions, (K, batch, H), from those at the first, (batch, H)."""
    return torch.cat([a[None], x[:-1, :, None] * W[:-1, None]]).cumsum(0)
