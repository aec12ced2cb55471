"""What people find under the name of weights, and what it is."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile

from safetensors_corpus import Case, raw

from provision.tensorfile import FaultKind as K


def _zip(names: tuple[str, ...], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name in names:
            archive.writestr(name, b"weights" * 20)
    return buffer.getvalue()


_LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9976576392\n"
_DICT = {f"layer.{i}": [0.5] * 40 for i in range(9)}

FOREIGN: tuple[Case, ...] = (
    raw("an-empty-file", b"", K.EMPTY),
    raw("one-zero-byte", b"\0", K.ZEROS),
    raw("eight-zero-bytes", bytes(8), K.ZEROS),
    raw("a-reserved-gigabyte", bytes(4096), K.ZEROS, 2**30),
    raw("a-git-lfs-pointer", _LFS, K.LFS_POINTER),
    raw("a-git-lfs-pointer-that-was-cut", _LFS[:30], K.LFS_POINTER),
    raw("a-pre-release-lfs-pointer", b"version https://hawser.github.com/spec/v1\noid sha256:0", K.LFS_POINTER),
    raw("an-html-page", b"<!DOCTYPE html>\n<html><head><title>Sign in</title>", K.HTML),
    raw("an-html-page-in-small-letters", b"\n  <html lang=en><body>404", K.HTML),
    raw("an-html-page-after-a-byte-order-mark", b"\xef\xbb\xbf<!doctype html><html>", K.HTML),
    raw("an-html-page-after-a-comment", b"<!-- proxy -->\r\n<head><title>Blocked", K.HTML),
    raw("an-xhtml-page", b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0">', K.HTML),
    raw("an-s3-error", b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>', K.XML),
    raw("an-s3-error-without-a-declaration", b"<Error><Code>NoSuchKey</Code></Error>", K.XML),
    raw("a-json-error", b'{"error":"Repository not found"}', K.JSON),
    raw("an-indented-json-error", b'{\n  "Code": 404, "Message": "\xe4\xb8\x8d"\n}', K.JSON),
    raw("an-empty-json-object", b"{}", K.JSON),
    raw("a-json-list", b'[{"error":"x"}]', K.JSON),
    raw("a-plain-refusal", b"Entry not found", K.TEXT),
    raw("a-gzip-file", gzip.compress(bytes(range(256)), mtime=1_700_000_000), K.GZIP),
    raw("a-gzip-file-without-a-time", gzip.compress(bytes(range(256)), mtime=0), K.GZIP),
    raw("a-large-gzip-file-whose-magic-is-a-legal-length", gzip.compress(bytes(9), mtime=0), K.GZIP, 2**30),
    raw("a-zip-file", _zip(("archive/data.pkl",)), K.ZIP),
    raw("a-large-zip-file-whose-magic-is-a-legal-length", b"PK\x03\x04" + bytes(6) + b"weights", K.ZIP, 2**30),
    raw("an-empty-zip-file", _zip(()), K.ZIP),
    *(raw(f"a-pickle-of-protocol-{n}", pickle.dumps(_DICT, n), K.PICKLE) for n in (2, 3, 4, 5)),
    raw("a-legacy-torch-checkpoint", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", K.PICKLE),
    raw("a-gguf-file", b"GGUF\x03\0\0\0" + bytes(16), K.GGUF),
)
