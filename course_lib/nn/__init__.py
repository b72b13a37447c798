"""Building blocks that models are made of."""

from course_lib.nn.masked import MaskedLinear

__all__ = ["MaskedLinear"]
