import io

from rich.console import Console

from simclip.cli.exits import fail
from simclip.cli.terminal.live_table import progress_listener
from simclip.cli.terminal.plain_lines import PlainLines


def test_a_line_for_each_event_written_at_once(make_study, trials, clock, player, tmp_path):
    study = make_study(sizes=[4])
    plan = trials(study)
    said = tmp_path / "log"
    lines = []
    with said.open("w") as file:
        teller = PlainLines(study, tmp_path / "logs", file, clock=clock)
        tell = [
            lambda: teller.study_started(list(plan.values()), 2),
            lambda: player.start(teller, plan["control-s1"]),
            lambda: player.epoch(teller, plan["control-s1"], 0.2),
            lambda: player.epoch(teller, plan["control-s1"], 0.433),
            lambda: player.epoch(teller, plan["control-s1"], 0.412),
            lambda: player.end(teller, plan["control-s1"]),
            lambda: player.start(teller, plan["k4-p0.5-s1"]),
            lambda: player.end(teller, plan["k4-p0.5-s1"], "failed", "\x1b[31mValueError\x1b[0m: [b]"),
            lambda: teller.study_ended(),
        ]
        for event in tell:
            event()
            lines = said.read_text().splitlines()
            assert len(lines) == tell.index(event) + 1
    assert lines == [
        "toy: 2 trials, at most 2 at a time",
        "[0/2] control-s1  started  2 epochs",
        "[0/2] control-s1  base model  val/mean_r1 20.0%",
        "[0/2] control-s1  epoch 1/2  val/mean_r1 43.3%  (best 43.3%)  10 s left",
        "[0/2] control-s1  epoch 2/2  val/mean_r1 41.2%  (best 43.3%)",
        "[1/2] control-s1  finished  best 43.3% at epoch 1  took 22 s  toy: 22 s left",
        "[1/2] k4-p0.5-s1  started  2 epochs",
        f"[2/2] k4-p0.5-s1  failed  log: {tmp_path / 'logs' / 'k4-p0.5-s1.log'}",
        "toy: 1 finished, 1 failed, after 22 s",
    ]


def test_earlier_trials_are_counted_in_an_optuna_search_too(make_study, trials, clock, player, tmp_path):
    study = make_study(searcher="optuna", trials=3)
    plan = trials(make_study())
    player.run(PlainLines(study, tmp_path, io.StringIO()), plan["control-s1"], 0.3, 0.4)
    said = io.StringIO()
    teller = PlainLines(study, tmp_path, said, player.records, clock)
    teller.study_started([], 2)
    teller.trial_started(plan["k4-s1"])
    assert said.getvalue().splitlines() == [
        "toy: 2 trials, at most 2 at a time, 1 ended earlier",
        "[1/3] k4-s1  started  2 epochs",
    ]


def test_plain_lines_where_no_terminal_can_redraw(make_study, trials, player, tmp_path):
    study = make_study()
    for console in (
        Console(file=io.StringIO(), force_terminal=False),
        Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"}),
    ):
        teller = progress_listener(console, study, tmp_path)
        assert isinstance(teller, PlainLines)
        teller.study_started(list(trials(study).values()), 1)
        player.run(teller, trials(study)["k4-s1"], 0.4, 0.5)
        teller.study_ended()
        assert "\x1b" not in console.file.getvalue() and len(console.file.getvalue().splitlines()) == 7


def test_a_failure_is_one_whole_line_on_stderr(capsys):
    fail("no such file: [bold]" + "x" * 300)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: no such file: [bold]" + "x" * 300 + "\n")
