"""Which column of a table of molecules has their ids: repeats, and several columns that others refer to."""

from __future__ import annotations

import numpy as np
import pandas as pd

from infoalign_dgl.context.check import check_spec
from infoalign_dgl.context.means import Means
from infoalign_dgl.context.recognition.recognize import recognize
from infoalign_dgl.context.recognition.spec_text import spec_text

CHAINS = ["C" * length + "O" for length in range(1, 31)]
IDS = [f"BRD-K{number:04d}" for number in range(30)]
NAMES = [f"name {number} of it" for number in range(30)]


def library(folder, ids, names, smiles, file="library.csv"):
    frame = {"Common Name": names, "broad_id": ids, "SMILES": smiles}
    pd.DataFrame(frame).to_csv(folder / file, index=False)


def painting(folder, file, column, cells, part="Cells"):
    values = np.random.default_rng(len(file)).normal(size=(len(cells), 6))
    frame = pd.DataFrame(values, columns=[f"{part}_f{n}" for n in range(6)])
    frame.insert(0, column, cells)
    frame.to_csv(folder / file, index=False)


def spec_of(folder, *names):
    found = recognize([folder / name for name in names], names)
    (folder / "spec.toml").write_text(spec_text(found))
    return {one.file: one for one in found}


def test_a_repurchased_compound_does_not_cost_its_tables_the_ids(tmp_path):
    library(tmp_path, [*IDS, IDS[0]], [*NAMES, "name 0, second batch"], [*CHAINS, CHAINS[0]])
    painting(tmp_path, "cells.csv", "Metadata_broad_sample", IDS)
    found = spec_of(tmp_path, "library.csv", "cells.csv")
    assert found["library.csv"].keys["id"] == "broad_id"
    assert not found["cells.csv"].off
    assert (found["cells.csv"].keys["id"], found["cells.csv"].keys["ids_of"]) == (
        "Metadata_broad_sample",
        "library",
    )
    checked = check_spec(tmp_path / "spec.toml", means=Means(num_workers=1))
    assert checked.problems == []
    assert {account.table: account.used for account in checked.tables} == {"library.csv": 31, "cells.csv": 30}


def test_one_id_of_two_structures_does_not_either(tmp_path):
    library(tmp_path, [*IDS, IDS[0]], [*NAMES, "a salt of it"], [*CHAINS, f"{CHAINS[0]}.Cl"])
    painting(tmp_path, "cells.csv", "Metadata_broad_sample", IDS)
    found = spec_of(tmp_path, "library.csv", "cells.csv")
    assert found["library.csv"].keys["id"] == "broad_id"
    assert not found["cells.csv"].off


def test_repeats_of_one_structure_do_not_count(tmp_path):
    """Five batches of each compound: its id is repeated with its structure, and a vendor with others."""
    frame = {"vendor": ["A", "B", "C"] * 50, "batch": range(150), "compound": IDS * 5, "SMILES": CHAINS * 5}
    pd.DataFrame(frame).to_csv(tmp_path / "batches.csv", index=False)
    painting(tmp_path, "cells.csv", "who", IDS)
    found = spec_of(tmp_path, "batches.csv", "cells.csv")
    assert found["batches.csv"].keys["id"] == "compound"
    assert not found["cells.csv"].off


def test_the_column_that_most_tables_refer_to_has_the_ids(tmp_path):
    library(tmp_path, IDS, NAMES, CHAINS)
    painting(tmp_path, "a.csv", "compound", NAMES)
    painting(tmp_path, "b.csv", "compound", IDS[:20], "Nuclei")
    painting(tmp_path, "c.csv", "compound", IDS[:10], "Cytoplasm")
    for names in (("library.csv", "a.csv", "b.csv", "c.csv"), ("c.csv", "b.csv", "a.csv", "library.csv")):
        found = spec_of(tmp_path, *names)
        assert found["library.csv"].keys["id"] == "broad_id"
        assert {name: one.off for name, one in found.items()} == {
            "library.csv": False,
            "a.csv": True,
            "b.csv": False,
            "c.csv": False,
        }
        (why,) = [reason for reason in found["a.csv"].reasons if "no column has structures" in reason]
        assert "'Common Name' of 'library.csv' has 100% of the ids in 'compound'" in why
        assert "list 'library.csv' once more" in why


def test_what_comes_nearest_is_named(tmp_path):
    library(tmp_path, IDS, NAMES, CHAINS)
    painting(tmp_path, "few.csv", "compound", [*IDS[:3], *[f"X{n}" for n in range(17)]])
    found = spec_of(tmp_path, "library.csv", "few.csv")
    assert found["few.csv"].off
    assert (
        "nearest: 'broad_id' of 'library.csv' has 15% of the ids in 'compound'" in found["few.csv"].reasons[1]
    )
    # An id of several structures is none, but says what is amiss.
    library(tmp_path, [IDS[n // 3] for n in range(30)], NAMES, CHAINS)
    painting(tmp_path, "all.csv", "compound", IDS[:10])
    found = spec_of(tmp_path, "library.csv", "all.csv")
    assert found["all.csv"].off
    why = found["all.csv"].reasons[1]
    assert "'broad_id' of 'library.csv' has 100% of the ids in 'compound'" in why
    assert "several structures" in why


def test_a_drug_with_several_targets_makes_pairs(tmp_path):
    genes = ["1017", "1019", "5290", "7157", "672", "675"]
    rows = [(drug, smiles, gene) for drug, smiles in zip(IDS[:6], CHAINS[:6], strict=True) for gene in genes]
    pd.DataFrame(rows, columns=["drug", "smiles", "target_gene"]).to_csv(tmp_path / "t.csv", index=False)
    found = spec_of(tmp_path, "t.csv")
    assert found["t.csv"].section == "molecule_gene"
