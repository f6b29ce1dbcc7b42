# The workflow: video files -> HDF5 clips -> models -> adversarial sets -> predictions -> tables and figures.
#   snakemake --cores all                                the demo (config/demo.yaml)
#   snakemake --cores all --configfile mine.yaml         a configuration of your own (config/README.md)
from snakemake.utils import min_version

min_version("9.20")


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/attacks.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/reporting.smk"


# Snakemake reads it when it makes the report.
report: str(Path(PATHS.front()).absolute())


localrules:
    all,
    results,


rule all:
    default_target: True
    input:
        lambda wildcards: planned([PATHS.report()]),


rule results:
    input:
        lambda wildcards: planned([*LAYOUTS.tables(), *all_figures(PLAN, PATHS), PATHS.summary()]),
