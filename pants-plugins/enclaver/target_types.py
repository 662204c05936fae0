"""The targets: ``enclave_image``, ``enclave_kernel`` and ``enclave_base``."""

from typing import Optional

from pants.core.goals.package import OutputPathField
from pants.engine.addresses import Address
from pants.engine.target import (
    COMMON_TARGET_FIELDS,
    AsyncFieldMixin,
    BoolField,
    Dependencies,
    DictStringToStringField,
    InvalidFieldException,
    MultipleSourcesField,
    OptionalSingleSourceField,
    SingleSourceField,
    StringField,
    StringSequenceField,
    Target,
)
from pants.util.strutil import help_text

ARCHITECTURES = ("x86_64", "aarch64")
BUILDERS = ("native", "nitro-cli")


class TargetAddressField(StringField, AsyncFieldMixin):
    """The address of one target. Pants' help is made from the annotations, as Python 3.9 can read them."""

    @classmethod
    def compute_value(cls, raw_value: Optional[str], address: Address) -> Optional[str]:
        value = super().compute_value(raw_value, address)
        return _not_empty(cls.alias, value, address)


class EnclaveImageDependenciesField(Dependencies):
    pass


class ManifestField(OptionalSingleSourceField):
    alias = "manifest"
    default = "enclaver.yaml"
    help = help_text(
        """
        The Enclaver manifest: the app, what it may reach, what may reach it.

        What the enclave obeys is measured in a canonical form, so a comment or a tag changes no PCR. A manifest that
        asks for something this release does not build is refused by name; nothing of it is left out silently.
        """
    )

    @classmethod
    def compute_value(cls, raw_value: Optional[str], address: Address) -> Optional[str]:
        value = super().compute_value(raw_value, address)
        return _not_empty(cls.alias, value, address)


class AppField(TargetAddressField):
    alias = "app"
    help = help_text(
        """
        The address of the app. By default it is what the manifest's `sources.app` says: an address (`:server`,
        `//app:server`), or the reference of a container image. Such a one is made by the `docker_image` target that has
        this name and tag; where there is none, it is fetched, exactly as `enclave.images.lock` beside the BUILD file
        pins it. `enclave-lock` writes that file.

        The app is a `pex_binary` (unpacked, below `/app`), an `archive` (unpacked into `/app`), another target that
        `package` builds, or `files`, `resources` or what generates them: those lie in `/app` as they lie in the
        folder of their BUILD file.

        A `docker_image`, and an app that is one file, and that file the archive of a container image (of `docker save`,
        or an OCI archive), are the whole root file system, and run as the image says. So do `files` that make an OCI
        layout.
        """
    )


class BaseField(TargetAddressField):
    alias = "base"
    help = help_text(
        """
        The address of the `enclave_base` that the app's root file system starts from.

        By default it is `[enclaver].default_base` for the image's architecture. An app that is a container image has no
        use for it.
        """
    )


class KernelField(TargetAddressField):
    alias = "kernel"
    help = help_text(
        """
        The address of the `enclave_kernel` that the enclave boots. It is measured in PCR0, PCR1 and nowhere else.

        By default it is `[enclaver].default_kernel` for the image's architecture. There is no other fallback.
        """
    )


class EntrypointField(StringSequenceField):
    alias = "entrypoint"
    help = help_text(
        """
        The command the enclave runs, in `/app`: the executable by its absolute path in the image, then its arguments.
        For example `["/usr/bin/python3.11", "/app/main.py"]`. No shell reads it.

        By default a `pex_binary` runs on the base's Python, an app with a single executable file is that file, and a
        container image runs as its own `Entrypoint` and `Cmd` say.
        """
    )


class ArgsField(StringSequenceField):
    alias = "args"
    help = help_text(
        """
        Arguments that are added to the entrypoint, the default one too. They are measured in PCR0 and PCR2.

        Those of a container image stand for its `Cmd`.
        """
    )


class EnvField(DictStringToStringField):
    alias = "env"
    help = help_text(
        """
        Environment variables of the app, added to PATH, HOME and LANG. For example `{"LOG_LEVEL": "debug"}`.

        They are measured in PCR0 and PCR2, and everybody who has the image can read them: this is no place for secrets.
        """
    )


class DropXattrsField(BoolField):
    alias = "drop_xattrs"
    default = False
    value: bool
    help = help_text(
        """
        Leave out the extended attributes of a container image's files, file capabilities among them.

        A ramdisk cannot hold any. Without this, the first one in the image is an error that names its file: a program
        that lacks a capability it was given may fail in ways that are hard to understand.
        """
    )


class ArchitectureField(StringField):
    alias = "architecture"
    default = "x86_64"
    valid_choices = ARCHITECTURES
    value: str
    help = help_text(
        """
        The architecture of the image, or of the kernel. Base, kernel and app of an image must be of the image's.
        """
    )


class BuilderField(StringField):
    alias = "builder"
    default = "native"
    valid_choices = BUILDERS
    value: str
    help = help_text(
        """
        What makes the EIF. `native` needs nothing, and makes images of any architecture on any machine. `nitro-cli`
        runs AWS's own tool, which needs a docker daemon, and a `kernel` given as files that is its whole folder of
        blobs.
        """
    )


class EmulatorField(BoolField):
    alias = "emulator"
    default = False
    value: bool
    help = help_text(
        """
        Put QEMU into the target image, so that a container of it runs the enclave emulated where there is no Nitro
        hardware. An emulated enclave protects nothing. It adds some 45 MB, and needs `[enclaver].vhost_device_vsock`.
        """
    )


class ImageTagsField(StringSequenceField):
    alias = "image_tags"
    help = help_text(
        """
        More tags that `publish` pushes the target image under, besides the one in the manifest's `target`. For example
        `["latest", "v1"]`.
        """
    )


class SkipPushField(BoolField):
    alias = "skip_push"
    default = False
    value: bool
    help = "Leave this image out of `publish`."


class EnclaveImageTarget(Target):
    alias = "enclave_image"
    core_fields = (
        *COMMON_TARGET_FIELDS,
        EnclaveImageDependenciesField,
        OutputPathField,
        ManifestField,
        AppField,
        BaseField,
        KernelField,
        EntrypointField,
        ArgsField,
        EnvField,
        DropXattrsField,
        ArchitectureField,
        BuilderField,
        EmulatorField,
        ImageTagsField,
        SkipPushField,
    )
    help = help_text(
        """
        An AWS Nitro Enclaves image (EIF), built from an Enclaver manifest.

        `package` writes the image, its PCRs (`.pcrs.json`, in nitro-cli's form), what it is made of (`.materials.json`)
        and, for a manifest with a `target`, an OCI archive that runs it (`.image.tar`), which `publish` pushes.
        """
    )


class KernelFilesField(MultipleSourcesField):
    required = False
    default = ()
    help = help_text(
        """
        A kernel given as files, named as in nitro-cli's blobs folder: `bzImage` (`Image` on aarch64), `cmdline`
        and, when the kernel needs it, `nsm.ko`.
        """
    )


class KernelSourceLockField(OptionalSingleSourceField):
    alias = "source_lock"
    expected_file_extensions = (".json",)
    help = "The lock of the kernel's source package, for a kernel that is built from source."


class KernelConfigField(OptionalSingleSourceField):
    alias = "config"
    help = "The kernel's configuration, a fragment over `tinyconfig`, for a kernel that is built from source."


class KernelToolchainField(TargetAddressField):
    alias = "toolchain"
    help = "The address of the `enclave_base` that holds the compiler, for a kernel that is built from source."


class EnclaveKernelTarget(Target):
    alias = "enclave_kernel"
    core_fields = (
        *COMMON_TARGET_FIELDS,
        Dependencies,
        OutputPathField,
        KernelFilesField,
        KernelSourceLockField,
        KernelConfigField,
        KernelToolchainField,
        ArchitectureField,
    )
    help = help_text(
        """
        The kernel an enclave boots: files (`sources`), or built from a pinned source package with a pinned
        toolchain (`source_lock`, `config`, `toolchain`), which gives the same bytes on every host.
        """
    )


class DebianLockField(SingleSourceField):
    alias = "lock"
    expected_file_extensions = (".json",)
    help = "The Debian lock, as `enclaver lock debian` writes it."


class EnclaveBaseTarget(Target):
    alias = "enclave_base"
    core_fields = (*COMMON_TARGET_FIELDS, Dependencies, DebianLockField)
    help = "Debian packages, pinned by hash, that a root file system starts from."


def _not_empty(alias: str, value: Optional[str], address: Address) -> Optional[str]:
    """Return a field's value; an empty one is a mistake that would otherwise pass for a default."""
    if value is not None and not value.strip():
        raise InvalidFieldException(f"The `{alias}` field in target {address} is empty. Leave it out, or fill it in.")
    return value
