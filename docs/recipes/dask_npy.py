"""Codes of an array that lies in a file, read by the workers slice by slice."""

import sys

import numpy as np
from dask import compute, delayed
from dask.distributed import Client, LocalCluster

from sklearn_rqvae import RQVAETransformer

ROWS = 50_000


def encode(model, items, first):
    X = np.load(items, mmap_mode="r")  # opened here: a map in the graph is sent as its data
    return model.transform(X[first : first + ROWS])


def main(model, items, out):
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
        shared = client.scatter(RQVAETransformer.load(model), broadcast=True)
        n_rows = len(np.load(items, mmap_mode="r"))
        parts = [delayed(encode)(shared, items, first) for first in range(0, n_rows, ROWS)]
        np.save(out, np.concatenate(compute(*parts)))


if __name__ == "__main__":
    main(*sys.argv[1:])
