"""Every message of the third-party test data gets a decision: no exception, in little time, and nothing is vouched for
that nobody could check."""

from __future__ import annotations

import json
import time

import pytest
from letters import HouseOpener, corpus, messages, opened

from gateway.checks import INSPECTION
from gateway.opened import Failure, Oddity, Protection, SignerStatus
from gateway.rules import Action
from keys.testing import House

SETS = [
    "mime-cpython", "mime-dovecot", "mime-mime4j", "mime-stalwart-rfc", "pgp-kde-a", "pgp-autocrypt",
    "smime-thunderbird-a", "arc-validation-a", "dkim-vectors",
]  # fmt: skip


@pytest.mark.parametrize("name", SETS)
async def test_every_message_gets_a_decision(name: str, opener: HouseOpener) -> None:
    for path in messages(name):
        start = time.process_time()
        message = await opened(path.read_bytes(), opener)
        decision = await INSPECTION.judge(message)
        assert time.process_time() - start < 1, path.name
        assert "check.failed" not in {finding.rule.code for finding in decision.findings}, path.name
        assert all(signature.status is not SignerStatus.VERIFIED for signature in message.signatures), path.name
        text = any(part.shown and part.octets > 2 for part in message.parts)
        assert message.text.reveal().strip() or message.attachments or not text, path.name


async def test_kdes_encrypted_mail_is_recognized_and_held(opener: HouseOpener) -> None:
    for path in messages("pgp-kde-a"):
        name = path.name
        if "encrypted" not in name and name != "openpgp-multipart-embedded.mbox":
            continue
        message = await opened(path.read_bytes(), opener)
        assert message.protection is not Protection.NONE, name
        assert not any(part.encrypted and part.shown for part in message.parts), name
        if "ambiguous-mime" not in name or name.startswith("smime"):
            assert message.failures, name
            assert (await INSPECTION.judge(message)).action is Action.HOLD, name


async def test_gpgols_wrapped_mail_is_repaired(opener: HouseOpener) -> None:
    message = await opened((corpus("pgp-kde-a") / "internal-pgpencrypted-mime.mbox").read_bytes(), opener)
    assert Oddity.REPAIRED in message.oddities
    assert message.failures == (Failure.NO_KEY,)


async def test_thunderbirds_smime_is_recognized_and_never_vouched_for(opener: HouseOpener) -> None:
    folder = corpus("smime-thunderbird-a")
    for name, wanted in json.loads((folder / "expected.json").read_text()).items():
        message = await opened((folder / name).read_bytes(), opener)
        outermost_encrypted = message.parts[0].media_type == "application/pkcs7-mime" and not message.signatures
        if outermost_encrypted:
            assert wanted["enc"], name
            assert message.protection is Protection.FULL, name
        assert message.text.reveal().strip(), name
        assert all(signature.status is SignerStatus.ERROR for signature in message.signatures), name


async def test_autocrypts_examples_open_with_their_keys(house: House, opener: HouseOpener) -> None:
    folder = corpus("pgp-autocrypt")
    house.gpg.import_own((folder / "bob@autocrypt.example.sec.asc").read_bytes())
    message = await opened((folder / "example-gossip.eml").read_bytes(), opener)
    assert message.failures == ()
    assert message.protection is Protection.FULL
    assert message.text.reveal().startswith("Hi Bob and Carol,")
    assert len(message.offered) == 1
    assert [signature.status for signature in message.signatures if signature.status is SignerStatus.VERIFIED] == []
    simple = await opened((folder / "example-simple-autocrypt.eml").read_bytes(), opener)
    assert len(simple.offered) == 1
