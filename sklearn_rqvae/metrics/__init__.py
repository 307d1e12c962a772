"""Measures of codes and reconstructions: numpy in, numbers out."""

from sklearn_rqvae.metrics._behavior import (
    PrefixSharing,
    consecutive_sharing,
    cooccurrence_lift,
    next_item_recall,
    popularity_load,
)
from sklearn_rqvae.metrics._collisions import (
    colliding_share,
    collision_floor,
    collision_rate,
    largest_group,
    prefix_group_sizes,
)
from sklearn_rqvae.metrics._distortion import (
    distortion_by_level,
    prefix_reconstructions,
    residual_norms,
)
from sklearn_rqvae.metrics._evenness import code_gini, code_perplexity
from sklearn_rqvae.metrics._hierarchy import hierarchy_consistency
from sklearn_rqvae.metrics._information import bits_per_item, joint_code_entropy
from sklearn_rqvae.metrics._labels import prefix_adjusted_mutual_info, prefix_purity
from sklearn_rqvae.metrics._neighbors import neighbor_recall, prefix_neighbor_recall
from sklearn_rqvae.metrics._reconstruction import (
    fraction_variance_unexplained,
    mean_cosine_similarity,
    reconstruction_error,
)
from sklearn_rqvae.metrics._scorers import (
    cosine_similarity_score,
    get_scorers,
    lowest_perplexity,
    lowest_utilization,
    neg_collision_rate,
    neg_fraction_variance_unexplained,
    neg_reconstruction_error,
    semantic_id_entropy,
)
from sklearn_rqvae.metrics._usage import code_usage, code_utilization, dead_codes, largest_bucket

__all__ = [
    "PrefixSharing",
    "bits_per_item",
    "code_gini",
    "code_perplexity",
    "code_usage",
    "code_utilization",
    "colliding_share",
    "collision_floor",
    "collision_rate",
    "consecutive_sharing",
    "cooccurrence_lift",
    "cosine_similarity_score",
    "dead_codes",
    "distortion_by_level",
    "fraction_variance_unexplained",
    "get_scorers",
    "hierarchy_consistency",
    "joint_code_entropy",
    "largest_bucket",
    "largest_group",
    "lowest_perplexity",
    "lowest_utilization",
    "mean_cosine_similarity",
    "neg_collision_rate",
    "neg_fraction_variance_unexplained",
    "neg_reconstruction_error",
    "neighbor_recall",
    "next_item_recall",
    "popularity_load",
    "prefix_adjusted_mutual_info",
    "prefix_group_sizes",
    "prefix_neighbor_recall",
    "prefix_purity",
    "prefix_reconstructions",
    "reconstruction_error",
    "residual_norms",
    "semantic_id_entropy",
]
