"""Programs that the options name by the addresses of targets: nitro-cli, and what the emulator needs."""

from __future__ import annotations

from pants.engine.fs import CreateDigest, Digest, FileEntry

from enclaver.engine import create_digest, digest_entries
from enclaver.util_rules.app import packaged_files
from enclaver.util_rules.references import Reference
from enclaver.util_rules.tool import EnclaveBuildError


async def named_program(reference: Reference | None, name: str) -> Digest | None:
    """Return the one file of a target as a program, under a name; None without a target.

    Args:
        reference: what an option names.
        name: what the file is to be called.

    Raises:
        EnclaveBuildError: the target makes no file, or several.
    """
    if reference is None:
        return None
    found = [entry for entry in await digest_entries(await packaged_files(reference)) if isinstance(entry, FileEntry)]
    if len(found) != 1:
        raise EnclaveBuildError(
            f"{reference.origin}: {reference.address} is {len(found)} files, and a program is one\n"
            "  Name a `file`, or a target that `package` makes one file of."
        )
    return await create_digest(CreateDigest([FileEntry(name, found[0].file_digest, is_executable=True)]))
