"""Batches cover all rows once, in an order of their generator, shared among processes."""

from types import SimpleNamespace

import pytest
import torch

from sklearn_rqvae._guards import Interrupted, interruptible
from sklearn_rqvae._learning._net import TensorBatches


def dataset(n_rows):
    rows = torch.arange(n_rows, dtype=torch.float32)
    return SimpleNamespace(X={"x": rows[:, None], "sample_weight": rows + 1})


def place(rank, n_ranks):
    return SimpleNamespace(rank=rank, n_ranks=n_ranks)


@pytest.mark.parametrize(("n_rows", "batch_size"), [(1, 4), (7, 3), (8, 4), (5, 5)])
def test_batches_cover_all_rows_once(n_rows, batch_size):
    batches = TensorBatches(dataset(n_rows), batch_size, torch.Generator().manual_seed(0))
    parts = list(batches)
    assert len(parts) == len(batches)
    assert all(len(rows["x"]) == batch_size for rows, _ in parts[:-1])
    values = torch.cat([rows["x"][:, 0] for rows, _ in parts])
    assert sorted(values.tolist()) == list(range(n_rows))
    assert all(torch.equal(rows["sample_weight"], rows["x"][:, 0] + 1) for rows, _ in parts)


def test_order_comes_from_the_generator():
    def order(seed):
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        batches = TensorBatches(dataset(50), 10, generator)
        return torch.cat([rows["x"][:, 0] for rows, _ in batches]).tolist()

    assert order(0) == order(0) != order(1)
    assert order(None) == list(range(50))


@pytest.mark.parametrize("n_ranks", [2, 3])
def test_processes_share_each_batch_and_its_weight(n_ranks):
    alone = list(TensorBatches(dataset(20), 8, torch.Generator().manual_seed(0)))
    shared = [
        list(TensorBatches(dataset(20), 8, torch.Generator().manual_seed(0), place(rank, n_ranks)))
        for rank in range(n_ranks)
    ]
    for number, (whole, (share, n_rows)) in enumerate(alone):
        parts = [batches[number] for batches in shared]
        rows = torch.cat([rows["x"] for rows, _ in parts])
        assert sorted(rows.flatten().tolist()) == sorted(whole["x"].flatten().tolist())
        assert share == 1
        assert n_rows == len(whole["x"])
        assert float(sum(share for _, (share, _) in parts)) == pytest.approx(1)
        assert {int(n_rows) for _, (_, n_rows) in parts} == {len(whole["x"])}
        total = whole["sample_weight"].sum()
        for rows, (share, _) in parts:
            assert float(share) == pytest.approx(float(rows["sample_weight"].sum() / total))


def test_a_process_without_rows_has_no_weight():
    (_, (share, _)), (rows, (none, _)) = (
        next(iter(TensorBatches(dataset(1), 8, None, place(rank, 2)))) for rank in (0, 1)
    )
    assert (float(share), float(none), len(rows["x"])) == (1.0, 0.0, 1)


def test_an_interrupt_changes_its_name():
    with pytest.raises(Interrupted), interruptible():
        raise KeyboardInterrupt
