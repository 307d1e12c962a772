"""Sort candidates by the error of their reconstructions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

__all__ = ["RERANK_ROWS", "by_error", "reconstruction_errors", "row_parts"]


# Rows reranked at a time: the candidates' vectors, 128 rows x 16 x 230 numbers, stay in cache.
RERANK_ROWS = 128


def by_error(x: Tensor, codes: Tensor, decode: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Sort each row's candidates by the error of their reconstructions.

    The errors are of differences. The sums that a search compares lose digits where rows are long
    beside what the codes leave of them.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_features)
        Rows.
    codes : Tensor of int64 of shape (n_samples, n_candidates, n_layers)
        Candidates.
    decode : callable
        Returns the reconstruction of each row of codes.

    Returns
    -------
    codes : Tensor of int64 of shape (n_samples, n_candidates, n_layers)
        Candidates by rising error; of equal ones the one that stood first.
    errors : Tensor of shape (n_samples, n_candidates)
        Squared errors, summed over the features.
    """
    errors, order = reconstruction_errors(x, codes, decode).sort(dim=1, stable=True)
    return codes.gather(1, order[..., None].expand(-1, -1, codes.shape[2])), errors


def reconstruction_errors(x: Tensor, codes: Tensor, decode: Callable[[Tensor], Tensor]) -> Tensor:
    errors = x.new_empty(codes.shape[:2])
    for some_errors, rows, some_codes in row_parts(errors, x, codes):
        decoded = decode(some_codes.flatten(0, 1))
        difference = decoded.view(*some_codes.shape[:2], -1).sub_(rows[:, None])
        some_errors.copy_(difference.square_().sum(-1))
    return errors


def row_parts(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield the same few rows of each tensor."""
    return zip(*(tensor.split(RERANK_ROWS) for tensor in tensors), strict=True)
