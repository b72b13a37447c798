"""Models: one file per family. Every likelihood model's `log_prob(x)` gives (batch,) log-likelihoods in nats.

A latent-variable model without an exact likelihood bounds it by `elbo(x)` and `iwae_bound(x, k)`. An implicit model,
such as a GAN, has samples alone.
"""

from course_lib.models import orderings
from course_lib.models.autoencoder import Autoencoder
from course_lib.models.base import AutoregressiveModel, GenerativeModel
from course_lib.models.bigan import BiGAN
from course_lib.models.categorical_vae import CategoricalVAE
from course_lib.models.code_prior import CodeModel, CodePrior
from course_lib.models.conv_nade import ConvNADE
from course_lib.models.fvbn import FVBN, IndependentPixels
from course_lib.models.gan import DCGAN, GAN
from course_lib.models.gated_pixelcnn import GatedPixelCNN
from course_lib.models.images import ImageModel
from course_lib.models.implicit import ImplicitModel
from course_lib.models.ladder_vae import LadderVAE, PixelLadderVAE
from course_lib.models.latent import LatentVariableModel
from course_lib.models.made import MADE, MADEEnsemble
from course_lib.models.nade import NADE
from course_lib.models.orderless_nade import EoNADE, OrderlessNADE
from course_lib.models.parallel_wavenet import ParallelWaveNet
from course_lib.models.pixel_vae import PixelVAE
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.pixelcnn_pp import PixelCNNPlusPlus
from course_lib.models.pixelrnn import PixelRNN
from course_lib.models.ppca import ProbabilisticPCA
from course_lib.models.rnade import RNADE
from course_lib.models.sequences import SequenceModel
from course_lib.models.sound_baselines import Histogram, LinearPrediction
from course_lib.models.tabular import TabularModel
from course_lib.models.vae import VAE, ConditionalVAE
from course_lib.models.vqvae import VQVAE, VQVAE2
from course_lib.models.wavenet import WaveNet

__all__ = [
    "DCGAN",
    "FVBN",
    "GAN",
    "MADE",
    "NADE",
    "RNADE",
    "VAE",
    "VQVAE",
    "VQVAE2",
    "Autoencoder",
    "AutoregressiveModel",
    "BiGAN",
    "CategoricalVAE",
    "CodeModel",
    "CodePrior",
    "ConditionalVAE",
    "ConvNADE",
    "EoNADE",
    "GatedPixelCNN",
    "GenerativeModel",
    "Histogram",
    "ImageModel",
    "ImplicitModel",
    "IndependentPixels",
    "LadderVAE",
    "LatentVariableModel",
    "LinearPrediction",
    "MADEEnsemble",
    "OrderlessNADE",
    "ParallelWaveNet",
    "PixelCNN",
    "PixelCNNPlusPlus",
    "PixelLadderVAE",
    "PixelRNN",
    "PixelVAE",
    "ProbabilisticPCA",
    "SequenceModel",
    "TabularModel",
    "WaveNet",
    "orderings",
]
