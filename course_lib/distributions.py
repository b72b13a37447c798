"""Likelihoods of discrete pixels, from logits. Logarithms are natural (nats) unless a name says bits.

Two layouts, by the number K of levels:

* K = 2: one logit a dimension, log p(1) - log p(0); the logits have x's shape.
* K > 2: K logits a dimension, log p(k) up to a constant; the class axis is named in each function.
"""

import torch
import torch.nn.functional as F


def bernoulli_log_prob(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """log p(x) in nats of binary x under p(1) = sigmoid(logits), elementwise, exact for logits of any size.

    Args:
        logits: (*shape), infinite ones allowed.
        x: (*shape), 0 or 1.

    >>> bernoulli_log_prob(torch.tensor([0.0, 1000.0, 1000.0]), torch.tensor([1, 1, 0])).tolist()
    [-0.6931471824645996, 0.0, -1000.0]
    """
    return F.logsigmoid((2 * x.to(logits.dtype) - 1) * logits)


def categorical_log_prob(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """log p(x) in nats of x in 0..K-1 under p = softmax of the logits over axis 1.

    Args:
        logits: (batch, K, *shape).
        x: (batch, *shape), integers 0..K-1.

    Returns:
        (batch, *shape).

    >>> categorical_log_prob(torch.zeros(1, 4, 2), torch.tensor([[3, 0]]))      # log 4
    tensor([[-1.3863, -1.3863]])
    """
    return -F.cross_entropy(logits, x.long(), reduction="none")


def cumulative(logits: torch.Tensor, levels: int) -> torch.Tensor:
    """P(x <= k) for k = 0..K-2. (P(x <= K-1) is 1, so it is left out.)

    Args:
        logits: (*shape) for levels = 2, (*shape, K) otherwise.

    Returns:
        (*shape, K-1).

    >>> cumulative(torch.zeros(4), levels=4)
    tensor([0.2500, 0.5000, 0.7500])
    """
    if levels == 2:
        return torch.sigmoid(-logits).unsqueeze(-1)
    return logits.softmax(-1).cumsum(-1)[..., :-1]


def invert(logits: torch.Tensor, u: torch.Tensor, levels: int) -> torch.Tensor:
    """The level that a uniform number stands for: the number of k in 0..K-2 with P(x <= k) <= u.

    With u uniform on [0, 1) this is an exact sample. For K = 2 it says x = 1 where u >= 1 - p(1).

    Args:
        logits: (*shape) for levels = 2, (*shape, K) otherwise.
        u: (*shape), in [0, 1).

    Returns:
        (*shape), int64.

    >>> invert(torch.zeros(4).expand(3, 4), torch.tensor([0.0, 0.25, 0.99]), levels=4)
    tensor([0, 1, 3])
    """
    return (cumulative(logits, levels) <= u.unsqueeze(-1)).sum(-1)
