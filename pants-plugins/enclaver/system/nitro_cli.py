"""``nitro-cli build-enclave``, AWS's program that makes enclave images of docker images.

It takes kernel, init, driver and linuxkit from a folder of blobs, has linuxkit make two ramdisks (one of init and
driver, one of the docker image), and prints the registers. Source: AWS, the command reference in the Nitro Enclaves
user guide; aws-nitro-enclaves-cli 1.5.2.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from enclaver.core.errors import EnclaverError
from enclaver.system import nitro_cli_errors

_PROGRAM: Final = "nitro-cli"
_BLOBS: Final = "NITRO_CLI_BLOBS"
_DEFAULT_BLOBS: Final = Path("/usr/share/nitro_enclaves/blobs")
# It names the kernel by the machine it runs on, whatever the docker image is for.
_KERNELS: Final = {"x86_64": "bzImage", "aarch64": "Image"}
_BESIDES: Final = ("cmdline", "init", "nsm.ko", "linuxkit")
_INSTALL: Final = "Install aws-nitro-enclaves-cli and aws-nitro-enclaves-cli-devel, or build with the native builder."
# Seconds. Images of some GiB take minutes.
_PATIENCE: Final = 3600.0
_VERSION_PATIENCE: Final = 30.0
# Bytes of what it writes that are read.
_MOST: Final = 1 << 16


def find(chosen: Path | None = None) -> Path:
    """Return the nitro-cli to use: ``chosen``, else the one on PATH.

    Raises:
        EnclaverError: there is none.
    """
    found = shutil.which(chosen.absolute() if chosen else _PROGRAM)
    if found is None:
        raise EnclaverError(f"{chosen or _PROGRAM} was not found", cure=_INSTALL)
    return Path(found).absolute()


def version(program: Path) -> str:
    """Return what the program says that it is: ``Nitro CLI 1.5.2``.

    Raises:
        EnclaverError: it doesn't run, or says nothing.
    """
    try:
        done = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_VERSION_PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnclaverError(f"does not run: {error}", file=str(program), cure=_INSTALL) from error
    said = done.stdout[:_MOST].decode("utf-8", "replace").strip()
    if done.returncode or not said:
        raise EnclaverError("does not tell its version", file=str(program), cure=_INSTALL)
    return said.splitlines()[0][:100]


def blobs_folder(chosen: Path | None = None, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the blobs: ``chosen``, else NITRO_CLI_BLOBS, else where AWS's package puts them."""
    return (chosen or Path(environment.get(_BLOBS) or _DEFAULT_BLOBS)).absolute()


def check_blobs(folder: Path, architecture: str) -> tuple[str, ...]:
    """Refuse a folder that nitro-cli could not use, and an image that it can't make here.

    Returns:
        The names of the files that it takes from there besides the kernel and the command line.

    Raises:
        EnclaverError: the image is for another machine than this one, or a file is missing; all of them are named.
    """
    machine = platform.machine()
    if architecture != machine:
        raise EnclaverError(
            f"nitro-cli makes images for the machine that it runs on, {machine}, and none for {architecture}",
            cure="Build it there, or with the native builder, which builds for both.",
        )
    kernel = _KERNELS[architecture]
    missing = [name for name in (kernel, f"{kernel}.config", *_BESIDES) if not (folder / name).is_file()]
    if missing:
        raise EnclaverError(
            f"nitro-cli's blobs are not there: no {', no '.join(missing)}",
            file=str(folder),
            cure=f"Install aws-nitro-enclaves-cli-devel, or name the folder as the kernel or in {_BLOBS}.",
        )
    if not os.access(folder / "linuxkit", os.X_OK):
        raise EnclaverError("is no executable", file=str(folder / "linuxkit"), cure="Make it one: chmod +x.")
    return tuple(name for name in _BESIDES if name != "cmdline")


def build_enclave(
    program: Path,
    *,
    docker_image: str,
    blobs: Path,
    name: str,
    version: str,
    scratch: Path,
    environment: Mapping[str, str],
    patience: float = _PATIENCE,
) -> tuple[Path, Path]:
    """Make an image of a docker image that the daemon has.

    Args:
        program: from ``find``.
        docker_image: its name, which the daemon of ``environment`` knows.
        blobs: the folder, as ``check_blobs`` takes it.
        name, version: the image's, in its metadata.
        scratch: an empty folder for all that is written on the way; it needs three times the image's size.
        environment: what the program is to find the daemon by, among else.
        patience: seconds after which it is ended.

    Returns:
        The image, and the JSON that nitro-cli has printed: the registers. Both lie in ``scratch``.

    Raises:
        EnclaverError: it failed; says why and what mends it.
    """
    eif, said, measured, logs = (
        scratch / "enclave.eif",
        scratch / "said",
        scratch / "measurements.json",
        scratch / "logs",
    )
    logs.mkdir()
    command: list[str | Path] = [program, "build-enclave", "--docker-uri", docker_image, "--output-file", eif]
    command += ["--name", name, "--version", version]
    # Its home too: linuxkit keeps caches there, and what one build leaves is not for the next to find.
    places = {"HOME": scratch, "TMPDIR": scratch, "NITRO_CLI_ARTIFACTS": scratch, "NITRO_CLI_LOGS_PATH": logs}
    env = {**environment, **{key: str(path) for key, path in places.items()}, _BLOBS: str(blobs)}
    with said.open("w+b") as errors, measured.open("wb") as output:
        status = _run(command, env, output, errors, patience)
        if status == 0:
            return eif, measured
        errors.seek(0)
        text = errors.read(_MOST).decode("utf-8", "replace")
    raise nitro_cli_errors.explain(text, _log(logs), status)


def _run(
    command: list[str | Path], env: Mapping[str, str], output: IO[bytes], errors: IO[bytes], patience: float
) -> int:
    """Run it in a session of its own, and leave nothing of that behind: linuxkit is its child."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=env, cwd="/", start_new_session=True
    ) as process:
        try:
            return process.wait(patience)
        except subprocess.TimeoutExpired as error:
            raise EnclaverError(
                f"nitro-cli build-enclave was not done after {patience:g} s", cure="See whether the daemon answers."
            ) from error
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _log(folder: Path) -> str:
    """Return the log of the failure, which has a name of the time: there is one, or the newest counts."""
    logs = sorted(folder.glob("err*.log"))
    if not logs:
        return ""
    with logs[-1].open("rb") as file:
        return file.read(_MOST).decode("utf-8", "replace")
