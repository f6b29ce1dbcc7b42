# The workflow: video files -> HDF5 clips -> models -> adversarial sets -> predictions -> tables and figures.
#   snakemake --cores all                                            the embedded data set (config/config.yaml)
#   snakemake --cores all --configfile config/ucf101_3class.yaml     an overlay on it
from snakemake.utils import min_version

min_version("9.20")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/attacks.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/reporting.smk"


# Snakemake reads it when it makes the report.
report: str(Path(PATHS.opening()).absolute())


localrules:
    all,
    results,


rule all:
    default_target: True
    input:
        rules.report.output,


rule results:
    input:
        LAYOUTS.tables(),
        all_figures(PLAN, PATHS),
