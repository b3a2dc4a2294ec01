# Needs Python >= 3.13, pip and make. Everything is installed into .venv, once, and again only when
# a file changes that says what to install or is compiled.
#
#   make train [WORLD=1] [STAGE=1] [ARGS="--num-processes 4"]
#   make test
#
# PYTHON=/path/to/python chooses the Python that .venv is made with.

WORLD = 1
STAGE = 1
ARGS =
PYTHON =

VENV = .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed

NEW_ENOUGH = -c 'import sys; sys.exit(sys.version_info < (3, 13))'

# A shell function: the first Python that is new enough. A pyenv that only PYENV_ROOT names is looked
# at too, and so is one whose shims lead to an older Python.
FIND_PYTHON = find_python() { \
	pyenv=$${PYENV_ROOT:-$$(pyenv root 2>/dev/null)}; \
	for python in $(if $(PYTHON),"$(PYTHON)",python3.13 python3 python \
		"$$pyenv"/versions/3.13*/bin/python); do \
		if "$$python" $(NEW_ENOUGH) >/dev/null 2>&1; then echo "$$python"; return; fi; \
	done; \
	echo "mario_a3c needs Python 3.13 or newer, and none was found$(if $(PYTHON), at $(PYTHON)):" \
		"install one, or name it with 'make PYTHON=/path/to/python'." >&2; \
	return 1; }

.PHONY: help install train test lint slow-test gpu-test clean

help:
	@echo 'make train      train on stage 1-1 (WORLD=, STAGE=, and ARGS="..." for train.py)'
	@echo 'make test       check style, types and behaviour'
	@echo 'make lint       check style and types only'
	@echo 'make slow-test  the tests that take minutes (learning, whole runs)'
	@echo 'make gpu-test   the tests that need a GPU'
	@echo 'make install    only make .venv and install everything into it'
	@echo 'make clean      remove .venv and all that was built; logs and agents stay'

install: $(INSTALLED)

# Where the Debian package python3-venv is missing, venv cannot install pip: ours does it instead.
# The old extension goes first, so that it cannot outlive its source when compiling fails.
$(INSTALLED): requirements.txt pyproject.toml $(wildcard setup.py native/*)
	@if ! $(BIN)/python $(NEW_ENOUGH) 2>/dev/null || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		$(FIND_PYTHON); python=$$(find_python) || exit 1; \
		echo "Making $(VENV) with $$("$$python" --version)."; \
		if "$$python" -c 'import ensurepip' 2>/dev/null; then \
			"$$python" -m venv --clear $(VENV); \
		else \
			"$$python" -m venv --clear --without-pip $(VENV) \
				&& "$$python" -m pip --python $(BIN)/python install pip; \
		fi; \
	fi
	@rm -f mario_a3c/_native.*.so
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	@test ! -e setup.py || $(BIN)/python -c 'import mario_a3c._native' 2>/dev/null || echo "The C++ engine" \
		"was not built; the slower nes-py is used. To see why and try again: $(BIN)/pip install -v -e ." >&2
	@touch $@

train: $(INSTALLED)
	$(BIN)/python train.py --world $(WORLD) --stage $(STAGE) $(ARGS)

lint: $(INSTALLED)
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy

test: lint
	$(BIN)/python -m pytest $(ARGS)

slow-test: $(INSTALLED)
	$(BIN)/python -m pytest -m "slow and not gpu" --timeout 3600 $(ARGS)

gpu-test: $(INSTALLED)
	$(BIN)/python -m pytest -m gpu --timeout 3600 $(ARGS)

clean:
	rm -rf $(VENV) build *.egg-info mario_a3c/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
