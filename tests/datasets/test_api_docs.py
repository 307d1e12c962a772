"""load_api_docs: what is in the catalog, where it stands, and that reading it changes nothing."""

import importlib
import inspect
import re
import subprocess
import sys

import numpy as np
import pytest
import scipy

from sklearn_rqvae.datasets import load_api_docs


@pytest.fixture(scope="module")
def docs():
    return load_api_docs()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        # scikit-learn: defined in private modules, listed by packages
        ("sklearn.cluster.KMeans", "KMeans: K-Means clustering."),
        # scipy.signal: two star imports deep, with a computed __all__
        ("scipy.signal.butter", "butter: Butterworth digital and analog filter design."),
        # scipy.stats: an instance of a documented class
        ("scipy.stats.norm", "norm: A normal continuous random variable."),
        # scipy.special: docstring in another file than the compiled function
        pytest.param(
            "scipy.special.ndtri",
            "ndtri: Inverse of ndtr vs x",
            marks=pytest.mark.skipif(
                tuple(map(int, scipy.__version__.split(".")[:2])) >= (1, 18), reason="reworded"
            ),
        ),
        # numpy: compiled functions
        ("numpy.add", "add: Add arguments element-wise."),
        ("numpy.random.poisson", "poisson: Draw samples from a Poisson distribution."),
        # torch: docstrings attached to compiled functions, after a line with the signature
        ("torch.linalg.cross", "cross: Computes the cross product of two 3-dimensional vectors."),
        ("torch.histc", "histc: Computes the histogram of a tensor."),
        # torch.optim: docstring assigned to __doc__
        ("torch.optim.Adam", "Adam: Implements Adam algorithm."),
    ],
)  # fmt: skip
def test_items_stand_under_their_public_name(docs, name, text):
    row = docs.names.index(name)
    assert docs.data[row] == text
    assert docs.target_names[docs.target[row]] == name.rpartition(".")[0]


def test_the_catalog_has_thousands_of_items_of_all_libraries(docs):
    assert len(docs.data) > 3000
    libraries = [name.partition(".")[0] for name in docs.names]
    assert min(libraries.count(name) for name in ("numpy", "scipy", "sklearn", "torch")) > 400
    assert "items in" in docs.DESCR


def test_lists_belong_together_and_names_are_unique(docs):
    assert len(docs.data) == len(docs.target) == len(docs.names) == len(set(docs.names))
    assert docs.names == sorted(docs.names)
    assert docs.target_names == sorted(docs.target_names)
    assert docs.target.dtype == np.int64
    assert set(docs.target) == set(range(len(docs.target_names)))


def test_texts_are_plain_words_on_one_line(docs):
    for text in docs.data:
        name, _, described = text.partition(": ")
        assert name.isidentifier()
        assert described == " ".join(described.split()) != ""
        assert "`" not in text
        assert "--" not in described.split()[:1]


def test_private_names_and_tests_stay_out(docs):
    for name in docs.names:
        assert not any(part.startswith("_") or part == "tests" for part in name.split("."))


def importable(docs):
    """Yield name, text and object of the items in some modules, None for a missing object."""
    modules = {
        "numpy",
        "numpy.linalg",
        "scipy.linalg",
        "scipy.optimize",
        "scipy.spatial.distance",
        "scipy.stats",
        "sklearn.base",
        "sklearn.linear_model",
        "sklearn.metrics",
        "torch.distributions",
        "torch.linalg",
        "torch.nn",
    }
    for name, text in zip(docs.names, docs.data, strict=True):
        module, _, attribute = name.rpartition(".")
        if module in modules:
            yield name, text, getattr(importlib.import_module(module), attribute, None)


def test_names_lead_to_the_documented_objects(docs):
    # Oracle: the docstring at run time. Where __all__ is computed, a few names that it leaves out
    # are taken for names that it lists.
    n_checked, absent, other = 0, [], []
    for name, text, found in importable(docs):
        n_checked += 1
        if found is None:
            absent.append(name)
            continue
        words = re.sub(r":\w+:|[^a-z]", "", inspect.cleandoc(found.__doc__ or "").lower())
        if re.sub(r"[^a-z]", "", text.partition(": ")[2].lower())[:12] not in words:
            other.append(name)
    assert n_checked > 1000
    assert len(absent) < 0.01 * n_checked, absent
    assert len(other) < 0.01 * n_checked, other


def test_an_object_is_listed_once(docs):
    seen = {}
    for name, _, found in importable(docs):
        if found is not None:
            assert seen.setdefault(id(found), name) == name


def test_two_loads_are_alike(docs):
    again = load_api_docs()
    assert again.data == docs.data
    assert again.names == docs.names
    np.testing.assert_array_equal(again.target, docs.target)


# Python 3.13 imports these when the metadata of a package are read.
PARTS_OF_METADATA = {"importlib.metadata._adapters", "importlib.metadata._text"}


def test_reading_imports_nothing():
    code = (
        "import sys, gc, sklearn_rqvae.datasets as d\n"
        "before = set(sys.modules); d.load_api_docs()\n"
        "print(sorted(set(sys.modules) - before), 'torch' in sys.modules, gc.isenabled())"
    )
    code = code.replace("before))", "before - PARTS))")
    code = f"PARTS = {PARTS_OF_METADATA}\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False True"
