"""Each await and each commit on a message's way stands at a kill point, or is listed here with the reason why not.

An await of intake, worker, replies or outbox is covered when a `reach` stands within a few lines of it, when what it
awaits is a store call whose commit has its two points, or when it awaits a function of the same file, which is looked
at itself. What can't change anything needs no point, and is in `ALLOWED`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

GATEWAY = Path(__file__).parents[2] / "gateway"
WAY = ("intake", "worker", "replies", "outbox")
STORES = ("spool", "queue", "outbox", "replies", "requests", "notices")
NEAR = 12

ALLOWED = {
    ("intake", "look", "self._backlog()"): "reads",
    ("intake", "watch", "self.look()"): "reads",
    ("intake", "watch", "asyncio.sleep(seconds)"): "waits between two looks",
    ("intake", "_answer", "asyncio.wait((commit,), timeout=self._commit_seconds)"): "the commit has its own points",
    ("intake", "settle", "asyncio.wait(tuple(self._commits))"): "the commits have their own points",
    ("intake", "_admit", "self._layer.require(message)"): "judges; nothing is kept yet",
    ("intake", "_admit", "self._layer.waiving(held).require(message)"): "judges; nothing is kept yet",
    ("intake", "_commit", "asyncio.to_thread(self._sealing.box, passed, row)"): "seals; nothing is kept yet",
    ("worker", "_until_lease_ends", "act()"): "what is acted has its own points",
    ("worker", "_until_lease_ends", "asyncio.sleep(pause)"): "waits for a store that is away",
    ("worker", "_guarded", "act"): "what is acted has its own points",
    ("worker", "_hold", "self._until_lease_ends(claim, lambda: self._holding.hold(claim, decision, passage, sight))"):
        "holding.hold ends in spool.hold, which has its points",
    ("replies", "_process", "self._queue.correspondence(claim.conversation)"): "reads",
    ("outbox", "_send", "channel.send(outbound)"): "between OUTBOX_ATTEMPTING and OUTBOX_SENT, in who calls it",
    ("outbox", "_send", "asyncio.timeout(limits.SEND_LEASE_SECONDS - 30)"): "a clock around it",
    ("outbox", "_settle", "asyncio.sleep(pause)"): "waits for a store that is away",
}  # fmt: skip
"""(file, function, what is awaited) and why it needs no point of its own."""

ALLOWED_COMMITS = {
    ("queue", "set_protection"): "how a reply would leave, worked out anew at every start",
    ("notices", "counted"): "a count; killed after it, the notice is tried again and counted once",
}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def called(node: ast.AST) -> Iterator[ast.Call]:
    return (one for one in ast.walk(node) if isinstance(one, ast.Call))


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def commits(store: str) -> Iterator[tuple[str, ast.Call]]:
    """The function, and its call of the writer."""
    for function in functions(GATEWAY / "store" / f"{store}.py"):
        for call in called(function):
            if name_of(call) in ("write", "together") and isinstance(call.func, ast.Attribute):
                yield function.name, call


def pointed() -> set[str]:
    """Store calls whose commit stands between two points."""
    return {
        function for store in STORES for function, call in commits(store)
        if any(keyword.arg == "points" for keyword in call.keywords)
    }  # fmt: skip


def awaits(module: str) -> Iterator[tuple[str, ast.expr, bool]]:
    """Function, what is awaited, and whether a `reach` stands near."""
    for function in functions(GATEWAY / f"{module}.py"):
        points = [call.lineno for call in called(function) if name_of(call) == "reach"]
        for node in ast.walk(function):
            what: ast.expr | None = None
            if isinstance(node, ast.Await):
                what = node.value
            elif isinstance(node, ast.AsyncWith):
                what = node.items[0].context_expr
            elif isinstance(node, ast.AsyncFor):
                what = node.iter
            if what is not None:
                yield function.name, what, any(abs(line - what.lineno) <= NEAR for line in points)


@pytest.mark.parametrize("module", WAY)
def test_every_await_on_the_way_stands_at_a_kill_point(module: str) -> None:
    own = {function.name for function in functions(GATEWAY / f"{module}.py")}
    stored = pointed() | {"_put"}  # intake's name for spool.put
    bare = []
    for function, what, near in awaits(module):
        direct = name_of(what) if isinstance(what, ast.Call) else ""
        within = {name_of(call) for call in called(what)}
        if near or within & stored or direct in own - {"_until_lease_ends"}:
            continue
        if (module, function, ast.unparse(what)) not in ALLOWED:
            bare.append((module, function, ast.unparse(what)))
    assert not bare


def test_nothing_is_allowed_that_is_not_there() -> None:
    there = {(module, function, ast.unparse(what)) for module in WAY for function, what, _ in awaits(module)}
    assert not ALLOWED.keys() - there


@pytest.mark.parametrize("store", STORES)
def test_every_commit_of_the_store_stands_between_two_kill_points(store: str) -> None:
    bare = [
        function for function, call in commits(store)
        if not any(keyword.arg == "points" for keyword in call.keywords) and (store, function) not in ALLOWED_COMMITS
    ]  # fmt: skip
    assert not bare


def test_the_writer_commits_between_the_points_and_nowhere_else() -> None:
    """One COMMIT in the file; the statement before it reaches the points before, the one after it those after."""
    found = []
    for node in ast.walk(tree(GATEWAY / "store" / "writer.py")):
        for body in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            for index, statement in enumerate(body if isinstance(body, list) else ()):
                if isinstance(statement, ast.Expr) and any(name_of(call) == "commit" for call in called(statement)):
                    around = (body[index - 1], body[index + 1])
                    found.append([[name_of(call) for call in called(one)] for one in around])
    assert found == [[["reach"], ["reach"]]]
