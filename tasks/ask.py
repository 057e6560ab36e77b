"""One question to a distilled agent, under the protocol it was trained under."""

from __future__ import annotations

from agentdistill.errors import DataError
from agentdistill.records import Problem, Trajectory
from tasks.evaluate import ADAPTERS, check_protocol, student_agent
from tasks.parts import open_code_tool, open_student, student_prompt
from tasks.stage import load_params


async def answer(question: str, recipe: str, *, greedy: bool) -> Trajectory:
    """Return the episode in which the agent of `recipe` answers `question`.

    Raises:
        DataError: that agent has not been distilled yet, or the question is empty.
    """
    if not question.strip():
        raise DataError("The question is empty. Write it in quotes: agentdistill ask 'Who founded Nesburg?'")
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"The question is no text at character {error.start + 1}. Write it in UTF-8.") from error
    params = load_params()
    if not (ADAPTERS / recipe).is_dir():
        raise DataError(f"There is no agent in {ADAPTERS / recipe} yet. Distil one first: make repro.")
    prompt = student_prompt(params, "agent")
    async with open_student(params, ADAPTERS / recipe) as student, open_code_tool(params) as code:
        check_protocol(params, recipe, prompt, index=code.index)
        agent = student_agent(params, recipe, student, prompt, "greedy" if greedy else "sag")
        problem = Problem.create(
            question=question, answer="", source="ask", answer_kind="fact", split="test", family="ask"
        )
        return await agent.solve(problem, code.open)
