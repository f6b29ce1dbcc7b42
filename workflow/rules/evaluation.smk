# Predictions on clean clips and on adversarial sets made on another model (transfer); features and maps of both; checks.


rule predict_clean:
    input:
        unpack(inputs_of("predict_clean")),
    output:
        PATHS.prediction("{dataset}", "{target}", None, "clean"),
    log:
        PATHS.log("predict/{target}/clean", "{dataset}"),
    priority: 1
    conda:
        "../../environment.yml"
    threads: CORES
    resources:
        **RUN.resources("predict_clean"),
    params:
        **recorded("predict_clean", "target"),
        batch_size=BATCH_SIZE,
    script:
        "../scripts/predict.py"


# For sets of another model only: the rule `attack` writes a source's predictions on its own sets.
use rule predict_clean as predict_transfer with:
    input:
        unpack(inputs_of("predict_transfer")),
    output:
        PATHS.prediction("{dataset}", "{target}", "{source}", "{attack}"),
    log:
        PATHS.log("predict/{target}/{source}/{attack}", "{dataset}"),
    wildcard_constraints:
        target=NAME_BEFORE_ANOTHER,


# Features of clean and of adversarial clips after each stage of the set's source.
rule features:
    input:
        unpack(inputs_of("features")),
    output:
        PATHS.features("{dataset}", "{source}", "{attack}"),
    log:
        PATHS.log("features/{source}/{attack}", "{dataset}"),
    conda:
        "../../environment.yml"
    threads: CORES
    resources:
        **RUN.resources("features"),
    params:
        **recorded("features", "source"),
        batch_size=BATCH_SIZE,
    script:
        "../scripts/features.py"


# What one stage of the set's source makes of one test clip, clean and adversarial.
rule feature_maps:
    input:
        unpack(inputs_of("feature_maps")),
    output:
        PATHS.feature_maps("{dataset}", "{source}", "{attack}", "{stage}", "{clip}"),
    log:
        PATHS.log("feature_maps/{source}/{attack}/{stage}-{clip}", "{dataset}"),
    wildcard_constraints:
        stage="[a-z]+[0-9]*",
        clip="[0-9]+",
    conda:
        "../../environment.yml"
    threads: CORES
    resources:
        **RUN.resources("feature_maps"),
    params:
        **recorded("feature_maps", "source"),
    script:
        "../scripts/feature_maps.py"


# Is a model robust? The check of `python -m pipeline_lib.check`, on the test clips; made only where it is asked for.
rule check:
    input:
        unpack(inputs_of("check")),
    output:
        **PATHS.check_files("{dataset}", "{target}"),
    log:
        PATHS.log("check/{target}", "{dataset}"),
    conda:
        "../../environment.yml"
    threads: CORES
    resources:
        gpu=RUN.gpus,
        mem_mb=RUN.resources("check")["mem_mb"],
        runtime=lambda wildcards, attempt: REQUESTS.check_minutes(config["check"]["budget"], attempt),
    params:
        **recorded("check", "target"),
        check=plain(config["check"]),
    script:
        "../scripts/check.py"
