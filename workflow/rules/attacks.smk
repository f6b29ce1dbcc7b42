# Models and test clips to adversarial sets, with the source's own (white-box) predictions on them.


# Universal attacks: the pattern shared by all clips is learned once, on the training clips.
rule learn:
    input:
        unpack(inputs_of("learn")),
    output:
        PATHS.adversarial("{dataset}", "{source}", "{attack}", "learned.pt"),
    log:
        PATHS.log("learn/{source}/{attack}", "{dataset}"),
    priority: 2
    conda:
        "../../environment.yml"
    threads: CORES
    resources:
        gpu=GPUS,
        mem_mb=lambda wildcards, attempt: REQUESTS.memory("learn", wildcards, attempt),
        runtime=lambda wildcards, attempt: REQUESTS.minutes("learn", wildcards, attempt),
    params:
        identity=identity,
        estimate=estimate_of("learn"),
        entry=lambda wildcards: parameters.learned_entry(PLAN, wildcards.attack),
        branch=lambda wildcards: split_target(wildcards.source)[1],
        seed=config["evaluation"]["seed"],
        code=lambda wildcards: code("learn.py", parameters.attack_entry(PLAN, wildcards.attack)),
    script:
        "../scripts/learn.py"


rule attack:
    input:
        unpack(inputs_of("attack")),
    output:
        adversarial=PATHS.adversarial("{dataset}", "{source}", "{attack}"),
        audit=PATHS.adversarial("{dataset}", "{source}", "{attack}", "audit.csv"),
        trace=PATHS.adversarial("{dataset}", "{source}", "{attack}", "trace.csv"),
        predictions=PATHS.prediction("{dataset}", "{source}", "{source}", "{attack}"),
    log:
        PATHS.log("attack/{source}/{attack}", "{dataset}"),
    priority: 2
    conda:
        "../../environment.yml"
    threads: CORES
    resources:
        gpu=GPUS,
        mem_mb=lambda wildcards, attempt: REQUESTS.memory("attack", wildcards, attempt),
        runtime=lambda wildcards, attempt: REQUESTS.minutes("attack", wildcards, attempt),
    params:
        identity=identity,
        estimate=estimate_of("attack"),
        entry=lambda wildcards: parameters.attack_entry(PLAN, wildcards.attack),
        branch=lambda wildcards: split_target(wildcards.source)[1],
        evaluation=plain(config["evaluation"]),
        code=lambda wildcards: code("attack.py", parameters.attack_entry(PLAN, wildcards.attack)),
        scoring=code("predict.py"),
    script:
        "../scripts/attack.py"


# The union of a row's attacks, each only on the clips that no earlier one fools: for studies with `union: cascade`.
rule union:
    input:
        unpack(inputs_of("union")),
    output:
        PATHS.union("{dataset}", "{study}", "{cascade}"),
    log:
        PATHS.log("union/{study}/{cascade}", "{dataset}"),
    priority: 2
    conda:
        "../../environment.yml"
    threads: CORES
    resources:
        gpu=GPUS,
        mem_mb=lambda wildcards, attempt: REQUESTS.memory("union", wildcards, attempt),
        runtime=lambda wildcards, attempt: REQUESTS.minutes("union", wildcards, attempt),
    params:
        identity=identity,
        estimate=estimate_of("union"),
        attacks=lambda wildcards: parameters.cascade_entry(PLAN, wildcards.study, wildcards.cascade),
        evaluation=plain(config["evaluation"]),
        code=lambda wildcards: code("union.py", *parameters.cascade_entry(PLAN, wildcards.study, wildcards.cascade)),
    script:
        "../scripts/union.py"
