# Every command of the course. `make` alone lists them. Each one sets up what it needs by itself, once.

PYTHON ?=
BIN := .venv/bin
READY := .venv/.ready
# One more than there are cores: tests of the browser and of the sandbox wait for other processes much of their time.
WORKERS = $$(($$(getconf _NPROCESSORS_ONLN) + 1))

.DEFAULT_GOAL := help
.PHONY: help env test soak mutants grade lab notebooks check-notebooks lessons scoreboard bench student site lint lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The stamp is set-up's last act: an interrupted set-up leaves none, and the next command takes it up again.
$(READY): requirements.lock pyproject.toml tools/environment
	@PYTHON="$(PYTHON)" tools/environment
	@touch $@

# Before anything else: whoever lacks packages of the system reads so at once, and of all of them.
test-packages:
	@PYTHON="$(PYTHON)" tools/system-packages venv sandbox database browser
grade-packages:
	@PYTHON="$(PYTHON)" tools/system-packages venv sandbox

env: $(READY) ## set up .venv (PYTHON=... names the Python to use)

test: test-packages $(READY) ## run every test, the linter and the comparison of the notebooks with their sources
	@tools/mathjax || echo "Without MathJax, the tests of the built website are left out."
	OMP_NUM_THREADS=1 PYTEST_XDIST_AUTO_NUM_WORKERS=$(WORKERS) $(BIN)/pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

soak: $(READY) ## judge every answer of the bank, and the samplers, with many more seeds; then all mutants
	COURSE_SEEDS=200 OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 8 -m "soak or long"
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutants

mutants: $(READY) ## change every right answer of the bank in one place, and list what no check sees (LESSON=made_masks)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutants $(LESSON)

grade: grade-packages $(READY) ## grade a sample class from beginning to end
	$(BIN)/python -m autograder sample-class

lab: $(READY) ## open your own copy of the notebooks, work/, in JupyterLab; takes updates and keeps what you wrote
	$(BIN)/python -m course_lib.lab

notebooks: $(READY) ## build the student notebooks from solutions/
	$(BIN)/python -m autograder.release.build

check-notebooks: $(READY) ## fail where a committed notebook is not what its source gives
	$(BIN)/python -m autograder.release.build --check

lessons: $(READY) ## run every lesson with its solutions from top to bottom, without network, and time it
	$(BIN)/python tools/offline $(BIN)/python -m autograder.release.lessons

scoreboard: $(READY) ## compare the models' likelihoods on digits and on sound
	$(BIN)/python -m course_lib.scoreboard

bench: $(READY) ## measure speed
	$(BIN)/python -m benchmarks

student: $(READY) ## make the bundle that students get: build/student and its zip
	$(BIN)/python -m autograder.release.bundle

site: $(READY) ## build the website, build/site/html: runs the lessons that have changed, without network
	@tools/mathjax
	$(BIN)/python tools/offline $(BIN)/python -m autograder.release.website

lint: $(READY) ## run the linter
	$(BIN)/ruff check .

lock: $(READY) ## remake requirements.lock from pyproject.toml (UPGRADE=--upgrade moves every version to the newest)
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra site --universal --python-version 3.11 --generate-hashes \
	    --no-emit-find-links --no-emit-index-url $(UPGRADE) -o requirements.lock

clean: ## remove what was built (not .venv, not data)
	rm -rf build .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
