"""Semantic IDs as a catalog: unique, stable, searchable, ready for a generator."""

from ._assignment import last_level_candidates
from ._catalog import PrefixCapacity
from ._drift import DriftReport, FitShift, compare_catalogs, fit_shift, match_codebooks
from ._formats import level_letters, token_ids_to_ids, token_names, tokens_to_ids
from ._generate import PrefixAllowedTokens, offset_token_table
from ._index import SemanticIDIndex
from ._report import CollisionReport
from ._trie import SemanticIDTrie

__all__ = [
    "CollisionReport",
    "DriftReport",
    "FitShift",
    "PrefixAllowedTokens",
    "PrefixCapacity",
    "SemanticIDIndex",
    "SemanticIDTrie",
    "compare_catalogs",
    "fit_shift",
    "last_level_candidates",
    "level_letters",
    "match_codebooks",
    "offset_token_table",
    "token_ids_to_ids",
    "token_names",
    "tokens_to_ids",
]
