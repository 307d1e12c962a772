"""Imports point down only, and what is light stays light."""

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import sklearn_rqvae

PACKAGE = Path(sklearn_rqvae.__file__).parent

# The floors of the package, ground floor first; a module may import from its own floor and from
# those below.
FLOORS = [
    {
        "_version",
        "exceptions",
        "_validation",
        "_archive",
        "_chunks",
        "_device",
        "_distinct_rows",
        "_equal_rows",
        "_row_source",
        "_threads",
        "_compat",
        "_files",
        "_optional",
        "quantize._distance",
        "quantize._gradient",
        "quantize._largest",
        "quantize._linear",
    },
    {"metrics", "datasets", "semantic_id", "_losses", "quantize"},
    {"nn"},
    {
        "_guards",
        "_distributed",
        "_rows",
        "_schedule",
        "_stream",
        "_health",
        "_net",
        "callbacks",
        "_encode",
        "_training",
        "_architecture",
        "_persistence",
        "_codec",
    },
    {"_estimator", "_residual_kmeans", "embedding"},
    {"plotting", "persistence", "report", "_report", "io"},
    {
        "_cli",
        "_cli_io",
        "_cli_index",
        "_cli_demo",
        "_cli_directory",
        "_cli_model",
        "_cli_progress",
        "__main__",
    },
]


def floor_of(module: str) -> int:
    for depth, names in enumerate(FLOORS):
        if any(module == name or module.startswith(name + ".") for name in names):
            return depth
    raise AssertionError(f"{module} stands on no floor: add it to FLOORS")


def own_imports(path: Path) -> set[str]:
    """Names of our modules that a file imports when it is imported itself."""
    found = set()
    for node in ast.parse(path.read_text()).body:  # module level only
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sklearn_rqvae."):
            found.add(node.module.removeprefix("sklearn_rqvae."))
        elif isinstance(node, ast.Import):
            found.update(
                alias.name.removeprefix("sklearn_rqvae.")
                for alias in node.names
                if alias.name.startswith("sklearn_rqvae.")
            )
    return found


def test_imports_point_down():
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if module == "__init__":
            continue
        for imported in own_imports(path):
            assert floor_of(imported) <= floor_of(module), f"{module} imports {imported} from above"


@pytest.mark.parametrize(
    "light",
    [
        "sklearn_rqvae",
        "sklearn_rqvae.datasets",
        "sklearn_rqvae.metrics",
        "sklearn_rqvae.semantic_id",
    ],
)
def test_light_packages_import_neither_torch_nor_matplotlib(light):
    code = (
        f"import sys, {light}; "
        "heavy = {'torch', 'skorch', 'matplotlib'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_can_be_imported():
    for name in sklearn_rqvae.__all__:
        assert getattr(sklearn_rqvae, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        sklearn_rqvae.nonsense  # noqa: B018


def test_installed_metadata_requires_the_documented_core():
    required = {
        line.split(">")[0].strip()
        for line in metadata.requires("sklearn-rqvae")
        if "extra ==" not in line
    }
    core = {"torch", "scikit-learn", "numpy", "scipy", "joblib", "threadpoolctl", "skorch"}
    assert required == core
