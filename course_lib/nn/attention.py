"""Masked self-attention over a sequence in raster order, and its cache for sampling.

The mask of a head is (D, D): entry [i, j] is true where its output at position i reads the input at position j. The
masks here allow j <= i, with position i itself. A model of x_0, ..., x_{D-1} therefore shifts its inputs by one:
position 0 receives a constant and position i what comes from x_{i-1}. So the output at i, which gives
p(x_i | x_0, ..., x_{i-1}), never reads x_i. (Without the shift a first layer would need masks of j < i, in which
position 0 reads nothing, and residual connections would carry x_i to its own output.)

R. Child, S. Gray, A. Radford and I. Sutskever, "Generating Long Sequences with Sparse Transformers", arXiv:1904.10509,
2019, sections 4.1 to 4.3; A. Vaswani et al., "Attention Is All You Need", NIPS 30, 2017, section 3.2.
"""

import math

import torch
from torch import nn


def causal_masks(D: int) -> torch.Tensor:
    """Two heads that both read every position up to their own: (2, D, D) bool, with S_i = {j : j <= i}.

    Raises:
        ValueError: D is below 1.

    >>> causal_masks(3)[0].int()
    tensor([[1, 0, 0],
            [1, 1, 0],
            [1, 1, 1]], dtype=torch.int32)
    """
    i, j = _positions(D)
    return (j <= i).repeat(2, 1, 1)


def strided_masks(D: int, stride: int) -> torch.Tensor:
    """Strided attention, for data with rows, such as images with stride = W: (2, D, D) bool.

    The first head reads the last `stride` positions and its own, A_i = {max(0, i - stride), ..., i}; the second reads
    every stride-th position back from its own, A_i = {j <= i : (i - j) mod stride = 0} (section 4.3). Two layers reach
    every earlier position. Both heads together read at most stride + 1 + ceil(D / stride) positions, about 2 sqrt(D)
    for a stride near sqrt(D).

    Raises:
        ValueError: D or stride is below 1.

    >>> strided_masks(5, stride=2).int()
    tensor([[[1, 0, 0, 0, 0],
             [1, 1, 0, 0, 0],
             [1, 1, 1, 0, 0],
             [0, 1, 1, 1, 0],
             [0, 0, 1, 1, 1]],
    <BLANKLINE>
            [[1, 0, 0, 0, 0],
             [0, 1, 0, 0, 0],
             [1, 0, 1, 0, 0],
             [0, 1, 0, 1, 0],
             [1, 0, 1, 0, 1]]], dtype=torch.int32)
    """
    i, j = _positions(D, stride)
    earlier = j <= i
    return torch.stack([earlier & (i - j <= stride), earlier & ((i - j) % stride == 0)])


def fixed_masks(D: int, stride: int) -> torch.Tensor:
    """Fixed attention, for data without rows, such as text: (2, D, D) bool.

    The sequence is cut into blocks of `stride` positions. The first head reads its own block, A_i = {j <= i :
    floor(j / stride) = floor(i / stride)}; the second reads the last position of every block, A_i = {j <= i : j mod
    stride = stride - 1}: the paper's pattern with c = 1 (section 4.3). Before the end of the first block the second
    head reads nothing. Two layers of both heads reach every earlier position; both heads together read at most
    stride + D / stride positions.

    Raises:
        ValueError: D or stride is below 1.

    >>> fixed_masks(5, stride=2).int()
    tensor([[[1, 0, 0, 0, 0],
             [1, 1, 0, 0, 0],
             [0, 0, 1, 0, 0],
             [0, 0, 1, 1, 0],
             [0, 0, 0, 0, 1]],
    <BLANKLINE>
            [[0, 0, 0, 0, 0],
             [0, 1, 0, 0, 0],
             [0, 1, 0, 0, 0],
             [0, 1, 0, 1, 0],
             [0, 1, 0, 1, 0]]], dtype=torch.int32)
    """
    i, j = _positions(D, stride)
    earlier = j <= i
    return torch.stack([earlier & (j // stride == i // stride), earlier & (j % stride == stride - 1)])


class CausalSelfAttention(nn.Module):
    """Multi-head self-attention, softmax(Q K^T / sqrt(d)) V with a mask per head, as plain matrices.

    A head whose row of the mask is empty contributes 0 there: a sum over no position. All scores are computed and the
    masked ones then ignored, so a sparse mask restricts what is read and saves no time: that takes special kernels
    (section 5.5).

    Args:
        features: size of each input and output vector, a multiple of the number of heads; d = features / heads.
        masks: (heads, D, D) bool, such as `strided_masks` or its `.repeat(4, 1, 1)` for eight heads. Not saved with the
            weights, because the model's settings give them.

    Raises:
        ValueError: masks of another kind; a head reads a later position; features are not a multiple of the heads.

    >>> attention = CausalSelfAttention(16, strided_masks(9, stride=3))
    >>> attention(torch.zeros(2, 9, 16)).shape
    torch.Size([2, 9, 16])
    """

    masks: torch.Tensor

    def __init__(self, features: int, masks: torch.Tensor):
        super().__init__()
        if masks.dtype != torch.bool or masks.ndim != 3 or masks.shape[1] != masks.shape[2] or not len(masks):
            raise ValueError(f"masks must be bool of shape (heads, D, D); got {masks.dtype}, {tuple(masks.shape)}")
        if masks.triu(1).any():
            head, i, j = masks.triu(1).nonzero()[0].tolist()
            raise ValueError(f"masks must be causal; in head {head} position {i} reads position {j}, a later one")
        if features < 1 or features % len(masks):
            raise ValueError(f"features must be a positive multiple of the {len(masks)} heads; got {features}")
        self.heads_in = nn.Linear(features, 3 * features)  # W_q, W_k and W_v of all heads
        self.heads_out = nn.Linear(features, features)  # W_p
        self.register_buffer("masks", masks, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, D, features) -> (n, D, features); a beginning of the sequence, of fewer positions, gives its own outputs.

        Raises:
            ValueError: there are more positions than the masks have.
        """
        length, D = x.shape[1], self.masks.shape[1]
        if length > D:
            raise ValueError(f"the masks are for at most {D} positions; got {length}")
        return self.attend(*self.project(x), self.masks[:, :length, :length])

    def project(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values of all heads: (n, length, features) -> three of (n, heads, length, d)."""
        return self.heads_in(x).unflatten(2, (3, len(self.masks), -1)).permute(2, 0, 3, 1, 4).unbind()

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """The output at each query's position: (n, length, features).

        Args:
            q: (n, heads, length, d).
            k, v: (n, heads, known, d).
            masks: (heads, length, known) bool.
        """
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
        scores = scores.masked_fill(~masks, torch.finfo(scores.dtype).min)  # -inf would make an empty row nan
        weights = masks * scores.softmax(3)
        return self.heads_out((weights @ v).transpose(1, 2).flatten(2))


class AttentionSteps:
    """A `CausalSelfAttention` of n sequences that become known position by position, for sampling, without gradients.

    The keys and values of the positions so far are kept: a step projects one position and compares its query with the
    known keys. An object serves one batch; make a new one for the next, or after the weights change.

    Args:
        attention: the layer.
        n: number of sequences.

    >>> attention, x = CausalSelfAttention(4, causal_masks(3)), torch.randn(2, 3, 4)
    >>> steps = AttentionSteps(attention, n=2)
    >>> torch.allclose(torch.stack([steps(position) for position in x.unbind(1)], 1), attention(x), atol=1e-6)
    True
    """

    def __init__(self, attention: CausalSelfAttention, n: int):
        heads, D, _ = attention.masks.shape
        weight = attention.heads_out.weight
        self.attention, self.known = attention, 0
        self.keys, self.values = weight.new_empty(2, n, heads, D, len(weight) // heads)

    @torch.no_grad()
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The output at the next position, (n, features), from the input there, (n, features).

        Raises:
            ValueError: all positions of the masks are known already.
        """
        i, D = self.known, self.keys.shape[2]
        if i == D:
            raise ValueError(f"all {D} positions are known already; make new steps for the next batch")
        query, key, value = self.attention.project(x[:, None])
        self.keys[:, :, i], self.values[:, :, i] = key[:, :, 0], value[:, :, 0]
        self.known += 1
        known = slice(self.known)
        masks = self.attention.masks[:, i : i + 1, known]
        return self.attention.attend(query, self.keys[:, :, known], self.values[:, :, known], masks)[:, 0]


def _positions(D: int, stride: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """The position that reads, i, as a column, and the position that is read, j, as a row."""
    if D < 1 or stride < 1:
        raise ValueError(f"D and stride must be at least 1; got D = {D}, stride = {stride}")
    positions = torch.arange(D)
    return positions[:, None], positions
