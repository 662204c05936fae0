"""Signatures of Debian's archive, checked by gpgv: the tool and the keyring that apt itself uses."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Final

from enclaver.core.errors import EnclaverError

DEBIAN_KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# Status words of gpgv (GnuPG's doc/DETAILS). One good signature is enough: the archive signs with several keys,
# and a keyring may lack the newest. A bad one, or one by a revoked key, means that the file is not what was signed.
_GOOD: Final = "GOODSIG"
_REFUSED: Final = {
    "BADSIG": "the signature does not fit the file",
    "REVKEYSIG": "the key of the signature was revoked",
}
_WEAK: Final = {
    "EXPSIG": "the signature has expired",
    "EXPKEYSIG": "the key of the signature has expired",
    "NO_PUBKEY": "the keyring has no key for the signature",
}


def verify_clearsigned(data: bytes, *, keyring: Path, file: str) -> bytes:
    """The text inside a clear-signed file (an InRelease), as gpgv verified it.

    The text is gpgv's own output, never our reading of the file, so that nothing outside the signed part can
    be taken for it. ``file`` names the data in errors. Raises EnclaverError when gpgv or the keyring is missing
    or no signature is good.
    """
    if not keyring.is_file():
        raise EnclaverError(
            f"the keyring {keyring} does not exist",
            cure="Install debian-archive-keyring (any distribution has it), or name a keyring with --keyring.",
        )
    with tempfile.TemporaryDirectory(prefix="enclaver-gpgv-") as folder:
        signed, text = Path(folder, "signed"), Path(folder, "text")
        signed.write_bytes(data)
        # An absolute name: gpgv looks for a bare one in the user's GnuPG folder.
        command = ["gpgv", "--keyring", str(keyring.absolute()), "--status-fd", "1", "--output", str(text)]
        try:
            result = subprocess.run(
                [*command, "--", str(signed)], capture_output=True, check=False, stdin=subprocess.DEVNULL
            )
        except FileNotFoundError as error:
            raise EnclaverError(
                "gpgv is not installed, so Debian's signatures cannot be checked",
                cure="Install gpgv (the package has that name on Debian and Ubuntu).",
            ) from error
        words = [
            line.split()[1]
            for line in result.stdout.decode("utf-8", "replace").splitlines()
            if line.startswith("[GNUPG:] ") and len(line.split()) > 1
        ]
        refused = [reason for word, reason in _REFUSED.items() if word in words]
        if refused or _GOOD not in words or not text.is_file():
            reasons = refused or [reason for word, reason in _WEAK.items() if word in words]
            raise EnclaverError(
                f"the signature is not good: {'; '.join(reasons) or 'there is none that gpgv can read'}",
                file=file,
                cure=f"Use another mirror, or a keyring that has the archive's keys (this one is {keyring}).",
            )
        return text.read_bytes()
