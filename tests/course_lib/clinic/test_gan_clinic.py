"""Lesson 09's patients have what their files say."""

import pytest
import torch

from course_lib import data
from course_lib.clinic import Clinic, gan_clinic


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_BUDGET", "smoke")
        return gan_clinic()


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    return data.ring().sample(200, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def z() -> torch.Tensor:
    return torch.randn(200, 2, generator=torch.Generator().manual_seed(4))


def gradient(loss, module) -> float:
    """The norm of a loss's gradient with respect to all weights of a module."""
    weights = list(module.parameters())
    gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    return sum(float(each.square().sum()) for each in gradients if each is not None) ** 0.5


def test_every_symptom_has_its_patient(clinic):
    assert {patient.symptom for patient in clinic.patients.values()} == set(clinic.symptoms)
    assert all(patient.samples.shape == (2000, 2) for patient in clinic.patients.values())


def test_the_lines_that_the_files_name(clinic):
    words = {
        "A": ["discriminator's network"],
        "C": ["loss_D = "],
        "D": ["discriminator's network"],
        "E": ["loss_D = ", "weights of D and no others"],
        "F": ["fake = G(z)", "loss_G = ", "weights of G and no others"],
    }
    for name, patient in clinic.patients.items():
        lines = [clinic.program[line - 1] for line in patient.lines - {None}]
        assert len(lines) == len(words.get(name, []))
        assert all(any(word in line for word in words[name]) for line in lines)


def test_one_discriminators_loss_moves_the_generator(clinic, x, z):
    for name, patient in clinic.patients.items():
        model = patient.model
        reached = gradient(model.loss_D(x, model.generator(z)), model.generator) > 0
        assert reached == (name == "E")
        generators = {id(weight) for weight in model.generator.parameters()}
        assert any(id(weight) in generators for weight in model.discriminators_step()) == (name == "E")


def test_one_generators_loss_does_not_move_it(clinic, z):
    for name, patient in clinic.patients.items():
        model = patient.model
        assert (gradient(model.loss_G(model.generator(z)), model.generator) == 0) == (name == "F")


def test_one_untrained_generator(clinic):
    for name, patient in clinic.patients.items():
        fresh, trained = type(patient.model)(), patient.model
        pairs = zip(fresh.generator.parameters(), trained.generator.parameters(), strict=True)
        assert all(torch.equal(before, after) for before, after in pairs) == (name == "F")


def test_one_loss_takes_data_for_samples(clinic, x, z):
    for name, patient in clinic.patients.items():
        model = patient.model
        with torch.no_grad():
            fake = model.generator(z)
            right = torch.nn.functional.softplus(-model.logits(x)).mean()
            right += torch.nn.functional.softplus(model.logits(fake)).mean()
            exchanged = torch.nn.functional.softplus(model.logits(x)).mean()
            exchanged += torch.nn.functional.softplus(-model.logits(fake)).mean()
            loss = model.loss_D(x, fake)
        assert torch.allclose(loss, exchanged if name == "C" else right, atol=1e-6)


@torch.no_grad()
def test_one_logit_is_a_probability(clinic):
    far = 100 * torch.randn(1000, 2, generator=torch.Generator().manual_seed(5))
    for name, patient in clinic.patients.items():
        logits = patient.model.logits(far)
        assert bool((logits > 0).all() and (logits < 1).all()) == (name == "D")


@torch.no_grad()
def test_one_discriminator_sees_neither_place_nor_size(clinic, x):
    for name, patient in clinic.patients.items():
        model = type(patient.model)().train()
        assert torch.allclose(model.logits(x), model.logits(3 * x + 5), atol=1e-4) == (name == "A")


def test_the_evidence_has_four_numbers(clinic, monkeypatch, capsys):
    monkeypatch.setattr("course_lib.plots.show", lambda fig, alt: None)
    clinic.show()
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split("   ") == ["patient", "D of data", "D of samples", "loss_D (nats)", "modes covered"]
    assert [row.split()[0] for row in rows] == list("ABCDEF") and all(len(row.split()) == 5 for row in rows)
