"""The original's flags become the right run, whichever way they are spelled."""

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simclip.cli.commands.original import parse
from simclip.cli.commands.original_flags import build_parser, flag_names
from simclip.data.placeholder import refuse_placeholder
from simclip.data.table import Table
from simclip.errors import InputError
from simclip.prepare.mnist import Digits
from simclip.train.config import TrainConfig

README = """--data-parallel --batch-size 1024 --val-batch-size 1024 --train_tsv=./datasets/coco_train.tsv
    --val_tsv=./datasets/coco_val.tsv --train-image-dir=/path/to/train/directory/
    --val-image-dir=/path/to/test/directory/ --num-epochs 20 --save-dir=/path/to/save/directory/
    --model-name=openai/clip-vit-base-patch32 --exp-name=clip_exp --synthesis --online-sim=text
    --max-iters-per-epoch 116 {} --seed 1"""
FIXED = README.format("--num-clusters=64 --synthesis-prop=1.0").split()
WARMUP = README.format("--warmup-prop --cluster-size 16 --synthesis-prop 1/512").split()
DATA = ["--train-tsv=t.tsv", "--train-image-dir=t", "--val-tsv=v.tsv", "--val-image-dir=v"]
SHIPPED = Path(__file__).parents[3] / "datasets"


def readme_config(**fields) -> TrainConfig:
    return TrainConfig(
        train_tsv=Path.cwd() / "datasets/coco_train.tsv",
        train_image_dir="/path/to/train/directory",
        val_tsv=Path.cwd() / "datasets/coco_val.tsv",
        val_image_dir="/path/to/test/directory",
        model="openai/clip-vit-base-patch32",
        cluster_size=16,
        neighborhood=1,
        similarity="text",
        embeddings="online",
        epochs=20,
        iterations_per_epoch=116,
        batch_size=1024,
        val_batch_size=1024,
        seed=1,
        **fields,
    )


def test_readme_command_with_a_fixed_proportion():
    run = parse(FIXED)
    assert run.config == readme_config(proportion=1.0)
    assert run.project == "clip_exp"
    assert run.name == "clip_exp-text+p1+k16+s1+seed1"
    assert run.save_dir == Path("/path/to/save/directory/text+p1+k16+s1+seed1")
    assert run.data_parallel
    assert run.notes == []


def test_readme_command_with_warmup():
    run = parse(WARMUP)
    doublings_before = [0] * 4 + [1] * 2 + [2] * 2 + [3] * 2 + [4] * 2 + [5] * 2 + [6] * 2 + [7] * 2 + [8] * 2
    proportions = [2.0**doublings / 512 for doublings in doublings_before]
    assert run.config == readme_config(proportion=0.5, proportions=proportions)
    assert run.save_dir == Path("/path/to/save/directory/warmup+text+p0.5+k16+s1+seed1")
    assert run.notes == [
        "p starts at 1/512 and doubles at epochs 4, 6, 8, 10, 12, 14, 16, 18: it ends at 1/2; ending at 1 needs 1/256"
    ]


def test_the_original_warmup_is_the_default_warmup_of_a_study():
    study = TrainConfig(proportion=0.5, proportion_warmup=True, epochs=20)
    assert parse(WARMUP).config.proportion_by_epoch == study.proportion_by_epoch


def test_the_two_readme_commands_share_no_folder():
    assert parse(FIXED).save_dir != parse(WARMUP).save_dir


def every_flag() -> dict[str, list[str]]:
    """Each flag with a value of its kind."""
    values = {
        "--online-sim": ["image"],
        "--synthesis-prop": ["1/2"],
        "--learning-rate": ["3e-5"],
        "--pretrain": ["True"],
    }
    flags = set(flag_names(build_parser()).values()) - {"--help"}
    bare = {"--data-parallel", "--synthesis", "--preprocess-neighbors"}
    return {flag: [] if flag in bare else values.get(flag, ["8"]) for flag in sorted(flags - {"--warmup-prop"})}


def test_every_flag_of_the_original_is_known():
    original = """--seed --model-name --preprocessor-path --exp-name --run-name --train-tsv --val-tsv --caption-keys
        --train-image-dir --val-image-dir --batch-size --val-batch-size --num-epochs --learning-rate
        --max-iters-per-epoch --save-dir --log-dir --save-freq --data-parallel --num-workers --pretrain --log-offset
        --synthesis --preprocess-neighbors --synthesis-prop --num-clusters --online-sim --neighborhood --warmup-prop
        --cluster-size --upweight-epochs --mnist-injection"""
    assert set(original.split()) | {"--mnist-dir"} == set(every_flag()) | {"--warmup-prop"}


@given(st.data())
def test_every_spelling_says_the_same(data):
    flags = every_flag() | {"--num-clusters": ["2"], "--cluster-size": ["2"]}
    words = []
    for flag, values in data.draw(st.permutations(list(flags.items()))):
        spelled = "--" + data.draw(st.sampled_from([flag[2:], flag[2:].replace("-", "_")]))
        joined = values and data.draw(st.booleans())
        words += [f"{spelled}={values[0]}"] if joined else [spelled, *values]
    plain = [word for flag, values in flags.items() for word in (flag, *values)]
    assert parse(words) == parse(plain)


def test_values_reach_their_fields():
    flags = "--seed 0 --learning-rate 3e-5 --num-workers 7 --preprocessor-path hub/other --pretrain True"
    config = parse([*DATA, *flags.split(), "--caption_keys", "a,b", "c"]).config
    assert config.seed == 0
    assert config.learning_rate == 3e-5
    assert config.data_workers == 7
    assert config.preprocessor == "hub/other"
    assert config.pretrain
    assert config.caption_columns == ["a", "b", "c"]


def test_defaults_are_the_originals():
    run = parse(DATA)
    assert run.config == TrainConfig(
        train_tsv=Path("t.tsv").absolute(),
        train_image_dir=Path("t").absolute(),
        val_tsv=Path("v.tsv").absolute(),
        val_image_dir=Path("v").absolute(),
        epochs=15,
    )
    assert run.config.is_control
    assert run.save_dir == Path.cwd() / "ckpts" / "plain+seed1"
    assert run.data_parallel


@pytest.mark.parametrize("flags", ["--data-parallel False --pretrain False --synthesis False", "--data_parallel=0"])
def test_switches_can_be_switched_off(flags):
    run = parse([*DATA, *flags.split()])
    assert not run.data_parallel
    assert not run.config.pretrain
    assert run.config.is_control


@pytest.mark.parametrize(
    ("flags", "similarity", "embeddings"),
    [("", "text", "offline"), ("--online-sim text", "text", "online"), ("--online-sim=image", "image", "online")],
)
def test_similarity_is_offline_text_unless_online(flags, similarity, embeddings):
    config = parse([*DATA, "--synthesis", "--num-clusters", "64", *flags.split()]).config
    assert (config.similarity, config.embeddings) == (similarity, embeddings)


@pytest.mark.parametrize(
    ("flags", "p", "k"),
    [
        ("", 1.0, 256),
        ("--num-clusters 64 --synthesis-prop 1/2", 0.5, 8),
        ("--num-clusters 64 --cluster-size 16", 1.0, 16),
        ("--cluster-size 12", 1.0, 12),
        ("--synthesis-prop 0.29 --batch-size 100 --num-clusters 29", 0.29, 1),
        ("--warmup-prop --synthesis-prop 1/64", 1.0, 4),
        ("--warmup-prop --synthesis-prop 1/512 --num-clusters 32 --num-epochs 20", 0.5, 16),
        ("--warmup-prop --synthesis-prop 1/3 --upweight-epochs 1 2,3 --cluster-size 5", 1.0, 5),
    ],
)
def test_cluster_size_and_final_proportion(flags, p, k):
    config = parse([*DATA, "--synthesis", *flags.split()]).config
    assert config.proportion == config.proportion_by_epoch[-1] == p
    assert config.cluster_size == k


def test_no_proportion_is_the_control():
    assert parse([*DATA, "--synthesis", "--synthesis-prop", "0"]).config.is_control


@given(
    st.integers(1, 12),
    st.lists(st.integers(0, 14), min_size=1, max_size=6),
    st.fractions(min_value=Fraction(1, 1000), max_value=Fraction(999, 1000), max_denominator=1000),
)
def test_warmup_follows_the_original_loop(epochs, doublings, initial):
    flags = f"--synthesis --warmup-prop --synthesis-prop {initial} --num-epochs {epochs} --cluster-size 1"
    run = parse([*DATA, *flags.split(), "--upweight-epochs", ",".join(map(str, doublings))])
    p, expected = float(initial), []
    for epoch in range(epochs):
        if epoch in doublings:
            p *= 2
        expected.append(min(1.0, p))
    assert run.config.proportions == pytest.approx(expected)
    assert len(run.notes) == 1


@pytest.mark.parametrize(
    ("flags", "folder", "name"),
    [
        ("--run-name fifth", "fifth", "e-fifth"),
        ("--log-dir logs/one", "logs/one", "e-one"),
        ("--log_dir=one --run_name=fifth", "one", "e-fifth"),
    ],
)
def test_names(flags, folder, name):
    run = parse([*DATA, "--exp-name", "e", "--save-dir", "saved", *flags.split()])
    assert run.save_dir == Path.cwd() / "saved" / folder
    assert run.name == name


def test_a_local_model_folder_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    config = parse([*DATA, "--model-name", "mine", "--preprocessor-path", "./mine"]).config
    assert config.model == config.preprocessor == str(tmp_path / "mine")


def test_digits_are_a_further_training_table_of_their_own_run(tmp_path):
    flags = f"--mnist-injection 50 --save-dir {tmp_path} --mnist_dir={tmp_path / 'mnist'} --seed 7"
    run = parse([*DATA, *flags.split()])
    folder = tmp_path / "mnist-50-seed7"
    assert run.config.train_tables == [Table(tsv=folder / "digits.tsv", image_dir=folder)]
    assert run.digits == Digits(tmp_path / "mnist", 50, 7, tmp_path)
    assert run.save_dir == tmp_path / "mnist50+plain+seed7"
    assert parse([*DATA, "--mnist-injection", "3"]).digits.source == Path.cwd() / "mnist_data"
    assert not list(tmp_path.iterdir())  # reading flags writes nothing


def test_without_digits_there_is_no_table():
    run = parse([*DATA, "--mnist-injection", "0"])
    assert run == parse(DATA)
    assert run.digits is None


@pytest.mark.parametrize(
    ("flags", "note"),
    [
        ("--log-offset 3 --preprocess-neighbors", "--log-offset, --preprocess-neighbors: accepted without effect"),
        ("--save_freq=5", "--save-freq: accepted without effect"),
        ("--cluster-size 8 --synthesis-prop 0.5", "plain fine-tuning: --synthesis-prop, --cluster-size not used"),
        ("--synthesis --num-clusters 64 --upweight-epochs 4", "--upweight-epochs is not used without --warmup-prop"),
        ("--synthesis --warmup-prop --synthesis-prop 1/2 --num-epochs 3", "p stays at 1/2: none of --upweight-epochs"),
        ("--synthesis --warmup-prop --synthesis-prop 1/3 --upweight-epochs 1,2 --num-epochs 4", "1, 2: it ends at 1"),
    ],
)
def test_what_a_flag_does_not_do_is_said(flags, note):
    assert any(note in line for line in parse([*DATA, *flags.split()]).notes)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--num-cluster 4", "--num-cluster: no such flag; did you mean --num-clusters?"),
        ("--cluster_sise=4", "--cluster-sise: no such flag; did you mean --cluster-size?"),
        ("stray", "stray: no such flag"),
        ("--synthesis --synthesis-prop 1/0", "'1/0' is not a number or a fraction"),
        ("--synthesis --synthesis-prop 3/2", "expected a share from 0 to 1"),
        ("--synthesis --synthesis-prop -0.1", "expected a share from 0 to 1"),
        ("--synthesis --num-clusters 60", "floor(pN) = 1024 .*which it must divide: 64 is the nearest"),
        ("--synthesis --num-clusters 0", "'0': expected a whole number of at least 1"),
        ("--synthesis --num-clusters 64 --cluster-size 8", "k = 16, but --cluster-size is 8"),
        ("--synthesis --synthesis-prop 1/4096", "floor(pN) = 0 .*raise --synthesis-prop"),
        ("--synthesis --cluster-size 2000", "cluster_size 2000 is larger than the 1024 clustered rows"),
        ("--synthesis --online-sim audio", "'audio'"),
        ("--synthesis --warmup-prop", "--warmup-prop needs a --synthesis-prop below 1"),
        ("--warmup-prop", "--warmup-prop needs --synthesis"),
        ("--synthesis --warmup-prop --synthesis-prop 0.1 --upweight-epochs 4,x", "'4,x': expected epochs such as"),
        ("--synthesis --upweight-epochs=-4", "'-4': expected epochs such as"),
        ("--seed -1", "--seed -1: .*greater than or equal to 0"),
        ("--seed one", "--seed: invalid int value: 'one'"),
        ("--seed", "--seed: expected one argument"),
        ("--learning-rate 0", "--learning-rate 0.0: .*greater than 0"),
        ("--num-workers=-2", "--num-workers -2: "),
        ("--pretrain maybe", "'maybe': expected True or False"),
        ("--batch-size 1", "--batch-size 1: "),
        ("--mnist-injection few", "'few': expected a whole number of at least 0"),
        ("--mnist-injection=-1", "'-1': expected a whole number of at least 0"),
        ("--caption-keys a,,b", "'a,,b': expected column names"),
    ],
)
def test_bad_flags_get_one_clear_line(flags, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(").replace(")", r"\)").replace("?", r"\?")) as error:
        parse([*DATA, *flags.split()])
    assert "\n" not in str(error.value)


def test_missing_data_is_named():
    with pytest.raises(InputError, match=r"^--train-image-dir, --val-tsv missing: "):
        parse(["--train_tsv", "t.tsv", "--val-image-dir", "v"])


def test_help_lists_the_flags_by_topic(capsys):
    with pytest.raises(SystemExit) as stop:
        parse(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "similarity clusters:" in text
    assert all(flag in text for flag in every_flag())


@pytest.mark.parametrize("name", ["coco_train.tsv", "coco_val.tsv"])
def test_shipped_placeholders_are_refused(name):
    with pytest.raises(InputError, match=f"{name}: this is the placeholder") as error:
        refuse_placeholder(SHIPPED / name)
    assert "\n" not in str(error.value)
    lines = (SHIPPED / name).read_text().splitlines()
    assert len(lines) == 2
    assert [len(line.split("\t")) for line in lines] == [6, 6]


@pytest.mark.parametrize("text", ["", "image\tcaption1\n", "image\tcaption1\na.jpg\tREPLACE-ME.jpg\n"])
def test_other_tables_are_not_placeholders(tmp_path, text):
    (tmp_path / "mine.tsv").write_text(text)
    refuse_placeholder(tmp_path / "mine.tsv")
