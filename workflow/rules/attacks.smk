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
        **RUN.resources("learn"),
    params:
        **recorded("learn", "source"),
        entry=lambda wildcards: parameters.learned_entry(PLAN, wildcards.attack),
        seed=config["evaluation"]["seed"],
    script:
        "../scripts/learn.py"


rule attack:
    input:
        unpack(inputs_of("attack")),
    output:
        **PATHS.set_files("{dataset}", "{source}", "{attack}"),
        predictions=PATHS.prediction("{dataset}", "{source}", "{source}", "{attack}"),
    log:
        PATHS.log("attack/{source}/{attack}", "{dataset}"),
    priority: 2
    conda:
        "../../environment.yml"
    threads: CORES
    resources:
        **RUN.resources("attack"),
    params:
        **recorded("attack", "source"),
        entry=lambda wildcards: parameters.attack_entry(PLAN, wildcards.attack),
        evaluation=plain(config["evaluation"]),
        scoring=fingerprint(ROOT / "workflow/scripts/predict.py"),
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
        **RUN.resources("union"),
    params:
        **recorded("union"),
        attacks=lambda wildcards: parameters.cascade_entry(PLAN, wildcards.study, wildcards.cascade),
        evaluation=plain(config["evaluation"]),
    script:
        "../scripts/union.py"
