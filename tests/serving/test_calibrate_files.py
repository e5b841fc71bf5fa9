"""Other normal recordings take over what p-values are ranks among."""

import numpy as np
import pytest

from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.evaluation.evaluate import evaluate
from flowasd.scoring.decision import HELD_OUT
from flowasd.serving.calibrate_files import calibrate_files
from flowasd.serving.enrol_files import enrol_files
from tests.run.recordings import copy_run, softer

pytestmark = pytest.mark.slow


@pytest.fixture
def workdir(run, tmp_path):
    return copy_run(run, tmp_path / "run")


@pytest.fixture
def fresh(test_clips, tmp_path):
    """Recordings of one machine that the run has never seen: test clips, made softer."""
    own = [path for path in test_clips if path.name.startswith("normal_id_02")]
    return softer(own, tmp_path / "fresh")


def test_p_values_become_ranks_among_the_recordings_and_scores_stay(workdir, fresh, test_clips):
    before = list(Detector.load(workdir).results(test_clips))
    text = calibrate_files(workdir, [str(path) for path in fresh], "id_02", None)
    assert text.startswith(f"The p-values of id_02 are ranks among {len(fresh)} normal recordings")
    detector = Detector.load(workdir)
    assert detector.kind_of_p_values("id_02") == HELD_OUT
    normal = [r.score for r in detector.results(fresh, "id_02")]
    for was, now in zip(before, detector.results(test_clips), strict=True):
        assert now.scores == was.scores
        expected = was.p_value
        if now.machine_id == "id_02":
            expected = (1 + sum(s >= now.score for s in normal)) / (1 + len(normal))
        assert now.p_value == pytest.approx(expected)


def test_a_machine_that_was_enrolled_is_calibrated_too(workdir, fresh, test_clips):
    enrolled = [path for path in test_clips if path.name.startswith("normal_id_02")]
    enrol_files(workdir, [str(path) for path in enrolled], "id_08", None)
    calibrate_files(workdir, [str(path) for path in fresh], "id_08", None)
    detector = Detector.load(workdir)
    assert detector.normal_clips["id_08"] == len(fresh)
    np.testing.assert_allclose(
        np.sort(detector.normal_scores("id_08")),
        np.sort([r.score for r in detector.results(fresh, "id_08")]),
    )


def test_recordings_that_the_run_has_seen_are_refused(workdir, fresh, test_clips):
    with pytest.raises(UserError, match="belong to the test split"):
        calibrate_files(workdir, [str(test_clips[0])], None, None)
    with pytest.raises(UserError, match="name normal recordings with --input"):
        calibrate_files(workdir, [], "id_02", None)
    calibrate_files(workdir, [str(path) for path in fresh], "id_02", None)
    calibrate_files(workdir, [str(path) for path in fresh], "id_02", None)  # the same again
    evaluate(workdir)
