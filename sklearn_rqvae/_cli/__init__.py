"""The command line ``sklearn-rqvae``: one file for each command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; what it needs is imported here, where Ctrl-C is expected already.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process if not given.

    Returns
    -------
    status : int
        The exit status, as `sklearn_rqvae._cli._main.main` says.
    """
    try:
        from sklearn_rqvae._cli._main import main as run

        return run(argv)
    except KeyboardInterrupt:
        if sys.stderr is not None:
            print("sklearn-rqvae: interrupted", file=sys.stderr)
        return 130
