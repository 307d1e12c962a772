"""P5AmazonItemDataset: which items, which vectors, and what is stored."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sklearn_rqvae.datasets import P5AmazonItemDataset, fetch_amazon_items
from sklearn_rqvae.embedding import TextEmbedder
from sklearn_rqvae.nn import RqVae


class CountingEncoder:
    """Encode a text as its length and its number of spaces; count the texts."""

    def __init__(self):
        self.n_texts = 0

    def encode(self, texts):
        self.n_texts += len(texts)
        return np.array([[len(text), text.count(" ")] for text in texts], dtype=np.float64)


def stored(root):
    return sorted(path.name for path in root.glob("embeddings_*"))


@pytest.mark.filterwarnings("ignore:n_components=768 is more than")
def test_batches_have_the_promised_shape(catalog_root):
    dataset = P5AmazonItemDataset(root=catalog_root, split="beauty", train_test_split="train")
    batch = next(iter(DataLoader(dataset, batch_size=64, shuffle=True)))
    assert batch.shape == (64, 768)
    assert batch.dtype == torch.float32


@pytest.mark.filterwarnings("ignore:n_components=768 is more than")
def test_a_training_loop_runs_on_it(catalog_root):
    model = RqVae(input_dim=768, hidden_dims=[32], embed_dim=8, codebook_size=16, n_layers=2)
    dataset = P5AmazonItemDataset(root=catalog_root, split="beauty", train_test_split="train")
    dataloader = DataLoader(dataset, batch_size=64, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0005)
    losses = []
    for batch in dataloader:
        optimizer.zero_grad()
        outputs = model(batch)
        outputs.loss.backward()
        optimizer.step()
        losses.append(outputs.loss.item())
    assert len(losses) == 2
    assert np.isfinite(losses).all()


@pytest.mark.filterwarnings("ignore:n_components=768 is more than")
def test_train_and_test_part_the_catalog(catalog_root):
    train, test, everything = (
        P5AmazonItemDataset(catalog_root, train_test_split=part)
        for part in ("train", "test", "all")
    )
    catalog = fetch_amazon_items("beauty", root=catalog_root)
    assert everything.item_ids == catalog.item_ids
    assert len(train) + len(test) == len(everything) == 120
    assert test.item_ids == [catalog.item_ids[i] for i in np.flatnonzero(catalog.is_test)]
    row = everything.item_ids.index(test.item_ids[0])
    assert torch.equal(everything[row], test[0])
    assert everything.texts[row] == test.texts[0]


def test_default_vectors_are_those_of_the_text_embedder_fitted_to_train(catalog_root):
    dataset = P5AmazonItemDataset(catalog_root, train_test_split="all", input_dim=16)
    catalog = fetch_amazon_items("beauty", root=catalog_root)
    train = [t for t, is_test in zip(catalog.data, catalog.is_test, strict=True) if not is_test]
    expected = TextEmbedder(n_components=16, random_state=0).fit(train).transform(catalog.data)
    np.testing.assert_array_equal(dataset.embeddings, expected)


def test_vectors_are_padded_with_zeros(catalog_root):
    short = P5AmazonItemDataset(catalog_root, encoder=TextEmbedder(n_components=8, random_state=0))
    assert short.embeddings.shape == (120, 768)
    assert not short.embeddings[:, 8:].any()
    plain = P5AmazonItemDataset(
        catalog_root, encoder=TextEmbedder(n_components=8, random_state=0), input_dim=None
    )
    np.testing.assert_array_equal(plain.embeddings, short.embeddings[:, :8])


def test_vectors_longer_than_input_dim_are_refused(catalog_root):
    with pytest.raises(ValueError, match="have 8 features but input_dim=4; set input_dim=8"):
        P5AmazonItemDataset(catalog_root, encoder=TextEmbedder(n_components=8), input_dim=4)


def test_vectors_are_stored_and_loaded(catalog_root, monkeypatch):
    first = P5AmazonItemDataset(catalog_root, input_dim=16, train_test_split="train")
    assert len(stored(catalog_root)) == 1
    monkeypatch.setattr(TextEmbedder, "fit", None)
    second = P5AmazonItemDataset(catalog_root, input_dim=16, train_test_split="train")
    np.testing.assert_array_equal(first.embeddings, second.embeddings)


def test_what_vectors_depend_on_is_in_their_name(catalog_root):
    P5AmazonItemDataset(catalog_root, input_dim=16)
    P5AmazonItemDataset(catalog_root, input_dim=8)
    P5AmazonItemDataset(catalog_root, input_dim=8, text_fields=["title"])
    P5AmazonItemDataset(
        catalog_root, encoder=TextEmbedder(n_components=8, analyzer="word", random_state=0)
    )
    assert len(stored(catalog_root)) == 4
    # Padding comes after storing.
    P5AmazonItemDataset(catalog_root, encoder=TextEmbedder(n_components=8, random_state=0))
    assert len(stored(catalog_root)) == 4


def test_an_object_is_stored_under_its_name_only(catalog_root):
    encoder = CountingEncoder()
    P5AmazonItemDataset(catalog_root, encoder=encoder)
    assert stored(catalog_root) == []
    P5AmazonItemDataset(catalog_root, encoder=encoder, cache_key="lengths 1")
    assert len(stored(catalog_root)) == 1
    before = encoder.n_texts
    P5AmazonItemDataset(catalog_root, encoder=encoder, cache_key="lengths 1")
    assert encoder.n_texts == before


def test_a_given_transformer_stays_unfitted(catalog_root):
    embedder = TextEmbedder(n_components=8, random_state=0)
    P5AmazonItemDataset(catalog_root, encoder=embedder)
    assert not hasattr(embedder, "encoder_")


def test_damaged_vectors_are_named(catalog_root):
    P5AmazonItemDataset(catalog_root, input_dim=8)
    path = next(catalog_root.glob("embeddings_*"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(OSError, match=f"{path.name} is damaged .* delete it"):
        P5AmazonItemDataset(catalog_root, input_dim=8)


def test_vectors_that_could_not_be_stored_leave_no_file(catalog_root, monkeypatch):
    fetch_amazon_items("beauty", root=catalog_root)
    before = sorted(catalog_root.iterdir())

    def save(file, *args, **kwargs):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "save", save)
    with pytest.raises(OSError, match="disk full"):
        P5AmazonItemDataset(catalog_root, input_dim=8)
    assert sorted(catalog_root.iterdir()) == before


def test_a_part_without_items_is_refused(catalog_root, write_reviews):
    (catalog_root / "reviews_Beauty_5.json.gz").write_bytes(write_reviews([("U1", "B0001", 1)]))
    catalog = fetch_amazon_items("beauty", root=catalog_root)
    empty = "train" if catalog.is_test[0] else "test"
    with pytest.raises(ValueError, match="holds no item of this catalog of 1; use 'all'"):
        P5AmazonItemDataset(catalog_root, train_test_split=empty)


@pytest.mark.filterwarnings("ignore:n_components=768 is more than")
def test_a_tiny_catalog_works(tmp_path, server):
    dataset = P5AmazonItemDataset(tmp_path, base_url=server.url, verbose=0)
    assert dataset.embeddings.shape == (4, 768)
    assert not dataset[3].any()  # the item without a text


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"train_test_split": "valid"}, "should be 'train', 'test' or 'all'"),
        ({"input_dim": 0}, "input_dim=0 should be a positive integer or None"),
    ],
)
def test_unknown_values_are_refused(catalog_root, params, message):
    with pytest.raises(ValueError, match=message):
        P5AmazonItemDataset(catalog_root, **params)
