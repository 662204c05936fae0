"""The KMS proxy as a service of the enclave: its parts put together from runtime.json."""

from __future__ import annotations

import functools
from collections.abc import Callable

import trio

from enclaver_runtime.config import Config
from enclaver_runtime.enclave import ca_bundle, credentials
from enclaver_runtime.enclave.credentials import CredentialsSource, InstanceCredentials, StaticCredentials
from enclaver_runtime.enclave.kms_key import KmsKey
from enclaver_runtime.enclave.kms_proxy import KmsProxy, serve_kms_proxy
from enclaver_runtime.enclave.kms_upstream import KmsUpstream
from enclaver_runtime.enclave.outbound import Outbound
from enclaver_runtime.enclave.parent_link import ParentLink, open_egress
from enclaver_runtime.enclave.security_module import SecurityModule
from enclaver_runtime.enclave.services import Service
from enclaver_runtime.protocol.policy import Policy
from enclaver_runtime.transport import connections


def kms_service(
    config: Config,
    *,
    root: str,
    link: ParentLink,
    security_module: Callable[[], SecurityModule],
    tell: Callable[[str], None],
) -> Service:
    """The service that the section ``kms_proxy`` asks for.

    Args:
        config: all of runtime.json: the proxy's way out is that of ``egress``.
        root: the app's root folder, with the certificates that its image trusts.
        link: the parent, through whom it connects.
        security_module: gives the enclave's.
        tell: gets a line for what is refused.

    Raises:
        ConfigError: the image has no certificates to verify KMS with, or credentials that cannot be such.
    """
    section = config.kms_proxy
    assert section is not None
    egress = config.egress
    policy = Policy(allow=(), deny=()) if egress is None else Policy(allow=egress.allow, deny=egress.deny)
    outbound = Outbound(policy, functools.partial(open_egress, link), tell)
    upstream = KmsUpstream(outbound.connect, ca_bundle.client_context(root, config.app.env))
    given = credentials.of_environment(config.app.env)

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        source: CredentialsSource = InstanceCredentials(outbound.connect)
        if given is not None:
            tell("kms_proxy: signs with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the app's environment")
            source = StaticCredentials(given)
        proxy = KmsProxy(
            endpoints=section.endpoints,
            credentials=source,
            upstream=upstream,
            key=KmsKey(),
            security_module=security_module(),
            tell=tell,
        )
        try:
            await serve_kms_proxy(
                proxy,
                listeners=[connections.listen_tcp("127.0.0.1", section.listen_port)],
                task_status=task_status,
            )
        finally:
            upstream.close()

    return serve
