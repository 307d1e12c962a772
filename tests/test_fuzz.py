"""A damaged file loads as it was written, or as an error of the documented type that names it.

Each format is saved once and then damaged many times: bits flipped, the end cut off, blocks zeroed,
blocks exchanged. Run with ``-m slow -s`` to see the counts.
"""

from __future__ import annotations

import signal
import threading
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from sklearn_rqvae import ResidualKMeans, RQVAETransformer, SemanticIDIndex
from sklearn_rqvae._cli import main
from sklearn_rqvae._cli._model import load_model
from sklearn_rqvae.exceptions import CheckpointError
from sklearn_rqvae.nn import RqVae, convert_checkpoint

pytestmark = pytest.mark.slow

N_OF_EACH_DAMAGE = 150
SECONDS_OF_ONE_LOAD = 20  # far more than any takes; one that hangs is stopped
SIZES = {"n_layers": 3, "codebook_size": 6, "random_state": 0}


class SavedFormat(NamedTuple):
    """One way to save: how a file is written and read, what it tells, what it may raise."""

    write: Callable[[Path], Any]
    load: Callable[[Path], Any]
    content: Callable[[Any], dict[str, Any]] | None  # None: nothing is promised of it
    error: type[Exception]
    has_checksums: bool


def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)


def of_estimator(model: Any) -> dict[str, Any]:
    codes = model.transform(rows())
    plain = {name: repr(value) for name, value in model.get_params(deep=False).items()}
    return {**plain, "codes": codes, "vectors": model.inverse_transform(codes)}


def of_module(module: RqVae) -> dict[str, Any]:
    with torch.no_grad():
        codes = module.eval().get_semantic_ids(torch.from_numpy(rows()))
    return {**{name: tensor.numpy() for name, tensor in module.state_dict().items()}, "c": codes}


def of_index(index: SemanticIDIndex) -> dict[str, Any]:
    plain = {name: repr(value) for name, value in index.get_params(deep=False).items()}
    report = repr(index.report_)
    return {**plain, "ids": index.ids_, "items": index.item_ids_.tolist(), "report": report}


def estimator(model: Any, *, loads: Callable[[Path], Any] | None = None) -> SavedFormat:
    def write(path):
        model.fit(rows()).save(path)

    return SavedFormat(write, loads or type(model).load, of_estimator, CheckpointError, True)


def trained(**params: Any) -> RQVAETransformer:
    return RQVAETransformer(
        codebook_mode="STE", max_epochs=2, hidden_dims=(5,), embed_dim=4, **SIZES, **params
    )


def catalog(**params: Any) -> SemanticIDIndex:
    names = [f"item number {i * 7 % 60}" for i in range(60)]
    model = ResidualKMeans(**SIZES).fit(rows())
    index = SemanticIDIndex.from_estimator(model, rows(), names, **params)
    index.remove(names[:5])
    return index


def exported(format: str) -> SavedFormat:
    return SavedFormat(
        lambda path: catalog().export(path, format),
        lambda path: SemanticIDIndex.read(path, format),
        of_index,
        ValueError,
        has_checksums=format == "parquet",  # and a digest beside those of its pages
    )


def write_foreign_weights(path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = {"encoder": [(5, 6), (4, 5)], "decoder": [(5, 4), (6, 5)]}
    weights = {
        f"{part}.mlp_layers.{3 * place + 1}.{kind}": torch.randn(size, generator=generator)
        for part, layers in shapes.items()
        for place, shape in enumerate(layers)
        for kind, size in (("weight", shape), ("bias", shape[:1]))
    }
    for level in range(2):
        codebook = torch.randn(6, 4, generator=generator)
        weights[f"rq.vq_layers.{level}.embedding.weight"] = codebook
    torch.save(weights, path)


def write_model_of_command_line(path: Path) -> None:
    np.save(path.with_suffix(".npy"), rows())
    place = [str(path.with_suffix(".npy")), "--out", str(path)]
    main(["fit", *place, "--n-layers", "3", "--codebook-size", "6"])


FORMATS = {
    "closed form": estimator(RQVAETransformer(**SIZES)),
    "trained": estimator(trained()),
    "k-means": estimator(ResidualKMeans(**SIZES)),
    "catalog with suffixes": SavedFormat(
        lambda path: catalog().save(path), SemanticIDIndex.load, of_index, CheckpointError, True
    ),
    "catalog with moved items": SavedFormat(
        lambda path: catalog(collisions="reassign").save(path),
        SemanticIDIndex.load,
        of_index,
        CheckpointError,
        True,
    ),
    "torch checkpoint": SavedFormat(
        lambda path: trained().fit(rows()).net_.save_checkpoint(path),
        RqVae.load_from_checkpoint,
        of_module,
        CheckpointError,
        True,
    ),
    "weights of other packages": SavedFormat(
        write_foreign_weights, convert_checkpoint, of_module, CheckpointError, True
    ),
    "command line, saved by Python": estimator(
        RQVAETransformer(**SIZES), loads=lambda path: load_model(str(path))["pipeline"]
    ),
    # A pickle, for files that one trusts: only what it raises is promised.
    "command line": SavedFormat(
        write_model_of_command_line,
        lambda path: load_model(str(path)),
        None,
        ValueError,
        False,
    ),
    **{
        f"ids as {format}": exported(format)
        for format in ("index.json", "flashrec", "npy", "parquet", "csv", "jsonl")
    },
}


def flip_bits(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(1, 5)):
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))


def cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(len(data))) :]


def zero_a_block(data: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(len(data)))
    data[start : start + 64] = bytes(len(data[start : start + 64]))


def exchange_blocks(data: bytearray, rng: np.random.Generator) -> None:
    size = int(rng.integers(1, max(2, min(64, len(data) // 4))))
    first, second = np.sort(rng.choice(len(data) // size, 2, replace=False)) * size
    one, other = bytes(data[first : first + size]), bytes(data[second : second + size])
    data[first : first + size], data[second : second + size] = other, one


DAMAGES = (flip_bits, cut, zero_a_block, exchange_blocks)


@contextmanager
def stopped_after(seconds: float) -> Iterator[None]:
    """Raise in the block if it hangs; where there are no alarms, let it."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_):
        raise AssertionError(f"a load took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def equal(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    return found.keys() == expected.keys() and all(
        np.array_equal(np.asarray(found[name]), np.asarray(value))
        for name, value in expected.items()
    )


def outcome(saved: SavedFormat, path: Path, expected: dict[str, Any]) -> str:
    """Say what loading a damaged file gave."""
    try:
        with stopped_after(SECONDS_OF_ONE_LOAD):
            loaded = saved.load(path)
    except saved.error as error:
        return "error" if path.name in str(error) else f"error without the file's name: {error}"
    except AssertionError:
        raise
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if saved.content is None:
        return "loaded"
    try:
        return "equal" if equal(saved.content(loaded), expected) else "other content"
    except Exception as error:
        return f"loads, then {type(error).__name__}: {error}"


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.filterwarnings("ignore")
def test_damage_is_an_error_of_the_documented_type_or_does_not_matter(name, tmp_path, capsys):
    saved, path = FORMATS[name], tmp_path / "a file"
    if "parquet" in name:
        pytest.importorskip("pyarrow")
    saved.write(path)
    whole, loaded = path.read_bytes(), saved.load(path)
    expected = saved.content(loaded) if saved.content else {}
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    counts: Counter[str] = Counter()
    allowed = {"error", "equal", *(() if saved.has_checksums else ("other content", "loaded"))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for damage in DAMAGES:
            for _ in range(N_OF_EACH_DAMAGE):
                data = bytearray(whole)
                damage(data, rng)
                path.write_bytes(data)
                counts[f"{damage.__name__}: {outcome(saved, path, expected)}"] += 1
    total: Counter[str] = Counter()
    for key, number in counts.items():
        total[key.split(": ", 1)[1]] += number
    told = ", ".join(f"{number} {key}" for key, number in sorted(total.items()) if key in allowed)
    with capsys.disabled():
        print(f"\n{name}, {counts.total()} damaged files of {len(whole)} bytes: {told}")
    wrong = {key: number for key, number in counts.items() if key.split(": ", 1)[1] not in allowed}
    assert not wrong
