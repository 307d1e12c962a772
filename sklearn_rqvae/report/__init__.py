"""Judge a fitted quantizer: numbers, pictures, and whether it is worth it."""

from sklearn_rqvae.report._behavior import Behavior, PrefixBehavior
from sklearn_rqvae.report._comparison import Comparison, Contender
from sklearn_rqvae.report._findings import Finding
from sklearn_rqvae.report._measures import LevelMeasures, Measures
from sklearn_rqvae.report._pictures import Picture
from sklearn_rqvae.report._report import Report, report
from sklearn_rqvae.report._samples import ItemGroup, ItemSample

__all__ = [
    "Behavior",
    "Comparison",
    "Contender",
    "Finding",
    "ItemGroup",
    "ItemSample",
    "LevelMeasures",
    "Measures",
    "Picture",
    "PrefixBehavior",
    "Report",
    "report",
]
