"""The study of pseudo-labels, on densities whose truth is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from experiments.clips.pooled import Pooled
from experiments.pseudo_labels.pools import evaluation_set, pools, with_causes, wrong
from experiments.pseudo_labels.rounds import Gaussians, once, surest, twice
from experiments.pseudo_labels.tables import Row, tables
from flowasd.data.clips import Clip
from flowasd.data.simulated.corpus import corpus_clip
from flowasd.data.simulated.slide_rail import CAUSES
from flowasd.errors import UserError
from tests.conftest import smoke_config
from tests.experiments.conftest import experiment
from tests.experiments.test_clips import POOLED
from tests.experiments.test_commands import rows_of

BANDS = 3
COVARIANCE = np.array([[4.0, 1.5, 0.0], [1.5, 1.0, 0.0], [0.0, 0.0, 2.0]])
FAULT = np.array([1.0, -1.0, 2.0])  # what a fault adds, in dB


def made(seed, normal, anomalous):
    """Clips of two machines, so many of each; the second machine is 10 dB louder."""
    rng = np.random.default_rng(seed)
    clips, x = [], []
    for m, machine_id in enumerate(("id_00", "id_02")):
        for label, count in ((0, normal), (1, anomalous)):
            x.append(rng.multivariate_normal(10.0 * m + FAULT * label, COVARIANCE, count))
            clips += [Clip(Path(f"{label}_{i}.wav"), machine_id, label) for i in range(count)]
    return Pooled.of(clips, np.concatenate(x).astype(np.float32))


def labels_of(data, chosen):
    return [data.clips[i].label for i in chosen]


def test_a_pool_has_the_share_of_anomalous_clips_of_every_machine():
    data = made(0, 40, 100)
    found = [*pools(data, seed=1)]
    counts = {(p.view, p.anomalies): labels_of(data, p.clips) for p in found}
    for (view, name), labels in counts.items():
        normal = 2 * (40 if view == "transductive" else 20)
        anomalous = {"none": 0, "few": normal / 19, "half": normal, "all": 2.5 * normal}[name]
        assert labels.count(0) == normal
        assert labels.count(1) == pytest.approx(anomalous, abs=2)
        assert name != "few" or labels.count(1) > 0
    every = {(v, n) for v in ("transductive", "inductive") for n in ("none", "few", "half", "all")}
    assert counts.keys() == every - {("transductive", "none")}


def test_an_inductive_pool_is_tested_on_other_clips_and_a_transductive_one_on_its_own():
    data = made(0, 40, 100)
    for pool in pools(data, seed=1):
        if pool.view == "transductive":
            assert pool.test.tolist() == pool.clips.tolist()
        else:
            assert not {*pool.test} & {*pool.clips}
            assert sorted(labels_of(data, pool.test)) == [0] * 40 + [1] * 100


def test_a_pool_with_the_clips_of_another_is_left_out():
    names = [pool.anomalies for pool in pools(made(0, 20, 20), seed=0)]
    assert "half" in names
    assert "all" not in names


def test_other_faults_are_of_causes_that_the_pool_does_not_have():
    """The causes of SIMULATED clips are those that the corpus itself tells."""
    plain = made(0, 8, 8)
    names = [
        f"{'anomaly' if c.label else 'normal'}_{c.machine_id}_{i % 8:08d}.flac"
        for i, c in enumerate(plain.clips)
    ]
    clips = [replace(c, path=Path(name)) for c, name in zip(plain.clips, names, strict=True)]
    data = with_causes(plain._replace(clips=tuple(clips)))
    found = [pool for pool in pools(data, seed=1) if pool.view == "other faults"]
    assert len(found) == 2
    for pool in found:
        assert not {*pool.test} & {*pool.clips}
        causes = [
            {
                corpus_clip(0, "test", "anomaly", c.machine_id, int(c.path.stem[-8:])).cause
                for c in (data.clips[i] for i in own)
                if c.label
            }
            for own in (pool.clips, pool.test)
        ]
        assert causes[0] | causes[1] == {*CAUSES}
        assert not causes[0] & causes[1]
        assert labels_of(data, pool.clips).count(0) == labels_of(data, pool.clips).count(1) == 8


def test_the_surest_are_both_ends_of_every_machine():
    machine = np.array([0, 1] * 10)
    score = np.where(machine == 0, 1.0, -1.0) * np.arange(20)
    chosen = surest(score, machine, 0.2)
    assert sorted(chosen[0]) == [0, 2, 17, 19]
    assert sorted(chosen[1]) == [1, 3, 16, 18]
    assert [len(own) for own in surest(score, machine, 0.01).values()] == [2, 2]


def test_wrong_pseudo_labels_are_counted_by_machine():
    data = made(0, 2, 2)  # of each machine two normal clips, then two anomalous ones
    chosen = {0: np.array([0, 2, 4]), 1: np.array([2, 3, 5, 6])}
    assert wrong(data, chosen, "id_00") == (0.5, 0.0)
    assert wrong(data, chosen, "id_02") == (0.0, 0.5)


def test_with_true_labels_the_discriminant_finds_as_many_faults_as_can_be_found():
    """The best AUC of two Gaussians that differ by a shift is Φ(d / √2), d in Mahalanobis."""
    train, pool, test = made(0, 3000, 0), made(1, 3000, 3000), made(2, 3000, 3000)
    labels = np.array(labels_of(pool, range(len(pool.clips))))
    chosen = {label: np.flatnonzero(labels == label) for label in (0, 1)}
    distance = np.sqrt(FAULT @ np.linalg.solve(COVARIANCE, FAULT))
    best = norm.cdf(distance / np.sqrt(2))
    truth = np.array(labels_of(test, range(len(test.clips))))
    scores = twice(train, pool, chosen, test)
    own = test.machine == 1
    for head in ("negatives", "both"):
        assert roc_auc_score(truth[own], scores[head][own]) == pytest.approx(best, abs=0.01)
    # Right clips that join do not change a density that was right.
    assert np.corrcoef(scores["positives"], once(train, test))[0, 1] > 0.999


def test_the_energy_is_that_of_the_density():
    train = made(0, 5000, 0)
    x, own = train.x[::500], train.machine[::500]
    found = Gaussians.of(train.x, train.machine).energy(x, own)
    away = x - 10.0 * own[:, None]
    expected = 0.5 * (away * np.linalg.solve(COVARIANCE, away.T).T).sum(1)
    np.testing.assert_allclose(found, expected, rtol=0.1, atol=0.05)


def test_no_score_reads_a_label():
    train, pool, test = made(0, 50, 0), made(1, 30, 30), made(2, 30, 30)
    hidden = [
        data._replace(clips=tuple(replace(clip, label=None) for clip in data.clips))
        for data in (train, pool, test)
    ]
    chosen = surest(once(train, pool), pool.machine, 0.2)
    seen, unseen = twice(train, pool, chosen, test), twice(hidden[0], hidden[1], chosen, hidden[2])
    for head, score in seen.items():
        np.testing.assert_array_equal(score, unseen[head])


@pytest.fixture(scope="module")
def official(development_set, tmp_path_factory):
    """The built-in corpus as the organisers' evaluation set: no name in test/ tells a label."""
    root = tmp_path_factory.mktemp("official") / "slider"
    for part in ("train", "test"):
        (root / part).mkdir(parents=True)
    for path in development_set.glob("train/*.flac"):
        (root / "train" / path.name).symlink_to(path)
    lines = ["slider"]
    for i, path in enumerate(sorted(development_set.glob("test/*.flac"), key=lambda p: p.name[8:])):
        state, rest = path.name.split("_", 1)
        name = f"{rest[:5]}_{i:08d}.flac"
        (root / "test" / name).symlink_to(path)
        lines.append(f"{Path(name).stem}.wav,{state}_{name[:14]}.wav,{int(state == 'anomaly')}")
    (root / "list.csv").write_text("\n".join(lines))
    return root


def test_the_official_list_labels_the_evaluation_set(official):
    _, test = evaluation_set(official, official / "list.csv", smoke_config(POOLED))
    assert test.clips
    for clip in test.clips:
        assert clip.label == int(clip.path.resolve().name.startswith("anomaly"))


def test_a_list_of_other_clips_is_refused(official, tmp_path):
    lines = (official / "list.csv").read_text().splitlines()
    (tmp_path / "short.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(UserError, match="1 clips are not in the list"):
        evaluation_set(official, tmp_path / "short.csv", smoke_config(POOLED))


def test_tables_average_seeds_and_machines():
    def row(clips, seed, view, auc, twice=None):
        areas = [auc, 0.5] * 5
        setting = ("fold 0", clips, seed, view, 0, "half", 0.2, "id_00", 0.25, 0.0)
        return Row._make([*setting, *areas, twice, twice])

    rows = [row(20, 0, "transductive", 0.1), row(80, 0, "inductive", 0.3)]
    rows += [row(80, 0, "transductive", 0.7, 0.6), row(80, 1, "transductive", 0.9, 0.8)]
    by_share, by_machine, by_clips, flows = (t.splitlines()[2:] for t in tables(rows).split("\n\n"))
    one, two = "30.0 / 50.0", "80.0 ± 14.1 / 50.0 ± 0.0"
    assert by_share == [
        f"| inductive | half | 20 % | 25.0 | 0.0 | {' | '.join([one] * 5)} |",
        f"| transductive | half | 20 % | 25.0 ± 0.0 | 0.0 ± 0.0 | {' | '.join([two] * 5)} |",
    ]
    assert by_machine == [f"| half | id_00 | 25.0 | 0.0 | {' | '.join([one] * 5)} |"]
    cells = [line.split(" | ") for line in by_clips]
    assert [(own[0], own[1]) for own in cells] == [
        ("| inductive", "80"),
        ("| transductive", "20"),
        ("| transductive", "80"),
    ]
    twice = "70.0 ± 14.1 / 70.0 ± 14.1"
    assert flows == [f"| id_00 | 25.0 ± 0.0 | 0.0 ± 0.0 | {two} | {twice} |"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--labels=list.csv"], "with --data"), (["--data=nowhere"], "no .wav or .flac clip")],
)
def test_wrong_use_is_one_line_and_status_2(arguments, words, tmp_path):
    result = experiment("pseudo_labels", *arguments, f"--workdir={tmp_path}")
    assert result.status == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("experiments: ")
    assert words in line


@pytest.mark.slow
def test_the_command_takes_the_official_list(official, tmp_path):
    workdir = f"--workdir={tmp_path}"
    chosen = (f"--labels={official / 'list.csv'}", "--clips=5", "--seeds=0", workdir)
    result = experiment("pseudo_labels", f"--data={official}", *chosen)
    assert result.status == 0, result.stderr
    assert (tmp_path / "tables.md").read_text() in result.stdout
    rows = rows_of(tmp_path / "results.csv")
    assert {row["corpus"] for row in rows} == {"evaluation set"}
    assert {(row["view"], row["anomalies"]) for row in rows} >= {
        ("inductive", "none"),
        ("inductive", "half"),
        ("transductive", "half"),
    }
    # Without an anomalous clip in the pool every clip that is taken for one is taken wrongly.
    assert {row["wrong_anomalous"] for row in rows if row["anomalies"] == "none"} == {"1.0"}
    assert {row["wrong_normal"] for row in rows if row["anomalies"] == "none"} == {"0.0"}
    assert any(row["flow_twice_auc"] for row in rows)
