"""Checks that the classes of a configuration have the members that are called on them, by their source texts."""

from functools import cache

from pipeline_lib.entries.classes import class_of, definitions, find, foreign_bases, members
from pipeline_lib.errors import PipelineError, similar
from pipeline_lib.provenance.syntax import Signature

LISTS = "pipeline_lib.clips.splits:Lists"
DECODER = "pipeline_lib.clips.decode:Decoder"
NETWORK = "pipeline_lib.networks.extension:Network"
DEFENSE = "pipeline_lib.defenses.objective:Defense"
ATTACK = "pipeline_lib.attacks.protocols:Attack"
SET_ATTACK = "pipeline_lib.attacks.protocols:LatticeAttack"
LEARNED_ATTACK = "pipeline_lib.attacks.protocols:Universal"
MODULE = "torch.nn."
# Members that classes inherit from these bases. Other bases whose sources are not read may provide any member.
GIVEN = {MODULE: {"__call__"}, "typing.": set(), "abc.": set(), "builtins.": {"__call__"}}


def is_protocol(interface: type) -> bool:
    return any(name in ("typing.Protocol", "typing_extensions.Protocol") for name in foreign_bases(interface))


def required_members(interface: type) -> set[str]:
    """The members of a Protocol; none for other classes, from which a class has to be derived."""
    if not is_protocol(interface):
        return set()
    return members(interface) | {name for one in definitions(interface) for name in one.source.annotated}


@cache
def missing_members(cls: type, interface: type) -> list[str]:
    """Members of an interface that a class lacks; none if a base whose source is not read may provide them."""
    found = members(cls)
    for name in foreign_bases(cls):
        given = next((given for start, given in GIVEN.items() if name.startswith(start)), None)
        if given is None:
            return []
        found |= given
    return [] if "__getattr__" in found else sorted(required_members(interface) - found)


def require(where: str, target: str, interface: type | None) -> None:
    """Raises PipelineError with file, class and missing member if a class does not fit an interface."""
    if interface is None:
        return
    cls = class_of(target)
    own = definitions(cls)[0]
    name = f"config: {where}: {own.path}: class {own.name}"
    if interface is class_of(NETWORK) and any(base.startswith(MODULE) for base in foreign_bases(cls)):
        raise PipelineError(
            f"{name} is an nn.Module; name a class that is called with the number of classes, as __call__(self, "
            "classes), and returns one"
        )
    if missing := missing_members(cls, interface):
        raise PipelineError(
            f"{name} has no {', '.join(missing)}, which {_described(interface)} needs{_like(cls, missing)}"
        )

    for method, wanted in _signatures(interface).items():
        if (given := _signature(cls, method)) is not None and not _takes(given, wanted):
            raise PipelineError(
                f"{name}: {method} takes {_count(given)}, and {_described(interface)} is called with {_count(wanted)}"
            )
    if not is_protocol(interface) and not issubclass(cls, interface):
        raise PipelineError(f"{name} is not {_described(interface)}, nor derived from it")


def _signatures(interface: type) -> dict[str, Signature]:
    """The methods of a Protocol, with their parameters; none for other classes."""
    sources = [one.source for one in reversed(definitions(interface))] if is_protocol(interface) else []
    return {name: given for source in sources for name, given in source.signatures.items()}


def _signature(cls: type, method: str) -> Signature | None:
    """The parameters of a method of a class; None if they are unknown."""
    for one in definitions(cls):
        if method in one.source.members:
            return one.source.signatures.get(method)
    return None


def _takes(given: Signature, wanted: Signature) -> bool:
    """Whether a method can be called with the positional arguments of another one."""
    enough = given.most < 0 or 0 <= wanted.most <= given.most
    return enough and given.least <= wanted.least and set(given.keywords) <= set(wanted.keywords)


def _count(signature: Signature) -> str:
    """The number of arguments in words."""
    least, most = signature.least, signature.most
    counts = f"{least} or more" if most < 0 else str(least) if least == most else f"{least} to {most}"
    named = f" and {', '.join(signature.keywords)} by name" if signature.keywords else ""
    return f"{counts} argument{'' if counts == '1' else 's'}{named}"


def _like(cls: type, missing: list[str]) -> str:
    """Members with names similar to the missing ones, as the end of a message."""
    found = [like for name in missing for like in similar(name, members(cls))[:1]]
    return f"; it has {', '.join(found)}" if found else ""


def _described(interface: type) -> str:
    return f"{_with_article(interface)} ({definitions(interface)[0].module})"


def _with_article(interface: type) -> str:
    return f"{'an' if interface.__name__[0] in 'AEIOU' else 'a'} {interface.__name__}"


def require_by_name(where: str, target: str, interface: str) -> None:
    """`require` for an interface given as `module:Class`."""
    require(where, target, class_of(interface))


def interface_of(module: str, written: str) -> type | None:
    """The class that an annotation in a module names, if it is found."""
    return find(module, written)
