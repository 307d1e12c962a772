"""Messages of Python in the words of the shell: options for parameters."""

from __future__ import annotations

import re

__all__ = ["in_options"]

# Options that are called otherwise than their parameters.
_OPTIONS = {
    "codebook_mode": "--mode", "id_column": "--id", "model": "--text-model",
    "random_state": "--seed", "item_ids": "item ids",
}  # fmt: skip
_NAMES = (
    "codebook_sizes?|suffix_size|n_components|n_layers|max_epochs|item_ids|id_column|random_state"
    "|subsample|max_items_per_id|max_items_per_first_code"
)
# What the shell does by commands.
_COMMANDS = (
    (re.compile(r"\b(?:semantic_id\.)?suggest_sizes\((\d+)\)"), r"sklearn-rqvae sizes \1"),
    (re.compile(r"\bA SemanticIDIndex makes"), "sklearn-rqvae index build makes"),
)
# A parameter with a word as its value, or its name where it stands alone: not in a path, in quotes
# or in a longer name.
_PARAMETER = re.compile(
    r"(?<![\w./\\'\"-])(?:"
    r"(?P<set>collisions|item_type|codebook_mode|model|id_column|template|format)=[\"'](?P<value>[^\"']+)[\"']|"
    rf"(?P<name>{_NAMES})(?![\w/'\"]|\.\w))"
)


def in_options(message: str) -> str:
    """Return a message with options and commands for what it calls by the names of Python.

    Parameters
    ----------
    message : str
        An error or a warning of a function.

    Returns
    -------
    message : str
        The same, for those who can't see the function that was called.

    Examples
    --------
    >>> from sklearn_rqvae._cli._options import in_options
    >>> in_options("suffix_size=1 is too small; use collisions='reassign', or n_layers.")
    '--suffix-size=1 is too small; use --collisions reassign, or --n-layers.'
    """
    for name, command in _COMMANDS:
        message = name.sub(command, message)
    return _PARAMETER.sub(_option, message)


def _option(found: re.Match[str]) -> str:
    name = found["set"] or found["name"]
    option = _OPTIONS.get(name, "--" + name.replace("_", "-"))
    return f"{option} {found['value']}" if found["set"] else option
