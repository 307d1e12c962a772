"""Imports point down only, and what is light stays light."""

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import sklearn_rqvae

PACKAGE = Path(sklearn_rqvae.__file__).parent

# The house, ground floor first. A room is a folder, or a module that lies in the root. A room
# imports from the rooms of floors below it and from nowhere else; the modules in the root's ground
# floor are one room.
FLOORS = [
    ["_version", "exceptions", "_compat", "_guards", "_versions", "_validation", "_fitted"],
    ["_compute", "_rows"],
    ["_files", "quantize", "embedding"],
    ["nn", "metrics", "semantic_id", "datasets"],
    ["callbacks", "plotting", "_onnx"],
    ["_learning"],
    ["_coders"],
    ["_fitting", "_saving"],
    ["_base"],
    ["_estimator", "_product_quantizer", "_residual_kmeans"],
    ["report", "io"],
    ["_cli"],
]
GROUND = "ground"
# Modules that old pickles look for under their old names, and the root, which imports lazily.
NOT_JUDGED = {"quantize._codebook", "", "__main__"}


def room_of(module: str) -> str:
    """Name the room that a module of ours lies in."""
    name = module.partition(".")[0]
    name = HOMES.get(name, name).removeprefix("sklearn_rqvae.")
    return GROUND if name in FLOORS[0] else name


HOMES = sklearn_rqvae._HOMES
HEIGHT = {room_of(room): height for height, rooms in enumerate(FLOORS) for room in rooms}


def modules() -> dict[str, Path]:
    """Return the path of every module of the package by its name below the package."""
    names = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(parts).removesuffix("__init__").removesuffix(".")] = path
    return names


def own_imports(module: str, source: str) -> set[str]:
    """Names below the package of all that a module of ours imports of ours, wherever it does."""
    package = ["sklearn_rqvae", *module.split(".")[:-1]]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*origin, *([node.module] if node.module else [])])
            # "from package import name" may import a module.
            found.update(f"{origin}.{alias.name}" for alias in node.names)
    ours = (name for name in found if name.startswith("sklearn_rqvae."))
    return {name.removeprefix("sklearn_rqvae.") for name in ours}


def violations(module: str, source: str) -> list[str]:
    """Say which imports of a module don't point down."""
    here = room_of(module)
    rooms = {imported: room_of(imported) for imported in own_imports(module, source)}
    return [
        f"{module} imports {imported}"
        for imported, room in rooms.items()
        if room != here and HEIGHT[room] >= HEIGHT[here]
    ]


def test_imports_point_down():
    found = [
        line
        for module, path in modules().items()
        if module not in NOT_JUDGED
        for line in violations(module, path.read_text())
    ]
    assert not found, "\n".join(found)


def test_every_folder_has_a_place_and_every_place_is_used():
    lying = {room_of(module) for module in modules() if module not in NOT_JUDGED}
    assert lying == set(HEIGHT)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("semantic_id._keys", "from ..report import report"),
        ("_rows._source", "from sklearn_rqvae import RQVAETransformer"),
        ("metrics._usage", "def late():\n    import sklearn_rqvae._learning._rows"),
        ("nn._mlp", "from sklearn_rqvae.metrics import code_usage"),  # a neighbor, not below
    ],
)
def test_the_law_sees_what_breaks_it(module, line):
    assert not violations(module, modules()[module].read_text())
    assert violations(module, line)


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


def test_torchs_compiler_stays_out_of_a_fit_in_closed_form():
    # Loading it takes a second and a half.
    code = (
        "import sys; from sklearn_rqvae import RQVAETransformer; "
        "RQVAETransformer(n_layers=1, codebook_size=2).fit([[0], [1], [5]]); "
        "assert 'torch._dynamo' not in sys.modules"
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
