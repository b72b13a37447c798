"""VQ-VAE and VQ-VAE-2: autoencoders whose code is a grid of integers. `code_prior.py` has priors of these integers.

Training has two stages. First an autoencoder, `VQVAE` or `VQVAE2`, which maximises

    log p(x | codes) - (the quantizers' losses)

and then, on the codes of all images, a `CodePrior`: gated PixelCNNs, one for each grid of codes,

    log p(codes) = log p(top) + log p(bottom | top)

Both together are a `CodeModel` of images. A bound on its likelihood needs no sampling and no integral:

    log p(x) = log (sum over all codes s of p(x | s) p(s)) >= log p(x | s(x)) + log p(s(x))

It is the ELBO of a q(s | x) with all its mass on the encoder's choice s(x). The entropy of q is 0, and its KL
divergence from the prior is -log p(s(x)). Under a uniform prior of T codes, as in the first stage, that is T log K: it
does not depend on the networks, so the loss does not need it. The bound is not the likelihood: it leaves out all other
codes from which x might come.

A. van den Oord, O. Vinyals and K. Kavukcuoglu, "Neural Discrete Representation Learning", NIPS 30, 2017, section 3. A.
Razavi, A. van den Oord and O. Vinyals, "Generating Diverse High-Fidelity Images with VQ-VAE-2", NeurIPS 2019.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.models.base import Model
from course_lib.models.likelihoods import likelihood_named
from course_lib.nn import FiniteScalarQuantizer, Quantized, Quantizer, VectorQuantizer
from course_lib.nn.encoders import grids

if TYPE_CHECKING:
    from course_lib.data import Dataset


class CodeAutoencoder(Model):
    """What `VQVAE` and `VQVAE2` share: an autoencoder whose codes are on one grid or more.

    Codes are tuples of (n, h, w) int64, one for each grid, the top one, which is the coarsest, first.

    Args:
        event_shape, levels: as in `Model`: (C, H, W), and K levels.
        codes: number of codes of each quantizer, or a list of numbers of values for finite scalar quantization.
        features: size of a code's vector. A finite scalar quantizer has one feature for each number in the list.
        channels: for each scale, the one next to the image first, the channels of its convolutions.
        blocks: number of residual blocks of each scale, in the encoder and in the decoder.
        likelihood: p(x | codes), as in `VAE`.
        quantizer: settings of vector quantizers, see `course_lib.nn.VectorQuantizer`.

    Attributes:
        codes: number of codes of each quantizer.
        code_shapes: (h, w) of each grid, top first.
        scales: networks and quantizers, the scale next to the image first, see `Scale`.
        likelihood: see `course_lib.models.likelihoods`.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int,
        codes: int | Sequence[int],
        features: int,
        channels: Sequence[Sequence[int]],
        blocks: int,
        likelihood: str | None,
        **quantizer: Any,
    ):
        super().__init__(event_shape, levels)
        if levels is None:
            raise ValueError("levels is None; expected an integer of at least 2")
        if not channels or not all(channels):
            raise ValueError(f"channels is {channels}; expected one convolution or more for each scale")
        if blocks < 0:
            raise ValueError(f"blocks is {blocks}; expected 0 or more")
        self.likelihood = likelihood_named(likelihood, self.levels)
        shapes = grids(self.event_shape, [number for scale in channels for number in scale])
        self.scales, outputs = nn.ModuleList(), self.likelihood.outputs
        for i, scale in enumerate(channels):
            inside, shapes = shapes[: len(scale) + 1], shapes[len(scale) :]
            above = scale[-1] if i + 1 < len(channels) else 0
            chosen = _quantizer(codes, features, quantizer)
            self.scales.append(Scale(inside, above, chosen, inside[0][0] * (1 if i else outputs), blocks))
        self.codes = chosen.codes
        self.code_shapes = [scale.code_shape for scale in self._top_first()]

    def forward(self, x: torch.Tensor, *, update: bool = True) -> tuple[list[Quantized], torch.Tensor]:
        """What each quantizer makes of x, top first, and the parameters of p(x | codes), as `decode` gives them.

        Args:
            x: (n, *event_shape).
            update: False keeps the quantizers from learning, which they do in training mode.
        """
        maps = [x.to(self._dtype()) / (self.levels - 1)]
        for scale in self.scales:
            maps.append(scale.encoder(maps[-1]))
        chosen, above = [], None
        for scale, h in zip(self._top_first(), maps[:0:-1], strict=True):
            chosen.append(scale.quantizer(scale.choose(_joined(h, above)), update=update))
            above = scale.decoder(_joined(chosen[-1].values, above))
        return chosen, self._outputs(above)

    @torch.no_grad()
    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The codes of x (n, *event_shape): a tuple of (n, h, w) int64, top first. Nothing is learned from x.

        Raises:
            ValueError: x has another shape, dtype or range.
        """
        self._check(x)
        return tuple(each.codes for each in self(x, update=False)[0])

    def decode(self, codes: Sequence[torch.Tensor]) -> torch.Tensor:
        """The parameters of p(x | codes), as `likelihood` reads them: (n, *event_shape), or (n, P, *event_shape).

        Raises:
            ValueError: codes have another shape, dtype or range.
        """
        got = [tuple(each.shape) for each in codes]
        if [shape[1:] for shape in got] != self.code_shapes or len({shape[0] for shape in got}) > 1:
            expected = ", ".join(str(("n", *shape)).replace("'", "") for shape in self.code_shapes)
            raise ValueError(f"codes must be integers of shapes {expected}; got {', '.join(map(str, got))}")
        above = None
        for scale, each in zip(self._top_first(), codes, strict=True):
            above = scale.decoder(_joined(scale.quantizer.embed(each).to(self._dtype()), above))
        return self._outputs(above)

    def mean(self, codes: Sequence[torch.Tensor]) -> torch.Tensor:
        """E[x | codes], (n, *event_shape) real numbers on x's own scale. Raises ValueError as `decode` does."""
        return self.likelihood.mean(self.decode(codes))

    @torch.no_grad()
    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        """E[x | the codes of x], (n, *event_shape) real numbers. Raises ValueError as `encode` does."""
        return self.mean(self.encode(x))

    def log_likelihood(self, x: torch.Tensor) -> torch.Tensor:
        """log p(x | the codes of x) in nats: (n,). Raises ValueError as `encode` does."""
        return self.likelihood.log_prob(self.decode(self.encode(x)), x)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """What `fit` minimises, per image: -log p(x | codes) in nats, and the quantizers' losses."""
        self._check(x)
        chosen, outputs = self(x)
        return (sum(each.loss for each in chosen) - self.likelihood.log_prob(outputs, x)).mean()

    def loss_terms(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """What `fit` records after each epoch: log p(x | codes) in nats and the quantizers' losses, (n,) each."""
        self._check(x)
        chosen, outputs = self(x, update=False)
        quantization = sum(each.loss for each in chosen)
        return {"reconstruction": self.likelihood.log_prob(outputs, x), "quantization": quantization}

    def code_dataset(self, dataset: "Dataset", batch_size: int = 1000) -> "Dataset":
        """The same data set with the codes of each image as its x, (n, T), labels unchanged: what a prior is fitted to.

        Args:
            dataset: images that this model has been trained on.
            batch_size: number of images to encode at once.
        """
        device, splits = next(self.parameters()).device, {}
        for name, split in dataset.splits().items():
            parts = [flat_codes(self.encode(x.to(device))) for x in split.x.split(batch_size)]
            splits[name] = replace(split, x=torch.cat(parts).to(split.x.device))
        shape = (sum(map(math.prod, self.code_shapes)),)
        return replace(dataset, name=f"codes of {dataset.name}", shape=shape, levels=self.codes, **splits)

    def _top_first(self) -> list["Scale"]:
        return list(self.scales)[::-1]

    def _outputs(self, maps: torch.Tensor) -> torch.Tensor:
        outputs = maps.unflatten(1, (self.likelihood.outputs, -1))
        return outputs if self.likelihood.outputs > 1 else outputs.squeeze(1)

    def _dtype(self) -> torch.dtype:
        return self.scales[0].choose.weight.dtype


class VQVAE(CodeAutoencoder):
    """A VQ-VAE: the encoder's vector at each position of one grid becomes the nearest row of a codebook.

    Its codes are a tuple of one grid, as those of a `VQVAE2` are of several.

    Args:
        event_shape, levels: (C, H, W), and the number of levels of x, at least 2.
        codes: number K of codes, or a list of numbers of values: finite scalar quantization in place of a codebook.
        features: size of a code's vector; of a list of values it is the length.
        channels: channels of the convolutions, each of which halves the grid.
        blocks: number of residual blocks after the encoder's convolutions and before the decoder's.
        likelihood: p(x | codes): `bernoulli` for 2 levels, `categorical` (the default) or `discretized logistic` for
            more.
        quantizer: `decay`, `commitment`, `revive` and `cosine`, see `course_lib.nn.VectorQuantizer`.

    Attributes:
        codes, code_shapes, scales, likelihood: see `CodeAutoencoder`.

    Raises:
        ValueError: a size or a setting is out of range, or the likelihood does not fit the levels.

    >>> model = VQVAE((1, 8, 8), 2, codes=32, features=8, channels=[16])
    >>> x = torch.zeros(5, 1, 8, 8, dtype=torch.long)
    >>> (codes,) = model.encode(x)
    >>> codes.shape, model.decode([codes]).shape, model.log_likelihood(x).shape
    (torch.Size([5, 4, 4]), torch.Size([5, 1, 8, 8]), torch.Size([5]))
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int,
        codes: int | Sequence[int],
        features: int = 16,
        channels: Sequence[int] = (32,),
        *,
        blocks: int = 1,
        likelihood: str | None = None,
        **quantizer: Any,
    ):
        super().__init__(event_shape, levels, codes, features, [channels], blocks, likelihood, **quantizer)


class VQVAE2(CodeAutoencoder):
    """A VQ-VAE-2: codes on several grids. The top one is chosen first, and each other one given those above it.

    At each scale, with e(x) the encoder's maps there and d the decoder's maps from the scale above,

        z = 1x1 convolution of (e(x), d),     d' = decoder of (q(z), d)

    and d' goes to the next finer grid, the last one to the image. So the decoder reads the codes of all scales, and no
    scale needs to repeat what those above it say. (The paper has separate networks from a scale's codes to the choice
    of the next codes and to the image. Here one serves both.)

    Args:
        channels: for each scale, the one next to the image first, the channels of its convolutions, each of which
            halves the grid.
        event_shape, levels, codes, features, blocks, likelihood, quantizer: as in `VQVAE`, the same at all scales.

    Attributes:
        codes, code_shapes, scales, likelihood: see `CodeAutoencoder`.

    Raises:
        ValueError: as in `VQVAE`.

    >>> model = VQVAE2((1, 8, 8), 2, codes=32, features=8, channels=[[16], [16]])
    >>> top, bottom = model.encode(torch.zeros(5, 1, 8, 8, dtype=torch.long))
    >>> top.shape, bottom.shape, model.decode([top, bottom]).shape
    (torch.Size([5, 2, 2]), torch.Size([5, 4, 4]), torch.Size([5, 1, 8, 8]))
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int,
        codes: int | Sequence[int],
        features: int = 16,
        channels: Sequence[Sequence[int]] = ((32,), (32,)),
        *,
        blocks: int = 1,
        likelihood: str | None = None,
        **quantizer: Any,
    ):
        super().__init__(event_shape, levels, codes, features, channels, blocks, likelihood, **quantizer)


class Scale(nn.Module):
    """The networks around one grid of codes.

    Args:
        shapes: of the encoder's maps, from its input to the grid of the codes.
        above: number of the decoder's maps that come from the scale above, 0 for none.
        quantizer: chooses the codes.
        outputs: number of the decoder's maps on the grid of the encoder's input.
        blocks: number of residual blocks of each network.

    Attributes:
        encoder: to the grid of the codes; each convolution halves the grid.
        choose: to the vectors that the quantizer reads, 1x1.
        quantizer: as given.
        decoder: from the codes' vectors, and the maps from above, back to the grid of the encoder's input.
    """

    def __init__(self, shapes: Sequence[torch.Size], above: int, quantizer: Quantizer, outputs: int, blocks: int):
        super().__init__()
        channels, *self.code_shape = shapes[-1]
        self.code_shape = tuple(self.code_shape)
        halving, doubling = [], [nn.Conv2d(quantizer.features + above, channels, 3, padding=1)]
        for large, small in pairwise(shapes):
            halving += [nn.Conv2d(large[0], small[0], 3, stride=2, padding=1), nn.SiLU()]
        for k, (large, small) in enumerate(list(pairwise(shapes))[::-1]):
            to = outputs if k == len(shapes) - 2 else large[0]
            odd = 1 - large[1] % 2, 1 - large[2] % 2
            doubling += [nn.SiLU(), nn.ConvTranspose2d(small[0], to, 3, stride=2, padding=1, output_padding=odd)]
        residual = [[ResidualBlock(channels) for _ in range(blocks)] for _ in range(2)]
        self.encoder = nn.Sequential(*halving, *residual[0])
        self.choose = nn.Conv2d(channels + above, quantizer.features, 1)
        self.quantizer = quantizer
        self.decoder = nn.Sequential(doubling[0], *residual[1], *doubling[1:])


class ResidualBlock(nn.Module):
    """x + 1x1 convolution of SiLU(3x3 convolution of SiLU(x)): (n, channels, H, W) -> the same."""

    def __init__(self, channels: int):
        super().__init__()
        self.spread, self.mix = nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mix(F.silu(self.spread(F.silu(x))))


def flat_codes(codes: Sequence[torch.Tensor]) -> torch.Tensor:
    """Codes (n, h, w) of several grids in a row: (n, T), top first, each grid in raster order.

    >>> flat_codes([torch.tensor([[[1]]]), torch.tensor([[[2, 3], [4, 5]]])])
    tensor([[1, 2, 3, 4, 5]])
    """
    return torch.cat([each.flatten(1) for each in codes], 1)


def grid_codes(codes: torch.Tensor, shapes: Sequence[Sequence[int]]) -> tuple[torch.Tensor, ...]:
    """The inverse of `flat_codes`: a view (n, h, w) of codes (n, T) for each shape.

    >>> grid_codes(torch.arange(5)[None], [(1, 1), (2, 2)])
    (tensor([[[0]]]), tensor([[[1, 2],
             [3, 4]]]))
    """
    parts = codes.split([math.prod(shape) for shape in shapes], 1)
    return tuple(part.unflatten(1, tuple(shape)) for part, shape in zip(parts, shapes, strict=True))


def _quantizer(codes: int | Sequence[int], features: int, settings: dict[str, Any]) -> Quantizer:
    if isinstance(codes, int):
        return VectorQuantizer(codes, features, **settings)
    if settings:
        raise ValueError(f"finite scalar quantization takes no settings; got {', '.join(settings)}")
    return FiniteScalarQuantizer(codes)


def _joined(maps: torch.Tensor, above: torch.Tensor | None) -> torch.Tensor:
    return maps if above is None else torch.cat([maps, above], 1)
