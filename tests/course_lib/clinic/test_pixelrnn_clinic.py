"""Lesson 05's patients have what their files say."""

import pytest
import torch

from course_lib import data, metrics
from course_lib.clinic import Clinic, pixelrnn_clinic
from course_lib.dependencies import dependencies

EARLIER = torch.ones(16, 16).tril(-1).bool()


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_BUDGET", "smoke")
        return pixelrnn_clinic()


@pytest.fixture(scope="module")
def reads(clinic) -> dict[str, torch.Tensor]:
    return {name: dependencies(patient.model.model) for name, patient in clinic.patients.items()}


def test_every_symptom_has_its_patient(clinic):
    assert {patient.symptom for patient in clinic.patients.values()} == set(clinic.symptoms)
    assert all(patient.samples.shape == (24, 16) for patient in clinic.patients.values())


def test_the_lines_that_the_files_name(clinic):
    words = {"A": ["left + right"], "B": ["one_row_down"], "D": ["c = h = 0"], "F": ["skew", "above(h", "four blocks"]}
    words["E"] = ["raster order", "drawn so far"]
    for name, patient in clinic.patients.items():
        for word, line in zip(words.get(name, []), sorted(patient.lines, key=str), strict=name in words):
            assert word in clinic.program[line - 1]


def test_the_healthy_one_misses_at_most_the_last_pixel_of_the_row_above(reads):
    blind = {(i, j) for i, j in (EARLIER & ~reads["C"]).nonzero().tolist()}
    assert blind == {(4 * r + c, 4 * r - 1) for r in (1, 2, 3) for c in (0, 1)}
    assert not (reads["C"] & ~EARLIER).any()


def test_one_misses_more_without_a_leak(reads):
    assert not (reads["A"] & ~EARLIER).any()
    blind = (EARLIER & ~reads["A"]).view(4, 4, 4, 4)
    assert blind[3, 0].int().tolist() == [[0, 0, 1, 1]] * 3 + [[0] * 4]  # the columns to the right


@pytest.mark.parametrize(("patient", "leak"), [("B", (5, 6)), ("F", (3, 8))])
def test_two_leak_from_where_their_files_say(reads, patient, leak):
    assert reads[patient][leak]
    rows = torch.arange(16) // 4
    below = reads[patient] & (rows[:, None] < rows)
    assert bool(below.any()) == (patient == "F")


def test_masses(clinic):
    states = data.tiny_world().states
    log_q = {name: metrics.log_probs(clinic.patients[name].model, states) for name in "ABCF"}
    mass = {name: float(each.exp().sum()) for name, each in log_q.items()}
    for name in "AC":
        assert mass[name] == pytest.approx(1)
    for name in "BF":
        assert mass[name] != pytest.approx(1, abs=1e-3)


def test_one_depends_on_its_company_and_the_others_do_not(clinic):
    x = data.tiny_world().states[1000:1004]
    for name, patient in clinic.patients.items():
        alone = patient.model.log_prob(x.flip(0)).flip(0)
        assert torch.allclose(patient.model.log_prob(x), alone) == (name != "D")


def test_the_sampler_of_one_patient_is_wrong_and_its_likelihood_is_not(clinic):
    healthy, by_diagonals = clinic.patients["C"].model, clinic.patients["E"].model
    assert by_diagonals.model is healthy.model
    u = torch.rand(24, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = healthy.model.sample(24, uniforms=u.flatten(1)).view(24, 4, 4)
    drawn = by_diagonals.draw(1).view(24, 4, 4)
    assert torch.equal(drawn[:, 0], x[:, 0])  # nothing above
    assert not torch.equal(drawn, x)
