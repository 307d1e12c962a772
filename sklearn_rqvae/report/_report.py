"""The report on a fitted quantizer, and the function that makes it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import config_context
from sklearn.base import BaseEstimator

from sklearn_rqvae._files._replace import replace_file
from sklearn_rqvae._fitted import codebook_sizes, codes_of, invertible_tail
from sklearn_rqvae._rows._hashing import duplicate_groups
from sklearn_rqvae._validation import as_array
from sklearn_rqvae.embedding._texts import texts_or_empty
from sklearn_rqvae.metrics._checks import (
    check_count,
    check_labels,
    check_same_length,
    check_vectors,
)
from sklearn_rqvae.report._behavior import Behavior, measure_behavior
from sklearn_rqvae.report._comparison import Comparison, compare, split_rows
from sklearn_rqvae.report._findings import Finding, Model, find, verdict
from sklearn_rqvae.report._html import write_fragment, write_page
from sklearn_rqvae.report._measures import LevelMeasures, Measures, measure
from sklearn_rqvae.report._pictures import Material, Picture, draw
from sklearn_rqvae.report._samples import ItemGroup, ItemSample, draw_samples, largest_collisions
from sklearn_rqvae.report._text import write_text

__all__ = ["Report", "report"]

_N_COLLISIONS = 3


@dataclass(frozen=True)
class Report:
    """What :func:`report` found, in forms for a terminal, a program, a browser and a notebook.

    ``str(report)`` is the text, `to_dict` plain values, `to_html` a page without anything outside
    it; notebooks show the page's content.

    Attributes
    ----------
    title : str
        Title of the report.
    estimator : str
        What was judged, as Python would write it.
    overall : Measures
        Measures of all items together.
    levels : list of LevelMeasures
        Measures of each level, and of the prefixes that end at it.
    comparison : Comparison or None
        Results of the estimator and its rivals on held-out rows.
    verdict : str
        Whether the estimator is worth it.
    method : str
        How the comparison was made, or why it wasn't.
    findings : list of Finding
        What the numbers mean and what to change, problems first.
    samples : list of ItemSample
        Items, and others that share their codes.
    collisions : list of ItemGroup
        The largest groups of items with one semantic ID.
    behavior : Behavior or None
        What histories say about the codes; None without them.
    """

    title: str
    estimator: str
    overall: Measures
    levels: list[LevelMeasures]
    comparison: Comparison | None
    verdict: str
    method: str
    findings: list[Finding]
    samples: list[ItemSample]
    collisions: list[ItemGroup]
    behavior: Behavior | None
    _material: Material = field(repr=False)

    def __str__(self) -> str:
        return write_text(self)

    def __repr__(self) -> str:
        return f"<Report: {self.title}; {self.verdict.partition('. ')[0]}>"

    def _repr_html_(self) -> str:
        return write_fragment(self)

    def pictures(self) -> list[Picture]:
        """Return the pictures, drawn on the first call.

        Returns
        -------
        pictures : list of Picture
            SVG, and PNG where there are thousands of points.

        Raises
        ------
        ImportError
            If matplotlib isn't installed.
        """
        return self._pictures

    def to_dict(self) -> dict[str, Any]:
        """Return all but the pictures as numbers, strings, lists and dictionaries.

        Returns
        -------
        values : dict
            Ready for `json.dumps`; None stands for what doesn't exist.
        """
        return {
            "title": self.title,
            "estimator": self.estimator,
            **asdict(self.overall),
            "n_distinct": self.levels[-1].n_distinct,
            "collision_rate": self.levels[-1].collision_rate,
            "unexplained": self.levels[-1].unexplained,
            "levels": [asdict(level) for level in self.levels],
            "comparison": None
            if self.comparison is None
            else asdict(self.comparison)
            | {"outcome": self.comparison.outcome, "gain": self.comparison.gain},
            "verdict": self.verdict,
            "method": self.method,
            "findings": [asdict(finding) for finding in self.findings],
            "samples": [asdict(sample) for sample in self.samples],
            "collisions": [asdict(group) for group in self.collisions],
            "behavior": None if self.behavior is None else asdict(self.behavior),
        }

    def to_html(self, path: str | os.PathLike | None = None) -> str:
        """Return the report as a page that needs no other file, no network and no script.

        Parameters
        ----------
        path : str or path-like, optional
            File to write the page to, in UTF-8; it appears complete or not at all.

        Returns
        -------
        page : str
            The page. Without matplotlib it has no pictures and says so.
        """
        page = write_page(self)
        if path is not None:
            with replace_file(path) as file:
                file.write(page.encode("utf-8"))
        return page

    @cached_property
    def _pictures(self) -> list[Picture]:
        return draw(self._material, self.comparison)


@config_context(transform_output="default")
def report(
    estimator: BaseEstimator,
    X: Any,
    *,
    X_train: Any = None,
    names: Sequence[str] | None = None,
    texts: Sequence[str] | None = None,
    labels: ArrayLike | None = None,
    histories: Any = None,
    item_ids: ArrayLike | None = None,
    compare_rivals: bool = True,
    max_rows: int = 50_000,
    n_neighbors: int = 10,
    n_samples: int = 4,
    n_names: int = 4,
    title: str | None = None,
    random_state: int = 0,
) -> Report:
    """Judge a fitted quantizer: its codes, its reconstruction, and whether it is worth it.

    Health and collisions are counted on `X`, level by level. The verdict compares the estimator
    with `ResidualKMeans`, with k-means on principal components, and with the residual quantizer of
    faiss where it is installed, all of the same codebook sizes, fitted on the same rows and judged
    by the same other rows. Without `X_train` the estimator is taken to have been fitted on `X`, so
    that no row is left to judge by; a copy of it is then fitted again on four fifths of the
    distinct rows, and that takes as long as its first fit.

    A pipeline is judged on its longest tail that has an inverse: what follows a text embedder, and
    a step that fills in missing numbers.

    Parameters
    ----------
    estimator : object with ``transform``, ``inverse_transform`` and ``codebooks_``
        Fitted transformer, a pipeline that ends with one, or a search over either.
    X : array-like of shape (n_items, n_features), or sequence of str
        The catalog, as `estimator` takes it.
    X_train : like X, optional
        What `estimator` was fitted on. The verdict is then about this very estimator, and about the
        rows of `X` that aren't among them.
    names : sequence of str of length n_items, optional
        Names of the items in the samples; `texts` if not given, then the texts in `X`, then row
        numbers.
    texts : sequence of str of length n_items, optional
        Texts from which the picture of prefixes takes its words; `X` if it has texts, then `names`.
    labels : array-like of shape (n_items,), optional
        Labels of the items, such as their categories, to compare the prefixes with.
    histories : Histories, sparse matrix, data frame or sequence of sequences, optional
        Who touched which items, as :meth:`~sklearn_rqvae.embedding.Histories.read` takes it, to
        tell whether users' items share prefixes.
    item_ids : array-like of shape (n_items,), optional
        Id of each row of `X` in the histories; their numbers if not given.
    compare_rivals : bool, default=True
        Whether to fit rivals and give a verdict.
    max_rows : int, default=50_000
        Distinct rows used by a comparison without `X_train`, drawn at random if there are more.
    n_neighbors : int, default=10
        Number of nearest neighbors that should be kept.
    n_samples : int, default=4
        Items to show with others that share their codes.
    n_names : int, default=4
        Names to show of each group of items.
    title : str, optional
        Title of the report.
    random_state : int, default=0
        Seed of splits, samples and rivals.

    Returns
    -------
    report : Report
        The numbers, and what they mean.

    Raises
    ------
    ValueError
        If lengths differ, all rows are equal, a number is out of range, histories hold an item
        that `X` doesn't, or the estimator isn't fitted or has no codebooks.

    Examples
    --------
    >>> from sklearn_rqvae import ResidualKMeans
    >>> from sklearn_rqvae.datasets import make_residual_blobs
    >>> from sklearn_rqvae.report import report
    >>> X, _ = make_residual_blobs(500, 8, n_layers=2, codebook_size=4, random_state=0)
    >>> quantizer = ResidualKMeans(n_layers=2, codebook_size=4, random_state=0).fit(X)
    >>> judged = report(quantizer, X, compare_rivals=False)
    >>> judged.levels[0].utilization
    1.0
    >>> judged.verdict
    'Not judged: the comparison with rivals was switched off.'
    """
    check_count("max_rows", max_rows, 50, 2**62, "a comparison needs rows to fit and to judge by")
    check_count("n_samples", n_samples, 0, 2**31, "it counts the items to show")
    check_count("n_names", n_names, 1, 2**31, "a group is shown by names")
    check_count("random_state", random_state, 0, 2**32 - 1, "it seeds splits, samples and rivals")
    estimator = getattr(estimator, "best_estimator_", estimator)
    sizes = codebook_sizes(estimator)
    codes = codes_of(estimator, X)
    given = [X] if X_train is None else [X, X_train]
    quantizer, *inner = invertible_tail(estimator, *given)
    vectors, *train = (check_vectors(as_array(rows)) for rows in inner)
    check_same_length("X", vectors, "codes", codes)
    names, texts = _names_and_texts(X, len(codes), names, texts)
    if labels is not None:
        labels = check_labels(labels, codes)
    if histories is None and item_ids is not None:
        raise ValueError("item_ids names the items of histories, but there are none; give both.")
    behavior = None
    if histories is not None:  # before what takes long, as it may be wrong
        behavior = measure_behavior(
            quantizer, vectors, codes, labels, histories, item_ids, n_neighbors, random_state
        )
    distinct, row_groups = duplicate_groups(vectors)
    overall, levels, norms = measure(
        quantizer, vectors, codes, sizes, len(distinct), labels, n_neighbors, random_state
    )
    seen = train[0] if train else None
    comparison, method = _compare(
        quantizer, sizes, vectors, seen, compare_rivals, max_rows, n_neighbors, random_state
    )
    model = Model.of(quantizer.steps[-1][1] if hasattr(quantizer, "steps") else quantizer)
    rng = np.random.default_rng(random_state)
    return Report(
        title=title or f"Report on {model.name}",
        estimator=" ".join(str(estimator).split()),
        overall=overall,
        levels=levels,
        comparison=comparison,
        verdict=verdict(model.name, comparison, method),
        method=f"{method[0].upper()}{method[1:]}.",
        findings=find(overall, levels, comparison, model),
        samples=draw_samples(codes, names, n_samples, n_names, rng),
        collisions=largest_collisions(codes, names, row_groups, _N_COLLISIONS, n_names),
        behavior=behavior,
        _material=Material(vectors, codes, sizes, norms, texts, model.history),
    )


def _compare(
    quantizer: BaseEstimator,
    sizes: Sequence[int],
    X: NDArray[Any],
    X_train: NDArray[Any] | None,
    wanted: bool,
    max_rows: int,
    n_neighbors: int,
    random_state: int,
) -> tuple[Comparison | None, str]:
    """Return the comparison, and how it was made or why it wasn't."""
    if not wanted:
        return None, "the comparison with rivals was switched off"
    split = split_rows(X, X_train, max_rows, random_state)
    if isinstance(split, str):
        return None, split
    train, held_out, refit = split
    result = compare(quantizer, sizes, train, held_out, refit, n_neighbors, random_state)
    rows = f"{len(train):,} training rows and judged by {len(held_out):,} others"
    if refit:
        why = "was fitted on these items" if X_train is None else "has seen nearly all these items"
        how = f"the estimator {why}, so a copy of it and its rivals were fitted on {rows}"
    else:
        how = f"the estimator and its rivals were fitted on the same {rows}"
    for name, reason in result.skipped.items():
        how += f"; {name} was left out: {reason}"
    return result, how


def _names_and_texts(
    X: Any, n_items: int, names: Sequence[str] | None, texts: Sequence[str] | None
) -> tuple[list[str], list[str] | None]:
    """Return a name for each item, and texts if there are any."""
    for what, given in (("names", names), ("texts", texts)):
        if given is not None and len(given) != n_items:
            raise ValueError(
                f"{what} has {len(given)} entries but X has {n_items} rows; give one for each."
            )
    if texts is None and getattr(X, "ndim", 1) == 1 and any(isinstance(x, str) for x in X):
        texts = X
    shown = names if texts is None else texts
    if shown is None:
        return [f"row {row}" for row in range(n_items)], None
    found_texts = texts_or_empty(shown)
    found_names = found_texts if names is None else texts_or_empty(names)
    return [name or f"row {row}" for row, name in enumerate(found_names)], found_texts
