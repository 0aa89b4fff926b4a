"""Reads what an agent handed back at a stage, and words the second chance when it is not what was asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import JsonValue, ValidationError

from shared.contracts.stages import STAGE_RESULTS, AgentVerdict, CodeResult
from shared.contracts.vocabulary import Stage
from worker_wrapper.errors import ResultParseError
from worker_wrapper.result_parser import ResultParser

SUMMARY_CHARS = 2000
QUOTE_CHARS = 4000
_VERDICTS = ("success", "failure", "in_progress")


@dataclass(frozen=True, slots=True)
class Reading:
    """Exactly one of `verdict` and `problem` is set; `problem` says what is missing, for the agent and for people."""

    verdict: AgentVerdict | None = None
    code: CodeResult | None = None
    problem: str | None = None


def read_result(stage: Stage, text: str) -> Reading:
    """Return the stage's result. A free prompt may be answered without one."""
    try:
        data = ResultParser.parse(text)
    except ResultParseError as error:
        return Reading(problem=str(error))
    if stage is Stage.FREE:
        return Reading(verdict=_free_verdict(data, text))
    if data is None:
        return Reading(problem="there is no complete <result> block")
    try:
        result = STAGE_RESULTS[stage].model_validate(data, extra="ignore")
    except ValidationError as error:
        return Reading(problem="; ".join(_describe(error)))
    summary = data.get("summary")
    verdict = AgentVerdict(
        summary=summary[:SUMMARY_CHARS] if isinstance(summary, str) else "", data=result.model_dump(mode="json")
    )
    return Reading(verdict=verdict, code=result if isinstance(result, CodeResult) else None)


def repair_prompt(stage: Stage, problem: str, text: str) -> str:
    """Return the second and last request for a result."""
    lines = [
        f"[stage:{stage}]",
        f"Your last answer could not be read: {problem}.",
        "Do not do the work again. Answer with the result block only: <result>{ … }</result>",
    ]
    if stage is not Stage.FREE:
        schema = STAGE_RESULTS[stage].model_json_schema()
        lines += ["The block holds one JSON object that fits this JSON Schema:", json.dumps(schema)]
    lines += ["This was your last answer:", text[-QUOTE_CHARS:] or "(nothing)"]
    return "\n".join(lines)


def _free_verdict(data: dict[str, JsonValue] | None, text: str) -> AgentVerdict:
    if data is None:
        return AgentVerdict(summary=text.strip()[-SUMMARY_CHARS:])
    status, summary = data.get("status"), data.get("summary")
    return AgentVerdict.model_validate(
        {
            "status": status if status in _VERDICTS else "success",
            "summary": summary[:SUMMARY_CHARS] if isinstance(summary, str) else "",
            "data": data,
        }
    )


def _describe(error: ValidationError) -> list[str]:
    return [f"{'.'.join(str(part) for part in item['loc']) or 'result'}: {item['msg']}" for item in error.errors()[:5]]
