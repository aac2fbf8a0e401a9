from __future__ import annotations

from infoalign_dgl.sources.genes import GeneNames, gene_columns, r_mangled


def test_r_mangling():
    # As make.names prints them in R.
    assert [r_mangled(n) for n in ("HLA-DMA", "7SK", "a b", "ok.name_1", ".2x", "_x")] == [
        "HLA.DMA",
        "X7SK",
        "a.b",
        "ok.name_1",
        "X.2x",
        "X_x",
    ]


def test_symbols_are_found_exactly_before_mangled():
    names = GeneNames()
    names.add("HLA-DMA", "3108")
    names.add("HLA.DMA", "1")  # a symbol that looks like the mangled one of another gene
    names.add("GPER1", "2852")
    names.add_alias("GPER", "2852")
    names.add("GPER1", "99999")  # of a symbol's genes the smallest id holds, before or after
    names.add("GPER1", "12345")
    names.add("ZZZ", "2852")  # of a gene's symbols the first by the alphabet
    assert names.find("HLA.DMA") == "1"
    assert names.find("HLA-DMA") == "3108"
    assert names.find("GPER") == "2852"
    assert names.find("GPER1") == "2852"
    assert names.symbol_of["2852"] == "GPER1"
    assert names.find("nothing") is None


def test_gene_columns_are_found_for_each_gene():
    names = GeneNames()
    names.add("CDK2", "1017")
    names.add_alias("p33", "1017")
    found = gene_columns(["id", "CDK2", "p33"], names)
    assert found.of == {"1017": [1, 2]}
    assert (found.unknown, found.repeated) == (["id"], ["CDK2", "p33"])
    found = gene_columns(["id", "1017", "1017.0", "5"], None)
    assert (found.of, found.repeated) == ({"1017": [1, 2], "5": [3]}, ["1017", "1017.0"])


def test_only_the_genes_asked_for():
    found = gene_columns(["X1017", "id", "5", "7157.0", "7157"], None, {"1017", "7157"})
    assert (found.columns, found.entrez) == (["X1017", "7157.0", "7157"], ["1017", "7157"])
    assert (found.unknown, found.repeated, found.left_out) == (["id"], ["7157", "7157.0"], ["5"])


def test_an_alias_yields_to_a_symbol_and_to_none_if_it_is_of_two_genes():
    names = GeneNames()
    names.add_alias("CDK2", "1")
    names.add_alias("p33", "1017")
    names.add_alias("p33", "1017")
    assert names.find("p33") == "1017"
    names.add("CDK2", "1017")
    names.add_alias("p33", "7157")
    names.add_alias("p33", "1017")
    assert names.find("CDK2") == "1017"
    assert names.find("p33") is None
