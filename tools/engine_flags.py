"""Flags of the serving engines, read from their wheels without running them: `engine_flags.py FOLDER_OF_WHEELS [OUT]`.

The wheels (vllm, sglang, sglang-router, ai-dynamo) are downloaded without dependencies; OUT is tests/plan/flags unless
given. One JSON file for each system: its version, and flag → kind of its value, choices where the source lists them.
"""

import ast
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OUT = Path(__file__).parents[1] / "tests" / "plan" / "flags"
CONFIGS = {  # classes behind the JSON values of vLLM's flags
    "speculative-config": ("vllm/config/speculative.py", "SpeculativeConfig"),
    "eplb-config": ("vllm/config/parallel.py", "EPLBConfig"),
    "kv-transfer-config": ("vllm/config/kv_transfer.py", "KVTransferConfig"),
    "compilation-config": ("vllm/config/compilation.py", "CompilationConfig"),
    "pass_config": ("vllm/config/compilation.py", "PassConfig"),
}


class Wheel:
    """Python sources of a wheel."""

    def __init__(self, folder: Path, package: str):
        found = sorted(folder.rglob(f"{package}-*.whl"))
        if not found:
            raise SystemExit(f"no wheel of {package} in {folder}")
        self.zip = zipfile.ZipFile(found[-1])
        self.version = found[-1].name.split("-")[1]

    def tree(self, path: str) -> ast.Module:
        return ast.parse(self.zip.read(path))

    def trees(self, pattern: str) -> Iterator[ast.Module]:
        for name in sorted(self.zip.namelist()):
            if re.fullmatch(pattern, name):
                yield self.tree(name)


def literal(node: ast.AST | None, names: dict[str, list[Any]]) -> list[Any] | None:
    """The choices of a Literal, a list or a name of one, unions included; None for anything else."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.List | ast.Tuple):
        return [e.value for e in node.elts if isinstance(e, ast.Constant)] or None
    if isinstance(node, ast.BinOp):
        return literal(node.left, names) or literal(node.right, names)
    if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("Literal"):
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        found: list[Any] = []
        for part in parts:
            found += [part.value] if isinstance(part, ast.Constant) else literal(part, names) or []
        return found
    if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("Optional"):
        return literal(node.slice, names)
    return None


def named_literals(trees: Iterator[ast.Module]) -> dict[str, list[Any]]:
    """NAME = Literal[…] or [ … ] at the top of modules."""
    names: dict[str, list[Any]] = {}
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                choices = literal(node.value, names)
                if choices:
                    names[node.targets[0].id] = choices
    return names


def kind_of(annotation: str) -> str:
    """What a flag of this type takes."""
    words = set(re.findall(r"\w+", annotation))
    if "bool" in words and "str" not in words:
        return "switch"
    if words & {"dict", "Dict"} or any(w.endswith("Config") for w in words):
        return "json"
    if "int" in words:
        return "int"
    return "float" if "float" in words else "text"


def entry(kind: str, choices: list[Any] | None) -> dict[str, Any]:
    return {"kind": kind} | ({"choices": choices} if choices else {})


def class_fields(tree: ast.Module, name: str) -> list[ast.AnnAssign]:
    found = next(n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == name)
    return [n for n in found.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]


def calls(tree: ast.AST, ending: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(ending):
            yield node


def vllm(folder: Path) -> dict[str, Any]:
    """EngineArgs and the frontend's arguments; a flag of a bool also has a form with --no-."""
    wheel = Wheel(folder, "vllm")
    names = named_literals(wheel.trees(r"vllm/(config/\w+|model_executor/layers/quantization/__init__)\.py"))
    engine, frontend = wheel.tree("vllm/engine/arg_utils.py"), wheel.tree("vllm/entrypoints/common/cli_args.py")
    types = {f.target.id: f.annotation for f in class_fields(engine, "EngineArgs") if isinstance(f.target, ast.Name)}
    flags: dict[str, Any] = {}
    for call in [*calls(engine, "add_argument"), *calls(frontend, "add_argument")]:
        for word in call.args:
            if isinstance(word, ast.Constant) and str(word.value).startswith("--"):
                field = str(word.value).removeprefix("--").replace("-", "_")
                action = next((ast.unparse(k.value) for k in call.keywords if k.arg == "action"), "")
                known = types.get(field)
                kind = "switch" if "store_true" in action else kind_of(ast.unparse(known)) if known else "text"
                flags[str(word.value)] = entry(kind, literal(known, names))
    for name in ("BaseFrontendArgs", "FrontendArgs"):
        for f in class_fields(frontend, name):
            flag = "--" + ast.unparse(f.target).replace("_", "-")
            flags[flag] = entry(kind_of(ast.unparse(f.annotation)), literal(f.annotation, names))
    for flag in [f for f, known in flags.items() if known["kind"] == "switch" and f != "--headless"]:
        flags["--no-" + flag.removeprefix("--")] = {"kind": "switch"}
    configs = {
        flag: [ast.unparse(f.target) for f in class_fields(wheel.tree(p), c)] for flag, (p, c) in CONFIGS.items()
    }
    methods = {"SpeculativeMethod": names["SpeculativeMethod"], "KVRole": names["KVRole"]}
    return {"system": "vllm", "version": wheel.version, "flags": flags, "configs": configs, "choices": methods}


def sglang(folder: Path) -> dict[str, Any]:
    """The annotated fields of its argument groups; a field with no_cli is no flag."""
    wheel = Wheel(folder, "sglang")
    names = named_literals(wheel.trees(r"sglang/srt/arg_groups/choices\.py"))
    flags: dict[str, Any] = {}
    for tree in wheel.trees(r"sglang/srt/arg_groups/fields/\w+\.py"):
        for node in ast.walk(tree):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                flags |= _sglang_field(node, node.target.id, names)
    for call in calls(wheel.tree("sglang/srt/server_args.py"), "add_argument"):
        for word in call.args:
            if isinstance(word, ast.Constant) and str(word.value).startswith("--"):
                flags.setdefault(str(word.value), {"kind": "text"})
    return {"system": "sglang", "version": wheel.version, "flags": flags}


def _sglang_field(node: ast.AnnAssign, name: str, names: dict[str, list[Any]]) -> dict[str, Any]:
    if not (isinstance(node.annotation, ast.Subscript) and ast.unparse(node.annotation.value) == "A"):
        return {}
    assert isinstance(node.annotation.slice, ast.Tuple)
    kind, said = node.annotation.slice.elts[0], node.annotation.slice.elts[1]
    given = {k.arg: k.value for k in said.keywords} if isinstance(said, ast.Call) else {}
    if "no_cli" in given:
        return {}
    choices = literal(given.get("choices"), names) or literal(kind, names)
    own = given.get("cli_name")
    flag = str(own.value) if isinstance(own, ast.Constant) else "--" + name.replace("_", "-")
    others = [str(a) for a in literal(given.get("aliases"), names) or []]
    return {f: entry(kind_of(ast.unparse(kind)), choices) for f in (flag, *others)}


def sglang_router(folder: Path) -> dict[str, Any]:
    wheel = Wheel(folder, "sglang_router")
    flags: dict[str, Any] = {}
    for call in calls(wheel.tree("sglang_router/router_args.py"), "add_argument"):
        given = {k.arg: k.value for k in call.keywords}
        kind = "switch" if "store_true" in ast.unparse(given.get("action", ast.Constant(""))) else "text"
        for word in call.args:
            flag = ast.unparse(word).strip("'\"").removeprefix("f'").replace("{prefix}", "")
            if flag.startswith("--"):
                flags[flag] = entry(kind, literal(given.get("choices"), {}))
    return {"system": "sglang-router", "version": wheel.version, "flags": flags}


def dynamo(folder: Path) -> dict[str, Any]:
    """Dynamo's own flags of frontend and workers, and the model classes of a DynamoGraphDeployment."""
    wheel = Wheel(folder, "ai_dynamo")
    flags: dict[str, Any] = {}
    paths = r"dynamo/(frontend/frontend_args|(vllm|sglang|trtllm)/(backend_)?args|common/configuration/groups/\w+)\.py"
    for tree in wheel.trees(paths):
        for call in calls(tree, "argument"):
            given = {k.arg: k.value for k in call.keywords}
            flag = given.get("flag_name")
            if isinstance(flag, ast.Constant):
                kind = (
                    "switch"
                    if "bool" in ast.unparse(call.func)
                    else kind_of(ast.unparse(given.get("arg_type", ast.Name("str"))))
                )
                flags[str(flag.value)] = entry(kind, literal(given.get("choices"), {}))
    tree = wheel.tree("dynamo/profiler/utils/config.py")
    classes = ("Container", "PodSpec", "PodTemplate", "MultinodeConfig", "Component", "Spec", "Metadata", "Config")
    models = {c: [_alias(f) for f in class_fields(tree, c)] for c in classes}
    return {"system": "ai-dynamo", "version": wheel.version, "flags": flags, "models": models}


def _alias(field: ast.AnnAssign) -> str:
    for call in calls(field, "Field") if field.value else ():
        for keyword in call.keywords:
            if keyword.arg == "alias" and isinstance(keyword.value, ast.Constant):
                return str(keyword.value.value)
    return ast.unparse(field.target)


def text(table: dict[str, Any]) -> str:
    """One flag a line, so that a newer version is a readable change."""
    rows = ",\n".join(f"  {json.dumps(f)}: {json.dumps(table['flags'][f])}" for f in sorted(table["flags"]))
    rest = [f" {json.dumps(k)}: {json.dumps(v)}" for k, v in table.items() if k != "flags"]
    return "{\n" + ",\n".join([*rest, f' "flags": {{\n{rows}\n }}']) + "\n}\n"


SYSTEMS = {"vllm": vllm, "sglang": sglang, "sglang-router": sglang_router, "dynamo": dynamo}


def main(folder: str, out: str = str(OUT)) -> None:
    for name, read in SYSTEMS.items():
        (Path(out) / f"{name}.json").write_text(text(read(Path(folder))))


if __name__ == "__main__":
    main(*sys.argv[1:])
