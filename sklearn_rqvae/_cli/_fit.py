"""``sklearn-rqvae fit``: learn IDs for a table of items, and save the model."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sklearn_rqvae._cli._items import (
    BATCH_ROWS,
    add_input,
    add_seed,
    in_batches,
    read_items,
    say,
    write_rows,
)
from sklearn_rqvae._cli._model import save_model
from sklearn_rqvae._cli._quality import quality_of, summary_of
from sklearn_rqvae._files._ids import check_table, writable_ids
from sklearn_rqvae._files._replace import check_place

__all__ = ["add_fit_command", "fit_quantizer"]


_MODES = ("STE", "ROTATION_TRICK", "GUMBEL_SOFTMAX", "SINKHORN")


def add_fit_command(subparsers: Any) -> None:
    """Add the command ``fit``."""
    fit = subparsers.add_parser("fit", help="learn IDs for a table of items")
    add_input(fit)
    fit.add_argument("--out", required=True, metavar="MODEL", help="where to save the model")
    fit.add_argument("--ids", metavar="FILE", help="write the items' IDs too")
    fit.add_argument("--text-model", default="tfidf", metavar="NAME", help="what encodes the texts")
    fit.add_argument("--n-components", type=int, default=256, help="length of the n-gram vectors")
    fit.add_argument("--method", choices=("rqvae", "kmeans"), default="rqvae")
    fit.add_argument("--n-layers", type=int, default=3, help="codes in an ID")
    fit.add_argument("--codebook-size", type=int, nargs="+", default=[256], metavar="K")
    fit.add_argument("--mode", choices=_MODES, help="how gradients pass the codebooks")
    fit.add_argument("--max-epochs", type=int, help="epochs of training")
    add_seed(fit)
    fit.set_defaults(run=_fit)


def _fit(args: argparse.Namespace) -> None:
    from sklearn.pipeline import Pipeline

    started = time.monotonic()
    if Path(args.input).suffix != ".npy" and bool(args.text) == bool(args.vector):
        raise ValueError("name the columns of the items with either --text or --vector.")
    quantizer = _quantizer(args)
    check_place(args.out)
    if Path(args.input).is_dir():
        from sklearn_rqvae._cli._directory import fit_directory

        print(fit_directory(args, quantizer, save_model))
        return
    if args.ids:
        check_table(args.ids)
    items, ids = read_items(args, args.text, args.vector, args.id)
    if args.ids:
        ids = writable_ids(args.ids, ids)
    _check_different(items, args.input)
    if args.text:
        from sklearn_rqvae.embedding import TextEmbedder

        embedder = TextEmbedder(
            args.text_model, n_components=args.n_components, random_state=args.seed
        )
        say(f"embedding {len(items)} texts")
        vectors = embedder.fit_transform(items)
        pipeline: Any = Pipeline([("emb", embedder), ("rq", quantizer)])
    else:
        vectors, pipeline = items, quantizer
    fit_quantizer(quantizer, vectors)
    codes = in_batches(quantizer.transform, vectors, "encoding")
    quality = quality_of(quantizer, vectors, codes)
    save_model(args, pipeline)
    if args.ids:
        write_rows(args.ids, ids, "semantic_id", codes)
    print(
        f"Fitted {len(codes)} items in {time.monotonic() - started:.0f} s and saved {args.out}: "
        f"{summary_of(quality)}."
    )


def _check_different(items: Any, path: str) -> None:
    """Refuse items that no IDs could tell apart, before they are fitted."""
    if isinstance(items, list):
        differ = any(item != items[0] for item in items)
    else:
        starts = range(0, len(items), BATCH_ROWS)
        differ = any((items[i : i + BATCH_ROWS] != items[0]).any() for i in starts)
    if not differ:
        found = "one item" if len(items) == 1 else f"{len(items)} items, all equal"
        raise ValueError(f"{path} holds {found}; a fit needs at least two different ones.")


def _quantizer(args: argparse.Namespace) -> Any:
    """Return the unfitted estimator that the arguments describe."""
    sizes = args.codebook_size[0] if len(args.codebook_size) == 1 else args.codebook_size
    params = {"n_layers": args.n_layers, "codebook_size": sizes, "random_state": args.seed}
    if args.method == "kmeans":
        from sklearn_rqvae import ResidualKMeans

        if args.mode is not None or args.max_epochs is not None:
            raise ValueError("--mode and --max-epochs belong to --method rqvae.")
        return ResidualKMeans(**params)
    from sklearn_rqvae import RQVAETransformer

    chosen = {"codebook_mode": args.mode, "max_epochs": args.max_epochs}
    quantizer = RQVAETransformer(**params, **{k: v for k, v in chosen.items() if v is not None})
    from sklearn_rqvae._learning._learner import ignored_parameters

    ignored = ignored_parameters(quantizer, quantizer._learner())
    if ignored:
        option = next(iter(ignored)).replace("_", "-")
        raise ValueError(f"--{option} needs --mode: without a mode nothing is trained in epochs.")
    return quantizer


def fit_quantizer(quantizer: Any, vectors: NDArray[Any]) -> None:
    """Fit with a bar for the epochs or, where scikit-learn has callbacks, the stages."""
    say(f"finding codebooks for {len(vectors)} vectors of length {vectors.shape[1]}")
    if not hasattr(quantizer, "callbacks"):
        quantizer.fit(vectors)
        return
    from sklearn_rqvae._cli._progress import EpochBar, StageBar

    if quantizer.codebook_mode is not None:
        quantizer.set_params(callbacks=[EpochBar()])
    elif hasattr(quantizer, "set_callbacks"):
        quantizer.set_callbacks(StageBar())
    quantizer.fit(vectors)
    quantizer.set_params(callbacks=None)  # the saved model has no bar
    if hasattr(quantizer, "set_callbacks"):
        quantizer.set_callbacks()
