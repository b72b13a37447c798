"""Intake in practice: downloads from platforms, odd names, broken files, and students who cheat."""

import io
import json
import os
import stat
import struct
import subprocess
import unicodedata
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbgrader.utils import parse_utc

from autograder.classroom import archives, intake
from autograder.classroom.intake import Collected, _folder_name, _Roster, collect
from autograder.classroom.settings import Settings
from autograder.lesson import Lesson
from autograder.release.build import ROOT
from autograder.sandbox.limits import Limits

LESSONS = {"01_likelihood": ("entropy", "fvbn"), "02_nade": ("nade_log_prob",), "03_made_masks": ("degrees", "masks")}
MADE = "03_made_masks"
ROSTER = {
    "s1001": ("Jane", "Doe", "jane.doe@uni.example", "4711"),
    "s1002": ("José", "Núñez", "jose@uni.example", "4712"),
    "s1003": ("Jörg", "Müller", "jm@uni.example", "4713"),
    "s1004": ("Anna", "Lee", "anna1@uni.example", "4714"),
    "s1005": ("Anna", "Lee", "anna2@uni.example", "4715"),
}
NOON = datetime(2026, 10, 5, 12, 0, tzinfo=UTC)


def make_class(folder: Path, roster=ROSTER) -> Settings:
    folder.mkdir(parents=True, exist_ok=True)
    keys = ("first_name", "last_name", "email", "lms_user_id")
    lessons = {name: Lesson(name, names, dict.fromkeys(names, 1.0)) for name, names in LESSONS.items()}
    people = {student: dict(zip(keys, row, strict=True)) for student, row in roster.items()}
    return Settings("sqlite:///gradebook.db", None, "toy", folder, lessons, Limits(), people)


@pytest.fixture
def toy(tmp_path) -> Settings:
    return make_class(tmp_path / "class")


@pytest.fixture
def no_roster(tmp_path) -> Settings:
    return make_class(tmp_path / "class", {})


def notebook(lesson: str = MADE, answer: str = "return 1", ids: bool = True) -> bytes:
    """A notebook with an answer to every exercise of a lesson; `ids`: its cells have nbgrader's metadata."""
    cells = [
        {
            "cell_type": "code",
            "id": name if ids else f"c{number}",
            "metadata": {"nbgrader": {"grade_id": name}} if ids else {},
            "source": [f"def {name}(x):\n", f"    {answer}"],
            "outputs": [],
        }
        for number, name in enumerate(LESSONS[lesson])
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def write(folder: Path, files: dict[str, bytes], time: datetime = NOON) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (time.timestamp(), time.timestamp()))
    return folder


def pack(files: dict[str, bytes], time: datetime | None = NOON) -> bytes:
    """A zip; with `time` in UTC, as Info-ZIP writes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(entry(name, time), data)
    return buffer.getvalue()


def entry(name: str, time: datetime | None = NOON) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    if time:
        info.extra = struct.pack("<HHBL", 0x5455, 5, 1, int(time.timestamp()))
    return info


def zip_file(path: Path, files: dict[str, bytes], time: datetime | None = NOON) -> Path:
    path.write_bytes(pack(files, time))
    return path


def submitted(toy: Settings) -> dict[tuple[str, str], bytes]:
    paths = (toy.folder / "submitted").glob("*/*/*.ipynb")
    return {path.parts[-3:-1]: path.read_bytes() for path in paths if path.stem == path.parent.name}


def kept(toy: Settings) -> list[bytes]:
    return sorted(path.read_bytes() for path in (toy.folder / "collected").glob("*/*/*.ipynb"))


def snapshot(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) for path in files}


def time_of(toy: Settings, student: str, lesson: str = MADE) -> datetime:
    text = (toy.folder / "submitted" / student / lesson / "timestamp.txt").read_text()
    return parse_utc(text).replace(tzinfo=UTC)


def students(collected: list[Collected]) -> dict[str | None, str | None]:
    return {one.student: one.lesson for one in collected if one.path}


def notes(collected: list[Collected]) -> str:
    return "\n".join(note for one in collected for note in one.notes)


# ---- Downloads from platforms


@pytest.mark.parametrize("ending", ["_assignsubmission_file_", "_assignsubmission_file"])
def test_moodle(toy, tmp_path, ending):
    files = {
        f"Jane Doe_901{ending}/{MADE}.ipynb": notebook(answer="jane"),
        f"José Núñez_902{ending}/{MADE} (1).ipynb": notebook(answer="jose"),
        f"MULLER Jorg_903{ending}/mine/03 made masks final.ipynb": notebook(answer="jorg"),
        "Mia Late_904_assignsubmission_onlinetext_/onlinetext.html": b"<p>see mail</p>",
    }
    found = collect(toy, zip_file(tmp_path / "moodle.zip", files))
    assert submitted(toy) == {
        ("s1001", MADE): notebook(answer="jane"),
        ("s1002", MADE): notebook(answer="jose"),
        ("s1003", MADE): notebook(answer="jorg"),
    }
    assert time_of(toy, "s1001") == NOON
    (mia,) = [one for one in found if one.path is None]
    assert mia.student == "Mia-Late" and "no notebook" in mia.notes[0] and "onlinetext.html" in mia.notes[0]


def test_a_name_of_moodle_may_begin_with_a_dot(no_roster, tmp_path):
    files = {f".Dot Com_905_assignsubmission_file_/{MADE}.ipynb": notebook(answer="dot")}
    collect(no_roster, zip_file(tmp_path / "moodle.zip", files))
    assert list(submitted(no_roster).values()) == [notebook(answer="dot")]


def test_moodle_without_folders(toy, tmp_path):
    files = {
        f"Jane Doe_901_assignsubmission_file_{name}.ipynb": notebook() for name in (MADE, "x_5_assignsubmission_y")
    }
    found = collect(toy, zip_file(tmp_path / "moodle.zip", files))
    assert students(found) == {"s1001": MADE}


def test_number_of_moodle_is_not_a_user_id(toy, tmp_path):
    """4711 is Jane's lms_user_id; a participant's number belongs to one assignment and means somebody else."""
    source = zip_file(tmp_path / "m.zip", {f"Mia Late_4711_assignsubmission_file_/{MADE}.ipynb": notebook()})
    found = collect(toy, source)
    assert students(found) == {"Mia-Late": MADE}
    assert "not on the roster" in notes(found)


def test_blind_marking_goes_by_the_number(toy, tmp_path):
    files = {f"Participant_{n}_assignsubmission_file_/{MADE}.ipynb": notebook(answer=str(n)) for n in (4711, 1, 2)}
    found = collect(toy, zip_file(tmp_path / "m.zip", files))
    assert students(found).keys() == {"s1001", "Participant-1", "Participant-2"}


def test_namesakes_are_told_apart_or_kept_apart(toy, tmp_path):
    files = {f"Anna Lee_{n}_assignsubmission_file_/{MADE}.ipynb": notebook(answer=str(n)) for n in (4714, 7, 8)}
    found = collect(toy, zip_file(tmp_path / "m.zip", files))
    assert submitted(toy).keys() == {("s1004", MADE), ("Anna-Lee-7", MADE), ("Anna-Lee-8", MADE)}
    assert "could be any of s1004, s1005" in notes(found)


def test_canvas(toy, tmp_path):
    files = {
        f"doejane_4711_801_{MADE}.ipynb": notebook(answer="first"),
        f"doejane_4711_802_{MADE}-1.ipynb": notebook(answer="second"),
        f"núñezjosé_LATE_4712_803_{MADE}.ipynb": notebook(answer="late"),
        "müllerjörg_99_804_03_made_masks-2.zip": pack({"a/b/work.ipynb": notebook(answer="zipped")}),
        f"leeanna_4715_805_{MADE}.ipynb": notebook(answer="anna"),
        f"anon_Ab3_806_{MADE}.ipynb": notebook(answer="a"),
        f"anon_Xy9_807_{MADE}.ipynb": notebook(answer="b"),
    }
    found = collect(toy, zip_file(tmp_path / "submissions.zip", files))
    work = {student: data for (student, _), data in submitted(toy).items()}
    assert work == {
        "s1001": notebook(answer="second"),
        "s1002": notebook(answer="late"),
        "s1003": notebook(answer="zipped"),
        "s1005": notebook(answer="anna"),
        "anon_Ab3": notebook(answer="a"),
        "anon_Xy9": notebook(answer="b"),
    }
    assert kept(toy) == [notebook(answer="first")]
    (jose,) = [one for one in found if one.student == "s1002"]
    assert jose.notes == ("late, according to Canvas",)


def test_canvas_name_and_number_of_two_students(toy, tmp_path):
    found = collect(toy, zip_file(tmp_path / "s.zip", {f"doejane_4712_801_{MADE}.ipynb": notebook()}))
    assert students(found) == {"doejane": MADE}
    assert "could be any of s1001, s1002" in notes(found)


GRADESCOPE = """\
---
submission_11:
  :submitters:
  - :name: Jane Doe
    :sid: s1001
    :email: jane.doe@uni.example
  - :name: José Núñez
    :sid:
    :email: JOSE@uni.example
  :created_at: 2026-10-01 22:11:33.000000000 -07:00
  :results: {}
submission_12:
  :submitters:
  - :name: Mia Late
    :sid: '777'
  :created_at: 2026-10-02 08:00:00.123456000 Z
"""


@pytest.mark.parametrize("around", ["", "assignment_5_export/"])
def test_gradescope(toy, tmp_path, around):
    files = {
        f"{around}submission_metadata.yml": GRADESCOPE.encode(),
        f"{around}submission_11/{MADE}.ipynb": notebook(answer="team"),
        f"{around}submission_12/{MADE}.ipynb": notebook(answer="mia"),
        # A student's file there gives neither owner nor time.
        f"{around}submission_12/submission_metadata.yml": GRADESCOPE.replace("777", "s1003").encode(),
        f"{around}submission_12/submission_11/02_nade.ipynb": notebook("02_nade"),
        f"{around}submission_12/{MADE}/timestamp.txt": b"2001-01-01 00:00:00 UTC",
    }
    collect(toy, zip_file(tmp_path / "gradescope.zip", files))
    assert submitted(toy) == {
        ("s1001", MADE): notebook(answer="team"),
        ("s1002", MADE): notebook(answer="team"),
        ("777", MADE): notebook(answer="mia"),
        ("777", "02_nade"): notebook("02_nade"),
    }
    assert time_of(toy, "s1002") == datetime(2026, 10, 2, 5, 11, 33, tzinfo=UTC)
    before = snapshot(toy.folder)
    collect(toy, tmp_path / "gradescope.zip")
    assert snapshot(toy.folder) == before


def test_gradescope_metadata_that_cannot_be_read(toy, tmp_path):
    files = {"submission_metadata.yml": b"- [", f"submission_11/{MADE}.ipynb": notebook()}
    with pytest.raises(ValueError, match="submission_metadata.yml is not as Gradescope writes it"):
        collect(toy, zip_file(tmp_path / "gradescope.zip", files))


@pytest.mark.parametrize("around", ["", "submitted/"])
def test_nbgrader(no_roster, tmp_path, around):
    files = {
        f"{around}alice/{MADE}/{MADE}.ipynb": notebook(answer="alice"),
        f"{around}alice/{MADE}/timestamp.txt": b"2026-10-01 14:00:00.500000 Europe/Berlin",
        f"{around}alice/{MADE}/helper.py": b"",
        f"{around}bob/02_nade/hand in.ipynb": b"not JSON",
    }
    if around:  # a whole course directory: released and graded work is not a submission
        files |= {f"release/{MADE}/{MADE}.ipynb": notebook(), f"autograded/alice/{MADE}/{MADE}.ipynb": notebook()}
    found = collect(no_roster, write(tmp_path / "course", files))
    assert students(found) == {"alice": MADE, "bob": "02_nade"}
    assert time_of(no_roster, "alice") == datetime(2026, 10, 1, 12, 0, tzinfo=UTC)
    assert time_of(no_roster, "bob", "02_nade") == NOON


@pytest.mark.parametrize("text", [b"", b"soon", b"\xff\xfe", b"9999-99-99", b"2026-10-01 14:00:00 ../../etc/passwd"])
def test_odd_timestamps_fall_back_to_the_file(no_roster, tmp_path, text):
    files = {f"alice/{MADE}/{MADE}.ipynb": notebook(), f"alice/{MADE}/timestamp.txt": text}
    collect(no_roster, write(tmp_path / "s", files))
    assert time_of(no_roster, "alice") in (NOON, datetime(2026, 10, 1, 14, 0, tzinfo=UTC))


def test_collecting_the_class_directory_itself_mends_names(no_roster):
    source = no_roster.folder / "submitted"
    write(source, {f"alice/{MADE}/{MADE} (1).ipynb": notebook(), f"bob/{MADE}/{MADE}.ipynb": b"{"})
    for _ in range(2):
        assert students(collect(no_roster, source)) == {"alice": MADE, "bob": MADE}
    assert submitted(no_roster) == {("alice", MADE): notebook(), ("bob", MADE): b"{"}
    assert kept(no_roster) == []


# ---- Folders and files named after students


@pytest.mark.parametrize(
    "name",
    [
        "s1001/{}.ipynb",
        "S1001/some/where/{}.ipynb",
        "Jane Doe/{}.ipynb",
        "Doe, Jane/{}.ipynb",
        "jane_doe/{}.ipynb",
        "jane.doe@uni.example/{}.ipynb",
        "4711/{}.ipynb",
        "{}/s1001/hw.ipynb",
        "s1001_{}.ipynb",
        "Doe_Jane_{}.ipynb",
        "Jane-Doe {} (2).ipynb",
        "{}_s1001.ipynb",
        "jane_doe/{}.IPYNB",
        "jane_doe/{}.ipynb.txt",
    ],
)
def test_names_of_a_student(toy, tmp_path, name):
    found = collect(toy, write(tmp_path / "s", {name.format(MADE): notebook()}))
    assert students(found) == {"s1001": MADE}
    assert found[0].notes == ()


def test_names_without_a_roster(no_roster, tmp_path):
    files = {
        f"alice_{MADE}.ipynb": notebook(),
        f"Copy of bob - {MADE}.ipynb": notebook(),
        "carol.zip": pack({f"deep/in/it/{MADE}.ipynb": notebook()}),
        "dave_hw.ipynb": notebook("02_nade"),
        f"erin/{MADE}.ipynb": notebook(),
        f"{MADE}/frank/x.ipynb": b"",
        f"{MADE} final.ipynb": notebook(),
        "README.txt": b"downloaded on Monday",
    }
    found = collect(no_roster, write(tmp_path / "s", files))
    named = {"alice", "bob", "carol", "erin", "frank"}
    assert students(found) == dict.fromkeys(named, MADE) | {"dave": "02_nade"}
    (nobody,) = [one for one in found if one.path is None]
    assert nobody.student is None and nobody.lesson == MADE and "neither its name nor its" in nobody.notes[0]


@pytest.mark.parametrize(
    "names",
    [
        [f"downloads/{name}/{MADE}.ipynb" for name in ("alice", "bob")],
        [f"a/b/{name}_{MADE}.ipynb" for name in ("alice", "bob")],
        [f"{name}/{MADE}.ipynb" for name in ("alice", "bob")],
    ],
)
def test_folders_around_all_students(no_roster, tmp_path, names):
    found = collect(no_roster, zip_file(tmp_path / "s.zip", dict.fromkeys(names, notebook())))
    assert students(found) == {"alice": MADE, "bob": MADE}


def test_one_students_folder_is_no_folder_around_students(no_roster, tmp_path):
    files = {f"alice/{MADE}.ipynb": notebook(), "alice/02_nade.ipynb": notebook("02_nade"), "alice/old/x.zip": b""}
    collect(no_roster, write(tmp_path / "s", files))
    assert submitted(no_roster).keys() == {("alice", MADE), ("alice", "02_nade")}


@pytest.mark.parametrize("name", ["alice/s1001_{}.ipynb", "alice/doejane_4711_801_{}.ipynb", "alice/s1001/{}.ipynb"])
@pytest.mark.parametrize("inside_zip", [False, True])
def test_nobody_hands_in_under_another_name(toy, tmp_path, name, inside_zip):
    """A student who is not on the roster names a file after one who is."""
    files = {name.format(MADE): notebook(answer="alice"), f"bob/{MADE}.ipynb": notebook(answer="bob")}
    if inside_zip:
        files = {"alice.zip": pack(files), f"bob/{MADE}.ipynb": notebook()}
    collect(toy, write(tmp_path / "s", files))
    assert {student for student, _ in submitted(toy)} == {"alice", "bob"}


def test_no_unknown_name_becomes_a_student_of_the_roster(tmp_path):
    toy = make_class(
        tmp_path / "class", {"x": ("A", "Lee", "", ""), "Lee": ("B", "Lee", "", ""), "lee": ("", "", "", "")}
    )
    collect(toy, write(tmp_path / "s", {f"LEE/{MADE}.ipynb": notebook(), f"(Lee)/{MADE}.ipynb": notebook()}))
    assert not {"x", "Lee", "lee"} & {student for student, _ in submitted(toy)}
    assert len(submitted(toy)) == 2


@settings(max_examples=150)
@given(st.text(min_size=1, max_size=120).filter(lambda text: "/" not in text and "\0" not in text))
def test_any_name_gives_a_safe_folder(text):
    name = _folder_name(text, ())
    assert Path(name).name == name and name not in ("", ".", "..")
    assert not name.startswith((".", "-")) and name.isprintable() and len(name.encode()) <= 80
    assert _folder_name("alice", {"alice"}).startswith("alice-")


WORD = st.text(st.characters(categories=["Lu", "Ll", "Lo"]), min_size=1, max_size=12)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=WORD,
    last=WORD,
    form=st.sampled_from(["{0} {1}", "{1}, {0}", "{1}_{0}", "{1}{0}", " {0}  {1} "]),
    data=st.data(),
)
def test_any_form_of_any_name_is_found(first, last, form, data):
    roster = _Roster(
        {"s1": {"first_name": first, "last_name": last}, "s2": {"first_name": "Zoë", "last_name": "Quirk"}}
    )
    change = data.draw(st.sampled_from([str, str.casefold, lambda text: unicodedata.normalize("NFD", text)]))
    assert "s1" in roster.find(change(form.format(first, last)))


@settings(max_examples=60)
@given(names=st.lists(st.text(max_size=60), min_size=1, max_size=5), data=st.binary(max_size=40))
def test_any_names_in_a_zip(tmp_path_factory, names, data):
    folder = tmp_path_factory.mktemp("any")
    toy = make_class(folder / "class", {})
    with zipfile.ZipFile(folder / "s.zip", "w") as archive:
        for number, name in enumerate(names):
            info = entry("x")  # zipfile itself would not take every name
            info.filename = f"{name.encode(errors='replace').decode()}/{number}/{MADE}.ipynb"
            archive.writestr(info, data)
    for one in collect(toy, folder / "s.zip"):
        assert one.path is None or one.path.resolve().is_relative_to(folder / "class" / "submitted")
        assert all(note.isprintable() for note in one.notes)
    assert {path.name for path in folder.iterdir()} == {"class", "s.zip"}


# ---- Which lesson


@pytest.mark.parametrize(
    "name",
    [
        f"{MADE} (1)",
        "03 made masks final",
        "03-Made-Masks-v2",
        "made_masks",
        "3 made masks",
        f"{MADE}-Copy1",
        f"my{MADE}",
    ],
)
def test_lesson_by_file_name(no_roster, tmp_path, name):
    """The file's content does not matter."""
    data = b"<html>" if not name.startswith("my") else notebook()
    assert students(collect(no_roster, write(tmp_path / "s", {f"alice/{name}.ipynb": data}))) == {"alice": MADE}


BROKEN = {
    "byte order mark": b"\xef\xbb\xbf" + notebook(),
    "Latin-1": notebook().replace(b"return 1", "return 'é'".encode("latin-1")),
    "cut off": notebook()[:-60],
    "merge conflict": b"<<<<<<< HEAD\n" + notebook() + b"\n=======\n>>>>>>> mine\n",
    "one string a cell": notebook().replace(b'x):\\n", "', b"x):\\n"),
    "no ids": notebook(ids=False),
    "nbformat 3": b'{"nbformat": 3, "worksheets": [{"cells": [{"input": ["import torch\\n", "def masks(x):\\n"]}]}]}',
    "pasted together": json.dumps({"cells": [{"source": "import torch\n\ndef masks(x):\n  ..."}]}).encode(),
    "indented": json.dumps(json.loads(notebook()), indent=4).encode(),
    "deep": b'{"id": "masks", "x": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_lesson_by_cells(no_roster, tmp_path, kind):
    source = write(tmp_path / "s", {"alice/homework.ipynb": BROKEN[kind]})
    assert students(collect(no_roster, source)) == {"alice": MADE}
    assert submitted(no_roster) == {("alice", MADE): BROKEN[kind]}


@pytest.mark.parametrize("data", [b"", b"<html></html>", b"\x00" * 1000, b"{}", notebook() + notebook("01_likelihood")])
def test_lesson_that_cannot_be_told(no_roster, tmp_path, data):
    source = write(tmp_path / "s", {"alice/homework.ipynb": data})
    (found,) = collect(no_roster, source)
    assert found == Collected("alice", None, None, found.notes)
    assert "alice/homework.ipynb: neither its name nor its cells say which lesson it is for" in found.notes[0]
    assert students(collect(no_roster, source, MADE)) == {"alice": MADE}


def test_lesson_by_the_name_of_the_download(no_roster, tmp_path):
    files = {"Jane Doe_1_assignsubmission_file_/hw.ipynb": b"", "Bo Li_2_assignsubmission_file_/02_nade.ipynb": b""}
    found = collect(no_roster, zip_file(tmp_path / "DGM26-03 Made masks-5512.zip", files))
    assert students(found) == {"Jane-Doe": MADE, "Bo-Li": "02_nade"}


def test_the_students_name_is_not_the_lessons(no_roster, tmp_path):
    files = {"Nade Petrova_1_assignsubmission_file_/hw.ipynb": notebook(), "nade/hw.ipynb": notebook()}
    assert set(students(collect(no_roster, write(tmp_path / "s", files))).values()) == {MADE}


def test_a_source_for_one_lesson(no_roster, tmp_path):
    files = {
        f"alice/{MADE}.ipynb": notebook(),
        "alice/02_nade.ipynb": notebook("02_nade"),
        "bob/02_nade.ipynb": notebook(),
        "carol/01_likelihood.ipynb": notebook("01_likelihood"),
    }
    found = collect(no_roster, write(tmp_path / "s", files), MADE)
    assert students(found) == {"alice": MADE, "bob": MADE}
    assert notes(found) == (
        "alice/02_nade.ipynb was left out: it is work on 02_nade\n"
        "no notebook for 03_made_masks was handed in, only carol/01_likelihood.ipynb (it is work on 01_likelihood)"
    )
    with pytest.raises(ValueError, match="no lesson '3'"):
        collect(no_roster, tmp_path / "s", "3")


def test_name_and_cells_disagree(no_roster, tmp_path):
    (found,) = collect(no_roster, write(tmp_path / "s", {f"alice/{MADE}.ipynb": notebook("02_nade")}))
    assert found.lesson == MADE and found.notes == ("its name says 03_made_masks, its cells are those of 02_nade",)


# ---- Which of several


def test_the_newest_of_several(no_roster, tmp_path):
    source = write(tmp_path / "s", {f"alice/{MADE}.ipynb": notebook(answer="late")}, NOON + timedelta(hours=1))
    write(
        source, {f"alice/{MADE} (1).ipynb": notebook(answer="early"), f"alice/x/{MADE}.ipynb": notebook(answer="early")}
    )
    (found,) = collect(no_roster, source)
    assert submitted(no_roster) == {("alice", MADE): notebook(answer="late")}
    assert kept(no_roster) == [notebook(answer="early")]
    assert "of 3 notebooks alice/03_made_masks.ipynb was taken" in found.notes[0]


def test_the_most_answered_of_several_of_one_time(no_roster, tmp_path):
    stub = notebook(answer="raise NotImplementedError  # your answer")
    files = {"alice/a.ipynb": stub, "alice/b.ipynb": notebook(answer="done"), "alice/c.ipynb": stub + b" "}
    collect(no_roster, zip_file(tmp_path / "s.zip", files, time=None))
    assert submitted(no_roster) == {("alice", MADE): notebook(answer="done")}


def test_a_students_zip_tells_no_time(no_roster, tmp_path):
    """Its times say which of its notebooks is newest, not when it was handed in."""
    old, new = NOON - timedelta(days=9), NOON - timedelta(days=8)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry(f"a/{MADE}.ipynb", new), notebook(answer="new"))
        archive.writestr(entry(f"b/{MADE}.ipynb", old), notebook(answer="old"))
    collect(no_roster, write(tmp_path / "s", {"alice.zip": buffer.getvalue()}))
    assert submitted(no_roster) == {("alice", MADE): notebook(answer="new")}
    assert time_of(no_roster, "alice") == NOON


@pytest.mark.parametrize("time", [None, datetime(2099, 1, 1, tzinfo=UTC)])
def test_times_that_cannot_be(no_roster, tmp_path, time):
    source = zip_file(tmp_path / "s.zip", {f"alice/{MADE}.ipynb": notebook()}, time)
    os.utime(source, (NOON.timestamp(), NOON.timestamp()))
    collect(no_roster, source)
    assert time_of(no_roster, "alice") == NOON


def test_times_of_plain_zips_are_local(no_roster, tmp_path):
    info = entry(f"alice/{MADE}.ipynb", None)
    info.date_time = (2026, 7, 1, 10, 30, 0)
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr(info, notebook())
    collect(no_roster, tmp_path / "s.zip")
    assert time_of(no_roster, "alice") == datetime(2026, 7, 1, 10, 30).astimezone()


STUB = "raise NotImplementedError  # your answer"


def test_a_blank_copy_is_nobodys_last_word(no_roster, tmp_path):
    """The release, downloaded again or zipped with the whole course, may be newer than the answers."""
    write(tmp_path / "a", {f"alice/{MADE}.ipynb": notebook()})
    write(tmp_path / "a", {f"alice/{MADE} (1).ipynb": notebook(answer=STUB)}, NOON + timedelta(hours=1))
    write(tmp_path / "b", {f"alice/{MADE}.ipynb": notebook(answer=STUB)}, NOON + timedelta(hours=2))
    collect(no_roster, tmp_path / "a")
    found = collect(no_roster, tmp_path / "b")
    assert submitted(no_roster) == {("alice", MADE): notebook()}
    assert "nothing in it is answered, unlike in the submission of" in notes(found)


@pytest.mark.parametrize("first", [notebook(answer=STUB), b"{"])
def test_a_blank_copy_where_nothing_better_is(no_roster, tmp_path, first):
    later = notebook(answer=STUB) + b" "
    collect(no_roster, write(tmp_path / "a", {f"alice/{MADE}.ipynb": first}))
    collect(no_roster, write(tmp_path / "b", {f"alice/{MADE}.ipynb": later}, NOON + timedelta(hours=1)))
    assert submitted(no_roster) == {("alice", MADE): later}


@pytest.mark.parametrize("joined", [False, True])
def test_the_releases_stub_below_an_answer_is_an_answer(no_roster, tmp_path, joined):
    cells = json.loads(notebook(answer=STUB))
    for cell in cells["cells"]:
        lines = [cell["source"][0], "    return f('a')\n", cell["source"][1]]
        cell["source"] = "".join(lines) if joined else lines
    answered = json.dumps(cells).encode()
    collect(no_roster, write(tmp_path / "a", {f"alice/{MADE}.ipynb": notebook()}))
    collect(no_roster, write(tmp_path / "b", {f"alice/{MADE}.ipynb": answered}, NOON + timedelta(hours=1)))
    assert submitted(no_roster) == {("alice", MADE): answered}


def test_an_open_exercise_that_does_not_count_makes_nothing_blank():
    cells = [
        {"id": name, "source": [f"def {name}(x):\n", '    """Of x."""\n', f"    {answer}"]}
        for name, answer in (("f", "return 1"), ("g", STUB), ("train", STUB), ("h", STUB))
    ]
    assert intake._answered(json.dumps(cells).encode(), Lesson(MADE, ("f", "g"), {})) == 1


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("0[1-9]_*/*.ipynb")), ids=lambda path: path.stem)
def test_released_notebooks_are_blank(path):
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.metadata.get("nbgrader", {}).get("solution")]
    lesson = Lesson(path.stem, tuple(cell.id for cell in cells), {})
    assert cells and intake._exercises(path.read_bytes(), lesson) == len(cells)
    assert intake._answered(path.read_bytes(), lesson) == 0


# ---- Storage


def one(toy: Settings, folder: Path, answer: str, hours: int) -> Collected:
    source = write(
        folder / f"{answer}{hours}", {f"alice/{MADE}.ipynb": notebook(answer=answer)}, NOON + timedelta(hours=hours)
    )
    (found,) = collect(toy, source)
    return found


def test_again_changes_nothing(toy, tmp_path):
    files = {f"{name}/{MADE}{n}.ipynb": notebook(answer=n) for name in ("s1001", "Mia") for n in ("", "2", "3")}
    source = zip_file(tmp_path / "s.zip", files)
    first = collect(toy, source)
    before = snapshot(toy.folder)
    again = collect(toy, source)
    assert snapshot(toy.folder) == before
    assert again == first


def test_a_resubmission_replaces_and_nothing_is_lost(no_roster, tmp_path):
    path = one(no_roster, tmp_path, "first", 0).path
    assert path == no_roster.folder / "submitted" / "alice" / MADE / f"{MADE}.ipynb"
    found = one(no_roster, tmp_path, "second", 5)
    assert found.notes == ("replaces the submission of 2026-10-05 12:00:00 UTC, which is kept in collected/",)
    assert submitted(no_roster) == {("alice", MADE): notebook(answer="second")}
    assert time_of(no_roster, "alice") == NOON + timedelta(hours=5)
    place = no_roster.folder / "collected" / "alice" / MADE / "2026-10-05_12-00-00Z.ipynb"
    assert place.read_bytes() == notebook(answer="first")


def test_an_older_one_does_not_replace(no_roster, tmp_path):
    one(no_roster, tmp_path, "new", 5)
    found = one(no_roster, tmp_path, "old", 0)
    assert "older than the submission of" in found.notes[0] and found.path
    assert submitted(no_roster) == {("alice", MADE): notebook(answer="new")}
    assert kept(no_roster) == [notebook(answer="old")]
    assert time_of(no_roster, "alice") == NOON + timedelta(hours=5)


def test_the_same_file_again_keeps_its_first_time(no_roster, tmp_path):
    one(no_roster, tmp_path, "same", 0)
    before = snapshot(no_roster.folder)
    one(no_roster, tmp_path, "same", 9)
    assert snapshot(no_roster.folder) == before


def test_of_one_time_the_one_collected_last(no_roster, tmp_path):
    """A first download, a corrected one with the same times, and the first again."""
    for answer, current in [("a", "a"), ("b", "b"), ("a", "b"), ("b", "b")]:
        one(no_roster, tmp_path, answer, 0)
        assert submitted(no_roster) == {("alice", MADE): notebook(answer=current)}
    assert kept(no_roster) == [notebook(answer="a")]


def test_two_of_one_moment_are_both_kept(no_roster, tmp_path):
    for answer, hour in [("a", 0), ("b", 0), ("c", 0), ("d", 1)]:
        one(no_roster, tmp_path, answer, hour)
    assert kept(no_roster) == [notebook(answer=answer) for answer in "abc"]


@pytest.mark.parametrize("writes", range(3))
def test_interrupted_between_any_two_writes(no_roster, tmp_path, monkeypatch, writes):
    """The next run ends where an undisturbed run would have ended."""
    one(no_roster, tmp_path, "first", 0)
    real, done = intake.write, []

    def write_until(path, data):
        if len(done) == writes:
            raise KeyboardInterrupt
        done.append(path)
        real(path, data)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(intake, "write", write_until)
        one(no_roster, tmp_path, "second", 3)
    one(no_roster, tmp_path, "second", 3)
    assert submitted(no_roster) == {("alice", MADE): notebook(answer="second")}
    assert kept(no_roster) == [notebook(answer="first")]
    assert time_of(no_roster, "alice") == NOON + timedelta(hours=3)


def test_what_cannot_be_stored_stops_nobody(no_roster, tmp_path):
    (no_roster.folder / "submitted" / "alice" / MADE / f"{MADE}.ipynb").mkdir(parents=True)
    source = write(tmp_path / "s", {f"{name}/{MADE}.ipynb": notebook() for name in ("alice", "bob")})
    found = collect(no_roster, source)
    assert students(found) == {"bob": MADE}
    assert "not stored: it is not a file but a folder" in notes(found)


# ---- Hostile and broken files


def test_links_are_not_followed(no_roster, tmp_path):
    secret = write(tmp_path / "secret", {f"{MADE}.ipynb": notebook(answer="secret")})
    source = write(tmp_path / "s", {"bob/x.ipynb": notebook(), "carol/x.txt": b""})
    (source / "alice").mkdir()
    (source / "alice" / f"{MADE}.ipynb").symlink_to(secret / f"{MADE}.ipynb")
    (source / "carol" / "more").symlink_to(secret)
    (source / "dave").symlink_to(secret)
    (source / "bob" / "loop").symlink_to(source)
    found = collect(no_roster, source)
    assert submitted(no_roster) == {("bob", MADE): notebook()}
    reported = {one.student: one.notes[0] for one in found if not one.path}
    assert reported.keys() == {"alice", "carol", "dave"}
    assert all("it is a link, which is not followed" in note for note in reported.values())


def test_links_in_the_class_directory_are_not_followed(no_roster, tmp_path):
    target = write(tmp_path / "target", {"grades.db": b"grades"})
    home = no_roster.folder / "submitted" / "alice" / MADE
    home.mkdir(parents=True)
    for name in (f"{MADE}.ipynb", f".{MADE}.ipynb.half", "timestamp.txt", ".timestamp.txt.half"):
        (home / name).symlink_to(target / "grades.db")
    (no_roster.folder / "submitted" / "bob").symlink_to(target)
    source = write(tmp_path / "s", {f"{name}/{MADE}.ipynb": notebook() for name in ("alice", "bob")})
    found = collect(no_roster, source)
    assert students(found) == {"alice": MADE}
    assert "bob is a link, which is not followed: remove it" in notes(found)
    assert snapshot(target).keys() == {str(target / "grades.db")} and (target / "grades.db").read_bytes() == b"grades"
    assert not (home / f"{MADE}.ipynb").is_symlink() and not (home / "timestamp.txt").is_symlink()


def test_pipes_and_devices_are_not_opened(no_roster, tmp_path):
    source = write(tmp_path / "s", {f"bob/{MADE}.ipynb": notebook(), "alice/x.txt": b""})
    os.mkfifo(source / "alice" / f"{MADE}.ipynb")
    os.mkfifo(source / "bob" / "data.zip")
    found = collect(no_roster, source)
    assert students(found) == {"bob": MADE}
    assert notes(found).count("it is not a file but a folder, pipe or device") == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read(no_roster, tmp_path):
    source = write(tmp_path / "s", {f"{name}/{MADE}.ipynb": notebook() for name in ("alice", "bob", "carol")})
    (source / "alice" / f"{MADE}.ipynb").chmod(0)
    (source / "bob").chmod(0)
    found = collect(no_roster, source)
    (source / "bob").chmod(0o700)
    assert students(found) == {"carol": MADE}
    assert notes(found).count("Permission denied") == 2


def test_left_overs_are_ignored(no_roster, tmp_path):
    names = [
        "__MACOSX/alice/._{}.ipynb",
        "alice/._{}.ipynb",
        "alice/.ipynb_checkpoints/{}-checkpoint.ipynb",
        "Thumbs.db",
    ]
    files = {name.format(MADE): notebook(answer="old") for name in (*names, "alice/.DS_Store")}
    files[f"alice/{MADE}.ipynb"] = notebook()
    found = collect(no_roster, zip_file(tmp_path / "s.zip", files))
    assert students(found) == {"alice": MADE} and notes(found) == ""
    assert submitted(no_roster) == {("alice", MADE): notebook()}


def test_no_notebook_at_all(toy, tmp_path):
    source = write(tmp_path / "s", {f"s1001/{MADE}.pdf": b"%PDF", "s1002/hw.rar": b"Rar!", "s1003_hw.py": b""})
    (source / "s1004" / "hw").mkdir(parents=True)
    found = collect(toy, source)
    assert [(one.student, one.path) for one in found] == [(f"s100{n}", None) for n in (1, 2, 3, 4)]
    assert all(one.notes[0].startswith("no notebook was handed in, only s100") for one in found)
    assert "s1004/hw (it is an empty folder)" in notes(found)


def hostile_entry(name: str, change) -> bytes:
    """A zip of a notebook with one entry changed before it is written."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = entry(name)
        change(info)
        archive.writestr(info, notebook())
    return buffer.getvalue()


def as_link(info):
    info.external_attr = (stat.S_IFLNK | 0o777) << 16


def as_pipe(info):
    info.external_attr = (stat.S_IFIFO | 0o777) << 16


def as_bzip2(info):
    info.compress_type = zipfile.ZIP_BZIP2


def encrypted(name: str) -> bytes:
    data = bytearray(pack({name: notebook()}))
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + offset] |= 1
    return bytes(data)


def damaged(name: str) -> bytes:
    data = bytearray(pack({name: notebook()}))
    data[60:90] = bytes(30)
    return bytes(data)


NAME = f"{MADE}.ipynb"
HOSTILE = {
    "link": (hostile_entry(NAME, as_link), "it is a link, which is not followed"),
    "pipe": (hostile_entry(NAME, as_pipe), "it is a special file"),
    "method": (hostile_entry(NAME, as_bzip2), "unusual compression method"),
    "encrypted": (encrypted(NAME), "encrypted"),
    "damaged": (damaged(NAME), "the zip is damaged"),
    "cut off": (pack({NAME: notebook()})[:-30], "not a zip, or a damaged one"),
    "no zip": (b"Rar!", "not a zip, or a damaged one"),
    "empty": (b"", "not a zip, or a damaged one"),
    "half an end": (pack({NAME: notebook()})[:-4] + b"PK\5\6", "not a zip, or a damaged one"),
    "traversal": (pack({f"../../../bob/{NAME}": notebook()}), "leads out of the zip"),
    "absolute": (pack({f"/tmp/{NAME}": notebook()}), "leads out of the zip"),
    "drive": (pack({f"C:\\{NAME}": notebook()}), "leads out of the zip"),
    "backslashes out": (pack({f"..\\..\\{NAME}": notebook()}), "leads out of the zip"),
    "bomb": (pack({NAME: bytes(30 * 2**20)}), "unpacks to more than 200 times"),
    "large": (pack({NAME: bytes(archives.MAX_FILE + 1)}), "larger than 50 MiB"),
    "zip in zip": (pack({f"{MADE}.zip": pack({NAME: notebook()})}), "a zip inside a zip is not opened"),
    "notebooks": (pack({f"{n}/{NAME}": notebook() for n in range(60)}), "a zip of 60 notebooks"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_zips_of_students(no_roster, tmp_path, kind):
    data, words = HOSTILE[kind]
    files = {"alice/work.zip": data, f"bob/{MADE}.ipynb": notebook(answer="bob")}
    for source in (write(tmp_path / "folder", files), zip_file(tmp_path / "source.zip", files)):
        found = collect(no_roster, source)
        (alice,) = [one for one in found if one.student == "alice"]
        assert alice.path is None and words in alice.notes[0] and "alice/work.zip" in alice.notes[0]
        assert submitted(no_roster) == {("bob", MADE): notebook(answer="bob")}


def test_one_hostile_entry_of_a_download(no_roster, tmp_path):
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        link = entry(f"alice/{MADE}.ipynb")
        as_link(link)
        archive.writestr(link, b"/etc/passwd")
        archive.writestr(f"../carol/{MADE}.ipynb", notebook())
        archive.writestr(f"bob\\work\\{MADE}.ipynb", notebook(answer="bob"))
    found = collect(no_roster, tmp_path / "s.zip")
    assert submitted(no_roster) == {("bob", MADE): notebook(answer="bob")}
    assert {(one.student, one.lesson) for one in found if not one.path} == {("alice", MADE), (None, None)}
    assert f"../carol/{MADE}.ipynb: its path leads out of the zip" in notes(found)


def test_a_million_entries_are_not_listed(no_roster, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_DIRECTORY", 1000)
    source = write(tmp_path / "s", {"alice.zip": pack({f"{n}.txt": b"" for n in range(100)})})
    assert "a zip of too many files" in notes(collect(no_roster, source))


def test_limits_of_a_source_are_reported(no_roster, tmp_path, monkeypatch):
    files = {f"student{n}/{MADE}.ipynb": notebook() for n in range(6)}
    monkeypatch.setattr(archives, "MAX_FILES", 4)
    for source in (write(tmp_path / "s", files), zip_file(tmp_path / "s.zip", files)):
        found = collect(no_roster, source)
        assert notes(found) == "there are more than 4 files; the rest was not read"
    monkeypatch.setattr(archives, "MAX_FILES", 100)
    monkeypatch.setattr(archives, "MAX_SOURCE", 4 * len(notebook()))
    found = collect(no_roster, tmp_path / "s.zip")
    assert len(students(found)) == 4 and notes(found).count("the zip holds too much in all") == 2


def test_large_files(no_roster, tmp_path):
    source = write(tmp_path / "s", {f"bob/{MADE}.ipynb": notebook(), f"alice/{MADE}.ipynb": b""})
    os.truncate(source / "alice" / f"{MADE}.ipynb", archives.MAX_FILE + 1)
    found = collect(no_roster, source)
    assert students(found) == {"bob": MADE} and "larger than 50 MiB" in notes(found)


def test_folders_nested_deeper_than_python_recurses(no_roster, tmp_path):
    source = write(tmp_path / "s", {f"bob/{MADE}.ipynb": notebook()})
    here = os.open(source, os.O_RDONLY)
    for _ in range(2100):  # also deeper than a path can be long
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    found = collect(no_roster, source)
    subprocess.run(["rm", "-rf", source], check=True)  # pytest's own cleanup cannot do this
    assert students(found) == {"bob": MADE}


def test_names_in_utf8_without_the_mark(no_roster, tmp_path):
    """Names as macOS and many servers write them."""
    name = f"Jörg Müller_9_assignsubmission_file_/{MADE}.ipynb"
    plain = name.encode()
    stand_in = "x" * len(plain)
    (tmp_path / "s.zip").write_bytes(pack({stand_in: notebook()}).replace(stand_in.encode(), plain))
    assert students(collect(no_roster, tmp_path / "s.zip")) == {"Jörg-Müller": MADE}


def test_a_file_without_a_students_name(tmp_path):
    """A number at the end counts copies; it does not identify a student."""
    toy = make_class(tmp_path / "class", {"2": ("", "", "", "")})
    (found,) = collect(toy, write(tmp_path / "s", {f"{MADE}-2.ipynb": notebook()}))
    assert found.student is None and found.path is None


def test_names_longer_than_any_file_has(no_roster, tmp_path):
    found = collect(no_roster, zip_file(tmp_path / "s.zip", {"_" * 60_000 + NAME: b"", f"bob/{NAME}": notebook()}))
    assert students(found) == {"bob": MADE} and "no file has such a name" in notes(found)


@pytest.mark.parametrize("inside", [False, True])
def test_a_file_without_a_name(no_roster, tmp_path, inside):
    data = pack({"xxxx": notebook(), f"bob/{NAME}": notebook()}).replace(b"xxxx", b"\0xxx")
    source = write(tmp_path / "s", {"bob.zip": data}) if inside else tmp_path / "s.zip"
    if not inside:
        source.write_bytes(data)
    found = collect(no_roster, source)
    assert students(found) == {"bob": MADE} and "no file has such a name" in notes(found)


def test_names_that_are_no_text(no_roster, tmp_path):
    folder = os.fsencode(tmp_path / "s") + b"/al\xffice\x1b[2J"
    os.makedirs(folder)
    for name in (os.fsencode(NAME), b"\xfe.zip"):
        with open(folder + b"/" + name, "wb") as file:
            file.write(notebook())
    found = collect(no_roster, tmp_path / "s")
    assert students(found) == {"al-ice-2J": MADE}
    assert notes(found).isprintable()


def test_sources_that_are_none(toy, tmp_path):
    write(tmp_path, {"grades.csv": b"id", "broken.zip": pack({"a": b""})[:-30], "empty.zip": b""})
    for name in ("grades.csv", "broken.zip", "empty.zip"):
        with pytest.raises(ValueError, match=f"expected a folder or a zip, .*{name} is neither: it is not a zip"):
            collect(toy, tmp_path / name)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is neither"):
        collect(toy, tmp_path / "pipe")
    with pytest.raises(FileNotFoundError, match="nothing.zip does not exist"):
        collect(toy, tmp_path / "nothing.zip")
    assert not (toy.folder / "submitted").exists()


# ---- A class


def test_a_class_of_300(tmp_path):
    """A Moodle download in which one student in six did not follow the instructions."""
    names = [f"Student {chr(97 + n // 26 % 26)}{chr(97 + n % 26)}" for n in range(300)]
    roster = {f"u{n}": (*name.split(), "", str(5000 + n)) for n, name in enumerate(names)}
    toy = make_class(tmp_path / "class", roster)
    odd = [
        {"hw.ipynb": notebook(ids=False)},
        {"all.zip": pack({f"x/{MADE}.ipynb": notebook(), "y/02_nade.ipynb": notebook("02_nade")})},
        {f"{MADE} (3).ipynb": b"<!DOCTYPE html>"},
        {"hw.pdf": b"%PDF"},
        {"work.zip": b"Rar!"},
        {"Untitled.ipynb": b""},
    ]
    files = {}
    for n, name in enumerate(names):
        for file, data in (odd[n // 6 % 6] if n % 6 == 0 else {NAME: notebook(answer=str(n))}).items():
            files[f"{name}_{9000 + n}_assignsubmission_file_/{file}"] = data
    found = collect(toy, zip_file(tmp_path / "moodle.zip", files))
    assert {one.student for one in found} == set(roster)
    assert all(one.student for one in found) and all(one.notes for one in found if not one.path)
    good = {(f"u{n}", MADE): notebook(answer=str(n)) for n in range(300) if n % 6}
    assert good.items() <= submitted(toy).items()
    assert sum(one.path is None for one in found) == sum(n // 6 % 6 in (3, 4, 5) for n in range(0, 300, 6))
