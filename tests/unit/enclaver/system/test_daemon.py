"""What needs no daemon: a stand-in that answers as its interface says. tests/integration/images has the real one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.context import ContextAPI

from enclaver.core.errors import EnclaverError
from enclaver.system.daemon import Daemon, DaemonError, DaemonImage
from tests import fake_docker
from tests.fake_docker import FakeDaemon

ID = "sha256:" + "1" * 64
IMAGE = {"Id": ID, "RepoDigests": ["h.io/app@sha256:2"], "Os": "linux", "Architecture": "amd64"}


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's configuration is an empty folder."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    with fake_docker.serving() as found:
        monkeypatch.setenv("DOCKER_HOST", found.host)
        yield found


def test_an_image(server: FakeDaemon) -> None:
    server.answers["GET /images/app:1/json"] = (200, IMAGE)
    server.answers["GET /images/other/json"] = (200, {"Id": ID, "Descriptor": {"digest": ID}, "RepoDigests": None})
    with Daemon() as daemon:
        assert daemon.find("app:1") == DaemonImage(ID, True, ("h.io/app@sha256:2",), "linux", "amd64", "")
        assert daemon.find("other") == DaemonImage(ID, False, (), "", "", "")
        assert daemon.find("gone") is None


@pytest.mark.parametrize("answer", [{}, "x", 7, {"Id": ID, "RepoDigests": 7}])
def test_answers_that_are_no_image(server: FakeDaemon, answer: object) -> None:
    server.answers["GET /images/app/json"] = (200, answer)
    with Daemon() as daemon, pytest.raises(DaemonError, match="answers with something that is no image"):
        daemon.find("app")


def test_an_image_is_saved_whole_or_not_at_all(server: FakeDaemon, tmp_path: Path) -> None:
    server.answers[f"GET /images/{ID}/get"] = (200, b"archive" * 1_000_000)
    with Daemon() as daemon:
        daemon.save(ID, tmp_path / "x.tar", limit=1 << 30)
        assert (tmp_path / "x.tar").read_bytes() == b"archive" * 1_000_000
        with pytest.raises(DaemonError, match="refuses: No such image"):
            daemon.save("gone", tmp_path / "y.tar", limit=1 << 30)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config", "x.tar"]


def test_an_image_without_end_is_not_saved(server: FakeDaemon, tmp_path: Path) -> None:
    server.answers[f"GET /images/{ID}/get"] = (200, bytes((3 << 20) + 1))
    with Daemon() as daemon, pytest.raises(EnclaverError, match="is more than 3 MiB"):
        daemon.save(ID, tmp_path / "x.tar", limit=3 << 20)
    assert [path.name for path in tmp_path.iterdir()] == ["config"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([{"stream": "Loaded image: app:1\n"}, {"stream": "Loaded image: h.io/app:2\n"}], ("app:1", "h.io/app:2")),
        ([{"status": "Loading layer"}, {"stream": f"Loaded image ID: {ID}\n"}], (ID,)),
    ],
)
def test_an_archive_is_loaded(
    server: FakeDaemon, tmp_path: Path, lines: list[dict[str, str]], expected: tuple[str, ...]
) -> None:
    server.answers["POST /images/load"] = (200, lines)
    (tmp_path / "x.tar").write_bytes(b"archive")
    with Daemon() as daemon:
        assert daemon.load(tmp_path / "x.tar") == expected
    assert b"archive" in server.received


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((200, [{"error": "unexpected EOF", "errorDetail": {"message": "unexpected EOF"}}]), "does not load .*: unexp"),
        ((200, [{"stream": "hm"}]), "it says nothing of an image"),
        ((200, [1, "x", None, {"stream": None}]), "it says nothing of an image"),
        ((500, {"message": "no space left on device"}), "refuses: no space left on device"),
    ],
)
def test_an_archive_that_is_not_taken(
    server: FakeDaemon, tmp_path: Path, answer: tuple[int, object], message: str
) -> None:
    server.answers["POST /images/load"] = answer
    (tmp_path / "x.tar").write_bytes(b"archive")
    with Daemon() as daemon, pytest.raises(DaemonError, match=message):
        daemon.load(tmp_path / "x.tar")


def test_an_archive_that_is_not_there(server: FakeDaemon, tmp_path: Path) -> None:
    with Daemon() as daemon, pytest.raises(EnclaverError, match=r"gone\.tar: cannot read: No such file"):
        daemon.load(tmp_path / "gone.tar")


def test_an_image_is_named(server: FakeDaemon) -> None:
    server.answers[f"POST /images/{ID}/tag"] = (201, {})
    with Daemon() as daemon:
        daemon.tag(ID, "h.io/app", "2")
        with pytest.raises(DaemonError, match="refuses: No such image"):
            daemon.tag("gone", "h.io/app", "2")
    assert f"POST /images/{ID}/tag?tag=2&repo=h.io/app&force=0" in server.asked


@pytest.mark.parametrize("chosen", ["DOCKER_CONTEXT", "currentContext"])
def test_the_context_s_daemon(
    server: FakeDaemon, environment: Path, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    monkeypatch.delenv("DOCKER_HOST")
    ContextAPI.create_context("test", host=server.host)
    if chosen == "DOCKER_CONTEXT":
        monkeypatch.setenv(chosen, "test")
    else:
        (environment / "config.json").write_text('{"currentContext": "test"}')
    server.answers["GET /images/app/json"] = (200, IMAGE)
    with Daemon() as daemon:
        assert daemon.find("app") is not None
    # DOCKER_HOST goes before any context.
    monkeypatch.setenv("DOCKER_HOST", "unix:///gone")
    with pytest.raises(DaemonError, match="no docker daemon at unix:///gone"):
        Daemon()


def test_a_context_that_is_none(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    with pytest.raises(DaemonError, match="docker has no context 'gone'\n  See `docker context ls`"):
        Daemon()
    monkeypatch.setenv("DOCKER_CONTEXT", "test")
    ContextAPI.create_context("test", host="unix:///x")
    [path] = environment.rglob("meta.json")
    path.write_text("{")
    with pytest.raises(DaemonError, match="docker's context 'test' can't be read"):
        Daemon()


def test_a_context_is_not_looked_for_in_the_working_folder(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ContextAPI.create_context("test", host="unix:///x")
    (environment / "config.json").unlink()
    monkeypatch.chdir(environment)
    monkeypatch.setenv("HOME", str(tmp_path / "none"))
    monkeypatch.setenv("DOCKER_CONTEXT", "test")
    with pytest.raises(DaemonError, match=r"docker's context 'test' can't be looked up without a config\.json"):
        Daemon()


def test_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/s")
    with pytest.raises(DaemonError) as caught:
        Daemon()
    assert str(caught.value) == (
        f"there is no docker daemon at unix://{tmp_path}/s: no such file or directory\n"
        "  Start it, or name another one in DOCKER_HOST or DOCKER_CONTEXT."
    )


def test_nobody_behind_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/s")
    with pytest.raises(DaemonError, match="connection refused\n  Start it"):
        Daemon()


def test_a_socket_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    # Tests may run as root, whom no mode stops.
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/s")
    with pytest.raises(DaemonError, match="this user may not speak with it\n  Join the group `docker`"):
        Daemon()


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("nonsense://x", "Invalid bind address protocol"),
        ("tcp://", "Invalid bind address format"),
        ("ssh://x", "paramiko"),
    ],
)
def test_hosts_that_are_none(monkeypatch: pytest.MonkeyPatch, host: str, message: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(DaemonError, match=f"there is no docker daemon at {host}: .*{message}"):
        Daemon()


def test_certificates_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with pytest.raises(DaemonError, match="Path to a certificate and key files must be provided"):
        Daemon()


def test_a_daemon_that_first_does_the_work(server: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds that no other request may take."""
    server.answers[f"GET /images/{ID}/get"] = (200, b"archive")
    server.answers["POST /images/load"] = (200, [{"stream": "Loaded image: app:1\n"}])
    server.answers["GET /images/app:1/json"] = (200, IMAGE)
    with Daemon() as daemon:
        monkeypatch.setattr("enclaver.system.daemon.TIMEOUT", 0.05)
        daemon.save(ID, tmp_path / "x.tar", limit=1 << 30)
        server.pause = 0.2
        daemon.save(ID, tmp_path / "x.tar", limit=1 << 30)
        assert daemon.load(tmp_path / "x.tar") == ("app:1",)
        with pytest.raises(DaemonError, match="it does not answer"):
            daemon.find("app:1")


def test_a_name_is_taken_away(server: FakeDaemon) -> None:
    made = {"one": "app:1", "two": "docker.io/library/app:1", "of another name": "other:1", "of its id": ID}
    server.answers["GET /containers/json"] = (200, [{"Id": id_, "Image": image} for id_, image in made.items()])
    for id_ in made:
        server.answers[f"DELETE /containers/{id_}"] = (204, b"")
    server.answers["DELETE /images/app:1"] = (200, [])
    with Daemon() as daemon:
        daemon.discard("app:1")
        daemon.discard("gone:1")
        assert daemon.host == server.host
    assert "DELETE /images/app:1?force=False&noprune=False" in server.asked
    # Another build may have lent the same image under a name of its own, and be at work with it.
    removed = [line for line in server.asked if line.startswith("DELETE /containers/")]
    assert [line.partition("?")[0].rpartition("/")[2] for line in removed] == ["one", "two"]
