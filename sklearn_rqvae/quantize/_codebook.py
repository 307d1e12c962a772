"""Where pickles of version 0.1.0 look for a codebook."""

from sklearn_rqvae.nn._codebook import Codebook

__all__ = ["Codebook"]
