from __future__ import annotations

import pytest
from pants.engine.addresses import Address
from pants.engine.target import Field, InvalidTargetException, Target

from enclaver import target_types
from enclaver.register import target_types as registered

IMAGE = Address("examples/hello", target_name="enclave")


def image(**fields: object) -> target_types.EnclaveImageTarget:
    return target_types.EnclaveImageTarget(fields, IMAGE)


def test_an_image_needs_no_field() -> None:
    made = image()
    values = {field.alias: made[field].value for field in target_types.EnclaveImageTarget.core_fields}
    assert {alias: value for alias, value in values.items() if value is not None} == {
        "manifest": "enclaver.yaml",
        "drop_xattrs": False,
        "architecture": "x86_64",
        "builder": "native",
        "emulator": False,
        "skip_push": False,
    }
    assert made[target_types.ManifestField].file_path == "examples/hello/enclaver.yaml"


@pytest.mark.parametrize("alias", ["manifest", "app", "base", "kernel"])
@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_name_is_not_taken_for_none(alias: str, empty: str) -> None:
    with pytest.raises(InvalidTargetException, match=f"`{alias}` field in target examples/hello:enclave is empty"):
        image(**{alias: empty})


@pytest.mark.parametrize("architecture", ["arm64", "amd64", ""])
def test_an_architecture_is_named_as_the_kernel_names_it(architecture: str) -> None:
    with pytest.raises(InvalidTargetException, match="x86_64"):
        image(architecture=architecture)


def test_a_kernel_is_neither_files_nor_source_by_itself() -> None:
    kernel = target_types.EnclaveKernelTarget({}, IMAGE)
    assert not any(
        kernel[field].value
        for field in (
            target_types.KernelFilesField,
            target_types.KernelSourceLockField,
            target_types.KernelConfigField,
            target_types.KernelToolchainField,
        )
    )


def test_a_base_needs_its_lock() -> None:
    with pytest.raises(InvalidTargetException, match="lock"):
        target_types.EnclaveBaseTarget({}, IMAGE)


@pytest.mark.parametrize("target", list(registered()), ids=lambda target: str(target.alias))
def test_every_target_and_field_of_ours_has_help(target: type[Target]) -> None:
    ours: list[type[Field] | type[Target]] = [target]
    ours += [field for field in target.core_fields if field.__module__ == target_types.__name__]
    for documented in ours:
        text = documented.help if isinstance(documented.help, str) else documented.help()
        # A class without help of its own inherits that of the kind of field it is, which says nothing about it.
        assert "help" in vars(documented) or documented.__name__.endswith("DependenciesField"), documented
        assert text.strip().endswith((".", ":", "`).")), text
