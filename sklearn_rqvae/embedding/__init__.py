"""Texts to vectors: the first step of a pipeline that turns item texts into semantic IDs."""

from sklearn_rqvae.embedding._text_embedder import TextEmbedder

__all__ = ["TextEmbedder"]
