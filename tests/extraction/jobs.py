"""The embedding job of the tests."""

import passerby
from passerby.extraction import embed_source, file_systems
from passerby.extraction.items import SourceOptions

FAST = passerby.EmbedSettings(runtime="onnx", shard_size=10, batch=4)
BY_CAMERA = SourceOptions(folders="camera")


def run_with_one_try(*arguments):
    """Run a worker process that requests each file of an object store once."""
    file_systems.RETRY_WAITS = ()
    embed_source._run_worker(*arguments)


def contents(out):
    """Bytes of the shards and of the tables of errors by name."""
    return {path.relative_to(out): path.read_bytes() for path in sorted(out.glob("*/*.parquet"))}
