"""What is said of sizes that don't suit the rows, and to whom it isn't said."""

import re
import warnings

import numpy as np
import pytest

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae._learning._collapse import warn_of_few_ids
from sklearn_rqvae.semantic_id import expected_collision_rate


def test_a_million_rows_in_three_levels_of_256_are_told_of_sizes_that_would_do():
    with pytest.warns(UserWarning, match="is little for 1000000 rows") as caught:
        warn_of_few_ids([256] * 3, 1_000_000)
    message = str(caught[0].message)
    named = re.search(r"codebook_size=(\d+) with n_layers=(\d+) leaves", message)
    size, n_layers = map(int, named.groups())
    less = expected_collision_rate(1_000_000, size, n_layers)
    assert less < 0.5 * expected_collision_rate(1_000_000)


@pytest.mark.parametrize(
    ("sizes", "n_rows"),
    [
        ([256] * 3, 60_000),  # some collide; that is normal
        ([4, 4], 1_000_000),  # groups are meant, not IDs
        ([2048] * 4, 1_000_000),
    ],
)
def test_nobody_else_is_warned(sizes, n_rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_few_ids(sizes, n_rows)


def test_fit_warns_of_few_ids_for_its_rows(monkeypatch):
    from sklearn_rqvae._learning import _collapse

    monkeypatch.setattr(_collapse, "_MANY_ROWS", 100)
    monkeypatch.setattr(_collapse, "_MANY_COLLISIONS", 1e-6)
    X = np.random.default_rng(0).normal(size=(300, 4))
    with pytest.warns(UserWarning, match="suggest_sizes\\(300\\)"):
        RQVAETransformer(codebook_size=8, random_state=0).fit(X)
