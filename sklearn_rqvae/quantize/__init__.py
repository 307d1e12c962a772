"""Residual quantization on tensors, without estimators or training loops.

The files hold one idea each: the nearest codeword (`_distance`), codewords from data (`_kmeans`),
beam search over levels (`_beam`), least-squares codewords for given codes (`_refine`), and these
put together (`_additive`). Import the functions from their files; this package re-exports
nothing, so that importing it stays free.
"""
