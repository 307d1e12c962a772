"""Pictures of codes and fits, after scikit-learn's displays.

Matplotlib is imported when something is drawn.
"""

from sklearn_rqvae.plotting._code_map import CodeMapDisplay
from sklearn_rqvae.plotting._codebook_map import CodebookMapDisplay
from sklearn_rqvae.plotting._collisions import CollisionDisplay
from sklearn_rqvae.plotting._prefix_tree import PrefixGroup, PrefixTreeDisplay
from sklearn_rqvae.plotting._rate_distortion import RateDistortionDisplay
from sklearn_rqvae.plotting._residual_norm import ResidualNormDisplay
from sklearn_rqvae.plotting._training_curve import TrainingCurveDisplay
from sklearn_rqvae.plotting._usage import CodebookUsageDisplay

__all__ = [
    "CodeMapDisplay",
    "CodebookMapDisplay",
    "CodebookUsageDisplay",
    "CollisionDisplay",
    "PrefixGroup",
    "PrefixTreeDisplay",
    "RateDistortionDisplay",
    "ResidualNormDisplay",
    "TrainingCurveDisplay",
]
