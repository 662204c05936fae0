"""Passwords for Amazon's registries (ECR), from whatever AWS credentials boto3 finds.

Source: Amazon ECR's user guide, "Private registry authentication". A password is good for twelve hours.
"""

from __future__ import annotations

import base64
import re
from contextlib import closing
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from enclaver.core.errors import EnclaverError
from enclaver.system.docker_config import Credentials

#: Seconds for a connection, and for an answer.
_CONNECT_TIMEOUT: Final = 5
_READ_TIMEOUT: Final = 15
_HOST: Final = re.compile(
    r"[0-9]{12}\.dkr(?:\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?"
    r"|-ecr\.(?P<dual>[a-z0-9-]+)\.on\.(?:aws|amazonwebservices\.com\.cn))"
)


def credentials(host: str) -> Credentials | None:
    """Return the name and the password for one of Amazon's private registries; None for any other host.

    Raises:
        EnclaverError: AWS gives none.
    """
    match = _HOST.fullmatch(host)
    if match is None:
        return None
    # Only who asks Amazon's registries waits for it: it takes longer to load than a small image to fetch.
    import boto3
    from botocore.config import Config

    bounds = Config(connect_timeout=_CONNECT_TIMEOUT, read_timeout=_READ_TIMEOUT, retries={"total_max_attempts": 3})
    try:
        # A session of its own: the default one keeps the credentials that it found first.
        session = boto3.Session(region_name=match["region"] or match["dual"])
        with closing(session.client("ecr", config=bounds)) as client:
            token = client.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        name, _, password = base64.b64decode(token, validate=True).decode().partition(":")
    except (BotoCoreError, ClientError) as error:
        raise EnclaverError(
            f"AWS gives no password for the registry {host}: {_reason(error)}",
            cure="Give AWS credentials that may call ecr:GetAuthorizationToken (environment, profile or role), "
            f"or `docker login {host}`.",
        ) from error
    except (LookupError, TypeError, ValueError) as error:
        raise EnclaverError(f"AWS's answer for the registry {host} is no password") from error
    return Credentials(name, password)


def _reason(error: BotoCoreError | ClientError) -> str:
    """Return an error's kind: its text may hold what was sent."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "unknown"))[:100]
    return type(error).__name__
