"""The import contract, the structure page and the folders agree."""

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
LATER = {"resilience", "console"}


def contract() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    return parser


def layers() -> list[str]:
    """From the ground up, without the rooms of later issues."""
    lines = contract()["importlinter:contract:rooms"]["layers"].split()
    names = [line.strip("()").removeprefix("tokenworks.") for line in reversed(lines)]
    return [name for name in names if name not in LATER]


def table() -> list[tuple[str, str]]:
    rows = re.findall(r"^\| `([\w/.]+)` \|[^|]*\|([^|]*)\|$", (ROOT / "docs/structure.md").read_text(), re.MULTILINE)
    return [(room.removesuffix("/").removesuffix(".py"), forbidden.strip()) for room, forbidden in rows]


def test_table_and_contract_have_the_same_order():
    assert [room for room, _ in table()] == layers()


def test_every_folder_is_a_room_of_the_table():
    folders = {p.name for p in (ROOT / "src/tokenworks").iterdir() if (p / "__init__.py").exists()}
    assert folders == {room for room, _ in table()} - {"errors", "api"}


def test_forbidden_imports_are_in_the_contract():
    said = {room: text for room, text in table() if text}
    assert set(said) == {"events", "physics", "control", "twin", "ledger", "pricing", "serve"}
    for room, text in said.items():
        section = contract()[f"importlinter:contract:{room}"]
        forbidden = section["forbidden_modules"]
        for name in re.findall(r"\b(catalog|spec|workload|twin|physics|plan|accuracy)\b", text):
            assert f"tokenworks.{name}" in forbidden
        assert section["source_modules"] == f"tokenworks.{room}"


def test_of_physics_the_twin_knows_the_worker_model_alone():
    forbidden = contract()["importlinter:contract:twin"]["forbidden_modules"].split()
    modules = {p.stem for p in (ROOT / "src/tokenworks/physics").glob("*.py")} - {"__init__", "worker_model"}
    assert {f"tokenworks.physics.{m}" for m in modules} <= set(forbidden)


def test_nothing_reads_beside_the_repository():
    beside = "../" + "shared"
    for folder in ("src", "tests", "docs", "benchmarks", "tools", "examples"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".md", ".toml", ".yaml", ".json") and path.is_file():
                assert beside not in path.read_text(encoding="utf-8"), path
