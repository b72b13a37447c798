"""Lesson 07's patients have what their files say."""

import math

import pytest
import torch

from course_lib import data
from course_lib.clinic import Clinic, vae_clinic


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_BUDGET", "smoke")
        return vae_clinic()


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    return data.tiny_world().sample(30, generator=torch.Generator().manual_seed(3))


def test_every_symptom_has_its_patient(clinic):
    assert {patient.symptom for patient in clinic.patients.values()} == set(clinic.symptoms)
    assert all(patient.samples.shape == (24, 16) for patient in clinic.patients.values())


def test_the_lines_that_the_files_name(clinic):
    words = {
        "A": ["sum over the pixels"],
        "B": ["log of the mean"],
        "C": ["z = mean"],
        "E": ["drawn from N"],
        "F": ["logits = decoder", "p = sigmoid"],
    }
    for name, patient in clinic.patients.items():
        assert all(any(word in clinic.program[line - 1] for word in words[name]) for line in patient.lines - {None})


@torch.no_grad()
def test_every_model_is_a_distribution_whatever_it_reports(clinic):
    """By integration over z, with a coarser grid: the masses of all images."""
    states = data.tiny_world().states.double().split(2048)
    line = torch.linspace(-6, 6, 41, dtype=torch.float64)
    z = torch.cartesian_prod(line, line)
    weights = (-0.5 * z.square().sum(1)).softmax(0)
    for patient in clinic.patients.values():
        logits = patient.model.decode(z)
        nothing = torch.nn.functional.softplus(logits).sum(1, keepdim=True)
        mass = sum(float((weights @ (logits @ x.T - nothing).exp()).sum()) for x in states)
        assert mass == pytest.approx(1)


@torch.no_grad()
def test_three_reports_are_smaller_than_the_exact_cost(clinic, x):
    over = {}
    for name, patient in clinic.patients.items():
        over[name] = float((patient.model.reported(x) + patient.model.log_prob(x)).mean())
    assert {name for name in over if over[name] < -0.5} == {"A", "B", "C"}
    assert over["B"] == pytest.approx(over["D"] - math.log(50))


@torch.no_grad()
def test_the_mean_over_pixels_divides_by_sixteen(clinic, x):
    model = clinic.patients["A"].model
    u = torch.rand(len(x), 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    terms = model.elbo_terms(x, uniforms=u)
    assert torch.allclose(model.reported(x), terms.kl - terms.reconstruction / 16)


@torch.no_grad()
def test_one_posterior_has_no_noise_and_the_others_do(clinic, x):
    for name, patient in clinic.patients.items():
        posterior = patient.model.encode(x)
        first, second = posterior.draw(torch.rand(2, len(x), 2, dtype=torch.float64))
        assert torch.equal(first, second) == (name == "C")


@torch.no_grad()
def test_two_sigmoids_leave_no_probability_below_one_half(clinic):
    z = 10 * torch.randn(500, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p = clinic.patients["F"].model.mean(z)
    assert p.min() >= 0.5 and p.max() <= torch.tensor(1.0).sigmoid()


@torch.no_grad()
def test_one_sampler_is_wrong_and_its_likelihood_is_not(clinic, x):
    sick, healthy = clinic.patients["E"].model, clinic.patients["D"].model
    assert torch.equal(sick.log_prob(x), healthy.log_prob(x))
    u = torch.rand(24, 16, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    middle = torch.full((24, 2), 0.5, dtype=torch.float64)  # whose normal quantile is 0
    assert torch.equal(sick.draw(7), healthy.sample(24, uniforms=torch.cat([middle, u], 1)))
    assert not torch.equal(sick.draw(7), healthy.draw(7))


def test_the_evidence_has_both_numbers(clinic, monkeypatch, capsys):
    monkeypatch.setattr("course_lib.plots.show", lambda fig, alt: None)
    for patient in clinic.patients.values():
        monkeypatch.setattr(patient.model, "reported", lambda x: torch.tensor([1.5]), raising=False)
        monkeypatch.setattr(patient.model, "log_prob", lambda x: torch.tensor([-1.5]), raising=False)
    clinic.show()
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split("   ") == ["patient", "reported (nats)", "exact NLL (nats)"]
    assert [row.split() for row in rows] == [[name, "1.500", "1.500"] for name in "ABCDEF"]
