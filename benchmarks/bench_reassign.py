"""Ask how long it takes to give colliding items IDs of their own, and at what error.

    python benchmarks/bench_reassign.py --n-items 100000 1000000
    python benchmarks/bench_reassign.py --vectors vectors.npy --n-items 1000000 --codebook-size 256
    python benchmarks/bench_reassign.py --vectors vectors.npy --n-items 10000000 \\
        --codebook-size 512 --noise 1.1

The first draws items in a plane of IDs, where nearly half of them collide and compete with
thousands of others. The others take rows of a matrix in a random order (.npy), and fit the
default quantizer, its levels of the given sizes, to the first 65,536 of them; where more items are
asked for than there are rows, rows are repeated with noise. ``--exact`` runs the exact solver too,
whose time grows with the square of the number of items. Times are CPU seconds: of encoding all
items, of the search for candidates, and of all that reassignment takes besides. The peak is that
of the process.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from typing import Any

import numpy as np

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae.semantic_id import SemanticIDIndex
from sklearn_rqvae.semantic_id._collisions import _assignment


class Plane:
    """A quantizer whose IDs are the squares of a plane; each level divides a square into 256.

    Vectors have two coordinates in the plane, and a third that no ID describes.
    """

    def __init__(self, side: int) -> None:
        self.side = side
        self.n_levels = int(np.ceil(np.log2(side) / 4))

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return the codes of the square in which each vector lies."""
        return self._codes(X[:, :2].astype(np.int64))

    def candidate_codes(self, X: np.ndarray, n_candidates: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the codes of the nearest squares, and the squared distances of their centers."""
        reach = np.arange(-(half := int(np.sqrt(n_candidates)) // 2 + 1), half + 1)
        steps = np.stack(np.meshgrid(reach, reach, indexing="ij"), axis=-1).reshape(-1, 2)
        squares = X[:, None, :2].astype(np.int64) + steps
        errors = ((squares + 0.5 - X[:, None, :2]) ** 2).sum(axis=-1) + X[:, 2:] ** 2
        errors[((squares < 0) | (squares >= self.side)).any(axis=-1)] = np.inf
        nearest = np.argsort(errors, axis=1)[:, :n_candidates]
        squares = np.take_along_axis(squares, nearest[..., None], axis=1)
        codes = self._codes(squares.clip(0, self.side - 1))
        return codes, np.take_along_axis(errors, nearest, axis=1)

    def inverse_transform(self, codes: np.ndarray) -> np.ndarray:
        """Return the centers of squares."""
        shifts = 4 * np.arange(self.n_levels)[::-1]
        row, column = ((codes >> 4) << shifts).sum(axis=-1), ((codes & 15) << shifts).sum(axis=-1)
        return np.stack([row + 0.5, column + 0.5, np.zeros(len(codes))], axis=-1)

    def _codes(self, squares: np.ndarray) -> np.ndarray:
        digits = squares[..., None, :] >> 4 * np.arange(self.n_levels)[::-1, None] & 15
        return digits @ [16, 1]


def draw_catalog(n_items: int, seed: int) -> tuple[Plane, np.ndarray]:
    """Draw items in a plane of two squares an item.

    Half of them lie in towns, in the middle of which 0.3 to 0.9 fall on a square; the others lie
    anywhere.
    """
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(2 * n_items)))
    place = rng.uniform(0, side, size=(n_items, 2))
    population = rng.pareto(2.0, size=n_items // 40) + 1
    in_town = np.flatnonzero(rng.random(n_items) < 0.5)
    town = rng.choice(len(population), size=len(in_town), p=population / population.sum())
    crowd = rng.uniform(0.3, 0.9, size=len(population))
    spread = np.sqrt(np.bincount(town, minlength=len(population)) / (2 * np.pi * crowd))
    center = rng.uniform(0, side, size=(len(population), 2))
    place[in_town] = center[town] + spread[town, None] * rng.normal(size=(len(in_town), 2))
    rest = rng.gamma(4.0, size=(n_items, 1)) ** 0.5
    return Plane(side), np.concatenate([place % side, rest], axis=1)


FITTED_ROWS = 65_536


def take_rows(path: str, n_items: int, noise: float) -> np.ndarray:
    """Return rows of a file in a random order, with noise from the second time on.

    Noise is in units of the coordinates' mean standard deviation.
    """
    X, rng = np.load(path, mmap_mode="r"), np.random.default_rng(0)
    order = rng.permutation(len(X))
    rows = np.empty((n_items, X.shape[1]), dtype=np.float32)
    for start in range(0, n_items, len(X)):
        part = rows[start : start + len(X)]
        for first in range(0, len(part), 2**16):
            some = part[first : first + 2**16]
            some[:] = X[order[first : first + len(some)]]
            if start:
                size = noise * np.sqrt(some.var(axis=0).mean())
                some += size * rng.standard_normal(some.shape, dtype=np.float32)
    return rows


class Timed:
    """A quantizer, and the CPU seconds that its methods took."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.seconds = {"transform": 0.0, "candidate_codes": 0.0}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Encode and count the time."""
        return self._timed("transform", X)

    def candidate_codes(self, X: np.ndarray, n_candidates: int) -> tuple[np.ndarray, np.ndarray]:
        """Search and count the time."""
        return self._timed("candidate_codes", X, n_candidates)

    def _timed(self, name: str, *arguments: Any) -> Any:
        start = time.process_time()
        found = getattr(self.model, name)(*arguments)
        self.seconds[name] += time.process_time() - start
        return found


def measure(model: Any, vectors: np.ndarray, n_candidates: int) -> dict[str, Any]:
    """Build an index; return what it took and did."""
    start, timed = time.process_time(), Timed(model)
    report = SemanticIDIndex.from_estimator(
        timed, vectors, collisions="reassign", n_candidates=n_candidates
    ).report_
    encoding, search = timed.seconds["transform"], timed.seconds["candidate_codes"]
    seconds = time.process_time() - start - encoding
    added = report.error_after - report.error_before
    return {
        "encoding (CPU s)": round(encoding, 1),
        "reassignment (CPU s)": round(seconds, 1),
        "of which search (CPU s)": round(search, 1),
        "peak of the process (MiB)": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "items": report.n_items,
        "colliding": report.n_colliding,
        "most on one ID": report.largest_group,
        "moved": report.n_moved,
        "beyond candidates": report.n_fallback,
        "added error": round(added, 2),
        "added error, share": round(report.added_error, 5),
        "gap at most, share of added error": round(report.error_gap / added, 4),
    }


def compare(model: Any, vectors: np.ndarray, n_candidates: int, exact: bool) -> None:
    """Print what reassignment takes, and what the exact solver takes if that is asked for."""
    result: dict[str, Any] = {"as shipped": measure(model, vectors, n_candidates)}
    if exact:
        shipped, _assignment.EXACT_ITEMS = _assignment.EXACT_ITEMS, 2**62
        result["exact"] = measure(model, vectors, n_candidates)
        _assignment.EXACT_ITEMS = shipped
        added = [result[name]["added error"] for name in ("as shipped", "exact")]
        result["added error over that of the exact solver"] = round(added[0] / added[1], 4)
    print(json.dumps(result, indent=2), flush=True)


def main() -> None:
    """Run and print one JSON object per catalog."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-items", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--n-candidates", type=int, default=32)
    parser.add_argument("--vectors", metavar="FILE", help="measure on these (.npy)")
    parser.add_argument("--codebook-size", type=int, default=256, help="of the levels, for vectors")
    parser.add_argument("--noise", type=float, default=0.1, help="of vectors that are repeated")
    parser.add_argument("--exact", action="store_true", help="also solve exactly")
    arguments = parser.parse_args()
    for n_items in arguments.n_items:
        if arguments.vectors:
            vectors = take_rows(arguments.vectors, n_items, arguments.noise)
            model = RQVAETransformer(codebook_size=arguments.codebook_size, random_state=0)
            model.fit(vectors[:FITTED_ROWS])
        else:
            model, vectors = draw_catalog(n_items, seed=0)
        compare(model, vectors, arguments.n_candidates, arguments.exact)


if __name__ == "__main__":
    main()
