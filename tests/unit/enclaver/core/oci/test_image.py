from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
import zstandard

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import image
from tests.unit.enclaver.core.oci.archives import (
    LAYER,
    archived,
    folder,
    listed,
    member,
    parts,
    pax,
    read,
    read_layers,
    sha256,
    short,
    tar,
    to_json,
    write_folder,
)

ONE = tar(folder("a"), member("a/x", b"one"), member("y", b"gone"))
TWO = tar(member("a/x", b"two"), member(".wh.y"))
BOTH = {"a": "DIR", "a/x": b"two"}


@pytest.mark.parametrize("how", ["", "+gzip", "+zstd"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_every_form_of_one_image_is_the_same_tree(tmp_path: Path, how: str, pack: object) -> None:
    assert callable(pack)
    one = parts(ONE, TWO, how=how, Entrypoint=["/a/x"], User="7")
    forms = [one.files(), one.docker_save(), {**one.docker_save(), **one.files()}]
    image_id = (sha256(to_json(one.config)), len(to_json(one.config)))
    for number, files in enumerate(forms):
        place = tmp_path / str(number)
        place.mkdir()
        found = read(pack(archived(files)), place)
        assert listed(found.tree) == BOTH
        assert {entry.origin for entry in found.tree} == {f"layer:{sha256(layer)}" for layer in (ONE, TWO)}
        assert (found.config.entrypoint, found.config.user, found.dropped) == (("/a/x",), "7", ())
        assert (str(found.digest), found.size) == image_id


def test_a_folder_is_read_where_it_lies(tmp_path: Path) -> None:
    place = write_folder(parts(ONE, TWO, how="+gzip").files(), tmp_path / "layout")
    (tmp_path / "work").mkdir()
    found = image.read(place, tmp_path / "work", architecture="x86_64")
    assert listed(found.tree) == BOTH


def test_many_layers_in_order(tmp_path: Path) -> None:
    layers = [tar(member("x", b"%d" % number), member(f"only{number}")) for number in range(40)]
    found = listed(read_layers(tmp_path, *layers, how="+gzip"))
    assert found["x"] == b"39"
    assert len(found) == 41


def test_no_layers_are_an_empty_tree(tmp_path: Path) -> None:
    assert len(read(parts().files(), tmp_path).tree) == 0


def test_of_several_errors_it_is_the_lowest_layer_s(tmp_path: Path) -> None:
    bad = [tar(member("x", b"%d" % number)) + b"!" for number in range(9)]
    for _ in range(3):
        with pytest.raises(EnclaverError, match="image.tar: layer 2 of 10: "):
            read_layers(tmp_path, ONE, *bad, how="+zstd")


def test_the_root_folder_s_own_mode_is_told(tmp_path: Path) -> None:
    assert read(parts(ONE).files(), tmp_path).root == (0o755, 0, 0)
    changed = tar(folder("./", mode=0o1777, uid=1, gid=2))
    assert read(parts(ONE, changed, TWO).files(), tmp_path).root == (0o1777, 1, 2)


CAPABLE = tar(pax({"SCHILY.xattr.security.capability": b"\1\0\0\2"}), member("bin/ping", b"x"))


def test_attributes_are_refused_by_name_unless_they_may_be_dropped(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="bin/ping: has the extended attribute SCHILY.xattr.security.capability"):
        read_layers(tmp_path, CAPABLE)
    found = read(parts(CAPABLE).files(), tmp_path, drop_xattrs=True)
    assert listed(found.tree) == {"bin": "DIR", "bin/ping": b"x"}
    assert found.dropped == (("bin/ping", "SCHILY.xattr.security.capability"),)


def test_attributes_of_what_is_gone_are_nobody_s(tmp_path: Path) -> None:
    assert listed(read_layers(tmp_path, CAPABLE, tar(member("bin/ping", b"new")))) == {"bin": "DIR", "bin/ping": b"new"}
    assert listed(read_layers(tmp_path, CAPABLE, tar(member(".wh.bin")))) == {}


def test_labels_of_selinux_are_ignored(tmp_path: Path) -> None:
    assert len(read_layers(tmp_path, tar(pax({"SCHILY.xattr.security.selinux": "x"}), member("x")))) == 1


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (tar(member("file")), "is no image: it has neither oci-layout nor manifest.json"),
        (b"", "is no image"),
        (b"\x1f\x8b", "no sound gzip file"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, data: bytes, what: str) -> None:
    with pytest.raises(EnclaverError, match=what) as caught:
        read(data, tmp_path)
    assert caught.value.file == str(tmp_path / "image.tar")


@pytest.mark.parametrize(
    ("data", "is_one"),
    [
        (archived(parts(ONE).files()), True),
        (zstandard.compress(archived(parts(ONE).docker_save())), True),
        (tar(member("file")), False),
        (gzip.compress(tar(member("file"))), False),
        (b"#!/bin/sh", False),
        (b"", False),
        (b"\x1f\x8b", False),
        (b"BZh9", False),
    ],
    ids=short,
)
def test_images_are_told_by_what_is_in_them(tmp_path: Path, data: bytes, is_one: bool) -> None:
    (tmp_path / "file").write_bytes(data)
    (tmp_path / "work").mkdir()
    assert image.is_image(tmp_path / "file", tmp_path / "work") is is_one
    assert not list((tmp_path / "work").iterdir())


def test_a_damaged_archive_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(archived(parts(ONE).files())[:1500])
    with pytest.raises(EnclaverError, match="the tar file ends"):
        image.is_image(tmp_path / "file", tmp_path)


def test_an_image_is_chosen_by_its_name(tmp_path: Path) -> None:
    assert len(read(parts(ONE).docker_save(), tmp_path, reference="app:latest").tree) == 3
    with pytest.raises(EnclaverError, match="holds no image called 'app:new'"):
        read(parts(ONE).docker_save(), tmp_path, reference="app:new")


def test_a_layer_s_type_may_lie_no_more_than_its_digest(tmp_path: Path) -> None:
    one = parts(ONE, how="+gzip")
    one.blobs = [(one.blobs[0][0], LAYER + "+zstd")]
    with pytest.raises(EnclaverError, match="layer 1 of 1: is gzip where the image says zstd"):
        read(one.files(), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["", "+gzip", "+zstd"])
def test_damage_gives_the_same_tree_or_one_error(tmp_path: Path, how: str) -> None:
    """Flip bits and cut anywhere: what is then read is the image, or one clear error, and never another tree."""
    dice = random.Random(how)
    one = parts(ONE, TWO, how=how)
    for files in (one.files(), one.docker_save()):
        good = archived(files)
        expected = read(good, tmp_path).tree
        for _ in range(300):
            bad = bytearray(good[: dice.choice((len(good), dice.randrange(len(good))))])
            for _ in range(dice.choice((0, 1, 1, 3)) if bad else 0):
                bad[dice.randrange(len(bad))] ^= 1 << dice.randrange(8)
            try:
                tree = read(bytes(bad), tmp_path).tree
            except EnclaverError as error:
                message = str(error)
            else:
                message = str(tmp_path / "image.tar")
                assert listed(tree) == listed(expected)
            assert message.startswith(str(tmp_path / "image.tar"))


def test_a_folder_is_never_dockers(tmp_path: Path) -> None:
    """Docker's manifest names its files itself: in a folder they could lie outside. And web apps have one too."""
    files = parts(tar(member("a"))).docker_save()
    place = write_folder(files, tmp_path / "folder")
    assert not image.is_image(place, tmp_path)
    with pytest.raises(EnclaverError, match="is no image"):
        image.read(place, tmp_path, architecture="x86_64")
