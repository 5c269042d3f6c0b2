"""Agreement against psych, an independent R implementation and published examples; definitions and traps."""
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from plresearch.agreement import (METRICS, WEIGHTS, agree, cohen_kappa, gwet_ac, krippendorff_alpha,
                                  percent_agreement)

REFERENCE = json.loads((Path(__file__).parent / "reference" / "agreement.json").read_text())
CASES = REFERENCE["cases"]
WITH_KAPPA = [case for case in CASES if "kappa" in case]
RELF = Path(__file__).parents[2] / "shared" / "real" / "rqi_relf" / "interview-data.xlsx"


def close(actual, expected, tolerance=1e-9):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def table(counts):
    """Ratings of two coders that give this table of counts (rows: first coder)."""
    return [[i, j] for (i, j), count in np.ndenumerate(counts) for _ in range(count)]


def test_the_grid_of_reference_cases_is_complete():
    assert set(REFERENCE["versions"]) == {"R", "psych"}
    assert len(CASES) == 139 and len(WITH_KAPPA) == 21
    shapes = {np.shape(case["ratings"]) for case in CASES}
    assert shapes == {(n, coders) for n in (8, 10, 25, 100) for coders in (2, 3, 4)}
    assert {case["q"] for case in WITH_KAPPA} == {2, 3, 5}
    assert sum(any(None in unit for unit in case["ratings"]) for case in CASES) >= 60


@pytest.mark.parametrize("case", CASES)
def test_alpha_and_ac_agree_with_r(case):
    ratings, categories = case["ratings"], list(range(1, case["q"] + 1))
    for metric in METRICS:
        close(krippendorff_alpha(ratings, categories=categories, metric=metric).value, case["alpha"][metric])
    for weights in WEIGHTS:
        expected = case["gwet"][weights]
        ac = gwet_ac(ratings, categories=categories, weights=weights, level=case["level"])
        close([ac.value, ac.se, ac.low, ac.high], [expected[k] for k in ("ac", "se", "low", "high")])
    close(percent_agreement(ratings, categories=categories), case["gwet"]["identity"]["percent"])
    close(agree(ratings, categories=categories).unanimous, case["unanimous"])


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("case", WITH_KAPPA)
def test_kappa_agrees_with_r(case, weights):
    """Values and the plain standard error as psych; psych 2.2.9's weighted standard error is wrong (it sums
    row shares over the wrong margin), so the weighted one is held against a numerical delta method."""
    categories = list(range(1, case["q"] + 1))
    expected = case["kappa"][weights]
    kappa = cohen_kappa(case["ratings"], categories=categories, weights=weights, level=case["level"])
    close([kappa.value, kappa.se, kappa.se_null, kappa.low, kappa.high],
          [expected[k] for k in ("value", "se", "se_null", "low", "high")])
    if weights == "identity":
        close(kappa.se, expected["psych_se"])
    close(kappa.z, expected["value"] / expected["se_null"])
    ac = gwet_ac(case["ratings"], categories=categories, weights=weights)
    n = len(case["ratings"])
    close(ac.se * math.sqrt((n - 1) / n), case["gwet_table_se"][weights])


def test_high_agreement_low_kappa_high_ac1():
    """The paradox METHODS measured: kappa .37 beside AC1 .93 at 94 % agreement, a theme in few segments."""
    theme = agree(table([[92, 3], [3, 2]]), categories=[0, 1])
    assert theme.percent == 0.94
    assert round(theme.kappa.value, 2) == 0.37 and round(theme.ac.value, 2) == 0.93
    close(theme.kappa.value, (0.94 - 0.905) / 0.095)
    close(theme.ac.value, (0.94 - 0.095) / 0.905)


def test_published_two_abstractors():
    """Gwet's table of two abstractors and 100 patients: kappa .7964094 (se .05891072), AC1 .8493305
    (se .04321747 with his divisor n for tables)."""
    ratings = table([[13, 0, 0], [0, 20, 7], [0, 4, 56]])
    kappa, ac1 = cohen_kappa(ratings, categories=range(3)), gwet_ac(ratings, categories=range(3))
    close([kappa.value, kappa.se], [0.7964094, 0.05891072], 1e-7)
    close([ac1.value, ac1.se * math.sqrt(0.99)], [0.8493305, 0.04321747], 1e-7)


KRIPPENDORFF = [[1, 1, None, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4],
                [4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2], [None, 5, 5, 5], [None, None, 1, 1],
                [None, None, 3, None]]


def test_published_four_observers_with_missing_codes():
    """Krippendorff's twelve units and four observers (alpha .743, .815, .849); Gwet's AC1 .77544 (se
    .14295)."""
    for metric, expected in zip(METRICS, (0.743, 0.815, 0.849)):
        alpha = krippendorff_alpha(KRIPPENDORFF, categories=range(1, 6), metric=metric)
        assert round(alpha.value, 3) == expected and alpha.n == 11
    ac1 = gwet_ac(KRIPPENDORFF, categories=range(1, 6))
    close([ac1.value, ac1.se, ac1.low, ac1.high], [0.77544, 0.14295, 0.461, 1], 5e-4)
    close(percent_agreement(KRIPPENDORFF, categories=range(1, 6)), 0.81818, 1e-5)


def test_alpha_of_two_coders_and_ten_units_by_hand():
    """Krippendorff's binary example of ten units: alpha = 1 - 19 * 4 / (14 * 6) = .095."""
    ratings = list(zip([0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]))
    close(krippendorff_alpha(ratings, categories=[0, 1]).value, 1 - 19 * 4 / (14 * 6))


ratings_strategy = st.integers(2, 12).flatmap(lambda n: st.integers(2, 4).flatmap(
    lambda coders: arrays(np.int64, (n, coders), elements=st.integers(0, 2))))


@given(ratings_strategy, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_of_units_and_coders_does_not_matter(ratings, random):
    assume(len(np.unique(ratings)) > 1)
    units, coders = list(range(len(ratings))), list(range(ratings.shape[1]))
    random.shuffle(units), random.shuffle(coders)
    one, other = (agree(x, categories=[0, 1, 2]) for x in (ratings, ratings[units][:, coders]))
    for field in ("alpha", "ac"):
        close(getattr(one, field).value, getattr(other, field).value)
        assert getattr(one, field).value <= 1 + 1e-12
    close([one.percent, one.unanimous], [other.percent, other.unanimous])
    assert one.kappa.defined == other.kappa.defined == (ratings.shape[1] == 2)
    if one.kappa.defined:
        close(one.kappa.value, other.kappa.value)


@given(ratings_strategy)
@settings(max_examples=60, deadline=None)
def test_reversing_ordered_categories_changes_nothing(ratings):
    assume(len(np.unique(ratings)) > 1)
    for weights in WEIGHTS:
        close(gwet_ac(ratings, categories=[0, 1, 2], weights=weights).value,
              gwet_ac(ratings, categories=[2, 1, 0], weights=weights).value)
    for metric in METRICS:
        close(krippendorff_alpha(ratings, categories=[0, 1, 2], metric=metric).value,
              krippendorff_alpha(ratings, categories=[2, 1, 0], metric=metric).value)


@given(ratings_strategy)
@settings(max_examples=40, deadline=None)
def test_two_categories_make_weights_and_metrics_equal(ratings):
    binary = np.minimum(ratings, 1)
    assume(len(np.unique(binary)) > 1)
    acs = [gwet_ac(binary, categories=[0, 1], weights=weights) for weights in WEIGHTS]
    close([ac.value for ac in acs], acs[0].value)
    alphas = [krippendorff_alpha(binary, categories=[0, 1], metric=metric).value for metric in METRICS]
    close(alphas, alphas[0])


@pytest.mark.parametrize("code", [0, 1])
def test_a_theme_without_variation_is_not_defined_and_never_one(code):
    theme = agree([[code, code]] * 10, categories=[0, 1])
    assert theme.percent == 1
    for coefficient in (theme.kappa, theme.alpha, theme.ac):
        assert coefficient.value is None and not coefficient.defined
        assert f"all codes are {code}" in coefficient.reason
        assert coefficient.se is coefficient.low is coefficient.high is None


def test_complete_agreement_with_variation_is_one():
    theme = agree([[0, 0], [1, 1], [0, 0], [1, 1]], categories=[0, 1])
    close([theme.percent, theme.kappa.value, theme.alpha.value, theme.ac.value], [1, 1, 1, 1])


@pytest.mark.parametrize("weights", WEIGHTS)
def test_one_coder_without_variation_gives_kappa_zero_with_its_reason(weights):
    kappa = cohen_kappa([[0, 0]] * 9 + [[0, 1]], categories=[0, 1, 2], weights=weights)
    assert kappa.defined and kappa.value == 0 and kappa.se is None and kappa.p is None
    assert "coder 0 used a single category" in kappa.reason
    assert cohen_kappa([[0, 1]] * 5, categories=[0, 1, 2], weights=weights).value == 0


def test_missing_codes_leave_kappa_to_alpha_and_ac():
    ratings = [[1, 1], [0, 0], [1, 0], [0, np.nan], [None, 1], [1, pd.NA]]
    theme = agree(ratings, categories=[0, 1])
    assert theme.missing == 3 and not theme.kappa.defined and "3 missing" in theme.kappa.reason
    assert theme.alpha.defined and theme.alpha.n == 3 and theme.ac.n == 6
    close(theme.percent, 2 / 3)
    with pytest.raises(ValueError, match="3 missing code.* first for coder 1 at unit 3"):
        cohen_kappa(ratings, categories=[0, 1])


def test_three_coders_have_no_cohen_kappa():
    ratings = [[1, 1, 0], [0, 0, 0], [1, 1, 1]]
    assert "two coders, here are 3" in agree(ratings, categories=[0, 1]).kappa.reason
    with pytest.raises(ValueError, match="two coders, 3 given"):
        cohen_kappa(ratings, categories=[0, 1])


def test_unused_declared_categories_count_for_ac1():
    ratings = [[0, 0], [0, 0], [0, 1], [1, 1]]
    assert gwet_ac(ratings, categories=range(5)).value > gwet_ac(ratings, categories=range(2)).value


def test_text_codes_and_data_frames():
    ratings = pd.DataFrame({"first": ["absent", "present", "absent"],
                            "second": ["absent", "present", "present"]})
    theme = agree(ratings, categories=["absent", "present"])
    close(theme.percent, 2 / 3)
    close(theme.kappa.value, 0.4)
    assert ratings.shape == (3, 2)


@pytest.mark.parametrize("ratings, message", [
    ([[1, None], [0, None], [1, None]], "coder 1 gave no code at all"),
    ([[1], [0]], "at least two"),
    ([1, 0, 1], "dimension"),
    ([[1, 0], [2, 2]], "2 code.*not among the declared categories, first 2 at unit 1, coder 0"),
    ([[1, None], [None, 0]], "no unit was coded by two"),
])
@pytest.mark.parametrize("function", [agree, gwet_ac, krippendorff_alpha, percent_agreement, cohen_kappa])
def test_what_cannot_be_meant_is_refused(function, ratings, message):
    with pytest.raises(ValueError, match=message):
        function(ratings, categories=[0, 1])


def test_options_are_checked():
    ratings = [["a", "b"], ["b", "b"], ["a", "a"]]
    with pytest.raises(ValueError, match="duplicate"):
        agree(ratings, categories=["a", "b", "a"])
    with pytest.raises(ValueError, match="at least two"):
        agree(ratings, categories=["a"])
    with pytest.raises(ValueError, match="weights"):
        agree(ratings, categories=["a", "b"], weights="squared")
    with pytest.raises(ValueError, match="metric"):
        krippendorff_alpha(ratings, categories=["a", "b"], metric="ratio")
    with pytest.raises(ValueError, match="numbers"):
        krippendorff_alpha(ratings, categories=["a", "b"], metric="interval")
    with pytest.raises(ValueError, match="level"):
        gwet_ac(ratings, categories=["a", "b"], level=95)


@pytest.mark.skipif(not RELF.exists(), reason="the published interview codings are not beside the repository")
def test_real_coders_context_factor_3():
    """Ten statements coded twice: context factor 3 was named by one coder once: agreement .90, kappa 0."""
    author, second = (pd.read_excel(RELF, sheet_name=sheet).set_index("ID")["Context Factor 3"]
                      for sheet in ("Data", "Overlap"))
    ratings = np.column_stack([author.loc[second.index].notna(), second.notna()]).astype(int)
    theme = agree(ratings, categories=[0, 1])
    assert theme.n == 10
    close(theme.percent, 0.90)
    assert theme.kappa.value == 0
    close(theme.ac.value, (0.9 - 0.095) / (1 - 0.095))


@pytest.mark.slow
def test_ac1_interval_covers_its_population_value():
    """A large population of units defines the true AC1; the 95 % interval of 100 units covers it."""
    rng = np.random.default_rng(4)

    def draw(n):
        truth = rng.random(n) < 0.15
        codes = [np.where(rng.random(n) < 0.9, truth, rng.random(n) < 0.5) for _ in (0, 1)]
        return np.column_stack(codes).astype(int)

    truth = gwet_ac(draw(200_000), categories=[0, 1]).value
    runs = 1000
    hits = [ac.low <= truth <= ac.high for ac in (gwet_ac(draw(100), categories=[0, 1]) for _ in range(runs))]
    assert abs(np.mean(hits) - 0.95) < 0.025
