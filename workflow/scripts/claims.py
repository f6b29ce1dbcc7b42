"""Decides the claims about the studies' tables from predictions."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.reporting.claim_files import write_claims
    from pipeline_lib.reporting.claims import build_claims

    table = build_claims(snakemake.params.claims, snakemake.params.layouts)
    write_claims(table, **{kind: Path(snakemake.output[kind]) for kind in ("csv", "markdown", "latex", "html")})
