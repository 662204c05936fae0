from __future__ import annotations

import trio

from enclaver_runtime.config import Api, App, Config, Egress, Ingress, KmsProxy
from enclaver_runtime.enclave.services import Service, select

APP = App(argv=("/app",), env={}, cwd="/", uid=1, gid=1)
NOTHING = Config(app=APP, egress=None, ingress=(), kms_proxy=None, api=None)
EVERYTHING = Config(
    app=APP,
    egress=Egress(proxy_port=1, allow=("a",), deny=()),
    ingress=(Ingress(2),),
    kms_proxy=KmsProxy(listen_port=3, endpoints={}),
    api=Api(4),
)


async def service(*, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()


def provider(config: Config) -> Service:
    return service


def test_nothing_is_asked_for() -> None:
    assert select(NOTHING, {"egress": provider}) == ([], [])


def test_what_is_asked_for_is_made_and_the_rest_is_named() -> None:
    assert select(EVERYTHING, {"ingress": provider, "egress": provider}) == (
        [service, service],
        ["kms_proxy", "api"],
    )
