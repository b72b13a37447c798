import importlib.metadata

from course_lib import installation


def test_here_all_is_there():
    text = installation.report()
    assert text.endswith("All is there.")
    assert f"{'torch':<20}{importlib.metadata.version('torch')}" in text


def test_what_is_missing_or_too_old_is_named_with_the_remedy(monkeypatch):
    def version(name, real=importlib.metadata.version):
        if name == "safetensors":
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.1" if name == "numpy" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    *lines, _, command = installation.report().splitlines()
    assert any(line.split()[:2] == ["safetensors", "missing"] for line in lines)
    assert any(line.split()[:2] == ["numpy", "0.1"] and "needs" in line for line in lines)
    assert command.count('"') == 6 and '"numpy>=' in command and '"safetensors>=' in command


def test_a_course_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(installation, "COURSE", "no-such-course-anywhere")
    assert installation.report().endswith("-m pip install --editable .")


def test_a_bare_name_is_enough_for_any_version(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["torch", 'pytest>=999; extra == "dev"'])
    assert installation.report().endswith("All is there.")
