"""What the message would have done in a reader that let it. Nothing of it reaches an agent; this is a remark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.opened import Active, Opened
from gateway.rules import Action, Code, Finding, Rule

_PLAIN: Final = {
    Active.SCRIPT: "The message held a script; it was taken out.",
    Active.FORM: "The message held a form to fill in; it was taken out.",
    Active.FRAME: "The message embedded another page; it was taken out.",
    Active.OBJECT: "The message embedded a plug-in object; it was taken out.",
    Active.EVENT_HANDLER: "The message held a script that runs on a click or the like; it was taken out.",
    Active.SCRIPT_LINK: "The message held a link that runs a script; it was taken out.",
    Active.REMOTE_CONTENT: "The message would have loaded content from elsewhere, which tells its sender who reads it.",
    Active.META_REFRESH: "The message would have led to another page by itself; that was taken out.",
}
BY_ACTIVE: Final = {
    active: Rule(Code(f"active.{active}"), Action.ACCEPT, "Accepted without its active content", "7.1", plain)
    for active, plain in _PLAIN.items()
}


class ActiveContent:
    rules = tuple(BY_ACTIVE.values())

    async def __call__(self, message: Opened, /) -> Sequence[Finding]:
        return [Finding(BY_ACTIVE[active]) for active in message.active]
