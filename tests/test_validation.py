"""Rows, codes and codebook sizes are checked and put in order."""

import numpy as np
import pytest
import torch

from sklearn_rqvae import ResidualKMeans, RQVAETransformer
from sklearn_rqvae._learning._rows import relative_weight
from sklearn_rqvae._validation import (
    as_array,
    check_codebook_size,
    check_codes,
)


def test_codebook_sizes_are_one_or_one_per_level():
    assert check_codebook_size(4, 3) == [4, 4, 4]
    assert check_codebook_size(np.int64(4), 1) == [4]
    assert check_codebook_size((4, 8), 2) == [4, 8]
    with pytest.raises(ValueError, match="has 2 entries but n_layers=3"):
        check_codebook_size([4, 8], 3)
    with pytest.raises(ValueError, match="entry 0"):
        check_codebook_size([4, 0], 2)
    with pytest.raises(ValueError, match="entry True"):
        check_codebook_size([True, 2], 2)


@pytest.mark.parametrize("size", [4.0, "44", None, True])
def test_what_is_no_integer_is_no_codebook_size(size):
    with pytest.raises(ValueError, match="needs a positive integer number of codewords"):
        check_codebook_size(size, 2)


def test_a_boolean_is_no_codebook_size():
    with pytest.raises(ValueError, match="has the entry True; every level needs a positive"):
        check_codebook_size(True, 2)


@pytest.mark.parametrize("estimator", [RQVAETransformer, ResidualKMeans])
def test_rows_whose_squares_overflow_are_refused(estimator):
    X = np.random.default_rng(0).normal(size=(40, 3))
    quantizer = estimator(n_layers=2, codebook_size=4, random_state=0)
    with pytest.raises(ValueError, match=r"size .*e\+20.* overflow .*; divide X by a constant"):
        quantizer.fit(X * 1e20)
    assert np.isfinite(quantizer.fit(X * 1e15).score(X * 1e15))


def test_codes_come_back_as_integers():
    codes = check_codes([[0.0, 2.0]], [2, 3])
    assert codes.dtype == np.int64
    assert codes.tolist() == [[0, 2]]
    assert check_codes(np.array([[1]], dtype=object), [2]).tolist() == [[1]]
    assert check_codes(torch.tensor([[1]]), [2]).tolist() == [[1]]


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([0, 1], "2-dimensional"),
        (np.empty((0, 2)), "at least one sample"),
        ([[0, 0, 0]], "3 columns, but the model has 2 levels"),
        ([[0.5, 0]], "whole numbers, got 0.5"),
        ([[np.nan, 0]], "whole numbers"),
        ([["a", "b"]], "should be integers"),
        (np.array([["1"]], dtype=object), "should be integers"),
        ([[True, False]], "should be integers, got dtype bool"),
        ([[2.0**60, 0]], "whole numbers"),
        ([[0, 3]], r"level 1 should be in \[0, 3\), got 3"),
        ([[-1, 0]], r"level 0 should be in \[0, 2\), got -1"),
    ],
)
def test_bad_codes_are_named(codes, message):
    with pytest.raises(ValueError, match=message):
        check_codes(codes, [2, 3])


def test_tensors_become_arrays_whatever_their_dtype():
    assert as_array(torch.ones(2, dtype=torch.bfloat16, requires_grad=True)).dtype == np.float32
    assert as_array(torch.ones(2, dtype=torch.int32)).dtype == np.int32
    assert as_array([1, 2]) == [1, 2]


@pytest.mark.parametrize("weight", [[1e308, 1e308, 1e308], [1.0, 1e-60, 1.0]])
def test_weights_that_single_precision_cannot_hold_are_refused(weight):
    with pytest.raises(ValueError, match=r"sample_weight ranges from .*set weights that"):
        relative_weight(np.array(weight))
    np.testing.assert_allclose(relative_weight(np.array([1e300, 3e300])), [0.5, 1.5])


@pytest.mark.parametrize("estimator", [RQVAETransformer, ResidualKMeans])
def test_rows_whose_squares_underflow_are_refused(estimator):
    X = np.random.default_rng(0).normal(size=(50, 4))
    with pytest.raises(ValueError, match=r"X has no value larger than .*multiply X"):
        estimator(codebook_size=4).fit(X * 1e-17)
    small = estimator(codebook_size=4, random_state=0).fit(X * 1e-14)
    large = estimator(codebook_size=4, random_state=0).fit(X)
    assert small.score(X * 1e-14) * 1e28 == pytest.approx(large.score(X), rel=0.05)


VECTORS = np.arange(12.0).reshape(4, 3)


def columns_of_vectors():
    """Ways in which frames and Arrow hold a column of vectors."""
    pd = pytest.importorskip("pandas")
    pl = pytest.importorskip("polars")
    pa = pytest.importorskip("pyarrow")
    lists, arrays = VECTORS.tolist(), list(VECTORS)
    fixed = pl.Array(pl.Float64, 3)
    arrow = pd.ArrowDtype(pa.list_(pa.float64()))
    yield pd.Series(arrays, index=[5, 5, 1, 2])
    yield pd.Series([tuple(row) for row in lists])
    yield pd.DataFrame({"emb": lists})
    yield pd.DataFrame({"emb": arrays}).to_numpy()
    yield pd.DataFrame({"emb": pd.Series(lists, dtype=arrow)})
    yield pl.Series(lists)
    yield pl.DataFrame({"emb": pl.Series(lists, dtype=fixed)})
    yield pl.DataFrame({"emb": lists})
    yield pa.array(lists)
    yield pa.array(lists, pa.list_(pa.float64(), 3))
    yield pa.chunked_array([lists[:1], lists[1:]])
    yield pa.table({"emb": lists})
    yield pa.FixedShapeTensorArray.from_numpy_ndarray(VECTORS)


def test_a_column_of_vectors_is_a_matrix():
    for column in columns_of_vectors():
        np.testing.assert_array_equal(as_array(column), VECTORS, err_msg=repr(column))


def test_estimators_and_indexes_take_columns_of_vectors():
    from sklearn_rqvae import ResidualKMeans, SemanticIDIndex

    pd = pytest.importorskip("pandas")
    X = np.random.default_rng(0).normal(size=(40, 3))
    model = ResidualKMeans(2, 4, random_state=0).fit(X)
    frame = pd.DataFrame({"emb": list(X)}, index=range(7, 47))
    other = ResidualKMeans(2, 4, random_state=0).fit(frame)
    np.testing.assert_array_equal(other.transform(frame["emb"]), model.transform(X))
    assert other.n_features_in_ == 3
    assert other.score(frame) == model.score(X)
    np.testing.assert_array_equal(
        other.candidate_codes(frame, 2)[0], model.candidate_codes(X, 2)[0]
    )
    codes = pd.Series(model.transform(X).tolist())
    assert SemanticIDIndex().fit(codes).codes_.tolist() == codes.tolist()
    assert other.set_output(transform="pandas").transform(frame).index.tolist() == [*range(7, 47)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0, 2.0], None], "has None in row 1 and one of length 2"),
        ([float("nan"), [1.0]], "has nan in row 0 and one of length 1"),
        ([[1.0], [1.0, 2.0]], "has one of length 2 in row 1 and one of length 1"),
        ([[1.0, None], [1.0, 2.0]], "not of numbers alone"),
        ([["a"], ["b"]], "not of numbers alone"),
        ([[[1.0]], [[2.0]]], "not of numbers alone"),
    ],
)
def test_columns_of_other_lists_are_refused(rows, message):
    pd = pytest.importorskip("pandas")
    for column in (pd.Series(rows), pd.DataFrame({"emb": rows})):
        with pytest.raises(ValueError, match=message):
            as_array(column)


def test_vectors_beside_other_columns_are_refused_with_the_way_out():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"price": [1.0, 2.0], "emb": [[1.0], [2.0]]})
    with pytest.raises(
        ValueError, match=r"column 'emb' of X holds vectors, .* X\[\['emb'\]\] alone"
    ):
        as_array(frame)


def test_all_else_stays_what_it_is():
    pd = pytest.importorskip("pandas")
    for X in (
        [[1, 2]], None, "ab", np.eye(2), pd.DataFrame({"a": [1.0]}),
        pd.DataFrame({"a": ["x", None]}),
        pd.Series(["a", "b"]), np.array([["a"]], dtype=object), np.array([], dtype=object),
    ):  # fmt: skip
        assert as_array(X) is X
