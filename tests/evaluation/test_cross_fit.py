"""Where the scores come from that p-values are ranks among."""

import jax
import numpy as np
import pytest
from flax import nnx

from flowasd.data.source import open_source
from flowasd.detector import Detector
from flowasd.evaluation.alarms import decisions
from flowasd.evaluation.calibrate import calibrate_run
from flowasd.evaluation.cross_fit import WHOLE, folds
from flowasd.evaluation.evaluate import evaluate
from flowasd.evaluation.examples import ScoredClip
from flowasd.features.cache import source_features
from flowasd.scoring.decision import CROSS_FITTED, HELD_OUT
from flowasd.training.refit import refit
from flowasd.training.train import train
from tests.conftest import smoke_config
from tests.data.test_splits import make_clips


@pytest.mark.parametrize("count", [2, 3, 5])
def test_folds_deal_the_clips_of_every_machine_out_evenly(count):
    clips = [*make_clips(range(11)), *make_clips(range(1), ("id_06",))]
    fold = folds(clips, count, 0)
    for machine_id in ("id_00", "id_02", "id_04"):
        own = [f for f, clip in zip(fold, clips, strict=True) if clip.machine_id == machine_id]
        sizes = np.bincount(own, minlength=count)
        assert sizes.max() - sizes.min() <= 1
    assert fold[-1] == WHOLE  # an only clip is never left out
    np.testing.assert_array_equal(folds(clips[::-1], count, 0), fold[::-1])


@pytest.mark.slow
def test_training_again_on_all_clips_gives_the_flow_of_the_run(run):
    """So a fold's flow differs from the run's by its clips alone."""
    detector = Detector.load(run)
    source = open_source(detector.config.data, detector.config.seed)
    _, parts = source_features(source, detector.frontend, detector.config.data)
    features = parts["train"]
    machine = source.machine_index("train")
    config = detector.config.for_clips(len(machine))
    flow, statistics = refit(config, features, machine, detector.step, features)
    np.testing.assert_array_equal(statistics.mean, detector.statistics.mean)
    same = zip(*map(jax.tree.leaves, map(nnx.state, (flow, detector.flow))), strict=True)
    for again, once in same:
        np.testing.assert_allclose(again, once, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_every_training_clip_is_cross_fitted(run):
    detector = Detector.load(run)
    source = open_source(detector.config.data, detector.config.seed)
    counts = np.bincount(source.machine_index("train"))
    assert [*detector.normal_clips.values()] == counts.tolist()
    assert {detector.kind_of_p_values(m) for m in detector.known_ids} == {CROSS_FITTED}


@pytest.mark.slow
def test_enough_clips_are_held_out_and_scored_as_any_other(tmp_path):
    config = smoke_config({"data.calibration": 1})
    train(config, tmp_path)
    calibrate_run(tmp_path)
    detector = Detector.load(tmp_path)
    held_out = open_source(config.data, config.seed).splits["calibration"]
    assert len(held_out) == len(detector.machine_ids)
    for clip in held_out:
        assert detector.kind_of_p_values(clip.machine_id) == HELD_OUT
        (result,) = detector.results([clip.path])
        np.testing.assert_allclose(detector.normal_scores(clip.machine_id), result.score, rtol=1e-5)


@pytest.mark.slow
def test_alarms_are_counted_by_machine_and_label(evaluated):
    found = evaluate(evaluated, alpha=0.4, illustrated=False)
    for machine_id, counted in found.summary["decisions"]["machines"].items():
        own = [clip for clip in found.clips if clip.machine_id == machine_id]
        for name, label in (("normal", 0), ("anomalous", 1), ("unlabelled", None)):
            p = [clip.p_value for clip in own if clip.label == label]
            assert counted[name] == {"alarms": sum(v <= 0.4 for v in p), "clips": len(p)}
        assert counted["smallest_rate"] == 1 / (1 + counted["normal_clips"])
    unknown = ScoredClip("a.wav", "id_00", None, {}, 0.4)
    machines = decisions(Detector.load(evaluated), [unknown], 0.4)["machines"]
    assert machines["id_00"]["unlabelled"] == {"alarms": 1, "clips": 1}
