"""Priors over the codes of a VQ-VAE, and the model of images that both make together.

The second stage of training: gated PixelCNNs, one for each grid of codes,

    log p(codes) = log p(top) + log p(bottom | top)

A. van den Oord, O. Vinyals and K. Kavukcuoglu, "Neural Discrete Representation Learning", NIPS 30, 2017, section 3. A.
Razavi, A. van den Oord and O. Vinyals, "Generating Diverse High-Fidelity Images with VQ-VAE-2", NeurIPS 2019, where the
top prior has self-attention, and the bottom one is given the top codes.
"""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.models.base import AutoregressiveModel, GenerativeModel, uniforms_on
from course_lib.models.gated_pixelcnn import GatedPixelCNN
from course_lib.models.vqvae import CodeAutoencoder, ResidualBlock, flat_codes, grid_codes


class CodePrior(AutoregressiveModel):
    """A distribution of codes on several grids: p(top) p(next | top) ..., each factor a gated PixelCNN.

    x is (n, T): the codes of all grids in a row, top first, each grid in raster order, as `flat_codes` lays them out.
    The chain rule goes through them in this order. So everything that an autoregressive model can do, this one can do
    with codes: exact likelihood, cached sampling, `complete` (known top codes, drawn bottom codes), arithmetic coding.

    Each lower grid is given the codes above as a context for each of its positions: their embeddings, enlarged to its
    size, and a residual network. This network may read them in any direction, because they are all known.

    Args:
        shapes: (h, w) of each grid, top first.
        codes: number K of codes.
        channels, layers, kernel, head: of each gated PixelCNN. They have a position bias and read one-hot vectors.
        classes: of a class-conditional prior; every grid is given the labels.
        attention: number of heads of the top grid's self-attention, a divisor of the channels; 0 for none.
        blocks: number of residual blocks of each context.

    Attributes:
        shapes: as given.
        priors: the gated PixelCNNs, top first.
        contexts: from the grid above, and its own context, to the context of each lower grid, see `Context`.

    Raises:
        ValueError: there is no grid, or a size is out of range.

    >>> prior = CodePrior([(2, 2), (4, 4)], codes=32, channels=8, layers=2, classes=10)
    >>> x = prior.sample(3, labels=torch.tensor([7, 7, 8]))
    >>> top, bottom = grid_codes(x, prior.shapes)
    >>> top.shape, bottom.shape, prior.log_prob(x, labels=torch.tensor([7, 7, 8])).shape
    (torch.Size([3, 2, 2]), torch.Size([3, 4, 4]), torch.Size([3]))
    """

    def __init__(
        self,
        shapes: Sequence[Sequence[int]],
        codes: int,
        channels: int = 32,
        layers: int = 4,
        *,
        kernel: int = 3,
        head: int = 64,
        classes: int | Sequence[int] | None = None,
        attention: int = 0,
        blocks: int = 1,
    ):
        if not len(shapes) or any(len(shape) != 2 for shape in shapes):
            raise ValueError(f"shapes is {list(shapes)}; expected one (height, width) or more")
        super().__init__((sum(map(math.prod, shapes)),), codes, classes=classes)
        self.shapes = [tuple(shape) for shape in shapes]
        same = dict(kernel=kernel, head=head, classes=classes, position_bias=True, one_hot=True)
        self.priors, self.contexts = nn.ModuleList(), nn.ModuleList()
        for i, shape in enumerate(self.shapes):
            own = dict(context_channels=channels) if i else dict(attention=attention)
            self.priors.append(GatedPixelCNN((1, *shape), codes, channels, layers, **own, **same))
            if i:
                self.contexts.append(Context(codes, channels, shape, blocks))

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Logits of all codes: (n, K, T), or (n, T) for K = 2, from x (n, T)."""
        self._check_given(len(x), labels)
        grids, context, logits = grid_codes(x, self.shapes), None, []
        for i, (prior, codes) in enumerate(zip(self.priors, grids, strict=True)):
            if i:
                context = self.contexts[i - 1](grids[i - 1], context)
            logits.append(prior(codes.unsqueeze(1), labels, context).flatten(-3))
        return torch.cat(logits, -1)

    def _conditionals(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> Iterator[torch.Tensor]:
        """Each grid's own steps. A context is computed when the grid above is complete."""
        grids, context = grid_codes(x, self.shapes), None
        for i, (prior, codes) in enumerate(zip(self.priors, grids, strict=True)):
            if i:
                with torch.no_grad():
                    context = self.contexts[i - 1](grids[i - 1], context)
            yield from prior._conditionals(codes.unsqueeze(1), labels, context)


class Context(nn.Module):
    """What codes say to the finer grid below: (n, channels, *shape) from (n, h, w) and their own context, if any."""

    def __init__(self, codes: int, channels: int, shape: tuple[int, int], blocks: int):
        super().__init__()
        self.shape, self.embedding = shape, nn.Embedding(codes, channels)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), *(ResidualBlock(channels) for _ in range(blocks))
        )

    def forward(self, codes: torch.Tensor, context: torch.Tensor | None) -> torch.Tensor:
        h = self.embedding(codes.long()).movedim(-1, 1)
        return self.layers(F.interpolate(h if context is None else h + context, self.shape))


class CodeModel(GenerativeModel):
    """A distribution of images: codes from a prior, then x from p(x | codes) of an autoencoder.

    Neither is trained here. The first stage is `fit(autoencoder, dataset, ...)`, the second one

        fit(prior, autoencoder.code_dataset(dataset), labels=True, ...)

    with labels for a class-conditional prior. The labels act on the codes only.

    Args:
        autoencoder: a `VQVAE` or `VQVAE2`.
        prior: a `CodePrior` over its grids.

    Attributes:
        autoencoder, prior: as given.

    Raises:
        ValueError: the prior is for other grids or another number of codes.

    >>> from course_lib.models import VQVAE2
    >>> autoencoder = VQVAE2((1, 8, 8), 2, codes=32, features=8, channels=[[16], [16]])
    >>> model = CodeModel(autoencoder, CodePrior(autoencoder.code_shapes, autoencoder.codes, 8, 2, classes=10))
    >>> x = model.sample(3, labels=torch.tensor([7, 7, 8]))
    >>> x.shape, model.elbo(x, labels=torch.tensor([7, 7, 8])).shape
    (torch.Size([3, 1, 8, 8]), torch.Size([3]))
    """

    def __init__(self, autoencoder: CodeAutoencoder, prior: CodePrior):
        super().__init__(autoencoder.event_shape, autoencoder.levels, classes=prior.classes or None)
        ours, theirs = (autoencoder.code_shapes, autoencoder.codes), (prior.shapes, prior.levels)
        if ours != theirs:
            raise ValueError(
                f"the prior is for {theirs[1]} codes on grids {theirs[0]}; expected {ours[1]} on {ours[0]}"
            )
        self.autoencoder, self.prior = autoencoder, prior

    def elbo(self, x: torch.Tensor, *, labels: torch.Tensor | None = None) -> torch.Tensor:
        """log p(x | codes) + log p(codes) for the codes of x, in nats: (n,). It is at most log p(x), and has no noise.

        Raises:
            ValueError: x or labels has another shape, dtype or range, is missing or not taken.
        """
        codes = self.autoencoder.encode(x)
        log_likelihood = self.autoencoder.likelihood.log_prob(self.autoencoder.decode(codes), x)
        return log_likelihood + self.code_log_prob(codes, labels=labels)

    def iwae_bound(
        self,
        x: torch.Tensor,
        k: int,
        *,
        labels: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """`elbo`, for any k: all draws of q are the same codes, so many bound log p(x) no better than one.

        Raises:
            ValueError: k is below 1, or as in `elbo`.
        """
        if k < 1:
            raise ValueError(f"k is {k}; expected at least 1 draw")
        return self.elbo(x, labels=labels)

    def code_log_prob(self, codes: Sequence[torch.Tensor], *, labels: torch.Tensor | None = None) -> torch.Tensor:
        """log p(codes) in nats, (n,), of codes as the autoencoder's `encode` gives them; given labels, if any.

        Raises:
            ValueError: codes or labels have another shape, dtype or range, are missing or not taken.
        """
        return self.prior.log_prob(flat_codes(codes), labels=labels)

    def rate(self, x: torch.Tensor, *, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Bits that the codes of each image cost under the prior, (n,): -log2 p(codes), the rate of a lossy code.

        Raises:
            ValueError: as in `elbo`.
        """
        return -self.code_log_prob(self.autoencoder.encode(x), labels=labels) / math.log(2)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        labels: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        uniforms: torch.Tensor | None = None,
        cached: bool = True,
    ) -> torch.Tensor:
        """n independent samples, (n, *event_shape): codes from the prior, top to bottom, then x from p(x | codes).

        Row i of the uniforms makes sample i: the first T give the codes, as in the prior's own `sample`, the other D
        the dimensions of x.

        Args:
            n: number of samples.
            labels: one for each sample, for a class-conditional prior.
            generator: draws the uniforms.
            uniforms: (n, T + D) in [0, 1), instead of drawn ones.
            cached: as in `AutoregressiveModel.sample`, for the codes.

        Raises:
            ValueError: uniforms or labels have another shape, dtype or range, are missing or not taken.
        """
        T = len(self.prior.order)
        u = uniforms_on(self.prior.order.device, uniforms, generator, (n, T + math.prod(self.event_shape)))
        codes = self.prior.sample(n, labels=labels, uniforms=u[:, :T], cached=cached)
        with torch.autocast(u.device.type, enabled=False):
            outputs = self.autoencoder.decode(grid_codes(codes, self.prior.shapes))
            return self.autoencoder.likelihood.invert(outputs, u[:, T:].view(n, *self.event_shape)).to(torch.int64)
