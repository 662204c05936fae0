"""The certificates of those whom the app's image trusts; the runtime trusts the same for what it asks itself.

They are read before the app starts, so they are the measured ones, whatever the app does to its files.
"""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Mapping

from enclaver_runtime.config import ConfigError

#: Where Debian and many others have them, seen from the app's root.
DEFAULT = "/etc/ssl/certs/ca-certificates.crt"

#: The variables of the app's environment that name another file, the first one first.
VARIABLES = ("AWS_CA_BUNDLE", "SSL_CERT_FILE")

#: Bytes; all of Mozilla's are 220,000.
_MAX_SIZE = 16 * 1024 * 1024

# As many as the kernel follows.
_MAX_LINKS = 40


def client_context(root: str, env: Mapping[str, str]) -> ssl.SSLContext:
    """What verifies servers, with the bundle that the app in ``root`` with the environment ``env`` would use.

    Raises:
        ConfigError: there is no such file in the image, or it holds no certificate.
    """
    variable = next((name for name in VARIABLES if env.get(name)), None)
    path = DEFAULT if variable is None else env[variable]
    named = f"the CA bundle {path}" + ("" if variable is None else f" ({variable})")
    try:
        text = _read(resolve(root, path))
    except OSError as error:
        raise ConfigError(
            f"kms_proxy: {named} cannot be read ({error.strerror}), so KMS could not be verified: have it in the "
            f"image, or set {VARIABLES[0]} in the app's environment to where it is"
        ) from error
    # Not the default one, which trusts what is in the runtime's own root too.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # Comments between certificates are no error to it, in whatever encoding; no certificate at all is.
        context.load_verify_locations(cadata=text.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"kms_proxy: {named} holds no certificates in PEM form") from error
    return context


def resolve(root: str, path: str) -> str:
    """Where ``path`` of the app's leads to from here: its links are followed as the app's, within ``root``.

    Raises:
        OSError: there are too many links.
    """
    found, missing = list[str](), path.split("/")[::-1]
    links = 0
    while missing:
        part = missing.pop()
        if part in ("", "."):
            continue
        if part == "..":
            found = found[:-1]
            continue
        try:
            target = os.readlink(os.path.join(root, *found, part))
        except OSError:
            # No link, or nothing at all; whoever opens it will see.
            found.append(part)
            continue
        if (links := links + 1) > _MAX_LINKS:
            raise OSError(0, "too many links")
        if target.startswith("/"):
            found = []
        missing += target.split("/")[::-1]
    return os.path.join(root, *found)


def _read(path: str) -> bytes:
    # A device or a pipe would never end; nothing in an image is worth waiting for.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "no regular file")
        return file.read(_MAX_SIZE)
