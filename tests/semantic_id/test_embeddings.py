"""Embeddings of codes' tokens start from the codebooks."""

import numpy as np
import pytest

from sklearn_rqvae import ResidualKMeans
from sklearn_rqvae.datasets import make_residual_blobs
from sklearn_rqvae.semantic_id import SemanticIDIndex
from sklearn_rqvae.semantic_id._embeddings import code_directions, started_rows
from tests.semantic_id.test_vocabulary import bpe_tokenizer

transformers = pytest.importorskip("transformers")


def fitted(**parameters):
    X, _ = make_residual_blobs(300, 8, n_layers=2, codebook_size=8, noise=0.3, random_state=0)
    estimator = ResidualKMeans(2, 8, random_state=0).fit(X)
    return SemanticIDIndex.from_estimator(estimator, X, **parameters)


def gpt2(n_tokens, dim=32):
    config = transformers.GPT2Config(
        vocab_size=n_tokens, n_embd=dim, n_layer=1, n_head=2, n_positions=32
    )
    return transformers.GPT2LMHeadModel(config)


def llama(n_tokens, dim=32):
    config = transformers.LlamaConfig(
        vocab_size=n_tokens, hidden_size=dim, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, tie_word_embeddings=False,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def t5(n_tokens, dim=32):
    config = transformers.T5Config(
        vocab_size=n_tokens, d_model=dim, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
        decoder_start_token_id=0,
    )  # fmt: skip
    return transformers.T5ForConditionalGeneration(config)


def tables(model):
    """Return the embeddings of the input and of the output as arrays."""
    found = (model.get_input_embeddings(), model.get_output_embeddings())
    return [table.weight.detach().numpy().copy() for table in found]


def distances(rows):
    return np.linalg.norm(rows[:, None] - rows[None], axis=2)


@pytest.mark.parametrize("make", [gpt2, llama, t5])
def test_new_rows_lie_around_the_mean_as_far_as_the_others_and_keep_distances(make):
    import torch

    torch.manual_seed(0)
    index, tokenizer = fitted(), bpe_tokenizer()
    model = make(len(tokenizer))
    before = tables(model)
    assert (make is gpt2 or make is t5) == np.shares_memory(
        *(
            t.weight.detach().numpy()
            for t in (model.get_input_embeddings(), model.get_output_embeddings())
        )
    )
    vocabulary = index.add_tokens(tokenizer, model, random_state=0)
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer) == vocabulary.n_tokens
    for old, table in zip(before, tables(model), strict=True):
        np.testing.assert_array_equal(table[: len(old)], old)
        mean = old.mean(axis=0)
        radius = np.sqrt(((old - mean) ** 2).sum(axis=1).mean())
        for level, codebook in enumerate(index.codebooks_):
            rows = table[vocabulary.token_ids[level]]
            spread = np.sqrt(((rows - mean) ** 2).sum(axis=1).mean())
            np.testing.assert_allclose(spread, radius, rtol=1e-4)
            factor = distances(rows) / np.where(np.eye(8), 1, distances(codebook))
            np.testing.assert_allclose(factor[~np.eye(8, dtype=bool)], factor[0, 1], rtol=1e-3)


def test_levels_are_told_apart_even_with_equal_codebooks():
    book = np.random.default_rng(0).normal(size=(16, 8))
    directions = code_directions([book, book], [16, 16], 64, seed=0).reshape(2, 16, 64)
    centered = book - book.mean(axis=0)
    for code in range(16):
        # Half of the squared distance is the level's, at a right angle to all codes.
        between = ((directions[0, code] - directions[1, code]) ** 2).sum()
        np.testing.assert_allclose(between, 1.0)
        own = (directions[0, code] ** 2).sum()
        length = (centered[code] ** 2).sum() / (centered**2).sum(axis=1).mean()
        np.testing.assert_allclose(own, 0.5 + 0.5 * length)


def test_a_model_narrower_than_the_codewords_keeps_likeness_about():
    rng = np.random.default_rng(0)
    book = rng.normal(size=(4, 300))[rng.integers(0, 4, 64)] + 0.1 * rng.normal(size=(64, 300))
    directions = code_directions([book], [64], 64, seed=0)
    upper = np.triu_indices(64, 1)
    likeness = np.corrcoef(distances(directions)[upper], distances(book)[upper])[0, 1]
    assert likeness > 0.95


def test_equal_seeds_equal_rows_and_the_global_generators_stay():
    import torch

    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(3)
        tokenizer = bpe_tokenizer()
        model, index = llama(len(tokenizer)), fitted()
        state = torch.random.get_rng_state()
        vocabulary = index.add_tokens(tokenizer, model, random_state=seed)
        assert torch.equal(torch.random.get_rng_state(), state)
        found.append([table[np.concatenate(vocabulary.token_ids)] for table in tables(model)])
    for one, other, third in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
        assert np.abs(one - third).max() > 0


def test_rows_that_were_trained_stay_when_more_tokens_come():
    index, tokenizer = fitted(collisions="none"), bpe_tokenizer()
    model = gpt2(len(tokenizer))
    first = index.add_tokens(tokenizer, model, random_state=0)
    import torch

    with torch.no_grad():
        model.get_input_embeddings().weight += 1.0
    trained = tables(model)[0]
    index.add_tokens(tokenizer, model, random_state=1)
    np.testing.assert_array_equal(tables(model)[0], trained)
    longer = SemanticIDIndex.from_ids(index.codes_, collisions="none", codebook_sizes=9)
    books = [np.vstack([book, book[:1]]) for book in index.codebooks_]
    second = longer.add_tokens(tokenizer, model, codebooks=books, random_state=0)
    table = tables(model)[0]
    np.testing.assert_array_equal(table[: len(trained)], trained)
    assert second.n_tokens == first.n_tokens + 2


def test_models_with_more_rows_than_tokens_keep_them_and_start_those_of_the_codes():
    # As Qwen has: rows up to a round number, which nothing has trained.
    index, tokenizer = fitted(), bpe_tokenizer()
    n_before = len(tokenizer)
    model = gpt2(n_before + 50)
    import torch

    with torch.no_grad():
        model.get_input_embeddings().weight[n_before:] = 100.0
    vocabulary = index.add_tokens(tokenizer, model, random_state=0)
    table = tables(model)[0]
    assert len(table) == n_before + 50
    assert np.abs(table[np.concatenate(vocabulary.token_ids)]).max() < 1
    assert (table[vocabulary.n_tokens :] == 100.0).all()


def test_half_precision_stays():
    import torch

    index, tokenizer = fitted(), bpe_tokenizer()
    model = llama(len(tokenizer)).to(torch.bfloat16)
    index.add_tokens(tokenizer, model, random_state=0)
    assert model.get_input_embeddings().weight.dtype == torch.bfloat16
    assert torch.isfinite(model.get_output_embeddings().weight).all()


def test_unknown_or_foreign_codebooks_are_errors_and_change_nothing():
    index, tokenizer = fitted(), bpe_tokenizer()
    model, n_before = gpt2(len(tokenizer)), len(tokenizer)
    bare = SemanticIDIndex.from_ids(index.ids_, collisions="suffix", codebook_sizes=8)
    with pytest.raises(ValueError, match=r"codebooks=estimator\.codebooks_"):
        bare.add_tokens(tokenizer, model)
    for books in (
        [index.codebooks_[0]],
        [book[:5] for book in index.codebooks_],
        [index.codebooks_[0], index.codebooks_[1][:, :3]],
    ):
        with pytest.raises(ValueError, match="codebooks have the shapes"):
            bare.add_tokens(tokenizer, model, codebooks=books)
    assert len(tokenizer) == n_before == model.get_input_embeddings().weight.shape[0]
    assert bare.add_tokens(tokenizer, model, codebooks=index.codebooks_).width == 3


def test_rows_of_no_spread_start_at_their_mean():
    rows = started_rows(np.ones((2, 3)), np.full((5, 3), 7.0))
    np.testing.assert_array_equal(rows, np.full((2, 3), 7.0))
