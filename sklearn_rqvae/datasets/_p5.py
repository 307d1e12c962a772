"""The items of an Amazon catalog as a torch data set of text embeddings."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from torch.utils.data import Dataset

from sklearn_rqvae._files._replace import replace_file
from sklearn_rqvae._version import __version__
from sklearn_rqvae.datasets._amazon import fetch_amazon_items

__all__ = ["P5AmazonItemDataset"]

_EMBEDDING_FORMAT = 1
_PLAIN = (str, int, float, tuple, list, type(None))


class P5AmazonItemDataset(Dataset[torch.Tensor]):
    """Serve the items of an Amazon catalog as vectors, one per item, made from their texts.

    The catalogs are those of :func:`fetch_amazon_items`; they are downloaded if `root` doesn't hold
    them. The vectors are stored in `root` under a name that depends on all that they depend on, so
    that a second data set with the same settings loads them.

    Parameters
    ----------
    root : str or path-like
        Folder of the files.
    split : {"beauty", "sports", "toys", "clothing"}, default="beauty"
        Which catalog.
    train_test_split : {"train", "test", "all"}, default="all"
        Which items. One in twenty is held out for ``"test"``, by a rule that looks at its
        identifier alone; see `is_test` in :func:`fetch_amazon_items`.
    encoder : transformer, str or object, optional
        What turns texts into vectors: a transformer of lists of texts, of which a copy is fitted to
        the items of ``"train"``, or a `model` of :class:`~sklearn_rqvae.embedding.TextEmbedder`:
        the folder or name of a language model, or an object with a method ``encode(list of str)``.
        By default a :class:`~sklearn_rqvae.embedding.TextEmbedder` on character n-grams with
        `input_dim` components.
    input_dim : int or None, default=768
        Number of features of the vectors served. Shorter vectors, such as those of a catalog of
        fewer items, are padded with zeros, which change no distance. None leaves the length as it
        is.
    text_fields : sequence of str, default=("title", "brand", "categories")
        What the text of an item is joined from, see :func:`fetch_amazon_items`.
    cache_key : str, optional
        Name for what `encoder` computes, such as a model's name and version. An object's vectors
        are stored only if it has such a name, since nothing else tells it from another.
    **fetch_params
        Further parameters of :func:`fetch_amazon_items`, such as `download_if_missing` or
        `base_url`.

    Attributes
    ----------
    embeddings : ndarray of shape (n_items, input_dim), dtype=float32
        The vectors.
    texts : list of str
        Text of each item.
    item_ids : list of str
        Amazon's identifier of each item.

    Raises
    ------
    ValueError
        If a parameter has an unknown value, no item is left, or the vectors are longer than
        `input_dim`.

    Examples
    --------
    >>> from torch.utils.data import DataLoader
    >>> from sklearn_rqvae.datasets import P5AmazonItemDataset
    >>> dataset = P5AmazonItemDataset("dataset/amazon", split="beauty")  # doctest: +SKIP
    >>> next(iter(DataLoader(dataset, batch_size=64))).shape  # doctest: +SKIP
    torch.Size([64, 768])
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "beauty",
        train_test_split: str = "all",
        *,
        encoder: Any = None,
        input_dim: int | None = 768,
        text_fields: Sequence[str] = ("title", "brand", "categories"),
        cache_key: str | None = None,
        **fetch_params: Any,
    ):
        if train_test_split not in ("train", "test", "all"):
            raise ValueError(
                f"train_test_split={train_test_split!r} should be 'train', 'test' or 'all'."
            )
        if input_dim is not None and input_dim < 1:
            raise ValueError(f"input_dim={input_dim!r} should be a positive integer or None.")
        catalog = fetch_amazon_items(split, root=root, text_fields=text_fields, **fetch_params)
        if train_test_split == "all":
            rows = np.arange(len(catalog.data))
        else:
            rows = np.flatnonzero(catalog.is_test == (train_test_split == "test"))
        if not len(rows):
            raise ValueError(
                f"train_test_split={train_test_split!r} holds no item of this catalog of "
                f"{len(catalog.data)}; use 'all'."
            )
        embedder = _as_embedder(encoder, input_dim)
        key = _cache_key(embedder, cache_key, catalog)
        path = None if key is None else Path(root).expanduser() / f"embeddings_{split}_{key}.npy"
        vectors = _stored_or_computed(path, embedder, catalog)
        self.embeddings = _padded(vectors[rows], input_dim)
        self.texts = [catalog.data[row] for row in rows]
        self.item_ids = [catalog.item_ids[row] for row in rows]

    def __len__(self) -> int:
        return len(self.embeddings)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self.embeddings[index])


def _as_embedder(encoder: Any, input_dim: int | None) -> Any:
    """Return an unfitted transformer of texts."""
    from sklearn_rqvae.embedding import TextEmbedder

    if encoder is None:
        return TextEmbedder(n_components=input_dim or 256, random_state=0)
    if hasattr(encoder, "fit") and hasattr(encoder, "transform"):
        return clone(encoder)
    return TextEmbedder(encoder, random_state=0)


def _cache_key(embedder: Any, named: str | None, catalog: Any) -> str | None:
    """Return a name for what the vectors depend on, None if that can't be told."""
    if named is not None:
        made_by = [named]
    elif all(isinstance(value, _PLAIN) for value in embedder.get_params().values()):
        params = repr(sorted(embedder.get_params().items()))
        made_by = [type(embedder).__qualname__, params, __version__, sklearn.__version__]
    else:
        return None
    made_of = [_EMBEDDING_FORMAT, made_by, catalog.data, catalog.is_test.tolist()]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]


def _stored_or_computed(path: Path | None, embedder: Any, catalog: Any) -> NDArray[np.float32]:
    """Return the vectors of all items, from `path` if it exists."""
    if path is not None and path.exists():
        try:
            vectors = np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise OSError(f"{path} is damaged ({error}); delete it and try again.") from error
        return vectors
    embedder.fit(
        [text for text, is_test in zip(catalog.data, catalog.is_test, strict=True) if not is_test]
    )
    vectors = np.asarray(embedder.transform(catalog.data), dtype=np.float32)
    if path is not None and os.access(path.parent, os.W_OK):
        with replace_file(path) as file:
            np.save(file, vectors, allow_pickle=False)
    return vectors


def _padded(vectors: NDArray[np.float32], input_dim: int | None) -> NDArray[np.float32]:
    """Append columns of zeros up to `input_dim`."""
    n_missing = 0 if input_dim is None else input_dim - vectors.shape[1]
    if n_missing < 0:
        raise ValueError(
            f"the encoder's vectors have {vectors.shape[1]} features but input_dim={input_dim}; "
            f"set input_dim={vectors.shape[1]} or None."
        )
    return np.pad(vectors, ((0, 0), (0, n_missing)))
