"""Tokens of codes in a language model: added, and started from the codebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklearn_rqvae._validation import as_array
from sklearn_rqvae.semantic_id._tokens import token_form, token_names

__all__ = ["add_code_tokens", "code_directions", "started_rows"]

# Of the squared distance to the mean, what a level has in common and what tells its codes apart.
# Less, and tokens of two levels with like codewords start alike; more, and a level's codes do.
_LEVEL_SHARE = 0.5


def add_code_tokens(
    tokenizer: Any,
    model: Any,
    level_sizes: Sequence[int],
    template: str,
    codebooks: Sequence[Any],
    random_state: Any,
) -> None:
    """Add the tokens of all codes to a tokenizer, and start their embeddings.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
        Changed in place.
    model : transformers.PreTrainedModel or None
        Changed in place.
    level_sizes : sequence of int
        Number of codes at each level, that of the suffix included.
    template : str
        Form of the tokens.
    codebooks : sequence of array-like of shape (codebook_size, embed_dim)
        Codewords of each level but the suffix.
    random_state : int, RandomState instance or None
        Draws the projection.
    """
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    # Each check comes before the first change.
    tables = [] if model is None else _tables(model)
    directions = [code_directions(codebooks, level_sizes, table.shape[1], seed) for table in tables]
    names = [name for level in token_names(level_sizes, template) for name in level]
    around = [name for name in token_form(template)[1:] if name is not None]
    names += around
    n_texts, known = len(tokenizer), tokenizer.get_vocab()
    lacking = [name for name in names if name not in known]
    if lacking:
        tokenizer.add_tokens([_verbatim(name) for name in lacking])
    if model is None:
        return
    n_rows = len(tables[0])
    _resize(model, len(tokenizer), seed)
    tokens = np.array(tokenizer.convert_tokens_to_ids(names))
    # Many models have more rows than their tokenizer has tokens; those stand for nothing.
    texts = np.setdiff1d(np.arange(min(n_texts, n_rows)), tokens)
    is_new = np.array([name not in known for name in names]) | (tokens >= n_rows)
    for weight, rows in zip(_tables(model), directions, strict=True):
        rest = np.random.RandomState(seed).normal(size=(len(around), weight.shape[1]))
        rows = np.concatenate([rows, rest / np.sqrt(weight.shape[1])])
        _start(weight, texts, tokens[is_new], rows[is_new])


def code_directions(
    codebooks: Sequence[Any], level_sizes: Sequence[int], dim: int, seed: int
) -> NDArray[np.float64]:
    """Return the direction of each code from the mean of the embeddings.

    Parameters
    ----------
    codebooks : sequence of array-like of shape (codebook_size, embed_dim)
        Codewords of each level but the suffix, whose codes get random ones: they mean nothing.
    level_sizes : sequence of int
        Number of codes at each level.
    dim : int
        Length of an embedding.
    seed : int
        Draws the projection, and the codewords of the suffix.

    Returns
    -------
    directions : ndarray of shape (n_codes, dim)
        The levels one after the other, of mean square length 1. Within a level, distances are those
        of the codewords, times a factor, where `dim` suffices for ``embed_dim + n_levels``
        orthogonal directions; else they are about these.
    """
    rng = np.random.RandomState(seed)
    books = [np.asarray(as_array(book), dtype=np.float64) for book in codebooks]
    if not 0 <= len(level_sizes) - len(books) <= 1 or any(
        book.shape != (size, books[0].shape[-1])
        for book, size in zip(books, level_sizes, strict=False)
    ):
        raise ValueError(
            f"codebooks have the shapes {[book.shape for book in books]}, but the levels have "
            f"{list(level_sizes)} codes; pass the codebooks_ of the estimator that the IDs are "
            "from."
        )
    n_features, n_levels = books[0].shape[1], len(level_sizes)
    axes = rng.normal(size=(dim, n_features + n_levels))
    if n_features + n_levels <= dim:
        axes = np.linalg.qr(axes).Q
    else:
        axes /= np.sqrt(dim)  # keeps distances about, as Johnson and Lindenstrauss have it
    books += [rng.normal(size=(size, n_features)) for size in level_sizes[len(books) :]]
    levels, codes = axes[:, n_features:].T, axes[:, :n_features].T
    return np.concatenate(
        [
            np.sqrt(_LEVEL_SHARE) * level + np.sqrt(1 - _LEVEL_SHARE) * _scaled(book) @ codes
            for level, book in zip(levels, books, strict=True)
        ]
    )


def started_rows(
    directions: NDArray[np.float64], texts: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return embeddings that lie around the mean of others, as far from it as these.

    Parameters
    ----------
    directions : ndarray of shape (n_codes, dim)
        Directions, of mean square length 1.
    texts : ndarray of shape (n_texts, dim)
        Embeddings that are there.

    Returns
    -------
    rows : ndarray of shape (n_codes, dim)
        New embeddings.
    """
    mean = texts.mean(axis=0, dtype=np.float64)
    radius = np.sqrt(((texts - mean) ** 2).sum(axis=1).mean())
    return mean + radius * directions


def _scaled(codewords: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return codewords less their mean, of mean square length 1: later levels are shorter."""
    centered = codewords - codewords.mean(axis=0)
    length = np.sqrt((centered**2).sum(axis=1).mean())
    return centered / length if length > 0 else centered


def _start(
    weight: Any, texts: NDArray[np.intp], tokens: NDArray[np.intp], directions: NDArray[Any]
) -> None:
    """Write the rows of new tokens into a table of embeddings."""
    import torch

    if not len(tokens):
        return
    if not len(texts):
        raise ValueError(
            "the model has no embeddings besides those of the codes, whose mean and length the new "
            "ones could take; give the tokenizer at least one token before."
        )
    with torch.no_grad():
        rows = started_rows(directions, as_array(weight[torch.from_numpy(texts)]))
        new = torch.from_numpy(rows).to(device=weight.device, dtype=weight.dtype)
        weight[torch.from_numpy(tokens).to(weight.device)] = new


def _tables(model: Any) -> list[Any]:
    """Return the input embeddings, and those of the output where they are others."""
    table = model.get_input_embeddings().weight
    output = model.get_output_embeddings()
    if output is None or output.weight.data_ptr() == table.data_ptr():
        return [table]
    return [table, output.weight]


def _resize(model: Any, n_tokens: int, seed: int) -> None:
    """Give a model rows for all tokens; it has more already where it was padded."""
    import torch

    if n_tokens > model.get_input_embeddings().weight.shape[0]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model.resize_token_embeddings(n_tokens, mean_resizing=False)


def _verbatim(name: str) -> Any:
    """Return a token that a tokenizer finds as it stands, before it lowers or splits a text."""
    from transformers import AddedToken

    return AddedToken(name, normalized=False)
