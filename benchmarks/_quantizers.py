"""Quantizers under one interface: `fit`, `encode`, `decode` (of prefixes too), `n_floats`.

Rivals are used as their documentation says, at the settings that it or their source recommends for
quality. What a rival leaves to the user, such as scaling its input, is done for it.
"""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Quantizer:
    """What the benchmarks ask of a quantizer.

    Parameters
    ----------
    sizes : sequence of int
        Number of codewords at each level.
    seed : int
        Seed of all that is drawn.
    n_threads : int
        Threads to compute with.
    budget : float or None
        Seconds that training may take, for those who would go on for ever.
    """

    def __init__(
        self, sizes: Sequence[int], seed: int, n_threads: int, budget: float | None = None
    ):
        self.sizes, self.seed, self.n_threads, self.budget = list(sizes), seed, n_threads, budget
        self.start()

    def start(self) -> None:
        """Import what is needed and set the threads: not part of the time of `fit`."""

    def fit(self, X: np.ndarray) -> None:
        """Learn from rows."""
        raise NotImplementedError

    def encode(self, X: np.ndarray) -> np.ndarray:
        """Return codes of shape (n_samples, n_levels)."""
        raise NotImplementedError

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Reconstruct rows from all or the first of their codes."""
        raise NotImplementedError

    def n_floats(self) -> int:
        """Return how many numbers of four bytes the model stores."""
        raise NotImplementedError


# -- This package --


class Estimator(Quantizer):
    """An estimator of this package."""

    def start(self) -> None:
        """Import the estimator."""
        import torch

        import sklearn_rqvae

        torch.set_num_threads(self.n_threads)
        self.estimator = self.build(sklearn_rqvae)

    def build(self, package: Any) -> Any:
        """Return the estimator, not fitted."""
        raise NotImplementedError

    def fit(self, X: np.ndarray) -> None:
        """Fit the estimator."""
        self.estimator.fit(X)

    def encode(self, X: np.ndarray) -> np.ndarray:
        """Transform the rows."""
        return self.estimator.transform(X)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Transform the codes back."""
        return self.estimator.inverse_transform(codes)

    def encode_with_beams(self, X: np.ndarray, n_beams: int) -> np.ndarray:
        """Encode with another number of beams than the fit's."""
        before = self.estimator.n_beams
        self.estimator.n_beams = n_beams
        try:
            return self.encode(X)
        finally:
            self.estimator.n_beams = before


class Transformer(Estimator):
    """`RQVAETransformer` with given parameters, its defaults if there are none."""

    params: dict[str, Any]

    def __init__(
        self,
        sizes: Sequence[int],
        seed: int,
        n_threads: int,
        budget: float | None = None,
        params: dict[str, Any] | None = None,
    ):
        self.params = params or {}
        super().__init__(sizes, seed, n_threads, budget)

    def build(self, package: Any) -> Any:
        """Return the transformer."""
        return package.RQVAETransformer(
            n_layers=len(self.sizes),
            codebook_size=self.sizes,
            device="cpu",
            random_state=self.seed,
            **self.params,
        )

    def n_floats(self) -> int:
        """Count weights and buffers, encoder included."""
        return sum(array.nbytes for array in self.estimator.state_.values()) // 4


class Plain(Transformer):
    """The textbook RQ-VAE: two MLPs around the quantizer."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, params={"linear_path": False}, **kwargs)


class ResidualKMeans(Estimator):
    """`ResidualKMeans` with its defaults."""

    def build(self, package: Any) -> Any:
        """Return the transformer."""
        return package.ResidualKMeans(
            n_layers=len(self.sizes), codebook_size=self.sizes, random_state=self.seed
        )

    def n_floats(self) -> int:
        """Count codewords and the mean."""
        estimator = self.estimator
        return sum(codebook.size for codebook in estimator.codebooks_) + estimator.mean_.size


class KMeansStart(ResidualKMeans):
    """The same after its first step alone: greedy k-means, no rounds of least squares."""

    def build(self, package: Any) -> Any:
        """Return the transformer."""
        return super().build(package).set_params(n_beams=1, n_iter=0)


class ProductQuantizer(Estimator):
    """`ProductQuantizer` with its defaults."""

    def build(self, package: Any) -> Any:
        """Return the transformer."""
        return package.ProductQuantizer(
            n_layers=len(self.sizes), codebook_size=self.sizes, random_state=self.seed
        )

    def n_floats(self) -> int:
        """Count codewords, in the space of rows, the rotation and the mean."""
        arrays = [*self.estimator.codebooks_, self.estimator.rotation_, self.estimator.mean_]
        return sum(array.size for array in arrays)


# -- faiss --


class Faiss(Quantizer):
    """A quantizer of faiss, on centered rows."""

    def start(self) -> None:
        """Import faiss."""
        import faiss

        faiss.omp_set_num_threads(self.n_threads)
        self.faiss = faiss
        self.n_bits = int(math.log2(self.sizes[0]))
        if {2**self.n_bits} != set(self.sizes):
            raise ValueError(f"sizes={self.sizes} should be one power of two: faiss knows no other")

    def encode(self, X: np.ndarray) -> np.ndarray:
        """Compute codes and unpack their bits."""
        packed = self.quantizer.compute_codes(self.prepare(X))
        return self.faiss.unpack_bitstrings(packed, len(self.sizes), self.n_bits).astype(np.int64)

    def prepare(self, X: np.ndarray) -> np.ndarray:
        """Center rows."""
        return X - self.mean

    def fit(self, X: np.ndarray) -> None:
        """Train the quantizer and copy its codebooks."""
        self.mean = X.mean(0)
        self.quantizer = self.build(X.shape[1])
        self.quantizer.train(self.prepare(X))
        self.codebooks = self.read(self.quantizer.codebooks, X.shape[1])

    def build(self, n_features: int) -> Any:
        """Return the quantizer, not trained."""
        raise NotImplementedError

    def read(self, vector: Any, n_features: int) -> np.ndarray:
        """Return faiss's codebooks as an array: levels, codewords, features."""
        array = self.faiss.vector_to_array(vector)
        return array.reshape(len(self.sizes), self.sizes[0], n_features)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Add up mean and codewords."""
        codewords = (book[column] for book, column in zip(self.codebooks, codes.T, strict=False))
        return sum(codewords, start=self.mean)

    def n_floats(self) -> int:
        """Count codewords and the mean."""
        return self.codebooks.size + self.mean.size


class FaissRQ(Faiss):
    """Progressive-dimension residual quantizer."""

    n_beams, refined = 5, False

    def build(self, n_features: int) -> Any:
        """Return the residual quantizer."""
        quantizer = self.faiss.ResidualQuantizer(n_features, len(self.sizes), self.n_bits)
        quantizer.max_beam_size = self.n_beams
        quantizer.cp.seed = self.seed
        quantizer.train_type = quantizer.Train_progressive_dim
        if self.refined:
            quantizer.train_type |= quantizer.Train_refine_codebook
        return quantizer


class FaissRQ1(FaissRQ):
    """The same, greedy."""

    n_beams = 1


class FaissRQRefined(FaissRQ):
    """The same, codebooks refined by least squares."""

    refined = True


class FaissRQ16Refined(FaissRQRefined):
    """The same with 16 beams, in training and in encoding."""

    n_beams = 16


class FaissLSQ(Faiss):
    """Local search quantizer."""

    def build(self, n_features: int) -> Any:
        """Return the local search quantizer."""
        quantizer = self.faiss.LocalSearchQuantizer(n_features, len(self.sizes), self.n_bits)
        quantizer.random_seed = self.seed
        return quantizer


class FaissPQ(Faiss):
    """Product quantizer; features are padded with zeros until they can be divided."""

    rotated = False
    n_rounds, n_iter_in_round, n_iter = 50, 4, 25  # faiss's defaults

    def prepare(self, X: np.ndarray) -> np.ndarray:
        """Center, pad and rotate rows."""
        X = np.pad(X - self.mean, ((0, 0), (0, -X.shape[1] % len(self.sizes))))
        return np.ascontiguousarray(X @ self.rotation.T if self.rotated else X)

    def fit(self, X: np.ndarray) -> None:
        """Train the rotation, if there is one, and the quantizer."""
        self.mean = X.mean(0)
        rotated, self.rotated = self.rotated, False
        X = self.prepare(X)
        self.rotated = rotated
        if rotated:
            opq = self.faiss.OPQMatrix(X.shape[1], len(self.sizes))
            opq.niter, opq.niter_pq = self.n_rounds, self.n_iter_in_round
            opq.pq = inner = self._product_quantizer(X.shape[1])
            opq.train(X)
            del inner  # alive until here: faiss holds a pointer
            self.rotation = self.faiss.vector_to_array(opq.A).reshape(2 * [X.shape[1]])
            X = np.ascontiguousarray(X @ self.rotation.T)
        self.quantizer = self._product_quantizer(X.shape[1])
        self.quantizer.train(X)
        self.codebooks = self.read(self.quantizer.centroids, X.shape[1] // len(self.sizes))

    def _product_quantizer(self, n_features: int) -> Any:
        quantizer = self.faiss.ProductQuantizer(n_features, len(self.sizes), self.n_bits)
        quantizer.cp.seed, quantizer.cp.niter = self.seed, self.n_iter
        return quantizer

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Put codewords side by side, zeros for missing ones; rotate back, add the mean."""
        parts = np.zeros((len(codes), len(self.sizes), self.codebooks.shape[2]), np.float32)
        for level, column in enumerate(codes.T):
            parts[:, level] = self.codebooks[level, column]
        rows = parts.reshape(len(codes), -1)
        if self.rotated:
            rows = rows @ self.rotation
        return rows[:, : len(self.mean)] + self.mean

    def n_floats(self) -> int:
        """Count codewords, the mean, and the rotation."""
        return super().n_floats() + (self.rotation.size if self.rotated else 0)


class FaissOPQ(FaissPQ):
    """Product quantizer after an optimized rotation."""

    rotated = True


class FaissOPQLong(FaissOPQ):
    """The same with twice the rounds of the rotation, and more of k-means."""

    n_rounds, n_iter_in_round, n_iter = 100, 10, 100


# -- vector-quantize-pytorch --


class VectorQuantizePytorch(Quantizer):
    """Its `ResidualVQ` in this package's plain autoencoder, trained for `budget` seconds.

    All but the quantizer is as in the plain RQ-VAE of this package: scaling, MLPs, loss units,
    optimizer, a first third without quantization, then k-means on the latents. The quantizer has
    its defaults (moving averages, rotation trick) and replaces codes that become rare.
    """

    embed_dim, hidden_dims, batch_size, lr = 32, (512, 256, 128), 512, 1e-3

    def start(self) -> None:
        """Import torch and the quantizer."""
        import torch
        from vector_quantize_pytorch import ResidualVQ

        import sklearn_rqvae.nn

        torch.set_num_threads(self.n_threads)
        torch.manual_seed(self.seed)
        self.torch, self.residual_vq, self.nn = torch, ResidualVQ, sklearn_rqvae.nn

    def fit(self, X: np.ndarray) -> None:
        """Train the autoencoder until the time is over."""
        torch = self.torch
        self.mean = torch.from_numpy(X.mean(0))
        x = torch.from_numpy(X) - self.mean
        self.scale = float(x.square().mean().sqrt())
        x = x / self.scale
        self.encoder = self.nn.Encoder(X.shape[1], self.hidden_dims, self.embed_dim)
        self.decoder = self.nn.Decoder(self.embed_dim, self.hidden_dims[::-1], X.shape[1])
        self.quantizer = self.residual_vq(
            dim=self.embed_dim,
            num_quantizers=len(self.sizes),
            codebook_size=tuple(self.sizes) if len(set(self.sizes)) > 1 else self.sizes[0],
            kmeans_init=True,
            threshold_ema_dead_code=2,
            commitment_weight=0.25,
        )
        self._train(x)
        for module in (self.encoder, self.decoder, self.quantizer):
            module.eval()

    def _train(self, x: Any) -> None:
        torch, begin = self.torch, time.process_time()
        parameters = [
            parameter
            for module in (self.encoder, self.decoder, self.quantizer)
            for parameter in module.parameters()
            if parameter.requires_grad
        ]
        optimizer = torch.optim.AdamW(parameters, lr=self.lr, weight_decay=0.01, fused=True)
        quantizing = False
        while True:
            for rows in torch.randperm(len(x)).split(self.batch_size):
                progress = (time.process_time() - begin) / self.budget
                if progress >= 1:
                    return
                if not quantizing and progress > 1 / 3:
                    quantizing = True
                    with torch.no_grad():
                        self.quantizer(self.encoder(x))  # its first call sets the codebooks
                for group in optimizer.param_groups:
                    warm_up = min(1.0, progress / 0.02)
                    group["lr"] = self.lr * warm_up * (1 + math.cos(math.pi * progress)) / 2
                loss = self._loss(x[rows], quantizing)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()

    def _loss(self, x: Any, quantizing: bool) -> Any:
        latent, commitment = self.encoder(x), 0.0
        if quantizing:
            latent, _, losses = self.quantizer(latent)
            # Means over latent dimensions there, over input dimensions here.
            commitment = losses.sum() * self.embed_dim / x.shape[1]
        codes = self.torch.empty((len(x), 0), dtype=self.torch.int64)  # the decoder looks at none
        return (self.decoder(latent, codes) - x).square().mean() + commitment

    def encode(self, X: np.ndarray) -> np.ndarray:
        """Quantize latents."""
        with self.torch.no_grad():
            x = (self.torch.from_numpy(X) - self.mean) / self.scale
            codes = [self.quantizer(self.encoder(part))[1] for part in x.split(1024)]
        return self.torch.cat(codes).numpy()

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Decode the sum of the codewords."""
        with self.torch.no_grad():
            codes = self.torch.from_numpy(np.ascontiguousarray(codes))
            books = [layer.codebook for layer in self.quantizer.layers]
            latent = sum(book[c] for book, c in zip(books, codes.T, strict=False))
            return (self.decoder(latent, codes[:, :0]) * self.scale + self.mean).numpy()

    def n_floats(self) -> int:
        """Count weights, codewords and the scaling."""
        weights = [*self.encoder.parameters(), *self.decoder.parameters()]
        count = sum(weight.numel() for weight in weights)
        return count + sum(self.sizes) * self.embed_dim + len(self.mean) + 1


# -- semantic-id --


class SemanticIdRQKMeans(Quantizer):
    """Its residual k-means, with its defaults: ten starts of scikit-learn's k-means each level."""

    def start(self) -> None:
        """Import the quantizer."""
        import torch
        from semantic_id import RQKMeans

        torch.set_num_threads(self.n_threads)
        self.model = RQKMeans(len(self.sizes), self.sizes, random_state=self.seed)

    def fit(self, X: np.ndarray) -> None:
        """Fit the model."""
        self.model.fit(X)

    def encode(self, X: np.ndarray) -> np.ndarray:
        """Encode with the model."""
        return self.model.encode(X).astype(np.int64)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Add up codewords."""
        books = self.model.codebooks_
        return sum(book[column] for book, column in zip(books, codes.T, strict=False))

    def n_floats(self) -> int:
        """Count codewords."""
        return sum(codebook.size for codebook in self.model.codebooks_)


class SemanticIdRQVAE(Quantizer):
    """Its RQ-VAE as it is: defaults, k-means start, rows as they come, its choice of weights."""

    def start(self) -> None:
        """Import the model."""
        import torch
        from semantic_id import RQVAE

        torch.set_num_threads(self.n_threads)
        torch.manual_seed(self.seed)
        self.rqvae, self.mean, self.scale = RQVAE, 0.0, 1.0

    def fit(self, X: np.ndarray) -> None:
        """Fit the model."""
        self.model = self.rqvae(X.shape[1], self.sizes, kmeans_init=True)
        self.model.fit(X)

    def encode(self, X: np.ndarray) -> np.ndarray:
        """Encode with the model."""
        return self.model.encode((X - self.mean) / self.scale).astype(np.int64)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Decode the sum of the codewords."""
        import torch

        module = self.model.module
        with torch.no_grad():
            codes = torch.from_numpy(np.ascontiguousarray(codes))
            books = [layer.get_codebook() for layer in module.rq.vq_layers]
            latent = sum(book[c] for book, c in zip(books, codes.T, strict=False))
            rows = module.decoder(latent).numpy()
        return (rows * self.scale + self.mean).astype(np.float32)

    def n_floats(self) -> int:
        """Count weights and codewords."""
        return sum(weight.numel() for weight in self.model.module.parameters())


class _TimeIsOver(Exception):
    """Ends a training whose epochs took longer than those it was planned by."""


class SemanticIdRQVAETuned(SemanticIdRQVAE):
    """The same at its best: scaled rows, small batches, a cosine schedule, the last weights.

    Left alone, `fit` returns the weights of the epoch with the fewest collisions, often the first.
    It trains as many epochs as fit into `budget`, the few included that say how many these are.
    """

    n_trial_epochs = 8

    def fit(self, X: np.ndarray) -> None:
        """Time a few epochs, then train as many as there is time for."""
        begin = time.process_time()
        self.mean = X.mean(0)
        self.scale = float((X - self.mean).std())
        X = (X - self.mean) / self.scale
        ends = self._train(X, self.n_trial_epochs, math.inf) - begin
        per_epoch = float(np.median(np.diff(ends)))
        left = self.budget - ends[-1] - (ends[0] - per_epoch)  # less another k-means start
        n_epochs = max(self.n_trial_epochs, int(left / per_epoch))
        self._train(X, n_epochs, begin + 1.1 * self.budget)

    def _train(self, X: np.ndarray, n_epochs: int, deadline: float) -> np.ndarray:
        """Train a new model, until the deadline at most; return when its epochs ended."""
        ends: list[float] = []

        class LastEpoch(self.rqvae):
            """Counts the last epoch as the best."""

            def _compute_collision_rate(self, codes: Any) -> float:
                ends.append(time.process_time())
                if ends[-1] > deadline:
                    raise _TimeIsOver
                return -float(len(ends))

        self.model = LastEpoch(
            X.shape[1],
            self.sizes,
            kmeans_init=True,
            lr=1e-3,
            lr_scheduler="cosine",
            batch_size=max(512, *self.sizes),
            epochs=n_epochs,
            verbose=10**9,
        )
        silence = io.StringIO()
        with (
            contextlib.redirect_stdout(silence),
            contextlib.redirect_stderr(silence),
            contextlib.suppress(_TimeIsOver),
        ):
            self.model.fit(X)
        self.model.module.eval()
        self.model.verbose = False
        return np.array(ends)


class Method(NamedTuple):
    """A method of the benchmark."""

    label: str
    quantizer: type[Quantizer]
    requires: str | None = None  # what must be importable
    needs_budget: bool = False


METHODS = {
    "ours": Method("RQVAETransformer()", Transformer),
    "plain": Method("RQVAETransformer(linear_path=False)", Plain),
    "residual-kmeans": Method("ResidualKMeans()", ResidualKMeans),
    "product": Method("ProductQuantizer()", ProductQuantizer),
    "kmeans-start": Method("ResidualKMeans(n_beams=1, n_iter=0)", KMeansStart),
    "faiss-rq1": Method("faiss RQ, 1 beam", FaissRQ1, "faiss"),
    "faiss-rq5": Method("faiss RQ, 5 beams", FaissRQ, "faiss"),
    "faiss-rq5-refined": Method("faiss RQ, 5 beams, refined", FaissRQRefined, "faiss"),
    "faiss-rq16-refined": Method("faiss RQ, 16 beams, refined", FaissRQ16Refined, "faiss"),
    "faiss-lsq": Method("faiss LSQ", FaissLSQ, "faiss"),
    "faiss-pq": Method("faiss PQ", FaissPQ, "faiss"),
    "faiss-opq": Method("faiss OPQ", FaissOPQ, "faiss"),
    "faiss-opq-long": Method("faiss OPQ, twice the rounds", FaissOPQLong, "faiss"),
    "vector-quantize": Method(
        "vector-quantize-pytorch, plain autoencoder",
        VectorQuantizePytorch,
        "vector_quantize_pytorch",
        True,
    ),
    "semantic-id-rqkmeans": Method("semantic-id RQKMeans", SemanticIdRQKMeans, "semantic_id"),
    "semantic-id-rqvae": Method("semantic-id RQVAE, as it is", SemanticIdRQVAE, "semantic_id"),
    "semantic-id-rqvae-tuned": Method(
        "semantic-id RQVAE, tuned", SemanticIdRQVAETuned, "semantic_id", True
    ),
}
