"""Data to try and test on: real texts, known codes, and the Amazon catalogs of the literature."""

from typing import TYPE_CHECKING, Any

from sklearn_rqvae.datasets._amazon import fetch_amazon_items
from sklearn_rqvae.datasets._api_docs import load_api_docs
from sklearn_rqvae.datasets._blobs import make_residual_blobs

if TYPE_CHECKING:
    from sklearn_rqvae.datasets._p5 import P5AmazonItemDataset

__all__ = ["P5AmazonItemDataset", "fetch_amazon_items", "load_api_docs", "make_residual_blobs"]


def __getattr__(name: str) -> Any:
    if name == "P5AmazonItemDataset":  # a torch data set: the others do without torch
        from sklearn_rqvae.datasets._p5 import P5AmazonItemDataset

        return P5AmazonItemDataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
