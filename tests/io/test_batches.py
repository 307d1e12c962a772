"""A stream of batches gives the codes of its rows."""

import numpy as np
import pytest

from sklearn_rqvae import ResidualKMeans
from sklearn_rqvae.io import transform_batches

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
model = ResidualKMeans(2, 4, random_state=0).fit(X)


def test_batches_of_arrays_are_read_one_by_one():
    read = []

    def batches():
        for start in (0, 20, 40):
            read.append(start)
            yield X[start : start + 20]

    stream = transform_batches(model, batches())
    first = next(stream)
    assert read == [0]
    np.testing.assert_array_equal(np.concatenate([first, *stream]), model.transform(X))


@pytest.mark.parametrize("kind", ["RecordBatch", "Table"])
@pytest.mark.parametrize("id_column", ["id", None])
def test_arrow_batches_stay_arrow(kind, id_column):
    pa = pytest.importorskip("pyarrow")
    columns = [pa.array(range(60)), pa.array(X.tolist(), type=pa.list_(pa.float32()))]
    batch = getattr(pa, kind).from_arrays(columns, names=["id", "v"])
    (found,) = transform_batches(model, [batch], id_column=id_column, vector_column="v")
    assert isinstance(found, getattr(pa, kind))
    expected = {"id": list(range(60))} if id_column else {}
    assert found.to_pydict() == {**expected, "semantic_id": model.transform(X).tolist()}


def test_missing_columns_are_named():
    pa = pytest.importorskip("pyarrow")
    batch = pa.table({"id": [1], "v": [[1.0]]})
    with pytest.raises(ValueError, match="batch 0 has no column 'w' or 'w_0'; it has 'id', 'v'"):
        list(transform_batches(model, [batch], vector_column="w"))
