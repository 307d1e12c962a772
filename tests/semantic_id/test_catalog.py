"""What can be asked of a catalog, against a dictionary."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae.semantic_id import SemanticIDIndex
from tests.semantic_id.test_index import CROWD, HOSTILE, SIZES, as_dict, build, catalogs


@given(catalogs(), st.sampled_from(["suffix", "reassign", "none"]))
@example(CROWD, "reassign")
@example(dict.fromkeys(HOSTILE, (2, 3, 1)), "none")
def test_lookups_equal_dictionary(catalog, collisions):
    index = build(catalog, collisions)
    truth = as_dict(index)
    assert len(index) == len(catalog)
    assert index.ids_.shape == (len(catalog), index.width)
    np.testing.assert_array_equal(index.ids_of(list(truth)), list(truth.values()))
    for item, semantic_id in truth.items():
        assert item in index
        assert index[item] == semantic_id
        owners = sorted(other for other in truth if truth[other] == semantic_id)
        assert sorted(index.items(semantic_id).tolist()) == owners
        if len(owners) == 1:
            assert index.item(semantic_id) == item
        else:
            with pytest.raises(KeyError, match="share"):
                index.item(semantic_id)
    prefixes = {semantic_id[:depth] for semantic_id in truth.values() for depth in range(5)}
    for prefix in prefixes | {(2, 3), (0,), (2, 3, 1)}:
        depth = len(prefix)
        under = [item for item in truth if truth[item][:depth] == prefix]
        assert sorted(index.items(prefix).tolist()) == sorted(under)
        following = {truth[item][depth] for item in under if depth < index.width}
        assert index.children(prefix).tolist() == sorted(following)
        assert index.capacity(prefix).n_items == len(under)
    for depth in range(1, index.width + 1):
        used, counts = index.prefix_counts(depth)
        expected = {}
        for semantic_id in truth.values():
            expected[semantic_id[:depth]] = expected.get(semantic_id[:depth], 0) + 1
        assert dict(zip(map(tuple, used.tolist()), counts.tolist(), strict=True)) == expected


@given(catalogs(max_size=14), st.sampled_from(["suffix", "reassign"]))
@example(CROWD, "reassign")
def test_every_path_of_children_ends_in_one_item(catalog, collisions):
    index = build(catalog, collisions)
    ends = []

    def walk(prefix):
        codes = index.children(prefix)
        if len(prefix) == index.width:
            ends.append(index.item(prefix))
        else:
            assert len(codes)
            for code in codes.tolist():
                walk((*prefix, code))

    walk(())
    assert sorted(ends) == sorted(catalog)


@given(catalogs(min_size=2))
@example({0: (1, 1, 1), 1: (1, 1, 1), 2: (0, 1, 1), 3: (1, 1, 0), 4: (1, 0, 1), 5: (2, 1, 1)})
def test_prefix_neighbors_are_sorted_by_shared_prefix(catalog):
    index = build(catalog, "suffix")
    truth = as_dict(index)

    def shared(a, b):
        return next((k for k in range(4) if truth[a][k] != truth[b][k]), 4)

    item = next(iter(truth))
    with pytest.raises(ValueError, match="n_neighbors=0"):
        index.prefix_neighbors(item, 0)
    everyone, n_shared = index.prefix_neighbors(item, 100)
    assert sorted(everyone.tolist()) == sorted(set(truth) - {item})
    assert n_shared.tolist() == [shared(item, other) for other in everyone.tolist()]
    assert (np.diff(n_shared) <= 0).all()
    few, _ = index.prefix_neighbors(item, 1)
    assert few.tolist() == everyone[:1].tolist()


@given(catalogs(min_size=1))
@example({7: (0, 0, 0)})
@example(CROWD)
def test_decoded_neighbors_are_sorted_by_distance(catalog):
    rng = np.random.default_rng(0)
    books = [rng.normal(size=(size, 3)) for size in SIZES]
    index = build(catalog, "suffix", codebooks=books)
    vectors = {
        item: sum(book[code] for book, code in zip(books, codes, strict=True))
        for item, codes in catalog.items()
    }
    item = next(iter(catalog))
    distance = {
        other: np.linalg.norm(vectors[other] - vectors[item]) for other in catalog if other != item
    }
    found, found_distance = index.decoded_neighbors(item, 5)
    assert len(set(found.tolist())) == min(5, len(distance))
    np.testing.assert_allclose(found_distance, sorted(distance.values())[:5], atol=1e-12)
    np.testing.assert_allclose([distance[o] for o in found.tolist()], found_distance, atol=1e-12)


def test_decoded_neighbors_without_codebooks_take_a_decoder():
    index = SemanticIDIndex().fit([[0], [5], [4]], list("abc"))
    with pytest.raises(ValueError, match=r"decode=estimator\.inverse_transform"):
        index.decoded_neighbors("a")
    found, distance = index.decoded_neighbors("a", decode=lambda codes: codes.astype(float))
    assert found.tolist() == ["c", "b"]
    assert distance.tolist() == [4.0, 5.0]


@pytest.mark.parametrize("depth", [0, 3, 1.5, "1", None])
def test_prefixes_are_counted_at_a_level(depth):
    with pytest.raises(ValueError, match="should be an integer in"):
        SemanticIDIndex().fit([[0], [1]]).prefix_counts(depth)


def test_lookups_of_what_is_not_there():
    index = SemanticIDIndex().fit([[0], [1]], ["a", "b"])
    assert "c" not in index
    assert 0 not in index
    for missing in ("c", 0):
        with pytest.raises(KeyError):
            index[missing]
        with pytest.raises(KeyError):
            index.ids_of([missing])
    with pytest.raises(KeyError, match="no item"):
        index.item((1, 1))
    with pytest.raises(KeyError, match="see items"):
        index.item((1,))
    with pytest.raises(ValueError, match=r"\[0, 2\)"):
        index.items((2,))
    with pytest.raises(ValueError, match="has 3 codes"):
        index.items((0, 0, 0))
    with pytest.raises(TypeError, match="sequence of codes"):
        index.items(0)
    with pytest.raises(TypeError, match="integers, those in the index are strings"):
        index.append([[0]], [3], grow=True)
    with pytest.raises(ValueError, match="is empty; call fit"):
        len(SemanticIDIndex())


def test_bytes_per_item():
    # The sum that the class documents: packed ID 8, item id 4, two orders 4 each.
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, size=(5000, 4))
    assert SemanticIDIndex().fit(codes, rng.permutation(5000)).nbytes == 20 * 5000
    assert SemanticIDIndex().fit(codes).nbytes == 16 * 5000
    assert SemanticIDIndex().fit(codes, rng.permutation(5000) + 2**40).nbytes == 24 * 5000


def test_a_catalog_is_gone_through_by_item():
    # As a sequence it would be asked for the items 0, 1, ..., whatever its items are called.
    index = SemanticIDIndex().fit([[3, 1], [0, 2]], ["tea", "pen"])
    assert list(index) == ["tea", "pen"]
    assert dict(zip(index, index.ids_.tolist(), strict=True))["pen"] == list(index["pen"])
    assert list(SemanticIDIndex().fit([[0], [1]], [1, 0])) == [1, 0]
