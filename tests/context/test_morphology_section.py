"""Tables of morphology: pycytominer's convention, control wells, labels, rules; written and real files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from infoalign_dgl.context import build_context_graph
from infoalign_dgl.context.sections.base import TableReader
from infoalign_dgl.context.sections.morphology import MorphologyTable, read_morphology
from infoalign_dgl.context.spec import read_spec
from infoalign_dgl.context.spec_rows import read_spec_rows
from infoalign_dgl.errors import SpecError
from infoalign_dgl.sources.rows import SpaceRules

# Two plates with their controls, a third without; columns that only look like features.
WELLS = """Metadata_JCP2022,Metadata_Plate,Metadata_Well,Metadata_type,Metadata_conc,\
Cells_Area,Image_FileName_DNA,Image_Metadata_Plate,Nuclei_X,Cytoplasm_Y,Metadata_Cells_Count,Other_Z
DMSO,p1,A01,negcon,,1,a.tif,1,10,5,3,1
DMSO,p1,A02,negcon,,2,a.tif,1,20,5,3,1
DMSO,p1,A03,negcon,,4,a.tif,1,30,5,3,1
c1,p1,B01,trt,1.0,10,a.tif,1,40,6,3,1
c2,p1,B02,trt,0.5,0,a.tif,1,nan,5,3,1
DMSO,p2,A01,negcon,,100,a.tif,2,1,7,3,1
DMSO,p2,A02,negcon,,300,a.tif,2,3,8,3,1
c1,p2,B01,trt,10,200,a.tif,2,2,9,3,1
c2,p3,B01,trt,5,200,a.tif,3,2,9,3,1
c1,p1,B03,trt,1.0,10,a.tif,1,40,6,3,1
"""
KEYS = {"file": "wells.csv", "space": "wells", "id": "Metadata_JCP2022", "ids_of": "mine"}


def read(folder, **keys):
    (folder / "wells.csv").write_text(WELLS)
    table = MorphologyTable(**(KEYS | keys))
    return read_morphology(TableReader("morphology", table, folder), table)


def test_features_by_pycytominers_convention(tmp_path):
    rows = read(tmp_path)
    assert rows.columns == ["Cells_Area", "Nuclei_X", "Cytoplasm_Y"]
    assert rows.values.shape == (10, 3)
    assert rows.values[3].tolist() == [10, 40, 6]
    notes = rows.account.notes
    assert notes["columns_without_numbers"] == ["Image_FileName_DNA"]
    assert notes["duplicated_rows"] == {"rows": 2, "listed": [[10, 9], [11, 5]]}
    assert rows.labels == {}
    assert rows.rules == SpaceRules()


def test_named_features_are_taken_as_they_are_named(tmp_path):
    assert read(tmp_path, features=["Other_*", "Nuclei_X"]).columns == ["Nuclei_X", "Other_Z"]


def test_normalized_by_plate_and_without_the_control_wells(tmp_path):
    rows = read(
        tmp_path,
        plate="Metadata_Plate",
        well="Metadata_Well",
        dose="Metadata_conc",
        controls={"Metadata_type": ["negcon"]},
        normalize="robust-mad",
    )
    # Plate 1: medians 2 and 20, MAD 1 and 10; in the third column the controls do not differ.
    # Plate 2: medians 200, 2 and 7.5, MAD 100, 1 and 0.5.
    expected = np.array([[8, 2, np.nan], [-2, np.nan, np.nan], [0, 0, 3], [8, 2, np.nan]])
    np.testing.assert_allclose(rows.values, expected / 1.4826, rtol=1e-12)
    assert rows.numbers.tolist() == [5, 6, 9, 11]
    assert rows.molecules.values == ["c1", "c2", "c1", "c1"]
    assert rows.labels == {
        "plate": ["p1", "p1", "p2", "p1"],
        "well": ["B01", "B02", "B01", "B03"],
        "dose": ["1", "0.5", "10", "1"],
    }
    account = rows.account
    assert account.dropped == {"control well": 5, "fewer than 2 control wells on its plate": 1}
    assert account.listed["fewer than 2 control wells on its plate"] == [[10, "p3"]]
    assert account.notes["normalization"] == {
        "method": "(x - median) / (1.4826 MAD) of the control wells",
        "controls": 5,
        "plates": 3,
        "columns_where_controls_do_not_differ": {"p1": 1},
    }


def test_profiles_of_genes_are_normalized_too(tmp_path):
    text = WELLS.replace("Metadata_JCP2022", "gene").replace("\nc1,", "\n1017,").replace("\nc2,", "\n7157,")
    (tmp_path / "orf.csv").write_text(text)
    (tmp_path / "m.csv").write_text("id,smiles\nc1,CCO\n")
    (tmp_path / "spec.toml").write_text(
        '[[molecules]]\nname = "mine"\nfile = "m.csv"\nid = "id"\nsmiles = "smiles"\n'
        '[[gene_morphology]]\nfile = "orf.csv"\nspace = "orf"\ngene = "gene"\nplate = "Metadata_Plate"\n'
        'controls = { gene = ["DMSO"] }\nnormalize = "robust-mad"\nclip = 0.99\n'
    )
    (rows,) = read_spec_rows(read_spec(tmp_path / "spec.toml"), tmp_path).gene_profiles
    assert rows.genes == ["1017", "7157", "1017", "1017"]
    np.testing.assert_allclose(rows.values[:, 0] * 1.4826, [8, -2, 0, 8])
    assert rows.rules == SpaceRules(clip=0.99)


def refusal(folder, text):
    (folder / "wells.csv").write_text(WELLS)
    (folder / "m.csv").write_text("id,smiles\nc1,CCO\nc2,CCC\n")
    table = '[[morphology]]\nfile = "wells.csv"\nspace = "w"\nid = "Metadata_JCP2022"\nids_of = "mine"\n'
    (folder / "spec.toml").write_text(
        '[[molecules]]\nname = "mine"\nfile = "m.csv"\nid = "id"\nsmiles = "smiles"\n'
        + "".join(f"{table}{part}\n" for part in text.split("---"))
    )
    with pytest.raises(SpecError) as error:
        build_context_graph(folder / "spec.toml")
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('normalize = "robust-mad"', "'normalize' and 'controls'"),
        ('controls = { Metadata_type = ["negcon"] }', "go together"),
        ('normalize = "robust-mad"\ncontrols = { Metadata_type = ["neg"] }', "did you mean 'negcon'"),
        (
            'normalize = "robust-mad"\ncontrols = { type = ["neg"] }',
            "controls.type = 'type', which is no column",
        ),
        ('aggregate = "strongest-dose"', "needs 'dose'"),
        ('aggregate = "best"', "key 'aggregate' is 'best'"),
        ("clip = 0.3", "key 'clip' is 0.3"),
        ('plate = "Plat"', "plate = 'Plat', which is no column"),
        ("clip = 0.9\n---clip = 0.99", "are of space 'w' and differ in clip"),
    ],
)
def test_mistakes_are_named(tmp_path, text, said):
    assert said in refusal(tmp_path, text)


def test_no_conventional_column(tmp_path):
    (tmp_path / "wells.csv").write_text("id,harmony_1\nc1,2\n")
    table = MorphologyTable(file="wells.csv", space="w", id="id", ids_of="mine")
    with pytest.raises(SpecError, match=r"begins with one of Cells_, .* name its features"):
        read_morphology(TableReader("morphology", table, tmp_path), table)


def test_real_wells_against_pandas(data_root):
    """The cell injury wells, normalized against DMSO by plate, at the strongest dose of each compound."""
    file = "context/morphology/cell_injury_wells.csv.gz"
    table = MorphologyTable(
        file=file,
        space="cell_injury",
        smiles="Compound SMILES",
        plate="Plate",
        controls={"Compound Name": ["DMSO"]},
        normalize="robust-mad",
    )
    rows = read_morphology(TableReader("morphology", table, data_root), table)
    frame = pd.read_csv(data_root / file, low_memory=False)
    features = [c for c in frame if c.startswith(("Cells_", "Cytoplasm_", "Nuclei_"))]
    assert rows.columns == features
    expected = frame[features].to_numpy(float)
    for plate in frame["Plate"].unique():
        on_plate = (frame["Plate"] == plate).to_numpy()
        controls = expected[on_plate & (frame["Compound Name"] == "DMSO").to_numpy()]
        spread = stats.median_abs_deviation(controls, scale=1 / 1.4826)
        expected[on_plate] = (expected[on_plate] - np.median(controls, axis=0)) / spread
    assert rows.account.num_dropped + len(rows.values) == len(frame) == 5809
    np.testing.assert_allclose(rows.values, expected[rows.numbers - 2], rtol=1e-9, atol=1e-12)


def test_a_graph_of_kept_replicates(tmp_path):
    (tmp_path / "wells.csv").write_text(WELLS)
    (tmp_path / "m.csv").write_text("id,smiles\nc1,CCO\nc2,CCC\n")
    (tmp_path / "spec.toml").write_text(
        '[[molecules]]\nname = "mine"\nfile = "m.csv"\nid = "id"\nsmiles = "smiles"\n'
        '[[morphology]]\nfile = "wells.csv"\nspace = "w"\nid = "Metadata_JCP2022"\nids_of = "mine"\n'
        'plate = "Metadata_Plate"\nwell = "Metadata_Well"\naggregate = "keep"\nmax_missing = 0.3\n'
    )
    assert read_spec(tmp_path / "spec.toml").morphology[0].features is None
    graph = build_context_graph(tmp_path / "spec.toml")
    nodes = graph.nodes["morphology"]
    c1 = nodes[nodes["molecule"] == "LFQSCWFLJHTTHZ"]
    assert c1["key"].tolist() == ["w:LFQSCWFLJHTTHZ", "w:LFQSCWFLJHTTHZ#2", "w:LFQSCWFLJHTTHZ#3"]
    assert c1[["plate", "well"]].to_numpy().tolist() == [["p1", "B01"], ["p1", "B03"], ["p2", "B01"]]
    assert set(nodes["table"]) == {"wells.csv"}
    src, dst, _ = graph.edges(("molecule", "perturbs", "morphology"))
    molecules = graph.nodes["molecule"]["key"].to_numpy()
    assert (molecules[src] == nodes["molecule"].to_numpy()[dst]).all()
    assert len(dst) == len(nodes) == 5
    graph.save(tmp_path / "graph")
    loaded = type(graph).load(tmp_path / "graph")
    pd.testing.assert_frame_equal(loaded.nodes["morphology"], nodes)
