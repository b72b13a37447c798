"""Lesson 06's patients have what their files say."""

import pytest
import torch

from course_lib import data
from course_lib.clinic import Clinic, wavenet_clinic
from course_lib.dependencies import dependencies
from course_lib.metrics import log_probs

EARLIER = torch.ones(16, 16).tril(-1).bool()


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_BUDGET", "smoke")
        return wavenet_clinic()


def test_every_symptom_has_its_patient(clinic):
    assert {patient.symptom for patient in clinic.patients.values()} == set(clinic.symptoms)
    assert all(patient.samples.shape == (24, 16) for patient in clinic.patients.values())


def test_the_lines_that_the_files_name(clinic):
    words = {
        "A": ["none behind"],
        "B": ["for each image", "ring = zeros"],
        "C": ["for d in"],
        "E": ["d places", "ring[t % d]"],
        "F": ["moved one step"],
    }
    for name, patient in clinic.patients.items():
        assert all(any(word in clinic.program[line - 1] for word in words[name]) for line in patient.lines - {None})


def test_what_the_networks_read(clinic):
    reads = {name: dependencies(patient.model) for name, patient in clinic.patients.items()}
    for name in "BDE":
        assert torch.equal(reads[name], EARLIER)
    step = torch.arange(16)
    assert torch.equal(reads["C"], EARLIER & ((step[:, None] - step) % 2 == 1))
    assert torch.equal(reads["F"], EARLIER | torch.eye(16).bool())
    assert (reads["A"] & ~EARLIER).sum() > 16


def test_masses(clinic):
    states = data.tiny_world().states
    mass = {name: float(log_probs(patient.model, states).exp().sum()) for name, patient in clinic.patients.items()}
    assert [name for name in mass if mass[name] == pytest.approx(1)] == ["B", "C", "D", "E"]


def test_two_samplers_are_wrong_and_their_likelihood_is_not(clinic):
    healthy, states = clinic.patients["D"].model, data.tiny_world().states[::99]
    for name in "BE":
        model = clinic.patients[name].model
        assert torch.equal(model.log_prob(states), healthy.log_prob(states))
        assert not torch.equal(model.draw(7), healthy.draw(7))


def test_one_sampler_continues_the_image_before(clinic):
    model = clinic.patients["B"].model
    x = model.sample(1, length=24 * 16, generator=torch.Generator().manual_seed(7))
    assert torch.equal(model.draw(7).flatten(), x[0])
