"""ADMISSION: TLS, size, rate."""

from __future__ import annotations

from dataclasses import replace

import pytest
from letters import inbound, letter

from channels.contract import Demand, Inbound, Pace, Transport
from gateway.checks import ADMISSION, admission
from gateway.rules import Action


async def judged(message: Inbound) -> tuple[Action, list[str]]:
    decision = await ADMISSION.judge(message)
    return decision.action, [finding.rule.code for finding in decision.findings]


def demanding(transport: Demand, *, tls: str | None) -> Inbound:
    message = inbound(letter("x"), transport=Transport(tls=tls))
    return replace(message, terms=replace(message.terms, transport=transport))


@pytest.mark.parametrize(
    ("demand", "tls", "action", "codes"),
    [
        (Demand.REQUIRED, None, Action.REJECT, ["tls.absent"]),
        (Demand.PREFERRED, None, Action.ACCEPT, ["tls.clear"]),
        (Demand.NONE, None, Action.ACCEPT, []),
        (Demand.REQUIRED, "TLSv1.2", Action.ACCEPT, []),
    ],
)
async def test_tls_is_demanded_by_the_mailbox(
    demand: Demand, tls: str | None, action: Action, codes: list[str]
) -> None:
    assert await judged(demanding(demand, tls=tls)) == (action, codes)


async def test_what_is_said_without_tls_is_the_standards_own() -> None:
    (finding,) = (await ADMISSION.judge(demanding(Demand.REQUIRED, tls=None))).findings
    assert (finding.rule.says, finding.rule.status) == ("Must issue a STARTTLS command first", "7.0")


async def test_size_is_the_mailboxs() -> None:
    message = inbound(letter("x" * 2_000))
    message = replace(message, terms=replace(message.terms, max_bytes=1_024))
    assert await judged(message) == (Action.REJECT, ["size.over"])
    assert await judged(inbound(b"")) == (Action.REJECT, ["size.empty"])


@pytest.mark.parametrize(
    ("pace", "codes"),
    [
        (Pace(by_peer=1_001), ["rate.peer"]),
        (Pace(by_sender=201), ["rate.sender"]),
        (Pace(by_peer=1_001, by_sender=201), ["rate.peer", "rate.sender"]),
        (Pace(by_peer=1_000, by_sender=200), []),
    ],
)
async def test_who_sends_too_much_waits(pace: Pace, codes: list[str]) -> None:
    action, found = await judged(inbound(letter("x"), pace=pace))
    assert found == codes
    assert action is (Action.DEFER if codes else Action.ACCEPT)


async def test_the_company_sets_its_own_rates() -> None:
    layer = admission(per_peer=5, per_sender=3)
    decision = await layer.judge(inbound(letter("x"), pace=Pace(by_peer=6, by_sender=4)))
    assert decision.action is Action.DEFER
    assert {finding.rule.code for finding in decision.findings} == {"rate.peer", "rate.sender"}
