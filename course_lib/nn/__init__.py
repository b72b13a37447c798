"""Building blocks that models are made of."""

from course_lib.nn.adversarial import (
    ADVERSARIAL_LOSSES,
    AdversarialLoss,
    clip_weights,
    gradient_penalty,
    log_density_ratio,
    r1_penalty,
)
from course_lib.nn.attention import (
    AttentionSteps,
    CausalSelfAttention,
    causal_masks,
    fixed_masks,
    strided_masks,
)
from course_lib.nn.causal import EnlargingConv2d, MaskedConv2d, ShiftedConv2d, colour_groups, conv_mask
from course_lib.nn.condition import Condition
from course_lib.nn.dilated import CausalConv1d, RingSteps
from course_lib.nn.encoders import Decoder, Encoder
from course_lib.nn.masked import MaskedLinear
from course_lib.nn.quantizer import FiniteScalarQuantizer, Quantized, Quantizer, VectorQuantizer, perplexity
from course_lib.nn.steps import EnlargingRasterSteps, EnlargingRowSteps, PixelSteps, RasterSteps, RowSteps

__all__ = [
    "ADVERSARIAL_LOSSES",
    "AdversarialLoss",
    "AttentionSteps",
    "CausalConv1d",
    "CausalSelfAttention",
    "Condition",
    "Decoder",
    "Encoder",
    "EnlargingConv2d",
    "EnlargingRasterSteps",
    "EnlargingRowSteps",
    "FiniteScalarQuantizer",
    "MaskedConv2d",
    "MaskedLinear",
    "PixelSteps",
    "Quantized",
    "Quantizer",
    "RasterSteps",
    "RingSteps",
    "RowSteps",
    "ShiftedConv2d",
    "VectorQuantizer",
    "causal_masks",
    "clip_weights",
    "colour_groups",
    "conv_mask",
    "fixed_masks",
    "gradient_penalty",
    "log_density_ratio",
    "perplexity",
    "r1_penalty",
    "strided_masks",
]
