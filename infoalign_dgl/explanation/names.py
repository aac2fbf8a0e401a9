"""What names of columns say: compartment and channel of CellProfiler's features."""

from __future__ import annotations

from typing import NamedTuple

COMPARTMENTS = ("Cells", "Cytoplasm", "Nuclei", "Image")
NO_CHANNEL = "no channel"  # shape, neighbours: what is measured of outlines
OTHER = "other"
_SUMMARIES = ("Median_", "Mean_", "Std_", "MAD_")  # of a well's cells
_DYES = {
    "DNA": "DNA",
    "Hoechst": "DNA",
    "DAPI": "DNA",
    "RNA": "RNA",
    "Syto": "RNA",
    "ER": "ER",
    "AGP": "AGP",
    "Ph_golgi": "AGP",
    "Mito": "Mito",
    "Brightfield": "Brightfield",
    "BrightField": "Brightfield",
}
CHANNELS = ("DNA", "RNA", "ER", "AGP", "Mito", "Brightfield")


class FeatureName(NamedTuple):
    """What a column's name says.

    Attributes
    ----------
    compartment : str
        One of ``COMPARTMENTS``, or ``"other"`` for a name that is not CellProfiler's.
    channels : tuple of str
        Of ``CHANNELS``, in the name's order: none for shape, two for a correlation of them.
    """

    compartment: str
    channels: tuple[str, ...]


def parse_feature(column: str) -> FeatureName:
    """Read the name of a Cell Painting feature.

    ``Cells_Texture_Contrast_RNA_3_00`` is of the cells in the RNA channel. A well's summary may stand before
    it (``Median_Cells_...``), dyes are known by their channels (Hoechst and DAPI: DNA; Syto: RNA; Ph_golgi,
    phalloidin and Golgi: AGP), and stacks of brightfield (``BFHigh``, ``Brightfield_2``) are one channel.

    Parameters
    ----------
    column : str

    Returns
    -------
    FeatureName

    Examples
    --------
    >>> parse_feature("Median_Cytoplasm_Correlation_Overlap_Hoechst_Ph_golgi")
    FeatureName(compartment='Cytoplasm', channels=('DNA', 'AGP'))
    >>> parse_feature("harmony_17")
    FeatureName(compartment='other', channels=())
    """
    for summary in _SUMMARIES:
        column = column.removeprefix(summary)
    compartment, _, rest = column.partition("_")
    if compartment not in COMPARTMENTS or not rest:
        return FeatureName(OTHER, ())
    words = rest.replace("Ph_golgi", "AGP").split("_")
    found = [_channel(word) for word in words]
    return FeatureName(compartment, tuple(dict.fromkeys(name for name in found if name is not None)))


def _channel(word: str) -> str | None:
    """Name the channel of a word; CellProfiler's pipelines put Orig or Illum before it."""
    for prefix in ("", "Orig", "Illum", "Corr"):
        if word.startswith(prefix) and word[len(prefix) :] in _DYES:
            return _DYES[word[len(prefix) :]]
    return "Brightfield" if word.startswith("BF") else None
