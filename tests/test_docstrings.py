"""Public names have docstrings with every parameter, every result and their shapes in sections."""

import importlib
import inspect
import re
from dataclasses import is_dataclass
from enum import EnumMeta

import pytest
from numpydoc.validate import validate

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae._learning._closed_form import ClosedForm

PACKAGES = [
    "sklearn_rqvae",
    "sklearn_rqvae.datasets",
    "sklearn_rqvae.embedding",
    "sklearn_rqvae.metrics",
    "sklearn_rqvae.nn",
    "sklearn_rqvae.plotting",
    "sklearn_rqvae.semantic_id",
    "sklearn_rqvae.callbacks",
]

# No See Also, extended summary or names of results are asked for, nor a place for the first line.
NOT_ASKED = {"ES01", "EX01", "GL01", "GL02", "GL03", "RT02", "SA01", "SA04", "YD01"}


def public_names():
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            if not callable(value) or not getattr(value, "__module__", "").startswith(
                "sklearn_rqvae"
            ):
                continue
            # Named tuples, data classes and enumerations list their fields under Attributes.
            of_fields = (
                hasattr(value, "_fields") or is_dataclass(value) or isinstance(value, EnumMeta)
            )
            if not of_fields:
                yield f"{package}.{name}"
            if inspect.isclass(value):
                for method in methods_of(value):
                    yield f"{package}.{name}.{method}"


def methods_of(cls):
    """Return the public methods that a class has from this package, inherited ones too."""
    ours = [base for base in cls.__mro__ if base.__module__.startswith("sklearn_rqvae")]
    names = {name for base in ours for name in vars(base) if not name.startswith(("_", "on_"))}
    return [name for name in names if inspect.isroutine(inspect.unwrap(getattr(cls, name)))]


@pytest.mark.parametrize("name", sorted(set(public_names())))
def test_docstring_is_complete(name):
    found = validate(name)
    # numpydoc asks generators written as functions that return iterators for both sections.
    not_asked = NOT_ASKED | ({"RT01"} if "Yields\n" in found["docstring"] else set())
    assert not [problem for problem in found["errors"] if problem[0] not in not_asked]


def test_the_parameters_of_gradient_training_alone_are_those_that_closed_form_ignores():
    doc = inspect.cleandoc(RQVAETransformer.__doc__)
    sentence = doc.partition("Parameters of gradient training alone")[2].partition(".\n")[0]
    assert sorted(re.findall(r"`(\w+)`", sentence)) == sorted(ClosedForm.ignores)
