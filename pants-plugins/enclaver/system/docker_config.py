"""Names and passwords for registries, as `docker login` left them: read by docker's own SDK.

It honours DOCKER_CONFIG, ``auths`` (with identity tokens), ``credsStore`` and ``credHelpers``, whose programs
(``docker-credential-NAME``) are looked for on PATH. What is secret here is in no ``repr`` and in no error.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from docker import auth
from docker.errors import DockerException
from docker.utils.config import find_config_file

from enclaver.core.errors import EnclaverError


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks a registry: a name with a password, or an identity token (then the two are empty)."""

    username: str
    password: str = field(repr=False)
    identity_token: str = field(default="", repr=False)


def credentials(host: str) -> Credentials | None:
    """Return what docker's configuration has for a registry.

    Args:
        host: the registry as references name it, ``docker.io`` for Docker Hub.

    Raises:
        EnclaverError: the configuration or what a credential helper answers can't be read, or the helper fails.
    """
    _check()
    try:
        with warnings.catch_warnings():
            # The SDK warns of a helper that is not on PATH, and then raises the error for it.
            warnings.simplefilter("ignore")
            found = auth.load_config().resolve_authconfig(host)
    except DockerException as error:
        # What a helper printed may be anything; its text stays out of the message.
        raise EnclaverError(
            f"docker's configuration has a credential helper or an entry for {host} that does not work",
            file=_file(),
            cure=f"Check that `docker login {host}` works, with docker-credential-... on PATH.",
        ) from error
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise EnclaverError(
            f"docker's configuration can't be read where it is about {host}",
            file=_file(),
            cure=f"Make the entry anew: `docker logout {host}`, then `docker login {host}`.",
        ) from error
    return _credentials(found or {})


def _check() -> None:
    """Refuse a configuration that is damaged: the SDK takes it for an empty one, and nobody would be logged in."""
    file = _file()
    if file is None or Path(file).name != "config.json":
        # The one of docker before 1.7 was no JSON.
        return
    try:
        is_object = isinstance(json.loads(Path(file).read_bytes()), dict)
    except OSError as error:
        raise EnclaverError(f"docker's configuration can't be read: {error.strerror}", file=file) from error
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise EnclaverError(
            "docker's configuration is no JSON object",
            file=file,
            cure="Mend it, or remove it and `docker login` again.",
        )


def _file() -> str | None:
    found = find_config_file()
    return None if found is None else str(found)


def _credentials(found: Mapping[str, str | None]) -> Credentials | None:
    """Return an entry as credentials; the SDK spells the keys of entries and of helpers' answers differently."""
    entry = {key.lower(): value or "" for key, value in found.items()}
    result = Credentials(entry.get("username", ""), entry.get("password", ""), entry.get("identitytoken", ""))
    return result if result.username or result.identity_token else None
