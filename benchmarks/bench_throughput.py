"""How close are training and encoding to what the machine can do, and how do others compare?

Prints microseconds per item and ratios, for 768-dimensional rows and 3 levels of 256 codewords:

- an epoch of gradient training beside a bare torch loop of the same arithmetic, beside a loop that
  trains vector-quantize-pytorch's ResidualVQ between the same MLPs, both with layers that multiply
  as ours do, in half precision where the hardware is faster then, and with torch's own in single
  precision; and beside semantic-id's RQVAE, which has the same MLPs;
- greedy encoding beside the encoder's matrix products alone, by oneDNN and by torch's operator, and
  beside others' encoders;
- encoding with beams beside faiss's with as many beams on the same codebooks, and what both lose;
- a fit to 20,000 rows of 384 features beside faiss's, refined, in CPU seconds of all threads.

What is compared runs in turn, several times, and the fastest runs count. With one thread the clock
is the thread's own, so that other work on the machine shows little.

    OMP_NUM_THREADS=1 python benchmarks/bench_throughput.py
    OMP_NUM_THREADS=1 python benchmarks/bench_throughput.py --parts encode --n-rows 4096
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from _quantizers import FaissRQRefined

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae._compute._linear import linear
from sklearn_rqvae._learning._gradients import fast_precision, training_net
from sklearn_rqvae._learning._rows import Rows
from sklearn_rqvae._learning._schedule import lr_factor
from sklearn_rqvae._learning._settings import TrainingSettings
from sklearn_rqvae.nn import RqVae

N_FEATURES, EMBED_DIM, HIDDEN_DIMS, N_LEVELS, CODEBOOK_SIZE = 768, 32, [512, 256, 128], 3, 256
LR, WEIGHT_DECAY = 1e-3, 0.01
MEASURED = "fit, with the distortion's measurement"


def interleave(runs: dict[str, Callable], n_repeats: int) -> dict[str, float]:
    """Return the fewest seconds of each run, all of them taking turns."""
    for run in runs.values():
        run()
    one_thread = torch.get_num_threads() == 1
    return fewest_seconds(runs, n_repeats, time.thread_time if one_thread else time.perf_counter)


def fewest_seconds(
    runs: dict[str, Callable], n_repeats: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Return the fewest seconds of each run by a clock."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(n_repeats):
        for name, run in runs.items():
            start = clock()
            run()
            best[name] = min(best[name], clock() - start)
    return best


def show(title: str, seconds: dict[str, float], n_rows: int, base: str) -> None:
    """Print microseconds per item and times relative to one of the runs."""
    print(title)
    for name, value in seconds.items():
        print(f"  {name:<44}{1e6 * value / n_rows:9.2f} us  {value / seconds[base]:6.2f} x")


def make_rows(n_rows: int, n_features: int = N_FEATURES) -> np.ndarray:
    """Draw clustered rows as wide as sentence embeddings often are."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(500, n_features))
    X = centers[rng.integers(0, 500, n_rows)] + rng.normal(size=(n_rows, n_features))
    return X.astype(np.float32)


# -- Training --


def started_module(x: torch.Tensor) -> RqVae:
    """Return a module whose codebooks fit its latents, as after the warm-up."""
    module = RqVae(
        N_FEATURES, EMBED_DIM, HIDDEN_DIMS, CODEBOOK_SIZE, n_layers=N_LEVELS, codebook_mode="STE",
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    module.initialize_codebooks(x)
    return module


def our_epochs(
    module: RqVae, rows: Rows, batch_size: int, evaluate: bool
) -> tuple[Callable[[], None], int]:
    """Return the training that `fit` does from one measurement to the next, and its epochs."""
    settings = TrainingSettings(
        max_epochs=1000, n_warm_up_epochs=None, batch_size=batch_size, n_beams=1, lr=LR,
        weight_decay=WEIGHT_DECAY, lr_schedule="cosine", patience=None, callbacks=(),
        net_params={} if evaluate else {"callbacks__best": None}, verbose=0,
    )  # fmt: skip
    net = training_net(module, rows, None, torch.Generator().manual_seed(0), settings)
    net.initialize()
    tensors = {"x": rows.x, "sample_weight": rows.weight}
    net.notify("on_train_begin", X=tensors, y=None)
    n_epochs = dict(net.callbacks_)["best"].every if evaluate else 1
    return lambda: net.fit_loop(tensors, epochs=n_epochs), n_epochs


def precision_of(module: RqVae) -> AbstractContextManager:
    """Return the precision that `fit` trains in; single for torch's own layers."""
    precision = fast_precision(torch.device("cpu"))
    if precision is None or type(module.encoder.mlp[0]) is torch.nn.Linear:
        return nullcontext()
    return torch.autocast("cpu", precision)


def bare_epoch(
    module: RqVae, rows: Rows, batch_size: int, quantizes: bool = True
) -> Callable[[], None]:
    """Return one epoch of the same arithmetic in a plain loop, or of the MLPs' part of it."""
    codebooks = list(module.quantizer.parameters())
    rest = [p for name, p in module.named_parameters() if not name.startswith("quantizer.")]
    optimizer = torch.optim.AdamW(
        [{"params": rest}, {"params": codebooks, "weight_decay": 0.0}],
        lr=LR, weight_decay=WEIGHT_DECAY, fused=True,
    )  # fmt: skip
    n_steps = 1000 * -(-len(rows.x) // batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lr_factor("cosine", n_steps))
    generator = torch.Generator().manual_seed(0)

    def epoch() -> None:
        module.train()
        for batch in torch.randperm(len(rows.x), generator=generator).split(batch_size):
            x, weight = rows.x[batch], rows.weight[batch]
            optimizer.zero_grad()
            with precision_of(module):
                output = (module if quantizes else module.autoencode)(x, weight)
            output.loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            if quantizes and module.quantizer.judges_usage(window=10.0):
                latent = output.latent.detach().float()
                module.quantizer.reset_dead_codes(latent, optimizer, weight)
            output.loss.item()

    return epoch


def with_torchs_layers(module: RqVae) -> RqVae:
    """Return a copy with `torch.nn.Linear` in the MLPs, as a loop of one's own would have."""
    module = copy.deepcopy(module)
    for mlp in (module.encoder.mlp, module.decoder.mlp):
        for position in range(0, len(mlp), 2):
            layer = torch.nn.Linear(mlp[position].in_features, mlp[position].out_features)
            layer.load_state_dict(mlp[position].state_dict())
            mlp[position] = layer
    return module


def peer_epoch(module: RqVae, rows: Rows, batch_size: int) -> Callable[[], None]:
    """Return one epoch of vector-quantize-pytorch's residual quantizer between the MLPs."""
    quantizer = peer_quantizer(module, rows.x)
    parameters = [*module.encoder.parameters(), *module.decoder.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=LR, weight_decay=WEIGHT_DECAY, fused=True)

    def epoch() -> None:
        for batch in torch.randperm(len(rows.x)).split(batch_size):
            x = rows.x[batch]
            optimizer.zero_grad()
            with precision_of(module):
                latent = module.encoder(x)
            quantized, _, commitment = quantizer(latent.float())
            with precision_of(module):
                decoded = module.decoder.mlp(quantized)
            loss = (decoded - x).square().mean() + commitment.sum()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            loss.item()

    return epoch


def peer_quantizer(module: RqVae, x: torch.Tensor) -> torch.nn.Module:
    """Return a quantizer of the other package, initialized with a module's latents."""
    from vector_quantize_pytorch import ResidualVQ

    quantizer = ResidualVQ(
        dim=EMBED_DIM, num_quantizers=N_LEVELS, codebook_size=CODEBOOK_SIZE, kmeans_init=True
    )
    with torch.no_grad():
        quantizer(module.encoder(x[:2048]))
    return quantizer


def other_epochs(X: np.ndarray, batch_size: int, n_epochs: int) -> Callable[[], None]:
    """Return semantic-id's training for some epochs, from random codewords on."""
    from semantic_id import RQVAE

    def train() -> None:
        RQVAE(
            X.shape[1], [CODEBOOK_SIZE] * N_LEVELS, EMBED_DIM, HIDDEN_DIMS,
            lr=LR, weight_decay=WEIGHT_DECAY, lr_scheduler="cosine", batch_size=batch_size,
            epochs=n_epochs,
        ).fit(X)  # fmt: skip

    return train


def n_times(run: Callable[[], None], n: int) -> Callable[[], None]:
    """Return `n` runs as one."""

    def runs() -> None:
        for _ in range(n):
            run()

    return runs


def bench_training(X: np.ndarray, batch_sizes: list[int], n_repeats: int) -> None:
    """Compare epochs."""
    rows = Rows(torch.from_numpy(X), torch.ones(len(X)))
    module = started_module(rows.x)
    torchs = with_torchs_layers(module)
    for batch_size in batch_sizes:
        fit, _ = our_epochs(copy.deepcopy(module), rows, batch_size, evaluate=False)
        measured, n_epochs = our_epochs(copy.deepcopy(module), rows, batch_size, evaluate=True)
        runs = {
            "bare torch loop": bare_epoch(copy.deepcopy(module), rows, batch_size),
            "bare torch loop, torch.nn.Linear": bare_epoch(copy.deepcopy(torchs), rows, batch_size),
            "fit": fit,
            "bare torch loop, no quantizer": bare_epoch(
                copy.deepcopy(module), rows, batch_size, quantizes=False
            ),
            "vector-quantize-pytorch, our layers": peer_epoch(
                copy.deepcopy(module), rows, batch_size
            ),
            "vector-quantize-pytorch, torch.nn.Linear": peer_epoch(
                copy.deepcopy(torchs), rows, batch_size
            ),
        }
        # All runs take as many epochs as there are from one measurement to the next.
        runs = {name: n_times(run, n_epochs) for name, run in runs.items()}
        others = {"semantic-id": other_epochs(X, batch_size, n_epochs)}
        seconds = interleave({**runs, MEASURED: measured, **others}, n_repeats)
        seconds = {name: value / n_epochs for name, value in seconds.items()}
        show(f"An epoch in batches of {batch_size}", seconds, len(X), "bare torch loop")


# -- Encoding --


def products(
    x: torch.Tensor, weights: list[torch.Tensor], multiply: Callable = linear
) -> Callable[[], None]:
    """Return the encoder's matrix products, and nothing else, in chunks of the best size."""

    def run() -> None:
        for rows in x.split(1024):
            for weight in weights:
                rows = multiply(rows, weight)

    return run


def bench_greedy(X: np.ndarray, n_repeats: int) -> None:
    """Compare greedy encoding with the limit of the matrix products, and with others."""
    from semantic_id import RQVAE

    x = torch.from_numpy(X)
    trained = RQVAETransformer(
        codebook_mode="STE", linear_path=False, max_epochs=0, n_beams=1, random_state=0
    ).fit(X)
    weights = [
        layer.weight for layer in trained.net_.encoder.mlp if isinstance(layer, torch.nn.Linear)
    ]
    module = started_module(x)
    torchs = with_torchs_layers(module)
    quantizer = peer_quantizer(module, x).eval()
    other = RQVAE(X.shape[1], [CODEBOOK_SIZE] * N_LEVELS, EMBED_DIM, HIDDEN_DIMS)

    def peer(module: RqVae) -> None:
        for rows in x.split(1024):
            quantizer(module.encoder(rows))

    with torch.no_grad():
        seconds = interleave(
            {
                "encoder's products alone, by oneDNN": products(x, weights),
                "encoder's products alone, F.linear": products(x, weights, F.linear),
                "transform": lambda: trained.transform(X),
                "vector-quantize-pytorch, our layers": lambda: peer(module),
                "vector-quantize-pytorch, torch.nn.Linear": lambda: peer(torchs),
                "semantic-id": lambda: other.encode(X),
            },
            n_repeats,
        )
    show("Greedy, MLP to 32 dimensions", seconds, len(X), "transform")

    closed = RQVAETransformer(n_beams=1, random_state=0).fit(X)
    codewords = torch.cat([torch.from_numpy(codebook) for codebook in closed.codebooks_])
    latents = closed.net_.encode(x).numpy()
    faiss_quantizer = faiss_with(closed.codebooks_, 1, lut=True)
    with torch.no_grad():
        seconds = interleave(
            {
                "product of rows and codewords, by oneDNN": products(x, [codewords]),
                "product of rows and codewords, F.linear": products(x, [codewords], F.linear),
                "transform": lambda: closed.transform(X),
                "faiss, of rotated rows": lambda: faiss_quantizer.compute_codes(latents),
            },
            n_repeats,
        )
    show("Greedy, closed form in 768 dimensions", seconds, len(X), "transform")


def faiss_with(codebooks: list[np.ndarray], n_beams: int, lut: bool):
    """Return faiss's residual quantizer with our codebooks."""
    import faiss

    n_bits = int(np.log2(len(codebooks[0])))
    quantizer = faiss.ResidualQuantizer(codebooks[0].shape[1], len(codebooks), n_bits)
    faiss.copy_array_to_vector(np.concatenate(codebooks).ravel(), quantizer.codebooks)
    quantizer.is_trained = True
    quantizer.max_beam_size = n_beams
    quantizer.use_beam_LUT = int(lut)
    if lut:
        quantizer.compute_codebook_tables()
    return quantizer


def bench_beams(X: np.ndarray, n_repeats: int) -> None:
    """Compare encoding with beams."""
    model = RQVAETransformer(random_state=0).fit(X)
    with torch.no_grad():
        latents = model.net_.encode(torch.from_numpy(X)).numpy()
    variance = float(np.square(X - X.mean(0)).mean())
    for n_beams in (5, 16):
        model.set_params(n_beams=n_beams)
        plain = faiss_with(model.codebooks_, n_beams, lut=False)
        table = faiss_with(model.codebooks_, n_beams, lut=True)
        seconds = interleave(
            {
                "transform, reranked": lambda: model.transform(X),
                "faiss": lambda quantizer=plain: quantizer.compute_codes(latents),
                "faiss, use_beam_LUT": lambda quantizer=table: quantizer.compute_codes(latents),
            },
            n_repeats,
        )
        show(f"{n_beams} beams, {X.shape[1]} dimensions", seconds, len(X), "transform, reranked")
        ours = -model.score(X) / variance
        theirs = plain.decode(plain.compute_codes(latents))
        error = float(np.square(latents - theirs).sum(1).mean()) * float(model.net_.scale[0]) ** 2
        theirs_share = error / X.shape[1] / variance
        print(
            f"  unexplained variance: {ours:.4f}; faiss, on the same codebooks {theirs_share:.4f}"
        )
    row = X[:1]
    one = interleave({"a single row": lambda: model.transform(row)}, 30 * n_repeats)
    print(f"A single row, 16 beams: {1e3 * one['a single row']:.2f} ms")


# -- Fits --


def bench_fits(n_repeats: int) -> None:
    """Compare fits in closed form with faiss's."""
    X = make_rows(20_000, 384)
    sizes, n_threads = [CODEBOOK_SIZE] * N_LEVELS, torch.get_num_threads()
    seconds = fewest_seconds(
        {
            "fit": lambda: RQVAETransformer(random_state=0).fit(X),
            "faiss, refined": lambda: FaissRQRefined(sizes, 0, n_threads).fit(X),
        },
        n_repeats,
        time.process_time,
    )
    show("A fit to 20,000 rows of 384 features, CPU time", seconds, len(X), "fit")


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", default=["train", "encode", "beams", "fit"])
    parser.add_argument("--n-rows", type=int, default=12_288)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64, 256, 1024, 4096])
    parser.add_argument("--n-repeats", type=int, default=5)
    parser.add_argument("--n-threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.n_threads)
    X = make_rows(args.n_rows)
    if "train" in args.parts:
        bench_training(X, args.batch_sizes, args.n_repeats)
    if "encode" in args.parts:
        bench_greedy(X, args.n_repeats)
    if "beams" in args.parts:
        bench_beams(X, args.n_repeats)
    if "fit" in args.parts:
        bench_fits(args.n_repeats)


if __name__ == "__main__":
    main()
