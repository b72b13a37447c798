"""The course's data sets: one loader each, every loader returns a `Dataset`.

`digits`, `tiny_world`, `shapes`, `ring`, `grid` and `tones` need no network and no files. The others are read from the
folder that the environment variable COURSE_DATA names, or downloaded once. `data/README.md` says where each comes from.
"""

from course_lib.data.dataset import Dataset, Split
from course_lib.data.digits import dequantize, digits
from course_lib.data.images import binarized_mnist, cifar10, fashion_mnist, mnist
from course_lib.data.mixtures import Coverage, GaussianMixture, grid, ring
from course_lib.data.shapes import Shapes, shapes
from course_lib.data.sound import Sounds, has_spoken_digits, spoken_digits, tones
from course_lib.data.tiny_world import TinyWorld, tiny_world

__all__ = [
    "Coverage",
    "Dataset",
    "GaussianMixture",
    "Shapes",
    "Sounds",
    "Split",
    "TinyWorld",
    "binarized_mnist",
    "cifar10",
    "dequantize",
    "digits",
    "fashion_mnist",
    "grid",
    "has_spoken_digits",
    "mnist",
    "ring",
    "shapes",
    "spoken_digits",
    "tiny_world",
    "tones",
]
