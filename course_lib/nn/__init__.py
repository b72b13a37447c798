"""Building blocks that models are made of."""

from course_lib.nn.masked import MaskedLinear, masked_linear

__all__ = ["MaskedLinear", "masked_linear"]
