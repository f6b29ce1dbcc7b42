# Models and test clips to cached adversarial sets, with the source's own (white-box) predictions on them.


# Universal attacks: what all clips are shown is learned once, on the training clips.
rule learn:
    input:
        clips=f"{RESULTS}/{{dataset}}/clips/train.h5",
        weights=source_weights,
    output:
        f"{RESULTS}/{{dataset}}/adversarial/{{source}}/{{attack}}.learned.pt",
    log:
        f"{RESULTS}/{{dataset}}/logs/learn/{{source}}/{{attack}}.log",
    priority: 2
    conda:
        "../../environment.yml"
    threads: cores(GPUS)
    resources:
        gpu=GPUS,
        mem_mb=learning_memory,
        runtime=learning_minutes,
    params:
        entry=lambda wildcards: learned_entry(wildcards.attack),
        branch=lambda wildcards: split_target(wildcards.source)[1],
        seed=config["evaluation"]["seed"],
        code=lambda wildcards: code("learn.py", PLAN["attacks"][wildcards.attack]),
    script:
        "../scripts/learn.py"


rule attack:
    input:
        clips=f"{RESULTS}/{{dataset}}/clips/test.h5",
        weights=source_weights,
        learned=learned_pattern,
    output:
        adversarial=f"{RESULTS}/{{dataset}}/adversarial/{{source}}/{{attack}}.h5",
        audit=f"{RESULTS}/{{dataset}}/adversarial/{{source}}/{{attack}}.audit.csv",
        trace=f"{RESULTS}/{{dataset}}/adversarial/{{source}}/{{attack}}.trace.csv",
        predictions=f"{RESULTS}/{{dataset}}/predictions/{{source}}/{{source}}/{{attack}}.csv",
    log:
        f"{RESULTS}/{{dataset}}/logs/attack/{{source}}/{{attack}}.log",
    priority: 2
    conda:
        "../../environment.yml"
    threads: cores(GPUS)
    resources:
        gpu=GPUS,
        mem_mb=source_memory,
        runtime=attack_minutes,
    params:
        entry=lambda wildcards: plain(PLAN["attacks"][wildcards.attack]),
        branch=lambda wildcards: split_target(wildcards.source)[1],
        evaluation=plain(config["evaluation"]),
        code=lambda wildcards: code("attack.py", PLAN["attacks"][wildcards.attack]),
    script:
        "../scripts/attack.py"
