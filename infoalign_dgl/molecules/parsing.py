"""Strings to RDKit molecules, with a reason where that fails."""

from __future__ import annotations

from typing import Any, Literal

from rdkit import Chem, rdBase


def parse_structure(
    text: object, kind: Literal["smiles", "inchi"] = "smiles"
) -> tuple[Any | None, str | None]:
    """Parse one structure.

    Parameters
    ----------
    text : object
        A SMILES or InChI; anything that is not a string counts as empty (NaN is what pandas puts in empty
        cells).
    kind : {"smiles", "inchi"}
        What the string is.

    Returns
    -------
    (rdkit.Chem.Mol or None, str or None)
        The sanitized molecule with at least one atom and no reason, or no molecule and the reason.
    """
    if not isinstance(text, str) or not text.strip():
        return None, "empty"
    parse, name = (Chem.MolFromSmiles, "SMILES") if kind == "smiles" else (Chem.MolFromInchi, "InChI")
    molecule = parse(text.strip())
    if molecule is None:
        return None, _why_not(text.strip(), parse, name)
    if molecule.GetNumAtoms() == 0:
        return None, "has no atoms"
    return molecule, None


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
