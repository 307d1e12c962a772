"""Semantic IDs as a catalog: unique, stable, searchable, ready for a generator."""

from sklearn_rqvae.semantic_id._catalog import PrefixCapacity
from sklearn_rqvae.semantic_id._collisions._assignment import last_level_candidates
from sklearn_rqvae.semantic_id._collisions._candidates import candidate_codes
from sklearn_rqvae.semantic_id._drift import (
    DriftReport,
    FitShift,
    compare_catalogs,
    fit_shift,
    match_codebooks,
)
from sklearn_rqvae.semantic_id._generate import PrefixAllowedTokens
from sklearn_rqvae.semantic_id._index import SemanticIDIndex
from sklearn_rqvae.semantic_id._plan import RefitPlan
from sklearn_rqvae.semantic_id._prefix_features import PrefixFeatures
from sklearn_rqvae.semantic_id._report import CollisionReport
from sklearn_rqvae.semantic_id._sizes import (
    SuggestedSizes,
    expected_collision_rate,
    suggest_sizes,
)
from sklearn_rqvae.semantic_id._tokens import (
    level_letters,
    offset_token_table,
    token_ids_to_ids,
    token_names,
    tokens_to_ids,
)
from sklearn_rqvae.semantic_id._trie import SemanticIDTrie, TrieArrays
from sklearn_rqvae.semantic_id._trie_static import StaticIndex
from sklearn_rqvae.semantic_id._vocabulary import TokenVocabulary

__all__ = [
    "CollisionReport",
    "DriftReport",
    "FitShift",
    "PrefixAllowedTokens",
    "PrefixCapacity",
    "PrefixFeatures",
    "RefitPlan",
    "SemanticIDIndex",
    "SemanticIDTrie",
    "StaticIndex",
    "SuggestedSizes",
    "TokenVocabulary",
    "TrieArrays",
    "candidate_codes",
    "compare_catalogs",
    "expected_collision_rate",
    "fit_shift",
    "last_level_candidates",
    "level_letters",
    "match_codebooks",
    "offset_token_table",
    "suggest_sizes",
    "token_ids_to_ids",
    "token_names",
    "tokens_to_ids",
]
