"""Which versions made an object: kept with it where it is saved, compared where it is read.

And where its page in the documentation is, to which notebooks link.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import sklearn
from sklearn.exceptions import InconsistentVersionWarning as SklearnVersionWarning

from sklearn_rqvae._guards import warn_caller
from sklearn_rqvae._version import __version__
from sklearn_rqvae.exceptions import InconsistentVersionWarning

__all__ = ["Versioned", "present_versions", "warn_of_versions"]

_OURS = "sklearn_rqvae"
_KEY = "_versions"
_PAGES = "https://sklearn-rqvae.github.io/sklearn-rqvae/dev/generated"


def present_versions() -> dict[str, str]:
    """Return the versions at work, by package."""
    return {_OURS: __version__, "sklearn": sklearn.__version__, "numpy": np.__version__}


def warn_of_versions(kind: str, versions: dict[str, str]) -> None:
    """Warn if this package or scikit-learn was of another version when something was saved.

    Parameters
    ----------
    kind : str
        Name of the class, for the message.
    versions : dict of str to str
        The versions then; those that aren't known are taken for the present ones.
    """
    now = present_versions()
    for package, warning in (
        (_OURS, InconsistentVersionWarning),
        ("sklearn", SklearnVersionWarning),
    ):
        then = versions.get(package, now[package])
        if then != now[package]:
            warn_caller(
                warning(
                    estimator_name=kind,
                    current_sklearn_version=now[package],
                    original_sklearn_version=then,
                )
            )


class Versioned:
    """Keep the versions in the pickles of an object, and warn where others read them.

    It stands left of ``BaseEstimator``, which does the same for scikit-learn's own classes only, as
    it links to their pages only from what a notebook shows.
    """

    _doc_link_module = _OURS
    _doc_link_template = f"{_PAGES}/{{page}}.html"

    def _doc_link_url_param_generator(self) -> dict[str, str]:
        """Return the name of the page: that of the package from which the class is imported."""
        module, name = type(self).__module__, type(self).__name__
        at_root = name in getattr(sys.modules[_OURS], "__all__", ())
        package = _OURS if at_root else ".".join(module.split(".")[:2])
        return {"page": f"{package}.{name}"}

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled."""
        state: Any = super().__getstate__()
        return {**state, _KEY: present_versions()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what was pickled."""
        state = dict(state)
        versions = state.pop(_KEY, {})
        if isinstance(versions, dict):
            warn_of_versions(type(self).__name__, versions)
        restore = getattr(super(), "__setstate__", self.__dict__.update)
        restore(state)
