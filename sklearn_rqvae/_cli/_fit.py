"""``sklearn-rqvae fit``: learn IDs for a table of items, and save the model."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from sklearn_rqvae._cli._items import (
    BATCH_ROWS,
    check_places,
    in_batches,
    is_array,
    read_items,
    say,
    warn,
    write_rows,
)
from sklearn_rqvae._cli._model import load_model, quantizer_of, save_model
from sklearn_rqvae._cli._quality import quality_of, summary_of
from sklearn_rqvae._files._ids import check_ids, check_table, writable_ids
from sklearn_rqvae._files._kinds import file_kind

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

__all__ = ["fit", "fit_quantizer"]


# With fewer items for each codeword the codes follow the items, not what they have in common.
_ITEMS_PER_CODEWORD = 10


def fit(args: argparse.Namespace) -> None:
    """Run the command."""
    from sklearn.pipeline import Pipeline

    started = time.monotonic()
    old = _old_model(args)
    if not Path(args.input).is_dir():
        file_kind(args.input, reading=True)
    if not is_array(args.input) and bool(args.text) == bool(args.vector):
        raise ValueError("name the columns of the items with either --text or --vector.")
    _check_options(args)
    if Path(args.input).is_dir():
        from sklearn_rqvae._cli._directory import fit_directory, is_streamed

        if is_streamed(args.input, args.vector, args.ids):
            check_places([], {"--out": args.out})
            print(fit_directory(args, _quantizer(args, old), save_model))
            return
    check_places([args.input], {"--out": args.out, "--ids": args.ids})
    if args.ids:
        check_table(args.ids)
    needs_ids = bool(args.ids) and not is_array(args.ids)
    items, ids = read_items(args, args.text, args.vector, args.id, needs_ids=needs_ids)
    if args.id:
        check_ids(ids, args.input, args.id)
    ids = _ids_to_write(args, ids) if args.ids else ()
    _check_different(items, args.input)
    if old is None:
        _warn_of_few(len(items), args.codebook_size)
    quantizer = _quantizer(args, old)
    if args.text:
        by_what = "" if old is not None else _by_what(args.text_model)
        say(f"embedding {len(items)} texts{by_what}")
        embedder, vectors = _embedded(args, old, items)
        pipeline: Any = Pipeline([("emb", embedder), ("rq", quantizer)])
    else:
        vectors, pipeline = items, quantizer
    del items  # a fit needs the memory of the texts
    fit_quantizer(quantizer, vectors)
    codes = in_batches(quantizer.transform, vectors, "encoding")
    quality = quality_of(quantizer, vectors, codes)
    save_model(args, pipeline)
    if args.ids:
        write_rows(args.ids, ids, "semantic_id", codes)
    print(
        f"Fitted {len(codes)} items in {time.monotonic() - started:.0f} s and saved {args.out}. "
        f"For these items: {summary_of(quality)}. New items lose more: "
        f"sklearn-rqvae report {args.out} {args.input} --full holds some back to tell how much."
    )


def _by_what(text_model: str) -> str:
    """Say what n-grams are; who has named a language model knows."""
    if text_model not in ("tfidf", "hashing"):
        return f" by {text_model}"
    return (
        " by character n-grams, which know spelling, not meaning; --text-model takes the folder of "
        "a language model for that"
    )


def _old_model(args: argparse.Namespace) -> dict[str, Any] | None:
    """Return the model that ``--warm-start`` names, its columns taken over where none are given."""
    if args.warm_start is None:
        if args.stability is not None:
            raise ValueError("--stability needs --warm-start, the model whose IDs are to be kept.")
        return None
    changed = [
        name for name, default in args.of_the_model.items() if getattr(args, name) != default
    ]
    if changed:
        option = f"--{changed[0].replace('_', '-')}"
        raise ValueError(f"{option} is a matter of the model of --warm-start; leave it out.")
    old = load_model(args.warm_start)
    if not args.text and not args.vector:
        args.text, args.vector = old["text"], old["vector"]
    args.id = args.id or old["id"]
    if bool(args.text) != bool(old["text"]):
        raise ValueError(
            f"{args.warm_start} was fitted to {'texts' if old['text'] else 'vectors'}; give the "
            f"same kind of items, by {'--text' if old['text'] else '--vector'}."
        )
    return old


def _warm_quantizer(args: argparse.Namespace, old: dict[str, Any]) -> Any:
    quantizer = quantizer_of(old).set_params(warm_start=True, **_budget(args))
    return quantizer if args.stability is None else quantizer.set_params(stability=args.stability)


def _embedded(
    args: argparse.Namespace, old: dict[str, Any] | None, items: Sequence[str]
) -> tuple[Any, NDArray[Any]]:
    """Return what encodes texts, and the vectors; those of two encoders can't be compared."""
    if old is not None:
        embedder = old["pipeline"].named_steps["emb"]
        return embedder, embedder.transform(items)
    from sklearn_rqvae.embedding import TextEmbedder

    embedder = TextEmbedder(args.text_model, n_components=args.n_components, random_state=args.seed)
    embedder.set_params(verbose=int(sys.stderr.isatty()))
    vectors = embedder.fit_transform(items)
    embedder.set_params(verbose=0)  # the saved model has no bar
    return embedder, vectors


def _ids_to_write(args: argparse.Namespace, ids: Sequence[Any]) -> Sequence[Any]:
    """Return ids for the file ``--ids``, which a catalog is to be built from."""
    if not args.id and not is_array(args.ids):
        check_ids(ids, args.input, None)
    return writable_ids(args.ids, ids)


def _warn_of_few(n_items: int, sizes: Sequence[int]) -> None:
    if n_items < _ITEMS_PER_CODEWORD * max(sizes):
        warn(
            f"{n_items} items for {max(sizes)} codes at a level: with fewer than "
            f"{_ITEMS_PER_CODEWORD} for each, codes learn these items by heart; see report for new "
            "ones, or lower --codebook-size."
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


def _budget(args: argparse.Namespace) -> dict[str, int | None]:
    """Return how many rows to learn from, where the user has said so."""
    return {"subsample": args.subsample} if "subsample" in args else {}


def _check_options(args: argparse.Namespace) -> None:
    """Refuse options that contradict each other."""
    if len(args.codebook_size) not in (1, args.n_layers):
        raise ValueError(
            f"--codebook-size has {len(args.codebook_size)} numbers, but --n-layers is "
            f"{args.n_layers}; give one number for all levels, or one for each level."
        )
    if args.method != "rqvae" and (args.mode is not None or args.max_epochs is not None):
        raise ValueError("--mode and --max-epochs belong to --method rqvae.")
    if args.max_epochs is not None and args.mode is None:
        raise ValueError("--max-epochs needs --mode: without a mode nothing is trained in epochs.")


def _quantizer(args: argparse.Namespace, old: dict[str, Any] | None) -> Any:
    """Return the unfitted estimator that the arguments describe."""
    if old is not None:
        return _warm_quantizer(args, old)
    from sklearn_rqvae import ProductQuantizer, ResidualKMeans, RQVAETransformer

    sizes = args.codebook_size
    params = {
        "n_layers": args.n_layers,
        "codebook_size": sizes[0] if len(sizes) == 1 else sizes,
        "random_state": args.seed,
        **_budget(args),
    }
    if args.method != "rqvae":
        return (ResidualKMeans if args.method == "kmeans" else ProductQuantizer)(**params)
    if args.max_epochs is not None:
        params["max_epochs"] = args.max_epochs
    return RQVAETransformer(**params, codebook_mode=args.mode)


def fit_quantizer(quantizer: BaseEstimator, vectors: NDArray[Any]) -> None:
    """Fit with a bar for epochs or stages; stages are lines where scikit-learn has no callbacks."""
    say(f"finding codebooks for {len(vectors)} vectors of length {vectors.shape[1]}")
    if not hasattr(quantizer, "callbacks"):
        quantizer.fit(vectors)
        return
    if quantizer.codebook_mode is None and not hasattr(quantizer, "set_callbacks"):
        with contextlib.redirect_stdout(sys.stderr):
            quantizer.set_params(verbose=1).fit(vectors)
        quantizer.set_params(verbose=0)
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
