"""Do rounds of search and least squares serve new rows, at high rates in few dimensions?

The closed form's codebooks come from k-means along a beam and are then refined in twelve rounds.
This compares both, without pairs of codes, for several numbers of beams: the share of the variance
that a search with 16 beams leaves of training and held-out rows. With ``--pairs`` it compares whole
models, with pairs, that end with the start or the rounds. With ``--early`` it compares codebooks
whose early rounds see all rows, or 64 for each codeword.

    OMP_NUM_THREADS=1 python benchmarks/bench_rounds.py --catalog cf --bits 8x256
    OMP_NUM_THREADS=1 python benchmarks/bench_rounds.py --catalog cf --bits 4x256 --pairs
    OMP_NUM_THREADS=1 python benchmarks/bench_rounds.py --vectors texts.npy --rows 72818 \\
        --bits 3x256 --early --beams 5
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from _common import parse_sizes, split
from bench_conditional import load_rows
from torch import Tensor

from sklearn_rqvae import RQVAETransformer, metrics
from sklearn_rqvae._learning import _closed_form
from sklearn_rqvae._learning._closed_form import SHRINKAGE_WITHOUT_PAIRS
from sklearn_rqvae.quantize import _additive
from sklearn_rqvae.quantize._additive import (
    falling_shares,
    initialize_codebooks,
    refine_codebooks,
)
from sklearn_rqvae.quantize._beam import beam_search
from sklearn_rqvae.quantize._kmeans import principal_axes

SEARCHED_BEAMS, N_ROUNDS = 16, 12
# Starts that early rounds are compared over: two differ by half a percent.
N_STARTS = 5
EARLY = _additive._EARLY_ROWS_PER_CODEWORD


def show(name: str, left: tuple[float, float], seconds: float) -> None:
    """Print what is left of training and held-out rows."""
    print(f"{name:<32} training {left[0]:.4f} held out {left[1]:.4f} {seconds:7.1f} s", flush=True)


def left_by(codebooks: list[Tensor], rows: Tensor) -> float:
    """Return the share of the variance of rows that a search leaves."""
    errors = beam_search(rows, codebooks, SEARCHED_BEAMS)[1][:, 0]
    return float(errors.mean() / (rows - rows.mean(0)).square().sum(1).mean())


def in_principal_coordinates(training: np.ndarray, held_out: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return both, less the mean of the training rows, in their principal coordinates."""
    mean = torch.from_numpy(training.mean(0))
    x, new = torch.from_numpy(training) - mean, torch.from_numpy(held_out) - mean
    axes = principal_axes(x)
    return x @ axes, new @ axes


@torch.no_grad()
def compare_codebooks(
    training: np.ndarray, held_out: np.ndarray, sizes: list[int], n_beams: int, seed: int
) -> None:
    """Compare codebooks alone, in principal coordinates."""
    x, new = in_principal_coordinates(training, held_out)
    begin = time.process_time()
    draws = torch.Generator().manual_seed(seed)
    codebooks = initialize_codebooks(x, sizes, n_beams=n_beams, generator=draws)
    seconds = time.process_time() - begin
    show(f"{n_beams} beams, start", (left_by(codebooks, x), left_by(codebooks, new)), seconds)
    begin = time.process_time()
    weight, shares = torch.ones(len(x)), falling_shares(N_ROUNDS)
    codebooks = refine_codebooks(x, codebooks, weight, n_beams, shares)[0]
    seconds += time.process_time() - begin
    left = left_by(codebooks, x), left_by(codebooks, new)
    show(f"{n_beams} beams, {N_ROUNDS} rounds", left, seconds)


@torch.no_grad()
def compare_early(
    training: np.ndarray, held_out: np.ndarray, sizes: list[int], n_beams: int, seed: int
) -> None:
    """Compare codebooks, all made as large ones are, whose early rounds see all rows, or a part."""
    x, new = in_principal_coordinates(training, held_out)
    for name, n_each in (("all rows in all rounds", len(x)), ("a part in early rounds", EARLY)):
        begin, left = time.process_time(), []
        for start in range(seed, seed + N_STARTS):
            draws = torch.Generator().manual_seed(start)
            with mock.patch.multiple(_additive, LARGE=1, _EARLY_ROWS_PER_CODEWORD=n_each):
                codebooks = _additive.fit_codebooks(
                    x, sizes, n_beams=n_beams, shrinkage=SHRINKAGE_WITHOUT_PAIRS, generator=draws
                )
            left.append((left_by(codebooks, x[::8]), left_by(codebooks, new)))
        training_left, new_left = np.mean(left, axis=0)
        show(name, (training_left, new_left), (time.process_time() - begin) / N_STARTS)


def compare_models(
    training: np.ndarray, held_out: np.ndarray, sizes: list[int], n_beams: int, seed: int
) -> None:
    """Compare whole models: the default, and one with the start's codebooks."""

    def start_alone(x: Tensor, sizes: list[int], *, generator: torch.Generator, **_) -> list:
        return initialize_codebooks(x, sizes, n_beams=n_beams, generator=generator)

    def fit(name: str) -> None:
        begin = time.process_time()
        model = RQVAETransformer(n_layers=len(sizes), codebook_size=sizes, random_state=seed)
        model.fit(training)
        seconds = time.process_time() - begin
        fvu = metrics.fraction_variance_unexplained
        left = tuple(
            fvu(X, model.inverse_transform(model.transform(X))) for X in (training, held_out)
        )
        show(name, left, seconds)

    fit("with pairs, default")
    with mock.patch.object(_closed_form, "fit_codebooks", start_alone):
        fit(f"with pairs, {n_beams} beams, start")


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--catalog", default="cf")
    parser.add_argument("--vectors", type=Path, help="rows of a .npy file in place of a catalog")
    parser.add_argument("--rows", type=int, help="evenly spaced rows to take, nine tenths to fit")
    parser.add_argument("--bits", type=parse_sizes, default=[256] * 8)
    parser.add_argument("--beams", type=int, nargs="+", default=[5, 16])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pairs", action="store_true", help="compare whole models")
    parser.add_argument("--early", action="store_true", help="compare rows of early rounds")
    args = parser.parse_args()
    X = load_rows(args)
    training, held_out = (X[rows] for rows in split(len(X), args.seed))
    compare = compare_models if args.pairs else compare_codebooks
    compare = compare_early if args.early else compare
    for n_beams in args.beams:
        compare(training, held_out, args.bits, n_beams, args.seed)


if __name__ == "__main__":
    main()
