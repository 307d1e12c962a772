"""What changed between two catalogs, and how well a quantizer fits new items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import ks_2samp

from sklearn_rqvae._fitted import invertible_tail
from sklearn_rqvae._validation import as_array, as_codes, check_codes
from sklearn_rqvae.semantic_id._collisions._candidates import chunks, take_rows
from sklearn_rqvae.semantic_id._html import Shown
from sklearn_rqvae.semantic_id._item_ids import check_item_ids, hand_out, item_order

__all__ = ["DriftReport", "FitShift", "compare_catalogs", "fit_shift", "match_codebooks"]


# Shares of items by benchmarks/bench_drift.py: a warm start gives fewer other codes, and two fits
# put fewer into another first group.
_FEW = 0.1
_USUAL = 0.6


@dataclass(frozen=True)
class DriftReport(Shown):
    """Differences between an old and a new catalog; printed, with a reading of them.

    Attributes
    ----------
    n_common, n_added, n_removed : int
        Items in both, only in the new, only in the old catalog.
    changed : float
        Share of the common items whose codes changed at any level.
    changed_by_level : list of float
        Share whose code changed at each level.
    changed_prefix : list of float
        Share whose first 1, 2, … codes changed.
    changed_matched : list of float
        Share whose code changed at each level after the new codes were renamed to the old ones
        that they match best: what remains is a change of the grouping, not of names.
    codeword_shift : list of float
        Root mean square distance between the nearest codewords of both, in units of the root mean
        square distance of the old ones from their mean: near 0 after a warm start, and of no
        meaning between fits whose latents have other axes. Empty if codebooks aren't known.
    matching : list of ndarray
        For each level the old code that each new code matches, -1 for none.
    """

    n_common: int
    n_added: int
    n_removed: int
    changed: float
    changed_by_level: list[float]
    changed_prefix: list[float]
    changed_matched: list[float]
    codeword_shift: list[float]
    matching: list[NDArray[np.int64]] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain numbers and lists.

        Returns
        -------
        content : dict
            Names and values.
        """
        content = asdict(self)
        content["matching"] = [level.tolist() for level in self.matching]
        return content

    def __str__(self) -> str:
        """Say it in a few lines."""

        def shares(values: Sequence[float]) -> str:
            return " ".join(f"{value:.1%}" for value in values)

        lines = [
            f"{self.n_common} items in both, {self.n_added} added, {self.n_removed} removed",
            f"changed: {self.changed:.1%}; by level: {shares(self.changed_by_level)}",
            f"by prefix: {shares(self.changed_prefix)}",
            f"after matching codes: {shares(self.changed_matched)}",
        ]
        if self.codeword_shift:
            shift = " ".join(f"{value:.3f}" for value in self.codeword_shift)
            lines.append(f"shift of matched codewords: {shift}")
        return "\n".join([*lines, f"reading: {self.reading}"])

    @property
    def reading(self) -> str:
        """What the shares mean for whoever was trained on the old catalog."""
        if not self.n_common:
            return "no item is in both, so there is nothing to compare."
        if self.changed == 0:
            return "nothing to do: whatever was trained on the old catalog reads the new one."
        if self.changed <= _FEW:
            return (
                "as after a warm start: whatever was trained on the old catalog reads the new one, "
                "but for these few items."
            )
        if self.changed_by_level[0] <= _FEW:
            return (
                "first codes mean what they meant, later ones don't: train on. A warm start with "
                "more stability keeps more."
            )
        grouped = f"{self.changed_matched[0]:.0%} of the items are in another first group"
        if self.changed_matched[0] <= _USUAL:
            return (
                "codes mean something else: train anew whatever was trained on the old catalog. "
                f"Names apart, {grouped}, as is usual between two fits."
            )
        return (
            f"codes mean something else, and {grouped}, more than is usual between two fits to the "
            "same vectors: are the vectors others, or are the items?"
        )


@dataclass(frozen=True)
class FitShift(Shown):
    """Errors of new items against those of old ones; printed, with a reading of them.

    Attributes
    ----------
    ratio_by_depth : list of float
        Mean squared error of the new items over that of the old ones, with the first 1, 2, …
        levels.
    median_ratio : float
        The same for the medians, at full depth.
    beyond_95 : float
        Share of new items with an error above the 95th percentile of the old ones; 0.05 without
        drift.
    ks_statistic, ks_pvalue : float
        Kolmogorov-Smirnov test of the two distributions of errors.
    """

    ratio_by_depth: list[float]
    median_ratio: float
    beyond_95: float
    ks_statistic: float
    ks_pvalue: float

    def __str__(self) -> str:
        """Say it in a few lines."""
        ratios = " ".join(f"{ratio:.2f}" for ratio in self.ratio_by_depth)
        return (
            f"error of new items over that of old ones, after 1, 2, … codes: {ratios}\n"
            f"of the median item: {self.median_ratio:.2f}; worse off than 95 % of the old ones: "
            f"{self.beyond_95:.1%}\nreading: {self.reading}"
        )

    @property
    def reading(self) -> str:
        """What the numbers ask for, by the rules of thumb of the user guide."""
        ratio = self.ratio_by_depth[-1]
        if ratio > 1.5 and self.median_ratio <= 1.2:
            return "a few items are far off, most aren't: look at them before anything else."
        if ratio > 1.5 and self.beyond_95 > 0.2:
            return "new items are of another kind: a warm start on all items, or a new fit."
        if ratio > 1.2 or self.beyond_95 > 0.1:
            return "IDs are coarser for new items than for old ones: append them, and watch."
        return "new items are like old ones: append them."


def compare_catalogs(
    old_codes: Any,
    old_items: Any,
    new_codes: Any,
    new_items: Any,
    *,
    codebooks: Sequence[Any] | None = None,
    other_codebooks: Sequence[Any] | None = None,
) -> DriftReport:
    """Compare the codes that two catalogs give to the same items.

    Two fits of a quantizer number their codewords differently although they group items alike. So
    the codes of each level are matched one to one with the Hungarian method: by the number of
    common items, or by the distance of codewords if both codebooks are given, of the same width,
    and leave no more items in another group.

    Parameters
    ----------
    old_codes : array-like of int of shape (n_old, n_levels)
        Codes of the old catalog, without suffix.
    old_items : array-like of int or str of shape (n_old,)
        Its item ids.
    new_codes : array-like of int of shape (n_new, n_levels)
        Codes of the new catalog, without suffix.
    new_items : array-like of int or str of shape (n_new,)
        Its item ids.
    codebooks, other_codebooks : sequence of array-like, optional
        Codewords of the old and the new catalog, (codebook_size, embed_dim) for each level.

    Returns
    -------
    report : DriftReport
        What changed; shares are NaN without common items.

    Raises
    ------
    ValueError
        If the catalogs differ in the number of levels or in the type of item ids, an item is in one
        of them twice, or a value is no code.
    """
    old_codes, new_codes = _codes(old_codes), _codes(new_codes)
    if old_codes.shape[1] != new_codes.shape[1]:
        raise ValueError(
            f"the catalogs have {old_codes.shape[1]} and {new_codes.shape[1]} levels; only "
            "catalogs with the same "
            "number of levels can be compared."
        )
    old_ids = check_item_ids(old_items, len(old_codes))
    new_ids = check_item_ids(new_items, len(new_codes))
    for ids in (old_ids, new_ids):
        item_order(ids)  # or says which one is there twice
    if len(old_ids) and len(new_ids) and old_ids.dtype.kind != new_ids.dtype.kind:
        raise ValueError("one catalog has integers as item ids, the other strings; convert one.")
    # Object arrays of strings sort in numpy's set routines, variable-width strings not in all
    # versions.
    _, old_rows, new_rows = np.intersect1d(
        hand_out(old_ids), hand_out(new_ids), assume_unique=True, return_indices=True
    )
    a, b = old_codes[old_rows], new_codes[new_rows]
    n_common, n_levels = a.shape
    by_vectors = codebooks is not None and other_codebooks is not None
    if by_vectors:
        pairs = list(zip(codebooks or (), other_codebooks or (), strict=True))
        by_vectors = all(np.shape(x)[1] == np.shape(y)[1] for x, y in pairs)
    matching, shift, matched = [], [], []
    for level in range(n_levels):
        n_old = int(old_codes[:, level].max(initial=0)) + 1
        n_new = int(new_codes[:, level].max(initial=0)) + 1
        ways = [_match_by_items(a[:, level], b[:, level], n_old, n_new)]
        if by_vectors:
            by_distance, distance = match_codebooks(*pairs[level])
            shift.append(distance)
            ways.insert(0, by_distance)
        # Codewords of two fits lie in latents of their own, which may be rotated.
        changed = [_share(match[b[:, level]] != a[:, level]) for match in ways]
        best = int(np.argmin(changed)) if n_common else 0
        matching.append(ways[best])
        matched.append(changed[best])
    different = a != b
    return DriftReport(
        n_common=n_common,
        n_added=len(new_codes) - n_common,
        n_removed=len(old_codes) - n_common,
        changed=_share(different.any(axis=1)),
        changed_by_level=[_share(different[:, level]) for level in range(n_levels)],
        changed_prefix=[_share(different[:, : depth + 1].any(axis=1)) for depth in range(n_levels)],
        changed_matched=matched,
        codeword_shift=shift,
        matching=matching,
    )


def match_codebooks(codebook: Any, other_codebook: Any) -> tuple[NDArray[np.int64], float]:
    """Match the codewords of two codebooks one to one, at the least sum of squared distances.

    Parameters
    ----------
    codebook : array-like of shape (codebook_size, embed_dim)
        Old codewords.
    other_codebook : array-like of shape (other_size, embed_dim)
        New codewords.

    Returns
    -------
    matching : ndarray of int of shape (other_size,)
        Old codeword for each new one, -1 for none if there are more new ones.
    shift : float
        Root mean square distance of the pairs, in units of the root mean square distance of the
        old codewords from their mean (infinite if these are all equal and the pairs differ).
    """
    old = np.asarray(as_array(codebook), dtype=np.float64)
    new = np.asarray(as_array(other_codebook), dtype=np.float64)
    cost = (new**2).sum(1)[:, None] - 2 * new @ old.T + (old**2).sum(1)
    new_codes, old_codes = linear_sum_assignment(cost)
    matching = np.full(len(new), -1, dtype=np.int64)
    matching[new_codes] = old_codes
    # Differences again: the expanded square loses the digits of small distances.
    distance = ((new[new_codes] - old[old_codes]) ** 2).sum(axis=1).mean()
    spread = ((old - old.mean(axis=0)) ** 2).sum(axis=1).mean()
    if spread == 0.0:
        return matching, 0.0 if distance == 0.0 else float("inf")
    return matching, float(np.sqrt(distance / spread))


def fit_shift(estimator: Any, X: Any, X_new: Any) -> FitShift:
    """Compare how well a fitted quantizer represents new items and old ones.

    Compare with old items that were *not* in the fit: those that were are always reconstructed
    better, and would make every new item look strange.

    Parameters
    ----------
    estimator : object
        Fitted; has ``transform``, and ``inverse_transform`` that takes the codes of the first
        levels too. A pipeline is judged on its longest tail that has an inverse: what follows a
        text embedder.
    X : array-like of shape (n_samples, n_features)
        Vectors of items of the old kind, kept out of the fit, or whatever the pipeline takes.
    X_new : array-like of shape (n_new, n_features)
        The same of new items.

    Returns
    -------
    shift : FitShift
        Ratios above 1, and more than 5 % of the items beyond the 95th percentile, say that the
        catalog drifts away.
    """
    tail, *rows = invertible_tail(estimator, X, X_new)
    old, new = (_errors_by_depth(tail, some) for some in rows)
    means = np.stack([old.mean(axis=1), new.mean(axis=1)])
    medians = np.median(old[-1]), np.median(new[-1])
    test = ks_2samp(old[-1], new[-1])
    return FitShift(
        ratio_by_depth=[_ratio(b, a) for a, b in means.T],
        median_ratio=_ratio(medians[1], medians[0]),
        beyond_95=_share(new[-1] > np.quantile(old[-1], 0.95)),
        ks_statistic=float(test.statistic),
        ks_pvalue=float(test.pvalue),
    )


def _errors_by_depth(estimator: Any, X: Any) -> NDArray[np.float64]:
    """Return squared errors with the first 1, 2, … levels, shape (n_levels, n_rows)."""
    codes = np.asarray(as_array(estimator.transform(X)))
    errors = np.empty((codes.shape[1], len(codes)))
    for chunk in chunks(len(codes)):
        rows = np.arange(chunk.start, chunk.stop)
        x = np.asarray(as_array(take_rows(X, rows)), dtype=np.float64)
        for level in range(codes.shape[1]):
            decoded = np.asarray(as_array(estimator.inverse_transform(codes[chunk, : level + 1])))
            errors[level, chunk] = ((x - decoded) ** 2).sum(axis=1)
    return errors


def _codes(codes: Any) -> NDArray[Any]:
    """Return checked codes; a catalog may be empty."""
    found = as_codes(codes)
    return check_codes(found) if found.size else found


def _match_by_items(
    old: NDArray[Any], new: NDArray[Any], n_old: int, n_new: int
) -> NDArray[np.int64]:
    """Match codes so that as many items as possible keep theirs."""
    common = np.zeros((n_new, n_old), dtype=np.int64)
    np.add.at(common, (new, old), 1)
    new_codes, old_codes = linear_sum_assignment(common, maximize=True)
    matching = np.full(n_new, -1, dtype=np.int64)
    matching[new_codes] = old_codes
    return matching


def _share(condition: NDArray[np.bool_]) -> float:
    return float(condition.mean()) if condition.size else float("nan")


def _ratio(numerator: float, denominator: float) -> float:
    if denominator == 0.0:
        return 1.0 if numerator == 0.0 else float("inf")
    return float(numerator / denominator)
