"""A user's own classes are ordinary Python: what is read of their sources is what Python would make of them."""

import dataclasses
import inspect

import pytest

import tiny
from own_files import HEAD, SIMPLE, own
from pipeline_lib.configuration.entries import resolve
from pipeline_lib.entries.fields import fields
from pipeline_lib.errors import PipelineError
from pipeline_lib.provenance.fingerprints import fingerprint

__all__ = ["own"]

PACKAGE = {
    "__init__": "from .core import SCALE\nfrom .inner.deep import Flicker\n",
    "core": "SCALE = 2\n",
    "spare": "SPARE = 1\n",
    "inner/__init__": "from . import levels\nfrom ..spare import SPARE\n",
    "inner/levels": "LEVELS = 8\n",
    "inner/deep": "from . import levels as steps\nclass Flicker: ...\n",
}


@pytest.mark.parametrize("part", [name for name in PACKAGE if name != "inner/deep"])
@pytest.mark.parametrize("method", ["own_parts:Flicker", "own_parts.inner.deep:Flicker"])
def test_relative_imports_are_part_of_the_fingerprint(own, part, method):
    def code(**more: str) -> str:
        folder = own(package=PACKAGE | more)
        return fingerprint(folder / "adapter.py", {"method": method})

    before = code()
    assert code(**{part: PACKAGE[part] + "# a comment"}) == before
    assert code(**{part: PACKAGE[part] + "more = 1\n"}) != before


def test_names_that_the_package_loads_lazily_are_part_of_the_fingerprint(own):
    """`from pipeline_lib.attacks import Ascent` depends on the module of Ascent and on no other attack."""
    folder = own("from pipeline_lib.attacks import Ascent\nclass Mine(Ascent): ...\n")
    mine = fingerprint(folder / "adapter.py", {"method": "own_file:Mine"})
    with_base = fingerprint(folder / "adapter.py", {"method": "own_file:Mine"}, tiny.PGD | {"perturbation": {}})
    other = {"method": "pipeline_lib.attacks.framing:FixedPattern"}
    assert with_base == mine
    assert fingerprint(folder / "adapter.py", {"method": "own_file:Mine"}, other) != mine
    assert {"steps", "perturbation", "restarts"} <= fields("own_file:Mine").keys()


def test_a_relative_import_without_a_package_names_the_file(own):
    folder = own("from .core import SCALE\nclass Mine: ...\n")
    with pytest.raises(
        PipelineError, match="own_file.py: the relative import of '.core.* is beyond the top-level package"
    ):
        fingerprint(folder / "adapter.py", {"method": "own_file:Mine"})


CLASSES = f"""{HEAD}
from .bases import Base, Other as Renamed
from . import bases
@dataclass(frozen=True, kw_only=True)
class Twice(AdversarialTraining):
    beta: float = 2.0
class Plain(Twice):
    gamma: float = 3.0
@dc.dataclass(frozen=True)
class Far(bases.Base, Renamed):
    _: KW_ONLY
    size: int
    hidden: int = field(default=1, init=False)
    made: list[int] = field(default_factory=list)
    given: InitVar[float] = 0.5
    fact: ClassVar[int] = 3
    other_fact: t.ClassVar[int] = 3
    shared: ClassVar[float] = 1.0
class Written:
    def __init__(self, width: int, *, height: "Optional[int]" = None, depth=3): ...
Alias = bases.Base
"""
BASES = f"""{HEAD}
@dataclass(frozen=True, kw_only=True)
class Base:
    size: float
    shared: float = 1.0
    last: str = "a"
@dataclass(frozen=True, kw_only=True)
class Other:
    other: int = 1
    last: str = "b"
"""


@pytest.mark.parametrize("name", ["Twice", "Plain", "Far", "Alias"])
def test_fields_are_those_that_dataclasses_find(own, name):
    """Inherited, overridden, made by a factory, InitVar, ClassVar, init=False: as `inspect` sees the real class."""
    own(package={"__init__": CLASSES, "bases": BASES})
    found = fields(f"own_parts:{name}")
    real = getattr(__import__("own_parts"), name)
    given = inspect.signature(real).parameters.values()
    required = {one.name: one.default is inspect.Parameter.empty for one in given}
    assert {key: field.required for key, field in found.items()} == required
    order = [field.name for field in dataclasses.fields(real) if field.init]
    assert [key for key in found if key in order] == order


def test_a_class_may_write_its_own_init(own):
    own(package={"__init__": CLASSES, "bases": BASES})
    found = {
        key: (field.annotation, field.required, field.default) for key, field in fields("own_parts:Written").items()
    }
    assert found == {"width": ("int", True, None), "height": ("int | None", False, None), "depth": ("Any", False, 3)}


def test_an_inherited_defense_resolves_its_inherited_attack(own):
    own(package={"__init__": CLASSES, "bases": BASES})
    sections = {"Attack": {"pgd": tiny.PGD}}
    for name, more in (("Twice", {"beta": 3}), ("Plain", {})):
        entry = resolve("defense", {"method": f"own_parts:{name}", "attack": "pgd"} | more, sections)
        assert entry == {"method": f"own_parts:{name}", "attack": tiny.PGD} | more
    with pytest.raises(PipelineError, match="gamma: unknown key.*class Plain of .* has no @dataclass"):
        resolve("defense", {"method": "own_parts:Plain", "attack": "pgd", "gamma": 1}, sections)


REEXPORTS = {
    "from": "from .impl import Flicker\n",
    "renamed": "from own_parts.impl import Flicker as F\nFlicker = F\n",
    "module": "from . import impl\nFlicker = impl.Flicker\n",
    "star": "from .impl import *\n",
    "guarded": "try:\n    from .impl import Flicker\nexcept ImportError:\n    Flicker = None\n",
}


@pytest.mark.parametrize("text", REEXPORTS.values(), ids=REEXPORTS)
def test_a_reexported_class_is_found(own, text):
    own(package={"__init__": text, "impl": HEAD + SIMPLE.replace("Simple", "Flicker")})
    assert resolve("a", {"method": "own_parts:Flicker", "epsilon": "1/4"}, {})["epsilon"] == 0.25


TYPES = [
    ("Optional[float]", "1/2", 0.5),
    ("Optional[float]", None, None),
    ("t.Optional[float]", "1/2", 0.5),
    ("Union[float, None]", None, None),
    ("None | float", "1/2", 0.5),
    ("'float | None'", "1/2", 0.5),
    ("Union[int, str]", "many", "many"),
    ("t.Sequence[int]", ["1", 2], [1, 2]),
    ("t.Mapping[str, t.Optional[int]]", {"a": "1", "b": None}, {"a": 1, "b": None}),
    ("tuple[float, ...]", [1, 2], [1.0, 2.0]),
    ("t.Tuple[float, str]", [1, "a"], [1.0, "a"]),
    ("Annotated[int, 'pixels']", "3", 3),
    ("Level", "low", "low"),
    ("list", [1, "a"], [1, "a"]),
    ("t.Any", {"a": 1}, {"a": 1}),
]


@pytest.mark.parametrize(("annotation", "written", "value"), TYPES)
def test_types_are_read_in_whatever_way_they_are_written(own, annotation, written, value):
    own(f"{HEAD}\nLevel = Literal['low', 'high']\n@dataclass\nclass Mine:\n    key: {annotation}\n")
    assert resolve("a", {"method": "own_file:Mine", "key": written}, {})["key"] == value


@pytest.mark.parametrize(
    ("annotation", "written", "message"),
    [
        ("Optional[float]", "x", "a.key: expected a number"),
        ("Union[int, list[str]]", "x", "a.key: expected int or list.str., got 'x'"),
        ("t.Tuple[float, str]", [1], "a.key: expected a list of 2"),
        ("float", float("nan"), "a.key: expected a number"),
        ("Level", "mid", "a.key: expected one of"),
    ],
)
def test_values_of_another_type_are_refused(own, annotation, written, message):
    own(f"{HEAD}\nLevel = Literal['low', 'high']\n@dataclass\nclass Mine:\n    key: {annotation}\n")
    with pytest.raises(PipelineError, match=message):
        resolve("a", {"method": "own_file:Mine", "key": written}, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "class Mine(Nothing): ...",
            "own_file.py: class Mine inherits from Nothing, which is neither defined nor imported",
        ),
        (
            "from own_parts.bases import Missing\nclass Mine(Missing): ...",
            "from Missing, which is neither defined nor imported",
        ),
        ("from own_parts.bases import Base\nclass Mine(object, Base): ...", "own_file.py: class Mine: Cannot create"),
        ("class Mine(:", "own_file.py: not valid Python"),
        ("Mine = 3", "own_file.py has no class 'Mine'"),
    ],
)
def test_a_class_that_python_could_not_make_is_named(own, text, message):
    own(text, {"__init__": "", "bases": BASES})
    with pytest.raises(PipelineError, match=message):
        resolve("a", {"method": "own_file:Mine"}, {})
