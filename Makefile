# Each target sets up what it needs. `make help` lists them.
PY := .venv/bin/python
# The same surroundings in which `make notebooks` stores outputs, so that they compare equal.
QUIET := PYTHONHASHSEED=0 TQDM_DISABLE=1 PATH="$(CURDIR)/.venv/bin:$$PATH"

.PHONY: help setup browser book test test-colab serve notebooks experiments offline student grade assignment bench budget lighthouse lock release lint clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-11s %s\n", $$1, $$2}'

setup: ## the environment in .venv, once
	@tools/setup.sh

browser:
	@tools/setup.sh browser

book: setup ## build the site and say where to open it
	@$(PY) tools/build_book.py

# The notebooks run with each solution in its answer cell, so that solutions are tested as well.
# Two workers with one thread each: more threads than cores wait for each other.
test: browser ## every test: code, notebooks, and the site in a real browser
	@$(PY) tools/build_book.py
	@$(PY) tools/student.py --solved _build/solved
	@OMP_NUM_THREADS=1 $(QUIET) $(PY) -m pytest tests _build/solved --nbval --nbval-current-env \
		--nbval-sanitize-with tests/nbval.cfg -n 2 --dist loadfile $(ARGS)

test-colab: setup ## every notebook alone, as in Colab, on the oldest releases we support
	@tools/setup.sh colab
	@$(PY) -m pytest tests/colab -n 2 --dist load --maxschedchunk 1 $(ARGS)

serve: book ## build, then serve the site on http://localhost:8000
	@$(PY) -m http.server 8000 --bind 127.0.0.1 --directory _build/html

notebooks: setup ## run every notebook and store its outputs
	@$(QUIET) $(PY) tools/run_notebooks.py $(ARGS)
	@$(PY) tools/translate.py sync

experiments: setup ## train everything the book reports, from five seeds (about an hour)
	@tools/experiments.sh $(ARGS)

offline: book ## one zip with both editions, notebooks, package and data, for a room without network
	@$(PY) tools/offline.py $(ARGS)

student: setup ## the edition for a class, without solutions, in dist/student (SEED=42: own numbers)
	@$(PY) tools/student.py $(if $(SEED),--seed $(SEED)) $(ARGS)

grade: setup ## check a class's notebooks: SUBMISSIONS=folder OUT=grades.csv
	@$(PY) tools/grade.py "$(SUBMISSIONS)" "$(or $(OUT),grades.csv)" $(ARGS)

assignment: setup ## a variant with checks of your own: ARGS="new midterm --out ../midterm --from …"
	@$(PY) tools/assignment.py $(ARGS)

bench: browser ## time and memory of our models beside a reference; the engine in a browser
	@$(PY) tools/bench.py $(ARGS)
	@$(PY) tools/bench_engine.py
	@$(PY) tools/build_book.py
	@$(PY) tools/bench_page.py

budget: browser ## what every page of the site weighs, as a table
	@$(PY) tools/build_book.py
	@$(PY) tools/budget.py $(ARGS)

lighthouse: browser ## Lighthouse's marks for five pages, on desktop settings (BUILT=1: of the site as it lies)
	@tools/setup.sh lighthouse
	@$(if $(BUILT),,$(PY) tools/build_book.py)
	@$(PY) tools/lighthouse.py $(ARGS)

lock: setup ## hashes of the pinned packages, after a change of requirements.txt (needs uv)
	@$(PY) tools/lock.py

release: browser ## check, stamp and date a version: VERSION=0.2.0; commits and pushes nothing
	@$(PY) tools/release.py "$(VERSION)" $(ARGS)

lint: setup ## ruff: rules and format
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

clean: ## remove what was built; the environment stays
	rm -rf _build dist .pytest_cache .hypothesis .ruff_cache
