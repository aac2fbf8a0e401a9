"""What a context graph is built from: a TOML file that lists tables, checked before anything is read.

Sections, in the order in which tables are read (the first table that has a molecule decides which structure
is kept): ``[[molecules]]``, ``[[crosswalks]]``, ``[[morphology]]``, ``[[expression]]``,
``[[molecule_gene]]``, ``[[networks]]``; and ``[[gene_ids]]``, ``[[genes]]``, ``[[perturbations]]``,
``[[gene_morphology]]``, ``[[gene_gene]]``, ``[reference_layout]``; and ``[similarity]``, ``[graph]``,
``[expected]``.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from infoalign_dgl.context.sections.base import AboutMolecules, Strict
from infoalign_dgl.context.sections.expression import ExpressionTable
from infoalign_dgl.context.sections.genes import GeneIdTable, GeneTable
from infoalign_dgl.context.sections.molecules import CrosswalkTable, MoleculeTable
from infoalign_dgl.context.sections.morphology import GeneMorphologyTable, MorphologyTable
from infoalign_dgl.context.sections.networks import GeneGeneTable, MoleculeGeneTable, NetworkTable
from infoalign_dgl.context.sections.perturbations import PerturbationTable
from infoalign_dgl.context.sections.reference_layout import ReferenceFolder
from infoalign_dgl.context.vocabulary import FINGERPRINT
from infoalign_dgl.errors import SpecError
from infoalign_dgl.sources.tables import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

Scope = Literal["scaffold", "kmeans", "whole", "none"]


class SimilaritySettings(Strict):
    """Which pairs of one feature space become similarity edges; all three conditions hold.

    ``scope`` names feature spaces (several joined by ``+`` are compared as one) that are compared as the
    published implementation does it: see :mod:`infoalign_dgl.context.scopes`.
    """

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.8
    sparsity: Annotated[float, Field(ge=0, lt=1)] = 0.995
    max_neighbors: Annotated[int, Field(ge=1)] = 10
    molecules: Literal["cosine", "tanimoto"] = "cosine"
    scope: dict[str, Scope] = {}

    @model_validator(mode="after")
    def _scopes_fit(self) -> Self:
        named: list[str] = []
        for names, scope in self.scope.items():
            spaces = names.split("+")
            of_molecules = names == FINGERPRINT
            if scope not in (("scaffold", "none") if of_molecules else ("kmeans", "whole", "none")):
                raise ValueError(
                    f"scope of '{names}' is '{scope}': molecules ('{FINGERPRINT}') are compared within "
                    f"'scaffold' or 'none', feature spaces within 'kmeans', 'whole' or 'none'"
                )
            twice = next((space for space in spaces if space in named or spaces.count(space) > 1), None)
            if twice is not None or (FINGERPRINT in spaces and not of_molecules):
                raise ValueError(f"scope names '{twice or names}' where it cannot: name each space once")
            named += spaces
        return self


class GraphSettings(Strict):
    """How molecules merge (InChIKey's first block or all of it), expression edges, stored precision.

    With ``tautomer`` each molecule is RDKit's canonical tautomer of what its table says.
    """

    identity: Literal["block", "full"] = "block"
    tautomer: bool = False
    regulates_top: Annotated[float, Field(ge=0, le=1)] = 0.01
    float16: bool = False


class Expected(Strict):
    """Counts to print beside those of the graph: nodes by type, and pairs of nodes that edges connect."""

    source: str
    molecule: int | None = None
    gene: int | None = None
    gene_expression: int | None = None
    morphology: int | None = None
    edges: int | None = None


class BuildSettings(Strict):
    """Everything about a build except its tables."""

    similarity: SimilaritySettings = SimilaritySettings()
    graph: GraphSettings = GraphSettings()
    expected: Expected | None = None


class BuildSpec(BuildSettings):
    """A whole build: tables and settings.

    Examples
    --------
    >>> from infoalign_dgl.context import BuildSpec
    >>> table = {"name": "mine", "file": "mine.csv", "id": "id", "smiles": "smiles"}
    >>> spec = BuildSpec.model_validate({"molecules": [table], "similarity": {"max_neighbors": 5}})
    >>> spec.similarity.threshold, spec.similarity.max_neighbors
    (0.8, 5)
    """

    molecules: list[MoleculeTable] = []
    crosswalks: list[CrosswalkTable] = []
    gene_ids: list[GeneIdTable] = []
    genes: list[GeneTable] = []
    morphology: list[MorphologyTable] = []
    expression: list[ExpressionTable] = []
    perturbations: list[PerturbationTable] = []
    gene_morphology: list[GeneMorphologyTable] = []
    gene_gene: list[GeneGeneTable] = []
    molecule_gene: list[MoleculeGeneTable] = []
    networks: list[NetworkTable] = []
    reference_layout: ReferenceFolder | None = None

    @model_validator(mode="after")
    def _tables_agree(self) -> Self:
        first = next(self.disagreements(), None)
        if first is not None:
            raise ValueError(first)
        about = (*self.molecules, *self.crosswalks, *self.morphology, *self.expression, *self.molecule_gene)
        if not (about or self.reference_layout):
            raise ValueError("no table has molecules: list at least one under [[molecules]]")
        return self

    def disagreements(self) -> Iterator[str]:
        """Say in a sentence each where tables contradict one another."""
        yield from self._wrong_names()
        yield from self._wrong_spaces()

    def _wrong_names(self) -> Iterator[str]:
        named = [*self.molecules, *self.crosswalks]
        reagents = [table.name for table in self.perturbations]
        names = [table.name for table in named] + reagents
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield (
                f"two tables are named '{name}': give each of [[molecules]], [[crosswalks]] and "
                f"[[perturbations]] its own"
            )
        with_ids = [table.name for table in named if table.id is not None]
        about: list[AboutMolecules | NetworkTable] = [*self.morphology, *self.expression]
        for table in (*about, *self.molecule_gene, *self.networks):
            if table.ids_of is not None and table.ids_of not in with_ids:
                near = did_you_mean(table.ids_of, with_ids)
                yield f"'{table.file}' has ids_of = '{table.ids_of}', which names no table with ids: {near}"
        for screen in self.gene_morphology:
            if screen.ids_of is not None and screen.ids_of not in reagents:
                near = did_you_mean(screen.ids_of, reagents)
                yield (
                    f"'{screen.file}' has ids_of = '{screen.ids_of}', which names no table of "
                    f"[[perturbations]]: {near}"
                )

    def _wrong_spaces(self) -> Iterator[str]:
        kinds: dict[str, str] = {}
        said: dict[tuple[str, str], tuple[object, str]] = {}
        for kind in ("morphology", "expression", "gene_morphology"):
            for table in getattr(self, kind):
                if kinds.setdefault(table.space, kind) != kind:
                    yield (
                        f"space '{table.space}' is in [[{kinds[table.space]}]] and in [[{kind}]]: use two "
                        f"names"
                    )
                for rule, value in vars(table.rules()).items():
                    if value is None:
                        continue
                    other, file = said.setdefault((table.space, rule), (value, table.file))
                    if other != value:
                        yield (
                            f"'{file}' and '{table.file}' are of space '{table.space}' and differ in {rule}: "
                            f"give it once, or use two spaces"
                        )


def read_spec(path: str | Path) -> BuildSpec:
    """Read and check a TOML build specification.

    Parameters
    ----------
    path : str or Path
        The TOML file.

    Returns
    -------
    BuildSpec

    Raises
    ------
    SpecError
        If the file is missing or is not TOML, or naming the table and key that is unknown, missing or wrong,
        with the nearest known key.
    """
    content = read_toml(Path(path))
    try:
        return BuildSpec.model_validate(content)
    except ValidationError as error:
        # An unknown key comes before a missing one: it is most often the same key, misspelt.
        complaints = sorted(error.errors(include_url=False), key=lambda c: c["type"] != "extra_forbidden")
        raise SpecError(f"'{path}': {explain(complaints[0], content)}") from error


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    SpecError
        If the file is missing, cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SpecError(
            f"'{path}' does not exist: give a TOML file, reference:DIR, or simulated[:N]"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"'{path}' cannot be read ({error}): give a TOML file") from error
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"'{path}' is not TOML ({error}): correct that place") from error


def explain(complaint: ErrorDetails, content: dict[str, Any]) -> str:
    """Put one of pydantic's complaints into a sentence: the table, the key and the nearest known key."""
    where, key = _place(complaint["loc"], content)
    if complaint["type"] == "extra_forbidden":
        return f"{where} has no key '{key}': {did_you_mean(key, _known_keys(complaint['loc']))}"
    if complaint["type"] == "missing":
        return f"{where} lacks the key '{key}': add it"
    if complaint["type"] == "value_error":
        place = where if not key else f"{where} key '{key}'"
        return f"{place}: {complaint['ctx']['error']}"
    if complaint["type"] == "list_type" and len(complaint["loc"]) == 1:
        return f"the spec has '{key}' as one: write [[{key}]] above each table of that kind"
    message = complaint["msg"]
    return f"{where} key '{key}' is {complaint['input']!r}: {message[0].lower()}{message[1:]}"


def _place(location: tuple[int | str, ...], content: dict[str, Any]) -> tuple[str, str]:
    """Name the section (with its table's name or file) and the key of a pydantic error location."""
    if not location:
        return "the spec", ""
    section = str(location[0])
    if len(location) == 1:
        return "the spec", section
    if isinstance(location[1], int):
        table = content[section][location[1]]
        label = table.get("name", table.get("file")) if isinstance(table, dict) else None
        which = f"'{label}'" if label else f"number {location[1] + 1}"
        return f"[[{section}]] {which}", ".".join(str(part) for part in location[2:])
    return f"[{section}]", ".".join(str(part) for part in location[1:])


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = BuildSpec
    if len(location) > 1:
        annotation: Any = BuildSpec.model_fields[str(location[0])].annotation
        model = annotation.__args__[0] if hasattr(annotation, "__args__") else annotation
    return list(model.model_fields)
