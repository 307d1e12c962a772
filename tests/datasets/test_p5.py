"""P5AmazonItemDataset: which items, which vectors, and what is stored."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sklearn_rqvae.datasets import P5AmazonItemDataset, fetch_amazon_items
from sklearn_rqvae.embedding import TextEmbedder
from sklearn_rqvae.nn import QuantizeForwardMode, RqVae


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
def test_the_torch_level_way_of_working_runs_as_written(tmp_path, monkeypatch, write_catalog):
    # From the files of the catalog to semantic IDs, at the sizes and paths of the documentation.
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    write_catalog(tmp_path / "dataset" / "amazon")

    model = RqVae(
        input_dim=768,
        embed_dim=32,
        hidden_dims=[512, 256, 128],
        codebook_size=256,
        codebook_normalize=False,
        codebook_sim_vq=False,
        n_layers=3,
        n_cat_features=0,
        commitment_weight=0.25,
        codebook_mode=QuantizeForwardMode.ROTATION_TRICK,
    )
    dataset = P5AmazonItemDataset(root="dataset/amazon", split="beauty", train_test_split="train")
    dataloader = DataLoader(dataset, batch_size=64, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0005)
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    batch_sizes = []
    for batch in dataloader:
        optimizer.zero_grad()
        outputs = model(batch)
        loss = outputs.loss
        loss.backward()
        optimizer.step()
        batch_sizes.append(len(batch))
        assert torch.isfinite(loss)
    assert batch_sizes == [64, len(dataset) - 64]
    for name, tensor in model.named_parameters():
        assert not torch.equal(tensor, before[name]), name

    item_features = torch.stack([dataset[i] for i in range(50)])
    trained = model.get_semantic_ids(item_features)
    model.save_checkpoint("checkpoint.pt")
    model = RqVae.load_from_checkpoint("checkpoint.pt")
    model.eval()
    semantic_ids = model.get_semantic_ids(item_features)
    assert semantic_ids.shape == (50, 3)
    assert torch.equal(semantic_ids, trained)

    outputs = model(batch)
    assert outputs.reconstruction_loss.shape == ()
    row_by_row = torch.stack([model(row).reconstruction_loss for row in batch.split(1)])
    torch.testing.assert_close(outputs.reconstruction_loss, row_by_row.mean())

    class CustomRqVae(RqVae):
        def compute_loss(self, x, outputs):
            return super().compute_loss(x, outputs) + self.custom_regularization(outputs)

        def custom_regularization(self, outputs):
            return outputs.latent.square().mean()

    custom = CustomRqVae.load_from_checkpoint("checkpoint.pt").eval()
    added = custom(batch).loss - outputs.loss
    torch.testing.assert_close(added, outputs.latent.square().mean(), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("split", "reviews", "meta"),
    [
        ("beauty", "reviews_Beauty_5.json.gz", "meta_Beauty.json.gz"),
        ("sports", "reviews_Sports_and_Outdoors_5.json.gz", "meta_Sports_and_Outdoors.json.gz"),
        ("toys", "reviews_Toys_and_Games_5.json.gz", "meta_Toys_and_Games.json.gz"),
        (
            "clothing",
            "reviews_Clothing_Shoes_and_Jewelry_5.json.gz",
            "meta_Clothing_Shoes_and_Jewelry.json.gz",
        ),
    ],
)
def test_each_split_reads_the_files_by_their_published_names(catalog_root, split, reviews, meta):
    (catalog_root / "reviews_Beauty_5.json.gz").rename(catalog_root / reviews)
    (catalog_root / "meta_Beauty.json.gz").rename(catalog_root / meta)
    dataset = P5AmazonItemDataset(catalog_root, split=split, input_dim=4, download_if_missing=False)
    assert len(dataset) == 120
    assert dataset.texts[0] == "rose rose no 0. Acme"


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
