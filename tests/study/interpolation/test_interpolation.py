"""Models between the base model and the confirmed ones: measured anew, on record, compared, and written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import fsspec
import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import CLIPModel

from simclip.evaluation.sets import evaluate
from simclip.models.clip import load_clip
from simclip.models.encoder import Encoder
from simclip.models.tiny import make_tiny_clip
from simclip.models.weights import between
from simclip.runtime.device import Compute
from simclip.runtime.workers import Workers
from simclip.study.analysis.ranking import mean_metrics
from simclip.study.analysis.results import StudyResults
from simclip.study.analysis.statistics import paired
from simclip.study.interpolation.points import Interpolation
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import read_records
from simclip.study.store.study_file import load_study
from simclip.train.load import load_evaluation_sets
from tests.conftest import tiny_run, write_study
from tests.study.in_process import run_here
from tests.train.histories import without_clocks
from tune import main

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def kept(pairs: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A confirmed study of LoRA that kept all models, with a test set; interpolated at three alphas."""
    folder = tmp_path_factory.mktemp("kept")
    test = {"kind": "retrieval", "name": "test", "tsv": str(pairs / "train.tsv"), "image_dir": str(pairs / "images")}
    file = write_study(
        tiny_run(pairs, tiny_model), folder / "tiny.yaml",
        train={"epochs": 1, "learning_rate": 1e-2}, test=[test],
        parameters={"cluster_size": {"value": 4}, "lora_rank": {"values": [0, 2]}},
        confirm={"arms": 2, "seeds": 3, "keep_models": "all"},
    )  # fmt: skip
    _, where = run_here(load_study(file), folder)
    assert main(["interpolate", str(where.path), "--steps", "2"]) == 0
    return where.path


@pytest.fixture
def copied(kept: Path, tmp_path: Path) -> Path:
    return shutil.copytree(kept, tmp_path / "tiny")


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs `tune.py interpolate`; returns its exit code and what it prints."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["interpolate", *map(str, words)])
        return code, *capsys.readouterr()

    return run


def found_in(folder: Path) -> Interpolation:
    found = Interpolation.read(StudyFolder(folder))
    assert found is not None
    return found


def test_weights_between_two_models() -> None:
    base, tuned = ({"w": torch.randn(3, 4), "ids": torch.arange(3)} for _ in range(2))
    assert torch.equal(between(base, tuned, 0)["w"], base["w"]) and torch.equal(
        between(base, tuned, 1)["w"], tuned["w"]
    )
    torch.testing.assert_close(between(base, tuned, 0.3)["w"], 0.7 * base["w"] + 0.3 * tuned["w"])
    with pytest.raises(ValueError, match=r"w is \[3, 4\] in one model and \[2, 4\] in the other"):
        between({**base, "w": torch.zeros(2, 4)}, tuned, 0.5)
    with pytest.raises(ValueError, match="more is in one of the two models only"):
        between({**base, "more": torch.zeros(1)}, tuned, 0.5)


def test_all_models_of_the_confirm_stage_were_kept(kept: Path) -> None:
    trials = [name for name, record in read_records(kept / layout.TRIALS).items() if record.stage == "confirm"]
    models = {path.name for path in (kept / layout.MODELS).iterdir()}
    assert len(trials) == 9 and models >= {*trials}


def test_both_ends_are_what_the_trials_recorded_to_the_bit(kept: Path) -> None:
    """But for the rounding of adapters, which were not merged when the trial was scored."""
    found, trials = found_in(kept), read_records(kept / layout.TRIALS)
    assert found.deviation < 1e-5
    for name, trial in trials.items():
        if trial.stage == "confirm":
            for alpha, recorded in ((0.0, trial.history[0]), (1.0, trial.best)):
                assert recorded is not None
                scores, expected = mean_metrics([found.points[alpha][name].best or {}]), mean_metrics([recorded])
                expected = {metric: expected[metric] for metric in scores}
                assert scores == (pytest.approx(expected, abs=1e-5) if alpha and trial.config.lora_rank else expected)


def test_the_middle_is_the_score_of_the_mean_weights(kept: Path) -> None:
    found = found_in(kept)
    [name] = [
        each for each in found.points[0.5] if "lora2" in each and not each.startswith("control") and "1001" in each
    ]
    record = found.points[0.5][name]
    clip = load_clip(record.config.model)
    tuned = load_file(kept / layout.MODELS / name / "best" / "model.safetensors")
    for weight_name, weight in clip.model.named_parameters():
        weight.data = (weight.data + tuned[weight_name]) / 2
    encoder = Encoder(clip, Compute.choose("fp32", torch.device("cpu")), Workers(), record.config.val_batch_size)
    expected = evaluate(load_evaluation_sets(record.config, clip), encoder)
    assert {*expected} == {each for each in record.best or {} if "/" in each}
    for metric, value in expected.items():
        assert (record.best or {})[metric] == pytest.approx(float(value), abs=1e-6)


def test_alpha_is_chosen_on_validation_data_and_judged_on_test_data(kept: Path) -> None:
    found = found_in(kept)
    results, records = StudyResults.read(kept), found.points
    assert next(iter(found.arms)) == found.control == results.contenders[0].name and len(found.arms) == 3
    for arm, trials in found.arms.items():
        means = {
            alpha: fmean((own[name].best or {})["val/mean_r1"] for name in trials) for alpha, own in records.items()
        }
        assert means[found.chosen[arm]] == max(means.values())
    verdict = found.judged.verdict
    assert verdict is not None and verdict.complete and verdict.metric == "test/mean_r1" and verdict.covers_items
    scores = {
        arm: {records[alpha][name].seed: (records[alpha][name].best or {})["test/mean_r1"] for name in found.arms[arm]}
        for arm, alpha in found.chosen.items()
    }
    for arm in verdict.arms:
        assert arm.scores == scores[arm.name]
        if not arm.control:
            assert arm.gain == pytest.approx(paired(scores[arm.name], scores[found.control]).spread.mean)


def test_what_is_on_record_is_not_computed_again_and_more_alphas_are_added(copied: Path, say: Say) -> None:
    code, out, _ = say(copied, "--steps", 2)
    assert code == 0 and "9 models of 3 arms: 0 evaluations..." in out
    (copied / layout.INTERPOLATED / "0.5" / f"{found_in(copied).control}-s1001.jsonl").write_text("torn")
    shutil.rmtree(copied / layout.MODELS)  # those of the points on record are not needed
    code, out, err = say(copied, "--steps", 2)
    assert code == 2 and err.startswith("error: ") and "the models of 1 of 1 trials were not kept" in err
    assert "confirm.keep_models=all" in err and err.count("\n") == 1


def test_the_terminal_and_the_report_show_it(copied: Path, say: Say) -> None:
    code, out, err = say(copied, "--steps", 4)
    assert code == 0 and err == ""
    assert "9 models of 3 arms: 18 evaluations..." in out
    assert "against plain fine-tuning at alpha" in out and "Of 5 values" in out
    assert "At alpha 0 and 1, all metrics are those that the trials have recorded, within " in out
    assert "val/mean_r1 is of validation data; the arms are compared on test sets" in out
    page = (copied / layout.REPORT).read_text()
    assert "Interpolated with the base model" in page and "Between the base model and the trained ones" in page
    table = (copied / "report" / "alphas.csv").read_text().splitlines()
    assert len(table) == 1 + 3 * 5 and table[0].startswith("arm,alpha,")
    assert len((copied / "report" / "interpolated.csv").read_text().splitlines()) == 1 + 3 + 1


def test_a_model_at_an_alpha_is_an_ordinary_folder(kept: Path, tmp_path: Path, say: Say) -> None:
    target, found = tmp_path / "model", found_in(kept)
    [arm] = [each for each in found.arms if "lora2" in each and each != found.control]
    code, out, _ = say(kept, "--to", target, "--arm", arm, "--alpha", 0.25, "--seed", 1002)
    assert code == 0 and f"{arm}-s1002 at alpha 0.25" in out
    base = CLIPModel.from_pretrained(found.points[0.0][f"{arm}-s1002"].config.model).state_dict()
    tuned = load_file(kept / layout.MODELS / f"{arm}-s1002" / "best" / "model.safetensors")
    for name, weight in CLIPModel.from_pretrained(target).state_dict().items():
        torch.testing.assert_close(weight, 0.75 * base[name] + 0.25 * tuned[name])
    assert (target / "tokenizer.json").is_file()
    code, out, _ = say(kept, "--to", tmp_path / "chosen")
    best = found.results.best
    assert best is not None and f"{best.arm.name}-s1000 at alpha {found.chosen[best.arm.name]:g}" in out


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--steps", "0"], ["--steps 0", "1 to 1000"]),
        (["--alpha", "0.5"], ["--alpha 0.5", "give --to"]),
        (["--to", "new", "--arm", "k9"], ["--arm k9", "no such arm was confirmed"]),
        (["--to", "new", "--seed", "3"], ["--seed 3", "on the seeds 1000, 1001, 1002"]),
        (["--to", "new", "--alpha", "1.5"], ["--alpha 1.5", "from 0 to 1"]),
        (["--to", "."], ["already exists", "--to"]),
    ],
    ids=lambda words: " ".join(words),
)
def test_wrong_words(kept: Path, words: list[str], parts: list[str], say: Say) -> None:
    code, _, err = say(kept, *words)
    assert code == 2 and err.count("\n") == 1 and all(part in err for part in parts)
    assert not Path("new").exists()


def test_studies_without_models_to_interpolate(copied: Path, say: Say) -> None:
    first = f"{found_in(copied).control}-s1000"
    shutil.rmtree(copied / layout.INTERPOLATED)
    wide = make_tiny_clip(["red left on blue"], image_size=32, width=64, layers=1, most_tokens=16)
    wide.save(copied / layout.MODELS / first / "best")
    code, _, err = say(copied)
    assert code == 2 and f"the model of {first} and its base model" in err and "not of the same shape" in err
    assert err.count("\n") == 1
    for record in (copied / layout.TRIALS).glob("*-s1???.jsonl"):
        record.rename(copied / record.name)
    code, _, err = say(copied)
    assert code == 2 and "no trial of the confirm stage has finished yet" in err
    study = yaml.safe_load((copied / layout.STUDY).read_text())
    (copied / layout.STUDY).write_text(yaml.safe_dump({**study, "confirm": None, "test": []}))
    code, _, err = say(copied)
    assert code == 2 and "no confirm stage" in err and "keep_models: all" in err


def test_random_weights_have_no_base_model(copied: Path, say: Say) -> None:
    for record in read_records(copied / layout.TRIALS).values():
        config = record.config.model_copy(update={"pretrain": True, "lora_rank": 0})
        replace(record, config=config).write(copied / layout.TRIALS)
    code, _, err = say(copied)
    assert code == 2 and "began with random weights (pretrain)" in err


def test_records_that_are_moved_away_are_made_again_with_their_models(
    pairs: Path, tiny_model: Path, tmp_path: Path, say: Say
) -> None:
    """The way out that the message names, for a study that has ended without its models."""
    changes = {"train": {"epochs": 1}, "parameters": {"cluster_size": {"value": 4}}}
    file = write_study(tiny_run(pairs, tiny_model), tmp_path / "tiny.yaml", **changes, confirm={"arms": 1, "seeds": 3})
    before, folder = run_here(load_study(file), tmp_path)
    code, _, err = say(folder.path)
    assert code == 2 and "the models of 4 of 6 trials were not kept, e.g. control-s1001: move the records" in err
    for seed in (1001, 1002):
        for record in (folder.path / layout.TRIALS).glob(f"*-s{seed}.jsonl"):
            record.rename(tmp_path / record.name)
    study = load_study(file, ["confirm.keep_models=all"])
    after, _ = run_here(study, tmp_path)
    assert {name: each.score for name, each in after.records.items()} == {
        name: each.score for name, each in before.records.items()
    }
    code, out, _ = say(folder.path, "--steps", 1)
    assert (
        code == 0 and "Without a test set, alpha was chosen on the data that is compared" in out and "to the bit" in out
    )


@pytest.mark.usefixtures("s3")
def test_results_in_a_bucket_are_interpolated_there(copied: Path, say: Say, tmp_path: Path) -> None:
    wanted = {alpha: own for alpha, own in found_in(copied).points.items() if alpha in (0.0, 1.0)}
    shutil.rmtree(copied / layout.INTERPOLATED)
    place = f"s3://studies/{tmp_path.name}/tiny"
    files, root = fsspec.url_to_fs(place)
    files.put(f"{copied}/", root, recursive=True)
    code, out, err = say(place, "--steps", 1)
    assert (code, err) == (0, "") and f"{place}/report.html" in out
    found = Interpolation.read(StudyFolder.at(place))
    assert found is not None and found.points.keys() == wanted.keys()
    for alpha, own in wanted.items():
        for name, record in own.items():
            assert without_clocks(found.points[alpha][name].history) == without_clocks(record.history)
    assert say(place, "--to", tmp_path / "model", "--alpha", 1)[0] == 0
    assert (tmp_path / "model" / "model.safetensors").is_file()
