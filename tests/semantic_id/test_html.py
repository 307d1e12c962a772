"""What notebooks show of a catalog, of reports on it, and the pages that estimators link to."""

import numpy as np
import pytest

import sklearn_rqvae
from sklearn_rqvae import PrefixFeatures, RQVAETransformer, SemanticIDIndex, TextEmbedder
from sklearn_rqvae.embedding import ViewFusion


@pytest.fixture
def index():
    codes = np.stack([np.arange(20) // 4, np.arange(20) % 4], axis=1)
    return SemanticIDIndex().fit(codes, [f"item <{row}>" for row in range(20)])


def test_a_catalog_shows_its_first_items_with_their_ids(index):
    html = index._repr_html_()
    assert "20 items" in html
    assert "item &lt;5&gt;</th><td>1</td><td>1</td><td>0</td>" in html
    assert "item &lt;8&gt;" not in html
    assert "… and 12 more" in html
    assert "<0>" not in html
    assert index._repr_mimebundle_()["text/html"] == html


def test_a_small_catalog_is_shown_whole_and_an_empty_one_says_what_it_is():
    assert "more" not in SemanticIDIndex().fit([[0, 1]], ["a"])._repr_html_()
    assert (
        SemanticIDIndex()._repr_html_()
        == "<pre>SemanticIDIndex(collisions=&#x27;suffix&#x27;)</pre>"
    )


def test_reports_are_shown_as_they_are_printed(index):
    for report in (index.report_, index.drift(index)):
        assert report._repr_html_() == f"<pre>{report}</pre>"
        assert "&" not in str(report)
        assert str(report) in report._repr_html_()


@pytest.mark.parametrize(
    ("estimator", "page"),
    [
        (RQVAETransformer(), "sklearn_rqvae.RQVAETransformer"),
        (TextEmbedder(), "sklearn_rqvae.TextEmbedder"),
        (PrefixFeatures(), "sklearn_rqvae.PrefixFeatures"),
        (ViewFusion({}), "sklearn_rqvae.embedding.ViewFusion"),
    ],
)
def test_estimators_link_to_their_page_of_the_documentation(estimator, page):
    link = estimator._get_doc_link()
    assert link.endswith(f"/generated/{page}.html")
    assert link in estimator._repr_html_()
    home, _, name = page.rpartition(".")
    assert name in (sklearn_rqvae if home == "sklearn_rqvae" else sklearn_rqvae.embedding).__all__


def test_a_class_of_ones_own_has_no_page_here():
    class Mine(TextEmbedder):
        pass

    assert Mine()._get_doc_link() == ""
