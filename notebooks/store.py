"""Run notebooks and keep their outputs small: `python notebooks/store.py notebooks/*.ipynb`.

Each runs in an empty folder, so that nothing is written beside it. Pictures are drawn small and get a palette
of few colours; one that is still too large is left out, as are warnings and progress. A test holds this.
"""

from __future__ import annotations

import base64
import io
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

MOST_OF_A_PICTURE = 30_000  # bytes, as in the file
MOST_OF_A_NOTEBOOK = 150_000
DOTS_PER_INCH = 80
COLOURS = 48
TIMEOUT = 600  # seconds for a cell


def run(path: Path) -> nbformat.NotebookNode:
    """Run a notebook in an empty folder."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        # matplotlib reads this file where a program runs.
        (Path(folder) / "matplotlibrc").write_text(f"figure.dpi: {DOTS_PER_INCH}\n", encoding="utf-8")
        NotebookClient(notebook, timeout=TIMEOUT, resources={"metadata": {"path": folder}}).execute()
    return notebook


def shrink(notebook: nbformat.NotebookNode) -> None:
    """Keep of each cell what it printed and showed, and of pictures a small copy."""
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type != "code":
            continue
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" not in data:
                continue
            data["image/png"] = _small(data["image/png"])
            if len(data["image/png"]) > MOST_OF_A_PICTURE:
                del data["image/png"]
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


def _small(encoded: str) -> str:
    """Draw a picture again with a palette; an octree keeps small areas of another colour."""
    picture = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")
    held = io.BytesIO()
    few = picture.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(held, format="png", optimize=True)
    return base64.b64encode(held.getvalue()).decode()


def main(paths: list[str]) -> None:
    """Run each notebook and write it back with its outputs."""
    os.environ["TQDM_DISABLE"] = "1"
    for path in map(Path, paths):
        notebook = run(path)
        shrink(notebook)
        text = nbformat.writes(notebook) + "\n"
        if len(text) > MOST_OF_A_NOTEBOOK:
            sys.exit(f"{path} would have {len(text):,} bytes: let it show less, or smaller figures")
        path.write_text(text, encoding="utf-8")
        print(f"{path}: {len(text):,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
