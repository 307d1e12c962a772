"""``sklearn-rqvae report``: how good a model's IDs are for items."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sklearn_rqvae._cli._histories import read_histories
from sklearn_rqvae._cli._items import (
    check_places,
    in_batches,
    is_array,
    print_json,
    read_model_items,
    say,
    texts_of,
)
from sklearn_rqvae._cli._model import load_model, quantizer_of
from sklearn_rqvae._cli._quality import quality_of, summary_of
from sklearn_rqvae._files._replace import replace_file
from sklearn_rqvae._files._tables import read_table

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

__all__ = ["report"]

# Fewer items have fewer neighbors.
_N_NEIGHBORS = 10


def report(args: argparse.Namespace) -> None:
    """Run the command."""
    if args.html:
        check_places([args.model, args.input, args.histories], {"--html": args.html})
    elif not args.full and (args.name or args.label or args.no_compare or args.histories):
        raise ValueError(
            "--name, --label, --histories and --no-compare belong to --full or --html."
        )
    if args.history_columns and args.histories is None:
        raise ValueError("--history-columns names columns of --histories; give both.")
    model = load_model(args.model)
    items, ids = read_model_items(args, model)
    names, labels = _read_report_columns(args, ids, bool(model["text"]))
    histories = read_histories(args, ids)
    texts = items if model["text"] else None
    if texts is not None:
        items = in_batches(model["pipeline"].named_steps["emb"].transform, items, "embedding")
    quantizer = quantizer_of(model)
    if args.full or args.html:
        item_ids = None if histories is None else [str(value) for value in ids]
        behavior = {"histories": histories, "item_ids": item_ids}
        _full_report(args, quantizer, items, texts, names, labels, behavior)
        return
    codes = in_batches(quantizer.transform, items, "encoding")
    quality = quality_of(quantizer, items, codes)
    if args.json:
        print_json(quality)
        return
    print("level  codewords  used  perplexity  unexplained variance so far")
    for level, row in enumerate(quality["levels"]):
        print(
            f"{level:5}  {row['codebook_size']:9}  {row['utilization']:4.0%}  "
            f"{row['perplexity']:10.1f}  {row['unexplained']:27.1%}"
        )
    print(f"{quality['n_items']} items: {summary_of(quality)}.")


def _full_report(
    args: argparse.Namespace,
    quantizer: BaseEstimator,
    vectors: Any,
    texts: Sequence[str] | None,
    names: Sequence[str] | None,
    labels: Sequence[str] | None,
    behavior: dict[str, Any],
) -> None:
    """Write the page, and print the text or JSON, or the verdict if there is a page."""
    from sklearn_rqvae.report import report as report_on

    if not args.no_compare:
        say("fitting rivals, and the model again, on a part of the items")
    judged = report_on(
        quantizer,
        vectors,
        names=names,
        texts=texts,
        labels=labels,
        **behavior,
        compare_rivals=not args.no_compare,
        n_neighbors=max(min(_N_NEIGHBORS, len(vectors) - 1), 1),
        random_state=args.seed,
    )
    if args.html:
        with replace_file(args.html) as file:
            file.write(judged.to_html().encode("utf-8"))
    if args.json:
        print_json(judged.to_dict())
    elif args.full:
        print(judged)
    else:
        print(f"Wrote {args.html}. {judged.verdict}")


def _read_report_columns(
    args: argparse.Namespace, ids: Sequence[Any], has_texts: bool
) -> tuple[Sequence[str] | None, Sequence[str] | None]:
    """Return names and labels of the items; ids are names where nothing says more."""
    asked = [column for column in (args.name, args.label) if column]
    if asked and is_array(args.input):
        raise ValueError(f"{args.input} holds an array: --name and --label name columns of tables.")
    columns = {}
    if asked:
        table = read_table(args.input, asked, only=asked)
        columns = {name: texts_of(table, name, args.input) for name in asked}
    names, labels = columns.get(args.name), columns.get(args.label)
    if names is None and not has_texts and args.id:
        names = [str(value) for value in ids]
    return names, labels
