"""The clinic of lesson 09: six GANs of the ring of eight Gaussians, whose modes can be counted."""

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from torch import Tensor, nn

from course_lib import budget, data, plots
from course_lib.clinic.clinic import Clinic, Patient

__all__ = ["gan_clinic"]

SYMPTOMS = {
    "healthy": "nothing is wrong",
    "accomplice": "the generator also learns what the discriminator wants it to do",
    "exchanged": "the two players agree: samples go where the discriminator finds it easiest to tell them from data",
    "unmoved": "the generator never learns, and the discriminator recognises all of its samples",
    "timid": "the discriminator cannot be sure of anything, and its gradient is weak",
    "relative": "the discriminator sees points only in relation to the others of their batch",
}
PROGRAM = """
l(x) = the number that the discriminator's network gives for x      # a logit
x = 200 points of the data
fake = G(z), where z is 200 fresh draws of N(0, I)
loss_D = mean of -log sigmoid(l(x)) + mean of -log sigmoid(-l(stop_gradient(fake)))
Adam's step down loss_D, on the weights of D and no others
fake = G(z), where z is 200 fresh draws of N(0, I)
loss_G = mean of -log sigmoid(l(fake))
Adam's step down loss_G, on the weights of G and no others
D(x) = sigmoid(l(x))                                                # evaluation
"""
HIDDEN, NOISE, BATCH = 64, 2, 200


def network(inputs: int, outputs: int) -> nn.Sequential:
    """Two hidden layers of tanh units."""
    layers = [nn.Linear(inputs, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, outputs)]
    return nn.Sequential(*layers)


class Healthy(nn.Module):
    """A GAN of points in the plane, and its author's training of it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.generator, self.discriminator = network(NOISE, 2), network(2, 1)

    def train_on(self, x: Tensor, steps: int) -> "Healthy":
        """Take steps in turn on batches of x (N, 2), and go to eval mode."""
        settings = dict(lr=1e-3, betas=(0.5, 0.999))
        step_D = torch.optim.Adam(self.discriminators_step(), **settings)
        step_G = torch.optim.Adam(self.generator.parameters(), **settings)
        torch.manual_seed(1)
        for _ in range(steps):
            batch = x[torch.randint(len(x), (BATCH,))]
            self.zero_grad()
            self.loss_D(batch, self.generator(torch.randn(BATCH, NOISE))).backward()
            step_D.step()
            self.zero_grad()
            self.loss_G(self.generator(torch.randn(BATCH, NOISE))).backward()
            step_G.step()
        return self.eval()

    def logits(self, x: Tensor) -> Tensor:
        """l(x), (n,)."""
        return self.discriminator(x).squeeze(1)

    def discriminators_step(self) -> list[nn.Parameter]:
        """What a step of the discriminator changes."""
        return list(self.discriminator.parameters())

    def loss_D(self, x: Tensor, fake: Tensor) -> Tensor:
        """In nats."""
        return -F.logsigmoid(self.logits(x)).mean() - F.logsigmoid(-self.logits(fake.detach())).mean()

    def loss_G(self, fake: Tensor) -> Tensor:
        """In nats."""
        return -F.logsigmoid(self.logits(fake)).mean()


class TrainsBoth(Healthy):
    """The discriminator's optimizer has all weights, and nothing stops the gradient at its samples."""

    def discriminators_step(self) -> list[nn.Parameter]:
        return list(self.parameters())

    def loss_D(self, x: Tensor, fake: Tensor) -> Tensor:
        return -F.logsigmoid(self.logits(x)).mean() - F.logsigmoid(-self.logits(fake)).mean()


class LabelsExchanged(Healthy):
    """The discriminator learns to call data made and samples data; the generator's loss is the right one."""

    def loss_D(self, x: Tensor, fake: Tensor) -> Tensor:
        return super().loss_D(fake.detach(), x)


class SigmoidTwice(Healthy):
    """The network ends in a sigmoid, and its probability is taken for a logit."""

    def logits(self, x: Tensor) -> Tensor:
        return super().logits(x).sigmoid()


class Detached(Healthy):
    """The gradient is stopped at the samples in the generator's loss, too."""

    def loss_G(self, fake: Tensor) -> Tensor:
        return super().loss_G(fake.detach() + 0 * fake)  # the zero keeps backward() from complaining


class NormalizedInput(Healthy):
    """The discriminator begins with batch normalization, for data and samples apart."""

    def __init__(self):
        super().__init__()
        self.discriminator = nn.Sequential(nn.BatchNorm1d(2, affine=False), *self.discriminator)


def gan_clinic() -> Clinic:
    """Six patients, trained here: see `course_lib.clinic`."""
    ring = data.ring()
    kinds = {
        "A": NormalizedInput,
        "B": Healthy,
        "C": LabelsExchanged,
        "D": SigmoidTwice,
        "E": TrainsBoth,
        "F": Detached,
    }
    points = ring.dataset().train.x
    models = {name: kind().train_on(points, budget(smoke=4, cpu=1000, gpu=1500)) for name, kind in kinds.items()}
    files = {
        "A": (
            "relative",
            {1},
            "The discriminator's network begins with batch normalization, and data and samples come in batches of "
            "their own. So each batch is moved and scaled to mean 0 and variance 1 before it is judged: a ring of the "
            "wrong size looks right. Batch normalization does not belong into the discriminator's input layer, says "
            "DCGAN.",
            "with model = clinic.patients['A'].model.train(), compare model.logits(x) and model.logits(3 * x + 5) for "
            "x = data.ring().sample(200). Should they be alike?",
        ),
        "B": (
            "healthy",
            {None},
            "D is near 1/2 for data and for samples, the loss near log 4, and all modes are covered.",
            "what would the first three numbers be if p_G were p_data? Whose come closest, and whose samples?",
        ),
        "C": (
            "exchanged",
            {4},
            "The discriminator is told that samples are data and data are samples. The generator wants high logits, "
            "and gets them where the discriminator gives them to samples: far away from the data. Nobody plays against "
            "anybody, and both losses fall.",
            "look at the mean of D over data and over samples. What should each be for a discriminator that is good "
            "at its task?",
        ),
        "D": (
            "timid",
            {1},
            "The network ends in a sigmoid, and the loss takes another one of it. So l(x) lies between 0 and 1, D "
            "between 0.5 and 0.73, and the loss of a perfect discriminator would still be 1.01. Its gradient is too "
            "weak to pull samples to the modes.",
            "which values does clinic.patients['D'].model.logits(x) take, for x = 100 * torch.randn(1000, 2)?",
        ),
        "E": (
            "accomplice",
            {4, 5},
            "The step down loss_D changes the generator as well: nothing stops the gradient at the samples, and the "
            "optimizer has all weights. It pulls samples to where they are recognised, and the generator's own step "
            "pulls them back. They end in one clump.",
            "with model = clinic.patients['E'].model, compute model.loss_D(x, model.generator(z)).backward() for some "
            "x and z. Do the generator's weights have a gradient?",
        ),
        "F": (
            "unmoved",
            {6, 7, 8},
            "The gradient is stopped at the samples in loss_G, too, so the generator's weights get none. Its samples "
            "are those of an untrained network, and the discriminator has an easy task.",
            "compute model.loss_G(model.generator(z)).backward() for model = clinic.patients['F'].model. How large is "
            "the gradient of the generator's weights?",
        ),
    }
    x, z = ring.sample(2000, generator=torch.Generator().manual_seed(1)), torch.Generator().manual_seed(2)
    z = torch.randn(2000, NOISE, generator=z)
    with torch.no_grad():
        patients = {name: Patient(models[name], models[name].generator(z), *files[name]) for name in files}

    @torch.no_grad()
    def evidence(model: Healthy) -> dict[str, float]:
        fake = model.generator(z)
        return {
            "D of data": float(model.logits(x).sigmoid().mean()),
            "D of samples": float(model.logits(fake).sigmoid().mean()),
            "loss_D (nats)": float(model.loss_D(x, fake)),
            "modes covered": ring.modes_covered(fake).covered,
        }

    alt = (
        "Samples of six patients in the plane, with crosses at the eight modes. A: a ring that is too small. B: "
        "clusters at all eight crosses. C: one clump at the border, far outside. D: a wide patch across the plane. "
        "E: one clump at a cross. F: a small clump near the middle."
    )

    def draw(samples: Tensor, ax: Axes, title: str) -> None:
        plots.scatter(samples, centres=ring.centres, reach=3.2, title=title, ax=ax)

    return Clinic(patients, SYMPTOMS, PROGRAM, alt=alt, evidence=evidence, draw=draw)
