# Clip stores to models.


rule train:
    input:
        clips=f"{RESULTS}/{{dataset}}/clips/train.h5",
        initial=initial_weights,
        test=selection_clips,
    output:
        weights=f"{RESULTS}/{{dataset}}/models/{{model}}.pt",
        history=f"{RESULTS}/{{dataset}}/models/{{model}}.csv",
    log:
        f"{RESULTS}/{{dataset}}/logs/train/{{model}}.log",
    priority: 3
    conda:
        "../../environment.yml"
    threads: cores(TRAINING_GPUS)
    resources:
        gpu=TRAINING_GPUS,
        mem_mb=training_memory,
        runtime=training_minutes,
    params:
        entry=lambda wildcards: model_entry(wildcards.model),
        code=lambda wildcards: code("train.py", model_entry(wildcards.model)),
    script:
        "../scripts/train.py"
