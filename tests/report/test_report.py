"""The report: its numbers are the metrics', its forms agree, and its page stands alone."""

import json
import re
import sys
from functools import partial
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_rqvae import ResidualKMeans, RQVAETransformer, TextEmbedder, metrics
from sklearn_rqvae.report import report

COLORS, THINGS = ("red", "blue", "green"), ("soap", "comb", "brush", "lamp")
TEXTS = [f"{color} {thing} {i}" for i in range(8) for color in COLORS for thing in THINGS]


@pytest.fixture(scope="module")
def judged(X, quantizer):
    labels = np.arange(len(X)) % 3
    names = [f"item <{i}> & co" for i in range(len(X))]
    return report(quantizer, X, names=names, labels=labels)


class Page(HTMLParser):
    """Collect what a browser would load, and check that tags are closed."""

    void = frozenset({"meta", "img", "br"})

    def __init__(self):
        super().__init__()
        self.open, self.loads, self.tags, self.alts = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attrs = dict(attrs)
        self.loads += [attrs[name] for name in ("src", "href", "srcset", "data") if name in attrs]
        if tag == "img":
            self.alts.append(attrs["alt"])
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(page):
    parser = Page()
    parser.feed(page)
    assert parser.open == []
    return parser


def test_numbers_are_those_of_the_metrics(judged, X, quantizer):
    codes = quantizer.transform(X)
    decoded = quantizer.inverse_transform(codes)
    assert judged.overall.collision_floor == pytest.approx(10 / 400)
    assert judged.overall.n_distinct_rows == 390
    assert judged.overall.bits == 6.0
    assert judged.overall.neighbor_recall == metrics.neighbor_recall(X, decoded, random_state=0)
    prefixes = [quantizer.inverse_transform(codes[:, :k]) for k in (1, 2, 3)]
    np.testing.assert_allclose(
        [level.unexplained for level in judged.levels],
        metrics.distortion_by_level(X, prefixes),
        rtol=1e-6,
    )
    for k, level in enumerate(judged.levels, start=1):
        prefix = codes[:, :k]
        assert level.collision_rate == pytest.approx(metrics.collision_rate(prefix))
        assert level.colliding_share == pytest.approx(metrics.colliding_share(prefix))
        assert level.largest_group == metrics.largest_group(prefix)
    np.testing.assert_allclose(
        [level.perplexity for level in judged.levels], metrics.code_perplexity(codes, 4)
    )
    purity = metrics.prefix_purity(codes, np.arange(len(X)) % 3)
    np.testing.assert_allclose([level.purity for level in judged.levels], purity)


def test_dictionary_is_plain_json_without_nan(judged):
    values = json.loads(json.dumps(judged.to_dict(), allow_nan=False))
    assert values["n_items"] == 400
    assert values["collision_rate"] == judged.levels[-1].collision_rate
    assert values["comparison"]["outcome"] in ("better", "equal", "worse")
    assert [finding["kind"] for finding in values["findings"]]


def test_text_has_all_sections_and_fits_a_terminal(judged):
    text = str(judged)
    for section in ("Verdict", "Findings", "Use of the codewords", "Prefixes", "Items that share"):
        assert section in text
    assert judged.verdict.split(". ")[0] in text
    table = text[text.index("Use of the codewords") :]
    assert max(len(line) for line in table.splitlines()) <= 120


def test_page_loads_nothing_and_runs_nothing(judged, tmp_path):
    path = tmp_path / "report.html"
    page = judged.to_html(path)
    assert path.read_text(encoding="utf-8") == page
    found = parsed(page)
    assert "script" not in found.tags
    assert "link" not in found.tags
    assert len(found.loads) == len(found.alts) == 6  # no training, as there was none
    assert all(address.startswith("data:image/") for address in found.loads)
    assert all(found.alts)
    assert not re.search(r"url\(|@import", page)


def test_names_are_escaped(judged):
    page = judged.to_html()
    assert "item &lt;" in page
    assert not re.search(r"item <\d", page)


def test_notebook_shows_the_page_without_its_frame(judged):
    fragment = judged._repr_html_()
    parsed(fragment)
    assert "<html" not in fragment
    assert fragment in judged.to_html()
    # Its style must not reach other cells.
    style = re.search(r"<style>(.*?)</style>", fragment, re.DOTALL)[1]
    selectors = re.findall(r"([^{}]+)\{", re.sub(r"@(?:media|container)[^{]*\{", "", style))
    for selector in selectors:
        assert all(part.strip().startswith(".rqvae-report") for part in selector.split(","))


def test_report_twice_is_the_same_page(X, quantizer):
    pages = [report(quantizer, X, compare_rivals=False).to_html() for _ in range(2)]
    assert pages[0] == pages[1]


def test_without_matplotlib_the_page_says_which_extra_is_missing(X, quantizer, monkeypatch):
    made = report(quantizer, X, compare_rivals=False)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    page = made.to_html()
    assert "sklearn-rqvae[plot]" in page
    assert parsed(page).alts == []
    assert "Findings" in page
    with pytest.raises(ImportError, match=r"sklearn-rqvae\[plot\]"):
        made.pictures()


def test_making_and_printing_a_report_draws_nothing(X, quantizer, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    made = report(quantizer, X, compare_rivals=False)
    assert str(made)
    assert made.to_dict()


def test_pictures_leave_no_figure_open(X, quantizer):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    pictures = report(quantizer, X, compare_rivals=False).pictures()
    assert plt.get_fignums() == before
    assert [picture.key for picture in pictures] == ["usage", "collisions", "residuals", "map"]
    assert all(picture.data.startswith((b"<?xml", b"\x89PNG")) for picture in pictures)


def test_training_is_drawn_where_there_was_one(X):
    network = RQVAETransformer(
        n_layers=2, codebook_size=4, codebook_mode="STE", hidden_dims=[8], max_epochs=3,
        random_state=0,
    ).fit(X)  # fmt: skip
    keys = [picture.key for picture in report(network, X, compare_rivals=False).pictures()]
    assert "training" in keys


def test_pipeline_on_texts_is_judged_by_its_vectors():
    pipeline = Pipeline([
        ("emb", TextEmbedder(n_components=8, random_state=0)),
        ("rq", ResidualKMeans(n_layers=2, codebook_size=4, random_state=0)),
    ]).fit(TEXTS)  # fmt: skip
    made = report(pipeline, TEXTS, n_neighbors=5)
    assert made.overall.n_items == len(TEXTS)
    assert made.overall.n_features == 8
    assert made.comparison.refitted
    assert any(name in TEXTS for sample in made.samples for name in [sample.name])
    assert any(picture.key == "tree" for picture in made.pictures())


def test_names_and_texts_are_columns_of_a_table_in_the_order_of_rows(X, quantizer):
    # A shuffled index changes nothing, and what is missing has no name of its own.
    names = pd.Series([f"item <{i}> & co" for i in range(len(X))], index=range(len(X), 0, -1))
    judge = partial(report, quantizer, X, compare_rivals=False)
    made = judge(names=names, texts=names)
    assert made.samples == judge(names=names.tolist()).samples
    nameless = judge(names=pd.Series([None, *names[1:]], dtype="string"))
    shown = [name for sample in nameless.samples for group in sample.groups for name in group.names]
    assert "<NA>" not in shown
    texts = pd.Series([None, *TEXTS[1:]])
    pipeline = Pipeline([
        ("emb", TextEmbedder(n_components=8, random_state=0)),
        ("rq", ResidualKMeans(n_layers=2, codebook_size=4, random_state=0)),
    ]).fit(texts)  # fmt: skip
    made = report(pipeline, texts, n_neighbors=5, compare_rivals=False)
    assert all(sample.name in ("row 0", *TEXTS) for sample in made.samples)


def test_a_page_takes_the_place_of_an_old_one_when_it_is_complete(judged, tmp_path):
    page = tmp_path / "report.html"
    page.write_text("old")
    link = tmp_path / "link.html"
    link.hardlink_to(page)
    made = judged.to_html(page)
    assert page.read_text(encoding="utf-8") == made
    assert link.read_text() == "old"  # not written to, but replaced


def test_a_search_is_judged_by_its_best(X):
    search = GridSearchCV(
        ResidualKMeans(n_layers=2, random_state=0), {"codebook_size": [2, 4]}, cv=2
    ).fit(X)
    assert report(search, X, compare_rivals=False).levels[0].codebook_size == 4


def test_given_training_rows_judge_this_very_estimator(X):
    fitted = ResidualKMeans(n_layers=3, codebook_size=4, random_state=0).fit(X[:300])
    made = report(fitted, X, X_train=X[:300])
    assert not made.comparison.refitted
    assert made.comparison.n_train == 300
    assert made.comparison.n_held_out == 90
    assert "fitted on the same 300 training rows" in made.method


def test_samples_share_what_they_say(judged, X, quantizer):
    codes = quantizer.transform(X)
    assert len(judged.samples) == 4
    assert len({sample.semantic_id[0] for sample in judged.samples}) == 4
    for sample in judged.samples:
        for group in sample.groups:
            length = len(group.prefix)
            assert group.prefix == sample.semantic_id[:length]
            for name in group.names:
                row = int(re.search(r"<(\d+)>", name)[1])
                assert codes[row, :length].tolist() == group.prefix
                assert codes[row, : length + 1].tolist() != sample.semantic_id[: length + 1] or (
                    length == 3
                )
    sizes = metrics.prefix_group_sizes(codes)[-1]
    assert all(1 < group.n_items <= sizes.max() for group in judged.collisions)
    assert all(group.n_distinct_rows <= group.n_items for group in judged.collisions)


def test_one_level_and_ids_without_company_are_no_error():
    rows = np.arange(30, dtype=np.float32)[:, None] ** 1.5
    lonely = ResidualKMeans(n_layers=1, codebook_size=30, random_state=0).fit(rows)
    made = report(lonely, rows)
    assert made.samples == []
    assert made.collisions == []
    parsed(made.to_html())
    assert str(made)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"names": ["a"]}, "names has 1 entries but X has 400 rows"),
        ({"texts": ["a"]}, "texts has 1 entries"),
        ({"names": pd.DataFrame({"a": range(400)})}, "one column, not a table; .* its columns"),
        ({"labels": [1, 2]}, "labels"),
        ({"n_neighbors": 400}, "n_neighbors=400"),
        ({"max_rows": 10}, "max_rows=10"),
    ],
)
def test_bad_arguments_are_named(X, quantizer, given, message):
    with pytest.raises(ValueError, match=message):
        report(quantizer, X, **({"compare_rivals": False} | given))


def test_equal_rows_are_refused(quantizer, X):
    with pytest.raises(ValueError, match="are all equal"):
        report(quantizer, np.repeat(X[:1], 30, axis=0), compare_rivals=False)


def test_command_line_writes_the_page_and_the_full_text(tmp_path, X, capsys):
    from sklearn_rqvae._cli._main import main

    np.save(tmp_path / "x.npy", X)
    model = str(tmp_path / "m.joblib")
    items = str(tmp_path / "x.npy")
    fit = ["fit", items, "--out", model, "--method", "kmeans", "--n-layers", "2"]
    assert main([*fit, "--codebook-size", "4"]) == 0
    capsys.readouterr()
    page = tmp_path / "report.html"
    assert main(["report", model, items, "--html", str(page), "--no-compare"]) == 0
    assert capsys.readouterr().out.startswith(f"Wrote {page}. Not judged")
    assert parsed(page.read_text(encoding="utf-8")).alts
    assert main(["report", model, items, "--full", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["comparison"]["refitted"]
    assert main(["report", model, items, "--full", "--no-compare"]) == 0
    assert "Findings" in capsys.readouterr().out
    assert main(["report", model, items, "--full", "--label", "kind"]) == 1
    assert "--name and --label name columns of tables" in capsys.readouterr().err


def test_command_line_reads_names_and_labels(tmp_path, capsys):
    from sklearn_rqvae._cli._main import main

    lines = [json.dumps({"title": text, "kind": text.split()[1]}) for text in TEXTS]
    (tmp_path / "items.jsonl").write_text("\n".join(lines))
    model, items = str(tmp_path / "m.joblib"), str(tmp_path / "items.jsonl")
    fit = ["fit", items, "--text", "title", "--out", model, "--method", "kmeans"]
    assert main([*fit, "--n-layers", "2", "--codebook-size", "4", "--n-components", "8"]) == 0
    capsys.readouterr()
    assert (
        main(["report", model, items, "--full", "--json", "--label", "kind", "--no-compare"]) == 0
    )
    values = json.loads(capsys.readouterr().out)
    assert values["levels"][0]["purity"] > 0
    assert values["samples"][0]["name"] in TEXTS


def test_labels_are_judged_as_they_come(X, quantizer):
    # 1 and "1" are two labels, and what has none is named before the work.
    labels = [1, "1"] * (len(X) // 2) + [1] * (len(X) % 2)
    judged = report(quantizer, X, labels=labels, compare_rivals=False)
    expected = metrics.prefix_purity(quantizer.transform(X), np.arange(len(X)) % 2)
    assert [level.purity for level in judged.levels] == expected.tolist()
    with pytest.raises(ValueError, match="labels should not hold None or NaN"):
        report(quantizer, X, labels=["a", np.nan] * (len(X) // 2), compare_rivals=False)
