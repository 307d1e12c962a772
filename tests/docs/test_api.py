"""The API page lists every public name, and nothing else."""

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

import sklearn_rqvae

API = Path(__file__).resolve().parents[2] / "docs" / "api.rst"
# Their names are listed under the package's own.
SUBPACKAGES = [
    "callbacks",
    "datasets",
    "embedding",
    "exceptions",
    "io",
    "metrics",
    "nn",
    "plotting",
    "report",
    "semantic_id",
]


def listed_names():
    """Return the names that each module has on the API page."""
    names, module = {}, None
    for line in API.read_text(encoding="utf-8").splitlines():
        if line.startswith(".. currentmodule:: "):
            module = line.removeprefix(".. currentmodule:: ")
        elif match := re.fullmatch(r"(?: {3}|\.\. data:: )([A-Za-z]\w*)", line):
            names.setdefault(module, set()).add(match[1])
    return names


@pytest.mark.parametrize("subpackage", SUBPACKAGES)
def test_every_public_name_of_a_subpackage_is_listed(subpackage):
    module = importlib.import_module(f"sklearn_rqvae.{subpackage}")
    names = listed_names()
    assert names[module.__name__] | (names["sklearn_rqvae"] & set(module.__all__)) == set(
        module.__all__
    )


def test_every_public_name_of_the_package_is_listed():
    import sklearn_rqvae

    names = listed_names()
    elsewhere = set().union(*(names[f"sklearn_rqvae.{subpackage}"] for subpackage in SUBPACKAGES))
    public = {name for name in sklearn_rqvae.__all__ if not name.startswith("__")}
    assert names["sklearn_rqvae"] <= public
    assert public - names["sklearn_rqvae"] <= elsewhere


def test_the_side_bar_has_all_names_under_the_headings_of_the_page():
    path = API.parent / "_ext" / "api_groups.py"
    spec = importlib.util.spec_from_file_location("api_groups", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    groups = dict(module.read_groups(API.read_text(encoding="utf-8")))
    assert groups["Estimators"][0] == (
        "generated/sklearn_rqvae.RQVAETransformer",
        "RQVAETransformer",
    )
    in_groups = {name for names in groups.values() for _, name in names}
    assert in_groups == set().union(*listed_names().values()) - {"TRUSTED_TYPES"}


def test_every_subpackage_is_an_attribute_of_the_package():
    # After "import sklearn_rqvae" alone, whatever else has been imported.
    assert set(sklearn_rqvae._SUBPACKAGES) == set(SUBPACKAGES)
    assert set(SUBPACKAGES) <= set(dir(sklearn_rqvae))
