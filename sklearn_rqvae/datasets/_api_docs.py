"""A catalog of real texts that every machine has: the documented API of our dependencies."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
from functools import cache

import numpy as np
from sklearn.utils import Bunch

from sklearn_rqvae.datasets._docstrings import public_docstrings

__all__ = ["load_api_docs"]

# Import name → name on the package index.
LIBRARIES = {"numpy": "numpy", "scipy": "scipy", "sklearn": "scikit-learn", "torch": "torch"}

# Tests, vendored code, tools for the command line, old names kept for compatibility, compiler
# internals.
# fmt: off
_NOT_API = frozenset({
    "tests", "testing", "testutils", "conftest", "numpy.core", "numpy.distutils", "numpy.f2py",
    "scipy.misc", "sklearn.externals", "torch.ao", "torch.contrib", "torch.distributed", "torch.fx",
    "torch.nn.intrinsic", "torch.nn.qat", "torch.nn.quantizable", "torch.nn.quantized",
    "torch.onnx", "torch.package", "torch.quantization", "torch.utils.benchmark",
    "torch.utils.data.datapipes", "torch.utils.hipify",
})
# fmt: on

# Loaded with numpy and scikit-learn; their compiled functions have docstrings in no source file.
_LOADED = {"numpy": np, "numpy.random": np.random}

# `abs(input, *, out=None) -> Tensor`: docstrings of compiled functions start with the signature.
_SIGNATURE = re.compile(r"\w[\w.]*\s*\(.*\)\s*(->.*|:)?", re.DOTALL)
_ROLE = re.compile(r":[\w:]+:`~?([^`<]*?)\s*(?:<[^`>]*>)?`")
_SECTION = re.compile(
    r"^\s*(?:\.\. |>>> |[A-Z][\w ]*\n\s*-{3,}"
    r"|(?:Args|Arguments|Keyword args|Notes?|Examples?|Returns):)",
    re.MULTILINE,
)


def load_api_docs() -> Bunch:
    """Load texts that describe the functions and classes of numpy, scipy, scikit-learn and torch.

    This is a catalog of several thousand real items that needs no download: it is read from the
    libraries installed with this package. Each public function or class is an item, described by
    its name and the first paragraph of its docstring, such as
    ``"butter: Butterworth digital and analog filter design."``. The module that holds it is its
    category. It is not part of the text, so that it can serve to judge a grouping of the texts.

    The docstrings are read from the source files without importing them, in two to four seconds. An
    object that can be reached by several names is listed once, by the shortest.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        A dictionary-like object with these attributes.

        data : list of str
            Text of each item, ``"name: first paragraph of the docstring"``, sorted by full name.
        target : ndarray of shape (n_items,), dtype=int64
            Category of each item: position in `target_names`.
        target_names : list of str
            Public modules such as ``"scipy.signal"``, sorted.
        names : list of str
            Full public name of each item, such as ``"scipy.signal.butter"``, each once.
        DESCR : str
            What the catalog holds, and the versions that it was read from.

    Notes
    -----
    The items depend on the installed versions alone: the same versions give the same lists.

    Examples
    --------
    >>> from sklearn_rqvae.datasets import load_api_docs
    >>> docs = load_api_docs()
    >>> item = docs.names.index("sklearn.cluster.KMeans")
    >>> docs.data[item]
    'KMeans: K-Means clustering.'
    >>> docs.target_names[docs.target[item]]
    'sklearn.cluster'
    """
    texts = {name: text for library in LIBRARIES for name, text in library_texts(library).items()}
    names = sorted(texts)
    modules = [name.rpartition(".")[0] for name in names]
    target_names, target = np.unique(modules, return_inverse=True)
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES.values()
    )
    return Bunch(
        data=[f"{name.rpartition('.')[2]}: {texts[name]}" for name in names],
        target=target.astype(np.int64),
        target_names=target_names.tolist(),
        names=names,
        DESCR=(
            f"Public functions and classes of {versions}: {len(names)} items in "
            f"{len(target_names)} modules. Each text is the name and the first paragraph of the "
            "docstring; the target is the module."
        ),
    )


@cache
def library_texts(library: str) -> dict[str, str]:
    """Return what one library's docstrings say, by full names; read once in a process."""
    docstrings = public_docstrings(library, skip=_NOT_API, loaded=_LOADED)
    return {name: text for name, doc in docstrings.items() if (text := _first_paragraph(doc))}


def _first_paragraph(doc: str) -> str:
    """Return a docstring's first paragraph as plain words on one line, "" if there is none."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(doc)):
        text = paragraph.strip()
        if _SECTION.match(text):
            return ""
        if _SIGNATURE.fullmatch(text):
            continue
        first_line, _, rest = text.partition("\n")
        if _SIGNATURE.fullmatch(first_line):
            text = rest.removeprefix("--")
        text = _ROLE.sub(r"\1", _SECTION.split(text, maxsplit=1)[0]).replace("`", "")
        if text.strip():
            return " ".join(text.split())
    return ""
