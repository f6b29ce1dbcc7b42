"""Decodes one split of a data set, of videos or of images, to a clip store."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.clips.copies import warn_of_copies
    from pipeline_lib.clips.decode import Decoding, decode_to_store
    from pipeline_lib.entries.building import build
    from pipeline_lib.jobs.logs import LOGGER, counted

    entry = snakemake.params.entry
    root, split, lists = Path(snakemake.params.root), snakemake.wildcards.split, build(entry["lists"])
    out = Path(snakemake.output[0])
    if omitted := getattr(lists, "passed_over", lambda root, split: [])(root, split):
        some = ", ".join(omitted[:20]) + (" ..." if len(omitted) > 20 else "")
        LOGGER.info(f"{len(omitted)} files or rows are passed over: {some}")
    decode_to_store(
        out,
        root,
        split,
        lists,
        build(entry["decoder"]),
        Decoding(**snakemake.params.decoding),
        workers=snakemake.threads,
        progress=counted("decoding", len(lists.read(root, split)), "clips"),
    )
    warn_of_copies(out, out.with_name("test.h5" if split == "train" else "train.h5"))
