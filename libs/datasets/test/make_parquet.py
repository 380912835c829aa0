"""Makes the Parquet files of libs/datasets/test/parquet with pyarrow 26: chats with tool calls by codec, and files that are to be refused.

    python libs/datasets/test/make_parquet.py
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

OUT = Path(__file__).parent / "parquet"
CHATS = [
    {
        "id": n,
        "messages": [
            {"role": "user", "content": f"Question {n}: naïve 🙂?", "name": None},
            {"role": "assistant", "content": f"Answer {n}.", "name": None},
        ],
        "when": None if n % 2 else "yesterday",
    }
    for n in range(1, 8)
]


def main() -> None:
    OUT.mkdir(exist_ok=True)
    table = pa.Table.from_pylist(CHATS)
    for codec in ["none", "snappy", "gzip", "zstd", "brotli", "lz4"]:
        # Several groups, and pages of either version.
        pq.write_table(table, OUT / f"{codec}.parquet", compression=codec, row_group_size=3,
                       data_page_version="2.0" if codec in ("zstd", "brotli") else "1.0")
    pairs = pa.Table.from_pylist([{"instruction": "Add.", "input": None, "output": "4", "score": 2**60}] * 2)
    pq.write_table(pairs, OUT / "alpaca.parquet")
    pq.write_table(pa.Table.from_pylist([{"text": "a", "label": 1}]), OUT / "no-columns.parquet")
    bad = pa.table({"prompt": pa.array([b"ok", b"\xff\xfe"], pa.binary()).view(pa.utf8()), "completion": ["a", "b"]})
    pq.write_table(bad, OUT / "not-utf8.parquet")
    # One value, and pages of a gigabyte and a half of zeros that take a few kilobytes.
    large = pa.table({"prompt": [b"\0" * (3 * 2**28)] * 2, "completion": ["a", "b"]})
    pq.write_table(large, OUT / "bomb.parquet", compression="brotli", compression_level=11, use_dictionary=False,
                   write_statistics=False)


if __name__ == "__main__":
    main()
    for file in sorted(OUT.iterdir()):
        print(file.name, file.stat().st_size)
