"""The desk over TLS, and its figures."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import aiohttp
import msgspec
import pytest
from desk_seed import FORGED, Office, letter

from gateway.config import Metrics
from gateway.desk import measuring, role
from gateway.errors import ConfigError, StoreDown
from gateway.role import Running
from gateway.setting_up import self_signed


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    self_signed(*files, "localhost")
    return files


async def test_over_tls_it_speaks_1_3_only_and_binds_the_cookie_to_the_host(
    lite: Office, certificate: tuple[Path, Path]
) -> None:
    section = msgspec.structs.replace(
        lite.config.desk, certificate_file=str(certificate[0]), key_file=str(certificate[1]), port=free_port()
    )
    config = msgspec.structs.replace(lite.config, desk=section)
    running = standing_in(lite)
    serving = asyncio.create_task(role.serve(config, running))
    base = f"https://localhost:{section.port}"
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    async with aiohttp.ClientSession(base, connector=aiohttp.TCPConnector(ssl=trust)) as http:
        text = await until_it_answers(http)
        token = text.partition('name="csrf" value="')[2].partition('"')[0]
        fields = {"csrf": token, "name": "ann", "password": "a long walk by the sea"}
        async with http.post("/sign-in", data=fields, headers={"Origin": base}, allow_redirects=False) as answer:
            assert answer.status == 303
            cookie = answer.headers["Set-Cookie"]
            assert cookie.startswith("__Host-vestibule=")
            assert "Secure" in cookie
            assert "Domain" not in cookie
            assert answer.headers["Strict-Transport-Security"].startswith("max-age=63072000")
        async with http.get("/api/me") as answer:
            assert answer.status == 200
    old = ssl.create_default_context(cafile=str(certificate[0]))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("localhost", section.port, ssl=old)
    running.stopping.set()
    await asyncio.wait_for(serving, 10)


def standing_in(office: Office) -> Running:
    desk = office.desk
    assert desk.db.wake is not None
    return Running(
        database=desk.db, wake=desk.db.wake, clock=desk.clock, log=desk.log, stopping=asyncio.Event()
    )  # fmt: skip


async def until_it_answers(http: aiohttp.ClientSession) -> str:
    for _ in range(100):
        try:
            async with http.get("/sign-in") as answer:
                return await answer.text()
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(0.05)
    raise AssertionError


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def test_a_missing_key_or_certificate_is_said_with_a_way_out(lite: Office) -> None:
    wrong = msgspec.structs.replace(lite.config.desk, certificate_file="none.pem", key_file="none.pem")
    with pytest.raises(ConfigError, match="can't be loaded"):
        role.tls_context(msgspec.structs.replace(lite.config, desk=wrong))
    (lite.folder / "keys" / "desk" / "session.key").unlink()
    running = standing_in(lite)
    with pytest.raises(ConfigError, match="vestibule init"):
        role.build(lite.config, running, 1)


async def test_figures_hold_numbers_and_no_customer(office: Office) -> None:
    await office.message(letter("secret words", subject="secret subject"))
    await office.hold(FORGED)
    config = msgspec.structs.replace(office.config, metrics=Metrics(desk_port=0))
    mounted = await measuring.mount(config, office.desk)
    assert mounted is not None
    base = f"http://127.0.0.1:{mounted.addresses[0][1]}"
    async with aiohttp.ClientSession(base) as http:
        async with http.get("/metrics") as answer:
            text = await answer.text()
        assert 'vestibule_desk_conversations{state="open"} 1.0' in text
        assert "vestibule_desk_held 1.0" in text
        assert "vestibule_desk_healthy 1.0" in text
        for word in ("secret", "alice", "example", "ann"):
            assert word not in text
        async with http.get("/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")
    await mounted.cleanup()


async def test_health_says_when_the_store_is_away(lite: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: object) -> None:
        raise StoreDown

    monkeypatch.setattr(type(lite.desk.db), "read", lambda self, job: away(job))
    assert await measuring.read(lite.desk) is None


async def test_metrics_are_off_unless_asked_for(lite: Office) -> None:
    assert await measuring.mount(lite.config, lite.desk) is None
