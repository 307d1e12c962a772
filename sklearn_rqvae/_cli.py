"""The command line ``sklearn-rqvae``: demo, fit, encode, decode, report, index."""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._cli_index import add_index_commands
from sklearn_rqvae._cli_io import (
    FORMATS,
    check_table,
    matrix_of,
    read_matrix,
    read_table,
    writable_ids,
    write_table,
)
from sklearn_rqvae._cli_model import MODEL_HELP, load_model, quantizer_of, save_model
from sklearn_rqvae._files import check_place, replace_file
from sklearn_rqvae._version import __version__

__all__ = ["main"]

# Rows between two steps of a progress bar.
_BATCH_ROWS = 1024
_MODES = ("STE", "ROTATION_TRICK", "GUMBEL_SOFTMAX", "SINKHORN")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process if not given.

    Returns
    -------
    status : int
        0 if all went well, 1 after an error in the data or files, 130 after Ctrl-C. Wrong arguments
        exit with 2.
    """
    args = _parser().parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            args.run(args)
    except KeyboardInterrupt:
        print("sklearn-rqvae: interrupted", file=sys.stderr)
        return 130
    except (ValueError, TypeError, OSError, ImportError) as error:
        if args.traceback:
            raise
        print(f"sklearn-rqvae: error: {_first_line(error)}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sklearn-rqvae",
        description="Semantic IDs for items: a few codes each; similar items share the first.",
    )
    parser.add_argument("--version", action="version", version=f"sklearn-rqvae {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where an error arose")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="learn IDs for a catalog that needs no download")
    demo.add_argument("--items", nargs="+", default=[], metavar="NAME", help="items to show")
    _add_seed(demo)
    demo.set_defaults(run=_demo)

    fit = commands.add_parser("fit", help="learn IDs for a table of items")
    _add_input(fit)
    fit.add_argument("--out", required=True, metavar="MODEL", help="where to save the model")
    fit.add_argument("--ids", metavar="FILE", help="write the items' IDs too")
    fit.add_argument("--text-model", default="tfidf", metavar="NAME", help="what encodes the texts")
    fit.add_argument("--n-components", type=int, default=256, help="length of the n-gram vectors")
    fit.add_argument("--method", choices=("rqvae", "kmeans"), default="rqvae")
    fit.add_argument("--n-layers", type=int, default=3, help="codes in an ID")
    fit.add_argument("--codebook-size", type=int, nargs="+", default=[256], metavar="K")
    fit.add_argument("--mode", choices=_MODES, help="how gradients pass the codebooks")
    fit.add_argument("--max-epochs", type=int, help="epochs of training")
    _add_seed(fit)
    fit.set_defaults(run=_fit)

    encode = commands.add_parser("encode", help="write the IDs of items")
    encode.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    _add_input(encode)
    encode.add_argument(
        "--out", default="-", metavar="FILE", help=f"{FORMATS}, or a directory; '-' prints"
    )
    encode.set_defaults(run=_encode)

    decode = commands.add_parser(
        "decode", help="write the vectors that IDs, or prefixes, stand for"
    )
    decode.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    decode.add_argument("input", metavar="IDS", help="what encode wrote, or an array of codes")
    decode.add_argument("--levels", type=int, help="decode the first codes only")
    decode.add_argument("--out", default="-", metavar="FILE", help=f"{FORMATS}; '-' prints")
    decode.set_defaults(run=_decode)

    report = commands.add_parser("report", help="tell how good a model's IDs are for items")
    report.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    _add_input(report)
    report.add_argument("--json", action="store_true", help="print one JSON object")
    report.add_argument("--full", action="store_true", help="print findings and a verdict too")
    report.add_argument("--html", metavar="FILE", help="write the full report with pictures")
    report.add_argument("--name", metavar="COLUMN", help="in full: column of the items' names")
    report.add_argument("--label", metavar="COLUMN", help="in full: compare codes with this column")
    report.add_argument(
        "--no-compare", action="store_true", help="in full: fit no rivals, give no verdict"
    )
    _add_seed(report)
    report.set_defaults(run=_report)

    add_index_commands(commands)
    return parser


def _add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", metavar="ITEMS", help=f"{FORMATS}; fit and encode: or a directory of .parquet"
    )
    parser.add_argument(
        "--text", nargs="+", metavar="COLUMN", help="columns joined to the item's text"
    )
    parser.add_argument("--vector", metavar="COLUMN", help="column of the item's vector")
    parser.add_argument(
        "--id", metavar="COLUMN", help="column of the item's id; else its row number"
    )


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="random state")


def _fit(args: argparse.Namespace) -> None:
    from sklearn.pipeline import Pipeline

    started = time.monotonic()
    if Path(args.input).suffix != ".npy" and bool(args.text) == bool(args.vector):
        raise ValueError("name the columns of the items with either --text or --vector.")
    quantizer = _quantizer(args)
    check_place(args.out)
    if Path(args.input).is_dir():
        from sklearn_rqvae._cli_directory import fit_directory

        print(fit_directory(args, quantizer, save_model))
        return
    if args.ids:
        check_table(args.ids)
    items, ids = _read_items(args, args.text, args.vector, args.id)
    if args.ids:
        ids = writable_ids(args.ids, ids)
    _check_different(items, args.input)
    if args.text:
        from sklearn_rqvae.embedding import TextEmbedder

        embedder = TextEmbedder(
            args.text_model, n_components=args.n_components, random_state=args.seed
        )
        _say(f"embedding {len(items)} texts")
        vectors = embedder.fit_transform(items)
        pipeline: Any = Pipeline([("emb", embedder), ("rq", quantizer)])
    else:
        vectors, pipeline = items, quantizer
    _fit_quantizer(quantizer, vectors)
    codes = _in_batches(quantizer.transform, vectors, "encoding")
    quality = _quality(quantizer, vectors, codes)
    save_model(args, pipeline)
    if args.ids:
        write_table(args.ids, ids, "semantic_id", codes)
    print(
        f"Fitted {len(codes)} items in {time.monotonic() - started:.0f} s and saved {args.out}: "
        f"{_summary(quality)}."
    )


def _check_different(items: Any, path: str) -> None:
    """Refuse items that no IDs could tell apart, before they are fitted."""
    if isinstance(items, list):
        differ = any(item != items[0] for item in items)
    else:
        starts = range(0, len(items), _BATCH_ROWS)
        differ = any((items[i : i + _BATCH_ROWS] != items[0]).any() for i in starts)
    if not differ:
        found = "one item" if len(items) == 1 else f"{len(items)} items, all equal"
        raise ValueError(f"{path} holds {found}; a fit needs at least two different ones.")


def _encode(args: argparse.Namespace) -> None:
    model = load_model(args.model)
    if Path(args.input).is_dir():
        from sklearn_rqvae._cli_directory import encode_directory

        print(encode_directory(args, model))
        return
    check_table(args.out)
    items, ids = _read_model_items(args, model)
    ids = writable_ids(args.out, ids)
    codes = _in_batches(model["pipeline"].transform, items, "encoding")
    write_table(args.out, ids, "semantic_id", codes)
    if args.out != "-":
        print(f"Wrote the IDs of {len(codes)} items to {args.out}.")


def _decode(args: argparse.Namespace) -> None:
    model = load_model(args.model)
    check_table(args.out)
    codes = read_matrix(args.input, "semantic_id")
    if args.levels is not None and not 1 <= args.levels <= codes.shape[1]:
        raise ValueError(
            f"--levels {args.levels} should be between 1 and {codes.shape[1]}, the number of codes "
            f"in {args.input}."
        )
    codes = codes[:, : args.levels]
    if Path(args.input).suffix == ".npy":
        ids: Sequence[Any] = range(len(codes))
    else:
        table = read_table(args.input)
        ids = table.get("item_id") or table.get("id") or range(len(codes))
        ids = writable_ids(args.out, ids)
    vectors = _in_batches(quantizer_of(model).inverse_transform, codes, "decoding")
    write_table(args.out, ids, "vector", vectors)
    if args.out != "-":
        print(f"Wrote {len(vectors)} vectors of length {vectors.shape[1]} to {args.out}.")


def _report(args: argparse.Namespace) -> None:
    if args.html:
        check_place(args.html)
    elif not args.full and (args.name or args.label or args.no_compare):
        raise ValueError("--name, --label and --no-compare belong to --full or --html.")
    model = load_model(args.model)
    items, ids = _read_model_items(args, model)
    texts = items if model["text"] else None
    if texts is not None:
        items = _in_batches(model["pipeline"].named_steps["emb"].transform, items, "embedding")
    quantizer = quantizer_of(model)
    if args.full or args.html:
        _full_report(args, quantizer, items, texts, ids)
        return
    codes = _in_batches(quantizer.transform, items, "encoding")
    quality = _quality(quantizer, items, codes)
    if args.json:
        print(json.dumps(quality))
        return
    print("level  codewords  used  perplexity  unexplained variance so far")
    for level, row in enumerate(quality["levels"]):
        print(
            f"{level:5}  {row['codebook_size']:9}  {row['utilization']:4.0%}  "
            f"{row['perplexity']:10.1f}  {row['unexplained']:27.1%}"
        )
    print(f"{quality['n_items']} items: {_summary(quality)}.")


def _full_report(
    args: argparse.Namespace,
    quantizer: Any,
    vectors: Any,
    texts: Sequence[str] | None,
    ids: Sequence[Any],
) -> None:
    """Write the page, and print the text or JSON, or the verdict if there is a page."""
    from sklearn_rqvae.report import report

    names, labels = _read_report_columns(args, ids, texts)
    if not args.no_compare:
        _say("fitting rivals, and the model again, on a part of the items")
    judged = report(
        quantizer,
        vectors,
        names=names,
        texts=texts,
        labels=labels,
        compare_rivals=not args.no_compare,
        random_state=args.seed,
    )
    if args.html:
        with replace_file(args.html) as file:
            file.write(judged.to_html().encode("utf-8"))
    if args.json:
        print(json.dumps(judged.to_dict()))
    elif args.full:
        print(judged)
    else:
        print(f"Wrote {args.html}. {judged.verdict}")


def _read_report_columns(
    args: argparse.Namespace, ids: Sequence[Any], texts: Sequence[str] | None
) -> tuple[Sequence[str] | None, Sequence[str] | None]:
    """Return names and labels of the items; ids are names where nothing says more."""
    asked = [column for column in (args.name, args.label) if column]
    if asked and Path(args.input).suffix == ".npy":
        raise ValueError(f"{args.input} holds an array: --name and --label name columns of tables.")
    table = read_table(args.input, asked) if asked else {}
    names = [_as_text(value) for value in table[args.name]] if args.name else None
    labels = [_as_text(value) for value in table[args.label]] if args.label else None
    if names is None and texts is None and args.id:
        names = [_as_text(value) for value in ids]
    return names, labels


def _demo(args: argparse.Namespace) -> None:
    from sklearn_rqvae import RQVAETransformer
    from sklearn_rqvae._cli_demo import show_items
    from sklearn_rqvae.datasets import load_api_docs
    from sklearn_rqvae.embedding import TextEmbedder

    started = time.monotonic()
    _say("reading the documentation of numpy, scipy, scikit-learn and torch")
    docs = load_api_docs()
    _say(f"embedding {len(docs.data)} texts")
    vectors = TextEmbedder(n_components=128, random_state=args.seed).fit_transform(docs.data)
    quantizer = RQVAETransformer(n_layers=4, codebook_size=64, random_state=args.seed)
    _fit_quantizer(quantizer, vectors)
    codes = _in_batches(quantizer.transform, vectors, "encoding")
    print(show_items(docs, codes, args.items, args.seed))
    print(
        f"Learned IDs for {len(codes)} items in {time.monotonic() - started:.0f} s: "
        f"{_summary(_quality(quantizer, vectors, codes))}."
    )


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
    if args.max_epochs is not None and quantizer.codebook_mode is None:
        raise ValueError("--max-epochs needs --mode: without a mode nothing is trained in epochs.")
    return quantizer


def _fit_quantizer(quantizer: Any, vectors: NDArray[Any]) -> None:
    """Fit with a bar for the epochs or, where scikit-learn has callbacks, the stages."""
    _say(f"finding codebooks for {len(vectors)} vectors of length {vectors.shape[1]}")
    if not hasattr(quantizer, "callbacks"):
        quantizer.fit(vectors)
        return
    from sklearn_rqvae._cli_progress import EpochBar, StageBar

    quantizer.set_params(callbacks=[EpochBar()])
    if quantizer.codebook_mode is None and hasattr(quantizer, "set_callbacks"):
        quantizer.set_callbacks(StageBar())
    quantizer.fit(vectors)
    quantizer.set_params(callbacks=None)  # the saved model has no bar
    if hasattr(quantizer, "set_callbacks"):
        quantizer.set_callbacks()


def _quality(quantizer: Any, vectors: NDArray[Any], codes: NDArray[np.int64]) -> dict[str, Any]:
    """Return what the report says, as plain values."""
    from sklearn_rqvae import metrics

    sizes = [len(codebook) for codebook in quantizer.codebooks_]
    reconstructions = (
        _in_batches(quantizer.inverse_transform, codes[:, : level + 1], f"level {level}")
        for level in range(len(sizes))
    )
    unexplained = metrics.distortion_by_level(vectors, reconstructions)
    utilization = metrics.code_utilization(codes, sizes)
    perplexity = metrics.code_perplexity(codes, sizes)
    levels = [
        {
            "codebook_size": size,
            "utilization": float(utilization[level]),
            "perplexity": float(perplexity[level]),
            "unexplained": float(unexplained[level]),
        }
        for level, size in enumerate(sizes)
    ]
    return {
        "n_items": len(codes),
        "n_distinct": len(np.unique(codes, axis=0)),
        "collision_rate": float(metrics.collision_rate(codes)),
        "levels": levels,
    }


def _summary(quality: dict[str, Any]) -> str:
    levels = quality["levels"]
    used = min(level["utilization"] for level in levels)
    return (
        f"{len(levels)} codes each, {levels[-1]['unexplained']:.1%} of the variance unexplained, "
        f"at least {used:.0%} of each codebook used, {quality['n_distinct']} distinct IDs "
        f"(collision rate {quality['collision_rate']:.1%})"
    )


def _read_items(
    args: argparse.Namespace, text: Sequence[str] | None, vector: str | None, id_column: str | None
) -> tuple[Any, Sequence[Any]]:
    """Return texts or vectors, and ids."""
    if Path(args.input).suffix == ".npy":
        if text or vector:
            raise ValueError(
                f"{args.input} holds an array: --text and --vector name columns of tables."
            )
        vectors = read_matrix(args.input, None)
        return vectors, range(len(vectors))
    table = read_table(args.input, [*(text or ()), *([id_column] if id_column else ())])
    n_rows = len(next(iter(table.values())))
    ids = table[id_column] if id_column else range(n_rows)
    if not text:
        return matrix_of(table, str(vector), args.input), ids
    fields = [[_as_text(value) for value in table[column]] for column in text]
    return [" ".join(part for part in row if part) for row in zip(*fields, strict=True)], ids


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_as_text(part) for part in value)
    return "" if value is None else str(value)


def _read_model_items(args: argparse.Namespace, model: dict[str, Any]) -> tuple[Any, Sequence[Any]]:
    """Read the columns named in the arguments, or else those that the model was fitted on."""
    text, vector = args.text or model["text"], args.vector or model["vector"]
    if Path(args.input).suffix == ".npy":
        text, vector = args.text, args.vector
    if bool(text) != bool(model["text"]):
        kind = "texts" if model["text"] else "vectors"
        raise ValueError(f"the model was fitted on {kind}; give it {kind}.")
    if not text and not vector and Path(args.input).suffix != ".npy":
        raise ValueError(f"name the column of {args.input} that holds the vectors with --vector.")
    return _read_items(args, text, None if text else vector, args.id or model["id"])


def _in_batches(function: Any, rows: Any, what: str) -> NDArray[Any]:
    """Apply a function of rows to a batch of rows at a time, with a progress bar."""
    from tqdm import tqdm

    starts = range(0, len(rows), _BATCH_ROWS)
    with tqdm(total=len(rows), desc=what, unit="row", leave=False, disable=None) as bar:
        parts = []
        for start in starts:
            parts.append(function(rows[start : start + _BATCH_ROWS]))
            bar.update(len(parts[-1]))
    return np.concatenate(parts)


def _first_line(error: BaseException) -> str:
    """Return what is wrong, without the advice or the printed array that may follow it."""
    return str(error).partition("\n")[0]


def _show_warning(message: Warning | str, *args: Any, **kwargs: Any) -> None:
    """Show a warning without the place in the source that it comes from."""
    print(f"sklearn-rqvae: warning: {message}", file=sys.stderr)


def _say(what: str) -> None:
    """Tell on the standard error what takes time now."""
    print(f"{what} ...", file=sys.stderr, flush=True)
