# Clip stores to models.


rule train:
    input:
        clips=PATHS.clips("{dataset}", "train"),
        initial=lambda wildcards: INPUTS.initial_weights(wildcards.dataset, wildcards.model),
        selector=lambda wildcards: INPUTS.selector_weights(wildcards.dataset, wildcards.model),
        test=lambda wildcards: INPUTS.selection_clips(wildcards.dataset, wildcards.model),
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
        mem_mb=lambda wildcards, attempt: REQUESTS.training_memory(wildcards.dataset, wildcards.model, attempt),
        runtime=lambda wildcards, attempt: REQUESTS.training_minutes(wildcards.dataset, wildcards.model, attempt),
    params:
        entry=lambda wildcards: parameters.model_entry(PLAN, wildcards.model),
        code=lambda wildcards: code("train.py", parameters.model_entry(PLAN, wildcards.model)),
    script:
        "../scripts/train.py"
