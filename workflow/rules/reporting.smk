# Predictions to tables, figures and the report. Nothing here loads torch.


rule table:
    input:
        unpack(inputs_of("table")),
    output:
        csv=PATHS.table("{study}", "csv"),
        markdown=PATHS.table("{study}", "md"),
        latex=PATHS.table("{study}", "tex"),
        html=report(
            PATHS.table("{study}", "html"),
            category="1 Tables",
            labels=lambda wildcards: {"table": numbered_study(PLAN, wildcards.study)},
            caption="../report/table.rst",
        ),
        differences_csv=PATHS.differences("{study}", "csv"),
        differences_markdown=PATHS.differences("{study}", "md"),
        differences_latex=PATHS.differences("{study}", "tex"),
        differences_html=report(
            PATHS.differences("{study}", "html"),
            category="1 Tables",
            labels=lambda wildcards: {"table": f"{numbered_study(PLAN, wildcards.study)}: differences"},
            caption="../report/differences.rst",
        ),
    log:
        PATHS.log("table/{study}"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        identity=identity,
        layout=lambda wildcards: plain(LAYOUTS.studies[wildcards.study]),
        code=lambda wildcards: code("table.py", PLAN["studies"][wildcards.study]["summaries"]),
    script:
        "../scripts/table.py"


rule claims:
    input:
        unpack(inputs_of("claims")),
    output:
        csv=PATHS.table("claims", "csv"),
        markdown=PATHS.table("claims", "md"),
        latex=PATHS.table("claims", "tex"),
        html=report(
            PATHS.table("claims", "html"),
            category="1 Tables",
            labels={"table": "Claims of the papers"},
            caption="../report/claims.rst",
        ),
    log:
        PATHS.log("claims"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        identity=identity,
        claims=plain(LAYOUTS.claims),
        layouts=plain(LAYOUTS.claimed),
        code=code("claims.py", *[PLAN["studies"][study]["summaries"] for study in LAYOUTS.claimed]),
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
        code=code("summary.py"),
    script:
        "../scripts/summary.py"


rule audit_table:
    input:
        unpack(inputs_of("audit_table")),
    output:
        csv=PATHS.table("audit", "csv"),
        markdown=PATHS.table("audit", "md"),
        latex=PATHS.table("audit", "tex"),
        html=report(
            PATHS.table("audit", "html"),
            category="1 Tables",
            labels={"table": "Audit of the attacks"},
            caption="../report/audits.rst",
        ),
    log:
        PATHS.log("audit"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        identity=identity,
        sets=plain(LAYOUTS.audited_sets),
        captions=(ROOT / "workflow/report/audit.rst").read_text(),
        code=code("audit.py"),
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
            png=report(
                PATHS.figure("{figure}", "png"),
                category="2 Figures",
                labels=lambda wildcards: {"figure": numbered_figure(PLAN, wildcards.figure)},
                caption="../report/figure.rst",
            ),
            pdf=PATHS.figure("{figure}", "pdf"),
            csv=PATHS.figure("{figure}", "csv") if "csv" in FORM.extras else [],
            html=(
                report(
                    PATHS.figure("{figure}", "html"),
                    category="3 Clips and curves",
                    labels=lambda wildcards: {"page": numbered_figure(PLAN, wildcards.figure)},
                    caption="../report/figure.rst",
                )
                if "html" in FORM.extras
                else []
            ),
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
            code=lambda wildcards: code("figure.py", PLAN["figures"][wildcards.figure]["entry"]),
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
        code=code("opening.py"),
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
        front=plain(front_facts(PLAN, PATHS)),
        tables={study: PATHS.table(study, "csv") for study in PLAN["studies"]},
        audit=PATHS.table("audit", "csv"),
        code=code("report.py"),
    script:
        "../scripts/report.py"
