"""A manifest as the rest of the project sees it: checked, immutable, without its YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from enclaver.core.manifest.app_source import AppSource
from enclaver.core.manifest.egress import EgressEntry
from enclaver.core.manifest.problems import Place, Problem, Source
from enclaver.core.manifest.signing_key import SigningKey

DEFAULT_CPU_COUNT = 2
DEFAULT_MEMORY_MB = 4096
DEFAULT_PROXY_PORT = 10_000


@dataclass(frozen=True, slots=True)
class Sources:
    """``sources``: where the app comes from. The other images a manifest may name are not used here."""

    app: AppSource


@dataclass(frozen=True, slots=True)
class Defaults:
    """``defaults``: what the enclave gets when nothing else is said at run time; memory in MiB."""

    cpu_count: int = DEFAULT_CPU_COUNT
    memory_mb: int = DEFAULT_MEMORY_MB


@dataclass(frozen=True, slots=True)
class Egress:
    """``egress``: who may be reached from inside. Entries in the manifest's order; deny beats allow."""

    allow: tuple[EgressEntry, ...] = ()
    deny: tuple[EgressEntry, ...] = ()
    proxy_port: int = DEFAULT_PROXY_PORT

    @property
    def enabled(self) -> bool:
        """Whether anything may leave at all: without an allow entry no proxy is started."""
        return bool(self.allow)


@dataclass(frozen=True, slots=True)
class Tls:
    """``ingress[].tls``: PEM files, as paths below the manifest's folder."""

    key_file: str
    cert_file: str


@dataclass(frozen=True, slots=True)
class Ingress:
    """One entry of ``ingress``: a port of the app that is reachable from outside."""

    listen_port: int
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class KmsProxy:
    """``kms_proxy``: its port inside the enclave, and KMS endpoints by region (sorted) that replace AWS's."""

    listen_port: int
    endpoints: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Api:
    """``api``: the port inside the enclave where the attestation API listens."""

    listen_port: int


@dataclass(frozen=True, slots=True)
class Signature:
    """``signature``: who signs the image (PCR8). The certificate is a PEM file, a path below the manifest's folder."""

    certificate: str
    key: SigningKey


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the parts of a manifest stand: for errors that only later stages can find.

    ``places`` maps the path of a key (``kms_proxy``, ``ingress[0].tls``) to the place of the key.
    """

    source: Source
    places: Mapping[str, Place]

    def problem(self, key: str, message: str, cure: str | None = None) -> Problem:
        """A problem at a key of this manifest; at the file's start when the key is not in it."""
        place = self.places.get(key, Place(1, 1))
        return self.source.problem(place, message, cure, key=key)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A valid manifest of version ``v1``.

    Two manifests are equal when they say the same, wherever in their files they say it. ``notes`` are
    remarks that refuse nothing: unused keys, a missing target, entries that likely mean something else.
    """

    name: str
    target: str | None
    sources: Sources
    defaults: Defaults
    egress: Egress | None
    ingress: tuple[Ingress, ...]
    kms_proxy: KmsProxy | None
    api: Api | None
    signature: Signature | None
    notes: tuple[Problem, ...] = field(compare=False, repr=False)
    origin: Origin = field(compare=False, repr=False)
    version: str = "v1"

    @property
    def files(self) -> tuple[tuple[str, str], ...]:
        """The files that the ramdisks are made of: key (``ingress[0].tls.key_file``) and path, in the file's order.

        The signature's are not among them: its certificate is wanted later, and its private key by no cache at all.
        """
        return tuple(
            (f"ingress[{index}].tls.{key}", path)
            for index, ingress in enumerate(self.ingress)
            if ingress.tls is not None
            for key, path in (("key_file", ingress.tls.key_file), ("cert_file", ingress.tls.cert_file))
        )
