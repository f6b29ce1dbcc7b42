"""Decodes one split of a data set, of videos or of images, to a clip store."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.clips.decode import Decoding, decode_to_store
    from pipeline_lib.entries.building import build
    from pipeline_lib.jobs.logs import counted

    entry = snakemake.params.entry
    root, split, lists = Path(snakemake.params.root), snakemake.wildcards.split, build(entry["lists"])
    decode_to_store(
        Path(snakemake.output[0]),
        root,
        split,
        lists,
        build(entry["decoder"]),
        Decoding(**snakemake.params.decoding),
        workers=snakemake.threads,
        progress=counted("decoding", len(lists.read(root, split)), "clips"),
    )
