"""``[reference_layout]``: a folder in the published implementation's raw layout."""

from __future__ import annotations

from infoalign_dgl.context.sections.base import Strict


class ReferenceFolder(Strict):
    """A folder, relative to the data root: see :mod:`infoalign_dgl.sources.reference_layout`."""

    folder: str
