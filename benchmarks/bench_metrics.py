"""How fast are the metrics at 10 million items, beside the obvious numpy?

Prints, for random codes of a skewed distribution, seconds and the ratio to a naive version. Seconds
are CPU time, so that other work on the machine doesn't show; set OMP_NUM_THREADS=1, or threads
count twice. The naive versions of what needs distances are not affordable at that size; there, the
time of the sampled estimate is printed alone, with the bound on its standard error.

    export OMP_NUM_THREADS=1
    python benchmarks/bench_metrics.py                        # 10 million items, 4 levels of 256
    python benchmarks/bench_metrics.py --n-samples 100000
    python benchmarks/bench_metrics.py --normal vectors.npy   # the user guide's table
"""

import argparse
import time
import tracemalloc

import numpy as np

from sklearn_rqvae import metrics


def skewed_codes(n_samples, n_layers, codebook_size, rng):
    """Draw codes whose usage falls from code to code, as on real catalogs."""
    share = 1 / (np.arange(codebook_size) + 10)
    return rng.choice(codebook_size, (n_samples, n_layers), p=share / share.sum())


def naive_usage(codes, codebook_size):
    """Compare with every code."""
    return [[np.sum(column == code) for code in range(codebook_size)] for column in codes.T]


def naive_perplexity(codes, codebook_size):
    """Take shares from naive counts."""
    share = np.array(naive_usage(codes, codebook_size)) / len(codes)
    return np.exp(-np.sum(share * np.log(share + 1e-300), axis=1))


def naive_collision_rate(codes):
    """Sort whole rows."""
    return 1 - len(np.unique(codes, axis=0)) / len(codes)


def naive_group_sizes(codes):
    """Sort whole rows once per prefix length."""
    lengths = range(1, codes.shape[1] + 1)
    return [np.unique(codes[:, :length], axis=0, return_counts=True)[1] for length in lengths]


def naive_entropy(codes):
    """Take the entropy of naive group sizes."""
    return [-np.sum(m / m.sum() * np.log2(m / m.sum())) for m in naive_group_sizes(codes)]


def naive_purity(codes, labels):
    """Walk through the prefixes of each length."""
    result = []
    for length in range(1, codes.shape[1] + 1):
        _, prefix = np.unique(codes[:, :length], axis=0, return_inverse=True)
        order = np.argsort(prefix, kind="stable")
        starts = np.flatnonzero(np.diff(prefix[order], prepend=-1))
        groups = np.split(labels[order], starts[1:])
        result.append(sum(np.bincount(group).max() for group in groups) / len(labels))
    return result


def naive_information(codes, labels):
    """Call scikit-learn once per prefix length."""
    from sklearn.metrics import adjusted_mutual_info_score

    lengths = range(1, codes.shape[1] + 1)
    prefixes = [np.unique(codes[:, :k], axis=0, return_inverse=True)[1] for k in lengths]
    return [adjusted_mutual_info_score(labels, prefix) for prefix in prefixes]


def naive_error(X, reconstruction):
    """Subtract whole arrays in double precision."""
    return ((X.astype(float) - reconstruction.astype(float)) ** 2).mean()


def naive_fraction(X, reconstruction):
    """Divide two whole-array sums."""
    X, reconstruction = X.astype(float), reconstruction.astype(float)
    return ((X - reconstruction) ** 2).sum() / ((X - X.mean(axis=0)) ** 2).sum()


def naive_cosine(X, reconstruction):
    """Normalize whole arrays."""
    X, reconstruction = X.astype(float), reconstruction.astype(float)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    reconstruction /= np.linalg.norm(reconstruction, axis=1, keepdims=True)
    return (X * reconstruction).sum(axis=1).mean()


def naive_floor(X):
    """Sort whole rows."""
    return 1 - len(np.unique(X, axis=0)) / len(X)


def measured(function, *arguments):
    """Return result, seconds and peak memory in MB; memory is traced in a second run."""
    start = time.process_time()
    result = function(*arguments)
    seconds = time.process_time() - start
    tracemalloc.start()
    function(*arguments)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return result, seconds, peak


def flat(result):
    """Put a number, an array or a list of arrays in one row."""
    parts = result if isinstance(result, list) else [result]
    return np.concatenate([np.ravel(part) for part in parts])


def compare(name, ours, naive, arguments, naive_arguments, n_naive, n_samples):
    """Print one line; a naive version that ran on fewer samples has its time scaled up."""
    _, seconds, peak = measured(ours, *arguments)
    start = time.process_time()
    expected = naive(*naive_arguments)
    scale = n_samples / n_naive
    naive_seconds = (time.process_time() - start) * scale
    small = [argument[:n_naive] if np.ndim(argument) else argument for argument in arguments]
    difference = np.abs(flat(ours(*small)) - flat(expected)).max()
    note = f" (naive on {n_naive:,}, scaled)" if scale > 1 else ""
    print(
        f"{name:32}{seconds:9.3f} s {peak:8.0f} MB {naive_seconds / seconds:9.1f}x"
        f"   differs by {difference:.0e}{note}",
        flush=True,
    )


def print_normal(path):
    """Print what is normal for ResidualKMeans on the vectors of a .npy file."""
    from sklearn_rqvae import ResidualKMeans

    X = np.load(path).astype(np.float32)
    model = ResidualKMeans(random_state=0).fit(X)
    codes, sizes = model.transform(X), [len(codebook) for codebook in model.codebooks_]
    lengths = range(1, codes.shape[1] + 1)
    decoded = [model.inverse_transform(codes[:, :length]) for length in lengths]
    rows = {
        "distortion by level": metrics.distortion_by_level(X, decoded),
        "mean cosine": metrics.mean_cosine_similarity(X, decoded[-1]),
        "utilization": metrics.code_utilization(codes, sizes),
        "perplexity": metrics.code_perplexity(codes, sizes),
        "collision rate by length": [metrics.collision_rate(codes[:, :k]) for k in lengths],
        "collision floor": metrics.collision_floor(X),
        "colliding share": metrics.colliding_share(codes),
        "largest group": metrics.largest_group(codes),
        "entropy by length": metrics.joint_code_entropy(codes),
        "log2 n": np.log2(len(X)),
        "neighbor recall, decoded": metrics.neighbor_recall(X, decoded[-1], n_queries=None),
        "neighbor recall, prefix": metrics.prefix_neighbor_recall(X, codes, n_queries=None),
        "hierarchy consistency": metrics.hierarchy_consistency(X, codes, random_state=0),
    }
    for name, value in rows.items():
        print(f"{name:28}{np.array2string(np.asarray(value), precision=4, suppress_small=True)}")


def main():
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-samples", type=int, default=10_000_000)
    parser.add_argument("--n-layers", type=int, default=4)
    parser.add_argument("--codebook-size", type=int, default=256)
    parser.add_argument("--n-features", type=int, default=32)
    parser.add_argument("--n-naive", type=int, default=200_000)
    parser.add_argument("--normal", metavar="VECTORS.npy", help="print a catalog's numbers instead")
    arguments = parser.parse_args()
    if arguments.normal:
        print_normal(arguments.normal)
        return
    n, size = arguments.n_samples, arguments.codebook_size
    n_naive = min(n, arguments.n_naive)
    rng = np.random.default_rng(0)
    codes = skewed_codes(n, arguments.n_layers, size, rng)
    labels = (codes[:, 0] % 25 + rng.integers(0, 5, n)) % 25
    print(f"{n:,} items, {arguments.n_layers} levels of {size}, codes {codes.dtype}")
    print(f"{'':32}{'ours':>11}{'peak':>12}{'naive':>10}")
    few = codes[:n_naive]
    for name, ours, naive in [
        ("code_usage", metrics.code_usage, naive_usage),
        ("code_perplexity", metrics.code_perplexity, naive_perplexity),
    ]:
        compare(name, ours, naive, (codes, size), (few, size), n_naive, n)
    for name in ("code_utilization", "code_gini", "dead_codes", "largest_bucket"):
        _, seconds, peak = measured(getattr(metrics, name), codes, size)
        print(f"{name:32}{seconds:9.3f} s {peak:8.0f} MB", flush=True)
    for name, ours, naive in [
        ("collision_rate", metrics.collision_rate, naive_collision_rate),
        ("prefix_group_sizes", metrics.prefix_group_sizes, naive_group_sizes),
        ("joint_code_entropy", metrics.joint_code_entropy, naive_entropy),
    ]:
        compare(name, ours, naive, (codes,), (few,), n_naive, n)
    pair, few_pair = (codes, labels), (few, labels[:n_naive])
    compare("prefix_purity", metrics.prefix_purity, naive_purity, pair, few_pair, n_naive, n)
    n_tiny = min(n, 20_000)
    compare(
        "prefix_adjusted_mutual_info",
        metrics.prefix_adjusted_mutual_info,
        naive_information,
        pair,
        (codes[:n_tiny], labels[:n_tiny]),
        n_tiny,
        n,
    )

    X = rng.standard_normal((n, arguments.n_features), dtype=np.float32)
    X[n // 2 : n // 2 + n // 100] = X[: n // 100]
    decoded = np.round(X)
    print(f"vectors of {arguments.n_features}, {X.dtype}, {X.nbytes / 2**20:.0f} MB")
    vectors, few_vectors = (X, decoded), (X[:n_naive], decoded[:n_naive])
    for name, naive in [
        ("reconstruction_error", naive_error),
        ("fraction_variance_unexplained", naive_fraction),
        ("mean_cosine_similarity", naive_cosine),
    ]:
        compare(name, getattr(metrics, name), naive, vectors, few_vectors, n_naive, n)
    compare(
        "collision_floor", metrics.collision_floor, naive_floor, (X,), (X[:n_naive],), n_naive, n
    )
    for name, function, error in [
        ("hierarchy_consistency", lambda: metrics.hierarchy_consistency(X, codes), 0.005),
        (
            "prefix_neighbor_recall, 100",
            lambda: recall_of_100(metrics.prefix_neighbor_recall, X, codes),
            0.05,
        ),
        (
            "neighbor_recall, 100 queries",
            lambda: recall_of_100(metrics.neighbor_recall, X, decoded),
            0.05,
        ),
    ]:
        start = time.process_time()
        function()
        print(f"{name:32}{time.process_time() - start:9.3f} s   standard error at most {error}")


def recall_of_100(recall, X, other):
    """Measure a recall on 100 queries."""
    return recall(X, other, n_queries=100, random_state=0)


if __name__ == "__main__":
    main()
