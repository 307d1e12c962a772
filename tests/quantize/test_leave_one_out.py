"""Test errors without a row against refits without it."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from sklearn_rqvae.quantize._beam import beam_search
from sklearn_rqvae.quantize._distinct import number_tuples
from sklearn_rqvae.quantize._leave_one_out import leave_one_out_errors
from sklearn_rqvae.quantize._pairs import PairKeys
from sklearn_rqvae.quantize._regression import reconstruct, regress
from sklearn_rqvae.quantize._soft_codes import SoftCodes, soft_codes
from tests.quantize.test_interactions import generator, interacting_rows


@pytest.mark.parametrize("weighted", [False, True])
def test_leave_one_out_errors_equal_refits_without_the_row(weighted):
    # With one level the groups are disjoint, and the shortcut is exact.
    z = torch.randn(12, 3, generator=generator())
    codebook = torch.randn(3, 3, generator=generator(1))
    weight = torch.rand(12, generator=generator(2)) + 0.5 if weighted else torch.ones(12)
    candidates, _ = beam_search(z, [codebook], 3)
    soft = SoftCodes(candidates[:, :1], weight[:, None])
    fitted = regress(z, [codebook], soft, max_floats=0)
    shortcut = leave_one_out_errors(z, fitted, candidates, soft)
    for i in range(12):
        kept = torch.arange(12) != i
        refit = regress(z[kept], [codebook], SoftCodes(soft.codes[kept], soft.weight[kept]), 0)
        expected = (z[i] - refit.codebooks[0][candidates[i, :, 0]]).square().sum(1)
        torch.testing.assert_close(shortcut[i], expected, rtol=1e-3, atol=1e-4)


def test_leaving_a_row_out_costs_most_where_it_is_alone():
    z = interacting_rows(60)
    codebooks = [torch.randn(4, 6, generator=generator(level)) for level in range(2)]
    candidates, errors = beam_search(z, codebooks, 16)
    ids = number_tuples(candidates, [4, 4])
    soft = soft_codes(candidates, ids, errors, torch.ones(60))
    fitted = regress(z, codebooks, soft, max_floats=1000)
    pair_keys = PairKeys([4, 4])
    inside = (z[:, None] - reconstruct(soft.codes[:, :1], fitted, pair_keys)).square().sum(-1)
    outside = leave_one_out_errors(z, fitted, soft.codes[:, :1], soft)
    assert (outside >= inside - 1e-4).all()
    assert outside.sum() > 1.05 * inside.sum()


HOLES = """
    import torch
    from sklearn_rqvae.quantize._interactions import fit_interactions

    def peak():
        status = open("/proc/self/status").read()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    torch.set_num_threads(1)
    draws = torch.Generator().manual_seed(0)
    codebooks = [torch.randn(64, 256, generator=draws) for _ in range(3)]
    z = torch.randn(12_000, 256, generator=draws)
    fit_interactions(z[:2000], codebooks, max_floats=100_000)
    before = peak()
    fit_interactions(z, codebooks, max_floats=100_000)
    print((peak() - before) / 10_000)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_small_results_leave_no_holes_in_memory():
    # With each chunk's errors in an array of its own it was 14.7 KB a row, now 10.
    command = [sys.executable, "-c", textwrap.dedent(HOLES)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert float(done.stdout) < 12_500
