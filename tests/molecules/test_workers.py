import os
import subprocess
import sys

import pytest

from infoalign_dgl.errors import InfoAlignError
from infoalign_dgl.molecules._workers import FEW_ROWS, map_chunks


def test_order_is_kept():
    rows = list(range(3 * FEW_ROWS))
    chunks = map_chunks(sorted, rows, num_workers=2)
    assert [value for chunk in chunks for value in chunk] == rows


def test_a_worker_that_dies_is_an_error_that_says_where():
    with pytest.raises(
        InfoAlignError, match=r"a worker process ended with status 7 while it worked on rows \d+"
    ):
        map_chunks(_Die(), [7] * FEW_ROWS, num_workers=2)


class _Die:
    def __reduce__(self):
        return os._exit, (7,)  # unpickling it, in the worker, ends the worker

    def __call__(self, rows):
        raise AssertionError("never called here")


def test_error_here_stops_the_rest():
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_chunks(sorted, list(range(20 * FEW_ROWS)), num_workers=2, progress=interrupt)


def test_num_workers_must_be_positive():
    with pytest.raises(ValueError, match="'num_workers' must be at least 1"):
        map_chunks(sorted, [1], num_workers=0)


def test_an_unguarded_script_works_and_workers_stay_light(tmp_path):
    """A main script is not imported again by workers, and neither is torch."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from infoalign_dgl.molecules import standardize\n"
        "print('top level')\n"
        "result = standardize([f'[{n}CH4]' for n in range(1, 2101)], num_workers=2)\n"
        "assert None not in result.smiles\n"
        "assert 'torch' not in sys.modules and 'dgl' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == "top level\n"
    assert done.stderr == ""
