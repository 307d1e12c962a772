"""What binds a catalog and a generator: levels, tokens, model; and that nothing grows unasked."""

import json
import pickle

import numpy as np
import pytest

from sklearn_rqvae import ResidualKMeans, RQVAETransformer
from sklearn_rqvae.exceptions import VocabularyError
from sklearn_rqvae.semantic_id import SemanticIDIndex, TokenVocabulary
from tests.semantic_id.test_vocabulary import bpe_tokenizer, catalog

X = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)
FORMATS = ["index.json", "flashrec", "npy", "parquet", "csv", "jsonl"]


def model(seed=0):
    return ResidualKMeans(2, 8, random_state=seed).fit(X)


def fitted(seed=0, **parameters):
    return SemanticIDIndex.from_estimator(model(seed), X, suffix_size=16, **parameters)


# A vocabulary and its file


def test_the_file_reads_like_what_it_is(tmp_path):
    index = catalog(suffix_size=3)
    index.append([[3, 1]], ["mug"])
    path = tmp_path / "semantic_ids.json"
    index.vocabulary(5, eos_token_id=[1, 2], pad_token_id=0).save(path)
    content = json.loads(path.read_text())
    fingerprint = content.pop("fingerprint")
    assert len(fingerprint) == 64
    assert content == {
        "format_version": 1,
        "levels": [
            {
                "name": "a", "n_codes": 4, "is_suffix": False,
                "first_token_id": 5, "last_token_id": 8,
            },
            {
                "name": "b", "n_codes": 4, "is_suffix": False,
                "first_token_id": 9, "last_token_id": 12,
            },
            {
                "name": "c", "n_codes": 3, "is_suffix": True,
                "first_token_id": 13, "last_token_id": 15,
            },
        ],
        "template": None,
        "begin_token_id": None,
        "eos_token_id": [1, 2],
        "pad_token_id": 0,
        "model_fingerprint": None,
        "catalog_version": 1,
    }  # fmt: skip
    loaded = TokenVocabulary.load(path)
    assert loaded.to_dict() == json.loads(path.read_text())
    loaded.check(index)
    np.testing.assert_array_equal(loaded.encode(index.ids_), index.to_token_ids(5))


def test_tokens_with_holes_survive_the_file(tmp_path):
    vocabulary = TokenVocabulary([[9, 3], [4, 8]], eos_token_id=1)
    vocabulary.save(tmp_path / "v.json")
    loaded = TokenVocabulary.load(tmp_path / "v.json")
    assert [level.tolist() for level in loaded.token_ids] == [[9, 3], [4, 8]]
    assert loaded.fingerprint == vocabulary.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["levels"][0].update(n_codes=5),
        lambda c: c["levels"][0].update(first_token_id=4),
        lambda c: c.update(eos_token_id=[3]),
        lambda c: c.update(fingerprint="0" * 64),
        lambda c: c.pop("levels"),
        lambda c: c.update(levels=[]),
        lambda c: c.update(levels="abc"),
        lambda c: c.update(format_version=2),
    ],
)
def test_a_file_changed_by_hand_is_refused(tmp_path, change):
    path = tmp_path / "v.json"
    catalog().vocabulary(5, eos_token_id=1).save(path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"v\.json"):
        TokenVocabulary.load(path)
    path.write_text("no JSON")
    with pytest.raises(ValueError, match=r"v\.json"):
        TokenVocabulary.load(path)


def test_fingerprints_tell_vocabularies_apart_and_nothing_else():
    index = catalog(suffix_size=3)
    first = index.vocabulary(5, eos_token_id=1).fingerprint
    assert index.append([[2, 2]], ["ink"]).size
    assert index.vocabulary(5, eos_token_id=1).fingerprint == first
    others = [
        index.vocabulary(6, eos_token_id=1),
        index.vocabulary(5, eos_token_id=2),
        index.vocabulary(5, eos_token_id=1, pad_token_id=0),
        catalog(suffix_size=4).vocabulary(5, eos_token_id=1),
        SemanticIDIndex.from_ids(index.ids_, codebook_sizes=(4, 4, 3)).vocabulary(
            5, eos_token_id=1
        ),
    ]
    assert len({first, *(other.fingerprint for other in others)}) == 6


# What is refused


def test_another_catalog_is_refused_with_what_differs():
    vocabulary = catalog(suffix_size=3).vocabulary(5, eos_token_id=1)
    with pytest.raises(VocabularyError, match="level 2 has 3 codes here, 4 there"):
        vocabulary.check(catalog(suffix_size=4))
    with pytest.raises(VocabularyError, match="3 levels here, 2 there"):
        vocabulary.check(SemanticIDIndex("none", codebook_sizes=4).fit([[0, 1]]))
    same_sizes = SemanticIDIndex.from_ids([[0, 1, 2]], codebook_sizes=(4, 4, 3))
    with pytest.raises(VocabularyError, match="level 2 is a suffix here, codes there"):
        vocabulary.check(same_sizes)
    for use in (
        lambda index: index.to_token_ids(vocabulary),
        lambda index: index.prefix_allowed_tokens_fn(vocabulary, prompt_length=1),
        lambda index: index.items_of_token_ids([[5, 9, 13]], vocabulary, prompt_length=0),
        lambda index: index.vocabulary(vocabulary),
    ):
        use(catalog(suffix_size=3))
        with pytest.raises(VocabularyError, match="level 2 has 3 codes here, 4 there"):
            use(catalog(suffix_size=4))


def test_another_model_is_refused_where_both_are_known(tmp_path):
    index = fitted()
    assert index.model_fingerprint == model().fingerprint
    vocabulary = index.vocabulary(5, eos_token_id=1)
    vocabulary.check(fitted())
    with pytest.raises(VocabularyError, match="the same code means something else"):
        vocabulary.check(fitted(seed=1))
    vocabulary.save(tmp_path / "v.json")
    with pytest.raises(VocabularyError, match="codes are of the model"):
        fitted(seed=1).to_token_ids(TokenVocabulary.load(tmp_path / "v.json"))
    # Codes of unknown origin may be of this model.
    vocabulary.check(SemanticIDIndex(codebook_sizes=8, suffix_size=16).fit(model().transform(X)))


def test_a_tokenizer_that_numbers_the_tokens_otherwise_is_refused():
    index, tokenizer, other = catalog(), bpe_tokenizer(), bpe_tokenizer()
    vocabulary = index.add_tokens(tokenizer)
    vocabulary.check(tokenizer)
    other.add_tokens(["<mine>"])
    index.add_tokens(other)
    with pytest.raises(VocabularyError, match=r"code 0 of level 0 is token \d+ here, \d+ there"):
        vocabulary.check(other)
    with pytest.raises(ValueError, match="lacks 4 of 4 tokens"):
        vocabulary.check(bpe_tokenizer())


def test_vocabularies_and_their_files_are_compared_too(tmp_path):
    index = catalog()
    vocabulary = index.vocabulary(5, eos_token_id=1)
    index.vocabulary(7, eos_token_id=1).save(tmp_path / "v.json")
    for other in (index.vocabulary(7), tmp_path / "v.json", index.vocabulary(7).to_dict()):
        with pytest.raises(VocabularyError, match="code 0 of level 0 is token 5 here, 7 there"):
            vocabulary.check(other)
    with pytest.raises(VocabularyError, match=r"eos_token_id is \[1\] here, \[2\] there"):
        vocabulary.check(index.vocabulary(5, eos_token_id=2))


def test_items_of_another_model_are_not_appended():
    index = fitted()
    new = X[:3] + 1
    with pytest.raises(VocabularyError, match="the estimator is"):
        index.append_from_estimator(model(seed=1), new, [200, 201, 202])
    assert len(index) == 120
    assert len(index.append_from_estimator(model(), new, [200, 201, 202])) == 3
    # Who knows better appends the codes.
    index.append(model(seed=1).transform(new[:1]), [203])


def test_pipelines_and_searches_name_their_quantizer():
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(
        StandardScaler(), RQVAETransformer(n_layers=2, codebook_size=8, random_state=0)
    ).fit(X)
    index = SemanticIDIndex.from_estimator(pipeline, X)
    assert index.model_fingerprint == pipeline[-1].fingerprint


# Growth


@pytest.mark.parametrize(
    ("parameters", "codes", "message"),
    [
        ({}, [[3, 1]], "3 codes at level 2, which has 2"),
        ({"codebook_sizes": None}, [[3, 5]], "6 codes at level 1, which has 3"),
        ({"collisions": "none", "codebook_sizes": None}, [[4, 0]], "5 codes at level 0"),
    ],
)
def test_levels_grow_only_where_that_is_asked_for(parameters, codes, message):
    index = SemanticIDIndex(**{"codebook_sizes": 4, **parameters})
    index.fit([[3, 1], [3, 1], [0, 2], [3, 0]], ["tea", "cup", "pen", "pot"])
    before, sizes = index.fingerprint, index.level_sizes_
    with pytest.raises(VocabularyError, match=message) as error:
        index.append(codes, ["new"])
    assert all(way in str(error.value) for way in ("suffix_size", "grow=True", "add_tokens"))
    assert (index.fingerprint, index.level_sizes_, index.version_) == (before, sizes, 0)
    index.append(codes, ["new"], grow=True)
    assert "new" in index
    assert index.level_sizes_ > sizes


def test_room_that_was_reserved_is_used_without_asking():
    index = catalog(suffix_size=3)
    assert index.append([[3, 1]], ["mug"]).tolist() == [[3, 1, 2]]
    assert index.level_sizes_ == (4, 4, 3)
    with pytest.raises(ValueError, match="suffix_size=3"):
        index.append([[3, 1]], ["jar"], grow=True)


# Versions


def test_each_change_counts_and_is_saved(tmp_path):
    index = catalog(suffix_size=5)
    assert index.version_ == 0
    index.append([[3, 1]], ["mug"])
    assert index.version_ == 1
    with pytest.raises(ValueError, match="already"):
        index.append([[3, 1]], ["mug"])
    index.remove(["mug"])
    assert index.version_ == 2
    index.save(tmp_path / "catalog")
    assert SemanticIDIndex.load(tmp_path / "catalog").version_ == 2
    assert pickle.loads(pickle.dumps(index)).version_ == 2
    assert index.fit([[0, 1]]).version_ == 0


def test_a_saved_index_says_what_its_levels_are_and_of_which_model(tmp_path):
    from sklearn_rqvae._files._archive import open_archive

    index = fitted()
    index.save(tmp_path / "catalog")
    with open_archive(tmp_path / "catalog", "a catalog") as archive:
        header = archive.header
    assert header["model"] == index.model_fingerprint
    assert [level["n_codes"] for level in header["vocabulary"]["levels"]] == [8, 8, 16]
    loaded = SemanticIDIndex.load(tmp_path / "catalog")
    assert loaded.model_fingerprint == index.model_fingerprint
    index.vocabulary(5).check(loaded)


# Exports


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_export_carries_what_it_is(tmp_path, file_format):
    if file_format == "parquet":
        pytest.importorskip("pyarrow")
    index = fitted()
    path = tmp_path / f"ids.{file_format}"
    index.export(path, file_format)
    back = SemanticIDIndex.read(path, file_format, item_type="int")
    assert back.level_sizes_ == index.level_sizes_
    assert back.collisions == "suffix"
    index.vocabulary(5).check(back)
    with pytest.raises(VocabularyError, match="the same code means something else"):
        fitted(seed=1).vocabulary(5).check(back)


def test_a_description_of_a_file_that_was_replaced_is_not_taken_for_its(tmp_path):
    path = tmp_path / "ids.csv"
    fitted().export(path, "csv")
    path.write_text("item_id,code_0,code_1\n1,2,3\n")
    with pytest.warns(UserWarning, match=r"_ids\.csv\.vocabulary\.json describes an export that"):
        index = SemanticIDIndex.read(path, "csv")
    assert (index.level_sizes_, index.model_fingerprint) == ((3, 4), None)
    beside = tmp_path / "_ids.csv.vocabulary.json"
    with pytest.raises(ValueError, match="codes without tokens"):
        TokenVocabulary.load(beside)


def test_a_template_is_written_read_and_described(tmp_path):
    index, path = catalog(), tmp_path / "items.index.json"
    index.export(path, "index.json", template="openonerec")
    assert json.loads(path.read_text())["pot"] == [
        "<|sid_begin|>", "<s_a_3>", "<s_b_0>", "<s_c_0>", "<|sid_end|>"
    ]  # fmt: skip
    described = json.loads((tmp_path / "_items.index.json.vocabulary.json").read_text())
    assert described["template"] == "<s_{letter}_{code}>"
    np.testing.assert_array_equal(SemanticIDIndex.read(path, "index.json").ids_, index.ids_)
    with pytest.raises(ValueError, match=r"for format='index\.json'"):
        index.export(path, "csv", template="openonerec")
    with pytest.raises(ValueError, match=r"'openonerec'"):
        index.export(path, "index.json", template="nonsense")
