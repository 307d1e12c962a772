"""Which token stands for which code, and what can go wrong between a catalog and a generator."""

import numpy as np
import pytest

from sklearn_rqvae.semantic_id import SemanticIDIndex, SemanticIDTrie, TokenVocabulary
from sklearn_rqvae.semantic_id._generate import PrefixAllowedTokens

TEXTS = ["the user likes tea and cups", "buy a pen or a pot", "next item please"] * 20


def catalog(**parameters):
    codes = [[3, 1], [3, 1], [0, 2], [3, 0]]
    return SemanticIDIndex(codebook_sizes=4, **parameters).fit(codes, ["tea", "cup", "pen", "pot"])


def bpe_tokenizer():
    """Return a tokenizer as GPT-2 and Llama have it: bytes, no unknown token, no padding."""
    transformers, tokenizers = map(pytest.importorskip, ("transformers", "tokenizers"))
    from tokenizers import models, pre_tokenizers, trainers

    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(TEXTS, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|endoftext|>"
    )


def unigram_tokenizer():
    """Return a tokenizer as T5 has it, with an unknown token, and one that lowers texts."""
    transformers, tokenizers = map(pytest.importorskip, ("transformers", "tokenizers"))
    from tokenizers import models, normalizers, pre_tokenizers, trainers

    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    trainer = trainers.UnigramTrainer(
        vocab_size=60, special_tokens=list(special.values()), unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def word_tokenizer():
    transformers, tokenizers = map(pytest.importorskip, ("transformers", "tokenizers"))
    from tokenizers import models, pre_tokenizers, trainers

    tokenizer = tokenizers.Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": "[PAD]", "eos_token": "[EOS]", "unk_token": "[UNK]"}
    trainer = trainers.WordLevelTrainer(special_tokens=list(special.values()), show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


TOKENIZERS = [bpe_tokenizer, unigram_tokenizer, word_tokenizer]


# Tokens in a tokenizer


@pytest.mark.parametrize("make", TOKENIZERS)
@pytest.mark.parametrize(
    "template", ["<{letter}_{code}>", "lc-rec", "openonerec", "[{letter}{code}]"]
)
def test_a_text_with_added_tokens_reads_as_the_ids(make, template):
    index, tokenizer = catalog(), make()
    vocabulary = index.add_tokens(tokenizer, template=template)
    for item, tokens in zip(index.item_ids_, index.to_tokens(template), strict=True):
        text = f"the user likes {''.join(tokens)}"
        read = tokenizer(text, add_special_tokens=False).input_ids
        n_after = 1 if template == "openonerec" else 0
        first = len(read) - index.width - n_after
        assert index.items_of_token_ids([read], vocabulary, prompt_length=first).tolist() == [item]
        if template == "openonerec":
            assert index.items_of_token_ids([read], vocabulary).tolist() == [item]


@pytest.mark.parametrize("make", TOKENIZERS)
def test_a_tokenizer_without_the_tokens_is_an_error_that_names_the_way_out(make):
    index, tokenizer = catalog(), make()
    with pytest.raises(ValueError, match=r"lacks 4 of 4 tokens, such as '<a_0>'.*add_tokens"):
        index.vocabulary(tokenizer)
    # What convert_tokens_to_ids says of them: None, or the unknown token for each.
    found = [tokenizer.convert_tokens_to_ids(level) for level in index.token_names()]
    with pytest.raises(ValueError, match=r"index\.add_tokens\(tokenizer, model\)"):
        index.vocabulary(found)
    with pytest.raises(ValueError, match=r"index\.add_tokens\(tokenizer, model\)"):
        index.prefix_allowed_tokens_fn(found, eos_token_id=tokenizer.eos_token_id, prompt_length=1)


def test_tokens_that_are_there_are_not_added_again():
    index, tokenizer = catalog(), bpe_tokenizer()
    first = index.add_tokens(tokenizer)
    n = len(tokenizer)
    again = index.add_tokens(tokenizer)
    assert len(tokenizer) == n == first.n_tokens
    for one, other in zip(first.token_ids, again.token_ids, strict=True):
        np.testing.assert_array_equal(one, other)
    # A suffix that grows gets one token more, behind the others.
    index.append([[3, 1]], ["mug"], grow=True)
    grown = index.add_tokens(tokenizer)
    assert grown.token_ids[2].tolist() == [*first.token_ids[2].tolist(), n]


def test_open_one_rec_puts_tokens_of_its_own_around_an_id():
    index, tokenizer = catalog(), bpe_tokenizer()
    vocabulary = index.add_tokens(tokenizer, template="openonerec")
    begin, end = tokenizer.convert_tokens_to_ids(["<|sid_begin|>", "<|sid_end|>"])
    assert (vocabulary.begin_token_id, vocabulary.eos_token_id) == (begin, [end])
    allowed = index.prefix_allowed_tokens_fn(vocabulary)
    first = sorted(vocabulary.token_ids[0][[0, 3]].tolist())
    assert sorted(allowed(0, [5, 6, begin])) == first
    assert allowed(0, [begin, *vocabulary.encode([index["tea"]])[0].tolist()]) == [end]


# Tokens that can't be codes


def test_an_end_token_among_the_codes_is_an_error():
    # The default offset 0 gives code 1 the token 1, with which T5 ends.
    index = catalog()
    with pytest.raises(ValueError, match=r"eos_token_id has 1.*code 1 at level 0.*offset 2"):
        index.prefix_allowed_tokens_fn(0, eos_token_id=1, prompt_length=1)
    with pytest.raises(ValueError, match=r"eos_token_id has 1.*end early"):
        index.vocabulary(0, eos_token_id=1)
    with pytest.raises(ValueError, match=r"eos_token_id has 7.*code 3 at level 1"):
        index.vocabulary(0, eos_token_id=[40, 7])
    with pytest.raises(ValueError, match="pad_token_id has 0"):
        index.vocabulary(0, pad_token_id=0)
    with pytest.raises(ValueError, match="begin_token_id has 2"):
        index.vocabulary(0, begin_token_id=2)
    assert index.vocabulary(2, eos_token_id=1, pad_token_id=0).n_tokens == 2 + 4 + 4 + 2


def test_an_offset_into_a_tokenizer_with_special_tokens_elsewhere():
    # Llama's special tokens stand behind the words, where codes are numbered, too.
    index, tokenizer = catalog(), bpe_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    special = tokenizer.all_special_ids
    with pytest.raises(ValueError, match=r"reserved_token_ids has \d+.*offset"):
        index.vocabulary(len(tokenizer) - 1, eos_token_id=0, reserved_token_ids=special)
    index.vocabulary(len(tokenizer), eos_token_id=0, reserved_token_ids=special)


@pytest.mark.parametrize("eos", [[8, 9], (8, 9), np.array([8, 9])])
def test_several_end_tokens_are_all_allowed(eos):
    # As generation_config.eos_token_id of Llama 3 is a list.
    allowed = PrefixAllowedTokens(
        SemanticIDTrie([[0, 1]]), [[10], [20, 21]], eos_token_id=eos, prompt_length=0
    )
    assert allowed(0, [10, 21]) == [8, 9]
    assert allowed(0, [99]) == [8, 9]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"token_ids": [[1], [None]]}, "level 1 have None for 1 of 1"),
        ({"token_ids": [[1], [2.5]]}, "level 1 should be a list of tokens"),
        ({"token_ids": [[1], []]}, "level 1 should be a list of tokens"),
        ({"token_ids": [[1], [-1]]}, "level 1 should be a list of tokens"),
        ({"token_ids": [[1], [2, 2]]}, "level 1 has the same token twice: 2 stands for 2 codes"),
        ({"token_ids": [[1]], "eos_token_id": "</s>"}, "eos_token_id='</s>' should be the number"),
        ({"token_ids": [[1]], "pad_token_id": [0, 2]}, "pad_token_id=.* one token"),
    ],
)
def test_what_is_no_token_is_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        TokenVocabulary(**arguments)
    with pytest.raises(ValueError, match="offset -1"):
        catalog().vocabulary(-1)


def test_an_id_without_tokens_is_an_error():
    vocabulary = catalog().vocabulary(10)
    with pytest.raises(ValueError, match=r"the code 2 at level 2, for which there are 2 tokens"):
        vocabulary.encode([[3, 1, 2]])
    with pytest.raises(ValueError, match=r"shape \(n, 3\)"):
        vocabulary.encode([[3, 1]])
    with pytest.raises(ValueError, match="eos_token_id=None"):
        catalog().prefix_allowed_tokens_fn(10, prompt_length=1)


# Back to items


PAD, EOS, OFFSET = 0, 1, 3


def test_items_of_tokens_by_hand():
    index = catalog()  # tea (3, 1, 1), cup (3, 1, 0), pen (0, 2, 0), pot (3, 0, 0)
    vocabulary = index.vocabulary(OFFSET, eos_token_id=EOS, pad_token_id=PAD)
    tea, cup, pen, pot = vocabulary.encode(index.ids_of(["tea", "cup", "pen", "pot"])).tolist()
    sequences = [
        [PAD, *tea, EOS],
        [PAD, *cup, PAD],  # no end token where the length was exhausted
        [PAD, *pen, EOS],
        [PAD, *pot[:2], EOS, PAD],  # ended early
        [PAD, pot[1], pot[0], pot[2], EOS],  # levels in another order
        [PAD, tea[0], pen[1], tea[2], EOS],  # an ID that no item has
        [PAD, 2, 2, 2, EOS],  # tokens of no code
        [PAD, *pot, EOS],
    ]
    expected = ["tea", "cup", "pen", None, None, None, None, "pot"]
    found = index.items_of_token_ids(sequences, vocabulary, prompt_length=1)
    assert found.tolist() == expected
    by_prompt = index.items_of_token_ids(sequences, OFFSET, prompt_length=1, num_return_sequences=2)
    assert by_prompt.tolist() == np.reshape(np.array(expected, dtype=object), (4, 2)).tolist()
    with pytest.raises(ValueError, match="num_return_sequences=3 should divide the 8"):
        index.items_of_token_ids(sequences, OFFSET, prompt_length=1, num_return_sequences=3)
    with pytest.raises(ValueError, match="give prompt_length"):
        index.items_of_token_ids(sequences, OFFSET)


def test_sequences_may_be_arrays_tensors_outputs_or_of_different_lengths():
    import torch

    index = catalog()
    tokens = index.to_token_ids(OFFSET)
    items = index.item_ids_.tolist()
    assert index.items_of_token_ids(tokens, OFFSET, prompt_length=0).tolist() == items
    assert index.items_of_token_ids(torch.tensor(tokens), OFFSET, prompt_length=0).tolist() == items

    class Output:
        sequences = torch.tensor(tokens)

    assert index.items_of_token_ids(Output(), OFFSET, prompt_length=0).tolist() == items
    ragged = [tokens[0].tolist(), tokens[1, :2].tolist(), [], [*tokens[3].tolist(), EOS, EOS]]
    found = index.items_of_token_ids(ragged, OFFSET, prompt_length=0)
    assert found.tolist() == ["tea", None, None, "pot"]
    assert index.items_of_token_ids([], OFFSET, prompt_length=0).shape == (0,)
    assert index.items_of_token_ids([[], []], OFFSET, prompt_length=0).tolist() == [None, None]
    with pytest.raises(ValueError, match="integers of shape"):
        index.items_of_token_ids(tokens / 2, OFFSET, prompt_length=0)


def test_removed_and_later_items():
    index = catalog()
    vocabulary = index.vocabulary(OFFSET)
    tokens = vocabulary.encode(index.ids_)
    index.remove(["cup"])
    found = index.items_of_token_ids(tokens, vocabulary, prompt_length=0)
    assert found.tolist() == ["tea", None, "pen", "pot"]


def test_an_id_of_several_items_is_an_error_only_where_it_is_asked_for():
    index = SemanticIDIndex("none", codebook_sizes=4).fit([[0, 1], [0, 1], [2, 3]], [7, 8, 9])
    tokens = index.to_token_ids(OFFSET)
    assert index.items_of_token_ids(tokens[2:], OFFSET, prompt_length=0).tolist() == [9]
    with pytest.raises(ValueError, match=r"2 items share the ID \(0, 1\).*index\.items"):
        index.items_of_token_ids(tokens, OFFSET, prompt_length=0)


@pytest.mark.parametrize("seed", range(3))
def test_items_of_tokens_agree_with_a_search_one_by_one(seed):
    rng = np.random.default_rng(seed)
    index = SemanticIDIndex(codebook_sizes=6).fit(rng.integers(0, 6, size=(50, 2)))
    tokens = rng.permutation(62)[:12].reshape(2, 6).tolist()
    vocabulary = index.vocabulary([*tokens, rng.permutation(62)[: index.level_sizes_[2]]])
    sequences = rng.integers(0, 62, size=(400, 5))
    sequences[:50, 1:4] = vocabulary.encode(index.ids_)
    for row, item in enumerate(index.items_of_token_ids(sequences, vocabulary, prompt_length=1)):
        codes = []
        for level, token in enumerate(sequences[row, 1:4]):
            codes.append(np.flatnonzero(vocabulary.token_ids[level] == token).tolist())
        wanted = None
        if all(codes):
            semantic_id = tuple(code[0] for code in codes)
            wanted = next(iter(index.items(semantic_id).tolist()), None)
        assert item == wanted


def test_generated_sequences_are_read_with_their_prompts():
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    index = SemanticIDIndex(codebook_sizes=4).fit(np.indices((4, 4)).reshape(2, -1).T)
    tokenizer = bpe_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    vocabulary = index.add_tokens(tokenizer)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=64,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).eval()
    tokenizer.padding_side = "left"
    history = "".join(index.to_tokens()[5])
    prompts = [f"the user likes {history}, next", "buy"]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True)
    length = inputs["input_ids"].shape[1]
    allowed = index.prefix_allowed_tokens_fn(vocabulary, prompt_length=length)
    output = model.generate(
        input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"],
        prefix_allowed_tokens_fn=allowed, num_beams=6, num_return_sequences=5, max_new_tokens=5,
        eos_token_id=vocabulary.eos_token_id, return_dict_in_generate=True,
    )  # fmt: skip
    items = index.items_of_token_ids(
        output, vocabulary, prompt_length=length, num_return_sequences=5
    )
    assert items.shape == (2, 5)
    assert all(len(set(row)) == 5 and None not in row for row in items.tolist())
