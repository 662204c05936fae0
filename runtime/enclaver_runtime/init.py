#!/usr/bin/python3.11 -IS
"""What the kernel or AWS's init starts, installed as ``/init``: runs the runtime, has the last word, and powers off.

Python is started isolated (-I: no environment, no user's folder) and without site (-S): what can be imported is the
standard library, /usr/lib/enclaver and Debian's own packages of libraries, all of it measured. Whatever happens ends
in a reboot, which is what ends an enclave on Nitro and, with ``-no-reboot``, in QEMU; where even that fails, PID 1's
exit makes the kernel panic, and ``panic=30`` on its command line ends the enclave. AWS's init reboots when its child
ends; this one does not wait for it.
"""

import os
import sys
from contextlib import suppress

_LIBRARY = "/usr/lib/enclaver"
_DEBIAN_LIBRARY = "/usr/lib/python3/dist-packages"
_RB_AUTOBOOT = 0x01234567


def main() -> None:
    """Run the runtime to its end, then end the enclave."""
    try:
        _open_standard_files()
        sys.dont_write_bytecode = True
        sys.path.insert(0, _LIBRARY)
        sys.path.append(_DEBIAN_LIBRARY)
        from enclaver_runtime.enclave.main import main as live

        live()
    except BaseException:  # noqa: BLE001 - nobody is above it to see it.
        _last_words()
    finally:
        _power_off()


def _open_standard_files() -> None:
    """Where the kernel found no console, 0 to 2 are free, and would become files that nobody may print to."""
    while (fd := os.open("/", os.O_RDONLY)) <= 2:
        pass
    os.close(fd)


def _last_words() -> None:
    """Write the traceback to standard error, which is the console."""
    import traceback

    text = "enclaver: the runtime failed\n" + traceback.format_exc()
    # Without a console there is nobody to tell; the power must go off all the same.
    with suppress(OSError):
        os.write(2, text.encode("ascii", "backslashreplace"))


def _power_off() -> None:
    # By itself, not by the runtime's own module: that one may be what cannot be loaded.
    import ctypes

    ctypes.CDLL(None).reboot(_RB_AUTOBOOT)


if __name__ == "__main__":
    main()
