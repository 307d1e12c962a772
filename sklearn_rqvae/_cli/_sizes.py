"""``sklearn-rqvae sizes``: how many levels and codewords so many items need."""

from __future__ import annotations

import argparse
from typing import Any

from sklearn_rqvae._cli._items import HelpFormatter, count

__all__ = ["add_sizes_command"]

_EXAMPLE = """\
examples:
  sklearn-rqvae sizes 30000
  sklearn-rqvae sizes 30000 --n-layers 4 --collisions 0.05
"""


def add_sizes_command(subparsers: Any) -> None:
    """Add the command ``sizes``."""
    sizes = subparsers.add_parser(
        "sizes",
        help="suggest levels and codebook sizes for a number of items",
        formatter_class=HelpFormatter,
        epilog=_EXAMPLE,
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
    sizes.set_defaults(run=_sizes)


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text} should be between 0 and 1, such as 0.1")
    return share


def _sizes(args: argparse.Namespace) -> None:
    from sklearn_rqvae.semantic_id import suggest_sizes

    found = suggest_sizes(args.n_items, args.n_layers, target_collisions=args.collisions)
    print(found)
    print(
        f"\nsklearn-rqvae fit ... --n-layers {found.n_layers} --codebook-size {found.codebook_size}"
    )
