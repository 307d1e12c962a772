"""A model fitted on a cluster: the vectors stay with the workers that read them."""

import sys

from dask.distributed import Client, LocalCluster

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae.io import parquet_array


def main(items, model):
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster):
        X = parquet_array(items, vector_column="vector")  # X.persist() keeps it in the workers
        RQVAETransformer(subsample=None, random_state=0).fit(X).save(model)


if __name__ == "__main__":
    main(*sys.argv[1:])
