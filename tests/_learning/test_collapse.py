"""What is said of sizes that don't suit the rows, and to whom it isn't said."""

import re
import warnings

import numpy as np
import pytest

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae._learning._collapse import warn_of_few_ids
from sklearn_rqvae.io import fit_parquet
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


def test_no_sizes_are_named_that_hardly_help():
    with pytest.warns(UserWarning, match="Larger sizes hardly help") as caught:
        warn_of_few_ids([2048] * 5, 10**9)
    assert "leaves" not in str(caught[0].message)


@pytest.fixture
def few_ids(monkeypatch):
    """Take 100 rows for many, and any collision for too many."""
    from sklearn_rqvae._learning import _collapse

    monkeypatch.setattr(_collapse, "_MANY_ROWS", 100)
    monkeypatch.setattr(_collapse, "_MANY_COLLISIONS", 1e-6)


def messages_of(fit, *args, **kwargs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(*args, **kwargs)
    return [str(warning.message) for warning in caught]


@pytest.mark.usefixtures("few_ids")
def test_copies_are_no_items_that_could_have_ids_of_their_own():
    X = np.random.default_rng(0).normal(size=(90, 4))
    model = RQVAETransformer(codebook_size=8, random_state=0)
    assert not messages_of(model.fit, np.tile(X, (3, 1)))
    (said,) = messages_of(model.set_params(subsample=50).fit, np.tile(X, (3, 1)))
    assert "is little for 270 rows" in said  # nobody has counted the copies


@pytest.mark.usefixtures("few_ids")
def test_rows_of_files_that_are_not_kept_count(tmp_path, monkeypatch):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    X = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    pq.write_table(pa.table({"v": list(X)}), tmp_path / "a.parquet")
    model = RQVAETransformer(codebook_size=8, random_state=0)
    for subsample, n_said in ((50, 300), (None, 300), (150, 150)):
        model.set_params(subsample=subsample)
        (said,) = messages_of(fit_parquet, model, tmp_path, vector_column="v")
        assert f"is little for {n_said} rows" in said


@pytest.mark.parametrize("mode", [None, "STE"])
def test_a_narrow_latent_is_told_once_with_one_that_is_wide_enough(mode):
    X = np.random.default_rng(0).normal(size=(400, 20))
    settings = {"codebook_size": 4, "codebook_mode": mode, "random_state": 0}
    settings |= {"max_epochs": 2} if mode else {}
    (said,) = messages_of(RQVAETransformer(embed_dim=5, **settings).fit, X)
    assert re.match("embed_dim=5 keeps about 3[0-9]% of the variance", said)
    wide = int(re.search(r"embed_dim=(\d+) would keep 8[0-9]%", said)[1])
    for embed_dim in (wide, 20, None):
        assert not messages_of(RQVAETransformer(embed_dim=embed_dim, **settings).fit, X)
    assert not messages_of(RQVAETransformer(embed_dim=1, **settings).fit, np.ones((5, 20)))[1:]
