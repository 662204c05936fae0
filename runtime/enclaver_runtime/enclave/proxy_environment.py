"""The environment variables that tell the app's programs of the egress proxy and of the KMS proxy."""

from __future__ import annotations

from dataclasses import replace

from enclaver_runtime.config import App, Config

# What the proxy is for is outside; the app's own loopback, with the KMS proxy on it, needs none.
_NO_PROXY = "localhost,127.0.0.1,::1"

# Enclaver's own, and the one that AWS's SDKs read by themselves.
_KMS = ("AWS_KMS_ENDPOINT", "AWS_ENDPOINT_URL_KMS")


def with_proxy(config: Config) -> App:
    """The app with the variables that tell programs of the proxies that there are.

    Those of the egress proxy are set in both cases, as programs look for one or the other; what the app's own
    environment sets, in either case, is left to it.
    """
    given = config.app.env
    return replace(config.app, env={**_egress(config), **_kms_proxy(config), **given})


def _egress(config: Config) -> dict[str, str]:
    if config.egress is None:
        return {}
    url = f"http://127.0.0.1:{config.egress.proxy_port}"
    given = config.app.env
    return {
        spelling: value
        for name, value in {"http_proxy": url, "https_proxy": url, "no_proxy": _NO_PROXY}.items()
        if name not in given and name.upper() not in given
        for spelling in (name, name.upper())
    }


def _kms_proxy(config: Config) -> dict[str, str]:
    if config.kms_proxy is None:
        return {}
    return dict.fromkeys(_KMS, f"http://127.0.0.1:{config.kms_proxy.listen_port}")
