"""Labs that stay open between calls: what calls answer, and that nothing of a lab is left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from lab_calls import LAB, Shell, until

from lanspread_lab.cli import SKILL

SKILL_MAX_BYTES = 6 * 1024
ANSWER_MAX_BYTES = 8 * 1024


def info(shell: Shell, lab: str) -> dict[str, object]:
    path = shell.home / "s" / "lanspread" / "labs" / lab / "lab.json"
    told: dict[str, object] = json.loads(path.read_text())
    return told


def two_peers(shell: Shell, lab: str = "demo") -> None:
    shell.do(f"open {lab} --seed 5")
    shell.do(f"game {lab} quake --files quake.eti=3MiB")
    shell.do(f"peer {lab} alpha --game quake")
    shell.do(f"peer {lab} bravo")


def test_a_game_goes_from_peer_to_peer_in_a_few_calls(shell: Shell) -> None:
    two_peers(shell)
    answer = shell.do("do demo bravo download game_id=quake wait=true")
    assert answer["data"]["bytes"] == 3 * 1024 * 1024
    picture = shell.do("look demo")
    assert [peer["state"] for peer in picture["peers"]] == ["running", "running"]
    assert picture["peers"][1]["sees"] == ["alpha"]
    assert picture["peers"][1]["games"]["quake"].startswith("downloaded")
    assert picture["troubles"] == []
    shell.do("wait demo bravo download-finished game_id=quake bytes>=1000")
    history = shell.do("history demo --event download-finished")
    assert [entry["peer"] for entry in history["entries"]] == ["bravo"]
    later = shell.do(f"history demo --since {history['cursor']}")
    assert later["entries"] == []
    shell.do("close demo")
    assert shell.processes() == []
    assert shell.do("list") == {"labs": []}
    assert list((shell.home / "r" / "lanspread").iterdir()) == []


def test_errors_have_codes_and_statuses(shell: Shell) -> None:
    assert shell.refused("look demo", 2)["code"] == "lab-not-open"
    two_peers(shell)
    assert shell.refused("open demo", 2)["code"] == "lab-exists"
    assert shell.refused("open Demo!", 2)["code"] == "lab-usage"
    assert shell.refused("do demo carol status", 2)["code"] == "lab-no-peer"
    assert shell.refused("peer demo alpha", 2)["code"] == "lab-peer-exists"
    assert shell.refused("peer demo carol --game doom", 2)["code"] == "lab-no-game"
    assert shell.refused("do demo bravo download game_id=doom", 1)["code"] == "unknown-game"
    assert shell.refused("do demo bravo dance", 1)["code"] == "unknown-command"
    assert shell.refused("fault demo cut alpha bravo", 3)["code"] == "lab-unsupported"
    assert shell.refused("fault demo flip alpha --rate 1Mbit", 2)["code"] == "lab-usage"
    assert shell.refused("heal demo f9", 2)["code"] == "lab-no-fault"
    assert shell.refused("wait demo c9", 2)["code"] == "lab-no-call"
    missed = shell.refused("wait demo bravo download-finished --timeout 100ms", 4)
    assert missed["code"] == "lab-not-seen"
    assert missed["last"]
    shell.do("fault demo kill alpha")
    assert shell.refused("do demo alpha status", 1)["code"] == "lab-peer-down"
    shell.do("fault demo restart alpha")
    shell.do("do demo alpha status")


def test_faults_last_until_they_are_healed(shell: Shell) -> None:
    two_peers(shell)
    frozen = shell.do("fault demo freeze alpha")
    assert shell.do("look demo --peer alpha")["peers"][0]["state"] == "frozen"
    flipped = shell.do("fault demo flip alpha --path quake/quake.eti --offset 7")
    assert [fault["id"] for fault in shell.do("look demo")["faults"]] == ["f1", "f2"]
    assert shell.refused("fault demo flip alpha --path ../catalog.json", 2)["code"] == "lab-usage"
    assert shell.do(f"heal demo {frozen['id']}") == {"healed": ["f1"]}
    assert shell.do("heal demo") == {"healed": [flipped["id"]]}
    assert shell.do("look demo")["faults"] == []


def test_a_call_that_takes_longer_goes_on_under_a_handle(shell: Shell) -> None:
    shell.do("open demo")
    shell.do("game demo quake --files quake.eti=24MiB")
    shell.do("peer demo alpha --game quake --upload-limit 8MiB")
    shell.do("peer demo bravo")
    late = shell.refused("do demo bravo download game_id=quake wait=true --timeout 200ms", 4)
    assert late["code"] == "lab-timeout"
    assert [call["state"] for call in shell.do("look demo")["calls"]] == ["running"]
    done = shell.do(f"wait demo {late['handle']}")
    assert done["data"]["bytes"] == 24 * 1024 * 1024
    assert shell.do("look demo")["calls"] == []


def test_a_client_that_is_killed_leaves_the_lab_as_it_is(shell: Shell) -> None:
    two_peers(shell)
    call = shell.start("wait demo bravo download-finished --timeout 60s")
    until(lambda: _is_connected(call.pid), lambda: "no call")
    call.kill()
    call.communicate()
    shell.do("do demo bravo download game_id=quake wait=true")


def _is_connected(pid: int) -> bool:
    descriptors = Path(f"/proc/{pid}/fd")
    try:
        return any("socket:" in str(link.readlink()) for link in descriptors.iterdir())
    except OSError:
        return False


def test_a_killed_lab_leaves_nothing(shell: Shell) -> None:
    two_peers(shell)
    shell.do("fault demo freeze alpha")
    os.kill(int(str(info(shell, "demo")["pid"])), signal.SIGKILL)
    until(lambda: not shell.processes(), shell.processes)
    assert shell.do("list") == {"labs": []}
    assert shell.refused("look demo", 2)["code"] == "lab-not-open"
    two_peers(shell)


def test_what_a_killed_guardian_left_the_next_lab_takes_away(shell: Shell) -> None:
    two_peers(shell)
    shell.do("fault demo freeze alpha")
    core = int(str(info(shell, "demo")["pid"]))
    guardian = int(re.findall(r"PPid:\s+(\d+)", Path(f"/proc/{core}/status").read_text())[0])
    os.kill(guardian, signal.SIGKILL)
    os.kill(core, signal.SIGKILL)
    shell.do("open other")
    assert len([line for line in shell.processes() if " run " in line]) == 0


def test_an_idle_lab_ends(shell: Shell) -> None:
    shell.do("open demo --idle 300ms")
    until(lambda: shell.run("list")[1] == {"labs": []}, lambda: shell.run("list"))
    until(lambda: not shell.processes(), shell.processes)


def test_two_clients_and_two_labs_at_once(shell: Shell) -> None:
    two_peers(shell)
    shell.do("open other")
    shell.do("game other quake")
    shell.do("peer other alpha --game quake")
    waiting = shell.start("wait demo bravo download-finished game_id=quake --timeout 60s")
    shell.do("do demo bravo download game_id=quake wait=true")
    assert json.loads(waiting.communicate()[0])["event"] == "download-finished"
    assert shell.do("look other")["peers"][0]["sees"] == []
    assert [lab["lab"] for lab in shell.do("list")["labs"]] == ["demo", "other"]
    shell.do("close demo")
    assert [lab["lab"] for lab in shell.do("list")["labs"]] == ["other"]


def test_a_long_answer_is_cut_and_whole_in_a_file(shell: Shell) -> None:
    shell.do("open demo")
    files = " ".join(f"data/{number:03}.bin=1KiB" for number in range(60))
    shell.do(f"game demo quake --files {files}")
    shell.do("peer demo alpha --game quake")
    for _ in range(3):
        shell.do("do demo alpha get-game game_id=quake")
    status, answer = shell.run("history demo --limit 500")
    assert status == 0
    assert len(json.dumps(answer)) <= ANSWER_MAX_BYTES
    whole = json.loads(Path(answer["whole"]).read_text())
    assert len(whole["entries"]) == len(answer["entries"]) + answer["left_out"]["entries"]
    assert whole["cursor"] == answer["cursor"]


def test_a_core_that_cannot_start_says_why(shell: Shell, tmp_path: Path) -> None:
    error = shell.refused(f"open demo --binary {tmp_path / 'none'}", 3)
    assert error["code"] == "lab-environment"
    assert "does not exist" in error["message"]
    assert shell.do("list") == {"labs": []}


def test_a_call_imports_neither_the_harness_nor_asyncio() -> None:
    """What it would import costs each call more than the call itself."""
    program = "import sys, lanspread_lab.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(LAB.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"lanspread_harness", "asyncio", "jsonschema_rs", "mcp"}


def test_the_harness_does_not_know_labs_that_stay_open() -> None:
    modules = (LAB.parent / "lanspread_harness").rglob("*.py")
    assert [path for path in modules if "lanspread_lab" in path.read_text("utf-8")] == []


def test_an_export_repeats_the_session_and_its_failure(shell: Shell, tmp_path: Path) -> None:
    two_peers(shell)
    shell.do("fault demo freeze alpha")
    shell.do("heal demo f1")
    shell.do("do demo bravo download game_id=quake wait=true")
    shell.refused("do demo bravo download game_id=quake", 1)
    shell.do("wait demo bravo peer-discovered peer_id=@alpha.id")
    shell.refused("wait demo bravo download-failed --timeout 200ms", 4)
    shell.do("do demo bravo status")
    scenario = tmp_path / "s90_x.py"
    shell.do(f"export demo --scenario {scenario}")
    text = scenario.read_text()
    compile(text, str(scenario), "exec")
    assert "fault_f1 = await lab.begin(lab.stopped(alpha))" in text or "f1 = await" in text
    assert "with expect_error(" in text
    assert "peer_id=alpha.peer_id" in text
    assert text.rstrip().endswith('await bravo.event("download-failed", timeout_s=0.2)')
    assert '"status"' not in text
    shell.do("close demo")
    again = tmp_path / "test_x.py"
    shell.do(f"export demo --pytest {again}")
    assert "async def test_demo(lab: Lab) -> None:" in again.read_text()


def test_every_line_of_the_skill_works(shell: Shell, tmp_path: Path) -> None:
    text = SKILL.read_text(encoding="utf-8")
    assert len(text.encode()) <= SKILL_MAX_BYTES
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) > 20
    for line in lines:
        call = line.removeprefix("lanspread-lab ").replace("s99_bug.py", str(tmp_path / "s99.py"))
        shell.do(call)
