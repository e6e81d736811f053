"""Agreement of volumes as text: bias, limits, concordance and intra-class correlation.

Volumes are printed in mL; the CSV keeps mL and fractions of 1.
"""

import pathlib
from collections.abc import Sequence

from acsnet_jax.evaluation.agreement import Agreement
from acsnet_jax.evaluation.estimates import RESAMPLES, Estimate
from acsnet_jax.files import write_text
from acsnet_jax.report.challenge import CHALLENGE_NAMES
from acsnet_jax.report.tables import Style, TextTable, captioned, plain, write_csv

NOT_AVAILABLE = "not available"

AGREEMENT_CAPTION = (
    "Agreement of volumes (mL), over all patients. Bias is ours less the expert's, ± half its 95% "
    "confidence interval (Student's t), and as a share of the expert's mean volume; limits are "
    "bias ± 1.96 standard deviations of the differences (Bland and Altman 1986). CCC is Lin's "
    "concordance correlation coefficient (1989), ICC the intra-class correlation of single "
    "measurements, absolute agreement, two-way random (ICC(2,1) of Shrout and Fleiss 1979, "
    "ICC(A,1) of McGraw and Wong 1996), each with the 2.5th and 97.5th percentile of "
    f"{RESAMPLES} resamples of the patients. Neither is defined for one patient, or where the "
    "volumes of either side do not vary. Core scar and gray zone are against the expert's as drawn."
)
_BIAS = Style("Bias (mL)", 1.0, 1, signed=True)
_SHARE = Style("Bias (%)", 100.0, 1, signed=True)


def estimated(estimate: Estimate, style: Style) -> str:
    """A number with its interval in brackets; "not available" where it is not defined."""
    if estimate.value is None:
        return NOT_AVAILABLE
    text = style.number(estimate.value)
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} ({style.number(estimate.low)} to {style.number(estimate.high)})"


def agreement_text(agreements: Sequence[Agreement]) -> TextTable:
    """Bias, limits, concordance and ICC, for readers."""
    coefficient = Style("", 1.0, 3)
    header = ("Region", "Patients", "Bias (mL)", "Bias (%)", "Lower limit", "Upper limit")
    header += ("CCC (95% CI)", "ICC (95% CI)")
    return TextTable(
        header,
        [
            (
                CHALLENGE_NAMES[one.structure],
                str(one.bias_ml.patients),
                _BIAS.with_interval(one.bias_ml),
                _SHARE.number(one.relative_bias),
                _BIAS.number(one.lower_ml),
                _BIAS.number(one.upper_ml),
                estimated(one.concordance, coefficient),
                estimated(one.icc, coefficient),
            )
            for one in agreements
        ],
    )


def agreement_csv(agreements: Sequence[Agreement]) -> TextTable:
    """The same for programs, in mL and fractions of 1; empty where a number is not defined."""
    header = ("structure", "patients", "bias_ml", "bias_half_width_95_ml", "relative_bias")
    header += ("lower_ml", "upper_ml", "concordance", "concordance_low", "concordance_high")
    header += ("icc", "icc_low", "icc_high")
    table = TextTable(header, [])
    for one in agreements:
        numbers = (one.bias_ml.mean, one.bias_ml.half_width, one.relative_bias)
        numbers += (one.lower_ml, one.upper_ml, *one.concordance, *one.icc)
        table.rows.append((one.structure, str(one.bias_ml.patients), *map(plain, numbers)))
    return table


def write_agreement(agreements: Sequence[Agreement], folder: pathlib.Path) -> None:
    """Write ``agreement.md`` for readers and ``agreement.csv``, a row a structure."""
    write_csv(agreement_csv(agreements), folder / "agreement.csv")
    text = captioned([(AGREEMENT_CAPTION, agreement_text(agreements))])
    write_text(text, folder / "agreement.md")
