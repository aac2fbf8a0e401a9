"""Errors that users meet: each message is one sentence that names what is wrong, where, and what to do."""


class InfoAlignError(Exception):
    """Base of every error this package raises for a reason that the user can act on."""


class SpecError(InfoAlignError):
    """A build specification names something that does not exist or contradicts itself."""


class SourceError(InfoAlignError):
    """An input file cannot be read as the table it should be."""


class DownloadError(InfoAlignError):
    """A data set cannot be downloaded, or what is there is not what it should be."""


class GraphError(InfoAlignError):
    """A context graph cannot be built, or its folder is damaged or of another format version."""


class WalkError(InfoAlignError, ValueError):
    """A walk index or a walk was asked for with arguments that make no sense."""


class RunError(InfoAlignError):
    """A pretraining run cannot start, go on, or be loaded."""


class ExtensionError(InfoAlignError):
    """An encoder, loss or reader of the user's own cannot be registered or imported."""


class EvaluationError(InfoAlignError):
    """A task set, a split or a comparison of methods cannot be made of what was given."""


class MoleculeError(InfoAlignError, ValueError):
    """Input that should be molecules is none, or a structure of it cannot be read."""
