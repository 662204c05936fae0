"""What can be known of a build before its minutes are spent: whether it may write, and has what it needs last."""

from __future__ import annotations

import tempfile
from pathlib import Path

from enclaver.build import default_kernel, runner_tools
from enclaver.build.standalone import NITRO_CLI, Request
from enclaver.core.errors import EnclaverError
from enclaver.core.kernel import files as kernel_files
from enclaver.core.rootfs.regular import whole
from enclaver.system import nitro_cli
from enclaver.system.atomic import check_output
from enclaver.system.daemon import Daemon, DaemonError


def check(request: Request, *, output: Path | None, loads: bool, cache: Path) -> None:
    """Refuse a build that could not end well.

    Args:
        request: what is to be built.
        output: the file that is asked for; None when nothing but the docker daemon gets what is built.
        loads: whether the docker daemon gets it.
        cache: where what is fetched is kept; made when it is not there.

    Raises:
        EnclaverError: a place can't be written, or a program, a kernel or the daemon is missing or unfit.
    """
    if output is not None:
        check_output(output)
    _check_cache(cache)
    runner_tools.check(request.tools, request.architecture)
    for program in (request.tools.nitro_cli, request.tools.vhost_device_vsock):
        if program is not None:
            whole(program)
    _check_kernel(request)
    if loads or request.builder == NITRO_CLI:
        _check_daemon(can_do_without=request.builder != NITRO_CLI)


def _check_cache(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise EnclaverError(
            f"nothing can be kept there: {error.strerror}",
            file=str(folder),
            cure="Name a folder that you may write to, with --cache.",
        ) from error


def _check_daemon(*, can_do_without: bool) -> None:
    try:
        with Daemon():
            pass
    except DaemonError as error:
        if can_do_without:
            error.cure = " ".join(part for part in (error.cure, "Or do without: --archive or --eif-only.") if part)
        raise


def _check_kernel(request: Request) -> None:
    if request.builder == NITRO_CLI:
        nitro_cli.find(request.nitro_cli_program)
        nitro_cli.check_blobs(nitro_cli.blobs_folder(request.kernel), request.architecture)
    elif request.kernel is not None:
        kernel_files.read(request.kernel, request.architecture)
    else:
        default_kernel.check(request.architecture)
