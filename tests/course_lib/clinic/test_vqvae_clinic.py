"""Lesson 08's patients have what their files say."""

import pytest
import torch

from course_lib import data
from course_lib.clinic import Clinic, vqvae_clinic


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_BUDGET", "smoke")
        return vqvae_clinic()


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    return data.tiny_world().sample(200, generator=torch.Generator().manual_seed(3))


def test_every_symptom_has_its_patient(clinic):
    assert {patient.symptom for patient in clinic.patients.values()} == set(clinic.symptoms)
    assert all(patient.samples.shape == (24, 16) for patient in clinic.patients.values())


def test_the_lines_that_the_files_name(clinic):
    words = {
        "A": ["reported = "],
        "B": ["z_q = z + stop_gradient"],
        "C": ["s is drawn", "decoder(E[s])"],
        "D": ["counts = 1, sums = E", "E = sums / counts"],
        "F": ["z_q = z + stop_gradient"],
    }
    for name, patient in clinic.patients.items():
        assert all(any(word in clinic.program[line - 1] for word in words[name]) for line in patient.lines - {None})


def test_every_model_is_a_distribution_whatever_it_reports(clinic):
    for patient in clinic.patients.values():
        mass = patient.model.log_prob(data.tiny_world().states).exp().sum()
        assert float(mass) == pytest.approx(1)


@torch.no_grad()
def test_one_report_is_smaller_than_the_exact_cost(clinic, x):
    over = {name: patient.model.reported(x) + patient.model.log_prob(x) for name, patient in clinic.patients.items()}
    assert {name for name in over if over[name].min() < 0} == {"A"}
    model = clinic.patients["A"].model
    s = model.encode(x)[1]
    assert torch.allclose(model.reported(x), -(model.bound(x) - model.table[8 * s[:, 0] + s[:, 1]]))


def test_the_reconstruction_trains_all_encoders_but_one(clinic, x):
    for name, patient in clinic.patients.items():
        model = patient.model
        z, s = model.encode(x)
        reconstruction = model.given_codes(x, model.passed_on(z, model.codebook[s])).sum()
        encoder = list(model.encoder.parameters())
        gradients = torch.autograd.grad(reconstruction, encoder, allow_unused=True)
        assert all(each is None for each in gradients) == (name == "B")


@torch.no_grad()
def test_one_decoder_was_given_the_vectors_themselves(clinic, x):
    for name, patient in clinic.patients.items():
        model = patient.model
        z, s = model.encode(x)
        assert torch.allclose(model.passed_on(z, model.codebook[s]), z) == (name == "F")
    worse = {}
    for name in "EF":
        model = clinic.patients[name].model
        z, s = model.encode(x)
        worse[name] = float((model.given_codes(x, z) - model.given_codes(x, model.codebook[s])).mean())
    assert worse["F"] > worse["E"]


def test_one_codebook_explodes_at_the_first_step(clinic, x):
    for name, patient in clinic.patients.items():
        fresh = type(patient.model)()
        fresh.loss(x)
        lengths = fresh.codebook.norm(dim=1)
        assert bool((lengths > 1000).any()) == (name == "D")
        used = fresh.encode(x)[1].unique()
        assert lengths[used].max() < 10  # nobody chooses what is far away


@torch.no_grad()
def test_one_sampler_decodes_pairs_the_other_way_round(clinic, x):
    sick, healthy = clinic.patients["C"].model, clinic.patients["E"].model
    assert torch.equal(sick.log_prob(x), healthy.log_prob(x)) and torch.equal(sick.reported(x), healthy.reported(x))
    pairs = torch.tensor([[2, 5]])
    assert sick.as_laid_out(pairs).tolist() == [[5, 2]] and healthy.as_laid_out(pairs).tolist() == [[2, 5]]
    assert not torch.equal(sick.draw(7), healthy.draw(7))


def test_an_unused_row_stays_and_the_others_follow_their_vectors(clinic):
    model = type(clinic.patients["E"].model)()
    before = model.codebook.clone()
    z = torch.full((5, 4), 2.0)
    for _ in range(1000):
        model.learn(z, torch.zeros(5, dtype=torch.long))
    assert torch.allclose(model.codebook[0], z[0], atol=1e-3)
    assert torch.allclose(model.codebook[1:], before[1:], rtol=1e-3)


def test_the_evidence_has_three_numbers(clinic, monkeypatch, capsys):
    monkeypatch.setattr("course_lib.plots.show", lambda fig, alt: None)
    clinic.show()
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split("   ") == ["patient", "reported (nats)", "exact NLL (nats)", "perplexity"]
    assert [row.split()[0] for row in rows] == list("ABCDEF") and all(len(row.split()) == 4 for row in rows)
