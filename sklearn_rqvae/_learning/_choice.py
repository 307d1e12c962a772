"""Choose what learns for an RQVAETransformer; the only place that asks."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator

from sklearn_rqvae._learning._closed_form import ClosedForm
from sklearn_rqvae._learning._given_callbacks import check_callbacks
from sklearn_rqvae._learning._gradients import GradientTraining
from sklearn_rqvae._learning._learner import Learner
from sklearn_rqvae._learning._refit import ClosedFormRefit
from sklearn_rqvae.nn._config import checked_widths

__all__ = ["choose_learner", "names_closed_form"]


def choose_learner(estimator: BaseEstimator) -> Learner:
    """Return the learner that an estimator's parameters ask for.

    Parameters
    ----------
    estimator : RQVAETransformer
        Its parameters, each of a valid type.

    Returns
    -------
    learner : ClosedForm, ClosedFormRefit or GradientTraining
        The learner.

    Raises
    ------
    TypeError
        If `callbacks` holds what is no callback.
    ValueError
        If parameters have wrong values, or the closed form is asked for by its name where there is
        none.
    """
    check_callbacks(estimator.callbacks, estimator.net_params)
    if estimator.hidden_dims is not None:
        checked_widths(estimator.hidden_dims)
    obstacle = _obstacle(estimator)
    if names_closed_form(estimator.codebook_mode) and obstacle is not None:
        raise ValueError(
            f"codebook_mode={estimator.codebook_mode!r} can't be had with "
            f"{obstacle}={getattr(estimator, obstacle)!r}, which has no closed form; leave one of "
            "them at its default."
        )
    asked = estimator.codebook_mode is None or names_closed_form(estimator.codebook_mode)
    if not asked or obstacle is not None:
        return GradientTraining.of(estimator)
    goes_on = estimator.warm_start and hasattr(estimator, "architecture_")
    return ClosedFormRefit.of(estimator) if goes_on else ClosedForm.of(estimator)


def names_closed_form(mode: Any) -> bool:
    """Whether a quantize mode is the name of the closed form."""
    return isinstance(mode, str) and mode.upper() == "CLOSED_FORM"


def _obstacle(estimator: BaseEstimator) -> str | None:
    """Name the parameter for which there is no closed form, if one is set so."""
    if not estimator.linear_path:
        return "linear_path"  # MLPs alone
    if estimator.n_cat_features > 0:
        return "n_cat_features"  # logits of categories
    return None if estimator.module is None else "module"  # a loss of its own
