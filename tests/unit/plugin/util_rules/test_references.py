from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pants.engine.addresses import Address

from enclaver.target_types import BaseField, KernelField
from enclaver.util_rules import references

OWNER = Address("examples/hello", target_name="enclave")
OPTIONS: Any = SimpleNamespace(default_base={"x86_64": "//debian:base"}, default_kernel={"aarch64": ":kernel"})


def test_what_a_target_says_is_relative_to_it() -> None:
    found = references.base(BaseField(":mine", OWNER), OPTIONS, "x86_64")
    assert found == references.Reference(":mine", "the `base` of examples/hello:enclave", OWNER)
    assert (found.inputs.values, found.inputs.relative_to) == ((":mine",), "examples/hello")
    assert found.inputs.description_of_origin == found.origin


def test_what_an_option_says_is_relative_to_the_root() -> None:
    found = references.kernel(KernelField(None, OWNER), OPTIONS, "aarch64")
    assert found == references.Reference(":kernel", "`[enclaver].default_kernel`")
    assert found.inputs.relative_to is None


def test_a_default_is_of_one_architecture() -> None:
    assert references.base(BaseField(None, OWNER), OPTIONS, "aarch64") is None
    assert references.kernel(KernelField(None, OWNER), OPTIONS, "x86_64") is None
    assert references.written(BaseField(None, OWNER)) is None


def test_a_program_is_of_one_architecture() -> None:
    options: Any = SimpleNamespace(nitro_cli={"x86_64": "//tools:nitro-cli"}, vhost_device_vsock=None)
    found = references.nitro_cli(options, "x86_64")
    assert found == references.Reference("//tools:nitro-cli", "`[enclaver].nitro_cli` for x86_64")
    assert references.nitro_cli(options, "aarch64") is None
    assert references.vhost_device_vsock(options) is None
    options.vhost_device_vsock = "//tools:vhost"
    found = references.vhost_device_vsock(options)
    assert found is not None
    assert (found.address, found.inputs.relative_to) == ("//tools:vhost", None)
