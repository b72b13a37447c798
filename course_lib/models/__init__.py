"""Models: one file a family. Every likelihood model's `log_prob(x)` gives (batch,) log-likelihoods in nats."""

from course_lib.models import orderings
from course_lib.models.base import AutoregressiveModel
from course_lib.models.fvbn import FVBN, IndependentPixels
from course_lib.models.tabular import TabularModel

__all__ = ["FVBN", "AutoregressiveModel", "IndependentPixels", "TabularModel", "orderings"]
