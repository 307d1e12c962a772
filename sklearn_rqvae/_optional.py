"""Libraries that are imported only when something needs them."""

from typing import Any

__all__ = ["import_pyarrow"]


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
