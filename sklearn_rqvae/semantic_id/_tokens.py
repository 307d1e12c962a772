"""IDs as tokens of a language model, and back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._validation import as_array

__all__ = [
    "TOKEN_TEMPLATE",
    "TokenForm",
    "check_widths",
    "ids_to_tokens",
    "level_letters",
    "offset_token_table",
    "token_form",
    "token_ids_to_ids",
    "token_names",
    "tokens_to_ids",
]


TOKEN_TEMPLATE = "<{letter}_{code}>"


class TokenForm(NamedTuple):
    """How an ID looks as tokens: the format of one, and what stands before and after them all."""

    template: str
    begin: str | None = None
    end: str | None = None


# Forms by the names of the projects whose generators speak them.
TOKEN_FORMS = {
    "lc-rec": TokenForm(TOKEN_TEMPLATE),
    "minionerec": TokenForm(TOKEN_TEMPLATE),
    "openonerec": TokenForm("<s_{letter}_{code}>", "<|sid_begin|>", "<|sid_end|>"),
}

# The code of a token is its last number: "<a_12>" → 12.
_LAST_NUMBER = re.compile(r"(\d+)(?=\D*$)")


# Tokens written as one string: "<a_12><b_5>".
_ONE_TOKEN = re.compile(r"<[^<>]*>")


def token_form(template: str) -> TokenForm:
    """Return the form that a name or a template stands for.

    Parameters
    ----------
    template : str
        ``"lc-rec"``, ``"minionerec"``, ``"openonerec"``, or a format of a token with ``{letter}``
        and ``{code}``.

    Returns
    -------
    form : TokenForm
        The format, and the tokens around an ID.

    Raises
    ------
    ValueError
        If it is no known name, and doesn't tell codes and levels apart.
    """
    if template in TOKEN_FORMS:
        return TOKEN_FORMS[template]
    for field in ("{letter}", "{code}"):
        if not isinstance(template, str) or template.count(field) != 1:
            raise ValueError(
                f"template={template!r} should contain {field} once, or be one of "
                f"{', '.join(map(repr, TOKEN_FORMS))}."
            )
    return TokenForm(template)


def level_letters(level: int) -> str:
    """Name a level: a, b, …, z, aa, ab, …, as spreadsheets name columns.

    Parameters
    ----------
    level : int
        Level, from 0.

    Returns
    -------
    letters : str
        Its name; all names differ.

    Examples
    --------
    >>> from sklearn_rqvae.semantic_id import level_letters
    >>> [level_letters(level) for level in (0, 25, 26, 701, 702)]
    ['a', 'z', 'aa', 'zz', 'aaa']
    """
    letters = ""
    level += 1
    while level:
        level, digit = divmod(level - 1, 26)
        letters = chr(ord("a") + digit) + letters
    return letters


def token_names(level_sizes: Sequence[int], template: str = TOKEN_TEMPLATE) -> list[list[str]]:
    """Return the token of each code of each level.

    Parameters
    ----------
    level_sizes : sequence of int
        Number of codes at each level.
    template : str, default="<{letter}_{code}>"
        Format of a token, with ``{letter}`` and ``{code}``, or ``"lc-rec"``, ``"minionerec"`` or
        ``"openonerec"``.

    Returns
    -------
    names : list of list of str
        ``names[level][code]``.

    Raises
    ------
    ValueError
        If the template doesn't tell codes and levels apart.
    """
    template = token_form(template).template
    return [
        [template.format(letter=level_letters(level), code=code) for code in range(size)]
        for level, size in enumerate(level_sizes)
    ]


def ids_to_tokens(ids: NDArray[np.int64], template: str = TOKEN_TEMPLATE) -> list[list[str]]:
    """Return the tokens of each ID, with those that the form puts around it."""
    form = token_form(template)
    if not len(ids):
        return []
    columns = []
    for level, column in enumerate(ids.T):
        letter = level_letters(level)
        codes, places = np.unique(column, return_inverse=True)
        names = [form.template.format(letter=letter, code=code) for code in codes.tolist()]
        columns.append(np.array(names, dtype=object)[places])
    if form.begin is not None:
        columns.insert(0, np.full(len(ids), form.begin, dtype=object))
    if form.end is not None:
        columns.append(np.full(len(ids), form.end, dtype=object))
    return np.stack(columns, axis=1).tolist()


def tokens_to_ids(tokens: Sequence[Sequence[str] | str]) -> NDArray[np.int64]:
    """Read IDs from tokens such as ``["<a_12>", "<b_5>"]``.

    Parameters
    ----------
    tokens : sequence of sequences of str, or sequence of str
        Tokens of each item, or all of them in one string: ``"<a_12><b_5>"``. A token's last number
        is its code, and what stands around it must be the same for all tokens of a level. The
        tokens that OpenOneRec puts around an ID are taken off.

    Returns
    -------
    ids : ndarray of int of shape (n_items, width)
        The codes.

    Raises
    ------
    ValueError
        If a token has no number, IDs differ in length, or tokens of one position come from
        different levels.
    """
    tokens = [_code_tokens(row) for row in tokens]
    check_widths([len(row) for row in tokens])
    around: dict[int, str] = {}
    ids = np.empty((len(tokens), len(tokens[0])), dtype=np.int64)
    known: dict[tuple[int, str], int] = {}
    for row, token_row in enumerate(tokens):
        for level, token in enumerate(token_row):
            code = known.get((level, token))
            if code is None:
                found = _LAST_NUMBER.search(token) if isinstance(token, str) else None
                if found is None:
                    raise ValueError(f"{token!r} is not a token with a code, such as '<a_12>'.")
                rest = token[: found.start()] + "*" + token[found.end() :]
                if around.setdefault(level, rest) != rest:
                    raise ValueError(
                        f"{token!r} at position {level} doesn't look like the other tokens there, "
                        f"{around[level]!r}; the IDs mix levels."
                    )
                code = known[level, token] = int(found.group(1))
            ids[row, level] = code
    return ids


def _code_tokens(tokens: Sequence[str] | str) -> list[str]:
    """Return the tokens of an ID without those around it."""
    if isinstance(tokens, str):
        if _ONE_TOKEN.sub("", tokens).strip():
            raise ValueError(f"{tokens!r} should hold tokens such as '<a_12><b_5>'.")
        tokens = _ONE_TOKEN.findall(tokens)
    around = {form.begin for form in TOKEN_FORMS.values()}
    around |= {form.end for form in TOKEN_FORMS.values()}
    start, stop = 0, len(tokens)
    if tokens and tokens[0] in around:
        start = 1
    if stop > start and tokens[-1] in around:
        stop -= 1
    return list(tokens[start:stop])


def offset_token_table(level_sizes: Sequence[int], offset: int = 0) -> list[NDArray[np.int64]]:
    """Number the codes of all levels through, one level after the other.

    Parameters
    ----------
    level_sizes : sequence of int
        Number of codes at each level.
    offset : int, default=0
        Number of the first code of the first level.

    Returns
    -------
    token_ids : list of ndarray of shape (level_size,)
        ``token_ids[level][code]``.
    """
    starts = accumulate([offset, *level_sizes[:-1]])
    return [np.arange(start, start + size) for start, size in zip(starts, level_sizes, strict=True)]


def token_ids_to_ids(
    token_ids: Any, level_sizes: Sequence[int], offset: int = 0
) -> NDArray[np.int64]:
    """Turn token ids with a range for each level back into codes.

    Parameters
    ----------
    token_ids : array-like of int of shape (n_items, width)
        Token ids.
    level_sizes : sequence of int of length width
        Number of codes at each level.
    offset : int, default=0
        Token id of the first code of the first level.

    Returns
    -------
    ids : ndarray of int of shape (n_items, width)
        Codes.

    Raises
    ------
    ValueError
        If the number of columns differs from that of the levels, a token is no whole number, or is
        outside the range of its level.
    """
    token_ids = np.asarray(as_array(token_ids))
    if token_ids.ndim != 2 or token_ids.shape[1] != len(level_sizes):
        raise ValueError(
            f"token_ids have shape {token_ids.shape}, but there are {len(level_sizes)} levels; "
            "give the sizes of "
            "all columns, that of the suffix too."
        )
    # Data frames turn integers into floats; what falls between two tokens is none.
    is_whole = token_ids.dtype.kind in "iu" or (
        token_ids.dtype.kind == "f" and (token_ids == np.floor(token_ids)).all()
    )
    if not is_whole:
        raise ValueError(
            f"token_ids should be whole numbers, got values of {token_ids.dtype} such as "
            f"{token_ids[:1].tolist()}."
        )
    ids = token_ids.astype(np.int64) - _level_starts(level_sizes, offset)
    outside = (ids < 0) | (ids >= np.asarray(level_sizes))
    if outside.any():
        row, level = np.argwhere(outside)[0].tolist()
        raise ValueError(
            f"token_ids at level {level} have {token_ids[row, level]}, outside the range of that "
            "level; check "
            f"level_sizes={list(level_sizes)} and offset={offset}."
        )
    return ids


def _level_starts(level_sizes: Sequence[int], offset: int) -> NDArray[np.int64]:
    return np.array([table[0] for table in offset_token_table(level_sizes, offset)])


def check_widths(widths: Sequence[int]) -> None:
    """Refuse IDs that differ in length."""
    if not widths:
        raise ValueError("the file has no items.")
    if min(widths) != max(widths) or widths[0] == 0:
        raise ValueError(
            f"the IDs have from {min(widths)} to {max(widths)} codes; an index needs IDs of one "
            "length. Fill up the "
            "shorter ones, e.g. with a suffix 0."
        )
