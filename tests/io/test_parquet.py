"""Directories of Parquet files: nothing lost, nothing doubled, whatever happens on the way."""

import copy
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import joblib
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline

from sklearn_rqvae import ProductQuantizer, ResidualKMeans, RQVAETransformer
from sklearn_rqvae._files._parquet import opened_parquet
from sklearn_rqvae.io import fit_parquet, transform_parquet

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

COLUMNS = {"id_column": "id", "vector_column": "v"}
X = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
IDS = [f"item {number}" for number in range(len(X))]
model = ResidualKMeans(2, 4, random_state=0).fit(X)


def write(path, rows, fixed=False, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    vectors = pa.array(X[rows].tolist(), type=pa.list_(pa.float32(), 4 if fixed else -1))
    pq.write_table(pa.table({"id": IDS[rows], "v": vectors, **more}), path, row_group_size=30)


@pytest.fixture
def src(tmp_path):
    """A directory of three files, one of them a level below."""
    folder = tmp_path / "src"
    write(folder / "a.parquet", slice(0, 100))
    write(folder / "b.parquet", slice(100, 110), fixed=True)
    write(folder / "day=2" / "a.parquet", slice(110, 300))
    (folder / "_SUCCESS").touch()
    (folder / ".hidden.parquet").write_text("not Parquet")
    (folder / "_temporary").mkdir()
    (folder / "_temporary" / "x.parquet").write_text("not Parquet")
    return folder


def files_in(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def assert_complete(dst):
    assert files_in(dst) == ["a.parquet", "b.parquet", "day=2/a.parquet"]
    tables = [pq.ParquetFile(dst / name).read() for name in files_in(dst)]
    assert [len(table) for table in tables] == [100, 10, 190]
    table = pa.concat_tables(tables)
    assert table.column_names == ["id", "semantic_id"]
    assert table["id"].to_pylist() == IDS
    assert table["semantic_id"].to_pylist() == model.transform(X).tolist()


@pytest.mark.parametrize("batch_size", [7, 1000])
def test_each_file_becomes_one_of_the_same_name(src, tmp_path, batch_size):
    done = transform_parquet(model, src, tmp_path / "dst", **COLUMNS, batch_size=batch_size)
    assert done == (3, 300, 0)
    assert_complete(tmp_path / "dst")
    assert transform_parquet(model, src, tmp_path / "dst", **COLUMNS) == (0, 0, 3)


def test_a_single_file_will_do(src, tmp_path):
    dst = tmp_path / "dst"
    assert transform_parquet(model, src / "a.parquet", dst, **COLUMNS) == (1, 100, 0)
    assert files_in(dst) == ["a.parquet"]


def test_what_is_missing_is_written_and_what_changed_is_written_anew(src, tmp_path):
    dst = tmp_path / "dst"
    transform_parquet(model, src, dst, **COLUMNS)
    (dst / "b.parquet").unlink()
    (dst / ".b.parquet.part").write_bytes(b"PAR1 half")
    os.utime(src / "a.parquet", ns=(1, 1))
    assert transform_parquet(model, src, dst, **COLUMNS) == (2, 110, 1)
    assert_complete(dst)


def test_codes_of_two_models_are_not_mixed(src, tmp_path):
    dst = tmp_path / "dst"
    transform_parquet(model, src, dst, **COLUMNS)
    other = ResidualKMeans(2, 4, random_state=1).fit(X)
    with pytest.raises(ValueError, match=r"a.parquet wasn't written with this model; .* directory"):
        transform_parquet(other, src, dst, **COLUMNS)
    assert_complete(dst)
    write(tmp_path / "mine" / "b.parquet", slice(0, 1))
    with pytest.raises(ValueError, match=r"b\.parquet wasn't written with this model"):
        transform_parquet(model, src, tmp_path / "mine", **COLUMNS)
    (dst / "b.parquet").write_text("nonsense")
    with pytest.raises(ValueError, match=r"b\.parquet is no Parquet file"):
        transform_parquet(model, src, dst, **COLUMNS)


@pytest.fixture(scope="module")
def trained():
    """Return a model whose saved state isn't its parameters as given."""
    return RQVAETransformer(
        n_layers=2, codebook_size=np.int64(4), n_beams=np.int64(3), hidden_dims=(8,), embed_dim=3,
        codebook_mode="STE", max_epochs=1, random_state=0,
    ).fit(X)  # fmt: skip


def saved(estimator, folder):
    if isinstance(estimator, Pipeline):  # it has no save; its last step has
        (name, last) = estimator.steps[-1]
        return Pipeline([*estimator.steps[:-1], (name, saved(last, folder))])
    estimator.save(folder / "m")
    return type(estimator).load(folder / "m")


def mapped(estimator, folder):
    joblib.dump(estimator, folder / "m")
    return joblib.load(folder / "m", mmap_mode="r")


def with_other_settings(estimator, folder):
    changed = mapped(estimator, folder)
    names = {"verbose": 1, "device": "cpu", "random_state": 5}
    return changed.set_params(**{k: v for k, v in names.items() if k in changed.get_params()})


@pytest.mark.parametrize("change", [saved, mapped, with_other_settings])
@pytest.mark.parametrize("kind", ["closed form", "gradients", "kmeans", "pipeline"])
def test_the_same_model_goes_on_after_saving_and_changes_that_leave_codes_alone(
    src, tmp_path, trained, kind, change
):
    if kind == "pipeline":
        fitted = make_pipeline(PCA(3), ResidualKMeans(2, 4, random_state=0)).fit(X)
    elif kind == "closed form":
        fitted = RQVAETransformer(n_layers=2, codebook_size=4, random_state=0).fit(X)
    else:
        fitted = trained if kind == "gradients" else model
    dst = tmp_path / "dst"
    transform_parquet(fitted, src, dst, **COLUMNS)
    assert transform_parquet(change(fitted, tmp_path), src, dst, **COLUMNS) == (0, 0, 3)


def test_the_files_name_the_model_that_wrote_them(src, tmp_path):
    dst = tmp_path / "dst"
    transform_parquet(model, src, dst, **COLUMNS)
    metadata = pq.read_schema(next(dst.rglob("*.parquet"))).metadata[b"sklearn_rqvae"]
    assert json.loads(metadata)["model"] == model.fingerprint


def test_a_model_with_other_codes_is_another_model(src, tmp_path, trained):
    greedy = copy.deepcopy(trained).set_params(n_beams=1)
    moved = copy.deepcopy(trained)
    moved.state_["mean"] = moved.state_["mean"] + 1
    steps = make_pipeline(PCA(3), ResidualKMeans(2, 4, random_state=0)).fit(X)
    rotated = copy.deepcopy(steps)
    rotated[0].components_ *= -1
    for number, (first, other) in enumerate(
        [(trained, greedy), (trained, moved), (steps, rotated), (model, trained)]
    ):
        dst = tmp_path / str(number)
        transform_parquet(first, src, dst, **COLUMNS)
        with pytest.raises(ValueError, match="wasn't written with this model"):
            transform_parquet(other, src, dst, **COLUMNS)


@pytest.mark.parametrize(
    ("source", "dst"),
    [
        ("src", "src"),
        ("src", "src/ids"),
        ("src", "src/../src/day=2"),
        ("src/a.parquet", "src"),
        ("src/day=2", "src"),  # src/day=2/day=2/a.parquet would become src/day=2/a.parquet
    ],
)
def test_outputs_among_the_sources_are_refused(src, tmp_path, source, dst):
    write(src / "day=2" / "day=2" / "a.parquet", slice(0, 5))
    before = files_in(src)
    with pytest.raises(ValueError, match=r"would be among the sources .* directory outside it"):
        transform_parquet(model, tmp_path / source, tmp_path / dst, **COLUMNS)
    assert files_in(src) == before


def test_outputs_above_the_sources_are_not_read_next_time(src, tmp_path):
    assert transform_parquet(model, src / "day=2", src.parent, **COLUMNS) == (1, 190, 0)
    assert transform_parquet(model, src / "day=2", src.parent, **COLUMNS) == (0, 0, 1)


def test_ids_in_a_column_of_the_name_of_the_codes_are_refused(tmp_path):
    vectors = pa.array(X[:5].tolist())
    (tmp_path / "src").mkdir()
    pq.write_table(pa.table({"semantic_id": IDS[:5], "v": vectors}), tmp_path / "src/a.parquet")
    with pytest.raises(ValueError, match=r"id_column='semantic_id' is the name .* rename"):
        transform_parquet(
            model, tmp_path / "src", tmp_path / "dst", id_column="semantic_id", vector_column="v"
        )
    assert not (tmp_path / "dst").exists()


def spoiled(path):
    """Overwrite the pages of a file, but not its footer."""
    content = bytearray(path.read_bytes())
    content[4:600] = bytes(596)
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text("no Parquet, but some text"),
        lambda path: path.write_bytes(path.read_bytes()[:-50]),
        spoiled,
    ],
    ids=["text", "cut", "pages"],
)
def test_a_damaged_source_is_named(src, tmp_path, damage):
    damage(src / "day=2" / "a.parquet")
    for call in (
        lambda: transform_parquet(model, src, tmp_path / "dst", **COLUMNS),
        lambda: fit_parquet(ResidualKMeans(2, 4), src, vector_column="v"),
    ):
        with pytest.raises(ValueError, match=r"day=2.a\.parquet is no Parquet file, or is damaged"):
            call()
    assert files_in(tmp_path / "dst") == ["a.parquet", "b.parquet"]


def test_a_file_system_error_stays_one(src, tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"gone\.parquet"),
        opened_parquet(src / "gone.parquet"),
    ):
        pass


def test_a_number_beyond_float32_is_named_by_file_and_row(src, tmp_path):
    rows = X[:80].astype(np.float64)
    rows[70, 2] = -1e39
    table = pa.table({"id": IDS[:80], "v": pa.array(rows.tolist())})
    pq.write_table(table, src / "c.parquet")
    for call in (
        lambda: transform_parquet(model, src, tmp_path / "dst", **COLUMNS, batch_size=50),
        lambda: fit_parquet(ResidualKMeans(2, 4), src, vector_column="v", batch_size=50),
    ):
        with pytest.raises(
            ValueError, match=r"row 70 of .*c\.parquet has -1e\+39 in column 'v', .*float32"
        ):
            call()


def test_a_kill_at_any_time_loses_and_doubles_nothing(src, tmp_path):
    dst = tmp_path / "dst"
    joblib.dump(model, tmp_path / "model.joblib")
    code = """
        import sys, time, joblib
        from sklearn_rqvae import ResidualKMeans
        from sklearn_rqvae.io import transform_parquet
        model, src, dst = sys.argv[1:]
        whole = ResidualKMeans.transform
        def transform(self, X):
            time.sleep(0.02)
            print("batch", flush=True)
            return whole(self, X)
        ResidualKMeans.transform = transform
        transform_parquet(
            joblib.load(model), src, dst, id_column="id", vector_column="v", batch_size=10
        )
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "model.joblib")]
    seen_parts = seen_files = 0
    for n_batches in (3, 13):  # in the first file; then in the third
        with subprocess.Popen([*command, str(src), str(dst)], stdout=subprocess.PIPE) as process:
            for _ in range(n_batches):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        seen_parts += any(name.endswith(".part") for name in files_in(dst))
        seen_files += any(name.endswith(".parquet") for name in files_in(dst))
    assert seen_parts == 2
    assert seen_files == 1
    before = time.time_ns()
    kept = [name for name in files_in(dst) if name.endswith(".parquet")]
    subprocess.run([*command, str(src), str(dst)], check=True, stdout=subprocess.DEVNULL)
    assert_complete(dst)
    assert all((dst / name).stat().st_mtime_ns < before for name in kept)


@pytest.mark.parametrize(
    ("bad", "what"),
    [(None, "no vector"), ([1.0, None, 2.0, 3.0], "a vector with a missing number")],
)
def test_a_missing_vector_is_named_by_file_and_row(src, tmp_path, bad, what):
    rows = [*X[:80].tolist(), bad]
    table = pa.table({"id": range(81), "v": pa.array(rows, type=pa.list_(pa.float32()))})
    pq.write_table(table, src / "c.parquet")
    for call in (
        lambda: transform_parquet(model, src, tmp_path / "dst", **COLUMNS, batch_size=50),
        lambda: fit_parquet(ResidualKMeans(2, 4), src, vector_column="v", batch_size=50),
    ):
        with pytest.raises(ValueError, match=rf"row 80 of .*c\.parquet has {what} in column 'v'"):
            call()
    assert files_in(tmp_path / "dst") == ["a.parquet", "b.parquet"]


def test_wrong_sources_are_named(src, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        transform_parquet(model, tmp_path / "nowhere", tmp_path / "dst", **COLUMNS)
    with pytest.raises(ValueError, match=r"a.parquet has no column 'w' or 'w_0'; it has 'id', 'v'"):
        transform_parquet(model, src, tmp_path / "dst", id_column="id", vector_column="w")
    with pytest.raises(ValueError, match="no column 'sku'"):
        transform_parquet(model, src, tmp_path / "dst", id_column="sku", vector_column="v")
    other = ResidualKMeans(2, 4).fit(X[:, :3])
    with pytest.raises(ValueError, match=r"a.parquet have length 4, but 3 was expected"):
        transform_parquet(other, src, tmp_path / "dst", **COLUMNS)


@pytest.mark.parametrize(
    "estimator",
    [
        RQVAETransformer(n_layers=2, codebook_size=4, random_state=0),
        RQVAETransformer(n_layers=2, codebook_size=4, random_state=0, codebook_mode="STE"),
        ResidualKMeans(2, 4, random_state=0),
        RQVAETransformer(n_layers=2, codebook_size=4, random_state=0, subsample=150),
        ProductQuantizer(2, 4, random_state=0),
        ProductQuantizer(2, 4, random_state=0, subsample=None),
    ],
    ids=["closed form", "gradients", "kmeans", "subsample", "product", "all rows"],
)
@pytest.mark.parametrize("cap", [10**6, 100])
def test_a_fit_to_files_is_that_to_their_rows(src, estimator, cap, monkeypatch):
    monkeypatch.setattr("sklearn_rqvae._learning._rows._CLOSED_FORM_ROWS", cap)
    monkeypatch.setattr("sklearn_rqvae._learning._rows._GRADIENT_FLOATS", cap * 4)
    monkeypatch.setattr("sklearn_rqvae._learning._rows._ROWS_PER_CODEWORD", 1)
    if "max_epochs" in estimator.get_params():
        estimator.set_params(max_epochs=2)
    expected = [codebook.copy() for codebook in estimator.fit(X).codebooks_]
    found = fit_parquet(estimator, src, vector_column="v", batch_size=20)
    assert found is estimator
    for a, b in zip(expected, found.codebooks_, strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_are_a_column(tmp_path):
    weight = np.arange(len(X)) % 4
    write(tmp_path / "a.parquet", slice(0, 300), weight=weight)
    found = fit_parquet(
        ResidualKMeans(2, 4, random_state=0), tmp_path, vector_column="v", weight_column="weight"
    )
    expected = ResidualKMeans(2, 4, random_state=0).fit(X, sample_weight=weight)
    np.testing.assert_array_equal(found.codebooks_[0], expected.codebooks_[0])
    for bad, message in (
        ([*[1.0] * 299, -1.0], "row 299 of .* has the weight -1.0"),
        ([None, *[1.0] * 299], "row 0 of .* has the weight nan"),
        ([0.0] * 300, "all zero"),
    ):
        write(tmp_path / "a.parquet", slice(0, 300), weight=bad)
        with pytest.raises(ValueError, match=message):
            fit_parquet(ResidualKMeans(), tmp_path, vector_column="v", weight_column="weight")


@pytest.mark.parametrize(
    ("weight", "kind"),
    [
        (["1"] * 300, "string"),
        (pa.array([1] * 300, pa.timestamp("s")), "timestamp"),
        ([[1.0]] * 300, "list"),
    ],
)
def test_weights_are_numbers(tmp_path, weight, kind):
    # Texts and times were cast to numbers.
    write(tmp_path / "a.parquet", slice(0, 300), weight=weight)
    with pytest.raises(TypeError, match=f"'weight' of .*a.parquet holds {kind}"):
        fit_parquet(ResidualKMeans(), tmp_path, vector_column="v", weight_column="weight")


def test_files_without_rows_are_nothing_to_fit(tmp_path):
    write(tmp_path / "src" / "a.parquet", slice(0, 0))
    with pytest.raises(ValueError, match="hold no rows"):
        fit_parquet(ResidualKMeans(2, 4), tmp_path / "src", vector_column="v")
    assert transform_parquet(model, tmp_path / "src", tmp_path / "dst", **COLUMNS) == (1, 0, 0)
    with pytest.raises(TypeError, match="not Pipeline"):
        fit_parquet(make_pipeline(PCA(), ResidualKMeans()), tmp_path, vector_column="v")


def test_a_pipeline_can_transform(src, tmp_path):
    pipeline = make_pipeline(PCA(3), ResidualKMeans(2, 4, random_state=0)).fit(X)
    transform_parquet(pipeline, src, tmp_path / "dst", **COLUMNS)
    found = pq.ParquetFile(tmp_path / "dst" / "a.parquet").read()["semantic_id"].to_pylist()
    assert found == pipeline.transform(X[:100]).tolist()
