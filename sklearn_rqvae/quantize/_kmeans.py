"""Codewords from data: k-means in few principal dimensions first, then in more.

The Lloyd iterations are our own rather than scikit-learn's `KMeans`: the two take the same time on
CPU (54,000 rows, 384 dimensions, 256 codewords: 0.96 s against 1.0 s for eight iterations on one
core), but these also run on other devices, sum in an order that doesn't depend on the number of
threads, and split large clusters where scikit-learn spends empty ones on outliers.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from sklearn_rqvae._compute._linear import linear
from sklearn_rqvae.quantize._distance import nearest_codewords
from sklearn_rqvae.quantize._seeding import draw_tickets, lowest_tickets, spread_rows

# Covariances are summed in blocks of this many rows, so that a float64 copy of the data is never
# whole in memory.
_BLOCK_SIZE = 8192

# Rows per cluster among which k-means++ looks for starts, and of many clusters: its time grows with
# their number times that of the rows.
_SEEDING_ROWS_PER_CLUSTER = 16
_SEEDING_ROWS_PER_CLUSTER_OF_MANY = 4

# From so many codewords on a level is large: k-means is a start for it, on fewer rows each.
LARGE = 4096


def principal_axes(
    x: Tensor, sample_weight: Tensor | None = None, of: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Compute the principal axes of rows, the direction of largest variance first.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_dims)
        Rows.
    sample_weight : Tensor of shape (n_samples,), default=None
        Weights; None weighs all rows alike.
    of : callable, default=None
        What the axes are of: maps rows to others of the same shape, block by block. None leaves
        them.

    Returns
    -------
    axes : Tensor of shape (n_dims, n_dims)
        Orthonormal columns; ``x @ axes`` are the principal coordinates (not centered).
    """
    n_dims = x.shape[1]
    weight = _weight_or_ones(x, sample_weight)
    blocks = [slice(start, start + _BLOCK_SIZE) for start in range(0, len(x), _BLOCK_SIZE)]
    of = of or (lambda rows: rows)
    total = sum((weight[rows, None] * of(x[rows])).sum(0, dtype=torch.float64) for rows in blocks)
    mean = (total / weight.sum(dtype=torch.float64)).to(x.dtype)
    # Deviations are small where rows are: their products need float64 for the sum of blocks only.
    covariance = torch.zeros(n_dims, n_dims, dtype=torch.float64, device=x.device)
    for rows in blocks:
        deviation = of(x[rows]) - mean
        covariance += linear((deviation * weight[rows, None]).T, deviation.T)
    _, axes = torch.linalg.eigh(covariance)
    axes = axes.flip(1)
    # An eigenvector's sign is arbitrary; the largest entry is made positive, so that platforms
    # agree where they can.
    peak = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    return (axes * torch.where(peak < 0, -1.0, 1.0)).to(x.dtype)


def progressive_kmeans(
    x: Tensor,
    n_clusters: int,
    *,
    sample_weight: Tensor | None = None,
    generator: Generator,
    dims: Sequence[int] | None = None,
    max_iter: int = 8,
    tickets: Tensor | None = None,
) -> Tensor:
    r"""Cluster rows by k-means in a growing number of principal dimensions.

    Plain k-means in many dimensions spends codewords on outliers and leaves most of them rarely
    used. Here the rows are first clustered in their leading principal coordinates; the clusters
    found there start the next, larger stage, the last of which has all dimensions [1]_. Codewords
    come out evenly used, and with a smaller distortion on new rows.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_dims)
        Rows, finite; at least one.
    n_clusters : int
        Number of codewords, also more than there are rows: with fewer distinct rows than codewords
        each row is a codeword, and the rest are rows moved by up to a hundredth of their norm.
    sample_weight : Tensor of shape (n_samples,), default=None
        Positive weights; None weighs all rows alike.
    generator : torch.Generator
        Source of randomness, on the CPU.
    dims : sequence of int, default=None
        Growing numbers of leading coordinates, the last of them `n_dims`. None is a factor of four
        from stage to stage.
    max_iter : int, default=8
        Lloyd iterations per stage.
    tickets : Tensor of int64 of shape (n_samples,), default=None
        The chance of each row to start a cluster, as `draw_tickets` draws it; None draws here. With
        tickets of their own, rows keep their chances when another row comes or goes.

    Returns
    -------
    codebook : Tensor of shape (n_clusters, n_dims)
        Codewords, finite.

    References
    ----------
    .. [1] Douze, M. et al. "The Faiss library". arXiv:2401.08281, 2024
           (`ProgressiveDimClustering`).

    Examples
    --------
    >>> import torch
    >>> from sklearn_rqvae.quantize._kmeans import progressive_kmeans
    >>> x = torch.tensor([[0.0, 0.0], [0.0, 2.0], [9.0, 0.0], [9.0, 2.0]])
    >>> progressive_kmeans(x, 2, generator=torch.Generator().manual_seed(0)).sort(0).values
    tensor([[0., 1.],
            [9., 1.]])
    """
    n_dims = x.shape[1]
    weight = _weight_or_ones(x, sample_weight)
    if len(x) <= n_clusters or len(torch.unique(x[: 8 * n_clusters], dim=0)) <= n_clusters:
        distinct = _distinct_rows(x)
        if len(distinct) <= n_clusters:
            return _fill_by_perturbed_rows(distinct, n_clusters, generator)
    axes = principal_axes(x, weight)
    coordinates = linear(x, axes.T)
    stages = list(dims) if dims is not None else _default_dims(n_dims)
    tickets = draw_tickets(len(x), generator) if tickets is None else tickets
    each = _SEEDING_ROWS_PER_CLUSTER_OF_MANY if n_clusters >= LARGE else _SEEDING_ROWS_PER_CLUSTER
    some = lowest_tickets(tickets, each * n_clusters).to(x.device)
    leading = coordinates[some, : stages[0]]
    start = spread_rows(leading, n_clusters, weight[some], tickets[some.cpu()])
    codebook = coordinates[some[start.to(x.device)]]
    for stage in stages:
        codebook = _lloyd(coordinates, codebook, stage, weight, max_iter, generator)
    return codebook @ axes.T


def _default_dims(n_dims: int) -> list[int]:
    """Return the stages: all dimensions, a quarter, a sixteenth, ..., not below four dimensions."""
    stages = [n_dims]
    while stages[0] > 4 * 4:
        stages.insert(0, stages[0] // 4)
    return stages


def _weight_or_ones(x: Tensor, sample_weight: Tensor | None) -> Tensor:
    if sample_weight is None:
        return torch.ones(len(x), dtype=x.dtype, device=x.device)
    return sample_weight.to(x)


def _lloyd(
    coordinates: Tensor,
    codebook: Tensor,
    n_leading: int,
    weight: Tensor,
    max_iter: int,
    generator: Generator,
) -> Tensor:
    """Run Lloyd's iterations on the leading coordinates; the codebook returned has all of them."""
    leading = coordinates[:, :n_leading].contiguous()
    codes = nearest_codewords(leading, codebook[:, :n_leading].contiguous())
    for _ in range(max_iter - 1):
        # Means in the leading coordinates are enough until the stage ends.
        previous, codebook = codes, _means(leading, codes, len(codebook), weight, generator)
        codes = nearest_codewords(leading, codebook)
        if torch.equal(previous, codes):
            break
    return _means(coordinates, codes, len(codebook), weight, generator)


def cluster_sums(
    x: Tensor, codes: Tensor, n_clusters: int, weight: Tensor, row: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Sum weights and weighted rows per cluster, in an order that no number of threads changes.

    Returns the weights (n_clusters,) and the sums (n_clusters, n_dims). Rows are sorted by cluster
    and added bag by bag: as quick as `index_add_` on CPU, and without its atomic additions, whose
    order varies, on a GPU. With `row`, entry i of `codes` and `weight` belongs to ``x[row[i]]``.
    """
    order = torch.argsort(codes, stable=True)
    counts = torch.bincount(codes, minlength=n_clusters)
    offsets = counts.cumsum(0) - counts
    sorted_weight = weight[order]
    members = order if row is None else row[order]
    sums = F.embedding_bag(members, x, offsets, mode="sum", per_sample_weights=sorted_weight)
    ones = F.embedding_bag(order, weight[:, None], offsets, mode="sum")[:, 0]
    return ones, sums


def _means(
    x: Tensor, codes: Tensor, n_clusters: int, weight: Tensor, generator: Generator
) -> Tensor:
    """Return the weighted mean of each cluster; an empty cluster takes half of a large one."""
    mass, sums = cluster_sums(x, codes, n_clusters, weight)
    empty = torch.nonzero(mass == 0)[:, 0]
    means = sums / mass.clamp_min(torch.finfo(mass.dtype).tiny)[:, None]
    if len(empty) == 0:
        return means
    donors = torch.topk(mass, min(len(empty), int((mass > 0).sum()))).indices
    donors = donors[torch.arange(len(empty), device=x.device) % len(donors)]
    shape = (len(empty), x.shape[1])
    noise = torch.randn(shape, generator=generator, dtype=torch.float32)
    spread = 1e-3 * x.std() * noise.to(x)
    means[empty] = means[donors] + spread
    means[donors] -= spread
    return means


def _distinct_rows(x: Tensor) -> Tensor:
    """Return the distinct rows in the order in which they come."""
    distinct, group = torch.unique(x, dim=0, return_inverse=True)
    first = torch.full((len(distinct),), len(x), device=x.device)
    position = torch.arange(len(x), device=x.device)
    return x[first.scatter_reduce(0, group, position, "amin").sort().values]


def _fill_by_perturbed_rows(distinct: Tensor, n_clusters: int, generator: Generator) -> Tensor:
    """Return the distinct rows as codewords, and slightly moved copies of them for the surplus."""
    n_surplus = n_clusters - len(distinct)
    # Far enough that rounding never takes a copy for the original. Rows of zeros have no scale: any
    # will do.
    scale = 1e-2 * (float(distinct.norm(dim=1).max()) or 1.0)
    shape = (n_surplus, distinct.shape[1])
    directions = torch.randn(shape, generator=generator, dtype=torch.float32)
    directions = F.normalize(directions)
    # Lengths all differ, so that copies of one row do even where there is only one direction.
    lengths = torch.linspace(0.5 * scale, scale, n_surplus, dtype=torch.float32)
    originals = distinct[torch.arange(n_surplus, device=distinct.device) % len(distinct)]
    return torch.cat([distinct, originals + (directions * lengths[:, None]).to(distinct)])
