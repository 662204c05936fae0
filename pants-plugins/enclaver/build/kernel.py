"""The kernel's stage: toolchain, source and configuration in, a folder of kernel files out.

Everything runs in the pinned toolchain's own tree, in namespaces of its own, so the image does not depend on the
machine, its compiler, the folder, the user or the clock. The unpacked source, some 2 GB, goes as soon as the
image is there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from enclaver.build import debian
from enclaver.core.debian import archive
from enclaver.core.debian import lock as lock_format
from enclaver.core.debian.lock import Package
from enclaver.core.eif.kernel_image import FILE_NAMES, inspect
from enclaver.core.errors import EnclaverError
from enclaver.core.kernel import config as kernel_config
from enclaver.core.kernel import files, plan
from enclaver.core.kernel import source_lock as source_lock_format
from enclaver.core.kernel.plan import Plan, Step
from enclaver.core.kernel.progress import BuildLog
from enclaver.core.kernel.source_lock import SourceLock
from enclaver.core.trust.materials import Input
from enclaver.system.atomic import atomic_folder
from enclaver.system.namespaces import NamespacesForbiddenError, run
from enclaver.system.scratch import scratch_folder

Progress = Callable[[str], None]

_TOOLCHAIN: Final = "amd64"
_HEAD: Final = 60
_OTHER_WAYS: Final = (
    "Or do without building: name a kernel given as files (nitro-cli's blobs folder), or share a remote cache "
    "with a machine that can build it. docs/kernel.md tells more."
)


def build(
    *,
    toolchain_lock: Path,
    debs: Path,
    source: Path,
    source_lock: Path,
    config: Path,
    output: Path,
    progress: Progress,
    work: Path | None = None,
    jobs: int | None = None,
) -> None:
    """Build the kernel of a source lock into a folder as nitro-cli's blobs folder is.

    Args:
        toolchain_lock: the Debian lock of the compiler and all that a kernel's build calls.
        debs: its packages, as ``SHA256.deb``.
        source: the source package, a .deb.
        source_lock: which package that has to be.
        config: the configuration, a fragment over ``tinyconfig``.
        output: the folder to make: bzImage, bzImage.config, cmdline and kernel.json.
        progress: called with a line now and then; all start with "kernel: ".
        work: where the build tree goes while it is needed (2.5 GB); beside the output if not given.
        jobs: how many compilers run at once; one a processor if not given.

    Raises:
        EnclaverError: an input is unfit, this machine forbids namespaces, an option of the configuration came
            out otherwise, or the build failed. Nothing is left at ``output`` or in ``work`` then.
    """
    lock = source_lock_format.load(source_lock)
    fragment = _read(config)
    wanted = kernel_config.parse(fragment, str(config))
    toolchain = lock_format.load(toolchain_lock)
    _check_machine(toolchain.architecture, toolchain_lock)
    archive.verify(source, lock.package)
    with source.open("rb") as file:
        moment = source_lock_format.build_time(file.read(_HEAD), str(source))
    steps = plan.plan(lock, timestamp=moment, jobs=jobs or len(os.sched_getaffinity(0)))
    _check_free(output)
    with scratch_folder(work or output.parent, prefix=".kernel-") as scratch:
        root = scratch / "root"
        progress("kernel: unpacking the toolchain")
        debian.unpack(lock=toolchain_lock, debs=debs, folder=root)
        _inside(root, plan.SOURCE).mkdir(parents=True)
        with _inside(root, plan.PACKAGE).open("wb") as data:
            archive.unpack_data(source, data)
        _inside(root, plan.FRAGMENT).write_bytes(fragment)
        _run(root, steps, steps.configure, progress)
        final = _inside(root, plan.FINAL_CONFIG).read_bytes()
        kernel_config.check(wanted, kernel_config.parse(final, plan.FINAL_CONFIG), str(config))
        _run(root, steps, steps.compile, progress)
        image = _inside(root, plan.IMAGE)
        _check_release(image, lock, str(source_lock))
        inputs = [
            _package_input("source", lock.package),
            Input("config", config.name, hashlib.sha256(fragment).hexdigest(), len(fragment)),
            *(_package_input("toolchain", package) for package in toolchain.packages),
        ]
        # The output's own temporary folder is made only now: a build that is killed leaves not even that.
        with atomic_folder(output) as made:
            _write(made, image.read_bytes(), final, lock, inputs)
        progress(f"kernel: {lock.kernel_version} is ready")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EnclaverError(
            f"the kernel's configuration cannot be read: {error.strerror}",
            file=str(path),
            cure="Name a configuration fragment; docs/kernel.md tells what is in one.",
        ) from error


def _check_free(output: Path) -> None:
    """Refuse an output that is there already before the minutes are spent, not after."""
    if os.path.lexists(output) and (not output.is_dir() or any(output.iterdir())):
        raise EnclaverError("is there already", file=str(output), cure="Give a new or an empty folder.")


def _check_machine(architecture: str, lock: Path) -> None:
    if architecture != _TOOLCHAIN:
        raise EnclaverError(
            f"the toolchain is for {architecture}",
            file=str(lock),
            cure=f"Only {plan.ARCHITECTURE} kernels are built from source; lock a toolchain for {_TOOLCHAIN}.",
        )
    machine = os.uname().machine
    if machine != plan.ARCHITECTURE:
        raise EnclaverError(
            f"a kernel is built from source on {plan.ARCHITECTURE} machines only; this one is {machine}",
            cure=_OTHER_WAYS,
        )


def _inside(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _run(root: Path, build_plan: Plan, steps: Sequence[Step], progress: Progress) -> None:
    told = ""
    for step in steps:
        if step.title != told:
            told = step.title
            progress(f"kernel: {told}")
        log = BuildLog()

        def on_line(line: str, log: BuildLog = log) -> None:
            if message := log.feed(line):
                progress(message)

        try:
            code = run(
                root,
                step.argv,
                env=build_plan.environment,
                cwd=step.cwd,
                hostname=plan.HOSTNAME,
                on_line=on_line,
            )
        except NamespacesForbiddenError as error:
            raise EnclaverError(
                f"the kernel cannot be built here: {error.what}", cure=f"{error.cure} {_OTHER_WAYS}"
            ) from error
        if code != 0:
            end = f"ended with {code}" if code > 0 else f"was ended by signal {-code}"
            raise EnclaverError(
                f"{step.title} the kernel failed: {step.argv[0]} {end}; it said:\n{log.excerpt()}",
                cure="See whether disk (2.5 GB are needed) or memory ran out; else the configuration is to blame.",
            )


def _check_release(image: Path, lock: SourceLock, file: str) -> None:
    release = inspect(image).release
    if release != lock.kernel_version:
        raise EnclaverError(
            f"the source is of kernel {release}, not of {lock.kernel_version}",
            file=file,
            place="kernel_version",
            cure="Write the version that the package really holds.",
        )


def _package_input(kind: str, package: Package) -> Input:
    return Input(kind, package.name, package.sha256, package.size, package.version)


def _write(folder: Path, image: bytes, final: bytes, lock: SourceLock, inputs: Sequence[Input]) -> None:
    name = FILE_NAMES[plan.ARCHITECTURE]
    (folder / name).write_bytes(image)
    (folder / f"{name}.config").write_bytes(final)
    (folder / files.CMDLINE).write_text(f"{plan.CMDLINE}\n", encoding="ascii")
    (folder / files.RECORD).write_bytes(
        files.record_json(image, architecture=plan.ARCHITECTURE, release=lock.kernel_version, inputs=inputs)
    )
