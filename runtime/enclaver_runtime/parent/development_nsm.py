"""The Nitro Security Module as an emulator's parent plays it: requests in, responses out, both CBOR.

It answers as the real one does, with its registers, limits and errors. What it cannot do is prove anything: its
documents chain to a root of this run (development_pki), and only who was told to trust that root accepts them.
Source: AWS's aws-nitro-enclaves-nsm-api (docs/attestation_process.md) and documents of real enclaves.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from hashlib import sha384

import cbor2

from enclaver_runtime.parent.development_pki import DevelopmentPki
from enclaver_runtime.protocol.nsm_limits import MAX_NONCE, MAX_PUBLIC_KEY, MAX_USER_DATA

#: Registers of the module; the first half of them is locked from the start, and in every document.
REGISTERS = 32
FIRST_LOCKED = 16

_REGISTER_SIZE = 48
# As much as a register is extended by at once, and as many random bytes as are given, by the real one.
_MAX_EXTENSION = 512
_RANDOM_SIZE = 256
_VERSION = (1, 0, 0)
_DIGEST = "SHA384"
_LIMITS = {"user_data": (0, MAX_USER_DATA), "nonce": (0, MAX_NONCE), "public_key": (1, MAX_PUBLIC_KEY)}

# COSE_Sign1 (RFC 9052, 4.2 and 4.4): the protected header says ES384, as the only one.
_PROTECTED = cbor2.dumps({1: -35})
_SIGNATURE_CONTEXT = "Signature1"

# An indefinite-length map and its end (RFC 8949, 3.2.2): so are the payloads of real documents since August 2025.
_MAP_START, _MAP_END = b"\xbf", b"\xff"

Clock = Callable[[], datetime.datetime]


class _Refusal(Exception):  # noqa: N818 - it is an answer.
    """The module's word for why a request is refused."""


class DevelopmentNsm:
    """One enclave's module.

    Args:
        registers: the image's, by number, 48 bytes each; all others are zero.
        pki: what signs.
        module_id: as in documents.
        clock: the time, with a time zone.
        random: gives so many random bytes.
    """

    def __init__(
        self,
        registers: Mapping[int, bytes],
        *,
        pki: DevelopmentPki,
        module_id: str,
        clock: Clock,
        random: Callable[[int], bytes],
    ) -> None:
        self._values = [registers.get(index, bytes(_REGISTER_SIZE)) for index in range(REGISTERS)]
        self._locked = set(range(FIRST_LOCKED))
        self._pki = pki
        self._module_id = module_id
        self._clock = clock
        self._random = random

    def respond(self, request: bytes) -> bytes:
        """The response to a request; to anything else, ``{"Error": "InvalidArgument"}``. Raises nothing."""
        try:
            return cbor2.dumps(self._answer(_decode(request)))
        except _Refusal as refusal:
            return cbor2.dumps({"Error": str(refusal)})

    def _answer(self, request: object) -> object:
        if isinstance(request, Mapping) and len(request) != 1:
            raise _Refusal("InvalidArgument")
        match request:
            case "DescribeNSM" | {"DescribeNSM": {}}:
                return {"DescribeNSM": self._describe()}
            case "GetRandom" | {"GetRandom": {}}:
                return {"GetRandom": {"random": self._random(_RANDOM_SIZE)}}
            case {"DescribePCR": {"index": index}}:
                known = _index(index)
                return {"DescribePCR": {"lock": known in self._locked, "data": self._values[known]}}
            case {"ExtendPCR": {"index": index, "data": data}}:
                return {"ExtendPCR": {"data": self._extend(_index(index), _bytes(data))}}
            case {"LockPCR": {"index": index}}:
                self._locked.add(self._unlocked(_index(index)))
                return "LockPCR"
            case {"LockPCRs": {"range": end}}:
                self._locked.update(range(_number(end, REGISTERS)))
                return "LockPCRs"
            case {"Attestation": dict(arguments)}:
                return {"Attestation": {"document": self._attest(arguments)}}
        raise _Refusal("InvalidArgument")

    def _describe(self) -> dict[str, object]:
        major, minor, patch = _VERSION
        return {
            "version_major": major,
            "version_minor": minor,
            "version_patch": patch,
            "module_id": self._module_id,
            "max_pcrs": REGISTERS,
            "locked_pcrs": sorted(self._locked),
            "digest": _DIGEST,
        }

    def _extend(self, index: int, data: bytes) -> bytes:
        if not data:
            raise _Refusal("InvalidArgument")
        if len(data) > _MAX_EXTENSION:
            raise _Refusal("InputTooLarge")
        self._values[self._unlocked(index)] = sha384(self._values[index] + data).digest()
        return self._values[index]

    def _unlocked(self, index: int) -> int:
        if index in self._locked:
            raise _Refusal("ReadOnlyIndex")
        return index

    def _attest(self, arguments: Mapping[object, object]) -> bytes:
        if arguments.keys() - _LIMITS.keys():
            raise _Refusal("InvalidArgument")
        carried = {name: _carried(arguments.get(name), *limits) for name, limits in _LIMITS.items()}
        now = self._clock()
        signer = self._pki.signer(now)
        payload = _indefinite_map(
            {
                "module_id": self._module_id,
                "digest": _DIGEST,
                "timestamp": round(now.timestamp() * 1000),
                "pcrs": {index: self._values[index] for index in sorted(self._locked)},
                "certificate": signer.certificate,
                "cabundle": list(signer.cabundle),
                "public_key": carried["public_key"],
                "user_data": carried["user_data"],
                "nonce": carried["nonce"],
            }
        )
        signature = signer.sign(cbor2.dumps([_SIGNATURE_CONTEXT, _PROTECTED, b"", payload]))
        # Without the tag that COSE allows, as real ones are.
        return cbor2.dumps([_PROTECTED, {}, payload, signature])


def _decode(request: bytes) -> object:
    try:
        return cbor2.loads(request)
    # Besides its own error the decoder lets through what tags for dates, numbers and shared values raise.
    except Exception as problem:
        raise _Refusal("InvalidArgument") from problem


def _carried(value: object, least: int, most: int) -> bytes | None:
    if value is None:
        return None
    data = _bytes(value)
    if len(data) > most:
        raise _Refusal("InputTooLarge")
    if len(data) < least:
        raise _Refusal("InvalidArgument")
    return data


def _index(value: object) -> int:
    if type(value) is not int:
        raise _Refusal("InvalidArgument")
    if not 0 <= value < REGISTERS:
        raise _Refusal("InvalidIndex")
    return value


def _number(value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise _Refusal("InvalidArgument")
    return value


def _bytes(value: object) -> bytes:
    # AWS's library writes what is extended by as an array of numbers.
    try:
        if isinstance(value, bytes | list):
            return bytes(value)
    except (TypeError, ValueError):
        pass
    raise _Refusal("InvalidArgument")


def _indefinite_map(fields: Mapping[str, object]) -> bytes:
    parts = (cbor2.dumps(name) + cbor2.dumps(value) for name, value in fields.items())
    return b"".join((_MAP_START, *parts, _MAP_END))
