"""How `vestibule explain` looks to a person."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

_COLOURS = {"accept": "green", "hold": "yellow", "defer": "yellow", "reject": "red"}


def render(told: dict[str, Any], out: Console) -> None:
    """`told` as `gateway.explain_run.told` makes it. Whatever a customer wrote is printed as text, never as markup."""
    decision = told["decision"]
    out.print(f"[bold]{escape(told['file'])}[/]  [{_COLOURS[decision]}]{decision}[/]")
    _facts(told, out)
    if told["findings"]:
        table = Table(box=None, pad_edge=False, show_header=False)
        for one in told["findings"]:
            evidence = " ".join(f"{name}={value}" for name, value in one["evidence"].items())
            table.add_row(
                f"  {one['layer']}", Text(one["action"], style=_COLOURS[one["action"]]), one["code"], Text(evidence),
                Text(one["why"]),
            )  # fmt: skip
        out.print(table)
    for part in told["parts"]:
        marks = [mark for mark in ("encrypted", "signed", "shown") if part[mark]]
        about = " ".join(word for word in (part["charset"], part["encoding"], part["disposition"], *marks) if word)
        out.print(Text(f"  part {part['path']}  {part['type']}  {part['bytes']} bytes  {about}"))
    _agent(told, out)
    out.print()


def _facts(told: dict[str, Any], out: Console) -> None:
    found, protection = told["authentication"], told["protection"]
    out.print(Text(f"  spf {found['spf']}  dkim {found['dkim']}  dmarc {found['dmarc']}  arc {found['arc']}"))
    out.print(Text(f"  tls {protection['tls']}  encrypted {protection['encrypted']}"))
    for one in protection["signatures"]:
        out.print(Text(f"  signature {one['status']}  covers {one['covers']}  {one['signer']}  {one['fingerprint']}"))
    for failure in protection["failures"]:
        out.print(Text(f"  not opened: {failure}"))


def _agent(told: dict[str, Any], out: Console) -> None:
    agent = told["agent"]
    if agent is None:
        out.print("  an agent would see nothing of it")
        return
    head = f"{agent['name']} <{agent['from']}>  {agent['subject']}".strip()
    body = Text(agent["text"])
    for one in agent["attachments"]:
        body.append(f"\n[{one['name']}, {one['type']}, {one['bytes']} bytes{', withheld' if one['withheld'] else ''}]")
    counts = ", ".join(f"{count} {kind}" for kind, count in told["redactions"].items()) or "nothing"
    out.print(Panel(body, title=Text(head), title_align="left", subtitle=f"hidden: {counts}", subtitle_align="left"))
