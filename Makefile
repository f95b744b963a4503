# Two commands: `make demo` and `make test`. Each sets itself up on a fresh machine with Python >= 3.11.
PYTHON ?= python3
BIN := .venv/bin

demo: .venv/ready
	$(BIN)/pushforward compare digits --seeds 3 --budget 20s --jobs 2 --out runs/digits

test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

.PHONY: demo test
