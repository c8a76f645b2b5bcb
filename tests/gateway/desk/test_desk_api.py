"""The API over HTTP, on both databases: what agents do, and that it counts once."""

from __future__ import annotations

import asyncio

import pytest
from desk_seed import CLEAR, FORGED, TAMPERED, Office, letter
from sqlalchemy import select

from gateway.codec import unpack
from gateway.requests import HeldRequest, ReplyRequest, Verb, reply_binding, request_binding
from gateway.rules import Action, Code, Decision, Finding, Rule
from gateway.store import schema
from gateway.store.replies import Replies
from keys.box import PublicKeys, Purpose
from keys.keyring import BoxKeys, senders
from keys.unbox import open_box

LEAK = Rule(Code("outbound.leak"), Action.REJECT, "Not sent", "7.1", "The reply holds a card number.")


async def boxed(office: Office, table, id: str, purpose: Purpose, binding, kind):  # type: ignore[no-untyped-def]
    """What the inspector finds in the row's box."""
    keys = office.folder / "keys"
    box = await office.inspector.read(
        lambda conn: conn.execute(select(table.c.box).where(table.c.id == id)).scalar_one()
    )
    opened = open_box(
        box, binding=binding(id), keys=BoxKeys(keys, purpose), senders=senders(PublicKeys(keys / "public"), purpose)
    )
    return unpack(kind, opened.payload.reveal())


async def test_an_agent_lists_reads_claims_and_closes(office: Office, enter) -> None:
    filed = await office.message(letter("My [card ···· 1111] please", redactions={"card": 1}))
    await office.message(letter("Hola", author="bob@example.net", name="Bob", trust=CLEAR), queue="billing")
    ann = await enter(office, "ann")
    page = await ann.read("/api/conversations")
    assert len(page["items"]) == 2
    assert page["next"] == ""
    one = await ann.read(f"/api/conversations/{filed.conversation}")
    assert one["intact"] is True
    assert one["messages"][0]["content"]["text"] == "My [card ···· 1111] please"
    assert one["protection"] == {
        "how": "sealed", "why": "certificate", "to": "alice@example.org",
        "plain": "Encrypted and signed, to alice@example.org",
    }  # fmt: skip
    assert one["conversation"]["encrypted"] is True
    path = f"/api/conversations/{filed.conversation}"
    status, claim = await ann.send("POST", f"{path}/claim")
    assert (status, claim["person"]) == (200, office.ids["ann"])
    assert len((await ann.read("/api/conversations?view=mine"))["items"]) == 1
    queues = await ann.read("/api/queues")
    assert queues["mine"] == 1
    assert (await ann.send("POST", f"{path}/release"))[0] == 204
    assert (await ann.send("POST", f"{path}/close"))[0] == 204
    assert [item["conversation"]["id"] for item in (await ann.read("/api/conversations?view=closed"))["items"]] == [
        filed.conversation
    ]


async def test_a_list_has_pages(office: Office, enter) -> None:
    for number in range(5):
        await office.message(letter(author=f"c{number}@example.net", name=f"C{number}"))
    ann = await enter(office, "ann")
    seen: list[str] = []
    cursor = ""
    for _ in range(4):
        page = await ann.read(f"/api/conversations?limit=2&cursor={cursor}")
        seen += [item["conversation"]["id"] for item in page["items"]]
        cursor = page["next"]
        if not cursor:
            break
    assert len(seen) == len(set(seen)) == 5
    for bad in ("limit=0", "limit=101", "limit=x", "cursor=nonsense", "view=everything"):
        status, problem = await ann.send("GET", f"/api/conversations?{bad}")
        assert status == 422, bad
        assert problem["field"] == bad.partition("=")[0]


async def test_a_reply_is_a_signed_box_that_only_the_inspector_opens(office: Office, enter) -> None:
    filed = await office.message(letter())
    ann = await enter(office, "ann")
    path = f"/api/conversations/{filed.conversation}"
    await ann.send("PUT", f"{path}/draft", {"text": "Dear Alice"})
    status, made = await ann.send("POST", f"{path}/replies", {"text": "Dear Alice, done.", "seen": 1})
    assert status == 202
    request = await boxed(office, schema.replies, made["id"], Purpose.REPLY, reply_binding, ReplyRequest)
    assert (request.id, request.conversation, request.author, request.seen) == (
        made["id"], filed.conversation, office.ids["ann"], 1,
    )  # fmt: skip
    assert request.text.reveal() == "Dear Alice, done."
    (reply,) = (await ann.read(f"{path}/replies"))["items"]
    assert reply["state"] == "pending"
    opened = await ann.read(path)
    assert opened["draft"]["text"] == ""
    assert opened["conversation"]["claim"]["name"] == "Ann"


@pytest.mark.parametrize(
    ("noted", "shown", "promised"),
    [("clear", "sealed", "sealed"), ("sealed", "clear", "clear"), ("sealed", None, "sealed"), ("clear", None, "clear")],
)
async def test_a_reply_carries_what_its_agent_was_promised(
    lite: Office, enter, noted: str, shown: str | None, promised: str
) -> None:
    filed = await lite.message(letter(), protect=noted, why="x")
    ann = await enter(lite, "ann")
    body = {"text": "Hello"} | ({"promised": shown} if shown else {})
    _, made = await ann.send("POST", f"/api/conversations/{filed.conversation}/replies", body)
    request = await boxed(lite, schema.replies, made["id"], Purpose.REPLY, reply_binding, ReplyRequest)
    assert request.promised == promised


async def test_a_promise_that_nobody_makes_is_not_taken(lite: Office, enter) -> None:
    filed = await lite.message(letter(), protect="clear", why="x")
    ann = await enter(lite, "ann")
    body = {"text": "Hello", "promised": "blocked"}
    assert (await ann.send("POST", f"/api/conversations/{filed.conversation}/replies", body))[0] == 422


async def test_a_reply_counts_once_under_its_key(office: Office, enter) -> None:
    filed = await office.message(letter())
    ann = await enter(office, "ann")
    path = f"/api/conversations/{filed.conversation}/replies"
    first = await ann.send("POST", path, {"text": "Once"}, key="the-same-key")
    again = await asyncio.gather(*(ann.send("POST", path, {"text": "Once"}, key="the-same-key") for _ in range(3)))
    assert all(one == first for one in again)
    assert len((await ann.read(path))["items"]) == 1
    status, problem = await ann.send("POST", path, {"text": "Twice"}, key="the-same-key")
    assert (status, problem["type"]) == (422, "urn:vestibule:other-request")
    status, problem = await ann.send("POST", path, {"text": "x"}, key="short")
    assert (status, problem["type"]) == (400, "urn:vestibule:no-key")


@pytest.mark.parametrize("why", ["came-encrypted-no-certificate", "mailbox-forbids-clear", "unknown"])
async def test_a_blocked_reply_says_why_and_leaves_nothing(lite: Office, enter, why: str) -> None:
    filed = await lite.message(letter(), protect="blocked", why=why)
    ann = await enter(lite, "ann")
    status, problem = await ann.send("POST", f"/api/conversations/{filed.conversation}/replies", {"text": "Hello"})
    assert (status, problem["why"]) == (409, why)
    assert problem["detail"]
    assert (await ann.read(f"/api/conversations/{filed.conversation}/replies"))["items"] == []


async def test_two_agents_do_not_answer_the_same_customer(office: Office, enter) -> None:
    filed = await office.message(letter())
    await office.person("ben", "agent")
    ann, ben, sam = await enter(office, "ann"), await enter(office, "ben"), await enter(office, "sam")
    path = f"/api/conversations/{filed.conversation}"
    assert (await ann.send("POST", f"{path}/claim"))[0] == 200
    for verb, body in (("claim", {}), ("replies", {"text": "Me too"}), ("close", {}), ("release", {})):
        status, problem = await ben.send("POST", f"{path}/{verb}", body)
        assert (status, problem["type"]) == (409, "urn:vestibule:claimed"), verb
        assert "Ann" in problem["detail"]
    status, taken = await sam.send("POST", f"{path}/claim")
    assert (status, taken["name"]) == (200, "Sam")
    assert (await ann.send("POST", f"{path}/replies", {"text": "Still me"}))[0] == 409


async def test_a_draft_is_sealed_and_ones_own(office: Office, enter) -> None:
    filed = await office.message(letter())
    ann, sam = await enter(office, "ann"), await enter(office, "sam")
    path = f"/api/conversations/{filed.conversation}/draft"
    assert (await ann.send("PUT", path, {"text": "A half-written thought"}))[0] == 204
    assert (await ann.read(path))["text"] == "A half-written thought"
    assert (await sam.read(path))["text"] == ""
    rows = await office.desk.db.read(lambda conn: conn.execute(select(schema.drafts.c.sealed)).scalars().all())
    assert len(rows) == 1
    assert b"half-written" not in bytes(rows[0])


async def test_a_reviewer_decides_by_facts_and_the_decision_is_boxed(office: Office, enter) -> None:
    held = await office.hold(FORGED, TAMPERED)
    sam = await enter(office, "sam")
    (line,) = (await sam.read("/api/held"))["items"]
    assert line["id"] == held
    assert [finding["code"] for finding in line["findings"]] == ["sender.forged", "crypto.tampered"]
    assert set(line) == {
        "id", "channel", "mailbox", "queue", "layer", "refused", "findings", "received_at", "held_at", "expires_at",
        "attempts", "octets", "asked",
    }  # fmt: skip
    status, problem = await sam.send("POST", f"/api/held/{held}/release", {"reason": "known-sender", "waived": ["a.b"]})
    assert (status, problem["field"]) == (422, "waived")
    status, made = await sam.send(
        "POST", f"/api/held/{held}/release", {"reason": "known-sender", "waived": ["sender.forged"]}
    )
    assert status == 202
    request = await boxed(office, schema.requests, made["id"], Purpose.REQUEST, request_binding, HeldRequest)
    assert (request.id, request.held, request.verb) == (made["id"], held, Verb.RELEASE)
    assert (request.waived, request.reviewer) == (("sender.forged",), office.ids["sam"])
    assert (await sam.read(f"/api/held/{held}"))["asked"] == "release"
    assert (await sam.send("POST", f"/api/held/{held}/reject", {"reason": "forgery"}))[0] == 409


async def test_somebody_bound_to_a_queue_gets_the_same_answer_for_what_is_elsewhere_and_for_nothing(
    office: Office, enter
) -> None:
    elsewhere = await office.message(letter(), queue="billing")
    held = await office.hold(FORGED, queue="billing")
    await office.person("eva", "supervisor", queues=("support",))
    eva = await enter(office, "eva")
    assert (await eva.read("/api/conversations"))["items"] == []
    assert (await eva.read("/api/held"))["items"] == []
    for path in (f"/api/conversations/{elsewhere.conversation}", f"/api/held/{held}"):
        nothing = path.rpartition("/")[0] + "/01ARZ3NDEKTSV4RRFFQ69G5FAV"
        assert await eva.get(path) == await eva.get(nothing)
        assert (await eva.get(path))[0] == 404
    for verb in ("claim", "close", "release"):
        assert (await eva.send("POST", f"/api/conversations/{elsewhere.conversation}/{verb}"))[0] == 404
    assert (await eva.send("POST", f"/api/conversations/{elsewhere.conversation}/replies", {"text": "x"}))[0] == 404
    assert (await eva.send("PUT", f"/api/conversations/{elsewhere.conversation}/draft", {"text": "x"}))[0] == 404
    assert (await eva.get("/api/conversations?queue=billing"))[0] == 404


async def test_an_admin_sees_people_and_the_audit_and_no_customer(office: Office, enter) -> None:
    filed = await office.message(letter())
    ada = await enter(office, "ada")
    people = await ada.read("/api/people")
    assert {one["login"] for one in people["items"]} == {"ann", "sam", "ada"}
    assert "password" not in str(people)
    tail = await ada.read("/api/audit?limit=100")
    assert {"sign-in.succeeded", "message.queued"} <= {line["event"] for line in tail["items"]}
    assert (await ada.get(f"/api/conversations/{filed.conversation}"))[0] == 403
    me = await ada.read("/api/me")
    assert "conversation.read" not in me["may"]


async def test_a_message_whose_stamp_does_not_match_is_never_shown_and_is_written_down(office: Office, enter) -> None:
    filed = await office.message(letter("The genuine text"))
    other = await office.message(letter("Another text", author="bob@example.net"))

    def swap(conn):  # type: ignore[no-untyped-def]
        row = conn.execute(select(schema.messages.c.sealed).where(schema.messages.c.id == other.message)).scalar_one()
        conn.execute(schema.messages.update().where(schema.messages.c.id == filed.message).values(sealed=row))

    await office.inspector.write(swap)
    ann = await enter(office, "ann")
    one = await ann.read(f"/api/conversations/{filed.conversation}")
    assert one["intact"] is False
    assert (one["messages"][0]["shown"], one["messages"][0]["content"]) == (False, None)
    page = await ann.page(f"/queue/open/{filed.conversation}")
    assert "its stamp doesn&#39;t match" in page
    assert "genuine" not in page
    ada = await enter(office, "ada")
    broken = [line for line in (await ada.read("/api/audit?limit=100"))["items"] if line["event"] == "stamp.broken"]
    assert {line["facts"]["object"] for line in broken} == {filed.message, filed.conversation}


async def test_a_stopped_reply_says_why_and_its_words_are_not_lost(office: Office, enter) -> None:
    filed = await office.message(letter())
    ann, sam = await enter(office, "ann"), await enter(office, "sam")
    path = f"/api/conversations/{filed.conversation}/replies"
    _, made = await ann.send("POST", path, {"text": "Your card is 4111 and so on"})
    page = f"/queue/open/{filed.conversation}"
    assert "4111 and so on" in await ann.page(page)
    assert "4111 and so on" not in await sam.page(page)
    replies = Replies(office.inspector, office.desk.clock)
    (claim,) = await replies.claim(1, 60)
    await replies.stop(claim, LEAK.code, Decision(Action.REJECT, (Finding(LEAK),), "outbound"))
    (reply,) = (await ann.read(path))["items"]
    assert (reply["state"], reply["reason"]) == ("stopped", "outbound.leak")
    shown = await ann.page(page)
    assert "Stopped by a check" in shown
    assert "The reply holds a card" in shown
    assert (await sam.form(f"{page}/reuse", {"reply": made["id"]})).status == 404
    assert (await ann.form(f"{page}/reuse", {"reply": made["id"]})).status == 303
    assert (await ann.read(f"/api/conversations/{filed.conversation}/draft"))["text"] == "Your card is 4111 and so on"


async def test_ones_own_words_go_when_the_copy_is_filed(lite: Office, enter) -> None:
    filed = await lite.message(letter())
    ann = await enter(lite, "ann")
    _, made = await ann.send("POST", f"/api/conversations/{filed.conversation}/replies", {"text": "Hello there"})
    await lite.sent(filed.conversation, made["id"], lite.ids["ann"], "Hello there")
    assert (await ann.page(f"/queue/open/{filed.conversation}")).count("Hello there") == 1
    rows = await lite.desk.db.read(lambda conn: conn.execute(select(schema.drafts)).all())
    assert rows == []


async def test_one_may_ask_to_send_a_reply_again_only_when_it_did_not_arrive(lite: Office, enter) -> None:
    filed = await lite.message(letter())
    ann = await enter(lite, "ann")
    path = f"/api/conversations/{filed.conversation}/replies"
    _, made = await ann.send("POST", path, {"text": "Hello"})
    assert (await ann.send("POST", f"{path}/{made['id']}/resend"))[0] == 404
