"""Files at the edge of the format that must be accepted."""

from __future__ import annotations

import json

from safetensors_corpus import Case, entry, file, one

from provision.tensorfile import BITS


def _chain(count: int, size: int = 1) -> str:
    return json.dumps(
        {f"t{i}": {"dtype": "U8", "shape": [size], "data_offsets": [i * size, (i + 1) * size]} for i in range(count)}
    )


_HUGE = 40 * 2**30
_PAIR = f'"a":{entry()},"b":{entry(offsets="[1,2]")}'

LEGAL: tuple[Case, ...] = (
    file("no-tensors", "{}"),
    file("no-tensors-padded-to-8", "{}      "),
    file("no-tensors-padded-far", "{}" + " " * 4096),
    file("space-inside-an-empty-object", "{ \t\r\n }"),
    file("only-metadata", '{"__metadata__":{"format":"pt"}}'),
    file("empty-metadata", '{"__metadata__":{}}'),
    file("null-metadata-as-mlx-writes-it", f'{{"__metadata__":null,"a":{entry()}}}', 1),
    file("metadata-after-the-tensors", f'{{"a":{entry()},"__metadata__":{{"k":"v"}}}}', 1),
    file("metadata-key-written-with-an-escape", '{"\\u005f_metadata__":{"k":"v"}}'),
    file("metadata-with-empty-key-and-value", '{"__metadata__":{"":""}}'),
    file("metadata-holding-json-as-text", r'{"__metadata__":{"workflow":"{\"nodes\":[{\"id\":1}]}"}}'),
    file("metadata-with-every-escape", r'{"__metadata__":{"k":"\" \\ \/ \b \f \n \r \t \u0000 \u00e9"}}'),
    file("metadata-with-a-surrogate-pair", r'{"__metadata__":{"k":"\ud83d\ude00"}}'),
    file("metadata-with-a-raw-emoji", '{"__metadata__":{"k":"\U0001f600"}}'),
    file("metadata-with-a-noncharacter", '{"__metadata__":{"k":"\uffff"}}'),
    file("metadata-with-a-delete-character", '{"__metadata__":{"k":"\x7f"}}'),
    file("metadata-of-a-megabyte", json.dumps({"__metadata__": {"k": "x" * 2**20}})),
    file("metadata-of-a-megabyte-of-escapes", json.dumps({"__metadata__": {"k": "\n" * 2**19}})),
    file("metadata-differing-in-case-only", '{"__metadata__":{"k":"1","K":"2"}}'),
    one("one-byte", entry()),
    one("indented-json", entry().replace(",", ",\n\t ").replace(":", " :\r\n ")),
    one("space-inside-lists", entry(shape="[ 1 , 1 ]", offsets="[ 0 , 1 ]")),
    one("fields-in-another-order", '{"data_offsets":[0,1],"shape":[1],"dtype":"U8"}'),
    one("fields-in-yet-another-order", '{"shape":[1],"data_offsets":[0,1],"dtype":"U8"}'),
    one("field-written-with-an-escape", r'{"\u0064type":"U8","shape":[1],"data_offsets":[0,1]}'),
    one("dtype-written-with-an-escape", entry(dtype=r"\u0055\u0038")),
    one("scalar", entry(shape="[]")),
    one("scalar-with-a-space", entry(shape="[ ]")),
    one("zero-size", entry(shape="[0]", offsets="[0,0]"), 0),
    one("zero-times-the-largest", entry(shape="[0,18446744073709551615,2]", offsets="[0,0]"), 0),
    one("the-largest-times-zero", entry(shape="[18446744073709551615,0]", offsets="[0,0]"), 0),
    one("rank-64", entry(shape=f"[{','.join('1' * 64)}]")),
    one("rank-65", entry(shape=f"[{','.join('1' * 65)}]")),
    one("rank-9999", entry(shape=f"[{','.join('1' * 9999)}]")),
    one("40-gigabytes", entry(shape=f"[{_HUGE}]", offsets=f"[0,{_HUGE}]"), _HUGE),
    one("two-f4-in-a-byte", entry("F4", "[2]")),
    one("a-packed-f4-matrix", entry("F4", "[3,32]", "[0,48]"), 48),
    one("four-f6-in-three-bytes", entry("F6_E2M3", "[4]", "[0,3]"), 3),
    one("no-f4-at-all", entry("F4", "[0]", "[0,0]"), 0),
    file("empty-name", f'{{"":{entry()}}}', 1),
    file("name-with-a-nul", f'{{"a\\u0000":{entry()}}}', 1),
    file("name-with-a-slash-and-dots", f'{{"../../etc/passwd":{entry()}}}', 1),
    file("name-in-chinese", f'{{"模型.权重":{entry()}}}', 1),
    file("name-in-chinese-escaped", f'{{"\\u6a21\\u578b":{entry()}}}', 1),
    file("name-of-a-megabyte", f'{{"{"x" * 2**20}":{entry()}}}', 1),
    file("names-that-only-look-equal", f'{{"\u00e9":{entry()},"e\u0301":{entry(offsets="[1,2]")}}}', 2),
    file("name-almost-metadata", f'{{"__metadata":{entry()}}}', 1),
    file("two-tensors", f"{{{_PAIR}}}", 2),
    file("two-tensors-against-the-order-of-bytes", f'{{"b":{entry(offsets="[1,2]")},"a":{entry()}}}', 2),
    file("empty-tensor-at-its-place", f'{{{_PAIR},"c":{entry(shape="[0]", offsets="[1,1]")}}}', 2),
    file("empty-tensor-at-the-end", f'{{"a":{entry()},"b":{entry(shape="[0]", offsets="[1,1]")}}}', 1),
    file(
        "empty-tensors-together",
        f'{{"a":{entry(shape="[0]", offsets="[0,0]")},"b":{entry(shape="[2,0]", offsets="[0,0]")}}}',
    ),
    file("misaligned-f32", f'{{"a":{entry()},"b":{entry("F32", "[1]", "[1,5]")}}}', 5),
    file("misaligned-data", f'{{"a":{entry("F64", "[1]", "[0,8]")}}} ', 8),
    file("written-by-json-dumps", _chain(3), 3),
    file("a-thousand-tensors", _chain(1000), 1000),
    file("four-gigabyte-tensors", _chain(4, 2**30), 4 * 2**30),
    *(file(f"dtype-{dtype}", f'{{"a":{entry(dtype, "[8]", f"[0,{bits}]")}}}', bits) for dtype, bits in BITS.items()),
)
