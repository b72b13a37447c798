"""Lesson 10's patients have what their files say."""

import math

import pytest
import torch

from course_lib import data
from course_lib.clinic import Clinic, evaluation_clinic


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_BUDGET", "cpu")
        return evaluation_clinic()


@pytest.fixture(scope="module")
def reports(clinic) -> dict[str, dict[str, float]]:
    return {name: patient.model.report() for name, patient in clinic.patients.items()}


def test_every_symptom_has_its_patient(clinic):
    assert {patient.symptom for patient in clinic.patients.values()} == set(clinic.symptoms)
    assert all(patient.samples.shape == (24, 16) for patient in clinic.patients.values())


def test_the_lines_that_the_files_name(clinic):
    words = {"A": "random order", "B": "log2 p(x)", "E": "all of fake", "F": "all x of real"}
    assert clinic.patients["C"].lines == {None}
    for name, word in words.items():
        (line,) = clinic.patients[name].lines
        assert word in clinic.program[line - 1]


def test_training_and_judging_lines_of_the_classifier_are_both_right(clinic):
    """Their mistakes have the same symptom: the classifier is judged on images from which it learnt."""
    training, judging = (clinic.program[line - 1] for line in sorted(clinic.patients["D"].lines))
    assert "is trained to tell" in training and "accuracy = " in judging


def test_all_evaluate_one_model_with_one_network(clinic):
    protocols = [patient.model for patient in clinic.patients.values()]
    assert len({id(each.model) for each in protocols}) == len({id(each.network) for each in protocols}) == 1


def test_each_mistake_shows_in_one_number(reports):
    typical = {
        "NLL (bits)": (reports["C"]["NLL (bits)"], 0.8, {"B", "F"}),
        "Inception score": (reports["C"]["Inception score"], 0.3, {"A"}),
        "Frechet distance": (reports["C"]["Frechet distance"], 0.5, {"E"}),
        "accuracy": (reports["C"]["accuracy"], 0.05, {"D"}),
    }
    for number, (value, tolerance, sick) in typical.items():
        assert {name for name in reports if abs(reports[name][number] - value) > tolerance} == sick


def test_two_reports_are_below_the_entropy_for_two_reasons(clinic, reports):
    entropy = data.tiny_world().entropy / math.log(2)
    assert {name for name in reports if reports[name]["NLL (bits)"] < entropy} == {"B", "F"}
    others = [reports[name]["NLL (bits)"] for name in "ACDE"]
    assert min(others) - 0.3 < reports["B"]["NLL (bits)"] / math.log(2) < max(others) + 0.3
    sick = clinic.patients["F"].model
    new = float(-sick.model.log_prob(sick.images()[0]).mean()) / math.log(2)
    assert min(others) - 0.3 < new < max(others) + 0.3


def test_the_order_of_the_samples_matters_in_one_evaluation(clinic):
    sick = clinic.patients["A"].model
    fake = sick.images()[1]
    assert sick.score(fake) < 3 < sick.score(fake[torch.randperm(2000, generator=torch.Generator().manual_seed(0))])


def test_two_samples_of_the_data_can_be_told_apart_by_one_judge_and_are_far_apart_for_one_distance(clinic):
    other = data.tiny_world().sample(2000, generator=torch.Generator().manual_seed(9))
    accuracy = {
        name: clinic.patients[name].model.accuracy(clinic.patients[name].model.images()[0], other) for name in "CD"
    }
    assert abs(accuracy["C"] - 0.5) < 0.05 and accuracy["D"] > 0.55
    distance = {
        name: clinic.patients[name].model.distance(clinic.patients[name].model.images()[0], other) for name in "CE"
    }
    assert distance["E"] > 10 * distance["C"]


def test_an_evaluation_gives_the_same_numbers_again(clinic, reports):
    assert clinic.patients["C"].model.report() == reports["C"]


def test_the_evidence_has_four_numbers(clinic, monkeypatch, capsys):
    monkeypatch.setattr("course_lib.plots.show", lambda fig, alt: None)
    clinic.show()
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split("   ") == ["patient", "NLL (bits)", "Inception score", "Frechet distance", "accuracy"]
    assert [row.split()[0] for row in rows] == list("ABCDEF") and all(len(row.split()) == 5 for row in rows)
