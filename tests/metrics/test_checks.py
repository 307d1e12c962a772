"""Bad input is refused with an error that says what is wrong and what to do."""

import numpy as np
import pandas as pd
import pytest

from sklearn_rqvae import metrics

CODES_FUNCTIONS = {
    "code_usage": lambda codes: metrics.code_usage(codes, 4),
    "code_utilization": lambda codes: metrics.code_utilization(codes, 4),
    "code_perplexity": lambda codes: metrics.code_perplexity(codes, 4),
    "code_gini": lambda codes: metrics.code_gini(codes, 4),
    "dead_codes": lambda codes: metrics.dead_codes(codes, 4),
    "largest_bucket": lambda codes: metrics.largest_bucket(codes, 4),
    "prefix_group_sizes": metrics.prefix_group_sizes,
    "collision_rate": metrics.collision_rate,
    "colliding_share": metrics.colliding_share,
    "largest_group": metrics.largest_group,
    "joint_code_entropy": metrics.joint_code_entropy,
    "prefix_purity": lambda codes: metrics.prefix_purity(codes, [0, 1]),
    "prefix_adjusted_mutual_info": lambda codes: metrics.prefix_adjusted_mutual_info(codes, [0, 1]),
    "hierarchy_consistency": lambda codes: metrics.hierarchy_consistency(np.eye(2), codes),
    "prefix_neighbor_recall": lambda codes: metrics.prefix_neighbor_recall(
        np.eye(2), codes, n_neighbors=1
    ),
}
VECTOR_FUNCTIONS = {
    "reconstruction_error": lambda X: metrics.reconstruction_error(X, np.eye(2)),
    "fraction_variance_unexplained": lambda X: metrics.fraction_variance_unexplained(X, np.eye(2)),
    "mean_cosine_similarity": lambda X: metrics.mean_cosine_similarity(X, np.eye(2)),
    "distortion_by_level": lambda X: metrics.distortion_by_level(X, [np.eye(2)]),
    "residual_norms": lambda X: metrics.residual_norms(X, [np.eye(2)]),
    "collision_floor": metrics.collision_floor,
    "neighbor_recall": lambda X: metrics.neighbor_recall(X, np.eye(2), n_neighbors=1),
    "hierarchy_consistency": lambda X: metrics.hierarchy_consistency(X, [[0], [1]]),
}


@pytest.mark.parametrize("name", CODES_FUNCTIONS)
@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([0, 1], r"2-dimensional.*reshape\(-1, 1\)"),
        ([[[0], [1]]], "2-dimensional"),
        (np.empty((0, 3), dtype=int), r"at least one sample.*\(0, 3\)"),
        (np.empty((2, 0), dtype=int), "at least one sample and one level"),
        ([[0.5], [1.0]], "whole numbers, got 0.5"),
        ([[np.nan], [1.0]], "whole numbers, got nan"),
        ([[np.inf], [1.0]], "whole numbers, got inf"),
        ([["a"], ["b"]], "integers, got dtype"),
        ([[True], [False]], "integers, got dtype bool"),
        ([[0], [-1]], "at least 0, got -1"),
    ],
)
def test_codes_that_are_none_are_refused(name, codes, message):
    with pytest.raises(ValueError, match=message):
        CODES_FUNCTIONS[name](codes)


@pytest.mark.parametrize("name", [name for name in CODES_FUNCTIONS if name.startswith("code_")])
def test_a_code_above_its_codebook_is_refused_with_its_level(name):
    with pytest.raises(ValueError, match=r"level 1 should be in \[0, 4\), got 4"):
        CODES_FUNCTIONS[name]([[0, 0], [3, 4]])


@pytest.mark.parametrize("name", VECTOR_FUNCTIONS)
@pytest.mark.parametrize(
    "X", [[1.0, 2.0], np.empty((0, 2)), [[np.nan, 1.0], [0.0, 1.0]], [[np.inf, 1.0], [0.0, 1.0]]]
)
def test_vectors_that_are_none_are_refused(name, X):
    with pytest.raises(ValueError, match=r"X|array|sample"):
        VECTOR_FUNCTIONS[name](X)


@pytest.mark.parametrize(
    "measure",
    [
        metrics.reconstruction_error,
        metrics.fraction_variance_unexplained,
        metrics.mean_cosine_similarity,
    ],
)
def test_a_reconstruction_of_another_shape_is_refused(measure):
    # (n, 1) against (n, d) would broadcast to a number that means nothing.
    with pytest.raises(ValueError, match=r"X has shape \(3, 2\) but reconstruction has \(3, 1\)"):
        measure(np.ones((3, 2)), np.ones((3, 1)))


@pytest.mark.parametrize(
    ("size", "message"), [(0, "positive"), (2.0, "positive|iterable"), ([4], "1 entries")]
)
def test_a_codebook_size_that_is_none_is_refused(size, message):
    with pytest.raises((ValueError, TypeError), match=message):
        metrics.code_usage([[0, 1], [1, 0]], size)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0], "codes has 2 samples but labels has 1"),
        ([[0], [1]], "1-dimensional"),
        ([{0}, {1}], "of numbers or strings"),
        ([0, None], "None or NaN"),
        (["a", float("nan")], "None or NaN"),
        ([0.0, np.nan], "NaN"),
        (np.array(["a", None], dtype=object), "None or NaN"),
        (np.array(["a", np.nan], dtype=object), "None or NaN"),
        (pd.Series(["a", pd.NA], dtype="string"), "None or NaN"),
    ],
)
def test_labels_that_are_none_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        metrics.prefix_purity([[0], [1]], labels)


@pytest.mark.parametrize("value", [0, 3, 1.0, True])
def test_a_number_of_neighbors_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match="n_neighbors"):
        metrics.neighbor_recall(np.eye(3), np.eye(3), n_neighbors=value)


def test_no_reconstruction_at_all_is_refused():
    with pytest.raises(ValueError, match="at least one array"):
        metrics.distortion_by_level(np.eye(2), [])
    with pytest.raises(ValueError, match="at least one array"):
        metrics.residual_norms(np.eye(2), iter([]))


@pytest.mark.parametrize("convert", [np.uint8, np.int32, np.float32, list, pd.DataFrame])
def test_any_container_of_whole_numbers_will_do(convert):
    # Data frames and files turn integers into floats and small integers.
    codes = np.array([[0, 3], [1, 3], [0, 3], [0, 2]])
    converted = (
        codes.astype(convert)
        if isinstance(convert, type) and issubclass(convert, np.generic)
        else convert(codes.tolist())
    )
    assert metrics.collision_rate(converted) == 0.25
    np.testing.assert_allclose(
        metrics.code_perplexity(converted, 4), metrics.code_perplexity(codes, 4)
    )


@pytest.mark.parametrize(
    "labels", [["1", 1, "2", 2], ["a", "a\0", "b", "b\0"], [2**53, 2**53 + 1, 0.5, 1]]
)
def test_labels_that_differ_stay_apart(labels):
    # In one array of numpy each pair would be one label.
    purity = metrics.prefix_purity([[0], [0], [1], [1]], labels)
    assert purity.tolist() == [0.5]
    assert metrics.prefix_purity([[0], [0], [1], [1]], ["a", "a", 1, 1]).tolist() == [1.0]


@pytest.mark.parametrize("unit", [2.0**-900, 2.0**900])
def test_a_hierarchy_is_the_same_in_all_units(unit):
    X = np.random.default_rng(0).normal(size=(30, 2))
    codes = (X > 0).astype(int)
    expected, found = (
        metrics.hierarchy_consistency(rows, codes, random_state=0) for rows in (X, unit * X)
    )
    np.testing.assert_array_equal(found, expected)
