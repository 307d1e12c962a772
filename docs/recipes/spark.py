"""IDs of a directory of Parquet files with Spark, the model broadcast to all executors."""

import os
import sys

# The interpreter of the executors, which needs sklearn-rqvae, too: by default the first python3.
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

from pyspark.sql import SparkSession

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae.io import transform_batches


def main(model, items, out):
    spark = SparkSession.builder.getOrCreate()
    shared = spark.sparkContext.broadcast(RQVAETransformer.load(model))

    def encode(batches):
        return transform_batches(shared.value, batches, id_column="sku", vector_column="vector")

    rows = spark.read.parquet(items)
    rows.mapInArrow(encode, "sku long, semantic_id array<long>").write.parquet(out)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
