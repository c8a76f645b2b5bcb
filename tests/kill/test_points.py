"""Each named point once: the process dies there, comes back, and nothing is lost, doubled or unexplained."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from house import House
from mta import Mta
from points import BY_HAND, CASES, QUICK, SETTINGS, Case, Scene, put_by_hand, run
from sink import Sink

from gateway.killpoints import Point

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Sink() as sink:
        house = House(
            tmp_path_factory.mktemp("points") / "g", smarthost_port=sink.port, settings=SETTINGS, quick=QUICK
        )
        try:
            house.prepare()
            house.start()
            scene = Scene(house, sink, Mta("alice", lambda: house.port))
            scene.mail()
            scene.held()
            scene.quiet()
            yield scene
            scene.mta.stop()
        finally:
            house.close()


def test_every_point_is_killed_at() -> None:
    assert {case.point for case in CASES} | set(BY_HAND) == set(Point)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_process_killed_at_a_point_loses_nothing(scene: Scene, case: Case) -> None:
    run(scene, case)


@pytest.mark.parametrize("point", BY_HAND, ids=lambda point: point.name)
def test_a_desk_killed_while_it_writes_a_reply_down_wrote_it_once(scene: Scene, point: Point) -> None:
    put_by_hand(scene, point)


def test_after_all_points_everything_is_there_once(scene: Scene) -> None:
    tally = scene.judge()
    print(tally)
    assert tally.sound, tally.details
