"""Lesson 04's patients have what their files say."""

import pytest
import torch

from course_lib import data
from course_lib.clinic import Clinic, pixelcnn_clinic
from course_lib.dependencies import dependencies
from course_lib.metrics import log_probs

EARLIER = torch.ones(16, 16).tril(-1).bool()


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_BUDGET", "smoke")
        return pixelcnn_clinic()


def network(clinic, patient):
    return clinic.patients[patient].model.model


def test_every_symptom_has_its_patient(clinic):
    assert {patient.symptom for patient in clinic.patients.values()} == set(clinic.symptoms)
    assert all(patient.samples.shape == (24, 16) for patient in clinic.patients.values())


def test_the_lines_that_the_files_name(clinic):
    words = {
        "A": ["vertical(v)", "v = gate(a)"],
        "B": ["mask A"],
        "D": ["output("],
        "E": ["vertical_step"],
        "F": ["levels 0"],
    }
    for name, patient in clinic.patients.items():
        assert all(any(word in clinic.program[line - 1] for line in patient.lines) for word in words.get(name, []))


def test_what_the_networks_read(clinic):
    reads = {name: dependencies(network(clinic, name)) for name in "ABCE"}
    assert torch.equal(reads["C"], EARLIER) and torch.equal(reads["E"], EARLIER)
    assert not (reads["A"] & ~EARLIER).any() and (EARLIER & ~reads["A"]).any()
    assert reads["B"].diagonal().all() and not (reads["B"] & ~EARLIER).triu(1).any()
    pairs = dependencies(network(clinic, "D"))
    assert pairs.diagonal()[:8].all()  # the first colour reads itself


def test_masses(clinic):
    states = data.tiny_world().states
    mass = {name: float(log_probs(clinic.patients[name].model, states).exp().sum()) for name in "ABCDF"}
    assert mass["A"] == pytest.approx(1) and mass["C"] == pytest.approx(1)
    assert mass["B"] != pytest.approx(1, abs=1e-3) and mass["D"] != pytest.approx(1, abs=1e-3)
    assert mass["F"] < 0.999


def test_the_sampler_of_one_patient_is_wrong_and_its_likelihood_is_not(clinic):
    stale, healthy = network(clinic, "E"), network(clinic, "C")
    states = data.tiny_world().states[::99].view(-1, 1, 4, 4)
    assert torch.equal(stale.log_prob(states), healthy.log_prob(states))
    u = torch.rand(200, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(healthy.sample(200, uniforms=u), healthy.sample(200, uniforms=u, cached=False))
    assert not torch.equal(stale.sample(200, uniforms=u), stale.sample(200, uniforms=u, cached=False))
