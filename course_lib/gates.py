"""What two stacks and gates are worth: networks that differ in one of the two, at equal numbers of weights.

The gated PixelCNN differs from the PixelCNN before it in two ways at once, two stacks and gates, and its paper reports
them together. Here either can be left out alone. `python -m course_lib.gates` trains all six networks on the small
world and on the digits from several seeds and prints `MEASURED` anew.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from course_lib import data, metrics
from course_lib.models.gated_pixelcnn import gate, one_row_down
from course_lib.models.images import ImageModel
from course_lib.nn import MaskedConv2d, ShiftedConv2d
from course_lib.training import fit

__all__ = ["ACTIVATIONS", "Ablation", "train_on_digits", "train_on_the_world", "weights"]

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"gate": gate, "ReLU": torch.relu, "tanh": torch.tanh}


class Ablation(ImageModel):
    """A PixelCNN of one colour with one or two stacks and any activation, otherwise as `GatedPixelCNN`.

    Without the vertical stack, the horizontal one has the square kernel with its mask, and so a blind spot.

    Args:
        event_shape: (1, H, W).
        levels: K.
        stacks: 1 or 2.
        activation: a key of `ACTIVATIONS`.
        channels: of each stack, after the activation; `equal_channels` makes the number of weights comparable.
        layers, head: as in `GatedPixelCNN`, with a kernel of 3 x 3 and a learned number at each position.

    >>> model = Ablation((1, 4, 4), 2, stacks=2, activation="gate", channels=16, layers=3, head=32)
    >>> model(torch.zeros(5, 1, 4, 4, dtype=torch.long)).shape
    torch.Size([5, 1, 4, 4])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int,
        *,
        stacks: int,
        activation: str,
        channels: int,
        layers: int,
        head: int,
    ):
        super().__init__(event_shape, levels)
        made = channels * (2 if activation == "gate" else 1)
        colours = [0] * channels
        reach = dict(left=1) if stacks == 2 else dict(above=1, left=1, right=1)
        self.activation = ACTIVATIONS[activation]
        self.layers = nn.ModuleList()
        for i in range(layers):
            below = colours if i else [0]
            parts = {
                "horizontal": MaskedConv2d("B" if i else "A", below, [0] * made, **reach),
                "mix": MaskedConv2d("B", colours, colours),
            }
            if stacks == 2:
                parts["vertical"] = ShiftedConv2d(len(below), made, above=1, left=1, right=1)
                parts["link"] = nn.Conv2d(made, made, 1, bias=False)
            self.layers.append(nn.ModuleDict(parts))
        self.position = nn.Parameter(torch.zeros(channels, *self.event_shape[1:]))
        self.head = MaskedConv2d("B", colours, [0] * head)
        self.output = MaskedConv2d("B", [0] * head, self._logit_colours())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v = h = self._scaled(x)
        for i, layer in enumerate(self.layers):
            b = layer["horizontal"](h)
            if "vertical" in layer:
                a = layer["vertical"](v)
                v, b = self.activation(a), b + layer["link"](one_row_down(a))
            h = layer["mix"](self.activation(b)) + (h if i else self.position)
        return self._logits(self.output(torch.relu(self.head(torch.relu(h)))))


def weights(model: nn.Module) -> int:
    """The number of weights that a model uses: those under a 0 of a mask do not count."""
    unused = sum(int((~m.mask.bool()).sum()) for m in model.modules() if isinstance(m, MaskedConv2d))
    return sum(weight.numel() for weight in model.parameters()) - unused


def train_on_the_world(model: nn.Module, steps: int = 500, seed: int = 0) -> float:
    """Train by Adam on images drawn from the tiny world; returns KL(world || model) in nats, exactly."""
    world = data.tiny_world()
    images = world.sample(100_000, generator=torch.Generator().manual_seed(0)).view(-1, *model.event_shape)
    rng = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        (-model.log_prob(images[torch.randint(len(images), (100,), generator=rng)]).mean()).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        log_q = torch.cat([model.log_prob(x) for x in world.states.view(-1, *model.event_shape).split(8192)])
    return float(world.log_p.exp() @ (world.log_p - log_q.double()))


def train_on_digits(model: nn.Module, epochs: int = 25, seed: int = 0) -> float:
    """Train by AdamW on the digits of 16 levels; returns the test bits/dim."""
    digits = data.digits("levels")
    decay = partial(torch.optim.AdamW, weight_decay=0.01)
    fit(model, digits, epochs=epochs, batch_size=64, lr=4e-3, optimizer=decay, seed=seed, progress=False)
    return metrics.nll(model, digits.test.x).mean / (64 * math.log(2))


# Channels that give each network about as many weights as the gated one with two stacks, 16 channels on the world and
# 20 on the digits; by number of stacks and activation.
CHANNELS = {
    "world": {(2, "gate"): 16, (2, "ReLU"): 23, (2, "tanh"): 23, (1, "gate"): 23, (1, "ReLU"): 30},
    "digits": {(2, "gate"): 20, (2, "ReLU"): 29, (2, "tanh"): 29, (1, "gate"): 28, (1, "ReLU"): 36},
}
SIZES = {
    "world": dict(event_shape=(1, 4, 4), levels=2, layers=3, head=32),
    "digits": dict(event_shape=(1, 8, 8), levels=16, layers=3, head=48),
}
TRAINING = {"world": train_on_the_world, "digits": train_on_digits}


def measure(dataset: str, stacks: int, activation: str, seed: int) -> float:
    """Build and train one of the networks: KL in nats on the world, test bits/dim on the digits."""
    torch.manual_seed(seed)
    channels = CHANNELS[dataset][stacks, activation]
    model = Ablation(**SIZES[dataset], stacks=stacks, activation=activation, channels=channels)
    return TRAINING[dataset](model, seed=seed)
