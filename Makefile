# `make demo` and `make test` are the two commands; both work from a fresh clone with Python 3.11, a C++ compiler and pip.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
NATIVE := setup.py $(shell find csrc -type f -not -path '*/tests/*')
WORKERS ?= 2
# One thread per test process: two that each take every core wait for one another most of the time.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)
# A test that hangs shows what each of its threads is doing, and ends (seconds).
LIMIT := -o faulthandler_timeout=240 --timeout 300 --timeout-method thread

.PHONY: demo docs test test-slow install install-browser lint types test-cpp test-python test-dgl1 clean

demo: $(VENV)/.installed
	$(BIN)/infoalign-dgl demo -o build/demo --overwrite

test: lint types test-cpp test-python test-dgl1

# The exported number reaches test-cpp, on which test depends: the same tests, and a longer run of the fuzz target.
test-slow: export FUZZ_RUNS := 4000000
test-slow: test
	$(PYTEST) -m slow

install: $(VENV)/.installed
	@echo "Installed. Next: source $(VENV)/bin/activate && infoalign-dgl doctor"

# The browser that tests open pages in: Debian's package, where there is none yet.
install-browser:
	command -v chromium >/dev/null || { apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core >/dev/null; }

$(VENV)/.installed: pyproject.toml constraints.txt $(NATIVE)
	@echo "Installing some GB of packages into $(VENV) and building the kernels: minutes in which pip says little."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	touch $@

# build/docs/index.html
docs: $(VENV)/.installed
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

test-cpp:
	csrc/tests/run.sh

test-python: $(VENV)/.installed
	$(PYTEST) -m 'not slow' $(LIMIT)

# The other DGL release that works beside a current torch, in an environment of its own that borrows everything else from $(VENV).
.venv-dgl1/.installed: $(VENV)/.installed
	$(BIN)/python -m venv .venv-dgl1
	$(BIN)/python -c "import sysconfig; print('import site; site.addsitedir(%r)' % sysconfig.get_path('purelib'))" \
	  > $$(.venv-dgl1/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/borrowed.pth
	.venv-dgl1/bin/python -m pip install --quiet --no-deps dgl==1.1.3
	touch $@

test-dgl1: .venv-dgl1/.installed
	INFOALIGN_EXPECT_DGL=1.1.3 .venv-dgl1/bin/python -m pytest -m 'not slow' $(LIMIT) tests/test_dgl.py tests/context/test_graph.py tests/models

clean:
	rm -rf build dist *.egg-info infoalign_dgl/*.so $(VENV) .venv-dgl1
