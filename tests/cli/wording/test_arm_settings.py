"""Arms whose names are numbers are shown with their settings, wherever they are listed."""

from __future__ import annotations

import io

from rich.console import Console

from simclip.cli.terminal.forecast_table import forecast_table
from simclip.cli.terminal.live_table import LiveTable
from simclip.cli.wording.arm_tables import confirm_table, search_table
from simclip.study.analysis.confirm import confirm_trials
from simclip.study.analysis.results import StudyResults
from simclip.study.execution.forecast import Forecast
from simclip.study.search.plan import planned_trials
from simclip.study.store.records import Record
from simclip.train.probe import Costs
from tests.study.examples import study
from tests.study.made_up import history

RATES = {"min": 1e-5, "max": 1e-3, "distribution": "log_uniform_values"}
SPACE = study({"learning_rate": RATES, "cluster_size": [4, 8]}, train={"proportion": 0.5}, searcher="random", trials=4,
              confirm={"arms": 2, "seeds": 2})  # fmt: skip
SEARCH = {
    each.name: Record.of(each, history(0.1, 0.2 + number / 10), outcome="finished")
    for number, each in enumerate(planned_trials(SPACE))
}
CONFIRM = {
    each.name: Record.of(each, history(0.1, 0.2), outcome="finished")
    for each in confirm_trials(StudyResults(SPACE, SEARCH))
}
RESULTS = StudyResults(SPACE, {**SEARCH, **CONFIRM})
ARMS = {trial.arm.name: trial.arm for trial in planned_trials(SPACE)}


def drawn(shown: object, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, height=40, force_terminal=True, color_system=None)
    console.print(shown)
    return console.file.getvalue()


def forecast() -> Forecast:
    names = Costs.__dataclass_fields__
    return Forecast(
        arms=[(arm, 1.0) for arm in ARMS.values()], trials=4, confirming=0, ended=0, cut=0, concurrency=1,
        probed="arm-01", costs=Costs(**dict.fromkeys(names, 1)),
        preparation=0, cpu_hours=1, gpu_hours=0, wall_hours=1, disk=1, outlook=None,
    )  # fmt: skip


def test_every_table_has_a_column_per_setting() -> None:
    for table in (search_table(RESULTS), confirm_table(RESULTS)):
        assert table is not None
        headings = [column.heading for column in table.columns]
        at, k = headings.index("learning rate"), headings.index("cluster size k")
        for row in table.rows[:-1]:
            arm = ARMS[str(row.cells[0].text)]
            assert row.cells[at].value == arm.config.learning_rate
            assert row.cells[k].value == (None if arm.is_control else arm.config.cluster_size)


def test_the_dry_run_and_the_live_table_show_them_where_there_is_room() -> None:
    live = LiveTable(SPACE, Console(file=io.StringIO()))
    live.progress.plan(planned_trials(SPACE), 1)
    for arm in ARMS.values():
        rate = f"{arm.config.learning_rate:.3g}"
        (line,) = (
            each for each in drawn(forecast_table(SPACE, forecast()), 100).splitlines() if arm.name in each.split()[:2]
        )
        assert rate in line
        (line,) = (each for each in drawn(live, 140).splitlines() if arm.name in each.split()[:2])
        assert f"lr{rate}" in line and (arm.is_control or f"k{arm.config.cluster_size} " in line)
    narrow = drawn(live, 50)
    assert "lr" not in narrow and max(map(len, narrow.splitlines())) <= 50
