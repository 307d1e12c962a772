"""IDs of a directory of Parquet files with Ray Data: as many actors as there are CPUs for."""

import sys

import ray

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae.io import transform_batches


class Encode:
    def __init__(self, path):
        self.model = RQVAETransformer.load(path)

    def __call__(self, table):
        return next(transform_batches(self.model, [table], id_column="sku", vector_column="vector"))


def main(model, items, out):
    ray.data.read_parquet(items).map_batches(
        Encode,
        fn_constructor_args=(model,),
        batch_format="pyarrow",
        batch_size=4096,
        # From one actor up: a fixed number of them waits forever where they take all CPUs.
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=8),
    ).write_parquet(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
