"""Do codebooks that depend on the codes so far leave less of new rows than pairs of codes?

Residual quantization adds one codeword a level. In QINCo [1]_ a level's codeword is what a network
makes of a base codeword and the reconstruction so far, :math:`c + f_l(c, \\hat x_{l-1})`. This
trains such networks from the closed form's codewords, by turns: codes of all training rows by a
beam, whose extensions are chosen by base codewords and judged by the networks; then epochs of Adam
on the squared errors of all prefixes, for these codes. Networks are zero at first.

The closed form's pairs are the same idea with a table in place of the network: to a level's
codeword they add a vector for each earlier code, :math:`c_l + \\sum_{m<l} V_{ml}[c_m, c_l]`.

Prints, round by round, CPU seconds so far, the share of the variance that is left of training and
held-out rows, the ratio to the closed form's, and what encoding takes beside it.

    OMP_NUM_THREADS=1 python benchmarks/bench_conditional.py --catalog scientific
    OMP_NUM_THREADS=1 python benchmarks/bench_conditional.py --catalog glove --rows 111111 \\
        --keep glove.pt
    OMP_NUM_THREADS=1 python benchmarks/bench_conditional.py --vectors texts.npy --bits 8x256

With ``--keep``, a run that was stopped goes on after its last round.

References
----------
.. [1] Huijben, I. et al. "Residual quantization with implicit neural codebooks". ICML 2024,
   arXiv:2401.14732; its pre-selection of candidates by approximate codewords:
   arXiv:2501.03078.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from _common import items_per_second, load_catalog, parse_sizes, split
from torch import Tensor, nn

from sklearn_rqvae import RQVAETransformer, metrics
from sklearn_rqvae.nn._mlp import Linear
from sklearn_rqvae.quantize._additive import fit_codebooks

BATCH, CHUNK = 512, 512


class ConditionalCodebooks(nn.Module):
    """Codewords of each level, changed by a network that sees the reconstruction so far."""

    def __init__(self, codebooks: list[Tensor], width: int, dropout: float):
        super().__init__()
        self.books = nn.ParameterList(nn.Parameter(book.clone()) for book in codebooks)
        n_dims = codebooks[0].shape[1]

        def network() -> nn.Sequential:
            last = Linear(width, n_dims)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            hidden = (Linear(width, width), nn.ReLU(), nn.Dropout(dropout))
            return nn.Sequential(Linear(2 * n_dims, width), nn.ReLU(), *hidden, last)

        self.networks = nn.ModuleList(network() for _ in codebooks[1:])

    def extend(self, level: int, so_far: Tensor, codes: Tensor) -> Tensor:
        """Return reconstructions one level longer, of shape (..., n_dims)."""
        codeword = F.embedding(codes, self.books[level])
        if level == 0:
            return codeword
        both = torch.cat([codeword, so_far], -1)
        change = self.networks[level - 1](both.flatten(0, -2))
        return so_far + codeword + change.view_as(codeword)

    def prefixes(self, codes: Tensor) -> Iterator[Tensor]:
        """Yield the reconstructions from the codes of the first levels."""
        so_far = torch.zeros(1)
        for level in range(len(self.books)):
            so_far = self.extend(level, so_far, codes[:, level])
            yield so_far

    @torch.no_grad()
    def encode(self, x: Tensor, n_beams: int, n_tried: int) -> tuple[Tensor, Tensor]:
        """Return codes and squared errors; each beam is extended by `n_tried` codewords."""
        found = [self._encode_chunk(rows, n_beams, n_tried) for rows in x.split(CHUNK)]
        codes, errors = zip(*found, strict=True)
        return torch.cat(codes), torch.cat(errors)

    def _encode_chunk(self, x: Tensor, n_beams: int, n_tried: int) -> tuple[Tensor, Tensor]:
        so_far, codes = torch.zeros(len(x), 1, x.shape[1]), torch.empty(len(x), 1, 0).long()
        for level, book in enumerate(self.books):
            scores = (x[:, None] - so_far) @ book.T - book.square().sum(1) / 2
            tried = scores.topk(n_beams if level == 0 else n_tried, dim=2).indices
            before = so_far[:, :, None].expand(-1, -1, tried.shape[2], -1)
            longer = self.extend(level, before, tried).flatten(1, 2)
            errors = (x[:, None] - longer).square().sum(2)
            errors, kept = errors.topk(min(n_beams, errors.shape[1]), largest=False)
            parent = kept // tried.shape[2]
            codes = codes.gather(1, parent[..., None].expand(-1, -1, codes.shape[2]))
            codes = torch.cat([codes, tried.flatten(1).gather(1, kept)[..., None]], 2)
            so_far = longer.gather(1, kept[..., None].expand(-1, -1, x.shape[1]))
        return codes[:, 0], errors[:, 0]


def train(
    model: ConditionalCodebooks,
    x: Tensor,
    codes: Tensor,
    n_epochs: int,
    lr: float,
    weight_decay: float,
) -> None:
    """Fit codewords and networks to rows with codes."""
    networks = {"params": model.networks.parameters(), "weight_decay": weight_decay}
    books = {"params": model.books.parameters(), "weight_decay": 0.0, "lr": lr / 5}
    optimizer = torch.optim.AdamW([networks, books], lr=lr)
    n_steps = n_epochs * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    model.train()
    for _ in range(n_epochs):
        for rows in torch.randperm(len(x)).split(BATCH):
            *before, last = model.prefixes(codes[rows])
            loss = (last - x[rows]).square().sum(1).mean()
            loss = loss + sum(0.1 * (part - x[rows]).square().sum(1).mean() for part in before)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()


def closed_form(X: np.ndarray, held_out: np.ndarray, sizes: list[int]) -> dict[str, float]:
    """Fit the closed form; return what it leaves of held-out rows, and seconds for a row."""
    start = time.process_time()
    model = RQVAETransformer(n_layers=len(sizes), codebook_size=sizes, random_state=0).fit(X)
    seconds = time.process_time() - start
    training_left, left = [
        metrics.fraction_variance_unexplained(A, model.inverse_transform(model.transform(A)))
        for A in (X, held_out)
    ]
    per_row = 1 / items_per_second(model.transform, held_out)
    print(
        f"closed form: {seconds:.0f} s, left of training rows {training_left:.4f}, of new ones "
        f"{left:.4f}; {1e6 * per_row:.0f} us to encode a row",
        flush=True,
    )
    return {"left": float(left), "seconds_per_row": per_row}


def load_rows(args: argparse.Namespace) -> np.ndarray:
    """Return the rows of a catalog, or evenly spaced ones of a file."""
    if args.vectors is None:
        return load_catalog(args.catalog, args.rows)
    X = np.load(args.vectors, mmap_mode="r")
    rows = np.linspace(0, len(X) - 1, min(args.rows or len(X), len(X))).astype(int)
    return X[rows].astype(np.float32)


def begin(x: Tensor, training: np.ndarray, held_out: np.ndarray, bits: list[int]) -> dict[str, Any]:
    """Fit the closed form, and the codebooks that networks start from."""
    closed = closed_form(training, held_out, bits)
    start = time.process_time()
    with torch.no_grad():
        codebooks = fit_codebooks(x, bits, generator=torch.Generator().manual_seed(0))
    spent = time.process_time() - start
    return {"closed": closed, "codebooks": codebooks, "spent": spent, "round": -1, "codes": None}


def parse_arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--catalog", default="scientific")
    parser.add_argument("--vectors", type=Path, help="rows of a .npy file in place of a catalog")
    parser.add_argument("--rows", type=int, help="evenly spaced rows to take, nine tenths to fit")
    parser.add_argument("--bits", type=parse_sizes, default=[256] * 3)
    parser.add_argument("--width", type=int, default=256, help="of the networks' hidden layers")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5, help="in each round")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--beams", type=int, default=8)
    parser.add_argument("--tried", type=int, default=16, help="codewords tried for each beam")
    parser.add_argument("--keep", type=Path, help="file to keep the last round in")
    return parser.parse_args()


def main() -> None:
    """Fit the closed form, then networks round by round."""
    args = parse_arguments()
    X = load_rows(args)
    training, held_out = (X[rows] for rows in split(len(X), 0))
    mean = torch.from_numpy(training.mean(0))
    x, new = torch.from_numpy(training) - mean, torch.from_numpy(held_out) - mean
    scale = x.square().mean().sqrt()
    x, new = x / scale, new / scale
    variances = [float((rows - rows.mean(0)).square().sum(1).mean()) for rows in (x, new)]

    kept = args.keep is not None and args.keep.exists()
    state = torch.load(args.keep) if kept else begin(x, training, held_out, args.bits)
    torch.manual_seed(0)
    model = ConditionalCodebooks(state["codebooks"], args.width, args.dropout)
    if "model" in state:
        model.load_state_dict(state["model"])
    closed = state["closed"]
    for number in range(state["round"] + 1, args.rounds + 1):
        torch.manual_seed(number)
        start = time.process_time()
        if number:
            train(model, x, state["codes"], args.epochs, args.lr, args.weight_decay)
        codes, errors = model.encode(x, args.beams, args.tried)
        state["spent"] += time.process_time() - start
        start = time.process_time()
        _, new_errors = model.encode(new, args.beams, args.tried)
        slower = (time.process_time() - start) / len(new) / closed["seconds_per_row"]
        left = float(errors.mean()) / variances[0], float(new_errors.mean()) / variances[1]
        print(
            f"round {number}: {state['spent']:.0f} s, left of training rows {left[0]:.4f}, of new "
            f"ones {left[1]:.4f}, {left[1] / closed['left']:.3f} of the closed form's; encodes in "
            f"{slower:.1f} times its time",
            flush=True,
        )
        state |= {"model": model.state_dict(), "codes": codes, "round": number}
        if args.keep is not None:
            torch.save(state, args.keep)


if __name__ == "__main__":
    main()
