"""The clinic of lesson 10: six evaluations of one and the same model of the tiny world; five have a mistake."""

import math

import torch
from sklearn.svm import SVC
from torch import Tensor, nn

from course_lib import budget, data
from course_lib.clinic.clinic import Clinic, Patient
from course_lib.metrics import frechet_distance, gaussian_fit
from course_lib.models import MADE
from course_lib.training import fit_steps

__all__ = ["evaluation_clinic"]

SYMPTOMS = {
    "healthy": "nothing is wrong",
    "seen before": "the model is judged on images that it was trained on",
    "other unit": "a number is given in another unit than the one that is written above it",
    "too few": "a distance is estimated from so few images that it is too large",
    "one class at a time": "the parts of a sample have fewer classes than the sample",
    "judge in training": "a classifier is judged on images that it was trained on",
}
PROGRAM = """
model = MADE, trained on 300 images
network = classifier of the eight glyphs, trained on 20,000 other images
real = 2,000 new images of the toy distribution
fake = 2,000 samples of the model, in random order
NLL = mean of -log2 p(x) over all x of real               # bits per image
parts = 10 parts of fake, 200 consecutive samples each
p(y) = mean of p(y | x) over the x of a part              # by the network
score = mean over the parts of exp(mean KL(p(y | x) || p(y)))
distance = Frechet distance of Gaussians fitted to the features of all of real and of all of fake
classifier is trained to tell images 0, 2, 4, ... of real from images 0, 2, 4, ... of fake
accuracy = share of images 1, 3, 5, ... of both that it sorts correctly
"""
CLASSES, FEATURES, N = 8, 16, 2000


class Glyphs(nn.Module):
    """A classifier of the tiny world's glyphs, with the features of its hidden layer."""

    def __init__(self):
        super().__init__()
        self.hidden, self.output = nn.Linear(16, FEATURES), nn.Linear(FEATURES, CLASSES)

    def features(self, x: Tensor) -> Tensor:
        """(n, 16) of images (n, 16)."""
        return self.hidden(x.to(self.hidden.weight.dtype)).relu()

    def log_probs(self, x: Tensor) -> Tensor:
        """log p(y | x) in nats, (n, 8)."""
        return self.output(self.features(x)).log_softmax(1)


class Healthy(nn.Module):
    """An evaluation of a model: what it looks at, and the four numbers that it reports."""

    def __init__(self, model: MADE, network: Glyphs, seen: Tensor, seed: int):
        super().__init__()
        self.model, self.network, self.seen, self.seed = model, network, seen, seed

    @torch.no_grad()
    def images(self) -> tuple[Tensor, Tensor]:
        """New images of the tiny world, and samples of the model: (2000, 16) each, the same at each call."""
        generator = torch.Generator().manual_seed(self.seed)
        real = data.tiny_world().sample(N, generator=generator)
        return real, self.arranged(self.model.sample(N, generator=generator))

    def arranged(self, fake: Tensor) -> Tensor:
        """The samples in the order in which they are scored."""
        return fake

    @torch.no_grad()
    def report(self) -> dict[str, float]:
        """The four numbers."""
        real, fake = self.images()
        return {
            "NLL (bits)": float(-self.model.log_prob(self.judged(real)).mean()) / self.unit(),
            "Inception score": self.score(fake),
            "Frechet distance": self.distance(real, fake),
            "accuracy": self.accuracy(real, fake),
        }

    def judged(self, real: Tensor) -> Tensor:
        """The images whose likelihood is reported."""
        return real

    def unit(self) -> float:
        """Nats in the unit of the report."""
        return math.log(2)

    def score(self, fake: Tensor) -> float:
        """The mean Inception score of ten parts."""
        parts = [self.network.log_probs(part) for part in fake.split(N // 10)]
        means = [part.logsumexp(0) - math.log(len(part)) for part in parts]
        kl = [(part.exp() * (part - mean)).sum(1).mean() for part, mean in zip(parts, means, strict=True)]
        return float(torch.stack(kl).exp().mean())

    def distance(self, real: Tensor, fake: Tensor) -> float:
        """The squared Frechet distance of the features."""
        fits = [gaussian_fit(self.network.features(x)) for x in (real, self.fitted(fake))]
        return frechet_distance(*fits[0], *fits[1])

    def fitted(self, fake: Tensor) -> Tensor:
        """The samples to which a Gaussian is fitted."""
        return fake

    def accuracy(self, real: Tensor, fake: Tensor) -> float:
        """The accuracy of a classifier that tells samples from images."""
        halves = [torch.cat([real[first::2], fake[first::2]]) for first in (0, 1)]
        labels = (torch.arange(N) < N // 2).long()
        classifier = SVC(C=10).fit(halves[0], labels)
        return float(classifier.score(halves[self.held_out()], labels))

    def held_out(self) -> int:
        """The half on which the classifier is judged: 0 for images 0, 2, 4, ..., 1 for the others."""
        return 1


class SeenBefore(Healthy):
    """The likelihood is that of the training images."""

    def judged(self, real: Tensor) -> Tensor:
        return self.seen


class InNats(Healthy):
    """The heading says bits, and the number is in nats."""

    def unit(self) -> float:
        return 1.0


class OneClassAtATime(Healthy):
    """The samples are sorted by class, and then split into parts."""

    def arranged(self, fake: Tensor) -> Tensor:
        return fake[self.network.log_probs(fake).argmax(1).argsort(stable=True)]


class TooFew(Healthy):
    """The Gaussian is fitted to 40 samples."""

    def fitted(self, fake: Tensor) -> Tensor:
        return fake[:40]


class JudgeInTraining(Healthy):
    """The classifier is judged on the half on which it was trained."""

    def held_out(self) -> int:
        return 0


def evaluation_clinic() -> Clinic:
    """Six evaluations of a model that is trained here: see `course_lib.clinic`."""
    world = data.tiny_world()
    seen, labelled = (
        world.sample(300, generator=torch.Generator().manual_seed(0)),
        world.dataset(20_000, seed=1).flatten(),
    )
    torch.manual_seed(0)
    model, network = MADE(16, [200]), Glyphs()
    fit_steps(model, seen, steps=budget(smoke=20, cpu=1500, gpu=1500), batch_size=100, lr=5e-3)
    train_glyphs(network, labelled.train.x, labelled.train.y, steps=budget(smoke=20, cpu=1000, gpu=1000))
    model, network = model.eval().requires_grad_(False), network.eval().requires_grad_(False)
    files = {
        "A": (
            OneClassAtATime,
            "one class at a time",
            {4},
            "The samples were sorted by class before they were split, so each part has one or two classes, and "
            "p(y | x) hardly differs from the part's own p(y). All of them in one part have the score of the others.",
            "compute p.score(fake) for p = clinic.patients['A'].model and fake = p.images()[1], and again for "
            "fake[torch.randperm(2000)]. Should the order of the samples matter?",
        ),
        "B": (
            InNats,
            "other unit",
            {5},
            "log, not log2: the number is in nats. Divided by log 2 it agrees with the others. As it is, it claims "
            "less than the entropy, 7.17 bits, and no model can cost less on new images.",
            "which numbers are below the entropy of the toy distribution, 7.17 bits (4.97 nats)? Multiply them by "
            "1 / log 2 = 1.44, and compare with the other patients.",
        ),
        "C": (
            Healthy,
            "healthy",
            {None},
            "All that it reports agrees with four of the five others, number by number.",
            "for each of the four numbers, which patients differ from all others?",
        ),
        "D": (
            JudgeInTraining,
            "judge in training",
            {10, 11},
            "The accuracy is that on images from which the classifier learnt: even between two samples of one "
            "distribution it is far above 1/2 there. Line 11 judges on images 0, 2, 4, ..., as in line 10. If line 10 "
            "trained on all images, the report would look the same, so both lines are right answers.",
            "for p = clinic.patients['D'].model and real = p.images()[0] compute p.accuracy(real, other), where "
            "other = data.tiny_world().sample(2000). What should it be? Which lines say from which images the "
            "classifier learns, and on which it is judged?",
        ),
        "E": (
            TooFew,
            "too few",
            {9},
            "The second Gaussian was fitted to 40 samples, and a covariance of 16 features from 40 rows is so noisy "
            "that the distance is several times as large. For a perfect model it would be no smaller.",
            "compute p.distance(real, other) for p = clinic.patients['E'].model, real = p.images()[0] and other = "
            "data.tiny_world().sample(2000), once more real images. What should it be, and what is it for patient C?",
        ),
        "F": (
            SeenBefore,
            "seen before",
            {5},
            "The mean is over the 300 training images. The model has memorised some of what is special about them: on "
            "new images it costs more than a bit more. Less than the entropy, 7.17 bits, is a warning.",
            "which numbers are below the entropy of the toy distribution, 7.17 bits? With p = "
            "clinic.patients['F'].model compare the means of -p.model.log_prob(x) / log 2 for x = p.seen and for x = "
            "p.images()[0].",
        ),
    }
    patients = {}
    for seed, (name, (kind, symptom, lines, reason, experiment)) in enumerate(files.items(), start=1):
        protocol = kind(model, network, seen, seed)
        patients[name] = Patient(protocol, protocol.images()[1][:24], symptom, lines, reason, experiment)
    alt = (
        "The first 24 samples that each of six evaluations scored: glyphs, some of them broken. Those of A show one "
        "and the same glyph at several places."
    )
    return Clinic(patients, SYMPTOMS, PROGRAM, alt=alt, evidence=lambda protocol: protocol.report())


def train_glyphs(network: Glyphs, x: Tensor, y: Tensor, steps: int) -> None:
    """Train a classifier on images x (N, 16) and their labels y (N,), in place."""
    generator = torch.Generator().manual_seed(0)
    adam = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(steps):
        i = torch.randint(len(x), (200,), generator=generator)
        loss = nn.functional.nll_loss(network.log_probs(x[i]), y[i])
        adam.zero_grad()
        loss.backward()
        adam.step()
