# make demo       install, and run the main workflow on the embedded sample and models
# make test       the fast tests
# make test-slow  the slow tests
# make check      lint, formatting, types and import layers
# make docs       write the reference pages and configs/default.yaml again
# make sample     write the files of the embedded sample again
# make tiny       train medground-tiny again, into build/tiny
# make clean      remove .venv and build outputs

PYTHON := $(shell command -v python3.11 || { python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& command -v python3; } || echo python3.11)
BIN := .venv/bin
READY := .venv/.ready
# Two test processes with one thread each; the commands under test may write bytecode, to start faster.
TEST_ENVIRONMENT := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=

.PHONY: demo test test-slow check docs sample tiny clean

demo: $(READY)
	$(BIN)/medground demo

test: $(READY)
	$(TEST_ENVIRONMENT) $(BIN)/pytest -q -n 2 --dist worksteal

test-slow: $(READY)
	$(BIN)/pytest -q -m "slow and not gpu and not network"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)
	$(BIN)/python docs/generate.py

sample: $(READY)
	$(BIN)/python -m tools.sample

tiny: $(READY)
	$(BIN)/python -m tools.tiny --output build/tiny

clean:
	rm -rf .venv build dist *.egg-info

# In compat mode, a user's folder with the name of a package (corpus, eval) does not shadow the package.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]" --config-settings editable_mode=compat
	touch $@
