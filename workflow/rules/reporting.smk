# Predictions to tables, figures and the report. Nothing here loads torch.


rule table:
    input:
        predictions=lambda wildcards: LAYOUTS.study_files(wildcards.study),
        paper=sorted(str(path) for path in (ROOT / "resources/paper").glob("*.csv")),
    output:
        csv=PATHS.table("{study}", "csv"),
        markdown=PATHS.table("{study}", "md"),
        latex=PATHS.table("{study}", "tex"),
        html=report(
            PATHS.table("{study}", "html"),
            category="Tables",
            labels={"table": "{study}"},
            caption="../report/table.rst",
        ),
    log:
        PATHS.log("table/{study}"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        layout=lambda wildcards: plain(LAYOUTS.studies[wildcards.study]),
        code=code("table.py"),
    script:
        "../scripts/table.py"


rule audit_table:
    input:
        LAYOUTS.audits(),
    output:
        csv=PATHS.table("audit", "csv"),
        markdown=PATHS.table("audit", "md"),
        latex=PATHS.table("audit", "tex"),
        html=report(
            PATHS.table("audit", "html"),
            category="Tables",
            labels={"table": "audit of the attacks"},
            caption="../report/audit.rst",
        ),
    log:
        PATHS.log("audit"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        sets=plain(LAYOUTS.audited_sets),
        code=code("audit.py"),
    script:
        "../scripts/audit.py"


rule chart:
    input:
        table=f"{RESULTS}/tables/{{study}}.csv",
        audits=lambda wildcards: study_audits(wildcards.study),
    output:
        png=report(
            f"{RESULTS}/figures/chart_{{study}}.png",
            category="Figures",
            labels={"figure": "{study}"},
            caption="../report/chart.rst",
        ),
        pdf=f"{RESULTS}/figures/chart_{{study}}.pdf",
    log:
        f"{RESULTS}/logs/chart/{{study}}.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        title=lambda wildcards: PLAN["studies"][wildcards.study]["title"],
        layout=lambda wildcards: plain(study_layout(wildcards.study)),
        code=code("chart.py"),
    script:
        "../scripts/chart.py"


rule perturbations:
    input:
        unpack(perturbation_files),
    output:
        png=report(
            f"{RESULTS}/figures/perturbations_{{figure}}.png",
            category="Figures",
            labels={"figure": "perturbations {figure}"},
            caption="../report/perturbations.rst",
        ),
        pdf=f"{RESULTS}/figures/perturbations_{{figure}}.pdf",
        page=report(
            f"{RESULTS}/figures/clips_{{figure}}.html",
            category="Clips",
            labels={"clips": "{figure}"},
            caption="../report/clips.rst",
        ),
    log:
        f"{RESULTS}/logs/perturbations/{{figure}}.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        attacks=lambda wildcards: plain(PLAN["perturbations"][wildcards.figure]["attacks"]),
        code=code("perturbations.py"),
    script:
        "../scripts/perturbations.py"


rule iterations:
    input:
        lambda wildcards: [path for _, path in iteration_curves(wildcards.figure)],
    output:
        png=report(
            f"{RESULTS}/figures/iterations_{{figure}}.png",
            category="Figures",
            labels={"figure": "iterations {figure}"},
            caption="../report/iterations.rst",
        ),
        pdf=f"{RESULTS}/figures/iterations_{{figure}}.pdf",
    log:
        f"{RESULTS}/logs/iterations/{{figure}}.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        curves=lambda wildcards: plain(iteration_curves(wildcards.figure)),
        attack=lambda wildcards: PLAN["iterations"][wildcards.figure]["attack"],
        code=code("iterations.py"),
    script:
        "../scripts/iterations.py"


rule sweep:
    input:
        lambda wildcards: sweep_files(wildcards.figure),
    output:
        csv=f"{RESULTS}/figures/sweep_{{figure}}.csv",
        png=report(
            f"{RESULTS}/figures/sweep_{{figure}}.png",
            category="Figures",
            labels={"figure": "sweep {figure}"},
            caption="../report/sweep.rst",
        ),
        pdf=f"{RESULTS}/figures/sweep_{{figure}}.pdf",
    log:
        f"{RESULTS}/logs/sweep/{{figure}}.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        layout=lambda wildcards: plain(sweep_layout(wildcards.figure)),
        title=lambda wildcards: PLAN["sweeps"][wildcards.figure]["title"],
        code=code("sweep.py"),
    script:
        "../scripts/sweep.py"


rule feature_curves:
    input:
        lambda wildcards: [path for _, path in feature_curves(wildcards.figure)],
    output:
        png=report(
            f"{RESULTS}/figures/features_{{figure}}.png",
            category="Figures",
            labels={"figure": "features {figure}"},
            caption="../report/features.rst",
        ),
        pdf=f"{RESULTS}/figures/features_{{figure}}.pdf",
    log:
        f"{RESULTS}/logs/feature_curves/{{figure}}.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        curves=lambda wildcards: plain(feature_curves(wildcards.figure)),
        attack=lambda wildcards: PLAN["features"][wildcards.figure]["attack"],
        code=code("feature_curves.py"),
    script:
        "../scripts/feature_curves.py"


rule masking:
    input:
        lambda wildcards: masking_files(wildcards.figure),
    output:
        csv=f"{RESULTS}/figures/masking_{{figure}}.csv",
        png=report(
            f"{RESULTS}/figures/masking_{{figure}}.png",
            category="Figures",
            labels={"figure": "masking {figure}"},
            caption="../report/masking.rst",
        ),
        pdf=f"{RESULTS}/figures/masking_{{figure}}.pdf",
    log:
        f"{RESULTS}/logs/masking/{{figure}}.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        layout=lambda wildcards: plain(masking_layout(wildcards.figure)),
        title=lambda wildcards: PLAN["masking"][wildcards.figure]["title"],
        code=code("masking.py"),
    script:
        "../scripts/masking.py"


rule training_curves:
    input:
        lambda wildcards: [history(wildcards.dataset, model) for model in used_models(PLAN, wildcards.dataset)],
    output:
        png=report(
            f"{RESULTS}/figures/training_{{dataset}}.png",
            category="Figures",
            labels={"figure": "training on {dataset}"},
            caption="../report/training.rst",
        ),
        pdf=f"{RESULTS}/figures/training_{{dataset}}.pdf",
    log:
        f"{RESULTS}/logs/training_curves/{{dataset}}.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        models=lambda wildcards: used_models(PLAN, wildcards.dataset),
        code=code("training_curves.py"),
    script:
        "../scripts/training_curves.py"


rule opening:
    input:
        [PATHS.history(*trained) for trained in LAYOUTS.trained],
    output:
        PATHS.opening(),
    log:
        PATHS.log("opening"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        models=["/".join(trained) for trained in LAYOUTS.trained],
        evaluation=plain(config["evaluation"]),
        code=code("opening.py"),
    script:
        "../scripts/opening.py"


rule report:
    input:
        LAYOUTS.tables(),
        figures(),
        rules.opening.output,
    output:
        PATHS.report(),
    log:
        PATHS.log("report"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        snakefile=workflow.main_snakefile,
        code=code("report.py"),
    script:
        "../scripts/report.py"
