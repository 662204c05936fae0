"""Hostile and odd images, by name: the layers or the files of each, and what becomes of it.

A text is what the refusal says, a mapping is the tree: ``DIR``, a file's bytes, or ``-> TARGET``.
"""

from __future__ import annotations

import gzip
import string
from collections.abc import Iterator, Mapping
from typing import Any

import zstandard

from tests.unit.enclaver.core.oci import archives
from tests.unit.enclaver.core.oci.archives import (
    AMD64,
    ARM64,
    GNU,
    INDEX,
    LAYER,
    MANIFEST,
    V7,
    descriptor,
    folder,
    hard_link,
    header,
    long_name,
    member,
    parts,
    pax,
    record,
    symlink,
    tar,
    to_json,
)

Outcome = str | Mapping[str, object]
Layers = list[bytes]
Files = Mapping[str, bytes] | bytes

#: Where an unpacker would write that believes what it is told.
OUTSIDE = "/tmp/enclaver-corpus-was-here"
UP = "../" * 12 + OUTSIDE[1:]

BASE = tar(folder("d"), member("d/x", b"x"), member("f", b"f"), symlink("l", "d"))
LEFT: Mapping[str, object] = {"d": "DIR", "d/x": b"x", "f": b"f", "l": "-> d"}
ONE = tar(member("f", b"f"))
F: Mapping[str, object] = {"f": b"f"}
FOLLOW = "extended headers follow each other"


def layers() -> Iterator[tuple[str, Layers, Outcome]]:
    """Yield images by their layers."""
    for name, *rest in (*_traversals(), *_links(), *_whiteouts(), *_kinds(), *_numbers(), *_extensions(), *_ends()):
        data, outcome = rest
        assert isinstance(outcome, str | Mapping)
        assert isinstance(data, list)
        yield name, data, outcome


def _traversals() -> Iterator[tuple[str, Layers, Outcome]]:
    dots = "has a '..'"
    for path in ("..", "../x", UP, "d/../../x", "d/..", "./../x", "/../x", "d/../f", "d/./../../x", "//..//x"):
        yield f"file at {path!r}", [BASE, tar(member(path, b"!"))], dots
    for path in ("../", "d/../.."):
        yield f"folder at {path!r}", [tar(folder(path))], dots
    yield "link at ../x", [tar(symlink("../x", "f"))], dots
    yield "pax path up", [tar(pax({"path": UP}), member("x"))], dots
    yield "GNU long name up", [tar(long_name(UP.encode()), member("x"))], dots
    yield "ustar prefix up", [tar(member("x", prefix=b"../.."))], dots
    yield "hard link's target up", [BASE, tar(hard_link("h", UP))], dots
    yield "pax link's target up", [BASE, tar(pax({"linkpath": UP}), hard_link("h", "f"))], dots
    yield "GNU long target up", [BASE, tar(long_name(UP.encode(), b"K"), hard_link("h", "f"))], dots
    yield "whiteout up", [BASE, tar(member("../.wh.x"))], dots
    yield "whiteout of ..", [BASE, tar(member("d/.wh..."))], "is no whiteout"
    yield "whiteout of .", [BASE, tar(member("d/.wh.."))], "is no whiteout"
    yield "whiteout of nothing", [BASE, tar(member("d/.wh."))], "is no whiteout"
    yield "absolute name", [tar(member("/f", b"f"))], F
    yield "absolute name outside", [tar(member(OUTSIDE, b"f"))], {"tmp": "DIR", OUTSIDE[1:]: b"f"}
    yield "dots that stay", [tar(member("./././f", b"f"))], F
    yield "backslashes are a name", [tar(member("..\\f", b"f"))], {"..\\f": b"f"}
    yield "three dots are a name", [tar(member(".../f", b"f"))], {"...": "DIR", ".../f": b"f"}
    yield "the root as a file", [tar(member("./", b"x"))], "stands for the image's root"
    yield "the root as a link", [tar(symlink("/", "/etc"))], "stands for the image's root"
    yield "the root as a hard link", [BASE, tar(hard_link(".", "f"))], "stands for the image's root"
    yield "no name", [tar(member("", b"x"))], "stands for the image's root"
    yield "a NUL ends a name", [tar(member(b"f\0/../../x", b"f"))], F


def _links() -> Iterator[tuple[str, Layers, Outcome]]:
    absolute, above, nothing = "to the absolute path", "above the image's root", "through a symbolic link to nothing"
    yield "link out, as data", [tar(symlink("s", OUTSIDE))], {"s": f"-> {OUTSIDE}"}
    yield "link up, as data", [tar(symlink("s", UP))], {"s": f"-> {UP}"}
    yield "written through an absolute link", [tar(symlink("s", "/tmp"), member("s/x", b"!"))], absolute
    yield "written through one of a layer below", [tar(symlink("s", "/")), tar(member(f"s{OUTSIDE}", b"!"))], absolute
    yield "a folder made through it", [tar(symlink("s", "/tmp"), folder("s/x"))], absolute
    yield "hidden through it", [tar(symlink("s", "/tmp")), tar(member("s/.wh.x"))], absolute
    yield "opaque through it", [tar(symlink("s", "/tmp")), tar(member("s/.wh..wh..opq"))], absolute
    yield "linked through it", [tar(symlink("s", "/etc"), hard_link("h", "s/passwd"))], absolute
    yield "two links in a row", [tar(symlink("s", "t"), symlink("t", "/tmp"), member("s/x", b"!"))], absolute
    yield "written through a link up", [tar(symlink("s", ".."), member("s/x", b"!"))], above
    yield "through many ups", [tar(symlink("s", "../" * 12 + "tmp"), member("s/x", b"!"))], above
    yield "from a folder up", [tar(folder("d"), symlink("d/s", "../.."), member("d/s/x", b"!"))], above
    yield "up by two links", [tar(folder("d"), symlink("d/s", ".."), symlink("u", "d/s/.."), member("u/x"))], above
    yield "through a dangling link", [tar(symlink("s", "gone"), member("s/x"))], nothing
    yield "through a half dangling link", [BASE, tar(symlink("s", "d/gone/more"), member("s/x"))], nothing
    yield "through a link to itself", [tar(symlink("s", "s"), member("s/x"))], "too many symbolic links"
    yield "through links in a circle", [tar(symlink("s", "t"), symlink("t", "s"), member("s/x"))], "too many symbolic"
    yield "through a link to a file", [BASE, tar(symlink("s", "f"), member("s/x"))], "lies below 'f', which is a file"
    yield "below a file", [BASE, tar(member("f/x"))], "lies below 'f', which is a file"
    yield "below a file, far", [BASE, tar(member("f/x/y/z"))], "lies below 'f', which is a file"
    yield "through a link that stays", [BASE, tar(member("l/y", b"y"))], {**LEFT, "d/y": b"y"}
    yield (
        "through a link and up",
        [BASE, tar(symlink("d/s", "../d"), member("d/s/y", b"y"))],
        {
            **LEFT,
            "d/s": "-> ../d",
            "d/y": b"y",
        },
    )
    yield "a link to the root", [BASE, tar(symlink("s", "."), member("s/y", b"y"))], {**LEFT, "s": "-> .", "y": b"y"}
    yield "a link replaced, then used", [BASE, tar(folder("l"), member("l/y", b"y"))], {**LEFT, "l": "DIR", "l/y": b"y"}
    yield (
        "a link hidden, then a folder",
        [BASE, tar(member(".wh.l"), member("l/y", b"y"))],
        {
            **LEFT,
            "l": "DIR",
            "l/y": b"y",
        },
    )
    yield "a link without a target", [tar(symlink("s", ""))], "target is empty"
    yield "a link with an endless target", [tar(pax({"linkpath": "x" * 5000}), symlink("s", "x"))], "too long"
    missing = "which is not there"
    yield "hard link to nothing", [tar(hard_link("h", "gone"))], missing
    yield "hard link to itself", [BASE, tar(hard_link("f", "f"))], missing
    yield "hard link without a target", [BASE, tar(hard_link("h", ""))], missing
    yield "hard link to what is hidden", [BASE, tar(member(".wh.f"), hard_link("h", "f"))], missing
    yield "hard link to what comes later", [tar(hard_link("h", "f"), member("f"))], missing
    yield "hard link out", [tar(hard_link("h", "/etc/passwd"))], missing
    yield "hard link in place of what holds it", [BASE, tar(hard_link("d", "d/x"))], missing
    yield "hard link to a folder", [BASE, tar(hard_link("h", "d"))], "which is a folder"
    yield "hard link through a file", [BASE, tar(hard_link("h", "f/x"))], "which is a file"
    yield "hard link to a link", [BASE, tar(hard_link("h", "l"))], {**LEFT, "h": "-> d"}
    yield (
        "hard link of a hard link",
        [BASE, tar(hard_link("g", "f"), hard_link("h", "g"))],
        {
            **LEFT,
            "g": b"f",
            "h": b"f",
        },
    )
    yield (
        "hard link, then its target is replaced",
        [BASE, tar(hard_link("g", "f"), member("f", b"2"))],
        {
            **LEFT,
            "f": b"2",
            "g": b"f",
        },
    )
    yield "hard link with a size", [tar(member("f", b"f"), hard_link("g", "f", size=99))], {**F, "g": b"f"}


def _whiteouts() -> Iterator[tuple[str, Layers, Outcome]]:
    none = "is no whiteout"
    for name in (".wh..wh.plnk", ".wh..wh.aufs", ".wh..wh..", ".wh..wh.", ".wh..wh..opq2", ".wh..wh..opq.x"):
        yield f"whiteout {name}", [BASE, tar(member(name))], none
    yield "whiteout as a folder", [BASE, tar(folder(".wh.d"))], "not a folder"
    yield "whiteout as a link", [BASE, tar(symlink(".wh.d", "f"))], "not a symbolic link"
    yield "whiteout as a hard link", [BASE, tar(hard_link(".wh.d", "f"))], "not a hard link"
    yield "something in a whiteout", [BASE, tar(member(".wh.d/x"))], "lies in a whiteout"
    yield "something in an opaque one", [BASE, tar(member("d/.wh..wh..opq/x"))], "lies in a whiteout"
    yield "whiteout with content", [BASE, tar(member(".wh.d", b"content"))], {"f": b"f", "l": "-> d"}
    yield "whiteout of what never was", [BASE, tar(member(".wh.gone"), member("gone/.wh.x"))], LEFT
    yield "whiteout in the lowest layer", [tar(member(".wh.x"), member("f", b"f"))], F
    yield "whiteout twice", [BASE, tar(member(".wh.d"), member(".wh.d"))], {"f": b"f", "l": "-> d"}
    yield "whiteout of its own layer's", [tar(member("f", b"f"), member(".wh.f"))], F
    yield "all hidden", [BASE, tar(member(".wh..wh..opq"))], {}
    yield (
        "hidden and back in a third",
        [BASE, tar(member(".wh.d")), tar(member("d/y", b"y"), member(".wh.l"))],
        {
            **F,
            "d": "DIR",
            "d/y": b"y",
        },
    )
    yield "whiteouts by the long way", [BASE, tar(member(".//d/./.wh.x"))], {**F, "d": "DIR", "l": "-> d"}
    yield "a name that almost is one", [tar(member(".wh", b"1"), member("wh.x", b"2"))], {".wh": b"1", "wh.x": b"2"}


def _kinds() -> Iterator[tuple[str, Layers, Outcome]]:
    for kind, what in {
        "3": "a character device",
        "4": "a block device",
        "6": "a fifo",
        "7": "a contiguous file",
        "S": "a sparse file",
        "D": "a part of an incremental dump",
        "M": "the rest of a file",
        "V": "a volume's label",
    }.items():
        yield f"kind {kind}", [tar(header("x", kind.encode()))], f"x: is {what}"
    for kind in sorted({*string.ascii_letters, *"89!? \x01\xff"} - set("SDMVxgLK")):
        yield f"kind {kind!r}", [tar(header("x", kind.encode("latin-1")))], "x: is of a kind that is not known"
    for version in ("0.0", "0.1", "1.0"):
        major, minor = version.split(".")
        told = pax({"GNU.sparse.major": major, "GNU.sparse.minor": minor})
        yield f"sparse by pax {version}", [tar(told, member("x"))], "x: is a sparse file"
    yield "an old folder", [tar(header("d/", b"\0", magic=V7), member("f", b"f", b"\0"))], {**F, "d": "DIR"}
    for keyword in ("SCHILY.xattr.security.capability", "LIBARCHIVE.xattr.user.a", "SCHILY.acl.access"):
        yield keyword, [tar(pax({keyword: b"\0\1"}), member("f"))], f"f: has the extended attribute {keyword}"
    yield "an attribute that is gone", [tar(pax({"SCHILY.xattr.user.a": "x"}), member("f")), ONE], F
    yield "file, folder, file", [BASE, tar(folder("f")), tar(member("f", b"2"))], {**LEFT, "f": b"2"}
    yield "one name six times", [tar(*(member("f", b"%d" % one) for one in range(6)))], {"f": b"5"}
    yield "a folder twice, kept", [tar(folder("d"), member("d/x", b"x"), folder("d"))], {"d": "DIR", "d/x": b"x"}


def _numbers() -> Iterator[tuple[str, Layers, Outcome]]:
    for field in ("mode", "uid", "gid", "size"):
        fields: dict[str, Any] = {field: b"9999999\0"}
        yield f"{field} not octal", [tar(header("x", **fields))], f"a header's {field} is no number"
        fields = {field: b"\xff" * 8}
        yield f"{field} negative", [tar(header("x", **fields))], f"a header's {field} is negative"
    yield "checksum wrong", [tar(header("x", checksum=b"000001\0 "))], "checksum is wrong"
    yield "checksum no number", [tar(header("x", checksum=b"checksum"))], "checksum is no number"
    yield "size beyond the end", [tar(header("x", size=1 << 20))], "bytes too early"
    yield "size beyond all", [tar(header("x", size=b"\x80" + b"\0" * 3 + b"\x7f" * 8))], "bytes too early"
    yield "owner beyond all", [tar(header("x", uid=b"\x80" + b"\x01" * 7))], "is out of range"
    yield "group -1", [tar(pax({"gid": str(2**32 - 1)}), member("x"))], "is out of range"
    yield "numbers with blanks", [tar(member("f", b"f", mode=b"   644 \0"))], F
    yield "size in base 256", [tar(header("f", size=b"\x80" + b"\0" * 10 + b"\1") + b"f".ljust(512, b"\0"))], F


def _extensions() -> Iterator[tuple[str, Layers, Outcome]]:
    for name, data in {
        "no length": b"path=x\n",
        "length too long": b"99 path=x\n",
        "length too short": b"5 path=x\n",
        "no newline": b"9 path=x.",
        "no equals": b"7 path\n",
        "NUL in a path": b"12 path=a\0b\n",
        "endless length": b"9" * 30 + b" path=x\n",
    }.items():
        yield f"pax: {name}", [tar(member("pax", data, b"x"), member("f"))], "a pax record"
    for keyword in ("size", "uid", "gid"):
        for value in ("-1", "1.5", "x", "9" * 21):
            yield (
                f"pax {keyword} {value[:4]}",
                [tar(pax({keyword: value}), member("f"))],
                f"the pax record {keyword} is no",
            )
    yield "pax size beyond the end", [tar(pax({"size": "99999"}), member("f"))], "bytes too early"
    yield "pax for nothing", [tar(member("f"), pax({"path": "x"}))], "behind an extended header"
    yield "pax of gigabytes", [tar(header("pax", b"x", size=1 << 33))], "an extended header claims"
    yield "long name of gigabytes", [tar(header("n", b"L", size=1 << 33))], "an extended header claims"
    yield "pax for all", [tar(pax({"path": "x"}, b"g"), member("f"))], "a global pax header sets path"
    yield "size for all", [tar(pax({"size": "0"}, b"g"), member("f", b"f"))], "a global pax header sets size"
    yield "a comment for all", [tar(pax({"comment": "0123"}, b"g"), member("f", b"f"))], F
    yield "pax that says nothing", [tar(member("pax", b"", b"x"), member("f", b"f"))], F
    yield "pax that takes back", [tar(pax({"path": "x"}), pax({"path": ""}), member("f", b"f"))], FOLLOW
    yield "pax with an unknown keyword", [tar(pax({"VENDOR.thing": "x"}), member("f", b"f"))], F
    yield "pax twice", [tar(pax({"path": "x"}), pax({"path": "f"}), member("y", b"f"))], FOLLOW
    yield "pax and GNU", [tar(pax({"path": "x"}), long_name(b"f"), member("y", b"f", magic=GNU))], FOLLOW
    yield (
        "one keyword twice",
        [tar(member("pax", record("path", "x") + record("path", "f"), b"x"), member("y", b"f"))],
        F,
    )
    yield "a name of 256", [tar(pax({"path": "n" * 256}), member("x"))], "the path is too long"
    yield "a path of 5000", [tar(pax({"path": "n/" * 2500}), member("x"))], "the path is too long"
    yield "a name of 255", [tar(pax({"path": "n" * 255}), member("x", b"f"))], {"n" * 255: b"f"}
    yield "a name that is no text", [tar(member(b"\xff\xfe", b"f"))], {"\udcff\udcfe": b"f"}
    yield "a name of control characters", [tar(member(b"\x1b[31m\n", b"f"))], {"\x1b[31m\n": b"f"}


def _ends() -> Iterator[tuple[str, Layers, Outcome]]:
    behind = "there is more behind the tar file's end"
    yield "no end", [member("f", b"f")], F
    yield "half an end", [member("f", b"f") + bytes(512)], F
    yield "much padding", [tar(member("f", b"f")) + bytes(1 << 16)], F
    yield "nothing at all", [b""], {}
    yield "an end alone", [tar()], {}
    yield "two archives", [ONE + ONE], behind
    yield "something hidden behind", [ONE + bytes(4096) + b"!"], behind
    yield "cut in a header", [ONE[:100]], "ends within a header"
    yield "cut in content", [ONE[:513]], "bytes too early"
    yield "noise", [b"noise!" * 200], "a header's"
    yield "text", [b"<html>404</html>".ljust(600)], "a header's"
    yield "zeros inside", [bytes(512) + ONE], behind


def images() -> Iterator[tuple[str, Files, Outcome]]:
    """Yield images by their files, or by their archive's bytes."""
    good = parts(ONE)
    files = good.files()
    saved = good.docker_save()
    lacks, other = "the image lacks this part", "is not what the image says"
    for name in files:
        if name.startswith("blobs/"):
            kind = {b"{": "document", b"f": "layer"}[files[name][:1]] + f" {list(files).index(name)}"
            yield f"no {kind}", {one: data for one, data in files.items() if one != name}, lacks
            yield f"another {kind}", {**files, name: files[name][:-1] + b" "}, other
            yield f"a longer {kind}", {**files, name: files[name] + b" "}, "and the image says"
    for name in saved:
        left = {one: data for one, data in saved.items() if one != name}
        outcome = "is no image" if name == "manifest.json" else f"{name}: is not in the archive"
        yield f"docker save without {name[:20]}", left, outcome
    yield "a layer that docker saved and somebody changed", {**saved, "layer0/layer.tar": BASE}, "its diff_id"

    def layer(media_type: str, blob: bytes = ONE, **more: Any) -> Mapping[str, bytes]:
        one = parts(ONE)
        one.blobs = [(blob, media_type)]
        return one.files({**one.manifest(), "layers": [descriptor(blob, media_type, **more)]})

    yield "a foreign layer", layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), "a foreign layer"
    yield (
        "a nondistributable layer",
        layer("application/vnd.oci.image.layer.nondistributable.v1.tar"),
        "a foreign layer",
    )
    yield "an encrypted layer", layer(f"{LAYER}+gzip+encrypted"), "is encrypted"
    yield "an unknown layer", layer(f"{LAYER}+lzma"), "is not known as a layer"
    yield "a layer without a type", layer(""), "is not known as a layer"
    yield "gzip that is none", layer(f"{LAYER}+gzip"), "is not compressed where the image says gzip"
    yield "zstd that is gzip", layer(f"{LAYER}+zstd", gzip.compress(ONE)), "is gzip where the image says zstd"
    yield "plain that is zstd", layer(LAYER, zstandard.compress(ONE)), "is zstd where the image says not compressed"
    yield "docker's gzip that is none", layer("application/vnd.docker.image.rootfs.diff.tar.gzip"), F
    yield (
        "docker's gzip that is zstd",
        layer("application/vnd.docker.image.rootfs.diff.tar.gzip", zstandard.compress(ONE)),
        F,
    )
    yield "a layer by bzip2", layer("application/vnd.docker.image.rootfs.diff.tar.gzip", b"BZh91AY"), "by bzip2"
    yield "a layer by xz", layer("application/vnd.docker.image.rootfs.diff.tar", b"\xfd7zXZ\0"), "by xz"
    yield "gzip cut short", layer(f"{LAYER}+gzip", gzip.compress(ONE)[:-1]), "no sound gzip file"
    yield "gzip with more behind", layer(f"{LAYER}+gzip", gzip.compress(ONE) + b"!"), "no sound gzip file"
    yield "gzip of two members", layer(f"{LAYER}+gzip", gzip.compress(ONE[:99]) + gzip.compress(ONE[99:])), F
    yield "another diff_id", layer(f"{LAYER}+gzip", gzip.compress(BASE)), "its diff_id"
    bomb = gzip.compress(bytes(1 << 27))
    yield "a bomb", layer(f"{LAYER}+gzip", bomb), "a decompression bomb"
    yield "a bomb of zstd", layer(f"{LAYER}+zstd", zstandard.compress(bytes(1 << 27))), "a decompression bomb"
    yield "an archive that is a bomb", bomb, "a decompression bomb"

    config = {**good.config}
    for key, value, outcome in (
        ("rootfs", {"type": "layers", "diff_ids": []}, "has 1 layers and its configuration names 0"),
        ("rootfs", {"type": "layers", "diff_ids": [archives.sha256(ONE)] * 2}, "names 2"),
        ("rootfs", {"type": "other"}, "`rootfs.type` is not"),
        ("rootfs", None, "`rootfs.type` is not"),
        ("rootfs", {"type": "layers", "diff_ids": ["md5:x"]}, "md5 is not known"),
        ("architecture", "arm64", "for linux/arm64, not for linux/amd64"),
        ("architecture", None, "is for linux, not for"),
        ("os", "windows", "is for windows/amd64"),
        ("variant", "v4", "is for linux/amd64/v4"),
        ("config", [], "`config` is not an object"),
        ("config", {"Env": ["NOTHING"]}, "`Env` holds 'NOTHING'"),
        ("config", {"Cmd": "shell form"}, "`Cmd` is not a list"),
        ("config", {"StopSignal": "SIGNOPE"}, "`StopSignal` is 'SIGNOPE'"),
        ("config", {"WorkingDir": "/../x"}, "`WorkingDir` is '/../x'"),
    ):
        changed = parts(ONE)
        changed.config = {**config, key: value}
        yield f"configuration: {key} {value!r}"[:60], changed.files(), outcome

    for name, change, outcome in (
        ("manifest without a configuration", {"config": None}, "`digest` is not a text"),
        ("manifest of another type inside", {"mediaType": INDEX}, "another media type"),
        ("a chart", {"config": descriptor(b"{}", "application/vnd.cncf.helm.config.v1+json")}, "a chart"),
        ("manifest without layers", {"layers": None}, "the image has 0 layers"),
        ("manifest with a layer twice", {"layers": [descriptor(ONE, LAYER)] * 2}, "the image has 2 layers"),
        ("a layer of negative size", {"layers": [{**descriptor(ONE, LAYER), "size": -1}]}, "`size` is not"),
        ("a digest that is a path", {"layers": [{**descriptor(ONE, LAYER), "digest": f"sha256:{UP}"}]}, "is no digest"),
        ("a digest of md5", {"layers": [{**descriptor(ONE, LAYER), "digest": "md5:" + "0" * 32}]}, "md5 is not known"),
        ("a layer that is no object", {"layers": ["x"]}, r"`layers\[0\]` is not an object"),
    ):
        yield name, good.files({**good.manifest(), **change}), outcome

    def index(data: bytes) -> Mapping[str, bytes]:
        return {**files, "index.json": data}

    top = descriptor(to_json(good.manifest()), MANIFEST)
    yield "no index", {name: data for name, data in files.items() if name != "index.json"}, "it has no index.json"
    yield "an index that is none", index(b"nonsense"), "index.json: is no JSON"
    yield "an index that is a list", index(b"[]"), "`index.json` is not an object"
    yield "an empty index", index(b"{}"), "the image is for nothing"
    yield "an index of deep lists", index(b"[" * 100_000), "index.json: is no JSON"
    yield "an index with a key twice", index(b'{"manifests": [], "manifests": []}'), "an object has a key twice"
    yield "an index of megabytes", index(b" " * (5 << 20)), "no such document has more"
    yield "a layout of the future", {**files, "oci-layout": b'{"imageLayoutVersion": "9"}'}, "a layout of version '9'"
    yield "schema 1", index(to_json({"manifests": [{**top, "mediaType": _SCHEMA_1}]})), "is a manifest of schema 1"
    yield (
        "an unknown manifest",
        index(to_json({"manifests": [{**top, "mediaType": "x/y"}]})),
        "not known as an image manifest",
    )
    yield "an index that lies", index(to_json({"manifests": [{**top, "platform": ARM64}]})), "for linux/arm64/v8, not"
    lying = parts(ONE, platform=ARM64)
    yield "an index that lies for us", lying.files(platform=AMD64), "for linux/arm64/v8, not for linux/amd64"
    yield (
        "an attestation alone",
        good.files(annotations={"vnd.docker.reference.type": "attestation-manifest"}),
        "nothing",
    )
    yield "an image twice", index(to_json({"manifests": [top, top]})), F
    two = parts(BASE)
    both = {
        **two.files(),
        **files,
        "index.json": to_json({"manifests": [top, descriptor(to_json(two.manifest()), MANIFEST)]}),
    }
    yield "two images", both, "holds several images"
    inner = files["index.json"]
    yield "an index in an index", archives.layout([descriptor(inner, INDEX)], inner) | dict(_blobs(files)), F
    deep = dict(files)
    for _ in range(4):
        deep |= archives.layout([descriptor(deep["index.json"], INDEX)], deep["index.json"])
    yield "indexes without end", deep, "indexes in indexes"

    packed = archives.archived(files)
    yield "a layout and something else", archives.archived({**files, "README": b"x"}), F
    yield "an archive by gzip", gzip.compress(packed), F
    yield "an archive by zstd", zstandard.compress(packed), F
    yield "an archive cut short", packed[: len(packed) // 2], "ends|lacks|no image"
    yield "an archive by gzip cut short", gzip.compress(packed)[:-9], "no sound gzip file"
    yield "an archive by bzip2", b"BZh9" + packed, "is compressed by bzip2"
    yield "a zip file", b"PK\x03\x04".ljust(600, b"\0"), "a header's"
    yield "an empty file", b"", "is no image"
    yield "an archive of an archive", archives.archived({"image.tar": packed}), "is no image"
    for name, link in (("out", OUTSIDE), ("up", UP), ("to itself", "oci-layout")):
        rest = archives.archived({one: data for one, data in files.items() if one != "oci-layout"})
        outcome = "is a link to a link" if name == "to itself" else "leads out of the archive"
        yield f"oci-layout is a link {name}", symlink("oci-layout", link) + rest, outcome
    yield "a member up", member(UP, b"!") + packed, "leads out of the archive"
    yield "an absolute member", member(OUTSIDE, b"!") + packed, "leads out of the archive"
    yield "a member twice", member("index.json", b"{}") + packed, "index.json: is in the archive twice"
    yield "a device in the archive", header("null", b"3") + packed, "is a character device"
    yield (
        "docker save up",
        {**saved, "manifest.json": to_json([{"Config": UP, "Layers": []}])},
        "leads out of the archive",
    )
    yield (
        "docker save of two",
        {**saved, "manifest.json": to_json([{"Config": "x"}, {"Config": "y"}])},
        "several images",
    )
    yield "docker save of none", {**saved, "manifest.json": b"[]"}, "holds no image"
    yield "docker save of null", {**saved, "manifest.json": b"null"}, "holds no image"


_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"


def _blobs(files: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    return ((name, data) for name, data in files.items() if name.startswith("blobs/"))
