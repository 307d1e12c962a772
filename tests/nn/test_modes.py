"""Names of the quantize modes."""

import pytest

from sklearn_rqvae.nn import QuantizeForwardMode


def test_values_are_those_that_saved_configurations_may_hold():
    assert {mode.name: mode.value for mode in QuantizeForwardMode} == {
        "GUMBEL_SOFTMAX": 1,
        "STE": 2,
        "ROTATION_TRICK": 3,
        "SINKHORN": 4,
    }


@pytest.mark.parametrize("mode", list(QuantizeForwardMode))
def test_a_mode_is_a_member_or_its_name_in_any_case(mode):
    for spelling in (mode, mode.name, mode.name.lower(), mode.name.title()):
        assert QuantizeForwardMode.parse(spelling) is mode
        assert QuantizeForwardMode.parse_modes(spelling, 3) == [mode] * 3


def test_a_list_has_one_mode_for_each_level():
    modes = QuantizeForwardMode.parse_modes(("ste", QuantizeForwardMode.SINKHORN), 2)
    assert modes == [QuantizeForwardMode.STE, QuantizeForwardMode.SINKHORN]


@pytest.mark.parametrize("mode", ["straight", "", 2, None, True, 1.0])
def test_an_unknown_mode_is_named_along_with_the_known_ones(mode):
    with pytest.raises(ValueError, match=r"codebook_mode=.*'gumbel_softmax'.*'sinkhorn'"):
        QuantizeForwardMode.parse_modes(mode, 2)
    with pytest.raises(ValueError, match=r"codebook_mode="):
        QuantizeForwardMode.parse_modes(["ste", mode], 2)


def test_too_few_modes_are_refused():
    with pytest.raises(ValueError, match=r"1 entries but n_layers=2"):
        QuantizeForwardMode.parse_modes(["ste"], 2)
