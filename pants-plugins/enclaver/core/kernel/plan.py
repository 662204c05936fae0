"""The kernel's build as data: what is run in the sandbox, with which environment, and where its results lie.

Nothing of the machine may show in the image. What would differ is fixed here: the paths, the time, the user,
the host, the build number, the locale, the time zone. Only ``jobs`` is the machine's, and it changes no byte.
See Documentation/kbuild/reproducible-builds.rst in the kernel's source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.kernel.source_lock import SourceLock

ARCHITECTURE: Final = "x86_64"
# nitro-cli's own, but for reboot=t: the enclave ends 1.7 s sooner in QEMU than with the keyboard controller.
CMDLINE: Final = (
    "reboot=t panic=30 pci=off nomodules console=ttyS0 i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd"
    " random.trust_cpu=on"
)
HOSTNAME: Final = "enclaver"

# Paths inside the sandbox; objects hold some of them.
BUILD: Final = "/build"
SOURCE: Final = f"{BUILD}/linux"
PACKAGE: Final = f"{BUILD}/package.tar"  # The data member of the source package.
FRAGMENT: Final = f"{BUILD}/fragment.config"
FINAL_CONFIG: Final = f"{SOURCE}/.config"
IMAGE: Final = f"{SOURCE}/arch/x86/boot/bzImage"

_USER: Final = "enclaver"
_MAX_JOBS: Final = 1024


@dataclass(frozen=True, slots=True)
class Step:
    """One program that is run: what it does in words, its argument vector and its working folder."""

    title: str
    argv: tuple[str, ...]
    cwd: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps in order: after ``configure`` the configuration can be checked, before ``compile`` costs time."""

    environment: Mapping[str, str]
    configure: tuple[Step, ...]
    compile: tuple[Step, ...]


def plan(lock: SourceLock, *, timestamp: int, jobs: int) -> Plan:
    """Return how to build the kernel of a source lock.

    Args:
        lock: names the package whose data lies at ``PACKAGE`` in the sandbox.
        timestamp: seconds since 1970 that the kernel says it was built at; it has to come from the inputs.
        jobs: how many compilers run at once.

    Raises:
        EnclaverError: ``timestamp`` or ``jobs`` is out of range.
    """
    if not 1 <= jobs <= _MAX_JOBS:
        raise EnclaverError(f"{jobs} compilers at once; it is 1 to {_MAX_JOBS}")
    make = ("make", f"ARCH={ARCHITECTURE}")
    unpack = (
        Step("unpacking the source", ("tar", "--extract", f"--file={PACKAGE}", f"./{lock.tarball}"), BUILD),
        # --touch: the archive's times would meet a host's clock that is behind them, and make would then
        # rebuild in circles. The other two: tar behaves differently when it believes to be root.
        Step(
            "unpacking the source",
            (
                *("tar", "--extract", "--touch", "--no-same-owner", "--no-same-permissions"),
                *("--strip-components=1", f"--use-compress-program=xz --threads={jobs}"),
                *(f"--directory={SOURCE}", f"--file={BUILD}/{lock.tarball}"),
            ),
            BUILD,
        ),
    )
    configure = (
        Step("configuring", (*make, "tinyconfig"), SOURCE),
        Step("configuring", ("scripts/kconfig/merge_config.sh", "-m", ".config", FRAGMENT), SOURCE),
        Step("configuring", (*make, "olddefconfig"), SOURCE),
    )
    return Plan(
        environment=_environment(timestamp),
        configure=(*unpack, *configure),
        compile=(Step("compiling", (*make, f"--jobs={jobs}", "bzImage"), SOURCE),),
    )


def _environment(timestamp: int) -> dict[str, str]:
    try:
        moment = datetime.fromtimestamp(timestamp, timezone.utc)
    except (ValueError, OverflowError, OSError) as error:
        raise EnclaverError(f"{timestamp} is not a time that a kernel can carry") from error
    return {
        "PATH": "/usr/sbin:/usr/bin",
        "HOME": "/tmp",  # noqa: S108 The sandbox's own, empty and gone with it.
        "LC_ALL": "C",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": str(timestamp),
        # As date(1) prints it. The text is compiled in, and usr/gen_initramfs.sh gives it to `date -d`: one
        # that does not parse is ignored there, and the host's clock then shows in the built-in ramdisk.
        "KBUILD_BUILD_TIMESTAMP": moment.strftime("%a %b %e %H:%M:%S UTC %Y"),
        "KBUILD_BUILD_USER": _USER,
        "KBUILD_BUILD_HOST": HOSTNAME,
        "KBUILD_BUILD_VERSION": "1",
    }
