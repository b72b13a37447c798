"""What all clinics share: the evidence, the choices, and the answer to a diagnosis."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import EllipsisType

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from torch import nn

from course_lib import budget, data, metrics, plots
from course_lib.training import fit_steps

__all__ = ["Clinic", "Patient", "train_on_world"]


@dataclass(frozen=True)
class Patient:
    """A model, of the tiny world as a rule, with one mistake in it, or none.

    Attributes:
        model: has what the clinic's evidence asks of it: `log_prob(x) -> (batch,)` in nats by default, right or wrong.
        samples: drawn as the model's author draws them: (n, 16) int64, or what the clinic's `draw` draws.
        symptom: the name of the right one.
        lines: the numbers of the program's lines that hold the mistake; {None} if there is none.
        reason: what a right diagnosis is told.
        experiment: what a wrong one is told: the experiment that decides.
    """

    model: nn.Module
    samples: torch.Tensor = field(repr=False)
    symptom: str = field(repr=False)
    lines: set[int | None] = field(repr=False)
    reason: str = field(repr=False)
    experiment: str = field(repr=False)


class Clinic:
    """Patients, and the choices of a diagnosis: a symptom, and the line of the right program that a patient has wrong.

    Args:
        patients: by name.
        symptoms: what each of them means, by name.
        program: the right program; its lines are numbered from 1.
        alt: the text alternative of the patients' samples.
        evidence: gives the numbers that are shown of a patient's model, by their heading; by default the NLL that it
            reports and its total mass over all images.
        draw: draws a patient's samples on axes, below a title; by default as images of the tiny world.

    Raises:
        ValueError: a patient's symptom or line is none of the choices.

    >>> fair = torch.distributions.Bernoulli(torch.full((16,), 0.5))
    >>> coin = nn.Module()
    >>> coin.log_prob = lambda x: fair.log_prob(x.double()).sum(1)
    >>> symptoms = {"healthy": "nothing is wrong", "biased": "the coin is not fair"}
    >>> A = Patient(coin, fair.sample((8,)).long(), "healthy", {None}, "A fair coin.", "Toss it.")
    >>> clinic = Clinic({"A": A}, symptoms, "x = rand() < 0.5", alt="Noise.")
    >>> clinic.diagnose("A", symptom=..., line=...)
    Patient A: no diagnosis yet. Replace both dots, and run this cell again.
    >>> clinic.diagnose("A", symptom="biased", line=1)
    Patient A: that is not it. An experiment that tells: Toss it.
    >>> clinic.diagnose("A", symptom="healthy", line=None)
    Patient A: right. A fair coin.
    """

    def __init__(
        self,
        patients: Mapping[str, Patient],
        symptoms: Mapping[str, str],
        program: str,
        *,
        alt: str,
        evidence: Callable[[nn.Module], Mapping[str, float]] | None = None,
        draw: Callable[[torch.Tensor, Axes, str], None] | None = None,
    ):
        self.patients, self.symptoms, self.alt = patients, symptoms, alt
        self.evidence = on_the_world if evidence is None else evidence
        self.draw = draw
        self.program = program.strip("\n").splitlines()
        for name, patient in patients.items():
            self._expect_choices(patient.symptom, *patient.lines, of=f"patient {name}: ")

    def show(self) -> None:
        """Show the evidence: numbers of each patient's model, and samples."""
        fig, axes = plt.subplots(len(self.patients) // 3 or 1, min(3, len(self.patients)), squeeze=False)
        fig.set_size_inches(9.5, (2.6 if self.draw else 1.7) * len(axes))
        for row, (ax, (name, patient)) in enumerate(zip(axes.flat, self.patients.items(), strict=True)):
            numbers = self.evidence(patient.model)
            if row == 0:
                print("patient", *numbers, sep="   ")
            print(f"{name:7}", *(f"{number:{len(heading)}.3f}" for heading, number in numbers.items()), sep="   ")
            if self.draw:
                self.draw(patient.samples, ax, f"Patient {name}")
            else:
                plots.image_grid(patient.samples, columns=8, ax=ax, title=f"Patient {name}")
        plots.show(fig, alt=self.alt)

    def choices(self) -> None:
        """Print the choices: the right program, line by line, and the symptoms."""
        print("The right program. On which line does a patient differ from it? (Of several, name one.)\n")
        for number, line in enumerate(self.program, start=1):
            print(f"{number:3}  {line}")
        print("\nThe symptoms:\n")
        for name, meaning in self.symptoms.items():
            print(f"  {name!r}: {meaning}")

    def diagnose(self, patient: str, symptom: str | EllipsisType = ..., line: int | EllipsisType | None = ...) -> None:
        """Say whether a diagnosis is right, and why; of a wrong one only which experiment tells.

        Args:
            symptom: one of the names in `symptoms`; dots for no diagnosis yet.
            line: a line's number, None for a healthy patient; dots for no diagnosis yet.

        Raises:
            ValueError: there is no such patient, symptom or line.
        """
        if patient not in self.patients:
            raise ValueError(f"patient is {patient!r}; expected one of {', '.join(self.patients)}")
        if symptom is ... or line is ...:
            print(f"Patient {patient}: no diagnosis yet. Replace both dots, and run this cell again.")
            return
        self._expect_choices(symptom, line)
        file = self.patients[patient]
        if symptom == file.symptom and line in file.lines:
            print(f"Patient {patient}: right. {file.reason}")
        else:
            wrong = "the symptom is right, the line is not" if symptom == file.symptom else "that is not it"
            print(f"Patient {patient}: {wrong}. An experiment that tells: {file.experiment}")

    def _expect_choices(self, symptom: str, *lines: int | None, of: str = "") -> None:
        if symptom not in self.symptoms:
            raise ValueError(f"{of}symptom is {symptom!r}; expected one of {', '.join(map(repr, self.symptoms))}")
        for line in lines:
            if line not in (None, *range(1, len(self.program) + 1)):
                raise ValueError(f"{of}line is {line!r}; expected 1 to {len(self.program)}, or None for no line")


def on_the_world(model: nn.Module) -> dict[str, float]:
    """The mean of -log_prob over the tiny world, and the sum of exp(log_prob) over all images of its size.

    With COURSE_BUDGET=smoke both are estimated from one image in fifteen.
    """
    world, every = data.tiny_world(), budget(smoke=15, cpu=1, gpu=1)
    states, p = world.states[::every], world.log_p[::every].exp()
    log_q = metrics.log_probs(model, states)
    mass = log_q.exp().mean() * len(world.states)
    return {"reported NLL (nats)": float(-(p @ log_q) / p.sum()), "total mass": float(mass)}


def train_on_world(
    model: nn.Module,
    *,
    epochs: int = 1,
    lr: float = 1e-2,
    batch_size: int = 200,
    before_step: Callable[[], None] = lambda: None,
) -> nn.Module:
    """Train a model with Adam on so many images of the tiny world that it memorises none.

    Args:
        model: has `log_prob`, or its own `loss(x)`, in nats.
        epochs: multiplies the number of steps, which COURSE_BUDGET chooses.
        lr: learning rate at the start; it falls to 0 along a cosine.
        batch_size: images per step.
        before_step: called before each step.

    Returns:
        The model, in float64 and eval mode.
    """
    steps = epochs * budget(smoke=20, cpu=1000, gpu=5000)
    images = data.tiny_world().sample(100_000, generator=torch.Generator().manual_seed(0))
    fit_steps(model, images, steps=steps, batch_size=batch_size, lr=lr, before_step=before_step)
    return model.eval().double()
