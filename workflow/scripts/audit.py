"""Gathers the audits of all adversarial sets in one table, with a verdict on each."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.reporting.audit_files import write_audit
    from pipeline_lib.reporting.audits import build_audit

    sets = zip(snakemake.params.sets, snakemake.input.audits, strict=True)
    audit = build_audit([made | {"audit": path} for made, path in sets])
    write_audit(audit, snakemake.params.captions, **{kind: Path(path) for kind, path in snakemake.output.items()})
