# Videos or images to HDF5 clip stores.


rule render:
    input:
        unpack(inputs_of("render")),
    output:
        directory(PATHS.rendered("{dataset}")),
    log:
        PATHS.log("render", "{dataset}"),
    conda:
        "../../environment.yml"
    threads: config["threads"] * 2
    params:
        identity=identity,
        entry=lambda wildcards: parameters.made_entry(PLAN, wildcards.dataset, "render"),
    script:
        "../scripts/render.py"


rule download:
    input:
        unpack(inputs_of("download")),
    output:
        directory(PATHS.downloaded("{dataset}")),
    log:
        PATHS.log("download", "{dataset}"),
    # The nodes of a cluster often have no internet.
    localrule: True
    conda:
        "../../environment.yml"
    params:
        identity=identity,
        entry=lambda wildcards: parameters.made_entry(PLAN, wildcards.dataset, "download"),
    script:
        "../scripts/download.py"


rule decode:
    input:
        unpack(inputs_of("decode")),
    output:
        PATHS.clips("{dataset}", "{split}"),
    log:
        PATHS.log("decode/{split}", "{dataset}"),
    conda:
        "../../environment.yml"
    threads: config["threads"] * 2
    resources:
        mem_mb=lambda wildcards, attempt: REQUESTS.decoding_memory(attempt),
        runtime=lambda wildcards, attempt: REQUESTS.decoding_minutes(attempt),
    params:
        identity=identity,
        entry=lambda wildcards: parameters.clip_entry(PLAN, wildcards.dataset),
        root=lambda wildcards: JOBS.inputs.data_root(wildcards.dataset),
        # Not tracked, as the function takes `threads`: except for `tolerate`, it does not change clips.
        decoding=lambda wildcards, threads: PLAN["datasets"][wildcards.dataset]["decoding"],
    script:
        "../scripts/decode.py"
