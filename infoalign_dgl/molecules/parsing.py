"""Strings to RDKit molecules, with a reason where that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from rdkit import Chem, rdBase

if TYPE_CHECKING:
    from collections.abc import Callable

_PARSERS: dict[str, tuple[Callable[..., Any], str]] = {
    "smiles": (Chem.MolFromSmiles, "SMILES"),
    "inchi": (Chem.MolFromInchi, "InChI"),
    "molblock": (Chem.MolFromMolBlock, "mol block"),
}


def parse_structure(
    text: object, kind: Literal["smiles", "inchi", "molblock"] = "smiles"
) -> tuple[Any | None, str | None]:
    """Parse one structure.

    Parameters
    ----------
    text : object
        A SMILES, InChI or mol block; anything that is not a string counts as empty (NaN is what pandas puts
        in empty cells).
    kind : {"smiles", "inchi", "molblock"}
        What the string is.

    Returns
    -------
    (rdkit.Chem.Mol or None, str or None)
        The sanitized molecule with at least one atom and no reason, or no molecule and the reason.
    """
    if not isinstance(text, str) or not text.strip():
        return None, "empty"
    parse, name = _PARSERS[kind]
    if kind != "molblock":  # whose first line may be blank
        text = text.strip()
    molecule = parse(text)
    if molecule is None:
        return None, _why_not(text, parse, name)
    if molecule.GetNumAtoms() == 0:
        return None, "has no atoms"
    return molecule, None


def mol_blocks_to_smiles(blocks: list[str]) -> list[tuple[str | None, str | None]]:
    """Turn mol blocks to SMILES: of each a canonical SMILES and no reason, or no SMILES and the reason."""
    with rdBase.BlockLogs():
        found = (parse_structure(block, "molblock") for block in blocks)
        return [(None, reason) if mol is None else (Chem.MolToSmiles(mol), None) for mol, reason in found]


def _why_not(text: str, parse: Any, name: str) -> str:
    """Tell a string that is no structure from a structure that chemistry does not allow."""
    with rdBase.BlockLogs():
        molecule = parse(text, sanitize=False)
        if molecule is not None:
            try:
                Chem.SanitizeMol(molecule)
            except Chem.MolSanitizeException as error:
                return f"parses as {name} but breaks a rule of chemistry: {str(error).strip().rstrip('.')}"
    return f"does not parse as {name}"
