"""How many levels and codewords a catalog needs, by a law of collisions that was measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

from sklearn_rqvae._validation import check_codebook_size

__all__ = ["SuggestedSizes", "expected_collision_rate", "suggest_sizes"]

# The law, by ``benchmarks/bench_sizes.py``: how much the items of a catalog are alike, chosen
# between titles and long descriptions of products, and both ends of what was measured.
LIKENESS = 0.01
LIKENESS_RANGE = (0.008, 0.052)
# Items per codeword from which on only their root counts, as in a catalog of a million texts.
CROWDED = 50.0

_ITEMS_PER_CODEWORD = 10
_SIZES = tuple(2**bits for bits in range(4, 12))
_LEVELS = (3, 4, 5)


@dataclass(frozen=True)
class SuggestedSizes:
    """Levels and codewords for a catalog, and the collisions to expect; prints as a table.

    Parameters
    ----------
    n_items : int
        Number of items with different vectors.
    n_layers : int
        Number of levels.
    codebook_size : int
        Number of codewords at each level.
    collision_rate : float
        Expected share of items whose ID another one had before, in [0, 1].
    collision_range : tuple of (float, float)
        The same where items are as little, and as much, alike as in any catalog measured.
    target_collisions : float
        What was asked for.
    alternatives : tuple of (int, int, float)
        Levels, codewords and expected rate of other choices, one for each number of levels.
    """

    n_items: int
    n_layers: int
    codebook_size: int
    collision_rate: float
    collision_range: tuple[float, float]
    target_collisions: float
    alternatives: tuple[tuple[int, int, float], ...]

    def __str__(self) -> str:
        low, high = self.collision_range
        met = self.collision_rate <= self.target_collisions
        lines = [
            f"{self.n_items:,} items: {self.n_layers} levels of {self.codebook_size} codewords.",
            f"About {self.collision_rate:.1%} will share an ID with an item before them: from "
            f"{low:.1%} where items differ much to {high:.1%} where many are nearly alike.",
        ]
        if not met:
            lines.append(
                f"That is more than {self.target_collisions:.1%}, but codewords need items to be "
                "learned from, and large codebooks time. Make the IDs unique afterwards."
            )
        lines.append("levels x codewords   bits   items per codeword   collisions")
        for n_layers, size, rate in self.alternatives:
            mark = " <" if (n_layers, size) == (self.n_layers, self.codebook_size) else ""
            lines.append(
                f"{n_layers:6} x {size:<9}   {n_layers * math.log2(size):4.0f}   "
                f"{self.n_items / size:18.0f}   {rate:9.1%}{mark}".rstrip()
            )
        return "\n".join(lines)


def expected_collision_rate(
    n_items: int, codebook_size: int | Sequence[int] = 256, n_layers: int = 3
) -> float:
    r"""Estimate how many items will share their ID with another, before anything is fitted.

    Of items spread evenly over the IDs hardly any would collide. Real catalogs hold items that are
    nearly alike, and these collide the more, the more items a codeword has to serve. With
    :math:`u = n / K` items per codeword the odds are

    .. math::

       \frac{c}{1 - c} = \frac{n}{K^L} + \frac{a}{L^2} \, \frac{u}{\sqrt{1 + u / u_0}}

    with :math:`a` = 0.01 and :math:`u_0` = 50, by fits of the default model to a thousand up to a
    million texts. Within a catalog the law is right up to a factor of 1.7 in most cases, but
    :math:`a` went from 0.008 for titles of products to 0.052 for descriptions of functions, many of
    them nearly alike. Items with equal vectors always collide and aren't counted.

    Parameters
    ----------
    n_items : int
        Number of items with different vectors.
    codebook_size : int or sequence of int, default=256
        Number of codewords at each level.
    n_layers : int, default=3
        Number of levels.

    Returns
    -------
    rate : float
        Expected share of items whose ID another one had before, in [0, 1].

    Raises
    ------
    ValueError
        If a number isn't a positive integer.

    See Also
    --------
    suggest_sizes : Chooses levels and codewords by it.
    sklearn_rqvae.metrics.collision_rate : Counts the collisions of codes.
    sklearn_rqvae.metrics.collision_floor : Those that equal vectors make necessary.

    Examples
    --------
    >>> from sklearn_rqvae.semantic_id import expected_collision_rate
    >>> round(expected_collision_rate(12_000), 3)
    0.037
    """
    return _rate(_count(n_items, "n_items"), check_codebook_size(codebook_size, n_layers))


def suggest_sizes(
    n_items: int, n_layers: int | None = None, *, target_collisions: float = 0.1
) -> SuggestedSizes:
    """Suggest how many levels and codewords a catalog needs.

    The fewest levels, from three on, with the smallest codebooks that are expected to leave so few
    collisions. A codebook has at least ten items for each codeword to be learned from, and at most
    2048 codewords. Where that isn't enough, the choice with the fewest collisions is returned, and
    says so.

    Parameters
    ----------
    n_items : int
        Number of items with different vectors.
    n_layers : int or None, default=None
        Number of levels, if it is settled; None chooses from three to five.
    target_collisions : float, default=0.1
        Share of items that may share their ID with one before, in (0, 1). A
        :class:`~sklearn_rqvae.SemanticIDIndex` gives these an ID of their own.

    Returns
    -------
    suggested : SuggestedSizes
        `n_layers`, `codebook_size` and the expected `collision_rate`; prints as a table.

    Raises
    ------
    ValueError
        If a number is out of range.

    See Also
    --------
    expected_collision_rate : The law behind it.

    Examples
    --------
    >>> from sklearn_rqvae.semantic_id import suggest_sizes
    >>> suggested = suggest_sizes(12_000)
    >>> suggested.n_layers, suggested.codebook_size
    (3, 128)
    """
    n_items = _count(n_items, "n_items")
    if not isinstance(target_collisions, Real) or not 0 < target_collisions < 1:
        raise ValueError(
            f"target_collisions={target_collisions!r} should be a share between 0 and 1, such as "
            "0.1 for a tenth of the items."
        )
    levels = _LEVELS if n_layers is None else (_count(n_layers, "n_layers"),)
    sizes = [size for size in _SIZES if size * _ITEMS_PER_CODEWORD <= n_items] or [_SIZES[0]]
    choices = [_smallest(n_items, level, sizes, float(target_collisions)) for level in levels]
    enough = [choice for choice in choices if choice[2] <= target_collisions]
    chosen = enough[0] if enough else min(choices, key=lambda choice: choice[2])
    low, high = (_rate(n_items, [chosen[1]] * chosen[0], like) for like in LIKENESS_RANGE)
    return SuggestedSizes(n_items, *chosen, (low, high), float(target_collisions), tuple(choices))


def _smallest(
    n_items: int, n_layers: int, sizes: Iterable[int], target: float
) -> tuple[int, int, float]:
    """Return levels, the smallest size that meets the target or else the largest, and the rate."""
    for size in sizes:
        rate = _rate(n_items, [size] * n_layers)
        if rate <= target:
            break
    return n_layers, size, rate


def _rate(n_items: int, sizes: Sequence[int], likeness: float = LIKENESS) -> float:
    """Return the law's rate; codebooks of several sizes count by their geometric mean."""
    n_layers = len(sizes)
    log_ids = sum(map(math.log, sizes))
    per_codeword = n_items / math.exp(log_ids / n_layers)
    odds = n_items / math.exp(log_ids)
    odds += likeness / n_layers**2 * per_codeword / math.sqrt(1 + per_codeword / CROWDED)
    return odds / (1 + odds)


def _count(value: int, name: str) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}={value!r} should be an integer of at least 1.")
    return int(value)
