"""What the runtime's Python does without: the boot ramdisk is unpacked at every start and stays in memory.

A standard library is whole for an app, which may import anything, but PID 1 is one known program. Each pattern says
what is left out and why it is safe; together they take 40 % off the tree of amd64 and half off that of arm64
(docs/debian-locks.md). The shared libraries are those that only the modules left out are linked against.
"""

from __future__ import annotations

import fnmatch
import re
from typing import Final

from enclaver.core.rootfs.tree import Kind, Tree

# Patterns as fnmatch has them: * also matches a slash, so a folder's pattern needs only its beginning.
NOT_IN_RUNTIME: Final[dict[str, str]] = {
    "usr/lib/*-linux-gnu/gconv/*": "iconv's tables; Python has codecs of its own",
    "usr/lib/*-linux-gnu/engines-3/*": "OpenSSL engines, loaded by name only",
    "usr/lib/*-linux-gnu/krb5/*": "plugins of Kerberos, which comes along for nis",
    "usr/lib/python3.*/test/*": "CPython's tests",
    "usr/lib/python3.*/lib-dynload/_*test*": "modules of CPython's tests",
    "usr/lib/python3.*/pydoc_data/*": "texts of the interactive help()",
    "usr/lib/python3.*/turtle.py": "a drawing program",
    "usr/lib/python3.*/lib-dynload/_codecs_??.*": "codecs for East Asian encodings",
    "usr/lib/python3.*/lib-dynload/_codecs_iso2022.*": "as above",
    "usr/lib/python3.*/lib-dynload/ossaudiodev.*": "sound",
    "usr/lib/python3.*/lib-dynload/nis.*": "NIS, and with it the libraries below",
    "usr/lib/*-linux-gnu/libnsl.so.*": "needed by nis",
    "usr/lib/*-linux-gnu/libtirpc.so.*": "needed by libnsl",
    "usr/lib/*-linux-gnu/libgssapi_krb5.so.*": "needed by libtirpc",
    "usr/lib/*-linux-gnu/libkrb5.so.*": "needed by libgssapi_krb5",
    "usr/lib/*-linux-gnu/libkrb5support.so.*": "needed by libkrb5",
    "usr/lib/*-linux-gnu/libk5crypto.so.*": "needed by libkrb5",
    "usr/lib/*-linux-gnu/libkeyutils.so.*": "needed by libkrb5",
    "usr/lib/*-linux-gnu/libcom_err.so.*": "needed by libkrb5",
    "usr/lib/python3.*/dbm/*": "Berkeley DB",
    "usr/lib/python3.*/lib-dynload/_dbm.*": "Berkeley DB",
    "usr/lib/*-linux-gnu/libdb-5.3.so": "needed by _dbm",
    "usr/lib/python3.*/sqlite3/*": "SQLite",
    "usr/lib/python3.*/lib-dynload/_sqlite3.*": "SQLite",
    "usr/lib/*-linux-gnu/libsqlite3.so.*": "needed by _sqlite3",
    "usr/lib/python3.*/curses/*": "terminals; an enclave has none",
    "usr/lib/python3.*/lib-dynload/_curses*": "terminals",
    "usr/lib/python3.*/lib-dynload/readline.*": "terminals",
    "usr/lib/*-linux-gnu/libreadline.so.*": "needed by readline",
    "usr/lib/*-linux-gnu/libhistory.so.*": "comes with libreadline",
    "usr/lib/*-linux-gnu/libncursesw.so.*": "needed by _curses",
    "usr/lib/*-linux-gnu/libpanelw.so.*": "needed by _curses_panel",
    "usr/lib/*-linux-gnu/libformw.so.*": "comes with libncursesw",
    "usr/lib/*-linux-gnu/libmenuw.so.*": "comes with libncursesw",
    "usr/lib/*-linux-gnu/libtinfo.so.*": "needed by readline and _curses",
    "usr/lib/*-linux-gnu/libtic.so.*": "comes with libtinfo",
    "usr/lib/*-linux-gnu/libexpatw.so.*": "Expat for wide characters; Python uses the other",
    "usr/lib/*-linux-gnu/libmvec.so.*": "vector mathematics for code compiled for it",
    "usr/lib/*-linux-gnu/libc_malloc_debug.so.*": "glibc's debugging aids, preloaded by name only",
    "usr/lib/*-linux-gnu/libmemusage.so": "as above",
    "usr/lib/*-linux-gnu/libpcprofile.so": "as above",
    "usr/lib/*-linux-gnu/libthread_db.so.*": "for debuggers",
    "usr/lib/*-linux-gnu/libnss_hesiod.so.*": "name service of Hesiod",
    "usr/lib/*-linux-gnu/libnss_compat.so.*": "name service of NIS",
    "usr/share/python3/*": "Debian's tools for packages of Python; python3 comes along for cryptography",
    "usr/bin/py3*": "as above",
    "usr/bin/pydoc3*": "a program for people who develop",
    "usr/bin/pygettext3*": "as above",
    "usr/bin/pdb3*": "as above",
    "usr/lib/valgrind/*": "for valgrind",
    "usr/share/applications/*": "for desktops",
    "usr/share/pixmaps/*": "as above",
    "usr/share/binfmts/*": "how Debian registers Python with the kernel",
}
_PATTERN: Final = re.compile("|".join(fnmatch.translate(pattern) for pattern in NOT_IN_RUNTIME))


def for_runtime(tree: Tree) -> None:
    """Take out of a tree, in place, what the runtime's Python does without, and folders that are empty then."""
    folders = set()
    for entry in list(tree):
        if entry.kind is not Kind.DIRECTORY and _PATTERN.fullmatch(entry.path):
            tree.remove(entry.path)
            folders.add(entry.parent)
    used = {entry.parent for entry in tree}
    for folder in sorted(folders, key=len, reverse=True):
        if folder not in used:
            tree.remove(folder)
