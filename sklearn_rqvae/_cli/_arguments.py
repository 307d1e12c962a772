"""Arguments that several commands have, and how their help looks; nothing heavy is imported."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Callable
from importlib import import_module

from sklearn_rqvae._files._kinds import FORMATS

__all__ = [
    "HISTORY_COLUMNS",
    "MODEL_HELP",
    "HelpFormatter",
    "add_columns",
    "add_histories",
    "add_input",
    "add_items",
    "add_seed",
    "count",
    "runs",
    "share_of_error",
]

HISTORY_COLUMNS = ("user", "item", "time")
# A joblib file is a pickle.
MODEL_HELP = (
    "what fit saved, or the method save; loading the former runs code in it, so take only files "
    "that you trust"
)


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Name the defaults that there are, and leave examples as they stand."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        plain = action.default is None or isinstance(action.default, bool)
        if plain or not action.option_strings or action.default == argparse.SUPPRESS:
            return action.help
        default = action.default
        if isinstance(default, list):
            default = " ".join(map(str, default))
        return f"{action.help or ''} (default: {default})".lstrip().replace("%", "%%")


def count(text: str) -> int:
    """Return an argument that should be an integer of at least 1."""
    number = _integer(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} should be at least 1")
    return number


def share_of_error(text: str) -> float:
    """Return an argument that should be a number of at least 0, as a price in errors is."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} should be a number of at least 0, such as 0.3")
    return number


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} should be a whole number") from None


def _seed(text: str) -> int:
    number = _integer(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"{text} should be between 0 and {2**32 - 1}")
    return number


def add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", metavar="ITEMS", help=f"{FORMATS}; or a directory of such files, .npy aside"
    )
    add_columns(parser)


def add_columns(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--text", nargs="+", metavar="COLUMN", help="columns joined to the item's text"
    )
    parser.add_argument("--vector", metavar="COLUMN", help="column of the item's vector")
    parser.add_argument(
        "--id",
        metavar="COLUMN",
        help="column of the item's id; else item_id or id, else the row number",
    )


def add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=_seed, default=0, metavar="N", help="random state")


def add_items(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a model and items."""
    parser.add_argument("--model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("--items", metavar="ITEMS", help=f"what the model encodes: {FORMATS}")
    parser.add_argument(
        "--text", nargs="+", metavar="COLUMN", help="columns of texts, if other than in the fit"
    )
    parser.add_argument("--vector", metavar="COLUMN", help="column of vectors, if other")


def add_histories(parser: argparse.ArgumentParser) -> None:
    """Add the options that name histories."""
    parser.add_argument(
        "--histories",
        metavar="FILE",
        help="in full: judge codes by who touched what: a table with "
        f"columns {', '.join(HISTORY_COLUMNS)} ({FORMATS})",
    )
    parser.add_argument(
        "--history-columns",
        nargs="+",
        metavar="COLUMN",
        help="its columns of user, item and time, or of user and item where rows are in order",
    )


def runs(place: str, *reads: str) -> Callable[[argparse.Namespace], None]:
    """Return what runs a command: its files are looked for first, its module is imported then.

    Parameters
    ----------
    place : str
        Module of the command, and its function: ``"_fit:fit"``.
    *reads : str
        Arguments that name files which it reads.

    Returns
    -------
    run : callable
        Takes the parsed arguments.
    """

    def run(args: argparse.Namespace) -> None:
        for path in (getattr(args, name) for name in reads):
            if path is not None and not os.path.exists(path):
                raise FileNotFoundError(f"can't read {path}: there is no such file{_near(path)}")
            if path is not None and not os.path.isfile(path) and not os.path.isdir(path):
                raise OSError(
                    f"can't read {path}: it is a pipe or a device, and files are read more than "
                    "once; write what comes out of it to a file first."
                )
        module, _, function = place.partition(":")
        getattr(import_module(f"sklearn_rqvae._cli.{module}"), function)(args)

    return run


def _near(path: str) -> str:
    """Name the file that was probably meant."""
    if path == "-":
        return ", and the standard input isn't read; write it to a file first."
    if os.path.islink(path):
        return f", but a link to {os.readlink(path)}."
    folder, name = os.path.split(path)
    if not os.path.isdir(folder or "."):
        return f", nor a folder {folder}."
    found = difflib.get_close_matches(name, os.listdir(folder or "."), n=1)
    return f"; is it {os.path.join(folder, found[0])}?" if found else "."
