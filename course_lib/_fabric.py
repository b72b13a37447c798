"""Lightning's Fabric, imported in half the time: everything that trains imports it from here.

To learn the version of torchmetrics, Fabric imports it, and torchvision and scipy.signal with it. A callback alone
needs to know, which this course does not use. Each kernel of a lesson would wait for it.
"""

import sys

hidden = "torchmetrics" not in sys.modules
if hidden:
    sys.modules["torchmetrics"] = None  # `import torchmetrics` is an ImportError now, and Fabric goes on without

from lightning_fabric import Fabric  # noqa: E402
from lightning_fabric.plugins.precision import MixedPrecision  # noqa: E402

if hidden:
    del sys.modules["torchmetrics"]

__all__ = ["Fabric", "MixedPrecision"]
