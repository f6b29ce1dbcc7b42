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
        gpu=TRAINING_GPUS,
        mem_mb=lambda wildcards, attempt: REQUESTS.memory("train", wildcards, attempt),
        runtime=lambda wildcards, attempt: REQUESTS.minutes("train", wildcards, attempt),
    params:
        identity=identity,
        estimate=estimate_of("train"),
        entry=lambda wildcards: parameters.model_entry(PLAN, wildcards.model),
        code=lambda wildcards: code("train.py", parameters.model_entry(PLAN, wildcards.model)),
    script:
        "../scripts/train.py"
