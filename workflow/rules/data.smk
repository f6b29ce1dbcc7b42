# Videos or images to HDF5 clip stores.


rule render:
    output:
        directory(f"{RESULTS}/{{dataset}}/rendered"),
    log:
        f"{RESULTS}/{{dataset}}/logs/render.log",
    conda:
        "../../environment.yml"
    threads: config["threads"] * 2
    params:
        entry=lambda wildcards: plain(PLAN["datasets"][wildcards.dataset].get("render")),
        code=lambda wildcards: code("render.py", PLAN["datasets"][wildcards.dataset].get("render")),
    script:
        "../scripts/render.py"


rule download:
    output:
        directory(f"{RESULTS}/{{dataset}}/downloaded"),
    log:
        f"{RESULTS}/{{dataset}}/logs/download.log",
    # The nodes of a cluster often have no internet.
    localrule: True
    conda:
        "../../environment.yml"
    params:
        entry=lambda wildcards: plain(PLAN["datasets"][wildcards.dataset].get("download")),
        code=lambda wildcards: code("download.py", PLAN["datasets"][wildcards.dataset].get("download")),
    script:
        "../scripts/download.py"


rule decode:
    input:
        decode_inputs,
    output:
        f"{RESULTS}/{{dataset}}/clips/{{split}}.h5",
    log:
        f"{RESULTS}/{{dataset}}/logs/decode/{{split}}.log",
    conda:
        "../../environment.yml"
    threads: config["threads"] * 2
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        entry=lambda wildcards: clip_entry(wildcards.dataset),
        root=lambda wildcards: data_root(wildcards.dataset),
        # Not tracked, since it asks for threads: but for `tolerate`, none of it changes a clip.
        decoding=lambda wildcards, threads: PLAN["datasets"][wildcards.dataset]["decoding"],
        code=lambda wildcards: code("decode.py", clip_entry(wildcards.dataset)),
    script:
        "../scripts/decode.py"
