import torch

from sklearn_rqvae.nn._start import FirstRows


def test_starts_are_made_at_doubling_steps_until_there_are_enough_rows():
    first = FirstRows([8, 32])  # 16 rows for each of 32 codewords
    starts = [first.add(torch.ones(50, 2), None) for _ in range(11)]
    assert [step + 1 for step, start in enumerate(starts) if start] == [1, 2, 4, 8, 11]
    assert first.enough
    assert first.rows[0].shape == (550, 2)
    assert first.rows[1].shape == (550,)
