"""Codes for a row: beam search over the levels."""

from collections.abc import Sequence
from itertools import accumulate, cycle

import torch
from torch import Tensor
from torch.nn import functional as F

from sklearn_rqvae._compute._allocator import keep_freed_memory
from sklearn_rqvae._compute._blocks import CPU_ROWS, ROWS_ELSEWHERE, in_blocks
from sklearn_rqvae._compute._join import join
from sklearn_rqvae._compute._largest import largest
from sklearn_rqvae._compute._linear import linear
from sklearn_rqvae._compute._threads import map_rows
from sklearn_rqvae.quantize._distance import half_squared_norms

# Beams extended at a time: 16 of 256 rows, or fewer of up to 1024. Half as many cost 3 to 5 % more,
# and so do twice as many.
_CHUNK_BEAMS, _MOST_CHUNK_ROWS = 4096, 1024

# Numbers in extensions at a time, which are gone through several times: beyond they would leave the
# cache (5 beams of 4096 codewords: half the time of four times as many). Where so many belong to
# fewer rows than this, choosing among them isn't worth its calls, and waits for more rows.
_EXTENSIONS, _FEWEST_ROWS = 2**20, 32

# Numbers at a time where the choice waits. With twice as many, memory for 16 beams of 4096
# codewords went to the system and came anew each time, at 50 page faults a row and half more time.
_EXTENSIONS_OF_PART = 2**19

# Scores in memory at a time, in whole blocks of their products. Beyond, to join the blocks takes as
# long as to multiply: with 8192 codewords a level 90 of 290 microseconds a row.
_SCORES, _SCORES_ELSEWHERE = 2**20, 2**25

# Threads get a multiple of this many rows: whole blocks of their products.
_MULTIPLE = 256


class SearchTables:
    """Hold what a search with several beams needs to know of the codebooks.

    Parameters
    ----------
    codebooks : sequence of Tensor of shape (codebook_size, n_dims)
        One codebook per level.
    """

    def __init__(self, codebooks: Sequence[Tensor]) -> None:
        keep_freed_memory()
        stacked = torch.cat(list(codebooks))
        self.sizes = [len(codebook) for codebook in codebooks]
        self.starts = [0, *accumulate(self.sizes)]
        self.first_codewords = torch.tensor(self.starts[:-1], device=stacked.device)
        self.codewords = stacked
        self.offsets = -half_squared_norms(stacked)
        # Row i of crossings[m]: minus the inner products of codeword i, of a level below m, with
        # the codewords of level m.
        self.crossings = [
            (stacked[:start] @ codebook.T).neg_()
            for start, codebook in zip(self.starts[:-1], codebooks, strict=True)
        ]

    def scores(self, x: Tensor) -> Tensor:
        """Return how much each codeword alone takes off half the squared norm of each row."""
        return linear(x, self.codewords, self.offsets)


def beam_search(
    x: Tensor,
    codebooks: Sequence[Tensor],
    n_beams: int = 8,
    *,
    tables: SearchTables | None = None,
    first_codes: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Find the codes whose codewords sum to each row, keeping a few choices from level to level.

    Level by level, every kept choice is extended by every codeword, and the `n_beams` sums with the
    smallest squared error go on. With one beam this is the greedy recursion on residuals; with
    enough of them it is exhaustive search. A row's codes depend on the row alone, not on the rows
    beside it, their order or number.

    Sums are compared without forming a residual [1]_. Up to the norm of the row, the
    squared error of a sum of codewords is :math:`-2 \sum_l (x^\top c_l - \|c_l\|^2/2 - \sum_{l<m}
    c_l^\top c_m)`: one matrix product of rows and codewords, and a table of inner products between
    codewords. That beats residuals for every number of beams above one that we measured (384
    dimensions, 3 levels of 256, 8 beams: 9 against 70 microseconds per row on one core).

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_dims)
        Rows.
    codebooks : sequence of Tensor of shape (codebook_size, n_dims)
        One codebook per level; their sizes may differ.
    n_beams : int, default=8
        Choices kept at each level.
    tables : SearchTables, default=None
        Inner products of the same codebooks, for callers that search often; None computes them.
    first_codes : Tensor of int64 of shape (n_samples,), default=None
        Code that the choices of each row have at the first level; None leaves it to the search.

    Returns
    -------
    codes : Tensor of int64 of shape (n_samples, n_kept, n_layers)
        Codes of the choices kept, the best first; `n_kept` is `n_beams`, or the number of all code
        tuples where that is smaller.
    errors : Tensor of shape (n_samples, n_kept)
        Squared errors, in squared units of `x`, in ascending order; rounding is relative to the
        squared norm of the row.

    References
    ----------
    .. [1] Babenko, A. and Lempitsky, V. "Additive quantization for extreme vector compression".
           CVPR 2014.

    Examples
    --------
    Greedily, 5 is 4 + 0; one step of foresight finds 3 + 2:

    >>> import torch
    >>> from sklearn_rqvae.quantize._beam import beam_search
    >>> codebooks = [torch.tensor([[4.0], [3.0]]), torch.tensor([[0.0], [2.0]])]
    >>> beam_search(torch.tensor([[5.0]]), codebooks, n_beams=1)[0]
    tensor([[[0, 0]]])
    >>> codes, errors = beam_search(torch.tensor([[5.0]]), codebooks, n_beams=2)
    >>> codes[0, 0], errors[0, 0]
    (tensor([1, 1]), tensor(0.))
    """
    tables = tables or SearchTables(codebooks)

    def search(part: slice) -> tuple[Tensor, Tensor]:
        n_rows = _scored_rows(tables)
        given = None if first_codes is None else first_codes[part]
        firsts = [None] if given is None else given.split(n_rows)
        parts = zip(x[part].split(n_rows), cycle(firsts))
        found = (_search_rows(rows, tables, n_beams, first) for rows, first in parts)
        codes, errors = join(found, len(x[part]))
        return codes, errors

    codes, errors = zip(*map_rows(search, len(x), _MULTIPLE), strict=True)
    return torch.cat(codes), torch.cat(errors)


def _scored_rows(tables: SearchTables) -> int:
    """Return how many rows to search at a time."""
    is_cpu = tables.codewords.device.type == "cpu"
    most, block = (_SCORES, CPU_ROWS) if is_cpu else (_SCORES_ELSEWHERE, ROWS_ELSEWHERE)
    return max(most // len(tables.codewords) // block, 1) * block


def _search_rows(
    x: Tensor, tables: SearchTables, n_beams: int, first_codes: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return codes and errors of rows, the best choice first."""
    scores = in_blocks(tables.scores, x)
    codes, totals = search_scores(scores, tables, n_beams, first_codes)
    errors = x.square().sum(1, keepdim=True).sub(totals, alpha=2.0).clamp_min_(0.0)
    errors, order = errors.sort(dim=1, stable=True)
    return _take(codes, order), errors


def search_scores(
    scores: Tensor, tables: SearchTables, n_beams: int, first_codes: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    r"""Search with the scores of single codewords, in no order.

    Parameters
    ----------
    scores : Tensor of shape (n_samples, n_codewords)
        Each row's :math:`x^\top c - \|c\|^2/2` for the codewords of all levels.
    tables : SearchTables
        Inner products of the codebooks.
    n_beams : int
        Choices kept at each level.
    first_codes : Tensor of int64 of shape (n_samples,), default=None
        Codes at the first level, where they are given.

    Returns
    -------
    codes : Tensor of int64 of shape (n_samples, n_kept, n_layers)
        Codes of the choices kept.
    totals : Tensor of shape (n_samples, n_kept)
        Their scores: half of what they take off the squared norm of the row.
    """
    chunk_size = min(max(_CHUNK_BEAMS // n_beams, 1), _MOST_CHUNK_ROWS)
    extended = _EXTENSIONS // (n_beams * max(tables.sizes))
    if extended >= _FEWEST_ROWS:
        chunk_size = min(chunk_size, extended)
    if len(scores) <= chunk_size:
        return _search_chunk(scores, tables, n_beams, first_codes)
    firsts = [None] if first_codes is None else first_codes.split(chunk_size)
    parts = [
        _search_chunk(chunk, tables, n_beams, first)
        for chunk, first in zip(scores.split(chunk_size), cycle(firsts))
    ]
    codes, totals = zip(*parts, strict=True)
    return torch.cat(codes), torch.cat(totals)


def _search_chunk(
    scores: Tensor, tables: SearchTables, n_beams: int, first_codes: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Search a chunk of rows level by level."""
    levels = list(zip(tables.starts[:-1], tables.sizes, strict=True))
    if first_codes is None:
        total, code = largest(scores[:, : tables.sizes[0]], min(n_beams, tables.sizes[0]))
    else:
        code = first_codes[:, None]
        total = scores.gather(1, code)
    # Entries of `chosen` are positions in the stacked codebooks, one column per level so far.
    chosen = code[:, :, None]
    for level, (start, codebook_size) in enumerate(levels[1:], start=1):
        own = scores[:, start : start + codebook_size]
        total, parent, code = _best_extensions(total, chosen, tables.crossings[level], own, n_beams)
        chosen = torch.cat([_take(chosen, parent), (code + start)[:, :, None]], dim=2)
    return chosen - tables.first_codewords, total


def _sum_rows(table: Tensor, rows: Tensor) -> Tensor:
    """Return the sum of some rows of a table, for each row of positions."""
    if rows.shape[1] == 1:
        return F.embedding(rows[:, 0], table)  # half the time
    return F.embedding_bag(rows, table, mode="sum")


def _best_extensions(
    total: Tensor, chosen: Tensor, crossings: Tensor, own: Tensor, n_beams: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the best sums of a beam's total, its crossings with a code, and the code's own score.

    The n best ones have the n codes with the best maxima over the beams: only these are compared.
    """
    n_kept, n_codes = total.shape[1], min(n_beams, own.shape[1])
    if n_kept == 1:
        gain, codes = largest(_sum_rows(crossings, chosen[:, 0]).add_(own), n_codes)
        return total + gain, torch.zeros_like(codes), codes
    n_rows, row_numbers, parts = len(own), n_kept * own.shape[1], []
    if n_rows * row_numbers > _EXTENSIONS:
        n_rows = max(_EXTENSIONS_OF_PART // row_numbers, 1)
    for sums, rows in zip(total.split(n_rows), chosen.split(n_rows), strict=True):
        extensions = _sum_rows(crossings, rows.flatten(0, 1)).view(*sums.shape, own.shape[1])
        extensions.add_(sums[:, :, None])
        parts.append(extensions.amax(1))
    maxima = parts[0] if len(parts) == 1 else torch.cat(parts)
    _, codes = largest(maxima + own, n_codes)
    if len(parts) == 1:
        few = extensions.gather(2, codes[:, None].expand(-1, n_kept, -1))
    else:
        few = _sum_entries(crossings, chosen, codes).add_(total[:, :, None])
    few = few + own.gather(1, codes)[:, None]
    total, position = largest(few.flatten(1), min(n_beams, n_kept * n_codes))
    return total, position // n_codes, codes.gather(1, position % n_codes)


def _sum_entries(table: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return what `_sum_rows` has in some columns, of shape (n, n_kept, n_columns), bit for bit."""
    places = rows[..., None] * table.shape[1] + columns[:, None, None]
    first, *others = table.take(places).unbind(2)
    return sum(others, start=first)


def _take(chosen: Tensor, parent: Tensor) -> Tensor:
    """Return the choices that each surviving beam came from."""
    return chosen.gather(1, parent[:, :, None].expand(-1, -1, chosen.shape[2]))
