"""Rules of the whole package, read off its source: layers, names, signatures."""

import ast
import dataclasses
import functools
import inspect
import pathlib

import pytest

import acsnet_jax
from acsnet_jax import anatomy, clinical, latent, pipeline

PACKAGE = pathlib.Path(acsnet_jax.__file__).resolve().parent
REPOSITORY = PACKAGE.parent
TOPS = ("acsnet_jax", "experiments", "configs", "benchmarks", "examples")

# Imports go to an earlier line only, or to a neighbour that is named below.
LAYERS = (
    {"types", "xla", "installation"},
    {"acsnet_jax", "aside", "ops", "config", "files", "lock", "palette"},
    {"app", "cli", "anatomy", "losses", "metrics", "io", "preprocess"},
    {"synthesis"},
    {"models", "latent", "clinical"},
    {"correction"},
    {"pipeline", "prior"},
    {"bundle"},
    {"training"},
    {"evaluation"},
    {"report"},
    {"jobs"},
    {"configs"},
    {"experiments", "benchmarks", "examples"},
)
NEIGHBOURS: set[tuple[str, str]] = set()
FLAX_FREE = ("anatomy", "latent", "correction", "pipeline")
FLAX_MODULES = {"models", "training", "bundle"}

# Optional arguments that may stand in a position: the design fixes the first two signatures.
POSITIONAL = {
    ("acsnet_jax.anatomy.criteria", "fit_thresholds", "coverage"),
    ("acsnet_jax.latent.neighbours", "nearest", "k"),
    ("acsnet_jax.io.nifti", "read_nifti", "label_path"),
    ("acsnet_jax.io.nifti", "map_labels", "label_map"),
    ("configs.crossvalidate", "get_config", "study"),  # ml_collections gives what follows a colon
}


@dataclasses.dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    path: pathlib.Path
    tree: ast.Module

    @property
    def part(self) -> str:
        """Its place in `LAYERS`."""
        parts = self.name.split(".")
        return parts[1] if parts[0] == "acsnet_jax" and len(parts) > 1 else parts[0]


@functools.cache
def modules() -> dict[str, Module]:
    """All modules of the repository's packages by their dotted name."""
    found = {}
    for top in TOPS:
        for path in sorted((REPOSITORY / top).rglob("*.py")):
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            name = ".".join(parts).removesuffix(".__init__")
            found[name] = Module(name, path, ast.parse(path.read_text(encoding="utf-8")))
    return found


@functools.cache
def imports(name: str) -> frozenset[str]:
    """Dotted names that a module imports, ours as whole modules."""
    found = set()
    for node in ast.walk(modules()[name].tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            ours = inner & modules().keys()
            found |= ours
            if len(ours) < len(inner):
                found.add(str(node.module))
    return frozenset(found)


def ours(name: str) -> set[str]:
    """Modules of the repository that a module imports."""
    return set(imports(name)) & modules().keys()


def foreign(name: str) -> set[str]:
    """Packages of others that a module imports."""
    return {found.split(".")[0] for found in imports(name) if found.split(".")[0] not in TOPS}


def layer(part: str) -> int:
    """Index of the layer that a part of the package belongs to."""
    (index,) = (index for index, parts in enumerate(LAYERS) if part in parts)
    return index


def public_functions():
    """(module, qualified name, function) of every public function and method."""
    for module in modules().values():
        yield from _functions(module, module.tree.body, "")


def _functions(module, body, prefix):
    for node in body:
        if getattr(node, "name", "_").startswith("_"):
            continue
        if isinstance(node, ast.FunctionDef):
            yield module, prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(module, node.body, f"{prefix}{node.name}.")


def arguments(function: ast.FunctionDef) -> list[ast.arg]:
    """All arguments of a function but self."""
    spec = function.args
    found = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
    return [argument for argument in found if argument.arg not in ("self", "cls")]


def test_the_whole_package_is_seen():
    names = set(modules())
    assert {"acsnet_jax.types", "acsnet_jax.training.loop", "experiments.train"} <= names
    assert {module.part for module in modules().values()} <= set.union(*LAYERS)


def test_imports_go_to_lower_layers_only():
    wrong = []
    for name, module in modules().items():
        for target in ours(name) - {"acsnet_jax"}:
            part, below = module.part, modules()[target].part
            if part == below or (part, below) in NEIGHBOURS:
                continue
            if layer(below) >= layer(part):
                wrong.append(f"{name} imports {target}")
    assert not wrong


def test_parts_are_imported_when_they_are_asked_for():
    assert acsnet_jax.__getattr__("anatomy") is anatomy
    with pytest.raises(AttributeError, match="no attribute 'anatomie'"):
        acsnet_jax.__getattr__("anatomie")


def test_every_folder_is_a_package():
    folders = {name.rpartition(".")[0] for name in modules()} - {"", "examples"}
    assert folders <= modules().keys()


def test_no_import_goes_round_in_a_circle():
    done, path = set(), []

    def visit(name):
        assert name not in path, f"circle: {' -> '.join([*path[path.index(name) :], name])}"
        if name in done:
            return
        path.append(name)
        for target in sorted(ours(name) - {name}):
            visit(target)
        path.pop()
        done.add(name)

    for name in modules():
        visit(name)


def reached(start: str) -> set[str]:
    """Modules that importing `start` imports, packages around them included."""
    seen, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        waiting += ours(name)
        if "." in name:
            waiting.append(name.rpartition(".")[0])
    return seen


@pytest.mark.parametrize("part", FLAX_FREE)
def test_flax_is_not_needed_for(part):
    starts = [name for name, module in modules().items() if module.part == part]
    assert starts
    needed = set().union(*(reached(start) for start in starts))
    assert not {name for name in needed if "flax" in foreign(name)}


def test_flax_stays_with_models_training_and_bundle():
    users = {module.part for name, module in modules().items() if "flax" in foreign(name)}
    assert users <= FLAX_MODULES


def test_one_module_knows_orbax():
    users = {name for name in modules() if "orbax" in foreign(name)}
    assert users == {"acsnet_jax.training.checkpoint"}


def test_no_pickle():
    for name, module in modules().items():
        forbidden = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
        assert not foreign(name) & forbidden, name
        for node in ast.walk(module.tree):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant) and node.value.value is False, name


def test_no_import_of_everything():
    for name, module in modules().items():
        stars = [
            node
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
        ]
        assert not stars, name


def test_no_module_of_everything():
    words = {"utils", "util", "helpers", "misc"}
    assert not {name for name in modules() if words & set(name.split("."))}


def test_no_error_is_swallowed_whole():
    for name, module in modules().items():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, f"{name}:{node.lineno}: bare except"
                caught = ast.unparse(node.type)
                assert "Exception" not in caught, f"{name}:{node.lineno}: except {caught}"


def test_nothing_is_left_to_do():
    for name, module in modules().items():
        source = module.path.read_text(encoding="utf-8")
        assert not {"TODO", "FIXME", "XXX"} & set(source.replace(":", " ").split()), name


def test_modules_and_public_names_have_docstrings():
    missing = [
        name
        for name, module in modules().items()
        if module.tree.body and not ast.get_docstring(module.tree)
    ]
    for module in modules().values():
        missing += [
            f"{module.name}.{node.name}"
            for node in module.tree.body
            if isinstance(node, ast.ClassDef)
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
        ]
    missing += [
        f"{module.name}.{name}"
        for module, name, function in public_functions()
        if module.part not in ("configs", "benchmarks") and not ast.get_docstring(function)
    ]
    assert not missing


def test_public_functions_are_annotated():
    missing = [
        f"{module.name}.{name}({argument.arg})"
        for module, name, function in public_functions()
        if module.name.startswith("acsnet_jax") and module.part != "ops"
        for argument in arguments(function)
        if argument.annotation is None
    ]
    assert not missing


def test_optional_arguments_are_keyword_only():
    wrong = []
    for module, name, function in public_functions():
        count = len(function.args.defaults)
        for argument in function.args.args[-count:] if count else []:
            if (module.name, name, argument.arg) not in POSITIONAL:
                wrong.append(f"{module.name}.{name}({argument.arg}=...)")
    assert not wrong


def test_jax_keys_are_called_key_and_generators_rng():
    for module in modules().values():
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.FunctionDef):
                continue
            for argument in arguments(node):
                where = f"{module.name}.{node.name}({argument.arg})"
                kind = ast.unparse(argument.annotation) if argument.annotation else ""
                assert argument.arg not in ("prng", "prng_key", "rng_key", "random_key"), where
                if "Generator" in kind:
                    assert argument.arg == "rng", where
                if argument.arg == "rng":
                    assert "Generator" in kind, where
                if "PRNGKey" in kind:
                    assert argument.arg.split("_")[-1] == "key", where


def test_no_key_is_made_of_the_old_kind():
    for name, module in modules().items():
        calls = {
            ast.unparse(node.func) for node in ast.walk(module.tree) if isinstance(node, ast.Call)
        }
        assert "jax.random.PRNGKey" not in calls, name
        assert not {call for call in calls if call.split(".")[-1] == "pmap"}, name


def test_entry_points_are_short():
    for module in modules().values():
        if module.part == "experiments":
            assert len(module.path.read_text(encoding="utf-8").splitlines()) < 80


@pytest.mark.parametrize(
    ("function", "names", "optional"),
    [
        (anatomy.measure, ["mask", "spacing_mm"], {}),
        (anatomy.fit_thresholds, ["masks", "spacing_mm", "coverage"], {"coverage": 0.99}),
        (anatomy.is_valid, ["mask", "spacing_mm", "thresholds"], {}),
        (anatomy.trim_stack, ["masks", "cavities"], {}),
        (latent.nearest, ["queries", "population", "k"], {"k": 1}),
        (latent.correct, ["masks", "encode", "decode", "is_valid", "population", "alphas"], {}),
        (pipeline.segment, ["scan", "bundle"], {}),
        (clinical.features, ["segmentation"], {}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_names_that_others_build_on(function, names, optional):
    signature = inspect.signature(function)
    positional = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind is not parameter.KEYWORD_ONLY
    ]
    assert [parameter.name for parameter in positional] == names
    for parameter in positional:
        default = optional.get(parameter.name, parameter.empty)
        assert parameter.default == default
    for parameter in signature.parameters.values():
        if parameter not in positional:
            assert parameter.default is not parameter.empty
