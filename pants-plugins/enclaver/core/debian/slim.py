"""What the runtime's Python does without: the boot ramdisk is unpacked at every start and stays in memory.

A standard library is whole for an app, which may import anything, but PID 1 is one known program. Each pattern says
what is left out and why it is safe; together they take 40 % off the tree of amd64 and half off that of arm64
(docs/debian-locks.md). The shared libraries are those that only the modules left out are linked against.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from typing import Final

from enclaver.core.rootfs.tree import Entry, Kind, Tree

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
# A target image's QEMU is one machine without a screen, sound, USB or disks (enclaver_runtime/parent/machine.py).
# Debian's has all of them, as modules that are loaded by name, and firmware for every machine there is.
NOT_IN_EMULATOR: Final[dict[str, str]] = {
    "usr/libexec/qemu-system-i386": "a QEMU for 32 bits",
    "usr/bin/qemu-system-i386": "as above",
    "usr/bin/qemu-system-x86_64-microvm": "a QEMU without TCG, which is what works everywhere",
    "usr/bin/qemu-pr-helper": "for disks",
    "usr/bin/qemu-storage-daemon": "for disks",
    "usr/bin/elf2dmp": "for crash dumps",
    "usr/lib/qemu/*": "for disks and networks of the machine's own",
    "usr/lib/*-linux-gnu/qemu/[!a]*": "modules; the accelerators are the only ones that are used",
    "usr/lib/*-linux-gnu/qemu/audio-*": "sound",
    "usr/lib/*-linux-gnu/qemu/accel-tcg-i386.so": "of the QEMU for 32 bits",
    "usr/lib/*-linux-gnu/sasl2/*": "ways to log in to a screen",
    "usr/share/qemu/keymaps/*": "for keyboards",
    "usr/share/qemu/*.dtb": "for machines of other architectures",
    "usr/share/qemu/*.elf": "as above",
    "usr/share/qemu/*.img": "as above",
    "usr/share/qemu/openbios-*": "as above",
    "usr/share/qemu/opensbi-*": "as above",
    "usr/share/qemu/skiboot.lid": "as above",
    "usr/share/qemu/slof.bin": "as above",
    "usr/share/qemu/trace-events-all": "for people who trace QEMU",
    "usr/share/qemu/vhost-user/*": "for disks",
}

# Packages that only the modules above are linked against, or only maintainer scripts use.
PACKAGES_NOT_IN_EMULATOR: Final[dict[str, tuple[str, ...]]] = {
    "sound": ("libasound2", "libasound2-data", "libopus0", "libsndio7.0"),
    "screens": ("libdrm-common", "libdrm2", "libepoxy0", "libgbm1", "libspice-server1", "libwayland-server0"),
    "needed by libspice-server": (
        *("iso-codes", "libcap2", "libcap2-bin", "libdw1", "libgstreamer-plugins-base1.0-0", "libgstreamer1.0-0"),
        *("liborc-0.4-0", "libunwind8"),
    ),
    "USB and smart cards": ("libcacard0", "libnspr4", "libnss3", "libpcsclite1", "libusb-1.0-0", "libusbredirparser1"),
    "Braille": ("libbrlapi0.8", "libbsd0", "libmd0"),
    "needed by libusb, libdw and others of these": (
        *("libgcrypt20", "libgpg-error0", "liblz4-1", "libstdc++6", "libsystemd0"),
    ),
    "networks to boot from": ("ipxe-qemu",),
    "for maintainer scripts": (
        *("adduser", "libaudit-common", "libaudit1", "libcap-ng0", "libpam-modules", "libpam-modules-bin", "libpam0g"),
        *("libsemanage-common", "libsemanage2", "libsepol2", "passwd"),
    ),
}


def _pattern(*lists: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(pattern) for patterns in lists for pattern in patterns))


_RUNTIME: Final = _pattern(NOT_IN_RUNTIME)
_RUNNER: Final = _pattern(NOT_IN_RUNTIME, NOT_IN_EMULATOR)
# As origins begin; the tree of an image without QEMU has none of these packages.
_PACKAGES: Final = frozenset(f"deb:{name}" for names in PACKAGES_NOT_IN_EMULATOR.values() for name in names)


def for_runtime(tree: Tree) -> None:
    """Take out of a tree, in place, what the runtime's Python does without, and folders that are empty then."""
    _take_out(tree, lambda entry: _RUNTIME.fullmatch(entry.path) is not None)


def for_runner(tree: Tree) -> None:
    """Take out of a target image's tree, in place, what its Python and its QEMU, if it has one, do without."""
    _take_out(
        tree, lambda entry: entry.origin.partition("=")[0] in _PACKAGES or _RUNNER.fullmatch(entry.path) is not None
    )


def _take_out(tree: Tree, unwanted: Callable[[Entry], bool]) -> None:
    folders = set()
    for entry in list(tree):
        if entry.kind is not Kind.DIRECTORY and unwanted(entry):
            tree.remove(entry.path)
            folders.add(entry.parent)
    used = {entry.parent for entry in tree}
    for folder in sorted(folders, key=len, reverse=True):
        if folder not in used:
            tree.remove(folder)
