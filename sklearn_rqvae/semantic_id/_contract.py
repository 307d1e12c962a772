"""What a vocabulary says of itself, in plain values, and in what two of them differ."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._files._fingerprint import content_hash
from sklearn_rqvae._files._replace import replace_file
from sklearn_rqvae.semantic_id._tokens import level_letters

__all__ = [
    "described",
    "described_again",
    "differences",
    "read_description",
    "tokens_of",
    "write_description",
]

FORMAT_VERSION = 1
# What a fingerprint is of: two generators with equal ones can read each other's tokens.
_HASHED = ("levels", "template", "begin_token_id", "eos_token_id", "pad_token_id")


def described(
    level_sizes: Sequence[int],
    has_suffix: bool,
    *,
    token_ids: Sequence[NDArray[np.int64]] | None = None,
    **rest: Any,
) -> dict[str, Any]:
    """Describe the levels of a catalog, and their tokens where these are known.

    Parameters
    ----------
    level_sizes : sequence of int
        Number of codes at each level.
    has_suffix : bool
        Whether the last level is a suffix.
    token_ids : sequence of ndarray of int, optional
        ``token_ids[level][code]``.
    **rest : object
        What else is known: the template, special tokens, fingerprints.

    Returns
    -------
    description : dict
        Plain values, as JSON holds them.
    """
    levels: list[dict[str, Any]] = []
    for level, size in enumerate(level_sizes):
        is_suffix = bool(has_suffix and level == len(level_sizes) - 1)
        levels.append({"name": level_letters(level), "n_codes": int(size), "is_suffix": is_suffix})
        if token_ids is not None:
            levels[-1].update(_range_of(token_ids[level]))
    description = {"format_version": FORMAT_VERSION, "levels": levels, **rest}
    hashed = {key: description.get(key) for key in _HASHED}
    return {**description, "fingerprint": content_hash(hashed)}


def described_again(description: Mapping[str, Any], **rest: Any) -> dict[str, Any]:
    """Return a description with more in it, and the fingerprint that belongs to it."""
    known = {k: v for k, v in description.items() if k not in ("levels", "format_version")}
    known.pop("fingerprint", None)
    levels = description["levels"]
    token_ids = None
    if _has_tokens(levels[0]):
        token_ids = [np.array(tokens_of(level)) for level in levels]
    sizes = [level["n_codes"] for level in levels]
    return described(sizes, levels[-1]["is_suffix"], token_ids=token_ids, **{**known, **rest})


def _range_of(tokens: NDArray[np.int64]) -> dict[str, Any]:
    """Return the ends of a range of tokens, or all of them where it has holes."""
    if (np.diff(tokens) == 1).all():
        return {"first_token_id": int(tokens[0]), "last_token_id": int(tokens[-1])}
    return {"token_ids": tokens.tolist()}


def tokens_of(level: Mapping[str, Any]) -> list[int]:
    """Return the tokens of a level that `described` has described."""
    if "token_ids" in level:
        return list(level["token_ids"])
    return list(range(level["first_token_id"], level["last_token_id"] + 1))


def differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """Say in what two descriptions differ; what one of them doesn't know is no difference.

    Parameters
    ----------
    here, there : mapping
        What `described` returns.

    Returns
    -------
    found : list of str
        A clause for each difference, what is here before what is there.
    """
    return list(_differences(here, there))


def _differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    pairs = list(zip_longest(here["levels"], there["levels"]))
    if len(here["levels"]) != len(there["levels"]):
        yield f"{len(here['levels'])} levels here, {len(there['levels'])} there"
        return
    for level, (mine, other) in enumerate(pairs):
        if mine["n_codes"] != other["n_codes"]:
            yield f"level {level} has {mine['n_codes']} codes here, {other['n_codes']} there"
        if mine["is_suffix"] != other["is_suffix"]:
            kinds = ["a suffix" if side["is_suffix"] else "codes" for side in (mine, other)]
            yield f"level {level} is {kinds[0]} here, {kinds[1]} there"
        elif _has_tokens(mine) and _has_tokens(other) and mine["n_codes"] == other["n_codes"]:
            tokens = np.array(tokens_of(mine)), np.array(tokens_of(other))
            wrong = np.flatnonzero(tokens[0] != tokens[1])
            if len(wrong):
                first, second = (int(side[wrong[0]]) for side in tokens)
                yield f"code {wrong[0]} of level {level} is token {first} here, {second} there"
    for key in _HASHED[1:]:
        if here.get(key) and there.get(key) and here[key] != there[key]:
            yield f"{key} is {here[key]!r} here, {there[key]!r} there"
    models = [side.get("model_fingerprint") for side in (here, there)]
    if None not in models and models[0] != models[1]:
        yield (
            f"the codes are of the model {str(models[0])[:12]}… here, of {str(models[1])[:12]}… "
            "there: the same code means something else"
        )


def _has_tokens(level: Mapping[str, Any]) -> bool:
    return "token_ids" in level or "first_token_id" in level


def write_description(path: str | os.PathLike[str], description: Mapping[str, Any]) -> None:
    """Write a description as JSON for people and programs."""
    with replace_file(path) as file:
        file.write(json.dumps(description, indent=2, ensure_ascii=False).encode() + b"\n")


def read_description(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `write_description` wrote.

    Parameters
    ----------
    path : str or path-like
        File to read.

    Returns
    -------
    description : dict
        The description.

    Raises
    ------
    ValueError
        If the file is none, or has been changed since.
    """
    with open(path, encoding="utf-8") as file:
        text = file.read()
    try:
        content = json.loads(text)
        again = described_again(content)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ValueError(f"{os.fspath(path)} doesn't describe a vocabulary: {error}") from error
    if content.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{os.fspath(path)} has format_version={content.get('format_version')!r}, this "
            f"release reads {FORMAT_VERSION}; install a later one."
        )
    if content != again:
        raise ValueError(
            f"{os.fspath(path)} was changed since it was written: its fingerprint is of other "
            "levels or tokens; save the vocabulary again."
        )
    return content
