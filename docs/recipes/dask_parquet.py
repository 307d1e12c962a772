"""IDs of a directory of Parquet files, each file encoded by the worker that reads it."""

import sys
from pathlib import Path

from dask import compute, delayed
from dask.distributed import Client, LocalCluster

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae.io import transform_parquet


def encode(model, file, out):
    return transform_parquet(model, file, out, id_column="sku", vector_column="vector").n_rows


def main(model, items, out):
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
        shared = client.scatter(RQVAETransformer.load(model), broadcast=True)
        files = sorted(Path(items).glob("*.parquet"))
        # Only names travel: a worker reads its file, and writes one of the same name.
        done = compute(*[delayed(encode)(shared, file, out) for file in files])
        print(f"{sum(done)} items in {len(done)} files")


if __name__ == "__main__":
    main(*sys.argv[1:])
