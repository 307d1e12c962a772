"""The command line ``sklearn-rqvae``: one file for each command."""

from sklearn_rqvae._cli._main import main

__all__ = ["main"]
