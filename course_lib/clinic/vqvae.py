"""The clinic of lesson 08: six VQ-VAEs of the tiny world with 8 x 8 choices of codes, so that p(x) can be summed."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import data
from course_lib.clinic.clinic import Clinic, Patient, train_on_world
from course_lib.nn.quantizer import perplexity

__all__ = ["vqvae_clinic"]

SYMPTOMS = {
    "healthy": "nothing is wrong",
    "blind encoder": "the encoder never learns what the decoder needs, and its codes hardly tell images apart",
    "dead rows": "rows of the codebook were thrown out of reach at the start; some have not come back",
    "other vectors": "the decoder was trained on other vectors than those that it is given later",
    "estimate": "the model is right, but the number that is reported does not bound its NLL",
    "layout": "the likelihood is right, but the samples are of other pairs of codes",
}
PROGRAM = """
z = encoder(x)                                            # a vector of 4 numbers at each of 2 positions
s = index of the row of E nearest to z, at each position
z_q = z + stop_gradient(E[s] - z)
logits = decoder(z_q)
log_px = sum over the pixels of x log p + (1 - x) log (1 - p), where p = sigmoid(logits)
loss = 0.25 |z - stop_gradient(E[s])|^2 - log_px          # training; E learns by lines 7 to 10
at the start: counts = 1, sums = E
counts = 0.99 counts + 0.01 (number of vectors that chose each row)
sums = 0.99 sums + 0.01 (sum of these vectors)
E = sums / counts
table = log of the frequencies of the 64 pairs of codes of the training images
reported = -(log_px + table[s])                           # evaluation, with z_q = E[s]
for each image that is drawn:                             # a sample
    s is drawn from the table
    x is drawn from the probabilities sigmoid(decoder(E[s]))
"""
POSITIONS, FEATURES, CODES, HIDDEN = 2, 4, 8, 64
DECAY, COMMITMENT = 0.99, 0.25


class Healthy(nn.Module):
    """A VQ-VAE of the tiny world with a table of its pairs of codes, and what its author does with it: report, draw."""

    codebook: Tensor
    counts: Tensor
    sums: Tensor
    table: Tensor

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(16, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, POSITIONS * FEATURES))
        self.decoder = nn.Sequential(nn.Linear(POSITIONS * FEATURES, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 16))
        self.register_buffer("codebook", torch.randn(CODES, FEATURES) / 2)
        self.register_buffer("counts", torch.ones(CODES))
        self.register_buffer("sums", self.codebook.clone())
        pairs = torch.cartesian_prod(*[torch.arange(CODES)] * POSITIONS)
        self.register_buffer("pairs", pairs, persistent=False)
        self.register_buffer("table", torch.full((len(pairs),), -math.log(len(pairs))))

    def loss(self, x: Tensor) -> Tensor:
        """What training minimises: a mean over images, in nats."""
        z, s = self.encode(x)
        e = self.codebook[s]
        loss = self.commitment(z, e) - self.given_codes(x, self.passed_on(z, e)).mean()
        self.learn(z.detach().flatten(0, 1), s.flatten())
        return loss

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (n, 2, 4) and their codes (n, 2)."""
        z = self.encoder(x.to(self.codebook.dtype)).unflatten(1, (POSITIONS, FEATURES))
        return z, torch.cdist(z.detach(), self.codebook).argmin(-1)

    def passed_on(self, z: Tensor, e: Tensor) -> Tensor:
        """What the decoder gets in training: (n, 2, 4)."""
        return z + (e - z).detach()

    def commitment(self, z: Tensor, e: Tensor) -> Tensor:
        return COMMITMENT * (z - e.detach()).square().sum(2).mean()

    def given_codes(self, x: Tensor, vectors: Tensor) -> Tensor:
        """log p(x | vectors) in nats: (n,)."""
        logits = self.decoder(vectors.flatten(1))
        return F.logsigmoid((2 * x - 1) * logits).sum(1)

    @torch.no_grad()
    def learn(self, z: Tensor, s: Tensor) -> None:
        """Move the codebook by vectors (N, 4) and their codes (N,)."""
        chosen = F.one_hot(s, CODES).to(z.dtype)
        self.counts.mul_(DECAY).add_((1 - DECAY) * chosen.sum(0))
        self.sums.mul_(DECAY).add_((1 - DECAY) * chosen.T @ z)
        self.codebook.copy_(self.sums / self.counts[:, None])

    @torch.no_grad()
    def count(self, x: Tensor) -> None:
        """Set the table by the codes of images. A pair that never occurred counts a hundredth of one that did once."""
        s = self.encode(x)[1]
        frequencies = torch.bincount(CODES * s[:, 0] + s[:, 1], minlength=CODES**POSITIONS) + 0.01
        self.table.copy_((frequencies / frequencies.sum()).log())

    @torch.no_grad()
    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats by a sum over all pairs, (n,): what the model really gives, whatever is reported."""
        logits = self.decoder(self.codebook[self.pairs].flatten(1))
        x = x.to(logits.dtype)
        log_px = x @ F.logsigmoid(logits).T + (1 - x) @ F.logsigmoid(-logits).T
        return (log_px + self.table).logsumexp(1)

    @torch.no_grad()
    def bound(self, x: Tensor) -> Tensor:
        """log p(x | s) + log p(s) for the codes s of x, in nats: (n,)."""
        s = self.encode(x)[1]
        return self.given_codes(x, self.codebook[s]) + self.table[CODES * s[:, 0] + s[:, 1]]

    def reported(self, x: Tensor) -> Tensor:
        """What the author takes for an upper bound of -log p(x): (n,) nats."""
        return -self.bound(x)

    @torch.no_grad()
    def draw(self, seed: int) -> Tensor:
        """24 samples, as the author draws them: (24, 16)."""
        generator = torch.Generator().manual_seed(seed)
        pairs = torch.multinomial(self.table.exp(), 24, replacement=True, generator=generator)
        p = self.decoder(self.codebook[self.as_laid_out(self.pairs[pairs])].flatten(1)).sigmoid()
        return (torch.rand(24, 16, generator=generator, dtype=torch.float64) < p).long()

    def as_laid_out(self, s: Tensor) -> Tensor:
        """The pairs of codes (n, 2) in the order in which the sampler gives them to the decoder."""
        return s


class WithoutGradient(Healthy):
    """The decoder gets E[s] itself, so the encoder learns nothing from log p(x | s)."""

    def passed_on(self, z: Tensor, e: Tensor) -> Tensor:
        return e


class CountsFromZero(Healthy):
    """counts starts at 0, sums at E: a row that the first batches do not choose is divided by a number near 0."""

    def __init__(self):
        super().__init__()
        self.counts.zero_()

    def learn(self, z: Tensor, s: Tensor) -> None:
        self.counts.clamp_(min=1e-5)  # the epsilon that hides the mistake
        super().learn(z, s)


class DecodesVectors(Healthy):
    """The decoder is trained on z, and given E[s] afterwards."""

    def passed_on(self, z: Tensor, e: Tensor) -> Tensor:
        return z


class WithoutRate(Healthy):
    """The report is -log p(x | s): the codes themselves cost nothing."""

    def reported(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return -self.given_codes(x, self.codebook[self.encode(x)[1]])


class Swapped(Healthy):
    """The sampler hands the two codes to the decoder in the other order."""

    def as_laid_out(self, s: Tensor) -> Tensor:
        return s.flip(1)


def vqvae_clinic() -> Clinic:
    """Six patients, trained here: see `course_lib.clinic`."""
    world = data.tiny_world()
    images, models = world.sample(20_000, generator=torch.Generator().manual_seed(2)), {}
    for name, kind in {"B": WithoutGradient, "D": CountsFromZero, "E": Healthy, "F": DecodesVectors}.items():
        models[name] = train_on_world(kind())
        models[name].count(images)
    for name, kind in {"A": WithoutRate, "C": Swapped}.items():  # patient E's network, with other things done with it
        models[name] = kind().double().eval()
        models[name].load_state_dict(models["E"].state_dict())
    files = {
        "A": (
            "estimate",
            {12},
            "The report is -log p(x | s) alone: the codes are not paid for. The model and its samples are patient E's.",
            "compare the report with the entropy of the toy distribution, 4.97 nats. Can any model cost less?",
        ),
        "B": (
            "blind encoder",
            {3},
            "The decoder gets E[s], without a path back to z. argmin passes no gradient on, so only the commitment "
            "reaches the encoder: it moves its vectors to rows that say next to nothing about x, until all are alike.",
            "compute clinic.patients['B'].model.encode(x)[1] for x = data.tiny_world().sample(20). What do the codes "
            "tell apart?",
        ),
        "C": (
            "layout",
            {14, 15},
            "The sampler hands the two codes to the decoder in the other order. Likelihood and table are patient E's; "
            "a pair is drawn with the right frequency, and decoded as another one.",
            "decode one pair both ways, with model = clinic.patients['C'].model: "
            "model.decoder(model.codebook[s].flatten()).sigmoid().view(4, 4) for s = [2, 5] and for [5, 2]. Are the "
            "images alike?",
        ),
        "D": (
            "dead rows",
            {7, 10},  # its line 10 differs as well, by the epsilon
            "The counts start at 0, and the sums at E. A row that no vector of the first batch chooses has a count of "
            "0, and its author has hidden this by an epsilon, E = sums / max(counts, 0.00001) on line 10: the row is "
            "100,000 times as long as it was, far from all vectors. It shrinks by 0.99 per step, and no vector chooses "
            "it for hundreds of steps.",
            "begin anew: fresh = type(clinic.patients['D'].model)(), then one step, fresh.loss(x) for x = "
            "data.tiny_world().sample(200). How long are the rows, fresh.codebook.norm(dim=1)?",
        ),
        "E": (
            "healthy",
            {None},
            "It reports no less than its exact NLL, as a bound must, and 0.3 nats more; its samples look like the "
            "toy distribution.",
            "which of its numbers must be the larger one, and is it? Whose samples are the best?",
        ),
        "F": (
            "other vectors",
            {3},
            "The decoder was trained on z itself, and nothing made it robust: then it is given E[s], half a unit away "
            "on average. The codebook follows the vectors all the same, so all codes are in use.",
            "compute the mean of model.given_codes(x, z) and of model.given_codes(x, model.codebook[s]) for z, s = "
            "model.encode(x). Which of the two is good?",
        ),
    }
    patients = {
        name: Patient(models[name], models[name].draw(seed), symptom, lines, reason, experiment)
        for seed, (name, (symptom, lines, reason, experiment)) in enumerate(sorted(files.items()), start=1)
    }
    x = world.sample(2000, generator=torch.Generator().manual_seed(1))

    def evidence(model: Healthy) -> dict[str, float]:
        reported, exact = float(model.reported(x).mean()), -float(model.log_prob(x).mean())
        of_codes = perplexity(model.encode(x)[1], CODES)
        return {"reported (nats)": reported, "exact NLL (nats)": exact, "perplexity": of_codes}

    alt = (
        "Samples of six patients. A and E: glyphs, few of them broken. B: noise. C: glyphs at odd places and blends. D "
        "and F: some glyphs, many broken ones."
    )
    return Clinic(patients, SYMPTOMS, PROGRAM, alt=alt, evidence=evidence)
