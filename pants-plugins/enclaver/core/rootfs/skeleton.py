"""What every program expects of a root file system and no package brings without its maintainer scripts."""

from __future__ import annotations

from typing import Final

from enclaver.core.rootfs.entry import ORIGIN, Entry, Kind
from enclaver.core.rootfs.tree import Tree

APP_UID: Final = 1000
APP_GID: Final = 1000
#: Where the app lies, and what is its home.
APP: Final = "app"
HOME: Final = "home/app"
_FOLDERS: Final = (
    (APP, 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var/tmp", 0o1777),
)
FILES: Final = {
    "etc/group": f"root:x:0:\napp:x:{APP_GID}:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "etc/passwd": (
        "root:x:0:0:root:/root:/usr/sbin/nologin\n"
        f"app:x:{APP_UID}:{APP_GID}:app:/{HOME}:/usr/sbin/nologin\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    ),
    # There is no network but through the proxies, and they resolve names outside.
    "etc/resolv.conf": "",
}


def add(tree: Tree) -> None:
    """Add the folders and files that are missing; what the tree brings itself stays as it is."""
    for path, mode in _FOLDERS:
        tree.add_directory(path, mode=mode, origin=ORIGIN)
    tree.add(Entry(HOME, Kind.DIRECTORY, 0o700, uid=APP_UID, gid=APP_GID, origin=ORIGIN))
    for path, text in FILES.items():
        if path not in tree:
            tree.add_file(path, text.encode(), origin=ORIGIN)
