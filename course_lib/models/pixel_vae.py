"""PixelVAE: a VAE whose decoder is a PixelCNN, so that the pixels depend on each other, and not on z alone.

    p(x | z) = product over the pixels i of p(x_i | x_1, ..., x_{i-1}, s(z))

The decoder's network turns z into maps s(z) of the image's size, which are the context of a gated PixelCNN. What lies
in the PixelCNN's receptive field need not be said by z. A PixelCNN that sees everything can do without z altogether:
then q(z | x) = p(z) is an optimum, and training often ends there (*posterior collapse*).

I. Gulrajani, K. Kumar, F. Ahmed, A. Ali Taiga, F. Visin, D. Vazquez and A. Courville, "PixelVAE: A Latent Variable
Model for Natural Images", ICLR 2017, section 3. There the maps are concatenated with the image; here they are added to
all layers, before the gates, as in A. van den Oord et al., "Conditional Image Generation with PixelCNN Decoders", NIPS
29, 2016, section 2.3.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch

from course_lib.models.gated_pixelcnn import GatedPixelCNN
from course_lib.models.likelihoods import Likelihood
from course_lib.models.vae import VAE

MEAN_DRAWS = 100  # of x, from which `PixelLikelihood.mean` is estimated


class PixelLikelihood(Likelihood):
    """p(x | z) of a gated PixelCNN whose context is a decoder's outputs: see `Likelihood`.

    Args:
        event_shape, levels: as in `GatedPixelCNN`.
        outputs: number P of outputs for each dimension: of C colours, the context has P C channels.
        channels, layers, kernel, head: as in `GatedPixelCNN`.

    Attributes:
        pixels: the `GatedPixelCNN`.

    Raises:
        ValueError: see `GatedPixelCNN`; or outputs is below 1.

    >>> likelihood = PixelLikelihood((1, 4, 4), 2, outputs=3, channels=8, layers=1, kernel=3, head=8)
    >>> x = likelihood.invert(torch.zeros(5, 3, 1, 4, 4), torch.rand(5, 1, 4, 4))
    >>> likelihood.log_prob(torch.zeros(5, 3, 1, 4, 4), x).shape
    torch.Size([5])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int,
        outputs: int,
        *,
        channels: int,
        layers: int,
        kernel: int,
        head: int,
    ):
        super().__init__()
        if outputs < 1:
            raise ValueError(f"context is {outputs}; expected at least 1 map")
        self.outputs, context = outputs, outputs * event_shape[0]
        self.pixels = GatedPixelCNN(
            event_shape, levels, channels, layers, kernel=kernel, context_channels=context, head=head
        )
        self.rows = max(1, 2**16 // math.prod(event_shape))

    def _context(self, outputs: torch.Tensor) -> torch.Tensor:
        """(n, P C, H, W)."""
        return outputs.reshape(len(outputs), -1, *outputs.shape[-2:])

    def log_prob(self, outputs: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        # Without the checks of `log_prob`: the VAE has made them.
        return self.pixels._log_likelihood(self.pixels(x, context=self._context(outputs)), x).flatten(1).sum(1)

    def invert(self, outputs: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """The sample that the uniforms stand for, pixel by pixel: see `AutoregressiveModel.sample`."""
        return self.pixels.sample(len(u), context=self._context(outputs), uniforms=u.flatten(1))

    def mean(self, outputs: torch.Tensor) -> torch.Tensor:
        """An estimate of E[x | z], which has no closed form: the mean of 100 samples, always from the same uniforms."""
        shape = self.pixels.event_shape
        u = torch.rand(MEAN_DRAWS, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        u = u.repeat(len(outputs), 1, 1, 1)
        x = self.invert(outputs.repeat_interleave(MEAN_DRAWS, 0), u)
        dtype = torch.promote_types(outputs.dtype, torch.float32)
        return x.view(len(outputs), MEAN_DRAWS, *shape).to(dtype).mean(1)


class PixelVAE(VAE):
    """A VAE of images of K levels whose decoder is a gated PixelCNN.

    With a kernel of 3 and one layer a pixel depends on z, on its left neighbour and on the pixels up to two rows above
    and one column aside; `GatedPixelCNN` says what each layer adds. `sample` draws the pixels one by one, with that
    model's cached steps; row i of its uniforms has L numbers for z, then D for the pixels. `mean` and `reconstruct`
    are estimates, see `PixelLikelihood.mean`.

    The weights of the context start at 0: a new model ignores z, and the KL divergence may keep it so. A warm-up leaves
    training the time to find a use for z. `course_lib.experiments.pixel_vae` has the digits' costs with and without.

    Args:
        event_shape: (C, H, W).
        levels: K.
        latents, hidden: as in `VAE`.
        context: number of maps that the decoder's network gives to the PixelCNN, for each colour.
        pixel_channels, pixel_layers, kernel, head: `channels`, `layers`, `kernel` and `head` of the `GatedPixelCNN`.
        settings: `channels`, `beta`, `free_bits`, `warmup` as in `VAE`.

    Attributes:
        likelihood: p(x | z), a `PixelLikelihood`.

    Raises:
        ValueError: see `VAE` and `GatedPixelCNN`; or context is below 1.

    >>> model = PixelVAE((1, 8, 8), 2, latents=4, hidden=[50], pixel_channels=8, pixel_layers=1, kernel=3)
    >>> x = model.sample(5, generator=torch.Generator().manual_seed(0))
    >>> model.elbo(x).shape, model.iwae_bound(x, k=10).shape, model.reconstruct(x).shape
    (torch.Size([5]), torch.Size([5]), torch.Size([5, 1, 8, 8]))
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int,
        latents: int,
        hidden: Sequence[int] = (200, 200),
        *,
        context: int = 8,
        pixel_channels: int = 24,
        pixel_layers: int = 2,
        kernel: int = 3,
        head: int = 48,
        **settings: Any,
    ):
        likelihood = PixelLikelihood(
            event_shape, levels, context, channels=pixel_channels, layers=pixel_layers, kernel=kernel, head=head
        )
        super().__init__(event_shape, levels, latents, hidden, likelihood=likelihood, **settings)
