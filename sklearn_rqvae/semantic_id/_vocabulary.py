"""Which token of a generator stands for which code."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._validation import as_array
from sklearn_rqvae.exceptions import VocabularyError
from sklearn_rqvae.semantic_id._contract import (
    described,
    differences,
    read_description,
    tokens_of,
    write_description,
)
from sklearn_rqvae.semantic_id._tokens import (
    TOKEN_TEMPLATE,
    offset_token_table,
    token_form,
    token_names,
)

__all__ = [
    "TokenVocabulary",
    "check_prompt_length",
    "sequences_of",
    "vocabulary_of",
    "vocabulary_of_tokenizer",
]

_SPECIAL = ("begin_token_id", "eos_token_id", "pad_token_id")
_ABOUT = ("template", "model_fingerprint", "catalog_version")
# Stands in arrays of codes, and of tokens, for what is none.
NONE = -1


class TokenVocabulary:
    """Tell which token of a generator stands for which code.

    `SemanticIDIndex.vocabulary` and `SemanticIDIndex.add_tokens` make one. What can go wrong
    between a catalog and a generator is checked here, once: tokens that the tokenizer doesn't have,
    codes on the tokens that end, pad or begin a sequence.

    Parameters
    ----------
    token_ids : sequence of array-like of int of shape (level_size,)
        ``token_ids[level][code]`` is the number of the token that stands for a code. Tokens of one
        level must differ.
    eos_token_id : int or sequence of int, optional
        Tokens that end the output, each of them.
    pad_token_id : int, optional
        Token that fills up shorter sequences.
    begin_token_id : int, optional
        Token right before an ID.
    reserved_token_ids : iterable of int, optional
        Further tokens that can't stand for codes, such as ``tokenizer.all_special_ids``.
    about : mapping, optional
        Of which codes it is, as far as known: ``has_suffix``, ``template``, ``model_fingerprint``
        and ``catalog_version``.

    Attributes
    ----------
    token_ids : list of ndarray of int of shape (level_size,)
        The tokens by level.
    level_sizes : tuple of int
        Number of codes at each level.
    eos_token_id : list of int
        Tokens that end the output, as ``generate`` takes them; may be empty.
    pad_token_id, begin_token_id : int or None
        As given.
    about : dict
        As given.

    Examples
    --------
    >>> from sklearn_rqvae.semantic_id import TokenVocabulary
    >>> vocabulary = TokenVocabulary([[10, 11], [20, 21]], eos_token_id=1, pad_token_id=0)
    >>> vocabulary.encode([[1, 0], [0, 1]])
    array([[11, 20],
           [10, 21]])
    >>> vocabulary.decode([[5, 11, 20, 1], [5, 10, 1, 0]], prompt_length=1)
    array([[ 1,  0],
           [-1, -1]])
    """

    def __init__(
        self,
        token_ids: Sequence[Any],
        *,
        eos_token_id: int | Sequence[int] | None = None,
        pad_token_id: int | None = None,
        begin_token_id: int | None = None,
        reserved_token_ids: Iterable[int] | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.about = dict(about or {})
        self.token_ids = [_level_tokens(tokens, level) for level, tokens in enumerate(token_ids)]
        self.level_sizes = tuple(len(tokens) for tokens in self.token_ids)
        self.eos_token_id = _token_list("eos_token_id", eos_token_id)
        self.pad_token_id = _one_token("pad_token_id", pad_token_id)
        self.begin_token_id = _one_token("begin_token_id", begin_token_id)
        self._check_taken("eos_token_id", self.eos_token_id, "a generated ID would end early")
        self._check_taken("pad_token_id", [self.pad_token_id], "padding would read as a code")
        self._check_taken("begin_token_id", [self.begin_token_id], "an ID would begin anew")
        reserved = list(reserved_token_ids or ())
        self._check_taken("reserved_token_ids", reserved, "the tokenizer uses it for another end")

    @property
    def width(self) -> int:
        """Number of codes in each ID."""
        return len(self.token_ids)

    @property
    def n_tokens(self) -> int:
        """Least size of a model's vocabulary that has all these tokens."""
        rest = [self.pad_token_id, self.begin_token_id, *self.eos_token_id]
        largest = [int(tokens.max()) for tokens in self.token_ids]
        return max(*largest, *(token for token in rest if token is not None), 0) + 1

    @property
    def fingerprint(self) -> str:
        """A name for the vocabulary: equal where levels, tokens, template and suffix are.

        The model and the state of the catalog have no part in it: see ``about``.
        """
        return self.to_dict()["fingerprint"]

    def to_dict(self) -> dict[str, Any]:
        """Describe the vocabulary in plain values: what `save` writes.

        Returns
        -------
        description : dict
            Levels with their numbers of codes and ranges of tokens, the tokens that are no codes,
            the template, the fingerprints of vocabulary and model, and the catalog's version.
        """
        about = dict(self.about)
        return described(
            self.level_sizes,
            about.pop("has_suffix", False),
            token_ids=self.token_ids,
            begin_token_id=self.begin_token_id,
            eos_token_id=self.eos_token_id,
            pad_token_id=self.pad_token_id,
            **about,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary as JSON, to lie beside a generator's weights.

        Parameters
        ----------
        path : str or path-like
            File to write, such as ``model/semantic_ids.json``.
        """
        write_description(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TokenVocabulary:
        """Read a vocabulary that `save` wrote.

        Parameters
        ----------
        path : str or path-like
            File to read.

        Returns
        -------
        vocabulary : TokenVocabulary
            The vocabulary. Before a generator speaks to a catalog: ``vocabulary.check(index)``.

        Raises
        ------
        ValueError
            If the file is none, or has been changed by hand.
        """
        content = read_description(path)
        levels = content.pop("levels")
        special = {key: content.pop(key, None) for key in _SPECIAL}
        about = {key: value for key, value in content.items() if key in _ABOUT}
        try:
            token_ids = [tokens_of(level) for level in levels]
        except KeyError as error:
            raise ValueError(
                f"{os.fspath(path)} describes codes without tokens, as an export does; load what "
                "TokenVocabulary.save wrote."
            ) from error
        about["has_suffix"] = levels[-1]["is_suffix"]
        return cls(token_ids, about=about, **special)

    def check(self, other: Any) -> None:
        """Refuse a catalog, a tokenizer or a vocabulary of which this one isn't.

        Parameters
        ----------
        other : SemanticIDIndex, tokenizer, TokenVocabulary, mapping or path
            What should mean the same: a catalog, of the same levels, of the same model where both
            are known; a tokenizer, with the same numbers for the tokens; another vocabulary, its
            `to_dict`, or its file.

        Raises
        ------
        VocabularyError
            If they differ; says in what.
        """
        here, there = self.to_dict(), other
        if hasattr(other, "convert_tokens_to_ids"):
            template = self.about.get("template") or TOKEN_TEMPLATE
            tokens = vocabulary_of_tokenizer(other, self.level_sizes, template)
            there = described(
                self.level_sizes, self.about.get("has_suffix", False), token_ids=tokens.token_ids
            )
        elif hasattr(other, "_levels_described"):
            there = other._levels_described()
        elif isinstance(other, str | os.PathLike):
            there = read_description(other)
        elif not isinstance(other, Mapping):
            there = other.to_dict()
        found = differences(here, there)
        if found:
            raise VocabularyError(
                f"the vocabulary doesn't fit: {'; '.join(found)}. Use the catalog, tokenizer and "
                "vocabulary that the generator was trained with, or make the vocabulary anew and "
                "train on."
            )

    def encode(self, ids: Any) -> NDArray[np.int64]:
        """Return the tokens of IDs.

        Parameters
        ----------
        ids : array-like of int of shape (n, width)
            IDs, such as `SemanticIDIndex.ids_of` returns.

        Returns
        -------
        token_ids : ndarray of int of shape (n, width)
            Their tokens.

        Raises
        ------
        ValueError
            If an ID has a code that has no token.
        """
        ids = np.asarray(as_array(ids))
        if ids.ndim != 2 or ids.shape[1] != self.width or ids.dtype.kind not in "iu":
            raise ValueError(
                f"ids should be integers of shape (n, {self.width}), got {ids.dtype} of shape "
                f"{ids.shape}."
            )
        for level, size in enumerate(self.level_sizes):
            outside = (ids[:, level] < 0) | (ids[:, level] >= size)
            if outside.any():
                raise ValueError(
                    f"ids have the code {ids[outside, level][0]} at level {level}, for which there "
                    f"are {size} tokens; the vocabulary is of another catalog, or of an earlier "
                    "one that has grown since: make it anew, and reserve room with suffix_size."
                )
        columns = [tokens[ids[:, level]] for level, tokens in enumerate(self.token_ids)]
        return np.stack(columns, axis=1)

    def decode(self, token_ids: Any, *, prompt_length: int | None = None) -> NDArray[np.int64]:
        """Return the codes in generated tokens.

        Parameters
        ----------
        token_ids : array-like of int of shape (n_sequences, length), or sequence of sequences
            What ``generate`` returned, prompts included; or its output object. Sequences may differ
            in length.
        prompt_length : int, optional
            Number of tokens before the ID: 1 for encoder-decoder models, the padded length of the
            prompt for decoder-only models, 0 for what has no prompt. By default the ID follows the
            last `begin_token_id`.

        Returns
        -------
        ids : ndarray of int of shape (n_sequences, width)
            Codes; -1 in all of a row whose tokens are not one of each level, in their order. What
            follows them, such as end tokens and padding, is not looked at.
        """
        sequences = sequences_of(token_ids)
        start = self._starts(sequences, prompt_length)
        places = start[:, None] + np.arange(self.width)
        inside = (places < sequences.shape[1]) & (start >= 0)[:, None]
        if sequences.shape[1] == 0:
            return np.full((len(sequences), self.width), NONE)
        found = np.take_along_axis(sequences, np.where(inside, places, 0), axis=1)
        codes = np.where(inside, found, NONE)
        for level, tokens in enumerate(self.token_ids):
            codes[:, level] = _places_in(tokens, codes[:, level])
        codes[(codes < 0).any(axis=1)] = NONE
        return codes

    def _starts(self, sequences: NDArray[np.int64], prompt_length: int | None) -> NDArray[np.int64]:
        """Return where the ID begins in each sequence, -1 where it doesn't."""
        n = len(sequences)
        if prompt_length is not None:
            check_prompt_length(prompt_length)
            return np.full(n, prompt_length)
        if self.begin_token_id is None:
            raise ValueError(
                "give prompt_length, the number of tokens before the ID: 1 for encoder-decoder "
                "models, inputs['input_ids'].shape[1] for decoder-only ones."
            )
        begins = sequences == self.begin_token_id
        last = sequences.shape[1] - begins[:, ::-1].argmax(axis=1)
        return np.where(begins.any(axis=1), last, NONE)

    def _check_taken(self, name: str, taken: Sequence[int | None], what: str) -> None:
        for level, tokens in enumerate(self.token_ids):
            both = np.intersect1d(tokens, [token for token in taken if token is not None])
            if len(both):
                code = int(np.flatnonzero(tokens == both[0])[0])
                raise ValueError(
                    f"{name} has {both[0]}, which is the token of code {code} at level {level}: "
                    f"{what}. Number the codes behind all tokens in use, e.g. with the offset "
                    f"{self._free_offset(taken)}, or add tokens of their own to the tokenizer "
                    "(add_tokens)."
                )

    def _free_offset(self, taken: Sequence[int | None]) -> int:
        rest = (*taken, *self.eos_token_id, self.pad_token_id, self.begin_token_id)
        return max(token for token in rest if token is not None) + 1


def vocabulary_of(
    tokens: Any,
    level_sizes: Sequence[int],
    template: str = TOKEN_TEMPLATE,
    **special: Any,
) -> TokenVocabulary:
    """Return a vocabulary from an offset, from tokens by level, or from a tokenizer.

    Parameters
    ----------
    tokens : int, sequence of sequences of int, tokenizer or TokenVocabulary
        As `SemanticIDIndex.vocabulary` takes them; a vocabulary is returned as it is.
    level_sizes : sequence of int
        Number of codes at each level.
    template : str, default="<{letter}_{code}>"
        Form of the tokens in a tokenizer.
    **special : object
        Tokens that are no codes, as `TokenVocabulary` takes them; None for those not given.

    Returns
    -------
    vocabulary : TokenVocabulary
        The vocabulary.
    """
    if isinstance(tokens, TokenVocabulary):
        given = {name: value for name, value in special.items() if value is not None}
        own = {name: getattr(tokens, name) for name in _SPECIAL}
        return TokenVocabulary(tokens.token_ids, **{**own, "about": tokens.about, **given})
    if hasattr(tokens, "convert_tokens_to_ids"):
        return vocabulary_of_tokenizer(tokens, level_sizes, template, **special)
    if isinstance(tokens, int | np.integer):
        if tokens < 0:
            raise ValueError(f"the offset {tokens} should be 0 or more.")
        tokens = offset_token_table(level_sizes, int(tokens))
    return TokenVocabulary(tokens, **special)


def vocabulary_of_tokenizer(
    tokenizer: Any, level_sizes: Sequence[int], template: str = TOKEN_TEMPLATE, **special: Any
) -> TokenVocabulary:
    """Look up the tokens of all codes in a tokenizer of Hugging Face transformers."""
    form = token_form(template)
    names = token_names(level_sizes, template)
    around = {name: name and _token_of(tokenizer, name) for name in (form.begin, form.end)}
    if special.get("begin_token_id") is None:
        special["begin_token_id"] = around[form.begin]
    if special.get("eos_token_id") is None:
        end = around[form.end]
        special["eos_token_id"] = tokenizer.eos_token_id if end is None else end
    if special.get("pad_token_id") is None:
        special["pad_token_id"] = tokenizer.pad_token_id
    token_ids = [_tokens_of(tokenizer, level_names) for level_names in names]
    return TokenVocabulary(token_ids, **special)


def _token_of(tokenizer: Any, name: str) -> int:
    return _tokens_of(tokenizer, [name])[0]


def _tokens_of(tokenizer: Any, names: list[str]) -> list[int]:
    found = tokenizer.convert_tokens_to_ids(names)
    unknown = {None, tokenizer.unk_token_id}
    missing = [name for name, token in zip(names, found, strict=True) if token in unknown]
    if missing:
        raise ValueError(
            f"the tokenizer lacks {len(missing)} of {len(names)} tokens, such as {missing[0]!r}; "
            "add them with index.add_tokens(tokenizer, model), or name the form of its tokens with "
            "template."
        )
    return found


def check_prompt_length(prompt_length: Any) -> None:
    """Refuse what is no number of tokens; one below 0 would be counted from the end."""
    is_integer = isinstance(prompt_length, Integral) and not isinstance(prompt_length, bool)
    if not is_integer or prompt_length < 0:
        raise ValueError(f"prompt_length={prompt_length!r} should be an integer of at least 0.")


def sequences_of(token_ids: Any) -> NDArray[np.int64]:
    """Return generated tokens as an array, shorter sequences filled up with -1."""
    token_ids = as_array(getattr(token_ids, "sequences", token_ids))
    if not isinstance(token_ids, np.ndarray):
        rows = [np.asarray(as_array(row)) for row in token_ids]
        if any(row.ndim != 1 or (row.size and row.dtype.kind not in "iu") for row in rows):
            raise ValueError("token_ids should be sequences of tokens' numbers.")
        length = max((len(row) for row in rows), default=0)
        token_ids = np.full((len(rows), length), NONE)
        for filled, row in zip(token_ids, rows, strict=True):
            filled[: len(row)] = row
    if token_ids.ndim != 2 or token_ids.dtype.kind not in "iu":
        raise ValueError(
            f"token_ids should be integers of shape (n_sequences, length), got {token_ids.dtype} "
            f"of shape {token_ids.shape}."
        )
    return token_ids.astype(np.int64)


def _level_tokens(tokens: Any, level: int) -> NDArray[np.int64]:
    """Return the tokens of one level, all of them known and different."""
    values = np.asarray(as_array(tokens))
    if values.dtype.kind == "O" and any(token is None for token in values.ravel()):
        n_missing = sum(token is None for token in values.ravel())
        raise ValueError(
            f"token_ids at level {level} have None for {n_missing} of {values.size} codes: the "
            "tokenizer lacks their tokens; add them first, with index.add_tokens(tokenizer, model)."
        )
    if values.ndim != 1 or not values.size or values.dtype.kind not in "iu" or values.min() < 0:
        raise ValueError(
            f"token_ids at level {level} should be a list of tokens' numbers, 0 or more, one for "
            f"each code; got {tokens!r:.80}."
        )
    distinct, counts = np.unique(values, return_counts=True)
    if (counts > 1).any():
        token = distinct[counts.argmax()]
        raise ValueError(
            f"token_ids at level {level} has the same token twice: {token} stands for "
            f"{counts.max()} codes. Where that is the tokenizer's unknown token, it lacks the "
            "codes' tokens; add them first, with index.add_tokens(tokenizer, model)."
        )
    return values.astype(np.int64)


def _token_list(name: str, value: Any) -> list[int]:
    if value is None:
        return []
    tokens = np.atleast_1d(np.asarray(as_array(value)))
    if not tokens.size:
        return []
    if tokens.ndim != 1 or tokens.dtype.kind not in "iu" or tokens.min() < 0:
        raise ValueError(f"{name}={value!r} should be the number of a token, or several.")
    return tokens.tolist()


def _one_token(name: str, value: Any) -> int | None:
    tokens = _token_list(name, value)
    if len(tokens) > 1:
        raise ValueError(f"{name}={value!r} should be the number of one token.")
    return tokens[0] if tokens else None


def _places_in(tokens: NDArray[np.int64], queries: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each query stands in an array of distinct tokens, -1 where it doesn't."""
    order = tokens.argsort()
    rank = np.minimum(np.searchsorted(tokens, queries, sorter=order), len(tokens) - 1)
    return np.where(tokens[order[rank]] == queries, order[rank], NONE)
