"""The enclave's network: a loopback device, which gets 127.0.0.1 and ::1 from the kernel when it comes up."""

from __future__ import annotations

import fcntl
import socket
import struct

_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1

#: struct ifreq, 40 bytes: the device's name, and the flags where its union begins.
_IFREQ = struct.Struct("=16sh22x")


def bring_up(device: str = "lo") -> None:
    """Set ``device`` up.

    Raises:
        OSError: there is no such device, or the caller may not.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, _IFREQ.pack(device.encode("ascii"), 0))
        flags = _IFREQ.unpack(answer)[1] | _IFF_UP
        fcntl.ioctl(control, _SIOCSIFFLAGS, _IFREQ.pack(device.encode("ascii"), flags))


def open_low_ports(setting: str = "/proc/sys/net/ipv4/ip_unprivileged_port_start") -> None:
    """Let the app listen below port 1024, as container engines do: there is nobody else here to protect.

    Raises:
        OSError: the kernel has no such setting, or /proc is not mounted.
    """
    with open(setting, "w", encoding="ascii") as file:
        file.write("0")
