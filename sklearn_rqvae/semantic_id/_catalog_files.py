"""A catalog in the formats of others: tables and files."""

from __future__ import annotations

import os
from typing import Any

from sklearn_rqvae.semantic_id import _formats, _tokens
from sklearn_rqvae.semantic_id._catalog import Catalog

__all__ = ["FileCatalog"]


class FileCatalog(Catalog):
    """Write a catalog for other programs to read."""

    def to_frame(self) -> Any:
        """Return a pandas DataFrame: ``item_id``, ``code_0``, …, and ``suffix`` if there is one.

        Returns
        -------
        frame : pandas.DataFrame
            One row per item, in the order in which items were added.
        """
        now = self.snapshot()
        return _formats.to_frame(now.ids_, now.item_ids_, now._rules.collisions == "suffix")

    def export(
        self,
        path: str | os.PathLike[str],
        format: str,
        *,
        template: str = _tokens.TOKEN_TEMPLATE,
    ) -> None:
        """Write the IDs in a format that others read.

        Parameters
        ----------
        path : str or path-like
            File to write, replaced as a whole.
        format : str
            - ``"index.json"``: LC-Rec, LETTER, MiniOneRec: an object of item id → list of tokens;
            - ``"flashrec"``: a catalog of ``"a,b,c"`` → items;
            - ``"npy"``: an integer array (n_items, width), as TIGER-style trainers read it, in the
              order of items;
            - ``"parquet"``: columns ``item_id`` and ``semantic_id``, a list; the file's metadata
              hold what the levels, the model and the catalog are;
            - ``"csv"``, ``"jsonl"``: the same as text;
            - ``"sidinspector"``: a CSV file with columns ``item_id``, ``sid_0``, …;
            - ``"torcheasyrec"``: a Parquet file with the lists ``codebook`` and
              ``offset_codebook``, whose levels have ranges of their own from 0, and ``index``,
              which counts the items that share an ID;
            - ``"grid"``: GRID's and NVIDIA's tensor (width, n_items), column i for item i;
            - ``"recbole"``: an atomic file, ``item_id:token`` and ``semantic_id:token_seq``.
        template : str, default="<{letter}_{code}>"
            Form of the tokens in ``"index.json"``; see `to_tokens`.

        Notes
        -----
        Other formats than Parquet have no room for what the IDs are: the sizes of the levels, which
        one is a suffix, the fingerprints of vocabulary, model and catalog. They go into a file
        beside, ``_NAME.vocabulary.json``, which `read` reads, and `TokenVocabulary.check` compares.
        """
        self._check_fitted()
        now = self.snapshot()
        about = now._levels_described(
            collisions=now._rules.collisions,
            suffix_size=now._rules.suffix_size,
            catalog_fingerprint=now.fingerprint,
            template=_tokens.token_form(template).template if format == "index.json" else None,
        )
        _formats.export(path, format, now.ids_, now.item_ids_, about, template)
