"""Equal content has one name, on every machine; other content another one."""

import os
import subprocess
import sys

import numpy as np
import pytest

from sklearn_rqvae._files._fingerprint import content_hash

CONTENT = {"b": [1, 2.5, None, True], "a": np.arange(6, dtype="<f4").reshape(2, 3), "c": ("x", "ü")}
DIGEST = "603d31caa7958355a2e89a396f6e43ee8e7ea346471aec54dc1ffe4f42870d88"


def test_the_name_of_some_content_is_that_of_every_machine():
    assert content_hash(CONTENT) == DIGEST


def test_the_name_is_the_same_in_processes_that_hash_otherwise():
    code = (
        "from sklearn_rqvae._files._fingerprint import content_hash; "
        "print(content_hash({'b': 1, 'a': ['x', 'y']}))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert found == {content_hash({"b": 1, "a": ["x", "y"]}) + "\n"}


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([1, 2], (1, 2)),
        (np.arange(3.0), np.arange(3.0).astype(">f8")),
        (np.ones((2, 3)), np.asfortranarray(np.ones((2, 3)))),
        (np.arange(6.0)[::2], np.array([0.0, 2.0, 4.0])),
        (np.float64(2.5), 2.5),
        (np.array(["a", "bc"], object), np.array(["a", "bc"], np.dtypes.StringDType())),
    ],
)
def test_how_content_lies_in_memory_does_not_count(one, same):
    assert content_hash(one) == content_hash(same)


def test_different_content_has_different_names():
    contents = [
        *(None, 0, 1, True, 1.0, "1", "", [], {}, [[]], [1, 2], [12], ["1", "2"], ["12"]),
        *(np.zeros(0), np.zeros((0, 2)), np.array(1.0), np.ones(1), np.ones((1, 1))),
        *(np.ones(1, np.float32), np.ones(4, np.uint8), np.array([b"a"]), {"a": 1}, [["a", 1]]),
        *(float("nan"), float("inf"), -0.0, 0.0, np.array([-0.0]), np.array(["a"], object)),
    ]
    assert len({content_hash(content) for content in contents}) == len(contents)


def test_what_has_no_content_is_refused():
    with pytest.raises(TypeError, match="has no content"):
        content_hash([object()])
