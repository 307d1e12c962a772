"""``sklearn-rqvae sizes``: how many levels and codewords so many items need."""

from __future__ import annotations

import argparse

__all__ = ["sizes"]


def sizes(args: argparse.Namespace) -> None:
    """Run the command."""
    from sklearn_rqvae.semantic_id import suggest_sizes

    found = suggest_sizes(args.n_items, args.n_layers, target_collisions=args.collisions)
    print(found)
    print(
        f"\nsklearn-rqvae fit ... --n-layers {found.n_layers} --codebook-size {found.codebook_size}"
    )
