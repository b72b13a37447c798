"""The repository as a whole: its commands, its style, what its files may name."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from autograder.release.build import ROOT

TRACKED = [ROOT / name for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()]
GUIDES = [path for path in TRACKED if path.suffix == ".md"]
# Paths of one machine, and addresses of package registries, which a set-up takes from its machine's settings.
PLACES = re.compile(
    r"/(?:work|root|home/[a-z]\w*|Users/[A-Za-z]\w*|opt/(?:pypi|wheels))/"
    r"|pypi[.]org|pythonhosted[.]org|anaconda[.](?:org|com)|download[.]pytorch[.]org"
)
# What reads as translated: the part of CONTRIBUTING's style sheet that a machine can see.
PROSE = [path for path in TRACKED if path.suffix in (".py", ".md", ".toml", ".j2", ".sh")]
STYLE = {
    "per, not a (nats per image)": r"\b(?:nats|bits?|bytes?|logits?|parameters|vectors?|numbers?|batches|files?|one)"
    r" an? (?:image|pixel|class|dimension|step|colour|channel|lesson|sample|seed|epoch|core|student|exercise|cell)\b",
    "is, appears, is written, not stands": r"\b[Ss]t(?:ands?|ood) (?!for\b|in for\b)",
    "is not a, not is no": r"(?<!here )\b(?:is|are|was) no (?!longer|more|less)\w",
    "for free, not for nothing": r"\bfor nothing\b",
    "memorised, not by heart": r"\bby heart\b",
    "automatically or on its own, not by itself": r"\bby (?:itself|themselves)\b",
    "must, correctly, not shall, rightly": r"\b(?:shall|rightly)\b",
}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def targets() -> dict[str, str]:
    """The Makefile's targets and what `make` says of them."""
    return dict(re.findall(r"^([a-z-]+):.*## (.+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def test_make_alone_lists_every_target():
    (phony,) = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(phony.split()) == set(targets())
    listed = subprocess.check_output(["make", "--no-print-directory"], cwd=ROOT, text=True)
    for name, purpose in targets().items():
        assert re.search(rf"make {name} +{re.escape(purpose)}", listed)


@pytest.mark.parametrize("guide", GUIDES, ids=relative)
def test_commands_of_the_guides_exist(guide):
    text = guide.read_text()
    assert set(re.findall(r"(?:`|^ +|^\$ )make ([a-z-]+)", text, flags=re.MULTILINE)) <= set(targets())
    for module in set(re.findall(r"python -m ((?:autograder|course_lib|benchmarks)[\w.]*)", text)):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


@pytest.mark.parametrize("guide", GUIDES, ids=relative)
def test_links_of_the_guides_lead_somewhere(guide):
    for link in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]+)", guide.read_text()):
        assert (guide.parent / link).exists(), link


def test_commands_of_the_workflows_exist():
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        jobs = yaml.safe_load(workflow.read_text())["jobs"]
        steps = [step for job in jobs.values() for step in job["steps"]]
        runs = [step["run"] for step in steps if "run" in step]
        made = {target for run in runs for target in re.findall(r"\bmake ([a-z-]+)", run)}
        assert made and made <= set(targets())
        assert all((ROOT / tool).exists() for run in runs for tool in re.findall(r"\btools/[\w-]+", run))
        assert all(re.search(r"@v\d+$", step["uses"]) for step in steps if "uses" in step)


def test_issue_forms_are_complete():
    forms = [path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"]
    assert forms
    for path in forms:
        form = yaml.safe_load(path.read_text())
        assert form["name"] and form["description"]
        asked = [part for part in form["body"] if part["type"] != "markdown"]
        assert asked and all(part["id"] and part["attributes"]["label"] for part in asked)
        assert len({part["id"] for part in asked}) == len(asked)


def test_no_file_names_a_machine_or_a_registry():
    found = []
    for path in TRACKED:
        if path.exists() and b"\0" not in (data := path.read_bytes()):
            found += [f"{relative(path)}: {hit}" for hit in PLACES.findall(data.decode())]
    assert not found


@pytest.mark.parametrize("rule", STYLE)
def test_prose_keeps_the_style_sheet(rule):
    found = []
    for path in PROSE:
        if path.exists() and path != Path(__file__):
            lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
            found += [
                f"{relative(path)}, line {number}: {hit[0]}"
                for number, line in lines
                for hit in re.finditer(STYLE[rule], line)
            ]
    assert not found


def test_linter_is_content():
    check = [sys.executable, "-m", "ruff", "check", "."]
    result = subprocess.run(check, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_notebooks_are_what_their_sources_give():
    check = [sys.executable, "-m", "autograder.release.build", "--check"]
    result = subprocess.run(check, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr
