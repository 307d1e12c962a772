"""Units to learn in, the same whatever units rows come in, and the way back from them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from sklearn_rqvae._rows._source import RowSource, blocks_of

__all__ = ["Units", "counted_from_origin"]

# Rows whose mean is farther from zero than so many times their spread are counted from their mean.
_FAR = 50.0

# Bits of a float32 that learning goes without. The last bits of a row depend on its units, and one
# of them may turn a choice between two codewords, which turns all that follow.
_DROPPED_BITS = 8


class Units(NamedTuple):
    """Subtract an origin from rows and divide them by a unit for each feature.

    A fit is a long chain of choices: where two codewords are equally near, the last bit of a row
    decides, and soon all codes are others. So rows are brought to a mean of zero and a spread of
    one, in float64, and then rounded to fewer digits than float32 has: a row in other units becomes
    the same number, to the last bit, and so does all that is learned.

    Parameters
    ----------
    origin : ndarray of shape (n_features,), dtype=float64
        What is subtracted.
    unit : ndarray of shape (n_features,), dtype=float64
        What is divided by, positive.
    is_far : bool
        Whether the origin is so far from zero that rows have to be counted from it.
    """

    origin: NDArray[np.float64]
    unit: NDArray[np.float64]
    is_far: bool

    @classmethod
    def of(
        cls,
        source: RowSource,
        index: NDArray[np.intp],
        weight: NDArray[np.float64],
        n_fixed: int = 0,
    ) -> Units:
        """Return the units in which some rows have a mean of zero and a spread of one.

        Parameters
        ----------
        source : RowSource
            Rows.
        index : ndarray of shape (n_rows,)
            Positions of the rows that count, in an order that depends on them alone.
        weight : ndarray of shape (n_rows,)
            Their weights.
        n_fixed : int, default=0
            Last features that keep their units.

        Returns
        -------
        units : Units
            The units.
        """
        weight = weight / weight.sum()
        moved = source.shape[1] - n_fixed
        mean = np.zeros(source.shape[1])
        for rows, block in _wide_blocks(source, index):
            mean[:moved] += (weight[rows, None] * block[:, :moved]).sum(axis=0)
        variance = 0.0
        for rows, block in _wide_blocks(source, index):
            squares = np.square(block[:, :moved] - mean[:moved]).sum(axis=1)
            variance += float((weight[rows] * squares).sum())
        spread = np.sqrt(variance / max(moved, 1))
        unit = np.ones(source.shape[1])
        unit[:moved] = spread if spread > 0 else 1.0
        is_far = source.origin is not None or np.abs(mean).max() > _FAR * spread
        if source.origin is not None:
            mean += source.origin
        return cls(mean, unit, bool(is_far) and moved > 0)

    def rows(self, source: RowSource, index: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return rows in these units, the last bits dropped."""
        origin = self.origin if source.origin is None else self.origin - source.origin
        found = np.empty((len(index), source.shape[1]), dtype=np.float32)
        for rows, block in _wide_blocks(source, index):
            found[rows] = (block - origin) / self.unit
        bits = found.view(np.uint32)
        bits += np.uint32(1 << (_DROPPED_BITS - 1))
        bits &= np.uint32(2**32 - (1 << _DROPPED_BITS))
        found += np.float32(0)  # no -0.0
        return found

    def undone(self, learned: dict[str, Any]) -> dict[str, Any]:
        """Return fitted attributes for rows as they come, given those for rows in these units.

        Parameters
        ----------
        learned : dict
            Fitted attributes by name.

        Returns
        -------
        learned : dict
            Where rows have to be counted from the origin, ``origin_`` is their mean in float64.
        """
        if "mean_" in learned:
            mean = self.origin + self.unit * learned["mean_"]
            codebooks = [(book * self.unit).astype(np.float32) for book in learned["codebooks_"]]
            changed = {"mean_": mean.astype(np.float32), "codebooks_": codebooks}
        else:
            state = learned["state_"]
            mean = self.origin + self.unit * state["mean"]
            scale = (self.unit * state["scale"]).astype(np.float32)
            changed = {"state_": {**state, "mean": mean.astype(np.float32), "scale": scale}}
        return {**learned, **changed, **({"origin_": mean} if self.is_far else {})}


def counted_from_origin(estimator: BaseEstimator) -> dict[str, NDArray[Any]]:
    """Return the state of a fitted estimator's module for rows less the estimator's origin."""
    state: dict[str, NDArray[Any]] = estimator.state_
    if not hasattr(estimator, "origin_"):
        return state
    return {**state, "mean": np.zeros_like(state["mean"])}


def _wide_blocks(source: RowSource, index: NDArray[np.intp]) -> Any:
    """Yield the place and the rows, in float64, of some positions."""
    for rows in blocks_of(len(index), source.shape[1]):
        yield rows, source.take(index[rows], np.float64)
