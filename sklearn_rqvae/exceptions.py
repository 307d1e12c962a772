"""Errors and warnings of the package."""

from sklearn import exceptions

__all__ = [
    "CheckpointError",
    "CodebookCollapseWarning",
    "InconsistentVersionWarning",
    "VocabularyError",
]


class CheckpointError(ValueError):
    """Raised when a saved model can't be read, or holds what a model file must not hold."""


class VocabularyError(ValueError):
    """Raised when a catalog and a generator don't mean the same by a token, or soon wouldn't."""


class CodebookCollapseWarning(UserWarning):
    """Issued once by ``fit`` when a level uses few of its codewords.

    The fitted model works, but its semantic IDs tell fewer items apart than their length promises.
    """


class InconsistentVersionWarning(exceptions.InconsistentVersionWarning):
    """Issued when a model is read that another version of this package saved.

    It is one of scikit-learn's warnings of the same name, which is issued when scikit-learn was of
    another version. Codes stay the same wherever the release notes don't say otherwise.
    """

    def __str__(self) -> str:
        """Name the versions, and the way out."""
        return (
            f"This {self.estimator_name} was saved by sklearn-rqvae "
            f"{self.original_sklearn_version} and is read by {self.current_sklearn_version}. Its "
            "codes may differ if the list of changes says so; otherwise save it again, or install "
            f"sklearn-rqvae=={self.original_sklearn_version}."
        )
