"""The embedding job of the tests."""

import passerby
from passerby.extraction.items import SourceOptions

FAST = passerby.EmbedSettings(runtime="onnx", shard_size=10, batch=4)
BY_CAMERA = SourceOptions(folders="camera")


def contents(out):
    """Bytes of the shards and of the tables of errors by name."""
    return {path.relative_to(out): path.read_bytes() for path in sorted(out.glob("*/*.parquet"))}
