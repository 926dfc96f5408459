import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

import simclip
from simclip.errors import InputError
from simclip.study.spec.study import StudyConfig
from simclip.study.store.study_file import dump, load_study, locate
from simclip.train.config import TrainConfig

STUDY = """
name: small
train: {train_tsv: a.tsv, train_image_dir: images, batch_size: 64, epochs: 4, learning_rate: 1e-5}
parameters:
  cluster_size: {values: [1, 4, 8]}
  proportion: {values: [0, 1/2, 1]}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(STUDY)
    return path


def test_a_study_is_read(file):
    study = load_study(file)
    assert study.train.learning_rate == 1e-5 and study.train.batch_size == 64
    assert study.parameters["proportion"].values == [0.0, 0.5, 1.0]
    assert (study.seeds, study.searcher, study.scheduler, study.trials) == ([1], "grid", "none", None)
    assert (study.resources.workers, study.keep_models) == (1, 3)


def test_overrides_set_what_they_name(file):
    words = ["train.epochs=2", "seeds=[3, 4]", "parameters.cluster_size.values=[2]", "resources.gpus=1/2"]
    with pytest.raises(InputError, match=r"^override 'resources.gpus=1/2': resources.gpus: should be a valid number"):
        load_study(file, words)
    study = load_study(file, [*words[:-1], "resources.gpus=0.5", "metric={val/loss: 2, rare/loss: 1}"])
    assert (study.train.epochs, study.seeds, study.resources.gpus) == (2, [3, 4], 0.5)
    assert study.parameters["cluster_size"].values == [2]
    assert study.train.metric == study.metric == {"val/loss": 2.0, "rare/loss": 1.0}
    assert study.train.mode == study.mode == "min"


def test_the_last_override_wins_and_makes_mappings(file):
    study = load_study(file, ["train.epochs=2", "train.epochs=3", "parameters.similarity.values=[text, image]"])
    assert study.train.epochs == 3
    assert study.parameters["similarity"].values == ["text", "image"]


def test_shared_fields_need_fit_only_together_with_an_arm(file):
    load_study(file, ["train.cluster_size=512", "train.proportion=0.01", "parameters.proportion.values=[1/2]"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["foo"], "override 'foo': expected key=value, such as train.epochs=2"),
        (["=1"], "override '=1': expected key=value, such as train.epochs=2"),
        (["a..b=1"], "override 'a..b=1': expected key=value, such as train.epochs=2"),
        (["seeds=[1"], "override 'seeds=[1': not valid YAML: expected ',' or ']', but got '<stream end>'"),
        (["train.epochs.x=1"], "override 'train.epochs.x=1': train.epochs is a number and has no keys"),
        (["sedes=[1]"], "override 'sedes=[1]': sedes: unknown key; did you mean seeds?"),
        (["train.epocs=1"], "override 'train.epocs=1': train.epocs: unknown key; did you mean epochs?"),
        (["resources.gpu=1"], "override 'resources.gpu=1': resources.gpu: unknown key; did you mean gpus?"),
        (
            ["resources.gpus=1.5"],
            "override 'resources.gpus=1.5': resources.gpus: 1.5 is for one worker, which uses one card: for a trial on "
            "2 cards set resources.workers to 2 and resources.gpus to 1",
        ),
        (
            ["resources.gpus=0.5", "resources.workers=2"],
            "override 'resources.gpus=0.5': resources.gpus: 0.5 would put several of a trial's 2 workers on one card, "
            "which NCCL refuses: set resources.gpus to 1, or resources.workers to 1",
        ),
        (
            ["asha.grace_perod=1"],
            "override 'asha.grace_perod=1': asha.grace_perod: unknown key; did you mean grace_period?",
        ),
        (
            ["parameters.cluster_size={valus: [1]}"],
            "override 'parameters.cluster_size={valus: [1]}': parameters.cluster_size.valus: unknown key; "
            "did you mean values?",
        ),
        (
            ["train.train_tables=[{tsb: a, image_dir: b}]"],
            "override 'train.train_tables=[{tsb: a, image_dir: b}]': train.train_tables[0].tsb: unknown key; "
            "did you mean tsv? (and 1 more)",
        ),
        (
            ["parameters.cluster_sise.values=[1]"],
            "override 'parameters.cluster_sise.values=[1]': parameters.cluster_sise: unknown training field; "
            "did you mean cluster_size?",
        ),
        (
            ["parameters.warm.values=[{proportoin: 1}]"],
            "override 'parameters.warm.values=[{proportoin: 1}]': parameters.warm.values[0].proportoin: "
            "unknown training field; did you mean proportion?",
        ),
        (
            ["parameters.warm.values=[{epochs: 1}, {epsilon: 1}]"],
            "override 'parameters.warm.values=[{epochs: 1}, {epsilon: 1}]': parameters.warm.values[1]: "
            "sets other fields than the first value: linked fields vary together",
        ),
        (
            ["parameters.warm.values=[{proportion: 1}]"],
            "override 'parameters.warm.values=[{proportion: 1}]': parameters.warm: sets proportion, "
            "which proportion also sets",
        ),
        (
            ["parameters.seed.values=[1, 2]"],
            "override 'parameters.seed.values=[1, 2]': parameters.seed: seed cannot be searched; "
            "set the study's seeds instead",
        ),
        (
            ["parameters.proportion.values=[0, 3/2]"],
            "override 'parameters.proportion.values=[0, 3/2]': parameters.proportion.values[1]: "
            "should be less than or equal to 1; got '3/2'",
        ),
        (
            ["parameters.proportion={min: 0.1, max: 2.0}", "searcher=random", "trials=2"],
            "override 'parameters.proportion={min: 0.1, max: 2.0}': parameters.proportion.max: "
            "should be less than or equal to 1; got 2.0",
        ),
        (
            ["parameters.cluster_size={min: 1.5, max: 8.0}"],
            "override 'parameters.cluster_size={min: 1.5, max: 8.0}': parameters.cluster_size: a range of fractions "
            "does not fit this field: use whole numbers (int_uniform, or a whole q), or values",
        ),
        (["seeds=[1, 1]"], "override 'seeds=[1, 1]': seeds: 1 is used twice"),
        (["seeds=[1000]"], "override 'seeds=[1000]': seeds[0]: should be less than 1000; got 1000"),
        (["searcher=gird"], "override 'searcher=gird': searcher: should be 'grid', 'optuna' or 'random'; got 'gird'"),
        (["name=a/b"], "override 'name=a/b': name: should match pattern '^[A-Za-z0-9][A-Za-z0-9_.-]*$'; got 'a/b'"),
        (["train=3"], "override 'train=3': train: should be a mapping; got 3"),
    ],
)
def test_a_wrong_override_is_one_line(file, words, said):
    with pytest.raises(InputError) as error:
        load_study(file, words)
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train.seed=2"], "train.seed: every arm runs on the study's seeds; set seeds: [...] instead"),
        (["train.mode=min"], "train.mode: differs from the study's mode 'max'; set mode there alone"),
        (["searcher=random"], "trials: missing; searcher random needs the number of settings to try"),
        (["searcher=optuna", "trials=3", "seeds=[1, 2]"], "seeds: ASHA and Optuna search on one seed; give one, not 2"),
        (["scheduler=asha", "seeds=[1, 2]"], "seeds: ASHA and Optuna search on one seed; give one, not 2"),
        (["trials=3"], "trials: a grid runs every combination; drop trials, or set searcher to random or optuna"),
        (
            ["parameters={epochs: {value: 2}}", "searcher=optuna", "trials=3"],
            "parameters: none of them varies, so that searcher optuna has nothing to search",
        ),
        (
            ["parameters.proportion={min: 0.5, max: 1.0}"],
            "parameters.proportion: a grid cannot visit a continuous range; give values, or set searcher to random "
            "or optuna",
        ),
        (
            ["parameters.cluster_size.values=[1, 64]"],
            "arm k64-p0.5: cluster_size 64 is larger than the 32 clustered rows of a batch (p = 0.5 of batch_size 64): "
            "lower k, or raise p or N",
        ),
        (
            ["parameters={cluster_size: {min: 33, max: 64}, proportion: {value: 0.5}}", "searcher=optuna", "trials=3"],
            "arm k33: cluster_size 33 is larger than the 32 clustered rows of a batch (p = 0.5 of batch_size 64): "
            "lower k, or raise p or N",
        ),
        (
            ["parameters.epochs.values=[1, 2, 3]", "parameters.log_every={min: 1, max: 2000}"],
            "parameters: a grid of 54000 combinations: cut it down, or search by random or optuna",
        ),
    ],
)
def test_a_wrong_study_is_one_line_that_names_the_file(file, words, said):
    with pytest.raises(InputError) as error:
        load_study(file, words)
    assert str(error.value) == f"{file}: {said}"


@pytest.mark.parametrize("searcher", ["random", "optuna"])
def test_a_continuous_proportion_may_fall_short_for_some_settings(file, searcher):
    words = ["parameters.proportion={min: 0, max: 1}", f"searcher={searcher}", "trials=3"]
    assert load_study(file, words).trials == 3
    with pytest.raises(InputError, match="cluster_size 4 is larger than the"):
        load_study(file, [*words, "parameters={cluster_size: {value: 4}, proportion: {min: 0, max: 0.05}}"])


def test_files_that_are_none(tmp_path):
    def said(text):
        (tmp_path / "x.yaml").write_bytes(text)
        with pytest.raises(InputError) as error:
            load_study(tmp_path / "x.yaml")
        assert "\n" not in str(error.value)
        return str(error.value).removeprefix(str(tmp_path / "x.yaml"))

    assert said(b"- 1\n- 2") == ": expected a mapping such as 'name: demo' and 'train: ...', not a list"
    assert said(b"").endswith("not nothing")
    assert said(b"name: a\ntrain: {\n") == (
        ", line 3: not valid YAML: expected the node content, but found '<stream end>'"
    )
    assert said(b"name: a\nseeds: [1]\nseeds: [2]\n") == ", line 3: not valid YAML: seeds is used twice"
    assert said(b"seeds: [1]\n") == ": name: missing"
    assert "cannot be read as text" in said(b"name: \xff\xfe")
    assert said(b"name: a\x00b").startswith(": not valid YAML")
    with pytest.raises(InputError, match=r"y\.yaml: no such file; did you mean x\.yaml\?"):
        load_study(tmp_path / "y.yaml")
    with pytest.raises(InputError, match="a folder, expected a study file"):
        load_study(tmp_path)


def test_paths_are_found_from_here_first_then_from_the_project(tmp_path, monkeypatch):
    (tmp_path / "my-model").mkdir()
    (tmp_path / "here.tsv").touch()
    (tmp_path / "s.yaml").write_text(
        """
name: paths
train:
  train_tsv: here.tsv
  train_image_dir: simclip
  model: my-model
  preprocessor: openai/clip-vit-base-patch32
  train_tables: [{tsv: nowhere.tsv, image_dir: ~/images}]
  evaluate: [{kind: classification, name: c, image_dir: simclip, class_names: {model: my-model}}]
parameters:
  model: {values: [my-model, other]}
  data: {values: [{val_tsv: here.tsv, val_image_dir: simclip}]}
"""
    )
    monkeypatch.chdir(tmp_path)
    study = load_study(Path("s.yaml"))
    shipped = Path(simclip.__file__).parent
    train = study.train
    assert (train.train_tsv, train.train_image_dir) == (tmp_path / "here.tsv", shipped)
    assert (train.model, train.preprocessor) == (str(tmp_path / "my-model"), "openai/clip-vit-base-patch32")
    assert (train.train_tables[0].tsv, train.train_tables[0].image_dir) == (
        tmp_path / "nowhere.tsv",
        Path.home() / "images",
    )
    assert train.evaluate[0].image_dir == shipped and train.evaluate[0].class_names == {"model": "my-model"}
    assert study.parameters["model"].values == [str(tmp_path / "my-model"), "other"]
    assert study.parameters["data"].values == [{"val_tsv": tmp_path / "here.tsv", "val_image_dir": shipped}]
    (tmp_path / "simclip").mkdir()
    assert locate(Path("simclip")) == tmp_path / "simclip"


def test_a_train_config_may_be_given_as_such():
    study = StudyConfig(name="x", train=TrainConfig(epochs=3), metric="a/b")
    assert (study.train.epochs, study.train.metric) == (3, "a/b")


ranges = st.sampled_from(
    [
        {"min": 1, "max": 8},
        {"min": 2, "max": 8, "q": 2, "distribution": "q_uniform"},
        {"min": 2, "max": 8, "q": 2, "distribution": "q_log_uniform_values"},
    ]
)
texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)
studies = st.fixed_dictionaries(
    {"name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True)},
    optional={
        "description": texts,
        "metric": texts
        | st.dictionaries(texts, st.floats(-2, 2), max_size=3).filter(lambda weights: sum(weights.values()) > 0),
        "mode": st.just("max"),
        "seeds": st.lists(st.integers(0, 999), min_size=1, max_size=4, unique=True),
        "keep_models": st.integers(1, 9),
        "resources": st.fixed_dictionaries({}, optional={"gpus": st.floats(0, 1)})
        | st.fixed_dictionaries({"workers": st.integers(1, 8)}, optional={"gpus": st.sampled_from([0, 1])}),
        "train": st.fixed_dictionaries(
            {"batch_size": st.just(64)},
            optional={
                "learning_rate": st.floats(1e-12, 1) | st.just("1e-5"),
                "train_tables": st.lists(st.just({"tsv": "a b.tsv", "image_dir": "x"}), max_size=1),
                "caption_columns": st.none() | st.lists(texts, min_size=1, max_size=2),
                "crop_scale": st.just([0.5, 1]),
            },
        ),
        "parameters": st.fixed_dictionaries(
            {},
            optional={
                "cluster_size": ranges | st.fixed_dictionaries({"values": st.lists(st.integers(1, 8), min_size=1)}),
                "proportion": st.just({"values": ["1/2", 0, 1.0]}) | st.just({"value": "1/2"}),
                "similarity": st.just({"values": ["image", "text"]}),
                "lr": st.just({"values": [{"learning_rate": None, "epochs": 2}, {"learning_rate": 3e-7, "epochs": 3}]}),
                "crop_scale": st.just({"values": [[0.1, 1], [0.5, 1]]}),
            },
        ),
    },
)


@given(studies)
@example({"name": "breaks", "description": "next\x85line\u2028and\u2029paragraph\n"})
@settings(max_examples=60, deadline=None)
def test_what_is_dumped_is_read_back_equal(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "study.yaml")
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        study = load_study(path)
        path.write_text(dump(study), encoding="utf-8")
        assert load_study(path) == study
        assert dump(load_study(path)) == dump(study)
