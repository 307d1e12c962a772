"""Numbers typed into README and guide are those of the generated tables."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "docs" / "benchmarks" / "_generated"


def generated_table(file, title):
    """Return the rows of a generated list-table by their first cell, each a dict by column."""
    text = (GENERATED / file).read_text(encoding="utf-8")
    (block,) = re.findall(
        rf"\.\. list-table:: {re.escape(title)}\n(.*?)(?=\n *\.\. |\Z)", text, flags=re.S
    )
    rows = [re.findall(r"- (.*)", row) for row in block.split("* -")[1:]]
    firsts = [row.split("\n")[0].strip() for row in block.split("* -")[1:]]
    header, *body = [
        [first, *(cell.strip() for cell in row)] for first, row in zip(firsts, rows, strict=True)
    ]
    return {row[0]: dict(zip(header, row, strict=True)) for row in body}


def number(cell):
    """Return a typed or generated number without its deviation, unit and emphasis."""
    return re.match(r"[*\s]*([\d,]*\.?\d+)", cell).group(1).replace(",", "")


def assert_rounds_to(typed, exact):
    """Check that a typed number is the generated one, to as many digits as are typed."""
    typed, exact = number(typed), number(exact)
    n_digits = len(typed.partition(".")[2])
    if n_digits >= len(exact.partition(".")[2]):
        assert float(typed) == float(exact)
    else:  # the generated one is rounded itself, so that a half may go either way
        assert abs(float(typed) - float(exact)) <= 0.5 * 10**-n_digits + 1e-9


# README's names of methods, and those of the generated table.
METHODS = {
    "`RQVAETransformer()`": "`RQVAETransformer()`",
    "`ResidualKMeans()`": "`ResidualKMeans()`",
    "faiss `ResidualQuantizer`, 5 beams, refined": "faiss RQ, 5 beams, refined",
    "faiss `LocalSearchQuantizer`": "faiss LSQ",
    "semantic-id `RQKMeans`": "semantic-id RQKMeans",
    "textbook RQ-VAE: `RQVAETransformer(linear_path=False)`": (
        "`RQVAETransformer(linear_path=False)`"
    ),
    "the same around vector-quantize-pytorch's `ResidualVQ`": (
        "vector-quantize-pytorch, plain autoencoder"
    ),
}


def readme_rows():
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## How good is it")[2]
    lines = [line for line in text.split("\n") if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_readme_lists_each_method_once():
    assert [row[0] for row in readme_rows()] == list(METHODS)


@pytest.mark.parametrize("row", readme_rows(), ids=lambda row: row[0])
def test_numbers_of_the_readme_are_measured(row):
    name, held_out, training, collisions, seconds = row
    table = generated_table("distortion_table.rst", "beauty, 3 × 256: 24 bits")
    measured = table[METHODS[name]]
    assert_rounds_to(held_out, measured["FVU held out"])
    assert_rounds_to(training, measured["FVU training"])
    assert_rounds_to(collisions, measured["collisions, %"])
    assert_rounds_to(seconds, measured["fit, s"])


def test_numbers_of_a_million_rows_are_measured():
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    said = re.search(
        r"of a million .* lose ([\d.]+) of new items and ([\d.]+) of old ones, faiss, refined on "
        r"what it can take in that time, ([\d.]+) and ([\d.]+) \(",
        text,
    )
    tables = (GENERATED / "rows_table.rst").read_text(encoding="utf-8")
    (table, *_) = tables.partition("package texts, 3x256")[2].split(".. list-table::")
    by_method = {}
    for line in table.split("   * - 1,000,000\n")[1:]:
        cells = [cell.strip() for cell in re.findall(r"- (.*)", line.split("   * -")[0])]
        by_method[cells[0]] = cells
    ours, rival = by_method["RQVAETransformer"], by_method["faiss refined"]
    for number, cell in zip(said.groups(), [*ours[2:4], *rival[2:4]], strict=True):
        assert_rounds_to(number, cell)


# The guide's names of ways to learn, and where the generated tables have them.
WAYS = {
    "closed form, the default": ("linear path", "closed form alone"),
    '``codebook_mode="STE"``, ``linear_path=False``': ("two MLPs", "straight-through"),
}


def measured_way(way):
    architecture, mode = WAYS[way]
    return generated_table("modes_table.rst", f"scientific, {architecture}, 3 × 256")[mode]


def choosing_rows():
    text = (ROOT / "docs" / "user_guide" / "choosing.rst").read_text(encoding="utf-8")
    table = text.partition("means over five seeds:")[2]
    rows = re.split(r"\n=+ =+ =+\n", table)[2]
    return [re.split(r"\s{2,}", line.strip()) for line in rows.split("\n")]


def test_the_guide_lists_each_way_once():
    assert [row[0] for row in choosing_rows()] == list(WAYS)


@pytest.mark.parametrize("row", choosing_rows(), ids=lambda row: row[0])
def test_numbers_of_the_guide_are_measured(row):
    way, training, held_out = row
    assert_rounds_to(training, measured_way(way)["FVU training"])
    assert_rounds_to(held_out, measured_way(way)["FVU held out"])


def test_numbers_in_the_text_on_modes_are_measured():
    text = (ROOT / "docs" / "user_guide" / "modes.rst").read_text(encoding="utf-8")
    sentence = " ".join(
        text.partition("What the architecture decides")[2].split("So modes")[0].split()
    )
    typed = re.findall(r"(?<!\d)\.\d+", sentence)
    for number_in_text, way in zip(typed, WAYS, strict=True):
        assert_rounds_to(number_in_text, measured_way(way)["FVU training"])


@pytest.mark.parametrize(
    ("catalog", "against", "column"),
    [
        ("beauty", "text, defaults", "ItemNDCG"),
        ("scientific", "text, defaults", "ItemNDCG"),
        ("beauty", "unigenrec_text_rqvae_faiss", "ItemNDCG"),
        ("beauty", "unigenrec_text_rqkmeans", "ItemNDCG"),
        ("scientific", "rkmeans_zcr_cf", "ItemNDCG"),
        ("scientific", "rkmeans_zcr_cf", "ItemHit"),
    ],
)
def test_the_page_on_recommenders_says_what_was_measured(catalog, against, column):
    text = (GENERATED / "recommend_aim.rst").read_text(encoding="utf-8")
    rows = [re.findall(r"- (.*)", row) for row in text.split("   * -")[1:]]
    header, *body = [[cell.strip() for cell in ["-", *row]] for row in rows]
    firsts = [row.split("\n")[0].strip() for row in text.split("   * -")[2:]]
    (row,) = [
        row
        for row, first in zip(body, firsts, strict=True)
        if (first, row[1]) == (catalog, against)
    ]
    at = [column in name for name in header].index(True)
    middle, low, high = map(float, re.findall(r"[-+][\d.]+", row[at]))
    assert f"{middle:.1f} % [{low:.1f}, {high:.1f}]" in page_on_recommenders()


def test_each_interval_of_the_page_on_recommenders_is_measured():
    parts = ("aim", "text", "behavior", "layouts", "table")
    tables = "".join((GENERATED / f"recommend_{part}.rst").read_text("utf-8") for part in parts)
    measured = set()
    for found in re.findall(r"([-+][\d.]+) \[([-+][\d.]+), ([-+][\d.]+)\]", tables):
        middle, low, high = map(float, found)
        measured |= {(middle, low, high), (-middle, -high, -low)}  # ahead by, or behind by
    typed = re.findall(r"(-?[\d.]+) % \[(-?[\d.]+), (-?[\d.]+)\]", page_on_recommenders())
    assert typed
    assert {tuple(map(float, found)) for found in typed} <= measured


@pytest.mark.parametrize("known", ["lift 1", "hit rate, texts"])
@pytest.mark.parametrize("catalog", ["scientific", "beauty"])
def test_the_page_on_recommenders_says_what_ranks_the_sets(catalog, known):
    title = "Spearman's correlation with ItemNDCG@10 over the sets"
    row = generated_table("recommend_correlations.rst", title)[known]
    (cell,) = (value for name, value in row.items() if name.startswith(f"{catalog}: "))
    middle, low, high = (found.lstrip("0") for found in re.findall(r"\+([\d.]+)", cell))
    assert f"{middle} [{low}, {high}] on {catalog}" in page_on_recommenders()


def page_on_recommenders():
    page = ROOT / "docs" / "benchmarks" / "recommend.rst"
    return " ".join(page.read_text(encoding="utf-8").split())
