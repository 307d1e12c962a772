"""Messages name options, and leave what the user has named alone."""

import pytest

from sklearn_rqvae._cli._options import in_options


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('use more levels, or collisions="suffix".', "use more levels, or --collisions suffix."),
        ("item_type='int', but 's0' is none", "--item-type int, but 's0' is none"),
        ("model='a/b' can't be loaded", "--text-model a/b can't be loaded"),
        ("a smaller n_components.", "a smaller --n-components."),
        ("n_components=256 is more than", "--n-components=256 is more than"),
        ("item_ids should be unique: id_column='sku'", "item ids should be unique: --id sku"),
        ("data/n_layers.csv has no column 'n_layers'; it has 'codebook_size'", None),
        ("item_ids.csv: line 2, item_ids/a.csv, my_item_ids", None),
        ("--max-epochs needs --mode", None),
        ("a larger subsample than 5.", "a larger --subsample than 5."),
        ("semantic_id.suggest_sizes(100) shows more", "sklearn-rqvae sizes 100 shows more"),
        ("A SemanticIDIndex makes IDs unique.", "sklearn-rqvae index build makes IDs unique."),
        ("no such option: --my_own_file_name.csv in ./--a_b", None),
    ],
)
def test_parameters_become_options_and_names_stay(message, expected):
    assert in_options(message) == (message if expected is None else expected)
