"""Names that libraries keep private or only some versions have, and optional libraries."""

from collections.abc import Callable
from typing import Any

from sklearn.base import _fit_context as fit_context
from sklearn.utils._indexing import _get_column_indices as column_positions
from sklearn.utils._param_validation import HasMethods, Interval, Options, StrOptions

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9 has no callbacks: the estimator works without them

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stand in for scikit-learn's mixin where it doesn't exist."""

    with_callbacks = None

__all__ = [
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "Options",
    "StrOptions",
    "column_positions",
    "fit_context",
    "import_pyarrow",
    "mapped",
    "uncompiled",
    "with_callbacks",
]


def import_pyarrow() -> Any:
    """Return pyarrow, its Parquet part loaded.

    Raises
    ------
    ImportError
        If pyarrow isn't installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            'Parquet files need pyarrow: pip install "sklearn-rqvae[arrow]".'
        ) from error
    return pyarrow


def mapped() -> bool:
    """Whether a function of `torch.func` runs (vmap, grad), in which values can't be looked at."""
    import torch

    return torch._C._functorch.maybe_current_level() is not None


def uncompiled(function: Callable) -> Callable:
    """Leave a function out of compiled graphs.

    As ``torch.compiler.disable`` does, which would load the compiler with the module that uses it:
    40 % more time for each process to start.
    """
    import torch

    decorated: Callable = torch._disable_dynamo(function)
    return decorated
