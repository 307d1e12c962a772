"""A catalog comes back from its file, and a file whose parts don't fit together is damaged."""

import numpy as np
import pytest

from sklearn_rqvae._files._archive import open_archive, write_archive
from sklearn_rqvae.exceptions import CheckpointError
from sklearn_rqvae.semantic_id import SemanticIDIndex

CODEBOOKS = [np.zeros((3, 2), np.float32), np.ones((2, 2), np.float32)]


@pytest.fixture
def saved(tmp_path):
    index = SemanticIDIndex().fit([[0, 1], [2, 1], [2, 1]], ["a", "b", "c"], codebooks=CODEBOOKS)
    index.save(tmp_path / "index")
    return index, tmp_path / "index"


def parts(path):
    with open_archive(path, "an index") as archive:
        return archive.header, {name: archive.read(name) for name in archive.names}


def test_what_was_written_comes_back(saved):
    index, path = saved
    write_archive(path, *parts(path))
    found = SemanticIDIndex.load(path)
    np.testing.assert_array_equal(found.ids_, index.ids_)
    assert found.report_ == index.report_
    assert found.items((2,)).tolist() == ["b", "c"]


@pytest.mark.parametrize("value", [None, "x", [None], {"a": 1}])
def test_a_header_of_other_values_is_damage(saved, value):
    _, path = saved
    header, arrays = parts(path)
    for name in set(header) - {"sizes_given"}:  # a flag, which anything can be taken for
        if (name, value) == ("suffix_size", None):
            continue
        write_archive(path, {**header, name: value}, arrays)
        with pytest.raises(CheckpointError):
            SemanticIDIndex.load(path)


def test_arrays_that_lack_or_do_not_fit_are_damage(saved):
    _, path = saved
    header, arrays = parts(path)
    for name in arrays:
        scalar = {**arrays, name: np.float32(1.5)}
        without = {other: array for other, array in arrays.items() if other != name}
        for some in (scalar, without):
            if "item_order" in some:  # ids in order have none
                write_archive(path, header, some)
                with pytest.raises(CheckpointError):
                    SemanticIDIndex.load(path)
