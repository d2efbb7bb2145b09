"""Parquet files written by pyarrow, for tests of our reader: `python parquet_kinds.py FOLDER`.

`kinds.parquet` has a column of every type, in three row groups with different compressions, the second of them empty;
`pages.parquet` has the same texts in other encodings and version 2 pages. Made with pyarrow 26.0.1.
"""

import datetime
import decimal
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

folder = sys.argv[1]
texts = ["She left.", None, "Zoë 王"]
numbers = [-1, None, 1]
tens = [decimal.Decimal("-0.6"), None, decimal.Decimal("12.5")]
columns = {
    "string": pa.array(texts),
    "large": pa.array(texts, pa.large_string()),
    "view": pa.array(texts, pa.string_view()),
    "binary": pa.array([t and t.encode() for t in texts]),
    "dictionary": pa.array(texts).dictionary_encode(),
    "wide_dictionary": pa.DictionaryArray.from_arrays(pa.array([0, None, 1], pa.int64()), pa.array([texts[0], texts[2]])),
    "required": pa.array(["a", "b", "c"]),
    "int8": pa.array(numbers, pa.int8()),
    "int16": pa.array(numbers, pa.int16()),
    "int32": pa.array(numbers, pa.int32()),
    "int64": pa.array(numbers, pa.int64()),
    "uint8": pa.array([255, None, 1], pa.uint8()),
    "uint32": pa.array([2**32 - 1, None, 1], pa.uint32()),
    "uint64": pa.array([2**64 - 1, None, 1], pa.uint64()),
    "float16": pa.array([np.float16(-0.5), None, np.float16(1)], pa.float16()),
    "float32": pa.array([-0.6, None, 1.0], pa.float32()),
    "float64": pa.array([-0.6, None, 1e-7]),
    "decimal32": pa.array(tens, pa.decimal128(5, 1)).cast(pa.decimal128(9, 1)),
    "decimal128": pa.array(tens, pa.decimal128(30, 2)),
    "decimal256": pa.array(tens, pa.decimal256(60, 2)),
    "boolean": pa.array([True, None, False]),
    "null": pa.nulls(3),
    "timestamp": pa.array([datetime.datetime(2024, 1, 1)] * 3, pa.timestamp("ns", "UTC")),
    "date": pa.array([datetime.date(2024, 1, 1)] * 3),
    "time": pa.array([datetime.time(1)] * 3),
    "duration": pa.array([datetime.timedelta(1)] * 3),
    "list": pa.array([["a"], None, []]),
    "struct": pa.array([{"lean": 1}, None, {"lean": None}]),
    "map": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int8())),
    "uuid": pa.array([b"0123456789abcdef"] * 3, pa.binary(16)),
}
fields = [pa.field(name, array.type, nullable=name != "required") for name, array in columns.items()]
table = pa.table(list(columns.values()), schema=pa.schema(fields))
codecs = ["snappy", "gzip", "brotli", "zstd", "lz4", "none"]
leaves = []
for field in fields:
    if pa.types.is_list(field.type):
        leaves.append("list.list.element")
    elif pa.types.is_struct(field.type):
        leaves.append("struct.lean")
    elif pa.types.is_map(field.type):
        leaves += ["map.key_value.key", "map.key_value.value"]
    else:
        leaves.append(field.name)
compression = {leaf: codecs[i % len(codecs)] for i, leaf in enumerate(leaves)}
with pq.ParquetWriter(f"{folder}/kinds.parquet", table.schema, compression=compression) as writer:
    writer.write_table(table.slice(0, 2))
    writer.write_table(table.slice(0, 0))
    writer.write_table(table.slice(2, 1))

pages = pa.table({"_id": pa.array(["a", "b", "c"]), "text": pa.array(["x", "xy", "xyz"]), "lean": pa.array([1.0, -1.0, None])})
pq.write_table(
    pages,
    f"{folder}/pages.parquet",
    version="2.6",
    data_page_version="2.0",
    use_dictionary=False,
    column_encoding={"_id": "DELTA_LENGTH_BYTE_ARRAY", "text": "DELTA_BYTE_ARRAY", "lean": "BYTE_STREAM_SPLIT"},
)
