from __future__ import annotations

from enclaver_runtime.config import App, Config, Egress, KmsProxy
from enclaver_runtime.enclave.proxy_environment import with_proxy


def config(env: dict[str, str], *, egress: bool = True, kms_port: int | None = None) -> Config:
    return Config(
        app=App(argv=("/app",), env=env, cwd="/", uid=1, gid=1),
        egress=Egress(proxy_port=10001, allow=("a",), deny=()) if egress else None,
        ingress=(),
        kms_proxy=None if kms_port is None else KmsProxy(kms_port, {}),
        api=None,
    )


def test_programs_are_told_in_both_cases() -> None:
    url = "http://127.0.0.1:10001"
    assert with_proxy(config({"A": "b"})).env == {
        "A": "b",
        "http_proxy": url,
        "HTTP_PROXY": url,
        "https_proxy": url,
        "HTTPS_PROXY": url,
        "no_proxy": "localhost,127.0.0.1,::1",
        "NO_PROXY": "localhost,127.0.0.1,::1",
    }


def test_what_the_app_sets_in_either_case_is_its_own() -> None:
    env = with_proxy(config({"HTTP_PROXY": "", "no_proxy": "x"})).env
    assert (env["HTTP_PROXY"], env["no_proxy"]) == ("", "x")
    assert env.keys() == {"HTTP_PROXY", "no_proxy", "https_proxy", "HTTPS_PROXY"}


def test_without_egress_there_is_no_proxy() -> None:
    assert with_proxy(config({"A": "b"}, egress=False)).env == {"A": "b"}


def test_sdks_are_told_of_the_kms_proxy() -> None:
    url = "http://127.0.0.1:9999"
    assert with_proxy(config({}, egress=False, kms_port=9999)).env == {
        "AWS_KMS_ENDPOINT": url,
        "AWS_ENDPOINT_URL_KMS": url,
    }


def test_an_app_may_name_another_kms() -> None:
    env = with_proxy(config({"AWS_ENDPOINT_URL_KMS": "http://127.0.0.1:1"}, kms_port=9999)).env
    assert (env["AWS_KMS_ENDPOINT"], env["AWS_ENDPOINT_URL_KMS"]) == ("http://127.0.0.1:9999", "http://127.0.0.1:1")
    assert "127.0.0.1" in env["no_proxy"].split(",")
