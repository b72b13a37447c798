"""What two stacks and gates are worth: networks that differ in one of the two, at equal numbers of weights.

The gated PixelCNN differs from the PixelCNN before it in two ways at once, two stacks and gates, and its paper reports
them together. Here either can be left out alone. `python -m course_lib.experiments.gates` trains all networks on the
tiny world and on the digits from several seeds and prints what `MEASURED` holds, in about 10 minutes of processor time.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from course_lib import data, metrics
from course_lib.models.gated_pixelcnn import gate, one_row_down
from course_lib.models.images import ImageModel
from course_lib.nn import MaskedConv2d, ShiftedConv2d
from course_lib.training import fit, fit_steps

__all__ = ["MEASURED", "Ablation", "measure", "train_on_digits", "train_on_the_world", "weights"]

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"gate": gate, "ReLU": torch.relu, "tanh": torch.tanh}


class Ablation(ImageModel):
    """A PixelCNN of one colour with one or two stacks and any activation, otherwise as `GatedPixelCNN`.

    Without the vertical stack, the horizontal one has the square kernel with its mask, and so a blind spot.

    Args:
        event_shape: (1, H, W).
        levels: K.
        stacks: 1 or 2.
        activation: a key of `ACTIVATIONS`.
        channels: of each stack, after the activation.
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
    fit_steps(model, images, steps=steps, batch_size=100, lr=1e-2, seed=seed)
    log_q = metrics.log_probs(model, world.states.view(-1, *model.event_shape))
    return float(world.log_p.exp() @ (world.log_p - log_q))


def train_on_digits(model: nn.Module, epochs: int = 25, seed: int = 0) -> float:
    """Train by AdamW on the digits of 16 levels; returns the test bits/dim."""
    digits = data.digits("levels")
    decay = partial(torch.optim.AdamW, weight_decay=0.01)
    fit(model, digits, epochs=epochs, batch_size=64, lr=4e-3, optimizer=decay, seed=seed, progress=False)
    return metrics.nll(model, digits.test.x).mean / (64 * math.log(2))


# Channels that give each network about as many weights as the gated one with two stacks: 13,175 to 13,727 on the world,
# 22,072 to 23,046 on the digits.
CHANNELS = {
    "world": {(2, "gate"): 16, (2, "ReLU"): 23, (2, "tanh"): 23, (1, "gate"): 23, (1, "ReLU"): 30},
    "digits": {(2, "gate"): 20, (2, "ReLU"): 29, (2, "tanh"): 29, (1, "gate"): 28, (1, "ReLU"): 36},
}
SIZES = {
    "world": dict(event_shape=(1, 4, 4), levels=2, layers=3, head=32),
    "digits": dict(event_shape=(1, 8, 8), levels=16, layers=3, head=48),
}
TRAINING = {"world": train_on_the_world, "digits": train_on_digits}
# Printed by `python -m course_lib.experiments.gates` on 28 November 2026 on one CPU core: for each network, one number
# for each of the seeds 0, 1, ...: the KL divergence in nats on the world, the test bits/dim on the digits (± 0.015,
# since there are 300 test images).
MEASURED: dict[str, dict[tuple[int, str], list[float]]] = {
    "world": {
        (2, "gate"): [0.121, 0.0814, 0.107, 0.1078, 0.0962],
        (2, "ReLU"): [0.0842, 0.0834, 0.0815, 0.0686, 0.0859],
        (2, "tanh"): [0.0842, 0.0744, 0.0869, 0.0809, 0.0803],
        (1, "gate"): [0.3644, 0.359, 0.3824, 0.3734, 0.3676],
        (1, "ReLU"): [0.3682, 0.3757, 0.3778, 0.3752, 0.3824],
    },
    "digits": {
        (2, "gate"): [1.769, 1.763, 1.7489],
        (2, "ReLU"): [1.7351, 1.7425, 1.7377],
        (2, "tanh"): [1.7953, 1.7742, 1.7723],
        (1, "gate"): [1.7681, 1.7715, 1.7624],
        (1, "ReLU"): [1.7555, 1.7558, 1.7489],
    },
}


def build(dataset: str, stacks: int, activation: str) -> Ablation:
    """One of the networks, untrained, with the number of channels that makes the weights comparable."""
    channels = CHANNELS[dataset][stacks, activation]
    return Ablation(**SIZES[dataset], stacks=stacks, activation=activation, channels=channels)


def measure(dataset: str, stacks: int, activation: str, seed: int) -> float:
    """Build and train one of the networks: KL in nats on the world, test bits/dim on the digits."""
    torch.manual_seed(seed)
    return TRAINING[dataset](build(dataset, stacks, activation), seed=seed)


def main() -> None:
    for dataset, networks in MEASURED.items():
        for (stacks, activation), values in networks.items():
            again = [round(measure(dataset, stacks, activation, seed), 4) for seed in range(len(values))]
            print(f"{dataset}, {stacks} stacks, {activation}: {again}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
