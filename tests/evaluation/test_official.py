"""The challenge's figures against their definitions, computed with scikit-learn and SciPy."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hmean
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from flowasd.evaluation.official import (
    LEAST,
    Judgement,
    harmonic_mean,
    table_2020,
    table_2021,
    table_2022,
)

DOMAINS = ("source", "target")


@st.composite
def judgements(draw):
    """Clips of three sections, whose scores have ties."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    return [
        Judgement(group, domain, label, float(score), bool(score > 5))
        for group in ("section_00", "section_01", "section_02")
        for domain in DOMAINS
        for label in (0, 1)
        for score in np.round(rng.normal(4 + 2 * label, 2, size=rng.integers(1, 12)))
    ]


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.array(found, float), expected, rtol=1e-9, atol=1e-12)


def auc(clips, **how):
    return roc_auc_score([c.label for c in clips], [c.score for c in clips], **how)


def where(clips, group, domain=None):
    return [c for c in clips if c.group == group and domain in (None, c.domain)]


@given(judgements())
def test_2020_is_the_arithmetic_mean_over_ids(clips):
    table = table_2020(clips)
    groups = sorted({c.group for c in clips})
    expected = [(auc(where(clips, g)), auc(where(clips, g), max_fpr=0.1)) for g in groups]
    close([*table.rows.values()], expected)
    close(table.score(), np.mean(expected))


@given(judgements())
def test_2021_is_the_harmonic_mean_over_sections_and_domains(clips):
    table = table_2021(clips)
    expected = []
    for (group, domain), row in table.rows.items():
        own = where(clips, group, domain)
        expected += [auc(own), auc(own, max_fpr=0.1)]
        close(row[:2], expected[-2:])
    assert len(expected) == 12
    close(table.score(), hmean(np.maximum(expected, LEAST)))


@given(judgements())
def test_2022_sets_a_domains_normal_clips_against_all_anomalous_ones(clips):
    table = table_2022(clips)
    expected = []
    for (group,), row in table.rows.items():
        own = where(clips, group)
        figures = [
            auc([c for c in own if c.label == 1 or c.domain == domain]) for domain in DOMAINS
        ]
        figures.append(auc(own, max_fpr=0.1))
        expected += figures
        scores: list[Any] = [precision_score, recall_score, f1_score]
        for score in scores:
            for domain in DOMAINS:
                inside = where(clips, group, domain)
                truth, said = [c.label for c in inside], [int(c.alarm) for c in inside]
                figures.append(score(truth, said, zero_division=0))
        close(row, figures)
    close(table.score(), hmean(np.maximum(expected, LEAST)))


def test_a_domain_without_normal_clips_has_no_auc():
    clips = [
        Judgement("section_00", "source", 0, 0.0, False),
        Judgement("section_00", "source", 1, 1.0, True),
        Judgement("section_00", "target", 1, -1.0, False),
    ]
    ((row,),) = [table_2022(clips).rows.values()]
    assert row[:3] == (0.5, None, pytest.approx(auc(clips, max_fpr=0.1)))
    assert table_2022(clips).score() == pytest.approx(hmean([0.5, row[2]]))
    assert table_2021(clips).rows["section_00", "target"][:2] == (None, None)


def test_without_labels_there_is_no_score():
    for table in (table_2020([]), table_2021([]), table_2022([])):
        assert table.score() is None
        assert table.rows == {}


def test_an_auc_of_zero_counts_as_almost_nothing():
    assert harmonic_mean([0.0, 1.0]) == pytest.approx(2 * LEAST)
    mean = harmonic_mean([0.3])
    assert mean is not None
    assert math.isclose(mean, 0.3)
