"""What can be typed: every command but those of ``index``, its options and an example.

Nothing heavy is imported here, so that help and wrong arguments answer at once.
"""

from __future__ import annotations

import argparse
from typing import Any

from sklearn_rqvae._cli._arguments import (
    MODEL_HELP,
    HelpFormatter,
    add_histories,
    add_input,
    add_seed,
    count,
    runs,
    share_of_error,
)
from sklearn_rqvae._files._kinds import FORMATS

__all__ = [
    "add_decode_command",
    "add_demo_command",
    "add_encode_command",
    "add_fit_command",
    "add_report_command",
    "add_sizes_command",
]

_DEMO_EXAMPLE = """\
example:
  sklearn-rqvae demo --items numpy.linalg.svd scipy.signal.butter
"""
_SIZES_EXAMPLE = """\
examples:
  sklearn-rqvae sizes 30000
  sklearn-rqvae sizes 30000 --n-layers 4 --collisions 0.05
"""
_FIT_EXAMPLE = """\
examples:
  sklearn-rqvae fit items.csv --text title brand --id sku --out model.joblib --ids ids.csv
  sklearn-rqvae fit all_items.csv --warm-start model.joblib --out new_model.joblib
"""
_ENCODE_EXAMPLE = """\
example:
  sklearn-rqvae encode model.joblib new_items.csv --out new_ids.csv
"""
_DECODE_EXAMPLE = """\
example:
  sklearn-rqvae decode model.joblib ids.csv --levels 2 --out coarse.npy
"""
_REPORT_EXAMPLE = """\
examples:
  sklearn-rqvae report model.joblib items.csv --html report.html --label category
  sklearn-rqvae report model.joblib items.csv --full --histories clicks.csv
"""
# Options that describe a model; one that goes on from another has those of that one.
_OF_THE_MODEL = (
    *("text_model", "n_components", "method", "n_layers"),
    *("codebook_size", "mode", "max_epochs", "seed"),
)
_MODES = ("STE", "ROTATION_TRICK", "GUMBEL_SOFTMAX", "SINKHORN")


def add_demo_command(subparsers: Any) -> None:
    """Add the command ``demo``."""
    demo = subparsers.add_parser(
        "demo",
        help="learn IDs for a catalog that needs no download",
        formatter_class=HelpFormatter,
        epilog=_DEMO_EXAMPLE,
    )
    demo.add_argument("--items", nargs="+", default=[], metavar="NAME", help="items to show")
    add_seed(demo)
    demo.set_defaults(run=runs("_demo:demo"))


def add_sizes_command(subparsers: Any) -> None:
    """Add the command ``sizes``."""
    sizes = subparsers.add_parser(
        "sizes",
        help="suggest levels and codebook sizes for a number of items",
        formatter_class=HelpFormatter,
        epilog=_SIZES_EXAMPLE,
    )
    sizes.add_argument("n_items", type=count, metavar="N", help="number of items")
    sizes.add_argument("--n-layers", type=count, metavar="N", help="codes in an ID; else 3 to 5")
    sizes.add_argument(
        "--collisions",
        type=_share,
        default=0.1,
        metavar="SHARE",
        help="share of items that may have another one's ID, before they are made unique",
    )
    sizes.set_defaults(run=runs("_sizes:sizes"))


def add_fit_command(subparsers: Any) -> None:
    """Add the command ``fit``."""
    fit = subparsers.add_parser(
        "fit",
        help="learn IDs for a table of items",
        formatter_class=HelpFormatter,
        epilog=_FIT_EXAMPLE,
    )
    add_input(fit)
    fit.add_argument("--out", required=True, metavar="MODEL", help="where to save the model")
    fit.add_argument(
        "--ids",
        metavar="FILE",
        help=f"write the items' IDs too: {FORMATS}; a directory if ITEMS is one of vectors in "
        "Parquet files",
    )
    fit.add_argument(
        "--text-model",
        default="tfidf",
        metavar="NAME",
        help="what encodes the texts: tfidf and hashing by character n-grams, which know spelling, "
        "not meaning; or the name or folder of a language model",
    )
    fit.add_argument(
        "--n-components",
        type=count,
        default=256,
        metavar="N",
        help="length of the n-gram vectors",
    )
    fit.add_argument(
        "--method",
        choices=("rqvae", "kmeans", "product"),
        default="rqvae",
        help="kmeans has no network; product: long IDs of independent codes",
    )
    fit.add_argument("--n-layers", type=count, default=3, metavar="N", help="codes in an ID")
    fit.add_argument(
        "--codebook-size",
        type=count,
        nargs="+",
        default=[256],
        metavar="K",
        help="codes at each level: one number, or one for each level",
    )
    fit.add_argument(
        "--mode",
        type=str.upper,
        choices=_MODES,
        help="train by gradients, which pass the codebooks in this way; else a closed form is "
        "fitted",
    )
    fit.add_argument("--max-epochs", type=count, metavar="N", help="epochs of training")
    fit.add_argument(
        "--subsample",
        type=_rows_or_all,
        default=argparse.SUPPRESS,
        metavar="N",
        help="learn from at most so many different items, or from 'all': fewer are faster, more "
        "serve new items better; 1048576 by default, with product 65536 or 256 for each code",
    )
    fit.add_argument(
        "--warm-start",
        metavar="OLD",
        help="go on from a model that fit has saved: most items keep their IDs; its encoder of "
        "texts, its columns and all sizes stay",
    )
    fit.add_argument(
        "--stability",
        type=share_of_error,
        metavar="S",
        help="with --warm-start: an item gives up its ID for one that lowers its squared error by "
        "more than so many times the mean error; 0.3 by default",
    )
    add_seed(fit)
    fit.set_defaults(
        run=runs("_fit:fit", "input", "warm_start"),
        of_the_model={name: fit.get_default(name) for name in _OF_THE_MODEL},
    )


def add_encode_command(subparsers: Any) -> None:
    """Add the command ``encode``."""
    encode = subparsers.add_parser(
        "encode",
        help="write the IDs of items",
        formatter_class=HelpFormatter,
        epilog=_ENCODE_EXAMPLE,
    )
    encode.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    add_input(encode)
    encode.add_argument(
        "--out",
        default="-",
        metavar="FILE",
        help=f"{FORMATS}; '-' prints; a directory if ITEMS is one of vectors in Parquet files",
    )
    encode.set_defaults(run=runs("_encode:encode", "model", "input"))


def add_decode_command(subparsers: Any) -> None:
    """Add the command ``decode``."""
    decode = subparsers.add_parser(
        "decode",
        help="write the vectors that IDs, or prefixes, stand for",
        formatter_class=HelpFormatter,
        epilog=_DECODE_EXAMPLE,
    )
    decode.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    decode.add_argument("input", metavar="IDS", help="what encode wrote, or an array of codes")
    decode.add_argument(
        "--id", metavar="COLUMN", help="column of the ids in a table; else item_id or id"
    )
    decode.add_argument("--levels", type=int, metavar="N", help="decode the first codes only")
    decode.add_argument("--out", default="-", metavar="FILE", help=f"{FORMATS}; '-' prints")
    decode.set_defaults(run=runs("_encode:decode", "model", "input"))


def add_report_command(subparsers: Any) -> None:
    """Add the command ``report``."""
    report = subparsers.add_parser(
        "report",
        help="tell how good a model's IDs are for items",
        formatter_class=HelpFormatter,
        epilog=_REPORT_EXAMPLE,
    )
    report.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    add_input(report)
    report.add_argument("--json", action="store_true", help="print one JSON object")
    report.add_argument("--full", action="store_true", help="print findings and a verdict too")
    report.add_argument("--html", metavar="FILE", help="write the full report with pictures")
    report.add_argument("--name", metavar="COLUMN", help="in full: column of the items' names")
    report.add_argument("--label", metavar="COLUMN", help="in full: compare codes with this column")
    add_histories(report)
    report.add_argument(
        "--no-compare", action="store_true", help="in full: fit no rivals, give no verdict"
    )
    add_seed(report)
    report.set_defaults(run=runs("_report:report", "model", "input", "histories"))


def _rows_or_all(text: str) -> int | None:
    """Return a number of rows, None for "all"."""
    if text == "all":
        return None
    try:
        return count(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} should be a number or 'all'") from None


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text} should be between 0 and 1, such as 0.1")
    return share
