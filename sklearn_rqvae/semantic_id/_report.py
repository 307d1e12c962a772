"""What resolving the collisions of a catalog took."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae.semantic_id._html import Shown
from sklearn_rqvae.semantic_id._keys import KeyLayout
from sklearn_rqvae.semantic_id._ordering import canonical_order, position_in_group

__all__ = ["CollisionReport", "collision_error", "describe_groups"]


@dataclass(frozen=True)
class CollisionReport(Shown):
    """Collisions among the items of the last `fit` or `append`, and what was done about them.

    Attributes
    ----------
    n_items : int
        Items added.
    n_distinct : int
        Distinct codes among them, before collisions were resolved.
    n_colliding : int
        Items that shared their ID with another one, or met one that was in use or retired.
    largest_group : int
        Most items with one ID.
    n_duplicates : int or None
        Items whose vector equals that of an earlier row: no quantizer can tell them apart. None if
        no vectors were given.
    n_moved : int
        Items whose codes were changed (``collisions="reassign"``).
    n_fallback : int
        Those among them that took the nearest free ID because their candidates ran out.
    error_before, error_after : float or None
        Squared reconstruction error, summed over items and features, with the original and with
        the final IDs. None without reassignment. Items whose final error is unknown (a fallback
        outside given candidates) are left out of both.
    error_gap : float or None
        At most what `error_after` exceeds the least possible by, given the candidates of each round
        of the search, and counting what it would take to leave an item to the next round. 0.0
        where each round was solved exactly, None without reassignment.
    n_ids : int or None
        Distinct semantic IDs among them afterwards: `n_items`, except with ``collisions="none"``.
        None in a report that an earlier version saved.
    """

    n_items: int
    n_distinct: int
    n_colliding: int
    largest_group: int
    n_duplicates: int | None = None
    n_moved: int = 0
    n_fallback: int = 0
    error_before: float | None = None
    error_after: float | None = None
    error_gap: float | None = None
    n_ids: int | None = None

    @property
    def collision_rate(self) -> float:
        """Share of items lost if an ID could name one only, ``1 - n_distinct / n_items``."""
        return 1.0 - self.n_distinct / self.n_items if self.n_items else 0.0

    @property
    def added_error(self) -> float | None:
        """Relative increase of the error, e.g. 0.01 for 1 %; None without reassignment."""
        if self.error_before is None or self.error_after is None:
            return None
        if self.error_before == 0.0:
            return 0.0 if self.error_after == 0.0 else float("inf")
        if self.error_before < 0.0:  # as errors of given candidates may be
            return (self.error_after - self.error_before) / -self.error_before
        return self.error_after / self.error_before - 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers, derived ones too, as a dictionary.

        Returns
        -------
        content : dict
            Names and values.
        """
        return {
            **asdict(self),
            "collision_rate": self.collision_rate,
            "added_error": self.added_error,
        }

    def __str__(self) -> str:
        """Say it in a few lines."""
        n_later = self.n_items - self.n_distinct
        lines = [
            f"codes: {self.n_distinct} distinct ones of {self.n_items} items; {n_later} items "
            f"have those of an earlier one (collision rate {self.collision_rate:.2%})",
            f"{self.n_colliding} items shared their codes or met an ID in use, at most "
            f"{self.largest_group} on one",
        ]
        if self.n_ids is not None:
            all_or_some = "all" if self.n_ids == self.n_items else f"{self.n_ids} of"
            lines.append(f"IDs: {all_or_some} {self.n_items} distinct")
        if self.n_duplicates is not None:
            lines.append(f"{self.n_duplicates} items repeat the vector of another one")
        if self.added_error is not None:
            lines.append(
                f"{self.n_moved} items moved ({self.n_fallback} beyond their candidates), "
                f"reconstruction error {self.added_error:+.3%}"
            )
        return "\n".join(lines)


def describe_groups(
    keys: NDArray[Any], order: NDArray[np.intp], n_duplicates: int | None = None
) -> CollisionReport:
    """Count the groups of equal keys."""
    place = position_in_group(keys[order])
    return CollisionReport(
        n_items=len(keys),
        n_distinct=int((place == 0).sum()),
        # Each item beyond the first of a group collides, and so does the first of a group of two
        # or more.
        n_colliding=int((place > 0).sum() + (place == 1).sum()),
        largest_group=int(place.max()) + 1,
        n_duplicates=n_duplicates,
    )


def collision_error(
    keys: NDArray[Any], item_ids: NDArray[Any], layout: KeyLayout, way_out: str
) -> ValueError:
    """Say how many items share an ID, with an example."""
    order = canonical_order(keys, item_ids)
    report = describe_groups(keys, order)
    second = int(np.flatnonzero(keys[order[1:]] == keys[order[:-1]])[0]) + 1
    pair = [item_ids.item(order[place]) for place in (second - 1, second)]
    semantic_id = tuple(layout.unpack(keys[order[second : second + 1]])[0].tolist())
    return ValueError(
        f"{report.n_colliding} of {report.n_items} items share their ID with another one, such as "
        f"{pair[0]!r} and "
        f"{pair[1]!r} with {semantic_id}; {way_out}."
    )
