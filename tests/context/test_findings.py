"""What a check says of rows that are left out."""

from __future__ import annotations

import pytest

from infoalign_dgl.context.findings import account_findings
from infoalign_dgl.context.identity import NO_STRUCTURE
from infoalign_dgl.context.sections.expression import ExpressionTable
from infoalign_dgl.context.sections.morphology import MorphologyTable
from infoalign_dgl.context.sections.networks import MoleculeGeneTable
from infoalign_dgl.sources.rows import TableAccount

MORPHOLOGY = MorphologyTable(file="t.csv", space="s", id="pert", ids_of="mine")
EXPRESSION = ExpressionTable(file="t.csv", space="s", id="pert", ids_of="mine")
EDGES = MoleculeGeneTable(file="t.csv", kind="binds", gene="g", id="pert", ids_of="mine")
ADVICE = "check that ids_of names the table that has these ids"


def said(table, kind, unknown, reason="unknown molecule id"):
    account = TableAccount("t.csv", kind, 10_000, used=5000)
    for row, name in enumerate(unknown, start=2):
        account.drop(reason, row, name)
    (found,) = account_findings(account, table, whole=True)
    return found.message


@pytest.mark.parametrize("count", [32, 1500])  # no more than 1,000 are listed
def test_an_id_of_most_unknown_rows_may_be_a_control(count):
    message = said(MORPHOLOGY, "morphology", ["X", *["DMSO"] * count])
    listed = min(count, 999)
    of = "them" if count == 32 else "the first 1,000"
    assert f"; 'DMSO' has {listed} of {of}: if these are control wells, " in message
    assert 'controls = { pert = ["DMSO"] } with normalize = "robust-mad"' in message
    assert 'where_not = { pert = ["DMSO"] }' in message
    assert ADVICE in message


def test_without_normalization_controls_can_be_left_out():
    message = said(EXPRESSION, "expression", ["DMSO"] * 20)
    assert 'if these are control wells, where_not = { pert = ["DMSO"] } leaves them out' in message
    assert "normalize" not in message


def test_ids_that_differ_are_a_matter_of_the_table():
    for table, kind, unknown in (
        (MORPHOLOGY, "morphology", [f"X{n}" for n in range(20)]),
        (MORPHOLOGY, "morphology", ["X"]),  # one row is no majority
        (EDGES, "molecule_gene", ["X"] * 20),  # edges have no wells
    ):
        message = said(table, kind, unknown)
        assert "control wells" not in message
        assert message.endswith(f": {ADVICE}")


def test_a_frequent_value_hides_no_rare_ones():
    message = said(MORPHOLOGY, "morphology", [*["DMSO"] * 12, "CPD_004", "DMSO", "CPD-0O5"])
    assert "rows 2 'DMSO', 14 'CPD_004', 16 'CPD-0O5', 3 'DMSO', 4 'DMSO': " in message


def test_ids_whose_structure_cannot_be_used_are_no_matter_of_ids_of():
    message = said(MORPHOLOGY, "morphology", ["4", "7"], NO_STRUCTURE)
    assert message.endswith(
        "would lose 2 of 10,000 rows: molecule whose structure cannot be used ('pert'), rows 2 '4', 3 '7': "
        "correct the structure in the table that ids_of names"
    )
    message = said(MORPHOLOGY, "morphology", ["DMSO"] * 20, NO_STRUCTURE)  # listed, without a structure
    assert "'DMSO' has 20 of them: if these are control wells, " in message
