"""Engines stay on the catalog, each by its own interface; those that aren't installed by a stub."""

import importlib
import sys
from enum import Enum, auto
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from sklearn_rqvae.semantic_id import SemanticIDIndex, offset_token_table
from sklearn_rqvae.semantic_id.engines._constraint import TokenConstraint, constraint_of
from tests.semantic_id.test_generate import BEGIN, EOS, OFFSET, catalog, ids_in, t5

VOCAB = 64
INF = float("inf")


def finite(scores):
    return [row.isfinite().nonzero()[:, 0].tolist() for row in scores]


def sequences(index, seed=0):
    """Return tokens of IDs, whole and begun, ended and wrong."""
    rng = np.random.default_rng(seed)
    tokens = index.to_token_ids(OFFSET)[rng.integers(len(index), size=12)].tolist()
    wrong = rng.integers(0, VOCAB, size=(6, index.width)).tolist()
    return [[row[:n] for row in tokens + wrong] for n in range(index.width + 1)] + [
        [[*row, EOS, EOS] for row in tokens + wrong]
    ]


@pytest.mark.parametrize("begin", [None, BEGIN])
def test_the_logits_processor_allows_what_the_function_allows(begin):
    transformers = pytest.importorskip("transformers")
    index = catalog()
    where = {"prompt_length": 2} if begin is None else {"begin_token_id": begin}
    allowed = index.prefix_allowed_tokens_fn(OFFSET, eos_token_id=EOS, **where)
    processor = index.logits_processor(OFFSET, eos_token_id=EOS, **where)
    assert isinstance(processor, transformers.LogitsProcessor)
    theirs = transformers.PrefixConstrainedLogitsProcessor(allowed, num_beams=1)
    for rows in sequences(index):
        # The last begin counts, and it can be elsewhere in each row.
        prompts = [
            [7, BEGIN] if begin is None or i % 2 else [BEGIN, BEGIN] for i in range(len(rows))
        ]
        input_ids = torch.tensor([p + row for p, row in zip(prompts, rows, strict=True)])
        scores = torch.randn(len(rows), VOCAB, generator=torch.Generator().manual_seed(0))
        before = scores.clone()
        found = processor(input_ids, scores)
        assert torch.equal(found, theirs(input_ids, scores))
        assert torch.equal(scores, before)
        assert [sorted(allowed(0, row)) for row in input_ids] == finite(found)


def test_generate_gives_the_same_sequences_either_way():
    model, index = t5(), catalog()
    options = {
        "num_beams": 8, "num_return_sequences": 8, "do_sample": False,
        "max_new_tokens": index.width + 1,
    }  # fmt: skip
    inputs = torch.tensor([[5, 6, 7], [8, 9, 10]])
    function = index.prefix_allowed_tokens_fn(OFFSET, eos_token_id=EOS, prompt_length=1)
    processor = index.logits_processor(OFFSET, eos_token_id=EOS, prompt_length=1)
    slow = model.generate(inputs, prefix_allowed_tokens_fn=function, **options)
    fast = model.generate(inputs, logits_processor=[processor], **options)
    assert torch.equal(slow, fast)
    assert set(ids_in(fast, index, 1)) <= set(map(tuple, index.ids_.tolist()))


def test_several_ends_and_tokens_in_any_order():
    index = SemanticIDIndex("none", codebook_sizes=3).fit([[0, 2], [2, 1]])
    tokens = [[30, 10, 20], [11, 31, 21]]
    processor = index.logits_processor(tokens, eos_token_id=[1, 2], prompt_length=0)
    scores = torch.zeros(3, 40)
    none = torch.empty(3, 0, dtype=torch.long)
    assert finite(processor(none, scores)) == [[20, 30]] * 3
    assert finite(processor(torch.tensor([[30], [20], [10]]), scores)) == [[21], [31], [1, 2]]
    with pytest.raises(ValueError, match="exactly one"):
        index.logits_processor(tokens, eos_token_id=1)
    with pytest.raises(ValueError, match="same token twice"):
        index.logits_processor([[1, 1, 2], [3, 4, 5]], eos_token_id=1, prompt_length=0)
    with pytest.raises(ValueError, match="one token for each code"):
        index.logits_processor([[1, 2], [3, 4, 5]], eos_token_id=0, prompt_length=0)
    begin = index.logits_processor(tokens, eos_token_id=1, begin_token_id=7)
    with pytest.raises(ValueError, match="begin_token_id=7 is not in the prompt"):
        begin(torch.tensor([[7], [8]]), scores[:2])


def test_tokens_that_would_end_or_begin_an_id_are_refused(saved):
    # As the processor and the function of transformers are: an ID would end early.
    index, options = saved
    for wrong, match in (({"token_ids": 0}, "end early"), ({"begin_token_id": OFFSET}, "anew")):
        with pytest.raises(ValueError, match=match):
            constraint_of({**options, **wrong}, "cpu")
    with pytest.raises(ValueError, match="generated ID would end early"):
        index.logits_processor(OFFSET, eos_token_id=OFFSET, prompt_length=0)


@pytest.mark.parametrize("length", [-1, 1.0, True, False, "1"])
def test_what_is_no_length_of_a_prompt_is_refused(saved, length):
    # -1 took the last token for the beginning of the ID.
    index, _ = saved
    tokens = index.vocabulary(OFFSET, eos_token_id=EOS)
    for ask in (
        lambda: tokens.decode([[OFFSET]], prompt_length=length),
        lambda: index.prefix_allowed_tokens_fn(tokens, prompt_length=length),
        lambda: index.logits_processor(tokens, prompt_length=length),
    ):
        with pytest.raises(ValueError, match=r"prompt_length=.* should be an integer"):
            ask()


def test_scores_of_too_few_tokens_are_refused(saved):
    # An index beyond them is an error of torch, and the end of all work on a GPU.
    index, options = saved
    most = OFFSET + sum(index.level_sizes_)
    constraint = constraint_of(options, "cpu")
    none = torch.empty(1, 0, dtype=torch.long)
    assert constraint.constrained(torch.zeros(1, most), none).isfinite().any()
    with pytest.raises(ValueError, match=f"scores of {most - 1} tokens, but .* up to {most - 1};"):
        constraint.constrained(torch.zeros(1, most - 1), none)


@pytest.fixture
def saved(tmp_path):
    index = catalog()
    index.save(tmp_path / "catalog.sid")
    return index, {"index": str(tmp_path / "catalog.sid"), "token_ids": OFFSET, "eos_token_id": EOS}


def test_a_catalog_is_read_once_and_again_when_replaced(saved):
    index, options = saved
    assert constraint_of(options, "cpu") is constraint_of(dict(options), "cpu")
    first = constraint_of(options, "cpu")
    index.append([[7, 7, 7]], [999])
    index.save(options["index"])
    assert constraint_of(options, "cpu") is not first
    table = [level.tolist() for level in offset_token_table(index.level_sizes_, OFFSET)]
    listed = constraint_of({**options, "token_ids": table}, "cpu")
    assert isinstance(listed, TokenConstraint)
    for wrong in (None, {}, {"index": "x"}, {**options, "offset": 3}):
        with pytest.raises(ValueError, match="eos_token_id"):
            constraint_of(wrong, "cpu")


class Direction(Enum):
    UNIDIRECTIONAL = auto()
    SWAP = auto()


@pytest.fixture
def stubs(monkeypatch):
    """Stand in for vLLM and SGLang: the base classes of their documented interfaces."""

    def module(name, **content):
        for depth in range(1, name.count(".") + 2):
            part = ".".join(name.split(".")[:depth])
            monkeypatch.setitem(sys.modules, part, sys.modules.get(part) or ModuleType(part))
        sys.modules[name].__dict__.update(content)

    module("vllm.v1.sample.logits_processor", LogitsProcessor=type("LogitsProcessor", (), {}))
    module(
        "sglang.srt.sampling.custom_logit_processor",
        CustomLogitProcessor=type("CustomLogitProcessor", (), {}),
    )
    for name in ("vllm", "sglang"):
        monkeypatch.delitem(sys.modules, f"sklearn_rqvae.semantic_id.engines.{name}", raising=False)
    yield
    for name in ("vllm", "sglang"):
        sys.modules.pop(f"sklearn_rqvae.semantic_id.engines.{name}", None)


def update(removed=(), added=(), moved=()):
    return SimpleNamespace(batch_size=4, removed=removed, added=added, moved=moved)


def asking(asked=True):
    return SimpleNamespace(extra_args={"semantic_ids": asked} if asked is not None else None)


def test_vllm_requests_that_ask_stay_on_the_catalog(stubs, saved):
    index, options = saved
    engine = importlib.import_module("sklearn_rqvae.semantic_id.engines.vllm")
    config = SimpleNamespace(additional_config={"semantic_ids": options})
    processor = engine.SemanticIDLogitsProcessor(config, torch.device("cpu"), False)
    assert not processor.is_argmax_invariant()
    allowed = index.prefix_allowed_tokens_fn(OFFSET, eos_token_id=EOS, prompt_length=0)
    outputs = [[], [], []]
    processor.update_state(
        update(
            added=[
                (0, asking(), [4, 5], outputs[0]),
                (1, asking(None), [4], outputs[1]),
                (2, asking(), None, outputs[2]),
            ]
        )
    )
    generator = torch.Generator().manual_seed(0)
    for _ in range(index.width + 1):
        logits = torch.randn(3, VOCAB, generator=generator)
        free = logits[1].clone()
        assert processor.apply(logits) is logits
        assert torch.equal(logits[1], free)
        for row in (0, 2):
            assert finite(logits[row : row + 1]) == [sorted(allowed(0, outputs[row]))]
        for row, output in enumerate(outputs):  # the engine adds to the lists that it gave
            output.append(int(logits[row].argmax()))
        processor.update_state(None)
    for row in (0, 2):
        assert outputs[row][-1] == EOS
        codes = [
            t - level[0]
            for t, level in zip(
                outputs[row], offset_token_table(index.level_sizes_, OFFSET), strict=False
            )
        ]
        assert index.item(codes) in index

    # Requests go, come and move, in this order.
    new = [int(index.to_token_ids(OFFSET)[0, 0])]
    processor.update_state(
        update([0], [(3, asking(), None, new)], [(3, 0, Direction.UNIDIRECTIONAL)])
    )
    logits = torch.zeros(3, VOCAB)
    assert finite(processor.apply(logits))[0] == sorted(allowed(0, new))
    processor.update_state(update(moved=[(0, 1, Direction.SWAP)]))
    rows = finite(processor.apply(torch.zeros(3, VOCAB)))
    assert rows[1] == sorted(allowed(0, new))
    assert len(rows[0]) == VOCAB
    processor.update_state(update(removed=[1, 2]))
    assert finite(processor.apply(torch.zeros(2, VOCAB))) == [list(range(VOCAB))] * 2
    engine.SemanticIDLogitsProcessor.validate_params(asking())
    with pytest.raises(ValueError, match="True or False"):
        engine.SemanticIDLogitsProcessor.validate_params(asking("yes"))


def test_vllm_beams_in_prompts_are_found_by_the_token_before(stubs, saved):
    # Its beam search asks anew for each token, with the beam at the end of the prompt.
    index, options = saved
    engine = importlib.import_module("sklearn_rqvae.semantic_id.engines.vllm")
    config = SimpleNamespace(
        additional_config={"semantic_ids": {**options, "begin_token_id": BEGIN}}
    )
    processor = engine.SemanticIDLogitsProcessor(config, "cpu", False)
    tokens = index.to_token_ids(OFFSET)[0].tolist()
    allowed = index.prefix_allowed_tokens_fn(OFFSET, eos_token_id=EOS, begin_token_id=BEGIN)
    processor.update_state(update(added=[(0, asking(), [9, BEGIN, *tokens[:2]], [])]))
    found = finite(processor.apply(torch.zeros(1, VOCAB)))
    assert found == [sorted(allowed(0, [9, BEGIN, *tokens[:2]]))]
    processor.update_state(update(added=[(0, asking(), [9], [])]))
    with pytest.raises(ValueError, match="not in the prompt"):
        processor.apply(torch.zeros(1, VOCAB))


def test_sglang_requests_that_ask_stay_on_the_catalog(stubs, saved):
    index, options = saved
    engine = importlib.import_module("sklearn_rqvae.semantic_id.engines.sglang")
    processor = engine.SemanticIDLogitProcessor()
    allowed = index.prefix_allowed_tokens_fn(OFFSET, eos_token_id=EOS, prompt_length=0)
    for rows in sequences(index):
        requests = [
            {
                "semantic_ids": options,
                "__req__": SimpleNamespace(origin_input_ids=[4], output_ids=row),
            }
            for row in rows
        ]
        requests[1:3] = [None, {"other": 1, "__req__": None}]
        logits = torch.randn(len(rows), VOCAB, generator=torch.Generator().manual_seed(0))
        assert processor(logits, requests) is logits
        for row, (tokens, request) in enumerate(zip(rows, requests, strict=True)):
            everything = request is None or "semantic_ids" not in request
            want = list(range(VOCAB)) if everything else sorted(allowed(0, tokens))
            assert finite(logits[row : row + 1]) == [want]
    logits = torch.zeros(2, VOCAB)
    assert processor(logits) is logits
    with pytest.raises(ValueError, match="turn speculative decoding off"):
        processor(torch.zeros(4, VOCAB), requests[:2])
