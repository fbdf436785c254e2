"""Factory files that are hardly YAML: one message with a place, never a traceback."""

import pytest

from tokenworks.cli.main import main


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ":1:1  a factory file is a mapping"),
        ("# only a comment\n", ":1:1  a factory file is a mapping"),
        ("- 1\n", ":1:1  a factory file is a mapping"),
        ("factory: a\n\tsystems: 1\n", ":2:1  not valid YAML: found a tab"),
        ("factory: a\n---\nfactory: b\n", ":2:1  not valid YAML: but found another document"),
        ("a: &a [*a]\n", ":1:1  not valid YAML: nested too deep, or an alias inside itself"),
        ("a: " + 3000 * "[" + 3000 * "]", ":1:1  not valid YAML: nested too deep"),
        ("factory: x\nsite: !!python/object:os.system y\n", ":2:7  site: not a valid YAML value: could not determine"),
        ("factory: 2024-13-45\n", ":1:10  factory: not a valid YAML value: month must be in 1..12"),
        ("run: {seed: !!int abc}\n", ":1:13  run.seed: not a valid YAML value: invalid literal"),
    ],
)
def test_one_message_with_a_place(text, said, tmp_path, capsys):
    path = tmp_path / "f.yaml"
    path.write_text(text)
    assert main(["check", str(path)]) == 2
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err.startswith(f"{path}{said}")
    assert out.err.endswith("1 error. Nothing was run.\n")
