# make demo       set up and show the main job on the embedded default
# make test       the tests that take seconds
# make test-slow  the tests that take minutes
# make check      lint, format, types and the layering contract
# make sample     write the files of the embedded sample again
# make tiny       train medground-tiny again, into build/tiny

PYTHON := $(shell command -v python3.11 || { python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& command -v python3; } || echo python3.11)
BIN := .venv/bin
READY := .venv/.ready
# A process for each of two cores, a thread for each process; the commands under test are compiled once.
TWO := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=

.PHONY: demo test test-slow check docs sample tiny clean

demo: $(READY)
	$(BIN)/medground demo

test: $(READY)
	$(TWO) $(BIN)/pytest -q -n 2 --dist worksteal

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
	rm -rf .venv build dist *.egg-info results .medground

# In this mode a folder of the user's that is called like a package (corpus, eval) does not hide it.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]" --config-settings editable_mode=compat
	touch $@
