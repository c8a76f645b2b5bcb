"""What the inspector is made of: its parent, the sandbox and the key process's client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from channels.contract import Address, ChannelName
from gateway.certificates import Certificates
from gateway.claiming import Claiming
from gateway.config import Config, Recycling
from gateway.deciding import RequestWorker
from gateway.dispatching import Dispatching
from gateway.holding import Holding
from gateway.housekeeping import Housekeeping
from gateway.ids import Ulids
from gateway.jobs import MailboxFace, Setup
from gateway.log import LogEvent
from gateway.mailboxes import Mailboxes
from gateway.notifying import NoticeWorker
from gateway.openers import Openers
from gateway.protections import Protections
from gateway.replies import ReplyWorker
from gateway.role import Running
from gateway.sandbox import FAST_JOBS, Sandbox
from gateway.store.contacts import Contacts
from gateway.store.notices import Notices
from gateway.store.outbox import Outbox
from gateway.store.queue import Queue
from gateway.store.replies import Replies
from gateway.store.requests import Requests
from gateway.store.spool import Spool
from gateway.store.threads import ReplyTokens
from gateway.worker import Aftermath, Worker
from gateway.workshop import Workshop
from keys import keyring
from keys.agent_client import AgentClient

EMAIL: Final = ChannelName("email")
"""The channel that notices about held messages leave by: the one that they came by."""


def setup(config: Config) -> Setup:
    """What a zygote is told."""
    return Setup(
        actions=config.policy.by_code(),
        company=config.company.name,
        privacy_url=config.company.privacy_url,
        mailboxes=tuple(
            MailboxFace(
                name=box.terms().mailbox, address=Address(box.address), sender_name=box.sender_name,
                signature=box.signature,
            )
            for box in config.mailboxes
        ),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectorParts:
    agent: AgentClient
    sandbox: Sandbox
    workshop: Workshop
    housekeeping: Housekeeping
    certificates: Certificates
    protections: Protections
    loops: tuple[Claiming[Any], ...]


def sandbox(config: Config, on_lost: Callable[[], None]) -> Sandbox:
    inspector = config.inspector
    jobs = FAST_JOBS if inspector.recycling is Recycling.FAST else 1
    return Sandbox(setup(config), workers=inspector.workers, jobs=jobs, on_lost=on_lost)


def inspector(config: Config, running: Running) -> InspectorParts:
    """Raises ConfigError, and KeysError for a key that isn't there."""
    database, wake, log, clock = running.database, running.wake, running.log, running.clock
    keys, ids, mailboxes = config.keys_folder, Ulids(clock), Mailboxes(config.mailboxes)
    held = keyring.Inspector.load(keys)
    atrest, desk_atrest, tokens = held.atrest, held.desk_atrest, ReplyTokens(held.threads)
    agent = AgentClient(keys)
    box = sandbox(config, lambda: log.write(LogEvent.SANDBOX_LOST))
    fast = config.inspector.recycling is Recycling.FAST
    workshop = Workshop(box, agent, clock, Openers(agent, clock, FAST_JOBS) if fast else None)
    spool_, replies, requests = Spool(database, clock), Replies(database, clock), Requests(database, clock)
    outbox, notices = Outbox(database, clock), Notices(database, clock)
    contacts = Contacts(database, atrest=atrest, desk_atrest=desk_atrest, clock=clock, ids=ids)
    queue = Queue(
        database, atrest=atrest, desk_atrest=desk_atrest, stamper=agent, tokens=tokens, clock=clock, ids=ids,
        tenant=config.company.tenant, policy_version=config.policy.version,
        first_contact_notice=config.notices.first_contact,
    )  # fmt: skip
    certificates = Certificates(database=database, contacts=contacts, workshop=workshop, clock=clock, log=log)
    protections = Protections(
        database=database, certificates=certificates, mailboxes=mailboxes, clock=clock
    )  # fmt: skip
    housekeeping = Housekeeping(
        database=database, spool=spool_, replies=replies, requests=requests, certificates=certificates,
        protections=protections, workshop=workshop, keys=keys,
        epoch_seconds=config.inspector.spool_key_seconds, held_seconds=config.inspector.held_hours * 3600,
        notices=config.notices.held, clock=clock, log=log,
    )  # fmt: skip
    holding = Holding(
        spool=spool_, workshop=workshop, atrest=atrest, desk_atrest=desk_atrest, clock=clock,
        held_seconds=config.inspector.held_hours * 3600, notices=config.notices.held,
        refused_notices=config.notices.refused, language=mailboxes.language,
    )  # fmt: skip
    dispatching = Dispatching(
        mailboxes=mailboxes, certificates=certificates, tokens=tokens, transport=config.sending.transport,
        company=config.company.name, privacy_url=config.company.privacy_url,
        held_hours=config.inspector.held_hours, clock=clock,
    )  # fmt: skip
    at_once = config.inspector.workers * (6 if fast else 3)  # where messages are done sooner, more share a commit
    worker = Worker(
        spool=spool_, queue=queue, workshop=workshop, holding=holding, ear=wake.ear(), clock=clock, log=log,
        aftermath=Aftermath(filed=protections.filed, ended=housekeeping.ended), at_once=at_once,
    )  # fmt: skip
    replying = ReplyWorker(
        replies=replies, queue=queue, workshop=workshop, dispatching=dispatching, ear=wake.ear(), clock=clock,
        log=log, at_once=config.inspector.workers,
    )  # fmt: skip
    noticing = NoticeWorker(
        notices=notices, outbox=outbox, queue=queue, contacts=contacts, workshop=workshop, dispatching=dispatching,
        atrest=atrest, channel=EMAIL, ear=wake.ear(), clock=clock, log=log,
    )  # fmt: skip
    deciding = RequestWorker(
        requests=requests, spool=spool_, outbox=outbox, workshop=workshop, ear=wake.ear(), clock=clock, log=log
    )
    return InspectorParts(
        agent=agent, sandbox=box, workshop=workshop, housekeeping=housekeeping, certificates=certificates,
        protections=protections, loops=(worker.claiming, replying.claiming, noticing.claiming, deciding.claiming),
    )  # fmt: skip
