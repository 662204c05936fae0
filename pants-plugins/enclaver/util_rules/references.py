"""Addresses as they were written: in a BUILD file, in a manifest or in pants.toml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

from pants.engine.addresses import Address, UnparsedAddressInputs

from enclaver.subsystem import EnclaverSubsystem
from enclaver.target_types import BaseField, KernelField, TargetAddressField


@dataclass(frozen=True)
class Reference:
    """An address that is not resolved yet.

    Args:
        address: as it was written.
        origin: where, for errors.
        owner: the target whose neighbours a relative address names; the repository's root without one.
    """

    address: str
    origin: str
    owner: Address | None = None

    @property
    def inputs(self) -> UnparsedAddressInputs:
        """The address as the engine resolves it."""
        return UnparsedAddressInputs([self.address], owning_address=self.owner, description_of_origin=self.origin)


def written(field: TargetAddressField) -> Reference | None:
    """Return what a field names; None when it is not set."""
    return Reference(field.value, f"the `{field.alias}` of {field.address}", field.address) if field.value else None


def base(field: BaseField, subsystem: EnclaverSubsystem, architecture: str) -> Reference | None:
    """Return the base of an image: its own, else the default of its architecture; None when neither is named."""
    return written(field) or _default(field, subsystem.default_base, architecture)


def kernel(field: KernelField, subsystem: EnclaverSubsystem, architecture: str) -> Reference | None:
    """Return the kernel of an image: its own, else the default of its architecture; None when neither is named."""
    return written(field) or _default(field, subsystem.default_kernel, architecture)


def nitro_cli(subsystem: EnclaverSubsystem, architecture: str) -> Reference | None:
    """Return the nitro-cli of an architecture; None when the options name none."""
    address = subsystem.nitro_cli.get(architecture)
    return Reference(address, f"`[enclaver].nitro_cli` for {architecture}") if address else None


def vhost_device_vsock(subsystem: EnclaverSubsystem) -> Reference | None:
    """Return the emulator's vsock device; None when the options name none."""
    address = subsystem.vhost_device_vsock
    return Reference(address, "`[enclaver].vhost_device_vsock`") if address else None


def _default(field: TargetAddressField, table: Mapping[str, str], architecture: str) -> Reference | None:
    address = table.get(architecture)
    return Reference(address, f"`[enclaver].default_{field.alias}`") if address else None
