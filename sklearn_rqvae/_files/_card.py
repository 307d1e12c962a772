"""The model card of a fitted estimator: what it is, how its fit went, how to load it."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator

from sklearn_rqvae._versions import present_versions

__all__ = ["model_card"]

_TEMPLATE = """---
library_name: sklearn-rqvae
tags:
- semantic-ids
- {quantization}-quantization
- recommender-systems
- scikit-learn
---

# {kind}

Turns vectors of {n_features} numbers into semantic IDs of {n_levels} codes, and codes back into
vectors.

| | |
| --- | --- |
| Estimator | `sklearn_rqvae.{kind}` |
| Learned | {learned} |
| Codebooks | {sizes} |
| Codewords of | {embed_dim} numbers |
| Beams in the search | {n_beams} |
| Numbers in all | {n_numbers:,} |
| Fingerprint | `{fingerprint}` |
| Saved with | {versions} |

## The fit

{fit}

| Level | Codes | Used | Perplexity |
| --- | --- | --- | --- |
{levels}

"Used" is the share of codes that some training row has, the perplexity the number of equally used
codes of the same entropy. The vectors that it was fitted to, and what it is good for, are yours to
describe.

## Loading

```python
from sklearn_rqvae import {kind}

model = {kind}.from_pretrained("this folder, or user/model on the Hub")
codes = model.transform(X)  # X: (n_samples, {n_features})
X_hat = model.inverse_transform(codes)
```

Needs `pip install "sklearn-rqvae[hub]"`. The files hold plain values and arrays; loading runs no
code in them.
"""


def model_card(estimator: BaseEstimator, learned: str) -> str:
    """Describe a fitted estimator as the README.md of a repository of the Hub.

    Parameters
    ----------
    estimator : RQVAETransformer, ResidualKMeans or ProductQuantizer
        Fitted.
    learned : str
        How it was.

    Returns
    -------
    card : str
        Markdown, with the metadata that the Hub reads.
    """
    sizes = [len(codebook) for codebook in estimator.codebooks_]
    arrays = [*getattr(estimator, "state_", {}).values()] or list(estimator.codebooks_)
    return _TEMPLATE.format(
        kind=type(estimator).__name__,
        quantization="product" if hasattr(estimator, "rotation_") else "residual",
        learned=learned,
        n_features=estimator.n_features_in_,
        n_levels=len(sizes),
        sizes=" × ".join(map(str, sizes)),
        embed_dim=estimator.codebooks_[0].shape[1],
        n_beams=getattr(estimator, "n_beams", 1),
        n_numbers=sum(array.size for array in arrays),
        fingerprint=estimator.fingerprint,
        versions=", ".join(f"{name} {version}" for name, version in present_versions().items()),
        fit=_fit_in_words(estimator),
        levels="\n".join(
            _level_row(level, usage) for level, usage in enumerate(estimator.code_usage_)
        ),
    )


def _level_row(level: int, usage: np.ndarray) -> str:
    share = usage[usage > 0] / max(usage.sum(), np.finfo(np.float64).tiny)
    perplexity = np.exp(-(share * np.log(share)).sum()) if len(share) else 0.0
    return f"| {level} | {len(usage)} | {len(share) / len(usage):.1%} | {perplexity:.1f} |"


def _fit_in_words(estimator: BaseEstimator) -> str:
    n_rows = estimator.code_usage_[0].sum()
    text = f"Fitted to {n_rows:,.0f} distinct rows."
    history = getattr(estimator, "history_", None)
    if not history:
        return text
    figures = ", ".join(
        f"{name} {value:.4g}" for name, value in history[-1].items() if isinstance(value, float)
    )
    return f"{text} {len(history)} epochs, the last one with {figures}."
