"""What the report says of histories is what the metrics say."""

import json

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from sklearn_rqvae import metrics
from sklearn_rqvae.report import report


@pytest.fixture(scope="module")
def histories():
    rng = np.random.default_rng(0)
    return [[f"i{item}" for item in rng.integers(0, 400, 6)] for _ in range(60)]


IDS = [f"i{item}" for item in range(400)]


def test_numbers_are_those_of_the_metrics(X, quantizer, histories):
    codes, labels = quantizer.transform(X), np.arange(400) % 3
    judged = report(
        quantizer, X, histories=histories, item_ids=IDS, labels=labels, compare_rivals=False
    )
    found = judged.behavior
    together = metrics.cooccurrence_lift(codes, histories, item_ids=IDS)
    following = metrics.consecutive_sharing(codes, histories, item_ids=IDS)
    load = metrics.popularity_load(codes, histories, item_ids=IDS)
    assert [prefix.together for prefix in found.prefixes] == together.share.tolist()
    assert [prefix.lift for prefix in found.prefixes] == together.lift.tolist()
    assert [prefix.consecutive for prefix in found.prefixes] == following.share.tolist()
    assert [prefix.load_tail for prefix in found.prefixes] == load[2].tolist()
    as_codes = metrics.cooccurrence_lift(labels[:, None], histories, item_ids=IDS)
    assert found.label_lift == as_codes.lift[0]
    assert 0.5 < found.prefixes[0].dealt_lift < 1.5
    decoded = quantizer.inverse_transform(codes)
    expected = metrics.next_item_recall(decoded, histories, item_ids=IDS, random_state=0)
    assert found.next_item_recall == expected
    assert found.chance_recall == 10 / 399


def test_all_forms_of_the_report_show_it(X, quantizer, histories):
    judged = report(quantizer, X, histories=histories, item_ids=IDS, compare_rivals=False)
    values = json.loads(json.dumps(judged.to_dict(), allow_nan=False))
    assert [prefix["length"] for prefix in values["behavior"]["prefixes"]] == [1, 2, 3]
    assert "Behavior\n--------" in str(judged)
    assert "360 interactions of 60 users" in " ".join(str(judged).split())
    assert "<h2>Behavior</h2>" in judged.to_html()
    without = report(quantizer, X, compare_rivals=False)
    assert without.to_dict()["behavior"] is None
    assert "Behavior" not in str(without)
    assert "Behavior" not in without.to_html()


def test_what_needs_order_is_left_out_without_it(X, quantizer):
    matrix = csr_matrix(([1, 1, 1], ([0, 0, 1], [1, 2, 3])), shape=(2, 400))
    judged = report(quantizer, X, histories=matrix, compare_rivals=False)
    assert judged.behavior.next_item_recall is None
    assert judged.behavior.prefixes[0].consecutive is None
    assert "touched next is among" not in str(judged)


def test_wrong_histories_are_refused(X, quantizer, histories):
    with pytest.raises(ValueError, match="without a row, such as 'i1"):
        report(quantizer, X, histories=[["i1", "i2"]], compare_rivals=False)
    with pytest.raises(ValueError, match="item_ids names the items of histories"):
        report(quantizer, X, item_ids=IDS, compare_rivals=False)
    with pytest.raises(ValueError, match="labels has 2"):
        report(quantizer, X, histories=histories, item_ids=IDS, labels=[0, 1])
