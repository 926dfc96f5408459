"""How CPUs and cards of unlike nodes are shared out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simclip.__main__ import whole_machine
from simclip.errors import InputError
from simclip.study.analysis.best import read_best
from simclip.study.analysis.reproduce import rerun
from simclip.study.execution.resources import (
    Cluster,
    Node,
    concurrency,
    device_notes,
    live_nodes,
    resolve_for_resume,
    resolved,
    with_recorded_numerics,
)
from simclip.study.spec.study import Resources, StudyConfig
from simclip.study.store.folder import StudyFolder

HEAD, BOX = Node(8, address="10.0.0.1"), Node(8, 1, "A100", address="10.0.0.2")
FOUR_CARDS = Node(32, 4, "A100", address="10.0.0.3")


def cluster(*nodes: Node) -> Cluster:
    return Cluster(nodes, dashboard=None)


def planned(*nodes: Node, **resources: Any) -> tuple[float | None, float | None, int]:
    """CPUs and GPUs per worker, and trials at a time."""
    study = resolved(StudyConfig(name="s", resources=Resources(**resources)), cluster(*nodes))
    return study.resources.cpus, study.resources.gpus, concurrency(study, cluster(*nodes))


@pytest.mark.parametrize(
    ("nodes", "resources", "expected"),
    [
        ([Node(8)], {}, (1, 0, 8)),
        ([Node(8)], {"cpus": 3}, (3, 0, 2)),
        ([Node(8)], {"cpus": 0.3}, (0.3, 0, 26)),
        ([Node(3), Node(3)], {"cpus": 2}, (2, 0, 2)),  # not three: a worker does not spread over nodes
        ([Node(2), Node(2)], {"workers": 3}, (1, 0, 1)),  # but the workers of a trial do
        ([FOUR_CARDS], {}, (8, 1, 4)),
        ([FOUR_CARDS], {"gpus": 0}, (1, 0, 32)),
        ([FOUR_CARDS], {"gpus": 0.25}, (2, 0.25, 16)),
        ([FOUR_CARDS], {"gpus": 1 / 3}, (2, 1 / 3, 12)),
        ([FOUR_CARDS], {"gpus": 0.75}, (8, 0.75, 4)),  # a quarter of each card stays free
        ([FOUR_CARDS], {"workers": 4}, (8, 1, 1)),
        ([FOUR_CARDS], {"workers": 3}, (8, 1, 1)),
        ([Node(2, 4)], {}, (0.5, 1, 4)),  # the cards decide, not the CPUs
        ([HEAD, BOX], {}, (8, 1, 1)),
        ([HEAD, BOX], {"gpus": 0}, (1, 0, 16)),
        ([HEAD, BOX], {"gpus": 0.5}, (4, 0.5, 2)),
        ([Node(64, 8), Node(4, 1)], {}, (4, 1, 9)),  # the share of the smaller node fits both
        ([Node(64, 8), Node(4, 1)], {"cpus": 8}, (8, 1, 8)),
        ([Node(8, 2), Node(8, 2)], {"workers": 2}, (4, 1, 2)),
        ([Node(8, 3), Node(8, 3)], {"workers": 2}, (2, 1, 3)),  # one of them over both nodes
    ],
)
def test_shares(nodes: list[Node], resources: dict[str, Any], expected: tuple[float, float, int]) -> None:
    assert planned(*nodes, **resources) == pytest.approx(expected)


@pytest.mark.parametrize("number", range(1, 12))
def test_equal_shares_of_a_card_fill_it(number: int) -> None:
    assert planned(Node(16, 2), gpus=1 / number, cpus=0.1)[2] == 2 * number
    assert planned(Node(16, 2), gpus=round(1 / number - 5e-5, 4), cpus=0.1)[2] == 2 * number  # as Ray rounds


def test_trials_at_a_time_are_limited_by_the_study() -> None:
    study = StudyConfig(name="s", max_concurrent=3)
    assert concurrency(resolved(study, cluster(FOUR_CARDS)), cluster(FOUR_CARDS)) == 3


@pytest.mark.parametrize(
    ("nodes", "resources", "said"),
    [
        ([HEAD, BOX], {"cpus": 16}, "1 workers with 16 CPUs and 1 GPUs each on one node, but no such worker fits any"),
        ([HEAD, HEAD], {"gpus": 1}, "no such worker fits any node of the cluster (2 nodes (10.0.0.1, ...): 8 CPUs)"),
        ([HEAD, BOX], {"workers": 2}, "only 1 such workers fit at a time of the cluster (node 10.0.0.1: 8 CPUs; "
                                      "node 10.0.0.2: 8 CPUs, 1 GPUs (A100)): lower resources.cpus, resources.gpus"),
        ([FOUR_CARDS], {"gpus": 1.5}, "resources.gpus: 1.5 is for one worker, which uses one card: for a trial on 2 "
                                      "cards set resources.workers to 2 and resources.gpus to 1"),
        ([FOUR_CARDS], {"gpus": 2}, "resources.workers to 2"),
        ([FOUR_CARDS], {"gpus": 0.5, "workers": 2}, "resources.gpus: 0.5 would put several of a trial's 2 workers on"),
    ],
)  # fmt: skip
def test_what_would_wait_forever_is_refused(nodes: list[Node], resources: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        planned(*nodes, **resources)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def ray_node(alive: bool = True, **resources: float) -> dict[str, Any]:
    """A node as `ray.nodes()` describes it."""
    return {"Alive": alive, "Resources": resources, "NodeManagerAddress": "10.0.0.2", "NodeID": "n"}


def test_nodes_as_ray_describes_them() -> None:
    a100 = {"CPU": 8.0, "GPU": 2.0, "accelerator_type:A100": 1.0, "memory": 1e9}
    found = [
        ray_node(CPU=8.0), ray_node(**a100), ray_node(alive=False, CPU=8.0), ray_node(memory=1e9),
        ray_node(CPU=10.0, GPU=1.0, **{"accelerator_type:M2-Pro": 1.0}),
        ray_node(CPU=10.0, GPU=1.0, **{"accelerator_type:M1": 1.0}),
        ray_node(CPU=4.0, GPU=1.0, **{"accelerator_type:M60": 1.0}),  # a Tesla
    ]  # fmt: skip
    there = [(node.cpus, node.gpus, node.card) for node in live_nodes(found)]
    assert there == [(8, 0, None), (8, 2, "A100"), (10, 0, None), (10, 0, None), (4, 1, "M60")]


def test_the_nodes_of_earlier_results() -> None:
    both = cluster(HEAD, BOX)
    assert [(n.cpus, n.gpus, n.card) for n in Cluster.of_record(both.recorded()).nodes] == [
        (8, 0, None),
        (8, 1, "A100"),
    ]
    assert Cluster.of_record({"cluster_cpus": 4.0, "cluster_gpus": 2.0}).nodes == (Node(4, 2),)  # of an earlier version


@pytest.mark.parametrize(
    ("nodes", "data_parallel", "expected"),
    [
        ([Node(8)], True, (1, 8, 0)),
        ([FOUR_CARDS], False, (1, 32, 1)),
        ([FOUR_CARDS], True, (4, 8, 1)),
        ([HEAD, BOX], False, (1, 8, 1)),
        ([Node(64), BOX], True, (1, 8, 1)),
        ([Node(8, 2), Node(4, 2)], True, (4, 2, 1)),
    ],
)
def test_the_originals_run_takes_whole_nodes(
    nodes: list[Node], data_parallel: bool, expected: tuple[int, float, float]
) -> None:
    taken = whole_machine(cluster(*nodes), data_parallel)
    assert (taken.workers, taken.cpus, taken.gpus) == expected
    resolved(StudyConfig(name="s", resources=taken), cluster(*nodes))


AMPERE = Node(8, 1, "NVIDIA A100-SXM4-80GB", bf16=True)
TURING = Node(8, 1, "Tesla T4", bf16=False)


@pytest.mark.parametrize(
    ("nodes", "fields", "precision", "notes"),
    [
        ([Node(8)], {}, "fp32", []),
        ([AMPERE, AMPERE], {}, "bf16", []),
        ([TURING], {}, "fp32", []),
        ([AMPERE, TURING], {}, "fp32", ["The cards differ (NVIDIA A100-SXM4-80GB, Tesla T4): all trials compute in fp32"
                                        ", since Tesla T4 has no bf16; each trial's record names its card"]),
        ([AMPERE, TURING], {"train": {"precision": "bf16"}}, "bf16", [
            "The cards differ (NVIDIA A100-SXM4-80GB, Tesla T4): all trials compute in bf16; each trial's record names "
            "its card"]),
        # The small node has no room for a worker.
        ([AMPERE, Node(1, 1, "Tesla T4", bf16=False)], {"resources": {"cpus": 4}}, "bf16", []),
        ([AMPERE], {"resources": {"gpus": 0}}, "fp32", [
            "resources.gpus is 0: the trials run on CPUs, and no GPU is used (1 are there)"]),
        ([Node(8, 1, "A100")], {}, "auto", []),  # not seen by PyTorch: each trial chooses, or says what is wrong
    ],
)  # fmt: skip
def test_one_precision_for_all_trials(
    nodes: list[Node], fields: dict[str, Any], precision: str, notes: list[str]
) -> None:
    study = resolved(StudyConfig.model_validate({"name": "s", **fields}), cluster(*nodes))
    assert study.train.precision == precision
    assert device_notes(study, cluster(*nodes)) == notes


def test_later_runs_compute_as_the_first_did(tmp_path: Path) -> None:
    """On other cards too; results of an earlier version, whose trials chose by themselves, go on so."""
    study, folder = StudyConfig.model_validate({"name": "s", "train": {"threads": 1}}), StudyFolder(tmp_path / "s")
    for first, recorded in ((cluster(AMPERE), "bf16"), (cluster(TURING), "fp32"), (None, "auto")):
        folder.file.unlink(missing_ok=True)
        folder.claim(resolve_for_resume(study, first, folder) if first else study)
        for later in (AMPERE, TURING, Node(4)):
            again = resolve_for_resume(study, cluster(later), folder)
            assert again.train.precision == recorded
            folder.check_claim(again)
        folder.check_claim(with_recorded_numerics(study, folder))
        other = study.model_copy(update={"train": study.train.model_copy(update={"precision": "bf16"})})
        assert resolve_for_resume(other, cluster(TURING), folder).train.precision == "bf16"  # which claim() refuses


@pytest.mark.usefixtures("ended")
def test_a_trial_is_reproduced_on_a_smaller_machine_of_its_kind(tmp_path: Path) -> None:
    best = read_best(tmp_path / "tiny")
    assert best.train.precision == "fp32"  # resolved and recorded
    on_sixteen = best.model_copy(update={"resources": Resources(cpus=16, gpus=0)})
    again = resolved(rerun(on_sixteen), cluster(Node(4)))
    assert (again.resources.cpus, again.train.threads, again.train.precision) == (1, best.train.threads, "fp32")
    on_a_card = best.model_copy(update={"resources": Resources(cpus=16, gpus=1)})
    with pytest.raises(InputError, match="no such worker fits any node"):
        resolved(rerun(on_a_card), cluster(Node(4)))
