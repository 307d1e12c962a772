"""scikit-learn's own checks: every one passes, none is skipped or expected to fail."""

from collections import Counter

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae.nn import QuantizeForwardMode

MODES = [mode.name for mode in QuantizeForwardMode]
SHORT = {"max_epochs": 2}

# Common checks of scikit-learn's test suite that check_estimator leaves out.
EXTRA_CHECKS = [
    "check_dataframe_column_names_consistency",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_inplace_ensure_writeable",
    "check_get_feature_names_out_error",
    "check_estimators_partial_fit_n_features",
]


def assert_all_pass(estimator):
    results = check_estimator(estimator, on_fail=None)
    problems = [
        f"{result['check_name']}: {result['status']} {result['exception']!r}"
        for result in results
        if result["status"] != "passed"
    ]
    assert not problems, "\n".join(problems)
    assert Counter(result["status"] for result in results)["passed"] >= 50


@pytest.mark.slow
def test_default_estimator_passes_every_check():
    assert_all_pass(RQVAETransformer())


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_passes_every_check(mode):
    assert_all_pass(RQVAETransformer(codebook_mode=mode, codebook_size=16, n_beams=4, **SHORT))


@pytest.mark.parametrize("mode", MODES)
def test_plain_architecture_passes_every_check(mode):
    plain = {"linear_path": False, "hidden_dims": (8,), "embed_dim": 4, "codebook_size": 16}
    assert_all_pass(RQVAETransformer(codebook_mode=mode, n_beams=1, **plain, **SHORT))


@pytest.mark.parametrize("linear_path", [True, False])
@pytest.mark.parametrize("check", EXTRA_CHECKS)
def test_common_checks_that_check_estimator_leaves_out(check, linear_path):
    estimator = RQVAETransformer(linear_path=linear_path, codebook_size=16, **SHORT)
    getattr(estimator_checks, check)("RQVAETransformer", estimator)
