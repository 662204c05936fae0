"""The security module as the enclave uses it: a device that speaks the protocol.

Imported only where there is a module: its CBOR decoder takes time to load.
"""

from __future__ import annotations

from collections.abc import Callable

from enclaver_runtime.protocol import nsm as protocol

#: The registers that an image is measured in: all of it, boot, app.
IMAGE_PCRS = (0, 1, 2)


class Nsm:
    """Asks over ``request``, which takes the bytes of a request and returns those of the response.

    Every method raises what ``request`` raises, and protocol.nsm's NsmError and ResponseError.
    """

    def __init__(self, request: Callable[[bytes], bytes]) -> None:
        self._request = request

    def random(self) -> bytes:
        """Random bytes, as many as the module gives at once (256)."""
        return protocol.parse_random(self._request(protocol.get_random()))

    def pcr(self, index: int) -> protocol.Pcr:
        """The register ``index``."""
        return protocol.parse_pcr(self._request(protocol.describe_pcr(index)))


def measurement_lines(nsm: Nsm) -> list[str]:
    """``PCR0=<hex>`` and so on: the image's measurement as the module holds it."""
    return [f"PCR{index}={nsm.pcr(index).value.hex()}" for index in IMAGE_PCRS]
