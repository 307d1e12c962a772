"""Generation by Hugging Face models that stays on the catalog."""

import numpy as np
import pytest

from sklearn_rqvae.semantic_id import (
    PrefixAllowedTokens,
    SemanticIDIndex,
    SemanticIDTrie,
    offset_token_table,
)

PAD, EOS, BEGIN, OFFSET = 0, 1, 2, 3


def catalog(collisions="suffix"):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 8, size=(40, 3))
    return SemanticIDIndex(collisions, codebook_sizes=8).fit(codes[rng.integers(0, 30, 40)])


def ids_in(sequences, index, start):
    """Return the IDs in generated sequences after checking what follows them."""
    table = offset_token_table(index.level_sizes_, OFFSET)
    found = []
    for sequence in sequences.tolist():
        tokens = sequence[start : start + index.width]
        rest = sequence[start + index.width :]
        assert rest[:1] in ([], [EOS])
        assert set(rest[1:]) <= {PAD, EOS}
        found.append(tuple(t - level[0] for t, level in zip(tokens, table, strict=True)))
    return found


def t5():
    pytest.importorskip("transformers")
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    config = T5Config(
        vocab_size=64, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
        pad_token_id=PAD, eos_token_id=EOS, decoder_start_token_id=PAD,
    )  # fmt: skip
    return T5ForConditionalGeneration(config).eval()


def gpt2():
    pytest.importorskip("transformers")
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=64, n_embd=16, n_layer=1, n_head=2, n_positions=64,
        bos_token_id=BEGIN, eos_token_id=EOS, pad_token_id=PAD,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


STRATEGIES = [
    {"do_sample": True, "num_return_sequences": 30, "temperature": 3.0},
    {"num_beams": 20, "num_return_sequences": 20},
    {"do_sample": False},
]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_t5_generates_existing_ids_only(strategy):
    model, index = t5(), catalog()
    import torch

    torch.manual_seed(1)
    inputs = torch.randint(3, 60, (3, 7))
    allowed = index.prefix_allowed_tokens_fn(OFFSET, eos_token_id=EOS, prompt_length=1)
    options = {"max_new_tokens": 8, **strategy}
    free = model.generate(inputs, **options)
    existing = set(map(tuple, index.ids_.tolist()))
    # Without the function, hardly any sequence is an ID: the test below means something.
    table = offset_token_table(index.level_sizes_, OFFSET)
    guesses = [
        tuple(token - level[0] for token, level in zip(row[1:5], table, strict=False))
        for row in free.tolist()
    ]
    assert np.mean([guess in existing for guess in guesses]) < 0.5
    found = ids_in(model.generate(inputs, prefix_allowed_tokens_fn=allowed, **options), index, 1)
    assert set(found) <= existing
    if "num_beams" in strategy:
        assert len(set(found[:20])) == 20


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("by", ["prompt_length", "begin_token_id"])
def test_gpt_generates_existing_ids_only(strategy, by):
    model, index = gpt2(), catalog()
    import torch

    torch.manual_seed(1)
    prompt = torch.randint(3, 60, (3, 7))
    # A shorter prompt is padded on the left; BEGIN ends each.
    prompt[0, :3] = PAD
    prompt[:, -1] = BEGIN
    where = {"prompt_length": 7} if by == "prompt_length" else {"begin_token_id": BEGIN}
    allowed = index.prefix_allowed_tokens_fn(OFFSET, eos_token_id=EOS, **where)
    output = model.generate(
        prompt,
        attention_mask=(prompt != PAD).long(),
        prefix_allowed_tokens_fn=allowed,
        max_new_tokens=8,
        **strategy,
    )
    assert set(ids_in(output, index, 7)) <= set(map(tuple, index.ids_.tolist()))


def test_beams_beyond_the_catalog_still_rank_all_ids_first():
    model = t5()
    import torch

    index = SemanticIDIndex("none").fit([[0, 1], [2, 3], [2, 4]])
    allowed = index.prefix_allowed_tokens_fn(OFFSET, eos_token_id=EOS, prompt_length=1)
    output = model.generate(
        torch.tensor([[5, 6, 7]]),
        prefix_allowed_tokens_fn=allowed,
        num_beams=12,
        num_return_sequences=3,
        max_new_tokens=5,
    )
    assert sorted(ids_in(output, index, 1)) == [(0, 1), (2, 3), (2, 4)]


def test_tokens_may_be_any_numbers_even_shared_between_levels():
    trie = SemanticIDTrie([[0, 1], [1, 0]])
    allowed = PrefixAllowedTokens(trie, [[9, 5], [5, 9]], eos_token_id=0, prompt_length=0)
    assert allowed(0, []) == [9, 5]
    assert allowed(0, [9]) == [9]
    assert allowed(0, [5]) == [5]
    assert allowed(0, np.array([5, 5])) == [0]


def test_dead_and_finished_beams_get_the_end_token():
    allowed = PrefixAllowedTokens(
        SemanticIDTrie([[0, 1]]), [[10], [20, 21]], eos_token_id=7, begin_token_id=3
    )
    for tokens in ([3, 99], [3, 10, 20], [3, 10, 21, 7], [3, 10, 21, 7, 7, 7], [3, 7]):
        assert allowed(0, tokens) == [7]
    # The last begin token counts: the history may hold others.
    assert allowed(0, [3, 10, 21, 3]) == [10]


def test_malformed_arguments_are_errors():
    trie = SemanticIDTrie([[0, 1]])
    tokens = [[1], [2, 3]]
    with pytest.raises(ValueError, match="exactly one"):
        PrefixAllowedTokens(trie, tokens, eos_token_id=0)
    with pytest.raises(ValueError, match="exactly one"):
        PrefixAllowedTokens(trie, tokens, eos_token_id=0, prompt_length=1, begin_token_id=3)
    with pytest.raises(ValueError, match="one token for each code"):
        PrefixAllowedTokens(trie, [[1], [2]], eos_token_id=0, prompt_length=1)
    with pytest.raises(ValueError, match="level 1 has the same token twice"):
        PrefixAllowedTokens(trie, [[1], [2, 2]], eos_token_id=0, prompt_length=1)
    allowed = PrefixAllowedTokens(trie, tokens, eos_token_id=0, begin_token_id=4)
    with pytest.raises(ValueError, match="begin_token_id=4 is not in the prompt"):
        allowed(0, [5, 6])
