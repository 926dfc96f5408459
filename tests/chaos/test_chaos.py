"""A few rounds of chaos; `python -m tests.chaos --rounds 30` plays many."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from tests.chaos.campaign import Campaign
from tests.chaos.faults import KINDS, draw
from tests.chaos.ledger import Ledger


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_nothing_is_lost() -> None:
    work = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))  # pytest's own folders are too long for Ray's sockets
    campaign = Campaign(work, seed=305)  # a server of the head, a trial's process, the driver
    campaign.run(rounds=3)  # raises what is wrong, and leaves the files there
    assert len(campaign.rounds) == 3 and campaign.studies >= 1
    shutil.rmtree(work)


def test_every_kind_comes_up() -> None:
    assert {draw(0, number).kind for number in range(len(KINDS))} == {*KINDS}
    assert draw(0, 7) == draw(0, 7) != draw(1, 7)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


def write(ledger: Ledger, *lines: str) -> None:
    (ledger.trials / "k2-s1.jsonl").write_text("".join(f"{line}\n" for line in ('{"config": 1}', *lines)))
    ledger.look()


ZERO, ONE, TWO = (json.dumps({"epoch": epoch, "seconds": 1}) for epoch in range(3))


def test_what_was_on_record_must_stay(ledger: Ledger) -> None:
    write(ledger, ZERO, ONE)
    write(ledger, ZERO, ONE, TWO)
    assert ledger.rows == 3 and ledger.unfinished == ["k2-s1"] and not ledger.wrong
    write(ledger, ZERO, ONE.replace("1}", "9}"), TWO)
    assert ledger.wrong == ["k2-s1 lost or ran again the epochs [1, 2]"]


def test_a_doubled_epoch_is_seen(ledger: Ledger) -> None:
    write(ledger, ZERO, ONE, ONE)
    assert ledger.wrong == ["k2-s1 has the epochs [0, 1, 1]"]


def test_an_end_is_written_once(ledger: Ledger) -> None:
    write(ledger, ZERO, ONE, '{"outcome": "finished"}')
    ledger.look()
    assert ledger.ended == 1 and not ledger.wrong
    write(ledger, ZERO, ONE, '{"outcome": "finished"}')
    assert ledger.wrong == ["k2-s1 had ended and was written again"]


def test_a_torn_line_must_come_back(ledger: Ledger) -> None:
    write(ledger, ZERO, ONE, TWO)
    ledger.tear("k2-s1")
    ledger.look()
    assert not ledger.wrong
    write(ledger, ZERO, ONE, TWO.replace("1}", "9}"))
    assert ledger.wrong == ["k2-s1 lost or ran again the epochs [2]"]


def test_a_spoilt_checkpoint_excuses_a_new_beginning(ledger: Ledger) -> None:
    write(ledger, ZERO, ONE, TWO)
    ledger.checkpoint_damaged("k2-s1")
    ledger.look()
    write(ledger, ZERO.replace("1}", "9}"))
    assert not ledger.wrong and ledger.repeated == 2
    write(ledger, ZERO)
    write(ledger, ZERO, ONE)
    write(ledger, ZERO)
    assert ledger.wrong
