"""A world small enough to know all of: binary images of 4x4 pixels, 65,536 states, every probability known."""

import torch

from course_lib.data.dataset import Dataset, Split
from course_lib.models import TabularModel

GLYPHS = {
    "+": (".#.", "###", ".#."),
    "x": ("#.#", ".#.", "#.#"),
    "o": ("###", "#.#", "###"),
    "T": ("###", ".#.", ".#."),
    "L": ("#..", "#..", "###"),
    "H": ("#.#", "###", "#.#"),
    "U": ("#.#", "#.#", "###"),
    "S": (".##", ".#.", "##."),
}
FLIP = 0.02


class TinyWorld(TabularModel):
    """One of eight 3x3 glyphs, at one of four places in a 4x4 image, seen through noise.

    Glyph and place are drawn uniformly, then every pixel flips with probability 0.02:

        p(x) = 1/32 sum over the 32 clean images c of 0.02^h 0.98^(16 - h),

    where h is the number of pixels in which x and c differ. Every state is possible, and 72 of 100 images have no
    flipped pixel. The entropy is 7.17 bits per image. The best FVBN in raster order needs 9.35 bits (a KL gap of
    2.18), the best model of independent pixels 13.96 bits (6.80), the uniform model 16.

    It is a `TabularModel`: `log_prob`, `sample`, `complete`, `conditional`, `kl` and `entropy` are exact.

    Attributes:
        states: (65536, 16) int64, all images in raster order, the last pixel fastest.
        log_p: (65536,) float64, their log-probabilities in nats.
        clean: (32, 16) int64, the noiseless images: four places for each glyph of GLYPHS.

    >>> round(tiny_world().entropy, 3)      # nats
    4.968
    """

    def __init__(self):
        clean = torch.zeros(8, 4, 4, 4, dtype=torch.long)
        for glyph, rows in enumerate(GLYPHS.values()):
            for place in range(4):
                top, left = divmod(place, 2)
                ink = torch.tensor([[pixel == "#" for pixel in row] for row in rows])
                clean[glyph, place, top : top + 3, left : left + 3] = ink
        clean = clean.view(32, 16)
        states = torch.cartesian_prod(*[torch.arange(2)] * 16)
        flipped = (states @ (1 - clean.T) + (1 - states) @ clean.T).double()
        p = (FLIP**flipped * (1 - FLIP) ** (16 - flipped)).mean(1)
        super().__init__(p.log().view((2,) * 16))
        self.register_buffer("clean", clean)

    def dataset(self, n: int = 4000, seed: int = 0) -> Dataset:
        """n images for training, n // 4 for validation, n // 4 for testing; y is the number of the true glyph.

        x has shape (n, 1, 4, 4). The same seed gives the same images.

        Raises:
            ValueError: n is below 4.

        >>> ds = tiny_world().dataset(n=100)
        >>> ds.train.x.shape, len(ds.test)
        (torch.Size([100, 1, 4, 4]), 25)
        """
        if n < 4:
            raise ValueError(f"n is {n}; expected at least 4, so that no part of the data set is empty")
        generator = torch.Generator().manual_seed(seed)

        def draw(count: int) -> Split:
            which = torch.randint(32, (count,), generator=generator)
            flips = torch.rand(count, 16, dtype=torch.float64, generator=generator) < FLIP
            return Split((self.clean[which] ^ flips).view(-1, 1, 4, 4), which // 4)

        return Dataset("tiny world", (1, 4, 4), 2, draw(n), draw(n // 4), draw(n // 4))


def tiny_world() -> TinyWorld:
    """The course's enumerable world: see `TinyWorld`.

    >>> world = tiny_world()
    >>> world.states.shape, world.log_p.shape, world.sample(5).shape
    (torch.Size([65536, 16]), torch.Size([65536]), torch.Size([5, 16]))
    """
    return TinyWorld()
