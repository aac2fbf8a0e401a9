"""Notebooks run top to bottom under nbmake; what is stored of their outputs is small and of no machine.

Those that pretrain do it here for two epochs, which is enough to see that every cell runs on what the ones
before left; the slow tests run them as they are, as `notebooks/store.py` did for the outputs that are stored.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PATHS = re.compile(r"(?<![\w.:/~-])/(?:home|root|work|tmp|usr|opt|var|mnt|srv|Users)/\w|[A-Z]:\\\\")
EPOCHS = re.compile(r"\bepochs=\d+")
pytestmark = pytest.mark.timeout(900)  # seconds, on a busy machine
each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def run_notebook(notebook: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a copy of a notebook with ``pytest --nbmake`` in ``folder``, on a kernel of this very Python."""
    place = folder / "run"
    place.mkdir()
    copy = shutil.copy(notebook, place)
    # Away from the settings of pytest that this test runs under, and from kernels that a user installed.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST", "JUPYTER", "INFOALIGN_"))
    }
    for name in (
        "JUPYTER_DATA_DIR",
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_RUNTIME_DIR",
        "IPYTHONDIR",
        "MPLCONFIGDIR",
    ):
        environment[name] = str(folder / name.lower())
    environment["JUPYTER_PREFER_ENV_PATH"] = "1"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--nbmake",
        "--nbmake-kernel=python3",
        "--nbmake-timeout=600",
    ]
    command += ["-p", "no:cacheprovider", "--rootdir", str(place), copy]
    return subprocess.run(command, capture_output=True, text=True, cwd=place, env=environment, check=False)


@each_notebook
def test_notebook_runs(notebook: Path, tmp_path: Path) -> None:
    short, found = EPOCHS.subn("epochs=2", notebook.read_text(encoding="utf-8"))
    assert found == (0 if notebook.stem.startswith("01") else 1)
    copy = tmp_path / notebook.name
    copy.write_text(short, encoding="utf-8")
    finished = run_notebook(copy, tmp_path)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "1 passed" in finished.stdout


@pytest.mark.slow
@each_notebook
def test_notebook_runs_as_it_is(notebook: Path, tmp_path: Path) -> None:
    finished = run_notebook(notebook, tmp_path)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "1 passed" in finished.stdout


def test_a_failing_cell_fails_the_run_on_a_kernel_of_this_python(tmp_path: Path) -> None:
    cells = [
        nbformat.v4.new_code_cell("import sys, pathlib; pathlib.Path('seen').write_text(sys.executable);"),
        nbformat.v4.new_code_cell("raise ValueError('this cell is broken')"),
    ]
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "broken.ipynb")
    finished = run_notebook(tmp_path / "broken.ipynb", tmp_path)
    assert finished.returncode == 1, finished.stdout + finished.stderr
    assert "this cell is broken" in finished.stdout
    assert Path((tmp_path / "run" / "seen").read_text()).samefile(sys.executable)
    assert sys.prefix in (tmp_path / "run" / "seen").read_text()


@each_notebook
def test_stored_outputs_are_small_and_whole(notebook: Path) -> None:
    store = _store()
    text = notebook.read_text(encoding="utf-8")
    assert len(text.encode()) <= store.MOST_OF_A_NOTEBOOK
    assert PATHS.findall(text) == []
    stored = json.loads(text)
    nbformat.validate(stored)
    assert stored["metadata"]["kernelspec"]["name"] == "python3"
    cells = [cell for cell in stored["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 3
    counts = [cell["execution_count"] for cell in cells]
    assert counts in (
        list(range(1, len(cells) + 1)),
        [None] * len(cells),
    )  # run once, in order, or not at all
    for output in (output for cell in cells for output in cell["outputs"]):
        assert output["output_type"] != "error", output
        assert output.get("name") != "stderr", output
        assert len(output.get("data", {}).get("image/png", "")) <= store.MOST_OF_A_PICTURE


def test_paths_of_machines_are_seen() -> None:
    for text in ('"/home/me/graph"', "'/tmp/x'", "at /Users/me", '"C:\\\\Users"'):
        assert PATHS.search(text), text
    for text in ("image/png", "https://a.org/home/x", "infoalign_dgl/var/x", "~/work/x"):
        assert not PATHS.search(text), text


def test_all_four_notebooks_are_there() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04"]


def test_large_pictures_and_warnings_are_not_stored() -> None:
    store = _store()
    png = {"image/png": _noise(400), "text/plain": "<Figure>"}
    small = {"image/png": _noise(20), "text/plain": "<Figure>"}
    outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="careful"),
        nbformat.v4.new_output("stream", name="stdout", text="done"),
        nbformat.v4.new_output("display_data", data=png),
        nbformat.v4.new_output("display_data", data=small),
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=outputs)])
    store.shrink(notebook)
    kept = notebook.cells[0].outputs
    assert [sorted(output.get("data", output).keys()) for output in kept] == [
        ["name", "output_type", "text"],
        ["text/plain"],
        ["image/png", "text/plain"],
    ]


def _noise(side: int) -> str:
    """A picture that does not compress, as base64."""
    held = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(held, format="png")
    return base64.b64encode(held.getvalue()).decode()


def _store():
    """The module notebooks/store.py."""
    spec = importlib.util.spec_from_file_location("store", FOLDER / "store.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
