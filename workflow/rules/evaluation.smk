# Models on clean clips, and on adversarial sets made on another model (transfer); their features on both.


rule predict_clean:
    input:
        clips=f"{RESULTS}/{{dataset}}/clips/test.h5",
        weights=target_weights,
    output:
        f"{RESULTS}/{{dataset}}/predictions/{{target}}/clean.csv",
    log:
        f"{RESULTS}/{{dataset}}/logs/predict/{{target}}/clean.log",
    priority: 1
    conda:
        "../../environment.yml"
    threads: cores(GPUS)
    resources:
        gpu=GPUS,
        mem_mb=target_memory,
        runtime=lambda wildcards, attempt: minutes(1, decoded_shape(wildcards.dataset), attempt),
    params:
        branch=lambda wildcards: split_target(wildcards.target)[1],
        batch_size=config["evaluation"]["batch_size"],
        code=code("predict.py"),
    script:
        "../scripts/predict.py"


# The predictions of a source on its own sets come with the sets.
ruleorder: attack > predict_transfer


rule predict_transfer:
    input:
        clips=f"{RESULTS}/{{dataset}}/clips/test.h5",
        weights=target_weights,
        adversarial=f"{RESULTS}/{{dataset}}/adversarial/{{source}}/{{attack}}.h5",
    output:
        f"{RESULTS}/{{dataset}}/predictions/{{target}}/{{source}}/{{attack}}.csv",
    log:
        f"{RESULTS}/{{dataset}}/logs/predict/{{target}}/{{source}}/{{attack}}.log",
    priority: 1
    conda:
        "../../environment.yml"
    threads: cores(GPUS)
    resources:
        gpu=GPUS,
        mem_mb=target_memory,
        runtime=lambda wildcards, attempt: minutes(1, decoded_shape(wildcards.dataset), attempt),
    params:
        branch=lambda wildcards: split_target(wildcards.target)[1],
        batch_size=config["evaluation"]["batch_size"],
        code=code("predict.py"),
    script:
        "../scripts/predict.py"


# Of clean and of adversarial clips, after each stage of the model that the set was made on.
rule features:
    input:
        clips=f"{RESULTS}/{{dataset}}/clips/test.h5",
        weights=source_weights,
        adversarial=f"{RESULTS}/{{dataset}}/adversarial/{{source}}/{{attack}}.h5",
    output:
        f"{RESULTS}/{{dataset}}/features/{{source}}/{{attack}}.csv",
    log:
        f"{RESULTS}/{{dataset}}/logs/features/{{source}}/{{attack}}.log",
    conda:
        "../../environment.yml"
    threads: cores(GPUS)
    resources:
        gpu=GPUS,
        mem_mb=source_memory,
        runtime=lambda wildcards, attempt: minutes(1, decoded_shape(wildcards.dataset), attempt),
    params:
        branch=lambda wildcards: split_target(wildcards.source)[1],
        batch_size=config["evaluation"]["batch_size"],
        code=code("features.py"),
    script:
        "../scripts/features.py"
