"""tune.py as it is typed: what wrong input says, and what an interruption leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from simclip.demo.dataset import ensure_dataset
from simclip.train.config import TrainConfig
from tests.conftest import tiny_run, write_study
from tune import main

ROOT = Path(__file__).parents[3]


@pytest.fixture
def study_file(config: TrainConfig, tmp_path: Path) -> Path:
    """A study of two cluster sizes over the tiny pairs."""
    return write_study(config, tmp_path / "tiny.yaml", train={"epochs": 2}, max_concurrent=1)


def tsv(folder: Path, *lines: str) -> str:
    path = folder / "wrong.tsv"
    path.write_text("".join(line.replace("|", "\t") + "\n" for line in lines), encoding="utf-8")
    return f"train.train_tsv={path}"


def negatives(folder: Path, config: TrainConfig, *lines: str) -> str:
    path = folder / "few.tsv"
    rows = ["image|caption|negative_caption|category", *lines]
    path.write_text("".join(line.replace("|", "\t") + "\n" for line in rows), encoding="utf-8")
    return f"train.evaluate=[{{kind: pairs, name: few, files: {path}, image_dir: {config.val_image_dir}}}]"


def folder_without_weights(folder: Path, model: str) -> str:
    target = folder / "no-weights"
    target.mkdir()
    (target / "config.json").write_text((Path(model) / "config.json").read_text())
    return str(target)


def folder_of_naflex(folder: Path, model: str) -> str:
    target = shutil.copytree(model, folder / "naflex")
    content = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**content, "model_type": "siglip2"}))
    return str(target)


Wrong = Callable[[Path, TrainConfig], list[str]]

WRONG: dict[str, tuple[Wrong, list[str]]] = {
    "no such TSV": (lambda d, c: ["train.train_tsv=nowhere.tsv"], ["nowhere.tsv", "no such TSV file"]),
    "no image column": (
        lambda d, c: [tsv(d, 'picture|caption1', 'a.png|words')],
        ["wrong.tsv", "no column 'image'", "picture"],
    ),
    "no caption column": (
        lambda d, c: [tsv(d, 'image|words', '000.png|text')],
        ["wrong.tsv", "no caption column", "caption1"],
    ),
    "an empty TSV": (lambda d, c: [tsv(d)], ["wrong.tsv is empty", "header"]),
    "missing images": (
        lambda d, c: [tsv(d, 'image|caption1', 'x.png|a', '000.png|b', 'y.png|c').replace('train_tsv', 'val_tsv')],
        ["2 of 3 images", "x.png, y.png"],
    ),
    "fewer rows than a batch": (
        lambda d, c: ["train.batch_size=64"],
        ["40 rows", "fewer than batch_size 64", "smaller batch_size"],
    ),
    "k larger than floor(pN)": (
        lambda d, c: ["parameters.cluster_size.values=[2,8]"],
        ["arm k8", "larger than the 4 clustered rows", "lower k"],
    ),
    "p outside [0, 1]": (lambda d, c: ["train.proportion=1.5"], ["train.proportion", "less than or equal to 1", "1.5"]),
    "a fraction like 1/0": (lambda d, c: ["train.proportion=1/0"], ["train.proportion", "1/0"]),
    "an unknown field": (lambda d, c: ["train.epoch=3"], ["train.epoch", "did you mean epochs?"]),
    "an unknown parameter": (
        lambda d, c: ["parameters.cluster_sizes.values=[2]"],
        ["cluster_sizes", "did you mean cluster_size?"],
    ),
    "a range upside down": (
        lambda d, c: ["parameters.learning_rate={min: 1e-2, max: 1e-4}", "searcher=random", "trials=3"],
        ["learning_rate", "min 0.01 is not below max 0.0001"],
    ),
    "a model folder without weights": (
        lambda d, c: [f"train.model={folder_without_weights(d, c.model)}"],
        ["no-weights", "has no weights"],
    ),
    "a model that is no CLIP": (
        lambda d, c: [f"train.model={folder_of_naflex(d, c.model)}"],
        ["siglip2", "NaFlex", "of fixed resolution"],
    ),
    "a tower that there is not": (
        lambda d, c: ["parameters.freeze={values: [none, both]}"],
        ["freeze", "'none', 'image' or 'text'"],
    ),
    "a frozen tower of random weights": (
        lambda d, c: ["train.freeze=image", "train.pretrain=true"],
        ["freeze image with pretrain", "drop either"],
    ),
    "LoRA on layers that there are not": (
        lambda d, c: ["parameters.lora_rank.values=[0,2]", "parameters.lora_targets.values=[[fc1],[query]]"],
        ["lora_targets query", "no linear layer", "give some of fc1, fc2, k_proj"],
    ),
    "LoRA of random weights": (
        lambda d, c: ["train.lora_rank=2", "train.pretrain=true"],
        ["lora_rank 2 with pretrain", "drop either"],
    ),
    "an image outside its folder": (
        lambda d, c: [tsv(d, 'image|caption1', '../secret.png|a')],
        ["line 2", "../secret.png", "leaves its folder"],
    ),
    "a metric that no set has": (lambda d, c: ["metric=val/mean_r2"], ["val/mean_r2", "did you mean val/mean_r1?"]),
    "a batch that workers cannot share": (
        lambda d, c: ["resources.workers=3"],
        ["batch_size 8", "3 workers", "multiple"],
    ),
    "a negative caption missing": (
        lambda d, c: [negatives(d, c, '000.png|a|b|x', '001.png|a||x')],
        ["evaluation set 'few'", "few.tsv, line 3", "no negative_caption"],
    ),
    "an unknown category": (
        lambda d, c: [negatives(d, c, '000.png|a|b|size', '001.png|a|b|hue'), "metric=few/sizes"],
        ["metric 'few/sizes'", "did you mean few/size?"],
    ),
    "an override that is none": (lambda d, c: ["epochs"], ["'epochs'", "key=value"]),
    "a placeholder": (
        lambda d, c: ["train.train_tsv=datasets/coco_train.tsv"],
        ["coco_train.tsv", "placeholder"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_and_exit_code_two(
    case: str, study_file: Path, config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, parts = WRONG[case]
    results = tmp_path / "results"
    code = main(["run", str(study_file), *make(tmp_path, config), "--results", str(results)])
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out.splitlines()[1:] in ([], ["Loading model and data..."])  # what only transformers can tell
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    for part in parts:
        assert part in captured.err
    assert not results.exists()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["run", "studies/dem.yaml"], ["studies/dem.yaml", "did you mean demo.yaml?"]),
        (["report"], ["no results folder", "results/demo"]),
        (["report", "nowhere"], ["nowhere/study.yaml", "results folder of a study"]),
        (["reproduce", "nowhere", "--trial", "k4-s1"], ["nowhere/study.yaml", "results folder of a study"]),
        (["reproduce", "nowhere", "--seeds", "0"], ["--seeds 0", "at least 1"]),
        (["reproduce", "nowhere"], ["nowhere", "no such file"]),
    ],
)
def test_wrong_paths(words: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    line = capsys.readouterr().err
    assert all(part in line for part in parts)


@pytest.mark.parametrize("words", [["--dry-run"], ["run", "--dryrun"]])
def test_an_unknown_option_exits_with_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert words[-1] in said and said.count("\n") == 1


def test_the_fields_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name}" in listed for name in [*TrainConfig.model_fields, "seeds", "searcher"])


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    code = "from simclip.cli.exits import exit_code\nimport sys\ndef work():\n  while True: print('x' * 9999)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}sys.exit(exit_code(work))"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 141


@pytest.mark.parametrize(
    ("first", "meant"),
    [
        ("rune", "did you mean run?"),
        ("studies/demo.yaml", "did you mean python tune.py run studies/demo.yaml?"),
        ("xyz", "expected run, report, reproduce, interpolate, export, "),
    ],
)
def test_what_is_no_command_is_one_line(first: str, meant: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([first, "seeds=[1]"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"error: no such command: {first}; {meant}") and err.count("\n") == 1


def tune(*words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "tune.py", *words],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background ignores it
    )


@pytest.mark.usefixtures("without_ray")
def test_interrupted_it_says_how_to_go_on_and_the_same_command_does(
    study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = ["train.epochs=3", "train.iterations_per_epoch=60"]  # seconds per trial: not over before the signal
    words = ["run", str(study_file), *long, "--results", str(tmp_path / "results")]
    first = tune(*words)
    folder = tmp_path / "results" / "tiny" / "trials"
    wait_for(lambda: any("outcome" in path.read_text() for path in folder.glob("*.jsonl")), first)
    first.send_signal(signal.SIGINT)
    out, err = first.communicate(timeout=60)
    assert first.returncode == 130, (out, err)
    assert "To resume: python tune.py run" in out
    assert "Traceback" not in err
    done = {path.name: path.read_text() for path in folder.glob("*.jsonl") if "outcome" in path.read_text()}
    assert 0 < len(done) < 3

    assert main(words) == 0
    out = capsys.readouterr().out
    assert {path.name for path in folder.glob("*.jsonl")} == {"control-s1.jsonl", "k2-s1.jsonl", "k4-s1.jsonl"}
    for name, text in done.items():
        assert (folder / name).read_text() == text
    ends = [json.loads(path.read_text().splitlines()[-1]) for path in folder.glob("*.jsonl")]
    assert [end["outcome"] for end in ends] == ["finished"] * 3
    assert "Reproduce it" in out


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_dry_run_tells_the_cost_and_leaves_nothing(study_file: Path, tmp_path: Path) -> None:
    process = tune("run", str(study_file), "--dry-run", "seeds=[1,2]", "--results", str(tmp_path / "results"))
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    for part in ("control", "k2", "k4", "6 trials", "CPU hours", "of disk", "of memory"):
        assert part in out
    assert not (tmp_path / "results").exists()


@pytest.fixture(scope="module")
def finished(pairs: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of both stages, tracked; what is told in it is looked at here too."""
    folder = tmp_path_factory.mktemp("finished")
    study = write_study(tiny_run(pairs, tiny_model), folder / "tiny.yaml", train={"epochs": 2})
    words = ["run", str(study), "--results", str(folder), "confirm={arms: 1, seeds: 3}"]
    process = tune(*words, WANDB_MODE="offline", SIMCLIP_CACHE=str(folder / "cache"))
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "Weights & Biases is on (WANDB_MODE=offline)" in out
    assert "can detect a difference of" in out
    assert err == ""  # no library talks into the study's own lines
    return folder / "tiny"


def test_a_study_with_both_stages_leaves_tracks(finished: Path) -> None:
    assert len(list((finished / "wandb").glob("offline-run-*/run-*.wandb"))) == 9
    assert len(list((finished / "tensorboard").glob("*/events.out.tfevents.*"))) == 9
    assert (finished / "report.html").is_file()


Reproduce = Callable[..., tuple[int, str]]


@pytest.fixture
def reproduced(without_ray: None, capsys: pytest.CaptureFixture[str]) -> Reproduce:
    """Runs `tune.py reproduce`; returns its exit code and what it prints."""

    def run(*words: str) -> tuple[int, str]:
        code = main(["reproduce", *words])
        out, err = capsys.readouterr()
        assert err == ""
        return code, " ".join(out.split())

    return run


def test_reproduce_passes(finished: Path, reproduced: Reproduce) -> None:
    code, out = reproduced(str(finished))
    assert code == 0 and "PASS" in out
    assert (finished / "reproduced" / "best" / "model.safetensors").is_file()


def test_reproduce_tells_a_difference(finished: Path, reproduced: Reproduce, tmp_path: Path) -> None:
    results = shutil.copytree(finished, tmp_path / "tiny", ignore=shutil.ignore_patterns("reproduced*"))
    best = results / "best.yaml"
    content: dict[str, Any] = yaml.safe_load(best.read_text())
    content["expect"]["val/loss"] += 1e-9
    content["confirmed"] |= {"mean": 0.0, "std": 1e-9}
    best.write_text(yaml.safe_dump(content))
    code, out = reproduced(str(results))
    assert code == 1 and "DIFFERENT: 1 of" in out
    assert "val/loss" in out and "outside of the range of one such run" in out


def test_a_trial_can_be_run_on_fresh_seeds(finished: Path, reproduced: Reproduce) -> None:
    code, out = reproduced(str(finished), "--trial", "control-s1001", "--seeds", "2")
    seeds = ["2000", "2001"]
    assert all(f"(seed {seed})" in out for seed in seeds)
    passed = "PASS: inside" in out
    assert passed != ("DIFFERENT: not inside" in out)
    assert code == (0 if passed else 1)
    records = finished / "reproduced-control-s1001-seeds" / "trials"
    assert sorted(path.name for path in records.iterdir()) == [f"control-s{seed}.jsonl" for seed in seeds]


def test_any_trial_can_be_run_again(finished: Path, reproduced: Reproduce) -> None:
    code, out = reproduced(str(finished), "--trial", "k2-s1")
    assert code == 0 and "PASS: all" in out


def test_the_demo_is_the_default_and_loads() -> None:
    from simclip.study.search.plan import planned_arms
    from simclip.study.store.study_file import DEMO, load_with_data

    ensure_dataset()
    study = load_with_data(DEMO)
    arms = planned_arms(study)
    assert arms[0].is_control
    assert len(arms) >= 5
