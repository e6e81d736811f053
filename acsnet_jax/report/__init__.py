"""Tables, figures and the HTML report of a study.

- `FEATURES_FILE`: all numbers of a study, in its folder.
- `SCHEMA_VERSION`: of ``features.json``.
- `records_table`: records of an assessment as a table.
- `rule_strip`: scar rules side by side.
- `write_assessment`: all numbers of a scan in files.
- `bullseyes`: of the AHA's segments.
- `autoencoders_summary`: table of autoencoders that were compared, and the choice.
- `write_autoencoders`: the same in three files.
- `challenge_text`: the EMIDEC challenge's table.
- `write_coverage`: how often intervals hold the expert's number.
- `write_gate`: what the gate says of each patient, and how well its signs rank errors.
- `write_challenge`: the same in three files, with presence.
- `write_agreement`: how volumes agree with the expert's.
- `write_burden`: the infarct's share of the LV: decisions, pathologies, a row a patient.
- `damage_curves`: figure of the damage study.
- `damage_examples`: some of its masks.
- `damage_summary`: its table.
- `write_damage`: all of its numbers.
- `Violation`: one mask that fails.
- `cohort`: a slice of each scan.
- `figure4`: a cine scan made LGE-like.
- `montage`: image, expert, ours.
- `overlay`: one segmentation.
- `violations`: masks that fail, with what they fail.
- `worst_case`: the patient of lowest Dice.
- `DATASET_CITATIONS`: how data sets are cited.
- `comparison_lines`: table of two tools that were compared, for a terminal.
- `unmatched_text`: who could not be.
- `write_comparison`: the same as files, plots and a report.
- `bland_altman`: plots of differences against means.
- `Panel`: one of them.
- `Section`: one table of a report.
- `Picture`: one picture of a report.
- `Report`: what a report says.
- `environment`: versions and machine.
- `write_report`: one file that holds it all.
- `figure2`: Dice by structure and location.
- `figure3`: volumes against the expert's.
- `figure5`: likelihood against the size of the mixture.
- `training_curves`: losses and Dice of the runs.
- `TextTable`: a table of text.
- `aligned`: as plain text.
- `slices_table`: a row a slice.
- `write_csv`: as CSV.
- `write_tables`: tables 1 and 2 in all forms.
- `cohort_text`: what a cohort holds.
- `config_text`: a config as dotted keys.
- `scan_pictures`: what of a scan's folder comes into its report.
- `unrolled`: the wall of every slice along its ring.
- `write_scan_page`: the report of one segmented scan, slice by slice.
- `agreement_panels`: its volumes against the expert's.
- `study_sections`: tables of volumes and of the infarct's share.
- `study_pictures`: the figures of a study.
- `worst_pictures`: its worst patients.
- `corrections_table`: what became of label files.
- `collect_violations`: masks of label files that fail.
- `validity_text`: how label files fare, for the terminal.
- `write_validity`: the same as tables and a picture.
- `Study`: a row of a table of studies.
- `collect_studies`: of a folder.
- `ranked`: worst first.
- `studies_text`: the table for a terminal.
- `study_of`: the row of a segmentation.
- `write_studies`: a page whose rows open their studies.
"""

from acsnet_jax.report.agreement import write_agreement
from acsnet_jax.report.assessment import (
    FEATURES_FILE,
    SCHEMA_VERSION,
    records_table,
    rule_strip,
    write_assessment,
)
from acsnet_jax.report.autoencoders import autoencoders_summary, write_autoencoders
from acsnet_jax.report.bullseye import bullseyes
from acsnet_jax.report.burden import write_burden
from acsnet_jax.report.challenge import challenge_text, write_challenge
from acsnet_jax.report.comparison import comparison_lines, unmatched_text, write_comparison
from acsnet_jax.report.coverage import write_coverage
from acsnet_jax.report.damage import damage_curves, damage_examples, damage_summary, write_damage
from acsnet_jax.report.figures import (
    Violation,
    cohort,
    figure4,
    montage,
    overlay,
    violations,
    worst_case,
)
from acsnet_jax.report.gate import write_gate
from acsnet_jax.report.html import (
    DATASET_CITATIONS,
    Picture,
    Report,
    Section,
    environment,
    write_report,
)
from acsnet_jax.report.label_files import (
    collect_violations,
    corrections_table,
    validity_text,
    write_validity,
)
from acsnet_jax.report.plots import (
    Panel,
    bland_altman,
    figure2,
    figure3,
    figure5,
    training_curves,
)
from acsnet_jax.report.ring import unrolled
from acsnet_jax.report.scan_page import scan_pictures, write_scan_page
from acsnet_jax.report.studies import (
    Study,
    collect_studies,
    ranked,
    studies_text,
    study_of,
    write_studies,
)
from acsnet_jax.report.study import (
    agreement_panels,
    cohort_text,
    config_text,
    study_pictures,
    study_sections,
    worst_pictures,
)
from acsnet_jax.report.tables import TextTable, aligned, slices_table, write_csv, write_tables

__all__ = [
    "DATASET_CITATIONS",
    "FEATURES_FILE",
    "SCHEMA_VERSION",
    "Panel",
    "Picture",
    "Report",
    "Section",
    "Study",
    "TextTable",
    "Violation",
    "agreement_panels",
    "aligned",
    "autoencoders_summary",
    "bland_altman",
    "bullseyes",
    "challenge_text",
    "cohort",
    "cohort_text",
    "collect_studies",
    "collect_violations",
    "comparison_lines",
    "config_text",
    "corrections_table",
    "damage_curves",
    "damage_examples",
    "damage_summary",
    "environment",
    "figure2",
    "figure3",
    "figure4",
    "figure5",
    "montage",
    "overlay",
    "ranked",
    "records_table",
    "rule_strip",
    "scan_pictures",
    "slices_table",
    "studies_text",
    "study_of",
    "study_pictures",
    "study_sections",
    "training_curves",
    "unmatched_text",
    "unrolled",
    "validity_text",
    "violations",
    "worst_case",
    "worst_pictures",
    "write_agreement",
    "write_assessment",
    "write_autoencoders",
    "write_burden",
    "write_challenge",
    "write_comparison",
    "write_coverage",
    "write_csv",
    "write_damage",
    "write_gate",
    "write_report",
    "write_scan_page",
    "write_studies",
    "write_tables",
    "write_validity",
]
