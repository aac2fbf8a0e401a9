"""What a build computed that a later one may take over, by content: nothing here is ever out of date.

A structure is known by its text, a fingerprint by the standardized SMILES, the similarity edges of a feature
space by a hash of all that decides them. Whatever is not known is computed, so a build that takes things over
gives the same graph as one that does not.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from infoalign_dgl import _spill
from infoalign_dgl._folders import verify_folder
from infoalign_dgl.context.graph_folder import package_versions
from infoalign_dgl.errors import GraphError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from infoalign_dgl.context.edges import Triple

    Structure = tuple[str | None, str | None, str | None]  # SMILES, InChIKey, reason
    Similar = tuple[Triple, dict[str, Any]]

FOLDER = "reuse"  # in a graph's folder


@dataclass(frozen=True)
class Content:
    """Results of one build.

    Parameters
    ----------
    structures : dict
        (kind, text) to (SMILES, InChIKey, reason).
    smiles : list of str
        Standardized molecules in the order of the rows of ``fingerprints``.
    fingerprints : dict of int to np.ndarray
        By radius: (molecules, bytes) uint8.
    similar : dict
        By feature space: the hash, the edges (i, j, weight) and their report.
    """

    structures: dict[tuple[str, str], Structure] = field(default_factory=dict)
    smiles: list[str] = field(default_factory=list)
    fingerprints: dict[int, np.ndarray] = field(default_factory=dict)
    similar: dict[str, tuple[str, Similar]] = field(default_factory=dict)


@dataclass
class Reuse:
    """Looks results up in what an earlier build left, computes the others, and keeps all for the next build.

    Parameters
    ----------
    known : Content
        Of the earlier build; empty without one.
    made : Content
        Of this build.
    taken : dict of str to [int, int]
        By kind of result: how many were taken over, of how many.
    why_not : str
        Why nothing was taken over although there is an earlier build; empty where something was.
    """

    known: Content = field(default_factory=Content)
    made: Content = field(default_factory=Content)
    taken: dict[str, tuple[int, int]] = field(default_factory=dict)
    why_not: str = ""

    def structures(
        self, kind: str, texts: list[str], compute: Callable[[list[str]], list[Structure]]
    ) -> list[Structure]:
        """Give the standardized structure of each text."""
        new = [text for text in texts if (kind, text) not in self.known.structures]
        found = dict(zip(new, compute(new), strict=True))
        result = [found[text] if text in found else self.known.structures[kind, text] for text in texts]
        self.made.structures.update(
            ((kind, text), structure) for text, structure in zip(texts, result, strict=True)
        )
        self._count("structures", len(texts) - len(new), len(texts))
        return result

    def fingerprints(
        self, smiles: list[str], radii: tuple[int, ...], compute: Callable[[list[str]], list[np.ndarray]]
    ) -> list[np.ndarray]:
        """Give the fingerprints of each molecule, by radius."""
        rows = pd.Index(self.known.smiles, dtype=object).get_indexer(pd.Index(smiles, dtype=object))
        if not set(radii) <= set(self.known.fingerprints):
            rows[:] = -1
        new = np.flatnonzero(rows < 0)
        result = computed = compute([smiles[row] for row in new.tolist()])
        if len(new) < len(rows):
            result = [self.known.fingerprints[radius][rows] for radius in radii]
            for whole, part in zip(result, computed, strict=True):
                whole[new] = part
        self.made.smiles[:] = smiles
        self.made.fingerprints.update(zip(radii, result, strict=True))
        self._count("fingerprints", len(smiles) - len(new), len(smiles))
        return result

    def similar(
        self,
        space: str,
        arrays: Sequence[np.ndarray],
        settings: dict[str, Any],
        compute: Callable[[], Similar],
    ) -> Similar:
        """Give the similarity edges of a feature space, or of several as one.

        Parameters
        ----------
        space : str
            Its name.
        arrays : sequence of np.ndarray
            Matrices that decide the edges.
        settings : dict
            What else does, for JSON.
        compute : callable
            Gives the edges and their report.
        """
        key = _hash(arrays, settings)
        before, found = self.known.similar.get(space, ("", None))
        if found is None or before != key:
            found = compute()
        self._count("feature spaces' similarity edges", int(before == key), 1)
        self.made.similar[space] = (key, found)
        return found

    def write(self, folder: Path) -> None:
        """Write what the next build needs beside the graph's own files into a new folder."""
        folder.mkdir()
        found = self.made
        kinds, texts = zip(*found.structures, strict=True)
        smiles, keys, reasons = zip(*found.structures.values(), strict=True)
        table = pd.DataFrame({"kind": kinds, "text": texts, "smiles": smiles, "key": keys, "reason": reasons})
        table.astype(object).to_parquet(folder / "structures.parquet", index=False)
        for radius, bits in found.fingerprints.items():
            np.save(folder / f"morgan{radius}.npy", bits)
        index = {}
        for number, (space, (key, ((i, j, weight), report))) in enumerate(sorted(found.similar.items())):
            name = f"similar-{number}.parquet"
            pd.DataFrame({"i": i, "j": j, "weight": weight}).to_parquet(folder / name, index=False)
            index[space] = {"hash": key, "edges": name, "report": report}
        (folder / "similar.json").write_text(json.dumps(index, indent=1) + "\n")

    def _count(self, what: str, taken: int, of: int) -> None:
        before = self.taken.get(what, (0, 0))
        self.taken[what] = (before[0] + taken, before[1] + of)


def read_reuse(graph: Path) -> Reuse:
    """Read what a graph's folder has for a later build.

    Raises
    ------
    InfoAlignError
        If the folder is no graph, or a file of it is damaged or missing.
    """
    verify_folder(graph, required=["schema.json"])
    folder = graph / FOLDER
    if not folder.is_dir():
        return Reuse(why_not=f"'{graph}' was written without what a later build could take over")
    versions = json.loads((graph / "schema.json").read_text()).get("package_versions", {})
    for name, version in package_versions().items():
        if versions.get(name) != version:
            return Reuse(
                why_not=f"'{graph}' was built with {name} {versions.get(name)}, and here is {version}, whose "
                f"results may differ"
            )
    try:
        return Reuse(_read(folder, pd.read_parquet(graph / "nodes" / "molecule.parquet", columns=["smiles"])))
    except (OSError, ValueError, KeyError) as error:
        raise GraphError(
            f"'{folder}' cannot be read ({error}): build the graph again with build-graph"
        ) from error


def _read(folder: Path, molecules: pd.DataFrame) -> Content:
    table = pd.read_parquet(folder / "structures.parquet").astype(object)
    table = table.where(table.notna(), None)
    columns = [table[name].tolist() for name in ("kind", "text", "smiles", "key", "reason")]
    structures = {
        (kind, text): (smiles, key, reason) for kind, text, smiles, key, reason in zip(*columns, strict=True)
    }
    fingerprints = {
        int(path.stem.removeprefix("morgan")): np.load(path) for path in sorted(folder.glob("morgan*.npy"))
    }
    similar = {}
    for space, stored in json.loads((folder / "similar.json").read_text()).items():
        edges = pd.read_parquet(folder / stored["edges"])
        triple = (edges["i"].to_numpy(), edges["j"].to_numpy(), edges["weight"].to_numpy())
        similar[space] = (stored["hash"], (triple, stored["report"]))
    return Content(structures, molecules["smiles"].tolist(), fingerprints, similar)


def _hash(arrays: Sequence[np.ndarray], settings: dict[str, Any]) -> str:
    digest = hashlib.blake2b(digest_size=32)
    kinds = [[array.shape, str(array.dtype)] for array in arrays]
    digest.update(json.dumps([kinds, settings], sort_keys=True).encode())
    for array in arrays:
        for part in _spill.row_parts(array):
            digest.update(_spill.rows_of(array, part).data)
    return digest.hexdigest()
