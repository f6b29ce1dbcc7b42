"""Names of models, `{entry}-s{seed}`: also those of their files."""


def model_name(entry: str, seed: int) -> str:
    """The name of the model of an entry with a seed."""
    return f"{entry}-s{seed}"


def entry_and_seed(model: str) -> tuple[str, int]:
    """The entry and the seed of a model's name."""
    entry, _, seed = model.rpartition("-s")
    return entry, int(seed)


def entry_of(model: str) -> str:
    """The name of a model's entry: the model's without its seed."""
    return entry_and_seed(model)[0]
