"""Completion by the shells themselves: keys are typed into bash and zsh on a terminal, the Tab key among them."""

import pathlib

import pytest

from node import BUILD, sluice
from terminal import Terminal

# Ctrl-X q: the line so far goes into a file.
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"],
             'PS1="$ "; bind "set bell-style none"; bind "set show-all-if-ambiguous on"; '
             'bind -x \'"\\C-xq": printf %s "$READLINE_LINE" > line.new; mv line.new line\'; '
             "source <(sluice completion bash)"),
    "zsh": (["zsh", "-f", "-i"],
            'PS1="$ "; autoload -Uz compinit; compinit -D -u; unsetopt beep; '
            'show() { print -rn -- "$BUFFER" > line.new; mv line.new line }; zle -N show; '
            'bindkey -e; bindkey "^Xq" show; source <(sluice completion zsh)'),
}


@pytest.fixture(scope="module", autouse=True)
def objects(make_lab):
    lab = make_lab()
    node = lab.nodes["a"]
    node.apply({"kind": "Node", "name": "a"}, {"kind": "Node", "name": "b"}, {"kind": "Vrf", "name": "t1"},
               {"kind": "Network", "name": "blue", "vrf": "t1", "subnets": [{"cidr": "10.1.0.0/24"}]},
               *[{"kind": "Port", "name": name, "node": "b", "network": "blue", "mac": f"52:54:00:00:00:0{number}",
                  "device": {"tap": {"name": f"t{number}"}}} for number, name in enumerate(["web-1", "web-2", "db"], 1)])
    return node


@pytest.fixture(params=SHELLS)
def shell(request, objects, tmp_path):
    command, setup = SHELLS[request.param]
    (tmp_path / "objects.yaml").write_text("", encoding="utf-8")
    terminal = Terminal(command, columns=120, cwd=tmp_path, env={
        "PATH": f"{BUILD}:/usr/bin:/bin", "SLUICE_API": f"unix:{objects.api}", "HOME": str(tmp_path)})
    terminal.type(f"{setup}; echo set-$((40+2))\n")
    terminal.until(lambda: "set-42" in terminal.text)
    terminal.directory = tmp_path
    yield terminal
    terminal.close()


def completed(shell, typed):
    """The line that is there after the keys."""
    path = pathlib.Path(shell.directory / "line")
    path.unlink(missing_ok=True)
    shell.type("\x15" + typed + "\t")
    shell.type("\x18q")
    shell.until(path.exists)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("typed, line", [
    ("sluice ex", "sluice explain "),
    ("sluice --ap", "sluice --api "),
    ("sluice get netw", "sluice get network "),
    ("sluice get port w", "sluice get port web-"),
    ("sluice get ports d", "sluice get ports db "),
    ("sluice get port db --out", "sluice get port db --output "),
    ("sluice get port db -o js", "sluice get port db -o json "),
    ("sluice get port db --output=ya", "sluice get port db --output=yaml "),
    ("sluice delete Port d", "sluice delete Port db "),
    ("sluice flows --port d", "sluice flows --port db "),
    ("sluice apply -f obj", "sluice apply -f objects.yaml "),
    ("sluice help sel", "sluice help selectors "),
    ("sluice completion z", "sluice completion zsh "),
])
def test_completion(shell, typed, line):
    assert completed(shell, typed) == line


def test_names_are_those_of_now(shell, objects):
    assert completed(shell, "sluice get vrf new") == "sluice get vrf new"
    objects.apply({"kind": "Vrf", "name": "new-tenant"})
    try:
        assert completed(shell, "sluice get vrf new") == "sluice get vrf new-tenant "
    finally:
        objects.delete("vrf", "new-tenant")


def test_fields_for_explain(shell):
    assert completed(shell, "sluice explain port.device.vh").rstrip() == "sluice explain port.device.vhostUser"


def test_api_on_the_line_is_asked(shell, objects):
    """Also an address with a colon in it, at which bash breaks words."""
    shell.type("unset SLUICE_API\n")
    assert completed(shell, f"sluice --api unix:{objects.api} get port d").endswith("get port db ")


def test_nobody_answers(tmp_path):
    """Nothing is said, and there are no candidates."""
    result = sluice("completion", "line", "--", f"sluice --api unix:{tmp_path}/none get port ")
    assert (result.returncode, result.stdout, result.stderr) == (0, ":words\n", "")


@pytest.mark.parametrize("line", ["", "sluice", "sluice 'get po", 'sluice get "', "sluice get port\\", "sluice " + "x " * 1000])
def test_lines_of_all_kinds(line):
    result = sluice("completion", "line", "--", line)
    assert (result.returncode, result.stderr) == (0, "")


def test_unknown_shell():
    assert sluice("completion", "fish").returncode == 2
