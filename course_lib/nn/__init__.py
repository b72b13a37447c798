"""Building blocks that models are made of."""

from course_lib.nn.causal import MaskedConv2d, PixelSteps, RowSteps, ShiftedConv2d, colour_groups, conv_mask
from course_lib.nn.masked import MaskedLinear

__all__ = ["MaskedConv2d", "MaskedLinear", "PixelSteps", "RowSteps", "ShiftedConv2d", "colour_groups", "conv_mask"]
