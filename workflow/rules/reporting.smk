# Predictions to tables, figures and the report. Nothing here loads torch.


rule table:
    input:
        unpack(inputs_of("table")),
    output:
        **study_outputs(PATHS, numbered_studies(PLAN)),
    log:
        PATHS.log("table/{study}"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        identity=identity,
        layout=lambda wildcards: plain(LAYOUTS.studies[wildcards.study]),
    script:
        "../scripts/table.py"


rule claims:
    input:
        unpack(inputs_of("claims")),
    output:
        **table_outputs(PATHS.table_files("claims"), titles.CLAIMS, "claims"),
    log:
        PATHS.log("claims"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        identity=identity,
        claims=plain(LAYOUTS.claims),
        layouts=plain(LAYOUTS.claimed),
    script:
        "../scripts/claims.py"


rule summary:
    input:
        unpack(inputs_of("summary")),
    output:
        PATHS.summary(),
    log:
        PATHS.log("summary"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        identity=identity,
        layouts=plain(LAYOUTS.studies),
        entries=plain(LAYOUTS.entries),
    script:
        "../scripts/summary.py"


rule audit_table:
    input:
        unpack(inputs_of("audit_table")),
    output:
        **table_outputs(PATHS.table_files("audit"), "Audit of the attacks", "audits"),
    log:
        PATHS.log("audit"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        identity=identity,
        sets=plain(LAYOUTS.audited_sets),
        captions=(ROOT / "workflow/report/audit.rst").read_text(),
    script:
        "../scripts/audit.py"


# One rule for each set of files that figures write in addition to their pictures: `figure`, `figure_csv` (numbers),
# `figure_html` (a page), `figure_csv_html`.
for FORM in figure_rules(PLAN):

    rule:
        name:
            FORM.name
        input:
            unpack(inputs_of("figure")),
        output:
            **figure_outputs(PATHS, FORM.endings, numbered_figures(PLAN)),
        log:
            PATHS.log("figure/{figure}"),
        wildcard_constraints:
            figure=pattern_of(FORM.figures),
        localrule: True
        conda:
            "../../environment.yml"
        params:
            identity=identity,
            entry=lambda wildcards: PLAN["figures"][wildcards.figure]["entry"],
            style=lambda wildcards: PLAN["figures"][wildcards.figure]["style"],
            files=lambda wildcards: figure_files(PLAN, PATHS, wildcards.figure),
            caption=lambda wildcards: figure_caption(PLAN, wildcards.figure),
        script:
            "../scripts/figure.py"


rule opening:
    input:
        unpack(inputs_of("opening")),
    output:
        PATHS.opening(),
    log:
        PATHS.log("opening"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        identity=identity,
        models=["/".join(trained) for trained in LAYOUTS.trained],
        stores=["/".join(split) for split in LAYOUTS.decoded],
        evaluation=plain(config["evaluation"]),
    script:
        "../scripts/opening.py"


rule report:
    input:
        unpack(inputs_of("report")),
    output:
        page=PATHS.report(),
        front=PATHS.front(),
        readme=PATHS.readme(),
    log:
        PATHS.log("report"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        identity=identity,
        snakefile=str(ROOT / "Snakefile"),
        stylesheet=str(ROOT / "workflow/report/report.css"),
        page_script=str(ROOT / "workflow/report/report.js"),
        front=plain(front_facts(PLAN, PATHS, LAYOUTS.studies)),
        tables={study: PATHS.table(study, "csv") for study in PLAN["studies"]},
        audit=PATHS.table("audit", "csv"),
    script:
        "../scripts/report.py"
