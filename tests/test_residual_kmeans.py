"""ResidualKMeans keeps scikit-learn's contract and quantizes as well as it should."""

from collections import Counter

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

from sklearn_rqvae import ResidualKMeans

COMMON_CHECKS = [
    "check_dataframe_column_names_consistency",
    "check_estimators_partial_fit_n_features",
    "check_get_feature_names_out_error",
    "check_inplace_ensure_writeable",
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
]


@pytest.mark.parametrize("params", [{}, {"n_layers": 2, "codebook_size": [4, 3], "n_beams": 1}])
def test_all_estimator_checks_pass_and_none_is_skipped(params):
    results = check_estimator(ResidualKMeans(**params), on_fail=None)
    assert Counter(result["status"] for result in results) == {"passed": len(results)}


@pytest.mark.parametrize("check", COMMON_CHECKS)
def test_common_checks_that_check_estimator_leaves_out_pass(check):
    getattr(estimator_checks, check)("ResidualKMeans", ResidualKMeans())
