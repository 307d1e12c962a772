"""Write one small file of every kind that the package saves, and what each should give.

Run it with the version whose files are to stay readable, into a folder of that version's name:
``python tests/old_files/make.py tests/old_files/0.1.0``.
"""

import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
import torch
from sklearn.pipeline import Pipeline

from sklearn_rqvae import ResidualKMeans, RQVAETransformer, SemanticIDIndex, TextEmbedder
from sklearn_rqvae._cli import main

COLORS, THINGS = ("red", "blue", "green"), ("lamp", "cup", "tea")
TEXTS = [f"{color} {thing}" for color in COLORS for thing in THINGS]


def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    X = rows()
    sizes = {"n_layers": 2, "codebook_size": 4, "random_state": 0}
    closed = RQVAETransformer(**sizes).fit(X)
    trained = RQVAETransformer(
        codebook_mode="STE", max_epochs=2, hidden_dims=(5,), embed_dim=4, **sizes
    ).fit(X)
    kmeans = ResidualKMeans(**sizes).fit(X)
    stream = RQVAETransformer(**sizes).partial_fit(X[:40])
    texts = Pipeline(
        [("emb", TextEmbedder(n_components=4, random_state=0)), ("rq", RQVAETransformer(**sizes))]
    ).fit(TEXTS)
    expected = {"texts": texts.transform(TEXTS)}
    for name, model in (("closed", closed), ("trained", trained), ("kmeans", kmeans)):
        model.save(folder / f"{name}.model")
        joblib.dump(model, folder / f"{name}.joblib")
        expected[name] = model.transform(X)
        expected[f"{name}_rows"] = model.inverse_transform(expected[name])
    joblib.dump(stream, folder / "stream.joblib")
    expected["stream_continued"] = stream.partial_fit(X[40:]).transform(X)
    joblib.dump(texts, folder / "texts.joblib")
    names = [f"item {i * 7 % 60}" for i in range(60)]
    index = SemanticIDIndex.from_estimator(closed, X, names)
    index.save(folder / "suffix.catalog")
    joblib.dump(index, folder / "suffix.joblib")
    joblib.dump(index.trie(), folder / "trie.joblib")
    moved = SemanticIDIndex.from_estimator(closed, X[:12], collisions="reassign")
    moved.save(folder / "reassign.catalog")
    expected["suffix_ids"], expected["reassign_ids"] = index.ids_, moved.ids_
    module = trained.net_
    module.save_checkpoint(folder / "module.pt")
    torch.save(module, folder / "module_whole.pt")
    with torch.no_grad():
        expected["module"] = module.get_semantic_ids(torch.from_numpy(X)).numpy()
    np.save(folder / "rows.npy", X)
    main(["fit", str(folder / "rows.npy"), "--out", str(folder / "command_line.model"),
          "--n-layers", "2", "--codebook-size", "4"])  # fmt: skip
    expected["command_line"] = joblib.load(folder / "command_line.model")["pipeline"].transform(X)
    (folder / "rows.npy").unlink()
    np.savez(folder / "expected.npz", **expected)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    write(Path(sys.argv[1]))
