"""Clinics: what a diagnosis is told, and that the lessons' patients have what their files say."""

import dataclasses

import matplotlib.pyplot as plt
import pytest
import torch

from course_lib import data, plots
from course_lib.clinic import Clinic, Patient, likelihood_clinic, made_clinic, nade_clinic, train_on_world
from course_lib.dependencies import dependencies
from course_lib.models import FVBN

SYMPTOMS = {"healthy": "nothing is wrong", "leak": "it peeks"}
PATIENT = Patient(torch.nn.Module(), torch.zeros(8, 16).long(), "leak", {1, 2}, "It peeks.", "look.")
CLINIC = Clinic({"A": PATIENT}, SYMPTOMS, "one\ntwo\nthree", alt="Nothing.")


def test_training_takes_its_learning_rate(monkeypatch):
    monkeypatch.setenv("COURSE_BUDGET", "smoke")
    x = data.tiny_world().states[:1000]
    before, *after = (train_on_world(FVBN(16), lr=lr).log_prob(x) for lr in (0, 1e-2, 1e-1))
    assert torch.equal(before, FVBN(16).double().log_prob(x))
    assert (after[0] - before).abs().max() < (after[1] - before).abs().max()


@pytest.mark.parametrize("line", [1, 2])
def test_a_right_diagnosis_is_told_why(capsys, line):
    CLINIC.diagnose("A", symptom="leak", line=line)
    assert capsys.readouterr().out == "Patient A: right. It peeks.\n"


@pytest.mark.parametrize("symptom, line", [("leak", 3), ("healthy", 1), ("leak", None), ("healthy", None)])
def test_a_wrong_diagnosis_is_told_which_experiment_tells(capsys, symptom, line):
    CLINIC.diagnose("A", symptom, line)
    wrong = "the symptom is right, the line is not" if symptom == "leak" else "that is not it"
    assert capsys.readouterr().out == f"Patient A: {wrong}. An experiment that tells: look.\n"


@pytest.mark.parametrize("choice", [{}, {"symptom": "leak"}, {"symptom": ..., "line": 2}])
def test_an_empty_diagnosis_stops_nothing(capsys, choice):
    CLINIC.diagnose("A", **choice)
    assert "no diagnosis yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    "patient, symptom, line, message",
    [
        ("B", "leak", 1, "patient is 'B'; expected one of A"),
        ("A", "leek", 1, "symptom is 'leek'; expected one of 'healthy', 'leak'"),
        ("A", "leak", 4, "line is 4; expected 1 to 3, or None"),
        ("A", "leak", "1", "line is '1'; expected 1 to 3, or None"),
    ],
)
def test_a_diagnosis_that_is_none_of_the_choices_is_refused(patient, symptom, line, message):
    with pytest.raises(ValueError, match=message):
        CLINIC.diagnose(patient, symptom, line)


def test_the_choices_are_printed_and_no_answer(capsys):
    CLINIC.choices()
    shown = capsys.readouterr().out
    assert "  3  three\n" in shown and "'leak': it peeks" in shown
    assert "It peeks." not in shown + repr(CLINIC.patients)


@pytest.mark.parametrize("wrong", [{"symptom": "cough"}, {"lines": {0}}])
def test_a_patients_file_has_only_choices(wrong):
    with pytest.raises(ValueError, match="patient A: "):
        Clinic({"A": dataclasses.replace(PATIENT, **wrong)}, SYMPTOMS, "one", alt="Nothing.")


@pytest.fixture(scope="module")
def made() -> Clinic:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_BUDGET", "smoke")
        return made_clinic()


def test_the_evidence_is_a_line_and_samples_for_each_patient(made, capsys, monkeypatch):
    alts = []
    monkeypatch.setattr(plots, "show", lambda fig, *, alt: alts.append((len(fig.axes), alt)))
    made.show()
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == ["patient", *"ABCDEF"]
    assert float(rows[5].split()[2]) == 1.0
    assert alts == [(6, made.alt)]
    plt.close("all")


def test_the_patients_of_lesson_03_have_what_their_files_say(made):
    assert {patient.symptom for patient in made.patients.values()} == set(made.symptoms)
    models = {name: patient.model for name, patient in made.patients.items()}
    allowed = torch.ones(16, 16).tril(-1).bool()
    assert torch.equal(dependencies(models["A"]), torch.ones(16, 16).tril(-2).bool())
    assert torch.equal(dependencies(models["E"]), allowed)
    # No hidden unit reads the last pixel.
    assert dependencies(models["F"]).diagonal().tolist() == [True] * 15 + [False]
    order = models["C"].order
    assert torch.equal(dependencies(models["C"])[order][:, order], allowed)
    drawn = models["C"].sample(24, generator=torch.Generator().manual_seed(2))
    assert not torch.equal(made.patients["C"].samples, drawn)
    states = data.tiny_world().states
    with torch.no_grad():
        mass = {name: float(model.log_prob(states).exp().sum()) for name, model in models.items()}
        member = models["B"].ensemble.member(0).log_prob(states).exp().sum()
    assert all(abs(mass[name] - 1) < 1e-9 for name in "ACDE") and abs(member - 1) < 1e-9
    assert abs(mass["B"] - 1) > 1e-4 and abs(mass["F"] - 1) > 1e-4
    networks = models["D"].network, models["B"].ensemble.network
    small = [float((network.hidden[0].weight.abs() < 0.01).double().mean()) for network in networks]
    assert small[0] > 0.95 and small[1] < 0.1


def test_the_patients_of_lesson_01_have_what_their_files_say(monkeypatch):
    monkeypatch.setenv("COURSE_BUDGET", "smoke")
    clinic = likelihood_clinic()
    assert {patient.symptom for patient in clinic.patients.values()} == set(clinic.symptoms)
    world = data.tiny_world()
    models = {name: patient.model for name, patient in clinic.patients.items()}
    with torch.no_grad():
        log_q = {name: model.log_prob(world.states) for name, model in models.items()}
    nll = {name: float(-(world.log_p.exp() @ value)) for name, value in log_q.items()}
    mass = {name: float(value.exp().sum()) for name, value in log_q.items()}
    assert all(abs(mass[name] - 1) < 1e-9 for name in "CDEF") and mass["A"] > 1000 and mass["B"] > 60_000
    assert nll["A"] < nll["E"] / 15 and nll["B"] < 0.2 < world.entropy and nll["D"] > 0.8 * 11.09
    allowed = torch.ones(16, 16).tril(-1).bool()
    assert all(torch.equal(dependencies(models[name]), allowed) for name in "ADE")
    assert dependencies(models["B"]).diagonal().all()
    assert len(clinic.patients["C"].samples.unique(dim=0)) == 1
    drawn = models["F"].sample(24, generator=torch.Generator().manual_seed(6))
    assert not torch.equal(clinic.patients["F"].samples, drawn)


def test_the_patients_of_lesson_02_have_what_their_files_say(monkeypatch):
    monkeypatch.setenv("COURSE_BUDGET", "smoke")
    clinic = nade_clinic()
    assert {patient.symptom for patient in clinic.patients.values()} == set(clinic.symptoms)
    models = {name: patient.model for name, patient in clinic.patients.items()}
    allowed = torch.ones(16, 16).tril(-1).bool()
    assert torch.equal(dependencies(models["A"]), torch.diag(torch.ones(15), -1).bool())
    assert torch.equal(dependencies(models["D"]), allowed)
    assert torch.equal(dependencies(models["E"]), allowed | torch.eye(16).bool())
    assert models["B"] is models["D"]
    states, weights = data.tiny_world().states, dict(models["C"].members[2].named_parameters())
    order = models["F"].order
    assert torch.equal(models["F"].V[order], weights["V"]) and torch.equal(models["F"].b[order], weights["b"])
    program = clinic.program
    for name, reads in [("A", "W[:, d]"), ("F", "V[d]"), ("F", "W[:, d]")]:
        assert {number for number, line in enumerate(program, 1) if reads in line} <= clinic.patients[name].lines
    with torch.no_grad():
        mass = {name: float(model.log_prob(states).exp().sum()) for name, model in models.items()}
    assert all(abs(mass[name] - 1) < 1e-9 for name in "ABDF") and mass["C"] < 1 - 1e-6 and mass["E"] > 1 + 1e-3
