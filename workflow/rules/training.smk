# Clip stores to models.


rule train:
    input:
        unpack(inputs_of("train")),
    output:
        weights=PATHS.weights("{dataset}", "{model}"),
        history=PATHS.history("{dataset}", "{model}"),
    log:
        PATHS.log("train/{model}", "{dataset}"),
    priority: 3
    conda:
        "../../environment.yml"
    threads: TRAINING_CORES
    resources:
        **RUN.resources("train"),
    params:
        **recorded("train"),
        entry=lambda wildcards: parameters.model_entry(PLAN, wildcards.model),
    script:
        "../scripts/train.py"
