"""Items to vectors: the first step of a pipeline that turns what is known of them into IDs."""

from sklearn_rqvae.embedding._fusion import ViewFusion
from sklearn_rqvae.embedding._histories import Histories
from sklearn_rqvae.embedding._interactions import InteractionEmbedder
from sklearn_rqvae.embedding._text_embedder import TextEmbedder
from sklearn_rqvae.embedding._view_weights import ViewWeights, choose_view_weights

__all__ = [
    "Histories",
    "InteractionEmbedder",
    "TextEmbedder",
    "ViewFusion",
    "ViewWeights",
    "choose_view_weights",
]
