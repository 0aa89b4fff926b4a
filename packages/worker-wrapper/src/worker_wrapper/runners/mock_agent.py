"""The scripted agent: reads a prompt from stdin, answers in Claude's stream-json. Standard library only.

Arguments: a session id ("" for none) and, if there is one, the script: a JSON file with a list of rules. The first
whose `match` (a regular expression) is found in the prompt answers. A rule may hold: text, result (an object, wrapped
in <result>), delay_seconds, stderr, exit_code, is_error, api_error_status, silent (no output), hang (never ends),
linger_seconds (after the answer), files (path → content), append (path → text), run (list of argument lists; what they
print replaces {output} in text), usage (input_tokens …, cost_usd), times (answers at most so often; counted beside the
script). `\\1`-style references to the match's groups work in text, files and run.
"""

import json
import os
import re
import subprocess
import sys
import time
from typing import Any

Rule = dict[str, Any]

DEFAULTS: list[Rule] = [
    {
        "match": r"\[stage:plan\]",
        "result": {"summary": "A plan", "steps": ["change one file", "run the tests"], "files": [], "risks": []},
    },
    {
        "match": r"\[stage:code\]",
        "append": {"mock-agent.txt": "changed\n"},
        "result": {"summary": "Changed one file", "commit_message": "Change one file"},
    },
    {"match": r"\[stage:review\]", "result": {"approved": True, "summary": "Fine as it is", "findings": []}},
    {"match": "", "text": "Understood."},
]


def load_rules(path: str) -> list[Rule]:
    if not path:
        return DEFAULTS
    with open(path, encoding="utf-8") as handle:
        rules: list[Rule] = json.load(handle)
    return rules + DEFAULTS


def is_used_up(script: str, index: int, rule: Rule) -> bool:
    """Count a limited rule's answers in a file beside the script, shared by every turn."""
    times = rule.get("times")
    if times is None:
        return False
    path = f"{script}.{index}.count"
    used = os.path.getsize(path) if os.path.exists(path) else 0
    if used >= times:
        return True
    with open(path, "a", encoding="utf-8") as handle:
        handle.write(".")
    return False


def choose(script: str, prompt: str) -> tuple[Rule, re.Match[str]]:
    for index, rule in enumerate(load_rules(script)):
        found = re.search(rule.get("match", ""), prompt)
        if found and not is_used_up(script, index, rule):
            return rule, found
    raise SystemExit("no rule of the script matches this prompt")


def emit(event: Rule) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def act(rule: Rule, found: re.Match[str]) -> str:
    """Do what the rule does to the world; return what its commands printed."""
    for mode, key in (("w", "files"), ("a", "append")):
        for path, content in rule.get(key, {}).items():
            target = found.expand(path)
            os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
            with open(target, mode, encoding="utf-8") as handle:
                handle.write(found.expand(content) if mode == "w" else content)
    printed = []
    for argv in rule.get("run", []):
        done = subprocess.run([found.expand(word) for word in argv], capture_output=True, text=True, check=False)
        printed.append(done.stdout + done.stderr)
    return "".join(printed)


def answer(rule: Rule, found: re.Match[str], printed: str) -> str:
    text = found.expand(rule["text"]) if "text" in rule else ""
    text = text.replace("{output}", printed)
    if "result" in rule:
        text += "\n<result>\n" + json.dumps(rule["result"]) + "\n</result>"
    return text


def final_event(rule: Rule, text: str, session_id: str) -> Rule:
    usage = rule.get("usage", {})
    return {
        "type": "result",
        "subtype": "success",
        "is_error": bool(rule.get("is_error")),
        "api_error_status": rule.get("api_error_status"),
        "num_turns": 1,
        "result": text,
        "session_id": session_id,
        "total_cost_usd": usage.get("cost_usd", 0),
        "usage": usage,
    }


def main() -> int:
    prompt = sys.stdin.read()
    session_id, script = [*sys.argv[1:], "", ""][:2]
    session_id = session_id or "00000000-0000-4000-8000-000000000000"
    rule, found = choose(script, prompt)
    if rule.get("hang"):
        time.sleep(86_400)
    if not rule.get("silent"):
        emit({"type": "system", "subtype": "init", "session_id": session_id})
    time.sleep(rule.get("delay_seconds", 0))
    printed = act(rule, found)
    if rule.get("stderr"):
        sys.stderr.write(rule["stderr"] + "\n")
    exit_code: int = rule.get("exit_code", 1 if rule.get("is_error") else 0)
    if not rule.get("silent") and (exit_code == 0 or rule.get("is_error")):
        text = answer(rule, found, printed)
        emit({"type": "assistant", "message": {"role": "assistant", "content": [{"type": "text", "text": text}]}})
        emit(final_event(rule, text, session_id))
    time.sleep(rule.get("linger_seconds", 0))
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
