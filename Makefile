# make demo   train, judge and show the embedded sample task
# make test   lint, types and tests
# make debian   install the Debian packages that some tests need; without them these tests skip
# make PIP_ARGS='…' …   hand options to pip, for instance another index for torch

PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin

ENGINE := src/smidgen/engine

.PHONY: demo test engine debian clean

demo: engine
	$(BIN)/smidgen demo

test: engine
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal --cov --cov-report=term

# All but torch is held to the hashes in requirements.lock; torch comes from the index the user chooses.
$(VENV)/.installed: pyproject.toml constraints.txt requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) --require-hashes --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) --constraint constraints.txt --editable '.[train,pages,ocr,search,export,keras,web,zarr,scaling,ocrmypdf,torch,dev]'
	touch $@

# Installing compiles the engine, with a compiler that pip brings where the system has none; after a change in its source
# this does it again.
engine: $(VENV)/.installed
	@library=$$(ls $(ENGINE)/engine.so $(ENGINE)/engine.dylib $(ENGINE)/engine.dll 2> /dev/null); \
	if [ -z "$$library" ] || [ -n "$$(find $(ENGINE) -name '*.[ch]' -newer "$$library")" ]; then \
		$(BIN)/python $(ENGINE)/build.py; \
	fi

# What the tests of exports, pages and wheels run: C compilers, one of them for microcontrollers, a browser, a reader of
# text, a cleaner of pages, another processor and two more C libraries. Needs root.
debian:
	@missing=; for part in gcc clang chromium unpaper; do command -v $$part > /dev/null || missing="$$missing $$part"; done; \
	command -v arm-none-eabi-gcc > /dev/null && ls /usr/include/newlib/math.h > /dev/null 2>&1 || \
		missing="$$missing gcc-arm-none-eabi libnewlib-dev"; \
	command -v tesseract > /dev/null || missing="$$missing tesseract-ocr"; \
	command -v qemu-aarch64 > /dev/null || missing="$$missing qemu-user"; \
	ls /usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1 > /dev/null 2>&1 || missing="$$missing libc6-arm64-cross"; \
	ls /lib/ld-musl-x86_64.so.1 > /dev/null 2>&1 || missing="$$missing musl"; \
	if [ -n "$$missing" ]; then \
		echo "installing$$missing libc6-dev with apt-get"; apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing libc6-dev > /dev/null; \
	fi

clean:
	rm -rf $(VENV) runs dist .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
