"""Errors and warnings of the package."""

__all__ = ["CheckpointError", "CodebookCollapseWarning"]


class CheckpointError(ValueError):
    """Raised when a saved model can't be read, or holds what a model file must not hold."""


class CodebookCollapseWarning(UserWarning):
    """Issued once by ``fit`` when a level uses few of its codewords.

    The fitted model works, but its semantic IDs tell fewer items apart than their length promises.
    """
