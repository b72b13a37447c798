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
from torch.amp import custom_bwd, custom_fwd

from course_lib.models.base import AutoregressiveModel


class NADE(AutoregressiveModel):
    """A NADE over D binary dimensions.

    `forward` gives the logits of p(x_d = 1 | before), (batch, D).

    Args:
        D: number of dimensions.
        hidden: number H of hidden units.
        order: (D,) permutation, order[k] is the dimension that comes k-th; 0, 1, ..., D-1 by default.

    Attributes:
        W (H, D), c (H,): weights and biases of the hidden units.
        V (D, H), b (D,): weights and biases of the outputs.

    Raises:
        ValueError: hidden is less than 1, or order is not a permutation.

    >>> model = NADE(64, hidden=200)
    >>> x = model.sample(10, generator=torch.Generator().manual_seed(0))
    >>> model.log_prob(x).shape
    torch.Size([10])
    """

    def __init__(self, D: int, hidden: int, order: Sequence[int] | None = None):
        super().__init__((D,), levels=2, order=order)
        if hidden < 1:
            raise ValueError(f"hidden is {hidden}; expected at least 1 hidden unit")
        self.W = nn.Parameter(torch.empty(hidden, D))
        self.c = nn.Parameter(torch.zeros(hidden))
        self.V = nn.Parameter(torch.empty(D, hidden))
        self.b = nn.Parameter(torch.zeros(D))
        nn.init.xavier_uniform_(self.W)
        nn.init.xavier_uniform_(self.V)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Logits.apply(x.to(self.W.dtype), self.W, self.c, self.V, self.b, self.order)

    def _conditionals(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """The recursion itself: each value, once known, adds its column of W to the activations."""
        columns = self.W.t().contiguous()
        a = self.c.expand(len(x), -1).clone()
        for d in self.order.tolist():
            yield self.b[d] + a.sigmoid() @ self.V[d]
            a.addcmul_(x[:, d, None].to(a.dtype), columns[d])


class _Logits(torch.autograd.Function):
    """All logits at once, with a backward pass that does not need the D hidden layers stored.

    Kept for the backward pass are the input and the last activations, O(batch (D + H)), in place of O(batch D H):
    undone step by step, the recursion gives back every layer.
    """

    @staticmethod
    @custom_fwd(device_type="cuda", cast_inputs=torch.float32)
    def forward(ctx, x, W, c, V, b, order):
        inputs, columns = x.t().contiguous(), W.t().contiguous()
        logits = b[:, None].repeat(1, len(x))
        a = c.repeat(len(x), 1)
        h = torch.empty_like(a)
        for d in order.tolist():
            torch.sigmoid(a, out=h)
            logits[d].addmv_(h, V[d])
            a.addcmul_(inputs[d, :, None], columns[d])
        ctx.save_for_backward(inputs, columns, V, order, a)
        return logits.t()

    @staticmethod
    @custom_bwd(device_type="cuda")
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        inputs, columns, V, order, last = ctx.saved_tensors
        grad = grad.t().contiguous()
        a, grad_a = last.clone(), torch.zeros_like(last)
        h, slope = torch.empty_like(last), torch.empty_like(last)
        grad_inputs, grad_columns, grad_V = torch.empty_like(inputs), torch.empty_like(columns), torch.empty_like(V)
        for d in reversed(order.tolist()):
            torch.mv(grad_a, columns[d], out=grad_inputs[d])
            torch.mv(grad_a.t(), inputs[d], out=grad_columns[d])
            a.addcmul_(inputs[d, :, None], columns[d], value=-1)
            torch.sigmoid(a, out=h)
            torch.mv(h.t(), grad[d], out=grad_V[d])
            torch.addcmul(h, h, h, value=-1, out=slope)
            grad_a.addcmul_(slope.mul_(V[d]), grad[d, :, None])
        return grad_inputs.t(), grad_columns.t(), grad_a.sum(0), grad_V, grad.sum(1), None
