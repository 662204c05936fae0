"""What runs beside the app, by the section of runtime.json that asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import trio

from enclaver_runtime.config import Config


class Service(Protocol):
    """Started before the app and cancelled after it.

    It calls ``task_status.started()`` when the app can use it. What it raises ends the app, and is told to the
    parent as fatal.
    """

    async def __call__(self, *, task_status: trio.TaskStatus[None]) -> None: ...


#: Makes the service that a section asks for; called only when the section is there.
Provider = Callable[[Config], Service]


def select(config: Config, providers: Mapping[str, Provider]) -> tuple[list[Service], list[str]]:
    """The services that ``config`` asks for, and the sections that it has but nobody provides.

    ``providers`` are by section name and are started in that order.
    """
    sections = {
        "egress": config.egress,
        "ingress": config.ingress,
        "kms_proxy": config.kms_proxy,
        "api": config.api,
    }
    asked = [name for name, section in sections.items() if section]
    services = [make(config) for name, make in providers.items() if name in asked]
    return services, [name for name in asked if name not in providers]
