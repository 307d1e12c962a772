"""Semantic IDs for items: residual-quantized autoencoders behind scikit-learn's contract.

Public names are imported on first use, so that ``sklearn_rqvae.metrics`` and the command line's
help don't wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sklearn_rqvae._version import __version__

if TYPE_CHECKING:
    from sklearn_rqvae._estimator import TRUSTED_TYPES, RQVAETransformer
    from sklearn_rqvae._product_quantizer import ProductQuantizer
    from sklearn_rqvae._residual_kmeans import ResidualKMeans
    from sklearn_rqvae.embedding import TextEmbedder
    from sklearn_rqvae.semantic_id import PrefixFeatures, SemanticIDIndex

_HOMES = {
    "PrefixFeatures": "sklearn_rqvae.semantic_id",
    "ProductQuantizer": "sklearn_rqvae._product_quantizer",
    "RQVAETransformer": "sklearn_rqvae._estimator",
    "ResidualKMeans": "sklearn_rqvae._residual_kmeans",
    "SemanticIDIndex": "sklearn_rqvae.semantic_id",
    "TRUSTED_TYPES": "sklearn_rqvae._estimator",
    "TextEmbedder": "sklearn_rqvae.embedding",
}
_SUBPACKAGES = (
    "callbacks",
    "datasets",
    "embedding",
    "exceptions",
    "io",
    "metrics",
    "nn",
    "plotting",
    "report",
    "semantic_id",
)

__all__ = [
    "TRUSTED_TYPES",
    "PrefixFeatures",
    "ProductQuantizer",
    "RQVAETransformer",
    "ResidualKMeans",
    "SemanticIDIndex",
    "TextEmbedder",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name in _SUBPACKAGES:
        value = import_module(f"sklearn_rqvae.{name}")
    else:
        raise AttributeError(f"module 'sklearn_rqvae' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBPACKAGES})
