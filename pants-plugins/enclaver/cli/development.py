"""Development attestation: an emulated enclave whose parent signs its documents, with a root that nobody trusts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import trio

from enclaver.build.development_image import with_word
from enclaver.cli.beside import tell
from enclaver.core.eif.reader import Image
from enclaver.system.atomic import atomic_output
from enclaver_runtime.parent.development_attestation import COMMAND_LINE_WORD, DevelopmentAttestation
from enclaver_runtime.parent.runner import Enclave
from enclaver_runtime.parent.scratch import scratch_folder


@asynccontextmanager
async def attested(
    image: Image, boot: Callable[[Image], AbstractAsyncContextManager[Enclave]], *, root: Path | None
) -> AsyncIterator[Enclave]:
    """Boot an image that asks its parent for documents, and be the parent that signs them.

    The image that boots is a temporary one, as its kernel's command line has a word more; so its PCR0 and PCR1 are not
    those of the image given.

    Args:
        image: the image given.
        boot: boots the temporary one.
        root: the file that gets the root's certificate, PEM; None for no file.

    Raises:
        EnclaverError: the temporary image or the root's file can't be written.
        ExceptionGroup: the parent's port can't be listened on.
    """
    with scratch_folder() as folder:
        changed = await trio.to_thread.run_sync(with_word, image, COMMAND_LINE_WORD, folder / image.path.name)
        registers = changed.measurements.registers()
        attestation = DevelopmentAttestation(
            {int(name.removeprefix("PCR")): bytes.fromhex(value) for name, value in registers.items()}
        )
        if root is not None:
            with atomic_output(root) as file:
                file.write(attestation.root_pem)
        _explain(image, changed, attestation)
        async with boot(changed) as enclave, trio.open_nursery() as nursery:
            await nursery.start(attestation.service(tell), enclave)
            yield enclave
            nursery.cancel_scope.cancel()


def _explain(image: Image, changed: Image, attestation: DevelopmentAttestation) -> None:
    tell(
        "DEVELOPMENT attestation: documents prove nothing; they are signed by a root that ends with this run, "
        f"SHA-256 {attestation.root_fingerprint}"
    )
    tell(
        f"what boots has {COMMAND_LINE_WORD} on its kernel's command line, so it is another image: "
        f"PCR0 {changed.measurements.pcr0.hex()}"
    )
    if image.signature is not None:
        tell("the image's signature is over its own PCR0, so it is left out, and PCR8 is zero")
