import io
import itertools
import random
import re
import sys

import pytest
from rich.cells import cell_len
from rich.console import Console

from simclip.cli.terminal.live_table import LiveTable, progress_listener

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
WIDTHS, HEIGHTS = (40, 60, 80, 120, 200), (6, 10, 24, 80)


def terminal(width=100, height=40):
    return Console(
        file=io.StringIO(),
        width=width,
        height=height,
        force_terminal=True,
        color_system="standard",
        legacy_windows=False,
    )


def frame(table, width=100, height=40):
    console = terminal(width, height)
    console.print(table, end="")
    return [line.rstrip() for line in ESCAPES.sub("", console.file.getvalue()).splitlines()]


def seen(study, clock, ended=None):
    """A live table whose terminal nobody looks at."""
    return LiveTable(study, terminal(), ended, clock)


def test_a_row_for_each_trial_with_what_is_known_of_it(make_study, trials, clock, player):
    study = make_study(seeds=[1, 2])
    plan = trials(study)
    table = seen(study, clock)
    table.study_started(list(plan.values()), 2)
    player.run(table, plan["control-s1"], 0.40, 0.38)
    player.run(table, plan["control-s2"], 0.41, 0.42)
    player.run(table, plan["k4-s1"], 0.42, 0.43)
    player.run(table, plan["k4-s2"], 0.30, outcome="failed", error="ValueError: [red]no[/nope] such thing")
    player.start(table, plan["k8-s1"])
    player.epoch(table, plan["k8-s1"], 0.2)
    player.epoch(table, plan["k8-s1"], 0.3)
    lines = frame(table)
    table.study_ended()
    assert "ValueError" not in "\n".join(frame(table))  # the list at the end of the study says it
    assert lines == [
        # 10 s for k8-s1 to end, and 22 s for k8-s2 beside it
        "toy  ━━━━━━━━━━  4 of 6 trials  22 s left  1 running  1 failed  after 90 s",
        "val/mean_r1 in percent",
        "   arm      seed              epoch  latest  best  vs control  left  state",
        lines[3],
        "✓  control     1  ━━━━━━━━━━    2/2    38.0  40.0                    finished",
        "✓              2  ━━━━━━━━━━    2/2    42.0  42.0                    finished",
        "✓  k4          1  ━━━━━━━━━━    2/2    43.0  43.0        +3.0        finished",
        "✗              2  ━━━━━━━━━━    1/2    30.0  30.0                    failed",
        "▸  k8          1  ━━━━━━━━━━    1/2    30.0  30.0              10 s  running",
        "·              2  ━━━━━━━━━━                                         waiting",
        "✗ k4-s2  ValueError: [red]no[/nope] such thing",
    ]
    assert set(lines[3]) == {"─"}


def test_nothing_is_said_of_times_that_nobody_knows(make_study, trials, clock, player):
    study = make_study()
    table = seen(study, clock)
    table.study_started(list(trials(study).values()), 2)
    assert frame(table)[0] == "toy  ━━━━━━━━━━  0 of 3 trials  after 0 s"
    table.study_ended()


def test_an_optuna_study_knows_how_many_trials_it_will_run(make_study, trials, clock, player):
    plan = trials(make_study())
    table = seen(make_study(searcher="optuna", trials=3, sizes=(2, 4, 8, 16)), clock)
    table.study_started([], 2)
    player.run(table, plan["control-s1"], 0.4, 0.3)
    player.start(table, plan["k4-s1"])
    assert frame(table)[0] == "toy  ━━━━━━━━━━  1 of 3 trials  22 s left  1 running  after 22 s"
    assert [line[0] for line in frame(table)[4:]] == ["✓", "▸"]
    table.study_ended()


def test_trials_of_earlier_runs_stand_in_the_table(make_study, trials, clock, player):
    study = make_study()
    plan = trials(study)
    player.run(seen(study, clock), plan["control-s1"], 0.4, 0.3)
    table = seen(study, clock, player.records)
    table.study_started([plan["k4-s1"], plan["k8-s1"]], 1)
    lines = frame(table)
    table.study_ended()
    assert lines[0] == "toy  ━━━━━━━━━━  1 of 3 trials  44 s left  after 0 s"
    assert [line.split()[:2] for line in lines[4:]] == [["✓", "control"], ["·", "k4"], ["·", "k8"]]


def large(make_study, trials, clock, player, seed=0):
    """A study of 57 trials on its way: yields after every event."""
    study = make_study(sizes=[2**k for k in range(1, 10)] + list(range(10, 20)), seeds=[1, 2, 3], train={"epochs": 3})
    table = seen(study, clock)
    plan = list(trials(study).values())
    table.study_started(plan, 4)
    draw = random.Random(seed)
    running, waiting = [], list(plan)
    while running or waiting:
        while waiting and len(running) < 4:
            running.append([waiting.pop(0), 0])
            player.start(table, running[-1][0])
        each = draw.choice(running)
        player.epoch(table, each[0], draw.random())
        each[1] += 1
        if failed := draw.random() < 0.05 or each[1] > 3:
            running.remove(each)
            outcome = "finished" if each[1] > 3 else "failed"
            player.end(table, each[0], outcome, "OSError: " + "x" * 300 if failed else None)
        yield table
    table.study_ended()
    yield table


def test_no_frame_is_larger_than_the_terminal(make_study, trials, clock, player):
    for number, table in enumerate(large(make_study, trials, clock, player)):
        if number % 20 == 0:
            for width, height in itertools.product(WIDTHS, HEIGHTS):
                lines = frame(table, width, height)
                assert len(lines) < height, (width, height, lines)
                assert max(map(cell_len, lines)) <= width


def test_what_there_is_no_room_for_is_counted(make_study, trials, clock, player):
    for table in large(make_study, trials, clock, player):
        lines = frame(table, 100, 20)
        rest = next(line for line in lines if " more: " in line)
        rows = [line for line in lines[4 : lines.index(rest)] if line]
        assert len(rows) + int(rest.split()[0]) == len(table.progress.trials)
        assert sum(map(int, re.findall(r"(\d+) [a-z]", rest.split(":")[1]))) == int(rest.split()[0])
        running = [line for line in rows if line.startswith("▸")]
        assert len(running) == len(table.progress.in_state("running"))
        assert rows[: len(running)] == running
        arms = list(itertools.accumulate((line[3:10].strip() for line in rows), lambda above, arm: arm or above))
        leading = [arm for arm, line in zip(arms, rows, strict=True) if line[0] == "✓"]
        places = table.progress.order.names
        assert [places.index(arm) for arm in leading] == sorted(places.index(arm) for arm in leading)
        if len(rows) > len(running) + len(leading):
            assert len(leading) == len(table.progress.in_state("finished"))  # none of them is left out for others


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_terminal_is_left_tidy_and_redraws_meet_no_half_told_event(make_study, trials, clock, player):
    study = make_study(seeds=[1, 2, 3])
    console = terminal()
    table = progress_listener(console, study, logs=None)
    assert isinstance(table, LiveTable)
    table._live.refresh_per_second = 1000
    stdout = sys.stdout
    table.study_started(list(trials(study).values()), 2)
    assert "\x1b[?25l" in console.file.getvalue()  # the cursor is hidden
    try:
        for trial in trials(study).values():
            player.run(table, trial, 0.3, 0.4)
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        table.study_ended()
    assert console.file.getvalue().endswith("\n\x1b[?25h") and sys.stdout is stdout
    final = ESCAPES.sub("", console.file.getvalue().rpartition("\x1b[2K")[2])
    assert "9 of 9 trials" in final and final.count("finished") == 9
    table.study_ended()  # a second time does nothing
