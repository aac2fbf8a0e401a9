"""Control wells and conditions: what a table says of them stands in the spec, commented out, ready to use."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from infoalign_dgl.context.check import check_spec
from infoalign_dgl.context.means import Means
from infoalign_dgl.context.recognition.recognize import recognize
from infoalign_dgl.context.recognition.spec_text import spec_text
from infoalign_dgl.context.spec import read_spec

CHAINS = ["C" * length + "O" for length in range(1, 28)]
IDS = [f"BRD-K{number:04d}" for number in range(27)]
CONTROLS, WELLS = 32, 140
# 32 wells of DMSO and four of each compound, in turn on two plates
WHO = ["DMSO"] * CONTROLS + IDS * 4
PLATES = ["P1", "P2"] * (WELLS // 2)


def tables(folder, *, who=WHO, **columns):
    ids, smiles = [*IDS, who[0]], [*CHAINS, "CS(C)=O"]
    pd.DataFrame({"broad_id": ids, "smiles": smiles}).to_csv(folder / "library.csv", index=False)
    values = np.random.default_rng(0).normal(size=(len(who), 8))
    frame = pd.DataFrame(values, columns=[f"{part}_f{n}" for part in ("Cells", "Nuclei") for n in range(4)])
    told = {"Metadata_broad_sample": who, "Metadata_Plate": PLATES[: len(who)], **columns}
    pd.DataFrame({**told, **frame}).to_csv(folder / "wells.csv", index=False)
    found = recognize([folder / name for name in ("library.csv", "wells.csv")], ["library.csv", "wells.csv"])
    (folder / "spec.toml").write_text(spec_text(found))
    return next(one for one in found if one.file == "wells.csv")


def with_proposals(folder):
    """The spec with the lines of keys that stand there commented out."""
    path = folder / "spec.toml"
    lines = path.read_text().splitlines()
    keys = ("# controls = ", "# normalize = ", "# where_not = ", "# plate = ")
    path.write_text("\n".join(line.removeprefix("# ") if line.startswith(keys) else line for line in lines))
    return path


JUMP = {"Metadata_pert_type": ["control"] * CONTROLS + ["trt"] * (WELLS - CONTROLS)}
JUMP_BOTH = {  # positive controls are of the type control too
    "Metadata_pert_type": ["control"] * (CONTROLS + 27) + ["trt"] * (WELLS - CONTROLS - 27),
    "Metadata_control_type": ["negcon"] * CONTROLS + ["poscon_cp"] * 27 + [""] * (WELLS - CONTROLS - 27),
}
VOCABULARIES = {
    "jump": (JUMP, {"Metadata_pert_type": ["control"]}),
    "jump, both columns": (JUMP_BOTH, {"Metadata_control_type": ["negcon"]}),
    "broad": (
        {"pert_type": ["ctl_vehicle"] * CONTROLS + ["trt_cp"] * (WELLS - CONTROLS)},
        {"pert_type": ["ctl_vehicle"]},
    ),
    "bray": (
        {"Metadata_ASSAY_WELL_ROLE": ["mock"] * CONTROLS + ["treated"] * (WELLS - CONTROLS)},
        {"Metadata_ASSAY_WELL_ROLE": ["mock"]},
    ),
    "two spellings": (
        {"kind": ["DMSO", "Negative control"] * (CONTROLS // 2) + ["compound"] * (WELLS - CONTROLS)},
        {"kind": ["DMSO", "Negative control"]},
    ),
    "none, but the id": ({}, {"Metadata_broad_sample": ["DMSO"]}),
}


@pytest.mark.parametrize("name", VOCABULARIES)
def test_control_wells_are_proposed_with_the_keys_that_use_them(tmp_path, name):
    columns, expected = VOCABULARIES[name]
    found = tables(tmp_path, who=["X-1" if columns and one == "DMSO" else one for one in WHO], **columns)
    assert found.proposed == {"controls": expected, "normalize": "robust-mad"}
    (why,) = [reason for reason in found.reasons if "control" in reason]
    assert f"{CONTROLS} of the {WELLS} rows" in why
    assert "on each of 2 plates" in why
    spec = read_spec(tmp_path / "spec.toml")
    assert spec.morphology[0].controls == {}
    spec = read_spec(with_proposals(tmp_path))
    assert (spec.morphology[0].controls, spec.morphology[0].normalize) == (expected, "robust-mad")
    checked = check_spec(tmp_path / "spec.toml", means=Means(num_workers=1))
    assert checked.problems == []
    (account,) = [account for account in checked.tables if account.table == "wells.csv"]
    assert account.dropped == {"control well": CONTROLS}


@pytest.mark.parametrize("share", [8, 32, 70])
def test_up_to_half_of_the_wells_may_be_a_nameless_control(tmp_path, share):
    who = ["X-1"] * share + [IDS[n % 27] for n in range(WELLS - share)]
    found = tables(tmp_path, who=who)
    likely = share > 8  # no more than others have
    assert found.proposed.get("controls") == ({"Metadata_broad_sample": ["X-1"]} if likely else None)


def test_plates_without_controls_would_lose_their_rows_and_it_says_so(tmp_path):
    plates = ["P1"] * CONTROLS + ["P1", "P2", "P3"] * ((WELLS - CONTROLS) // 3)
    found = tables(tmp_path, Metadata_Plate=plates)
    (why,) = [reason for reason in found.reasons if "control" in reason]
    assert "on 1 of 3 plates" in why


def test_structures_of_dmso_and_plates_without_any_control(tmp_path):
    smiles = ["CS(C)=O"] * CONTROLS + CHAINS * 4
    values = {f"Cells_f{n}": np.random.default_rng(n).normal(size=WELLS) for n in range(4)}
    pd.DataFrame({"smiles": smiles, **values}).to_csv(tmp_path / "wells.csv", index=False)
    (found,) = recognize([tmp_path / "wells.csv"], ["wells.csv"])
    assert found.proposed["controls"] == {"smiles": ["CS(C)=O"]}
    found = tables(tmp_path, who=["Y-1", *(IDS[n % 27] for n in range(WELLS - 1))])
    assert found.proposed == {}
    assert not any("control" in reason for reason in found.reasons)


def test_guides_have_control_wells_by_plate_too(tmp_path):
    genes = [str(1000 + n) for n in range(27)]
    columns = {
        "Metadata_NCBI_Gene_ID": [None] * CONTROLS + genes * 4,
        "Metadata_Plate": PLATES,
        "Metadata_pert_type": ["negcon"] * CONTROLS + ["trt"] * (WELLS - CONTROLS),
    }
    values = {f"Cells_f{n}": np.random.default_rng(n).normal(size=WELLS) for n in range(4)}
    pd.DataFrame({**columns, **values}).to_csv(tmp_path / "crispr.csv", index=False)
    pd.DataFrame({"smiles": CHAINS}).to_csv(tmp_path / "library.csv", index=False)
    names = ["crispr.csv", "library.csv"]  # a graph has molecules
    library, found = recognize([tmp_path / name for name in names], names)
    assert found.proposed == {
        "plate": "Metadata_Plate",
        "controls": {"Metadata_pert_type": ["negcon"]},
        "normalize": "robust-mad",
    }
    (tmp_path / "spec.toml").write_text(spec_text([library, found]))
    table = read_spec(with_proposals(tmp_path)).gene_morphology[0]
    assert (table.plate, table.controls) == ("Metadata_Plate", {"Metadata_pert_type": ["negcon"]})


def test_expression_has_no_normalization_and_leaves_controls_out(tmp_path):
    values = {str(1000 + n): np.random.default_rng(n).normal(size=WELLS) for n in range(6)}
    smiles = ["CS(C)=O"] * CONTROLS + CHAINS * 4
    pert = ["ctl_vehicle"] * CONTROLS + ["trt_cp"] * (WELLS - CONTROLS)
    frame = pd.DataFrame({"smiles": smiles, "pert_type": pert, **values})
    frame.to_csv(tmp_path / "level5.csv", index=False)
    (found,) = recognize([tmp_path / "level5.csv"], ["level5.csv"])
    assert found.section == "expression"
    assert found.proposed == {"where_not": {"pert_type": ["ctl_vehicle"]}}


def test_a_cell_line_that_tells_rows_of_a_molecule_apart_is_pointed_out(tmp_path):
    lines = ["MCF7"] * 16 + ["A549"] * 16 + ["MCF7"] * 54 + ["A549"] * 54
    found = tables(tmp_path, cell_id=lines, Metadata_cell_line=[f"{line}-2" for line in lines])
    (why,) = [reason for reason in found.reasons if "cell_id" in reason]
    assert "'A549' (70 rows) and 'MCF7' (70 rows)" in why
    assert 'where_not = { cell_id = ["MCF7"] }' in why
    assert "a space of its own" in why
    # A line for each molecule, or one line for all, tells nothing apart.
    for lines in (["MCF7"] * WELLS, ["MCF7" if one in IDS[:9] else "A549" for one in WHO]):
        assert not any("cell_id" in reason for reason in tables(tmp_path, cell_id=lines).reasons)


def test_times_are_conditions_and_several_are_all_left_out_for_one(tmp_path):
    hours = (["6 h", "24 h", "48 h"] * 47)[:WELLS]
    why = " ".join(tables(tmp_path, pert_itime=hours).reasons)
    assert "'24 h' (47 rows), '48 h' (46 rows) and '6 h' (47 rows)" in why
    assert 'where_not = { pert_itime = ["48 h", "6 h"] }' in why
