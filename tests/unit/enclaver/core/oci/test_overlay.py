from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import digest, limits, overlay
from enclaver.core.oci.layer import Layer, Unpacked
from enclaver.core.oci.overlay import Overlay
from enclaver.core.oci.stream import Chunks
from enclaver.core.oci.tar_members import members
from enclaver.core.rootfs.entry import FileContent
from enclaver.core.rootfs.tree import Tree
from tests.unit.enclaver.core.oci.archives import (
    folder,
    hard_link,
    listed,
    member,
    pax,
    read_layers,
    sha256,
    symlink,
    tar,
)
from tests.unit.enclaver.core.rootfs.trees import flat


def merged(place: Path, *layers: bytes) -> Tree:
    """What layers come to."""
    over = Overlay()
    for number, data in enumerate(layers, start=1):
        path = place / hashlib.sha256(data).hexdigest()
        path.write_bytes(data)
        content = FileContent(path, 0, len(data))
        one = Layer(f"layer {number} of {len(layers)}", content, None, None, digest.parse(sha256(data)))
        over.apply(Unpacked(one, list(members(Chunks(iter([data])))), content))
    return overlay.tree(over)


#: What is left of BASE when c is taken away.
A: Mapping[str, object] = {"a": "DIR", "a/x": b"lower x", "a/b": "DIR", "a/b/y": b"lower y"}
BASE = tar(folder("a"), member("a/x", b"lower x"), folder("a/b"), member("a/b/y", b"lower y"), member("c", b"lower c"))


@pytest.mark.parametrize(
    ("upper", "expected"),
    [
        ([], {**A, "c": b"lower c"}),
        # Whiteouts: of a file, a folder, nothing.
        ([member("a/.wh.x")], {"a": "DIR", "a/b": "DIR", "a/b/y": b"lower y", "c": b"lower c"}),
        ([member(".wh.a")], {"c": b"lower c"}),
        ([member("./.wh.a"), member(".wh.c"), member(".wh.nothing"), member("no/where/.wh.x")], {}),
        # An opaque folder hides what is below it, and not itself; before what it holds, or behind.
        ([member("a/.wh..wh..opq")], {"a": "DIR", "c": b"lower c"}),
        ([member("a/.wh..wh..opq"), member("a/z", b"new")], {"a": "DIR", "a/z": b"new", "c": b"lower c"}),
        ([member("a/z", b"new"), member("a/.wh..wh..opq")], {"a": "DIR", "a/z": b"new", "c": b"lower c"}),
        ([member("a/b/z", b"1"), member("a/.wh..wh..opq"), member(".wh.c")], {"a": "DIR", "a/b": "DIR", "a/b/z": b"1"}),
        ([member(".wh..wh..opq")], {}),
        # A whiteout hides layers below alone: what its own layer brings stays.
        ([member(".wh.c"), member("c", b"new")], {**A, "c": b"new"}),
        ([member("c", b"new"), member(".wh.c")], {**A, "c": b"new"}),
        ([member(".wh.a"), folder("a"), member("a/z", b"new")], {"a": "DIR", "a/z": b"new", "c": b"lower c"}),
        ([folder("a"), member("a/z", b"new"), member(".wh.a")], {"a": "DIR", "a/z": b"new", "c": b"lower c"}),
        # Kinds change: a file over a folder, a folder over a file, a link over either.
        ([member("a", b"file")], {"a": b"file", "c": b"lower c"}),
        ([folder("c"), member("c/n", b"new"), member(".wh.a")], {"c": "DIR", "c/n": b"new"}),
        ([symlink("a", "c")], {"a": "-> c", "c": b"lower c"}),
        ([symlink("c", "/etc"), member(".wh.a")], {"c": "-> /etc"}),
        # Within one layer the last of several counts.
        ([member(".wh.a"), member("c", b"1"), member("c", b"2")], {"c": b"2"}),
        ([member(".wh.a"), folder("c"), member("c/d"), member("c", b"2")], {"c": b"2"}),
        ([member(".wh.a"), member("c", b"1"), folder("c"), member("c/d", b"")], {"c": "DIR", "c/d": b""}),
        # Names as tar programs write them.
        ([member(".wh.a"), member("/c", b"abs")], {"c": b"abs"}),
        ([member(".wh.a"), member(".//c", b"odd")], {"c": b"odd"}),
        ([member(".wh.a"), folder("./"), member(".wh.c")], {}),
    ],
)  # fmt: skip
def test_a_layer_over_another(tmp_path: Path, upper: list[bytes], expected: Mapping[str, object]) -> None:
    assert listed(merged(tmp_path, BASE, tar(*upper))) == expected


def test_a_folder_s_last_mode_counts_and_its_content_stays(tmp_path: Path) -> None:
    tree = merged(tmp_path, BASE, tar(folder("a", mode=0o1777, uid=7, gid=8)))
    found = tree.get("a")
    assert found is not None
    assert (found.mode, found.uid, found.gid) == (0o1777, 7, 8)
    assert "a/x" in tree


def test_a_hidden_folder_that_comes_back_is_new(tmp_path: Path) -> None:
    lower = tar(folder("a", mode=0o700, uid=7), member("a/x"))
    for upper in ([member(".wh.a"), member("a/y")], [member("a/y"), member(".wh.a")]):
        tree = merged(tmp_path, lower, tar(*upper))
        found = tree.get("a")
        assert found is not None
        assert (found.mode, found.uid) == (0o755, 0)
        assert list(listed(tree)) == ["a", "a/y"]


def test_files_keep_all_they_have(tmp_path: Path) -> None:
    data = tar(member("a", b"x", mode=0o6755, uid=1000, gid=2000), symlink("l", "a", uid=3))
    (a, link), origin = list(merged(tmp_path, data)), f"layer:{sha256(data)}"
    assert (a.mode, a.uid, a.gid, a.origin) == (0o6755, 1000, 2000, origin)
    assert (link.mode, link.uid, link.origin) == (0o777, 3, origin)


def test_hard_links_of_one_layer_and_into_those_below(tmp_path: Path) -> None:
    lower = tar(member("m", b"one", mode=0o4755), hard_link("n", "m"))
    tree = merged(tmp_path, lower, tar(hard_link("./b", "/n"), hard_link("d/z", "b")))
    assert tree.names() == {"b": ["b", "d/z", "m", "n"]}
    assert listed(tree) == {"b": b"one", "d": "DIR", "d/z": b"one", "m": b"one", "n": b"one"}
    first = tree.get("b")
    assert first is not None
    assert (first.mode, first.origin) == (0o4755, f"layer:{sha256(lower)}")


def test_a_replaced_file_leaves_its_links_alone(tmp_path: Path) -> None:
    lower = tar(member("m", b"one"), hard_link("n", "m"), hard_link("o", "m"))
    tree = merged(tmp_path, lower, tar(member("m", b"two"), member(".wh.n")))
    assert listed(tree) == {"m": b"two", "o": b"one"}
    assert tree.names() == {"m": ["m"], "o": ["o"]}


def test_a_hard_link_to_a_symbolic_one(tmp_path: Path) -> None:
    assert listed(merged(tmp_path, tar(symlink("l", "to"), hard_link("m", "l")))) == {"l": "-> to", "m": "-> to"}


def test_names_lead_through_links_within_the_image(tmp_path: Path) -> None:
    lower = tar(
        folder("usr"), folder("usr/lib"), symlink("lib", "usr/lib"), symlink("usr/up", "../lib"), member("usr/lib/x")
    )
    upper = tar(
        member("lib/y", b"y"),
        member("lib/new/z", b"z"),
        member("usr/up/w", b"w"),
        hard_link("lib/same", "usr/up/y"),
        member("lib/.wh.x"),
    )
    assert listed(merged(tmp_path, lower, upper)) == {
        "lib": "-> usr/lib",
        "usr": "DIR",
        "usr/lib": "DIR",
        "usr/lib/new": "DIR",
        "usr/lib/new/z": b"z",
        "usr/lib/same": b"y",
        "usr/lib/w": b"w",
        "usr/lib/y": b"y",
        "usr/up": "-> ../lib",
    }


def test_a_folder_in_a_link_s_place_is_one(tmp_path: Path) -> None:
    lower = tar(folder("usr"), member("usr/x", b"x"), symlink("lib", "usr"))
    upper = tar(folder("lib"), member("lib/.wh.x"), member("lib/y", b"y"))
    assert listed(merged(tmp_path, lower, upper)) == {"lib": "DIR", "lib/y": b"y", "usr": "DIR", "usr/x": b"x"}


@pytest.mark.parametrize(
    ("upper", "what"),
    [
        ([member("../x")], r"layer 2 of 2: ../x: has a '..'"),
        ([member("a/../../x")], "has a '..'"),
        ([member("a/../x")], "has a '..'"),
        ([folder("..")], "has a '..'"),
        ([member(".wh...")], "is no whiteout"),
        ([member("a/.wh...")], "is no whiteout"),
        ([member(".wh..")], "is no whiteout"),
        ([member(".wh.")], "is no whiteout"),
        ([member(".wh..wh.plnk")], "is no whiteout"),
        ([member(".wh..wh..opq.")], "is no whiteout"),
        ([member(".wh.a/x")], "lies in a whiteout"),
        ([folder(".wh.a")], "is a whiteout, which is an empty file, not a folder"),
        ([symlink(".wh.a", "x")], "not a symbolic link"),
        ([hard_link(".wh.a", "c")], "not a hard link"),
        ([pax({"path": "a/" + "n" * 256}), member("x")], "the path is too long"),
        ([pax({"path": "d/" * 2100}), member("x")], "the path is too long"),
        ([member(".", b"x")], "/: stands for the image's root"),
        ([symlink("./", "/etc")], "/: stands for the image's root"),
        ([member("c/x")], "lies below 'c', which is a file"),
        ([member("c/x/y")], "lies below 'c', which is a file"),
        ([member("c/.wh.x")], "lies below 'c', which is a file"),
        ([symlink("l", "/a"), member("l/x")], "through a symbolic link to the absolute path '/a'"),
        ([symlink("l", "/a"), member("l/.wh.x")], "through a symbolic link to the absolute path '/a'"),
        ([symlink("l", "/etc/passwd"), hard_link("m", "l/x")], "through a symbolic link to the absolute path"),
        ([symlink("l", ".."), member("l/x")], "above the image's root"),
        ([symlink("a/l", "../../../etc"), member("a/l/passwd")], "above the image's root"),
        ([symlink("l", "nowhere"), member("l/x")], "through a symbolic link to nothing"),
        ([symlink("l", "a/nowhere"), folder("l/x")], "through a symbolic link to nothing"),
        ([symlink("l", "c"), member("l/x")], "lies below 'c', which is a file"),
        ([symlink("l", "l"), member("l/x")], "too many symbolic links"),
        ([symlink("l", "m"), symlink("m", "l"), member("l/x")], "too many symbolic links"),
        ([hard_link("h", "nowhere")], "is a hard link to 'nowhere', which is not there"),
        ([hard_link("h", "no/where")], "which is not there"),
        ([hard_link("h", "a")], "which is a folder"),
        ([hard_link("h", "")], "which is not there"),
        ([hard_link("h", ".")], "which is not there"),
        ([hard_link("c", "c")], "is a hard link to 'c', which is not there"),
        ([hard_link("a", "a/x")], "which is not there"),
        ([hard_link("h", "../../etc/passwd")], "has a '..'"),
        ([hard_link("h", "/etc/passwd")], "is a hard link to '/etc/passwd', which is not there"),
        ([hard_link("h", "later"), member("later")], "which is not there"),
        ([member(".wh.c"), hard_link("h", "c")], "which is not there"),
    ],
)
def test_what_is_refused(tmp_path: Path, upper: list[bytes], what: str) -> None:
    with pytest.raises(EnclaverError, match=what) as caught:
        merged(tmp_path, BASE, tar(*upper))
    assert str(caught.value).startswith("layer 2 of 2: ")


@pytest.mark.parametrize("target", ["", "x" * 4096])
def test_links_that_linux_could_not_hold_are_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(EnclaverError, match="target is empty, too long"):
        merged(tmp_path, tar(pax({"linkpath": target}), symlink("l", "")))


def test_owners_that_linux_could_not_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="x: the owner 4294967295:0 is out of range"):
        merged(tmp_path, tar(pax({"uid": "4294967295"}), member("x")))


def test_deep_folders_are_no_deep_recursion(tmp_path: Path) -> None:
    deep = "d/" * 2000
    tree = merged(
        tmp_path, tar(pax({"path": deep + "x"}), member("x")), tar(pax({"path": deep + ".wh.x"}), member("x"))
    )
    assert len(tree) == 2000
    assert len(merged(tmp_path, tar(pax({"path": deep + "x"}), member("x")), tar(member("d/.wh..wh..opq")))) == 1


# The model: what an engine's file system shows, told in another way. A layer first hides, then adds; names are a flat
# mapping, with a set of names for what one file is.

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("file"), PATHS, st.binary(max_size=3)),
        st.tuples(st.just("folder"), PATHS, st.integers(0, 0o7777)),
        st.tuples(st.just("hide"), PATHS, st.none()),
        st.tuples(st.just("opaque"), PATHS, st.none()),
        st.tuples(st.just("link"), PATHS, PATHS),
        st.tuples(st.just("symlink"), PATHS, NAMES),
    ),
    max_size=6,
)
Step = tuple[str, str, object]
State = dict[str, tuple[str, object, int]]  # Kind, body, and which file it is.


def sound(steps: list[Step]) -> list[Step]:
    """Steps of which none adds below what another one makes a file; folders come before what lies in them."""
    leaves = {path for kind, path, _ in steps if kind in ("file", "symlink", "link")}
    found: list[Step] = []
    taken = set()
    for kind, path, what in steps:
        above = ["/".join(path.split("/")[:count]) for count in range(1, path.count("/") + 1)]
        key = (path, kind in ("hide", "opaque"))
        if key in taken or leaves & {*above, *([path] if kind in ("folder", "opaque") else [])}:
            continue
        taken.add(key)
        found += [("folder", one, 0o755) for one in [*above, *([path] if kind == "opaque" else [])]]
        found.append((kind, path, what))
    explicit = {path for kind, path, _ in steps if kind == "folder"}
    # A folder that is made on the way to something would undo the mode of one that is told.
    told = [one for one in found if not (one[0] == "folder" and one[1] in explicit and one not in steps)]
    order = {"hide": 1, "opaque": 1, "folder": 0}
    return sorted(told, key=lambda step: (order.get(step[0], 2), step[1].count("/"), step[0] == "link"))


def model(layers: list[list[Step]]) -> State:
    """What layers come to."""
    state: State = {}
    count = 0
    for steps in layers:
        for kind, path, _ in steps:
            if kind in ("hide", "opaque"):
                state = {
                    name: value
                    for name, value in state.items()
                    if not (name.startswith(path + "/") or (kind == "hide" and name == path))
                }
        for kind, path, what in steps:
            if kind in ("hide", "opaque"):
                continue
            count += 1
            if kind != "folder" or state.get(path, ("",))[0] != "folder":
                state = {
                    name: value for name, value in state.items() if name != path and not name.startswith(path + "/")
                }
            if kind == "link":
                owner = state.get(str(what), ("folder",))
                if owner[0] == "folder":
                    raise EnclaverError("no target")
                state[path] = state[str(what)]
            else:
                state[path] = (kind, what, count)
    return state


def written(steps: list[Step]) -> bytes:
    """A layer of steps."""
    found = []
    for kind, path, what in steps:
        above, _, name = f"./{path}".rpartition("/")
        if kind == "hide":
            found.append(member(f"{above}/.wh.{name}"))
        elif kind == "opaque":
            found.append(member(f"{path}/.wh..wh..opq"))
        elif kind == "link":
            found.append(hard_link(path, str(what)))
        elif kind == "symlink":
            found.append(symlink(path, str(what)))
        elif kind == "folder":
            assert isinstance(what, int)
            found.append(folder(path, mode=what))
        else:
            assert isinstance(what, bytes)
            found.append(member(path, what))
    return tar(*found)


@given(st.lists(STEPS.map(sound), min_size=1, max_size=4), st.randoms())
def test_layers_come_to_what_the_model_says(
    tmp_path_factory: pytest.TempPathFactory, layers: list[list[Step]], random: object
) -> None:
    data = [written(steps) for steps in layers]
    try:
        expected = model(layers)
    except EnclaverError:
        with pytest.raises(EnclaverError):
            merged(tmp_path_factory.getbasetemp(), *data)
        return
    tree = merged(tmp_path_factory.getbasetemp(), *data)
    found = {}
    for path, kind, mode, _, _, body, target, *_ in flat(tree):
        found[path] = body if body is not None else target if target is not None else (str(kind), mode)
    assert found == {
        path: ("Kind.DIRECTORY", what) if kind == "folder" else what for path, (kind, what, _) in expected.items()
    }
    groups: dict[int, list[str]] = {}
    for path, (kind, _, number) in expected.items():
        if kind == "file":
            groups.setdefault(number, []).append(path)
    assert sorted(tree.names().values()) == sorted(map(sorted, groups.values()))


def test_many_whiteouts_of_one_full_folder_cost_no_more_than_one(tmp_path: Path) -> None:
    count = 20_000  # Squared, they would take minutes.
    files = [member(f"d/{number}") for number in range(count)]
    again = [member("d/.wh..wh..opq"), member(".wh.d")] * (count // 2)
    found = read_layers(tmp_path, tar(member("d/below")), tar(*files, *again))
    assert len(found) == count + 1


def test_folders_that_no_member_brings_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tar(member("a/b/c/f"))
    assert len(read_layers(tmp_path, deep)) == 4
    monkeypatch.setattr(limits, "ENTRIES", 2)
    with pytest.raises(EnclaverError, match="a/b/c/f: is one of those that lack more than 2 folders"):
        read_layers(tmp_path, deep)
    monkeypatch.undo()
    monkeypatch.setattr(limits, "NAMES", 10)
    with pytest.raises(EnclaverError, match="paths are more than 0 MiB in all"):
        read_layers(tmp_path, deep)
